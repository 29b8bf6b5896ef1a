import { parse as parseYaml } from 'yaml';
import type { RulesOf } from './admit.ts';
import { DecodeError, roundTrip, type Unknown } from './codec.ts';
import { invalid, invalidObject, unsupported } from './invalid.ts';
import { clone, type Draft, isObject, type JsonObject, parseJson } from './json.ts';
import { schemaNameOf } from './kinds.ts';
import { fromCoreEvent, toCoreEvent } from './registry/event.ts';
import { type CustomVersion, groupVersionOf, type Resource } from './resources.ts';
import { applyDefaults, prune, unknownFields } from './schema.ts';
import { badRequest, unsupportedMediaType } from './status.ts';

/** The query's fieldValidation: what becomes of fields that the kind does not have. */
export type FieldValidation = 'Ignore' | 'Warn' | 'Strict';

/**
 * A body, or what a patch made, as an object of the resource: kind checked and taken off, unknown fields gone, defaults
 * filled in. Always a copy. Warnings are added to `warnings`. Throws 400.
 */
export type Decoder = (
  resource: Resource,
  body: JsonObject,
  how: { readonly unknown: FieldValidation; readonly warnings: string[] },
) => Draft;

export const lenient = { unknown: 'Ignore', warnings: [] as string[] } as const;

const accepted = ['application/json', 'application/yaml', 'application/vnd.kubernetes.protobuf'];

/** 'application/json; charset=utf-8' is 'application/json'. */
export const mediaType = (header: string | undefined): string =>
  (header ?? '').split(';')[0]?.trim().toLowerCase() ?? '';

/** Throws 422 for an unknown value. */
export function fieldValidationOf(
  query: URLSearchParams,
  options: 'CreateOptions' | 'UpdateOptions' | 'PatchOptions',
): FieldValidation {
  const value = query.get('fieldValidation') ?? '';
  if (value === '') return 'Warn';
  if (value === 'Ignore' || value === 'Warn' || value === 'Strict') return value;
  throw invalidObject('meta.k8s.io', options, '', [
    unsupported('fieldValidation', value, ['', 'Ignore', 'Strict', 'Warn']),
  ]);
}

/** A body that is one object. Throws 400 and 415. */
export function parseBody(kind: string, text: string | undefined, type: string): JsonObject {
  if (type !== '' && type !== 'application/json' && type !== 'application/yaml') throw unsupportedMediaType(accepted);
  const value = type === 'application/yaml' ? fromYaml(kind, text ?? '') : fromJson(kind, text ?? '');
  if (!isObject(value))
    throw unrecognised(
      kind,
      `json: cannot unmarshal ${Array.isArray(value) ? 'array' : typeof value} into Go value of type struct { APIVersion string "json:\\"apiVersion,omitempty\\""; Kind string "json:\\"kind,omitempty\\"" }`,
    );
  return value;
}

function fromJson(kind: string, text: string): unknown {
  try {
    return parseJson(text);
  } catch (error) {
    throw unrecognised(kind, text === '' ? 'unexpected end of JSON input (<empty>)' : (error as Error).message);
  }
}

/** JSON is YAML too. */
export function fromYaml(kind: string, text: string): unknown {
  try {
    return parseYaml(text);
  } catch (error) {
    throw badRequest(`error decoding YAML of ${kind}: ${(error as Error).message}`);
  }
}

const unrecognised = (kind: string, why: string): Error =>
  badRequest(
    `the object provided is unrecognized (must be of type ${kind}): couldn't get version/kind; json parse error: ${why}`,
  );

export function createDecoder(rulesOf: RulesOf): Decoder {
  return (resource, body, { unknown, warnings }) => {
    checkType(resource, body);
    const found: Unknown = [];
    const draft =
      resource.custom === undefined ? decodeBuiltIn(resource, body, found) : decodeCustom(body, resource.custom, found);
    if (found.length > 0 && unknown === 'Strict')
      throw cannotHandle(resource, body, `strict decoding error: ${named(found)}`);
    if (unknown === 'Warn') warnings.push(...found.map((field) => `unknown field ${JSON.stringify(field)}`));
    rulesOf(resource).defaults?.(draft);
    return draft;
  };
}

