import { isEqual } from '../../src/core/equal.ts';

/** What is known of the things of one kind, by id: a cache of what AWS said and of what we wrote, never the truth. */
export interface Shelf<T> {
  get(id: string): T | undefined;
  values(): Iterable<T>;
  readonly size: number;
  /** Grows with every change: what is made from all of them is made again then. */
  readonly revision: number;
  /** Name -> id, of all that the lists had, ours or not. */
  readonly names: ReadonlyMap<string, string>;
  /** Those whose `owners` has this one. */
  of(owner: string): readonly T[];
  /** A write of ours that AWS has confirmed: it counts against lists that may not show it yet. `undefined`: deleted. */
  wrote(id: string, value: T | undefined): void;
  /** We made or wrote it so short a time ago that AWS may not know of it everywhere. */
  isRecent(id: string): boolean;
  /** Changes with each write of ours: a read that was sent before is older than what is known. */
  stampOf(id: string): number;
  /** What a read of this one thing said. */
  read(id: string, value: T | undefined): void;
  /** A write of ours whose outcome is unknown: what the next list says of it is believed; not that it is not there, if we have just made it. */
  doubt(id: string): void;
  /** A whole list, whose request was sent at `sentMs`. `make` gets what is known; it is absent for what only holds a name. */
  listed(sentMs: number, rows: readonly Row<T>[]): void;
}
export interface Row<T> {
  readonly id: string;
  readonly name: string;
  readonly make?: (known: T | undefined) => T;
}
export interface ShelfOptions<T> {
  readonly nowMs: () => number;
  readonly nameOf: (value: T) => string;
  readonly ownersOf: (value: T) => readonly string[];
  /** What we wrote, with what a list that may not know of it says of the things that we do not write. */
  readonly settle: (known: T, listed: T) => T;
}

/** A list that is worth keeping. */
const MANY = 20;

/** Where it is in a sorted list, or would be. */
function placeOf(ids: readonly string[], id: string): number {
  let [low, high] = [0, ids.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((ids[middle] as string) < id) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** AWS's lists lag behind its writes by a few seconds; for so long what we wrote is what is there. */
export const LAG_MS = 10_000;

export function createShelf<T>({ nowMs, nameOf, ownersOf, settle }: ShelfOptions<T>): Shelf<T> {
  const things = new Map<string, T>();
  const names = new Map<string, string>();
  const owned = new Map<string, string[]>(); // owner -> ids, sorted
  const lists = new Map<string, { readonly revision: number; readonly list: readonly T[] }>(); // owner -> last answer of `of`
  const stamps = new Map<string, number>(); // id -> writes of ours, of things that exist
  const writtenMs = new Map<string, number>(); // id -> end of our last write of it, of things that are gone as well

  const madeMs = new Map<string, number>(); // id -> end of our write that made it

  let revision = 0;

  function put(id: string, value: T): void {
    const old = things.get(id);
    if (old !== undefined && isEqual(old, value)) return; // who compares by identity sees no change
    revision += 1;
    if (old !== undefined) unlink(id, old);
    things.set(id, value);
    names.set(nameOf(value), id);
    for (const owner of ownersOf(value)) link(owner, id);
  }

  function drop(id: string): void {
    const old = things.get(id);
    if (old === undefined) return;
    revision += 1;
    things.delete(id);
    stamps.delete(id);
    madeMs.delete(id);
    unlink(id, old);
  }

  function unlink(id: string, old: T): void {
    if (names.get(nameOf(old)) === id) names.delete(nameOf(old));
    for (const owner of ownersOf(old)) {
      const ids = owned.get(owner) ?? [];
      const at = placeOf(ids, id);
      if (ids[at] === id) ids.splice(at, 1);
      if (ids.length > 0) continue;
      owned.delete(owner);
      lists.delete(owner);
    }
  }

  function link(owner: string, id: string): void {
    const ids = owned.get(owner) ?? [];
    owned.set(owner, ids);
    const at = placeOf(ids, id);
    if (ids[at] !== id) ids.splice(at, 0, id);
  }

  /** The one of everything is long, and thousands of runs ask for it between two changes. */
  function of(owner: string): readonly T[] {
    const last = lists.get(owner);
    if (last?.revision === revision) return last.list;
    const ids = owned.get(owner);
    if (ids === undefined) return [];
    const list = ids.map((id) => things.get(id) as T);
    if (list.length > MANY) lists.set(owner, { revision, list });
    return list;
  }

  const isNewer = (id: string, sentMs: number): boolean =>
    sentMs < (writtenMs.get(id) ?? Number.NEGATIVE_INFINITY) + LAG_MS;
  const isNewborn = (id: string, sentMs: number): boolean =>
    sentMs < (madeMs.get(id) ?? Number.NEGATIVE_INFINITY) + LAG_MS;

  return {
    get: (id) => things.get(id),
    values: () => things.values(),
    get size() {
      return things.size;
    },
    get revision() {
      return revision;
    },
    names,
    of,
    wrote(id, value) {
      writtenMs.set(id, nowMs());
      if (value !== undefined && !things.has(id)) madeMs.set(id, nowMs());
      stamps.set(id, (stamps.get(id) ?? 0) + 1);
      if (value === undefined) drop(id);
      else put(id, value);
    },
    isRecent: (id) => isNewer(id, nowMs()) || isNewborn(id, nowMs()),
    stampOf: (id) => stamps.get(id) ?? 0,
    read(id, value) {
      if (value === undefined && things.has(id)) {
        drop(id);
        // A list that has it is believed: it is no deletion of ours that it does not know of.
        writtenMs.delete(id);
      } else if (value === undefined) return;
      else put(id, value);
    },
    doubt: (id) => void writtenMs.delete(id),
    listed(sentMs, rows) {
      const there = new Set<string>();
      const others = new Map<string, string>();
      for (const { id, name, make } of rows) {
        const known = things.get(id);
        if (known === undefined && isNewer(id, sentMs)) continue; // we deleted it meanwhile
        there.add(id);
        if (make === undefined) others.set(name, id);
        else if (known !== undefined && isNewer(id, sentMs)) put(id, settle(known, make(known)));
        else put(id, make(known));
      }
      for (const id of [...things.keys()])
        if (!there.has(id) && !isNewer(id, sentMs) && !isNewborn(id, sentMs)) drop(id);
      for (const [name, id] of names) if (!things.has(id) && !there.has(id)) names.delete(name);
      for (const [name, id] of others) names.set(name, id);
      for (const map of [writtenMs, madeMs]) for (const [id, ms] of map) if (ms + LAG_MS < sentMs) map.delete(id);
    },
  };
}
