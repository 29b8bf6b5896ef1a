import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { difference, isEmpty } from '../../src/core/diff.ts';

interface Item {
  readonly id: string;
  readonly value: number;
}
const key = ({ id }: Item) => id;
const item = fc.record({ id: fc.constantFrom('a', 'b', 'c', 'd', '__proto__', 'constructor'), value: fc.nat(2) });
const items = fc.uniqueArray(item, { selector: key });

test('each item lands in exactly one list, sorted by key', () => {
  const old = [
    { id: 'c', value: 1 },
    { id: 'b', value: 1 },
    { id: 'z', value: 1 },
    { id: 'k', value: 1 },
  ];
  const now = [
    { id: 'k', value: 1 },
    { id: 'y', value: 1 },
    { id: 'b', value: 2 },
    { id: 'a', value: 1 },
  ];
  assert.deepEqual(difference(old, now, { key }), {
    add: [
      { id: 'a', value: 1 },
      { id: 'y', value: 1 },
    ],
    change: [{ old: { id: 'b', value: 1 }, now: { id: 'b', value: 2 } }],
    remove: [
      { id: 'c', value: 1 },
      { id: 'z', value: 1 },
    ],
  });
});

test('`same` decides what a change is', () => {
  const same = (a: Item, b: Item) => a.value % 2 === b.value % 2;
  const [a1, a3, b1, b2] = [
    { id: 'a', value: 1 },
    { id: 'a', value: 3 },
    { id: 'b', value: 1 },
    { id: 'b', value: 2 },
  ];
  assert.deepEqual(difference([a1, b1], [a3, b2], { key, same }).change, [{ old: b1, now: b2 }]);
});

test('of several items with one key the last one counts', () => {
  const twice = [
    { id: 'a', value: 1 },
    { id: 'a', value: 2 },
  ];
  assert.ok(isEmpty(difference(twice, [{ id: 'a', value: 2 }], { key })));
  assert.deepEqual(difference([], twice, { key }).add, [{ id: 'a', value: 2 }]);
});

test('a set that was replaced is not an empty difference', () => {
  assert.equal(isEmpty(difference([{ id: 'a', value: 1 }], [{ id: 'b', value: 1 }], { key })), false);
  assert.equal(isEmpty(difference([{ id: 'a', value: 1 }], [{ id: 'a', value: 2 }], { key })), false);
});

test('applying a difference gives the other set, and equal sets in any order differ in nothing', () => {
  fc.assert(
    fc.property(items, items, (old, now) => {
      const { add, change, remove } = difference(old, now, { key });
      const gone = new Set([...remove, ...change.map((each) => each.old)].map(key));
      const applied = [...old.filter((each) => !gone.has(each.id)), ...add, ...change.map((each) => each.now)];
      assert.ok(isEmpty(difference(applied, now, { key })));
      assert.ok(isEmpty(difference(now.toReversed(), now, { key })));
      assert.equal(isEmpty(difference(old, now, { key })), isEmpty(difference(now, old, { key })));
    }),
  );
});
