import { isObject } from './json.ts';
import { PatchError } from './json-patch.ts';
import { resolved, type Schema, schemaOfKind } from './kinds.ts';

type Json = Readonly<Record<string, unknown>>;

const deletePrefix = '$deleteFromPrimitiveList';
const orderPrefix = '$setElementOrder';

/** How a list merges: by this key of its objects, as a list of scalars (''), or not at all (undefined: replaced). */
type MergeKey = string | undefined;

/**
 * The document after a strategic merge patch: maps merge, null removes, and lists merge by the key that the kind's Go
 * types declare (Service `spec.ports` by `port`, `conditions` by `type`, `finalizers` as a set; all others are replaced).
 * Directives: `$patch: delete | replace`, `$deleteFromPrimitiveList/x`, `$setElementOrder/x`, `$retainKeys`; `merge` is
 * refused, as by kube-apiserver. Neither argument is written to. Throws PatchError with kube-apiserver's status, which is
 * 500 for a list element without its merge key. A kind that is not built in has no merge keys: the caller answers 415.
 */
export function applyStrategicPatch(document: unknown, patch: unknown, kind: string): unknown {
  if (!isObject(patch)) throw new PatchError(400, 'a strategic merge patch is an object');
  const schema = schemaOfKind(kind);
  return mergeObject(isObject(document) ? document : {}, patch, schema === undefined ? undefined : resolved(schema));
}

function mergeObject(original: Json, patch: Json, schema: Schema | undefined): Json {
  const directive = patch['$patch'];
  if (directive !== undefined) return replaced(directive, patch);
  const merged = retained(original, patch);
  const rest = new Map(Object.entries(patch).filter(([key]) => key !== '$retainKeys'));
  for (const [key, order] of [...rest].filter(([name]) => name.startsWith(orderPrefix))) {
    rest.delete(key);
    const name = nameIn(key, orderPrefix);
    const list = orderedList(merged.get(name), rest.get(name), order, propertyOf(schema, name), name);
    if (list !== undefined) merged.set(name, list);
    rest.delete(name);
  }
  for (const [key, value] of rest) {
    if (key.startsWith(deletePrefix)) deleteScalars(merged, nameIn(key, deletePrefix), value);
    else mergeMember(merged, key, value, propertyOf(schema, key));
  }
  return Object.fromEntries(merged);
}

function replaced(directive: unknown, patch: Json): Json {
  if (directive === 'delete') return {};
  if (directive !== 'replace') throw unknownDirective(directive, patch);
  return asSent(patch) as Json;
}

function retained(original: Json, patch: Json): Map<string, unknown> {
  const all = new Map(Object.entries(original));
  const keys = patch['$retainKeys'];
  if (keys === undefined) return all;
  const added = Object.entries(patch).filter(([key, value]) => value !== null && !isDirective(key));
  if (!Array.isArray(keys) || added.some(([key]) => !keys.includes(key))) {
    throw new PatchError(400, 'invalid patch format of retainKeys');
  }
  return new Map([...all].filter(([key]) => keys.includes(key)));
}

function mergeMember(merged: Map<string, unknown>, key: string, value: unknown, property: Schema | undefined): void {
  const current = merged.get(key);
  if (value === null) {
    merged.delete(key);
  } else if (isObject(value) && isObject(current)) {
    merged.set(key, strategyOf(property) === 'replace' ? asSent(value) : mergeObject(current, value, property));
  } else if (Array.isArray(value) && Array.isArray(current)) {
    merged.set(key, mergeList(current, value, property, key));
  } else if (directiveOf(value) !== undefined) {
    // A directive about something that is not there: even `replace` leaves nothing behind.
    merged.delete(key);
  } else {
    merged.set(key, withoutDirectives(value));
  }
}

function deleteScalars(merged: Map<string, unknown>, name: string, values: unknown): void {
  const current = merged.get(name);
  if (Array.isArray(current) && Array.isArray(values)) {
    merged.set(
      name,
      current.filter((item) => !values.includes(item)),
    );
  }
}

