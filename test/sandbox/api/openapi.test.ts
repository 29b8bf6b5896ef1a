import assert from 'node:assert/strict';
import { test } from 'node:test';
import { refsOf } from '../../../src/sandbox/api/kinds.ts';
import { openApiDocument, openApiIndex } from '../../../src/sandbox/api/openapi.ts';
import { things } from './things.ts';

interface Document {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: { readonly schemas: Readonly<Record<string, Schema>> };
}
interface Operation {
  readonly parameters?: readonly { readonly name: string; readonly in: string }[];
  readonly requestBody?: { readonly content: object };
  readonly 'x-kubernetes-group-version-kind': object;
}
interface Schema {
  readonly description?: string;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly 'x-kubernetes-group-version-kind'?: readonly object[];
}

const document = (...args: Parameters<typeof openApiDocument>): Document => openApiDocument(...args) as Document;

test('the index leads to a document for each version', () => {
  assert.deepEqual(
    openApiIndex([
      { group: '', version: 'v1' },
      { group: 'apps', version: 'v1', hash: 'A1' },
    ]),
    {
      paths: {
        'api/v1': { serverRelativeURL: '/openapi/v3/api/v1' },
        'apis/apps/v1': { serverRelativeURL: '/openapi/v3/apis/apps/v1?hash=A1' },
      },
    },
  );
});

test('a version without kinds has no document, an unknown kind no schema', () => {
  assert.equal(openApiDocument('apps', 'v1', []), undefined);
  assert.throws(
    () => openApiDocument('', 'v1', [{ kind: 'Nope', plural: 'nopes', namespaced: true }]),
    /not a built-in kind/,
  );
});

test('a built-in kind: paths, patches and every schema that it refers to', () => {
  const { paths, components } = document('', 'v1', [
    { kind: 'Service', plural: 'services', namespaced: true, subresources: ['status'] },
    { kind: 'Node', plural: 'nodes', namespaced: false, verbs: ['get', 'patch'] },
  ]);
  assert.deepEqual(Object.keys(paths), [
    '/api/v1/namespaces/{namespace}/services',
    '/api/v1/namespaces/{namespace}/services/{name}',
    '/api/v1/namespaces/{namespace}/services/{name}/status',
    '/api/v1/services',
    '/api/v1/nodes/{name}',
  ]);
  const patch = paths['/api/v1/namespaces/{namespace}/services/{name}']?.['patch'];
  assert.ok('application/strategic-merge-patch+json' in (patch?.requestBody?.content ?? {}));
  assert.deepEqual(patch?.['x-kubernetes-group-version-kind'], { group: '', version: 'v1', kind: 'Service' });
  assert.deepEqual(
    patch?.parameters?.map(({ name }) => name),
    ['dryRun', 'fieldManager', 'fieldValidation', 'force'],
  );
  const known = new Set(Object.keys(components.schemas));
  assert.deepEqual(
    refsOf(components).filter((name) => !known.has(name)),
    [],
  );
  assert.deepEqual(
    refsOf(paths).filter((name) => !known.has(name)),
    [],
  );
  const service = components.schemas['io.k8s.api.core.v1.Service'];
  assert.deepEqual(service?.['x-kubernetes-group-version-kind'], [{ group: '', kind: 'Service', version: 'v1' }]);
  assert.match(
    components.schemas['io.k8s.api.core.v1.ServiceSpec']?.properties?.['ports']?.description ?? '',
    /offers/,
  );
});

test('a custom kind: its schema with the fields of every object, and merge patches', () => {
  const crdSchema = things.spec.versions[0]?.schema.openAPIV3Schema as object;
  const { paths, components } = document('x.io', 'v1', [
    { kind: 'Thing', plural: 'things', namespaced: true, crdSchema },
  ]);
  const patch = paths['/apis/x.io/v1/namespaces/{namespace}/things/{name}']?.['patch'];
  assert.deepEqual(Object.keys(patch?.requestBody?.content ?? {}), [
    'application/apply-patch+yaml',
    'application/json-patch+json',
    'application/merge-patch+json',
  ]);
  const thing = components.schemas['io.x.v1.Thing'];
  assert.deepEqual(Object.keys(thing?.properties ?? {}).sort(), ['apiVersion', 'kind', 'metadata', 'spec', 'status']);
  assert.deepEqual(thing?.properties?.['spec']?.properties?.['emb']?.required, ['apiVersion', 'kind']);
  assert.ok('io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta' in components.schemas);
});
