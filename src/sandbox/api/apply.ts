/** Server-side apply: who owns which field, and what an applied configuration makes of an object (KEP-555). */
import type { FieldSchema } from './field-schema.ts';
import {
  difference,
  type FieldPath,
  type FieldSet,
  intersection,
  noFields,
  parseFields,
  pathsOf,
  pathText,
  printFields,
  union,
  without,
} from './field-set.ts';
import {
  changedFields,
  compareFields,
  fieldsOf,
  mergeValues,
  removeFields,
  typeProblems,
  withNamedFields,
} from './field-values.ts';
import { at, isObject, same } from './json.ts';
import { PatchError } from './json-patch.ts';

export { type FieldSchema, fieldSchemaOf } from './field-schema.ts';

/** An entry of metadata.managedFields. */
export interface ManagedFields {
  readonly manager: string;
  readonly operation: 'Apply' | 'Update';
  readonly apiVersion: string;
  /** RFC 3339; absent where a write made the entry without changing the object. */
  readonly time?: string;
  readonly fieldsType: 'FieldsV1';
  readonly fieldsV1: Readonly<Record<string, unknown>>;
  readonly subresource?: string;
}

/** A field that somebody else applied or wrote, and that this apply would change. `manager` is who, as people read it. */
export interface ApplyCause {
  /** '"kubectl" with subresource "status" using v1': in quotes, with the version for one that updates. */
  readonly manager: string;
  readonly field: string;
}

/** HTTP 409, reason Conflict; the causes are of type FieldManagerConflict, `conflict with ${manager}`. */
export class ApplyConflict extends Error {
  override readonly name = 'ApplyConflict';
  readonly status = 409;
  readonly causes: readonly ApplyCause[];

  constructor(causes: readonly ApplyCause[]) {
    super(conflictText(causes));
    this.causes = causes;
  }
}

interface Who {
  /** fieldManager of the request, else the client's name. */
  readonly manager: string;
  /** RFC 3339 with the precision of a second. */
  readonly now: string;
  readonly schema: FieldSchema;
  readonly subresource?: string;
  /** Group and version of the request: 'v1', 'apps/v1'. */
  readonly apiVersion: string;
  /**
   * What this write cannot change, and so does not own: ['status']. Unless given, `status` for the object itself and
   * `spec` for its status; a CRD without status subresource gives none, one with it metadata and spec for the status.
   */
  readonly resetFields?: readonly FieldPath[];
}

/**
 * The object after a server-side apply, without managedFields, and its new managedFields. `live` undefined: the object
 * is created. What the manager applied before and leaves out now goes, unless somebody else owns it. Equal to `live`,
 * with equal managedFields, if the apply changes nothing. A map that an applied `{}` robs of its last key is null, as in
 * kube-apiserver. The caller decodes, defaults and checks the object.
 * Throws ApplyConflict unless `force`; PatchError 400 for another version or managedFields in the configuration, 500 for
 * fields that the kind does not have (kube-apiserver's status for it).
 */
export function serverSideApply(
  live: object | undefined,
  applied: object,
  how: Who & { readonly force: boolean },
): { readonly object: object; readonly managedFields: readonly ManagedFields[] } {
  const config = checkedConfig(applied, how);
  const before = withoutManagedFields(live ?? {});
  const decoded = decode(entriesOf(live));
  // Whoever wrote the object before anybody tracked its fields gets them all.
  const managers =
    decoded.size > 0 ? decoded : updated({}, before, decoded, { ...how, manager: 'before-first-apply' }).managers;
  try {
    return applyConfig(before, config, managers, entriesOf(live), how);
  } catch (error) {
    if (!(error instanceof ApplyConflict) || how.manager !== 'kubectl') throw error;
    const causes = error.causes.filter(({ field }) => !appliedByClient(before, how).has(field));
    if (causes.length > 0) throw new ApplyConflict(causes);
    return applyConfig(before, config, managers, entriesOf(live), { ...how, force: true });
  }
}

/**
 * The managedFields of an object that a create, update or patch writes: `next` is what will be stored, after decoding
 * and defaulting, `live` what is stored (undefined: create). Entries that `next` itself brings win over those of `live`,
 * an empty list or one empty entry resets all (not through a subresource). A write that changes no field changes nothing.
 */
export function updateManagedFields(live: object | undefined, next: object, how: Who): readonly ManagedFields[] {
  const kept = entriesOf(live);
  const sent = how.subresource === undefined ? at(next, 'metadata', 'managedFields') : undefined;
  const reset = Array.isArray(sent) && (sent.length === 0 || (sent.length === 1 && same(sent[0], {})));
  const managers = decode(reset ? [] : Array.isArray(sent) && decode(sent).size > 0 ? sent : kept);
  // An object that nobody tracks stays so until the first apply.
  if (managers.size === 0 && live !== undefined) return [];
  const [before, after] = [withoutManagedFields(live ?? {}), withoutManagedFields(next)];
  const { managers: all } = updated(before, after, managers, how);
  return settled(before, after, encode(capped(all)), kept);
}

