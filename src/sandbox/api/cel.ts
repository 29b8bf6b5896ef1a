/** x-kubernetes-validations: rules in CEL, compiled against the types that their schema declares. */
import { type ASTNode, Environment, Optional } from '@marcbachmann/cel-js';
import { registerKubernetes } from './cel-functions.ts';
import { isObject, same } from './json.ts';
import type { Schema, ValidationRule } from './kinds.ts';

/** A rule that can be evaluated. */
export interface Rule {
  readonly source: ValidationRule;
  /** A transition rule: it holds by itself where there is no old value, unless it takes that as an option. */
  readonly usesOldSelf: boolean;
  /** Whether the rule holds. Throws what went wrong while evaluating, such as a missing key. */
  holds(self: unknown, old?: { readonly value: unknown }): boolean;
  /** Text of messageExpression; undefined without one, and where it fails or gives an empty or long text. */
  message(self: unknown, old?: { readonly value: unknown }): string | undefined;
}

/** A rule that cannot be evaluated: the CRD that has it is refused. */
export interface RuleFault {
  readonly source: ValidationRule;
  readonly part: 'rule' | 'messageExpression';
  readonly error: string;
}

/**
 * The rules of one schema, without those below it. `root`: of a whole object, whose apiVersion, kind and
 * metadata.name are always known. Types are checked, so that a field that does not exist is a fault.
 */
export function compileRules(schema: Schema, root: boolean): readonly (Rule | RuleFault)[] {
  const sources = schema['x-kubernetes-validations'] ?? [];
  if (sources.length === 0) return [];
  const types = declare(schema, root);
  return sources.map((source) => compile(source, types));
}

export const isFault = (rule: Rule | RuleFault): rule is RuleFault => 'error' in rule;

interface Types {
  readonly environment: Environment;
  readonly toCel: ToCel;
  readonly self: string;
}
type ToCel = (value: unknown) => unknown;

function compile(source: ValidationRule, { environment, toCel, self }: Types): Rule | RuleFault {
  const optional = source.optionalOldSelf === true;
  const known = environment
    .clone()
    .registerVariable('self', self)
    .registerVariable('oldSelf', optional ? `optional<${self}>` : self);
  const rule = checked(known, source.rule, 'bool');
  if (typeof rule === 'string') return { source, part: 'rule', error: rule };
  const text = source.messageExpression === undefined ? undefined : checked(known, source.messageExpression, 'string');
  if (typeof text === 'string') return { source, part: 'messageExpression', error: text };
  const variables = (value: unknown, old: { readonly value: unknown } | undefined) => ({
    self: toCel(value),
    oldSelf: optional
      ? old === undefined
        ? Optional.none()
        : Optional.of(toCel(old.value))
      : old === undefined
        ? null
        : toCel(old.value),
  });
  return {
    source,
    usesOldSelf: identifiersOf(rule.ast).has('oldSelf'),
    holds: (value, old) => rule(variables(value, old)) === true,
    message: (value, old) => (text === undefined ? undefined : usable(() => text(variables(value, old)))),
  };
}

/** Kubernetes takes the plain message where the expression fails, is empty, has a line break or more than 5 KiB. */
function usable(evaluate: () => unknown): string | undefined {
  try {
    const text = String(evaluate()).trim();
    return text === '' || text.includes('\n') || text.length > 5120 ? undefined : text;
  } catch {
    return undefined;
  }
}

/** The expression, or why it cannot be evaluated. */
function checked(environment: Environment, expression: string, type: string) {
  try {
    const parsed = environment.parse(expression);
    const result = parsed.check();
    if (!result.valid) return summaryOf(result.error);
    if (result.type !== type) return `must evaluate to a ${type}, not ${result.type}`;
    // Kubernetes has no bindings, although the library has.
    if (identifiersOf(parsed.ast).has('cel')) return "undeclared reference to 'cel'";
    // The library lets has() and .? ask for fields that a type does not have.
    const plainHas = withoutHas(expression, parsed.ast);
    const strict = environment.check(withoutOptional(plainHas, environment.parse(plainHas).ast));
    return strict.valid ? parsed : summaryOf(strict.error);
  } catch (error) {
    return summaryOf(error);
  }
}

