import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createRecent } from '../../src/kube/recent.ts';

test('the least recently touched go first when it is full', () => {
  const recent = createRecent<number>({ size: 2, ageMs: 1000 });
  recent.set('a', 1, 0);
  recent.set('b', 2, 0);
  assert.equal(recent.get('a', 0), 1);
  recent.set('c', 3, 0);
  assert.deepEqual(
    ['a', 'b', 'c'].map((key) => recent.get(key, 0)),
    [1, undefined, 3],
  );
  assert.equal(recent.size, 2);
});

test('what was not touched for longer than the age is gone, and takes no room', () => {
  const recent = createRecent<number>({ size: 10, ageMs: 1000 });
  recent.set('a', 1, 0);
  recent.set('b', 2, 500);
  assert.equal(recent.get('a', 1000), 1);
  assert.equal(recent.get('x', 1501), undefined);
  assert.equal(recent.size, 1);
  assert.equal(recent.get('a', 2000), 1);
  recent.delete('a');
  assert.equal(recent.size, 0);
});
