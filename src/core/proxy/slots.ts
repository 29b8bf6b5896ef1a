/** Which target stands in which slot: a change moves as few as it can. */
import type { Registers } from '../net/element.ts';

/**
 * The slots after a change of the list. Targets that stay keep their slots as far as the count allows; a hole is filled by
 * a new target, else by the last slot. The same array when nothing changed, and `wanted` itself when nothing was there.
 */
export function arrange(slots: readonly Registers[], wanted: readonly Registers[]): readonly Registers[] {
  if (slots.length === 0 || isSame(slots, wanted)) return slots.length === 0 ? wanted : slots;
  // Most changes are of one endpoint: what stands where it stood needs no counting.
  const isFixed = (at: number): boolean => at < wanted.length && slots[at] === wanted[at];
  const missing = countOf(wanted, isFixed);
  const kept: (Registers | undefined)[] = slots.map((target, at) => {
    if (isFixed(at)) return target;
    const count = missing.get(target) ?? 0;
    if (count === 0) return undefined;
    missing.set(target, count - 1);
    return target;
  });
  const added = addedOf(wanted, missing);
  const { length } = wanted;
  // Those that stand behind the new end move first, so that a slot that stays is never rewritten.
  const homeless = kept.slice(length).filter((target) => target !== undefined);
  const arranged = Array.from({ length }, (_, index) => kept[index]);
  let hole = 0;
  for (const target of [...homeless, ...added]) {
    while (arranged[hole] !== undefined) hole += 1;
    arranged[hole] = target;
  }
  return isSame(slots, arranged as readonly Registers[]) ? slots : (arranged as readonly Registers[]);
}

/** The same targets in the same slots. */
export function isSame(a: readonly Registers[], b: readonly Registers[]): boolean {
  if (a === b) return true;
  if (a.length !== b.length) return false;
  for (let at = 0; at < a.length; at += 1) if (a[at] !== b[at]) return false;
  return true;
}

function countOf(targets: readonly Registers[], isFixed: (at: number) => boolean): Map<Registers, number> {
  const counts = new Map<Registers, number>();
  for (const [at, target] of targets.entries()) if (!isFixed(at)) counts.set(target, (counts.get(target) ?? 0) + 1);
  return counts;
}

/** What the list has more than the slots had, in the order of the list. */
function addedOf(wanted: readonly Registers[], missing: Map<Registers, number>): readonly Registers[] {
  const added: Registers[] = [];
  for (let at = wanted.length - 1; at >= 0 && missing.size > 0; at -= 1) {
    const target = wanted[at] as Registers;
    const count = missing.get(target);
    if (count === undefined) continue;
    if (count > 0) added.push(target);
    if (count > 1) missing.set(target, count - 1);
    else missing.delete(target);
  }
  return added.reverse();
}
