import PQueue from 'p-queue';
import { isProviderError } from '../core/errors.ts';
import type { Clock, Log } from '../core/provider.ts';
import type { Timers } from './clock.ts';

/** What a reconcile returns: nothing, or when to look again. Either one forgets the failures before. */
export type Outcome =
  // biome-ignore lint/suspicious/noConfusingVoidType: an async function without a return is Promise<void>
  | void
  | undefined
  | {
      readonly requeueAfterMs: number;
      /** It is a retry after a failure, not a wait: counted as one. */
      readonly failed?: true;
    };

/**
 * Keys to reconcile. A key never runs twice at once, and after `add` it runs once more from the start, however often it
 * is added before that. The semantics are client-go's, the priorities controller-runtime's:
 *
 * | the key is | `add(key)`                           | `add(key, { afterMs })`                       |
 * |------------|--------------------------------------|-----------------------------------------------|
 * | unknown    | ready                                | waits                                         |
 * | waiting    | ready now                            | waits for the earlier of the two times        |
 * | ready      | nothing                              | nothing: now beats later                      |
 * | running    | runs once more after this run        | waits; due during the run: once more after it |
 *
 * The priority is the higher of both. Among ready keys the higher priority runs first, equal ones in the order in which
 * they became ready or were raised.
 *
 * A throw is retried after `backoff(failures)`, at least after the error's `retryAfterMs`, with the same priority; a
 * ProviderError of kind 'invalid' is not retried. An `add` does not wait for the retry.
 */
export interface Queue {
  /** Never runs the reconciler before it returns. `priority` defaults to 0. After `drain` and `close` it does nothing. */
  add(key: string, how?: { readonly afterMs?: number; readonly priority?: number }): void;
  /** Waiting, ready and running keys. */
  readonly size: number;
  /** Takes no more keys, drops waiting and ready ones, and resolves when those that run have ended by themselves. */
  drain(): Promise<void>;
  /** Takes no more keys, drops waiting and ready ones, aborts the reconcilers' signal and resolves when all have ended. */
  close(): Promise<void>;
  /** Resolves when no key is ready or running. Keys that wait for their time do not count. */
  idle(): Promise<void>;
}

/** The labels that all metrics of a queue carry. */
export interface QueueLabels {
  readonly name: string;
  readonly controller: string;
}

/** Where one queue reports to. Seconds. */
export interface QueueMeter {
  /** A key became ready. */
  added(): void;
  retried(): void;
  /** From ready to its start. */
  queued(seconds: number): void;
  worked(seconds: number): void;
  /** Asked at each scrape; the returned function ends that. */
  watch(state: {
    /** [priority, ready keys]; a priority that has been seen stays, with 0. */
    depths(): Iterable<readonly [number, number]>;
    /** How long each running reconcile runs. */
    running(): Iterable<number>;
  }): () => void;
}
/** Made by createMetrics() of obs/metrics.ts. */
export type QueueMetrics = (labels: QueueLabels) => QueueMeter;

export interface QueueOptions extends QueueLabels {
  /** Reconciles side by side, each of another key. */
  readonly concurrency: number;
  readonly clock: Clock & Timers;
  /** Failures in a row, from 1, to ms. */
  readonly backoff: (failures: number) => number;
  /** The signal aborts when the queue closes. Throws ProviderErrors or anything else. */
  readonly reconcile: (key: string, signal: AbortSignal) => Promise<Outcome>;
  readonly metrics?: QueueMetrics;
  readonly log: Log;
}

/** What is known about a key from its first `add` until nothing is left to do. */
interface Entry {
  readonly key: string;
  state: 'waiting' | 'ready' | 'running';
  /** Of the next run; while running: of that run. */
  priority: number;
  failures: number;
  /** Monotonic time since which the key is ready or runs. */
  sinceMs: number;
  /** Set in 'waiting' (but for a moment inside `add` and at the end of a run); in 'running' while an `afterMs` that was asked for during the run is not due; never in 'ready'. */
  timer: { readonly dueMs: number; readonly cancel: () => void } | undefined;
  /** In 'running': the priority asked for during this run, if it was. */
  asked: number | undefined;
  /** In 'running': `asked` at once, or its time has come. */
  dirty: boolean;
}

