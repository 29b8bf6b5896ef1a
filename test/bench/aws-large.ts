/**
 * The AWS provider at a size that no stand-in over HTTP has: our fake with 100 ms per call, real time, the limits of
 * production. The fake, the SDK and the provider share one thread here, so the times are greater than they would be.
 * Parts of `node test/bench/aws.ts`: restart-large, routes.
 */
import { createClients } from '../../providers/aws/client.ts';
import { parseConfig } from '../../providers/aws/config.ts';
import { createInstances } from '../../providers/aws/instances.ts';
import { limits } from '../../providers/aws/limits.ts';
import { createNodeInterfaces } from '../../providers/aws/node-interfaces.ts';
import { plan } from '../../providers/aws/plan.ts';
import { specPrint } from '../../providers/aws/progress.ts';
import { createRoutes } from '../../providers/aws/routes.ts';
import { createStacks, type StackOptions } from '../../providers/aws/stacks.ts';
import type { Action, Call, Cidr, LoadBalancerSpec, NodeRef, Target } from '../../src/core/provider.ts';
import { systemClock } from '../../src/work/clock.ts';
import { createLimiter } from '../../src/work/limit.ts';
import { createFakeAws, type FakeAws } from '../fake/aws/aws.ts';
import { awsQuotas } from '../fake/aws/settings.ts';
import { type SeededWorld, seedWorld } from '../fake/aws/world.ts';
import { exampleSpecs } from '../providers/contract/specs.ts';

const CLUSTER = 'bench';
const LATENCY_MS = 100;
const SERVICES = 5000;
const NODES = 1000;
const JOINING = 900;
/** As src/controllers/route.ts has it. */
const ROUTES_SIDE_BY_SIDE = 32;
const never = new AbortController().signal;
const log: Call['log'] = { debug() {}, info() {}, warn() {}, error() {} };

export type Say = (what: string, value: string, reach?: string) => void;

interface Account {
  readonly aws: FakeAws;
  readonly world: SeededWorld;
  readonly options: Omit<StackOptions, 'services'>;
  /** Instance ids of the nodes. */
  readonly nodes: readonly string[];
}

function createAccount(): Account {
  // Raised as an account of this size has them.
  const quotas = {
    ...awsQuotas,
    loadBalancers: 2 * SERVICES,
    targetGroups: 4 * SERVICES,
    securityGroupsPerVpc: 2 * SERVICES,
    loadBalancerInterfacesPerVpc: 4 * SERVICES,
    targetsPerLoadBalancerAndZone: 2 * NODES,
    targetsPerLoadBalancer: 2 * NODES,
    routesPerTable: 1000,
  };
  const aws = createFakeAws({ clock: systemClock, quotas });
  const world = seedWorld(aws, CLUSTER);
  const nodes = Array.from({ length: NODES }, (_, index) =>
    aws.seed.instance({
      subnetId: world.subnetIds[index % 3] ?? '',
      addresses: [addressOf(index)],
      groups: [world.nodeGroupId],
      tags: { [`kubernetes.io/cluster/${CLUSTER}`]: 'owned' },
    }),
  );
  const options = {
    clients: createClients(aws.clientOptions),
    clock: systemClock,
    settings: { ...parseConfig({}).settings, cluster: CLUSTER },
    region: aws.region,
    vpcId: world.vpcId,
  };
  return { aws, world, options, nodes };
}

const addressOf = (index: number): string =>
  `192.168.${(index % 3) * 32 + 1 + Math.floor(index / 600)}.${Math.floor(index / 3) % 200}`;

const refsOf = (nodes: readonly string[]): readonly NodeRef[] =>
  nodes.map((id, index) => ({ name: `node-${index}`, providerId: `aws:///eu-west-1a/${id}`, addresses: [] }));

