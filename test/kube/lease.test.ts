import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import type { Lease } from '../../src/core/objects.ts';
import type { Log } from '../../src/core/provider.ts';
import { createLease, type Leadership, type LeaseOptions } from '../../src/kube/lease.ts';
import { createClient, type Transport, type TransportRequest } from '../../src/kube/request.ts';
import { createVirtualClock, type VirtualClock } from '../fake/clock.ts';
import { status } from '../fake/loopback.ts';

const PATH = '/apis/coordination.k8s.io/v1/namespaces/kube-system/leases';
const NAME = 'fairlead-controller';
/** The golden cases' times: 1/15 of the real ones. */
const TIMES = { leaseDurationMs: 1000, renewDeadlineMs: 600, retryPeriodMs: 100 };

type Answer = { readonly code: number; readonly body: object };

/** The API server's part: one Lease, optimistic locking, and the validation of MicroTime. */
function createApi(clock: VirtualClock) {
  let version = 100;
  let lease: Lease | undefined;
  const requests: string[] = [];
  const renewTimes: string[] = [];
  const api = {
    requests,
    renewTimes,
    get spec(): NonNullable<Lease['spec']> {
      return lease?.spec ?? {};
    },
    /** As somebody else writes it. */
    overwrite(spec: NonNullable<Lease['spec']> | undefined) {
      version += 1;
      lease =
        spec === undefined
          ? undefined
          : { ...lease, metadata: { ...(lease as Lease).metadata, resourceVersion: String(version) }, spec };
    },
    /** How long an answer takes; 'hang': for ever; a number: that status instead of an answer. */
    fault: undefined as
      | undefined
      | 'hang'
      | 'reset'
      | number
      | ((method: string) => undefined | 'hang' | 'reset' | number),
    /** Before an answer, after the effect. */
    latencyMs: 0,
    /** Before the effect, one per request; then none. */
    uplinkMs: [] as number[],
    transport: (who: string): Transport => ({
      async send(request) {
        requests.push(`${who} ${request.method}`);
        assert.ok(request.path.startsWith(PATH), request.path);
        const fault = typeof api.fault === 'function' ? api.fault(request.method) : api.fault;
        if (fault === 'hang') await hang(request.signal);
        const uplinkMs = api.uplinkMs.shift() ?? 0;
        if (uplinkMs > 0) await clock.sleep(uplinkMs, request.signal);
        if (fault === 'reset') throw Object.assign(new Error('socket hang up'), { code: 'ECONNRESET' });
        const { code, body } =
          typeof fault === 'number' ? { code: fault, body: status(fault, 'Fault') } : answer(request);
        if (api.latencyMs > 0) await clock.sleep(api.latencyMs, request.signal);
        return { status: code, headers: {}, body: Readable.from([JSON.stringify(body)]) };
      },
      close() {},
    }),
  };

  function answer({ method, body }: TransportRequest): Answer {
    if (method === 'GET')
      return lease === undefined ? { code: 404, body: status(404, 'NotFound') } : { code: 200, body: lease };
    const sent = JSON.parse(body ?? '') as Lease;
    for (const field of ['renewTime', 'acquireTime'] as const) {
      const value = sent.spec?.[field];
      if (value !== undefined && !/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/.test(value))
        return { code: 400, body: status(400, field) };
    }
    if (method === 'POST' && lease !== undefined) return { code: 409, body: status(409, 'AlreadyExists') };
    if (method === 'PUT' && lease === undefined) return { code: 404, body: status(404, 'NotFound') };
    if (method === 'PUT' && sent.metadata.resourceVersion !== lease?.metadata.resourceVersion) {
      return { code: 409, body: status(409, 'Conflict') };
    }
    version += 1;
    lease = {
      ...sent,
      metadata: { ...sent.metadata, uid: 'u', creationTimestamp: '', resourceVersion: String(version) },
    };
    renewTimes.push(sent.spec?.renewTime ?? '');
    return { code: method === 'POST' ? 201 : 200, body: lease };
  }
  return api;
}

