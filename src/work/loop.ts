import { isProviderError } from '../core/errors.ts';
import type { Clock } from '../core/provider.ts';
import type { Outcome } from './queue.ts';

/** When a failed key runs again: never by itself, after exactly so long, or after its own growing delay. */
export type Retry = 'onChange' | 'backoff' | { readonly afterMs: number };

/** What is known of a key's failures when one more is added. */
export interface Failing {
  /** Failures in a row, this one included; waiting (`pending`) neither adds nor forgets. */
  readonly failures: number;
  /** Since the first failure of the row, in ms. */
  readonly stuckMs: number;
}

export interface LoopOptions {
  readonly clock: Clock;
  /** Failures in a row, from 1, to ms. */
  readonly backoff: (failures: number) => number;
  /** Throws for failures, any error; returns `{requeueAfterMs}` for a wait, nothing when settled. */
  readonly reconcile: (key: string, signal: AbortSignal) => Promise<Outcome>;
  /** Tells the failure to people (event, condition) and decides the retry; the one place that looks at an error's kind. */
  readonly failed: (key: string, error: unknown, failing: Failing, signal: AbortSignal) => Promise<Retry>;
  /** Counts the end of a run: 'ok', 'pending', or the error's kind. */
  readonly ended?: (result: string) => void;
}

/**
 * The reconciler of a queue that never throws: it turns failures into waits, by kind (docs/errors.md). Errors after
 * `signal` aborted are the end of the work and neither told nor counted.
 */
export function createLoop(options: LoopOptions): { run(key: string, signal: AbortSignal): Promise<Outcome> } {
  const { clock, backoff, reconcile, failed, ended } = options;
  const rows = new Map<string, { failures: number; sinceMs: number }>(); // key -> its failures in a row

  async function settle(key: string, error: unknown, signal: AbortSignal): Promise<Outcome> {
    const nowMs = clock.monotonicMs();
    const row = rows.get(key) ?? { failures: 0, sinceMs: nowMs };
    row.failures += 1;
    rows.set(key, row);
    const retry = await failed(key, error, { failures: row.failures, stuckMs: nowMs - row.sinceMs }, signal);
    if (retry === 'onChange') return undefined;
    const afterMs = retry === 'backoff' ? backoff(row.failures) : retry.afterMs;
    const leastMs = isProviderError(error) ? (error.retryAfterMs ?? 0) : 0;
    return { requeueAfterMs: Math.max(afterMs, leastMs), failed: true };
  }

  return {
    async run(key, signal) {
      try {
        const outcome = await reconcile(key, signal);
        if (outcome === undefined) rows.delete(key);
        ended?.(outcome === undefined ? 'ok' : 'pending');
        return outcome;
      } catch (error) {
        if (signal.aborted) return undefined;
        ended?.(isProviderError(error) ? error.kind : 'transient');
        return await settle(key, error, signal);
      }
    },
  };
}
