/**
 * Writes src/sandbox/api/go-types.json: of each field of the Go types behind the built-in kinds, its protobuf number and
 * how Go's JSON treats its zero value. OpenAPI says neither. One type per line, sorted.
 *
 *   node deploy/go-types.ts --modules "$(go env GOMODCACHE)/k8s.io" --version v0.37.2 [--check]
 *
 * A field is '<number><flags>': o omitempty, z omitzero, p pointer. A field '+NAME' is a struct whose members JSON shows
 * as members of the outer one, and which protobuf nests under that number.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const target = fileURLToPath(new URL('../src/sandbox/api/go-types.json', import.meta.url));
const schemas = fileURLToPath(new URL('../src/sandbox/api/openapi.json', import.meta.url));
const meta = 'io.k8s.apimachinery.pkg.apis.meta.v1';

type Fields = Readonly<Record<string, string>>;

/** Of the packages that the schemas come from, the source of their types. */
const sourcesOf: readonly (readonly [RegExp, (found: RegExpExecArray) => readonly string[]])[] = [
  [/^io\.k8s\.api\.([a-z]+)\.(v\w+)$/, ([, group, version]) => [`api@/${group}/${version}/types.go`]],
  [/^io\.k8s\.apimachinery\.pkg\.apis\.meta\.v1$/, () => ['apimachinery@/pkg/apis/meta/v1/types.go']],
  [
    /^io\.k8s\.apiextensions-apiserver\.pkg\.apis\.apiextensions\.v1$/,
    () =>
      ['types.go', 'types_jsonschema.go'].map((file) => `apiextensions-apiserver@/pkg/apis/apiextensions/v1/${file}`),
  ],
];

/** The text of go-types.json; `read` gives the text of 'api@/core/v1/types.go'. */
export async function generate(names: readonly string[], read: (path: string) => Promise<string>): Promise<string> {
  const packages = new Set(names.map((name) => name.slice(0, name.lastIndexOf('.'))));
  const types = new Map<string, Fields>();
  for (const name of packages) {
    for (const [pattern, files] of sourcesOf) {
      const found = pattern.exec(name);
      if (found === null) continue;
      for (const file of files(found))
        for (const [type, fields] of parseTypes(await read(file), name)) types.set(type, fields);
    }
  }
  const wanted = new Map<string, Fields>();
  for (const name of names) collect(name, types, wanted);
  const lines = [...wanted]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, fields]) => `${JSON.stringify(name)}:${JSON.stringify(fields)}`);
  return `{\n${lines.join(',\n')}\n}\n`;
}

function collect(name: string, types: ReadonlyMap<string, Fields>, into: Map<string, Fields>): void {
  const fields = types.get(name);
  if (fields === undefined || into.has(name)) return;
  into.set(name, fields);
  for (const field of Object.keys(fields)) if (field.startsWith('+')) collect(field.slice(1), types, into);
}

function parseTypes(source: string, package_: string): ReadonlyMap<string, Fields> {
  const types = new Map<string, Fields>();
  for (const [, name, body] of source.matchAll(/^type (\w+) struct \{\n(.*?)^\}/gms)) {
    const fields: Record<string, string> = {};
    for (const line of (body ?? '').split('\n')) {
      const [field, value] = parseField(line, package_) ?? [];
      if (field !== undefined && value !== undefined) fields[field] = value;
    }
    types.set(`${package_}.${name}`, fields);
  }
  return types;
}

/** `Ports []ServicePort `json:"ports,omitempty" protobuf:"bytes,1,rep,name=ports"``; undefined for any other line. */
function parseField(line: string, package_: string): readonly [string, string] | undefined {
  const found = /^\t(?:(\w+) )?\s*(\S+)\s+`(.*)`/.exec(line);
  if (found === null) return undefined;
  const [, , type = '', tags = ''] = found;
  const [name = '', ...options] = (/json:"([^"]*)"/.exec(tags)?.[1] ?? '-').split(',');
  const number = /protobuf:"\w+,(\d+)/.exec(tags)?.[1] ?? '';
  if (name === '-') return undefined;
  if (name === '') return number === '' ? undefined : [`+${qualified(type.replace('*', ''), package_)}`, number];
  const flags = [
    options.includes('omitempty') ? 'o' : '',
    options.includes('omitzero') ? 'z' : '',
    type.startsWith('*') ? 'p' : '',
  ];
  return [name, `${number}${flags.join('')}`];
}

const qualified = (type: string, package_: string): string =>
  type.startsWith('metav1.') ? `${meta}.${type.slice('metav1.'.length)}` : `${package_}.${type}`;

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: { modules: { type: 'string' }, version: { type: 'string' }, check: { type: 'boolean' } },
  });
  const { modules, version } = values;
  if (modules === undefined || version === undefined) throw new Error('--modules and --version are needed');
  const facts = JSON.parse(await readFile(schemas, 'utf8')) as { readonly schemas: Readonly<Record<string, unknown>> };
  const text = await generate(Object.keys(facts.schemas), (path) =>
    readFile(join(modules, path.replace('@', `@${version}`)), 'utf8'),
  );
  if (values.check === true) {
    if (text !== (await readFile(target, 'utf8'))) throw new Error(`${target} is not what these modules say`);
  } else await writeFile(target, text);
}

if (import.meta.main) await main();
