/** Values against the OpenAPI part of a structural schema, in the words of kube-apiserver (k8s.io/kube-openapi). */
import { hasFormat } from './formats.ts';
import { isObject, printJson, same } from './json.ts';
import type { Schema } from './kinds.ts';
import { patternOf } from './pattern.ts';

export type Reason =
  | 'FieldValueInvalid'
  | 'FieldValueRequired'
  | 'FieldValueNotSupported'
  | 'FieldValueTypeInvalid'
  | 'FieldValueDuplicate'
  | 'FieldValueTooLong'
  | 'FieldValueTooMany'
  | 'FieldValueForbidden';

/** One cause of a 422: 'spec.x', 'Invalid value: 0: must be ...'. `field` is '<nil>' where Kubernetes names none. */
export interface Problem {
  readonly field: string;
  readonly message: string;
  readonly reason: Reason;
}

/** A value that was there before, which may have been null. */
interface Old {
  readonly value: unknown;
}

/**
 * What is wrong with a value. With `old`, problems of a part that did not change are forgiven (ratcheting): parts are
 * found again by the name of their property, in lists only of list-type map.
 */
export function valueProblems(value: unknown, schema: Schema, path = '', old?: Old): readonly Problem[] {
  const problems = ownProblems(value, schema, path, old);
  return problems.length > 0 && old !== undefined && same(value, old.value) ? [] : problems;
}

function ownProblems(value: unknown, schema: Schema, path: string, old: Old | undefined): readonly Problem[] {
  const type = typeProblems(value, schema, path);
  if (value === null) return [...type, ...enumProblems(value, schema, path)];
  return [
    ...type,
    ...combinedProblems(value, schema, path),
    ...(typeof value === 'string' ? stringProblems(value, schema, path) : []),
    // A bigint is an integer beyond 2^53, which its limits need not know exactly.
    ...(typeof value === 'number' || typeof value === 'bigint' ? numberProblems(Number(value), schema, path) : []),
    ...(Array.isArray(value) ? listProblems(value, schema, path, old) : []),
    ...enumProblems(value, schema, path),
    ...(isObject(value) ? objectProblems(value, schema, path, old) : []),
  ];
}

function typeProblems(value: unknown, schema: Schema, path: string): readonly Problem[] {
  const types =
    schema['x-kubernetes-int-or-string'] === true ? ['integer', 'string'] : schema.type ? [schema.type] : [];
  const type = typeOf(value);
  if (types.length === 0 || (value === null && schema.nullable === true)) return [];
  if (types.includes(type) || (type === 'integer' && types.includes('number'))) return [];
  // A number's format stands for its type, except in a string's place.
  const numeric = types.includes('integer') || types.includes('number');
  const expected = numeric && typeof value === 'number' && schema.format ? schema.format : types.join(',');
  const found = typeof value === 'number' && schema.format ? 'float64' : type;
  return [typeInvalid(path, expected, found)];
}

function typeOf(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'array';
  if (typeof value === 'number' || typeof value === 'bigint') return isInteger(Number(value)) ? 'integer' : 'number';
  return typeof value;
}

/** Beyond 2^63 Go reads a float. */
const isInteger = (value: number): boolean => Number.isInteger(value) && Math.abs(value) <= 2 ** 63;

function combinedProblems(value: unknown, schema: Schema, path: string): readonly Problem[] {
  const problems: Problem[] = [];
  const { anyOf = [], oneOf = [], allOf = [], not } = schema;
  const quoted = JSON.stringify(path);
  const any = anyOf.map((one) => valueProblems(value, one, path));
  if (any.length > 0 && any.every((found) => found.length > 0)) {
    problems.push(nowhere(`${quoted} must validate at least one schema (anyOf)`), ...fewest(any));
  }
  const one = oneOf.map((each) => valueProblems(value, each, path));
  const valid = one.filter((found) => found.length === 0).length;
  if (one.length > 0 && valid !== 1) {
    const found = valid === 0 ? 'Found none valid' : `Found ${valid} valid alternatives`;
    problems.push(nowhere(`${quoted} must validate one and only one schema (oneOf). ${found}`));
    if (valid === 0) problems.push(...fewest(one));
  }
  const all = allOf.map((each) => valueProblems(value, each, path)).filter((found) => found.length > 0);
  if (all.length > 0) {
    const none = all.length === allOf.length ? '. None validated' : '';
    problems.push(...all.flat(), nowhere(`${quoted} must validate all the schemas (allOf)${none}`));
  }
  if (not !== undefined && valueProblems(value, not, path).length === 0) {
    problems.push(nowhere(`${quoted} must not validate the schema (not)`));
  }
  return problems;
}

/** Those of the alternative that comes closest. */
const fewest = (all: readonly (readonly Problem[])[]): readonly Problem[] =>
  all.reduce((best, found) => (found.length < best.length ? found : best));

function stringProblems(value: string, schema: Schema, path: string): readonly Problem[] {
  const { maxLength, minLength, pattern, format } = schema;
  const problems: Problem[] = [];
  const length = [...value].length;
  if (maxLength !== undefined && length > maxLength) {
    problems.push({
      field: path,
      reason: 'FieldValueTooLong',
      message: `Too long: may not be more than ${maxLength} bytes`,
    });
  } else if (minLength !== undefined && length < minLength) {
    problems.push(invalid(path, value, `should be at least ${minLength} chars long`));
  } else if (pattern !== undefined && !patternOf(pattern).test(value)) {
    problems.push(invalid(path, value, `should match '${pattern}'`));
  }
  const isText = schema.type === 'string' || schema.type === undefined;
  if (isText && format !== undefined && hasFormat(format, value) === false)
    problems.push(typeInvalid(path, format, value));
  return problems;
}

