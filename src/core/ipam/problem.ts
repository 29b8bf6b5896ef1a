import type { KubeObject } from '../objects.ts';

/** Something wrong, or worth a second look, in the configuration. */
export interface Problem {
  readonly kind: string;
  readonly name: string;
  /** 'spec.addresses[0]', 'metadata.annotations["fairlead.dev/order"]'. */
  readonly field: string;
  /** 'IPAddressPool default: spec.addresses[0]: "10.0.0.1" has no length; ...': kind, name, field, value, right form. */
  readonly message: string;
  /** A warning does not keep the configuration from being used. */
  readonly severity: 'error' | 'warning';
  /** It names an object that is not there, and goes away by itself when that one comes. */
  readonly transient: boolean;
}

/** A problem of an object whose kind and name are known to the caller. */
export interface Finding {
  readonly field: string;
  /** What stands behind the field in the message. */
  readonly text: string;
  readonly severity?: 'warning';
  readonly transient?: true;
}

export function problemOf(kind: string, object: KubeObject, finding: Finding): Problem {
  const { field, text, severity = 'error', transient = false } = finding;
  const name = object.metadata.name || '(no name)';
  return { kind, name, field, message: `${kind} ${name}: ${field}: ${text}`, severity, transient };
}

/** Values as a person wrote them. */
export const quoted = (value: unknown): string => JSON.stringify(value) ?? 'nothing';

/** One finding for each item that stands in the list before. */
export function duplicates(field: string, items: readonly string[] | undefined): readonly Finding[] {
  return (items ?? []).flatMap((item, index, all) => {
    const first = all.indexOf(item);
    return first === index
      ? []
      : [{ field: `${field}[${index}]`, text: `${quoted(item)} stands in ${field}[${first}] already; leave one out` }];
  });
}

/** Whole numbers from `min` to `max`; absent is fine. */
export function outOfRange(field: string, value: number | undefined, min: number, max: number): readonly Finding[] {
  if (value === undefined || (Number.isInteger(value) && value >= min && value <= max)) return [];
  return [{ field, text: `${quoted(value)} must be a whole number from ${min} to ${max}` }];
}
