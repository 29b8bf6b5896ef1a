import {
  type Agent,
  type ClientRequest,
  Agent as HttpAgent,
  request as httpRequest,
  type IncomingMessage,
} from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import type { Transport, TransportRequest, TransportResponse } from './request.ts';

/** Who we are, and how we know that the server is the server. */
export interface Credentials {
  /** Authorization and impersonation. */
  readonly headers: Readonly<Record<string, string>>;
  /** 'user:password' for Basic authentication. */
  readonly auth?: string;
  readonly ca?: string | Buffer;
  readonly cert?: string | Buffer;
  readonly key?: string | Buffer;
  readonly servername?: string;
  readonly rejectUnauthorized?: boolean;
  /** Replaces our own keep-alive agent (SOCKS proxies). */
  readonly agent?: Agent;
}

export interface HttpOptions {
  /** Server URL; a path in it is a prefix of all paths. */
  readonly url: string;
  /** Asked again when the last answer is older than `credentialsAgeMs`, so that what rotates is followed; it may throw. */
  readonly credentials: () => Promise<Credentials>;
  /** Certificates come from files: a burst of requests reads them once (1,000). */
  readonly credentialsAgeMs?: number;
  /** The server refused the credentials (401): forget what is cached. Called at most every 10 s. */
  readonly renew: () => void;
  /** HTTPS_PROXY, HTTP_PROXY, NO_PROXY in the usual meaning (Node documentation, "Built-in Proxy Support"). */
  readonly proxyEnv?: Readonly<Record<string, string | undefined>>;
  /** From the start of an attempt to the headers, and between two parts of a body that is no stream (30,000). */
  readonly timeoutMs?: number;
}

const TIMEOUT_MS = 30_000;
/** An exec plugin costs a process each time: a token that stays wrong must not start one per request. */
const RENEW_SPACING_MS = 10_000;
const CREDENTIALS_AGE_MS = 1000;
/** As client-go: below the idle limits of the usual load balancers. */
const TCP_KEEPALIVE_MS = 30_000;

/** HTTP/1.1 over kept connections of our own: one TLS handshake per connection, not per request. */
export function createHttpTransport(options: HttpOptions): Transport {
  return new HttpTransport(options);
}

class HttpTransport implements Transport {
  readonly host: string;
  readonly #options: HttpOptions;
  readonly #url: URL;
  /** Path of the server's URL without a slash at its end. */
  readonly #prefix: string;
  /** The question that is under way: an exec plugin is not started twice at once. */
  #asking: Promise<Credentials> | undefined;
  /** The last answer. */
  #known: { readonly credentials: Credentials; readonly askedMs: number } | undefined;
  #renewedMs = Number.NEGATIVE_INFINITY;
  /** The agent, and the identity that its connections were made with. */
  #kept: { readonly agent: HttpAgent; readonly identity: Credentials } | undefined;

  constructor(options: HttpOptions) {
    this.#options = options;
    this.#url = new URL(options.url);
    this.#prefix = this.#url.pathname.replace(/\/$/, '');
    this.host = this.#url.host;
  }

