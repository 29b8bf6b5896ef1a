import type { Condition, Service, ServiceIngress } from '../objects.ts';
import type { Listener, Progress, Shortfall } from '../provider.ts';
import { GATES_ANNOTATION, gatesAnnotation } from '../readiness/gates.ts';
import { isAnswer } from './annotations.ts';
import {
  CONDITION_TYPES,
  type ConditionType,
  conditionIn,
  type Stage,
  type Statement,
  statementsOf,
} from './conditions.ts';
import { ingressOf, isPublished, type PortError } from './ingress.ts';
import type { ErrorVerdict } from './retry.ts';

/** What a run of a Service that we want came to. */
export type Outcome =
  /** Before the first cloud call: finalizer, Provisioning and Serving travel in one patch. */
  | { readonly state: 'started' }
  | Progress
  | {
      readonly state: 'error';
      readonly verdict: ErrorVerdict;
      /**
       * Whether a load balancer stands in spite of it; absent: as long as an ingress is published. `false` says so for
       * certain: then a published ingress is a lie and goes. A failed read is never a reason to say it.
       */
      readonly exists?: boolean;
    };

export interface StatusOptions {
  /** Wall time in ms since 1970, for lastTransitionTime. */
  readonly nowMs: number;
  /** Added when it is missing; absent: left alone (`finalizerFor`). */
  readonly finalizer?: string;
  /** A relevant spec change was seen since the last patch: moves the stamp of Provisioning. */
  readonly specChanged?: boolean;
  /** What the spec could not take along (`desiredOf`): becomes Degraded and `ingress[].ports[].error`. */
  readonly shortfalls?: readonly Shortfall[];
  readonly portErrors?: readonly PortError[];
  readonly listeners?: readonly Listener[];
  /** Further answers of the controller itself; null removes. The provider's own win. */
  readonly annotations?: Readonly<Record<string, string | null>>;
}

/** A strategic-merge body for `services/status`; metadata passes there, spec does not. */
export interface StatusPatch {
  readonly metadata: {
    /** A Service that changed since it was read, or another one under its name, answers 409. */
    readonly uid: string;
    readonly resourceVersion: string;
    readonly finalizers?: readonly string[];
    readonly '$deleteFromPrimitiveList/finalizers'?: readonly string[];
    readonly annotations?: Readonly<Record<string, string | null>>;
  };
  readonly status?: {
    readonly conditions?: readonly (Condition | { readonly type: string; readonly $patch: 'delete' })[];
    /** The whole list: it is atomic. null removes it. */
    readonly loadBalancer?: { readonly ingress: readonly ServiceIngress[] | null };
  };
}

/**
 * The one patch that makes a Service show an outcome: finalizer, answers, our three conditions and ingress, each only as
 * far as it differs. `undefined` when nothing does, so an unchanged world costs no write. `service` is the copy whose
 * resourceVersion guards the patch: on a conflict read again and decide again.
 */
export function statusPatch(service: Service, outcome: Outcome, options: StatusOptions): StatusPatch | undefined {
  const { finalizer, specChanged = false } = options;
  const shown = service.status?.loadBalancer?.ingress ?? [];
  const ingress = ingressAfter(outcome, options);
  const isNewIngress = ingress !== undefined && !isPublished(ingress, shown);
  const exists = outcome.state === 'error' ? (outcome.exists ?? shown.length > 0) : shown.length > 0;
  const conditions = conditionEntries(service, stageOf(outcome, ingress ?? [], options), {
    nowMs: options.nowMs,
    exists,
    specChanged,
    isNewIngress,
  });
  return patchOf(service, {
    add: finalizer === undefined || isDeleting(service) ? [] : missing(service, finalizer),
    remove: [],
    annotations: { ...options.annotations, ...answersAfter(service, outcome) },
    conditions,
    ...(isNewIngress ? { ingress } : {}),
  });
}

