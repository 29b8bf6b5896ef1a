import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { compareText, isEqual, sortedRecord } from '../../src/core/equal.ts';

const cases: readonly {
  readonly name: string;
  readonly a: unknown;
  readonly b: unknown;
  readonly expected: boolean;
}[] = [
  { name: 'key order does not matter', a: { x: 1, y: [2] }, b: { y: [2], x: 1 }, expected: true },
  { name: 'list order matters', a: [1, 2], b: [2, 1], expected: false },
  { name: 'an undefined member equals an absent one', a: { x: undefined }, b: {}, expected: true },
  { name: 'an absent member equals an undefined one', a: {}, b: { x: undefined }, expected: true },
  { name: 'null is not absent', a: { x: null }, b: {}, expected: false },
  { name: 'a list is not an object with the same keys', a: ['x'], b: { 0: 'x' }, expected: false },
  { name: 'a list is not an object that looks like one', a: ['x'], b: { 0: 'x', length: 1 }, expected: false },
  { name: 'a longer list is another one', a: [1], b: [1, undefined], expected: false },
  { name: 'a number is not its text', a: 20, b: '20', expected: false },
  { name: 'a member more on the right', a: { x: 1 }, b: { x: 1, y: 2 }, expected: false },
  { name: 'inherited names are no members', a: {}, b: { constructor: 1 }, expected: false },
  { name: 'deep difference', a: { x: [{ y: 1 }] }, b: { x: [{ y: 2 }] }, expected: false },
];
for (const { name, a, b, expected } of cases) test(`equality: ${name}`, () => assert.equal(isEqual(a, b), expected));

test('equality agrees with node:util on JSON values', () => {
  fc.assert(fc.property(fc.jsonValue(), fc.jsonValue(), (a, b) => isEqual(a, b) === isDeepStrictEqual(a, b)));
  fc.assert(fc.property(fc.jsonValue(), (a) => isEqual(a, structuredClone(a))));
});

test('equality of deep values costs no more than their size', () => {
  const nested = (depth: number): unknown => (depth === 0 ? 1 : { a: nested(depth - 1) });
  assert.ok(isEqual(nested(2000), nested(2000)));
});

test('text is ordered by code unit, not by locale', () => {
  assert.deepEqual(['b', 'B', 'a', 'ä', 'a'].sort(compareText), ['B', 'a', 'a', 'b', 'ä']);
});

test('a sorted record has the same members', () => {
  assert.deepEqual(Object.keys(sortedRecord({ b: 1, a: 2, B: 3 })), ['B', 'a', 'b']);
});
