/**
 * The AWS provider on a real kube-apiserver and moto, its calls counted by a proxy, beside what the AWS Load Balancer
 * Controller took for the same work (v3.5.0, August 2026, moto, 50 Services x 2 ports with pod-IP targets).
 * `node test/bench/aws.ts [PART...]`: start, create, restart, pod, delete, node, and on our fake (aws-large.ts)
 * restart-large, routes; all without a word. Moto serves one call at a time in some 4 ms, so it is part of every time here.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { bundle } from '../../deploy/build.ts';
import { howToGetMoto } from '../../localstack/moto.ts';
import type { Seeded } from '../../localstack/seed.ts';
import type { Service } from '../../src/core/objects.ts';
import type { Client } from '../../src/kube/request.ts';
import { type Cloud, createCloud } from '../e2e/aws/cloud.ts';
import { howToGetKube } from '../kube/build.ts';
import { type Api, findRealApi } from '../kube/cluster.ts';
import { type Guarded, guarded } from '../kube/guard.ts';
import { type Account, findMoto } from '../localstack/moto.ts';
import type { Recorded } from '../localstack/recorder.ts';
import { restartLarge, routes } from './aws-large.ts';
import { type Controller, startController, startTime } from './controller.ts';

const COUNT = 50;
const CLUSTER = 'bench';
const never = new AbortController().signal;
const ends: (() => void | Promise<void>)[] = [];
const scope = { after: (end: () => void | Promise<void>) => void ends.push(end) };

/** The AWS Load Balancer Controller, as measured. */
const theirs = {
  createMs: 30_500,
  createCalls: 33.4,
  restartCalls: 1167,
  restartWrites: 50,
  deleteMs: 21_000,
  deleteCalls: 10,
};

interface Bench {
  readonly api: Api;
  readonly client: Client;
  readonly account: Account;
  readonly cloud: Cloud;
  readonly seeded: Seeded;
  readonly guard: Guarded;
}

async function prepare(): Promise<Bench> {
  const api = await findRealApi(scope);
  if (api === undefined) throw new Error(`no kube-apiserver: ${howToGetKube}`);
  const server = await findMoto(scope);
  if (server === undefined) throw new Error(`no moto: ${howToGetMoto}`);
  const account = await server.account(scope);
  const seeded = await account.seed(CLUSTER);
  const guard = guarded('fairlead-bench-');
  scope.after(() => guard.close());
  const bench = { api, client: api.client(), account, seeded, guard, cloud: createCloud(scope, account.aside, seeded) };
  for (const [index, { id, zone, privateDnsName, address }] of seeded.instances.entries()) {
    const podCIDR = `192.168.${index * 32 + 16}.0/24`;
    await createNode(bench, { name: privateDnsName, providerID: `aws:///${zone}/${id}`, podCIDR, address });
  }
  return bench;
}

function start(bench: Bench, name: string): Promise<Controller> {
  const flags = ['--controllers=service', `--cluster-name=${CLUSTER}`, `--aws-vpc-id=${bench.seeded.vpcId}`];
  return startController(bench.guard, bench.api, name, flags, {
    provider: 'aws',
    env: { ...bench.account.env, AWS_EC2_METADATA_DISABLED: 'true' },
  });
}

