export interface Exponential {
  readonly baseMs: number;
  readonly capMs: number;
  /** Share added at most: 0.2 gives up to 20 % more, also above the cap. Default 0. */
  readonly jitter?: number;
  /** Default Math.random; injected where a run must repeat. */
  readonly random?: () => number;
}

/**
 * Delay in ms after so many failures in a row, the last one included: 1 gives `baseMs`, each further one doubles it,
 * `capMs` ends that (client-go's ItemExponentialFailureRateLimiter).
 */
export function exponential({
  baseMs,
  capMs,
  jitter = 0,
  random = Math.random,
}: Exponential): (failures: number) => number {
  return (failures) => {
    // 2 ** 1024 is Infinity, which the cap ends as well.
    const delayMs = Math.min(capMs, baseMs * 2 ** Math.max(0, failures - 1));
    return delayMs * (1 + jitter * random());
  };
}
