/** Objects and sets of their fields (structured-merge-diff, typed): what an object sets, what differs, how two merge. */

import type { FieldSchema, ListSchema, MapSchema } from './field-schema.ts';
import { collectFields, type FieldCollector, type FieldPath, type FieldSet, union } from './field-set.ts';
import { isObject, same } from './json.ts';

/** No path is in two of the sets. */
export interface Comparison {
  readonly removed: FieldSet;
  readonly modified: FieldSet;
  readonly added: FieldSet;
}

/** Undefined is absent; null is a value. */
type Value = unknown;

/** The fields that an applied configuration sets. */
export function fieldsOf(value: Value, schema: FieldSchema): FieldSet {
  const fields = collectFields();
  collect(value, schema, [], fields);
  return fields.fields;
}

function collect(value: Value, schema: FieldSchema, path: FieldPath, fields: FieldCollector): void {
  const form = formOf(value, schema);
  if (
    form === 'scalar' ||
    (form === 'list' && schema.list?.type === 'atomic') ||
    (form === 'map' && schema.map?.atomic)
  ) {
    fields.add(path);
  } else if (Array.isArray(value) && schema.list !== undefined) {
    collectElements(value, schema.list, path, fields);
  } else if (isObject(value) && schema.map !== undefined) {
    for (const [key, member] of Object.entries(value)) {
      const at = [...path, `f:${key}`];
      collect(member, memberOf(schema.map, key), at, fields);
      const isEmpty = member === null || (isObject(member) && Object.keys(member).length === 0);
      if (isEmpty || schema.map.field(key) === undefined) fields.add(at);
    }
  }
}

/** Elements that share a key are owned as one. */
function collectElements(list: readonly unknown[], schema: ListSchema, path: FieldPath, fields: FieldCollector): void {
  const steps = list.map((element) => stepOf(element, schema));
  for (const [at, element] of list.entries()) {
    const step = steps[at];
    if (step === undefined) continue;
    fields.add([...path, step]);
    if (steps.indexOf(step) === steps.lastIndexOf(step)) collect(element, schema.item(), [...path, step], fields);
  }
}

/** What a write from `before` to `after` removes, modifies and adds; a map or list that is new is added itself too. */
export function compareFields(before: Value, after: Value, schema: FieldSchema): Comparison {
  const sets = { removed: collectFields(), modified: collectFields(), added: collectFields() };
  compare(before, after, schema, [], sets);
  return { removed: sets.removed.fields, modified: sets.modified.fields, added: sets.added.fields };
}

interface Sets {
  readonly removed: FieldCollector;
  readonly modified: FieldCollector;
  readonly added: FieldCollector;
}

function compare(before: Value, after: Value, schema: FieldSchema, path: FieldPath, sets: Sets): void {
  if (before === undefined && after === undefined) return;
  const forms = new Set(
    [before, after].filter((value) => value !== undefined && value !== null).map((value) => formOf(value, schema)),
  );
  const leaf = [...(forms.size === 0 ? [formOf(before ?? after, schema)] : forms)]
    .map((form) => compareAs(form, before, after, schema, path, sets))
    .includes(true);
  if (leaf) return;
  if (before === undefined) sets.added.add(path);
  else if (after === undefined) sets.removed.add(path);
}

/** True: it is a leaf, and recorded as one. */
function compareAs(form: Form, before: Value, after: Value, schema: FieldSchema, path: FieldPath, sets: Sets): boolean {
  const [old, now] = [partsOf(before, form), partsOf(after, form)];
  const atomic = form === 'scalar' || (form === 'list' ? schema.list?.type === 'atomic' : schema.map?.atomic === true);
  if (atomic || (isEmpty(old) && isEmpty(now))) {
    if (before === undefined) sets.added.add(path);
    else if (after === undefined) sets.removed.add(path);
    else if (!same(before, after)) sets.modified.add(path);
    return true;
  }
  if (form === 'list' && schema.list !== undefined) {
    compareLists(old as readonly unknown[], now as readonly unknown[], schema.list, path, sets);
  } else if (schema.map !== undefined) {
    compareMaps(old as Json, now as Json, schema.map, path, sets);
  }
  return false;
}

