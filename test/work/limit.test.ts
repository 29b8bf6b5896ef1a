import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { test } from 'node:test';
import fc from 'fast-check';
import { ProviderError } from '../../src/core/errors.ts';
import type { ClassLimit } from '../../src/core/provider.ts';
import { createLimiter } from '../../src/work/limit.ts';
import { createVirtualClock } from '../fake/clock.ts';

const never = new AbortController().signal;

function rig(rate: ClassLimit, others: Record<string, ClassLimit> = {}) {
  const clock = createVirtualClock();
  const limiter = createLimiter({ clock, classes: { ...others, default: rate } });
  const starts: (readonly [string, number])[] = [];
  const limit = limiter.for(never);
  const request =
    (name: string, ms = 0) =>
    async (): Promise<string> => {
      starts.push([name, clock.monotonicMs()]);
      if (ms > 0) await clock.sleep(ms, never);
      return name;
    };
  return { clock, limiter, limit, starts, request };
}

test('twenty requests at five in any 100 ms start 5, 5, 5, 5', async () => {
  const { clock, limit, starts, request } = rig({ concurrency: 100, starts: { max: 5, intervalMs: 100 } });
  const all = Promise.all(Array.from({ length: 20 }, (_, index) => limit(request(`${index}`))));
  await clock.advance(300);
  assert.equal((await all).length, 20);
  assert.deepEqual(
    starts.map(([, ms]) => ms),
    [0, 100, 200, 300].flatMap((ms) => Array(5).fill(ms)),
  );
});

test('property: never more starts in any interval than allowed, never more side by side, and all end', async () => {
  const load = fc.array(fc.record({ gapMs: fc.nat(40), ms: fc.nat(60), priority: fc.nat(2) }), { maxLength: 40 });
  const rate = fc.record({
    concurrency: fc.integer({ min: 1, max: 4 }),
    starts: fc.record({ max: fc.integer({ min: 1, max: 4 }), intervalMs: fc.integer({ min: 1, max: 100 }) }),
  });
  await fc.assert(
    fc.asyncProperty(load, rate, async (requests, allowed) => {
      const { clock, limit, starts } = rig(allowed);
      let active = 0;
      const ends: Promise<void>[] = [];
      for (const { gapMs, ms, priority } of requests) {
        await clock.advance(gapMs);
        const request = async (): Promise<void> => {
          starts.push(['', clock.monotonicMs()]);
          active += 1;
          assert.ok(active <= allowed.concurrency);
          await clock.sleep(ms, never);
          active -= 1;
        };
        ends.push(limit(request, { priority }));
      }
      await clock.advance(100_000);
      await Promise.all(ends);
      starts.forEach(([, ms], index) => {
        const earlier = starts[index - allowed.starts.max];
        if (earlier !== undefined) assert.ok(ms - earlier[1] >= allowed.starts.intervalMs);
      });
    }),
    { numRuns: 200 },
  );
});

test('higher priorities first', async () => {
  const { clock, limit, starts, request } = rig({ concurrency: 1 });
  const all = [
    limit(request('gate', 10)),
    limit(request('low'), { priority: -100 }),
    limit(request('normal')),
    limit(request('high'), { priority: 10 }),
  ];
  await clock.advance(10);
  assert.deepEqual(await Promise.all(all), ['gate', 'low', 'normal', 'high']);
  assert.deepEqual(
    starts.map(([name]) => name),
    ['gate', 'high', 'normal', 'low'],
  );
});

test('a throttled request stops its class for as long as it says, and no other class', async () => {
  const { clock, limit, starts, request } = rig({ concurrency: 2 }, { read: { concurrency: 2 } });
  const throttled = async (): Promise<never> => {
    throw new ProviderError('throttled', 'T_SLOW', 'slow down', { retryAfterMs: 500 });
  };
  await assert.rejects(limit(throttled), { code: 'T_SLOW' });
  const all = [
    limit(request('write')),
    limit(request('read'), { class: 'read' }),
    limit(request('odd'), { class: 'x' }),
  ];
  await clock.advance(1000);
  await Promise.all(all);
  assert.deepEqual(starts, [
    ['read', 0],
    ['write', 500],
    ['odd', 500],
  ]);
});

