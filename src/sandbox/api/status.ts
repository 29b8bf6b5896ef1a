import type { JsonObject } from './json.ts';

/** One entry of `details.causes`. */
export interface Cause {
  readonly reason?: string;
  readonly message?: string;
  readonly field?: string;
}

/** A `Status` of the API, meta/v1. */
export interface Status extends JsonObject {
  kind: 'Status';
  apiVersion: 'v1';
  metadata: JsonObject;
  status: 'Success' | 'Failure';
  message?: string;
  reason?: string;
  details?: JsonObject;
  code?: number;
}

/** Thrown anywhere below a request: the answer that the client gets. */
export class StatusError extends Error {
  override readonly name = 'StatusError';
  readonly body: Status;

  constructor(body: Status) {
    super(body.message);
    this.body = body;
  }
  get code(): number {
    return this.body.code ?? 500;
  }
}

export const isStatusError = (error: unknown): error is StatusError =>
  error instanceof Error && error.name === 'StatusError' && 'body' in error;

/** group and plural of a resource, as messages name it. */
export interface GroupResource {
  readonly group: string;
  readonly plural: string;
}
export const qualified = ({ group, plural }: GroupResource): string => (group === '' ? plural : `${plural}.${group}`);

/** A failure with every part given (apimachinery's api/errors has the wording that the functions below repeat). */
export function failed(code: number, reason: string, message: string, details?: JsonObject): StatusError {
  return new StatusError({
    kind: 'Status',
    apiVersion: 'v1',
    metadata: {},
    status: 'Failure',
    message,
    ...(reason === '' ? {} : { reason }),
    ...(details === undefined ? {} : { details }),
    code,
  });
}

/** What a successful delete answers with. */
export function deleted(resource: GroupResource, name: string, uid: string): Status {
  return {
    kind: 'Status',
    apiVersion: 'v1',
    metadata: {},
    status: 'Success',
    details: { name, ...grouped(resource), kind: resource.plural, uid },
  };
}

export const notFound = (resource: GroupResource, name: string): StatusError =>
  failed(404, 'NotFound', `${qualified(resource)} "${name}" not found`, named(resource, name));

/** Also kubectl's cue that a kind or a subresource does not exist. */
export const noSuchResource = (): StatusError =>
  failed(404, 'NotFound', 'the server could not find the requested resource', {});

export const alreadyExists = (resource: GroupResource, name: string): StatusError =>
  failed(409, 'AlreadyExists', `${qualified(resource)} "${name}" already exists`, named(resource, name));

export const conflict = (resource: GroupResource, name: string, why: string): StatusError =>
  failed(
    409,
    'Conflict',
    `Operation cannot be fulfilled on ${qualified(resource)} "${name}": ${why}`,
    named(resource, name),
  );

export const staleVersion = (resource: GroupResource, name: string): StatusError =>
  conflict(
    resource,
    name,
    'the object has been modified; please apply your changes to the latest version and try again',
  );

export const badRequest = (message: string): StatusError => failed(400, 'BadRequest', message);

export const forbidden = (resource: GroupResource, name: string, why: string, causes?: readonly Cause[]): StatusError =>
  failed(403, 'Forbidden', `${qualified(resource)} "${name}" is forbidden: ${why}`, {
    ...named(resource, name),
    ...(causes === undefined ? {} : { causes }),
  });

export const methodNotAllowed = (): StatusError =>
  failed(405, 'MethodNotAllowed', 'the server does not allow this method on the requested resource', {});

export const unsupportedMediaType = (accepted: readonly string[]): StatusError =>
  failed(
    415,
    'UnsupportedMediaType',
    `the body of the request was in an unknown format - accepted media types include: ${accepted.join(', ')}`,
  );

export const notAcceptable = (accepted: readonly string[]): StatusError =>
  failed(406, 'NotAcceptable', `406: Not Acceptable\n\nAvailable representations: ${accepted.join(', ')}`, {});

export const unauthorized = (): StatusError => failed(401, 'Unauthorized', 'Unauthorized');

export const internal = (why: string): StatusError =>
  failed(500, 'InternalError', `Internal error occurred: ${why}`, { causes: [{ message: why }] });

export const expired = (message: string): StatusError => failed(410, 'Expired', message);

/** A version that has not happened yet: the client asked a server that is behind. */
export function tooLargeVersion(asked: number, current: number): StatusError {
  return failed(504, 'Timeout', `Timeout: Too large resource version: ${asked}, current: ${current}`, {
    causes: [{ reason: 'ResourceVersionTooLarge', message: 'Too large resource version' }],
    retryAfterSeconds: 1,
  });
}

function named(resource: GroupResource, name: string): JsonObject {
  return { ...(name === '' ? {} : { name }), ...grouped(resource), kind: resource.plural };
}
const grouped = ({ group }: GroupResource): JsonObject => (group === '' ? {} : { group });
