import { isEqual } from '../core/equal.ts';
import { isOfCloud } from '../core/node/provider-id.ts';
import type { Node } from '../core/objects.ts';
import type { Cidr } from '../core/provider.ts';
import type { RouteState } from '../core/route/condition.ts';
import { blockers, chainsOf, isDone, type RouteAction } from '../core/route/diff.ts';
import { obstacleError } from '../core/route/obstacle.ts';
import { remainingIn } from '../core/route/quota.ts';
import { podCidrsOf, type RoutePlan, refOf, type WantedRoute } from '../core/route/wanted.ts';
import { type Failure, failureOf, verdictOf } from '../core/service/retry.ts';
import type { Sample } from '../obs/metrics.ts';
import { exponential } from '../work/backoff.ts';
import { createLoop, type Failing, type Retry } from '../work/loop.ts';
import { createQueue, type Outcome } from '../work/queue.ts';
import { applyChains } from './route/apply.ts';
import { callWithin } from './route/call.ts';
import { createConditions } from './route/conditions.ts';
import { createNotices } from './route/notices.ts';
import type { Collaborators } from './route/parts.ts';
import { createPlanner } from './route/planner.ts';
import { createView } from './route/view.ts';

export interface RouteController {
  /** Lists the routes once, then works on every difference and every change. */
  start(): void;
  /** Takes no more work; resolves when what runs has ended by itself. */
  drain(): Promise<void>;
  /** Takes no more work, aborts what runs, resolves when all has ended. */
  close(): Promise<void>;
}

/** The key of a look at everything; all others are destinations. */
const ALL = 'routes';
/** Routes written side by side. */
const CONCURRENCY = 32;
/** Changes of nodes do with a list of this age, and with what we wrote since. */
const FRESH_MS = 60_000;
/** A destination that needs a newer list asks again after so long. */
const LIST_WAIT_MS = 1000;
/** A run that takes longer is ended and tried again. */
const DEADLINE_MS = 120_000;
/** Reading ahead is given up after so long: each route then reads for itself. */
const PREPARE_MS = 10_000;
/** controllers.md, "Numbers to reach": a failed route is tried again after 1 s, with backoff to 300 s. */
const BACKOFF = { baseMs: 1000, capMs: 300_000, jitter: 0.2 };
/** Looks at one destination in one run: the plan may change while it is written. */
const ROUNDS = 3;

/** Why a destination has not got what it should have. */
interface Failed {
  readonly wanted: WantedRoute | undefined;
  readonly failure: Failure;
  /** It comes again by itself. */
  readonly retries: boolean;
  /** The last text that was told about it, without its numbers. */
  readonly told?: string;
}

