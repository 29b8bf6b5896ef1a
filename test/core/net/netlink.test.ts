import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  answerOf,
  attributesOf,
  errnoName,
  type Message,
  messagesOf,
  textOf,
  Writer,
} from '../../../src/core/net/netlink.ts';

const bytesOf = (hex: string): Uint8Array => Uint8Array.from(Buffer.from(hex.replaceAll(' ', ''), 'hex'));

const only = (bytes: Uint8Array): Message => {
  const [message, ...others] = messagesOf(bytes);
  assert.ok(message !== undefined && others.length === 0);
  return message;
};

test('messages are found by their lengths, padding between them included', () => {
  const writer = new Writer();
  writer.begin(16, 5, 7);
  writer.u8(1);
  writer.end();
  writer.begin(17, 1, 0xffff_ffff);
  writer.end();
  assert.deepEqual(messagesOf(writer.bytes()), [
    { type: 16, flags: 5, seq: 7, start: 16, end: 17 },
    { type: 17, flags: 1, seq: 0xffff_ffff, start: 36, end: 36 },
  ]);
});

for (const [name, hex] of [
  ['shorter than a header', '10000000 0200'],
  ['of length 0, which would never end', '00000000 02000000 00000000 00000000'],
  ['longer than the datagram', '40000000 02000000 00000000 00000000'],
] as const) {
  test(`a message ${name} is an error, not an end`, () => assert.throws(() => messagesOf(bytesOf(hex)), RangeError));
}

/** Captured from the kernel, 6.18: answers to element batches with NETLINK_CAP_ACK and NETLINK_EXT_ACK. */
test('an acknowledgement is errno 0', () => {
  const bytes = bytesOf('24000000 02000001 07000000 00000000 00000000 40000000 0c0a0504 07000000 00000000');
  const answer = answerOf(bytes, only(bytes));
  assert.deepEqual(answer, { seq: 7, errno: 0 });
  assert.ok(Object.is(answer.errno, 0), 'not -0');
});

test('an error has the offset of the guilty attribute', () => {
  const bytes = bytesOf(
    '2c000000 02000003 08000000 00000000 efffffff 50000000 0c0a0104 08000000 00000000 08000200 34000000',
  );
  assert.deepEqual(answerOf(bytes, only(bytes)), { seq: 8, errno: 17, offset: 52 });
});

test('an error has the words of the kernel', () => {
  const bytes = bytesOf(
    '30000000 02000003 08000000 00000000 eaffffff 50000000 18000504 08000000 00000000 0b000100 6e6f206c696e6b00',
  );
  assert.deepEqual(answerOf(bytes, only(bytes)), { seq: 8, errno: 22, message: 'no link' });
});

test('an error that repeats the request has its attributes behind that', () => {
  const request = '18000000 0c0a0104 08000000 00000000 11223344 55667788';
  const bytes = bytesOf(`34000000 02000002 08000000 00000000 feffffff ${request} 08000200 14000000`);
  assert.deepEqual(answerOf(bytes, only(bytes)), { seq: 8, errno: 2, offset: 20 });
});

test('the end of a dump may be an error', () => {
  const bytes = bytesOf('14000000 03000200 05000000 00000000 fcffffff');
  assert.deepEqual(answerOf(bytes, only(bytes)), { seq: 5, errno: 4 });
});

test('the end of a dump that failed has the words right behind the number', () => {
  const bytes = bytesOf('20000000 03000202 05000000 00000000 eaffffff 0b000100 6e6f206c 696e6b00');
  assert.deepEqual(answerOf(bytes, only(bytes)), { seq: 5, errno: 22, message: 'no link' });
});

test('attributes end where one does not fit', () => {
  const found = attributesOf(bytesOf('08000100 61620000 06000280 63640000 ffff0300'), 0, 20);
  assert.deepEqual(
    [...found],
    [
      [1, { start: 4, end: 8 }],
      [2, { start: 12, end: 14 }],
    ],
  );
});

test('text ends at its NUL or where its attribute does', () => {
  const bytes = bytesOf('6162 00 6364 6566');
  assert.equal(textOf(bytes, { start: 0, end: 3 }), 'ab');
  assert.equal(textOf(bytes, { start: 3, end: 5 }), 'cd');
  assert.equal(textOf(bytes, { start: 0, end: 1 }), 'a');
});

test('a nest has the length of what is inside, and the flag', () => {
  const writer = new Writer();
  writer.nest(3, () => {
    writer.attribute8(1, 6);
    writer.wrap(2, () => writer.attributeText(1, 'x'));
  });
  assert.deepEqual(writer.bytes(), bytesOf('18000380 05000100 06000000 0c000200 06000100 78000000'));
});

test('whatever is written comes back, however long', () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.integer({ min: 1, max: 100 }), fc.uint8Array({ maxLength: 700 })), { maxLength: 9 }),
      (all) => {
        const writer = new Writer();
        writer.begin(1, 2, 3);
        for (const [type, payload] of all) writer.attribute(type, payload);
        writer.end();
        const bytes = writer.bytes();
        const message = only(bytes);
        const found = attributesOf(bytes, message.start, message.end);
        for (const [type, payload] of new Map(all)) {
          const { start, end } = found.get(type) ?? { start: 0, end: 0 };
          assert.deepEqual(bytes.slice(start, end), payload);
        }
      },
    ),
  );
});

test('errors have their names', () => {
  assert.deepEqual([errnoName(17), errnoName(1), errnoName(4711)], ['EEXIST', 'EPERM', 'errno 4711']);
});
