/** The row of a Pod: what `kubectl get pods` says about its containers (printPod of Kubernetes' printers). */
import { ago, type Row, since } from './table-cells.ts';

interface Terminated {
  readonly exitCode: number;
  readonly signal?: number;
  readonly reason?: string;
  readonly finishedAt?: string;
}
interface ContainerStatus {
  readonly name: string;
  readonly ready?: boolean;
  readonly started?: boolean;
  readonly restartCount?: number;
  readonly state?: {
    readonly waiting?: { readonly reason?: string };
    readonly running?: object;
    readonly terminated?: Terminated;
  };
  readonly lastState?: { readonly terminated?: Terminated };
}
interface Pod {
  readonly metadata: {
    readonly name: string;
    readonly creationTimestamp?: string;
    readonly deletionTimestamp?: string;
  };
  readonly spec?: {
    readonly containers?: readonly unknown[];
    readonly initContainers?: readonly { readonly name: string; readonly restartPolicy?: string }[];
    readonly nodeName?: string;
    readonly readinessGates?: readonly { readonly conditionType: string }[];
  };
  readonly status?: {
    readonly phase?: string;
    readonly reason?: string;
    readonly conditions?: readonly { readonly type: string; readonly status: string; readonly reason?: string }[];
    readonly initContainerStatuses?: readonly ContainerStatus[];
    readonly containerStatuses?: readonly ContainerStatus[];
    readonly podIPs?: readonly { readonly ip: string }[];
    readonly nominatedNodeName?: string;
  };
}

export function podCells(object: object, now: number): Row {
  const pod = object as Pod;
  const { metadata, spec = {}, status = {} } = pod;
  const sidecars = new Set((spec.initContainers ?? []).filter(isSidecar).map((container) => container.name));
  const init = initOf(pod, sidecars);
  const main = mainOf(pod);
  const started = init.reason === undefined || conditionOf(pod, 'Initialized') === 'True';
  const counted = started
    ? [
        ...(status.initContainerStatuses ?? []).filter(({ name }) => sidecars.has(name)),
        ...(status.containerStatuses ?? []),
      ]
    : (status.initContainerStatuses ?? []);
  const ready = init.ready + (started ? main.ready : 0);
  return {
    cells: [
      metadata.name,
      `${ready}/${(spec.containers ?? []).length + sidecars.size}`,
      reasonOf(pod, init.reason, started ? main.reason : undefined),
      restartsOf(counted, now),
      ago(pod, now),
      status.podIPs?.[0]?.ip || '<none>',
      spec.nodeName || '<none>',
      status.nominatedNodeName || '<none>',
      gatesOf(pod),
    ],
    ...(status.phase === 'Succeeded'
      ? { conditions: [ended('Succeeded', 'The pod has completed successfully.')] }
      : {}),
    ...(status.phase === 'Failed' ? { conditions: [ended('Failed', 'The pod failed.')] } : {}),
  };
}

const isSidecar = ({ restartPolicy }: { readonly restartPolicy?: string }): boolean => restartPolicy === 'Always';

const ended = (reason: string, message: string): object => ({ type: 'Completed', status: 'True', reason, message });

/** What deletion, the containers, the init containers or the phase say, in this order. */
function reasonOf(pod: Pod, init: string | undefined, main: string | undefined): string {
  const { phase = '', reason = '' } = pod.status ?? {};
  const deleted = pod.metadata.deletionTimestamp !== undefined;
  if (deleted && reason === 'NodeLost') return 'Unknown';
  if (deleted && phase !== 'Succeeded' && phase !== 'Failed') return 'Terminating';
  const gated = (pod.status?.conditions ?? []).some(
    (condition) => condition.type === 'PodScheduled' && condition.reason === 'SchedulingGated',
  );
  return main ?? init ?? (gated ? 'SchedulingGated' : reason || phase);
}

/** The first init container that is not done says why the pod waits. */
function initOf(
  pod: Pod,
  sidecars: ReadonlySet<string>,
): { readonly reason: string | undefined; readonly ready: number } {
  let ready = 0;
  for (const [at, { name, state = {}, ...container }] of (pod.status?.initContainerStatuses ?? []).entries()) {
    if (state.terminated?.exitCode === 0) continue;
    if (sidecars.has(name) && container.started === true) {
      if (container.ready === true) ready++;
      continue;
    }
    const waiting = state.waiting?.reason;
    if (state.terminated !== undefined) return { reason: `Init:${terminatedText(state.terminated)}`, ready };
    if (waiting && waiting !== 'PodInitializing') return { reason: `Init:${waiting}`, ready };
    return { reason: `Init:${at}/${(pod.spec?.initContainers ?? []).length}`, ready };
  }
  return { reason: undefined, ready };
}

/** The first container that is not running has the last word; 'Completed' gives way to what the others do. */
function mainOf(pod: Pod): { readonly reason: string | undefined; readonly ready: number } {
  const statuses = [...(pod.status?.containerStatuses ?? [])].reverse();
  let reason: string | undefined;
  let error: string | undefined;
  let ready = 0;
  for (const { state = {}, ready: isReady } of statuses) {
    if (state.waiting?.reason) {
      reason = state.waiting.reason;
    } else if (state.terminated !== undefined) {
      reason = terminatedText(state.terminated);
      if (state.terminated.exitCode !== 0) error = reason;
    } else if (isReady === true && state.running !== undefined) {
      ready++;
    }
  }
  if ((reason ?? pod.status?.phase) === 'Completed') {
    if (ready > 0 && conditionOf(pod, 'Ready') === 'True') reason = 'Running';
    else reason = error ?? (ready > 0 ? 'NotReady' : reason);
  }
  return { reason, ready };
}

const terminatedText = ({ reason, signal, exitCode }: Terminated): string =>
  reason || (signal ? `Signal:${signal}` : `ExitCode:${exitCode}`);

function restartsOf(statuses: readonly ContainerStatus[], now: number): string {
  const restarts = statuses.reduce((sum, { restartCount = 0 }) => sum + restartCount, 0);
  const last = statuses
    .map(({ lastState }) => lastState?.terminated?.finishedAt ?? '')
    .sort()
    .at(-1);
  return restarts === 0 || !last ? String(restarts) : `${restarts} (${since(last, now)} ago)`;
}

function gatesOf(pod: Pod): string {
  const gates = pod.spec?.readinessGates ?? [];
  const open = gates.filter(({ conditionType }) => conditionOf(pod, conditionType) === 'True');
  return gates.length === 0 ? '<none>' : `${open.length}/${gates.length}`;
}

const conditionOf = (pod: Pod, type: string): string | undefined =>
  (pod.status?.conditions ?? []).find((condition) => condition.type === type)?.status;
