import { setImmediate as nextTurn } from 'node:timers/promises';
import { type KubeObject, keyOf } from '../core/objects.ts';
import type { Clock, Log, ResourceName } from '../core/provider.ts';
import type { Timers } from '../work/clock.ts';
import { createDeadline } from './deadline.ts';
import { list, type Selection } from './list.ts';
import { type Client, isApiError, isGone, isNotFound } from './request.ts';
import { nameOf } from './resource.ts';
import type { Store } from './store.ts';
import { watch } from './watch.ts';

export interface ReflectorMetrics {
  /** fairlead_watch_restarts_total. */
  watchRestarted(resource: string, reason: RestartReason): void;
  /** fairlead_store_objects. */
  storeObjects(resource: string, count: number): void;
}
/** ended: as agreed, or by the server, after it had served; short: at once, without an event; silent: a dead link; status: the server refused. */
export type RestartReason = 'ended' | 'short' | 'silent' | 'gone' | 'status' | 'network';

export interface ReflectorOptions<T extends KubeObject> extends Selection {
  readonly client: Client;
  readonly resource: ResourceName;
  readonly store: Store<T>;
  readonly clock: Clock & Timers;
  /** 0 <= x < 1 */
  readonly random: () => number;
  readonly log: Log;
  readonly metrics?: ReflectorMetrics;
  /** A kind that does not exist (404) is empty and synced; it is said once and asked for again every 30 s. */
  readonly optional?: true;
  /** Objects per list request (500); 0: all in one answer. */
  readonly pageSize?: number;
  /** What is kept of each object that comes. */
  readonly reduce?: (object: T) => T;
  /** A watch lasts this long, less up to 10 % (290). */
  readonly watchSeconds?: number;
  /** Later than that after its end was due, a silent watch is given up (15,000). */
  readonly graceMs?: number;
  /** Waits after faults: doubling from base to cap, times 1 to 2 (800 to 30,000, as client-go). */
  readonly backoff?: { readonly baseMs: number; readonly capMs: number };
}

export interface Reflector {
  /** Keeps the store current until the signal aborts. Never rejects. */
  run(signal: AbortSignal): Promise<void>;
}

/** Objects that are stored at a stretch before others may run. */
const STEP = 500;
const ABSENT_RETRY_MS = 30_000;
/** A watch that ends sooner than this without an event was no watch (client-go, "very short watch"). */
const SHORT_MS = 1000;
/** After this long without a fault the waits start from the base again. */
const HEALTHY_MS = 120_000;

/** Keeps a store like what the API server holds, through every fault of network and server. */
export function createReflector<T extends KubeObject>(options: ReflectorOptions<T>): Reflector {
  return new ListWatch(options);
}

class ListWatch<T extends KubeObject> implements Reflector {
  readonly #options: ReflectorOptions<T>;
  readonly #name: string;
  /** Where the next watch goes on; undefined: list first. */
  #version: string | undefined;
  /** Faults since the last event; exponent of the wait. */
  #faults = 0;
  #faultMs = Number.NEGATIVE_INFINITY;
  /** Times that the version was too old since the last event. */
  #expired = 0;
  /** The absence of an optional kind was said. */
  #absent = false;

  constructor(options: ReflectorOptions<T>) {
    this.#options = options;
    this.#name = nameOf(options.resource);
  }