export function createQueue(options: QueueOptions): Queue {
  return new KeyedQueue(options);
}

class KeyedQueue implements Queue {
  readonly #options: QueueOptions;
  readonly #meter: QueueMeter | undefined;
  readonly #unwatch: (() => void) | undefined;
  readonly #entries = new Map<string, Entry>(); // key -> what is known; absent: nothing to do
  readonly #ready = createBuckets();
  readonly #running = new Set<Entry>();
  /** Holds one ticket for each ready key. A ticket takes the best key when its slot opens, not the one it was added for. */
  readonly #pool: PQueue;
  readonly #stop = new AbortController();
  /** No key is taken any more. */
  #closing = false;

  constructor(options: QueueOptions) {
    this.#options = options;
    this.#pool = new PQueue({ concurrency: options.concurrency });
    this.#meter = options.metrics?.({ name: options.name, controller: options.controller });
    this.#unwatch = this.#meter?.watch({
      depths: () => this.#ready.depths(),
      running: () => this.#running.values().map(({ sinceMs }) => this.#secondsSince(sinceMs)),
    });
  }

  get size(): number {
    return this.#entries.size;
  }

  add(key: string, { afterMs, priority = 0 }: { readonly afterMs?: number; readonly priority?: number } = {}): void {
    if (this.#closing) return;
    const entry = this.#entries.get(key) ?? this.#create(key, priority);
    if (entry.state === 'running') entry.asked = Math.max(entry.asked ?? priority, priority);
    else this.#raise(entry, priority);
    if (entry.state === 'ready') return;
    if (afterMs === undefined || afterMs <= 0) this.#due(entry);
    else this.#wait(entry, afterMs);
  }

  async close(): Promise<void> {
    this.#stop.abort(new Error(`queue ${this.#options.name} is closed`));
    await this.drain();
  }

  async drain(): Promise<void> {
    this.#closing = true;
    for (const entry of this.#entries.values()) {
      entry.timer?.cancel();
      if (entry.state !== 'running') this.#entries.delete(entry.key);
    }
    this.#ready.clear();
    this.#pool.clear();
    await this.#pool.onIdle();
    this.#unwatch?.();
  }

  async idle(): Promise<void> {
    await this.#pool.onIdle();
  }

  #create(key: string, priority: number): Entry {
    const entry: Entry = {
      key,
      state: 'waiting',
      priority,
      failures: 0,
      sinceMs: 0,
      timer: undefined,
      asked: undefined,
      dirty: false,
    };
    this.#entries.set(key, entry);
    return entry;
  }

  #raise(entry: Entry, priority: number): void {
    if (priority <= entry.priority) return;
    if (entry.state === 'ready') this.#ready.remove(entry);
    entry.priority = priority;
    if (entry.state === 'ready') this.#ready.push(entry);
  }

  /** Waits until then, unless it waits for an earlier time. */
  #wait(entry: Entry, afterMs: number): void {
    const dueMs = this.#options.clock.monotonicMs() + afterMs;
    if (entry.timer !== undefined && entry.timer.dueMs <= dueMs) return;
    entry.timer?.cancel();
    entry.timer = { dueMs, cancel: this.#options.clock.after(afterMs, () => this.#due(entry)) };
  }

  /** The key's time has come. */
  #due(entry: Entry): void {
    entry.timer?.cancel();
    entry.timer = undefined;
    if (entry.state === 'running') entry.dirty = true;
    else this.#makeReady(entry);
  }

  #makeReady(entry: Entry): void {
    entry.state = 'ready';
    entry.sinceMs = this.#options.clock.monotonicMs();
    this.#ready.push(entry);
    this.#meter?.added();
    // Never rejects but by clear(), for which p-queue holds a handler as long as nothing is chained to the promise.
    void this.#pool.add(() => this.#next());
  }

  async #next(): Promise<void> {
    // p-queue starts a ticket inside add(): wait for what the caller of ours still adds, and never run on its stack.
    await undefined;
    const entry = this.#ready.take();
    if (entry === undefined) return; // closed
    const { clock } = this.#options;
    this.#meter?.queued(this.#secondsSince(entry.sinceMs));
    entry.state = 'running';
    entry.sinceMs = clock.monotonicMs();
    this.#running.add(entry);
    const end = await this.#run(entry);
    this.#running.delete(entry);
    this.#meter?.worked(this.#secondsSince(entry.sinceMs));
    this.#settle(entry, end);
  }

  async #run(entry: Entry): Promise<{ readonly outcome: Outcome } | { readonly error: unknown }> {
    try {
      return { outcome: await this.#options.reconcile(entry.key, this.#stop.signal) };
    } catch (error) {
      return { error };
    }
  }

  #settle(entry: Entry, end: { readonly outcome: Outcome } | { readonly error: unknown }): void {
    const { asked, dirty } = entry;
    entry.asked = undefined;
    entry.dirty = false;
    if (this.#closing) {
      this.#entries.delete(entry.key);
      return;
    }
    entry.state = 'waiting';
    const retryMs = 'error' in end ? this.#failed(entry, end.error) : this.#succeeded(entry, end.outcome);
    // A run that nothing of this one asks for has only the priority that was asked for during it.
    if (asked !== undefined) entry.priority = retryMs === undefined ? asked : Math.max(asked, entry.priority);
    if (dirty) this.#due(entry);
    else if (retryMs !== undefined) this.#wait(entry, retryMs);
    else if (entry.timer === undefined) this.#entries.delete(entry.key);
  }

  #succeeded(entry: Entry, outcome: Outcome): number | undefined {
    entry.failures = 0;
    if (outcome?.failed === true) this.#meter?.retried();
    return outcome?.requeueAfterMs;
  }

  #failed(entry: Entry, error: unknown): number | undefined {
    const { backoff, log } = this.#options;
    const known = isProviderError(error) ? error : undefined;
    if (known?.kind === 'invalid') {
      entry.failures = 0;
      log.warn({ key: entry.key, error }, 'reconcile failed, the input must change');
      return undefined;
    }
    entry.failures += 1;
    const retryMs = Math.max(backoff(entry.failures), known?.retryAfterMs ?? 0);
    this.#meter?.retried();
    log.warn({ key: entry.key, error, failures: entry.failures, retryMs }, 'reconcile failed');
    return retryMs;
  }

  #secondsSince(ms: number): number {
    return (this.#options.clock.monotonicMs() - ms) / 1000;
  }
}

