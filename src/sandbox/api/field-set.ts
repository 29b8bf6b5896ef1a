import { isObject } from './json.ts';

/**
 * Sets of field paths as server-side apply keeps them (structured-merge-diff, fieldpath), and their form in
 * managedFields. A step of a path is written as there: 'f:name' a member, 'k:{"port":80}' an element by its keys,
 * 'v:"x"' an element of a set. Values are never written to.
 */
export type FieldSet = ReadonlyMap<string, FieldNode>; // step -> what is below

interface FieldNode {
  /** The path itself is in the set, not only some path below it. */
  readonly member: boolean;
  readonly below: FieldSet;
}
export type FieldPath = readonly string[];

export const noFields: FieldSet = new Map();

/** A set that is being collected. */
export interface FieldCollector {
  add(path: FieldPath): void;
  readonly fields: FieldSet;
}

interface Growing {
  member: boolean;
  readonly below: Map<string, Growing>;
}

export function collectFields(): FieldCollector {
  const root = new Map<string, Growing>();
  return {
    fields: root,
    add(path) {
      let level = root;
      for (const [at, step] of path.entries()) {
        const node = level.get(step) ?? { member: false, below: new Map() };
        level.set(step, node);
        if (at === path.length - 1) node.member = true;
        level = node.below;
      }
    },
  };
}

/** Of FieldsV1; whatever is not a set of fields there is left out. */
export function parseFields(fieldsV1: unknown): FieldSet {
  if (!isObject(fieldsV1)) return noFields;
  const entries = Object.entries(fieldsV1).filter(([step]) => step !== '.');
  return new Map(
    entries.map(([step, value]) => {
      const below = parseFields(value);
      return [step, { member: below.size === 0 || (isObject(value) && Object.hasOwn(value, '.')), below }];
    }),
  );
}

/** As FieldsV1, with sorted keys. */
export function printFields(fields: FieldSet): Readonly<Record<string, unknown>> {
  const sorted = [...fields].sort(([a], [b]) => compareSteps(a, b));
  return Object.fromEntries(
    sorted.map(([step, { member, below }]) => [
      step,
      { ...(member && below.size > 0 ? { '.': {} } : {}), ...printFields(below) },
    ]),
  );
}

const ranks = 'fkvi';

function compareSteps(a: string, b: string): number {
  const rank = ranks.indexOf(a[0] ?? '') - ranks.indexOf(b[0] ?? '');
  return rank !== 0 ? rank : a < b ? -1 : 1;
}

export function union(a: FieldSet, b: FieldSet): FieldSet {
  if (a.size === 0) return b;
  if (b.size === 0) return a;
  const all = new Map(a);
  for (const [step, node] of b) {
    const own = a.get(step);
    all.set(
      step,
      own === undefined ? node : { member: own.member || node.member, below: union(own.below, node.below) },
    );
  }
  return all;
}

export function intersection(a: FieldSet, b: FieldSet): FieldSet {
  return select(a, (node, step) => {
    const other = b.get(step);
    return other === undefined
      ? undefined
      : { member: node.member && other.member, below: intersection(node.below, other.below) };
  });
}

/** Without the very paths of `b`: what is below them stays. */
export function difference(a: FieldSet, b: FieldSet): FieldSet {
  return select(a, (node, step) => {
    const other = b.get(step);
    return other === undefined
      ? node
      : { member: node.member && !other.member, below: difference(node.below, other.below) };
  });
}

/** Without the paths of `b` and everything below them. */
export function without(a: FieldSet, b: FieldSet): FieldSet {
  return select(a, (node, step) => {
    const other = b.get(step);
    if (other === undefined) return node;
    return other.member ? undefined : { member: node.member, below: without(node.below, other.below) };
  });
}

function select(fields: FieldSet, choose: (node: FieldNode, step: string) => FieldNode | undefined): FieldSet {
  const chosen = new Map<string, FieldNode>();
  for (const [step, node] of fields) {
    const kept = choose(node, step);
    if (kept !== undefined && (kept.member || kept.below.size > 0)) chosen.set(step, kept);
  }
  return chosen;
}

export function sameFields(a: FieldSet, b: FieldSet): boolean {
  return difference(a, b).size === 0 && difference(b, a).size === 0;
}

/** All paths, a parent before its children. */
export function pathsOf(fields: FieldSet, prefix: FieldPath = []): readonly FieldPath[] {
  return [...fields]
    .sort(([a], [b]) => compareSteps(a, b))
    .flatMap(([step, { member, below }]) => {
      const path = [...prefix, step];
      return [...(member ? [path] : []), ...pathsOf(below, path)];
    });
}

/** As conflicts show it: '.spec.ports[port=80,protocol="TCP"].name', '.metadata.finalizers[="x"]'. */
export function pathText(path: FieldPath): string {
  return path.map(stepText).join('');
}

function stepText(step: string): string {
  const value = step.slice(2);
  switch (step[0]) {
    case 'f':
      return `.${value}`;
    case 'k': {
      const keys = Object.entries(JSON.parse(value) as Record<string, unknown>);
      return `[${keys.map(([key, item]) => `${key}=${JSON.stringify(item)}`).join(',')}]`;
    }
    case 'v':
      return `[=${value}]`;
    default:
      return `[${value}]`;
  }
}
