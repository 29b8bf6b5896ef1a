import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { applyMergePatch } from '../../../src/sandbox/api/merge-patch.ts';
import { frozen, json } from './json.ts';

// RFC 7386, appendix A.
const cases: readonly (readonly [document: unknown, patch: unknown, expected: unknown])[] = [
  [{ a: 'b' }, { a: 'c' }, { a: 'c' }],
  [{ a: 'b' }, { b: 'c' }, { a: 'b', b: 'c' }],
  [{ a: 'b' }, { a: null }, {}],
  [{ a: 'b', b: 'c' }, { a: null }, { b: 'c' }],
  [{ a: ['b'] }, { a: 'c' }, { a: 'c' }],
  [{ a: 'c' }, { a: ['b'] }, { a: ['b'] }],
  [{ a: { b: 'c' } }, { a: { b: 'd', c: null } }, { a: { b: 'd' } }],
  [{ a: [{ b: 'c' }] }, { a: [1] }, { a: [1] }],
  [
    ['a', 'b'],
    ['c', 'd'],
    ['c', 'd'],
  ],
  [{ a: 'b' }, ['c'], ['c']],
  [{ a: 'foo' }, null, null],
  [{ a: 'foo' }, 'bar', 'bar'],
  [{ e: null }, { a: 1 }, { e: null, a: 1 }],
  [[1, 2], { a: 'b', c: null }, { a: 'b' }],
  [{}, { a: { bb: { ccc: null } } }, { a: { bb: {} } }],
  // Not in the RFC: what kube-apiserver does inside lists.
  [{}, { a: [{ b: null, c: [{ d: null }] }, null] }, { a: [{ c: [{}] }, null] }],
];

for (const [document, patch, expected] of cases) {
  test(`merge patch ${JSON.stringify(patch)} on ${JSON.stringify(document)}`, () =>
    assert.deepEqual(applyMergePatch(frozen(document), frozen(patch)), expected));
}

test('applying a merge patch twice is applying it once', () => {
  fc.assert(
    fc.property(json(), json(), (document, patch) => {
      const once = applyMergePatch(frozen(document), frozen(patch));
      assert.deepEqual(applyMergePatch(once, patch), once);
    }),
  );
});

test('the difference of two objects, as a merge patch, makes one the other', () => {
  const object = fc.dictionary(fc.string(), json(), { noNullPrototype: true });
  fc.assert(
    fc.property(object, object, (from, to) => {
      const target = applyMergePatch({}, to); // a merge patch cannot bring nulls
      assert.deepEqual(applyMergePatch(from, difference(from, target)), target);
    }),
  );
});

function difference(from: unknown, to: unknown): unknown {
  if (!isObject(from) || !isObject(to)) return to;
  const gone = Object.keys(from).filter((key) => !Object.hasOwn(to, key));
  return Object.fromEntries([
    ...gone.map((key) => [key, null]),
    ...Object.entries(to).map(([key, value]) => [key, Object.hasOwn(from, key) ? difference(from[key], value) : value]),
  ]);
}

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
