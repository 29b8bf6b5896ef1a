import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createRig, type Rig } from './rig.ts';

const stateOf = async ({ elb }: Rig, name: string) => {
  const { LoadBalancers = [] } = await elb.describeLoadBalancers({ Names: [name] });
  return LoadBalancers[0]?.State?.Code;
};

test('a load balancer is provisioning, then active; one that fails is failed', async () => {
  const rig = createRig({ provisioningMs: 60_000, failing: ['bad'] });
  await rig.balancer('good');
  await rig.balancer('bad');
  await rig.clock.advance(59_999);
  assert.equal(await stateOf(rig, 'good'), 'provisioning');
  await rig.clock.advance(1);
  assert.deepEqual([await stateOf(rig, 'good'), await stateOf(rig, 'bad')], ['active', 'failed']);
});

test('the same creation again gives the same load balancer, whoever made it; another one under its name is refused', async () => {
  const rig = createRig();
  const tags = (Value: string) => ({ Tags: [{ Key: 'owner', Value }] });
  const arn = await rig.balancer('a', tags('us'));
  assert.equal(await rig.balancer('a', tags('them')), arn);
  assert.equal(rig.aws.cloud.loadBalancers.get(arn)?.tags['owner'], 'us');
  const duplicate = { name: 'DuplicateLoadBalancerNameException' };
  await assert.rejects(rig.balancer('a', { Subnets: rig.subnetIds.slice(0, 1) }), duplicate);
  await assert.rejects(rig.balancer('a', { Scheme: 'internet-facing' }), duplicate);
  await assert.rejects(rig.balancer('a', { SecurityGroups: [rig.nodeGroupId] }), duplicate);
});

test('after its deletion the name is free, and the next one has another ARN and host name', async () => {
  const rig = createRig();
  const LoadBalancerArn = await rig.balancer('a');
  await rig.elb.deleteLoadBalancer({ LoadBalancerArn });
  await rig.elb.deleteLoadBalancer({ LoadBalancerArn });
  assert.notEqual(await rig.balancer('a', { Scheme: 'internet-facing' }), LoadBalancerArn);
});

test('deletion takes the listeners along at once; its interfaces hold its security groups a while longer', async () => {
  const rig = createRig({ interfaceLingerMs: 30_000 });
  const { GroupId = '' } = await rig.ec2.createSecurityGroup({ GroupName: 'g', Description: 'd', VpcId: rig.vpcId });
  const LoadBalancerArn = await rig.balancer('a', { SecurityGroups: [GroupId] });
  const group = await rig.group('g');
  await rig.listener(LoadBalancerArn, group);
  await assert.rejects(rig.elb.deleteTargetGroup({ TargetGroupArn: group }), { name: 'ResourceInUseException' });
  await rig.elb.deleteLoadBalancer({ LoadBalancerArn });
  await rig.elb.deleteTargetGroup({ TargetGroupArn: group });
  const interfaces = async () => {
    const Filters = [{ Name: 'description', Values: ['ELB net/a/*'] }];
    return (await rig.ec2.describeNetworkInterfaces({ Filters })).NetworkInterfaces?.length;
  };
  assert.equal(await interfaces(), 3);
  await assert.rejects(rig.ec2.deleteSecurityGroup({ GroupId }), { name: 'DependencyViolation' });
  await rig.clock.advance(30_000);
  assert.equal(await interfaces(), 0);
  await rig.ec2.deleteSecurityGroup({ GroupId });
});

test('deletion protection', async () => {
  const rig = createRig();
  const LoadBalancerArn = await rig.balancer('a');
  const protect = (Value: string) =>
    rig.elb.modifyLoadBalancerAttributes({
      LoadBalancerArn,
      Attributes: [{ Key: 'deletion_protection.enabled', Value }],
    });
  await protect('true');
  await assert.rejects(rig.elb.deleteLoadBalancer({ LoadBalancerArn }), { name: 'OperationNotPermittedException' });
  await protect('false');
  await rig.elb.deleteLoadBalancer({ LoadBalancerArn });
});

