import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Facts } from '../../../providers/aws/model.ts';
import { type SubnetWish, selectSubnets } from '../../../providers/aws/subnets.ts';
import { isProviderError } from '../../../src/core/errors.ts';
import type { Cidr } from '../../../src/core/provider.ts';
import { facts, subnet } from './world.ts';

const v6 = '2001:db8::/64' as Cidr;
const cidr = '192.168.0.0/19';
const wishOf = (more: Partial<SubnetWish> = {}): SubnetWish => ({
  wish: 'discover',
  scheme: 'internal',
  ipAddressType: 'ipv4',
  existing: undefined,
  cluster: 'my-cluster',
  ...more,
});
const of = (...subnets: Facts['subnets']) => facts({ subnets });
const own = { 'kubernetes.io/cluster/my-cluster': 'shared' };
const others = { 'kubernetes.io/cluster/b': 'shared' };
const role = (value: string) => ({ 'kubernetes.io/role/internal-elb': value });

const cases: readonly (readonly [string, Facts, Partial<SubnetWish>, readonly string[]])[] = [
  ['tagged ones, sorted by id', of(subnet('subnet-b', cidr), subnet('subnet-a', cidr)), {}, ['subnet-a', 'subnet-b']],
  [
    'the value of the role tag is empty or 1, nothing else',
    of(
      subnet('subnet-a', cidr, { tags: role('') }),
      subnet('subnet-b', cidr, { tags: role('1') }),
      subnet('subnet-c', cidr, { tags: role('0') }),
    ),
    {},
    ['subnet-a', 'subnet-b'],
  ],
  [
    'where none is tagged, those without a way in for internal',
    of(subnet('subnet-a', cidr, { tags: {} }), subnet('subnet-b', cidr, { tags: {}, isPublic: false })),
    {},
    ['subnet-b'],
  ],
  [
    'and those with one for internet-facing',
    of(subnet('subnet-a', cidr, { tags: {} }), subnet('subnet-b', cidr, { tags: {}, isPublic: false })),
    { scheme: 'internet-facing' },
    ['subnet-a'],
  ],
  [
    'one per zone: with the cluster tag first, then the lowest id',
    of(
      subnet('subnet-a', cidr, { zone: 'z1' }),
      subnet('subnet-b', cidr, { zone: 'z1', tags: { ...role('1'), ...own } }),
      subnet('subnet-d', cidr, { zone: 'z2' }),
      subnet('subnet-c', cidr, { zone: 'z2' }),
    ),
    {},
    ['subnet-b', 'subnet-c'],
  ],
  [
    'not those of other clusters only, of other VPCs, or without eight free addresses',
    of(
      subnet('subnet-a', cidr, { tags: { ...role('1'), ...others } }),
      subnet('subnet-b', cidr, { tags: { ...role('1'), ...others, ...own } }),
      subnet('subnet-c', cidr, { freeAddresses: 7 }),
      subnet('subnet-d', cidr, { freeAddresses: 8 }),
      subnet('subnet-e', cidr, { vpcId: 'vpc-other' }),
    ),
    {},
    ['subnet-b', 'subnet-d'],
  ],
  [
    'for dualstack those with an IPv6 CIDR',
    of(subnet('subnet-a', cidr), subnet('subnet-b', cidr, { ipv6Cidr: v6 })),
    { ipAddressType: 'dualstack' },
    ['subnet-b'],
  ],
  [
    'zones of the region before local zones',
    of(subnet('subnet-a', cidr, { zoneType: 'local-zone' }), subnet('subnet-b', cidr)),
    {},
    ['subnet-b'],
  ],
  [
    'what the load balancer has, whatever is tagged',
    of(subnet('subnet-a', cidr)),
    { existing: ['subnet-z', 'subnet-b'] },
    ['subnet-b', 'subnet-z'],
  ],
  [
    'by annotation: ids and names in its order, over what the load balancer has',
    of(subnet('subnet-a', cidr), subnet('subnet-b', cidr, { tags: { Name: 'mine' } })),
    { wish: ['mine', 'subnet-a'], existing: ['subnet-a'] },
    ['subnet-b', 'subnet-a'],
  ],
];

for (const [name, given, wish, ids] of cases) {
  test(`subnets: ${name}`, () =>
    assert.deepEqual(
      selectSubnets(given, wishOf(wish)).map(({ id }) => id),
      ids,
    ));
}

const refusals: readonly (readonly [string, Facts, Partial<SubnetWish>, RegExp])[] = [
  [
    'no subnet at all',
    of(),
    {},
    /vpc-xxx has no subnet for an internal load balancer: tag some kubernetes\.io\/role\/internal-elb/,
  ],
  ['none that is usable', of(subnet('subnet-a', cidr, { freeAddresses: 1 })), {}, /subnet-a has 1 free addresses/],
  ['an id that does not exist', of(), { wish: ['subnet-a'] }, /subnet-a does not exist in vpc-xxx/],
  [
    'one of another VPC',
    of(subnet('subnet-a', cidr, { vpcId: 'vpc-y' })),
    { wish: ['subnet-a'] },
    /subnet-a is in another VPC/,
  ],
  [
    'a name that several have',
    of(subnet('subnet-a', cidr, { tags: { Name: 'x' } }), subnet('subnet-b', cidr, { tags: { Name: 'x' } })),
    { wish: ['x'] },
    /x is the Name tag of several/,
  ],
  [
    'two of one zone',
    of(subnet('subnet-a', cidr, { zone: 'z' }), subnet('subnet-b', cidr, { zone: 'z' })),
    { wish: ['subnet-a', 'subnet-b'] },
    /subnet-a and subnet-b are both in zone z/,
  ],
  [
    'zones of two kinds',
    of(subnet('subnet-a', cidr), subnet('subnet-b', cidr, { zoneType: 'outpost' })),
    { wish: ['subnet-a', 'subnet-b'] },
    /several kinds of zone: availability-zone, outpost/,
  ],
  [
    'dualstack without IPv6',
    of(subnet('subnet-a', cidr)),
    { wish: ['subnet-a'], ipAddressType: 'dualstack' },
    /subnet-a has no IPv6 CIDR/,
  ],
  [
    'dualstack where the load balancer has none',
    of(subnet('subnet-a', cidr)),
    { existing: ['subnet-a'], ipAddressType: 'dualstack' },
    /subnet-a has no IPv6 CIDR/,
  ],
];

for (const [name, given, wish, message] of refusals) {
  test(`subnets refused: ${name}`, () =>
    assert.throws(
      () => selectSubnets(given, wishOf(wish)),
      (error: unknown) => {
        assert.ok(isProviderError(error));
        assert.deepEqual(
          [error.kind, error.field],
          ['invalid', 'service.beta.kubernetes.io/aws-load-balancer-subnets'],
        );
        assert.match(error.message, message);
        return true;
      },
    ));
}
