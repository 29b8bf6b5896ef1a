import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { test } from 'node:test';
import { parse } from 'yaml';
import { generatedFiles, ipBlockDefinition, structural } from '../../deploy/crds.ts';
import { metallbDefinitions } from '../../deploy/metallb.ts';
import { ipBlockSchema } from '../../providers/onprem/schema.ts';
import { ask, kubectl } from '../kube/ask.ts';
import { realApi } from '../kube/cluster.ts';

const root = join(import.meta.dirname, '..', '..');
const definitions = [ipBlockDefinition(), ...metallbDefinitions()];

test('the YAML files are what deploy/crds.ts generates now', () => {
  for (const [path, text] of generatedFiles()) {
    assert.equal(readFileSync(join(root, path), 'utf8'), text, `${path}: run "node deploy/crds.ts"`);
  }
});

test('every generated file is listed in the kustomization beside it, and no other definition lies there', () => {
  for (const folder of new Set([...generatedFiles().keys()].map(dirname))) {
    const { resources } = parse(readFileSync(join(root, folder, 'kustomization.yaml'), 'utf8')) as {
      resources: string[];
    };
    const generated = [...generatedFiles().keys()]
      .filter((path) => dirname(path) === folder)
      .map((path) => basename(path));
    const lying = readdirSync(join(root, folder)).filter((file) => /\..*\.yaml$/.test(file));
    assert.deepEqual(lying.sort(), generated.sort());
    assert.deepEqual(
      resources.filter((file) => file !== 'namespace.yaml'),
      generated,
    );
  }
});

for (const definition of definitions) {
  test(`${definition.metadata.name} has nothing that a structural schema forbids`, () => {
    for (const version of definition.spec.versions) assert.deepEqual(offences(version.schema.openAPIV3Schema), []);
  });
}

test('the search for forbidden things finds each of them', () => {
  const bad = {
    type: 'object',
    properties: {
      a: { type: 'object', properties: {}, additionalProperties: false },
      b: { anyOf: [{ type: 'string' }, { type: 'integer' }] },
      c: { type: 'object', additionalProperties: { type: 'string' }, propertyNames: { type: 'string' } },
      d: { type: 'array' },
      e: { description: 'no type' },
      f: { $ref: '#/x', type: 'string' },
      g: { type: 'integer', maximum: Number.MAX_SAFE_INTEGER },
      h: { type: 'string', nullable: true },
    },
  };
  assert.equal(offences(bad).length, 8);
});

test('what zod adds for JavaScript is taken out', () => {
  assert.deepEqual(
    structural({
      type: 'object',
      properties: {
        n: { type: 'integer', maximum: Number.MAX_SAFE_INTEGER, minimum: 1 },
        m: { type: 'object', propertyNames: { type: 'string' }, additionalProperties: { type: 'string' } },
      },
    }),
    {
      type: 'object',
      properties: {
        apiVersion: { type: 'string' },
        kind: { type: 'string' },
        metadata: { type: 'object' },
        n: { type: 'integer', minimum: 1 },
        m: { type: 'object', additionalProperties: { type: 'string' } },
      },
    },
  );
});

const block = {
  apiVersion: 'fairlead.dev/v1alpha1',
  kind: 'IPBlock',
  metadata: { name: '10.77.0.0-24' },
  spec: {
    cidr: '10.77.0.0/24',
    addresses: {
      '10.77.0.200': {
        pool: 'default',
        users: [{ namespace: 'web', name: 'shop', uid: 'u1', ports: ['TCP/80'], sharingKey: '', backendKey: '' }],
        retained: [{ namespace: 'web', name: 'shop', until: '2026-11-20T12:00:00Z' }],
      },
    },
  },
};

