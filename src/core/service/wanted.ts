import type { ManagedFields, Service } from '../objects.ts';
import { CONDITION_TYPES } from './conditions.ts';

/** Ours, for Services that have a class. */
export const OWN_FINALIZER = 'fairlead.dev/load-balancer';
/** Of every cloud-controller-manager; ours for classless Services only (KEP-980). */
export const STANDARD_FINALIZER = 'service.kubernetes.io/load-balancer-cleanup';

/** Which Services of type LoadBalancer this controller serves (--load-balancer-class). */
export interface Selection {
  /** Values of spec.loadBalancerClass; '' stands for Services without one. */
  readonly classes: ReadonlySet<string>;
}

/** From the flag's words; `none` means Services without a class. */
export function selectionOf(flag: readonly string[]): Selection {
  return { classes: new Set(flag.map((name) => (name === 'none' ? '' : name))) };
}

/** The flag's value when it is not given: `none`, unless the provider asks for --default-class, and its own classes. */
export function defaultClasses(
  provider: { readonly classes?: readonly string[]; readonly classlessByFlag?: true },
  { defaultClass }: { readonly defaultClass: boolean },
): readonly string[] {
  const classless = provider.classlessByFlag !== true || defaultClass;
  return [...(classless ? ['none'] : []), ...(provider.classes ?? [])];
}

export type Verdict =
  | { readonly want: true }
  | {
      readonly want: false;
      readonly code: 'not-load-balancer' | 'foreign-class' | 'classless' | 'deleting';
      /** A clause for people: 'spec.type is ClusterIP, not LoadBalancer'. */
      readonly reason: string;
    };

/** Whether this Service should have a load balancer of ours, and if not, why not. */
export function wantedOf(service: Service, selection: Selection): Verdict {
  const { type = 'ClusterIP', loadBalancerClass } = service.spec;
  if (type !== 'LoadBalancer') {
    return { want: false, code: 'not-load-balancer', reason: `spec.type is ${type}, not LoadBalancer` };
  }
  if (!isSelected(service, selection)) return notSelected(loadBalancerClass, selection);
  if (service.metadata.deletionTimestamp === undefined) return { want: true };
  return { want: false, code: 'deleting', reason: 'the Service is being deleted' };
}

/** Type LoadBalancer and of a class in the list; a Service that is being deleted stays selected. */
export function isSelected({ spec }: Service, { classes }: Selection): boolean {
  return spec.type === 'LoadBalancer' && classes.has(spec.loadBalancerClass ?? '');
}

/** The finalizer that a Service of ours carries. With a class never the standard one: another controller may own that. */
export function finalizerFor({ spec }: Service): string {
  return spec.loadBalancerClass === undefined ? STANDARD_FINALIZER : OWN_FINALIZER;
}

/** Finalizers that other controllers answer for, in their order. */
export function foreignFinalizers(service: Service): readonly string[] {
  const ours = new Set([OWN_FINALIZER, finalizerFor(service)]);
  return (service.metadata.finalizers ?? []).filter((name) => !ours.has(name));
}

/** What the reference calls needsCleanup, with the class list: leftovers that nobody wants any more. */
export function needsCleanup(service: Service, selection: Selection): boolean {
  const { do: what } = decide(service, selection);
  return hasCleanupFinalizer(service) && (what === 'remove' || what === 'undecided');
}

export type Decision =
  | {
      readonly do: 'ensure';
      readonly finalizer: string;
      /** False: it is to be written before the first cloud call (`selfCleaning` providers: with the result). */
      readonly hasFinalizer: boolean;
      readonly reason: string;
    }
  | {
      readonly do: 'remove';
      /** To be taken off when nothing is left; those that are there. */
      readonly finalizers: readonly string[];
      readonly reason: string;
    }
  | Undecided
  | { readonly do: 'none'; readonly reason: string };

/**
 * The Service does not say whether its leftovers are ours: a type change cleared the class. Observe it, read it live for
 * managedFields, then `settle`.
 */
export interface Undecided {
  readonly do: 'undecided';
  /** Of unknown owner; empty when only the status shows traces. */
  readonly finalizers: readonly string[];
  /**
   * Whether Services without a class are served here. If not, some other controller (a CCM, another Fairlead) rightly owns
   * the standard finalizer: then only parts of ours prove anything, and a foreign finalizer is nothing to warn of.
   */
  readonly classless: boolean;
  readonly reason: string;
}

/**
 * What to do about a Service as it is. A class that is not in the list means `none`, whatever finalizers it carries.
 * @param legacy finalizers of other controllers that the provider has been told to take over.
 */
export function decide(service: Service, selection: Selection, legacy: readonly string[] = []): Decision {
  const verdict = wantedOf(service, selection);
  if (verdict.want) {
    const finalizer = finalizerFor(service);
    return { do: 'ensure', finalizer, hasFinalizer: has(service, finalizer), reason: 'it is ours' };
  }
  switch (verdict.code) {
    case 'foreign-class':
      return { do: 'none', reason: verdict.reason };
    case 'classless':
      return leftBehind(service, verdict.reason);
    case 'deleting':
      return deleting(service, selection, legacy);
    case 'not-load-balancer':
      return notLoadBalancer(service, selection, legacy, verdict.reason);
    default:
      return verdict.code satisfies never;
  }
}

/** What only IO can tell about an undecided Service. */
export interface Evidence {
  /** `observe` found parts that carry this Service's mark. */
  readonly owned: boolean;
  /** A live read: stores drop managedFields. */
  readonly live: Service;
  /** --takeover-field-managers. */
  readonly takeover: readonly string[];
}

