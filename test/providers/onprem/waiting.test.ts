import assert from 'node:assert/strict';
import { test } from 'node:test';
import { resources } from '../../../providers/onprem/index.ts';
import type { IPBlockSpec } from '../../../providers/onprem/schema.ts';
import type { KubeObject, Service } from '../../../src/core/objects.ts';
import { addressesOf, createWorld, during, METALLB, type World } from './world.ts';

const woken = (world: World, uids: readonly (readonly string[] | undefined)[]) =>
  uids.flatMap((each) => each ?? []).map((uid) => keyOfUid(world, uid));

function keyOfUid({ cluster }: World, uid: string): string {
  const services = cluster.list({ group: '', version: 'v1', plural: 'services' }) as Service[];
  const found = services.find(({ metadata }) => metadata.uid === uid)?.metadata;
  return `${found?.namespace}/${found?.name}`;
}

async function full() {
  const world = createWorld();
  world.pool('one', ['10.77.0.0/31']);
  for (const key of ['web/a', 'web/b']) world.service(key);
  const controller = await world.controller();
  await controller.settle();
  world.service('web/z', { created: '2026-01-01T00:00:00Z' });
  world.service('web/y', { created: '2026-01-02T00:00:00Z' });
  world.service('web/x', { created: '2026-01-02T00:00:00Z' });
  await world.clock.advance(1);
  for (const key of ['web/x', 'web/y', 'web/z'])
    assert.deepEqual(await controller.outcome(key), { error: 'FL_POOL_EXHAUSTED' });
  controller.context.resyncs.length = 0;
  return { world, controller };
}

test('a release wakes as many as addresses became free, the oldest first, and no more', async () => {
  const { world, controller } = await full();
  assert.equal(controller.provider.waiting(), 3);
  await controller.remove('web/a');
  await world.clock.advance(100);
  assert.deepEqual(
    woken(
      world,
      controller.context.resyncs.map(({ uids }) => uids),
    ),
    ['web/z'],
  );
  assert.deepEqual(world.reserved(), { '10.77.0.0': ['web/z'], '10.77.0.1': ['web/b'] });
  await controller.ensure('web/z');
  await controller.remove('web/b');
  await world.clock.advance(100);
  assert.deepEqual(
    woken(
      world,
      controller.context.resyncs.map(({ uids }) => uids),
    ),
    ['web/z', 'web/x'],
  ); // then by name
});

test('room that a waiting Service did not live to use goes to the next one', async () => {
  const { world, controller } = await full();
  await controller.remove('web/a');
  await world.clock.advance(100);
  await controller.remove('web/z'); // it held the address and was never run
  await world.clock.advance(100);
  assert.deepEqual(world.reserved()['10.77.0.0'], ['web/x']);
});

test('a Service that is deleted while it waits is served no more', async () => {
  const { world, controller } = await full();
  world.drop('web/z');
  await world.clock.advance(1);
  await controller.remove('web/a');
  await world.clock.advance(100);
  assert.deepEqual(world.reserved()['10.77.0.0'], ['web/x']);
});

test("room that is made after the end is nobody's business, and does not keep the process busy for ever", async () => {
  const { world, controller } = await full();
  await controller.provider.close();
  world.cluster.drop(resources.ipblocks, '10.77.0.0-24');
  await world.clock.advance(100);
  assert.deepEqual(world.reserved(), {});
});

test('a Service that is no load balancer any more waits no longer, also when nothing ever reached its status', async () => {
  const { world, controller } = await full();
  const spec = controller.spec('web/z');
  world.service('web/z', { spec: { type: 'NodePort' } });
  await world.clock.advance(1);
  assert.equal(controller.provider.waiting(), 2);
  // A run that began before, and ends now.
  const { loadBalancers } = controller.provider;
  await assert.rejects(during(world.clock, loadBalancers.ensure(spec, controller.context.call())));
  assert.equal(controller.provider.waiting(), 2);
  await controller.remove('web/a');
  await world.clock.advance(100);
  assert.deepEqual(world.reserved()['10.77.0.0'], ['web/x']);
});

