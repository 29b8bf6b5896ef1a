import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Endpoint } from '../../../src/core/objects.ts';
import { backendsOf, countByNode } from '../../../src/core/service/endpoints.ts';
import { pod, slice } from './fixture.ts';

const ipv4 = { family: 'ipv4' } as const;
const T = true;
const F = false;

const states: readonly {
  readonly name: string;
  readonly conditions: NonNullable<Endpoint['conditions']>;
  readonly expected: 'ready' | 'terminating' | undefined;
  readonly gated?: 'ready' | 'terminating';
}[] = [
  { name: 'no conditions', conditions: {}, expected: 'ready' },
  { name: 'ready', conditions: { ready: T, serving: T, terminating: F }, expected: 'ready' },
  { name: 'not ready', conditions: { ready: F, serving: F, terminating: F }, expected: undefined, gated: 'ready' },
  { name: 'not ready, the rest unset', conditions: { ready: F }, expected: undefined, gated: 'ready' },
  {
    name: 'terminating and serving',
    conditions: { ready: F, serving: T, terminating: T },
    expected: 'terminating',
    gated: 'terminating',
  },
  { name: 'terminating and not serving', conditions: { ready: F, serving: F, terminating: T }, expected: undefined },
  { name: 'terminating, serving unset', conditions: { ready: F, terminating: T }, expected: undefined },
  {
    name: 'ready though terminating (publishNotReadyAddresses)',
    conditions: { ready: T, serving: T, terminating: T },
    expected: 'ready',
  },
];
for (const { name, conditions, expected, gated = expected } of states) {
  test(`endpoint: ${name} is ${expected ?? 'left out'}, ${gated ?? 'left out'} when its containers are ready`, () => {
    const slices = [slice('s', [pod('p1', conditions)])];
    assert.equal(backendsOf(slices, ipv4)[0]?.state, expected);
    assert.equal(backendsOf(slices, { ...ipv4, containersReady: new Set(['uid-p1']) })[0]?.state, gated);
  });
}

test('only slices of the family count', () => {
  const slices = [
    slice('a', [pod('p1')]),
    slice('b', [pod('p1', {}, { address: 'fd00::1' })], undefined, 'IPv6'),
    slice('c', [pod('p2', {}, { address: 'example.com' })], undefined, 'FQDN'),
  ];
  assert.deepEqual(
    backendsOf(slices, ipv4).map(({ address }) => address),
    ['10.244.0.1'],
  );
  assert.deepEqual(
    backendsOf(slices, { family: 'ipv6' }).map(({ address }) => address),
    ['fd00::1'],
  );
});

test('an endpoint is told whole: pod UID, first address, node, zone, ports', () => {
  const endpoint: Endpoint = { ...pod('p1'), addresses: ['10.244.0.1', '10.244.0.9'] };
  assert.deepEqual(backendsOf([slice('s', [endpoint], [{ name: 'web', port: 81 }, { port: 82 }])], ipv4), [
    {
      id: 'uid-p1',
      address: '10.244.0.1',
      node: 'node1',
      zone: 'a',
      state: 'ready',
      ports: new Map([
        ['web', 81],
        ['', 82],
      ]),
    },
  ]);
});

test('an address without a pod behind it is its own id, and no node is no name', () => {
  const bare: Endpoint = { addresses: ['192.0.2.1'] };
  const node: Endpoint = { addresses: ['192.0.2.2'], targetRef: { kind: 'Node', uid: 'x' } };
  assert.deepEqual(
    backendsOf([slice('s', [bare, node])], ipv4).map(({ id, node: name }) => [id, name]),
    [
      ['192.0.2.1', ''],
      ['192.0.2.2', ''],
    ],
  );
});

test('slices without endpoints or ports are read as the API means them', () => {
  const empty = { ...slice('a', []), endpoints: null };
  const all = backendsOf([empty, slice('b', [pod('p1')], null), slice('c', [{ addresses: [] }])], ipv4);
  assert.deepEqual(
    all.map(({ id, ports }) => [id, ports]),
    [['uid-p1', undefined]],
  );
});

test('an endpoint in two slices appears once: ready wins, and ports come together', () => {
  const slices = [
    slice('a', [pod('p1', { ready: F, serving: T, terminating: T })], [{ name: 'web', port: 1 }]),
    slice('b', [pod('p1')], [{ name: 'dns', port: 2 }]),
  ];
  for (const order of [slices, slices.toReversed()]) {
    const all = backendsOf(order, ipv4);
    assert.equal(all.length, 1);
    assert.equal(all[0]?.state, 'ready');
    assert.deepEqual([...(all[0]?.ports ?? [])].sort(), [
      ['dns', 2],
      ['web', 1],
    ]);
  }
});

test('all ports in one slice stay all ports', () => {
  const slices = [slice('a', [pod('p1')], null), slice('b', [pod('p1')], [{ name: 'web', port: 1 }])];
  assert.equal(backendsOf(slices, ipv4)[0]?.ports, undefined);
});

test('the order of slices and endpoints does not matter', () => {
  const conditions = fc.constantFrom({}, { ready: F }, { ready: F, serving: T, terminating: T });
  const endpoint = fc.tuple(fc.constantFrom('p1', 'p2', 'p3'), conditions).map(([name, state]) => pod(name, state));
  const one = fc.tuple(fc.array(endpoint), fc.constantFrom([{ name: '', port: 1 }], [{ name: '', port: 2 }], null));
  fc.assert(
    fc.property(fc.array(one), fc.infiniteStream(fc.nat()), (parts, random) => {
      const slices = parts.map(([endpoints, ports], index) => slice(`s${index}`, endpoints, ports));
      const shuffled = slices
        .map((item) => ({ item, at: random.next().value as number }))
        .sort((a, b) => a.at - b.at)
        .map(({ item }) => item);
      assert.deepEqual(backendsOf(shuffled, ipv4), backendsOf(slices, ipv4));
    }),
  );
});

test('endpoints are counted per node', () => {
  const slices = [slice('a', [pod('p1'), pod('p2'), pod('p3', {}, { nodeName: 'node2' })])];
  assert.deepEqual(
    countByNode(backendsOf(slices, ipv4)),
    new Map([
      ['node1', 2],
      ['node2', 1],
    ]),
  );
});
