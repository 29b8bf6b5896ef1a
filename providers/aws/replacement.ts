import type { Match } from './diff/match.ts';
import type { ObservedLoadBalancer, ObservedTargetGroup } from './model.ts';
import { resourceOf, retiringSince } from './ownership.ts';

/**
 * Clients keep an address of the old load balancer as long as DNS says, and longer: 5 minutes; one more because the status
 * is written some time after the stamp.
 */
const DNS_HOLD_MS = 360_000;
const DELAY = 'deregistration_delay.timeout_seconds';
const DEFAULT_DELAY_SECONDS = 300;

/** What still keeps the status from naming the new load balancer, as a clause for people; `undefined`: nothing does. */
export function switchObstacle(match: Match): string | undefined {
  const { balancer, ports, old } = match;
  const { seen } = balancer;
  if (seen === undefined) return `load balancer ${balancer.ref.name} is not made yet`;
  if (seen.state !== 'active') return `load balancer ${seen.name} is ${seen.state}`;
  if (seen.listeners === 'unread') return `the listeners of ${seen.name} were not read`;
  const closed = ports.find(({ listener }) => listener === undefined);
  if (closed !== undefined) return `${seen.name} has no listener on port ${closed.port.port}`;
  const waiting = ports.find(
    ({ group }) => !isHealthy(group.seen) && isHealthy(predecessor(match, group.ref.resource)),
  );
  if (waiting !== undefined && old.length > 0)
    return `${seen.name} has no healthy target for port ${waiting.port.port}`;
  return undefined;
}

/**
 * When a replaced load balancer may go, wall time in ms; `undefined`: it is not replaced yet. The time of the switch is on
 * its tag; a process that started later cannot know whether the status was written before, so its own start counts.
 */
export function retirementMs(
  balancer: ObservedLoadBalancer,
  groups: readonly ObservedTargetGroup[],
  startedMs: number,
): number | undefined {
  const since = retiringSince(balancer);
  if (since === undefined) return undefined;
  const delays = groups
    .filter(({ loadBalancers }) => loadBalancers.includes(balancer.arn))
    .map(({ attributes }) => (attributes === 'unread' ? Number.NaN : Number(attributes[DELAY])))
    .map((seconds) => (Number.isFinite(seconds) ? seconds : DEFAULT_DELAY_SECONDS) * 1000);
  return Math.max(since, startedMs) + Math.max(DNS_HOLD_MS, ...delays);
}

/** Deletion protection, whoever set it. */
export const isProtected = ({ attributes }: ObservedLoadBalancer): boolean =>
  attributes !== 'unread' && attributes['deletion_protection.enabled'] === 'true';

/** The group of the old load balancer for the same port. */
function predecessor({ surplusGroups, old }: Match, resource: string): ObservedTargetGroup | undefined {
  const arns = new Set(old.map(({ arn }) => arn));
  return surplusGroups.find(
    (group) => resourceOf(group.tags) === resource && group.loadBalancers.some((arn) => arns.has(arn)),
  );
}

function isHealthy(group: ObservedTargetGroup | undefined): boolean {
  return group !== undefined && group.targets !== 'unread' && group.targets.some(({ state }) => state === 'healthy');
}
