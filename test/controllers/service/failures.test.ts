/** The table of error kinds (controllers.md, "Service conditions") from the provider's throw to what people see. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type ErrorDetails, type ErrorKind, ProviderError } from '../../../src/core/errors.ts';
import { STANDARD_FINALIZER } from '../../../src/core/service/wanted.ts';
import { createRig, type Rig, SOON_MS } from '../rig.ts';

const MINUTE_MS = 60_000;
const complete = ['Provisioning False/Complete', 'Serving True/Serving'];

/** Fails every run at the given step until it is told to stop; remembers when. */
function failing(rig: Rig, make: () => Error, { at = 'create', after = 0 } = {}) {
  const timesMs: number[] = [];
  let passing = after;
  let isOver = false;
  rig.cloud.script = (step) => {
    if (step.at !== at || isOver) return;
    if (passing > 0) {
      passing -= 1;
      return;
    }
    timesMs.push(rig.clock.monotonicMs());
    throw make();
  };
  return {
    /** Of the tries. */
    timesMs,
    gapsMs: () => timesMs.slice(1).map((ms, index) => Math.round(ms - (timesMs[index] ?? 0))),
    stop() {
      isOver = true;
    },
  };
}

const error = (kind: ErrorKind, details: ErrorDetails = {}, code = 'FAKE_TROUBLE') =>
  new ProviderError(kind, code, 'the cloud says no', details);
const told = (rig: Rig, reason: string, name = 'a') => rig.events(name).filter((event) => event.includes(` ${reason}`));

async function started(
  t: Parameters<typeof createRig>[0],
  { serves, ...service }: { readonly serves?: true; readonly driftCheckPeriodMs?: number } = {},
) {
  const rig = createRig(t);
  for (const name of ['n1', 'n2', 'n3']) await rig.node(name);
  const replica = await rig.start({ service });
  if (serves) {
    await rig.create('a');
    await rig.clock.advance(SOON_MS);
    assert.deepEqual(rig.conditions('a'), complete);
  }
  return { rig, replica };
}
const edited = { spec: { ports: [{ port: 81, protocol: 'TCP' }] } };

// invalid

test('invalid, nothing built: Serving False/Invalid at once, with field, text and code; nothing is tried again by itself', async (t) => {
  const { rig, replica } = await started(t);
  const course = failing(rig, () => error('invalid', { field: 'spec.ports[0]' }));
  await rig.create('a');
  await rig.clock.advance(7 * MINUTE_MS); // the drift check comes at 8 at the earliest
  assert.equal(course.timesMs.length, 1);
  assert.deepEqual(rig.conditions('a'), ['Provisioning False/Complete', 'Serving False/Invalid']);
  const text = 'invalid: spec.ports[0]: the cloud says no (FAKE_TROUBLE)';
  assert.equal(rig.condition('a', 'Serving')?.message, text);
  assert.deepEqual(told(rig, 'SyncLoadBalancerFailed'), [
    `Warning SyncLoadBalancerFailed: Error syncing load balancer: ${text}`,
  ]);
  assert.equal(await replica.metric('fairlead_reconcile_total', { controller: 'service', result: 'invalid' }), 1);
});

test('invalid is tried again at the drift check', async (t) => {
  const { rig } = await started(t);
  const course = failing(rig, () => error('invalid'));
  await rig.create('a');
  await rig.clock.advance(13 * MINUTE_MS);
  assert.equal(course.timesMs.length, 2);
  course.stop();
  await rig.clock.advance(13 * MINUTE_MS);
  assert.deepEqual(rig.conditions('a'), complete);
});

test('invalid is tried again at the next change, and forgotten when that is right', async (t) => {
  const { rig } = await started(t);
  const course = failing(rig, () => error('invalid'));
  await rig.create('a');
  await rig.clock.advance(MINUTE_MS);
  course.stop();
  await rig.edit('a', edited);
  await rig.clock.advance(SOON_MS);
  assert.deepEqual([rig.conditions('a'), rig.shown('a')], [complete, ['192.0.2.1']]);
});

