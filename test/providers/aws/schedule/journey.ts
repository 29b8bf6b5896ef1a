import assert from 'node:assert/strict';
import { checkEnd, isSettled } from './checks.ts';
import { crash, createWorld, pass, startOne, type World } from './schedule.ts';

export interface Crash {
  /** Number of the call, counted from 0. */
  readonly call: number;
  readonly at: 'before' | 'after';
}

const UID = 'uid-web-1';
const LONGEST_MS = 3_600_000;

/**
 * One Service from its creation over a change of its ports and of its scheme to its deletion, with a controller that dies at
 * this call. Returns how many calls there were. Throws what did not hold, with the story.
 */
export async function runJourney(death: Crash | undefined): Promise<number> {
  // A seed whose account answers slowly and lags.
  const world = await createWorld(2);
  try {
    return await travel(world, death);
  } catch (error) {
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    assert.fail(`${JSON.stringify(death)}: ${text}\n${world.story.join('\n')}`);
  }
}

async function travel(world: World, death: Crash | undefined): Promise<number> {
  const { aws, cluster } = world;
  let made = 0; // calls of the journey, without those of a check
  let isChecking = false;
  aws.fault = ({ operation }) => {
    if (isChecking) return undefined;
    const number = made;
    made += 1;
    if (number !== death?.call) return undefined;
    const what = `${death.at} ${operation}`;
    return { at: death.at, as: 'hang', onStrike: () => crash(world, what) };
  };
  const check = async (): Promise<void> => {
    isChecking = true;
    await checkEnd(world);
    isChecking = false;
  };
  try {
    startOne(world);
    await pass(world, 5000);
    const wish = {
      ports: [
        { protocol: 'TCP', port: 80 },
        { protocol: 'TCP', port: 443 },
      ],
      targetKind: 'node',
      trafficPolicy: 'cluster',
      sources: [],
      short: { scheme: 'internal', 'target-group-attributes': 'deregistration_delay.timeout_seconds=20' },
    } as const;
    cluster.put(UID, { uid: UID, name: 'web', wish, deleted: false, ingress: undefined, print: undefined });
    await settle(world);
    const changed = { ...wish, ports: wish.ports.map((port, index) => (index === 0 ? { ...port, port: 8080 } : port)) };
    cluster.put(UID, { wish: changed });
    await settle(world);
    cluster.put(UID, { wish: { ...changed, short: { ...changed.short, scheme: 'internet-facing' } }, disturbedMs: 0 });
    await settle(world);
    await check();
    cluster.put(UID, { deleted: true });
    await settle(world);
    await check();
    return made;
  } finally {
    world.process?.kill();
    await world.clock.settle();
  }
}

/** Until nothing is under way, and what is published is what there is. */
async function settle(world: World): Promise<void> {
  const { clock, cluster } = world;
  const startMs = clock.monotonicMs();
  const isPublished = () => [...cluster.services.values()].every(({ ingress }) => ingress !== undefined);
  do {
    assert.ok(clock.monotonicMs() - startMs < LONGEST_MS, 'does not settle');
    await pass(world, 20_000);
  } while (!(isSettled(world) && isPublished()));
}