test('a released address wakes those with its sharing key besides', async () => {
  const world = createWorld();
  world.pool('one', ['10.77.0.0/32']);
  const annotations = { 'metallb.io/allow-shared-ip': 'key' };
  world.service('web/a', { annotations });
  world.service('web/b', { annotations, spec: { ports: [{ protocol: 'UDP', port: 53 }] } });
  const controller = await world.controller();
  await controller.settle();
  for (const key of ['web/c', 'web/d']) world.service(key, { annotations }); // port 80 is taken
  world.service('web/e');
  await world.clock.advance(1);
  for (const key of ['web/c', 'web/d', 'web/e']) await controller.outcome(key);
  await controller.remove('web/a'); // the address is not free: web/b still uses it
  await world.clock.advance(100);
  assert.deepEqual(world.reserved(), { '10.77.0.0': ['web/b', 'web/c'] });
});

test('pool after pool serves them in order, and the pool status follows once a second', async () => {
  const { world, controller } = await full();
  world.pool('two', ['10.78.0.0/32']);
  await controller.settle();
  assert.deepEqual(addressesOf(world.at('web/z')), ['10.78.0.0']);
  world.pool('three', ['10.79.0.0/24']);
  await controller.settle();
  assert.deepEqual(addressesOf(world.at('web/x')), ['10.79.0.0']);
  assert.deepEqual(addressesOf(world.at('web/y')), ['10.79.0.1']);
  assert.equal(controller.provider.waiting(), 0);
});

test('a block write that fails for a waiting Service is tried again', async () => {
  let isBroken = false;
  const world = createWorld({
    fault: ({ resource, verb }) =>
      isBroken && verb === 'create' && resource === 'ipblocks.fairlead.dev' ? { code: 'FL_KUBE_DENIED' } : undefined,
  });
  world.service('web/a');
  const controller = await world.controller();
  assert.deepEqual(await controller.outcome('web/a'), { error: 'FL_POOL_MISSING' });
  isBroken = true;
  world.pool('one', ['10.77.0.0/24']);
  await world.clock.advance(1000);
  assert.deepEqual(world.reserved(), {});
  assert.equal(controller.provider.waiting(), 1);
  isBroken = false;
  await world.clock.advance(20_000);
  assert.deepEqual(world.reserved(), { '10.77.0.0': ['web/a'] });
});

test('what the API server refuses is tried again by the backoff of its run, not at once and for ever', async () => {
  const world = createWorld({
    fault: ({ verb }) => (verb === 'create' ? { code: 'FL_KUBE_DENIED' } : undefined),
  });
  world.pool('one', ['10.77.0.0/30']);
  world.service('web/a');
  const controller = await world.controller();
  await world.clock.advance(100);
  controller.context.resyncs.length = 0;
  assert.deepEqual(await controller.outcome('web/a'), { error: 'FL_KUBE_DENIED' });
  await world.clock.advance(100);
  assert.deepEqual(controller.context.resyncs, []);
});

test('a second family that the pool had not is added once it has', async () => {
  const world = createWorld();
  world.pool('one', ['10.77.0.0/30']);
  const clusterIPs = ['10.96.0.1', 'fd00::1'];
  world.service('web/a', { spec: { ipFamilyPolicy: 'PreferDualStack', clusterIPs } });
  const controller = await world.controller();
  await controller.ensure('web/a');
  assert.deepEqual(addressesOf(world.at('web/a')), ['10.77.0.0']);
  world.pool('one', ['10.77.0.0/30', 'fd01::/126']);
  await world.clock.advance(100);
  await controller.settle();
  assert.deepEqual(addressesOf(world.at('web/a')), ['10.77.0.0', 'fd01::']);
});

test('a pool that no longer selects a Service says so at once, and so does one that does again', async () => {
  const world = createWorld();
  world.pool('one', ['10.77.0.0/30']);
  world.service('web/a');
  const controller = await world.controller();
  await controller.ensure('web/a');
  for (const [namespaces, words] of [
    [['other'], [/does not select the Service/]],
    [['web'], []],
  ] as const) {
    controller.context.resyncs.length = 0;
    world.pool('one', ['10.77.0.0/30'], { spec: { serviceAllocation: { namespaces } } });
    await world.clock.advance(100);
    const looked = woken(
      world,
      controller.context.resyncs.map(({ uids }) => uids),
    );
    assert.deepEqual(looked, ['web/a']);
    const progress = await controller.ensure('web/a');
    const shortfalls = (progress.state === 'ready' && progress.shortfalls) || [];
    assert.equal(shortfalls.length, words.length);
    for (const [index, pattern] of words.entries()) assert.match(shortfalls[index]?.message ?? '', pattern);
  }
});

