import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { readManifests } from '../../src/cli/manifest.ts';
import { runCli } from '../../src/cli/run.ts';
import { putAll } from '../../src/cli/world.ts';
import { systemClock } from '../../src/work/clock.ts';
import { createFakeAws, type FakeAws } from '../fake/aws/aws.ts';
import { listen } from '../fake/aws/listen.ts';
import { type SeededWorld, seedWorld } from '../fake/aws/world.ts';
import { type Api, sandboxApi } from '../kube/cluster.ts';
import { fakeTerminal } from './terminal.ts';

const CLUSTER = 'cli';
const ends: (() => void | Promise<void>)[] = [];
const saved = { ...process.env };
let aws: FakeAws;
let world: SeededWorld;
let api: Api;

before(async () => {
  aws = createFakeAws({ clock: systemClock, healthyAfterMs: 0 });
  world = seedWorld(aws, CLUSTER);
  const server = await listen(aws);
  ends.push(server.close);
  api = await sandboxApi({ after: (end) => void ends.push(end) });
  const nodes = world.instanceIds.map(
    (id, index) =>
      `apiVersion: v1\nkind: Node\nmetadata: {name: node-${index}}\nspec: {providerID: 'aws:///eu-west-1a/${id}'}\nstatus: {conditions: [{type: Ready, status: 'True'}], addresses: [{type: InternalIP, address: 192.168.${index * 32}.10}]}\n---\n`,
  );
  const terminal = fakeTerminal({ stdin: nodes.join('') });
  await putAll(api.client(), await readManifests(['-'], terminal), terminal.signal);
  // The SDK reads these from the process itself.
  Object.assign(process.env, {
    AWS_ENDPOINT_URL: server.url,
    AWS_ACCESS_KEY_ID: 'AKIA',
    AWS_SECRET_ACCESS_KEY: 'secret',
  });
});
after(async () => {
  for (const name of ['AWS_ENDPOINT_URL', 'AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY']) {
    if (saved[name] === undefined) delete process.env[name];
    else process.env[name] = saved[name];
  }
  for (const end of ends) await end();
});

const service = `apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {type: LoadBalancer, loadBalancerClass: fairlead.dev/aws, ports: [{port: 80, nodePort: 30080}]}
`;
const place = (): readonly string[] => [
  '--provider=aws',
  `--cluster-name=${CLUSTER}`,
  '--aws-region=eu-west-1',
  `--aws-vpc-id=${world.vpcId}`,
];

async function cli(
  args: readonly string[],
  stdin = '',
): Promise<{ readonly code: number; readonly out: string; readonly err: string }> {
  const terminal = fakeTerminal({ stdin });
  const code = await runCli([...args, `--kubeconfig=${api.kubeconfig}`], terminal);
  return { code, out: terminal.out(), err: terminal.err() };
}

/** As a controller that has served a Service which is gone now. */
async function leaveOrphan(uid: string): Promise<void> {
  const Tags = Object.entries({ 'fairlead.dev/cluster': CLUSTER, 'fairlead.dev/service-uid': uid }).map(
    ([Key, Value]) => ({ Key, Value }),
  );
  const tagsFor = (resource: string) => [...Tags, { Key: 'fairlead.dev/resource', Value: resource }];
  const { LoadBalancers } = (await aws.call('elb', 'CreateLoadBalancer', {
    Name: 'k8s-shop-old-0123456789',
    Type: 'network',
    Scheme: 'internal',
    SubnetMappings: world.subnetIds.map((SubnetId) => ({ SubnetId })),
    Tags: tagsFor('LoadBalancer'),
  })) as { readonly LoadBalancers: readonly { readonly LoadBalancerArn: string }[] };
  const { TargetGroups } = (await aws.call('elb', 'CreateTargetGroup', {
    Name: 'k8s-shop-old-9876543210',
    Protocol: 'TCP',
    Port: 30_080,
    VpcId: world.vpcId,
    Tags: tagsFor('shop/old:80'),
  })) as { readonly TargetGroups: readonly { readonly TargetGroupArn: string }[] };
  const TargetGroupArn = TargetGroups[0]?.TargetGroupArn;
  await aws.call('elb', 'CreateListener', {
    LoadBalancerArn: LoadBalancers[0]?.LoadBalancerArn,
    Protocol: 'TCP',
    Port: 80,
    DefaultActions: [{ Type: 'forward', TargetGroupArn }],
  });
  await aws.call('elb', 'RegisterTargets', { TargetGroupArn, Targets: world.instanceIds.map((Id) => ({ Id })) });
}

