import assert from 'node:assert/strict';
import type { Cidr } from '../../../../src/core/provider.ts';
import { seededRandom } from '../../../../src/sandbox/api/random.ts';
import { createFakeAws, type FakeAws } from '../../../fake/aws/aws.ts';
import { type FakeCall, type Fault, throttled } from '../../../fake/aws/faults.ts';
import type { Settings } from '../../../fake/aws/settings.ts';
import { type SeededWorld, seedWorld } from '../../../fake/aws/world.ts';
import { createVirtualClock, type VirtualClock } from '../../../fake/clock.ts';
import { checkEnd, checkPublished, createForeign, type Foreign, isSettled } from './checks.ts';
import { CLUSTER, type Cluster, createCluster, type Wish } from './cluster.ts';
import { type Process, startProcess } from './process.ts';

/** One random history of people, nodes, faults and dying controllers on the fake. */
export interface World {
  readonly clock: VirtualClock;
  readonly aws: FakeAws;
  readonly seeded: SeededWorld;
  readonly cluster: Cluster;
  readonly foreign: Foreign;
  readonly random: () => number;
  /** What happened, in words. */
  readonly story: string[];
  process: Process | undefined;
  /** Broken promises that were seen on the way. */
  readonly broken: string[];
  readonly counts: {
    faults: number;
    crashes: number;
    /** That joined. */
    nodes: number;
    /** Looks at a Service that had two load balancers. */
    replaced: number;
  };
  tell(line: string): void;
  /** How each run of a controller ended. */
  readonly told: ((uid: string, end: unknown) => void) | undefined;
}
export interface ScheduleResult {
  readonly story: readonly string[];
  readonly calls: number;
  readonly faults: number;
  readonly crashes: number;
  readonly replaced: number;
}

export interface ScheduleOptions {
  readonly steps?: number;
  /** Both for a person who looks for a cause: how each run of a controller ended, and the world before anything happens in it. */
  readonly told?: (uid: string, end: unknown) => void;
  readonly watch?: (world: World) => void;
}

/** Runs one; throws an AssertionError whose message holds the seed and the story. */
export async function runSchedule(
  seed: number,
  { steps = 12, told, watch }: ScheduleOptions = {},
): Promise<ScheduleResult> {
  const world = createWorld(seed, told);
  watch?.(world);
  try {
    return await play(world, steps);
  } catch (error) {
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    assert.fail(`seed ${seed}: ${text}\n${world.story.join('\n')}`);
  }
}

async function play(world: World, steps: number): Promise<ScheduleResult> {
  const { aws, clock, random, story, counts } = world;
  try {
    startOne(world);
    aws.fault = (call) => faultOf(world, call);
    for (let step = 0; step < steps; step += 1) {
      somethingHappens(world);
      await pass(world, pick(random, [0, 50, 1000, 5000, 20_000, 90_000, 400_000]));
    }
    aws.fault = () => undefined;
    aws.configure({ buckets: {} });
    world.tell('calm');
    await calm(world);
    await checkEnd(world);
    return { story, calls: aws.calls.at(-1)?.number ?? 0, ...counts };
  } finally {
    world.process?.kill();
    await clock.settle();
  }
}

function createWorld(seed: number, told: World['told']): World {
  const clock = createVirtualClock();
  const random = seededRandom(seed * 6007 + 13);
  const aws = createFakeAws({ clock, random, ...mannersOf(seed, random) });
  const seeded = seedWorld(aws, CLUSTER);
  const cluster = createCluster(
    () => clock.monotonicMs(),
    seeded,
    (id) => aws.cloud.instances.get(id)?.zone ?? '',
  );
  const story: string[] = [];
  const foreign = createForeign(aws, seeded);
  return {
    clock,
    aws,
    seeded,
    cluster,
    foreign,
    random,
    story,
    process: undefined,
    broken: [],
    told,
    counts: { faults: 0, crashes: 0, nodes: 0, replaced: 0 },
    tell: (line) => void story.push(`${clock.monotonicMs()}: ${line}`),
  };
}