for (const { kind, reason } of [
  { kind: 'invalid', reason: 'Invalid' },
  { kind: 'quota', reason: 'Infrastructure' },
] as const)
  test(`${kind} is written once the API server takes it, without any change`, async (t) => {
    const { rig, replica } = await started(t);
    failing(rig, () => error(kind));
    const refused = { verb: 'patch', path: '/services/', skip: 1, times: 2 } as const;
    replica.faults.add({ ...refused, effect: { kind: 'status', status: 500 } });
    await rig.create('a');
    await rig.clock.advance(SOON_MS / 2);
    assert.deepEqual(rig.conditions('a'), ['Provisioning True/Provisioning', 'Serving False/Provisioning']);
    await rig.clock.advance(5000);
    assert.deepEqual(rig.conditions('a'), ['Provisioning False/Complete', `Serving False/${reason}`]);
  });

test('a failure of a run that a change overtook is no word on the changed Service, and does not settle it', async (t) => {
  for (const how of ['edited', 'made again']) {
    const { rig } = await started(t);
    let isOver = false;
    rig.cloud.script = async ({ at }, call) => {
      if (at !== 'create' || isOver) return;
      await rig.clock.sleep(500, call.signal);
      throw error('invalid');
    };
    await rig.create('a');
    await rig.clock.advance(100);
    if (how === 'edited') await rig.edit('a', edited);
    else {
      await rig.edit('a', { metadata: { finalizers: null } });
      await rig.remove('a');
      await rig.create('a');
    }
    isOver = true;
    await rig.clock.advance(SOON_MS);
    assert.deepEqual(rig.conditions('a'), complete, how);
  }
});

test('a missing feature, nothing built: Serving False/Unsupported', async (t) => {
  const { rig } = await started(t);
  failing(rig, () => error('invalid', {}, 'FAKE_SCTP_UNSUPPORTED'));
  await rig.create('a');
  await rig.clock.advance(SOON_MS);
  assert.deepEqual(rig.conditions('a'), ['Provisioning False/Complete', 'Serving False/Unsupported']);
});

for (const kind of ['invalid', 'denied', 'quota'] as const) {
  test(`${kind}, with a load balancer that stands: it serves on, Degraded/StaleSpec says why, and its address stays`, async (t) => {
    const { rig } = await started(t, { serves: true });
    const serving = rig.condition('a', 'Serving');
    const course = failing(rig, () => error(kind, { field: 'spec.ports[0]' }), { at: 'setPorts' });
    await rig.edit('a', edited);
    await rig.clock.advance(SOON_MS);
    assert.deepEqual(rig.conditions('a'), ['Degraded True/StaleSpec', ...complete]);
    assert.match(
      rig.condition('a', 'Degraded')?.message ?? '',
      /^The last good load balancer serves\. .*spec\.ports\[0\]/,
    );
    assert.deepEqual([rig.condition('a', 'Serving'), rig.shown('a')], [serving, ['192.0.2.1']]);
    assert.equal(told(rig, 'SyncLoadBalancerFailed').length, 1);
    course.stop();
    await rig.edit('a', { spec: { ports: [{ port: 82, protocol: 'TCP' }] } });
    await rig.clock.advance(SOON_MS);
    assert.deepEqual(rig.conditions('a'), complete, 'Degraded goes, it never turns False');
  });
}

// denied, quota

for (const kind of ['denied', 'quota'] as const) {
  test(`${kind}, nothing built: Serving False/Infrastructure at once, tried again every 5 minutes`, async (t) => {
    const { rig } = await started(t);
    const course = failing(rig, () => error(kind));
    await rig.create('a');
    await rig.clock.advance(SOON_MS);
    assert.deepEqual(rig.conditions('a'), ['Provisioning False/Complete', 'Serving False/Infrastructure']);
    assert.equal(told(rig, 'SyncLoadBalancerFailed').length, 1);
    await rig.clock.advance(7.9 * MINUTE_MS);
    assert.deepEqual(course.gapsMs(), [300_000]);
    course.stop();
    await rig.clock.advance(5 * MINUTE_MS);
    assert.deepEqual(rig.conditions('a'), complete);
  });
}

