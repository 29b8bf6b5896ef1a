import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ErrorCode } from '../../../src/core/errors.ts';
import { type Allocator, createAllocator } from '../../../src/core/ipam/allocator.ts';
import type { User } from '../../../src/core/ipam/entry.ts';
import type { AddressRequest } from '../../../src/core/ipam/request.ts';
import { type NamespaceText, type PoolText, pools, request } from './fixtures.ts';

function started(texts: readonly PoolText[], seed = 'seed', namespaces: readonly NamespaceText[] = []): Allocator {
  const allocator = createAllocator({ seed });
  allocator.setPools(pools(texts, namespaces));
  return allocator;
}
const p = (name: string, addresses: readonly string[], more: Partial<PoolText> = {}): PoolText => ({
  name,
  addresses,
  ...more,
});
const addressesOf = (allocator: Allocator, uid: string) => allocator.holdings(uid).map(({ address }) => address);
const user = (uid: string, more: Partial<User> = {}): User => ({
  namespace: 'default',
  name: uid,
  uid,
  ports: ['TCP/80'],
  sharingKey: '',
  backendKey: '',
  ...more,
});

interface Refusal {
  readonly name: string;
  readonly pools: readonly PoolText[];
  readonly before?: readonly AddressRequest[];
  readonly wish: Partial<AddressRequest>;
  readonly code: ErrorCode;
  readonly kind: 'invalid' | 'quota';
  readonly field?: string;
  readonly message: string;
}
const addressField = 'metallb.io/loadBalancerIPs';
const byAddress = (...addresses: readonly string[]): Partial<AddressRequest> => ({
  addresses,
  families: addresses.map((address) => (address.includes(':') ? 'ipv6' : 'ipv4')),
  fields: { addresses: addressField, pool: 'metallb.io/address-pool' },
});
const small = [p('a', ['10.0.0.0/31'])];
const refusals: readonly Refusal[] = [
  {
    name: 'no pools',
    pools: [],
    wish: {},
    code: 'FL_POOL_MISSING',
    kind: 'quota',
    message: 'there is no IPAddressPool to take an address from',
  },
  {
    name: 'no pool open',
    pools: [
      p('a', ['10.0.0.0/31'], { autoAssign: false }),
      p('b', ['10.0.1.0/31'], { serviceAllocation: { namespaces: ['x'] } }),
      p('c', ['10.0.2.0/31'], { annotations: { 'fairlead.dev/disabled': 'true' } }),
    ],
    wish: {},
    code: 'FL_POOL_MISSING',
    kind: 'quota',
    message:
      'no pool is open to default/s: a (autoAssign is false), b (its serviceAllocation does not select the Service) and c (fairlead.dev/disabled is "true")',
  },
  {
    name: 'no pool of the family',
    pools: small,
    wish: { families: ['ipv6'] },
    code: 'FL_POOL_MISSING',
    kind: 'quota',
    message: 'no pool open to default/s has IPv6 addresses: a',
  },
  {
    name: 'full',
    pools: small,
    before: [request('x'), request('y')],
    wish: {},
    code: 'FL_POOL_EXHAUSTED',
    kind: 'quota',
    message: 'no free IPv4 address: tried a',
  },
  {
    name: 'not enough in one pool',
    pools: [...small, p('b', ['10.0.1.0/32'])],
    wish: { count: 3 },
    code: 'FL_POOL_EXHAUSTED',
    kind: 'quota',
    message: 'no 3 free IPv4 addresses in one pool: tried a and b',
  },
  {
    name: 'no pool with both families',
    pools: [...small, p('b', ['fd00::/64'])],
    wish: { families: ['ipv4', 'ipv6'], policy: 'RequireDualStack' },
    code: 'FL_POOL_MISSING',
    kind: 'quota',
    message: 'no pool open to default/s has IPv6 addresses: a and b',
  },
  {
    name: 'unknown pool',
    pools: [...small, p('b', ['10.0.1.0/32'])],
    wish: { pool: 'z' },
    code: 'FL_POOL_UNKNOWN',
    kind: 'invalid',
    field: 'metallb.io/address-pool',
    message: 'metallb.io/address-pool: "z" is no pool; there are a and b',
  },
  {
    name: 'many pools are not all listed',
    pools: Array.from({ length: 8 }, (_, index) => p(`p${index}`, [`10.0.${index}.0/32`])),
    wish: { pool: 'z' },
    code: 'FL_POOL_UNKNOWN',
    kind: 'invalid',
    field: 'metallb.io/address-pool',
    message: 'metallb.io/address-pool: "z" is no pool; there are p0, p1, p2, p3, p4 and 3 more',
  },
  {
    name: 'a pool that selects others',
    pools: [p('a', ['10.0.0.0/31'], { serviceAllocation: { namespaces: ['x'] } })],
    wish: { pool: 'a' },
    code: 'FL_POOL_INCOMPATIBLE',
    kind: 'invalid',
    field: 'metallb.io/address-pool',
    message:
      'metallb.io/address-pool: pool "a" gives nothing to default/s: its serviceAllocation does not select the Service',
  },
  {
    name: 'an address of a pool that is drained',
    pools: [p('a', ['10.0.0.0/31'], { annotations: { 'fairlead.dev/disabled': 'true' } })],
    wish: byAddress('10.0.0.1'),
    code: 'FL_POOL_DISABLED',
    kind: 'quota',
    field: addressField,
    message: `${addressField}: pool "a" gives nothing to default/s: fairlead.dev/disabled is "true"`,
  },
  {
    name: 'a pool without the family',
    pools: small,
    wish: { pool: 'a', families: ['ipv6'] },
    code: 'FL_POOL_FAMILY',
    kind: 'invalid',
    field: 'metallb.io/address-pool',
    message: 'metallb.io/address-pool: pool "a" has no IPv6 addresses',
  },
  {
    name: 'pools of which none has the family',
    pools: [...small, p('b', ['10.0.1.0/32'])],
    wish: { pools: ['a', 'b'], families: ['ipv4', 'ipv6'], policy: 'RequireDualStack' },
    code: 'FL_POOL_FAMILY',
    kind: 'invalid',
    field: 'metallb.io/address-pool',
    message: 'metallb.io/address-pool: none of the pools "a" and "b" has IPv6 addresses',
  },
  {
    name: 'one of several pools is full',
    pools: [...small, p('b', ['10.0.1.0/32'])],
    before: [request('x', { pool: 'b' })],
    wish: { pools: ['a', 'b'] },
    code: 'FL_POOL_EXHAUSTED',
    kind: 'quota',
    message: 'no free IPv4 address: tried b',
  },
  {
    name: 'an address in no pool',
    pools: small,
    wish: byAddress('10.9.9.9'),
    code: 'FL_ADDRESS_NOT_IN_POOL',
    kind: 'invalid',
    field: addressField,
    message: `${addressField}: 10.9.9.9 is in no pool`,
  },
  {
    name: 'an address outside the pool asked for',
    pools: [...small, p('b', ['10.0.1.0/32'])],
    wish: { ...byAddress('10.0.0.0'), pool: 'b' },
    code: 'FL_ADDRESS_NOT_IN_POOL',
    kind: 'invalid',
    field: addressField,
    message: `${addressField}: 10.0.0.0 is not in pool "b", which metallb.io/address-pool asks for`,
  },
  {
    name: 'addresses in two pools',
    pools: [...small, p('b', ['fd00::/64'])],
    wish: byAddress('10.0.0.0', 'fd00::1'),
    code: 'FL_ADDRESS_NOT_IN_POOL',
    kind: 'invalid',
    field: addressField,
    message: `${addressField}: all addresses must be in one pool, but 10.0.0.0 in a and fd00::1 in b`,
  },
  {
    name: 'an address that the pool avoids',
    pools: [p('a', ['10.0.0.0/31'], { avoidBuggyIPs: true })],
    wish: byAddress('10.0.0.0'),
    code: 'FL_ADDRESS_AVOIDED',
    kind: 'invalid',
    field: addressField,
    message: `${addressField}: pool "a" avoids addresses that end in .0 or .255, such as 10.0.0.0`,
  },
  {
    name: 'an address in use',
    pools: small,
    before: [request('x')],
    wish: { ...byAddress('10.0.0.0'), sharingKey: 'k' },
    code: 'FL_ADDRESS_IN_USE',
    kind: 'quota',
    field: addressField,
    message: `${addressField}: 10.0.0.0: default/x uses it and does not share`,
  },
  {
    name: 'a shared address without a key',
    pools: small,
    before: [request('x', { sharingKey: 'k' })],
    wish: byAddress('10.0.0.0'),
    code: 'FL_ADDRESS_IN_USE',
    kind: 'quota',
    field: addressField,
    message: `${addressField}: 10.0.0.0: default/x uses it, and without metallb.io/allow-shared-ip it is not shared`,
  },
  {
    name: 'a shared address with another key',
    pools: small,
    before: [request('x', { sharingKey: 'k' })],
    wish: { ...byAddress('10.0.0.0'), sharingKey: 'l' },
    code: 'FL_ADDRESS_IN_USE',
    kind: 'quota',
    field: addressField,
    message: `${addressField}: 10.0.0.0: default/x uses it under the sharing key "k", not "l"`,
  },
  {
    name: 'a shared address with another selector',
    pools: small,
    before: [request('x', { sharingKey: 'k', backendKey: 'a=1' })],
    wish: { ...byAddress('10.0.0.0'), sharingKey: 'k', ports: ['TCP/81'] },
    code: 'FL_ADDRESS_IN_USE',
    kind: 'quota',
    field: addressField,
    message: `${addressField}: 10.0.0.0: default/x shares it, but externalTrafficPolicy Local needs equal policies and selectors`,
  },
  {
    name: 'a shared address whose port is taken: the first user by name is named',
    pools: small,
    before: [
      request('z', { sharingKey: 'k', ports: ['TCP/81'] }),
      request('y', { sharingKey: 'k', ports: ['TCP/443', 'TCP/80'] }),
      request('w', { sharingKey: 'k', ports: ['UDP/80'] }),
    ],
    wish: { ...byAddress('10.0.0.0'), sharingKey: 'k', ports: ['TCP/80', 'TCP/81'] },
    code: 'FL_ADDRESS_IN_USE',
    kind: 'quota',
    field: addressField,
    message: `${addressField}: 10.0.0.0: default/y shares it and has TCP/80 already`,
  },
  {
    name: 'the quota of the namespace',
    pools: [p('a', ['10.0.0.0/29'], { annotations: { 'fairlead.dev/quota': 'default=2' } })],
    before: [request('x'), request('y')],
    wish: {},
    code: 'FL_QUOTA_NAMESPACE',
    kind: 'quota',
    message:
      'namespace "default" may have 2 addresses of pool "a" (fairlead.dev/quota); held by default/x and default/y',
  },
  {
    name: 'a quota of none',
    pools: [p('a', ['10.0.0.0/29'], { annotations: { 'fairlead.dev/quota': '*=0' } })],
    wish: byAddress('10.0.0.3'),
    code: 'FL_QUOTA_NAMESPACE',
    kind: 'quota',
    message: 'namespace "default" may have 0 addresses of pool "a" (fairlead.dev/quota); none is held',
  },
];
for (const { name, pools: texts, before = [], wish, code, kind, field, message } of refusals)
  test(`refused: ${name}`, () => {
    const allocator = started(texts);
    for (const each of before) assert.equal(allocator.allocate(each).failure, undefined);
    const { failure, ...rest } = allocator.allocate(request('s', wish));
    assert.deepEqual(
      { code: failure?.code, kind: failure?.kind, field: failure?.field, message: failure?.message },
      { code, kind, field, message },
    );
    assert.deepEqual(rest, {
      addresses: [],
      keep: [],
      update: [],
      take: [],
      release: [],
      shortfalls: [],
      notes: [],
      freed: [],
    });
  });

