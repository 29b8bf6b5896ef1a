import { type Block, blockAt } from '../net/cidr.ts';

/** CIDRs by containment: what covers a block, and what lies inside it. CIDRs nest or are disjoint, so lookups need no search. */
export interface Prefixes<T> {
  /** Of several values with one block the first counts. */
  add(block: Block, value: T): void;
  /** One with exactly this block, or inside it. */
  within(block: Block): T | undefined;
  /** The closest one that holds the block and is wider. */
  around(block: Block): T | undefined;
}

/** `lengths`: every prefix length that `within` will be asked for, in any order. */
export function createPrefixes<T>(lengths: Iterable<number>): Prefixes<T> {
  const asked = [...new Set(lengths)];
  const held = new Map<string, T>(); // block -> value
  const lengthsHeld = new Set<number>();
  const above = new Map<string, T>(); // block of an asked length -> a value inside it
  return {
    add(block, value) {
      const key = keyOf(block);
      if (!held.has(key)) held.set(key, value);
      lengthsHeld.add(block.prefixLength);
      for (const length of asked) {
        if (length >= block.prefixLength) continue;
        const outer = keyOf(ancestor(block, length));
        if (!above.has(outer)) above.set(outer, value);
      }
    },
    within(block) {
      const key = keyOf(block);
      return held.get(key) ?? above.get(key);
    },
    around(block) {
      const wider = [...lengthsHeld].filter((length) => length < block.prefixLength).sort((a, b) => b - a);
      for (const length of wider) {
        const value = held.get(keyOf(ancestor(block, length)));
        if (value !== undefined) return value;
      }
      return undefined;
    },
  };
}

const ancestor = ({ family, first }: Block, length: number): Block => blockAt({ family, value: first }, length);

const keyOf = ({ family, first, prefixLength }: Block): string => `${family} ${first}/${prefixLength}`;
