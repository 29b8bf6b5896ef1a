/**
 * Kubernetes' protobuf of built-in kinds, read only: kubectl's typed commands (`create deployment`, `create service`)
 * send it. Field numbers come from the Go types (go-types.json), everything else from their schemas.
 */
import { type GoField, goFieldOf, goTypeOf, refOf } from './codec.ts';
import type { JsonObject } from './json.ts';
import { resolved, type Schema, schemaNamed, schemaNameOf } from './kinds.ts';

export const protobufType = 'application/vnd.kubernetes.protobuf';

const magic = Buffer.from('k8s\0');

/** The object as JSON, with kind and apiVersion. Throws an Error for bytes that are none, or of a kind that is not built in. */
export function readProtobuf(bytes: Buffer): JsonObject {
  if (!bytes.subarray(0, magic.length).equals(magic))
    throw new Error('the body does not begin as Kubernetes protobuf does');
  // runtime.Unknown: 1 is the type (1 apiVersion, 2 kind), 2 the object.
  const [type, raw] = [1, 2].map((number) => last(fieldsOf(bytes.subarray(magic.length)), number)?.bytes);
  const meta = type === undefined ? [] : fieldsOf(type);
  const apiVersion = last(meta, 1)?.bytes?.toString() ?? '';
  const kind = last(meta, 2)?.bytes?.toString() ?? '';
  const name = schemaNameOf(apiVersion, kind);
  if (name === undefined)
    throw new Error(`no kind ${JSON.stringify(kind)} is registered for version ${JSON.stringify(apiVersion)}`);
  return { kind, apiVersion, ...readMessage(name, schemaNamed(name) ?? {}, raw ?? Buffer.alloc(0)) };
}

/** One field as it is on the wire: a number (varint, fixed) or bytes. */
interface Field {
  readonly number: number;
  readonly value: bigint;
  readonly bytes: Buffer | undefined;
}

function fieldsOf(bytes: Buffer): readonly Field[] {
  const fields: Field[] = [];
  let at = 0;
  const varint = (): bigint => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = bytes[at];
      if (byte === undefined || shift > 63n) throw new Error('the protobuf ends within a number');
      at += 1;
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
  };
  const take = (length: number): Buffer => {
    if (at + length > bytes.length) throw new Error('the protobuf ends within a field');
    at += length;
    return bytes.subarray(at - length, at);
  };
  while (at < bytes.length) {
    const tag = varint();
    const number = Number(tag >> 3n);
    switch (Number(tag & 7n)) {
      case 0:
        fields.push({ number, value: BigInt.asIntN(64, varint()), bytes: undefined });
        break;
      case 1:
        fields.push({ number, value: 0n, bytes: take(8) });
        break;
      case 2:
        fields.push({ number, value: 0n, bytes: take(Number(varint())) });
        break;
      case 5:
        fields.push({ number, value: 0n, bytes: take(4) });
        break;
      default:
        throw new Error(`the protobuf has wire type ${tag & 7n}`);
    }
  }
  return fields;
}

const last = (fields: readonly Field[], number: number): Field | undefined =>
  fields.findLast((field) => field.number === number);

/** `name`: whose numbers count; `schema`: whose properties they are (of the outer type for inlined structs). */
function readMessage(name: string, schema: Schema, bytes: Buffer): JsonObject {
  const byNumber = Map.groupBy(fieldsOf(bytes), ({ number }) => number);
  const result: JsonObject = {};
  for (const [member, flags] of Object.entries(goTypeOf(name) ?? {})) {
    const field = goFieldOf(flags);
    const found = byNumber.get(field.number);
    if (found === undefined) continue;
    if (member.startsWith('+')) {
      for (const { bytes: inner } of found)
        Object.assign(result, readMessage(member.slice(1), schema, inner ?? Buffer.alloc(0)));
      continue;
    }
    const property = schema.properties?.[member];
    const value = property === undefined ? undefined : readField(property, found, field);
    if (value !== undefined) result[member] = value;
  }
  return result;
}

