import { isEqual } from '../../../src/core/equal.ts';
import { attributeChange, beyondDefault, loadBalancerDefault, recordedKeys, recordTags } from '../attributes.ts';
import type { GroupRef, ObservedLoadBalancer, Ref, Stack, SubnetMapping } from '../model.ts';
import { RESOURCE, TAG } from '../names.ts';
import type { Match } from './match.ts';
import { type Step, step } from './stages.ts';
import { recordSteps, tagSteps, wantedTags } from './tags.ts';

/** Noted beside attribute keys: what other operations set away from the default. */
const PRIVATE_LINK = 'private_link';
const CAPACITY = 'capacity';

/** The load balancer itself: made, or brought into shape. */
export function balancerSteps(match: Match): readonly Step[] {
  const { seen } = match.balancer;
  return seen === undefined ? creation(match) : changes(match, seen);
}

/** The keys that are away from AWS's default. */
export function recordOf({ attributes, enforcePrivateLink, capacityUnits }: Stack['loadBalancer']): readonly string[] {
  return [
    ...Object.keys(beyondDefault(attributes, loadBalancerDefault)),
    ...(enforcePrivateLink === 'off' ? [PRIVATE_LINK] : []),
    ...((capacityUnits ?? 0) > 0 ? [CAPACITY] : []),
  ].sort();
}

/** A security group of the stack as actions name it. */
export function groupRef({ managed, backend }: Match, group: GroupRef): Ref {
  if (group === 'managed' && managed !== undefined) return managed.ref;
  if (group === 'backend') return backend.ref;
  return { resource: '', name: group, id: group };
}

/** What AWS does by itself is not sent: off, none, its defaults. */
function creation(match: Match): readonly Step[] {
  const { stack, desired, settings, balancer } = match;
  const { scheme, ipAddressType, sourceNat, subnets, securityGroups, attributes, ...rest } = stack.loadBalancer;
  const loadBalancer = balancer.ref;
  const target = loadBalancer.name;
  const tags = { ...wantedTags(desired, settings, RESOURCE.loadBalancer), ...recordTags(recordOf(stack.loadBalancer)) };
  const set = beyondDefault(attributes, loadBalancerDefault);
  const refs = securityGroups.map((group) => groupRef(match, group));
  const { enforcePrivateLink, capacityUnits = 0 } = rest;
  const why =
    match.old.length > 0 ? `the scheme becomes ${scheme}` : `Service ${desired.namespace}/${desired.name} has none`;
  return [
    step('create', {
      kind: 'CreateLoadBalancer',
      target,
      reason: why,
      loadBalancer,
      scheme,
      ipAddressType,
      ...(sourceNat === 'on' ? { sourceNat } : {}),
      subnets,
      securityGroups: refs,
      tags,
    }),
    ...(enforcePrivateLink === 'off' && refs.length > 0
      ? [
          step('shape', {
            kind: 'SetSecurityGroups',
            target,
            reason: 'traffic of PrivateLink is not checked',
            loadBalancer,
            securityGroups: refs,
            enforcePrivateLink,
          }),
        ]
      : []),
    ...attributeSteps(loadBalancer, set, 'as its annotation says'),
    ...(capacityUnits > 0 ? [capacityStep(loadBalancer, capacityUnits, 0)] : []),
  ];
}

function changes(match: Match, seen: ObservedLoadBalancer): readonly Step[] {
  const { stack, desired, settings, balancer } = match;
  const wanted = stack.loadBalancer;
  const { ref: loadBalancer } = balancer;
  const recorded = recordedKeys(seen.tags);
  const { set, reasons } = attributeChange(wanted.attributes, seen.attributes, {
    recorded,
    defaultOf: loadBalancerDefault,
  });
  return [
    ...tagSteps({ loadBalancer }, seen.name, {
      wanted: wantedTags(desired, settings, RESOURCE.loadBalancer),
      observed: seen.tags,
      settings,
    }),
    ...(seen.attributes === 'unread' ? [] : recordSteps({ loadBalancer }, seen.name, recordOf(wanted), seen.tags)),
    ...unretire(loadBalancer, seen),
    ...securityGroupSteps(match, seen, recorded),
    ...subnetSteps(loadBalancer, wanted, seen),
    ...(wanted.ipAddressType === seen.ipAddressType
      ? []
      : [
          step('family', {
            kind: 'SetIpAddressType',
            target: seen.name,
            reason: `it is ${seen.ipAddressType}, not ${wanted.ipAddressType}`,
            loadBalancer,
            ipAddressType: wanted.ipAddressType,
          }),
        ]),
    ...attributeSteps(loadBalancer, set, reasons.join('; ')),
    ...capacitySteps(loadBalancer, wanted.capacityUnits ?? (recorded.includes(CAPACITY) ? 0 : undefined), seen),
  ];
}

