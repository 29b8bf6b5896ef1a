import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create } from '../../../providers/aws/index.ts';
import { isProviderError } from '../../../src/core/errors.ts';
import { createFakeAws } from '../../fake/aws/aws.ts';
import { seedWorld } from '../../fake/aws/world.ts';
import { createVirtualClock } from '../../fake/clock.ts';
import { createFakeCluster } from '../../fake/context.ts';
import { driven } from './harness.ts';

const nowhere = { AWS_EC2_METADATA_DISABLED: 'true' };

function rig(config: object) {
  const clock = createVirtualClock();
  const aws = createFakeAws({ clock });
  const world = seedWorld(aws, 'test');
  const context = createFakeCluster({ clock }).context({ config });
  const start = async (env: Readonly<Record<string, string>> = nowhere) => {
    // The SDK's modules come from files, for which a virtual clock alone does not wait.
    return await driven({ clock }, create(context, { env, client: aws.clientOptions }));
  };
  return { aws, world, context, start };
}

test('the provider is a whole cloud: load balancers, routes, instances, health and limits', async () => {
  const { start, aws } = rig({ 'aws-region': 'eu-west-1', 'aws-vpc-id': 'vpc-0a' });
  const provider = await start();
  assert.deepEqual(
    [provider.name, provider.classes, provider.classlessByFlag],
    ['aws', ['fairlead.dev/aws', 'service.k8s.aws/nlb'], true],
  );
  for (const part of ['loadBalancers', 'routes', 'instances', 'targetHealth', 'limits'] as const) {
    assert.notEqual(provider[part], undefined, part);
  }
  assert.deepEqual(aws.calls, [], 'nothing is asked before there is work');
  await provider.close();
});

test('the VPC is found by its tags, and only if exactly one has them', async () => {
  const found = rig({ 'aws-region': 'eu-west-1', 'aws-vpc-tags': { Name: 'test' } });
  await (await found.start()).close();
  assert.deepEqual(
    found.aws.calls.map(({ operation }) => operation),
    ['DescribeVpcs'],
  );
  const missing = rig({ 'aws-region': 'eu-west-1', 'aws-vpc-tags': { Name: 'prod' } });
  await assert.rejects(missing.start(), /--aws-vpc-tags: no VPC has the tags Name=prod; exactly one must/);
});

test('the region comes from the environment, and what is missing is named with the reason', async () => {
  const known = rig({ 'aws-vpc-id': 'vpc-0a' });
  await (await known.start({ ...nowhere, AWS_REGION: 'eu-west-1' })).close();
  await assert.rejects(rig({}).start(), (error: unknown) => {
    assert.ok(isProviderError(error) && error.code === 'FL_AWS_CONFIG' && error.kind === 'invalid');
    assert.match(error.message, /^give --aws-region and --aws-vpc-id or --aws-vpc-tags: .*AWS_EC2_METADATA_DISABLED/);
    return true;
  });
});

test('what a cloud config has and we do not read is warned of once', async () => {
  const { start, context } = rig({
    'aws-region': 'eu-west-1',
    cloudConfig: { file: 'cloud.conf', text: '[Global]\nVPC = vpc-0a\nElbSecurityGroup = sg-1\n' },
  });
  await (await start()).close();
  assert.deepEqual(
    context.complaints.map(({ message }) => message),
    [
      'cloud.conf: [Global] ElbSecurityGroup is not supported and has no effect: use the annotation aws-load-balancer-security-groups',
    ],
  );
});

test('RoleARN of the cloud config is assumed, and what AWS is asked is signed with what it gives', async (t) => {
  const before = { ...process.env };
  t.after(() => {
    process.env = before;
  });
  Object.assign(process.env, { AWS_ACCESS_KEY_ID: 'AKIAOWN', AWS_SECRET_ACCESS_KEY: 'own' });
  const clock = createVirtualClock();
  const aws = createFakeAws({ clock });
  seedWorld(aws, 'test');
  const { requestHandler: fake, endpoint } = aws.clientOptions;
  const asked: (string | null)[][] = [];
  // The SDK sends what it asks of STS the way of the client that needs it.
  const requestHandler = {
    ...fake,
    async handle(request: Parameters<typeof fake.handle>[0]) {
      const key = /Credential=([^/]+)/.exec(String(request.headers['authorization']))?.[1] ?? '';
      const form = new URLSearchParams(String(request.body));
      asked.push([key, form.get('Action'), form.get('RoleArn'), form.get('RoleSessionName')]);
      if (form.get('Action') !== 'AssumeRole') return await fake.handle(request);
      const body = new TextEncoder().encode(assumed);
      return { response: { statusCode: 200, headers: { 'content-type': 'text/xml' }, body } };
    },
  };
  const role = 'arn:aws:iam::123456789012:role/controller';
  const file = `[Global]\nVPC = vpc-0a\nRoleARN = ${role}\n`;
  const config = { 'aws-region': 'eu-west-1', cloudConfig: { file: 'cloud.conf', text: file } };
  const context = createFakeCluster({ clock }).context({ config });
  const provider = await driven({ clock }, create(context, { env: nowhere, client: { requestHandler, endpoint } }));
  const log = { debug() {}, info() {}, warn() {}, error() {} };
  const call = { signal: AbortSignal.timeout(20_000), log, limit: async <T>(fn: () => Promise<T>) => await fn() };
  const { Vpcs } = await provider.clients.ec2.describeVpcs({}, call);
  assert.equal(Vpcs?.length, 1);
  assert.deepEqual(asked, [
    ['AKIAOWN', 'AssumeRole', role, 'fairlead'],
    ['ASIAROLE', 'DescribeVpcs', null, null],
  ]);
  await provider.close();
});

const assumed = `<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials>
  <AccessKeyId>ASIAROLE</AccessKeyId><SecretAccessKey>given</SecretAccessKey><SessionToken>token</SessionToken>
  <Expiration>2099-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>`;
