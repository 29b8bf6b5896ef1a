import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { FakeCall } from './faults.ts';
import { operations, type ServiceName } from './operations.ts';
import { createRig, type Rig } from './rig.ts';

/** What every operation is called with once, in an order in which all of them succeed. */
function script(rig: Rig): readonly (readonly [ServiceName, string, (ids: Record<string, string>) => object])[] {
  const { vpcId, subnetIds, instanceIds, routeTableId, nodeGroupId, certificateArn, aws } = rig;
  const second = aws.seed.certificate();
  const tags = [{ Key: 'a', Value: 'b <&> "c"' }];
  const forward = (ids: Record<string, string>) => [{ Type: 'forward', TargetGroupArn: ids['TargetGroupArn'] }];
  const permissions = [
    { IpProtocol: 'tcp', FromPort: 80, ToPort: 80, IpRanges: [{ CidrIp: '10.0.0.0/8', Description: 'd' }] },
    { IpProtocol: '-1', UserIdGroupPairs: [{ GroupId: nodeGroupId }] },
    { IpProtocol: 'udp', FromPort: 1, ToPort: 2, Ipv6Ranges: [{ CidrIpv6: '::/0' }] },
  ];
  return [
    [
      'ec2',
      'CreateSecurityGroup',
      () => ({
        GroupName: 'g',
        Description: 'd',
        VpcId: vpcId,
        TagSpecifications: [{ ResourceType: 'security-group', Tags: [{ Key: 'k', Value: 'v' }] }],
      }),
    ],
    ['ec2', 'AuthorizeSecurityGroupIngress', (ids) => ({ GroupId: ids['GroupId'], IpPermissions: permissions })],
    ['ec2', 'DescribeSecurityGroups', (ids) => ({ GroupIds: [ids['GroupId']] })],
    ['ec2', 'DescribeSecurityGroupRules', (ids) => ({ Filters: [{ Name: 'group-id', Values: [ids['GroupId']] }] })],
    [
      'ec2',
      'RevokeSecurityGroupIngress',
      (ids) => ({ GroupId: ids['GroupId'], IpPermissions: permissions.slice(0, 1) }),
    ],
    ['ec2', 'CreateTags', (ids) => ({ Resources: [ids['GroupId']], Tags: tags })],
    ['ec2', 'DeleteTags', (ids) => ({ Resources: [ids['GroupId']], Tags: [{ Key: 'a' }] })],
    ['ec2', 'DescribeVpcs', () => ({ Filters: [{ Name: 'vpc-id', Values: [vpcId] }] })],
    ['ec2', 'DescribeSubnets', () => ({ Filters: [{ Name: 'tag:kubernetes.io/role/elb', Values: ['', '1'] }] })],
    ['ec2', 'DescribeAvailabilityZones', () => ({})],
    ['ec2', 'DescribeAccountAttributes', () => ({ AttributeNames: ['supported-platforms'] })],
    ['ec2', 'DescribeAddresses', () => ({})],
    ['ec2', 'DescribeRouteTables', () => ({ RouteTableIds: [routeTableId] })],
    [
      'ec2',
      'CreateRoute',
      () => ({ RouteTableId: routeTableId, DestinationCidrBlock: '10.1.0.0/24', InstanceId: instanceIds[0] }),
    ],
    [
      'ec2',
      'ReplaceRoute',
      () => ({ RouteTableId: routeTableId, DestinationCidrBlock: '10.1.0.0/24', InstanceId: instanceIds[1] }),
    ],
    ['ec2', 'DeleteRoute', () => ({ RouteTableId: routeTableId, DestinationCidrBlock: '10.1.0.0/24' })],
    ['ec2', 'DescribeInstances', () => ({ InstanceIds: instanceIds })],
    ['ec2', 'DescribeNetworkInterfaces', () => ({ MaxResults: 5 })],
    ['ec2', 'ModifyInstanceAttribute', () => ({ InstanceId: instanceIds[0], SourceDestCheck: { Value: false } })],
    [
      'ec2',
      'ModifyNetworkInterfaceAttribute',
      () => ({
        NetworkInterfaceId: aws.cloud.instances.get(instanceIds[1] ?? '')?.interfaceIds[0],
        SourceDestCheck: { Value: false },
      }),
    ],
    [
      'elb',
      'CreateLoadBalancer',
      (ids) => ({
        Name: 'lb',
        Type: 'network',
        Scheme: 'internal',
        SubnetMappings: subnetIds.map((SubnetId) => ({ SubnetId })),
        SecurityGroups: [ids['GroupId']],
        Tags: [{ Key: 'k', Value: 'v' }],
      }),
    ],
    [
      'elb',
      'CreateTargetGroup',
      () => ({
        Name: 'tg',
        Protocol: 'TCP',
        Port: 80,
        VpcId: vpcId,
        HealthCheckProtocol: 'HTTP',
        HealthCheckPath: '/x',
        Matcher: { HttpCode: '200-399' },
        Tags: [{ Key: 'k', Value: 'v' }],
      }),
    ],
    [
      'elb',
      'CreateListener',
      (ids) => ({
        LoadBalancerArn: ids['LoadBalancerArn'],
        Port: 443,
        Protocol: 'TLS',
        Certificates: [{ CertificateArn: certificateArn }],
        DefaultActions: forward(ids),
      }),
    ],
    [
      'elb',
      'ModifyListener',
      (ids) => ({ ListenerArn: ids['ListenerArn'], AlpnPolicy: ['HTTP2Optional'], DefaultActions: forward(ids) }),
    ],
    [
      'elb',
      'AddListenerCertificates',
      (ids) => ({ ListenerArn: ids['ListenerArn'], Certificates: [{ CertificateArn: second }] }),
    ],
    ['elb', 'DescribeListenerCertificates', (ids) => ({ ListenerArn: ids['ListenerArn'] })],
    [
      'elb',
      'RemoveListenerCertificates',
      (ids) => ({ ListenerArn: ids['ListenerArn'], Certificates: [{ CertificateArn: second }] }),
    ],
    ['elb', 'DescribeListenerAttributes', (ids) => ({ ListenerArn: ids['ListenerArn'] })],
    ['elb', 'DescribeListeners', (ids) => ({ LoadBalancerArn: ids['LoadBalancerArn'] })],
    [
      'elb',
      'ModifyListener',
      (ids) => ({ ListenerArn: ids['ListenerArn'], Protocol: 'TCP', DefaultActions: forward(ids) }),
    ],
    [
      'elb',
      'ModifyListenerAttributes',
      (ids) => ({ ListenerArn: ids['ListenerArn'], Attributes: [{ Key: 'tcp.idle_timeout.seconds', Value: '600' }] }),
    ],
    [
      'elb',
      'RegisterTargets',
      (ids) => ({
        TargetGroupArn: ids['TargetGroupArn'],
        Targets: [{ Id: instanceIds[0] }, { Id: instanceIds[0], Port: 81 }],
      }),
    ],
    ['elb', 'DescribeTargetHealth', (ids) => ({ TargetGroupArn: ids['TargetGroupArn'] })],
    [
      'elb',
      'DeregisterTargets',
      (ids) => ({ TargetGroupArn: ids['TargetGroupArn'], Targets: [{ Id: instanceIds[0], Port: 81 }] }),
    ],
    ['elb', 'ModifyTargetGroup', (ids) => ({ TargetGroupArn: ids['TargetGroupArn'], HealthCheckIntervalSeconds: 60 })],
    [
      'elb',
      'ModifyTargetGroupAttributes',
      (ids) => ({
        TargetGroupArn: ids['TargetGroupArn'],
        Attributes: [{ Key: 'deregistration_delay.timeout_seconds', Value: '10' }],
      }),
    ],
    ['elb', 'DescribeTargetGroupAttributes', (ids) => ({ TargetGroupArn: ids['TargetGroupArn'] })],
    ['elb', 'DescribeTargetGroups', (ids) => ({ LoadBalancerArn: ids['LoadBalancerArn'] })],
    [
      'elb',
      'ModifyLoadBalancerAttributes',
      (ids) => ({
        LoadBalancerArn: ids['LoadBalancerArn'],
        Attributes: [{ Key: 'load_balancing.cross_zone.enabled', Value: 'true' }],
      }),
    ],
    ['elb', 'DescribeLoadBalancerAttributes', (ids) => ({ LoadBalancerArn: ids['LoadBalancerArn'] })],
    ['elb', 'DescribeLoadBalancers', () => ({ Names: ['lb'] })],
    [
      'elb',
      'ModifyCapacityReservation',
      (ids) => ({ LoadBalancerArn: ids['LoadBalancerArn'], MinimumLoadBalancerCapacity: { CapacityUnits: 3000 } }),
    ],
    ['elb', 'DescribeCapacityReservation', (ids) => ({ LoadBalancerArn: ids['LoadBalancerArn'] })],
    ['elb', 'SetIpAddressType', (ids) => ({ LoadBalancerArn: ids['LoadBalancerArn'], IpAddressType: 'ipv4' })],
    ['elb', 'SetSubnets', (ids) => ({ LoadBalancerArn: ids['LoadBalancerArn'], Subnets: subnetIds.slice(0, 2) })],
    [
      'elb',
      'SetSecurityGroups',
      (ids) => ({ LoadBalancerArn: ids['LoadBalancerArn'], SecurityGroups: [ids['GroupId'], nodeGroupId] }),
    ],
    ['elb', 'AddTags', (ids) => ({ ResourceArns: [ids['TargetGroupArn']], Tags: [{ Key: 'a', Value: 'b' }] })],
    ['elb', 'DescribeTags', (ids) => ({ ResourceArns: [ids['TargetGroupArn'], ids['LoadBalancerArn']] })],
    ['elb', 'RemoveTags', (ids) => ({ ResourceArns: [ids['TargetGroupArn']], TagKeys: ['a'] })],
    ['elb', 'DescribeAccountLimits', () => ({})],
    ['tagging', 'GetResources', () => ({ TagFilters: [{ Key: 'k', Values: ['v'] }], ResourceTypeFilters: ['ec2'] })],
    ['elb', 'DeleteListener', (ids) => ({ ListenerArn: ids['ListenerArn'] })],
    ['elb', 'DeleteTargetGroup', (ids) => ({ TargetGroupArn: ids['TargetGroupArn'] })],
    ['elb', 'DeleteLoadBalancer', (ids) => ({ LoadBalancerArn: ids['LoadBalancerArn'] })],
    ['ec2', 'DeleteSecurityGroup', (ids) => ({ GroupId: ids['GroupId'] })],
  ];
}

