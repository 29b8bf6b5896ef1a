import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createMemoryCloud } from '../../providers/memory/cloud.ts';
import { memoryModule } from '../../providers/memory/index.ts';
import { OWN_FINALIZER, STANDARD_FINALIZER } from '../../src/core/service/wanted.ts';
import { hold } from '../fake/provider.ts';
import { createRig, SOON_MS } from './rig.ts';

const CLASS = 'fake.dev/lb';
const served = ['Provisioning False/Complete', 'Serving True/Serving'];

// controllers.md, "Golden cases", SyncIfNeeded.

test('a ClusterIP Service is none of its business', async (t) => {
  const rig = createRig(t);
  await rig.start();
  const service = await rig.create('a', { type: 'ClusterIP' });
  await rig.clock.advance(SOON_MS);
  assert.deepEqual([rig.steps, rig.cloud.runs, rig.events('a')], [[], [], []]);
  assert.deepEqual(rig.get('a').metadata.resourceVersion, service.metadata.resourceVersion);
});

for (const protocol of ['TCP', 'UDP', 'SCTP'] as const) {
  test(`a ${protocol} LoadBalancer is created once, with one finalizer patch and one status patch`, async (t) => {
    const rig = createRig(t);
    await rig.start();
    await rig.create('a', { ports: [{ port: 80, protocol }] });
    await rig.clock.advance(SOON_MS);
    assert.deepEqual(rig.steps, [
      'patch default/a: +finalizer conditions',
      'create default/a',
      'patch default/a: conditions ingress',
    ]);
    assert.deepEqual(rig.get('a').metadata.finalizers, [STANDARD_FINALIZER]);
    assert.deepEqual(rig.get('a').status?.loadBalancer?.ingress, [{ ip: '192.0.2.1', ipMode: 'VIP' }]);
    assert.deepEqual(rig.conditions('a'), served);
    assert.deepEqual(rig.events('a'), [
      'Warning UnAvailableLoadBalancer: There are no available nodes for LoadBalancer',
      'Normal EnsuringLoadBalancer: Ensuring load balancer',
      'Normal EnsuredLoadBalancer: Ensured load balancer',
    ]);
  });
}

test('a LoadBalancer that has the finalizer already gets no finalizer patch', async (t) => {
  const rig = createRig(t);
  await rig.create('a', {}, { finalizers: [STANDARD_FINALIZER] });
  await rig.start();
  assert.deepEqual(rig.steps, ['create default/a', 'patch default/a: conditions ingress']);
});

test('a Service that became ClusterIP while nobody looked loses its load balancer, then finalizer and conditions', async (t) => {
  const rig = createRig(t);
  const first = await rig.start();
  await rig.create('a');
  await rig.clock.advance(SOON_MS);
  first.terminate();
  await rig.clock.advance(SOON_MS);
  await rig.edit('a', { spec: { type: 'ClusterIP' } });
  rig.steps.length = 0;

  await rig.start({ name: 'two' });
  assert.deepEqual(rig.steps, ['delete default/a', 'patch default/a: -finalizer conditions']);
  assert.deepEqual([rig.get('a').metadata.finalizers, rig.shown('a'), rig.conditions('a')], [undefined, [], []]);
  assert.deepEqual(rig.events('a').slice(-2), [
    'Normal DeletingLoadBalancer: Deleting load balancer',
    'Normal DeletedLoadBalancer: Deleted load balancer',
  ]);
});

test('a LoadBalancer that is being deleted loses its load balancer, then the finalizer, and goes', async (t) => {
  const rig = createRig(t);
  await rig.start();
  await rig.create('a');
  await rig.clock.advance(SOON_MS);
  rig.steps.length = 0;
  await rig.remove('a');
  await rig.clock.advance(SOON_MS);
  assert.deepEqual(rig.steps, ['delete default/a', 'patch default/a: -finalizer conditions -ingress']);
  assert.equal(rig.find('a'), undefined);
  assert.deepEqual(rig.events('a').slice(-2), [
    'Normal DeletingLoadBalancer: Deleting load balancer',
    'Normal DeletedLoadBalancer: Deleted load balancer',
  ]);
});

