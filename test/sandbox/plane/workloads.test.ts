import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createWorld, type Json, merge, strategic, type World } from '../api/world.ts';

const pods = '/api/v1/namespaces/default/pods';
const deployments = '/apis/apps/v1/namespaces/default/deployments';
const daemonSets = '/apis/apps/v1/namespaces/default/daemonsets';

interface Cluster extends World {
  settle(): Promise<void>;
  /** 'name node phase' without the random end of the name, sorted. */
  placed(): Promise<readonly string[]>;
  /** Makes every pod that has a node Ready, as a kubelet would, and lets the controllers follow. */
  kubelet(): Promise<void>;
  /** Takes away what was deleted, as a kubelet does. */
  reap(): Promise<void>;
  node(name: string, spec?: object): Promise<void>;
}

function cluster(): Cluster {
  const world = createWorld({
    plane: { endpointSlices: false, namespaces: false, owners: true, heartbeats: true, workloads: true },
  });
  const { must, clock } = world;
  const settle = (): Promise<void> => clock.advance(10);
  const list = async (): Promise<readonly Json[]> => (await must('GET', pods)).items;
  return {
    ...world,
    settle,
    async placed() {
      await settle();
      return (await list())
        .filter(({ metadata }) => metadata.deletionTimestamp === undefined)
        .map(({ metadata, spec }) => `${metadata.name.replace(/-\w{5}$/, '')} ${spec.nodeName}`)
        .sort();
    },
    async kubelet() {
      await settle();
      for (const { metadata, spec } of await list())
        if (spec.nodeName !== undefined && metadata.deletionTimestamp === undefined)
          await must(
            'PATCH',
            `${pods}/${metadata.name}/status`,
            { status: { phase: 'Running', conditions: [{ type: 'Ready', status: 'True' }] } },
            strategic,
          );
      await settle();
    },
    async reap() {
      await settle();
      for (const { metadata } of await list())
        if (metadata.deletionTimestamp !== undefined)
          await must('DELETE', `${pods}/${metadata.name}`, { gracePeriodSeconds: 0 });
      await settle();
    },
    async node(name, spec = {}) {
      await must('POST', '/api/v1/nodes', { metadata: { name }, spec });
      await clock.advance(10_000); // its first heartbeat makes it ready
    },
  };
}

const workload = (name: string, spec: object = {}, image = 'one'): object => ({
  metadata: { name },
  spec: {
    selector: { matchLabels: { app: name } },
    template: { metadata: { labels: { app: name } }, spec: { containers: [{ name: 'c', image }] } },
    ...spec,
  },
});

test('a Deployment gets its pods, spread over the nodes, and says how many are ready', async () => {
  const c = cluster();
  for (const name of ['n1', 'n2', 'n3']) await c.node(name);
  await c.must('POST', deployments, workload('web', { replicas: 4 }));
  assert.deepEqual(await c.placed(), ['web n1', 'web n1', 'web n2', 'web n3']);
  await c.kubelet();
  const { status, metadata } = await c.must('GET', `${deployments}/web`);
  assert.deepEqual(
    [status.replicas, status.readyReplicas, status.updatedReplicas, status.observedGeneration],
    [4, 4, 4, metadata.generation],
  );
  assert.deepEqual(
    status.conditions.map(({ type, status: is }: Json) => [type, is]),
    [['Available', 'True']],
  );
  const { items } = await c.must('GET', pods);
  assert.equal(items[0].metadata.labels.app, 'web');
  assert.equal(items[0].metadata.ownerReferences[0].kind, 'Deployment');
});

test('scaling adds and removes pods; a pod that somebody deletes is made again', async () => {
  const c = cluster();
  for (const name of ['n1', 'n2']) await c.node(name);
  await c.must('POST', deployments, workload('web', { replicas: 1 }));
  await c.kubelet();
  await c.must('PATCH', `${deployments}/web`, { spec: { replicas: 3 } }, merge);
  assert.equal((await c.placed()).length, 3);
  await c.kubelet();
  await c.must('PATCH', `${deployments}/web`, { spec: { replicas: 2 } }, merge);
  assert.equal((await c.placed()).length, 2);
  await c.reap();
  const [first] = (await c.must('GET', pods)).items;
  await c.must('DELETE', `${pods}/${first.metadata.name}`);
  assert.equal((await c.placed()).length, 2);
});

test('another image rolls: never fewer ready pods than wanted, never more than one beside', async () => {
  const c = cluster();
  for (const name of ['n1', 'n2', 'n3']) await c.node(name);
  await c.must('POST', deployments, workload('web', { replicas: 3 }));
  await c.kubelet();
  const { spec } = workload('web', { replicas: 3 }, 'two') as Json;
  await c.must('PATCH', `${deployments}/web`, { spec: { template: spec.template } }, merge);
  const images = async (): Promise<readonly string[]> =>
    (await c.must('GET', pods)).items
      .filter(({ metadata }: Json) => metadata.deletionTimestamp === undefined)
      .map((pod: Json) => pod.spec.containers[0].image)
      .sort();
  const seen: string[] = [];
  for (let step = 0; step < 10; step += 1) {
    await c.settle();
    const now = await images();
    seen.push(now.join());
    assert.ok(now.length <= 4, now.join());
    const ready = (await c.must('GET', pods)).items.filter(
      ({ status, metadata }: Json) =>
        metadata.deletionTimestamp === undefined && status.conditions?.some((one: Json) => one.type === 'Ready'),
    );
    assert.ok(ready.length >= 3, `${ready.length} ready`);
    await c.kubelet();
    await c.reap();
  }
  assert.equal(seen[0], 'one,one,one,two');
  assert.equal(seen.at(-1), 'two,two,two');
});

test('deleting the Deployment deletes its pods', async () => {
  const c = cluster();
  await c.node('n1');
  await c.must('POST', deployments, workload('web', { replicas: 2 }));
  await c.kubelet();
  await c.must('DELETE', `${deployments}/web`);
  await c.reap();
  assert.deepEqual(await c.placed(), []);
});

test('a DaemonSet has one pod on each node that takes pods, also on one that comes later', async () => {
  const c = cluster();
  await c.node('n1');
  await c.node('n2', { unschedulable: true });
  await c.node('n3', { taints: [{ key: 'a', effect: 'NoSchedule' }] });
  await c.must('POST', daemonSets, workload('log'));
  assert.deepEqual(await c.placed(), ['log n1']);
  await c.node('n4');
  assert.deepEqual(await c.placed(), ['log n1', 'log n4']);
  await c.kubelet();
  const { status } = await c.must('GET', `${daemonSets}/log`);
  assert.deepEqual([status.desiredNumberScheduled, status.numberReady], [2, 2]);
});

test('a pod without an owner is placed, too, and one that nothing takes waits for a node', async () => {
  const c = cluster();
  await c.must('POST', pods, { metadata: { name: 'alone' }, spec: { containers: [{ name: 'c', image: 'i' }] } });
  await c.settle();
  assert.equal((await c.must('GET', `${pods}/alone`)).spec.nodeName, undefined);
  await c.node('n1');
  await c.settle();
  const pod = await c.must('GET', `${pods}/alone`);
  assert.equal(pod.spec.nodeName, 'n1');
  assert.deepEqual(
    pod.status.conditions.map(({ type, status }: Json) => [type, status]),
    [['PodScheduled', 'True']],
  );
});
