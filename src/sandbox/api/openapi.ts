/** OpenAPI v3 documents: what `kubectl apply` needs to make its patches and `kubectl explain` to explain. */
import { described } from './descriptions.ts';
import { refsOf, type Schema, schemaNamed, schemaNameOf } from './kinds.ts';

/** A kind as it is served; what is left out is what all kinds have. */
export interface ServedKind {
  readonly kind: string;
  readonly plural: string;
  readonly namespaced: boolean;
  /** openAPIV3Schema of a CRD's version. */
  readonly crdSchema?: object;
  /** All but `watch` unless given. */
  readonly verbs?: readonly string[];
  /** Only those of the same kind: ['status']. */
  readonly subresources?: readonly string[];
}

/** A group and version; `hash` changes with its document, so that clients may keep it for as long as the hash stays. */
export interface ServedVersion {
  readonly group: string;
  readonly version: string;
  readonly hash?: string;
}

/** Of /openapi/v3: where the document of each group and version is. */
export function openApiIndex(groups: readonly ServedVersion[]): object {
  const paths = groups.map(({ group, version, hash }) => {
    const path = rootOf(group, version).slice(1);
    return [path, { serverRelativeURL: `/openapi/v3/${path}${hash === undefined ? '' : `?hash=${hash}`}` }];
  });
  return { paths: Object.fromEntries(paths) };
}

/** Of /openapi/v3/api/v1 and the like; undefined without any kind. Throws for a kind that is neither built in nor a CRD's. */
export function openApiDocument(group: string, version: string, kinds: readonly ServedKind[]): object | undefined {
  if (kinds.length === 0) return undefined;
  const named = kinds.map((kind) => ({ ...kind, group, version, schemaName: nameOf(group, version, kind) }));
  const own = new Map(named.flatMap((kind) => (kind.crdSchema === undefined ? [] : crdSchemas(kind))));
  return {
    openapi: '3.0.0',
    info: { title: 'Fairlead sandbox', version: 'unversioned' },
    paths: Object.fromEntries(named.flatMap(pathsOf)),
    components: { schemas: Object.fromEntries(withReferences(named, own)) },
  };
}

type Named = ServedKind & { readonly group: string; readonly version: string; readonly schemaName: string };

const meta = 'io.k8s.apimachinery.pkg.apis.meta.v1';
const patchName = `${meta}.Patch`;

const rootOf = (group: string, version: string): string =>
  group === '' ? `/api/${version}` : `/apis/${group}/${version}`;

/** 'metallb.io' and 'IPPool' make 'io.metallb.v1beta1.IPPool'. */
function nameOf(group: string, version: string, { kind, crdSchema }: ServedKind): string {
  if (crdSchema !== undefined) return `${group.split('.').reverse().join('.')}.${version}.${kind}`;
  const name = schemaNameOf(group === '' ? version : `${group}/${version}`, kind);
  if (name === undefined) throw new Error(`${group}/${version} ${kind} is not a built-in kind`);
  return name;
}

const ref = (name: string): Schema => ({ $ref: `#/components/schemas/${name}` });

function crdSchemas({ group, version, kind, schemaName, crdSchema }: Named): readonly (readonly [string, Schema])[] {
  const text: Schema = { type: 'string' };
  const gvk = (of: string) => ({ 'x-kubernetes-group-version-kind': [{ group, version, kind: of }] });
  const object: Schema = { ...withMeta(withEmbedded(crdSchema as Schema)), ...gvk(kind) };
  const list: Schema = {
    type: 'object',
    required: ['items'],
    properties: {
      apiVersion: text,
      items: { type: 'array', items: ref(schemaName) },
      kind: text,
      metadata: { allOf: [ref(`${meta}.ListMeta`)] },
    },
    ...gvk(`${kind}List`),
  };
  return [
    [schemaName, object],
    [`${schemaName}List`, list],
  ];
}

function withMeta(schema: Schema): Schema {
  const text: Schema = { type: 'string' };
  const metadata: Schema = { allOf: [ref(`${meta}.ObjectMeta`)] };
  return { ...schema, properties: { ...schema.properties, apiVersion: text, kind: text, metadata } };
}

/** With the fields that every embedded object has. */
function withEmbedded(schema: Schema): Schema {
  const { properties, items, additionalProperties } = schema;
  return {
    ...schema,
    ...(properties === undefined
      ? {}
      : { properties: Object.fromEntries(Object.entries(properties).map(([key, one]) => [key, embeddedIn(one)])) }),
    ...(items === undefined ? {} : { items: embeddedIn(items) }),
    ...(typeof additionalProperties === 'object' ? { additionalProperties: embeddedIn(additionalProperties) } : {}),
  };
}

function embeddedIn(schema: Schema): Schema {
  const parts = withEmbedded(schema);
  if (schema['x-kubernetes-embedded-resource'] !== true) return parts;
  return { ...withMeta(parts), required: [...new Set([...(schema.required ?? []), 'apiVersion', 'kind'])] };
}

