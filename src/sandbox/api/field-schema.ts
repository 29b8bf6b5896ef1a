/** How server-side apply sees a kind: which lists and maps are owned as a whole, and by what their parts are found. */
import { same } from './json.ts';
import { resolved, type Schema, schemaNamed, schemaOfKind } from './kinds.ts';

/** A value may be any of the forms that are given. Children are made when they are asked for: kinds contain themselves. */
export interface FieldSchema {
  readonly scalar: boolean;
  readonly list?: ListSchema;
  readonly map?: MapSchema;
  /**
   * What a field of a built-in kind that Go's type always has counts as where it is absent, and so is nobody's
   * addition: an empty struct, null for a list, the zero of a required scalar. Undefined: it can be absent.
   */
  readonly implied?: unknown;
  /** What an element's key counts as where it is absent. */
  readonly default?: unknown;
}

export interface ListSchema {
  readonly type: 'atomic' | 'set' | 'map';
  /** Of type map only. */
  readonly keys: readonly string[];
  item(): FieldSchema;
}

export interface MapSchema {
  readonly atomic: boolean;
  /** Of a declared field; undefined for a key of a map. */
  field(name: string): FieldSchema | undefined;
  readonly fields: readonly string[];
  /** Of every key that is not declared; undefined: there may be none. */
  element(): FieldSchema | undefined;
}

/**
 * Of a built-in kind (`group` only where two share a name), or of a CRD's version by its openAPIV3Schema. Throws for a
 * kind that is neither.
 */
export function fieldSchemaOf(
  source: { readonly kind: string; readonly group?: string } | { readonly crd: object },
): FieldSchema {
  if ('crd' in source) return made(wholeObject(source.crd as Schema), false);
  const schema = schemaOfKind(source.kind, source.group);
  if (schema === undefined) throw new Error(`${source.kind} is not a built-in kind`);
  return made(schema, true);
}

const wholes = new WeakMap<Schema, Schema>(); // schema of a CRD -> with the metadata that every object has

function wholeObject(schema: Schema): Schema {
  const known = wholes.get(schema);
  if (known !== undefined) return known;
  const metadata = schemaNamed('io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta') as Schema;
  const text: Schema = { type: 'string' };
  const whole = { ...schema, properties: { ...schema.properties, apiVersion: text, kind: text, metadata } };
  wholes.set(schema, whole);
  return whole;
}

const cache = new WeakMap<Schema, FieldSchema>();

function made(schema: Schema, builtIn: boolean, required = false): FieldSchema {
  const known = cache.get(schema);
  if (known !== undefined) return known;
  const target = resolved(schema);
  const whole = target['x-kubernetes-embedded-resource'] === true ? wholeObject(target) : target;
  const implied = builtIn ? impliedBy(schema, target, required) : undefined;
  const fields: FieldSchema = {
    ...formsOf(whole, builtIn || target !== schema),
    ...(implied === undefined ? {} : { implied }),
    ...(schema.default === undefined ? {} : { default: schema.default }),
  };
  cache.set(schema, fields);
  return fields;
}

/** Fields of Go types that are published as required are written even when they are empty. */
function impliedBy(schema: Schema, target: Schema, required: boolean): unknown {
  if (same(schema.default, {})) return {};
  if (!required) return undefined;
  const zeros: Readonly<Record<string, unknown>> = { string: '', integer: 0, number: 0, boolean: false };
  return zeros[target.type ?? ''] ?? null;
}

function formsOf(schema: Schema, builtIn: boolean): Pick<FieldSchema, 'scalar' | 'list' | 'map'> {
  if (schema['x-kubernetes-int-or-string'] === true) return { scalar: true };
  switch (schema.type) {
    case 'object':
      return { scalar: false, map: mapOf(schema, builtIn) };
    case 'array':
      return { scalar: false, list: listOf(schema, builtIn) };
    case undefined:
      // Quantities and ports are published without a type, as a choice between scalars.
      return schema.oneOf !== undefined ? { scalar: true } : anything;
    default:
      return { scalar: true };
  }
}

function listOf(schema: Schema, builtIn: boolean): ListSchema {
  const { items } = schema;
  return { ...relationOf(schema), item: () => (items === undefined ? anything : made(items, builtIn)) };
}

/** A list that a strategic merge patch merges is merged here too, unless its type says otherwise. */
function relationOf(schema: Schema): Pick<ListSchema, 'type' | 'keys'> {
  const type = schema['x-kubernetes-list-type'];
  if (type === 'map') return { type, keys: schema['x-kubernetes-list-map-keys'] ?? [] };
  if (type !== undefined) return { type, keys: [] };
  if (!schema['x-kubernetes-patch-strategy']?.split(',').includes('merge')) return { type: 'atomic', keys: [] };
  const key = schema['x-kubernetes-patch-merge-key'];
  return key === undefined ? { type: 'set', keys: [] } : { type: 'map', keys: [key] };
}

function mapOf(schema: Schema, builtIn: boolean): MapSchema {
  const { properties = {}, additionalProperties, required = [] } = schema;
  const fields = Object.keys(properties);
  return {
    atomic: schema['x-kubernetes-map-type'] === 'atomic',
    fields,
    field: (name) => {
      const property = Object.hasOwn(properties, name) ? properties[name] : undefined;
      return property === undefined ? undefined : made(property, builtIn, required.includes(name));
    },
    element: () => {
      if (typeof additionalProperties === 'object') return made(additionalProperties, builtIn);
      const open = schema['x-kubernetes-preserve-unknown-fields'] === true || additionalProperties === true;
      return open || (fields.length === 0 && additionalProperties === undefined) ? anything : undefined;
    },
  };
}

/** Nothing is known: maps are owned by key, lists as a whole. */
const anything: FieldSchema = {
  scalar: true,
  list: { type: 'atomic', keys: [], item: () => anything },
  map: { atomic: false, fields: [], field: () => undefined, element: () => anything },
};