type Send = (service: ServiceName, operation: string, input: object) => Promise<object>;

/** Plays the script; returns the outputs, by operation. */
async function play(rig: Rig, send: Send): Promise<readonly (readonly [string, unknown])[]> {
  const ids: Record<string, string> = {};
  const outputs: (readonly [string, unknown])[] = [];
  for (const [service, operation, input] of script(rig)) {
    const output = await send(service, operation, input(ids));
    for (const id of ['GroupId', 'LoadBalancerArn', 'TargetGroupArn', 'ListenerArn']) {
      const found = operation.startsWith('Create') ? firstOf(output, id) : undefined;
      if (found !== undefined) ids[id] ??= found;
    }
    outputs.push([operation, output]);
  }
  return outputs;
}

function firstOf(output: unknown, key: string): string | undefined {
  if (typeof output !== 'object' || output === null) return undefined;
  const own = (output as Record<string, unknown>)[key];
  if (typeof own === 'string') return own;
  for (const inner of Object.values(output)) {
    const found = firstOf(inner, key);
    if (found !== undefined) return found;
  }
  return undefined;
}

function bySdk(rig: Rig): Send {
  return async (service, operation, input) => {
    const client = rig[service] as unknown as Record<string, (input: object) => Promise<{ $metadata?: unknown }>>;
    const { $metadata: _, ...output } =
      (await client[`${operation.charAt(0).toLowerCase()}${operation.slice(1)}`]?.(input)) ?? {};
    return output;
  };
}

