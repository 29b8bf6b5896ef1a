import type { Node } from '../../core/objects.ts';
import type { Call, Clock, Instances, Log } from '../../core/provider.ts';
import type { EventText } from '../../core/service/events.ts';
import type { Recorder } from '../../kube/events.ts';
import type { Patches } from '../../kube/patch.ts';
import type { Client } from '../../kube/request.ts';
import type { Store } from '../../kube/store.ts';
import type { Metrics } from '../../obs/metrics.ts';
import type { Timers } from '../../work/clock.ts';
import type { Limiter } from '../../work/limit.ts';
import { turn } from '../../work/turns.ts';

/** What every controller of Nodes works with. */
export interface NodeParts {
  readonly nodes: Store<Node>;
  readonly client: Client;
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

/** What those that ask the cloud need besides. */
export interface CloudParts extends NodeParts {
  readonly instances: Instances;
  /** Of the providerIDs that are this cloud's. */
  readonly scheme: string;
  readonly limiter: Pick<Limiter, 'for'>;
}

/** A call to the provider that ends with the signal. */
export function callOf({ log, limiter }: Pick<CloudParts, 'log' | 'limiter'>, signal: AbortSignal): Call {
  return { signal, log, limit: limiter.for(signal), pause: turn };
}

/** Says something about a Node. */
export function tell({ recorder }: Pick<NodeParts, 'recorder'>, { metadata }: Node, event: EventText): void {
  // Lists of built-in kinds leave apiVersion and kind out.
  recorder.record({ object: { apiVersion: 'v1', kind: 'Node', metadata }, ...event });
}
