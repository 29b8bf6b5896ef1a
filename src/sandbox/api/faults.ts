import { Readable } from 'node:stream';
import type { Clock } from '../../core/provider.ts';
import type { TransportRequest, TransportResponse } from '../../kube/request.ts';
import { seededRandom } from './random.ts';
import { failed } from './status.ts';
import { bodyOf } from './transport.ts';
import { errorLine } from './watch.ts';

/** What goes wrong. 'After' means that the write has taken effect although its answer is lost. */
export type Effect =
  | { readonly kind: 'delay'; readonly ms: number }
  | {
      readonly kind: 'status';
      readonly status: number;
      readonly retryAfterSeconds?: number;
      readonly when?: 'before' | 'after';
    }
  /** The connection breaks: before the request is handled, after it, or after so many bytes of the answer. */
  | { readonly kind: 'reset'; readonly when: 'before' | 'after' }
  | { readonly kind: 'reset'; readonly when: 'body'; readonly afterBytes: number }
  /** Nobody listens. */
  | { readonly kind: 'refuse' }
  /** A watch ends, or its connection breaks, after so many events. */
  | { readonly kind: 'cut'; readonly afterEvents: number; readonly how: 'end' | 'reset' }
  /** A watch stays open and says nothing more after so many events. */
  | { readonly kind: 'silent'; readonly afterEvents: number }
  /** Every event of a watch comes twice. */
  | { readonly kind: 'duplicate' }
  /** Every event of a watch comes so much later. */
  | { readonly kind: 'late'; readonly ms: number }
  /** The body comes byte by byte: characters, lines and numbers are cut everywhere. */
  | { readonly kind: 'split' }
  /** The version is too old: as HTTP 410, or (watches) as an ERROR event. */
  | { readonly kind: 'gone'; readonly how: 'status' | 'event' }
  /** A list shows the world as it was so many revisions ago, as a server that lags behind does. */
  | { readonly kind: 'stale'; readonly revisions: number };

export type RequestVerb = 'get' | 'list' | 'watch' | 'create' | 'update' | 'patch' | 'delete';

/** One fault as data. Every condition that is given must hold; without any it hits the next request. */
export interface Fault {
  readonly verb?: RequestVerb | readonly RequestVerb[];
  /** Part of path and query: '/services/', '/leases'. */
  readonly path?: string;
  /** The number of the request, the first one since the start being 1. */
  readonly at?: number;
  /** So many matching requests pass before it hits. Default 0. */
  readonly skip?: number;
  /** How many requests it hits. Default 1; Infinity: all. */
  readonly times?: number;
  /** Of the matching requests, by the seed. Default 1. */
  readonly chance?: number;
  readonly effect: Effect;
}

/** A request that a fault hit. */
export interface Hit {
  readonly request: number;
  readonly method: string;
  readonly path: string;
  readonly effect: Effect;
}

export interface Faults {
  /** Several may hit one request. The function takes it away again. */
  add(fault: Fault): () => void;
  clear(): void;
  /** What happened so far, oldest first: a failed run is told by it. */
  readonly hits: readonly Hit[];
  /** Requests so far. */
  readonly requests: number;
}

export type Handle = (request: TransportRequest, staleBy?: number) => Promise<TransportResponse>;

/** A connection error as node:net gives it. */
export function connectionError(code: 'ECONNRESET' | 'ECONNREFUSED'): Error {
  return Object.assign(new Error(code === 'ECONNRESET' ? 'socket hang up' : 'connect ECONNREFUSED'), { code });
}

interface Armed {
  readonly fault: Fault;
  seen: number;
  hit: number;
}