// throttled

test('throttled: Provisioning stays True, backoff, and no news before 5 minutes without progress', async (t) => {
  const { rig } = await started(t);
  const course = failing(rig, () => error('throttled'));
  await rig.create('a');
  await rig.clock.advance(4.5 * MINUTE_MS);
  assert.deepEqual(rig.conditions('a'), ['Provisioning True/Provisioning', 'Serving False/Provisioning']);
  assert.deepEqual(told(rig, 'SyncLoadBalancerFailed'), []);
  assertDoubling(course.gapsMs());
  await rig.clock.advance(6 * MINUTE_MS);
  assert.deepEqual(rig.conditions('a'), ['Provisioning True/Provisioning', 'Serving False/Provisioning']);
  assert.equal(told(rig, 'SyncLoadBalancerFailed').length, 1);
});

test('throttled with a time: exactly that, every time, and the count of failures does not stretch it', async (t) => {
  const { rig } = await started(t);
  const course = failing(rig, () => error('throttled', { retryAfterMs: 7000 }));
  await rig.create('a');
  await rig.clock.advance(71_000);
  assert.deepEqual(new Set(course.gapsMs()), new Set([7000]));
  assert.ok(course.gapsMs().length >= 9);
});

// conflict

test('conflict: looked at anew with backoff, news from the third in a row', async (t) => {
  const { rig } = await started(t);
  const course = failing(rig, () => error('conflict'));
  await rig.create('a');
  await untilTries(rig, course, 2);
  assert.deepEqual(told(rig, 'SyncLoadBalancerFailed'), []);
  await untilTries(rig, course, 3);
  assert.equal(told(rig, 'SyncLoadBalancerFailed').length, 1);
  assert.deepEqual(rig.conditions('a'), ['Provisioning True/Provisioning', 'Serving False/Provisioning']);
  assertDoubling(course.gapsMs());
});

test('a conflict with a time is a wait: something is still in use, and no failure', async (t) => {
  const { rig } = await started(t);
  const course = failing(rig, () => error('conflict', { retryAfterMs: 4000 }));
  await rig.create('a');
  await rig.clock.advance(21_000);
  assert.deepEqual(new Set(course.gapsMs()), new Set([4000]));
  assert.deepEqual(told(rig, 'SyncLoadBalancerFailed'), []);
  assert.equal(rig.condition('a', 'Provisioning')?.message, 'the cloud says no');
});

test('a code with an event of its own is told by that, at once and instead of the generic one', async (t) => {
  const { rig } = await started(t);
  failing(rig, () => error('quota', { field: 'spec.x' }, 'FL_POOL_EXHAUSTED'));
  await rig.create('a');
  await rig.clock.advance(SOON_MS);
  assert.deepEqual(told(rig, 'AllocationFailed').length, 1);
  assert.deepEqual(told(rig, 'SyncLoadBalancerFailed'), []);
});

// transient

test('transient, nothing built: 1 s, 2 s, 4 s to 300 s with jitter; Serving False/Infrastructure and an event from the third', async (t) => {
  const { rig } = await started(t, { driftCheckPeriodMs: 24 * 60 * MINUTE_MS });
  const course = failing(rig, () => error('transient'));
  await rig.create('a');
  await untilTries(rig, course, 2);
  assert.deepEqual(rig.conditions('a'), ['Provisioning True/Provisioning', 'Serving False/Provisioning']);
  assert.deepEqual(told(rig, 'SyncLoadBalancerFailed'), []);
  await untilTries(rig, course, 3);
  assert.deepEqual(rig.conditions('a'), ['Provisioning True/Provisioning', 'Serving False/Infrastructure']);
  assert.equal(told(rig, 'SyncLoadBalancerFailed').length, 1);
  await untilTries(rig, course, 13);
  assertDoubling(course.gapsMs());
  assert.ok((course.gapsMs().at(-1) ?? 0) <= 360_000, 'the cap, and its jitter');
  course.stop();
  await rig.clock.advance(6 * MINUTE_MS);
  assert.deepEqual(rig.conditions('a'), complete);
});

