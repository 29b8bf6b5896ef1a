import { sortedRecord } from '../equal.ts';
import type { Node } from '../objects.ts';
import type { Instance } from '../provider.ts';

type Labels = Readonly<Record<string, string>>;

/** What an instance says about its Node: the label and its older alias, which some still select on. */
const known: readonly { readonly of: 'type' | 'zone' | 'region'; readonly label: string; readonly beta: string }[] = [
  { of: 'type', label: 'node.kubernetes.io/instance-type', beta: 'beta.kubernetes.io/instance-type' },
  { of: 'zone', label: 'topology.kubernetes.io/zone', beta: 'failure-domain.beta.kubernetes.io/zone' },
  { of: 'region', label: 'topology.kubernetes.io/region', beta: 'failure-domain.beta.kubernetes.io/region' },
];

/** Prefixes that Kubernetes keeps for itself: no provider sets such a label but those above (cloud-provider, node controller). */
const RESERVED = /(^|\.)(kubernetes|k8s)\.io\//;

/** Labels of type, zone and region that are not what the instance says; what it leaves empty is left alone. Empty: nothing to do. */
export function staleLabels({ metadata: { labels = {} } }: Node, instance: Instance): Labels {
  const wanted = known.flatMap(({ of, label, beta }) =>
    instance[of] === '' ? [] : [[label, instance[of]] as const, [beta, instance[of]] as const],
  );
  return sortedRecord(Object.fromEntries(wanted.filter(([key, value]) => labels[key] !== value)));
}

/** The provider's further labels that a fresh Node gets: none under a reserved prefix, none that the Node has already. */
export function additionalLabels({ metadata: { labels = {} } }: Node, instance: Instance): Labels {
  const given = Object.entries(instance.labels ?? {});
  return sortedRecord(Object.fromEntries(given.filter(([key]) => !RESERVED.test(key) && !Object.hasOwn(labels, key))));
}

/** Those labels of type, zone and region that the Node has. */
export function instanceLabelsOf({ metadata: { labels = {} } }: Node): Labels {
  const keys = known.flatMap(({ label, beta }) => [label, beta]);
  return Object.fromEntries(keys.flatMap((key) => (labels[key] === undefined ? [] : [[key, labels[key]]])));
}

/** Where nobody asks the cloud: a beta label overwrites the label that took its place. Empty: nothing to do. */
export function copiedFromBeta({ metadata: { labels = {} } }: Node): Labels {
  const copies = known.flatMap(({ label, beta }) => {
    const value = labels[beta];
    return value === undefined || labels[label] === value ? [] : [[label, value] as const];
  });
  return sortedRecord(Object.fromEntries(copies));
}
