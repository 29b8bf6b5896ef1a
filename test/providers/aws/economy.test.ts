/** How many calls what costs: the figures that accounts with many Services live by. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Call, LoadBalancerSpec } from '../../../src/core/provider.ts';
import { type AwsHarness, awsHarness, awsSpecs, driven } from './harness.ts';

const log: Call['log'] = { debug() {}, info() {}, warn() {}, error() {} };
const call: Call = { signal: new AbortController().signal, log, limit: (fn) => fn() };

function specsOf(harness: AwsHarness, count: number): readonly LoadBalancerSpec[] {
  const { first } = awsSpecs(harness.world);
  return Array.from({ length: count }, (_, index) => {
    const number = String(index).padStart(3, '0');
    const uid = `6d2f9c1e-0000-4000-8000-000000000${number}`;
    return { ...first, uid, key: `default/s${number}`, service: { ...first.service, name: `s${number}` } };
  });
}

async function served(
  count: number,
): Promise<{ readonly harness: AwsHarness; readonly specs: readonly LoadBalancerSpec[] }> {
  const harness = await awsHarness({ latencyMs: 10 });
  const specs = specsOf(harness, count);
  const { loadBalancers } = harness.stacks();
  for (let round = 0; round < 3; round += 1) {
    await driven(harness, Promise.all(specs.map((spec) => loadBalancers.ensure(spec, call))));
  }
  return { harness, specs };
}

const writesIn = ({ aws }: AwsHarness) => aws.calls.filter(({ write }) => write);

test('30 Services of two ports are created with at most 14 calls each, and looking again writes nothing', async () => {
  const harness = await awsHarness({ latencyMs: 10 });
  const specs = specsOf(harness, 30);
  const { loadBalancers } = harness.stacks();
  harness.aws.forget();
  await driven(harness, Promise.all(specs.map((spec) => loadBalancers.ensure(spec, call))));
  const each = harness.aws.calls.length / specs.length;
  assert.ok(each <= 14, `${each} calls each`);
  harness.aws.forget();
  const again = await driven(harness, Promise.all(specs.map((spec) => loadBalancers.ensure(spec, call))));
  assert.deepEqual([writesIn(harness).length, new Set(again.map(({ state }) => state))], [0, new Set(['ready'])]);
});

test('while load balancers are being made one request looks after twenty of them, and nobody asks for the health of targets', async () => {
  const harness = await awsHarness({ latencyMs: 10, provisioningMs: 30_000 });
  const specs = specsOf(harness, 20);
  const { loadBalancers } = harness.stacks();
  const ensureAll = () => driven(harness, Promise.all(specs.map((spec) => loadBalancers.ensure(spec, call))));
  const first = await ensureAll();
  assert.ok(
    first.every((progress) => progress.state === 'pending' && progress.retryAfterMs <= 1000),
    JSON.stringify(first[0]),
  );
  await harness.clock.advance(1000);
  harness.aws.forget();
  for (const spec of specs) await driven(harness, loadBalancers.ensure(spec, call));
  assert.deepEqual(
    harness.aws.calls.map(({ operation }) => operation),
    ['DescribeLoadBalancers'],
  );
  await harness.clock.advance(20_000);
  const later = await ensureAll();
  assert.ok(later.every((progress) => progress.state === 'pending' && progress.retryAfterMs === 5000));
  await harness.clock.advance(10_000);
  harness.aws.forget();
  const last = await ensureAll();
  assert.deepEqual(new Set(last.map(({ state }) => state)), new Set(['ready']));
  assert.ok(!harness.aws.calls.some(({ operation }) => operation === 'DescribeTargetHealth'));
});

test('a node that joins costs one call per target group, and lists that all share', async () => {
  const { harness, specs } = await served(10);
  const { loadBalancers } = harness.stacks();
  const fewer = specs.map((spec) => ({ ...spec, targets: spec.targets.slice(0, 2) }));
  await driven(harness, Promise.all(fewer.map((spec) => loadBalancers.ensure(spec, call))));
  await harness.clock.advance(60_000);
  harness.aws.forget();
  await driven(harness, Promise.all(specs.map((spec) => loadBalancers.ensure(spec, call))));
  const operations = Object.groupBy(harness.aws.calls, ({ operation }) => operation);
  assert.equal(operations['RegisterTargets']?.length, 20);
  const others = harness.aws.calls
    .filter(({ operation }) => operation !== 'RegisterTargets')
    .map(({ operation }) => operation);
  assert.ok(others.length <= 6, `besides: ${others.join(', ')}`);
});

test('an audit after a restart reads lists only, and writes nothing', async () => {
  const { harness, specs } = await served(20);
  await harness.restart?.();
  const { loadBalancers } = harness.stacks();
  harness.aws.forget();
  await driven(harness, loadBalancers.audit([], call)); // nothing is known of any Service: no part is read
  assert.ok(harness.aws.calls.length <= 12, `${harness.aws.calls.map(({ operation }) => operation).join(', ')}`);
  assert.deepEqual(writesIn(harness), []);
  assert.ok(specs.length > 0);
});

test('20 Services are deleted with at most 7 calls each, and nothing of them is left', async () => {
  const { harness, specs } = await served(20);
  const { loadBalancers } = harness.stacks();
  await harness.clock.advance(60_000);
  harness.aws.forget();
  let left = specs;
  for (let round = 0; round < 20 && left.length > 0; round += 1) {
    const ends = await driven(harness, Promise.all(left.map((spec) => loadBalancers.remove(spec, call))));
    left = left.filter((_, index) => ends[index]?.done === false);
    await harness.clock.advance(5000);
  }
  const each = harness.aws.calls.length / specs.length;
  assert.deepEqual(left, []);
  assert.ok(
    each <= 7,
    `${each} calls each: ${JSON.stringify(Object.fromEntries(Object.entries(Object.groupBy(harness.aws.calls, ({ operation }) => operation)).map(([name, calls]) => [name, calls?.length])))}`,
  );
  assert.equal(harness.aws.cloud.loadBalancers.values().length, 0);
});

test('what somebody else deletes is made again after the next lists', async () => {
  const { harness, specs } = await served(1);
  const [spec] = specs as [LoadBalancerSpec];
  const [balancer] = harness.aws.cloud.loadBalancers.values();
  await driven(harness, harness.aws.call('elb', 'DeleteLoadBalancer', { LoadBalancerArn: balancer?.arn }));
  await harness.clock.advance(60_000);
  const { loadBalancers } = harness.stacks();
  const audit = await driven(harness, loadBalancers.audit([spec], call));
  const verdict = audit.specs.get(spec.uid);
  assert.ok(
    verdict !== undefined && 'actions' in verdict && verdict.actions.some(({ kind }) => kind === 'CreateLoadBalancer'),
  );
  await driven(harness, loadBalancers.ensure(spec, call));
  assert.equal(harness.aws.cloud.loadBalancers.values().length, 1);
});
