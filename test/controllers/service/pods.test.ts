import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { Interpretation } from '../../../src/core/provider.ts';
import { pathOf, resources } from '../../../src/kube/resource.ts';
import { createRig, SOON_MS } from '../rig.ts';

const never = new AbortController().signal;

/** Pods behind the Service `a`, and the slice that names them. */
function podRig(t: TestContext, interpretation: Interpretation = { targetKind: 'pod', containersReady: true }) {
  const rig = createRig(t, { interpretation });
  const call = async <T>(method: 'POST' | 'PATCH' | 'DELETE', path: string, body?: object): Promise<T> =>
    await rig.user.call<T>({
      method,
      path,
      ...(body === undefined ? {} : { body }),
      ...(method === 'PATCH' ? { contentType: 'application/merge-patch+json' } : {}),
      signal: never,
    });
  const uids = new Map<string, string>();
  const containers = (ready: boolean) => [{ type: 'ContainersReady', status: ready ? 'True' : 'False' }];
  return {
    ...rig,
    async pod(name: string, ready: boolean) {
      const made = await call<{ metadata: { uid: string } }>('POST', pathOf(resources.pods, { namespace: 'default' }), {
        metadata: { name },
        spec: { containers: [{ name: 'c', image: 'c' }] },
      });
      uids.set(name, made.metadata.uid);
      await this.contain(name, ready);
    },
    contain: async (name: string, ready: boolean) =>
      void (await call('PATCH', pathOf(resources.pods, { namespace: 'default', name, subresource: 'status' }), {
        status: { conditions: containers(ready) },
      })),
    label: async (name: string) =>
      void (await call('PATCH', pathOf(resources.pods, { namespace: 'default', name }), {
        metadata: { labels: { seen: 'yes' } },
      })),
    removePod: async (name: string) =>
      void (await call('DELETE', `${pathOf(resources.pods, { namespace: 'default', name })}?gracePeriodSeconds=0`)),
    /** The slice of `a`: pod -> its conditions. */
    async slice(pods: Readonly<Record<string, object>>) {
      const path = pathOf(resources.endpointslices, { namespace: 'default' });
      const endpoints = Object.entries(pods).map(([name, conditions], index) => ({
        addresses: [`10.0.0.${index + 1}`],
        conditions,
        nodeName: `on-${name}`,
        targetRef: { kind: 'Pod', namespace: 'default', name, uid: uids.get(name) },
      }));
      const body = { addressType: 'IPv4', endpoints, ports: [{ name: '', port: 80, protocol: 'TCP' }] };
      const metadata = { name: 'a-1', labels: { 'kubernetes.io/service-name': 'a' } };
      if (rig.api.store.get('endpointslices.discovery.k8s.io', 'default/a-1') === undefined)
        await call('POST', path, { metadata, ...body });
      else await call('PATCH', `${path}/a-1`, { endpoints });
    },
    hosts: () => [...rig.cloud.balancers.values()].flatMap(({ hosts }) => hosts),
  };
}

test('a pod that is not ready counts as soon as its containers are, and no longer', async (t) => {
  const rig = podRig(t);
  await rig.start();
  await rig.pod('p', false);
  await rig.slice({ p: { ready: false } });
  await rig.create('a');
  await rig.clock.advance(SOON_MS);
  assert.deepEqual(rig.hosts(), []);
  await rig.contain('p', true);
  await rig.clock.advance(SOON_MS);
  assert.deepEqual(rig.hosts(), ['on-p']);
  await rig.contain('p', false);
  await rig.clock.advance(SOON_MS);
  assert.deepEqual(rig.hosts(), []);
});

test('a pod on a node that nobody hears of stays: not ready, but its containers were', async (t) => {
  const rig = podRig(t);
  await rig.start();
  await rig.pod('p', true);
  await rig.slice({ p: { ready: true } });
  await rig.create('a');
  await rig.clock.advance(SOON_MS);
  // What the node lifecycle controller of Kubernetes does: Ready is False, ContainersReady as the kubelet left it.
  await rig.slice({ p: { ready: false, serving: false } });
  await rig.clock.advance(SOON_MS);
  assert.deepEqual(rig.hosts(), ['on-p']);
  // Its pods are evicted.
  await rig.slice({ p: { ready: false, serving: false, terminating: true } });
  await rig.clock.advance(SOON_MS);
  assert.deepEqual(rig.hosts(), []);
});

test('after a restart it is the same, and nothing is written', async (t) => {
  const rig = podRig(t);
  const first = await rig.start({ name: 'one' });
  for (const name of ['p', 'q']) await rig.pod(name, name === 'p');
  await rig.slice({ p: { ready: false }, q: { ready: false } });
  await rig.create('a');
  await rig.clock.advance(SOON_MS);
  assert.deepEqual(rig.hosts(), ['on-p']);
  first.terminate();
  await rig.clock.advance(5000);
  const second = await rig.start({ name: 'two' });
  await rig.clock.advance(SOON_MS);
  assert.deepEqual([rig.hosts(), second.writes(), rig.cloud.applied.length], [['on-p'], [], 1]);
});

test('nothing is decided before the pods are read: a slow list takes no target away', async (t) => {
  const rig = podRig(t);
  const first = await rig.start({ name: 'one' });
  await rig.pod('p', true);
  await rig.slice({ p: { ready: false } });
  await rig.create('a');
  await rig.clock.advance(SOON_MS);
  first.terminate();
  await rig.clock.advance(5000);
  await rig.start({ name: 'two', faults: [{ verb: 'list', path: '/pods', effect: { kind: 'delay', ms: 10_000 } }] });
  await rig.edit('a', { spec: { ports: [{ port: 81, protocol: 'TCP' }] } });
  await rig.clock.advance(5000);
  assert.deepEqual([rig.hosts(), rig.cloud.applied.length], [['on-p'], 1]);
  await rig.clock.advance(10_000);
  assert.deepEqual([rig.hosts(), rig.cloud.applied.at(-1)], [['on-p'], 'setPorts default/a']);
});

test('pods of other Services, and changes that leave a pod as ready as it was, cause no run', async (t) => {
  const rig = podRig(t);
  await rig.start();
  await rig.pod('p', true);
  await rig.pod('other', false);
  await rig.slice({ p: { ready: true } });
  await rig.create('a');
  await rig.clock.advance(SOON_MS);
  const runs = rig.cloud.runs.length;
  await rig.contain('other', true);
  await rig.contain('p', true);
  await rig.label('p');
  await rig.removePod('other');
  await rig.clock.advance(SOON_MS);
  assert.equal(rig.cloud.runs.length, runs);
});

for (const [name, interpretation] of [
  ['nodes', {}],
  ['pods, and ready ones only', { targetKind: 'pod' }],
] as const) {
  test(`no pod is watched for a provider whose targets are ${name}`, async (t) => {
    const rig = podRig(t, interpretation);
    const replica = await rig.start();
    await rig.create('a');
    await rig.clock.advance(60_000);
    assert.deepEqual(
      replica.requests.filter(({ path }) => path.includes('/pods')),
      [],
    );
  });
}