/** 50 Services, two ports, two pods: from the first create until every hostname is shown and every target registered. */
async function create(bench: Bench): Promise<Controller> {
  const controller = await start(bench, 'create');
  for (let index = 0; index < COUNT; index += 1) await createSlice(bench, index, ['192.168.16.10', '192.168.48.10']);
  await settled(bench);
  bench.account.clear();
  const startMs = performance.now();
  await Promise.all(
    Array.from({ length: 8 }, async (_, writer) => {
      for (let index = writer; index < COUNT; index += 8) await createService(bench, index, 'ip');
    }),
  );
  await until(async () => {
    if (registered(bench.account.calls) < 2 * COUNT) return false;
    return (await servicesOf(bench)).every(({ status }) => (status?.loadBalancer?.ingress ?? []).length > 0);
  }, 120_000);
  const tookMs = performance.now() - startMs;
  const calls = [...bench.account.calls];
  const polls = calls.filter(isPoll).length;
  say(
    `create ${COUNT} Services x 2 ports, pod-IP targets`,
    seconds(tookMs),
    `${seconds(theirs.createMs)}; at least 5 times faster`,
  );
  say('  times faster', (theirs.createMs / tookMs).toFixed(1), 'at least 5');
  say(
    '  calls per Service, polling apart',
    ((calls.length - polls) / COUNT).toFixed(1),
    `${theirs.createCalls}; at most 14`,
  );
  say('  polling (DescribeTargetHealth)', String(polls));
  list(calls);
  const { loadBalancers, targetGroups } = await bench.cloud.held();
  const wrong = targetGroups.filter(({ targets }) => targets.length !== 2).length;
  say(
    '  load balancers, target groups, of these with wrong targets',
    `${loadBalancers.length}, ${targetGroups.length}, ${wrong}`,
    '50, 100, 0',
  );
  const { nowMib, peakMib } = controller.memory();
  say('  RSS of the controller, SDK loaded', `${nowMib.toFixed(0)} MB`, `under 180; peak ${peakMib.toFixed(0)}`);
  return controller;
}

/** Another process on the same objects. */
async function restart(bench: Bench, before: Controller): Promise<Controller> {
  await settled(bench);
  await before.stop();
  bench.account.clear();
  const controller = await start(bench, 'restart');
  const readyMs = controller.said('audit') ?? Number.NaN;
  await settled(bench);
  const calls = [...bench.account.calls];
  const early = calls.filter(({ startMs }) => performance.timeOrigin + startMs <= readyMs);
  const limit = 12 + COUNT / 10;
  say(
    `restart with ${COUNT} Services: calls before ready`,
    String(early.length),
    `${theirs.restartCalls}; at most ${limit}`,
  );
  list(early);
  say('  calls until it is quiet', String(calls.length));
  say('  writes', String(calls.filter(isWrite).length), `${theirs.restartWrites}; 0`);
  return controller;
}

/** One of the two pods is replaced behind all Services: an EndpointSlice each. */
async function pod(bench: Bench): Promise<void> {
  await settled(bench);
  bench.account.clear();
  const startMs = performance.now();
  await Promise.all(
    Array.from({ length: 8 }, async (_, writer) => {
      for (let index = writer; index < COUNT; index += 8)
        await patchSlice(bench, index, ['192.168.16.11', '192.168.48.10']);
    }),
  );
  const writtenMs = performance.now();
  const done = (operation: string) =>
    bench.account.calls.filter((call) => call.operation === operation && call.status === 200).length >= 2 * COUNT;
  await until(async () => done('RegisterTargets') && done('DeregisterTargets'), 60_000);
  const moves = bench.account.calls.filter(({ operation }) => /^(Der|R)egisterTargets$/.test(operation));
  const [first] = moves;
  const lastMs = Math.max(...moves.map(({ endMs = Number.NaN }) => endMs));
  say(`one pod replaced behind ${COUNT} Services: slices written in`, seconds(writtenMs - startMs));
  say('  first slice -> first call', millis((first?.startMs ?? Number.NaN) - startMs), 'under 200 ms');
  say('  last slice -> last answer', millis(lastMs - writtenMs), 'under 1,000 ms');
  say('  calls per target group', (moves.length / (2 * COUNT)).toFixed(2), '2: one deregister, one register');
  await settled(bench);
  list(bench.account.calls);
}