test('a request that cannot be met any more leaves the last good addresses', () => {
  const allocator = started([p('a', ['10.0.0.0/31'])]);
  allocator.allocate(request('s'));
  for (const wish of [{ pool: 'z' }, byAddress('10.9.9.9'), { families: ['ipv6'] as const }, { count: 3, pool: 'z' }]) {
    const { failure, keep, release, shortfalls, notes } = allocator.allocate(request('s', wish));
    assert.ok(failure);
    assert.deepEqual([keep.map(({ address }) => address), release, shortfalls, notes], [['10.0.0.0'], [], [], []]);
    assert.deepEqual(addressesOf(allocator, 's'), ['10.0.0.0']);
  }
});

test('a changed request moves the Service, and says what it gave up', () => {
  const allocator = started([p('a', ['10.0.0.0/31', 'fd00::/127']), p('b', ['10.0.1.0/31'])]);
  allocator.allocate(request('s', { families: ['ipv4', 'ipv6'], policy: 'RequireDualStack' }));
  const moved = allocator.allocate(request('s', { pool: 'b' }));
  assert.deepEqual(moved.addresses, [{ address: '10.0.1.0', family: 'ipv4', pool: 'b' }]);
  assert.deepEqual(
    moved.notes.map(({ type, reason, message }) => `${type} ${reason} ${message}`),
    [
      'Normal ClearAssignment 10.0.0.0 is given up: metallb.io/address-pool asks for pool "b"',
      'Normal ClearAssignment fd00:: is given up: the Service has no IPv6 any more',
    ],
  );
  assert.deepEqual(moved.freed, [
    { pool: 'a', family: 'ipv4', count: 1n, address: '10.0.0.0', sharingKey: '' },
    { pool: 'a', family: 'ipv6', count: 1n, address: 'fd00::', sharingKey: '' },
  ]);
});

