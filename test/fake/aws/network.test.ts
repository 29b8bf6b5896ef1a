import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { IpPermission } from '@aws-sdk/client-ec2';
import { createRig, type Rig } from './rig.ts';

const tcp = (port: number, cidr = '10.0.0.0/8', description?: string): IpPermission => ({
  IpProtocol: 'tcp',
  FromPort: port,
  ToPort: port,
  IpRanges: [{ CidrIp: cidr, ...(description === undefined ? {} : { Description: description }) }],
});

async function newGroup({ ec2, vpcId }: Rig, GroupName = 'g'): Promise<string> {
  return (await ec2.createSecurityGroup({ GroupName, Description: 'd', VpcId: vpcId })).GroupId ?? '';
}

async function rulesOf({ ec2 }: Rig, GroupId: string): Promise<unknown> {
  const { SecurityGroups = [] } = await ec2.describeSecurityGroups({ GroupIds: [GroupId] });
  return SecurityGroups[0]?.IpPermissions?.flatMap(({ FromPort, IpRanges = [] }) =>
    IpRanges.map(({ CidrIp, Description }) => [FromPort, CidrIp, Description]),
  );
}

test('a security group name is unique in its VPC', async () => {
  const rig = createRig();
  await newGroup(rig);
  await assert.rejects(newGroup(rig), { name: 'InvalidGroup.Duplicate' });
  const VpcId = rig.aws.seed.vpc();
  await rig.ec2.createSecurityGroup({ GroupName: 'g', Description: 'd', VpcId });
});

test('rules are equal whatever their description, and networks are stored without host bits', async () => {
  const rig = createRig();
  const GroupId = await newGroup(rig);
  const authorize = (...IpPermissions: IpPermission[]) =>
    rig.ec2.authorizeSecurityGroupIngress({ GroupId, IpPermissions });
  await authorize(tcp(80, '10.1.2.3/8', 'ours'));
  assert.deepEqual(await rulesOf(rig, GroupId), [[80, '10.0.0.0/8', 'ours']]);
  await assert.rejects(authorize(tcp(81), tcp(80, '10.0.0.0/8', 'theirs')), { name: 'InvalidPermission.Duplicate' });
  await assert.rejects(authorize(tcp(81), tcp(81)), { name: 'InvalidParameterValue' });
  assert.deepEqual(await rulesOf(rig, GroupId), [[80, '10.0.0.0/8', 'ours']], 'all or nothing');
});

test('revoking needs no description, and fails as a whole for a rule that is not there', async () => {
  const rig = createRig();
  const GroupId = await newGroup(rig);
  await rig.ec2.authorizeSecurityGroupIngress({ GroupId, IpPermissions: [tcp(80, undefined, 'ours')] });
  const revoke = (...IpPermissions: IpPermission[]) => rig.ec2.revokeSecurityGroupIngress({ GroupId, IpPermissions });
  await assert.rejects(revoke(tcp(80), tcp(81)), { name: 'InvalidPermission.NotFound' });
  await revoke(tcp(80));
  assert.deepEqual(await rulesOf(rig, GroupId), []);
});

test('the quota of rules counts per family, a group in both', async () => {
  const rig = createRig();
  rig.aws.configure({ quotas: { ...rig.aws.settings.quotas, rulesPerSecurityGroup: 2 } });
  const GroupId = await newGroup(rig);
  const authorize = (permission: IpPermission) =>
    rig.ec2.authorizeSecurityGroupIngress({ GroupId, IpPermissions: [permission] });
  const v6 = (port: number) => ({
    IpProtocol: 'tcp',
    FromPort: port,
    ToPort: port,
    Ipv6Ranges: [{ CidrIpv6: '::/0' }],
  });
  await authorize(tcp(1));
  await authorize(v6(1));
  await authorize({ IpProtocol: '-1', UserIdGroupPairs: [{ GroupId: rig.nodeGroupId }] });
  const full = { name: 'RulesPerSecurityGroupLimitExceeded' };
  await assert.rejects(authorize(tcp(2)), full);
  await assert.rejects(authorize(v6(2)), full);
});

