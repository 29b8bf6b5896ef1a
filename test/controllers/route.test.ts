import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CloudCall, CloudFault } from '../../providers/memory/cloud.ts';
import type { Routes } from '../../src/core/provider.ts';
import { sleepOn } from '../../src/work/clock.ts';
import { SOON_MS } from './rig.ts';
import { cidr, createRouteRig, PERIOD_MS, type RouteRig } from './route/rig.ts';

const fail = (operation: CloudCall['operation'], fault: CloudFault, name = '') => ({
  fault: (call: CloudCall): CloudFault | undefined =>
    call.operation === operation && call.name.includes(name) ? fault : undefined,
});
const writes = (rig: RouteRig) => rig.calls.filter((call) => /^(?:create|remove)Route/.test(call));
const lists = (rig: RouteRig) => rig.calls.filter((call) => call === 'listRoutes').length;
const foreign = (destination: string, target = 'memory://stranger') => ({
  table: 'main',
  destination: cidr(destination),
  target,
  tags: { cluster: 'another' },
});

// From node to route.

test('a node with pod CIDRs gets its routes, and NetworkUnavailable says so', async (t) => {
  const rig = createRouteRig(t);
  await rig.lead();
  await rig.join('a', ['10.120.0.0/24', 'a00:100::/24']);
  await rig.clock.advance(SOON_MS);
  assert.deepEqual(rig.routes(), ['main 10.120.0.0/24 memory://a', 'main a00:100::/24 memory://a']);
  const { lastTransitionTime, ...condition } = rig.nodeCondition('a') ?? {};
  assert.deepEqual(condition, {
    type: 'NetworkUnavailable',
    status: 'False',
    reason: 'RouteCreated',
    message: 'RouteController created a route',
    lastHeartbeatTime: lastTransitionTime,
  });
  assert.deepEqual(rig.events('a'), []);
});

test('NetworkUnavailable is True from the first moment until the routes are there', async (t) => {
  const rig = createRouteRig(t, { latencyMs: 10_000 });
  await rig.lead();
  await rig.clock.advance(20_000);
  await rig.join('a', ['10.120.0.0/24']);
  await rig.clock.advance(SOON_MS);
  assert.deepEqual([rig.routes(), rig.available('a')], [[], 'True/NoRouteCreated']);
  await rig.clock.advance(11_000);
  assert.deepEqual([rig.routes().length, rig.available('a')], [1, 'False/RouteCreated']);
});

test('a node in every table', async (t) => {
  const rig = createRouteRig(t, { routeTables: ['private', 'public'] });
  await rig.lead();
  await rig.join('a', ['10.120.0.0/24']);
  await rig.clock.advance(SOON_MS);
  assert.deepEqual(rig.routes(), ['private 10.120.0.0/24 memory://a', 'public 10.120.0.0/24 memory://a']);
});

test('a node without a pod CIDR is left as it is', async (t) => {
  const rig = createRouteRig(t);
  await rig.lead();
  await rig.join('a', ['10.120.0.0/24']);
  await rig.join('b', [], { condition: 'True/SomeOtherReason' });
  await rig.join('c');
  await rig.clock.advance(SOON_MS);
  assert.deepEqual(rig.routes(), ['main 10.120.0.0/24 memory://a']);
  assert.deepEqual([rig.available('b'), rig.available('c')], ['True/SomeOtherReason', '']);
});

test('a node that is not initialised waits for its providerID', async (t) => {
  const rig = createRouteRig(t);
  await rig.lead();
  await rig.join('a', ['10.120.0.0/24'], { providerID: '' });
  await rig.clock.advance(SOON_MS);
  assert.deepEqual([rig.routes(), rig.available('a'), rig.events('a')], [[], 'True/NoRouteCreated', []]);
  await rig.editNode('a', { spec: { providerID: 'memory://a' } });
  await rig.clock.advance(SOON_MS);
  assert.deepEqual([rig.routes().length, rig.available('a')], [1, 'False/RouteCreated']);
});

test('nodes of another cloud are never touched', async (t) => {
  const rig = createRouteRig(t);
  await rig.lead();
  await rig.join('hybrid', ['10.120.0.0/24'], { providerID: 'eks-hybrid:///eu-west-1/c/mi-1' });
  await rig.clock.advance(SOON_MS);
  assert.deepEqual([rig.routes(), rig.available('hybrid'), rig.events('hybrid')], [[], '', []]);
});

