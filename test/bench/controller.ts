import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { nodeFlags } from '../../deploy/build.ts';
import type { Client } from '../../src/kube/request.ts';
import { type Api, freePort } from '../kube/cluster.ts';
import { type Guarded, guarded, type Running } from '../kube/guard.ts';

const launcher = fileURLToPath(new URL('../../dist/fairlead.js', import.meta.url));

/** A controller out of the bundle, as a process of its own. */
export interface Controller {
  readonly program: Running;
  /** CPU time so far, user and system, in ms. */
  cpuMs(): number;
  /** Resident memory now and at its most, in MiB. */
  memory(): { readonly nowMib: number; readonly peakMib: number };
  /** Wall time in ms since 1970 of the first log line with this message; undefined before it. */
  said(message: string): number | undefined;
  /** Requests to the API server by method, as its own metrics count them. */
  requests(): Promise<Readonly<Record<string, number>>>;
  /** SIGTERM, and the end. */
  stop(): Promise<void>;
}

export async function startController(
  guard: Guarded,
  api: Api,
  name: string,
  flags: readonly string[] = [],
  {
    provider = 'onprem',
    env = {},
  }: { readonly provider?: string; readonly env?: Readonly<Record<string, string>> } = {},
): Promise<Controller> {
  const port = await freePort();
  const program = guard.start(name, 'env', [
    ...Object.entries(env).map(([key, value]) => `${key}=${value}`),
    process.execPath,
    ...nodeFlags,
    launcher,
    'controller',
    `--provider=${provider}`,
    `--kubeconfig=${api.kubeconfig}`,
    '--secure-port=0',
    `--metrics-bind-address=127.0.0.1:${port}`,
    ...flags,
  ]);
  const controller: Controller = {
    program,
    cpuMs() {
      const fields = readFileSync(`/proc/${program.pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
      return (Number(fields[11]) + Number(fields[12])) * 10; // clock ticks of 10 ms
    },
    memory() {
      const status = readFileSync(`/proc/${program.pid}/status`, 'utf8');
      const mib = (field: string) => Number(new RegExp(`${field}:\\s+(\\d+)`).exec(status)?.[1] ?? Number.NaN) / 1024;
      return { nowMib: mib('VmRSS'), peakMib: mib('VmHWM') };
    },
    said(message) {
      const log = readFileSync(`${guard.folder}/${name}.log`, 'utf8');
      const line = log.split('\n').find((text) => text.includes(`"msg":"${message}"`));
      return line === undefined ? undefined : Date.parse((JSON.parse(line) as { readonly time: string }).time);
    },
    async requests() {
      const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
      const counts: Record<string, number> = {};
      for (const [, labels = '', value] of text.matchAll(/^rest_client_requests_total\{([^}]*)\} (\d+)/gm)) {
        const method = /method="(\w+)"/.exec(labels)?.[1] ?? '';
        counts[method] = (counts[method] ?? 0) + Number(value);
      }
      return counts;
    },
    async stop() {
      program.signal('SIGTERM');
      await program.ended;
    },
  };
  for (let tries = 0; controller.said('audit') === undefined; tries += 1) {
    if (program.end !== undefined || tries > 1200) throw new Error(`${name} does not start: ${program.log()}`);
    await sleep(50);
  }
  return controller;
}

/** From the start of the process, out of the bundle, to its first list on a server that answers nothing: ms, median of 5. */
export async function startTime(flags: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<number> {
  const guard = guarded('fairlead-bench-');
  const times: number[] = [];
  for (let run = 0; run < 5; run += 1) {
    const first = Promise.withResolvers<number>();
    const server = createServer((request, response) => {
      if (request.url?.startsWith('/api/v1/services') === true) first.resolve(performance.now());
      response.writeHead(503).end();
    }).listen(0, '127.0.0.1');
    await new Promise((resolve) => server.once('listening', resolve));
    const { port } = server.address() as { readonly port: number };
    const startMs = performance.now();
    const program = guard.start(`start-${run}`, 'env', [
      ...Object.entries(env).map(([key, value]) => `${key}=${value}`),
      process.execPath,
      ...nodeFlags,
      launcher,
      'controller',
      `--master=http://127.0.0.1:${port}`,
      '--secure-port=0',
      ...flags,
    ]);
    times.push((await first.promise) - startMs);
    program.signal('SIGKILL');
    await program.ended;
    server.close();
    server.closeAllConnections();
  }
  await guard.close();
  times.sort((a, b) => a - b);
  return times[2] ?? Number.NaN;
}

/** As many status patches as the server takes, 32 side by side, on Services that exist, to an address that is new; per second. */
export async function statusPatchRate(client: Client, names: readonly string[], ip: string): Promise<number> {
  const signal = new AbortController().signal;
  const startMs = performance.now();
  let next = 0;
  await Promise.all(
    Array.from({ length: 32 }, async () => {
      for (let index = next; index < names.length; index = next) {
        next += 1;
        await client.call({
          method: 'PATCH',
          path: `/api/v1/namespaces/default/services/${names[index]}/status`,
          contentType: 'application/merge-patch+json',
          body: { status: { loadBalancer: { ingress: [{ ip }] } } },
          signal,
        });
      }
    }),
  );
  return (names.length * 1000) / (performance.now() - startMs);
}
