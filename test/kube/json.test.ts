import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { mayHoldBigInteger, parse, print } from '../../src/kube/json.ts';

test('an int64 is printed and read without a loss', () => {
  const text = '{"availableIPv6":9223372036854775807,"assignedIPv6":3}';
  assert.deepEqual(parse(text), { availableIPv6: 9223372036854775807n, assignedIPv6: 3 });
  assert.equal(print(parse(text)), text);
});

test('numbers that a double holds stay numbers, and fractions and exponents too', () => {
  assert.deepEqual(
    parse('[9007199254740991,-9007199254740991,1.5,1e300,-0.1]'),
    [9007199254740991, -9007199254740991, 1.5, 1e300, -0.1],
  );
  assert.deepEqual(parse('[9007199254740993,-9007199254740993]'), [9007199254740993n, -9007199254740993n]);
});

test('digits inside of strings are text', () => {
  assert.deepEqual(parse('{"a":"9223372036854775807"}'), { a: '9223372036854775807' });
});

test('every JSON value comes back as JSON.parse gives it', () => {
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      const text = JSON.stringify(value);
      fc.pre(!/\d{16}/.test(text)); // big integers are the next test's
      assert.deepEqual(parse(print(value)), JSON.parse(text));
    }),
  );
});

test('every int64 comes back, and is noticed beforehand when it is big', () => {
  fc.assert(
    fc.property(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), (value) => {
      const text = print({ list: [value], value });
      const read = parse(text) as { readonly value: number | bigint };
      assert.equal(BigInt(read.value), value);
      if (typeof read.value === 'bigint') assert.ok(mayHoldBigInteger(text));
    }),
  );
});
