/** Pod routes in VPC route tables, as EC2 answers it (our fake). */
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import '../../../providers/aws/sdk/ec2.ts';
import { createClients } from '../../../providers/aws/client.ts';
import { createRoutes, instanceIdOf } from '../../../providers/aws/routes.ts';
import { isProviderError } from '../../../src/core/errors.ts';
import type { Call, Cidr, Route } from '../../../src/core/provider.ts';
import { createRig } from '../../fake/aws/rig.ts';
import type { Settings } from '../../fake/aws/settings.ts';

// The SDK's first call reads files, and the clock of the tests does not wait for those.
before(async () => void (await createRig().ec2.describeVpcs({})));

const cidr = (text: string): Cidr => text as Cidr;
const owned = { 'kubernetes.io/cluster/test': 'owned' };

function onFake(settings: Partial<Settings> = {}, more: { readonly routeTableId?: string } = {}) {
  const rig = createRig(settings);
  const { region, endpoint, credentials, requestHandler } = rig.aws.clientOptions;
  const clients = createClients({ region, endpoint, credentials, requestHandler });
  const routes = createRoutes({ clients, clock: rig.clock, cluster: 'test', vpcId: rig.vpcId, ...more });
  const { signal } = new AbortController();
  const call: Call = { signal, log: { debug() {}, info() {}, warn() {}, error() {} }, limit: (fn) => fn() };
  const ids = rig.instanceIds as readonly [string, string, string];
  const interfaceOf = (id: string) => rig.aws.cloud.instances.get(id)?.interfaceIds[0] ?? '';
  rig.aws.forget();
  return {
    ...rig,
    routes,
    call,
    ids,
    interfaceOf,
    operations: () => rig.aws.calls.map(({ operation }) => operation),
    list: async (hops: readonly string[] = ids) => await rig.answered(routes.list(call, new Set(hops))),
    wanted: (destination: string, nextHop: string, table = rig.routeTableId): Route => ({
      table,
      node: 'n',
      nodeUid: 'u',
      destination: cidr(destination),
      nextHop,
    }),
    /** 'rtb-0a 10.1.0.0/24 eni-1', of instances only. */
    there: () =>
      [...rig.aws.cloud.routeTables.values()]
        .flatMap(({ id, routes: all }) =>
          all.flatMap(({ destination, target }) =>
            'interfaceId' in target ? [`${id} ${destination} ${target.interfaceId}`] : [],
          ),
        )
        .sort(),
    /** As an administrator does. */
    async other(destination: string, target: object, table = rig.routeTableId) {
      await rig.ec2.createRoute({ RouteTableId: table, DestinationCidrBlock: destination, ...target });
      rig.aws.forget();
    },
  };
}
const find = (routes: readonly Route[], destination: string) =>
  routes.filter((route) => route.destination === destination);

const providerIds: readonly (readonly [text: string, id: string | undefined])[] = [
  ['aws:///eu-west-1a/i-0123456789abcdef0', 'i-0123456789abcdef0'],
  ['aws:////i-0123', 'i-0123'],
  ['i-0123', 'i-0123'],
  ['aws:///eu-west-1a/fargate-ip-10-0-0-1', undefined],
  ['eks-hybrid:///eu-west-1/cluster/mi-0123', undefined],
  ['openstack:///i-0123', undefined],
  ['aws:///eu-west-1a/', undefined],
  ['', undefined],
];
for (const [text, id] of providerIds) {
  test(`aws routes: next hop of ${JSON.stringify(text)} is ${id ?? 'not known'}`, () => {
    assert.equal(instanceIdOf(text), id);
    const { routes } = onFake();
    assert.equal(routes.nextHop?.({ name: 'a', addresses: [], providerId: text }, 'ipv4'), id);
  });
}