  async send(request: TransportRequest): Promise<TransportResponse> {
    const { credentials, response } = await this.#attempt(request);
    if (response.statusCode !== 401 || !this.#renew()) return answerOf(response);
    // The server did nothing for a 401, so any method may be sent again, once the credentials are others.
    const fresh = await this.#credentials().catch(() => undefined);
    if (fresh === undefined || isSameLogin(fresh, credentials)) return answerOf(response);
    response.destroy();
    return answerOf((await this.#attempt(request)).response);
  }

  close(): void {
    if (this.#kept !== undefined) retire(this.#kept.agent);
    this.#kept = undefined;
  }

  async #attempt(request: TransportRequest): Promise<Exchange> {
    try {
      return await this.#exchange(request);
    } catch (error) {
      if (!(error instanceof KeptConnectionReset) || !isIdempotent(request.method)) throw original(error);
    }
    // The other idle connections were most likely closed by the same restart.
    if (this.#kept !== undefined) dropIdle(this.#kept.agent);
    return await this.#exchange(request).catch((error: unknown) => {
      throw original(error);
    });
  }

  async #exchange(request: TransportRequest): Promise<Exchange> {
    const limit = new AbortController();
    const abort = (): void => limit.abort(request.signal.reason);
    request.signal.throwIfAborted();
    request.signal.addEventListener('abort', abort, { once: true });
    const timeoutMs = this.#options.timeoutMs ?? TIMEOUT_MS;
    const timer = setTimeout(() => limit.abort(timeoutError(request, timeoutMs)), timeoutMs);
    try {
      const credentials = await rejectOnAbort(this.#credentials(), limit.signal);
      const response = await this.#transmit(request, credentials, limit.signal);
      follow(request.signal, response);
      if (request.stream !== true) limitSilence(response, request, timeoutMs);
      return { credentials, response };
    } finally {
      clearTimeout(timer);
      request.signal.removeEventListener('abort', abort);
      this.#forgetHanging(limit.signal);
    }
  }

  #transmit(
    { method, path, headers, body }: TransportRequest,
    credentials: Credentials,
    limit: AbortSignal,
  ): Promise<IncomingMessage> {
    const send = this.#url.protocol === 'https:' ? httpsRequest : httpRequest;
    return new Promise((resolve, reject) => {
      const request = send({
        protocol: this.#url.protocol,
        hostname: this.#url.hostname.replace(/^\[(.*)\]$/, '$1'),
        port: this.#url.port,
        method,
        path: `${this.#prefix}${path}`,
        headers: { ...headers, ...lengthOf(body), ...credentials.headers },
        agent: this.#agentFor(credentials),
        ...(credentials.auth === undefined ? {} : { auth: credentials.auth }),
        ...(credentials.servername === undefined ? {} : { servername: credentials.servername }),
      });
      const cut = (): void => void request.destroy(limit.reason);
      limit.addEventListener('abort', cut, { once: true });
      request.once('response', (response) => {
        limit.removeEventListener('abort', cut);
        response.setEncoding('utf8');
        resolve(response);
      });
      // Stays: an error after the headers reaches the body, and must not be uncaught here.
      request.on('error', (error) => {
        limit.removeEventListener('abort', cut);
        reject(limit.aborted ? limit.reason : errorOf(request, error));
      });
      request.end(body);
    });
  }

  /** Ours, with kept connections; a new one as soon as the files behind it have other contents. */
  #agentFor(credentials: Credentials): Agent {
    if (credentials.agent !== undefined) return credentials.agent;
    if (this.#kept !== undefined && isSameTls(this.#kept.identity, credentials)) return this.#kept.agent;
    if (this.#kept !== undefined) retire(this.#kept.agent);
    const { ca, cert, key, rejectUnauthorized } = credentials;
    const common = {
      keepAlive: true,
      keepAliveMsecs: TCP_KEEPALIVE_MS,
      ...(this.#options.proxyEnv === undefined ? {} : { proxyEnv: this.#options.proxyEnv }),
    };
    const agent =
      this.#url.protocol === 'https:'
        ? new HttpsAgent({
            ...common,
            ...(ca === undefined ? {} : { ca }),
            ...(cert === undefined ? {} : { cert }),
            ...(key === undefined ? {} : { key }),
            ...(rejectUnauthorized === undefined ? {} : { rejectUnauthorized }),
          })
        : new HttpAgent(common);
    // One server and one identity: Node would make a name out of certificates and keys for every request.
    agent.getName = () => this.host;
    this.#kept = { agent, identity: credentials };
    return agent;
  }

  async #credentials(): Promise<Credentials> {
    const nowMs = performance.now();
    const { credentialsAgeMs = CREDENTIALS_AGE_MS } = this.#options;
    if (this.#known !== undefined && nowMs - this.#known.askedMs < credentialsAgeMs) return this.#known.credentials;
    if (this.#asking !== undefined) return await this.#asking;
    const asking = this.#options
      .credentials()
      .then((credentials) => {
        if (this.#asking === asking) this.#known = { credentials, askedMs: nowMs };
        return credentials;
      })
      .finally(() => {
        if (this.#asking === asking) this.#asking = undefined;
      });
    this.#asking = asking;
    return await asking;
  }

  /** A plugin that hung until the time limit is not waited for by the next request. */
  #forgetHanging(limit: AbortSignal): void {
    if (limit.aborted) this.#asking = undefined;
  }

  #renew(): boolean {
    const nowMs = performance.now();
    if (nowMs - this.#renewedMs < RENEW_SPACING_MS) return false;
    this.#renewedMs = nowMs;
    this.#known = undefined;
    this.#asking = undefined;
    this.#options.renew();
    return true;
  }
}

interface Exchange {
  readonly credentials: Credentials;
  readonly response: IncomingMessage;
}

/** The server closed an idle connection while we sent on it: it has not seen the request [Node documentation, request.reusedSocket]. */
class KeptConnectionReset extends Error {
  override readonly name = 'KeptConnectionReset';
}

function errorOf(request: ClientRequest, error: NodeJS.ErrnoException): Error {
  if (!request.reusedSocket || error.code !== 'ECONNRESET') return error;
  return new KeptConnectionReset(error.message, { cause: error });
}

function original(error: unknown): unknown {
  return error instanceof KeptConnectionReset ? error.cause : error;
}

/** Said always: without it Node sends the body of a DELETE, but not where it ends. */
function lengthOf(body: string | undefined): Record<string, string> {
  return body === undefined ? {} : { 'content-length': String(Buffer.byteLength(body)) };
}

function isIdempotent(method: string): boolean {
  return method !== 'POST' && method !== 'PATCH';
}

function timeoutError({ method, path }: TransportRequest, timeoutMs: number): Error {
  const error: NodeJS.ErrnoException = new Error(`${method} ${path.split('?')[0]}: no answer within ${timeoutMs} ms`);
  error.code = 'ETIMEDOUT';
  return error;
}

/** The caller's signal ends the body too, with its reason. */
function follow(signal: AbortSignal, response: IncomingMessage): void {
  const abort = (): void => {
    response.destroy(signal.reason instanceof Error ? signal.reason : new Error(String(signal.reason)));
  };
  if (signal.aborted) abort();
  signal.addEventListener('abort', abort, { once: true });
  response.once('close', () => signal.removeEventListener('abort', abort));
}

/** The agent takes this limit away when the connection becomes idle. */
function limitSilence(response: IncomingMessage, request: TransportRequest, timeoutMs: number): void {
  response.setTimeout(timeoutMs, () => response.destroy(timeoutError(request, timeoutMs)));
}

function answerOf(response: IncomingMessage): TransportResponse {
  // All but set-cookie are strings (Node documentation, message.headers), and that one nobody reads here.
  const headers = response.headers as Readonly<Record<string, string | undefined>>;
  return { status: response.statusCode ?? 0, headers, body: response };
}

function isSameTls(a: Credentials, b: Credentials): boolean {
  if (a === b) return true;
  return (
    isSameBytes(a.ca, b.ca) &&
    isSameBytes(a.cert, b.cert) &&
    isSameBytes(a.key, b.key) &&
    a.rejectUnauthorized === b.rejectUnauthorized &&
    a.servername === b.servername
  );
}

function isSameLogin(a: Credentials, b: Credentials): boolean {
  return isSameTls(a, b) && a.auth === b.auth && a.headers['Authorization'] === b.headers['Authorization'];
}

function isSameBytes(a: string | Buffer | undefined, b: string | Buffer | undefined): boolean {
  if (a === b) return true;
  if (a === undefined || b === undefined) return false;
  return Buffer.from(a).equals(Buffer.from(b));
}

/** Requests under way end as they would; their connections are not kept afterwards. */
function retire(agent: HttpAgent): void {
  agent.maxFreeSockets = 0;
  dropIdle(agent);
}

function dropIdle(agent: HttpAgent): void {
  for (const sockets of Object.values(agent.freeSockets)) for (const socket of sockets ?? []) socket.destroy();
}

function rejectOnAbort<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = (): void => reject(signal.reason);
    signal.addEventListener('abort', abort, { once: true });
    void promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
  });
}
