import {
  ApplyConflict,
  type FieldSchema,
  fieldSchemaOf,
  type ManagedFields,
  serverSideApply,
  updateManagedFields,
} from './apply.ts';
import { roundTrip } from './codec.ts';
import { encoded } from './decode.ts';
import { documentOf } from './encode.ts';
import { type Draft, isObject, type JsonObject, same } from './json.ts';
import { schemaNameOf } from './kinds.ts';
import { groupVersionOf, type Resource } from './resources.ts';
import { badRequest, failed } from './status.ts';

/** Who writes, and through which path below the object ('' for the object itself, 'scale' included). */
export interface Writer {
  readonly manager: string;
  readonly subresource: string;
  /** RFC 3339. */
  readonly now: string;
}

/** managedFields of an object that a write is about to store, before anything is filled in by its registry. */
export function ownersAfterWrite(
  resource: Resource,
  live: Draft | undefined,
  next: Draft,
  writer: Writer,
): readonly ManagedFields[] {
  if (live === undefined)
    return updateManagedFields(
      undefined,
      withoutZeros(encoded(resource, next), zeroOf(resource)),
      detailsOf(resource, writer),
    );
  const entries = updateManagedFields(encoded(resource, live), encoded(resource, next), detailsOf(resource, writer));
  return writer.subresource === 'scale' ? scaleOwners(resource, entries) : entries;
}

/** The scale handlers write entries without a time, and for a custom resource none. */
function scaleOwners({ custom }: Resource, entries: readonly ManagedFields[]): readonly ManagedFields[] {
  return entries.flatMap((entry) => {
    if (entry.subresource !== 'scale') return [entry];
    const { time: _time, ...rest } = entry;
    return custom === undefined ? [rest] : [];
  });
}

/** What the Go type holds of itself is nobody's: a create is compared with the empty object. */
function zeroOf(resource: Resource): JsonObject {
  const known = zeros.get(resource);
  if (known !== undefined) return known;
  const name = resource.custom === undefined ? schemaNameOf(groupVersionOf(resource), resource.kind) : undefined;
  const zero = name === undefined ? {} : roundTrip(name, {}, []);
  zeros.set(resource, zero);
  return zero;
}
const zeros = new WeakMap<Resource, JsonObject>();

function withoutZeros(value: JsonObject, zero: JsonObject): JsonObject {
  const kept = Object.entries(value).flatMap(([member, item]) => {
    const empty = zero[member];
    if (empty !== undefined && same(item, empty)) return [];
    return [[member, isObject(item) && isObject(empty) ? withoutZeros(item, empty) : item]];
  });
  return Object.fromEntries(kept);
}

/** What a server-side apply makes of the live object, managedFields included. Throws 400, 409, 500. */
export function applied(
  resource: Resource,
  live: Draft | undefined,
  config: JsonObject,
  how: Writer & { readonly force: boolean },
): JsonObject {
  try {
    const before = live === undefined ? undefined : documentOf(resource, live);
    const { object, managedFields } = serverSideApply(before, config, {
      ...detailsOf(resource, how),
      force: how.force,
    });
    const { metadata = {}, ...content } = object as JsonObject;
    return {
      ...content,
      metadata: { ...(metadata as JsonObject), ...(managedFields.length === 0 ? {} : { managedFields }) },
    };
  } catch (error) {
    if (error instanceof ApplyConflict)
      throw failed(409, 'Conflict', error.message, {
        causes: error.causes.map(({ manager, field }) => ({
          reason: 'FieldManagerConflict',
          message: `conflict with ${manager}`,
          field,
        })),
      });
    if (error instanceof Error && 'status' in error)
      throw error.status === 400 ? badRequest(error.message) : failed(500, '', error.message);
    throw error;
  }
}

/** Whether two versions of an object differ in nothing but the times of their managedFields. */
export function sameButTimes(a: Draft, b: Draft): boolean {
  return same(timeless(a), timeless(b));
}

function timeless({ metadata, ...content }: Draft): JsonObject {
  const entries = (metadata.managedFields ?? []).map((entry) => ({ ...(entry as JsonObject), time: undefined }));
  return { ...content, metadata: { ...metadata, managedFields: entries } };
}

type Details = Parameters<typeof updateManagedFields>[2];

function detailsOf(resource: Resource, { manager, subresource, now }: Writer): Details {
  const resetFields = resetOf(resource, subresource);
  return {
    manager,
    now,
    schema: schemaOf(resource),
    apiVersion: groupVersionOf(resource),
    ...(subresource === '' ? {} : { subresource }),
    ...(resetFields === undefined ? {} : { resetFields }),
  };
}

/** Undefined: as the path says (status, or spec for the status). */
function resetOf({ custom }: Resource, subresource: string): Details['resetFields'] {
  if (subresource === 'scale') return [];
  if (subresource === 'finalize') return [['status']];
  if (custom === undefined) return undefined;
  if (subresource === 'status') return [['metadata'], ['spec']];
  return custom.statusSubresource ? [['status']] : [];
}

const schemas = new WeakMap<Resource, FieldSchema>();

function schemaOf(resource: Resource): FieldSchema {
  const known = schemas.get(resource);
  if (known !== undefined) return known;
  const { kind, group, custom } = resource;
  const schema = fieldSchemaOf(custom === undefined ? { kind, group } : { crd: custom.schema });
  schemas.set(resource, schema);
  return schema;
}
