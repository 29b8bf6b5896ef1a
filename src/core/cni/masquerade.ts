import { mergeCidrs, parseCidr } from '../net/cidr.ts';
import type { Cidr } from '../provider.ts';

export interface MasqueradeOptions {
  /** False: pods leave with their own addresses, and something outside must know the way back. */
  readonly masquerade: boolean;
  /** Destinations that see a pod's own address, besides the pod CIDRs of all nodes. */
  readonly nonMasqueradeCidrs: readonly Cidr[];
}

/** The two sets of the constant masquerade rule (node table, `local-pods` and `no-masq`): disjoint CIDRs, ascending. */
export interface MasqueradeSets {
  readonly localPods: readonly Cidr[];
  readonly noMasq: readonly Cidr[];
}

/** What is no CIDR in a node's podCIDRs is left out here; the route controller reports it (FL_ROUTE_CIDR). */
export function masqueradeSets(
  own: readonly string[],
  nodes: readonly (readonly string[])[],
  { masquerade, nonMasqueradeCidrs }: MasqueradeOptions,
): MasqueradeSets {
  if (!masquerade) return { localPods: [], noMasq: [] };
  const pods = [own, ...nodes].flat().flatMap((cidr) => parseCidr(cidr) ?? []);
  return {
    localPods: mergeCidrs(own.flatMap((cidr) => parseCidr(cidr) ?? [])),
    noMasq: mergeCidrs([...pods, ...nonMasqueradeCidrs]),
  };
}
