/** What was known under each name at any time back to a horizon. */
export interface History<T> {
  /** The value at that time; undefined before the first. */
  at(name: string, atMs: number): T | undefined;
  /** From `atMs` on. What ended before `horizonMs` is forgotten. */
  put(name: string, atMs: number, value: T, horizonMs: number): void;
  forget(name: string): void;
  /** Sorted. */
  names(): readonly string[];
}

export function createHistory<T>(): History<T> {
  const versions = new Map<string, { readonly atMs: number; readonly value: T }[]>(); // name -> values, oldest first
  return {
    at: (name, atMs) => versions.get(name)?.findLast((version) => version.atMs <= atMs)?.value,
    put(name, atMs, value, horizonMs) {
      const old = versions.get(name) ?? [];
      const kept = old.slice(
        Math.max(
          0,
          old.findLastIndex((version) => version.atMs <= horizonMs),
        ),
      );
      versions.set(name, [...kept, { atMs, value }]);
    },
    forget: (name) => void versions.delete(name),
    names: () => [...versions.keys()].sort(),
  };
}
