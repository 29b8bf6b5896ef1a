import { formatIp, parseIp } from '../net/ip.ts';
import { type Adoption, adoptionOf } from './adopt.ts';
import { ipsOf, verdictsOf } from './candidates.ts';
import { changeOf, type PoolChange } from './change.ts';
import { type PoolCount, poolCount } from './counts.ts';
import { type Decision, holdingOf, type Resolution, resolve } from './decide.ts';
import { dueMs, type Entry, type Freed, type Holding, type Retained, type User, userOf } from './entry.ts';
import { type Explanation, explanationOf } from './explain.ts';
import { Ledger } from './ledger.ts';
import type { Pool } from './pools.ts';
import type { AddressRequest } from './request.ts';
import type { Slot } from './slot.ts';

/** What a release did. */
export interface Release {
  /** No longer held by the Service. */
  readonly released: readonly Holding[];
  readonly freed: readonly Freed[];
}

/** The readable half: never changes anything; answers are values, not views. */
export interface AllocatorView {
  readonly pools: readonly Pool[];
  /** What the request should hold by the present state. Pure; `allocate` would do exactly this. */
  decide(request: AddressRequest): Decision;
  /** IPv4 first, ascending. `pool` is the recorded one for an address that left its pool. */
  holdings(uid: string): readonly Holding[];
  /** What must stand in the address's block; `undefined` when nothing. Text that is no address: nothing. */
  entry(address: string): Entry | undefined;
  /** All addresses in use or retained, in no order. */
  entries(): Iterable<readonly [address: string, entry: Entry]>;
  /** Uids that hold something, sorted. */
  holders(): readonly string[];
  /** The pool that has the address: the preferred one if it does, else the first. Text that is no address: none. */
  poolOf(address: string, preferred?: string): string | undefined;
  /** `undefined` for an unknown pool. */
  counts(pool: string): PoolCount | undefined;
  /** Names of the pools that may give to the request, free or not, in the order in which they are tried. */
  candidates(request: AddressRequest): readonly string[];
  explain(request: AddressRequest): Explanation;
  /** What `setPools` would do. */
  preview(pools: readonly Pool[]): PoolChange;
  /** When the earliest retained address is due, in ms since 1970. */
  nextExpiryMs(): number | undefined;
}

/**
 * The addresses of one process: mutable inside, no IO, no clock. Every method is synchronous, so that a caller who
 * decides and takes before its first await cannot be overtaken.
 */
export interface Allocator extends AllocatorView {
  /** Takes the pools whatever they strand: ask `preview` first. Stranded addresses stay held until their Service's next `allocate`. */
  setPools(pools: readonly Pool[]): PoolChange;
  /** Decides, and takes, updates and releases in memory at once; `freed` is what the released addresses left. */
  allocate(request: AddressRequest): Decision & { readonly freed: readonly Freed[] };
  /**
   * As `allocate`, but gives nothing up yet (make before break): the same question then still answers with what to
   * release.
   */
  take(request: AddressRequest): Decision;
  /**
   * At start and take-over, and after a block was lost: takes published addresses over, all or none (rule 3). Nothing if
   * the Service holds all of them, or holds another one: then what it publishes is not what it has.
   */
  adopt(request: AddressRequest, published: readonly string[]): Adoption;
  /**
   * Gives up these addresses, or all. With `retainAtMs` (the time of deletion, ms since 1970) each is kept for the
   * namespace and name as long as the Service or the pool says. Idempotent.
   */
  release(uid: string, how?: { readonly addresses?: readonly string[]; readonly retainAtMs?: number }): Release;
  /** Replaces what is known of one address by what its block says; `undefined` frees it. Throws TypeError if it is none. */
  restore(address: string, entry: Entry | undefined): readonly Freed[];
  /** Drops what is retained until `nowMs` or earlier: an entry for each address whose block must be written. */
  purge(nowMs: number): readonly Freed[];
}

