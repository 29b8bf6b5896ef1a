import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { generate } from '../../deploy/go-types.ts';

const read = (file: string): unknown =>
  JSON.parse(readFileSync(new URL(`../../src/sandbox/api/${file}`, import.meta.url), 'utf8'));

const source = `package v1
// Thing is a thing.
type Thing struct {
	metav1.TypeMeta \`json:",inline"\`
	// +optional
	metav1.ObjectMeta \`json:"metadata,omitempty" protobuf:"bytes,1,opt,name=metadata"\`

	Inner \`json:",inline" protobuf:"bytes,2,opt,name=inner"\`
	Size *int32 \`json:"size,omitempty" protobuf:"varint,3,opt,name=size"\`
	At metav1.Time \`json:"at,omitempty,omitzero" protobuf:"bytes,4,opt,name=at"\`
	hidden string
}
type Inner struct {
	Names []string \`json:"names" patchStrategy:"merge" protobuf:"bytes,1,rep,name=names"\`
}
`;

test('fields of Go types: number, omitted zeros, pointers, inlined structs', async () => {
  const asked: string[] = [];
  const text = await generate(['io.k8s.api.core.v1.Thing'], (path) => {
    asked.push(path);
    return Promise.resolve(source);
  });
  assert.deepEqual(asked, ['api@/core/v1/types.go']);
  assert.deepEqual(JSON.parse(text), {
    'io.k8s.api.core.v1.Inner': { names: '1' },
    'io.k8s.api.core.v1.Thing': { metadata: '1o', '+io.k8s.api.core.v1.Inner': '2', size: '3op', at: '4oz' },
  });
});

test('every property of every schema has its Go field, and nothing else', () => {
  const { schemas } = read('openapi.json') as { schemas: Record<string, { properties?: Record<string, unknown> }> };
  const types = read('go-types.json') as Record<string, Record<string, string>>;
  const fields = (name: string): readonly string[] =>
    Object.keys(types[name] ?? {}).flatMap((field) => (field.startsWith('+') ? fields(field.slice(1)) : [field]));
  let compared = 0;
  for (const [name, { properties }] of Object.entries(schemas)) {
    if (properties === undefined || types[name] === undefined) continue;
    const named = Object.keys(properties).filter(
      (property) => (property !== 'kind' && property !== 'apiVersion') || fields(name).includes(property),
    );
    assert.deepEqual([...fields(name)].filter((field) => properties[field] !== undefined).sort(), named.sort(), name);
    compared += 1;
  }
  assert.ok(compared > 250, `${compared} schemas`);
});
