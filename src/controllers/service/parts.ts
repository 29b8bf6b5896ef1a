import type { KubeObject, Node, Service, ServiceIngress } from '../../core/objects.ts';
import type { Call, Clock, LoadBalancers, Log, Provider, ResourceName } from '../../core/provider.ts';
import type { EventText } from '../../core/service/events.ts';
import type { Member } from '../../core/service/nodes.ts';
import { causeOf, type SpecPrint } from '../../core/service/print.ts';
import type { TargetCache } from '../../core/service/targets.ts';
import type { Selection } from '../../core/service/wanted.ts';
import type { Recorder } from '../../kube/events.ts';
import type { Patches } from '../../kube/patch.ts';
import type { Client } from '../../kube/request.ts';
import type { Store } from '../../kube/store.ts';
import type { Metrics } from '../../obs/metrics.ts';
import type { Timers } from '../../work/clock.ts';
import type { Limiter } from '../../work/limit.ts';
import type { Pods } from '../pods.ts';
import type { Slices } from './slices.ts';

/** From the flags; controllers.md, "Flags". */
export interface ServiceOptions {
  /** `none` and classes; absent: `none`, where the provider takes it, and the provider's classes. */
  readonly classes?: readonly string[];
  readonly defaultClass: boolean;
  /** Absent: 10, or 32 for a provider that is `selfCleaning`. */
  readonly concurrency?: number;
  readonly driftCheckPeriodMs: number;
  readonly deleteOrphans: boolean;
  readonly takeoverFieldManagers: readonly string[];
  /** Told when everything has been looked at once: a good moment to tidy up. */
  readonly audited?: () => void;
}

/** What the service controller works with. */
export interface Collaborators extends ServiceOptions {
  readonly provider: Provider;
  readonly cluster: string;
  readonly services: Store<Service>;
  readonly nodes: Store<Node>;
  readonly client: Client;
  readonly patches: Patches;
  readonly recorder: Recorder;
  /** The provider's. */
  readonly limiter: Limiter;
  readonly pods: Pods;
  readonly clock: Clock & Timers;
  readonly random: () => number;
  readonly log: Log;
  readonly metrics: Metrics;
  /** Asked before every write, by the monotonic clock. */
  readonly leads: () => boolean;
  /** Aborts when leadership is lost. */
  readonly leadership: AbortSignal;
  /** Starts filling a store, for the life of the leadership. */
  readonly watch: (resource: ResourceName, store: Store<KubeObject>) => void;
}

/** The same, once the provider is known. */
export interface Parts extends Collaborators {
  readonly loadBalancers: LoadBalancers;
  readonly selection: Selection;
  /** The target nodes as of the last pass. */
  readonly members: () => readonly Member[];
  readonly slices: Slices;
  readonly cache: TargetCache;
  /** A call for one Service, with its deadline. */
  readonly call: (signal: AbortSignal, key: string, trace?: Call['trace']) => Call;
  readonly memos: Memos;
}

/** What this process remembers of a Service. Nothing of it is needed for the result: it saves work, and words. */
export interface Memo {
  readonly uid: string;
  /** The resourceVersion at which nothing was left to do: ours after a patch. Its echo by the watch is no work. */
  settled?: string;
  /** The spec of the last run that succeeded. */
  spec?: SpecPrint;
  /** The spec of the run under way, or of the last one when that did not succeed. */
  tried?: SpecPrint;
  /** The one of these that the conditions show to have been seen. */
  seen?: SpecPrint;
  /** The last run ended with a published ingress. */
  serving?: true;
  /** What a patch says whose answer was lost: told once the Service is seen to show this ingress. */
  owed?: {
    readonly ingress: readonly ServiceIngress[];
    readonly events: readonly EventText[];
    readonly moved: boolean;
  };
  /** Warnings about its input that were told: said once, however often it is looked at. */
  warned?: ReadonlySet<string>;
  /** Monotonic ms of the first change of nodes or endpoints that the cloud has not accepted yet. */
  targetsSinceMs?: number;
  /** Something of it was deleted in the cloud, by this run or one before. */
  removing?: true;
  /** Targets whose removal is held: id -> monotonic ms of the first time (core/service/floor.ts). */
  held?: ReadonlyMap<string, number>;
  /** What our last patch made, and the versions from which our patches led to it: a run goes on from there, whatever copy it began with. */
  written?: { readonly from: readonly string[]; readonly object: Service };
}

/** The spec that is tried is another than the one that succeeded, and the conditions do not say so yet. */
export function isNewSpec({ spec, tried, seen }: Memo): boolean {
  if (spec === undefined || tried === undefined || causeOf(spec, tried) !== 'spec') return false;
  return seen === undefined || causeOf(seen, tried) === 'spec';
}

export class Memos {
  readonly #memos = new Map<string, Memo>(); // key -> memo of the Service that has this key now

  /** Of this Service, not of an earlier one with the same name. */
  of({ metadata: { uid } }: Service, key: string): Memo {
    const known = this.#memos.get(key);
    if (known?.uid === uid) return known;
    const memo: Memo = { uid };
    this.#memos.set(key, memo);
    return memo;
  }

  get(key: string): Memo | undefined {
    return this.#memos.get(key);
  }

  forget(key: string): void {
    this.#memos.delete(key);
  }

  values(): Iterable<Memo> {
    return this.#memos.values();
  }
}

/** Says something about a Service, once per transition. */
export function tell({ recorder }: Pick<Parts, 'recorder'>, service: Service, event: EventText, keep = false): void {
  // Lists of built-in kinds leave apiVersion and kind out.
  const object = { apiVersion: 'v1', kind: 'Service', metadata: service.metadata };
  recorder.record({ object, ...event, ...(keep ? { keep: true as const } : {}) });
}
