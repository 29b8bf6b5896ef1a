import type { KubeObject, Pod, Service } from '../objects.ts';
import { GATES_ANNOTATION, gatesOf, listOf } from './gates.ts';

/** On a Namespace, with the value `enabled`: new pods get readiness gates (AWS Load Balancer Controller's name). */
export const INJECT_LABEL = 'elbv2.k8s.aws/pod-readiness-gate-inject';

/** RFC 6902, of which `add` is enough. */
export interface AddOperation {
  readonly op: 'add';
  readonly path: string;
  readonly value: unknown;
}

/** A pod that is being created: it has no name yet if that is generated, and perhaps no namespace. */
export type NewPod = Pick<Pod, 'spec'> & { readonly metadata?: Partial<KubeObject['metadata']> };

export interface Surroundings {
  /** Absent: not known here (yet). */
  readonly namespace: KubeObject | undefined;
  /** Those of the pod's namespace. */
  readonly services: readonly Service[];
}

/**
 * What puts the readiness gates on a pod that is being created: those of the Services that select it and are served
 * already, if its namespace asks for them. Empty: the pod stays as it is. A Service that is not served yet gates nothing:
 * its load balancer may need the pod in order to come up.
 */
export function injection(pod: NewPod, { namespace, services }: Surroundings): readonly AddOperation[] {
  if (namespace?.metadata.labels?.[INJECT_LABEL] !== 'enabled') return [];
  const present = new Set((pod.spec?.readinessGates ?? []).map(({ conditionType }) => conditionType));
  const wanted = new Set(services.filter((service) => isServed(service) && selects(service, pod)).flatMap(gatesOf));
  const missing = [...wanted].filter((gate) => !present.has(gate)).sort();
  return missing.length === 0 ? [] : [...addGates(pod, missing), addMark(pod, missing)];
}

const isServed = ({ status }: Service): boolean => (status?.loadBalancer?.ingress ?? []).length > 0;

/** An empty selector selects nothing: somebody else fills the endpoints. */
function selects({ spec: { selector = {} } }: Service, { metadata }: NewPod): boolean {
  const entries = Object.entries(selector);
  return entries.length > 0 && entries.every(([key, value]) => metadata?.labels?.[key] === value);
}

function addGates({ spec }: NewPod, gates: readonly string[]): readonly AddOperation[] {
  const values = gates.map((conditionType) => ({ conditionType }));
  if (spec?.readinessGates === undefined) return [{ op: 'add', path: '/spec/readinessGates', value: values }];
  return values.map((value) => ({ op: 'add', path: '/spec/readinessGates/-', value }));
}

function addMark({ metadata }: NewPod, gates: readonly string[]): AddOperation {
  const { annotations } = metadata ?? {};
  const all = [...new Set([...listOf(annotations?.[GATES_ANNOTATION] ?? ''), ...gates])].sort().join(',');
  if (annotations === undefined)
    return { op: 'add', path: '/metadata/annotations', value: { [GATES_ANNOTATION]: all } };
  return { op: 'add', path: `/metadata/annotations/${GATES_ANNOTATION.replace('/', '~1')}`, value: all };
}
