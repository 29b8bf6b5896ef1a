import { type ErrorEntry, type ErrorKind, errorCatalogue, isProviderError } from '../errors.ts';
import { deleteFailed, type EventText, syncFailed, updateFailed, warning } from './events.ts';

/** An error reduced to what the reconcile loop and the conditions need. */
export interface Failure {
  readonly kind: ErrorKind;
  readonly code: string;
  readonly message: string;
  /** Spec path or annotation at fault. */
  readonly field?: string;
  readonly retryAfterMs?: number;
  /** False: nothing stands any more, for certain (`ErrorDetails.exists`). */
  readonly exists?: false;
}

export interface FailureHistory {
  /** Failures in a row of this key, this one included: 1 for the first. */
  readonly failures: number;
  /** Since the last progress of this key, in ms. */
  readonly stuckMs: number;
  /** What was being done: 'hosts' is a change of targets only. */
  readonly during: 'ensure' | 'remove' | 'hosts';
  /** Names for `UpdateLoadBalancerFailed`. */
  readonly nodes?: readonly string[];
}

/** What an error does to the conditions; `remove` leaves them alone. */
export interface ConditionEffect {
  /** 'complete': nothing more is tried by itself soon. 'stays': work goes on. */
  readonly provisioning: 'complete' | 'stays';
  /** Reason of Serving False while no load balancer exists; absent: not said yet. */
  readonly serving?: 'Invalid' | 'Unsupported' | 'Infrastructure';
  /** While one exists, it is the last good one. */
  readonly stale?: true;
}

export interface ErrorVerdict {
  readonly failure: Failure;
  /** `<kind>: <field or code>: <text>`, for event, condition and log. */
  readonly text: string;
  readonly event?: EventText;
  readonly effect: ConditionEffect;
  /** 'onChange': not before the object changes or the drift check comes; 'backoff': by the queue; else exactly so many ms. */
  readonly retry: 'onChange' | 'backoff' | number;
}

/** Retry of what a person with rights or money must mend. */
const SLOW_RETRY_MS = 300_000;
/** Being throttled is no news before. */
const THROTTLED_NEWS_MS = 300_000;
/** Conflicts and transient errors are no news before. */
const NEWS_AFTER = 3;

/** The table of error kinds (controllers.md, "Service conditions"), in one place. */
export function verdictOf(failure: Failure, history: FailureHistory): ErrorVerdict {
  const text = textOf(failure);
  const event = isNews(failure, history) ? eventFor(failure, history, text) : undefined;
  return {
    failure,
    text,
    ...(event === undefined ? {} : { event }),
    effect: effectOf(failure, history),
    retry: retryOf(failure),
  };
}

/** Any thrown value. What was not classified at its border is a bug or an outage: transient, code FL_INTERNAL. */
export function failureOf(error: unknown): Failure {
  if (!isProviderError(error)) {
    const message = error instanceof Error ? error.message : String(error);
    return { kind: errorCatalogue.FL_INTERNAL.kind, code: 'FL_INTERNAL', message };
  }
  const { kind, code, message, field, retryAfterMs, exists } = error;
  return {
    kind,
    code,
    message,
    ...(field === undefined ? {} : { field }),
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
    ...(exists === false ? { exists } : {}),
  };
}

/** Codes that end so say that a feature is missing, not that the input is wrong; a third party's too. */
const isUnsupported = (code: string): boolean => code.endsWith('_UNSUPPORTED');

function isNews({ kind, code }: Failure, { failures, stuckMs }: FailureHistory): boolean {
  if (reasonOf(code) !== undefined) return true;
  switch (kind) {
    case 'invalid':
    case 'denied':
    case 'quota':
      return true;
    case 'throttled':
      return stuckMs >= THROTTLED_NEWS_MS;
    case 'conflict':
    case 'transient':
      return failures >= NEWS_AFTER;
    default:
      return kind satisfies never;
  }
}

function eventFor({ code }: Failure, { during, nodes = [] }: FailureHistory, text: string): EventText {
  if (during === 'remove') return deleteFailed(text);
  const reason = reasonOf(code);
  if (reason !== undefined) return warning(reason, text);
  return during === 'hosts' ? updateFailed(text, nodes) : syncFailed(text);
}

/** Some codes have an event of their own (MetalLB's `AllocationFailed`, `ForeignResource`), in place of the generic one. */
function reasonOf(code: string): string | undefined {
  const catalogue: Readonly<Record<string, ErrorEntry>> = errorCatalogue;
  return Object.hasOwn(catalogue, code) ? catalogue[code]?.event : undefined;
}

function effectOf({ kind, code }: Failure, { failures, during }: FailureHistory): ConditionEffect {
  if (during === 'remove') return { provisioning: 'stays' };
  switch (kind) {
    case 'invalid':
      return { provisioning: 'complete', serving: isUnsupported(code) ? 'Unsupported' : 'Invalid', stale: true };
    case 'denied':
    case 'quota':
      return { provisioning: 'complete', serving: 'Infrastructure', stale: true };
    case 'throttled':
    case 'conflict':
      return { provisioning: 'stays' };
    case 'transient':
      return failures < NEWS_AFTER ? { provisioning: 'stays' } : { provisioning: 'stays', serving: 'Infrastructure' };
    default:
      return kind satisfies never;
  }
}

/** What the backend asked for is obeyed on every path. */
function retryOf({ kind, retryAfterMs }: Failure): ErrorVerdict['retry'] {
  if (retryAfterMs !== undefined) return retryAfterMs;
  switch (kind) {
    case 'invalid':
      return 'onChange';
    case 'denied':
    case 'quota':
      return SLOW_RETRY_MS;
    case 'throttled':
    case 'conflict':
    case 'transient':
      return 'backoff';
    default:
      return kind satisfies never;
  }
}

/** The code stands at the end when the field has its place, so that docs/errors.md is found from the event. */
function textOf({ kind, code, field, message }: Failure): string {
  if (field === undefined) return `${kind}: ${code}: ${message}`;
  const text = message.startsWith(`${field}: `) ? message : `${field}: ${message}`;
  return `${kind}: ${text} (${code})`;
}
