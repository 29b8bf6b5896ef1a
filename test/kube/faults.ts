/**
 * Faults as data, laid over anything that answers requests as a Transport does: the fault proxy before a real API
 * server, or the sandbox in this process. Which request is hit depends on the order of requests alone.
 */
import { Readable, Transform } from 'node:stream';
import type { Transport, TransportRequest, TransportResponse } from '../../src/kube/request.ts';
import type { Timers } from '../../src/work/clock.ts';

export interface Fault {
  readonly on: Match;
  /** So many matching requests go by unharmed first (0). */
  readonly skip?: number;
  /** So many are hit then (1); 'all': until `clear`. */
  readonly times?: number | 'all';
  readonly does: Effect;
}
export interface Match {
  /** What a request is for; absent: anything. */
  readonly verb?: Verb | readonly Verb[];
  /** A part of the path: '/services'. */
  readonly path?: string;
}
export type Verb = 'get' | 'list' | 'watch' | 'create' | 'update' | 'patch' | 'delete';

export type Effect =
  /** The answer comes later. */
  | { readonly kind: 'delay'; readonly ms: number }
  /** Answered without taking effect: 429 with Retry-After, 500, 503, 410, 409. */
  | { readonly kind: 'status'; readonly status: number; readonly retryAfterSeconds?: number }
  /** The connection breaks before the request took effect, or after it did and before the answer. */
  | { readonly kind: 'reset'; readonly when: 'before' | 'after' }
  /** The connection breaks in the middle of the answer: after whole lines of a watch, else after bytes of a body. */
  | { readonly kind: 'cut'; readonly after: number }
  /** A watch stays open and says nothing more after so many lines. */
  | { readonly kind: 'silence'; readonly after: number }
  /** A watch ends with an ERROR event 410 after so many lines. */
  | { readonly kind: 'expire'; readonly after: number }
  /** Every event of a watch comes twice. */
  | { readonly kind: 'duplicate' }
  /** Everything in the body comes so much later, in order. */
  | { readonly kind: 'late'; readonly ms: number }
  /** The body comes byte by byte, also within a character. */
  | { readonly kind: 'split' };

export type Handler = (request: TransportRequest) => Promise<TransportResponse>;

export interface Faults {
  /** Laid over a handler; a broken connection is a rejection or a body that ends with an error. */
  over(handler: Handler): Handler;
  /** The same for a client in this process: its bodies stay text. */
  transport(inner: Transport): Transport;
  /** The first fault that matches and is not used up hits. */
  add(...faults: readonly Fault[]): void;
  /** Nothing is hit any more; silent and late watches that exist stay so. */
  clear(): void;
  /** Faults that are not used up, 'all' ones included. */
  readonly left: number;
  /** 'watch /api/v1/services: cut', in the order of requests: what hit whom. */
  readonly hits: readonly string[];
}

export function createFaults({ timers }: { readonly timers: Timers }): Faults {
  const planned: { readonly fault: Fault; skip: number; times: number }[] = [];
  const hits: string[] = [];

  const hitting = (request: TransportRequest): Effect | undefined => {
    for (const plan of planned) {
      if (!isMeant(plan.fault.on, request) || plan.times === 0) continue;
      if (plan.skip > 0) {
        plan.skip -= 1;
        continue;
      }
      plan.times -= 1;
      hits.push(`${verbOf(request)} ${request.path.split('?')[0]}: ${plan.fault.does.kind}`);
      return plan.fault.does;
    }
    return undefined;
  };

  const over = (handler: Handler): Handler => {
    return async (request) => {
      const effect = hitting(request);
      return effect === undefined ? handler(request) : suffer(effect, request, handler, timers);
    };
  };

  return {
    over,
    transport(inner) {
      const send = over((request) => inner.send(request));
      return {
        ...inner,
        async send(request) {
          const response = await send(request);
          response.body.setEncoding('utf8');
          return response;
        },
        close: () => inner.close(),
      };
    },
    add(...faults) {
      for (const fault of faults) {
        const { skip = 0, times = 1 } = fault;
        planned.push({ fault, skip, times: times === 'all' ? Number.POSITIVE_INFINITY : times });
      }
    },
    clear() {
      planned.length = 0;
    },
    get left() {
      return planned.filter(({ times }) => times > 0).length;
    },
    get hits() {
      return [...hits];
    },
  };
}

