import { failure } from '../../core/errors.ts';
import type { Condition, Node } from '../../core/objects.ts';
import { conditionOf } from '../../core/route/changes.ts';
import {
  type ConditionDecision,
  type ConditionMemory,
  isSettled,
  NETWORK_UNAVAILABLE,
  networkUnavailable,
  type RouteState,
} from '../../core/route/condition.ts';
import { contested } from '../../core/route/events.ts';
import { failureOf } from '../../core/service/retry.ts';
import { classify } from '../../kube/classify.ts';
import { isNotFound } from '../../kube/request.ts';
import { resources } from '../../kube/resource.ts';
import { exponential } from '../../work/backoff.ts';
import { createLoop } from '../../work/loop.ts';
import { createQueue } from '../../work/queue.ts';
import { type Collaborators, tell } from './parts.ts';

export interface Conditions {
  /** Look at this node's condition soon. */
  check(name: string): void;
  /** Takes no more from the store; resolves when what was asked for has ended by itself. */
  drain(): Promise<void>;
  close(): Promise<void>;
}

const CONCURRENCY = 16;
const BACKOFF = { baseMs: 1000, capMs: 300_000, jitter: 0.2 };

/** Writes NetworkUnavailable of the nodes; `stateOf` says how far a node's routes are, nothing where that is none of our business. */
export function createConditions(
  collaborators: Collaborators,
  stateOf: (node: Node) => RouteState | undefined,
): Conditions {
  const { nodes, patches, clock, random, log, metrics, leads, leadership } = collaborators;
  const memories = new Map<string, ConditionMemory>(); // UID of the node -> what is remembered
  const written = new Map<string, { readonly from: string; readonly node: Node }>(); // name -> what our patch made of which version in the store
  const backoff = exponential({ ...BACKOFF, random });

  const loop = createLoop({
    clock,
    backoff,
    reconcile: async (name, signal) => await reconcile(name, signal),
    async failed(name, error) {
      const { code, kind } = failureOf(error);
      log[kind === 'conflict' ? 'debug' : 'warn']({ node: name, code, err: error }, 'condition was not written');
      return 'backoff';
    },
    ended: (result) => metrics.count('fairlead_reconcile_total', { controller: 'route-condition', result }),
  });
  const queue = createQueue({
    name: 'RouteConditions',
    controller: 'route',
    concurrency: CONCURRENCY,
    clock,
    backoff,
    metrics: metrics.queue,
    log,
    reconcile: (name, signal) => loop.run(name, AbortSignal.any([signal, leadership])),
  });

  async function reconcile(name: string, signal: AbortSignal): Promise<void> {
    const held = nodes.get(name)?.metadata.resourceVersion;
    const node = latest(name);
    const state = node === undefined ? undefined : stateOf(node);
    if (node === undefined || state === undefined) return;
    const { uid } = node.metadata;
    const now = conditionOf(node, NETWORK_UNAVAILABLE);
    const memory = memories.get(uid) ?? {};
    if (memory.contested === true && isSettled(now)) remember(uid, { ...memory, contested: undefined });
    const decision = networkUnavailable(now, state, { memory: memories.get(uid) ?? {}, nowMs: clock.monotonicMs() });
    if (decision.contested === true) {
      remember(uid, { ...memory, contested: true });
      log.warn({ node: name, reason: now?.reason }, 'another sets NetworkUnavailable; left alone');
      tell(collaborators, { name, uid }, contested);
    }
    if (decision.condition === undefined) return;
    const after = await write(node, now, decision.condition, signal);
    if (after !== undefined && held !== undefined) written.set(name, { from: held, node: after });
    if (decision.overrules === true) remember(uid, { ...memory, overruledMs: clock.monotonicMs() });
  }

  /** What our last patch made of the copy in the store; that copy when somebody changed it since. */
  function latest(name: string): Node | undefined {
    const node = nodes.get(name);
    const ours = written.get(name);
    return node !== undefined && ours?.from === node.metadata.resourceVersion ? ours.node : node;
  }

  function remember(uid: string, { overruledMs, contested: isContested }: Loose<ConditionMemory>): void {
    memories.set(uid, {
      ...(overruledMs === undefined ? {} : { overruledMs }),
      ...(isContested === undefined ? {} : { contested: isContested }),
    });
  }

  async function write(
    node: Node,
    old: Condition | undefined,
    { status, reason, message }: NonNullable<ConditionDecision['condition']>,
    signal: AbortSignal,
  ): Promise<Node | undefined> {
    if (!leads())
      throw failure('FL_KUBE_NOT_LEADER', 'this process does not hold the lease any more; no condition was written');
    const { name, uid, resourceVersion } = node.metadata;
    const stamp = new Date(clock.now()).toISOString().replace(/\.\d+Z$/, 'Z');
    const lastTransitionTime = old?.status === status ? (old.lastTransitionTime ?? stamp) : stamp;
    const condition = {
      type: NETWORK_UNAVAILABLE,
      status,
      reason,
      message,
      lastTransitionTime,
      lastHeartbeatTime: stamp,
    };
    const startMs = clock.monotonicMs();
    try {
      // With both, the patch meets this very copy: a CNI that wrote meanwhile is not overwritten unseen.
      const body = { metadata: { uid, resourceVersion }, status: { conditions: [condition] } };
      const target = { resource: resources.nodes, name, subresource: 'status' as const };
      const after = await patches.strategic<Node>(target, body, signal);
      log.info({ node: name, status, reason }, 'condition NetworkUnavailable');
      return after;
    } catch (error) {
      if (isNotFound(error)) return undefined;
      throw classify(error);
    } finally {
      const seconds = (clock.monotonicMs() - startMs) / 1000;
      metrics.observe('fairlead_reconcile_duration_seconds', { controller: 'route', phase: 'status' }, seconds);
    }
  }

  const unsubscribe = nodes.onChange((old, now) => {
    if (now === undefined) {
      if (old === undefined) return;
      memories.delete(old.metadata.uid);
      written.delete(old.metadata.name);
      return;
    }
    if (old === undefined) return; // its routes are planned first
    const [before, after] = [old, now].map((node) => conditionOf(node, NETWORK_UNAVAILABLE));
    if (before?.status !== after?.status || before?.reason !== after?.reason) queue.add(now.metadata.name);
  });

  return {
    check: (name) => queue.add(name),
    async drain() {
      unsubscribe();
      await queue.idle(); // routes that came at last are shown
      await queue.drain();
    },
    async close() {
      unsubscribe();
      await queue.close();
    },
  };
}

type Loose<T> = { readonly [Key in keyof T]?: T[Key] | undefined };