function readField(schema: Schema, found: readonly Field[], field: GoField): unknown {
  const { type, items, additionalProperties } = resolved(schema);
  if (type === 'array') return found.flatMap((one) => readItems(items ?? {}, one));
  if (type === 'object' && typeof additionalProperties === 'object') {
    return Object.fromEntries(found.map(({ bytes }) => readEntry(additionalProperties, bytes ?? Buffer.alloc(0))));
  }
  const value = readValue(schema, found.at(-1) as Field);
  // Go writes what JSON leaves out, too: zero values of members without a pointer.
  return !field.pointer && field.omitEmpty && (value === '' || value === 0 || value === false) ? undefined : value;
}

/** Numbers of a list may be packed into one field. */
function readItems(items: Schema, field: Field): readonly unknown[] {
  const { type } = resolved(items);
  if (field.bytes === undefined || (type !== 'integer' && type !== 'boolean')) return [readValue(items, field)];
  throw new Error('packed lists are not read');
}

function readEntry(values: Schema, bytes: Buffer): readonly [string, unknown] {
  const fields = fieldsOf(bytes);
  const value = last(fields, 2) ?? { number: 2, value: 0n, bytes: Buffer.alloc(0) };
  return [last(fields, 1)?.bytes?.toString() ?? '', readValue(values, value)];
}

function readValue(schema: Schema, field: Field): unknown {
  const bytes = field.bytes ?? Buffer.alloc(0);
  const ref = refOf(schema);
  const special = ref === undefined ? undefined : specials[ref.slice(ref.lastIndexOf('.') + 1)];
  if (special !== undefined) return special(bytes);
  if (ref !== undefined && goTypeOf(ref) !== undefined) return readMessage(ref, schemaNamed(ref) ?? {}, bytes);
  const { type, format } = resolved(schema);
  switch (type) {
    case 'string':
      return format === 'byte' ? bytes.toString('base64') : bytes.toString();
    case 'boolean':
      return field.value !== 0n;
    case 'integer':
      return Number(field.value);
    case 'number':
      return bytes.length === 8 ? bytes.readDoubleLE() : bytes.readFloatLE();
    default:
      return bytes.length === 0 ? undefined : JSON.parse(bytes.toString());
  }
}

const specials: Readonly<Record<string, (bytes: Buffer) => unknown>> = {
  Time: (bytes) => timeText(bytes, 0),
  MicroTime: (bytes) => timeText(bytes, 6),
  Quantity: (bytes) => last(fieldsOf(bytes), 1)?.bytes?.toString() ?? '0',
  IntOrString(bytes) {
    const fields = fieldsOf(bytes);
    const isText = (last(fields, 1)?.value ?? 0n) === 1n;
    return isText ? (last(fields, 3)?.bytes?.toString() ?? '') : Number(last(fields, 2)?.value ?? 0n);
  },
  FieldsV1: rawJson,
  RawExtension: rawJson,
  JSON: rawJson,
};

function rawJson(bytes: Buffer): unknown {
  const raw = last(fieldsOf(bytes), 1)?.bytes;
  return raw === undefined || raw.length === 0 ? undefined : JSON.parse(raw.toString());
}

/** Seconds and nanoseconds; absent and zero both mean no time. */
function timeText(bytes: Buffer, digits: number): string | undefined {
  const fields = fieldsOf(bytes);
  const seconds = Number(last(fields, 1)?.value ?? 0n);
  const nanos = Number(last(fields, 2)?.value ?? 0n);
  if (seconds === 0 && nanos === 0) return undefined;
  const whole = new Date(seconds * 1000).toISOString().slice(0, 19);
  return digits === 0 ? `${whole}Z` : `${whole}.${String(Math.floor(nanos / 1000)).padStart(6, '0')}Z`;
}
