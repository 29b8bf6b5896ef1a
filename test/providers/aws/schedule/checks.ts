import assert from 'node:assert/strict';
import { parseConfig } from '../../../../providers/aws/config.ts';
import { createStacks } from '../../../../providers/aws/stacks.ts';
import type { Call } from '../../../../src/core/provider.ts';
import type { FakeAws } from '../../../fake/aws/aws.ts';
import { directClients } from '../../../fake/aws/clients.ts';
import { healthOf, liveTargets } from '../../../fake/aws/elb/targets.ts';
import type { LoadBalancer, Rule, Tags } from '../../../fake/aws/records.ts';
import type { SeededWorld } from '../../../fake/aws/world.ts';
import { CLUSTER, type ClusterService } from './cluster.ts';
import type { World } from './schedule.ts';

/** What others own, as hard to tell from ours as possible, and how it was. */
export interface Foreign {
  readonly before: object;
}

const isOurs = ({ tags }: { readonly tags: Tags }): boolean => tags['fairlead.dev/cluster'] === CLUSTER;
const uidOf = ({ tags }: { readonly tags: Tags }): string | undefined => tags['fairlead.dev/service-uid'];

/** Of another cluster, for a Service with the UID of our first one; of nobody; of somebody who shares the cluster's tag. */
export async function createForeign(aws: FakeAws, { vpcId, subnetIds, nodeGroupId }: SeededWorld): Promise<Foreign> {
  const { cloud, seed, call } = aws;
  const owners: Readonly<Record<string, Tags>> = {
    elsewhere: {
      'fairlead.dev/cluster': 'elsewhere',
      'fairlead.dev/service-uid': 'uid-web-1',
      'fairlead.dev/resource': 'LoadBalancer',
    },
    nobody: {},
    kops: { [`kubernetes.io/cluster/${CLUSTER}`]: 'owned' },
  };
  const rules: Rule[] = [];
  for (const [name, tags] of Object.entries(owners)) {
    const group = seed.securityGroup({ vpcId, name: `foreign-${name}`, tags });
    rules.push({ id: `sgr-${name}`, protocol: 'tcp', from: 30_080, to: 30_080, groupId: group, tags: {} });
    const Tags = [...Object.entries(tags), ['Name', name]].map(([Key, Value]) => ({ Key, Value }));
    await call('elb', 'CreateLoadBalancer', {
      Name: `k8s-foreign-${name}`,
      Type: 'network',
      Scheme: 'internal',
      Subnets: subnetIds,
      SecurityGroups: [group],
      Tags,
    });
    await call('elb', 'CreateTargetGroup', {
      Name: `k8s-foreign-${name}`,
      Protocol: 'TCP',
      Port: 80,
      VpcId: vpcId,
      Tags,
    });
  }
  const nodes = cloud.securityGroups.get(nodeGroupId);
  assert.ok(nodes !== undefined);
  const lbc = 'elbv2.k8s.aws/targetGroupBinding=shared';
  const shared = {
    id: 'sgr-lbc',
    protocol: 'tcp',
    from: 1,
    to: 65_535,
    cidr: '10.9.0.0/16',
    description: lbc,
    tags: {},
  };
  cloud.securityGroups.put(nodeGroupId, { ...nodes, ingress: [...rules, shared] });
  return { before: foreignOf(aws, nodeGroupId) };
}

function foreignOf({ cloud }: FakeAws, nodeGroupId: string): object {
  const isForeignRule = ({ description = '' }: { readonly description?: string }) =>
    !description.startsWith('fairlead.dev/cluster=');
  return {
    balancers: cloud.loadBalancers.values().filter((one) => !isOurs(one)),
    groups: cloud.targetGroups.values().filter((one) => !isOurs(one)),
    securityGroups: cloud.securityGroups.values().filter((one) => !isOurs(one) && one.id !== nodeGroupId),
    nodeRules: cloud.securityGroups.get(nodeGroupId)?.ingress.filter(isForeignRule),
    tables: cloud.routeTables.values(),
    subnets: cloud.subnets.values(),
  };
}

/** So long after somebody has changed something, a Service is not yet expected to be as people want it. */
const UNDISTURBED_MS = 900_000;
/** Clients keep an address as long as DNS says (aws.md, Ruling 11). */
const DNS_MS = 300_000;

/**
 * Never does a status name a load balancer without a healthy target while another one of that Service has one, and what it
 * named before stays a while. A Service whose targets or parts somebody else has just changed is left out; a change of its
 * scheme is no such change.
 */
