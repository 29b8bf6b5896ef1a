import assert from 'node:assert/strict';
import { test } from 'node:test';
import { exponential } from '../../src/work/backoff.ts';

const cases = [
  { name: 'the first failure waits the base', failures: 1, expected: 1000 },
  { name: 'each further one twice as long', failures: 4, expected: 8000 },
  { name: 'never longer than the cap', failures: 12, expected: 300_000 },
  { name: 'not even after very many', failures: 5000, expected: 300_000 },
  { name: 'no failure counts as the first', failures: 0, expected: 1000 },
];
for (const { name, failures, expected } of cases) {
  test(`backoff: ${name}`, () => assert.equal(exponential({ baseMs: 1000, capMs: 300_000 })(failures), expected));
}

test('backoff: jitter adds up to its share, above the cap too', () => {
  const most = exponential({ baseMs: 1000, capMs: 4000, jitter: 0.2, random: () => 1 });
  const least = exponential({ baseMs: 1000, capMs: 4000, jitter: 0.2, random: () => 0 });
  assert.deepEqual([most(1), most(9), least(1), least(9)], [1200, 4800, 1000, 4000]);
});