test('a node that goes takes its route along', async (t) => {
  const rig = createRouteRig(t);
  await rig.lead();
  await rig.join('a', ['10.120.0.0/24']);
  await rig.join('b', ['10.120.1.0/24']);
  await rig.clock.advance(SOON_MS);
  await rig.removeNode('a');
  await rig.clock.advance(SOON_MS);
  assert.deepEqual(rig.routes(), ['main 10.120.1.0/24 memory://b']);
});

test('a node that comes back as another machine: its old route goes first, then the new one comes', async (t) => {
  const rig = createRouteRig(t);
  await rig.lead();
  await rig.join('a', ['10.120.0.0/24']);
  await rig.clock.advance(SOON_MS);
  await rig.removeNode('a');
  await rig.join('a', ['10.120.0.0/24'], { providerID: 'memory://a2' });
  await rig.clock.advance(SOON_MS);
  assert.deepEqual(rig.routes(), ['main 10.120.0.0/24 memory://a2']);
  assert.deepEqual(writes(rig).slice(1), ['removeRoute main 10.120.0.0/24', 'createRoute main 10.120.0.0/24']);
  assert.equal(rig.available('a'), 'False/RouteCreated');
});

test('a cloud that can replace moves a CIDR in one call', async (t) => {
  const replaced: string[] = [];
  const wrap = (routes: Routes): Routes => ({
    ...routes,
    async replace(old, wanted, call) {
      replaced.push(`${old.nextHop} ${wanted.nextHop}`);
      await routes.remove(old, call);
      await routes.create(wanted, call);
    },
  });
  const rig = createRouteRig(t, { wrap });
  await rig.lead();
  await rig.join('a', ['10.120.0.0/24']);
  await rig.clock.advance(SOON_MS);
  await rig.removeNode('a');
  await rig.join('b', ['10.120.0.0/24']);
  await rig.clock.advance(SOON_MS);
  assert.deepEqual([rig.routes(), replaced], [['main 10.120.0.0/24 memory://b'], ['memory://a memory://b']]);
});

test('a cloud that routes to addresses: a changed address moves the route', async (t) => {
  const wrap = (routes: Routes): Routes => ({ ...routes, nextHop: ({ addresses }) => addresses[0]?.address });
  const rig = createRouteRig(t, { wrap });
  await rig.lead();
  await rig.join('a', ['10.120.0.0/24'], { addresses: ['10.0.1.1'] });
  await rig.clock.advance(SOON_MS);
  assert.deepEqual(rig.routes(), ['main 10.120.0.0/24 10.0.1.1']);
  await rig.setAddresses('a', ['10.0.1.2']);
  await rig.clock.advance(SOON_MS);
  assert.deepEqual(rig.routes(), ['main 10.120.0.0/24 10.0.1.2']);
});

// Economy.

test('a restart with everything in order writes nothing, to the cloud or the API server', async (t) => {
  const rig = createRouteRig(t);
  const first = await rig.lead({ name: 'one' });
  for (let at = 0; at < 20; at += 1) await rig.join(`n${at}`, [`10.120.${at}.0/24`]);
  await rig.clock.advance(SOON_MS);
  first.terminate();
  await rig.clock.advance(3000);
  rig.calls.length = 0;
  const second = await rig.lead({ name: 'two' });
  await rig.clock.advance(2000);
  assert.ok(second.leader.leads());
  assert.deepEqual([writes(rig), second.writes(), lists(rig)], [[], [], 1]);
});

test('an update of a node that changes nothing for routes asks the cloud nothing', async (t) => {
  const rig = createRouteRig(t);
  await rig.lead();
  await rig.join('a', ['10.120.0.0/24']);
  await rig.clock.advance(SOON_MS);
  await rig.clock.advance(120_000);
  rig.calls.length = 0;
  await rig.editNode('a', { metadata: { labels: { images: 'changed' } } });
  await rig.clock.advance(5000);
  assert.deepEqual(rig.calls, []);
});

