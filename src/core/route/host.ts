import { compareText } from '../equal.ts';
import { type Block, blockAt, blockOf, overlaps, parseBlock } from '../net/cidr.ts';
import { BITS, parseIp } from '../net/ip.ts';
import type { DeleteRoute, LinkRecord, NewRoute, RouteEvent, RouteRecord } from '../net/rtnetlink.ts';
import type { Action, Cidr } from '../provider.ts';
import type { HostClaim, HostClaims, HostProblem } from './host-claims.ts';
import { createPrefixes, type Prefixes } from './prefixes.ts';

/**
 * RTPROT_* of host routes: `ip route show proto 103`. A route without it is not ours, and is never changed. Between the
 * numbers that iproute2 has names for; pod routes of the CNI have another.
 */
export const HOST_ROUTE_PROTOCOL = 103;

const MAIN_TABLE = 254;
const LOCAL_TABLE = 255;
/** The last one asked: any other route to the same CIDR wins, and pods' own routes are longer. */
const LAST_RESORT = 4_294_967_295;
/** What the kernel makes of no metric. */
const DEFAULT_METRIC = { ipv4: 0, ipv6: 1024 } as const;
/** RTNH_F_DEAD: the kernel does not use it. */
const DEAD = 1;

/** A route that should be in the main table. */
export type HostRoute =
  | {
      readonly type: 'unicast';
      readonly destination: Cidr;
      readonly node: string;
      readonly via: string;
      readonly link: number;
    }
  | { readonly type: 'blackhole'; readonly destination: Cidr };

/** The node's kernel as it is. */
export interface HostObserved {
  readonly links: readonly LinkRecord[];
  /** Of all tables. */
  readonly routes: readonly RouteRecord[];
}

/** What should be, and what cannot be. */
export interface HostRoutePlan {
  /** Sorted by destination. */
  readonly routes: readonly HostRoute[];
  readonly problems: readonly HostProblem[];
}

/** One change of one route, with the message that makes it. */
export type HostRouteAction =
  | (Action<'addRoute'> & { readonly message: NewRoute })
  | (Action<'deleteRoute'> & { readonly message: DeleteRoute });

/**
 * A blackhole for each own pod CIDR, and a route to every other node that is on a segment with this one: the kernel's way
 * to it has no gateway. A node behind a router gets none, since the router would not know where its pods are. Where a
 * route of somebody else stands ours is not made.
 */
export function planHostRoutes(claims: HostClaims, observed: HostObserved): HostRoutePlan {
  const main = observed.routes.filter(({ table }) => table === MAIN_TABLE);
  const ours = new Map(main.filter(isOurs).map((route) => [route.destination, route]));
  const foreign = groupByDestination(main.filter((route) => !isOurs(route)));
  // Unknown means kept, not gone: pods may still stand in them.
  const own =
    claims.own ?? [...ours.values()].filter(({ type }) => type === 'blackhole').map(({ destination }) => destination);
  const ownBlocks = own.map(blockOf);
  const kernel = kernelOf(observed);
  const routes: HostRoute[] = [];
  const problems: HostProblem[] = [...claims.problems];

  for (const destination of own) {
    // One with another metric stands beside it.
    const other = (foreign.get(destination) ?? []).find(({ metric }) => metric === LAST_RESORT);
    if (other === undefined || ours.has(destination)) routes.push({ type: 'blackhole', destination });
    else if (other.type !== 'blackhole')
      problems.push({
        node: claims.nodeName,
        cidr: destination,
        code: 'FL_ROUTE_FOREIGN',
        text: `a route to ${destination} that is not ours leads ${wayOf(other, observed.links)} as the last resort, where its free addresses should lead nowhere`,
      });
  }
  for (const claim of claims.others) {
    const { node, destination } = claim;
    // Only while this node is unknown; else hostClaims has told it.
    if (claims.own === undefined && ownBlocks.some((block) => overlaps(block, blockOf(destination)))) continue;
    const hop = hopTo(claim, kernel);
    const problem = (code: HostProblem['code'], text: string): void =>
      void problems.push({ node, cidr: destination, code, text });
    if ('text' in hop) {
      problem('FL_ROUTE_OFF_LINK', hop.text);
      continue;
    }
    const others = foreign.get(destination) ?? [];
    if (others.length > 0 && !ours.has(destination)) {
      if (!others.some(({ via }) => via === hop.via))
        problem(
          'FL_ROUTE_FOREIGN',
          `a route to ${destination} that is not ours leads ${wayOf(others[0], observed.links)}; the node has ${hop.via}`,
        );
      continue;
    }
    routes.push({ type: 'unicast', destination, node, ...hop });
  }
  return { routes: routes.sort((a, b) => compareText(a.destination, b.destination)), problems };
}