test('a throttled error without a time pauses for the default, another error not at all', async () => {
  const { clock, limit, starts, request } = rig({ concurrency: 1 });
  await assert.rejects(
    limit(() => Promise.reject(new Error('other'))),
    /other/,
  );
  await limit(request('a'));
  await assert.rejects(limit(() => Promise.reject(new ProviderError('throttled', 'T_SLOW', ''))));
  const last = limit(request('b'));
  await clock.advance(1000);
  await last;
  assert.deepEqual(starts, [
    ['a', 0],
    ['b', 1000],
  ]);
});

for (const pauses of [
  [800, 100],
  [100, 800],
]) {
  test(`of two pauses, ${pauses.join(' and ')} ms, the longer counts`, async () => {
    const { clock, limit, starts, request } = rig({ concurrency: 3 });
    const throttled = (retryAfterMs: number) => async (): Promise<never> => {
      throw new ProviderError('throttled', 'T_SLOW', '', { retryAfterMs });
    };
    await Promise.allSettled(pauses.map((ms) => limit(throttled(ms))));
    const last = limit(request('a'));
    await clock.advance(1000);
    await last;
    assert.deepEqual(starts, [['a', 800]]);
  });
}

test('a request whose call ends while it waits rejects at once, never starts, and takes no place in the window', async () => {
  const { clock, limiter, limit, starts, request } = rig({ concurrency: 1, starts: { max: 1, intervalMs: 100 } });
  const stop = new AbortController();
  const first = limit(request('first'));
  const gone = limiter.for(stop.signal)(request('gone'), { priority: 5 });
  const last = limit(request('last'));
  await clock.advance(50);
  stop.abort(new Error('deadline'));
  await assert.rejects(gone, /deadline/);
  await clock.advance(50);
  assert.deepEqual(await Promise.all([first, last]), ['first', 'last']);
  assert.deepEqual(starts, [
    ['first', 0],
    ['last', 100],
  ]);
  await assert.rejects(limiter.for(stop.signal)(request('late')), /deadline/);
});

test('a request that runs keeps its place when its call ends, and leaves no listener', async () => {
  const { clock, limiter, limit, starts, request } = rig({ concurrency: 1 });
  const stop = new AbortController();
  const running = limiter.for(stop.signal)(request('running', 50));
  const next = limit(request('next'));
  await clock.advance(10);
  assert.equal(getEventListeners(stop.signal, 'abort').length, 0);
  stop.abort();
  await clock.advance(40);
  assert.deepEqual(await Promise.all([running, next]), ['running', 'next']);
  assert.deepEqual(starts, [
    ['running', 0],
    ['next', 50],
  ]);
});

test('wall time that is set back stalls nothing', async () => {
  const { clock, limit, starts, request } = rig({ concurrency: 1, starts: { max: 1, intervalMs: 100 } });
  const first = limit(request('a'));
  await clock.settle();
  clock.shiftWall(-3_600_000);
  const second = limit(request('b'));
  await clock.advance(100);
  await Promise.all([first, second]);
  assert.deepEqual(starts, [
    ['a', 0],
    ['b', 100],
  ]);
});

test('close waits for what runs and rejects what waits and what comes later', async () => {
  const { clock, limiter, limit, starts, request } = rig({ concurrency: 1 });
  const running = limit(request('running', 50));
  const waiting = limit(request('waiting'));
  let closed = false;
  const closing = limiter.close().then(() => {
    closed = true;
  });
  await assert.rejects(waiting, /closed/);
  await clock.advance(49);
  assert.equal(closed, false);
  await clock.advance(1);
  await Promise.all([closing, running]);
  await assert.rejects(limit(request('late')), /closed/);
  assert.deepEqual([starts.length, clock.timers], [1, 0]);
});

test('after close no timer is left, not even one for a pause or a window', async () => {
  const { clock, limiter, limit } = rig({ concurrency: 2, starts: { max: 1, intervalMs: 1000 } });
  const running = limit(async () => {
    await clock.sleep(50, never);
    throw new ProviderError('throttled', 'T_SLOW', '');
  });
  await clock.settle();
  assert.equal(clock.timers, 2);
  const closing = limiter.close();
  await Promise.all([assert.rejects(running, { code: 'T_SLOW' }), clock.advance(50)]);
  await closing;
  assert.equal(clock.timers, 0);
});

