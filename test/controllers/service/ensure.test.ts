import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createMemoryCloud } from '../../../providers/memory/cloud.ts';
import { memoryModule } from '../../../providers/memory/index.ts';
import { ProviderError } from '../../../src/core/errors.ts';
import { STANDARD_FINALIZER } from '../../../src/core/service/wanted.ts';
import { hold } from '../../fake/provider.ts';
import { createRig, type Replica, SOON_MS } from '../rig.ts';

const patchesOf = (replica: Replica) =>
  replica
    .writes()
    .filter(({ path }) => path.includes('/services/'))
    .map(({ body }) => JSON.parse(body ?? '') as Record<string, unknown>);
const statusesOf = (replica: Replica) =>
  replica.requests
    .filter(({ method, path }) => method === 'PATCH' && path.includes('/services/'))
    .map(({ status }) => status);
const reasons = (events: readonly string[]) => events.map((event) => event.split(':')[0]);

// What is written, and when.

test('finalizer, Provisioning and Serving are on the API server before the first call to the cloud', async (t) => {
  const rig = createRig(t);
  const replica = await rig.start();
  const seen: unknown[] = [];
  rig.cloud.script = () => void seen.push([rig.get('a').metadata.finalizers, rig.conditions('a')]);
  await rig.create('a');
  await rig.clock.advance(SOON_MS);
  const before = [[STANDARD_FINALIZER], ['Provisioning True/Provisioning', 'Serving False/Provisioning']];
  assert.ok(seen.length >= 2);
  for (const step of seen) assert.deepEqual(step, before);
  const { uid } = rig.get('a').metadata;
  const [first, second] = patchesOf(replica) as { metadata: { uid: string; resourceVersion: string } }[];
  assert.deepEqual([first?.metadata.uid, second?.metadata.uid], [uid, uid], 'both are guarded');
  assert.ok(Number(second?.metadata.resourceVersion) > Number(first?.metadata.resourceVersion));
});

test('the first word on a Service comes within two seconds, however slow the cloud is', async (t) => {
  const rig = createRig(t);
  rig.cloud.script = async ({ at }, call) => {
    if (at !== 'observeAll') await rig.clock.sleep(30_000, call.signal);
  };
  await rig.start();
  await rig.create('a');
  await rig.clock.advance(2000);
  assert.deepEqual(rig.conditions('a'), ['Provisioning True/Provisioning', 'Serving False/Provisioning']);
  assert.equal(rig.condition('a', 'Provisioning')?.message, 'Ensuring load balancer');
});

test('a wait shows its reason, is asked again after exactly its time, and is no event and no failure', async (t) => {
  const rig = createRig(t);
  const replica = await rig.start();
  let left = 3;
  rig.cloud.waits = () => {
    if (left === 0) return undefined;
    left -= 1;
    return { reason: 'the cloud is building', retryAfterMs: 7000 };
  };
  const timesMs: number[] = [];
  rig.cloud.judge = () => void timesMs.push(rig.clock.monotonicMs());
  await rig.create('a');
  await rig.clock.advance(100);
  assert.deepEqual(rig.conditions('a'), ['Provisioning True/Provisioning', 'Serving False/Provisioning']);
  assert.equal(rig.condition('a', 'Provisioning')?.message, 'the cloud is building');
  await rig.clock.advance(30_000);
  assert.deepEqual(
    timesMs.slice(1).map((ms, index) => ms - (timesMs[index] ?? 0)),
    [7000, 7000, 7000],
  );
  assert.deepEqual(rig.conditions('a'), ['Provisioning False/Complete', 'Serving True/Serving']);
  assert.equal(patchesOf(replica).length, 3, 'started, pending, ready: a second equal wait writes nothing');
  assert.deepEqual(reasons(rig.events('a')), [
    'Warning UnAvailableLoadBalancer',
    'Normal EnsuringLoadBalancer',
    'Normal EnsuredLoadBalancer',
  ]);
  const count = async (result: string) => replica.metric('fairlead_reconcile_total', { controller: 'service', result });
  assert.deepEqual([await count('pending'), await count('ok'), await count('transient')], [3, 1, 0]);
});

