import { compareText } from '../equal.ts';
import type { Interval } from '../net/cidr.ts';
import { compareIps, formatIp, type Ip } from '../net/ip.ts';
import { dueMs, type Entry, type Freed, nameOf, type Retained, sharingGroup, type User } from './entry.ts';
import { Occupancy } from './occupancy.ts';
import { PoolIndex } from './pool-index.ts';
import type { Pool } from './pools.ts';
import { SharingIndex } from './sharing.ts';
import { Slot } from './slot.ts';
import { Tally } from './tally.ts';
import { Wear } from './wear.ts';

type Owner = { readonly namespace: string; readonly name: string };

/** Who holds what, with the indexes that make each question cheap. Knows the rules of no request. */
export class Ledger {
  readonly #slots = new Map<string, Slot>(); // address -> slot; none without users and retained
  readonly #held = new Map<string, readonly Slot[]>(); // uid -> slots, in numeric order
  readonly #kept = new Map<string, Set<Slot>>(); // 'namespace/name' -> slots retained for it
  readonly #inPool = new Map<string, Set<Slot>>(); // pool -> slots
  readonly #taken = new Occupancy();
  readonly #sharing = new SharingIndex();
  readonly #wear = new Wear();
  readonly #tally = new Tally();
  #pools = new PoolIndex([]);
  /** What the order `random` draws from. */
  readonly seed: string;

  constructor(seed: string) {
    this.seed = seed;
  }

