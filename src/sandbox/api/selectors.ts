import { at, type Draft } from './json.ts';
import { badRequest } from './status.ts';
import { labelValue, qualifiedName } from './words.ts';

/** Whether an object is chosen. `undefined` in place of a selector means everything. */
export type Selector = (object: Draft) => boolean;

const operators = ['=', '==', '!=', 'in', 'notin', '<', '>'] as const;
type Operator = (typeof operators)[number];
type Token = { readonly kind: 'word' | 'symbol' | 'end'; readonly text: string };

/** A label selector as in a URL: 'a=b,c!=d,e in (f,g),h notin (i),j,!k,l>1'. Undefined when it is empty. Throws 400. */
export function parseLabelSelector(text: string | null): Selector | undefined {
  if (text === null || text.trim() === '') return undefined;
  const tests = new LabelParser(text).parse();
  return (object) => {
    const labels = object.metadata.labels ?? {};
    return tests.every((test) => test(labels));
  };
}

type LabelTest = (labels: Readonly<Record<string, string>>) => boolean;

class LabelParser {
  readonly #tokens: readonly Token[];
  #next = 0;

  constructor(text: string) {
    this.#tokens = tokens(text);
  }

  parse(): readonly LabelTest[] {
    const tests: LabelTest[] = [];
    for (;;) {
      tests.push(this.#requirement());
      const token = this.#take();
      if (token.kind === 'end') return tests;
      if (token.text !== ',') throw this.#unable(`found '${token.text}', expected: ',' or 'end of string'`);
    }
  }

  #requirement(): LabelTest {
    const negated = this.#peek().text === '!' && this.#take() !== undefined;
    const key = this.#take();
    if (key.kind !== 'word') throw this.#unable(`found '${key.text}', expected: identifier`);
    const [problem] = qualifiedName(key.text);
    if (problem !== undefined) throw this.#unable(`<nil>: Invalid value: ${JSON.stringify(key.text)}: ${problem}`);
    if (negated) return (labels) => !Object.hasOwn(labels, key.text);
    const next = this.#peek();
    if (next.kind === 'end' || next.text === ',') return (labels) => Object.hasOwn(labels, key.text);
    return this.#comparison(key.text);
  }

  #comparison(key: string): LabelTest {
    const token = this.#take();
    if (!(operators as readonly string[]).includes(token.text))
      throw this.#unable(`found '${token.text}', expected: ${['in', 'notin', '=', '==', '!=', 'gt', 'lt'].join(', ')}`);
    const operator = token.text as Operator;
    const values = operator === 'in' || operator === 'notin' ? this.#set() : [this.#value()];
    for (const value of values)
      for (const problem of labelValue(value))
        throw this.#unable(`values[0][${key}]: Invalid value: ${JSON.stringify(value)}: ${problem}`);
    const has = (labels: Readonly<Record<string, string>>): boolean => Object.hasOwn(labels, key);
    switch (operator) {
      case '=':
      case '==':
      case 'in':
        return (labels) => has(labels) && values.includes(labels[key] as string);
      case '!=':
      case 'notin':
        return (labels) => !has(labels) || !values.includes(labels[key] as string);
      case '<':
        return (labels) => has(labels) && Number(labels[key]) < Number(values[0]);
      case '>':
        return (labels) => has(labels) && Number(labels[key]) > Number(values[0]);
      default:
        return operator satisfies never;
    }
  }

  /** An absent value is the empty one: 'a=' and 'a=,b'. */
  #value(): string {
    return this.#peek().kind === 'word' ? this.#take().text : '';
  }

  #set(): readonly string[] {
    const open = this.#take();
    if (open.text !== '(') throw this.#unable(`found '${open.text}' expected: '('`);
    const values: string[] = [];
    for (;;) {
      values.push(this.#value());
      const token = this.#take();
      if (token.text === ')') return values;
      if (token.text !== ',') throw this.#unable(`found '${token.text}', expected: ',', or ')'`);
    }
  }

  #peek(): Token {
    return this.#tokens[this.#next] ?? { kind: 'end', text: '' };
  }
  #take(): Token {
    const token = this.#peek();
    this.#next += 1;
    return token;
  }
  #unable(why: string): Error {
    return badRequest(`unable to parse requirement: ${why}`);
  }
}

