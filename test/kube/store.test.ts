import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type KubeObject, keyOf } from '../../src/core/objects.ts';
import { createStore, type Store } from '../../src/kube/store.ts';

function object(name: string, version: string, uid = `uid-${name}`, labels: Record<string, string> = {}): KubeObject {
  const metadata = { name, namespace: 'default', uid, resourceVersion: version, creationTimestamp: '', labels };
  return Object.freeze({ metadata: Object.freeze(metadata) });
}

const show = (one: KubeObject | undefined): string =>
  one === undefined ? '' : `${one.metadata.name}@${one.metadata.resourceVersion}`;

function follow(store: Store<KubeObject>): string[] {
  const events: string[] = [];
  store.onChange((old, now, initial) => events.push(`${show(old)}->${show(now)}${initial ? ' initial' : ''}`));
  return events;
}

test('changes are told once, after the store holds them', () => {
  const store = createStore<KubeObject>();
  const seen: boolean[] = [];
  store.onChange((old, now) => {
    const held = store.get('default/a');
    seen.push(now === undefined ? held === undefined : held === now);
    assert.ok(old !== now);
  });
  const events = follow(store);
  store.set(object('a', '1'));
  store.set(object('a', '1'));
  store.set(object('a', '2'));
  store.remove('default/a');
  store.remove('default/a');
  assert.deepEqual(events, ['->a@1 initial', 'a@1->a@2 initial', 'a@2-> initial']);
  assert.deepEqual(seen, [true, true, true]);
});

test('another uid under the same key is a removal and an addition', () => {
  const store = createStore<KubeObject>();
  store.set(object('a', '1', 'u1'));
  const events = follow(store);
  store.set(object('a', '2', 'u2'));
  assert.deepEqual(events, ['a@1-> initial', '->a@2 initial']);
});

test('replace tells only what differs, drops what is gone, and only the first one is initial', () => {
  const store = createStore<KubeObject>();
  const events = follow(store);
  store.replace([object('a', '1'), object('b', '2')]);
  assert.equal(store.synced, true);
  store.replace([object('b', '2'), object('c', '3')]);
  assert.deepEqual(events, ['->a@1 initial', '->b@2 initial', '->c@3', 'a@1->']);
});

test('replace in steps gives control back in between and is whole at the end', () => {
  const store = createStore<KubeObject>();
  const sizes: number[] = [];
  const all = ['a', 'b', 'c', 'd', 'e'].map((name) => object(name, '1'));
  for (const _step of store.replacing(all, 2)) {
    sizes.push(store.size);
    assert.equal(store.synced, false);
  }
  assert.deepEqual(sizes, [2, 4]);
  assert.equal(store.size, 5);
  assert.equal(store.synced, true);
});

test('a handler that throws is reported and takes nothing from the others', () => {
  const errors: unknown[] = [];
  const store = createStore<KubeObject>({ onHandlerError: (error) => errors.push(error) });
  store.onChange(() => {
    throw new Error('mine');
  });
  const events = follow(store);
  store.replace([object('a', '1')]);
  store.set(object('a', '2'));
  assert.deepEqual(events, ['->a@1 initial', 'a@1->a@2']);
  assert.equal(errors.length, 2);
  assert.equal(show(store.get('default/a')), 'a@2');
});

test('an index that cannot read an object files it nowhere and is reported', () => {
  const errors: unknown[] = [];
  const store = createStore<KubeObject>({
    indexes: {
      label: ({ metadata }) => {
        if (metadata.name === 'bad') throw new Error('unreadable');
        return ['all'];
      },
    },
    onHandlerError: (error) => errors.push(error),
  });
  store.replace([object('bad', '1'), object('good', '1')]);
  assert.deepEqual(store.by('label', 'all').map(show), ['good@1']);
  assert.equal(store.size, 2);
  assert.equal(errors.length, 1);
});

test('unsubscribing ends one subscription, also when the same function subscribed twice', () => {
  const store = createStore<KubeObject>();
  let calls = 0;
  const handler = () => {
    calls += 1;
  };
  const end = store.onChange(handler);
  store.onChange(handler);
  end();
  store.set(object('a', '1'));
  assert.equal(calls, 1);
});

test('an unknown index is an error of the caller', () => {
  assert.throws(() => createStore().by('nodeName', 'n1'), /no index "nodeName"/);
});

test('whenSynced resolves with the first full list, and at once afterwards', async () => {
  const store = createStore<KubeObject>();
  const { signal } = new AbortController();
  const waiting = store.whenSynced(signal);
  store.set(object('a', '1'));
  assert.equal(store.synced, false);
  store.replace([]);
  await waiting;
  await store.whenSynced(signal);
});

test('whenSynced rejects with the reason of its signal', async () => {
  const store = createStore<KubeObject>();
  const stop = new AbortController();
  const waiting = store.whenSynced(stop.signal);
  stop.abort(new Error('enough'));
  await assert.rejects(waiting, /enough/);
  await assert.rejects(store.whenSynced(stop.signal), /enough/);
});

test('list is the same array until something changes', () => {
  const store = createStore<KubeObject>();
  store.set(object('a', '1'));
  const before = store.list();
  store.set(object('a', '1'));
  assert.equal(store.list(), before);
  store.set(object('a', '2'));
  assert.deepEqual(store.list().map(show), ['a@2']);
  assert.deepEqual(before.map(show), ['a@1']);
});

test('after any history the indexes hold what a fresh store would, and the events lead from nothing to it', () => {
  const indexes = { label: ({ metadata }: KubeObject) => Object.values(metadata.labels ?? {}) };
  const step = fc.oneof(
    fc.record({
      kind: fc.constant('set' as const),
      name: fc.constantFrom('a', 'b', 'c'),
      uid: fc.constantFrom('u1', 'u2'),
      label: fc.constantFrom('x', 'y', 'z'),
    }),
    fc.record({ kind: fc.constant('remove' as const), name: fc.constantFrom('a', 'b', 'c') }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
      const store = createStore<KubeObject>({ indexes });
      const mirror = new Map<string, KubeObject>();
      store.onChange((old, now) => {
        if (old !== undefined) assert.equal(mirror.get(keyOf(old)), old);
        if (now === undefined) mirror.delete(keyOf(old as KubeObject));
        else mirror.set(keyOf(now), now);
      });
      for (const [version, one] of steps.entries()) {
        if (one.kind === 'remove') store.remove(`default/${one.name}`);
        else store.set(object(one.name, String(version), one.uid, { l: one.label }));
      }
      assert.deepEqual(new Set(store.values()), new Set(mirror.values()));
      for (const value of ['x', 'y', 'z']) {
        const expected = store.list().filter(({ metadata }) => metadata.labels?.['l'] === value);
        assert.deepEqual(new Set(store.by('label', value)), new Set(expected));
      }
    }),
  );
});
