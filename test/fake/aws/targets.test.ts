import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createRig, type Rig } from './rig.ts';

const register = ({ elb }: Rig, TargetGroupArn: string, ...ids: string[]) =>
  elb.registerTargets({ TargetGroupArn, Targets: ids.map((Id) => ({ Id })) });
const deregister = ({ elb }: Rig, TargetGroupArn: string, ...ids: string[]) =>
  elb.deregisterTargets({ TargetGroupArn, Targets: ids.map((Id) => ({ Id })) });

/** A group of three instances behind a listener. */
async function served(rig: Rig): Promise<string> {
  const group = await rig.group('g');
  await rig.listener(await rig.balancer('a'), group);
  await register(rig, group, ...rig.instanceIds);
  return group;
}

test('a target is unused until its group has a listener, then initial, then healthy', async () => {
  const rig = createRig({ registrationMs: 60_000 });
  const group = await rig.group('g');
  await register(rig, group, 'i-01');
  await rig.clock.advance(600_000);
  assert.deepEqual(await rig.health(group), { 'i-01': 'unused Target.NotInUse' });
  await rig.listener(await rig.balancer('a'), group);
  assert.deepEqual(await rig.health(group), { 'i-01': 'initial Elb.RegistrationInProgress' });
  await rig.clock.advance(60_000);
  assert.deepEqual(await rig.health(group), { 'i-01': 'initial Elb.InitialHealthChecking' });
  await rig.clock.advance(29_999);
  assert.deepEqual(await rig.health(group), { 'i-01': 'initial Elb.InitialHealthChecking' });
  await rig.clock.advance(1);
  assert.deepEqual(await rig.health(group), { 'i-01': 'healthy' });
});

test('a target that fails its checks is unhealthy after so many of them, and healthy again after so many good ones', async () => {
  const rig = createRig();
  const group = await served(rig);
  await rig.clock.advance(30_000);
  rig.aws.seed.setHealth('i-01', 'Target.Timeout');
  await rig.clock.advance(19_999);
  assert.equal((await rig.health(group))['i-01'], 'healthy');
  await rig.clock.advance(1);
  assert.deepEqual(await rig.health(group), {
    'i-01': 'unhealthy Target.Timeout',
    'i-02': 'healthy',
    'i-03': 'healthy',
  });
  rig.aws.seed.setHealth('i-01', undefined);
  await rig.clock.advance(29_999);
  assert.equal((await rig.health(group))['i-01'], 'unhealthy Target.FailedHealthChecks');
  await rig.clock.advance(1);
  assert.equal((await rig.health(group))['i-01'], 'healthy');
});

test('a target that never works is initial, then unhealthy', async () => {
  const rig = createRig();
  rig.aws.seed.setHealth('i-01', 'Target.ResponseCodeMismatch');
  const group = await served(rig);
  assert.equal((await rig.health(group))['i-01'], 'initial Elb.InitialHealthChecking');
  await rig.clock.advance(20_000);
  assert.equal((await rig.health(group))['i-01'], 'unhealthy Target.ResponseCodeMismatch');
});

test('a target that is taken out drains for the delay of its group, can come back meanwhile, and then is gone', async () => {
  const rig = createRig();
  const group = await served(rig);
  await rig.clock.advance(30_000);
  await deregister(rig, group, 'i-01', 'i-02');
  await rig.clock.advance(299_999);
  assert.equal((await rig.health(group))['i-01'], 'draining Target.DeregistrationInProgress');
  await register(rig, group, 'i-02');
  await rig.clock.advance(1);
  assert.deepEqual(await rig.health(group), { 'i-02': 'initial Elb.InitialHealthChecking', 'i-03': 'healthy' });
});

test('without a listener it is gone at once, and so with a delay of 0', async () => {
  const rig = createRig();
  const group = await rig.group('g');
  await register(rig, group, 'i-01');
  await deregister(rig, group, 'i-01');
  assert.deepEqual(await rig.health(group), {});
  const other = await served(rig);
  const Attributes = [{ Key: 'deregistration_delay.timeout_seconds', Value: '0' }];
  await rig.elb.modifyTargetGroupAttributes({ TargetGroupArn: other, Attributes });
  await deregister(rig, other, 'i-01', 'i-02', 'i-03');
  assert.deepEqual(await rig.health(other), {});
});

