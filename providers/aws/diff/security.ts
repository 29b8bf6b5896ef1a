import type { ObservedRule, ObservedSecurityGroup, Ref, Rule, RuleOf } from '../model.ts';
import { backendName, backendTags, LBC_TAG, RESOURCE, ruleDescription, TAG } from '../names.ts';
import { foreign, resourceOf } from '../ownership.ts';
import { limitOf } from '../quotas.ts';
import { keyOf } from '../rules.ts';
import { groupRef } from './balancer.ts';
import type { Match } from './match.ts';
import { type Step, step } from './stages.ts';
import { tagChange, wantedTags } from './tags.ts';

/** Security groups: the managed one with the rules for clients, and the shared one that nodes know load balancers by. */
export function securitySteps(match: Match): readonly Step[] {
  return [...managedSteps(match), ...backendSteps(match), ...surplusSteps(match)];
}

function managedSteps(match: Match): readonly Step[] {
  const { stack, managed, desired, settings, observed } = match;
  if (stack.securityGroup === undefined || managed === undefined) return [];
  const { description, ingress } = stack.securityGroup;
  const group = managed.ref;
  const tags = wantedTags(desired, settings, RESOURCE.securityGroup);
  if (managed.seen === undefined) {
    return [
      step('prepare', {
        kind: 'CreateSecurityGroup',
        target: group.name,
        reason: 'clients need a way in',
        group,
        description,
        vpcId: observed.facts.vpcId,
        tags,
      }),
      ...authorize(match, group, ingress),
    ];
  }
  return [...groupTagSteps(match, managed.seen, group), ...ruleSteps(match, managed.seen, group, ingress)];
}

function groupTagSteps(match: Match, seen: ObservedSecurityGroup, group: Ref): readonly Step[] {
  const { desired, settings } = match;
  const { set, remove } = tagChange(wantedTags(desired, settings, RESOURCE.securityGroup), seen.tags, settings);
  const target = seen.name;
  const added = Object.keys(set).join(', ');
  const at = seen.tags[TAG.cluster] === undefined ? 'adopt' : 'prepare';
  return [
    ...(added === ''
      ? []
      : [step(at, { kind: 'CreateTags', target, reason: `tags differ: ${added}`, group, tags: set })]),
    ...(remove.length === 0
      ? []
      : [
          step('close', {
            kind: 'DeleteTags',
            target,
            reason: `nobody wants ${remove.join(', ')}`,
            group,
            keys: remove,
          }),
        ]),
  ];
}

/** New ways in before old ones are closed, unless the group has no room for both. Rules of others stay. */
function ruleSteps(match: Match, seen: ObservedSecurityGroup, group: Ref, wanted: readonly Rule[]): readonly Step[] {
  if (seen.rules === 'unread') return [];
  const has = new Set(seen.rules.map(keyOf));
  const wants = new Set(wanted.map(keyOf));
  const add = wanted.filter((rule) => !has.has(keyOf(rule)));
  const remove = seen.rules.filter((rule) => !wants.has(keyOf(rule)) && isOurRule(rule, seen, match));
  const isFull = seen.rules.length + add.length > limitOf(match.observed.facts, 'rules-per-security-group');
  return [...authorize(match, group, add), ...revoke(group, remove, isFull ? 'prepare' : 'shape')];
}

/** The reference's rules in its managed groups have no description; elsewhere that says nothing. */
function isOurRule(
  { description }: ObservedRule,
  { tags }: ObservedSecurityGroup,
  { settings }: Pick<Match, 'settings'>,
): boolean {
  if (description === ruleDescription(settings.cluster)) return true;
  return description === '' && tags[LBC_TAG.resource] === RESOURCE.securityGroup;
}

export function authorize(
  match: Match,
  group: Ref,
  rules: readonly Rule[],
  at: 'create' | 'serve' = 'create',
): readonly Step[] {
  if (rules.length === 0) return [];
  const description = ruleDescription(match.settings.cluster);
  const given = rules.map(
    ({ protocol, from, to, source }): RuleOf<Ref> => ({
      protocol,
      from,
      to,
      source: 'group' in source ? { group: groupRef(match, source.group) } : source,
      description,
    }),
  );
  const reason = `${rulesText(given)} to come in`;
  return [step(at, { kind: 'AuthorizeSecurityGroupIngress', target: group.name, reason, group, rules: given })];
}

