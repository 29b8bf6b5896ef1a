import { isEqual } from '../equal.ts';
import { compareIntervals } from '../net/cidr.ts';
import { compareIps } from '../net/ip.ts';
import type { IpFamily } from '../provider.ts';
import { countWith } from './counts.ts';
import type { Freed, User } from './entry.ts';
import type { Ledger } from './ledger.ts';
import { PoolIndex } from './pool-index.ts';
import type { Pool } from './pools.ts';
import type { Slot } from './slot.ts';

/** One address in use that a change of pools touches, with all who use it. */
export interface Affected {
  readonly address: string;
  /** The pool that has it now. */
  readonly from: string;
  /** The pool that will have it; absent: none, its users would lose it. */
  readonly to?: string;
  /** Sorted by namespace, name. */
  readonly users: readonly Pick<User, 'namespace' | 'name' | 'uid'>[];
}
export interface PoolChange {
  /** Addresses in use that keep their users under another pool's name, in numeric order. */
  readonly moved: readonly Affected[];
  /** Addresses in use that no pool would have any more, in numeric order. */
  readonly stranded: readonly Affected[];
  /** Part of `stranded` that no allow-shrink covers, on the old pool or its successor: refuse the edit if not empty. */
  readonly refused: readonly Affected[];
  /** Addresses in use that stay in their pool while its rules of who may use them change, in numeric order. */
  readonly judged: readonly Affected[];
  /** Room that the change makes. */
  readonly freed: readonly Freed[];
}

/** What these pools in place of the present ones would do to the addresses in use. Pure. */
export function changeOf(ledger: Ledger, pools: readonly Pool[]): PoolChange {
  const next = new PoolIndex(pools);
  const slots = [...ledger.slots].sort((a, b) => compareIps(a.ip, b.ip));
  const after = new Map<string, Slot[]>();
  const affected: Affected[] = [];
  const judged: Affected[] = [];
  for (const slot of slots) {
    const from = slot.pool ?? slot.recorded;
    const to = next.poolOf(slot.ip, from)?.name;
    if (to !== undefined) {
      const there = after.get(to);
      if (there === undefined) after.set(to, [slot]);
      else there.push(slot);
    }
    // An address that is in no pool already is not touched by this change.
    if (slot.users.size === 0) continue;
    if (to === slot.pool) {
      const isJudged = to !== undefined && !isEqual(rulesOf(ledger.pools.get(to)), rulesOf(next.get(to)));
      if (isJudged) judged.push({ address: slot.address, from, to, users: usersOf(slot) });
      continue;
    }
    affected.push({ address: slot.address, from, ...(to === undefined ? {} : { to }), users: usersOf(slot) });
  }
  const stranded = affected.filter(({ to }) => to === undefined);
  const mayShrink = (name: string) =>
    [ledger.pools.get(name), next.get(name)].some((pool) => pool?.allowShrink === true);
  return {
    moved: affected.filter(({ to }) => to !== undefined),
    stranded,
    refused: stranded.filter(({ from }) => !mayShrink(from)),
    judged,
    freed: pools.flatMap((pool) => freedIn(ledger, pool, after.get(pool.name) ?? [])),
  };
}

export function usersOf(slot: Slot): readonly Pick<User, 'namespace' | 'name' | 'uid'>[] {
  return [...slot.users.values()]
    .map(({ namespace, name, uid }) => ({ namespace, name, uid }))
    .sort((a, b) => (`${a.namespace}/${a.name}/${a.uid}` < `${b.namespace}/${b.name}/${b.uid}` ? -1 : 1));
}

/**
 * More available than before, and addresses that the pool had not; all of it when somebody may take from the pool who
 * could not, or needs less for it.
 */
function freedIn(ledger: Ledger, pool: Pool, slots: readonly Slot[]): readonly Freed[] {
  const old = ledger.pools.get(pool.name);
  if (pool.disabled || isEqual(old, pool)) return [];
  const now = countWith(pool, slots);
  const before = old === undefined ? undefined : countWith(old, ledger.inPool(pool.name));
  const widened = old === undefined || !isEqual(accessOf(old), accessOf(pool));
  return (['ipv4', 'ipv6'] as const).flatMap((family) => {
    const { available } = now[family];
    if (old === undefined || before === undefined || widened)
      return available > 0n ? [{ pool: pool.name, family, count: available }] : [];
    const more = available - before[family].available;
    let gained = addedBy(old, pool, family);
    if (gained > available) gained = available;
    if (gained < more) gained = more;
    return gained > 0n ? [{ pool: pool.name, family, count: gained }] : [];
  });
}

/** How many addresses the new ranges have that the old ones had not. */
function addedBy(old: Pool, pool: Pool, family: IpFamily): bigint {
  const of = ({ blocks }: Pool) => blocks.filter((block) => block.family === family).sort(compareIntervals);
  const had = of(old);
  let added = 0n;
  for (const { first, last } of of(pool)) {
    let next = first; // everything below is counted or was there
    for (const block of had) {
      if (block.last < next || block.first > last) continue;
      if (block.first > next) added += block.first - next;
      next = block.last + 1n;
    }
    if (next <= last) added += last - next + 1n;
  }
  return added;
}

/** What a reserved address is held against; it stays whatever they say. */
const rulesOf = (pool: Pool | undefined) => [pool?.selection, pool?.avoidBuggyIPs];

const accessOf = ({ autoAssign, selection, disabled, quota }: Pool) => ({ autoAssign, selection, disabled, quota });