/** Every third one answers at once; the others take their time, and every second of them lags. */
function mannersOf(seed: number, random: () => number): Partial<Settings> {
  if (seed % 3 === 0) return { healthyAfterMs: 30_000, drainMs: 10_000 };
  return {
    latencyMs: pick(random, [4, 40]),
    provisioningMs: pick(random, [0, 120_000]),
    interfaceLingerMs: pick(random, [0, 30_000]),
    registrationMs: pick(random, [0, 60_000]),
    drainMs: pick(random, [0, 60_000]),
    ...(seed % 2 === 0 ? { lagMs: { reads: 2000, writes: 500, tagging: 5000 } } : {}),
  };
}

function startOne(world: World): void {
  const name = `p${Number(world.process?.name.slice(1) ?? 0) + 1}`;
  world.tell(`start ${name}`);
  world.process = startProcess({
    name,
    clock: world.clock,
    aws: world.aws,
    vpcId: world.seeded.vpcId,
    cluster: world.cluster,
    ...(world.told === undefined ? {} : { told: world.told }),
  });
}

/** The controller dies at this very call; another one takes over some time later. */
function crash(world: World, why: string): void {
  const { process, clock, random } = world;
  if (process === undefined || !process.isAlive) return;
  world.tell(`${process.name} dies ${why}`);
  assert.deepEqual(process.bugs, [], `${process.name} threw what is no ProviderError`);
  process.kill();
  // Its lease has to run out first.
  clock.after(pick(random, [15_000, 17_000, 40_000]), () => startOne(world));
}

function faultOf(world: World, call: FakeCall): Fault | undefined {
  const { random, process, counts } = world;
  checkPublished(world);
  const chance = random();
  if (chance >= 0.04) return undefined;
  const at = random() < 0.5 ? 'before' : 'after';
  const what = `${at} ${call.operation} ${call.number}`;
  if (chance < 0.012 && process?.isAlive === true) {
    counts.crashes += 1;
    return { at, as: 'hang', onStrike: () => crash(world, what) };
  }
  counts.faults += 1;
  world.tell(`fault ${what}`);
  if (chance < 0.02) return { as: throttled(call.service) };
  if (chance < 0.025) return { at, as: 'reset' };
  if (chance < 0.03) return { at, as: { code: 'InternalFailure', status: 500 } };
  if (chance < 0.033) return { at, as: 'garbage' };
  return { at: 'after', delayMs: pick(random, [500, 5000]) };
}

/** In short hops, so that what people see is looked at often. */
async function pass(world: World, ms: number): Promise<void> {
  const { clock } = world;
  const hop = 5000;
  for (let left = ms; left > 0; left -= hop) {
    await clock.advance(Math.min(hop, left));
    checkPublished(world);
  }
  await clock.settle();
}

/** An audit every 10 minutes sees to what nobody has noticed. */
const AUDITED_MS = 660_000;
/** More than the longest waits together: 5 minutes after a switch, a start that counts anew, drains, interfaces. */
const CALM_MS = 3 * 600_000;

/** No more faults; whoever is left settles. */
async function calm(world: World): Promise<void> {
  const { clock } = world;
  await pass(world, 45_000);
  if (world.process?.isAlive !== true) startOne(world);
  const startMs = clock.monotonicMs();
  const passedMs = () => clock.monotonicMs() - startMs;
  while (passedMs() < AUDITED_MS || (passedMs() < CALM_MS && !isSettled(world))) await pass(world, 60_000);
  assert.deepEqual(world.process?.bugs, [], 'threw what is no ProviderError');
}

// ---- What happens ---------------------------------------------------------------------------------------------------

function somethingHappens(world: World): void {
  const { random } = world;
  const happen = draw<(world: World) => void>(random, [
    [world.cluster.services.size < 3 ? 6 : 1, createService],
    [5, changeService],
    [2, deleteService],
    [2, changeNodes],
    [2, changePods],
    [1, flipHealth],
    [2, breakSomething],
    [1, throttleForAWhile],
  ]);
  happen(world);
}

const NAMES = ['web', 'api', 'dns', 'db'] as const;

function createService(world: World): void {
  const { cluster, random } = world;
  const taken = new Set([...cluster.services.values()].map(({ name }) => name));
  const name = NAMES.find((one) => !taken.has(one));
  if (name === undefined) return;
  const uid = `uid-${name}-${world.story.length}`;
  const wish = newWish(random);
  world.tell(`create ${name}: ${JSON.stringify(wish)}`);
  cluster.put(uid, { uid, name, wish, deleted: false, ingress: undefined, print: undefined });
}

