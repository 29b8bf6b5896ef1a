/**
 * The embedded API server: time to its first answer, writes per second, one event to 100 watches. CPU time of the whole
 * process stands beside the wall clock: on a busy machine the wall clock says more about the neighbours. A kube-apiserver
 * with etcd takes 4 s to its first answer and creates 175-330 Services per second here (kube/README of the design pages).
 * Reach (foundations.md section 10): first answer in 100 ms; 2,000 writes/s; fan-out of one event to 100 watches in 20 ms.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { httpTransport, loadKubeConfig } from '../../src/kube/config.ts';
import type { Transport } from '../../src/kube/request.ts';
import { createSandboxApi } from '../../src/sandbox/api/server.ts';
import { systemClock } from '../../src/work/clock.ts';

const WRITES = 5_000;
const WATCHES = 100;
const reach = { firstMs: 100, writes: 2_000, fanOutMs: 20 };
const { signal } = new AbortController();
const services = '/api/v1/namespaces/default/services';

interface Spent {
  readonly wallMs: number;
  readonly cpuMs: number;
}

async function measured(run: () => Promise<void>): Promise<Spent> {
  const [from, cpu] = [performance.now(), process.cpuUsage()];
  await run();
  const { user, system } = process.cpuUsage(cpu);
  return { wallMs: performance.now() - from, cpuMs: (user + system) / 1000 };
}

async function ask(
  transport: Transport,
  method: string,
  path: string,
  body?: object,
  type = 'application/json',
): Promise<string> {
  const response = await transport.send({
    method,
    path,
    headers: { 'content-type': type, 'user-agent': 'bench/1' },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    signal,
  });
  let text = '';
  for await (const chunk of response.body) text += chunk;
  if (response.status >= 300) throw new Error(`${method} ${path}: ${response.status} ${text}`);
  return text;
}

const service = (name: string): object => ({
  metadata: { name, labels: { app: name }, annotations: { note: 'a bench' } },
  spec: {
    type: 'LoadBalancer',
    allocateLoadBalancerNodePorts: false,
    ports: [{ port: 80 }, { port: 443, name: 'https' }].map((port, index) => ({ name: `p${index}`, ...port })),
  },
});
const status = (index: number): object => ({
  status: { loadBalancer: { ingress: [{ ip: `192.0.${index >> 8}.${index & 255}` }] } },
});

async function writes(label: string, transport: Transport, writers: number): Promise<void> {
  const each = async (run: (index: number) => Promise<unknown>): Promise<Spent> =>
    await measured(async () => {
      let next = 0;
      const writer = async (): Promise<void> => {
        while (next < WRITES) await run(next++);
      };
      await Promise.all(Array.from({ length: writers }, writer));
    });
  const kinds: readonly (readonly [string, (index: number) => Promise<unknown>])[] = [
    ['create Service', (index) => ask(transport, 'POST', services, service(`bench-${index}`))],
    [
      'patch status',
      (index) =>
        ask(
          transport,
          'PATCH',
          `${services}/bench-${index}/status`,
          status(index),
          'application/strategic-merge-patch+json',
        ),
    ],
    ['delete', (index) => ask(transport, 'DELETE', `${services}/bench-${index}`)],
  ];
  for (const [kind, run] of kinds) {
    const { wallMs, cpuMs } = await each(run);
    print(
      `${label}: ${kind}`,
      `${rate(wallMs)}/s by the clock, ${rate(cpuMs)}/s by CPU time (reach ${reach.writes}/s)`,
    );
  }
}

const rate = (ms: number): string => Math.round((WRITES / ms) * 1000).toLocaleString('en');
const print = (what: string, result: string): void => void process.stdout.write(`${what.padEnd(34)} ${result}\n`);

async function fanOut(label: string, transport: Transport): Promise<void> {
  const bodies = await Promise.all(
    Array.from({ length: WATCHES }, async () => {
      const { body } = await transport.send({
        method: 'GET',
        path: '/api/v1/configmaps?watch=true',
        headers: {},
        signal,
        stream: true,
      });
      return body;
    }),
  );
  const times: number[] = [];
  for (let round = 0; round < 20; round += 1) {
    let left = WATCHES;
    const all = Promise.withResolvers<void>();
    const seen = (): void => {
      left -= 1;
      if (left === 0) all.resolve();
    };
    for (const body of bodies) body.once('data', seen);
    const from = performance.now();
    await ask(transport, 'POST', '/api/v1/namespaces/default/configmaps', {
      metadata: { name: `fan-${round}` },
      data: { text: 'x'.repeat(1000) },
    });
    await all.promise;
    times.push(performance.now() - from);
  }
  for (const body of bodies) body.destroy();
  const [median, worst] = [times.sort((a, b) => a - b)[10] as number, times.at(-1) as number];
  print(
    `${label}: event to ${WATCHES} watches`,
    `${median.toFixed(1)} ms median, ${worst.toFixed(1)} ms worst, the write included (reach ${reach.fanOutMs} ms)`,
  );
}

/** In a process of its own: modules are loaded, and nothing is warm. */
async function firstAnswer(): Promise<void> {
  const from = performance.now();
  const cpu = process.cpuUsage();
  const api = createSandboxApi({ clock: systemClock });
  const { url } = await api.listen();
  const answer = await fetch(`${url}/api/v1/services`);
  await answer.text();
  const { user, system } = process.cpuUsage(cpu);
  process.stdout.write(
    `${JSON.stringify({ wallMs: performance.now() - from, cpuMs: (user + system) / 1000, sinceStartMs: process.uptime() * 1000 })}\n`,
  );
  await api.close();
}

async function main(): Promise<void> {
  const runs = Array.from(
    { length: 5 },
    () =>
      JSON.parse(
        spawnSync(process.execPath, [fileURLToPath(import.meta.url), 'first'], { encoding: 'utf8' }).stdout,
      ) as Spent & { sinceStartMs: number },
  );
  const middle = runs.sort((a, b) => a.cpuMs - b.cpuMs)[2] as (typeof runs)[number];
  print(
    'first answer over HTTP',
    `${middle.wallMs.toFixed(0)} ms by the clock, ${middle.cpuMs.toFixed(0)} ms of CPU (reach ${reach.firstMs} ms); ${middle.sinceStartMs.toFixed(0)} ms from the start of a process that runs from source`,
  );

  const api = createSandboxApi({ clock: systemClock, serviceCidrs: ['10.96.0.0/12'], plane: false });
  const inProcess = api.transport();
  await writes('in process', inProcess, 1);
  await fanOut('in process', inProcess);
  const folder = mkdtempSync(join(tmpdir(), 'fairlead-bench-'));
  const { kubeconfig } = await api.listen();
  const path = join(folder, 'kubeconfig');
  writeFileSync(path, kubeconfig);
  const http = httpTransport(loadKubeConfig({ kubeconfig: path, env: {} }));
  await ask(http, 'DELETE', '/api/v1/namespaces/default/configmaps');
  await writes('HTTP, client included', http, 16);
  await fanOut('HTTP', http);
  http.close();
  await api.close();
  rmSync(folder, { recursive: true });
}

await (process.argv[2] === 'first' ? firstAnswer() : main());
