import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hold } from '../../fake/provider.ts';
import { createRig, type Meta, type Rig } from '../rig.ts';

const SETTLED_MS = 6000; // longer than any debounce
const EXCLUDED = 'node.kubernetes.io/exclude-from-external-load-balancers';
const SCALE_DOWN = { key: 'ToBeDeletedByClusterAutoscaler', effect: 'NoSchedule' } as const;
const SHUTDOWN = { key: 'node.cloudprovider.kubernetes.io/shutdown', effect: 'NoSchedule' } as const;

/** Nodes and Services that are served; then nothing that happened before counts. */
async function world(
  t: Parameters<typeof createRig>[0],
  {
    nodes,
    services,
    options = {},
  }: { nodes: readonly string[]; services: readonly string[]; options?: Parameters<typeof createRig>[1] },
): Promise<Rig> {
  const rig = createRig(t, options);
  for (const name of nodes) await rig.node(name);
  for (const name of services) await rig.create(name);
  await rig.start();
  await rig.clock.advance(SETTLED_MS);
  rig.cloud.applied.length = 0;
  rig.cloud.runs.length = 0;
  return rig;
}

// controllers.md, "Golden cases", Hosts update.

const rows: readonly {
  name: string;
  services: readonly (readonly [string, object, Meta?])[];
  calls: readonly string[];
}[] = [
  { name: 'no Service', services: [], calls: [] },
  {
    name: 'only ClusterIP and NodePort',
    services: [
      ['c', { type: 'ClusterIP' }],
      ['n', { type: 'NodePort' }],
    ],
    calls: [],
  },
  { name: 'one load balancer', services: [['a', {}]], calls: ['setHosts default/a: n1 n2'] },
  {
    name: 'three load balancers',
    services: [
      ['a', {}],
      ['b', {}],
      ['c', {}],
    ],
    calls: ['setHosts default/a: n1 n2', 'setHosts default/b: n1 n2', 'setHosts default/c: n1 n2'],
  },
  {
    name: 'two load balancers and two others',
    services: [
      ['a', {}],
      ['c', { type: 'ClusterIP' }],
      ['b', {}],
      ['n', { type: 'NodePort' }],
    ],
    calls: ['setHosts default/a: n1 n2', 'setHosts default/b: n1 n2'],
  },
  {
    name: 'one load balancer and one of a foreign class',
    services: [
      ['a', {}],
      ['f', { loadBalancerClass: 'other.dev/lb' }],
    ],
    calls: ['setHosts default/a: n1 n2'],
  },
];
for (const { name, services, calls } of rows) {
  test(`a new node is one call per load balancer: ${name}`, async (t) => {
    const rig = createRig(t);
    await rig.node('n1');
    for (const [service, spec, more] of services) await rig.create(service, spec, more);
    await rig.start();
    await rig.clock.advance(SETTLED_MS);
    rig.cloud.applied.length = 0;
    await rig.node('n2');
    await rig.clock.advance(SETTLED_MS);
    assert.deepEqual(rig.cloud.applied.toSorted(), calls);
  });
}

test('four load balancers with two workers are four calls', async (t) => {
  const rig = createRig(t);
  for (const name of ['a', 'b', 'c', 'd']) await rig.create(name);
  await rig.start({ service: { concurrency: 2 } });
  rig.cloud.applied.length = 0;
  await rig.node('n1');
  await rig.clock.advance(SETTLED_MS);
  assert.deepEqual(
    rig.cloud.applied.toSorted(),
    ['a', 'b', 'c', 'd'].map((name) => `setHosts default/${name}: n1`),
  );
});

for (const nodes of [['n1'], ['n1', 'n2'], ['n1', 'n2', 'n3', 'n4']]) {
  test(`${nodes.length} nodes that join at once are one call per load balancer with exactly those hosts`, async (t) => {
    const rig = await world(t, { nodes: [], services: ['a', 'b', 'c', 'd'] });
    for (const node of nodes) await rig.node(node);
    await rig.clock.advance(SETTLED_MS);
    const expected = ['a', 'b', 'c', 'd'].map((name) => `setHosts default/${name}: ${nodes.join(' ')}`);
    assert.deepEqual(rig.cloud.applied.toSorted(), expected);
    assert.deepEqual(rig.events('a').at(-1), 'Normal UpdatedLoadBalancer: Updated load balancer with new hosts');
  });
}

