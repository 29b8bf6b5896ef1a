import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ProviderError } from '../../src/core/errors.ts';
import { exponential } from '../../src/work/backoff.ts';
import { createKeyedLoop, type KeyedLoopOptions } from '../../src/work/keyed-loop.ts';
import { createVirtualClock } from '../fake/clock.ts';

function rig(reconcile: KeyedLoopOptions['reconcile'], until: AbortSignal = new AbortController().signal) {
  const clock = createVirtualClock();
  const ended: string[] = [];
  const queue = createKeyedLoop({
    name: 'test',
    controller: 'test',
    concurrency: 1,
    clock,
    backoff: exponential({ baseMs: 1000, capMs: 60_000 }),
    log: { debug() {}, info() {}, warn() {}, error() {} },
    until,
    reconcile,
    failed: async () => 'backoff',
    ended: (result) => void ended.push(result),
  });
  return { clock, queue, ended };
}

test('a key that fails runs again after its backoff, and how each run ended is counted', async () => {
  const runs: number[] = [];
  const { clock, queue, ended } = rig(async () => {
    runs.push(clock.monotonicMs());
    if (runs.length < 3) throw new ProviderError('quota', 'FL_X', 'full');
    return undefined;
  });
  queue.add('a');
  await clock.advance(10_000);
  assert.deepEqual(
    [runs, ended],
    [
      [0, 1000, 3000],
      ['quota', 'quota', 'ok'],
    ],
  );
  await queue.close();
});

test('a run ends with the queue and with who leads, and its end is no failure', async () => {
  for (const how of ['close', 'until'] as const) {
    const leads = new AbortController();
    const { clock, queue, ended } = rig(async (_, signal) => {
      await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
      throw new Error('aborted');
    }, leads.signal);
    queue.add('a');
    await clock.settle();
    const closed = how === 'close' ? queue.close() : undefined;
    if (how === 'until') leads.abort(new Error('the lease is lost'));
    await clock.settle();
    assert.deepEqual(ended, [], how);
    await (closed ?? queue.close());
  }
});
