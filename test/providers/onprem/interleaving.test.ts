import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { resources } from '../../../providers/onprem/index.ts';
import type { Service } from '../../../src/core/objects.ts';
import type { Fault } from '../../fake/context.ts';
import { addressesOf, type Controller, createWorld, during, type World } from './world.ts';

/** What may happen between two moments; numbers choose among what is there. */
type Event =
  | UserEvent
  | { readonly do: 'create'; readonly which: number }
  /** Each controller runs the Services that it is given, all at once. */
  | { readonly do: 'ensure'; readonly runs: readonly (readonly [which: number, by: number])[] }
  | { readonly do: 'pause' | 'resume' | 'kill'; readonly by: number }
  | { readonly do: 'wait'; readonly ms: number };

interface UserEvent {
  readonly do: 'delete' | 'repool' | 'edit-pool';
  readonly which: number;
  /** The controller that sees it. */
  readonly by: number;
}

const which = fc.nat({ max: 7 });
const by = fc.nat({ max: 1 });
const runs = fc.array(fc.tuple(which, by), { minLength: 1, maxLength: 6 });
const event: fc.Arbitrary<Event> = fc.oneof(
  { weight: 3, arbitrary: fc.record({ do: fc.constant('create' as const), which }) },
  { weight: 9, arbitrary: fc.record({ do: fc.constant('ensure' as const), runs }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('delete' as const), which, by }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('repool' as const), which, by }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('edit-pool' as const), which, by }) },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constantFrom('pause' as const, 'resume' as const, 'kill' as const), by }),
  },
  { weight: 9, arbitrary: fc.record({ do: fc.constant('wait' as const), ms: fc.nat({ max: 80 }) }) },
);
const events = fc.array(event, { minLength: 30, maxLength: 90, size: 'max' });

/**
 * 'apart': two controllers of different classes share pools and blocks. 'both': two believe that they lead. 'after': a
 * paused or killed leader is followed by another, as the lease has it.
 */
type Mode = 'apart' | 'both' | 'after';
const promises: Readonly<Record<Mode, string>> = {
  apart: 'two controllers that share pools, cut off at random, never give one address to two',
  both: 'two leaders at once, paused, killed and cut off at random, end in one truth, and nothing is lost',
  after: 'leader after leader, each paused or killed at random, never publish one address twice',
};
for (const [mode, promise] of Object.entries(promises) as [Mode, string][])
  test(promise, async () => {
    await fc.assert(
      fc.asyncProperty(events, fc.integer(), async (schedule, seed) => await play(mode, schedule, seed)),
      { numRuns: 25, endOnFailure: true },
    );
  });

async function play(mode: Mode, schedule: readonly Event[], seed: number): Promise<void> {
  const random = seeded(seed);
  let isCalm = false;
  const world: World = createWorld({
    delayMs: () => (isCalm ? 0 : Math.floor(random() * 12)),
    fault: ({ verb }) => {
      check(world, mode);
      return isCalm || verb === 'list' ? undefined : faultOf(random);
    },
  });
  world.pool('one', ['10.77.0.0-10.77.0.4']);
  world.pool('two', ['10.78.0.0/31']);
  const all: Controller[] = [];
  const start = async (place: number): Promise<Controller> => {
    const classes = mode === 'apart' ? { classes: [CLASSES[place] as string] } : {};
    const controller = await world.controller({ identity: `c${all.length}`, config: classes });
    all.push(controller);
    return controller;
  };
  const acting = [await start(0), ...(mode === 'after' ? [] : [await start(1)])];
  const placeOf = (by: number): number => by % acting.length;
  /** Who acts on the Service: with classes of their own, the one whose it is. */
  const placeFor = (which: number, by: number): number => placeOf(mode === 'apart' ? which : by);
  for (const number of [0, 1, 2, 3]) create(world, mode, number);
  await world.clock.advance(50);
  for (const event of schedule) {
    switch (event.do) {
      case 'wait':
        await world.clock.advance(event.ms);
        break;
      case 'kill':
        acting[placeOf(event.by)]?.context.kill();
        acting[placeOf(event.by)] = await start(placeOf(event.by));
        break;
      case 'pause':
        acting[placeOf(event.by)]?.context.pause();
        if (mode === 'after') acting[0] = await start(0);
        break;
      case 'resume':
        for (const controller of mode === 'after' ? all : acting) resume(controller, acting.includes(controller));
        break;
      case 'ensure':
        for (const [number, by] of event.runs)
          ensure(world, acting[placeFor(number, by)] as Controller, `web/s${number}`);
        break;
      case 'create':
        if (world.at(`web/s${event.which}`) === undefined) create(world, mode, event.which);
        break;
      default:
        act(world, acting[placeFor(event.which, event.by)] as Controller, event);
    }
    check(world, mode);
  }
  isCalm = true;
  for (const controller of all) resume(controller, acting.includes(controller));
  await world.clock.advance(1000);
  for (const { context } of all) context.kill();
  const last = await world.controller({ identity: 'last' });
  for (const service of services(world))
    if (service.metadata.deletionTimestamp !== undefined) await during(world.clock, finish(world, last, service));
  await last.settle();
  await world.clock.advance(61_000); // what was written for a Service that went meanwhile
  await last.settle();
  check(world, mode);
  const published = services(world).flatMap((service) =>
    addressesOf(service).map((address) => [address, [keyOf(service)]]),
  );
  assert.deepEqual(world.reserved(), Object.fromEntries(published), 'blocks are not what is published');
  const starving = services(world).filter((service) => addressesOf(service).length === 0);
  assert.ok(last.provider.waiting() >= starving.length, 'nobody waits for those without an address');
  const writes = world.cluster.writes.length;
  last.context.kill();
  const fresh = await world.controller({ identity: 'fresh' });
  await fresh.settle();
  await world.clock.advance(5000);
  assert.equal(world.cluster.writes.length, writes, 'a fresh controller found something to write');
}

