import type { IpFamily, ServiceFacts } from '../provider.ts';

/** What a Service asks of the allocator. Equal Services give deep-equal requests. */
export interface AddressRequest {
  /** The identity that holds addresses; namespace and name are for people, quotas and `retain`. */
  readonly uid: string;
  readonly namespace: string;
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Families of its clusterIPs, the primary first: one or two. */
  readonly families: readonly IpFamily[];
  readonly policy: ServiceFacts['ipFamilyPolicy'];
  /** Addresses asked for, canonical, IPv4 first, ascending; empty: any. */
  readonly addresses: readonly string[];
  /** The one pool asked for. */
  readonly pool?: string;
  /** One address per family from each of these; excludes `pool`, `addresses` and a `count` above 1. */
  readonly pools?: readonly string[];
  /** Addresses per family, 1-8; with `addresses` the most that may be asked for per family. */
  readonly count: number;
  /** 'TCP/80', sorted, unique. */
  readonly ports: readonly string[];
  /** '': shares with nobody. */
  readonly sharingKey: string;
  /** '' or the selector of a Local Service: only equal ones share. */
  readonly backendKey: string;
  /** Overrides the pool's `retainMs`. */
  readonly retainMs?: number;
  /** The pool that the Service's own annotation names, of use for adoption only. */
  readonly recordedPool?: string;
  /** Where the wishes stand, for messages: 'spec.loadBalancerIP', 'metallb.io/address-pool'. */
  readonly fields: { readonly addresses: string; readonly pool: string };
  /** Keys in the old prefix that took effect; not part of what is asked. Report them once something is written. */
  readonly deprecated: readonly string[];
}
