/** Services and EndpointSlices of the flow tests, as values. Every Service is dual stack and has all kinds of addresses. */
import {
  type Both,
  type Family,
  families,
  NODE,
  nodeOf,
  OTHER_NODE,
  POD_PORTS,
  type Pod,
  podAddress,
} from './world.ts';

export type Policy = 'Cluster' | 'Local';

/** An endpoint as text: pod a's port 8080 is 'a', its port 8081 'A'; then what is special about it. */
export interface EndpointSpec {
  readonly endpoint: string;
  /** Absent: ready. */
  readonly is?: 'terminating' | 'terminating, not serving' | 'not ready';
  readonly zones?: readonly string[];
  readonly nodes?: readonly string[];
}

/** Endpoints of a Service; each list is a slice of its own, and within one all have the same port. */
export type Slices = readonly (readonly EndpointSpec[])[];

export interface PortSpec {
  readonly name: string;
  readonly protocol: 'TCP' | 'UDP' | 'SCTP';
  readonly port: number;
  /** Pods' port, where all slices have the same (that of the endpoint's letter). */
  readonly targetPort?: number;
}

export interface ServiceSpec {
  readonly name: string;
  /** Chooses all its addresses and its node port; from 1 to 99. */
  readonly index: number;
  readonly slices: Slices;
  /** Default LoadBalancer. */
  readonly type?: 'ClusterIP' | 'NodePort' | 'LoadBalancer' | 'ExternalName';
  /** Default Cluster. */
  readonly internal?: Policy;
  readonly external?: Policy;
  /** Default: TCP, UDP and SCTP on port 80. */
  readonly ports?: readonly PortSpec[];
  readonly affinitySeconds?: number | undefined;
  readonly sourceRanges?: readonly string[];
  readonly labels?: Readonly<Record<string, string>>;
  /** In place of that of the index. */
  readonly lbAddress?: Both;
  /** Without load balancer addresses in its status. */
  readonly hasNoIngress?: boolean;
}

export const NAMESPACE = 'default';
export const NODES = ['n1', 'n2'] as const;
/** Zone of the node under test, and of the other. */
export const ZONE = { n1: 'z1', n2: 'z2' } as const;

export const allProtocols: readonly PortSpec[] = [
  { name: 'tcp', protocol: 'TCP', port: 80 },
  { name: 'udp', protocol: 'UDP', port: 80 },
  { name: 'sctp', protocol: 'SCTP', port: 80 },
];

const numbered = (v4: string, v6: string, number: number): Both => ({
  4: `${v4}${number}`,
  6: `${v6}${number.toString(16)}`,
});
export const clusterIp = (index: number): Both => numbered('10.96.1.', 'fd00:10:96::1', 100 + index);
export const unallocated: Both = { 4: '10.96.77.77', 6: 'fd00:10:96::7777' };
export const externalIp = (index: number): Both => numbered('192.0.2.', '2001:db8:192::', index);
/** ipMode VIP, unset, and Proxy. */
export const lbIp = (index: number): Both => numbered('203.0.113.', '2001:db8:203::', index);
export const lbIpUnset = (index: number): Both => numbered('203.0.113.', '2001:db8:203::1:', 100 + index);
export const lbIpProxy = (index: number): Both => numbered('198.18.0.', '2001:db8:204::', index);
export const nodePort = (index: number, nth = 0): number => 30_000 + 100 * nth + index;

export interface ApiObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly labels?: Readonly<Record<string, string>> };
  readonly [field: string]: unknown;
}

export function service(spec: ServiceSpec): ApiObject {
  const { name, index, type = 'LoadBalancer', internal = 'Cluster', external = 'Cluster', labels } = spec;
  const metadata = { name, ...(labels === undefined ? {} : { labels }) };
  if (type === 'ExternalName')
    return { apiVersion: 'v1', kind: 'Service', metadata, spec: { type, externalName: 'example.com' } };
  const own = clusterIp(index);
  const external_ = externalIp(index);
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata,
    spec: {
      type,
      ipFamilyPolicy: 'RequireDualStack',
      ipFamilies: ['IPv4', 'IPv6'],
      clusterIP: own[4],
      clusterIPs: [own[4], own[6]],
      externalIPs: [external_[4], external_[6]],
      internalTrafficPolicy: internal,
      externalTrafficPolicy: external,
      // The API server's own choice may be a node port of ours.
      ...(type === 'LoadBalancer' && external === 'Local' ? { healthCheckNodePort: 32_000 + index } : {}),
      ports: portsOf(spec).map(({ name: portName, protocol, port, targetPort }, nth) => ({
        name: portName,
        protocol,
        port,
        ...(targetPort === undefined ? {} : { targetPort }),
        ...(type === 'ClusterIP' ? {} : { nodePort: nodePort(index, nodePortOf(spec, nth)) }),
      })),
      ...(spec.affinitySeconds === undefined
        ? {}
        : {
            sessionAffinity: 'ClientIP',
            sessionAffinityConfig: { clientIP: { timeoutSeconds: spec.affinitySeconds } },
          }),
      ...(spec.sourceRanges === undefined ? {} : { loadBalancerSourceRanges: spec.sourceRanges }),
    },
  };
}

