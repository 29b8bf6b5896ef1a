import { createHash } from 'node:crypto';
import type { KubeObject } from '../core/objects.ts';
import type { Clock, Log } from '../core/provider.ts';
import { createBucket } from './bucket.ts';
import { createCorrelator, type Likeness } from './correlate.ts';
import { FIELD_MANAGER } from './patch.ts';
import { createRecent } from './recent.ts';
import { type Client, isAlreadyExists, isApiError, isNotFound } from './request.ts';
import { pathOf, resources } from './resource.ts';

export interface RecordedEvent {
  /** What it is about. apiVersion and kind must be there: objects from a reflector have them. */
  readonly object: KubeObject;
  readonly type: 'Normal' | 'Warning';
  /** CamelCase; part of the contract with users. */
  readonly reason: string;
  readonly message: string;
  /** Never dropped, combined or cut: an address was changed or cleared. */
  readonly keep?: true;
}

export interface Recorder {
  /** Returns at once and never throws. */
  record(event: RecordedEvent): void;
  /** Sends what is recorded, until the signal aborts. Never rejects. */
  run(signal: AbortSignal): Promise<void>;
  /** Resolves when everything is sent or given up, or when the signal aborts. Only while `run` runs. */
  flush(signal: AbortSignal): Promise<void>;
}

/** created, raised: sent as a new Event, as a higher count. The rest were dropped: too many about one object; queue full; the server refused; no answer in 12 tries. */
export type EventOutcome = 'created' | 'raised' | 'spam' | 'full' | 'refused' | 'unsent';
export interface EventMetrics {
  event(outcome: EventOutcome): void;
}

export interface RecorderOptions {
  readonly client: Client;
  readonly clock: Clock;
  readonly log: Log;
  /** source.component and reportingComponent: 'service-controller'. */
  readonly component: string;
  /** reportingInstance: the pod's name. */
  readonly instance: string;
  /** How many may wait; asked at each event. */
  readonly capacity: () => number;
  readonly metrics?: EventMetrics;
}

/** Core v1 Events, sent behind all other writes. */
export function createRecorder(options: RecorderOptions): Recorder {
  return new EventQueue(options);
}

/** Like events within this time raise one Event's count. */
const REPEAT_MS = 600_000;
const KNOWN_SIZE = 4096;
const TRIES = 12;
const RETRY = { baseMs: 1000, capMs: 15_000 };
/** The budget: connections, and Events per second. */
const CONCURRENCY = 4;
const QPS = 200;
/** Other writes have ended when there was none for this long. */
const QUIET_MS = 20;
/** So often one goes out even when the other writes never end. */
const TRICKLE_MS = 200;
/** The API server refuses more in its newer Event API; people read less. */
const MESSAGE_LIMIT = 1024;

interface Pending {
  readonly key: string;
  readonly subject: Subject;
  readonly type: string;
  readonly reason: string;
  /** The newest of those that are alike. */
  readonly message: string;
  readonly count: number;
  /** Wall time. */
  readonly firstMs: number;
  readonly lastMs: number;
  readonly keep: boolean;
}
/** involvedObject; the whole object would be kept alive by the queue. */
interface Subject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly namespace?: string;
  readonly name: string;
  readonly uid: string;
}
/** An Event that exists. */
interface Known {
  readonly namespace: string;
  readonly name: string;
  readonly count: number;
}

class EventQueue implements Recorder {
  readonly #options: RecorderOptions;
  readonly #correlator = createCorrelator();
  readonly #pending = new Map<string, Pending>(); // key -> event; in the order of arrival
  readonly #sending = new Set<string>(); // keys under way: their successors wait, for the count is not known yet
  readonly #known = createRecent<Known>({ size: KNOWN_SIZE, ageMs: REPEAT_MS }); // key -> Event of the last 10 minutes
  readonly #admit: (signal: AbortSignal) => Promise<void>;
  /** Monotonic. No event goes out beside other writes before. */
  #trickleMs = 0;
  /** Called and emptied whenever something was recorded or sent. */
  #waiting: (() => void)[] = [];

  constructor(options: RecorderOptions) {
    this.#options = options;
    this.#admit = createBucket({ qps: QPS, clock: options.clock });
  }

