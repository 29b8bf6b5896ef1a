import assert from 'node:assert/strict';
import { test } from 'node:test';
import { resources } from '../../../providers/onprem/index.ts';
import type { Service } from '../../../src/core/objects.ts';
import { addressesOf, type Controller, createWorld, during, METALLB, type World } from './world.ts';

const kinds = ({ cluster }: World, from = 0) =>
  cluster.writes.slice(from).map(({ verb, resource, key }) => `${verb} ${resource} ${key}`);

test('a restart writes nothing, and every address stays', async () => {
  const world = createWorld();
  world.pool('one', ['10.77.0.0/24', '2001:db8::/120'], { annotations: { 'fairlead.dev/retain': '1h' } });
  world.pool('two', ['10.78.0.0/24'], { spec: { avoidBuggyIPs: true } });
  for (let index = 0; index < 20; index += 1) world.service(`web/s${index}`);
  world.service('web/kept', { annotations: { 'fairlead.dev/retain': '2h' } });
  world.service('web/two', { annotations: { 'metallb.io/address-pool': 'two', 'metallb.io/allow-shared-ip': 'k' } });
  const first = await world.controller();
  await first.settle();
  await world.clock.advance(5000);
  await first.provider.close();
  first.context.kill();
  const before = world.cluster.writes.length;
  const addresses = (world.cluster.list(resources.services) as Service[]).map(addressesOf);
  const second = await world.controller({ identity: 'second' });
  await second.settle();
  await world.clock.advance(60_000);
  assert.deepEqual(kinds(world, before), []);
  assert.deepEqual((world.cluster.list(resources.services) as Service[]).map(addressesOf), addresses);
  const audit = await second.provider.loadBalancers.audit(
    (world.cluster.list(resources.services) as Service[]).map(({ metadata }) =>
      second.spec(`${metadata.namespace}/${metadata.name}`),
    ),
    second.context.call(),
  );
  assert.equal(audit.orphans.size, 0);
  for (const verdict of audit.specs.values()) {
    assert.ok('progress' in verdict);
    assert.deepEqual(verdict.actions, []);
    assert.equal(verdict.progress.events, undefined);
  }
});

test('what is published is taken over, oldest first, before anybody gets something new', async () => {
  const world = createWorld();
  world.pool('one', ['10.77.0.0/24']);
  world.service('web/new', { created: '2020-01-01T00:00:00Z' }); // older than those with an address
  world.service('web/b', { created: '2026-02-01T00:00:00Z', ingress: ['10.77.0.0'] });
  world.service('web/a', { created: '2026-01-01T00:00:00Z', ingress: ['10.77.0.0'] }); // the same: the older keeps it
  const controller = await world.controller();
  await controller.settle();
  assert.deepEqual(addressesOf(world.at('web/a')), ['10.77.0.0']);
  assert.deepEqual([...addressesOf(world.at('web/b')), ...addressesOf(world.at('web/new'))].sort(), [
    '10.77.0.1',
    '10.77.0.2',
  ]);
  assert.deepEqual(addressesOf(world.at('web/new')), ['10.77.0.1']); // the oldest of those who wait
});

test('a take-over says nothing when the address stays, and why when it does not', async () => {
  const world = createWorld();
  world.pool('one', ['10.77.0.0/24']);
  world.service('web/stays', { ingress: ['10.77.0.9'], annotations: { 'metallb.io/ip-allocated-from-pool': 'one' } });
  world.service('web/strange', { ingress: ['10.99.0.1'] });
  const controller = await world.controller();
  const stays = await controller.ensure('web/stays');
  assert.equal(stays.events, undefined);
  const strange = await controller.ensure('web/strange');
  assert.deepEqual(addressesOf(world.at('web/strange')), ['10.77.0.0']);
  assert.deepEqual(
    strange.events?.map(({ reason }) => reason),
    ['ClearAssignment', 'IPAllocated'],
  );
  assert.match(strange.events?.[0]?.message ?? '', /10\.99\.0\.1 .*no pool has it/);
});

