import { once } from 'node:events';
import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { failure } from '../core/errors.ts';
import type { Log } from '../core/provider.ts';
import type { Timers } from '../work/clock.ts';
import { type Files, readCertificate, watchCertificate } from './certificate.ts';
import type { Answer } from './checks.ts';

/** `undefined`: no such page. A rejection becomes 500 without its text, which is logged. */
export type Responder = (asked: Asked) => Promise<Answer | undefined>;
export interface Asked {
  readonly url: URL;
  /** Of a POST, as UTF-8; '' of any other. */
  readonly body: string;
  /** The connection came over the loopback interface. */
  readonly isLocal: boolean;
  readonly authorization: string | undefined;
}

export interface ServeOptions {
  readonly respond: Responder;
  /** Absent: all addresses. */
  readonly host?: string;
  /** 0: any free one. */
  readonly port: number;
  /** The flag that an error about the address names. */
  readonly flag: string;
  /** Files; read again when they change. Absent: plain HTTP. */
  readonly tls?: Files;
  /** POST only. Absent: GET and HEAD only. */
  readonly posts?: true;
  readonly clock: Timers;
  readonly log: Log;
}

export interface Serving {
  readonly port: number;
  /** Ends connections and resolves when the port is free. */
  close(): Promise<void>;
}

/** A client that sends its request this slowly is not one of ours. */
const REQUEST_TIMEOUT_MS = 10_000;
/** An object has 1.5 MiB at most (etcd), and a review of it not much more. */
const LONGEST_BODY = 8 * 1024 * 1024;

/**
 * Serves pages over HTTP or HTTPS. Throws FL_SERVE_ADDRESS when the address cannot be had, FL_SERVE_CERTIFICATE when the
 * files do not hold a certificate and its key.
 */
export async function serve(options: ServeOptions): Promise<Serving> {
  const { host, port, flag, tls, clock, log } = options;
  const limits = { requestTimeout: REQUEST_TIMEOUT_MS, headersTimeout: REQUEST_TIMEOUT_MS };
  const listener = toListener(options);
  let server: Server;
  let unwatch = (): void => {};
  if (tls === undefined) {
    server = createServer(limits, listener);
  } else {
    const pair = await readCertificate(tls);
    const secure = createTlsServer({ ...limits, ...pair, minVersion: 'TLSv1.2' }, listener);
    unwatch = watchCertificate({ files: tls, first: pair, clock, log, use: (fresh) => secure.setSecureContext(fresh) });
    server = secure;
  }
  try {
    server.listen(host === undefined ? { port } : { port, host });
    await once(server, 'listening');
  } catch (error) {
    unwatch();
    const address = host === undefined ? `port ${port}` : `${host}:${port}`;
    throw failure('FL_SERVE_ADDRESS', `${flag}: cannot listen on ${address}: ${codeOf(error)}`, {
      cause: error,
      field: flag,
    });
  }
  server.on('error', (error) => log.error({ err: error, flag }, 'server failed'));
  return {
    port: (server.address() as AddressInfo).port,
    async close() {
      unwatch();
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : String(error);
}

function toListener({ respond, posts, log }: ServeOptions): RequestListener {
  return (request, response) => {
    void answer(respond, request, posts === true)
      .catch((error: unknown): Answer => {
        log.warn({ err: error, path: request.url }, 'request failed');
        return text(500, 'Internal error; the log says more.');
      })
      .then((page) => send(request, response, page));
  };
}

async function answer(respond: Responder, request: IncomingMessage, posts: boolean): Promise<Answer> {
  const { method } = request;
  if (posts ? method !== 'POST' : method !== 'GET' && method !== 'HEAD')
    return text(405, posts ? 'Only POST.' : 'Only GET.');
  if (!URL.canParse(request.url ?? '', 'http://host')) return text(400, 'Not a path.');
  const url = new URL(request.url ?? '', 'http://host');
  const { authorization } = request.headers;
  const body = posts ? await bodyOf(request) : '';
  if (body === undefined) return text(413, `More than ${LONGEST_BODY} bytes.`);
  const page = await respond({ url, body, authorization, isLocal: isLoopback(request.socket.remoteAddress) });
  return page ?? text(404, 'Not found.');
}

/** `undefined`: it is too long. What is left of it then is read and dropped, or the client would not see the answer. */
async function bodyOf(request: IncomingMessage): Promise<string | undefined> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size <= LONGEST_BODY) chunks.push(chunk);
  }
  return size > LONGEST_BODY ? undefined : Buffer.concat(chunks).toString('utf8');
}

function send(
  request: IncomingMessage,
  response: ServerResponse,
  { status, contentType, body, headers }: Answer,
): void {
  response.writeHead(status, {
    'content-type': contentType,
    'content-length': Buffer.byteLength(body),
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
    ...headers,
  });
  response.end(request.method === 'HEAD' ? undefined : body);
}

/** A short answer for people. */
export function text(status: number, line: string): Answer {
  return { status, contentType: 'text/plain; charset=utf-8', body: `${line}\n` };
}

function isLoopback(address: string | undefined): boolean {
  if (address === undefined) return false;
  return address === '::1' || address.replace(/^::ffff:/, '').startsWith('127.');
}
