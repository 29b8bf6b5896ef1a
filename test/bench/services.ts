/**
 * Services on a real kube-apiserver: ours beside MetalLB's controller and beside the server's own limits, in one run.
 * BENCH_WAITING (10,000) makes a shorter one: creating them takes the API server minutes.
 * `node test/bench/services.ts [PART...]`: create, wait, restart, memory, metallb; all without a word.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { bundle } from '../../deploy/build.ts';
import type { Service } from '../../src/core/objects.ts';
import type { Client } from '../../src/kube/request.ts';
import { textOf } from '../../src/kube/request.ts';
import { kubectl } from '../kube/ask.ts';
import { howToGetKube } from '../kube/build.ts';
import { type Api, findRealApi } from '../kube/cluster.ts';
import { type Guarded, guarded } from '../kube/guard.ts';
import { type Controller, startController, startTime, statusPatchRate } from './controller.ts';
import { type LoadResult, load, percentile } from './load.ts';
import { startMetallb } from './metallb.ts';

const never = new AbortController().signal;
const root = new URL('../../', import.meta.url).pathname;
const ends: (() => void | Promise<void>)[] = [];
const scope = { after: (end: () => void | Promise<void>) => void ends.push(end) };

interface Bench {
  readonly api: Api;
  readonly client: Client;
  readonly guard: Guarded;
}

async function prepare(): Promise<Bench> {
  const api = await findRealApi(scope, { serviceClusterIpRange: '10.96.0.0/16' });
  if (api === undefined) throw new Error(`no kube-apiserver: ${howToGetKube}`);
  const guard = guarded('fairlead-bench-');
  scope.after(() => guard.close());
  for (const folder of ['deploy/kustomize/components/metallb-crds', 'deploy/crds']) {
    const { code, stderr } = await kubectl(api, ['apply', '-k', `${root}${folder}`]);
    if (code !== 0) throw new Error(stderr);
  }
  const established = await kubectl(api, ['wait', '--for=condition=Established', 'crd', '--all', '--timeout=30s']);
  if (established.code !== 0) throw new Error(established.stderr);
  return { api, client: api.client(), guard };
}

async function addPool({ client }: Bench, addresses: string): Promise<void> {
  const pool = {
    apiVersion: 'metallb.io/v1beta1',
    kind: 'IPAddressPool',
    metadata: { name: 'default', namespace: 'metallb-system' },
    spec: { addresses: [addresses] },
  };
  const path = '/apis/metallb.io/v1beta1/namespaces/metallb-system/ipaddresspools';
  await client.call({ method: 'POST', path, body: pool, signal: never });
}

function say(what: string, value: string, reach = ''): void {
  process.stdout.write(`${what.padEnd(66)} ${value.padStart(12)}${reach === '' ? '' : `   (${reach})`}\n`);
}

const perSecond = (count: number, ms: number): string => `${((count * 1000) / ms).toFixed(0)}/s`;
const millis = (ms: number): string => `${ms.toFixed(ms < 10 ? 1 : 0)} ms`;

/** 2,000 Services by 16 writers, and 20 per second, ours and nobody. */
async function create(): Promise<number> {
  const bench = await prepare();
  const bare = await load({ client: bench.client, count: 2000, writers: 16, prefix: 'bare-' });
  say('create 2,000 Services, 16 writers, no controller', perSecond(2000, bare.creationMs));
  await addPool(bench, '10.200.0.0/16');
  const controller = await startController(bench.guard, bench.api, 'create', ['--load-balancer-class=bench/ours']);
  const ours = await load({
    client: bench.client,
    count: 2000,
    writers: 16,
    prefix: 'ours-',
    loadBalancerClass: 'bench/ours',
    untilAddressed: { timeoutMs: 120_000 },
  });
  report('ours', ours);
  const slow = await load({
    client: bench.client,
    count: 400,
    writers: 16,
    perSecond: 20,
    prefix: 'slow-',
    loadBalancerClass: 'bench/ours',
    untilAddressed: { timeoutMs: 60_000 },
  });
  say(
    'ours, 20 creates/s: create answered -> address seen, p50',
    millis(percentile(slow.latenciesMs, 0.5)),
    'under 30 ms',
  );
  say('  p99', millis(percentile(slow.latenciesMs, 0.99)));
  await controller.stop();
  await close();
  return (ours.addressed * 1000) / (ours.totalMs ?? Number.NaN);
}