/** Half of them go to all nodes, half to two pods each. */
function specsOf(nodes: readonly string[]): readonly LoadBalancerSpec[] {
  const { first } = exampleSpecs();
  const targets = nodes.map(
    (id, index): Target => ({
      id: `aws:///eu-west-1a/${id}`,
      node: `node-${index}`,
      address: addressOf(index),
      zone: 'eu-west-1a',
    }),
  );
  return Array.from({ length: SERVICES }, (_, index) => {
    const name = `s${String(index).padStart(4, '0')}`;
    const isOfPods = index % 2 === 1;
    const pods = [0, 1].map(
      (pod): Target => ({
        id: `pod-${index}-${pod}`,
        node: `node-${(2 * index + pod) % NODES}`,
        address: `192.168.${64 + (index % 30)}.${10 + pod}`,
        zone: 'eu-west-1a',
      }),
    );
    return {
      ...first,
      uid: `6d2f9c1e-0000-4000-8000-00000000${String(index).padStart(4, '0')}`,
      key: `default/${name}`,
      service: { ...first.service, name },
      targetKind: isOfPods ? 'pod' : 'node',
      options: { 'service.beta.kubernetes.io/aws-load-balancer-nlb-target-type': isOfPods ? 'ip' : 'instance' },
      targets: isOfPods ? pods : targets,
    };
  });
}

/**
 * What a process before has left: two Services that it made, and copies of their parts under other names, for making them
 * all takes minutes.
 */
