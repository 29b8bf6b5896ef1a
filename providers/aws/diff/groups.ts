import { isEqual } from '../../../src/core/equal.ts';
import { attributeChange, beyondDefault, recordedKeys, recordTags, targetGroupDefault } from '../attributes.ts';
import type { Health, ObservedTargetGroup, Ref } from '../model.ts';
import { resourceOf } from '../ownership.ts';
import { forwardsOf, liveArns, type Match, type PortMatch } from './match.ts';
import { type Step, step } from './stages.ts';
import { recordSteps, tagSteps, wantedTags } from './tags.ts';

/** Target groups: made, changed, and those that stand for nothing deleted; their targets are `registrations.ts`. */
export function groupSteps(match: Match): readonly Step[] {
  return [
    ...match.ports.flatMap((port) =>
      port.group.seen === undefined ? creation(match, port) : changes(match, port, port.group.seen),
    ),
    ...deletions(match),
  ];
}

function creation({ desired, settings, observed }: Match, { port, group }: PortMatch): readonly Step[] {
  const { targetType, protocol, port: number, ipAddressType, health, attributes, resource } = port.group;
  const set = beyondDefault(attributes, targetGroupDefault(port.group));
  const targetGroup = group.ref;
  const target = targetGroup.name;
  return [
    step('prepare', {
      kind: 'CreateTargetGroup',
      target,
      reason: `port ${port.port} has none`,
      targetGroup,
      targetType,
      protocol,
      port: number,
      ipAddressType,
      vpcId: observed.facts.vpcId,
      health,
      tags: { ...wantedTags(desired, settings, resource), ...recordTags(Object.keys(set)) },
    }),
    ...attributeSteps(targetGroup, set, 'as its annotations say'),
  ];
}

function changes({ desired, settings }: Match, { port, group }: PortMatch, seen: ObservedTargetGroup): readonly Step[] {
  const targetGroup = group.ref;
  const defaultOf = targetGroupDefault(port.group);
  const { attributes, health, resource } = port.group;
  const { set, reasons } = attributeChange(attributes, seen.attributes, {
    recorded: recordedKeys(seen.tags),
    defaultOf,
  });
  const record = Object.keys(beyondDefault(attributes, defaultOf));
  return [
    ...tagSteps({ targetGroup }, seen.name, {
      wanted: wantedTags(desired, settings, resource),
      observed: seen.tags,
      settings,
    }),
    ...(seen.attributes === 'unread' ? [] : recordSteps({ targetGroup }, seen.name, record, seen.tags)),
    ...attributeSteps(targetGroup, set, reasons.join('; ')),
    ...(isEqual(health, seen.health)
      ? []
      : [
          step('create', {
            kind: 'ModifyTargetGroup',
            target: seen.name,
            reason: healthReason(health, seen.health),
            targetGroup,
            health,
          }),
        ]),
  ];
}

function healthReason(wanted: Health, has: Health): string {
  const members = Object.keys({ ...has, ...wanted }) as (keyof Health)[];
  const changed = members.filter((member) => wanted[member] !== has[member]);
  return `the health check's ${changed.map((member) => `${member} is ${has[member]}, not ${wanted[member]}`).join('; ')}`;
}

function attributeSteps(
  targetGroup: Ref,
  attributes: Readonly<Record<string, string>>,
  reason: string,
): readonly Step[] {
  if (Object.keys(attributes).length === 0) return [];
  const target = targetGroup.name;
  return [step('create', { kind: 'ModifyTargetGroupAttributes', target, reason, targetGroup, attributes })];
}

/** Those of a load balancer that is being replaced go with it; those that others use are theirs to let go. */
function deletions({ surplusGroups, old, balancer, observed, keptListeners }: Match): readonly Step[] {
  const live = liveArns(observed);
  const others = keptListeners.flatMap(({ forward }) => forward.map(({ arn }) => arn));
  const serving = new Set([...old.flatMap((each) => [...forwardsOf(each)]), ...others]);
  const current = balancer.seen?.listeners === 'unread' ? undefined : balancer.seen?.arn;
  return surplusGroups
    .filter(({ arn, loadBalancers }) => {
      const users = loadBalancers.filter((user) => user !== current && live(user));
      return users.length === 0 && !serving.has(arn);
    })
    .map((group) => deletion(group, 'no port wants it'));
}

export function deletion({ name, arn, tags }: ObservedTargetGroup, reason: string): Step {
  const targetGroup: Ref = { resource: resourceOf(tags) ?? '', name, id: arn };
  return step('sweep', { kind: 'DeleteTargetGroup', target: name, reason, targetGroup });
}
