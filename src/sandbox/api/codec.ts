import goTypes from './go-types.json' with { type: 'json' };
import { isObject, type JsonObject } from './json.ts';
import { resolved, type Schema, schemaNamed } from './kinds.ts';

/** What a body holds that its kind does not know: 'spec.ports[0].foo'. */
export type Unknown = string[];

/** A body that cannot be read as its kind, in the words of Go's JSON decoder. */
export class DecodeError extends Error {
  override readonly name = 'DecodeError';
}

/**
 * A value as it comes back from a kube-apiserver: read into the Go type of a built-in kind and written again. Unknown
 * fields go (and are named in `unknown`), nulls and zero values go where the type omits them, times and quantities get
 * their one form. Always a copy. Throws DecodeError.
 */
export function roundTrip(schemaName: string, value: JsonObject, unknown: Unknown): JsonObject {
  return structOf(schemaName)(value, { path: [], strict: [], unknown, go: '' }) as JsonObject;
}

/** Name of a schema that `properties` refers to, undefined for inline ones. */
export function refOf(schema: Schema): string | undefined {
  const ref = schema.$ref ?? (schema.allOf?.length === 1 ? schema.allOf[0]?.$ref : undefined);
  return ref?.slice(ref.lastIndexOf('/') + 1);
}

/** How Go's JSON shows a field, and its number in protobuf (0: none). */
export interface GoField {
  readonly number: number;
  readonly omitEmpty: boolean;
  readonly omitZero: boolean;
  readonly pointer: boolean;
}

type GoType = Readonly<Record<string, string>>;

/** Own fields of a Go type, and the structs whose fields JSON shows as its own ('+NAME'). */
export function goTypeOf(schemaName: string): GoType | undefined {
  const types = goTypes as unknown as Readonly<Record<string, GoType>>;
  return Object.hasOwn(types, schemaName) ? types[schemaName] : undefined;
}

export function goFieldOf(text: string): GoField {
  return {
    number: Number.parseInt(text, 10) || 0,
    omitEmpty: text.includes('o'),
    omitZero: text.includes('z'),
    pointer: text.includes('p'),
  };
}

interface Where {
  /** For the decoder's errors: without indexes. */
  readonly path: string[];
  /** For strict errors: with indexes. */
  readonly strict: string[];
  readonly unknown: Unknown;
  /** Go type that holds the field, such as ServicePort. */
  go: string;
}

/** Undefined: the field is left out. */
type Reader = (value: unknown, where: Where) => unknown;

const structs = new Map<string, Reader>();

function structOf(name: string): Reader {
  const known = structs.get(name);
  if (known !== undefined) return known;
  // Kinds refer to themselves (JSONSchemaProps): the entry exists before its fields are read.
  let fields: ReadonlyMap<string, Reader> | undefined;
  const reader: Reader = (value, where) => {
    fields ??= fieldsOf(name);
    return readStruct(name, fields, value, where);
  };
  structs.set(name, reader);
  return reader;
}

function readStruct(name: string, fields: ReadonlyMap<string, Reader>, value: unknown, where: Where): unknown {
  if (value !== undefined && value !== null && !isObject(value)) throw mismatch(value, goName(name), where);
  const source = (value ?? {}) as JsonObject;
  const outer = where.go;
  where.go = name.slice(name.lastIndexOf('.') + 1);
  const given = new Map<string, unknown>();
  // In the order of the body, which is the order of the errors.
  for (const member in source) {
    const read = fields.get(member);
    if (read === undefined) where.unknown.push([...where.strict, member].join('.'));
    else given.set(member, readMember(member, read, source[member], where));
  }
  const result: JsonObject = {};
  for (const [member, read] of fields) {
    const kept = given.has(member) ? given.get(member) : readMember(member, read, undefined, where);
    if (kept !== undefined) result[member] = kept;
  }
  where.go = outer;
  return result;
}

