import { parseBlock, parseCidr } from '../../core/net/cidr.ts';
import type { TableFamily } from '../../core/net/element.ts';
import { canonicalIp } from '../../core/net/ip.ts';
import type { Node } from '../../core/objects.ts';
import type { Cidr } from '../../core/provider.ts';
import type { DetectLocal, ProxyContext } from '../../core/proxy/model.ts';
import type { ProxyOptions } from './options.ts';

export interface NodeFactsOptions extends Pick<ProxyOptions, 'detectLocal' | 'nodePortAddresses' | 'nodeIP'> {
  readonly nodeName: string;
  readonly serviceProxyName?: string;
}

/** What the proxy has to know of the node, from its Node object (absent: there is none) and its interfaces. */
export function contextOf(
  options: NodeFactsOptions,
  node: Node | undefined,
  addresses: readonly string[],
): ProxyContext {
  const { nodeName, serviceProxyName, nodePortAddresses } = options;
  const zone = node?.metadata.labels?.['topology.kubernetes.io/zone'];
  const primaryAddresses = primaryOf(node, options.nodeIP);
  return {
    nodeName,
    ...(zone === undefined || zone === '' ? {} : { zone }),
    primaryAddresses,
    addresses,
    nodePortAddresses: rangesOf(nodePortAddresses, primaryAddresses),
    ...(serviceProxyName === undefined ? {} : { serviceProxyName }),
  };
}

/**
 * Of all interfaces' addresses those that say something about the node, sorted. Each pod's interface brings a link-local one
 * and the gateway's again: were they told apart, every pod that starts would make every Service's model anew.
 */
export const nodeAddresses = (all: readonly string[]): readonly string[] =>
  [...new Set(all)].filter((address) => !/^fe[89ab][0-9a-f]:/i.test(address)).sort();

/** Whose packets are pods': the contents of set `pod-cidrs`. */
export function podCidrsOf(
  { detectLocal }: Pick<ProxyOptions, 'detectLocal'>,
  node: Node | undefined,
): readonly Cidr[] {
  if (detectLocal.by === 'cluster-cidr') return detectLocal.cidrs;
  if (detectLocal.by !== 'node-cidr') return [];
  const { podCIDRs, podCIDR } = node?.spec ?? {};
  const texts = podCIDRs ?? (podCIDR === undefined ? [] : [podCIDR]);
  return texts.map(parseCidr).filter((cidr) => cidr !== undefined);
}

/** How the rules of a family tell pods; without a range there is no telling (node-proxy.md section 2). */
export function detectionOf(
  { detectLocal }: Pick<ProxyOptions, 'detectLocal'>,
  family: TableFamily,
  podCidrs: readonly Cidr[],
): DetectLocal {
  if (detectLocal.by === 'interface' || detectLocal.by === 'interface-prefix') return detectLocal;
  return podCidrs.some((cidr) => isOf(cidr, family)) ? { by: 'cidr' } : { by: 'nothing' };
}

const isOf = (cidr: Cidr, family: TableFamily): boolean =>
  parseBlock(cidr)?.family === (family === 'ip' ? 'ipv4' : 'ipv6');

/**
 * One address of each family, those of the Node's first type that has one (GetNodeHostIPs of component-helpers); `nodeIP`
 * takes the place of the one of its family.
 */
function primaryOf(node: Node | undefined, nodeIP: string | undefined): readonly string[] {
  const all = node?.status?.addresses ?? [];
  const texts = [nodeIP, ...byType(all, 'InternalIP'), ...byType(all, 'ExternalIP')].filter(
    (text) => text !== undefined,
  );
  const first = new Map<boolean, string>(); // is IPv6 -> address
  for (const text of texts) {
    const address = canonicalIp(text) ?? text; // what is no address is reported where it is used
    if (!first.has(address.includes(':'))) first.set(address.includes(':'), address);
  }
  return [...first.values()];
}

const byType = (
  addresses: NonNullable<NonNullable<Node['status']>['addresses']>,
  type: 'InternalIP' | 'ExternalIP',
): readonly string[] => addresses.filter((one) => one.type === type).map(({ address }) => address);

const HOST_BITS = { v4: '/32', v6: '/128' } as const;

/** 'primary' alone stays a word; among ranges it is the addresses that it means. */
function rangesOf(
  words: ProxyOptions['nodePortAddresses'],
  primary: readonly string[],
): ProxyContext['nodePortAddresses'] {
  if (words.every((word) => word === 'primary')) return 'primary';
  return words.flatMap((word): readonly Cidr[] => {
    if (word === 'all') return ['0.0.0.0/0' as Cidr, '::/0' as Cidr];
    if (word !== 'primary') return [word];
    return primary
      .map((address) => parseCidr(`${address}${address.includes(':') ? HOST_BITS.v6 : HOST_BITS.v4}`))
      .filter((cidr) => cidr !== undefined);
  });
}
