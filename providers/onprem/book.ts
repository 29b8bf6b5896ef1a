import type { Note } from '../../src/core/ipam/decide.ts';

/** What this process remembers of Services. Nothing of it is needed for the result: it saves words and claims. */
export interface Book {
  /** Why what a Service published could not be taken over, until something else is published. */
  readonly notes: Map<string, readonly Note[]>; // uid -> notes
  /** What was said of it, for events on transitions only. */
  readonly told: Map<string, ReadonlySet<string>>; // uid -> messages
  /** The plug-in's last answer and the request that it was for. */
  readonly claims: Map<string, { readonly request: string; readonly addresses: readonly string[] }>; // uid -> claim
  /** These hold addresses that go once they are no longer published. */
  readonly leaving: Set<string>; // uid
  /** The plug-in has everything back of these. */
  readonly released: Set<string>; // uid
  forget(uid: string): void;
}

export function createBook(): Book {
  const book: Book = {
    notes: new Map(),
    told: new Map(),
    claims: new Map(),
    leaving: new Set(),
    released: new Set(),
    forget(uid) {
      for (const memory of [book.notes, book.told, book.claims, book.leaving, book.released]) memory.delete(uid);
    },
  };
  return book;
}
