/** The route controller on AWS's fake: from Nodes of an API server in memory to route tables, in one virtual time. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { createInstances } from '../../../providers/aws/instances.ts';
import { limits } from '../../../providers/aws/limits.ts';
import { createNodeInterfaces } from '../../../providers/aws/node-interfaces.ts';
import { createRoutes } from '../../../providers/aws/routes.ts';
import type { Condition, Node } from '../../../src/core/objects.ts';
import type { Provider } from '../../../src/core/provider.ts';
import { pathOf, resources } from '../../../src/kube/resource.ts';
import { createFakeAws } from '../../fake/aws/aws.ts';
import { directClients } from '../../fake/aws/clients.ts';
import { awsQuotas, realistic, type Settings } from '../../fake/aws/settings.ts';
import { seedWorld } from '../../fake/aws/world.ts';
import { createRig, SOON_MS } from '../rig.ts';
import { cidr, PERIOD_MS } from './rig.ts';

const owned = { 'kubernetes.io/cluster/test': 'owned' };
const roomy = { quotas: { ...awsQuotas, routesPerTable: 1000 } };

interface Joining {
  readonly ipv6?: boolean;
  readonly tags?: object;
  readonly isNew?: boolean;
}

function createWorld(t: Pick<TestContext, 'after'>, settings: Partial<Settings> = {}) {
  const rig = createRig(t);
  const aws = createFakeAws({ clock: rig.clock, ...settings });
  const { vpcId, routeTableId, subnetIds } = seedWorld(aws, 'test');
  const { signal } = new AbortController();
  const module = {
    apiVersion: 1,
    async create({
      clock,
      cluster,
    }: {
      readonly clock: typeof rig.clock;
      readonly cluster: string;
    }): Promise<Provider> {
      const clients = directClients(aws);
      const interfaces = createNodeInterfaces({ clients, clock, cluster });
      const routes = createRoutes({ clients, clock, cluster, vpcId, interfaces });
      const instances = createInstances({
        clients,
        region: aws.region,
        vpcId,
        ipFamilies: ['ipv4'],
        read(rows) {
          readsForNodes += 1;
          interfaces.learn(rows);
        },
      });
      return { name: 'aws', routes, instances, limits, close: async () => clients.close() };
    },
  } as const;
  let readsForNodes = 0;
  const nodeOf = (name: string) => rig.api.store.get('nodes', name)?.object as unknown as Node | undefined;
  return {
    ...rig,
    aws,
    vpcId,
    routeTableId,
    /** Requests for instances that were made for nodes, not for routes. */
    readsForNodes: () => readsForNodes,
    lead: (name = 'one', more: Pick<Parameters<typeof rig.start>[0] & object, 'node'> = {}) =>
      rig.start({
        name,
        ...more,
        module: module as unknown as NonNullable<Parameters<typeof rig.start>[0]>['module'] & object,
        route: { configure: true, clusterCidrs: [cidr('10.120.0.0/13'), cidr('fd00::/16')], periodMs: PERIOD_MS },
      }),
    /** An instance and its Node, or one that is still to be initialised. */
    async join(at: number, { ipv6 = false, tags = owned, isNew = false }: Joining = {}) {
      const address = `192.168.${Math.floor(at / 250)}.${(at % 250) + 1}`;
      const id = aws.seed.instance({
        id: `i-0a${at}`,
        subnetId: subnetIds[0] ?? '',
        addresses: [address],
        tags: { ...tags },
      });
      const podCIDRs = [
        `10.${120 + Math.floor(at / 250)}.${at % 250}.0/24`,
        ...(ipv6 ? [`fd00:${at.toString(16)}::/64`] : []),
      ];
      const taints = [{ key: 'node.cloudprovider.kubernetes.io/uninitialized', value: 'true', effect: 'NoSchedule' }];
      const initialised = isNew ? { taints } : { providerID: `aws:///${aws.region}a/${id}` };
      const spec = { podCIDRs, podCIDR: podCIDRs[0], ...initialised };
      const body = { metadata: { name: isNew ? id : `n${at}` }, spec };
      await rig.user.call({ method: 'POST', path: pathOf(resources.nodes), body, signal });
      return id;
    },
    available(at: number) {
      const all: readonly Condition[] = nodeOf(`n${at}`)?.status?.conditions ?? [];
      const now = all.find(({ type }) => type === 'NetworkUnavailable');
      return now === undefined ? '' : `${now.status}/${now.reason}`;
    },
    /** 'rtb-0a 10.120.0.0/24 i-0a0', of instances only. */
    routes: () =>
      [...aws.cloud.routeTables.values()].flatMap(({ id, routes }) =>
        routes.flatMap(({ destination, target }) => {
          if (!('interfaceId' in target)) return [];
          return [`${id} ${destination} ${aws.cloud.interfaces.get(target.interfaceId)?.instanceId ?? 'gone'}`];
        }),
      ),
    count: (operation: string) => aws.calls.filter((call) => call.operation === operation).length,
  };
}

