import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createRig, type Rig } from '../rig.ts';

const PERIOD_MS = 60_000;
const LATEST_MS = PERIOD_MS * 1.2 + 1000; // jitter is 20 %
const HOUR_MS = 3_600_000;

async function served(t: Parameters<typeof createRig>[0], names: readonly string[], flags: object = {}) {
  const rig = createRig(t);
  for (const name of ['n1', 'n2']) await rig.node(name);
  for (const name of names) await rig.create(name);
  // Hours of renewals of a lease are not what is looked at here.
  const replica = await rig.start({ lease: 'none', service: { driftCheckPeriodMs: PERIOD_MS, ...flags } });
  rig.cloud.applied.length = 0;
  rig.cloud.runs.length = 0;
  return { rig, replica };
}

const balancerOf = (rig: Rig, name: string) => rig.cloud.balancers.get(rig.get(name).metadata.uid);
const drifted = (rig: Rig, name: string) => rig.events(name).filter((event) => event.includes('LoadBalancerDrifted'));

test('a load balancer deleted out of band comes back in one period, and that is told', async (t) => {
  const { rig, replica } = await served(t, ['a', 'b']);
  rig.cloud.balancers.delete(rig.get('a').metadata.uid);
  await rig.clock.advance(LATEST_MS);
  assert.deepEqual(rig.cloud.applied, ['create default/a: n1 n2']);
  assert.deepEqual(drifted(rig, 'a'), [
    'Warning LoadBalancerDrifted: Changed from outside and repaired: create default/a',
  ]);
  assert.deepEqual([drifted(rig, 'b'), rig.cloud.runs], [[], ['ensure default/a']]);
  assert.equal(await replica.metric('fairlead_drift_total', { kind: 'load balancer' }), 1);
  await rig.clock.advance(2 * LATEST_MS);
  assert.deepEqual(rig.cloud.runs, ['ensure default/a'], 'repaired is repaired');
});

test('a changed field is put back, and the event names what was changed', async (t) => {
  const { rig } = await served(t, ['a']);
  const balancer = balancerOf(rig, 'a');
  assert.ok(balancer !== undefined);
  rig.cloud.balancers.set(balancer.uid, { ...balancer, hosts: ['n1'] });
  await rig.clock.advance(LATEST_MS);
  assert.deepEqual(balancerOf(rig, 'a')?.hosts, ['n1', 'n2']);
  assert.deepEqual(drifted(rig, 'a'), [
    'Warning LoadBalancerDrifted: Changed from outside and repaired: setHosts default/a',
  ]);
});

test('a change of the Service that means nothing to its load balancer does not hide drift', async (t) => {
  const { rig } = await served(t, ['a']);
  await rig.edit('a', { metadata: { labels: { team: 'x' } } });
  rig.cloud.balancers.delete(rig.get('a').metadata.uid);
  await rig.clock.advance(LATEST_MS);
  assert.equal(drifted(rig, 'a').length, 1);
});

test('what is not finished yet is no drift', async (t) => {
  const { rig } = await served(t, []);
  rig.cloud.waits = () => ({ reason: 'provisioning', retryAfterMs: 20_000 });
  await rig.create('a');
  await rig.clock.advance(2 * LATEST_MS);
  assert.deepEqual(drifted(rig, 'a'), []);
  await rig.edit('a', { spec: { ports: [{ port: 81, protocol: 'TCP' }] } });
  await rig.clock.advance(2 * LATEST_MS);
  assert.deepEqual(drifted(rig, 'a'), []);
});

test('an audit of an unchanged world is one bulk read: no look at a Service, no write', async (t) => {
  const { rig, replica } = await served(t, ['a', 'b', 'c']);
  const reads: string[] = [];
  rig.cloud.script = ({ at }) => void reads.push(at);
  const writes = replica.writes().length;
  await rig.clock.advance(3 * PERIOD_MS * 1.2 + 1000);
  assert.ok(reads.length >= 3 && reads.every((read) => read === 'observeAll'), reads.join());
  assert.deepEqual([rig.cloud.runs, replica.writes().length - writes], [[], 0]);
});

