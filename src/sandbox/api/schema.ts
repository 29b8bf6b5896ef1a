/** Structural schemas (KEP of CRDs v1): what a value breaks, what is filled in, what is dropped. */
import { compileRules, isFault, type Rule } from './cel.ts';
import { isObject, same } from './json.ts';
import { resolved, type Schema, schemaNamed, type ValidationRule } from './kinds.ts';
import { oldElement, type Problem, type Reason, shown, valueProblems } from './validate.ts';

export type { Problem, Reason };

/** The server's own message that stands for the rules it did not run. */
const skippedRules: Problem = {
  field: '<nil>',
  reason: 'FieldValueInvalid',
  message:
    'Invalid value: null: some validation rules were not checked because the object was invalid; correct the existing errors to complete validation',
};

/** What keeps the rules from running: their types could be wrong. */
const blocking: ReadonlySet<Reason> = new Set<Reason>([
  'FieldValueNotSupported',
  'FieldValueRequired',
  'FieldValueTooLong',
  'FieldValueTooMany',
  'FieldValueTypeInvalid',
]);

/**
 * Everything that a whole object breaks, in the order and words of kube-apiserver: types and limits, embedded resources,
 * lists of type set and map, then the CEL rules. With `old`, what did not change is forgiven and transition rules run.
 * The value is pruned and defaulted before; a rule that cannot be evaluated throws (`schemaFaults` refuses it earlier).
 */
export function checkSchema(value: unknown, openAPIV3Schema: object, old?: unknown): readonly Problem[] {
  const schema = openAPIV3Schema as Schema;
  const before = old === undefined ? undefined : { value: old };
  const lists = listTypeProblems(value, schema, '');
  const forgiven = before !== undefined && listTypeProblems(before.value, schema, '').length > 0;
  const problems = [
    ...valueProblems(value, schema, '', before),
    ...embeddedProblems(value, schema, ''),
    ...(forgiven ? [] : lists),
  ];
  if (!hasRules(schema)) return problems;
  if (problems.some(({ reason }) => blocking.has(reason))) return [...problems, skippedRules];
  return [...problems, ...ruleProblems({ value, schema, path: '', old: before, same: before })];
}

/**
 * The value with the schema's defaults where a member is absent, or null although it must not be; nulls without default
 * that must not be are dropped. The same value if nothing changes.
 */
export function applyDefaults(value: unknown, schema: object): unknown {
  return defaulted(value, schema as Schema);
}

/**
 * The object without what its schema does not know, `apiVersion`, `kind` and `metadata` of itself and of embedded
 * resources excepted. Also for the schema of a built-in kind. The same value if nothing changes.
 */
export function prune(value: unknown, schema: object): unknown {
  return pruned(value, { ...resolved(schema as Schema), 'x-kubernetes-embedded-resource': true }, '', () => {});
}

/** The same for a part of an object: nothing is excepted but embedded resources. */
export function pruneInside(value: unknown, schema: object): unknown {
  return pruned(value, resolved(schema as Schema), '', () => {});
}

/** The fields that `prune` drops, sorted: 'spec.ports[0].foo'. */
export function unknownFields(value: unknown, schema: object): readonly string[] {
  const fields: string[] = [];
  const root = { ...resolved(schema as Schema), 'x-kubernetes-embedded-resource': true };
  pruned(value, root, '', (field) => fields.push(field));
  return fields.sort();
}

function defaulted(value: unknown, schema: Schema | undefined): unknown {
  if (schema === undefined) return value;
  if (Array.isArray(value))
    return unlessSame(
      value,
      value.map((item) => valueOrDefault(item, schema.items)),
    );
  if (!isObject(value)) return value;
  const members = new Map<string, unknown>();
  for (const [key, member] of Object.entries(value)) {
    const property = propertyOf(schema, key);
    // A null that must not be is as good as absent.
    if (member === null && property !== undefined && property.nullable !== true && property.default === undefined)
      continue;
    members.set(key, valueOrDefault(member, property));
  }
  for (const [key, property] of Object.entries(schema.properties ?? {})) {
    if (!members.has(key) && property.default !== undefined) members.set(key, defaulted(property.default, property));
  }
  return unlessSame(value, Object.fromEntries(members));
}

