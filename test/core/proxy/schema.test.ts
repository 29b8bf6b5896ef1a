import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Element, TableFamily } from '../../../src/core/net/element.ts';
import { formatIp, parseIp } from '../../../src/core/net/ip.ts';
import { addressRegisters, parseAddress, sloppyIp } from '../../../src/core/proxy/registers.ts';
import {
  classidText,
  elementText,
  intervalsOf,
  isSetName,
  parseClassid,
  parseElement,
  rangeTexts,
  SETS,
  type SetName,
  type SetSchema,
  setsOf,
} from '../../../src/core/proxy/schema.ts';
import { chainName, decodeValue, encodeValue, parseChainName } from '../../../src/core/proxy/value.ts';

const hex = (bytes: string | undefined): string => Buffer.from(bytes ?? '', 'latin1').toString('hex');

/** The golden bytes of node-proxy.md: what the kernel dumped. */
const golden: readonly (readonly [set: SetName, text: string, key: string, rest: string])[] = [
  ['services', '172.30.0.1 . tcp . 80 : 0:2', 'ac1e00010600000000500000', '02000000'],
  [
    'endpoints',
    '172.30.0.1 . tcp . 80 . 0:8001 : 10.64.1.2 . 8080',
    'ac1e0001060000000050000001800000',
    '0a4001021f900000',
  ],
  [
    'allowed',
    '1.2.3.6 . tcp . 80 . 203.0.113.0-203.0.113.127',
    '010203060600000000500000cb007100',
    '010203060600000000500000cb00717f',
  ],
  ['hairpin', '10.64.1.2 . 10.64.1.2', '0a4001020a400102', ''],
  ['ep-id', '172.30.0.4 . tcp . 80 . 0:0 : 8001:1', 'ac1e0004060000000050000000000000', '01000180'],
  ['no-ep-drop', '1.2.3.4 . udp . 65535', '0102030411000000ffff0000', ''],
  ['restricted', '1.2.3.4 . sctp . 1', '010203048400000000010000', ''],
];

for (const [set, text, key, rest] of golden) {
  test(`bytes of ${set} { ${text} }`, () => {
    const element = parseElement(set, text, 'ip');
    assert.ok(element);
    assert.deepEqual([hex(element.key), hex(element.data ?? element.keyEnd)], [key, rest]);
    assert.equal(elementText(element, 'ip'), text);
  });
}

test('IPv6 addresses take sixteen bytes, and none fits the other family', () => {
  const text = '2001:db8::1 . tcp . 80 . 0:0 : fd64::2 . 8080';
  const element = parseElement('endpoints', text, 'ip6');
  assert.ok(element);
  assert.equal(hex(element.key), '20010db800000000000000000000000106000000005000000000'.padEnd(56, '0'));
  assert.equal(elementText(element, 'ip6'), text);
  assert.equal(parseElement('endpoints', text, 'ip'), undefined);
  assert.equal(parseElement('cluster-ips', '1.2.3.4', 'ip6'), undefined);
});

for (const [set, text] of [
  ['services', '172.30.0.1 . tcp . 80'],
  ['services', '172.30.0.1 . tcp : 0:2'],
  ['services', '172.30.0.1 . icmp . 80 : 0:2'],
  ['services', '172.30.0.1 . tcp . 65536 : 0:2'],
  ['services', '172.30.0.1 . tcp . 80 : 2'],
  ['services', '172.30.0.1 . tcp . 80 : 0:10000'],
  ['cluster-ips', '172.30.0.1 : 0:2'],
  ['cluster-ips', '172.30.0'],
] as const) {
  test(`no element of ${set}: ${text}`, () => assert.equal(parseElement(set, text, 'ip'), undefined));
}

test('classids are read and written in hex; nft prints 0:0 as none', () => {
  assert.deepEqual(['none', '0:0', '8001:1', ':fb', '1:'].map(parseClassid), [0, 0, 0x80010001, 0xfb, 0x10000]);
  assert.deepEqual([':', '1', '', '1:2:3', 'g:1'].map(parseClassid), [
    undefined,
    undefined,
    undefined,
    undefined,
    undefined,
  ]);
  assert.deepEqual([0, 0xfb, 0x80010001, 0xffffffff].map(classidText), ['0:0', '0:fb', '8001:1', 'ffff:ffff']);
});

const anyAddress = (family: TableFamily) =>
  fc
    .bigInt({ min: 0n, max: (1n << (family === 'ip' ? 32n : 128n)) - 1n })
    .map((value) => addressRegisters({ family: family === 'ip' ? 'ipv4' : 'ipv6', value }));

test('what is printed reads back the same, for every set and family', () => {
  for (const family of ['ip', 'ip6'] as const) {
    for (const set of setsOf(family)) {
      const { key, data, interval }: SetSchema = SETS[set];
      if (interval === true && key.length === 1) continue;
      const number = (max: number) => fc.integer({ min: 0, max });
      const field = {
        address: anyAddress(family),
        protocol: fc.constantFrom('\x06\0\0\0', '\x11\0\0\0', '\x84\0\0\0'),
        port: number(65_535).map((port) => String.fromCharCode(port >> 8, port & 255, 0, 0)),
        classid: fc.tuple(number(255), number(255), number(255), number(255)).map((all) => String.fromCharCode(...all)),
      };
      const registers = (fields: NonNullable<SetSchema['data']>) =>
        fc.tuple(...fields.map((name) => field[name])).map((parts) => parts.join(''));
      const element = fc.tuple(registers(key), data === undefined ? fc.constant(undefined) : registers(data)).map(
        ([name, value]): Element => ({
          set,
          key: name,
          ...(value === undefined ? {} : { data: value }),
          ...(interval === true ? { keyEnd: name } : {}),
        }),
      );
      fc.assert(
        fc.property(element, (made) => assert.deepEqual(parseElement(set, elementText(made, family), family), made)),
        { numRuns: 50 },
      );
    }
  }
});