test('the audits of one process are a period apart, give or take a fifth', async (t) => {
  const { rig } = await served(t, ['a']);
  const timesMs: number[] = [];
  rig.cloud.script = ({ at }) => void (at === 'observeAll' && timesMs.push(rig.clock.monotonicMs()));
  await rig.clock.advance(20 * PERIOD_MS);
  const gaps = timesMs.slice(1).map((ms, index) => ms - (timesMs[index] ?? 0));
  assert.ok(gaps.length >= 15);
  for (const gap of gaps) assert.ok(gap >= PERIOD_MS * 0.8 && gap <= PERIOD_MS * 1.2, `${gap} ms`);
  assert.ok(new Set(gaps).size > 10, 'with jitter');
});

test('a bulk read that fails at the start: every Service is looked at by itself', async (t) => {
  const rig = createRig(t);
  await rig.create('a');
  await rig.create('b');
  rig.cloud.script = ({ at }) => {
    if (at === 'observeAll') throw new Error('the cloud is down');
  };
  const replica = await rig.start();
  assert.deepEqual([rig.shown('a').length, rig.shown('b').length], [1, 1]);
  assert.deepEqual(
    replica.complaints.map(({ message }) => message),
    ['audit failed'],
  );
});

test('a bulk read that fails later changes nothing; the next one repairs', async (t) => {
  const { rig } = await served(t, ['a']);
  rig.cloud.balancers.clear();
  let failures = 1;
  rig.cloud.script = ({ at }) => {
    if (at !== 'observeAll' || failures === 0) return;
    failures -= 1;
    throw new Error('the cloud is down');
  };
  await rig.clock.advance(LATEST_MS);
  assert.deepEqual([failures, rig.cloud.runs], [0, []]);
  await rig.clock.advance(LATEST_MS);
  assert.deepEqual(rig.cloud.applied, ['create default/a: n1 n2']);
});

test('a Service whose spec the provider refuses hides no drift of the others', async (t) => {
  const { rig } = await served(t, ['a', 'b']);
  rig.cloud.judge = ({ key }) => {
    if (key === 'default/a') throw new Error('no such thing');
  };
  rig.cloud.balancers.delete(rig.get('b').metadata.uid);
  await rig.clock.advance(LATEST_MS);
  assert.equal(drifted(rig, 'b').length, 1);
  assert.ok(balancerOf(rig, 'b') !== undefined);
});

test('a status that was wiped while no controller ran is restored at the start, without a write to the cloud', async (t) => {
  const { rig, replica } = await served(t, ['a']);
  replica.terminate();
  await rig.clock.advance(1000);
  const before = rig.get('a').status;
  await rig.edit('a', { status: null }, { subresource: 'status' });
  assert.deepEqual(rig.shown('a'), []);
  await rig.start({ name: 'two' });
  assert.deepEqual([rig.get('a').status?.loadBalancer, rig.cloud.applied], [before?.loadBalancer, []]);
});

test('what was still being built when the process ended is asked about again by the next, and published when it stands', async (t) => {
  const { rig, replica } = await served(t, []);
  let isBuilt = false;
  rig.cloud.waits = () => (isBuilt ? undefined : { reason: 'building', retryAfterMs: 5000 });
  await rig.create('a');
  await rig.clock.advance(1000);
  assert.deepEqual(rig.conditions('a'), ['Provisioning True/Provisioning', 'Serving False/Provisioning']);
  replica.terminate();
  await rig.clock.advance(1000);
  await rig.start({ name: 'two' });
  isBuilt = true;
  await rig.clock.advance(6000);
  assert.deepEqual(rig.shown('a'), ['192.0.2.1']);
});

test('a load balancer that went while no controller ran is built again at the start', async (t) => {
  const { rig, replica } = await served(t, ['a']);
  replica.terminate();
  await rig.clock.advance(1000);
  rig.cloud.balancers.clear();
  await rig.start({ name: 'two' });
  assert.deepEqual(rig.cloud.applied, ['create default/a: n1 n2']);
});

// Orphans.

function orphan(rig: Rig, uid: string): void {
  const lost = { address: '192.0.2.99', ports: [], hosts: [], draining: [], options: {} };
  rig.cloud.balancers.set(uid, { uid, key: 'default/gone', ...lost });
}

