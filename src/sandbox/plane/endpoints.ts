import { type Draft, same } from '../api/json.ts';
import { familyOf } from '../api/words.ts';

/** What this controller reads of a Service and of a pod. */
export interface ServiceView extends Draft {
  readonly spec: {
    readonly type?: string;
    readonly selector?: Readonly<Record<string, string>>;
    readonly clusterIPs?: readonly string[];
    readonly ipFamilies?: readonly ('IPv4' | 'IPv6')[];
    readonly publishNotReadyAddresses?: boolean;
    readonly ports?: readonly {
      readonly name?: string;
      readonly protocol?: string;
      readonly appProtocol?: string;
      readonly targetPort?: number | string;
    }[];
  };
}
export interface PodView extends Draft {
  readonly spec: {
    readonly nodeName?: string;
    readonly hostname?: string;
    readonly subdomain?: string;
    readonly containers?: readonly {
      readonly ports?: readonly {
        readonly name?: string;
        readonly containerPort: number;
        readonly protocol?: string;
      }[];
    }[];
  };
  readonly status?: {
    readonly phase?: string;
    readonly podIPs?: readonly { readonly ip: string }[];
    readonly podIP?: string;
    readonly conditions?: readonly { readonly type: string; readonly status: string }[];
  };
}

export interface Endpoint {
  readonly addresses: readonly string[];
  readonly conditions: { readonly ready: boolean; readonly serving: boolean; readonly terminating: boolean };
  readonly hostname?: string;
  readonly targetRef: {
    readonly kind: 'Pod';
    readonly namespace?: string;
    readonly name?: string;
    readonly uid?: string;
  };
  readonly nodeName?: string;
  readonly zone?: string;
}
export interface EndpointPort {
  readonly name: string;
  readonly protocol: string;
  readonly port: number;
  readonly appProtocol?: string;
}
export interface DesiredSlice {
  readonly addressType: 'IPv4' | 'IPv6';
  readonly endpoints: readonly Endpoint[] | null;
  readonly ports: readonly EndpointPort[] | null;
}

/** --max-endpoints-per-slice. */
const perSlice = 100;

/**
 * Pure: what to write so that the slices say where the pods are. An endpoint stays in its slice; new ones fill slices
 * with room before new slices are made. A Service without endpoints keeps one empty slice per family.
 */
export function desiredSlices(
  service: ServiceView,
  pods: readonly PodView[],
  live: readonly Draft[],
  zoneOf: (node: string) => string | undefined,
): {
  readonly create: readonly DesiredSlice[];
  readonly update: readonly (readonly [Draft, DesiredSlice])[];
  readonly remove: readonly Draft[];
} {
  const create: DesiredSlice[] = [];
  const update: (readonly [Draft, DesiredSlice])[] = [];
  const left = new Set(live);
  for (const family of service.spec.ipFamilies ?? []) {
    for (const group of groupsOf(service, pods, family, zoneOf)) {
      const own = [...left].filter((slice) => slice['addressType'] === family && samePorts(slice, group.ports));
      for (const slice of own) left.delete(slice);
      const packed = pack(group, own);
      create.push(...packed.create);
      update.push(...packed.update);
      for (const slice of packed.remove) left.add(slice);
    }
  }
  return { create, update, remove: [...left] };
}

interface Group {
  readonly addressType: 'IPv4' | 'IPv6';
  readonly ports: readonly EndpointPort[] | null;
  readonly endpoints: readonly Endpoint[];
}

/** Pods with equal port numbers share slices: a named target port may differ from pod to pod. */
function groupsOf(
  service: ServiceView,
  pods: readonly PodView[],
  family: 'IPv4' | 'IPv6',
  zoneOf: (node: string) => string | undefined,
): readonly Group[] {
  const groups = new Map<string, { readonly ports: readonly EndpointPort[] | null; readonly endpoints: Endpoint[] }>();
  for (const pod of pods) {
    const address = addressOf(pod, family);
    if (address === undefined || pod.status?.phase === 'Failed' || pod.status?.phase === 'Succeeded') continue;
    const ports = portsOf(service, pod);
    if (ports === undefined) continue;
    const group = groups.get(JSON.stringify(ports)) ?? { ports, endpoints: [] };
    groups.set(JSON.stringify(ports), group);
    group.endpoints.push(endpointOf(service, pod, address, zoneOf));
  }
  if (groups.size === 0) return [{ addressType: family, ports: null, endpoints: [] }];
  return [...groups.values()].map(({ ports, endpoints }) => ({ addressType: family, ports, endpoints }));
}