type Json = Readonly<Record<string, unknown>>;

function compareMaps(
  before: Json | undefined,
  after: Json | undefined,
  schema: MapSchema,
  path: FieldPath,
  sets: Sets,
): void {
  for (const key of new Set([...Object.keys({ ...before }), ...Object.keys({ ...after })])) {
    const member = memberOf(schema, key);
    const [old, now] = [memberValue(before, key, member), memberValue(after, key, member)];
    compare(old, now, member, [...path, `f:${key}`], sets);
  }
}

function memberValue(object: Json | undefined, key: string, schema: FieldSchema): Value {
  if (object === undefined) return undefined;
  if (Object.hasOwn(object, key)) return object[key];
  return schema.implied;
}

function compareLists(
  before: readonly unknown[] | undefined,
  after: readonly unknown[] | undefined,
  schema: ListSchema,
  path: FieldPath,
  sets: Sets,
): void {
  const [old, now] = [byStep(before ?? [], schema), byStep(after ?? [], schema)];
  for (const step of new Set([...old.keys(), ...now.keys()])) {
    const [was, is] = [old.get(step) ?? [], now.get(step) ?? []];
    const at = [...path, step];
    if (was.length <= 1 && is.length <= 1) {
      compare(was[0], is[0], schema.item(), at, sets);
    } else if (was.length >= 2 && is.length >= 2) {
      if (!same(was, is)) sets.modified.add(at);
    } else if (was.length >= 2) {
      if (is.length > 0) compare(undefined, is[0], schema.item(), at, sets);
      sets.removed.add(at);
    } else {
      if (was.length > 0) compare(was[0], undefined, schema.item(), at, sets);
      sets.added.add(at);
    }
  }
}

function byStep(list: readonly unknown[], schema: ListSchema): ReadonlyMap<string, readonly unknown[]> {
  const elements = new Map<string, unknown[]>();
  for (const element of list) {
    const step = stepOf(element, schema);
    if (step !== undefined) elements.set(step, [...(elements.get(step) ?? []), element]);
  }
  return elements;
}

/** The live object with an applied configuration in it; undefined where nothing is left. */
export function mergeValues(live: Value, applied: Value, schema: FieldSchema): Value {
  if (applied === undefined) return live;
  if (live === undefined && !(isObject(applied) || Array.isArray(applied))) return applied;
  const form = applied === null ? formOf(live, schema) : formOf(applied, schema);
  const [old, now] = [partsOf(live, form), partsOf(applied, form)];
  const atomic = form === 'scalar' || (form === 'list' ? schema.list?.type === 'atomic' : schema.map?.atomic === true);
  if (atomic || (isEmpty(old) && isEmpty(now))) return applied;
  if (form === 'list' && schema.list !== undefined) {
    return mergeLists(old as readonly unknown[], now as readonly unknown[], schema.list);
  }
  return schema.map === undefined ? applied : mergeMaps(old as Json, now as Json, schema.map);
}

function mergeMaps(live: Json | undefined, applied: Json | undefined, schema: MapSchema): Value {
  const keys = new Set([...Object.keys({ ...live }), ...Object.keys({ ...applied })]);
  const merged = [...keys].flatMap((key) => {
    const value = mergeValues(live?.[key], applied?.[key], memberOf(schema, key));
    return value === undefined ? [] : [[key, value] as const];
  });
  return merged.length === 0 ? undefined : Object.fromEntries(merged);
}

