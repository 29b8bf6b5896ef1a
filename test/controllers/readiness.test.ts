import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { Condition, Pod } from '../../src/core/objects.ts';
import { GATES_ANNOTATION } from '../../src/core/readiness/gates.ts';
import { pathOf, resources } from '../../src/kube/resource.ts';
import { createRig, type Rig, SOON_MS } from './rig.ts';

const never = new AbortController().signal;
const RECHECK_MS = 15_000;
const gateOf = (name: string) => `test.dev/${name}`;

interface PodOptions {
  readonly gates?: readonly string[];
  /** Gates that our webhook put on it. Default: all. */
  readonly marked?: readonly string[];
  readonly ready?: boolean;
  readonly ip?: string;
  readonly conditions?: readonly object[];
}

/** A rig whose provider has a gate for each Service, and pods. */
function podRig(t: TestContext) {
  const rig = createRig(t, {
    interpretation: { targetKind: 'pod', containersReady: true },
    gated: ({ key }) => [gateOf(key.split('/')[1] as string)],
  });
  const { cloud } = rig;
  const call = async <T>(method: 'POST' | 'PATCH' | 'DELETE', path: string, body?: object): Promise<T> =>
    await rig.user.call<T>({
      method,
      path,
      ...(body === undefined ? {} : { body }),
      ...(method === 'PATCH' ? { contentType: 'application/strategic-merge-patch+json' } : {}),
      signal: never,
    });
  const at = (name: string, subresource?: 'status') =>
    pathOf(resources.pods, { namespace: 'default', name, ...(subresource === undefined ? {} : { subresource }) });
  return {
    ...rig,
    cloud,
    async pod(
      name: string,
      { gates = [gateOf('a')], marked = gates, ready = true, ip = '10.0.0.1', conditions = [] }: PodOptions = {},
    ) {
      await call('POST', pathOf(resources.pods, { namespace: 'default' }), {
        metadata: { name, annotations: marked.length === 0 ? {} : { [GATES_ANNOTATION]: marked.join(',') } },
        spec: {
          containers: [{ name: 'c', image: 'c' }],
          readinessGates: gates.map((conditionType) => ({ conditionType })),
        },
      });
      const containers = { type: 'ContainersReady', status: ready ? 'True' : 'False' };
      const status = { podIP: ip, podIPs: [{ ip }], conditions: [containers, ...conditions] };
      await call('PATCH', at(name, 'status'), { status });
    },
    setPod: async (name: string, conditions: readonly object[]) =>
      void (await call('PATCH', at(name, 'status'), { status: { conditions } })),
    removePod: async (name: string) => void (await call('DELETE', `${at(name)}?gracePeriodSeconds=0`)),
    says: (name: string, state: 'healthy' | 'unhealthy' | 'waiting', { gate = 'a', reason = '' } = {}) =>
      void (cloud.health.get(gateOf(gate)) ?? fresh(cloud.health, gateOf(gate))).set(name, {
        state,
        ...(reason === '' ? {} : { reason }),
      }),
    /** 'True', 'False Reason' of a gate's condition; '-' without one. */
    shows: (name: string, gate = 'a') => {
      const pod = rig.api.store.get('pods', `default/${name}`)?.object as unknown as Pod;
      const found = pod.status?.conditions?.find(({ type }: Condition) => type === gateOf(gate));
      return found === undefined ? '-' : `${found.status} ${found.reason ?? ''}`.trim();
    },
  };
}
function fresh<K, L, V>(map: Map<K, Map<L, V>>, key: K): Map<L, V> {
  const made = new Map<L, V>();
  map.set(key, made);
  return made;
}
const podRequests = (replica: Awaited<ReturnType<Rig['start']>>) =>
  replica.requests.filter(({ path }) => path.includes('/pods'));

