/** What the memory cloud answers a call that it does not take. */
export type CloudErrorCode =
  | 'AddressInUse'
  | 'AlreadyExists'
  | 'Busy'
  | 'Denied'
  | 'NotFound'
  | 'QuotaExceeded'
  | 'Throttled'
  | 'Unavailable';

export class CloudError extends Error {
  override readonly name = 'CloudError';
  readonly code: CloudErrorCode;
  readonly retryAfterMs: number | undefined;
  constructor(code: CloudErrorCode, message: string, retryAfterMs?: number) {
    super(message);
    this.code = code;
    this.retryAfterMs = retryAfterMs;
  }
}
export const isCloudError = (error: unknown, code?: CloudErrorCode): error is CloudError =>
  error instanceof CloudError && (code === undefined || error.code === code);
