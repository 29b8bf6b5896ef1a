import type { ProviderError } from '../errors.ts';
import type { IpFamily, Shortfall } from '../provider.ts';
import type { Pool } from './pools.ts';
import type { AddressRequest } from './request.ts';

/** An address that a Service holds, or shall hold. */
export interface Holding {
  /** Canonical text. */
  readonly address: string;
  readonly family: IpFamily;
  readonly pool: string;
}

/** One user of an address, as its IPBlock records it. */
export interface User {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  /** 'TCP/80', sorted. */
  readonly ports: readonly string[];
  readonly sharingKey: string;
  readonly backendKey: string;
  /** The Service's own retain; absent: the pool's. */
  readonly retainMs?: number;
}
/** A promise to give the address back to the Service of this name. */
export interface Retained {
  readonly namespace: string;
  readonly name: string;
  /** RFC 3339 in UTC, precision of a second: '2026-11-20T12:00:00Z'. */
  readonly until: string;
}
/** All that is recorded of one address: the value of `spec.addresses[address]` in an IPBlock. */
export interface Entry {
  readonly pool: string;
  /** Sorted by uid. */
  readonly users: readonly User[];
  /** Sorted by namespace, name; absent when empty. */
  readonly retained?: readonly Retained[];
}

/** A note for people: becomes an Event on the Service. Reasons are MetalLB's. */
export interface Note {
  readonly type: 'Normal' | 'Warning';
  readonly reason: 'ClearAssignment' | 'AdditionalAssignFailed' | 'AllocationFailed';
  readonly message: string;
}

/** What a Service should hold. After it took effect, the same question gives the same answer with nothing left to do. */
export interface Decision {
  /** What the Service then holds, IPv4 first, ascending: its ingress, and `keep` with `take`. */
  readonly addresses: readonly Holding[];
  readonly keep: readonly Holding[];
  /** Part of `keep`: recorded with another pool, other ports or keys; the record must be written anew. */
  readonly update: readonly Holding[];
  readonly take: readonly Holding[];
  readonly release: readonly Holding[];
  /**
   * Why the request cannot be met: kind `invalid` or `quota`, field and value named. Then `take` is empty and what was
   * good stays in `keep` (last good state); `release` has at most addresses that left their pool. A Service with a
   * failure or a shortfall waits: every pool change, and for `quota` every release, may help it.
   */
  readonly failure?: ProviderError;
  /** Held although something about it no longer fits: condition Degraded, reason StaleSpec. */
  readonly shortfalls: readonly Shortfall[];
  readonly notes: readonly Note[];
}

/** What became of addresses that a Service published without a reservation. */
export interface Adoption {
  /** All of the published, or none: held from now on, to be written to their blocks. */
  readonly adopted: readonly Holding[];
  /** Published, but not to be kept: the next `allocate` gives others. */
  readonly cleared: readonly string[];
  readonly notes: readonly Note[];
}

/** Room that was made; what `wake` (waiters.ts) turns into Services to look at again. */
export interface Freed {
  readonly pool: string;
  readonly family: IpFamily;
  readonly count: bigint;
  /** Set for a release: the address, and the key under which others may share it. */
  readonly address?: string;
  readonly sharingKey?: string;
}

/** What a release did. */
export interface Release {
  /** No longer held by the Service. */
  readonly released: readonly Holding[];
  /** An entry also for an address that others still use or that is retained, with `count` 0. */
  readonly freed: readonly Freed[];
}

/** One address that a change of pools touches, with all who use it. */
export interface Affected {
  readonly address: string;
  /** The pool that has it now. */
  readonly from: string;
  /** The pool that will have it; absent: none, its users would lose it. */
  readonly to?: string;
  readonly users: readonly Pick<User, 'namespace' | 'name' | 'uid'>[];
}
export interface PoolChange {
  /** Addresses in use that keep their users under another pool's name, in numeric order. */
  readonly moved: readonly Affected[];
  /** Addresses in use that no pool has any more, in numeric order. */
  readonly stranded: readonly Affected[];
  /** Part of `stranded` that no `allow-shrink` covers, on the old pool or its successor: refuse the edit if not empty. */
  readonly refused: readonly Affected[];
  /** Room that the change makes. */
  readonly freed: readonly Freed[];
}

