import type { Condition } from '../objects.ts';

export const NETWORK_UNAVAILABLE = 'NetworkUnavailable';
/** Reasons by which the condition is known to be ours (cloud-provider's route controller). */
const OURS: ReadonlySet<string> = new Set(['RouteCreated', 'NoRouteCreated']);
/** Who sets the condition True again so soon after us is somebody who means it. */
const CONTEST_MS = 600_000;

/** How far the routes of a node are: 'failed' was tried, 'pending' was not yet, or is not known yet. */
export type RouteState = 'done' | 'pending' | 'failed';

/** What is remembered of one node, and need not outlive the process. */
export interface ConditionMemory {
  /** Monotonic ms when another's True was set to False. */
  readonly overruledMs?: number;
  /** It was set again: left alone until its writer takes it back. */
  readonly contested?: true;
}
export interface ConditionDecision {
  /** What to write; absent: nothing. */
  readonly condition?: Required<Pick<Condition, 'status' | 'reason' | 'message'>>;
  /** True: this write overrules another's. */
  readonly overrules?: true;
  /** True: the contest begins now, and is to be told. */
  readonly contested?: true;
}

/**
 * What the condition NetworkUnavailable of a node with pod CIDRs becomes (controllers.md, golden cases). A CNI's own False is
 * left alone. Its True is overruled once when the routes are there; set again within 10 min, it is left alone as well.
 */
export function networkUnavailable(
  now: Condition | undefined,
  state: RouteState,
  { memory = {}, nowMs }: { readonly memory?: ConditionMemory; readonly nowMs: number },
): ConditionDecision {
  if (now === undefined) return { condition: state === 'done' ? available : unavailable(state) };
  const isOurs = OURS.has(now.reason ?? '');
  switch (state) {
    case 'pending':
      return {};
    case 'failed':
      return isOurs && !isAs(now, unavailable(state)) ? { condition: unavailable(state) } : {};
    case 'done':
      if (isOurs) return isAs(now, available) ? {} : { condition: available };
      return now.status === 'False' ? {} : overruling(memory, nowMs);
    default:
      return state satisfies never;
  }
}

/** Whether the contest is over: whoever set the condition True has taken it back. */
export const isSettled = (now: Condition | undefined): boolean => now?.status !== 'True' && now?.status !== 'Unknown';

const available = {
  status: 'False',
  reason: 'RouteCreated',
  message: 'RouteController created a route',
} as const;

function unavailable(state: 'pending' | 'failed') {
  return {
    status: 'True',
    reason: 'NoRouteCreated',
    message:
      state === 'failed' ? 'RouteController failed to create a route' : 'RouteController has not created a route yet',
  } as const;
}

function overruling({ overruledMs, contested }: ConditionMemory, nowMs: number): ConditionDecision {
  if (contested === true) return {};
  if (overruledMs !== undefined && nowMs - overruledMs < CONTEST_MS) return { contested: true };
  return { condition: available, overrules: true };
}

/** The message may differ: it is for people. */
const isAs = (now: Condition, wanted: Pick<Condition, 'status' | 'reason'>): boolean =>
  now.status === wanted.status && now.reason === wanted.reason;
