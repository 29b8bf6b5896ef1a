import { failure, isProviderError, type ProviderError } from '../core/errors.ts';
import { isApiError } from './request.ts';

/**
 * Any failure of a request to the API server as a ProviderError of the codes FL_KUBE_*, the original as its cause.
 * Everything but an answer of the server is FL_KUBE_UNREACHABLE: the write may or may not have taken effect.
 */
export function classify(error: unknown): ProviderError {
  if (isProviderError(error)) return error;
  if (!isApiError(error)) {
    const text = error instanceof Error ? error.message : String(error);
    return failure('FL_KUBE_UNREACHABLE', `no answer from the API server: ${text}`, { cause: error });
  }
  const details = { cause: error, ...(error.retryAfterMs === undefined ? {} : { retryAfterMs: error.retryAfterMs }) };
  return failure(
    codeOf(error.status, error.reason),
    `the API server answered ${error.status}: ${error.message}`,
    details,
  );
}

function codeOf(status: number, reason: string) {
  if (status === 409) return reason === 'AlreadyExists' ? 'FL_KUBE_EXISTS' : 'FL_KUBE_CONFLICT';
  if (status === 401 || status === 403) return 'FL_KUBE_DENIED';
  if (status === 404) return 'FL_KUBE_NOT_FOUND';
  if (status === 400 || status === 422) return 'FL_KUBE_INVALID';
  if (status === 429) return 'FL_KUBE_THROTTLED';
  return 'FL_KUBE_REQUEST';
}
