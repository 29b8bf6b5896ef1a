import type { Call } from '../../src/core/provider.ts';
import { ANY, type Mirror } from './mirror.ts';
import type { ObservedLoadBalancer, ObservedTargetGroup, Tags } from './model.ts';
import { TAG } from './names.ts';
import type { Parts } from './parts.ts';

/** A load balancer of this cluster as AWS has it, for `fairlead status`. */
export interface LoadBalancerStatus {
  /** UID of its Service. */
  readonly uid: string;
  readonly name: string;
  readonly hostname: string;
  readonly scheme: string;
  readonly state: string;
  /** Sorted by port. */
  readonly targetGroups: readonly TargetGroupStatus[];
}
export interface TargetGroupStatus {
  readonly name: string;
  /** Where traffic goes unless a target has its own: NodePort or pod port. */
  readonly port: number;
  readonly protocol: string;
  readonly healthy: number;
  readonly total: number;
  /** AWS's words for those that are not healthy; sorted, each once. */
  readonly reasons: readonly string[];
}

/** Reads lists and the health of all targets; sorted by name. */
export async function statusOf(
  { mirror, reads }: { readonly mirror: Mirror; readonly reads: Parts },
  call: Call,
): Promise<readonly LoadBalancerStatus[]> {
  await mirror.refresh(call, { maxAgeMs: 0, sweep: true });
  const depth = { targets: 'all', listeners: 'no', attributes: 'no' } as const;
  await reads.read({ loadBalancers: [], targetGroups: mirror.targetGroups.of(ANY) }, depth, call, {});
  const groups = mirror.targetGroups.of(ANY);
  return mirror.loadBalancers
    .of(ANY)
    .map((one) =>
      rowOf(
        one,
        groups.filter((group) => isOf(group, one)),
      ),
    )
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

const uidOf = ({ tags }: { readonly tags: Tags }): string => tags[TAG.uid] ?? '';

const isOf = (group: ObservedTargetGroup, one: ObservedLoadBalancer): boolean =>
  group.loadBalancers.length === 0 ? uidOf(group) === uidOf(one) : group.loadBalancers.includes(one.arn);

function rowOf(one: ObservedLoadBalancer, groups: readonly ObservedTargetGroup[]): LoadBalancerStatus {
  const { name, dnsName, scheme, state } = one;
  return {
    uid: uidOf(one),
    name,
    hostname: dnsName.toLowerCase(),
    scheme,
    state,
    targetGroups: groups.map(groupOf).sort((a, b) => a.port - b.port || (a.name < b.name ? -1 : 1)),
  };
}

function groupOf({ name, port, protocol, targets }: ObservedTargetGroup): TargetGroupStatus {
  const all = targets === 'unread' ? [] : targets;
  const sick = all.filter(({ state }) => state !== 'healthy');
  return {
    name,
    port,
    protocol,
    healthy: all.length - sick.length,
    total: all.length,
    reasons: [...new Set(sick.map(({ state, reason }) => reason ?? state))].sort(),
  };
}
