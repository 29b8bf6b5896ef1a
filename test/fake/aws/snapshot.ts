import type { Cloud } from './cloud.ts';
import { liveTargets } from './elb/targets.ts';
import type { Rule } from './records.ts';

/**
 * What is in the account now, as plain data: names in place of the ids that AWS counts, no times, lists sorted. What is on
 * its way out (targets that drain, interfaces of deleted load balancers) is left out.
 */
export function snapshotOf(cloud: Cloud): object {
  const nameOfGroup = (id: string): string => cloud.securityGroups.get(id)?.name ?? id;
  const nameOfTargets = (arn: string): string => cloud.targetGroups.get(arn)?.name ?? arn;
  const ruleOf = ({ id: _, groupId, ...rule }: Rule): object => ({
    ...rule,
    ...(groupId === undefined ? {} : { group: nameOfGroup(groupId) }),
  });
  const nowMs = cloud.nowMs();
  return {
    loadBalancers: sorted(
      cloud.loadBalancers
        .values()
        .map(({ arn, id: _i, dnsName: _d, createdMs: _c, activeMs: _a, failed: _f, ...balancer }) => ({
          ...balancer,
          securityGroups: balancer.securityGroups.map(nameOfGroup).sort(),
          listeners: sorted(
            cloud.listeners
              .values()
              .filter(({ loadBalancerArn }) => loadBalancerArn === arn)
              .map(({ arn: _, loadBalancerArn: _l, forwards, ...listener }) => ({
                ...listener,
                forwards: forwards.map(({ targetGroupArn, weight }) => ({
                  group: nameOfTargets(targetGroupArn),
                  weight,
                })),
              })),
          ),
        })),
    ),
    targetGroups: sorted(
      cloud.targetGroups.values().map(({ arn: _, targets: _t, ...group }) => ({
        ...group,
        targets: [...liveTargets({ ...group, arn: '', targets: _t }, nowMs).values()]
          .filter(({ goneMs }) => goneMs === undefined)
          .map(({ id, port, zone }) => `${id}:${port}${zone === undefined ? '' : ` ${zone}`}`)
          .sort(),
      })),
    ),
    securityGroups: sorted(
      cloud.securityGroups.values().map(({ id: _, ingress, egress, ...group }) => ({
        ...group,
        ingress: sorted(ingress.map(ruleOf)),
        egress: sorted(egress.map(ruleOf)),
      })),
    ),
    routeTables: sorted(cloud.routeTables.values().map((table) => ({ ...table, routes: sorted(table.routes) }))),
    interfaces: sorted(
      cloud.interfaces
        .values()
        .filter(({ type }) => type === 'interface')
        .map((one) => ({ ...one, groups: one.groups.map(nameOfGroup) })),
    ),
    instances: sorted(cloud.instances.values()),
    vpcs: sorted(cloud.vpcs.values()),
    subnets: sorted(cloud.subnets.values()),
    addresses: sorted(cloud.addresses.values().map(({ usedBy: _, ...address }) => address)),
  };
}

/** By their text: any order will do, as long as it is the same. */
function sorted<T>(items: readonly T[]): readonly T[] {
  return items
    .map((item) => [JSON.stringify(item), item] as const)
    .sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
    .map(([, item]) => item);
}
