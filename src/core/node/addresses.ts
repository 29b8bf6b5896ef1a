import { canonicalIp, parseIp } from '../net/ip.ts';
import type { Node } from '../objects.ts';
import type { NodeAddress } from '../provider.ts';

/** Kubelet's --node-ip: one address, or one of each family with a comma (KEP-3705). */
export const PROVIDED_NODE_IP = 'alpha.kubernetes.io/provided-node-ip';

/** The addresses that a Node should show, or why its annotation cannot be met. */
export type WantedAddresses =
  | { readonly addresses: readonly NodeAddress[] }
  /** `field`: what is wrong is the annotation. */
  | { readonly problem: string; readonly field: string };

/**
 * What the cloud says, each address once; kubelet's Hostname where the cloud has none; and the provided node IPs first,
 * each the only address of its type (k/k#61921: a cloud may list secondary addresses).
 */
export function wantedAddresses(node: Node, cloud: readonly NodeAddress[]): WantedAddresses {
  const all = withoutDuplicates(cloud);
  if (!all.some(({ type }) => type === 'Hostname'))
    all.push(...(node.status?.addresses ?? []).filter(({ type }) => type === 'Hostname'));
  const provided = node.metadata.annotations?.[PROVIDED_NODE_IP];
  return provided === undefined ? { addresses: all } : withProvided(provided, all);
}

/**
 * Whether the Node shows other addresses than these. Their order means nothing, with one exception: where kubelet provided
 * a node IP, the first address is the primary one.
 */
export function hasOtherAddresses(node: Node, wanted: readonly NodeAddress[]): boolean {
  const now = node.status?.addresses ?? [];
  if (now.map(textOf).sort().join() !== wanted.map(textOf).sort().join()) return true;
  const [first] = wanted;
  const isOrdered = node.metadata.annotations?.[PROVIDED_NODE_IP] !== undefined && first !== undefined;
  return isOrdered && now[0] !== undefined && textOf(now[0]) !== textOf(first);
}

function withProvided(text: string, all: readonly NodeAddress[]): WantedAddresses {
  const field = `metadata.annotations[${PROVIDED_NODE_IP}]`;
  const quoted = JSON.stringify(text);
  const ips = text.split(',').map((part) => parseIp(part.trim()));
  const families = new Set(ips.map((ip) => ip?.family));
  if (families.has(undefined)) return { field, problem: `${quoted} is not an IP address, nor two with a comma` };
  if (families.size !== ips.length) return { field, problem: `${quoted} is not one address, or one of each IP family` };
  const first: NodeAddress[] = [];
  for (const part of text.split(',')) {
    const ip = canonicalIp(part.trim());
    const matching = all.filter(({ address }) => canonicalIp(address) === ip);
    if (matching.length === 0)
      return { field, problem: `${ip} is not among the addresses that the cloud has: ${listed(all)}` };
    first.push(...matching);
  }
  const types = new Set(first.map(({ type }) => type));
  return { addresses: [...first, ...all.filter(({ type }) => !types.has(type))] };
}

/** The API server refuses a list with the same address twice. */
function withoutDuplicates(addresses: readonly NodeAddress[]): NodeAddress[] {
  return [...new Map(addresses.map((address) => [textOf(address), address])).values()];
}

const textOf = ({ type, address }: NodeAddress): string => `${type} ${canonicalIp(address) ?? address}`;

function listed(addresses: readonly NodeAddress[]): string {
  const ips = addresses.filter(({ address }) => canonicalIp(address) !== undefined);
  return ips.length === 0 ? 'none' : ips.map(({ type, address }) => `${type} ${address}`).join(', ');
}
