import type { Freed } from './allocator.ts';
import type { AddressRequest } from './request.ts';

/** A Service that waits for an address. */
export interface Waiter {
  readonly request: AddressRequest;
  /** Of the Service, RFC 3339. */
  readonly creationTimestamp: string;
}

/** Oldest first: creationTimestamp, namespace, name. */
export function compareWaiters(a: Waiter, b: Waiter): number {
  const parts = ({ request, creationTimestamp }: Waiter) => [creationTimestamp, request.namespace, request.name];
  const [left, right] = [parts(a), parts(b)];
  const at = left.findIndex((part, index) => part !== right[index]);
  return at < 0 ? 0 : (left[at] as string) < (right[at] as string) ? -1 : 1;
}

/**
 * Who may be served by the room that was made, oldest first: at most as many as addresses became free, each counted
 * against a pool that the Service may use, plus everybody with the sharing key of a released address.
 * `candidates` names the pools that may serve a request, in order.
 */
export function wake(
  waiters: readonly Waiter[],
  freed: readonly Freed[],
  candidates: (request: AddressRequest) => readonly string[],
): readonly Waiter[] {
  const room = new Map<string, bigint>(); // pool and family -> addresses not yet promised
  const addresses = new Set<string>();
  const keys = new Set<string>();
  for (const { pool, family, count, address, sharingKey } of freed) {
    const slot = `${pool}\n${family}`;
    room.set(slot, (room.get(slot) ?? 0n) + count);
    if (address !== undefined) addresses.add(address);
    if (sharingKey !== undefined && sharingKey !== '') keys.add(sharingKey);
  }
  const claim = ({ families, ...request }: AddressRequest): boolean => {
    const pools = candidates({ families, ...request });
    const slots = pools.flatMap((pool) => families.map((family) => `${pool}\n${family}`));
    const slot = slots.find((candidate) => (room.get(candidate) ?? 0n) > 0n);
    if (slot === undefined) return false;
    room.set(slot, (room.get(slot) as bigint) - 1n);
    return true;
  };
  return [...waiters]
    .sort(compareWaiters)
    .filter(({ request }) => (request.sharingKey !== '' && keys.has(request.sharingKey)) || claim(request));
}
