import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Flag, InputError } from '../../src/cli/command.ts';
import { hint, parse, parseFlags } from '../../src/cli/flags.ts';

const flags: readonly Flag[] = [
  { name: 'provider', aliases: ['cloud-provider'], value: 'NAME', help: '', parse: parse.text },
  { name: 'leader-elect', help: '', parse: parse.boolean, default: 'true' },
  { name: 'period', value: 'DURATION', help: '', parse: parse.durationMs, default: '10m' },
  { name: 'classes', value: 'LIST', help: '', parse: parse.list },
];

const good: readonly {
  name: string;
  argv: readonly string[];
  flags: object;
  args?: readonly string[];
  given?: readonly string[];
}[] = [
  { name: 'nothing given: defaults', argv: [], flags: { 'leader-elect': true, period: 600_000 } },
  {
    name: 'a value after a space and after =',
    argv: ['--provider', 'onprem', '--period=15s'],
    flags: { provider: 'onprem', 'leader-elect': true, period: 15_000 },
    given: ['provider', 'period'],
  },
  {
    name: 'an alias is the flag itself',
    argv: ['--cloud-provider=x'],
    flags: { provider: 'x', 'leader-elect': true, period: 600_000 },
    given: ['provider'],
  },
  {
    name: 'a boolean takes its value only by =, as in Go',
    argv: ['--leader-elect=false', 'svc/a'],
    flags: { 'leader-elect': false, period: 600_000 },
    args: ['svc/a'],
    given: ['leader-elect'],
  },
  {
    name: '-- ends the flags',
    argv: ['--', '--provider'],
    flags: { 'leader-elect': true, period: 600_000 },
    args: ['--provider'],
  },
  {
    name: 'a list loses its blanks and empty parts',
    argv: ['--classes= none , fairlead.dev/onprem,'],
    flags: { classes: ['none', 'fairlead.dev/onprem'], 'leader-elect': true, period: 600_000 },
    given: ['classes'],
  },
];
for (const { name, argv, flags: expected, args = [], given = [] } of good) {
  test(`flags: ${name}`, () => {
    assert.deepEqual(parseFlags(argv, flags, 1), { flags: expected, args, given: new Set(given) });
  });
}

test('flags: a list that repeats adds up, any other flag keeps its last value', () => {
  const two: readonly Flag[] = [
    { name: 'filename', aliases: ['f'], value: 'FILE', help: '', parse: parse.list, repeats: true },
    { name: 'output', value: 'FORMAT', help: '', parse: parse.text },
  ];
  const { flags: values } = parseFlags(['-f', 'a', '-f=b', '--output=x', '--output=y'], two, 0);
  assert.deepEqual(values, { filename: ['a', 'b'], output: 'y' });
});

test('flags: every problem is named at once, with the right form', () => {
  const argv = ['--leader-elct', '--period=soon', '--leader-elect=maybe', 'a', 'b', '--provider'];
  assert.throws(
    () => parseFlags(argv, flags, 1),
    (error) => {
      assert.ok(error instanceof InputError);
      assert.deepEqual(error.problems, [
        '--leader-elct: no such flag; did you mean "leader-elect"?',
        '--provider: a value is missing; write --provider=NAME',
        '"b": one argument too many',
        '--leader-elect: "maybe" is neither true nor false',
        '--period: "soon" is not a duration; write 15s, 10m or 1h30m',
      ]);
      return true;
    },
  );
});

test('flags: a flag is not taken for the value of the one before it', () => {
  assert.throws(() => parseFlags(['--provider', '--leader-elect'], flags, 0), /--provider: a value is missing/);
});

const refused: readonly { parser: (text: string) => unknown; text: string; says: RegExp }[] = [
  { parser: parse.integer(1), text: '0', says: /is below 1/ },
  { parser: parse.integer(1), text: '1.5', says: /is not a whole number/ },
  { parser: parse.integer(0, 65_535), text: '70000', says: /is not between 0 and 65535/ },
  { parser: parse.number(0), text: '', says: /is not a number/ },
  { parser: parse.oneOf('table', 'json'), text: 'yaml', says: /is none of table, json/ },
  { parser: parse.text, text: '', says: /is empty/ },
  { parser: parse.durationMs, text: '10', says: /is not a duration/ },
  { parser: parse.durationMs, text: '-1s', says: /is not a duration/ },
];
for (const { parser, text, says } of refused) {
  test(`flag values: ${JSON.stringify(text)} is refused: ${says.source}`, () =>
    assert.throws(() => parser(text), says));
}

test('a hint names the nearest word within two edits, and nothing for a short or strange one', () => {
  assert.equal(hint('contoller', ['controller', 'plan']), '; did you mean "controller"?');
  assert.equal(hint('x', ['why', 'gc']), '');
  assert.equal(hint('something', ['why', 'gc']), '');
});