export function revoke(group: Ref, rules: readonly ObservedRule[], at: 'prepare' | 'shape' | 'sweep'): readonly Step[] {
  if (rules.length === 0) return [];
  const given = rules.map(({ protocol, from, to, source, description }): RuleOf<Ref> => {
    const refs = 'group' in source ? { group: { resource: '', name: source.group, id: source.group } } : source;
    return { protocol: protocol as Rule['protocol'], from, to, source: refs, description };
  });
  const reason = `${rulesText(given)} not needed any more`;
  return [step(at, { kind: 'RevokeSecurityGroupIngress', target: group.name, reason, group, rules: given })];
}

function rulesText(rules: readonly RuleOf<Ref>[]): string {
  const [first] = rules;
  if (first === undefined) return 'nothing';
  const { protocol, from, to, source } = first;
  const from_ =
    'cidr' in source ? source.cidr : 'group' in source ? (source.group.id ?? source.group.name) : source.prefixList;
  const text = `${protocol} ${from === to ? from : `${from}-${to}`} from ${from_}`;
  return rules.length === 1 ? `${text} is` : `${text} and ${rules.length - 1} more are`;
}

function backendSteps(match: Match): readonly Step[] {
  const { stack, backend, observed, settings } = match;
  const isUsed = stack.loadBalancer.securityGroups.includes('backend');
  if (!isUsed) return unusedBackendSteps(match);
  if (backend.seen !== undefined) return [];
  const name = backendName(settings.cluster);
  const holder = observed.names.securityGroups.get(name);
  if (holder !== undefined) foreign('security group', holder, `has the name ${name} and is not tagged as ours`);
  return [
    step('prepare', {
      kind: 'CreateSecurityGroup',
      target: name,
      reason: 'nodes know load balancers of this cluster by it',
      group: backend.ref,
      description: '[k8s] Shared Backend SecurityGroup for LoadBalancer',
      vpcId: observed.facts.vpcId,
      tags: backendTags(settings.cluster),
    }),
  ];
}

/** Whether nobody else is left who uses the shared group, or will. */
export function isBackendFree({ shared }: Pick<Match['observed'], 'shared'>): boolean {
  const { backend, complete } = shared;
  return backend.group !== undefined && complete && backend.users === 0 && !backend.wanted;
}

/** Ids of the groups that go in this pass: who still attaches one keeps it. */
export function leavingGroups(match: Match): readonly string[] {
  const { surplusSecurityGroups, old, backend, stack, observed } = match;
  const attached = new Set(old.flatMap(({ securityGroups }) => securityGroups));
  const isBackendGoing = !stack.loadBalancer.securityGroups.includes('backend') && isBackendFree(observed);
  const ids = [...surplusSecurityGroups, ...(isBackendGoing && backend.seen !== undefined ? [backend.seen] : [])];
  return ids.map(({ id }) => id).filter((id) => !attached.has(id));
}

function unusedBackendSteps(match: Match): readonly Step[] {
  const { ref } = match.backend;
  if (ref.id === undefined || !leavingGroups(match).includes(ref.id)) return [];
  return [groupDeletion(ref, 'shared', 'no load balancer uses it')];
}

function surplusSteps(match: Match): readonly Step[] {
  const leaving = new Set(leavingGroups(match));
  return match.surplusSecurityGroups
    .filter(({ id }) => leaving.has(id))
    .map(({ name, id, tags }) =>
      groupDeletion({ resource: resourceOf(tags) ?? '', name, id }, 'unlink', 'the load balancer has other groups'),
    );
}

export function groupDeletion(group: Ref, at: 'unlink' | 'shared', reason: string): Step {
  return step(at, { kind: 'DeleteSecurityGroup', target: group.name, reason, group });
}