test('a deletion of which the cloud holds nothing says nothing, and takes the finalizer off', async (t) => {
  const rig = createRig(t);
  await rig.create('a', {}, { finalizers: [STANDARD_FINALIZER] });
  await rig.remove('a');
  await rig.start();
  assert.deepEqual(rig.steps, ['patch default/a: -finalizer']);
  assert.deepEqual([rig.find('a'), rig.events('a')], [undefined, []]);
});

test('the finalizer stays until the cloud shows no part at all', async (t) => {
  const rig = createRig(t);
  const cloud = createMemoryCloud({ clock: rig.clock, deleteMs: 5000 });
  await rig.start({ module: memoryModule(cloud) });
  await rig.create('a');
  await rig.clock.advance(SOON_MS);
  assert.equal(cloud.snapshot().length, 1);
  await rig.remove('a');
  await rig.clock.advance(4500);
  assert.equal(cloud.snapshot()[0]?.state, 'deleting');
  assert.deepEqual(rig.get('a').metadata.finalizers, [STANDARD_FINALIZER]);
  assert.deepEqual(rig.conditions('a'), ['Provisioning True/Provisioning', 'Serving True/Serving']);
  await rig.clock.advance(1500);
  assert.deepEqual([rig.find('a'), cloud.snapshot()], [undefined, []]);
  const events = rig.events('a').map((event) => event.split(':')[0]);
  assert.deepEqual(events.slice(-2), ['Normal DeletingLoadBalancer', 'Normal DeletedLoadBalancer']);
});

// Classes (Better 7; the reference's gap with foreign classes).

test('a Service of a foreign class is untouched byte for byte, also while it is deleted and carries the standard finalizer', async (t) => {
  const rig = createRig(t);
  const spec = { loadBalancerClass: 'other.dev/lb' };
  const more = {
    finalizers: [STANDARD_FINALIZER, 'other.dev/x'],
    status: { loadBalancer: { ingress: [{ ip: '8.8.8.8' }] } },
  };
  await rig.create('a', spec, more);
  await rig.create('b', spec, more);
  await rig.remove('b');
  const before = JSON.stringify([rig.get('a'), rig.get('b')]);
  const replica = await rig.start({ service: { driftCheckPeriodMs: 60_000 } });
  await rig.create('c', spec, more);
  await rig.node('n1');
  await rig.clock.advance(150_000); // two audits
  assert.equal(JSON.stringify([rig.get('a'), rig.get('b')]), before);
  await rig.edit('b', { metadata: { finalizers: null } }); // its controller has done its work
  await rig.clock.advance(SOON_MS);
  assert.equal(rig.find('b'), undefined);
  assert.deepEqual([replica.writes(), rig.cloud.runs], [[], []]);
  assert.deepEqual(['a', 'b', 'c'].flatMap(rig.events), []);
});

const selections = [
  { name: 'by default: classless ones and the classes of the provider', flags: {}, wanted: ['classless', 'own'] },
  { name: 'only the class that the flag names', flags: { classes: [CLASS] }, wanted: ['own'] },
  { name: 'only classless ones', flags: { classes: ['none'] }, wanted: ['classless'] },
  { name: 'a class that is not the provider’s own', flags: { classes: ['other.dev/lb'] }, wanted: ['foreign'] },
];
for (const { name, flags, wanted } of selections) {
  test(`serves ${name}`, async (t) => {
    const rig = createRig(t);
    await rig.start({ service: flags });
    await rig.create('classless');
    await rig.create('own', { loadBalancerClass: CLASS });
    await rig.create('foreign', { loadBalancerClass: 'other.dev/lb' });
    await rig.clock.advance(SOON_MS);
    const shown = ['classless', 'own', 'foreign'].filter((service) => rig.shown(service).length > 0);
    assert.deepEqual(shown, wanted);
  });
}