test('a hundred nodes that join within a minute cost one call each, and two lists at most', async (t) => {
  const rig = createRouteRig(t);
  await rig.lead();
  for (let at = 0; at < 100; at += 1) {
    await rig.join(`n${at}`, [`10.120.${at}.0/24`]);
    await rig.clock.advance(590);
  }
  await rig.clock.advance(SOON_MS);
  assert.equal(rig.routes().length, 100);
  assert.deepEqual(new Set(writes(rig)).size, writes(rig).length);
  assert.ok(lists(rig) <= 2, `${lists(rig)} lists`);
  for (let at = 0; at < 100; at += 1) assert.equal(rig.available(`n${at}`), 'False/RouteCreated');
});

test('a list that lags behind our own writes makes no second write', async (t) => {
  const rig = createRouteRig(t, { consistencyMs: 8000 });
  await rig.lead();
  await rig.join('a', ['10.120.0.0/24']);
  await rig.clock.advance(57_000);
  await rig.removeNode('a');
  await rig.join('b', ['10.120.1.0/24']);
  await rig.clock.advance(SOON_MS);
  assert.equal(lists(rig), 1);
  await rig.clock.advance(3000);
  await rig.join('c', ['10.120.2.0/24']);
  await rig.clock.advance(SOON_MS);
  assert.equal(lists(rig), 2, 'the second shows the cloud as it was before a went and b came');
  await rig.clock.advance(20_000);
  assert.deepEqual(writes(rig), [
    'createRoute main 10.120.0.0/24',
    'removeRoute main 10.120.0.0/24',
    'createRoute main 10.120.1.0/24',
    'createRoute main 10.120.2.0/24',
  ]);
});

// Failures.

test('a route that cannot be made: an event, NetworkUnavailable True, tried again after 1 s and with backoff; others go on', async (t) => {
  const rig = createRouteRig(t, fail('createRoute', { code: 'Unavailable' }, '10.120.0.0/24'));
  await rig.lead();
  await rig.join('a', ['10.120.0.0/24', 'a00:100::/24']);
  await rig.join('b', ['10.120.1.0/24']);
  await rig.clock.advance(500);
  assert.deepEqual([rig.available('a'), rig.available('b')], ['True/NoRouteCreated', 'False/RouteCreated']);
  assert.equal(rig.nodeCondition('a')?.message?.startsWith('RouteController'), true);
  const tries = () => writes(rig).filter((call) => call.endsWith(' 10.120.0.0/24')).length;
  assert.equal(tries(), 1);
  await rig.clock.advance(1300);
  assert.equal(tries(), 2);
  await rig.clock.advance(2500);
  assert.equal(tries(), 3);
  await rig.clock.advance(100);
  const told =
    'Warning FailedToCreateRoute: Could not create route ' +
    `${rig.api.store.get('nodes', 'a')?.object.metadata.uid} 10.120.0.0/24 for node a after 0s: ` +
    'transient: FL_MEMORY_UNAVAILABLE: createRoute main 10.120.0.0/24: Unavailable';
  assert.deepEqual(rig.events('a'), [told]);
  await rig.clock.advance(3_600_000);
  assert.deepEqual(rig.events('a'), [told], 'told once');
  const before = tries();
  await rig.clock.advance(3_600_000);
  assert.ok(tries() - before >= 9 && tries() - before <= 12, `${tries() - before} tries in an hour`);
  rig.memory.configure({ fault: () => undefined });
  await rig.clock.advance(400_000);
  assert.equal(rig.available('a'), 'False/RouteCreated');
});

test('a failure of one table is made good there alone', async (t) => {
  const rig = createRouteRig(t, {
    routeTables: ['one', 'two'],
    ...fail('createRoute', { code: 'Unavailable' }, 'two '),
  });
  await rig.lead();
  await rig.join('a', ['10.120.0.0/24']);
  await rig.clock.advance(500);
  assert.deepEqual([rig.routes(), rig.available('a')], [['one 10.120.0.0/24 memory://a'], 'True/NoRouteCreated']);
  rig.memory.configure({ fault: () => undefined });
  rig.calls.length = 0;
  await rig.clock.advance(1500);
  assert.deepEqual([rig.routes().length, rig.available('a')], [2, 'False/RouteCreated']);
});

test('a create whose answer was lost is no conflict when it is tried again', async (t) => {
  let lost = 0;
  const rig = createRouteRig(t, {
    fault: ({ operation }) =>
      operation === 'createRoute' && lost++ === 0 ? { code: 'Unavailable', effect: true } : undefined,
  });
  await rig.lead();
  await rig.join('a', ['10.120.0.0/24']);
  await rig.clock.advance(2500);
  assert.deepEqual([rig.routes().length, rig.available('a'), rig.events('a')], [1, 'False/RouteCreated', []]);
});

