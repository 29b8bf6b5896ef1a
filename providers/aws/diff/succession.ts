import type { ObservedLoadBalancer, Ref } from '../model.ts';
import { RESOURCE, TAG } from '../names.ts';
import { retiringSince } from '../ownership.ts';
import { limitOf } from '../quotas.ts';
import { isProtected, retirementMs, switchObstacle } from '../replacement.ts';
import { deletion } from './groups.ts';
import { forwardsOf, type Match } from './match.ts';
import { type Step, step } from './stages.ts';

/**
 * A load balancer that another one replaces: stamped when the status switches to its successor, kept for those who still
 * come to it, then deleted. Where the region has no room for two it goes first, and says so.
 */
export function successionSteps(match: Match): readonly Step[] {
  const { old, balancer, observed } = match;
  if (old.length === 0) return [];
  if (balancer.seen === undefined) return hasRoom(match) ? [] : old.flatMap((each) => departure(match, each, NO_ROOM));
  const obstacle = switchObstacle(match);
  return old.flatMap((each): readonly Step[] => {
    if (retiringSince(each) === undefined) return obstacle === undefined ? [stamp(match, each)] : [];
    const atMs = retirementMs(each, match.owned.targetGroups, observed.startedMs) ?? Number.POSITIVE_INFINITY;
    return observed.nowMs < atMs ? [] : departure(match, each, 'its successor has served long enough');
  });
}

const NO_ROOM = 'the quota of load balancers has no room for it and its successor';

function hasRoom({ observed }: Match): boolean {
  return observed.facts.counts.loadBalancers < limitOf(observed.facts, 'network-load-balancers');
}

const refOf = ({ name, arn }: ObservedLoadBalancer): Ref => ({ resource: RESOURCE.loadBalancer, name, id: arn });

function stamp({ observed, balancer }: Match, old: ObservedLoadBalancer): Step {
  const reason = `the status names ${balancer.ref.name} from now on`;
  const tags = { [TAG.retiring]: String(Math.floor(observed.nowMs)) };
  return step('switch', { kind: 'AddTags', target: old.name, reason, on: { loadBalancer: refOf(old) }, tags });
}

/** Protection stays: `progress` says so. */
function departure({ surplusGroups }: Match, old: ObservedLoadBalancer, reason: string): readonly Step[] {
  if (isProtected(old)) return [];
  const forwarded = forwardsOf(old);
  const groups = surplusGroups.filter(
    ({ arn, loadBalancers }) => loadBalancers.includes(old.arn) || forwarded.has(arn),
  );
  return [
    step(reason === NO_ROOM ? 'prepare' : 'retire', {
      kind: 'DeleteLoadBalancer',
      target: old.name,
      reason,
      loadBalancer: refOf(old),
    }),
    ...groups.map((group) => deletion(group, 'its load balancer is replaced')),
  ];
}