test('a list of nodes that fails changes nothing; when it comes, what it shows counts', async (t) => {
  const rig = createRig(t);
  for (const name of ['a', 'b', 'c', 'd']) await rig.create(name);
  await rig.node('n1');
  const replica = await rig.start({
    unsettled: true,
    faults: [{ verb: 'list', path: '/nodes', times: 3, effect: { kind: 'status', status: 500 } }],
  });
  await rig.clock.advance(500);
  assert.deepEqual([rig.cloud.applied, replica.leader.unready()], [[], 'not synced: nodes']);
  await rig.clock.advance(20_000);
  assert.deepEqual(
    rig.cloud.applied.toSorted(),
    ['a', 'b', 'c', 'd'].map((name) => `create default/${name}: n1`),
  );
});

test('a providerID that is set makes another target; the same one again does not', async (t) => {
  const rig = createRig(t);
  await rig.node('n1', { providerID: '' });
  await rig.node('n2');
  await rig.node('n3');
  await rig.create('a');
  await rig.start();
  await rig.clock.advance(SETTLED_MS);
  const targets: (readonly string[])[] = [];
  rig.cloud.judge = (spec) => void targets.push(spec.targets.map(({ id }) => id));
  await rig.editNode('n1', { spec: { providerID: 'fake://n1' } });
  await rig.clock.advance(SETTLED_MS);
  assert.deepEqual(targets.at(-1), ['fake://n1', 'fake://n2', 'fake://n3']);
  rig.cloud.runs.length = 0;
  await rig.editNode('n1', { spec: { providerID: 'fake://n1' } });
  await rig.editNode('n1', { metadata: { annotations: { a: 'b' } } });
  await rig.clock.advance(SETTLED_MS);
  assert.deepEqual(rig.cloud.runs, []);
});

test('one node for another is an update with exactly the new set', async (t) => {
  const rig = await world(t, { nodes: ['n1', 'n2'], services: ['a'] });
  await rig.removeNode('n2');
  await rig.node('n3');
  await rig.clock.advance(SETTLED_MS);
  assert.deepEqual(rig.cloud.applied, ['setHosts default/a: n1 n3']);
});

const silent: readonly [string, object][] = [
  ['cordoned', { spec: { unschedulable: true } }],
  ['labelled', { metadata: { labels: { x: 'y' } } }],
  ['excluded with a false value', { metadata: { labels: { [EXCLUDED]: 'false' } } }],
  ['tainted by somebody else', { spec: { taints: [{ key: 'x', effect: 'NoSchedule' }] } }],
];
for (const [name, body] of silent) {
  test(`a node that is ${name} stays a target, and costs no call, nor a look at all Services`, async (t) => {
    const rig = createRig(t);
    for (const node of ['n1', 'n2']) await rig.node(node);
    await rig.create('a');
    const replica = await rig.start();
    const passes = async () =>
      /service_controller_nodesync_latency_seconds_count (\d+)/.exec(await replica.metrics.text())?.[1];
    rig.cloud.applied.length = 0;
    rig.cloud.runs.length = 0;
    await rig.editNode('n1', body);
    await rig.clock.advance(SETTLED_MS);
    assert.deepEqual([rig.cloud.applied, rig.cloud.runs, await passes()], [[], [], '0']);
  });
}

test('a node whose readiness changes stays a target (KEP-3458)', async (t) => {
  const rig = await world(t, { nodes: ['n1', 'n2'], services: ['a'] });
  for (const status of ['False', 'Unknown', 'True']) {
    const condition = { type: 'Ready', status, reason: 'X', message: '', lastTransitionTime: '2026-01-01T00:00:00Z' };
    await rig.user.call({
      method: 'PATCH',
      path: '/api/v1/nodes/n1/status',
      contentType: 'application/merge-patch+json',
      body: { status: { conditions: [condition] } },
      signal: new AbortController().signal,
    });
    await rig.clock.advance(SETTLED_MS);
  }
  assert.deepEqual(rig.cloud.runs, []);
});

test('a provider that looks at labels and readiness itself gets another set when they change', async (t) => {
  const rig = await world(t, {
    nodes: ['n1', 'n2', 'n3', 'n4'],
    services: ['a'],
    options: { interpretation: { acceptsNode: ({ labels }) => labels['role'] !== 'db' } },
  });
  await rig.editNode('n1', { metadata: { labels: { role: 'db' } } });
  await rig.clock.advance(SETTLED_MS);
  assert.deepEqual(rig.cloud.applied, ['setHosts default/a: n2 n3 n4']);
});

