import { hasIp, type Interval, sizeOf } from '../net/cidr.ts';
import { formatIp, type Ip } from '../net/ip.ts';
import type { IpFamily } from '../provider.ts';
import { type Holding, type User, userOf } from './entry.ts';
import type { Ledger } from './ledger.ts';
import { isBuggy, type Pool } from './pools.ts';
import type { AddressRequest } from './request.ts';
import { seeded } from './seeded.ts';
import type { Slot } from './slot.ts';

/** How many addresses of a family. */
export interface Want {
  readonly family: IpFamily;
  readonly count: number;
}
export interface Lack {
  readonly pool: string;
  readonly family: IpFamily;
  /** range: the pool has no address of the family at all. */
  readonly why: 'range' | 'room' | 'quota';
}
/** What a pool gives: all that is wanted, or the first thing that it lacks and what it had. */
export interface Draw {
  readonly ips: readonly Ip[];
  readonly lack?: Lack;
}

export interface Drawing {
  readonly wants: readonly Want[];
  /** What the Service holds and will not hold any longer. */
  readonly givingUp: readonly Slot[];
  /** What it takes besides, decided already. */
  readonly pending: readonly Holding[];
}

/** Random tries before a scan: with half of the pool free, one in 65,000 draws comes to the scan. */
const TRIES = 16;

/**
 * New addresses for the request from one pool, by its order and quota: what is retained for the Service first, then what
 * it may share or nobody has.
 */
export function draw(ledger: Ledger, pool: Pool, request: AddressRequest, { wants, givingUp, pending }: Drawing): Draw {
  const user = userOf(request);
  const ips: Ip[] = [];
  const taken = new Set(pending.map(({ address }) => address));
  const promised = pending.filter((holding) => holding.pool === pool.name);
  const spent = promised.map(({ address }) => costOf(ledger, pool, user.namespace, ledger.slot(address)));
  let allowance = spent.reduce<number>((left, cost) => left - cost, quotaLeft(ledger, pool, user.namespace, givingUp));
  for (const { family, count } of wants) {
    const wanted = ips.length + count;
    for (const own of [false, true]) {
      // Without allowance only what the namespace has already; with it that is among the rest.
      if (own === allowance > 0) continue;
      for (const ip of own ? ownOffers(ledger, pool, family, user) : offers(ledger, pool, family, user)) {
        const address = formatIp(ip);
        const slot = ledger.slot(address);
        if (taken.has(address) || slot?.users.has(user.uid) === true) continue;
        const cost = costOf(ledger, pool, user.namespace, slot);
        if (cost > allowance) break;
        allowance -= cost;
        taken.add(address);
        ips.push(ip);
        if (ips.length === wanted) break;
      }
      if (ips.length === wanted) break;
    }
    if (ips.length < wanted) return { ips, lack: { pool: pool.name, family, why: whyNot(pool, family, allowance) } };
  }
  return { ips };
}

/** How many addresses more the namespace may have of the pool. */
export function quotaLeft(ledger: Ledger, pool: Pool, namespace: string, givingUp: readonly Slot[]): number {
  const limit = quotaOf(pool, namespace);
  if (limit === undefined) return Number.POSITIVE_INFINITY;
  const has = ledger.ofNamespace(pool.name, namespace);
  return limit - has.size + givingUp.filter((slot) => has.get(slot) === 1).length;
}

export function quotaOf({ quota }: Pool, namespace: string): number | undefined {
  return Object.hasOwn(quota, namespace) ? quota[namespace] : quota['*'];
}

/** What the address adds to what the namespace has of the pool. */
export function costOf(ledger: Ledger, pool: Pool, namespace: string, slot: Slot | undefined): 0 | 1 {
  return slot !== undefined && ledger.ofNamespace(pool.name, namespace).has(slot) ? 0 : 1;
}

/** Ascending in the pool's order of ranges. */
function rangesOf(pool: Pool, family: IpFamily): readonly Interval[] {
  return pool.blocks.filter((block) => block.family === family);
}

function whyNot(pool: Pool, family: IpFamily, allowance: number): Lack['why'] {
  if (rangesOf(pool, family).length === 0) return 'range';
  return allowance <= 0 ? 'quota' : 'room';
}

