import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Lease } from '../../src/core/objects.ts';
import { resources } from '../../src/kube/resource.ts';
import { sleepOn } from '../../src/work/clock.ts';
import { hold } from '../fake/provider.ts';
import { createRig, lease, type Replica, type Rig, SOON_MS } from './rig.ts';

const endless = { times: Number.POSITIVE_INFINITY } as const;
const leaseOf = (rig: Rig) =>
  (rig.api.store.get('leases.coordination.k8s.io', 'kube-system/fairlead-controller')?.object ??
    {}) as unknown as Lease;
/** What it writes from now on; requests that had begun included. */
function writesFrom(replica: Replica): () => readonly string[] {
  const first = replica.requests.length;
  return () =>
    replica.requests
      .slice(first)
      .filter(({ method }) => method !== 'GET')
      .map(({ method, path }) => `${method} ${path.split('?')[0]}`);
}
const cutLease = (replica: Replica) =>
  replica.faults.add({ path: '/leases', ...endless, effect: { kind: 'status', status: 500 } });

// Losing the lease.

test('leadership lost in the middle of a run: the call to the cloud is aborted, nothing more is written, the process ends as lost', async (t) => {
  const rig = createRig(t);
  const gate = hold();
  let aborted: unknown;
  rig.cloud.script = async ({ at }, call) => {
    if (at !== 'create') return;
    await gate.until(call).catch((error: unknown) => {
      aborted = error;
      throw error;
    });
  };
  const replica = await rig.start();
  await rig.create('a');
  await rig.clock.advance(SOON_MS);
  assert.ok(gate.isHeld());
  cutLease(replica);
  await rig.clock.run(() => !replica.leader.leads(), { maxMs: 20_000 });
  const writes = writesFrom(replica);
  await rig.clock.advance(60_000);
  assert.equal(replica.end, 'lost');
  assert.match(String(aborted), /not renewed/);
  assert.deepEqual([rig.cloud.applied, writes()], [[], []]);
  assert.deepEqual(rig.conditions('a'), ['Provisioning True/Provisioning', 'Serving False/Provisioning']);
});

test('a provider that does not listen to the abort cannot make us write: its result is dropped', async (t) => {
  const rig = createRig(t);
  const { promise, resolve } = Promise.withResolvers<void>();
  rig.cloud.script = async ({ at }) => {
    if (at === 'create') await promise;
  };
  const replica = await rig.start();
  await rig.create('a');
  await rig.clock.advance(SOON_MS);
  cutLease(replica);
  await rig.clock.run(() => !replica.leader.leads(), { maxMs: 20_000 });
  const writes = writesFrom(replica);
  await rig.clock.advance(5000);
  assert.equal(replica.end, undefined, 'the work under way has ten seconds');
  resolve();
  await rig.clock.advance(60_000);
  assert.deepEqual(rig.cloud.applied, ['create default/a'], 'the call that had begun');
  assert.deepEqual([replica.end, rig.shown('a'), writes()], ['lost', [], []]);
});

test('what the first leader left half done, the second finishes', async (t) => {
  const rig = createRig(t);
  const { promise } = Promise.withResolvers<void>();
  rig.cloud.script = async ({ at }) => {
    if (at === 'create') await promise;
  };
  const first = await rig.start({ name: 'one' });
  await rig.create('a');
  await rig.clock.advance(SOON_MS);
  const second = await rig.start({ name: 'two' });
  first.faults.add({ ...endless, effect: { kind: 'refuse' } });
  rig.cloud.script = () => {};
  const crashedMs = rig.clock.monotonicMs();
  await rig.clock.run(() => second.leader.leads(), { maxMs: 17_000 });
  assert.ok(rig.clock.monotonicMs() - crashedMs <= 17_000);
  await rig.clock.advance(SOON_MS);
  assert.deepEqual(rig.shown('a'), ['192.0.2.1']);
  assert.equal(leaseOf(rig).spec?.holderIdentity, 'two_uuid');
});

