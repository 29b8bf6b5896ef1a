import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import {
  DescribeRouteTablesCommand,
  DescribeSubnetsCommand,
  EC2Client,
  TerminateInstancesCommand,
} from '@aws-sdk/client-ec2';
import { dockerArgs } from '../../localstack/image.ts';
import { seed, subnetOf } from '../../localstack/seed.ts';
import { freePort } from '../kube/cluster.ts';
import { moto } from './moto.ts';

const main = join(import.meta.dirname, '..', '..', 'localstack', 'main.ts');

test('the seed', async (t) => {
  const server = await moto(t);
  if (server === undefined) return;
  const account = await server.account(t);
  const first = await account.seed('one');
  const { endpoint, region, accessKeyId, secretAccessKey } = account.access;
  const ec2 = new EC2Client({ endpoint, region, credentials: { accessKeyId, secretAccessKey } });
  t.after(() => ec2.destroy());

  await t.test('a second run finds everything and writes nothing', async () => {
    assert.deepEqual(await seed({ ...account.access, cluster: 'one' }), first);
    const writes = Object.keys(account.counts()).filter((name) => !/^(Describe|List)/.test(name));
    assert.deepEqual(writes, []);
  });

  await t.test('what somebody took away comes back, and the rest stays', async () => {
    await ec2.send(new TerminateInstancesCommand({ InstanceIds: [first.instances[1]?.id ?? ''] }));
    const again = await account.seed('one');
    assert.notEqual(again.instances[1]?.id, first.instances[1]?.id);
    assert.deepEqual({ ...again, instances: [] }, { ...first, instances: [] });
  });

  await t.test('the subnets carry both roles, the cluster and an IPv6 block, one per zone', async () => {
    const { Subnets = [] } = await ec2.send(new DescribeSubnetsCommand({ SubnetIds: [...first.subnetIds] }));
    assert.deepEqual(Subnets.map(({ CidrBlock, AvailabilityZone }) => `${CidrBlock} ${AvailabilityZone}`).sort(), [
      '192.168.0.0/19 us-east-1a',
      '192.168.32.0/19 us-east-1b',
      '192.168.64.0/19 us-east-1c',
    ]);
    for (const { Tags = [], Ipv6CidrBlockAssociationSet = [] } of Subnets) {
      const tags = Object.fromEntries(Tags.map(({ Key, Value }) => [Key, Value]));
      assert.equal(tags['kubernetes.io/role/elb'], '1');
      assert.equal(tags['kubernetes.io/role/internal-elb'], '1');
      assert.equal(tags['kubernetes.io/cluster/one'], 'owned');
      assert.match(Ipv6CidrBlockAssociationSet[0]?.Ipv6CidrBlock ?? '', /::\/64$/);
    }
  });

  await t.test('the subnets use the tagged route table, which leads to the internet gateway', async () => {
    const tables = await ec2.send(new DescribeRouteTablesCommand({ RouteTableIds: [first.routeTableId] }));
    const { Associations = [], Routes = [] } = tables.RouteTables?.[0] ?? {};
    assert.deepEqual(Associations.map(({ SubnetId }) => SubnetId).sort(), [...first.subnetIds].sort());
    const standard = Routes.find(({ DestinationCidrBlock }) => DestinationCidrBlock === '0.0.0.0/0');
    assert.equal(standard?.GatewayId, first.internetGatewayId);
  });

  await t.test('another cluster, and another account, have things of their own', async () => {
    const other = await account.seed('two');
    assert.notEqual(other.vpcId, first.vpcId);
    const stranger = await server.account(t);
    const theirs = await stranger.seed('one');
    assert.notEqual(theirs.vpcId, first.vpcId);
    assert.match(theirs.certificateArn, new RegExp(`:${stranger.id}:certificate/`));
  });

  await t.test('npm run localstack on an endpoint that is given seeds it, prints exports and ends', async () => {
    const { code, stdout, stderr } = await run(account.env, ['--cluster-name=one']);
    assert.equal(code, 0, stderr);
    assert.match(stderr, /^localstack: endpoint \(AWS_ENDPOINT_URL is http/);
    assert.match(stdout, new RegExp(`^export AWS_ENDPOINT_URL=${account.url}\nexport AWS_REGION=us-east-1\n`));
    assert.match(stdout, new RegExp(`^# VPC: ${first.vpcId}$`, 'm'));
    assert.match(stdout, /^# node: ip-192-168-0-\d+\.ec2\.internal aws:\/\/\/us-east-1a\/i-[0-9a-f]+$/m);
  });

  await t.test('npm run localstack without an endpoint brings moto up, seeds it and ends with Ctrl-C', async () => {
    const before = leftovers();
    const port = await freePort();
    const child = start({}, [`--port=${port}`]);
    let said = '';
    for await (const chunk of child.stdout.setEncoding('utf8')) {
      said += chunk;
      if (said.includes('# certificate: ')) break;
    }
    assert.match(said, new RegExp(`^export AWS_ENDPOINT_URL=http://127.0.0.1:${port}$`, 'm'));
    assert.equal((await fetch(`http://127.0.0.1:${port}/moto-api/data.json`)).status, 200);
    child.kill('SIGINT');
    assert.deepEqual(await once(child, 'exit'), [0, null]);
    await assert.rejects(fetch(`http://127.0.0.1:${port}/moto-api/data.json`));
    assert.deepEqual(leftovers(), before);
  });
});

test('npm run localstack refuses what makes no sense', async () => {
  const wrong = await run({}, ['--nonsense']);
  assert.equal(wrong.code, 2);
  assert.match(wrong.stderr, /--nonsense[\s\S]*npm run localstack -- \[--install\]/);
  const port = await run({}, ['--port=http']);
  assert.equal(port.code, 1);
  assert.match(port.stderr, /--port: "http" is no port; write 4566/);
  const amazon = await run({ AWS_ENDPOINT_URL: 'https://ec2.us-east-1.amazonaws.com' }, []);
  assert.equal(amazon.code, 1);
  assert.match(amazon.stderr, /Amazon's own/);
});

test('the LocalStack image listens on loopback only, and its token is in no list of processes', () => {
  const args = dockerArgs({ image: 'localstack/localstack', port: 4566 });
  assert.ok(args.includes('127.0.0.1:4566:4566'));
  assert.deepEqual(args.slice(-3), ['-e', 'LOCALSTACK_AUTH_TOKEN', 'localstack/localstack']);
});

test('the blocks of subnets are cut out of the /56 of a VPC', () => {
  assert.equal(subnetOf('2600:1f16:0:ef00::/56', 0), '2600:1f16:0:ef00::/64');
  assert.equal(subnetOf('2600:1f16:0:ef00::/56', 17), '2600:1f16:0:ef11::/64');
  assert.throws(() => subnetOf('2600:1f16::/32', 0), /is no \/56/);
});

function start(env: Readonly<Record<string, string>>, args: readonly string[]) {
  const { AWS_ENDPOINT_URL: _, LOCALSTACK_AUTH_TOKEN: __, ...clean } = process.env;
  return spawn(process.execPath, [main, ...args], { env: { ...clean, ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
}

async function run(env: Readonly<Record<string, string>>, args: readonly string[]) {
  const child = start(env, args);
  const [stdout, stderr, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'exit')]);
  return { code: code as number | null, stdout, stderr };
}

function leftovers(): readonly string[] {
  return readdirSync(tmpdir()).filter((name) => name.startsWith('fairlead-localstack-'));
}
