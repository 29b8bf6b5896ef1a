import type { Needs, NodeRule, PortRange } from './model.ts';
import { ALL_PORTS, isGroup } from './rules.ts';

/** What every Service of this process needs in the groups of nodes and pods: a cache that planning all of them fills. */
export interface NeedsIndex extends Needs {
  /** Replaces what this Service needs. */
  put(uid: string, rules: readonly NodeRule[]): void;
  drop(uid: string): void;
}

export function createNeeds(): NeedsIndex {
  const ranges = new Map<string, Map<string, PortRange>>(); // rule -> uid -> ports from that source
  const keys = new Map<string, readonly string[]>(); // uid -> its rules

  function drop(uid: string): void {
    for (const key of keys.get(uid) ?? []) {
      const users = ranges.get(key);
      users?.delete(uid);
      if (users?.size === 0) ranges.delete(key);
    }
    keys.delete(uid);
  }

  return {
    others(uid, rule) {
      const users = [...(ranges.get(needKey(rule)) ?? [])].filter(([user]) => user !== uid);
      return hull(users.map(([, range]) => range));
    },
    drop,
    put(uid, rules) {
      drop(uid);
      // A managed group that does not exist yet is no other Service's business.
      const known = rules.filter(({ source }) => source !== 'managed');
      for (const rule of known) {
        const key = needKey(rule);
        const users = ranges.get(key) ?? new Map<string, PortRange>();
        ranges.set(key, users);
        const old = users.get(uid);
        users.set(uid, hull([...(old === undefined ? [] : [old]), rangeOf(rule)]) as PortRange);
      }
      keys.set(uid, [...new Set(known.map(needKey))]);
    },
  };
}

/** From a security group all ports are one range, from addresses each port stands for itself. */
export function needKey({ group, protocol, port, source }: NodeRule): string {
  return isGroup(source) ? `${group} ${protocol} ${source}` : `${group} ${protocol} ${source} ${port ?? 'all'}`;
}

export const rangeOf = ({ port }: Pick<NodeRule, 'port'>): PortRange =>
  port === undefined ? ALL_PORTS : { from: port, to: port };

/** The least range that holds all; `undefined` of none. */
export function hull(ranges: readonly PortRange[]): PortRange | undefined {
  if (ranges.length === 0) return undefined;
  return {
    from: ranges.reduce((least, { from }) => Math.min(least, from), Number.POSITIVE_INFINITY),
    to: ranges.reduce((most, { to }) => Math.max(most, to), 0),
  };
}

export const holds = (outer: PortRange, inner: PortRange): boolean => outer.from <= inner.from && inner.to <= outer.to;
