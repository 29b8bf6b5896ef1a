import type { Ingress, Progress, Shortfall } from '../../src/core/provider.ts';
import { listenersOf, type Match, match } from './diff/match.ts';
import { registrations } from './diff/registrations.ts';
import { isBackendFree } from './diff/security.ts';
import { guardsOf } from './guards.ts';
import type { Desired, Observed, ObservedLoadBalancer, Settings } from './model.ts';
import { nameOf, printOf } from './names.ts';
import { nodeGroupsOf } from './node-rules.ts';
import { ownedParts, retiringSince } from './ownership.ts';
import { preflight, registered } from './quotas.ts';
import { isProtected, switchObstacle } from './replacement.ts';
import { packetsOf } from './rules.ts';

/** Hash of the wishes without the targets: a restart reads a Service whole whose print differs. */
export const PRINT_ANNOTATION = 'fairlead.dev/observed-spec';

/** Provisioning takes two to three minutes; who waits for it must not wait longer for our look. */
const PROVISIONING_MS = 5000;
/** The first look at a load balancer that has just been made: some are there at once, and all looks are shared. */
const FIRST_LOOK_MS = 1000;
const HEALTH_MS = 10_000;
const FAILED_MS = 60_000;

/**
 * Ready with the hostname when the load balancer is active; with `undefined` when no part is left. While a load balancer
 * replaces another, pending until the switch: the published hostname stays.
 */
export function progress(desired: Desired | undefined, observed: Observed, settings: Settings): Progress {
  return outlook(desired, observed, settings).progress;
}

/** `progress`, and what a wait is for: only who waits for targets asks for their health. */
export function outlook(desired: Desired | undefined, observed: Observed, settings: Settings): Outlook {
  if (desired === undefined) return outlookOf(removalProgress(observed, settings), 'balancer');
  const matched = match(desired, observed, settings);
  const wait = waitOf(matched);
  if (wait === undefined) return { progress: served(desired, matched) };
  const { on, ...said } = wait;
  return outlookOf({ state: 'pending', ...said, ...eventsOf(matched) }, on);
}

export interface Outlook {
  readonly progress: Progress;
  /** Absent: it is ready. */
  readonly waitsOn?: WaitsOn;
}
export type WaitsOn = 'balancer' | 'targets';

const outlookOf = (progress: Progress, on: WaitsOn): Outlook =>
  progress.state === 'pending' ? { progress, waitsOn: on } : { progress };

function served(desired: Desired, matched: Match): Progress {
  const { seen } = matched.balancer;
  const shortfalls = shortfallsOf(matched);
  return {
    state: 'ready',
    ingress: seen === undefined ? [] : [ingressOf(seen, matched)],
    ...(shortfalls.length === 0 ? {} : { shortfalls }),
    annotations: { [PRINT_ANNOTATION]: specPrint(desired) },
    ...eventsOf(matched),
  };
}

/** What `PRINT_ANNOTATION` holds for these wishes. */
export function specPrint({ targets: _, ports, ...rest }: Desired): string {
  return printOf({ ...rest, ports: ports.map(({ targetPort: __, ...port }) => port) });
}

function removalProgress(observed: Observed, settings: Settings): Progress {
  const { loadBalancers, targetGroups, securityGroups } = ownedParts(observed, settings);
  const names = [...loadBalancers, ...targetGroups, ...securityGroups].map(({ name }) => name);
  const backend = observed.shared.backend.group;
  if (backend !== undefined && isBackendFree(observed)) names.push(backend.name);
  if (names.length === 0) return { state: 'ready', ingress: [], annotations: { [PRINT_ANNOTATION]: null } };
  return { state: 'pending', reason: `${names.join(', ')} still exist`, retryAfterMs: PROVISIONING_MS };
}

interface Wait {
  readonly reason: string;
  readonly retryAfterMs: number;
  readonly on: WaitsOn;
}

function waitOf(matched: Match): Wait | undefined {
  const { balancer, old, settings, observed } = matched;
  const { seen, ref } = balancer;
  if (seen === undefined)
    return { reason: `load balancer ${ref.name} is being made`, retryAfterMs: PROVISIONING_MS, on: 'balancer' };
  const replaces = old.filter((each) => retiringSince(each) === undefined);
  const obstacle = replaces.length > 0 ? switchObstacle(matched) : undefined;
  if (obstacle !== undefined)
    return { reason: `${obstacle}; the old one serves`, retryAfterMs: HEALTH_MS, on: 'targets' };
  if (seen.state === 'provisioning') {
    const retryAfterMs = provisioningLook(seen, observed.nowMs);
    return { reason: `load balancer ${seen.name} is provisioning`, retryAfterMs, on: 'balancer' };
  }
  if (seen.state === 'failed') {
    const why = seen.stateReason === undefined ? '' : `: ${seen.stateReason}`;
    return { reason: `load balancer ${seen.name} has failed${why}`, retryAfterMs: FAILED_MS, on: 'balancer' };
  }
  if (settings.waitForHealthyTarget && isWaitingForTarget(matched)) {
    return { reason: `no target of ${seen.name} is healthy yet`, retryAfterMs: HEALTH_MS, on: 'targets' };
  }
  const held = registrations(matched).flatMap((registration) => registration.held);
  if (held.length === 0) return undefined;
  const reason = `${held.length} targets stay until their successors are healthy`;
  return { reason, retryAfterMs: HEALTH_MS, on: 'targets' };
}

