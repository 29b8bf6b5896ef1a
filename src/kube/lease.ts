import { failure } from '../core/errors.ts';
import type { Lease } from '../core/objects.ts';
import type { Clock, Log } from '../core/provider.ts';
import type { Timers } from '../work/clock.ts';
import { createDeadline, type Deadline } from './deadline.ts';
import { FIELD_MANAGER } from './patch.ts';
import { type Client, isAlreadyExists, isNotFound } from './request.ts';
import { pathOf, resources } from './resource.ts';

export interface LeaseOptions {
  readonly client: Client;
  readonly clock: Clock & Timers;
  /** 0 <= x < 1 */
  readonly random: () => number;
  readonly log: Log;
  readonly namespace: string;
  readonly name: string;
  /** Unique to this process: 'host_uuid'. */
  readonly identity: string;
  /** Others wait this long after the last renewal that they saw (15,000). */
  readonly leaseDurationMs?: number;
  /** We give up this long after our last renewal (10,000). */
  readonly renewDeadlineMs?: number;
  /** Between two tries (2,000). */
  readonly retryPeriodMs?: number;
}

export interface LeaseLock {
  /**
   * Resolves when this process leads; rejects only with the signal's reason, when that aborts first. From then on the
   * leadership renews itself until it is lost or released; the signal has no part in it any more.
   */
  lead(signal: AbortSignal): Promise<Leadership>;
}

/** Held from `lead` until it is lost or released, once: nothing brings it back. */
export interface Leadership {
  /** Aborts when it ends; the reason says why. */
  readonly signal: AbortSignal;
  /** leaseTransitions: grows with every change of the holder. */
  readonly epoch: number;
  /** Asked before each write. False from the moment on in which another may lead, even when no timer could run (SIGSTOP). */
  leads(): boolean;
  /** Monotonic ms of the moment before the last renewal that succeeded was sent. */
  lastRenewedMs(): number;
  /** Gives it up so that another need not wait. To be called when all work under it has ended. Never rejects; idempotent. */
  release(): Promise<void>;
}

/** Leader election by a Lease, in client-go's way (leaderelection.go). Throws FL_LEASE_DURATIONS. */
export function createLease(options: LeaseOptions): LeaseLock {
  const settings = { leaseDurationMs: 15_000, renewDeadlineMs: 10_000, retryPeriodMs: 2_000, ...options };
  requireOrder(settings);
  return {
    async lead(signal) {
      return await new Candidate(settings).lead(signal);
    },
  };
}

type Settings = Required<LeaseOptions>;

/** client-go's: the deadline must leave room for a try that comes late by so much. */
const JITTER = 1.2;
/**
 * Tries to take the lease come up to so much earlier than the period, for two processes that started together must not
 * stay together; never later: a renewal is seen within one period, so that a crash costs no more than that and the duration.
 */
const SPREAD = 0.5;

function requireOrder({ leaseDurationMs, renewDeadlineMs, retryPeriodMs }: Settings): void {
  const problems = [
    ...(leaseDurationMs > renewDeadlineMs
      ? []
      : [`the lease duration (${leaseDurationMs} ms) must be longer than the renew deadline (${renewDeadlineMs} ms)`]),
    ...(renewDeadlineMs > JITTER * retryPeriodMs
      ? []
      : [
          `the renew deadline (${renewDeadlineMs} ms) must be longer than ${JITTER} x the retry period (${retryPeriodMs} ms)`,
        ]),
  ];
  if (problems.length > 0) throw failure('FL_LEASE_DURATIONS', problems.join('; '), { field: '--leader-elect' });
}

interface Observation {
  readonly lease: Lease;
  /** The spec as text: what changes when the holder renews. */
  readonly spec: string;
  /** Monotonic. When we first saw this spec; for our own writes, the moment before the request. */
  readonly atMs: number;
}

class Candidate {
  readonly #settings: Settings;
  /** The newest state of the Lease that we know. */
  #seen: Observation | undefined;

  constructor(settings: Settings) {
    this.#settings = settings;
  }

