import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { User } from '../../../src/core/ipam/entry.ts';
import { Ledger } from '../../../src/core/ipam/ledger.ts';
import { formatIp, type Ip } from '../../../src/core/net/ip.ts';
import { pools } from './fixtures.ts';

const BASE = 0x0a000000n;
const HOSTS = 6;
const ipAt = (host: number): Ip => ({ family: 'ipv4', value: BASE + BigInt(host) });

const user = fc
  .record({
    uid: fc.constantFrom('s1', 's2', 's3', 's4'),
    ports: fc.constantFrom(['TCP/80'], ['TCP/81'], ['TCP/82'], ['TCP/80', 'TCP/81']),
    sharingKey: fc.constantFrom('', 'k', 'k', 'k', 'k', 'l'),
    backendKey: fc.constantFrom('', '', '', 'app=x'),
  })
  .map((each): User => ({ ...each, namespace: each.uid < 's3' ? 'blue' : 'red', name: each.uid }));
const host = fc.nat(HOSTS - 1);
const step = fc.oneof(
  fc.record({ do: fc.constant('set' as const), host, user }),
  fc.record({ do: fc.constant('delete' as const), host, user }),
  fc.record({
    do: fc.constant('replace' as const),
    host,
    users: fc.uniqueArray(user, { selector: ({ uid }) => uid, maxLength: 3 }),
  }),
  fc.record({
    do: fc.constant('ask' as const),
    low: fc.constantFrom(0, 0, 0, 2),
    high: fc.constantFrom(HOSTS - 1, HOSTS - 1, 3),
    user,
  }),
);

function started(): Ledger {
  const ledger = new Ledger('seed');
  ledger.setPools(pools([{ name: 'p', addresses: [`10.0.0.0-10.0.0.${HOSTS - 1}`] }]));
  return ledger;
}

test('the first address to share is that of a scan, whatever was asked and changed before', () => {
  let found = 0;
  fc.assert(
    fc.property(fc.array(step, { minLength: 15, maxLength: 40 }), (steps) => {
      const ledger = started();
      for (const each of steps) {
        const slot = 'host' in each ? ledger.slot(formatIp(ipAt(each.host))) : undefined;
        switch (each.do) {
          case 'set':
            // The ledger records what others decided: only what they may decide.
            if (slot === undefined || slot.fits(each.user)) ledger.setUser(ipAt(each.host), 'p', each.user);
            break;
          case 'delete': {
            const recorded = slot?.users.get(each.user.uid);
            if (slot !== undefined && recorded !== undefined) ledger.deleteUser(slot, recorded);
            break;
          }
          case 'replace':
            ledger.replace(ipAt(each.host), { pool: 'p', users: each.users });
            break;
          case 'ask': {
            const interval = { family: 'ipv4' as const, first: ipAt(each.low).value, last: ipAt(each.high).value };
            const expected = scan(ledger, each.low, each.high, each.user);
            assert.equal(ledger.firstShareable(interval, each.user), expected);
            if (expected !== undefined) found += 1;
            break;
          }
          default:
            each satisfies never;
        }
      }
    }),
    { numRuns: 2000 },
  );
  assert.ok(found > 300, `something to share in ${found} cases only`);
});

/** Others use it, under one key, and the user may join; not what it holds itself. */
function scan(ledger: Ledger, low: number, high: number, asking: User): bigint | undefined {
  for (let at = low; at <= high; at += 1) {
    const users = [...(ledger.slot(formatIp(ipAt(at)))?.users.values() ?? [])];
    if (users.length === 0 || asking.sharingKey === '' || users.some(({ uid }) => uid === asking.uid)) continue;
    const joins = users.every(
      (other) =>
        other.sharingKey === asking.sharingKey &&
        other.backendKey === asking.backendKey &&
        !other.ports.some((port) => asking.ports.includes(port)),
    );
    if (joins) return ipAt(at).value;
  }
  return undefined;
}

test('what a namespace has of a pool is counted by address, however its Services come and go', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const ledger = started();
      for (const each of steps) {
        if (each.do === 'replace') ledger.replace(ipAt(each.host), { pool: 'p', users: each.users });
        if (each.do === 'set') ledger.setUser(ipAt(each.host), 'p', each.user);
        const slot = each.do === 'delete' ? ledger.slot(formatIp(ipAt(each.host))) : undefined;
        const recorded = each.do === 'delete' ? slot?.users.get(each.user.uid) : undefined;
        if (slot !== undefined && recorded !== undefined) ledger.deleteUser(slot, recorded);
        for (const namespace of ['blue', 'red']) {
          const counted = [...ledger.ofNamespace('p', namespace)]
            .map(([{ address }, users]) => `${address} ${users}`)
            .sort();
          const expected = [...ledger.slots].flatMap(({ address, users }) => {
            const mine = [...users.values()].filter((one) => one.namespace === namespace).length;
            return mine === 0 ? [] : [`${address} ${mine}`];
          });
          assert.deepEqual(counted, expected.sort());
        }
      }
    }),
    { numRuns: 500 },
  );
});