/** What one manager owns; `time` is absent for an entry that never changed the object. */
interface Managed {
  readonly manager: string;
  readonly operation: 'Apply' | 'Update';
  readonly apiVersion: string;
  readonly subresource: string;
  readonly time: string | undefined;
  readonly fields: FieldSet;
}
type Managers = ReadonlyMap<string, Managed>; // identity -> entry

/** Who applies stays the same in every version. */
const identityOf = ({ manager, operation, apiVersion, subresource }: Omit<Managed, 'fields' | 'time'>): string =>
  JSON.stringify([manager, operation, operation === 'Apply' ? '' : apiVersion, subresource]);

function entryFor(how: Who, operation: 'Apply' | 'Update', fields: FieldSet, time: string | undefined): Managed {
  const { manager, apiVersion, subresource = '' } = how;
  return { manager: manager || 'unknown', operation, apiVersion, subresource, time, fields };
}

function checkedConfig(applied: object, { schema, apiVersion }: Who): Json {
  const config = applied as Json;
  const { kind = '', apiVersion: given = '' } = config;
  const [version = '', group = ''] = String(given).split('/').reverse();
  const gvk = `${group}/${version}, Kind=${kind}`;
  if (given !== apiVersion) throw new PatchError(400, `invalid object type: ${gvk}`);
  const managedFields = at(config, 'metadata', 'managedFields');
  if (managedFields !== undefined && managedFields !== null) {
    throw new PatchError(400, 'metadata.managedFields must be nil');
  }
  const problems = typeProblems(config, schema);
  if (problems.length > 0) {
    const name = `${at(config, 'metadata', 'namespace') ?? ''}/${at(config, 'metadata', 'name') ?? ''}`;
    const text = problems.length === 1 ? problems[0] : `errors:\n  ${problems.join('\n  ')}`;
    throw new PatchError(500, `failed to create typed patch object (${name}; ${gvk}): ${text}`);
  }
  return config;
}

type Json = Readonly<Record<string, unknown>>;

function applyConfig(
  live: object,
  config: Json,
  managers: Managers,
  entries: readonly unknown[],
  how: Who & { readonly force: boolean },
): { readonly object: object; readonly managedFields: readonly ManagedFields[] } {
  const { schema } = how;
  const self = entryFor(how, 'Apply', without(fieldsOf(config, schema), resetOf(how)), undefined);
  const identity = identityOf(self);
  const last = managers.get(identity);
  const claimed = new Map(managers).set(identity, { ...self, time: last?.time });
  const merged = mergeValues(live, config, schema) ?? {};
  const object = (pruned(merged, last?.fields ?? noFields, claimed, schema) ?? {}) as object;
  const compared = filtered(compareFields(live, object, schema), how);
  const rest = yielded(claimed, compared, identity, how.force);
  const changed = !same(live, object);
  const own = rest.get(identity);
  if (own !== undefined) {
    const fields = difference(own.fields, metaFields);
    if (fields.size === 0) rest.delete(identity);
    else rest.set(identity, { ...own, fields, time: changed ? how.now : own.time });
  }
  const synced = how.manager === 'kubectl' ? withLastApplied(object, config) : object;
  return { object: synced, managedFields: settled(live, synced, encode(rest), entries) };
}

/**
 * Without what this manager applied last time and not now, if nobody else owns it. A declared field goes with its last
 * part, and what is in the object but was never this manager's stays.
 */
function pruned(merged: unknown, last: FieldSet, managers: Managers, schema: FieldSchema): unknown {
  if (last.size === 0) return merged;
  const named = (fields: FieldSet) => withNamedFields(fields, schema);
  const owned = [...managers.values()].reduce((all: FieldSet, { fields }) => union(all, fields), noFields);
  const whole = named(fieldsOf(merged, schema));
  const cut = removeFields(merged, named(last), schema);
  const back = removeFields(merged, difference(whole, union(named(fieldsOf(cut, schema)), named(owned))), schema);
  const gone = intersection(difference(whole, named(fieldsOf(back, schema))), named(last));
  return removeFields(merged, gone, schema);
}

