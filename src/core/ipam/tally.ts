import type { Slot } from './slot.ts';

/** Addresses of a pool per namespace: those that its Services use, and those retained for them; a shared one once. */
export class Tally {
  readonly #slots = new Map<string, Map<Slot, number>>(); // pool and namespace -> slot -> users and retained there

  add(pool: string | undefined, namespace: string, slot: Slot): void {
    if (pool === undefined) return;
    const key = keyOf(pool, namespace);
    const slots = this.#slots.get(key) ?? new Map<Slot, number>();
    this.#slots.set(key, slots.set(slot, (slots.get(slot) ?? 0) + 1));
  }

  delete(pool: string | undefined, namespace: string, slot: Slot): void {
    if (pool === undefined) return;
    const key = keyOf(pool, namespace);
    const slots = this.#slots.get(key);
    const left = (slots?.get(slot) ?? 0) - 1;
    if (left > 0) slots?.set(slot, left);
    else slots?.delete(slot);
    if (slots?.size === 0) this.#slots.delete(key);
  }

  /** Slot -> how many of the namespace's Services use it or have it retained. */
  of(pool: string, namespace: string): ReadonlyMap<Slot, number> {
    return this.#slots.get(keyOf(pool, namespace)) ?? NONE;
  }
}

const NONE: ReadonlyMap<Slot, number> = new Map();

const keyOf = (pool: string, namespace: string): string => `${pool} ${namespace}`;
