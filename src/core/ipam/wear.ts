import type { Interval } from '../net/cidr.ts';
import { formatIp, type Ip } from '../net/ip.ts';
import { Occupancy } from './occupancy.ts';

/** How many addresses per pool are remembered; the oldest beyond count as never used. */
const MEMORY = 65_536;

/** Which free addresses were given up, and in which order: for pools that give the least recently used one. */
export class Wear {
  /** In use, or given up and remembered. */
  readonly #touched = new Occupancy();
  readonly #givenUp = new Map<string, Map<string, Ip>>(); // pool -> address -> ip, the longest ago first
  #pools: ReadonlySet<string> = new Set();

  firstUnworn(interval: Interval, inner: boolean): bigint | undefined {
    return this.#touched.firstFree(interval, inner);
  }
  of(pool: string): Iterable<Ip> {
    return this.#givenUp.get(pool)?.values() ?? [];
  }

  take(ip: Ip): void {
    this.#touched.add(ip);
    for (const addresses of this.#givenUp.values()) addresses.delete(formatIp(ip));
  }

  giveUp(ip: Ip, pool: string | undefined): void {
    if (pool === undefined || !this.#pools.has(pool)) {
      this.#touched.delete(ip);
      return;
    }
    const addresses = this.#givenUp.get(pool) ?? new Map<string, Ip>();
    this.#givenUp.set(pool, addresses.set(formatIp(ip), ip));
    const [oldest] = addresses;
    if (addresses.size > MEMORY && oldest !== undefined) this.#forget(addresses, ...oldest);
  }

  /** The pools of this order; what was remembered of others is forgotten. */
  keepPools(pools: ReadonlySet<string>): void {
    this.#pools = pools;
    for (const [pool, addresses] of this.#givenUp) {
      if (pools.has(pool)) continue;
      for (const [address, ip] of addresses) this.#forget(addresses, address, ip);
      this.#givenUp.delete(pool);
    }
  }

  #forget(addresses: Map<string, Ip>, address: string, ip: Ip): void {
    addresses.delete(address);
    this.#touched.delete(ip);
  }
}