function updated(before: object, after: object, managers: Managers, how: Who): { readonly managers: Managers } {
  const compared = filtered(compareFields(before, after, how.schema), how);
  const rest = yielded(managers, compared, undefined, true);
  const changed = difference(without(changedFields(compared), resetOf(how)), metaFields);
  if (changed.size > 0) {
    const self = entryFor(how, 'Update', changed, how.now);
    const identity = identityOf(self);
    rest.set(identity, { ...self, fields: union(changed, rest.get(identity)?.fields ?? noFields) });
  }
  return { managers: rest };
}

/** Everybody but `self` loses what was changed or removed; ApplyConflict for a change unless it is forced. */
function yielded(
  managers: Managers,
  compared: ReturnType<typeof compareFields>,
  self: string | undefined,
  force: boolean,
): Map<string, Managed> {
  const changed = changedFields(compared);
  const others = [...managers].filter(([identity]) => identity !== self);
  const causes = others.flatMap(([, entry]) =>
    pathsOf(intersection(entry.fields, changed)).map((path) => ({
      manager: managerText(entry),
      field: pathText(path),
    })),
  );
  if (!force && causes.length > 0) throw new ApplyConflict(causes);
  const lost = union(changed, compared.removed);
  const rest = new Map<string, Managed>();
  for (const [identity, entry] of managers) {
    const fields = identity === self ? entry.fields : difference(entry.fields, lost);
    if (fields.size > 0) rest.set(identity, { ...entry, fields });
  }
  return rest;
}

function filtered(compared: ReturnType<typeof compareFields>, how: Who): ReturnType<typeof compareFields> {
  const reset = resetOf(how);
  return {
    removed: without(compared.removed, reset),
    modified: without(compared.modified, reset),
    added: without(compared.added, reset),
  };
}

function resetOf({ resetFields, subresource }: Who): FieldSet {
  return fieldSetOf(resetFields ?? [[subresource === undefined ? 'status' : 'spec']]);
}

function fieldSetOf(paths: readonly FieldPath[]): FieldSet {
  return paths.reduce((all: FieldSet, path) => union(all, single(path)), noFields);
}

function single([first, ...rest]: FieldPath): FieldSet {
  if (first === undefined) return noFields;
  return new Map([[`f:${first}`, { member: rest.length === 0, below: single(rest) }]]);
}

/** Identity and bookkeeping of an object are nobody's. */
const metaFields = fieldSetOf([
  ['apiVersion'],
  ['kind'],
  ['metadata'],
  ...[
    'name',
    'namespace',
    'creationTimestamp',
    'selfLink',
    'uid',
    'clusterName',
    'generation',
    'managedFields',
    'resourceVersion',
  ].map((name) => ['metadata', name]),
]);

const maxUpdates = 10;

/** Beyond ten, the oldest updates of each version become one entry, 'ancient-changes'. */
function capped(managers: Managers): Managers {
  const oldest = [...managers]
    .filter(([, { operation }]) => operation === 'Update')
    .sort(([a, x], [b, y]) => compareText(x.time ?? '', y.time ?? '') || compareText(a, b));
  const all = new Map(managers);
  const first = new Map<string, string>(); // apiVersion -> identity of its oldest entry
  let count = oldest.length;
  for (const [identity, entry] of oldest) {
    if (count <= maxUpdates) break;
    const earlier = first.get(entry.apiVersion);
    if (earlier === undefined) {
      first.set(entry.apiVersion, identity);
      continue;
    }
    const bucket = { ...entry, manager: 'ancient-changes', subresource: '' };
    const bucketId = identityOf(bucket);
    const old = all.get(bucketId) ?? all.get(earlier);
    if (earlier !== bucketId) all.delete(earlier);
    all.delete(identity);
    all.set(bucketId, { ...bucket, fields: union(entry.fields, old?.fields ?? noFields) });
    first.set(entry.apiVersion, bucketId);
    count--;
  }
  return all;
}

const compareText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

/** A write that changes nothing but times changes nothing at all. */
function settled(
  before: object,
  after: object,
  entries: readonly ManagedFields[],
  kept: readonly unknown[],
): readonly ManagedFields[] {
  const timeless = (list: readonly unknown[]) => list.map((entry) => ({ ...(entry as object), time: undefined }));
  return same(unversioned(before), unversioned(after)) && same(timeless(entries), timeless(kept))
    ? (kept as readonly ManagedFields[])
    : entries;
}

function unversioned(object: object): unknown {
  const { metadata, ...rest } = object as { readonly metadata?: Json };
  const { resourceVersion: _version, ...meta } = metadata ?? {};
  return { ...rest, metadata: meta };
}

function entriesOf(object: object | undefined): readonly unknown[] {
  const entries = at(object, 'metadata', 'managedFields');
  return Array.isArray(entries) ? entries : [];
}

