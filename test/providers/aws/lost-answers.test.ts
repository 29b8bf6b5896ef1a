import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseConfig } from '../../../providers/aws/config.ts';
import { createStacks } from '../../../providers/aws/stacks.ts';
import type { Call } from '../../../src/core/provider.ts';
import { createFakeAws } from '../../fake/aws/aws.ts';
import { directClients } from '../../fake/aws/clients.ts';
import type { Settings } from '../../fake/aws/settings.ts';
import { seedWorld } from '../../fake/aws/world.ts';
import { createVirtualClock } from '../../fake/clock.ts';
import { CLUSTER } from './harness.ts';
import { spec } from './spec.ts';

const never = new AbortController().signal;
const call: Call = { signal: never, log: { debug() {}, info() {}, warn() {}, error() {} }, limit: (fn) => fn() };

/** One Service on an account whose lists lag by two seconds. */
function createRig(settings: Partial<Settings> = {}) {
  const clock = createVirtualClock();
  const aws = createFakeAws({ clock, lagMs: { reads: 2000, writes: 500 }, ...settings });
  const world = seedWorld(aws, CLUSTER);
  const { loadBalancers } = createStacks({
    clients: directClients(aws),
    clock,
    settings: { ...parseConfig({}).settings, cluster: CLUSTER },
    region: aws.region,
    vpcId: world.vpcId,
  });
  const wish = spec({
    cluster: CLUSTER,
    targets: world.instanceIds.map((id) => ({ id: `aws:///zone/${id}`, node: id, address: '192.168.0.10' })),
  });
  /** One run to its end, jumping from timer to timer. */
  async function driven<T>(run: Promise<T>): Promise<T | undefined> {
    let isDone = false;
    const end = run
      .catch(() => undefined)
      .finally(() => {
        isDone = true;
      });
    await clock.settle();
    if (!isDone) await clock.run(() => isDone, { maxMs: 60_000 });
    return await end;
  }
  /** Until it neither throws nor waits. */
  async function until(run: () => Promise<boolean>): Promise<void> {
    for (let tries = 0; tries < 60; tries += 1) {
      if ((await driven(run())) === true) return;
      await clock.advance(1000);
    }
    assert.fail('does not come to an end');
  }
  const removed = () => until(async () => (await loadBalancers.remove(wish, call)).done);
  const ensured = () => until(async () => (await loadBalancers.ensure(wish, call)).state === 'ready');
  return { clock, aws, wish, loadBalancers, driven, ensured, removed };
}

for (const operation of ['CreateSecurityGroup', 'CreateTargetGroup', 'CreateLoadBalancer'] as const) {
  test(`${operation} whose answer was lost is no absence: a removal at once is not done before it is gone`, async () => {
    const { clock, aws, wish, loadBalancers, driven, removed } = createRig();
    await clock.advance(60_000);
    const before = aws.snapshot();
    let lost = 0;
    aws.fault = (one) => {
      if (lost > 0 || one.operation !== operation) return undefined;
      lost += 1;
      return { at: 'after', as: 'reset' };
    };
    for (let tries = 0; lost === 0 && tries < 20; tries += 1) await driven(loadBalancers.ensure(wish, call));
    assert.equal(lost, 1, 'there was no such call');
    assert.notDeepEqual(aws.snapshot(), before);
    await removed();
    assert.deepEqual(aws.snapshot(), before);
  });
}

test('reads that do not know yet what was just made take nothing of it away, and a removal finds all', async () => {
  const { clock, aws, loadBalancers, wish, driven, ensured, removed } = createRig();
  await clock.advance(60_000);
  const before = aws.snapshot();
  await ensured();
  await removed();
  assert.deepEqual(aws.snapshot(), before);
  // Changed while it is young, and removed at once.
  const changed = { ...wish, listeners: wish.listeners.map((one) => ({ ...one, targetPort: 31_000 })) };
  await driven(loadBalancers.ensure(wish, call));
  await driven(loadBalancers.ensure(changed, call));
  await removed();
  assert.deepEqual(aws.snapshot(), before);
});
