import { compareText } from '../../src/core/equal.ts';
import { failure } from '../../src/core/errors.ts';
import { blockOf, hasIp } from '../../src/core/net/cidr.ts';
import { parseIp } from '../../src/core/net/ip.ts';
import type { Cidr, HealthCheck, LoadBalancerSpec, Protocol, Shortfall } from '../../src/core/provider.ts';
import { nameOf, type Tags } from './names.ts';

/** Identity: protocol and port. */
export interface Port {
  readonly protocol: Protocol;
  readonly port: number;
  readonly targetPort: number;
}
/** All of a balancer that one call sets, each member by itself. */
export interface Settings {
  readonly sources: readonly Cidr[];
  /** Sorted addresses. */
  readonly targets: readonly string[];
  readonly health: HealthCheck;
}
/** The balancer of one Service, as it should be. */
export interface Desired {
  readonly name: string;
  readonly tags: Tags;
  /** Absent: whichever it has or the cloud gives. */
  readonly address?: string;
  /** Sorted by protocol and port. */
  readonly ports: readonly Port[];
  readonly settings: Settings;
  readonly shortfalls: readonly Shortfall[];
}

/** `range`: the addresses that this cloud has. Throws FL_MEMORY_SPEC, which names the field. */
export function plan(spec: LoadBalancerSpec, range: Cidr): Desired {
  const { cluster, uid, key, listeners, sources, health } = spec;
  if (listeners.length === 0) throw invalid('spec.ports', 'is empty; a load balancer needs at least one port');
  if (!spec.families.includes('ipv4')) throw invalid('spec.ipFamilies', 'lacks IPv4, the only family of this cloud');
  const targets = new Set(spec.targets.filter(({ draining }) => draining !== true).map(({ address }) => address));
  return {
    name: nameOf(cluster, uid),
    tags: { cluster, uid, service: key },
    ...addressOf(spec, range),
    ports: listeners.map(({ protocol, port, targetPort }) => ({ protocol, port, targetPort })).sort(byPort),
    settings: { sources, targets: [...targets].sort(compareText), health },
    shortfalls: shortfallsOf(spec),
  };
}

export const portName = ({ protocol, port }: Pick<Port, 'protocol' | 'port'>): string => `${protocol}/${port}`;

function byPort(a: Port, b: Port): number {
  return compareText(a.protocol, b.protocol) || a.port - b.port;
}

function addressOf({ addresses }: LoadBalancerSpec, range: Cidr): { readonly address?: string } {
  const [address] = addresses;
  if (address === undefined) return {};
  const ip = parseIp(address);
  if (ip === undefined || !hasIp(blockOf(range), ip)) {
    throw invalid('spec.loadBalancerIP', `"${address}" is not an address of ${range}`);
  }
  return { address };
}

/** What was asked for and this cloud does not have, although it serves. */
function shortfallsOf({ families, affinitySeconds }: LoadBalancerSpec): readonly Shortfall[] {
  const shortfalls: Shortfall[] = [];
  if (families.includes('ipv6')) {
    shortfalls.push({
      reason: 'IPFamiliesNotSupported',
      message: 'this cloud has IPv4 only',
      field: 'spec.ipFamilies',
    });
  }
  if (affinitySeconds !== undefined) {
    shortfalls.push({
      reason: 'SessionAffinityNotSupported',
      message: 'this cloud spreads connections without affinity',
      field: 'spec.sessionAffinity',
    });
  }
  return shortfalls;
}

function invalid(field: string, message: string): Error {
  return failure('FL_MEMORY_SPEC', `${field} ${message}`, { field });
}
