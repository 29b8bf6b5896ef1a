import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { applyJsonPatch, PatchError } from '../../../src/sandbox/api/json-patch.ts';
import { frozen, json } from './json.ts';

const cases = [
  { name: 'add a member', doc: { foo: 1 }, ops: [{ op: 'add', path: '/baz', value: 2 }], expected: { foo: 1, baz: 2 } },
  { name: 'add over a member', doc: { foo: 1 }, ops: [{ op: 'add', path: '/foo', value: [] }], expected: { foo: [] } },
  {
    name: 'add in front of an element',
    doc: { foo: ['a', 'c'] },
    ops: [{ op: 'add', path: '/foo/1', value: 'b' }],
    expected: { foo: ['a', 'b', 'c'] },
  },
  {
    name: 'add at the end, by its index or by -',
    doc: ['a'],
    ops: [
      { op: 'add', path: '/1', value: 'b' },
      { op: 'add', path: '/-', value: ['c'] },
    ],
    expected: ['a', 'b', ['c']],
  },
  { name: 'remove a member', doc: { a: 1, b: 2 }, ops: [{ op: 'remove', path: '/b' }], expected: { a: 1 } },
  { name: 'remove an element', doc: { a: [1, 2, 3] }, ops: [{ op: 'remove', path: '/a/1' }], expected: { a: [1, 3] } },
  { name: 'a negative index', doc: [1, 2, 3], ops: [{ op: 'remove', path: '/-1' }], expected: [1, 2] },
  { name: 'replace', doc: { a: [1, 2] }, ops: [{ op: 'replace', path: '/a/0', value: 9 }], expected: { a: [9, 2] } },
  { name: 'replace what is absent', doc: {}, ops: [{ op: 'replace', path: '/a', value: 1 }], expected: { a: 1 } },
  { name: 'replace the document', doc: { a: 1 }, ops: [{ op: 'replace', path: '', value: [1] }], expected: [1] },
  {
    name: 'move a member',
    doc: { foo: { bar: 'baz', w: 1 }, qux: {} },
    ops: [{ op: 'move', from: '/foo/bar', path: '/qux/thud' }],
    expected: { foo: { w: 1 }, qux: { thud: 'baz' } },
  },
  {
    name: 'move an element, by indexes after the removal',
    doc: ['a', 'b', 'c', 'd'],
    ops: [{ op: 'move', from: '/1', path: '/3' }],
    expected: ['a', 'c', 'd', 'b'],
  },
  {
    name: 'move to the place where it is',
    doc: { a: 1 },
    ops: [{ op: 'move', from: '/a', path: '/a' }],
    expected: { a: 1 },
  },
  {
    name: 'a copy is not changed with its original',
    doc: { a: { x: 1 } },
    ops: [
      { op: 'copy', from: '/a', path: '/b' },
      { op: 'replace', path: '/a/x', value: 2 },
    ],
    expected: { a: { x: 2 }, b: { x: 1 } },
  },
  { name: 'copy what is absent', doc: {}, ops: [{ op: 'copy', from: '/a', path: '/b' }], expected: { b: null } },
  {
    name: 'test, whatever the order of members',
    doc: { a: { x: [1, { y: null }], z: 'ä' } },
    ops: [{ op: 'test', path: '/a', value: { z: 'ä', x: [1, { y: null }] } }],
    expected: { a: { x: [1, { y: null }], z: 'ä' } },
  },
  { name: 'absent tests as null', doc: {}, ops: [{ op: 'test', path: '/a', value: null }], expected: {} },
  { name: 'a value left out is null', doc: {}, ops: [{ op: 'add', path: '/a' }], expected: { a: null } },
  {
    name: 'escapes: ~1 is / and ~0 is ~, in this order',
    doc: { 'a/b': 1, 'm~n': 2, '~1': 3 },
    ops: [
      { op: 'remove', path: '/a~1b' },
      { op: 'remove', path: '/m~0n' },
      { op: 'test', path: '/~01', value: 3 },
    ],
    expected: { '~1': 3 },
  },
  { name: 'an empty key', doc: { '': 1 }, ops: [{ op: 'replace', path: '/', value: 2 }], expected: { '': 2 } },
  {
    name: 'a key like an index',
    doc: { a: {} },
    ops: [{ op: 'add', path: '/a/0', value: 1 }],
    expected: { a: { 0: 1 } },
  },
  { name: 'no operations', doc: { a: 1 }, ops: [], expected: { a: 1 } },
];