test('every operation is answered, and the SDK reads from the answer what the direct call returns', async () => {
  const [wired, direct] = [createRig(), createRig()];
  const overTheWire = await play(wired, bySdk(wired));
  const called = await play(direct, (service, operation, input) => direct.aws.call(service, operation, input));
  assert.deepEqual(overTheWire, called);
  assert.deepEqual(wired.aws.snapshot(), direct.aws.snapshot());
  const inputs = ({ aws }: Rig) => aws.calls.map(({ operation, input }) => [operation, input]);
  assert.deepEqual(inputs(wired), inputs(direct), 'the SDK sent something else');
  const played = new Set(wired.aws.calls.map(({ operation }) => operation));
  const all = Object.values(operations).flatMap((service) => Object.keys(service));
  assert.deepEqual([...played].sort(), all.sort(), 'an operation of the fake has no test');
});

const errors: readonly {
  readonly name: string;
  readonly send: (rig: Rig) => Promise<unknown>;
  readonly error: string;
  readonly status?: number;
}[] = [
  {
    name: 'a modelled error of ELBv2 gets its suffix',
    send: ({ elb }) => elb.describeLoadBalancers({ Names: ['none'] }),
    error: 'LoadBalancerNotFoundException',
  },
  {
    name: 'one whose code differs from its name, too',
    send: async (rig) => {
      const arn = await rig.balancer('a');
      const Certificates = [{ CertificateArn: rig.certificateArn }];
      const DefaultActions = [{ Type: 'forward' as const, TargetGroupArn: await rig.group('g') }];
      const tls = { LoadBalancerArn: arn, Port: 443, Protocol: 'TLS' as const, Certificates, DefaultActions };
      await rig.elb.createListener({ ...tls, AlpnPolicy: ['http/1.1'] });
    },
    error: 'ALPNPolicyNotSupportedException',
  },
  {
    name: 'an error outside the model does not',
    send: ({ elb }) => elb.describeTags({ ResourceArns: [] }),
    error: 'ValidationError',
  },
  {
    name: 'an error of EC2 is its code',
    send: ({ ec2 }) => ec2.describeInstances({ InstanceIds: ['i-ffffffff'] }),
    error: 'InvalidInstanceID.NotFound',
  },
  {
    name: 'an error of the tagging API is its code',
    send: ({ tagging }) => tagging.getResources({ PaginationToken: 'nonsense' }),
    error: 'PaginationTokenExpiredException',
  },
  {
    name: 'a value outside its enumeration',
    send: ({ balancer }) => balancer('a', { Scheme: 'public' }),
    error: 'ValidationError',
  },
  {
    name: 'a parameter that is missing',
    send: ({ elb }) => elb.createLoadBalancer({ Name: undefined }),
    error: 'ValidationError',
  },
  {
    name: 'a filter that EC2 does not have',
    send: ({ ec2 }) => ec2.describeSubnets({ Filters: [{ Name: 'vpcId', Values: ['x'] }] }),
    error: 'InvalidParameterValue',
  },
  {
    name: 'an operation that the fake does not have',
    send: ({ ec2 }) => ec2.describeImages({}),
    error: 'InvalidAction',
  },
];
for (const { name, send, error } of errors) {
  test(`errors: ${name}`, async () => {
    const rig = createRig();
    await assert.rejects(send(rig), { name: error });
    assert.equal(
      rig.aws.calls.at(-1)?.outcome,
      error.replace(/NotSupportedException$/, 'NotFound').replace(/^(LoadB.*)Exception$/, '$1'),
    );
  });
}

