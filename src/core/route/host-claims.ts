import { isEqual } from '../equal.ts';
import type { ErrorCode } from '../errors.ts';
import { blockAt, blockOf, overlaps } from '../net/cidr.ts';
import { BITS, canonicalIp, parseIp } from '../net/ip.ts';
import type { Node } from '../objects.ts';
import type { Cidr } from '../provider.ts';
import { createPrefixes } from './prefixes.ts';
import { podCidrsOf, routePlan } from './wanted.ts';

/** A pod CIDR of another node, and where it may be reached. */
export interface HostClaim {
  readonly node: string;
  readonly destination: Cidr;
  /** The node's InternalIPs of the same family, in the Node's order; none while it is not initialised. */
  readonly nextHops: readonly string[];
}

/** Why a pod CIDR gets no route on this node. */
export interface HostProblem {
  readonly node: string;
  /** As the Node has it. */
  readonly cidr: string;
  readonly code: ErrorCode;
  /** For people: names the field, quotes the value, says what would be right. */
  readonly text: string;
}

/** What the nodes of the cluster ask of this node's routing table. A function of the Nodes alone. */
export interface HostClaims {
  /** This node. */
  readonly nodeName: string;
  /** This node's pod CIDRs. Undefined: the API server does not know this node, so nothing is known of them. */
  readonly own: readonly Cidr[] | undefined;
  /** Disjoint, sorted by destination; none overlaps with `own`. */
  readonly others: readonly HostClaim[];
  readonly problems: readonly HostProblem[];
}

/** Every address; pod CIDRs may lie anywhere. */
const everywhere = ['0.0.0.0/0', '::/0'] as readonly string[] as readonly Cidr[];

/**
 * One claim per pod CIDR. Of two nodes whose pod CIDRs overlap the older one has its own, as with cloud routes. A CIDR
 * that overlaps with this node's own is nobody's (a via route would loop: flannel #254), and neither is one in which
 * nodes have their addresses: its route would take the way to those nodes away.
 */
export function hostClaims(nodes: readonly Node[], nodeName: string): HostClaims {
  const self = nodes.find(({ metadata: { name } }) => name === nodeName);
  // Not by age: pods of this node stand in its own CIDRs, whoever else claims them.
  const own = self && [...routePlan([self], { clusterCidrs: everywhere, nextHop: () => undefined }).routes.keys()];
  const ownBlocks = (own ?? []).map(blockOf);
  const plan = routePlan(nodes, { clusterCidrs: everywhere, nextHop: () => undefined });
  const lengths = [...plan.routes.keys()].map((cidr) => blockOf(cidr).prefixLength);
  const addresses = createPrefixes<Holder>(lengths);
  const internalIps = new Map(nodes.map((node) => [node.metadata.name, internalIpsOf(node)]));
  for (const [node, ips] of internalIps) for (const address of ips) addAddress(addresses, address, { node, address });

  const others: HostClaim[] = [];
  const problems: HostProblem[] = [...plan.nodes.values()].flatMap(({ name, problems }) =>
    problems.map(({ cidr, code, text }) => ({ node: name, cidr, code, text })),
  );
  for (const { node, destination } of plan.routes.values()) {
    if (node === nodeName) continue;
    const block = blockOf(destination);
    const field = `spec.podCIDRs: ${JSON.stringify(destination)}`;
    const clash = ownBlocks.findIndex((ownBlock) => overlaps(ownBlock, block));
    const holder = addresses.within(block);
    if (clash >= 0)
      problems.push({
        node,
        cidr: destination,
        code: 'FL_ROUTE_CONFLICT',
        text: `${field} overlaps with ${own?.[clash]} of this node, ${nodeName}`,
      });
    else if (holder !== undefined)
      problems.push({
        node,
        cidr: destination,
        code: 'FL_ROUTE_CONFLICT',
        text: `${field} holds ${holder.address}, the address of node ${holder.node}`,
      });
    else {
      const { family } = block;
      const nextHops = (internalIps.get(node) ?? []).filter((address) => parseIp(address)?.family === family);
      others.push({ node, destination, nextHops });
    }
  }
  return { nodeName, own, others, problems };
}

/** Whether a change of a Node can change the claims: most writes of a Node are heartbeats. */
export function changesClaims(old: Node | undefined, now: Node | undefined): boolean {
  if (old === undefined || now === undefined) return true;
  return (
    old.metadata.uid !== now.metadata.uid ||
    !isEqual(podCidrsOf(old), podCidrsOf(now)) ||
    !isEqual(internalIpsOf(old), internalIpsOf(now))
  );
}

interface Holder {
  readonly node: string;
  readonly address: string;
}

function internalIpsOf({ status }: Node): readonly string[] {
  return (status?.addresses ?? [])
    .filter(({ type }) => type === 'InternalIP')
    .map(({ address }) => canonicalIp(address))
    .filter((address) => address !== undefined);
}

function addAddress(addresses: ReturnType<typeof createPrefixes<Holder>>, address: string, holder: Holder): void {
  const ip = parseIp(address);
  if (ip !== undefined) addresses.add(blockAt(ip, BITS[ip.family]), holder);
}