for (const { name, doc, ops, expected } of cases) {
  test(`JSON patch: ${name}`, () => assert.deepEqual(applyJsonPatch(frozen(doc), frozen(ops)), expected));
}

const refused = [
  { name: 'not an operation', ops: ['x'], status: 400 },
  { name: 'unknown op', ops: [{ op: 'merge', path: '/a' }], status: 422 },
  { name: 'no op', ops: [{ path: '/a' }], status: 422 },
  { name: 'no path', ops: [{ op: 'remove' }], status: 422 },
  { name: 'path without /', ops: [{ op: 'add', path: 'a', value: 1 }], status: 422 },
  { name: 'no from', ops: [{ op: 'move', path: '/b' }], status: 422 },
  { name: 'remove what is absent', ops: [{ op: 'remove', path: '/zz' }], status: 422 },
  { name: 'remove an inherited member', ops: [{ op: 'remove', path: '/toString' }], status: 422 },
  { name: 'move what is absent', ops: [{ op: 'move', from: '/zz', path: '/b' }], status: 422 },
  { name: 'below what is absent', ops: [{ op: 'add', path: '/zz/a', value: 1 }], status: 422 },
  { name: 'below a scalar', ops: [{ op: 'add', path: '/a/x', value: 1 }], status: 422 },
  { name: 'index past the end', ops: [{ op: 'add', path: '/l/3', value: 1 }], status: 422 },
  { name: 'index before the start', ops: [{ op: 'remove', path: '/l/-3' }], status: 422 },
  { name: 'index with a leading zero', ops: [{ op: 'remove', path: '/l/01' }], status: 422 },
  { name: 'index that is no number', ops: [{ op: 'remove', path: '/l/1e0' }], status: 422 },
  { name: 'remove at -', ops: [{ op: 'remove', path: '/l/-' }], status: 422 },
  { name: 'into itself', ops: [{ op: 'move', from: '/o', path: '/o/in' }], status: 422 },
  { name: 'test of another value', ops: [{ op: 'test', path: '/a', value: 2 }], status: 422 },
  { name: 'test of a type', ops: [{ op: 'test', path: '/a', value: '1' }], status: 422 },
  { name: 'a list is not an object', ops: [{ op: 'test', path: '/l', value: { 0: 1, 1: 2 } }], status: 422 },
  { name: 'the document removed', ops: [{ op: 'remove', path: '' }], status: 422 },
];

for (const { name, ops, status } of refused) {
  test(`JSON patch refused with ${status}: ${name}`, () => {
    const document = { a: 1, l: [1, 2], o: {} };
    assert.throws(
      () => applyJsonPatch(document, [{ op: 'add', path: '/first', value: 1 }, ...ops]),
      (error) => error instanceof PatchError && error.status === status,
    );
    assert.deepEqual(document, { a: 1, l: [1, 2], o: {} });
  });
}

test('a member named __proto__ is data', () => {
  const patched = applyJsonPatch({ a: {} }, [{ op: 'add', path: '/a/__proto__', value: { polluted: 1 } }]);
  assert.equal(JSON.stringify(patched), '{"a":{"__proto__":{"polluted":1}}}');
  assert.equal(({} as Record<string, unknown>)['polluted'], undefined);
});

test('what a patch adds, a patch removes again', () => {
  const key = fc.string({ minLength: 1 }).filter((name) => name !== '__proto__');
  fc.assert(
    fc.property(fc.dictionary(key, json(), { noNullPrototype: true }), key, json(), (document, name, value) => {
      const path = `/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`;
      const before = Object.hasOwn(document, name)
        ? [{ op: 'add', path, value: document[name] }]
        : [{ op: 'remove', path }];
      const changed = applyJsonPatch(frozen(document), [
        { op: 'add', path, value },
        { op: 'test', path, value },
      ]);
      assert.deepEqual(applyJsonPatch(changed, before), document);
    }),
  );
});
