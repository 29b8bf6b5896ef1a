import type { Clock } from '../core/provider.ts';

/** Timers, injected like the clock, so that a test owns both. */
export interface Timers {
  /** Runs `run` once, `ms` from now (0 or less: as soon as possible), unless the returned function is called before. */
  after(ms: number, run: () => void): () => void;
}

/** Node fires a longer timer after 1 ms (setTimeout, Node documentation). */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** The machine's clock and timers. A timer keeps the process alive until it has fired or is cancelled. */
export const systemClock: Clock & Timers = {
  now: () => Date.now(),
  monotonicMs: () => performance.now(),
  after,
  sleep: (ms, signal) => sleepOn(systemClock, ms, signal),
};

/** `Clock.sleep` on any timers: resolves after `ms`; rejects with the signal's reason, at once when it aborts. */
export function sleepOn(timers: Timers, ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted();
    const abort = (): void => {
      cancel();
      reject(signal.reason);
    };
    const cancel = timers.after(ms, () => {
      signal.removeEventListener('abort', abort);
      resolve();
    });
    signal.addEventListener('abort', abort, { once: true });
  });
}

function after(ms: number, run: () => void): () => void {
  const dueMs = performance.now() + ms;
  const arm = (): NodeJS.Timeout =>
    setTimeout(fire, Math.min(LONGEST_TIMER_MS, Math.max(0, Math.ceil(dueMs - performance.now()))));
  // Node counts from the start of the loop's turn and so fires up to a millisecond early.
  const fire = (): void => {
    if (performance.now() < dueMs) timer = arm();
    else run();
  };
  let timer = arm();
  return () => clearTimeout(timer);
}
