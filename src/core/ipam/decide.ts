import { isEqual } from '../equal.ts';
import type { ProviderError } from '../errors.ts';
import { compareIps, parseIp } from '../net/ip.ts';
import type { IpFamily, Shortfall } from '../provider.ts';
import { hasAll, list, namedPool } from './candidates.ts';
import { chooseAddresses, chooseMore, choosePool, familiesIn, familyFailure, label } from './choose.ts';
import { type Holding, type User, userOf } from './entry.ts';
import type { Ledger } from './ledger.ts';
import type { Drawing } from './offers.ts';
import { isBuggy, isSelected } from './pools.ts';
import type { AddressRequest } from './request.ts';
import type { Slot } from './slot.ts';

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
  /** Held although something about it no longer fits, or less than asked for: condition Degraded, reason StaleSpec. */
  readonly shortfalls: readonly Shortfall[];
  readonly notes: readonly Note[];
}

/** A decision with what is to be recorded of each address kept or taken. */
export interface Resolution {
  readonly decision: Decision;
  readonly records: ReadonlyMap<string, User>;
}

/** What is kept of the held and taken besides; what is neither is given up for the reason in `why`. */
interface Goal {
  readonly keep: readonly Slot[];
  readonly take: readonly Holding[];
  readonly why: (slot: Slot) => string;
  readonly failure?: ProviderError;
  /** Wanted in addition, not there: no error (rule 8). */
  readonly missing?: readonly Missing[];
}
interface Missing {
  readonly message: string;
  /** Less than was asked for without any "prefer": Degraded. */
  readonly degraded: boolean;
}

/** Pure: reads the ledger, changes nothing. */
export function resolve(ledger: Ledger, request: AddressRequest): Resolution {
  const held = ledger.heldBy(request.uid);
  const inPools = held.filter(({ pool }) => pool !== undefined);
  const wish = goalOf(ledger, request, inPools);
  // A request that cannot be met changes nothing: the last good addresses stay.
  const goal =
    wish.failure === undefined
      ? // In numeric order, however it was found: equal decisions are equal to the last message.
        { ...wish, keep: held.filter((slot) => wish.keep.includes(slot)) }
      : { ...wish, keep: inPools, take: [] };
  const records = recordsOf(goal, request);
  const keep = goal.keep.map((slot) => holdingOf(slot, poolFor(ledger, slot, request)));
  const drop = held.filter((slot) => !goal.keep.includes(slot));
  const stale = goal.failure === undefined ? staleReasons(ledger, goal.keep, request) : [];
  const missing = goal.missing ?? [];
  const shortfalls = [...stale, ...missing.filter(({ degraded }) => degraded).map(({ message }) => message)];
  const decision: Decision = {
    addresses: [...keep, ...goal.take].sort(compareHoldings),
    keep,
    update: keep.filter(({ address, pool }) => {
      const slot = ledger.slot(address) as Slot;
      return slot.recorded !== pool || !isEqual(slot.users.get(request.uid), records.get(address));
    }),
    take: goal.take,
    release: drop.map((slot) => holdingOf(slot, slot.pool ?? slot.recorded)),
    ...(goal.failure === undefined ? {} : { failure: goal.failure }),
    shortfalls: shortfalls.map((message) => ({ reason: 'StaleSpec', message })),
    notes: [
      ...drop.map((slot): Note => {
        const why = slot.pool === undefined ? 'it is in no pool any more' : goal.why(slot);
        return { type: 'Normal', reason: 'ClearAssignment', message: `${slot.address} is given up: ${why}` };
      }),
      ...missing.map(({ message }): Note => ({ type: 'Normal', reason: 'AdditionalAssignFailed', message })),
      ...stale.map((message): Note => ({ type: 'Warning', reason: 'AllocationFailed', message })),
    ],
  };
  return { decision, records };
}

export const compareHoldings = (a: Holding, b: Holding): number => {
  const [left, right] = [parseIp(a.address), parseIp(b.address)];
  return left === undefined || right === undefined ? 0 : compareIps(left, right);
};

export const holdingOf = ({ address, ip }: Slot, pool: string): Holding => ({ address, family: ip.family, pool });

