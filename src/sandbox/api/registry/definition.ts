import type { Rules } from '../admit.ts';
import { duplicate, type FieldError, invalid, required, unsupported } from '../invalid.ts';
import { type Draft, same } from '../json.ts';
import type { Schema } from '../kinds.ts';
import { schemaFaults } from '../schema-faults.ts';
import { checkColumns } from '../table.ts';
import { dnsLabel, dnsSubdomain } from '../words.ts';
import { keepOther } from './plain.ts';

export interface DefinitionNames {
  plural: string;
  singular?: string;
  shortNames?: string[];
  kind: string;
  listKind?: string;
  categories?: string[];
}
export interface DefinitionVersion {
  readonly name: string;
  readonly served: boolean;
  readonly storage: boolean;
  readonly schema?: { readonly openAPIV3Schema?: Schema };
  readonly subresources?: {
    readonly status?: object;
    readonly scale?: {
      readonly specReplicasPath: string;
      readonly statusReplicasPath: string;
      readonly labelSelectorPath?: string;
    };
  };
  readonly additionalPrinterColumns?: readonly object[];
  readonly selectableFields?: readonly { readonly jsonPath: string }[];
}
export interface DefinitionCondition {
  readonly type: string;
  readonly status: string;
  readonly lastTransitionTime: string;
  readonly reason: string;
  readonly message: string;
}
/** A CustomResourceDefinition after the codec. */
export interface Definition extends Draft {
  spec: {
    group: string;
    names: DefinitionNames;
    scope: string;
    versions: DefinitionVersion[];
    conversion?: { strategy?: string };
  };
  status: {
    conditions: DefinitionCondition[] | null;
    acceptedNames: DefinitionNames;
    storedVersions: string[] | null;
  };
}

/** Its controller removes the custom resources before this goes. */
export const cleanupFinalizer = 'customresourcecleanup.apiextensions.k8s.io';

export const definitionRules: Rules = {
  versionRequired: true,
  returnsDeleted: true,
  fields: {},
  defaults(draft) {
    const { names, conversion } = (draft as Definition).spec;
    names.singular ??= (names.kind ?? '').toLowerCase();
    names.listKind ??= `${names.kind}List`;
    (draft as Definition).spec.conversion = { ...conversion, strategy: conversion?.strategy ?? 'None' };
  },
  prepareCreate(draft) {
    const definition = draft as Definition;
    definition.metadata.generation = 1;
    definition.status = {
      conditions: null,
      acceptedNames: { plural: '', kind: '' },
      storedVersions: storedVersions(definition, []),
    };
  },
  prepareUpdate(draft, old, part) {
    keepOther(draft, old, part);
    if (part === 'status') return;
    const definition = draft as Definition;
    if (!same(definition.spec, (old as Definition).spec))
      definition.metadata.generation = (old.metadata.generation ?? 0) + 1;
    definition.status = {
      ...definition.status,
      storedVersions: storedVersions(definition, definition.status.storedVersions ?? []),
    };
  },
  validate: (draft, old, part) =>
    part === 'status' ? [] : definitionErrors(draft as Definition, old as Definition | undefined),
  markDeleted(draft, now) {
    const definition = draft as Definition;
    definition.metadata.deletionTimestamp = now;
    definition.metadata.finalizers = [...new Set([...(definition.metadata.finalizers ?? []), cleanupFinalizer])];
    definition.status.conditions = withCondition(definition.status.conditions ?? [], {
      type: 'Terminating',
      status: 'True',
      lastTransitionTime: now,
      reason: 'InstanceDeletionPending',
      message: 'CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon',
    });
  },
};

export function withCondition(
  conditions: readonly DefinitionCondition[],
  next: DefinitionCondition,
): DefinitionCondition[] {
  const known = conditions.find(({ type }) => type === next.type);
  const since = known?.status === next.status ? known.lastTransitionTime : next.lastTransitionTime;
  return known === undefined
    ? [...conditions, next]
    : conditions.map((one) => (one.type === next.type ? { ...next, lastTransitionTime: since } : one));
}

function storedVersions({ spec }: Definition, held: readonly string[]): string[] {
  const storage = (spec.versions ?? []).find((version) => version.storage)?.name;
  return storage === undefined || held.includes(storage) ? [...held] : [...held, storage];
}

