import { compareText, sortedRecord } from '../equal.ts';
import { failure } from '../errors.ts';
import { canonicalIp, parseIp } from '../net/ip.ts';
import { type EndpointSlice, keyOf, type Service, type ServicePort } from '../objects.ts';
import type {
  HealthCheck,
  Interpretation,
  IpFamily,
  Listener,
  LoadBalancerSpec,
  LoadBalancers,
  ServiceFacts,
  ServiceView,
  Shortfall,
  Target,
} from '../provider.ts';
import { allowsAll, optionsOf, sourceRangesOf, sourcesNamed, sourcesOf, unknownAnnotations } from './annotations.ts';
import { type Backend, backendsOf, countByNode } from './endpoints.ts';
import { type EventText, noNodes, warning } from './events.ts';
import type { PortError } from './ingress.ts';
import type { Member } from './nodes.ts';
import { nodeTargetsOf, podTargetsOf, type TargetCache } from './targets.ts';
import { foreignFinalizers } from './wanted.ts';

/** Health of a node under externalTrafficPolicy Cluster: kube-proxy's and our agent's (KEP-3836). */
const PROXY_HEALTH: HealthCheck = { protocol: 'HTTP', port: 10256, path: '/healthz' };
/** Of the API, where ClientIP affinity comes without a time. */
const DEFAULT_AFFINITY_SECONDS = 10_800;

export interface World {
  readonly cluster: string;
  readonly interpret?: LoadBalancers['interpret'];
  /** `NodePass.members`; not read for target kinds other than 'node'. */
  readonly members: readonly Member[];
  /** Those of this Service; read for pods and for `countEndpoints` only, so it is a function. */
  readonly slices: () => readonly EndpointSlice[];
  /** UIDs of pods that are ContainersReady; read where an interpretation asks for it only, so it is a function. */
  readonly containersReady?: () => ReadonlySet<string>;
  readonly cache?: TargetCache;
  /** Annotations under our own prefixes that the provider reads besides those of annotations.ts. */
  readonly knownAnnotations?: ReadonlySet<string>;
}

/** What a Service asks for, and what of it the spec cannot hold. */
export interface DesiredLoadBalancer {
  readonly spec: LoadBalancerSpec;
  /** Tells which other objects can change the spec: nodes, slices, pods. */
  readonly interpretation: Interpretation;
  readonly shortfalls: readonly Shortfall[];
  readonly portErrors: readonly PortError[];
  /** To be said when the spec changes, not at every look. */
  readonly warnings: readonly EventText[];
}

/**
 * The spec of a Service of ours. A function of its inputs alone: equal inputs, in whatever order nodes, slices, labels and
 * annotations come, give deep-equal specs, and nothing that Fairlead writes on the Service changes them.
 * Throws ProviderError: FL_SOURCE_RANGE_INVALID, FL_NODE_PORTS_UNSUPPORTED, and what `interpret` throws.
 */
export function desiredOf(service: Service, world: World): DesiredLoadBalancer {
  const view = viewOf(service);
  const interpretation = world.interpret?.(view) ?? {};
  const families = familiesOf(service);
  const [family] = families;
  const targetKind = interpretation.targetKind ?? 'node';
  const ranges = sourceRangesOf(service);
  const sources = sourcesOf(ranges, families);
  const isOpenToBoth = allowsAll(ranges, 'ipv4') && allowsAll(ranges, 'ipv6');
  const backends = needsBackends(interpretation) ? backendsFor(family, interpretation, world) : [];
  const { listeners, targets, shortfalls, portErrors } = destinationOf(
    service,
    family,
    interpretation,
    backends,
    world,
  );
  const spec: LoadBalancerSpec = {
    key: keyOf(service),
    uid: service.metadata.uid,
    cluster: world.cluster,
    ...(interpretation.scheme === undefined ? {} : { scheme: interpretation.scheme }),
    families,
    addresses: addressesOf(service),
    sources,
    ...(sources.length > 0 || isOpenToBoth ? {} : { namedSources: sourcesNamed(ranges) }),
    listeners,
    targetKind,
    targets,
    trafficPolicy: view.trafficPolicy,
    ...affinityOf(service),
    health: interpretation.health ?? healthOf(service, targetKind, listeners),
    options: view.options,
    service: interpretation.countEndpoints === true ? { ...view.facts, endpoints: backends.length } : view.facts,
  };
  return { spec, interpretation, shortfalls, portErrors, warnings: warningsOf(service, spec, world) };
}

