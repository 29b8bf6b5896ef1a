/**
 * Schema facts of the built-in kinds, as a kube-apiserver publishes them (openapi.json, written by deploy/openapi.ts).
 * Merge keys, list types and the OpenAPI documents are all read from here, so that they cannot disagree.
 */
import facts from './openapi.json' with { type: 'json' };

/** An OpenAPI v3 schema with Kubernetes' extensions, of a built-in kind or of a CRD. */
export interface Schema {
  readonly $ref?: string;
  readonly type?: string;
  readonly format?: string;
  readonly description?: string;
  readonly title?: string;
  readonly default?: unknown;
  readonly enum?: readonly unknown[];
  readonly nullable?: boolean;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly additionalProperties?: boolean | Schema;
  readonly items?: Schema;
  readonly required?: readonly string[];
  readonly allOf?: readonly Schema[];
  readonly anyOf?: readonly Schema[];
  readonly oneOf?: readonly Schema[];
  readonly not?: Schema;
  readonly pattern?: string;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly exclusiveMinimum?: boolean;
  readonly exclusiveMaximum?: boolean;
  readonly multipleOf?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly uniqueItems?: boolean;
  readonly minProperties?: number;
  readonly maxProperties?: number;
  readonly 'x-kubernetes-int-or-string'?: boolean;
  readonly 'x-kubernetes-preserve-unknown-fields'?: boolean;
  readonly 'x-kubernetes-embedded-resource'?: boolean;
  readonly 'x-kubernetes-list-type'?: 'atomic' | 'set' | 'map';
  readonly 'x-kubernetes-list-map-keys'?: readonly string[];
  readonly 'x-kubernetes-map-type'?: 'atomic' | 'granular';
  /** Comma-separated: merge, replace, retainKeys. */
  readonly 'x-kubernetes-patch-strategy'?: string;
  readonly 'x-kubernetes-patch-merge-key'?: string;
  readonly 'x-kubernetes-validations'?: readonly ValidationRule[];
  readonly 'x-kubernetes-group-version-kind'?: readonly { group: string; version: string; kind: string }[];
}

/** One entry of x-kubernetes-validations. */
export interface ValidationRule {
  readonly rule: string;
  readonly message?: string;
  readonly messageExpression?: string;
  readonly reason?: 'FieldValueInvalid' | 'FieldValueForbidden' | 'FieldValueRequired' | 'FieldValueDuplicate';
  /** Below the field that carries the rule, as '.spec.x'. */
  readonly fieldPath?: string;
  readonly optionalOldSelf?: boolean;
}

const { kinds, schemas } = facts as unknown as {
  readonly kinds: Readonly<Record<string, string>>;
  readonly schemas: Readonly<Record<string, Schema>>;
};
const refPrefix = '#/components/schemas/';

/** Name in components.schemas of a built-in kind, undefined of any other. `groupVersion` is 'v1' or 'apps/v1'. */
export function schemaNameOf(groupVersion: string, kind: string): string | undefined {
  const id = `${groupVersion}/${kind}`;
  return Object.hasOwn(kinds, id) ? kinds[id] : undefined;
}

/** The schema of a built-in kind, undefined of any other. Without a group, core wins where two groups share a name. */
export function schemaOfKind(kind: string, group?: string): Schema | undefined {
  const core = schemaNameOf('v1', kind);
  if (core !== undefined && (group ?? '') === '') return schemas[core];
  const named = Object.keys(kinds).filter((id) => id.endsWith(`/${kind}`));
  const id = named.find((candidate) => group === undefined || candidate.startsWith(`${group}/`));
  const name = id === undefined ? undefined : kinds[id];
  return name === undefined ? undefined : schemas[name];
}

/** A built-in schema by its name in components.schemas. */
export function schemaNamed(name: string): Schema | undefined {
  return Object.hasOwn(schemas, name) ? schemas[name] : undefined;
}

/** Names of the built-in schemas that a schema refers to, not those that they refer to in turn. */
export function refsOf(schema: unknown): readonly string[] {
  if (Array.isArray(schema)) return schema.flatMap(refsOf);
  if (typeof schema !== 'object' || schema === null) return [];
  return Object.entries(schema).flatMap(([key, value]) =>
    key === '$ref' && typeof value === 'string' ? [value.slice(refPrefix.length)] : refsOf(value),
  );
}

/** The schema with its reference followed: `{$ref}` or, where a property adds facts of its own, `{allOf: [{$ref}], ...}`. */
export function resolved(schema: Schema): Schema {
  const known = followed.get(schema);
  if (known !== undefined) return known;
  const target = followReference(schema);
  followed.set(schema, target);
  return target;
}

const followed = new WeakMap<Schema, Schema>(); // schema -> with its reference followed

function followReference(schema: Schema): Schema {
  const ref = schema.$ref ?? (schema.allOf?.length === 1 ? schema.allOf[0]?.$ref : undefined);
  if (ref === undefined) return schema;
  const target = schemas[ref.slice(refPrefix.length)];
  if (target === undefined) throw new Error(`openapi.json has no schema ${ref}`);
  const { $ref: _ref, allOf: _allOf, ...own } = schema;
  return { ...target, ...own };
}