/** Puts faults between a client and the server. Equal seeds, faults and requests give equal failures. */
export function createFaults(
  handle: Handle,
  { clock, seed }: { readonly clock: Clock; readonly seed: number },
): Faults & { readonly handle: Handle } {
  const random = seededRandom(seed);
  const armed: Armed[] = [];
  const hits: Hit[] = [];
  let requests = 0;
  return {
    hits,
    get requests() {
      return requests;
    },
    add(fault) {
      const entry = { fault, seen: 0, hit: 0 };
      armed.push(entry);
      return () => {
        const at = armed.indexOf(entry);
        if (at >= 0) armed.splice(at, 1);
      };
    },
    clear: () => void armed.splice(0),
    handle(request) {
      requests += 1;
      const effects = armed
        .filter((entry) => strikes(entry, request, requests, random))
        .map(({ fault }) => fault.effect);
      for (const effect of effects)
        hits.push({ request: requests, method: request.method, path: request.path, effect });
      return effects.length === 0 ? handle(request) : faulty(handle, request, effects, clock);
    },
  };
}

function strikes(entry: Armed, request: TransportRequest, number: number, random: () => number): boolean {
  const { verb, path, at, skip = 0, times = 1, chance = 1 } = entry.fault;
  if (entry.hit >= times) return false;
  if (at !== undefined && at !== number) return false;
  if (path !== undefined && !request.path.includes(path)) return false;
  if (verb !== undefined && ![verb].flat().includes(verbOf(request))) return false;
  entry.seen += 1;
  if (entry.seen <= skip || (chance < 1 && random() >= chance)) return false;
  entry.hit += 1;
  return true;
}

/** What a request is about, from its method and path alone. */
export function verbOf({ method, path }: { readonly method: string; readonly path: string }): RequestVerb {
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
      const [where = '', query = ''] = path.split('?');
      if (/(^|&)watch=(true|1)(&|$)/.test(query)) return 'watch';
      const rest = where.replace(/^\/(api\/[^/]+|apis\/[^/]+\/[^/]+)/, '').replace(/^\/namespaces\/[^/]+(?=\/.)/, '');
      return rest.split('/').length > 2 ? 'get' : 'list';
    }
  }
}

async function faulty(
  handle: Handle,
  request: TransportRequest,
  effects: readonly Effect[],
  clock: Clock,
): Promise<TransportResponse> {
  let staleBy = 0;
  for (const effect of effects) {
    if (effect.kind === 'delay') await clock.sleep(effect.ms, request.signal);
    if (effect.kind === 'refuse') throw connectionError('ECONNREFUSED');
    if (effect.kind === 'reset' && effect.when === 'before') throw connectionError('ECONNRESET');
    if (effect.kind === 'status' && effect.when !== 'after') return refusal(effect.status, effect.retryAfterSeconds);
    if (effect.kind === 'gone') return gone(request, effect.how);
    if (effect.kind === 'stale') staleBy += effect.revisions;
  }
  const answer = await (staleBy > 0 ? handle(request, staleBy) : handle(request));
  for (const effect of effects) {
    const lost = (effect.kind === 'reset' || effect.kind === 'status') && effect.when === 'after';
    if (!lost) continue;
    answer.body.destroy();
    if (effect.kind === 'reset') throw connectionError('ECONNRESET');
    if (effect.kind === 'status') return refusal(effect.status, effect.retryAfterSeconds);
  }
  return {
    ...answer,
    body: effects.reduce((body, effect) => tampered(body, effect, clock, request.signal), answer.body),
  };
}

const reasons: Readonly<Record<number, readonly [reason: string, message: string]>> = {
  401: ['Unauthorized', 'Unauthorized'],
  403: ['Forbidden', 'forbidden by a fault'],
  404: ['NotFound', 'not found by a fault'],
  409: [
    'Conflict',
    'Operation cannot be fulfilled: the object has been modified; please apply your changes to the latest version and try again',
  ],
  410: ['Expired', 'The resourceVersion for the provided watch is too old.'],
  429: ['TooManyRequests', 'the server has received too many requests and has asked us to try again later'],
  500: ['InternalError', 'Internal error occurred: a fault'],
  503: ['ServiceUnavailable', 'the server is currently unable to handle the request'],
  504: ['Timeout', 'Timeout: request did not complete within the allotted timeout'],
};