/** The provider's, and its readiness gates; what it said of a load balancer that is gone for certain goes too. */
function answersAfter(service: Service, outcome: Outcome): Readonly<Record<string, string | null>> {
  if (outcome.state === 'error' && outcome.exists === false) {
    const theirs = Object.keys(service.metadata.annotations ?? {}).filter(
      (key) => isAnswer(key) && (key === GATES_ANNOTATION || !key.startsWith('fairlead.dev/')),
    );
    return Object.fromEntries(theirs.map((key) => [key, null]));
  }
  const gates = outcome.state === 'ready' ? gatesAnnotation(service, outcome.gates) : {};
  return { ...gates, ...('annotations' in outcome ? outcome.annotations : {}) };
}

export interface ClearOptions {
  /** To be taken off (`Decision.finalizers`); those that are not there are ignored. */
  readonly finalizers: readonly string[];
  /** From `Removal.annotations`. Our answers go in any case. */
  readonly annotations?: Readonly<Record<string, string | null>>;
}

/**
 * The one patch after the last part is gone, for a Service that leaves type LoadBalancer or is deleted: conditions, ingress
 * and answers go, and the finalizer with them. `undefined` when there is nothing to take away.
 */
export function clearPatch(service: Service, { finalizers, annotations = {} }: ClearOptions): StatusPatch | undefined {
  const answers = Object.keys(service.metadata.annotations ?? {}).filter(isAnswer);
  const shown = service.status?.conditions ?? [];
  return patchOf(service, {
    add: [],
    remove: finalizers.flatMap((name) => present(service, name)),
    annotations: { ...Object.fromEntries(answers.map((key) => [key, null])), ...annotations },
    conditions: CONDITION_TYPES.filter((type) => conditionIn(shown, type) !== undefined).map(deletion),
    ...((service.status?.loadBalancer?.ingress ?? []).length > 0 ? { ingress: [] } : {}),
  });
}

/** Only the finalizer, guarded: before the first cloud call of a removal that must not be lost, or for `gc --release-all`. */
export function finalizerPatch(
  service: Service,
  { add, remove = [] }: { readonly add?: string; readonly remove?: readonly string[] },
): StatusPatch | undefined {
  return patchOf(service, {
    add: add === undefined || isDeleting(service) ? [] : missing(service, add),
    remove: remove.flatMap((name) => present(service, name)),
    annotations: {},
    conditions: [],
  });
}

interface Changes {
  readonly add: readonly string[];
  readonly remove: readonly string[];
  readonly annotations: Readonly<Record<string, string | null>>;
  readonly conditions: NonNullable<NonNullable<StatusPatch['status']>['conditions']>;
  /** Present: to be written; empty: to be removed. */
  readonly ingress?: readonly ServiceIngress[];
}

function patchOf(
  service: Service,
  { add, remove, annotations, conditions, ingress }: Changes,
): StatusPatch | undefined {
  const { uid, resourceVersion } = service.metadata;
  const answers = changedAnnotations(service, annotations);
  const status = {
    ...(conditions.length > 0 ? { conditions } : {}),
    ...(ingress === undefined ? {} : { loadBalancer: { ingress: ingress.length > 0 ? ingress : null } }),
  };
  const metadata = {
    ...(add.length > 0 ? { finalizers: add } : {}),
    ...(remove.length > 0 ? { '$deleteFromPrimitiveList/finalizers': remove } : {}),
    ...(Object.keys(answers).length > 0 ? { annotations: answers } : {}),
  };
  const hasStatus = Object.keys(status).length > 0;
  if (!hasStatus && Object.keys(metadata).length === 0) return undefined;
  return { metadata: { uid, resourceVersion, ...metadata }, ...(hasStatus ? { status } : {}) };
}

/** What should be published; `undefined` leaves the published list alone. */
function ingressAfter(
  outcome: Outcome,
  { listeners, portErrors }: StatusOptions,
): readonly ServiceIngress[] | undefined {
  if (outcome.state === 'ready') return ingressOf(outcome.ingress, listeners, portErrors);
  return outcome.state === 'error' && outcome.exists === false ? [] : undefined;
}

function stageOf(outcome: Outcome, ingress: readonly ServiceIngress[], { shortfalls = [] }: StatusOptions): Stage {
  if (outcome.state !== 'ready') return outcome;
  return { state: 'ready', ingress, shortfalls: [...shortfalls, ...(outcome.shortfalls ?? [])] };
}