function report(who: string, { count, addressed, creationMs, totalMs = Number.NaN, latenciesMs }: LoadResult): void {
  say(`${who}: create 2,000 Services, 16 writers`, perSecond(count, creationMs));
  say(`${who}: addressed`, `${addressed}/${count}`);
  say(`${who}: rate of addresses`, perSecond(addressed, totalMs));
  say(`${who}: time of creation / time until the last address`, (creationMs / totalMs).toFixed(3), 'at least 0.95');
  say(`${who}: create answered -> address seen, p50`, millis(percentile(latenciesMs, 0.5)), 'under 100 ms');
  say('  p99', millis(percentile(latenciesMs, 0.99)));
}

async function metallb(): Promise<number> {
  const bench = await prepare();
  const stop = await startMetallb(bench.guard, bench.api);
  await addPool(bench, '10.200.0.0/16');
  await sleep(2000);
  const theirs = await load({
    client: bench.client,
    count: 2000,
    writers: 16,
    prefix: 'metallb-',
    untilAddressed: { timeoutMs: 240_000 },
  });
  report('MetalLB v0.15.2', theirs);
  await stop();
  await close();
  return (theirs.addressed * 1000) / (theirs.totalMs ?? Number.NaN);
}

/** Of them the restart is measured with so many. */
const KEPT = 5000;

/** A pool comes while 10,000 Services wait; then restarts and memory, on the same objects. */
async function waiting(metallbRate: number | undefined, parts: ReadonlySet<string>): Promise<void> {
  const bench = await prepare();
  const count = Number(process.env['BENCH_WAITING'] ?? 10_000);
  const names = Array.from({ length: count }, (_, index) => `wait-${index}`);
  const created = await load({ client: bench.client, count, writers: 16, prefix: 'wait-' });
  say(`create ${count} Services, 16 writers, no controller`, perSecond(count, created.creationMs));
  const rate = await patchRate(bench);
  say("the server's own rate of bare status patches, with those there", `${rate.toFixed(0)}/s`);
  const controller = await startController(bench.guard, bench.api, 'wait');
  await settled(controller);
  const before = controller.cpuMs();
  const startMs = performance.now();
  await addPool(bench, '10.200.0.0/16');
  const ours = (count * 1000) / ((await addressed(bench.client, names)) - startMs);
  say(`ours: ${count} waiting Services after a pool was added`, `${ours.toFixed(0)}/s`);
  say("  share of the server's rate", (ours / rate).toFixed(2), 'at least 0.60, aim at 0.80');
  if (metallbRate !== undefined) say("  times MetalLB's rate at 2,000", (ours / metallbRate).toFixed(1), 'at least 30');
  say('  CPU time of the controller for each', millis((controller.cpuMs() - before) / count));
  await settled(controller);
  await controller.stop();
  if (parts.has('restart')) await restart(bench, names);
  if (parts.has('memory')) await memory(bench);
  // Last, for it changes them; the restart has left the first of them.
  const same = await statusPatchRate(bench.client, names.slice(0, KEPT), '198.51.100.3');
  say('bare status patches of the same Services, which have conditions', `${same.toFixed(0)}/s`);
  await close();
}

/** The better of two runs on Services that nobody serves. */
async function patchRate({ client }: Bench): Promise<number> {
  const names = Array.from({ length: 2000 }, (_, index) => `patched-${index}`);
  await load({ client, count: names.length, writers: 16, prefix: 'patched-', loadBalancerClass: 'nobody/here' });
  return Math.max(
    await statusPatchRate(client, names, '198.51.100.1'),
    await statusPatchRate(client, names, '198.51.100.2'),
  );
}

