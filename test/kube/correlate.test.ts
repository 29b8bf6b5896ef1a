import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createCorrelator, type Likeness } from '../../src/kube/correlate.ts';

const event = (message: string, more: Partial<Likeness> = {}): Likeness => ({
  uid: 'u1',
  type: 'Warning',
  reason: 'SyncLoadBalancerFailed',
  message,
  ...more,
});
const letters = [...'abcdefghijklmnopqrstuvwxyz'];

test('messages that differ in numbers only are alike; other objects, types, reasons and words are not', () => {
  const { combine } = createCorrelator();
  const { key, message } = combine(event('try 3 of 5 at 10.0.0.1'), 0);
  assert.equal(message, 'try 3 of 5 at 10.0.0.1');
  assert.equal(combine(event('try 4 of 5 at 10.0.0.22'), 0).key, key);
  const others = [
    event('try 3 of 5 at 10.0.0.1', { uid: 'u2' }),
    event('try 3 of 5 at 10.0.0.1', { type: 'Normal' }),
    event('try 3 of 5 at 10.0.0.1', { reason: 'Other' }),
    event('tried 3 of 5 at 10.0.0.1'),
  ];
  const keys = others.map((other) => combine(other, 0).key);
  assert.equal(new Set([key, ...keys]).size, 5);
});

test('the tenth different message of a reason within ten minutes is combined with all that follow', () => {
  const { combine } = createCorrelator();
  const ends = letters.map((letter, n) => combine(event(letter), n * 1000));
  assert.deepEqual(
    ends.slice(0, 9).map(({ message }) => message),
    letters.slice(0, 9),
  );
  assert.equal(ends[9]?.message, '(combined from similar events): j');
  assert.equal(new Set(ends.slice(9).map(({ key }) => key)).size, 1);
  assert.equal(new Set(ends.map(({ key }) => key)).size, 10);
  assert.equal(combine(event('a', { reason: 'Other' }), 26_000).message, 'a');
  // Ten minutes after the last one it starts anew.
  assert.equal(combine(event('a'), 25_000 + 600_000).message, '(combined from similar events): a');
  assert.equal(combine(event('a'), 625_000 + 600_001).message, 'a');
});

test('one object gets 25, then one per five minutes', () => {
  const { allow } = createCorrelator();
  const allowed = (nowMs: number, n: number) =>
    Array.from({ length: n }, () => allow(event('x'), nowMs)).filter(Boolean).length;
  assert.equal(allowed(0, 40), 25);
  assert.equal(allowed(299_999, 3), 0);
  assert.equal(allowed(300_000, 3), 1);
  assert.equal(allowed(900_000, 3), 2);
  assert.equal(allow(event('x', { uid: 'u2' }), 900_000), true);
  assert.equal(allowed(900_000 + 300 * 300_000, 40), 25);
});

test('what must be kept is never combined, filtered or taken for alike, and costs the others nothing', () => {
  const { combine, allow } = createCorrelator();
  const keys = letters.map((letter) => combine(event(letter, { keep: true }), 0));
  assert.deepEqual(
    keys.map(({ message }) => message),
    letters,
  );
  const [a, b] = ['10.0.0.1 is now 10.0.0.2', '10.0.0.2 is now 10.0.0.3'].map((text) =>
    combine(event(text, { keep: true }), 0),
  );
  assert.notEqual(a?.key, b?.key);
  for (let n = 0; n < 100; n += 1) assert.equal(allow(event('x', { keep: true }), 0), true);
  assert.equal(allow(event('x'), 0), true);
});