test('waits neither add to a row of failures nor end it', async (t) => {
  const rig = createRig(t);
  await rig.start();
  const course = ['fail', 'fail', 'wait', 'fail', 'ready'];
  rig.cloud.waits = () => {
    const next = course.shift();
    if (next === 'fail') throw new Error('the cloud is down');
    return next === 'wait' ? { reason: 'slow', retryAfterMs: 1000 } : undefined;
  };
  await rig.create('a');
  await rig.clock.advance(60_000);
  assert.deepEqual(course, []);
  assert.equal(
    rig.events('a').filter((event) => event.includes('SyncLoadBalancerFailed')).length,
    1,
    'the third failure is news, although a wait came between',
  );
});

test('an address is published as soon as it stands, and Serving turns True in the same patch', async (t) => {
  const rig = createRig(t);
  const replica = await rig.start();
  await rig.create('a'); // no nodes, no endpoints
  await rig.clock.advance(SOON_MS);
  const last = patchesOf(replica).at(-1) as { status: { conditions: { type: string }[]; loadBalancer: unknown } };
  assert.deepEqual(last.status.loadBalancer, { ingress: [{ ip: '192.0.2.1', ipMode: 'VIP' }] });
  assert.deepEqual(last.status.conditions.map(({ type }) => type).sort(), [
    'LoadBalancerProvisioning',
    'LoadBalancerServing',
  ]);
  assert.match(rig.condition('a', 'Serving')?.message ?? '', /192\.0\.2\.1/);
});

// Transitions.

test('a change of the spec is told once, moves the stamp of Provisioning, and Serving stays as it was', async (t) => {
  const rig = createRig(t);
  await rig.node('n1');
  await rig.start();
  await rig.create('a');
  await rig.clock.advance(10_000);
  const before = { provisioning: rig.condition('a', 'Provisioning'), serving: rig.condition('a', 'Serving') };
  const events = rig.events('a');
  await rig.edit('a', { spec: { ports: [{ port: 81, protocol: 'TCP' }] } });
  await rig.clock.advance(SOON_MS);
  const after = rig.condition('a', 'Provisioning');
  assert.deepEqual([after?.status, after?.reason], ['False', 'Complete']);
  assert.notEqual(after?.lastTransitionTime, before.provisioning?.lastTransitionTime);
  assert.deepEqual(rig.condition('a', 'Serving'), before.serving);
  assert.deepEqual(events.slice(0, 2), [
    'Normal EnsuringLoadBalancer: Ensuring load balancer',
    'Normal EnsuredLoadBalancer: Ensured load balancer',
  ]);
  assert.deepEqual(rig.events('a').slice(0, 2), [
    'Normal EnsuringLoadBalancer x2: Ensuring load balancer',
    'Normal EnsuredLoadBalancer x2: Ensured load balancer',
  ]);
});

test('while a changed spec is built, the old load balancer serves and says so', async (t) => {
  const rig = createRig(t);
  const replica = await rig.start();
  await rig.create('a');
  await rig.clock.advance(SOON_MS);
  const patches = patchesOf(replica).length;
  let waits = 10;
  rig.cloud.waits = () => {
    waits -= 1;
    return waits < 0 ? undefined : { reason: 'changing', retryAfterMs: 2000 };
  };
  await rig.edit('a', { spec: { ports: [{ port: 81, protocol: 'TCP' }] } });
  await rig.clock.advance(SOON_MS);
  assert.deepEqual(rig.conditions('a'), ['Provisioning True/Provisioning', 'Serving True/Serving']);
  assert.deepEqual(rig.shown('a'), ['192.0.2.1']);
  await rig.clock.advance(20_000);
  assert.deepEqual(rig.conditions('a'), ['Provisioning False/Complete', 'Serving True/Serving']);
  assert.equal(patchesOf(replica).length - patches, 2, 'ten waits for one reason are told once');
});

