/** A seeded generator of numbers in [0, 1) (mulberry32): equal seeds give equal worlds. */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** A version 4 UUID (RFC 9562). */
export function uuid(random: () => number): string {
  const word = (): string =>
    Math.floor(random() * 0x10000)
      .toString(16)
      .padStart(4, '0');
  const versioned = `4${word().slice(1)}`;
  const variant = `${'89ab'[Math.floor(random() * 4)]}${word().slice(1)}`;
  return `${word()}${word()}-${word()}-${versioned}-${variant}-${word()}${word()}${word()}`;
}

/** No vowels, so that no words appear (apimachinery's util/rand). */
const letters = 'bcdfghjklmnpqrstvwxz2456789';
const suffixLength = 5;
const longestBase = 63 - suffixLength;

/** What the API server makes of `generateName`: the base, cut to fit a label, and five characters. */
export function generatedName(base: string, random: () => number): string {
  const suffix = Array.from({ length: suffixLength }, () => letters[Math.floor(random() * letters.length)]).join('');
  return `${base.slice(0, longestBase)}${suffix}`;
}
