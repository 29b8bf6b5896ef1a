/** Pod routes in moto's route tables, for Nodes that a person, or a kubelet, makes and deletes. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createWorld, PATIENCE_MS } from './aws/world.ts';
import { eventually } from './world.ts';

test('Nodes with pod CIDRs get routes, deleted Nodes lose them', async (t) => {
  const world = await createWorld(t);
  if (world === undefined) return;
  const { cloud, seeded, account } = world;
  const interfaces = await Promise.all(seeded.instances.map(({ id }) => cloud.interfaceOf(id)));
  const wanted = (indexes: readonly number[]) => indexes.map((index) => `10.244.${index}.0/24 ${interfaces[index]}`);
  const nameOf = (index: number) => seeded.instances[index]?.privateDnsName ?? '';
  const join = async (index: number): Promise<void> => {
    const { id, zone, address } = seeded.instances[index] as (typeof seeded.instances)[number];
    const providerID = `aws:///${zone}/${id}`;
    await world.join({ name: nameOf(index), providerID, address, podCIDRs: [`10.244.${index}.0/24`] });
  };
  const controller = await world.start('one', ['--controllers=route', '--cluster-cidr=10.244.0.0/16']);

  await t.test('each Node gets its route, to its primary network interface', async () => {
    for (const index of [0, 1]) await join(index);
    await eventually(async () => assert.deepEqual(await cloud.routes(), wanted([0, 1])), PATIENCE_MS);
  });

  await t.test('its source/destination check is off, and NetworkUnavailable is False', async () => {
    for (const index of [0, 1]) assert.equal(await cloud.sourceDestCheck(seeded.instances[index]?.id ?? ''), false);
    assert.equal(await cloud.sourceDestCheck(seeded.instances[2]?.id ?? ''), true);
    await eventually(async () => {
      const { status } = (await world.node(nameOf(0))) ?? {};
      const condition = status?.conditions?.find(({ type }) => type === 'NetworkUnavailable');
      assert.equal(condition?.status, 'False');
    }, PATIENCE_MS);
  });

  await t.test('a Node that comes later gets one too, and a Node that is deleted loses its own', async () => {
    await join(2);
    await eventually(async () => assert.deepEqual(await cloud.routes(), wanted([0, 1, 2])), PATIENCE_MS);
    await world.kubectl('delete', 'node', nameOf(1));
    await eventually(async () => assert.deepEqual(await cloud.routes(), wanted([0, 2])), PATIENCE_MS);
  });

  await t.test('another process finds everything as it is and writes nothing', async () => {
    assert.equal(await controller.stop(), 'exit 0');
    account.clear();
    const two = await world.start('two', ['--controllers=route', '--cluster-cidr=10.244.0.0/16']);
    await eventually(async () => assert.ok((account.counts()['DescribeRouteTables'] ?? 0) > 0), PATIENCE_MS);
    await join(1);
    await eventually(async () => assert.deepEqual(await cloud.routes(), wanted([0, 1, 2])), PATIENCE_MS);
    const writes = Object.entries(account.counts()).filter(([name]) => !/^(Describe|Get)/.test(name));
    assert.deepEqual(writes, [['CreateRoute', 1]]);
    assert.deepEqual(two.said('error'), []);
  });
});
