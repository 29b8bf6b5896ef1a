import assert from 'node:assert/strict';
import { test } from 'node:test';
import { configMap, configMaps, createWorld, type Json, merge, type World } from '../api/world.ts';

const plane = { endpointSlices: false, namespaces: false, owners: true, heartbeats: false };

const owned = (name: string, owners: readonly Json[], more: object = {}): object => ({
  metadata: {
    name,
    ownerReferences: owners.map(({ metadata: { name: owner, uid } }) => ({
      apiVersion: 'v1',
      kind: 'ConfigMap',
      name: owner,
      uid,
      ...more,
    })),
  },
});
const left = async ({ must, clock }: World): Promise<readonly string[]> => {
  await clock.advance(10);
  return (await must('GET', configMaps)).items.map(({ metadata }: Json) => metadata.name);
};

test('a dependent goes with its last owner, and a chain goes as a whole', async () => {
  const world = createWorld({ plane });
  const { must } = world;
  const [a, b] = [await must('POST', configMaps, configMap('a')), await must('POST', configMaps, configMap('b'))];
  const child = await must('POST', configMaps, owned('child', [a, b]));
  await must('POST', configMaps, owned('grandchild', [child]));
  await must('DELETE', `${configMaps}/a`);
  assert.deepEqual(await left(world), ['b', 'child', 'grandchild']);
  const { ownerReferences } = (await must('GET', `${configMaps}/child`)).metadata;
  assert.deepEqual(
    ownerReferences.map(({ name }: Json) => name),
    ['b'],
    'the lost owner is forgotten',
  );
  await must('DELETE', `${configMaps}/b`);
  assert.deepEqual(await left(world), []);
});

test('an owner that never was, or was another one of that name, owns nothing', async () => {
  const world = createWorld({ plane });
  const { must } = world;
  const a = await must('POST', configMaps, configMap('a'));
  await must('DELETE', `${configMaps}/a`);
  await must('POST', configMaps, configMap('a'));
  await must('POST', configMaps, owned('child', [a]));
  assert.deepEqual(await left(world), ['a']);
});

test('an owner under another name is not the owner', async () => {
  const world = createWorld({ plane });
  const a = await world.must('POST', configMaps, configMap('a'));
  await world.must('POST', configMaps, owned('child', [{ metadata: { name: 'b', uid: a.metadata.uid } }]));
  assert.deepEqual(await left(world), ['a']);
});

test('an owner of a kind that is not served is not judged', async () => {
  const world = createWorld({ plane });
  await world.must('POST', configMaps, {
    metadata: { name: 'child', ownerReferences: [{ apiVersion: 'x.example.com/v1', kind: 'X', name: 'x', uid: 'u' }] },
  });
  assert.deepEqual(await left(world), ['child']);
});

test('Foreground: the owner stays until the dependents that block it are gone', async () => {
  const world = createWorld({ plane });
  const { must } = world;
  const a = await must('POST', configMaps, configMap('a'));
  await must('POST', configMaps, { ...owned('held', [a], { blockOwnerDeletion: true }) });
  await must('PATCH', `${configMaps}/held`, { metadata: { finalizers: ['a.b/c'] } }, merge);
  await must('POST', configMaps, owned('free', [a]));
  await must('DELETE', `${configMaps}/a?propagationPolicy=Foreground`);
  assert.deepEqual(await left(world), ['a', 'held']);
  await must('PATCH', `${configMaps}/held`, { metadata: { finalizers: null } }, merge);
  assert.deepEqual(await left(world), []);
});

test('Orphan: the dependents stay, without their owner', async () => {
  const world = createWorld({ plane });
  const { must } = world;
  const a = await must('POST', configMaps, configMap('a'));
  await must('POST', configMaps, owned('child', [a]));
  await must('DELETE', `${configMaps}/a`, { propagationPolicy: 'Orphan' });
  assert.deepEqual(await left(world), ['child']);
  assert.equal((await must('GET', `${configMaps}/child`)).metadata.ownerReferences, undefined);
});
