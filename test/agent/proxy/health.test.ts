import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createProxyHealth } from '../../../src/agent/proxy/health.ts';
import type { Node } from '../../../src/core/objects.ts';
import { createVirtualClock } from '../../fake/clock.ts';

const metadata = { name: 'n1', uid: 'u', resourceVersion: '1', creationTimestamp: '2026-11-20T00:00:00Z' };
const plain: Node = { metadata, spec: {} };

/** A proxy on a node, with both families in use after the first update. */
function setUp(node: Node | undefined | null = plain) {
  const clock = createVirtualClock();
  const answers: string[] = [];
  const health = createProxyHealth({
    clock,
    timeoutMs: 60_000,
    node: () => node,
    answered: (path, code) => void answers.push(`${path} ${code}`),
  });
  const ask = (path: string) => {
    const answer = health.answer(path);
    assert.ok(answer !== undefined, path);
    return { code: answer.status, ...(JSON.parse(answer.body) as Record<string, unknown>) };
  };
  return { clock, health, ask, answers };
}

test('healthz: a proxy that starts is healthy, and says so as kube-proxy 1.37 does', () => {
  const { health, ask, answers } = setUp();
  assert.deepEqual(ask('/healthz'), {
    code: 200,
    lastUpdated: '2026-11-20T12:00:00.000Z',
    currentTime: '2026-11-20T12:00:00.000Z',
    nodeEligible: true,
    healthy: true,
    status: {},
  });
  assert.equal(health.answer('/metrics'), undefined);
  assert.deepEqual(answers, ['healthz 200']);
});

test('livez leaves the node out', async () => {
  const { clock, health } = setUp({
    ...plain,
    spec: { taints: [{ key: 'ToBeDeletedByClusterAutoscaler', effect: 'NoSchedule' }] },
  });
  health.updated('ip');
  await clock.advance(5000);
  const answer = health.answer('/livez');
  assert.equal(answer?.status, 200);
  assert.equal(
    answer?.body,
    '{"lastUpdated":"2026-11-20T12:00:05.000Z","currentTime":"2026-11-20T12:00:05.000Z","healthy":true,' +
      '"status":{"IPv4":{"lastUpdated":"2026-11-20T12:00:00.000Z","healthy":true}}}',
  );
  assert.equal(health.answer('/healthz')?.status, 503);
});

const nodes: readonly { name: string; node: Node | undefined | null; eligible: boolean }[] = [
  { name: 'without a taint', node: plain, eligible: true },
  { name: 'not known yet', node: undefined, eligible: true },
  { name: 'that does not exist', node: null, eligible: false },
  {
    name: 'being deleted',
    node: { ...plain, metadata: { ...metadata, deletionTimestamp: '2026-11-20T11:00:00Z' } },
    eligible: false,
  },
  {
    name: 'with another taint',
    node: { ...plain, spec: { taints: [{ key: 'node.kubernetes.io/not-ready', effect: 'NoExecute' }] } },
    eligible: true,
  },
];
for (const { name, node, eligible } of nodes) {
  test(`healthz: a node ${name} is ${eligible ? '' : 'not '}eligible`, () => {
    const { health } = setUp(node);
    const answer = health.answer('/healthz');
    assert.equal(answer?.status, eligible ? 200 : 503);
    assert.equal((JSON.parse(answer?.body ?? '') as { nodeEligible: boolean }).nodeEligible, eligible);
  });
}

test('a change that does not arrive in one family for twice the sync period is a failure until it does', async () => {
  const { clock, health, answers } = setUp();
  health.updated('ip');
  health.updated('ip6');
  health.queued('ip6');
  await clock.advance(30_000);
  health.queued('ip6'); // the oldest one counts
  assert.equal(health.isHealthy(), true);
  await clock.advance(30_000);
  assert.equal(health.isHealthy(), false);
  const answer = health.answer('/livez');
  assert.equal(answer?.status, 503);
  assert.deepEqual(JSON.parse(answer?.body ?? ''), {
    lastUpdated: '2026-11-20T12:00:00.000Z',
    currentTime: '2026-11-20T12:01:00.000Z',
    healthy: false,
    status: {
      IPv4: { lastUpdated: '2026-11-20T12:00:00.000Z', healthy: true },
      IPv6: { lastUpdated: '2026-11-20T12:00:00.000Z', healthy: false },
    },
  });
  health.updated('ip6');
  assert.equal(health.answer('/livez')?.status, 200);
  assert.deepEqual(answers, ['livez 503', 'livez 200']);
});

test('a proxy that has never synced is not unhealthy for it: it waits for the API server', async () => {
  const { clock, health } = setUp();
  health.queued('ip');
  await clock.advance(600_000);
  assert.equal(health.isHealthy(), true);
});
