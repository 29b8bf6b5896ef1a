import { failure, type ProviderError } from '../errors.ts';
import { hasIp } from '../net/cidr.ts';
import { type Ip, parseIp } from '../net/ip.ts';
import { nameOf } from './entry.ts';
import type { Ledger } from './ledger.ts';
import { isSelected, type Pool } from './pools.ts';
import type { AddressRequest } from './request.ts';

/** Whether a pool may give to a request, free or not, and the rule that decided. */
export interface Verdict {
  readonly pool: Pool;
  readonly candidate: boolean;
  /** 'requested by metallb.io/address-pool', 'autoAssign is false'. */
  readonly rule: string;
}

/**
 * All pools, candidates first in the order in which they are tried: the requested ones; without such pinned ones (a
 * serviceAllocation that selects the Service) before those without serviceAllocation (rule 6).
 */
export function verdictsOf(ledger: Ledger, request: AddressRequest): readonly Verdict[] {
  const verdicts = ledger.pools.pools.map((pool) => ({ pool, ...verdictOn(pool, request) }));
  const rank = ({ pool, candidate }: Verdict) => (!candidate ? 2 : pool.selection === undefined ? 1 : 0);
  return [0, 1, 2].flatMap((each) => verdicts.filter((verdict) => rank(verdict) === each));
}

/** Pools that may give automatically, in order. */
export function openPools(ledger: Ledger, request: AddressRequest): readonly Pool[] {
  const open = ledger.pools.pools.filter((pool) => closedFor(pool, request, false) === undefined);
  return [...open.filter(({ selection }) => selection !== undefined), ...open.filter((pool) => !pool.selection)];
}

/** The pool that was asked for by name, or why it cannot give to the request at all. */
export function namedPool(ledger: Ledger, name: string, request: AddressRequest): Pool | ProviderError {
  const field = request.fields.pool;
  const pool = ledger.pools.get(name);
  if (pool !== undefined) return refusal(pool, request, field) ?? pool;
  const names = ledger.pools.pools.map((each) => each.name).sort();
  const there = names.length === 0 ? 'there is no pool' : `there ${names.length === 1 ? 'is' : 'are'} ${list(names)}`;
  return failure('FL_POOL_UNKNOWN', `${field}: ${JSON.stringify(name)} is no pool; ${there}`, { field });
}

/** Why the pool cannot give to a request that names it, or an address in it, in `field`; or that holds one of it. */
export function refusal(pool: Pool, request: AddressRequest, field?: string): ProviderError | undefined {
  const reason = closedFor(pool, request, true);
  if (reason === undefined) return undefined;
  const code = pool.disabled ? 'FL_POOL_DISABLED' : 'FL_POOL_INCOMPATIBLE';
  const message = `pool ${JSON.stringify(pool.name)} gives nothing to ${nameOf(request)}: ${reason}`;
  return field === undefined ? failure(code, message) : failure(code, `${field}: ${message}`, { field });
}

/** Nobody may give: with the reason of each pool. */
export function noPool(ledger: Ledger, request: AddressRequest): ProviderError {
  const reasons = ledger.pools.pools.map((pool) => `${pool.name} (${closedFor(pool, request, false)})`);
  if (reasons.length === 0) return failure('FL_POOL_MISSING', 'there is no IPAddressPool to take an address from');
  return failure('FL_POOL_MISSING', `no pool is open to ${nameOf(request)}: ${list(reasons)}`);
}

export const hasAll = (pool: Pool, ips: readonly Ip[]): boolean =>
  ips.every((ip) => pool.blocks.some((block) => hasIp(block, ip)));

export const ipsOf = (addresses: readonly string[]): readonly Ip[] =>
  addresses.map((address) => {
    const ip = parseIp(address);
    if (ip === undefined) throw new TypeError(`${JSON.stringify(address)} is no address`);
    return ip;
  });

/** 'a, b and c'; of many the first five. */
export function list(items: readonly string[]): string {
  const shown = items.length > 5 ? [...items.slice(0, 5), `${items.length - 5} more`] : items;
  return shown.length < 2 ? shown.join() : `${shown.slice(0, -1).join(', ')} and ${shown.at(-1)}`;
}

function verdictOn(pool: Pool, request: AddressRequest): Omit<Verdict, 'pool'> {
  const wish = wishFor(pool, request);
  if (wish !== undefined && !wish.met) return { candidate: false, rule: wish.rule };
  const closed = closedFor(pool, request, wish !== undefined);
  if (closed !== undefined) return { candidate: false, rule: closed };
  if (wish !== undefined) return { candidate: true, rule: wish.rule };
  if (pool.selection === undefined) return { candidate: true, rule: 'autoAssign, without serviceAllocation' };
  return { candidate: true, rule: `serviceAllocation selects the Service, priority ${pool.priority}` };
}

/** Whether the pool is among those that the request names or whose addresses it names; absent: it names none. */
function wishFor(pool: Pool, request: AddressRequest): { readonly met: boolean; readonly rule: string } | undefined {
  const { addresses, fields } = request;
  const names = request.pools ?? (request.pool === undefined ? undefined : [request.pool]);
  if (names !== undefined && !names.includes(pool.name))
    return { met: false, rule: `${fields.pool} asks for ${list(names)}` };
  if (addresses.length > 0 && !hasAll(pool, ipsOf(addresses)))
    return { met: false, rule: `${fields.addresses} asks for ${list(addresses)}, not all in it` };
  if (names !== undefined) return { met: true, rule: `requested by ${fields.pool}` };
  return addresses.length > 0 ? { met: true, rule: `has the addresses of ${fields.addresses}` } : undefined;
}

/** By a name or an address, autoAssign does not matter (rule 5). */
function closedFor(pool: Pool, request: AddressRequest, byName: boolean): string | undefined {
  if (pool.disabled) return 'fairlead.dev/disabled is "true"';
  if (!isSelected(pool, request.namespace, request.labels)) return 'its serviceAllocation does not select the Service';
  if (!byName && !pool.autoAssign) return 'autoAssign is false';
  return undefined;
}