test('an address stays when its pool no longer selects the Service, and both condition and event say so', () => {
  const allocator = started([p('a', ['10.0.0.0/31'])]);
  allocator.allocate(request('s'));
  allocator.setPools(
    pools([p('a', ['10.0.0.0/31'], { serviceAllocation: { namespaces: ['x'] }, avoidBuggyIPs: true })]),
  );
  const { addresses, shortfalls, notes, failure } = allocator.decide(request('s'));
  assert.equal(failure, undefined);
  assert.deepEqual(
    addresses.map(({ address }) => address),
    ['10.0.0.0'],
  );
  const messages = [
    '10.0.0.0 stays as it was: the serviceAllocation of pool "a" does not select the Service any more',
    '10.0.0.0 stays as it was: pool "a" now avoids addresses that end in .0 or .255',
  ];
  assert.deepEqual(
    shortfalls,
    messages.map((message) => ({ reason: 'StaleSpec', message })),
  );
  assert.deepEqual(
    notes,
    messages.map((message) => ({ type: 'Warning', reason: 'AllocationFailed', message })),
  );
});

test('a change of ports that another user forbids keeps address and record, and is made when that user goes', () => {
  const allocator = started([p('a', ['10.0.0.0/30'])]);
  const share = { sharingKey: 'k' };
  allocator.allocate(request('one', { ...share, ports: ['TCP/80'] }));
  allocator.allocate(request('two', { ...share, ports: ['TCP/81'] }));
  const wish = request('two', { ...share, ports: ['TCP/80', 'TCP/81'] });
  const refused = allocator.allocate(wish);
  assert.deepEqual(refused.update, []);
  assert.deepEqual(
    refused.shortfalls.map(({ message }) => message),
    ['10.0.0.0 stays as it was: default/one shares it and has TCP/80 already'],
  );
  assert.deepEqual(allocator.entry('10.0.0.0')?.users.find(({ uid }) => uid === 'two')?.ports, ['TCP/81']);
  allocator.release('one');
  assert.deepEqual(
    allocator.allocate(wish).update.map(({ address }) => address),
    ['10.0.0.0'],
  );
  assert.deepEqual(allocator.entry('10.0.0.0')?.users, [user('two', { ...share, ports: ['TCP/80', 'TCP/81'] })]);
});

test('a second family that is preferred is a note when it cannot be had, and comes later from the same pool', () => {
  const allocator = started([p('a', ['10.0.0.0/31', 'fd00::/128']), p('b', ['fd01::/64'])]);
  allocator.allocate(request('x', { families: ['ipv6'], pool: 'a' }));
  const wish = request('s', { families: ['ipv4', 'ipv6'], policy: 'PreferDualStack' });
  const first = allocator.allocate(wish);
  assert.deepEqual(
    first.addresses.map(({ address }) => address),
    ['10.0.0.0'],
  );
  const again = allocator.decide(wish);
  assert.deepEqual([again.failure, again.shortfalls], [undefined, []]);
  assert.deepEqual(again.notes, [
    { type: 'Normal', reason: 'AdditionalAssignFailed', message: 'cannot add IPv6: no free IPv6 address: tried a' },
  ]);
  allocator.release('x');
  assert.deepEqual(allocator.allocate(wish).take, [{ address: 'fd00::', family: 'ipv6', pool: 'a' }]);
});

test('a second family that becomes required moves the Service if its pool does not have it', () => {
  const allocator = started([p('a', ['10.0.0.0/31']), p('b', ['10.0.1.0/31', 'fd00::/127'])]);
  allocator.allocate(request('s'));
  const wish = request('s', { families: ['ipv4', 'ipv6'], policy: 'RequireDualStack' });
  assert.deepEqual(
    allocator.allocate(wish).addresses.map(({ address }) => address),
    ['10.0.1.0', 'fd00::'],
  );
  assert.equal(allocator.entry('10.0.0.0'), undefined);
});

