import type { KubeObject } from '../../core/objects.ts';
import type { ResourceName } from '../../core/provider.ts';

/** Kinds that only the node needs. */
export const serviceCidrs: ResourceName = { group: 'networking.k8s.io', version: 'v1', plural: 'servicecidrs' };
export const networkPolicies: ResourceName = { group: 'networking.k8s.io', version: 'v1', plural: 'networkpolicies' };

/** Ranges that ClusterIPs come from (networking.k8s.io/v1, KEP-1880). */
export interface ServiceCidr extends KubeObject {
  readonly spec?: { readonly cidrs?: readonly string[] };
}
