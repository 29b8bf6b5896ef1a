/** What the proxy knows of Services, flat and without their objects, and what it plans. Addresses and keys are registers. */
import type { Element, ElementChange, Registers, TableFamily } from '../net/element.ts';
import type { Cidr } from '../provider.ts';
import type { Protocol } from './registers.ts';

// ---------------------------------------------------------------------------------------------------------------------
// Facts that every Service's model depends on

/** How a packet of a pod is told from others (kube-proxy --detect-local-mode). */
export type DetectLocal =
  /** Source in `ProxyContext.podCidrs` (ClusterCIDR, NodeCIDR). */
  | { readonly by: 'cidr' }
  /** BridgeInterface, InterfaceNamePrefix. */
  | { readonly by: 'interface'; readonly name: string }
  | { readonly by: 'interface-prefix'; readonly prefix: string }
  /** Pod CIDR unknown: no short circuit for pods, ClusterIP masqueraded only by masqueradeAll. */
  | { readonly by: 'nothing' };

/** The node and the configuration. When one of these changes, every Service's model is made anew. */
export interface ProxyContext {
  readonly nodeName: string;
  /** Label topology.kubernetes.io/zone. */
  readonly zone?: string;
  /** The Node's InternalIPs, one or two. NodePorts listen on them by default. */
  readonly primaryAddresses: readonly string[];
  /** Every address of this node's interfaces, loopback included. */
  readonly addresses: readonly string[];
  /** kube-proxy --nodeport-addresses; 'primary' is its default of nftables mode. */
  readonly nodePortAddresses: 'primary' | readonly Cidr[];
  /** Services with label service.kubernetes.io/service-proxy-name of this value; absent: those without the label. */
  readonly serviceProxyName?: string;
}

// ---------------------------------------------------------------------------------------------------------------------
// The model of one Service

export type TrafficPolicy = 'Cluster' | 'Local';

/** In the order in which they keep an address and port that two of them want. */
export type FrontendKind = 'cluster-ip' | 'node-port' | 'load-balancer-ip' | 'external-ip' | 'host-port';

/** Addresses from `first` to `last`. */
export interface AddressRange {
  readonly first: Registers;
  readonly last: Registers;
}

/** One address, protocol and port that clients connect to. */
export interface Frontend {
  readonly kind: FrontendKind;
  /** VIP . protocol . port: the key of `services`. */
  readonly key: Registers;
  /** Which list its clients get: internalTrafficPolicy of a ClusterIP, externalTrafficPolicy of the others. */
  readonly policy: TrafficPolicy;
  /** Who may connect (load-balancer IPs only); empty = nobody, absent = everybody. Disjoint, ascending. */
  readonly sources?: readonly AddressRange[];
}

/**
 * One port of a Service in one family. Lists hold address . port of endpoints, ascending; an endpoint of weight n stands
 * in them n times. Equal lists are the same array.
 */
export interface PortModel {
  /** '' when the Service has one port without name. */
  readonly name: string;
  readonly protocol: Protocol;
  /** Without duplicates of a key. */
  readonly frontends: readonly Frontend[];
  /** For policy Cluster: ready ones filtered by topology, else serving and terminating ones. Empty: no endpoint anywhere. */
  readonly cluster: readonly Registers[];
  /** For policy Local: ready ones on this node, else serving and terminating ones on it. */
  readonly local: readonly Registers[];
  /** UDP only: all that serve, whatever policy and topology say; else empty. */
  readonly serving: readonly Registers[];
  /** Addresses in `cluster` or `local` that are on this node, ascending. */
  readonly hairpin: readonly Registers[];
  /** Seconds for which a client keeps its endpoint; 0 without affinity. */
  readonly affinitySeconds: number;
  /** By a hash of the client's address over slots that move little; always so for affinity in IPv6 (Rulings 7). */
  readonly hashed: boolean;
}

export interface HealthCheck {
  /** healthCheckNodePort. */
  readonly port: number;
  /** Ready endpoints on this node; those that terminate do not count. */
  readonly localEndpoints: number;
}

/** What is wrong with a part of a Service; only that part is left out, or without effect. */
export interface ProxyProblem {
  /** 'spec.externalIPs[1]', 'EndpointSlice web-abc: endpoints[3].addresses[0]'. */
  readonly field: string;
  /** Names the field, quotes the value and says what would be right. */
  readonly message: string;
}

