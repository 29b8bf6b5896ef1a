import type { Rules } from '../admit.ts';
import { duplicate, type FieldError, invalid, notAllowed, required } from '../invalid.ts';
import { clone, type Draft, type JsonObject, same } from '../json.ts';
import { text } from '../selectors.ts';
import { dnsLabel, portNumber } from '../words.ts';

interface Probe extends JsonObject {
  httpGet?: { path?: string; scheme?: string };
  tcpSocket?: JsonObject;
  grpc?: { service?: string };
  timeoutSeconds?: number;
  periodSeconds?: number;
  successThreshold?: number;
  failureThreshold?: number;
}
interface Container extends JsonObject {
  name: string;
  image?: string;
  imagePullPolicy?: string;
  terminationMessagePath?: string;
  terminationMessagePolicy?: string;
  ports?: { name?: string; containerPort: number; hostPort?: number; protocol?: string }[];
  env?: { valueFrom?: { fieldRef?: { apiVersion?: string } } }[];
  resources: { limits?: Record<string, string>; requests?: Record<string, string> };
  livenessProbe?: Probe;
  readinessProbe?: Probe;
  startupProbe?: Probe;
}
interface Toleration {
  key?: string;
  operator?: string;
  effect?: string;
  tolerationSeconds?: number;
}
export interface PodSpecDraft extends JsonObject {
  containers: Container[];
  initContainers?: Container[];
  nodeName?: string;
  hostNetwork?: boolean;
  restartPolicy?: string;
  terminationGracePeriodSeconds?: number;
  dnsPolicy?: string;
  securityContext?: JsonObject;
  schedulerName?: string;
  tolerations?: Toleration[];
  priority?: number;
  enableServiceLinks?: boolean;
  preemptionPolicy?: string;
  volumes?: JsonObject[];
}
interface PodDraft extends Draft {
  spec: PodSpecDraft;
  status: JsonObject;
}

export const podRules: Rules = {
  returnsDeleted: true,
  fields: {
    'spec.nodeName': text('spec', 'nodeName'),
    'spec.restartPolicy': text('spec', 'restartPolicy'),
    'spec.schedulerName': text('spec', 'schedulerName'),
    'spec.serviceAccountName': text('spec', 'serviceAccountName'),
    'spec.hostNetwork': (object) => String((object as PodDraft).spec.hostNetwork === true),
    'status.phase': text('status', 'phase'),
    'status.podIP': text('status', 'podIP'),
    'status.nominatedNodeName': text('status', 'nominatedNodeName'),
  },
  defaults(draft) {
    const { spec } = draft as PodDraft;
    for (const container of [...spec.containers, ...(spec.initContainers ?? [])]) requestLimits(container);
    setPodDefaults(spec);
    spec.enableServiceLinks ??= true;
    if (spec.hostNetwork === true)
      for (const container of spec.containers)
        for (const port of container.ports ?? []) port.hostPort ??= port.containerPort;
  },
  prepareCreate(draft) {
    const pod = draft as PodDraft;
    pod.metadata.generation = 1;
    pod.status = { phase: 'Pending', qosClass: qosClass(pod.spec) };
    tolerate(pod.spec, 'node.kubernetes.io/not-ready');
    tolerate(pod.spec, 'node.kubernetes.io/unreachable');
    // The admission plug-in Priority, in a cluster without priority classes.
    pod.spec.priority ??= 0;
    pod.spec.preemptionPolicy ??= 'PreemptLowerPriority';
  },
  prepareUpdate(draft, old, part) {
    const [pod, before] = [draft as PodDraft, old as PodDraft];
    if (part === 'status') {
      const spec = clone(before.spec);
      const { status } = pod;
      status['qosClass'] ??= before.status['qosClass'];
      pod.spec = spec;
      return;
    }
    if (part === 'binding') return;
    pod.status = clone(before.status);
    if (!same(pod.spec, before.spec)) pod.metadata.generation = (before.metadata.generation ?? 0) + 1;
  },
  validate: (draft, old, part) => (part !== '' ? [] : podErrors(draft as PodDraft, old as PodDraft | undefined)),
  /** A pod that no kubelet runs goes at once. */
  graceSeconds({ spec, status }, asked) {
    const { nodeName = '', terminationGracePeriodSeconds = 30 } = spec as PodSpecDraft;
    const phase = (status as JsonObject)['phase'];
    if (nodeName === '' || phase === 'Failed' || phase === 'Succeeded') return 0;
    return asked ?? terminationGracePeriodSeconds;
  },
};

/** SetDefaults_PodSpec and its parts: also what a workload's template gets. */
export function setPodDefaults(spec: PodSpecDraft): void {
  for (const container of [...(spec.containers ?? []), ...(spec.initContainers ?? [])]) setContainerDefaults(container);
  spec.restartPolicy ??= 'Always';
  spec.terminationGracePeriodSeconds ??= 30;
  spec.dnsPolicy ??= 'ClusterFirst';
  spec.securityContext ??= {};
  spec.schedulerName ??= 'default-scheduler';
  for (const volume of spec.volumes ?? []) setVolumeDefaults(volume);
}