/** All Services are deleted at once. */
async function remove(bench: Bench): Promise<void> {
  await settled(bench);
  bench.account.clear();
  const startMs = performance.now();
  const path = '/api/v1/namespaces/default/services';
  for (const { metadata } of await servicesOf(bench))
    await bench.client.call({ method: 'DELETE', path: `${path}/${metadata.name}`, signal: never });
  await until(async () => (await servicesOf(bench)).length === 0, 120_000);
  const tookMs = performance.now() - startMs;
  const calls = [...bench.account.calls];
  say(`delete ${COUNT} Services`, seconds(tookMs), seconds(theirs.deleteMs));
  say('  calls per Service', (calls.length / COUNT).toFixed(1), `${theirs.deleteCalls}; at most 7`);
  list(calls);
  const { loadBalancers, targetGroups, securityGroups } = await bench.cloud.held();
  const left = `${loadBalancers.length}, ${targetGroups.length}, ${securityGroups.filter(({ name }) => name.startsWith('k8s-')).length}`;
  say('  load balancers, target groups, security groups left', left, '0, 0, 0');
}

/** 10 Services with instances as targets; a node joins. */
async function node(bench: Bench): Promise<void> {
  const services = 10;
  for (let index = 0; index < services; index += 1) await createService(bench, index, 'instance');
  await until(async () => registered(bench.account.calls) >= 2 * services, 60_000);
  const { id, zone, privateDnsName, address } = await bench.cloud.runInstance();
  await settled(bench);
  bench.account.clear();
  await createNode(bench, {
    name: privateDnsName,
    providerID: `aws:///${zone}/${id}`,
    podCIDR: '192.168.17.0/24',
    address,
  });
  await until(async () => registered(bench.account.calls) >= 2 * services, 60_000);
  await settled(bench);
  const registers = bench.account.calls.filter(({ operation }) => operation === 'RegisterTargets').length;
  say(`a node joins ${2 * services} target groups: RegisterTargets`, String(registers), String(2 * services));
  list(bench.account.calls);
}

/** With AWS's SDK in the bundle. */
async function startUp(): Promise<void> {
  const flags = ['--provider=aws', '--aws-region=us-east-1', '--aws-vpc-id=vpc-0123456789abcdef0'];
  const ms = await startTime([...flags, `--cluster-name=${CLUSTER}`], { AWS_EC2_METADATA_DISABLED: 'true' });
  say('process start to first list, from the bundle, median of 5', millis(ms), 'under 600 ms');
}

const isPoll = ({ operation }: Recorded): boolean => operation === 'DescribeTargetHealth';
const isWrite = ({ operation }: Recorded): boolean => !/^(Describe|Get|List)/.test(operation);

/** Target groups that have had targets registered. */
function registered(calls: readonly Recorded[]): number {
  const done = calls.filter(({ operation, status }) => operation === 'RegisterTargets' && status === 200);
  return new Set(done.map(({ form }) => form.get('TargetGroupArn'))).size;
}

async function servicesOf({ client }: Bench): Promise<readonly Service[]> {
  const path = '/api/v1/namespaces/default/services';
  const { items } = await client.call<{ readonly items: readonly Service[] }>({ method: 'GET', path, signal: never });
  return items.filter(({ metadata }) => metadata.name !== 'kubernetes');
}

async function createService({ client }: Bench, index: number, targets: 'ip' | 'instance'): Promise<void> {
  const name = `s${index}`;
  const body = {
    metadata: { name, annotations: { 'service.beta.kubernetes.io/aws-load-balancer-nlb-target-type': targets } },
    spec: {
      type: 'LoadBalancer',
      loadBalancerClass: 'fairlead.dev/aws',
      allocateLoadBalancerNodePorts: targets === 'instance',
      ports: [
        { name: 'http', port: 80, targetPort: 8080 },
        { name: 'https', port: 443, targetPort: 8443 },
      ],
    },
  };
  await client.call({ method: 'POST', path: '/api/v1/namespaces/default/services', body, signal: never });
}

const slices = '/apis/discovery.k8s.io/v1/namespaces/default/endpointslices';

function endpointsOf(addresses: readonly string[]): readonly object[] {
  return addresses.map((address) => ({
    addresses: [address],
    conditions: { ready: true, serving: true, terminating: false },
    targetRef: { kind: 'Pod', namespace: 'default', name: `pod-${address}`, uid: `uid-${address}` },
  }));
}