export function checkPublished(world: World): void {
  const { aws, cluster, clock, counts, broken } = world;
  const nowMs = clock.monotonicMs();
  const balancers = aws.cloud.loadBalancers.values().filter(isOurs);
  for (const service of cluster.services.values()) {
    const { uid, name, ingress, deleted, disturbedMs } = service;
    const hostname = ingress?.[0]?.hostname;
    // Of a Service that is refused nothing is repaired.
    const isBroken = world.damaged.has(uid) && world.process?.refused.has(uid) === true;
    if (hostname === undefined || deleted || isBroken || nowMs - disturbedMs < UNDISTURBED_MS) {
      world.named.delete(uid);
      world.left.delete(uid);
      continue;
    }
    const own = balancers.filter((one) => uidOf(one) === uid);
    const isGone = (host: string) => !own.some(({ dnsName }) => dnsName.toLowerCase() === host);
    if (own.length > 1) counts.replaced += 1;
    const well = own.filter((one) => isServing(aws, one)).map(({ dnsName }) => dnsName.toLowerCase());
    if (well.length > 0 && !well.includes(hostname)) {
      broken.push(`at ${nowMs} ms ${name} names ${hostname}, which serves nobody; ${well.join(', ')} does`);
    }
    const before = world.named.get(uid);
    if (before?.hostname !== hostname) {
      if (before !== undefined) world.left.set(uid, { hostname: before.hostname, sinceMs: nowMs });
      world.named.set(uid, { hostname });
    }
    const left = world.left.get(uid);
    if (left === undefined || left.hostname === hostname || nowMs - left.sinceMs >= DNS_MS) continue;
    if (isGone(left.hostname))
      broken.push(`at ${nowMs} ms ${left.hostname} is gone ${nowMs - left.sinceMs} ms after the switch`);
  }
}

function isServing({ cloud }: FakeAws, { arn, activeMs }: LoadBalancer): boolean {
  const atMs = cloud.nowMs();
  if (activeMs > atMs) return false;
  const groups = cloud.listeners
    .values()
    .filter(({ loadBalancerArn }) => loadBalancerArn === arn)
    .flatMap(({ forwards }) => forwards.flatMap(({ targetGroupArn }) => cloud.targetGroups.get(targetGroupArn) ?? []));
  return groups.some((group) =>
    [...group.targets.values()].some((target) => healthOf(cloud, group, target, atMs).State === 'healthy'),
  );
}

/** Nothing is under way any more that takes its time: replaced load balancers, deletions. */
export function isSettled({ aws, cluster, process }: World): boolean {
  const services = [...cluster.services.values()];
  const balancers = aws.cloud.loadBalancers.values().filter(isOurs);
  return process?.isIdle === true && !services.some(({ deleted }) => deleted) && balancers.length <= services.length;
}

/** Everything converged, nothing leaked, nothing foreign changed, and a provider that comes now finds nothing to do. */
export async function checkEnd(world: World): Promise<void> {
  const { aws, cluster, foreign, seeded, process, broken } = world;
  assert.deepEqual(broken.slice(0, 3), [], 'a status named a load balancer that served nobody');
  assert.deepEqual(foreignOf(aws, seeded.nodeGroupId), foreign.before, 'something foreign was changed');
  const left = [...cluster.services.values()].filter(({ deleted }) => deleted);
  assert.deepEqual(
    left.map(({ name }) => name),
    [],
    'not deleted to the end',
  );
  const refused = process?.refused ?? new Map<string, string>();
  for (const service of cluster.services.values()) {
    if (refused.has(service.uid)) checkStanding(world, service);
    else checkServed(world, service);
  }
  checkLeaks(world);
  await checkFresh(world, refused);
}

/** What was published before somebody made a mistake still serves, unless somebody else took it away. */
function checkStanding({ aws: { cloud }, damaged }: World, { name, uid, ingress }: ClusterService): void {
  const hostname = ingress?.[0]?.hostname;
  if (hostname === undefined || damaged.has(uid)) return;
  const standing = cloud.loadBalancers.values().some(({ dnsName }) => dnsName.toLowerCase() === hostname);
  assert.ok(standing, `${name}: its mistake took ${hostname} away`);
}

