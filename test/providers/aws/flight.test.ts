import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createBatch, createFlight } from '../../../providers/aws/flight.ts';
import type { Call } from '../../../src/core/provider.ts';
import { createVirtualClock } from '../../fake/clock.ts';

const log: Call['log'] = { debug() {}, info() {}, warn() {}, error() {} };
const callOf = (signal: AbortSignal = new AbortController().signal): Call => ({ signal, log, limit: (fn) => fn() });

test('who asks during a run shares it, and who asks after it gets another', async () => {
  let runs = 0;
  const gate = Promise.withResolvers<void>();
  const flight = createFlight(async () => {
    runs += 1;
    await gate.promise;
    return runs;
  });
  const both = Promise.all([flight.join(callOf()), flight.join(callOf())]);
  gate.resolve();
  assert.deepEqual([await both, await flight.join(callOf())], [[1, 1], 2]);
});

test('a run whose own caller gave up is taken over by who waits for it; a failure is everybody’s', async () => {
  let runs = 0;
  const first = new AbortController();
  const flight = createFlight<string>(
    ({ signal }) =>
      new Promise((resolve, reject) => {
        runs += 1;
        if (runs > 1) resolve('second');
        signal.addEventListener('abort', () => reject(signal.reason as Error));
      }),
  );
  const gone = flight.join(callOf(first.signal));
  const waiting = flight.join(callOf());
  first.abort(new Error('gave up'));
  await assert.rejects(gone, /gave up/);
  assert.equal(await waiting, 'second');
  const failing = createFlight(async () => {
    throw new Error('no');
  });
  const ends = await Promise.allSettled([failing.join(callOf()), failing.join(callOf())]);
  assert.deepEqual(
    ends.map(({ status }) => status),
    ['rejected', 'rejected'],
  );
});

test('a waiter that is aborted leaves at once, and the run goes on', async () => {
  const gate = Promise.withResolvers<number>();
  const flight = createFlight(() => gate.promise);
  const first = flight.join(callOf());
  const controller = new AbortController();
  const second = flight.join(callOf(controller.signal));
  controller.abort(new Error('stopping'));
  await assert.rejects(second, /stopping/);
  gate.resolve(7);
  assert.equal(await first, 7);
});

test('a batch gathers for a moment, asks in pieces, and asks again for who came too late', async () => {
  const clock = createVirtualClock();
  const sent: (readonly string[])[] = [];
  const batch = createBatch<string, number>({
    size: 2,
    waitMs: 20,
    clock,
    async send(keys) {
      sent.push(keys);
      await clock.sleep(5, new AbortController().signal);
      return new Map(keys.filter((key) => key !== 'none').map((key) => [key, key.length]));
    },
  });
  const early = Promise.all([batch.load(['a', 'bb'], callOf()), batch.load(['bb', 'none'], callOf())]);
  await clock.advance(22); // sent, not answered
  const late = batch.load(['cccc'], callOf());
  await clock.advance(100);
  assert.deepEqual(await early, [
    new Map([
      ['a', 1],
      ['bb', 2],
    ]),
    new Map([['bb', 2]]),
  ]);
  assert.deepEqual(await late, new Map([['cccc', 4]]));
  assert.deepEqual(sent, [['a', 'bb'], ['none'], ['cccc']]);
});