test('between taking a new pair and giving up the old address, the pair is what is meant', () => {
  const allocator = started([p('a', ['10.0.0.0/31']), p('b', ['10.0.1.0/31', 'fd00::/127'])]);
  allocator.allocate(request('s'));
  const wish = request('s', { families: ['ipv4', 'ipv6'], policy: 'RequireDualStack' });
  const taken = allocator.take(wish);
  const between = allocator.decide(wish);
  assert.deepEqual(between.addresses, taken.addresses);
  assert.deepEqual(
    between.release.map(({ address }) => address),
    ['10.0.0.0'],
  );
  assert.deepEqual(between.take, []);
});

test('a change of pools lists every address that moves or is stranded, with all its users, and refuses what nobody allowed', () => {
  const allocator = started([
    p('a', ['10.0.0.0/30']),
    p('b', ['10.0.1.0/30'], { annotations: { 'fairlead.dev/allow-shrink': 'true' } }),
  ]);
  const share = { sharingKey: 'k' };
  allocator.allocate(request('one', { ...share, ports: ['TCP/80'] }));
  allocator.allocate(request('two', { ...share, ports: ['TCP/81'] }));
  allocator.allocate(request('three', byAddress('10.0.0.3')));
  allocator.allocate(request('four', byAddress('10.0.1.3')));
  allocator.allocate(request('five', byAddress('10.0.1.0')));
  const change = allocator.preview(pools([p('c', ['10.0.0.0/31']), p('b', ['10.0.1.0/31'])]));
  const named = (uid: string) => ({ namespace: 'default', name: uid, uid });
  assert.deepEqual(change.moved, [{ address: '10.0.0.0', from: 'a', to: 'c', users: [named('one'), named('two')] }]);
  assert.deepEqual(change.stranded, [
    { address: '10.0.0.3', from: 'a', users: [named('three')] },
    { address: '10.0.1.3', from: 'b', users: [named('four')] },
  ]);
  assert.deepEqual(change.refused, [{ address: '10.0.0.3', from: 'a', users: [named('three')] }]);
  const allowed = allocator.preview(
    pools([p('a', ['10.0.0.0/31'], { annotations: { 'fairlead.dev/allow-shrink': 'true' } })]),
  );
  assert.deepEqual(
    allowed.stranded.map(({ address }) => address),
    ['10.0.0.3', '10.0.1.0', '10.0.1.3'],
  );
  assert.deepEqual(allowed.refused, []);
});

test('a change of who may use a pool lists whose addresses are held against other rules from now on', () => {
  const allocator = started([p('a', ['10.0.0.0/30']), p('b', ['10.0.1.0/30'])]);
  allocator.allocate(request('one'));
  allocator.allocate(request('two', byAddress('10.0.1.0')));
  const named = { namespace: 'default', name: 'two', uid: 'two' };
  const judged = (text: Parameters<typeof p>[2]) =>
    allocator.preview(pools([p('a', ['10.0.0.0/29']), p('b', ['10.0.1.0/30'], text)])).judged;
  const expected = [{ address: '10.0.1.0', from: 'b', to: 'b', users: [named] }];
  assert.deepEqual(judged({}), []);
  assert.deepEqual(judged({ serviceAllocation: { namespaces: ['other'] } }), expected);
  assert.deepEqual(judged({ avoidBuggyIPs: true }), expected);
});

test('a retained address strands nobody', () => {
  const allocator = started([p('a', ['10.0.0.0/30'], { annotations: { 'fairlead.dev/retain': '1h' } })]);
  allocator.allocate(request('s'));
  allocator.release('s', { retainAtMs: 0 });
  assert.deepEqual(allocator.preview([]).stranded, []);
});

test('an address without a pool is given up at the next decision, and a new one taken at once', () => {
  const allocator = started([p('a', ['10.0.0.0/31'])]);
  allocator.allocate(request('s'));
  allocator.setPools(pools([p('b', ['10.0.1.0/31'])]));
  assert.deepEqual(allocator.holdings('s'), [{ address: '10.0.0.0', family: 'ipv4', pool: 'a' }]);
  const { take, release, notes } = allocator.allocate(request('s'));
  assert.deepEqual(take, [{ address: '10.0.1.0', family: 'ipv4', pool: 'b' }]);
  assert.deepEqual(release, [{ address: '10.0.0.0', family: 'ipv4', pool: 'a' }]);
  assert.deepEqual(
    notes.map(({ message }) => message),
    ['10.0.0.0 is given up: it is in no pool any more'],
  );
});

test('an address without a pool is given up although no other is to be had', () => {
  const allocator = started([p('a', ['10.0.0.0/31'])]);
  allocator.allocate(request('s'));
  allocator.setPools([]);
  const { failure, release, addresses } = allocator.allocate(request('s'));
  assert.equal(failure?.code, 'FL_POOL_MISSING');
  assert.deepEqual([release.map(({ address }) => address), addresses], [['10.0.0.0'], []]);
  assert.deepEqual(allocator.holders(), []);
});

test('a renamed pool is written anew, once', () => {
  const allocator = started([p('a', ['10.0.0.0/31'])]);
  allocator.allocate(request('s'));
  allocator.setPools(pools([p('b', ['10.0.0.0/31'])]));
  assert.equal(allocator.entry('10.0.0.0')?.pool, 'b');
  assert.deepEqual(allocator.allocate(request('s')).update, [{ address: '10.0.0.0', family: 'ipv4', pool: 'b' }]);
  assert.deepEqual(allocator.allocate(request('s')).update, []);
});

test('users who share an address of overlapping pools do not pull it to and fro', () => {
  const allocator = started([p('a', ['10.0.0.0/31']), p('b', ['10.0.0.0/31'])]);
  const one = request('one', { pool: 'a', sharingKey: 'k', ports: ['TCP/80'] });
  const two = request('two', { pool: 'b', sharingKey: 'k', ports: ['TCP/81'] });
  for (const each of [one, two]) allocator.allocate(each);
  assert.deepEqual(addressesOf(allocator, 'one'), addressesOf(allocator, 'two'));
  for (const each of [one, two, one, two]) assert.deepEqual(allocator.allocate(each).update, []);
  allocator.release('two');
  assert.deepEqual(allocator.allocate(one).update, [{ address: '10.0.0.0', family: 'ipv4', pool: 'a' }]);
});

