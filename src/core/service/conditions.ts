import type { Condition, ServiceIngress } from '../objects.ts';
import type { Pending, Shortfall } from '../provider.ts';
import type { ErrorVerdict } from './retry.ts';

/** The only types that Fairlead writes on a Service (draft KEP-4631). */
export const CONDITION_TYPES = ['LoadBalancerProvisioning', 'LoadBalancerServing', 'LoadBalancerDegraded'] as const;
export type ConditionType = (typeof CONDITION_TYPES)[number];

/** What a run came to, as far as conditions show it. */
export type Stage =
  /** About to make its first write to the cloud. */
  | { readonly state: 'started' }
  | Pick<Pending, 'state' | 'reason'>
  | { readonly state: 'ready'; readonly ingress: readonly ServiceIngress[]; readonly shortfalls: readonly Shortfall[] }
  | { readonly state: 'error'; readonly verdict: ErrorVerdict };

export interface Shown {
  readonly conditions: readonly Condition[];
  /** A load balancer stands, whatever its spec: the published ingress unless the caller knows better. */
  readonly exists: boolean;
  /** A relevant spec change was seen since the last patch. */
  readonly specChanged: boolean;
}

/** The content of one condition; its stamp is the patch's business. */
export interface Statement {
  readonly status: 'True' | 'False';
  readonly reason: string;
  readonly message: string;
  /** The message varies by itself (request ids, counters): alike but for numbers is no change. */
  readonly loose?: true;
}

/** Per type: what it should say, 'absent', or 'keep' whatever it says. */
export type Statements = Readonly<Record<ConditionType, Statement | 'keep' | 'absent'>>;

/** The condition tables (controllers.md, "Service conditions") as a function. */
export function statementsOf(stage: Stage, shown: Shown): Statements {
  switch (stage.state) {
    case 'started':
      return {
        LoadBalancerProvisioning: working('Ensuring load balancer'),
        LoadBalancerServing: servingMeanwhile(shown),
        LoadBalancerDegraded: 'keep',
      };
    case 'pending':
      return {
        LoadBalancerProvisioning: working(stage.reason),
        LoadBalancerServing: servingMeanwhile(shown),
        LoadBalancerDegraded: isStale(shown) ? 'absent' : 'keep',
      };
    case 'ready':
      return ready(stage);
    case 'error':
      return failed(stage.verdict, shown);
    default:
      return stage satisfies never;
  }
}

export const conditionIn = (conditions: readonly Condition[], type: ConditionType): Condition | undefined =>
  conditions.find((condition) => condition.type === type);

const complete = (message: string): Statement => ({ status: 'False', reason: 'Complete', message });
const working = (message: string): Statement => ({ status: 'True', reason: 'Provisioning', message });
const notYet: Statement = {
  status: 'False',
  reason: 'Provisioning',
  message: 'The load balancer is being provisioned',
};
const stillServing: Statement = { status: 'True', reason: 'Serving', message: 'The published load balancer serves' };

/** While work goes on, what serves goes on serving (make before break). */
function servingMeanwhile({ conditions, exists }: Shown): Statement | 'keep' {
  if (!exists) return notYet;
  return conditionIn(conditions, 'LoadBalancerServing') === undefined ? stillServing : 'keep';
}

function isStale({ conditions }: Shown): boolean {
  return conditionIn(conditions, 'LoadBalancerDegraded')?.reason === 'StaleSpec';
}

function ready({ ingress, shortfalls }: Extract<Stage, { state: 'ready' }>): Statements {
  const unhealthy = shortfalls.find(({ reason }) => reason === 'NoHealthyTargets');
  const degraded = degradedBy(shortfalls.filter(({ reason }) => reason !== 'NoHealthyTargets'));
  if (ingress.length === 0) {
    const message = 'The provider has not named an address yet';
    return {
      LoadBalancerProvisioning: working(message),
      LoadBalancerServing: { ...notYet, message },
      LoadBalancerDegraded: degraded,
    };
  }
  return {
    LoadBalancerProvisioning: complete('Nothing more to do'),
    LoadBalancerServing:
      unhealthy === undefined
        ? { status: 'True', reason: 'Serving', message: `Accepts connections at ${namesOf(ingress)}` }
        : { status: 'False', reason: 'NoHealthyTargets', message: messageOf(unhealthy) },
    LoadBalancerDegraded: degraded,
  };
}

function degradedBy(shortfalls: readonly Shortfall[]): Statement | 'absent' {
  const [first] = shortfalls;
  if (first === undefined) return 'absent';
  const reasons = new Set(shortfalls.map(({ reason }) => reason));
  const message = [...new Set(shortfalls.map(messageOf))].join('; ');
  return { status: 'True', reason: reasons.size === 1 ? first.reason : 'Multiple', message };
}

function failed(verdict: ErrorVerdict, shown: Shown): Statements {
  const { effect, text } = verdict;
  const loose = verdict.failure.kind === 'invalid' ? {} : { loose: true as const };
  return {
    LoadBalancerProvisioning:
      effect.provisioning === 'complete' ? complete('Nothing more to do before a change') : goesOn(verdict, shown),
    LoadBalancerServing: servingDespite(verdict, shown),
    LoadBalancerDegraded:
      effect.stale === true && shown.exists
        ? { status: 'True', reason: 'StaleSpec', message: `The last good load balancer serves. ${text}`, ...loose }
        : 'keep',
  };
}

/** Stays as it is; a new wish, or nothing said so far, makes it True. What went wrong is told once it is news. */
function goesOn({ event, text }: ErrorVerdict, { conditions, specChanged }: Shown): Statement | 'keep' {
  const shown = conditionIn(conditions, 'LoadBalancerProvisioning');
  if (shown?.status === 'True' && !specChanged) return event === undefined ? 'keep' : { ...working(text), loose: true };
  if (shown !== undefined && !specChanged) return 'keep';
  return working(event === undefined ? 'Trying again' : text);
}

function servingDespite({ failure, effect, text }: ErrorVerdict, shown: Shown): Statement | 'keep' {
  if (shown.exists || effect.serving === undefined) return servingKept(shown);
  const loose = failure.kind === 'invalid' ? {} : { loose: true as const };
  return { status: 'False', reason: effect.serving, message: text, ...loose };
}

/** As `servingMeanwhile`, but what an earlier error said about a missing load balancer stands. */
function servingKept(shown: Shown): Statement | 'keep' {
  const serving = conditionIn(shown.conditions, 'LoadBalancerServing');
  if (shown.exists || serving === undefined || serving.status === 'True') return servingMeanwhile(shown);
  return 'keep';
}

const namesOf = (ingress: readonly ServiceIngress[]): string =>
  ingress.map(({ ip, hostname }) => hostname ?? ip ?? '').join(', ');

function messageOf({ field, message }: Shortfall): string {
  return field === undefined || message.startsWith(`${field}: `) ? message : `${field}: ${message}`;
}
