import assert from 'node:assert/strict';
import { CALM_MS, checkCalm, checkFresh } from './checks.ts';
import { ensureOne, somethingBreaks } from './mishaps.ts';
import { createForeign, crowd, letGo, narrow, somethingIsDone, wideOpen } from './users.ts';
import { createWorld, pick, type World } from './world.ts';

/** One random history of people, faults and dying controllers, after which everything that must hold is looked at. */
export interface ScheduleResult {
  /** Steps, in words; a failure prints them. */
  readonly story: readonly string[];
  /** Every write that the API server took from any controller, in order. */
  readonly writes: readonly string[];
  readonly faultsHit: number;
  /** Addresses in use at the end. */
  readonly served: number;
  readonly moves: number;
  readonly virtualMs: number;
}

/** A watch that went silent is given up after 290 s and a grace. */
const SILENT_MS = 310_000;

export interface ScheduleOptions {
  readonly steps?: number;
  /** Gets the world before anything happens in it: for a person who looks for a cause. */
  readonly watch?: (world: World) => void;
}

/** Runs one schedule. Throws an AssertionError whose message holds the seed and the story. */
export async function runSchedule(seed: number, { steps = 25, watch }: ScheduleOptions = {}): Promise<ScheduleResult> {
  const story: string[] = [];
  try {
    return await play(seed, steps, story, watch);
  } catch (error) {
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    assert.fail(`seed ${seed}: ${text}\n${story.join('\n')}`);
  }
}

async function play(
  seed: number,
  steps: number,
  story: string[],
  watch: (world: World) => void = () => {},
): Promise<ScheduleResult> {
  // Repair by the drift check would hide a wake-up that was lost: it has its turn in every fourth schedule only.
  const driftCheckPeriodMs = seed % 4 === 0 ? 60_000 : 36_000_000;
  // Where answers take no time, runs never overlap with what people do; where they do, fewer faults meet in one moment.
  const latenciesMs = seed % 3 === 0 ? [] : [0, 1, 5, 30];
  const world = await createWorld(seed, { story, driftCheckPeriodMs, latenciesMs });
  watch(world);
  try {
    await narrow(world);
    await createForeign(world);
    world.start();
    await crowd(world);
    for (let step = 0; step < steps; step += 1) await act(world);
    await calm(world, seed);
    await checkCalm(world);
    await checkFresh(world);
    return {
      story,
      writes: world.processes.flatMap(({ name, writes }) => writes.map((write) => `${name} ${write}`)),
      faultsHit: world.processes.reduce((sum, { faults }) => sum + faults.hits.length, 0),
      served: world.ledger.reserved().size,
      moves: world.ledger.moves.length,
      virtualMs: world.clock.monotonicMs(),
    };
  } finally {
    await world.close();
  }
}

/** One thing happens, then some time passes. */
async function act(world: World): Promise<void> {
  const { random, clock } = world;
  await (random() < 0.7 ? somethingIsDone : somethingBreaks)(world);
  const waitMs = pick(random, [0, 1, 5, 50, 400, 1500, 4000]);
  if (waitMs === 0) await clock.settle();
  else await clock.advance(waitMs);
}

/** No more faults, room for all; whoever is left settles. */
async function calm(world: World, seed: number): Promise<void> {
  const { processes, clock, api } = world;
  await wideOpen(world);
  await letGo(world);
  api.faults.clear();
  for (const one of processes) {
    one.faults.clear();
    one.resume();
  }
  // A process that lost its lease has ended, as a real one would have: something restarts it.
  await clock.advance(20_000);
  ensureOne(world);
  world.tell('calm');
  // Watches that went silent: some are waited for, the others are broken, which takes less time.
  if (seed % 8 === 0) await clock.advance(SILENT_MS);
  else {
    await api.kill();
    await api.start();
  }
  await clock.advance(CALM_MS);
}