test('a pod waits until the backend calls it healthy; its condition says why, and it is looked at every 15 s', async (t) => {
  const rig = podRig(t);
  await rig.start();
  await rig.create('a');
  await rig.clock.advance(SOON_MS);
  assert.equal(rig.get('a').metadata.annotations?.[GATES_ANNOTATION], `${rig.get('a').metadata.uid}:${gateOf('a')}`);
  await rig.pod('p');
  await rig.clock.advance(2 * SOON_MS);
  assert.equal(rig.shows('p'), 'Unknown NotRegistered');
  rig.says('10.0.0.1', 'waiting', { reason: 'Elb.RegistrationInProgress' });
  await rig.clock.advance(RECHECK_MS);
  assert.equal(rig.shows('p'), 'Unknown Elb.RegistrationInProgress');
  rig.says('10.0.0.1', 'unhealthy', { reason: 'Target.Timeout' });
  await rig.clock.advance(RECHECK_MS);
  assert.equal(rig.shows('p'), 'False Target.Timeout');
  rig.says('10.0.0.1', 'healthy');
  await rig.clock.advance(RECHECK_MS);
  assert.equal(rig.shows('p'), 'True');
  const reads = rig.cloud.healthReads.length;
  await rig.clock.advance(300_000);
  assert.equal(rig.cloud.healthReads.length, reads, 'nobody waits any more');
});

test('pods that change together are one read of the backend', async (t) => {
  const rig = podRig(t);
  await rig.start();
  await rig.create('a');
  await rig.clock.advance(SOON_MS);
  for (let at = 1; at <= 20; at += 1) {
    rig.says(`10.0.0.${at}`, 'healthy');
    await rig.pod(`p${at}`, { ip: `10.0.0.${at}` });
  }
  await rig.clock.advance(2 * SOON_MS);
  assert.deepEqual(
    Array.from({ length: 20 }, (_, at) => rig.shows(`p${at + 1}`)),
    Array(20).fill('True'),
  );
  assert.deepEqual(rig.cloud.healthReads, ['default/a']);
});

test('a pod whose containers are not ready yet is left alone, and looked at as soon as they are', async (t) => {
  const rig = podRig(t);
  await rig.start();
  await rig.create('a');
  await rig.clock.advance(SOON_MS);
  rig.says('10.0.0.1', 'healthy');
  await rig.pod('p', { ready: false });
  await rig.clock.advance(60_000);
  assert.deepEqual([rig.shows('p'), rig.cloud.healthReads], ['-', []]);
  await rig.pod('q', { ip: '10.0.0.2' });
  await rig.clock.advance(2 * SOON_MS);
  assert.deepEqual([rig.shows('p'), rig.shows('q')], ['-', 'Unknown NotRegistered'], 'nor when another one is judged');
  await rig.setPod('p', [{ type: 'ContainersReady', status: 'True' }]);
  await rig.clock.advance(2 * SOON_MS);
  assert.equal(rig.shows('p'), 'True');
});

test('a failed read writes nothing and is tried again quickly, however often it fails', async (t) => {
  const rig = podRig(t);
  const replica = await rig.start();
  await rig.create('a');
  await rig.clock.advance(SOON_MS);
  rig.cloud.judgeHealth = () => {
    throw new Error('down');
  };
  await rig.pod('p');
  await rig.clock.advance(600_000);
  assert.equal(rig.shows('p'), '-');
  assert.ok(rig.cloud.healthReads.length > 600_000 / 18_000, `${rig.cloud.healthReads.length} reads in ten minutes`);
  rig.cloud.judgeHealth = () => {};
  rig.says('10.0.0.1', 'healthy');
  await rig.clock.advance(18_000);
  assert.equal(rig.shows('p'), 'True');
  assert.ok((await replica.metric('fairlead_reconcile_total', { controller: 'readiness', result: 'transient' })) > 0);
});

test('one pod that cannot be written hides no other', async (t) => {
  const rig = podRig(t);
  const replica = await rig.start();
  replica.faults.add({
    verb: 'patch',
    path: '/pods/bad/',
    times: Number.POSITIVE_INFINITY,
    effect: { kind: 'status', status: 403 },
  });
  await rig.create('a');
  await rig.clock.advance(SOON_MS);
  for (const [name, ip] of [
    ['bad', '10.0.0.1'],
    ['good', '10.0.0.2'],
  ] as const) {
    rig.says(ip, 'healthy');
    await rig.pod(name, { ip });
  }
  await rig.clock.advance(2 * SOON_MS);
  assert.deepEqual([rig.shows('bad'), rig.shows('good')], ['-', 'True']);
});

