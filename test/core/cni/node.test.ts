/** What of the node goes into the plugin's answers: MTU, masquerading, the conflist. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { conflistText } from '../../../src/core/cni/conflist.ts';
import { masqueradeSets } from '../../../src/core/cni/masquerade.ts';
import { podMtu } from '../../../src/core/cni/mtu.ts';
import type { LinkRecord, RouteRecord } from '../../../src/core/net/rtnetlink.ts';
import type { Cidr } from '../../../src/core/provider.ts';
import { link, record } from '../../fake/routes.ts';

const links: readonly LinkRecord[] = [
  link(1, 'lo', { mtu: 65_536 }),
  link(2, 'eth0', { mtu: 9001 }),
  link(3, 'wan', { mtu: 1400 }),
];
const cases: readonly (readonly [string, readonly RouteRecord[], number, number])[] = [
  ['the default route', [record('0.0.0.0/0', { link: 2 })], 0, 9001],
  ['less what a tunnel adds', [record('0.0.0.0/0', { link: 2 })], 50, 8951],
  [
    'the better of two',
    [record('0.0.0.0/0', { link: 2, metric: 100 }), record('0.0.0.0/0', { link: 3, metric: 50 })],
    0,
    1400,
  ],
  ['that of IPv6 where IPv4 has none', [record('::/0', { link: 3 })], 0, 1400],
  ['not that of another table', [record('0.0.0.0/0', { link: 3, table: 100 })], 0, 1500],
  ['not a blackhole', [record('0.0.0.0/0', { type: 'blackhole' })], 0, 1500],
  ['the first way of several', [record('0.0.0.0/0', { hops: [{ link: 3, weight: 1 }] })], 0, 1400],
  ['Ethernet without a default route', [], 0, 1500],
  ['never below what IPv6 needs', [record('0.0.0.0/0', { link: 3 })], 400, 1280],
];
for (const [name, routes, overhead, mtu] of cases)
  test(`MTU of pods: ${name}`, () => assert.equal(podMtu(links, routes, overhead), mtu));

test('masquerading: own pods, towards all but pods of all nodes and what is configured', () => {
  const options = { masquerade: true, nonMasqueradeCidrs: ['192.168.0.0/16' as Cidr] };
  const nodes = [['10.64.1.0/24', 'fd00:1::/64'], ['10.64.0.0/24', 'fd00::/64'], ['nonsense'], []];
  assert.deepEqual(masqueradeSets(['10.64.1.0/24', 'fd00:1::/64'], nodes, options), {
    localPods: ['10.64.1.0/24', 'fd00:1::/64'],
    noMasq: ['10.64.0.0/23', '192.168.0.0/16', 'fd00::/64', 'fd00:1::/64'],
  });
  assert.deepEqual(masqueradeSets(['10.64.1.0/24'], nodes, { ...options, masquerade: false }), {
    localPods: [],
    noMasq: [],
  });
});

test('the conflist is one that old runtimes read, with 1.1.0 for those that know it', () => {
  assert.deepEqual(
    JSON.parse(
      conflistText({
        name: 'net',
        type: 'fairlead',
        chained: [{ type: 'bandwidth', capabilities: { bandwidth: true } }],
      }),
    ),
    {
      cniVersion: '1.0.0',
      cniVersions: ['0.3.1', '0.4.0', '1.0.0', '1.1.0'],
      name: 'net',
      plugins: [
        { type: 'fairlead', capabilities: { portMappings: true, ips: true, mac: true } },
        { type: 'bandwidth', capabilities: { bandwidth: true } },
      ],
    },
  );
});