function tokens(text: string): readonly Token[] {
  const found: Token[] = [];
  for (const [part] of text.matchAll(/\s+|==|!=|[=!<>(),]|[^\s=!<>(),]+/g)) {
    if (part.trim() === '') continue;
    found.push({ kind: /^[=!<>(),]/.test(part) ? 'symbol' : 'word', text: part });
  }
  return found;
}

/** One 'field=value' of a field selector. */
export interface FieldTest {
  readonly field: string;
  readonly value: string;
  readonly equal: boolean;
}

/** 'metadata.name=a,spec.type!=ClusterIP'; `\,`, `\=` and `\\` stand for themselves. Throws 400. */
export function parseFieldSelector(text: string | null): readonly FieldTest[] {
  if (text === null || text === '') return [];
  return splitTerms(text)
    .filter((term) => term !== '')
    .map((term) => {
      const found = /^((?:[^\\=!]|\\.)*?)(==|!=|=)(.*)$/s.exec(term);
      if (found === null) throw badRequest(`invalid selector: '${text}'; can't understand '${term}'`);
      const [, field = '', operator, value = ''] = found;
      return { field, value: unescaped(value, text), equal: operator !== '!=' };
    });
}

/**
 * `fields`: what this kind may be selected by; metadata.name and, below a namespace, metadata.namespace always.
 * `converted`: the kind has its own words for a field that it does not know. Throws 400.
 */
export function fieldSelector(
  tests: readonly FieldTest[],
  namespaced: boolean,
  fields: Readonly<Record<string, (object: Draft) => string>>,
  converted: boolean,
): Selector | undefined {
  if (tests.length === 0) return undefined;
  const all = tests.map(({ field, value, equal }) => {
    const read = fieldReader(field, namespaced, fields);
    if (read === undefined) throw unknownField(field, namespaced, converted);
    return (object: Draft) => (read(object) === value) === equal;
  });
  return (object) => all.every((test) => test(object));
}

function unknownField(field: string, namespaced: boolean, converted: boolean): Error {
  if (converted) return badRequest(`field label not supported: ${field}`);
  const known = namespaced ? '"metadata.name", "metadata.namespace"' : '"metadata.name"';
  return badRequest(`${JSON.stringify(field)} is not a known field selector: only ${known}`);
}

function fieldReader(
  field: string,
  namespaced: boolean,
  fields: Readonly<Record<string, (object: Draft) => string>>,
): ((object: Draft) => string) | undefined {
  if (field === 'metadata.name') return (object) => object.metadata.name ?? '';
  if (field === 'metadata.namespace' && namespaced) return (object) => object.metadata.namespace ?? '';
  return Object.hasOwn(fields, field) ? fields[field] : undefined;
}

/** Reads a scalar as a field selector compares it: 'true', '3', '' when absent. */
export const text =
  (...path: readonly string[]): ((object: Draft) => string) =>
  (object) => {
    const value = at(object, ...path);
    return value === undefined || value === null ? '' : String(value);
  };

/** Both selectors, undefined when neither chooses. */
export function both(a: Selector | undefined, b: Selector | undefined): Selector | undefined {
  if (a === undefined) return b;
  if (b === undefined) return a;
  return (object) => a(object) && b(object);
}

function splitTerms(text: string): readonly string[] {
  return text.match(/(?:[^\\,]|\\.)+/gs) ?? [];
}
function unescaped(value: string, whole: string): string {
  if (/(^|[^\\])(\\\\)*\\($|[^,=\\])/.test(value))
    throw badRequest(`invalid selector: '${whole}'; can't understand '${value}'`);
  return value.replace(/\\([,=\\])/g, '$1');
}
