import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Facts, Settings } from '../../../providers/aws/model.ts';
import { plan } from '../../../providers/aws/plan.ts';
import { resolve } from '../../../providers/aws/resolve.ts';
import { isProviderError } from '../../../src/core/errors.ts';
import type { Cidr } from '../../../src/core/provider.ts';
import { listener, pod, spec, X } from './spec.ts';
import { emptyWorld, facts, settings, subnet } from './world.ts';

type Spec = Parameters<typeof spec>[0];
const stackOf = (one: Spec, given: { settings?: Partial<Settings>; facts?: Partial<Facts> } = {}) => {
  const all = { ...settings, backendSecurityGroup: 'off' as const, ...given.settings };
  return resolve(plan(spec(one), all), emptyWorld({ facts: facts(given.facts) }), all);
};

const group = (id: string, vpcId: string, Name: string) => ({ id, vpcId, name: id, tags: { Name } });
const groups = [
  group('sg-1', 'vpc-xxx', 'one'),
  group('sg-2', 'vpc-xxx', 'two'),
  group('sg-3', 'vpc-xxx', 'two'),
  group('sg-4', 'vpc-y', 'far'),
];

const refusals: readonly (readonly [string, Spec, string, RegExp])[] = [
  [
    'elastic addresses on an internal one',
    { short: { 'eip-allocations': 'a,b' } },
    'eip-allocations',
    /internet-facing only/,
  ],
  [
    'too few elastic addresses',
    { short: { scheme: 'internet-facing', 'eip-allocations': 'a' } },
    'eip-allocations',
    /1 entries for 2 subnets \(subnet-1, subnet-2\)/,
  ],
  [
    'private addresses on a public one',
    { short: { scheme: 'internet-facing', 'private-ipv4-addresses': '192.168.0.9,192.168.32.9' } },
    'private-ipv4-addresses',
    /internal only/,
  ],
  [
    'a private address in no subnet',
    { short: { 'private-ipv4-addresses': '192.168.0.9,10.0.0.1' } },
    'private-ipv4-addresses',
    /10\.0\.0\.1 is in none/,
  ],
  [
    'two private addresses in one subnet',
    { short: { 'private-ipv4-addresses': '192.168.0.9,192.168.0.10' } },
    'private-ipv4-addresses',
    /both in subnet-1/,
  ],
  [
    'a group that does not exist',
    { short: { 'security-groups': 'sg-9' } },
    'security-groups',
    /sg-9 does not exist in vpc-xxx/,
  ],
  ['a group of another VPC', { short: { 'security-groups': 'far' } }, 'security-groups', /far is in another VPC/],
  [
    'a group name that several have',
    { short: { 'security-groups': 'two' } },
    'security-groups',
    /two is the Name tag of several/,
  ],
  [
    'managed rules beside own groups without the backend group',
    { short: { 'security-groups': 'one', 'manage-backend-security-group-rules': 'true' } },
    'manage-backend-security-group-rules',
    /needs the backend security group/,
  ],
];
for (const [name, one, suffix, message] of refusals) {
  test(`refused: ${name}`, () =>
    assert.throws(
      () => stackOf(one, { facts: { securityGroups: groups } }),
      (error: unknown) => {
        assert.ok(isProviderError(error));
        assert.deepEqual([error.kind, error.field], ['invalid', `${X}${suffix}`]);
        assert.match(error.message, message);
        return true;
      },
    ));
}

test('addresses go to the subnet that holds them, whatever their order; elastic ones by position', () => {
  const { loadBalancer } = stackOf({ short: { 'private-ipv4-addresses': '192.168.32.9, 192.168.0.9' } });
  assert.deepEqual(loadBalancer.subnets, [
    { id: 'subnet-1', privateIpv4: '192.168.0.9' },
    { id: 'subnet-2', privateIpv4: '192.168.32.9' },
  ]);
  const dual = { subnets: [subnet('subnet-1', '192.168.0.0/19', { ipv6Cidr: '2001:db8::/64' as Cidr })] };
  const short = {
    'ip-address-type': 'dualstack',
    'ipv6-addresses': '2001:db8::5',
    'enable-prefix-for-ipv6-source-nat': 'on',
    'source-nat-ipv6-prefixes': 'auto_assigned',
  };
  const v6 = stackOf({ short }, { facts: dual });
  assert.deepEqual(v6.loadBalancer.subnets, [
    { id: 'subnet-1', ipv6: '2001:db8::5', sourceNatPrefix: 'auto_assigned' },
  ]);
});

