import assert from 'node:assert/strict';
import { test } from 'node:test';
import { contextOf, detectionOf, nodeAddresses, podCidrsOf } from '../../../src/agent/proxy/node-facts.ts';
import type { DetectLocalOptions, ProxyOptions } from '../../../src/agent/proxy/options.ts';
import type { Node } from '../../../src/core/objects.ts';
import type { Cidr } from '../../../src/core/provider.ts';

type Address = NonNullable<NonNullable<Node['status']>['addresses']>[number];
const node = (addresses: readonly Address[], more: Partial<Node> = {}): Node => ({
  metadata: { name: 'n1', uid: 'u', resourceVersion: '1', creationTimestamp: '' },
  spec: { podCIDRs: ['10.64.1.7/24', 'fd00:64:1::/64'] },
  status: { addresses },
  ...more,
});
const internal = (address: string): Address => ({ type: 'InternalIP', address });
const external = (address: string): Address => ({ type: 'ExternalIP', address });

const primary: readonly {
  name: string;
  addresses: readonly Address[];
  nodeIP?: string;
  expected: readonly string[];
}[] = [
  {
    name: 'the first of each family',
    addresses: [internal('192.0.2.1'), internal('192.0.2.2'), internal('FD00::1')],
    expected: ['192.0.2.1', 'fd00::1'],
  },
  {
    name: 'internal ones before external ones',
    addresses: [external('203.0.113.1'), internal('192.0.2.1')],
    expected: ['192.0.2.1'],
  },
  { name: 'external ones where there are no others', addresses: [external('203.0.113.1')], expected: ['203.0.113.1'] },
  {
    name: '--bind-address for its own family',
    addresses: [internal('192.0.2.1'), internal('fd00::1')],
    nodeIP: '192.0.2.9',
    expected: ['192.0.2.9', 'fd00::1'],
  },
  { name: 'names are none', addresses: [{ type: 'Hostname', address: 'n1' }], expected: [] },
];
for (const { name, addresses, nodeIP, expected } of primary) {
  test(`primary addresses of a node: ${name}`, () => {
    const how = { nodeName: 'n1', detectLocal: { by: 'node-cidr' as const }, nodePortAddresses: ['primary'] as const };
    const context = contextOf({ ...how, ...(nodeIP === undefined ? {} : { nodeIP }) }, node(addresses), []);
    assert.deepEqual(context.primaryAddresses, expected);
  });
}

const ranges: readonly { words: ProxyOptions['nodePortAddresses']; expected: unknown }[] = [
  { words: ['primary'], expected: 'primary' },
  { words: [], expected: 'primary' },
  { words: ['all'], expected: ['0.0.0.0/0', '::/0'] },
  { words: ['198.51.100.0/24' as Cidr, 'primary'], expected: ['198.51.100.0/24', '192.0.2.1/32', 'fd00::1/128'] },
];
for (const { words, expected } of ranges) {
  test(`where NodePorts answer: ${words.join(',') || 'nothing said'}`, () => {
    const how = { nodeName: 'n1', detectLocal: { by: 'node-cidr' as const }, nodePortAddresses: words };
    const context = contextOf(how, node([internal('192.0.2.1'), internal('fd00::1')]), []);
    assert.deepEqual(context.nodePortAddresses, expected);
  });
}

test('a node that does not exist has a name and nothing else', () => {
  const how = { nodeName: 'n1', detectLocal: { by: 'node-cidr' as const }, nodePortAddresses: ['primary'] as const };
  assert.deepEqual(contextOf(how, undefined, ['127.0.0.1']), {
    nodeName: 'n1',
    primaryAddresses: [],
    addresses: ['127.0.0.1'],
    nodePortAddresses: 'primary',
  });
});

const modes: readonly { detectLocal: DetectLocalOptions; cidrs: readonly string[]; ip: string; ip6: string }[] = [
  { detectLocal: { by: 'node-cidr' }, cidrs: ['10.64.1.0/24', 'fd00:64:1::/64'], ip: 'cidr', ip6: 'cidr' },
  {
    detectLocal: { by: 'cluster-cidr', cidrs: ['10.0.0.0/8' as Cidr] },
    cidrs: ['10.0.0.0/8'],
    ip: 'cidr',
    ip6: 'nothing',
  },
  { detectLocal: { by: 'cluster-cidr', cidrs: [] }, cidrs: [], ip: 'nothing', ip6: 'nothing' },
  { detectLocal: { by: 'interface', name: 'cni0' }, cidrs: [], ip: 'interface', ip6: 'interface' },
  {
    detectLocal: { by: 'interface-prefix', prefix: 'veth' },
    cidrs: [],
    ip: 'interface-prefix',
    ip6: 'interface-prefix',
  },
];
for (const { detectLocal, cidrs, ip, ip6 } of modes) {
  test(`who is a pod, by ${JSON.stringify(detectLocal)}`, () => {
    const found = podCidrsOf({ detectLocal }, node([]));
    assert.deepEqual(found, cidrs);
    assert.deepEqual(
      [detectionOf({ detectLocal }, 'ip', found).by, detectionOf({ detectLocal }, 'ip6', found).by],
      [ip, ip6],
    );
  });
}

test('a node without a pod CIDR yet: there is no telling, so that nothing is masqueraded by mistake', () => {
  const how = { detectLocal: { by: 'node-cidr' as const } };
  const bare = node([], { spec: {} });
  assert.deepEqual(podCidrsOf(how, bare), []);
  assert.equal(detectionOf(how, 'ip', []).by, 'nothing');
  assert.deepEqual(podCidrsOf(how, node([], { spec: { podCIDR: '10.64.1.0/24' } })), ['10.64.1.0/24']);
});

test('a pod that starts changes nothing about the addresses of its node', () => {
  const node = ['127.0.0.1', '::1', '192.0.2.1', 'fd00::1', '10.64.1.1', 'fe80::1'];
  const before = nodeAddresses(node);
  assert.deepEqual(before, ['10.64.1.1', '127.0.0.1', '192.0.2.1', '::1', 'fd00::1']);
  assert.deepEqual(nodeAddresses([...node, '10.64.1.1', 'fe80::a8bb:ccff:fedd:eeff']), before);
});
