import { parseArgs } from 'node:util';
import { parseDuration } from '../core/duration.ts';
import { type Flag, type Input, InputError } from './command.ts';

/**
 * Argv of one command to its values. `--name value`, `--name=value`, aliases, `--` ends the flags; a boolean takes its
 * value only by `=`, as in Go. Throws an InputError that names every unknown flag, missing value and wrong value at once.
 */
export function parseFlags(argv: readonly string[], flags: readonly Flag[], maxArgs: number): Input {
  const byName = new Map(
    flags.flatMap((flag) => [flag.name, ...(flag.aliases ?? [])].map((name) => [name, flag] as const)),
  );
  const options = Object.fromEntries(
    [...byName].map(([name, flag]) => [name, { type: flag.value === undefined ? 'boolean' : 'string' } as const]),
  );
  const { tokens } = parseArgs({ args: [...argv], options, strict: false, allowPositionals: true, tokens: true });
  const problems: string[] = [];
  const texts = new Map<Flag, string>();
  const args: string[] = [];
  for (const token of tokens) {
    if (token.kind === 'positional') args.push(token.value);
    if (token.kind !== 'option') continue;
    const flag = byName.get(token.name);
    if (flag === undefined) problems.push(`${token.rawName}: no such flag${hint(token.name, [...byName.keys()])}`);
    else if (token.value !== undefined && (token.inlineValue || !token.value.startsWith('--'))) {
      // Of '-f=b' the parser takes '=b' for the value, as getopt does; kubectl takes 'b', and so do people.
      const text = token.rawName.startsWith('--') ? token.value : token.value.replace(/^=/, '');
      texts.set(flag, joined(flag, texts.get(flag), text));
    } else if (flag.value === undefined) texts.set(flag, 'true');
    else problems.push(`${token.rawName}: a value is missing; write ${token.rawName}=${flag.value}`);
  }
  if (args.length > maxArgs) {
    const extra = args.slice(maxArgs).map((arg) => JSON.stringify(arg));
    problems.push(`${extra.join(', ')}: ${extra.length === 1 ? 'one argument' : 'arguments'} too many`);
  }
  const values = valuesOf(flags, texts, problems);
  if (problems.length > 0) throw new InputError(problems);
  return { flags: values, given: new Set([...texts.keys()].map((flag) => flag.name)), args };
}

/** Of a flag given twice the last value counts, unless it is a list of its own kind (`-f a -f b`). */
function joined({ repeats }: Flag, before: string | undefined, now: string): string {
  return repeats === true && before !== undefined ? `${before},${now}` : now;
}

function valuesOf(
  flags: readonly Flag[],
  texts: ReadonlyMap<Flag, string>,
  problems: string[],
): Record<string, unknown> {
  const values: Record<string, unknown> = {};
  for (const flag of flags) {
    const text = texts.get(flag) ?? flag.default;
    if (text === undefined) continue;
    try {
      values[flag.name] = flag.parse(text);
    } catch (error) {
      problems.push(`--${flag.name}: ${JSON.stringify(text)} ${(error as Error).message}`);
    }
  }
  return values;
}

/** The nearest known word within two edits, as a question. */
export function hint(word: string, known: readonly string[]): string {
  const near = known
    .map((name) => ({ name, distance: editDistance(word, name) }))
    .filter(({ name, distance }) => word.length > 3 && (distance <= 2 || name.includes(word)))
    .sort((a, b) => a.distance - b.distance)[0];
  return near === undefined ? '' : `; did you mean "${near.name}"?`;
}

function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, at) => at);
  for (let i = 1; i <= a.length; i += 1) {
    const next = [i];
    for (let j = 1; j <= b.length; j += 1) {
      const swap = (row[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(swap, (row[j] as number) + 1, (next[j - 1] as number) + 1));
    }
    row = next;
  }
  return row[b.length] as number;
}

/** Parsers of flag values; each throws an Error whose text follows the quoted value. */
export const parse = {
  text: (text: string): string => {
    if (text === '') throw new Error('is empty');
    return text;
  },
  anything: (text: string): string => text,
  boolean: (text: string): boolean => {
    if (text !== 'true' && text !== 'false') throw new Error('is neither true nor false');
    return text === 'true';
  },
  list: (text: string): readonly string[] =>
    text
      .split(',')
      .map((part) => part.trim())
      .filter((part) => part !== ''),
  durationMs: (text: string): number => {
    const ms = parseDuration(text);
    if (ms === undefined) throw new Error('is not a duration; write 15s, 10m or 1h30m');
    return ms;
  },
  integer:
    (least: number, most = Number.MAX_SAFE_INTEGER) =>
    (text: string): number => {
      if (!/^-?\d+$/.test(text)) throw new Error('is not a whole number');
      const value = Number(text);
      if (value < least || value > most) {
        throw new Error(most === Number.MAX_SAFE_INTEGER ? `is below ${least}` : `is not between ${least} and ${most}`);
      }
      return value;
    },
  number:
    (least: number) =>
    (text: string): number => {
      const value = Number(text);
      if (text === '' || !Number.isFinite(value) || value < least)
        throw new Error(`is not a number of at least ${least}`);
      return value;
    },
  oneOf:
    (...choices: readonly string[]) =>
    (text: string): string => {
      if (!choices.includes(text)) throw new Error(`is none of ${choices.join(', ')}`);
      return text;
    },
};
