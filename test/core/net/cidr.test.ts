import assert from 'node:assert/strict';
import { test } from 'node:test';
import { containsCidr, excludeCidr, mergeCidr, overlapCidr } from 'cidr-tools';
import fc from 'fast-check';
import {
  type Block,
  blockAt,
  blockOf,
  contains,
  formatBlock,
  hasIp,
  type Interval,
  merge,
  mergeCidrs,
  overlaps,
  parseBlock,
  parseCidr,
  sizeOf,
  split,
  subtract,
  subtractCidrs,
} from '../../../src/core/net/cidr.ts';
import { parseIp } from '../../../src/core/net/ip.ts';
import type { Cidr } from '../../../src/core/provider.ts';

const cidr = (text: string): Cidr => {
  const parsed = parseCidr(text);
  assert.ok(parsed, text);
  return parsed;
};
const range = (from: string, to: string): Interval => {
  const [first, last] = [parseIp(from), parseIp(to)];
  assert.ok(first && last);
  return { family: first.family, first: first.value, last: last.value };
};

/** Close together, so that they touch and overlap; both families. */
const near4 = fc
  .record({ host: fc.bigInt({ min: 0n, max: 2n ** 12n - 1n }), length: fc.integer({ min: 20, max: 32 }) })
  .map(({ host, length }) => formatBlock(blockAt({ family: 'ipv4', value: 0x0a000000n + host }, length)));
const near6 = fc
  .record({ host: fc.bigInt({ min: 0n, max: 2n ** 12n - 1n }), length: fc.integer({ min: 116, max: 128 }) })
  .map(({ host, length }) => formatBlock(blockAt({ family: 'ipv6', value: (0xfd00n << 112n) + host }, length)));
const anywhere = fc
  .record({
    value: fc.bigInt({ min: 0n, max: 2n ** 128n - 1n }),
    length: fc.integer({ min: 0, max: 128 }),
    v4: fc.boolean(),
  })
  .map(({ value, length, v4 }) =>
    formatBlock(
      v4 ? blockAt({ family: 'ipv4', value: value >> 96n }, length % 33) : blockAt({ family: 'ipv6', value }, length),
    ),
  );
const near = fc.oneof(near4, near6);
const some = fc.array(near, { maxLength: 8 });

/** cidr-tools writes a single address without length. */
const withLength = (texts: readonly string[]) =>
  texts.map((text) => (text.includes('/') ? text : `${text}/${text.includes(':') ? 128 : 32}`));
const sorted = (texts: readonly string[]) =>
  merge(texts.map((text) => blockOf(cidr(text))))
    .flatMap(split)
    .map(formatBlock);

for (const text of [
  '1.2.3.4/33',
  '::/129',
  '1.2.3.4',
  '1.2.3.4/',
  '/8',
  '1.2.3.4/08',
  '1.2.3.4/+8',
  '1.2.3.4/ 8',
  '1.2.3.4/8 ',
  '010.0.0.0/8',
  '10.0.0.0/8/8',
  '10.0.0.0/-1',
  'fe80::%1/64',
  '10/8',
  '1.2.3.4/1e1',
  '',
])
  test(`${JSON.stringify(text)} is no CIDR`, () => assert.equal(parseCidr(text), undefined));

for (const [text, canonical] of [
  ['10.20.30.40/24', '10.20.30.0/24'],
  ['0.0.0.0/0', '0.0.0.0/0'],
  ['255.255.255.255/0', '0.0.0.0/0'],
  ['1.2.3.4/32', '1.2.3.4/32'],
  ['2001:DB8::1/32', '2001:db8::/32'],
  ['::/0', '::/0'],
  ['ffff::1/128', 'ffff::1/128'],
] as const)
  test(`${text} is ${canonical}`, () => assert.equal(parseCidr(text), canonical));

test('10.0.0.0/8 without its lower half is its upper half, and both halves are the whole', () => {
  assert.deepEqual(subtractCidrs([cidr('10.0.0.0/8')], [cidr('10.0.0.0/9')]), ['10.128.0.0/9']);
  assert.deepEqual(mergeCidrs([cidr('10.128.0.0/9'), cidr('10.0.0.0/9')]), ['10.0.0.0/8']);
});

