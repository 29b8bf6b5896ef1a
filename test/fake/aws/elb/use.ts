import type { Cloud } from '../cloud.ts';

/** A listener that sends to a target group. */
export interface Use {
  readonly listenerArn: string;
  readonly loadBalancerArn: string;
  readonly sinceMs: number;
}

interface Known {
  readonly version: number;
  readonly atMs: number | undefined;
  readonly byGroup: ReadonlyMap<string, readonly Use[]>;
}
const known = new WeakMap<Cloud, Known>(); // the last look: lists of groups ask for one after the other

/** Which listeners send to the group; now, or at that time. */
export function usersOf(cloud: Cloud, targetGroupArn: string, atMs?: number): readonly Use[] {
  return all(cloud, atMs).get(targetGroupArn) ?? [];
}

function all(cloud: Cloud, atMs: number | undefined): Known['byGroup'] {
  const { version } = cloud.listeners;
  const last = known.get(cloud);
  if (last?.version === version && last.atMs === atMs) return last.byGroup;
  const byGroup = new Map<string, Use[]>();
  for (const { arn, loadBalancerArn, forwards } of cloud.listeners.values(atMs)) {
    for (const { targetGroupArn, sinceMs } of forwards) {
      const uses = byGroup.get(targetGroupArn) ?? [];
      uses.push({ listenerArn: arn, loadBalancerArn, sinceMs });
      byGroup.set(targetGroupArn, uses);
    }
  }
  known.set(cloud, { version, atMs, byGroup });
  return byGroup;
}
