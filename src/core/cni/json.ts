import { CniFailure, cniCodes } from './failure.ts';

/** Readers of JSON that others wrote: the failure (code 6) names the field, and absence is undefined (null counts as absent). */
export type Members = Readonly<Record<string, unknown>>;

export function members(value: unknown, field: string): Members {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw wrong(field, 'an object', value);
  return value as Members;
}

export function optionalMembers(of: Members, name: string, field: string): Members | undefined {
  const value = of[name] ?? undefined;
  return value === undefined ? undefined : members(value, `${field}${name}`);
}

export function text(of: Members, name: string, field: string): string | undefined {
  const value = of[name] ?? undefined;
  if (value !== undefined && typeof value !== 'string') throw wrong(`${field}${name}`, 'a string', value);
  return value;
}

/** A whole number of 0 or more. */
export function count(of: Members, name: string, field: string): number | undefined {
  const value = of[name] ?? undefined;
  if (value === undefined) return undefined;
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0)
    throw wrong(`${field}${name}`, 'a whole number of 0 or more', value);
  return value;
}

export function list(of: Members, name: string, field: string): readonly unknown[] {
  const value = of[name] ?? [];
  if (!Array.isArray(value)) throw wrong(`${field}${name}`, 'a list', value);
  return value;
}

export function texts(of: Members, name: string, field: string): readonly string[] {
  return list(of, name, field).map((value, at) => {
    if (typeof value !== 'string') throw wrong(`${field}${name}[${at}]`, 'a string', value);
    return value;
  });
}

export const wrong = (field: string, what: string, value: unknown): CniFailure =>
  new CniFailure(cniCodes.decoding, `${field}: ${quote(value)} is not ${what}`);

const quote = (value: unknown): string => {
  const json = JSON.stringify(value) ?? String(value);
  return json.length > 100 ? `${json.slice(0, 100)}...` : json;
};
