import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  collectFields,
  difference,
  type FieldPath,
  type FieldSet,
  intersection,
  noFields,
  parseFields,
  pathsOf,
  pathText,
  printFields,
  sameFields,
  union,
  without,
} from '../../../src/sandbox/api/field-set.ts';

const step = fc.constantFrom('f:a', 'f:b', 'k:{"name":"x"}', 'v:"y"');
const path = fc.array(step, { minLength: 1, maxLength: 3 });
const set = fc.array(path, { maxLength: 8 }).map(setOf);

function setOf(paths: readonly FieldPath[]): FieldSet {
  const collected = collectFields();
  for (const one of paths) collected.add(one);
  return collected.fields;
}

const keys = (fields: FieldSet): ReadonlySet<string> => new Set(pathsOf(fields).map((one) => JSON.stringify(one)));

test('sets of fields behave as sets of their paths', () => {
  fc.assert(
    fc.property(set, set, (a, b) => {
      assert.deepEqual(keys(union(a, b)), keys(a).union(keys(b)));
      assert.deepEqual(keys(intersection(a, b)), keys(a).intersection(keys(b)));
      assert.deepEqual(keys(difference(a, b)), keys(a).difference(keys(b)));
      const below = (one: FieldPath) => pathsOf(b).some((other) => other.every((part, at) => one[at] === part));
      assert.deepEqual(
        keys(without(a, b)),
        new Set(
          pathsOf(a)
            .filter((one) => !below(one))
            .map((one) => JSON.stringify(one)),
        ),
      );
      assert.equal(sameFields(a, b), keys(a).symmetricDifference(keys(b)).size === 0);
    }),
  );
});

test('what is printed is read back', () => {
  fc.assert(fc.property(set, (fields) => assert.ok(sameFields(parseFields(printFields(fields)), fields))));
});

test('FieldsV1 as kube-apiserver writes it', () => {
  const fields = {
    'f:metadata': { 'f:finalizers': { '.': {}, 'v:"x.io/a"': {} } },
    'f:spec': { 'f:ports': { 'k:{"port":80,"protocol":"TCP"}': { '.': {}, 'f:name': {} } }, 'f:type': {} },
  };
  assert.equal(JSON.stringify(printFields(parseFields(fields))), JSON.stringify(fields));
  assert.deepEqual(pathsOf(parseFields(fields)).map(pathText), [
    '.metadata.finalizers',
    '.metadata.finalizers[="x.io/a"]',
    '.spec.ports[port=80,protocol="TCP"]',
    '.spec.ports[port=80,protocol="TCP"].name',
    '.spec.type',
  ]);
  assert.equal(parseFields('nonsense'), noFields);
});
