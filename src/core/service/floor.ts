import { compareText } from '../equal.ts';
import type { Target } from '../provider.ts';

/** A removal that was held is believed when it is still wanted this much later. */
export const SECOND_LOOK_MS = 30_000;

export interface FloorOptions {
  /** What the load balancer was last told; absent after a start: then there is nothing to compare with. */
  readonly before: readonly Target[] | undefined;
  /** id -> monotonic ms when its removal was first held; from the last `holdRemovals` of this Service. */
  readonly held?: ReadonlyMap<string, number>;
  readonly nowMs: number;
}

export interface Floored {
  /** `wanted` itself when nothing is held. */
  readonly targets: readonly Target[];
  /** Empty when nothing is held. */
  readonly held: ReadonlyMap<string, number>;
  /** When to look again, monotonic; absent: nothing is held. */
  readonly recheckMs?: number;
}

const nobody: ReadonlyMap<string, number> = new Map();

/**
 * The fail-safe floor for node targets (controllers.md, Better 10): of the targets that take traffic never more than half,
 * nor the last one, go in one step, unless a second look 30 s later still wants it. To drain is to go. Not for pods: what
 * its EndpointSlice drops is deregistered at once.
 */
export function holdRemovals(wanted: readonly Target[], { before, held = nobody, nowMs }: FloorOptions): Floored {
  if (before === undefined || before === wanted) return { targets: wanted, held: nobody };
  const isActive = new Set(wanted.flatMap(({ id, draining }) => (draining === true ? [] : [id])));
  const active = before.filter(({ draining }) => draining !== true);
  const lost = active.filter(({ id }) => !isActive.has(id));
  const since = new Map(lost.map(({ id }) => [id, held.get(id) ?? nowMs]));
  const fresh = lost.filter(({ id }) => (since.get(id) as number) + SECOND_LOOK_MS > nowMs);
  // Newcomers do not make up for it: they have not passed a health check yet.
  const stays = active.length - lost.length > 0;
  if (fresh.length === 0 || (fresh.length * 2 <= active.length && stays)) return { targets: wanted, held: nobody };
  const kept = new Set(fresh.map(({ id }) => id));
  return {
    targets: [...wanted.filter(({ id }) => !kept.has(id)), ...fresh].sort((a, b) => compareText(a.id, b.id)),
    held: new Map([...since].filter(([id]) => kept.has(id))),
    recheckMs: Math.min(...fresh.map(({ id }) => since.get(id) as number)) + SECOND_LOOK_MS,
  };
}
