import type { RouteTable } from '../provider.ts';

/** A table is as good as full when less than this share of its limit is left. */
const LOW_SHARE = 0.1;

/** Routes that still fit; absent where the limit is not known. Never below 0: limits are raised, and lists lag. */
export function remainingIn({ used, limit }: RouteTable): number | undefined {
  return limit === undefined ? undefined : Math.max(0, limit - used);
}

/** Told before the first route is refused. */
export function isLow(table: RouteTable): boolean {
  const remaining = remainingIn(table);
  return remaining !== undefined && remaining <= (table.limit as number) * LOW_SHARE;
}