function numberProblems(value: number, schema: Schema, path: string): readonly Problem[] {
  const { minimum, maximum, multipleOf, type, format } = schema;
  const problems: Problem[] = [];
  if (type === 'integer' && !isInRange(value, format)) {
    const of = format ? `integer with format ${format}` : 'integer (default format)';
    problems.push(nowhere(`Checked value must be of type ${of} in ${path}`));
  }
  if (multipleOf !== undefined && !Number.isInteger(value / multipleOf)) {
    problems.push(invalid(path, value, `should be a multiple of ${multipleOf}`));
  }
  if (minimum !== undefined && (schema.exclusiveMinimum === true ? value <= minimum : value < minimum)) {
    problems.push(
      invalid(path, value, `should be greater than ${schema.exclusiveMinimum ? '' : 'or equal to '}${minimum}`),
    );
  }
  if (maximum !== undefined && (schema.exclusiveMaximum === true ? value >= maximum : value > maximum)) {
    problems.push(
      invalid(path, value, `should be less than ${schema.exclusiveMaximum ? '' : 'or equal to '}${maximum}`),
    );
  }
  return problems;
}

function isInRange(value: number, format: string | undefined): boolean {
  if (format === 'int32') return Number.isInteger(value) && value >= -(2 ** 31) && value < 2 ** 31;
  return isInteger(value);
}

function listProblems(
  list: readonly unknown[],
  schema: Schema,
  path: string,
  old: Old | undefined,
): readonly Problem[] {
  const { items, minItems, maxItems, uniqueItems } = schema;
  const problems: Problem[] = [];
  if (items !== undefined) {
    for (const [at, item] of list.entries()) {
      problems.push(...valueProblems(item, items, `${path}[${at}]`, oldElement(item, schema, old?.value)));
    }
  }
  if (minItems !== undefined && list.length < minItems) {
    problems.push(invalid(path, list.length, `should have at least ${minItems} items`));
  }
  if (maxItems !== undefined && list.length > maxItems) problems.push(tooMany(path, list.length, maxItems));
  if (uniqueItems === true && list.some((item, at) => list.findIndex((other) => same(item, other)) < at)) {
    problems.push(invalid(path, '', "shouldn't contain duplicates"));
  }
  return problems;
}

/** The element of the old list with the same keys; only lists of type map can tell. */
export function oldElement(item: unknown, schema: Schema, old: unknown): Old | undefined {
  const keys = schema['x-kubernetes-list-type'] === 'map' ? schema['x-kubernetes-list-map-keys'] : undefined;
  if (keys === undefined || !isObject(item) || !Array.isArray(old)) return undefined;
  const found = old.find((other) => isObject(other) && keys.every((key) => same(other[key], item[key])));
  return found === undefined ? undefined : { value: found };
}

function objectProblems(
  object: Readonly<Record<string, unknown>>,
  schema: Schema,
  path: string,
  old: Old | undefined,
): readonly Problem[] {
  const { properties = {}, additionalProperties, required = [], minProperties, maxProperties } = schema;
  const problems: Problem[] = [];
  const count = Object.keys(object).length;
  if (minProperties !== undefined && count < minProperties) {
    problems.push(invalid(path, count, `should have at least ${minProperties} properties`));
  }
  if (maxProperties !== undefined && count > maxProperties) problems.push(tooMany(path, count, maxProperties));
  for (const [key, value] of Object.entries(object)) {
    const known = Object.hasOwn(properties, key) ? properties[key] : undefined;
    const property = known ?? (typeof additionalProperties === 'object' ? additionalProperties : undefined);
    if (property === undefined) continue;
    const before = isObject(old?.value) && Object.hasOwn(old.value, key) ? { value: old.value[key] } : undefined;
    problems.push(...valueProblems(value, property, below(path, key), before));
  }
  for (const key of required) {
    if (!Object.hasOwn(object, key)) {
      problems.push({ field: below(path, key), reason: 'FieldValueRequired', message: 'Required value' });
    }
  }
  return problems;
}

function enumProblems(value: unknown, schema: Schema, path: string): readonly Problem[] {
  if (schema.enum === undefined || schema.enum.length === 0 || schema.enum.some((one) => same(one, value))) return [];
  const supported = schema.enum.map((one) => JSON.stringify(typeof one === 'string' ? one : JSON.stringify(one)));
  const message = `Unsupported value: ${shown(value)}: supported values: ${supported.join(', ')}`;
  return [{ field: path, reason: 'FieldValueNotSupported', message }];
}

const below = (path: string, key: string): string => (path === '' ? key : `${path}.${key}`);

const invalid = (field: string, value: unknown, should: string): Problem => ({
  field,
  reason: 'FieldValueInvalid',
  message: `Invalid value: ${shown(value)}: ${field} in body ${should}`,
});

const typeInvalid = (field: string, expected: string, found: string): Problem => ({
  field,
  reason: 'FieldValueTypeInvalid',
  message: `Invalid value: ${shown(found)}: ${field} in body must be of type ${expected}: ${shown(found)}`,
});

const tooMany = (field: string, count: number, most: number): Problem => ({
  field,
  reason: 'FieldValueTooMany',
  message: `Too many: ${count}: must have at most ${most} items`,
});

const nowhere = (message: string): Problem => ({
  field: '<nil>',
  reason: 'FieldValueInvalid',
  message: `Invalid value: "": ${message}`,
});

export const shown = (value: unknown): string => printJson(value) ?? 'null';