test('a full table: told at once, tried again after five minutes, or as soon as another route goes', async (t) => {
  const rig = createRouteRig(t, { quotas: { routesPerTable: 1 } });
  await rig.lead();
  await rig.join('a', ['10.120.0.0/24']);
  await rig.clock.advance(SOON_MS);
  await rig.join('b', ['10.120.1.0/24']);
  await rig.clock.advance(SOON_MS);
  assert.equal(rig.available('b'), 'True/NoRouteCreated');
  assert.match(
    rig.events('b').join('\n'),
    /FailedToCreateRoute: .* quota: FL_MEMORY_QUOTA: quota routesPerTable: 1 of 1 in main/,
  );
  await rig.clock.advance(60_000);
  assert.equal(writes(rig).length, 2);
  await rig.removeNode('a');
  await rig.clock.advance(SOON_MS);
  assert.deepEqual([rig.routes(), rig.available('b')], [['main 10.120.1.0/24 memory://b'], 'False/RouteCreated']);
});

test('a table that gets nearly full is told before the first route is refused, once', async (t) => {
  const rig = createRouteRig(t, { quotas: { routesPerTable: 20 } });
  const replica = await rig.lead();
  for (let at = 0; at < 17; at += 1) await rig.join(`n${at}`, [`10.120.${at}.0/24`]);
  await rig.clock.advance(SOON_MS);
  const told = () => replica.complaints.filter(({ message }) => message === 'route table is nearly full').length;
  assert.deepEqual([told(), await replica.metric('fairlead_route_quota_remaining', { table: 'main' })], [0, 3]);
  await rig.join('n17', ['10.120.17.0/24']);
  await rig.clock.advance(SOON_MS);
  await rig.join('n18', ['10.120.18.0/24']);
  await rig.clock.advance(SOON_MS);
  assert.deepEqual([told(), await replica.metric('fairlead_route_quota_remaining', { table: 'main' })], [1, 1]);
  assert.deepEqual(rig.events('n17'), [
    'Warning RouteQuotaLow: Route table main holds 18 routes and takes 2 more; ask the cloud for a higher quota',
  ]);
});

test('a route that cannot be deleted is told about the node that it led to, and tried again', async (t) => {
  const rig = createRouteRig(t, fail('removeRoute', { code: 'Denied' }));
  await rig.lead();
  await rig.join('a', ['10.120.0.0/24']);
  await rig.clock.advance(SOON_MS);
  await rig.removeNode('a');
  await rig.clock.advance(SOON_MS);
  assert.match(
    rig.events('a').join('\n'),
    /^Warning FailedToDeleteRoute: Could not delete route \S+ 10\.120\.0\.0\/24 of node a after 0s: denied: FL_MEMORY_DENIED/,
  );
  rig.memory.configure({ fault: () => undefined });
  await rig.clock.advance(310_000);
  assert.deepEqual(rig.routes(), []);
});

test('a list that fails: nothing is written to the cloud, and it is asked again with backoff, not once per node', async (t) => {
  const rig = createRouteRig(t, fail('listRoutes', { code: 'Unavailable' }));
  await rig.lead();
  rig.memory.routes.put({ ...foreign('10.120.9.0/24'), tags: { cluster: 'test' } });
  for (let at = 0; at < 50; at += 1) await rig.join(`n${at}`, [`10.120.${at + 10}.0/24`]);
  await rig.clock.advance(60_000);
  assert.deepEqual(writes(rig), []);
  assert.ok(lists(rig) <= 8, `${lists(rig)} lists in a minute`);
  assert.equal(rig.available('n7'), 'True/NoRouteCreated');
  rig.memory.configure({ fault: () => undefined });
  await rig.clock.advance(120_000);
  assert.equal(rig.routes().length, 50);
  assert.equal(rig.available('n7'), 'False/RouteCreated');
});