for (const { name, from, to, freed } of [
  { name: 'a new pool', from: [], to: [p('a', ['10.0.0.0/30'])], freed: [['a', 'ipv4', 4n]] },
  {
    name: 'a longer range',
    from: [p('a', ['10.0.0.0/31'])],
    to: [p('a', ['10.0.0.0/30'])],
    freed: [['a', 'ipv4', 2n]],
  },
  { name: 'a shorter range', from: [p('a', ['10.0.0.0/30'])], to: [p('a', ['10.0.0.0/31'])], freed: [] },
  {
    name: 'another range, even a smaller one',
    from: [p('a', ['10.0.0.0/30'])],
    to: [p('a', ['10.0.1.0/31'])],
    freed: [['a', 'ipv4', 2n]],
  },
  {
    name: 'a range that begins and ends elsewhere',
    from: [p('a', ['10.0.0.0/31', '10.0.0.4/30'])],
    to: [p('a', ['10.0.0.1-10.0.0.5', '10.0.0.9/32'])],
    freed: [['a', 'ipv4', 3n]],
  },
  {
    name: 'the same addresses, written otherwise',
    from: [p('a', ['10.0.0.0/31', '10.0.0.2/31'])],
    to: [p('a', ['10.0.0.0-10.0.0.3'])],
    freed: [],
  },
  {
    name: 'another family',
    from: [p('a', ['10.0.0.0/30'])],
    to: [p('a', ['10.0.0.0/30', 'fd00::/64'])],
    freed: [['a', 'ipv6', 2n ** 63n - 1n]],
  },
  { name: 'nothing', from: [p('a', ['10.0.0.0/30'])], to: [p('a', ['10.0.0.0/30'])], freed: [] },
  {
    name: 'autoAssign',
    from: [p('a', ['10.0.0.0/30'], { autoAssign: false })],
    to: [p('a', ['10.0.0.0/30'])],
    freed: [['a', 'ipv4', 3n]],
  },
  {
    name: 'a lifted fence',
    from: [p('a', ['10.0.0.0/30'], { serviceAllocation: { namespaces: ['default'] } })],
    to: [p('a', ['10.0.0.0/30'])],
    freed: [['a', 'ipv4', 3n]],
  },
  {
    name: 'a higher quota',
    from: [p('a', ['10.0.0.0/30'], { annotations: { 'fairlead.dev/quota': '*=1' } })],
    to: [p('a', ['10.0.0.0/30'])],
    freed: [['a', 'ipv4', 3n]],
  },
  {
    name: 'a drain',
    from: [p('a', ['10.0.0.0/31'])],
    to: [p('a', ['10.0.0.0/30'], { annotations: { 'fairlead.dev/disabled': 'true' } })],
    freed: [],
  },
  {
    name: 'the end of a drain',
    from: [p('a', ['10.0.0.0/31'], { annotations: { 'fairlead.dev/disabled': 'true' } })],
    to: [p('a', ['10.0.0.0/31'])],
    freed: [['a', 'ipv4', 2n]],
  },
])
  test(`room made by a change of pools: ${name}`, () => {
    const allocator = started(from);
    // One in use, where it can be.
    allocator.allocate(request('s', { ...(from.length > 0 ? { pool: 'a' } : {}) }));
    const change = allocator.setPools(pools(to));
    assert.deepEqual(
      change.freed.map(({ pool, family, count }) => [pool, family, count]),
      freed,
    );
  });

test('adoption keeps an address whose pool gives nothing new, or whose namespace is over its quota', () => {
  for (const key of ['fairlead.dev/disabled', 'fairlead.dev/quota']) {
    const annotations = { [key]: key.endsWith('quota') ? '*=0' : 'true' };
    const allocator = started([p('a', ['10.0.0.0/31'], { annotations })]);
    const { adopted, cleared } = allocator.adopt(request('s'), ['10.0.0.1']);
    assert.deepEqual([adopted, cleared], [[{ address: '10.0.0.1', family: 'ipv4', pool: 'a' }], []]);
    const { failure, keep } = allocator.allocate(request('s'));
    assert.deepEqual([failure, keep.length], [undefined, 1]);
  }
});

test('a Service that holds something adopts nothing', () => {
  const allocator = started([p('a', ['10.0.0.0/31'])]);
  allocator.allocate(request('s'));
  assert.deepEqual(allocator.adopt(request('s'), ['10.0.0.1']), { adopted: [], cleared: [], notes: [] });
  assert.deepEqual(allocator.adopt(request('t'), []), { adopted: [], cleared: [], notes: [] });
  assert.equal(allocator.entry('10.0.0.1'), undefined);
});

