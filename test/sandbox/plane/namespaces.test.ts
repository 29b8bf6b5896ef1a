import assert from 'node:assert/strict';
import { test } from 'node:test';
import { configMap, createWorld, merge } from '../api/world.ts';

const plane = { endpointSlices: false, namespaces: true, owners: false, heartbeats: false };

test('a deleted namespace loses what is in it, then goes', async () => {
  const { must, ask, clock, watch } = createWorld({ plane });
  await must('POST', '/api/v1/namespaces', { metadata: { name: 'gone' } });
  await must('POST', '/api/v1/namespaces/gone/configmaps', configMap('a'));
  await must('POST', '/api/v1/namespaces/gone/services', { metadata: { name: 's' }, spec: { ports: [{ port: 80 }] } });
  const { events } = await watch('/api/v1/namespaces?watch=true&fieldSelector=metadata.name%3Dgone');
  const { status } = await must('DELETE', '/api/v1/namespaces/gone');
  assert.equal(status.phase, 'Terminating');
  assert.equal((await ask('POST', '/api/v1/namespaces/gone/configmaps', configMap('b'))).status, 403);
  await clock.advance(10);
  assert.equal((await ask('GET', '/api/v1/namespaces/gone')).status, 404);
  assert.deepEqual((await must('GET', '/api/v1/configmaps')).items, []);
  assert.equal(events.at(-1)?.type, 'DELETED');
  await must('POST', '/api/v1/namespaces', { metadata: { name: 'gone' } });
});

test('a finalizer inside keeps the namespace until it is taken off', async () => {
  const { must, ask, clock } = createWorld({ plane });
  await must('POST', '/api/v1/namespaces', { metadata: { name: 'held' } });
  await must('POST', '/api/v1/namespaces/held/configmaps', { metadata: { name: 'a', finalizers: ['a.b/c'] } });
  await must('DELETE', '/api/v1/namespaces/held');
  await clock.advance(60_000);
  assert.equal((await must('GET', '/api/v1/namespaces/held')).status.phase, 'Terminating');
  assert.ok((await must('GET', '/api/v1/namespaces/held/configmaps/a')).metadata.deletionTimestamp);
  await must('PATCH', '/api/v1/namespaces/held/configmaps/a', { metadata: { finalizers: [] } }, merge);
  await clock.advance(10);
  assert.equal((await ask('GET', '/api/v1/namespaces/held')).status, 404);
});

test('custom resources go with their namespace', async () => {
  const { must, ask, clock } = createWorld({ plane });
  const schema = { openAPIV3Schema: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true } };
  await must('POST', '/apis/apiextensions.k8s.io/v1/customresourcedefinitions', {
    metadata: { name: 'things.example.com' },
    spec: {
      group: 'example.com',
      scope: 'Namespaced',
      names: { plural: 'things', kind: 'Thing' },
      versions: ['v1', 'v2'].map((name) => ({ name, served: true, storage: name === 'v1', schema })),
    },
  });
  await must('POST', '/api/v1/namespaces', { metadata: { name: 'gone' } });
  await must('POST', '/apis/example.com/v1/namespaces/gone/things', {
    apiVersion: 'example.com/v1',
    kind: 'Thing',
    metadata: { name: 'a' },
  });
  await must('DELETE', '/api/v1/namespaces/gone');
  await clock.advance(10);
  assert.equal((await ask('GET', '/api/v1/namespaces/gone')).status, 404);
  assert.deepEqual((await must('GET', '/apis/example.com/v2/things')).items, []);
});

test('the namespaces of the system cannot be deleted', async () => {
  const { ask } = createWorld({ plane });
  for (const name of ['default', 'kube-system', 'kube-public'])
    assert.equal((await ask('DELETE', `/api/v1/namespaces/${name}`)).status, 403);
});
