/** A set whose elements several frontends share: an element is in the table while somebody needs it. */
import type { Registers } from '../net/element.ts';
import type { SetName } from './schema.ts';
import type { Draft, Table } from './table.ts';

export interface Counter {
  add(key: Registers): void;
  remove(key: Registers): void;
  /** Writes what appeared and went since the last flush; what came and went in between is nothing. */
  flush(draft: Draft): void;
  /** Nobody needs anything, and nothing is known to be in the table. */
  reset(): void;
  keys(): Iterable<Registers>;
}

interface Entry {
  readonly key: Registers;
  /** How many need it. */
  count: number;
  isWritten: boolean;
  isTouched: boolean;
}

export function createCounter(set: SetName, table: Table): Counter {
  const entries = new Map<Registers, Entry>(); // those that somebody needs, or that changed since the last flush
  let touched: Entry[] = [];
  const change = (key: Registers, by: number): void => {
    let entry = entries.get(key);
    if (entry === undefined) {
      entry = { key, count: 0, isWritten: false, isTouched: false };
      entries.set(key, entry);
    }
    entry.count += by;
    if (entry.isTouched) return;
    entry.isTouched = true;
    touched.push(entry);
  };
  return {
    add: (key) => change(key, 1),
    remove: (key) => change(key, -1),
    flush(draft) {
      for (const entry of touched) {
        const isNeeded = entry.count > 0;
        if (isNeeded && !entry.isWritten) table.write(draft, { set, key: entry.key });
        if (!isNeeded && entry.isWritten) table.erase(draft, { set, key: entry.key });
        entry.isWritten = isNeeded;
        entry.isTouched = false;
        if (!isNeeded) entries.delete(entry.key);
      }
      touched = [];
    },
    reset() {
      entries.clear();
      touched = [];
    },
    keys: () => entries.keys(),
  };
}
