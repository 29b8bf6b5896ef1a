import type { Note } from '../../src/core/ipam/decide.ts';

/** What this process remembers of Services. Nothing of it is needed for the result: it saves words and claims. */
export interface Book {
  /** Why a Service lost addresses, until that is published. */
  readonly notes: Map<string, readonly Note[]>; // uid -> notes
  /** What was said of it, for events on transitions only. */
  readonly told: Map<string, ReadonlySet<string>>; // uid -> messages
  /** The plug-in's last answer and the request that it was for. */
  readonly claims: Map<string, { readonly request: string; readonly addresses: readonly string[] }>; // uid -> claim
  /** The plug-in has everything back of these. */
  readonly released: Set<string>; // uid
  forget(uid: string): void;
}

export function createBook(): Book {
  const book: Book = {
    notes: new Map(),
    told: new Map(),
    claims: new Map(),
    released: new Set(),
    forget(uid) {
      for (const memory of [book.notes, book.told, book.claims, book.released]) memory.delete(uid);
    },
  };
  return book;
}
