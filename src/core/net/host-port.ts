import type { Protocol } from '../provider.ts';

/** A port of the node that leads to a pod's port: the CNI part knows it, the node's table serves it. */
export interface HostPort {
  /** Address of the node; absent: each address that NodePorts are served on. '127.0.0.1' is served to the node itself. */
  readonly hostIP?: string;
  readonly protocol: Protocol;
  readonly hostPort: number;
  /** RFC 5952 text; its family is the table's. */
  readonly podIP: string;
  readonly podPort: number;
}