/** Applied elements in their order; those of others stay in front of the element that they stood in front of. */
function mergeLists(
  live: readonly unknown[] | undefined,
  applied: readonly unknown[] | undefined,
  schema: ListSchema,
): Value {
  const left = (live ?? []).map((element) => ({ element, step: stepOf(element, schema) ?? '' }));
  const right = (applied ?? []).map((element) => ({ element, step: stepOf(element, schema) ?? '' }));
  const [old, now] = [byStep(live ?? [], schema), byStep(applied ?? [], schema)];
  const shared = right.map(({ step }) => step).filter((step) => old.has(step));
  const merged = new Set<string>();
  const out: unknown[] = [];
  // An element that is there twice is not merged with the new one: it makes room for it.
  const put = (step: string, element: unknown) => {
    const was = old.get(step) ?? [];
    const value = mergeValues(was.length === 1 ? was[0] : undefined, element, schema.item());
    if (value !== undefined) out.push(value);
    merged.add(step);
  };
  let [l, r] = [0, 0];
  while (l < left.length || r < right.length) {
    const [mine, theirs] = [left[l], right[r]];
    if (mine !== undefined && theirs !== undefined) {
      if (mine.step === theirs.step) {
        put(theirs.step, theirs.element);
        shared.shift();
        l++;
        r++;
        continue;
      }
      if (now.has(mine.step) && shared[0] !== undefined && shared[0] !== mine.step) {
        l++; // shared, but not the one whose turn it is
        continue;
      }
    }
    if (mine !== undefined && !now.has(mine.step)) {
      out.push(mine.element);
      l++;
      continue;
    }
    if (mine !== undefined && merged.has(mine.step)) l++;
    if (theirs !== undefined) {
      put(theirs.step, theirs.element);
      r++;
      if (shared[0] === theirs.step) shared.shift();
    }
  }
  return out.length === 0 ? undefined : out;
}

/** The value without these fields; undefined where nothing is left. What is owned as a whole goes only as a whole. */
export function removeFields(value: Value, fields: FieldSet, schema: FieldSchema): Value {
  const form = formOf(value, schema);
  if (form === 'scalar') return value;
  if (Array.isArray(value) && schema.list !== undefined) {
    if (value.length === 0 || schema.list.type === 'atomic') return undefined;
    const { list } = schema;
    const kept = value.flatMap((element) => {
      const node = fields.get(stepOf(element, list) ?? '');
      if (node?.member === true) return [];
      return [node === undefined ? element : (removeFields(element, node.below, list.item()) ?? null)];
    });
    return kept.length === 0 ? undefined : kept;
  }
  if (!isObject(value) || schema.map === undefined || schema.map.atomic || Object.keys(value).length === 0)
    return undefined;
  const { map } = schema;
  const kept = Object.entries(value).flatMap(([key, member]) => {
    const node = fields.get(`f:${key}`);
    if (node?.member === true) return [];
    return [
      [key, node === undefined ? member : (removeFields(member, node.below, memberOf(map, key)) ?? null)] as const,
    ];
  });
  return kept.length === 0 ? undefined : Object.fromEntries(kept);
}

/** With the declared fields in which something is: they count as set as soon as anything below them is. */
export function withNamedFields(fields: FieldSet, schema: FieldSchema | undefined): FieldSet {
  return new Map(
    [...fields].map(([step, { member, below }]) => {
      const name = step.startsWith('f:') ? step.slice(2) : undefined;
      const declared = name === undefined ? undefined : schema?.map?.field(name);
      const child =
        name === undefined
          ? step.startsWith('k:')
            ? schema?.list?.item()
            : undefined
          : (declared ?? schema?.map?.element());
      return [
        step,
        { member: member || (declared !== undefined && below.size > 0), below: withNamedFields(below, child) },
      ];
    }),
  );
}

