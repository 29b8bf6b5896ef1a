import type { DescribeAccountLimitsInput } from '@aws-sdk/client-elastic-load-balancing-v2';
import type { Scope } from '../cloud.ts';
import type { Given } from '../given.ts';
import { pageOf } from '../paging.ts';
import { pageRule } from './load-balancers.ts';

/** Those of network load balancers, and two of others. */
export function describeAccountLimits(
  { cloud }: Scope,
  { Marker, PageSize }: Given<DescribeAccountLimitsInput>,
): object {
  const { quotas } = cloud.settings;
  const limits = {
    'application-load-balancers': 50,
    'target-groups': quotas.targetGroups,
    'network-load-balancers': quotas.loadBalancers,
    'listeners-per-network-load-balancer': quotas.listenersPerLoadBalancer,
    'targets-per-availability-zone-per-network-load-balancer': quotas.targetsPerLoadBalancerAndZone,
    'targets-per-network-load-balancer': quotas.targetsPerLoadBalancer,
    'target-groups-per-action-on-network-load-balancer': 5,
    'gateway-load-balancers': 100,
  };
  const { items, next } = pageOf(Object.entries(limits), ([name]) => name, pageRule(cloud, PageSize, Marker));
  return {
    Limits: items.map(([Name, max]) => ({ Name, Max: String(max) })),
    ...(next === undefined ? {} : { NextMarker: next }),
  };
}