async function hang(signal: AbortSignal): Promise<never> {
  return await new Promise((_resolve, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason), { once: true });
  });
}

const quiet: Log = { debug() {}, info() {}, warn() {}, error() {} };

function world() {
  const clock = createVirtualClock();
  const api = createApi(clock);
  const stop = new AbortController();
  const leaders: Record<string, Leadership> = {};
  const ledMs: Record<string, number> = {};
  const start = (identity: string, more: Partial<LeaseOptions> = {}): void => {
    const own = more.clock ?? clock;
    const client = createClient({ transport: api.transport(identity), clock: own });
    const options = {
      client,
      clock: own,
      random: () => 0.5,
      log: quiet,
      namespace: 'kube-system',
      name: NAME,
      identity,
    };
    void createLease({ ...options, ...TIMES, ...more })
      .lead(stop.signal)
      .then((leadership) => {
        leaders[identity] = leadership;
        ledMs[identity] = clock.monotonicMs();
      });
  };
  const leader = (identity: string): Leadership => {
    const leadership = leaders[identity];
    assert.ok(leadership !== undefined, `${identity} does not lead`);
    return leadership;
  };
  /** When the signal of a leadership aborts, in virtual ms. */
  const lostAt = (identity: string): Promise<number> =>
    new Promise((resolve) => {
      leader(identity).signal.addEventListener('abort', () => resolve(clock.monotonicMs()), { once: true });
    });
  return { clock, api, stop, start, leader, leaders, ledMs, lostAt };
}

test('the first leads with transitions 0; the second waits in vain while it renews', async () => {
  const { clock, api, start, leader, leaders } = world();
  start('a');
  await clock.settle();
  assert.equal(leader('a').leads(), true);
  assert.equal(leader('a').epoch, 0);
  assert.deepEqual(api.requests, ['a GET', 'a POST']);
  start('b');
  await clock.advance(1500);
  assert.equal(leaders['b'], undefined);
  assert.equal(leader('a').leads(), true);
  const { holderIdentity, leaseDurationSeconds, leaseTransitions, acquireTime, renewTime } = api.spec;
  assert.deepEqual(
    { holderIdentity, leaseDurationSeconds, leaseTransitions },
    { holderIdentity: 'a', leaseDurationSeconds: 1, leaseTransitions: 0 },
  );
  assert.equal(acquireTime, '2026-11-20T12:00:00.000000Z');
  assert.equal(renewTime, '2026-11-20T12:00:01.500000Z');
});

test('a renewal is one PUT every retry period, and every time has six digits', async () => {
  const { clock, api, start } = world();
  start('a');
  await clock.settle();
  api.requests.length = 0;
  await clock.advance(1000);
  assert.deepEqual(
    api.requests,
    Array.from({ length: 10 }, () => 'a PUT'),
  );
  for (const time of api.renewTimes) assert.match(time, /\.\d{6}Z$/);
});

test('a leader that stops without release is followed within the lease and a retry, with transitions 1', async () => {
  const { clock, api, start, leader, ledMs } = world();
  start('a');
  await clock.settle();
  start('b');
  await clock.advance(450);
  const silentMs = clock.monotonicMs();
  api.fault = (method) => (method === 'PUT' ? 500 : undefined); // stops a's renewals; b only reads meanwhile
  await clock.advance(700);
  assert.equal(leader('a').leads(), false);
  api.fault = undefined;
  await clock.run(() => ledMs['b'] !== undefined, { maxMs: 2000 });
  const tookMs = (ledMs['b'] as number) - silentMs;
  assert.ok(tookMs >= 800 && tookMs <= 1700, `${tookMs} ms`);
  assert.equal(leader('b').epoch, 1);
  assert.equal(api.spec.acquireTime, api.spec.renewTime);
});

