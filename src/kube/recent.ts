/** A map that forgets: what was not touched for a while, and the oldest beyond its size. */
export interface Recent<V> {
  /** Touches the entry. */
  get(key: string, nowMs: number): V | undefined;
  set(key: string, value: V, nowMs: number): void;
  delete(key: string): void;
  readonly size: number;
}

export function createRecent<V>({ size, ageMs }: { readonly size: number; readonly ageMs: number }): Recent<V> {
  const entries = new Map<string, { readonly value: V; readonly atMs: number }>(); // least recently touched first
  function forget(nowMs: number): void {
    for (const [key, { atMs }] of entries) {
      if (entries.size <= size && nowMs - atMs <= ageMs) return;
      entries.delete(key);
    }
  }
  function touch(key: string, value: V, nowMs: number): void {
    entries.delete(key);
    entries.set(key, { value, atMs: nowMs });
  }
  return {
    get(key, nowMs) {
      forget(nowMs);
      const entry = entries.get(key);
      if (entry !== undefined) touch(key, entry.value, nowMs);
      return entry?.value;
    },
    set(key, value, nowMs) {
      touch(key, value, nowMs);
      forget(nowMs);
    },
    delete: (key) => void entries.delete(key),
    get size() {
      return entries.size;
    },
  };
}
