/**
 * The catalogue of errors that a person can meet. A code never changes its meaning; docs/errors.md has one section per
 * code, and a test compares both and finds every code used in `src` or `providers`.
 */

/** Decides the retry, once, in the reconcile loop (work/loop.ts). */
export type ErrorKind = 'invalid' | 'denied' | 'quota' | 'throttled' | 'conflict' | 'transient';

export interface ErrorEntry {
  readonly kind: ErrorKind;
  /** What is wrong, in one sentence. */
  readonly title: string;
  /** What to do about it. */
  readonly help: string;
}

/** code -> meaning; sorted by code. */
export const errorCatalogue = {
  FL_KUBE_REQUEST: {
    kind: 'transient',
    title: 'A request to the API server failed.',
    help: 'Look at the message for the status; Fairlead tries again by itself.',
  },
} as const satisfies Record<`FL_${string}`, ErrorEntry>;

/** Every code of the catalogue. A third party's provider uses its own prefix. */
export type ErrorCode = keyof typeof errorCatalogue;

export interface ErrorDetails {
  readonly cause?: unknown;
  /** Wait at least this long before the next try. */
  readonly retryAfterMs?: number;
  /** Spec path or annotation at fault: 'spec.loadBalancerSourceRanges[1]'. Expected for 'invalid'. */
  readonly field?: string;
}

/** What a provider, or the code that plans for it, throws: classified once, at the border where it arose. */
export class ProviderError extends Error {
  override readonly name = 'ProviderError';
  readonly kind: ErrorKind;
  /** Stable, from the catalogue: 'FL_SOURCE_RANGE_INVALID'. */
  readonly code: string;
  readonly retryAfterMs: number | undefined;
  readonly field: string | undefined;

  constructor(kind: ErrorKind, code: string, message: string, details: ErrorDetails = {}) {
    super(message, { cause: details.cause });
    this.kind = kind;
    this.code = code;
    this.retryAfterMs = details.retryAfterMs;
    this.field = details.field;
  }
}

/** By shape, not by class: a third party's provider may bring its own copy of the class. */
export const isProviderError = (error: unknown): error is ProviderError =>
  error instanceof Error && error.name === 'ProviderError' && 'kind' in error;

/** A ProviderError of a catalogued code, with the kind that the catalogue gives it. */
export function failure(code: ErrorCode, message: string, details: ErrorDetails = {}): ProviderError {
  return new ProviderError(errorCatalogue[code].kind, code, message, details);
}