/** It was on its way out, and is wanted again. */
function unretire(loadBalancer: Ref, { name, tags }: ObservedLoadBalancer): readonly Step[] {
  if (tags[TAG.retiring] === undefined) return [];
  const reason = 'it is wanted again';
  const on = { loadBalancer };
  return [step('prepare', { kind: 'RemoveTags', target: name, reason, on, keys: [TAG.retiring] })];
}

function securityGroupSteps(match: Match, seen: ObservedLoadBalancer, recorded: readonly string[]): readonly Step[] {
  const { stack, balancer } = match;
  const wanted = stack.loadBalancer.securityGroups.map((group) => groupRef(match, group));
  if (wanted.length === 0) return [];
  const enforce = stack.loadBalancer.enforcePrivateLink ?? (recorded.includes(PRIVATE_LINK) ? 'on' : undefined);
  const has = new Set(seen.securityGroups);
  const isSame = wanted.length === has.size && wanted.every(({ id }) => id !== undefined && has.has(id));
  const isEnforced = enforce === undefined || (seen.enforcePrivateLink ?? 'on') === enforce;
  if (isSame && isEnforced) return [];
  const names = wanted.map(({ id, name }) => id ?? name).join(', ');
  return [
    step('shape', {
      kind: 'SetSecurityGroups',
      target: seen.name,
      reason: isSame ? `PrivateLink traffic is to be checked: ${enforce}` : `its security groups are to be ${names}`,
      loadBalancer: balancer.ref,
      securityGroups: wanted,
      ...(enforce === undefined ? {} : { enforcePrivateLink: enforce }),
    }),
  ];
}

/** All subnets are sent again with their addresses (ELBv2 SetSubnets). */
function subnetSteps(
  loadBalancer: Ref,
  { subnets, sourceNat }: Stack['loadBalancer'],
  seen: ObservedLoadBalancer,
): readonly Step[] {
  const isSame = (wanted: SubnetMapping): boolean => {
    const has = seen.subnets.find(({ id }) => id === wanted.id);
    return has !== undefined && differingMember(wanted, has) === undefined;
  };
  const changed = subnets.filter((subnet) => !isSame(subnet));
  const gone = seen.subnets.filter(({ id }) => !subnets.some((subnet) => subnet.id === id));
  const isNatSame = (seen.sourceNat ?? 'off') === sourceNat;
  if (changed.length + gone.length === 0 && isNatSame) return [];
  const reasons = [
    ...changed.map((wanted) => {
      const has = seen.subnets.find(({ id }) => id === wanted.id);
      return has === undefined ? `${wanted.id} is new` : `${wanted.id} has another ${differingMember(wanted, has)}`;
    }),
    ...gone.map(({ id }) => `${id} goes`),
    ...(isNatSame ? [] : [`source NAT by IPv6 prefix becomes ${sourceNat}`]),
  ];
  return [
    step('shape', {
      kind: 'SetSubnets',
      target: seen.name,
      reason: reasons.join('; '),
      loadBalancer,
      subnets,
      ...(isNatSame ? {} : { sourceNat }),
    }),
  ];
}

/** Addresses that nobody chose are AWS's to choose, but an elastic one is only ever there because it was. */
function differingMember(wanted: SubnetMapping, has: SubnetMapping): string | undefined {
  if (wanted.eip !== has.eip) return 'elastic address';
  const chosen = (['privateIpv4', 'ipv6', 'sourceNatPrefix'] as const).filter((member) => wanted[member] !== undefined);
  return chosen.find((member) => wanted[member] !== 'auto_assigned' && !isEqual(wanted[member], has[member]));
}

function attributeSteps(
  loadBalancer: Ref,
  attributes: Readonly<Record<string, string>>,
  reason: string,
): readonly Step[] {
  if (Object.keys(attributes).length === 0) return [];
  const target = loadBalancer.name;
  return [step('serve', { kind: 'ModifyLoadBalancerAttributes', target, reason, loadBalancer, attributes })];
}

function capacitySteps(
  loadBalancer: Ref,
  wanted: number | undefined,
  { capacityUnits: has }: ObservedLoadBalancer,
): readonly Step[] {
  if (wanted === undefined || has === 'unread' || has === wanted) return [];
  return [capacityStep(loadBalancer, wanted, has)];
}

function capacityStep(loadBalancer: Ref, units: number, has: number): Step {
  const reason = `reserved capacity is ${has}, not ${units}`;
  return step('serve', { kind: 'ModifyCapacityReservation', target: loadBalancer.name, reason, loadBalancer, units });
}