function addressOf({ status }: PodView, family: 'IPv4' | 'IPv6'): string | undefined {
  const all = status?.podIPs?.map(({ ip }) => ip) ?? (status?.podIP === undefined ? [] : [status.podIP]);
  return all.find((ip) => familyOf(ip) === (family === 'IPv4' ? 4 : 6));
}

/** Undefined when the pod has none of the Service's named ports; a headless Service may have no ports at all. */
function portsOf({ spec }: ServiceView, pod: PodView): readonly EndpointPort[] | undefined {
  const wanted = spec.ports ?? [];
  const found = wanted.flatMap(({ name = '', protocol = 'TCP', appProtocol, targetPort }) => {
    const port = typeof targetPort === 'string' ? containerPort(pod, targetPort, protocol) : targetPort;
    return port === undefined ? [] : [{ name, protocol, port, ...(appProtocol === undefined ? {} : { appProtocol }) }];
  });
  return found.length === 0 && wanted.length > 0 ? undefined : found;
}

function containerPort({ spec }: PodView, name: string, protocol: string): number | undefined {
  const ports = (spec.containers ?? []).flatMap((container) => container.ports ?? []);
  return ports.find((port) => port.name === name && (port.protocol ?? 'TCP') === protocol)?.containerPort;
}

function endpointOf(
  service: ServiceView,
  pod: PodView,
  address: string,
  zoneOf: (node: string) => string | undefined,
): Endpoint {
  const { name, namespace, uid, deletionTimestamp } = pod.metadata;
  const serving = service.spec.publishNotReadyAddresses === true || isReady(pod);
  const terminating = deletionTimestamp !== undefined;
  const { nodeName, hostname, subdomain } = pod.spec;
  const zone = nodeName === undefined ? undefined : zoneOf(nodeName);
  return {
    addresses: [address],
    conditions: {
      ready: service.spec.publishNotReadyAddresses === true || (serving && !terminating),
      serving,
      terminating,
    },
    ...(hostname !== undefined && subdomain === service.metadata.name ? { hostname } : {}),
    targetRef: {
      kind: 'Pod',
      ...(namespace === undefined ? {} : { namespace }),
      ...(name === undefined ? {} : { name }),
      ...(uid === undefined ? {} : { uid }),
    },
    ...(nodeName === undefined ? {} : { nodeName }),
    ...(zone === undefined ? {} : { zone }),
  };
}

const isReady = ({ status }: PodView): boolean =>
  (status?.conditions ?? []).some(({ type, status: is }) => type === 'Ready' && is === 'True');

const listed = <T>(value: unknown): readonly T[] => (Array.isArray(value) ? (value as T[]) : []);

/** An empty slice fits any group: its ports are only known with an endpoint. */
function samePorts(slice: Draft, ports: readonly EndpointPort[] | null): boolean {
  return same(listed(slice['ports']), ports ?? []) || listed(slice['endpoints']).length === 0;
}

function pack({ addressType, ports, endpoints }: Group, slices: readonly Draft[]): ReturnType<typeof desiredSlices> {
  const waiting = new Map(endpoints.map((endpoint) => [endpoint.targetRef.uid ?? endpoint.addresses[0], endpoint]));
  const kept = slices.map((slice) =>
    listed<Endpoint>(slice['endpoints']).flatMap((endpoint) => {
      const id = endpoint.targetRef?.uid ?? endpoint.addresses[0];
      const now = waiting.get(id);
      waiting.delete(id);
      return now === undefined ? [] : [now];
    }),
  );
  const fresh = [...waiting.values()];
  for (const list of kept) list.push(...fresh.splice(0, Math.max(0, perSlice - list.length)));
  const create: DesiredSlice[] = [];
  while (fresh.length > 0) create.push({ addressType, endpoints: fresh.splice(0, perSlice), ports });
  if (endpoints.length === 0 && slices.length === 0) create.push({ addressType, endpoints: null, ports: null });
  const update: (readonly [Draft, DesiredSlice])[] = [];
  const remove: Draft[] = [];
  for (const [index, slice] of slices.entries()) {
    const list = kept[index] as Endpoint[];
    if (list.length > 0) update.push([slice, { addressType, endpoints: list, ports }]);
    else if (endpoints.length === 0 && index === 0) update.push([slice, { addressType, endpoints: null, ports: null }]);
    else remove.push(slice);
  }
  return { create, update, remove };
}