for (const [ms, patches] of [
  [990, 1],
  [1010, 2],
] as const) {
  test(`a change that the cloud works on for ${ms} ms shows that ${patches === 1 ? 'when it is done' : 'meanwhile'}`, async (t) => {
    const rig = createRig(t);
    const replica = await rig.start();
    await rig.create('a');
    await rig.clock.advance(SOON_MS);
    const before = patchesOf(replica).length;
    rig.cloud.script = async ({ at }, call) => {
      if (at === 'setPorts') await rig.clock.sleep(ms, call.signal);
    };
    await rig.edit('a', { spec: { ports: [{ port: 81, protocol: 'TCP' }] } });
    await rig.clock.advance(1005);
    const meanwhile = patches === 1 ? 'Provisioning False/Complete' : 'Provisioning True/Provisioning';
    assert.deepEqual(rig.conditions('a'), [meanwhile, 'Serving True/Serving']);
    await rig.clock.advance(1000);
    assert.deepEqual(rig.conditions('a'), ['Provisioning False/Complete', 'Serving True/Serving']);
    assert.equal(patchesOf(replica).length - before, patches);
    assert.ok(statusesOf(replica).every((status) => status === 200));
  });
}

test('a slow update of hosts is no news on a thousand Services', async (t) => {
  const rig = createRig(t);
  const replica = await rig.start();
  await rig.create('a');
  await rig.clock.advance(SOON_MS);
  const before = patchesOf(replica).length;
  rig.cloud.script = async ({ at }, call) => {
    if (at === 'setHosts') await rig.clock.sleep(5000, call.signal);
  };
  await rig.node('n1');
  await rig.clock.advance(10_000);
  assert.deepEqual([...rig.cloud.balancers.values()][0]?.hosts, ['n1']);
  assert.equal(patchesOf(replica).length, before);
});

test('conditions of a settled Service are written once: nothing moves in an hour of audits', async (t) => {
  const rig = createRig(t);
  const replica = await rig.start({ lease: 'none', service: { driftCheckPeriodMs: 60_000 } });
  await rig.create('a');
  await rig.clock.advance(SOON_MS);
  const before = JSON.stringify([rig.get('a'), rig.events('a')]);
  const writes = replica.requests.filter(({ method }) => method !== 'GET').length;
  await rig.clock.advance(3_600_000);
  assert.equal(JSON.stringify([rig.get('a'), rig.events('a')]), before);
  assert.equal(replica.requests.filter(({ method }) => method !== 'GET').length, writes);
});

test('what is missing is Degraded, and goes when it is not asked for any more', async (t) => {
  const rig = createRig(t);
  await rig.start({ module: memoryModule(createMemoryCloud({ clock: rig.clock })) });
  await rig.create('a', { sessionAffinity: 'ClientIP' });
  await rig.clock.advance(SOON_MS);
  assert.deepEqual(rig.conditions('a'), [
    'Degraded True/SessionAffinityNotSupported',
    'Provisioning False/Complete',
    'Serving True/Serving',
  ]);
  await rig.edit('a', { spec: { sessionAffinity: 'None' } });
  await rig.clock.advance(SOON_MS);
  assert.deepEqual(rig.conditions('a'), ['Provisioning False/Complete', 'Serving True/Serving']);
});

test('ports without a node port are named in the ingress, and the others work', async (t) => {
  const rig = createRig(t);
  await rig.start();
  await rig.create('a', {
    allocateLoadBalancerNodePorts: false,
    ports: [
      { name: 'http', port: 80, protocol: 'TCP', nodePort: 30_080 },
      { name: 'tls', port: 443, protocol: 'TCP' },
    ],
  });
  await rig.clock.advance(SOON_MS);
  assert.deepEqual(rig.condition('a', 'Degraded')?.reason, 'PortsNotSupported');
  assert.deepEqual(rig.get('a').status?.loadBalancer?.ingress?.[0]?.ports, [
    { port: 80, protocol: 'TCP' },
    { port: 443, protocol: 'TCP', error: 'NodePortMissing' },
  ]);
  assert.deepEqual([...rig.cloud.balancers.values()][0]?.ports, ['TCP/80 -> 30080']);
});