test('transient, with a load balancer that stands: Serving stays True, whatever comes', async (t) => {
  const { rig } = await started(t, { serves: true });
  const course = failing(rig, () => error('transient'), { at: 'setPorts' });
  await rig.edit('a', edited);
  await untilTries(rig, course, 5);
  assert.deepEqual(rig.conditions('a'), ['Provisioning True/Provisioning', 'Serving True/Serving']);
  assert.deepEqual(rig.shown('a'), ['192.0.2.1']);
});

test('an error that nobody classified is transient, FL_INTERNAL', async (t) => {
  const { rig } = await started(t);
  const course = failing(rig, () => new TypeError('undefined is not a function'));
  await rig.create('a');
  await untilTries(rig, course, 3);
  assert.deepEqual(told(rig, 'SyncLoadBalancerFailed'), [
    'Warning SyncLoadBalancerFailed: Error syncing load balancer: transient: FL_INTERNAL: undefined is not a function',
  ]);
});

test('a success ends the row: the next failure is the first again', async (t) => {
  const { rig } = await started(t);
  const course = failing(rig, () => error('transient'));
  await rig.create('a');
  await untilTries(rig, course, 2);
  course.stop();
  await rig.clock.advance(10_000);
  assert.deepEqual(rig.conditions('a'), complete);
  const again = failing(rig, () => error('transient'), { at: 'setPorts' });
  await rig.edit('a', edited);
  await untilTries(rig, again, 2);
  assert.deepEqual(told(rig, 'SyncLoadBalancerFailed'), []);
  assertDoubling(again.gapsMs());
});

test('a change does not wait for the end of a backoff', async (t) => {
  const { rig } = await started(t);
  const course = failing(rig, () => error('transient'));
  await rig.create('a');
  await untilTries(rig, course, 7);
  course.stop();
  await rig.edit('a', edited);
  await rig.clock.advance(100);
  assert.deepEqual(rig.conditions('a'), complete);
});

// Numbers that change in a message are no news.

test('a message whose numbers change writes no condition and raises one event', async (t) => {
  const { rig, replica } = await started(t);
  let request = 0;
  const course = failing(rig, () => {
    request += 1;
    return new ProviderError('quota', 'FAKE_QUOTA', `no room (request ${request}a${request})`);
  });
  await rig.create('a');
  await rig.clock.advance(SOON_MS);
  const writes = replica.writes().length;
  await rig.clock.advance(21 * MINUTE_MS);
  assert.ok(course.timesMs.length >= 4);
  assert.equal(replica.writes().length, writes);
});

// Nothing stands any more.

test('an error that says that nothing stands takes the published address away', async (t) => {
  const { rig } = await started(t, { serves: true });
  failing(rig, () => error('quota', { exists: false, field: 'spec.loadBalancerIP' }), { at: 'setPorts' });
  await rig.edit('a', edited);
  await rig.clock.advance(SOON_MS);
  assert.deepEqual(rig.shown('a'), []);
  assert.deepEqual(rig.conditions('a'), ['Provisioning False/Complete', 'Serving False/Infrastructure']);
});

// Updates of hosts.

test('an update of hosts that fails is told as one, names at most 20 nodes, and is tried again', async (t) => {
  const rig = createRig(t);
  for (let at = 10; at < 32; at += 1) await rig.node(`n${at}`);
  await rig.create('a');
  await rig.start();
  const course = failing(rig, () => error('denied'), { at: 'setHosts' });
  await rig.node('n99');
  await rig.clock.advance(SOON_MS);
  const [event = ''] = told(rig, 'UpdateLoadBalancerFailed');
  assert.match(
    event,
    /^Warning UpdateLoadBalancerFailed: Error updating load balancer with new hosts \[n10 n11 .* n29 <3 more>\] \[node names limited, total number of nodes: 23\], error: denied: FAKE_TROUBLE: the cloud says no$/,
  );
  assert.deepEqual(told(rig, 'SyncLoadBalancerFailed'), []);
  course.stop();
  await rig.clock.advance(5 * MINUTE_MS);
  assert.equal([...rig.cloud.balancers.values()][0]?.hosts.length, 23);
});

