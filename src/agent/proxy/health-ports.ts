import type { Log } from '../../core/provider.ts';
import type { Answer } from '../../obs/checks.ts';
import { type Serving, serve } from '../../obs/serve.ts';
import type { Timers } from '../../work/clock.ts';

/** A Service of type LoadBalancer with externalTrafficPolicy Local: its load balancer asks each node at this port. */
export interface HealthPort {
  /** 'namespace/name' */
  readonly key: string;
  readonly port: number;
  /** Ready endpoints on this node; those that terminate do not count. */
  readonly localEndpoints: number;
}

export interface HealthPortOptions {
  readonly isHealthy: () => boolean;
  readonly clock: Timers;
  readonly log: Log;
  /** Nobody answers at this port: the Service's load balancer will think the node empty. Once per port. */
  readonly failed: (key: string, port: number, why: string) => void;
}

export interface HealthPorts {
  /** What is to be served from now on; `hosts`: addresses to listen on, none: all of them. */
  sync(ports: readonly HealthPort[], hosts: readonly string[]): void;
  /** Resolves when all that was asked for is open, given up or closed. */
  settled(): Promise<void>;
  close(): Promise<void>;
}

/** Whoever holds the port may let go of it. */
const RETRY_MS = 30_000;

/** kube-proxy's healthCheckNodePort servers (pkg/proxy/healthcheck/service_health.go). */
export function createHealthPorts({ isHealthy, clock, log, failed }: HealthPortOptions): HealthPorts {
  interface Open {
    readonly key: string;
    readonly port: number;
    readonly hosts: readonly string[];
    localEndpoints: number;
    servers: readonly Serving[];
    /** The last try failed, and was told. */
    failed: boolean;
    cancelRetry: () => void;
  }
  const open = new Map<string, Open>(); // Service -> its servers
  // One after the other: a port that one Service gives back may be the next one's.
  let work: Promise<void> = Promise.resolve();

  async function start(one: Open): Promise<void> {
    if (open.get(one.key) !== one) return; // not wanted any more
    const servers: Serving[] = [];
    try {
      for (const host of one.hosts.length === 0 ? [undefined] : one.hosts) {
        const where = { port: one.port, ...(host === undefined ? {} : { host }) };
        const respond = async (): Promise<Answer> => pageOf(one.key, one.localEndpoints, isHealthy());
        servers.push(await serve({ ...where, respond, flag: 'healthCheckNodePort', clock, log }));
      }
      one.servers = servers;
      one.failed = false;
    } catch (error) {
      await Promise.all(servers.map((server) => server.close()));
      if (!one.failed) failed(one.key, one.port, error instanceof Error ? error.message : String(error));
      one.failed = true;
      one.cancelRetry = clock.after(RETRY_MS, () => {
        work = work.then(() => start(one));
      });
    }
  }

  function stop(one: Open): void {
    open.delete(one.key);
    one.cancelRetry();
    work = work.then(async () => {
      one.cancelRetry(); // the start that it waited for may have set another one
      await Promise.all(one.servers.map((server) => server.close()));
    });
  }

  return {
    sync(ports, hosts) {
      const wanted = new Map(ports.map((one) => [one.key, one]));
      for (const one of [...open.values()]) {
        const now = wanted.get(one.key);
        if (now?.port !== one.port || !isSame(one.hosts, hosts)) stop(one);
        else one.localEndpoints = now.localEndpoints;
      }
      for (const { key, port, localEndpoints } of ports) {
        if (open.has(key)) continue;
        const one: Open = { key, port, hosts, localEndpoints, servers: [], failed: false, cancelRetry: () => {} };
        open.set(key, one);
        work = work.then(() => start(one));
      }
    },
    settled: async () => await work,
    async close() {
      for (const one of [...open.values()]) stop(one);
      await work;
    },
  };
}

/** The body is kube-proxy's to the byte: tabs, no line feed at its end. */
function pageOf(key: string, localEndpoints: number, healthy: boolean): Answer {
  const [namespace, name] = key.split('/');
  const report = { service: { namespace, name }, localEndpoints, serviceProxyHealthy: healthy };
  return {
    status: localEndpoints > 0 && healthy ? 200 : 503,
    contentType: 'application/json',
    headers: { 'x-load-balancing-endpoint-weight': `${localEndpoints}` },
    body: JSON.stringify(report, undefined, '\t'),
  };
}

const isSame = (a: readonly string[], b: readonly string[]): boolean =>
  a.length === b.length && a.every((one, at) => one === b[at]);