/** One that leads no more finds that out before its next write. */
function resume({ context }: Controller, leads: boolean): void {
  context.leads = leads;
  context.resume();
}

/** Services take turns between the classes. */
const CLASSES = ['none', 'fairlead.dev/onprem'];

function create(world: World, mode: Mode, number: number): void {
  const spec = mode === 'apart' && number % 2 === 1 ? { loadBalancerClass: CLASSES[1] as string } : {};
  world.service(`web/s${number}`, { spec });
}

function act(world: World, controller: Controller, { do: what, which: number }: UserEvent): void {
  const key = `web/s${number}`;
  const service = world.at(key) as Service | undefined;
  const pools = [{}, { 'metallb.io/address-pool': 'one' }, { 'metallb.io/address-pool': 'two' }];
  switch (what) {
    case 'repool':
      if (service !== undefined && service.metadata.deletionTimestamp === undefined)
        world.service(key, { annotations: pools[number % 3] as Record<string, string>, spec: service.spec });
      return;
    case 'edit-pool':
      world.pool('two', [number % 2 === 0 ? '10.78.0.0/30' : '10.78.0.0/31']);
      return;
    case 'delete': {
      if (service === undefined) return;
      const metadata = { ...service.metadata, deletionTimestamp: '2026-11-20T13:00:00Z' };
      world.cluster.put(resources.services, { ...service, metadata });
      void finish(world, controller, service);
      return;
    }
    default:
      what satisfies never;
  }
}

function ensure(world: World, controller: Controller, key: string): void {
  const service = world.at(key) as Service | undefined;
  if (service?.metadata.deletionTimestamp !== undefined || service === undefined) return;
  controller.run(key).catch(() => {}); // cut off or refused: the last controller does it
}

/** As the service controller: removed by the provider, then let go. */
async function finish(world: World, { provider, context }: Controller, service: Service): Promise<void> {
  const key = keyOf(service);
  const { uid } = service.metadata;
  await provider.loadBalancers.remove({ uid, key }, context.call()).then(
    ({ done }) => {
      if (done && world.at(key)?.metadata.uid === uid) world.drop(key);
    },
    () => {}, // cut off: the last controller does it
  );
}

/** At every moment: one user per address in the blocks, and no address published by two that live. */
function check(world: World, mode: Mode): void {
  for (const [address, users] of Object.entries(world.reserved()))
    assert.equal(users.length, 1, `${address} is given to ${users.join(' and ')}`);
  if (mode === 'both') return; // of one Service: the watch of one does not tell in time what the other published
  const shown = new Map<string, string>();
  for (const service of services(world)) {
    if (service.metadata.deletionTimestamp !== undefined) continue;
    for (const address of addressesOf(service)) {
      assert.equal(
        shown.get(address),
        undefined,
        `${address} is published by ${shown.get(address)} and ${keyOf(service)}`,
      );
      shown.set(address, keyOf(service));
    }
  }
}

const services = ({ cluster }: World) => cluster.list(resources.services) as Service[];
const keyOf = ({ metadata }: Service) => `${metadata.namespace}/${metadata.name}`;

function faultOf(random: () => number): Fault | undefined {
  const dice = random();
  if (dice < 0.03) return { code: 'FL_KUBE_UNREACHABLE', effect: { lateMs: Math.floor(random() * 100) } };
  if (dice < 0.06) return { code: 'FL_KUBE_UNREACHABLE' };
  if (dice < 0.09) return { code: 'FL_KUBE_CONFLICT' };
  if (dice < 0.12) return { code: 'FL_KUBE_REQUEST', effect: { lateMs: 0 } };
  if (dice < 0.14) return { code: 'FL_KUBE_THROTTLED', retryAfterMs: 10 };
  return undefined;
}

/** mulberry32 */
function seeded(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
