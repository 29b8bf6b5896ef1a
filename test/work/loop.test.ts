import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type ErrorKind, ProviderError } from '../../src/core/errors.ts';
import { exponential } from '../../src/work/backoff.ts';
import { createLoop, type Failing, type LoopOptions, type Retry } from '../../src/work/loop.ts';
import type { Outcome } from '../../src/work/queue.ts';
import { createVirtualClock } from '../fake/clock.ts';

const { signal } = new AbortController();
const backoff = exponential({ baseMs: 1000, capMs: 300_000 });
const error = (kind: ErrorKind, retryAfterMs?: number) =>
  new ProviderError(kind, 'FL_X', 'text', retryAfterMs === undefined ? {} : { retryAfterMs });

type Step = { readonly waitMs: number } | { readonly throws: unknown } | 'settled';

/** A loop whose runs take the given course; what was told and counted. */
function course(steps: readonly Step[], retry: Retry = 'backoff', more: Partial<LoopOptions> = {}) {
  const clock = createVirtualClock();
  const left = [...steps];
  const told: (Failing & { readonly key: string; readonly error: unknown })[] = [];
  const ended: string[] = [];
  const loop = createLoop({
    clock,
    backoff,
    async reconcile(): Promise<Outcome> {
      const step = left.shift() ?? 'settled';
      if (step === 'settled') return undefined;
      if ('throws' in step) throw step.throws;
      return { requeueAfterMs: step.waitMs };
    },
    async failed(key, thrown, failing) {
      told.push({ key, error: thrown, ...failing });
      return retry;
    },
    ended: (result) => void ended.push(result),
    ...more,
  });
  return { clock, loop, told, ended };
}

test('a settled run asks for nothing, a wait for exactly its time', async () => {
  const { loop, told, ended } = course(['settled', { waitMs: 7000 }]);
  assert.equal(await loop.run('a', signal), undefined);
  assert.deepEqual(await loop.run('a', signal), { requeueAfterMs: 7000 });
  assert.deepEqual([told, ended], [[], ['ok', 'pending']]);
});

test('a failure is told once, with how many in a row and for how long', async () => {
  const failure = new Error('down');
  const { clock, loop, told, ended } = course([{ throws: failure }, { throws: failure }, { throws: failure }]);
  await loop.run('a', signal);
  await clock.advance(3000);
  await loop.run('a', signal);
  await clock.advance(4000);
  await loop.run('a', signal);
  assert.deepEqual(told, [
    { key: 'a', error: failure, failures: 1, stuckMs: 0 },
    { key: 'a', error: failure, failures: 2, stuckMs: 3000 },
    { key: 'a', error: failure, failures: 3, stuckMs: 7000 },
  ]);
  assert.deepEqual(ended, ['transient', 'transient', 'transient']);
});

const retries: readonly { name: string; retry: Retry; thrown: unknown; afterMs: number | undefined }[] = [
  { name: 'on change: not by itself', retry: 'onChange', thrown: error('invalid'), afterMs: undefined },
  {
    name: 'on change, although the error names a time',
    retry: 'onChange',
    thrown: error('invalid', 5000),
    afterMs: undefined,
  },
  { name: 'by backoff', retry: 'backoff', thrown: error('transient'), afterMs: 1000 },
  {
    name: 'by backoff, but not before the time that the error names',
    retry: 'backoff',
    thrown: error('transient', 5000),
    afterMs: 5000,
  },
  {
    name: 'by backoff, which is later than the time that the error names',
    retry: 'backoff',
    thrown: error('transient', 10),
    afterMs: 1000,
  },
  { name: 'after exactly so long', retry: { afterMs: 300_000 }, thrown: error('quota'), afterMs: 300_000 },
  { name: 'by backoff for what nobody classified', retry: 'backoff', thrown: 'a string', afterMs: 1000 },
];
for (const { name, retry, thrown, afterMs } of retries) {
  test(`a failed key runs again ${name}`, async () => {
    const { loop } = course([{ throws: thrown }], retry);
    const outcome = await loop.run('a', signal);
    assert.deepEqual(outcome, afterMs === undefined ? undefined : { requeueAfterMs: afterMs, failed: true });
  });
}

test('the delay grows with the row, each key by its own', async () => {
  const throws = { throws: error('transient') };
  const { loop } = course(Array.from({ length: 6 }, () => throws));
  const delays = [];
  for (const key of ['a', 'a', 'b', 'a', 'b', 'a']) {
    const outcome = await loop.run(key, signal);
    delays.push(`${key} ${(outcome as { requeueAfterMs: number }).requeueAfterMs}`);
  }
  assert.deepEqual(delays, ['a 1000', 'a 2000', 'b 1000', 'a 4000', 'b 2000', 'a 8000']);
});

test('a wait neither adds to the row nor ends it; a settled run ends it', async () => {
  const throws = { throws: error('transient') };
  const { loop, told } = course([throws, { waitMs: 1 }, throws, 'settled', throws]);
  for (let run = 0; run < 5; run += 1) await loop.run('a', signal);
  assert.deepEqual(
    told.map(({ failures }) => failures),
    [1, 2, 1],
  );
});

test('an input that has to change starts a row of its own when it fails again', async () => {
  const { loop, told } = course([{ throws: error('invalid') }, { throws: error('invalid') }], 'onChange');
  await loop.run('a', signal);
  await loop.run('a', signal);
  assert.deepEqual(
    told.map(({ failures }) => failures),
    [1, 2],
    'nothing was settled between the two',
  );
});

for (const kind of ['invalid', 'denied', 'quota', 'throttled', 'conflict', 'transient'] as const) {
  test(`the end of a run that failed is counted by its kind: ${kind}`, async () => {
    const { loop, ended } = course([{ throws: error(kind) }]);
    await loop.run('a', signal);
    assert.deepEqual(ended, [kind]);
  });
}

test('an error after the end of the work is neither told nor counted, and asks for nothing', async () => {
  const stop = new AbortController();
  const { loop, told, ended } = course([{ throws: new Error('aborted') }, { throws: error('transient') }]);
  stop.abort(new Error('closing'));
  assert.equal(await loop.run('a', stop.signal), undefined);
  assert.deepEqual([told, ended], [[], []]);
  await loop.run('a', signal);
  assert.equal(told[0]?.failures, 1, 'nor does it count in the row');
});

test('a run that succeeds although the work has ended is counted', async () => {
  const stop = new AbortController();
  const { loop, ended } = course(['settled']);
  stop.abort(new Error('closing'));
  await loop.run('a', stop.signal);
  assert.deepEqual(ended, ['ok']);
});

test('the signal of the run reaches those who tell of its failure', async () => {
  let given: AbortSignal | undefined;
  const { loop } = course([{ throws: error('quota') }], 'backoff', {
    failed: async (_key, _error, _failing, told) => {
      given = told;
      return 'backoff';
    },
  });
  await loop.run('a', signal);
  assert.equal(given, signal);
});
