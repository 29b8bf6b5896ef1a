import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import fc from 'fast-check';
import { durationMs, hasFormat } from '../../../src/sandbox/api/formats.ts';
import { schemaOfKind } from '../../../src/sandbox/api/kinds.ts';
import { patternOf } from '../../../src/sandbox/api/pattern.ts';
import { applyDefaults, checkSchema, prune, unknownFields } from '../../../src/sandbox/api/schema.ts';
import { schemaFaults } from '../../../src/sandbox/api/schema-faults.ts';
import { frozen, json } from './json.ts';
import { things } from './things.ts';

const schema = frozen(things.spec.versions[0]?.schema.openAPIV3Schema as object);
const thing = (spec: unknown): object => ({ apiVersion: 'x.io/v1', kind: 'Thing', metadata: { name: 't' }, spec });

/** Written by kube-schema.test.ts with UPDATE_GOLDEN=1: a spec, and what kube-apiserver said or stored. */
const golden = JSON.parse(readFileSync(new URL('golden/schema.json', import.meta.url), 'utf8')) as readonly {
  readonly spec: unknown;
  readonly causes?: readonly string[];
  readonly stored?: unknown;
}[];

for (const { spec, causes = [], stored } of golden) {
  test(`as kube-apiserver: ${JSON.stringify(spec)}`, () => {
    const whole = applyDefaults(prune(frozen(thing(spec)), schema), schema);
    const problems = checkSchema(whole, schema).map(({ field, reason, message }) => `${field} ${reason} ${message}`);
    assert.deepEqual(problems.sort(), causes);
    if (stored !== undefined) assert.deepEqual((whole as { spec: unknown }).spec, stored);
  });
}

const property = (spec: object): object => ({
  type: 'object',
  properties: { spec: { type: 'object', properties: { x: spec } } },
});
const problemsOf = (value: unknown, spec: object, old?: unknown): readonly string[] =>
  checkSchema({ spec: { x: value } }, property(spec), old === undefined ? undefined : { spec: { x: old } }).map(
    ({ field, message }) => `${field}: ${message}`,
  );

test("MetalLB's rules", () => {
  const connect = {
    type: 'string',
    'x-kubernetes-validations': [
      { message: 'range', rule: 'duration(self).getSeconds() >= 1 && duration(self).getSeconds() <= 65535' },
      { message: 'whole', rule: 'duration(self).getMilliseconds() % 1000 == 0' },
    ],
  };
  assert.deepEqual(schemaFaults(property(connect), ''), []);
  assert.deepEqual(problemsOf('5s', connect), []);
  assert.deepEqual(problemsOf('500ms', connect), [
    'spec.x: Invalid value: "500ms": range',
    'spec.x: Invalid value: "500ms": whole',
  ]);
  assert.deepEqual(problemsOf('20h', connect), ['spec.x: Invalid value: "20h": range']);

  const advertisement = {
    type: 'object',
    properties: {
      aggregationLength: { type: 'integer', format: 'int32', default: 32 },
      aggregationLengthV6: { type: 'integer', format: 'int32', default: 128 },
      serviceSelectors: { type: 'array', items: { type: 'object', properties: { a: { type: 'string' } } } },
    },
    'x-kubernetes-validations': [
      {
        message: 'exclusive',
        rule: '!has(self.serviceSelectors) || self.serviceSelectors.size() == 0 || ((!has(self.aggregationLength) || self.aggregationLength == 32) && (!has(self.aggregationLengthV6) || self.aggregationLengthV6 == 128))',
      },
    ],
  };
  assert.deepEqual(schemaFaults(property(advertisement), ''), []);
  assert.deepEqual(problemsOf({ aggregationLength: 24 }, advertisement), []);
  assert.deepEqual(problemsOf({ aggregationLength: 32, serviceSelectors: [{}] }, advertisement), []);
  assert.deepEqual(problemsOf({ aggregationLength: 24, serviceSelectors: [{}] }, advertisement), [
    'spec.x: Invalid value: exclusive',
  ]);
});

