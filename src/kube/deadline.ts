import type { Timers } from '../work/clock.ts';

/** A signal that ends with its parent or when its time is over, whichever is first. */
export interface Deadline {
  readonly signal: AbortSignal;
  /** Takes timer and listener away. To be called on every path; the signal then stays as it is. */
  end(): void;
}

/** `reason` makes the signal's reason when the time is over. Injected timers instead of AbortSignal.timeout, which also refuses fractions. */
export function createDeadline(parent: AbortSignal, timers: Timers, ms: number, reason: () => Error): Deadline {
  const controller = new AbortController();
  const follow = (): void => controller.abort(parent.reason);
  const cancel = timers.after(ms, () => {
    parent.removeEventListener('abort', follow);
    controller.abort(reason());
  });
  if (parent.aborted) follow();
  else parent.addEventListener('abort', follow, { once: true });
  return {
    signal: controller.signal,
    end() {
      cancel();
      parent.removeEventListener('abort', follow);
    },
  };
}
