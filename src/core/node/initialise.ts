import { failure, isProviderError, type ProviderError } from '../errors.ts';
import type { Node } from '../objects.ts';
import type { Instance } from '../provider.ts';
import { hasOtherAddresses, wantedAddresses } from './addresses.ts';
import { additionalLabels, copiedFromBeta, staleLabels } from './labels.ts';
import { removeUninitialized } from './taints.ts';
import { mergeOf, mergeStatusOf, type NodeWrite } from './write.ts';

/**
 * What makes a fresh Node one of the cloud, in this order: providerID and labels, addresses, and at last the taint. A crash
 * between two of them leaves the taint, so the next run does the rest. Throws FL_NODE_INSTANCE_MISSING and FL_NODE_IP_INVALID:
 * then nothing is written and the taint stays.
 */
export function initialise(node: Node, instance: Instance): readonly NodeWrite[] {
  const providerID = node.spec.providerID || instance.providerId;
  if (providerID === '')
    throw failure('FL_NODE_INSTANCE_MISSING', 'neither the node nor its instance has a providerID', {
      field: 'spec.providerID',
    });
  const labels = { ...additionalLabels(node, instance), ...staleLabels(node, instance) };
  const hasId = node.spec.providerID === providerID;
  return present([
    identity(node, labels, hasId ? undefined : providerID, 'the node is new'),
    addressesOf(node, instance),
    removeUninitialized(node),
  ]);
}

export interface Resync {
  readonly writes: readonly NodeWrite[];
  /** FL_NODE_IP_INVALID: the addresses are left as they are, everything else is written. */
  readonly problem?: ProviderError;
}

/** What of an initialised Node is not what its instance says. No writes: nothing differs. */
export function resync(node: Node, instance: Instance): Resync {
  const labels = identity(node, staleLabels(node, instance), undefined, 'its instance says otherwise');
  try {
    return { writes: present([labels, addressesOf(node, instance)]) };
  } catch (error) {
    if (!isProviderError(error)) throw error;
    return { writes: present([labels]), problem: error };
  }
}

/** An initialised Node about which the cloud says nothing. */
export function repairLabels(node: Node): readonly NodeWrite[] {
  return present([identity(node, copiedFromBeta(node), undefined, 'its beta labels say otherwise')]);
}

function identity(
  node: Node,
  labels: Readonly<Record<string, string>>,
  providerID: string | undefined,
  reason: string,
): NodeWrite | undefined {
  const hasLabels = Object.keys(labels).length > 0;
  if (!hasLabels && providerID === undefined) return undefined;
  return {
    kind: 'SetNodeIdentity',
    target: node.metadata.name,
    reason,
    ...mergeOf(node, {
      ...(hasLabels ? { metadata: { labels } } : {}),
      ...(providerID === undefined ? {} : { spec: { providerID } }),
    }),
  };
}

/** A cloud that names no address has nothing to say about them: kubelet's stay. */
function addressesOf(node: Node, { addresses: cloud }: Instance): NodeWrite | undefined {
  if (cloud.length === 0) return undefined;
  const wanted = wantedAddresses(node, cloud);
  if ('problem' in wanted) throw failure('FL_NODE_IP_INVALID', wanted.problem, { field: wanted.field });
  const { addresses } = wanted;
  if (!hasOtherAddresses(node, addresses)) return undefined;
  const reason = 'the instance has other addresses';
  return { kind: 'SetNodeAddresses', target: node.metadata.name, reason, ...mergeStatusOf(node, { addresses }) };
}

const present = (writes: readonly (NodeWrite | undefined)[]): readonly NodeWrite[] =>
  writes.filter((write) => write !== undefined);
