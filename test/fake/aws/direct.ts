import { AwsError } from './error.ts';
import { type ServiceName, sdks } from './operations.ts';
import { errorNames } from './wire/schema.ts';

/** The same input without members that are undefined: what goes over the wire. */
export function stripped(value: object): object {
  return strip(value) as object;
}

function strip(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(strip);
  if (typeof value !== 'object' || value === null || value instanceof Date) return value;
  return Object.fromEntries(
    Object.entries(value).flatMap(([key, inner]) => (inner === undefined ? [] : [[key, strip(inner)]])),
  );
}

const names = new Map<ServiceName, ReadonlyMap<string, string>>();

/** What the SDK makes of the error: its name, status and message. */
export function sdkError(service: ServiceName, { code, message, status }: AwsError): Error {
  const known = names.get(service) ?? errorNames(sdks[service]);
  names.set(service, known);
  return Object.assign(new Error(message), {
    name: known.get(code) ?? code,
    $fault: status < 500 ? 'client' : 'server',
    $metadata: { httpStatusCode: status },
  });
}

/** What the SDK's own handler throws when a connection breaks. */
export function resetError(): Error {
  return Object.assign(new Error('socket hang up'), { name: 'TimeoutError', code: 'ECONNRESET' });
}

export function abortError(): Error {
  return Object.assign(new Error('Request aborted'), { name: 'AbortError' });
}

/** What the SDK makes of a page that is no answer of AWS. */
export function garbageError(): Error {
  return Object.assign(new Error('@aws-sdk XML parse error'), { $metadata: { httpStatusCode: 502 } });
}

export const isAwsError = (error: unknown): error is AwsError => error instanceof AwsError;
