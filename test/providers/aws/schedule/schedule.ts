import assert from 'node:assert/strict';
import { seededRandom } from '../../../../src/sandbox/api/random.ts';
import { createFakeAws, type FakeAws } from '../../../fake/aws/aws.ts';
import { type FakeCall, type Fault, throttled } from '../../../fake/aws/faults.ts';
import type { Settings } from '../../../fake/aws/settings.ts';
import { type SeededWorld, seedWorld } from '../../../fake/aws/world.ts';
import { createVirtualClock, type VirtualClock } from '../../../fake/clock.ts';
import { checkEnd, checkPublished, createForeign, type Foreign, isSettled } from './checks.ts';
import { CLUSTER, type Cluster, createCluster } from './cluster.ts';
import { somethingHappens, switchesOnly } from './happenings.ts';
import { type Process, startProcess } from './process.ts';
import { pick } from './random.ts';

/** One random history of people, nodes, faults and dying controllers on the fake. */
export interface World {
  readonly seed: number;
  readonly clock: VirtualClock;
  readonly aws: FakeAws;
  readonly seeded: SeededWorld;
  readonly cluster: Cluster;
  readonly foreign: Foreign;
  /** uid -> what its status was seen to name last; what it named before that, and since when it does not. */
  readonly named: Map<string, { readonly hostname: string }>;
  /** uids of Services of which somebody else took something away. */
  readonly damaged: Set<string>;
  readonly left: Map<string, { readonly hostname: string; readonly sinceMs: number }>;
  readonly random: () => number;
  /** What happened, in words. */
  readonly story: string[];
  process: Process | undefined;
  /** Broken promises that were seen on the way. */
  readonly broken: string[];
  readonly counts: {
    faults: number;
    crashes: number;
    /** That joined. */
    nodes: number;
    /** That were created. */
    services: number;
    /** Looks at a Service that had two load balancers. */
    replaced: number;
  };
  tell(line: string): void;
  /** How each run of a controller ended. */
  readonly told: ((uid: string, end: unknown) => void) | undefined;
}
export interface ScheduleResult {
  readonly story: readonly string[];
  readonly calls: number;
  readonly faults: number;
  readonly crashes: number;
  readonly replaced: number;
}

export interface ScheduleOptions {
  readonly steps?: number;
  /** Both for a person who looks for a cause: how each run of a controller ended, and the world before anything happens in it. */
  readonly told?: (uid: string, end: unknown) => void;
  readonly watch?: (world: World) => void;
}

/** Runs one; throws an AssertionError whose message holds the seed and the story. */
export async function runSchedule(
  seed: number,
  { steps = 12, told, watch }: ScheduleOptions = {},
): Promise<ScheduleResult> {
  const world = await createWorld(seed, told);
  watch?.(world);
  try {
    return await play(world, steps);
  } catch (error) {
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    assert.fail(`seed ${seed}: ${text}\n${world.story.join('\n')}`);
  }
}

async function play(world: World, steps: number): Promise<ScheduleResult> {
  const { aws, clock, random, story, counts } = world;
  try {
    startOne(world);
    aws.fault = (call) => faultOf(world, call);
    const happen = isQuiet(world.seed) ? await switchesOnly(world, pass) : somethingHappens;
    for (let step = 0; step < steps; step += 1) {
      happen(world);
      await pass(world, pick(random, [0, 50, 1000, 5000, 20_000, 90_000, 400_000]));
    }
    aws.fault = () => undefined;
    aws.configure({ buckets: {} });
    world.tell('calm');
    await calm(world);
    await checkEnd(world);
    return { story, calls: aws.calls.at(-1)?.number ?? 0, ...counts };
  } finally {
    world.process?.kill();
    await clock.settle();
  }
}

export async function createWorld(seed: number, told?: World['told']): Promise<World> {
  const clock = createVirtualClock();
  const random = seededRandom(seed * 6007 + 13);
  const aws = createFakeAws({ clock, random });
  const seeded = seedWorld(aws, CLUSTER);
  const cluster = createCluster(
    () => clock.monotonicMs(),
    seeded,
    (id) => aws.cloud.instances.get(id)?.zone ?? '',
  );
  const story: string[] = [];
  const foreign = await createForeign(aws, seeded);
  aws.configure(mannersOf(seed, random));
  return {
    seed,
    clock,
    aws,
    seeded,
    cluster,
    foreign,
    named: new Map(),
    damaged: new Set(),
    left: new Map(),
    random,
    story,
    process: undefined,
    broken: [],
    told,
    counts: { faults: 0, crashes: 0, nodes: 0, services: 0, replaced: 0 },
    tell: (line) => void story.push(`${clock.monotonicMs()}: ${line}`),
  };
}

