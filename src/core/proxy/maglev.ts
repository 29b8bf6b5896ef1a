/** A fixed table of slots over targets in which a change moves few (Maglev, Eisenbud et al. 2016, section 3.4). */
import { compareText } from '../equal.ts';
import type { Registers } from '../net/element.ts';
import { numberHash } from './hash.ts';
import { HASH_SLOTS } from './value.ts';

/**
 * The same slots for the same targets in any order; a target that stands in the list n times gets n shares. With more
 * targets than slots some have none.
 */
export function maglev(targets: readonly Registers[]): readonly Registers[] {
  if (targets.length === 0) return [];
  let copy = 0;
  const turns = [...targets].sort(compareText).map((target, index, all) => {
    copy = target === all[index - 1] ? copy + 1 : 0;
    const name = copy === 0 ? target : `${target}${copy}`;
    return {
      target,
      next: numberHash(name, OFFSET_BASIS) % HASH_SLOTS,
      skip: 1 + (numberHash(name, SKIP_BASIS) % (HASH_SLOTS - 1)),
    };
  });
  const slots = new Array<Registers | undefined>(HASH_SLOTS).fill(undefined);
  for (let filled = 0; filled < HASH_SLOTS; ) {
    for (const turn of turns) {
      while (slots[turn.next] !== undefined) turn.next = (turn.next + turn.skip) % HASH_SLOTS;
      slots[turn.next] = turn.target;
      filled += 1;
      if (filled === HASH_SLOTS) break;
    }
  }
  return slots as readonly Registers[];
}

const OFFSET_BASIS = 0x811c9dc5;
const SKIP_BASIS = 0x01000193;