function readMember(member: string, read: Reader, value: unknown, where: Where): unknown {
  const { go } = where;
  where.path.push(member);
  where.strict.push(member);
  const kept = read(value, where);
  where.path.pop();
  where.strict.pop();
  where.go = go;
  return kept;
}

/** Readers in the order of the Go type, which is the order of kube-apiserver's JSON. */
function fieldsOf(name: string): ReadonlyMap<string, Reader> {
  const schema = schemaNamed(name);
  if (schema === undefined) throw new Error(`openapi.json has no schema ${name}`);
  const readers = new Map<string, Reader>();
  for (const [member, flags] of flattened(name)) {
    const property = schema.properties?.[member];
    if (property !== undefined) readers.set(member, fieldReader(property, goFieldOf(flags)));
  }
  return readers;
}

function flattened(name: string): readonly (readonly [string, string])[] {
  return Object.entries(goTypeOf(name) ?? {}).flatMap(([member, flags]) =>
    member.startsWith('+') ? flattened(member.slice(1)) : [[member, flags] as const],
  );
}

function fieldReader(schema: Schema, field: GoField): Reader {
  const ref = refOf(schema);
  const special = ref === undefined ? undefined : specials[ref];
  if (special !== undefined) return special(field);
  if (ref !== undefined && schemaNamed(ref)?.properties !== undefined && goTypeOf(ref) !== undefined)
    return structReader(ref, field);
  const { type, format, items, additionalProperties } = resolved(schema);
  switch (type) {
    case 'string':
      return format === 'byte'
        ? bytesReader(field)
        : scalarReader('string', field, (value) => typeof value === 'string', '');
    case 'boolean':
      return scalarReader('bool', field, (value) => typeof value === 'boolean', false);
    case 'integer':
      return integerReader(format === 'int32' ? 'int32' : 'int64', field);
    case 'number':
      return scalarReader('float64', field, (value) => typeof value === 'number', 0);
    case 'array':
      return listReader(items ?? {}, field);
    case 'object':
      return additionalProperties === undefined || typeof additionalProperties === 'boolean'
        ? anything
        : mapReader(additionalProperties, field);
    default:
      return anything;
  }
}

/** JSON that the Go type keeps as it is. */
const anything: Reader = (value) => (value === null ? undefined : value);

/** A struct that is no pointer is always there. */
function structReader(name: string, { pointer }: GoField): Reader {
  const read = structOf(name);
  return (value, where) => (pointer && (value === undefined || value === null) ? undefined : read(value, where));
}

function scalarReader(
  go: string,
  { pointer, omitEmpty }: GoField,
  fits: (value: unknown) => boolean,
  zero: unknown,
): Reader {
  return (value, where) => {
    if (value !== undefined && value !== null && !fits(value)) throw mismatch(value, go, where);
    const given = value ?? undefined;
    if (pointer) return given;
    return (given ?? zero) === zero && omitEmpty ? undefined : (given ?? zero);
  };
}

/** An int64 beyond 2^53 is a bigint, so that it stays exact. */
function integerReader(go: 'int32' | 'int64', field: GoField): Reader {
  const most = go === 'int32' ? 2n ** 31n : 2n ** 63n;
  const read = scalarReader(go, field, (value) => typeof value === 'number' || typeof value === 'bigint', 0);
  return (value, where) => {
    if (typeof value === 'number' && !Number.isInteger(value)) throw mismatch(value, go, where, String(value));
    const whole = typeof value === 'number' || typeof value === 'bigint' ? BigInt(value) : 0n;
    if (whole >= most || whole < -most) throw mismatch(value, go, where, String(value));
    return read(value, where);
  };
}

function listReader(items: Schema, { omitEmpty, omitZero }: GoField): Reader {
  const read = fieldReader(items, { number: 0, omitEmpty: false, omitZero: false, pointer: false });
  return (value, where) => {
    if (value === undefined || value === null) return omitEmpty || omitZero ? undefined : null;
    if (!Array.isArray(value)) throw mismatch(value, `[]${goName(refOf(items) ?? scalarName(items))}`, where);
    if (value.length === 0 && omitEmpty) return undefined;
    return value.map((item, index) => {
      const last = where.strict.length - 1;
      const held = where.strict[last] as string;
      where.strict[last] = `${held}[${index}]`;
      const kept = read(item, where);
      where.strict[last] = held;
      return kept;
    });
  };
}