const immutable = { type: 'string', 'x-kubernetes-validations': [{ rule: 'self == oldSelf', message: 'immutable' }] };
const transitions: readonly (readonly [name: string, old: unknown, now: unknown, problems: number])[] = [
  ['stays', 'a', 'a', 0],
  ['changes', 'a', 'b', 1],
  ['is new', undefined, 'b', 0],
];

for (const [name, old, now, problems] of transitions) {
  test(`a transition rule: the value ${name}`, () => assert.equal(problemsOf(now, immutable, old).length, problems));
}

test('a transition rule that takes the old value as an option runs on creation too', () => {
  const rule = { rule: "oldSelf.hasValue() || self == 'first'", optionalOldSelf: true };
  const spec = { type: 'string', 'x-kubernetes-validations': [rule] };
  assert.deepEqual(schemaFaults(property(spec), ''), []);
  assert.deepEqual(problemsOf('first', spec), []);
  assert.equal(problemsOf('second', spec).length, 1);
  assert.deepEqual(problemsOf('second', spec, 'first'), []);
});

test('an unchanged value that breaks a rule or a limit is forgiven, a changed one is not', () => {
  const limit = { type: 'integer', maximum: 5, 'x-kubernetes-validations': [{ rule: 'self < 5' }] };
  assert.deepEqual(problemsOf(9, limit, 9), []);
  assert.equal(problemsOf(8, limit, 9).length, 2);
});

test('a rule that cannot be evaluated is refused with the definition, and throws where it slipped through', () => {
  const spec = {
    type: 'string',
    'x-kubernetes-validations': [{ rule: "quantity(self).isGreaterThan(quantity('1'))" }],
  };
  const [fault, ...more] = schemaFaults(property(spec), 'schema');
  assert.deepEqual(more, []);
  assert.equal(fault?.field, 'schema.properties[spec].properties[x].x-kubernetes-validations[0].rule');
  assert.match(fault?.message ?? '', /compilation failed/);
  assert.throws(() => problemsOf('1', spec), /x-kubernetes-validations/);
});

test("our things' schema is structural", () => assert.deepEqual(schemaFaults(schema, ''), []));

test('pruning leaves what the schema knows and is done after once', () => {
  const object = thing({ must: 'a', zzz: 1, nested: { d: 1, q: 1 }, any2: { a: [1] }, lmap: [{ name: 'a', w: 1 }] });
  const whole = { ...object, more: 1, metadata: { name: 't', labels: { a: 'b' }, what: 1 } };
  const kept = prune(frozen(whole), schema);
  assert.deepEqual(kept, {
    ...thing({ must: 'a', nested: { d: 1 }, any2: { a: [1] }, lmap: [{ name: 'a' }] }),
    metadata: { name: 't', labels: { a: 'b' } },
  });
  assert.equal(prune(kept, schema), kept);
  assert.deepEqual(unknownFields(whole, schema), [
    'metadata.what',
    'more',
    'spec.lmap[0].w',
    'spec.nested.q',
    'spec.zzz',
  ]);
});

test('pruning a built-in kind', () => {
  const service = schemaOfKind('Service') as object;
  const object = {
    metadata: { name: 's', managedFields: [{ manager: 'm', fieldsV1: { 'f:spec': {} } }] },
    spec: { ports: [{ port: 80, targetPort: 'x', foo: 1 }], bar: 1 },
  };
  assert.deepEqual(unknownFields(object, service), ['spec.bar', 'spec.ports[0].foo']);
});

test('whatever is pruned and defaulted has no unknown fields, and defaults come once', () => {
  fc.assert(
    fc.property(json(), (spec) => {
      const whole = applyDefaults(prune(frozen(thing(spec)), schema), schema);
      assert.deepEqual(unknownFields(whole, schema), []);
      assert.equal(applyDefaults(whole, schema), whole);
    }),
  );
});