test('a range becomes the fewest CIDRs', () => {
  const texts = (from: string, to: string) => split(range(from, to)).map(formatBlock);
  assert.deepEqual(texts('192.168.1.240', '192.168.1.250'), [
    '192.168.1.240/29',
    '192.168.1.248/31',
    '192.168.1.250/32',
  ]);
  assert.deepEqual(texts('0.0.0.0', '255.255.255.255'), ['0.0.0.0/0']);
  assert.deepEqual(texts('::', 'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff'), ['::/0']);
  assert.equal(texts('0.0.0.1', '255.255.255.254').length, 62);
  assert.deepEqual(split({ family: 'ipv4', first: 2n, last: 1n }), []);
});

test('a CIDR that is none is a mistake of the caller', () => {
  assert.throws(() => blockOf('10.0.0.0' as Cidr), TypeError);
});

test('merge, subtract, contains and overlaps agree with cidr-tools', () => {
  fc.assert(
    fc.property(some, some, (a, b) => {
      assert.deepEqual(mergeCidrs(a), sorted(withLength(mergeCidr([...a]))));
      assert.deepEqual(subtractCidrs(a, b), sorted(withLength(excludeCidr([...a], [...b]))));
      for (const one of a)
        for (const other of b) {
          assert.equal(overlaps(blockOf(one), blockOf(other)), overlapCidr(one, other), `${one} ${other}`);
          assert.equal(contains(blockOf(one), blockOf(other)), containsCidr(one, other), `${one} ${other}`);
        }
    }),
    { numRuns: 500 },
  );
});

test('blocks anywhere agree with cidr-tools', () => {
  fc.assert(
    fc.property(anywhere, anywhere, (a, b) => {
      assert.equal(overlaps(blockOf(a), blockOf(b)), overlapCidr(a, b));
      assert.equal(contains(blockOf(a), blockOf(b)), containsCidr(a, b));
      assert.deepEqual(subtractCidrs([a], [b]), sorted(withLength(excludeCidr(a, b))));
    }),
    { numRuns: 1000 },
  );
});

test('merged CIDRs are the fewest: no two of them can be joined', () => {
  fc.assert(
    fc.property(some, (cidrs) => {
      const blocks = mergeCidrs(cidrs).map(blockOf);
      for (const [index, block] of blocks.entries()) {
        const next = blocks[index + 1];
        if (next === undefined || next.prefixLength !== block.prefixLength || block.prefixLength === 0) continue;
        const joined = blockAt({ family: block.family, value: block.first }, block.prefixLength - 1);
        assert.ok(!(next.family === block.family && joined.first === block.first && joined.last === next.last));
      }
    }),
  );
});

test('what is subtracted and what is left make the whole, and share nothing', () => {
  fc.assert(
    fc.property(some, some, (from, minus) => {
      const left = subtract(from.map(blockOf), minus.map(blockOf));
      for (const interval of left) for (const cut of minus) assert.ok(!overlaps(interval, blockOf(cut)));
      assert.deepEqual(merge([...left, ...minus.map(blockOf)]), merge([...from, ...minus].map(blockOf)));
    }),
  );
});

test('the split of a range holds exactly its addresses, in order', () => {
  const bounds = fc.tuple(fc.bigInt({ min: 0n, max: 2n ** 128n - 1n }), fc.bigInt({ min: 0n, max: 2n ** 128n - 1n }));
  fc.assert(
    fc.property(bounds, fc.boolean(), ([a, b], v4) => {
      const [low, high] = a < b ? [a, b] : [b, a];
      const interval: Interval = v4
        ? { family: 'ipv4', first: low >> 96n, last: high >> 96n }
        : { family: 'ipv6', first: low, last: high };
      const blocks = split(interval);
      assert.deepEqual(merge(blocks), [interval]);
      assert.equal(
        blocks.reduce((sum, block) => sum + sizeOf(block), 0n),
        sizeOf(interval),
      );
      for (const [index, block] of blocks.entries()) {
        assert.deepEqual(block, parseBlock(formatBlock(block)));
        if (index > 0) assert.equal(block.first, (blocks[index - 1] as Block).last + 1n);
      }
      assert.ok(blocks.length <= (v4 ? 62 : 254));
    }),
    { numRuns: 500 },
  );
});

test('an address is in a block of its own family only', () => {
  const block = blockOf(cidr('0.0.0.0/0'));
  assert.equal(hasIp(block, { family: 'ipv4', value: 1n }), true);
  assert.equal(hasIp(block, { family: 'ipv6', value: 1n }), false);
  const small = blockOf(cidr('10.0.0.0/31'));
  assert.deepEqual(
    ['9.255.255.255', '10.0.0.0', '10.0.0.1', '10.0.0.2'].map((text) =>
      hasIp(small, parseIp(text) ?? { family: 'ipv6', value: 0n }),
    ),
    [false, true, true, false],
  );
});
