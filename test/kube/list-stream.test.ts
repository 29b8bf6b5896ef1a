import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import fc from 'fast-check';
import type { KubeObject } from '../../src/core/objects.ts';
import { list } from '../../src/kube/list.ts';
import { createClient, type TransportRequest } from '../../src/kube/request.ts';
import { resources } from '../../src/kube/resource.ts';
import { createVirtualClock } from '../fake/clock.ts';

const { signal } = new AbortController();

/** Lists all at once from a server that answers with this text in chunks of this many characters. */
async function listed(text: string, chunk: number, reduce?: (object: KubeObject) => KubeObject) {
  const clock = createVirtualClock();
  const paths: string[] = [];
  const transport = {
    async send({ path }: TransportRequest) {
      paths.push(path);
      const chunks = Array.from({ length: Math.ceil(text.length / chunk) }, (_, at) =>
        text.slice(at * chunk, (at + 1) * chunk),
      );
      return { status: 200, headers: {}, body: Readable.from(chunks) };
    },
    close() {},
  };
  const client = createClient({ transport, clock });
  const how = { client, resource: resources.services, timers: clock, signal, pageSize: 0 };
  return { ...(await list<KubeObject>({ ...how, ...(reduce === undefined ? {} : { reduce }) })), paths };
}

const item = (name: string, more: object = {}) => ({
  metadata: { name, uid: name, resourceVersion: '1', creationTimestamp: '', managedFields: [{}] },
  ...more,
});
const expected = (name: string, more: object = {}) => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name, uid: name, resourceVersion: '1', creationTimestamp: '' },
  ...more,
});
const page = (items: readonly object[] | null, more: object = {}) =>
  JSON.stringify({ kind: 'ServiceList', apiVersion: 'v1', metadata: { resourceVersion: '7' }, items, ...more });

test('everything in one answer: no limit is sent, each item is typed, trimmed and reduced as it comes', async () => {
  const names = Array.from({ length: 5000 }, (_, at) => `s${at}`);
  const filler = 'x'.repeat(200);
  const text = page(names.map((name) => item(name, { spec: { filler } })));
  const seen: string[] = [];
  const { items, resourceVersion, paths } = await listed(text, 16_384, ({ metadata, kind }) => {
    seen.push(`${kind} ${metadata.name}`);
    return { metadata };
  });
  assert.deepEqual(paths, ['/api/v1/services']);
  assert.equal(resourceVersion, '7');
  assert.deepEqual(
    items.map(({ metadata }) => metadata.name),
    names,
  );
  assert.deepEqual(
    seen,
    names.map((name) => `Service ${name}`),
  );
  assert.deepEqual(Object.keys(items[0] ?? {}), ['metadata']);
});

for (const [name, text, items] of [
  ['no items', page([]), []],
  ['null for items', page(null), []],
  ['one item', page([item('a')]), [expected('a')]],
] as const) {
  test(`everything in one answer: ${name}`, async () => {
    const { items: found, resourceVersion } = await listed(text, 7);
    assert.deepEqual([found, resourceVersion], [items, '7']);
  });
}

test('an answer that ends early is an error, and no list', async () => {
  const text = page(Array.from({ length: 3000 }, (_, at) => item(`s${at}`, { spec: 'x'.repeat(200) })));
  await assert.rejects(listed(text.slice(0, -10), 10_000));
  await assert.rejects(listed(text.slice(0, 400_000), 10_000));
});

test('whatever is in the items and wherever the answer is cut, the items are those that were sent', async () => {
  // What looks like the border of two items, inside of one and inside of a text.
  const trap = { list: [{ metadata: { a: 1 } }, { metadata: { b: 2 } }], text: '},{"metadata":{', 'k"': '"items":[' };
  const items = fc.array(fc.tuple(fc.string(), fc.nat(3), fc.boolean()), { maxLength: 30 });
  await fc.assert(
    fc.asyncProperty(items, fc.integer({ min: 1, max: 200_000 }), async (made, chunk) => {
      const more = (text: string, size: number, isTrap: boolean) => ({
        spec: { text, filler: 'y'.repeat(size * 60_000), ...(isTrap ? trap : {}) },
      });
      const text = page(made.map((one, at) => item(`s${at}`, more(...one))));
      const { items: found } = await listed(text, Math.max(chunk, text.length / 200));
      assert.deepEqual(
        found,
        made.map((one, at) => expected(`s${at}`, more(...one))),
      );
    }),
    { numRuns: 60 },
  );
});
