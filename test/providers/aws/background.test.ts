import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createBackground } from '../../../providers/aws/background.ts';
import { createClients } from '../../../providers/aws/client.ts';
import { parseConfig } from '../../../providers/aws/config.ts';
import { createStacks } from '../../../providers/aws/stacks.ts';
import type { Call } from '../../../src/core/provider.ts';
import { awsHarness, awsSpecs, CLUSTER, driven } from './harness.ts';

const log: Call['log'] = { debug() {}, info() {}, warn() {}, error() {} };
const call: Call = { signal: new AbortController().signal, log, limit: (fn) => fn() };

/** A process that starts over two settled Services, whose runs happen as soon as they are asked for. */
async function restarted() {
  const { clock, aws, world, ...harness } = await awsHarness({ healthyAfterMs: 0 });
  const { first, other } = awsSpecs(world);
  const prints = new Map<string, string>(); // key -> fairlead.dev/observed-spec
  for (const spec of [first, other]) {
    const progress = await driven({ clock }, harness.stacks().loadBalancers.ensure(spec, call));
    prints.set(spec.key, progress.annotations?.['fairlead.dev/observed-spec'] ?? '');
  }
  await clock.advance(60_000);
  const stacks = createStacks({
    clients: createClients(aws.clientOptions),
    clock,
    settings: { ...parseConfig({}).settings, cluster: CLUSTER },
    region: aws.region,
    vpcId: world.vpcId,
    services: { settledPrintOf: (key) => prints.get(key), exists: () => true },
  });
  const asked: string[] = [];
  const runs: Promise<unknown>[] = [];
  const background = createBackground({
    clock,
    mirror: stacks.mirror,
    wanted: stacks.wanted,
    reads: stacks.reads,
    resync(reason, uids) {
      asked.push(...uids.filter((uid) => uid !== first.uid && uid !== other.uid).map((uid) => `${uid}: ${reason}`));
      for (const spec of [first, other].filter(({ uid }) => uids.includes(uid))) {
        asked.push(`${spec.key}: ${reason}`);
        runs.push(stacks.loadBalancers.ensure(spec, call));
      }
    },
  });
  aws.forget();
  await driven({ clock }, stacks.loadBalancers.audit([first, other], call));
  const operations = () => [...new Set(aws.calls.map(({ operation }) => operation))];
  return { clock, aws, world, stacks, background, asked, runs, operations };
}

test('before it is ready a restart reads lists only; afterwards all targets, then everything in turn', async (t) => {
  const { clock, aws, background, asked, runs, operations } = await restarted();
  t.after(background.close);
  assert.deepEqual(
    operations().filter((name) => /Health|Attributes|DescribeListeners/.test(name)),
    [],
  );
  background.start();
  await clock.advance(2000);
  await driven({ clock }, Promise.all(runs));
  assert.deepEqual(asked.sort(), ['default/api: targets are not read yet', 'default/web: targets are not read yet']);
  assert.equal(aws.calls.filter(({ operation }) => operation === 'DescribeTargetHealth').length, 3);
  assert.ok(!operations().includes('DescribeListeners'));
  await clock.advance(90_000);
  await driven({ clock }, Promise.all(runs));
  assert.ok(operations().includes('DescribeListeners') && operations().includes('DescribeTargetGroupAttributes'));
  assert.deepEqual(
    aws.calls.filter(({ write }) => write),
    [],
  );
});

test('a listener that somebody changed is found in the rounds and put right', async (t) => {
  const { clock, aws, background, runs } = await restarted();
  t.after(background.close);
  background.start();
  await clock.advance(120_000);
  await driven({ clock }, Promise.all(runs));
  const [listener] = aws.cloud.listeners.values();
  await aws.call('elb', 'DeleteListener', { ListenerArn: listener?.arn });
  assert.equal(aws.cloud.listeners.values().length, 2);
  await clock.advance(900_000);
  await driven({ clock }, Promise.all(runs));
  assert.equal(aws.cloud.listeners.values().length, 3);
});

test('what was made a moment ago is not audited yet', async (t) => {
  const { clock, aws, world, stacks, background, asked } = await restarted();
  t.after(background.close);
  background.start();
  await clock.advance(120_000); // all others have had their turn
  asked.length = 0;
  const { first } = awsSpecs(world);
  const spec = { ...first, uid: '6d2f9c1e-0000-4000-8000-000000000099', key: 'default/new' };
  aws.configure({ latencyMs: 3000 }); // the balancer is there seconds before its run has ended
  await driven({ clock }, stacks.loadBalancers.ensure(spec, call));
  assert.deepEqual(
    asked.filter((line) => line.includes('audit')),
    [],
  );
});

test('nothing is asked for once it is closed', async () => {
  const { clock, background, asked } = await restarted();
  background.start();
  background.close();
  const before = asked.length;
  await clock.advance(60_000);
  assert.equal(asked.length, before);
});
