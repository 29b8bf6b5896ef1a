import PQueue from 'p-queue';
import { failure, isProviderError } from '../core/errors.ts';
import type { Call, ClassLimit, Clock, Limits } from '../core/provider.ts';
import { type Circuit, createCircuit, type Ending } from './circuit.ts';
import type { Timers } from './clock.ts';
import { createPace } from './pace.ts';

export interface LimiterOptions {
  readonly clock: Clock & Timers;
  readonly classes: Limits;
  /** A circuit breaker for each class. Without it failures stop nothing. */
  readonly circuits?: true;
  /** How long all of a class pauses after a `throttled` error that does not say. Default 1000. */
  readonly pauseMs?: number;
  /** Called as each request starts, with the seconds that it waited here. */
  readonly waited?: (seconds: number) => void;
  /** The circuit of a class opened, or did not close at a probe. */
  readonly opened?: (apiClass: string) => void;
}

export interface Limiter {
  /**
   * What `Call.limit` is, for calls that end with this signal. Runs `fn` when its class has room, higher priorities
   * first (default 0), and again when it was throttled, as often as its class allows. Rejects with what `fn` rejects
   * with; with FL_CIRCUIT_OPEN without running it; or with the signal's reason if that aborts while the request waits. A
   * request that has started keeps its place until it ends, whatever the signal does.
   */
  for(signal: AbortSignal): Call['limit'];
  /** [class, starts per second that it allows now], of the classes that have a limit of starts. */
  rates(): IteratorObject<readonly [string, number], void>;
  /** Starts nothing more; resolves when what runs has ended. Requests that wait reject. */
  close(): Promise<void>;
}

/**
 * The provider's limiter: a p-queue for each API class. A `throttled` error halves the rate of its class (pace.ts), which
 * starts nothing until the error's `retryAfterMs` is over.
 *
 * The window is ours and runs on the monotonic clock. p-queue's own uses wall time, so a clock that is set back by n
 * seconds would stop all requests for n seconds; and its rate cannot be changed.
 */
export function createLimiter(options: LimiterOptions): Limiter {
  const lanes = new Map(
    Object.entries(options.classes).map(([name, limit]) => [name, createLane(name, limit, options)]),
  );
  const fallback = lanes.get('default') as Lane;

  return {
    for: (signal) => (fn, how) => {
      const lane = lanes.get(how?.class ?? 'default') ?? fallback;
      return lane.run(signal, how?.priority ?? 0, fn);
    },
    *rates() {
      for (const [name, lane] of lanes) {
        const perSecond = lane.perSecond();
        if (perSecond !== undefined) yield [name, perSecond];
      }
    },
    async close() {
      await Promise.all(lanes.values().map((lane) => lane.close()));
    },
  };
}

interface Lane {
  run<T>(signal: AbortSignal, priority: number, fn: () => Promise<T>): Promise<T>;
  perSecond(): number | undefined;
  close(): Promise<void>;
}

/** A request that was throttled goes before those of its priority that have not been tried yet. */
const AGAIN = 0.5;

function createLane(
  name: string,
  { concurrency, starts, retries = 0 }: ClassLimit,
  { clock, circuits, pauseMs = 1000, waited, opened }: LimiterOptions,
): Lane {
  const pool = new PQueue({ concurrency });
  const pace = createPace();
  const circuit: Circuit | undefined = circuits === true ? createCircuit(clock, () => opened?.(name)) : undefined;
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
    if (startedMs.length > starts.max) startedMs.shift();
    holdBack(starts);
  }

  /**
   * By the window and, at less than the whole pace, by even gaps: a backend that throttles has no room for a window's
   * worth at once.
   */
  function holdBack({ max, intervalMs }: NonNullable<ClassLimit['starts']>): void {
    const [first] = startedMs;
    if (first !== undefined && startedMs.length === max) holdUntil(first + intervalMs);
    const last = startedMs.at(-1);
    const share = pace.share(clock.monotonicMs());
    if (last !== undefined && share < 1) holdUntil(last + intervalMs / (max * share));
  }

  function slowDown(startMs: number, retryAfterMs = pauseMs): void {
    const nowMs = clock.monotonicMs();
    pace.throttled(startMs, nowMs);
    holdUntil(nowMs + retryAfterMs);
    if (starts !== undefined) holdBack(starts);
  }

  /** One place in the queue: `start` is run when its time has come, `giveUp` when the request must not wait any longer. */
  function enqueue(
    signal: AbortSignal,
    priority: number,
    start: (waitedMs: number) => Promise<void>,
    giveUp: (why: unknown) => void,
  ) {
    const askedMs = clock.monotonicMs();
    let given = false;
    const leave = (): void => {
      given = true;
      waiting.delete(drop);
      signal.removeEventListener('abort', onAbort);
    };
    const drop = (why: unknown): void => {
      leave();
      giveUp(why);
    };
    const onAbort = (): void => drop(signal.reason);
    waiting.add(drop);
    signal.addEventListener('abort', onAbort);
    const task = async (): Promise<void> => {
      if (given) return; // while it waited; it does not count as a start
      leave();
      await start(clock.monotonicMs() - askedMs);
    };
    void pool.add(task, { priority });
  }

  return {
    run(signal, priority, fn) {
      return new Promise((resolve, reject) => {
        signal.throwIfAborted();
        if (closed !== undefined) throw closed;
        let left = retries;
        const start = async (waitedMs: number): Promise<void> => {
          const entry = circuit?.enter();
          if (entry !== undefined && 'refusedForMs' in entry) {
            reject(refusal(name, entry.refusedForMs));
            return;
          }
          waited?.(waitedMs / 1000);
          const startMs = clock.monotonicMs();
          countStart();
          try {
            const result = await fn();
            entry?.end('answered');
            resolve(result);
          } catch (error) {
            entry?.end(endingOf(error, signal));
            const isThrottled = isProviderError(error) && error.kind === 'throttled';
            if (isThrottled) slowDown(startMs, error.retryAfterMs);
            if (!isThrottled || left === 0 || closed !== undefined) return reject(error);
            if (signal.aborted) return reject(signal.reason);
            left -= 1;
            enqueue(signal, priority + AGAIN, start, reject);
          }
        };
        enqueue(signal, priority, start, reject);
      });
    },
    perSecond: () =>
      starts === undefined ? undefined : (starts.max / starts.intervalMs) * 1000 * pace.share(clock.monotonicMs()),
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

/** Whatever a backend refuses, it answers; only what a provider could not classify, or got no answer to, speaks against it. */
function endingOf(error: unknown, signal: AbortSignal): Ending {
  if (signal.aborted || !isProviderError(error)) return 'unknown';
  return error.kind === 'transient' ? 'failed' : 'answered';
}

function refusal(name: string, retryAfterMs: number): Error {
  const message = `requests of class ${name} failed several times in a row; none is sent for ${Math.ceil(retryAfterMs)} ms`;
  return failure('FL_CIRCUIT_OPEN', message, { retryAfterMs });
}
