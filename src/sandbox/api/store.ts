import type { Clock } from '../../core/provider.ts';
import { type Draft, printJson } from './json.ts';

/** One version of one object. Immutable and shared: between lists, watches and later versions. */
export class Entry {
  readonly key: string;
  readonly revision: number;
  readonly object: Draft;
  #text: string | undefined;

  constructor(key: string, revision: number, object: Draft) {
    this.key = key;
    this.revision = revision;
    this.object = object;
  }
  /** JSON without `kind` and `apiVersion`; made once, since lists and watches all send the same. */
  get text(): string {
    this.#text ??= printJson(this.object);
    return this.#text;
  }
}

/** A change as it was committed. `now` of a deletion is the last object under the revision of the deletion. */
export interface Change {
  readonly revision: number;
  readonly collection: string;
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED';
  readonly now: Entry;
  readonly before: Entry | undefined;
}

/**
 * All objects under one revision counter, and the log of changes that watches and continued lists are served from. The
 * log is bounded: what is older than its oldest entry cannot be watched or listed any more (etcd's compaction).
 */
export interface ApiStore {
  /** Of the last write. */
  readonly revision: number;
  /** Changes up to and with this revision are forgotten. */
  readonly compacted: number;
  get(collection: string, key: string): Entry | undefined;
  /** Sorted by key; only keys that start with `prefix`. */
  list(collection: string, prefix?: string): readonly Entry[];
  /** The collection as it was at a revision; undefined when that is compacted. Sorted by key. */
  listAt(collection: string, revision: number, prefix?: string): readonly Entry[] | undefined;
  /** Creates or replaces. The object must not be written to afterwards. */
  put(collection: string, key: string, object: Draft): Entry;
  /** Undefined when there is no such key. */
  remove(collection: string, key: string): Entry | undefined;
  /** Changes after a revision, oldest first; undefined when they are compacted. */
  since(collection: string, revision: number): readonly Change[] | undefined;
  /** Called within each write of the collection; of every collection when it is undefined. Returns the unsubscription. */
  subscribe(collection: string | undefined, listener: (change: Change) => void): () => void;
  /** Forgets every change so far: each older version is now too old. */
  compact(): void;
}

interface Collection {
  readonly entries: Map<string, Entry>;
  /** Keys in order; invariant: the keys of `entries`. */
  readonly keys: string[];
}

