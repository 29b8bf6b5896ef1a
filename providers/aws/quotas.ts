import type { Facts, ObservedTargetGroup } from './model.ts';

/** AWS's names of limits (DescribeAccountLimits; those of EC2 are ours) -> their value on a fresh account. */
const DEFAULTS = {
  'network-load-balancers': 50,
  'listeners-per-network-load-balancer': 50,
  'target-groups': 3000,
  'targets-per-target-group': 1000,
  'targets-per-network-load-balancer': 3000,
  'targets-per-network-load-balancer-cross-zone': 500,
  'certificates-per-network-load-balancer': 25,
  'rules-per-security-group': 60,
} as const satisfies Readonly<Record<string, number>>;

export type Limit = keyof typeof DEFAULTS;

/** The account's value, else AWS's default. */
export const limitOf = ({ limits }: Pick<Facts, 'limits'>, name: Limit): number => limits[name] ?? DEFAULTS[name];

/** What does not fit, or only just. Kept apart from errors of AWS: it is said before a call fails. */
export interface QuotaWarning {
  readonly limit: Limit;
  readonly used: number;
  readonly allowed: number;
}

export interface Demand {
  /** A load balancer is to be made. */
  readonly newLoadBalancers: number;
  readonly newTargetGroups: number;
  readonly listeners: number;
  /** Certificates over all listeners, each counted once. */
  readonly certificates: number;
  /** Targets per group, the greatest, and over all groups. */
  readonly targetsInGroup: number;
  readonly targets: number;
  readonly crossZone: boolean;
  /** In the managed group; 0 without one. */
  readonly ingressRules: number;
}

/** Limits that the demand exceeds, sorted as AWS lists them. Empty: everything fits. */
export function preflight(demand: Demand, facts: Pick<Facts, 'limits' | 'counts'>): readonly QuotaWarning[] {
  const { counts } = facts;
  // Where there are more than allowed already the figure is not the one that holds (stand-ins for AWS).
  const withMore = (limit: Limit, has: number, more: number): number =>
    more === 0 || has > limitOf(facts, limit) ? 0 : has + more;
  const uses: readonly (readonly [Limit, number])[] = [
    ['network-load-balancers', withMore('network-load-balancers', counts.loadBalancers, demand.newLoadBalancers)],
    ['target-groups', withMore('target-groups', counts.targetGroups, demand.newTargetGroups)],
    ['listeners-per-network-load-balancer', demand.listeners],
    ['certificates-per-network-load-balancer', demand.certificates],
    ['targets-per-target-group', demand.targetsInGroup],
    [targetsLimit(demand.crossZone), demand.targets],
    ['rules-per-security-group', demand.ingressRules],
  ];
  return uses.flatMap(([limit, used]) => {
    const allowed = limitOf(facts, limit);
    return used > allowed ? [{ limit, used, allowed }] : [];
  });
}

/** With cross-zone balancing each zone's part of the load balancer serves all targets. */
export const targetsLimit = (crossZone: boolean): Limit =>
  crossZone ? 'targets-per-network-load-balancer-cross-zone' : 'targets-per-network-load-balancer';

/** Targets that count against quotas; 0 where they were not read. */
export function registered({ targets }: Pick<ObservedTargetGroup, 'targets'>): number {
  return targets === 'unread' ? 0 : targets.filter(({ state }) => state !== 'draining').length;
}