test('a real API server takes every definition and keeps blocks as they are written', async (t) => {
  const api = await realApi(t);
  if (api === undefined) return;

  await t.test('each is established and structural', async () => {
    for (const definition of definitions) {
      const path = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions';
      assert.equal((await ask(api, 'POST', path, definition)).status, 201, definition.metadata.name);
    }
    const names = definitions.map(({ metadata }) => `crd/${metadata.name}`);
    const ran = await kubectl(api, ['wait', '--for=condition=Established', '--timeout=30s', ...names]);
    assert.equal(ran.code, 0, ran.stderr);
    const list = await kubectl(api, ['get', 'crds', '-o', 'json']);
    const conditions = (JSON.parse(list.stdout) as CrdList).items.flatMap((item) => item.status.conditions);
    assert.deepEqual(
      conditions.filter(({ type }) => type === 'NonStructuralSchema'),
      [],
    );
  });

  const blocks = '/apis/fairlead.dev/v1alpha1/ipblocks';
  await t.test('a block comes back with every field', async () => {
    const made = await ask(api, 'POST', blocks, block);
    assert.equal(made.status, 201, made.text);
    const { spec } = (await ask(api, 'GET', `${blocks}/10.77.0.0-24`)).json as typeof block;
    assert.deepEqual(spec, block.spec);
    assert.deepEqual(ipBlockSchema.parse({ spec }), { spec: block.spec });
  });

  await t.test('a merge patch replaces one address and removes another', async () => {
    const now = (await ask(api, 'GET', `${blocks}/10.77.0.0-24`)).json as { metadata: { resourceVersion: string } };
    const { resourceVersion } = now.metadata;
    const body = {
      metadata: { resourceVersion },
      spec: { addresses: { '10.77.0.200': null, '10.77.0.7': { pool: 'b' } } },
    };
    const patched = await ask(api, 'PATCH', `${blocks}/10.77.0.0-24?fieldManager=fairlead`, body);
    assert.deepEqual((patched.json as typeof block).spec.addresses, { '10.77.0.7': { pool: 'b' } });
    const late = await ask(api, 'PATCH', `${blocks}/10.77.0.0-24?fieldManager=fairlead`, body);
    assert.equal(late.status, 409, 'a patch with an old resourceVersion must not be taken');
  });

  await t.test('a block keeps its cidr', async () => {
    const moved = await ask(api, 'PATCH', `${blocks}/10.77.0.0-24`, { spec: { cidr: '10.78.0.0/24' } });
    assert.equal(moved.status, 422);
    assert.match(moved.text, /a block keeps its cidr/);
  });

  const wrong: readonly [name: string, spec: unknown, says: RegExp][] = [
    ['without a cidr', { addresses: {} }, /spec\.cidr: Required/],
    ['without addresses', { cidr: '10.0.0.0/24' }, /spec\.addresses: Required/],
    [
      'with more addresses than a block has',
      {
        cidr: '10.0.0.0/24',
        addresses: Object.fromEntries(Array.from({ length: 257 }, (_, i) => [`a${i}`, { pool: 'a' }])),
      },
      /must have at most 256/,
    ],
  ];
  for (const [name, spec, says] of wrong) {
    await t.test(`a block ${name} is refused`, async () => {
      const answer = await ask(api, 'POST', blocks, { ...block, metadata: { name: '10.0.0.0-24' }, spec });
      assert.equal(answer.status, 422, answer.text);
      assert.match(answer.text, says);
    });
  }
});

interface CrdList {
  readonly items: readonly { readonly status: { readonly conditions: readonly { readonly type: string }[] } }[];
}

/** Everything in a schema that an API server refuses, or that only zod understands, as paths. */
function offences(schema: unknown, path = '$'): readonly string[] {
  if (typeof schema !== 'object' || schema === null) return [`${path}: not a schema`];
  const { properties, items, additionalProperties, type, ...rest } = schema as Record<string, unknown>;
  const here: string[] = [];
  const forbidden = ['$ref', '$schema', 'propertyNames', 'anyOf', 'oneOf', 'allOf', 'not', 'const', 'nullable'];
  for (const key of forbidden) if (key in rest) here.push(`${path}.${key}`);
  if (!('anyOf' in rest) && typeof type !== 'string') here.push(`${path}: no type`);
  if (type === 'array' && items === undefined) here.push(`${path}: an array without items`);
  if (rest['maximum'] === Number.MAX_SAFE_INTEGER) here.push(`${path}.maximum`);
  if (additionalProperties === false) here.push(`${path}.additionalProperties: false`);
  const below: (readonly [string, unknown])[] = Object.entries((properties ?? {}) as object);
  if (items !== undefined) below.push(['items', items]);
  if (typeof additionalProperties === 'object') below.push(['*', additionalProperties]);
  return [...here, ...below.flatMap(([key, value]) => offences(value, `${path}.${key}`))];
}