/** Empty if any entry is malformed: Kubernetes then starts anew. */
function decode(entries: readonly unknown[]): Managers {
  const managers = new Map<string, Managed>();
  for (const entry of entries) {
    if (!isObject(entry) || entry['fieldsType'] !== 'FieldsV1' || typeof entry['apiVersion'] !== 'string')
      return new Map();
    const { operation, manager = '', apiVersion, subresource = '', time, fieldsV1 } = entry;
    if (operation !== 'Apply' && operation !== 'Update') return new Map();
    const managed: Managed = {
      manager: String(manager),
      operation,
      apiVersion,
      subresource: String(subresource),
      time: typeof time === 'string' ? time : undefined,
      fields: parseFields(fieldsV1),
    };
    managers.set(identityOf(managed), managed);
  }
  return managers;
}

/** Applies first, then by time and name. */
function encode(managers: Managers): readonly ManagedFields[] {
  return [...managers.values()]
    .sort(
      (a, b) =>
        compareText(a.operation, b.operation) ||
        compareText(a.time ?? '', b.time ?? '') ||
        compareText(a.manager, b.manager) ||
        compareText(a.apiVersion, b.apiVersion) ||
        compareText(a.subresource, b.subresource),
    )
    .map(({ manager, operation, apiVersion, time, fields, subresource }) => ({
      manager,
      operation,
      apiVersion,
      ...(time === undefined ? {} : { time }),
      fieldsType: 'FieldsV1',
      fieldsV1: printFields(fields),
      ...(subresource === '' ? {} : { subresource }),
    }));
}

function managerText({ manager, operation, apiVersion, subresource }: Managed): string {
  const name = `${JSON.stringify(manager)}${subresource === '' ? '' : ` with subresource ${JSON.stringify(subresource)}`}`;
  return operation === 'Apply' ? name : `${name} using ${apiVersion}`;
}

function conflictText(causes: readonly ApplyCause[]): string {
  const [first] = causes;
  if (first !== undefined && causes.length === 1) {
    return `Apply failed with 1 conflict: conflict with ${first.manager}: ${first.field}`;
  }
  const managers = [...new Set(causes.map(({ manager }) => manager))].sort();
  const lines = managers.flatMap((manager) => [
    `conflicts with ${manager}:`,
    ...causes.filter((cause) => cause.manager === manager).map(({ field }) => `- ${field}`),
  ]);
  return `Apply failed with ${causes.length} conflicts: ${lines.join('\n')}`;
}

function withoutManagedFields(object: object): object {
  const { metadata, ...rest } = object as { readonly metadata?: Json };
  if (metadata === undefined) return object;
  const { managedFields: _entries, ...meta } = metadata;
  return { ...rest, metadata: meta };
}

const lastAppliedKey = 'kubectl.kubernetes.io/last-applied-configuration';

const lastAppliedOf = (object: unknown): string => String(at(object, 'metadata', 'annotations', lastAppliedKey) ?? '');

/**
 * Fields, as text, that kubectl applied on its own side and that still have those values: whoever takes a manifest from
 * `kubectl apply` to `kubectl apply --server-side` has no conflict with himself.
 */
function appliedByClient(live: object, { schema, apiVersion }: Who): ReadonlySet<string> {
  const config = parsed(lastAppliedOf(live));
  if (config === undefined || config['apiVersion'] !== apiVersion) return new Set();
  const { modified, added, removed } = compareFields(config, live, schema);
  const fields = difference(fieldsOf(config, schema), union(union(modified, added), removed));
  return new Set(pathsOf(fields).map(pathText));
}

function parsed(text: string): Json | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return isObject(value) ? value : undefined;
  } catch {
    return undefined; // no annotation, or one that nobody can read: nothing is allowed by it
  }
}

/** Go writes maps by key. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (!isObject(value)) return value;
  const entries = Object.entries(value).sort(([a], [b]) => compareText(a, b));
  return Object.fromEntries(entries.map(([key, item]) => [key, sorted(item)]));
}

/** kubectl's annotation follows what it applies, if the object has one. */
function withLastApplied(object: object, config: Json): object {
  if (lastAppliedOf(object) === '') return object;
  const { metadata = {}, ...rest } = config as { readonly metadata?: Json };
  const { [lastAppliedKey]: _own, ...annotations } = (metadata['annotations'] ?? {}) as Json;
  const { annotations: _annotations, ...others } = metadata;
  const named = Object.keys(annotations).length === 0 ? others : { ...others, annotations };
  const text = JSON.stringify(sorted({ ...rest, metadata: named }));
  const meta = (object as { readonly metadata: Json }).metadata;
  const merged = { ...(meta['annotations'] as Json), [lastAppliedKey]: `${text}\n` };
  return { ...object, metadata: { ...meta, annotations: merged } };
}