test('lists that fail later are asked for at their own pace, however many routes wait for one', async (t) => {
  const broken = new Set<CloudCall['operation']>(['createRoute']);
  const rig = createRouteRig(t, {
    fault: ({ operation }) => (broken.has(operation) ? { code: 'Unavailable' } : undefined),
  });
  await rig.lead();
  for (let at = 0; at < 20; at += 1) await rig.join(`n${at}`, [`10.120.${at}.0/24`]);
  await rig.clock.advance(30_000);
  broken.add('listRoutes');
  rig.calls.length = 0;
  await rig.clock.advance(600_000);
  assert.ok(lists(rig) >= 3 && lists(rig) <= 12, `${lists(rig)} lists in ten minutes`);
  broken.clear();
  await rig.clock.advance(700_000);
  assert.equal(rig.routes().length, 20);
});

test('before the first list nothing is said about nodes that are known to be in order', async (t) => {
  const rig = createRouteRig(t, fail('listRoutes', { code: 'Unavailable' }));
  await rig.join('a', ['10.120.0.0/24'], { condition: 'False/RouteCreated' });
  await rig.lead();
  await rig.clock.advance(60_000);
  assert.equal(rig.available('a'), 'False/RouteCreated');
});

test('a provider that hangs: the run is ended after two minutes and tried again', async (t) => {
  let hangs = 0;
  const wrap = (routes: Routes): Routes => ({
    ...routes,
    create: async (route, call) => {
      if (hangs++ > 0) return await routes.create(route, call);
      await new Promise((_, reject) =>
        call.signal.addEventListener('abort', () => reject(call.signal.reason as Error)),
      );
    },
  });
  const rig = createRouteRig(t, { wrap });
  await rig.lead();
  await rig.join('a', ['10.120.0.0/24']);
  await rig.clock.advance(119_000);
  assert.equal(rig.routes().length, 0);
  await rig.clock.advance(5000);
  assert.equal(rig.routes().length, 1);
});

// Conflicts.

test('one pod CIDR on two nodes: the older one keeps it, the other gets a RouteConflict, and its turn when the older goes', async (t) => {
  const rig = createRouteRig(t);
  await rig.lead();
  await rig.join('old', ['10.120.0.0/24']);
  await rig.clock.advance(2000);
  await rig.join('young', ['10.120.0.0/24']);
  await rig.clock.advance(SOON_MS);
  assert.deepEqual(rig.routes(), ['main 10.120.0.0/24 memory://old']);
  assert.deepEqual([rig.available('old'), rig.available('young')], ['False/RouteCreated', 'True/NoRouteCreated']);
  const conflict =
    'Warning RouteConflict: invalid: spec.podCIDRs: "10.120.0.0/24" is also that of node old, which is older and keeps it (FL_ROUTE_CONFLICT)';
  assert.deepEqual([rig.events('old'), rig.events('young')], [[], [conflict]]);
  await rig.clock.advance(3 * PERIOD_MS);
  assert.deepEqual(rig.events('young'), [conflict], 'told once');
  assert.deepEqual(writes(rig), ['createRoute main 10.120.0.0/24']);
  await rig.removeNode('old');
  await rig.clock.advance(SOON_MS);
  assert.deepEqual(
    [rig.routes(), rig.available('young')],
    [['main 10.120.0.0/24 memory://young'], 'False/RouteCreated'],
  );
});

test('a pod CIDR outside the cluster CIDR gets no route, and its node an event', async (t) => {
  const rig = createRouteRig(t);
  await rig.lead();
  await rig.join('a', ['192.168.0.0/24']);
  await rig.clock.advance(SOON_MS);
  assert.deepEqual([rig.routes(), rig.available('a')], [[], 'True/NoRouteCreated']);
  assert.deepEqual(rig.events('a'), [
    'Warning FailedToCreateRoute: invalid: spec.podCIDRs: "192.168.0.0/24" is not inside --cluster-cidr=10.120.0.0/16,a00::/8 (FL_ROUTE_OUTSIDE)',
  ]);
});

