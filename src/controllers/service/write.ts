import { failure } from '../../core/errors.ts';
import { keyOf, type Service } from '../../core/objects.ts';
import type { StatusPatch } from '../../core/service/status.ts';
import { classify } from '../../kube/classify.ts';
import { isNotFound } from '../../kube/request.ts';
import { resources } from '../../kube/resource.ts';
import type { Parts } from './parts.ts';

/** What our own patches made of this copy; the copy itself when there were none, or when somebody else changed it. */
export function latest({ memos }: Pick<Parts, 'memos'>, service: Service): Service {
  const written = memos.get(keyOf(service))?.written;
  return written?.from.includes(service.metadata.resourceVersion) === true ? written.object : service;
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
    const { resourceVersion } = service.metadata;
    const { from, object: last } = memo.written ?? {};
    const isOurs = last?.metadata.resourceVersion === resourceVersion;
    memo.written = { from: [...(isOurs ? (from ?? []) : []), resourceVersion], object };
    return object;
  } catch (error) {
    if (isNotFound(error)) return undefined;
    throw classify(error);
  }
}