test('aws routes: a route leads to the primary interface; its source/dest check is read, and switched off once', async () => {
  const rig = onFake();
  const [a] = rig.ids;
  await rig.answered(rig.routes.create(rig.wanted('10.1.0.0/24', a), rig.call));
  assert.deepEqual(rig.there(), [`rtb-0a 10.1.0.0/24 ${rig.interfaceOf(a)}`]);
  assert.equal(rig.aws.cloud.interfaces.get(rig.interfaceOf(a))?.sourceDestCheck, false);
  assert.deepEqual(rig.operations(), ['DescribeInstances', 'ModifyNetworkInterfaceAttribute', 'CreateRoute']);
  await rig.answered(rig.routes.create(rig.wanted('10.1.1.0/24', a), rig.call));
  assert.deepEqual(rig.operations().slice(3), ['CreateRoute']);
});

test('aws routes: a check that is off already is not written', async () => {
  const rig = onFake();
  const [a] = rig.ids;
  await rig.ec2.modifyNetworkInterfaceAttribute({
    NetworkInterfaceId: rig.interfaceOf(a),
    SourceDestCheck: { Value: false },
  });
  rig.aws.forget();
  await rig.answered(rig.routes.create(rig.wanted('10.1.0.0/24', a), rig.call));
  assert.deepEqual(rig.operations(), ['DescribeInstances', 'CreateRoute']);
});

test('aws routes: an instance with several interfaces is no problem', async () => {
  const rig = onFake();
  const id = rig.aws.seed.instance({
    id: 'i-0f',
    subnetId: rig.subnetIds[0] ?? '',
    addresses: ['192.168.0.20'],
    interfaces: [{ addresses: ['192.168.0.30'] }],
    tags: owned,
  });
  await rig.answered(rig.routes.create(rig.wanted('10.1.0.0/24', id), rig.call));
  assert.deepEqual(rig.there(), [`rtb-0a 10.1.0.0/24 ${rig.interfaceOf(id)}`]);
});

test('aws routes: IPv6', async () => {
  const rig = onFake();
  const [a] = rig.ids;
  await rig.answered(rig.routes.create(rig.wanted('fd00:1::/64', a), rig.call));
  assert.deepEqual(rig.there(), [`rtb-0a fd00:1::/64 ${rig.interfaceOf(a)}`]);
  const [listed] = find(await rig.list(), 'fd00:1::/64');
  assert.deepEqual([listed?.nextHop, listed?.foreign], [a, undefined]);
  await rig.answered(rig.routes.remove(listed as Route, rig.call));
  assert.deepEqual(rig.there(), []);
});

test('aws routes: every table of the VPC with the tag of the cluster, old or new, and no other', async () => {
  const rig = onFake();
  const { seed } = rig.aws;
  const { vpcId } = rig;
  seed.routeTable({ id: 'rtb-0b', vpcId, tags: { KubernetesCluster: 'test' } });
  seed.routeTable({ id: 'rtb-0c', vpcId, tags: { KubernetesCluster: 'another' } });
  seed.routeTable({ id: 'rtb-0d', vpcId, tags: { 'kubernetes.io/cluster/another': 'owned' } });
  seed.routeTable({ id: 'rtb-0e', vpcId: seed.vpc({ id: 'vpc-0b' }), tags: owned });
  seed.routeTable({ id: 'rtb-0f', vpcId, tags: { 'kubernetes.io/cluster/test': '' } });
  await rig.list();
  assert.deepEqual(
    rig.routes.tables?.().map(({ id }) => id),
    ['rtb-0a', 'rtb-0b', 'rtb-0f'],
  );
});

test('aws routes: the configured table alone, tagged or not', async () => {
  const rig = onFake({}, { routeTableId: 'rtb-0b' });
  rig.aws.seed.routeTable({ id: 'rtb-0b', vpcId: rig.vpcId });
  await rig.list();
  assert.deepEqual(
    rig.routes.tables?.().map(({ id }) => id),
    ['rtb-0b'],
  );
});