test('a bad request does not lose the published address to somebody else', async () => {
  const world = createWorld();
  world.pool('one', ['10.77.0.0/31']);
  world.service('web/bad', { ingress: ['10.77.0.0'], spec: { loadBalancerIP: 'rubbish' } });
  world.service('web/good');
  const controller = await world.controller();
  assert.deepEqual(await controller.outcome('web/bad'), { error: 'FL_ADDRESS_INVALID' });
  await controller.ensure('web/good');
  assert.deepEqual(world.reserved(), { '10.77.0.0': ['web/bad'], '10.77.0.1': ['web/good'] });
});

test('ranges that are none do not lose the published address to somebody else', async () => {
  const world = createWorld();
  world.pool('one', ['10.77.0.0/31']);
  world.service('web/bad', { ingress: ['10.77.0.0'], spec: { loadBalancerSourceRanges: ['rubbish'] } });
  world.service('web/good');
  const controller = await world.controller();
  await controller.ensure('web/good');
  assert.deepEqual(world.reserved(), { '10.77.0.0': ['web/bad'], '10.77.0.1': ['web/good'] });
});

test('a bad request that shows an address of somebody else shows it no longer', async () => {
  const world = createWorld();
  world.pool('one', ['10.77.0.0/31']);
  world.service('web/first', { ingress: ['10.77.0.0'] });
  world.service('web/bad', { ingress: ['10.77.0.0'], spec: { loadBalancerIP: 'rubbish' } });
  const controller = await world.controller();
  await controller.ensure('web/first');
  assert.deepEqual(await controller.outcome('web/bad'), { error: 'FL_ADDRESS_INVALID', exists: false });
  assert.deepEqual(world.reserved(), { '10.77.0.0': ['web/first'] });
});

test('while there are no valid pools a bad request keeps what it shows', async () => {
  const world = createWorld();
  world.pool('one', ['rubbish']);
  world.service('web/bad', { ingress: ['10.77.0.0'], spec: { loadBalancerIP: 'rubbish' } });
  const controller = await world.controller();
  assert.deepEqual(await controller.outcome('web/bad'), { error: 'FL_ADDRESS_INVALID' });
});

test('Services of a foreign class are left alone, published address or not', async () => {
  const world = createWorld();
  world.pool('one', ['10.77.0.0/24']);
  world.service('web/theirs', { ingress: ['10.77.0.0'], spec: { loadBalancerClass: 'example.com/lb' } });
  world.service('web/ours', { spec: { loadBalancerClass: 'fairlead.dev/onprem' } });
  const controller = await world.controller();
  await controller.ensure('web/ours');
  assert.deepEqual(world.reserved(), { '10.77.0.0': ['web/ours'] });
});

test('Services that wait at the start are served in their order, in whole blocks', async () => {
  const world = createWorld();
  world.pool('one', ['10.77.0.0/24']);
  for (const [index, day] of ['09', '03', '07', '01'].entries())
    world.service(`web/s${index}`, { created: `2026-01-${day}T00:00:00Z` });
  const controller = await world.controller();
  await world.clock.advance(100);
  assert.deepEqual(world.reserved(), {
    '10.77.0.0': ['web/s3'],
    '10.77.0.1': ['web/s1'],
    '10.77.0.2': ['web/s2'],
    '10.77.0.3': ['web/s0'],
  });
  assert.equal(kinds(world).filter((kind) => kind.includes('ipblocks')).length, 1);
  await controller.settle();
  assert.equal(kinds(world).filter((kind) => kind.includes('ipblocks')).length, 1);
});

test('a crash after any write of the first run leaves nothing that the next process does not mend', async () => {
  const total = await writesOf(Number.POSITIVE_INFINITY);
  assert.ok(total > 4);
  for (let crash = 0; crash <= total; crash += 1) await writesOf(crash);
});