/** The changes that make our routes those of the plan; of one destination the removal comes first. Empty: nothing to do. */
export function hostRouteActions(
  { routes }: Pick<HostRoutePlan, 'routes'>,
  observed: HostObserved,
): readonly HostRouteAction[] {
  const wanted = new Map<string, HostRoute>(routes.map((route) => [route.destination, route]));
  const kept = new Set<string>();
  const actions: HostRouteAction[] = [];
  for (const route of observed.routes.filter((each) => each.table === MAIN_TABLE && isOurs(each))) {
    const want = wanted.get(route.destination);
    if (want !== undefined && !kept.has(route.destination) && isSame(want, route)) kept.add(route.destination);
    else actions.push(deletion(route, want, observed.links));
  }
  for (const route of routes) if (!kept.has(route.destination)) actions.push(addition(route, observed.links));
  return actions.sort((a, b) => compareText(a.target, b.target) || compareText(b.kind, a.kind));
}

/** Everything that we ever made, for good: `fairlead agent --cleanup`. */
export const hostRouteRemovals = (observed: HostObserved): readonly HostRouteAction[] =>
  hostRouteActions({ routes: [] }, observed);

/** Whether an event can make a difference to this plan; most are about pods that come and go. */
export function createConcern(claims: HostClaims, plan: HostRoutePlan): (event: RouteEvent) => boolean {
  const routes = new Map<string, HostRoute>(plan.routes.map((route) => [route.destination, route]));
  const destinations = new Set<string>([...claims.others, ...plan.routes].map(({ destination }) => destination));
  const hops = new Set(claims.others.flatMap(({ nextHops }) => nextHops));
  const links = new Set(plan.routes.flatMap((route) => (route.type === 'unicast' ? [route.link] : [])));
  const isWaiting = plan.problems.some(({ code }) => code === 'FL_ROUTE_OFF_LINK');
  return (event) => {
    switch (event.kind) {
      case 'lost':
        return true;
      case 'link':
        return links.has(event.link.index);
      case 'address':
        return links.has(event.address.link) || (isWaiting && !isHost(event.address));
      case 'route': {
        const { route, gone } = event;
        if (route.table !== MAIN_TABLE) return false;
        const want = routes.get(route.destination);
        // Our own additions and removals come back as events, too.
        if (isOurs(route)) return gone === (want !== undefined && isSame(want, route));
        const block = parseBlock(route.destination);
        if (block === undefined || destinations.has(route.destination)) return true;
        // A wider one may be the way to a node; a host route only to that very node.
        return block.prefixLength < BITS[block.family] || hops.has(addressOf(route.destination));
      }
      default:
        return event satisfies never;
    }
  };
}

interface Kernel {
  /** Ways of the main table by destination, without ours: a route of ours is never the way to a node. */
  readonly ways: Prefixes<RouteRecord>;
  /** This node's own addresses. */
  readonly local: ReadonlySet<string>;
  readonly links: readonly LinkRecord[];
}

function kernelOf({ links, routes }: HostObserved): Kernel {
  const ways = createPrefixes<RouteRecord>([]);
  const usable = routes.filter((route) => route.table === MAIN_TABLE && !isOurs(route) && (route.flags & DEAD) === 0);
  // Of several ways to one destination the first counts: the kernel takes the lowest metric.
  for (const route of usable.sort((a, b) => a.metric - b.metric)) ways.add(blockOf(route.destination), route);
  const local = routes.filter(({ table, type }) => table === LOCAL_TABLE && type === 'local');
  return { ways, local: new Set(local.map(({ destination }) => addressOf(destination))), links };
}