for (const [name, options, text] of [
  ['no table has the tag', {}, /vpc-0b has no route table with the tag kubernetes\.io\/cluster\/test/],
  ['the configured table does not exist', { routeTableId: 'rtb-0bad' }, /there is no route table rtb-0bad/],
] as const) {
  test(`aws routes: ${name}: an error, not an empty list`, async () => {
    const rig = onFake();
    rig.aws.seed.vpc({ id: 'vpc-0b' });
    const { region, endpoint, credentials, requestHandler } = rig.aws.clientOptions;
    const clients = createClients({ region, endpoint, credentials, requestHandler });
    const routes = createRoutes({ clients, clock: rig.clock, cluster: 'test', vpcId: 'vpc-0b', ...options });
    await assert.rejects(rig.answered(routes.list(rig.call, new Set())), (error) => {
      assert.ok(isProviderError(error) && error.code === 'FL_AWS_ROUTE_TABLE');
      assert.match(error.message, text);
      return true;
    });
  });
}

test('aws routes: what is whose', async () => {
  const rig = onFake();
  const [a, b, c] = rig.ids;
  const subnetId = rig.subnetIds[0] ?? '';
  const nat = rig.aws.seed.instance({ id: 'i-0c0', subnetId, addresses: ['192.168.0.40'] });
  const gone = rig.aws.seed.instance({ id: 'i-0c1', subnetId, addresses: ['192.168.0.41'], tags: owned });
  const goneStranger = rig.aws.seed.instance({ id: 'i-0c2', subnetId, addresses: ['192.168.0.42'] });
  await rig.other('10.1.0.0/24', { InstanceId: a });
  await rig.other('10.1.1.0/24', { NetworkInterfaceId: rig.interfaceOf(b) });
  await rig.other('10.1.2.0/24', { InstanceId: c });
  await rig.other('10.1.3.0/24', { InstanceId: nat });
  await rig.other('10.1.4.0/24', { InstanceId: gone });
  await rig.other('10.1.5.0/24', { InstanceId: goneStranger });
  await rig.other('10.1.6.0/24', { GatewayId: 'igw-0a' });
  rig.aws.seed.terminate(gone);
  rig.aws.seed.terminate(goneStranger);
  rig.aws.forget();
  const routes = await rig.list([a]);
  const whose = routes.map(({ destination, nextHop, foreign, blackhole }) =>
    [destination, nextHop, foreign === true ? 'foreign' : 'ours', ...(blackhole === true ? ['blackhole'] : [])].join(
      ' ',
    ),
  );
  assert.deepEqual(whose.sort(), [
    '0.0.0.0/0 igw-1 foreign',
    '10.1.0.0/24 i-01 ours', // a node
    '10.1.1.0/24 i-02 ours', // no node any more, but an instance of the cluster
    '10.1.2.0/24 i-03 ours',
    '10.1.3.0/24 i-0c0 foreign', // a NAT instance, say
    '10.1.4.0/24  ours blackhole',
    '10.1.5.0/24  ours blackhole', // nobody can tell any more
    '10.1.6.0/24 igw-0a foreign',
    '192.168.0.0/16 local foreign',
  ]);
  assert.deepEqual(rig.operations(), ['DescribeRouteTables', 'DescribeNetworkInterfaces', 'DescribeInstances']);
});

test('aws routes: while all routes lead to nodes a list is one call', async () => {
  const rig = onFake();
  for (const [at, id] of rig.ids.entries()) await rig.other(`10.1.${at}.0/24`, { InstanceId: id });
  assert.equal((await rig.list()).filter(({ foreign }) => foreign !== true).length, 3);
  assert.deepEqual(rig.operations(), ['DescribeRouteTables']);
});

