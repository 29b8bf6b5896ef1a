import { isEqual } from '../core/equal.ts';
import { failure } from '../core/errors.ts';
import { keyOf, type Service } from '../core/objects.ts';
import type { ServiceRef } from '../core/provider.ts';
import { needsSync } from '../core/service/changes.ts';
import { causeOf, printOf } from '../core/service/print.ts';
import { failureOf, verdictOf } from '../core/service/retry.ts';
import { stateOf } from '../core/service/state.ts';
import { statusPatch } from '../core/service/status.ts';
import { decide, finalizerFor } from '../core/service/wanted.ts';
import { createDeadline } from '../kube/deadline.ts';
import type { Sample } from '../obs/metrics.ts';
import { exponential } from '../work/backoff.ts';
import { createLoop, type Failing, type Retry } from '../work/loop.ts';
import { createQueue, type Outcome } from '../work/queue.ts';
import { inTurns } from '../work/turns.ts';
import { desire } from './service/desire.ts';
import { createDrift } from './service/drift.ts';
import { ensure } from './service/ensure.ts';
import { type Collaborators, isNewSpec, tell } from './service/parts.ts';
import { decideByEvidence, remove, removeGone } from './service/remove.ts';
import { partsOf } from './service/wire.ts';
import { latest, writeStatus } from './service/write.ts';

export interface ServiceController {
  /** Looks at everything once, in bulk, then works on what is not settled and on every change. */
  start(): void;
  /** Takes no more work; resolves when what runs has ended by itself. */
  drain(): Promise<void>;
  /** Takes no more work, aborts what runs, resolves when all has ended. */
  close(): Promise<void>;
  /** Reconcile these Services, or all, soon and behind user changes. */
  resync(reason: string, uids?: readonly string[]): void;
}

/** Of keys that no user waits for: the first list, node changes, drift, a provider's wish. */
const LOW_PRIORITY = -100;
const USER_PRIORITY = 0;
const CONCURRENCY = 10;
const CONCURRENCY_SELF_CLEANING = 32;
/** A run that takes longer is ended and tried again; waits are values, so nothing takes so long by itself. */
const DEADLINE_MS = 120_000;
/** The same for the bulk read of everything, which a cloud may throttle. */
const AUDIT_DEADLINE_MS = 300_000;
/** controllers.md, error kinds: transient. */
const BACKOFF = { baseMs: 1000, capMs: 300_000, jitter: 0.2 };