const named = (fields: readonly string[]): string =>
  fields.map((field) => `unknown field ${JSON.stringify(field)}`).join(', ');

const objectMeta = 'io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta';

function decodeBuiltIn(resource: Resource, body: JsonObject, unknown: Unknown): Draft {
  const { kind: _kind, apiVersion: _version, ...content } = body;
  const name = schemaNameOf(groupVersionOf(resource), resource.kind);
  try {
    if (name === undefined) return { ...clone(content), metadata: metadataOf(content, unknown) };
    const object = roundTrip(name, content, unknown);
    return (
      resource.group === 'events.k8s.io' ? roundTrip('io.k8s.api.core.v1.Event', toCoreEvent(object), []) : object
    ) as Draft;
  } catch (error) {
    throw error instanceof DecodeError ? cannotHandle(resource, body, error.message) : error;
  }
}

function decodeCustom(body: JsonObject, { schema }: CustomVersion, unknown: Unknown): Draft {
  const metadata = metadataOf(body, unknown);
  unknown.push(...unknownFields(body, schema).filter((field) => !unknown.includes(field)));
  const { kind: _kind, apiVersion: _version, ...content } = applyDefaults(prune(body, schema), schema) as JsonObject;
  return { ...clone(content), metadata };
}

function metadataOf(body: JsonObject, unknown: Unknown): Draft['metadata'] {
  const { metadata = {} } = body;
  const own: Unknown = [];
  const read = roundTrip(objectMeta, isObject(metadata) ? metadata : {}, own);
  unknown.push(...own.map((field) => `metadata.${field}`));
  return read;
}

/** The object as it is stored: what its rules wrote in the order and form of its Go type. */
export function canonical(resource: Resource, draft: Draft): Draft {
  const metadata = roundTrip(objectMeta, draft.metadata, []);
  if (resource.custom !== undefined) return { ...draft, metadata };
  const name =
    resource.collection === 'events'
      ? 'io.k8s.api.core.v1.Event'
      : schemaNameOf(groupVersionOf(resource), resource.kind);
  return name === undefined ? { ...draft, metadata } : (roundTrip(name, draft, []) as Draft);
}

/** An object of the store as this version of the API shows it, without kind and apiVersion. */
export function encoded(resource: Resource, object: Draft): JsonObject {
  if (resource.group !== 'events.k8s.io') return object;
  return roundTrip('io.k8s.api.events.v1.Event', fromCoreEvent(object), []);
}

function cannotHandle(resource: Resource, body: JsonObject, why: string): Error {
  const kind = typeof body['kind'] === 'string' && body['kind'] !== '' ? body['kind'] : resource.kind;
  return badRequest(`${kind} in version "${resource.version}" cannot be handled as a ${resource.kind}: ${why}`);
}

/** kind and apiVersion of a body; a built-in kind's may be absent. Throws 400 and 422. */
function checkType(resource: Resource, body: JsonObject): void {
  const right = groupVersionOf(resource);
  const version = String(body['apiVersion'] ?? '');
  const kind = String(body['kind'] ?? '');
  if (resource.custom !== undefined) {
    checkCustomType(resource, kind, version, body);
    return;
  }
  if ((version === '' || version === right) && (kind === '' || kind === resource.kind)) return;
  const shown = version === '' ? right : version;
  throw cannotHandle(
    resource,
    body,
    shown === right
      ? `converting (${right.split('/').at(-1)}.${kind}) to (${resource.group === '' ? 'core' : (resource.group.split('.')[0] ?? '')}.${resource.kind}): unknown conversion`
      : `no kind "${kind === '' ? resource.kind : kind}" is registered for version "${shown}" in scheme "pkg/runtime/scheme.go:111"`,
  );
}

function checkCustomType(resource: Resource, kind: string, version: string, body: JsonObject): void {
  const right = groupVersionOf(resource);
  if (version !== right)
    throw badRequest(`the API version in the data (${version}) does not match the expected API version (${right})`);
  if (kind === resource.kind) return;
  const name = isObject(body['metadata']) ? String(body['metadata']['name'] ?? '') : '';
  throw invalidObject(resource.group, kind, name, [invalid('kind', kind, `must be ${resource.kind}`)]);
}