/** Runs three Services and a removal; the process dies after its `crash`th write. Returns how many it made. */
async function writesOf(crash: number): Promise<number> {
  let kill = () => {};
  const world = createWorld({
    fault: ({ by, verb }) => {
      if (by === 'first' && verb !== 'get' && world.cluster.writes.length >= crash) kill();
      return undefined;
    },
  });
  world.pool('one', ['10.77.0.0/24', '2001:db8::/120']);
  world.service('web/a');
  world.service('web/b', {
    spec: { clusterIPs: ['10.96.0.1', 'fd00::1'], ipFamilies: ['IPv4', 'IPv6'], ipFamilyPolicy: 'PreferDualStack' },
  });
  world.service('web/c', { annotations: { 'fairlead.dev/address-count': '2' } });
  const first = await world.controller({ identity: 'first' });
  kill = () => first.context.kill();
  const keys = ['web/a', 'web/b', 'web/c'];
  for (const key of keys) void first.run(key).catch(() => {});
  await world.clock.advance(200);
  const writes = world.cluster.writes.length;
  first.context.kill();
  const second = await world.controller({ identity: 'second' });
  await second.settle();
  const published = (world.cluster.list(resources.services) as Service[]).flatMap(addressesOf);
  assert.equal(published.length, 5, `crash after ${crash}`);
  assert.deepEqual(Object.keys(world.reserved()).sort(), [...published].sort(), `crash after ${crash}`);
  await second.remove('web/b');
  await world.clock.advance(100);
  assert.equal(Object.keys(world.reserved()).length, 3, `crash after ${crash}`);
  return writes;
}

test('addresses of Services that are gone are freed without a finalizer, once they are missing for long enough', async () => {
  const world = createWorld();
  world.pool('one', ['10.77.0.0/24']);
  for (const key of ['web/a', 'web/b', 'web/c', 'web/d']) world.service(key);
  const first = await world.controller();
  await first.settle();
  first.context.kill();
  world.drop('web/a'); // while nobody looks
  world.service('web/b', { spec: { type: 'ClusterIP' } });
  world.drop('web/d');
  world.service('web/d', { uid: 'another' }); // the name is taken: the old one is gone for certain
  const second = await world.controller({ identity: 'second' });
  await world.clock.advance(20_000);
  assert.deepEqual(Object.values(world.reserved()), [['web/a'], ['web/b'], ['web/c'], ['web/d']]);
  await second.settle();
  world.drop('web/c');
  await world.clock.advance(20_000);
  assert.deepEqual(Object.values(world.reserved()), [['web/c'], ['web/d']]);
  await world.clock.advance(20_000);
  assert.deepEqual(Object.values(world.reserved()), [['web/d']]);
  assert.deepEqual(addressesOf(world.at('web/d')), Object.keys(world.reserved()));
});

test('what an earlier leader reserves late for a Service that is gone by then is freed', async () => {
  const world = createWorld({
    fault: ({ by, verb }) =>
      by === 'first' && verb === 'create' ? { code: 'FL_KUBE_UNREACHABLE', effect: { lateMs: 5000 } } : undefined,
  });
  world.pool('one', ['10.77.0.0/24']);
  world.service('web/a');
  const first = await world.controller({ identity: 'first' });
  await world.clock.advance(10);
  first.context.kill();
  world.drop('web/a');
  await world.controller({ identity: 'second' });
  await world.clock.advance(6000);
  assert.deepEqual(world.reserved(), { '10.77.0.0': ['web/a'] });
  await world.clock.advance(60_000);
  assert.deepEqual(world.reserved(), {});
});

test('what a run takes for a Service that has left while it began is freed', async () => {
  for (const leave of ['another type', 'gone']) {
    const world = createWorld();
    world.pool('one', ['10.77.0.0/24']);
    world.service('web/a');
    const controller = await world.controller();
    await world.clock.advance(10);
    await controller.settle();
    const spec = controller.spec('web/a');
    await controller.remove('web/a');
    world.service('web/a', { uid: spec.uid, spec: { type: 'ClusterIP' } });
    if (leave === 'gone') world.drop('web/a');
    await world.clock.advance(60_000);
    assert.deepEqual(world.reserved(), {});
    await during(world.clock, controller.provider.loadBalancers.ensure(spec, controller.context.call()));
    assert.deepEqual(world.reserved(), { '10.77.0.0': ['web/a'] });
    await world.clock.advance(60_000);
    assert.deepEqual(world.reserved(), {}, leave);
  }
});

test('a Service that a stale relist hides for a moment keeps its address', async () => {
  const world = createWorld();
  world.pool('one', ['10.77.0.0/24']);
  const service = world.service('web/a');
  const controller = await world.controller();
  await controller.settle();
  const hidden = world.at('web/a');
  world.drop('web/a');
  await world.clock.advance(10_000);
  world.cluster.put(resources.services, { ...hidden, metadata: { ...hidden.metadata, uid: service.metadata.uid } });
  await world.clock.advance(60_000);
  assert.deepEqual(world.reserved(), { '10.77.0.0': ['web/a'] });
});

