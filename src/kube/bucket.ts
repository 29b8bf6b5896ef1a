import type { Clock } from '../core/provider.ts';

export interface BucketOptions {
  readonly clock: Clock;
  /** Per second in the long run; 0 or absent: no limit. */
  readonly qps?: number;
  /** At once, after a pause; at least 1; `qps` rounded up when 0 or absent. */
  readonly burst?: number;
}

/** Token bucket in the order of arrival: each call takes the next free moment, and resolves then. */
export function createBucket({ qps = 0, burst = 0, clock }: BucketOptions): (signal: AbortSignal) => Promise<void> {
  if (qps <= 0) return async () => {};
  const spacingMs = 1000 / qps;
  const aheadMs = (Math.max(1, burst > 0 ? burst : Math.ceil(qps)) - 1) * spacingMs;
  /** When the next one is due in an even flow; calls may run `aheadMs` ahead of it. */
  let dueMs = 0;
  return async (signal) => {
    const nowMs = clock.monotonicMs();
    dueMs = Math.max(dueMs, nowMs);
    const waitMs = dueMs - aheadMs - nowMs;
    dueMs += spacingMs;
    if (waitMs > 0) await clock.sleep(waitMs, signal);
  };
}
