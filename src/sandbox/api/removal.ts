import type { Rules } from './admit.ts';
import { type Draft, rfc3339 } from './json.ts';
import type { Resource } from './resources.ts';
import { conflict } from './status.ts';
import type { Entry } from './store.ts';

/** DeleteOptions, as far as they matter here. */
export interface DeleteQuery {
  readonly dryRun: boolean;
  readonly gracePeriodSeconds?: number;
  readonly propagationPolicy?: 'Orphan' | 'Background' | 'Foreground';
  readonly uid?: string;
  readonly resourceVersion?: string;
}

const foreground = 'foregroundDeletion';
const orphan = 'orphan';
/** uid and resourceVersion of DeleteOptions. Throws 409. */
export function checkPreconditions(resource: Resource, name: string, live: Entry, query: DeleteQuery): void {
  const { uid, resourceVersion } = live.object.metadata;
  // The registry names the kind here, not the resource (BeforeDelete of apiserver).
  const named = { group: resource.group, plural: resource.kind };
  if (query.uid !== undefined && query.uid !== uid)
    throw conflict(
      named,
      name,
      `the UID in the precondition (${query.uid}) does not match the UID in record (${uid}). The object might have been deleted and then recreated`,
    );
  if (query.resourceVersion !== undefined && query.resourceVersion !== resourceVersion)
    throw conflict(
      named,
      name,
      `the ResourceVersion in the precondition (${query.resourceVersion}) does not match the ResourceVersion in record (${resourceVersion}). The object might have been modified`,
    );
}

/** Finalizers after a delete: those of the garbage collector follow the propagation policy. */
export function collected(finalizers: readonly string[], { propagationPolicy }: DeleteQuery): readonly string[] {
  const others = finalizers.filter((one) => one !== foreground && one !== orphan);
  switch (propagationPolicy) {
    case 'Foreground':
      return [...others, foreground];
    case 'Orphan':
      return [...others, orphan];
    case 'Background':
      return others;
    case undefined:
      return finalizers;
    default:
      return propagationPolicy satisfies never;
  }
}

/** How an object that is deleted stays for a while. */
export interface Grace {
  readonly seconds: number;
  /** deletionTimestamp. */
  readonly at: string;
}

/** When a kind with a grace period goes; undefined for one without, 'pending' when it is going already. */
export function gracefully(
  rules: Rules,
  object: Draft,
  query: DeleteQuery,
  nowMs: number,
): Grace | 'pending' | undefined {
  if (rules.graceSeconds === undefined) return undefined;
  const { deletionTimestamp, deletionGracePeriodSeconds: held } = object.metadata;
  const asked = query.gracePeriodSeconds !== undefined && query.gracePeriodSeconds < 0 ? 1 : query.gracePeriodSeconds;
  if (deletionTimestamp !== undefined) {
    if (held === undefined || held === 0) return undefined;
    if (asked === undefined || asked >= held) return 'pending';
    const at = Date.parse(deletionTimestamp) - (held - asked) * 1000;
    return at < nowMs ? { seconds: asked === 0 ? 0 : 1, at: rfc3339(nowMs) } : { seconds: asked, at: rfc3339(at) };
  }
  const seconds = rules.graceSeconds(object, asked);
  return { seconds, at: rfc3339(nowMs + seconds * 1000) };
}

/** markAsDeleting of apiserver: the first mark also raises the generation, where there is one. */
export function marked(object: Draft, finalizers: readonly string[], { seconds, at }: Grace): Draft {
  const { metadata } = object;
  const first = metadata.deletionTimestamp === undefined;
  const { generation, creationTimestamp, finalizers: _finalizers, ...rest } = metadata;
  return {
    ...object,
    metadata: {
      ...rest,
      ...(generation === undefined ? {} : { generation: first ? generation + 1 : generation }),
      ...(creationTimestamp === undefined ? {} : { creationTimestamp }),
      deletionTimestamp: first || seconds > 0 ? at : (metadata.deletionTimestamp as string),
      deletionGracePeriodSeconds: seconds,
      ...(finalizers.length === 0 ? {} : { finalizers: [...finalizers] }),
    },
  };
}
