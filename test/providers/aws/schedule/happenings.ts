import type { Cidr } from '../../../../src/core/provider.ts';
import type { Listener, LoadBalancer, SecurityGroup, Tags, TargetGroup } from '../../../fake/aws/records.ts';
import { CLUSTER, type ClusterService, type Wish } from './cluster.ts';
import { anyOf, draw, pick } from './random.ts';
import type { World } from './schedule.ts';

/** One thing that people, nodes or somebody with a console do. */
export function somethingHappens(world: World): void {
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

/** One Service that is served, and from then on nothing but changes of its scheme. */
export async function switchesOnly(
  world: World,
  pass: (world: World, ms: number) => Promise<void>,
): Promise<(world: World) => void> {
  const { cluster, random } = world;
  const wish = { ...newWish(random), targetKind: 'node' as const };
  world.tell(`create web: ${JSON.stringify(wish)}`);
  cluster.put('uid-web-1', {
    uid: 'uid-web-1',
    name: 'web',
    wish,
    deleted: false,
    ingress: undefined,
    print: undefined,
  });
  await pass(world, 1_200_000);
  return () => {
    const service = cluster.services.get('uid-web-1');
    if (service !== undefined && random() < 0.6) changeScheme(world, service);
  };
}

function createService(world: World): void {
  const { cluster, random, counts } = world;
  const taken = new Set([...cluster.services.values()].map(({ name }) => name));
  const name = NAMES.find((one) => !taken.has(one));
  if (name === undefined) return;
  counts.services += 1;
  const uid = `uid-${name}-${counts.services}`;
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
  const what = pick(random, ['ports', 'targetKind', 'sources', 'short', 'scheme', 'scheme', 'mistake'] as const);
  if (what === 'scheme') {
    changeScheme(world, service);
    return;
  }
  const fresh = newWish(random);
  const change =
    what === 'mistake' ? { short: { ...service.wish.short, ...pick(random, MISTAKES) } } : { [what]: fresh[what] };
  world.tell(`change ${service.name}: ${JSON.stringify(change)}`);
  cluster.put(service.uid, { wish: { ...service.wish, ...change } });
}

const MISTAKES: readonly Wish['short'][] = [
  { scheme: 'public' },
  { subnets: 'subnet-none' },
  { 'security-groups': 'sg-none' },
  { 'healthcheck-interval': '1' },
];

function changeScheme({ cluster, ...world }: World, service: ClusterService): void {
  const { wish, uid, name, disturbedMs } = service;
  const scheme = wish.short['scheme'] === 'internet-facing' ? 'internal' : 'internet-facing';
  world.tell(`change ${name}: ${scheme}`);
  // Not by far a disturbance: this is what has to go unnoticed.
  cluster.put(uid, { wish: { ...wish, short: { ...wish.short, scheme } }, disturbedMs });
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
function breakSomething(world: World): void {
  const { aws, cluster, random, clock } = world;
  const { loadBalancers, listeners, targetGroups, securityGroups } = aws.cloud;
  const isOurs = ({ tags }: { readonly tags: Tags }) => tags['fairlead.dev/cluster'] === CLUSTER;
  const parts = [
    ...loadBalancers.values(),
    ...listeners.values(),
    ...targetGroups.values(),
    ...securityGroups.values(),
  ];
  const part = anyOf(random, parts.filter(isOurs));
  if (part === undefined) return;
  const [service, operation, input] = damageOf(random, part);
  world.tell(`outside: ${operation} ${'name' in part ? part.name : part.port}`);
  void aws.call(service, operation, input).catch(refusedIsFine);
  const uid = part.tags['fairlead.dev/service-uid'] ?? '';
  // The backend group is everybody's.
  for (const one of cluster.services.values()) {
    if (uid !== '' && one.uid !== uid) continue;
    world.damaged.add(one.uid);
    cluster.services.set(one.uid, { ...one, disturbedMs: clock.monotonicMs() });
  }
}

function damageOf(
  random: () => number,
  part: LoadBalancer | Listener | TargetGroup | SecurityGroup,
): readonly ['elb' | 'ec2', string, object] {
  const chance = random();
  if ('mappings' in part) {
    if (chance < 0.5) return ['elb', 'DeleteLoadBalancer', { LoadBalancerArn: part.arn }];
    if (chance < 0.7) return ['elb', 'RemoveTags', { ResourceArns: [part.arn], TagKeys: ['team'] }];
    const Attributes = [{ Key: 'load_balancing.cross_zone.enabled', Value: String(chance < 0.85) }];
    return ['elb', 'ModifyLoadBalancerAttributes', { LoadBalancerArn: part.arn, Attributes }];
  }
  if ('forwards' in part) {
    if (chance < 0.6) return ['elb', 'DeleteListener', { ListenerArn: part.arn }];
    return ['elb', 'ModifyListener', { ListenerArn: part.arn, Port: 9999 }];
  }
  if ('targets' in part) {
    const { arn: TargetGroupArn, targets } = part;
    const Targets = [...targets.values()].slice(0, 1).map(({ id, port }) => ({ Id: id, Port: port }));
    if (chance < 0.5) return ['elb', 'DeregisterTargets', { TargetGroupArn, Targets }];
    if (chance < 0.8) return ['elb', 'DeleteTargetGroup', { TargetGroupArn }];
    return ['elb', 'ModifyTargetGroup', { TargetGroupArn, HealthCheckIntervalSeconds: 60 }];
  }
  const { id: GroupId, ingress } = part;
  const [rule] = ingress;
  if (rule !== undefined) return ['ec2', 'RevokeSecurityGroupIngress', { GroupId, SecurityGroupRuleIds: [rule.id] }];
  return ['ec2', 'DeleteSecurityGroup', { GroupId }];
}

/** The outsider's call meets the same faults as ours, or somebody else was faster. */
function refusedIsFine(): void {}
