/** 1,000 random schedules of faults, and how many per second this machine plays. */
import { runSchedule } from '../faults/schedule.ts';

const COUNT = 1000;
const first = Number(process.env['FAIRLEAD_SEED'] ?? 1000);
const startMs = performance.now();
let [hits, failed] = [0, 0];
for (let seed = first; seed < first + COUNT; seed += 1) {
  try {
    hits += (await runSchedule(seed)).faultsHit;
  } catch (error) {
    failed += 1;
    process.stdout.write(`${(error as Error).message}\n`);
  }
}
const seconds = (performance.now() - startMs) / 1000;
process.stdout.write(
  `${COUNT} schedules from seed ${first}: ${failed} failed, ${hits} faults met, ${seconds.toFixed(0)} s (200 take ${((seconds * 200) / COUNT).toFixed(0)} s; under 90)\n`,
);
process.exitCode = failed === 0 ? 0 : 1;
