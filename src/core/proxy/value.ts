/** Values of `services`, `services-near` and `dispatch`: which kind of chain, and over how many slots. */
import { classidText } from './schema.ts';

/**
 * lb, loc: one at random, of the cluster or the local list. aff, affloc: the same, remembered per client. hash, hashloc:
 * by a hash of the client's address.
 */
export type ChainKind = 'lb' | 'loc' | 'aff' | 'hash' | 'affloc' | 'hashloc';

/** Kinds by their number. */
export const KINDS = ['lb', 'loc', 'aff', 'hash', 'affloc', 'hashloc'] as const satisfies readonly ChainKind[];

/** Slots of the local list start here, so both lists hold at most as many. */
export const LOCAL_OFFSET = 0x8000;
export const MAX_SLOTS = 0x8000;

/** Slots of a hashed frontend: a prime, filled Maglev style. */
export const HASH_SLOTS = 251;

/** The timeout of map `aff` itself: what kinds 2 and 4 use. */
export const DEFAULT_TIMEOUT_SECONDS = 10_800;

/** From this kind on: 16 + 2i is aff, 17 + 2i is affloc with the i-th timeout that is not the default. */
const FIRST_TIMED = 16;

export interface ChainValue {
  readonly kind: ChainKind;
  readonly slots: number;
  /** Index of its timeout; absent for the default and for kinds without affinity. */
  readonly timeout?: number | undefined;
}

export function encodeValue({ kind, slots, timeout }: ChainValue): number {
  const number = timeout === undefined ? KINDS.indexOf(kind) : FIRST_TIMED + 2 * timeout + (kind === 'affloc' ? 1 : 0);
  return number * 65536 + slots;
}

/** `undefined` for a kind that there is not. */
export function decodeValue(value: number): ChainValue | undefined {
  const number = value >>> 16;
  const slots = value & 0xffff;
  if (number >= FIRST_TIMED)
    return { kind: number % 2 === 0 ? 'aff' : 'affloc', slots, timeout: (number - FIRST_TIMED) >> 1 };
  const kind = KINDS[number];
  return kind === undefined ? undefined : { kind, slots };
}

export const isLocal = (kind: ChainKind): boolean => kind === 'loc' || kind === 'affloc' || kind === 'hashloc';

/** Its slots are in `ep-id` instead of `endpoints`. */
export const isRemembered = (kind: ChainKind): boolean => kind === 'aff' || kind === 'affloc';

/** `lb-2`; `aff-2-0-60s` for the timeout with index 0, so that names alone tell what is loaded. */
export function chainName(value: number, timeouts: readonly number[]): string {
  const chain = decodeValue(value);
  if (chain === undefined) throw new RangeError(`${classidText(value)} is no kind of chain`);
  const { kind, slots, timeout } = chain;
  if (timeout === undefined) return `${kind}-${slots}`;
  const seconds = timeouts[timeout];
  if (seconds === undefined) throw new RangeError(`${classidText(value)}: there is no timeout ${timeout}`);
  return `${kind}-${slots}-${timeout}-${seconds}s`;
}

/** Reads `chainName` back; `undefined` for other chains of the table. */
export function parseChainName(name: string): { readonly value: number; readonly seconds?: number } | undefined {
  const match = /^(lb|loc|aff|hash|affloc|hashloc)-([1-9]\d{0,4})(?:-(\d{1,5})-([1-9]\d{0,5})s)?$/.exec(name);
  if (match === null) return undefined;
  const [, kind, slots, timeout, seconds] = match as unknown as [string, ChainKind, string, string?, string?];
  if (Number(slots) > MAX_SLOTS) return undefined;
  if (timeout === undefined || seconds === undefined) return { value: encodeValue({ kind, slots: Number(slots) }) };
  if (!isRemembered(kind)) return undefined;
  return { value: encodeValue({ kind, slots: Number(slots), timeout: Number(timeout) }), seconds: Number(seconds) };
}
