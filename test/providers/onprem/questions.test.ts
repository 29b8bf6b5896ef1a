import assert from 'node:assert/strict';
import { test } from 'node:test';
import { resources } from '../../../providers/onprem/index.ts';
import type { IPAddressPool } from '../../../src/core/ipam/pools.ts';
import { createWorld, METALLB } from './world.ts';

const pool = (name: string, addresses: readonly string[], annotations = {}) =>
  ({ metadata: { namespace: METALLB, name, annotations }, spec: { addresses } }) as unknown as IPAddressPool;

test('explain names each pool, the rule that decided, what is free, and who has what is asked for', async () => {
  const world = createWorld();
  world.pool('one', ['10.77.0.0/31']);
  world.pool('two', ['10.78.0.0/31'], { spec: { autoAssign: false } });
  world.service('web/first');
  const controller = await world.controller();
  await controller.settle();
  world.service('web/second', { annotations: { 'metallb.io/loadBalancerIPs': '10.77.0.0' } });
  const why = controller.provider.explain(controller.spec('web/second'));
  assert.deepEqual(
    why.pools.map(({ pool: name, candidate, ipv4 }) => [name, candidate, ipv4.available]),
    [
      ['one', true, 1n],
      ['two', false, 2n],
    ],
  );
  assert.deepEqual(
    why.addresses.map(({ address, users }) => [address, users.map(({ name }) => name)]),
    [['10.77.0.0', ['first']]],
  );
  assert.equal(why.decision.failure?.code, 'FL_ADDRESS_IN_USE');
  assert.equal(why.frozen, undefined);
});

test('explain says that nothing is given while there are no valid pools', async () => {
  const world = createWorld();
  world.pool('one', ['rubbish']);
  world.service('web/a');
  const controller = await world.controller();
  const why = controller.provider.explain(controller.spec('web/a'));
  assert.match(why.frozen ?? '', /IPAddressPool one: spec\.addresses\[0\]/);
  assert.equal(why.objections.length, 1);
});

test('a preview of pools says whether the edit would be taken, and whose addresses it moves or takes away', async () => {
  const world = createWorld();
  world.pool('one', ['10.77.0.0/30']);
  for (const key of ['web/a', 'web/b']) world.service(key);
  const controller = await world.controller();
  await controller.settle();
  const preview = (objects: readonly IPAddressPool[]) => controller.provider.previewPools(objects, []);
  assert.deepEqual(preview([pool('one', ['10.77.0.0/29'])]).objections, []);
  const renamed = preview([pool('uno', ['10.77.0.0/30'])]);
  assert.deepEqual(renamed.objections, []);
  assert.deepEqual(
    renamed.change?.moved.map(({ address, to }) => [address, to]),
    [
      ['10.77.0.0', 'uno'],
      ['10.77.0.1', 'uno'],
    ],
  );
  const shrunk = preview([pool('one', ['10.77.0.1/32'])]);
  assert.equal(shrunk.objections.length, 1);
  assert.deepEqual(
    shrunk.change?.stranded.map(({ address, users }) => [address, users.map(({ name }) => name)]),
    [['10.77.0.0', ['a']]],
  );
  const wrong = preview([pool('one', ['rubbish'])]);
  assert.equal(wrong.objections.length, 1);
  assert.equal(wrong.change, undefined);
  assert.deepEqual(Object.keys(world.reserved()), ['10.77.0.0', '10.77.0.1'], 'a preview changes nothing');
});

test('stats count per pool and family, the greatest int64 too', async () => {
  const world = createWorld();
  world.pool('one', ['10.77.0.0/30', '2001:db8::/64']);
  world.service('web/a');
  const controller = await world.controller();
  await controller.settle();
  const max = 2n ** 63n - 1n;
  assert.deepEqual(controller.provider.stats(), [
    {
      pool: 'one',
      ipv4: { total: 4n, assigned: 1n, available: 3n },
      ipv6: { total: max, assigned: 0n, available: max },
      total: max,
      services: 1,
    },
  ]);
});

test('a provider that is closed writes nothing more', async () => {
  const world = createWorld();
  world.pool('one', ['10.77.0.0/30']);
  world.service('web/a');
  const controller = await world.controller();
  await controller.provider.close();
  world.pool('two', ['10.78.0.0/30']);
  world.cluster.drop(resources.ipblocks, '10.77.0.0-24');
  const writes = world.cluster.writes.length;
  await world.clock.advance(60_000);
  assert.equal(world.cluster.writes.length, writes);
  await assert.rejects(controller.run('web/a'), /closed/);
});

test('the metrics of the configuration say whether the pools in the cluster are those in use', async () => {
  const world = createWorld();
  world.pool('one', ['10.77.0.0/30']);
  const controller = await world.controller();
  await controller.settle();
  const start = controller.provider.configuration();
  assert.deepEqual({ ...start, updates: 0 }, { updates: 0, errors: 0, loaded: true, stale: false });
  world.pool('one', ['rubbish']);
  await controller.settle();
  const bad = controller.provider.configuration();
  assert.deepEqual({ ...bad, updates: 0 }, { updates: 0, errors: 1, loaded: true, stale: true });
  assert.equal(bad.updates, start.updates + 1);
  world.pool('one', ['10.77.0.0/29']);
  await controller.settle();
  assert.equal(controller.provider.configuration().stale, false);
});