test('defaults: absent and forbidden nulls, not values, not what is inside an absent object without default', () => {
  const object = {
    type: 'object',
    properties: { a: { type: 'integer', default: 1 }, n: { type: 'string', nullable: true } },
  };
  const value = (x: unknown) =>
    (applyDefaults({ x }, { type: 'object', properties: { x: object } }) as { x: unknown }).x;
  assert.deepEqual(value({}), { a: 1 });
  assert.deepEqual(value({ a: null, n: null }), { a: 1, n: null });
  assert.deepEqual(value({ a: 0 }), { a: 0 });
  assert.deepEqual(applyDefaults({}, { type: 'object', properties: { x: object } }), {});
  assert.deepEqual(applyDefaults({ x: null }, { type: 'object', properties: { x: object } }), {});
});

const formats: readonly (readonly [format: string, good: readonly string[], bad: readonly string[]])[] = [
  ['ipv4', ['10.0.0.1'], ['10.0.0', 'fd00::1', '']],
  ['ipv6', ['fd00::1', '::'], ['10.0.0.1', 'fe80::1%eth0']],
  ['cidr', ['10.0.0.0/8', 'fd00::/8', '10.0.0.1/32'], ['10.0.0.0', '10.0.0.0/33', 'fd00::/129', '10.0.0.0/8/8']],
  ['date', ['2026-02-28'], ['2026-02-30', '26-01-01', 'x']],
  ['date-time', ['2026-01-01T00:00:00Z', '2026-01-01t00:00:00.5+01:00'], ['2026-01-01', '2026-01-01T24:00:00Z']],
  ['duration', ['1h30m', '5s', '0', '-1.5s', '5 minutes'], ['5', 'x', '']],
  ['uuid', ['123e4567-e89b-12d3-a456-426614174000'], ['123']],
  ['mac', ['00:11:22:aa:bb:cc', '0011.22aa.bbcc'], ['00:11:22', '00:11-22:aa:bb:cc']],
  ['hostname', ['a', 'a.bc', 'x-1.example'], ['-', 'a..bc', 'a.b', 'a_b']],
  ['byte', ['YQ==', ''], ['*', 'YQ=']],
  ['uri', ['http://a/b', '/a'], ['x', 'a b']],
  ['email', ['a@b.c'], ['x', '@']],
  ['k8s-short-name', ['a-b'], ['A', '-a', 'a.b', 'a'.repeat(64)]],
  ['k8s-long-name', ['a.b-c'], ['A', 'a..b']],
];

for (const [format, good, bad] of formats) {
  test(`format ${format}`, () => {
    for (const text of good) assert.equal(hasFormat(format, text), true, text);
    for (const text of bad) assert.equal(hasFormat(format, text), false, text);
  });
}

test('an unknown format checks nothing', () => assert.equal(hasFormat('nope', 'x'), undefined));

test('durations in ms', () => {
  assert.equal(durationMs('1h1m1s'), 3_661_000);
  assert.equal(durationMs('1.5s'), 1500);
  assert.equal(durationMs('250us'), 0.25);
  assert.equal(durationMs('2 days'), 172_800_000);
});

test("Go's patterns in JavaScript", () => {
  assert.ok(patternOf('(?i)^abc$').test('ABC'));
  assert.ok(patternOf('^[[:alpha:]_]+$').test('a_b'));
  assert.ok(patternOf('\\Aa\\z').test('a'));
  assert.ok(patternOf('^[\\w\\-\\.]+$').test('a-b.c'));
  assert.deepEqual({ ...patternOf('(?P<n>a)').exec('a')?.groups }, { n: 'a' });
  for (const bad of ['(', 'a(?=b)', '(a)\\1', '[[:nope:]]']) assert.throws(() => patternOf(bad), RangeError, bad);
});