function goalOf(ledger: Ledger, request: AddressRequest, held: readonly Slot[]): Goal {
  if (request.addresses.length > 0) return addressGoal(ledger, request, held);
  if (request.pools !== undefined) return poolsGoal(ledger, request, request.pools, held);
  return poolGoal(ledger, request, held);
}

/** Exactly the addresses that are asked for. */
function addressGoal(ledger: Ledger, request: AddressRequest, held: readonly Slot[]): Goal {
  const keep = held.filter(({ address }) => request.addresses.includes(address));
  const why = () => `${request.fields.addresses} asks for ${list(request.addresses)}`;
  const missing = request.addresses.filter((address) => !keep.some((slot) => slot.address === address));
  if (missing.length === 0 && keep.every((slot) => isIn(ledger, slot, request.pool))) return { keep, take: [], why };
  const givingUp = held.filter((slot) => !keep.includes(slot));
  return { keep, why, take: [], ...chooseAddresses(ledger, request, missing, givingUp) };
}

/** One address per family from each pool that is asked for. */
function poolsGoal(ledger: Ledger, request: AddressRequest, names: readonly string[], held: readonly Slot[]): Goal {
  const why = () => `${request.fields.pool} asks for one address from each of ${list(names)}`;
  const keep: Slot[] = [];
  const take: Holding[] = [];
  const missing: Missing[] = [];
  const givingUp = held.filter(({ pool }) => !names.includes(pool as string));
  for (const name of names) {
    const here = request.families.flatMap(
      (family) => held.find((slot) => slot.pool === name && slot.ip.family === family) ?? [],
    );
    keep.push(...here);
    const named = (here.length > 0 ? ledger.pools.get(name) : undefined) ?? namedPool(ledger, name, request);
    if (named instanceof Error) return { keep, take, why, failure: named };
    const families = familiesIn(named, request.families);
    const [first] = request.families;
    if (families.length === 0) {
      const failure = familyFailure([name], first as IpFamily, request.fields.pool);
      return { keep, take, why, failure };
    }
    const part = complete(ledger, { ...request, families, pool: name }, here, { givingUp, pending: take });
    if (part.failure !== undefined) return { keep, take, why, failure: part.failure };
    take.push(...part.take);
    missing.push(...part.missing);
  }
  const has = (family: IpFamily) => [...keep.map(({ ip }) => ip), ...take].some((each) => each.family === family);
  const absent = request.policy === 'PreferDualStack' ? undefined : request.families.find((family) => !has(family));
  if (absent !== undefined) return { keep, take, why, failure: familyFailure(names, absent, request.fields.pool) };
  return { keep, take, why, missing };
}

/** `count` addresses per family from one pool; what is held and still right stays where it is. */
function poolGoal(ledger: Ledger, request: AddressRequest, held: readonly Slot[]): Goal {
  const { families, pool, count } = request;
  const right = held.filter((slot) => families.includes(slot.ip.family) && isIn(ledger, slot, pool));
  const why = (slot: Slot) => {
    if (!families.includes(slot.ip.family)) return `the Service has no ${label(slot.ip.family)} any more`;
    if (right.includes(slot)) return `more than the ${count} per family that are asked for`;
    return `${request.fields.pool} asks for pool ${JSON.stringify(pool)}`;
  };
  for (const keep of keepable(right, request)) {
    const givingUp = held.filter((slot) => !keep.includes(slot));
    const { take, missing, failure } = complete(ledger, request, keep, { givingUp, pending: [] });
    if (failure === undefined) return { keep, why, take, missing };
  }
  // Nothing is right, or the family that is now required is not to be had beside it: all from another pool.
  const anew = choosePool(ledger, request, { givingUp: held, pending: [] });
  if ('failure' in anew || right.length === 0) return { keep: [], why, take: [], ...anew };
  return { keep: [], take: anew.take, why: () => 'both families must come from one pool' };
}

/**
 * Which of the right addresses may stay, the best first: a pool's own that are all that is wanted, as between taking new
 * ones and giving up the old; the lowest, as many as are wanted; a pool's own.
 */