for (const { name, wish = {}, published, type, says } of [
  { name: 'in no pool', published: ['10.9.9.9'], type: 'Normal', says: 'no pool has it' },
  { name: 'no address', published: ['lb.example.com'], type: 'Warning', says: 'not all of it are addresses' },
  { name: 'two of one family', published: ['10.0.0.0', '10.0.0.1'], type: 'Warning', says: 'more than 1 IPv4 address' },
  { name: 'another family', published: ['fd00::'], type: 'Normal', says: 'the Service has no IPv6' },
  {
    name: 'one of two families',
    wish: { families: ['ipv4', 'ipv6'], policy: 'RequireDualStack' },
    published: ['10.0.0.0'],
    type: 'Normal',
    says: 'the Service also needs IPv6',
  },
  {
    name: 'another pool asked for',
    wish: { pool: 'b' },
    published: ['10.0.0.0'],
    type: 'Normal',
    says: 'metallb.io/address-pool asks for pool "b"',
  },
  {
    name: 'another address asked for',
    wish: byAddress('10.0.0.1'),
    published: ['10.0.0.0'],
    type: 'Normal',
    says: `${addressField} asks for 10.0.0.1`,
  },
  {
    name: 'in use',
    published: ['10.0.0.2'],
    type: 'Normal',
    says: '10.0.0.2: default/other uses it and does not share',
  },
  {
    name: 'two pools',
    wish: { families: ['ipv4', 'ipv6'], policy: 'RequireDualStack' },
    published: ['10.0.0.0', 'fd01::'],
    type: 'Normal',
    says: 'no pool has all of them',
  },
  {
    name: 'a pool that selects others',
    published: ['10.0.2.0'],
    type: 'Normal',
    says: 'the serviceAllocation of pool "fenced" does not select the Service',
  },
  {
    name: 'an address that the pool avoids',
    published: ['10.0.3.0'],
    type: 'Normal',
    says: 'pool "careful" avoids addresses that end in .0 or .255',
  },
  {
    name: 'none of the pools asked for',
    wish: { pools: ['a', 'b'] },
    published: ['10.0.2.0'],
    type: 'Normal',
    says: 'metallb.io/address-pool asks for a and b, which do not have 10.0.2.0',
  },
] as readonly { name: string; wish?: Partial<AddressRequest>; published: string[]; type: string; says: string }[])
  test(`adoption clears: ${name}`, () => {
    const allocator = started([
      p('a', ['10.0.0.0/30', 'fd00::/127']),
      p('b', ['10.0.1.0/30', 'fd01::/127']),
      p('careful', ['10.0.3.0/31'], { avoidBuggyIPs: true }),
      p('fenced', ['10.0.2.0/31'], { serviceAllocation: { namespaces: ['x'] } }),
    ]);
    allocator.allocate(request('other', byAddress('10.0.0.2')));
    const { adopted, cleared, notes } = allocator.adopt(request('s', wish), published);
    assert.deepEqual([adopted, cleared, notes.length], [[], published, 1]);
    assert.deepEqual([notes[0]?.type, notes[0]?.reason], [type, 'ClearAssignment']);
    assert.ok(notes[0]?.message.endsWith(`cannot stay: ${says}`), notes[0]?.message);
    assert.deepEqual(allocator.holdings('s'), []);
  });

test('adoption prefers the pool that the Service recorded, if it lets it in', () => {
  const texts = [
    p('a', ['10.0.0.0/31']),
    p('b', ['10.0.0.0/31']),
    p('c', ['10.0.0.0/31'], { serviceAllocation: { namespaces: ['x'] } }),
  ];
  const adopt = (recordedPool: string) =>
    started(texts).adopt(request('s', { recordedPool }), ['10.0.0.0']).adopted[0]?.pool;
  assert.deepEqual(['b', 'c', 'gone'].map(adopt), ['b', 'a', 'a']);
});

test('one address from each pool is adopted', () => {
  const allocator = started([p('a', ['10.0.0.0/31']), p('b', ['10.0.1.0/31'])]);
  const wish = request('s', { pools: ['b', 'a'] });
  assert.deepEqual(allocator.adopt(wish, ['10.0.1.1', '10.0.0.1']).adopted, [
    { address: '10.0.0.1', family: 'ipv4', pool: 'a' },
    { address: '10.0.1.1', family: 'ipv4', pool: 'b' },
  ]);
  assert.deepEqual(allocator.allocate(wish).take, []);
});

test('what is retained is in the entry, to the second, and due then', () => {
  const allocator = started([p('a', ['10.0.0.0/30'], { annotations: { 'fairlead.dev/retain': '90s' } })]);
  allocator.allocate(request('one', { namespace: 'b', sharingKey: 'k', ports: ['TCP/80'] }));
  allocator.allocate(request('two', { namespace: 'a', sharingKey: 'k', ports: ['TCP/81'] }));
  const atMs = Date.parse('2026-11-20T12:00:00.001Z');
  const { freed } = allocator.release('one', { retainAtMs: atMs });
  assert.deepEqual(freed, [{ pool: 'a', family: 'ipv4', count: 0n, address: '10.0.0.0', sharingKey: 'k' }]);
  allocator.release('two', { retainAtMs: atMs + 10_000 });
  const [first, second] = ['2026-11-20T12:01:31Z', '2026-11-20T12:01:41Z'];
  assert.deepEqual(allocator.entry('10.0.0.0'), {
    pool: 'a',
    users: [],
    retained: [
      { namespace: 'a', name: 'two', until: second },
      { namespace: 'b', name: 'one', until: first },
    ],
  });
  assert.equal(allocator.nextExpiryMs(), Date.parse(first as string));
  assert.deepEqual(allocator.purge(Date.parse(first as string) - 1), []);
  assert.deepEqual(
    allocator.purge(Date.parse(first as string)).map(({ address, count }) => [address, count]),
    [['10.0.0.0', 0n]],
  );
  assert.deepEqual(
    allocator.purge(Date.parse(second as string)).map(({ address, count }) => [address, count]),
    [['10.0.0.0', 1n]],
  );
  assert.equal(allocator.entry('10.0.0.0'), undefined);
  assert.equal(allocator.nextExpiryMs(), undefined);
});

test('a Service that comes back gets its address although a pool before it has room now, and shares it as before', () => {
  const retain = { annotations: { 'fairlead.dev/retain': '1h' } };
  const allocator = started([p('a', ['10.0.0.0/32'], retain), p('b', ['10.0.1.0/30'], retain)]);
  allocator.allocate(request('x'));
  allocator.allocate(request('one', { sharingKey: 'k', ports: ['TCP/80'] }));
  allocator.allocate(request('two', { sharingKey: 'k', ports: ['TCP/81'] }));
  allocator.release('x');
  for (const uid of ['one', 'two']) allocator.release(uid, { retainAtMs: 0 });
  for (const [uid, port] of [
    ['two', 'TCP/81'],
    ['one', 'TCP/80'],
  ] as const)
    allocator.allocate(request(`${uid}-again`, { name: uid, sharingKey: 'k', ports: [port] }));
  assert.deepEqual(
    [addressesOf(allocator, 'one-again'), addressesOf(allocator, 'two-again')],
    [['10.0.1.0'], ['10.0.1.0']],
  );
  assert.equal(allocator.entry('10.0.1.0')?.retained, undefined);
});