test('aws routes: a route whose answer was lost is a success when it is tried again', async () => {
  const rig = onFake();
  const [a] = rig.ids;
  rig.aws.fault = ({ operation }) =>
    operation === 'CreateRoute' ? { at: 'after' as const, as: 'reset' as const } : undefined;
  await assert.rejects(rig.answered(rig.routes.create(rig.wanted('10.1.0.0/24', a), rig.call)));
  rig.aws.fault = () => undefined;
  await rig.answered(rig.routes.create(rig.wanted('10.1.0.0/24', a), rig.call));
  assert.equal(rig.there().length, 1);
});

test('aws routes: somebody else was there first: a conflict, and his route stays', async () => {
  const rig = onFake();
  const [a] = rig.ids;
  await rig.other('10.1.0.0/24', { GatewayId: 'igw-0a' });
  await assert.rejects(
    rig.answered(rig.routes.create(rig.wanted('10.1.0.0/24', a), rig.call)),
    (error) => isProviderError(error) && error.kind === 'conflict',
  );
  assert.deepEqual(rig.there(), []);
});

test('aws routes: a CIDR that moved is one call, ReplaceRoute', async () => {
  const rig = onFake();
  const [a, b] = rig.ids;
  await rig.other('10.1.0.0/24', { InstanceId: a });
  const [old] = find(await rig.list(), '10.1.0.0/24');
  rig.aws.forget();
  await rig.answered(rig.routes.replace?.(old as Route, rig.wanted('10.1.0.0/24', b), rig.call) as Promise<void>);
  assert.deepEqual(rig.there(), [`rtb-0a 10.1.0.0/24 ${rig.interfaceOf(b)}`]);
  assert.deepEqual(rig.operations(), ['DescribeInstances', 'ModifyNetworkInterfaceAttribute', 'ReplaceRoute']);
});

test('aws routes: what is to be replaced has gone by itself: then it is made', async () => {
  const rig = onFake();
  const [a, b] = rig.ids;
  await rig.other('10.1.0.0/24', { InstanceId: a });
  const [old] = find(await rig.list(), '10.1.0.0/24');
  await rig.ec2.deleteRoute({ RouteTableId: rig.routeTableId, DestinationCidrBlock: '10.1.0.0/24' });
  await rig.answered(rig.routes.replace?.(old as Route, rig.wanted('10.1.0.0/24', b), rig.call) as Promise<void>);
  assert.deepEqual(rig.there(), [`rtb-0a 10.1.0.0/24 ${rig.interfaceOf(b)}`]);
});

for (const operation of ['remove', 'replace'] as const) {
  test(`aws routes: ${operation} meets the route of somebody else, put there since the list: nothing is changed`, async () => {
    const rig = onFake();
    const [a, b] = rig.ids;
    await rig.other('10.1.0.0/24', { InstanceId: a });
    const [old] = find(await rig.list(), '10.1.0.0/24') as [Route];
    await rig.ec2.replaceRoute({
      RouteTableId: rig.routeTableId,
      DestinationCidrBlock: '10.1.0.0/24',
      GatewayId: 'igw-0a',
    });
    await rig.clock.advance(6000);
    const work =
      operation === 'remove'
        ? rig.routes.remove(old, rig.call)
        : rig.routes.replace?.(old, rig.wanted('10.1.0.0/24', b), rig.call);
    await assert.rejects(rig.answered(work as Promise<void>), (error) => {
      assert.ok(isProviderError(error) && error.code === 'FL_AWS_FOREIGN');
      assert.match(error.message, /10\.1\.0\.0\/24 in rtb-0a leads to igw-0a now/);
      return true;
    });
    assert.equal(find(await rig.list(), '10.1.0.0/24')[0]?.nextHop, 'igw-0a');
  });
}

test('aws routes: one that we made ourselves is removed, also much later and without its id', async () => {
  const rig = onFake();
  const [a] = rig.ids;
  const route = rig.wanted('10.1.0.0/24', a);
  await rig.answered(rig.routes.create(route, rig.call));
  await rig.clock.advance(60_000);
  await rig.answered(rig.routes.remove(route, rig.call));
  assert.deepEqual(rig.there(), []);
  await rig.answered(rig.routes.remove(route, rig.call)); // gone is what was wanted
});