/** The schemas of the kinds and everything that they refer to, with descriptions, by name. */
function withReferences(
  kinds: readonly Named[],
  own: ReadonlyMap<string, Schema>,
): readonly (readonly [string, Schema])[] {
  const found = new Map<string, Schema>([[patchName, { type: 'object' }]]);
  const waiting = [
    ...kinds.flatMap(({ schemaName }) => [schemaName, `${schemaName}List`]),
    `${meta}.DeleteOptions`,
    `${meta}.Status`,
  ];
  for (let name = waiting.pop(); name !== undefined; name = waiting.pop()) {
    const schema = found.has(name) ? undefined : (own.get(name) ?? schemaNamed(name));
    if (schema === undefined) continue;
    found.set(name, described(name, schema));
    waiting.push(...refsOf(schema));
  }
  return [...found].sort(([a], [b]) => (a < b ? -1 : 1));
}

const actions: Readonly<Record<string, readonly [method: string, action: string]>> = {
  get: ['get', 'get'],
  list: ['get', 'list'],
  create: ['post', 'post'],
  update: ['put', 'put'],
  patch: ['patch', 'patch'],
  delete: ['delete', 'delete'],
  deletecollection: ['delete', 'deletecollection'],
};
const ofCollection = ['list', 'create', 'deletecollection'];
const ofObject = ['get', 'update', 'patch', 'delete'];

function pathsOf(kind: Named): readonly (readonly [string, object])[] {
  const { group, version, plural, namespaced, subresources = [], verbs = Object.keys(actions) } = kind;
  const root = rootOf(group, version);
  const collection = namespaced ? `${root}/namespaces/{namespace}/${plural}` : `${root}/${plural}`;
  const has = (names: readonly string[]) => names.filter((verb) => verbs.includes(verb));
  const scope = namespaced ? ['namespace'] : [];
  const paths: readonly (readonly [string, readonly string[], readonly string[]])[] = [
    [collection, has(ofCollection), scope],
    [`${collection}/{name}`, has(ofObject), [...scope, 'name']],
    ...subresources.map(
      (name) => [`${collection}/{name}/${name}`, ['get', 'update', 'patch'], [...scope, 'name']] as const,
    ),
    ...(namespaced ? [[`${root}/${plural}`, has(['list']), []] as const] : []),
  ];
  return paths
    .filter(([, names]) => names.length > 0)
    .map(([path, names, inPath]) => [path, operations(kind, names, inPath)]);
}

function operations(kind: Named, verbs: readonly string[], inPath: readonly string[]): object {
  const entries = verbs.flatMap((verb) => {
    const action = actions[verb];
    return action === undefined ? [] : [[action[0], operation(kind, verb, action[1])] as const];
  });
  const parameters = inPath.map((name) => ({ name, in: 'path', required: true, schema: { type: 'string' } }));
  return { ...Object.fromEntries(entries), ...(parameters.length === 0 ? {} : { parameters }) };
}

const queries: Readonly<Record<string, readonly string[]>> = {
  get: [],
  list: ['continue', 'fieldSelector', 'labelSelector', 'limit', 'resourceVersion', 'resourceVersionMatch', 'watch'],
  create: ['dryRun', 'fieldManager', 'fieldValidation'],
  update: ['dryRun', 'fieldManager', 'fieldValidation'],
  patch: ['dryRun', 'fieldManager', 'fieldValidation', 'force'],
  delete: ['dryRun', 'gracePeriodSeconds', 'propagationPolicy'],
  deletecollection: ['dryRun', 'fieldSelector', 'labelSelector', 'gracePeriodSeconds', 'propagationPolicy'],
};
const queryTypes: Readonly<Record<string, string>> = {
  force: 'boolean',
  gracePeriodSeconds: 'integer',
  limit: 'integer',
  watch: 'boolean',
};

function operation(kind: Named, verb: string, action: string): object {
  const { group, version, schemaName } = kind;
  const parameters = (queries[verb] ?? []).map((name) => ({
    name,
    in: 'query',
    schema: { type: queryTypes[name] ?? 'string', uniqueItems: true },
  }));
  const answer = verb === 'list' ? `${schemaName}List` : verb.startsWith('delete') ? `${meta}.Status` : schemaName;
  const body = bodyOf(kind, verb);
  return {
    ...(parameters.length === 0 ? {} : { parameters }),
    ...(body === undefined ? {} : { requestBody: body }),
    responses: { 200: { description: 'OK', content: { 'application/json': { schema: ref(answer) } } } },
    'x-kubernetes-action': action,
    'x-kubernetes-group-version-kind': { group, version, kind: kind.kind },
  };
}

function bodyOf({ schemaName, crdSchema }: Named, verb: string): object | undefined {
  switch (verb) {
    case 'create':
    case 'update':
      return { content: { '*/*': { schema: ref(schemaName) } }, required: true };
    case 'delete':
    case 'deletecollection':
      return { content: { '*/*': { schema: ref(`${meta}.DeleteOptions`) } } };
    case 'patch': {
      const types = ['apply-patch+yaml', 'json-patch+json', 'merge-patch+json'];
      // kubectl makes strategic merge patches of the kinds that take them, and merge patches of the others.
      if (crdSchema === undefined) types.push('strategic-merge-patch+json');
      const content = types.map((type) => [`application/${type}`, { schema: ref(patchName) }]);
      return { content: Object.fromEntries(content), required: true };
    }
    default:
      return undefined;
  }
}
