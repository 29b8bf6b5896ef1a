import type { Progress, TargetHealth, TargetHealths } from '../../src/core/provider.ts';
import { type Mirror, ours } from './mirror.ts';
import type { Desired, Observed, ObservedTarget, ObservedTargetGroup } from './model.ts';
import type { Parts } from './parts.ts';

/** Condition type of a Pod, as the AWS Load Balancer Controller names it: by the target group, whose binding has its name. */
const GATE_PREFIX = 'target-health.elbv2.k8s.aws/';

/** The gates of a Service that sends to pods: one per target group. */
export function gatesOf(
  desired: Desired | undefined,
  { targetGroups }: Observed,
): Pick<Extract<Progress, { state: 'ready' }>, 'gates'> {
  if (desired?.targetType !== 'ip' || targetGroups.length === 0) return {};
  return { gates: targetGroups.map(({ name }) => `${GATE_PREFIX}${name}`).sort() };
}

export function createTargetHealth({
  mirror,
  reads,
}: {
  readonly mirror: Mirror;
  readonly reads: Parts;
}): TargetHealths {
  return {
    async read({ uid }, call) {
      await mirror.refresh(call, { maxAgeMs: LISTS_MS });
      const groups = () => mirror.targetGroups.of(ours(uid)).filter(({ targetType }) => targetType === 'ip');
      await reads.read(
        { loadBalancers: [], targetGroups: groups() },
        { targets: 'moving', listeners: 'no', attributes: 'no' },
        call,
        {},
      );
      return new Map(groups().map((group) => [`${GATE_PREFIX}${group.name}`, healthOf(group)]));
    },
  };
}

const LISTS_MS = 30_000;

function healthOf({ targets }: ObservedTargetGroup): ReadonlyMap<string, TargetHealth> {
  if (targets === 'unread') return new Map();
  return new Map(
    targets.flatMap((target) => {
      const state = stateOf(target);
      return state === undefined
        ? []
        : [[target.id, { state, ...(target.reason === undefined ? {} : { reason: target.reason }) }]];
    }),
  );
}

/** `undefined`: it is leaving, and no target any more. */
function stateOf({ state }: ObservedTarget): TargetHealth['state'] | undefined {
  switch (state) {
    case 'healthy':
      return 'healthy';
    case 'unhealthy':
      return 'unhealthy';
    case 'initial':
    case 'unused':
    case 'unavailable':
      return 'waiting';
    case 'draining':
    case 'unhealthy.draining':
      return undefined;
    default:
      return state satisfies never;
  }
}
