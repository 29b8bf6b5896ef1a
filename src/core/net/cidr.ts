import type { Cidr, IpFamily } from '../provider.ts';
import { BITS, formatIp, type Ip, parseIp } from './ip.ts';

/** All addresses of one family from `first` to `last`, both included. */
export interface Interval {
  readonly family: IpFamily;
  readonly first: bigint;
  readonly last: bigint;
}
/** A CIDR as numbers: `first` has no host bits. */
export interface Block extends Interval {
  readonly prefixLength: number;
}

/**
 * An address with a length, `10.0.0.0/8` or `2001:db8::/32`. Host bits are allowed and masked. `undefined` for a bare
 * address, a length that is not plain decimal or too long for the family, and whatever `parseIp` refuses.
 */
export function parseBlock(text: string): Block | undefined {
  const slash = text.indexOf('/');
  const ip = slash < 0 ? undefined : parseIp(text.slice(0, slash));
  const length = text.slice(slash + 1);
  if (ip === undefined || !/^(0|[1-9]\d{0,2})$/.test(length) || Number(length) > BITS[ip.family]) return undefined;
  return blockAt(ip, Number(length));
}

/** The only maker of a `Cidr` from text: canonical, masked. `undefined` as `parseBlock`. */
export function parseCidr(text: string): Cidr | undefined {
  const block = parseBlock(text);
  return block === undefined ? undefined : formatBlock(block);
}

/** The numbers of a CIDR that is already known to be one. */
export function blockOf(cidr: Cidr): Block {
  const block = parseBlock(cidr);
  if (block === undefined) throw new TypeError(`${JSON.stringify(cidr)} is no CIDR, although its type says so`);
  return block;
}

/** The block of this length that holds the address. */
export function blockAt({ family, value }: Ip, prefixLength: number): Block {
  const hostBits = BigInt(BITS[family] - prefixLength);
  const first = (value >> hostBits) << hostBits;
  return { family, first, last: first + (1n << hostBits) - 1n, prefixLength };
}

export function formatBlock({ family, first, prefixLength }: Block): Cidr {
  return `${formatIp({ family, value: first })}/${prefixLength}` as Cidr;
}

/** Number of addresses; up to 2^128. */
export const sizeOf = ({ first, last }: Interval): bigint => last - first + 1n;

export const hasIp = ({ family, first, last }: Interval, ip: Ip): boolean =>
  family === ip.family && first <= ip.value && ip.value <= last;

/** Every address of `inner` is in `outer`. */
export const contains = (outer: Interval, inner: Interval): boolean =>
  outer.family === inner.family && outer.first <= inner.first && inner.last <= outer.last;

export const overlaps = (a: Interval, b: Interval): boolean =>
  a.family === b.family && a.first <= b.last && b.first <= a.last;

/** IPv4 before IPv6, then by first address, then the larger one first. */
export function compareIntervals(a: Interval, b: Interval): number {
  if (a.family !== b.family) return a.family === 'ipv4' ? -1 : 1;
  if (a.first !== b.first) return a.first < b.first ? -1 : 1;
  if (a.last === b.last) return 0;
  return a.last > b.last ? -1 : 1;
}

/** The fewest CIDRs that hold exactly the interval, ascending. Empty when `last` is below `first`. */
export function split({ family, first, last }: Interval): readonly Block[] {
  const blocks: Block[] = [];
  for (let at = first; at <= last; ) {
    let hostBits = 0;
    while (hostBits < BITS[family] && fits(at, last, hostBits + 1)) hostBits += 1;
    const block = blockAt({ family, value: at }, BITS[family] - hostBits);
    blocks.push(block);
    at = block.last + 1n;
  }
  return blocks;
}

/** What is in some of `from` and in none of `minus`: disjoint, not adjacent, ascending, IPv4 first. */
export function subtract(from: readonly Interval[], minus: readonly Interval[]): readonly Interval[] {
  let left = [...merge(from)];
  for (const cut of merge(minus)) left = left.flatMap((interval) => without(interval, cut));
  return left;
}

/** The same addresses as disjoint intervals that do not touch: ascending, IPv4 first. */
export function merge(intervals: readonly Interval[]): readonly Interval[] {
  const merged: Interval[] = [];
  for (const { family, first, last } of [...intervals].sort(compareIntervals)) {
    const top = merged.at(-1);
    if (top === undefined || top.family !== family || first > top.last + 1n) merged.push({ family, first, last });
    else if (last > top.last) merged[merged.length - 1] = { family, first: top.first, last };
  }
  return merged;
}

/** The fewest CIDRs with the same addresses: ascending, IPv4 first. */
export function mergeCidrs(cidrs: readonly Cidr[]): readonly Cidr[] {
  return merge(cidrs.map(blockOf)).flatMap(split).map(formatBlock);
}

/** The fewest CIDRs with the addresses of `from` that are not in `minus`: ascending, IPv4 first. */
export function subtractCidrs(from: readonly Cidr[], minus: readonly Cidr[]): readonly Cidr[] {
  return subtract(from.map(blockOf), minus.map(blockOf)).flatMap(split).map(formatBlock);
}

function fits(at: bigint, last: bigint, hostBits: number): boolean {
  const size = 1n << BigInt(hostBits);
  return at % size === 0n && at + size - 1n <= last;
}

function without(interval: Interval, cut: Interval): readonly Interval[] {
  if (!overlaps(interval, cut)) return [interval];
  const { family, first, last } = interval;
  return [
    ...(first < cut.first ? [{ family, first, last: cut.first - 1n }] : []),
    ...(cut.last < last ? [{ family, first: cut.last + 1n, last }] : []),
  ];
}