  async run(signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#options;
    while (!signal.aborted) {
      try {
        const waitMs = await this.#round(signal).catch((error: unknown) => this.#onFault(error, signal));
        if (waitMs > 0) await clock.sleep(waitMs, signal);
      } catch (error) {
        if (!signal.aborted) log.error({ resource: this.#name, err: error }, 'reflector fault; going on');
      }
    }
  }

  /** One list if needed, one watch. Returns how long to wait before the next round. */
  async #round(signal: AbortSignal): Promise<number> {
    if (this.#version === undefined) {
      await this.#relist(signal);
      if (this.#version === undefined) return ABSENT_RETRY_MS;
    }
    return await this.#follow(this.#version, signal);
  }

  async #relist(signal: AbortSignal): Promise<void> {
    const { client, resource, clock, optional, pageSize, reduce, log } = this.#options;
    try {
      const { items, resourceVersion } = await list<T>({
        ...selectionOf(this.#options),
        client,
        resource,
        timers: clock,
        signal,
        ...(pageSize === undefined ? {} : { pageSize }),
        ...(reduce === undefined ? {} : { reduce }),
      });
      await this.#apply(items, signal);
      this.#version = resourceVersion;
      this.#absent = false;
    } catch (error) {
      if (optional !== true || !isNotFound(error)) throw error;
      if (!this.#absent) log.warn({ resource: this.#name }, 'kind does not exist; asking again every 30 s');
      this.#absent = true;
      await this.#apply([], signal);
    }
  }

  async #apply(items: readonly T[], signal: AbortSignal): Promise<void> {
    const { store, metrics } = this.#options;
    for (const _step of store.replacing(items, STEP)) {
      await nextTurn();
      signal.throwIfAborted();
    }
    metrics?.storeObjects(this.#name, store.size);
  }

  async #follow(version: string, signal: AbortSignal): Promise<number> {
    const { client, resource, clock, random, watchSeconds = 290, graceMs = 15_000 } = this.#options;
    const timeoutSeconds = Math.ceil(watchSeconds * (1 - 0.1 * random()));
    const startMs = clock.monotonicMs();
    let changes = 0;
    const link = createDeadline(signal, clock, timeoutSeconds * 1000 + graceMs, () => new SilentLink());
    try {
      const events = watch<T>({
        ...selectionOf(this.#options),
        client,
        resource,
        resourceVersion: version,
        timeoutSeconds,
        signal: link.signal,
      });
      for await (const event of events) {
        if (event.type !== 'BOOKMARK') changes += 1;
        this.#take(event.type, event.object as T);
      }
      link.signal.throwIfAborted();
    } catch (error) {
      // A body that was destroyed says so in its own words; the reason is ours.
      throw link.signal.aborted ? link.signal.reason : error;
    } finally {
      link.end();
    }
    if (changes === 0 && clock.monotonicMs() - startMs < SHORT_MS) return this.#wait('short', undefined);
    this.#restarted('ended');
    return 0;
  }

  #take(type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK', object: T): void {
    const { store, metrics, reduce = (whole: T): T => whole } = this.#options;
    const { resourceVersion } = object.metadata;
    this.#faults = 0;
    this.#expired = 0;
    // A server sends each version once and in order; what is not newer was sent again, or late, on the way.
    if (this.#version !== undefined && isOlderOrEqual(resourceVersion, this.#version)) return;
    this.#version = resourceVersion;
    if (type === 'BOOKMARK') return;
    if (type === 'DELETED') store.remove(keyOf(object));
    else store.set(reduce(object));
    metrics?.storeObjects(this.#name, store.size);
  }

  #onFault(error: unknown, signal: AbortSignal): number {
    if (signal.aborted) return 0;
    const { optional } = this.#options;
    if (isGone(error) || isTooNew(error) || (optional === true && isNotFound(error))) {
      this.#version = undefined;
      this.#expired += 1;
      if (this.#expired > 1) return this.#wait('gone', error);
      this.#restarted('gone', error);
      return 0;
    }
    const reason = error instanceof SilentLink ? 'silent' : isApiError(error) ? 'status' : 'network';
    return Math.max(this.#wait(reason, error), isApiError(error) ? (error.retryAfterMs ?? 0) : 0);
  }

  #wait(reason: RestartReason, error: unknown): number {
    const { clock, random, backoff = { baseMs: 800, capMs: 30_000 } } = this.#options;
    const nowMs = clock.monotonicMs();
    if (nowMs - this.#faultMs > HEALTHY_MS) this.#faults = 0;
    this.#faultMs = nowMs;
    const waitMs = Math.min(backoff.capMs, backoff.baseMs * 2 ** this.#faults) * (1 + random());
    this.#faults += 1;
    this.#restarted(reason, error);
    return waitMs;
  }

  #restarted(reason: RestartReason, error?: unknown): void {
    const { log, metrics } = this.#options;
    metrics?.watchRestarted(this.#name, reason);
    // A single fault is the daily life of a watch; from the second in a row on it is a degraded state.
    const level = this.#faults > 1 ? 'warn' : 'debug';
    log[level]({ resource: this.#name, reason, faults: this.#faults, err: error }, 'watch restarts');
  }
}

class SilentLink extends Error {
  override readonly name = 'SilentLink';
  constructor() {
    super('the watch was silent for longer than the server may keep it');
  }
}

function selectionOf({ namespace, labelSelector, fieldSelector }: Selection): Selection {
  return {
    ...(namespace === undefined ? {} : { namespace }),
    ...(labelSelector === undefined ? {} : { labelSelector }),
    ...(fieldSelector === undefined ? {} : { fieldSelector }),
  };
}

/** Versions are decimal numbers that grow (KEP-5504). Other texts cannot be compared: false. */
function isOlderOrEqual(a: string, b: string): boolean {
  if (!/^\d+$/.test(a) || !/^\d+$/.test(b)) return false;
  return a.length === b.length ? a <= b : a.length < b.length;
}

/** The server is behind our version (restored from a backup, or a lagging replica): as useless to it as one too old. */
function isTooNew(error: unknown): boolean {
  if (!isApiError(error)) return false;
  const { causes } = (error.details ?? {}) as { readonly causes?: readonly { readonly reason?: string }[] | null };
  return causes?.some(({ reason }) => reason === 'ResourceVersionTooLarge') === true;
}
