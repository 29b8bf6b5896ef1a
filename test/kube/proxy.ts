/**
 * A fault proxy: it stands before an API server, ends TLS with that server's own certificate, and passes every request
 * on, faults in between. A controller in another process, or kubectl, gets `kubeconfig`; who it is stays with the token
 * that it sends.
 */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { pipeline, type Readable, Transform } from 'node:stream';
import { text } from 'node:stream/consumers';
import { httpTransport, loadKubeConfig } from '../../src/kube/config.ts';
import { createHttpTransport } from '../../src/kube/http.ts';
import {
  type Client,
  createClient,
  type Transport,
  type TransportRequest,
  type TransportResponse,
} from '../../src/kube/request.ts';
import { createFaults, type Faults, type Handle } from '../../src/sandbox/api/faults.ts';
import { systemClock } from '../../src/work/clock.ts';
import { type Api, freePort, type Scope } from './cluster.ts';

export interface FaultProxy {
  readonly url: string;
  /** The admin's, with this proxy as the server. For another user: `api.writeKubeconfig({ name, token, url: proxy.url })`. */
  readonly kubeconfig: string;
  /** The sandbox's, laid over the real server: the same faults, the same schedules. 'refuse' is a reset here: see `refuse`. */
  readonly faults: Faults;
  /** Our own way through it, as the admin. */
  transport(): Transport;
  client(): Client;
  /** Breaks every connection and refuses new ones until `accept`. */
  refuse(): Promise<void>;
  accept(): Promise<void>;
}

/** A proxy before this server, until the scope ends. It outlives a kill of the server, whose absence is a reset. */
export async function faultProxy(
  scope: Scope,
  api: Api,
  { seed = 1 }: { readonly seed?: number } = {},
): Promise<FaultProxy> {
  const upstream = createHttpTransport({
    url: api.url,
    credentials: async () => ({
      headers: {},
      ...(isTls(api) ? { ca: readFileSync(api.caFile) } : {}),
    }),
    renew: () => {},
  });
  const faults = createFaults(passedTo(upstream), { clock: systemClock, seed });
  const port = await freePort();
  let server: Server | undefined;
  const accept = async (): Promise<void> => {
    if (server !== undefined) return;
    server = serverLike(api, (request, response) => void serve(faults.handle, request, response));
    server.listen({ port, host: '127.0.0.1' });
    await once(server, 'listening');
  };
  const refuse = async (): Promise<void> => {
    const closing = server;
    server = undefined;
    if (closing === undefined) return;
    const closed = once(closing, 'close');
    closing.close();
    closing.closeAllConnections();
    await closed;
  };
  await accept();
  const url = `${new URL(api.url).protocol}//127.0.0.1:${port}`;
  const kubeconfig = api.writeKubeconfig({ name: 'admin-by-proxy', url });
  const transports: Transport[] = [upstream];
  const transport = (): Transport => {
    const made = httpTransport(loadKubeConfig({ kubeconfig, env: {} }));
    transports.push(made);
    return made;
  };
  scope.after(async () => {
    for (const made of transports) made.close();
    await refuse();
  });
  return {
    url,
    kubeconfig,
    faults,
    transport,
    client: () => createClient({ transport: transport(), clock: systemClock }),
    refuse,
    accept,
  };
}

/** As safe as the server behind it, so that a client sends it the same credentials. */
function serverLike(api: Api, listener: RequestListener): Server {
  if (!isTls(api)) return createServer(listener);
  const key = readFileSync(api.caFile.replace(/\.crt$/, '.key'));
  return createTlsServer({ cert: readFileSync(api.caFile), key }, listener);
}

function isTls(api: Api): boolean {
  return api.url.startsWith('https:');
}

async function serve(handle: Handle, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const gone = new AbortController();
  response.once('close', () => gone.abort(new Error('the client has gone')));
  try {
    let body = '';
    for await (const chunk of request.setEncoding('utf8')) body += chunk;
    const headers = endToEnd(request.headers);
    const { method = 'GET', url: path = '/' } = request;
    const answer = await handle({ method, path, headers, body, signal: gone.signal });
    response.writeHead(answer.status, endToEnd(answer.headers));
    response.flushHeaders();
    response.once('close', () => answer.body.destroy());
    // One by one: what came before a fault has left when the connection breaks.
    for await (const chunk of answer.body) await written(response, chunk as string | Buffer);
    response.end();
  } catch {
    request.socket.destroy(); // a fault of the plan, or the server behind is away: either way a broken connection
  }
}

function written(response: ServerResponse, chunk: string | Buffer): Promise<void> {
  return new Promise((resolve, reject) => response.write(chunk, (error) => (error ? reject(error) : resolve())));
}

function passedTo(upstream: Transport): Handle {
  // `stream`: no limit of ours on a quiet body; the two ends have theirs.
  const send = ({ body, ...rest }: TransportRequest): Promise<TransportResponse> =>
    upstream.send({ ...rest, ...(body ? { body } : {}), stream: true });
  return async (request, staleBy = 0) => {
    const path = staleBy === 0 ? request.path : await pastOf(request, staleBy, send);
    const response = await send({ ...request, path });
    return { ...response, body: asBytes(response.body) };
  };
}

/** The same list, as it was so many revisions ago (resourceVersionMatch=Exact); the first one that there is, if that is all. */
async function pastOf(request: TransportRequest, staleBy: number, send: Handle): Promise<string> {
  const url = new URL(request.path, 'http://api');
  if (url.searchParams.has('continue')) return request.path; // of a list that is in the past already
  const { body } = await send({ ...request, path: `${url.pathname}?limit=1` });
  const { metadata } = JSON.parse(await text(body)) as { metadata: { resourceVersion: string } };
  url.searchParams.set('resourceVersion', String(Math.max(1, Number(metadata.resourceVersion) - staleBy)));
  url.searchParams.set('resourceVersionMatch', 'Exact');
  return `${url.pathname}${url.search}`;
}

/** Faults cut between bytes, also within a character. */
function asBytes(body: Readable): Readable {
  const bytes = new Transform({
    transform: (chunk: string | Buffer, _, done) => done(null, Buffer.from(chunk as Buffer)),
  });
  pipeline(body, bytes, () => {}); // either end tells the other, and the reader meets the error
  return bytes;
}

// They belong to one connection, not to the request; without compression faults can work on the text.
const hopByHop = new Set([
  'host',
  'connection',
  'keep-alive',
  'content-length',
  'transfer-encoding',
  'accept-encoding',
]);

function endToEnd(headers: Readonly<Record<string, string | readonly string[] | undefined>>): Record<string, string> {
  const kept = Object.entries(headers).filter(([name, value]) => value !== undefined && !hopByHop.has(name));
  return Object.fromEntries(kept.map(([name, value]) => [name, String(value)]));
}
