import type { Act } from '../model.ts';

/**
 * The order of writes. What depends on an earlier write stands behind it; what must not be held up by another's failure
 * stands beside it or before. A failed action ends the pass after its own stage.
 */
const STAGES = [
  /** Our tags on what we take over, before anything else is written. */
  'adopt',
  /** Deregistrations, so that nothing later can block them; groups, which all else refers to; records of attributes. */
  'prepare',
  /** Rules that let clients in; the load balancer. */
  'create',
  /** Groups and subnets of a load balancer that exists. Rules that let clients in no more. */
  'shape',
  'family',
  /** Listeners, targets, rules of nodes, attributes. */
  'serve',
  /** What a new listener takes only afterwards. */
  'detail',
  /** From here on the status names the new load balancer. */
  'switch',
  /** Listeners, certificates and tags that nobody wants. */
  'close',
  'retire',
  /** Target groups without a load balancer; rules of nodes that nobody needs. */
  'sweep',
  /** Security groups: the last user has gone, at the latest a moment ago. */
  'unlink',
  'shared',
] as const;

export type Stage = (typeof STAGES)[number];

/** One action and the stage at which it may run. */
export interface Step {
  readonly at: Stage;
  readonly act: Act;
}

export function step(at: Stage, act: Act): Step {
  return { at, act };
}

/** The actions of each stage in the order of the stages; empty stages are left out. */
export function staged(steps: readonly Step[]): readonly (readonly Act[])[] {
  const byStage = Map.groupBy(steps, ({ at }) => at);
  return STAGES.flatMap((stage) => {
    const acts = (byStage.get(stage) ?? []).map(({ act }) => act);
    return acts.length === 0 ? [] : [acts];
  });
}
