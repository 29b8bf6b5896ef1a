/** Services and their EndpointSlices as models: pure per Service, so that a change costs what its Service costs. */

import { type Block, blockOf, hasIp } from '../net/cidr.ts';
import type { Registers, TableFamily } from '../net/element.ts';
import type { Ip } from '../net/ip.ts';
import { type EndpointSlice, keyOf, type Service } from '../objects.ts';
import { badPorts, endpointsOf, isLoopback, type PortEndpoint, readSlices } from './endpoints.ts';
import { addressesOf, frontendsOf, ipsOf, KIND_ORDER, portsOf, registersOf } from './frontends.ts';
import { type HostPorts, hostPortModel } from './host-ports.ts';
import { type EndpointLists, listsOf } from './lists.ts';
import type {
  Frontend,
  HealthCheck,
  PortModel,
  ProxyContext,
  ProxyProblem,
  ServiceModel,
  TrafficPolicy,
} from './model.ts';
import { addressRegisters, familyOf, ipAt } from './registers.ts';
import { keyText } from './schema.ts';
import { sourcesOf } from './sources.ts';
import { DEFAULT_TIMEOUT_SECONDS } from './value.ts';

/** Only a proxy of that name serves the Service. */
export const PROXY_NAME_LABEL = 'service.kubernetes.io/service-proxy-name';

/** `true`: a client's endpoint follows from its address, on every node the same, and few clients move when endpoints change. */
export const HASH_ANNOTATION = 'fairlead.dev/consistent-hash';

export interface Snapshot {
  /**
   * The model; `undefined` for a Service that is not proxied here: headless, ExternalName, another proxy's.
   * @param slices all of this Service, in any order; those of type FQDN have no meaning.
   */
  service(service: Service, slices: readonly EndpointSlice[]): ServiceModel | undefined;
  /** The hostPorts of one pod of this node. */
  hostPorts(pod: HostPorts): ServiceModel;
  /** What is wrong with the node or the configuration. */
  readonly problems: readonly ProxyProblem[];
  /** Addresses at which NodePorts and healthCheckNodePorts answer, in RFC 5952 text. */
  readonly nodePortAddresses: Readonly<Record<TableFamily, readonly Registers[]>>;
}

/** Models that depend on this node and configuration; make another snapshot when they change, and every model again. */
export function createSnapshot(context: ProxyContext): Snapshot {
  const node = nodeOf(context);
  return {
    service: (service, slices) =>
      isOurs(service, context.serviceProxyName) ? modelOf(service, slices, node) : undefined,
    hostPorts: (pod) => hostPortModel(pod, node),
    problems: node.problems,
    nodePortAddresses: node.nodePortAddresses,
  };
}

interface NodeFacts {
  readonly nodeName: string;
  readonly zone?: string;
  readonly ips: readonly Ip[];
  /** All but loopback, by family. */
  readonly addresses: Readonly<Record<TableFamily, readonly Registers[]>>;
  readonly nodePortAddresses: Readonly<Record<TableFamily, readonly Registers[]>>;
  readonly problems: readonly ProxyProblem[];
}

function nodeOf(context: ProxyContext): NodeFacts {
  const { nodeName, zone, primaryAddresses, addresses, nodePortAddresses } = context;
  const isOutside = (ip: Ip) => !isLoopback(addressRegisters(ip));
  const primary = ipsOf(primaryAddresses).filter(isOutside);
  const own = [...primary, ...ipsOf(addresses).filter(isOutside)];
  const blocks: readonly Block[] = nodePortAddresses === 'primary' ? [] : nodePortAddresses.map(blockOf);
  const answering =
    nodePortAddresses === 'primary' ? primary : own.filter((ip) => blocks.some((block) => hasIp(block, ip)));
  return {
    nodeName,
    ...(zone === undefined || zone === '' ? {} : { zone }),
    ips: own,
    addresses: byFamily(registersOf(own)),
    nodePortAddresses: byFamily(registersOf(answering)),
    problems: primaryAddresses
      .filter((text) => ipsOf([text]).length === 0)
      .map((text) => ({
        field: 'status.addresses',
        message: `status.addresses: ${JSON.stringify(text)} is not an IP address`,
      })),
  };
}