/** The list after the patch and in the order that `$setElementOrder` asks for; undefined if it is on neither side. */
function orderedList(
  original: unknown,
  patch: unknown,
  order: unknown,
  property: Schema | undefined,
  name: string,
): readonly unknown[] | undefined {
  if (property === undefined) throw new PatchError(500, `unable to find api field for the json field "${name}"`);
  for (const list of [order, original ?? [], patch ?? []]) {
    if (!Array.isArray(list))
      throw new PatchError(500, `${name}: expected a list, but received ${JSON.stringify(list)}`);
  }
  const before = (original ?? []) as readonly unknown[];
  const wanted = order as readonly unknown[];
  const key = mergeKeyOf(property) ?? '';
  checkOrder((patch ?? []) as readonly unknown[], wanted, key);
  if (before.length === 0 && patch === undefined) return undefined;
  if (before.length === 0 && (patch as readonly unknown[]).length === 0) {
    throw new PatchError(500, 'no elements in any of the given slices');
  }
  if (patch === undefined) return inOrder(before, wanted, before, key);
  const sent = patch as readonly unknown[];
  if (original === undefined) return inOrder(withoutDirectives(sent) as readonly unknown[], wanted, before, key);
  return inOrder(mergeList(before, sent, property, name), wanted, overwritten(before, sent, key), key);
}

/**
 * The old order as kube-apiserver sees it after the merge: it merges in place, so that the first added elements have
 * taken the places of deleted ones at the end of the old list, and count as old themselves.
 */
function overwritten(before: readonly unknown[], patch: readonly unknown[], key: string): readonly unknown[] {
  if (key === '') return before;
  const { kept, sent } = withoutSpecial(before as readonly Json[], patch as readonly Json[], key);
  const added = sent.filter((element) => !kept.some((old) => old[key] === element[key]));
  return [...kept, ...added.slice(0, Math.max(0, before.length - kept.length))];
}

/**
 * The elements that the patch sends stand in the same order in `$setElementOrder`, which names all of them. As in
 * kube-apiserver, a `$patch: replace` behind the last of them counts as an element that is not named.
 */
function checkOrder(patch: readonly unknown[], order: readonly unknown[], key: string): void {
  if (patch.length === 0 || order.length === 0) return;
  const sent = patch.filter((item) => directiveOf(item) !== 'delete');
  let next = 0;
  for (const item of order) {
    while (directiveOf(sent[next]) !== undefined) next++;
    if (next === sent.length) return;
    if (idOf(sent[next], key) === idOf(item, key)) next++;
  }
  if (next < sent.length) {
    throw new PatchError(500, `the order in the patch's list ${JSON.stringify(patch)} is not that of $setElementOrder`);
  }
}

const directiveOf = (item: unknown): unknown => (isObject(item) ? item['$patch'] : undefined);

function mergeList(
  original: readonly unknown[],
  patch: readonly unknown[],
  property: Schema | undefined,
  name: string,
): readonly unknown[] {
  const key = mergeKeyOf(property);
  if (key === undefined) return asSent(patch) as readonly unknown[];
  if (original.length === 0 && patch.length === 0) return original;
  if (!areObjects([...original, ...patch])) {
    const merged = [...new Set([...original, ...patch])];
    return inOrder(merged, patch, original, '');
  }
  if (key === '') throw new PatchError(500, `cannot merge lists without merge key for ${name}`);
  const item = property?.items === undefined ? undefined : resolved(property.items);
  const { kept, sent } = withoutSpecial(original as readonly Json[], patch as readonly Json[], key);
  const merged = [...kept];
  for (const element of sent) {
    const id = idOf(element, key);
    const at = merged.findIndex((candidate) => candidate[key] === id);
    const found = merged[at];
    if (found === undefined) merged.push(withoutDirectives(element) as Json);
    else merged[at] = mergeObject(found, element, item);
  }
  return inOrder(merged, sent, kept, key);
}

/** Carries out the elements that are directives. After `replace` there is nothing to merge: equal keys all stay. */
function withoutSpecial(original: readonly Json[], patch: readonly Json[], key: string) {
  const special = patch.filter((element) => element['$patch'] !== undefined);
  const sent = patch.filter((element) => element['$patch'] === undefined);
  const deleted = new Set<unknown>();
  for (const element of special) {
    if (element['$patch'] === 'delete') deleted.add(idOf(element, key));
    else if (element['$patch'] !== 'replace') throw unknownDirective(element['$patch'], element);
  }
  const replace = special.some((element) => element['$patch'] === 'replace');
  if (replace) return { kept: sent, sent: [] };
  return { kept: original.filter((element) => !deleted.has(element[key])), sent };
}

/**
 * Elements named by `order` follow it; the others keep their order in `before`, and stand in front of an ordered element
 * only if they did so before (Kubernetes' design "preserve order in strategic merge patch").
 */
