import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ProviderError } from '../../src/core/errors.ts';
import type { Log } from '../../src/core/provider.ts';
import { exponential } from '../../src/work/backoff.ts';
import { createQueue, type Outcome, type Queue, type QueueOptions } from '../../src/work/queue.ts';
import { createVirtualClock, type VirtualClock } from '../fake/clock.ts';

const silent: Log = { debug() {}, info() {}, warn() {}, error() {} };

interface Rig {
  readonly clock: VirtualClock;
  readonly queue: Queue;
  /** [key, start in ms] */
  readonly runs: (readonly [string, number])[];
}

function rig(
  reconcile: (key: string, rig: Rig, signal: AbortSignal) => Promise<Outcome>,
  options: Partial<QueueOptions> = {},
): Rig {
  const clock = createVirtualClock();
  const runs: (readonly [string, number])[] = [];
  const made: Rig = {
    clock,
    runs,
    queue: createQueue({
      name: 'test',
      controller: 'test',
      concurrency: 1,
      clock,
      backoff: exponential({ baseMs: 10, capMs: 1000 }),
      log: silent,
      reconcile: (key, signal) => {
        runs.push([key, clock.monotonicMs()]);
        return reconcile(key, made, signal);
      },
      ...options,
    }),
  };
  return made;
}

const never = new AbortController().signal;
const done = async (): Promise<void> => {};
const lasting =
  (ms: number) =>
  async (_: string, { clock }: Rig): Promise<void> =>
    clock.sleep(ms, never);

test('fifty adds and fifty more during the run are two runs, never side by side', async () => {
  let active = 0;
  const { clock, queue, runs } = rig(
    async () => {
      active += 1;
      assert.equal(active, 1);
      await clock.sleep(20, never);
      active -= 1;
    },
    { concurrency: 4 },
  );
  for (let count = 0; count < 50; count += 1) queue.add('a');
  await clock.advance(10);
  for (let count = 0; count < 50; count += 1) queue.add('a');
  await clock.advance(1000);
  assert.deepEqual(runs, [
    ['a', 0],
    ['a', 20],
  ]);
  assert.equal(queue.size, 0);
});

test('add returns before the reconciler begins', async () => {
  const { clock, queue, runs } = rig(done);
  queue.add('a');
  assert.deepEqual(runs, []);
  await clock.settle();
  assert.deepEqual(runs, [['a', 0]]);
});

test('failures are retried after 10, 20, 40, 80 ms, and a success forgets them', async () => {
  let failures = 4;
  const { clock, queue, runs } = rig(async () => {
    if (failures > 0) {
      failures -= 1;
      throw new Error('no');
    }
  });
  queue.add('a');
  await clock.advance(1000);
  assert.deepEqual(
    runs.map(([, ms]) => ms),
    [0, 10, 30, 70, 150],
  );
  failures = 1;
  queue.add('a');
  await clock.advance(1000);
  assert.deepEqual(
    runs.slice(5).map(([, ms]) => ms),
    [1000, 1010],
  );
});

/** Each add is [at ms, options]; `runs` the expected starts. The reconciler takes 20 ms. */
const table: readonly {
  readonly name: string;
  readonly adds: readonly (readonly [number, { afterMs?: number }?])[];
  readonly runs: readonly number[];
}[] = [
  { name: 'unknown, at once', adds: [[0]], runs: [0] },
  { name: 'unknown, later', adds: [[0, { afterMs: 50 }]], runs: [50] },
  { name: 'waiting, then at once: one run', adds: [[0, { afterMs: 50 }], [10]], runs: [10] },
  {
    name: 'waiting 200, then 20: the earlier',
    adds: [
      [0, { afterMs: 200 }],
      [0, { afterMs: 20 }],
    ],
    runs: [20],
  },
  {
    name: 'waiting 20, then 200: the earlier',
    adds: [
      [0, { afterMs: 20 }],
      [0, { afterMs: 200 }],
    ],
    runs: [20],
  },
  { name: 'ready, then later: now beats later', adds: [[0], [0, { afterMs: 500 }]], runs: [0] },
  { name: 'running, at once: once more', adds: [[0], [5], [6]], runs: [0, 20] },
  { name: 'running, due after the run', adds: [[0], [10, { afterMs: 60 }]], runs: [0, 70] },
  { name: 'running, due during the run: right after it', adds: [[0], [10, { afterMs: 5 }]], runs: [0, 20] },
  { name: 'running, later and then at once: once', adds: [[0], [5, { afterMs: 60 }], [6]], runs: [0, 20] },
  { name: 'running, at once and then later: once', adds: [[0], [5], [6, { afterMs: 60 }]], runs: [0, 20] },
  { name: 'running, later twice: the earlier', adds: [[0], [5, { afterMs: 90 }], [6, { afterMs: 40 }]], runs: [0, 46] },
  { name: 'a delay of 0 is at once', adds: [[0, { afterMs: 0 }]], runs: [0] },
];

