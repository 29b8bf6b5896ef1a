import { type Block, compareIntervals, hasIp } from '../net/cidr.ts';
import type { Ip } from '../net/ip.ts';
import type { Pool } from './pools.ts';

interface Range extends Block {
  /** Place of its pool in the order in which pools are tried. */
  readonly rank: number;
}

/** Pools by name and by address. Overlaps are possible: validation forbids them, but old objects may have them. */
export class PoolIndex {
  readonly pools: readonly Pool[];
  readonly #byName: ReadonlyMap<string, Pool>;
  /** IPv4 first, by first address. */
  readonly #ranges: readonly Range[];
  /** Highest last address in `#ranges` up to the same place: how far back an overlap can lie. */
  readonly #reach: readonly bigint[];

  constructor(pools: readonly Pool[]) {
    this.pools = pools;
    this.#byName = new Map(pools.map((pool) => [pool.name, pool]));
    this.#ranges = pools
      .flatMap(({ blocks }, rank) => blocks.map((block) => ({ ...block, rank })))
      .sort(compareIntervals);
    let reach = -1n;
    this.#reach = this.#ranges.map(({ family, last }) => {
      const end = place(family, last);
      if (end > reach) reach = end;
      return reach;
    });
  }

  get(name: string): Pool | undefined {
    return this.#byName.get(name);
  }

  /** The pools that have the address, in the order in which pools are tried. */
  having(ip: Ip): readonly Pool[] {
    const at = place(ip.family, ip.value);
    const ranks = new Set<number>();
    for (let index = this.#lastFrom(at); index >= 0 && (this.#reach[index] as bigint) >= at; index -= 1) {
      const range = this.#ranges[index] as Range;
      if (hasIp(range, ip)) ranks.add(range.rank);
    }
    return [...ranks].sort((a, b) => a - b).map((rank) => this.pools[rank] as Pool);
  }

  /** The preferred pool if it has the address, else the first that has. */
  poolOf(ip: Ip, preferred?: string): Pool | undefined {
    const pools = this.having(ip);
    return pools.find(({ name }) => name === preferred) ?? pools[0];
  }

  /** The last range that begins at or below the place, or -1. */
  #lastFrom(at: bigint): number {
    let [low, high] = [0, this.#ranges.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (order(this.#ranges[middle] as Range) <= at) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }
}

/** Both families on one line. */
const place = (family: Ip['family'], value: bigint): bigint => (family === 'ipv4' ? value : value + (1n << 32n));

const order = ({ family, first }: Block): bigint => place(family, first);
