/**
 * Records of one kind by id, and how they were a moment ago: a lagging read looks there. Records are never changed, only
 * replaced. Order is that of creation.
 */
export interface Table<T> {
  /** As it is, or was at that time. */
  get(id: string, atMs?: number): T | undefined;
  values(atMs?: number): readonly T[];
  put(id: string, record: T): void;
  remove(id: string): void;
  /** Counts the changes: who remembers something about the table compares it. */
  readonly version: number;
}

export interface TableOptions {
  readonly nowMs: () => number;
  /** How far back a read may look. */
  readonly horizonMs: () => number;
}

interface Undo<T> {
  readonly atMs: number;
  readonly id: string;
  readonly was: T | undefined;
}

export function createTable<T>({ nowMs, horizonMs }: TableOptions): Table<T> {
  const current = new Map<string, T>();
  let log: Undo<T>[] = []; // oldest first
  let version = 0;
  let list: readonly T[] | undefined; // of `current`

  function change(id: string): void {
    const atMs = nowMs();
    const horizon = horizonMs();
    version += 1;
    list = undefined;
    if (horizon === 0) {
      log = [];
      return;
    }
    const old = log.findIndex((undo) => undo.atMs >= atMs - horizon);
    if (old !== 0) log = old < 0 ? [] : log.slice(old);
    log.push({ atMs, id, was: current.get(id) });
  }

  /** Changes after that time, oldest first. */
  function after(atMs: number): readonly Undo<T>[] {
    const last = log.at(-1);
    return last === undefined || last.atMs <= atMs ? [] : log.slice(log.findIndex((undo) => undo.atMs > atMs));
  }

  return {
    get(id, atMs = Number.POSITIVE_INFINITY) {
      const undo = after(atMs).find((one) => one.id === id);
      return undo === undefined ? current.get(id) : undo.was;
    },
    values(atMs = Number.POSITIVE_INFINITY) {
      list ??= [...current.values()];
      const changes = after(atMs);
      if (changes.length === 0) return list;
      const was = new Map(current);
      for (const undo of changes.toReversed()) {
        if (undo.was === undefined) was.delete(undo.id);
        else was.set(undo.id, undo.was);
      }
      return [...was.values()];
    },
    put(id, record) {
      change(id);
      current.set(id, record);
    },
    remove(id) {
      if (!current.has(id)) return;
      change(id);
      current.delete(id);
    },
    get version() {
      return version;
    },
  };
}