test('a crash is over after 17 s at most, whenever it comes', async (t) => {
  for (let phaseMs = 0; phaseMs < 4000; phaseMs += 250) {
    const rig = createRig(t);
    const first = await rig.start({ name: 'one' });
    const second = await rig.start({ name: 'two' });
    await rig.clock.advance(10_000 + phaseMs);
    first.faults.add({ ...endless, effect: { kind: 'refuse' } });
    await rig.clock.run(() => second.leader.leads(), { maxMs: 17_000 });
  }
});

test('a write is refused here when time has passed that no timer saw (SIGSTOP)', async (t) => {
  const rig = createRig(t);
  const replica = await rig.start();
  let refusal: unknown;
  rig.cloud.script = async ({ at }, call) => {
    if (at !== 'create') return;
    // All that a stopped process notices: the clock has moved on.
    await rig.clock.sleep(60_000, new AbortController().signal);
    const block = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { namespace: 'default', name: 'x' } };
    refusal = await rig.cloud.context?.kube
      .create(resources.configmaps, block, { ...call, signal: new AbortController().signal })
      .catch((error: unknown) => error);
  };
  await rig.create('a');
  await rig.clock.advance(SOON_MS);
  cutLease(replica);
  await rig.clock.advance(120_000);
  assert.equal((refusal as { code?: string }).code, 'FL_KUBE_NOT_LEADER');
  assert.equal(rig.api.store.get('configmaps', 'default/x'), undefined);
});

test('what a stopped process finds done when it wakes is not written: no timer has told it yet that it lost', async (t) => {
  const rig = createRig(t);
  let isStopped = false;
  const clock = {
    ...rig.clock,
    after: (ms: number, run: () => void) => rig.clock.after(ms, () => isStopped || run()),
    sleep: (ms: number, signal: AbortSignal): Promise<void> => sleepOn(clock, ms, signal),
  };
  const gate = hold();
  rig.cloud.script = ({ at }, call) => (at === 'create' ? gate.until(call) : undefined);
  const replica = await rig.start({ clock });
  await rig.create('a');
  await rig.clock.advance(SOON_MS);
  isStopped = true;
  await rig.clock.advance(60_000);
  assert.ok(gate.isHeld(), 'nothing has aborted it');
  const writes = writesFrom(replica);
  gate.release();
  await rig.clock.settle();
  assert.deepEqual([rig.cloud.applied, writes()], [['create default/a'], []]);
  isStopped = false;
});

// SIGTERM.

test('SIGTERM: the run under way is finished and shown, nothing new begins, then the lease is given back', async (t) => {
  const rig = createRig(t);
  const gate = hold();
  rig.cloud.script = ({ at, key }, call) => (at === 'create' && key === 'default/a' ? gate.until(call) : undefined);
  const replica = await rig.start({ service: { concurrency: 1 } });
  await rig.create('a');
  await rig.create('b');
  await rig.clock.advance(SOON_MS);
  const writes = writesFrom(replica);
  replica.terminate();
  await rig.clock.advance(100);
  await rig.create('c');
  await rig.clock.advance(6000);
  assert.deepEqual([replica.end, leaseOf(rig).spec?.holderIdentity, rig.cloud.applied], [undefined, 'one_uuid', []]);
  gate.release();
  await rig.clock.advance(10);
  assert.equal(replica.end, 'stopped');
  assert.equal(leaseOf(rig).spec?.holderIdentity, '');
  assert.deepEqual([rig.cloud.applied, rig.shown('a')], [['create default/a'], ['192.0.2.1']]);
  const lease = 'PUT /apis/coordination.k8s.io/v1/namespaces/kube-system/leases/fairlead-controller';
  const others = writes().filter((write) => !write.includes('/events'));
  assert.deepEqual(
    others.filter((write) => write !== lease),
    ['PATCH /api/v1/namespaces/default/services/a/status'],
  );
  assert.equal(others.at(-1), lease);
});

