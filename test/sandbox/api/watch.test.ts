import assert from 'node:assert/strict';
import { test } from 'node:test';
import { configMap, configMaps, createWorld, type Json, merge, told } from './world.ts';

const bookmarks = `${configMaps}?watch=true&allowWatchBookmarks=true`;

test('a watch from a version tells what came after it, in order, and goes on', async () => {
  const { must, watch, clock } = createWorld();
  const { metadata } = await must('POST', configMaps, configMap('a'));
  await must('PATCH', `${configMaps}/a`, { data: { x: '1' } }, merge);
  const { events } = await watch(`${configMaps}?watch=true&resourceVersion=${metadata.resourceVersion}`);
  await must('DELETE', `${configMaps}/a`);
  await must('POST', configMaps, configMap('b'));
  await clock.settle();
  assert.deepEqual(told(events), ['MODIFIED a', 'DELETED a', 'ADDED b']);
  const versions = events.map(({ object }: Json) => Number(object.metadata.resourceVersion));
  assert.deepEqual(
    versions,
    [...versions].sort((a, b) => a - b),
  );
  assert.equal(events[1].object.data.x, '1', 'a deletion shows the last state');
});

test('without a version a watch begins with what exists', async () => {
  const { must, watch, clock } = createWorld();
  for (const name of ['b', 'a']) await must('POST', configMaps, configMap(name));
  const { events } = await watch(`${configMaps}?watch=true`);
  await clock.settle();
  assert.deepEqual(told(events), ['ADDED a', 'ADDED b']);
});

test('sendInitialEvents ends what exists with an annotated bookmark', async () => {
  const { must, watch, clock, api } = createWorld();
  await must('POST', configMaps, configMap('a'));
  const { events } = await watch(`${bookmarks}&sendInitialEvents=true&resourceVersionMatch=NotOlderThan`);
  await clock.settle();
  assert.deepEqual(told(events), ['ADDED a', `BOOKMARK ${api.store.revision}`]);
  assert.equal(events[1].object.metadata.annotations['k8s.io/initial-events-end'], 'true');
});

test('bookmarks come each minute and shortly before the end, carry the current version, and cost nothing unasked', async () => {
  const { must, watch, clock, api } = createWorld();
  const asked = await watch(`${bookmarks}&resourceVersion=${api.store.revision}&timeoutSeconds=150`);
  const unasked = await watch(`${configMaps}?watch=true&resourceVersion=${api.store.revision}&timeoutSeconds=150`);
  await clock.advance(30_000);
  await must('POST', '/api/v1/namespaces/default/secrets', { metadata: { name: 'elsewhere' } });
  await clock.advance(30_000);
  assert.deepEqual(told(asked.events), [`BOOKMARK ${api.store.revision}`]);
  await clock.advance(87_999);
  assert.equal(asked.events.length, 2);
  await clock.advance(1);
  assert.equal(asked.events.length, 3, '2 s before the end');
  assert.equal(asked.state(), 'open');
  await clock.advance(2_000);
  assert.equal(asked.state(), 'ended');
  assert.deepEqual([unasked.state(), unasked.events.length], ['ended', 0]);
  assert.equal(clock.timers, 0, 'nothing is left behind');
});

test('a version older than the log is an ERROR event that says 410', async () => {
  const { must, watch, clock } = createWorld({ logCount: 2 });
  const { metadata } = await must('POST', configMaps, configMap('a'));
  for (const name of ['b', 'c', 'd']) await must('POST', configMaps, configMap(name));
  const old = await watch(`${configMaps}?watch=true&resourceVersion=${metadata.resourceVersion}`);
  await clock.settle();
  assert.equal(old.state(), 'ended');
  assert.equal(old.events.length, 1);
  const [{ type, object }] = old.events;
  assert.deepEqual([type, object.code, object.reason], ['ERROR', 410, 'Expired']);
  assert.match(object.message, /^too old resource version: \d+ \(\d+\)$/);
});

test('a change of what a selector chooses turns into ADDED and DELETED', async () => {
  const { must, watch, clock, api } = createWorld();
  const { events } = await watch(
    `${configMaps}?watch=true&labelSelector=pick%3Dyes&resourceVersion=${api.store.revision}`,
  );
  await must('POST', configMaps, configMap('a', {}, { pick: 'no' }));
  await must('PATCH', `${configMaps}/a`, { metadata: { labels: { pick: 'yes' } } }, merge);
  await must('PATCH', `${configMaps}/a`, { data: { x: '1' } }, merge);
  await must('PATCH', `${configMaps}/a`, { metadata: { labels: { pick: 'no' } } }, merge);
  await must('DELETE', `${configMaps}/a`);
  await clock.settle();
  assert.deepEqual(told(events), ['ADDED a', 'MODIFIED a', 'DELETED a']);
  assert.equal(events[2].object.metadata.labels.pick, 'yes', 'the last chosen state');
  assert.equal(
    events[2].object.metadata.resourceVersion,
    String(api.store.revision - 1),
    'under the version that took it away',
  );
});

test('what is deleted while it is chosen is DELETED, under the version of its deletion', async () => {
  const { must, watch, clock, api } = createWorld();
  const { events } = await watch(`${configMaps}?watch=true&labelSelector=pick&resourceVersion=${api.store.revision}`);
  await must('POST', configMaps, configMap('a', {}, { pick: 'yes' }));
  await must('DELETE', `${configMaps}/a`);
  await clock.settle();
  assert.deepEqual(told(events), ['ADDED a', 'DELETED a']);
  assert.equal(events[1].object.metadata.resourceVersion, String(api.store.revision));
});

test('a watch from a version of the future says nothing until that version is past', async () => {
  const { must, watch, clock, api } = createWorld();
  const { events } = await watch(`${configMaps}?watch=true&resourceVersion=${api.store.revision + 2}`);
  for (const name of ['a', 'b', 'c']) await must('POST', configMaps, configMap(name));
  await clock.settle();
  assert.deepEqual(told(events), ['ADDED c']);
});

test('one namespace hears nothing of another', async () => {
  const { must, watch, clock, api } = createWorld();
  await must('POST', '/api/v1/namespaces', { metadata: { name: 'default-too' } });
  const { events } = await watch(`${configMaps}?watch=true&resourceVersion=${api.store.revision}`);
  await must('POST', '/api/v1/namespaces/default-too/configmaps', configMap('a'));
  await clock.settle();
  assert.deepEqual(events, []);
});

test('without a time, or with none, a watch lasts between half an hour and a whole one', async () => {
  const { watch, clock, api } = createWorld();
  const from = `${configMaps}?watch=true&resourceVersion=${api.store.revision}`;
  const [unasked, none] = [await watch(from), await watch(`${from}&timeoutSeconds=0`)];
  await clock.advance(1_800_000 - 1);
  assert.deepEqual([unasked.state(), none.state()], ['open', 'open']);
  await clock.advance(1_800_001);
  assert.deepEqual([unasked.state(), none.state()], ['ended', 'ended']);
});

test('a closed watch leaves no timer and no listener', async () => {
  const { watch, clock, must } = createWorld();
  const open = await watch(bookmarks);
  assert.ok(clock.timers > 0);
  open.close();
  await clock.settle();
  assert.equal(clock.timers, 0);
  await must('POST', configMaps, configMap('a'));
  assert.deepEqual(open.events, []);
});
