import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createWorld, type Json, merge, strategic, type World } from '../api/world.ts';

const pods = '/api/v1/namespaces/default/pods';
const services = '/api/v1/namespaces/default/services';
const slices = '/apis/discovery.k8s.io/v1/namespaces/default/endpointslices';

const plane = { endpointSlices: true, namespaces: false, owners: true, heartbeats: false };

interface Cluster extends World {
  pod(
    name: string,
    how?: { ip?: string; node?: string; ready?: boolean; port?: number; labels?: Record<string, string> },
  ): Promise<void>;
  /** The slices once everything has settled. */
  slices(): Promise<readonly Json[]>;
}

function cluster(): Cluster {
  const world = createWorld({ plane });
  const { must, clock } = world;
  return {
    ...world,
    async pod(name, { ip = '10.0.0.1', node = 'n1', ready = true, port = 8080, labels = { app: 'web' } } = {}) {
      const container = { name: 'c', image: 'i', ports: [{ name: 'http', containerPort: port }] };
      await must('POST', pods, { metadata: { name, labels }, spec: { nodeName: node, containers: [container] } });
      const conditions = [{ type: 'Ready', status: ready ? 'True' : 'False' }];
      await must(
        'PATCH',
        `${pods}/${name}/status`,
        { status: { phase: 'Running', podIP: ip, podIPs: [{ ip }], conditions } },
        strategic,
      );
    },
    async slices() {
      await clock.advance(10);
      return (await must('GET', slices)).items;
    },
  };
}
const service = (spec: object = {}): object => ({
  metadata: { name: 'web', labels: { team: 'a' } },
  spec: { selector: { app: 'web' }, ports: [{ port: 80, targetPort: 'http' }], ...spec },
});
const brief = ({ endpoints }: Json): readonly string[] =>
  (endpoints ?? []).map(
    ({ addresses, conditions }: Json) =>
      `${addresses[0]} ${['ready', 'serving', 'terminating'].filter((one) => conditions[one]).join(',')}`,
  );

test('a Service without pods has one empty slice, that is its own', async () => {
  const { must, slices: all } = cluster();
  const { metadata } = await must('POST', services, service());
  const [slice, ...more] = await all();
  assert.deepEqual(more, []);
  assert.deepEqual([slice.endpoints, slice.ports, slice.addressType], [null, null, 'IPv4']);
  assert.deepEqual(slice.metadata.labels, {
    team: 'a',
    'kubernetes.io/service-name': 'web',
    'endpointslice.kubernetes.io/managed-by': 'endpointslice-controller.k8s.io',
  });
  const [{ uid, controller }] = slice.metadata.ownerReferences;
  assert.deepEqual([uid, controller], [metadata.uid, true]);
});

test('pods appear with readiness, node, zone and the number of their named port', async () => {
  const { must, pod, slices: all } = cluster();
  await must('POST', '/api/v1/nodes', { metadata: { name: 'n1', labels: { 'topology.kubernetes.io/zone': 'z1' } } });
  await must('POST', services, service());
  await pod('a', { ip: '10.0.0.1' });
  await pod('b', { ip: '10.0.0.2', ready: false });
  await pod('other', { ip: '10.0.0.3', labels: { app: 'db' } });
  const [slice] = await all();
  assert.deepEqual(brief(slice), ['10.0.0.1 ready,serving', '10.0.0.2 ']);
  assert.deepEqual(slice.ports, [{ name: '', protocol: 'TCP', port: 8080 }]);
  const [{ nodeName, zone, targetRef }] = slice.endpoints;
  assert.deepEqual([nodeName, zone, targetRef.kind, targetRef.name], ['n1', 'z1', 'Pod', 'a']);
});

test('a pod that ends is still serving, and a finished one is gone', async () => {
  const { must, pod, slices: all } = cluster();
  await must('POST', services, service());
  await pod('a', { ip: '10.0.0.1' });
  await pod('b', { ip: '10.0.0.2' });
  await must('DELETE', `${pods}/a`);
  await must('PATCH', `${pods}/b/status`, { status: { phase: 'Succeeded' } }, strategic);
  assert.deepEqual(brief((await all())[0]), ['10.0.0.1 serving,terminating']);
  await must('DELETE', `${pods}/a`, { gracePeriodSeconds: 0 });
  assert.deepEqual(brief((await all())[0]), []);
});

test('publishNotReadyAddresses makes every address ready', async () => {
  const { must, pod, slices: all } = cluster();
  await must('POST', services, service({ publishNotReadyAddresses: true, clusterIP: 'None' }));
  await pod('a', { ready: false });
  const [slice] = await all();
  assert.deepEqual(brief(slice), ['10.0.0.1 ready,serving']);
  assert.equal(slice.metadata.labels['service.kubernetes.io/headless'], '');
});

