import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Target } from '../../../src/core/provider.ts';
import { holdRemovals, SECOND_LOOK_MS } from '../../../src/core/service/floor.ts';

/** 'a b- c': b drains. */
const targets = (text: string): readonly Target[] =>
  text
    .split(' ')
    .filter((word) => word !== '')
    .map((word) => {
      const id = word.replace('-', '');
      return { id, node: id, address: id, ...(word.endsWith('-') ? { draining: true as const } : {}) };
    });
const text = (list: readonly Target[]) =>
  list.map(({ id, draining }) => `${id}${draining === true ? '-' : ''}`).join(' ');

const cases: readonly {
  readonly name: string;
  readonly before: string;
  readonly wanted: string;
  readonly expected: string;
  readonly held?: string;
}[] = [
  { name: 'nothing goes', before: 'a b', wanted: 'a b', expected: 'a b' },
  { name: 'targets come', before: 'a', wanted: 'a b c', expected: 'a b c' },
  { name: 'the first targets', before: '', wanted: 'a b', expected: 'a b' },
  { name: 'one of two goes', before: 'a b', wanted: 'a', expected: 'a' },
  { name: 'half of four go', before: 'a b c d', wanted: 'a b', expected: 'a b' },
  { name: 'more than half go', before: 'a b c d', wanted: 'd', expected: 'a b c d', held: 'a b c' },
  { name: 'two of three go', before: 'a b c', wanted: 'c', expected: 'a b c', held: 'a b' },
  { name: 'all go', before: 'a b', wanted: '', expected: 'a b', held: 'a b' },
  { name: 'the last one goes', before: 'a', wanted: '', expected: 'a', held: 'a' },
  {
    name: 'all are replaced: newcomers come beside the old',
    before: 'a b',
    wanted: 'c d',
    expected: 'a b c d',
    held: 'a b',
  },
  { name: 'to drain is to go', before: 'a b c', wanted: 'a- b- c', expected: 'a b c', held: 'a b' },
  { name: 'half drain', before: 'a b', wanted: 'a- b', expected: 'a- b' },
  { name: 'what drained before does not count and may go', before: 'a- b- c- d', wanted: 'd', expected: 'd' },
  { name: 'a drained one that comes back is no loss', before: 'a- b', wanted: 'a b', expected: 'a b' },
];
for (const { name, before, wanted, expected, held = '' } of cases) {
  test(`floor: ${name}`, () => {
    const result = holdRemovals(targets(wanted), { before: targets(before), nowMs: 1000 });
    assert.equal(text(result.targets), expected);
    assert.equal([...result.held.keys()].join(' '), held);
    assert.equal(result.recheckMs, held === '' ? undefined : 1000 + SECOND_LOOK_MS);
  });
}

test('floor: without a memory, or for the same array, nothing is compared', () => {
  const wanted = targets('a');
  assert.equal(holdRemovals(wanted, { before: undefined, nowMs: 0 }).targets, wanted);
  assert.equal(holdRemovals(wanted, { before: wanted, nowMs: 0 }).targets, wanted);
  assert.equal(holdRemovals(wanted, { before: targets('a b'), nowMs: 0 }).targets, wanted);
});

test('floor: a second look before 30 s holds on, at 30 s it lets go', () => {
  const first = holdRemovals(targets('d'), { before: targets('a b c d'), nowMs: 0 });
  const early = holdRemovals(targets('d'), { before: first.targets, held: first.held, nowMs: 29_999 });
  assert.deepEqual([text(early.targets), early.recheckMs], ['a b c d', 30_000]);
  const late = holdRemovals(targets('d'), { before: early.targets, held: early.held, nowMs: 30_000 });
  assert.deepEqual([text(late.targets), late.held.size, late.recheckMs], ['d', 0, undefined]);
});

test('floor: what comes back meanwhile is forgotten, and its next loss waits anew', () => {
  const first = holdRemovals(targets(''), { before: targets('a b'), nowMs: 0 });
  const back = holdRemovals(targets('a b'), { before: first.targets, held: first.held, nowMs: 10_000 });
  assert.equal(back.held.size, 0);
  const again = holdRemovals(targets(''), { before: back.targets, held: back.held, nowMs: 31_000 });
  assert.deepEqual([text(again.targets), again.recheckMs], ['a b', 61_000]);
});

test('floor: each held target has its own time', () => {
  const first = holdRemovals(targets('c d'), { before: targets('a b c d').slice(0, 3), nowMs: 0 });
  assert.equal(text(first.targets), 'a b c d');
  const more = holdRemovals(targets('d'), { before: first.targets, held: first.held, nowMs: 20_000 });
  assert.deepEqual([text(more.targets), more.recheckMs], ['a b c d', 30_000]);
  const next = holdRemovals(targets('d'), { before: more.targets, held: more.held, nowMs: 30_000 });
  // a and b had their second look; c alone is a quarter.
  assert.equal(text(next.targets), 'd');
});

test('floor: one step never takes more than half of those that take traffic, nor all, except what was held for 30 s', () => {
  const list = fc.uniqueArray(fc.constantFrom('a', 'b', 'c', 'd', 'e'), { minLength: 0 }).chain((ids) =>
    fc.array(fc.boolean(), { minLength: ids.length, maxLength: ids.length }).map((drains) =>
      targets(
        ids
          .sort()
          .map((id, index) => (drains[index] === true ? `${id}-` : id))
          .join(' '),
      ),
    ),
  );
  const active = (of: readonly Target[]) => of.filter(({ draining }) => draining !== true).map(({ id }) => id);
  fc.assert(
    fc.property(list, fc.array(fc.tuple(list, fc.nat(20_000)), { minLength: 1 }), (start, steps) => {
      let [before, held, nowMs] = [start, new Map<string, number>() as ReadonlyMap<string, number>, 0];
      for (const [wanted, ms] of steps) {
        nowMs += ms;
        const result = holdRemovals(wanted, { before, held, nowMs });
        const now = new Set(active(result.targets));
        const lost = active(before).filter((id) => !now.has(id));
        const sudden = lost.filter((id) => nowMs - (held.get(id) ?? nowMs) < SECOND_LOOK_MS);
        assert.ok(sudden.length * 2 <= active(before).length, 'half');
        if (sudden.length > 0) assert.ok(active(before).length > lost.length, 'last');
        for (const { id } of wanted)
          assert.ok(
            result.targets.some((target) => target.id === id),
            'nobody is kept out',
          );
        [before, held] = [result.targets, result.held];
      }
    }),
  );
});
