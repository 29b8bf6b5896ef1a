/** Whether a CRD's schema is structural and all of it can be enforced; what cannot is refused when the CRD is made. */
import { compileRules, isFault } from './cel.ts';
import { same } from './json.ts';
import type { Schema, ValidationRule } from './kinds.ts';
import { patternOf } from './pattern.ts';
import { applyDefaults, pruneInside } from './schema.ts';
import { type Problem, type Reason, shown, valueProblems } from './validate.ts';

/**
 * What is wrong with an openAPIV3Schema, in kube-apiserver's words but for CEL's compiler. `path` is where it stands:
 * 'spec.validation.openAPIV3Schema'. Also refused is what the sandbox cannot enforce: patterns that JavaScript does not
 * have, functions of CEL that are not there.
 */
export function schemaFaults(openAPIV3Schema: object, path: string): readonly Problem[] {
  const schema = openAPIV3Schema as Schema;
  const type: readonly Problem[] =
    schema.type === undefined
      ? [required(`${path}.type`, 'must not be empty at the root')]
      : schema.type === 'object'
        ? []
        : [invalid(`${path}.type`, schema.type, 'must be object at the root')];
  return [...type, ...faultsOf(schema, path, { root: true, lost: undefined })];
}

interface Where {
  readonly root: boolean;
  /** Where values stop having an old value: below it oldSelf means nothing. */
  readonly lost: string | undefined;
}

function faultsOf(schema: Schema, path: string, where: Where): readonly Problem[] {
  return [
    ...formFaults(schema, path),
    ...listFaults(schema, path),
    ...valueFaults(schema, path),
    ...defaultFaults(schema, path),
    ...ruleFaults(schema, path, where),
    ...partFaults(schema, path, where),
  ];
}

/** Where a part must say its type, and every part that does not belong to what it is. */
function formFaults(schema: Schema, path: string): readonly Problem[] {
  const { type, items, properties, additionalProperties } = schema;
  const faults: Problem[] = [];
  const own = (key: keyof Schema) => schema[key] !== undefined;
  if (type === 'array' && items === undefined) faults.push(required(`${path}.items`, 'must be specified'));
  if (properties !== undefined && additionalProperties !== undefined && additionalProperties !== false) {
    faults.push(forbidden(`${path}.additionalProperties`, 'additionalProperties and properties are mutual exclusive'));
  }
  if (schema.uniqueItems === true) {
    const why = 'uniqueItems cannot be set to true since the runtime complexity becomes quadratic';
    faults.push(forbidden(`${path}.uniqueItems`, why));
  }
  if (own('x-kubernetes-list-type') && type !== 'array') {
    faults.push(invalid(`${path}.type`, type, 'must be array if x-kubernetes-list-type is specified'));
  }
  if (own('x-kubernetes-map-type') && type !== 'object') {
    faults.push(invalid(`${path}.type`, type, 'must be object if x-kubernetes-map-type is specified'));
  }
  if (schema['x-kubernetes-embedded-resource'] === true) {
    if (type !== 'object') {
      faults.push(invalid(`${path}.type`, type, 'must be object if x-kubernetes-embedded-resource is true'));
    }
    if (properties === undefined && schema['x-kubernetes-preserve-unknown-fields'] !== true) {
      const why =
        'must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields';
      faults.push(required(`${path}.properties`, why));
    }
  }
  return faults;
}

function listFaults(schema: Schema, path: string): readonly Problem[] {
  const { items } = schema;
  const keys = schema['x-kubernetes-list-map-keys'] ?? [];
  if (schema.type !== 'array' || items === undefined) return [];
  switch (schema['x-kubernetes-list-type']) {
    case 'set':
      return items.type === 'object' && items['x-kubernetes-map-type'] !== 'atomic'
        ? [
            invalid(
              `${path}.items.x-kubernetes-map-type`,
              items['x-kubernetes-map-type'] ?? null,
              'must be atomic as item of a list with x-kubernetes-list-type=set',
            ),
          ]
        : [];
    case 'map': {
      const at = `${path}.x-kubernetes-list-map-keys`;
      if (keys.length === 0) return [required(at, 'must not be empty if x-kubernetes-list-type is map')];
      if (items.type !== 'object') {
        const why = "must be object if parent array's x-kubernetes-list-type is map";
        return [invalid(`${path}.items.type`, items.type, why)];
      }
      if (keys.some((key) => items.properties?.[key] === undefined)) {
        return [invalid(at, keys, 'entries must all be names of item properties')];
      }
      const why = 'this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property';
      return keys
        .filter((key) => !items.required?.includes(key) && items.properties?.[key]?.default === undefined)
        .map((key) => required(`${path}.items.properties[${key}].default`, why));
    }
    default:
      return [];
  }
}

/** Patterns that cannot be compiled, and structure where only values may be judged. */
function valueFaults(schema: Schema, path: string): readonly Problem[] {
  return [
    ...patternFaults(schema, path),
    ...(['allOf', 'anyOf', 'oneOf'] as const).flatMap((key) =>
      (schema[key] ?? []).flatMap((part, at) => judgeFaults(part, `${path}.${key}[${at}]`, schema)),
    ),
    ...(schema.not === undefined ? [] : judgeFaults(schema.not, `${path}.not`, schema)),
  ];
}

function patternFaults({ pattern }: Schema, path: string): readonly Problem[] {
  if (pattern === undefined) return [];
  try {
    patternOf(pattern);
    return [];
  } catch (error) {
    const why = `must be a valid regular expression, but isn't: ${(error as Error).message}`;
    return [invalid(`${path}.pattern`, pattern, why)];
  }
}

