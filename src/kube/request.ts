import type { Readable } from 'node:stream';
import type { Clock } from '../core/provider.ts';
import { createBucket } from './bucket.ts';
import { mayHoldBigInteger, parse, print } from './json.ts';

export type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';

/** One request, as its author writes it. */
export interface Sent {
  readonly method: Method;
  /** Path and query from the server's root; resource.ts makes it. */
  readonly path: string;
  /** An object is sent as JSON (a bigint as an integer), a string as it is. */
  readonly body?: object | string;
  /** application/json, unless said. */
  readonly contentType?: string;
  readonly signal: AbortSignal;
  /** Not counted by `qps`: watches and the lease. */
  readonly exempt?: true;
  /** The answer goes on for as long as it likes (watch): only its headers have a time limit. */
  readonly stream?: true;
  /** Stands behind other writes and has a budget of its own (events): not counted by `qps` nor by `Client.quietMs`. */
  readonly background?: true;
}

/** One HTTP exchange; the seam for the in-process sandbox and for fault injection. Never throws for an HTTP status. */
export interface Transport {
  /** host:port for metrics; absent: in process. */
  readonly host?: string;
  send(request: TransportRequest): Promise<TransportResponse>;
  /** Ends idle connections; requests under way go on. */
  close(): void;
}
export interface TransportRequest {
  readonly method: string;
  readonly path: string;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly signal: AbortSignal;
  readonly stream?: true;
}
export interface TransportResponse {
  readonly status: number;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string | undefined>>;
  /** UTF-8 text. The receiver reads it to its end or destroys it. */
  readonly body: Readable;
}

export interface Client {
  /** Resolves with the body when the server has answered 2xx. Rejects with ApiError for any other status. */
  open(sent: Sent): Promise<Readable>;
  /** The whole answer, parsed; integers beyond 2^53 as bigint. Rejects with ApiError for any status but 2xx. */
  call<T>(sent: Sent): Promise<T>;
  /** For how long no write was under way that is neither `exempt` nor `background`; 0 while one is. */
  quietMs(): number;
  close(): void;
}

export interface ClientMetrics {
  /** Once per exchange. `code`: the status, or '<error>' without an answer (rest_client_requests_total, ..._duration_seconds). */
  request(exchange: {
    readonly method: string;
    readonly host: string;
    readonly code: string;
    /** Until the headers. */
    readonly seconds: number;
  }): void;
}

export interface ClientOptions {
  readonly transport: Transport;
  readonly clock: Clock;
  /** Requests per second in the long run; 0 or absent: no limit (--kube-api-qps). */
  readonly qps?: number;
  /** Requests at once; at least 1, `qps` rounded up when 0 or absent (--kube-api-burst). */
  readonly burst?: number;
  readonly metrics?: ClientMetrics;
  readonly userAgent?: string;
}

/** The server answered with a status other than 2xx (Kubernetes API conventions, "Response Status Kind"). */
export class ApiError extends Error {
  override readonly name = 'ApiError';
  readonly status: number;
  /** 'NotFound', 'AlreadyExists', 'Expired'; '' when the answer was no Status object. */
  readonly reason: string;
  /** From Retry-After or details.retryAfterSeconds. */
  readonly retryAfterMs: number | undefined;
  /** `details` of the Status object. */
  readonly details: unknown;

  constructor(
    status: number,
    reason: string,
    message: string,
    more: { readonly retryAfterMs?: number | undefined; readonly details?: unknown } = {},
  ) {
    super(message);
    this.status = status;
    this.reason = reason;
    this.retryAfterMs = more.retryAfterMs;
    this.details = more.details;
  }
}

/** By shape: an error may come from another copy of the class. */
export const isApiError = (error: unknown): error is ApiError =>
  error instanceof Error && error.name === 'ApiError' && 'status' in error;
export const isNotFound = (error: unknown): error is ApiError => isApiError(error) && error.status === 404;
/** The object was changed by somebody else since it was read. */
export const isConflict = (error: unknown): error is ApiError =>
  isApiError(error) && error.status === 409 && error.reason !== 'AlreadyExists';
export const isAlreadyExists = (error: unknown): error is ApiError =>
  isApiError(error) && error.status === 409 && error.reason === 'AlreadyExists';
/** The resourceVersion or the continue token is too old. */
export const isGone = (error: unknown): error is ApiError => isApiError(error) && error.status === 410;