interface Moment {
  readonly nowMs: number;
  readonly exists: boolean;
  readonly specChanged: boolean;
  readonly isNewIngress: boolean;
}

function conditionEntries(service: Service, stage: Stage, moment: Moment): Changes['conditions'] {
  const conditions = service.status?.conditions ?? [];
  const statements = statementsOf(stage, { conditions, ...moment });
  return CONDITION_TYPES.flatMap((type): Changes['conditions'] => {
    const statement = statements[type];
    const shown = conditionIn(conditions, type);
    if (statement === 'keep') return [];
    if (statement === 'absent') return shown === undefined ? [] : [deletion(type)];
    const entry = conditionOf(type, statement, shown, service, moment);
    return entry === undefined ? [] : [entry];
  });
}

/** The condition to write; `undefined` when the shown one says it already. */
function conditionOf(
  type: ConditionType,
  statement: Statement,
  shown: Condition | undefined,
  { metadata: { generation = 0 } }: Service,
  { nowMs, specChanged, isNewIngress }: Moment,
): Condition | undefined {
  const { status, reason } = statement;
  const wasMoved =
    (type === 'LoadBalancerProvisioning' && specChanged) || (type === 'LoadBalancerServing' && isNewIngress);
  const hasSameStatus = shown?.status === status;
  const wanted = {
    type,
    status,
    reason,
    message: messageOf(statement, shown),
    lastTransitionTime:
      hasSameStatus && !wasMoved && shown.lastTransitionTime !== undefined ? shown.lastTransitionTime : stamp(nowMs),
    // Services have no generation on most API servers; 0 would be a claim about a spec that never was.
    ...(generation > 0 ? { observedGeneration: generation } : {}),
  };
  return shown !== undefined && isSaid(wanted, shown) ? undefined : wanted;
}

function messageOf({ status, reason, message, loose }: Statement, shown: Condition | undefined): string {
  const said = shown?.message;
  const isAlike = loose === true && shown?.status === status && shown.reason === reason && said !== undefined;
  return isAlike && withoutNumbers(said) === withoutNumbers(clip(message)) ? said : clip(message);
}

/** Words with a digit are what varies by itself: request ids, counters, times. */
const withoutNumbers = (text: string): string => text.replace(/[\w.:-]*\d[\w.:-]*/g, '#');

const clip = (message: string): string =>
  message.length <= MESSAGE_LIMIT ? message : `${message.slice(0, MESSAGE_LIMIT - 3)}...`;
/** Of metav1.Condition it is 32768; a screen is enough. */
const MESSAGE_LIMIT = 2048;

function isSaid(wanted: Condition, shown: Condition): boolean {
  return (
    wanted.status === shown.status &&
    wanted.reason === shown.reason &&
    wanted.message === (shown.message ?? '') &&
    wanted.lastTransitionTime === shown.lastTransitionTime &&
    (wanted.observedGeneration === undefined || wanted.observedGeneration === shown.observedGeneration)
  );
}

/** RFC 3339 with the precision of metav1.Time, a second. */
const stamp = (ms: number): string => new Date(ms).toISOString().replace(/\.\d{3}Z$/, 'Z');

const deletion = (type: string) => ({ type, $patch: 'delete' as const });

const isDeleting = ({ metadata }: Service): boolean => metadata.deletionTimestamp !== undefined;

const missing = ({ metadata }: Service, name: string): readonly string[] =>
  metadata.finalizers?.includes(name) === true ? [] : [name];

const present = ({ metadata }: Service, name: string): readonly string[] =>
  metadata.finalizers?.includes(name) === true ? [name] : [];

function changedAnnotations(
  { metadata: { annotations = {} } }: Service,
  wanted: Readonly<Record<string, string | null>>,
): Readonly<Record<string, string | null>> {
  return Object.fromEntries(
    Object.entries(wanted)
      .filter(([key, value]) => (value === null ? Object.hasOwn(annotations, key) : annotations[key] !== value))
      .sort(([a], [b]) => (a < b ? -1 : 1)),
  );
}
