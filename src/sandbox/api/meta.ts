import { type FieldError, invalid, notAllowed, required, tooLong } from './invalid.ts';
import type { Meta } from './json.ts';
import { dnsLabel, labelValue, qualifiedName } from './words.ts';

const annotationBytes = 256 * 1024;
const standardFinalizers = new Set(['kubernetes', 'orphan', 'foregroundDeletion']);

/** Problems of the metadata of any object (ValidateObjectMeta of apimachinery), in its order. */
export function metaErrors(
  metadata: Meta,
  {
    namespaced,
    nameErrors,
    core,
  }: {
    readonly namespaced: boolean;
    readonly nameErrors: (name: string) => readonly string[];
    /** Built-in kinds want finalizers with a domain. */
    readonly core: boolean;
  },
): readonly FieldError[] {
  const { name = '', generateName = '', namespace = '', finalizers = [] } = metadata;
  const errors: FieldError[] = [];
  if (generateName !== '')
    for (const message of nameErrors(`${generateName.replace(/-+$/, '')}a`))
      errors.push(invalid('metadata.generateName', generateName, message));
  if (name === '') errors.push(required('metadata.name', 'name or generateName is required'));
  else for (const message of nameErrors(name)) errors.push(invalid('metadata.name', name, message));
  if (namespaced)
    for (const message of dnsLabel(namespace)) errors.push(invalid('metadata.namespace', namespace, message));
  else if (namespace !== '') errors.push(notAllowed('metadata.namespace', 'not allowed on this type'));
  errors.push(...labelErrors('metadata.labels', metadata.labels ?? {}));
  errors.push(...annotationErrors(metadata.annotations ?? {}));
  errors.push(...ownerErrors(metadata));
  for (const finalizer of finalizers)
    for (const message of qualifiedName(finalizer)) errors.push(invalid('metadata.finalizers', finalizer, message));
  if (finalizers.includes('orphan') && finalizers.includes('foregroundDeletion'))
    errors.push(
      invalid('metadata.finalizers', finalizers, 'finalizer orphan and foregroundDeletion cannot be both set'),
    );
  if (core)
    for (const [index, finalizer] of finalizers.entries())
      if (!finalizer.includes('/') && !standardFinalizers.has(finalizer))
        errors.push(
          invalid(
            `metadata.finalizers[${index}]`,
            finalizer,
            'name is neither a standard finalizer name nor is it fully qualified',
          ),
        );
  return errors;
}

/** What no update may do to the metadata (ValidateObjectMetaUpdate). */
export function metaUpdateErrors(metadata: Meta, old: Meta): readonly FieldError[] {
  const errors: FieldError[] = [];
  if (old.deletionTimestamp !== undefined) {
    const added = (metadata.finalizers ?? []).filter((one) => !(old.finalizers ?? []).includes(one)).sort();
    if (added.length > 0) {
      const list = added.map((one) => JSON.stringify(one)).join(', ');
      errors.push(
        notAllowed(
          'metadata.finalizers',
          `no new finalizers can be added if the object is being deleted, found new finalizers []string{${list}}`,
        ),
      );
    }
  }
  for (const member of ['name', 'namespace', 'uid', 'creationTimestamp', 'deletionTimestamp'] as const)
    if ((metadata[member] ?? '') !== (old[member] ?? ''))
      errors.push(invalid(`metadata.${member}`, metadata[member] ?? '', 'field is immutable'));
  const grace = metadata.deletionGracePeriodSeconds;
  if (old.deletionGracePeriodSeconds !== undefined && grace !== old.deletionGracePeriodSeconds)
    errors.push(
      invalid('metadata.deletionGracePeriodSeconds', grace, 'field is immutable; may only be changed via deletion'),
    );
  return errors;
}

export function labelErrors(field: string, labels: Readonly<Record<string, string>>): readonly FieldError[] {
  return Object.entries(labels).flatMap(([key, value]) => [
    ...qualifiedName(key).map((message) => invalid(field, key, message)),
    ...labelValue(value).map((message) => invalid(field, value, message)),
  ]);
}

function annotationErrors(annotations: Readonly<Record<string, string>>): readonly FieldError[] {
  const errors: FieldError[] = [];
  let bytes = 0;
  for (const [key, value] of Object.entries(annotations)) {
    bytes += Buffer.byteLength(key) + Buffer.byteLength(value);
    for (const message of qualifiedName(key.toLowerCase())) errors.push(invalid('metadata.annotations', key, message));
  }
  if (bytes > annotationBytes) errors.push(tooLong('metadata.annotations', annotationBytes));
  return errors;
}

function ownerErrors({ ownerReferences = [] }: Meta): readonly FieldError[] {
  const errors: FieldError[] = [];
  let controller: string | undefined;
  for (const [index, owner] of ownerReferences.entries()) {
    const field = `metadata.ownerReferences[${index}]`;
    for (const member of ['apiVersion', 'kind', 'name', 'uid'] as const)
      if ((owner[member] ?? '') === '') errors.push(required(`${field}.${member}`, 'must not be empty'));
    if (owner.apiVersion === 'v1' && owner.kind === 'Event')
      errors.push(invalid(field, owner, '/v1, Kind=Event is disallowed from being an owner'));
    if (owner.controller !== true) continue;
    const name = `${owner.kind}/${owner.name}`;
    if (controller !== undefined)
      errors.push(
        invalid(
          'metadata.ownerReferences',
          ownerReferences,
          `Only one reference can have Controller set to true. Found "true" in references for ${controller} and ${name}`,
        ),
      );
    controller ??= name;
  }
  return errors;
}
