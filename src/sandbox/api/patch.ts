import { fromYaml, mediaType } from './decode.ts';
import { documentOf } from './encode.ts';
import { invalid, invalidObject } from './invalid.ts';
import { type Draft, isObject, type JsonObject, parseJson, printJson } from './json.ts';
import { applyJsonPatch } from './json-patch.ts';
import { applyMergePatch } from './merge-patch.ts';
import type { Resource } from './resources.ts';
import { badRequest, failed, isStatusError, unsupportedMediaType } from './status.ts';
import { applyStrategicPatch } from './strategic.ts';

export const patchTypes = {
  json: 'application/json-patch+json',
  merge: 'application/merge-patch+json',
  strategic: 'application/strategic-merge-patch+json',
  apply: 'application/apply-patch+yaml',
} as const;

/** Kinds of definitions have no Go type to take merge keys from. */
const acceptedFor = (resource: Resource): readonly string[] =>
  Object.values(patchTypes).filter((type) => !(resource.custom !== undefined && type === patchTypes.strategic));

/** What a PATCH that is not an apply makes of a live object. Throws 400, 415, 422. */
export function patcher(
  resource: Resource,
  { contentType, body }: { readonly contentType: string | undefined; readonly body: string | undefined },
  decode: (body: JsonObject) => Draft,
): (live: Draft) => Draft {
  const type = mediaType(contentType);
  if (!(Object.values(patchTypes) as string[]).includes(type)) throw unknownType();
  if (!acceptedFor(resource).includes(type)) throw unsupportedMediaType(acceptedFor(resource));
  const patch = parsePatch(body ?? '', type);
  return (live) => {
    const document = documentOf(resource, live);
    const patched = patchedBy(type, document, patch, resource.kind);
    if (!isObject(patched)) throw badRequest('the patch does not leave an object');
    return unreadable(patched, () => decode(patched));
  };
}

/** A document that is not stored as it is (scale), after a patch. Throws 400, 415, 422. */
export function patchDocument(
  document: JsonObject,
  kind: string,
  { contentType, body }: { readonly contentType: string | undefined; readonly body: string | undefined },
): JsonObject {
  const type = mediaType(contentType);
  if (type === patchTypes.apply) return applyMergePatch(document, fromYaml(kind, body ?? '')) as JsonObject;
  if (!(Object.values(patchTypes) as string[]).includes(type)) throw unknownType();
  const patched = patchedBy(type, document, parsePatch(body ?? '', type), kind);
  if (!isObject(patched)) throw badRequest('the patch does not leave an object');
  return patched;
}

const unknownType = (): Error => failed(415, 'UnsupportedMediaType', '415: Unsupported Media Type', {});

/** What a patch left that is not its kind any more is the patch's fault: 422, as kube-apiserver has it. */
function unreadable(patched: JsonObject, decode: () => Draft): Draft {
  try {
    return decode();
  } catch (error) {
    if (!isStatusError(error) || error.code !== 400) throw error;
    const why = error.message.replace(/^.*? cannot be handled as a \w+: /, '');
    throw invalidObject('', '', '', [invalid('patch', printJson(patched), why)]);
  }
}

function patchedBy(type: string, document: JsonObject, patch: unknown, kind: string): unknown {
  try {
    switch (type) {
      case patchTypes.json:
        if (!Array.isArray(patch))
          throw badRequest(
            'error decoding patch: json: cannot unmarshal object into Go value of type []handlers.jsonPatchOp',
          );
        return applyJsonPatch(document, patch);
      case patchTypes.merge:
        return applyMergePatch(document, patch);
      default:
        return applyStrategicPatch(document, patch, kind);
    }
  } catch (error) {
    throw isPatchError(error) ? refused(error) : error;
  }
}

/** The server keeps to itself why a JSON patch did not fit (NewGenericServerResponse of apimachinery). */
function refused({ status, message }: PatchFailure): Error {
  if (status === 400) return badRequest(message);
  if (status === 500) return failed(500, '', message);
  return failed(422, 'Invalid', 'the server rejected our request due to an error in our request', {});
}

function parsePatch(text: string, type: string): unknown {
  const patch = parsed(text);
  if (type === patchTypes.json) return patch;
  if (patch === undefined) throw badRequest('invalid JSON patch');
  if (isObject(patch)) return patch;
  const kind = Array.isArray(patch) ? 'array' : typeof patch;
  throw badRequest(
    `error decoding patch: json: cannot unmarshal ${kind} into Go value of type map[string]interface {}`,
  );
}

function parsed(text: string): unknown {
  try {
    return parseJson(text);
  } catch {
    return undefined;
  }
}

/** The configuration of a server-side apply. Throws 400. */
export function parseApply(resource: Resource, text: string | undefined): JsonObject {
  const value = fromYaml(resource.kind, text ?? '');
  if (!isObject(value)) throw badRequest(`error decoding YAML: an apply configuration must be one ${resource.kind}`);
  return value;
}

type PatchFailure = Error & { readonly status: 400 | 422 | 500 };

const isPatchError = (error: unknown): error is PatchFailure =>
  error instanceof Error && error.name === 'PatchError' && 'status' in error;