test('after release the holder is empty, and another leads within 0.3 s', async () => {
  const { clock, api, start, leader, ledMs } = world();
  start('a');
  await clock.settle();
  start('b');
  await clock.advance(500);
  const releasedMs = clock.monotonicMs();
  const released = leader('a').release();
  assert.equal(leader('a').leads(), false);
  assert.match(String(leader('a').signal.reason), /released/);
  await released;
  assert.equal(api.spec.holderIdentity, '');
  assert.equal(api.spec.leaseDurationSeconds, 1);
  await clock.run(() => ledMs['b'] !== undefined, { maxMs: 2000 });
  assert.ok((ledMs['b'] as number) - releasedMs <= 300, `${(ledMs['b'] as number) - releasedMs} ms`);
  assert.equal(leader('b').epoch, 1);
  await leader('a').release();
  assert.equal(api.spec.holderIdentity, 'b');
});

test('release waits for a renewal under way, which would come in between its read and its write', async () => {
  const { clock, api, start, leader } = world();
  start('a');
  await clock.settle();
  await clock.advance(90);
  api.uplinkMs = [50, 0, 100]; // the renewal, the read, the write
  await clock.advance(20);
  const released = leader('a').release();
  await clock.advance(300);
  await released;
  assert.equal(api.spec.holderIdentity, '');
});

test('release leaves a lease alone that another has taken meanwhile', async () => {
  const { clock, api, start, leader } = world();
  start('a');
  await clock.settle();
  api.overwrite({ ...api.spec, holderIdentity: 'thief' });
  await leader('a').release();
  assert.equal(api.spec.holderIdentity, 'thief');
});

test('release with an API that hangs ends by itself at the deadline, and never rejects', async () => {
  const { clock, api, start, leader } = world();
  start('a');
  await clock.settle();
  api.fault = 'hang';
  let ended = false;
  void leader('a')
    .release()
    .then(() => {
      ended = true;
    });
  await clock.advance(600);
  assert.equal(ended, true);
  assert.equal(api.spec.holderIdentity, 'a');
});

for (const fault of [500, 'hang', 'reset'] as const) {
  test(`an API that answers ${fault} costs the leadership at the deadline, not before and not after`, async () => {
    const { clock, api, start, leader, lostAt } = world();
    start('a');
    await clock.advance(1000);
    const lastMs = leader('a').lastRenewedMs();
    assert.equal(lastMs, 1000);
    api.fault = fault;
    const lost = lostAt('a');
    await clock.advance(599);
    assert.equal(leader('a').leads(), true);
    assert.equal(leader('a').lastRenewedMs(), 1000);
    await clock.advance(1);
    assert.equal(await lost, 1600);
    assert.match(String(leader('a').signal.reason), /not renewed for 600 ms/);
    const { length } = api.requests;
    await clock.advance(5000);
    assert.equal(api.requests.length, length, 'a request after the end');
    assert.equal(clock.timers, 0);
  });
}

test('one request that hangs does not cost the leadership', async () => {
  const { clock, api, start, leader } = world();
  start('a');
  await clock.settle();
  let hangs = 1;
  api.fault = () => {
    hangs -= 1;
    return hangs >= 0 ? 'hang' : undefined;
  };
  await clock.advance(5000);
  assert.equal(leader('a').leads(), true);
});

test('an outage of half the deadline is survived', async () => {
  const { clock, api, start, leader } = world();
  start('a');
  await clock.advance(1000);
  api.fault = 500;
  await clock.advance(300);
  api.fault = undefined;
  await clock.advance(2000);
  assert.equal(leader('a').leads(), true);
  assert.equal(api.spec.leaseTransitions, 0);
});

test('a holder that somebody overwrites is seen at the next renewal, and the reason names the new one', async () => {
  const { clock, api, start, leader, lostAt } = world();
  start('a');
  await clock.advance(1000);
  const lost = lostAt('a');
  api.overwrite({ ...api.spec, holderIdentity: 'thief', leaseTransitions: 1 });
  await clock.advance(100);
  assert.equal(await lost, 1100);
  assert.match(String(leader('a').signal.reason), /the lease is held by "thief"/);
  assert.equal(api.spec.holderIdentity, 'thief');
});