  async lead(signal: AbortSignal): Promise<Leadership> {
    const { clock, random, log, identity, name, renewDeadlineMs, retryPeriodMs } = this.#settings;
    let said = '';
    for (;;) {
      signal.throwIfAborted();
      const startMs = clock.monotonicMs();
      const attempt = createDeadline(
        signal,
        clock,
        renewDeadlineMs,
        () => new Error(`no answer in ${renewDeadlineMs} ms`),
      );
      try {
        const held = await this.attempt('take', attempt.signal);
        if (held && clock.monotonicMs() - startMs < renewDeadlineMs) return new Held(this.#settings, this, startMs);
        const holder = this.holder();
        if (!held && holder !== said) log.info({ lease: name, holder, identity }, 'waiting for the lease');
        said = held ? said : holder;
      } catch (error) {
        signal.throwIfAborted();
        log.warn({ lease: name, err: error }, 'lease cannot be taken; trying again');
      } finally {
        attempt.end();
      }
      await clock.sleep(Math.min(retryPeriodMs * (1 - SPREAD * random()), this.#heldForMs() || retryPeriodMs), signal);
    }
  }

  /**
   * One try: true when the lease is ours. 'keep' renews what is ours and never takes what is not, whatever its age.
   * Rejects when it could not be told.
   */
  async attempt(how: 'take' | 'keep', signal: AbortSignal): Promise<boolean> {
    const { clock, leaseDurationMs, log, name } = this.#settings;
    const seen = this.#seen;
    if (seen !== undefined && this.isOurs(seen.lease) && clock.monotonicMs() - seen.atMs < leaseDurationMs) {
      try {
        return await this.#write(seen.lease, { ...seen.lease.spec, renewTime: this.#now() }, signal);
      } catch (error) {
        signal.throwIfAborted();
        log.debug({ lease: name, err: error }, 'lease not renewed by the short way');
      }
    }
    const lease = await this.#read(signal);
    if (lease === undefined) return await this.#create(signal);
    this.#observe(lease, clock.monotonicMs());
    if (!this.isOurs(lease) && (how === 'keep' || this.#isHeld())) return false;
    return await this.#write(lease, this.#claim(lease), signal);
  }

  /** Empties the holder, if that is still us. */
  async giveUp(signal: AbortSignal): Promise<void> {
    const lease = await this.#read(signal);
    if (lease === undefined || !this.isOurs(lease)) return;
    const now = this.#now();
    await this.#write(
      lease,
      { ...lease.spec, holderIdentity: '', leaseDurationSeconds: 1, acquireTime: now, renewTime: now },
      signal,
    );
  }

  isOurs(lease: Lease): boolean {
    return lease.spec?.holderIdentity === this.#settings.identity;
  }

  /** The holder last seen; '' for none. */
  holder(): string {
    return this.#seen?.lease.spec?.holderIdentity ?? '';
  }

  get epoch(): number {
    return this.#seen?.lease.spec?.leaseTransitions ?? 0;
  }

  #isHeld(): boolean {
    return this.#heldForMs() > 0;
  }

  /** What is left of the time of another who holds it, counted from when we saw it by our own clock; 0: nobody does. */
  #heldForMs(): number {
    const { clock, leaseDurationMs } = this.#settings;
    if (this.#seen === undefined) return 0;
    const { lease, atMs } = this.#seen;
    const { holderIdentity = '', leaseDurationSeconds } = lease.spec ?? {};
    if (holderIdentity === '') return 0;
    const durationMs = leaseDurationSeconds === undefined ? leaseDurationMs : leaseDurationSeconds * 1000;
    return Math.max(0, atMs + durationMs - clock.monotonicMs());
  }

  #claim(lease: Lease): NonNullable<Lease['spec']> {
    const { identity, leaseDurationMs } = this.#settings;
    const { acquireTime, leaseTransitions = 0 } = lease.spec ?? {};
    const now = this.#now();
    const isOurs = this.isOurs(lease);
    return {
      ...lease.spec,
      holderIdentity: identity,
      leaseDurationSeconds: Math.ceil(leaseDurationMs / 1000),
      acquireTime: isOurs ? (acquireTime ?? now) : now,
      renewTime: now,
      leaseTransitions: isOurs ? leaseTransitions : leaseTransitions + 1,
    };
  }

  async #read(signal: AbortSignal): Promise<Lease | undefined> {
    const { client, namespace, name } = this.#settings;
    const path = pathOf(resources.leases, { namespace, name });
    return await client.call<Lease>({ method: 'GET', path, signal, exempt: true }).catch((error: unknown) => {
      if (isNotFound(error)) return undefined;
      throw error;
    });
  }

  async #create(signal: AbortSignal): Promise<boolean> {
    const { client, clock, namespace, name, identity, leaseDurationMs } = this.#settings;
    const startMs = clock.monotonicMs();
    const now = this.#now();
    const body = {
      apiVersion: 'coordination.k8s.io/v1',
      kind: 'Lease',
      metadata: { name, namespace },
      spec: {
        holderIdentity: identity,
        leaseDurationSeconds: Math.ceil(leaseDurationMs / 1000),
        acquireTime: now,
        renewTime: now,
        // Deleted while somebody led: the epoch must not go back.
        leaseTransitions: this.#seen === undefined ? 0 : this.epoch + (this.isOurs(this.#seen.lease) ? 0 : 1),
      },
    };
    const path = pathOf(resources.leases, { namespace, query: { fieldManager: FIELD_MANAGER } });
    try {
      this.#observe(await client.call<Lease>({ method: 'POST', path, body, signal, exempt: true }), startMs);
      return true;
    } catch (error) {
      if (isAlreadyExists(error)) return false; // lost the race
      throw error;
    }
  }

