import { type Draft, same } from '../api/json.ts';

/** What the workload controller reads of a Deployment or DaemonSet. */
export interface WorkloadView extends Draft {
  readonly kind: 'Deployment' | 'DaemonSet';
  readonly spec: {
    readonly replicas?: number;
    readonly paused?: boolean;
    readonly template: { readonly metadata?: Draft['metadata']; readonly spec: object };
  };
}

export interface WorkloadPod extends Draft {
  readonly spec: { readonly nodeName?: string };
  readonly status?: { readonly phase?: string; readonly conditions?: readonly { type: string; status: string }[] };
}

export interface WantedPods {
  /** One entry per pod to make; `nodeName` absent: wherever there is room. */
  readonly create: readonly { readonly nodeName?: string }[];
  readonly remove: readonly WorkloadPod[];
}

/** Label with the digest of the template that a pod was made of. */
export const HASH_LABEL = 'pod-template-hash';

/**
 * Pure: the pods to make and to delete next. A Deployment rolls: one pod more than wanted, none ready less than
 * wanted. A DaemonSet has one pod on each node, and replaces one at a time.
 */
export function wantedPods(
  workload: WorkloadView,
  pods: readonly WorkloadPod[],
  hash: string,
  nodes: readonly string[],
): WantedPods {
  const living = pods.filter((pod) => !isGoing(pod));
  return workload.kind === 'DaemonSet'
    ? ofDaemonSet(living, pods, hash, nodes)
    : ofDeployment(living, hash, workload.spec.replicas ?? 1);
}

export const isReady = ({ status }: WorkloadPod): boolean =>
  (status?.conditions ?? []).some(({ type, status: is }) => type === 'Ready' && is === 'True');

export const isGoing = ({ metadata, status }: WorkloadPod): boolean =>
  metadata.deletionTimestamp !== undefined || status?.phase === 'Failed' || status?.phase === 'Succeeded';

export const isCurrent = ({ metadata }: Draft, hash: string): boolean => metadata.labels?.[HASH_LABEL] === hash;

/** The counts that `kubectl get` and `kubectl rollout status` show. */
export function statusOf(workload: WorkloadView, pods: readonly WorkloadPod[], hash: string, nodes: number): object {
  const living = pods.filter((pod) => !isGoing(pod));
  const ready = living.filter(isReady).length;
  const updated = living.filter((pod) => isCurrent(pod, hash)).length;
  const observedGeneration = workload.metadata.generation ?? 1;
  if (workload.kind === 'DaemonSet')
    return {
      observedGeneration,
      currentNumberScheduled: living.length,
      desiredNumberScheduled: nodes,
      numberMisscheduled: 0,
      numberReady: ready,
      ...withoutZeros({ numberAvailable: ready, updatedNumberScheduled: updated }),
    };
  const isAvailable = ready >= (workload.spec.replicas ?? 1);
  return {
    observedGeneration,
    ...withoutZeros({
      replicas: living.length,
      updatedReplicas: updated,
      readyReplicas: ready,
      availableReplicas: ready,
      unavailableReplicas: living.length - ready,
    }),
    conditions: [
      {
        type: 'Available',
        status: isAvailable ? 'True' : 'False',
        reason: isAvailable ? 'MinimumReplicasAvailable' : 'MinimumReplicasUnavailable',
        message: isAvailable ? 'enough pods are ready' : `${ready} pods are ready`,
      },
    ],
  };
}

/** As the API server keeps counts that may be absent: what is written is what is read. */
const withoutZeros = (counts: Readonly<Record<string, number>>): object =>
  Object.fromEntries(Object.entries(counts).filter(([, count]) => count !== 0));

/** Where a pod goes that names no node: to the one with the fewest pods of the same owner, then of all, then by name. */
export function nodeFor(pod: WorkloadPod, pods: readonly WorkloadPod[], nodes: readonly string[]): string | undefined {
  const owner = ownerOf(pod);
  const count = (node: string, own: boolean): number =>
    pods.filter((each) => each.spec.nodeName === node && !isGoing(each) && (!own || same(ownerOf(each), owner))).length;
  return nodes
    .map((node) => ({ node, own: count(node, true), all: count(node, false) }))
    .sort((a, b) => a.own - b.own || a.all - b.all || (a.node < b.node ? -1 : 1))[0]?.node;
}

const ownerOf = ({ metadata }: Draft): string =>
  metadata.ownerReferences?.find(({ controller }) => controller === true)?.uid ?? '';

function ofDeployment(living: readonly WorkloadPod[], hash: string, replicas: number): WantedPods {
  const current = living.filter((pod) => isCurrent(pod, hash));
  const old = living.filter((pod) => !isCurrent(pod, hash));
  const room = Math.max(0, replicas + (old.length > 0 ? 1 : 0) - living.length);
  const create = Array.from({ length: Math.min(room, Math.max(0, replicas - current.length)) }, () => ({}));
  const spare = Math.max(0, living.filter(isReady).length - replicas);
  const remove = [
    ...current.toSorted(readyFirst).slice(replicas),
    ...old.filter((pod) => !isReady(pod)),
    ...old.filter(isReady).slice(0, current.length > replicas ? 0 : spare),
  ];
  return { create, remove };
}

function ofDaemonSet(
  living: readonly WorkloadPod[],
  all: readonly WorkloadPod[],
  hash: string,
  nodes: readonly string[],
): WantedPods {
  const isOn = (node: string) => (pod: WorkloadPod) => pod.spec.nodeName === node;
  const create = nodes.filter((node) => !all.some(isOn(node))).map((nodeName) => ({ nodeName }));
  const surplus = living.filter((pod) => {
    const node = pod.spec.nodeName ?? '';
    return !nodes.includes(node) || living.filter(isOn(node)).toSorted(readyFirst)[0] !== pod;
  });
  const old = living.find((pod) => !isCurrent(pod, hash) && !surplus.includes(pod));
  const isCalm = create.length === 0 && surplus.length === 0 && all.length === living.length && living.every(isReady);
  return { create, remove: [...surplus, ...(old !== undefined && isCalm ? [old] : [])] };
}

const readyFirst = (a: WorkloadPod, b: WorkloadPod): number => Number(isReady(b)) - Number(isReady(a));