test('a lease that somebody emptied is not taken back by the old leader under the old epoch', async () => {
  const { clock, api, start, leader } = world();
  start('a');
  await clock.advance(1000);
  api.overwrite({ ...api.spec, holderIdentity: '' });
  await clock.advance(100);
  assert.equal(leader('a').leads(), false);
  assert.match(String(leader('a').signal.reason), /emptied/);
  assert.equal(api.spec.holderIdentity, '');
});

test('a conflict that changed no holder (an annotation) is renewed by the long way', async () => {
  const { clock, api, start, leader } = world();
  start('a');
  await clock.advance(1000);
  api.overwrite(api.spec);
  api.requests.length = 0;
  await clock.advance(100);
  assert.deepEqual(api.requests, ['a PUT', 'a GET', 'a PUT']);
  assert.equal(leader('a').leads(), true);
  assert.equal(leader('a').lastRenewedMs(), 1100);
});

test('a lease that was deleted is made anew by its leader, and its epoch does not go back', async () => {
  const { clock, api, start, leader } = world();
  start('a');
  await clock.advance(100);
  api.overwrite({ ...api.spec, holderIdentity: 'x', leaseTransitions: 4 });
  await clock.advance(200);
  start('b');
  await clock.advance(3000);
  assert.equal(leader('b').epoch, 5);
  api.overwrite(undefined);
  await clock.advance(200);
  assert.equal(leader('b').leads(), true);
  assert.equal(api.spec.leaseTransitions, 5);
});

test('after a pause longer than the deadline (SIGSTOP) it does not lead, although no timer has run', async () => {
  const { clock, start, leader } = world();
  let pausedMs = 0;
  const paused = { ...clock, monotonicMs: () => clock.monotonicMs() + pausedMs };
  start('a', { clock: paused });
  await clock.advance(1000);
  pausedMs = 599;
  assert.equal(leader('a').leads(), true);
  pausedMs = 600;
  assert.equal(leader('a').signal.aborted, false);
  assert.equal(leader('a').leads(), false);
  assert.equal(leader('a').signal.aborted, true);
  pausedMs = 0; // nothing brings it back
  await clock.advance(1000);
  assert.equal(leader('a').leads(), false);
});

test('the answer of a renewal that began before a pause does not bring the leadership back', async () => {
  const { clock, api, start, leader } = world();
  let pausedMs = 0;
  const paused = { ...clock, monotonicMs: () => clock.monotonicMs() + pausedMs };
  start('a', { clock: paused });
  await clock.settle();
  api.latencyMs = 50;
  await clock.advance(120);
  pausedMs = 700;
  await clock.advance(40); // the answer comes; no timer of ours is due yet
  assert.equal(leader('a').leads(), false);
  await clock.advance(2000);
  assert.equal(leader('a').leads(), false);
});

test('wall time does not matter: a clock that is set, or a holder whose clock is wrong', async () => {
  const { clock, api, start, leader, leaders } = world();
  start('a');
  await clock.settle();
  start('b');
  await clock.advance(300);
  clock.shiftWall(3_600_000);
  await clock.advance(1000);
  clock.shiftWall(-7_200_000);
  await clock.advance(1000);
  assert.equal(leader('a').leads(), true);
  assert.equal(leaders['b'], undefined);
  assert.equal(api.spec.leaseTransitions, 0);
});

test('a lease found at the start is waited for its own duration, counted from when it was seen', async () => {
  const { clock, api, start, ledMs } = world();
  start('a');
  await clock.settle();
  api.overwrite({
    holderIdentity: 'gone',
    leaseDurationSeconds: 3,
    renewTime: '2001-01-01T00:00:00.000000Z',
    leaseTransitions: 7,
  });
  await clock.advance(1000); // a is lost
  const seenMs = clock.monotonicMs();
  start('b');
  await clock.run(() => ledMs['b'] !== undefined, { maxMs: 10_000 });
  const tookMs = (ledMs['b'] as number) - seenMs;
  assert.ok(tookMs >= 3000 && tookMs <= 3220, `${tookMs} ms`);
  assert.equal(api.spec.leaseTransitions, 8);
});

