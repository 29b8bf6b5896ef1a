/**
 * Writes src/sandbox/api/openapi.json: the schema facts of the built-in kinds that the embedded API server serves, read
 * from a running kube-apiserver's /openapi/v3, without its descriptions. One schema per line, sorted, so that a newer
 * Kubernetes shows up as a readable diff.
 *
 *   node deploy/openapi.ts --server https://127.0.0.1:6443 --token TOKEN [--check]
 *
 * The server's certificate is not verified: use it only on a server that you started yourself.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

/** Group and version -> kinds whose schemas are kept, with everything that they refer to. */
const kept: Readonly<Record<string, readonly string[]>> = {
  'api/v1': [
    'Binding',
    'ConfigMap',
    'Endpoints',
    'Event',
    'Namespace',
    'Node',
    'Pod',
    'Secret',
    'Service',
    'ServiceAccount',
    'DeleteOptions',
    'Status',
    'TokenRequest',
  ],
  'apis/apiextensions.k8s.io/v1': ['CustomResourceDefinition'],
  'apis/apps/v1': ['DaemonSet', 'Deployment', 'Scale'],
  'apis/authentication.k8s.io/v1': ['SelfSubjectReview', 'TokenReview'],
  'apis/authorization.k8s.io/v1': [
    'LocalSubjectAccessReview',
    'SelfSubjectAccessReview',
    'SelfSubjectRulesReview',
    'SubjectAccessReview',
  ],
  'apis/coordination.k8s.io/v1': ['Lease'],
  'apis/discovery.k8s.io/v1': ['EndpointSlice'],
  'apis/events.k8s.io/v1': ['Event'],
};

type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
interface Document {
  readonly components: { readonly schemas: Readonly<Record<string, { readonly [key: string]: Json }>> };
}
interface GroupVersionKind {
  readonly group: string;
  readonly version: string;
  readonly kind: string;
}

const prefix = '#/components/schemas/';
const target = fileURLToPath(new URL('../src/sandbox/api/openapi.json', import.meta.url));

/** The text of openapi.json for the documents that `fetchDocument` gives for paths such as 'apis/apps/v1'. */
export async function generate(fetchDocument: (path: string) => Promise<unknown>): Promise<string> {
  const schemas = new Map<string, Json>();
  const kinds = new Map<string, Json>();
  for (const [path, names] of Object.entries(kept)) {
    const document = (await fetchDocument(path)) as Document;
    for (const kind of names) {
      const [id, name] = schemaOf(document, path, kind);
      kinds.set(id, name);
      collect(document, name, schemas);
      // Lists have no schema of their own where a kind cannot be listed (DeleteOptions, TokenReview).
      const list = `${name}List`;
      if (document.components.schemas[list] !== undefined) {
        kinds.set(`${id}List`, list);
        collect(document, list, schemas);
      }
    }
  }
  return `{"kinds":{\n${lines(kinds)}\n},"schemas":{\n${lines(schemas)}\n}}\n`;
}

function lines(entries: ReadonlyMap<string, Json>): string {
  const sorted = [...entries].sort(([a], [b]) => (a < b ? -1 : 1));
  return sorted.map(([name, value]) => `${JSON.stringify(name)}:${JSON.stringify(value)}`).join(',\n');
}

/** ['apps/v1/Deployment', name of the schema]; of a kind that several groups share (Scale, Status) the first. */
function schemaOf(document: Document, path: string, kind: string): [string, string] {
  const own = path.replace(/^apis?\//, '');
  const found = Object.entries(document.components.schemas).flatMap(([name, schema]) => {
    const gvks = (schema['x-kubernetes-group-version-kind'] ?? []) as unknown as readonly GroupVersionKind[];
    const ids = gvks.filter((gvk) => gvk.kind === kind).map((gvk) => `${gvk.group}/${gvk.version}`.replace(/^\//, ''));
    return ids.length === 0 ? [] : [[ids.includes(own) ? own : (ids[0] ?? own), name] as const];
  });
  const [first, ...more] = found;
  if (first === undefined || more.length > 0) throw new Error(`${path} has ${found.length} schemas of kind ${kind}`);
  return [`${first[0]}/${kind}`, first[1]];
}

function collect(document: Document, name: string, into: Map<string, Json>): void {
  if (into.has(name)) return;
  const schema = document.components.schemas[name];
  if (schema === undefined) throw new Error(`the document refers to ${name}, which it does not have`);
  const facts = strip(schema, false);
  into.set(name, facts);
  for (const ref of refsOf(facts)) collect(document, ref, into);
}

/** Without descriptions; `named`: the keys of this object are names of properties, not keywords. */
function strip(value: Json, named: boolean): Json {
  if (Array.isArray(value)) return value.map((item) => strip(item, false));
  if (value === null || typeof value !== 'object') return value;
  const kept = Object.entries(value).filter(
    ([key, item]) => named || key !== 'description' || typeof item !== 'string',
  );
  return Object.fromEntries(kept.map(([key, item]) => [key, factOf(key, item, named)]));
}

function factOf(key: string, item: Json, named: boolean): Json {
  // Shared meta kinds list every group of the server here; ours serves few, and kubectl reads the top level kinds only.
  if (!named && key === 'x-kubernetes-group-version-kind' && Array.isArray(item) && item.length > 1) {
    return item.filter((gvk) => (gvk as unknown as GroupVersionKind).group === '');
  }
  return strip(item, !named && key === 'properties');
}

function refsOf(value: Json): string[] {
  if (Array.isArray(value)) return value.flatMap(refsOf);
  if (value === null || typeof value !== 'object') return [];
  return Object.entries(value).flatMap(([key, item]) =>
    key === '$ref' && typeof item === 'string' ? [item.slice(prefix.length)] : refsOf(item),
  );
}

function get(url: URL, token: string): Promise<unknown> {
  const request = url.protocol === 'https:' ? httpsRequest : httpRequest;
  return new Promise((resolve, reject) => {
    const sent = request(
      url,
      { rejectUnauthorized: false, headers: { authorization: `Bearer ${token}` }, signal: AbortSignal.timeout(30_000) },
      async (response) => {
        try {
          const text = (await response.setEncoding('utf8').toArray()).join('');
          if (response.statusCode !== 200) throw new Error(`${url.pathname}: HTTP ${response.statusCode}: ${text}`);
          resolve(JSON.parse(text));
        } catch (error) {
          reject(error);
        }
      },
    );
    sent.on('error', reject).end();
  });
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: { server: { type: 'string' }, token: { type: 'string' }, check: { type: 'boolean' } },
  });
  const { server, token } = values;
  if (server === undefined || token === undefined) throw new Error('--server URL and --token TOKEN are needed');
  const text = await generate((path) => get(new URL(`/openapi/v3/${path}`, server), token));
  if (values.check !== true) return writeFile(target, text);
  if ((await readFile(target, 'utf8')) !== text) throw new Error(`${target} is not what this server says`);
}

if (import.meta.main) await main();
