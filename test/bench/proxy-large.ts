/**
 * The service proxy at 1,000, 10,000 and 100,000 Services with two EndpointSlices each: the bundled agent against the
 * sandbox's API server over HTTP, in a network namespace; an endpoint's change from the server's answer to `nft monitor`,
 * and 1,000 changes per second at the smallest size with somebody who lists the table. Root.
 * `BENCH_SERVICES=1000,10000,100000`, `BENCH_CHANGES=150`, `BENCH_SECONDS=10`, `BENCH_PER_SECOND=1000`.
 * Reach: p50 1.5 ms, p99 5 ms, flat within 1.5 times; 10 commits/s, none older than 110 ms, `nft list table` ends.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { bundle, environment, nodeFlags } from '../../deploy/build.ts';
import type { EndpointSlice, KubeObject } from '../../src/core/objects.ts';
import { httpTransport, loadKubeConfig } from '../../src/kube/config.ts';
import { type Client, createClient } from '../../src/kube/request.ts';
import { resources } from '../../src/kube/resource.ts';
import { createSandboxApi, type SandboxApi } from '../../src/sandbox/api/server.ts';
import { systemClock } from '../../src/work/clock.ts';
import { percentile } from './load.ts';

const COUNTS = (process.env['BENCH_SERVICES'] ?? '1000,10000,100000').split(',').map(Number);
const CHANGES = Number(process.env['BENCH_CHANGES'] ?? 150);
const SECONDS = Number(process.env['BENCH_SECONDS'] ?? 10);
const PER_SECOND = Number(process.env['BENCH_PER_SECOND'] ?? 1000);
/** So that each is the first change after a while: the pace of commits is measured beside it. */
const APART_MS = 150;
const LIMIT_MS = 120_000;
/** Least time between two lists of the table. */
const LIST_MS = 1000;
const METRICS = '127.0.0.1:10249';
const slicesPath = '/apis/discovery.k8s.io/v1/namespaces/default/endpointslices';
const { signal } = new AbortController();

/** To the process of the API server. */
type Order =
  | { readonly do: 'fill'; readonly from: number; readonly to: number }
  | { readonly do: 'churn'; readonly count: number; readonly changes: number; readonly perSecond: number };
interface Done {
  readonly kubeconfig?: string;
  /** Of a churn, by its changes: when the server answered. */
  readonly answeredMs?: readonly number[];
}

/** The API server in a process of its own. */
interface Server {
  readonly kubeconfig: string;
  order(order: Order): Promise<Done>;
}

interface Monitor {
  /** When an endpoint with this address was seen; rejects after 30 s. */
  seen(address: string): Promise<number>;
  /** Of the addresses seen so far, since the last `forget`. */
  times(): ReadonlyMap<string, number>;
  /** When the ruleset got a new generation. */
  generations(): readonly number[];
  forget(): void;
}

const children = new Set<ChildProcess>();

/** The same file in a network namespace that goes when it ends. */
function enter(): void {
  if (process.geteuid?.() !== 0) throw new Error('network namespaces need root');
  const { status, error } = spawnSync(
    'unshare',
    ['--net', ...mortal, process.execPath, import.meta.filename, 'inside'],
    {
      stdio: 'inherit',
    },
  );
  if (error !== undefined) throw error;
  process.exitCode = status ?? 1;
}

/** What it starts ends with who started it, however that ends. */
const mortal = ['setpriv', '--pdeathsig', 'KILL'] as const;

function start(
  argv: readonly string[],
  stdio: 'pipe' | ('pipe' | 'inherit' | 'ignore' | 'ipc')[] = 'pipe',
): ChildProcess {
  const [program, ...args] = [...mortal, ...argv] as [string, ...string[]];
  const child = spawn(program, args, { stdio });
  children.add(child);
  child.once('close', () => children.delete(child));
  return child;
}

async function stop(child: ChildProcess, how: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.removeAllListeners('close');
  const closed = once(child, 'close');
  child.kill(how);
  await closed;
  children.delete(child);
}