/** Turns Services into load balancers, as long as this process leads. */
export function createServiceController(collaborators: Collaborators): ServiceController {
  const { services, clock, random, log, metrics, leadership } = collaborators;
  const { parts, close: closeParts } = partsOf(collaborators, (causeMs) => void nodesChanged(causeMs), slicesChanged);
  const { loadBalancers, selection, memos } = parts;
  const gone = new Map<string, ServiceRef[]>(); // key -> Services that had this key and may have left something
  const forced = new Set<string>(); // keys to look at although their Service has not changed
  const begun = new Map<string, Service>(); // key -> the copy that its run under way is about
  const changeOptions = loadBalancers.selfCleaning === true ? { facts: true as const } : {};
  const drift = createDrift(parts);
  const backoff = exponential({ ...BACKOFF, random });
  const stopped = new AbortController();
  const working = AbortSignal.any([stopped.signal, leadership]);
  let unsubscribe = () => {};

  const loop = createLoop({
    clock,
    backoff,
    reconcile,
    failed,
    ended: (result) => metrics.count('fairlead_reconcile_total', { controller: 'service', result }),
  });
  const queue = createQueue({
    name: 'service',
    controller: 'service',
    concurrency:
      collaborators.concurrency ?? (loadBalancers.selfCleaning === true ? CONCURRENCY_SELF_CLEANING : CONCURRENCY),
    clock,
    backoff,
    metrics: metrics.queue,
    log,
    reconcile: (key, signal) => loop.run(key, AbortSignal.any([signal, leadership])).finally(() => begun.delete(key)),
  });

  async function reconcile(key: string, signal: AbortSignal): Promise<Outcome> {
    const late = () => failure('FL_RUN_DEADLINE', `no end after ${DEADLINE_MS / 1000} s`);
    const deadline = createDeadline(signal, clock, DEADLINE_MS, late);
    try {
      return await reconcileWithin(key, deadline.signal);
    } finally {
      deadline.end();
    }
  }

  async function reconcileWithin(key: string, signal: AbortSignal): Promise<Outcome> {
    const leftover = await removeAllGone(key, signal);
    const service = services.get(key);
    if (service !== undefined) begun.set(key, service);
    if (service === undefined) {
      forced.delete(key);
      memos.forget(key);
      return leftover;
    }
    const isForced = forced.delete(key);
    const memo = memos.get(key);
    if (!isForced && memo?.settled === service.metadata.resourceVersion) return leftover;
    delete memo?.settled; // until this run ends well: its retry must not look done
    if (memo?.written?.object.metadata.resourceVersion === service.metadata.resourceVersion) delete memo.written;
    return (await act(latest(parts, service), key, signal)) ?? leftover;
  }

  async function act(service: Service, key: string, signal: AbortSignal): Promise<Outcome> {
    const decision = decide(service, selection);
    switch (decision.do) {
      case 'ensure':
        return await ensure(parts, service, key, decision, signal);
      case 'remove':
        return await remove(parts, service, key, decision, signal);
      case 'undecided': {
        const ours = await decideByEvidence(parts, service, decision, signal);
        return ours === undefined ? undefined : await remove(parts, service, key, ours, signal);
      }
      case 'none':
        memos.forget(key);
        return undefined;
      default:
        return decision satisfies never;
    }
  }

  async function removeAllGone(key: string, signal: AbortSignal): Promise<Outcome> {
    const refs = gone.get(key) ?? [];
    let wait: Outcome;
    for (const ref of [...refs]) {
      const outcome = await removeGone(parts, ref, signal);
      if (outcome === undefined) refs.splice(refs.indexOf(ref), 1);
      else wait = outcome;
    }
    if (refs.length === 0) gone.delete(key);
    return wait;
  }

  /** What a failure means is decided in core; here it is told. */
  async function failed(key: string, error: unknown, failing: Failing, signal: AbortSignal): Promise<Retry> {
    const failure = failureOf(error);
    const service = subjectOf(key);
    const during = duringOf(service, key);
    if (during === 'hosts') metrics.count('service_controller_nodesync_error_total', {});
    const nodes = memos.get(key)?.tried?.targets.map(({ node }) => node) ?? [];
    const verdict = verdictOf(failure, { ...failing, during, nodes });
    const fields = {
      key,
      code: failure.code,
      kind: failure.kind,
      field: failure.field,
      failures: failing.failures,
      err: error,
    };
    log[failure.kind === 'transient' || failure.kind === 'conflict' ? 'debug' : 'warn'](fields, 'reconcile failed');
    const retry: Retry = typeof verdict.retry === 'number' ? { afterMs: verdict.retry } : verdict.retry;
    if (service === undefined) return retry;
    const isTold =
      during !== 'remove' && verdict.effect.provisioning === 'complete' && failurePatch(service, verdict) === undefined;
    if (verdict.event !== undefined && !isTold) tell(parts, service, verdict.event);
    // A server that asks for a pause gets no further write now: the retry shows what there is to show.
    if (during === 'remove' || failure.code === 'FL_KUBE_THROTTLED') return retry;
    const isShown = await showFailure(service, verdict, signal);
    return isShown ? retry : 'backoff'; // who waits for minutes, or for a person, must have told
  }

  /**
   * What the failed run was about. What has changed meanwhile in a way that matters has a run of its own, and shows its
   * own failures: then this is the old copy, which no patch can change any more, or nothing when that Service is gone.
   */
  function subjectOf(key: string): Service | undefined {
    const now = services.get(key);
    const about = begun.get(key);
    if (now === undefined || about === undefined || about === now) return now;
    if (about.metadata.uid !== now.metadata.uid) return undefined;
    return needsSync(about, now, selection, changeOptions) ? about : now;
  }

  /** What the run that failed was for. */
  function duringOf(service: Service | undefined, key: string): 'ensure' | 'remove' | 'hosts' {
    if (service === undefined || decide(service, selection).do !== 'ensure') return 'remove';
    const settled = memos.get(key)?.spec;
    if (settled === undefined || settled.targetKind === 'none') return 'ensure';
    try {
      return causeOf(settled, printOf(desire(parts, service).spec)) === 'hosts' ? 'hosts' : 'ensure';
    } catch {
      return 'ensure'; // the spec itself is what failed
    }
  }

  /** `undefined`: the Service shows this failure already, told by this process or by one before it. */
  function failurePatch(service: Service, verdict: ReturnType<typeof verdictOf>): ReturnType<typeof statusPatch> {
    const { exists } = verdict.failure;
    const outcome = { state: 'error' as const, verdict, ...(exists === undefined ? {} : { exists }) };
    const specChanged = isNewSpec(memos.of(service, keyOf(service)));
    const options = { nowMs: clock.now(), finalizer: finalizerFor(service), specChanged };
    return statusPatch(latest(parts, service), outcome, options);
  }

  /** False: it could not be written. */
  async function showFailure(
    service: Service,
    verdict: ReturnType<typeof verdictOf>,
    signal: AbortSignal,
  ): Promise<boolean> {
    const memo = memos.of(service, keyOf(service));
    try {
      const after = await writeStatus(parts, latest(parts, service), failurePatch(service, verdict), signal);
      if (memo.tried !== undefined) memo.seen = memo.tried;
      // An input that must change first is as good as settled: only its next change is work.
      if (after !== undefined && verdict.retry === 'onChange') memo.settled = after.metadata.resourceVersion;
      return true;
    } catch (error) {
      log.debug({ key: keyOf(service), err: error }, 'failure was not shown'); // the retry shows it
      return false;
    }
  }

  function changed(old: Service | undefined, now: Service | undefined): void {
    const object = now ?? old;
    if (object === undefined) return;
    const key = keyOf(object);
    if (now === undefined) {
      wentAway(object, key);
      return;
    }
    const memo = memos.get(key);
    let before = old;
    if (memo?.uid === now.metadata.uid) {
      const { written } = memo;
      const { resourceVersion } = now.metadata;
      // Kept for the run under way, which began with an older copy; as the object that the store holds anyway.
      if (written?.object.metadata.resourceVersion === resourceVersion) memo.written = { ...written, object: now };
      else if (written?.from.includes(resourceVersion) === false) {
        // Somebody else changed it since: also what a list that skipped our version does not show.
        if (old !== undefined && written.from.includes(old.metadata.resourceVersion)) before = written.object;
        delete memo.written;
      }
      if (memo.settled === now.metadata.resourceVersion) return; // the echo of our own patch
    }
    if (needsSync(before, now, selection, changeOptions)) queue.add(key);
  }

  function wentAway(old: Service, key: string): void {
    const { uid } = old.metadata;
    const isOurs = memos.get(key)?.uid === uid || decide(old, selection).do !== 'none';
    if (!isOurs) return;
    gone.set(key, [...(gone.get(key) ?? []), { uid, key }]);
    queue.add(key);
  }

  /** Queues those whose targets are others than in their last run. */
  async function nodesChanged(causeMs: number): Promise<void> {
    let updates = 0;
    for await (const some of inTurns(services.list())) {
      for (const service of some.filter(hasOtherTargets)) {
        updates += 1;
        targetsChanged(keyOf(service), causeMs);
      }
    }
    metrics.observe('service_controller_nodesync_latency_seconds', {}, (clock.monotonicMs() - causeMs) / 1000);
    if (updates > 0) log.info({ services: updates }, 'targets changed');
  }

  function hasOtherTargets(service: Service): boolean {
    const known = memos.get(keyOf(service))?.spec;
    if (known === undefined || known.targetKind === 'none' || decide(service, selection).do !== 'ensure') return false;
    try {
      return !isEqual(desire(parts, service).spec.targets, known.targets);
    } catch {
      return false; // its own run tells what is wrong with it
    }
  }

  /** A pod that is gone must not wait behind anything. */
  function slicesChanged(key: string): void {
    const service = services.get(key);
    if (service !== undefined && decide(service, selection).do === 'ensure')
      targetsChanged(key, clock.monotonicMs(), USER_PRIORITY);
  }

  function targetsChanged(key: string, causeMs: number, priority?: number): void {
    const memo = memos.get(key);
    if (memo !== undefined) memo.targetsSinceMs ??= causeMs;
    force(key, priority);
  }

  function force(key: string, priority = LOW_PRIORITY): void {
    forced.add(key);
    queue.add(key, { priority });
  }

  async function check(how: { readonly repair: boolean }): Promise<void> {
    const late = () => failure('FL_RUN_DEADLINE', `no end of the audit after ${AUDIT_DEADLINE_MS / 1000} s`);
    const deadline = createDeadline(working, clock, AUDIT_DEADLINE_MS, late);
    try {
      const { unsettled, settled } = await drift.check(deadline.signal, how);
      log.info({ settled, unsettled: unsettled.length, repair: how.repair }, 'audit');
      for (const key of unsettled) force(key);
    } catch (error) {
      if (working.aborted) return;
      log.warn({ err: error }, 'audit failed');
      if (!how.repair) for (const service of services.list()) force(keyOf(service));
    } finally {
      deadline.end();
    }
  }

  async function watchDrift(): Promise<void> {
    while (!working.aborted) {
      const jitter = 1 + 0.2 * (2 * random() - 1);
      await clock.sleep(collaborators.driftCheckPeriodMs * jitter, working).catch(() => {});
      if (!working.aborted) await check({ repair: true });
    }
  }

  /** Services of ours by state, asked for at each scrape. */
  function* states(): Iterable<Sample<'fairlead_services'>> {
    const counts = { serving: 0, provisioning: 0, degraded: 0, failed: 0 };
    for (const service of services.values()) {
      if (decide(service, selection).do !== 'ensure') continue;
      const state = stateOf(service.status).state.toLowerCase();
      counts[state === 'pending' ? 'provisioning' : (state as keyof typeof counts)] += 1;
    }
    for (const [state, count] of Object.entries(counts)) yield [{ state }, count];
  }

  const unasked = metrics.ask('fairlead_services', states);

  /** Ends whatever leads to new work. */
  function stop(): void {
    stopped.abort(new Error('the service controller is closing'));
    unsubscribe();
    unasked();
    closeParts();
  }

  return {
    start() {
      unsubscribe = services.onChange(changed);
      void check({ repair: false }).then(async () => {
        collaborators.audited?.();
        await watchDrift();
      });
    },
    async drain() {
      stop();
      await queue.drain();
    },
    async close() {
      stop();
      await queue.close();
    },
    resync(reason, uids) {
      log.debug({ reason, services: uids?.length ?? 'all' }, 'resync');
      if (uids === undefined) {
        for (const service of services.list()) if (decide(service, selection).do !== 'none') force(keyOf(service));
        return;
      }
      for (const uid of uids) for (const service of services.by('uid', uid)) force(keyOf(service));
    },
  };
}
