import type { Cidr, RouteTable } from '../../core/provider.ts';
import type { RouteAction } from '../../core/route/diff.ts';
import { createFailed, deleteFailed, quotaLow, refused } from '../../core/route/events.ts';
import { isLow } from '../../core/route/quota.ts';
import type { RoutePlan, WantedRoute } from '../../core/route/wanted.ts';
import { type Collaborators, type NodeName, tell } from './parts.ts';

/** A try to bring one destination in order that failed. */
export interface FailedTry {
  readonly destination: Cidr;
  /** Absent: the destination should have no route. */
  readonly wanted: WantedRoute | undefined;
  /** The write that failed; absent: it did not come to one. */
  readonly action?: RouteAction;
  readonly tookMs: number;
  readonly text: string;
}

/** What the route controller tells people, by Events on Nodes. */
export interface Notices {
  failed(failed: FailedTry): void;
  /** Pod CIDRs that get no route: each once, until it is gone. */
  refusals(plan: RoutePlan): void;
  /** A table that gets nearly full: once, until it has room again; on the node that was planned last. */
  quotas(tables: readonly RouteTable[], plan: RoutePlan): void;
}

/** `ownerOf`: the node whose next hop it is, or was. */
export function createNotices(
  collaborators: Collaborators,
  ownerOf: (nextHop: string) => NodeName | undefined,
): Notices {
  const { log } = collaborators;
  const refusals = new Map<string, ReadonlySet<string>>(); // UID of a node -> texts that were told
  const low = new Set<string>(); // tables that were told

  return {
    failed({ destination, wanted, action, tookMs, text }) {
      const owner = wanted === undefined ? undefined : { name: wanted.node, uid: wanted.nodeUid };
      if (action?.kind === 'removeRoute') {
        const of = owner ?? ownerOf(action.route.nextHop);
        if (of === undefined) log.warn({ route: destination, text }, 'route was not deleted');
        else tell(collaborators, of, deleteFailed({ uid: of.uid, node: of.name, destination, tookMs, text }));
      } else if (owner !== undefined) {
        tell(collaborators, owner, createFailed({ uid: owner.uid, node: owner.name, destination, tookMs, text }));
      }
    },
    refusals(plan) {
      const before = new Map(refusals);
      refusals.clear();
      for (const { name, uid, problems } of plan.nodes.values()) {
        if (problems.length === 0) continue;
        const told = before.get(uid);
        for (const problem of problems)
          if (told?.has(problem.text) !== true) tell(collaborators, { name, uid }, refused(problem));
        refusals.set(uid, new Set(problems.map(({ text }) => text)));
      }
    },
    quotas(tables, plan) {
      for (const table of tables) {
        if (!isLow(table)) low.delete(table.id);
        if (!isLow(table) || low.has(table.id)) continue;
        low.add(table.id);
        log.warn({ table: table.id, used: table.used, limit: table.limit }, 'route table is nearly full');
        const newest = [...plan.nodes.values()].at(-1);
        if (newest !== undefined) tell(collaborators, newest, quotaLow(table));
      }
    },
  };
}