/** Gives every pod CIDR its route, as long as this process leads. */
export function createRouteController(collaborators: Collaborators): RouteController {
  const { routes, nodes, clock, random, log, metrics, leadership, clusterCidrs, periodMs } = collaborators;
  const failures = new Map<Cidr, Failed>();
  const tries = new Map<Cidr, { readonly action: RouteAction; readonly startMs: number }>(); // destination -> the write that failed last
  const sinceMs = new Map<Cidr, number>(); // destination that waits for its first route -> monotonic ms when it was asked for
  const served = new Set<Cidr>(); // wanted destinations that were in order when they were last looked at
  const backoff = exponential({ ...BACKOFF, random });
  const stopped = new AbortController();
  const working = AbortSignal.any([stopped.signal, leadership]);
  let hasLooked = false;
  let isRepairDue = false;
  let isListFailing = false;

  const nextHop = (node: ReturnType<typeof refOf>, family: 'ipv4' | 'ipv6'): string | undefined =>
    routes.nextHop === undefined ? node.providerId : routes.nextHop(node, family);
  const isOurs = (node: Node): boolean => collaborators.scheme === undefined || isOfCloud(node, collaborators.scheme);
  const planner = createPlanner({ nodes, clock, clusterCidrs, isOurs, nextHop, onPlan: planned });
  const notices = createNotices(collaborators, (hop) => planner.hops().get(hop));
  const view = createView({
    routes,
    clock,
    clusterCidrs,
    call: () => callWithin(collaborators, { signal: working, ms: DEADLINE_MS, about: ALL }),
    hops: () => planner.hops().keys(),
    told(seconds) {
      metrics.observe('fairlead_reconcile_duration_seconds', { controller: 'route', phase: 'observe' }, seconds);
    },
  });
  const conditions = createConditions(collaborators, stateOf);
  const loop = createLoop({
    clock,
    backoff,
    reconcile: async (key, signal) => (key === ALL ? await look(signal) : await reconcile(key as Cidr, signal)),
    failed,
    ended: (result) => metrics.count('fairlead_reconcile_total', { controller: 'route', result }),
  });
  const queue = createQueue({
    name: 'Routes',
    controller: 'route',
    concurrency: CONCURRENCY,
    clock,
    backoff,
    metrics: metrics.queue,
    log,
    reconcile: (key, signal) => loop.run(key, AbortSignal.any([signal, leadership])),
  });

  const optionsFor = (destination: Cidr) => ({
    wanted: planner.current().routes.get(destination),
    observed: view.of(destination),
    tables: view.tables(),
  });

  /** Queues every destination that is not as it should be. */
  async function look(signal: AbortSignal): Promise<void> {
    const isRepair = isRepairDue;
    isRepairDue = false;
    try {
      await view.refresh(isRepair ? 0 : FRESH_MS);
    } catch (error) {
      isRepairDue ||= isRepair;
      throw error;
    }
    isListFailing = false;
    metrics.count('route_controller_route_sync_total', {});
    const due: Cidr[] = []; // routes to be made
    let corrections = 0;
    // What is there comes first: a route that goes makes room in its table.
    for (const destination of new Set([...view.destinations(), ...planner.current().routes.keys()]))
      if (lookAt(destination, isRepair, due)) corrections += 1;
    await prepare(due, signal);
    for (const destination of due) queue.add(destination);
    if (isRepair && corrections > 0) corrected(corrections);
    if (isRepair || !hasLooked) for (const name of planner.current().nodes.keys()) conditions.check(name);
    hasLooked = true;
    notices.refusals(planner.current());
    notices.quotas(view.quotas(), planner.current());
  }

  /** True: nobody but an outsider can have brought it out of order. */
  function lookAt(destination: Cidr, isRepair: boolean, due: Cidr[]): boolean {
    const options = optionsFor(destination);
    const failed = failures.get(destination);
    if (isDone(options)) {
      if (failed !== undefined)
        queue.add(destination); // somebody else has put it right
      else if (!served.has(destination)) settled(destination);
      return false;
    }
    const wasServed = served.delete(destination);
    if (failed === undefined || !isEqual(failed.wanted, options.wanted) || (isRepair && !failed.retries)) {
      if (options.wanted?.nextHop === undefined) queue.add(destination);
      else due.push(destination);
    }
    return wasServed && failed === undefined;
  }

  async function prepare(due: readonly Cidr[], signal: AbortSignal): Promise<void> {
    const plan = planner.current();
    const wanted = due.flatMap((destination) => {
      const route = plan.routes.get(destination);
      return route?.nextHop === undefined ? [] : [{ ...route, nextHop: route.nextHop }];
    });
    if (wanted.length === 0 || routes.prepare === undefined) return;
    const within = callWithin(collaborators, { signal, ms: PREPARE_MS, about: ALL });
    try {
      await routes.prepare(wanted, within.call);
    } catch (error) {
      log.debug({ err: error }, 'nothing was read ahead'); // each route meets the same trouble, and tells it
    } finally {
      within.end();
    }
  }

  function corrected(count: number): void {
    metrics.count('route_controller_route_corrections_total', {}, count);
    for (let at = 0; at < count; at += 1) metrics.drift('route');
    log.warn({ routes: count }, 'routes were changed from outside');
  }

  async function reconcile(destination: Cidr, signal: AbortSignal): Promise<Outcome> {
    if (!view.isFresh(FRESH_MS)) {
      // One list for all that wait; while lists fail, at their pace.
      if (!isListFailing) queue.add(ALL);
      return { requeueAfterMs: LIST_WAIT_MS };
    }
    const within = callWithin(collaborators, { signal, ms: DEADLINE_MS, about: destination });
    try {
      for (let round = 0; round < ROUNDS; round += 1) {
        const options = optionsFor(destination);
        const chains = chainsOf({ ...options, replaces: routes.replace !== undefined });
        if (chains.length === 0) {
          const obstacles = blockers(options);
          if (obstacles.length > 0) throw obstacleError(destination, obstacles);
          settled(destination);
          return undefined;
        }
        const startMs = clock.monotonicMs();
        const [first] = await applyChains(collaborators, view, chains, within.call);
        if (chains.flat().some(({ kind }) => kind === 'removeRoute')) retryFull();
        if (first === undefined) continue;
        tries.set(destination, { action: first.action, startMs });
        throw first.error;
      }
      return { requeueAfterMs: LIST_WAIT_MS }; // the plan changed under each of the rounds
    } finally {
      within.end();
    }
  }

  /** Nothing is to do for this destination now; a node that is not initialised is waited for. */
  function settled(destination: Cidr): void {
    failures.delete(destination);
    tries.delete(destination);
    const wanted = planner.current().routes.get(destination);
    if (wanted === undefined || wanted.nextHop === undefined) return;
    served.add(destination);
    const askedMs = sinceMs.get(destination);
    sinceMs.delete(destination);
    if (askedMs !== undefined)
      metrics.observe('fairlead_time_to_route_seconds', {}, (clock.monotonicMs() - askedMs) / 1000);
    conditions.check(wanted.node);
    notices.quotas(view.quotas(), planner.current());
  }

  /** What a failure means is decided in core; here it is told. */
  async function failed(key: string, error: unknown, failing: Failing): Promise<Retry> {
    const failure = failureOf(error);
    const verdict = verdictOf(failure, { ...failing, during: 'ensure' });
    const fields = { route: key, code: failure.code, kind: failure.kind, failures: failing.failures, err: error };
    log[failure.kind === 'transient' || failure.kind === 'conflict' ? 'debug' : 'warn'](fields, 'reconcile failed');
    const retry: Retry = typeof verdict.retry === 'number' ? { afterMs: verdict.retry } : verdict.retry;
    if (key === ALL) {
      isListFailing = true;
      return retry === 'onChange' ? 'backoff' : retry;
    }
    const destination = key as Cidr;
    const wanted = planner.current().routes.get(destination);
    const isNews = verdict.event !== undefined && failures.get(destination)?.told !== patternOf(verdict.text);
    const told = isNews ? patternOf(verdict.text) : failures.get(destination)?.told;
    failures.set(destination, {
      wanted,
      failure,
      retries: retry !== 'onChange',
      ...(told === undefined ? {} : { told }),
    });
    if (failure.code === 'FL_ROUTE_FOREIGN') {
      if (failing.failures === 1) metrics.foreignConflict('route');
    } else if (failure.kind === 'conflict') view.doubt();
    if (wanted !== undefined) conditions.check(wanted.node);
    if (isNews) {
      const { action, startMs = clock.monotonicMs() } = tries.get(destination) ?? {};
      const what = { destination, wanted, tookMs: clock.monotonicMs() - startMs, text: verdict.text };
      notices.failed({ ...what, ...(action === undefined ? {} : { action }) });
    }
    return retry;
  }

  function planned(now: RoutePlan, before: RoutePlan, causeMs: number): void {
    for (const destination of now.routes.keys()) if (!before.routes.has(destination)) sinceMs.set(destination, causeMs);
    for (const destination of before.routes.keys()) {
      if (now.routes.has(destination)) continue;
      sinceMs.delete(destination);
      served.delete(destination);
    }
    for (const name of new Set([...before.nodes.keys(), ...now.nodes.keys()]))
      if (!isEqual(before.nodes.get(name), now.nodes.get(name))) conditions.check(name);
    if (!isListFailing) queue.add(ALL);
  }

  /** A route that went has made room: those that found none need not wait for minutes. */
  function retryFull(): void {
    for (const [destination, { failure }] of failures) if (failure.kind === 'quota') queue.add(destination);
  }

  function stateOf(node: Node): RouteState | undefined {
    const asks = planner.current().nodes.get(node.metadata.name);
    if (asks === undefined || asks.uid !== node.metadata.uid) return ownsLeftovers(node) ? 'failed' : undefined;
    if (asks.problems.length > 0 || asks.destinations.some((destination) => failures.has(destination))) return 'failed';
    const isReady = view.listed && asks.destinations.every((destination) => isDone(optionsFor(destination)));
    return isReady ? 'done' : 'pending';
  }

  /** A node that lost its pod CIDRs and still has routes. */
  function ownsLeftovers(node: Node): boolean {
    if (podCidrsOf(node).length > 0 || !isOurs(node)) return false; // planned in a moment, or never
    const ref = refOf(node);
    const hops = new Set([nextHop(ref, 'ipv4'), nextHop(ref, 'ipv6')]);
    for (const destination of view.destinations())
      if (view.of(destination).routes.some((route) => hops.has(route.nextHop))) return true;
    return false;
  }

  async function verify(): Promise<void> {
    while (!working.aborted) {
      await clock.sleep(periodMs * (1 - 0.1 * random()), working).catch(() => {}); // the signal ends it
      if (working.aborted) return;
      isRepairDue = true;
      if (!isListFailing) queue.add(ALL);
    }
  }

  function* states(): Iterable<Sample<'fairlead_routes'>> {
    const counts = { ready: 0, pending: 0, failed: 0, refused: 0, leftover: 0 };
    const { routes: wanted, nodes: asking } = planner.current();
    for (const destination of wanted.keys()) {
      if (failures.has(destination)) counts.failed += 1;
      else counts[view.listed && isDone(optionsFor(destination)) ? 'ready' : 'pending'] += 1;
    }
    for (const { problems } of asking.values()) counts.refused += problems.length;
    for (const destination of view.destinations()) if (!wanted.has(destination)) counts.leftover += 1;
    for (const [state, count] of Object.entries(counts)) yield [{ state }, count];
  }

  function* quotas(): Iterable<Sample<'fairlead_route_quota_remaining'>> {
    for (const table of view.quotas()) {
      const remaining = remainingIn(table);
      if (remaining !== undefined) yield [{ table: table.id }, remaining];
    }
  }

  const unasked = [metrics.ask('fairlead_routes', states), metrics.ask('fairlead_route_quota_remaining', quotas)];

  return {
    start() {
      queue.add(ALL);
      void verify();
    },
    async drain() {
      planner.stop();
      await queue.drain();
      await conditions.drain();
    },
    async close() {
      stopped.abort(new Error('the route controller is closing'));
      for (const end of unasked) end();
      planner.stop();
      await queue.close();
      await conditions.close();
    },
  };
}

/** A failure that differs in figures only is the same one. */
const patternOf = (text: string): string => text.replaceAll(/\d+/g, '#');
