/** Which endpoints a client is balanced over (kube-proxy's CategorizeEndpoints; KEP-1669, KEP-2433, KEP-3015). */
import type { Registers } from '../net/element.ts';
import type { PortEndpoint } from './endpoints.ts';
import { MAX_SLOTS } from './value.ts';

export interface EndpointLists {
  /** For policy Cluster; empty when there is no endpoint anywhere. */
  readonly cluster: readonly Registers[];
  /** For policy Local. */
  readonly local: readonly Registers[];
  /** Every one that serves, once. */
  readonly serving: readonly Registers[];
  /** Addresses in either list that are on this node. */
  readonly hairpin: readonly Registers[];
  /** Endpoints beyond what a list can hold. */
  readonly excess: number;
}

export const NO_TARGETS: readonly Registers[] = [];

/** Ready ones filtered by topology, else those that serve while they terminate; the same of this node, without topology. */
export function listsOf(
  endpoints: readonly PortEndpoint[],
  node: { readonly nodeName: string; readonly zone?: string },
): EndpointLists {
  const ready = all(endpoints, isReady);
  const leaving = ready.length === endpoints.length ? [] : endpoints.filter(({ isLeaving }) => isLeaving);
  const filtered = byTopology(ready, node);
  const cluster = filtered.length > 0 ? filtered : leaving;
  const localReady = all(ready, isLocal);
  const local = localReady.length > 0 ? localReady : leaving.filter(isLocal);
  const targets = slots(cluster);
  const localTargets = local === cluster ? targets : slots(local);
  const serving = all(endpoints, isServing);
  return {
    cluster: targets.slots,
    local: localTargets.slots,
    serving: serving === cluster && targets.slots.length === serving.length ? targets.slots : serving.map(target),
    hairpin: hairpinOf(cluster, local),
    excess: Math.max(targets.excess, localTargets.excess),
  };
}

/** The ready endpoints that topology leaves; hints count only when every ready endpoint has one. */
function byTopology(
  ready: readonly PortEndpoint[],
  { nodeName, zone }: { readonly nodeName: string; readonly zone?: string },
): readonly PortEndpoint[] {
  const [first] = ready;
  if (first?.hints === undefined || first.hints === null) return ready;
  if (ready.every(({ hints }) => (hints?.forNodes ?? []).length > 0)) {
    const same = ready.filter(({ hints }) => hints?.forNodes?.some(({ name }) => name === nodeName));
    if (same.length > 0) return same;
  }
  if (zone !== undefined && ready.every(({ hints }) => (hints?.forZones ?? []).length > 0)) {
    const same = ready.filter(({ hints }) => hints?.forZones?.some(({ name }) => name === zone));
    if (same.length > 0) return same;
  }
  return ready;
}

/** Each target as often as its weight says, the weights reduced by what they have in common. */
function slots(endpoints: readonly PortEndpoint[]): { readonly slots: readonly Registers[]; readonly excess: number } {
  if (endpoints.length === 0) return { slots: NO_TARGETS, excess: 0 };
  let divisor = 0;
  for (const { weight } of endpoints) divisor = greatestDivisor(divisor, weight);
  const sum = endpoints.reduce((total, { weight }) => total + weight / divisor, 0);
  if (sum === endpoints.length) return capped(endpoints.map(target));
  // Too many slots: better everyone unweighted than some left out.
  if (sum > MAX_SLOTS) return { ...capped(endpoints.map(target)), excess: sum - MAX_SLOTS };
  return capped(endpoints.flatMap(({ target: of, weight }) => new Array<Registers>(weight / divisor).fill(of)));
}

function capped(targets: readonly Registers[]): { readonly slots: readonly Registers[]; readonly excess: number } {
  if (targets.length <= MAX_SLOTS) return { slots: targets, excess: 0 };
  return { slots: targets.slice(0, MAX_SLOTS), excess: targets.length - MAX_SLOTS };
}

function hairpinOf(...lists: readonly (readonly PortEndpoint[])[]): readonly Registers[] {
  let addresses: Set<Registers> | undefined;
  // The last four bytes are the port.
  for (const list of lists)
    for (const { isLocal: here, target: of } of list)
      if (here) addresses = (addresses ?? new Set()).add(of.slice(0, -4));
  return addresses === undefined ? NO_TARGETS : [...addresses].sort();
}

/** The list itself when all of it passes. */
function all(endpoints: readonly PortEndpoint[], passes: (endpoint: PortEndpoint) => boolean): readonly PortEndpoint[] {
  return endpoints.every(passes) ? endpoints : endpoints.filter(passes);
}

const greatestDivisor = (a: number, b: number): number => (b === 0 ? a : greatestDivisor(b, a % b));
const isReady = ({ isReady: is }: PortEndpoint): boolean => is;
const isServing = ({ isServing: is }: PortEndpoint): boolean => is;
const isLocal = ({ isLocal: is }: PortEndpoint): boolean => is;
const target = ({ target: is }: PortEndpoint): Registers => is;
