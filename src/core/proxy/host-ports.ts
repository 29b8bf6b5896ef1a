/** hostPorts of pods: each is a frontend with one slot. */
import { quoted } from '../ipam/problem.ts';
import type { Registers, TableFamily } from '../net/element.ts';
import { isPort, isUnspecified, obstacleOf } from './endpoints.ts';
import type { Frontend, PortModel, ProxyProblem, ServiceModel } from './model.ts';
import { familyOf, type Protocol, parseAddress, portRegisters, protocolRegisters } from './registers.ts';

export interface HostPort {
  readonly protocol: Protocol;
  readonly hostPort: number;
  readonly containerPort: number;
  /** Absent, '' and (of their family) 0.0.0.0 and ::: every address of the node, and 127.0.0.1 for the node itself. */
  readonly hostIp?: string;
}

/** One pod's, as its CNI ADD asked for them. */
export interface HostPorts {
  /** No Service's key: 'hostport:' and the container's id. */
  readonly key: string;
  /** Of two pods that want one port the older keeps it (RFC 3339, or any text that sorts by time). */
  readonly created: string;
  /** Addresses of the pod, at most one of each family. */
  readonly podIps: readonly string[];
  readonly ports: readonly HostPort[];
}

const LOOPBACK = '\x7f\0\0\x01';

/** A port or address that cannot be used is reported, the others work. */
export function hostPortModel(
  { key, created, podIps, ports }: HostPorts,
  node: { readonly addresses: Readonly<Record<TableFamily, readonly Registers[]>> },
): ServiceModel {
  const problems: ProxyProblem[] = [];
  const pods = podIps.flatMap((text, index) => {
    const address = parseAddress(text);
    const obstacle = obstacleOf(address, address === undefined ? 'ip' : familyOf(address));
    if (address !== undefined && obstacle === undefined) return [address];
    const field = `podIPs[${index}]`;
    problems.push({ field, message: `${field}: ${quoted(text)} ${obstacle}` });
    return [];
  });
  const taken = new Set<Registers>();
  const model = (family: TableFamily): readonly PortModel[] => {
    const pod = pods.find((address) => familyOf(address) === family);
    if (pod === undefined) return [];
    return ports.flatMap((port, index): readonly PortModel[] => {
      if (!isPort(port.hostPort) || !isPort(port.containerPort)) return [];
      const suffix = `${protocolRegisters(port.protocol)}${portRegisters(port.hostPort)}`;
      const addresses = hostAddresses(port.hostIp, node.addresses[family], family);
      const frontends = addresses
        .map((address): Frontend => ({ kind: 'host-port', key: `${address}${suffix}`, policy: 'Cluster' }))
        .filter(({ key: frontend }) => !taken.has(frontend) && taken.add(frontend));
      const target = [`${pod}${portRegisters(port.containerPort)}`];
      if (frontends.length === 0) return [];
      return [
        {
          name: String(index),
          protocol: port.protocol,
          frontends,
          cluster: target,
          local: target,
          serving: port.protocol === 'udp' ? target : [],
          hairpin: [pod],
          affinitySeconds: 0,
          hashed: false,
        },
      ];
    });
  };
  const ip = model('ip');
  const ip6 = model('ip6');
  for (const [index, port] of ports.entries()) problems.push(...problemsOf(port, `hostPorts[${index}]`));
  return { key, created, ip, ip6, noLocal: [], problems };
}

/** Addresses at which the port is reached; none for an address of the other family or of no host. */
function hostAddresses(
  hostIp: string | undefined,
  addresses: readonly Registers[],
  family: TableFamily,
): readonly Registers[] {
  const address = parseAddress(hostIp ?? '');
  // The kernel routes 127.0.0.1 out of the node (route_localnet), but has nothing alike for ::1.
  if (isAny(hostIp, address) && (address === undefined || familyOf(address) === family))
    return family === 'ip' ? [...addresses, LOOPBACK] : addresses;
  if (address === undefined || familyOf(address) !== family) return [];
  return address === LOOPBACK || obstacleOf(address, family) === undefined ? [address] : [];
}

/** No address, or the unspecified one. */
const isAny = (text: string | undefined, address: Registers | undefined): boolean =>
  text === undefined || text === '' || (address !== undefined && isUnspecified(address));

function problemsOf({ hostPort, containerPort, hostIp }: HostPort, field: string): readonly ProxyProblem[] {
  const bad = (name: string, value: unknown, text: string): ProxyProblem => ({
    field: `${field}.${name}`,
    message: `${field}.${name}: ${quoted(value)} ${text}`,
  });
  const rule = 'must be a whole number from 1 to 65535';
  const address = parseAddress(hostIp ?? '');
  const obstacle =
    isAny(hostIp, address) || address === LOOPBACK
      ? undefined
      : obstacleOf(address, address === undefined ? 'ip' : familyOf(address));
  return [
    ...(isPort(hostPort) ? [] : [bad('hostPort', hostPort, rule)]),
    ...(isPort(containerPort) ? [] : [bad('containerPort', containerPort, rule)]),
    ...(obstacle === undefined
      ? []
      : [bad('hostIP', hostIp, `${obstacle}; only 127.0.0.1 of the loopback addresses works`)]),
  ];
}
