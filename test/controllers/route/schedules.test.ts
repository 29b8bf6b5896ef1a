/**
 * Random histories of nodes, of other people's routes, of faults and of restarts; whatever happened, what is there in the
 * end is what should be, nothing of others has changed, and nothing more is written. `SCHEDULES=n` runs more of them, `FIRST=n` begins
 * with that seed.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CloudFault } from '../../../providers/memory/cloud.ts';
import type { CloudErrorCode } from '../../../providers/memory/cloud-error.ts';
import type { CloudRoute } from '../../../providers/memory/route-tables.ts';
import { seededRandom } from '../../../src/sandbox/api/random.ts';
import type { Replica } from '../rig.ts';
import { cidr, createRouteRig, PERIOD_MS, type RouteRig } from './rig.ts';

const SCHEDULES = Number(process.env['SCHEDULES'] ?? 25);
/** Seed of the first. */
const FIRST = Number(process.env['FIRST'] ?? 1);
const STEPS = 25;
const NAMES = ['a', 'b', 'c', 'd'] as const;
/** Few, so that they are fought over; some lie inside others. */
const CIDRS = ['10.120.0.0/24', '10.120.1.0/24', '10.120.1.0/25', 'a00:1::/64'] as const;
const TABLES = ['one', 'two'] as const;
const codes: readonly CloudErrorCode[] = ['Unavailable', 'Throttled', 'Denied', 'QuotaExceeded', 'Busy'];

for (let seed = FIRST; seed < FIRST + SCHEDULES; seed += 1) {
  test(`random history ${seed} of nodes, faults and restarts ends in the right routes`, async (t) => {
    const random = seededRandom(seed);
    const pick = <T>(items: readonly T[]): T => items[Math.floor(random() * items.length)] as T;
    let trouble = 0; // share of calls that fail
    const fault = (): CloudFault | undefined => {
      if (random() >= trouble) return undefined;
      return { code: pick(codes), ...(random() < 0.5 ? { effect: true as const } : {}) };
    };
    const rig = createRouteRig(t, {
      routeTables: TABLES,
      latencyMs: pick([0, 50, 3000]),
      consistencyMs: pick([0, 2000]),
      fault,
    });
    const machines = new Map<string, number>(); // name -> how often it was made
    const present = new Set<string>();
    const others = new Map<string, CloudRoute>(); // routes of somebody else
    let replicas = 1;
    let replica: Replica = await rig.lead({ name: 'r1' });

    const step = async (): Promise<void> => {
      const name = pick(NAMES);
      const what = random();
      if (what < 0.4) {
        if (present.has(name)) {
          present.delete(name);
          await rig.removeNode(name);
        } else {
          const made = (machines.get(name) ?? 0) + 1;
          machines.set(name, made);
          present.add(name);
          const ranges = [...new Set([pick(CIDRS), pick(CIDRS)])];
          await rig.join(name, ranges, { providerID: random() < 0.2 ? '' : `memory://${name}${made}` });
        }
      } else if (what < 0.5) trouble = pick([0, 0.1, 0.5]);
      else if (what < 0.6) {
        const route = {
          table: pick(TABLES),
          destination: cidr(pick(['10.120.0.0/24', '10.120.1.128/25', '10.120.9.0/24'])),
          target: 'memory://stranger',
          tags: { cluster: 'another' },
        };
        const isFree = !rig.memory.routes
          .snapshot()
          .some(({ table, destination }) => table === route.table && destination === route.destination);
        if (!isFree) return;
        rig.memory.routes.put(route);
        others.set(`${route.table} ${route.destination}`, route);
      } else if (what < 0.7) {
        const [key, route] = pick([...others]) ?? [];
        if (key === undefined || route === undefined) return;
        others.delete(key);
        rig.memory.routes.drop(route.table, route.destination);
      } else if (what < 0.8) {
        // Somebody deletes one of ours.
        const ours = rig.memory.routes.snapshot().filter(({ tags }) => tags['cluster'] === 'test');
        const route = ours.length === 0 ? undefined : pick(ours);
        if (route !== undefined) rig.memory.routes.drop(route.table, route.destination);
      } else if (what < 0.9) {
        replicas += 1;
        if (random() < 0.5) replica.terminate();
        else replica.faults.add({ times: Number.POSITIVE_INFINITY, effect: { kind: 'refuse' } });
        replica = await rig.lead({ name: `r${replicas}` });
      } else {
        const times = Math.ceil(random() * 5);
        replica.faults.add({ path: '/nodes', times, effect: { kind: 'status', status: pick([409, 500]) } });
      }
    };

    for (let at = 0; at < STEPS; at += 1) {
      await step();
      await rig.clock.advance(pick([0, 100, 1000, 5000, 30_000]));
    }
    trouble = 0;
    // The longest backoff, a full verify, and one more for whom the first came too early.
    await rig.clock.advance(3 * PERIOD_MS);

    checkRoutes(rig, others);
    checkConditions(rig);
    rig.calls.length = 0;
    await rig.clock.advance(PERIOD_MS);
    assert.deepEqual(
      rig.calls.filter((call) => /^(?:create|remove)Route/.test(call)),
      [],
      'nothing is left to do',
    );
  });
}

