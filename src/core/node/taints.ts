import type { Node, Taint } from '../objects.ts';
import { SHUTDOWN_TAINT } from '../service/nodes.ts';
import { jsonOf, mergeOf, type NodeOperation, type NodeWrite } from './write.ts';

/** Kubelet puts it on a Node that a cloud-controller-manager has to initialise; whatever its value and effect. */
export const UNINITIALIZED_TAINT = 'node.cloudprovider.kubernetes.io/uninitialized';
/** An instance that exists and is switched off. */
export const shutdownTaint: Taint = { key: SHUTDOWN_TAINT, effect: 'NoSchedule' };

type Predicate = (taint: Taint) => boolean;

const isUninitialized: Predicate = ({ key }) => key === UNINITIALIZED_TAINT;
const isShutdown: Predicate = ({ key, effect }) => key === shutdownTaint.key && effect === shutdownTaint.effect;

/** Waits for a cloud-controller-manager. */
export const isUninitializedNode = ({ spec }: Node): boolean => spec.taints?.some(isUninitialized) === true;
/** Shows that its instance is switched off. */
export const isShutdownNode = ({ spec }: Node): boolean => spec.taints?.some(isShutdown) === true;

/** Says that the Node is initialised; `undefined` when it says so already. */
export const removeUninitialized = (node: Node): NodeWrite | undefined =>
  removal(node, isUninitialized, 'the node is initialised');

/** `undefined` when the Node does not have the taint. */
export const removeShutdown = (node: Node): NodeWrite | undefined =>
  removal(node, isShutdown, 'the node is ready again');

/** `undefined` when the Node has the taint already. The list is atomic: the patch is refused when somebody changed the Node. */
export function addShutdown(node: Node): NodeWrite | undefined {
  if (isShutdownNode(node)) return undefined;
  const taints = [...(node.spec.taints ?? []), shutdownTaint];
  return {
    kind: 'AddNodeTaint',
    target: node.metadata.name,
    reason: 'its instance is shut down',
    ...mergeOf(node, { spec: { taints } }, { guarded: true }),
  };
}

/** Only these elements, each tested to be what it was: a taint that somebody else adds meanwhile stays. */
function removal(node: Node, isGone: Predicate, reason: string): NodeWrite | undefined {
  const operations = (node.spec.taints ?? []).flatMap((taint, index): readonly NodeOperation[] => {
    const path = `/spec/taints/${index}`;
    return isGone(taint) ? [{ op: 'test', path, value: taint }] : [];
  });
  if (operations.length === 0) return undefined;
  // From the last to the first, so that no removal moves what another one names.
  const removals = operations.map(({ path }): NodeOperation => ({ op: 'remove', path })).reverse();
  const target = node.metadata.name;
  return { kind: 'RemoveNodeTaint', target, reason, ...jsonOf(node, [...operations, ...removals]) };
}
