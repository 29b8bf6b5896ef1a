import type { PlaneContext } from './context.ts';
import { runEndpointSlices } from './endpoint-slices.ts';
import { runHeartbeats } from './heartbeats.ts';
import { runNamespaces } from './namespaces.ts';
import { runOwners } from './owners.ts';
import { runWorkloads } from './workloads.ts';

/** Which of kube-controller-manager's controllers run. */
export interface PlaneOptions {
  readonly endpointSlices: boolean;
  readonly namespaces: boolean;
  readonly owners: boolean;
  /** Renews every node's Lease and Ready condition, as its kubelet would. */
  readonly heartbeats: boolean;
  /** Makes the pods of Deployments and DaemonSets, and chooses a node for every pod that has none. */
  readonly workloads: boolean;
}

/** Starts them; the returned function ends them. */
export function runPlane(context: PlaneContext, options: PlaneOptions): () => void {
  const ends = [
    ...(options.endpointSlices ? [runEndpointSlices(context)] : []),
    ...(options.namespaces ? [runNamespaces(context)] : []),
    ...(options.owners ? [runOwners(context)] : []),
    ...(options.heartbeats ? [runHeartbeats(context)] : []),
    ...(options.workloads ? [runWorkloads(context)] : []),
  ];
  return () => {
    for (const end of ends) end();
  };
}
