import { compareText, isEqual } from '../equal.ts';
import type { Condition, Node } from '../objects.ts';
import { podCidrsOf } from './wanted.ts';

/**
 * Whether an update of a node can change its routes: pod CIDRs, addresses, providerID, another Node under the name; also
 * an update without a new resourceVersion, which is an informer's resync (KEP-5237).
 */
export function shouldSyncRoutes(old: Node, now: Node): boolean {
  if (old.metadata.resourceVersion === now.metadata.resourceVersion) return true;
  return !isEqual(decisive(old), decisive(now));
}

/** The node's condition of this type, if it has one. */
export function conditionOf({ status }: Node, type: string): Condition | undefined {
  return status?.conditions?.find((condition) => condition.type === type);
}

function decisive(node: Node): unknown {
  return {
    uid: node.metadata.uid,
    podCidrs: [...podCidrsOf(node)].sort(compareText),
    providerID: node.spec.providerID ?? '',
    addresses: (node.status?.addresses ?? []).map(({ type, address }) => `${type} ${address}`),
  };
}
