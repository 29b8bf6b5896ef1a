import { failure } from '../core/errors.ts';
import { keyOf, type Pod, type Service } from '../core/objects.ts';
import type { Call, Clock, Log, TargetHealths } from '../core/provider.ts';
import {
  closedGates,
  gatesIn,
  type Health,
  healthConditions,
  isTarget,
  markedGates,
  openingConditions,
} from '../core/readiness/conditions.ts';
import { gatesOf, namedGates } from '../core/readiness/gates.ts';
import { classify } from '../kube/classify.ts';
import { createDeadline } from '../kube/deadline.ts';
import type { Patches } from '../kube/patch.ts';
import { isNotFound } from '../kube/request.ts';
import { resources } from '../kube/resource.ts';
import type { Store } from '../kube/store.ts';
import type { Metrics } from '../obs/metrics.ts';
import { exponential } from '../work/backoff.ts';
import type { Timers } from '../work/clock.ts';
import type { Limiter } from '../work/limit.ts';
import { createLoop } from '../work/loop.ts';
import { createQueue, type Outcome } from '../work/queue.ts';
import { inTurns } from '../work/turns.ts';
import type { Pods } from './pods.ts';

export interface ReadinessCollaborators {
  /** Indexed by 'gated': the namespace of those that show gates. */
  readonly services: Store<Service>;
  readonly pods: Pods;
  readonly targetHealth: TargetHealths;
  readonly patches: Patches;
  /** The provider's. */
  readonly limiter: Limiter;
  readonly clock: Clock & Timers;
  readonly random: () => number;
  readonly log: Log;
  readonly metrics: Metrics;
  /** Asked before every write, by the monotonic clock. */
  readonly leads: () => boolean;
  /** Aborts when leadership is lost. */
  readonly leadership: AbortSignal;
}

export interface ReadinessController {
  start(): void;
  /** Takes no more work; resolves when what runs has ended by itself. */
  drain(): Promise<void>;
  /** Takes no more work, aborts what runs, resolves when all has ended. */
  close(): Promise<void>;
}

/** Pods that change within this time are one look at the backend. */
const GATHER_MS = 1000;
/** How soon a pod that waits is looked at again (AWS Load Balancer Controller). */
const RECHECK_MS = 15_000;
/** A pod that is not ready holds up a rollout, so failures are retried quickly (aws-load-balancer-controller#3622). */
const BACKOFF = { baseMs: 1000, capMs: RECHECK_MS, jitter: 0.2 };
const CONCURRENCY = 4;
const DEADLINE_MS = 60_000;
/** Patches of pods side by side. */
const WRITES = 20;
/** Keys of the queue are those of Services, and behind this those of pods. */
const POD = 'pod:';

/**
 * Sets the conditions of readiness gates: what the backend says of the pod as a target; True when the load balancer of a
 * gate is gone. Nothing is read, and no pod is watched, before a Service shows gates.
 */