for (const how of ['is deleted', 'leaves its type'] as const) {
  test(`when the Service ${how} the pods that wait for it are let go`, async (t) => {
    const rig = podRig(t);
    await rig.start();
    await rig.create('a');
    await rig.clock.advance(SOON_MS);
    await rig.pod('p');
    await rig.pod('unmarked', { marked: [], ip: '10.0.0.2' });
    await rig.clock.advance(2 * SOON_MS);
    assert.equal(rig.shows('p'), 'Unknown NotRegistered');
    if (how === 'is deleted') await rig.remove('a');
    else await rig.edit('a', { spec: { type: 'ClusterIP' } });
    await rig.clock.advance(SOON_MS);
    assert.deepEqual([rig.shows('p'), rig.shows('unmarked')], ['True LoadBalancerGone', 'True LoadBalancerGone']);
    // Its late sibling, made from the template of the webhook's last answer.
    await rig.pod('late', { ip: '10.0.0.3' });
    await rig.clock.advance(SOON_MS);
    assert.equal(rig.shows('late'), 'True LoadBalancerGone');
  });
}

test('another leader lets go what the last one did not come to; gates of others stay as they are', async (t) => {
  const rig = podRig(t);
  const first = await rig.start({ name: 'one' });
  await rig.create('a');
  await rig.clock.advance(SOON_MS);
  first.terminate();
  await rig.clock.advance(SOON_MS);
  // While nobody leads: pods of a load balancer that is no more, of one that is, and of somebody else.
  await rig.pod('old', { gates: [gateOf('gone')] });
  await rig.pod('now', { ip: '10.0.0.2' });
  await rig.pod('foreign', { gates: ['target-health.elbv2.k8s.aws/k8s-other'], marked: [], ip: '10.0.0.3' });
  rig.says('10.0.0.2', 'healthy');
  await rig.start({ name: 'two' });
  await rig.clock.advance(2 * SOON_MS);
  assert.deepEqual([rig.shows('old', 'gone'), rig.shows('now')], ['True LoadBalancerGone', 'True']);
  const foreign = rig.api.store.get('pods', 'default/foreign')?.object as unknown as Pod;
  assert.deepEqual(
    foreign.status?.conditions?.map(({ type }) => type),
    ['ContainersReady'],
  );
});

test('a gate that is shut again by somebody is looked at again', async (t) => {
  const rig = podRig(t);
  await rig.start();
  await rig.create('a');
  await rig.clock.advance(SOON_MS);
  rig.says('10.0.0.1', 'healthy');
  await rig.pod('p');
  await rig.clock.advance(2 * SOON_MS);
  await rig.setPod('p', [{ type: gateOf('a'), status: 'False', reason: 'Mischief' }]);
  await rig.clock.advance(2 * SOON_MS);
  assert.equal(rig.shows('p'), 'True');
});

test('a restart over pods that are all ready reads no health and writes nothing', async (t) => {
  const rig = podRig(t);
  const first = await rig.start({ name: 'one' });
  await rig.create('a');
  await rig.clock.advance(SOON_MS);
  for (let at = 1; at <= 5; at += 1) {
    rig.says(`10.0.0.${at}`, 'healthy');
    await rig.pod(`p${at}`, { ip: `10.0.0.${at}` });
  }
  await rig.clock.advance(2 * SOON_MS);
  first.terminate();
  await rig.clock.advance(5000);
  rig.cloud.healthReads.length = 0;
  const second = await rig.start({ name: 'two' });
  await rig.clock.advance(60_000);
  assert.deepEqual([second.writes(), rig.cloud.healthReads], [[], []]);
});

test('no pod is asked for before a Service shows gates, or its provider wants to know of ContainersReady', async (t) => {
  const rig = createRig(t, { gated: () => [] });
  const replica = await rig.start();
  await rig.create('a');
  await rig.clock.advance(60_000);
  assert.deepEqual(podRequests(replica), []);
});

test('SIGTERM ends it: what waits is not looked at any more', async (t) => {
  const rig = podRig(t);
  const replica = await rig.start();
  await rig.create('a');
  await rig.clock.advance(SOON_MS);
  await rig.pod('p');
  await rig.clock.advance(2 * SOON_MS);
  replica.terminate();
  await rig.clock.advance(SOON_MS);
  assert.equal(replica.end, 'stopped');
  const reads = rig.cloud.healthReads.length;
  rig.says('10.0.0.1', 'healthy');
  await rig.clock.advance(60_000);
  assert.deepEqual([rig.cloud.healthReads.length, rig.shows('p')], [reads, 'Unknown NotRegistered']);
});
