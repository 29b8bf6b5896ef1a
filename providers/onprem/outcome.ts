import { isProviderError } from '../../src/core/errors.ts';

/** What a failed write means for the object: somebody was faster, it may have been done, it was certainly not done. */
export type Outcome = 'conflict' | 'unknown' | 'refused';

export function outcomeOf(error: unknown): Outcome {
  switch (isProviderError(error) ? error.code : '') {
    case 'FL_KUBE_CONFLICT':
    case 'FL_KUBE_EXISTS':
    case 'FL_KUBE_NOT_FOUND':
      return 'conflict';
    case 'FL_KUBE_DENIED':
    case 'FL_KUBE_INVALID':
    case 'FL_KUBE_THROTTLED':
    case 'FL_KUBE_NOT_LEADER':
      return 'refused';
    default:
      // A server that answers 5xx may have written all the same: a proxy's 504, a time-out of etcd.
      return 'unknown';
  }
}

export const isCode = (error: unknown, code: string): boolean => isProviderError(error) && error.code === code;