/** What a provider's `interpret` gets. */
export function viewOf(service: Service): ServiceView {
  return {
    facts: factsOf(service),
    options: optionsOf(service),
    trafficPolicy: service.spec.externalTrafficPolicy === 'Local' ? 'local' : 'cluster',
  };
}

interface Destination {
  readonly listeners: readonly Listener[];
  readonly targets: readonly Target[];
  readonly shortfalls: readonly Shortfall[];
  readonly portErrors: readonly PortError[];
}

function destinationOf(
  service: Service,
  family: IpFamily,
  { targetKind = 'node', acceptsNode, countEndpoints }: Interpretation,
  backends: readonly Backend[],
  { members, cache }: World,
): Destination {
  const ports = (service.spec.ports ?? []).toSorted(byPort);
  const none = { shortfalls: [], portErrors: [] };
  switch (targetKind) {
    case 'none':
      return { listeners: ports.map((port) => listenerOf(port, port.nodePort ?? 0)), targets: [], ...none };
    case 'pod': {
      const { targets, ports: common } = podTargetsOf(backends, ports.map(podPortOf));
      return { listeners: ports.map((port) => listenerOf(port, common.get(port.name ?? '') ?? 0)), targets, ...none };
    }
    case 'node': {
      const targets = nodeTargetsOf(members, {
        family,
        accepts: acceptsNode,
        ...(countEndpoints === true ? { counts: countByNode(backends) } : {}),
        ...(cache === undefined ? {} : { cache }),
      });
      return { targets, ...nodePortListeners(service, ports) };
    }
    default:
      return targetKind satisfies never;
  }
}

/** A port without a node port leads nowhere: say so, and refuse when that leaves none. */
function nodePortListeners(service: Service, ports: readonly ServicePort[]): Omit<Destination, 'targets'> {
  const missing = ports.filter(({ nodePort = 0 }) => nodePort === 0);
  if (missing.length > 0 && missing.length === ports.length) {
    const field = 'spec.allocateLoadBalancerNodePorts';
    const message = `${field}: no port has a node port, and this provider sends to node ports; set it to true`;
    throw failure('FL_NODE_PORTS_UNSUPPORTED', message, { field });
  }
  const all = service.spec.ports ?? [];
  return {
    listeners: ports
      .filter(({ nodePort = 0 }) => nodePort > 0)
      .map((port) => listenerOf(port, port.nodePort as number)),
    shortfalls: missing.map((port) => ({
      reason: 'PortsNotSupported',
      field: `spec.ports[${all.indexOf(port)}].nodePort`,
      message: `port ${port.port}/${port.protocol ?? 'TCP'} has no node port, to which this provider sends`,
    })),
    portErrors: missing.map(({ port, protocol = 'TCP' }) => ({ port, protocol, error: 'NodePortMissing' })),
  };
}

function listenerOf(
  { name = '', protocol = 'TCP', port, appProtocol, targetPort: wish }: ServicePort,
  targetPort: number,
): Listener {
  return {
    name,
    protocol,
    port,
    targetPort,
    ...(appProtocol === undefined ? {} : { appProtocol }),
    ...(typeof wish === 'string' ? { targetPortName: wish } : {}),
  };
}

