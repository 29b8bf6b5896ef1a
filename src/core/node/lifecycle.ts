import { compareText } from '../equal.ts';
import type { Node } from '../objects.ts';
import type { Instance } from '../provider.ts';
import { readyOf } from '../service/nodes.ts';
import { isOfCloud } from './provider-id.ts';
import { isShutdownNode } from './taints.ts';
import type { NodeWrite } from './write.ts';

/** A cloud that loses sight of an instance for a moment costs no Node: so many looks in a row must miss it. */
const MISSES = 3;
/** A young instance may not be listed yet. */
const YOUNG_MS = 60_000;
/** Deletions in any minute. */
const PER_MINUTE = 10;
/** Over this share of all Nodes, and at least so many: then it is the look that is wrong, not the Nodes. */
const SUSPICIOUS_SHARE = 0.33;
const SUSPICIOUS_LEAST = 3;

/** What one look leaves for the next. */
export interface Sightings {
  /** uid of a Node that the last looks missed -> how many in a row, and the monotonic ms of the first. */
  readonly missed: ReadonlyMap<string, { readonly looks: number; readonly sinceMs: number }>;
  /** Monotonic ms of the deletions of the last minute, ascending. */
  readonly deletedMs: readonly number[];
  /** uids of Nodes whose deletion is held: it is told once. */
  readonly held: ReadonlySet<string>;
}
export const nothingSeen: Sightings = { missed: new Map(), deletedMs: [], held: new Set() };

export interface Look {
  /** All Nodes. */
  readonly nodes: readonly Node[];
  /** The provider's answer for those of `lookedAfter`; a Node that it leaves out is one that it cannot tell about. */
  readonly found: ReadonlyMap<string, Instance | undefined>;
  readonly scheme: string;
  /** Monotonic. */
  readonly nowMs: number;
  /** Wall time, for the ages of Nodes. */
  readonly wallMs: number;
}

export interface Verdicts {
  readonly sightings: Sightings;
  /** To delete now, the longest missed first. */
  readonly remove: readonly Node[];
  /** Instance switched off, taint missing. */
  readonly shutDown: readonly Node[];
  /** Missed long enough, and kept. `isNew`: it was not held at the last look. */
  readonly held: readonly { readonly node: Node; readonly why: string; readonly isNew: boolean }[];
}

/** Nodes that the cloud is asked about: those that are not ready. A ready Node exists, whatever the cloud says. */
export function lookedAfter(nodes: readonly Node[], scheme: string): readonly Node[] {
  return nodes.filter((node) => isKept(node, scheme) && readyOf(node) !== 'True');
}

/** Nodes that work again and still show the taint of one that is switched off. */
export const isBack = (node: Node, scheme: string): boolean =>
  isKept(node, scheme) && readyOf(node) === 'True' && isShutdownNode(node);

/** What follows from one look. Pure: equal looks after equal sightings give equal verdicts. */
export function judge(before: Sightings, look: Look): Verdicts {
  const { nodes, found, scheme, nowMs } = look;
  const asked = lookedAfter(nodes, scheme).filter(({ metadata }) => found.has(metadata.name));
  const gone = asked.filter(({ metadata }) => found.get(metadata.name) === undefined);
  const missed = new Map(gone.map((node) => [node.metadata.uid, missedBy(before, node, nowMs)]));
  // "Could not tell" is neither a sighting nor a miss: the row of misses goes on where it was.
  for (const { metadata } of lookedAfter(nodes, scheme)) {
    const known = before.missed.get(metadata.uid);
    if (!found.has(metadata.name) && known !== undefined) missed.set(metadata.uid, known);
  }
  const due = gone
    .filter((node) => (missed.get(node.metadata.uid)?.looks ?? 0) >= MISSES && !isYoung(node, look))
    .sort((a, b) => sinceOf(missed, a) - sinceOf(missed, b) || compareText(a.metadata.name, b.metadata.name));
  const deletedMs = before.deletedMs.filter((atMs) => atMs > nowMs - 60_000);
  const total = nodes.filter((node) => isKept(node, scheme)).length;
  const suspicion = suspicionOf(gone.length, total);
  const remove = suspicion === undefined ? due.slice(0, Math.max(0, PER_MINUTE - deletedMs.length)) : [];
  const why = suspicion ?? `${PER_MINUTE} nodes were deleted within a minute`;
  const held = due.slice(remove.length).map((node) => ({ node, why, isNew: !before.held.has(node.metadata.uid) }));
  return {
    sightings: {
      missed,
      deletedMs: [...deletedMs, ...remove.map(() => nowMs)],
      held: new Set(held.map(({ node }) => node.metadata.uid)),
    },
    remove,
    shutDown: asked.filter((node) => found.get(node.metadata.name)?.shutdown === true && !isShutdownNode(node)),
    held,
  };
}

/** Refused when anybody has changed the Node since this copy, for it may have come back. */
export function deletion({ metadata: { name, uid, resourceVersion } }: Node): NodeWrite {
  const reason = 'its instance does not exist any more';
  return { kind: 'DeleteNode', target: name, reason, as: 'delete', preconditions: { uid, resourceVersion } };
}

const isKept = (node: Node, scheme: string): boolean =>
  node.metadata.deletionTimestamp === undefined && isOfCloud(node, scheme);

function missedBy({ missed }: Sightings, { metadata: { uid } }: Node, nowMs: number) {
  const { looks, sinceMs } = missed.get(uid) ?? { looks: 0, sinceMs: nowMs };
  return { looks: looks + 1, sinceMs };
}

const sinceOf = (missed: Sightings['missed'], { metadata: { uid } }: Node): number => missed.get(uid)?.sinceMs ?? 0;

const isYoung = ({ metadata }: Node, { wallMs }: Look): boolean =>
  wallMs - Date.parse(metadata.creationTimestamp) < YOUNG_MS;

function suspicionOf(gone: number, total: number): string | undefined {
  if (gone < SUSPICIOUS_LEAST || gone <= SUSPICIOUS_SHARE * total) return undefined;
  return `${gone} of ${total} nodes are missing at once, which looks like a fault of the question`;
}