function newWish(random: () => number): Wish {
  return {
    ports: portsOf(random),
    targetKind: random() < 0.6 ? 'node' : 'pod',
    trafficPolicy: random() < 0.8 ? 'cluster' : 'local',
    sources: random() < 0.7 ? [] : ['10.0.0.0/8' as Cidr],
    short: annotationsOf(random),
  };
}

function portsOf(random: () => number): Wish['ports'] {
  return pick<Wish['ports']>(random, [
    [{ protocol: 'TCP', port: 80 }],
    [
      { protocol: 'TCP', port: 80 },
      { protocol: 'TCP', port: 443 },
    ],
    [
      { protocol: 'TCP', port: 53 },
      { protocol: 'UDP', port: 53 },
    ],
    [{ protocol: 'UDP', port: 53 }],
    [
      { protocol: 'TCP', port: 443 },
      { protocol: 'UDP', port: 53 },
      { protocol: 'TCP', port: 8080 },
    ],
  ]);
}

/** Each as an annotation that may be there or not. */
function annotationsOf(random: () => number): Wish['short'] {
  const maybe: Readonly<Record<string, readonly string[]>> = {
    scheme: ['internal', 'internet-facing'],
    attributes: [
      'load_balancing.cross_zone.enabled=true',
      'dns_record.client_routing_policy=availability_zone_affinity',
    ],
    'target-group-attributes': ['deregistration_delay.timeout_seconds=20', 'stickiness.enabled=true'],
    'healthcheck-interval': ['20'],
    'additional-resource-tags': ['team=a', 'team=b,env=prod'],
    'proxy-protocol': ['*'],
  };
  return Object.fromEntries(
    Object.entries(maybe).flatMap(([name, values]) => (random() < 0.35 ? [[name, pick(random, values)]] : [])),
  );
}

function changeService(world: World): void {
  const { cluster, random } = world;
  const service = anyOf(
    random,
    [...cluster.services.values()].filter(({ deleted }) => !deleted),
  );
  if (service === undefined) return;
  const fresh = newWish(random);
  const what = pick(random, ['ports', 'targetKind', 'sources', 'short', 'scheme', 'scheme'] as const);
  const { scheme = 'internal' } = service.wish.short;
  const wish: Wish =
    what === 'scheme'
      ? {
          ...service.wish,
          short: { ...service.wish.short, scheme: scheme === 'internal' ? 'internet-facing' : 'internal' },
        }
      : { ...service.wish, [what]: fresh[what] };
  world.tell(
    `change ${service.name}: ${what} ${JSON.stringify(what === 'scheme' ? wish.short['scheme'] : wish[what])}`,
  );
  cluster.put(service.uid, { wish, ...(what === 'scheme' ? { disturbedMs: service.disturbedMs } : {}) });
}

function deleteService({ cluster, random, ...world }: World): void {
  const service = anyOf(random, [...cluster.services.values()]);
  if (service === undefined) return;
  world.tell(`delete ${service.name}`);
  cluster.put(service.uid, { deleted: true });
}

function changeNodes({ cluster, random, aws, seeded, counts, ...world }: World): void {
  const id = anyOf(random, [...cluster.nodes.keys()]);
  const chance = random();
  if (chance < 0.5 || id === undefined) {
    const index = Math.floor(random() * 3);
    counts.nodes += 1;
    const address = `192.168.${index * 32}.${20 + counts.nodes}`;
    const made = aws.seed.instance({
      subnetId: seeded.subnetIds[index] ?? '',
      addresses: [address],
      groups: [seeded.nodeGroupId],
    });
    world.tell(`node ${made} joins`);
    cluster.nodes.set(made, { address, zone: aws.cloud.instances.get(made)?.zone ?? '' });
  } else if (cluster.nodes.size > 1) {
    world.tell(`node ${id} goes`);
    cluster.nodes.delete(id);
    for (const [pod, node] of cluster.pods) if (node === id) cluster.pods.delete(pod);
    // Its Node goes before or after its instance.
    if (chance < 0.75) aws.seed.terminate(id);
  }
  cluster.targetsChanged();
}

