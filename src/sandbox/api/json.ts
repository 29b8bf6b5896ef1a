import { mayHoldBigInteger, parse, print } from '../../kube/json.ts';

/** A JSON object whose members are not known. */
export interface JsonObject {
  [member: string]: unknown;
}

/** `metadata` of an object while a write builds it: JSON as the API server's clients send it, nothing trusted. */
export interface Meta extends JsonObject {
  name?: string;
  generateName?: string;
  namespace?: string;
  uid?: string;
  resourceVersion?: string;
  generation?: number;
  creationTimestamp?: string;
  deletionTimestamp?: string;
  deletionGracePeriodSeconds?: number;
  labels?: Record<string, string>;
  annotations?: Record<string, string>;
  finalizers?: string[];
  ownerReferences?: OwnerRef[];
  managedFields?: readonly unknown[];
}

export interface OwnerRef {
  apiVersion: string;
  kind: string;
  name: string;
  uid: string;
  controller?: boolean;
  blockOwnerDeletion?: boolean;
}

/**
 * An object of the API without `kind` and `apiVersion`, which the resource knows. Once stored it is shared and never
 * written to again; a write works on a copy.
 */
export interface Draft extends JsonObject {
  metadata: Meta;
}

export const isObject = (value: unknown): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** A deep copy that can be written to. */
export function clone<T>(value: T): T {
  if (Array.isArray(value)) return value.map(clone) as T;
  if (!isObject(value)) return value;
  const copy: JsonObject = {};
  for (const key in value) copy[key] = clone(value[key]);
  return copy as T;
}

/** Deep equality of JSON values; the order of members does not matter, and an absent member equals an undefined one. */
export function same(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (Array.isArray(a))
    return Array.isArray(b) && a.length === b.length && a.every((item, index) => same(item, b[index]));
  if (!isObject(a) || !isObject(b)) return false;
  for (const key in a) if (!same(a[key], b[key])) return false;
  for (const key in b) if (b[key] !== undefined && a[key] === undefined) return false;
  return true;
}

/** `JSON.parse` with exact integers: int64 does not fit a double. Throws SyntaxError. */
export const parseJson = (text: string): unknown => (mayHoldBigInteger(text) ? parse(text) : JSON.parse(text));

/** `JSON.stringify` of what `parseJson` gave. */
export function printJson(value: unknown): string {
  try {
    return JSON.stringify(value);
  } catch (error) {
    // A bigint is the one thing here that JSON.stringify refuses; looking for one beforehand costs as much again.
    if (error instanceof TypeError) return print(value);
    throw error;
  }
}

/** The value at a path of members, undefined when any step is absent. */
export function at(value: unknown, ...path: readonly string[]): unknown {
  let here = value;
  for (const step of path) here = isObject(here) ? here[step] : undefined;
  return here;
}

/** RFC 3339 in UTC with the precision of a second: metav1.Time. */
export const rfc3339 = (ms: number): string =>
  new Date(Math.floor(ms / 1000) * 1000).toISOString().replace('.000Z', 'Z');
