import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { createPace } from '../../src/work/pace.ts';

/** [at, started at] of throttled answers -> share at a time. */
const table: readonly {
  readonly name: string;
  readonly throttled: readonly (readonly [atMs: number, startedMs: number])[];
  readonly atMs: number;
  readonly share: number;
}[] = [
  { name: 'it starts with the whole', throttled: [], atMs: 0, share: 1 },
  { name: 'one halves', throttled: [[0, 0]], atMs: 0, share: 1 / 2 },
  {
    name: 'a second one that started after the first halves again',
    throttled: [
      [0, 0],
      [0, 0],
    ],
    atMs: 0,
    share: 1 / 4,
  },
  {
    name: 'one that started before the last cut says nothing new',
    throttled: [
      [100, 50],
      [120, 60],
      [130, 99],
    ],
    atMs: 130,
    share: 1 / 2 + 30 / 120_000,
  },
  { name: 'half a minute without one raises by a quarter', throttled: [[0, 0]], atMs: 30_000, share: 3 / 4 },
  { name: 'after a minute it is whole again', throttled: [[0, 0]], atMs: 60_000, share: 1 },
  { name: 'it never rises above the whole', throttled: [[0, 0]], atMs: 86_400_000, share: 1 },
  {
    name: 'it never falls below a sixty-fourth',
    throttled: Array.from({ length: 20 }, () => [0, 0] as const),
    atMs: 0,
    share: 1 / 64,
  },
];
for (const { name, throttled, atMs, share } of table) {
  test(`pace: ${name}`, () => {
    const pace = createPace();
    for (const [at, startedMs] of throttled) pace.throttled(startedMs, at);
    assert.equal(pace.share(atMs), share);
  });
}

test('property: the share stays within its bounds, falls only by being throttled, and comes back to the whole', () => {
  const history = fc.array(fc.record({ gapMs: fc.nat(50_000), agoMs: fc.nat(1000) }), { maxLength: 50 });
  fc.assert(
    fc.property(history, (answers) => {
      const pace = createPace();
      let nowMs = 0;
      for (const { gapMs, agoMs } of answers) {
        const before = pace.share(nowMs);
        nowMs += gapMs;
        const raised = pace.share(nowMs);
        assert.ok(raised >= before);
        pace.throttled(nowMs - agoMs, nowMs);
        const after = pace.share(nowMs);
        assert.ok(after >= 1 / 64 && after <= raised);
        assert.ok(after === raised || after === Math.max(1 / 64, raised / 2));
      }
      assert.equal(pace.share(nowMs + 120_000), 1);
    }),
  );
});
