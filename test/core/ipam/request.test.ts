import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isProviderError } from '../../../src/core/errors.ts';
import { type AddressRequest, plainRequestOf, requestOf } from '../../../src/core/ipam/request.ts';
import type { ServiceSpec } from '../../../src/core/objects.ts';
import { sourceOf } from './fixtures.ts';

const source = (annotations: Readonly<Record<string, string>> = {}, spec: ServiceSpec = {}) =>
  sourceOf({
    metadata: {
      name: 'shop',
      namespace: 'web',
      uid: 'u1',
      resourceVersion: '1',
      creationTimestamp: '2026-01-01T00:00:00Z',
      labels: { app: 'shop' },
      annotations,
    },
    spec: { type: 'LoadBalancer', clusterIPs: ['10.96.0.1'], ...spec },
  });

const plain: AddressRequest = {
  uid: 'u1',
  namespace: 'web',
  name: 'shop',
  labels: { app: 'shop' },
  families: ['ipv4'],
  policy: 'SingleStack',
  addresses: [],
  count: 1,
  ports: ['TCP/80'],
  sharingKey: '',
  backendKey: '',
  fields: { addresses: 'spec.loadBalancerIP', pool: 'metallb.io/address-pool' },
  deprecated: [],
};
const dual: ServiceSpec = { clusterIPs: ['10.96.0.1', 'fd00::1'], ipFamilyPolicy: 'RequireDualStack' };

const IPS = 'metallb.io/loadBalancerIPs';
const OLD_IPS = 'metallb.universe.tf/loadBalancerIPs';
const COUNT = 'fairlead.dev/address-count';
const POOLS = 'fairlead.dev/address-pools';

for (const { name, annotations = {}, spec = {}, expected } of [
  { name: 'nothing asked for', expected: {} },
  {
    name: 'ports are sorted, each once',
    spec: { ports: [{ port: 443 }, { port: 53, protocol: 'UDP' }, { port: 443, name: 'again' }, { port: 80 }] },
    expected: { ports: ['TCP/443', 'TCP/80', 'UDP/53'] },
  },
  { name: 'loadBalancerIP', spec: { loadBalancerIP: '1.2.3.4' }, expected: { addresses: ['1.2.3.4'] } },
  {
    name: 'loadBalancerIPs, trimmed, canonical, IPv4 first',
    annotations: { [IPS]: ' FD00::0:2 , 1.2.3.4' },
    spec: dual,
    expected: {
      families: ['ipv4', 'ipv6'],
      policy: 'RequireDualStack',
      addresses: ['1.2.3.4', 'fd00::2'],
      fields: { ...plain.fields, addresses: IPS },
    },
  },
  {
    name: 'IPv4-mapped IPv6 is IPv4',
    annotations: { [IPS]: '::ffff:1.2.3.4' },
    expected: { addresses: ['1.2.3.4'], fields: { ...plain.fields, addresses: IPS } },
  },
  {
    name: 'the old prefix',
    annotations: {
      [OLD_IPS]: '1.2.3.4',
      'metallb.universe.tf/address-pool': 'p',
      'metallb.universe.tf/allow-shared-ip': 'k',
    },
    expected: {
      addresses: ['1.2.3.4'],
      pool: 'p',
      sharingKey: 'k',
      fields: { addresses: OLD_IPS, pool: 'metallb.universe.tf/address-pool' },
      deprecated: [OLD_IPS, 'metallb.universe.tf/address-pool', 'metallb.universe.tf/allow-shared-ip'],
    },
  },
  {
    name: 'the new key wins even if empty',
    annotations: {
      [OLD_IPS]: 'nonsense',
      [IPS]: '',
      'metallb.universe.tf/allow-shared-ip': 'k',
      'metallb.io/allow-shared-ip': '',
    },
    expected: {},
  },
  {
    name: 'an empty annotation leaves loadBalancerIP in force',
    annotations: { [IPS]: '' },
    spec: { loadBalancerIP: '1.2.3.4' },
    expected: { addresses: ['1.2.3.4'] },
  },
  {
    name: 'Local shares by its selector',
    annotations: { 'metallb.io/allow-shared-ip': 'k' },
    spec: { externalTrafficPolicy: 'Local', selector: { b: '2', a: '1' } },
    expected: { sharingKey: 'k', backendKey: 'a=1,b=2' },
  },
  {
    name: 'Cluster does not',
    spec: { externalTrafficPolicy: 'Cluster', selector: { b: '2', a: '1' } },
    expected: { backendKey: '' },
  },
  { name: 'Local without a selector', spec: { externalTrafficPolicy: 'Local' }, expected: { backendKey: '' } },
  { name: 'a count', annotations: { [COUNT]: '8' }, expected: { count: 8 } },
  {
    name: 'several pools',
    annotations: { [POOLS]: 'b, a', [COUNT]: '1' },
    expected: { pools: ['b', 'a'], fields: { ...plain.fields, pool: POOLS } },
  },
  { name: 'retain', annotations: { 'fairlead.dev/retain': '10m' }, expected: { retainMs: 600_000 } },
  { name: 'no retain', annotations: { 'fairlead.dev/retain': '0' }, expected: { retainMs: 0 } },
  {
    name: 'the recorded pool',
    annotations: { 'metallb.io/ip-allocated-from-pool': 'p' },
    expected: { recordedPool: 'p' },
  },
  {
    name: 'the primary family comes first',
    spec: { clusterIPs: ['fd00::1', '10.96.0.1'], ipFamilyPolicy: 'PreferDualStack' },
    expected: { families: ['ipv6', 'ipv4'], policy: 'PreferDualStack' },
  },
] as readonly {
  name: string;
  annotations?: Record<string, string>;
  spec?: ServiceSpec;
  expected: Partial<AddressRequest>;
}[])
  test(`request: ${name}`, () => assert.deepEqual(requestOf(source(annotations, spec)), { ...plain, ...expected }));