test('a provider that leaves classless Services to others gets them with --default-class only', async (t) => {
  const rig = createRig(t, { classlessByFlag: true });
  const first = await rig.start();
  await rig.create('classless');
  await rig.create('own', { loadBalancerClass: CLASS });
  await rig.clock.advance(SOON_MS);
  assert.deepEqual([rig.shown('classless'), rig.shown('own').length], [[], 1]);
  first.terminate();
  await rig.clock.advance(SOON_MS);
  await rig.start({ name: 'two', service: { defaultClass: true } });
  assert.equal(rig.shown('classless').length, 1);
});

test('a Service with a class gets our own finalizer, never the standard one', async (t) => {
  const rig = createRig(t);
  await rig.start();
  await rig.create('a', { loadBalancerClass: CLASS });
  await rig.clock.advance(SOON_MS);
  assert.deepEqual(rig.get('a').metadata.finalizers, [OWN_FINALIZER]);
});

// Type changes and finalizers of unknown owner (trap 3).

for (const [name, spec] of [
  ['with a class', { loadBalancerClass: CLASS }],
  ['without a class', {}],
] as const) {
  test(`a Service ${name} that changes its type and comes back is taken down and built anew`, async (t) => {
    const rig = createRig(t);
    await rig.start();
    await rig.create('a', spec);
    await rig.clock.advance(SOON_MS);
    rig.steps.length = 0;
    await rig.edit('a', { spec: { type: 'NodePort' } });
    await rig.clock.advance(SOON_MS);
    assert.deepEqual(rig.steps, ['delete default/a', 'patch default/a: -finalizer conditions']);
    assert.deepEqual([rig.get('a').metadata.finalizers, rig.conditions('a')], [undefined, []]);
    await rig.edit('a', { spec: { type: 'LoadBalancer', ...spec } });
    await rig.clock.advance(SOON_MS);
    assert.deepEqual([rig.shown('a'), rig.conditions('a')], [['192.0.2.2'], served]);
    const generic = rig.events('a').filter((event) => !event.includes('UnAvailable'));
    assert.deepEqual(
      generic.map((event) => event.split(/[ :]/)[1]),
      ['EnsuringLoadBalancer', 'EnsuredLoadBalancer', 'DeletingLoadBalancer', 'DeletedLoadBalancer'],
      'equal events within ten minutes raise their count',
    );
    assert.equal(generic.filter((event) => event.includes(' x2:')).length, 2);
  });
}

const writers = [
  { manager: 'cloud-controller-manager', takeover: ['cloud-controller-manager'], isOurs: true },
  { manager: 'fairlead', takeover: [], isOurs: true },
  { manager: 'cloud-controller-manager', takeover: [], isOurs: false },
  { manager: 'somebody', takeover: ['cloud-controller-manager'], isOurs: false },
];
for (const { manager, takeover, isOurs } of writers) {
  const what = isOurs ? 'is taken off' : 'is left alone, with a warning';
  test(`a standard finalizer that ${manager} wrote ${what}, taking over from [${takeover}]`, async (t) => {
    const rig = createRig(t);
    await rig.create('a', { type: 'NodePort' }, { finalizers: [STANDARD_FINALIZER], manager });
    const before = JSON.stringify(rig.get('a'));
    const replica = await rig.start({ service: { takeoverFieldManagers: takeover, driftCheckPeriodMs: 60_000 } });
    await rig.clock.advance(150_000);
    if (isOurs) {
      assert.deepEqual([rig.get('a').metadata.finalizers, rig.events('a')], [undefined, []]);
      return;
    }
    assert.equal(JSON.stringify(rig.get('a')), before);
    assert.deepEqual(rig.events('a'), [
      `Warning ForeignFinalizer: Left alone: finalizer ${STANDARD_FINALIZER} was written by ${manager} and no part of ours exists: it is left as it is`,
    ]);
    assert.equal(await replica.metric('fairlead_foreign_conflicts_total', { kind: 'finalizer' }), 1);
  });
}

