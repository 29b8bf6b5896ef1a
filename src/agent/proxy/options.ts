import type { Cidr } from '../../core/provider.ts';

/** How the proxy part works; from flags, or from kube-proxy's config file. */
export interface ProxyOptions {
  /** Serve Services whose label service.kubernetes.io/service-proxy-name is this; absent: those without the label. */
  readonly serviceProxyName?: string;
  /** Masquerade whatever goes to a ClusterIP. */
  readonly masqueradeAll: boolean;
  readonly detectLocal: DetectLocalOptions;
  /** Where NodePorts answer: ranges, 'primary' (the Node's addresses), 'all', in any combination. Never on loopback. */
  readonly nodePortAddresses: readonly ('primary' | 'all' | Cidr)[];
  /** Over the first address of the Node object (kube-proxy's --bind-address). */
  readonly nodeIP?: string;
  readonly conntrack: ConntrackOptions;
  /** Least time between two commits while changes keep coming. */
  readonly minSyncPeriodMs: number;
  /** A change that is not in the kernel after twice this time makes the proxy unhealthy. */
  readonly syncPeriodMs: number;
}

/** How a connection of a pod is told from others (kube-proxy's --detect-local-mode). */
export type DetectLocalOptions =
  /** By its source, in these ranges. None: no connection is a pod's. */
  | { readonly by: 'cluster-cidr'; readonly cidrs: readonly Cidr[] }
  /** By its source, in the pod CIDRs of this Node. */
  | { readonly by: 'node-cidr' }
  | { readonly by: 'interface'; readonly name: string }
  | { readonly by: 'interface-prefix'; readonly prefix: string };

/** kube-proxy's settings of connection tracking; 0 leaves a value as it is. */
export interface ConntrackOptions {
  readonly maxPerCore: number;
  readonly min: number;
  readonly tcpEstablishedSeconds: number;
  readonly tcpCloseWaitSeconds: number;
  readonly tcpBeLiberal: boolean;
  readonly udpSeconds: number;
  readonly udpStreamSeconds: number;
}