test('aws routes: a blackhole makes way for the node that has its CIDR now', async () => {
  const rig = onFake();
  const [a, b] = rig.ids;
  await rig.other('10.1.0.0/24', { InstanceId: a });
  rig.aws.seed.terminate(a);
  const [old] = find(await rig.list([b]), '10.1.0.0/24') as [Route];
  assert.deepEqual([old.blackhole, old.nextHop, old.foreign], [true, '', undefined]);
  await rig.answered(rig.routes.replace?.(old, rig.wanted('10.1.0.0/24', b), rig.call) as Promise<void>);
  assert.deepEqual(rig.there(), [`rtb-0a 10.1.0.0/24 ${rig.interfaceOf(b)}`]);
});

test('aws routes: what EC2 does not see yet is tried again soon, and read anew', async () => {
  const rig = onFake();
  const [a] = rig.ids;
  rig.aws.fault = ({ operation }) =>
    operation === 'CreateRoute' ? { as: { code: 'InvalidNetworkInterfaceID.NotFound' } } : undefined;
  await assert.rejects(
    rig.answered(rig.routes.create(rig.wanted('10.1.0.0/24', a), rig.call)),
    (error) => isProviderError(error) && error.kind === 'transient' && error.cause !== undefined,
  );
  rig.aws.fault = () => undefined;
  rig.aws.forget();
  await rig.answered(rig.routes.create(rig.wanted('10.1.0.0/24', a), rig.call));
  assert.deepEqual(rig.operations(), ['DescribeInstances', 'CreateRoute']);
});

test('aws routes: an instance that is not there, or is terminated, is transient', async () => {
  const rig = onFake();
  const [a] = rig.ids;
  rig.aws.seed.terminate(a);
  for (const id of ['i-0bad', a]) {
    await assert.rejects(
      rig.answered(rig.routes.create(rig.wanted('10.1.0.0/24', id), rig.call)),
      (error) => isProviderError(error) && error.code === 'FL_AWS_NOT_FOUND',
      id,
    );
  }
  assert.deepEqual(rig.there(), []);
});

test('aws routes: a full table is a quota, and the last list says how full it is', async () => {
  const rig = onFake({ quotas: { ...createRig().aws.settings.quotas, routesPerTable: 4 } });
  const [a] = rig.ids;
  await rig.other('10.1.0.0/24', { InstanceId: a });
  await rig.list();
  assert.deepEqual(rig.routes.tables?.(), [{ id: 'rtb-0a', used: 3, limit: 50 }]);
  await rig.answered(rig.routes.create(rig.wanted('10.1.1.0/24', a), rig.call));
  await assert.rejects(
    rig.answered(rig.routes.create(rig.wanted('10.1.2.0/24', a), rig.call)),
    (error) => isProviderError(error) && error.kind === 'quota',
  );
});

test('aws routes: a table with more than 50 routes has a raised quota', async () => {
  const rig = onFake({ quotas: { ...createRig().aws.settings.quotas, routesPerTable: 1000 } });
  const [a] = rig.ids;
  for (let at = 0; at < 60; at += 1) await rig.other(`10.1.${at}.0/24`, { InstanceId: a });
  await rig.list();
  assert.deepEqual(rig.routes.tables?.(), [{ id: 'rtb-0a', used: 62, limit: 1000 }]);
});

test('aws routes: a failed read is an error and no empty list', async () => {
  const rig = onFake();
  const [a] = rig.ids;
  await rig.other('10.1.3.0/24', { InstanceId: a });
  for (const operation of ['DescribeRouteTables', 'DescribeInstances']) {
    rig.aws.fault = (call) => (call.operation === operation ? { as: { code: 'InternalError' } } : undefined);
    await assert.rejects(rig.list([]), (error) => isProviderError(error) && error.kind === 'transient', operation);
  }
});