test('SIGTERM: what has not ended after eight seconds is aborted', async (t) => {
  const rig = createRig(t);
  const gate = hold();
  rig.cloud.script = ({ at }, call) => (at === 'create' ? gate.until(call) : undefined);
  const replica = await rig.start();
  await rig.create('a');
  await rig.clock.advance(SOON_MS);
  replica.terminate();
  await rig.clock.advance(7900);
  assert.ok(gate.isHeld());
  await rig.clock.advance(200);
  assert.deepEqual(
    [gate.isHeld(), replica.end, leaseOf(rig).spec?.holderIdentity, rig.cloud.applied],
    [false, 'stopped', '', []],
  );
});

test('the lease lost while the last work is finished: it is aborted, nothing more is written', async (t) => {
  const rig = createRig(t);
  const gate = hold();
  rig.cloud.script = ({ at }, call) => (at === 'create' ? gate.until(call) : undefined);
  const replica = await rig.start();
  await rig.create('a');
  await rig.clock.advance(SOON_MS);
  cutLease(replica);
  await rig.clock.advance(5000);
  replica.terminate();
  await rig.clock.run(() => !replica.leader.leads(), { maxMs: 20_000 });
  const writes = writesFrom(replica);
  await rig.clock.advance(20_000);
  assert.deepEqual([gate.isHeld(), rig.cloud.applied, writes()], [false, [], []]);
  assert.equal(replica.end, 'stopped');
});

test('SIGTERM hands over in under three seconds', async (t) => {
  const rig = createRig(t);
  const first = await rig.start({ name: 'one' });
  const second = await rig.start({ name: 'two' });
  for (let at = 0; at < 20; at += 1) await rig.create(`s${at}`);
  await rig.clock.advance(SOON_MS);
  first.terminate();
  const atMs = rig.clock.monotonicMs();
  await rig.clock.run(() => second.leader.leads(), { maxMs: 5000 });
  assert.ok(rig.clock.monotonicMs() - atMs < 3000, `${rig.clock.monotonicMs() - atMs} ms`);
  await rig.create('new');
  await rig.clock.advance(SOON_MS);
  assert.equal(rig.shown('new').length, 1);
});

test('SIGTERM with a provider that never lets go: ten seconds, then the lease is given back all the same', async (t) => {
  const rig = createRig(t);
  rig.cloud.script = async ({ at }) => {
    if (at === 'create') await new Promise(() => {});
  };
  const replica = await rig.start();
  await rig.create('a');
  await rig.clock.advance(SOON_MS);
  replica.terminate();
  await rig.clock.advance(9000);
  assert.deepEqual([replica.end, leaseOf(rig).spec?.holderIdentity], [undefined, 'one_uuid']);
  await rig.clock.advance(4000);
  assert.deepEqual([replica.end, leaseOf(rig).spec?.holderIdentity], ['stopped', '']);
});

test('what was done last before SIGTERM is told', async (t) => {
  const rig = createRig(t);
  const replica = await rig.start();
  replica.faults.add({ verb: 'create', path: '/events', times: 4, effect: { kind: 'delay', ms: 500 } });
  await rig.create('a');
  await rig.clock.advance(10);
  assert.deepEqual([rig.shown('a').length, rig.events('a')], [1, []]);
  replica.terminate();
  await rig.clock.advance(5000);
  assert.equal(replica.end, 'stopped');
  assert.ok(rig.events('a').includes('Normal EnsuredLoadBalancer: Ensured load balancer'), rig.events('a').join());
});

