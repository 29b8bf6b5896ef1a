import { failure } from '../../core/errors.ts';
import type { NodeWrite } from '../../core/node/write.ts';
import type { Node } from '../../core/objects.ts';
import { classify } from '../../kube/classify.ts';
import { FIELD_MANAGER } from '../../kube/patch.ts';
import { isNotFound } from '../../kube/request.ts';
import { pathOf, resources } from '../../kube/resource.ts';
import type { NodeParts } from './parts.ts';

type Parts = Pick<NodeParts, 'client' | 'patches' | 'leads' | 'metrics'>;

/**
 * One write to a Node; resolves with the Node after it, or with undefined when there is none any more. Throws
 * ProviderErrors FL_KUBE_*: a conflict, or FL_KUBE_INVALID for a test that failed, when somebody else was faster.
 */
export async function writeNode(
  parts: Parts,
  controller: string,
  write: NodeWrite,
  signal: AbortSignal,
): Promise<Node | undefined> {
  if (!parts.leads())
    throw failure('FL_KUBE_NOT_LEADER', 'this process does not hold the lease any more; no node was written');
  const count = (outcome: 'ok' | 'error') =>
    parts.metrics.count('fairlead_actions_total', { controller, kind: write.kind, outcome });
  try {
    const after = await send(parts, write, signal);
    count('ok');
    return after;
  } catch (error) {
    if (isNotFound(error)) return undefined;
    count('error');
    signal.throwIfAborted();
    throw classify(error);
  }
}

/** The Node as it is now, past every cache; undefined when there is none. */
export async function readNode({ client }: Parts, name: string, signal: AbortSignal): Promise<Node | undefined> {
  try {
    return await client.call<Node>({ method: 'GET', path: pathOf(resources.nodes, { name }), signal });
  } catch (error) {
    if (isNotFound(error)) return undefined;
    signal.throwIfAborted();
    throw classify(error);
  }
}

async function send({ client, patches }: Parts, write: NodeWrite, signal: AbortSignal): Promise<Node | undefined> {
  const target = { resource: resources.nodes, name: write.target };
  switch (write.as) {
    case 'merge': {
      const { body, subresource } = write;
      return await patches.merge<Node>(
        { ...target, ...(subresource === undefined ? {} : { subresource }) },
        body,
        signal,
      );
    }
    case 'json':
      return await patches.json<Node>(target, write.operations, signal);
    case 'delete': {
      const path = pathOf(resources.nodes, { name: write.target, query: { fieldManager: FIELD_MANAGER } });
      const body = { kind: 'DeleteOptions', apiVersion: 'v1', preconditions: write.preconditions };
      await client.call({ method: 'DELETE', path, body, signal });
      return undefined;
    }
    default:
      return write satisfies never;
  }
}