/** Nothing but schemes changes in every fourth: there the status must never name a load balancer that serves nobody. */
const isQuiet = (seed: number): boolean => seed % 4 === 0;

/** Every third one answers at once; the others take their time, and every second of them lags. */
function mannersOf(seed: number, random: () => number): Partial<Settings> {
  if (seed % 3 === 0) return { healthyAfterMs: 30_000, drainMs: 10_000 };
  return {
    latencyMs: pick(random, [4, 40]),
    provisioningMs: pick(random, [0, 120_000]),
    interfaceLingerMs: pick(random, [0, 30_000]),
    registrationMs: pick(random, [0, 60_000]),
    drainMs: pick(random, [0, 60_000]),
    ...(seed % 2 === 0 ? { lagMs: { reads: 2000, writes: 500, tagging: 5000 } } : {}),
  };
}

export function startOne(world: World): void {
  const name = `p${Number(world.process?.name.slice(1) ?? 0) + 1}`;
  world.tell(`start ${name}`);
  world.process = startProcess({
    name,
    clock: world.clock,
    aws: world.aws,
    vpcId: world.seeded.vpcId,
    cluster: world.cluster,
    ...(world.told === undefined ? {} : { told: world.told }),
  });
}

/** The controller dies at this very call; another one takes over some time later. */
export function crash(world: World, why: string): void {
  const { process, clock, random } = world;
  if (process === undefined || !process.isAlive) return;
  world.tell(`${process.name} dies ${why}`);
  assert.deepEqual(process.bugs, [], `${process.name} threw what is no ProviderError`);
  process.kill();
  // Its lease has to run out first.
  clock.after(pick(random, [15_000, 17_000, 40_000]), () => startOne(world));
}

function faultOf(world: World, call: FakeCall): Fault | undefined {
  const { random, process, counts } = world;
  checkPublished(world);
  const chance = random();
  if (chance >= 0.04) return undefined;
  const at = random() < 0.5 ? 'before' : 'after';
  const what = `${at} ${call.operation} ${call.number}`;
  if (chance < 0.012 && process?.isAlive === true) {
    counts.crashes += 1;
    return { at, as: 'hang', onStrike: () => crash(world, what) };
  }
  counts.faults += 1;
  world.tell(`fault ${what}`);
  if (chance < 0.02) return { as: throttled(call.service) };
  if (chance < 0.025) return { at, as: 'reset' };
  if (chance < 0.03) return { at, as: { code: 'InternalFailure', status: 500 } };
  if (chance < 0.033) return { at, as: 'garbage' };
  return { at: 'after', delayMs: pick(random, [500, 5000]) };
}

/** In short hops, so that what people see is looked at often. */
export async function pass(world: World, ms: number): Promise<void> {
  const { clock } = world;
  const hop = 5000;
  for (let left = ms; left > 0; left -= hop) {
    await clock.advance(Math.min(hop, left));
    checkPublished(world);
  }
  await clock.settle();
}

/** An audit every 10 minutes sees to what nobody has noticed. */
const AUDITED_MS = 660_000;
/** More than the longest waits together: 5 minutes after a switch, a start that counts anew, drains, interfaces. */
const CALM_MS = 3 * 600_000;

/** No more faults; whoever is left settles. */
async function calm(world: World): Promise<void> {
  const { clock } = world;
  await pass(world, 45_000);
  if (world.process?.isAlive !== true) startOne(world);
  const startMs = clock.monotonicMs();
  const passedMs = () => clock.monotonicMs() - startMs;
  while (passedMs() < AUDITED_MS || (passedMs() < CALM_MS && !isSettled(world))) await pass(world, 60_000);
  assert.deepEqual(world.process?.bugs, [], 'threw what is no ProviderError');
}
