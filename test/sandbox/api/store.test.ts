import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Draft } from '../../../src/sandbox/api/json.ts';
import { type ApiStore, type Change, createApiStore } from '../../../src/sandbox/api/store.ts';
import { createVirtualClock } from '../../fake/clock.ts';

const object = (name: string, data = ''): Draft => ({ metadata: { name }, data });
const create = (how: { logCount?: number; logMs?: number } = {}) => {
  const clock = createVirtualClock();
  return { clock, store: createApiStore({ clock, logCount: 1000, logMs: 60_000, ...how }) };
};
const keys = (store: ApiStore, revision?: number): readonly string[] | undefined =>
  (revision === undefined ? store.list('c') : store.listAt('c', revision))?.map(
    ({ key, object: { data } }) => `${key}=${data}`,
  );

test('every write takes the next revision, across collections', () => {
  const { store } = create();
  const first = store.revision;
  assert.equal(store.put('a', 'x', object('x')).revision, first + 1);
  assert.equal(store.put('b', 'x', object('x')).revision, first + 2);
  assert.equal(store.put('a', 'x', object('x', 'new')).object.metadata.resourceVersion, String(first + 3));
  assert.equal(store.remove('b', 'x')?.object.metadata.resourceVersion, String(first + 4));
  assert.equal(store.remove('b', 'x'), undefined);
  assert.equal(store.revision, first + 4);
});

test('a list is sorted by key and bounded by its prefix, which ends at the slash', () => {
  const { store } = create();
  for (const key of ['b/1', 'a-b/1', 'a/2', 'a/1', 'aa/1']) store.put('c', key, object(key));
  assert.deepEqual(
    store.list('c').map(({ key }) => key),
    ['a-b/1', 'a/1', 'a/2', 'aa/1', 'b/1'],
  );
  assert.deepEqual(
    store.list('c', 'a/').map(({ key }) => key),
    ['a/1', 'a/2'],
  );
});

test('any past state within the log can be listed again, and none outside it', () => {
  const write = fc.record({
    key: fc.constantFrom('a/1', 'a/2', 'b/1', 'b/2'),
    remove: fc.boolean(),
    data: fc.string({ maxLength: 3 }),
  });
  fc.assert(
    fc.property(fc.array(write, { maxLength: 40 }), fc.integer({ min: 1, max: 20 }), (writes, logCount) => {
      const { store } = create({ logCount });
      const states = new Map([[store.revision, keys(store)]]);
      for (const { key, remove, data } of writes) {
        if (remove) store.remove('c', key);
        else store.put('c', key, object(key, data));
        store.put('other', key, object(key));
        states.set(store.revision, keys(store));
      }
      for (const [revision, state] of states)
        assert.deepEqual(keys(store, revision), revision < store.compacted ? undefined : state, `revision ${revision}`);
    }),
  );
});

test('the log forgets by count and by age', async () => {
  const { store, clock } = create({ logCount: 3 });
  const [first] = [1, 2, 3, 4, 5].map((n) => store.put('c', `k${n}`, object(`k${n}`)).revision) as [number];
  assert.equal(store.since('c', first), undefined);
  assert.equal(store.since('c', first + 1)?.length, 3);
  await clock.advance(60_001);
  assert.equal(store.since('c', first + 3), undefined, 'too old');
  assert.deepEqual(store.since('c', store.revision), [], 'the present is never too old');
});

test('compacting makes every older version too old at once', () => {
  const { store } = create();
  const { revision } = store.put('c', 'k', object('k'));
  store.put('c', 'l', object('l'));
  store.compact();
  assert.equal(store.since('c', revision), undefined);
  assert.deepEqual(keys(store, store.revision), ['k=', 'l=']);
});

test('a listener that writes is told of its write after all others know of the first', () => {
  const { store } = create();
  const seen: string[] = [];
  store.subscribe('c', ({ now }) => {
    if (now.key === 'first') store.put('c', 'second', object('second'));
  });
  store.subscribe('c', ({ now }: Change) => seen.push(now.key));
  store.put('c', 'first', object('first'));
  assert.deepEqual(seen, ['first', 'second']);
});

test('an object is serialised once, however often it is listed', () => {
  const { store } = create();
  store.put('c', 'k', object('k'));
  const [entry] = store.list('c');
  assert.ok(entry !== undefined);
  const before = entry.text;
  (entry.object as unknown as { data: unknown }).data = 'changed behind its back';
  assert.equal(entry.text, before);
});
