import { isObject } from './json.ts';

/**
 * The document after a JSON merge patch (RFC 7386): null removes a member, an object merges, anything else replaces.
 * As in kube-apiserver, null members go from the objects inside a new list too; a list's own nulls stay. Neither
 * argument is written to; the result shares their unchanged parts.
 */
export function applyMergePatch(document: unknown, patch: unknown): unknown {
  if (Array.isArray(patch)) return patch.map((item) => (item === null ? null : applyMergePatch(undefined, item)));
  if (!isObject(patch)) return patch;
  const merged = new Map(isObject(document) ? Object.entries(document) : []);
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) merged.delete(key);
    else merged.set(key, applyMergePatch(merged.get(key), value));
  }
  return Object.fromEntries(merged);
}
