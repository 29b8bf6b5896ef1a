import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runSchedule } from './schedule.ts';

/** FAIRLEAD_SEED repeats one that failed, or moves on to others. */
const FIRST = Number(process.env['FAIRLEAD_SEED'] ?? 1);
const COUNT = Number(process.env['FAIRLEAD_SCHEDULES'] ?? 200);

test(`whatever happens, no address is given twice, leaked or changed without a reason: seeds ${FIRST} to ${FIRST + COUNT - 1}`, async (t) => {
  const failures: string[] = [];
  let [hits, moves, served] = [0, 0, 0];
  for (let seed = FIRST; seed < FIRST + COUNT; seed += 1) {
    try {
      const result = await runSchedule(seed);
      hits += result.faultsHit;
      moves += result.moves;
      served += result.served;
    } catch (error) {
      failures.push((error as Error).message);
      if (failures.length === 3) break; // the stories are long
    }
  }
  t.diagnostic(`${COUNT} schedules: ${hits} faults met, ${moves} addresses moved, ${served} in use at the end`);
  assert.equal(failures.length, 0, failures.join('\n\n'));
  assert.ok(hits > 0 && served > 0, 'something happened');
});

test('a seed tells the same story and makes the same writes again', async () => {
  const [first, again] = [await runSchedule(FIRST + 7), await runSchedule(FIRST + 7)];
  assert.deepEqual(again, first);
});
