import PQueue from 'p-queue';
import { isProviderError } from '../core/errors.ts';
import type { Call, Clock } from '../core/provider.ts';
import type { Timers } from './clock.ts';

/** What a backend allows for one class of its API. */
export interface Rate {
  /** Requests side by side. */
  readonly concurrency: number;
  /** At most so many starts in any `intervalMs`, wherever it begins. Absent: no limit. */
  readonly starts?: { readonly max: number; readonly intervalMs: number };
}

export interface LimiterOptions {
  readonly clock: Clock & Timers;
  /** API class -> rate. A class that is not named shares 'default'. */
  readonly classes: { readonly default: Rate } & Readonly<Record<string, Rate>>;
  /** How long all of a class pauses after a `throttled` error that does not say. Default 1000. */
  readonly pauseMs?: number;
  /** Called as each request starts, with the seconds that it waited here. */
  readonly waited?: (seconds: number) => void;
}

export interface Limiter {
  /**
   * What `Call.limit` is, for calls that end with this signal. Runs `fn` when its class has room, higher priorities
   * first (default 0). Rejects with what `fn` rejects with, or with the signal's reason if that aborts while the request
   * waits; a request that has started keeps its place until it ends, whatever the signal does.
   */
  for(signal: AbortSignal): Call['limit'];
  /** Starts nothing more; resolves when what runs has ended. Requests that wait reject. */
  close(): Promise<void>;
}

/**
 * The provider's limiter: a p-queue for each API class. After a `throttled` error its class starts nothing until the
 * error's `retryAfterMs` is over.
 *
 * The window is ours and runs on the monotonic clock. p-queue's own uses wall time, so a clock that is set back by n
 * seconds would stop all requests for n seconds.
 */
export function createLimiter({ clock, classes, pauseMs = 1000, waited }: LimiterOptions): Limiter {
  const lanes = new Map(Object.entries(classes).map(([name, rate]) => [name, createLane(clock, rate, pauseMs)]));
  const fallback = lanes.get('default') as Lane;

  return {
    for: (signal) => (fn, how) => {
      const lane = lanes.get(how?.class ?? 'default') ?? fallback;
      const askedMs = clock.monotonicMs();
      return lane.run(signal, how?.priority ?? 0, () => {
        waited?.((clock.monotonicMs() - askedMs) / 1000);
        return fn();
      });
    },
    async close() {
      await Promise.all(lanes.values().map((lane) => lane.close()));
    },
  };
}

interface Lane {
  run<T>(signal: AbortSignal, priority: number, fn: () => Promise<T>): Promise<T>;
  close(): Promise<void>;
}

function createLane(clock: Clock & Timers, { concurrency, starts }: Rate, pauseMs: number): Lane {
  const pool = new PQueue({ concurrency });
  const startedMs: number[] = []; // monotonic times of the last `starts.max` starts, oldest first
  let resumeMs = Number.NEGATIVE_INFINITY;
  let cancel = (): void => {};
  const waiting = new Set<(reason: unknown) => void>(); // give-ups of the requests that have not started
  let closed: Error | undefined;

  /** Starts nothing before that time; a later time that was set before stays. */
  function holdUntil(ms: number): void {
    if (ms <= resumeMs) return;
    resumeMs = ms;
    pool.pause();
    cancel();
    cancel = clock.after(ms - clock.monotonicMs(), () => pool.start());
  }

  /** Called inside the start of a task, so that p-queue meets the pause before it starts another. */
  function countStart(): void {
    if (starts === undefined) return;
    startedMs.push(clock.monotonicMs());
    if (startedMs.length < starts.max) return;
    holdUntil((startedMs.shift() as number) + starts.intervalMs);
  }

  return {
    run(signal, priority, fn) {
      return new Promise((resolve, reject) => {
        signal.throwIfAborted();
        if (closed !== undefined) throw closed;
        let given = false;
        const giveUp = (reason: unknown): void => {
          given = true;
          waiting.delete(giveUp);
          signal.removeEventListener('abort', onAbort);
          reject(reason);
        };
        const onAbort = (): void => giveUp(signal.reason);
        waiting.add(giveUp);
        signal.addEventListener('abort', onAbort);
        const task = async (): Promise<void> => {
          if (given) return; // while it waited; it does not count as a start
          waiting.delete(giveUp);
          signal.removeEventListener('abort', onAbort);
          countStart();
          try {
            resolve(await fn());
          } catch (error) {
            if (isProviderError(error) && error.kind === 'throttled') {
              holdUntil(clock.monotonicMs() + (error.retryAfterMs ?? pauseMs));
            }
            reject(error);
          }
        };
        void pool.add(task, { priority });
      });
    },
    async close() {
      closed = new Error('the limiter is closed');
      for (const giveUp of waiting) giveUp(closed);
      resumeMs = Number.POSITIVE_INFINITY;
      cancel();
      pool.start(); // the given-up tasks run through
      await pool.onIdle();
    },
  };
}