interface Buckets {
  push(entry: Entry): void;
  remove(entry: Entry): void;
  /** Out of the highest priority the one that was pushed first. */
  take(): Entry | undefined;
  clear(): void;
  depths(): Iterable<readonly [number, number]>;
}

/** Ready keys by priority: each operation costs as much as there are distinct priorities, a few. */
function createBuckets(): Buckets {
  interface Bucket {
    readonly entries: Set<Entry>;
    /**
     * Kept between takes: a new one walks over the holes of all that were taken, 10,000 takes would cost 10,000 squared.
     * All that it has passed was taken, so it stands before the first key, and it is asked only when there is one.
     */
    readonly first: IterableIterator<Entry>;
  }
  const buckets = new Map<number, Bucket>(); // priority -> its keys, possibly none

  function best(): Bucket | undefined {
    let highest = Number.NEGATIVE_INFINITY;
    let found: Bucket | undefined;
    for (const [priority, bucket] of buckets) {
      if (bucket.entries.size === 0 || priority < highest) continue;
      highest = priority;
      found = bucket;
    }
    return found;
  }

  return {
    push(entry) {
      let bucket = buckets.get(entry.priority);
      if (bucket === undefined) {
        const entries = new Set<Entry>();
        bucket = { entries, first: entries.values() };
        buckets.set(entry.priority, bucket);
      }
      bucket.entries.add(entry);
    },
    remove(entry) {
      buckets.get(entry.priority)?.entries.delete(entry);
    },
    take() {
      const bucket = best();
      if (bucket === undefined) return undefined;
      const entry = bucket.first.next().value as Entry;
      bucket.entries.delete(entry);
      return entry;
    },
    clear() {
      for (const { entries } of buckets.values()) entries.clear();
    },
    *depths() {
      for (const [priority, { entries }] of buckets) yield [priority, entries.size];
    },
  };
}
