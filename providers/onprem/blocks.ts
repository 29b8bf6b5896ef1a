import { isEqual } from '../../src/core/equal.ts';
import { compareUsers, type Entry, type User } from '../../src/core/ipam/entry.ts';
import type { KubeObject } from '../../src/core/objects.ts';
import { type BlockName, CLOSED_ANNOTATION } from './names.ts';
import type { BlockAddress, IPBlockSpec } from './schema.ts';

/** An IPBlock as the API server sends it. */
export interface IPBlock extends KubeObject {
  readonly spec: IPBlockSpec;
}

/** What is known of a block on the API server. */
export interface Stored {
  readonly uid: string;
  readonly resourceVersion: string;
  /** Emptied for good: the only thing that may still happen to it is its deletion. */
  readonly closed: boolean;
  readonly entries: ReadonlyMap<string, Entry>; // address -> what is recorded
}

/** What a write does to some addresses: their new records, `undefined` where none is left. */
export type Changes = ReadonlyMap<string, Entry | undefined>;

export function storedOf(object: unknown): Stored {
  const { metadata, spec } = object as IPBlock;
  return {
    uid: metadata.uid,
    resourceVersion: metadata.resourceVersion,
    closed: metadata.annotations?.[CLOSED_ANNOTATION] === 'true',
    entries: new Map(Object.entries(spec?.addresses ?? {}).map(([address, record]) => [address, entryOf(record)])),
  };
}

/** Creation, by name: the API server refuses a second block of that name. */
export function creation({ name, cidr }: BlockName, changes: Changes): object {
  return {
    apiVersion: 'fairlead.dev/v1alpha1',
    kind: 'IPBlock',
    metadata: { name },
    spec: { cidr, addresses: addressesOf(changes, 'leave out') },
  };
}

/**
 * A merge patch of exactly these addresses, guarded by the version that they were decided on. What empties the block
 * closes it.
 */
export function patchOf({ uid, resourceVersion, entries }: Stored, changes: Changes): object {
  const isEmptied =
    [...changes.values()].every((entry) => entry === undefined) &&
    [...entries.keys()].every((address) => changes.has(address));
  const annotations = isEmptied ? { annotations: { [CLOSED_ANNOTATION]: 'true' } } : {};
  return {
    metadata: { uid, resourceVersion, ...annotations },
    spec: { addresses: addressesOf(changes, 'null') },
  };
}

/** The block after the write of `changes` was answered with `answer`. */
export function afterWrite(before: Stored | undefined, changes: Changes, answer: unknown): Stored {
  const { uid, resourceVersion, closed } = storedOf(answer);
  const entries = new Map(before?.entries);
  for (const [address, entry] of changes) {
    if (entry === undefined) entries.delete(address);
    else entries.set(address, entry);
  }
  return { uid, resourceVersion, closed, entries };
}

export const sameEntry = (a: Entry | undefined, b: Entry | undefined): boolean => isEqual(a, b);

/** True when `a` is certainly newer; versions are decimal numbers of one sequence (KEP-5504). */
export function isNewer(a: string, b: string): boolean {
  return BigInt(a) > BigInt(b);
}

/** The API server does not look inside (schema.ts): what is no record is left out, and what a hand wrote breaks nothing. */
function entryOf(record: Partial<BlockAddress> | null): Entry {
  const { pool, users, retained } = record ?? {};
  const kept = listOf(retained).filter(isRetention);
  return {
    pool: typeof pool === 'string' ? pool : '',
    users: listOf(users).filter(isUser).toSorted(compareUsers),
    ...(kept.length === 0 ? {} : { retained: kept }),
  };
}

const listOf = (value: unknown): readonly unknown[] => (Array.isArray(value) ? (value as readonly unknown[]) : []);

function isUser(value: unknown): value is User {
  const { namespace, name, uid, ports, sharingKey, backendKey } = (value ?? {}) as Partial<User>;
  return (
    [namespace, name, uid, sharingKey, backendKey].every((part) => typeof part === 'string') && Array.isArray(ports)
  );
}

function isRetention(value: unknown): value is NonNullable<Entry['retained']>[number] {
  const { namespace, name, until } = (value ?? {}) as { namespace?: unknown; name?: unknown; until?: unknown };
  return typeof namespace === 'string' && typeof name === 'string' && !Number.isNaN(Date.parse(String(until)));
}

/** A merge patch replaces lists whole but merges objects: a record that loses its last retained one must say so. */
function addressesOf(changes: Changes, absent: 'null' | 'leave out'): Readonly<Record<string, unknown>> {
  return Object.fromEntries(
    [...changes].map(([address, entry]) => {
      if (entry === undefined) return [address, null];
      return [address, absent === 'null' ? { ...entry, retained: entry.retained ?? null } : entry];
    }),
  );
}