const byFamily = (addresses: readonly Registers[]): Readonly<Record<TableFamily, readonly Registers[]>> => ({
  ip: addresses.filter((address) => familyOf(address) === 'ip').sort(),
  ip6: addresses.filter((address) => familyOf(address) === 'ip6').sort(),
});

/** ExternalName and headless Services have nothing to proxy. */
function isOurs({ metadata, spec }: Service, proxyName: string | undefined): boolean {
  if (metadata.labels?.[PROXY_NAME_LABEL] !== proxyName) return false;
  if (spec.type === 'ExternalName') return false;
  return (spec.clusterIPs ?? [spec.clusterIP]).some((ip = '') => ip !== '' && ip !== 'None');
}

function modelOf(service: Service, slices: readonly EndpointSlice[], node: NodeFacts): ServiceModel {
  const problems: ProxyProblem[] = [];
  const addresses = addressesOf(service, problems);
  const ports = portsOf(service, problems);
  for (const slice of slices) if (slice.addressType !== 'FQDN') problems.push(...badPorts(slice));
  const { spec, metadata } = service;
  const internal: TrafficPolicy = spec.internalTrafficPolicy === 'Local' ? 'Local' : 'Cluster';
  const external: TrafficPolicy = isExternal(service) && spec.externalTrafficPolicy === 'Local' ? 'Local' : 'Cluster';
  const facts = {
    nodeAddresses: node.ips,
    loadBalancerIps: addresses.loadBalancerIps.map((address) => ipAt(address, 0, familyOf(address))),
  };
  const sources = sourcesOf(service, facts, problems);
  const affinitySeconds = affinityOf(service);
  const isHashed = consistentHash(service, problems);
  let localReady = 0;
  const portModels = (family: TableFamily): readonly PortModel[] => {
    // A Service has endpoints in its own families only.
    if (addresses.clusterIp[family] === undefined) return [];
    const read = readSlices(slices, family, problems);
    const frontendOptions = {
      family,
      addresses,
      sources,
      internal,
      external,
      nodePortAddresses: node.nodePortAddresses[family],
    };
    const ready = spec.healthCheckNodePort === undefined ? undefined : new Set<Registers>();
    const models = ports.map((port): PortModel => {
      const endpoints = endpointsOf(read, port, node.nodeName);
      const lists = listsOf(endpoints, node);
      if (lists.excess > 0) problems.push(excessOf(port.name, lists));
      countReady(endpoints, ready);
      return {
        name: port.name,
        protocol: port.protocol,
        frontends: frontendsOf(port, frontendOptions),
        cluster: lists.cluster,
        local: lists.local,
        serving: port.protocol === 'udp' ? lists.serving : NONE,
        hairpin: lists.hairpin,
        affinitySeconds,
        hashed: isHashed || (affinitySeconds > 0 && family === 'ip6'),
      };
    });
    localReady = Math.max(localReady, ready?.size ?? 0);
    return distinct(models, problems, family);
  };
  const ip = portModels('ip');
  const ip6 = portModels('ip6');
  if (
    affinitySeconds > 0 &&
    affinitySeconds !== DEFAULT_TIMEOUT_SECONDS &&
    [...ip, ...ip6].some(({ hashed }) => hashed)
  )
    problems.push(timeoutProblem(affinitySeconds, isHashed));
  const health = healthOf(service, external, localReady);
  return {
    key: keyOf(service),
    created: metadata.creationTimestamp,
    ip,
    ip6,
    ...(health === undefined ? {} : { health }),
    noLocal: noLocalOf([...ip, ...ip6], { internal, external }),
    problems: problems.length === 0 ? NONE : problems,
  };
}

const NONE: readonly never[] = [];

