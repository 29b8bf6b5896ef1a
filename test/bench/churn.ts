/**
 * The service proxy under churn, and what a connection through a VIP costs: 1,500 endpoint changes per second (sandbox API)
 * under 120,000 connections, none of which may be refused; TCP connects through a ClusterIP beside kube-proxy's and beside
 * the pod's own address. Needs root, nft, conntrack and gcc; kube-proxy where it is built.
 */

import { churn, notServed, sliceWith } from '../flows/churn.ts';
import { sandboxCluster, startCluster } from '../flows/cluster.ts';
import { clean, fairlead, kubeProxy, kubeProxyProgram, type ServiceProxy } from '../flows/proxies.ts';
import { caughtUp } from '../flows/run.ts';
import { clusterIp, ready, type ServiceSpec } from '../flows/services.ts';
import { flowsMissing } from '../flows/suites.ts';
import { startTraffic } from '../flows/traffic.ts';
import { createWorld, podAddress, type World } from '../flows/world.ts';

const CONNECTIONS = 120_000;
const PER_SECOND = 1500;
const CONNECTS = 20_000;
/** Interleaved, so that what else the machine does meets all alike. */
const ROUNDS = 5;
const spec: ServiceSpec = { name: 'vip', index: 1, slices: [ready('abef')] };

async function main(): Promise<number> {
  if (flowsMissing !== undefined) {
    process.stderr.write(`left out: ${flowsMissing.join(': ')}\n`);
    return 0;
  }
  const after: (() => void | Promise<void>)[] = [];
  const world = await createWorld();
  try {
    const isServed = await measureChurn(world, after);
    await measureConnects(world, after);
    return isServed ? 0 : 1;
  } finally {
    for (const end of after.reverse()) await end();
    await world.close();
  }
}

async function measureChurn(world: World, after: (() => void | Promise<void>)[]): Promise<boolean> {
  const cluster = await sandboxCluster({ after: (end) => void after.push(end) }, world.traffic);
  await cluster.put(spec);
  const agent = fairlead.start(world, cluster);
  await caughtUp(world, cluster, 1);
  const { outcomes, changes, seconds } = await churn(world, {
    spec,
    family: 4,
    connections: CONNECTIONS,
    parallel: 8,
    perSecond: PER_SECOND,
    writers: 1,
    write: (endpoints) => cluster.replaceSlice(sliceWith(spec, 4, endpoints)),
  });
  await agent.kill();
  await clean(world);
  const lost = notServed(outcomes);
  const rate = Math.round(changes / seconds);
  print('churn', `${CONNECTIONS} connections beside ${changes} changes (${rate}/s) in ${seconds.toFixed(1)} s`);
  print('not served', Object.keys(lost).length === 0 ? '0' : JSON.stringify(lost));
  return Object.keys(lost).length === 0;
}

async function measureConnects(world: World, after: (() => void | Promise<void>)[]): Promise<void> {
  const cluster = await startCluster({ after: (end) => void after.push(end) }, world.traffic);
  if (cluster === undefined) return print('connect', 'left out: no kube-apiserver');
  await cluster.put(spec);
  const program = await kubeProxyProgram();
  if (program === undefined) print('kube-proxy', 'left out: not built');
  const proxies: readonly ServiceProxy[] = [...(program === undefined ? [] : [kubeProxy(program)]), fairlead];
  // Of its own, so that the servers run beside it.
  const client = startTraffic();
  await client.addNamespace('d', world.netns.path('d'));
  const times = new Map<string, number[]>();
  const measure = async (name: string, address: string, port: number): Promise<void> => {
    const some = await client.latencies({ ns: 'd', source: podAddress('d')[4], address, port }, CONNECTS / ROUNDS);
    times.set(name, [...(times.get(name) ?? []), ...some]);
  };
  let nth = 10;
  for (let round = 0; round < ROUNDS; round += 1)
    for (const proxy of proxies) {
      await clean(world);
      const running = proxy.start(world, cluster);
      await caughtUp(world, cluster, nth);
      nth += 1;
      await measure('no Service', podAddress('a')[4], 8080);
      await measure(proxy.name, clusterIp(spec.index)[4], 80);
      await running.kill();
    }
  await client.close();
  for (const [name, all] of times) print(`connect, ${name}`, quantiles(all));
}

function quantiles(times: readonly number[]): string {
  const sorted = [...times].sort((a, b) => a - b);
  const at = (share: number): string => `${((sorted[Math.floor(sorted.length * share)] ?? 0) / 1000).toFixed(1)} us`;
  return `p50 ${at(0.5)}, p90 ${at(0.9)}, p99 ${at(0.99)}, ${sorted.length} connects`;
}

function print(what: string, value: string): void {
  process.stdout.write(`${what.padEnd(24)} ${value}\n`);
}

process.exitCode = await main();
