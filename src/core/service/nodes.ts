import { compareText, isEqual } from '../equal.ts';
import type { Node } from '../objects.ts';

/** Absent, or a value that Go's ParseBool reads as false, keeps a node in. */
export const EXCLUDE_LABEL = 'node.kubernetes.io/exclude-from-external-load-balancers';
export const AUTOSCALER_TAINT = 'ToBeDeletedByClusterAutoscaler';
export const SHUTDOWN_TAINT = 'node.cloudprovider.kubernetes.io/shutdown';
const ZONE_LABELS = ['topology.kubernetes.io/zone', 'failure-domain.beta.kubernetes.io/zone'] as const;

/** What Go's strconv.ParseBool calls false; everything else that is not true is an error there, and excludes. */
const FALSE: ReadonlySet<string> = new Set(['0', 'f', 'F', 'false', 'False', 'FALSE']);

/** May receive traffic of external load balancers. Readiness, cordons and providerID do not count (KEP-3458). */
export const isMember = (node: Node): boolean => exclusionOf(node) === undefined;

/** Why a node is no member, as a clause for people; `undefined` for a member. */
export function exclusionOf(node: Node): string | undefined {
  if (node.metadata.deletionTimestamp !== undefined) return 'it is being deleted';
  if (isExcludedByLabel(node)) return `label ${EXCLUDE_LABEL}=${node.metadata.labels?.[EXCLUDE_LABEL]}`;
  return hasTaint(node, AUTOSCALER_TAINT) ? `taint ${AUTOSCALER_TAINT}` : undefined;
}

/** Why a node takes no new connections: it is no member, or its instance is shut down. */
export function leavingCause(node: Node): string | undefined {
  return exclusionOf(node) ?? (hasTaint(node, SHUTDOWN_TAINT) ? `taint ${SHUTDOWN_TAINT}` : undefined);
}

/**
 * Whether an update of a node can change somebody's targets: what decides membership, identity, addresses or zone.
 * @param filtered some provider has an `acceptsNode`: then labels, taints and readiness count as well.
 */
export function shouldSyncUpdatedNode(old: Node, now: Node, { filtered }: { readonly filtered?: true } = {}): boolean {
  if (!isEqual(decisive(old), decisive(now))) return true;
  return filtered === true && !isEqual(filterFacts(old), filterFacts(now));
}

/** One node of the set that load balancers send to. */
export interface Member {
  /** providerID; the node's name while it has none. A node that comes back with another providerID is another target. */
  readonly id: string;
  readonly node: Node;
  /** Keeps its connections, takes no new ones. */
  readonly draining: boolean;
}

/** What one pass over the nodes leaves for the next. */
export interface NodePass {
  /** Sorted by id. Share it: equal targets are recognised by it. */
  readonly members: readonly Member[];
  /** Ids that take traffic. */
  readonly active: ReadonlySet<string>;
  /** id -> monotonic ms when it began to leave. */
  readonly leaving: ReadonlyMap<string, number>;
  /** When the next one has drained and another pass is due, monotonic; absent: nobody drains. */
  readonly nextMs?: number;
}

export interface PassOptions {
  /** Absent on the first pass: then nodes that are no members are simply not there. */
  readonly previous?: NodePass;
  /** Monotonic. */
  readonly nowMs: number;
  /** How long a node that leaves stays as a draining target. */
  readonly drainMs: number;
}

/**
 * The target nodes now. A node that took traffic and leaves (deletionTimestamp, exclude label, autoscaler or shutdown
 * taint) drains for `drainMs` first and comes back at once when the cause goes; a Node object that is gone is gone.
 */
export function nodePass(nodes: readonly Node[], { previous, nowMs, drainMs }: PassOptions): NodePass {
  const members = new Map<string, Member>(); // id -> its node; of two nodes with one id the one that takes traffic
  const leaving = new Map<string, number>();
  for (const node of [...nodes].sort((a, b) => compareText(a.metadata.name, b.metadata.name))) {
    const id = idOf(node);
    if (leavingCause(node) === undefined) {
      if (members.get(id)?.draining !== false) members.set(id, { id, node, draining: false });
      continue;
    }
    const since = previous?.leaving.get(id) ?? (previous?.active.has(id) === true ? nowMs : undefined);
    if (since === undefined || since + drainMs <= nowMs || members.has(id)) continue;
    leaving.set(id, since);
    members.set(id, { id, node, draining: true });
  }
  for (const { id, draining } of members.values()) if (!draining) leaving.delete(id);
  const sorted = [...members.values()].sort((a, b) => compareText(a.id, b.id));
  const active = new Set(sorted.flatMap(({ id, draining }) => (draining ? [] : [id])));
  if (leaving.size === 0) return { members: sorted, active, leaving };
  return { members: sorted, active, leaving, nextMs: Math.min(...leaving.values()) + drainMs };
}

/** `key:Effect` or `key=value:Effect`, as kubectl prints taints and `Interpretation.acceptsNode` gets them. */
export function taintsOf({ spec }: Node): readonly string[] {
  return (spec.taints ?? [])
    .map(({ key, value = '', effect }) => `${key}${value === '' ? '' : `=${value}`}:${effect}`)
    .sort(compareText);
}

export function zoneOf({ metadata }: Node): string | undefined {
  const zone = ZONE_LABELS.map((label) => metadata.labels?.[label]).find((value) => value !== undefined);
  return zone === '' ? undefined : zone;
}

/** Status of the condition Ready; '' when kubelet has not written one. */
export function readyOf({ status }: Node): 'True' | 'False' | 'Unknown' | '' {
  return status?.conditions?.find(({ type }) => type === 'Ready')?.status ?? '';
}

const idOf = ({ metadata, spec }: Node): string => spec.providerID || metadata.name;

function isExcludedByLabel({ metadata: { labels = {} } }: Node): boolean {
  const value = labels[EXCLUDE_LABEL];
  return value !== undefined && !FALSE.has(value);
}

const hasTaint = ({ spec }: Node, key: string): boolean => spec.taints?.some((taint) => taint.key === key) === true;

function decisive(node: Node): unknown {
  return {
    providerID: node.spec.providerID ?? '',
    isExcluded: isExcludedByLabel(node),
    isDeleting: node.metadata.deletionTimestamp !== undefined,
    isScaledDown: hasTaint(node, AUTOSCALER_TAINT),
    isShutDown: hasTaint(node, SHUTDOWN_TAINT),
    zone: zoneOf(node),
    addresses: (node.status?.addresses ?? []).map(({ type, address }) => `${type} ${address}`).sort(compareText),
  };
}

function filterFacts(node: Node): unknown {
  return { labels: node.metadata.labels ?? {}, taints: taintsOf(node), ready: readyOf(node) };
}
