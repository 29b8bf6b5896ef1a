import { failure, isProviderError } from '../../core/errors.ts';
import type { RouteEvent } from '../../core/net/rtnetlink.ts';
import {
  createConcern,
  type HostObserved,
  type HostRouteAction,
  hostRouteActions,
  hostRouteRemovals,
  planHostRoutes,
} from '../../core/route/host.ts';
import { changesClaims, type HostClaims, type HostProblem, hostClaims } from '../../core/route/host-claims.ts';
import type { RouteChannel } from '../netlink/channel.ts';
import type { AgentContext, CleanupContext, Part } from '../part.ts';
import { createSysctls, enableForwarding } from '../sysctl.ts';
import { createBell } from './bell.ts';

export interface RoutesOptions {
  /** Between two looks at the whole table, with events of the kernel. A look costs a millisecond. */
  readonly auditMs: number;
  /** The same on a channel without events, and after a failure. */
  readonly pollMs: number;
}

export const routesDefaults: RoutesOptions = { auditMs: 60_000, pollMs: 1000 };

/** errno of Linux: a removal of what is not there; an addition of what somebody has just added. */
const ESRCH = 3;
const EEXIST = 17;
/** RTPROT_RA: learnt from router advertisements. */
const RA = 9;
/** Between two looks: well below the 100 ms in which a lost route is back, far above what a look costs. */
const GAP_MS = 40;
/** Looks in a row that found something to repair, before somebody else is suspected to undo our work. */
const FIGHT = 20;

/** Keeps host routes to the pod CIDRs of the nodes on this segment, and the free part of the own ones unreachable. */
export async function create(context: AgentContext, options: RoutesOptions = routesDefaults): Promise<Part> {
  let readiness: string | undefined = 'the routes have not been written yet';
  return {
    name: 'routes',
    ready: () => readiness,
    run: (signal) =>
      keepRoutes(context, options, signal, (reason) => {
        readiness = reason;
      }),
  };
}

/** Removes every route that this part ever made on the node. */
export async function cleanup({ routes, log }: CleanupContext): Promise<void> {
  const channel = await routes();
  const actions = hostRouteRemovals(await observe(channel));
  const failures = await apply(actions, channel, log);
  if (failures > 0) throw failure('FL_ROUTE_LEFT', `${failures} of ${actions.length} host routes could not be removed`);
}

async function keepRoutes(
  context: AgentContext,
  { auditMs, pollMs }: RoutesOptions,
  signal: AbortSignal,
  tell: (reason: string | undefined) => void,
): Promise<void> {
  const { nodeName, clock, log, metrics } = context;
  const nodes = context.nodes('all');
  await nodes.whenSynced(signal);
  const channel = await context.routes();
  await forward(context, channel);

  const bell = createBell(clock);
  let claims: HostClaims | undefined;
  let concerns: (event: RouteEvent) => boolean = () => true;
  const endChanges = nodes.onChange((old, now) => {
    if (!changesClaims(old, now)) return;
    claims = undefined;
    bell.ring();
  });
  const endEvents = channel.events((event) => {
    if (concerns(event)) bell.ring();
  });
  const notices = createNotices((problem) => {
    const { code, text, node, cidr } = problem;
    log.warn({ code, node, cidr, reason: text }, 'no host route');
  });

  /** One look and what it takes. Returns whether something of ours was not as we left it, and how much went wrong. */
  async function look(): Promise<{ readonly repaired: boolean; readonly failures: number }> {
    const isRepair = claims !== undefined;
    claims ??= hostClaims(nodes.list(), nodeName);
    // What happens while the tables are read may or may not be in them.
    concerns = () => true;
    const observed = await observe(channel);
    const plan = planHostRoutes(claims, observed);
    concerns = createConcern(claims, plan);
    const actions = hostRouteActions(plan, observed);
    const failures = await apply(actions, channel, log, (action, outcome) =>
      metrics.count('fairlead_host_route_changes_total', { kind: action.kind, outcome }),
    );
    notices.tell(plan.problems);
    metrics.set('fairlead_host_routes', {}, plan.routes.length - failures);
    metrics.set('fairlead_host_route_problems', {}, plan.problems.length);
    tell(failures === 0 ? undefined : `${failures} host routes could not be written`);
    return { repaired: isRepair && actions.length > 0, failures };
  }

  let repairs = 0; // looks in a row that changed something
  try {
    while (!signal.aborted) {
      const outcome = await look().catch((error: unknown) => {
        if (isProviderError(error) && error.kind === 'denied') throw error;
        log.warn({ err: error }, 'host routes could not be read or written; trying again');
        return { repaired: false, failures: 1 };
      });
      repairs = outcome.repaired ? repairs + 1 : 0;
      if (repairs === FIGHT) log.warn({}, 'somebody keeps changing our host routes; they are repaired once a second');
      const isCalm = outcome.failures === 0 && repairs < FIGHT;
      await clock.sleep(isCalm ? GAP_MS : pollMs, signal).catch(() => {}); // aborted: the loop ends
      if (isCalm) await bell.wait(endEvents === undefined ? pollMs : auditMs, signal);
    }
  } finally {
    endChanges();
    endEvents?.();
  }
}

async function observe(channel: RouteChannel): Promise<HostObserved> {
  const [links, routes] = await Promise.all([channel.links(), channel.routes()]);
  return { links, routes };
}

/** Applies all of them, in order. Returns how many failed. */
async function apply(
  actions: readonly HostRouteAction[],
  channel: RouteChannel,
  log: AgentContext['log'],
  counted: (action: HostRouteAction, outcome: 'ok' | 'failed') => void = () => {},
): Promise<number> {
  if (actions.length === 0) return 0;
  const acks = await channel.send(actions.map(({ message }) => message));
  let failures = 0;
  for (const [index, action] of actions.entries()) {
    const { kind, target, reason } = action;
    const ack = acks[index];
    const isDone = ack?.errno === 0 || (kind === 'deleteRoute' && ack?.errno === ESRCH);
    counted(action, isDone ? 'ok' : 'failed');
    if (isDone) {
      log.info({ action: kind, destination: target, reason }, 'host route changed');
      continue;
    }
    failures += 1;
    const message = ack?.sent === true ? ack.message : undefined;
    // Somebody was quicker: the next look sees whose route it is, and tells that.
    log[ack?.errno === EEXIST ? 'debug' : 'warn'](
      { action: kind, destination: target, reason, errno: ack?.errno, message },
      'host route not changed',
    );
  }
  return failures;
}

/** A node that others send packets for its pods to must pass them on. */
async function forward({ sysctlRoot, log }: AgentContext, channel: RouteChannel): Promise<void> {
  const [links, routes] = await Promise.all([channel.links(), channel.routes()]);
  // Only where routers are believed now: on the veth of a pod it would let the pod advertise itself as a router.
  const learnt = new Set(routes.filter(({ protocol }) => protocol === RA).map(({ link }) => link));
  const interfaces = links.filter(({ index }) => learnt.has(index)).map(({ name }) => name);
  await enableForwarding(createSysctls({ root: sysctlRoot, log }), { ipv4: true, ipv6: true, interfaces });
}

/** Tells each problem once, and again when it comes back after it was gone or has another text. */
function createNotices(told: (problem: HostProblem) => void): { tell(problems: readonly HostProblem[]): void } {
  let known = new Set<string>();
  return {
    tell(problems) {
      const now = new Set<string>();
      for (const problem of problems) {
        const key = `${problem.node} ${problem.cidr} ${problem.code} ${problem.text}`;
        now.add(key);
        if (!known.has(key)) told(problem);
      }
      known = now;
    },
  };
}