  get pools(): PoolIndex {
    return this.#pools;
  }
  get slots(): Iterable<Slot> {
    return this.#slots.values();
  }
  slot(address: string): Slot | undefined {
    return this.#slots.get(address);
  }
  /** In numeric order, IPv4 first. */
  heldBy(uid: string): readonly Slot[] {
    return this.#held.get(uid) ?? NOTHING;
  }
  retainedFor(owner: Owner): readonly Slot[] {
    return inOrder(this.#kept.get(nameOf(owner)) ?? NOTHING);
  }
  /** Slots with something retained, each once. */
  get retaining(): ReadonlySet<Slot> {
    return new Set([...this.#kept.values()].flatMap((slots) => [...slots]));
  }
  /** All uids that hold something, sorted. */
  holders(): readonly string[] {
    return [...this.#held.keys()].sort(compareText);
  }
  inPool(pool: string): ReadonlySet<Slot> {
    return this.#inPool.get(pool) ?? NONE;
  }

  /** What the namespace has of the pool, retained included: slot -> how many of its Services. */
  ofNamespace(pool: string, namespace: string): ReadonlyMap<Slot, number> {
    return this.#tally.of(pool, namespace);
  }

  /** The lowest address that nobody has; with `inner` none that ends in .0 or .255. */
  firstFree(interval: Interval, inner: boolean): bigint | undefined {
    return this.#taken.firstFree(interval, inner);
  }
  isFree(ip: Ip): boolean {
    return !this.#taken.has(ip);
  }
  /** The lowest free address that was not given up of late. */
  firstUnworn(interval: Interval, inner: boolean): bigint | undefined {
    return this.#wear.firstUnworn(interval, inner);
  }
  /** Free addresses of the pool that were given up, the longest ago first. */
  worn(pool: string): Iterable<Ip> {
    return this.#wear.of(pool);
  }
  /** The lowest address that others use and this user may join. */
  firstShareable(interval: Interval, user: User): bigint | undefined {
    return this.#sharing.first(interval, user);
  }

  setPools(pools: readonly Pool[]): void {
    this.#pools = new PoolIndex(pools);
    this.#inPool.clear();
    for (const slot of this.#slots.values())
      this.#enterPool(slot, this.#pools.poolOf(slot.ip, slot.pool ?? slot.recorded)?.name);
    this.#wear.keepPools(new Set(pools.filter(({ order }) => order === 'least-recently-used').map(({ name }) => name)));
  }

  /** Gives the user the address, or replaces its record; what was retained for it there is fulfilled. */
  setUser(ip: Ip, pool: string, user: User): void {
    const address = formatIp(ip);
    const slot = this.#slots.get(address) ?? this.#open(ip, address, pool);
    const joins = slot.group !== undefined && slot.group === sharingGroup(user) && !slot.users.has(user.uid);
    if (!joins) this.#sharing.remove(slot);
    this.#addUser(slot, user);
    if (!joins) this.#sharing.add(slot);
    this.setPool(slot, pool);
    if (slot.isRetainedFor(user))
      this.#setRetained(
        slot,
        slot.retained.filter((each) => nameOf(each) !== nameOf(user)),
      );
  }

  /** Under which pool the address is recorded from now on. */
  setPool(slot: Slot, pool: string): void {
    slot.recorded = pool;
    this.#enterPool(slot, pool);
  }

  /** Takes the address from the user; keeps it for the name when `retain` says so. */
  deleteUser(slot: Slot, user: User, retain?: Retained): Freed {
    this.#sharing.remove(slot);
    this.#removeUser(slot, user);
    this.#sharing.add(slot);
    if (retain !== undefined) {
      const others = slot.retained.filter((each) => nameOf(each) !== nameOf(retain));
      this.#setRetained(slot, [...others, retain]);
    }
    return { ...this.#settle(slot), sharingKey: user.sharingKey };
  }

  /** Drops what is retained and due; `undefined` when nothing is. */
  expire(slot: Slot, nowMs: number): Freed | undefined {
    const left = slot.retained.filter((each) => dueMs(each) > nowMs);
    if (left.length === slot.retained.length) return undefined;
    this.#setRetained(slot, left);
    return this.#settle(slot);
  }

  /** Makes the address what the entry says; what that took from users of it. */
  replace(ip: Ip, entry: Entry): readonly Freed[] {
    const address = formatIp(ip);
    const slot = this.#slots.get(address) ?? this.#open(ip, address, entry.pool);
    const stay = new Set(entry.users.map(({ uid }) => uid));
    const lost = [...slot.users.values()].filter(({ uid }) => !stay.has(uid));
    this.#sharing.remove(slot);
    for (const user of [...slot.users.values()]) this.#removeUser(slot, user);
    for (const user of entry.users) this.#addUser(slot, user);
    this.#sharing.add(slot);
    this.#setRetained(slot, entry.retained ?? []);
    slot.recorded = entry.pool;
    this.#enterPool(slot, this.#pools.poolOf(ip, entry.pool)?.name);
    const freed = this.#settle(slot);
    const keys = lost.map(({ sharingKey }) => ({ ...freed, count: 0n, sharingKey }));
    return freed.count > 0n ? [freed, ...keys] : keys;
  }

  #addUser(slot: Slot, user: User): void {
    if (!slot.users.has(user.uid)) {
      this.#tally.add(slot.pool, user.namespace, slot);
      const others = this.heldBy(user.uid);
      this.#held.set(user.uid, others.length === 0 ? [slot] : inOrder([...others, slot]));
    }
    slot.setUser(user);
  }

  #removeUser(slot: Slot, user: User): void {
    this.#tally.delete(slot.pool, user.namespace, slot);
    slot.deleteUser(user.uid);
    const others = this.heldBy(user.uid).filter((each) => each !== slot);
    if (others.length === 0) this.#held.delete(user.uid);
    else this.#held.set(user.uid, others);
  }

  #open(ip: Ip, address: string, recorded: string): Slot {
    const slot = new Slot(ip, address, recorded);
    this.#slots.set(address, slot);
    this.#taken.add(ip);
    this.#wear.take(ip);
    return slot;
  }

  /** Forgets an address that nobody has any more. */
  #settle(slot: Slot): Freed {
    const pool = slot.pool ?? slot.recorded;
    const gone = slot.users.size === 0 && slot.retained.length === 0;
    if (gone) {
      this.#slots.delete(slot.address);
      this.#taken.delete(slot.ip);
      this.#wear.giveUp(slot.ip, slot.pool);
      this.#enterPool(slot, undefined);
    }
    return { pool, family: slot.ip.family, count: gone ? 1n : 0n, address: slot.address };
  }

  #setRetained(slot: Slot, retained: readonly Retained[]): void {
    for (const each of slot.retained) {
      this.#tally.delete(slot.pool, each.namespace, slot);
      unlink(this.#kept, nameOf(each), slot);
    }
    slot.retained = [...retained].sort((a, b) => compareText(nameOf(a), nameOf(b)));
    for (const each of slot.retained) {
      this.#tally.add(slot.pool, each.namespace, slot);
      link(this.#kept, nameOf(each), slot);
    }
  }

  #enterPool(slot: Slot, pool: string | undefined): void {
    if (slot.pool !== pool) {
      for (const { namespace } of [...slot.users.values(), ...slot.retained]) {
        this.#tally.delete(slot.pool, namespace, slot);
        this.#tally.add(pool, namespace, slot);
      }
      if (slot.pool !== undefined) unlink(this.#inPool, slot.pool, slot);
      slot.pool = pool;
    }
    if (pool !== undefined) link(this.#inPool, pool, slot);
  }
}

const NONE: ReadonlySet<Slot> = new Set();

const NOTHING: readonly Slot[] = [];

const inOrder = (slots: Iterable<Slot>): readonly Slot[] => [...slots].sort((a, b) => compareIps(a.ip, b.ip));

function link(map: Map<string, Set<Slot>>, key: string, slot: Slot): void {
  const slots = map.get(key);
  if (slots === undefined) map.set(key, new Set([slot]));
  else slots.add(slot);
}

function unlink(map: Map<string, Set<Slot>>, key: string, slot: Slot): void {
  const slots = map.get(key);
  slots?.delete(slot);
  if (slots?.size === 0) map.delete(key);
}
