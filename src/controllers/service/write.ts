import { failure } from '../../core/errors.ts';
import { keyOf, type Service } from '../../core/objects.ts';
import type { StatusPatch } from '../../core/service/status.ts';
import { classify } from '../../kube/classify.ts';
import { isNotFound } from '../../kube/request.ts';
import { resources } from '../../kube/resource.ts';
import type { Parts } from './parts.ts';

/** The newest copy that this process knows: what a patch of ours returned, until the watch has brought it. */
export function latest({ memos }: Pick<Parts, 'memos'>, service: Service): Service {
  const written = memos.get(keyOf(service))?.written;
  return written?.base === service.metadata.resourceVersion ? written.object : service;
}

/**
 * Sends a status patch; resolves with the Service after it, or `undefined` when the Service is gone. `undefined` as patch
 * writes nothing. Throws ProviderErrors FL_KUBE_*.
 */
export async function writeStatus(
  { patches, leads, memos }: Pick<Parts, 'patches' | 'leads' | 'memos'>,
  service: Service,
  patch: StatusPatch | undefined,
  signal: AbortSignal,
): Promise<Service | undefined> {
  if (patch === undefined) return service;
  if (!leads())
    throw failure('FL_KUBE_NOT_LEADER', 'this process does not hold the lease any more; no status was written');
  const { name, namespace = '' } = service.metadata;
  const target = { resource: resources.services, namespace, name, subresource: 'status' as const };
  try {
    const object = await patches.strategic<Service>(target, patch, signal);
    const memo = memos.of(service, keyOf(service));
    // A second patch of one run starts from the first one's answer: the store's copy stays the base of both.
    const base = memo.written?.object === service ? memo.written.base : service.metadata.resourceVersion;
    memo.written = { base, object };
    return object;
  } catch (error) {
    if (isNotFound(error)) return undefined;
    throw classify(error);
  }
}
