import { isEqual } from '../../core/equal.ts';
import { isProviderError } from '../../core/errors.ts';
import type { Service } from '../../core/objects.ts';
import type { Action, LoadBalancerSpec, Progress } from '../../core/provider.ts';
import type { DesiredLoadBalancer } from '../../core/service/desired.ts';
import { type EventText, ensuring, eventsOf, removalHeld } from '../../core/service/events.ts';
import { holdRemovals } from '../../core/service/floor.ts';
import { isPublished } from '../../core/service/ingress.ts';
import { causeOf, printOf, type SpecPrint } from '../../core/service/print.ts';
import { type StatusOptions, type StatusPatch, statusPatch } from '../../core/service/status.ts';
import type { Decision } from '../../core/service/wanted.ts';
import type { Outcome } from '../../work/queue.ts';
import { desireSoon } from './desire.ts';
import { isNewSpec, type Memo, type Parts, tell } from './parts.ts';
import { latest, writeStatus } from './write.ts';

/** A provider that is ready at once gets one patch; one that takes longer than this shows Provisioning first. */
const QUIET_MS = 1000;

/**
 * One Service that we want: its load balancer, then its status. Returns a wait, or nothing when it is settled.
 * Throws ProviderErrors; what they mean is decided in the loop.
 */
export async function ensure(
  parts: Parts,
  service: Service,
  key: string,
  decision: Extract<Decision, { do: 'ensure' }>,
  signal: AbortSignal,
): Promise<Outcome> {
  const { loadBalancers, clock, memos, metrics } = parts;
  const memo = memos.of(service, key);
  const desired = await desireSoon(parts, service, signal);
  const { spec, recheckMs } = floored(parts, service, memo, desired);
  const print = printOf(spec);
  const cause = causeOf(memo.spec, print);
  if (cause !== 'none') warn(parts, service, memo, desired.warnings);
  memo.tried = print;
  const options = (): StatusOptions => ({
    nowMs: clock.now(),
    finalizer: decision.finalizer,
    specChanged: isNewSpec(memo),
    listeners: spec.listeners,
    shortfalls: desired.shortfalls,
    portErrors: desired.portErrors,
  });
  const start = announce(parts, { service, memo, print, cause, options }, decision, signal);
  const applied: Action[] = [];
  const call = parts.call(signal, key, (step) => {
    if (step.at !== 'apply') return;
    if (applied.length === 0 && loadBalancers.selfCleaning !== true) tell(parts, service, ensuring);
    applied.push(step.action);
  });
  try {
    await start.before;
    const startMs = clock.monotonicMs();
    const progress = await loadBalancers.ensure(spec, call);
    await start.end();
    if (cause === 'hosts')
      hostsUpdated(metrics, clock.monotonicMs(), { startMs, sinceMs: memo.targetsSinceMs ?? startMs });
    delete memo.targetsSinceMs;
    const outcome = await publish(
      parts,
      { service, memo, print, progress, applied, cause, options: options() },
      signal,
    );
    if (outcome !== undefined || recheckMs === undefined) return outcome;
    delete memo.settled; // what is held is looked at again
    return { requeueAfterMs: recheckMs - clock.monotonicMs() };
  } finally {
    await start.end();
  }
}

/** The spec with removals of node targets held where too many would go at once. */
function floored(
  parts: Parts,
  service: Service,
  memo: Memo,
  { spec }: DesiredLoadBalancer,
): { readonly spec: LoadBalancerSpec; readonly recheckMs?: number } {
  if (spec.targetKind !== 'node') return { spec };
  const { targets, held, recheckMs } = holdRemovals(spec.targets, {
    before: memo.spec?.targets,
    ...(memo.held === undefined ? {} : { held: memo.held }),
    nowMs: parts.clock.monotonicMs(),
  });
  const isNew = [...held.keys()].some((id) => memo.held?.has(id) !== true);
  memo.held = held;
  if (recheckMs === undefined) return { spec };
  if (isNew) {
    parts.metrics.count('fairlead_removals_held_total', { kind: 'target' });
    tell(parts, service, removalHeld([...held.keys()], memo.spec?.targets.length ?? 0));
  }
  return { spec: { ...spec, targets }, recheckMs };
}

/**
 * Says that work is under way: before the first cloud call, with the finalizer, since leftovers must not lose their
 * owner; where that is there, or a `selfCleaning` provider needs none, only when it takes longer than a second. `end`
 * waits for a patch under way, so that two never race.
 */