function definitionErrors({ metadata, spec, status }: Definition, old: Definition | undefined): readonly FieldError[] {
  const errors: FieldError[] = [];
  const wanted = `${spec.names.plural}.${spec.group}`;
  if (metadata.name !== wanted)
    errors.push(invalid('metadata.name', metadata.name, 'must be spec.names.plural+"."+spec.group'));
  if (spec.group === '') errors.push(required('spec.group'));
  else {
    for (const message of dnsSubdomain(spec.group)) errors.push(invalid('spec.group', spec.group, message));
    if (spec.group.split('.').length < 2)
      errors.push(invalid('spec.group', spec.group, 'should be a domain with at least one dot'));
  }
  if (spec.scope === '') errors.push(required('spec.scope'));
  else if (!['Cluster', 'Namespaced'].includes(spec.scope))
    errors.push(unsupported('spec.scope', spec.scope, ['Cluster', 'Namespaced']));
  errors.push(...versionErrors(spec.versions ?? []), ...nameErrors(spec.names));
  if ((status.storedVersions ?? []).length === 0)
    errors.push(invalid('status.storedVersions', undefined, 'must have at least one stored version'));
  if (old === undefined) return errors;
  const established = (old.status.conditions ?? []).some(
    ({ type, status }) => type === 'Established' && status === 'True',
  );
  if (!established) return errors;
  for (const [field, now, before] of [
    ['spec.group', spec.group, old.spec.group],
    ['spec.scope', spec.scope, old.spec.scope],
    ['spec.names.plural', spec.names.plural, old.spec.names.plural],
    ['spec.names.kind', spec.names.kind, old.spec.names.kind],
  ] as const)
    if (now !== before) errors.push(invalid(field, now, 'field is immutable'));
  return errors;
}

function versionErrors(versions: readonly DefinitionVersion[]): readonly FieldError[] {
  const errors: FieldError[] = [];
  const structural: FieldError[] = [];
  // One schema of all versions is stored, and blamed, as the definition's own.
  const alike = versions.every((version) => same(version.schema, versions[0]?.schema));
  const names = new Set<string>();
  for (const [index, version] of versions.entries()) {
    const field = `spec.versions[${index}]`;
    if (names.has(version.name)) errors.push(duplicate(`${field}.name`, version.name));
    names.add(version.name);
    for (const message of dnsLabel(version.name)) errors.push(invalid(`${field}.name`, version.name, message));
    const schema = version.schema?.openAPIV3Schema;
    if (schema === undefined) errors.push(required(`${field}.schema.openAPIV3Schema`));
    else if (!alike) structural.push(...schemaFaults(schema, `${field}.schema.openAPIV3Schema`));
    else if (index === 0) structural.push(...schemaFaults(schema, 'spec.validation.openAPIV3Schema'));
    for (const problem of checkColumns(version.additionalPrinterColumns ?? []))
      errors.push(
        invalid(
          `${field}.additionalPrinterColumns${problem.slice(0, problem.indexOf(':'))}`,
          '',
          problem.slice(problem.indexOf(':') + 2),
        ),
      );
  }
  if (versions.filter((version) => version.storage).length !== 1)
    errors.push(invalid('spec.versions', versions, 'must have exactly one version marked as storage version'));
  return [...errors, ...structural];
}

function nameErrors(names: DefinitionNames): readonly FieldError[] {
  const errors: FieldError[] = [];
  if (names.plural === '') errors.push(required('spec.names.plural'));
  for (const [member, value] of [
    ['plural', names.plural],
    ['singular', names.singular ?? ''],
    ['kind', names.kind.toLowerCase()],
    ['listKind', (names.listKind ?? '').toLowerCase()],
  ] as const) {
    if (value === '' && member === 'kind') errors.push(required('spec.names.kind'));
    else if (value !== '')
      for (const message of dnsLabel(value)) errors.push(invalid(`spec.names.${member}`, value, message));
  }
  for (const [index, name] of (names.shortNames ?? []).entries())
    for (const message of dnsLabel(name)) errors.push(invalid(`spec.names.shortNames[${index}]`, name, message));
  if (names.kind !== '' && names.kind === names.listKind)
    errors.push(invalid('spec.names.listKind', names.listKind, 'kind and listKind may not be the same'));
  return errors;
}
