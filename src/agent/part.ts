import type { HostPort } from '../core/net/host-port.ts';
import type { KubeObject, Node, Pod } from '../core/objects.ts';
import type { Cidr, Clock, Log, ResourceName } from '../core/provider.ts';
import type { Recorder } from '../kube/events.ts';
import type { Selection } from '../kube/list.ts';
import type { Client } from '../kube/request.ts';
import type { Store } from '../kube/store.ts';
import type { Check } from '../obs/checks.ts';
import type { Metrics } from '../obs/metrics.ts';
import type { Timers } from '../work/clock.ts';
import type { RouteChannel } from './netlink/channel.ts';

/** What `--parts` names. */
export type PartName = 'proxy' | 'cni' | 'routes';
export const partNames: readonly PartName[] = ['proxy', 'cni', 'routes'];

/**
 * One switchable job of the agent. `src/agent/NAME/part.ts` exports `create(context, options): Promise<Part>` and
 * `cleanup(context, options): Promise<void>`; `src/cli/NAME-flags.ts` its flags and what makes options of them.
 */
export interface Part {
  readonly name: PartName;
  /**
   * Works until the signal aborts, then leaves everything on the node as it is. A rejection ends the agent, with exit
   * code 1: for what a restart may mend, or a person must; faults that pass are retried inside.
   */
  run(signal: AbortSignal): Promise<void>;
  /** `/readyz`: undefined once the part has done its first work. */
  readonly ready: Check;
}

/** What all parts of the agent share. Nothing is read or watched before somebody asks for it. */
export interface AgentContext {
  readonly nodeName: string;
  readonly client: Client;
  readonly clock: Clock & Timers;
  /** 0 <= x < 1 */
  readonly random: () => number;
  readonly log: Log;
  readonly metrics: Metrics;
  /** Events of one component (`source.component`); the same recorder each time. */
  readonly recorder: (component: string) => Recorder;
  /** This node, or all nodes; the same store each time, watched from the first call on. */
  readonly nodes: (which: 'own' | 'all') => Store<Node>;
  /** The pods of this node; the same store each time, watched from the first call on. */
  readonly pods: () => Store<Pod>;
  /** Keeps a store of the part's own current, for the life of the agent. */
  readonly watch: <T extends KubeObject>(resource: ResourceName, store: Store<T>, how?: WatchHow<T>) => void;
  /** This node's tables `ip fairlead` and `ip6 fairlead`, which exist whether or not the proxy part runs. */
  readonly table: NodeTable;
  /** rtnetlink in the agent's network namespace; one channel for all, opened at the first call. */
  readonly routes: () => Promise<RouteChannel>;
  /** Where kernel settings are written: '/proc/sys', '/host/proc/sys' in a pod (--sysctl-root). */
  readonly sysctlRoot: string;
}

export interface WatchHow<T> extends Selection {
  /** What is kept of each object; of kinds of which there are many. */
  readonly reduce?: (object: T) => T;
  /** The kind may not exist: then it is empty and synced, and asked for again every 30 s. */
  readonly optional?: true;
}

/** What other parts than the proxy put into the node's tables. Each call replaces all that its last one gave. */
export interface NodeTable {
  hostPorts(all: readonly HostPort[]): void;
  /** Sources whose traffic is masqueraded when it leaves for a destination that is not in `noMasq` (cni.md). */
  localPods(cidrs: readonly Cidr[]): void;
  noMasq(cidrs: readonly Cidr[]): void;
  /** Resolves when what was given so far is in the kernel; rejects with the signal's reason. */
  written(signal: AbortSignal): Promise<void>;
}

/** For `fairlead agent --cleanup`: there may be no API server. */
export interface CleanupContext {
  readonly log: Log;
  readonly clock: Clock & Timers;
  readonly routes: () => Promise<RouteChannel>;
  readonly sysctlRoot: string;
  readonly signal: AbortSignal;
}