/** Nothing more is written: two looks a second apart count the same. */
async function settled(controller: Controller): Promise<void> {
  const writes = async () => {
    const { GET: _reads, PUT: _lease, ...rest } = await controller.requests();
    return JSON.stringify(rest);
  };
  for (let before = ''; ; ) {
    const now = await writes();
    if (now === before) return;
    before = now;
    await sleep(1500);
  }
}

/** With 5,000 served Services: no writes but the Lease; the first new one soon. */
async function restart(bench: Bench, names: readonly string[]): Promise<void> {
  for (const group of chunks(names.slice(KEPT), 100)) {
    await Promise.all(
      group.map((name) =>
        bench.client.call({ method: 'DELETE', path: `/api/v1/namespaces/default/services/${name}`, signal: never }),
      ),
    );
  }
  const cleaner = await startController(bench.guard, bench.api, 'cleaner');
  await settled(cleaner);
  await cleaner.stop();
  const quiet = await startController(bench.guard, bench.api, 'quiet');
  await sleep(10_000);
  const { GET: _reads, PUT: lease = 0, ...writes } = await quiet.requests();
  const total = Object.values(writes).reduce((sum, value) => sum + value, 0);
  say(`restart with ${Math.min(KEPT, names.length)} served Services: writes but the Lease`, String(total), '0');
  say('  renewals of the Lease meanwhile', String(lease));
  await quiet.stop();
  await load({ client: bench.client, count: 1, writers: 1, prefix: 'fresh-' });
  const again = await startController(bench.guard, bench.api, 'again');
  await addressed(bench.client, ['fresh-0']);
  const firstMs = Date.now() - (again.said('leading') ?? Number.NaN);
  say('  lease acquired -> first new Service addressed, at most', millis(firstMs), 'under 2,000 ms');
  await again.stop();
}

/** 10,000 Services and 1,000 Nodes, a minute after everything has settled. */
async function memory(bench: Bench): Promise<void> {
  const missing = 10_000 - (await countServices(bench.client));
  if (missing > 0) await load({ client: bench.client, count: missing, writers: 16, prefix: 'more-' });
  for (const group of chunks(
    Array.from({ length: 1000 }, (_, index) => index),
    50,
  )) {
    await Promise.all(group.map((index) => createNode(bench.client, index)));
  }
  const first = await startController(bench.guard, bench.api, 'fill');
  await settled(first);
  await first.stop();
  const controller = await startController(bench.guard, bench.api, 'memory');
  await sleep(60_000);
  const { nowMib, peakMib } = controller.memory();
  say('RSS with 10,000 Services and 1,000 Nodes, 60 s after sync', `${nowMib.toFixed(0)} MB`, 'under 180, aim at 150');
  say('  peak', `${peakMib.toFixed(0)} MB`, 'under 260, aim at 200');
  await controller.stop();
}

const PROBES = 300;

/**
 * CPU of the controller per created and addressed Service, at two sizes and one pace that the API server keeps up with at
 * both: the faster they come, the more of them share the write of a block.
 */
async function flat(): Promise<void> {
  const bench = await prepare();
  await addPool(bench, '10.200.0.0/15');
  const controller = await startController(bench.guard, bench.api, 'flat', ['--load-balancer-class=bench/ours']);
  const costs: number[] = [];
  for (const size of [1000, 10_000]) {
    const there = await countServices(bench.client);
    await load({
      client: bench.client,
      count: size - there,
      writers: 16,
      prefix: `size${size}-`,
      loadBalancerClass: 'bench/ours',
      untilAddressed: { timeoutMs: 120_000 },
    });
    await settled(controller);
    const beforeMs = controller.cpuMs();
    await load({
      client: bench.client,
      count: PROBES,
      writers: 8,
      perSecond: 15,
      prefix: `probe${size}-`,
      loadBalancerClass: 'bench/ours',
      untilAddressed: { timeoutMs: 60_000 },
    });
    await sleep(5000); // its events; to ask for its metrics costs more with more Services
    costs.push((controller.cpuMs() - beforeMs) / PROBES);
    say(
      `CPU of the controller per new Service, with ${size.toLocaleString('en')} there`,
      `${costs.at(-1)?.toFixed(2)} ms`,
    );
  }
  say('  at 10,000 / at 1,000', ((costs[1] ?? Number.NaN) / (costs[0] ?? Number.NaN)).toFixed(2), 'flat: about 1');
  await controller.stop();
  await close();
}

