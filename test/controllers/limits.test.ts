import assert from 'node:assert/strict';
import { test } from 'node:test';
import { limiterOf } from '../../src/controllers/limits.ts';
import { ProviderError } from '../../src/core/errors.ts';
import type { Provider } from '../../src/core/provider.ts';
import { createMetrics } from '../../src/obs/metrics.ts';
import { createVirtualClock } from '../fake/clock.ts';

const never = new AbortController().signal;

function rig(limits: Partial<Pick<Provider, 'limits'>>) {
  const clock = createVirtualClock();
  const metrics = createMetrics({ provider: 'mine' });
  const limiter = limiterOf({ name: 'mine', close: async () => {}, ...limits }, { clock, metrics });
  return { clock, limiter, limit: limiter.for(never), metrics };
}
const lines = (text: string, name: string): readonly string[] =>
  text.split('\n').filter((line) => line.startsWith(name) && !line.includes('_bucket'));

test('a provider without limits: 64 requests side by side, and its failures stop nothing', async () => {
  const { clock, limiter, limit, metrics } = rig({});
  let running = 0;
  let most = 0;
  const all = Array.from({ length: 100 }, () =>
    limit(async () => {
      running += 1;
      most = Math.max(most, running);
      await clock.sleep(10, never);
      running -= 1;
      throw new ProviderError('transient', 'T_DOWN', '');
    }),
  );
  await Promise.all([clock.advance(20), Promise.allSettled(all)]);
  assert.equal(most, 64);
  for (const one of all) await assert.rejects(one, { code: 'T_DOWN' });
  assert.deepEqual(lines(await metrics.text(), 'fairlead_cloud_rate_limit{'), []);
  await limiter.close();
});

test('the limits of a provider hold by class, and its metrics show rate, waits and open circuits', async () => {
  const starts = { max: 10, intervalMs: 1000 };
  const { clock, limiter, limit, metrics } = rig({
    limits: { default: { concurrency: 5 }, write: { concurrency: 5, starts } },
  });
  assert.deepEqual(lines(await metrics.text(), 'fairlead_cloud_rate_limit{'), [
    'fairlead_cloud_rate_limit{provider="mine",class="write"} 10',
  ]);
  const throttled = async () => {
    throw new ProviderError('throttled', 'T_SLOW', '', { retryAfterMs: 0 });
  };
  await assert.rejects(limit(throttled, { class: 'write' }));
  await clock.advance(200);
  assert.match(await metrics.text(), /fairlead_cloud_rate_limit\{provider="mine",class="write"\} 5\.0/);
  for (let at = 0; at < 5; at += 1) {
    const failed = assert.rejects(
      limit(() => Promise.reject(new ProviderError('transient', 'T_DOWN', '')), { class: 'write' }),
      { code: 'T_DOWN' },
    );
    await clock.advance(500);
    await failed;
  }
  await assert.rejects(
    limit(async () => {}, { class: 'write' }),
    { code: 'FL_CIRCUIT_OPEN' },
  );
  await limit(async () => {}, { class: 'unknown' });
  const text = await metrics.text();
  assert.deepEqual(lines(text, 'fairlead_cloud_circuit_opened_total{'), [
    'fairlead_cloud_circuit_opened_total{provider="mine",class="write"} 1',
  ]);
  assert.match(text, /fairlead_cloud_throttle_wait_seconds_count\{provider="mine"\} 7\n/);
  await limiter.close();
  assert.deepEqual(lines(await metrics.text(), 'fairlead_cloud_rate_limit{'), [], 'nothing is asked after its end');
});