/** `logCount` changes and `logMs` are kept, whichever is less. */
export function createApiStore({
  clock,
  logCount,
  logMs,
}: {
  readonly clock: Pick<Clock, 'monotonicMs'>;
  readonly logCount: number;
  readonly logMs: number;
}): ApiStore {
  const collections = new Map<string, Collection>();
  const listeners = new Map<string | undefined, Set<(change: Change) => void>>();
  let log: { readonly change: Change; readonly atMs: number }[] = [];
  /** Entries of `log` before this index are dropped; compacted in bulk, so that a write costs O(1). */
  let head = 0;
  /** Not told to all listeners yet: a listener that writes is told of its write after the others know of the first. */
  const pending: Change[] = [];
  let revision = 1;
  let compacted = 1;

  const collectionOf = (name: string): Collection => {
    let collection = collections.get(name);
    if (collection === undefined) {
      collection = { entries: new Map(), keys: [] };
      collections.set(name, collection);
    }
    return collection;
  };
  const commit = (change: Change): void => {
    log.push({ change, atMs: clock.monotonicMs() });
    trim();
    pending.push(change);
    if (pending.length > 1) return;
    for (let next = pending[0]; next !== undefined; next = pending[0]) {
      for (const name of [next.collection, undefined])
        for (const listener of [...(listeners.get(name) ?? [])]) tell(listener, next);
      pending.shift();
    }
  };
  const trim = (): void => {
    const oldestMs = clock.monotonicMs() - logMs;
    while (head < log.length) {
      const first = log[head];
      if (first === undefined || (log.length - head <= logCount && first.atMs >= oldestMs)) break;
      compacted = first.change.revision;
      head += 1;
    }
    if (head > 1000 && head * 2 > log.length) {
      log = log.slice(head);
      head = 0;
    }
  };
  const since = (name: string, from: number): readonly Change[] | undefined => {
    trim();
    if (from < compacted) return undefined;
    const changes: Change[] = [];
    for (let index = log.length - 1; index >= head; index -= 1) {
      const change = log[index]?.change;
      if (change === undefined || change.revision <= from) break;
      if (change.collection === name) changes.push(change);
    }
    return changes.reverse();
  };
  const list = (name: string, prefix = ''): readonly Entry[] => {
    const { keys, entries } = collectionOf(name);
    const found: Entry[] = [];
    for (let index = lowerBound(keys, prefix); index < keys.length; index += 1) {
      const key = keys[index] as string;
      if (!key.startsWith(prefix)) break;
      found.push(entries.get(key) as Entry);
    }
    return found;
  };

  return {
    get revision() {
      return revision;
    },
    get compacted() {
      trim();
      return compacted;
    },
    get: (name, key) => collections.get(name)?.entries.get(key),
    list,
    listAt(name, at, prefix = '') {
      const later = since(name, at);
      if (later === undefined) return undefined;
      if (later.length === 0) return list(name, prefix);
      const past = new Map(list(name, prefix).map((entry) => [entry.key, entry]));
      for (const { now, before } of later.toReversed()) {
        if (!now.key.startsWith(prefix)) continue;
        if (before === undefined) past.delete(now.key);
        else past.set(now.key, before);
      }
      return [...past.values()].sort((a, b) => (a.key < b.key ? -1 : 1));
    },
    put(name, key, object) {
      const { entries, keys } = collectionOf(name);
      const before = entries.get(key);
      revision += 1;
      const now = new Entry(key, revision, versioned(object, revision));
      if (before === undefined) keys.splice(lowerBound(keys, key), 0, key);
      entries.set(key, now);
      commit({ revision, collection: name, type: before === undefined ? 'ADDED' : 'MODIFIED', now, before });
      return now;
    },
    remove(name, key) {
      const { entries, keys } = collectionOf(name);
      const before = entries.get(key);
      if (before === undefined) return undefined;
      revision += 1;
      entries.delete(key);
      keys.splice(lowerBound(keys, key), 1);
      const now = new Entry(key, revision, versioned(before.object, revision));
      commit({ revision, collection: name, type: 'DELETED', now, before });
      return now;
    },
    since,
    subscribe(name, listener) {
      const subscribed = listeners.get(name) ?? new Set();
      listeners.set(name, subscribed);
      subscribed.add(listener);
      return () => subscribed.delete(listener);
    },
    compact() {
      log = [];
      head = 0;
      compacted = revision;
    },
  };
}

/** The object with another resourceVersion, in the place where Go's ObjectMeta prints it. */
export function versioned(object: Draft, revision: number): Draft {
  const { name, generateName, namespace, uid, resourceVersion: _old, ...rest } = object.metadata;
  return {
    ...object,
    metadata: {
      ...(name === undefined ? {} : { name }),
      ...(generateName === undefined ? {} : { generateName }),
      ...(namespace === undefined ? {} : { namespace }),
      ...(uid === undefined ? {} : { uid }),
      resourceVersion: String(revision),
      ...rest,
    },
  };
}

/** The write is done whatever a listener makes of it: its error is not the writer's. */
function tell(listener: (change: Change) => void, change: Change): void {
  try {
    listener(change);
  } catch (error) {
    queueMicrotask(() => {
      throw error;
    });
  }
}

/** Index of the first key that is not before `key`. */
function lowerBound(keys: readonly string[], key: string): number {
  let low = 0;
  let high = keys.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((keys[middle] as string) < key) low = middle + 1;
    else high = middle;
  }
  return low;
}
