import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  ApplyConflict,
  fieldSchemaOf,
  type ManagedFields,
  serverSideApply,
  updateManagedFields,
} from '../../../src/sandbox/api/apply.ts';
import { PatchError } from '../../../src/sandbox/api/json-patch.ts';
import { stored as compact, frozen } from './json.ts';

const now = '2026-01-01T00:00:00Z';
const schema = fieldSchemaOf({ kind: 'ConfigMap' });
const how = (manager: string, more: object = {}) => ({ manager, now, schema, apiVersion: 'v1', force: false, ...more });

interface Object_ {
  readonly metadata: object;
  readonly [key: string]: unknown;
}

const config = (more: object, metadata: object = {}): object => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name: 'c', ...metadata },
  ...more,
});

/** The object as a server stores it. */
const stored = ({ object, managedFields }: ReturnType<typeof serverSideApply>): object => ({
  ...object,
  metadata: { ...(object as Object_).metadata, managedFields },
});

const apply = (live: object | undefined, applied: object, manager: string, more: object = {}): object =>
  stored(serverSideApply(live === undefined ? undefined : frozen(live), frozen(applied), how(manager, more)));

const owned = (object: object): Readonly<Record<string, unknown>> =>
  Object.fromEntries(entries(object).map((one) => [`${one.manager} ${one.operation}`, one.fieldsV1]));

const entries = (object: object): readonly ManagedFields[] =>
  (object as { metadata: { managedFields: readonly ManagedFields[] } }).metadata.managedFields;

const data = (object: object): unknown => (object as Object_)['data'];

test('a created object belongs to who applied it, but for its identity', () => {
  const made = serverSideApply(
    undefined,
    config({ data: { a: '1' } }, { labels: { l: '1' }, finalizers: ['x.io/a'] }),
    how('m1'),
  );
  assert.deepEqual(made.object, config({ data: { a: '1' } }, { labels: { l: '1' }, finalizers: ['x.io/a'] }));
  assert.deepEqual(made.managedFields, [
    {
      manager: 'm1',
      operation: 'Apply',
      apiVersion: 'v1',
      time: now,
      fieldsType: 'FieldsV1',
      fieldsV1: {
        'f:data': { 'f:a': {} },
        'f:metadata': { 'f:finalizers': { 'v:"x.io/a"': {} }, 'f:labels': { 'f:l': {} } },
      },
    },
  ]);
});

test('the same apply again changes nothing, not even a time', () => {
  const live = apply(undefined, config({ data: { a: '1' } }), 'm1');
  const again = serverSideApply(live, config({ data: { a: '1' } }), how('m1', { now: '2027-01-01T00:00:00Z' }));
  assert.deepEqual(stored(again), live);
  assert.equal(again.managedFields, entries(live));
});

test("another manager's value is a conflict until it is forced", () => {
  const live = apply(undefined, config({ data: { a: '1', b: '2' } }), 'm1');
  assert.throws(
    () => apply(live, config({ data: { a: 'x' } }), 'm2'),
    (error) => {
      assert.ok(error instanceof ApplyConflict);
      assert.equal(error.message, 'Apply failed with 1 conflict: conflict with "m1": .data.a');
      assert.deepEqual(error.causes, [{ manager: '"m1"', field: '.data.a' }]);
      return true;
    },
  );
  const forced = apply(live, config({ data: { a: 'x' } }), 'm2', { force: true });
  assert.deepEqual(data(forced), { a: 'x', b: '2' });
  assert.deepEqual(owned(forced), { 'm1 Apply': { 'f:data': { 'f:b': {} } }, 'm2 Apply': { 'f:data': { 'f:a': {} } } });
});

test('two conflicts are told by manager', () => {
  const live = apply(apply(undefined, config({ data: { a: '1' } }), 'm1'), config({ data: { b: '1' } }), 'm2');
  assert.throws(() => apply(live, config({ data: { a: 'x', b: 'x' } }), 'm3'), {
    message: 'Apply failed with 2 conflicts: conflicts with "m1":\n- .data.a\nconflicts with "m2":\n- .data.b',
  });
});

test('the same value is owned by both, and goes when the last one leaves it out', () => {
  const one = apply(undefined, config({ data: { a: '1', b: '2' } }), 'm1');
  const both = apply(one, config({ data: { b: '2' } }), 'm2');
  const left = apply(both, config({ data: {} }), 'm1');
  assert.deepEqual(data(left), { b: '2' });
  assert.deepEqual(data(apply(left, config({}), 'm2')), null);
});

test('what was there before anybody applied belongs to before-first-apply', () => {
  const old = { ...config({ data: { a: '1' } }), metadata: { name: 'c', uid: 'u' } };
  assert.throws(
    () => apply(old, config({ data: { a: '2' } }), 'm1'),
    /conflict with "before-first-apply" using v1: .data.a/,
  );
  const live = apply(old, config({ data: { b: '2' } }), 'm1');
  assert.deepEqual(data(live), { a: '1', b: '2' });
  assert.deepEqual(owned(live)['before-first-apply Update'], { 'f:data': { '.': {}, 'f:a': {} } });
});

test('an update takes over what it changes and gives up what it removes', () => {
  const live = apply(undefined, config({ data: { a: '1', b: '2' } }), 'm1') as Object_;
  const { managedFields: _old, ...metadata } = live.metadata as Record<string, unknown>;
  const next = { ...live, metadata, data: { a: '9', c: '3' } };
  const after = updateManagedFields(frozen(live), frozen(next), how('u1'));
  assert.deepEqual(Object.fromEntries(after.map((one) => [one.manager, one.fieldsV1])), {
    u1: { 'f:data': { 'f:a': {}, 'f:c': {} } },
  });
});

