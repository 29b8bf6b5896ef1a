import type { Rules } from '../admit.ts';
import { type FieldError, invalid } from '../invalid.ts';
import { clone, type Draft, isObject } from '../json.ts';
import { text } from '../selectors.ts';
import { dnsLabel, qualifiedName } from '../words.ts';
import { keepOther } from './plain.ts';

/** The namespace controller has to remove the contents before this goes from spec.finalizers. */
export const contentFinalizer = 'kubernetes';
const immortal = new Set(['default', 'kube-system', 'kube-public']);
const nameLabel = 'kubernetes.io/metadata.name';

export const namespaceRules: Rules = {
  returnsDeleted: true,
  fields: { 'status.phase': text('status', 'phase'), name: text('metadata', 'name') },
  nameErrors: dnsLabel,
  defaults(draft) {
    if (draft.metadata.name !== undefined)
      draft.metadata.labels = { ...draft.metadata.labels, [nameLabel]: draft.metadata.name };
    const status = isObject(draft['status']) ? draft['status'] : {};
    draft['status'] = { ...status, phase: status['phase'] ?? 'Active' };
  },
  prepareCreate(draft) {
    draft['status'] = { phase: 'Active' };
    const finalizers = namespaceFinalizers(draft);
    draft['spec'] = {
      finalizers: finalizers.includes(contentFinalizer) ? finalizers : [...finalizers, contentFinalizer],
    };
    draft.metadata.labels = { ...draft.metadata.labels, [nameLabel]: draft.metadata.name as string };
  },
  prepareUpdate(draft, old, part) {
    if (part === 'finalize') draft['status'] = clone(old['status']);
    else if (part === 'status') keepOther(draft, old, part);
    else {
      draft['status'] = clone(old['status']);
      draft['spec'] = clone(old['spec']);
    }
  },
  markDeleted(draft, now) {
    draft.metadata.deletionTimestamp = now;
    draft['status'] = { ...(isObject(draft['status']) ? draft['status'] : {}), phase: 'Terminating' };
  },
  held: (namespace) => namespaceFinalizers(namespace).length > 0,
  undeletable: ({ metadata }) => (immortal.has(metadata.name ?? '') ? 'this namespace may not be deleted' : undefined),
  validate: (draft, old, part) => [
    ...finalizerErrors(draft),
    ...(part === 'status' && old !== undefined ? phaseErrors(draft) : []),
  ],
};

/** spec.finalizers. */
export function namespaceFinalizers(namespace: Draft): readonly string[] {
  const spec = namespace['spec'];
  return isObject(spec) && Array.isArray(spec['finalizers']) ? (spec['finalizers'] as string[]) : [];
}

function finalizerErrors(draft: Draft): readonly FieldError[] {
  return namespaceFinalizers(draft).flatMap((finalizer, index) => {
    const errors = qualifiedName(finalizer).map((message) => invalid('spec.finalizers', finalizer, message));
    if (!finalizer.includes('/') && finalizer !== contentFinalizer)
      errors.push(
        invalid(
          `spec.finalizers[${index}]`,
          finalizer,
          'name is neither a standard finalizer name nor is it fully qualified',
        ),
      );
    return errors;
  });
}

function phaseErrors(draft: Draft): readonly FieldError[] {
  const phase = isObject(draft['status']) ? draft['status']['phase'] : undefined;
  const going = draft.metadata.deletionTimestamp !== undefined;
  if (going === (phase === 'Terminating')) return [];
  return [
    invalid(
      'status.Phase',
      phase,
      going
        ? 'may only be `Terminating` if `deletionTimestamp` is not empty'
        : "may only be 'Active' if `deletionTimestamp` is empty",
    ),
  ];
}