/** Everything that the tables need of one Service, or of one pod's hostPorts. */
export interface ServiceModel {
  /** 'namespace/name'; of hostPorts any key that is no Service's. */
  readonly key: string;
  /** creationTimestamp: of two that want the same frontend the older one keeps it. */
  readonly created: string;
  readonly ip: readonly PortModel[];
  readonly ip6: readonly PortModel[];
  readonly health?: HealthCheck;
  /** Policies that are Local, while there are endpoints and none on this node (kube-proxy no_local_endpoints_total). */
  readonly noLocal: readonly ('internal' | 'external')[];
  readonly problems: readonly ProxyProblem[];
}

// ---------------------------------------------------------------------------------------------------------------------
// What is planned

/** Elements that the last commit left behind for packets in flight; delete them at least 50 ms later (Rulings 3). */
export interface Removal {
  readonly elements: readonly { readonly set: string; readonly key: Registers; readonly data?: Registers }[];
}

/** Entries of conntrack that may lead to an endpoint that is gone (UDP). */
export interface StaleFlows {
  /** The original destination: address, protocol and port. */
  readonly frontend: Registers;
  /** Endpoints that just left. */
  readonly left: readonly Registers[];
  /** Endpoints whose entries stay. Entries with any other reply source go, also those that were not translated. */
  readonly serving: readonly Registers[];
}

/** One transaction. An empty plan has no member of any list. */
export interface Plan {
  /** Values `kind:count` (value.ts) whose chains must be in the table before `now` is committed (Rulings 4). */
  readonly chains: readonly number[];
  /** One atomic transaction; never split. */
  readonly now: readonly ElementChange[];
  /** Ask `Planner.release` for the changes when the time has come. */
  readonly later?: Removal;
  readonly flows: readonly StaleFlows[];
  /** Services whose `Planner.conflicts` are others now. */
  readonly conflicted: readonly string[];
}

/** A frontend that somebody else keeps. */
export interface Conflict {
  readonly kind: FrontendKind;
  readonly key: Registers;
  /** Key of the model that has it. */
  readonly owner: string;
}

/**
 * What one table holds and what must change in it. Its state is what the table has once every plan is committed; after a
 * failed commit: `refused` for each guilty element, or `adopt` with a dump when nobody knows.
 */
export interface Planner {
  readonly family: TableFamily;
  /**
   * The models that a cold start is about to plan in pieces, so that a frontend that two of them want goes at once to the
   * one that keeps it. Without it the later piece takes it over.
   */
  announce(models: Iterable<ServiceModel>): void;
  /**
   * The transaction from what is to what these models say, `undefined` for one that is gone. Equal models plan nothing. A
   * cold start makes plans of some thousand Services each, not one.
   */
  plan(changes: Iterable<readonly [key: string, model: ServiceModel | undefined]>): Plan;
  /** The transaction that makes a range set hold exactly these addresses; CIDRs of the other family are left out. */
  planRanges(set: 'pod-cidrs' | 'svc-cidrs' | 'local-pods' | 'no-masq', cidrs: readonly Cidr[]): Plan;
  /** The deletes of a removal, less what has been needed again. */
  release(removal: Removal): readonly ElementChange[];
  /**
   * The table was read: `found` is what is in it, in as many calls as one likes. From the first on plans write only
   * differences to that. When all is told `plan` every Service (after a restart) or `replan` those that are known, in pieces
   * either way; `planRanges` for each set; and last `sweep`.
   */
  adopt(found: Iterable<Element>): void;
  /** After `adopt`: the differences of these models, which are planned already. */
  replan(keys: Iterable<string>): Plan;
  /** After `adopt` and everything was planned: what was found and nobody needs. */
  sweep(): Plan;
  /**
   * The kernel refused this element for its own sake, and the rest of that transaction was sent without it; it is tried again
   * when its frontend changes. ENOENT and EEXIST mean that somebody edited the table: `adopt` a dump instead.
   */
  refused(change: ElementChange): void;
  /**
   * The table has exactly these chains for values `kind:count`, and these timeouts by index (`parseChainName`). Those that a
   * plan names count as loaded from then on.
   */
  loaded(chains: Iterable<number>, timeouts: readonly number[]): void;
  /** Values that the table needs chains for, ascending: for a ruleset that is loaded anew. */
  chains(): readonly number[];
  /** All affinity timeouts but the default one, by index: for ruleset.ts. */
  timeouts(): readonly number[];
  /** Everything that the table holds when the last plan is committed, less what waits for its removal. */
  elements(): Iterable<Element>;
  keys(): Iterable<string>;
  model(key: string): ServiceModel | undefined;
  /** Who answers at this frontend. */
  ownerOf(frontend: Registers): string | undefined;
  conflicts(key: string): readonly Conflict[];
}
