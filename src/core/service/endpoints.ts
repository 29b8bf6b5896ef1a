import { compareText } from '../equal.ts';
import type { Endpoint, EndpointSlice } from '../objects.ts';
import type { IpFamily } from '../provider.ts';

/** One pod, or one address of a Service without a selector, merged over the slices that mention it. */
export interface Backend {
  /** UID of the pod; the address where no pod stands behind it. */
  readonly id: string;
  readonly address: string;
  /** '' when the slice does not say. */
  readonly node: string;
  readonly zone?: string;
  /** 'ready' takes connections; 'terminating' still serves but goes (KEP-1669). */
  readonly state: 'ready' | 'terminating';
  /** Service port name -> port of the pod; `undefined`: the slice names no ports, which means all. */
  readonly ports: ReadonlyMap<string, number> | undefined;
}

export interface BackendOptions {
  readonly family: IpFamily;
  /** UIDs of pods whose ContainersReady is True: not ready counts as ready then (`Interpretation.containersReady`). */
  readonly containersReady?: ReadonlySet<string>;
}

/**
 * The endpoints of one family that serve, sorted by id. One in several slices appears once, ready if any slice says so: the
 * EndpointSlice controller moves endpoints between slices without a transaction. What is neither ready nor serving while
 * it terminates is left out.
 */
export function backendsOf(
  slices: readonly EndpointSlice[],
  { family, containersReady }: BackendOptions,
): readonly Backend[] {
  const backends = new Map<string, Backend>();
  const type = family === 'ipv4' ? 'IPv4' : 'IPv6';
  const sorted = slices
    .filter(({ addressType }) => addressType === type)
    .sort((a, b) => compareText(a.metadata.name, b.metadata.name));
  for (const slice of sorted) {
    const ports = portsOf(slice);
    for (const endpoint of slice.endpoints ?? []) {
      const backend = backendOf(endpoint, ports, containersReady);
      if (backend !== undefined) backends.set(backend.id, merged(backends.get(backend.id), backend));
    }
  }
  return [...backends.values()].sort((a, b) => compareText(a.id, b.id));
}

/** Serving endpoints per node name. */
export function countByNode(backends: readonly Backend[]): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const { node } of backends) counts.set(node, (counts.get(node) ?? 0) + 1);
  return counts;
}

function portsOf({ ports }: EndpointSlice): Backend['ports'] {
  if (ports === undefined || ports === null) return undefined;
  return new Map(ports.flatMap(({ name = '', port }) => (port === undefined ? [] : [[name, port] as const])));
}

function backendOf(
  endpoint: Endpoint,
  ports: Backend['ports'],
  containersReady: ReadonlySet<string> | undefined,
): Backend | undefined {
  const [address] = endpoint.addresses;
  const { targetRef, nodeName, zone } = endpoint;
  const uid = targetRef?.kind === 'Pod' ? targetRef.uid : undefined;
  const state = stateOf(endpoint, uid !== undefined && containersReady?.has(uid) === true);
  if (address === undefined || state === undefined) return undefined;
  const id = uid ?? address;
  return { id, address, node: nodeName ?? '', ...(zone === undefined ? {} : { zone }), state, ports };
}

function stateOf({ conditions = {} }: Endpoint, hasReadyContainers: boolean): Backend['state'] | undefined {
  const { ready = true, serving = ready, terminating = false } = conditions;
  if (ready) return 'ready';
  if (terminating) return serving ? 'terminating' : undefined;
  return hasReadyContainers ? 'ready' : undefined;
}

function merged(known: Backend | undefined, other: Backend): Backend {
  if (known === undefined) return other;
  const best = known.state === 'ready' ? known : other;
  if (known.ports === undefined || other.ports === undefined) return { ...best, ports: undefined };
  return { ...best, ports: new Map([...other.ports, ...known.ports]) };
}
