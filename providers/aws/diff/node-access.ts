import type { Cidr } from '../../../src/core/provider.ts';
import type { GroupRef, NodeRule, ObservedRule, PortRange, Ref, Rule } from '../model.ts';
import { LBC_RULE_DESCRIPTION, ruleDescription } from '../names.ts';
import { holds, hull, needKey, rangeOf } from '../needs.ts';
import { nodeGroupsOf, rulesOf } from '../node-rules.ts';
import { limitOf } from '../quotas.ts';
import { ALL_PORTS, isGroup } from '../rules.ts';
import type { Match } from './match.ts';
import { authorize, leavingGroups, revoke } from './security.ts';
import type { Step } from './stages.ts';

/**
 * Rules in the groups of nodes and pods. They are shared: one range per node group, protocol and source group covers all
 * Services, grows before it is needed, and goes with the last Service. What a rule of anybody allows already is not
 * written again, so that a restart, which does not know all Services yet, writes nothing.
 */
export function nodeAccessSteps(match: Match): readonly Step[] {
  const { desired, observed, settings, stack } = match;
  const { groups } = nodeGroupsOf(desired, observed.facts, settings);
  const needs = rulesOf(stack, groups, observed, settings);
  const byGroup = Map.groupBy(needs, ({ group }) => group);
  const leaving = new Set(leavingGroups(match));
  const serving = new Set(match.old.flatMap(({ securityGroups }) => securityGroups));
  return [...observed.shared.nodeGroups].flatMap(([group, seen]) => {
    const own = byGroup.get(group) ?? [];
    const { add, remove } = changeOf({ match, group, seen, own, leaving, serving });
    const ref: Ref = { resource: '', name: group, id: group };
    const isFull = seen.length + add.length > limitOf(observed.facts, 'rules-per-security-group');
    // Before the load balancer's groups change, its packets must be let in from the new ones.
    const isChange = match.balancer.seen !== undefined;
    return [
      ...authorize(match, ref, add, isChange ? 'create' : 'serve'),
      ...revoke(ref, remove, isFull && add.length > 0 ? 'prepare' : 'sweep'),
    ];
  });
}

interface GroupChange {
  readonly match: Match;
  readonly group: string;
  readonly seen: readonly ObservedRule[];
  readonly own: readonly NodeRule[];
  /** Source groups that are about to be deleted. */
  readonly leaving: ReadonlySet<string>;
  /** Source groups of load balancers that are being replaced. */
  readonly serving: ReadonlySet<string>;
}

function changeOf({ match, group, seen, own, leaving, serving }: GroupChange): {
  readonly add: readonly Rule[];
  readonly remove: readonly ObservedRule[];
} {
  const { uid } = match.desired;
  const { needs, complete } = match.observed.shared;
  const ours = seen.filter(({ description }) => description === ruleDescription(match.settings.cluster));
  const add: Rule[] = [];
  const keep = new Map<string, PortRange>(); // rule -> what all Services need of it
  for (const [key, same] of Map.groupBy(own, needKey)) {
    const [first] = same;
    if (first === undefined) continue;
    const others = needs.others(uid, first);
    const wanted = hull([...same.map(rangeOf), ...(others === undefined ? [] : [others])]) as PortRange;
    keep.set(key, wanted);
    const there = seen.filter((rule) => isSameWay(rule, first));
    const isTooWide = (rule: PortRange): boolean => complete && isAll(rule) && !isAll(wanted);
    if (same.every((rule) => there.some((has) => holds(has, rangeOf(rule)) && !isTooWide(has)))) continue;
    const old = isGroup(first.source) ? ours.filter((rule) => isSameWay(rule, first) && !isTooWide(rule)) : [];
    add.push(toRule(first, hull([wanted, ...old]) as PortRange));
  }
  const theirs = match.settings.adoptLbc ? seen.filter(({ description }) => description === LBC_RULE_DESCRIPTION) : [];
  // A managed group that was taken over is still named by its maker's rules, and could not go.
  const blocking = theirs.filter(({ source }) => 'group' in source && leaving.has(source.group));
  return { add, remove: [...ours.filter((rule) => isStale(rule)), ...blocking] };

  /** Held by a wider one, or from a group that goes, or needed by nobody. */
  function isStale(rule: ObservedRule): boolean {
    const source = 'group' in rule.source ? rule.source.group : 'cidr' in rule.source ? rule.source.cidr : undefined;
    if (source === undefined || (rule.protocol !== 'tcp' && rule.protocol !== 'udp')) return false;
    if (leaving.has(source)) return true;
    if (serving.has(source) && !keep.has(needKey(asNeed(rule, group, source)))) return false;
    const need = asNeed(rule, group, source);
    const wider = add.find((each) => sourceOf(each) === source && each.protocol === rule.protocol && holds(each, rule));
    if ('group' in rule.source && wider !== undefined) return true;
    // Others look after groups in which this Service needs nothing.
    if (!complete || own.length === 0) return false;
    const wanted = keep.get(needKey(need)) ?? needs.others(uid, need);
    return wanted === undefined || (isAll(rule) && !isAll(wanted));
  }
}

/** A rule of a node group in the words of needs. */
export function asNeed({ protocol, from, to }: ObservedRule, group: string, source: string): NodeRule {
  return {
    group,
    protocol: protocol as NodeRule['protocol'],
    ...(from === to ? { port: from } : {}),
    source: source as GroupRef | Cidr,
  };
}

const sourceOf = ({ source }: Rule): string | undefined =>
  'group' in source ? source.group : 'cidr' in source ? source.cidr : undefined;

const isAll = (range: PortRange): boolean => holds(range, ALL_PORTS);

function isSameWay(rule: ObservedRule, need: NodeRule): boolean {
  if (rule.protocol !== need.protocol) return false;
  if ('group' in rule.source) return rule.source.group === need.source;
  return 'cidr' in rule.source && rule.source.cidr === need.source;
}

function toRule({ protocol, source }: NodeRule, { from, to }: PortRange): Rule {
  return { protocol, from, to, source: isGroup(source) ? { group: source } : { cidr: source } };
}