/** As long again as it has taken already; by AWS's clock and ours, which may differ a little. */
function provisioningLook({ createdMs }: ObservedLoadBalancer, nowMs: number): number {
  if (createdMs === undefined) return PROVISIONING_MS;
  return Math.min(Math.max(Math.abs(nowMs - createdMs), FIRST_LOOK_MS), PROVISIONING_MS);
}

function ingressOf({ dnsName }: ObservedLoadBalancer, { desired }: Match): Ingress {
  const ports = desired.ports.flatMap(({ port, listener }) =>
    packetsOf(listener.protocol).map((protocol) => ({ port, protocol: protocol === 'tcp' ? 'TCP' : 'UDP' }) as const),
  );
  return { hostname: dnsName.toLowerCase(), ports };
}

/** 'none': every target that was read fails its check, and there are some; 'unknown': nothing was read, or checks run. */
function healthOf({ ports }: Match): 'some' | 'none' | 'unknown' {
  const groups = ports.map(({ group }) => group.seen?.targets ?? 'unread');
  const states = groups.flatMap((targets) => (targets === 'unread' ? [] : targets.map(({ state }) => state)));
  if (states.includes('healthy')) return 'some';
  if (groups.includes('unread') || states.length === 0) return 'unknown';
  return states.every((state) => state === 'unhealthy' || state === 'unhealthy.draining') ? 'none' : 'unknown';
}

/** Unread targets keep nobody waiting: the hostname may be published long since. */
function isWaitingForTarget({ ports }: Match): boolean {
  const groups = ports.map(({ group }) => group.seen?.targets ?? []);
  return !groups.some((targets) => targets === 'unread' || targets.some(({ state }) => state === 'healthy'));
}

function shortfallsOf(matched: Match): readonly Shortfall[] {
  const { desired, stack, observed, settings } = matched;
  return [
    ...desired.shortfalls,
    ...guardsOf(desired, stack).shortfalls,
    ...nodeGroupsOf(desired, observed.facts, settings).problems,
    ...unhealthy(matched),
    ...nameKept(matched),
    ...protectedOld(matched),
    ...overQuota(matched),
  ];
}

function unhealthy(matched: Match): readonly Shortfall[] {
  if (healthOf(matched) !== 'none') return [];
  const reasons = matched.ports
    .flatMap(({ group }) => (group.seen === undefined || group.seen.targets === 'unread' ? [] : group.seen.targets))
    .flatMap(({ reason }) => reason ?? []);
  const why = [...new Set(reasons)].sort().join(', ');
  return [
    { reason: 'NoHealthyTargets', message: `every target fails its health check${why === '' ? '' : `: ${why}`}` },
  ];
}

/** A name is for good: no call changes it. */
function nameKept({ stack, balancer }: Match): readonly Shortfall[] {
  const { name } = stack.loadBalancer;
  const has = balancer.seen?.name;
  if (!('fixed' in name) || has === undefined || has === name.fixed || has === nameOf(name, 1)) return [];
  const field = 'service.beta.kubernetes.io/aws-load-balancer-name';
  return [
    {
      reason: 'NameNotChanged',
      field,
      message: `the load balancer keeps its name ${has}; only a new one can be ${name.fixed}`,
    },
  ];
}

function protectedOld({ old }: Match): readonly Shortfall[] {
  return old.filter(isProtected).map(({ arn }) => ({
    reason: 'DeletionProtected',
    message: `the replaced load balancer ${arn} has deletion_protection.enabled and stays`,
  }));
}

/** What AWS will refuse of the first creation; nothing once there is a load balancer. Throws as `resolve`. */
export function lackingQuotas(desired: Desired, observed: Observed, settings: Settings): readonly Shortfall[] {
  const matched = match(desired, observed, settings);
  return matched.balancer.seen === undefined ? overQuota(matched) : [];
}

function overQuota({ desired, stack, ports, balancer, observed }: Match): readonly Shortfall[] {
  const inGroups = ports.map(({ group }) => (group.seen === undefined ? 0 : registered(group.seen)));
  const wanted = desired.targets.filter(({ draining }) => draining !== true).length;
  const isNew = balancer.seen === undefined;
  const demand = {
    newLoadBalancers: isNew ? 1 : 0,
    newTargetGroups: isNew ? ports.filter(({ group }) => group.seen === undefined).length : 0,
    listeners: Math.max(listenersOf(balancer.seen).length, stack.ports.length),
    certificates: new Set(stack.ports.flatMap(({ listener }) => listener.certificates)).size,
    targetsInGroup: Math.max(wanted, ...inGroups),
    targets: wanted * stack.ports.length,
    crossZone: desired.attributes['load_balancing.cross_zone.enabled'] === 'true',
    ingressRules: stack.securityGroup?.ingress.length ?? 0,
  };
  return preflight(demand, observed.facts).map(({ limit, used, allowed }) => ({
    reason: 'QuotaExceeded',
    message: `${limit}: ${used} wanted, AWS allows ${allowed}`,
  }));
}

function eventsOf({ desired, stack }: Match): Pick<Progress, 'events'> {
  const warnings = [...desired.warnings, ...guardsOf(desired, stack).warnings];
  if (warnings.length === 0) return {};
  return { events: warnings.map(({ reason, message }) => ({ type: 'Warning', reason, message })) };
}