for (const [where, destination] of [
  ['with the same destination', '10.120.0.0/24'],
  ['inside it', '10.120.0.128/25'],
] as const) {
  test(`a route that is not ours, ${where}: it stays, ours is not made, and the node is told at once`, async (t) => {
    const rig = createRouteRig(t);
    rig.memory.routes.put(foreign(destination));
    const replica = await rig.lead();
    await rig.join('a', ['10.120.0.0/24']);
    await rig.clock.advance(SOON_MS);
    assert.deepEqual(rig.routes(), [`main ${destination} memory://stranger`]);
    assert.deepEqual([writes(rig), rig.available('a')], [[], 'True/NoRouteCreated']);
    assert.match(
      rig.events('a').join('\n'),
      /FailedToCreateRoute: Could not create route \S+ 10\.120\.0\.0\/24 for node a after 0s: conflict: spec\.podCIDRs: 10\.120\.0\.0\/24: a route that is not ours would take its traffic: \S+ in main to memory:\/\/stranger \(FL_ROUTE_FOREIGN\)$/,
    );
    assert.equal(await replica.metric('fairlead_foreign_conflicts_total', { kind: 'route' }), 1);
    rig.memory.routes.drop('main', cidr(destination));
    await rig.clock.advance(PERIOD_MS);
    assert.deepEqual([rig.routes(), rig.available('a')], [['main 10.120.0.0/24 memory://a'], 'False/RouteCreated']);
  });
}

test('a route that is not ours and in nobody’s way is never touched', async (t) => {
  const rig = createRouteRig(t);
  for (const destination of ['10.120.200.0/24', '10.0.0.0/8', '0.0.0.0/0', '192.168.0.0/16'])
    rig.memory.routes.put(foreign(destination));
  const before = rig.routes();
  await rig.lead();
  await rig.join('a', ['10.120.0.0/24']);
  await rig.clock.advance(2 * PERIOD_MS);
  assert.deepEqual(rig.routes(), [...before, 'main 10.120.0.0/24 memory://a'].sort());
});

test('somebody else’s route since the last list: the conflict makes us look, and then say so', async (t) => {
  const rig = createRouteRig(t);
  await rig.lead();
  rig.memory.routes.put(foreign('10.120.0.0/24'));
  await rig.join('a', ['10.120.0.0/24']);
  await rig.clock.advance(3000);
  assert.match(rig.events('a').join('\n'), /FL_ROUTE_FOREIGN/);
  assert.deepEqual(rig.routes(), ['main 10.120.0.0/24 memory://stranger']);
});

// The condition.

for (const condition of ['False/CalicoIsUp', 'False/ExternalCNI']) {
  test(`a CNI says ${condition}: the route is made, the condition left alone`, async (t) => {
    const rig = createRouteRig(t);
    const replica = await rig.lead();
    await rig.join('a', ['10.120.0.0/24'], { condition });
    await rig.clock.advance(PERIOD_MS);
    assert.deepEqual([rig.routes().length, rig.available('a'), replica.writes()], [1, condition, []]);
  });
}

test('another’s True is overruled once; set again it is contested: told, and left alone', async (t) => {
  const rig = createRouteRig(t);
  await rig.lead();
  await rig.join('a', ['10.120.0.0/24'], { condition: 'True/SomeOtherReason' });
  await rig.clock.advance(SOON_MS);
  assert.equal(rig.available('a'), 'False/RouteCreated');
  await rig.setCondition('a', 'True/SomeOtherReason');
  await rig.clock.advance(SOON_MS);
  assert.equal(rig.available('a'), 'True/SomeOtherReason');
  await rig.clock.advance(3 * PERIOD_MS);
  assert.equal(rig.available('a'), 'True/SomeOtherReason');
  assert.deepEqual(rig.events('a'), [
    'Warning NetworkUnavailableContested: The routes of this node are there, and somebody else set NetworkUnavailable True again within 10 min: left alone from now on',
  ]);
  await rig.setCondition('a', 'False/CalicoIsUp');
  await rig.clock.advance(11 * 60_000);
  await rig.setCondition('a', 'True/SomeOtherReason');
  await rig.clock.advance(SOON_MS);
  assert.equal(rig.available('a'), 'False/RouteCreated', 'its writer had taken it back: a new case');
});

test('a CNI that writes while our patch is under way is not overwritten unseen', async (t) => {
  const rig = createRouteRig(t);
  const replica = await rig.lead();
  replica.faults.add({ verb: 'patch', path: '/nodes/a/status', times: 2, effect: { kind: 'delay', ms: 3000 } });
  await rig.join('a', ['10.120.0.0/24']);
  await rig.clock.advance(SOON_MS);
  await rig.setCondition('a', 'False/CalicoIsUp');
  await rig.clock.advance(30_000);
  assert.deepEqual([rig.available('a'), rig.routes().length], ['False/CalicoIsUp', 1]);
});

