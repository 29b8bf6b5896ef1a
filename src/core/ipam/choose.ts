import { failure, type ProviderError } from '../errors.ts';
import { formatIp, type Ip } from '../net/ip.ts';
import type { IpFamily } from '../provider.ts';
import { hasAll, ipsOf, list, namedPool, noPool, openPools, refusal } from './candidates.ts';
import { type Holding, nameOf, userOf } from './entry.ts';
import type { Ledger } from './ledger.ts';
import { costOf, type Drawing, draw, type Lack, quotaLeft, quotaOf } from './offers.ts';
import { isBuggy, type Pool } from './pools.ts';
import type { AddressRequest } from './request.ts';
import type { Slot } from './slot.ts';

export type Choice = { readonly take: readonly Holding[] } | { readonly failure: ProviderError };

/** The addresses asked for by name: those that are `missing`, all of the request in one pool (rule 5). */
export function chooseAddresses(
  ledger: Ledger,
  request: AddressRequest,
  missing: readonly string[],
  givingUp: readonly Slot[],
): Choice {
  const field = request.fields.addresses;
  const pools = poolsWith(ledger, request);
  if ('failure' in pools) return pools;
  const choices = pools.map((pool): Choice => {
    const failed = refusal(pool, request, field) ?? unavailable(ledger, pool, request, missing, givingUp);
    return failed === undefined ? { take: holdings(ipsOf(missing), pool) } : { failure: failed };
  });
  return choices.find((choice) => 'take' in choice) ?? (choices[0] as Choice);
}

/** All that is wanted from the first pool that has it: the one asked for, else those open to the Service (rules 6-8). */
export function choosePool(
  ledger: Ledger,
  request: AddressRequest,
  how: Pick<Drawing, 'givingUp' | 'pending'>,
): Choice {
  const named = request.pool === undefined ? undefined : namedPool(ledger, request.pool, request);
  if (named instanceof Error) return { failure: named };
  const pools = named === undefined ? retainedFirst(ledger, request, openPools(ledger, request)) : [named];
  if (pools.length === 0) return { failure: noPool(ledger, request) };
  const lacks: Lack[] = [];
  for (const families of preferences(request)) {
    const wants = families.map((family) => ({ family, count: request.count }));
    for (const pool of pools) {
      const { ips, lack } = draw(ledger, pool, request, { wants, ...how });
      if (lack === undefined) return { take: holdings(ips, pool) };
      lacks.push(lack);
    }
  }
  return { failure: exhausted(ledger, request, lacks) };
}

/** More from this very pool, whether it gives automatically or not; as many as it has. */
export function chooseMore(
  ledger: Ledger,
  request: AddressRequest,
  name: string | undefined,
  how: Drawing,
): { readonly take: readonly Holding[]; readonly failure?: ProviderError } {
  const pool = name === undefined ? undefined : ledger.pools.get(name);
  if (pool === undefined) return { take: [], failure: noPool(ledger, request) };
  const closed = refusal(pool, request, request.pool === undefined ? undefined : request.fields.pool);
  if (closed !== undefined) return { take: [], failure: closed };
  const { ips, lack } = draw(ledger, pool, request, how);
  return { take: holdings(ips, pool), ...(lack === undefined ? {} : { failure: exhausted(ledger, request, [lack]) }) };
}

/** One address of each wanted family that the pool has ranges of; the pool must give something. */
export function familiesIn(pool: Pool, families: readonly IpFamily[]): readonly IpFamily[] {
  return families.filter((family) => pool.blocks.some((block) => block.family === family));
}

export function familyFailure(pools: readonly string[], family: IpFamily, field: string): ProviderError {
  const plural = pools.length === 1 ? 'pool' : 'none of the pools';
  const verb = pools.length === 1 ? 'has no' : 'has';
  const names = list(pools.map((pool) => JSON.stringify(pool)));
  return failure('FL_POOL_FAMILY', `${field}: ${plural} ${names} ${verb} ${label(family)} addresses`, { field });
}

export const label = (family: IpFamily): string => (family === 'ipv4' ? 'IPv4' : 'IPv6');

/** PreferDualStack takes both families if one pool has both, else the primary, else the other (rule 8). */
function preferences({ families, policy }: AddressRequest): readonly (readonly IpFamily[])[] {
  if (policy !== 'PreferDualStack' || families.length < 2) return [families];
  return [families, ...families.map((family) => [family])];
}

/** A pool that keeps an address for this namespace and name is tried first. */
function retainedFirst(ledger: Ledger, request: AddressRequest, pools: readonly Pool[]): readonly Pool[] {
  const slots = ledger.retainedFor(request);
  if (slots.length === 0) return pools;
  const user = userOf(request);
  const keeping = new Set(
    slots.filter((slot) => request.families.includes(slot.ip.family) && slot.fits(user)).map(({ pool }) => pool),
  );
  return [...pools.filter(({ name }) => keeping.has(name)), ...pools.filter(({ name }) => !keeping.has(name))];
}

