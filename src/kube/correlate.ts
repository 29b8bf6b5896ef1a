import { createRecent } from './recent.ts';

/** What of an event decides whether it is like another. */
export interface Likeness {
  /** Of the object that it is about. */
  readonly uid: string;
  readonly type: string;
  readonly reason: string;
  readonly message: string;
  /** Stays itself, word for word: neither combined nor filtered. */
  readonly keep?: true;
}

export interface Correlator {
  /** Events with equal keys are one Event whose count grows. `message` says when several were combined. */
  combine(event: Likeness, nowMs: number): { readonly key: string; readonly message: string };
  /** False: too many about this object. Each call that is answered with true uses up one. */
  allow(event: Likeness, nowMs: number): boolean;
}

// client-go's figures (tools/record/events_cache.go).
const STATE_SIZE = 4096;
const ALIKE = 10;
const ALIKE_MS = 600_000;
const BURST = 25;
const REFILL_MS = 300_000;

/** Keeps one noisy object from filling the API server: many different messages become one Event, and their flow is cut. */
export function createCorrelator(): Correlator {
  const groups = createRecent<Set<string>>({ size: STATE_SIZE, ageMs: ALIKE_MS }); // uid, type, reason -> messages
  const buckets = createRecent<Bucket>({ size: STATE_SIZE, ageMs: BURST * REFILL_MS }); // uid -> what is left

  return {
    combine(event, nowMs) {
      const { uid, type, reason, message, keep } = event;
      const group = `${uid} ${type} ${reason}`;
      if (keep === true) return { key: `${group} =${message}`, message };
      const pattern = message.replaceAll(/\d+/g, '#');
      const messages = groups.get(group, nowMs) ?? new Set();
      // Not the whole flood: one more than the limit is enough to know.
      if (messages.size < ALIKE) messages.add(pattern);
      groups.set(group, messages, nowMs);
      return messages.size < ALIKE
        ? { key: `${group} ${pattern}`, message }
        : { key: `${group} +`, message: `(combined from similar events): ${message}` };
    },
    allow({ uid, keep }, nowMs) {
      if (keep === true) return true;
      const { left, atMs } = buckets.get(uid, nowMs) ?? { left: BURST, atMs: nowMs };
      const now = Math.min(BURST, left + (nowMs - atMs) / REFILL_MS);
      buckets.set(uid, { left: now >= 1 ? now - 1 : now, atMs: nowMs }, nowMs);
      return now >= 1;
    },
  };
}

interface Bucket {
  readonly left: number;
  readonly atMs: number;
}
