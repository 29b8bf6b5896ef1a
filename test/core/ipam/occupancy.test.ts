import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Occupancy } from '../../../src/core/ipam/occupancy.ts';
import type { IpFamily } from '../../../src/core/provider.ts';

/** Three bitmaps and a bit, anywhere in the family. */
const SPAN = 800;

for (const { family, base } of [
  { family: 'ipv4', base: 0x0a000000n },
  { family: 'ipv6', base: (0xfd00n << 112n) + (1n << 64n) - 256n },
] as const)
  test(`the first free ${family} address is that of a scan`, () => {
    const change = fc.record({ at: fc.nat(SPAN - 1), length: fc.constantFrom(1, 1, 2, 256, 300), take: fc.boolean() });
    fc.assert(
      fc.property(fc.array(change, { maxLength: 40 }), fc.nat(SPAN), fc.nat(SPAN), (changes, low, more) => {
        const occupancy = new Occupancy();
        const taken = new Set<number>();
        for (const { at, length, take } of changes)
          for (let host = at; host < Math.min(SPAN, at + length); host += 1) {
            const ip = { family, value: base + BigInt(host) };
            if (take) occupancy.add(ip);
            else occupancy.delete(ip);
            if (take) taken.add(host);
            else taken.delete(host);
            assert.equal(occupancy.has(ip), take);
          }
        const interval = { family, first: base + BigInt(low), last: base + BigInt(low + more) };
        for (const inner of [false, true])
          assert.equal(occupancy.firstFree(interval, inner), scan(taken, low, more, inner));
      }),
      { numRuns: 400 },
    );

    function scan(taken: ReadonlySet<number>, low: number, more: number, inner: boolean): bigint | undefined {
      for (let host = low; host <= low + more; host += 1) {
        const value = base + BigInt(host);
        const edge = family === 'ipv4' && (value % 256n === 0n || value % 256n === 255n);
        if (!taken.has(host) && !(inner && edge)) return value;
      }
      return undefined;
    }
  });

test('the families do not see each other, and the ends of both can be taken', () => {
  const occupancy = new Occupancy();
  const ends: readonly (readonly [IpFamily, bigint])[] = [
    ['ipv4', 0n],
    ['ipv4', 2n ** 32n - 1n],
    ['ipv6', 0n],
    ['ipv6', 2n ** 128n - 1n],
  ];
  for (const [family, value] of ends) {
    assert.equal(occupancy.firstFree({ family, first: value, last: value }, false), value);
    occupancy.add({ family, value });
    occupancy.add({ family, value });
    assert.equal(occupancy.firstFree({ family, first: value, last: value }, false), undefined);
  }
  for (const [family, value] of ends) {
    occupancy.delete({ family, value });
    occupancy.delete({ family, value });
    assert.equal(occupancy.firstFree({ family, first: value, last: value }, false), value);
  }
});