/** The pools that have all requested addresses; more than one only if pools overlap. */
function poolsWith(ledger: Ledger, request: AddressRequest): readonly Pool[] | { readonly failure: ProviderError } {
  const field = request.fields.addresses;
  const ips = ipsOf(request.addresses);
  const fail = (message: string) => ({ failure: failure('FL_ADDRESS_NOT_IN_POOL', `${field}: ${message}`, { field }) });
  if (request.pool !== undefined) {
    const named = namedPool(ledger, request.pool, request);
    if (named instanceof Error) return { failure: named };
    const outside = ips.filter((ip) => !hasAll(named, [ip])).map(formatIp);
    if (outside.length === 0) return [named];
    return fail(
      `${list(outside)} ${outside.length === 1 ? 'is' : 'are'} not in pool ${JSON.stringify(request.pool)}, which ${request.fields.pool} asks for`,
    );
  }
  const pools = ledger.pools.pools.filter((pool) => hasAll(pool, ips));
  if (pools.length > 0) return pools;
  const nowhere = ips.filter((ip) => ledger.pools.poolOf(ip) === undefined).map(formatIp);
  if (nowhere.length > 0) return fail(`${list(nowhere)} ${nowhere.length === 1 ? 'is' : 'are'} in no pool`);
  const places = ips.map((ip) => `${formatIp(ip)} in ${ledger.pools.poolOf(ip)?.name}`);
  return fail(`all addresses must be in one pool, but ${list(places)}`);
}

function unavailable(
  ledger: Ledger,
  pool: Pool,
  request: AddressRequest,
  missing: readonly string[],
  givingUp: readonly Slot[],
): ProviderError | undefined {
  const field = request.fields.addresses;
  const avoided = ipsOf(missing).find((ip) => pool.avoidBuggyIPs && isBuggy(ip));
  if (avoided !== undefined) {
    const message = `${field}: pool ${JSON.stringify(pool.name)} avoids addresses that end in .0 or .255, such as ${formatIp(avoided)}`;
    return failure('FL_ADDRESS_AVOIDED', message, { field });
  }
  const user = userOf(request);
  for (const address of missing) {
    const clash = ledger.slot(address)?.clash(user);
    if (clash !== undefined) return failure('FL_ADDRESS_IN_USE', `${field}: ${address}: ${clash}`, { field });
  }
  const cost = missing.reduce((sum, each) => sum + costOf(ledger, pool, user.namespace, ledger.slot(each)), 0);
  if (cost <= quotaLeft(ledger, pool, user.namespace, givingUp)) return undefined;
  return quotaFailure(ledger, pool, user.namespace);
}

/** The reason that counts most: a quota hides what room there is, a missing range cannot be waited for. */
function exhausted(ledger: Ledger, request: AddressRequest, lacks: readonly Lack[]): ProviderError {
  const quota = lacks.find(({ why }) => why === 'quota');
  if (quota !== undefined) return quotaFailure(ledger, ledger.pools.get(quota.pool) as Pool, request.namespace);
  const [first] = lacks;
  if (request.pool !== undefined && first?.why === 'range')
    return familyFailure([request.pool], first.family, request.fields.pool);
  const family = label(first?.family ?? 'ipv4');
  const names = list([...new Set(lacks.map(({ pool }) => pool))]);
  if (lacks.every(({ why }) => why === 'range'))
    return failure('FL_POOL_MISSING', `no pool open to ${nameOf(request)} has ${family} addresses: ${names}`);
  const many = request.count > 1 ? `${request.count} free ${family} addresses in one pool` : `free ${family} address`;
  const both = request.families.length > 1 && request.policy !== 'PreferDualStack' ? ' beside the other family' : '';
  return failure('FL_POOL_EXHAUSTED', `no ${many}${both}: tried ${names}`);
}

function quotaFailure(ledger: Ledger, pool: Pool, namespace: string): ProviderError {
  const users = [...ledger.ofNamespace(pool.name, namespace).keys()].flatMap((slot) =>
    [...slot.users.values(), ...slot.retained].filter((user) => user.namespace === namespace).map(nameOf),
  );
  const limit = quotaOf(pool, namespace);
  const held = users.length === 0 ? 'none is held' : `held by ${list([...new Set(users)].sort())}`;
  const message = `namespace ${JSON.stringify(namespace)} may have ${limit} addresses of pool ${JSON.stringify(pool.name)} (fairlead.dev/quota); ${held}`;
  return failure('FL_QUOTA_NAMESPACE', message);
}

const holdings = (ips: readonly Ip[], pool: Pool): readonly Holding[] =>
  ips.map((ip) => ({ address: formatIp(ip), family: ip.family, pool: pool.name }));