/** From method, path and query, as the API server names it. */
export function verbOf({ method, path }: Pick<TransportRequest, 'method' | 'path'>): Verb {
  const url = new URL(path, 'http://api');
  switch (method) {
    case 'POST':
      return 'create';
    case 'PUT':
      return 'update';
    case 'PATCH':
      return 'patch';
    case 'DELETE':
      return 'delete';
    default: {
      const watch = url.searchParams.get('watch');
      if (watch === 'true' || watch === '1') return 'watch';
      return isCollection(url.pathname) ? 'list' : 'get';
    }
  }
}

/** /api/v1/[namespaces/NS/]PLURAL or /apis/G/V/[namespaces/NS/]PLURAL. */
function isCollection(path: string): boolean {
  const parts = path.split('/').filter((part) => part !== '');
  const rest = parts[0] === 'api' ? parts.slice(2) : parts[0] === 'apis' ? parts.slice(3) : [];
  return rest.length === 1 || (rest.length === 3 && rest[0] === 'namespaces');
}

function isMeant({ verb, path }: Match, request: TransportRequest): boolean {
  if (path !== undefined && !request.path.includes(path)) return false;
  return verb === undefined || [verb].flat().includes(verbOf(request));
}

async function suffer(
  effect: Effect,
  request: TransportRequest,
  handler: Handler,
  timers: Timers,
): Promise<TransportResponse> {
  switch (effect.kind) {
    case 'delay':
      await pause(timers, effect.ms, request.signal);
      return handler(request);
    case 'status':
      return statusAnswer(effect.status, effect.retryAfterSeconds);
    case 'reset':
      if (effect.when === 'after') await finished(await handler(request), verbOf(request));
      throw broken();
    case 'cut':
      return verbOf(request) === 'watch'
        ? withLines(await handler(request), (lines) => take(lines, effect.after, () => Promise.reject(broken())))
        : withBytes(await handler(request), (bytes) => cutAt(bytes, effect.after));
    case 'silence':
      return withLines(await handler(request), (lines) =>
        take(lines, effect.after, () => untilAborted(request.signal)),
      );
    case 'expire':
      return withLines(await handler(request), (lines) => take(lines, effect.after, async () => [expired]));
    case 'duplicate':
      return withLines(await handler(request), twice);
    case 'late': {
      const response = await handler(request);
      return { ...response, body: late(response.body, effect.ms, timers) };
    }
    case 'split':
      return withBytes(await handler(request), oneByOne);
    default:
      return effect satisfies never;
  }
}

const reasons: Readonly<Record<number, string>> = {
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'NotFound',
  409: 'Conflict',
  410: 'Expired',
  429: 'TooManyRequests',
  500: 'InternalError',
  503: 'ServiceUnavailable',
  504: 'Timeout',
};

function statusAnswer(code: number, retryAfterSeconds: number | undefined): TransportResponse {
  const retry = retryAfterSeconds === undefined ? {} : { 'retry-after': String(retryAfterSeconds) };
  return {
    status: code,
    headers: { 'content-type': 'application/json', ...retry },
    body: bodyOf([JSON.stringify(statusObject(code, retryAfterSeconds))]),
  };
}

function statusObject(code: number, retryAfterSeconds?: number): object {
  return {
    kind: 'Status',
    apiVersion: 'v1',
    metadata: {},
    status: 'Failure',
    message: `a fault of the test: ${code}`,
    reason: reasons[code] ?? 'Unknown',
    ...(retryAfterSeconds === undefined ? {} : { details: { retryAfterSeconds } }),
    code,
  };
}

