import type { Timers } from '../../work/clock.ts';

/** Wakes one waiter; rung while nobody waits, the next wait ends at once. However often it rings, that is once. */
export interface Bell {
  ring(): void;
  /** Resolves when the bell rings, after `ms`, or when the signal aborts. */
  wait(ms: number, signal: AbortSignal): Promise<void>;
}

export function createBell(timers: Timers): Bell {
  let rung = false;
  let wake: (() => void) | undefined;
  return {
    ring() {
      rung = true;
      wake?.();
    },
    async wait(ms, signal) {
      if (!rung && !signal.aborted) {
        const { promise, resolve } = Promise.withResolvers<void>();
        wake = () => resolve();
        const cancel = timers.after(ms, resolve);
        signal.addEventListener('abort', wake, { once: true });
        await promise;
        signal.removeEventListener('abort', wake);
        cancel();
        wake = undefined;
      }
      rung = false;
    },
  };
}