test('SIGTERM before the watches are filled, and while another leads, ends at once', async (t) => {
  const rig = createRig(t);
  await rig.start({ name: 'one' });
  const standby = await rig.start({ name: 'two' });
  const unsynced = await rig.start({
    name: 'three',
    faults: [{ path: '/services', ...endless, effect: { kind: 'status', status: 500 } }],
  });
  for (const replica of [standby, unsynced]) {
    replica.terminate();
    await rig.clock.advance(10);
    assert.equal(replica.end, 'stopped');
  }
  assert.equal(leaseOf(rig).spec?.holderIdentity, 'one_uuid');
});

// Starting.

test('a restart with 500 settled Services writes nothing but the Lease, says nothing, and reads in bulk', async (t) => {
  const rig = createRig(t);
  for (let at = 0; at < 3; at += 1) await rig.node(`n${at}`);
  for (let at = 0; at < 500; at += 1) await rig.create(`s${at}`);
  const first = await rig.start({ name: 'one' });
  await rig.clock.advance(60_000);
  assert.equal(rig.cloud.balancers.size, 500);
  first.terminate();
  await rig.clock.advance(5000);
  const events = rig.api.store.list('events').length;
  rig.cloud.applied.length = 0;
  rig.cloud.runs.length = 0;
  const reads: string[] = [];
  rig.cloud.script = ({ at }) => void reads.push(at);

  const second = await rig.start({ name: 'two' });
  await rig.clock.advance(30_000);
  assert.ok(second.leader.leads());
  assert.deepEqual([second.writes(), rig.cloud.applied, rig.cloud.runs, reads], [[], [], [], ['observeAll']]);
  assert.equal(rig.api.store.list('events').length, events);
  const sent = new Set(second.requests.map(({ method, path }) => `${method} ${path.split('?')[0]}`));
  assert.deepEqual([...sent].sort(), [
    'GET /api/v1/nodes',
    'GET /api/v1/services',
    'GET /apis/coordination.k8s.io/v1/namespaces/kube-system/leases/fairlead-controller',
    'PUT /apis/coordination.k8s.io/v1/namespaces/kube-system/leases/fairlead-controller',
  ]);

  await rig.create('new');
  await rig.clock.advance(SOON_MS);
  assert.equal(rig.shown('new').length, 1);
  assert.equal(rig.cloud.runs.length, 1);
});

test('a standby is warm: ready and healthy, it has read everything, makes no provider, and lists nothing when it takes over', async (t) => {
  let made = 0;
  const rig = createRig(t, {
    create: () => {
      made += 1;
    },
  });
  await rig.create('a');
  const first = await rig.start({ name: 'one' });
  const second = await rig.start({ name: 'two' });
  await rig.clock.advance(10_000);
  assert.deepEqual(
    [second.leader.leads(), second.leader.unready(), second.leader.unhealthy(), made],
    [false, undefined, undefined, 1],
  );
  assert.deepEqual(
    second.requests.filter(({ method }) => method !== 'GET'),
    [],
  );
  assert.equal(await second.metric('leader_election_master_status', { name: lease.name }), 0);
  const lists = () => second.requests.filter(({ path }) => path.includes('limit=')).length;
  const before = lists();
  first.terminate();
  await rig.clock.advance(5000);
  assert.deepEqual([second.leader.leads(), made, lists()], [true, 2, before]);
  assert.equal(await second.metric('leader_election_master_status', { name: lease.name }), 1);
  assert.equal(await second.metric('running_managed_controllers', { name: 'service-lb-controller' }), 1);
  assert.equal(await first.metric('leader_election_master_status', { name: lease.name }), 0);
});

test('without election it leads at once, and no Lease is asked for', async (t) => {
  const rig = createRig(t);
  await rig.create('a');
  const replica = await rig.start({ lease: 'none' });
  assert.deepEqual([replica.leader.leads(), rig.shown('a').length, replica.leader.unhealthy()], [true, 1, undefined]);
  assert.ok(replica.requests.every(({ path }) => !path.includes('lease')));
  replica.terminate();
  await rig.clock.advance(SOON_MS);
  assert.equal(replica.end, 'stopped');
});

