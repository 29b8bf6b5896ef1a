/** Structural schemas: what a real kube-apiserver makes of a custom resource, and what it says against it. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { schemaOfKind } from '../../../src/sandbox/api/kinds.ts';
import { applyDefaults, checkSchema, type Problem, prune, unknownFields } from '../../../src/sandbox/api/schema.ts';
import { schemaFaults } from '../../../src/sandbox/api/schema-faults.ts';
import { type Answer, ask } from '../../kube/ask.ts';
import { howToGetKube } from '../../kube/build.ts';
import { findRealApi } from '../../kube/cluster.ts';
import { stored, whenServed } from './json.ts';
import { cases, things } from './things.ts';

const api = await findRealApi({ after });
const skip = api === undefined ? `no kube-apiserver: ${howToGetKube}` : false;
const schema = things.spec.versions[0]?.schema.openAPIV3Schema as object;
const collection = '/apis/x.io/v1/namespaces/default/things';

async function send(method: string, path: string, body?: object): Promise<Answer> {
  if (api === undefined) throw new Error('no kube-apiserver');
  return ask(api, method, path, body);
}

interface Status {
  readonly details?: { readonly causes?: readonly Problem[] };
}

const sorted = (problems: readonly Problem[]) =>
  problems.map(({ field, reason, message }) => `${field} ${reason} ${message}`).sort();

function compare(answer: Answer, object: object, old?: object): 'good' | 'bad' {
  const whole = applyDefaults(prune(object, schema), schema) as object;
  const mine = checkSchema(whole, schema, old);
  const { causes } = (answer.json as Status).details ?? {};
  assert.deepEqual(sorted(mine), sorted(causes ?? []), `${JSON.stringify(object)}: ${answer.text}`);
  if (mine.length > 0) return 'bad';
  assert.ok(answer.status < 300, answer.text);
  assert.deepEqual((whole as { spec: unknown }).spec, (answer.json as { spec: unknown }).spec);
  return 'good';
}

if (api !== undefined) {
  const made = await send('POST', '/apis/apiextensions.k8s.io/v1/customresourcedefinitions', things);
  assert.equal(made.status, 201, made.text);
  await whenServed((path) => send('GET', path), collection);
}

const thing = (spec: unknown) => ({ apiVersion: 'x.io/v1', kind: 'Thing', metadata: { name: 't' }, spec });

// What the server says is kept for machines that have none: schema.test.ts.
const golden: { readonly spec: unknown; readonly causes?: readonly string[]; readonly stored?: unknown }[] = [];
for (const spec of cases) {
  test(`created with ${JSON.stringify(spec)}`, { skip }, async () => {
    const object = thing(spec);
    const answer = await send('POST', `${collection}?dryRun=All`, object);
    compare(answer, object);
    const { causes } = (answer.json as Status).details ?? {};
    golden.push(
      causes === undefined
        ? { spec, stored: (answer.json as { spec: unknown }).spec }
        : { spec, causes: sorted(causes) },
    );
  });
}
after(() => {
  if (process.env['UPDATE_GOLDEN'] !== '1' || golden.length === 0) return;
  const lines = golden.map((one) => JSON.stringify(one)).join(',\n');
  writeFileSync(new URL('golden/schema.json', import.meta.url), `[\n${lines}\n]\n`);
});

test('combinations of good and bad values are judged alike', { skip }, async () => {
  const parts = fc.uniqueArray(fc.constantFrom(...cases.filter((one) => typeof one === 'object' && one !== null)), {
    minLength: 1,
    maxLength: 4,
  });
  const count = { good: 0, bad: 0 };
  await fc.assert(
    fc.asyncProperty(parts, async (all) => {
      const object = thing(Object.assign({}, ...all));
      count[compare(await send('POST', `${collection}?dryRun=All`, object), object)]++;
    }),
    { numRuns: 150 },
  );
  assert.ok(count.bad > 20, JSON.stringify(count));
});

test('updates: what did not change is forgiven, transition rules compare', { skip }, async (t) => {
  const updates: readonly { readonly name: string; readonly old: object; readonly next: object }[] = [
    { name: 'an immutable value changes', old: { imm: 'a' }, next: { imm: 'b' } },
    { name: 'an immutable value stays', old: { imm: 'a' }, next: { imm: 'a' } },
    { name: 'an immutable value appears', old: {}, next: { imm: 'b' } },
    { name: 'an immutable value goes', old: { imm: 'a' }, next: {} },
    { name: 'a bad value appears', old: {}, next: { cel: 1 } },
  ];
  for (const { name, old, next } of updates) {
    await t.test(name, async () => {
      const path = `${collection}/u`;
      await send('DELETE', path);
      const created = await send('POST', collection, { ...thing({ must: 'a', ...old }), metadata: { name: 'u' } });
      assert.equal(created.status, 201, created.text);
      const { metadata } = created.json as { metadata: object };
      const object = { ...thing({ must: 'a', ...next }), metadata };
      compare(await send('PUT', `${path}?dryRun=All`, object), object, created.json as object);
    });
  }
});

test('a value that a stricter schema refuses stays until it changes', { skip }, async (t) => {
  const path = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions/loose.y.io';
  const crd = (loose: boolean) => ({
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: 'loose.y.io' },
    spec: {
      group: 'y.io',
      scope: 'Cluster',
      names: { plural: 'loose', kind: 'Loose' },
      versions: [{ name: 'v1', served: true, storage: true, schema: { openAPIV3Schema: ratcheted(loose) } }],
    },
  });
  await send('POST', '/apis/apiextensions.k8s.io/v1/customresourcedefinitions', crd(true));
  await whenServed((where) => send('GET', where), '/apis/y.io/v1/loose');
  const old = {
    apiVersion: 'y.io/v1',
    kind: 'Loose',
    metadata: { name: 'l' },
    spec: { text: 'long', other: 1, list: [{ name: 'a', size: 9 }], plain: [9], number: 9 },
  };
  const created = await send('POST', '/apis/y.io/v1/loose', old);
  assert.equal(created.status, 201, created.text);
  const { metadata } = (await send('GET', path)).json as { metadata: { resourceVersion: string } };
  const strict = await send('PUT', path, {
    ...crd(false),
    metadata: { name: 'loose.y.io', resourceVersion: metadata.resourceVersion },
  });
  assert.equal(strict.status, 200, strict.text);
  const bad = { ...old, metadata: { name: 'm' } };
  // The new schema is served a moment later.
  await whenServed(async () => {
    const answer = await send('POST', '/apis/y.io/v1/loose?dryRun=All', bad);
    return { status: answer.status === 422 ? 200 : answer.status };
  }, 'the strict schema');
  const live = created.json as { metadata: object; spec: object };
  for (const change of [
    { other: 2 },
    { text: 'longer' },
    { list: [{ name: 'a', size: 9, more: 1 }] },
    { list: [{ name: 'b', size: 9 }] },
    {
      list: [
        { name: 'x', size: 1 },
        { name: 'a', size: 9 },
      ],
    },
    { plain: [9, 9] },
    { number: 8 },
  ]) {
    await t.test(JSON.stringify(change), async () => {
      const object = { ...live, spec: { ...live.spec, ...change } };
      const answer = await send('PUT', '/apis/y.io/v1/loose/l?dryRun=All', object);
      const mine = checkSchema(object, ratcheted(false), live);
      assert.deepEqual(sorted(mine), sorted((answer.json as Status).details?.causes ?? []), answer.text);
    });
  }
});

function ratcheted(loose: boolean): object {
  const integer = { type: 'integer', ...(loose ? {} : { maximum: 5 }) };
  return {
    type: 'object',
    properties: {
      spec: {
        type: 'object',
        properties: {
          text: { type: 'string', ...(loose ? {} : { maxLength: 2 }) },
          other: { type: 'integer' },
          number: { type: 'integer', ...(loose ? {} : { 'x-kubernetes-validations': [{ rule: 'self < 5' }] }) },
          plain: { type: 'array', items: integer },
          list: {
            type: 'array',
            'x-kubernetes-list-type': 'map',
            'x-kubernetes-list-map-keys': ['name'],
            items: {
              type: 'object',
              required: ['name'],
              properties: { name: { type: 'string' }, size: integer, more: { type: 'integer' } },
            },
          },
        },
      },
    },
  };
}

const inSpec = (property: object) => ({
  type: 'object',
  properties: { spec: { type: 'object', properties: { x: property } } },
});
const ruled = (rule: string, type: object = { type: 'string', maxLength: 10 }) =>
  inSpec({ ...type, 'x-kubernetes-validations': [{ rule }] });

const definitions: readonly { readonly name: string; readonly schema: object }[] = [
  { name: 'good', schema: inSpec({ type: 'string' }) },
  { name: 'root that is no object', schema: { type: 'string' } },
  { name: 'root without type', schema: { properties: {} } },
  { name: 'field without type', schema: inSpec({ description: 'x' }) },
  { name: 'int or string without type', schema: inSpec({ 'x-kubernetes-int-or-string': true }) },
  { name: 'list without items', schema: inSpec({ type: 'array' }) },
  { name: 'items without type', schema: inSpec({ type: 'array', items: {} }) },
  {
    name: 'properties and additionalProperties',
    schema: inSpec({ type: 'object', properties: { a: { type: 'string' } }, additionalProperties: { type: 'string' } }),
  },
  { name: 'additionalProperties false', schema: inSpec({ type: 'object', additionalProperties: false }) },
  { name: 'type in anyOf', schema: inSpec({ type: 'string', anyOf: [{ type: 'string' }, { pattern: 'x' }] }) },
  { name: 'description in allOf', schema: inSpec({ type: 'string', allOf: [{ description: 'x' }] }) },
  {
    name: 'unknown property in oneOf',
    schema: inSpec({ type: 'object', oneOf: [{ properties: { a: { pattern: 'x' } } }] }),
  },
  { name: 'uniqueItems', schema: inSpec({ type: 'array', uniqueItems: true, items: { type: 'string' } }) },
  {
    name: 'list-type map without keys',
    schema: inSpec({
      type: 'array',
      'x-kubernetes-list-type': 'map',
      items: { type: 'object', properties: { a: { type: 'string' } } },
    }),
  },
  {
    name: 'list-type map with an unknown key',
    schema: inSpec({
      type: 'array',
      'x-kubernetes-list-type': 'map',
      'x-kubernetes-list-map-keys': ['b'],
      items: { type: 'object', properties: { a: { type: 'string' } } },
    }),
  },
  {
    name: 'list-type map with an optional key',
    schema: inSpec({
      type: 'array',
      'x-kubernetes-list-type': 'map',
      'x-kubernetes-list-map-keys': ['a'],
      items: { type: 'object', properties: { a: { type: 'string' } } },
    }),
  },
  {
    name: 'list-type map of scalars',
    schema: inSpec({
      type: 'array',
      'x-kubernetes-list-type': 'map',
      'x-kubernetes-list-map-keys': ['a'],
      items: { type: 'string' },
    }),
  },
  {
    name: 'list-type set of granular maps',
    schema: inSpec({
      type: 'array',
      'x-kubernetes-list-type': 'set',
      items: { type: 'object', properties: { a: { type: 'string' } } },
    }),
  },
  { name: 'list-type on a string', schema: inSpec({ type: 'string', 'x-kubernetes-list-type': 'set' }) },
  { name: 'map-type on a string', schema: inSpec({ type: 'string', 'x-kubernetes-map-type': 'atomic' }) },
  {
    name: 'embedded resource that is no object',
    schema: inSpec({ type: 'string', 'x-kubernetes-embedded-resource': true }),
  },
  {
    name: 'embedded resource without fields',
    schema: inSpec({ type: 'object', 'x-kubernetes-embedded-resource': true }),
  },
  { name: 'default of another type', schema: inSpec({ type: 'string', default: 5 }) },
  {
    name: 'default that would be pruned',
    schema: inSpec({ type: 'object', properties: { a: { type: 'string' } }, default: { b: 1 } }),
  },
  { name: 'bad pattern', schema: inSpec({ type: 'string', pattern: '(' }) },
  { name: 'pattern with look-ahead', schema: inSpec({ type: 'string', pattern: 'a(?=b)' }) },
  { name: 'rule with a syntax error', schema: ruled('self ==') },
  { name: 'rule with another type', schema: ruled('self > 5') },
  { name: 'rule that is no bool', schema: ruled('self') },
  {
    name: 'rule with an unknown field',
    schema: ruled('self.b == 1', { type: 'object', properties: { a: { type: 'integer' } } }),
  },
  {
    name: 'rule that asks for an unknown field',
    schema: ruled('has(self.b)', { type: 'object', properties: { a: { type: 'integer' } } }),
  },
  { name: 'rule with an unknown function', schema: ruled('self.nope()') },
  { name: 'rule with an unknown variable', schema: ruled('other == self') },
  { name: 'empty rule', schema: ruled('  ') },
  {
    name: 'rule without access to open data',
    schema: ruled('self.a == 1', { type: 'object', 'x-kubernetes-preserve-unknown-fields': true }),
  },
  {
    name: 'oldSelf where nothing can be found again',
    schema: inSpec({
      type: 'array',
      items: { type: 'string', maxLength: 5, 'x-kubernetes-validations': [{ rule: 'self == oldSelf' }] },
      maxItems: 5,
    }),
  },
  {
    name: 'messageExpression that is no string',
    schema: inSpec({ type: 'integer', 'x-kubernetes-validations': [{ rule: 'self > 1', messageExpression: '5' }] }),
  },
  {
    name: 'message with a line break',
    schema: inSpec({ type: 'integer', 'x-kubernetes-validations': [{ rule: 'self > 1', message: 'a\nb' }] }),
  },
  {
    name: 'unknown reason',
    schema: inSpec({ type: 'integer', 'x-kubernetes-validations': [{ rule: 'self > 1', reason: 'Nope' }] }),
  },
];

for (const { name, schema: definition } of definitions) {
  test(`a definition: ${name}`, { skip }, async () => {
    const answer = await send('POST', '/apis/apiextensions.k8s.io/v1/customresourcedefinitions?dryRun=All', {
      apiVersion: 'apiextensions.k8s.io/v1',
      kind: 'CustomResourceDefinition',
      metadata: { name: 'defs.z.io' },
      spec: {
        group: 'z.io',
        scope: 'Cluster',
        names: { plural: 'defs', kind: 'Def' },
        versions: [{ name: 'v1', served: true, storage: true, schema: { openAPIV3Schema: definition } }],
      },
    });
    const mine = schemaFaults(definition, 'spec.validation.openAPIV3Schema');
    const theirs = (answer.json as Status).details?.causes ?? [];
    assert.equal(mine.length > 0, answer.status === 422, `${JSON.stringify(mine)}\n${answer.text}`);
    // Where, not in which words: those of CEL's compiler are its own.
    assert.ok(
      mine.every(({ field }) => theirs.some((cause) => cause.field === field)),
      `${JSON.stringify(mine)}\n${answer.text}`,
    );
  });
}

test('rules are evaluated alike', { skip }, async (t) => {
  const types = {
    type: 'object',
    properties: {
      i: { type: 'integer' },
      n: { type: 'number' },
      s: { type: 'string', maxLength: 20 },
      b: { type: 'boolean' },
      l: { type: 'array', maxItems: 5, items: { type: 'integer' } },
      t: { type: 'array', maxItems: 5, items: { type: 'string', maxLength: 20 } },
      o: {
        type: 'object',
        properties: { a: { type: 'integer' }, 'x-y': { type: 'string', maxLength: 5 }, in: { type: 'integer' } },
      },
      os: {
        type: 'array',
        maxItems: 5,
        items: { type: 'object', properties: { name: { type: 'string', maxLength: 20 }, v: { type: 'integer' } } },
      },
      m: { type: 'object', maxProperties: 5, additionalProperties: { type: 'integer' } },
      ios: { 'x-kubernetes-int-or-string': true, maxLength: 10 },
      d: { type: 'string', format: 'duration' },
      dt: { type: 'string', format: 'date-time' },
      nul: { type: 'string', nullable: true, maxLength: 5 },
    },
  };
  const rules = [
    'self.i > 3 && self.i <= 10',
    'self.i + 1 == 6 || self.i % 2 == 0',
    '-self.i < 0 && self.i * 2 == 10 && self.i / 2 == 2',
    'self.n > 1.0',
    'self.n * 2.0 == 5.0',
    "self.s.startsWith('a') && self.s.endsWith('c') && self.s.contains('b')",
    "self.s.matches('^[a-c]+$')",
    'size(self.s) == 3 && self.s.size() == 3',
    "self.s + 'd' == 'abcd'",
    "self.s in ['abc', 'x']",
    '!self.b || self.i > 3',
    'self.b ? self.i == 5 : self.i == 6',
    'self.l.all(x, x > 0)',
    'self.l.exists(x, x == 2)',
    'self.l.exists_one(x, x == 2)',
    'self.l.map(x, x * 2) == [2, 4, 6]',
    'self.l.filter(x, x > 1).size() == 2',
    'self.l[0] == 1',
    'self.l[9] == 1',
    '2 in self.l',
    'self.l.sum() == 6 && self.l.min() == 1 && self.l.max() == 3 && self.l.isSorted()',
    'self.l.indexOf(2) == 1',
    "self.t.join(',') == 'a,b'",
    'has(self.o.a) && self.o.a == 1',
    "self.o.x__dash__y == 'q'",
    'self.o.__in__ == 7',
    'self.os.all(o, has(o.v) ? o.v > 0 : true)',
    "self.os.exists(o, o.name == 'b' && !has(o.v))",
    'self.os[1].v == 1',
    "'k' in self.m && self.m['k'] == 1",
    'self.m.all(k, self.m[k] > 0)',
    'self.m.size() == 1',
    'type(self.ios) == int ? self.ios > 1 : self.ios.size() > 1',
    "self.d > duration('1m')",
    'self.d.getSeconds() == 90',
    "self.dt < timestamp('2030-01-01T00:00:00Z')",
    'self.dt.getFullYear() == 2020',
    '!has(self.nul)',
    "self.s.replace('a', 'x') == 'xbc'",
    "self.s.indexOf('b') == 1 && self.s.substring(1) == 'bc' && self.s.upperAscii() == 'ABC'",
    "self.s.split('b') == ['a', 'c']",
    "self.s.find('[bc]+') == 'bc' && self.s.findAll('[bc]') == ['b', 'c']",
    "isIP('10.0.0.1') && !isIP('10.0.0') && ip('10.0.0.1').family() == 4",
    "isCIDR('10.0.0.0/8') && cidr('10.0.0.0/8').containsIP('10.1.2.3') && cidr('10.0.0.0/8').prefixLength() == 8",
    "cidr('10.1.2.3/8').masked() == cidr('10.0.0.0/8') && cidr('10.0.0.0/8').containsCIDR('10.1.0.0/16')",
    "string(self.i) == '5' && int('5') == self.i && double(self.i) == 5.0",
    'self.i == 5 && (self.l.size() > 9 || self.b)',
    'self.o == self.o',
    "self.?zz.orValue('x') == 'x'",
    "self.?s.orValue('x') == 'abc'",
    'self.?o.a.orValue(3) == 1 && self.?o.?a.hasValue() && !self.?nul.hasValue()',
    'self.?o.?zz.hasValue()',
    'self.os.all(o, o.?v.orValue(1) == 1)',
    'self.os.all(o, o.?w.orValue(1) == 1)',
    'cel.bind(x, self.i, x + x == 10)',
    'self.i / 0 == 1',
    "dyn(self.i) == 'x'",
    '9223372036854775807 + self.i > 0',
  ];
  const value = {
    i: 5,
    n: 2.5,
    s: 'abc',
    b: true,
    l: [1, 2, 3],
    t: ['a', 'b'],
    o: { a: 1, 'x-y': 'q', in: 7 },
    os: [{ name: 'a', v: 1 }, { name: 'b' }],
    m: { k: 1 },
    ios: 'ab',
    d: '90s',
    dt: '2020-01-01T00:00:00Z',
    nul: null,
  };
  const definition = (validations: readonly object[]) => ({
    type: 'object',
    properties: { spec: { ...types, 'x-kubernetes-validations': validations } },
  });
  const crd = (openAPIV3Schema: object) => ({
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: 'rules.c.io' },
    spec: {
      group: 'c.io',
      scope: 'Cluster',
      names: { plural: 'rules', kind: 'Rule' },
      versions: [{ name: 'v1', served: true, storage: true, schema: { openAPIV3Schema } }],
    },
  });
  const path = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions';
  const good: { readonly rule: string; readonly message: string }[] = [];
  for (const rule of rules) {
    await t.test(`compiled alike: ${rule}`, async () => {
      const made = await send('POST', `${path}?dryRun=All`, crd(definition([{ rule }])));
      const faults = schemaFaults(definition([{ rule }]), '');
      assert.equal(faults.length === 0, made.status === 201, `${JSON.stringify(faults)}\n${made.text}`);
      if (made.status === 201) good.push({ rule, message: rule });
    });
  }
  const all = definition(good);
  const made = await send('POST', path, crd(all));
  assert.equal(made.status, 201, made.text);
  await whenServed((where) => send('GET', where), '/apis/c.io/v1/rules');
  const object = { apiVersion: 'c.io/v1', kind: 'Rule', metadata: { name: 'o' }, spec: value };
  const answer = await send('POST', '/apis/c.io/v1/rules?dryRun=All', object);
  const theirs = (answer.json as Status).details?.causes ?? [];
  const mine = checkSchema(applyDefaults(prune(object, all), all), all);
  for (const { rule } of good) {
    await t.test(`evaluated alike: ${rule}`, () => {
      const [ours, real] = [mine, theirs].map((list) => list.filter(({ message }) => message.endsWith(rule)));
      // The words for what went wrong are the library's.
      const shape = (list: readonly Problem[] = []) => list.map(({ message }) => message.includes('evaluating rule'));
      assert.deepEqual(shape(ours), shape(real), `${JSON.stringify(ours)} ${JSON.stringify(real)}`);
    });
  }
  assert.ok(good.length > 40 && theirs.length >= 5, answer.text);
});

test('unknown fields of built-in kinds and custom resources are found alike', { skip }, async () => {
  const objects: readonly { readonly path: string; readonly schema: object; readonly object: object }[] = [
    {
      path: '/api/v1/namespaces/default/services',
      schema: schemaOfKind('Service') as object,
      object: {
        metadata: { name: 'u', labels: { a: 'b' }, nope: 1 },
        spec: { foo: { a: 1 }, ports: [{ port: 1, bar: 2, targetPort: 'x' }] },
        baz: 1,
      },
    },
    {
      path: collection,
      schema,
      object: {
        ...thing({ must: 'a', zzz: 1, nested: { q: 1 }, lmap: [{ name: 'a', w: 1 }], any2: { x: 1 } }),
        more: 1,
      },
    },
  ];
  for (const { path, schema: known, object } of objects) {
    const answer = await send('POST', `${path}?dryRun=All&fieldValidation=Strict`, object);
    const { message } = answer.json as { message: string };
    const fields = [...message.matchAll(/unknown field "([^"]+)"/g)].map(([, field]) => field).sort();
    assert.deepEqual(unknownFields(object, known), fields, message);
    const lax = await send('POST', `${path}?dryRun=All&fieldValidation=Ignore`, object);
    assert.deepEqual(unknownFields(lax.json, known), [], lax.text);
    assert.ok(stored(prune(object, known)));
  }
});
