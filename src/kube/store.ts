import { type KubeObject, keyOf } from '../core/objects.ts';

/** `initial`: the object was there when the store was filled for the first time. Objects are shared: never write to them. */
export type ChangeHandler<T> = (old: T | undefined, now: T | undefined, initial: boolean) => void;

/** What the API server holds of one kind, kept current by a reflector. */
export interface Store<T extends KubeObject> {
  /** By 'namespace/name', or 'name' for objects of the cluster. */
  get(key: string): T | undefined;
  /** In no particular order. The same array until something changes. */
  list(): readonly T[];
  values(): Iterable<T>;
  readonly size: number;
  /** Objects that a named index files under `value`. Throws for an index that does not exist. */
  by(index: string, value: string): readonly T[];
  /** True from the end of the first full list on, for ever. */
  readonly synced: boolean;
  /** Rejects with the signal's reason when that aborts first. */
  whenSynced(signal: AbortSignal): Promise<void>;
  /** Called for every change from now on, after the store holds it; nothing is replayed. Returns what unsubscribes. */
  onChange(handler: ChangeHandler<T>): () => void;

  // For the reflector, sandbox and tests.
  /** No event when uid and resourceVersion are those held; another uid under the key is a removal and an addition. */
  set(object: T): void;
  remove(key: string): void;
  /** The whole truth: sets all, removes what is not among them, and turns `synced` on. */
  replace(all: readonly T[]): void;
  /** `replace` in steps of `size` objects, so that the caller can let others run in between. */
  replacing(all: readonly T[], size: number): Iterable<void>;
}

export interface StoreOptions<T> {
  /** name -> the values that an object is filed under */
  readonly indexes?: Readonly<Record<string, (object: T) => readonly string[]>>;
  /** What is kept of an object; default: all of it. For kinds of which there are many and little is read. */
  readonly keep?: (object: T) => T;
  /** A handler threw; the store and the other handlers go on. Without it: a process warning. */
  readonly onHandlerError?: (error: unknown) => void;
}

export function createStore<T extends KubeObject>(options: StoreOptions<T> = {}): Store<T> {
  return new ObjectStore(options);
}

class ObjectStore<T extends KubeObject> implements Store<T> {
  readonly #objects = new Map<string, T>(); // key -> object
  readonly #indexes: readonly Index<T>[];
  readonly #handlers = new Set<ChangeHandler<T>>();
  readonly #onHandlerError: (error: unknown) => void;
  readonly #keep: (object: T) => T;
  readonly #firstSync = Promise.withResolvers<void>();
  /** Values of #objects; undefined since the last change. */
  #list: readonly T[] | undefined;
  #synced = false;

  constructor({ indexes = {}, keep = (object) => object, onHandlerError = warn }: StoreOptions<T>) {
    this.#keep = keep;
    this.#indexes = Object.entries(indexes).map(([name, valuesOf]) => ({ name, valuesOf, filed: new Map() }));
    this.#onHandlerError = onHandlerError;
  }

  get(key: string): T | undefined {
    return this.#objects.get(key);
  }

  list(): readonly T[] {
    this.#list ??= [...this.#objects.values()];
    return this.#list;
  }

  values(): Iterable<T> {
    return this.#objects.values();
  }

  get size(): number {
    return this.#objects.size;
  }

  by(name: string, value: string): readonly T[] {
    const index = this.#indexes.find((one) => one.name === name);
    if (index === undefined) throw new TypeError(`no index "${name}"`);
    return [...(index.filed.get(value)?.values() ?? [])];
  }

  get synced(): boolean {
    return this.#synced;
  }

  async whenSynced(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (this.#synced) return;
    const { promise, reject } = Promise.withResolvers<never>();
    const abort = (): void => reject(signal.reason);
    signal.addEventListener('abort', abort, { once: true });
    try {
      await Promise.race([this.#firstSync.promise, promise]);
    } finally {
      signal.removeEventListener('abort', abort);
    }
  }

  onChange(handler: ChangeHandler<T>): () => void {
    // Wrapped: the same function given twice is two subscriptions, each with its own end.
    const own: ChangeHandler<T> = (old, now, initial) => handler(old, now, initial);
    this.#handlers.add(own);
    return () => void this.#handlers.delete(own);
  }

  set(object: T): void {
    const key = keyOf(object);
    const old = this.#objects.get(key);
    if (old !== undefined && old.metadata.uid !== object.metadata.uid) {
      this.remove(key);
      this.#put(key, undefined, this.#keep(object));
    } else if (old?.metadata.resourceVersion !== object.metadata.resourceVersion) {
      this.#put(key, old, this.#keep(object));
    }
  }

  remove(key: string): void {
    const old = this.#objects.get(key);
    if (old === undefined) return;
    this.#objects.delete(key);
    this.#file(key, old, undefined);
    this.#tell(old, undefined);
  }

  replace(all: readonly T[]): void {
    for (const _step of this.replacing(all, all.length)) {
      // One step: nobody runs in between.
    }
  }

  *replacing(all: readonly T[], size: number): Iterable<void> {
    const fresh = new Set<string>();
    for (const [index, object] of all.entries()) {
      if (index > 0 && index % size === 0) yield;
      fresh.add(keyOf(object));
      this.set(object);
    }
    for (const key of [...this.#objects.keys()]) if (!fresh.has(key)) this.remove(key);
    this.#synced = true;
    this.#firstSync.resolve();
  }

  #put(key: string, old: T | undefined, now: T): void {
    this.#objects.set(key, now);
    this.#file(key, old, now);
    this.#tell(old, now);
  }

  #file(key: string, old: T | undefined, now: T | undefined): void {
    this.#list = undefined;
    for (const index of this.#indexes) {
      const { filed } = index;
      for (const value of old === undefined ? [] : this.#valuesOf(index, old)) {
        const group = filed.get(value);
        group?.delete(key);
        if (group?.size === 0) filed.delete(value);
      }
      for (const value of now === undefined ? [] : this.#valuesOf(index, now)) {
        const group = filed.get(value) ?? new Map<string, T>();
        filed.set(value, group.set(key, now as T));
      }
    }
  }

  /** An object that an index cannot read is filed nowhere in it; the store still holds it. */
  #valuesOf({ valuesOf }: Index<T>, object: T): readonly string[] {
    try {
      return valuesOf(object);
    } catch (error) {
      this.#onHandlerError(error);
      return [];
    }
  }

  #tell(old: T | undefined, now: T | undefined): void {
    for (const handler of this.#handlers) {
      try {
        handler(old, now, !this.#synced);
      } catch (error) {
        this.#onHandlerError(error);
      }
    }
  }
}

interface Index<T> {
  readonly name: string;
  readonly valuesOf: (object: T) => readonly string[];
  readonly filed: Map<string, Map<string, T>>; // value -> key -> object; no empty groups
}

function warn(error: unknown): void {
  process.emitWarning(error instanceof Error ? error : String(error), 'StoreHandlerWarning');
}
