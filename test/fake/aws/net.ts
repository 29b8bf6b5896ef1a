import { type Block, contains, formatBlock, hasIp, parseBlock } from '../../../src/core/net/cidr.ts';
import { parseIp } from '../../../src/core/net/ip.ts';
import type { IpFamily } from '../../../src/core/provider.ts';

/** As EC2 stores a CIDR: the network address. Undefined for what is none of that family. */
export function networkOf(text: string, family: IpFamily): string | undefined {
  const block = parseBlock(text);
  return block?.family === family ? formatBlock(block) : undefined;
}

export function isWithin(address: string, cidrs: readonly string[]): boolean {
  const ip = parseIp(address);
  return ip !== undefined && cidrs.some((cidr) => hasIp(block(cidr), ip));
}

export function holds(outer: string, inner: string): boolean {
  return contains(block(outer), block(inner));
}

function block(cidr: string): Block {
  const parsed = parseBlock(cidr);
  if (parsed === undefined) throw new TypeError(`${cidr} is no CIDR`);
  return parsed;
}