/** Pods have addresses of their node's interface, as the VPC CNI gives them. */
function changePods({ cluster, random, aws, ...world }: World): void {
  const id = anyOf(random, [...cluster.nodes.keys()]);
  const node = id === undefined ? undefined : cluster.nodes.get(id);
  const interfaceId = id === undefined ? undefined : aws.cloud.instances.get(id)?.interfaceIds[0];
  if (id === undefined || node === undefined || interfaceId === undefined) return;
  const count = Math.floor(random() * 4);
  const prefix = node.address.split('.').slice(0, 2).join('.');
  const third = Number(node.address.split('.')[2]) + 1 + Math.floor(random() * 8);
  for (const [pod, on] of cluster.pods) if (on === id) cluster.pods.delete(pod);
  for (let number = 0; number < count; number += 1) {
    cluster.pods.set(`${prefix}.${third}.${(Number(node.address.split('.')[3]) + number * 7) % 250}`, id);
  }
  const now = [...cluster.pods].filter(([, on]) => on === id).map(([pod]) => pod);
  aws.seed.setAddresses(interfaceId, now);
  world.tell(`pods of ${id}: ${now.join(' ')}`);
  cluster.targetsChanged();
}

function flipHealth({ cluster, random, aws, ...world }: World): void {
  const id = anyOf(random, [...cluster.nodes.keys(), ...cluster.pods.keys()]);
  if (id === undefined) return;
  const isSick = random() < 0.5;
  world.tell(`${id} ${isSick ? 'fails' : 'is well'}`);
  aws.seed.setHealth(id, isSick ? 'Target.FailedHealthChecks' : undefined);
  cluster.targetsChanged();
}

function throttleForAWhile({ aws, clock, ...world }: World): void {
  world.tell('AWS throttles for a minute');
  const slow = { size: 5, perSecond: 2 };
  aws.configure({ buckets: { 'elb.read': slow, 'elb.write': slow, 'ec2.read': slow, 'ec2.write': slow } });
  clock.after(60_000, () => aws.configure({ buckets: {} }));
}

/** Somebody with a console deletes or changes what is ours. */
function breakSomething({ aws, cluster, random, clock, ...world }: World): void {
  const { loadBalancers, listeners, targetGroups } = aws.cloud;
  const isOurs = ({ tags }: { readonly tags: Readonly<Record<string, string>> }) =>
    tags['fairlead.dev/cluster'] === CLUSTER;
  const parts = [...loadBalancers.values(), ...listeners.values(), ...targetGroups.values()].filter(isOurs);
  const part = anyOf(random, parts);
  if (part === undefined) return;
  const uid = part.tags['fairlead.dev/service-uid'] ?? '';
  world.tell(`outside: breaks ${part.arn.split(':').slice(5).join(':')}`);
  if ('mappings' in part)
    void aws.call('elb', 'DeleteLoadBalancer', { LoadBalancerArn: part.arn }).catch(refusedIsFine);
  else if ('forwards' in part) void aws.call('elb', 'DeleteListener', { ListenerArn: part.arn }).catch(refusedIsFine);
  else {
    const target = [...part.targets.values()][0];
    if (target === undefined) return;
    const Targets = [{ Id: target.id, Port: target.port }];
    void aws.call('elb', 'DeregisterTargets', { TargetGroupArn: part.arn, Targets }).catch(refusedIsFine);
  }
  const service = cluster.services.get(uid);
  if (service !== undefined) cluster.services.set(uid, { ...service, disturbedMs: clock.monotonicMs() });
}

/** The outsider's call meets the same faults as ours, or somebody else was faster. */
function refusedIsFine(): void {}

function anyOf<T>(random: () => number, of: readonly T[]): T | undefined {
  return of[Math.floor(random() * of.length)];
}

function pick<T>(random: () => number, of: readonly T[]): T {
  return of[Math.floor(random() * of.length)] as T;
}

function draw<T>(random: () => number, of: readonly (readonly [number, T])[]): T {
  let left = random() * of.reduce((sum, [weight]) => sum + weight, 0);
  const found = of.find(([weight]) => {
    left -= weight;
    return left < 0;
  });
  return (found ?? (of.at(-1) as readonly [number, T]))[1];
}
