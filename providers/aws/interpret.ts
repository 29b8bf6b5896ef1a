import type { Interpretation, ServiceView } from '../../src/core/provider.ts';
import { readerOf } from './annotations.ts';
import type { Settings } from './model.ts';
import { schemeOf, targetTypeOf } from './wishes.ts';

type AcceptsNode = NonNullable<Interpretation['acceptsNode']>;

/** Cluster autoscaler's taint is core's business; this is Karpenter's, on a node that is about to go. */
const LEAVING_TAINT = /^karpenter\.sh\/disrupted(=[^:]*)?:NoSchedule$/;
const MASTER_LABEL = 'node-role.kubernetes.io/master';
/** Filters that are remembered; more Services than that with their own each only cost core's sharing. */
const CAPACITY = 1000;

/**
 * What a Service says before targets are chosen. Never throws: what is unreadable here is so for `plan`, too, which names
 * all of it. Services with equal node labels share one filter function.
 */
export function createInterpret(settings: Settings): (service: ServiceView) => Interpretation {
  const filters = new Map<string, AcceptsNode>(); // annotation -> filter
  return ({ options }) => {
    const reader = readerOf(options);
    const targetType = targetTypeOf(reader, settings);
    const scheme = schemeOf(reader);
    const wish =
      scheme === undefined ? {} : { scheme: scheme === 'internal' ? ('internal' as const) : ('internet' as const) };
    if (targetType === 'ip') return { ...wish, targetKind: 'pod', containersReady: true };
    const text = reader.text('target-node-labels') ?? '';
    const known = filters.get(text) ?? acceptsNode(reader.map('target-node-labels') ?? {});
    if (filters.size >= CAPACITY && !filters.has(text)) filters.clear();
    filters.set(text, known);
    return { ...wish, targetKind: 'node', acceptsNode: known };
  };
}

/** Readiness does not count: a control plane that loses its nodes must not drain them. */
function acceptsNode(labels: Readonly<Record<string, string>>): AcceptsNode {
  const wanted = Object.entries(labels);
  return ({ name, labels: has, taints }) =>
    !isFargate(name, has) &&
    !Object.hasOwn(has, MASTER_LABEL) &&
    !taints.some((taint) => LEAVING_TAINT.test(taint)) &&
    wanted.every(([key, value]) => has[key] === value);
}

/** A Fargate node is one pod and no instance. */
const isFargate = (name: string, labels: Readonly<Record<string, string>>): boolean =>
  name.startsWith('fargate-ip-') || labels['eks.amazonaws.com/compute-type'] === 'fargate';