test('parts of ours in the cloud prove that a finalizer is ours, whoever wrote it', async (t) => {
  const rig = createRig(t);
  const { metadata } = await rig.create(
    'a',
    { type: 'NodePort' },
    { finalizers: [STANDARD_FINALIZER], manager: 'somebody' },
  );
  rig.cloud.balancers.set(metadata.uid, {
    uid: metadata.uid,
    key: 'default/a',
    address: '192.0.2.9',
    ports: [],
    hosts: [],
    draining: [],
    options: {},
  });
  const replica = await rig.start();
  assert.deepEqual(rig.steps, ['delete default/a', 'patch default/a: -finalizer']);
  const reads = replica.requests.filter(({ method, path }) => method === 'GET' && path.includes('/services/a'));
  assert.deepEqual(reads, [], 'who wrote it does not matter any more');
});

for (const successor of [undefined, { manager: 'fairlead', finalizers: [STANDARD_FINALIZER] }]) {
  const what = successor === undefined ? 'is gone' : 'has been made anew under its name';
  test(`a Service whose leftovers are looked into and that ${what} by then is no business and no error`, async (t) => {
    const rig = createRig(t);
    await rig.create('a', { type: 'NodePort' }, { finalizers: [STANDARD_FINALIZER], manager: 'fairlead' });
    // The list still has the old one, and the watch says nothing for a while.
    const replica = await rig.start({
      faults: [
        { verb: 'watch', path: '/services', effect: { kind: 'late', ms: 60_000 }, times: Number.POSITIVE_INFINITY },
        { verb: 'get', path: '/leases', effect: { kind: 'delay', ms: 2000 } },
      ],
      unsettled: true,
    });
    await rig.clock.advance(100);
    await rig.edit('a', { metadata: { finalizers: null } });
    await rig.remove('a');
    if (successor !== undefined) await rig.create('a', { type: 'NodePort' }, successor);
    await rig.clock.advance(10_000);
    assert.ok(replica.leader.leads());
    assert.deepEqual([replica.writes(), rig.cloud.runs, rig.events('a')], [[], [], []]);
    for (const kind of ['transient', 'conflict'])
      assert.equal(await replica.metric('fairlead_reconcile_total', { result: kind }), 0);
  });
}

test('a reader of managedFields that fails is no verdict: it is asked again', async (t) => {
  const rig = createRig(t);
  await rig.create('a', { type: 'NodePort' }, { finalizers: [STANDARD_FINALIZER], manager: 'fairlead' });
  const path = '/services/a';
  await rig.start({ faults: [{ verb: 'get', path, times: 2, effect: { kind: 'status', status: 500 } }] });
  await rig.clock.advance(5000);
  assert.equal(rig.get('a').metadata.finalizers, undefined);
});

// One lock per load balancer (Better 4).

test('whatever happens to a Service while it is worked on waits for the end of that run, and is seen by the next', async (t) => {
  const rig = createRig(t);
  const replica = await rig.start({ service: { driftCheckPeriodMs: 2000 } });
  await rig.create('a');
  await rig.clock.advance(SOON_MS);
  const gate = hold();
  rig.cloud.script = ({ at }, call) => (at === 'setPorts' ? gate.until(call) : undefined);
  await rig.edit('a', { spec: { ports: [{ port: 81, protocol: 'TCP' }] } });
  await rig.clock.advance(100);
  assert.equal(gate.isHeld(), true);
  await rig.edit('a', { spec: { ports: [{ port: 82, protocol: 'TCP' }] } });
  await rig.node('n1');
  await rig.clock.advance(10_000); // node pass, drift audits, and the provider's own wish
  rig.cloud.context?.resync('test', [rig.get('a').metadata.uid]);
  await rig.clock.advance(100);
  assert.equal(gate.isHeld(), true);
  gate.release();
  await rig.clock.advance(SOON_MS);
  const [balancer] = rig.cloud.balancers.values();
  assert.match(balancer?.ports[0] ?? '', /^TCP\/82 /);
  assert.deepEqual(balancer?.hosts, ['n1']);
  assert.equal(rig.cloud.mostAtOnce, 1);
  assert.deepEqual(replica.complaints, []);
});