/** The same expression with each `has(x)` as a comparison of x, whose type is checked in full. */
function withoutHas(expression: string, ast: ASTNode): string {
  const calls = nodesOf(ast).filter((node) => node.op === 'call' && node.args[0] === 'has');
  return calls
    .sort((a, b) => b.range.start - a.range.start)
    .reduce((text, { range: { start, end } }) => {
      const inner = text.slice(text.indexOf('(', start) + 1, end - 1);
      return `${text.slice(0, start)}(dyn(${inner}) == null)${text.slice(end)}`;
    }, expression);
}

/** The same with each chain such as `a.?b.?c` as an optional of a.b.c, whose type is checked in full. */
function withoutOptional(expression: string, ast: ASTNode): string {
  const chains = nodesOf(ast).filter((node) => node.op === '.?' && !nodesOf(node.args).some(isOldSelf));
  const outer = chains.filter(
    ({ range }) => !chains.some((other) => other.range.start <= range.start && other.range.end > range.end),
  );
  return outer
    .sort((a, b) => b.range.start - a.range.start)
    .reduce(
      (text, node) =>
        `${text.slice(0, node.range.start)}optional.of(${plainAccess(node)})${text.slice(node.range.end)}`,
      expression,
    );
}

function plainAccess(node: ASTNode): string {
  if (node.op === '.' || node.op === '.?') return `${plainAccess(node.args[0])}.${node.args[1]}`;
  return node.input.slice(node.range.start, node.range.end);
}

/** It may be an optional itself. */
const isOldSelf = (node: ASTNode): boolean => node.op === 'id' && node.args === 'oldSelf';

function identifiersOf(ast: ASTNode): ReadonlySet<string> {
  return new Set(nodesOf(ast).flatMap((node) => (node.op === 'id' ? [node.args] : [])));
}

function nodesOf(value: unknown): readonly ASTNode[] {
  if (Array.isArray(value)) return value.flatMap(nodesOf);
  return isNode(value) ? [value, ...nodesOf(value.args)] : [];
}

const isNode = (value: unknown): value is ASTNode =>
  typeof value === 'object' && value !== null && 'op' in value && 'range' in value;

const summaryOf = (error: unknown): string =>
  ((error as { readonly summary?: string }).summary ?? String((error as Error).message)).split('\n')[0] ?? '';

/** An environment in which each object schema is a type of its own. */
function declare(schema: Schema, root: boolean): Types {
  const environment = new Environment({ homogeneousAggregateLiterals: false, enableOptionalTypes: true });
  registerKubernetes(environment);
  let count = 0;

  function typeOf(part: Schema, whole: boolean): { readonly type: string; readonly toCel: ToCel } | undefined {
    if (part['x-kubernetes-int-or-string'] === true) return { type: 'dyn', toCel: dynamic };
    switch (part.type) {
      case 'integer':
        return { type: 'int', toCel: (value) => BigInt(value as number) };
      case 'number':
        return { type: 'double', toCel: (value) => value };
      case 'boolean':
        return { type: 'bool', toCel: (value) => value };
      case 'string':
        return textOf(part.format, environment);
      case 'array':
        return part.items === undefined ? undefined : listOf(typeOf(part.items, isEmbedded(part.items)));
      case 'object':
        return typeof part.additionalProperties === 'object'
          ? mapOf(typeOf(part.additionalProperties, isEmbedded(part.additionalProperties)))
          : objectOf(whole ? withMeta(part) : part);
      default:
        return undefined; // data without a schema does not exist for rules
    }
  }

  function objectOf(part: Schema) {
    const fields = Object.entries(part.properties ?? {}).flatMap(([name, property]) => {
      const known = typeOf(property, isEmbedded(property));
      const escaped = identifierOf(name);
      return known === undefined || escaped === undefined ? [] : [{ name, escaped, ...known }];
    });
    const type = `object.t${++count}`;
    const Instance = class {};
    environment.registerType(type, {
      ctor: Instance,
      fields: Object.fromEntries(fields.map(({ escaped, type: of }) => [escaped, of])),
    });
    environment.registerOperator(`${type} == ${type}`, isEqual);
    const toCel: ToCel = (value) => {
      const instance = new Instance();
      for (const { name, escaped, toCel: convert } of fields) {
        const member = isObject(value) && Object.hasOwn(value, name) ? value[name] : null;
        // A null counts as absent, whether or not the field may be null.
        if (member !== null) Object.defineProperty(instance, escaped, { value: convert(member), enumerable: true });
      }
      return instance;
    };
    return { type, toCel };
  }

  const known = typeOf(schema, root);
  return { environment, self: known?.type ?? 'dyn', toCel: known?.toCel ?? dynamic };
}