test('errors: a direct call rejects as the SDK does', async () => {
  for (const [service, operation, input] of [
    ['elb', 'DescribeLoadBalancers', { Names: ['none'] }],
    ['ec2', 'DescribeInstances', { InstanceIds: ['i-ffffffff'] }],
    ['tagging', 'GetResources', { PaginationToken: 'x' }],
    ['elb', 'DescribeLoadBalancers', { Nmaes: ['none'] }],
  ] as const) {
    const rig = createRig();
    const direct = (await rig.aws.call(service, operation, input).catch((error: unknown) => error)) as Error;
    assert.ok(direct instanceof Error);
    if ('Nmaes' in input) {
      assert.equal(direct.name, 'ValidationError', 'a misspelt parameter');
      continue;
    }
    const wired = (await bySdk(rig)(service, operation, input).catch((error: unknown) => error)) as Error;
    assert.deepEqual([direct.name, direct.message], [wired.name, wired.message]);
  }
});

test('a form with a parameter that the operation does not have is refused', async () => {
  const { aws } = createRig();
  const { handle } = aws.clientOptions.requestHandler;
  const body = 'Action=DescribeSubnets&Version=2016-11-15&Filters.1.Name=vpc-id&Filters.1.Values.1=x';
  const { response } = await handle({ headers: {}, body });
  assert.equal(response.statusCode, 400);
  assert.match(new TextDecoder().decode(response.body), /<Code>UnknownParameter<\/Code>.*Filters/);
});