test('the ends of intervals are joined, also one that ends with the last address', () => {
  const at = (text: string) => parseAddress(text) as string;
  const elements: readonly Element[] = [
    { set: 'no-masq', key: at('255.255.255.0') },
    { set: 'no-masq', key: at('10.1.0.0'), intervalEnd: true },
    { set: 'no-masq', key: at('0.0.0.0'), intervalEnd: true },
    { set: 'no-masq', key: at('10.0.0.0') },
    { set: 'no-masq', key: at('192.0.2.1') },
    { set: 'no-masq', key: at('192.0.2.2'), intervalEnd: true },
  ];
  assert.deepEqual(rangeTexts(elements, 'ip'), ['10.0.0.0-10.0.255.255', '192.0.2.1', '255.255.255.0-255.255.255.255']);
  assert.deepEqual(intervalsOf([], 'ip'), []);
});

test('sets of a family: affinity by id is IPv4 only, and what the rules write is not ours', () => {
  assert.ok(!setsOf('ip').includes('aff'));
  assert.deepEqual(
    setsOf('ip').filter((name) => !setsOf('ip6').includes(name)),
    ['ep-id', 'ep-by-id'],
  );
  assert.deepEqual([isSetName('services'), isSetName('toString'), isSetName('dispatch')], [true, false, false]);
});

test('odd spellings of addresses are canonicalised as decimal, not refused', () => {
  const read = (text: string) => {
    const ip = sloppyIp(text);
    return ip === undefined ? undefined : formatIp(ip);
  };
  assert.deepEqual(
    [
      '010.064.001.009',
      ' 10.0.0.1 ',
      '0.0.0.00',
      '::ffff:1.2.3.4',
      '2001:DB8::1',
      '10.0.0',
      '10.0.0.256',
      '1.2.3.4.5',
      'x',
      '',
      '1..2.3',
    ].map(read),
    ['10.64.1.9', '10.0.0.1', '0.0.0.0', '1.2.3.4', '2001:db8::1', ...new Array(6).fill(undefined)],
  );
});

test('the fast reader of addresses agrees with the strict one', () => {
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom('0', '1', '2', '5', '9', '.', ':', ' '), maxLength: 16 }), (text) => {
      const ip = parseIp(text);
      if (ip === undefined) return;
      assert.equal(
        parseAddress(text),
        sloppyIp(text) === undefined ? undefined : addressRegisters(sloppyIp(text) as typeof ip),
      );
    }),
    { numRuns: 2000 },
  );
  fc.assert(
    fc.property(anyAddress('ip'), (bytes) => {
      const text = [...bytes].map((char) => char.charCodeAt(0)).join('.');
      assert.equal(parseAddress(text), bytes);
    }),
  );
});

test('values: kind and count, other timeouts from kind 16 up', () => {
  assert.equal(encodeValue({ kind: 'lb', slots: 2 }), 0x2);
  assert.equal(encodeValue({ kind: 'loc', slots: 1 }), 0x10001);
  assert.equal(encodeValue({ kind: 'aff', slots: 2 }), 0x20002);
  assert.equal(encodeValue({ kind: 'hash', slots: 251 }), 0x300fb);
  assert.equal(encodeValue({ kind: 'affloc', slots: 3 }), 0x40003);
  assert.equal(encodeValue({ kind: 'hashloc', slots: 251 }), 0x500fb);
  assert.equal(encodeValue({ kind: 'aff', slots: 3, timeout: 0 }), 0x100003);
  assert.equal(encodeValue({ kind: 'affloc', slots: 3, timeout: 1 }), 0x130003);
  assert.deepEqual(decodeValue(0x130003), { kind: 'affloc', slots: 3, timeout: 1 });
  assert.deepEqual([decodeValue(0x60001), decodeValue(0xf0001)], [undefined, undefined]);
});

test('names of chains tell their value and timeout, and nothing else is one', () => {
  for (const value of [0x2, 0x10001, 0x20002, 0x300fb, 0x40003, 0x500fb, 0x100003, 0x130003]) {
    const name = chainName(value, [60, 3600]);
    const timeout = decodeValue(value)?.timeout;
    assert.deepEqual(parseChainName(name), {
      value,
      ...(timeout === undefined ? {} : { seconds: [60, 3600][timeout] }),
    });
  }
  assert.equal(chainName(0x130003, [60, 3600]), 'affloc-3-1-3600s');
  for (const name of ['svc', 'lb', 'lb-0', 'lb-32769', 'lb-2-0-60s', 'aff-2-0', 'rules-0123456789abcdef', 'lb-2x'])
    assert.equal(parseChainName(name), undefined, name);
  assert.throws(() => chainName(0x60001, []), RangeError);
  assert.throws(() => chainName(0x100003, []), RangeError);
});
