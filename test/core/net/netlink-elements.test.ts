import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Element, ElementChange } from '../../../src/core/net/element.ts';
import { messagesOf } from '../../../src/core/net/netlink.ts';
import {
  decodeElements,
  type ElementBatch,
  encodeElementBatch,
  encodeElementDump,
  guiltyChange,
  type KernelElement,
  missingPart,
} from '../../../src/core/net/netlink-elements.ts';

const registers = (hex: string): string => Buffer.from(hex.replaceAll(' ', ''), 'hex').toString('latin1');
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

/** node-proxy.md section 3: what the kernel dumps for an element, which leaves the flag NLA_F_NESTED off. */
const golden: readonly { readonly name: string; readonly element: Element; readonly bytes: string }[] = [
  {
    name: 'services 172.30.0.1 . tcp . 80 : 0:2',
    element: { set: 'services', key: registers('ac1e0001 06000000 00500000'), data: registers('02000000') },
    bytes: '24000100 14000100 10000100 ac1e0001 06000000 00500000 0c000200 08000100 02000000',
  },
  {
    name: 'endpoints 172.30.0.1 . tcp . 80 . 0:8001 : 10.64.1.2 . 8080',
    element: {
      set: 'endpoints',
      key: registers('ac1e0001 06000000 00500000 01800000'),
      data: registers('0a400102 1f900000'),
    },
    bytes: '2c000100 18000100 14000100 ac1e0001 06000000 00500000 01800000 10000200 0c000100 0a400102 1f900000',
  },
  {
    name: 'allowed 1.2.3.6 . tcp . 80 . 203.0.113.0/25',
    element: {
      set: 'allowed',
      key: registers('01020306 06000000 00500000 cb007100'),
      keyEnd: registers('01020306 06000000 00500000 cb00717f'),
    },
    bytes:
      '34000100 18000100 14000100 01020306 06000000 00500000 cb007100 18000a00 14000100 01020306 06000000 00500000 cb00717f',
  },
  {
    name: 'hairpin 10.64.1.2 . 10.64.1.2',
    element: { set: 'hairpin', key: registers('0a400102 0a400102') },
    bytes: '14000100 10000100 0c000100 0a400102 0a400102',
  },
  {
    name: 'an end of an interval of one field',
    element: { set: 'pod-cidrs', key: registers('0a410000'), intervalEnd: true },
    bytes: '18000100 0c000100 08000100 0a410000 08000300 00000001',
  },
];

const list = (batch: ElementBatch, index = 0): Uint8Array => {
  const message = batch.messages[index] as ElementBatch['messages'][number];
  const end = batch.messages[index + 1]?.offset ?? batch.bytes.length - 20;
  const set = message.offset + 20 + 16;
  const length = batch.bytes[set] as number;
  return batch.bytes.slice(set + ((length + 3) & ~3), end);
};

/** Clears NLA_F_NESTED of the list, the elements and what they hold. */
function unflagged(attribute: Uint8Array): string {
  const bytes = Buffer.from(attribute);
  for (let at = 0; at < bytes.length; at += 4) {
    // In these elements a type's high byte is 0x80 exactly where a length stands before it, and never in data.
    if (bytes[at + 3] === 0x80 && bytes[at + 1] === 0 && (bytes[at] as number) >= 8) bytes[at + 3] = 0;
  }
  return bytes.toString('hex');
}

for (const { name, element, bytes } of golden) {
  test(`golden bytes: ${name}`, () => {
    const expected = bytes.replaceAll(' ', '');
    const written = list(encodeElementBatch('ip', [{ op: 'add', element }], 1));
    assert.equal(unflagged(written).slice(8), expected);
  });

  test(`a dump with these bytes is read: ${name}`, () => {
    const elements = Buffer.from(bytes.replaceAll(' ', ''), 'hex');
    assert.deepEqual(readBack(element.set, elements), [element]);
  });
}

/** As a message of a dump. */
function readBack(set: string, elements: Buffer): readonly KernelElement[] {
  const header = Buffer.alloc(24);
  header.writeUInt32LE(24 + elements.length, 0);
  header.writeUInt16LE(0x0a0c, 4);
  header.writeUInt16LE(4 + elements.length, 20);
  header.writeUInt16LE(3, 22);
  const datagram = Buffer.concat([header, elements]);
  const found: KernelElement[] = [];
  for (const message of messagesOf(datagram)) decodeElements(datagram, message, set, found);
  return found;
}