/** By number, then protocol: the order in the Service means nothing to a load balancer. */
function byPort(a: ServicePort, b: ServicePort): number {
  return a.port - b.port || compareText(a.protocol ?? 'TCP', b.protocol ?? 'TCP');
}

const podPortOf = ({ name = '', port, targetPort = port }: ServicePort) => ({ name, targetPort });

const needsBackends = ({ targetKind, countEndpoints }: Interpretation): boolean =>
  targetKind === 'pod' || countEndpoints === true;

function backendsFor(family: IpFamily, interpretation: Interpretation, world: World): readonly Backend[] {
  const containersReady = interpretation.containersReady === true ? world.containersReady?.() : undefined;
  return backendsOf(world.slices(), { family, ...(containersReady === undefined ? {} : { containersReady }) });
}

/** In the order of the Service, whose first family is its primary one. At least one. */
function familiesOf({ spec }: Service): readonly [IpFamily, ...IpFamily[]] {
  const declared = (spec.ipFamilies ?? []).map((family): IpFamily => (family === 'IPv6' ? 'ipv6' : 'ipv4'));
  const known = declared.length > 0 ? declared : clusterIPsOf(spec).flatMap((ip) => parseIp(ip)?.family ?? []);
  const [first = 'ipv4', ...rest] = new Set(known);
  return [first, ...rest];
}

function clusterIPsOf({ clusterIPs, clusterIP }: Service['spec']): readonly string[] {
  const all = clusterIPs ?? (clusterIP === undefined ? [] : [clusterIP]);
  return all.filter((ip) => ip !== '' && ip !== 'None');
}

/** Canonical where it is an address; what is none goes on as it is, for the provider to refuse in its own words. */
function addressesOf({ spec: { loadBalancerIP = '' } }: Service): readonly string[] {
  const wish = loadBalancerIP.trim();
  return wish === '' ? [] : [canonicalIp(wish) ?? wish];
}

function affinityOf({ spec }: Service): { readonly affinitySeconds?: number } {
  if (spec.sessionAffinity !== 'ClientIP') return {};
  return { affinitySeconds: spec.sessionAffinityConfig?.clientIP?.timeoutSeconds ?? DEFAULT_AFFINITY_SECONDS };
}

function healthOf(
  { spec }: Service,
  kind: LoadBalancerSpec['targetKind'],
  listeners: readonly Listener[],
): HealthCheck {
  const { externalTrafficPolicy, healthCheckNodePort = 0 } = spec;
  if (kind === 'pod') {
    const listener = listeners.find(({ protocol }) => protocol === 'TCP') ?? listeners[0];
    return { protocol: 'TCP', port: listener?.targetPort ?? 0 };
  }
  if (externalTrafficPolicy !== 'Local' || healthCheckNodePort === 0) return PROXY_HEALTH;
  return { protocol: 'HTTP', port: healthCheckNodePort, path: '/healthz' };
}

function factsOf(service: Service): ServiceFacts {
  const { metadata, spec } = service;
  const { loadBalancerClass, trafficDistribution } = spec;
  return {
    namespace: metadata.namespace ?? '',
    name: metadata.name,
    labels: sortedRecord(metadata.labels ?? {}),
    selector: sortedRecord(spec.selector ?? {}),
    ipFamilyPolicy: spec.ipFamilyPolicy ?? 'SingleStack',
    clusterIPs: clusterIPsOf(spec),
    ...(loadBalancerClass === undefined ? {} : { loadBalancerClass }),
    finalizers: foreignFinalizers(service).toSorted(compareText),
    ...(trafficDistribution === undefined ? {} : { trafficDistribution }),
  };
}

function warningsOf(service: Service, { targetKind, targets }: LoadBalancerSpec, world: World): readonly EventText[] {
  const unknown = unknownAnnotations(service, world.knownAnnotations);
  return [
    ...unknown.map(({ message }) => warning('UnknownAnnotation', message)),
    ...(targetKind === 'node' && targets.length === 0 ? [noNodes] : []),
  ];
}
