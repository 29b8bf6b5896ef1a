import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runJourney } from './schedule/journey.ts';
import { runSchedule } from './schedule/schedule.ts';

/** FAIRLEAD_SEED repeats one that failed, or moves on to others. */
const FIRST = Number(process.env['FAIRLEAD_SEED'] ?? 1);
/** A laptop runs fewer; each moves about an hour of virtual time. */
const COUNT = Number(process.env['FAIRLEAD_SCHEDULES'] ?? (process.env['CI'] === 'true' ? 1000 : 200));

test(`whatever happens, load balancers converge, nothing leaks and nothing foreign changes: seeds ${FIRST} to ${FIRST + COUNT - 1}`, async (t) => {
  const failures: string[] = [];
  const sums = { calls: 0, faults: 0, crashes: 0, replaced: 0 };
  for (let seed = FIRST; seed < FIRST + COUNT; seed += 1) {
    try {
      const { story: _, ...result } = await runSchedule(seed);
      for (const key of ['calls', 'faults', 'crashes', 'replaced'] as const) sums[key] += result[key];
    } catch (error) {
      failures.push((error as Error).message);
      if (failures.length === 3) break; // the stories are long
    }
  }
  t.diagnostic(`${COUNT} schedules (1000 with CI=true): ${JSON.stringify(sums)}`);
  assert.equal(failures.length, 0, failures.join('\n\n'));
  assert.ok(sums.faults > 0 && sums.crashes > 0 && sums.replaced > 0, 'something happened');
});

test('a seed tells the same story and makes the same calls again', async () => {
  const [first, again] = [await runSchedule(FIRST + 7), await runSchedule(FIRST + 7)];
  assert.deepEqual(again, first);
});

test('a death before or after any call of a life from creation to deletion leaves nothing wrong', async (t) => {
  const calls = await runJourney(undefined);
  // A laptop looks at every fourth call, another one each day.
  const stride = process.env['CI'] === 'true' ? 1 : 4;
  const offset = Math.floor(Date.now() / 86_400_000) % stride;
  let deaths = 0;
  for (let call = offset; call < calls; call += stride) {
    for (const at of ['before', 'after'] as const) {
      await runJourney({ call, at });
      deaths += 1;
    }
  }
  t.diagnostic(`${calls} calls, ${deaths} deaths (every call with CI=true)`);
  assert.ok(calls > 60 && deaths > 30, 'the journey is a short one');
});
