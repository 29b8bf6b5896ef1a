import type { Node } from '../../core/objects.ts';
import type { Cidr, Clock, IpFamily, NodeRef } from '../../core/provider.ts';
import { shouldSyncRoutes } from '../../core/route/changes.ts';
import { emptyPlan, type RoutePlan, routePlan } from '../../core/route/wanted.ts';
import type { Store } from '../../kube/store.ts';
import type { Timers } from '../../work/clock.ts';
import type { NodeName } from './parts.ts';

/** A burst of joining nodes is one plan: after so long without another event, and never later than LATEST_MS. */
const QUIET_MS = 100;
const LATEST_MS = 1000;
/** So long a next hop is known for one of ours after its node went: routes to it are then taken away, or will never be. */
const REMEMBERED_MS = 86_400_000;

export interface Planner {
  /** The wanted routes as of the last plan. */
  current(): RoutePlan;
  /** Next hops of the nodes that there are, and of those that went in the last day -> whose it is. */
  hops(): ReadonlyMap<string, NodeName>;
  stop(): void;
}

export interface PlannerOptions {
  readonly nodes: Store<Node>;
  readonly clock: Clock & Timers;
  readonly clusterCidrs: readonly Cidr[];
  /** Absent: all nodes are ours. */
  readonly isOurs?: (node: Node) => boolean;
  readonly nextHop: (node: NodeRef, family: IpFamily) => string | undefined;
  /** After each plan but the first; `causeMs`: monotonic time of the first event that led to it. */
  readonly onPlan: (now: RoutePlan, before: RoutePlan, causeMs: number) => void;
}

/** Keeps the wanted routes, by debounced passes over the store. */
export function createPlanner(options: PlannerOptions): Planner {
  const { nodes, clock, clusterCidrs, isOurs = () => true, nextHop, onPlan } = options;
  const hops = new Map<string, NodeName & { readonly seenMs: number }>(); // next hop -> its node
  let plan = emptyPlan;
  let firstMs: number | undefined; // of the events that no plan has seen
  let cancel = () => {};

  function make(): void {
    const nowMs = clock.monotonicMs();
    plan = routePlan(nodes.list().filter(isOurs), { clusterCidrs, nextHop });
    for (const { node: name, nodeUid: uid, nextHop: hop } of plan.routes.values())
      if (hop !== undefined) hops.set(hop, { name, uid, seenMs: nowMs });
    for (const [hop, { seenMs }] of hops) if (nowMs - seenMs > REMEMBERED_MS) hops.delete(hop);
  }

  function run(causeMs: number): void {
    const before = plan;
    firstMs = undefined;
    make();
    onPlan(plan, before, causeMs);
  }

  make();
  const unsubscribe = nodes.onChange((old, now) => {
    if (old !== undefined && now !== undefined && !shouldSyncRoutes(old, now)) return;
    const nowMs = clock.monotonicMs();
    firstMs ??= nowMs;
    const causeMs = firstMs;
    cancel();
    cancel = clock.after(Math.min(QUIET_MS, Math.max(0, causeMs + LATEST_MS - nowMs)), () => run(causeMs));
  });

  return {
    current: () => plan,
    hops: () => hops,
    stop() {
      unsubscribe();
      cancel();
    },
  };
}
