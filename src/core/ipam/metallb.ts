import type { KubeObject, LabelSelector } from '../objects.ts';
import type { IPAddressPool } from './pools.ts';

/** MetalLB's kinds besides IPAddressPool, as the API server sends them (metallb.io, v0.16). Absent reads as the default. */

/** What both kinds of advertisement select by; no names and no selectors: all pools. */
export interface Advertised {
  readonly ipAddressPools?: readonly string[];
  readonly ipAddressPoolSelectors?: readonly LabelSelector[];
  /** Empty: all nodes. */
  readonly nodeSelectors?: readonly LabelSelector[];
  /** Empty: all Services with an address of the pools. */
  readonly serviceSelectors?: readonly LabelSelector[];
}
export interface L2Advertisement extends KubeObject {
  readonly spec?: Advertised & {
    /** Empty: all. */
    readonly interfaces?: readonly string[];
    readonly preferredNodeSelectors?: readonly { readonly weight: number; readonly preference: LabelSelector }[];
  };
}
export interface BGPAdvertisement extends KubeObject {
  readonly spec?: Advertised & {
    /** 32 */
    readonly aggregationLength?: number;
    /** 128 */
    readonly aggregationLengthV6?: number;
    /** 0 */
    readonly localPref?: number;
    /** Absent: not prepended. */
    readonly asPathPrepend?: number;
    /** '65535:65282', 'large:1:2:3', or a name from a Community object. */
    readonly communities?: readonly string[];
    /** BGPPeers by name; empty: all. */
    readonly peers?: readonly string[];
  };
}
export interface BGPPeer extends KubeObject {
  readonly spec?: {
    readonly myASN?: number;
    readonly peerASN?: number;
    readonly dynamicASN?: string;
    readonly localASN?: number;
    readonly peerAddress?: string;
    readonly interface?: string;
    readonly sourceAddress?: string;
    /** 179 */
    readonly peerPort?: number;
    /** Go durations. In v1beta1 zero means absent. */
    readonly holdTime?: string;
    readonly keepaliveTime?: string;
    readonly connectTime?: string;
    readonly routerID?: string;
    readonly nodeSelectors?: readonly LabelSelector[];
    readonly password?: string;
    readonly passwordSecret?: { readonly name?: string; readonly namespace?: string };
    readonly bfdProfile?: string;
    readonly enableGracefulRestart?: boolean;
    readonly ebgpMultiHop?: boolean;
    readonly vrf?: string;
    readonly dualStackAddressFamily?: boolean;
    readonly disableMP?: boolean;
  };
}
export interface BFDProfile extends KubeObject {
  readonly spec?: {
    readonly receiveInterval?: number;
    readonly transmitInterval?: number;
    readonly echoInterval?: number;
    readonly detectMultiplier?: number;
    readonly minimumTtl?: number;
    readonly echoMode?: boolean;
    readonly passiveMode?: boolean;
  };
}
export interface Community extends KubeObject {
  readonly spec?: { readonly communities?: readonly { readonly name?: string; readonly value?: string }[] };
}
export interface Secret extends KubeObject {
  readonly type?: string;
  readonly data?: Readonly<Record<string, string>>;
}
export interface ConfigMap extends KubeObject {
  readonly data?: Readonly<Record<string, string>>;
}

/** A whole configuration. An absent list of MetalLB's kinds is an empty one. */
export interface Configuration {
  readonly ipaddresspools?: readonly IPAddressPool[];
  readonly l2advertisements?: readonly L2Advertisement[];
  readonly bgpadvertisements?: readonly BGPAdvertisement[];
  readonly bgppeers?: readonly BGPPeer[];
  readonly bfdprofiles?: readonly BFDProfile[];
  readonly communities?: readonly Community[];
  /** `bgpextras` is the one that matters. */
  readonly configmaps?: readonly ConfigMap[];
  /** Absent: unknown, as for the controller, which may not read them; what needs them is not checked. */
  readonly secrets?: readonly Secret[];
  readonly nodes?: readonly KubeObject[];
  readonly namespaces?: readonly KubeObject[];
}