// Removal.

for (const kind of ['invalid', 'denied', 'quota', 'throttled', 'conflict', 'transient'] as const) {
  test(`a removal that fails (${kind}) keeps the finalizer and the conditions, and goes on`, async (t) => {
    const { rig } = await started(t, { serves: true });
    const course = failing(rig, () => error(kind), { at: 'delete' });
    await rig.remove('a');
    await untilTries(rig, course, 1);
    await rig.clock.advance(100);
    assert.deepEqual(rig.get('a').metadata.finalizers, [STANDARD_FINALIZER]);
    assert.deepEqual(rig.conditions('a'), complete);
    course.stop();
    await rig.clock.advance(13 * MINUTE_MS);
    assert.equal(rig.find('a'), undefined);
    const news = told(rig, 'DeleteLoadBalancerFailed');
    const expected = ['invalid', 'denied', 'quota'].includes(kind)
      ? [`Warning DeleteLoadBalancerFailed: Error deleting load balancer: ${kind}: FAKE_TROUBLE: the cloud says no`]
      : [];
    assert.deepEqual(news, expected);
    assert.equal(told(rig, 'DeletingLoadBalancer').length, 1);
    assert.equal(told(rig, 'DeletedLoadBalancer').length, 1);
  });
}

test('a removal obeys the time that the cloud names, whichever way it says it', async (t) => {
  for (const kind of ['throttled', 'conflict', 'transient'] as const) {
    const { rig } = await started(t, { serves: true });
    const course = failing(rig, () => error(kind, { retryAfterMs: 7000 }), { at: 'delete' });
    await rig.remove('a');
    await rig.clock.advance(36_000);
    assert.deepEqual(course.gapsMs(), [7000, 7000, 7000, 7000, 7000], kind);
  }
});

// Deadline.

test('a provider that hangs is ended after two minutes and asked again', async (t) => {
  const { rig } = await started(t);
  const timesMs: number[] = [];
  let hangs = 3;
  rig.cloud.script = async ({ at }, call) => {
    if (at !== 'create') return;
    timesMs.push(rig.clock.monotonicMs());
    if (hangs === 0) return;
    hangs -= 1;
    await new Promise((_resolve, reject) => {
      call.signal.addEventListener('abort', () => reject(call.signal.reason), { once: true });
    });
  };
  await rig.create('a');
  await rig.clock.advance(10 * MINUTE_MS);
  assert.deepEqual(rig.conditions('a'), complete);
  const gaps = timesMs.slice(1).map((ms, index) => ms - (timesMs[index] ?? 0));
  assert.equal(gaps.length, 3);
  for (const gap of gaps) assert.ok(gap >= 120_500 && gap <= 125_000, `${gap} ms`);
  assert.deepEqual(told(rig, 'SyncLoadBalancerFailed'), [
    'Warning SyncLoadBalancerFailed: Error syncing load balancer: transient: FL_RUN_DEADLINE: no end after 120 s',
  ]);
  assert.equal(rig.cloud.mostAtOnce, 1);
});

test('a removal of a Service that is gone has the same deadline', async (t) => {
  const { rig } = await started(t, { serves: true });
  let hangs = 1;
  rig.cloud.script = async ({ at }, call) => {
    if (at !== 'delete' || hangs === 0) return;
    hangs -= 1;
    await new Promise((_resolve, reject) => {
      call.signal.addEventListener('abort', () => reject(call.signal.reason), { once: true });
    });
  };
  await rig.remove('a');
  await rig.clock.advance(SOON_MS);
  await rig.edit('a', { metadata: { finalizers: null } });
  await rig.clock.advance(3 * MINUTE_MS);
  assert.deepEqual([rig.find('a'), rig.cloud.balancers.size], [undefined, 0]);
});

