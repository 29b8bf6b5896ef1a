import { compareText, isEqual } from './equal.ts';

/** What leads from one keyed set to another; each list sorted by key. */
export interface Difference<T> {
  /** Only wanted. */
  readonly add: readonly T[];
  /** On both sides, not equal. */
  readonly change: readonly { readonly old: T; readonly now: T }[];
  /** Only there. */
  readonly remove: readonly T[];
}

export interface DifferenceOptions<T> {
  /** Identity of an item. Of several with one key on a side the last one counts. */
  readonly key: (item: T) => string;
  /** Whether two items with one key need no change; deep equality unless given. */
  readonly same?: (old: T, now: T) => boolean;
}

/** Keyed set difference: equal sets, in whatever order, give three empty lists. */
export function difference<T>(
  old: Iterable<T>,
  now: Iterable<T>,
  { key, same = isEqual }: DifferenceOptions<T>,
): Difference<T> {
  const before = keyed(old, key);
  const after = keyed(now, key);
  const add: T[] = [];
  const change: { readonly old: T; readonly now: T }[] = [];
  for (const [name, item] of sorted(after)) {
    if (!before.has(name)) add.push(item);
    else if (!same(before.get(name) as T, item)) change.push({ old: before.get(name) as T, now: item });
  }
  const remove = sorted(before).flatMap(([name, item]) => (after.has(name) ? [] : [item]));
  return { add, change, remove };
}

/** True when nothing is to do. */
export const isEmpty = ({ add, change, remove }: Difference<unknown>): boolean =>
  add.length + change.length + remove.length === 0;

function keyed<T>(items: Iterable<T>, key: (item: T) => string): Map<string, T> {
  return new Map(Array.from(items, (item) => [key(item), item]));
}

function sorted<T>(items: ReadonlyMap<string, T>): readonly (readonly [string, T])[] {
  return [...items].sort(([a], [b]) => compareText(a, b));
}