test('it is unready until services and nodes are read, and says which are missing', async (t) => {
  const rig = createRig(t);
  const replica = await rig.start({
    faults: [
      { verb: 'list', path: '/services', times: 2, effect: { kind: 'status', status: 500 } },
      { verb: 'list', path: '/nodes', effect: { kind: 'delay', ms: 3000 } },
    ],
    unsettled: true,
  });
  assert.equal(replica.leader.unready(), 'not synced: services, nodes');
  await rig.clock.advance(10_000);
  assert.deepEqual([replica.leader.unready(), replica.leader.leads()], [undefined, true]);
});

test('a leader that does not renew is unhealthy after lease duration and 20 s, whatever else it does or does not', async (t) => {
  const rig = createRig(t);
  let isStopped = false;
  const clock = {
    ...rig.clock,
    // As SIGSTOP: time goes on, no timer fires; then a probe comes before any of them.
    after: (ms: number, run: () => void) => rig.clock.after(ms, () => isStopped || run()),
    sleep: (ms: number, signal: AbortSignal): Promise<void> => sleepOn(clock, ms, signal),
  };
  const replica = await rig.start({ clock });
  await rig.clock.advance(30_000);
  assert.equal(replica.leader.unhealthy(), undefined);
  isStopped = true;
  await rig.clock.advance(34_000);
  assert.equal(replica.leader.unhealthy(), undefined);
  await rig.clock.advance(4000);
  assert.match(replica.leader.unhealthy() ?? '', /^lease not renewed for 3\d s$/);
  assert.equal(replica.leader.leads(), false, 'and it knows that it does not lead any more');
  isStopped = false;
});

test('a provider that never closes does not keep the process', async (t) => {
  const rig = createRig(t, { close: () => new Promise<void>(() => {}) });
  const replica = await rig.start();
  replica.terminate();
  await rig.clock.advance(5000);
  assert.deepEqual([replica.end, leaseOf(rig).spec?.holderIdentity], ['stopped', '']);
});

test('a provider that refuses to start ends the process with its error, and others need not wait for the lease', async (t) => {
  const rig = createRig(t, {
    create: (context) => {
      if (context.cluster === 'test') throw new Error('another controller runs here');
    },
  });
  const replica = await rig.start();
  await rig.clock.advance(5000);
  assert.match(String(replica.end), /another controller runs here/);
  assert.equal(leaseOf(rig).spec?.holderIdentity, '');
  assert.equal(rig.clock.timers, 0, 'nothing keeps the process alive');
});

test('a provider without load balancers is refused and closed', async (t) => {
  const rig = createRig(t);
  let closed = 0;
  const module = {
    apiVersion: 1 as const,
    create: async () => ({
      name: 'empty',
      close: async () => {
        closed += 1;
      },
    }),
  };
  const replica = await rig.start({ module });
  await rig.clock.advance(5000);
  assert.equal((replica.end as { code?: string }).code, 'FL_PROVIDER_EMPTY');
  assert.deepEqual([closed, leaseOf(rig).spec?.holderIdentity, rig.clock.timers], [1, '', 0]);
});

for (const how of ['SIGTERM', 'lost'] as const) {
  test(`while the provider is still starting: ${how} ends the process`, async (t) => {
    const rig = createRig(t, {
      create: async (context) => {
        await context.objects(resources.configmaps);
      },
    });
    const replica = await rig.start({
      faults: [{ path: '/configmaps', ...endless, effect: { kind: 'status', status: 500 } }],
    });
    assert.equal(replica.leader.leads(), true);
    if (how === 'SIGTERM') replica.terminate();
    else cutLease(replica);
    await rig.clock.advance(15_000);
    assert.equal(replica.end, how === 'SIGTERM' ? 'stopped' : 'lost');
    if (how === 'SIGTERM') assert.equal(leaseOf(rig).spec?.holderIdentity, '');
  });
}

// Two at once.