async function main(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'fairlead-bench-'));
  try {
    await bundle();
    spawnSync('ip', ['link', 'set', 'lo', 'up']);
    const server = await startServer();
    const kubeconfig = join(folder, 'kubeconfig');
    writeFileSync(kubeconfig, server.kubeconfig);
    const transport = httpTransport(loadKubeConfig({ kubeconfig, env: {} }));
    const client = createClient({ transport, clock: systemClock });
    const medians: number[] = [];
    let filled = 0;
    for (const count of COUNTS) {
      await server.order({ do: 'fill', from: filled, to: count });
      filled = count;
      medians.push(await one(server, client, kubeconfig, count, count === COUNTS[0]));
    }
    const ratio = (medians.at(-1) ?? Number.NaN) / (medians[0] ?? Number.NaN);
    say('change, p50: the largest size / the smallest', ratio.toFixed(2), 'flat: within 1.5');
    transport.close();
  } finally {
    for (const child of [...children]) await stop(child, 'SIGKILL');
    rmSync(folder, { recursive: true });
  }
}

async function one(
  server: Server,
  client: Client,
  kubeconfig: string,
  count: number,
  withChurn: boolean,
): Promise<number> {
  process.stdout.write(`\n${count.toLocaleString('en')} Services x 2 EndpointSlices\n`);
  spawnSync('nft', ['flush', 'ruleset']);
  const { agent, ms } = await startAgent(kubeconfig);
  say('  exec to first sync, ms', ms.toFixed(0));
  await digested();
  const monitor = await startMonitor(count);
  // To start it takes a change of the ruleset, after which the agent compares everything once.
  await sleep(3000 + count / 20);
  const p50 = await change(client, monitor, agent, count);
  if (withChurn) await churn(server, monitor, count);
  const [, rss] = /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${agent.pid}/status`, 'utf8')) ?? [];
  say('  memory of the agent, MB', (Number(rss) / 1000).toFixed(0));
  for (const child of [...children])
    if (child.channel === undefined || child.channel === null)
      await stop(child, child === agent ? 'SIGTERM' : 'SIGKILL');
  return p50;
}

async function startAgent(kubeconfig: string): Promise<{ readonly agent: ChildProcess; readonly ms: number }> {
  const startMs = performance.now();
  const agent = start([
    ...['env', ...environment, process.execPath, ...nodeFlags],
    ...[join(import.meta.dirname, '../../dist/fairlead.js'), 'agent', '--node-name=n1', '--parts=proxy'],
    ...[`--kubeconfig=${kubeconfig}`, '--cluster-cidr=10.0.0.0/8', '--conntrack-max-per-core=0'],
    ...[`--metrics-bind-address=${METRICS}`],
  ]);
  let text = '';
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  const on = (chunk: Buffer): void => {
    text = (text + chunk.toString()).slice(-20_000);
    if (text.includes('"msg":"synced"')) resolve(performance.now() - startMs);
  };
  agent.stdout?.on('data', on);
  agent.stderr?.on('data', on);
  agent.once('close', () => {
    reject(new Error(`the agent ended: ${text}`));
    process.stderr.write(text);
  });
  const timer = setTimeout(() => reject(new Error(`the agent does not sync: ${text}`)), LIMIT_MS);
  try {
    return { agent, ms: await promise };
  } finally {
    clearTimeout(timer);
  }
}

/** What follows the first sync: the agent notes which rules are its own. */
async function digested(): Promise<void> {
  const limitMs = performance.now() + LIMIT_MS;
  const noted = (): number =>
    (spawnSync('nft', ['list', 'chains'], { encoding: 'utf8' }).stdout.match(/chain sum-/g) ?? []).length;
  while (noted() < 2) {
    if (performance.now() > limitMs) throw new Error('the agent does not note its rules');
    await sleep(200);
  }
}

/** `nft monitor`, which is there once it tells of a table that is made for that. */
async function startMonitor(count: number): Promise<Monitor> {
  const child = start(['nft', 'monitor'], ['ignore', 'pipe', 'inherit']);
  const times = new Map<string, number>(); // address -> when it was seen
  const generations: number[] = [];
  const waiting = new Map<string, (ms: number) => void>();
  let isThere = false;
  let rest = '';
  child.stdout?.on('data', (chunk: Buffer) => {
    const nowMs = clockMs();
    isThere = true;
    const lines = (rest + chunk.toString()).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) {
      if (line.startsWith('# new generation')) generations.push(nowMs);
      if (!line.startsWith('add element ip fairlead endpoints ')) continue;
      for (const [, address = ''] of line.matchAll(/ : (10\.[\d.]+) \. 8080/g)) {
        if (!times.has(address)) times.set(address, nowMs);
        waiting.get(address)?.(nowMs);
        waiting.delete(address);
      }
    }
  });
  // It begins by reading the whole ruleset, and again after each change: the probes must leave it the time.
  for (let waitMs = 500 + count / 20; !isThere; waitMs *= 2) {
    if (waitMs > LIMIT_MS / 2) throw new Error('nft monitor tells nothing');
    await sleep(waitMs);
    spawnSync('nft', ['add table ip bench; delete table ip bench']);
    await sleep(500);
  }
  return {
    async seen(address) {
      const { promise, resolve, reject } = Promise.withResolvers<number>();
      const known = times.get(address);
      if (known !== undefined) return known;
      waiting.set(address, resolve);
      const timer = setTimeout(() => reject(new Error(`${address} never reached the kernel`)), 30_000);
      try {
        return await promise;
      } finally {
        clearTimeout(timer);
      }
    },
    times: () => times,
    generations: () => generations,
    forget() {
      times.clear();
      generations.length = 0;
    },
  };
}

/** Endpoints of single Services replaced, one after the other. Returns the median in ms. */
async function change(client: Client, monitor: Monitor, agent: ChildProcess, count: number): Promise<number> {
  const sinceAnswer: number[] = [];
  const sinceRequest: number[] = [];
  const beforeMs = cpuOf(agent);
  for (let index = 0; index < CHANGES; index += 1) {
    const address = freshAddress(index);
    const path = `${slicesPath}/s${(index * 7919) % count}-b`;
    const slice = await client.call<EndpointSlice>({ method: 'GET', path, signal });
    const body = { ...slice, endpoints: (slice.endpoints ?? []).map((one) => ({ ...one, addresses: [address] })) };
    monitor.forget();
    const requestedMs = clockMs();
    await client.call({ method: 'PUT', path, body, signal });
    const answeredMs = clockMs();
    const seenMs = await monitor.seen(address);
    sinceAnswer.push(seenMs - answeredMs);
    sinceRequest.push(seenMs - requestedMs);
    await sleep(APART_MS);
  }
  for (const list of [sinceAnswer, sinceRequest]) list.sort((a, b) => a - b);
  const p50 = percentile(sinceAnswer, 0.5);
  say('  change answered -> seen by nft monitor, p50, ms', p50.toFixed(2), 'under 1.5');
  say('    p99, ms', percentile(sinceAnswer, 0.99).toFixed(2), 'under 5');
  say('    from the request on, p50, ms', percentile(sinceRequest, 0.5).toFixed(2));
  say('    CPU of the agent per change, ms', ((cpuOf(agent) - beforeMs) / CHANGES).toFixed(2), 'at most 2.2');
  return p50;
}

/** Many changes per second, made in the server's process so that requests do not take the machine. */
async function churn(server: Server, monitor: Monitor, count: number): Promise<void> {
  monitor.forget();
  const before = await commits();
  const startMs = clockMs();
  const lists = new AbortController();
  const listing = listAgain(lists.signal);
  const changes = SECONDS * PER_SECOND;
  const { answeredMs = [] } = await server.order({ do: 'churn', count, changes, perSecond: PER_SECOND });
  const seconds = (clockMs() - startMs) / 1000;
  lists.abort();
  const { tookMs, failed } = await listing;
  await monitor.seen(churnAddress(changes - 1));
  await sleep(300);
  const after = await commits();
  const times = monitor.times();
  const ages = answeredMs.flatMap((ms, index) => {
    const seenMs = times.get(churnAddress(index));
    return seenMs === undefined ? [] : [seenMs - ms];
  });
  ages.sort((a, b) => a - b);
  const rate = changes / seconds;
  say(`  ${PER_SECOND.toLocaleString('en')} changes per second, made`, rate.toFixed(0), `${PER_SECOND}`);
  say('    commits per second', ((after - before) / seconds).toFixed(1), 'at most 10');
  say('    most within one second', `${mostPerSecond(monitor.generations())}`, 'at most 10, one at the edge');
  say('    age of a change in the kernel, p50, ms', percentile(ages, 0.5).toFixed(0));
  say('    worst, ms', (ages.at(-1) ?? Number.NaN).toFixed(0), 'at most 110');
  say('    changes never seen', `${changes - ages.length}`, '0');
  say(
    '    nft list table ip fairlead beside it, times it ended',
    `${tookMs.length} of ${tookMs.length + failed}`,
    'all',
  );
  say('      p50, ms', percentile(tookMs, 0.5).toFixed(0));
  say('      longest, ms', (tookMs.at(-1) ?? Number.NaN).toFixed(0));
}

/** Reads the table again and again; each in 10 s at most. */
async function listAgain(end: AbortSignal): Promise<{ readonly tookMs: readonly number[]; readonly failed: number }> {
  const tookMs: number[] = [];
  let failed = 0;
  while (!end.aborted) {
    const startMs = performance.now();
    const child = start(['timeout', '10', 'nft', 'list', 'table', 'ip', 'fairlead'], ['ignore', 'ignore', 'inherit']);
    const [code] = (await once(child, 'close')) as [number | null];
    const ms = performance.now() - startMs;
    if (code === 0) tookMs.push(ms);
    else failed += 1;
    await sleep(Math.max(0, LIST_MS - ms));
  }
  return { tookMs: tookMs.sort((a, b) => a - b), failed };
}

/** Of the agent, both families. */
async function commits(): Promise<number> {
  const text = await (await fetch(`http://${METRICS}/metrics`)).text();
  let sum = 0;
  for (const [, value] of text.matchAll(/^fairlead_proxy_commits_total\{[^}]*\} (\d+)/gm)) sum += Number(value);
  return sum;
}