test('addresses that nobody sees are shown although the newest request makes no sense', async () => {
  const world = createWorld();
  world.pool('one', ['10.77.0.0/30']);
  const annotations = { 'fairlead.dev/address-count': '2' };
  world.service('web/a', { annotations });
  const controller = await world.controller();
  await controller.ensure('web/a');
  const nonsense = { 'metallb.io/loadBalancerIPs': 'no address' };
  const both = ['10.77.0.0', '10.77.0.1'];
  for (const ingress of [[], ['10.77.0.1']]) {
    world.service('web/a', { annotations: { ...annotations, ...nonsense }, ingress });
    await world.clock.advance(1);
    const shown = await controller.ensure('web/a');
    assert.equal(shown.state, 'ready');
    assert.deepEqual(addressesOf(world.at('web/a')), both);
    await world.clock.advance(1000);
    assert.deepEqual(await controller.outcome('web/a'), { error: 'FL_ADDRESS_INVALID' });
    assert.deepEqual(addressesOf(world.at('web/a')), both);
  }
});

test('a key that a holder is given, or a port that it gives up, lets those with the same key in', async () => {
  const world = createWorld();
  world.pool('one', ['10.77.0.0/32']);
  const key = { 'metallb.io/allow-shared-ip': 'key' };
  world.service('web/a');
  const controller = await world.controller();
  await controller.settle();
  world.service('web/b', { annotations: key, spec: { ports: [{ port: 443, protocol: 'TCP' }] } });
  world.service('web/c', { annotations: key }); // port 80, as web/a
  await controller.settle();
  assert.deepEqual([addressesOf(world.at('web/b')), addressesOf(world.at('web/c'))], [[], []]);
  world.service('web/a', { annotations: key });
  await controller.settle();
  assert.deepEqual([addressesOf(world.at('web/b')), addressesOf(world.at('web/c'))], [['10.77.0.0'], []]);
  world.service('web/a', { annotations: key, spec: { ports: [{ port: 8080, protocol: 'TCP' }] } });
  await controller.settle();
  assert.deepEqual(addressesOf(world.at('web/c')), ['10.77.0.0']);
});

test('the pool status follows a block write whose answer was lost, and one of somebody else', async () => {
  let isLost = false;
  const world = createWorld({
    fault: ({ verb, resource }) =>
      isLost && verb === 'create' && resource.startsWith('ipblocks')
        ? { code: 'FL_KUBE_UNREACHABLE', effect: { lateMs: 0 } }
        : undefined,
  });
  world.pool('one', ['10.77.0.0/30']);
  const assigned = () => {
    const pool = world.cluster.get(resources.ipaddresspools, `${METALLB}/one`) as { status?: Record<string, unknown> };
    return pool.status?.['assignedIPv4'];
  };
  const controller = await world.controller();
  await world.clock.advance(2000);
  assert.equal(assigned(), 0);
  isLost = true;
  world.service('web/a');
  await world.clock.advance(1);
  await controller.ensure('web/a');
  await world.clock.advance(2000);
  assert.equal(assigned(), 1);
  const [block] = world.cluster.list(resources.ipblocks) as unknown as readonly [{ readonly spec: IPBlockSpec }];
  const taken = {
    pool: 'one',
    users: [{ namespace: 'web', name: 'o', uid: 'o', ports: [], sharingKey: '', backendKey: '' }],
  };
  const spec = {
    cidr: '10.77.0.0/24',
    addresses: { ...block.spec.addresses, '10.77.0.3': taken },
  };
  world.cluster.put(resources.ipblocks, { ...block, spec } as unknown as KubeObject);
  await world.clock.advance(2000);
  assert.equal(assigned(), 2);
});
