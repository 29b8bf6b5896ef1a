import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { pipeline } from 'node:stream';
import type { TransportResponse } from '../../kube/request.ts';
import { protobufType, readProtobuf } from './protobuf.ts';
import { badRequest, failed, type StatusError, unauthorized } from './status.ts';
import { type Handler, TextBody } from './transport.ts';

export interface ListenOptions {
  /** Default 127.0.0.1. */
  readonly host?: string;
  /** 0 or a taken one: the system chooses. Default 0. */
  readonly port?: number;
  /** PEM; absent: http. */
  readonly tls?: { readonly key: string; readonly cert: string };
  /** Bearer token that every request must carry; absent: none. */
  readonly token?: string;
}

export interface Listening {
  /** 'http://127.0.0.1:43211'. */
  readonly url: string;
  readonly port: number;
  /** For kubectl and client-node, as YAML. */
  readonly kubeconfig: string;
  /** Cuts open connections and frees the port; `resume` takes it again. */
  pause(): Promise<void>;
  resume(): Promise<void>;
  /** As `pause`, for good. */
  close(): Promise<void>;
}

/** As kube-apiserver: etcd takes no larger object. */
const mostBodyBytes = 3 * 2 ** 20;

/** Serves the handler over HTTP, one connection error for each one that the handler rejects with. `isIssued`: tokens besides the admin's. */
export async function listenHttp(
  handle: Handler,
  options: ListenOptions,
  isIssued: (token: string) => boolean,
): Promise<Listening> {
  const { host = '127.0.0.1', port = 0, tls, token } = options;
  const accepts = (header: string | undefined): boolean => {
    const given = header?.replace(/^Bearer /, '');
    return token === undefined || (given !== undefined && (given === token || isIssued(given)));
  };
  const listener = (request: IncomingMessage, response: ServerResponse): void => {
    void serve(handle, accepts, request, response);
  };
  const server = tls === undefined ? createServer(listener) : createTlsServer(tls, listener);
  server.requestTimeout = 0;
  const bound = await bind(server, host, port);
  const url = `${tls === undefined ? 'http' : 'https'}://${host.includes(':') ? `[${host}]` : host}:${bound}`;
  return {
    url,
    port: bound,
    kubeconfig: kubeconfigOf(url, options),
    pause: () => closed(server),
    async resume() {
      if (!server.listening) await listenOn(server, host, bound);
    },
    close: () => closed(server),
  };
}

function closed(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}

async function bind(server: Server, host: string, port: number): Promise<number> {
  try {
    return await listenOn(server, host, port);
  } catch (error) {
    if (port === 0 || !(error instanceof Error && 'code' in error && error.code === 'EADDRINUSE')) throw error;
    return await listenOn(server, host, 0);
  }
}

function listenOn(server: Server, host: string, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => {
      server.off('error', reject);
      resolve((server.address() as AddressInfo).port);
    });
  });
}

function send(response: ServerResponse, { status, headers, body }: TransportResponse): void {
  const known = headers as Record<string, string>;
  if (body instanceof TextBody) {
    response.writeHead(status, { ...known, 'content-length': body.text.length }).end(body.text);
    return;
  }
  response.writeHead(status, known);
  response.flushHeaders();
  pipeline(body, response, (error) => {
    if (error) response.destroy();
  });
}

async function serve(
  handle: Handler,
  accepts: (authorization: string | undefined) => boolean,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const gone = new AbortController();
  response.once('close', () => gone.abort());
  try {
    if (!accepts(request.headers.authorization)) {
      refuse(response);
      return;
    }
    const body = await read(request);
    if (body === undefined) {
      fail(response, tooLarge());
      return;
    }
    const headers = Object.fromEntries(Object.entries(request.headers).map(([name, value]) => [name, String(value)]));
    const sent = parsed(response, () => textual(headers, body));
    if (sent === undefined) return;
    const answer = await handle({
      method: request.method ?? 'GET',
      path: request.url ?? '/',
      ...sent,
      signal: gone.signal,
    });
    send(response, answer);
  } catch {
    // The handler only rejects where a fault breaks the connection, and reading where the client did: break it.
    response.destroy();
  }
}

const tooLarge = (): StatusError =>
  failed(413, 'RequestEntityTooLarge', `Request entity too large: limit is ${mostBodyBytes}`);

const refuse = (response: ServerResponse): void => fail(response, unauthorized());

function fail(response: ServerResponse, { code, body }: StatusError): void {
  response.writeHead(code, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}

/** Undefined when the body cannot be read: then it is answered. */
function parsed<T>(response: ServerResponse, read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    fail(response, badRequest((error as Error).message));
    return undefined;
  }
}

/** Read to its end, so that the answer is not lost in a broken connection; undefined when it is too large. */
async function read(request: IncomingMessage): Promise<Buffer | undefined> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes <= mostBodyBytes) chunks.push(chunk);
    else chunks.length = 0;
  }
  return bytes > mostBodyBytes ? undefined : Buffer.concat(chunks);
}

/** The request as text: a protobuf body is read here, so that the rest of the server knows JSON only. */
function textual(
  headers: Readonly<Record<string, string>>,
  body: Buffer,
): { readonly headers: Readonly<Record<string, string>>; readonly body: string } {
  if (!(headers['content-type'] ?? '').startsWith(protobufType) || body.length === 0)
    return { headers, body: body.toString('utf8') };
  return { headers: { ...headers, 'content-type': 'application/json' }, body: JSON.stringify(readProtobuf(body)) };
}

/** `insecure-skip-tls-verify` also for http: client-node calls nothing on an http server without it. */
function kubeconfigOf(url: string, { token }: ListenOptions): string {
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'sandbox', cluster: { server: url, 'insecure-skip-tls-verify': true } }],
    users: [{ name: 'sandbox', user: token === undefined ? {} : { token } }],
    contexts: [{ name: 'sandbox', context: { cluster: 'sandbox', user: 'sandbox', namespace: 'default' } }],
    'current-context': 'sandbox',
  };
  return `${JSON.stringify(config, null, 2)}\n`;
}