async function start(): Promise<void> {
  const ms = await startTime(['--provider=onprem']);
  say('process start to first list, from the bundle, median of 5', millis(ms), 'under 400 ms');
}

async function countServices(client: Client): Promise<number> {
  const list = await client.call<{
    readonly items: readonly unknown[];
    readonly metadata: { readonly remainingItemCount?: number };
  }>({
    method: 'GET',
    path: '/api/v1/namespaces/default/services?limit=1',
    signal: never,
  });
  return list.items.length + (list.metadata.remainingItemCount ?? 0);
}

async function createNode(client: Client, index: number): Promise<void> {
  const name = `node-${index}`;
  const addresses = [
    { type: 'InternalIP', address: `10.${Math.floor(index / 250)}.${index % 250}.1` },
    { type: 'Hostname', address: name },
  ];
  const labels = {
    'kubernetes.io/hostname': name,
    'kubernetes.io/os': 'linux',
    'topology.kubernetes.io/zone': `zone-${index % 3}`,
  };
  const body = { apiVersion: 'v1', kind: 'Node', metadata: { name, labels }, spec: { providerID: `metal://${name}` } };
  await client.call({ method: 'POST', path: '/api/v1/nodes', body, signal: never });
  await client.call({
    method: 'PATCH',
    path: `/api/v1/nodes/${name}/status`,
    contentType: 'application/merge-patch+json',
    body: { status: { addresses, conditions: [{ type: 'Ready', status: 'True', reason: 'KubeletReady' }] } },
    signal: never,
  });
}

/** Of those that wait, the last to be served. */
const TAIL = 128;

/**
 * When all had an address, by `performance.now()`, at most 50 ms late. Without a watch, as the patches that are measured
 * beside it: the youngest are asked for one by one, which are served last. A list of all, which costs the server as much as
 * hundreds of patches, comes after the clock was read; those that have none by then are waited for in the same way.
 */
async function addressed(client: Client, names: readonly string[]): Promise<number> {
  const path = '/api/v1/namespaces/default/services';
  const hasAddress = ({ status }: Service) => (status?.loadBalancer?.ingress ?? []).length > 0;
  const isServed = async (name: string) =>
    hasAddress(await client.call<Service>({ method: 'GET', path: `${path}/${name}`, signal: never }));
  for (const name of names.slice(-TAIL).reverse()) while (!(await isServed(name))) await sleep(50);
  const nowMs = performance.now();
  const body = await client.open({ method: 'GET', path, signal: never });
  const { items } = JSON.parse(await textOf(body)) as { readonly items: readonly Service[] };
  const served = new Set(items.filter(hasAddress).map(({ metadata }) => metadata.name));
  const missing = names.filter((name) => !served.has(name));
  return missing.length === 0 ? nowMs : await addressed(client, missing);
}

function chunks<T>(all: readonly T[], size: number): readonly (readonly T[])[] {
  return Array.from({ length: Math.ceil(all.length / size) }, (_, index) =>
    all.slice(index * size, (index + 1) * size),
  );
}

async function close(): Promise<void> {
  for (const end of ends.splice(0).reverse()) await end();
}

const asked = new Set(process.argv.slice(2));
const parts = asked.size > 0 ? asked : new Set(['start', 'create', 'metallb', 'wait', 'restart', 'memory', 'flat']);
try {
  await bundle();
  if (parts.has('start')) await start();
  const ours = parts.has('create') ? await create() : undefined;
  const theirs = parts.has('metallb') ? await metallb() : undefined;
  if (ours !== undefined && theirs !== undefined) say("ours / MetalLB's rate of addresses", (ours / theirs).toFixed(1));
  if (parts.has('wait') || parts.has('restart') || parts.has('memory')) await waiting(theirs, parts);
  if (parts.has('flat')) await flat();
} finally {
  await close();
}