function mostPerSecond(times: readonly number[]): number {
  let most = 0;
  let first = 0;
  for (const [index, ms] of times.entries()) {
    while (ms - (times[first] as number) >= 1000) first += 1;
    most = Math.max(most, index - first + 1);
  }
  return most;
}

/** User and system time of a process, in ms. */
function cpuOf({ pid }: ChildProcess): number {
  const [, rest = ''] = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ');
  const fields = rest.split(' ');
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

/** The same in all processes, in ms. */
const clockMs = (): number => Number(process.hrtime.bigint()) / 1e6;

const addressIn = (block: number, index: number): string =>
  `10.${block + (index >> 16)}.${(index >> 8) & 255}.${index & 255}`;
const freshAddress = (index: number): string => addressIn(200, index);
const churnAddress = (index: number): string => addressIn(220, index);

const say = (what: string, value: string, limit = ''): void =>
  void process.stdout.write(`${what.padEnd(66)} ${value.padStart(10)}${limit === '' ? '' : `   (${limit})`}\n`);

// ---------------------------------------------------------------------------------------------------------------------
// The API server

async function startServer(): Promise<Server> {
  const child = start(
    [process.execPath, '--max-old-space-size=4096', import.meta.filename, 'serve'],
    [...(['ignore', 'inherit', 'inherit', 'ipc'] as const)],
  );
  const answer = async (): Promise<Done> => {
    const ended = new AbortController();
    const end = (): void => ended.abort(new Error('the API server ended'));
    child.once('close', end);
    try {
      const [done] = (await once(child, 'message', { signal: ended.signal })) as [Done];
      return done;
    } finally {
      child.removeListener('close', end);
    }
  };
  const { kubeconfig = '' } = await answer();
  return {
    kubeconfig,
    async order(order) {
      const done = answer();
      child.send(order);
      return await done;
    },
  };
}

async function serve(): Promise<void> {
  const api = createSandboxApi({ clock: systemClock, serviceCidrs: ['172.16.0.0/12'], plane: false });
  const node = {
    metadata: metadata('n1'),
    spec: { podCIDR: '10.0.0.0/24' },
    status: { addresses: [{ type: 'InternalIP', address: '127.0.0.1' }] },
  };
  api.seed(resources.nodes, [node as unknown as KubeObject]);
  const tell = (done: Done): void => void process.send?.(done);
  process.on('message', (order: Order) => void obey(api, order).then(tell));
  const { kubeconfig } = await api.listen();
  tell({ kubeconfig });
}

async function obey(api: SandboxApi, order: Order): Promise<Done> {
  switch (order.do) {
    case 'fill':
      fill(api, order.from, order.to);
      return {};
    case 'churn':
      return { answeredMs: await change1000(api, order) };
    default:
      return order satisfies never;
  }
}

/** As they are stored, without admission. */
function fill(api: SandboxApi, from: number, to: number): void {
  const services: KubeObject[] = [];
  const slices: KubeObject[] = [];
  for (let index = from; index < to; index += 1) {
    services.push(serviceAt(index));
    for (const [at, name] of ['a', 'b'].entries()) slices.push(sliceAt(index, name, at));
  }
  api.seed(resources.services, services);
  api.seed(resources.endpointslices, slices);
}

/** One after the other at that pace; a tick that comes late makes up for it. */
async function change1000(
  api: SandboxApi,
  { count, changes, perSecond }: Extract<Order, { do: 'churn' }>,
): Promise<readonly number[]> {
  const answeredMs: number[] = [];
  const startMs = clockMs();
  for (let index = 0; index < changes; ) {
    const due = Math.min(changes, Math.ceil(((clockMs() - startMs) * perSecond) / 1000));
    for (; index < due; index += 1) {
      const service = index % count;
      const body = JSON.stringify({ endpoints: endpointsAt(churnAddress(index), 1) });
      const { status, body: answer } = await api.handle({
        method: 'PATCH',
        path: `${slicesPath}/s${service}-b`,
        headers: { 'content-type': 'application/merge-patch+json' },
        body,
        signal,
      });
      answer.resume();
      if (status !== 200) throw new Error(`the change of s${service}-b: ${status}`);
      answeredMs.push(clockMs());
    }
    await sleep(1);
  }
  return answeredMs;
}

const metadata = (name: string, more: object = {}) => ({
  name,
  uid: `uid-${name}`,
  creationTimestamp: '2026-01-01T00:00:00Z',
  generation: 1,
  ...more,
});

function serviceAt(index: number): KubeObject {
  const clusterIP = `172.${16 + (index >> 16)}.${(index >> 8) & 255}.${index & 255}`;
  return {
    metadata: metadata(`s${index}`, { namespace: 'default' }),
    spec: {
      type: 'ClusterIP',
      clusterIP,
      clusterIPs: [clusterIP],
      ipFamilies: ['IPv4'],
      ipFamilyPolicy: 'SingleStack',
      internalTrafficPolicy: 'Cluster',
      sessionAffinity: 'None',
      selector: { app: `s${index}` },
      ports: [{ port: 80, protocol: 'TCP', targetPort: 8080 }],
    },
    status: { loadBalancer: {} },
  } as unknown as KubeObject;
}

function sliceAt(index: number, name: string, at: number): KubeObject {
  const labels = { 'kubernetes.io/service-name': `s${index}`, 'endpointslice.kubernetes.io/managed-by': 'bench' };
  return {
    metadata: metadata(`s${index}-${name}`, { namespace: 'default', labels }),
    addressType: 'IPv4',
    ports: [{ name: '', port: 8080, protocol: 'TCP' }],
    endpoints: endpointsAt(addressIn(16, index * 2 + at), at),
  } as unknown as KubeObject;
}

const endpointsAt = (address: string, at: number) => [
  { addresses: [address], conditions: { ready: true, serving: true, terminating: false }, nodeName: `n${at + 1}` },
];

const [mode] = process.argv.slice(2);
if (mode === undefined) enter();
else if (mode === 'inside') await main();
else await serve();
