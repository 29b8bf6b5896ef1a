import assert from 'node:assert/strict';
import { isIP } from 'node:net';
import { test } from 'node:test';
import fc from 'fast-check';
import { canonicalIp, compareIps, formatIp, groupsOf, type Ip, parseIp, unmapped } from '../../../src/core/net/ip.ts';

const ipv4 = fc.bigInt({ min: 0n, max: 2n ** 32n - 1n }).map((value): Ip => ({ family: 'ipv4', value }));
/** Also values with runs of zeros, where the text form has choices. */
const ipv6 = fc
  .array(fc.oneof(fc.constant(0), fc.constant(0xffff), fc.integer({ min: 0, max: 0xffff })), {
    minLength: 8,
    maxLength: 8,
  })
  .map(
    (groups): Ip => ({ family: 'ipv6', value: groups.reduce((value, group) => (value << 16n) | BigInt(group), 0n) }),
  );
const anyIp = fc.oneof(ipv4, ipv6);

for (const text of [
  '010.0.0.1',
  '1',
  '127.1',
  '0x7f.1',
  'fe80::1%eth0',
  '::1%',
  '',
  ' 1.2.3.4',
  '1.2.3.4 ',
  '1.2.3.256',
  '1.2.3',
  '1.2.3.4.5',
  '1.2.3.4/32',
  '1::2::3',
  '1:2:3:4:5:6:7',
  '1:2:3:4:5:6:7:8:9',
  '::01.2.3.4',
  '[::1]',
  'g::',
  '12345::',
  '1.2.3.-4',
  '1.2.3.4\n',
  '١.2.3.4',
]) {
  test(`${JSON.stringify(text)} is no address`, () => assert.equal(parseIp(text), undefined));
}

for (const [text, canonical] of [
  ['1.2.3.4', '1.2.3.4'],
  ['255.255.255.255', '255.255.255.255'],
  ['0.0.0.0', '0.0.0.0'],
  ['::', '::'],
  ['::1', '::1'],
  ['1::', '1::'],
  ['0:0:0:0:0:0:0:0', '::'],
  ['2001:DB8::0001', '2001:db8::1'],
  ['2001:db8:0:0:1:0:0:1', '2001:db8::1:0:0:1'], // the first of two equal runs (RFC 5952 4.2.3)
  ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'], // one group is not shortened (4.2.2)
  ['2001:0:0:1:0:0:0:1', '2001:0:0:1::1'], // the longest run
  ['1:2:3:4:5:6:7::', '1:2:3:4:5:6:7:0'],
  ['::2:3:4:5:6:7:8', '0:2:3:4:5:6:7:8'],
  ['::ffff:1.2.3.4', '::ffff:1.2.3.4'],
  ['::ffff:102:304', '::ffff:1.2.3.4'],
  ['64:ff9b::1.2.3.4', '64:ff9b::102:304'],
  ['::1.2.3.4', '::102:304'],
  ['FFFF:FFFF:FFFF:FFFF:FFFF:FFFF:255.255.255.255', 'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff'],
] as const) {
  test(`${text} is written ${canonical}`, () => {
    assert.equal(canonicalIp(text), canonical);
    assert.equal(canonicalIp(canonical), canonical);
  });
}

test('::ffff:1.2.3.4 is IPv6, and stands for 1.2.3.4', () => {
  const ip = parseIp('::ffff:1.2.3.4') as Ip;
  assert.equal(ip.family, 'ipv6');
  assert.equal(formatIp(unmapped(ip)), '1.2.3.4');
  assert.deepEqual(unmapped(parseIp('::1.2.3.4') as Ip), parseIp('::1.2.3.4'));
  assert.deepEqual(unmapped(parseIp('1.2.3.4') as Ip), parseIp('1.2.3.4'));
});

test('parse after print is the identity', () => {
  fc.assert(
    fc.property(anyIp, (ip) => assert.deepEqual(parseIp(formatIp(ip)), ip)),
    { numRuns: 2000 },
  );
});

test('the text of an IPv6 address is that of the URL standard, IPv4-mapped ones aside', () => {
  fc.assert(
    fc.property(ipv6, (ip) => {
      fc.pre(ip.value >> 32n !== 0xffffn);
      assert.equal(`[${formatIp(ip)}]`, new URL(`http://[${formatIp(ip)}]/`).hostname);
      const long = groupsOf(ip.value).map((group) => group.toString(16).padStart(4, '0'));
      assert.equal(`[${formatIp(ip)}]`, new URL(`http://[${long.join(':')}]/`).hostname);
    }),
    { numRuns: 2000 },
  );
});

test('what node takes for an address is one, zones aside, and nothing else is', () => {
  const piece = fc.constantFrom('0', '1', 'f', 'ffff', '256', '255', '01', ':', '::', '.', '%', '/', ' ', 'x');
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 12 }), (pieces) => {
      const text = pieces.join('');
      assert.equal(parseIp(text) !== undefined, isIP(text) !== 0 && !text.includes('%'), text);
    }),
    { numRuns: 20_000 },
  );
});

test('addresses sort by number, IPv4 first', () => {
  const sorted = ['0.0.0.0', '9.0.0.0', '10.0.0.0', '255.255.255.255', '::', '9::', '10::'];
  const ips = sorted.map((text) => parseIp(text) as Ip);
  assert.deepEqual([...ips].reverse().sort(compareIps).map(formatIp), sorted);
  assert.equal(compareIps(ips[0] as Ip, ips[0] as Ip), 0);
});