function inOrder(
  merged: readonly unknown[],
  order: readonly unknown[],
  before: readonly unknown[],
  key: string,
): readonly unknown[] {
  const wanted = placesOf(order, key);
  const old = placesOf(before, key);
  const place = (places: ReadonlyMap<unknown, number>, item: unknown) => places.get(idOf(item, key));
  const by = (places: ReadonlyMap<unknown, number>) => (a: unknown, b: unknown) =>
    (place(places, a) ?? 0) - (place(places, b) ?? 0);
  const right = merged.filter((item) => place(wanted, item) !== undefined).sort(by(wanted));
  const left = merged.filter((item) => place(wanted, item) === undefined).sort(by(old));
  const result: unknown[] = [];
  while (left.length > 0 && right.length > 0) {
    const [l, r] = [place(old, left[0]), place(old, right[0])];
    result.push(l !== undefined && r !== undefined && l < r ? left.shift() : right.shift());
  }
  return [...result, ...left, ...right];
}

function placesOf(list: readonly unknown[], key: string): ReadonlyMap<unknown, number> {
  const places = new Map<unknown, number>(); // identity of an element -> its first index
  for (const [at, item] of list.entries()) if (!places.has(idOf(item, key))) places.set(idOf(item, key), at);
  return places;
}

/** The value of the merge key, or the scalar itself. */
function idOf(item: unknown, key: string): unknown {
  if (key === '') return item;
  if (!isObject(item)) throw new PatchError(500, `expected a map, but received ${JSON.stringify(item)}`);
  if (item[key] === undefined) {
    throw new PatchError(500, `map: ${JSON.stringify(item)} does not contain declared merge key: ${key}`);
  }
  return item[key];
}

function areObjects(list: readonly unknown[]): boolean {
  if (list.some(Array.isArray)) throw new PatchError(422, 'lists of lists are not supported');
  const types = new Set(list.map((item) => (item === null ? 'null' : typeof item)));
  if (types.size > 1) throw new PatchError(500, `list element types are not identical: ${JSON.stringify(list)}`);
  return types.has('object');
}

function propertyOf(schema: Schema | undefined, name: string): Schema | undefined {
  const properties = schema?.properties;
  const found = properties !== undefined && Object.hasOwn(properties, name) ? properties[name] : undefined;
  const property =
    found ?? (typeof schema?.additionalProperties === 'object' ? schema.additionalProperties : undefined);
  return property === undefined ? undefined : resolved(property);
}

const strategiesOf = (property: Schema | undefined): readonly string[] =>
  property?.['x-kubernetes-patch-strategy']?.split(',') ?? [];

/** merge, replace or undefined; retainKeys is only a hint for those who make patches. */
const strategyOf = (property: Schema | undefined): string | undefined =>
  strategiesOf(property).find((strategy) => strategy !== 'retainKeys');

function mergeKeyOf(property: Schema | undefined): MergeKey {
  return strategyOf(property) === 'merge' ? (property?.['x-kubernetes-patch-merge-key'] ?? '') : undefined;
}

function nameIn(key: string, prefix: string): string {
  if (key.startsWith(`${prefix}/`)) return key.slice(prefix.length + 1);
  const list = prefix === orderPrefix ? 'setElementOrder' : 'primitive';
  throw new PatchError(400, `invalid patch format of ${list} list`);
}

const isDirective = (key: string): boolean =>
  key === '$retainKeys' || key.startsWith(deletePrefix) || key.startsWith(orderPrefix);

/** A new value as it is stored: no nulls in objects, and nothing in place of an object that carries a directive. */
function withoutDirectives(value: unknown): unknown {
  if (Array.isArray(value)) {
    return value.filter((item) => directiveOf(item) === undefined).map(withoutDirectives);
  }
  if (!isObject(value)) return value;
  const kept = Object.entries(value).filter(
    ([key, item]) => item !== null && !isDirective(key) && directiveOf(item) === undefined,
  );
  return Object.fromEntries(kept.map(([key, item]) => [key, withoutDirectives(item)]));
}

/** A value that replaces another: directives inside mean nothing, their objects stay. */
function asSent(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(asSent);
  if (!isObject(value)) return value;
  const kept = Object.entries(value).filter(([key, item]) => item !== null && key !== '$patch' && !isDirective(key));
  return Object.fromEntries(kept.map(([key, item]) => [key, asSent(item)]));
}

const unknownDirective = (directive: unknown, where: unknown): PatchError =>
  directive === 'merge'
    ? new PatchError(500, 'merging lists cannot yet be specified in the patch')
    : new PatchError(500, `unknown patch type: ${String(directive)} in map: ${JSON.stringify(where)}`);
