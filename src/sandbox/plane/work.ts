import type { Timers } from '../../work/clock.ts';
import { isStatusError } from '../api/status.ts';

/** Keys to look at soon, each once however often it is added. */
export interface Work {
  add(key: string): void;
  close(): void;
}

/**
 * Runs keys one after the other on the injected timers, not within the write that added them: other clients see the
 * steps of a controller as they see those of a real one. `delayMs`: how late (0: at once, but never within the call).
 */
export function createWork(timers: Timers, run: (key: string) => void, delayMs = 0): Work {
  const keys = new Set<string>();
  let cancel: (() => void) | undefined;
  /** What the server refuses (a namespace that ends, an object that is gone) is over: the change that made it so adds the key again. */
  const attempt = (key: string): void => {
    try {
      run(key);
    } catch (error) {
      if (!isStatusError(error)) throw error;
    }
  };
  const drain = (): void => {
    cancel = undefined;
    for (const key of [...keys]) {
      keys.delete(key);
      attempt(key);
    }
  };
  return {
    add(key) {
      keys.add(key);
      cancel ??= timers.after(delayMs, drain);
    },
    close() {
      cancel?.();
      keys.clear();
    },
  };
}
