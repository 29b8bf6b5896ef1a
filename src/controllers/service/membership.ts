import type { Node } from '../../core/objects.ts';
import type { Clock } from '../../core/provider.ts';
import { type NodePass, nodePass, shouldSyncUpdatedNode } from '../../core/service/nodes.ts';
import type { Store } from '../../kube/store.ts';
import type { Timers } from '../../work/clock.ts';

/** A burst of joining nodes is one pass: after so long without another event, and never later than LATEST_MS. */
const QUIET_MS = 500;
const LATEST_MS = 5000;
/** How long a leaving node stays as a draining target before it is detached. */
const DRAIN_MS = 30_000;

export interface Membership {
  /** The target nodes as of the last pass. */
  current(): NodePass;
  stop(): void;
}

export interface MembershipOptions {
  readonly nodes: Store<Node>;
  readonly clock: Clock & Timers;
  /** Some provider looks at labels, taints and readiness itself. */
  readonly filtered: boolean;
  /** After each pass but the first; `causeMs`: monotonic time of the first event that led to it. */
  readonly onPass: (causeMs: number) => void;
}

/** Keeps the set of target nodes, by debounced passes over the store. */
export function createMembership({ nodes, clock, filtered, onPass }: MembershipOptions): Membership {
  let pass = nodePass(nodes.list(), { nowMs: clock.monotonicMs(), drainMs: DRAIN_MS });
  let firstMs: number | undefined; // of the events that no pass has seen
  let cancel = () => {};

  function run(causeMs: number): void {
    firstMs = undefined;
    pass = nodePass(nodes.list(), { previous: pass, nowMs: clock.monotonicMs(), drainMs: DRAIN_MS });
    cancel();
    if (pass.nextMs !== undefined)
      cancel = clock.after(pass.nextMs - clock.monotonicMs(), () => run(clock.monotonicMs()));
    onPass(causeMs);
  }

  const unsubscribe = nodes.onChange((old, now) => {
    const matters =
      old === undefined || now === undefined || shouldSyncUpdatedNode(old, now, filtered ? { filtered } : {});
    if (!matters) return;
    const nowMs = clock.monotonicMs();
    firstMs ??= nowMs;
    const causeMs = firstMs;
    cancel();
    cancel = clock.after(Math.min(QUIET_MS, Math.max(0, causeMs + LATEST_MS - nowMs)), () => run(causeMs));
  });

  return {
    current: () => pass,
    stop() {
      unsubscribe();
      cancel();
    },
  };
}
