/** An error as AWS answers it; `code` is AWS's own, without the SDK's `Exception`. */
export class AwsError extends Error {
  override readonly name = 'AwsError';
  readonly code: string;
  readonly status: number;
  constructor(code: string, message: string, status = 400) {
    super(message);
    this.code = code;
    this.status = status;
  }
}

/** ELBv2's word for a request that it does not understand. */
export function invalid(message: string): AwsError {
  return new AwsError('ValidationError', message);
}

/** EC2's. */
export function invalidValue(message: string): AwsError {
  return new AwsError('InvalidParameterValue', message);
}
