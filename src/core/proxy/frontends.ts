/** The addresses, protocols and ports at which a Service is reached, and those at which a pod's hostPorts are. */
import { quoted } from '../ipam/problem.ts';
import type { Registers, TableFamily } from '../net/element.ts';
import type { Ip } from '../net/ip.ts';
import type { Service, ServicePort } from '../objects.ts';
import { isPort, obstacleOf } from './endpoints.ts';
import type { AddressRange, Frontend, FrontendKind, ProxyProblem, TrafficPolicy } from './model.ts';
import {
  addressRegisters,
  familyOf,
  type Protocol,
  parseAddress,
  portRegisters,
  protocolRegisters,
  sloppyIp,
} from './registers.ts';
import type { Sources } from './sources.ts';

export const KIND_ORDER: Readonly<Record<FrontendKind, number>> = {
  'cluster-ip': 0,
  'node-port': 1,
  'load-balancer-ip': 2,
  'external-ip': 3,
  'host-port': 4,
};

/** The usable addresses of a Service, by family. */
export interface ServiceAddresses {
  readonly clusterIp: Readonly<Record<TableFamily, Registers | undefined>>;
  readonly externalIps: readonly Registers[];
  /** Those that nodes answer for; ipMode Proxy is left out. */
  readonly loadBalancerIps: readonly Registers[];
}

export interface UsablePort {
  readonly name: string;
  readonly protocol: Protocol;
  readonly port: number;
  /** 0 when there is none. */
  readonly nodePort: number;
}

/** Reads each address once; what is none, or one that no host can have, is reported and left out. */
export function addressesOf({ spec, status }: Service, problems: ProxyProblem[]): ServiceAddresses {
  const clusterIps = spec.clusterIPs ?? (spec.clusterIP === undefined ? [] : [spec.clusterIP]);
  const clusterField = spec.clusterIPs === undefined ? () => 'spec.clusterIP' : at('spec.clusterIPs');
  const cluster = usable(clusterIps, clusterField, problems);
  const ingress = status?.loadBalancer?.ingress ?? [];
  const visible = ingress.map(({ ip, ipMode }) => (ipMode === 'Proxy' ? undefined : ip));
  return {
    clusterIp: {
      ip: cluster.find((address) => familyOf(address) === 'ip'),
      ip6: cluster.find((address) => familyOf(address) === 'ip6'),
    },
    externalIps: usable(spec.externalIPs ?? [], at('spec.externalIPs'), problems),
    loadBalancerIps: usable(visible, (index) => `status.loadBalancer.ingress[${index}].ip`, problems),
  };
}

/** Ports whose numbers and protocol can be used; the others are reported. */
export function portsOf({ spec }: Service, problems: ProxyProblem[]): readonly UsablePort[] {
  return (spec.ports ?? []).flatMap((entry, index) => {
    const { name = '', port } = entry;
    const protocol = protocolOf(entry);
    const field = `spec.ports[${index}]`;
    if (protocol === undefined) {
      const message = `${field}.protocol: ${quoted(entry.protocol)} must be TCP, UDP or SCTP`;
      problems.push({ field: `${field}.protocol`, message });
      return [];
    }
    if (!isPort(port)) {
      problems.push({ field: `${field}.port`, message: `${field}.port: ${quoted(port)} ${PORT_RULE}` });
      return [];
    }
    const nodePort = entry.nodePort ?? 0;
    const isBad = nodePort !== 0 && !isPort(nodePort);
    if (isBad)
      problems.push({ field: `${field}.nodePort`, message: `${field}.nodePort: ${quoted(nodePort)} ${PORT_RULE}` });
    return [{ name, protocol, port, nodePort: isBad ? 0 : nodePort }];
  });
}

export interface FrontendOptions {
  readonly family: TableFamily;
  readonly addresses: ServiceAddresses;
  readonly sources: Sources;
  readonly internal: TrafficPolicy;
  readonly external: TrafficPolicy;
  /** Addresses of this node that answer NodePorts, of this family. */
  readonly nodePortAddresses: readonly Registers[];
}

/** Frontends of one port in one family, in the order of `FrontendKind`. */
export function frontendsOf(port: UsablePort, options: FrontendOptions): readonly Frontend[] {
  const { family, addresses, external, nodePortAddresses } = options;
  const suffix = `${protocolRegisters(port.protocol)}${portRegisters(port.port)}`;
  const clusterIp = addresses.clusterIp[family];
  const frontends: Frontend[] = [];
  if (clusterIp !== undefined)
    frontends.push({ kind: 'cluster-ip', key: `${clusterIp}${suffix}`, policy: options.internal });
  if (port.nodePort !== 0) {
    const nodeSuffix = `${protocolRegisters(port.protocol)}${portRegisters(port.nodePort)}`;
    for (const address of nodePortAddresses)
      frontends.push({ kind: 'node-port', key: `${address}${nodeSuffix}`, policy: external });
  }
  const sources = options.sources[family];
  for (const address of addresses.loadBalancerIps)
    if (familyOf(address) === family) frontends.push(loadBalancer(`${address}${suffix}`, external, sources));
  for (const address of addresses.externalIps)
    if (familyOf(address) === family)
      frontends.push({ kind: 'external-ip', key: `${address}${suffix}`, policy: external });
  return frontends;
}

const PORT_RULE = 'must be a whole number from 1 to 65535';

const at = (field: string) => (index: number) => `${field}[${index}]`;

const loadBalancer = (
  key: Registers,
  policy: TrafficPolicy,
  sources: readonly AddressRange[] | undefined,
): Frontend => ({ kind: 'load-balancer-ip', key, policy, ...(sources === undefined ? {} : { sources }) });

function usable(
  texts: readonly (string | undefined)[],
  field: (index: number) => string,
  problems: ProxyProblem[],
): readonly Registers[] {
  const found: Registers[] = [];
  for (const [index, text] of texts.entries()) {
    if (text === undefined || text === '' || text === 'None') continue;
    const address = parseAddress(text);
    const obstacle = obstacleOf(address, address === undefined ? 'ip' : familyOf(address));
    if (address !== undefined && obstacle === undefined) {
      if (!found.includes(address)) found.push(address);
    } else problems.push({ field: field(index), message: `${field(index)}: ${quoted(text)} ${obstacle}` });
  }
  return found;
}

/** `undefined` for none of the three. */
function protocolOf({ protocol = 'TCP' }: ServicePort): Protocol | undefined {
  switch (protocol) {
    case 'TCP':
      return 'tcp';
    case 'UDP':
      return 'udp';
    case 'SCTP':
      return 'sctp';
    default:
      protocol satisfies never;
      return undefined;
  }
}

export const ipsOf = (texts: readonly string[]): readonly Ip[] => texts.flatMap((text) => sloppyIp(text) ?? []);

export const registersOf = (ips: readonly Ip[]): readonly Registers[] => [...new Set(ips.map(addressRegisters))];