test('different Services are worked on side by side, as many as the flag allows', async (t) => {
  const rig = createRig(t);
  const gate = hold();
  let most = 0;
  let now = 0;
  rig.cloud.script = async ({ at }, call) => {
    if (at !== 'create') return;
    now += 1;
    most = Math.max(most, now);
    await gate.until(call);
    now -= 1;
  };
  await rig.start({ service: { concurrency: 3 } });
  for (const name of ['a', 'b', 'c', 'd', 'e']) await rig.create(name);
  await rig.clock.advance(SOON_MS);
  assert.equal(now, 3);
  gate.release();
  await rig.clock.advance(SOON_MS);
  assert.deepEqual([most, rig.cloud.balancers.size], [3, 5]);
});

test('a user change goes before the work of a node pass', async (t) => {
  const rig = createRig(t);
  await rig.start({ service: { concurrency: 1 } });
  for (const name of ['a', 'b', 'c', 'd']) await rig.create(name);
  await rig.clock.advance(SOON_MS);
  const gate = hold();
  rig.cloud.script = ({ at }, call) => (at === 'setHosts' ? gate.until(call) : undefined);
  rig.cloud.applied.length = 0;
  await rig.node('n1');
  await rig.clock.advance(SOON_MS);
  assert.equal(gate.isHeld(), true, 'the first of four is worked on');
  await rig.create('new');
  await rig.clock.advance(100);
  gate.release();
  await rig.clock.advance(SOON_MS);
  assert.match(rig.cloud.applied[1] ?? '', /^create default\/new/);
  assert.equal(rig.cloud.applied.length, 5);
});

// Our own writes, and others' (Better 1 and 2).

test('our own writes do not come back as work, and an unchanged world costs no further look', async (t) => {
  const rig = createRig(t);
  const replica = await rig.start();
  await rig.create('a');
  await rig.clock.advance(SOON_MS);
  assert.deepEqual(rig.cloud.runs, ['ensure default/a']);
  const writes = replica.writes().length;
  await rig.edit('a', { metadata: { labels: { team: 'x' } } });
  await rig.clock.advance(60_000);
  assert.deepEqual([rig.cloud.runs.length, replica.writes().length], [1, writes]);
});

const wipes = [
  { name: 'the published address', body: { status: { loadBalancer: { ingress: null } } }, patch: 'ingress' },
  {
    name: 'another address over ours',
    body: { status: { loadBalancer: { ingress: [{ ip: '8.8.8.8' }] } } },
    patch: 'ingress',
  },
  { name: 'our conditions', body: { status: { conditions: null } }, patch: 'conditions' },
] as const;
for (const { name, body, patch } of wipes) {
  test(`what somebody wiped or overwrote is restored within one event: ${name}`, async (t) => {
    const rig = createRig(t);
    await rig.start();
    await rig.create('a');
    await rig.clock.advance(SOON_MS);
    const before = rig.get('a');
    const steps = rig.steps.length;
    const events = rig.events('a');
    await rig.edit('a', body, { subresource: 'status' });
    await rig.clock.advance(100);
    assert.match(rig.steps.slice(steps).join(), new RegExp(`^patch default/a: .*${patch}`));
    assert.equal(rig.steps.length, steps + 1, 'one patch, and nothing in the cloud');
    assert.deepEqual(rig.get('a').status?.loadBalancer, before.status?.loadBalancer);
    assert.deepEqual(rig.conditions('a'), served);
    assert.deepEqual(rig.events('a'), events, 'nothing was ensured: nothing is said');
  });
}