test('the second word about a node does not wait for the echo of the first', async (t) => {
  const rig = createRouteRig(t, { latencyMs: 100 });
  const late = {
    verb: 'watch',
    path: '/nodes',
    times: Number.POSITIVE_INFINITY,
    effect: { kind: 'late', ms: 1500 },
  } as const;
  const replica = await rig.lead({ faults: [late] });
  await rig.join('a', ['10.120.0.0/24']);
  await rig.clock.advance(2500);
  assert.equal(rig.available('a'), 'False/RouteCreated');
  const patches = replica.requests.filter(({ method }) => method === 'PATCH').map(({ status }) => status);
  assert.deepEqual(patches, [200, 200]);
});

test('somebody wipes our condition: it is written again within one event', async (t) => {
  const rig = createRouteRig(t);
  await rig.lead();
  await rig.join('a', ['10.120.0.0/24']);
  await rig.clock.advance(SOON_MS);
  await rig.wipeConditions('a');
  await rig.clock.advance(SOON_MS);
  assert.equal(rig.available('a'), 'False/RouteCreated');
});

test('a condition that cannot be written is tried again', async (t) => {
  const rig = createRouteRig(t);
  const replica = await rig.lead();
  replica.faults.add({ verb: 'patch', path: '/nodes/', times: 3, effect: { kind: 'status', status: 500 } });
  await rig.join('a', ['10.120.0.0/24']);
  await rig.clock.advance(20_000);
  assert.equal(rig.available('a'), 'False/RouteCreated');
});

// Drift.

test('the full verify repairs what was changed from outside, and counts it', async (t) => {
  const rig = createRouteRig(t);
  const replica = await rig.lead();
  await rig.join('a', ['10.120.0.0/24']);
  await rig.join('b', ['10.120.1.0/24']);
  await rig.clock.advance(SOON_MS);
  rig.memory.routes.drop('main', cidr('10.120.0.0/24'));
  rig.memory.routes.put({ ...foreign('10.120.1.0/24'), tags: { cluster: 'test' } });
  rig.memory.routes.put({ ...foreign('10.120.9.0/24', ''), tags: { cluster: 'test' } });
  await rig.clock.advance(PERIOD_MS);
  assert.deepEqual(rig.routes(), ['main 10.120.0.0/24 memory://a', 'main 10.120.1.0/24 memory://b']);
  assert.equal(await replica.metric('route_controller_route_corrections_total'), 2);
  assert.equal(await replica.metric('fairlead_drift_total', { kind: 'route' }), 2);
  assert.deepEqual([rig.available('a'), rig.available('b')], ['False/RouteCreated', 'False/RouteCreated']);
  rig.calls.length = 0;
  await rig.clock.advance(10 * PERIOD_MS);
  assert.ok(lists(rig) >= 10 && lists(rig) <= 12, `${lists(rig)} lists in ten periods`);
  assert.deepEqual(writes(rig), []);
});

// Leadership.

test('leadership lost in the middle of a write: the call is aborted, nothing more is written', async (t) => {
  const rig = createRouteRig(t, { latencyMs: 30_000 });
  const replica = await rig.lead();
  await rig.clock.advance(31_000);
  await rig.join('a', ['10.120.0.0/24', 'a00:100::/24']);
  await rig.clock.advance(SOON_MS);
  replica.faults.add({ path: '/leases', times: Number.POSITIVE_INFINITY, effect: { kind: 'status', status: 500 } });
  await rig.clock.run(() => !replica.leader.leads(), { maxMs: 20_000 });
  const before = [rig.calls.length, replica.writes().length];
  await rig.clock.advance(120_000);
  assert.deepEqual([rig.calls.length, replica.writes().length], before);
  assert.deepEqual([rig.routes(), replica.end], [[], 'lost']);
});