const expired = `${JSON.stringify({ type: 'ERROR', object: statusObject(410) })}\n`;

/** What a socket says that was destroyed by the other end. */
function broken(): NodeJS.ErrnoException {
  return Object.assign(new Error('read ECONNRESET (a fault of the test)'), { code: 'ECONNRESET' });
}

/** The effect of a request is certain only once its whole answer is there; a watch has none and never ends. */
async function finished({ body }: TransportResponse, verb: Verb): Promise<void> {
  if (verb === 'watch') body.destroy();
  else for await (const _ of body);
}

type Lines = AsyncIterable<string>;

function withLines(response: TransportResponse, change: (lines: Lines) => Lines): TransportResponse {
  return { ...response, body: bodyOf(change(linesOf(response.body)), response.body) };
}

function withBytes(
  response: TransportResponse,
  change: (bytes: AsyncIterable<Buffer>) => AsyncIterable<Buffer>,
): TransportResponse {
  const bytes = response.body.pipe(new Transform({ transform: (chunk, _, done) => done(null, Buffer.from(chunk)) }));
  response.body.once('error', (error) => bytes.destroy(error));
  return { ...response, body: bodyOf(change(bytes), response.body) };
}

/** A body that destroys its source when it is destroyed. */
function bodyOf(chunks: Iterable<string> | AsyncIterable<string | Buffer>, source?: Readable): Readable {
  const body = Readable.from(chunks, { objectMode: false });
  body.once('close', () => source?.destroy());
  return body;
}

async function* linesOf(body: Readable): Lines {
  let rest = '';
  for await (const chunk of body) {
    const lines = (rest + chunk).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) yield `${line}\n`;
  }
  if (rest !== '') yield rest;
}

async function* take(lines: Lines, count: number, then: () => Promise<readonly string[]>): Lines {
  let left = count;
  if (left > 0) {
    for await (const line of lines) {
      yield line;
      left -= 1;
      if (left === 0) break;
    }
  }
  // A watch that ended before by itself ends as it did.
  if (left === 0) yield* await then();
}

async function* twice(lines: Lines): Lines {
  for await (const line of lines) {
    yield line;
    yield line;
  }
}

/** Each part is late by itself: what comes together stays together. */
function late(source: Readable, ms: number, timers: Timers): Readable {
  const body = new Readable({ read() {} });
  const cancels = new Set<() => void>();
  const then = (run: () => void): void => {
    const cancel = timers.after(ms, () => {
      cancels.delete(cancel);
      run();
    });
    cancels.add(cancel);
  };
  source.on('data', (chunk: string | Buffer) => then(() => body.push(chunk)));
  source.once('end', () => then(() => body.push(null)));
  source.once('error', (error) => then(() => body.destroy(error)));
  body.once('close', () => {
    for (const cancel of cancels) cancel();
    source.destroy();
  });
  return body;
}

async function* cutAt(bytes: AsyncIterable<Buffer>, after: number): AsyncIterable<Buffer> {
  let left = after;
  for await (const chunk of bytes) {
    if (chunk.length >= left) {
      if (left > 0) yield chunk.subarray(0, left);
      throw broken();
    }
    left -= chunk.length;
    yield chunk;
  }
  throw broken(); // also a body that is shorter
}

async function* oneByOne(bytes: AsyncIterable<Buffer>): AsyncIterable<Buffer> {
  for await (const chunk of bytes) {
    for (let at = 0; at < chunk.length; at += 1) yield chunk.subarray(at, at + 1);
  }
}

function untilAborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    if (signal.aborted) reject(signal.reason as Error);
    signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
  });
}

function pause(timers: Timers, ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const cancel = timers.after(ms, resolve);
    signal.addEventListener(
      'abort',
      () => {
        cancel();
        reject(signal.reason as Error);
      },
      { once: true },
    );
  });
}
