import { type ErrorCode, failure } from '../../src/core/errors.ts';
import type { Call } from '../../src/core/provider.ts';
import { type CloudErrorCode, isCloudError } from './cloud-error.ts';

/** The cloud's code -> ours, whose kind decides the retry. By code, never by message text. */
const codes: Readonly<Record<CloudErrorCode, ErrorCode>> = {
  AddressInUse: 'FL_MEMORY_QUOTA',
  AlreadyExists: 'FL_MEMORY_FOREIGN',
  Busy: 'FL_MEMORY_BUSY',
  Denied: 'FL_MEMORY_DENIED',
  // A balancer that went between look and write: the next look sees it.
  NotFound: 'FL_MEMORY_UNAVAILABLE',
  QuotaExceeded: 'FL_MEMORY_QUOTA',
  Throttled: 'FL_MEMORY_THROTTLED',
  Unavailable: 'FL_MEMORY_UNAVAILABLE',
};

/** Every call to the cloud goes through here: it takes its place in the limiter, and its errors become ProviderErrors. */
export async function callCloud<T>(call: Call, apiClass: 'read' | 'write', send: () => Promise<T>): Promise<T> {
  return await call.limit(
    async () => {
      try {
        return await send();
      } catch (error) {
        if (!isCloudError(error)) throw error; // the call was aborted
        const { code, message, retryAfterMs } = error;
        throw failure(codes[code], message, { cause: error, ...(retryAfterMs === undefined ? {} : { retryAfterMs }) });
      }
    },
    { class: apiClass },
  );
}
