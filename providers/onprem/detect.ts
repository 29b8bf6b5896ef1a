import { failure } from '../../src/core/errors.ts';
import type { KubeObject } from '../../src/core/objects.ts';
import { COMPONENT_LABEL, type ConfigurationState } from './config-state.ts';

/** What is read of a pod. */
export interface Pod extends KubeObject {
  readonly spec?: {
    readonly containers?: readonly { readonly command?: readonly string[]; readonly args?: readonly string[] }[];
  };
  readonly status?: { readonly phase?: string };
}

export interface Neighbourhood {
  /** Of the MetalLB namespace. */
  readonly pods: readonly Pod[];
  readonly states: readonly ConfigurationState[];
  /** Name of our own pod, which may carry such labels too. */
  readonly identity: string;
}

/** Running controllers of MetalLB: by their labels, or as the live owner of a controller's ConfigurationState. Pure. */
export function metallbControllers({ pods, states, identity }: Neighbourhood): readonly Pod[] {
  const owners = new Set(
    states
      .filter(({ metadata }) => metadata.labels?.[COMPONENT_LABEL] === 'controller')
      .flatMap(({ metadata }) => metadata.ownerReferences ?? [])
      .filter(({ kind }) => kind === 'Pod')
      .map(({ uid }) => uid),
  );
  return pods.filter(
    ({ metadata: { name, uid, labels = {} }, status }) =>
      status?.phase === 'Running' && name !== identity && (owners.has(uid) || isLabelled(labels)),
  );
}

/** As MetalLB's manifests label it, or its Helm chart. */
const isLabelled = (labels: Readonly<Record<string, string>>): boolean =>
  (labels['app'] === 'metallb' && labels['component'] === 'controller') ||
  (labels['app.kubernetes.io/name'] === 'metallb' && labels['app.kubernetes.io/component'] === 'controller');

/** `--lb-class` of a MetalLB controller; undefined: it serves Services without a class. */
export function lbClassOf({ spec }: Pod): string | undefined {
  const words = (spec?.containers ?? []).flatMap(({ command = [], args = [] }) => [...command, ...args]);
  for (const [index, word] of words.entries()) {
    const match = /^--?lb-class(?:=(.*))?$/.exec(word);
    if (match === null) continue;
    const value = match[1] ?? words[index + 1] ?? '';
    return value === '' ? undefined : value;
  }
  return undefined;
}

/**
 * Two allocators on one Service hand out two truths: throws FL_METALLB_RUNNING when a MetalLB controller serves a class
 * of ours. `classes`: '' stands for Services without one.
 */
export function refuseMetallb(neighbours: Neighbourhood, classes: ReadonlySet<string>, namespace: string): void {
  for (const pod of metallbControllers(neighbours)) {
    const theirs = lbClassOf(pod);
    if (!classes.has(theirs ?? '')) continue;
    const what = theirs === undefined ? 'Services without a class' : `class ${JSON.stringify(theirs)}`;
    throw failure(
      'FL_METALLB_RUNNING',
      `MetalLB's controller runs here (pod ${namespace}/${pod.metadata.name}) and serves ${what}, and so would Fairlead. ` +
        `Stop it (kubectl -n ${namespace} scale deployment controller --replicas=0; its addresses are taken over), ` +
        'or keep the two apart: --load-balancer-class=fairlead.dev/onprem here, or --lb-class there',
      { field: '--load-balancer-class' },
    );
  }
}