const structural = [
  'description',
  'type',
  'default',
  'additionalProperties',
  'nullable',
  'title',
  'x-kubernetes-preserve-unknown-fields',
  'x-kubernetes-embedded-resource',
  'x-kubernetes-int-or-string',
  'x-kubernetes-list-type',
  'x-kubernetes-list-map-keys',
  'x-kubernetes-map-type',
] as const;

/** Inside allOf and the like values are judged; what they are is said outside. int-or-string may be spelt out. */
function judgeFaults(schema: Schema, path: string, around: Schema): readonly Problem[] {
  const spelt = around['x-kubernetes-int-or-string'] === true && path.includes('anyOf[');
  const wrong = structural.filter((key) => schema[key] !== undefined && !(spelt && key === 'type'));
  const { items, properties = {} } = schema;
  return [
    ...wrong.map((key) => forbidden(`${path}.${key}`, 'must be empty to be structural')),
    ...valueFaults(schema, path),
    ...(items === undefined ? [] : judgeFaults(items, `${path}.items`, {})),
    ...Object.entries(properties).flatMap(([key, one]) => judgeFaults(one, `${path}.properties[${key}]`, {})),
  ];
}

function defaultFaults(schema: Schema, path: string): readonly Problem[] {
  if (schema.default === undefined) return [];
  const at = `${path}.default`;
  const kept = pruneInside(schema.default, schema);
  if (!same(kept, schema.default)) return [invalid(at, schema.default, 'must not have unknown fields')];
  const { default: _default, ...without } = schema;
  return valueProblems(applyDefaults(schema.default, without), without).map((problem) => ({ ...problem, field: at }));
}

const reasons = ['FieldValueDuplicate', 'FieldValueForbidden', 'FieldValueInvalid', 'FieldValueRequired'];

function ruleFaults(schema: Schema, path: string, { root, lost }: Where): readonly Problem[] {
  const rules = schema['x-kubernetes-validations'] ?? [];
  if (rules.length === 0) return [];
  const at = (index: number) => `${path}.x-kubernetes-validations[${index}]`;
  const written = rules.flatMap((rule, index) => textFaults(rule, at(index)));
  if (written.length > 0) return written;
  return compileRules(schema, root || schema['x-kubernetes-embedded-resource'] === true).flatMap((rule, index) => {
    if (isFault(rule)) {
      const text = rule.part === 'rule' ? rule.source.rule : rule.source.messageExpression;
      return [invalid(`${at(index)}.${rule.part}`, text, `compilation failed: ${rule.error}`)];
    }
    if (lost === undefined || !rule.usesOldSelf) return [];
    const why = `oldSelf cannot be used on the uncorrelatable portion of the schema within ${lost}`;
    return [invalid(`${at(index)}.rule`, rule.source.rule, why)];
  });
}

function textFaults({ rule, message, reason }: ValidationRule, path: string): readonly Problem[] {
  const faults: Problem[] = [];
  if (typeof rule !== 'string' || rule.trim() === '') faults.push(required(`${path}.rule`, 'rule is not specified'));
  if (message !== undefined && message.trim() === '' && message !== '') {
    faults.push(invalid(`${path}.message`, message, 'message must be non-empty if specified'));
  } else if (message?.trim().includes('\n')) {
    faults.push(invalid(`${path}.message`, message, 'must not contain line breaks'));
  }
  if (reason !== undefined && !reasons.includes(reason)) {
    const list = reasons.map((one) => JSON.stringify(one)).join(', ');
    const text = `Unsupported value: ${shown(reason)}: supported values: ${list}`;
    faults.push({ field: `${path}.reason`, reason: 'FieldValueNotSupported', message: text });
  }
  return faults;
}

function partFaults(schema: Schema, path: string, { lost }: Where): readonly Problem[] {
  const { properties = {}, items, additionalProperties } = schema;
  const type = schema['x-kubernetes-list-type'];
  const below = { root: false, lost: schema['x-kubernetes-map-type'] === 'atomic' ? (lost ?? path) : lost };
  return [
    ...Object.entries(properties).flatMap(([key, part]) => [
      ...typeFaults(part, `${path}.properties[${key}]`, 'must not be empty for specified object fields'),
      ...faultsOf(part, `${path}.properties[${key}]`, below),
    ]),
    ...(typeof additionalProperties === 'object'
      ? [
          ...typeFaults(
            additionalProperties,
            `${path}.additionalProperties`,
            'must not be empty for specified object fields',
          ),
          ...faultsOf(additionalProperties, `${path}.additionalProperties`, below),
        ]
      : []),
    ...(items === undefined
      ? []
      : [
          ...typeFaults(items, `${path}.items`, 'must not be empty for specified array items'),
          ...faultsOf(items, `${path}.items`, { root: false, lost: type === 'map' ? lost : (lost ?? path) }),
        ]),
  ];
}

function typeFaults(schema: Schema, path: string, why: string): readonly Problem[] {
  const free = schema['x-kubernetes-int-or-string'] === true || schema['x-kubernetes-preserve-unknown-fields'] === true;
  return schema.type === undefined && !free ? [required(`${path}.type`, why)] : [];
}

const problem = (field: string, reason: Reason, message: string): Problem => ({ field, reason, message });

const required = (field: string, why: string): Problem =>
  problem(field, 'FieldValueRequired', `Required value: ${why}`);

const forbidden = (field: string, why: string): Problem => problem(field, 'FieldValueForbidden', `Forbidden: ${why}`);

const invalid = (field: string, value: unknown, why: string): Problem =>
  problem(field, 'FieldValueInvalid', `Invalid value: ${shown(value ?? '')}: ${why}`);
