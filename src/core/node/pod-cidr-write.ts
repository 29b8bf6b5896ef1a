import type { Node } from '../objects.ts';
import type { Cidr } from '../provider.ts';
import { mergeOf, type NodeWrite } from './write.ts';

/** Gives a Node its pod CIDRs. The API server refuses it (422) when the Node has others by then. */
export function setPodCidrs(node: Node, cidrs: readonly Cidr[]): NodeWrite {
  return {
    kind: 'SetPodCidrs',
    target: node.metadata.name,
    reason: 'the node has no pod CIDR',
    ...mergeOf(node, { spec: { podCIDR: cidrs[0], podCIDRs: cidrs } }),
  };
}

/** What the Node has; empty before it was given any. */
export const podCidrsOf = ({ spec: { podCIDR, podCIDRs } }: Node): readonly string[] =>
  podCIDRs ?? (podCIDR === undefined || podCIDR === '' ? [] : [podCIDR]);
