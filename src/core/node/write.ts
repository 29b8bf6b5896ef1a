import type { Node } from '../objects.ts';
import type { Action } from '../provider.ts';

/** One operation of a JSON patch (RFC 6902), as far as Nodes need it. */
export type NodeOperation =
  | { readonly op: 'test'; readonly path: string; readonly value: unknown }
  | { readonly op: 'remove'; readonly path: string };

export type NodeWriteKind =
  | 'SetNodeIdentity'
  | 'SetNodeAddresses'
  | 'RemoveNodeTaint'
  | 'AddNodeTaint'
  | 'SetPodCidrs'
  | 'DeleteNode';

/**
 * One write to a Node, as data. Each carries the uid, so that it never meets another Node of the same name. A merge patch
 * (RFC 7386) holds our keys only; a list, which it replaces as a whole, goes with the resourceVersion it was read at.
 */
export type NodeWrite = Action<NodeWriteKind> &
  (
    | { readonly as: 'merge'; readonly body: object; readonly subresource?: 'status' }
    | { readonly as: 'json'; readonly operations: readonly NodeOperation[] }
    | { readonly as: 'delete'; readonly preconditions: { readonly uid: string; readonly resourceVersion: string } }
  );

/** A merge patch of the Node itself. `guarded`: refused (409) when anybody has changed the Node since this copy. */
export function mergeOf(
  { metadata: { uid, resourceVersion } }: Node,
  { metadata = {}, spec }: { readonly metadata?: object; readonly spec?: object },
  { guarded = false }: { readonly guarded?: boolean } = {},
): { readonly as: 'merge'; readonly body: object } {
  const own = { uid, ...(guarded ? { resourceVersion } : {}), ...metadata };
  return { as: 'merge', body: { metadata: own, ...(spec === undefined ? {} : { spec }) } };
}

/** A merge patch of the Node's status. */
export function mergeStatusOf({ metadata: { uid } }: Node, status: object) {
  return { as: 'merge', subresource: 'status', body: { metadata: { uid }, status } } as const;
}

/** A JSON patch that finds the same Node, or fails (422). */
export function jsonOf({ metadata: { uid } }: Node, operations: readonly NodeOperation[]) {
  return { as: 'json', operations: [{ op: 'test', path: '/metadata/uid', value: uid }, ...operations] } as const;
}