/** Why a configuration does not fit its kind: '.spec.foo: field not declared in schema'. */
export function typeProblems(value: Value, schema: FieldSchema, path = ''): readonly string[] {
  if (value === null || value === undefined) return [];
  if (Array.isArray(value)) {
    if (schema.list === undefined) return [`${path}: expected ${expected(schema)}, got list`];
    return listProblems(value, schema.list, path);
  }
  if (isObject(value)) {
    const { map } = schema;
    if (map === undefined) return [`${path}: expected ${expected(schema)}, got map`];
    return Object.entries(value).flatMap(([key, member]) => {
      const child = map.field(key) ?? map.element();
      const at = `${path}.${key}`;
      return child === undefined ? [`${at}: field not declared in schema`] : typeProblems(member, child, at);
    });
  }
  return schema.scalar ? [] : [`${path}: expected ${expected(schema)}, got ${JSON.stringify(value)}`];
}

function listProblems(list: readonly unknown[], schema: ListSchema, path: string): readonly string[] {
  if (schema.type === 'atomic') return list.flatMap((item, at) => typeProblems(item, schema.item(), `${path}[${at}]`));
  const steps = list.map((item) => stepOf(item, schema));
  return list.flatMap((item, at) => {
    const step = steps[at];
    if (step === undefined) return [`${path}: element ${at}: ${keyProblem(item, schema)}`];
    if (steps.indexOf(step) < at) return [`${path}: duplicate entries for key ${elementText(step)}`];
    return typeProblems(item, schema.item(), `${path}${elementText(step)}`);
  });
}

function keyProblem(item: unknown, { type, keys }: ListSchema): string {
  if (type === 'set') return "associative list without keys has an element that's a map type";
  if (!isObject(item)) return 'associative list with keys may not have non-map elements';
  const names = keys.map((key) => JSON.stringify(key)).join(' ');
  return `associative list with keys has an element that omits all key fields [${names}] (and doesn't have default values for any key fields)`;
}

function elementText(step: string): string {
  if (step.startsWith('v:')) return `[=${step.slice(2)}]`;
  const keys = Object.entries(JSON.parse(step.slice(2)) as Json);
  return `[${keys.map(([key, value]) => `${key}=${JSON.stringify(value)}`).join(',')}]`;
}

const expected = (schema: FieldSchema): string => (schema.map ? 'map' : schema.list ? 'list' : 'scalar');

type Form = 'scalar' | 'list' | 'map';

/** The form of a value among those that its schema allows; a null has that of its schema. */
function formOf(value: Value, schema: FieldSchema): Form {
  if (Array.isArray(value) && schema.list !== undefined) return 'list';
  if (isObject(value) && schema.map !== undefined) return 'map';
  if (value !== null && value !== undefined && schema.scalar) return 'scalar';
  return schema.map !== undefined ? 'map' : schema.scalar ? 'scalar' : 'list';
}

const partsOf = (value: Value, form: Form): readonly unknown[] | Json | undefined => {
  if (form === 'list') return Array.isArray(value) ? value : undefined;
  return form === 'map' && isObject(value) ? value : undefined;
};

const isEmpty = (parts: readonly unknown[] | Json | undefined): boolean =>
  parts === undefined || Object.keys(parts).length === 0;

const memberOf = (schema: MapSchema, key: string): FieldSchema => schema.field(key) ?? schema.element() ?? unknown;

const unknown: FieldSchema = { scalar: true };

/** How an element is found again; undefined: it has no key, or is not one that a set can hold. */
function stepOf(element: unknown, { type, keys, item }: ListSchema): string | undefined {
  if (type === 'set') return typeof element === 'object' ? undefined : `v:${JSON.stringify(element)}`;
  if (!isObject(element)) return undefined;
  const found = [...keys].sort().flatMap((key) => {
    const value = element[key] ?? item().map?.field(key)?.default;
    return value === undefined ? [] : [[key, value] as const];
  });
  return found.length === 0 ? undefined : `k:${JSON.stringify(Object.fromEntries(found))}`;
}

/** Everything that a write changed. */
export const changedFields = ({ modified, added }: Comparison): FieldSet => union(modified, added);