function setContainerDefaults(container: Container): void {
  const tag = /:([^/@]+)$/.exec(container.image ?? '')?.[1];
  const pinned = (container.image ?? '').includes('@') || (tag !== undefined && tag !== 'latest');
  container.terminationMessagePath ??= '/dev/termination-log';
  container.terminationMessagePolicy ??= 'File';
  container.imagePullPolicy ??= pinned ? 'IfNotPresent' : 'Always';
  for (const port of container.ports ?? []) port.protocol ??= 'TCP';
  for (const probe of [container.livenessProbe, container.readinessProbe, container.startupProbe])
    if (probe !== undefined) setProbeDefaults(probe);
  for (const { valueFrom } of container.env ?? [])
    if (valueFrom?.fieldRef !== undefined) valueFrom.fieldRef.apiVersion ??= 'v1';
}

function setProbeDefaults(probe: Probe): void {
  if (probe.httpGet !== undefined) {
    probe.httpGet.path ??= '/';
    probe.httpGet.scheme ??= 'HTTP';
  }
  if (probe.grpc !== undefined) probe.grpc.service ??= '';
  probe.timeoutSeconds ??= 1;
  probe.periodSeconds ??= 10;
  probe.successThreshold ??= 1;
  probe.failureThreshold ??= 3;
}

const volumeModes: Readonly<Record<string, string>> = {
  configMap: 'defaultMode',
  secret: 'defaultMode',
  projected: 'defaultMode',
  downwardAPI: 'defaultMode',
};

function setVolumeDefaults(volume: JsonObject): void {
  for (const [source, member] of Object.entries(volumeModes)) {
    const value = volume[source];
    if (typeof value === 'object' && value !== null) (value as JsonObject)[member] ??= 0o644;
  }
  const path = volume['hostPath'];
  if (typeof path === 'object' && path !== null) (path as JsonObject)['type'] ??= '';
  if (Object.keys(volume).length === 1) volume['emptyDir'] = {};
}

/** A pod that says only what it may use asks for as much. */
function requestLimits({ resources }: Container): void {
  if (resources.limits !== undefined) resources.requests = { ...resources.limits, ...resources.requests };
}

/** The admission plug-in DefaultTolerationSeconds. */
function tolerate(spec: PodSpecDraft, key: string): void {
  const tolerated = (spec.tolerations ?? []).some(
    (one) => (one.key === undefined || one.key === key) && (one.effect === undefined || one.effect === 'NoExecute'),
  );
  if (!tolerated)
    spec.tolerations = [
      ...(spec.tolerations ?? []),
      { key, operator: 'Exists', effect: 'NoExecute', tolerationSeconds: 300 },
    ];
}

function qosClass({ containers, initContainers = [] }: PodSpecDraft): string {
  const all = [...containers, ...initContainers].map(({ resources }) => resources);
  if (all.every(({ limits = {}, requests = {} }) => Object.keys(limits).length + Object.keys(requests).length === 0))
    return 'BestEffort';
  const guaranteed = all.every(({ limits = {}, requests = {} }) =>
    ['cpu', 'memory'].every((one) => limits[one] !== undefined && limits[one] === requests[one]),
  );
  return guaranteed ? 'Guaranteed' : 'Burstable';
}

function podErrors(pod: PodDraft, old: PodDraft | undefined): readonly FieldError[] {
  const errors = [...podSpecErrors(pod.spec, 'spec')];
  if (old === undefined || samePlacement(pod.spec, old.spec)) return errors;
  return [
    ...errors,
    notAllowed(
      'spec',
      'pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)',
    ),
  ];
}

/** The fields that an update of a pod may change are left out of the comparison. */
function samePlacement(spec: PodSpecDraft, old: PodSpecDraft): boolean {
  const fixed = ({
    containers,
    initContainers,
    activeDeadlineSeconds: _1,
    tolerations: _2,
    ...rest
  }: PodSpecDraft): unknown => ({
    ...rest,
    containers: (containers ?? []).map(({ image: _image, ...container }) => container),
    initContainers: (initContainers ?? []).map(({ image: _image, ...container }) => container),
  });
  return same(fixed(spec), fixed(old));
}

export function podSpecErrors(spec: PodSpecDraft, field: string): readonly FieldError[] {
  const containers = spec.containers ?? [];
  if (containers.length === 0) return [required(`${field}.containers`)];
  const names = new Set<string>();
  return containers.flatMap((container, index) => {
    const at = `${field}.containers[${index}]`;
    const errors: FieldError[] = [];
    if ((container.name ?? '') === '') errors.push(required(`${at}.name`));
    else for (const message of dnsLabel(container.name)) errors.push(invalid(`${at}.name`, container.name, message));
    if (names.has(container.name)) errors.push(duplicate(`${at}.name`, container.name));
    names.add(container.name);
    if ((container.image ?? '') === '') errors.push(required(`${at}.image`));
    for (const [port, { containerPort }] of (container.ports ?? []).entries())
      for (const message of portNumber(containerPort))
        errors.push(invalid(`${at}.ports[${port}].containerPort`, containerPort, message));
    return errors;
  });
}