  async #write(lease: Lease, spec: NonNullable<Lease['spec']>, signal: AbortSignal): Promise<boolean> {
    const { client, clock, namespace, name } = this.#settings;
    const startMs = clock.monotonicMs();
    const { managedFields: _managedFields, ...metadata } = lease.metadata;
    const body = { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', metadata, spec };
    const path = pathOf(resources.leases, { namespace, name, query: { fieldManager: FIELD_MANAGER } });
    this.#observe(await client.call<Lease>({ method: 'PUT', path, body, signal, exempt: true }), startMs);
    return true;
  }

  #observe(lease: Lease, atMs: number): void {
    const spec = JSON.stringify(lease.spec ?? {});
    // Only a changed spec is a sign of life; an equal one keeps its age. Our own writes always change it.
    this.#seen = { lease, spec, atMs: this.#seen?.spec === spec ? this.#seen.atMs : atMs };
  }

  /** MicroTime: the API server refuses anything but six digits. */
  #now(): string {
    return new Date(this.#settings.clock.now()).toISOString().replace('Z', '000Z');
  }
}

class Held implements Leadership {
  readonly epoch: number;
  readonly #settings: Settings;
  readonly #candidate: Candidate;
  readonly #end = new AbortController();
  /** Aborts when no further renewal is to start. */
  readonly #stop = new AbortController();
  readonly #renewing: Promise<void>;
  #renewedMs: number;
  #cancelDeadline: () => void = () => {};
  #released: Promise<void> | undefined;

  constructor(settings: Settings, candidate: Candidate, renewedMs: number) {
    this.#settings = settings;
    this.#candidate = candidate;
    this.#renewedMs = renewedMs;
    this.epoch = candidate.epoch;
    this.#armDeadline();
    this.#renewing = this.#renew();
  }

  get signal(): AbortSignal {
    return this.#end.signal;
  }

  leads(): boolean {
    if (!this.#end.signal.aborted && this.#leftMs() <= 0) this.#lose(this.#tooLate());
    return !this.#end.signal.aborted;
  }

  lastRenewedMs(): number {
    return this.#renewedMs;
  }

  release(): Promise<void> {
    this.#released ??= this.#release();
    return this.#released;
  }

  /** Catches everything: a loop that died must not look like leadership. */
  async #renew(): Promise<void> {
    const { clock, retryPeriodMs } = this.#settings;
    const stop = this.#stop.signal;
    try {
      for (;;) {
        await clock.sleep(retryPeriodMs, stop);
        if (!this.leads()) return;
        await this.#renewOnce();
      }
    } catch (error) {
      if (!stop.aborted) this.#lose(error);
    }
  }

  async #renewOnce(): Promise<void> {
    const { clock, log, name } = this.#settings;
    const startMs = clock.monotonicMs();
    const attempt = this.#deadline();
    try {
      const held = await this.#candidate.attempt('keep', attempt.signal);
      // The answer of a request that began before a pause must not bring back what is over.
      if (!this.leads()) return;
      if (!held) return this.#lose(new Error(this.#taken()));
      this.#renewedMs = startMs;
      this.#armDeadline();
    } catch (error) {
      if (this.#end.signal.aborted) return;
      log.warn({ lease: name, err: error, leftMs: Math.round(this.#leftMs()) }, 'lease not renewed; trying again');
    } finally {
      attempt.end();
    }
  }

  #taken(): string {
    const holder = this.#candidate.holder();
    if (holder === '') return 'somebody emptied the lease';
    if (holder === this.#settings.identity) return 'the lease was deleted, and another process made it anew';
    return `the lease is held by "${holder}"`;
  }

  async #release(): Promise<void> {
    const { log, name } = this.#settings;
    if (!this.leads()) return;
    this.#lose(new Error('released'));
    await this.#renewing; // a renewal under way is awaited: it would undo what we write
    const attempt = this.#deadline();
    try {
      await this.#candidate.giveUp(attempt.signal);
    } catch (error) {
      log.warn({ lease: name, err: error }, 'lease not released; it runs out by itself');
    } finally {
      attempt.end();
    }
  }

  /**
   * For one try: after our time it would change what may be another's already. Half of the deadline, so that one
   * connection that died without a word does not cost the leadership.
   */
  #deadline(): Deadline {
    const { clock, renewDeadlineMs } = this.#settings;
    const limitMs = Math.min(this.#leftMs(), renewDeadlineMs / 2);
    return createDeadline(new AbortController().signal, clock, limitMs, () => new Error(`no answer in ${limitMs} ms`));
  }

  #lose(reason: unknown): void {
    this.#cancelDeadline();
    this.#end.abort(reason);
    this.#stop.abort(reason);
  }

  #armDeadline(): void {
    this.#cancelDeadline();
    this.#cancelDeadline = this.#settings.clock.after(this.#leftMs(), () => this.#lose(this.#tooLate()));
  }

  #leftMs(): number {
    const { clock, renewDeadlineMs } = this.#settings;
    return this.#renewedMs + renewDeadlineMs - clock.monotonicMs();
  }

  #tooLate(): Error {
    return new Error(`the lease was not renewed for ${this.#settings.renewDeadlineMs} ms`);
  }
}
