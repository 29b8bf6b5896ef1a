import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { maglev } from '../../../src/core/proxy/maglev.ts';
import { arrange } from '../../../src/core/proxy/slots.ts';

const targets = fc.array(fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f', 'g'), { maxLength: 9 });

const moved = (before: readonly string[], after: readonly string[]): number =>
  after.filter((target, index) => index < before.length && before[index] !== target).length;

/** How many members of one list have no partner in the other. */
function missingFrom(one: readonly string[], other: readonly string[]): number {
  const rest = [...other];
  return one.filter((target) => {
    const at = rest.indexOf(target);
    if (at >= 0) rest.splice(at, 1);
    return at < 0;
  }).length;
}

test('slots hold what is wanted, and no more of them change than went', () => {
  fc.assert(
    fc.property(targets, targets, (before, wanted) => {
      const after = arrange(before, wanted);
      assert.deepEqual([...after].sort(), [...wanted].sort());
      if (before.length > 0) assert.ok(moved(before, after) <= missingFrom(before, wanted));
    }),
    { numRuns: 2000 },
  );
});

test('the same targets in another order are the same array', () => {
  fc.assert(
    fc.property(targets, (before) => {
      if (before.length > 0) assert.equal(arrange(before, before.toReversed()), before);
    }),
  );
});

for (const [before, wanted, after] of [
  ['', 'abc', 'abc'],
  ['abc', 'abx', 'abx'],
  ['abc', 'xbc', 'xbc'],
  ['abc', 'bc', 'cb'],
  ['abc', 'ab', 'ab'],
  ['abc', 'xabc', 'abcx'],
  ['abcd', 'dx', 'dx'],
  ['abcd', 'cd', 'cd'],
  ['aab', 'ab', 'ab'],
  ['abc', '', ''],
] as const) {
  test(`slots ${before || 'none'}, wanted ${wanted || 'none'}: ${after || 'none'}`, () =>
    assert.equal(arrange([...before], [...wanted]).join(''), after));
}

const names = (count: number): readonly string[] => Array.from({ length: count }, (_, index) => `endpoint-${index}`);

test('hashed slots: equal shares, whatever the order', () => {
  for (const count of [1, 2, 3, 10, 50]) {
    const slots = maglev(names(count));
    assert.equal(slots.length, 251);
    assert.deepEqual(maglev(names(count).toReversed()), slots);
    const shares = names(count).map((name) => slots.filter((target) => target === name).length);
    assert.ok(Math.max(...shares) - Math.min(...shares) <= 1, shares.join(' '));
  }
  assert.deepEqual(maglev([]), []);
  assert.equal(maglev(names(1000)).length, 251);
});

test('hashed slots: one endpoint of ten that goes moves its own slots and few others', () => {
  const before = maglev(names(10));
  for (const gone of names(10)) {
    const after = maglev(names(10).filter((name) => name !== gone));
    const others = before.filter((target, index) => target !== gone && after[index] !== target).length;
    assert.ok(others < 60, `${others} other slots moved`);
  }
});

test('hashed slots: a target that stands twice has two shares', () => {
  const slots = maglev(['a', 'b', 'a']);
  const share = slots.filter((target) => target === 'a').length;
  assert.ok(share >= 166 && share <= 168, String(share));
});
