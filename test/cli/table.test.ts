import assert from 'node:assert/strict';
import { test } from 'node:test';
import { age, paint, table } from '../../src/cli/table.ts';

test('a table is aligned, with <none> for what is empty and nothing after the last column', () => {
  const rows = [
    { name: 'web', address: '192.0.2.1' },
    { name: 'a-long-name', address: '' },
  ];
  const columns = [
    { title: 'NAME', cell: (row: (typeof rows)[number]) => row.name },
    { title: 'ADDRESS', cell: (row: (typeof rows)[number]) => row.address },
  ];
  assert.equal(table(columns, rows), 'NAME          ADDRESS\nweb           192.0.2.1\na-long-name   <none>\n');
});

test('an optional column is left out when no row has it', () => {
  const columns = [
    { title: 'A', cell: (row: string) => row },
    { title: 'B', cell: () => '', optional: true as const },
  ];
  assert.equal(table(columns, ['x']), 'A\nx\n');
});

for (const [seconds, expected] of [
  [-5, '0s'],
  [119, '119s'],
  [120, '2m'],
  [7199, '119m'],
  [7200, '2h'],
  [172_800, '2d'],
] as const) {
  test(`an age of ${seconds} s is written ${expected}`, () => assert.equal(age(0, seconds * 1000), expected));
}

test('colour goes to terminals only', () => {
  assert.equal(paint('red', 'x', {}), 'x');
  assert.equal(paint('red', 'x', { isTTY: false }), 'x');
});
