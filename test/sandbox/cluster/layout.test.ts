import assert from 'node:assert/strict';
import { test } from 'node:test';
import { clusterLayout, freeSegment } from '../../../src/sandbox/cluster/layout.ts';

test('the layout of two nodes, both families', () => {
  assert.deepEqual(clusterLayout({ nodes: 2, segment: 171, ipv6: true }), {
    nodes: [
      {
        name: 'n1',
        addresses: ['198.18.171.11', 'fd00:198:18:ab::11'],
        interfaces: ['198.18.171.11/24', 'fd00:198:18:ab::11/64'],
      },
      {
        name: 'n2',
        addresses: ['198.18.171.12', 'fd00:198:18:ab::12'],
        interfaces: ['198.18.171.12/24', 'fd00:198:18:ab::12/64'],
      },
    ],
    api: '198.18.171.1/24',
    router: {
      segment: ['198.18.171.254/24', 'fd00:198:18:ab::fe/64'],
      outside: ['203.0.113.1/24', '2001:db8:203::1/64'],
    },
    client: ['203.0.113.9/24', '2001:db8:203::9/64'],
    gateways: {
      nodes: ['198.18.171.254', 'fd00:198:18:ab::fe'],
      client: ['203.0.113.1', '2001:db8:203::1'],
    },
    podCidrs: [
      { cidr: '10.244.0.0/16', prefixLength: 24 },
      { cidr: 'fd00:10:244::/48', prefixLength: 64 },
    ],
    serviceCidrs: ['10.96.0.0/16', 'fd00:10:96::/112'],
  });
});

test('a kernel without IPv6 gets none', () => {
  assert.doesNotMatch(JSON.stringify(clusterLayout({ nodes: 3, segment: 0, ipv6: false })), /fd00|2001/);
});

const cases: readonly {
  readonly name: string;
  readonly routes: string;
  readonly first: number;
  readonly expected?: number;
}[] = [
  { name: 'nothing is taken', routes: 'default via 10.0.0.1 dev eth0\n', first: 7, expected: 7 },
  {
    name: 'another sandbox has it',
    routes: '198.18.7.0/24 dev x proto kernel\nlocal 198.18.7.1 dev x\n',
    first: 7,
    expected: 8,
  },
  { name: 'the last one is taken', routes: '198.18.255.0/24 dev x\n', first: 255, expected: 0 },
  { name: 'a wider route', routes: '198.18.8.0/22 via 10.0.0.1\n', first: 9, expected: 12 },
  { name: 'a host route', routes: '198.18.9.9 via 10.0.0.1\n', first: 9, expected: 10 },
  { name: 'all of it is routed', routes: '198.18.0.0/15 via 10.0.0.1\n', first: 3 },
];
for (const { name, routes, first, expected } of cases) {
  test(`the range of the segment when ${name}`, () => assert.equal(freeSegment(routes, first), expected));
}
