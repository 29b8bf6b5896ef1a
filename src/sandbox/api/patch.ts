import type { Decoder } from './decode.ts';
import { fromYaml, mediaType } from './decode.ts';
import { type Draft, isObject, type JsonObject } from './json.ts';
import { applyJsonPatch } from './json-patch.ts';
import { applyMergePatch } from './merge-patch.ts';
import { groupVersionOf, type Resource } from './resources.ts';
import { badRequest, failed, unsupportedMediaType } from './status.ts';
import { applyStrategicPatch } from './strategic.ts';

export const patchTypes = {
  json: 'application/json-patch+json',
  merge: 'application/merge-patch+json',
  strategic: 'application/strategic-merge-patch+json',
  apply: 'application/apply-patch+yaml',
} as const;

/** Kinds of definitions have no Go type to take merge keys from. */
const acceptedFor = (resource: Resource): readonly string[] =>
  Object.values(patchTypes).filter((type) => !(resource.custom && type === patchTypes.strategic));

/** What a PATCH that is not an apply makes of a live object. Throws 400, 415, 422. */
export function patcher(
  resource: Resource,
  { contentType, body }: { readonly contentType: string | undefined; readonly body: string | undefined },
  decode: Decoder,
): (live: Draft) => Draft {
  const type = mediaType(contentType);
  if (!acceptedFor(resource).includes(type)) throw unsupportedMediaType(acceptedFor(resource));
  const patch = parsePatch(body ?? '');
  return (live) => {
    const document = { kind: resource.kind, apiVersion: groupVersionOf(resource), ...live };
    const patched = patchedBy(type, document, patch, resource);
    if (!isObject(patched)) throw badRequest('the patch does not leave an object');
    return decode(resource, patched);
  };
}

function patchedBy(type: string, document: JsonObject, patch: unknown, resource: Resource): unknown {
  try {
    switch (type) {
      case patchTypes.json:
        if (!Array.isArray(patch))
          throw badRequest('json: cannot unmarshal object into Go value of type jsonpatch.Patch');
        return applyJsonPatch(document, patch);
      case patchTypes.merge:
        return applyMergePatch(document, patch);
      default:
        return applyStrategicPatch(document, patch, resource.kind);
    }
  } catch (error) {
    throw isPatchError(error)
      ? failed(
          error.status,
          error.status === 422 ? 'Invalid' : 'BadRequest',
          error.message,
          error.status === 422 ? {} : undefined,
        )
      : error;
  }
}

function parsePatch(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw badRequest(`error decoding patch: ${(error as Error).message}`);
  }
}

/** The configuration of a server-side apply. Throws 400. */
export function parseApply(resource: Resource, text: string | undefined): JsonObject {
  const value = fromYaml(resource.kind, text ?? '');
  if (!isObject(value)) throw badRequest(`error decoding YAML: an apply configuration must be one ${resource.kind}`);
  return value;
}

const isPatchError = (error: unknown): error is Error & { readonly status: 400 | 422 | 500 } =>
  error instanceof Error && error.name === 'PatchError' && 'status' in error;