test('an address retained for another is named as such', () => {
  const allocator = started([p('a', ['10.0.0.0/30'], { annotations: { 'fairlead.dev/retain': '1h' } })]);
  allocator.allocate(request('one'));
  allocator.release('one', { retainAtMs: 0 });
  const { failure } = allocator.decide(request('s', byAddress('10.0.0.0')));
  assert.equal(
    failure?.message,
    `${addressField}: 10.0.0.0: it is retained for default/one until 1970-01-01T01:00:00Z`,
  );
  const { addresses } = allocator.explain(request('s', byAddress('10.0.0.0')));
  assert.deepEqual(addresses, [{ address: '10.0.0.0', pool: 'a', users: [], retainedFor: ['default/one'] }]);
});

test('a promise whose end cannot be read is due', () => {
  const allocator = started([p('a', ['10.0.0.0/30'])]);
  allocator.restore('10.0.0.1', { pool: 'a', users: [], retained: [{ namespace: 'x', name: 'y', until: 'soon' }] });
  assert.equal(allocator.nextExpiryMs(), 0);
  assert.deepEqual(
    allocator.purge(0).map(({ address, count }) => [address, count]),
    [['10.0.0.1', 1n]],
  );
});

test('some of the addresses of a Service can be released', () => {
  const allocator = started([p('a', ['10.0.0.0/30'])]);
  allocator.allocate(request('s', { count: 3 }));
  const { released } = allocator.release('s', { addresses: ['10.0.0.1', '10.0.0.9'] });
  assert.deepEqual(
    released.map(({ address }) => address),
    ['10.0.0.1'],
  );
  assert.deepEqual(addressesOf(allocator, 's'), ['10.0.0.0', '10.0.0.2']);
});

test('a block that says something else replaces what is known', () => {
  const allocator = started([p('a', ['10.0.0.0/30'])]);
  allocator.allocate(request('s', { sharingKey: 'k' }));
  const freed = allocator.restore('10.0.0.0', { pool: 'a', users: [user('other')] });
  assert.deepEqual(freed, [{ pool: 'a', family: 'ipv4', count: 0n, address: '10.0.0.0', sharingKey: 'k' }]);
  assert.deepEqual([addressesOf(allocator, 's'), addressesOf(allocator, 'other')], [[], ['10.0.0.0']]);
  assert.deepEqual(
    allocator.restore('10.0.0.0', undefined).map(({ count }) => count),
    [1n, 0n],
  );
  assert.deepEqual(allocator.restore('10.0.0.0', undefined), []);
  assert.throws(() => allocator.restore('10.0.0', undefined), TypeError);
  assert.deepEqual([...allocator.entries()], []);
});

test('users that a block wrongly put together are told apart, and nobody joins them', () => {
  const allocator = started([p('a', ['10.0.0.0/31'])]);
  allocator.restore('10.0.0.0', {
    pool: 'a',
    users: [user('one', { sharingKey: 'k' }), user('two', { sharingKey: 'l', ports: ['TCP/81'] })],
  });
  const wish = request('three', { sharingKey: 'k', ports: ['TCP/82'] });
  assert.deepEqual(
    allocator.decide(wish).addresses.map(({ address }) => address),
    ['10.0.0.1'],
  );
  allocator.release('two');
  assert.deepEqual(
    allocator.decide(wish).addresses.map(({ address }) => address),
    ['10.0.0.0'],
  );
});

test('an address outside all pools can be restored; it counts nowhere and is never given', () => {
  const allocator = started([p('a', ['10.0.0.0/31'])]);
  allocator.restore('10.9.0.0', { pool: 'gone', users: [user('s')] });
  assert.deepEqual(allocator.holdings('s'), [{ address: '10.9.0.0', family: 'ipv4', pool: 'gone' }]);
  assert.equal(allocator.counts('a')?.ipv4.assigned, 0n);
  assert.equal(allocator.counts('gone'), undefined);
  assert.deepEqual(
    allocator.allocate(request('s')).release.map(({ address }) => address),
    ['10.9.0.0'],
  );
});

test('an address may be written in any form where one is asked about', () => {
  const allocator = started([p('a', ['fd00::/64'])]);
  allocator.allocate(request('s', { families: ['ipv6'] }));
  assert.equal(allocator.entry('FD00:0::0')?.users[0]?.uid, 's');
  assert.equal(allocator.poolOf('fd00:0::1'), 'a');
  assert.deepEqual(
    [allocator.entry('nonsense'), allocator.poolOf('nonsense'), allocator.poolOf('10.0.0.0')],
    [undefined, undefined, undefined],
  );
});

test('random order: equal seeds give equal addresses, others differ, all are given before it says full', () => {
  const texts = [
    p('a', ['10.0.0.0/26', '10.0.9.0/30', 'fd00::/64'], {
      avoidBuggyIPs: true,
      annotations: { 'fairlead.dev/order': 'random' },
    }),
  ];
  const play = (seed: string) => {
    const allocator = started(texts, seed);
    const got = Array.from({ length: 66 }, (_, index) => allocator.allocate(request(`s${index}`)));
    const six = allocator.allocate(request('six', { families: ['ipv6'], count: 8 }));
    return {
      got: got.map(({ addresses }) => addresses[0]?.address),
      six: six.addresses.map(({ address }) => address),
      last: allocator.allocate(request('last')).failure?.code,
    };
  };
  const [one, same, other] = [play('1'), play('1'), play('2')];
  assert.deepEqual(one, same);
  assert.notDeepEqual(one.got, other.got);
  assert.equal(new Set(one.got).size, 66);
  assert.ok(!one.got.includes('10.0.0.0') && !one.got.includes('10.0.9.0') && !one.got.includes(undefined));
  assert.deepEqual([one.last, new Set(one.six).size], ['FL_POOL_EXHAUSTED', 8]);
  assert.notDeepEqual(one.got.slice(0, 8), [...one.got.slice(0, 8)].sort());
});

