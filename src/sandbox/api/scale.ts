import { at, clone, type Draft, isObject, type JsonObject } from './json.ts';
import type { Resource } from './resources.ts';
import { badRequest, internal } from './status.ts';

/** An object's `scale` subresource, autoscaling/v1. `strict`: throws 500 for a custom resource that has no replicas yet. */
export function scaleOf(resource: Resource, object: Draft, { strict }: { readonly strict?: true } = {}): JsonObject {
  const { name, namespace, uid, resourceVersion, creationTimestamp } = object.metadata;
  const paths = pathsOf(resource);
  const replicas = at(object, ...paths.spec);
  if (strict === true && resource.custom !== undefined && replicas === undefined)
    throw internal(`the spec replicas field ".${paths.spec.join('.')}" does not exist`);
  const selector = paths.selector === undefined ? undefined : at(object, ...paths.selector);
  const shown = typeof selector === 'string' ? selector : isObject(selector) ? selectorText(selector) : undefined;
  return {
    kind: 'Scale',
    apiVersion: 'autoscaling/v1',
    metadata: { name, namespace, uid, resourceVersion, creationTimestamp },
    spec: typeof replicas === 'number' && replicas > 0 ? { replicas } : {},
    status: { replicas: Number(at(object, ...paths.status) ?? 0), ...(shown === undefined ? {} : { selector: shown }) },
  };
}

/** The object with what a written Scale asks for. Throws 400 for a Scale that is none. */
export function scaled(resource: Resource, object: Draft, scale: JsonObject): Draft {
  const replicas = at(scale, 'spec', 'replicas') ?? 0;
  if (typeof replicas !== 'number' || !Number.isInteger(replicas) || replicas < 0)
    throw badRequest(
      `Scale in version "v1" cannot be handled as a Scale: spec.replicas must be a whole number, not ${JSON.stringify(replicas)}`,
    );
  const draft = clone(object);
  const asked = at(scale, 'metadata', 'resourceVersion');
  if (typeof asked === 'string' && asked !== '') draft.metadata.resourceVersion = asked;
  set(draft, pathsOf(resource).spec, replicas);
  return draft;
}

interface ScalePaths {
  readonly spec: readonly string[];
  readonly status: readonly string[];
  readonly selector: readonly string[] | undefined;
}

function pathsOf({ custom }: Resource): ScalePaths {
  if (custom?.scale === undefined)
    return { spec: ['spec', 'replicas'], status: ['status', 'replicas'], selector: ['spec', 'selector'] };
  const { specReplicasPath, statusReplicasPath, labelSelectorPath } = custom.scale;
  return {
    spec: steps(specReplicasPath),
    status: steps(statusReplicasPath),
    selector: labelSelectorPath === undefined ? undefined : steps(labelSelectorPath),
  };
}

const steps = (path: string): readonly string[] => path.split('.').filter((step) => step !== '');

function set(object: JsonObject, path: readonly string[], value: unknown): void {
  const [step, ...rest] = path;
  if (step === undefined) return;
  if (rest.length === 0) {
    object[step] = value;
    return;
  }
  const next = isObject(object[step]) ? object[step] : {};
  object[step] = next;
  set(next, rest, value);
}

/** A LabelSelector as text: 'a=b,c in (d,e)'. */
function selectorText({ matchLabels, matchExpressions }: JsonObject): string {
  const labels = Object.entries(isObject(matchLabels) ? matchLabels : {}).map(
    ([key, value]) => `${key}=${String(value)}`,
  );
  const expressions = (Array.isArray(matchExpressions) ? matchExpressions : []).map(
    ({ key, operator, values = [] }) => {
      switch (operator) {
        case 'Exists':
          return key;
        case 'DoesNotExist':
          return `!${key}`;
        default:
          return `${key} ${operator === 'In' ? 'in' : 'notin'} (${[...values].sort().join(',')})`;
      }
    },
  );
  return [...labels.sort(), ...expressions].join(',');
}
