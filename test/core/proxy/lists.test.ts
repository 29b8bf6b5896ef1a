/** Rows from kube-proxy's rules (node-proxy.md section 2), not from the code. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type EndpointText, HTTP, model, type SliceText, slice, targetText } from './fixture.ts';

interface Row {
  readonly name: string;
  readonly endpoints: readonly EndpointText[];
  readonly cluster: readonly string[];
  readonly local: readonly string[];
  readonly zone?: string;
}

const here = { nodeName: 'n1' };
const there = { nodeName: 'n2' };
const zones = (...names: string[]) => ({ hints: { forZones: names.map((name) => ({ name })) } });
const nodes = (...names: string[]) => ({ hints: { forNodes: names.map((name) => ({ name })) } });
const zoneAndNode = (zone: string, node: string) => ({ hints: { ...zones(zone).hints, ...nodes(node).hints } });

const rows: readonly Row[] = [
  { name: 'no endpoint', endpoints: [], cluster: [], local: [] },
  {
    name: 'ready ones everywhere',
    endpoints: [
      { ip: '1', ...here },
      { ip: '2', ...there },
    ],
    cluster: ['1', '2'],
    local: ['1'],
  },
  { name: 'without a node name none is local', endpoints: [{ ip: '1' }], cluster: ['1'], local: [] },
  {
    name: 'what is not ready is left out',
    endpoints: [
      { ip: '1', ...here, state: 'not-ready' },
      { ip: '2', ...there },
    ],
    cluster: ['2'],
    local: [],
  },
  {
    name: 'what terminates is left out while another is ready',
    endpoints: [
      { ip: '1', ...there, state: 'terminating' },
      { ip: '2', ...there },
    ],
    cluster: ['2'],
    local: [],
  },
  {
    name: 'what terminates serves when nothing is ready',
    endpoints: [
      { ip: '1', ...here, state: 'terminating' },
      { ip: '2', ...there, state: 'terminating' },
    ],
    cluster: ['1', '2'],
    local: ['1'],
  },
  {
    name: 'the local list falls back by itself',
    endpoints: [
      { ip: '1', ...here, state: 'terminating' },
      { ip: '2', ...there },
    ],
    cluster: ['2'],
    local: ['1'],
  },
  {
    name: 'a local ready one keeps a local terminating one out',
    endpoints: [
      { ip: '1', ...here, state: 'terminating' },
      { ip: '2', ...here },
    ],
    cluster: ['2'],
    local: ['2'],
  },
  {
    name: 'terminating and not serving is nothing',
    endpoints: [{ ip: '1', ...here, state: 'gone' }],
    cluster: [],
    local: [],
  },
  {
    name: 'ready while terminating (publishNotReadyAddresses) counts as ready',
    endpoints: [{ ip: '1', ...here, conditions: { ready: true, serving: false, terminating: true } }],
    cluster: ['1'],
    local: ['1'],
  },
  {
    name: 'absent conditions read as ready',
    endpoints: [{ ip: '1', ...here, conditions: {} }],
    cluster: ['1'],
    local: ['1'],
  },
  {
    name: 'hints of this zone',
    endpoints: [
      { ip: '1', ...here, ...zones('zb') },
      { ip: '2', ...there, ...zones('za') },
    ],
    cluster: ['2'],
    local: ['1'],
  },
  {
    name: 'several zones in one hint',
    endpoints: [
      { ip: '1', ...there, ...zones('zb', 'za') },
      { ip: '2', ...there, ...zones('zb') },
    ],
    cluster: ['1'],
    local: [],
  },
  {
    name: 'one missing hint disables the zones',
    endpoints: [
      { ip: '1', ...there, ...zones('zb') },
      { ip: '2', ...there },
      { ip: '3', ...there, ...zones('za') },
    ],
    cluster: ['1', '2', '3'],
    local: [],
  },
  {
    name: 'the missing hint first',
    endpoints: [
      { ip: '1', ...there },
      { ip: '2', ...there, ...zones('zb') },
    ],
    cluster: ['1', '2'],
    local: [],
  },
  {
    name: 'no hint for this zone disables them too',
    endpoints: [
      { ip: '1', ...there, ...zones('zb') },
      { ip: '2', ...there, ...zones('zc') },
    ],
    cluster: ['1', '2'],
    local: [],
  },
  {
    name: 'hints of what is not ready do not count',
    endpoints: [
      { ip: '1', ...there, state: 'terminating' },
      { ip: '2', ...there, ...zones('za') },
      { ip: '3', ...there, ...zones('zb') },
    ],
    cluster: ['2'],
    local: [],
  },
  {
    name: 'terminating ones are not filtered',
    endpoints: [
      { ip: '1', ...there, state: 'terminating', ...zones('zb') },
      { ip: '2', ...there, state: 'terminating', ...zones('za') },
    ],
    cluster: ['1', '2'],
    local: [],
  },
  {
    name: 'node hints win over zone hints',
    endpoints: [
      { ip: '1', ...here, ...zoneAndNode('zb', 'n1') },
      { ip: '2', ...there, ...zoneAndNode('za', 'n2') },
    ],
    cluster: ['1'],
    local: ['1'],
  },
  {
    name: 'zones when no node hint names this node',
    endpoints: [
      { ip: '1', ...there, ...zoneAndNode('zb', 'n3') },
      { ip: '2', ...there, ...zoneAndNode('za', 'n2') },
    ],
    cluster: ['2'],
    local: [],
  },
  {
    name: 'one missing node hint leaves the zones',
    endpoints: [
      { ip: '1', ...here, ...zones('zb') },
      { ip: '2', ...there, ...zoneAndNode('za', 'n1') },
    ],
    cluster: ['2'],
    local: ['1'],
  },
  {
    name: 'a node without zone ignores zone hints',
    endpoints: [
      { ip: '1', ...there, ...zones('zb') },
      { ip: '2', ...there, ...zones('') },
    ],
    cluster: ['1', '2'],
    local: [],
    zone: '',
  },
];

const short = (targets: readonly string[]) =>
  targets.map((target) => targetText(target).replace(/^10\.64\.1\.(\d+):8080$/, '$1')).sort();

for (const { name, endpoints, cluster, local, zone = 'za' } of rows) {
  test(`endpoint lists: ${name}`, () => {
    const slices = [slice(endpoints.map((endpoint) => ({ ...endpoint, ip: `10.64.1.${endpoint.ip}` })))];
    const [port] = model({}, slices, { zone }).ip;
    assert.ok(port);
    assert.deepEqual({ cluster: short(port.cluster), local: short(port.local) }, { cluster, local });
  });
}

const portsOf = (
  slices: readonly (readonly [readonly EndpointText[], SliceText])[],
  protocol: 'TCP' | 'UDP' = 'TCP',
) => {
  const texts = slices.map(([endpoints, options], index) => slice(endpoints, { name: `web-${index}`, ...options }));
  const [port] = model({ ports: [{ ...HTTP, protocol }] }, texts).ip;
  assert.ok(port);
  return { cluster: port.cluster.map(targetText), serving: port.serving.map(targetText) };
};

test('an endpoint in two slices counts once, with its better state', () => {
  const one = [{ ip: '10.64.1.1', state: 'not-ready' }] as const;
  const two = [{ ip: '10.64.1.1' }, { ip: '10.64.1.2' }] as const;
  assert.deepEqual(
    portsOf([
      [one, {}],
      [two, {}],
    ]).cluster,
    ['10.64.1.1:8080', '10.64.1.2:8080'],
  );
  assert.deepEqual(
    portsOf([
      [two, {}],
      [one, {}],
    ]).cluster,
    ['10.64.1.1:8080', '10.64.1.2:8080'],
  );
});

test('ports are found by name and protocol, each slice with its own number', () => {
  const ports = (number?: number, protocol: 'TCP' | 'UDP' = 'TCP', name = 'http') => ({
    ports: [{ name, protocol, ...(number === undefined ? {} : { port: number }) }],
  });
  const pod = (last: number) => [{ ip: `10.64.1.${last}` }];
  const found = portsOf([
    [pod(1), ports(81)],
    [pod(2), ports(82, 'UDP')],
    [pod(3), ports(83, 'TCP', 'other')],
    [pod(4), ports(undefined)],
    [pod(5), { ports: null }],
    [pod(6), ports(70_000)],
    [pod(7), ports(87)],
  ]);
  assert.deepEqual(found.cluster, ['10.64.1.1:81', '10.64.1.7:87']);
});

test('weights repeat slots, reduced by what they have in common', () => {
  const weight = (text: string) => ({ annotations: { 'fairlead.dev/weight': text } });
  const pods = (...last: number[]) => last.map((number) => ({ ip: `10.64.1.${number}` }));
  const count = (weights: readonly [string, string]) => {
    const { cluster } = portsOf([
      [pods(1), weight(weights[0])],
      [pods(2, 3), weight(weights[1])],
    ]);
    return [1, 2, 3].map((last) => cluster.filter((target) => target.startsWith(`10.64.1.${last}:`)).length);
  };
  assert.deepEqual(count(['8', '1']), [8, 1, 1]);
  assert.deepEqual(count(['6', '4']), [3, 2, 2]);
  assert.deepEqual(count(['128', '128']), [1, 1, 1]);
  assert.deepEqual(count(['0', '2']), [1, 2, 2]);
});

test('more endpoints than slots: the rest is left out and reported', () => {
  const pods = Array.from({ length: 32_770 }, (_, index) => ({
    ip: `10.${64 + (index >> 14)}.${(index >> 7) & 127}.${(index & 127) + 1}`,
  }));
  const made = model({}, [slice(pods)]);
  assert.equal(made.ip[0]?.cluster.length, 32_768);
  assert.match(made.problems[0]?.message ?? '', /2 slots more than a node can balance over/);
});

test('conntrack keeps what serves, whatever policy and topology say; TCP needs no such list', () => {
  const endpoints: readonly EndpointText[] = [
    { ip: '10.64.1.1', state: 'terminating' },
    { ip: '10.64.1.2', ...zones('za') },
    { ip: '10.64.1.3', ...zones('zb') },
    { ip: '10.64.1.4', state: 'not-ready' },
    { ip: '10.64.1.5', conditions: { ready: false, serving: true, terminating: false } },
  ];
  const udp = { ports: [{ name: 'http', protocol: 'UDP', port: 53 }] } as const;
  assert.deepEqual(portsOf([[endpoints, udp]], 'UDP'), {
    cluster: ['10.64.1.2:53'],
    serving: ['10.64.1.1:53', '10.64.1.2:53', '10.64.1.3:53', '10.64.1.5:53'],
  });
  assert.deepEqual(portsOf([[endpoints, {}]]).serving, []);
});
