import { type Block, formatBlock, hasIp, sizeOf } from '../net/cidr.ts';
import { formatIp, parseIp } from '../net/ip.ts';
import type { Cidr } from '../provider.ts';

/**
 * Which addresses of one pod CIDR are in use. Allocation and release cost the same however large the CIDR and however
 * full it is (amortized over the calls), and go round: what was released last is given out last.
 */
export interface Addresses {
  readonly cidr: Cidr;
  /** The first address: it is on the host's end of every pod's link and never given out. */
  readonly gateway: string;
  /** Addresses that can be given out. */
  readonly size: bigint;
  readonly used: () => number;
  /** In the CIDR, whether or not it can be given out. */
  has(address: string): boolean;
  /** A free address, in use from now on; undefined when none is left. */
  allocate(owner: string): string | undefined;
  /** Takes this one. False when it is in use by another, or cannot be given out. */
  take(address: string, owner: string): boolean;
  /** Free again, at the end of the round. Only its owner can; else nothing happens. */
  release(address: string, owner: string): void;
  ownerOf(address: string): string | undefined;
}

/** Undefined when the CIDR is too small for a gateway and one pod. `last`: given out last, by the process before us. */
export function createAddresses(cidr: Block, last?: string): Addresses | undefined {
  // The first of IPv6 is the subnet-router anycast address (RFC 4291 2.6.1), the last of IPv4 the broadcast address.
  const first = cidr.first + 2n;
  const end = cidr.family === 'ipv4' ? cidr.last - 1n : cidr.last;
  if (sizeOf(cidr) < 4n || first > end) return undefined;
  const size = end - first + 1n;
  const owners = createTable<string>(first, size); // address -> who has it
  const released = createRound(createTable<number>(first, size));
  let cursor = first; // Where the first round goes on
  let unvisited = size; // Addresses that the first round has not come to yet

  const textOf = (value: bigint): string => formatIp({ family: cidr.family, value });
  const numberOf = (address: string): bigint | undefined => {
    const ip = parseIp(address);
    return ip !== undefined && hasIp({ family: cidr.family, first, last: end }, ip) ? ip.value : undefined;
  };
  const start = last === undefined ? undefined : numberOf(last);
  if (start !== undefined) cursor = start === end ? first : start + 1n;

  function nextFree(): bigint | undefined {
    while (unvisited > 0n) {
      const value = cursor;
      cursor = value === end ? first : value + 1n;
      unvisited -= 1n;
      if (owners.has(value)) continue;
      // Released before the round came to it: it is met here and not once more.
      released.remove(value);
      return value;
    }
    return released.shift();
  }

  return {
    cidr: formatBlock(cidr),
    gateway: textOf(cidr.first + 1n),
    size,
    used: () => owners.size(),
    has: (address) => {
      const ip = parseIp(address);
      return ip !== undefined && hasIp(cidr, ip);
    },
    allocate(owner) {
      const value = nextFree();
      if (value === undefined) return undefined;
      owners.set(value, owner);
      return textOf(value);
    },
    take(address, owner) {
      const value = numberOf(address);
      if (value === undefined) return false;
      const before = owners.get(value);
      if (before !== undefined) return before === owner;
      released.remove(value);
      owners.set(value, owner);
      return true;
    },
    release(address, owner) {
      const value = numberOf(address);
      if (value === undefined || owners.get(value) !== owner) return;
      owners.delete(value);
      released.push(value);
    },
    ownerOf: (address) => {
      const value = numberOf(address);
      return value === undefined ? undefined : owners.get(value);
    },
  };
}

/**
 * First in, first out, with removal from the middle: a list whose removed members are skipped when their turn comes. Each
 * is skipped once, so all operations are O(1) amortized.
 */
function createRound(waiting: Table<number>): {
  push(value: bigint): void;
  shift(): bigint | undefined;
  remove(value: bigint): void;
} {
  let queue: { readonly value: bigint; readonly ticket: number }[] = [];
  let head = 0;
  let tickets = 0; // `waiting`: value -> the ticket that counts; an older one in the queue does not

  return {
    push(value) {
      tickets += 1;
      waiting.set(value, tickets);
      queue.push({ value, ticket: tickets });
    },
    shift() {
      for (; head < queue.length; ) {
        const { value, ticket } = queue[head] as { value: bigint; ticket: number };
        head += 1;
        if (head > 1024 && head * 2 > queue.length) {
          queue = queue.slice(head);
          head = 0;
        }
        if (waiting.get(value) !== ticket) continue;
        waiting.delete(value);
        return value;
      }
      return undefined;
    },
    remove: (value) => void waiting.delete(value),
  };
}

/** A map from the addresses of one range. */
interface Table<T> {
  get(value: bigint): T | undefined;
  has(value: bigint): boolean;
  set(value: bigint, to: T): void;
  delete(value: bigint): void;
  size(): number;
}

/** Up to here a range is an array: a Map of 65,536 that is full pays 24 us for each delete and set, by its rehashing. */
const LARGEST_ARRAY = 1n << 17n;

function createTable<T>(first: bigint, size: bigint): Table<T> {
  if (size > LARGEST_ARRAY) {
    const map = new Map<bigint, T>();
    return {
      get: (value) => map.get(value),
      has: (value) => map.has(value),
      set: (value, to) => void map.set(value, to),
      delete: (value) => void map.delete(value),
      size: () => map.size,
    };
  }
  const array: (T | undefined)[] = new Array<T | undefined>(Number(size)).fill(undefined);
  let used = 0;
  const put = (value: bigint, to: T | undefined): void => {
    const at = Number(value - first);
    used += Number(to !== undefined) - Number(array[at] !== undefined);
    array[at] = to;
  };
  return {
    get: (value) => array[Number(value - first)],
    has: (value) => array[Number(value - first)] !== undefined,
    set: put,
    delete: (value) => put(value, undefined),
    size: () => used,
  };
}
