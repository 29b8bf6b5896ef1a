import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CreateListenerCommandInput } from '@aws-sdk/client-elastic-load-balancing-v2';
import { createRig, type Rig } from './rig.ts';

async function made(rig: Rig, more: Partial<CreateListenerCommandInput> = {}, group?: string) {
  const LoadBalancerArn = more.LoadBalancerArn ?? (await rig.balancer('a'));
  const TargetGroupArn = group ?? (await rig.group('g'));
  return await rig.elb.createListener({
    LoadBalancerArn,
    Port: 80,
    Protocol: 'TCP',
    DefaultActions: [{ Type: 'forward', TargetGroupArn }],
    ...more,
  });
}

test('the same listener again is the same; another one on its port is refused, also of another protocol', async () => {
  const rig = createRig();
  const LoadBalancerArn = await rig.balancer('a');
  const [tcp, udp] = [await rig.group('tcp'), await rig.group('udp', { Protocol: 'UDP' })];
  const first = await made(rig, { LoadBalancerArn }, tcp);
  const again = await made(rig, { LoadBalancerArn }, tcp);
  assert.deepEqual(again.Listeners, first.Listeners);
  await assert.rejects(made(rig, { LoadBalancerArn, Protocol: 'UDP' }, udp), { name: 'DuplicateListenerException' });
});

for (const [listener, group, works] of [
  ['TCP', 'TCP', true],
  ['TCP', 'TCP_UDP', true],
  ['UDP', 'UDP', true],
  ['TCP_UDP', 'TCP_UDP', true],
  ['TLS', 'TCP', true],
  ['TLS', 'TLS', true],
  ['TCP', 'UDP', false],
  ['TCP', 'TLS', false],
  ['UDP', 'TCP', false],
  ['TCP_UDP', 'TCP', false],
  ['TLS', 'UDP', false],
] as const) {
  test(`a ${listener} listener ${works ? 'takes' : 'refuses'} a ${group} target group`, async () => {
    const rig = createRig();
    const Certificates = [{ CertificateArn: rig.certificateArn }];
    const arn = await rig.group('g', { Protocol: group });
    const answer = made(rig, { Protocol: listener, ...(listener === 'TLS' ? { Certificates } : {}) }, arn);
    if (works) await answer;
    else await assert.rejects(answer, { name: 'IncompatibleProtocolsException' });
  });
}

const refusals: readonly {
  readonly name: string;
  readonly more: (rig: Rig) => Partial<CreateListenerCommandInput>;
  readonly error: string;
}[] = [
  { name: 'TLS without a certificate', more: () => ({ Protocol: 'TLS' }), error: 'ValidationError' },
  {
    name: 'a certificate that does not exist',
    more: () => ({ Protocol: 'TLS', Certificates: [{ CertificateArn: 'arn:aws:acm:x:1:certificate/none' }] }),
    error: 'CertificateNotFoundException',
  },
  {
    name: 'a policy that does not exist',
    more: ({ certificateArn: CertificateArn }) => ({
      Protocol: 'TLS',
      Certificates: [{ CertificateArn }],
      SslPolicy: 'ELBSecurityPolicy-none',
    }),
    error: 'SSLPolicyNotFoundException',
  },
  {
    name: 'a policy on TCP',
    more: () => ({ SslPolicy: 'ELBSecurityPolicy-2016-08' }),
    error: 'InvalidConfigurationRequestException',
  },
  {
    name: 'ALPN on TCP',
    more: () => ({ AlpnPolicy: ['HTTP2Only'] }),
    error: 'InvalidConfigurationRequestException',
  },
  { name: 'HTTP', more: () => ({ Protocol: 'HTTP' }), error: 'UnsupportedProtocolException' },
  { name: 'port 0', more: () => ({ Port: 0 }), error: 'ValidationError' },
  { name: 'no action', more: () => ({ DefaultActions: [] }), error: 'InvalidLoadBalancerActionException' },
  {
    name: 'an action that NLBs do not have',
    more: () => ({ DefaultActions: [{ Type: 'redirect' }] }),
    error: 'InvalidLoadBalancerActionException',
  },
  {
    name: 'a load balancer that does not exist',
    more: () => ({ LoadBalancerArn: 'arn:aws:elasticloadbalancing:eu-west-1:1:loadbalancer/net/x/1' }),
    error: 'LoadBalancerNotFoundException',
  },
];
for (const { name, more, error } of refusals) {
  test(`refused: ${name}`, async () => {
    const rig = createRig();
    await assert.rejects(made(rig, more(rig)), { name: error });
    assert.equal(rig.aws.cloud.listeners.values().length, 0);
  });
}

test('a target group serves one load balancer only, any number of its listeners', async () => {
  const rig = createRig();
  const [a, b, group] = [await rig.balancer('a'), await rig.balancer('b'), await rig.group('g')];
  await rig.listener(a, group, 80);
  await rig.listener(a, group, 81);
  await assert.rejects(rig.listener(b, group), { name: 'TargetGroupAssociationLimitException' });
  await rig.elb.deleteLoadBalancer({ LoadBalancerArn: a });
  await rig.listener(b, group);
});

