import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Addresses, createAddresses } from '../../../src/core/cni/addresses.ts';
import { parseBlock } from '../../../src/core/net/cidr.ts';

function space(cidr: string, last?: string): Addresses {
  const block = parseBlock(cidr);
  const addresses = block === undefined ? undefined : createAddresses(block, last);
  if (addresses === undefined) throw new Error(`${cidr} has no addresses`);
  return addresses;
}

const cases = [
  { cidr: '10.64.1.0/24', gateway: '10.64.1.1', first: '10.64.1.2', last: '10.64.1.254', size: 253n },
  { cidr: '10.64.0.0/16', gateway: '10.64.0.1', first: '10.64.0.2', last: '10.64.255.254', size: 65_533n },
  { cidr: '10.64.1.4/30', gateway: '10.64.1.5', first: '10.64.1.6', last: '10.64.1.6', size: 1n },
  { cidr: 'fd00::/64', gateway: 'fd00::1', first: 'fd00::2', last: 'fd00::ffff:ffff:ffff:ffff', size: 2n ** 64n - 2n },
  { cidr: 'fd00::/126', gateway: 'fd00::1', first: 'fd00::2', last: 'fd00::3', size: 2n },
];
for (const { cidr, gateway, first, last, size } of cases) {
  test(`${cidr} has the gateway ${gateway} and gives ${first} to ${last}`, () => {
    const addresses = space(cidr);
    assert.deepEqual([addresses.cidr, addresses.gateway, addresses.size], [cidr, gateway, size]);
    assert.equal(addresses.allocate('a'), first);
    assert.ok(first === last || addresses.take(last, 'b'));
    assert.equal(addresses.take(gateway, 'c'), false);
  });
}

for (const cidr of ['10.64.1.0/31', '10.64.1.0/32', 'fd00::/127', 'fd00::1/128'])
  test(`${cidr} is too small for a pod`, () => {
    const block = parseBlock(cidr);
    assert.ok(block !== undefined);
    assert.equal(createAddresses(block), undefined);
  });

test('what was released last is given last', () => {
  const addresses = space('10.64.1.0/29');
  const all = ['a', 'b', 'c', 'd', 'e'].map((owner) => addresses.allocate(owner));
  assert.deepEqual(all, ['10.64.1.2', '10.64.1.3', '10.64.1.4', '10.64.1.5', '10.64.1.6']);
  assert.equal(addresses.allocate('f'), undefined);
  addresses.release('10.64.1.5', 'd');
  addresses.release('10.64.1.2', 'a');
  assert.deepEqual([addresses.allocate('g'), addresses.allocate('h')], ['10.64.1.5', '10.64.1.2']);
});

test('the round goes on after the address that was given last', () => {
  assert.equal(space('10.64.1.0/29', '10.64.1.4').allocate('a'), '10.64.1.5');
  assert.equal(space('10.64.1.0/29', '10.64.1.6').allocate('a'), '10.64.1.2');
  assert.equal(space('10.64.1.0/29', '10.9.9.9').allocate('a'), '10.64.1.2');
});

test('only the owner releases', () => {
  const addresses = space('10.64.1.0/30');
  addresses.allocate('a');
  addresses.release('10.64.1.2', 'b');
  assert.equal(addresses.ownerOf('10.64.1.2'), 'a');
  assert.equal(addresses.take('10.64.1.2', 'b'), false);
  assert.equal(addresses.take('10.64.1.2', 'a'), true);
});

/** The same by trying every address. */
test('any history: no address twice, none lost, as many as there are', () => {
  const step = fc.oneof(
    fc.record({ kind: fc.constant('allocate' as const), owner: fc.nat(9) }),
    fc.record({ kind: fc.constant('take' as const), owner: fc.nat(9), at: fc.integer({ min: 0, max: 15 }) }),
    fc.record({ kind: fc.constant('release' as const), owner: fc.nat(9), at: fc.integer({ min: 0, max: 15 }) }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), fc.integer({ min: 0, max: 15 }), (steps, last) => {
      const addresses = space('10.64.1.0/28', `10.64.1.${last}`);
      const model = new Map<string, string>();
      const usable = (at: number): boolean => at >= 2 && at <= 14;
      for (const one of steps) {
        const owner = `o${one.owner}`;
        if (one.kind === 'allocate') {
          const address = addresses.allocate(owner);
          assert.equal(address === undefined, model.size === 13);
          if (address === undefined) continue;
          assert.ok(!model.has(address), `${address} twice`);
          model.set(address, owner);
          continue;
        }
        const address = `10.64.1.${one.at}`;
        if (one.kind === 'release') {
          addresses.release(address, owner);
          if (model.get(address) === owner) model.delete(address);
        } else {
          const isTaken = addresses.take(address, owner);
          const holder = model.get(address);
          assert.equal(isTaken, usable(one.at) && (holder === undefined || holder === owner));
          if (isTaken) model.set(address, owner);
        }
      }
      assert.equal(addresses.used(), model.size);
      for (const [address, owner] of model) assert.equal(addresses.ownerOf(address), owner);
      for (let left = 13 - model.size; left > 0; left -= 1) assert.notEqual(addresses.allocate('x'), undefined);
      assert.equal(addresses.allocate('x'), undefined);
    }),
  );
});

test('each of 65,533 addresses is given once, and then once more', () => {
  const addresses = space('10.64.0.0/16');
  for (const owner of ['first', 'second']) {
    const seen = new Set<string>();
    for (let address = addresses.allocate(owner); address !== undefined; address = addresses.allocate(owner))
      seen.add(address);
    assert.equal(seen.size, 65_533);
    for (const address of seen) addresses.release(address, owner);
    assert.equal(addresses.used(), 0);
  }
});