  record(event: RecordedEvent): void {
    const { log, clock } = this.#options;
    try {
      const subject = subjectOf(event.object);
      if (subject === undefined) {
        const { name } = event.object.metadata;
        log.error({ name, reason: event.reason, message: event.message }, 'event about an object without a kind');
        this.#count('refused');
      } else {
        this.#add(event, subject, clock.monotonicMs());
      }
    } catch (error) {
      log.error({ reason: event.reason, err: error }, 'event not recorded');
    }
  }

  async run(signal: AbortSignal): Promise<void> {
    await Promise.all(Array.from({ length: CONCURRENCY }, () => this.#work(signal)));
    for (const { subject, reason, message, keep } of this.#pending.values()) {
      if (keep) this.#options.log.warn({ object: subject, reason, message }, 'event not sent before the end');
    }
  }

  async flush(signal: AbortSignal): Promise<void> {
    while (!signal.aborted && this.#pending.size + this.#sending.size > 0) await this.#change(signal);
  }

  #add(event: RecordedEvent, subject: Subject, nowMs: number): void {
    const { clock } = this.#options;
    const { type, reason, keep } = event;
    const likeness = { uid: subject.uid, type, reason, message: cut(event.message), ...(keep ? { keep } : {}) };
    const { key, message } = this.#correlator.combine(likeness, nowMs);
    const waiting = this.#pending.get(key);
    const wallMs = clock.now();
    if (waiting !== undefined) {
      this.#pending.set(key, { ...waiting, message, count: waiting.count + 1, lastMs: wallMs });
      return;
    }
    const refusal = this.#refusal(likeness, nowMs);
    if (refusal !== undefined) {
      this.#count(refusal);
      return;
    }
    const times = { firstMs: wallMs, lastMs: wallMs };
    this.#pending.set(key, { key, subject, type, reason, message, count: 1, ...times, keep: keep === true });
    this.#changed();
  }

  #refusal(likeness: Likeness, nowMs: number): EventOutcome | undefined {
    if (!this.#correlator.allow(likeness, nowMs)) return 'spam';
    return likeness.keep !== true && this.#pending.size >= this.#options.capacity() ? 'full' : undefined;
  }

  async #work(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const next = this.#take();
      if (next === undefined) {
        await this.#change(signal);
        continue;
      }
      try {
        await this.#send(next, signal);
      } catch (error) {
        if (!signal.aborted) this.#options.log.error({ reason: next.reason, err: error }, 'event fault; going on');
        else if (next.keep) this.#putBack(next);
      } finally {
        this.#sending.delete(next.key);
        this.#changed();
      }
    }
  }

  #take(): Pending | undefined {
    for (const [key, pending] of this.#pending) {
      if (this.#sending.has(key)) continue;
      this.#pending.delete(key);
      this.#sending.add(key);
      return pending;
    }
    return undefined;
  }