function checkServed(world: World, service: ClusterService): void {
  const { cloud } = world.aws;
  const { name, uid, wish } = service;
  const balancers = ownOf(world, uid);
  if (isWaitingForSuccessor(world, service)) return;
  assert.deepEqual([name, balancers.length], [name, 1], `${name}: one load balancer`);
  const [balancer] = balancers;
  assert.equal(service.ingress?.[0]?.hostname, balancer?.dnsName.toLowerCase(), `${name}: its host name is published`);
  const { scheme } = wish.short;
  if (scheme !== undefined) assert.equal(balancer?.scheme, scheme, `${name}: its scheme`);
  const listeners = cloud.listeners.values().filter(({ loadBalancerArn }) => loadBalancerArn === balancer?.arn);
  const wanted = new Set(wish.ports.map(({ port }) => port));
  assert.deepEqual(listeners.map(({ port }) => port).sort(byNumber), [...wanted].sort(byNumber), `${name}: listeners`);
  const { targets, listeners: ports } = world.cluster.specOf(service);
  for (const { port, forwards } of listeners) {
    const group = cloud.targetGroups.get(forwards[0]?.targetGroupArn ?? '');
    assert.ok(group !== undefined, `${name}: a group behind port ${port}`);
    const targetPort = ports.find((one) => one.port === port)?.targetPort;
    const live = [...liveTargets(group, cloud.nowMs()).values()].filter(({ goneMs }) => goneMs === undefined);
    const ids = targets.map(({ id, address }) => (wish.targetKind === 'node' ? id.split('/').at(-1) : address));
    // An instance that is no more cannot be registered.
    const possible = ids.filter((id = '') => wish.targetKind === 'pod' || cloud.instances.get(id)?.state === 'running');
    assert.deepEqual(
      live.map((target) => `${target.id}:${target.port}`).sort(),
      possible.map((id) => `${id}:${targetPort}`).sort(),
      `${name}: targets of port ${port}`,
    );
  }
}

const ownOf = ({ aws }: World, uid: string): readonly LoadBalancer[] =>
  aws.cloud.loadBalancers.values().filter((one) => isOurs(one) && uidOf(one) === uid);

/** What is published serves, and what is to replace it has no healthy target: it may wait for ever. */
function isWaitingForSuccessor(world: World, { uid, ingress }: ClusterService): boolean {
  const own = ownOf(world, uid);
  const well = own.filter((one) => isServing(world.aws, one)).map(({ dnsName }) => dnsName.toLowerCase());
  const hostname = ingress?.[0]?.hostname ?? well[0];
  return own.length === 2 && well.length === 1 && well[0] === hostname;
}

const byNumber = (a: number, b: number): number => a - b;

function checkLeaks({ aws: { cloud }, cluster, seeded }: World): void {
  const all = [...cloud.loadBalancers.values(), ...cloud.targetGroups.values(), ...cloud.securityGroups.values()];
  const leaked = all.filter(
    (one) => isOurs(one) && !cluster.services.has(uidOf(one) ?? '') && uidOf(one) !== undefined,
  );
  assert.deepEqual(
    leaked.map(({ name }) => name),
    [],
    'left behind',
  );
  const listeners = cloud.listeners.values().filter(isOurs);
  const orphans = listeners.filter(({ loadBalancerArn }) => cloud.loadBalancers.get(loadBalancerArn) === undefined);
  assert.deepEqual(orphans, [], 'listeners without a load balancer');
  if (cluster.services.size > 0) return;
  const rest = all.filter(isOurs).map(({ name }) => name);
  assert.deepEqual(rest, [], 'the last Service has gone, and something stayed');
  const rules = cloud.securityGroups.get(seeded.nodeGroupId)?.ingress.map(({ description }) => description);
  assert.ok(!rules?.some((text) => text?.startsWith('fairlead.dev/')), 'rules of nodes stayed');
}

const silent: Call['log'] = { debug() {}, info() {}, warn() {}, error() {} };

/** A controller that starts now writes nothing, and is ready with the same host names. */
async function checkFresh(world: World, refused: ReadonlyMap<string, string>): Promise<void> {
  const { aws, clock, cluster, seeded } = world;
  const ended = new AbortController();
  const call: Call = { signal: ended.signal, log: silent, limit: (fn) => fn() };
  const { loadBalancers } = createStacks({
    clients: directClients(aws),
    clock,
    settings: { ...parseConfig({}).settings, cluster: CLUSTER },
    region: aws.region,
    vpcId: seeded.vpcId,
    services: { settledPrintOf: () => undefined, exists: (uid) => cluster.services.has(uid) },
    instanceOf: (node) => node.replace(/^node-/, ''),
  });
  aws.forget();
  const specs = [...cluster.services.values()].map(cluster.specOf);
  const looked = (async () => {
    const audit = await loadBalancers.audit(specs, call);
    assert.deepEqual([...audit.orphans.keys()], [], 'orphans');
    for (const spec of specs) {
      if (refused.has(spec.uid)) continue;
      const progress = await loadBalancers.ensure(spec, call);
      const service = cluster.services.get(spec.uid);
      if (service !== undefined && isWaitingForSuccessor(world, service)) continue;
      assert.ok(progress.state === 'ready', `${spec.key} is pending: ${JSON.stringify(progress)}`);
      assert.deepEqual(progress.ingress, service?.ingress, spec.key);
    }
  })();
  let done = false;
  const end = looked.finally(() => {
    done = true;
  });
  end.catch(() => {}); // awaited below
  await clock.settle();
  if (!done) await clock.run(() => done, { maxMs: 600_000 });
  await end;
  assert.deepEqual(
    aws.calls.filter(({ write }) => write).map(({ operation, input }) => [operation, input]),
    [],
    'a fresh provider wrote',
  );
}