for (const [name, permission, error] of [
  ['no CIDR', tcp(80, '10.0.0.0'), 'InvalidParameterValue'],
  ['a description with a bad character', tcp(80, undefined, 'a<b'), 'InvalidParameterValue'],
  ['no ports', { IpProtocol: 'tcp', IpRanges: [{ CidrIp: '10.0.0.0/8' }] }, 'InvalidParameterValue'],
  ['no source', { IpProtocol: '-1' }, 'InvalidParameterValue'],
  ['an unknown group', { IpProtocol: '-1', UserIdGroupPairs: [{ GroupId: 'sg-none' }] }, 'InvalidGroup.NotFound'],
  [
    'an unknown prefix list',
    { IpProtocol: '-1', PrefixListIds: [{ PrefixListId: 'pl-1' }] },
    'InvalidPrefixListID.NotFound',
  ],
] as const) {
  test(`a rule is refused: ${name}`, async () => {
    const rig = createRig();
    const GroupId = await newGroup(rig);
    const IpPermissions = [permission as IpPermission];
    await assert.rejects(rig.ec2.authorizeSecurityGroupIngress({ GroupId, IpPermissions }), { name: error });
  });
}

test('a security group is held by interfaces and by rules of other groups, not by its own', async () => {
  const rig = createRig();
  const [GroupId, other] = [await newGroup(rig), await newGroup(rig, 'h')];
  const from = [{ IpProtocol: '-1', UserIdGroupPairs: [{ GroupId }] }];
  await rig.ec2.authorizeSecurityGroupIngress({ GroupId, IpPermissions: from });
  await rig.ec2.authorizeSecurityGroupIngress({ GroupId: other, IpPermissions: from });
  const held = { name: 'DependencyViolation' };
  await assert.rejects(rig.ec2.deleteSecurityGroup({ GroupId }), held);
  await assert.rejects(rig.ec2.deleteSecurityGroup({ GroupId: rig.nodeGroupId }), held);
  await rig.ec2.revokeSecurityGroupIngress({ GroupId: other, IpPermissions: from });
  await rig.ec2.deleteSecurityGroup({ GroupId });
  await assert.rejects(rig.ec2.deleteSecurityGroup({ GroupId }), { name: 'InvalidGroup.NotFound' });
});

test('filters: several are an and, values an or, `*` and `?` stand for characters', async () => {
  const rig = createRig();
  const ids = async (...Filters: { Name: string; Values: string[] }[]) => {
    const { Subnets = [] } = await rig.ec2.describeSubnets({ Filters });
    return Subnets.map(({ SubnetId }) => SubnetId);
  };
  const vpc = { Name: 'vpc-id', Values: [rig.vpcId] };
  const zones = { Name: 'availability-zone', Values: ['eu-west-1a', 'eu-west-1b'] };
  assert.deepEqual(await ids(vpc, zones), ['subnet-01', 'subnet-02']);
  assert.deepEqual(await ids(vpc, { Name: 'tag:Name', Values: ['test-*'] }), ['subnet-01', 'subnet-02', 'subnet-03']);
  assert.deepEqual(await ids({ Name: 'tag:Name', Values: ['tes?-3'] }), ['subnet-03']);
  assert.deepEqual(await ids({ Name: 'tag:Name', Values: ['test-\\*'] }), []);
  assert.deepEqual(await ids({ Name: 'tag-key', Values: ['nothing'] }), []);
  await assert.rejects(ids({ Name: 'vpc-id', Values: Array(201).fill('x') }), { name: 'FilterLimitExceeded' });
});

test('pages of EC2 come only when asked for, with tokens', async () => {
  const rig = createRig();
  for (let number = 0; number < 12; number += 1) await newGroup(rig, `g${number}`);
  assert.equal((await rig.ec2.describeSecurityGroups({})).SecurityGroups?.length, 13);
  const first = await rig.ec2.describeSecurityGroups({ MaxResults: 10 });
  const second = await rig.ec2.describeSecurityGroups({ MaxResults: 10, NextToken: first.NextToken });
  assert.deepEqual([first.SecurityGroups?.length, second.SecurityGroups?.length, second.NextToken], [10, 3, undefined]);
  await assert.rejects(rig.ec2.describeSecurityGroups({ MaxResults: 4 }), { name: 'InvalidParameterValue' });
});

