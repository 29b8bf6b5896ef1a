import { printJson } from './json.ts';
import { failed, type StatusError } from './status.ts';

type FieldErrorType =
  | 'invalid'
  | 'required'
  | 'unsupported'
  | 'forbidden'
  | 'duplicate'
  | 'tooLong'
  | 'tooMany'
  | 'notFound'
  | 'typeInvalid';

/** One problem of an object, as field.Error of apimachinery prints it. */
export interface FieldError {
  /** 'FieldValueInvalid'. */
  readonly reason: string;
  /** 'spec.ports[0].port'. */
  readonly field: string;
  /** Without the field: 'Invalid value: 0: must be between 1 and 65535, inclusive'. */
  readonly message: string;
}

const words: Record<FieldErrorType, readonly [reason: string, text: string]> = {
  invalid: ['FieldValueInvalid', 'Invalid value'],
  required: ['FieldValueRequired', 'Required value'],
  unsupported: ['FieldValueNotSupported', 'Unsupported value'],
  forbidden: ['FieldValueForbidden', 'Forbidden'],
  duplicate: ['FieldValueDuplicate', 'Duplicate value'],
  tooLong: ['FieldValueTooLong', 'Too long'],
  tooMany: ['FieldValueTooMany', 'Too many'],
  notFound: ['FieldValueNotFound', 'Not found'],
  typeInvalid: ['FieldValueTypeInvalid', 'Invalid value'],
};

export const invalid = (field: string, value: unknown, detail: string): FieldError =>
  entry('invalid', field, shown(value), detail);
export const required = (field: string, detail = ''): FieldError => entry('required', field, undefined, detail);
export const notAllowed = (field: string, detail: string): FieldError => entry('forbidden', field, undefined, detail);
export const duplicate = (field: string, value: unknown): FieldError => entry('duplicate', field, shown(value), '');
export const unsupported = (field: string, value: unknown, supported: readonly string[]): FieldError =>
  entry(
    'unsupported',
    field,
    shown(value),
    `supported values: ${supported.map((one) => JSON.stringify(one)).join(', ')}`,
  );
export const tooLong = (field: string, most: number): FieldError =>
  entry('tooLong', field, undefined, `may not be more than ${most} bytes`);
export const tooMany = (field: string, count: number, most: number): FieldError =>
  entry('tooMany', field, String(count), `must have at most ${most} items`);

/** 422 with one cause for each problem. */
export function invalidObject(group: string, kind: string, name: string, errors: readonly FieldError[]): StatusError {
  const texts = [...new Set(errors.map(({ field, message }) => `${field}: ${message}`))];
  const list = texts.length === 1 ? texts[0] : `[${texts.join(', ')}]`;
  return failed(422, 'Invalid', `${group === '' ? kind : `${kind}.${group}`} "${name}" is invalid: ${list}`, {
    ...(name === '' ? {} : { name }),
    ...(group === '' ? {} : { group }),
    ...(kind === '' ? {} : { kind }),
    causes: errors.map(({ reason, field, message }) => ({ reason, message, field })),
  });
}

function entry(type: FieldErrorType, field: string, value: string | undefined, detail: string): FieldError {
  const head = value === undefined ? words[type][1] : `${words[type][1]}: ${value}`;
  return { reason: words[type][0], field, message: detail === '' ? head : `${head}: ${detail}` };
}

const shown = (value: unknown): string => (value === undefined ? 'null' : printJson(value));
