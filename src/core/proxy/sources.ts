/** spec.loadBalancerSourceRanges: who may connect to the load-balancer addresses of a Service. */
import { quoted } from '../ipam/problem.ts';
import { type Block, hasIp, type Interval, merge, parseBlock } from '../net/cidr.ts';
import type { TableFamily } from '../net/element.ts';
import { BITS, formatIp, type Ip } from '../net/ip.ts';
import type { Service } from '../objects.ts';
import type { IpFamily } from '../provider.ts';
import { SOURCE_RANGES_ANNOTATION } from '../service/annotations.ts';
import type { AddressRange, ProxyProblem } from './model.ts';
import { addressRegisters, sloppyIp } from './registers.ts';

/** Ranges of a family; `undefined` allows everybody, an empty list nobody. */
export type Sources = Readonly<Record<TableFamily, readonly AddressRange[] | undefined>>;

const EVERYBODY: Sources = { ip: undefined, ip6: undefined };

/**
 * A range that cannot be read is left out and never opens the address. One family's ranges say nothing for the other,
 * which is closed then, unless they let in the whole of theirs. A range with an address of this node lets in the
 * load-balancer addresses too: a node's own connection may arrive with that source.
 */
export function sourcesOf(
  service: Service,
  facts: { readonly nodeAddresses: readonly Ip[]; readonly loadBalancerIps: readonly Ip[] },
  problems: ProxyProblem[],
): Sources {
  const { field, entries } = entriesOf(service);
  if (entries.length === 0 || facts.loadBalancerIps.length === 0) return EVERYBODY;
  const blocks = entries.flatMap((text, index) => {
    const block = sloppyBlock(text);
    if (block !== undefined) return [block];
    const at = field.endsWith(']') ? field : `${field}[${index}]`;
    problems.push({
      field: at,
      message: `${at}: ${quoted(text)} is not a CIDR; write it as 10.0.0.0/8 or 2001:db8::/32`,
    });
    return [];
  });
  const isOpen = blocks.some(({ prefixLength }) => prefixLength === 0);
  const ranges = (family: IpFamily) => {
    const own: readonly Interval[] = blocks.filter((block) => block.family === family);
    if (own.length === 0 && isOpen) return undefined;
    const merged = merge(own);
    const [only] = merged;
    if (only !== undefined && only.first === 0n && only.last === (1n << BigInt(BITS[family])) - 1n) return undefined;
    return merge([...own, ...selves(own, family, facts)]).map(({ first, last }) => ({
      first: addressRegisters({ family, value: first }),
      last: addressRegisters({ family, value: last }),
    }));
  };
  const sources: Sources = { ip: ranges('ipv4'), ip6: ranges('ipv6') };
  report(field, sources, facts.loadBalancerIps, problems);
  return sources;
}

/** Who may connect, for people. */
export const isAllowed = (sources: readonly AddressRange[], address: string): boolean =>
  sources.some(({ first, last }) => first <= address && address <= last);

function selves(
  ranges: readonly Interval[],
  family: IpFamily,
  {
    nodeAddresses,
    loadBalancerIps,
  }: { readonly nodeAddresses: readonly Ip[]; readonly loadBalancerIps: readonly Ip[] },
): readonly Interval[] {
  if (!nodeAddresses.some((ip) => ranges.some((range) => hasIp(range, ip)))) return [];
  return loadBalancerIps
    .filter((ip) => ip.family === family)
    .map(({ value }) => ({ family, first: value, last: value }));
}

function report(field: string, sources: Sources, ips: readonly Ip[], problems: ProxyProblem[]): void {
  for (const [family, name] of [
    ['ip', 'IPv4'],
    ['ip6', 'IPv6'],
  ] as const) {
    if (sources[family]?.length !== 0) continue;
    if (!ips.some((ip) => (ip.family === 'ipv4') === (family === 'ip'))) continue;
    const message = `${field}: has no usable ${name} range, so nobody may connect to the ${name} load-balancer addresses`;
    problems.push({ field, message });
  }
}

function entriesOf({ spec, metadata }: Service): { readonly field: string; readonly entries: readonly string[] } {
  const { loadBalancerSourceRanges: ranges = [] } = spec;
  if (ranges.length > 0) return { field: 'spec.loadBalancerSourceRanges', entries: ranges };
  const text = metadata.annotations?.[SOURCE_RANGES_ANNOTATION]?.trim() ?? '';
  return { field: `metadata.annotations["${SOURCE_RANGES_ANNOTATION}"]`, entries: text === '' ? [] : text.split(',') };
}

/** A CIDR; white space around it and leading zeros are not refused (kube-proxy's ParseCIDRSloppy). */
function sloppyBlock(text: string): Block | undefined {
  const [address = '', length, ...rest] = text.trim().split('/');
  const ip = length === undefined || rest.length > 0 ? undefined : sloppyIp(address);
  if (ip === undefined || length === undefined || !/^\d{1,3}$/.test(length)) return undefined;
  // An IPv4-mapped IPv6 address was read as the IPv4 one.
  const bits = Number(length) - (ip.family === 'ipv4' && address.includes(':') ? 96 : 0);
  return parseBlock(`${formatIp(ip)}/${bits}`);
}
