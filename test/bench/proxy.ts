/**
 * The service proxy beside kube-proxy v1.37.2 in nftables mode, in turn, on one kube-apiserver and one namespace each: from
 * exec to the first sync, an endpoint's change from the API server's answer to the kernel, CPU and memory. Root.
 * `BENCH_SERVICES=1000,10000` (two endpoints each), `BENCH_CHANGES=100`, `BENCH_REST_SECONDS=60` before memory is read.
 * Reach: 10,000 loaded in 1 s or a tenth of kube-proxy's, whichever is larger, 1,000 in 0.4 s; a restart without a commit;
 * p50 1.5 ms and p99 5 ms; 1/100 of kube-proxy's CPU per change; 120 MB.
 */
import { type ChildProcess, execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { bundle, environment, nodeFlags } from '../../deploy/build.ts';
import type { EndpointSlice } from '../../src/core/objects.ts';
import type { Client } from '../../src/kube/request.ts';
import { createNetns, type Netns } from '../../src/sandbox/netns.ts';
import { type Api, findRealApi } from '../kube/cluster.ts';

const COUNTS = (process.env['BENCH_SERVICES'] ?? '1000,10000').split(',').map(Number);
const CHANGES = Number(process.env['BENCH_CHANGES'] ?? 100);
const REST_MS = 1000 * Number(process.env['BENCH_REST_SECONDS'] ?? 60);
const LIMIT_MS = 300_000;
const HOST = '198.18.79.1';
const slices = '/apis/discovery.k8s.io/v1/namespaces/default/endpointslices';
const { signal } = new AbortController();

interface Measured {
  readonly loadMs: number;
  readonly restartMs: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly cpuPerChangeMs: number;
  readonly rssMB: number;
}

interface Proxy {
  readonly name: string;
  readonly argv: (kubeconfig: string) => readonly string[];
  /** Written when everything is in the kernel for the first time. */
  readonly synced: RegExp;
  /**
   * What it logs once a sync is in the kernel. Absent: `nft monitor` tells, which beside 55,000 lines of rules needs minutes
   * to begin.
   */
  readonly written?: RegExp;
}

const kubeProxy = join(homedir(), '.cache/fairlead/kube-1.37.2/kube-proxy');
const ours: Proxy = {
  name: 'fairlead',
  argv: (kubeconfig) => [
    ...['env', ...environment, process.execPath, ...nodeFlags],
    ...[join(import.meta.dirname, '../../dist/fairlead.js'), 'agent', '--node-name=n1', '--parts=proxy'],
    ...[`--kubeconfig=${kubeconfig}`, '--cluster-cidr=10.244.0.0/15'],
  ],
  synced: /"msg":"synced"/,
};
const theirs: Proxy = {
  name: 'kube-proxy',
  argv: (kubeconfig) => [
    ...[kubeProxy, '--proxy-mode=nftables', '--hostname-override=n1', `--kubeconfig=${kubeconfig}`, '--v=2'],
    ...['--cluster-cidr=10.244.0.0/15', '--conntrack-max-per-core=0'],
  ],
  synced: /SyncProxyRules complete/,
  written: /SyncProxyRules complete/,
};

await main();

async function main(): Promise<void> {
  const ends: (() => void | Promise<void>)[] = [];
  const scope = { after: (end: () => void | Promise<void>) => void ends.push(end) };
  await bundle();
  const netns = await createNetns({ prefix: 'flbp' });
  try {
    const api = await findRealApi(scope, { serviceClusterIpRange: '10.96.0.0/12' });
    if (api === undefined) throw new Error('no kube-apiserver: npm run kube');
    const place = await makePlace(netns, api, scope);
    const client = api.client();
    await fillNode(client);
    let filled = 0;
    for (const count of COUNTS) {
      await fill(client, filled, count);
      filled = count;
      const rows: [string, Measured][] = [];
      for (const proxy of existsSync(kubeProxy) ? [ours, theirs] : [ours])
        rows.push([proxy.name, await measure(proxy, netns, place, client, count)]);
      print(count, rows);
    }
    if (!existsSync(kubeProxy)) process.stdout.write(`kube-proxy is not beside it: ${kubeProxy} is missing\n`);
  } finally {
    for (const end of ends.reverse()) await end();
    await netns.close();
  }
}

/** The namespace of the node, and a kubeconfig that holds in it: the kernel leads its connections to the server's loopback. */
async function makePlace(netns: Netns, api: Api, scope: { after(end: () => void): void }): Promise<string> {
  await netns.add('n1');
  const [host] = await netns.connect(
    { ifname: 'bp', addresses: [`${HOST}/30`] },
    { ns: 'n1', ifname: 'eth0', addresses: ['198.18.79.2/30'] },
  );
  await netns.ip('n1', [`route add default via ${HOST}`]);
  const port = new URL(api.url).port;
  writeFileSync(`/proc/sys/net/ipv4/conf/${host}/route_localnet`, '1');
  const rules = [
    'table ip flbp {',
    '  chain pre {',
    '    type nat hook prerouting priority -100',
    `    iifname "${host}" tcp dport 6443 dnat to 127.0.0.1:${port}`,
    '  }',
    '}',
    '',
  ];
  execFileSync('nft', ['-f', '-'], { input: rules.join('\n') });
  scope.after(() => void execFileSync('nft', ['delete', 'table', 'ip', 'flbp']));
  const config = JSON.parse(readFileSync(api.kubeconfig, 'utf8')) as { clusters: { cluster: object }[] };
  const [first] = config.clusters;
  if (first !== undefined) first.cluster = { server: `https://${HOST}:6443`, 'insecure-skip-tls-verify': true };
  const path = join(netns.folder, 'kubeconfig');
  writeFileSync(path, JSON.stringify(config));
  return path;
}

async function fillNode(client: Client): Promise<void> {
  const post = (path: string, body: object) => client.call({ method: 'POST', path, body, signal });
  await post('/api/v1/nodes', { metadata: { name: 'n1' }, spec: { podCIDR: '10.244.1.0/24' } });
  await client.call({
    method: 'PATCH',
    path: '/api/v1/nodes/n1/status',
    contentType: 'application/merge-patch+json',
    body: { status: { addresses: [{ type: 'InternalIP', address: '198.18.79.2' }] } },
    signal,
  });
}

async function fill(client: Client, from: number, to: number): Promise<void> {
  const post = (path: string, body: object) => client.call({ method: 'POST', path, body, signal });
  let next = from;
  const one = async (index: number): Promise<void> => {
    const name = `s${index}`;
    await post('/api/v1/namespaces/default/services', {
      metadata: { name },
      spec: { ports: [{ port: 80, targetPort: 8080 }] },
    });
    await post(slices, {
      metadata: { name, labels: { 'kubernetes.io/service-name': name } },
      addressType: 'IPv4',
      ports: [{ name: '', protocol: 'TCP', port: 8080 }],
      endpoints: [1, 2].map((node) => ({
        addresses: [`10.244.${node}.${2 + (index % 250)}`],
        conditions: { ready: true },
        nodeName: `n${node}`,
      })),
    });
  };
  await Promise.all(
    Array.from({ length: 20 }, async () => {
      while (next < to) await one(next++);
    }),
  );
}

async function measure(
  proxy: Proxy,
  netns: Netns,
  kubeconfig: string,
  client: Client,
  count: number,
): Promise<Measured> {
  await netns.exec('n1', ['nft', 'flush', 'ruleset']);
  const first = await start(proxy, netns, kubeconfig);
  await sleep(3000); // what follows the first sync: the second family, a digest of the rules
  await stop(first.child);
  const again = await start(proxy, netns, kubeconfig);
  await sleep(3000);
  const changes = await change(netns, client, again.child, count, proxy);
  await sleep(REST_MS);
  const rssMB = Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${again.child.pid}/status`, 'utf8'))?.[1]) / 1000;
  await stop(again.child);
  return { loadMs: first.ms, restartMs: again.ms, ...changes, rssMB };
}

async function start(
  { argv, synced, name }: Proxy,
  netns: Netns,
  kubeconfig: string,
): Promise<{ readonly child: ChildProcess; readonly ms: number }> {
  const startMs = performance.now();
  const child = netns.spawn('n1', argv(kubeconfig), { stdio: ['ignore', 'pipe', 'pipe'] });
  let text = '';
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  const on = (chunk: Buffer): void => {
    text = (text + chunk.toString()).slice(-20_000);
    if (synced.test(text)) resolve(performance.now() - startMs);
  };
  child.stdout?.on('data', on);
  child.stderr?.on('data', on);
  child.once('close', () => reject(new Error(`${name} ended: ${text}`)));
  const timer = setTimeout(() => reject(new Error(`${name} does not sync: ${text}`)), LIMIT_MS);
  try {
    return { child, ms: await promise };
  } finally {
    clearTimeout(timer);
  }
}

async function stop(child: ChildProcess): Promise<void> {
  child.removeAllListeners('close');
  const closed = once(child, 'close');
  child.kill('SIGTERM');
  await closed;
}

/** Endpoints of single Services replaced, one after the other: answered by the API server -> seen by `nft monitor`. */
async function change(netns: Netns, client: Client, child: ChildProcess, count: number, { name, written }: Proxy) {
  let wanted: { readonly pattern: RegExp; readonly seen: (ms: number) => void } | undefined;
  let text = '';
  const on = (chunk: Buffer): void => {
    text = (text + chunk.toString()).slice(-200_000);
    if (wanted?.pattern.test(text) !== true) return;
    wanted.seen(performance.now());
    wanted = undefined;
  };
  const monitor =
    written === undefined ? netns.spawn('n1', ['nft', 'monitor'], { stdio: ['ignore', 'pipe', 'ignore'] }) : undefined;
  monitor?.stdout?.on('data', on);
  if (monitor === undefined) child.stderr?.on('data', on);
  else await ready(netns, () => text);
  const latencies: number[] = [];
  let cpuMs = 0;
  for (let index = 0; index < CHANGES; index += 1) {
    const address = `10.245.${name.length}.${1 + (index % 250)}`;
    const path = `${slices}/s${(index * 37) % count}`;
    const slice = await client.call<EndpointSlice>({ method: 'GET', path, signal });
    const [replaced, ...others] = slice.endpoints ?? [];
    const { promise, resolve } = Promise.withResolvers<number>();
    text = '';
    wanted = { pattern: written ?? new RegExp(`${address.replaceAll('.', '\\.')} \\. 8080`), seen: resolve };
    const before = cpuOf(child);
    const body = { ...slice, endpoints: [{ ...replaced, addresses: [address] }, ...others] };
    await client.call({ method: 'PUT', path, body, signal });
    const answeredMs = performance.now();
    const late = sleep(30_000).then(() => {
      throw new Error(`${name}: change ${index} never reached the kernel`);
    });
    late.catch(() => {});
    latencies.push((await Promise.race([promise, late])) - answeredMs);
    // kube-proxy waits a second between two syncs.
    await sleep(written === undefined ? 150 : 1500);
    cpuMs += cpuOf(child) - before;
  }
  monitor?.kill('SIGKILL');
  latencies.sort((a, b) => a - b);
  const quantile = (q: number): number => latencies[Math.min(CHANGES - 1, Math.floor(q * CHANGES))] as number;
  return { p50Ms: quantile(0.5), p99Ms: quantile(0.99), cpuPerChangeMs: cpuMs / CHANGES };
}

/** `nft monitor` first reads the whole ruleset. */
async function ready(netns: Netns, seen: () => string): Promise<void> {
  const endMs = performance.now() + LIMIT_MS;
  while (!seen().includes('bench-ready')) {
    if (performance.now() > endMs) throw new Error('nft monitor never shows anything');
    await netns.exec('n1', ['nft', 'add table ip bench-ready; delete table ip bench-ready']);
    await sleep(500);
  }
}

/** User and system time of a process, in ms. */
function cpuOf({ pid }: ChildProcess): number {
  const [, rest = ''] = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ');
  const fields = rest.split(' ');
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

function print(count: number, rows: readonly (readonly [string, Measured])[]): void {
  const columns: readonly [keyof Measured, string, number][] = [
    ['loadMs', 'exec to first sync, ms', 0],
    ['restartMs', 'restart, ms', 0],
    ['p50Ms', 'change p50, ms', 2],
    ['p99Ms', 'change p99, ms', 2],
    ['cpuPerChangeMs', 'CPU per change, ms', 2],
    ['rssMB', 'memory, MB', 0],
  ];
  process.stdout.write(`\n${count} Services x 2 endpoints\n`);
  for (const [field, title, digits] of columns) {
    const values = rows.map(([name, measured]) => `${name} ${measured[field].toFixed(digits)}`);
    const [mine, other] = rows.map(([, measured]) => measured[field]) as [number, number | undefined];
    const ratio = other === undefined ? '' : `  ${(other / mine).toFixed(1)} times`;
    process.stdout.write(`  ${title.padEnd(24)} ${values.join('   ')}${ratio}\n`);
  }
}