const refusals: readonly { readonly name: string; readonly more: (rig: Rig) => object; readonly error: string }[] = [
  {
    name: 'two subnets of one zone',
    more: ({ aws, vpcId, subnetIds }) => ({
      Subnets: [subnetIds[0], aws.seed.subnet({ vpcId, zone: 'eu-west-1a', cidr: '192.168.96.0/19' })],
    }),
    error: 'InvalidConfigurationRequestException',
  },
  { name: 'no such subnet', more: () => ({ Subnets: ['subnet-none'] }), error: 'SubnetNotFoundException' },
  {
    name: 'a subnet that is full',
    more: ({ aws, vpcId }) => ({
      Subnets: [aws.seed.subnet({ vpcId, zone: 'eu-west-1a', cidr: '192.168.96.0/28', available: 7 })],
    }),
    error: 'InvalidSubnetException',
  },
  {
    name: 'internet-facing in a VPC without an internet gateway',
    more: ({ aws }) => {
      const vpcId = aws.seed.vpc();
      aws.seed.routeTable({ vpcId, main: true, isPrivate: true });
      const subnet = aws.seed.subnet({ vpcId, zone: 'eu-west-1a', cidr: '192.168.0.0/19' });
      return { Scheme: 'internet-facing', Subnets: [subnet] };
    },
    error: 'InvalidSubnetException',
  },
  { name: 'dualstack without IPv6', more: () => ({ IpAddressType: 'dualstack' }), error: 'InvalidSubnetException' },
  {
    name: 'a security group that does not exist',
    more: () => ({ SecurityGroups: ['sg-none'] }),
    error: 'InvalidSecurityGroupException',
  },
  {
    name: 'a security group of another VPC',
    more: ({ aws }) => ({ SecurityGroups: [aws.seed.securityGroup({ vpcId: aws.seed.vpc(), name: 'x' })] }),
    error: 'InvalidConfigurationRequestException',
  },
  {
    name: 'an elastic address on an internal one',
    more: ({ aws, subnetIds: [SubnetId] }) => ({
      Subnets: undefined,
      SubnetMappings: [{ SubnetId, AllocationId: aws.seed.address() }],
    }),
    error: 'InvalidConfigurationRequestException',
  },
  {
    name: 'an elastic address that does not exist',
    more: ({ subnetIds: [SubnetId] }) => ({
      Scheme: 'internet-facing',
      Subnets: undefined,
      SubnetMappings: [{ SubnetId, AllocationId: 'eipalloc-none' }],
    }),
    error: 'AllocationIdNotFoundException',
  },
  {
    name: 'a private address outside its subnet',
    more: ({ subnetIds: [SubnetId] }) => ({
      Subnets: undefined,
      SubnetMappings: [{ SubnetId, PrivateIPv4Address: '192.168.200.1' }],
    }),
    error: 'InvalidConfigurationRequestException',
  },
  { name: 'a name that is too long', more: () => ({ Name: 'a'.repeat(33) }), error: 'ValidationError' },
  { name: 'a name that begins with internal-', more: () => ({ Name: 'internal-a' }), error: 'ValidationError' },
  { name: 'an application load balancer', more: () => ({ Type: undefined }), error: 'ValidationError' },
  {
    name: 'a tag given twice',
    more: () => ({
      Tags: [
        { Key: 'a', Value: '1' },
        { Key: 'a', Value: '2' },
      ],
    }),
    error: 'DuplicateTagKeysException',
  },
  {
    name: 'too many tags',
    more: () => ({ Tags: Array.from({ length: 51 }, (_, index) => ({ Key: `k${index}`, Value: '' })) }),
    error: 'TooManyTagsException',
  },
  {
    name: 'a tag with a bad character',
    more: () => ({ Tags: [{ Key: 'a', Value: 'b{}' }] }),
    error: 'ValidationError',
  },
];
for (const { name, more, error } of refusals) {
  test(`refused: ${name}`, async () => {
    const rig = createRig();
    await assert.rejects(rig.balancer('a', more(rig)), { name: error });
    assert.equal(rig.aws.cloud.loadBalancers.values().length, 0);
  });
}

test('quotas: load balancers of the account, their interfaces in a VPC', async () => {
  const rig = createRig();
  const { quotas } = rig.aws.settings;
  rig.aws.configure({ quotas: { ...quotas, loadBalancers: 2 } });
  await rig.balancer('a');
  await rig.balancer('b');
  const full = { name: 'TooManyLoadBalancersException' };
  await assert.rejects(rig.balancer('c'), full);
  await rig.balancer('a');
  rig.aws.configure({ quotas: { ...quotas, loadBalancerInterfacesPerVpc: 7 } });
  await assert.rejects(rig.balancer('c'), full);
  await rig.balancer('d', { Subnets: rig.subnetIds.slice(0, 1) });
});