test('random order: what decide promises, allocate gives; equal keys pack all the same', () => {
  const allocator = started([p('a', ['10.0.0.0/24'], { annotations: { 'fairlead.dev/order': 'random' } })]);
  for (let index = 0; index < 20; index += 1) {
    const wish = request(`s${index}`, { count: 1 + (index % 3) });
    assert.deepEqual(allocator.decide(wish).addresses, allocator.allocate(wish).addresses);
  }
  allocator.allocate(request('x', { sharingKey: 'k', ports: ['TCP/80'] }));
  allocator.allocate(request('y', { sharingKey: 'k', ports: ['TCP/81'] }));
  assert.deepEqual(addressesOf(allocator, 'x'), addressesOf(allocator, 'y'));
});

test('least recently used: after a restart the lowest, and what is forgotten counts as never used', () => {
  const texts = [p('a', ['10.0.0.0/30'], { annotations: { 'fairlead.dev/order': 'least-recently-used' } })];
  const allocator = started(texts);
  for (const uid of ['s1', 's2', 's3']) allocator.allocate(request(uid));
  allocator.release('s2');
  allocator.release('s1');
  const restarted = started(texts);
  for (const [address, entry] of allocator.entries()) restarted.restore(address, entry);
  assert.deepEqual(
    restarted.decide(request('n')).addresses.map(({ address }) => address),
    ['10.0.0.0'],
  );
  assert.deepEqual(
    allocator.decide(request('n', { count: 2 })).addresses.map(({ address }) => address),
    ['10.0.0.1', '10.0.0.3'],
  );
  // Another order for a moment forgets the history.
  allocator.setPools(pools([p('a', ['10.0.0.0/30'])]));
  allocator.setPools(pools(texts));
  assert.deepEqual(
    allocator.decide(request('n')).addresses.map(({ address }) => address),
    ['10.0.0.0'],
  );
});

test('a /64 and all of IPv6 are pools like any other', () => {
  for (const [range, first, second] of [
    ['fd00::/64', 'fd00::', 'fd00::1'],
    ['::/0', '::', '::1'],
    ['fd00::ffff:ffff:ffff:fffe-fd01::1', 'fd00::ffff:ffff:ffff:fffe', 'fd00::ffff:ffff:ffff:ffff'],
  ] as const) {
    const allocator = started([p('a', [range])]);
    for (const uid of ['s1', 's2']) allocator.allocate(request(uid, { families: ['ipv6'] }));
    assert.deepEqual([addressesOf(allocator, 's1'), addressesOf(allocator, 's2')], [[first], [second]]);
    assert.equal(allocator.counts('a')?.ipv6.available, 2n ** 63n - 3n);
  }
});

test('the last free address of a /16 is found', () => {
  const allocator = started([p('a', ['10.0.0.0/16'])]);
  for (let index = 0; index < 65_535; index += 1) allocator.allocate(request(`s${index}`));
  assert.deepEqual(
    allocator.allocate(request('last')).addresses.map(({ address }) => address),
    ['10.0.255.255'],
  );
  assert.equal(allocator.allocate(request('more')).failure?.code, 'FL_POOL_EXHAUSTED');
  allocator.release('s300');
  assert.deepEqual(
    allocator.allocate(request('more')).addresses.map(({ address }) => address),
    ['10.0.1.44'],
  );
});

test('explain names for each pool whether it is a candidate, by which rule, and what is free', () => {
  const texts = [
    p('auto', ['10.0.0.0/31']),
    p('manual', ['10.0.1.0/31'], { autoAssign: false }),
    p('mine', ['10.0.2.0/31'], { serviceAllocation: { priority: 5, namespaces: ['default'] } }),
    p('theirs', ['10.0.3.0/31'], { serviceAllocation: { priority: 1, namespaces: ['x'] } }),
    p('old', ['10.0.4.0/31'], { annotations: { 'fairlead.dev/disabled': 'true' } }),
  ];
  const allocator = started(texts);
  allocator.allocate(request('x', byAddress('10.0.0.1')));
  const rules = (wish: Partial<AddressRequest>) =>
    allocator
      .explain(request('s', wish))
      .pools.map(({ pool, candidate, rule, ipv4 }) => [pool, candidate, rule, ipv4.available]);
  assert.deepEqual(rules({}), [
    ['mine', true, 'serviceAllocation selects the Service, priority 5', 2n],
    ['auto', true, 'autoAssign, without serviceAllocation', 1n],
    ['theirs', false, 'its serviceAllocation does not select the Service', 2n],
    ['manual', false, 'autoAssign is false', 2n],
    ['old', false, 'fairlead.dev/disabled is "true"', 2n],
  ]);
  assert.deepEqual(allocator.candidates(request('s')), ['mine', 'auto']);
  assert.deepEqual(rules({ pool: 'manual' }).slice(0, 2), [
    ['manual', true, 'requested by metallb.io/address-pool', 2n],
    ['theirs', false, 'metallb.io/address-pool asks for manual', 2n],
  ]);
  const named = byAddress('10.0.0.1');
  assert.deepEqual(rules(named)[0], ['auto', true, `has the addresses of ${addressField}`, 1n]);
  const { addresses, decision } = allocator.explain(request('s', named));
  assert.deepEqual(addresses, [
    { address: '10.0.0.1', pool: 'auto', users: [{ namespace: 'default', name: 'x', uid: 'x' }], retainedFor: [] },
  ]);
  assert.equal(decision.failure?.code, 'FL_ADDRESS_IN_USE');
});
