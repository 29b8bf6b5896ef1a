import type { Cidr } from '../../core/provider.ts';

/** How the proxy part works; from flags, or from kube-proxy's config file. */
export interface ProxyOptions {
  /** Serve Services whose label service.kubernetes.io/service-proxy-name is this; absent: those without the label. */
  readonly serviceProxyName?: string;
  /** Masquerade whatever goes to a ClusterIP. */
  readonly masqueradeAll: boolean;
  /** Whose connections count as those of pods: the ranges, or the node's own pod CIDRs. */
  readonly podSources: 'node' | readonly Cidr[];
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
