import { compareText } from '../equal.ts';
import type { IpFamily } from '../provider.ts';
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

/** Room that was made; what `wake` (waiters.ts) turns into Services to look at again. */
export interface Freed {
  readonly pool: string;
  readonly family: IpFamily;
  /** How many addresses; 0 when one was given up that others still use, or that is retained. */
  readonly count: bigint;
  /** Set for a release: the address, and the key under which others may share it. */
  readonly address?: string;
  readonly sharingKey?: string;
}

/** What is recorded when the request takes or keeps an address. */
export function userOf(request: AddressRequest): User {
  const { namespace, name, uid, ports, sharingKey, backendKey, retainMs } = request;
  return { namespace, name, uid, ports, sharingKey, backendKey, ...(retainMs === undefined ? {} : { retainMs }) };
}

/** Equal for users who may share, ports aside; `undefined` for one who shares with nobody. */
export function sharingGroup({ sharingKey, backendKey }: User): string | undefined {
  return sharingKey === '' ? undefined : JSON.stringify([sharingKey, backendKey]);
}

/** Why the two cannot have one address, in a sentence about the first; `undefined` when they can (rule 9). */
export function clashOf(user: User, other: User): string | undefined {
  const who = `${other.namespace}/${other.name}`;
  if (other.sharingKey === '') return `${who} uses it and does not share`;
  if (user.sharingKey === '') return `${who} uses it, and without metallb.io/allow-shared-ip it is not shared`;
  if (user.sharingKey !== other.sharingKey)
    return `${who} uses it under the sharing key ${JSON.stringify(other.sharingKey)}, not ${JSON.stringify(user.sharingKey)}`;
  if (user.backendKey !== other.backendKey)
    return `${who} shares it, but externalTrafficPolicy Local needs equal policies and selectors`;
  const port = user.ports.find((candidate) => other.ports.includes(candidate));
  return port === undefined ? undefined : `${who} shares it and has ${port} already`;
}

/** When the promise ends, in ms since 1970. An unreadable date is due: better an address free than kept for ever. */
export const dueMs = ({ until }: Retained): number => Date.parse(until) || 0;

export const compareUsers = (a: User, b: User): number => compareText(a.uid, b.uid);

/** 'namespace/name' of anything that has both. */
export const nameOf = ({ namespace, name }: { readonly namespace: string; readonly name: string }): string =>
  `${namespace}/${name}`;