/** Ports with one number share a node port: several protocols on one number there too. */
function nodePortOf(spec: ServiceSpec, nth: number): number {
  const numbers = [...new Set(portsOf(spec).map(({ port }) => port))];
  return numbers.indexOf(portsOf(spec)[nth]?.port ?? 0);
}

export function portsOf({ ports = allProtocols }: ServiceSpec): readonly PortSpec[] {
  return ports;
}

export function status({ index, type = 'LoadBalancer', lbAddress = lbIp(index), hasNoIngress }: ServiceSpec): object {
  if (type !== 'LoadBalancer' || hasNoIngress === true) return { loadBalancer: { ingress: null } }; // of a merge patch: none
  const ingress = families.flatMap((family) => [
    { ip: lbAddress[family], ipMode: 'VIP' },
    { ip: lbIpUnset(index)[family] },
    { ip: lbIpProxy(index)[family], ipMode: 'Proxy' },
  ]);
  return { loadBalancer: { ingress } };
}

export function endpointSlices(spec: ServiceSpec): readonly ApiObject[] {
  return spec.slices.flatMap((slice, nth) => families.map((family) => endpointSlice(spec, slice, { nth, family })));
}

function endpointSlice(
  spec: ServiceSpec,
  slice: readonly EndpointSpec[],
  { nth, family }: { readonly nth: number; readonly family: Family },
): ApiObject {
  const isUpper = slice[0] !== undefined && slice[0].endpoint === slice[0].endpoint.toUpperCase();
  return {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: {
      name: `${spec.name}-${nth}-v${family}`,
      labels: { 'kubernetes.io/service-name': spec.name, 'endpointslice.kubernetes.io/managed-by': 'flows' },
    },
    addressType: `IPv${family}`,
    ports: portsOf(spec).map(({ name, protocol, targetPort = isUpper ? POD_PORTS.upper : POD_PORTS.lower }) => ({
      name,
      protocol,
      port: targetPort,
    })),
    endpoints: slice.map((endpoint) => endpointOf(endpoint, family)),
  };
}

function endpointOf({ endpoint, is, zones, nodes }: EndpointSpec, family: Family): object {
  const pod = endpoint.toLowerCase() as Pod;
  const nodeName = nodeOf(pod);
  const isTerminating = is === 'terminating' || is === 'terminating, not serving';
  const hints = {
    ...(zones === undefined ? {} : { forZones: zones.map((name) => ({ name })) }),
    ...(nodes === undefined ? {} : { forNodes: nodes.map((name) => ({ name })) }),
  };
  return {
    addresses: [podAddress(pod)[family]],
    nodeName,
    zone: ZONE[nodeName],
    conditions: {
      ready: is === undefined,
      serving: is === undefined || is === 'terminating',
      terminating: isTerminating,
    },
    ...(Object.keys(hints).length === 0 ? {} : { hints }),
  };
}

/** Without a pod CIDR: the proxies are told of pods by a flag, or not at all. */
export function node(name: (typeof NODES)[number]): ApiObject {
  return {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name, labels: { 'topology.kubernetes.io/zone': ZONE[name], 'kubernetes.io/hostname': name } },
  };
}

export function nodeStatus(name: (typeof NODES)[number]): object {
  const own = name === 'n1' ? NODE : OTHER_NODE;
  return {
    addresses: [
      ...families.map((family) => ({ type: 'InternalIP', address: own[family] })),
      { type: 'Hostname', address: name },
    ],
    conditions: [{ type: 'Ready', status: 'True' }],
  };
}

/** 'abEF' as ready endpoints. */
export function ready(letters: string): readonly EndpointSpec[] {
  return [...letters].map((endpoint) => ({ endpoint }));
}