function valueOrDefault(value: unknown, schema: Schema | undefined): unknown {
  const missing = value === null && schema !== undefined && schema.nullable !== true && schema.default !== undefined;
  return defaulted(missing ? schema.default : value, schema);
}

function propertyOf(schema: Schema, key: string): Schema | undefined {
  const { properties = {}, additionalProperties } = schema;
  if (Object.hasOwn(properties, key)) return properties[key];
  return typeof additionalProperties === 'object' ? additionalProperties : undefined;
}

const typeMeta = new Set(['apiVersion', 'kind']);

function pruned(value: unknown, schema: Schema, path: string, drop: (field: string) => void): unknown {
  if (schema === anything) return value;
  if (Array.isArray(value)) {
    const items = itemsOf(schema);
    return unlessSame(
      value,
      value.map((item, at) => pruned(item, items, `${path}[${at}]`, drop)),
    );
  }
  if (!isObject(value)) return value;
  const kept = Object.entries(value).flatMap(([key, member]) => {
    const at = joined(path, key);
    const property = knownMember(schema, key);
    if (property === undefined) drop(at);
    return property === undefined ? [] : [[key, pruned(member, property, at, drop)] as const];
  });
  return unlessSame(value, Object.fromEntries(kept));
}

const anything: Schema = { 'x-kubernetes-preserve-unknown-fields': true };

/** What is known about a member; undefined: it goes. */
function knownMember(schema: Schema, key: string): Schema | undefined {
  if (schema['x-kubernetes-embedded-resource'] === true) {
    if (typeMeta.has(key)) return anything;
    if (key === 'metadata') return schemaNamed('io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta');
  }
  const property = propertyOf(schema, key);
  if (property !== undefined) return followed(property);
  return schema['x-kubernetes-preserve-unknown-fields'] === true || schema.additionalProperties === true
    ? anything
    : undefined;
}

/** Without a schema for its elements, a list of objects loses all their members, unless all is preserved. */
function itemsOf(schema: Schema): Schema {
  if (schema.items !== undefined) return followed(schema.items);
  return schema['x-kubernetes-preserve-unknown-fields'] === true ? anything : { type: 'object' };
}

/**
 * Built-in types that are JSON of any shape (FieldsV1, JSON, RawExtension) are published as a reference to a schema that
 * says nothing; an object about which a CRD says nothing drops all of its members.
 */
function followed(schema: Schema): Schema {
  const target = resolved(schema);
  const { properties, additionalProperties, items } = target;
  const isOpaque = properties === undefined && additionalProperties === undefined && items === undefined;
  return target !== schema && isOpaque ? anything : target;
}

const unlessSame = (before: unknown, after: unknown): unknown => (same(before, after) ? before : after);

function embeddedProblems(value: unknown, schema: Schema, path: string): readonly Problem[] {
  if (Array.isArray(value)) {
    const { items } = schema;
    return items === undefined ? [] : value.flatMap((item, at) => embeddedProblems(item, items, `${path}[${at}]`));
  }
  if (!isObject(value)) return [];
  const own = schema['x-kubernetes-embedded-resource'] === true ? ['apiVersion', 'kind'] : [];
  return [
    ...own.filter((key) => value[key] === undefined).map((key) => required(joined(path, key))),
    ...own.flatMap((key) => (value[key] === '' ? [invalid(joined(path, key), '', 'must not be empty')] : [])),
    ...Object.entries(value).flatMap(([key, member]) => {
      const property = propertyOf(schema, key);
      return property === undefined ? [] : embeddedProblems(member, property, memberPath(schema, path, key));
    }),
  ];
}

function listTypeProblems(value: unknown, schema: Schema, path: string): readonly Problem[] {
  if (Array.isArray(value)) {
    const { items } = schema;
    return [
      ...duplicates(value, schema, path),
      ...(items === undefined ? [] : value.flatMap((item, at) => listTypeProblems(item, items, `${path}[${at}]`))),
    ];
  }
  if (!isObject(value)) return [];
  return Object.entries(value).flatMap(([key, member]) => {
    const property = propertyOf(schema, key);
    return property === undefined ? [] : listTypeProblems(member, property, memberPath(schema, path, key));
  });
}

