import type { Node } from '../../core/objects.ts';
import type { Cidr, Clock, Log, Routes } from '../../core/provider.ts';
import type { EventText } from '../../core/service/events.ts';
import type { Recorder } from '../../kube/events.ts';
import type { Patches } from '../../kube/patch.ts';
import type { Store } from '../../kube/store.ts';
import type { Metrics } from '../../obs/metrics.ts';
import type { Timers } from '../../work/clock.ts';
import type { Limiter } from '../../work/limit.ts';

/** From the flags; controllers.md, "Flags". */
export interface RouteOptions {
  /** --configure-cloud-routes; false: the controller stays off. */
  readonly configure: boolean;
  /** --cluster-cidr: one range, or one of each family. Empty: the controller stays off. */
  readonly clusterCidrs: readonly Cidr[];
  /** --route-reconciliation-period: everything is compared with what is really there. */
  readonly periodMs: number;
}

/** What the route controller works with. */
export interface Collaborators extends Omit<RouteOptions, 'configure'> {
  readonly routes: Routes;
  /** Of the provider's providerIDs: nodes with another one are left alone. Absent: all nodes are the provider's. */
  readonly scheme?: string;
  readonly limiter: Limiter;
  readonly nodes: Store<Node>;
  readonly patches: Patches;
  readonly recorder: Recorder;
  readonly clock: Clock & Timers;
  readonly random: () => number;
  readonly log: Log;
  readonly metrics: Metrics;
  /** Asked before every write, by the monotonic clock. */
  readonly leads: () => boolean;
  /** Aborts when leadership is lost. */
  readonly leadership: AbortSignal;
}

/** Enough of a Node to tell something about it, also when it is gone. */
export interface NodeName {
  readonly name: string;
  readonly uid: string;
}

/** Says something about a Node, once per transition. */
export function tell({ recorder }: Pick<Collaborators, 'recorder'>, { name, uid }: NodeName, event: EventText): void {
  const metadata = { name, uid, resourceVersion: '', creationTimestamp: '' };
  recorder.record({ object: { apiVersion: 'v1', kind: 'Node', metadata }, ...event });
}
