import type { Clock, Log } from '../core/provider.ts';
import type { Client } from '../kube/request.ts';
import type { Timers } from '../work/clock.ts';
import { answerHealth, type Check, type Checks, createLoopCheck } from './checks.ts';
import { createReviewer, type Reviewer } from './review.ts';
import { type Responder, type Serving, serve, text } from './serve.ts';

/** Something to read besides the health paths. */
export interface Page {
  readonly contentType: string;
  text(): string | Promise<string>;
}

export interface HealthOptions {
  /** /livez; `event-loop` is added. */
  readonly livez?: Readonly<Record<string, Check>>;
  readonly readyz: Readonly<Record<string, Check>>;
  /** /healthz asks the two above, and these. */
  readonly healthz?: Readonly<Record<string, Check>>;
  /** Path -> page: `{ '/metrics': { contentType, text } }`. */
  readonly pages: Readonly<Record<string, Page>>;
  /** Where reviews are asked for; only under TLS. */
  readonly client: Client;
  readonly clock: Clock & Timers;
  readonly log: Log;

  /** --bind-address. Absent: all addresses. */
  readonly bindAddress?: string;
  /** --secure-port; absent: not served. 0 takes any free one. */
  readonly port?: number;
  /** --tls-cert-file and --tls-private-key-file. */
  readonly tls?: { readonly certFile: string; readonly keyFile: string };
  /** --metrics-bind-address: plain HTTP, /metrics only. Absent: not served. */
  readonly metrics?: { readonly host: string; readonly port: number };
}

export interface Health {
  /** Ports in use; undefined where nothing is served. */
  readonly port: number | undefined;
  readonly metricsPort: number | undefined;
  close(): Promise<void>;
}

/**
 * Serves health paths, metrics and other pages (controllers.md "Flags"). Health paths are for everybody. Pages: over plain
 * HTTP only for connections from this machine; over HTTPS for whom the API server knows (TokenReview) and allows to
 * `get` the path (SubjectAccessReview). Throws FL_SERVE_ADDRESS and FL_SERVE_CERTIFICATE; then nothing is left open.
 */
export async function createHealth(options: HealthOptions): Promise<Health> {
  const { livez, readyz, healthz, client, clock, log, bindAddress, port, tls, metrics } = options;
  const loop = createLoopCheck(clock);
  const stop = new AbortController();
  const serving: Serving[] = [];
  const checks = { livez: { 'event-loop': loop.check, ...livez }, readyz, healthz: healthz ?? {} };

  async function close(): Promise<void> {
    loop.stop();
    stop.abort(new Error('the server is closed'));
    await Promise.all(serving.map((server) => server.close()));
  }

  async function open(more: Omit<Parameters<typeof serve>[0], 'clock' | 'log'>): Promise<number> {
    const server = await serve({ clock, log, ...more });
    serving.push(server);
    return server.port;
  }

  try {
    const review = tls === undefined ? undefined : createReviewer({ client, clock, signal: stop.signal });
    const main =
      port === undefined
        ? undefined
        : await open({
            respond: mainPages(checks, options.pages, review),
            flag: '--secure-port',
            port,
            ...(bindAddress === undefined ? {} : { host: bindAddress }),
            ...(tls === undefined ? {} : { tls }),
          });
    const scraped =
      metrics === undefined
        ? undefined
        : await open({ respond: metricsPage(options.pages), flag: '--metrics-bind-address', ...metrics });
    return { port: main, metricsPort: scraped, close };
  } catch (error) {
    await close();
    throw error;
  }
}

function mainPages(checks: Checks, pages: Readonly<Record<string, Page>>, review: Reviewer | undefined): Responder {
  return async ({ url, isLocal, authorization }) => {
    const health = answerHealth(checks, url);
    if (health !== undefined) return health;
    if (review === undefined) {
      if (!isLocal) return text(403, 'Over plain HTTP only health paths are served to other machines.');
    } else {
      const verdict = await review(authorization, url.pathname);
      if (verdict === 'unauthenticated') return text(401, 'Send a bearer token that the API server accepts.');
      if (verdict === 'forbidden')
        return text(403, `You may not get ${url.pathname} (nonResourceURLs in a ClusterRole).`);
    }
    return await show(pages, url.pathname);
  };
}

function metricsPage(pages: Readonly<Record<string, Page>>): Responder {
  return async ({ url }) => (url.pathname === '/metrics' ? await show(pages, '/metrics') : undefined);
}

async function show(pages: Readonly<Record<string, Page>>, path: string): ReturnType<Responder> {
  if (!Object.hasOwn(pages, path)) return undefined;
  const { contentType, text: read } = pages[path] as Page;
  return { status: 200, contentType, body: await read() };
}