test('instances that stop or go', async () => {
  const rig = createRig();
  const group = await served(rig);
  await rig.clock.advance(30_000);
  rig.aws.seed.setInstance('i-01', 'stopped');
  rig.aws.seed.terminate('i-02');
  assert.deepEqual(await rig.health(group), { 'i-01': 'unused Target.InvalidState', 'i-03': 'healthy' });
  for (const id of ['i-01', 'i-02', 'i-04']) {
    await assert.rejects(register(rig, group, id), { name: 'InvalidTargetException' });
  }
});

test('one bad target fails the whole registration; what is not registered may be deregistered', async () => {
  const rig = createRig();
  const group = await rig.group('g');
  await assert.rejects(register(rig, group, 'i-01', 'i-04'), { name: 'InvalidTargetException' });
  await deregister(rig, group, 'i-01', 'i-04');
  assert.deepEqual(await rig.health(group), {});
});

test('a zone without a subnet of the load balancer is not in use', async () => {
  const rig = createRig();
  const group = await rig.group('g');
  await rig.listener(await rig.balancer('a', { Subnets: rig.subnetIds.slice(0, 1) }), group);
  await register(rig, group, 'i-01', 'i-02');
  await rig.clock.advance(30_000);
  assert.deepEqual(await rig.health(group), { 'i-01': 'healthy', 'i-02': 'unused Target.NotInUse' });
});

test('addresses: of the VPC with their zone, outside only with one that is named, never public ones', async () => {
  const rig = createRig();
  const TargetGroupArn = await rig.group('g', { TargetType: 'ip' });
  const add = (Id: string, AvailabilityZone?: string) =>
    rig.elb.registerTargets({
      TargetGroupArn,
      Targets: [{ Id, ...(AvailabilityZone === undefined ? {} : { AvailabilityZone }) }],
    });
  await add('192.168.40.1');
  await add('10.0.0.1', 'all');
  await assert.rejects(add('10.0.0.2'), { name: 'ValidationError', message: /must specify an Availability Zone/ });
  await assert.rejects(add('192.168.40.2', 'eu-west-1a'), { name: 'ValidationError' });
  await assert.rejects(add('8.8.8.8', 'all'), { name: 'ValidationError' });
  await assert.rejects(add('2001:db8::1', 'all'), { name: 'ValidationError' });
  const { TargetHealthDescriptions = [] } = await rig.elb.describeTargetHealth({ TargetGroupArn });
  assert.deepEqual(
    TargetHealthDescriptions.map(({ Target }) => Target),
    [
      { Id: '192.168.40.1', Port: 80, AvailabilityZone: 'eu-west-1b' },
      { Id: '10.0.0.1', Port: 80, AvailabilityZone: 'all' },
    ],
  );
});

test('a target that was never registered has a state of its own when it is asked for', async () => {
  const rig = createRig();
  const TargetGroupArn = await rig.group('g');
  const { TargetHealthDescriptions } = await rig.elb.describeTargetHealth({
    TargetGroupArn,
    Targets: [{ Id: 'i-01' }],
  });
  assert.equal(TargetHealthDescriptions?.[0]?.TargetHealth?.Reason, 'Target.NotRegistered');
});

test('quotas: targets of a call, a group, a load balancer and a zone, the last two by the cross-zone attribute', async () => {
  const rig = createRig();
  const quotas = {
    ...rig.aws.settings.quotas,
    targetsPerCall: 4,
    targetsPerGroup: 6,
    targetsPerLoadBalancerAndZone: 5,
  };
  rig.aws.configure({ quotas });
  const group = await rig.group('g', { TargetType: 'ip' });
  const addresses = (from: number, count: number) => Array.from({ length: count }, (_, at) => `192.168.1.${from + at}`);
  await assert.rejects(register(rig, group, ...addresses(1, 5)), { name: 'ValidationError' });
  await register(rig, group, ...addresses(1, 4));
  await register(rig, group, ...addresses(5, 2));
  await assert.rejects(register(rig, group, '192.168.1.7'), { name: 'TooManyTargetsException' });
  const LoadBalancerArn = await rig.balancer('a');
  await assert.rejects(rig.listener(LoadBalancerArn, group), { name: 'TooManyTargetsException' });
  const Attributes = [{ Key: 'load_balancing.cross_zone.enabled', Value: 'true' }];
  await rig.elb.modifyLoadBalancerAttributes({ LoadBalancerArn, Attributes });
  await rig.listener(LoadBalancerArn, group);
  rig.aws.configure({ quotas: { ...quotas, targetsPerCrossZoneLoadBalancer: 6, targetsPerGroup: 1000 } });
  await assert.rejects(register(rig, group, '192.168.1.7'), { name: 'TooManyTargetsException' });
  await deregister(rig, group, '192.168.1.1');
  await assert.rejects(register(rig, group, '192.168.1.7'), { name: 'TooManyTargetsException' }, 'draining counts');
  await rig.clock.advance(300_000);
  await register(rig, group, '192.168.1.7');
});