test('a Service whose ports all lack a node port is refused, and nothing is built', async (t) => {
  const rig = createRig(t);
  await rig.start();
  await rig.create('a', { allocateLoadBalancerNodePorts: false });
  await rig.clock.advance(SOON_MS);
  assert.deepEqual(rig.conditions('a'), ['Provisioning False/Complete', 'Serving False/Unsupported']);
  assert.deepEqual(rig.cloud.applied, []);
  assert.match(rig.events('a').join(), /SyncLoadBalancerFailed: .*spec\.allocateLoadBalancerNodePorts/);
});

test('annotations that mean nothing are named, once', async (t) => {
  const rig = createRig(t);
  await rig.start({ service: { driftCheckPeriodMs: 60_000 } });
  await rig.create('a', {}, { annotations: { 'fairlead.dev/adress-count': '2', 'metallb.io/nonsense': 'x' } });
  await rig.clock.advance(200_000);
  assert.deepEqual(
    rig.events('a').filter((event) => event.includes('UnknownAnnotation')),
    [
      'Warning UnknownAnnotation: annotation fairlead.dev/adress-count has no meaning on a Service and is ignored: did you mean fairlead.dev/address-count?',
      'Warning UnknownAnnotation: annotation metallb.io/nonsense has no meaning on a Service and is ignored',
    ],
  );
  assert.deepEqual(rig.shown('a'), ['192.0.2.1']);
});

// Providers that clean up by themselves (on-prem).

test('a provider that is ready at once and cleans up by itself costs one patch, with everything in it', async (t) => {
  const rig = createRig(t, { selfCleaning: true });
  const replica = await rig.start();
  await rig.create('a');
  await rig.clock.advance(SOON_MS);
  assert.deepEqual(rig.steps, ['create default/a', 'patch default/a: +finalizer conditions ingress']);
  assert.deepEqual(statusesOf(replica), [200]);
  assert.deepEqual(reasons(rig.events('a')), ['Warning UnAvailableLoadBalancer', 'Normal EnsuredLoadBalancer']);
});

for (const [ms, patches] of [
  [990, ['patch default/a: +finalizer conditions ingress']],
  [1010, ['patch default/a: +finalizer conditions', 'patch default/a: conditions ingress']],
] as const) {
  test(`it shows Provisioning only when it takes longer than a second: ${ms} ms`, async (t) => {
    const rig = createRig(t, { selfCleaning: true });
    const replica = await rig.start();
    rig.cloud.script = async ({ at }, call) => {
      if (at === 'create') await rig.clock.sleep(ms, call.signal);
    };
    await rig.create('a');
    await rig.clock.advance(5000);
    assert.deepEqual(
      rig.steps.filter((step) => step.startsWith('patch')),
      patches,
    );
    assert.deepEqual(
      statusesOf(replica),
      patches.map(() => 200),
    );
    assert.deepEqual(rig.conditions('a'), ['Provisioning False/Complete', 'Serving True/Serving']);
  });
}

test('a Service that gets better while Provisioning is being written is not written twice at once', async (t) => {
  const rig = createRig(t, { selfCleaning: true });
  const replica = await rig.start();
  const gate = hold();
  rig.cloud.script = ({ at }, call) => (at === 'create' ? gate.until(call) : undefined);
  replica.faults.add({ verb: 'patch', path: '/services/', effect: { kind: 'delay', ms: 3000 } });
  await rig.create('a');
  await rig.clock.advance(2000); // the patch is under way
  gate.release();
  await rig.clock.advance(500);
  assert.equal(rig.cloud.balancers.size, 1);
  assert.deepEqual(rig.steps, ['create default/a'], 'the second waits for the first');
  await rig.clock.advance(3000);
  assert.deepEqual(statusesOf(replica), [200, 200]);
  assert.deepEqual(rig.conditions('a'), ['Provisioning False/Complete', 'Serving True/Serving']);
});