/** The second of equal elements, once for each value. */
function duplicates(list: readonly unknown[], schema: Schema, path: string): readonly Problem[] {
  const type = schema['x-kubernetes-list-type'];
  if (type !== 'set' && type !== 'map') return [];
  const ids = type === 'set' ? list : list.map((item) => keysOf(item, schema['x-kubernetes-list-map-keys'] ?? []));
  return ids.flatMap((id, at) => {
    const earlier = ids.slice(0, at).filter((other) => same(other, id)).length;
    return earlier === 1
      ? [{ field: `${path}[${at}]`, reason: 'FieldValueDuplicate' as const, message: `Duplicate value: ${shown(id)}` }]
      : [];
  });
}

function keysOf(item: unknown, keys: readonly string[]): object {
  return isObject(item) ? Object.fromEntries(keys.flatMap((key) => (key in item ? [[key, item[key]]] : []))) : {};
}

interface Place {
  readonly value: unknown;
  readonly schema: Schema;
  readonly path: string;
  /** What oldSelf is, where parts can be found again. */
  readonly old: { readonly value: unknown } | undefined;
  /** What an unchanged value is forgiven by: never below allOf. */
  readonly same: { readonly value: unknown } | undefined;
}

function ruleProblems(place: Place): readonly Problem[] {
  const { value, schema, path, old } = place;
  if (value === null || !hasRules(schema)) return [];
  const own = [
    ...rulesOf(schema, path === '').flatMap((rule) => problemOf(rule, place)),
    ...(schema.allOf ?? []).flatMap((part) =>
      ruleProblems({ ...place, schema: withStructure(part, schema), same: undefined }),
    ),
  ];
  if (Array.isArray(value)) {
    const { items } = schema;
    if (items === undefined) return own;
    const below = value.flatMap((item, at) => {
      const before = oldElement(item, schema, old?.value);
      return ruleProblems({ value: item, schema: items, path: `${path}[${at}]`, old: before, same: before });
    });
    return [...own, ...below];
  }
  if (!isObject(value)) return own;
  const atomic = schema['x-kubernetes-map-type'] === 'atomic';
  const below = Object.entries(value).flatMap(([key, member]) => {
    const property = propertyOf(schema, key);
    if (property === undefined) return [];
    const before =
      isObject(old?.value) && Object.hasOwn(old.value, key) && !atomic ? { value: old.value[key] } : undefined;
    return ruleProblems({
      value: member,
      schema: property,
      path: memberPath(schema, path, key),
      // A null before is no old value to compare with.
      old: before?.value === null ? undefined : before,
      same: before,
    });
  });
  return [...own, ...below];
}

function problemOf(rule: Rule, { value, schema, path, old, same: forgiving }: Place): readonly Problem[] {
  const { source } = rule;
  if (rule.usesOldSelf && old === undefined && source.optionalOldSelf !== true) return [];
  const field = `${path}${(source.fieldPath ?? '').replace(path === '' ? /^\./ : '', '')}`;
  try {
    if (rule.holds(value, old)) return [];
  } catch (error) {
    const what = (error as { readonly summary?: string }).summary ?? (error as Error).message.split('\n')[0];
    const text = source.message?.trim() || source.rule.trim();
    return [invalid(path || '<nil>', schema.type ?? '', `${what} evaluating rule: ${text}`)];
  }
  if (!rule.usesOldSelf && forgiving !== undefined && same(value, forgiving.value)) return [];
  const detail = rule.message(value, old) ?? (source.message?.trim() || `failed rule: ${source.rule.trim()}`);
  const omitted = schema.type === 'object' || schema.type === 'array' ? undefined : value;
  return [problemFor(source, field || '<nil>', omitted, detail)];
}