// Debounce: 500 ms quiet, 5 s at most.

test('a burst of nodes is one pass, half a second after the last', async (t) => {
  const rig = await world(t, { nodes: [], services: ['a'] });
  for (const name of ['n1', 'n2', 'n3', 'n4']) {
    await rig.node(name);
    await rig.clock.advance(400);
  }
  assert.deepEqual(rig.cloud.applied, []);
  await rig.clock.advance(99);
  assert.deepEqual(rig.cloud.applied, []);
  await rig.clock.advance(1);
  assert.deepEqual(rig.cloud.applied, ['setHosts default/a: n1 n2 n3 n4']);
});

test('a burst that does not end is looked at after five seconds', async (t) => {
  const rig = await world(t, { nodes: [], services: ['a'] });
  for (let at = 0; at < 12; at += 1) {
    await rig.node(`n${String(at).padStart(2, '0')}`);
    await rig.clock.advance(400);
  }
  assert.deepEqual(rig.cloud.applied, []);
  await rig.node('n12');
  await rig.clock.advance(200);
  assert.equal(rig.cloud.applied.length, 1);
  assert.equal(rig.cloud.applied.join().split(' ').length, 2 + 13);
});

test('100 nodes that join in 10 s are at most 3 target updates per load balancer, and none for an unchanged set', async (t) => {
  const rig = createRig(t, {
    interpretation: { acceptsNode: ({ labels }) => labels['old'] === 'yes' || labels['team'] !== 'unwanted' },
  });
  await rig.node('n0', { labels: { old: 'yes' } });
  for (const name of ['a', 'b', 'c']) await rig.create(name);
  const replica = await rig.start();
  await rig.clock.advance(SETTLED_MS);
  rig.cloud.applied.length = 0;
  rig.cloud.runs.length = 0;
  for (let at = 0; at < 100; at += 1) {
    await rig.node(`m${String(at).padStart(3, '0')}`);
    await rig.clock.advance(100);
  }
  await rig.clock.advance(SETTLED_MS);
  for (const name of ['a', 'b', 'c']) {
    const updates = rig.cloud.applied.filter((step) => step.includes(`default/${name}:`));
    assert.ok(updates.length >= 1 && updates.length <= 3, `${updates.length} updates of ${name}`);
    assert.equal(updates.at(-1)?.split(' ').length, 2 + 101);
  }
  assert.equal(rig.cloud.runs.length, rig.cloud.applied.length, 'no look without a change');
  assert.equal(await replica.metric('service_controller_loadbalancer_sync_total'), rig.cloud.applied.length);

  rig.cloud.runs.length = 0;
  for (let at = 0; at < 20; at += 1) {
    await rig.node(`u${at}`, { labels: { team: 'unwanted' } });
    await rig.clock.advance(100);
  }
  await rig.clock.advance(SETTLED_MS);
  assert.deepEqual(rig.cloud.runs, [], 'their sets of targets did not change');
});

// SlowNodeSync.

test('a slow update with an old list is followed by one with the new, and no other Service gets the old one', async (t) => {
  const rig = await world(t, { nodes: ['n1'], services: ['a', 'b'] });
  const gate = hold();
  rig.cloud.script = ({ at, key }, call) => (at === 'setHosts' && key === 'default/a' ? gate.until(call) : undefined);
  await rig.edit('b', { spec: { type: 'ClusterIP' } }); // so that only A is updated with {1,2}
  await rig.node('n2');
  await rig.clock.advance(SETTLED_MS);
  assert.equal(gate.isHeld(), true);
  await rig.node('n3');
  await rig.edit('b', { spec: { type: 'LoadBalancer' } });
  await rig.clock.advance(SETTLED_MS);
  gate.release();
  await rig.clock.advance(SETTLED_MS);
  const of = (key: string) => rig.cloud.applied.filter((step) => step.includes(` default/${key}:`));
  assert.deepEqual(of('a'), ['setHosts default/a: n1 n2', 'setHosts default/a: n1 n2 n3']);
  assert.deepEqual(of('b').at(-1)?.endsWith(': n1 n2 n3'), true);
  assert.ok(of('b').length <= 2 && of('b').every((step) => !step.startsWith('setHosts') || step.endsWith('n3')));
  assert.equal(rig.cloud.mostAtOnce, 1);
});