  async #send(pending: Pending, signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#options;
    for (let tries = 1; ; tries += 1) {
      await this.#turn(signal);
      try {
        this.#count(await this.#deliver(pending, signal));
        return;
      } catch (error) {
        signal.throwIfAborted();
        const { subject, reason, message, keep } = pending;
        const isRefused = isApiError(error) && isFinal(error.status, keep);
        if (isRefused || (tries === TRIES && !keep)) {
          log[keep ? 'error' : 'warn']({ object: subject, reason, message, err: error }, 'event dropped');
          this.#count(isRefused ? 'refused' : 'unsent');
          return;
        }
        if (tries === TRIES) {
          this.#putBack(pending);
          return;
        }
        const retryAfterMs = isApiError(error) ? (error.retryAfterMs ?? 0) : 0;
        await clock.sleep(Math.max(retryAfterMs, Math.min(RETRY.capMs, RETRY.baseMs * 2 ** (tries - 1))), signal);
      }
    }
  }

  /** Waits until no other write is under way; now and then one goes out all the same. */
  async #turn(signal: AbortSignal): Promise<void> {
    const { client, clock } = this.#options;
    await this.#admit(signal);
    while (client.quietMs() < QUIET_MS) {
      const nowMs = clock.monotonicMs();
      if (nowMs >= this.#trickleMs) {
        this.#trickleMs = nowMs + TRICKLE_MS;
        return;
      }
      await clock.sleep(QUIET_MS, signal);
    }
  }

  async #deliver(pending: Pending, signal: AbortSignal): Promise<EventOutcome> {
    const nowMs = this.#options.clock.monotonicMs();
    const known = this.#known.get(pending.key, nowMs);
    if (known !== undefined) {
      const count = known.count + pending.count;
      try {
        await this.#raise(known, pending, count, signal);
        this.#known.set(pending.key, { ...known, count }, nowMs);
        return 'raised';
      } catch (error) {
        // Deleted, or older than the server keeps Events: it starts anew.
        if (!isNotFound(error)) throw error;
        this.#known.delete(pending.key);
      }
    }
    this.#known.set(pending.key, await this.#create(pending, signal), nowMs);
    return 'created';
  }

  async #raise(known: Known, { message, lastMs }: Pending, count: number, signal: AbortSignal): Promise<void> {
    const { namespace, name } = known;
    await this.#options.client.call({
      method: 'PATCH',
      path: pathOf(resources.events, { namespace, name, query: { fieldManager: FIELD_MANAGER } }),
      contentType: 'application/strategic-merge-patch+json',
      body: { count, lastTimestamp: timestamp(lastMs), message },
      signal,
      background: true,
    });
  }

  async #create(pending: Pending, signal: AbortSignal): Promise<Known> {
    const { client, component, instance } = this.#options;
    const { subject, reason, message, type, firstMs, lastMs, count } = pending;
    // Events about objects of the cluster live in `default` (core v1 validation).
    const namespace = subject.namespace ?? 'default';
    const name = `${subject.name.slice(0, 236)}.${this.#hash(pending)}`;
    const body = {
      apiVersion: 'v1',
      kind: 'Event',
      metadata: { name, namespace },
      involvedObject: subject,
      reason,
      message,
      type,
      source: { component },
      firstTimestamp: timestamp(firstMs),
      lastTimestamp: timestamp(lastMs),
      count,
      reportingComponent: component,
      reportingInstance: instance,
    };
    const path = pathOf(resources.events, { namespace, query: { fieldManager: FIELD_MANAGER } });
    try {
      await client.call({ method: 'POST', path, body, signal, background: true });
    } catch (error) {
      // An earlier try of ours took effect and its answer was lost: nobody else makes this name.
      if (!isAlreadyExists(error)) throw error;
    }
    return { namespace, name, count };
  }

  #hash({ key, firstMs }: Pending): string {
    const { component, instance } = this.#options;
    return createHash('sha256')
      .update(JSON.stringify([component, instance, key, firstMs]))
      .digest('hex')
      .slice(0, 16);
  }

  /** To the end of the queue; into a like one that came meanwhile. */
  #putBack(pending: Pending): void {
    const { key, firstMs, count } = pending;
    const later = this.#pending.get(key);
    this.#pending.set(key, later === undefined ? pending : { ...later, firstMs, count: later.count + count });
  }

  #count(outcome: EventOutcome): void {
    this.#options.metrics?.event(outcome);
  }

  #changed(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const wake of waiting) wake();
  }

  /** Resolves at the next change, or when the signal aborts. */
  async #change(signal: AbortSignal): Promise<void> {
    if (signal.aborted) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const wake = (): void => resolve();
    this.#waiting.push(wake);
    signal.addEventListener('abort', wake, { once: true });
    await promise;
    signal.removeEventListener('abort', wake);
  }
}

function subjectOf({ apiVersion, kind, metadata }: KubeObject): Subject | undefined {
  if (apiVersion === undefined || kind === undefined) return undefined;
  const { namespace, name, uid } = metadata;
  return { apiVersion, kind, ...(namespace === undefined ? {} : { namespace }), name, uid };
}

/** Another try could not end otherwise. Missing rights may be given later: what must not be lost waits for them. */
function isFinal(status: number, keep: boolean): boolean {
  if (status === 401 || status === 403) return !keep;
  // 409: somebody else wrote the Event in the same moment; a name that is taken was handled before.
  return status >= 400 && status < 500 && ![408, 409, 429].includes(status);
}

function timestamp(ms: number): string {
  return new Date(ms).toISOString().replace(/\.\d+Z$/, 'Z');
}

function cut(message: string): string {
  return message.length <= MESSAGE_LIMIT ? message : `${message.slice(0, MESSAGE_LIMIT - 1)}…`;
}