export function createReadinessController(collaborators: ReadinessCollaborators): ReadinessController {
  const { services, pods, targetHealth, clock, random, log, metrics, patches, limiter, leadership } = collaborators;
  const gone = new Set<string>(); // 'namespace/gate' that a Service has shown to this process, and shows no more
  const stopped = new AbortController();
  let unsubscribe = (): void => {};
  let asked = false; // for the pods

  const backoff = exponential({ ...BACKOFF, random });
  const loop = createLoop({
    clock,
    backoff,
    reconcile,
    async failed(key, error) {
      log.warn({ key, err: error }, 'readiness gates were not set');
      return 'backoff'; // whatever its kind: a right may come back, and somebody waits
    },
    ended: (result) => metrics.count('fairlead_reconcile_total', { controller: 'readiness', result }),
  });
  const queue = createQueue({
    name: 'readiness',
    controller: 'readiness',
    concurrency: CONCURRENCY,
    clock,
    backoff,
    metrics: metrics.queue,
    log,
    reconcile: (key, signal) => loop.run(key, AbortSignal.any([signal, leadership])),
  });

  async function reconcile(key: string, signal: AbortSignal): Promise<Outcome> {
    const late = () => failure('FL_RUN_DEADLINE', `no end after ${DEADLINE_MS / 1000} s`);
    const deadline = createDeadline(signal, clock, DEADLINE_MS, late);
    try {
      await pods.read(deadline.signal);
      if (!key.startsWith(POD)) return await judge(key, deadline.signal);
      const pod = pods.get(key.slice(POD.length));
      if (pod !== undefined) await write(pod, openingConditions(pod, forsaken(pod), clock.now()), deadline.signal);
      return undefined;
    } finally {
      deadline.end();
    }
  }

  /** Asks the backend about a Service one of whose pods waits, and looks again as long as one does. */
  async function judge(key: string, signal: AbortSignal): Promise<Outcome> {
    const service = services.get(key);
    if (service === undefined || !gatedPods(service).some((pod) => isWaiting(pod, service))) return undefined;
    const call: Call = { signal, log, limit: limiter.for(signal) };
    const health = await targetHealth.read({ uid: service.metadata.uid, key }, call);
    const after = await writeAll(gatedPods(service).filter(isTarget), { service, health, signal });
    return after.some((pod) => isWaiting(pod, service)) ? { requeueAfterMs: RECHECK_MS } : undefined;
  }

  function gatedPods(service: Service): readonly Pod[] {
    const { namespace = '' } = service.metadata;
    const all = gatesOf(service).flatMap((gate) => pods.gated(namespace, gate));
    return [...new Map(all.map((pod) => [pod.metadata.uid, pod])).values()];
  }

  /** The pods after it. One that cannot be written hides no other; the first error is thrown at the end. */
  async function writeAll(
    all: readonly Pod[],
    { service, health, signal }: { readonly service: Service; readonly health: Health; readonly signal: AbortSignal },
  ): Promise<readonly Pod[]> {
    const ends: PromiseSettledResult<Pod>[] = [];
    for await (const some of inTurns(all, WRITES)) {
      const writes = some.map(async (pod) => {
        return await write(pod, healthConditions(pod, gatesOf(service), { health, nowMs: clock.now() }), signal);
      });
      ends.push(...(await Promise.allSettled(writes)));
    }
    return ends.map((end) => {
      if (end.status === 'rejected') throw end.reason;
      return end.value;
    });
  }

  /** Guarded by the UID: the next pod of a StatefulSet has the same name. Resolves with the pod after it. */
  async function write(pod: Pod, conditions: readonly object[], signal: AbortSignal): Promise<Pod> {
    if (conditions.length === 0) return pod;
    if (!collaborators.leads())
      throw failure('FL_KUBE_NOT_LEADER', 'this process does not hold the lease any more; no pod was written');
    const { name, namespace = '', uid } = pod.metadata;
    const target = { resource: resources.pods, namespace, name, subresource: 'status' as const };
    try {
      return await patches.strategic<Pod>(target, { metadata: { uid }, status: { conditions } }, signal);
    } catch (error) {
      if (isNotFound(error)) return pod;
      throw classify(error);
    }
  }

  /** Gates of ours that the pod waits for and that no Service shows any more. */
  function forsaken(pod: Pod): readonly string[] {
    const { namespace = '' } = pod.metadata;
    const marked = new Set(markedGates(pod));
    const ours = gatesIn(pod).filter((gate) => marked.has(gate) || gone.has(`${namespace}/${gate}`));
    const closed = closedGates(pod, ours);
    if (closed.length === 0) return [];
    const living = new Set(services.by('gated', namespace).flatMap(gatesOf));
    return closed.filter((gate) => !living.has(gate));
  }

  function serviceChanged(old: Service | undefined, now: Service | undefined): void {
    const { namespace = '' } = (now ?? old)?.metadata ?? {};
    const living = now === undefined ? [] : gatesOf(now);
    const named = new Set([old, now].flatMap((service) => (service === undefined ? [] : namedGates(service))));
    if (named.size === 0) return;
    if (!asked) void lookAtAll();
    asked = true;
    for (const gate of living) gone.delete(`${namespace}/${gate}`);
    for (const gate of named) if (!living.includes(gate)) gone.add(`${namespace}/${gate}`);
    if (!pods.synced) return; // then all are looked at
    for (const gate of named) for (const pod of pods.gated(namespace, gate)) open(pod);
    const before = old === undefined ? [] : gatesOf(old);
    if (now !== undefined && living.some((gate) => !before.includes(gate))) queue.add(keyOf(now));
  }

  function podChanged(old: Pod | undefined, now: Pod | undefined, initial: boolean): void {
    if (initial || now === undefined) return;
    const gates = gatesIn(now);
    if (gates.length === 0) return;
    const closed = (pod: Pod) => closedGates(pod, gates).length;
    // Our own patches say nothing new.
    if (old !== undefined && isTarget(old) === isTarget(now) && closed(old) >= closed(now)) return;
    open(now);
    const theirs = services.by('gated', now.metadata.namespace ?? '');
    for (const service of theirs) if (isWaiting(now, service)) queue.add(keyOf(service), { afterMs: GATHER_MS });
  }

  function open(pod: Pod): void {
    if (forsaken(pod).length > 0) queue.add(`${POD}${keyOf(pod)}`);
  }

  async function lookAtAll(): Promise<void> {
    try {
      await pods.read(AbortSignal.any([stopped.signal, leadership]));
      for await (const some of inTurns(pods.list())) for (const pod of some) open(pod);
      for (const service of services.list()) if (gatesOf(service).length > 0) queue.add(keyOf(service));
    } catch {
      // The end of the work: nothing else ends the wait.
    }
  }

  function stop(): void {
    stopped.abort(new Error('the readiness controller is closing'));
    unsubscribe();
  }

  return {
    start() {
      const ends = [services.onChange(serviceChanged), pods.onChange(podChanged)];
      unsubscribe = () => {
        for (const end of ends) end();
      };
      for (const service of services.list()) serviceChanged(undefined, service);
    },
    async drain() {
      stop();
      await queue.drain();
    },
    async close() {
      stop();
      await queue.close();
    },
  };
}

const isWaiting = (pod: Pod, service: Service): boolean =>
  isTarget(pod) && closedGates(pod, gatesOf(service)).length > 0;
