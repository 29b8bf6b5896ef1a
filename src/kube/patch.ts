import type { ResourceName } from '../core/provider.ts';
import type { Client } from './request.ts';
import { pathOf } from './resource.ts';

/** The object that a patch changes. */
export interface Target {
  readonly resource: ResourceName;
  /** Absent for objects of the cluster. */
  readonly namespace?: string;
  readonly name: string;
  readonly subresource?: 'status' | 'scale';
}

/** One operation of a JSON patch (RFC 6902). */
export type Operation =
  | { readonly op: 'add' | 'replace' | 'test'; readonly path: string; readonly value: unknown }
  | { readonly op: 'remove'; readonly path: string }
  | { readonly op: 'move' | 'copy'; readonly path: string; readonly from: string };

/**
 * Every patch that Fairlead sends, with field manager `fairlead`. All resolve with the object after the patch and
 * reject with ApiError: 409 when the body carries a resourceVersion that is not the object's, 422 when it carries only a
 * uid that is not (kube-apiserver 1.37: "field is immutable"), when a `test` fails or the result is not valid. So a write
 * that must not meet another object under the name carries both.
 */
export interface Patches {
  /** Strategic merge: lists with a merge key and finalizers are merged, `$patch` and `$deleteFromPrimitiveList` obeyed. Not for custom resources (415). */
  strategic<T>(target: Target, body: object, signal: AbortSignal): Promise<T>;
  /** JSON merge patch (RFC 7386): null removes, a list is replaced as a whole. */
  merge<T>(target: Target, body: object, signal: AbortSignal): Promise<T>;
  /** JSON patch (RFC 6902), all or nothing. */
  json<T>(target: Target, operations: readonly Operation[], signal: AbortSignal): Promise<T>;
  /** Server-side apply (KEP-555): creates, or takes the body for all that we want to own. `force` takes fields from other managers. */
  apply<T>(target: Target, body: object, how: { readonly force: boolean }, signal: AbortSignal): Promise<T>;
}

/** Who we are in managedFields. */
export const FIELD_MANAGER = 'fairlead';

export function createPatches(client: Client): Patches {
  const send = <T>(target: Target, kind: string, body: object, signal: AbortSignal, force?: boolean): Promise<T> => {
    const { resource, ...where } = target;
    return client.call<T>({
      method: 'PATCH',
      path: pathOf(resource, { ...where, query: { fieldManager: FIELD_MANAGER, force } }),
      contentType: `application/${kind}`,
      body,
      signal,
    });
  };
  return {
    strategic: (target, body, signal) => send(target, 'strategic-merge-patch+json', body, signal),
    merge: (target, body, signal) => send(target, 'merge-patch+json', body, signal),
    json: (target, operations, signal) => send(target, 'json-patch+json', operations, signal),
    // JSON is YAML: no further printer is needed.
    apply: (target, body, { force }, signal) => send(target, 'apply-patch+yaml', body, signal, force),
  };
}