const route = (rig: Rig, DestinationCidrBlock: string, InstanceId = 'i-01') =>
  rig.ec2.createRoute({ RouteTableId: rig.routeTableId, DestinationCidrBlock, InstanceId });

async function routesOf({ ec2, routeTableId }: Rig): Promise<readonly unknown[]> {
  const { RouteTables = [] } = await ec2.describeRouteTables({ RouteTableIds: [routeTableId] });
  return (
    RouteTables[0]?.Routes?.filter(({ Origin, GatewayId }) => Origin === 'CreateRoute' && GatewayId === undefined).map(
      (one) => [one.DestinationCidrBlock ?? one.DestinationIpv6CidrBlock, one.InstanceId, one.State],
    ) ?? []
  );
}

test('routes: one per destination, replaced in one call, of both families', async () => {
  const rig = createRig();
  await route(rig, '10.1.0.7/24');
  await assert.rejects(route(rig, '10.1.0.0/24', 'i-02'), { name: 'RouteAlreadyExists' });
  const change = { RouteTableId: rig.routeTableId, DestinationCidrBlock: '10.1.0.0/24', InstanceId: 'i-02' };
  await rig.ec2.replaceRoute(change);
  await assert.rejects(rig.ec2.replaceRoute({ ...change, DestinationCidrBlock: '10.2.0.0/24' }), {
    name: 'InvalidParameterValue',
  });
  await rig.ec2.createRoute({
    RouteTableId: rig.routeTableId,
    DestinationIpv6CidrBlock: '2001:db8::/80',
    InstanceId: 'i-01',
  });
  assert.deepEqual(await routesOf(rig), [
    ['10.1.0.0/24', 'i-02', 'active'],
    ['2001:db8::/80', 'i-01', 'active'],
  ]);
  const gone = { RouteTableId: rig.routeTableId, DestinationCidrBlock: '10.1.0.0/24' };
  await rig.ec2.deleteRoute(gone);
  await assert.rejects(rig.ec2.deleteRoute(gone), { name: 'InvalidRoute.NotFound' });
  const local = { RouteTableId: rig.routeTableId, DestinationCidrBlock: '192.168.0.0/16' };
  await assert.rejects(rig.ec2.deleteRoute(local), { name: 'InvalidParameterValue' });
});

test('a route to an instance that was terminated is a blackhole without its id', async () => {
  const rig = createRig();
  await route(rig, '10.1.0.0/24');
  rig.aws.seed.terminate('i-01');
  assert.deepEqual(await routesOf(rig), [['10.1.0.0/24', undefined, 'blackhole']]);
  await assert.rejects(route(rig, '10.2.0.0/24'), { name: 'InvalidInstanceID.NotFound' });
});

test('an instance with several interfaces is reached by one of them only', async () => {
  const rig = createRig();
  const id = rig.aws.seed.instance({
    subnetId: rig.subnetIds[0] ?? '',
    addresses: ['192.168.0.20', '192.168.0.21'],
    interfaces: [{ addresses: ['192.168.0.22'] }],
  });
  await assert.rejects(route(rig, '10.1.0.0/24', id), { name: 'InvalidInstanceID' });
  const check = { InstanceId: id, SourceDestCheck: { Value: false } };
  await assert.rejects(rig.ec2.modifyInstanceAttribute(check), { name: 'InvalidInstanceID' });
  const { Reservations = [] } = await rig.ec2.describeInstances({ InstanceIds: [id] });
  const [instance] = Reservations[0]?.Instances ?? [];
  const [primary, second] = instance?.NetworkInterfaces ?? [];
  assert.deepEqual([primary?.Attachment?.DeviceIndex, second?.Attachment?.DeviceIndex], [0, 1]);
  const NetworkInterfaceId = primary?.NetworkInterfaceId;
  await rig.ec2.modifyNetworkInterfaceAttribute({ NetworkInterfaceId, SourceDestCheck: { Value: false } });
  const DestinationCidrBlock = '10.1.0.0/24';
  await rig.ec2.createRoute({ RouteTableId: rig.routeTableId, DestinationCidrBlock, NetworkInterfaceId });
  assert.deepEqual(await routesOf(rig), [['10.1.0.0/24', id, 'active']]);
  const Filters = [{ Name: 'addresses.private-ip-address', Values: ['192.168.0.21'] }];
  const { NetworkInterfaces = [] } = await rig.ec2.describeNetworkInterfaces({ Filters });
  assert.deepEqual(
    NetworkInterfaces.map((one) => [one.NetworkInterfaceId, one.SourceDestCheck]),
    [[NetworkInterfaceId, false]],
  );
});