for (const { name, adds, runs: expected } of table) {
  test(`add to a key that is ${name}`, async () => {
    const { clock, queue, runs } = rig(lasting(20));
    for (const [at, how] of adds) {
      // Adds of the same time come in the same turn, before the queue can start anything.
      if (at > clock.monotonicMs()) await clock.advance(at - clock.monotonicMs());
      queue.add('a', how);
    }
    await clock.advance(10_000);
    assert.deepEqual(
      runs.map(([, ms]) => ms),
      expected,
    );
    assert.deepEqual([queue.size, clock.timers], [0, 0]);
  });
}

test('the higher priority first, equal ones in order, a raised key last in its new class, none lowered', async () => {
  const { clock, queue, runs } = rig(lasting(10));
  queue.add('gate');
  await clock.settle();
  queue.add('low1', { priority: -100 });
  queue.add('low2', { priority: -100 });
  queue.add('n1');
  queue.add('n2');
  queue.add('low1', { priority: 0 });
  queue.add('n2', { priority: -100 });
  await clock.advance(1000);
  assert.deepEqual(
    runs.map(([key]) => key),
    ['gate', 'n1', 'n2', 'low1', 'low2'],
  );
});

test('a waiting key keeps the highest priority that it was given, and a retry keeps it too', async () => {
  let failed = false;
  const { clock, queue, runs } = rig(async (key) => {
    await clock.sleep(20, never);
    if (key !== 'late' || failed) return;
    failed = true;
    throw new Error('once');
  });
  queue.add('late', { afterMs: 30, priority: 0 });
  queue.add('late', { afterMs: 40, priority: -100 });
  for (const key of ['low1', 'low2', 'low3', 'low4', 'low5']) queue.add(key, { priority: -100 });
  await clock.advance(1000);
  assert.deepEqual(
    runs.map(([key]) => key),
    // Due at 30 ms it overtakes; its retry, due at 70, overtakes again.
    ['low1', 'low2', 'late', 'low3', 'late', 'low4', 'low5'],
  );
});

test('one more run has the priority that was asked for during the run, not that of the run', async () => {
  const { clock, queue, runs } = rig(lasting(20));
  queue.add('a', { priority: 0 });
  await clock.advance(10);
  queue.add('a', { priority: -100 });
  queue.add('b', { priority: -50 });
  await clock.advance(1000);
  assert.deepEqual(
    runs.map(([key]) => key),
    ['a', 'b', 'a'],
  );
});

test('a retry has the higher priority of its run and of what was asked for during it', async () => {
  for (const [first, during, expected] of [
    [0, -100, ['a', 'a', 'b']],
    [-100, 0, ['a', 'a', 'b']],
    [-100, -100, ['a', 'b', 'a']],
  ] as const) {
    let failed = false;
    const { clock, queue, runs } = rig(
      async (key) => {
        await clock.sleep(20, never);
        if (key !== 'a' || failed) return;
        failed = true;
        throw new Error('once');
      },
      { backoff: () => 0 },
    );
    queue.add('a', { priority: first });
    await clock.advance(10);
    queue.add('a', { priority: during, afterMs: 500 });
    queue.add('a', { priority: -200, afterMs: 500 });
    queue.add('gate', { priority: 10 });
    queue.add('b', { priority: -50 });
    await clock.advance(1000);
    assert.deepEqual(
      runs.map(([key]) => key).filter((key) => key !== 'gate'),
      expected,
      `${first}, then ${during}`,
    );
  }
});

test('keys keep their order when the bucket ran empty in between', async () => {
  const { clock, queue, runs } = rig(done);
  for (const key of ['a', 'b']) queue.add(key);
  await clock.settle();
  for (const key of ['c', 'a', 'd']) queue.add(key);
  await clock.settle();
  assert.deepEqual(
    runs.map(([key]) => key),
    ['a', 'b', 'c', 'a', 'd'],
  );
});

test('close aborts and awaits what runs; what is ready, waiting or added later never runs; nothing is left unhandled', async () => {
  const unhandled: unknown[] = [];
  const listener = (reason: unknown): void => void unhandled.push(reason);
  process.on('unhandledRejection', listener);
  try {
    let ended = false;
    const { clock, queue, runs } = rig(async (_, { clock: time }, signal) => {
      await new Promise((resolve) => signal.addEventListener('abort', resolve));
      await time.sleep(30, never);
      ended = true;
      throw new Error('aborted');
    });
    queue.add('a');
    await clock.settle();
    queue.add('b');
    queue.add('c', { afterMs: 5 });
    let closed = false;
    const closing = queue.close().then(() => {
      closed = true;
      assert.equal(ended, true);
    });
    queue.add('d');
    await clock.advance(29);
    assert.equal(closed, false);
    await clock.advance(1);
    await closing;
    queue.add('e');
    await clock.advance(10_000);
    assert.deepEqual(runs, [['a', 0]]);
    assert.deepEqual([queue.size, clock.timers, unhandled], [0, 0, []]);
    await queue.close();
  } finally {
    process.off('unhandledRejection', listener);
  }
});