const faults = [
  { as: { code: 'Throttling' }, error: { name: 'Throttling' }, outcome: 'Throttling' },
  { as: 'reset', error: { code: 'ECONNRESET' }, outcome: 'reset' },
  { as: 'garbage', error: { name: 'Error', message: /XML parse error/ }, outcome: 'garbage' },
] as const;
for (const { as, error, outcome } of faults) {
  for (const at of ['before', 'after'] as const) {
    test(`a fault ${JSON.stringify(as)} ${at} the effect of a call`, async () => {
      const rig = createRig();
      const seen: FakeCall[] = [];
      const strikes: string[] = [];
      rig.aws.fault = (call) => {
        seen.push(call);
        return call.write ? { as, at, onStrike: () => strikes.push(call.operation) } : undefined;
      };
      await assert.rejects(rig.balancer('a'), error);
      const { LoadBalancers = [] } = await rig.elb.describeLoadBalancers({});
      assert.equal(LoadBalancers.length, at === 'after' ? 1 : 0);
      assert.deepEqual([strikes, rig.aws.calls[0]?.outcome], [['CreateLoadBalancer'], outcome]);
      assert.deepEqual(
        seen.map(({ number, operation, write }) => [number, operation, write]),
        [
          [0, 'CreateLoadBalancer', true],
          [1, 'DescribeLoadBalancers', false],
        ],
      );
    });
  }
}

test('a call that hangs ends when its caller gives up, and has had its effect', async () => {
  const rig = createRig();
  rig.aws.fault = () => ({ at: 'after', as: 'hang' });
  const controller = new AbortController();
  const answer = rig.elb.createTargetGroup(
    { Name: 'a', Protocol: 'TCP', Port: 80, VpcId: rig.vpcId },
    { abortSignal: controller.signal },
  );
  answer.catch(() => {});
  await rig.clock.settle();
  controller.abort();
  await assert.rejects(answer, { name: 'AbortError' });
  assert.equal(rig.aws.cloud.targetGroups.values().length, 1);
});

test('latency: the effect is in the middle, and a delay comes on top', async () => {
  const rig = createRig({ latencyMs: 100 });
  const effects: number[] = [];
  rig.aws.fault = () => ({ at: 'after', delayMs: 1000, onStrike: () => void effects.push(rig.clock.monotonicMs()) });
  await rig.answered(rig.balancer('a'));
  assert.deepEqual([rig.clock.monotonicMs(), effects], [1100, [100]]);
  assert.equal(rig.aws.cloud.loadBalancers.values()[0]?.createdMs, 50);
});

test('a call whose signal aborts on the way has no effect', async () => {
  const rig = createRig({ latencyMs: 100 });
  const answer = rig.elb.describeLoadBalancers({}, { abortSignal: AbortSignal.abort() });
  await assert.rejects(rig.answered(answer), { name: 'AbortError' });
});
