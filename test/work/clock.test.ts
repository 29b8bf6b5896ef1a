import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import fc from 'fast-check';
import { systemClock } from '../../src/work/clock.ts';
import { createVirtualClock } from '../fake/clock.ts';

const never = new AbortController().signal;

test('a sleep on the machine ends, and an aborted one rejects with the reason and leaves no listener', async () => {
  const stop = new AbortController();
  await systemClock.sleep(1, stop.signal);
  assert.equal(getEventListeners(stop.signal, 'abort').length, 0);
  const asleep = systemClock.sleep(60_000, stop.signal);
  stop.abort(new Error('shutdown'));
  await assert.rejects(asleep, /shutdown/);
  await assert.rejects(systemClock.sleep(1, stop.signal), /shutdown/);
});

test('a timer of the machine longer than Node can set does not fire at once', async () => {
  let fired = false;
  const cancel = systemClock.after(2 ** 40, () => {
    fired = true;
  });
  await systemClock.sleep(20, never);
  cancel();
  assert.equal(fired, false);
});

test('virtual timers fire by time, equal times in the order of setting, and what follows happens in between', async () => {
  const clock = createVirtualClock();
  const seen: string[] = [];
  clock.after(20, () => seen.push(`c@${clock.monotonicMs()}`));
  clock.after(10, () => {
    seen.push('a');
    void Promise.resolve().then(() => setImmediate(() => setImmediate(() => seen.push('a follows'))));
  });
  clock.after(10, () => seen.push('b'));
  await clock.advance(15);
  assert.deepEqual(seen, ['a', 'a follows', 'b']);
  assert.equal(clock.monotonicMs(), 15);
  await clock.advance(5);
  assert.deepEqual(seen, ['a', 'a follows', 'b', 'c@20']);
});

test('a timer set on the way fires within the same advance', async () => {
  const clock = createVirtualClock();
  const seen: number[] = [];
  const again = (): void => {
    seen.push(clock.monotonicMs());
    clock.after(10, again);
  };
  clock.after(10, again);
  await clock.advance(35);
  assert.deepEqual(seen, [10, 20, 30]);
  assert.equal(clock.nextMs, 40);
});

test('settle drains streams and immediates without moving time', async () => {
  const clock = createVirtualClock();
  let text = '';
  const stream = Readable.from(
    (async function* () {
      yield 'a';
      await new Promise((resolve) => setImmediate(resolve));
      yield 'b';
    })(),
  );
  stream.on('data', (chunk: string) => {
    text += chunk;
  });
  let timer = false;
  clock.after(0, () => {
    timer = true;
  });
  await clock.settle();
  assert.deepEqual([text, timer, clock.monotonicMs()], ['ab', false, 0]);
});

test('run jumps to what is awaited, and says why it cannot come', async () => {
  const clock = createVirtualClock();
  let done = false;
  clock.after(3_600_000, () => {
    done = true;
  });
  await assert.rejects(
    clock.run(() => done, { maxMs: 1000 }),
    /not reached within 1000 ms/,
  );
  await clock.run(() => done, { maxMs: 3_600_000 });
  assert.equal(clock.monotonicMs(), 3_600_000);
  await assert.rejects(
    clock.run(() => false, { maxMs: 1 }),
    /no timer is left/,
  );
});

test('a timer that re-arms itself without time passing is found', async () => {
  const clock = createVirtualClock();
  const again = (): void => void clock.after(0, again);
  again();
  await assert.rejects(clock.advance(1), /re-arms itself/);
});

test('moving the clock while it moves is refused', async () => {
  const clock = createVirtualClock();
  const first = clock.advance(1);
  await assert.rejects(clock.advance(1), /already moving/);
  await first;
});

test('wall time can be set back; monotonic time and timers do not notice', async () => {
  const clock = createVirtualClock({ startMs: 1_000_000 });
  let fired = false;
  clock.after(10, () => {
    fired = true;
  });
  clock.shiftWall(-5000);
  await clock.advance(10);
  assert.deepEqual([clock.now(), clock.monotonicMs(), fired], [995_010, 10, true]);
});

test('property: any set of timers and cancellations fires in order, each at its time, the cancelled never', async () => {
  const plan = fc.array(fc.record({ ms: fc.nat(50), cancelled: fc.boolean() }), { maxLength: 60 });
  await fc.assert(
    fc.asyncProperty(plan, async (timers) => {
      const clock = createVirtualClock();
      const seen: (readonly [number, number])[] = [];
      const cancels = timers.map(({ ms }, index) => clock.after(ms, () => seen.push([clock.monotonicMs(), index])));
      cancels.forEach((cancel, index) => {
        if (timers[index]?.cancelled) cancel();
      });
      await clock.advance(50);
      const expected = timers
        .map(({ ms, cancelled }, index) => ({ ms, cancelled, index }))
        .filter(({ cancelled }) => !cancelled)
        .sort((a, b) => a.ms - b.ms || a.index - b.index)
        .map(({ ms, index }) => [ms, index]);
      assert.deepEqual(seen, expected);
      assert.equal(clock.timers, 0);
    }),
    { numRuns: 50 },
  );
});

test('thousands of cancelled timers leave the rest as it was', async () => {
  const clock = createVirtualClock();
  const seen: number[] = [];
  for (let round = 0; round < 5000; round += 1) {
    const cancel = clock.after(1000 + round, () => seen.push(-1));
    if (round % 1000 === 0) clock.after(500 + round, () => seen.push(round));
    cancel();
    cancel();
  }
  assert.equal(clock.timers, 5);
  await clock.advance(10_000);
  assert.deepEqual(seen, [0, 1000, 2000, 3000, 4000]);
});
