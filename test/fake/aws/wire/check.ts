import { type AwsError, invalid, invalidValue } from '../error.ts';
import type { FormStyle } from './form.ts';
import type { Shape, Struct } from './schema.ts';

/** 'Structure.Member' -> the values that it may have. AWS's model in the SDK leaves enumerations out of the schemas. */
export type Enums = ReadonlyMap<string, readonly string[]>;

/**
 * Throws for what AWS would refuse before it looks at any resource: members that do not exist, of the wrong type,
 * missing, or with a value outside their enumeration.
 */
export function checkInput(input: object, struct: Struct, enums: Enums, style: FormStyle): void {
  const refuse = style === 'elb' ? invalid : invalidValue;
  checkStruct(input, struct, '', { enums, refuse });
}

interface Rules {
  readonly enums: Enums;
  readonly refuse: (message: string) => AwsError;
}

function checkStruct(value: object, { name, members }: Struct, path: string, rules: Rules): void {
  const given = value as Readonly<Record<string, unknown>>;
  for (const key of Object.keys(given)) {
    if (!members.some((member) => member.name === key)) {
      throw rules.refuse(`${path}${key} is not a parameter of ${name}`);
    }
  }
  for (const member of members) {
    const at = `${path}${member.name}`;
    const inner = given[member.name];
    if (inner === undefined) {
      if (member.required) throw rules.refuse(`${at} is required`);
      continue;
    }
    checkShape(inner, member.shape, at, rules);
    const allowed = rules.enums.get(`${name}.${member.name}`);
    if (allowed === undefined) continue;
    for (const one of Array.isArray(inner) ? inner : [inner]) {
      if (!allowed.includes(one as string)) {
        throw rules.refuse(`Value '${one}' at '${at}' failed to satisfy constraint: ${allowed.join(', ')}`);
      }
    }
  }
}

function checkShape(value: unknown, shape: Shape, path: string, rules: Rules): void {
  switch (shape.kind) {
    case 'struct':
      if (typeof value !== 'object' || value === null) throw rules.refuse(`${path} is no structure`);
      checkStruct(value, shape, `${path}.`, rules);
      return;
    case 'list':
      if (!Array.isArray(value)) throw rules.refuse(`${path} is no list`);
      for (const [index, item] of value.entries()) checkShape(item, shape.item, `${path}[${index}]`, rules);
      return;
    case 'timestamp':
      if (!(value instanceof Date)) throw rules.refuse(`${path} is no time`);
      return;
    default:
      if (typeof value !== shape.kind) throw rules.refuse(`${path}: ${JSON.stringify(value)} is no ${shape.kind}`);
  }
}
