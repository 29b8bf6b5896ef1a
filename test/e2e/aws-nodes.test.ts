/** Nodes of moto's instances: what a kubelet registers, the controller completes; what EC2 has no more, it deletes. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createWorld, PATIENCE_MS } from './aws/world.ts';
import { eventually } from './world.ts';

const UNINITIALIZED = { key: 'node.cloudprovider.kubernetes.io/uninitialized', value: 'true', effect: 'NoSchedule' };

test('Nodes are initialised from their instances and go with them', async (t) => {
  const world = await createWorld(t);
  if (world === undefined) return;
  const { cloud, seeded } = world;
  const controller = await world.start('one', [
    '--controllers=cloud-node,cloud-node-lifecycle',
    '--node-monitor-period=1s',
  ]);

  await t.test(
    'a Node that a kubelet registered gets providerID, labels and addresses, and loses its taint',
    async () => {
      for (const { privateDnsName } of seeded.instances)
        await world.join({ name: privateDnsName, taints: [UNINITIALIZED] });
      for (const { id, zone, privateDnsName, address } of seeded.instances) {
        await eventually(async () => {
          const { spec, metadata, status } = (await world.node(privateDnsName)) ?? {};
          assert.equal(spec?.providerID, `aws:///${zone}/${id}`);
          assert.deepEqual(
            (spec?.taints ?? []).filter(({ key }) => key === UNINITIALIZED.key),
            [],
          );
          const labels = metadata?.labels ?? {};
          assert.equal(labels['topology.kubernetes.io/zone'], zone);
          assert.equal(labels['topology.kubernetes.io/region'], 'us-east-1');
          assert.equal(labels['node.kubernetes.io/instance-type'], 't3.medium');
          assert.ok(status?.addresses?.some((one) => one.type === 'InternalIP' && one.address === address));
          assert.ok(status?.addresses?.some((one) => one.type === 'InternalDNS' && one.address === privateDnsName));
        }, PATIENCE_MS);
      }
    },
  );

  await t.test('the Node of a terminated instance is deleted, the others stay', async () => {
    const { id, zone, privateDnsName, address } = await cloud.runInstance();
    await world.join({ name: privateDnsName, providerID: `aws:///${zone}/${id}`, address, ready: 'Unknown' });
    await cloud.terminate(id);
    await eventually(async () => assert.equal(await world.node(privateDnsName), undefined), 180_000);
    for (const one of seeded.instances) assert.ok(await world.node(one.privateDnsName));
    const events = await world.events('Node', privateDnsName);
    assert.ok(
      events.some((text) => text.includes('DeletingNode')),
      events.join('\n'),
    );
  });

  await t.test('nothing went wrong', () => assert.deepEqual(controller.said('error'), []));
});
