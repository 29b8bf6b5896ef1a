import { blockAt, blockOf, formatBlock, parseBlock } from '../../../core/net/cidr.ts';
import { formatIp, parseIp } from '../../../core/net/ip.ts';
import type { Cidr } from '../../../core/provider.ts';
import type { PodCidrs } from './node.ts';

/** Why something could not be had, in kube-apiserver's words. */
export class Unavailable extends Error {
  override readonly name = 'Unavailable';
  readonly full: boolean;

  constructor(message: string, full = false) {
    super(message);
    this.full = full;
  }
}

/** Numbers of one range that belong to at most one holder each. */
export interface NumberRange {
  /** Throws Unavailable when it is outside or taken. */
  take(number: bigint): void;
  /** A free one, the upper part of the range first: small numbers stay for those who ask for them. Throws Unavailable. */
  next(): bigint;
  give(number: bigint): void;
  has(number: bigint): boolean;
}

/** `lower`: how many at the start are only given when the rest is used up. */
export function createNumberRange({
  first,
  last,
  lower,
  random,
  words,
}: {
  readonly first: bigint;
  readonly last: bigint;
  readonly lower: bigint;
  readonly random: () => number;
  readonly words: { readonly outside: (number: bigint) => string; readonly taken: string };
}): NumberRange {
  const held = new Set<bigint>();
  /** The first free number at or after a random one, going round. */
  const freeWithin = (from: bigint, to: bigint): bigint | undefined => {
    const size = to - from + 1n;
    if (size <= 0n) return undefined;
    const start = from + pick(size, random);
    for (let number = start; ; ) {
      if (!held.has(number)) return number;
      number = number === to ? from : number + 1n;
      if (number === start) return undefined;
    }
  };
  return {
    take(number) {
      if (number < first || number > last) throw new Unavailable(words.outside(number));
      if (held.has(number)) throw new Unavailable(words.taken);
      held.add(number);
    },
    next() {
      const number = freeWithin(first + lower, last) ?? freeWithin(first, first + lower - 1n);
      if (number === undefined) throw new Unavailable('range is full', true);
      held.add(number);
      return number;
    },
    give: (number) => void held.delete(number),
    has: (number) => held.has(number),
  };
}

/** Below 2^62 in steps of a random number: enough for ranges of addresses. */
const pick = (size: bigint, random: () => number): bigint =>
  size <= 2n ** 31n
    ? BigInt(Math.floor(random() * Number(size)))
    : (BigInt(Math.floor(random() * 2 ** 31)) * 2n ** 31n + BigInt(Math.floor(random() * 2 ** 31))) % size;

/** ClusterIPs of one family. */
export interface AddressRange {
  readonly family: 'IPv4' | 'IPv6';
  /** What a dry run shows: nothing is looked for. */
  readonly base: string;
  /** All that a dry run asks of an address: that it is within. Throws Unavailable. */
  check(address: string): void;
  take(address: string): void;
  next(): string;
  give(address: string): void;
}

/** Without the network address and, for IPv4, the broadcast address. */
export function createAddressRange(cidr: Cidr, random: () => number): AddressRange {
  const { family, first, last } = blockOf(cidr);
  const [from, to] = [first + 1n, family === 'ipv4' ? last - 1n : last];
  const notWithin = (number: bigint): string =>
    `the provided IP (${formatIp({ family, value: number })}) is not in the valid range. The range of valid IPs is ${cidr}`;
  const range = createNumberRange({
    first: from,
    last: to,
    lower: reserved(to - from + 1n, 16n, 256n, 16n),
    random,
    words: {
      outside: (number) =>
        number <= first || number > last ? 'the provided network does not match the current range' : notWithin(number),
      taken: 'provided IP is already allocated',
    },
  });
  const numberOf = (address: string): bigint => parseIp(address)?.value ?? -1n;
  return {
    family: family === 'ipv4' ? 'IPv4' : 'IPv6',
    base: formatIp({ family, value: first }),
    check(address) {
      const number = numberOf(address);
      if (number < from || number > to) throw new Unavailable(notWithin(number));
    },
    take: (address) => range.take(numberOf(address)),
    next: () => formatIp({ family, value: range.next() }),
    give: (address) => range.give(numberOf(address)),
  };
}

/** Node ports; `first` to `last`, both included. */
export function createPortRange(first: number, last: number, random: () => number): NumberRange {
  return createNumberRange({
    first: BigInt(first),
    last: BigInt(last),
    lower: reserved(BigInt(last - first + 1), 16n, 128n, 32n),
    random,
    words: {
      outside: () => `provided port is not in the valid range. The range of valid ports is ${first}-${last}`,
      taken: 'provided port is already allocated',
    },
  });
}

/** How many at the start of a range are given last (KEP-3070, KEP-3668): size / step, within limits. */
function reserved(size: bigint, least: bigint, most: bigint, step: bigint): bigint {
  if (size <= least) return 0n;
  const part = size / step;
  return part < least ? least : part > most ? most : part;
}

/** Blocks of one size out of each range, the lowest free one first. Throws RangeError for a CIDR that is none. */
export function createPodCidrs(ranges: readonly { readonly cidr: string; readonly prefixLength: number }[]): PodCidrs {
  const pools = ranges.map(({ cidr, prefixLength }) => {
    const whole = parseBlock(cidr);
    if (whole === undefined) throw new RangeError(`${cidr} is not a CIDR`);
    return { whole, prefixLength, held: new Set<string>() };
  });
  return {
    take() {
      const blocks = pools.map(({ whole, prefixLength, held }) => {
        const size = 1n << BigInt((whole.family === 'ipv4' ? 32 : 128) - prefixLength);
        for (let first = whole.first; first + size - 1n <= whole.last; first += size) {
          const block = formatBlock(blockAt({ family: whole.family, value: first }, prefixLength));
          if (!held.has(block)) return block;
        }
        return undefined;
      });
      if (blocks.some((block) => block === undefined)) return undefined;
      for (const [index, pool] of pools.entries()) pool.held.add(blocks[index] as string);
      return blocks as string[];
    },
    hold(cidrs) {
      const fresh = cidrs.filter((cidr) => !pools.some(({ held }) => held.has(cidr)));
      for (const { held } of pools) for (const cidr of fresh) held.add(cidr);
      return fresh;
    },
    give(cidrs) {
      for (const { held } of pools) for (const cidr of cidrs) held.delete(cidr);
    },
  };
}
