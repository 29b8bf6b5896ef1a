import type { Interval } from '../net/cidr.ts';
import type { IpFamily } from '../provider.ts';
import { sharingGroup, type User } from './entry.ts';
import type { Slot } from './slot.ts';

/** Addresses by what their users share under: where a Service may join others. */
export class SharingIndex {
  readonly #groups = new Map<string, Group>(); // family and sharing group -> addresses

  /** Call before the users of the address change in any way but one more joining the group. */
  remove(slot: Slot): void {
    const key = keyOf(slot.ip.family, slot.group);
    const group = key === undefined ? undefined : this.#groups.get(key);
    if (key === undefined || group === undefined) return;
    group.remove(slot);
    if (group.isEmpty) this.#groups.delete(key);
  }
  /** Call after. */
  add(slot: Slot): void {
    const key = keyOf(slot.ip.family, slot.group);
    if (key === undefined) return;
    const group = this.#groups.get(key) ?? new Group();
    this.#groups.set(key, group);
    group.add(slot);
  }

  /** The lowest address of the interval that others use and this user may join. */
  first(interval: Interval, user: User): bigint | undefined {
    const key = keyOf(interval.family, sharingGroup(user));
    return key === undefined ? undefined : this.#groups.get(key)?.first(interval, user);
  }
}

class Group {
  /** Ascending. */
  readonly #slots: Slot[] = [];
  /** Ports -> every member below this address has one of them, so that equal Services do not walk all the others. */
  readonly #taken = new Map<string, bigint>();

  get isEmpty(): boolean {
    return this.#slots.length === 0;
  }

  add(slot: Slot): void {
    const at = this.#lowerBound(slot.ip.value);
    this.#slots.splice(at, 0, slot);
    if (at < this.#slots.length - 1) this.#taken.clear();
  }

  remove(slot: Slot): void {
    const at = this.#lowerBound(slot.ip.value);
    if (this.#slots[at] !== slot) return;
    this.#slots.splice(at, 1);
    this.#taken.clear();
  }

  first({ first, last }: Interval, user: User): bigint | undefined {
    const ports = user.ports.join();
    const below = this.#taken.get(ports) ?? 0n;
    const start = this.#lowerBound(first > below ? first : below);
    // Only without a gap between what is remembered and where the search begins.
    let remember = first <= below || this.#lowerBound(below) === start;
    for (let at = start; at < this.#slots.length; at += 1) {
      const slot = this.#slots[at] as Slot;
      if (slot.ip.value > last) return undefined;
      const holds = slot.users.has(user.uid);
      if (!holds && slot.fits(user)) return slot.ip.value;
      // What this user holds is no offer to it, but may be one to another with the same ports.
      remember &&= !holds;
      if (remember) this.#taken.set(ports, slot.ip.value + 1n);
    }
    return undefined;
  }

  /** Place of the first member at or above the address. */
  #lowerBound(value: bigint): number {
    let [low, high] = [0, this.#slots.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#slots[middle] as Slot).ip.value < value) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

const keyOf = (family: IpFamily, group: string | undefined): string | undefined =>
  group === undefined ? undefined : `${family} ${group}`;
