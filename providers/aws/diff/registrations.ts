import type { ObservedTarget, ObservedTargetGroup, Ref, StackPort, TargetDescription } from '../model.ts';
import { resourceOf } from '../ownership.ts';
import { limitOf, registered, targetsLimit } from '../quotas.ts';
import { targetId, targetKey, targetsOf } from '../targets.ts';
import { forwardsOf, isCompatible, type Match } from './match.ts';
import { type Step, step } from './stages.ts';

/** RegisterTargets and DeregisterTargets take so many. */
const BATCH = 200;

/** What is to be done with the targets of one group. */
export interface Registration {
  readonly targetGroup: Ref;
  readonly port: StackPort;
  /** A listener leads to it, or no listener is about to be made. */
  readonly isServed: boolean;
  readonly missing: readonly TargetDescription[];
  /** To be deregistered now. */
  readonly leaving: readonly ObservedTarget[];
  /** Not wanted, but kept until newcomers are healthy. */
  readonly held: readonly ObservedTarget[];
}

/**
 * Targets: deregistered before anything else is written, so that neither a quota nor a failure is in their way, and
 * registered beside the listeners. What left its EndpointSlice goes at once; what goes otherwise (a node, a filter, another
 * port of the same target) waits while it is healthy and those who come are not yet, unless the quota has no room for both.
 */
export function registrationSteps(match: Match): readonly Step[] {
  return registrations(match).flatMap(({ targetGroup, missing, leaving, isServed }) => [
    ...batches(leaving).map((targets) =>
      step('prepare', {
        kind: 'DeregisterTargets',
        target: targetGroup.name,
        reason: `${named(targets)} not wanted any more`,
        targetGroup,
        targets: targets.map(({ id, port, zone }) => ({ id, port, ...(zone === undefined ? {} : { zone }) })),
      }),
    ),
    ...batches(missing).map((targets) =>
      step(isServed ? 'shape' : 'serve', {
        kind: 'RegisterTargets',
        target: targetGroup.name,
        reason: `${named(targets)} wanted`,
        targetGroup,
        targets,
      }),
    ),
  ]);
}

/** Of the groups of the load balancer that is wanted, and of the one that it replaces, which serves until the end. */
export function registrations(match: Match): readonly Registration[] {
  const wanted = match.ports.flatMap(({ port, group, listener }) =>
    registrationOf(
      match,
      port,
      group.ref,
      group.seen,
      listener !== undefined || match.balancer.seen?.listeners === 'unread',
    ),
  );
  const serving = new Set(match.old.flatMap((balancer) => [...forwardsOf(balancer)]));
  const replaced = match.surplusGroups.flatMap((group) => {
    const port = match.stack.ports.find((each) => each.group.resource === resourceOf(group.tags));
    const isUsed = serving.has(group.arn) || match.old.some(({ arn }) => group.loadBalancers.includes(arn));
    if (port === undefined || !isUsed || group.targetType !== port.group.targetType) return [];
    if (!isCompatible({ ...port.group, protocol: group.protocol }, group)) return [];
    const ref: Ref = { resource: port.group.resource, name: group.name, id: group.arn };
    return registrationOf(match, port, ref, group, true);
  });
  return [...wanted, ...replaced];
}

function registrationOf(
  { desired, settings, observed, ports }: Match,
  port: StackPort,
  targetGroup: Ref,
  seen: ObservedTargetGroup | undefined,
  isServed: boolean,
): readonly Registration[] {
  if (seen?.targets === 'unread') return [];
  const targets = targetsOf(desired, port, observed.facts, settings);
  const wanted = new Set(targets.map(targetKey));
  const present = (seen?.targets ?? []).filter(({ state }) => state !== 'draining');
  const has = new Set(present.map(targetKey));
  const missing = targets.filter((target) => !has.has(targetKey(target)));
  const surplus = present.filter((target) => !wanted.has(targetKey(target)));
  const mayGo = desired.multiCluster ? surplus.filter(isLeavingOf(desired)) : surplus;
  const limit = limitOf(observed.facts, 'targets-per-target-group');
  const isFull =
    present.length + missing.length > limit ||
    isBalancerFull(desired.attributes, observed.facts, ports, missing.length);
  const isHeld = isFull ? () => false : holding({ desired, targets, present, missing, wanted });
  return [
    {
      targetGroup,
      port,
      isServed,
      missing,
      leaving: mayGo.filter((target) => !isHeld(target)),
      held: mayGo.filter(isHeld),
    },
  ];
}

function isBalancerFull(
  attributes: Match['desired']['attributes'],
  facts: Match['observed']['facts'],
  ports: Match['ports'],
  more: number,
): boolean {
  const total = ports.reduce((sum, { group }) => sum + (group.seen === undefined ? 0 : registered(group.seen)), 0);
  const isCrossZone = attributes['load_balancing.cross_zone.enabled'] === 'true';
  return total + more > limitOf(facts, targetsLimit(isCrossZone));
}

interface Holding {
  readonly desired: Match['desired'];
  readonly targets: readonly TargetDescription[];
  readonly present: readonly ObservedTarget[];
  readonly missing: readonly TargetDescription[];
  readonly wanted: ReadonlySet<string>;
}

/** Whether a target that is not wanted stays for now: it works, and its successors are still on their way. */
function holding({ desired, targets, present, missing, wanted }: Holding): (target: ObservedTarget) => boolean {
  const isComing = present.some((target) => target.state === 'initial' && wanted.has(targetKey(target)));
  if (missing.length === 0 && !isComing) return () => false;
  const isLeaving = isLeavingOf(desired);
  const ids = new Set(targets.map(({ id }) => id));
  const isReplaced = ({ id }: ObservedTarget): boolean => desired.targetType === 'instance' || ids.has(id);
  return (target) => target.state === 'healthy' && !isLeaving(target) && isReplaced(target);
}

/** The spec says that it drains: whoever decided that has waited long enough. */
function isLeavingOf(desired: Match['desired']): (target: TargetDescription) => boolean {
  const draining = desired.targets.filter((target) => target.draining === true);
  const ids = new Set(draining.map((target) => targetId(target, desired)));
  return ({ id }) => ids.has(id);
}

function batches<T>(items: readonly T[]): readonly (readonly T[])[] {
  return Array.from({ length: Math.ceil(items.length / BATCH) }, (_, index) =>
    items.slice(index * BATCH, (index + 1) * BATCH),
  );
}

function named(targets: readonly TargetDescription[]): string {
  const [first] = targets;
  if (first === undefined) return 'none';
  return targets.length === 1 ? `${targetKey(first)} is` : `${targetKey(first)} and ${targets.length - 1} more are`;
}