test('a block that a hand deleted is written again with the same addresses', async () => {
  const world = createWorld();
  world.pool('one', ['10.77.0.0/24']);
  world.service('web/a');
  world.service('web/b');
  const controller = await world.controller();
  await controller.settle();
  const before = world.reserved();
  world.cluster.drop(resources.ipblocks, '10.77.0.0-24');
  world.service('web/c');
  await controller.settle();
  const { '10.77.0.2': c, ...rest } = world.reserved();
  assert.deepEqual(rest, before);
  assert.deepEqual(c, ['web/c']);
});

test('of several blocks of a Service one that a hand deleted is written again with the same addresses', async () => {
  const world = createWorld();
  world.pool('one', ['10.77.0.0/30', 'fd01::/126']);
  const spec = { ipFamilyPolicy: 'RequireDualStack', clusterIPs: ['10.96.0.1', 'fd00::1'] } as const;
  for (const key of ['web/a', 'web/b', 'web/c']) world.service(key, { spec });
  const controller = await world.controller();
  await controller.settle();
  await controller.remove('web/a');
  await controller.settle();
  const before = world.reserved();
  for (const block of ['10.77.0.0-24', 'fd01-0000-0000-0000-0000-0000-0000-0000-120']) {
    world.cluster.drop(resources.ipblocks, block);
    await controller.settle();
    assert.deepEqual(world.reserved(), before, block);
  }
});

test('what a hand wrote into the status of a Service that holds something else is not taken over', async () => {
  const world = createWorld();
  world.pool('one', ['10.77.0.0/24']);
  world.service('web/a');
  const controller = await world.controller();
  await controller.settle();
  world.service('web/a', { ingress: ['10.77.0.9'] });
  await controller.settle();
  assert.deepEqual(addressesOf(world.at('web/a')), ['10.77.0.0']);
  assert.deepEqual(world.reserved(), { '10.77.0.0': ['web/a'] });
});

test('a Service that holds an address and waits for another still waits after a restart', async () => {
  const world = createWorld();
  world.pool('one', ['10.77.0.0/24']);
  world.service('web/a');
  world.service('web/b');
  const first = await world.controller();
  await first.settle();
  world.service('web/b', { annotations: { 'metallb.io/loadBalancerIPs': '10.77.0.0' } });
  await world.clock.advance(1);
  await first.ensure('web/b');
  first.context.kill();
  const b = world.at('web/b');
  const conditions = [{ type: 'LoadBalancerDegraded', status: 'True', reason: 'StaleSpec' }];
  world.cluster.put(resources.services, { ...b, status: { ...b.status, conditions } });
  const second = await world.controller({ identity: 'second' });
  await world.clock.advance(100);
  assert.equal(second.provider.waiting(), 1);
  await second.remove('web/a');
  await second.settle();
  assert.deepEqual(addressesOf(world.at('web/b')), ['10.77.0.0']);
});

test('a MetalLB controller that serves the same Services is refused, with the way out', async () => {
  const world = createWorld();
  metallb(world, []);
  await assert.rejects(world.controller(), {
    code: 'FL_METALLB_RUNNING',
    message:
      /metallb-system\/controller-abc\) .*Services without a class.*scale deployment controller.*--load-balancer-class/,
  });
  await assert.rejects(world.controller({ config: { classes: ['none'] } }), { code: 'FL_METALLB_RUNNING' });
  await world.controller({ config: { classes: ['fairlead.dev/onprem'] } });
});

test('a MetalLB controller with a class of its own may run beside us, and keeps its ConfigurationState', async () => {
  const world = createWorld();
  const pod = metallb(world, ['--port=7472', '--lb-class=metallb.io/metallb']);
  const state = {
    apiVersion: 'metallb.io/v1beta1',
    kind: 'ConfigurationState',
    metadata: {
      namespace: METALLB,
      name: 'controller',
      labels: { 'metallb.io/component-type': 'controller' },
      ownerReferences: [{ apiVersion: 'v1', kind: 'Pod', name: pod.metadata.name, uid: pod.metadata.uid }],
    },
    status: { result: 'Valid' },
  };
  world.cluster.put(resources.configurationstates, state);
  world.pool('one', ['not a pool']);
  await world.controller();
  await world.clock.advance(1000);
  const now = world.cluster.get(resources.configurationstates, `${METALLB}/controller`);
  assert.deepEqual((now as unknown as typeof state).status, { result: 'Valid' });
  await assert.rejects(world.controller({ config: { classes: ['metallb.io/metallb'] } }), {
    code: 'FL_METALLB_RUNNING',
  });
});