test('what somebody wiped is restored also when a list skips the version that we had written', async (t) => {
  const rig = createRig(t);
  const late = { kind: 'late', ms: 5000 } as const;
  await rig.start({ faults: [{ verb: 'watch', path: '/services', effect: late }] });
  await rig.create('a');
  await rig.clock.advance(6000);
  assert.deepEqual(rig.conditions('a'), served);
  const { loadBalancer } = rig.get('a').status ?? {};
  await rig.edit('a', { status: { loadBalancer: { ingress: null } } }, { subresource: 'status' });
  await rig.api.kill();
  rig.api.store.compact();
  await rig.api.start();
  await rig.clock.advance(5000);
  assert.deepEqual(rig.get('a').status?.loadBalancer, loadBalancer);
});

test('our finalizer comes back when somebody takes it off', async (t) => {
  const rig = createRig(t);
  await rig.start();
  await rig.create('a');
  await rig.clock.advance(SOON_MS);
  await rig.edit('a', { metadata: { finalizers: null } });
  await rig.clock.advance(100);
  assert.deepEqual(rig.get('a').metadata.finalizers, [STANDARD_FINALIZER]);
});

test('annotations, finalizers and conditions of others survive all our patches', async (t) => {
  const rig = createRig(t);
  await rig.start();
  const condition = {
    type: 'Other',
    status: 'True',
    reason: 'X',
    message: '',
    lastTransitionTime: '2026-01-01T00:00:00Z',
  };
  await rig.create(
    'a',
    {},
    { annotations: { 'x.dev/a': '1' }, finalizers: ['x.dev/f'], status: { conditions: [condition] } },
  );
  await rig.clock.advance(SOON_MS);
  assert.deepEqual(rig.get('a').metadata.annotations, { 'x.dev/a': '1' });
  assert.deepEqual(rig.get('a').metadata.finalizers?.toSorted(), [STANDARD_FINALIZER, 'x.dev/f'].sort());
  await rig.edit('a', { spec: { type: 'ClusterIP' } });
  await rig.clock.advance(SOON_MS);
  const { metadata, status } = rig.get('a');
  assert.deepEqual([metadata.annotations, metadata.finalizers], [{ 'x.dev/a': '1' }, ['x.dev/f']]);
  assert.deepEqual(status?.conditions, [condition]);
});

// Identity: a name is not a Service.

test('a Service deleted and made again under its name while nobody looked: the old load balancer goes first', async (t) => {
  const rig = createRig(t);
  const replica = await rig.start({
    faults: [{ verb: 'watch', path: '/services', effect: { kind: 'late', ms: 3000 }, times: Number.POSITIVE_INFINITY }],
  });
  const old = await rig.create('a');
  await rig.clock.advance(10_000);
  assert.deepEqual(rig.shown('a'), ['192.0.2.1']);
  rig.steps.length = 0;
  await rig.edit('a', { metadata: { finalizers: null } });
  await rig.remove('a');
  const now = await rig.create('a');
  await rig.clock.advance(10_000);
  assert.notEqual(now.metadata.uid, old.metadata.uid);
  const made = rig.steps.filter((step) => !step.startsWith('patch'));
  assert.deepEqual(made, ['delete default/a', 'create default/a']);
  assert.deepEqual([...rig.cloud.balancers.keys()], [now.metadata.uid]);
  assert.deepEqual(rig.shown('a'), ['192.0.2.2']);
  assert.deepEqual(replica.complaints, []);
});

test('a Service that vanishes without its finalizer being honoured leaves no load balancer behind', async (t) => {
  const rig = createRig(t);
  await rig.start({
    faults: [{ verb: 'watch', path: '/services', effect: { kind: 'late', ms: 3000 }, times: Number.POSITIVE_INFINITY }],
  });
  await rig.create('a');
  await rig.clock.advance(10_000);
  await rig.edit('a', { metadata: { finalizers: null } });
  await rig.remove('a');
  await rig.clock.advance(10_000);
  assert.deepEqual([rig.find('a'), rig.cloud.balancers.size], [undefined, 0]);
});