test('the same target group again is the same; another one under its name is refused', async () => {
  const rig = createRig();
  assert.equal(await rig.group('g', { Tags: [{ Key: 'a', Value: 'b' }] }), await rig.group('g'));
  await assert.rejects(rig.group('g', { Port: 81 }), { name: 'DuplicateTargetGroupNameException' });
  await assert.rejects(rig.group('g', { HealthyThresholdCount: 4 }), { name: 'DuplicateTargetGroupNameException' });
});

for (const [name, more, error] of [
  ['an interval that is too short', { HealthCheckIntervalSeconds: 4 }, 'ValidationError'],
  ['a timeout over the interval', { HealthCheckTimeoutSeconds: 11 }, 'ValidationError'],
  ['a threshold of 1', { UnhealthyThresholdCount: 1 }, 'ValidationError'],
  ['a path for TCP', { HealthCheckPath: '/' }, 'InvalidConfigurationRequestException'],
  ['codes for TCP', { Matcher: { HttpCode: '200' } }, 'InvalidConfigurationRequestException'],
  ['codes out of range', { HealthCheckProtocol: 'HTTP', Matcher: { HttpCode: '200-600' } }, 'ValidationError'],
  ['UDP checks', { HealthCheckProtocol: 'UDP' }, 'ValidationError'],
  ['a named check port', { HealthCheckPort: 'http' }, 'ValidationError'],
  ['port 0', { Port: 0 }, 'ValidationError'],
  ['no VPC', { VpcId: undefined }, 'ValidationError'],
  ['an ALB protocol', { Protocol: 'HTTP' }, 'InvalidConfigurationRequestException'],
] as const) {
  test(`a target group is refused: ${name}`, async () => {
    const rig = createRig();
    await assert.rejects(rig.group('g', more), { name: error });
  });
}

test('a check by HTTP keeps its path and codes when something else changes, and loses them with TCP', async () => {
  const rig = createRig();
  const TargetGroupArn = await rig.group('g', {
    HealthCheckProtocol: 'HTTP',
    HealthCheckPath: '/x',
    Matcher: { HttpCode: '200' },
  });
  const change = async (more: object) => {
    const { TargetGroups = [] } = await rig.elb.modifyTargetGroup({ TargetGroupArn, ...more });
    return [TargetGroups[0]?.HealthCheckPath, TargetGroups[0]?.Matcher?.HttpCode];
  };
  assert.deepEqual(await change({ HealthCheckIntervalSeconds: 30 }), ['/x', '200']);
  assert.deepEqual(await change({ HealthCheckProtocol: 'TCP' }), [undefined, undefined]);
  assert.deepEqual(await change({ HealthCheckProtocol: 'HTTP' }), ['/', '200-399']);
});

test('attributes of UDP groups cannot all be set', async () => {
  const rig = createRig();
  const TargetGroupArn = await rig.group('g', { Protocol: 'UDP' });
  const set = (Key: string, Value: string) =>
    rig.elb.modifyTargetGroupAttributes({ TargetGroupArn, Attributes: [{ Key, Value }] });
  const refused = { name: 'InvalidConfigurationRequestException' };
  await assert.rejects(set('preserve_client_ip.enabled', 'false'), refused);
  await assert.rejects(set('target_health_state.unhealthy.connection_termination.enabled', 'true'), refused);
  await set('stickiness.enabled', 'true');
});