interface Wanted {
  readonly name: string;
  readonly uid: string;
  readonly target: string;
  readonly cidrs: readonly string[];
}

function nodesOf(rig: RouteRig): readonly Wanted[] {
  return rig.api.store
    .list('nodes')
    .map(({ object }) => object as unknown as { metadata: Meta; spec: { podCIDRs?: string[]; providerID?: string } })
    .sort(({ metadata: a }, { metadata: b }) =>
      `${a.creationTimestamp} ${a.name}` < `${b.creationTimestamp} ${b.name}` ? -1 : 1,
    )
    .map(({ metadata: { name, uid }, spec }) => ({
      name,
      uid,
      target: spec.providerID ?? '',
      cidrs: spec.podCIDRs ?? [],
    }));
}
interface Meta {
  readonly name: string;
  readonly uid: string;
  readonly creationTimestamp: string;
}

/** Each CIDR's owner by a search of its own: the oldest node that has it, with nothing older around or inside. */
function owners(nodes: readonly Wanted[]): ReadonlyMap<string, Wanted> {
  const owned = new Map<string, Wanted>();
  for (const node of nodes)
    for (const text of node.cidrs) if (![...owned.keys()].some((held) => overlap(held, text))) owned.set(text, node);
  return owned;
}

/** Of the few that are used here. */
const overlap = (a: string, b: string): boolean =>
  a === b || [`${a} ${b}`, `${b} ${a}`].includes('10.120.1.0/24 10.120.1.0/25');

/** Somebody else's route has the destination, or a part of it. */
const blocks = (other: string, destination: string): boolean =>
  other === destination || (other === '10.120.1.128/25' && destination === '10.120.1.0/24');

function checkRoutes(rig: RouteRig, others: ReadonlyMap<string, CloudRoute>): void {
  const all = rig.memory.routes.snapshot();
  assert.deepEqual(
    all.filter(({ tags }) => tags['cluster'] !== 'test').map(({ table, destination }) => `${table} ${destination}`),
    [...others.keys()].sort(),
    'nothing of others has changed',
  );
  const wanted: string[] = [];
  const optional = new Set<string>(); // ours was there before the other's: it may stay
  for (const [destination, { target }] of owners(nodesOf(rig))) {
    for (const table of TABLES) {
      const route = `${table} ${destination} ${target}`;
      const isBlocked = [...others.values()].some(
        (other) => other.table === table && blocks(other.destination, destination),
      );
      if (isBlocked || target === '') optional.add(`${table} ${destination}`);
      else wanted.push(route);
    }
  }
  const ours = all
    .filter(({ tags }) => tags['cluster'] === 'test')
    .filter(({ table, destination }) => !optional.has(`${table} ${destination}`))
    .map(({ table, destination, target }) => `${table} ${destination} ${target}`);
  assert.deepEqual(ours, wanted.sort());
}

function checkConditions(rig: RouteRig): void {
  const all = rig.memory.routes.snapshot();
  const owned = owners(nodesOf(rig));
  for (const { name, uid, target, cidrs } of nodesOf(rig)) {
    const isServed = cidrs.every(
      (text) =>
        owned.get(text)?.uid === uid &&
        TABLES.every((table) =>
          all.some(
            (route) =>
              route.table === table &&
              route.destination === text &&
              route.target === target &&
              route.tags['cluster'] === 'test',
          ),
        ),
    );
    assert.equal(rig.available(name), isServed ? 'False/RouteCreated' : 'True/NoRouteCreated', name);
  }
}