/** kube-proxy's ExternallyAccessible. */
const isExternal = ({ spec }: Service): boolean =>
  spec.type === 'LoadBalancer' || spec.type === 'NodePort' || (spec.externalIPs ?? []).length > 0;

function affinityOf({ spec }: Service): number {
  if (spec.sessionAffinity !== 'ClientIP') return 0;
  const seconds = spec.sessionAffinityConfig?.clientIP?.timeoutSeconds ?? DEFAULT_TIMEOUT_SECONDS;
  // The API allows 1 to 86,400.
  return Number.isInteger(seconds) && seconds > 0 ? Math.min(seconds, 86_400) : DEFAULT_TIMEOUT_SECONDS;
}

/** The API fills in the default, so that one is nobody's wish. */
function timeoutProblem(seconds: number, isHashed: boolean): ProxyProblem {
  const field = 'spec.sessionAffinityConfig.clientIP.timeoutSeconds';
  const where = isHashed ? `with ${HASH_ANNOTATION}` : 'in IPv6';
  const message = `${field}: ${seconds} has no effect ${where}: a hash of the client's address chooses its endpoint, without time limit`;
  return { field, message };
}

function consistentHash({ metadata }: Service, problems: ProxyProblem[]): boolean {
  const text = metadata.annotations?.[HASH_ANNOTATION];
  if (text === undefined || text === 'true' || text === 'false') return text === 'true';
  const field = `metadata.annotations["${HASH_ANNOTATION}"]`;
  problems.push({
    field,
    message: `${field}: ${JSON.stringify(text)} must be "true" or "false"; it counts as "false"`,
  });
  return false;
}

/** Frontends whose key another port of the Service does not have already; the rest is reported. */
function distinct(models: readonly PortModel[], problems: ProxyProblem[], family: TableFamily): readonly PortModel[] {
  const all = models.flatMap(({ frontends }) => frontends);
  if (all.length < 2 || new Set(all.map(({ key }) => key)).size === all.length) return models;
  const winners = new Map<Registers, Frontend>();
  for (const frontend of all) {
    const known = winners.get(frontend.key);
    if (known === undefined || KIND_ORDER[frontend.kind] < KIND_ORDER[known.kind]) winners.set(frontend.key, frontend);
  }
  return models.map((model, index) => ({
    ...model,
    frontends: model.frontends.filter((frontend) => {
      if (winners.get(frontend.key) === frontend) return true;
      // An address that is both external IP and load-balancer IP is one frontend.
      if (model.frontends.includes(winners.get(frontend.key) as Frontend)) return false;
      const field = `spec.ports[${index}]`;
      const message = `${field}: ${keyText('services', frontend.key, family)} is taken by another port of this Service`;
      problems.push({ field, message });
      return false;
    }),
  }));
}

function excessOf(port: string, { excess }: EndpointLists): ProxyProblem {
  const field = port === '' ? 'endpoints' : `endpoints of port ${port}`;
  return { field, message: `${field}: ${excess} slots more than a node can balance over are left out` };
}

/** Addresses of ready endpoints on this node: a pod counts once however many ports it has. */
function countReady(endpoints: readonly PortEndpoint[], ready: Set<Registers> | undefined): void {
  if (ready === undefined) return;
  for (const { isLocal, isReady, target } of endpoints) if (isLocal && isReady) ready.add(target.slice(0, -4));
}

function healthOf({ spec }: Service, external: TrafficPolicy, localEndpoints: number): HealthCheck | undefined {
  const { healthCheckNodePort: port = 0 } = spec;
  return external === 'Local' && port !== 0 ? { port, localEndpoints } : undefined;
}

function noLocalOf(
  ports: readonly PortModel[],
  policies: { readonly internal: TrafficPolicy; readonly external: TrafficPolicy },
): ServiceModel['noLocal'] {
  if (policies.internal === 'Cluster' && policies.external === 'Cluster') return NONE;
  if (!ports.some(({ cluster, local }) => cluster.length > 0 && local.length === 0)) return NONE;
  return (['internal', 'external'] as const).filter((side) => policies[side] === 'Local');
}
