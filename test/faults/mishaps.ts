import type { Effect, Fault } from '../../src/sandbox/api/faults.ts';
import type { Process, Trap } from './process.ts';
import { crowd, forceDelete, prepublish, somethingIsDone, wideOpen } from './users.ts';
import { draw, pick, type World } from './world.ts';

/** What goes wrong between controllers and the API server, and with themselves. */
export async function somethingBreaks(world: World): Promise<void> {
  await draw(world.random, mishaps)(world);
}

/** Somebody is there to work. */
export function ensureOne(world: World): void {
  if (!world.processes.some(({ state }) => state === 'running')) world.start();
}

const effects: readonly (readonly [weight: number, readonly [Fault['verb'], Effect]])[] = [
  [1, ['list', { kind: 'reset', when: 'body', afterBytes: 40 }]],
  [1, ['list', { kind: 'gone', how: 'status' }]],
  [1, ['list', { kind: 'status', status: 500 }]],
  [1, ['list', { kind: 'status', status: 429, retryAfterSeconds: 2 }]],
  [1, ['watch', { kind: 'cut', afterEvents: 1, how: 'reset' }]],
  [1, ['watch', { kind: 'cut', afterEvents: 0, how: 'end' }]],
  [1, ['watch', { kind: 'gone', how: 'event' }]],
  [1, ['watch', { kind: 'gone', how: 'status' }]],
  [2, ['watch', { kind: 'silent', afterEvents: 1 }]],
  [1, ['watch', { kind: 'duplicate' }]],
  [3, ['watch', { kind: 'late', ms: 700 }]],
  [2, ['watch', { kind: 'late', ms: 8000 }]],
  [1, ['watch', { kind: 'status', status: 429, retryAfterSeconds: 2 }]],
  [1, ['patch', { kind: 'reset', when: 'before' }]],
  [2, ['patch', { kind: 'reset', when: 'after' }]],
  [1, ['patch', { kind: 'reset', when: 'body', afterBytes: 20 }]],
  [2, ['patch', { kind: 'status', status: 409 }]],
  [2, ['patch', { kind: 'status', status: 500, when: 'after' }]],
  [1, ['patch', { kind: 'status', status: 500 }]],
  [1, ['patch', { kind: 'status', status: 429, retryAfterSeconds: 1 }]],
  [1, ['patch', { kind: 'delay', ms: 3000 }]],
  [1, ['create', { kind: 'reset', when: 'after' }]],
  [1, ['create', { kind: 'status', status: 500 }]],
  [1, ['delete', { kind: 'reset', when: 'after' }]],
  [1, ['update', { kind: 'reset', when: 'after' }]],
  [1, ['get', { kind: 'status', status: 500 }]],
  [1, [undefined, { kind: 'refuse' }]],
  [1, [undefined, { kind: 'split' }]],
];

async function addFault(world: World): Promise<void> {
  const { random } = world;
  const subject = (random() < 0.7 ? world.leader() : undefined) ?? somebody(world, 'alive');
  if (subject === undefined) return;
  const [verb, effect] = draw(random, effects);
  const times = pick(random, [1, 1, 2, 5]);
  const path = verb === 'patch' ? pick(random, ['/ipblocks', '/services/']) : '';
  world.tell(`fault for ${subject.name}: ${verb ?? 'any'} ${path} ${JSON.stringify(effect)} x${times}`);
  subject.faults.add({ ...(verb === undefined ? {} : { verb }), ...(path === '' ? {} : { path }), effect, times });
  // A watch that stands already meets its fault only when it is opened again.
  if (verb === 'watch' && random() < 0.5) await restartApi(world);
}

/** For a while a part of everything fails. */
async function weather(world: World): Promise<void> {
  const { random, clock } = world;
  const subject = world.leader() ?? somebody(world, 'running');
  if (subject === undefined) return;
  const [verb, effect] = draw(random, effects);
  const chance = pick(random, [0.3, 0.6, 1]);
  // The lease must get through, or it is only another dead leader.
  const path = verb === undefined || verb === 'update' || verb === 'create' ? '/services' : '';
  world.tell(`weather for ${subject.name}: ${verb ?? 'any'} ${path} ${JSON.stringify(effect)} chance ${chance}`);
  const end = subject.faults.add({
    ...(verb === undefined ? {} : { verb }),
    ...(path === '' ? {} : { path }),
    effect,
    chance,
    times: Number.POSITIVE_INFINITY,
  });
  for (let number = 0; number < 3; number += 1) {
    await crowd(world);
    await clock.advance(pick(random, [5, 400, 3000]));
  }
  end();
}

/** A server that lags behind answers whoever lists next. */
async function staleList(world: World): Promise<void> {
  const path = pick(world.random, ['/services', '/ipblocks', '/ipaddresspools']);
  const revisions = pick(world.random, [3, 10, 30]);
  world.tell(`the next list of ${path} is ${revisions} revisions old`);
  world.api.faults.add({ verb: 'list', path, effect: { kind: 'stale', revisions } });
}

/** Versions that watches stand on are too old from now on. */
async function compact(world: World): Promise<void> {
  world.tell('history forgotten');
  world.api.store.compact();
  await restartApi(world);
}

