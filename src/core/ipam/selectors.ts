import type { LabelSelector } from '../objects.ts';

export type Labels = Readonly<Record<string, string>>;

/** Kubernetes label selector semantics: all parts must hold, an empty selector matches everything. */
export function matches(selector: LabelSelector, labels: Labels): boolean {
  return (
    Object.entries(selector.matchLabels ?? {}).every(([key, value]) => labelValue(labels, key) === value) &&
    (selector.matchExpressions ?? []).every((expression) => holds(expression, labels))
  );
}

/** 'a=1,b=2', sorted by key: equal maps give equal text, no map and an empty one give ''. (MetalLB's backend key) */
export function canonicalLabels(labels: Labels | undefined): string {
  return Object.entries(labels ?? {})
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, value]) => `${key}=${value}`)
    .join(',');
}

type Expression = NonNullable<LabelSelector['matchExpressions']>[number];

/** NotIn also holds where the key is absent (LabelSelector API). */
function holds({ key, operator, values = [] }: Expression, labels: Labels): boolean {
  const value = labelValue(labels, key);
  switch (operator) {
    case 'In':
      return value !== undefined && values.includes(value);
    case 'NotIn':
      return value === undefined || !values.includes(value);
    case 'Exists':
      return value !== undefined;
    case 'DoesNotExist':
      return value === undefined;
    default:
      // An operator of a newer API, past validation: selects nobody rather than everybody.
      operator satisfies never;
      return false;
  }
}

/** Own keys only: a label may be called 'constructor'. */
function labelValue(labels: Labels, key: string): string | undefined {
  return Object.hasOwn(labels, key) ? labels[key] : undefined;
}