test('own groups by name, with the backend group where rules are to be managed', () => {
  const given = { facts: { securityGroups: groups }, settings: { backendSecurityGroup: 'auto' as const } };
  const managed = stackOf(
    { short: { 'security-groups': 'one', 'manage-backend-security-group-rules': 'true' } },
    given,
  );
  assert.deepEqual(managed.loadBalancer.securityGroups, ['sg-1', 'backend']);
  assert.deepEqual(managed.ports[0]?.backendRules, [{ from: ['backend'], ports: [{ protocol: 'tcp', port: 30080 }] }]);
  const plain = stackOf({ short: { 'security-groups': 'one' } }, given);
  assert.deepEqual(
    [plain.loadBalancer.securityGroups, plain.ports[0]?.backendRules, plain.securityGroup],
    [['sg-1'], [], undefined],
  );
});

const udp = (port: number, more = {}) => listener(port, { protocol: 'UDP', ...more });
const texts = (one: Spec, given: Parameters<typeof stackOf>[1] = {}) =>
  stackOf(one, given).ports[0]?.backendRules.map(
    ({ from, ports }) =>
      `${from.join(' ')}: ${ports.map(({ protocol, port }) => `${protocol} ${port ?? 'all'}`).join(', ')}`,
  );

test('what nodes let in follows the protocol and the health port', () => {
  const health = (port: string, more: Spec = {}) => ({ ...more, short: { 'healthcheck-port': port } });
  assert.deepEqual(texts({}), ['managed: tcp 30080']);
  assert.deepEqual(texts({ listeners: [udp(80)] }), ['managed: udp 30080, tcp 30080']);
  assert.deepEqual(texts(health('9999', { listeners: [udp(80)] })), ['managed: udp 30080, tcp 9999']);
  assert.deepEqual(texts(health('30080', { listeners: [udp(80)] })), ['managed: udp 30080, tcp 30080']);
  assert.deepEqual(texts(health('9999')), ['managed: tcp 30080, tcp 9999']);
  assert.deepEqual(texts({ listeners: [listener(80), udp(80)] }), ['managed: tcp 30080, udp 30080']);
  assert.deepEqual(texts({ listeners: [udp(80)] }, { settings: { restrictedRules: false } }), [
    'managed: udp all, tcp all',
  ]);
});

test('without security groups, ranges of addresses take their place', () => {
  const bare = { settings: { securityGroups: false } };
  const subnets = '192.168.0.0/19 192.168.32.0/19';
  assert.deepEqual(texts({}, bare), ['192.168.0.0/16: tcp 30080']);
  assert.deepEqual(texts({ short: { scheme: 'internet-facing' } }, bare), ['0.0.0.0/0: tcp 30080']);
  assert.deepEqual(texts({ short: { type: 'nlb-ip' }, targetKind: 'pod', targets: [pod(1)] }, bare), [
    `${subnets}: tcp 30080`,
  ]);
  const hidden = { type: 'nlb-ip', 'target-group-attributes': 'preserve_client_ip.enabled=false' };
  const udpPods = { short: hidden, targetKind: 'pod' as const, targets: [pod(1)], listeners: [udp(80)] };
  assert.match(
    texts(udpPods, bare)?.[0] ?? '',
    /^192\.168\.0\.0\/16: udp/,
    'UDP always keeps the address of the client',
  );
  const sources = ['10.0.0.0/8' as Cidr];
  assert.deepEqual(texts({ sources }, bare), ['10.0.0.0/8: tcp 30080', `${subnets}: tcp 30080`]);
  assert.deepEqual(texts({ short: { 'healthcheck-port': '9999' } }, bare), [
    '192.168.0.0/16: tcp 30080',
    `${subnets}: tcp 9999`,
  ]);
  assert.deepEqual(texts({ listeners: [udp(80)] }, bare), [
    '192.168.0.0/16: udp 30080, tcp 30080',
    `${subnets}: tcp 30080`,
  ]);
});

test('clients come in by every port, protocol and range; prefix lists and path MTU discovery beside', () => {
  const { securityGroup } = stackOf({
    listeners: [listener(80), udp(80)],
    sources: ['10.0.0.0/8' as Cidr],
    short: { 'security-group-prefix-lists': 'pl-1', 'enable-icmp-for-path-mtu-discovery': 'on' },
  });
  assert.deepEqual(
    securityGroup?.ingress.map(
      ({ protocol, from, to, source }) => `${protocol} ${from}-${to} ${Object.values(source)[0]}`,
    ),
    ['icmp 3-4 10.0.0.0/8', 'tcp 80-80 10.0.0.0/8', 'tcp 80-80 pl-1', 'udp 80-80 10.0.0.0/8', 'udp 80-80 pl-1'],
  );
});
