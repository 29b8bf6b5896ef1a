import { compareText } from '../equal.ts';
import { type Block, blockOf, contains, formatBlock, parseBlock } from '../net/cidr.ts';
import type { Action, Cidr, Route } from '../provider.ts';
import { createPrefixes } from './prefixes.ts';
import type { WantedRoute } from './wanted.ts';

/** One write of one route. */
export type RouteAction =
  | (Action<'createRoute' | 'removeRoute'> & { readonly route: Route })
  | (Action<'replaceRoute'> & { readonly old: Route; readonly route: Route });

/** What is to do for one destination in one table: in this order, one after the other. */
export type RouteChain = readonly RouteAction[];

/** The routes that the cloud has for one destination, and what stands in the way of one more. */
export interface ObservedDestination {
  /** Ours alone: inside a cluster CIDR and not foreign. */
  readonly routes: readonly Route[];
  /** Others' routes that a new one would collide with, or that would take a part of its traffic. */
  readonly obstacles: readonly Route[];
}

export interface ChainOptions {
  readonly wanted: WantedRoute | undefined;
  readonly observed: ObservedDestination;
  /** Ids of our tables; [''] where the cloud has only one. What is in others is none of our business. */
  readonly tables: readonly string[];
  /** The cloud can move a route in one call. */
  readonly replaces: boolean;
}

/**
 * What leads from the routes of one destination to the wanted one: one chain per table in which something is to do. A wrong
 * route goes before the right one comes, or both in one call, so a table never has two routes for a destination. A table
 * with an obstacle only loses routes. Nothing at all while the wanted next hop is not known.
 */
export function chainsOf({ wanted, observed, tables, replaces }: ChainOptions): readonly RouteChain[] {
  if (wanted !== undefined && wanted.nextHop === undefined) return [];
  return [...tables]
    .sort(compareText)
    .map((table) => chainIn(table, { wanted, observed, tables, replaces }))
    .filter(({ length }) => length > 0);
}

/** The wanted route is in every table, and nothing else is there for its destination. */
export function isDone(options: Omit<ChainOptions, 'replaces'>): boolean {
  const isKnown = options.wanted === undefined || options.wanted.nextHop !== undefined;
  return isKnown && blockers(options).length === 0 && chainsOf({ ...options, replaces: false }).length === 0;
}

/** Others' routes because of which this destination cannot get its route. */
export function blockers(options: Omit<ChainOptions, 'replaces'>): readonly Route[] {
  if (options.wanted === undefined) return [];
  return options.tables.flatMap((table) => (hasWanted(table, options) ? [] : obstaclesIn(table, options)));
}

/** Routes of the cloud by destination. A route is responsible for when it lies inside a cluster CIDR and is not foreign. */
export interface RouteIndex {
  of(destination: Cidr): ObservedDestination;
  /** Destinations of routes that we are responsible for, sorted. */
  readonly destinations: readonly Cidr[];
}

/** Length of a CIDR's prefix in bits. */
export const prefixLengthOf = (cidr: Cidr): number => Number(cidr.slice(cidr.indexOf('/') + 1));

/** `lengths`: prefix lengths of all destinations whose `obstacles` will be asked for; of others they are incomplete. */
export function routeIndex(
  routes: readonly Route[],
  { clusterCidrs, lengths }: { readonly clusterCidrs: readonly Cidr[]; readonly lengths: ReadonlySet<number> },
): RouteIndex {
  const clusters = clusterCidrs.map(blockOf);
  const foreign = new Map<string, ReturnType<typeof createPrefixes<Route>>>(); // table -> what is others'
  const ours = new Map<Cidr, Route[]>(); // destination -> routes of all tables
  for (const listed of routes) {
    const block = parseBlock(listed.destination);
    if (block === undefined) continue; // no destination of ours looks like that
    const destination = formatBlock(block);
    const route = { ...listed, destination };
    if (route.foreign === true) {
      const prefixes = foreign.get(tableOf(route)) ?? createPrefixes<Route>(lengths);
      foreign.set(tableOf(route), prefixes);
      prefixes.add(block, route);
    } else if (clusters.some((cluster) => contains(cluster, block))) {
      ours.set(destination, [...(ours.get(destination) ?? []), route]);
    }
  }
  const obstaclesOf = (block: Block): readonly Route[] =>
    [...foreign.values()].flatMap((prefixes) => prefixes.within(block) ?? []);
  return {
    of: (destination) => ({
      routes: ours.get(destination) ?? [],
      obstacles: obstaclesOf(blockOf(destination)),
    }),
    destinations: [...ours.keys()].sort(compareText),
  };
}

export const tableOf = ({ table = '' }: Pick<Route, 'table'>): string => table;

function chainIn(table: string, options: ChainOptions): RouteChain {
  const { wanted, observed, replaces } = options;
  const here = observed.routes.filter((route) => tableOf(route) === table);
  const right = wanted === undefined ? undefined : here.find(({ nextHop }) => nextHop === wanted.nextHop);
  const wrong = here.filter((route) => route !== right);
  const isOver = wanted === undefined || right !== undefined;
  if (isOver || obstaclesIn(table, options).length > 0) return wrong.map((route) => removal(route, wanted));
  const route = routeTo(wanted, table);
  const [first, ...others] = wrong;
  if (first !== undefined && replaces) return [...others.map((old) => removal(old, wanted)), replacement(first, route)];
  return [...wrong.map((old) => removal(old, wanted)), creation(route)];
}

function hasWanted(table: string, { wanted, observed }: Pick<ChainOptions, 'wanted' | 'observed'>): boolean {
  return observed.routes.some((route) => tableOf(route) === table && route.nextHop === wanted?.nextHop);
}

function obstaclesIn(table: string, { observed }: Pick<ChainOptions, 'observed'>): readonly Route[] {
  return observed.obstacles.filter((route) => tableOf(route) === table);
}

function routeTo({ nextHop = '', ...wanted }: WantedRoute, table: string): Route {
  return { ...wanted, nextHop, ...(table === '' ? {} : { table }) };
}

function creation(route: Route): RouteAction {
  return { kind: 'createRoute', target: nameOf(route), reason: `pod CIDR of node ${route.node}`, route };
}

function replacement(old: Route, route: Route): RouteAction {
  const reason = `pod CIDR of node ${route.node}, ${leadsTo(old)}`;
  return { kind: 'replaceRoute', target: nameOf(route), reason, old, route };
}

function removal(route: Route, wanted: WantedRoute | undefined): RouteAction {
  const reason = wanted === undefined ? 'no node has this pod CIDR' : `${leadsTo(route)}, not to node ${wanted.node}`;
  return { kind: 'removeRoute', target: nameOf(route), reason, route };
}

const leadsTo = ({ nextHop, blackhole }: Route): string =>
  blackhole === true && nextHop === '' ? 'leads nowhere' : `leads to ${nextHop}`;

const nameOf = ({ table, destination }: Route): string =>
  table === undefined ? destination : `${destination} in ${table}`;
