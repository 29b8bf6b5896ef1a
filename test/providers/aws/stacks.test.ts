/** What the parts do together, and over the life of a process: on the fake. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Call, LoadBalancerSpec } from '../../../src/core/provider.ts';
import { awsQuotas } from '../../fake/aws/settings.ts';
import { type AwsHarness, awsHarness, awsSpecs, CLUSTER, driven } from './harness.ts';

const log: Call['log'] = { debug() {}, info() {}, warn() {}, error() {} };
const call: Call = { signal: new AbortController().signal, log, limit: (fn) => fn() };

const ensure = (harness: AwsHarness, spec: LoadBalancerSpec) =>
  driven(harness, harness.stacks().loadBalancers.ensure(spec, call));
const writesIn = ({ aws }: AwsHarness) => aws.calls.filter(({ write }) => write).map(({ operation }) => operation);

test('protection that somebody has set since is seen before a removal: nothing is written, and the error names it', async () => {
  const harness = await awsHarness();
  const { first } = awsSpecs(harness.world);
  await ensure(harness, first);
  const [balancer] = harness.aws.cloud.loadBalancers.values();
  const Attributes = [{ Key: 'deletion_protection.enabled', Value: 'true' }];
  await harness.aws.call('elb', 'ModifyLoadBalancerAttributes', { LoadBalancerArn: balancer?.arn, Attributes });
  const remove = () => driven(harness, harness.stacks().loadBalancers.remove(first, call));
  harness.aws.forget();
  await assert.rejects(remove(), { code: 'FL_AWS_PROTECTED', kind: 'denied' });
  assert.deepEqual(writesIn(harness), []);
  Attributes[0] = { Key: 'deletion_protection.enabled', Value: 'false' };
  await harness.aws.call('elb', 'ModifyLoadBalancerAttributes', { LoadBalancerArn: balancer?.arn, Attributes });
  await harness.clock.advance(60_000);
  assert.equal((await remove()).done, true);
});

test('a quota that is reached is told before anything is made, once; then AWS has its say', async () => {
  const harness = await awsHarness({ quotas: { ...awsQuotas, loadBalancers: 1 } });
  const { first, other } = awsSpecs(harness.world);
  const fits = await ensure(harness, first);
  assert.ok(!fits.events?.some(({ reason }) => reason === 'QuotaExceeded'));
  await harness.clock.advance(60_000);
  harness.aws.forget();
  const told = await ensure(harness, other);
  assert.deepEqual(told.state === 'pending' && [told.events, told.retryAfterMs], [
    [
      {
        type: 'Warning',
        reason: 'QuotaExceeded',
        message: 'network-load-balancers: 2 wanted, AWS allows 1',
      },
    ],
    1000,
  ]);
  assert.deepEqual(writesIn(harness), []);
  await assert.rejects(ensure(harness, other), { code: 'FL_AWS_QUOTA' });
});

test('an account that holds more than its figure allows has another quota: nothing is told', async () => {
  const harness = await awsHarness();
  const { first, other } = awsSpecs(harness.world);
  const third = { ...other, uid: `${other.uid.slice(0, -1)}9`, key: 'default/third' };
  await ensure(harness, first);
  await ensure(harness, other);
  harness.aws.fault = ({ operation }) => {
    if (operation === 'DescribeAccountLimits') harness.aws.configure({ quotas: { ...awsQuotas, loadBalancers: 1 } });
    else harness.aws.configure({ quotas: awsQuotas });
    return undefined;
  };
  await harness.clock.advance(3_700_000); // limits are read once an hour
  const progress = await ensure(harness, { ...third, service: { ...third.service, name: 'third' } });
  assert.ok(!progress.events?.some(({ reason }) => reason === 'QuotaExceeded'), JSON.stringify(progress));
  assert.equal(harness.aws.cloud.loadBalancers.values().length, 3);
});

test('a load balancer whose Service nobody knows is no orphan in its first five minutes', async () => {
  const harness = await awsHarness();
  const { first } = awsSpecs(harness.world);
  await ensure(harness, first);
  await harness.restart?.();
  const orphans = async () => {
    const audit = await driven(harness, harness.stacks().loadBalancers.audit([], call));
    return [...audit.orphans.keys()];
  };
  assert.deepEqual(await orphans(), []);
  await harness.clock.advance(300_000);
  assert.deepEqual(await orphans(), [first.uid]);
});

test('a Service that makes no sense any more keeps its own node ports open, and does not hold up the closing of others', async () => {
  const harness = await awsHarness();
  const { first, other, invalid } = awsSpecs(harness.world);
  await ensure(harness, first);
  await ensure(harness, other);
  const backend = harness.aws.cloud.securityGroups.values().find(({ name }) => name.startsWith('k8s-fairlead-'));
  const Description = `fairlead.dev/cluster=${CLUSTER}`;
  await harness.aws.call('ec2', 'AuthorizeSecurityGroupIngress', {
    GroupId: harness.world.nodeGroupId,
    IpPermissions: [
      {
        IpProtocol: 'udp',
        FromPort: 30_000,
        ToPort: 31_000,
        UserIdGroupPairs: [{ GroupId: backend?.id, Description }],
      },
    ],
  });
  await harness.restart?.();
  const broken = invalid.at(-2)?.spec as LoadBalancerSpec; // an unknown scheme
  await driven(harness, harness.stacks().loadBalancers.audit([broken, other], call));
  await ensure(harness, other);
  const rules = harness.aws.cloud.securityGroups.get(harness.world.nodeGroupId)?.ingress ?? [];
  const ours = rules.filter(({ description }) => description === Description);
  assert.deepEqual(
    ours.map(({ protocol }) => protocol),
    ['tcp'],
  );
  const [rule] = ours;
  for (const { targetPort } of [...first.listeners, ...other.listeners])
    assert.ok(
      (rule?.from ?? 0) <= Number(targetPort) && Number(targetPort) <= (rule?.to ?? 0),
      `${targetPort} is open`,
    );
});

test('a Service that comes while another closes a range keeps its port open', async () => {
  const harness = await awsHarness({ latencyMs: 100 });
  const { first, other } = awsSpecs(harness.world);
  const { loadBalancers } = harness.stacks();
  const portOf = (port: number) => [{ ...other.listeners[0], port, targetPort: port } as (typeof other.listeners)[0]];
  const far = { ...other, listeners: portOf(32_000) };
  await ensure(harness, first);
  await ensure(harness, far);
  const uid = '6d2f9c1e-0000-4000-8000-000000000003';
  const third = { ...far, uid, key: 'default/third', service: { ...far.service, name: 'third' } };
  for (const delayMs of [0, 100, 200, 300, 400, 500]) {
    harness.aws.forget();
    const removal = loadBalancers.remove(far, call);
    const coming = harness.clock.sleep(delayMs, call.signal).then(() => loadBalancers.ensure(third, call));
    await driven(harness, Promise.all([removal, coming]));
    // Who has come before the range is closed is counted in: it is not closed at all, and not opened again.
    if (delayMs <= 200)
      assert.ok(!writesIn(harness).includes('RevokeSecurityGroupIngress'), `${delayMs} ms: ${writesIn(harness)}`);
    await driven(harness, loadBalancers.remove(far, call));
    const open = harness.aws.cloud.securityGroups.get(harness.world.nodeGroupId)?.ingress ?? [];
    assert.ok(
      open.some(({ protocol, from = 0, to = 0 }) => protocol === 'tcp' && from <= 32_000 && 32_000 <= to),
      `after ${delayMs} ms: ${JSON.stringify(open)}`,
    );
    await driven(harness, loadBalancers.remove(third, call));
    await ensure(harness, far);
  }
});

test('another target type: the listener leads to healthy targets all the time, and moves soon after the new ones are', async () => {
  const harness = await awsHarness({ latencyMs: 20, healthyAfterMs: 30_000, registrationMs: 10_000 });
  const { first } = awsSpecs(harness.world);
  const { aws, clock } = harness;
  const settle = async (spec: LoadBalancerSpec, rounds: number) => {
    for (let round = 0; round < rounds; round += 1) {
      await ensure(harness, spec);
      for (let step = 0; step < 10; step += 1) {
        await clock.advance(1000);
        await check?.();
      }
    }
  };
  let check: (() => Promise<void>) | undefined;
  await settle(first, 8);
  const types = () => aws.cloud.targetGroups.values().map(({ targetType }) => targetType);
  check = async () => {
    for (const { forwards } of aws.cloud.listeners.values()) {
      const serving = forwards.filter(({ weight = 1 }) => weight > 0);
      const healthy = await Promise.all(
        serving.map(async ({ targetGroupArn }) => {
          const answer = aws.call('elb', 'DescribeTargetHealth', { TargetGroupArn: targetGroupArn });
          const { TargetHealthDescriptions = [] } = (await driven(harness, answer)) as {
            readonly TargetHealthDescriptions?: readonly { readonly TargetHealth?: { readonly State?: string } }[];
          };
          return TargetHealthDescriptions.some(({ TargetHealth }) => TargetHealth?.State === 'healthy');
        }),
      );
      assert.ok(healthy.includes(true), JSON.stringify(forwards));
    }
  };
  const pods: LoadBalancerSpec = {
    ...first,
    targetKind: 'pod',
    options: { 'service.beta.kubernetes.io/aws-load-balancer-nlb-target-type': 'ip' },
    listeners: first.listeners.map((one) => ({ ...one, targetPort: 8080 })),
    targets: [10, 11].map((last) => ({
      id: `pod-${last}`,
      node: 'node-1',
      address: `192.168.0.${last}`,
      zone: 'eu-west-1a',
    })),
  };
  await settle(pods, 2);
  assert.deepEqual(types().sort(), ['instance', 'instance', 'ip', 'ip']);
  await settle(pods, 5);
  assert.deepEqual(types(), ['ip', 'ip']);
});