test('timeouts of a dump are read in milliseconds', () => {
  const bytes = registers(
    '38000100 0c000100 08000100 0a400102 0c000200 08000100 01000180 0c000400 0000000000a4cb80 0c000500 00000000 00a4cb00'.replaceAll(
      ' ',
      '',
    ),
  );
  const length = Buffer.from(bytes, 'latin1');
  length.writeUInt16LE(length.length, 0);
  assert.deepEqual(readBack('aff', length), [
    {
      set: 'aff',
      key: registers('0a400102'),
      data: registers('01000180'),
      timeoutMs: 10_800_000,
      expiresMs: 10_799_872,
    },
  ]);
});

test('the end that nft writes before the first interval is no element', () => {
  assert.deepEqual(
    readBack('pod-cidrs', Buffer.from('180001000c0001000800010000000000' + '0800030000000001', 'hex')),
    [],
  );
});

test('a verdict is left out of what is read', () => {
  const verdict = '28000100 0c000100 08000100 02000000 18000200 14000200 08000100 fffffffc 08000200 6c622d31';
  assert.deepEqual(readBack('dispatch', Buffer.from(verdict.replaceAll(' ', ''), 'hex')), [
    { set: 'dispatch', key: registers('02000000') },
  ]);
});

const element = (set: string, key: string, data?: string): Element => ({
  set,
  key,
  ...(data !== undefined && { data }),
});
const add = (set: string, key: string, data?: string): ElementChange => ({
  op: 'add',
  element: element(set, key, data),
});
const remove = (set: string, key: string): ElementChange => ({ op: 'delete', element: element(set, key) });

/** type, flags and number of every message. */
const outline = ({ bytes }: ElementBatch): readonly string[] =>
  messagesOf(bytes).map(({ type, flags, seq }) => `${type.toString(16)} ${flags.toString(16)} ${seq}`);

test('a batch is one message for changes in a row of one operation and set, and the last asks for an answer', () => {
  const changes = [add('a', 'aaaa'), add('a', 'bbbb'), add('b', 'aaaa'), remove('a', 'cccc'), add('a', 'cccc', 'dddd')];
  const batch = encodeElementBatch('ip6', changes, 41);
  assert.deepEqual(outline(batch), ['10 1 41', 'a0c 401 42', 'a0c 401 43', 'a0e 1 44', 'a0c 405 45', '11 1 46']);
  assert.deepEqual(
    batch.messages.map(({ first, end }) => [first, end]),
    [
      [0, 2],
      [2, 3],
      [3, 4],
      [4, 5],
    ],
  );
  const single = encodeElementBatch('ip6', changes, 41, { single: true });
  assert.equal(single.messages.length, changes.length);
});

test('begin and end name the subsystem nf_tables, messages their family', () => {
  const { bytes } = encodeElementBatch('ip6', [add('s', 'aaaa')], 1);
  assert.equal(hex(bytes.slice(0, 20)), '1400000010000100010000000000000000' + '00000a');
  assert.equal(hex(bytes.slice(-20)), '1400000011000100030000000000000000' + '00000a');
  assert.equal(hex(bytes.slice(36, 40)), '0a000000');
});

test('numbers wrap at 32 bits', () => {
  const batch = encodeElementBatch('ip', [add('a', 'aaaa'), add('b', 'aaaa')], 0xffff_ffff);
  assert.deepEqual(
    messagesOf(batch.bytes).map(({ seq }) => seq),
    [0xffff_ffff, 0, 1, 2],
  );
  assert.equal(guiltyChange(batch, 1, undefined), 1);
});

test('no changes are an empty transaction', () => {
  assert.deepEqual(outline(encodeElementBatch('ip', [], 7)), ['10 1 7', '11 1 8']);
});

test('data of a deletion is left out, for the kernel finds an element by its key', () => {
  const changes: ElementChange[] = [{ op: 'delete', element: element('m', 'aaaa', 'dddd') }];
  assert.equal(Buffer.from(encodeElementBatch('ip', changes, 1).bytes).includes('dddd'), false);
});

/** Length, type: an error's offset counts from the header of the message. */
const elementStart = (batch: ElementBatch, message: number, index: number, size: number): number =>
  20 + 16 + 8 + 4 + index * size - (batch.messages[message] === undefined ? Number.NaN : 0);

