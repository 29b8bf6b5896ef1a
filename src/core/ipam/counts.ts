import type { Block } from '../net/cidr.ts';
import { BITS } from '../net/ip.ts';
import type { IpFamily } from '../provider.ts';
import type { Ledger } from './ledger.ts';
import { isBuggy, type Pool } from './pools.ts';
import type { Slot } from './slot.ts';

/** Saturating at 2^63-1, as MetalLB counts. Write with JSON.rawJSON: no JavaScript number holds them. */
export interface FamilyCount {
  readonly total: bigint;
  /** In use or retained; a shared address once. */
  readonly assigned: bigint;
  /** total - assigned, not below 0. */
  readonly available: bigint;
}
export interface PoolCount {
  readonly ipv4: FamilyCount;
  readonly ipv6: FamilyCount;
  /** Of both families, saturating. */
  readonly total: bigint;
  /** Services that hold an address of the pool. (metallb_allocator_services_allocated_total) */
  readonly services: number;
}

/** The greatest int64. */
export const MAX_COUNT = 2n ** 63n - 1n;

/** A CIDR of so many host bits counts as `MAX_COUNT` by itself (MetalLB). */
const HUGE_HOST_BITS = 62;

export function poolCount(ledger: Ledger, pool: Pool): PoolCount {
  return countWith(pool, ledger.inPool(pool.name));
}

/** The pool's counts if these were its addresses in use or retained. */
export function countWith(pool: Pool, slots: Iterable<Slot>): PoolCount {
  const assigned = { ipv4: 0n, ipv6: 0n };
  const services = new Set<string>();
  for (const slot of slots) {
    assigned[slot.ip.family] += 1n;
    for (const uid of slot.users.keys()) services.add(uid);
  }
  const ipv4 = familyCount(pool, 'ipv4', assigned.ipv4);
  const ipv6 = familyCount(pool, 'ipv6', assigned.ipv6);
  return { ipv4, ipv6, total: saturated(ipv4.total + ipv6.total), services: services.size };
}

function familyCount(pool: Pool, family: IpFamily, assigned: bigint): FamilyCount {
  const sizes = pool.blocks
    .filter((block) => block.family === family)
    .map((block) => usable(block, pool.avoidBuggyIPs));
  const total = saturated(sizes.reduce((sum, size) => sum + size, 0n));
  return { total, assigned, available: total > assigned ? total - assigned : 0n };
}

/** Addresses of the block that are given; avoiding costs two per whole /24, or each end of a smaller one that is .0 or .255. */
function usable({ family, first, last, prefixLength }: Block, avoidBuggy: boolean): bigint {
  if (BITS[family] - prefixLength >= HUGE_HOST_BITS) return MAX_COUNT;
  const size = last - first + 1n;
  if (!avoidBuggy || family === 'ipv6') return size;
  if (prefixLength <= 24) return size - (size >> 7n);
  const ends = first === last ? [first] : [first, last];
  return size - BigInt(ends.filter((value) => isBuggy({ family, value })).length);
}

const saturated = (count: bigint): bigint => (count > MAX_COUNT ? MAX_COUNT : count);