test('how long a request waited is told when it starts', async () => {
  const clock = createVirtualClock();
  const waits: number[] = [];
  const limiter = createLimiter({
    clock,
    classes: { default: { concurrency: 1, starts: { max: 1, intervalMs: 250 } } },
    waited: (seconds) => waits.push(seconds),
  });
  const limit = limiter.for(never);
  const both = Promise.all([limit(async () => {}), limit(async () => {})]);
  await clock.advance(250);
  await both;
  assert.deepEqual(waits, [0, 0.25]);
});

// What it learns.

const throttle = (retryAfterMs?: number) =>
  new ProviderError('throttled', 'T_SLOW', '', retryAfterMs === undefined ? {} : { retryAfterMs });

test('a throttled answer halves the rate of its class; a minute later it is whole again', async () => {
  const { clock, limiter, limit, starts, request } = rig({ concurrency: 100, starts: { max: 8, intervalMs: 1000 } });
  assert.deepEqual([...limiter.rates()], [['default', 8]]);
  await assert.rejects(limit(() => Promise.reject(throttle())));
  assert.deepEqual([...limiter.rates()], [['default', 4]]);
  const all = Array.from({ length: 40 }, () => limit(request('')));
  await clock.advance(3000);
  const times = starts.map(([, ms]) => ms);
  assert.equal(times[0], 1000, 'the pause first');
  for (const [index, ms] of times.slice(1).entries()) {
    const gapMs = ms - (times[index] as number);
    assert.ok(gapMs > 200 && gapMs <= 250, `${gapMs} ms at four in a second, and a little more`);
  }
  await clock.advance(57_000);
  await Promise.all(all);
  assert.deepEqual([...limiter.rates()], [['default', 8]]);
});

test('at less than the whole rate starts come in even gaps, longer than the window if need be', async () => {
  const { clock, limit, starts, request } = rig({ concurrency: 1, starts: { max: 1, intervalMs: 1000 } });
  for (let at = 0; at < 2; at += 1) {
    const refused = assert.rejects(limit(() => Promise.reject(throttle(0))));
    await clock.advance(2000);
    await refused;
  }
  starts.length = 0;
  const all = [limit(request('a')), limit(request('b'))];
  await clock.advance(10_000);
  await Promise.all(all);
  const [first = 0, second = 0] = starts.map(([, ms]) => ms);
  assert.ok(second - first > 3000 && second - first < 4000, `${second - first} ms at some more than a quarter`);
});

test('fifty that are throttled together halve the rate once', async () => {
  const { clock, limiter, limit } = rig({ concurrency: 50, starts: { max: 100, intervalMs: 1000 } });
  const all = Array.from({ length: 50 }, () =>
    limit(async () => {
      await clock.sleep(20, never);
      throw throttle();
    }),
  );
  await Promise.all([clock.advance(20), Promise.allSettled(all)]);
  assert.deepEqual([...limiter.rates()], [['default', 50]]);
});

test('a class with retries sends a throttled request again itself, when the pause is over and before others', async () => {
  const { clock, limit, starts, request } = rig({ concurrency: 1, retries: 2 });
  let tries = 0;
  const slow = limit(async () => {
    tries += 1;
    starts.push([`try ${tries}`, clock.monotonicMs()]);
    if (tries < 3) throw throttle(500);
    return 'done';
  });
  const other = limit(request('other'));
  await clock.advance(1000);
  assert.deepEqual(await Promise.all([slow, other]), ['done', 'other']);
  assert.deepEqual(starts, [
    ['try 1', 0],
    ['try 2', 500],
    ['try 3', 1000],
    ['other', 1000],
  ]);
});

test('after its retries the throttled error is the result, and only a throttled one is retried', async () => {
  const { clock, limit } = rig({ concurrency: 1, retries: 2 });
  let tries = 0;
  const failing = (error: Error) => async (): Promise<never> => {
    tries += 1;
    throw error;
  };
  const refused = assert.rejects(limit(failing(throttle(10))), { code: 'T_SLOW' });
  await clock.advance(30);
  await refused;
  assert.equal(tries, 3);
  await assert.rejects(limit(failing(new ProviderError('transient', 'T_DOWN', ''))), { code: 'T_DOWN' });
  assert.equal(tries, 4);
});