test('plan prints the actions, and with -o json the requests, and writes nothing', async () => {
  const before_ = aws.snapshot();
  const text = await cli(['plan', '-f', '-', ...place()], service);
  assert.equal(text.code, 0, text.err);
  assert.match(text.out, /^shop\/web: \d+ actions to do\n/);
  assert.match(text.out, / {2}CreateLoadBalancer k8s-shop-web-/);
  const json = await cli(['plan', '-f', '-', '-o', 'json', ...place()], service);
  const [plan] = (
    JSON.parse(json.out) as {
      readonly services: readonly {
        readonly actions: readonly {
          readonly kind: string;
          readonly request: { readonly operation: string; readonly input: Record<string, unknown> };
        }[];
      }[];
    }
  ).services;
  const requestOf = (kind: string) => plan?.actions.find((action) => action.kind === kind)?.request;
  const balancer = requestOf('CreateLoadBalancer');
  assert.deepEqual(
    [
      balancer?.operation,
      balancer?.input['Scheme'],
      (balancer?.input['SubnetMappings'] as readonly object[] | undefined)?.length,
    ],
    ['CreateLoadBalancer', 'internal', 3],
  );
  // What an earlier action makes has no id yet.
  assert.match(String(requestOf('CreateListener')?.input['LoadBalancerArn']), /^<k8s-shop-web-[0-9a-f]{10}>$/);
  assert.deepEqual(
    (requestOf('RegisterTargets')?.input['Targets'] as readonly { readonly Id: string }[] | undefined)?.map(
      ({ Id }) => Id,
    ),
    world.instanceIds,
  );
  assert.deepEqual(aws.snapshot(), before_);
});

test('status shows load balancers with the health of their targets', async () => {
  await leaveOrphan('11111111-0000-4000-8000-000000000001');
  aws.seed.setHealth(world.instanceIds[0] as string, 'Target.FailedHealthChecks');
  const { code, out, err } = await cli(['status', '-o', 'json', ...place()]);
  assert.equal(code, 0, err);
  const { loadBalancers } = JSON.parse(out) as {
    readonly loadBalancers: readonly {
      readonly name: string;
      readonly targetGroups: readonly { readonly total: number }[];
    }[];
  };
  assert.deepEqual(
    loadBalancers.map(({ name, targetGroups }) => [name, targetGroups.map(({ total }) => total)]),
    [['k8s-shop-old-0123456789', [3]]],
  );
  const table = await cli(['status', ...place()]);
  assert.match(table.out, /LOAD BALANCER +STATE +SCHEME +HEALTHY/);
  assert.match(table.out, /k8s-shop-old-0123456789 +active +internal +30080: \d\/3/);
});

test('gc lists what has no Service, asks before it deletes, and deletes with --yes', async () => {
  assert.equal((await cli(['gc', ...place()])).out, 'nothing to clean up\n', 'it is too young to be left over');
  const [balancer] = aws.cloud.loadBalancers.values();
  if (balancer === undefined) assert.fail('there is none');
  aws.cloud.loadBalancers.put(balancer.arn, { ...balancer, createdMs: balancer.createdMs - 300_000 });
  const listed = await cli(['gc', ...place()]);
  assert.deepEqual([listed.code, listed.err], [0, '']);
  assert.match(listed.out, /DeleteLoadBalancer k8s-shop-old-0123456789: Service 11111111-.* is gone/);
  assert.match(listed.out, /1 to do; nothing was changed\. Add --delete to do it\./);
  const asked = await cli(['gc', '--delete', ...place()]);
  assert.equal(asked.code, 2);
  assert.match(asked.err, /add --yes/);
  const done = await cli(['gc', '--delete', '--yes', ...place()]);
  assert.deepEqual([done.code, done.err], [0, '']);
  assert.match(done.out, /1 done/);
  assert.equal((await cli(['gc', ...place()])).out, 'nothing to clean up\n');
});

test('gc says what it cannot do', async () => {
  const memory = await cli(['gc', '--provider=memory']);
  assert.deepEqual([memory.code, memory.err.includes('gc cleans up after onprem and aws only')], [2, true]);
  const all = await cli(['gc', '--release-all', ...place()]);
  assert.deepEqual([all.code, all.err.includes('--release-all is for onprem')], [2, true]);
});