async function serve({ aws, options }: Account, specs: readonly LoadBalancerSpec[]): Promise<void> {
  const { cloud } = aws;
  const { loadBalancers } = createStacks(options);
  const unlimited: Call = { signal: never, log, limit: (fn) => fn() };
  const templates: readonly LoadBalancerSpec[] = specs.slice(0, 2);
  for (const spec of templates) await loadBalancers.ensure(spec, unlimited);
  for (const [index, template] of templates.entries()) {
    const isIts = ({ tags }: { readonly tags: Readonly<Record<string, string>> }): boolean =>
      tags['fairlead.dev/service-uid'] === template.uid;
    const parts = {
      loadBalancers: cloud.loadBalancers.values().filter(isIts),
      listeners: cloud.listeners.values().filter(isIts),
      targetGroups: cloud.targetGroups.values().filter(isIts),
      securityGroups: cloud.securityGroups.values().filter(isIts),
    };
    const text = JSON.stringify(parts);
    const shared = JSON.stringify(cloud.securityGroups.values().filter((group) => !isIts(group)));
    // Last parts of names, ARNs and ids.
    const found = text.match(/(?<=[/-])[0-9a-f]{10,17}(?=["/.-])/g) ?? [];
    const ids = [...new Set(found)].filter((id) => !shared.includes(id));
    for (const { uid, service } of specs.slice(2).filter((_, at) => at % 2 === index)) {
      let other = text.replaceAll(template.uid, uid).replaceAll(template.service.name, service.name);
      for (const id of ids) other = other.replaceAll(id, cloud.hex(id.length));
      const copy = JSON.parse(other) as typeof parts;
      for (const one of copy.loadBalancers) cloud.loadBalancers.put(one.arn, one);
      for (const one of copy.listeners) cloud.listeners.put(one.arn, one);
      for (const one of copy.securityGroups) cloud.securityGroups.put(one.id, one);
      for (const [at, one] of copy.targetGroups.entries()) {
        const { targets = new Map() } = parts.targetGroups[at] ?? {};
        cloud.targetGroups.put(one.arn, { ...one, targets });
      }
    }
  }
}

/** Everything was made by a process before; this one lists it, compares it and is ready. */
export async function restartLarge(say: Say): Promise<void> {
  const account = createAccount();
  const { aws, options, nodes } = account;
  const specs = specsOf(nodes);
  await serve(account, specs);
  const prints = new Map(specs.map((spec) => [spec.key, specPrint(plan(spec, options.settings))]));
  aws.configure({ latencyMs: LATENCY_MS });
  aws.forget();
  const limiter = createLimiter({ clock: systemClock, classes: limits, circuits: true });
  const call: Call = {
    signal: never,
    log,
    limit: limiter.for(never),
    pause: () => new Promise((resolve) => setImmediate(resolve)),
  };
  const clients = createClients(aws.clientOptions);
  const services = { settledPrintOf: (key: string) => prints.get(key), exists: () => true };
  const { loadBalancers } = createStacks({ ...options, clients, services });
  const instances = createInstances({ clients, region: options.region, vpcId: options.vpcId, ipFamilies: ['ipv4'] });
  const table = createRoutes({ clients, clock: systemClock, cluster: CLUSTER, vpcId: options.vpcId });
  const cpu = process.cpuUsage();
  const startMs = performance.now();
  const [audit, found] = await Promise.all([
    loadBalancers.audit(specs, call),
    instances.find(refsOf(nodes), call),
    table.list(call, new Set(nodes)),
  ]);
  const tookMs = performance.now() - startMs;
  const { user, system } = process.cpuUsage(cpu);
  const verdicts = [...audit.specs.values()];
  const ready = verdicts.filter((verdict) => 'progress' in verdict && verdict.progress.state === 'ready').length;
  const actions = verdicts.flatMap((verdict): readonly (Action | unknown)[] =>
    'actions' in verdict ? verdict.actions : [verdict.error],
  );
  say(
    `restart with ${SERVICES} Services x ${specs[0]?.listeners.length} ports and ${NODES} Nodes, ${LATENCY_MS} ms per call`,
    `${(tookMs / 1000).toFixed(1)} s`,
    'under 10 s',
  );
  say('  CPU of it, the fake included', `${((user + system) / 1_000_000).toFixed(1)} s`);
  say('  calls', String(aws.calls.length));
  say(
    '  writes, Services ready, actions, nodes found',
    `${aws.calls.filter(({ write }) => write).length}, ${ready}, ${actions.length}, ${found.size}`,
    `0, ${SERVICES}, 0, ${NODES}`,
  );
  const counts = Map.groupBy(aws.calls, ({ operation }) => operation);
  process.stdout.write(`    ${[...counts].map(([name, calls]) => `${name} ${calls.length}`).join(', ')}\n`);
  if (actions.length > 0) process.stdout.write(`    ${JSON.stringify(actions[0])}\n`);
  await limiter.close();
}

/** Nodes that were just initialised get their routes, as the route controller makes them. */
export async function routes(say: Say): Promise<void> {
  const { aws, options, nodes: all } = createAccount();
  const nodes = all.slice(0, JOINING);
  const limiter = createLimiter({ clock: systemClock, classes: limits, circuits: true });
  const call: Call = { signal: never, log, limit: limiter.for(never) };
  const { clients, clock, region, vpcId } = options;
  const interfaces = createNodeInterfaces({ clients, clock, cluster: CLUSTER });
  const instances = createInstances({ clients, region, vpcId, ipFamilies: ['ipv4'], read: interfaces.learn });
  const table = createRoutes({ clients, clock, cluster: CLUSTER, vpcId, interfaces });
  aws.configure({ latencyMs: LATENCY_MS });
  await instances.find(refsOf(nodes), call);
  aws.forget();
  const startMs = performance.now();
  await table.list(call, new Set(nodes));
  const [{ id = '' } = {}] = table.tables?.() ?? [];
  const left = nodes.entries();
  await Promise.all(
    Array.from({ length: ROUTES_SIDE_BY_SIDE }, async () => {
      for (const [index, nextHop] of left) {
        const destination = `10.${Math.floor(index / 250)}.${index % 250}.0/24` as Cidr;
        await table.create({ table: id, node: `node-${index}`, nodeUid: nextHop, destination, nextHop }, call);
      }
    }),
  );
  const tookMs = performance.now() - startMs;
  const begun = aws.calls.map(({ atMs }) => atMs).sort((a, b) => a - b);
  const atOnce = begun.map((atMs, index) => begun.slice(index).findIndex((later) => later >= atMs + LATENCY_MS));
  say(`${JOINING} Nodes join, one route table, ${LATENCY_MS} ms per call`, `${(tookMs / 1000).toFixed(1)} s`);
  say('  calls, reads in bulk counted', String(aws.calls.length), `at most ${2 * JOINING} and one list a minute`);
  say('  side by side', String(Math.max(...atOnce)), 'bounded: 32');
  await limiter.close();
}
