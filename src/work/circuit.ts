import type { Clock } from '../core/provider.ts';

/** How a request ended, as far as it says something about the backend. */
export type Ending =
  /** By whatever answer: it is alive. */
  | 'answered'
  | 'failed'
  /** Aborted before an answer, or failed on our side. */
  | 'unknown';

/** May be sent, and tells how it ended; or not, for so long. */
export type Entry = { readonly end: (how: Ending) => void } | { readonly refusedForMs: number };

export interface Circuit {
  /** Asked by each request before it starts. */
  enter(): Entry;
}

/** Failures in a row that open it. */
const FAILURES = 5;
/** The first time that it stays open; doubled by each probe that fails. */
const OPEN_MS = 1000;
const LONGEST_MS = 30_000;
/** Who comes while a probe is under way is to come again after this. */
const PROBED_MS = 1000;

/**
 * A circuit breaker: a backend that does not work is left alone for a while, and who asks knows at once instead of after a
 * time-out. When the while is over one request goes through as a probe; its answer closes the circuit.
 */
export function createCircuit(clock: Pick<Clock, 'monotonicMs'>, opened: () => void = () => {}): Circuit {
  let inARow = 0; // failures since the last answer, while closed
  let openUntilMs: number | undefined; // undefined: closed
  let openMs = OPEN_MS;
  let probe: object | undefined; // the request that probes, while open

  function open(forMs: number): void {
    openMs = forMs;
    openUntilMs = clock.monotonicMs() + forMs;
    probe = undefined;
    opened();
  }

  function close(): void {
    inARow = 0;
    openUntilMs = undefined;
    openMs = OPEN_MS;
    probe = undefined;
  }

  function failed(isProbe: boolean): void {
    if (isProbe) open(Math.min(LONGEST_MS, 2 * openMs));
    if (openUntilMs !== undefined) return; // it began before the circuit opened: known already
    inARow += 1;
    if (inARow >= FAILURES) open(OPEN_MS);
  }

  return {
    enter() {
      const request = {};
      if (openUntilMs !== undefined) {
        const leftMs = openUntilMs - clock.monotonicMs();
        if (leftMs > 0) return { refusedForMs: leftMs };
        if (probe !== undefined) return { refusedForMs: PROBED_MS };
        probe = request;
      }
      return {
        end(how) {
          const isProbe = probe === request;
          if (how === 'answered') close();
          else if (how === 'failed') failed(isProbe);
          else if (isProbe) probe = undefined; // the next one probes
        },
      };
    },
  };
}
