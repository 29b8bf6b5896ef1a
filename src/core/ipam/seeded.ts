/**
 * Numbers that look random and are the same for the same seed: the order `random` must give a Service the same address
 * in `decide` and in `allocate`. (FNV-1a into mulberry32; not for secrets)
 */
export function seeded(seed: string): (below: bigint) => bigint {
  let state = 0x811c9dc5;
  for (let at = 0; at < seed.length; at += 1) state = Math.imul(state ^ seed.charCodeAt(at), 0x01000193);
  const next = (): bigint => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return BigInt((mixed ^ (mixed >>> 14)) >>> 0);
  };
  // 32 bits more than the largest `below`, so that the remainder is not biased.
  return (below) => [1, 2, 3, 4, 5].reduce((value) => (value << 32n) | next(), 0n) % below;
}
