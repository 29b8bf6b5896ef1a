/**
 * What a backend takes at the moment of the rate that it was said to take: halved by each `throttled` answer, raised by
 * time without one (additive increase, multiplicative decrease, as TCP's congestion avoidance, RFC 5681 3.1).
 */
export interface Pace {
  /** 0 < share <= 1. */
  share(nowMs: number): number;
  /**
   * A request that started at `startedMs` was throttled. One that started before the last cut says nothing new: of fifty
   * side by side that are throttled together the first halves, the others do not.
   */
  throttled(startedMs: number, nowMs: number): void;
}

/** From half back to the whole takes half of it. */
const RAISED_FROM_NOTHING_MS = 120_000;
/** However often it is throttled: somebody has to find out that it is over. */
const LEAST = 1 / 64;

export function createPace(): Pace {
  let cutMs = Number.NEGATIVE_INFINITY;
  let afterCut = 1; // the share at cutMs

  const share = (nowMs: number): number =>
    afterCut === 1 ? 1 : Math.min(1, afterCut + (nowMs - cutMs) / RAISED_FROM_NOTHING_MS);

  return {
    share,
    throttled(startedMs, nowMs) {
      if (startedMs < cutMs) return;
      afterCut = Math.max(LEAST, share(nowMs) / 2);
      cutMs = nowMs;
    },
  };
}
