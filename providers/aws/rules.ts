import { compareText } from '../../src/core/equal.ts';
import { parseCidr } from '../../src/core/net/cidr.ts';
import type { Cidr } from '../../src/core/provider.ts';
import type { Desired, DesiredPort, GroupRef, ListenerProtocol, ObservedRule, PortRange, Rule } from './model.ts';

export const ALL_PORTS: PortRange = { from: 0, to: 65_535 };

/** Which packets a listener takes. */
export function packetsOf(protocol: ListenerProtocol): readonly ('tcp' | 'udp')[] {
  switch (protocol) {
    case 'TCP':
    case 'TLS':
      return ['tcp'];
    case 'UDP':
    case 'QUIC':
      return ['udp'];
    case 'TCP_UDP':
    case 'TCP_QUIC':
      return ['tcp', 'udp'];
    default:
      return protocol satisfies never;
  }
}

/** What clients may reach: one rule per port and range or prefix list, and what path MTU discovery needs. Sorted. */
export function frontendRules({ ports, sources, prefixLists, icmp }: Desired): readonly Rule[] {
  const from: readonly Rule['source'][] = [
    ...sources.map((cidr) => ({ cidr })),
    ...prefixLists.map((prefixList) => ({ prefixList })),
  ];
  const traffic = ports.flatMap(({ port, listener }) =>
    packetsOf(listener.protocol).flatMap((protocol) =>
      from.map((source): Rule => ({ protocol, from: port, to: port, source })),
    ),
  );
  return unique([...traffic, ...(icmp ? sources.map(tooBig) : [])]);
}

/** ICMP destination unreachable, fragmentation needed (RFC 1191); ICMPv6 packet too big (RFC 8201). */
function tooBig(cidr: Cidr): Rule {
  return cidr.includes(':')
    ? { protocol: 'icmpv6', from: 2, to: 0, source: { cidr } }
    : { protocol: 'icmp', from: 3, to: 4, source: { cidr } };
}

/** Ports of a target that must be open for its group, before merging. */
export function targetPorts(
  { group }: DesiredPort,
  ports: readonly number[],
): readonly { readonly protocol: 'tcp' | 'udp'; readonly port: number }[] {
  const health = group.health.port === 'traffic-port' ? undefined : Number(group.health.port);
  const packets = packetsOf(group.protocol);
  const open = ports.flatMap((port) => [
    ...packets.map((protocol) => ({ protocol, port })),
    // Health checks are TCP even where the traffic is not.
    ...(!packets.includes('tcp') && (health === undefined || health === port)
      ? [{ protocol: 'tcp' as const, port }]
      : []),
  ]);
  const extra = health !== undefined && !ports.includes(health) ? [{ protocol: 'tcp' as const, port: health }] : [];
  return [...open, ...extra];
}

export const isGroup = (source: GroupRef | Cidr): source is GroupRef => !source.includes('/');

/** Identity of a rule: EC2 knows no two that differ in their description only. Ranges by network, as EC2 stores them. */
export function keyOf({
  protocol,
  from,
  to,
  source,
}: Pick<ObservedRule, 'protocol' | 'from' | 'to'> & { readonly source: object }): string {
  return `${protocol} ${from}-${to} ${sourceKey(source as SourceLike)}`;
}

interface SourceLike {
  readonly cidr?: string;
  readonly prefixList?: string;
  readonly group?: string;
}

const sourceKey = ({ cidr, prefixList, group }: SourceLike): string =>
  cidr === undefined ? (prefixList ?? group ?? '') : (parseCidr(cidr) ?? cidr);

function unique(rules: readonly Rule[]): readonly Rule[] {
  const byKey = new Map(rules.map((rule) => [keyOf(rule), rule]));
  return [...byKey].sort(([a], [b]) => compareText(a, b)).map(([, rule]) => rule);
}
