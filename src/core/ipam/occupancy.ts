import type { Interval } from '../net/cidr.ts';
import type { Ip } from '../net/ip.ts';

/**
 * Which addresses are taken: one bitmap per 256 addresses in use, and the runs of full ones as intervals, so that the
 * first free address is found in O(log intervals) in a /16 that is full but for one and in a /64 that is empty.
 */
export class Occupancy {
  readonly #planes = { ipv4: new Plane(), ipv6: new Plane() };

  add({ family, value }: Ip): void {
    this.#planes[family].set(value, true);
  }
  delete({ family, value }: Ip): void {
    this.#planes[family].set(value, false);
  }
  has({ family, value }: Ip): boolean {
    return this.#planes[family].has(value);
  }
  /** The lowest address of the interval that is free; with `inner` none that ends in .0 or .255 (IPv4 only). */
  firstFree({ family, first, last }: Interval, inner: boolean): bigint | undefined {
    return this.#planes[family].firstFree(first, last, inner && family === 'ipv4');
  }
}

const EDGES = [1, 0x80000000] as const; // addresses 0 and 255 of a bitmap, in its first and last word

class Plane {
  readonly #bitmaps = new Map<bigint, Bitmap>(); // address >> 8 -> bitmap; no empty ones
  readonly #full = new Intervals();
  /** Bitmaps whose addresses 1 to 254 are all taken; a superset of `#full`. */
  readonly #innerFull = new Intervals();

  has(value: bigint): boolean {
    return this.#bitmaps.get(value >> 8n)?.has(Number(value & 255n)) ?? false;
  }

  set(value: bigint, taken: boolean): void {
    const index = value >> 8n;
    const bitmap = this.#bitmaps.get(index) ?? new Bitmap();
    if (!bitmap.set(Number(value & 255n), taken)) return;
    this.#full.set(index, bitmap.size === 256);
    this.#innerFull.set(index, bitmap.inner === 254);
    if (bitmap.size === 0) this.#bitmaps.delete(index);
    else this.#bitmaps.set(index, bitmap);
  }

  firstFree(first: bigint, last: bigint, inner: boolean): bigint | undefined {
    const full = inner ? this.#innerFull : this.#full;
    for (let at = first; at <= last; ) {
      const index = full.after(at >> 8n);
      if (index > at >> 8n) {
        at = index << 8n;
        continue;
      }
      const high = index === last >> 8n ? Number(last & 255n) : 255;
      const free = (this.#bitmaps.get(index) ?? EMPTY).firstFree(Number(at & 255n), high, inner);
      if (free !== undefined) return (index << 8n) | BigInt(free);
      at = (index + 1n) << 8n;
    }
    return undefined;
  }
}

class Bitmap {
  readonly #words = new Uint32Array(8);
  size = 0;
  /** How many of 1 to 254. */
  inner = 0;

  has(at: number): boolean {
    return ((this.#words[at >> 5] as number) & (1 << (at & 31))) !== 0;
  }

  /** False when nothing changed. */
  set(at: number, taken: boolean): boolean {
    if (this.has(at) === taken) return false;
    const word = at >> 5;
    this.#words[word] = (this.#words[word] as number) ^ (1 << (at & 31));
    const step = taken ? 1 : -1;
    this.size += step;
    if (at !== 0 && at !== 255) this.inner += step;
    return true;
  }

  firstFree(low: number, high: number, inner: boolean): number | undefined {
    for (let word = low >> 5; word <= high >> 5; word += 1) {
      let taken = this.#words[word] as number;
      if (word === low >> 5) taken |= (1 << (low & 31)) - 1;
      if (inner && word === 0) taken |= EDGES[0];
      if (inner && word === 7) taken |= EDGES[1];
      if (taken >>> 0 === 0xffffffff) continue;
      const at = word * 32 + 31 - Math.clz32(~taken & (taken + 1)); // the lowest zero bit
      return at <= high ? at : undefined;
    }
    return undefined;
  }
}

const EMPTY = new Bitmap();

/** A set of integers as disjoint runs that do not touch, both arrays ascending and of equal length. */
class Intervals {
  readonly #firsts: bigint[] = [];
  readonly #lasts: bigint[] = [];

  /** The lowest integer from `at` on that is not in the set. */
  after(at: bigint): bigint {
    const run = this.#runAt(at);
    return run >= 0 && at <= (this.#lasts[run] as bigint) ? (this.#lasts[run] as bigint) + 1n : at;
  }

  set(at: bigint, member: boolean): void {
    const run = this.#runAt(at);
    const inside = run >= 0 && at <= (this.#lasts[run] as bigint);
    if (inside === member) return;
    if (member) this.#add(at, run);
    else this.#delete(at, run);
  }

  /** `before`: the last run that begins below `at`, or -1. */
  #add(at: bigint, before: number): void {
    const joinsLeft = before >= 0 && this.#lasts[before] === at - 1n;
    const joinsRight = this.#firsts[before + 1] === at + 1n;
    if (joinsLeft && joinsRight) {
      this.#lasts.splice(before, 1);
      this.#firsts.splice(before + 1, 1);
    } else if (joinsLeft) this.#lasts[before] = at;
    else if (joinsRight) this.#firsts[before + 1] = at;
    else {
      this.#firsts.splice(before + 1, 0, at);
      this.#lasts.splice(before + 1, 0, at);
    }
  }

  #delete(at: bigint, run: number): void {
    const [first, last] = [this.#firsts[run] as bigint, this.#lasts[run] as bigint];
    const left = first < at ? [[first, at - 1n] as const] : [];
    const right = at < last ? [[at + 1n, last] as const] : [];
    const rest = [...left, ...right];
    this.#firsts.splice(run, 1, ...rest.map(([from]) => from));
    this.#lasts.splice(run, 1, ...rest.map(([, to]) => to));
  }

  /** The last run that begins at or below `at`, or -1. */
  #runAt(at: bigint): number {
    let [low, high] = [0, this.#firsts.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#firsts[middle] as bigint) <= at) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }
}