export function createClient(options: ClientOptions): Client {
  const { transport, clock, metrics, userAgent = 'fairlead' } = options;
  const { host = 'in-process' } = transport;
  const admit = createBucket(options);
  let writing = 0;
  let wroteMs = Number.NEGATIVE_INFINITY;

  async function exchange(sent: Sent): Promise<TransportResponse> {
    const { method, path, signal, stream } = sent;
    const startMs = clock.monotonicMs();
    let code = '<error>';
    try {
      const response = await transport.send({
        method,
        path,
        headers: headersOf(sent, userAgent),
        signal,
        ...bodyOf(sent),
        ...(stream === undefined ? {} : { stream }),
      });
      code = String(response.status);
      return response;
    } finally {
      metrics?.request({ method, host, code, seconds: (clock.monotonicMs() - startMs) / 1000 });
    }
  }

  /** Each use of an answer is inside: the write counts as under way until its body is read. */
  async function perform<T>(sent: Sent, use: (body: Readable) => T | Promise<T>): Promise<T> {
    sent.signal.throwIfAborted();
    const isOrdinary = sent.exempt !== true && sent.background !== true;
    const counts = isOrdinary && sent.method !== 'GET';
    if (counts) writing += 1; // a write that waits for its turn is under way, too
    try {
      if (isOrdinary) await admit(sent.signal);
      const { status, headers, body } = await exchange(sent);
      if (status < 200 || status > 299) throw await toApiError(sent, status, headers, body);
      return await use(body);
    } finally {
      if (counts) {
        writing -= 1;
        wroteMs = clock.monotonicMs();
      }
    }
  }

  return {
    open: (sent) => perform(sent, (body) => body),
    call: <T>(sent: Sent) => perform(sent, async (body) => fromText<T>(await textOf(body))),
    quietMs: () => (writing > 0 ? 0 : clock.monotonicMs() - wroteMs),
    close: () => transport.close(),
  };
}

/** The whole body as text. Rejects when it ends early or is destroyed. */
export async function textOf(body: Readable): Promise<string> {
  let text = '';
  for await (const chunk of body) text += chunk as string;
  return text;
}

/** Splits at line feeds. A last line without one is cut off, not given: the connection broke in its middle. */
export async function* linesOf(body: Readable): AsyncGenerator<string, void> {
  let rest: string[] = []; // parts of a line whose end has not come
  for await (const chunk of body) {
    const parts = (chunk as string).split('\n');
    rest.push(parts[0] as string);
    if (parts.length === 1) continue;
    yield rest.join('');
    for (const line of parts.slice(1, -1)) yield line;
    rest = [parts.at(-1) as string];
  }
}

function fromText<T>(text: string): T {
  return (text === '' ? undefined : mayHoldBigInteger(text) ? parse(text) : JSON.parse(text)) as T;
}

function headersOf({ body, contentType }: Sent, userAgent: string): Record<string, string> {
  return {
    accept: 'application/json',
    'user-agent': userAgent,
    ...(body === undefined ? {} : { 'content-type': contentType ?? 'application/json' }),
  };
}

function bodyOf({ body }: Sent): { readonly body?: string } {
  if (body === undefined) return {};
  return { body: typeof body === 'string' ? body : print(body) };
}

interface Status {
  readonly kind?: unknown;
  readonly message?: unknown;
  readonly reason?: unknown;
  readonly details?: { readonly retryAfterSeconds?: unknown } | null;
}

/** More of an error page helps nobody. */
const ERROR_TEXT_LIMIT = 500;

async function toApiError(
  { method, path }: Sent,
  status: number,
  headers: TransportResponse['headers'],
  body: Readable,
): Promise<ApiError> {
  const where = `${method} ${path.split('?')[0]}`;
  // The status is what counts: a body that breaks off must not turn a 410 into a network fault.
  const text = await textOf(body).catch(() => '');
  const answer = statusFrom(text);
  const retryAfterMs = retryAfter(headers['retry-after'], answer?.details?.retryAfterSeconds);
  if (answer === undefined) {
    return new ApiError(status, '', `${where}: ${status} ${text.slice(0, ERROR_TEXT_LIMIT)}`.trimEnd(), {
      retryAfterMs,
    });
  }
  const reason = String(answer.reason ?? '');
  return new ApiError(status, reason, `${where}: ${answer.message ?? reason}`, {
    retryAfterMs,
    details: answer.details,
  });
}

/** An ERROR event of a watch holds a Status object: the same error as if it had been the answer. */
export function apiErrorOf(object: unknown): ApiError {
  const { code, reason, message, details } = object as Status & { readonly code?: unknown };
  return new ApiError(Number(code ?? 500), String(reason ?? ''), `watch: ${message ?? reason ?? 'no message'}`, {
    retryAfterMs: retryAfter(undefined, details?.retryAfterSeconds),
    details,
  });
}

function statusFrom(text: string): Status | undefined {
  try {
    const value = JSON.parse(text) as Status | null;
    return value?.kind === 'Status' ? value : undefined;
  } catch {
    return undefined; // a proxy's page in HTML: its text goes into the message
  }
}

/** The API server sends seconds, never a date (API conventions, "HTTP Status codes"). */
function retryAfter(header: string | undefined, seconds: unknown): number | undefined {
  const value = header === undefined || !/^\d+$/.test(header) ? Number(seconds ?? Number.NaN) : Number(header);
  return Number.isFinite(value) && value >= 0 ? value * 1000 : undefined;
}