test('a removal of a Service that is gone goes on over failures of the cloud', async (t) => {
  const rig = createRig(t);
  await rig.start({
    faults: [{ verb: 'watch', path: '/services', effect: { kind: 'late', ms: 3000 }, times: Number.POSITIVE_INFINITY }],
  });
  await rig.create('a');
  await rig.clock.advance(10_000);
  let failures = 3;
  rig.cloud.script = ({ at }) => {
    if (at !== 'delete' || failures === 0) return;
    failures -= 1;
    throw new Error('the cloud is down');
  };
  await rig.edit('a', { metadata: { finalizers: null } });
  await rig.remove('a');
  await rig.clock.advance(30_000);
  assert.deepEqual([failures, rig.cloud.balancers.size], [0, 0]);
});

// Writes against a world that moves on.

test('a conflict on our patch reads again and decides anew; the change that made it survives', async (t) => {
  const rig = createRig(t);
  await rig.start();
  let edits = 1;
  rig.cloud.script = async ({ at }) => {
    if (at !== 'create' || edits === 0) return;
    edits -= 1;
    await rig.edit('a', { metadata: { annotations: { 'x.dev/during': 'yes' } } });
  };
  await rig.create('a');
  await rig.clock.advance(5000);
  assert.deepEqual(rig.shown('a'), ['192.0.2.1']);
  assert.equal(rig.get('a').metadata.annotations?.['x.dev/during'], 'yes');
  assert.deepEqual(
    rig.events('a').filter((event) => event.startsWith('Warning Sync')),
    [],
    'a conflict is no news',
  );
  assert.equal([...rig.cloud.balancers.values()][0]?.options['x.dev/during'], 'yes');
});

test('what the watch shows of our first patch while the cloud works is no conflict for the second', async (t) => {
  const rig = createRig(t);
  const replica = await rig.start();
  rig.cloud.script = async ({ at }, call) => {
    if (at === 'create') await rig.clock.sleep(3000, call.signal);
  };
  await rig.create('a');
  await rig.clock.advance(3100);
  assert.deepEqual(rig.shown('a'), ['192.0.2.1']);
  const patches = replica.requests.filter(({ method, path }) => method === 'PATCH' && path.includes('/services/'));
  assert.deepEqual(
    patches.map(({ status }) => status),
    [200, 200],
  );
});

test('a status patch for a Service that is gone meanwhile is no error', async (t) => {
  const rig = createRig(t);
  const replica = await rig.start({ service: { classes: [CLASS] } });
  rig.cloud.script = async ({ at }) => {
    if (at !== 'create') return;
    await rig.edit('a', { metadata: { finalizers: null } });
    await rig.remove('a');
  };
  await rig.create('a', { loadBalancerClass: CLASS });
  await rig.clock.advance(5000);
  assert.deepEqual([rig.find('a'), rig.cloud.balancers.size, replica.complaints], [undefined, 0, []]);
  assert.equal(await replica.metric('fairlead_reconcile_total', { result: 'transient' }), 0);
});

test('addresses stay through every change that is not about them', async (t) => {
  const rig = createRig(t);
  await rig.start();
  await rig.node('n1');
  await rig.create('a');
  await rig.clock.advance(5000);
  const changes = [
    { spec: { ports: [{ port: 443, protocol: 'TCP', name: 'tls' }] } },
    { spec: { externalTrafficPolicy: 'Local' } },
    { spec: { externalTrafficPolicy: 'Cluster' } },
    { spec: { sessionAffinity: 'ClientIP' } },
    { spec: { loadBalancerSourceRanges: ['10.0.0.0/8'] } },
    { spec: { selector: { app: 'other' } } },
    { metadata: { annotations: { 'x.dev/a': 'b' } } },
  ];
  for (const change of changes) {
    await rig.edit('a', change);
    await rig.clock.advance(SOON_MS);
    assert.deepEqual(rig.shown('a'), ['192.0.2.1'], JSON.stringify(change));
  }
  assert.deepEqual(rig.conditions('a'), served);
});