test('a write that changes nothing keeps the entries as they are', () => {
  const live = apply(undefined, config({ data: { a: '1' } }), 'm1') as Object_;
  const next = { ...live, metadata: { name: 'c', resourceVersion: '9' } };
  assert.equal(updateManagedFields(live, next, how('u1')), entries(live));
});

test('an untracked object stays so; an empty list resets, but not through a subresource', () => {
  assert.deepEqual(updateManagedFields(config({}), config({ data: { a: '1' } }), how('u1')), []);
  const live = apply(undefined, config({ data: { a: '1' } }), 'm1');
  const reset = { ...live, metadata: { name: 'c', managedFields: [] } };
  assert.deepEqual(updateManagedFields(live, reset, how('u1')), []);
  assert.equal(updateManagedFields(live, reset, how('u1', { subresource: 'status' })), entries(live));
});

test('a write of the status owns the status only, and of the object all but the status', () => {
  const service = fieldSchemaOf({ kind: 'Service' });
  const object = (more: object) => ({ apiVersion: 'v1', kind: 'Service', metadata: { name: 's' }, ...more });
  const both = object({ spec: { type: 'LoadBalancer' }, status: { loadBalancer: { ingress: [{ ip: '1.1.1.1' }] } } });
  const main = updateManagedFields(undefined, both, how('u1', { schema: service }));
  assert.deepEqual(
    main.map((one) => one.fieldsV1),
    [{ 'f:spec': { 'f:type': {} } }],
  );
  const live = { ...object({ spec: { type: 'LoadBalancer' } }), metadata: { name: 's', managedFields: main } };
  const status = updateManagedFields(live, both, how('u1', { schema: service, subresource: 'status' }));
  assert.deepEqual(
    status.map((one) => [one.subresource, one.fieldsV1]),
    [
      [undefined, { 'f:spec': { 'f:type': {} } }],
      ['status', { 'f:status': { 'f:loadBalancer': { 'f:ingress': {} } } }],
    ],
  );
});

test('lists are merged by their keys and keep the order of who applied them', () => {
  const service = fieldSchemaOf({ kind: 'Service' });
  const applied = (ports: readonly object[]) => ({
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: 's' },
    spec: { ports },
  });
  const with_ = { schema: service };
  const first = apply(
    undefined,
    applied([
      { port: 80, name: 'a' },
      { port: 81, name: 'b' },
    ]),
    'm1',
    with_,
  );
  const second = apply(
    first,
    applied([
      { port: 82, name: 'c' },
      { port: 80, protocol: 'UDP', name: 'd' },
    ]),
    'm2',
    with_,
  );
  const third = apply(second, applied([{ port: 81, name: 'b' }]), 'm1', with_) as {
    spec: { ports: { name: string }[] };
  };
  assert.deepEqual(
    third.spec.ports.map(({ name }) => name),
    ['b', 'c', 'd'],
  );
  assert.deepEqual(owned(third)['m1 Apply'], {
    'f:spec': { 'f:ports': { 'k:{"port":81,"protocol":"TCP"}': { '.': {}, 'f:name': {}, 'f:port': {} } } },
  });
});

const refused: readonly {
  readonly name: string;
  readonly applied: object;
  readonly status: number;
  readonly message: RegExp;
}[] = [
  {
    name: 'another version',
    applied: { ...config({}), apiVersion: 'v2' },
    status: 400,
    message: /invalid object type: \/v2, Kind=ConfigMap/,
  },
  { name: 'managedFields', applied: config({}, { managedFields: [] }), status: 400, message: /must be nil/ },
  {
    name: 'an unknown field',
    applied: config({ dat: {} }),
    status: 500,
    message: /\(\/c; \/v1, Kind=ConfigMap\): \.dat: field not declared in schema/,
  },
  { name: 'a scalar for a map', applied: config({ data: 'x' }), status: 500, message: /\.data: expected map/ },
  {
    name: 'a duplicate',
    applied: config({}, { finalizers: ['x.io/a', 'x.io/a'] }),
    status: 500,
    message: /duplicate entries for key \[="x.io\/a"\]/,
  },
];

for (const { name, applied, status, message } of refused) {
  test(`refused with ${status}: ${name}`, () =>
    assert.throws(
      () => apply(undefined, applied, 'm1'),
      (error) => error instanceof PatchError && error.status === status && message.test(error.message),
    ));
}

test('a kind that is not built in has no schema without its definition', () => {
  assert.throws(() => fieldSchemaOf({ kind: 'Nope' }), /not a built-in kind/);
});

test('whoever applies owns what is there, and applying twice is applying once', () => {
  const map = fc.dictionary(fc.constantFrom('a', 'b', 'c'), fc.constantFrom('1', '2'), {
    minKeys: 1,
    noNullPrototype: true,
  });
  const steps = fc.array(fc.record({ manager: fc.constantFrom('m1', 'm2'), data: map }), {
    minLength: 1,
    maxLength: 6,
  });
  fc.assert(
    fc.property(steps, (history) => {
      let live: object | undefined;
      for (const step of history) {
        live = apply(live, config({ data: step.data }), step.manager, { force: true });
        for (const [key, value] of Object.entries(step.data)) {
          assert.equal((data(live) as Record<string, string>)[key], value);
          assert.ok(JSON.stringify(owned(live)[`${step.manager} Apply`]).includes(`f:${key}`));
        }
        const again = apply(live, config({ data: step.data }), step.manager, { force: true });
        assert.deepEqual(compact(again), compact(live));
        assert.deepEqual(owned(again), owned(live));
      }
    }),
  );
});