// Drain: leaving nodes keep their connections for a while.

const leaving: readonly [string, (rig: Rig) => Promise<unknown>, (rig: Rig) => Promise<unknown>][] = [
  [
    'the autoscaler’s taint',
    (rig) => rig.editNode('n1', { spec: { taints: [SCALE_DOWN] } }),
    (rig) => rig.editNode('n1', { spec: { taints: null } }),
  ],
  [
    'the shutdown taint',
    (rig) => rig.editNode('n1', { spec: { taints: [SHUTDOWN] } }),
    (rig) => rig.editNode('n1', { spec: { taints: null } }),
  ],
  [
    'the exclude label',
    (rig) => rig.editNode('n1', { metadata: { labels: { [EXCLUDED]: '' } } }),
    (rig) => rig.editNode('n1', { metadata: { labels: { [EXCLUDED]: null } } }),
  ],
];
for (const [name, leave, comeBack] of leaving) {
  test(`${name} drains a node, then detaches it after half a minute`, async (t) => {
    const rig = await world(t, { nodes: ['n1', 'n2', 'n3'], services: ['a'] });
    await leave(rig);
    await rig.clock.advance(600);
    const balancer = () => [...rig.cloud.balancers.values()][0];
    assert.deepEqual([balancer()?.hosts, balancer()?.draining], [['n2', 'n3'], ['n1']]);
    await rig.clock.advance(29_000);
    assert.deepEqual(balancer()?.draining, ['n1']);
    await rig.clock.advance(2000);
    assert.deepEqual([balancer()?.hosts, balancer()?.draining], [['n2', 'n3'], []]);
    assert.deepEqual(rig.cloud.applied.length, 2);
  });

  test(`${name} that goes again before that brings the node back at once`, async (t) => {
    const rig = await world(t, { nodes: ['n1', 'n2', 'n3'], services: ['a'] });
    await leave(rig);
    await rig.clock.advance(10_000);
    await comeBack(rig);
    await rig.clock.advance(600);
    const [balancer] = rig.cloud.balancers.values();
    assert.deepEqual([balancer?.hosts, balancer?.draining], [['n1', 'n2', 'n3'], []]);
    await rig.clock.advance(60_000);
    assert.deepEqual([...rig.cloud.balancers.values()][0]?.hosts, ['n1', 'n2', 'n3']);
  });
}

test('a node that is being deleted drains; its object gone, it goes', async (t) => {
  const rig = await world(t, { nodes: ['n1', 'n2', 'n3'], services: ['a'] });
  await rig.editNode('n1', { metadata: { finalizers: ['x.dev/wait'] } });
  await rig.removeNode('n1');
  await rig.clock.advance(600);
  const balancer = () => [...rig.cloud.balancers.values()][0];
  assert.deepEqual([balancer()?.hosts, balancer()?.draining], [['n2', 'n3'], ['n1']]);
  await rig.editNode('n1', { metadata: { finalizers: null } });
  await rig.clock.advance(600);
  assert.deepEqual([balancer()?.hosts, balancer()?.draining], [['n2', 'n3'], []]);
});

test('a node that was excluded from the start is never a target', async (t) => {
  const rig = createRig(t);
  await rig.node('n1', { labels: { [EXCLUDED]: 'true' } });
  await rig.node('n2', { taints: [SCALE_DOWN] });
  await rig.node('n3');
  await rig.create('a');
  await rig.start();
  const [balancer] = rig.cloud.balancers.values();
  assert.deepEqual([balancer?.hosts, balancer?.draining], [['n3'], []]);
});

// The floor (Better 10).

test('more than half of the targets never go in one step: a second look half a minute later has to want it too', async (t) => {
  const rig = await world(t, { nodes: ['n1', 'n2', 'n3', 'n4'], services: ['a'] });
  for (const name of ['n1', 'n2', 'n3']) await rig.removeNode(name);
  await rig.clock.advance(1000);
  const balancer = () => [...rig.cloud.balancers.values()][0];
  assert.deepEqual(balancer()?.hosts, ['n1', 'n2', 'n3', 'n4']);
  assert.deepEqual(
    rig.events('a').filter((event) => event.includes('TargetRemovalHeld')),
    [
      'Warning TargetRemovalHeld: 3 of 4 targets would go in one step: kept until a second look 30 s later. [fake://n1 fake://n2 fake://n3]',
    ],
  );
  await rig.clock.advance(28_000);
  assert.deepEqual(balancer()?.hosts, ['n1', 'n2', 'n3', 'n4']);
  await rig.clock.advance(3000);
  assert.deepEqual(balancer()?.hosts, ['n4'], 'the second look wants it too');
  assert.equal(rig.events('a').filter((event) => event.includes('TargetRemovalHeld')).length, 1);
});