test('an IPv6 target group needs a dualstack load balancer, and holds it there', async () => {
  const rig = createRig();
  const vpcId = rig.aws.seed.vpc({ ipv6Cidrs: ['2001:db8::/56'] });
  const subnet = rig.aws.seed.subnet({ vpcId, zone: 'eu-west-1a', cidr: '192.168.0.0/19', ipv6Cidr: '2001:db8::/64' });
  const group = await rig.group('g', { VpcId: vpcId, IpAddressType: 'ipv6' });
  const LoadBalancerArn = await rig.balancer('a', { Subnets: [subnet] });
  const refused = { name: 'InvalidConfigurationRequestException' };
  await assert.rejects(rig.listener(LoadBalancerArn, group), refused);
  await rig.elb.setIpAddressType({ LoadBalancerArn, IpAddressType: 'dualstack' });
  await rig.listener(LoadBalancerArn, group);
  await assert.rejects(rig.elb.setIpAddressType({ LoadBalancerArn, IpAddressType: 'ipv4' }), refused);
});

test('weights come back; one group alone comes back as such, too', async () => {
  const rig = createRig();
  const groups = [await rig.group('g'), await rig.group('h')];
  const TargetGroups = groups.map((TargetGroupArn, index) => ({ TargetGroupArn, Weight: index * 10 }));
  const { Listeners = [] } = await made(rig, {
    DefaultActions: [{ Type: 'forward', ForwardConfig: { TargetGroups } }],
  });
  const [action] = Listeners[0]?.DefaultActions ?? [];
  assert.deepEqual([action?.TargetGroupArn, action?.ForwardConfig?.TargetGroups], [undefined, TargetGroups]);
  const ListenerArn = Listeners[0]?.ListenerArn;
  const DefaultActions = [{ Type: 'forward' as const, TargetGroupArn: groups[1] ?? '' }];
  const changed = await rig.elb.modifyListener({ ListenerArn, DefaultActions });
  assert.equal(changed.Listeners?.[0]?.DefaultActions?.[0]?.TargetGroupArn, groups[1]);
});

test('certificates: the default one is in the list and cannot be removed; others one by one, up to the quota', async () => {
  const rig = createRig();
  rig.aws.configure({ quotas: { ...rig.aws.settings.quotas, certificatesPerLoadBalancer: 1 } });
  const Certificates = [{ CertificateArn: rig.certificateArn }];
  const { Listeners = [] } = await made(rig, { Protocol: 'TLS', Certificates });
  const ListenerArn = Listeners[0]?.ListenerArn;
  const [second, third] = [rig.aws.seed.certificate(), rig.aws.seed.certificate()];
  const add = (...arns: string[]) =>
    rig.elb.addListenerCertificates({ ListenerArn, Certificates: arns.map((CertificateArn) => ({ CertificateArn })) });
  await assert.rejects(add(second, third), { name: 'ValidationError' });
  await add(second);
  await assert.rejects(add(third), { name: 'TooManyCertificatesException' });
  await assert.rejects(rig.elb.removeListenerCertificates({ ListenerArn, Certificates }), {
    name: 'OperationNotPermittedException',
  });
  const listed = await rig.elb.describeListenerCertificates({ ListenerArn });
  assert.deepEqual(listed.Certificates, [
    { CertificateArn: rig.certificateArn, IsDefault: true },
    { CertificateArn: second, IsDefault: false },
  ]);
  await rig.elb.modifyListener({ ListenerArn, Certificates: [{ CertificateArn: third }] });
  const { Certificates: after } = await rig.elb.describeListenerCertificates({ ListenerArn });
  assert.deepEqual(
    after?.map(({ CertificateArn }) => CertificateArn),
    [third, second],
    'the default is replaced, the added ones stay',
  );
});

test('a listener that becomes TCP loses what is for TLS only, and back again needs a certificate', async () => {
  const rig = createRig();
  const Certificates = [{ CertificateArn: rig.certificateArn }];
  const { Listeners = [] } = await made(rig, { Protocol: 'TLS', Certificates, AlpnPolicy: ['HTTP2Only'] });
  const ListenerArn = Listeners[0]?.ListenerArn;
  const { Listeners: now = [] } = await rig.elb.modifyListener({ ListenerArn, Protocol: 'TCP' });
  assert.deepEqual([now[0]?.Certificates, now[0]?.SslPolicy, now[0]?.AlpnPolicy], [undefined, undefined, undefined]);
  await assert.rejects(rig.elb.modifyListener({ ListenerArn, Protocol: 'TLS' }), { name: 'ValidationError' });
});

test('listener attributes are for TCP, and 60 to 6000 seconds', async () => {
  const rig = createRig();
  const arn = await rig.balancer('a');
  const ListenerArn = await rig.listener(arn, await rig.group('g'));
  const set = (listener: string, Value: string) =>
    rig.elb.modifyListenerAttributes({
      ListenerArn: listener,
      Attributes: [{ Key: 'tcp.idle_timeout.seconds', Value }],
    });
  await set(ListenerArn, '60');
  await assert.rejects(set(ListenerArn, '59'), { name: 'ValidationError' });
  const udp = await made(
    rig,
    { LoadBalancerArn: arn, Port: 53, Protocol: 'UDP' },
    await rig.group('u', { Protocol: 'UDP' }),
  );
  await assert.rejects(set(udp.Listeners?.[0]?.ListenerArn ?? '', '60'), {
    name: 'InvalidConfigurationRequestException',
  });
});

test('the quota of listeners', async () => {
  const rig = createRig();
  rig.aws.configure({ quotas: { ...rig.aws.settings.quotas, listenersPerLoadBalancer: 1 } });
  const [arn, group] = [await rig.balancer('a'), await rig.group('g')];
  await rig.listener(arn, group, 80);
  await assert.rejects(rig.listener(arn, group, 81), { name: 'TooManyListenersException' });
});