function refusal(status: number, retryAfterSeconds?: number): TransportResponse {
  const [reason, message] = reasons[status] ?? ['', `status ${status} by a fault`];
  const { body } = failed(status, reason, message, retryAfterSeconds === undefined ? undefined : { retryAfterSeconds });
  return {
    status,
    headers: {
      'content-type': 'application/json',
      ...(retryAfterSeconds === undefined ? {} : { 'retry-after': String(retryAfterSeconds) }),
    },
    body: bodyOf(JSON.stringify(body)),
  };
}

function gone(request: TransportRequest, how: 'status' | 'event'): TransportResponse {
  if (how === 'status' || verbOf(request) !== 'watch') return refusal(410);
  const body = new Readable({ read() {} });
  const asked = Number(/[?&]resourceVersion=(\d+)/.exec(request.path)?.[1] ?? 0);
  body.push(errorLine(asked, asked + 1));
  body.push(null);
  return { status: 200, headers: { 'content-type': 'application/json' }, body };
}

function tampered(body: Readable, effect: Effect, clock: Clock, signal: AbortSignal): Readable {
  switch (effect.kind) {
    case 'split':
      return rewritten(body, (chunk, out) => {
        for (const byte of chunk) out.push(Buffer.of(byte));
      });
    case 'reset': {
      if (effect.when !== 'body') return body;
      let left = effect.afterBytes;
      return rewritten(body, (chunk, out) => {
        if (left > 0) out.push(chunk.subarray(0, left));
        left -= chunk.length;
        if (left < 0) out.destroy(connectionError('ECONNRESET'));
      });
    }
    case 'duplicate':
      return byEvent(body, (line, out) => {
        out.push(line);
        out.push(line);
      });
    case 'late':
      return byEvent(body, (line, out) => {
        clock.sleep(effect.ms, signal).then(
          () => void (out.destroyed || out.push(line)),
          () => {},
        );
      });
    case 'silent': {
      let count = 0;
      return byEvent(
        body,
        (line, out) => {
          count += 1;
          if (count <= effect.afterEvents) out.push(line);
        },
        { staysOpen: true },
      );
    }
    case 'cut': {
      let left = effect.afterEvents;
      const cut = (out: Readable): void => {
        if (effect.how === 'reset') out.destroy(connectionError('ECONNRESET'));
        else {
          out.push(null);
          body.destroy();
        }
      };
      const out = byEvent(body, (line, into) => {
        if (left <= 0) return;
        into.push(line);
        left -= 1;
        if (left === 0) cut(into);
      });
      if (left <= 0) cut(out);
      return out;
    }
    default:
      return body;
  }
}

/** A body whose chunks go through `change`; closing either closes the other. */
function rewritten(
  source: Readable,
  change: (chunk: Buffer, out: Readable) => void,
  { staysOpen }: { readonly staysOpen?: true } = {},
): Readable {
  const out = new Readable({
    read() {},
    highWaterMark: 2 ** 28,
    destroy(error, done) {
      source.destroy();
      done(error);
    },
  });
  source.on('data', (chunk: Buffer) => {
    if (!out.destroyed && !out.readableEnded) change(chunk, out);
  });
  source.once('end', () => {
    if (staysOpen !== true && !out.destroyed) out.push(null);
  });
  source.once('error', (error) => out.destroy(error));
  return out;
}

/** The same for each line of a watch, its newline included. */
function byEvent(
  source: Readable,
  change: (line: Buffer, out: Readable) => void,
  how: { readonly staysOpen?: true } = {},
): Readable {
  let rest = Buffer.alloc(0);
  return rewritten(
    source,
    (chunk, out) => {
      rest = Buffer.concat([rest, chunk]);
      for (let end = rest.indexOf(10); end >= 0 && !out.destroyed; end = rest.indexOf(10)) {
        const line = Buffer.from(rest.subarray(0, end + 1));
        rest = rest.subarray(end + 1);
        change(line, out);
      }
    },
    how,
  );
}