export type Settled =
  | Extract<Decision, { do: 'remove' }>
  | {
      readonly do: 'foreign';
      /** Worth a Warning `ForeignFinalizer`; the reason is its message. */
      readonly warn: boolean;
      readonly reason: string;
    };

/**
 * Ours if parts of ours exist or, where classless Services are served, if the traces were written by `fairlead` or by a
 * manager that we take over from. Otherwise `foreign`: leave everything as it is.
 */
export function settle({ finalizers, classless, reason }: Undecided, { owned, live, takeover }: Evidence): Settled {
  const trusted = new Set(classless ? ['fairlead', ...takeover] : []);
  const writers = finalizers.length > 0 ? finalizers.flatMap((name) => finalizerWriters(live, name)) : traces(live);
  if (owned || writers.some((name) => trusted.has(name))) return { do: 'remove', finalizers, reason };
  const wrote = writers.length === 0 ? 'nobody on record' : [...new Set(writers)].sort().join(', ');
  const what = finalizers.length > 0 ? `finalizer ${finalizers.join(', ')}` : 'the load balancer status';
  return {
    do: 'foreign',
    warn: classless && finalizers.length > 0,
    reason: `${what} was written by ${wrote} and no part of ours exists: it is left as it is`,
  };
}

/** Field managers that wrote this finalizer, as the live object records them. */
export function finalizerWriters(live: Service, finalizer: string): readonly string[] {
  return writersOf(live, ['f:metadata', 'f:finalizers', `v:${JSON.stringify(finalizer)}`]);
}

function notSelected(name: string | undefined, { classes }: Selection): Verdict {
  const served = [...classes].map((item) => (item === '' ? 'none' : item)).join(',');
  if (name === undefined) {
    const reason = `spec.loadBalancerClass is not set, and Services without a class are not served here (classes: ${served})`;
    return { want: false, code: 'classless', reason };
  }
  const reason = `spec.loadBalancerClass ${JSON.stringify(name)} is not served here (classes: ${served})`;
  return { want: false, code: 'foreign-class', reason };
}

/** Classless and not in the list: perhaps it was, before the flag was taken away. Cleanup follows deletion only. */
function leftBehind(service: Service, reason: string): Decision {
  if (service.metadata.deletionTimestamp === undefined || !has(service, STANDARD_FINALIZER)) {
    return { do: 'none', reason };
  }
  return { do: 'undecided', finalizers: [STANDARD_FINALIZER], classless: false, reason };
}

function deleting(service: Service, { classes }: Selection, legacy: readonly string[]): Decision {
  const reason = 'the Service is being deleted';
  const ours = present(service, [OWN_FINALIZER, finalizerFor(service), ...legacy]);
  // It was classless, lost its type and came back with a class before anybody looked.
  if (ours.length === 0 && has(service, STANDARD_FINALIZER)) {
    return { do: 'undecided', finalizers: [STANDARD_FINALIZER], classless: classes.has(''), reason };
  }
  return { do: 'remove', finalizers: ours, reason };
}

function notLoadBalancer(
  service: Service,
  { classes }: Selection,
  legacy: readonly string[],
  reason: string,
): Decision {
  const ours = present(service, [OWN_FINALIZER, ...legacy]);
  if (ours.length > 0) return { do: 'remove', finalizers: ours, reason };
  if (has(service, STANDARD_FINALIZER)) {
    return { do: 'undecided', finalizers: [STANDARD_FINALIZER], classless: classes.has(''), reason };
  }
  if (!showsLoadBalancer(service)) return { do: 'none', reason };
  return { do: 'undecided', finalizers: [], classless: classes.has(''), reason };
}

/** An ingress or a condition of ours without a finalizer: somebody took that off by hand, or MetalLB was here. */
function showsLoadBalancer({ status }: Service): boolean {
  const types: readonly string[] = CONDITION_TYPES;
  return (
    (status?.loadBalancer?.ingress ?? []).length > 0 ||
    (status?.conditions ?? []).some(({ type }) => types.includes(type))
  );
}

const has = ({ metadata }: Service, finalizer: string): boolean => metadata.finalizers?.includes(finalizer) === true;

const hasCleanupFinalizer = (service: Service): boolean =>
  has(service, STANDARD_FINALIZER) || has(service, OWN_FINALIZER);

function present(service: Service, candidates: readonly string[]): readonly string[] {
  return [...new Set(candidates)].filter((name) => has(service, name));
}

/** Writers of what `showsLoadBalancer` saw. */
function traces(live: Service): readonly string[] {
  return [
    ...writersOf(live, ['f:status', 'f:loadBalancer']),
    ...CONDITION_TYPES.flatMap((type) =>
      writersOf(live, ['f:status', 'f:conditions', `k:${JSON.stringify({ type })}`]),
    ),
  ];
}

/** Managers whose field set has this path (structured-merge-diff's FieldsV1). */
function writersOf(live: Service, path: readonly string[]): readonly string[] {
  return (live.metadata.managedFields ?? [])
    .filter((entry) => hasPath(entry, path))
    .flatMap(({ manager }) => (manager === undefined ? [] : [manager]));
}

function hasPath({ fieldsV1 }: ManagedFields, path: readonly string[]): boolean {
  let at: unknown = fieldsV1;
  for (const step of path) {
    if (typeof at !== 'object' || at === null || !Object.hasOwn(at, step)) return false;
    at = (at as Readonly<Record<string, unknown>>)[step];
  }
  return true;
}