test('of two replicas one works; a Service is worked on once, and the other takes over everything', async (t) => {
  const rig = createRig(t);
  const replicas = [await rig.start({ name: 'one' }), await rig.start({ name: 'two' })] as const;
  for (let at = 0; at < 10; at += 1) await rig.create(`s${at}`);
  await rig.clock.advance(5000);
  assert.deepEqual(
    replicas.map((replica) => replica.leader.leads()),
    [true, false],
  );
  assert.equal(rig.cloud.runs.length, 10);
  assert.deepEqual(replicas[1].writes(), []);
  replicas[0].terminate();
  await rig.clock.advance(5000);
  await rig.edit('s0', { spec: { ports: [{ port: 81, protocol: 'TCP' }] } });
  await rig.remove('s1');
  await rig.clock.advance(5000);
  assert.equal(rig.cloud.balancers.size, 9);
  assert.equal(rig.cloud.mostAtOnce, 1);
});

test('events say who wrote them: the controller, and the pod it runs in', async (t) => {
  const rig = createRig(t);
  await rig.start({ name: 'fairlead-controller-7d9f' });
  await rig.create('a');
  await rig.clock.advance(SOON_MS);
  const events = rig.api.store.list('events').map(({ object }) => object as unknown as Record<string, unknown>);
  assert.ok(events.length > 0);
  for (const event of events) {
    assert.deepEqual(event['source'], { component: 'service-controller' });
    assert.deepEqual(
      [event['reportingComponent'], event['reportingInstance']],
      ['service-controller', 'fairlead-controller-7d9f'],
    );
    const { apiVersion, kind, name, uid } = event['involvedObject'] as Record<string, unknown>;
    assert.deepEqual([apiVersion, kind, name, uid], ['v1', 'Service', 'a', rig.get('a').metadata.uid]);
  }
});

test("a provider's requests to its backend are counted and timed by the process's clock", async (t) => {
  const rig = createRig(t);
  const replica = await rig.start();
  const end = rig.cloud.context?.metrics?.begun('CreateThing');
  await rig.clock.advance(250);
  end?.('Busy');
  const of = { operation: 'CreateThing' };
  assert.equal(await replica.metric('fairlead_cloud_requests_total', { ...of, code: 'Busy' }), 1);
  assert.match(await replica.metrics.text(), /fairlead_cloud_request_duration_seconds_sum\{.*"CreateThing"\} 0\.25\n/);
});

test('with the webhook every replica reads the namespaces, is unready until then, and answers reviews', async (t) => {
  const rig = createRig(t, { gated: ({ key }) => [`x.dev/${key.split('/')[1]}`] });
  const labels = { 'elbv2.k8s.aws/pod-readiness-gate-inject': 'enabled' };
  await rig.user.call({
    method: 'POST',
    path: '/api/v1/namespaces',
    body: { metadata: { name: 'shop', labels } },
    signal: new AbortController().signal,
  });
  await rig.create('web', {}, { namespace: 'shop' });
  const first = await rig.start({ name: 'one', webhook: true });
  const slow = { verb: 'list', path: '/namespaces', effect: { kind: 'delay', ms: 5000 } } as const;
  const second = await rig.start({ name: 'two', webhook: true, faults: [slow] });
  const review = JSON.stringify({
    apiVersion: 'admission.k8s.io/v1',
    request: {
      uid: 'x',
      operation: 'CREATE',
      namespace: 'shop',
      resource: { group: '', version: 'v1', resource: 'pods' },
      object: { metadata: { labels: { app: 'web' } }, spec: {} },
    },
  });
  assert.deepEqual([second.leader.review(review), second.leader.unready()], [undefined, 'not synced: namespaces']);
  await rig.clock.advance(10_000);
  assert.deepEqual([second.leader.leads(), second.leader.unready()], [false, undefined]);
  for (const { leader } of [first, second]) assert.equal(leader.review(review)?.response.patchType, 'JSONPatch');
});