test('SetSubnets replaces all subnets; interfaces and elastic addresses follow', async () => {
  const rig = createRig();
  const [one = '', two = ''] = rig.subnetIds;
  const [first, second] = [rig.aws.seed.address(), rig.aws.seed.address()];
  const arn = await rig.balancer('a', {
    Scheme: 'internet-facing',
    Subnets: undefined,
    SubnetMappings: [{ SubnetId: one, AllocationId: first }],
  });
  const SubnetMappings = [
    { SubnetId: one, AllocationId: second },
    { SubnetId: two, AllocationId: first },
  ];
  await rig.elb.setSubnets({ LoadBalancerArn: arn, SubnetMappings });
  const { addresses, interfaces } = rig.aws.cloud;
  assert.deepEqual(
    addresses.values().map(({ usedBy }) => usedBy),
    [arn, arn],
  );
  await assert.rejects(rig.balancer('b', { Scheme: 'internet-facing', Subnets: undefined, SubnetMappings }), {
    name: 'ResourceInUseException',
  });
  await rig.elb.setSubnets({ LoadBalancerArn: arn, Subnets: [two] });
  assert.deepEqual(
    interfaces
      .values()
      .filter(({ type }) => type === 'network_load_balancer')
      .map(({ subnetId }) => subnetId),
    [two],
  );
  assert.deepEqual(
    addresses.values().map(({ usedBy }) => usedBy),
    [undefined, undefined],
  );
});

test('security groups: none for ever when it was created without, never none again when with', async () => {
  const rig = createRig();
  const SecurityGroups = [rig.nodeGroupId];
  const refused = { name: 'InvalidConfigurationRequestException' };
  const without = await rig.balancer('a');
  await assert.rejects(rig.elb.setSecurityGroups({ LoadBalancerArn: without, SecurityGroups }), refused);
  const LoadBalancerArn = await rig.balancer('b', { SecurityGroups });
  await assert.rejects(rig.elb.setSecurityGroups({ LoadBalancerArn, SecurityGroups: [] }), { name: 'ValidationError' });
});

test('pages: 400 load balancers at most, a marker for the rest, and nothing twice or lost when one goes meanwhile', async () => {
  const rig = createRig({ pageSize: 3 });
  const arns: string[] = [];
  for (const name of ['a', 'b', 'c', 'd', 'e', 'f', 'g']) arns.push(await rig.balancer(name));
  const names: unknown[] = [];
  let Marker: string | undefined;
  do {
    const page = await rig.elb.describeLoadBalancers({ ...(Marker === undefined ? {} : { Marker }) });
    assert.ok((page.LoadBalancers?.length ?? 0) <= 3);
    names.push(...(page.LoadBalancers?.map(({ LoadBalancerName }) => LoadBalancerName) ?? []));
    Marker = page.NextMarker;
    if (names.length === 3) await rig.elb.deleteLoadBalancer({ LoadBalancerArn: arns[1] });
  } while (Marker !== undefined);
  assert.deepEqual(names, ['a', 'b', 'c', 'd', 'e', 'f', 'g']);
  await assert.rejects(rig.elb.describeLoadBalancers({ Marker: 'bm9uc2Vuc2U' }), { name: 'ValidationError' });
  await assert.rejects(rig.elb.describeLoadBalancers({ PageSize: 401 }), { name: 'ValidationError' });
  await assert.rejects(rig.elb.describeLoadBalancers({ Names: Array(21).fill('a') }), { name: 'ValidationError' });
});

test('attributes: an unknown key or value is refused, the rest stays as it is', async () => {
  const rig = createRig();
  const LoadBalancerArn = await rig.balancer('a');
  const set = (Key: string, Value: string) =>
    rig.elb.modifyLoadBalancerAttributes({ LoadBalancerArn, Attributes: [{ Key, Value }] });
  await assert.rejects(set('idle_timeout.timeout_seconds', '60'), { name: 'ValidationError' });
  await assert.rejects(set('load_balancing.cross_zone.enabled', 'yes'), { name: 'ValidationError' });
  await assert.rejects(set('access_logs.s3.enabled', 'true'), { name: 'InvalidConfigurationRequestException' });
  await set('secondary_ips.auto_assigned.per_subnet', '2');
  await assert.rejects(set('secondary_ips.auto_assigned.per_subnet', '1'), {
    name: 'InvalidConfigurationRequestException',
  });
  const { Attributes = [] } = await rig.elb.describeLoadBalancerAttributes({ LoadBalancerArn });
  assert.deepEqual(
    Attributes.filter(({ Value }) => Value === '2' || Value === 'true').map(({ Key }) => Key),
    ['ipv6.deny_all_igw_traffic', 'secondary_ips.auto_assigned.per_subnet'],
  );
});