test('the quota of routes counts the local ones', async () => {
  const rig = createRig();
  rig.aws.configure({ quotas: { ...rig.aws.settings.quotas, routesPerTable: 3 } });
  await route(rig, '10.1.0.0/24');
  await assert.rejects(route(rig, '10.2.0.0/24'), { name: 'RouteLimitExceeded' });
});

test('instances: malformed ids, unknown ids, states, and an hour of memory of the terminated', async () => {
  const rig = createRig();
  const find = (id: string) => rig.ec2.describeInstances({ InstanceIds: [id] });
  await assert.rejects(find('node-1'), { name: 'InvalidInstanceID.Malformed' });
  await assert.rejects(find('i-99'), { name: 'InvalidInstanceID.NotFound' });
  rig.aws.seed.terminate('i-01');
  assert.equal((await find('i-01')).Reservations?.[0]?.Instances?.[0]?.State?.Name, 'terminated');
  await rig.clock.advance(3_600_000);
  await assert.rejects(find('i-01'), { name: 'InvalidInstanceID.NotFound' });
  rig.aws.seed.setInstance('i-02', 'stopped');
  const Filters = [{ Name: 'instance-state-name', Values: ['pending', 'running'] }];
  const { Reservations = [] } = await rig.ec2.describeInstances({ Filters });
  assert.deepEqual(
    Reservations.flatMap(({ Instances = [] }) => Instances.map(({ InstanceId }) => InstanceId)),
    ['i-03'],
  );
});

test('GetResources finds what carries all tags, of the types asked for, in pages', async () => {
  const rig = createRig({ resourcesPerPage: 2 });
  const Tags = [{ Key: 'a', Value: '1' }];
  const arns = [await rig.balancer('a', { Tags }), await rig.balancer('b', { Tags }), await rig.group('g', { Tags })];
  await rig.balancer('c', { Tags: [{ Key: 'a', Value: '2' }] });
  const TagFilters = [{ Key: 'a', Values: ['1'] }];
  const first = await rig.tagging.getResources({ TagFilters });
  const second = await rig.tagging.getResources({ TagFilters, PaginationToken: first.PaginationToken });
  const all = [first, second].flatMap(({ ResourceTagMappingList = [] }) =>
    ResourceTagMappingList.map(({ ResourceARN }) => ResourceARN),
  );
  assert.deepEqual([all, second.PaginationToken], [arns, '']);
  const ResourceTypeFilters = ['elasticloadbalancing:targetgroup'];
  const groups = await rig.tagging.getResources({ TagFilters: [{ Key: 'a' }], ResourceTypeFilters });
  assert.equal(groups.ResourceTagMappingList?.length, 1);
});

test('GetResources of a list of ARNs answers all that have tags at once, and takes nothing beside it', async () => {
  const rig = createRig({ resourcesPerPage: 2 });
  const Tags = [{ Key: 'a', Value: '1' }];
  const [a, b, plain] = [
    await rig.balancer('a', { Tags }),
    await rig.group('b', { Tags }),
    await rig.balancer('plain'),
  ];
  const group = `arn:aws:ec2:${rig.aws.region}:${rig.aws.account}:security-group/${rig.nodeGroupId}`;
  const ResourceARNList = [a, b, plain, group, `${a}0`];
  const { ResourceTagMappingList = [], PaginationToken } = await rig.tagging.getResources({ ResourceARNList });
  assert.deepEqual(
    [ResourceTagMappingList.map(({ ResourceARN }) => ResourceARN), PaginationToken],
    [[a, b, group], ''],
  );
  await assert.rejects(rig.tagging.getResources({ ResourceARNList, ResourcesPerPage: 100 }), {
    name: 'InvalidParameterException',
  });
  await assert.rejects(rig.tagging.getResources({ ResourceARNList: Array.from({ length: 101 }, () => a) }), {
    name: 'InvalidParameterException',
  });
});
