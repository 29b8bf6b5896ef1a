import assert from 'node:assert/strict';
import { test } from 'node:test';
import { jsonPath } from '../../../src/sandbox/api/json-path.ts';
import { checkColumns, type TableOptions, tableOf } from '../../../src/sandbox/api/table.ts';
import { humanDuration } from '../../../src/sandbox/api/table-cells.ts';
import { frozen } from './json.ts';

interface Table {
  readonly metadata: object;
  readonly columnDefinitions: readonly { readonly name: string; readonly priority: number }[] | null;
  readonly rows: readonly {
    readonly cells: readonly unknown[];
    readonly object: unknown;
    readonly conditions?: unknown;
  }[];
}

const now = Date.parse('2026-01-01T01:00:00Z');
const how: TableOptions = { now, includeObject: 'Metadata', resourceVersion: '7' };
const metadata = { name: 'o', creationTimestamp: '2026-01-01T00:00:00Z' };
const table = (kind: string, objects: readonly object[], more: object = {}): Table =>
  tableOf(kind, frozen(objects), { ...how, ...more }) as Table;

test('a Service of type LoadBalancer', () => {
  const service = {
    metadata,
    spec: {
      type: 'LoadBalancer',
      clusterIPs: ['10.0.0.1'],
      ports: [
        { port: 80, nodePort: 30000, protocol: 'TCP' },
        { port: 53, protocol: 'UDP' },
      ],
      externalIPs: ['1.1.1.1'],
      selector: { b: '2', a: '1' },
    },
    status: { loadBalancer: { ingress: [{ ip: '203.0.113.1' }, { hostname: 'a.b' }] } },
  };
  const { columnDefinitions, rows, ...rest } = table('Service', [service]);
  assert.deepEqual(rest, { kind: 'Table', apiVersion: 'meta.k8s.io/v1', metadata: { resourceVersion: '7' } });
  assert.deepEqual(
    columnDefinitions?.map(({ name, priority }) => `${name} ${priority}`),
    ['Name 0', 'Type 0', 'Cluster-IP 0', 'External-IP 0', 'Port(s) 0', 'Age 0', 'Selector 1'],
  );
  assert.deepEqual(rows, [
    {
      cells: ['o', 'LoadBalancer', '10.0.0.1', '203.0.113.1,a.b,1.1.1.1', '80:30000/TCP,53/UDP', '60m', 'a=1,b=2'],
      object: { kind: 'PartialObjectMetadata', apiVersion: 'meta.k8s.io/v1', metadata },
    },
  ]);
});

test('a Service that waits for its address', () => {
  assert.equal(table('Service', [{ metadata, spec: { type: 'LoadBalancer' } }]).rows[0]?.cells[3], '<pending>');
});

test('what a row carries, and pages', () => {
  const object = { kind: 'Lease', apiVersion: 'coordination.k8s.io/v1', metadata, spec: { holderIdentity: 'me' } };
  assert.equal(table('Lease', [object], { includeObject: 'None' }).rows[0]?.object, null);
  assert.deepEqual(table('Lease', [object], { includeObject: 'Object' }).rows[0]?.object, object);
  const page = table('Lease', [object], { continue: 'next', remainingItemCount: 3, noHeaders: true });
  assert.deepEqual(page.metadata, { resourceVersion: '7', continue: 'next', remainingItemCount: 3 });
  assert.equal(page.columnDefinitions, null);
});

test('a pod that is done is completed', () => {
  const [row] = table('Pod', [{ metadata, status: { phase: 'Succeeded' } }]).rows;
  assert.deepEqual(row?.cells.slice(0, 4), ['o', '0/0', 'Succeeded', '0']);
  assert.deepEqual(row?.conditions, [
    { type: 'Completed', status: 'True', reason: 'Succeeded', message: 'The pod has completed successfully.' },
  ]);
});

test('a kind without columns has a name and an age', () => {
  assert.deepEqual(table('Thing', [{ metadata }]).rows[0]?.cells, ['o', '60m']);
  assert.deepEqual(table('Thing', [{ metadata }], { columns: [] }).rows[0]?.cells, ['o', '60m']);
});

test("a definition's columns", () => {
  const columns = [
    { name: 'A', type: 'string', jsonPath: '.spec.a' },
    { name: 'B', type: 'integer', jsonPath: '.spec.b' },
    { name: 'C', type: 'string', jsonPath: '.spec.list', priority: 1 },
    { name: 'D', type: 'string', jsonPath: '.status.conditions[?(@.type=="Ready")].status' },
    { name: 'E', type: 'boolean', jsonPath: '.spec.a' },
    { name: 'F', type: 'date', jsonPath: '.metadata.creationTimestamp' },
  ];
  const object = {
    metadata,
    spec: { a: 'x', b: 2.5, list: [1] },
    status: { conditions: [{ type: 'Ready', status: 'True' }] },
  };
  assert.deepEqual(
    table('Thing', [object, { metadata }], { columns }).rows.map(({ cells }) => cells),
    [
      ['o', 'x', 2, '[1]', 'True', null, '60m'],
      ['o', null, null, null, null, null, '60m'],
    ],
  );
});

test('columns whose path cannot be read are named', () => {
  const columns = [
    { name: 'A', type: 'string', jsonPath: '.spec' },
    { name: 'B', type: 'string', jsonPath: '.spec[(x)]' },
  ];
  assert.deepEqual(checkColumns(columns), ['[1].jsonPath: ".spec[(x)]": cannot read "[(x)]"']);
});

const paths: readonly (readonly [path: string, expected: readonly unknown[]])[] = [
  ['.a.b', [1]],
  ['.a.none', []],
  ['.l[0]', ['x']],
  ['.l[-1]', ['y']],
  ['.l[5]', []],
  ['.l[*]', ['x', 'y']],
  ['.a.*', [1, { 'e.f': 2 }]],
  [".a.c['e\\.f']", [2]],
  ['.a.c.e\\.f', [2]],
  ['.os[?(@.t=="b")].v', [2]],
  ["['a'].b", [1]],
];

for (const [path, expected] of paths) {
  test(`path ${path}`, () => {
    const value = {
      a: { b: 1, c: { 'e.f': 2 } },
      l: ['x', 'y'],
      os: [
        { t: 'a', v: 1 },
        { t: 'b', v: 2 },
      ],
    };
    assert.deepEqual(jsonPath(path)(value), expected);
  });
}

test('a path that is only a dot is the object', () => assert.deepEqual(jsonPath('.')({ a: 1 }), [{ a: 1 }]));

const durations: readonly (readonly [seconds: number, text: string])[] = [
  [-5, '<invalid>'],
  [-1, '0s'],
  [0, '0s'],
  [119, '119s'],
  [120, '2m'],
  [125, '2m5s'],
  [599, '9m59s'],
  [600, '10m'],
  [10_799, '179m'],
  [10_800, '3h'],
  [25_260, '7h1m'],
  [28_800, '8h'],
  [172_799, '47h'],
  [172_800, '2d'],
  [176_400, '2d1h'],
  [691_200, '8d'],
  [63_072_000, '2y'],
  [63_158_400, '2y1d'],
  [252_288_000, '8y'],
];

for (const [seconds, text] of durations) {
  test(`${seconds} s are ${text}`, () => assert.equal(humanDuration(seconds * 1000), text));
}
