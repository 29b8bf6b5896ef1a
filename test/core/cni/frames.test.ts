import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  decodeFrame,
  decodeReport,
  encodeAnswer,
  encodeFrame,
  encodePlan,
  LONGEST_FRAME,
} from '../../../src/core/cni/frames.ts';

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1');

test('a frame is read back, however it is cut into pieces', () => {
  fc.assert(
    fc.property(
      fc.constantFrom('P', 'A', 'R', 'K'),
      fc.uint8Array({ maxLength: 64 }),
      fc.uint8Array({ maxLength: 8 }),
      (kind, payload, rest) => {
        const frame = encodeFrame(kind, payload);
        const bytes = Uint8Array.from([...frame, ...rest]);
        for (let cut = 0; cut < frame.length; cut += 1) assert.equal(decodeFrame(bytes.slice(0, cut)), undefined);
        const read = decodeFrame(bytes);
        assert.deepEqual([read?.frame.kind, read?.length], [kind, frame.length]);
        assert.deepEqual(Buffer.from(read?.frame.payload ?? []), Buffer.from(payload));
      },
    ),
  );
});

test('what is no frame is told at its head', () => {
  assert.throws(() => decodeFrame(Buffer.from('GET / HTTP')), RangeError);
  const long = encodeFrame('R', new Uint8Array(0));
  new DataView(long.buffer).setUint32(1, LONGEST_FRAME + 1, true);
  assert.throws(() => decodeFrame(long), RangeError);
});

test('a plan: kind, namespace, length, data', () => {
  const plan = encodePlan([
    { kind: 'send', where: 'host', bytes: Uint8Array.of(1, 2) },
    { kind: 'undo', bytes: Uint8Array.of(3) },
    { kind: 'sysctl', where: 'pod', name: 'net/a', value: '0' },
    { kind: 'dump', where: 'pod', bytes: Uint8Array.of(4) },
  ]);
  assert.equal(
    text(plan),
    'P\x36\0\0\0' +
      'N\0\0\0\x02\0\0\0\x01\x02' +
      'U\0\0\0\x01\0\0\0\x03' +
      'S\x01\0\0\x12\0\0\0/proc/sys/net/a\x000\0' +
      'D\x01\0\0\x01\0\0\0\x04',
  );
});

test('an answer: the exit status, then what goes to standard output', () => {
  assert.equal(text(encodeAnswer(1, '{}')), 'A\x03\0\0\0\x01{}');
});

test('a report: the step that failed, errno, the message, and dumps', () => {
  const report = (step: number, errno: number, seq: number, ...dumps: readonly string[]): Uint8Array => {
    const head = Buffer.alloc(12);
    head.writeUInt32LE(step, 0);
    head.writeInt32LE(errno, 4);
    head.writeUInt32LE(seq, 8);
    return Buffer.concat([
      head,
      ...dumps.map((dump) => Buffer.from(`${String.fromCharCode(dump.length)}\0\0\0${dump}`)),
    ]);
  };
  assert.deepEqual(decodeReport(report(0xffffffff, 0, 0)), { errno: 0, seq: 0, dumps: [] });
  assert.deepEqual(decodeReport(report(2, 17, 1)), { failedStep: 2, errno: 17, seq: 1, dumps: [] });
  assert.deepEqual(decodeReport(report(0xffffffff, 0, 0, 'ab', '')).dumps.map(text), ['ab', '']);
  for (const cut of [0, 11, 13, 17]) assert.throws(() => decodeReport(report(0, 0, 0, 'ab').slice(0, cut)), RangeError);
});