test('a word about Provisioning that fails costs nothing but itself', async (t) => {
  const rig = createRig(t, { selfCleaning: true });
  const replica = await rig.start();
  rig.cloud.script = async ({ at }, call) => {
    if (at === 'create') await rig.clock.sleep(2000, call.signal);
  };
  replica.faults.add({ verb: 'patch', path: '/services/', effect: { kind: 'status', status: 500 } });
  await rig.create('a');
  await rig.clock.advance(2100);
  assert.deepEqual(rig.shown('a'), ['192.0.2.1']);
  assert.deepEqual(
    rig.events('a').filter((event) => event.startsWith('Warning Sync')),
    [],
  );
});

// Pods as targets.

const slice = (name: string, service: string, addresses: readonly string[]) => ({
  metadata: { name, labels: { 'kubernetes.io/service-name': service } },
  addressType: 'IPv4',
  endpoints: addresses.map((address) => ({
    addresses: [address],
    conditions: { ready: true },
    nodeName: 'n1',
    targetRef: { kind: 'Pod', name: `pod-${address}`, uid: `pod-${address}` },
  })),
  ports: [{ name: '', port: 8080, protocol: 'TCP' }],
});
const SLICES = '/apis/discovery.k8s.io/v1/namespaces/default/endpointslices';

test('a pod that comes or goes is known to the cloud at once, and costs other Services nothing', async (t) => {
  const rig = createRig(t, { interpretation: { targetKind: 'pod' } });
  const { signal } = new AbortController();
  await rig.user.call({ method: 'POST', path: SLICES, body: slice('a-1', 'a', ['10.1.0.1']), signal });
  await rig.create('a');
  await rig.create('b');
  await rig.start();
  const hosts = () => rig.cloud.applied.filter((step) => step.includes('default/a'));
  assert.deepEqual(hosts(), ['create default/a: n1']);
  rig.cloud.runs.length = 0;
  const targets: (readonly string[])[] = [];
  rig.cloud.judge = (spec) => void targets.push(spec.targets.map(({ address }) => address));
  await rig.user.call({
    method: 'PUT',
    path: `${SLICES}/a-1`,
    body: slice('a-1', 'a', ['10.1.0.2', '10.1.0.3']),
    signal,
  });
  await rig.clock.advance(50);
  assert.deepEqual(targets, [['10.1.0.2', '10.1.0.3']]);
  assert.deepEqual(rig.cloud.runs, ['ensure default/a']);
});

test('EndpointSlices that take long to read are waited for: no failure, no Warning, and no target is missing', async (t) => {
  const rig = createRig(t, { interpretation: { targetKind: 'pod' } });
  const { signal } = new AbortController();
  await rig.user.call({ method: 'POST', path: SLICES, body: slice('a-1', 'a', ['10.1.0.1']), signal });
  for (const name of ['a', 'b', 'c']) await rig.create(name);
  await rig.start({ faults: [{ verb: 'list', path: 'endpointslices', effect: { kind: 'delay', ms: 20_000 } }] });
  await rig.clock.advance(15_000);
  assert.deepEqual([rig.cloud.applied, ['a', 'b', 'c'].flatMap(rig.events)], [[], []]);
  await rig.clock.advance(10_000);
  assert.deepEqual(rig.cloud.applied.toSorted(), ['create default/a: n1', 'create default/b', 'create default/c']);
  assert.deepEqual(
    ['a', 'b', 'c'].flatMap(rig.events).filter((event) => event.startsWith('Warning')),
    [],
  );
});

test('a restart with pods as targets looks in bulk: nothing that is settled is looked at by itself', async (t) => {
  const rig = createRig(t, { interpretation: { targetKind: 'pod' } });
  const { signal } = new AbortController();
  for (const name of ['a', 'b', 'c']) {
    await rig.user.call({ method: 'POST', path: SLICES, body: slice(`${name}-1`, name, ['10.1.0.1']), signal });
    await rig.create(name);
  }
  const first = await rig.start();
  assert.equal(rig.cloud.balancers.size, 3);
  first.terminate();
  await rig.clock.advance(SOON_MS);
  rig.cloud.runs.length = 0;
  const second = await rig.start({ name: 'two' });
  assert.deepEqual([rig.cloud.runs, second.writes()], [[], []]);
});

