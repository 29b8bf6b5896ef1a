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
  FL_KUBE_CONFLICT: {
    kind: 'conflict',
    title: 'The object changed on the API server since it was read (409 Conflict).',
    help: 'Nothing to do: Fairlead reads it again and decides anew.',
  },
  FL_KUBE_DENIED: {
    kind: 'denied',
    title: 'The API server refused a request for lack of rights (401 or 403).',
    help: 'Compare the ClusterRole of Fairlead with deploy/kustomize/base.',
  },
  FL_KUBE_EXISTS: {
    kind: 'conflict',
    title: 'An object of that name exists already (409 AlreadyExists).',
    help: 'Nothing to do: Fairlead reads it and decides anew.',
  },
  FL_KUBE_INVALID: {
    kind: 'invalid',
    title: 'The API server refused an object as invalid (400 or 422).',
    help: 'The message names the field. If Fairlead wrote it, this is a bug or a CRD of another version.',
  },
  FL_KUBE_NOT_FOUND: {
    kind: 'transient',
    title: 'An object, or its kind, does not exist on the API server (404).',
    help: 'If it is a kind, apply the CRDs; otherwise Fairlead decides anew by itself.',
  },
  FL_KUBE_NOT_LEADER: {
    kind: 'transient',
    title: 'A write was refused here, because this process does not hold the lease.',
    help: 'Nothing to do: the leader does the work.',
  },
  FL_KUBE_REQUEST: {
    kind: 'transient',
    title: 'The API server failed to answer a request (5xx).',
    help: 'Fairlead tries again by itself. If it lasts, look at the health of the API server.',
  },
  FL_KUBE_THROTTLED: {
    kind: 'throttled',
    title: 'The API server asks to slow down (429).',
    help: 'Fairlead waits as long as the server asked. If it lasts, look at its priority and fairness settings.',
  },
  FL_KUBE_UNREACHABLE: {
    kind: 'transient',
    title: 'No answer came to a request: it may or may not have taken effect.',
    help: 'Fairlead reads what is there and decides anew. If it lasts, look at the network to the API server.',
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