const isEmbedded = (schema: Schema): boolean => schema['x-kubernetes-embedded-resource'] === true;

function withMeta(schema: Schema): Schema {
  const text: Schema = { type: 'string' };
  const metadata: Schema = { type: 'object', properties: { name: text, generateName: text } };
  return { ...schema, properties: { ...schema.properties, apiVersion: text, kind: text, metadata } };
}

function textOf(
  format: string | undefined,
  environment: Environment,
): { readonly type: string; readonly toCel: ToCel } {
  switch (format) {
    case 'byte':
      return { type: 'bytes', toCel: (value) => new Uint8Array(Buffer.from(String(value), 'base64')) };
    case 'date':
    case 'date-time':
      return { type: 'google.protobuf.Timestamp', toCel: (value) => new Date(String(value)) };
    case 'duration':
      return {
        type: 'google.protobuf.Duration',
        toCel: (value) => environment.evaluate(`duration(${JSON.stringify(value)})`),
      };
    default:
      return { type: 'string', toCel: (value) => value };
  }
}

function listOf(item: { readonly type: string; readonly toCel: ToCel } | undefined) {
  if (item === undefined) return undefined;
  const toCel: ToCel = (value) => (value as readonly unknown[]).map((one) => (one === null ? null : item.toCel(one)));
  return { type: `list<${item.type}>`, toCel };
}

function mapOf(item: { readonly type: string; readonly toCel: ToCel } | undefined) {
  if (item === undefined) return undefined;
  const toCel: ToCel = (value) =>
    new Map(Object.entries(value as object).map(([key, one]) => [key, one === null ? null : item.toCel(one)]));
  return { type: `map<string, ${item.type}>`, toCel };
}

const dynamic: ToCel = (value) => (typeof value === 'number' && Number.isInteger(value) ? BigInt(value) : value);

/** Deep equality of what toCel makes. */
function isEqual(a: unknown, b: unknown): boolean {
  return same(plain(a), plain(b));
}

function plain(value: unknown): unknown {
  if (value instanceof Map) return Object.fromEntries([...value].map(([key, item]) => [key, plain(item)]));
  if (value instanceof Date) return value.getTime();
  if (value instanceof Uint8Array || Array.isArray(value)) return [...value].map(plain);
  if (typeof value !== 'object' || value === null) return value;
  const own = Object.entries(value);
  // Durations keep their value in private fields.
  return own.length === 0 ? String(value) : Object.fromEntries(own.map(([key, item]) => [key, plain(item)]));
}

const reserved = new Set(
  'true false null in as break const continue else for function if import let loop package namespace return var void while'.split(
    ' ',
  ),
);

/** A property's name as an identifier of CEL (Kubernetes' escaping); undefined: rules cannot reach it. */
function identifierOf(name: string): string | undefined {
  if (reserved.has(name)) return `__${name}__`;
  if (!/^[A-Za-z_./-][A-Za-z0-9_./-]*$/.test(name)) return undefined;
  const words: Readonly<Record<string, string>> = { __: 'underscores', '.': 'dot', '-': 'dash', '/': 'slash' };
  return name.replace(/__|[./-]/g, (found) => `__${words[found]}__`);
}
