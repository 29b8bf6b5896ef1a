import { compareText } from '../equal.ts';
import type { Allocator, AllocatorView } from './allocator.ts';
import type { Freed, Holding } from './entry.ts';
import type { AddressRequest } from './request.ts';

/** A Service whose last decision had a failure or a shortfall, or less than it prefers. */
export interface Waiter {
  readonly request: AddressRequest;
  /** Of the Service, RFC 3339. */
  readonly creationTimestamp: string;
}

/** The order in which Services are served: creationTimestamp, namespace, name, uid. */
export function compareWaiters(a: Waiter, b: Waiter): number {
  return (
    compareText(a.creationTimestamp, b.creationTimestamp) ||
    compareText(a.request.namespace, b.request.namespace) ||
    compareText(a.request.name, b.request.name) ||
    compareText(a.request.uid, b.request.uid)
  );
}

/**
 * The waiters to look at again after room was made, in order: at most as many as addresses became free, each one that
 * the allocator would serve now; besides them all with the sharing key of a released address, and all who hold such an
 * address (what kept them from a change may be gone). Pure: two that would be given the same address are both named.
 */
export function wake(
  waiters: readonly Waiter[],
  freed: readonly Freed[],
  allocator: Pick<AllocatorView, 'candidates' | 'decide' | 'holdings'>,
): readonly Waiter[] {
  const room = new Room(freed);
  return [...waiters]
    .sort(compareWaiters)
    .filter(
      ({ request }) =>
        isConcerned(request, room, allocator) ||
        (mayFit(request, room, allocator) && allocator.decide(request).take.some((holding) => room.claim(holding))),
    );
}

/** As `wake`, but allocates for each in memory, so that the next one is decided on what is left: who got something. */
export function serve(
  waiters: readonly Waiter[],
  freed: readonly Freed[],
  allocator: Allocator,
): readonly { readonly waiter: Waiter; readonly decision: ReturnType<Allocator['allocate']> }[] {
  const room = new Room(freed);
  return [...waiters].sort(compareWaiters).flatMap((waiter) => {
    const { request } = waiter;
    if (!isConcerned(request, room, allocator) && !mayFit(request, room, allocator)) return [];
    const decision = allocator.allocate(request);
    for (const holding of decision.take) room.claim(holding);
    return decision.take.length + decision.update.length + decision.release.length > 0 ? [{ waiter, decision }] : [];
  });
}

/** Shares the key of a released address, or holds it. */
function isConcerned(request: AddressRequest, room: Room, allocator: Pick<AllocatorView, 'holdings'>): boolean {
  if (room.keys.has(request.sharingKey)) return true;
  return room.addresses.size > 0 && allocator.holdings(request.uid).some(({ address }) => room.addresses.has(address));
}

/** Cheap, before a decision: with 10,000 waiters a decision for each would cost more than the release. */
function mayFit(
  request: AddressRequest,
  room: Room,
  allocator: Pick<AllocatorView, 'candidates' | 'holdings'>,
): boolean {
  if (room.isEmpty) return false;
  // What it still wants comes from the pool of what it has, be that open to new Services or not.
  const pools = [...allocator.candidates(request), ...allocator.holdings(request.uid).map(({ pool }) => pool)];
  return pools.some((pool) => request.families.some((family) => room.has({ pool, family })));
}

/** How much of what became free is not promised to a waiter yet. */
class Room {
  readonly addresses = new Set<string>();
  readonly keys = new Set<string>();
  readonly #left = new Map<string, bigint>(); // pool and family -> addresses

  constructor(freed: readonly Freed[]) {
    for (const { pool, family, count, address, sharingKey = '' } of freed) {
      const key = `${pool} ${family}`;
      this.#left.set(key, (this.#left.get(key) ?? 0n) + count);
      if (address !== undefined) this.addresses.add(address);
      if (sharingKey !== '') this.keys.add(sharingKey);
    }
  }

  get isEmpty(): boolean {
    return [...this.#left.values()].every((left) => left === 0n);
  }

  has({ pool, family }: Pick<Holding, 'pool' | 'family'>): boolean {
    return (this.#left.get(`${pool} ${family}`) ?? 0n) > 0n;
  }

  claim(holding: Holding): boolean {
    if (!this.has(holding)) return false;
    const key = `${holding.pool} ${holding.family}`;
    this.#left.set(key, (this.#left.get(key) as bigint) - 1n);
    return true;
  }
}
