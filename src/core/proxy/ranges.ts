/** Sets of addresses as intervals: the fewest that hold the CIDRs, and the changes from one to the next. */

import { blockOf, merge } from '../net/cidr.ts';
import type { Element, ElementChange, Registers, TableFamily } from '../net/element.ts';
import { BITS } from '../net/ip.ts';
import type { Cidr } from '../provider.ts';
import { addressRegisters } from './registers.ts';
import { intervalsOf, type RangeSet } from './schema.ts';

/** An interval as two elements: its first address, and the address after its last unless that is the last of all. */
export interface Range {
  readonly start: Registers;
  readonly end: Registers | undefined;
}

/** CIDRs of the family, joined where they touch, ascending. */
export function rangesOf(cidrs: readonly Cidr[], family: TableFamily): readonly Range[] {
  const version = family === 'ip' ? 'ipv4' : 'ipv6';
  const limit = 1n << BigInt(BITS[version]);
  return merge(cidrs.map(blockOf).filter((block) => block.family === version)).map(({ first, last }) => ({
    start: addressRegisters({ family: version, value: first }),
    end: last + 1n === limit ? undefined : addressRegisters({ family: version, value: last + 1n }),
  }));
}

/** The ranges that a dump of such a set has; the closing element at address 0, which nft's text adds, means nothing. */
export function foundRanges(elements: readonly Element[], family: TableFamily): readonly Range[] {
  return intervalsOf(elements, family).map(({ first, last }) => ({ start: first, end: after(last) }));
}

/** Deletes first: an interval must not meet the one that it replaces. */
export function rangeChanges(
  set: RangeSet,
  before: readonly Range[],
  wanted: readonly Range[],
): readonly ElementChange[] {
  const old = new Set(before.map(nameOf));
  const now = new Set(wanted.map(nameOf));
  return [
    ...before.filter((range) => !now.has(nameOf(range))).flatMap((range) => changes('delete', set, range)),
    ...wanted.filter((range) => !old.has(nameOf(range))).flatMap((range) => changes('add', set, range)),
  ];
}

export function rangeElements(set: RangeSet, { start, end }: Range): readonly Element[] {
  return [{ set, key: start }, ...(end === undefined ? [] : [{ set, key: end, intervalEnd: true } as const])];
}

const changes = (op: ElementChange['op'], set: RangeSet, range: Range): readonly ElementChange[] =>
  rangeElements(set, range).map((element) => ({ op, element }));

const nameOf = ({ start, end }: Range): string => `${start}-${end ?? ''}`;

/** The address after this one; `undefined` after the last of all. */
function after(address: Registers): Registers | undefined {
  const bytes = [...address].map((char) => char.charCodeAt(0));
  for (let at = bytes.length - 1; at >= 0; at -= 1) {
    const byte = bytes[at] as number;
    bytes[at] = (byte + 1) & 255;
    if (byte !== 255) return String.fromCharCode(...bytes);
  }
  return undefined;
}
