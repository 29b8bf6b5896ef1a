import type { Rules } from '../admit.ts';
import { type FieldError, invalid, required } from '../invalid.ts';
import { type Draft, type JsonObject, same } from '../json.ts';
import { keepOther } from './plain.ts';
import { type PodSpecDraft, podSpecErrors, setPodDefaults } from './pod.ts';

interface WorkloadDraft extends Draft {
  spec: {
    replicas?: number;
    selector?: { matchLabels?: Record<string, string>; matchExpressions?: readonly JsonObject[] };
    template: { metadata: { labels?: Record<string, string> }; spec: PodSpecDraft };
    strategy?: { type?: string; rollingUpdate?: JsonObject };
    updateStrategy?: { type?: string; rollingUpdate?: JsonObject };
    revisionHistoryLimit?: number;
    progressDeadlineSeconds?: number;
  };
}

export const deploymentRules: Rules = {
  fields: {},
  defaults(draft) {
    const { spec } = draft as WorkloadDraft;
    setPodDefaults(spec.template.spec);
    spec.replicas ??= 1;
    const strategy = spec.strategy ?? {};
    strategy.type ??= 'RollingUpdate';
    if (strategy.type === 'RollingUpdate')
      strategy.rollingUpdate = { maxUnavailable: '25%', maxSurge: '25%', ...strategy.rollingUpdate };
    spec.strategy = strategy;
    spec.revisionHistoryLimit ??= 10;
    spec.progressDeadlineSeconds ??= 600;
  },
  prepareCreate(draft) {
    draft['status'] = {};
    draft.metadata.generation = 1;
  },
  prepareUpdate(draft, old, part) {
    keepOther(draft, old, part);
    // An annotation of a deployment is part of its revisions.
    if (
      part !== 'status' &&
      !(same(draft['spec'], old['spec']) && same(draft.metadata.annotations ?? {}, old.metadata.annotations ?? {}))
    )
      draft.metadata.generation = (old.metadata.generation ?? 0) + 1;
  },
  validate: (draft, old, part) =>
    part === 'status' ? [] : workloadErrors(draft as WorkloadDraft, old as WorkloadDraft | undefined),
};

const templateGeneration = 'deprecated.daemonset.template.generation';

export const daemonSetRules: Rules = {
  fields: {},
  defaults(draft) {
    const { spec } = draft as WorkloadDraft;
    setPodDefaults(spec.template.spec);
    const strategy = spec.updateStrategy ?? {};
    strategy.type ??= 'RollingUpdate';
    if (strategy.type === 'RollingUpdate')
      strategy.rollingUpdate = { maxUnavailable: 1, maxSurge: 0, ...strategy.rollingUpdate };
    spec.updateStrategy = strategy;
    spec.revisionHistoryLimit ??= 10;
    // A field of the internal type that v1 shows as an annotation, whoever sends the object.
    draft.metadata.annotations = { [templateGeneration]: '0', ...draft.metadata.annotations };
  },
  prepareCreate(draft) {
    draft['status'] = { currentNumberScheduled: 0, numberMisscheduled: 0, desiredNumberScheduled: 0, numberReady: 0 };
    draft.metadata.generation = 1;
    draft.metadata.annotations = { ...draft.metadata.annotations, [templateGeneration]: '1' };
  },
  prepareUpdate(draft, old, part) {
    keepOther(draft, old, part);
    if (part === 'status') return;
    const [spec, before] = [(draft as WorkloadDraft).spec, (old as WorkloadDraft).spec];
    const held = Number(old.metadata.annotations?.[templateGeneration] ?? '1');
    const changed = !same(spec.template, before.template);
    draft.metadata.annotations = {
      ...draft.metadata.annotations,
      [templateGeneration]: String(changed ? held + 1 : held),
    };
    if (!same(spec, before)) draft.metadata.generation = (old.metadata.generation ?? 0) + 1;
  },
  validate: (draft, old, part) =>
    part === 'status' ? [] : workloadErrors(draft as WorkloadDraft, old as WorkloadDraft | undefined),
};

function workloadErrors({ spec }: WorkloadDraft, old: WorkloadDraft | undefined): readonly FieldError[] {
  const errors: FieldError[] = [];
  if ((spec.replicas ?? 0) < 0)
    errors.push(invalid('spec.replicas', spec.replicas, 'must be greater than or equal to 0'));
  const { matchLabels = {}, matchExpressions = [] } = spec.selector ?? {};
  const labels = spec.template.metadata.labels ?? {};
  if (spec.selector === undefined) errors.push(required('spec.selector'));
  else if (Object.keys(matchLabels).length + matchExpressions.length === 0)
    errors.push(invalid('spec.selector', spec.selector, 'empty selector is invalid for deployment'));
  else if (Object.entries(matchLabels).some(([key, value]) => labels[key] !== value))
    errors.push(invalid('spec.template.metadata.labels', labels, '`selector` does not match template `labels`'));
  if (old !== undefined && !same(spec.selector, old.spec.selector))
    errors.push(invalid('spec.selector', spec.selector, 'field is immutable'));
  return [...errors, ...podSpecErrors(spec.template.spec, 'spec.template.spec')];
}