function mapReader(values: Schema, { omitEmpty }: GoField): Reader {
  const read = fieldReader(values, { number: 0, omitEmpty: false, omitZero: false, pointer: false });
  return (value, where) => {
    if (value === undefined || value === null) return omitEmpty ? undefined : null;
    if (!isObject(value)) throw mismatch(value, `map[string]${goName(refOf(values) ?? scalarName(values))}`, where);
    const keys = Object.keys(value);
    if (keys.length === 0 && omitEmpty) return undefined;
    const result: JsonObject = {};
    for (const key of keys.sort()) {
      where.strict.push(key);
      result[key] = read(value[key], where);
      where.strict.pop();
    }
    return result;
  };
}

function bytesReader(field: GoField): Reader {
  const read = scalarReader('[]uint8', field, (value) => typeof value === 'string', '');
  return (value, where) => {
    if (typeof value === 'string') {
      const wrong = value.replace(/[\r\n]/g, '').search(/[^A-Za-z0-9+/=]/);
      if (wrong >= 0 || value.length % 4 !== 0)
        throw new DecodeError(
          `illegal base64 data at input byte ${wrong >= 0 ? wrong : value.length - (value.length % 4)}`,
        );
    }
    return read(value, where);
  };
}

/** Types with a JSON form of their own. */
const specials: Readonly<Record<string, (field: GoField) => Reader>> = {
  'io.k8s.apimachinery.pkg.apis.meta.v1.Time': timeReader(seconds),
  'io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime': timeReader(micros),
  'io.k8s.apimachinery.pkg.api.resource.Quantity': () => quantity,
  'io.k8s.apimachinery.pkg.util.intstr.IntOrString': intOrString,
};

function timeReader(read: (text: string) => string): (field: GoField) => Reader {
  return ({ pointer, omitZero }) =>
    (value, where) => {
      if (value === undefined || value === null || value === '') return pointer || omitZero ? undefined : null;
      if (typeof value !== 'string') throw mismatch(value, 'string', where);
      return read(value);
    };
}

const timeLayout = /^(\d{4}-\d{2}-\d{2})T(\d{2}:\d{2}:\d{2})([.,]\d+)?(Z|[+-]\d{2}:\d{2})$/;

const plainTime = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z$/;

function seconds(text: string): string {
  // What we wrote ourselves, which is nearly all that is read.
  if (plainTime.test(text) && !Number.isNaN(Date.parse(text))) return text;
  return `${instant(text, '2006-01-02T15:04:05Z07:00').slice(0, 19)}Z`;
}
/** Exactly six fractional digits, or the API refuses (metav1.MicroTime). */
function micros(text: string): string {
  const layout = '2006-01-02T15:04:05.000000Z07:00';
  const utc = instant(text, layout);
  const fraction = timeLayout.exec(text)?.[3] ?? '';
  if (fraction.length === 7) return `${utc.slice(0, 19)}.${fraction.slice(1)}Z`;
  throw new DecodeError(`parsing time "${text}" as "${layout}": cannot parse "${text.slice(19)}" as ".000000"`);
}
function instant(text: string, layout: string): string {
  const ms = timeLayout.test(text) ? Date.parse(text) : Number.NaN;
  if (!Number.isNaN(ms)) return new Date(ms).toISOString();
  throw new DecodeError(`parsing time "${text}" as "${layout}": cannot parse "${text}" as "2006"`);
}

function intOrString({ pointer }: GoField): Reader {
  return (value, where) => {
    if (value === undefined || value === null) return pointer ? undefined : 0;
    if (typeof value === 'string' || Number.isInteger(value)) return value;
    throw mismatch(value, 'int32', where);
  };
}