/** Saturating at 2^63-1, as MetalLB counts. Write with JSON.rawJSON: no JavaScript number holds them. */
export interface FamilyCount {
  readonly total: bigint;
  /** In use or retained; a shared address once. */
  readonly assigned: bigint;
  /** total - assigned, not below 0. */
  readonly available: bigint;
}
export interface PoolCount {
  readonly ipv4: FamilyCount;
  readonly ipv6: FamilyCount;
  /** Both together, saturating. */
  readonly total: bigint;
  /** Services that hold an address of the pool. (metallb_allocator_services_allocated_total) */
  readonly services: number;
}

/** Why a request gets what it gets: for `fairlead why`. */
export interface Explanation {
  /** In the order in which they are tried; those that are not candidates follow in pool order. */
  readonly pools: readonly {
    readonly pool: string;
    readonly candidate: boolean;
    /** 'requested by metallb.io/address-pool', 'autoAssign is false': the rule that decided. */
    readonly rule: string;
    readonly ipv4: FamilyCount;
    readonly ipv6: FamilyCount;
  }[];
  /** Each address asked for, and each held. */
  readonly addresses: readonly {
    readonly address: string;
    /** Absent: in no pool. */
    readonly pool?: string;
    readonly users: readonly Pick<User, 'namespace' | 'name' | 'uid'>[];
    readonly retainedFor: readonly string[];
  }[];
  readonly decision: Decision;
}

/** The readable half: never changes anything; answers are values, not views. */
export interface AllocatorView {
  readonly pools: readonly Pool[];
  /** What the request should hold by the present state. Pure; `allocate` would do exactly this. */
  decide(request: AddressRequest): Decision;
  /** IPv4 first, ascending. `pool` is the recorded one for an address that left its pool. */
  holdings(uid: string): readonly Holding[];
  /** What must stand in the address's block; `undefined` when nothing. */
  entry(address: string): Entry | undefined;
  /** All addresses in use or retained, in numeric order, IPv4 first. */
  entries(): Iterable<readonly [address: string, entry: Entry]>;
  /** Uids that hold something, sorted. */
  holders(): readonly string[];
  /** The pool that has the address: the preferred one if it does, else the first. Text that is no address: none. */
  poolOf(address: string, preferred?: string): string | undefined;
  counts(pool: string): PoolCount | undefined;
  /** Names of the pools that may give to the request, free or not, in the order in which they are tried. */
  candidates(request: AddressRequest): readonly string[];
  explain(request: AddressRequest): Explanation;
  /** What `setPools` would do. */
  preview(pools: readonly Pool[]): PoolChange;
  /** When the earliest retained address is due, in ms since 1970. */
  nextExpiryMs(): number | undefined;
}

/**
 * The addresses of one process: mutable inside, no IO, no clock. Every method is synchronous, so that a caller who
 * decides and takes before its first await cannot be overtaken.
 */
export interface Allocator extends AllocatorView {
  /** Takes the pools whatever they strand: ask `preview` first. Stranded addresses stay held until their Service's next `allocate`. */
  setPools(pools: readonly Pool[]): PoolChange;
  /** Decides, and takes, updates and releases in memory at once. A failure changes nothing but what it says. */
  allocate(request: AddressRequest): Decision;
  /** Rule 3, at start and take-over: takes the published addresses over, all or none. Nothing if the Service holds any. */
  adopt(request: AddressRequest, published: readonly string[]): Adoption;
  /**
   * Gives up these addresses, or all. With `retainAtMs` (the time of deletion, ms since 1970) each is kept for the
   * namespace and name as long as the Service or the pool says. Idempotent.
   */
  release(uid: string, how?: { readonly addresses?: readonly string[]; readonly retainAtMs?: number }): Release;
  /** Replaces what is known of one address by what its block says; `undefined` or no users and nothing retained: free. */
  restore(address: string, entry: Entry | undefined): void;
  /** Drops what is retained until `nowMs` or earlier; the addresses whose blocks must be written. */
  purge(nowMs: number): readonly Freed[];
}