test('a node event after a change is measured from the event', async (t) => {
  const rig = createRig(t);
  await rig.node('n1');
  await rig.create('a');
  const replica = await rig.start();
  await rig.node('n2');
  await rig.clock.advance(5000);
  const [line] = /fairlead_target_update_seconds_sum (.*)/.exec(await replica.metrics.text())?.slice(1) ?? [];
  assert.ok(Number(line) >= 0.5, `${line}: the debounce alone is half a second`);
});

// What is counted.

test('the first time that a Service is served is measured, once, and not by a restart', async (t) => {
  const rig = createRig(t);
  rig.cloud.waits = () => (rig.clock.monotonicMs() < 5000 ? { reason: 'building', retryAfterMs: 1000 } : undefined);
  const first = await rig.start({ name: 'one' });
  await rig.create('a');
  await rig.clock.advance(10_000);
  const served = async (replica: Replica) => {
    const text = await replica.metrics.text();
    const of = (what: string) => Number(new RegExp(`fairlead_time_to_serving_seconds_${what} (.*)`).exec(text)?.[1]);
    return [of('count'), of('sum')];
  };
  assert.deepEqual(await served(first), [1, 4]);
  await rig.edit('a', { spec: { ports: [{ port: 81, protocol: 'TCP' }] } });
  await rig.edit('a', { status: { loadBalancer: { ingress: null } } }, { subresource: 'status' });
  await rig.clock.advance(SOON_MS);
  assert.deepEqual(rig.shown('a'), ['192.0.2.1']);
  assert.deepEqual(await served(first), [1, 4]);
  first.terminate();
  await rig.clock.advance(SOON_MS);
  const second = await rig.start({ name: 'two' });
  assert.deepEqual(await served(second), [0, 0]);
});

test('Services are counted by state, runs by their end, writes to the cloud by kind', async (t) => {
  const rig = createRig(t);
  rig.cloud.judge = ({ key }) => {
    if (key === 'default/wrong') throw new ProviderError('invalid', 'FAKE_WRONG', 'no');
  };
  rig.cloud.waits = ({ key }) => (key === 'default/slow' ? { reason: 'building', retryAfterMs: 60_000 } : undefined);
  const replica = await rig.start();
  for (const name of ['good', 'better', 'slow', 'wrong']) await rig.create(name);
  await rig.create('foreign', { loadBalancerClass: 'other.dev/lb' });
  await rig.clock.advance(SOON_MS);
  const state = (of: string) => replica.metric('fairlead_services', { state: of });
  assert.deepEqual(
    [await state('serving'), await state('provisioning'), await state('degraded'), await state('failed')],
    [2, 1, 0, 1],
  );
  const ended = (result: string) => replica.metric('fairlead_reconcile_total', { controller: 'service', result });
  assert.deepEqual([await ended('ok'), await ended('pending'), await ended('invalid')], [2, 1, 1]);
  const applied = { controller: 'service', kind: 'create', outcome: 'ok' };
  assert.equal(await replica.metric('fairlead_actions_total', applied), 3);
});

for (const [name, options, wanted] of [
  ['ten Services are worked on at once', {}, 10],
  ['thirty-two for a provider that cleans up by itself', { selfCleaning: true }, 32],
] as const) {
  test(`by default ${name}`, async (t) => {
    const rig = createRig(t, options);
    let now = 0;
    rig.cloud.script = async ({ at }, call) => {
      if (at !== 'create') return;
      now += 1;
      await rig.clock.sleep(500, call.signal);
    };
    await rig.start();
    for (let at = 0; at < 40; at += 1) await rig.create(`s${at}`);
    await rig.clock.advance(100);
    assert.equal(now, wanted);
  });
}