test('a bulk read that hangs is ended, and every Service is looked at by itself', async (t) => {
  const rig = createRig(t);
  await rig.create('a');
  rig.cloud.script = async ({ at }, call) => {
    if (at !== 'observeAll') return;
    await new Promise((_resolve, reject) => {
      call.signal.addEventListener('abort', () => reject(call.signal.reason), { once: true });
    });
  };
  await rig.start();
  await rig.create('b');
  await rig.clock.advance(SOON_MS);
  assert.equal(rig.shown('b').length, 1, 'what is new does not wait for it');
  await rig.clock.advance(6 * MINUTE_MS);
  assert.equal(rig.shown('a').length, 1);
});

// The API server's own refusals.

test('a status patch that the API server refuses for lack of rights is denied, and told', async (t) => {
  const { rig, replica } = await started(t);
  const end = replica.faults.add({
    verb: 'patch',
    path: '/services/',
    times: Number.POSITIVE_INFINITY,
    effect: { kind: 'status', status: 403 },
  });
  await rig.create('a');
  await rig.clock.advance(SOON_MS);
  assert.match(told(rig, 'SyncLoadBalancerFailed').join(), /denied: FL_KUBE_DENIED: .*403/);
  assert.deepEqual(rig.cloud.applied, [], 'no finalizer, no load balancer');
  end();
  await rig.clock.advance(5 * MINUTE_MS);
  assert.deepEqual(rig.conditions('a'), complete);
});

test('429 with Retry-After on a status patch is obeyed to the second', async (t) => {
  const { rig, replica } = await started(t);
  const slow = { kind: 'status', status: 429, retryAfterSeconds: 9 } as const;
  replica.faults.add({ verb: 'patch', path: '/services/', effect: slow });
  const timesMs = () =>
    replica.requests
      .filter(({ method, path }) => method === 'PATCH' && path.includes('/services/'))
      .map(({ atMs }) => atMs);
  await rig.create('a');
  const createdMs = rig.clock.monotonicMs();
  await rig.clock.advance(20_000);
  assert.deepEqual(rig.conditions('a'), complete);
  assert.equal((timesMs()[0] ?? 0) - createdMs, 9000, 'the first that got through');
});

for (const when of ['before', 'after'] as const)
  for (const kind of ['reset', 'status'] as const)
    test(`a status patch whose answer is lost is told once, whether it took effect or not: ${kind} ${when}`, async (t) => {
      const { rig, replica } = await started(t);
      const effect = kind === 'reset' ? { kind, when } : { kind, when, status: 504 };
      replica.faults.add({ verb: 'patch', path: '/services/', skip: 1, effect });
      await rig.create('a');
      await rig.clock.advance(5000);
      assert.deepEqual(rig.conditions('a'), complete);
      assert.deepEqual(told(rig, 'EnsuredLoadBalancer'), ['Normal EnsuredLoadBalancer: Ensured load balancer']);
    });

async function untilTries(rig: Rig, course: { readonly timesMs: readonly number[] }, count: number): Promise<void> {
  await rig.clock.run(() => course.timesMs.length >= count, { maxMs: 60 * MINUTE_MS });
  await rig.clock.advance(300); // events and conditions follow
}

/** 1 s * 2^n up to 300 s, 20 % either way. */
function assertDoubling(gapsMs: readonly number[]): void {
  assert.ok(gapsMs.length > 0);
  for (const [index, gap] of gapsMs.entries()) {
    const wanted = Math.min(300_000, 1000 * 2 ** index);
    assert.ok(gap >= wanted * 0.8 && gap <= wanted * 1.2 + 5, `gap ${index}: ${gap} ms, about ${wanted} expected`);
  }
}
