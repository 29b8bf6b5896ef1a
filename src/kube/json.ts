// By name: the compiler takes json.d.ts beside json.ts for its output and leaves it out of the program otherwise.
/// <reference path="./json.d.ts" />

/** JSON whose integers stay exact: counts of the Kubernetes API are int64, which a double does not hold. */

const exactInteger = /^-?\d+$/;

/** `JSON.stringify` that prints a bigint as the integer that it is. */
export function print(value: unknown): string {
  return JSON.stringify(value, (_key, item: unknown) => (typeof item === 'bigint' ? JSON.rawJSON(String(item)) : item));
}

/**
 * `JSON.parse` that gives an integer beyond 2^53 as a bigint; every other number stays a number. Twice as slow as
 * `JSON.parse`, which is also what kube/list.ts and kube/watch.ts use: only when the text holds such an integer.
 */
export function parse(text: string): unknown {
  return JSON.parse(text, (_key, value: unknown, { source }) =>
    typeof value === 'number' && !Number.isSafeInteger(value) && exactInteger.test(source ?? '')
      ? BigInt(source as string)
      : value,
  );
}

/** True when `text` may hold an integer of 16 digits or more outside of a string: then `parse` is worth its time. */
export function mayHoldBigInteger(text: string): boolean {
  return /[:,[]\s*-?\d{16}/.test(text);
}