test('of two that create at the same time one leads', async () => {
  const { clock, start, leaders } = world();
  start('a');
  start('b');
  await clock.advance(2000);
  assert.equal(Object.keys(leaders).length, 1);
});

test('candidates wait while the API is not there, and lead when it is', async () => {
  const { clock, api, start, leader, leaders } = world();
  api.fault = 'hang';
  start('a');
  await clock.advance(3000);
  assert.equal(leaders['a'], undefined);
  api.fault = undefined;
  await clock.advance(1000);
  assert.equal(leader('a').leads(), true);
});

test('a success that took longer than the deadline is none', async () => {
  const { clock, api, start, leaders } = world();
  let jumpMs = 0;
  const paused = { ...clock, monotonicMs: () => clock.monotonicMs() + jumpMs };
  api.latencyMs = 50;
  start('a', { clock: paused });
  await clock.advance(75); // the create has taken effect
  jumpMs = 10_000;
  await clock.advance(30);
  assert.equal(leaders['a'], undefined);
  assert.equal(api.spec.holderIdentity, 'a');
});

test('lead rejects with the reason of its signal, at once', async () => {
  const { clock, api, stop } = world();
  api.fault = 'hang';
  const client = createClient({ transport: api.transport('a'), clock });
  const options = {
    client,
    clock,
    random: () => 0.5,
    log: quiet,
    namespace: 'kube-system',
    name: NAME,
    identity: 'a',
    ...TIMES,
  };
  const leading = createLease(options).lead(stop.signal);
  const refused = assert.rejects(leading, /enough/);
  await clock.advance(10);
  stop.abort(new Error('enough'));
  await refused;
  await clock.settle();
  assert.equal(clock.timers, 0);
});

test("the candidates' signal has no part in the leadership", async () => {
  const { clock, start, stop, leader } = world();
  start('a');
  await clock.settle();
  stop.abort(new Error('shutting down'));
  await clock.advance(3000);
  assert.equal(leader('a').leads(), true);
});

for (const { name, times, says } of [
  {
    name: 'the lease is no longer than the renew deadline',
    times: { leaseDurationMs: 600 },
    says: /lease duration \(600 ms\)/,
  },
  {
    name: 'the renew deadline leaves no room for a retry',
    times: { retryPeriodMs: 500 },
    says: /1\.2 x the retry period \(500 ms\)/,
  },
]) {
  test(`refused at the start: ${name}`, () => {
    const { clock, api } = world();
    const client = createClient({ transport: api.transport('a'), clock });
    const options = { client, clock, random: () => 0, log: quiet, namespace: 'n', name: NAME, identity: 'a', ...TIMES };
    assert.throws(() => createLease({ ...options, ...times }), { code: 'FL_LEASE_DURATIONS', message: says });
  });
}

test('whatever the API does, two never lead at the same time', async () => {
  for (let seed = 1; seed <= 40; seed += 1) {
    const { clock, api, start, leaders } = world();
    let state = seed;
    const random = (): number => {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      return state / 2 ** 32;
    };
    for (const identity of ['a', 'b', 'c']) start(identity, { random });
    let most = 0;
    for (let step = 0; step < 200; step += 1) {
      const dice = random();
      api.fault = dice < 0.1 ? 'hang' : dice < 0.2 ? 500 : dice < 0.25 ? 'reset' : dice < 0.3 ? 409 : undefined;
      api.latencyMs = random() < 0.3 ? Math.floor(random() * 300) : 0;
      await clock.advance(Math.floor(random() * 150));
      const leading = Object.values(leaders).filter((leadership) => leadership.leads());
      most = Math.max(most, leading.length);
      assert.ok(leading.length <= 1, `seed ${seed}, step ${step}`);
    }
    assert.equal(most, 1, `seed ${seed}: nobody ever led`);
  }
});