test('a node joins and goes: its routes come into every table, and go again', async (t) => {
  const world = createWorld(t);
  world.aws.seed.routeTable({ id: 'rtb-0b', vpcId: world.vpcId, tags: owned });
  await world.lead();
  await world.join(1, { ipv6: true });
  await world.clock.advance(SOON_MS);
  assert.deepEqual(world.routes(), [
    'rtb-0a 10.120.1.0/24 i-0a1',
    'rtb-0a fd00:1::/64 i-0a1',
    'rtb-0b 10.120.1.0/24 i-0a1',
    'rtb-0b fd00:1::/64 i-0a1',
  ]);
  assert.equal(world.available(1), 'False/RouteCreated');
  assert.equal(world.count('ModifyNetworkInterfaceAttribute'), 1);
  await world.removeNode('n1');
  await world.clock.advance(SOON_MS);
  assert.deepEqual(world.routes(), []);
});

test('a restart over nodes in order: one list, no write', async (t) => {
  const world = createWorld(t);
  const first = await world.lead();
  for (let at = 0; at < 10; at += 1) await world.join(at);
  await world.clock.advance(2000);
  first.terminate();
  await world.clock.advance(3000);
  world.aws.forget();
  const second = await world.lead('two');
  await world.clock.advance(2000);
  assert.equal(world.routes().length, 10);
  assert.deepEqual([world.aws.calls.map(({ operation }) => operation), second.writes()], [['DescribeRouteTables'], []]);
});

test('a node that went while nobody led loses its route, also when its instance still runs', async (t) => {
  const world = createWorld(t);
  const first = await world.lead();
  await world.join(1);
  await world.join(2);
  await world.clock.advance(SOON_MS);
  first.terminate();
  await world.clock.advance(3000);
  await world.removeNode('n1');
  await world.lead('two');
  await world.clock.advance(2000);
  assert.deepEqual(world.routes(), ['rtb-0a 10.120.2.0/24 i-0a2']);
});

test('a terminated instance leaves a blackhole, which goes with its Node, and makes way for the next one', async (t) => {
  const world = createWorld(t);
  await world.lead();
  const id = await world.join(1);
  await world.clock.advance(SOON_MS);
  world.aws.seed.terminate(id);
  await world.removeNode('n1');
  await world.clock.advance(SOON_MS);
  assert.deepEqual(world.routes(), []);
});

test('routes to a NAT instance or a gateway inside the pod CIDRs are never touched', async (t) => {
  const world = createWorld(t);
  const { seed } = world.aws;
  seed.instance({ id: 'i-0c0', subnetId: 'subnet-01', addresses: ['192.168.9.9'] });
  const route = async (DestinationCidrBlock: string, target: object) =>
    await world.aws.call('ec2', 'CreateRoute', { RouteTableId: world.routeTableId, DestinationCidrBlock, ...target });
  await route('10.120.77.0/24', { InstanceId: 'i-0c0' });
  await route('10.120.78.0/24', { GatewayId: 'igw-0f' });
  const before = world.aws.cloud.routeTables.get('rtb-0a');
  await world.lead();
  await world.join(77); // the very CIDR of the NAT instance
  await world.clock.advance(PERIOD_MS + SOON_MS);
  assert.deepEqual(world.aws.cloud.routeTables.get('rtb-0a'), before);
  assert.equal(world.available(77), 'True/NoRouteCreated');
  assert.match(world.events('n77').join('\n'), /^Warning FailedToCreateRoute: .*\(FL_ROUTE_FOREIGN\)$/);
});