test('a process that was stopped writes nothing when it wakes: no timer has told it yet that it lost', async (t) => {
  const never = new AbortController().signal;
  const wrap = (routes: Routes): Routes => ({
    ...routes,
    async remove(route, call) {
      // All that a stopped process notices: the clock has moved on.
      await rig.clock.sleep(60_000, never);
      await routes.remove(route, call);
    },
  });
  const rig = createRouteRig(t, { wrap });
  let isStopped = false;
  const clock = {
    ...rig.clock,
    after: (ms: number, run: () => void) => rig.clock.after(ms, () => isStopped || run()),
    sleep: (ms: number, signal: AbortSignal): Promise<void> => sleepOn(clock, ms, signal),
  };
  const replica = await rig.lead({ clock });
  await rig.join('a', ['10.120.0.0/24']);
  await rig.clock.advance(SOON_MS);
  await rig.removeNode('a');
  await rig.join('b', ['10.120.0.0/24']);
  await rig.clock.advance(SOON_MS);
  const before = replica.writes().length;
  isStopped = true;
  await rig.clock.advance(61_000);
  assert.deepEqual(writes(rig).slice(1), ['removeRoute main 10.120.0.0/24'], 'the call that had begun');
  assert.equal(replica.writes().length, before);
  isStopped = false;
});

test('SIGTERM: the write under way ends, and is shown', async (t) => {
  const rig = createRouteRig(t, { latencyMs: 4000 });
  const replica = await rig.lead();
  await rig.clock.advance(5000);
  await rig.join('a', ['10.120.0.0/24']);
  await rig.clock.advance(SOON_MS);
  replica.terminate();
  await rig.clock.advance(8000);
  assert.deepEqual([rig.routes().length, rig.available('a'), replica.end], [1, 'False/RouteCreated', 'stopped']);
});

// Metrics, and what keeps the controller off.

test('metrics: routes by state, and the time from a pod CIDR to its route', async (t) => {
  const rig = createRouteRig(t, { latencyMs: 2000, ...fail('createRoute', { code: 'Denied' }, '10.120.1.0/24') });
  rig.memory.routes.put(foreign('10.120.9.0/24'));
  const replica = await rig.lead();
  await rig.clock.advance(2000);
  await rig.join('a', ['10.120.0.0/24']);
  await rig.join('b', ['10.120.1.0/24']);
  await rig.join('c', ['10.120.0.0/24']);
  await rig.join('d', ['10.120.3.0/24'], { providerID: '' });
  await rig.clock.advance(5000);
  const states = ['ready', 'pending', 'failed', 'refused', 'leftover'];
  const counts = await Promise.all(states.map((state) => replica.metric('fairlead_routes', { state })));
  assert.deepEqual(counts, [1, 1, 1, 1, 0]);
  const text = await replica.metrics.text();
  assert.match(text, /fairlead_time_to_route_seconds_count 1/);
  assert.match(text, /fairlead_time_to_route_seconds_bucket\{le="2.5"\} 1/);
  assert.match(text, /fairlead_actions_total\{controller="route",kind="createRoute",outcome="ok"\} 1/);
  assert.match(text, /workqueue_adds_total\{name="Routes",controller="route"\} \d/);
  assert.equal(await replica.metric('running_managed_controllers', { name: 'node-route-controller' }), 1);
});

for (const [why, options] of [
  ['an empty --cluster-cidr', { clusterCidrs: [] }],
  [
    '--configure-cloud-routes=false',
    { route: { configure: false, clusterCidrs: [cidr('10.120.0.0/16')], periodMs: PERIOD_MS } },
  ],
] as const) {
  test(`${why} keeps it off: no call, no condition`, async (t) => {
    const rig = createRouteRig(t);
    const replica = await rig.lead(options);
    await rig.join('a', ['10.120.0.0/24']);
    await rig.clock.advance(2 * PERIOD_MS);
    assert.deepEqual([lists(rig), writes(rig), rig.available('a')], [0, [], '']);
    assert.equal(await replica.metric('running_managed_controllers', { name: 'node-route-controller' }), 0);
  });
}

test('nothing is left to run: the process ends, and says why', async (t) => {
  const rig = createRouteRig(t);
  const route = { configure: true, clusterCidrs: [], periodMs: PERIOD_MS };
  const module = { apiVersion: 1, create: async () => ({ name: 'bare', close: async () => {} }) } as const;
  const replica = await rig.start({ module, route });
  await rig.clock.advance(3000);
  const { code, message } = replica.end as { readonly code?: string; readonly message?: string };
  assert.equal(code, 'FL_PROVIDER_EMPTY');
  assert.equal(
    message,
    'provider "bare" has nothing for any controller that is asked for: service-lb-controller: provider "bare" has no load balancers; node-route-controller: provider "bare" has no routes',
  );
});