function announce(
  parts: Parts,
  {
    service,
    memo,
    print,
    cause,
    options,
  }: Pick<Run, 'service' | 'memo' | 'print' | 'cause'> & { readonly options: () => StatusOptions },
  decision: Extract<Decision, { do: 'ensure' }>,
  signal: AbortSignal,
): { readonly before: Promise<void>; end(): Promise<void> } {
  const { loadBalancers, clock, log } = parts;
  const write = async () => {
    const now = latest(parts, service);
    await writeStatus(parts, now, statusPatch(now, { state: 'started' }, options()), signal);
    memo.seen = print;
  };
  if (loadBalancers.selfCleaning !== true) {
    if (!decision.hasFinalizer) return { before: write(), end: async () => {} };
    // A change of hosts comes to every Service at once, and is no news to any of them.
    if (cause === 'hosts' || cause === 'none') return { before: Promise.resolve(), end: async () => {} };
  }
  let writing: Promise<void> = Promise.resolve();
  const cancel = clock.after(QUIET_MS, () => {
    // Only a word for people: the run's own patch tells the rest, and fails for the same reason if there is one.
    writing = write().catch((error: unknown) => log.debug({ err: error }, 'provisioning was not written'));
  });
  return {
    before: Promise.resolve(),
    end: async () => {
      cancel();
      await writing;
    },
  };
}

function hostsUpdated(
  metrics: Parts['metrics'],
  nowMs: number,
  { startMs, sinceMs }: { readonly startMs: number; readonly sinceMs: number },
): void {
  metrics.count('service_controller_loadbalancer_sync_total', {});
  metrics.observe('service_controller_update_loadbalancer_host_latency_seconds', {}, (nowMs - startMs) / 1000);
  metrics.observe('fairlead_target_update_seconds', {}, (nowMs - sinceMs) / 1000);
}

/** What is new of them. */
function warn(parts: Parts, service: Service, memo: Memo, warnings: readonly EventText[]): void {
  for (const event of warnings) if (memo.warned?.has(event.message) !== true) tell(parts, service, event);
  memo.warned = new Set(warnings.map(({ message }) => message));
}

interface Run {
  readonly service: Service;
  readonly memo: Memo;
  readonly print: SpecPrint;
  readonly progress: Progress;
  readonly applied: readonly Action[];
  readonly cause: ReturnType<typeof causeOf>;
  readonly options: StatusOptions;
}

async function publish(parts: Parts, run: Run, signal: AbortSignal): Promise<Outcome> {
  const { service, memo, print, progress, applied, options } = run;
  const before = latest(parts, service);
  tellOwed(parts, before, memo);
  const patch = statusPatch(before, progress, options);
  const after = await writeStatus(parts, before, patch, signal).catch((error: unknown) => {
    owe(run, patch, error);
    throw error;
  });
  if (after === undefined) return undefined; // gone meanwhile: the watch tells
  const isMoved = memo.serving === true && !isEqual(before.status?.loadBalancer, after.status?.loadBalancer);
  const cause = patch === undefined && applied.length === 0 ? 'none' : run.cause;
  for (const event of eventsOf(progress, { cause, hosts: print.targets.length })) tell(parts, service, event, isMoved);
  if (patch?.status?.loadBalancer !== undefined) delete memo.owed; // that patch never took effect: this one tells
  if (progress.state === 'pending') {
    delete memo.settled;
    memo.seen = print;
    return { requeueAfterMs: progress.retryAfterMs };
  }
  if (memo.serving === undefined && patch?.status?.loadBalancer !== undefined) {
    parts.metrics.timeToServing(parts.clock.now() - Date.parse(service.metadata.creationTimestamp), 'first');
  }
  memo.serving = true;
  memo.spec = print;
  delete memo.tried;
  delete memo.seen;
  memo.settled = after.metadata.resourceVersion;
  return undefined;
}

/** Nobody knows whether the patch took effect; if it did, the next run finds nothing to write, and nothing to say. */
function owe({ memo, progress, cause, print }: Run, patch: StatusPatch | undefined, error: unknown): void {
  const ingress = patch?.status?.loadBalancer?.ingress;
  if (ingress === undefined || !isProviderError(error) || !LOST.has(error.code)) return;
  const events = eventsOf(progress, { cause, hosts: print.targets.length });
  memo.owed = { ingress: ingress ?? [], events, moved: memo.serving === true };
}

/** No answer, or one of somebody on the way. */
const LOST: ReadonlySet<string> = new Set(['FL_KUBE_UNREACHABLE', 'FL_KUBE_REQUEST']);

function tellOwed(parts: Parts, service: Service, memo: Memo): void {
  const { owed } = memo;
  if (owed === undefined || !isPublished(owed.ingress, service.status?.loadBalancer?.ingress)) return;
  delete memo.owed;
  for (const event of owed.events) tell(parts, service, event, owed.moved);
}