test('what no Service owns is counted and told once, and stays', async (t) => {
  const { rig, replica } = await served(t, ['a']);
  orphan(rig, 'lost-1');
  orphan(rig, 'lost-2');
  await rig.clock.advance(4 * HOUR_MS);
  assert.equal(await replica.metric('fairlead_orphans', { provider: 'fake' }), 2);
  assert.deepEqual(
    replica.complaints.map(({ message, fields }) => [message, (fields as { orphan: string }).orphan]),
    [
      ['orphan: no Service owns this', 'lost-1'],
      ['orphan: no Service owns this', 'lost-2'],
    ],
  );
  assert.equal(rig.cloud.balancers.size, 3);
  rig.cloud.balancers.delete('lost-1');
  await rig.clock.advance(LATEST_MS);
  assert.equal(await replica.metric('fairlead_orphans', { provider: 'fake' }), 1);
});

test('with --delete-orphans it goes, after an hour of being looked at and not before', async (t) => {
  const { rig, replica } = await served(t, ['a'], { deleteOrphans: true });
  orphan(rig, 'lost');
  await rig.clock.advance(HOUR_MS - 1000);
  assert.ok(rig.cloud.balancers.has('lost'));
  await rig.clock.advance(3 * LATEST_MS);
  assert.deepEqual([...rig.cloud.balancers.keys()], [rig.get('a').metadata.uid]);
  assert.equal(await replica.metric('fairlead_orphans', { provider: 'fake' }), 0);
});

test('an orphan that comes and goes starts its hour anew', async (t) => {
  const { rig } = await served(t, [], { deleteOrphans: true });
  orphan(rig, 'lost');
  await rig.clock.advance(0.7 * HOUR_MS);
  rig.cloud.balancers.delete('lost');
  await rig.clock.advance(LATEST_MS);
  orphan(rig, 'lost');
  await rig.clock.advance(0.7 * HOUR_MS);
  assert.ok(rig.cloud.balancers.has('lost'));
});

test('the API server is asked before anything is deleted: a Service that only our watch does not show keeps its load balancer', async (t) => {
  const rig = createRig(t);
  const silent = { kind: 'silent', afterEvents: 0 } as const;
  const replica = await rig.start({
    lease: 'none',
    service: { driftCheckPeriodMs: PERIOD_MS, deleteOrphans: true },
    faults: [{ verb: 'watch', path: '/services', times: Number.POSITIVE_INFINITY, effect: silent }],
  });
  const { metadata } = await rig.create('hidden');
  orphan(rig, metadata.uid);
  await rig.clock.advance(2 * HOUR_MS);
  assert.deepEqual([replica.leader.leads(), rig.shown('hidden')], [true, []], 'the watch shows nothing');
  assert.ok(rig.cloud.balancers.has(metadata.uid));
});

test('when the API server cannot be asked, nothing is deleted', async (t) => {
  const { rig, replica } = await served(t, [], { deleteOrphans: true });
  orphan(rig, 'lost');
  const refused = { kind: 'status', status: 500 } as const;
  const endless = { times: Number.POSITIVE_INFINITY, effect: refused };
  const end = replica.faults.add({ verb: ['list', 'get'], path: '/services', ...endless });
  await rig.clock.advance(2 * HOUR_MS);
  assert.ok(rig.cloud.balancers.has('lost'));
  end();
  await rig.clock.advance(LATEST_MS);
  assert.equal(rig.cloud.balancers.has('lost'), false);
});

test('an orphan that cannot be deleted holds up neither the others nor the repair of drift', async (t) => {
  const { rig } = await served(t, ['a'], { deleteOrphans: true });
  orphan(rig, 'lost-1');
  orphan(rig, 'lost-2');
  rig.cloud.script = ({ at, uid }) => {
    if (at === 'delete' && uid === 'lost-1') throw new Error('in use');
  };
  await rig.clock.advance(HOUR_MS + 3 * LATEST_MS);
  assert.deepEqual([rig.cloud.balancers.has('lost-1'), rig.cloud.balancers.has('lost-2')], [true, false]);
  rig.cloud.balancers.delete(rig.get('a').metadata.uid);
  await rig.clock.advance(LATEST_MS);
  assert.ok(balancerOf(rig, 'a') !== undefined);
});