for (const how of ['its call ends', 'the limiter closes'] as const) {
  test(`a throttled request that waits for its next try rejects when ${how}, and leaves nothing behind`, async () => {
    const { clock, limiter } = rig({ concurrency: 1, retries: 5 });
    const stop = new AbortController();
    const waiting = limiter.for(stop.signal)(() => Promise.reject(throttle(60_000)));
    await clock.settle();
    assert.equal(getEventListeners(stop.signal, 'abort').length, 1);
    if (how === 'its call ends') stop.abort(new Error('deadline'));
    const closing = limiter.close();
    await assert.rejects(waiting, how === 'its call ends' ? /deadline/ : /closed/);
    await closing;
    assert.deepEqual([getEventListeners(stop.signal, 'abort').length, clock.timers], [0, 0]);
  });
}

test('a backend that fails five times in a row is left alone: its class fails at once, the others go on', async () => {
  const clock = createVirtualClock();
  const opened: string[] = [];
  const limiter = createLimiter({
    clock,
    classes: { default: { concurrency: 2 }, read: { concurrency: 2 } },
    circuits: true,
    opened: (apiClass) => opened.push(apiClass),
  });
  const limit = limiter.for(never);
  let sent = 0;
  const failing = (error: Error) => async (): Promise<never> => {
    sent += 1;
    throw error;
  };
  const down = failing(new ProviderError('transient', 'T_DOWN', 'no answer'));
  for (let at = 0; at < 5; at += 1) await assert.rejects(limit(down, { class: 'read' }), { code: 'T_DOWN' });
  const refused = { code: 'FL_CIRCUIT_OPEN', kind: 'transient', retryAfterMs: 1000 };
  await assert.rejects(limit(down, { class: 'read' }), refused);
  assert.deepEqual([sent, opened], [5, ['read']]);
  assert.equal(await limit(async () => 'fine'), 'fine');
  await clock.advance(1000);
  assert.equal(await limit(async () => 'back', { class: 'read' }), 'back');

  // What a living backend refuses, or what is wrong on our side, or ended by us, opens nothing.
  const ended = AbortSignal.abort();
  for (const error of [
    new ProviderError('denied', 'T_DENIED', ''),
    new ProviderError('quota', 'T_QUOTA', ''),
    new TypeError('a bug'),
  ])
    for (let at = 0; at < 6; at += 1) await assert.rejects(limit(failing(error)), { message: error.message });
  await assert.rejects(limiter.for(ended)(down));
  assert.deepEqual(opened, ['read']);
});

test('without circuits failures stop nothing', async () => {
  const { limit } = rig({ concurrency: 1 });
  for (let at = 0; at < 20; at += 1) {
    await assert.rejects(
      limit(() => Promise.reject(new ProviderError('transient', 'T_DOWN', ''))),
      { code: 'T_DOWN' },
    );
  }
});

test('property: behind a bucket of any size that is refilled at any speed everything ends, and few are refused', async () => {
  const cloud = fc.record({
    burst: fc.integer({ min: 1, max: 40 }),
    perSecond: fc.integer({ min: 1, max: 60 }),
    ms: fc.integer({ min: 1, max: 200 }),
  });
  const requests = 150;
  await fc.assert(
    fc.asyncProperty(cloud, async ({ burst, perSecond, ms }) => {
      const { clock, limit } = rig({ concurrency: 20, starts: { max: 50, intervalMs: 1000 }, retries: 1000 });
      let tokens = burst;
      let filledMs = 0;
      let refused = 0;
      let endMs = 0;
      const request = async (): Promise<void> => {
        const nowMs = clock.monotonicMs();
        tokens = Math.min(burst, tokens + ((nowMs - filledMs) / 1000) * perSecond);
        filledMs = nowMs;
        await clock.sleep(ms, never);
        if (tokens < 1) {
          refused += 1;
          throw throttle();
        }
        tokens -= 1;
        endMs = clock.monotonicMs();
      };
      const all = Promise.all(Array.from({ length: requests }, () => limit(request)));
      await clock.advance(3_600_000);
      await all;
      const idealMs = (Math.max(0, requests - burst) / Math.min(50, perSecond)) * 1000;
      assert.ok(endMs <= 4 * idealMs + 30_000, `${endMs} ms for ${idealMs} ms of work`);
      assert.ok(refused <= requests, `${refused} refused`);
    }),
    { numRuns: 30 },
  );
});