/** The first address of the node that is on a link of ours, or why none is. As RouteGet: longest prefix, then metric. */
function hopTo(
  { node, destination, nextHops }: HostClaim,
  kernel: Kernel,
): { via: string; link: number } | { text: string } {
  const reasons: string[] = [];
  for (const via of nextHops) {
    const block = hostBlock(via);
    const way = block && (kernel.ways.within(block) ?? kernel.ways.around(block));
    const link = way && linkOf(way);
    if (kernel.local.has(via)) reasons.push(`${via} is an address of this node itself`);
    else if (way === undefined) reasons.push(`there is no way to ${via}`);
    else if (link === undefined) reasons.push(`the way to ${via} leads ${wayOf(way, kernel.links)}`);
    else return { via, link };
  }
  if (reasons.length === 0) reasons.push(`its Node has no InternalIP of the family of ${destination}`);
  return { text: `node ${node} is not on a segment with this one: ${reasons.join('; ')}` };
}

/** The interface of a way without a gateway. */
function linkOf({ type, via, link, hops }: RouteRecord): number | undefined {
  if (type !== 'unicast' || via !== undefined) return undefined;
  return link ?? hops?.find((hop) => hop.via === undefined)?.link;
}

const isOurs = ({ protocol }: RouteRecord): boolean => protocol === HOST_ROUTE_PROTOCOL;

function isSame(want: HostRoute, { type, metric, via, link, destination }: RouteRecord): boolean {
  if (want.type !== type) return false;
  // The kernel files IPv6 blackholes under lo.
  if (want.type === 'blackhole') return metric === LAST_RESORT;
  return (
    metric === DEFAULT_METRIC[destination.includes(':') ? 'ipv6' : 'ipv4'] && via === want.via && link === want.link
  );
}

function addition(route: HostRoute, links: readonly LinkRecord[]): HostRouteAction {
  const { destination, type } = route;
  const base = { kind: 'newRoute', destination, type, protocol: HOST_ROUTE_PROTOCOL } as const;
  if (route.type === 'blackhole')
    return {
      kind: 'addRoute',
      target: destination,
      reason: 'the free addresses of this node lead nowhere',
      message: { ...base, metric: LAST_RESORT },
    };
  const { via, link, node } = route;
  return {
    kind: 'addRoute',
    target: destination,
    reason: `pod CIDR of node ${node}, ${wayOf(route, links)}`,
    message: { ...base, via, link },
  };
}

function deletion(route: RouteRecord, want: HostRoute | undefined, links: readonly LinkRecord[]): HostRouteAction {
  const { destination, type, metric, via, link } = route;
  const isUnicast = type === 'unicast';
  return {
    kind: 'deleteRoute',
    target: destination,
    reason: want === undefined ? 'no node has this pod CIDR' : `it leads ${wayOf(route, links)}`,
    message: {
      kind: 'deleteRoute',
      destination,
      metric,
      // Ours, whatever else stands there by now.
      protocol: HOST_ROUTE_PROTOCOL,
      ...(type === 'blackhole' ? { type } : {}),
      ...(isUnicast && via !== undefined ? { via } : {}),
      ...(isUnicast && link !== undefined ? { link } : {}),
    },
  };
}

type Way = {
  readonly type: string;
  readonly via?: string;
  readonly link?: number;
  readonly hops?: RouteRecord['hops'];
};

function wayOf(way: Way | undefined, links: readonly LinkRecord[]): string {
  const { type = 'unicast', via, link, hops } = way ?? {};
  const dev = (index: number | undefined): string =>
    index === undefined ? '' : ` over ${links.find((each) => each.index === index)?.name ?? `interface ${index}`}`;
  if (type !== 'unicast') return `nowhere (${type})`;
  if (hops !== undefined) return `to ${hops.map((hop) => `${hop.via ?? 'the segment'}${dev(hop.link)}`).join(' and ')}`;
  return via === undefined ? `to the segment${dev(link)}` : `to ${via}${dev(link)}`;
}

function groupByDestination(routes: readonly RouteRecord[]): ReadonlyMap<string, readonly RouteRecord[]> {
  return Map.groupBy(routes, ({ destination }) => destination);
}

function hostBlock(address: string): Block | undefined {
  const ip = parseIp(address);
  return ip && blockAt(ip, BITS[ip.family]);
}

const addressOf = (destination: Cidr): string => destination.slice(0, destination.indexOf('/'));

const isHost = ({ address, prefixLength }: { readonly address: string; readonly prefixLength: number }): boolean =>
  prefixLength === (address.includes(':') ? BITS.ipv6 : BITS.ipv4);
