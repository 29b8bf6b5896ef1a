import type { ServiceName } from './operations.ts';

/** A call as it arrives, before anything has happened. */
export interface FakeCall {
  /** Counted from 0 over all calls. */
  readonly number: number;
  readonly service: ServiceName;
  readonly operation: string;
  readonly write: boolean;
  readonly input: Readonly<Record<string, unknown>>;
  /** Monotonic ms of its arrival. */
  readonly atMs: number;
}
/** A call that has ended. */
export interface RecordedCall extends FakeCall {
  /** 'ok', AWS's error code, or how the connection failed: 'reset', 'garbage', 'hang', 'aborted'. */
  readonly outcome: string;
}

/**
 * What goes wrong with a call; without `as` only its delay. `at: 'after'`: it takes effect all the same, and only its answer
 * is replaced.
 */
export interface Fault {
  readonly at?: 'before' | 'after';
  /**
   * An error of AWS; 'reset': the connection breaks; 'garbage': a proxy's HTML page with status 502; 'hang': no answer until
   * the caller gives up.
   */
  readonly as?:
    | { readonly code: string; readonly message?: string; readonly status?: number }
    | 'reset'
    | 'garbage'
    | 'hang';
  /** Passes at that moment, too. */
  readonly delayMs?: number;
  /** Called as the fault strikes, the effect included when `at` is 'after': kill the process here. */
  readonly onStrike?: () => void;
}

/** AWS's word for "too many calls", which differs by service. */
export function throttled(service: ServiceName): NonNullable<Exclude<Fault['as'], string>> {
  switch (service) {
    case 'elb':
      return { code: 'Throttling', message: 'Rate exceeded' };
    case 'ec2':
      return { code: 'RequestLimitExceeded', message: 'Request limit exceeded.', status: 503 };
    case 'tagging':
      return { code: 'ThrottledException', message: 'Rate exceeded' };
    default:
      return service satisfies never;
  }
}
