import { compareText } from '../../src/core/equal.ts';
import type { Shortfall } from '../../src/core/provider.ts';
import type {
  Desired,
  Facts,
  GroupRef,
  NodeRule,
  Observed,
  ObservedTargetGroup,
  Settings,
  Shared,
  Stack,
} from './model.ts';
import { clusterTag, RESOURCE, ruleDescription } from './names.ts';
import { ownedParts, resourceOf } from './ownership.ts';
import { resolve } from './resolve.ts';
import { packetsOf } from './rules.ts';
import { targetId } from './targets.ts';

/** Security groups that stand before the targets, and the interfaces where that cannot be told. */
export interface NodeGroups {
  /** Ids, sorted. */
  readonly groups: readonly string[];
  readonly problems: readonly Shortfall[];
}

/**
 * The group of each target's interface: its only one, or the one of several that is tagged with the cluster. Targets whose
 * interface is not known give neither.
 */
export function nodeGroupsOf(desired: Desired, facts: Facts, { cluster }: Settings): NodeGroups {
  const known = seen.get(desired.targets);
  const { interfaces, securityGroups } = facts;
  const of = { interfaces, securityGroups, cluster, targetType: desired.targetType };
  if (known !== undefined && isSameInput(known.of, of)) return known.groups;
  const groups = lookUp(desired, facts, cluster);
  seen.set(desired.targets, { of, groups });
  return groups;
}

type Input = Pick<Facts, 'interfaces' | 'securityGroups'> & Pick<Desired, 'targetType'> & Pick<Settings, 'cluster'>;

/** A memo of a pure function: thousands of Services share one array of a thousand nodes. */
const seen = new WeakMap<object, { readonly of: Input; readonly groups: NodeGroups }>();

const isSameInput = (a: Input, b: Input): boolean =>
  a.interfaces === b.interfaces &&
  a.securityGroups === b.securityGroups &&
  a.targetType === b.targetType &&
  a.cluster === b.cluster;

function lookUp(desired: Desired, facts: Facts, cluster: string): NodeGroups {
  const groups = new Set<string>();
  const ambiguous = new Map<string, readonly string[]>(); // interface -> tagged groups
  for (const target of desired.targets) {
    const id = targetId(target, desired);
    const found = id === undefined ? undefined : facts.interfaces.get(id);
    if (found === undefined) continue;
    const [only, other] = found.securityGroups;
    if (only !== undefined && other === undefined) {
      groups.add(only);
      continue;
    }
    const tagged = found.securityGroups.filter((group) => isTagged(facts, group, cluster));
    const [chosen, further] = tagged;
    if (chosen !== undefined && further === undefined) groups.add(chosen);
    else ambiguous.set(found.id, tagged);
  }
  return {
    groups: [...groups].sort(compareText),
    problems: [...ambiguous]
      .sort(([a], [b]) => compareText(a, b))
      .map(([id, tagged]) => problemOf(id, tagged, cluster)),
  };
}

/**
 * What one Service needs in the groups of its nodes or pods: for the index that all of them share. Empty where its load
 * balancer has own groups whose rules are not ours to keep. Throws as `resolve`.
 */
export function nodeRulesOf(desired: Desired, observed: Observed, settings: Settings): readonly NodeRule[] {
  const { groups } = nodeGroupsOf(desired, observed.facts, settings);
  return rulesOf(resolve(desired, observed, settings), groups, observed, settings);
}

export function rulesOf(
  { ports }: Pick<Stack, 'ports'>,
  groups: readonly string[],
  observed: Observed,
  settings: Settings,
): readonly NodeRule[] {
  const ids = idsOf(observed, settings);
  const rules = new Map<string, NodeRule>();
  for (const { backendRules } of ports) {
    for (const { from, ports: open } of backendRules) {
      for (const source of from) {
        for (const { protocol, port } of open) {
          for (const group of groups) {
            const rule = { group, protocol, ...(port === undefined ? {} : { port }), source: ids(source) };
            rules.set(JSON.stringify(rule), rule);
          }
        }
      }
    }
  }
  return [...rules.values()];
}

/**
 * What the target groups of a Service are let in by now: its needs as far as they can be known while its spec makes no
 * sense. Where the ports of its targets are not known, every rule counts whole.
 */
export function heldRules(
  groups: readonly ObservedTargetGroup[],
  nodeGroups: Shared['nodeGroups'],
  { cluster, restrictedRules }: Settings,
): readonly NodeRule[] {
  // Health checks are TCP even where the traffic is not.
  const ports = {
    tcp: groups.flatMap(portsOf),
    udp: groups.filter(({ protocol }) => packetsOf(protocol).includes('udp')).flatMap(portsOf),
  };
  return [...nodeGroups].flatMap(([group, rules]) =>
    rules.flatMap((rule): readonly NodeRule[] => {
      const { protocol, source, description } = rule;
      if (description !== ruleDescription(cluster) || (protocol !== 'tcp' && protocol !== 'udp')) return [];
      const from = 'group' in source ? source.group : 'cidr' in source ? source.cidr : undefined;
      if (from === undefined || groups.length === 0) return [];
      const need = { group, protocol, source: from as NodeRule['source'] } as const;
      const used = ports[protocol].includes('unknown')
        ? [rule.from, rule.to]
        : ports[protocol].filter((port) => port !== 'unknown' && rule.from <= port && port <= rule.to);
      if (used.length > 0 && !restrictedRules) return [need];
      return used.map((port) => ({ ...need, port: port as number }));
    }),
  );
}

function portsOf({ port, targets, health }: ObservedTargetGroup): readonly (number | 'unknown')[] {
  const check = health.port === 'traffic-port' ? [] : [Number(health.port)];
  if (targets !== 'unread') return [port, ...targets.map((target) => target.port), ...check];
  return [port === NO_PORT ? 'unknown' : port, ...check];
}

/** Of a group whose pods have ports of their own. */
const NO_PORT = 1;

/** A role becomes the id of its group, where that exists. */
function idsOf(observed: Observed, settings: Settings): (source: NodeRule['source']) => NodeRule['source'] {
  const managed = ownedParts(observed, settings).securityGroups.find(
    ({ tags }) => resourceOf(tags) === RESOURCE.securityGroup,
  );
  const known = { managed: managed?.id, backend: observed.shared.backend.group?.id };
  return (source) => {
    if (source === 'managed') return (known.managed as GroupRef | undefined) ?? source;
    if (source === 'backend') return (known.backend as GroupRef | undefined) ?? source;
    return source;
  };
}

function isTagged({ securityGroups }: Facts, group: string, cluster: string): boolean {
  const found = securityGroups.find(({ id }) => id === group);
  return found !== undefined && Object.hasOwn(found.tags, clusterTag(cluster));
}

function problemOf(id: string, tagged: readonly string[], cluster: string): Shortfall {
  const which = tagged.length === 0 ? 'none of them is' : `${tagged.join(', ')} all are`;
  return {
    reason: 'SecurityGroupAmbiguous',
    message: `interface ${id} has several security groups and ${which} tagged ${clusterTag(cluster)}; exactly one must be, or its targets stay closed to the load balancer`,
  };
}
