import { isEqual } from '../equal.ts';
import { compareIps, formatIp, type Ip, parseIp, unmapped } from '../net/ip.ts';
import { hasAll, list } from './candidates.ts';
import { label } from './choose.ts';
import type { Note } from './decide.ts';
import { type Holding, nameOf, userOf } from './entry.ts';
import type { Ledger } from './ledger.ts';
import { isBuggy, isSelected, type Pool } from './pools.ts';
import type { AddressRequest } from './request.ts';

/** What became of addresses that a Service published without a reservation. */
export interface Adoption {
  /** All of the published, or none: held from now on, to be written to their blocks. */
  readonly adopted: readonly Holding[];
  /** Published, but not to be kept: the next `allocate` gives others. */
  readonly cleared: readonly string[];
  readonly notes: readonly Note[];
}

/**
 * Whether the published addresses, of which none is reserved, may stay (rule 3). They may although their pool gives
 * nothing new, or the namespace is over its quota: both are about new addresses. Pure.
 */
export function adoptionOf(ledger: Ledger, request: AddressRequest, published: readonly string[]): Adoption {
  if (published.length === 0) return { adopted: [], cleared: [], notes: [] };
  const clear = (type: Note['type'], why: string): Adoption => {
    const message = `${list(published)} published for ${nameOf(request)} cannot stay: ${why}`;
    return { adopted: [], cleared: published, notes: [{ type, reason: 'ClearAssignment', message }] };
  };
  const ips = addressesOf(published);
  const strange = ips === undefined ? 'not all of it are addresses' : strangeFamilies(request, ips);
  if (ips === undefined || strange !== undefined) return clear('Warning', strange as string);
  const mismatch = otherFamilies(request, ips) ?? otherAddresses(request, ips);
  if (mismatch !== undefined) return clear('Normal', mismatch);
  const pools = poolsOfAll(ledger, request, ips);
  if (typeof pools === 'string') return clear('Normal', pools);
  const clash = ips
    .map((ip) => ({ ip, clash: ledger.slot(formatIp(ip))?.clash(userOf(request)) }))
    .find((each) => each.clash);
  if (clash !== undefined) return clear('Normal', `${formatIp(clash.ip)}: ${clash.clash}`);
  const adopted = ips.map((ip, index) => ({
    address: formatIp(ip),
    family: ip.family,
    pool: (pools[index] as Pool).name,
  }));
  return { adopted, cleared: [], notes: [] };
}

/** Canonical, sorted, without duplicates; `undefined` if one is none. */
function addressesOf(published: readonly string[]): readonly Ip[] | undefined {
  const ips = [...new Set(published)].map(parseIp);
  if (ips.some((ip) => ip === undefined)) return undefined;
  const texts = new Map((ips as Ip[]).map(unmapped).map((ip) => [formatIp(ip), ip]));
  return [...texts.values()].sort(compareIps);
}

/** More of one family than the Service can have: nobody can tell which are meant. */
function strangeFamilies(request: AddressRequest, ips: readonly Ip[]): string | undefined {
  const most = request.pools?.length ?? request.count;
  const crowded = (['ipv4', 'ipv6'] as const).find((each) => ips.filter(({ family }) => family === each).length > most);
  return crowded === undefined
    ? undefined
    : `more than ${most} ${label(crowded)} ${most === 1 ? 'address' : 'addresses'}`;
}

/** Exactly the families of the cluster IPs, but PreferDualStack may have one of two (rule 4). */
function otherFamilies({ families, policy }: AddressRequest, ips: readonly Ip[]): string | undefined {
  const has = (each: Ip['family']) => ips.some(({ family }) => family === each);
  const foreign = ips.find(({ family }) => !families.includes(family));
  if (foreign !== undefined) return `the Service has no ${label(foreign.family)}`;
  const absent = families.find((family) => !has(family));
  if (absent === undefined || policy === 'PreferDualStack') return undefined;
  return `the Service also needs ${label(absent)}`;
}

function otherAddresses({ addresses, fields }: AddressRequest, ips: readonly Ip[]): string | undefined {
  if (addresses.length === 0 || isEqual([...addresses].sort(), ips.map(formatIp).sort())) return undefined;
  return `${fields.addresses} asks for ${list(addresses)}`;
}

/** The pool of each address, in order: one for all, or each of the requested ones for its own; else why not. */
function poolsOfAll(ledger: Ledger, request: AddressRequest, ips: readonly Ip[]): readonly Pool[] | string {
  const { pools: names, pool: name, fields, recordedPool } = request;
  if (names !== undefined) {
    const each = ips.map((ip) => ledger.pools.having(ip).find((pool) => names.includes(pool.name)));
    const lost = each.indexOf(undefined);
    if (lost >= 0) return `${fields.pool} asks for ${list(names)}, which do not have ${formatIp(ips[lost] as Ip)}`;
    return (
      (each as Pool[])
        .map((pool, index) => objection(pool, request, ips[index] as Ip))
        .find((why) => why !== undefined) ?? (each as Pool[])
    );
  }
  const having = ledger.pools.having(ips[0] as Ip).filter((pool) => hasAll(pool, ips));
  if (name !== undefined && !having.some((pool) => pool.name === name))
    return `${fields.pool} asks for pool ${JSON.stringify(name)}`;
  if (having.length === 0) return `no pool has ${ips.length > 1 ? 'all of them' : 'it'}`;
  const preferred = having.filter((pool) => pool.name === (name ?? recordedPool));
  const order = name === undefined ? [...preferred, ...having] : preferred;
  const objections = order.map((pool) =>
    ips.map((ip) => objection(pool, request, ip)).find((why) => why !== undefined),
  );
  const fit = objections.indexOf(undefined);
  return fit < 0 ? (objections[0] as string) : ips.map(() => order[fit] as Pool);
}

/** What keeps the Service out of the pool, or the address in it from use. */
function objection(pool: Pool, { namespace, labels }: AddressRequest, ip: Ip): string | undefined {
  const name = JSON.stringify(pool.name);
  if (!isSelected(pool, namespace, labels)) return `the serviceAllocation of pool ${name} does not select the Service`;
  if (pool.avoidBuggyIPs && isBuggy(ip)) return `pool ${name} avoids addresses that end in .0 or .255`;
  return undefined;
}