function keepable(right: readonly Slot[], { families, count }: AddressRequest): readonly (readonly Slot[])[] {
  if (right.length === 0) return [];
  const lowest = (slots: readonly Slot[]) =>
    families.flatMap((family) => slots.filter(({ ip }) => ip.family === family).slice(0, count));
  const overall = lowest(right);
  if (overall.length === right.length) return [overall];
  const pools = [...new Set(right.map(({ pool }) => pool))];
  const byPool = pools.map((name) => lowest(right.filter(({ pool }) => pool === name)));
  const isAll = ({ length }: readonly Slot[]) => length === families.length * count;
  return [...byPool.filter(isAll), overall, ...byPool.filter((slots) => !isAll(slots))];
}

/** What is still wanted beside the addresses held, from their pool. Fails if a whole family that must be there is not. */
function complete(
  ledger: Ledger,
  request: AddressRequest,
  keep: readonly Slot[],
  how: Pick<Drawing, 'givingUp' | 'pending'>,
): { readonly take: readonly Holding[]; readonly missing: readonly Missing[]; readonly failure?: ProviderError } {
  const [first] = keep;
  if (first === undefined) {
    const choice = choosePool(ledger, request, how);
    return 'failure' in choice ? { take: [], missing: [], failure: choice.failure } : { ...choice, missing: [] };
  }
  const name = request.pool ?? first.pool;
  const pool = name === undefined ? undefined : ledger.pools.get(name);
  const prefers = request.policy === 'PreferDualStack';
  const take: Holding[] = [];
  const missing: Missing[] = [];
  for (const family of request.families) {
    const has = keep.filter(({ ip }) => ip.family === family).length;
    // With "prefer", a pool without the other family is all that could be expected.
    const isHopeless = prefers && has === 0 && pool !== undefined && familiesIn(pool, [family]).length === 0;
    if (has === request.count || isHopeless) continue;
    const wants = [{ family, count: request.count - has }];
    const more = chooseMore(ledger, request, name, {
      wants,
      givingUp: how.givingUp,
      pending: [...how.pending, ...take],
    });
    if (more.failure !== undefined && has === 0 && !prefers) return { take: [], missing: [], failure: more.failure };
    // More of a family as far as they go; a whole family entirely or not, as for a new Service.
    if (more.failure === undefined || has > 0) take.push(...more.take);
    if (more.failure !== undefined)
      missing.push({ message: `cannot add ${label(family)}: ${more.failure.message}`, degraded: has > 0 });
  }
  return { take, missing };
}

/** In the pool by its ranges; any slot when no pool is asked for. */
function isIn(ledger: Ledger, slot: Slot, name: string | undefined): boolean {
  if (name === undefined || slot.pool === name) return true;
  const pool = ledger.pools.get(name);
  return pool !== undefined && hasAll(pool, [slot.ip]);
}

/** The requested pool if it has the address, else the one that has it now; users who share never pull it to and fro. */
function poolFor(ledger: Ledger, slot: Slot, { pool }: AddressRequest): string {
  const wanted = pool !== undefined && slot.users.size === 1 && isIn(ledger, slot, pool) ? pool : slot.pool;
  return wanted ?? slot.recorded;
}

/** The request's record for each address, or the old ones if with the new one an address could not be kept (rule 9). */
function recordsOf({ keep, take }: Goal, request: AddressRequest): ReadonlyMap<string, User> {
  const user = userOf(request);
  const fits = keep.every((slot) => slot.fits(user));
  return new Map([
    ...keep.map((slot) => [slot.address, fits ? user : (slot.users.get(request.uid) as User)] as const),
    ...take.map(({ address }) => [address, user] as const),
  ]);
}

/** Why what is kept would not be given today. A reserved address stays all the same. */
function staleReasons(ledger: Ledger, keep: readonly Slot[], request: AddressRequest): readonly string[] {
  const user = userOf(request);
  return keep.flatMap((slot) => {
    const pool = ledger.pools.get(poolFor(ledger, slot, request));
    const clash = slot.clash(user);
    const reasons = [
      ...(clash === undefined ? [] : [clash]),
      ...(pool === undefined || isSelected(pool, request.namespace, request.labels)
        ? []
        : [`the serviceAllocation of pool ${JSON.stringify(pool.name)} does not select the Service any more`]),
      ...(pool?.avoidBuggyIPs === true && isBuggy(slot.ip)
        ? [`pool ${JSON.stringify(pool.name)} now avoids addresses that end in .0 or .255`]
        : []),
    ];
    return reasons.map((reason) => `${slot.address} stays as it was: ${reason}`);
  });
}
