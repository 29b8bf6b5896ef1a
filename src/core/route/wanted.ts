import { compareText } from '../equal.ts';
import type { ErrorCode } from '../errors.ts';
import { type Block, blockOf, contains, formatBlock, parseBlock } from '../net/cidr.ts';
import type { Node } from '../objects.ts';
import type { Cidr, IpFamily, NodeRef, Route } from '../provider.ts';
import { createPrefixes } from './prefixes.ts';

/** The route that a pod CIDR needs. `nextHop` is absent while the node is not initialised. */
export type WantedRoute = Omit<Route, 'nextHop'> & { readonly nodeUid: string; readonly nextHop?: string };

/** Why a pod CIDR of a node gets no route; told as an Event on the node. */
export interface RouteProblem {
  readonly reason: 'RouteConflict' | 'FailedToCreateRoute';
  readonly code: ErrorCode;
  /** As in the Node's spec. */
  readonly cidr: string;
  /** For people: names the field, quotes the value, says what would be right. */
  readonly text: string;
}
/** What one node with pod CIDRs asks for. */
export interface NodeRoutes {
  readonly name: string;
  readonly uid: string;
  /** Those that it gets, sorted; each stands in `RoutePlan.routes`. */
  readonly destinations: readonly Cidr[];
  readonly problems: readonly RouteProblem[];
}
/** Routes that should be, of all nodes. A function of its inputs alone. */
export interface RoutePlan {
  /** destination -> the one node that gets it; sorted */
  readonly routes: ReadonlyMap<Cidr, WantedRoute>;
  /** node name -> what it asks for; nodes without pod CIDRs are left out */
  readonly nodes: ReadonlyMap<string, NodeRoutes>;
}

export interface PlanOptions {
  /** --cluster-cidr */
  readonly clusterCidrs: readonly Cidr[];
  /** `Routes.nextHop`, or its default. */
  readonly nextHop: (node: NodeRef, family: IpFamily) => string | undefined;
}

export const emptyPlan: RoutePlan = { routes: new Map(), nodes: new Map() };

/**
 * One route per node and pod CIDR; pod CIDRs are a set, compared in canonical form. Of two nodes whose CIDRs are equal or
 * overlap the older one keeps its own (creationTimestamp, then name) and the other gets a `RouteConflict`. A CIDR that is not
 * inside a cluster CIDR gets no route: nobody would know it for ours afterwards.
 */
export function routePlan(nodes: readonly Node[], { clusterCidrs, nextHop }: PlanOptions): RoutePlan {
  const clusters = clusterCidrs.map(blockOf);
  const asking = nodes.filter((node) => podCidrsOf(node).length > 0).sort(byAge);
  const claims = asking.map((node) => ({
    node,
    cidrs: podCidrsOf(node).map((text) => ({ text, block: parseBlock(text) })),
  }));
  const lengths = claims.flatMap(({ cidrs }) => cidrs.map(({ block }) => block?.prefixLength ?? 0));
  const taken = createPrefixes<Holder>(lengths);
  const routes = new Map<Cidr, WantedRoute>();
  const perNode = new Map<string, NodeRoutes>();

  for (const { node, cidrs } of claims) {
    const { name, uid } = node.metadata;
    const destinations: Cidr[] = [];
    const problems: RouteProblem[] = [];
    for (const { text, block } of cidrs) {
      const problem = problemOf(text, block, { name, clusters, clusterCidrs, holder: block && holderOf(taken, block) });
      if (problem !== undefined) problems.push(problem);
      if (problem !== undefined || block === undefined) continue;
      const destination = formatBlock(block);
      if (routes.has(destination)) continue; // the node names it twice
      taken.add(block, { name, cidr: destination });
      destinations.push(destination);
      const hop = nextHop(refOf(node), block.family);
      routes.set(destination, {
        node: name,
        nodeUid: uid,
        destination,
        ...(hop === undefined ? {} : { nextHop: hop }),
      });
    }
    perNode.set(name, { name, uid, destinations: destinations.sort(compareText), problems });
  }
  return { routes: new Map([...routes].sort(([a], [b]) => compareText(a, b))), nodes: perNode };
}

/** `spec.podCIDRs`, else the older `spec.podCIDR`. */
export function podCidrsOf({ spec }: Node): readonly string[] {
  if (spec.podCIDRs !== undefined && spec.podCIDRs.length > 0) return spec.podCIDRs;
  return spec.podCIDR === undefined || spec.podCIDR === '' ? [] : [spec.podCIDR];
}

/** A node as providers know it. */
export function refOf({ metadata: { name }, spec: { providerID = '' }, status }: Node): NodeRef {
  return { name, ...(providerID === '' ? {} : { providerId: providerID }), addresses: status?.addresses ?? [] };
}

/** Whose a CIDR is. */
interface Holder {
  readonly name: string;
  readonly cidr: Cidr;
}

/** Who has this block, a part of it, or one around it. */
const holderOf = (taken: ReturnType<typeof createPrefixes<Holder>>, block: Block): Holder | undefined =>
  taken.within(block) ?? taken.around(block);

function problemOf(
  cidr: string,
  block: Block | undefined,
  {
    name,
    clusters,
    clusterCidrs,
    holder,
  }: {
    readonly name: string;
    readonly clusters: readonly Block[];
    readonly clusterCidrs: readonly Cidr[];
    readonly holder: Holder | undefined;
  },
): RouteProblem | undefined {
  const field = `spec.podCIDRs: ${JSON.stringify(cidr)}`;
  if (block === undefined)
    return problem('FL_ROUTE_CIDR', cidr, `${field} is not a CIDR such as 10.120.0.0/24 or 2001:db8::/64`);
  if (!clusters.some((cluster) => contains(cluster, block)))
    return problem('FL_ROUTE_OUTSIDE', cidr, `${field} is not inside --cluster-cidr=${clusterCidrs.join(',')}`);
  if (holder === undefined || (holder.name === name && holder.cidr === formatBlock(block))) return undefined;
  const whose = holder.cidr === formatBlock(block) ? 'is also that' : `overlaps with ${holder.cidr}`;
  const who = holder.name === name ? 'of this node itself' : `of node ${holder.name}, which is older and keeps it`;
  return problem('FL_ROUTE_CONFLICT', cidr, `${field} ${whose} ${who}`);
}

function problem(code: ErrorCode, cidr: string, text: string): RouteProblem {
  return { reason: code === 'FL_ROUTE_CONFLICT' ? 'RouteConflict' : 'FailedToCreateRoute', code, cidr, text };
}

/** The API server's stamps have a precision of a second. */
function byAge({ metadata: a }: Node, { metadata: b }: Node): number {
  return compareText(a.creationTimestamp, b.creationTimestamp) || compareText(a.name, b.name);
}
