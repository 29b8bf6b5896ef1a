import { compareText } from '../equal.ts';
import { parseIp } from '../net/ip.ts';
import type { Node } from '../objects.ts';
import type { Interpretation, IpFamily, Target } from '../provider.ts';
import type { Backend } from './endpoints.ts';
import { type Member, readyOf, taintsOf, zoneOf } from './nodes.ts';

export interface NodeTargetOptions {
  /** Of the addresses; the Service's first. */
  readonly family: IpFamily;
  readonly accepts?: Interpretation['acceptsNode'];
  /** Serving endpoints by node name (`countByNode`): fills `Target.endpoints`. */
  readonly counts?: ReadonlyMap<string, number>;
  readonly cache?: TargetCache;
}

/**
 * The nodes of a pass as targets, sorted by id. externalTrafficPolicy does not matter: nodes without an endpoint fail the
 * health check (KEP-3458). With a cache equal results are one array: also over passes, and over Services whose provider
 * returns the same `acceptsNode` function for the same filter.
 */
export function nodeTargetsOf(members: readonly Member[], options: NodeTargetOptions): readonly Target[] {
  const { family, accepts, counts, cache } = options;
  // Counts belong to one Service: nothing to share.
  if (counts !== undefined || cache === undefined) return nodeTargets(members, options);
  return cache.get({ members, family, accepts }, () => nodeTargets(members, options));
}

/** What `podTargetsOf` needs of a Service port. */
export interface PodPort {
  readonly name: string;
  /** spec.targetPort; a number, or the name of a container port. */
  readonly targetPort: number | string;
}

export interface PodTargets {
  readonly targets: readonly Target[];
  /** Service port name -> the port that every target has, else 0: then each target's `ports` has its own or lacks it. */
  readonly ports: ReadonlyMap<string, number>;
}

/**
 * Pods as targets, sorted by id. Terminating ones that still serve drain; where only such are left they go on taking
 * connections (KEP-1669), so that the last pod of a Service is not taken away before its successor is there.
 */
export function podTargetsOf(backends: readonly Backend[], ports: readonly PodPort[]): PodTargets {
  const common = new Map(ports.map((port) => [port.name, commonPort(backends, port)]));
  const differing = ports.filter(({ name }) => common.get(name) === 0);
  const hasReady = backends.some(({ state }) => state === 'ready');
  const targets = backends.map((backend) => {
    const { id, node, address, zone, state } = backend;
    const entries = differing
      .map((port) => [port.name, portOn(backend, port)] as const)
      .filter(([, number]) => number > 0);
    return {
      id,
      node,
      address,
      ...(zone === undefined ? {} : { zone }),
      ...(entries.length === 0 ? {} : { ports: Object.fromEntries(entries) }),
      ...(state === 'terminating' && hasReady ? { draining: true as const } : {}),
    };
  });
  return { targets, ports: common };
}

/** Keeps one array per set of node targets. Holds no more sets than are in use by some Service or were so lately. */
export interface TargetCache {
  get(
    of: {
      readonly members: readonly Member[];
      readonly family: IpFamily;
      readonly accepts: Interpretation['acceptsNode'];
    },
    make: () => readonly Target[],
  ): readonly Target[];
}

/** @param capacity sets of equal content that are remembered over passes; filters per Service need more. */
export function createTargetCache(capacity = 32): TargetCache {
  const byPass = new WeakMap<readonly Member[], WeakMap<object, Map<IpFamily, readonly Target[]>>>();
  const byContent = new Map<string, readonly Target[]>(); // content -> array, the least recently used first
  const everyNode = {};

  function interned(targets: readonly Target[]): readonly Target[] {
    const content = JSON.stringify(targets);
    const known = byContent.get(content) ?? targets;
    byContent.delete(content);
    byContent.set(content, known);
    const [oldest] = byContent.keys();
    if (byContent.size > capacity && oldest !== undefined) byContent.delete(oldest);
    return known;
  }

  return {
    get({ members, family, accepts = undefined }, make) {
      const byFilter = entryOf(byPass, members, () => new WeakMap<object, Map<IpFamily, readonly Target[]>>());
      const byFamily = entryOf(byFilter, accepts ?? everyNode, () => new Map<IpFamily, readonly Target[]>());
      const known = byFamily.get(family) ?? interned(make());
      byFamily.set(family, known);
      return known;
    },
  };
}

function nodeTargets(members: readonly Member[], { family, accepts, counts }: NodeTargetOptions): readonly Target[] {
  return members
    .filter(({ node }) => accepts === undefined || accepts(viewOf(node)))
    .map(({ id, node, draining }) => {
      const { name } = node.metadata;
      const zone = zoneOf(node);
      return {
        id,
        node: name,
        address: addressOf(node, family),
        ...(zone === undefined ? {} : { zone }),
        ...(counts === undefined ? {} : { endpoints: counts.get(name) ?? 0 }),
        ...(draining ? { draining: true as const } : {}),
      };
    })
    .sort((a, b) => compareText(a.id, b.id));
}

function viewOf(node: Node): Parameters<NonNullable<Interpretation['acceptsNode']>>[0] {
  const { name, labels = {} } = node.metadata;
  return { name, labels, taints: taintsOf(node), ready: readyOf(node) };
}

/** Inside before outside, the wanted family before the other, in the order that the node lists them; '' when it has none. */
function addressOf({ status }: Node, family: IpFamily): string {
  const all = (status?.addresses ?? []).flatMap(({ type, address }) => {
    const ip = parseIp(address);
    if (ip === undefined || (type !== 'InternalIP' && type !== 'ExternalIP')) return [];
    return [{ address, rank: (ip.family === family ? 0 : 2) + (type === 'InternalIP' ? 0 : 1) }];
  });
  return all.sort((a, b) => a.rank - b.rank)[0]?.address ?? '';
}

/** The port of every backend, if it is the same one. Without backends the number of the spec; 0 for a name. */
function commonPort(backends: readonly Backend[], port: PodPort): number {
  if (backends.length === 0) return numberOf(port);
  const all = new Set(backends.map((backend) => portOn(backend, port)));
  const [only = 0] = all;
  return all.size === 1 ? only : 0;
}

/** Where this Service port ends on a backend; 0: the pod does not have it. */
function portOn({ ports }: Backend, port: PodPort): number {
  return ports === undefined ? numberOf(port) : (ports.get(port.name) ?? 0);
}

const numberOf = ({ targetPort }: PodPort): number => (typeof targetPort === 'number' ? targetPort : 0);

function entryOf<K extends object, V>(map: WeakMap<K, V>, key: K, make: () => V): V {
  const known = map.get(key) ?? make();
  map.set(key, known);
  return known;
}