/** Without pools and addresses. `seed` decides what pools of order `random` give; equal seeds give equal addresses. */
export function createAllocator({ seed }: { readonly seed: string }): Allocator {
  const ledger = new Ledger(seed);
  return {
    get pools() {
      return ledger.pools.pools;
    },
    decide: (request) => resolve(ledger, request).decision,
    holdings: (uid) => ledger.heldBy(uid).map((slot) => holdingOf(slot, slot.pool ?? slot.recorded)),
    entry: (address) => slotAt(ledger, address)?.entry(),
    *entries() {
      for (const slot of ledger.slots) yield [slot.address, slot.entry()] as const;
    },
    holders: () => ledger.holders(),
    poolOf(address, preferred) {
      const ip = parseIp(address);
      return ip === undefined ? undefined : ledger.pools.poolOf(ip, preferred)?.name;
    },
    counts(name) {
      const pool = ledger.pools.get(name);
      return pool === undefined ? undefined : poolCount(ledger, pool);
    },
    candidates: (request) =>
      verdictsOf(ledger, request).flatMap(({ pool, candidate }) => (candidate ? [pool.name] : [])),
    explain: (request) => explanationOf(ledger, request),
    preview: (pools) => changeOf(ledger, pools),
    nextExpiryMs() {
      const due = [...ledger.retaining].flatMap(({ retained }) => retained.map(dueMs));
      return due.length === 0 ? undefined : due.reduce((a, b) => Math.min(a, b));
    },
    setPools(pools) {
      const change = changeOf(ledger, pools);
      ledger.setPools(pools);
      return change;
    },
    allocate(request) {
      const resolution = resolve(ledger, request);
      return { ...resolution.decision, freed: commit(ledger, request, resolution) };
    },
    take(request) {
      const resolution = resolve(ledger, request);
      record(ledger, resolution);
      return resolution.decision;
    },
    adopt(request, published) {
      const held = ledger.heldBy(request.uid).map(({ address }) => address);
      const isPart = held.length < published.length && held.every((address) => published.includes(address));
      if (!isPart) return { adopted: [], cleared: [], notes: [] };
      const adoption = adoptionOf(ledger, request, published);
      for (const { address, pool } of adoption.adopted) setUser(ledger, address, pool, userOf(request));
      return adoption;
    },
    release(uid, { addresses, retainAtMs } = {}) {
      const slots = ledger.heldBy(uid).filter(({ address }) => addresses?.includes(address) ?? true);
      const released = slots.map((slot) => holdingOf(slot, slot.pool ?? slot.recorded));
      return { released, freed: slots.map((slot) => drop(ledger, slot, uid, retainAtMs)) };
    },
    restore(address, entry) {
      const ip = parseIp(address);
      if (ip === undefined) throw new TypeError(`${JSON.stringify(address)} is no address`);
      const slot = ledger.slot(formatIp(ip));
      if (entry !== undefined) return ledger.replace(ip, entry);
      return slot === undefined ? [] : ledger.replace(ip, { pool: slot.recorded, users: [] });
    },
    purge: (nowMs) => [...ledger.retaining].flatMap((slot) => ledger.expire(slot, nowMs) ?? []),
  };
}

function slotAt(ledger: Ledger, address: string): Slot | undefined {
  const ip = parseIp(address);
  return ip === undefined ? undefined : ledger.slot(formatIp(ip));
}

/** Releases first: nothing of it is taken again in the same decision. */
function commit(ledger: Ledger, { uid }: AddressRequest, resolution: Resolution): readonly Freed[] {
  const { release } = resolution.decision;
  const freed = release.map(({ address }) => drop(ledger, ledger.slot(address) as Slot, uid));
  record(ledger, resolution);
  return freed;
}

function record(ledger: Ledger, { decision, records }: Resolution): void {
  for (const { address, pool } of [...decision.update, ...decision.take])
    setUser(ledger, address, pool, records.get(address) as User);
}

function setUser(ledger: Ledger, address: string, pool: string, user: User): void {
  for (const ip of ipsOf([address])) ledger.setUser(ip, pool, user);
}

function drop(ledger: Ledger, slot: Slot, uid: string, retainAtMs?: number): Freed {
  const user = slot.users.get(uid) as User;
  return ledger.deleteUser(
    slot,
    user,
    retainAtMs === undefined ? undefined : retention(ledger, slot, user, retainAtMs),
  );
}

/** The Service's own duration wins over the pool's; nothing is kept of an address that left its pool. */
function retention(ledger: Ledger, slot: Slot, user: User, nowMs: number): Retained | undefined {
  const pool = slot.pool === undefined ? undefined : ledger.pools.get(slot.pool);
  const retainMs = user.retainMs ?? pool?.retainMs ?? 0;
  if (pool === undefined || retainMs === 0) return undefined;
  const untilMs = Math.ceil((nowMs + retainMs) / 1000) * 1000;
  return { namespace: user.namespace, name: user.name, until: `${new Date(untilMs).toISOString().slice(0, 19)}Z` };
}