test('drain lets what runs end by itself; what is ready, waiting, added later or asked for again never runs', async () => {
  let aborted = false;
  const { clock, queue, runs } = rig(async (_, { clock: time }, signal) => {
    await time.sleep(30, never);
    aborted = signal.aborted;
    return { requeueAfterMs: 5 };
  });
  queue.add('a');
  await clock.settle();
  queue.add('a');
  queue.add('b');
  queue.add('c', { afterMs: 5 });
  let drained = false;
  const draining = queue.drain().then(() => {
    drained = true;
  });
  queue.add('d');
  await clock.advance(29);
  assert.equal(drained, false);
  await clock.advance(1);
  await draining;
  await clock.advance(10_000);
  assert.deepEqual([runs, aborted, queue.size, clock.timers], [[['a', 0]], false, 0, 0]);
  await queue.close();
});

test('a key that became ready in the same turn as close does not run', async () => {
  const { clock, queue, runs } = rig(done);
  queue.add('a');
  await queue.close();
  await clock.settle();
  assert.deepEqual(runs, []);
});

test('invalid is not retried, until the key is added again', async () => {
  const { clock, queue, runs } = rig(async () => {
    throw new ProviderError('invalid', 'T_BAD', 'spec.ports: empty', { field: 'spec.ports' });
  });
  queue.add('a');
  await clock.advance(100_000);
  assert.deepEqual([runs.length, queue.size], [1, 0]);
  queue.add('a');
  await clock.advance(100_000);
  assert.equal(runs.length, 2);
});

test('an error that says when is not tried again before, and a longer backoff wins', async () => {
  let retryAfterMs = 500;
  const { clock, queue, runs } = rig(async () => {
    throw new ProviderError('throttled', 'T_SLOW', 'slow down', { retryAfterMs });
  });
  queue.add('a');
  await clock.advance(500);
  retryAfterMs = 1;
  await clock.advance(540);
  assert.deepEqual(
    runs.map(([, ms]) => ms),
    // The third failure waits 40 ms, more than the 1 ms that its error asks for.
    [0, 500, 1000, 1040],
  );
  await queue.close();
});

test('requeueAfterMs waits exactly that and forgets failures', async () => {
  const outcomes: (Outcome | Error)[] = [
    new Error('1'),
    new Error('2'),
    { requeueAfterMs: 333 },
    new Error('3'),
    undefined,
  ];
  const { clock, queue, runs } = rig(async () => {
    const outcome = outcomes.shift();
    if (outcome instanceof Error) throw outcome;
    return outcome;
  });
  queue.add('a');
  await clock.advance(10_000);
  assert.deepEqual(
    runs.map(([, ms]) => ms),
    [0, 10, 30, 363, 373],
  );
});

test('an add during a backoff does not wait for it and does not forget the failures', async () => {
  let failures = 2;
  const { clock, queue, runs } = rig(async () => {
    failures -= 1;
    if (failures >= 0) throw new Error('no');
  });
  queue.add('a');
  await clock.advance(3);
  queue.add('a');
  await clock.advance(1000);
  assert.deepEqual(
    runs.map(([, ms]) => ms),
    [0, 3, 23],
  );
});

test('a failure while an earlier time was asked for during the run waits for the earlier', async () => {
  let first = true;
  const { clock, queue, runs } = rig(
    async () => {
      await clock.sleep(20, never);
      if (!first) return;
      first = false;
      throw new Error('once');
    },
    { backoff: () => 500 },
  );
  queue.add('a');
  await clock.advance(10);
  queue.add('a', { afterMs: 50 });
  await clock.advance(10_000);
  assert.deepEqual(
    runs.map(([, ms]) => ms),
    [0, 60],
  );
});

test('a reconciler that throws before its first await is a failure like any other', async () => {
  let first = true;
  const { clock, queue, runs } = rig(() => {
    if (!first) return Promise.resolve();
    first = false;
    throw new Error('at once');
  });
  queue.add('a');
  await clock.advance(1000);
  assert.equal(runs.length, 2);
});

