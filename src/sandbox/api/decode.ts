import { parse as parseYaml } from 'yaml';
import type { RulesOf } from './admit.ts';
import { type Draft, isObject, type JsonObject } from './json.ts';
import { groupVersionOf, type Resource } from './resources.ts';
import { badRequest, unsupportedMediaType } from './status.ts';

const accepted = ['application/json', 'application/yaml', 'application/vnd.kubernetes.protobuf'];

/** 'application/json; charset=utf-8' is 'application/json'. */
export const mediaType = (header: string | undefined): string =>
  (header ?? '').split(';')[0]?.trim().toLowerCase() ?? '';

/** A body that is one object. Throws 400 and 415. */
export function parseBody(kind: string, text: string | undefined, type: string): JsonObject {
  if (type !== '' && type !== 'application/json' && type !== 'application/yaml') throw unsupportedMediaType(accepted);
  const value = type === 'application/yaml' ? fromYaml(kind, text ?? '') : fromJson(kind, text ?? '');
  if (!isObject(value))
    throw unrecognised(
      kind,
      `json: cannot unmarshal ${Array.isArray(value) ? 'array' : typeof value} into Go value of type ${kind}`,
    );
  return value;
}

function fromJson(kind: string, text: string): unknown {
  try {
    return JSON.parse(text);
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

export interface Decoder {
  /** A body as an object of the resource: kind checked and taken off, defaults filled in. Throws 400. Keeps `body`. */
  (resource: Resource, body: JsonObject): Draft;
}

export function createDecoder(rulesOf: RulesOf): Decoder {
  return (resource, body) => {
    checkType(resource, body);
    const { kind: _kind, apiVersion: _version, ...rest } = body;
    const metadata = isObject(rest['metadata']) ? { ...rest['metadata'] } : {};
    const draft: Draft = { metadata, ...rest };
    draft.metadata = metadata;
    rulesOf(resource).defaults?.(draft);
    return draft;
  };
}

/** kind and apiVersion of a body: each may be absent, neither may be another's. Throws 400. */
function checkType(resource: Resource, { kind, apiVersion }: JsonObject): void {
  const right = groupVersionOf(resource);
  const version = apiVersion === undefined || apiVersion === '' ? right : String(apiVersion);
  const name = kind === undefined || kind === '' ? resource.kind : String(kind);
  if (version === right && name === resource.kind) return;
  const handled = `${name} in version "${right}" cannot be handled as a ${resource.kind}`;
  throw badRequest(
    version === right
      ? `${handled}: no kind "${name}" is registered for version "${version}"`
      : `${handled}: no kind "${name}" is registered for version "${version}" in scheme "pkg/runtime/scheme.go:111"`,
  );
}