for (const { name, annotations = {}, spec = {}, code, field, says } of [
  {
    name: 'no cluster IP',
    spec: { clusterIPs: [] },
    code: 'FL_CLUSTER_IP_MISSING',
    field: 'spec.clusterIPs',
    says: 'is empty',
  },
  {
    name: 'a headless Service',
    spec: { clusterIPs: ['None'] },
    code: 'FL_CLUSTER_IP_MISSING',
    field: 'spec.clusterIPs',
    says: '["None"]',
  },
  {
    name: 'RequireDualStack with one',
    spec: { ipFamilyPolicy: 'RequireDualStack' },
    code: 'FL_DUAL_STACK_MISSING',
    field: 'spec.ipFamilyPolicy',
    says: '10.96.0.1',
  },
  {
    name: 'no address in the spec',
    spec: { loadBalancerIP: 'here' },
    code: 'FL_ADDRESS_INVALID',
    field: 'spec.loadBalancerIP',
    says: '"here"',
  },
  {
    name: 'no address in the annotation',
    annotations: { [IPS]: '1.2.3.4,' },
    code: 'FL_ADDRESS_INVALID',
    field: IPS,
    says: '""',
  },
  {
    name: 'no address under the old key',
    annotations: { [OLD_IPS]: '1.2.3.04' },
    code: 'FL_ADDRESS_INVALID',
    field: OLD_IPS,
    says: '"1.2.3.04"',
  },
  {
    name: 'a zone',
    annotations: { [IPS]: 'fe80::1%eth0' },
    code: 'FL_ADDRESS_INVALID',
    field: IPS,
    says: 'fe80::1%eth0',
  },
  {
    name: 'one address twice',
    annotations: { [IPS]: '1.2.3.4,::ffff:1.2.3.4', [COUNT]: '2' },
    code: 'FL_ADDRESS_INVALID',
    field: IPS,
    says: 'twice',
  },
  {
    name: 'both fields',
    annotations: { [IPS]: '1.2.3.4' },
    spec: { loadBalancerIP: '1.2.3.4' },
    code: 'FL_ADDRESS_REQUEST_AMBIGUOUS',
    field: IPS,
    says: 'spec.loadBalancerIP',
  },
  {
    name: 'two of one family',
    annotations: { [IPS]: '1.2.3.4,1.2.3.5' },
    code: 'FL_ADDRESS_FAMILY',
    field: IPS,
    says: '1.2.3.4, 1.2.3.5',
  },
  {
    name: 'more of one family than the count',
    annotations: { [IPS]: '1.2.3.4,1.2.3.5,1.2.3.6', [COUNT]: '2' },
    code: 'FL_ADDRESS_FAMILY',
    field: IPS,
    says: '2',
  },
  { name: 'the other family', annotations: { [IPS]: 'fd00::5' }, code: 'FL_ADDRESS_FAMILY', field: IPS, says: 'ipv4' },
  {
    name: 'one of two families',
    annotations: { [IPS]: '1.2.3.4' },
    spec: dual,
    code: 'FL_ADDRESS_FAMILY',
    field: IPS,
    says: 'ipv4 and ipv6',
  },
  {
    name: 'one of two preferred families',
    annotations: { [IPS]: '1.2.3.4' },
    spec: { ...dual, ipFamilyPolicy: 'PreferDualStack' },
    code: 'FL_ADDRESS_FAMILY',
    field: IPS,
    says: 'ipv4 and ipv6',
  },
  { name: 'a count of 0', annotations: { [COUNT]: '0' }, code: 'FL_ADDRESS_COUNT_INVALID', field: COUNT, says: '"0"' },
  {
    name: 'a count of 9',
    annotations: { [COUNT]: '9' },
    code: 'FL_ADDRESS_COUNT_INVALID',
    field: COUNT,
    says: '1 to 8',
  },
  { name: 'an empty count', annotations: { [COUNT]: '' }, code: 'FL_ADDRESS_COUNT_INVALID', field: COUNT, says: '""' },
  {
    name: 'a count beside pools',
    annotations: { [COUNT]: '2', [POOLS]: 'a,b' },
    code: 'FL_ADDRESS_COUNT_INVALID',
    field: COUNT,
    says: POOLS,
  },
  {
    name: 'an empty list of pools',
    annotations: { [POOLS]: '' },
    code: 'FL_ADDRESS_REQUEST_AMBIGUOUS',
    field: POOLS,
    says: 'an empty name',
  },
  {
    name: 'a pool twice',
    annotations: { [POOLS]: 'a,b,a' },
    code: 'FL_ADDRESS_REQUEST_AMBIGUOUS',
    field: POOLS,
    says: 'a twice',
  },
  {
    name: 'pools and a pool',
    annotations: { [POOLS]: 'a,b', 'metallb.io/address-pool': 'a' },
    code: 'FL_ADDRESS_REQUEST_AMBIGUOUS',
    field: POOLS,
    says: 'metallb.io/address-pool',
  },
  {
    name: 'pools and an address',
    annotations: { [POOLS]: 'a,b', [IPS]: '1.2.3.4' },
    code: 'FL_ADDRESS_REQUEST_AMBIGUOUS',
    field: POOLS,
    says: IPS,
  },
  {
    name: 'a retain that is no duration',
    annotations: { 'fairlead.dev/retain': '1 day' },
    code: 'FL_RETAIN_INVALID',
    field: 'fairlead.dev/retain',
    says: '"1 day"',
  },
] as readonly {
  name: string;
  annotations?: Record<string, string>;
  spec?: ServiceSpec;
  code: string;
  field: string;
  says: string;
}[])
  test(`refused: ${name}`, () => {
    assert.throws(
      () => requestOf(source(annotations, spec)),
      (error) => {
        assert.ok(isProviderError(error));
        assert.deepEqual([error.kind, error.code, error.field], ['invalid', code, field]);
        assert.ok(error.message.includes(field) && error.message.includes(says), error.message);
        return true;
      },
    );
  });

test('a request that cannot be read still says who shares what', () => {
  const bad = source({
    [IPS]: 'nonsense',
    'metallb.io/allow-shared-ip': 'k',
    'metallb.io/ip-allocated-from-pool': 'p',
  });
  assert.deepEqual(plainRequestOf(bad), { ...plain, sharingKey: 'k', recordedPool: 'p' });
});

test('equal Services ask for equal things', () => {
  const annotations = { [IPS]: '1.2.3.4', [COUNT]: '2', 'fairlead.dev/retain': '1m' };
  assert.deepEqual(requestOf(source(annotations)), requestOf(source({ ...annotations })));
});