test('no more run side by side than the concurrency, and as many when there are enough', async () => {
  let active = 0;
  let most = 0;
  const { clock, queue } = rig(
    async () => {
      active += 1;
      most = Math.max(most, active);
      await clock.sleep(10, never);
      active -= 1;
    },
    { concurrency: 3 },
  );
  for (let key = 0; key < 10; key += 1) queue.add(`${key}`);
  await clock.advance(39);
  assert.equal(queue.size, 1);
  await clock.advance(1);
  assert.deepEqual([most, queue.size], [3, 0]);
});

test('idle does not wait for keys whose time has not come', async () => {
  const { clock, queue } = rig(lasting(10));
  queue.add('later', { afterMs: 1000 });
  queue.add('now');
  let idle = false;
  void queue.idle().then(() => {
    idle = true;
  });
  await clock.advance(9);
  assert.equal(idle, false);
  await clock.advance(1);
  assert.deepEqual([idle, queue.size], [true, 1]);
  await queue.close();
});

test('metrics: what was added, retried, how long it waited and ran, and what is there now', async () => {
  const log: string[] = [];
  let state: Parameters<ReturnType<NonNullable<QueueOptions['metrics']>>['watch']>[0] | undefined;
  let first = true;
  const { clock, queue } = rig(
    async () => {
      await clock.sleep(20, never);
      if (!first) return;
      first = false;
      throw new Error('once');
    },
    {
      metrics: (labels) => ({
        added: () => log.push(`${labels.controller} added`),
        retried: () => log.push('retried'),
        queued: (seconds) => log.push(`queued ${seconds}`),
        worked: (seconds) => log.push(`worked ${seconds}`),
        watch(observed) {
          state = observed;
          return () => {
            state = undefined;
          };
        },
      }),
    },
  );
  queue.add('a');
  queue.add('a');
  queue.add('b', { priority: -100 });
  await clock.advance(15);
  assert.deepEqual(
    [...(state?.depths() ?? [])],
    [
      [0, 0],
      [-100, 1],
    ],
  );
  assert.deepEqual([...(state?.running() ?? [])], [0.015]);
  await clock.advance(10_000);
  assert.deepEqual(log, [
    'test added',
    'test added',
    'queued 0',
    'worked 0.02',
    'retried',
    'queued 0.02',
    'test added',
    'worked 0.02',
    'queued 0.01',
    'worked 0.02',
  ]);
  await queue.close();
  assert.equal(state, undefined);
});

const step = fc.record({
  gapMs: fc.nat(15),
  key: fc.constantFrom('a', 'b', 'c'),
  afterMs: fc.option(fc.nat(40), { nil: undefined }),
  priority: fc.constantFrom(-100, 0, 10),
});
const run = fc.record({ ms: fc.nat(25), end: fc.constantFrom('ok', 'ok', 'again', 'throw', 'invalid') });

test('property: a key never runs twice at once, and every add is followed by a run of its key', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { maxLength: 25 }),
      fc.array(run, { maxLength: 25 }),
      fc.integer({ min: 1, max: 3 }),
      async (steps, outcomes, concurrency) => {
        const active = new Set<string>();
        const left = [...outcomes];
        const { clock, queue, runs } = rig(
          async (key) => {
            assert.equal(active.has(key), false, `${key} runs twice at once`);
            active.add(key);
            assert.ok(active.size <= concurrency);
            const { ms, end } = left.shift() ?? { ms: 0, end: 'ok' };
            await clock.sleep(ms, never);
            active.delete(key);
            if (end === 'throw') throw new Error('no');
            if (end === 'invalid') throw new ProviderError('invalid', 'T_BAD', 'bad');
            return end === 'again' ? { requeueAfterMs: 7 } : undefined;
          },
          { concurrency },
        );
        const adds: { key: string; atMs: number; runsBefore: number }[] = [];
        for (const { gapMs, key, afterMs, priority } of steps) {
          await clock.advance(gapMs);
          adds.push({ key, atMs: clock.monotonicMs(), runsBefore: runs.length });
          queue.add(key, { priority, ...(afterMs === undefined ? {} : { afterMs }) });
        }
        await clock.run(() => queue.size === 0, { maxMs: 100_000 });
        assert.deepEqual([active.size, clock.timers], [0, 0]);
        for (const { key, atMs, runsBefore } of adds) {
          const after = runs.slice(runsBefore).some(([name]) => name === key);
          assert.ok(after, `${key} added at ${atMs} ms never ran afterwards`);
        }
      },
    ),
    { numRuns: 300 },
  );
});

test('ten thousand keys: each runs once, in order, and raising them all changes nothing else', async () => {
  const { clock, queue, runs } = rig(done, { concurrency: 10 });
  const keys = Array.from({ length: 10_000 }, (_, index) => `key-${index}`);
  for (const key of keys) queue.add(key, { priority: -100 });
  for (const key of keys) queue.add(key, { priority: 0 });
  await clock.settle();
  assert.deepEqual(
    runs.map(([key]) => key),
    keys,
  );
});