async function createSlice({ client }: Bench, index: number, addresses: readonly string[]): Promise<void> {
  const body = {
    metadata: { name: `s${index}`, labels: { 'kubernetes.io/service-name': `s${index}` } },
    addressType: 'IPv4',
    ports: [
      { name: 'http', port: 8080, protocol: 'TCP' },
      { name: 'https', port: 8443, protocol: 'TCP' },
    ],
    endpoints: endpointsOf(addresses),
  };
  await client.call({ method: 'POST', path: slices, body, signal: never });
}

async function patchSlice({ client }: Bench, index: number, addresses: readonly string[]): Promise<void> {
  await client.call({
    method: 'PATCH',
    path: `${slices}/s${index}`,
    contentType: 'application/merge-patch+json',
    body: { endpoints: endpointsOf(addresses) },
    signal: never,
  });
}

async function createNode(
  { client }: Bench,
  node: { readonly name: string; readonly providerID: string; readonly podCIDR: string; readonly address: string },
): Promise<void> {
  const { name, providerID, podCIDR, address } = node;
  const body = { metadata: { name }, spec: { providerID, podCIDR, podCIDRs: [podCIDR] } };
  await client.call({ method: 'POST', path: '/api/v1/nodes', body, signal: never });
  await client.call({
    method: 'PATCH',
    path: `/api/v1/nodes/${name}/status`,
    contentType: 'application/merge-patch+json',
    body: {
      status: {
        addresses: [{ type: 'InternalIP', address }],
        conditions: [{ type: 'Ready', status: 'True', reason: 'KubeletReady' }],
      },
    },
    signal: never,
  });
}

/** No call for three seconds. */
async function settled({ account }: Bench): Promise<void> {
  for (let seen = -1; seen !== account.calls.length; ) {
    seen = account.calls.length;
    await sleep(3000);
  }
}

async function until(done: () => Promise<boolean>, withinMs: number): Promise<void> {
  const deadline = performance.now() + withinMs;
  while (!(await done())) {
    if (performance.now() > deadline) throw new Error(`not done within ${withinMs} ms`);
    await sleep(25);
  }
}

function list(calls: readonly Recorded[]): void {
  const counts = new Map<string, number>();
  for (const { operation } of calls) counts.set(operation, (counts.get(operation) ?? 0) + 1);
  const sorted = [...counts].sort(([, a], [, b]) => b - a);
  if (sorted.length > 0) process.stdout.write(`    ${sorted.map(([name, count]) => `${name} ${count}`).join(', ')}\n`);
}

function say(what: string, value: string, reach = ''): void {
  process.stdout.write(`${what.padEnd(66)} ${value.padStart(12)}${reach === '' ? '' : `   (${reach})`}\n`);
}

const millis = (ms: number): string => `${ms.toFixed(ms < 10 ? 1 : 0)} ms`;
const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`;

const asked = new Set(process.argv.slice(2));
const parts =
  asked.size > 0 ? asked : new Set(['start', 'create', 'restart', 'pod', 'delete', 'node', 'restart-large', 'routes']);
try {
  await bundle();
  if (parts.has('start')) await startUp();
  if (parts.has('restart-large')) await restartLarge(say);
  if (parts.has('routes')) await routes(say);
  if (['create', 'restart', 'pod', 'delete', 'node'].some((part) => parts.has(part))) {
    const bench = await prepare();
    process.stdout.write('in brackets: the AWS Load Balancer Controller, where it was measured, and what to reach\n');
    let controller = await create(bench); // what the others work on
    if (parts.has('restart')) controller = await restart(bench, controller);
    if (parts.has('pod')) await pod(bench);
    if (parts.has('delete') || parts.has('node')) await remove(bench);
    if (parts.has('node')) await node(bench);
    await controller.stop();
  }
} finally {
  for (const end of ends.splice(0).reverse()) await end();
}
