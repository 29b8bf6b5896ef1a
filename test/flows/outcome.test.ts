import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cellOf, parseCell, triesFor } from './outcome.ts';
import type { Source } from './tables.ts';
import { NODE, NODE_GATEWAY } from './world.ts';

const G = NODE_GATEWAY[4];
const rows: readonly {
  readonly name: string;
  readonly outcomes: Readonly<Record<string, number>>;
  readonly expected: string;
  readonly source?: Source;
  readonly cell: string;
}[] = [
  { name: 'all and no other', outcomes: { 'a=': 3, 'e=': 5 }, expected: 'ae=', cell: 'ae=' },
  { name: 'in the spelling of the expected', outcomes: { 'b=': 1, [`a~${G}`]: 1 }, expected: 'b=a~', cell: 'b=a~' },
  { name: 'one too many', outcomes: { 'a=': 3, 'e=': 5 }, expected: 'a=', cell: 'ae=' },
  { name: 'one missing', outcomes: { 'a=': 3 }, expected: 'ae=', cell: 'a=' },
  { name: 'one of many tries refused', outcomes: { 'a=': 99, refused: 1 }, expected: 'a=', cell: 'a= x' },
  { name: 'dropped', outcomes: { timeout: 2 }, expected: '-', cell: '-' },
  { name: 'reached what must be dropped', outcomes: { timeout: 1, 'a=': 1 }, expected: '-', cell: 'a= -' },
  { name: 'the sink', outcomes: { 'sink=': 2 }, expected: 'o', cell: 'o' },
  { name: 'the sink sees another address', outcomes: { [`sink~${G}`]: 2 }, expected: 'o', cell: `o~${G}` },
  { name: 'masqueraded to somebody else', outcomes: { 'a~10.9.9.9': 2 }, expected: 'a~', cell: 'a~10.9.9.9' },
  { name: 'masqueraded now and then', outcomes: { 'a=': 2, [`a~${G}`]: 1 }, expected: 'a=', cell: 'a?' },
  { name: 'another port by a clash in NAT', outcomes: { 'a=': 1, 'a^': 2 }, expected: 'a=', cell: 'a=' },
  {
    name: "the node's own address with another port",
    outcomes: { 'e^': 3 },
    expected: 'e~',
    source: 'node',
    cell: 'e~',
  },
  { name: 'sticky', outcomes: { 'e=': 12 }, expected: '1(ae=)', cell: '1(ae=)' },
  { name: 'not sticky', outcomes: { 'a=': 6, 'e=': 6 }, expected: '1(ae=)', cell: 'ae=' },
  { name: 'sticky to a stranger', outcomes: { 'b=': 12 }, expected: '1(ae=)', cell: 'b=' },
  { name: 'sticky, and masqueraded', outcomes: { [`e~${NODE[4]}`]: 12 }, expected: '1(ae=)', cell: 'e~' },
];

for (const { name, outcomes, expected, source = 'pod', cell } of rows) {
  test(`outcome: ${name}`, () => assert.equal(cellOf(new Map(Object.entries(outcomes)), expected, source), cell));
}

test('more endpoints take more tries', () => {
  const tries = ['-', 'a=', 'ab=', 'abef~'].map((cell) => triesFor(parseCell(cell)));
  assert.deepEqual(
    tries,
    [...tries].sort((a, b) => a - b),
  );
  assert.ok((tries[3] ?? 0) > 55);
});

test('what is no outcome is refused', () => assert.throws(() => parseCell('abz='), /no outcome/));
