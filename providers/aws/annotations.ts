import { failure } from '../../src/core/errors.ts';
import { BARE_PREFIX, PREFIX } from './annotation-table.ts';

/** Of what a person wrote: the annotation or spec path, and what is wrong with it. */
export interface Problem {
  readonly field: string;
  readonly message: string;
}

/**
 * Reads the annotations of one Service by the AWS Load Balancer Controller's rules. Names are those of the table without
 * `aws-load-balancer-`. Absent and unreadable both give `undefined`: the latter leaves a problem, and `finish` throws
 * FL_AWS_ANNOTATION with all of them, so that a person sees everything at once.
 */
export interface Reader {
  /** Verbatim. */
  text(name: string): string | undefined;
  /** Split at commas, trimmed, without empty items; absent when none is left. */
  list(name: string): readonly string[] | undefined;
  /** In the order of the text. */
  map(name: string): Readonly<Record<string, string>> | undefined;
  /** As Go's strconv.ParseBool. */
  flag(name: string): boolean | undefined;
  /** A decimal number from `min` to `max`. */
  whole(name: string, range: { readonly min: number; readonly max: number }): number | undefined;
  /** One of the words; in any case under `anyCase`, and then as it is in the list. */
  choice<Word extends string>(
    name: string,
    words: readonly Word[],
    how?: { readonly anyCase?: true },
  ): Word | undefined;
  /** Names that begin so, with what follows: 'target-group-attributes.' gives ['80', ...]. Sorted as the keys are. */
  suffixes(prefix: string): readonly string[];
  /** The same for keys without `aws-load-balancer-`. */
  bareSuffixes(prefix: string): readonly string[];
  bare(name: string): string | undefined;
  /** The whole key, for messages of the caller. */
  key(name: string): string;
  problem(field: string, message: string): void;
  finish(): void;
}

const TRUE: ReadonlySet<string> = new Set(['1', 't', 'T', 'TRUE', 'true', 'True']);
const FALSE: ReadonlySet<string> = new Set(['0', 'f', 'F', 'FALSE', 'false', 'False']);

export function readerOf(options: Readonly<Record<string, string>>): Reader {
  const problems: Problem[] = [];
  const key = (name: string): string => `${PREFIX}${name}`;
  const raw = (name: string): string | undefined => options[key(name)];
  const problem = (field: string, message: string): undefined => {
    problems.push({ field, message: `${field}: ${message}` });
    return undefined;
  };
  const wrong = (name: string, message: string): undefined =>
    problem(key(name), `${JSON.stringify(raw(name))} ${message}`);
  const after = (prefix: string): readonly string[] =>
    Object.keys(options).flatMap((full) => (full.startsWith(prefix) ? [full.slice(prefix.length)] : []));

  return {
    text: raw,
    list(name) {
      const value = raw(name);
      const items = value === undefined ? [] : listOf(value);
      return items.length === 0 ? undefined : items;
    },
    map(name) {
      const value = raw(name);
      if (value === undefined) return undefined;
      return mapOf(value) ?? wrong(name, 'is no list of key=value, separated by commas');
    },
    flag(name) {
      const value = raw(name);
      if (value === undefined) return undefined;
      return flagOf(value) ?? wrong(name, 'is neither true nor false');
    },
    whole(name, { min, max }) {
      const value = raw(name);
      if (value === undefined) return undefined;
      const number = /^\d{1,9}$/.test(value) ? Number(value) : Number.NaN;
      return number >= min && number <= max ? number : wrong(name, `is no whole number from ${min} to ${max}`);
    },
    choice(name, words, { anyCase } = {}) {
      const value = raw(name);
      if (value === undefined) return undefined;
      const found = words.find((word) => word === value || (anyCase && word.toLowerCase() === value.toLowerCase()));
      return found ?? wrong(name, `is not one of ${words.join(', ')}`);
    },
    suffixes: (prefix) => after(key(prefix)),
    bareSuffixes: (prefix) => after(`${BARE_PREFIX}${prefix}`),
    bare: (name) => options[`${BARE_PREFIX}${name}`],
    key,
    problem,
    finish() {
      const [first] = problems;
      if (first === undefined) return;
      const message = [...new Set(problems.map((each) => each.message))].join('; ');
      throw failure('FL_AWS_ANNOTATION', message, { field: first.field });
    },
  };
}

/** 'a, b,,c' -> a, b, c. */
export function listOf(text: string): readonly string[] {
  return text
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== '');
}

/** `k=v,k=v`, split at the first `=`; a backslash takes the next character as it is. `undefined`: an item has no key or `=`. */
export function mapOf(text: string): Readonly<Record<string, string>> | undefined {
  const entries: [string, string][] = [];
  for (const item of splitEscaped(text, ',')) {
    if (item.trim() === '') continue;
    const [name = '', ...rest] = splitEscaped(item, '=');
    const trimmed = unescaped(name.trim());
    if (rest.length === 0 || trimmed === '') return undefined;
    entries.push([trimmed, unescaped(rest.join('=').trim())]);
  }
  return Object.fromEntries(entries);
}

/** Go's strconv.ParseBool; `undefined` is its error. */
export function flagOf(text: string): boolean | undefined {
  if (TRUE.has(text)) return true;
  return FALSE.has(text) ? false : undefined;
}

/** Splits where the separator is not escaped; leaves the backslashes in. */
function splitEscaped(text: string, separator: string): readonly string[] {
  const parts: string[] = [''];
  for (let at = 0; at < text.length; at += 1) {
    const char = text[at] as string;
    if (char === '\\' && at + 1 < text.length) {
      parts[parts.length - 1] += char + text[at + 1];
      at += 1;
    } else if (char === separator) parts.push('');
    else parts[parts.length - 1] += char;
  }
  return parts;
}

const unescaped = (text: string): string => text.replaceAll(/\\(.)/gs, '$1');