function problemFor(source: ValidationRule, field: string, value: unknown, detail: string): Problem {
  switch (source.reason) {
    case 'FieldValueForbidden':
      return { field, reason: source.reason, message: `Forbidden: ${detail}` };
    case 'FieldValueRequired':
      return { field, reason: source.reason, message: `Required value: ${detail}` };
    case 'FieldValueDuplicate':
      return {
        field,
        reason: source.reason,
        message: value === undefined ? 'Duplicate value' : `Duplicate value: ${shown(value)}`,
      };
    default:
      return invalid(field, value, detail);
  }
}

const compiled = new WeakMap<Schema, readonly Rule[]>(); // schema -> its own rules

function rulesOf(schema: Schema, root: boolean): readonly Rule[] {
  const known = compiled.get(schema);
  if (known !== undefined) return known;
  const rules = compileRules(schema, root || schema['x-kubernetes-embedded-resource'] === true);
  const usable = rules.map((rule) => {
    if (isFault(rule)) throw new Error(`x-kubernetes-validations: ${rule.part} ${rule.source.rule}: ${rule.error}`);
    return rule;
  });
  compiled.set(schema, usable);
  return usable;
}

const withRules = new WeakMap<Schema, boolean>(); // schema -> whether it or a part of it has rules

function hasRules(schema: Schema): boolean {
  const known = withRules.get(schema);
  if (known !== undefined) return known;
  const { properties = {}, items, additionalProperties, allOf = [] } = schema;
  const parts = [...Object.values(properties), ...allOf, items, additionalProperties];
  const found =
    (schema['x-kubernetes-validations'] ?? []).length > 0 ||
    parts.some((part) => typeof part === 'object' && hasRules(part));
  withRules.set(schema, found);
  return found;
}

const structured = new WeakMap<Schema, Schema>(); // part of an allOf -> the part with the types of its schema

/** A part of an allOf has no types of its own: its rules see those of the schema around it. */
function withStructure(part: Schema, around: Schema): Schema {
  const known = structured.get(part);
  if (known !== undefined) return known;
  const { allOf: _allOf, 'x-kubernetes-validations': _rules, properties = {}, items, ...rest } = around;
  const own = Object.entries(properties).map(([key, property]) => {
    const nested = part.properties?.[key];
    return [key, nested === undefined ? withoutRules(property) : withStructure(nested, property)] as const;
  });
  const merged: Schema = {
    ...rest,
    ...(around.properties === undefined ? {} : { properties: Object.fromEntries(own) }),
    ...(items === undefined
      ? {}
      : { items: part.items === undefined ? withoutRules(items) : withStructure(part.items, items) }),
    ...(part['x-kubernetes-validations'] === undefined
      ? {}
      : { 'x-kubernetes-validations': part['x-kubernetes-validations'] }),
    ...(part.allOf === undefined ? {} : { allOf: part.allOf }),
  };
  structured.set(part, merged);
  return merged;
}

function withoutRules(schema: Schema): Schema {
  const {
    'x-kubernetes-validations': _rules,
    allOf: _allOf,
    properties,
    items,
    additionalProperties,
    ...rest
  } = schema;
  return {
    ...rest,
    ...(properties === undefined
      ? {}
      : { properties: Object.fromEntries(Object.entries(properties).map(([key, one]) => [key, withoutRules(one)])) }),
    ...(items === undefined ? {} : { items: withoutRules(items) }),
    ...(typeof additionalProperties === 'object' ? { additionalProperties: withoutRules(additionalProperties) } : {}),
  };
}

/** 'spec.map[key]' for a member that only additionalProperties knows. */
function memberPath(schema: Schema, path: string, key: string): string {
  return Object.hasOwn(schema.properties ?? {}, key) ? joined(path, key) : `${path}[${key}]`;
}

const joined = (path: string, key: string): string => (path === '' ? key : `${path}.${key}`);

const required = (field: string): Problem => ({ field, reason: 'FieldValueRequired', message: 'Required value' });

const invalid = (field: string, value: unknown, detail: string): Problem => ({
  field,
  reason: 'FieldValueInvalid',
  message: value === undefined ? `Invalid value: ${detail}` : `Invalid value: ${shown(value)}: ${detail}`,
});
