import type { Bucket } from './settings.ts';

/** Token buckets on a clock. */
export interface Throttle {
  /** Takes a token; false when there is none. */
  take(key: string, bucket: Bucket): boolean;
}

export function createThrottle(nowMs: () => number): Throttle {
  const buckets = new Map<string, { tokens: number; atMs: number }>();
  return {
    take(key, { size, perSecond }) {
      const atMs = nowMs();
      const old = buckets.get(key) ?? { tokens: size, atMs };
      const tokens = Math.min(size, old.tokens + ((atMs - old.atMs) / 1000) * perSecond);
      const isFree = tokens >= 1;
      buckets.set(key, { tokens: isFree ? tokens - 1 : tokens, atMs });
      return isFree;
    },
  };
}
