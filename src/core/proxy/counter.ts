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

export function createCounter(set: SetName, table: Table): Counter {
  const counts = new Map<Registers, number>(); // key -> how many need it
  const touched = new Map<Registers, number>(); // key -> how many needed it at the last flush
  const change = (key: Registers, by: number): void => {
    const count = counts.get(key) ?? 0;
    if (!touched.has(key)) touched.set(key, count);
    if (count + by === 0) counts.delete(key);
    else counts.set(key, count + by);
  };
  return {
    add: (key) => change(key, 1),
    remove: (key) => change(key, -1),
    flush(draft) {
      for (const [key, before] of touched) {
        const isNeeded = counts.has(key);
        if (isNeeded && before === 0) table.write(draft, { set, key, data: '' });
        if (!isNeeded && before > 0) table.erase(draft, { set, key, data: '' });
      }
      touched.clear();
    },
    reset() {
      counts.clear();
      touched.clear();
    },
    keys: () => counts.keys(),
  };
}
