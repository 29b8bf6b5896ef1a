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
