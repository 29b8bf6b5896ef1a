import { isEqual } from '../../src/core/equal.ts';
import type { Note } from '../../src/core/ipam/decide.ts';

/** What this process remembers of Services. Nothing of it is needed for the result: it saves words and claims. */
export interface Book {
  /** Why what a Service published could not be taken over, until something else is published. */
  readonly notes: Map<string, readonly Note[]>; // uid -> notes
  /** What was said of it, for events on transitions only. */
  readonly told: Map<string, ReadonlySet<string>>; // uid -> messages
  /** The plug-in's last answer and the request that it was for. */
  readonly claims: Map<string, { readonly request: string; readonly addresses: readonly string[] }>; // uid -> claim
  /**
   * What was handed out to be published and has not been seen published yet, oldest first: the watch lags behind our own
   * patches, and until it shows one of these, each of them may be what the world sees.
   */
  readonly handed: Map<string, Handed>; // uid -> what was handed out
  /** These hold addresses that go once they are no longer published. */
  readonly leaving: Set<string>; // uid
  /** The plug-in has everything back of these. */
  readonly released: Set<string>; // uid
  forget(uid: string): void;
}

interface Handed {
  readonly lists: readonly (readonly string[])[];
  /** Of the last one, monotonic. */
  readonly atMs: number;
}

/** By then a patch has come back by the watch, or it was never made. */
const LONGEST_LAG_MS = 60_000;

/** These addresses are about to be published; `shown` are now, by the watch. */
export function handOut(
  { handed }: Book,
  uid: string,
  addresses: readonly string[],
  { shown, nowMs }: { readonly shown: readonly string[]; readonly nowMs: number },
): void {
  const lists = handed.get(uid)?.lists ?? [];
  if (!isEqual(addresses, lists.at(-1) ?? shown)) handed.set(uid, { lists: [...lists, addresses], atMs: nowMs });
}

/** The watch shows these: everything handed out before them is history. */
export function seePublished({ handed }: Book, uid: string, shown: readonly string[]): void {
  const known = handed.get(uid);
  const at = known?.lists.findIndex((addresses) => isEqual(addresses, shown)) ?? -1;
  if (known === undefined || at < 0) return;
  const lists = known.lists.slice(at + 1);
  if (lists.length === 0) handed.delete(uid);
  else handed.set(uid, { ...known, lists });
}

/** Addresses that may be published although the watch does not show them (yet). */
export function perhapsPublished({ handed }: Book, uid: string, nowMs: number): readonly string[] {
  const known = handed.get(uid);
  if (known === undefined) return [];
  if (nowMs - known.atMs <= LONGEST_LAG_MS) return known.lists.flat();
  handed.delete(uid);
  return [];
}

export function createBook(): Book {
  const book: Book = {
    notes: new Map(),
    told: new Map(),
    claims: new Map(),
    handed: new Map(),
    leaving: new Set(),
    released: new Set(),
    forget(uid) {
      for (const memory of [book.notes, book.told, book.claims, book.handed, book.leaving, book.released])
        memory.delete(uid);
    },
  };
  return book;
}