test('900 nodes join: two calls per route and table, bounded side by side, one list a minute; then nothing', async (t) => {
  const world = createWorld(t, { latencyMs: 100, ...roomy });
  const nodes = 900;
  await world.lead();
  await world.clock.advance(2000);
  for (let at = 0; at < nodes; at += 1) {
    await world.join(at);
    if (at % 15 === 14) await world.clock.advance(1000); // within a minute
  }
  await world.clock.advance(30_000);
  assert.equal(world.routes().length, nodes);
  for (let at = 0; at < nodes; at += 1) assert.equal(world.available(at), 'False/RouteCreated', `n${at}`);
  assert.deepEqual([world.count('CreateRoute'), world.count('ModifyNetworkInterfaceAttribute')], [nodes, nodes]);
  assert.ok(world.count('DescribeRouteTables') <= 3, `${world.count('DescribeRouteTables')} lists in 90 s`);
  // One for all nodes that one look finds, and there is one each second.
  assert.ok(world.count('DescribeInstances') <= 65, `${world.count('DescribeInstances')} reads of instances`);
  const begun = world.aws.calls.map(({ atMs }) => atMs).sort((a, b) => a - b);
  const atOnce = begun.map((atMs, index) => begun.slice(index).findIndex((later) => later >= atMs + 100));
  assert.ok(Math.max(...atOnce) <= 40, `${Math.max(...atOnce)} side by side`);
  world.aws.forget();
  await world.clock.advance(PERIOD_MS);
  assert.deepEqual(
    world.aws.calls.map(({ operation }) => operation),
    ['DescribeRouteTables'],
  );
});

test('900 nodes that we initialise ourselves: their routes need no read of instances, two calls each and a list a minute', async (t) => {
  const world = createWorld(t, { latencyMs: 100, ...roomy });
  const nodes = 900;
  await world.lead('one', { node: { concurrency: 4, statusConcurrency: 4, statusFrequencyMs: 300_000 } });
  await world.clock.advance(2000);
  for (let at = 0; at < nodes; at += 1) {
    await world.join(at, { isNew: true });
    if (at % 15 === 14) await world.clock.advance(1000); // within a minute
  }
  await world.clock.advance(30_000);
  assert.equal(world.routes().length, nodes);
  const forNodes = world.readsForNodes() + world.count('DescribeAvailabilityZones');
  const forRoutes = world.aws.calls.length - forNodes;
  assert.ok(forRoutes <= 2 * nodes + 2, `${forRoutes} calls, ${world.count('DescribeInstances')} reads of instances`);
});

test('many nodes at once, and EC2 throttles: all get their routes, and nothing is told about it', async (t) => {
  const nodes = 200;
  const world = createWorld(t, {
    latencyMs: 50,
    ...roomy,
    buckets: { 'ec2.read': { size: 100, perSecond: 20 }, 'ec2.write': { size: 50, perSecond: 5 } },
  });
  await world.lead();
  for (let at = 0; at < nodes; at += 1) await world.join(at);
  await world.clock.advance(300_000);
  assert.equal(world.routes().length, nodes);
  for (let at = 0; at < nodes; at += 1) assert.equal(world.available(at), 'False/RouteCreated', `n${at}`);
  assert.ok(world.aws.calls.some(({ outcome }) => outcome === 'RequestLimitExceeded'));
  const reads = world.aws.calls.filter(
    ({ operation, outcome }) => operation === 'DescribeInstances' && outcome === 'ok',
  );
  assert.ok(reads.length <= 5, `${reads.length} reads of instances`);
  const told = [...world.api.store.list('events')].filter(
    ({ object }) => (object as { reason?: string }).reason !== 'RouteQuotaLow',
  );
  assert.deepEqual(told, []);
});

test('reads that lag behind writes, as on AWS: nothing is written twice, nothing is lost', async (t) => {
  const world = createWorld(t, { ...realistic, ...roomy });
  await world.lead();
  for (let at = 0; at < 20; at += 1) await world.join(at);
  await world.clock.advance(20_000);
  for (let at = 0; at < 20; at += 2) await world.removeNode(`n${at}`);
  await world.clock.advance(PERIOD_MS + 20_000);
  assert.equal(world.routes().length, 10);
  const made = world.aws.calls.filter(({ operation, outcome }) => operation === 'CreateRoute' && outcome === 'ok');
  assert.deepEqual([made.length, world.count('DeleteRoute')], [20, 10]);
});