test('the last target does not go in one step either', async (t) => {
  const rig = await world(t, { nodes: ['n1'], services: ['a'] });
  await rig.removeNode('n1');
  await rig.clock.advance(10_000);
  assert.deepEqual([...rig.cloud.balancers.values()][0]?.hosts, ['n1']);
  await rig.clock.advance(25_000);
  assert.deepEqual([...rig.cloud.balancers.values()][0]?.hosts, []);
});

test('nodes that come back before the second look were never away', async (t) => {
  const rig = await world(t, { nodes: ['n1', 'n2'], services: ['a'] });
  await rig.removeNode('n1');
  await rig.removeNode('n2');
  await rig.clock.advance(10_000);
  await rig.node('n1');
  await rig.node('n2');
  await rig.clock.advance(60_000);
  assert.deepEqual(rig.cloud.applied, []);
  assert.deepEqual([...rig.cloud.balancers.values()][0]?.hosts, ['n1', 'n2']);
});

test('a held removal does not hold what is added, and not a user’s change', async (t) => {
  const rig = await world(t, { nodes: ['n1', 'n2'], services: ['a'] });
  await rig.removeNode('n1');
  await rig.removeNode('n2');
  await rig.node('n3');
  await rig.edit('a', { spec: { ports: [{ port: 81, protocol: 'TCP' }] } });
  await rig.clock.advance(1000);
  const [balancer] = rig.cloud.balancers.values();
  assert.deepEqual(balancer?.hosts, ['n1', 'n2', 'n3']);
  assert.match(balancer?.ports[0] ?? '', /^TCP\/81 /);
});

test('removals that are held are counted', async (t) => {
  const rig = createRig(t);
  await rig.node('n1');
  await rig.create('a');
  const replica = await rig.start();
  await rig.removeNode('n1');
  await rig.clock.advance(1000);
  assert.equal(await replica.metric('fairlead_removals_held_total', { kind: 'target' }), 1);
});

// A provider without targets.

test('a provider that needs no targets does not notice nodes, and misses none', async (t) => {
  const rig = createRig(t, { interpretation: { targetKind: 'none' } });
  await rig.create('a', { allocateLoadBalancerNodePorts: false });
  await rig.start();
  assert.deepEqual(rig.shown('a'), ['192.0.2.1']);
  assert.deepEqual(
    rig.events('a').filter((event) => event.startsWith('Warning')),
    [],
  );
  rig.cloud.runs.length = 0;
  for (const name of ['n1', 'n2', 'n3']) await rig.node(name);
  await rig.clock.advance(SETTLED_MS);
  await rig.removeNode('n1');
  await rig.clock.advance(SETTLED_MS);
  assert.deepEqual(rig.cloud.runs, []);
});

// What the reference's metrics say.

test('node passes, updates and their failures are counted under the reference’s names', async (t) => {
  const rig = createRig(t);
  await rig.node('n1');
  await rig.create('a');
  const replica = await rig.start();
  await rig.node('n2');
  await rig.clock.advance(1000);
  const count = (name: string) => replica.metric(name);
  assert.deepEqual(
    [await count('service_controller_loadbalancer_sync_total'), await count('service_controller_nodesync_error_total')],
    [1, 0],
  );
  let failures = 1;
  rig.cloud.script = ({ at }) => {
    if (at !== 'setHosts' || failures === 0) return;
    failures -= 1;
    throw new Error('the cloud is down');
  };
  await rig.node('n3');
  await rig.clock.advance(10_000);
  assert.deepEqual(
    [await count('service_controller_loadbalancer_sync_total'), await count('service_controller_nodesync_error_total')],
    [2, 1],
  );
  const text = await replica.metrics.text();
  assert.match(text, /service_controller_nodesync_latency_seconds_count 2/);
  assert.match(text, /service_controller_update_loadbalancer_host_latency_seconds_count 2/);
  assert.match(text, /fairlead_target_update_seconds_count 2/);
});
