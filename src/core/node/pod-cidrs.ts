import { type Block, blockAt, contains, formatBlock, overlaps, parseBlock } from '../net/cidr.ts';
import { BITS } from '../net/ip.ts';
import type { Cidr } from '../provider.ts';

/** A cluster CIDR out of which each Node gets one block. */
export interface PodRange {
  readonly range: Block;
  /** Prefix length of a Node's block (--node-cidr-mask-size). */
  readonly maskSize: number;
}
export interface PodCidrOptions {
  /** One, or one of each family; a Node's podCIDRs are in this order. */
  readonly ranges: readonly PodRange[];
  /** Never given to a Node (--service-cluster-ip-range). */
  readonly excluded: readonly Block[];
}

/** How full one range is. A block that is excluded, or partly, counts as used. */
export interface PodRangeUsage {
  readonly range: Cidr;
  readonly maskSize: number;
  readonly total: bigint;
  readonly used: bigint;
}

/**
 * Which Node has which pod CIDRs: kube-controller-manager's RangeAllocator as a value of its own. Holders are uids. What a
 * Node has is never changed, also when it is no block of ours: whatever it overlaps is taken.
 */
export interface PodCidrs {
  /** The Node has these; the same again changes nothing, others replace what was held for it. */
  hold(uid: string, cidrs: readonly string[]): void;
  /** The Node is gone. */
  release(uid: string): void;
  /** One block of each range, held from now on; or the first range that has none left, and then nothing is held. */
  allocate(uid: string): { readonly cidrs: readonly Cidr[] } | { readonly exhausted: PodRangeUsage };
  /** What is held for the Node; undefined when nothing is. */
  heldBy(uid: string): readonly string[] | undefined;
  usage(): readonly PodRangeUsage[];
}

export function createPodCidrs({ ranges, excluded }: PodCidrOptions): PodCidrs {
  const pools = ranges.map((range) => createPool(range, excluded));
  const held = new Map<string, readonly string[]>(); // uid -> its CIDRs

  function release(uid: string): void {
    for (const block of blocksOf(held.get(uid))) for (const pool of pools) pool.free(block);
    held.delete(uid);
  }

  function hold(uid: string, cidrs: readonly string[]): void {
    release(uid);
    held.set(uid, cidrs);
    for (const block of blocksOf(cidrs)) for (const pool of pools) pool.take(block);
  }

  return {
    hold,
    release,
    heldBy: (uid) => held.get(uid),
    allocate(uid) {
      const cidrs: Cidr[] = [];
      for (const pool of pools) {
        const block = pool.next();
        if (block === undefined) return { exhausted: pool.usage() };
        cidrs.push(formatBlock(block));
      }
      hold(uid, cidrs);
      return { cidrs };
    },
    usage: () => pools.map((pool) => pool.usage()),
  };
}

const blocksOf = (cidrs: readonly string[] = []): readonly Block[] => cidrs.flatMap((cidr) => parseBlock(cidr) ?? []);

interface Pool {
  take(block: Block): void;
  free(block: Block): void;
  /** A free block, the next one after the last that was given: what a Node had is not given anew at once. */
  next(): Block | undefined;
  usage(): PodRangeUsage;
}

/** Wider than this many blocks, what a Node has is kept as one piece. */
const PIECE_LIMIT = 65_536n;

function createPool({ range, maskSize }: PodRange, excluded: readonly Block[]): Pool {
  const hostBits = BigInt(BITS[range.family] - maskSize);
  const total = 1n << BigInt(maskSize - range.prefixLength);
  const taken = new Map<bigint, number>(); // index of a block -> its holders, at least one
  const pieces: Span[] = []; // what is taken besides: wide pieces, possibly overlapping
  const fixed = merged(excluded.flatMap((block) => spanOf(block) ?? []));
  let at = 0n; // where the next search begins

  /** The blocks that it overlaps; undefined outside the range. */
  function spanOf(block: Block): Span | undefined {
    if (!overlaps(range, block)) return undefined;
    if (contains(block, range)) return { first: 0n, last: total - 1n };
    return { first: (block.first - range.first) >> hostBits, last: (block.last - range.first) >> hostBits };
  }

  function change(block: Block, by: 1 | -1): void {
    const span = spanOf(block);
    if (span === undefined) return;
    if (span.last - span.first >= PIECE_LIMIT) {
      if (by === 1) pieces.push(span);
      else
        pieces.splice(
          pieces.findIndex(({ first, last }) => first === span.first && last === span.last),
          1,
        );
      return;
    }
    for (let index = span.first; index <= span.last; index += 1n) {
      const holders = (taken.get(index) ?? 0) + by;
      if (holders > 0) taken.set(index, holders);
      else taken.delete(index);
    }
  }

  const wallAt = (index: bigint): Span | undefined =>
    fixed.find((span) => isIn(span, index)) ?? pieces.find((span) => isIn(span, index));

  /** The first free index from `from` on, below `end`. */
  function search(from: bigint, end: bigint): bigint | undefined {
    for (let index = from; index < end; ) {
      const wall = wallAt(index);
      if (wall !== undefined) index = wall.last + 1n;
      else if (taken.has(index)) index += 1n;
      else return index;
    }
    return undefined;
  }

  return {
    take: (block) => change(block, 1),
    free: (block) => change(block, -1),
    next() {
      const index = search(at, total) ?? search(0n, at);
      if (index === undefined) return undefined;
      at = (index + 1n) % total;
      return blockAt({ family: range.family, value: range.first + (index << hostBits) }, maskSize);
    },
    usage() {
      const walls = merged([...fixed, ...pieces]);
      let used = walls.reduce((sum, { first, last }) => sum + last - first + 1n, 0n);
      for (const index of taken.keys()) if (!walls.some((span) => isIn(span, index))) used += 1n;
      return { range: formatBlock(range), maskSize, total, used };
    },
  };
}

/** Indexes from `first` to `last`, both included. */
interface Span {
  readonly first: bigint;
  readonly last: bigint;
}

const isIn = ({ first, last }: Span, index: bigint): boolean => first <= index && index <= last;

function merged(spans: readonly Span[]): readonly Span[] {
  const result: Span[] = [];
  for (const span of [...spans].sort((a, b) => (a.first < b.first ? -1 : a.first > b.first ? 1 : 0))) {
    const top = result.at(-1);
    if (top === undefined || span.first > top.last + 1n) result.push(span);
    else if (span.last > top.last) result[result.length - 1] = { first: top.first, last: span.last };
  }
  return result;
}