test('100 endpoints fill a slice; a gap is filled before another slice grows, and the rest stays where it was', async () => {
  const { must, pod, slices: all } = cluster();
  await must('POST', services, service());
  for (let index = 0; index < 150; index += 1) await pod(`p${index}`, { ip: `10.0.1.${index}` });
  const sizes = (list: readonly Json[]): readonly number[] =>
    list.map(({ endpoints }) => endpoints.length).sort((a: number, b: number) => b - a);
  const before = await all();
  assert.deepEqual(sizes(before), [100, 50]);
  const full = before.find(({ endpoints }) => endpoints.length === 100);
  await must('DELETE', `${pods}/${full.endpoints[7].targetRef.name}`, { gracePeriodSeconds: 0 });
  assert.deepEqual(sizes(await all()), [99, 50]);
  await pod('new', { ip: '10.0.2.1' });
  const after = await all();
  assert.deepEqual(sizes(after), [100, 50]);
  const small = (list: readonly Json[]): Json => list.find(({ endpoints }) => endpoints.length === 50);
  assert.equal(
    small(after).metadata.resourceVersion,
    small(before).metadata.resourceVersion,
    'the other slice is not written',
  );
});

test('pods with different numbers of one named port are in different slices', async () => {
  const { must, pod, slices: all } = cluster();
  await must('POST', services, service());
  await pod('a', { ip: '10.0.0.1', port: 8080 });
  await pod('b', { ip: '10.0.0.2', port: 9090 });
  const ports = (await all()).map(({ ports: [{ port }], endpoints }) => `${port} ${endpoints[0].addresses[0]}`);
  assert.deepEqual(ports.sort(), ['8080 10.0.0.1', '9090 10.0.0.2']);
});

test('both families of a dual-stack Service', async () => {
  const { must, slices: all } = cluster();
  await must('POST', services, service({ ipFamilyPolicy: 'RequireDualStack' }));
  await must('POST', pods, {
    metadata: { name: 'a', labels: { app: 'web' } },
    spec: { nodeName: 'n', containers: [{ name: 'c', image: 'i', ports: [{ name: 'http', containerPort: 80 }] }] },
  });
  await must(
    'PATCH',
    `${pods}/a/status`,
    { status: { podIP: '10.0.0.1', podIPs: [{ ip: '10.0.0.1' }, { ip: '2001:db8::1' }] } },
    merge,
  );
  const addresses = (await all()).map(({ addressType, endpoints }) => `${addressType} ${endpoints?.[0].addresses[0]}`);
  assert.deepEqual(addresses.sort(), ['IPv4 10.0.0.1', 'IPv6 2001:db8::1']);
});

test('slices are put right when somebody changes or deletes them, and left alone when nothing changed', async () => {
  const { must, pod, slices: all, api } = cluster();
  await must('POST', services, service());
  await pod('a');
  const [{ metadata }] = await all();
  await must('PATCH', `${slices}/${metadata.name}`, { endpoints: [] }, merge);
  assert.deepEqual(brief((await all())[0]), ['10.0.0.1 ready,serving']);
  await must('DELETE', `${slices}/${metadata.name}`);
  assert.deepEqual(brief((await all())[0]), ['10.0.0.1 ready,serving']);
  const { revision } = api.store;
  await must('PATCH', `${pods}/a`, { metadata: { annotations: { note: 'x' } } }, merge);
  await all();
  assert.equal(api.store.revision, revision + 1);
});

test('a Service that goes takes its slices along', async () => {
  const { must, slices: all } = cluster();
  await must('POST', services, service());
  assert.equal((await all()).length, 1);
  await must('DELETE', `${services}/web`);
  assert.deepEqual(await all(), []);
});

test('a Service without a selector, and an ExternalName, have no slices of ours', async () => {
  const { must, slices: all } = cluster();
  await must('POST', services, { metadata: { name: 'bare' }, spec: { ports: [{ port: 80 }] } });
  await must('POST', services, {
    metadata: { name: 'out' },
    spec: { type: 'ExternalName', externalName: 'example.com', selector: { app: 'web' } },
  });
  assert.deepEqual(await all(), []);
});

test('a namespace that ends takes no new slice, and nothing breaks', async () => {
  const { must, clock } = createWorld({ plane });
  await must('POST', '/api/v1/namespaces', { metadata: { name: 'ending' } });
  const spec = { selector: { app: 'web' }, ports: [{ port: 80 }] };
  await must('POST', '/api/v1/namespaces/ending/services', { metadata: { name: 'web' }, spec });
  await clock.advance(10);
  await must('DELETE', '/api/v1/namespaces/ending');
  await must('DELETE', '/apis/discovery.k8s.io/v1/namespaces/ending/endpointslices');
  await must('POST', services, service());
  await clock.advance(10);
  const { items } = await must('GET', '/apis/discovery.k8s.io/v1/endpointslices');
  assert.deepEqual(
    items.map(({ metadata }: Json) => metadata.namespace),
    ['default'],
    'the next key is still worked on',
  );
});