const quantityPattern = /^([+-]?\d*\.?\d*)(Ki|Mi|Gi|Ti|Pi|Ei|[numkMGTPE]|[eE][+-]?\d+)?$/;
const binary = ['', 'Ki', 'Mi', 'Gi', 'Ti', 'Pi', 'Ei'];
const decimal = ['n', 'u', 'm', '', 'k', 'M', 'G', 'T', 'P', 'E'];

/** A quantity in the form in which the API returns it: the largest suffix that leaves a whole number. */
const quantity: Reader = (value, where) => {
  if (value === undefined || value === null) return undefined;
  if (typeof value !== 'string' && typeof value !== 'number') throw mismatch(value, 'string', where);
  return canonicalQuantity(String(value));
};

export function canonicalQuantity(text: string): string {
  const found = quantityPattern.exec(text.trim());
  const [, digits = '', suffix = ''] = found ?? [];
  if (found === null || !/\d/.test(digits))
    throw new DecodeError(
      "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
    );
  const exponent = /^[eE][+-]?\d/.test(suffix) ? Number(suffix.slice(1)) : undefined;
  const isBinary = suffix.endsWith('i');
  // In units of 10^-9, the finest that a quantity holds.
  const nano = scaled(
    digits,
    isBinary ? 1024n ** BigInt(binary.indexOf(suffix)) : 1n,
    exponent ?? (isBinary ? 0 : (decimal.indexOf(suffix) - 3) * 3),
  );
  if (nano === 0n) return '0';
  if (isBinary && nano % 1_000_000_000n === 0n) return shrink(nano / 1_000_000_000n, 1024n, binary);
  const short = shrink(nano, 1000n, decimal);
  return exponent === undefined ? short : exponential(nano);
}

function scaled(digits: string, factor: bigint, powerOfTen: number): bigint {
  const [whole = '', fraction = ''] = digits.replace('+', '').split('.');
  const unscaled =
    BigInt(`${whole}${fraction}` === '' || whole === '-' ? `${whole}0${fraction}` : `${whole}${fraction}`) * factor;
  const power = powerOfTen - fraction.length + 9;
  if (power >= 0) return unscaled * 10n ** BigInt(power);
  const divisor = 10n ** BigInt(-power);
  // What is finer than a nano is rounded up, away from zero.
  const rest = unscaled % divisor === 0n ? 0n : unscaled > 0n ? 1n : -1n;
  return unscaled / divisor + rest;
}

function shrink(value: bigint, step: bigint, suffixes: readonly string[]): string {
  let left = value;
  let index = 0;
  while (left % step === 0n && index < suffixes.length - 1) {
    left /= step;
    index += 1;
  }
  return `${left}${suffixes[index]}`;
}

function exponential(nano: bigint): string {
  let left = nano;
  let power = -9;
  while (left % 1000n === 0n) {
    left /= 1000n;
    power += 3;
  }
  return power === 0 ? String(left) : `${left}e${power}`;
}

function mismatch(value: unknown, go: string, where: Where, shown?: string): DecodeError {
  const kind = Array.isArray(value)
    ? 'array'
    : value !== null && typeof value === 'object'
      ? 'object'
      : typeof value === 'boolean'
        ? 'bool'
        : typeof value;
  const found = shown === undefined ? kind : `${kind} ${shown}`;
  if (where.path.length === 0) return new DecodeError(`json: cannot unmarshal ${found} into Go value of type ${go}`);
  return new DecodeError(
    `json: cannot unmarshal ${found} into Go struct field ${where.go}.${where.path.join('.')} of type ${go}`,
  );
}

function goName(schemaName: string): string {
  if (!schemaName.includes('.')) return schemaName;
  const parts = schemaName.split('.');
  return `${parts.at(-2)}.${parts.at(-1)}`;
}

function scalarName({ type, format }: Schema): string {
  if (type === 'boolean') return 'bool';
  if (type === 'integer') return format ?? 'int64';
  return type ?? 'interface {}';
}