/** Every address that the pool could give to the user, the best first; found only as far as asked for. */
function* offers(ledger: Ledger, pool: Pool, family: IpFamily, user: User): Generator<Ip> {
  yield* retainedOffers(ledger, pool, family, user);
  const ranges = rangesOf(pool, family);
  if (pool.order === 'lowest') {
    for (const range of ranges) yield* ascending(range, (rest) => lowestIn(ledger, rest, user, pool.avoidBuggyIPs));
    return;
  }
  for (const range of ranges) yield* shareable(ledger, range, user, pool.avoidBuggyIPs);
  if (pool.order === 'random') yield* randomly(ledger, ranges, pool, user);
  else yield* leastRecentlyUsed(ledger, ranges, pool);
}

/** Those that cost no quota: the namespace has them already. */
function* ownOffers(ledger: Ledger, pool: Pool, family: IpFamily, user: User): Generator<Ip> {
  yield* retainedOffers(ledger, pool, family, user);
  for (const range of rangesOf(pool, family))
    for (const ip of shareable(ledger, range, user, pool.avoidBuggyIPs))
      if (costOf(ledger, pool, user.namespace, ledger.slot(formatIp(ip))) === 0) yield ip;
}

function* retainedOffers(ledger: Ledger, pool: Pool, family: IpFamily, user: User): Generator<Ip> {
  for (const slot of ledger.retainedFor(user)) {
    if (slot.ip.family !== family || slot.pool !== pool.name || !slot.fits(user)) continue;
    if (!isAvoided(pool, slot.ip)) yield slot.ip;
  }
}

/** Each answer of `next` for what is left of the range. */
function* ascending(range: Interval, next: (rest: Interval) => bigint | undefined): Generator<Ip> {
  for (let first = range.first; first <= range.last; ) {
    const value = next({ family: range.family, first, last: range.last });
    if (value === undefined) return;
    yield { family: range.family, value };
    first = value + 1n;
  }
}

/** The lowest address that is free or that the user may share (rule 7). */
function lowestIn(ledger: Ledger, range: Interval, user: User, inner: boolean): bigint | undefined {
  const free = ledger.firstFree(range, inner);
  const shared = firstShareable(ledger, free === undefined ? range : { ...range, last: free }, user, inner);
  return shared ?? free;
}

function shareable(ledger: Ledger, range: Interval, user: User, inner: boolean): Generator<Ip> {
  return ascending(range, (rest) => firstShareable(ledger, rest, user, inner));
}

function firstShareable(ledger: Ledger, range: Interval, user: User, inner: boolean): bigint | undefined {
  let value = ledger.firstShareable(range, user);
  while (value !== undefined && inner && isBuggy({ family: range.family, value }))
    value = ledger.firstShareable({ ...range, first: value + 1n }, user);
  return value;
}

function* randomly(ledger: Ledger, ranges: readonly Interval[], pool: Pool, user: User): Generator<Ip> {
  const total = ranges.reduce((sum, range) => sum + sizeOf(range), 0n);
  if (total === 0n) return;
  const pick = seeded(`${ledger.seed} ${user.uid} ${ledger.heldBy(user.uid).length}`);
  for (let tries = 0; tries < TRIES; tries += 1) {
    const ip = nth(ranges, pick(total));
    if (ledger.isFree(ip) && !isAvoided(pool, ip)) yield ip;
  }
  // Nearly full: from a random point upwards, then from the beginning.
  const start = nth(ranges, pick(total));
  const at = ranges.findIndex((range) => hasIp(range, start));
  const split = ranges[at] as Interval;
  const turned = [{ ...split, first: start.value }, ...ranges.slice(at + 1), ...ranges.slice(0, at + 1)];
  for (const range of turned) yield* ascending(range, (rest) => ledger.firstFree(rest, pool.avoidBuggyIPs));
}

function nth(ranges: readonly Interval[], index: bigint): Ip {
  let left = index;
  for (const range of ranges) {
    if (left < sizeOf(range)) return { family: range.family, value: range.first + left };
    left -= sizeOf(range);
  }
  throw new RangeError(`the ranges have no address number ${index}`);
}

function* leastRecentlyUsed(ledger: Ledger, ranges: readonly Interval[], pool: Pool): Generator<Ip> {
  for (const range of ranges) yield* ascending(range, (rest) => ledger.firstUnworn(rest, pool.avoidBuggyIPs));
  for (const ip of ledger.worn(pool.name))
    if (ranges.some((range) => hasIp(range, ip)) && !isAvoided(pool, ip)) yield ip;
}

const isAvoided = (pool: Pool, ip: Ip): boolean => pool.avoidBuggyIPs && isBuggy(ip);