test('the owner of a controller ConfigurationState counts as MetalLB whatever its labels; a dead one does not', async () => {
  const world = createWorld();
  const pod = metallb(world, [], { labels: { 'app.kubernetes.io/name': 'metallb' } });
  await world.controller();
  world.cluster.put(resources.configurationstates, {
    metadata: {
      namespace: METALLB,
      name: 'controller',
      labels: { 'metallb.io/component-type': 'controller' },
      ownerReferences: [{ apiVersion: 'v1', kind: 'Pod', name: pod.metadata.name, uid: pod.metadata.uid }],
    },
  });
  await assert.rejects(world.controller(), { code: 'FL_METALLB_RUNNING' });
  metallb(world, [], { labels: {}, phase: 'Succeeded' });
  await world.controller();
  metallb(world, [], { labels: { 'app.kubernetes.io/name': 'metallb', 'app.kubernetes.io/component': 'controller' } });
  await assert.rejects(world.controller(), { code: 'FL_METALLB_RUNNING' }); // as its Helm chart labels it
});

function metallb(
  { cluster }: World,
  args: readonly string[],
  { labels = { app: 'metallb', component: 'controller' }, phase = 'Running' }: { labels?: object; phase?: string } = {},
) {
  return cluster.put(resources.pods, {
    metadata: { namespace: METALLB, name: 'controller-abc', labels },
    spec: { containers: [{ command: ['/controller'], args }] },
    status: { phase },
  });
}

test('a config with mistakes is refused with each of them', async () => {
  const world = createWorld();
  await assert.rejects(
    world.controller({ config: { batchWindowMs: -1, clases: ['none'] } }),
    (error: Error & { code?: string }) => {
      assert.equal(error.code, 'FL_ONPREM_CONFIG');
      assert.match(error.message, /batchWindowMs/);
      assert.match(error.message, /clases/);
      return true;
    },
  );
});

test('a viewer answers like a controller and writes nothing', async () => {
  const world = createWorld();
  world.pool('one', ['10.77.0.0/24']);
  world.service('web/taken', { ingress: ['10.77.0.0'] });
  world.service('web/a');
  world.service('web/b');
  const viewer = await world.controller({ config: { viewer: true } });
  assert.equal(await previewed(viewer, world, 'web/a'), '10.77.0.1 (one)');
  await viewer.provider.loadBalancers.ensure(viewer.spec('web/a'), viewer.context.call());
  assert.equal(await previewed(viewer, world, 'web/b'), '10.77.0.2 (one)');
  await world.clock.advance(60_000);
  assert.deepEqual(kinds(world), []);
  assert.deepEqual(viewer.context.resyncs, []);
});

async function previewed({ provider, context, spec }: Controller, world: World, key: string) {
  const ref = { uid: world.at(key).metadata.uid, key };
  return (await provider.loadBalancers.preview(spec(key), ref, context.call()))[0]?.[0]?.target;
}

test('pools that become valid only after the start: what is published is taken over before anybody gets anything', async () => {
  const world = createWorld();
  world.pool('one', ['nonsense']);
  world.service('web/old', { created: '2026-02-01T00:00:00Z', ingress: ['10.77.0.3'] });
  world.service('web/new', { created: '2026-01-01T00:00:00Z' });
  const controller = await world.controller();
  await controller.settle();
  assert.deepEqual(addressesOf(world.at('web/old')), ['10.77.0.3']);
  world.pool('one', ['10.77.0.0/30']);
  await controller.settle();
  assert.deepEqual(world.reserved(), { '10.77.0.0': ['web/new'], '10.77.0.3': ['web/old'] });
  assert.deepEqual(addressesOf(world.at('web/old')), ['10.77.0.3']);
});