test('an error is traced to its change by the offset of the element', () => {
  const changes = [add('s', 'aaaa'), add('s', 'bbbb'), add('s', 'cccc'), remove('s', 'dddd'), remove('s', 'eeee')];
  const batch = encodeElementBatch('ip', changes, 100);
  const size = 4 + 4 + 8; // element, key, value
  for (const [message, first] of [
    [0, 0],
    [1, 3],
  ] as const) {
    for (let index = 0; first + index < (message === 0 ? 3 : 5); index += 1) {
      const start = elementStart(batch, message, index, size);
      assert.equal(guiltyChange(batch, 101 + message, start), first + index);
      assert.equal(guiltyChange(batch, 101 + message, start + 8), first + index, 'inside of the element');
    }
  }
  assert.equal(guiltyChange(batch, 101, undefined), undefined, 'one of three');
  assert.equal(guiltyChange(batch, 100, 0), undefined, 'BEGIN');
  assert.equal(guiltyChange(batch, 103, 0), undefined, 'END');
  assert.equal(guiltyChange(batch, 99, 0), undefined, 'another request');
  assert.equal(guiltyChange(batch, 101, 4000), undefined);
});

test('a message of one change needs no offset', () => {
  const batch = encodeElementBatch('ip', [add('s', 'aaaa'), remove('s', 'aaaa')], 1);
  assert.deepEqual([guiltyChange(batch, 2, undefined), guiltyChange(batch, 3, undefined)], [0, 1]);
});

test('an offset at a name says that the table or the set is missing', () => {
  const batch = encodeElementBatch('ip', [add('services', 'aaaa')], 1);
  assert.equal(missingPart(batch, 2, 20), 'table');
  assert.equal(missingPart(batch, 2, 36), 'set');
  assert.equal(missingPart(batch, 2, 52), undefined);
  assert.equal(missingPart(batch, 2, 0), undefined, 'the message as a whole');
  assert.equal(missingPart(batch, 9, 20), undefined, 'another request');
  assert.equal(guiltyChange(batch, 2, 20), undefined);
});

test('a list ends before its length overflows, and what follows goes on in the next message', () => {
  const key = (index: number): string => String.fromCharCode(index >> 8, index & 255, 0, 0);
  const changes = Array.from({ length: 10_000 }, (_, index) => add('s', key(index)));
  const batch = encodeElementBatch('ip', changes, 1);
  assert.ok(batch.messages.length > 2 && batch.messages.length < 6, `${batch.messages.length} messages`);
  const found: KernelElement[] = [];
  for (const message of messagesOf(batch.bytes)) {
    assert.ok(message.end - message.start < 65_536);
    decodeElementsOfBatch(batch.bytes, message, found);
  }
  assert.deepEqual(
    found.map(({ key: read }) => read),
    changes.map((change) => change.element.key),
  );
  const second = batch.messages[1] as ElementBatch['messages'][number];
  assert.equal(guiltyChange(batch, 3, elementStart(batch, 1, 5, 16)), second.first + 5);
});

/** The messages of a batch are those of a dump. */
function decodeElementsOfBatch(
  bytes: Uint8Array,
  message: Parameters<typeof decodeElements>[1],
  into: KernelElement[],
): void {
  decodeElements(bytes, message, 's', into);
}

const words = (min: number, max: number): fc.Arbitrary<string> =>
  fc
    .array(fc.integer({ min: 0, max: 0xffff_ffff }), { minLength: min, maxLength: max })
    .map((numbers) => numbers.map((n) => registers(n.toString(16).padStart(8, '0'))).join(''));

const elements: fc.Arbitrary<Element> = fc
  .record({ key: words(1, 14), keyEnd: fc.option(words(1, 14)), data: fc.option(words(1, 5)), end: fc.boolean() })
  .map(({ key, keyEnd, data, end }) => ({
    set: 's',
    key,
    ...(keyEnd !== null && { keyEnd }),
    ...(data !== null && { data }),
    ...(end && /[^\0]/.test(key) && { intervalEnd: true as const }),
  }));

test('what is written is what is read, whatever the bytes', () => {
  fc.assert(
    fc.property(fc.array(elements, { maxLength: 60 }), (all) => {
      const { bytes } = encodeElementBatch(
        'ip',
        all.map((one) => ({ op: 'add', element: one })),
        1,
      );
      const found: KernelElement[] = [];
      for (const message of messagesOf(bytes)) decodeElements(bytes, message, 's', found);
      assert.deepEqual(found, all);
    }),
  );
});

test('no bytes make the reader loop or throw', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      const found: KernelElement[] = [];
      decodeElements(bytes, { type: 0x0a0c, flags: 0, seq: 0, start: 0, end: bytes.length }, 's', found);
      return found.length <= 50;
    }),
  );
});

test('a dump asks for one set of our table', () => {
  assert.equal(
    hex(encodeElementDump('ip', 'allowed', 9)),
    '30000000' +
      '0d0a' +
      '0103' +
      '09000000' +
      '00000000' +
      '02000000' +
      '0d000100666169726c656164' +
      '00000000' +
      '0c000200' +
      '616c6c6f77656400',
  );
});
