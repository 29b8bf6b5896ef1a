import { blockAt, formatBlock } from '../../src/core/net/cidr.ts';
import { groupsOf, type Ip, parseIp } from '../../src/core/net/ip.ts';
import type { Cidr, IpFamily } from '../../src/core/provider.ts';

/** The annotation that names the pool of a Service's addresses, and its old spelling. (MetalLB) */
export const POOL_ANNOTATION = 'metallb.io/ip-allocated-from-pool';
export const OLD_POOL_ANNOTATION = 'metallb.universe.tf/ip-allocated-from-pool';

/** On an IPBlock that is about to be deleted: nobody writes an address into it any more (see commit.ts). */
export const CLOSED_ANNOTATION = 'fairlead.dev/closed';

/** Addresses of one IPBlock: a /24 or a /120. */
const BLOCK_LENGTH = { ipv4: 24, ipv6: 120 } as const satisfies Record<IpFamily, number>;

/** Where an address is recorded: name and cidr of its IPBlock. */
export interface BlockName {
  readonly name: string;
  readonly cidr: Cidr;
}

/**
 * The block of an address: `10.77.0.0-24`, or for IPv6 eight 4-digit groups with dashes, since `:` is not allowed in
 * names: `2001-0db8-0000-0000-0000-0000-0000-0000-120`. Throws TypeError for what is no address.
 */
export function blockOf(address: string): BlockName {
  const ip = parseIp(address);
  if (ip === undefined) throw new TypeError(`${JSON.stringify(address)} is no IP address`);
  const block = blockAt(ip, BLOCK_LENGTH[ip.family]);
  const first: Ip = { family: ip.family, value: block.first };
  return { name: `${hostOf(first)}-${block.prefixLength}`, cidr: formatBlock(block) };
}

function hostOf({ family, value }: Ip): string {
  if (family === 'ipv6')
    return groupsOf(value)
      .map((group) => group.toString(16).padStart(4, '0'))
      .join('-');
  return [24n, 16n, 8n, 0n].map((shift) => Number((value >> shift) & 255n)).join('.');
}