async function restartApi(world: World): Promise<void> {
  const { api, clock, random } = world;
  world.tell('API server killed');
  await api.kill();
  await clock.advance(pick(random, [10, 500, 5000, 12_000]));
  await api.start();
  world.tell('API server back');
}

async function killLeader(world: World): Promise<void> {
  const leader = world.leader();
  if (leader === undefined) return;
  world.tell(`SIGKILL ${leader.name}`);
  leader.kill();
  ensureOne(world);
}

async function pauseSomebody(world: World): Promise<void> {
  const { random, clock } = world;
  const subject = somebody(world, 'running');
  if (subject === undefined) return;
  ensureOther(world, subject);
  world.tell(`SIGSTOP ${subject.name}`);
  subject.pause();
  await clock.advance(pick(random, [100, 9000, 16_000]));
  world.tell(`SIGCONT ${subject.name}`);
  subject.resume();
  await clock.settle();
}

async function startAnother(world: World): Promise<void> {
  if (world.alive().length < 3) world.start();
}

async function terminateSomebody(world: World): Promise<void> {
  const subject = somebody(world, 'running');
  if (subject === undefined) return;
  world.tell(`SIGTERM ${subject.name}`);
  await world.driven(subject.terminate(), 30_000);
  ensureOne(world);
}

/**
 * The leader is stopped or dies in the very middle of a write, another one takes over while people go on, and then the
 * old one wakes up, or its write arrives at last.
 */
async function coup(world: World): Promise<void> {
  const { random, clock } = world;
  const leader = world.leader();
  if (leader === undefined) return;
  ensureOther(world, leader);
  const path = pick(random, ['/ipblocks', '/ipblocks', '/status', '/services/']);
  const how = pick(random, ['stop', 'stop', 'die', 'late', 'late', 'lost'] as const);
  const undo = mishapIn(world, leader, path, how);
  await crowd(world);
  await clock.advance(pick(random, [5, 5, 400]));
  undo();
  if (how !== 'die' && random() < 0.8) {
    world.tell(`SIGSTOP ${leader.name}`);
    leader.pause();
  } else if (leader.state === 'running') {
    world.tell(`SIGKILL ${leader.name}`);
    leader.kill();
  }
  await clock.advance(pick(random, [14_000, 16_500, 17_500, 21_000]));
  await crowd(world);
  await clock.advance(pick(random, [0, 5, 400, 1500]));
  world.tell(`SIGCONT ${leader.name} (${leader.state})`);
  leader.resume();
  await clock.settle();
  ensureOne(world);
  if (random() < 0.5) await crowd(world);
}

function mishapIn(world: World, leader: Process, path: string, how: 'stop' | 'die' | 'late' | 'lost'): () => void {
  const { random } = world;
  if (how === 'late' || how === 'lost') {
    const ms = pick(random, [1000, 15_500, 17_000, 18_000, 25_000]);
    const times = pick(random, [1, 2, 4]);
    world.tell(`writes of ${leader.name} to ${path} take ${ms} ms, x${times}${how === 'lost' ? ', and break' : ''}`);
    return leader.detour({ path, ms, times, ...(how === 'lost' ? { lost: true as const } : {}) });
  }
  const trap: Trap = {
    path,
    when: pick(random, ['before', 'after']),
    signal: how === 'stop' ? 'SIGSTOP' : 'SIGKILL',
  };
  world.tell(`${trap.signal} for ${leader.name} ${trap.when} its next write to ${path}`);
  return leader.trap(trap);
}

/** For a while nobody is there; people go on. */
async function downtime(world: World): Promise<void> {
  const { random, clock } = world;
  const isTakeOver = random() < 0.5 && (await isWideOpen(world));
  for (const one of world.alive()) {
    world.tell(`SIGKILL ${one.name}`);
    one.kill();
  }
  for (let number = 0; number < 5; number += 1) {
    const what = pick(
      random,
      isTakeOver ? [prepublish, prepublish, crowd] : [forceDelete, forceDelete, somethingIsDone],
    );
    await what(world);
  }
  await clock.advance(pick(random, [0, 100, 20_000]));
  world.start();
  if (random() < 0.3) world.start();
  await clock.advance(pick(random, [100, 16_000]));
}

/** The pools are wide, and taken: not when another pool is wrong, nor when nobody was there to look. */
async function isWideOpen(world: World): Promise<boolean> {
  world.api.faults.clear(); // by a list of pools that is too old, what is published lies in none
  await wideOpen(world);
  await world.clock.advance(2000);
  const taken = world.api.store.get('configmaps', 'metallb-system/fairlead-last-good-pools');
  return JSON.stringify(taken?.object ?? '').includes('10.77.0.0/28');
}

function somebody(world: World, how: 'alive' | 'running'): Process | undefined {
  const all = world.processes.filter(({ state }) => state === 'running' || (how === 'alive' && state === 'paused'));
  return all.length === 0 ? undefined : pick(world.random, all);
}

function ensureOther(world: World, subject: Process): void {
  if (!world.processes.some((one) => one !== subject && one.state === 'running')) world.start();
}

const mishaps: readonly (readonly [number, (world: World) => Promise<void>])[] = [
  [9, addFault],
  [4, weather],
  [2, staleList],
  [1, compact],
  [2, restartApi],
  [2, killLeader],
  [2, pauseSomebody],
  [2, startAnother],
  [1, terminateSomebody],
  [6, coup],
  [3, downtime],
];
