/**
 * 10,000 keys through the queue, and all of them raised while they wait; beside it what p-queue's own setPriority costs.
 * Reach (foundations.md 10): drained in 250 ms, raised in 20 ms.
 */
import PQueue from 'p-queue';
import { systemClock } from '../../src/work/clock.ts';
import { createQueue } from '../../src/work/queue.ts';

const KEYS = 10_000;
const silent = { debug() {}, info() {}, warn() {}, error() {} };
const keys = Array.from({ length: KEYS }, (_, index) => `default/service-${index}`);

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] as number;
}

async function ours(): Promise<{ readonly addMs: number; readonly raiseMs: number; readonly drainMs: number }> {
  let runs = 0;
  const queue = createQueue({
    name: 'bench',
    controller: 'bench',
    concurrency: 10,
    clock: systemClock,
    backoff: () => 1000,
    log: silent,
    reconcile: async () => {
      runs += 1;
    },
  });
  const start = performance.now();
  for (const key of keys) queue.add(key, { priority: -100 });
  const added = performance.now();
  for (const key of keys) queue.add(key, { priority: 0 });
  const raised = performance.now();
  await queue.idle();
  const drained = performance.now();
  await queue.close();
  if (runs !== KEYS) throw new Error(`${runs} runs of ${KEYS} keys`);
  return { addMs: added - start, raiseMs: raised - added, drainMs: drained - start - (raised - added) };
}

async function theirs(): Promise<number> {
  const pool = new PQueue({ concurrency: 10, autoStart: false });
  for (const id of keys) void pool.add(async () => {}, { id, priority: -100 });
  const start = performance.now();
  for (const id of keys) pool.setPriority(id, 0);
  const raiseMs = performance.now() - start;
  pool.clear();
  return raiseMs;
}

const rounds = [];
for (let round = 0; round < 5; round += 1) rounds.push(await ours());
const drainMs = median(rounds.map((round) => round.drainMs));
const raiseMs = median(rounds.map((round) => round.raiseMs));
const peerMs = await theirs();
console.log(`queue, ${KEYS} keys, median of ${rounds.length}`);
console.log(`  added and drained  ${drainMs.toFixed(1)} ms (limit 250)`);
console.log(`  all raised         ${raiseMs.toFixed(1)} ms (limit 20)`);
console.log(`  p-queue's own      ${peerMs.toFixed(1)} ms, ${(peerMs / raiseMs).toFixed(0)} times ours`);
