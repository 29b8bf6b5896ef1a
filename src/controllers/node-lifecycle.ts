import { failure, isProviderError } from '../core/errors.ts';
import { deleting, deletingFailed, deletionHeld, shutDown } from '../core/node/events.ts';
import { deletion, isBack, judge, lookedAfter, nothingSeen, type Sightings } from '../core/node/lifecycle.ts';
import { addShutdown, removeShutdown } from '../core/node/taints.ts';
import type { NodeWrite } from '../core/node/write.ts';
import type { Node } from '../core/objects.ts';
import type { Instance } from '../core/provider.ts';
import { readyOf } from '../core/service/nodes.ts';
import { failureOf } from '../core/service/retry.ts';
import { createDeadline } from '../kube/deadline.ts';
import { exponential } from '../work/backoff.ts';
import { createKeyedLoop } from '../work/keyed-loop.ts';
import type { Failing, Retry } from '../work/loop.ts';
import type { Outcome } from '../work/queue.ts';
import { refOf } from './node/lookup.ts';
import { type CloudParts, callOf, tell } from './node/parts.ts';
import { readNode, writeNode } from './node/write.ts';
import type { NodeController } from './node.ts';

/** From the flags; controllers.md, "Flags". */
export interface LifecycleOptions {
  /** How often the cloud is asked about Nodes that are not ready (--node-monitor-period). */
  readonly monitorPeriodMs: number;
}

const NAME = 'cloud-node-lifecycle';
/** Nodes written at once. */
const CONCURRENCY = 4;
/** A cloud that is asked every few seconds must answer before long. */
const DEADLINE_MS = 60_000;
const BACKOFF = { baseMs: 1000, capMs: 60_000, jitter: 0.2 };
/** Somebody else was faster: so often the Node is read again within one run. */
const REREADS = 3;
const OUTDATED: ReadonlySet<string> = new Set(['FL_KUBE_CONFLICT', 'FL_KUBE_INVALID']);

/** What the last look found out about a Node, until it is done. */
interface Task {
  readonly do: 'delete' | 'shutDown';
  /** The copy that was judged. */
  readonly node: Node;
}

/**
 * The cloud-node-lifecycle controller: deletes Nodes whose instances are gone and marks those that are switched off. One
 * look at all of them every period decides (core/node/lifecycle.ts); a key is the Node that something follows for.
 */
export function createLifecycleController(parts: CloudParts & LifecycleOptions): NodeController {
  const { nodes, instances, scheme, clock, random, log, metrics, leadership } = parts;
  const tasks = new Map<string, Task>(); // node name -> what the last look asks for
  const stopped = new AbortController();
  const working = AbortSignal.any([stopped.signal, leadership]);
  const backoff = exponential({ ...BACKOFF, random });
  let sightings: Sightings = nothingSeen;
  let looking: Promise<void> = Promise.resolve();
  let unsubscribe = () => {};

  const queue = createKeyedLoop({
    name: 'node-lifecycle',
    controller: NAME,
    concurrency: CONCURRENCY,
    clock,
    backoff,
    metrics: metrics.queue,
    log,
    until: leadership,
    reconcile,
    failed,
    ended: (result) => metrics.count('fairlead_reconcile_total', { controller: NAME, result }),
  });

  async function watchInstances(): Promise<void> {
    while (!working.aborted) {
      await clock.sleep(parts.monitorPeriodMs, working).catch(() => {});
      if (!working.aborted) await look();
    }
  }

  /** A look that fails is none: nothing is known more, or less, than before. */
  async function look(): Promise<void> {
    const all = nodes.list();
    const late = () =>
      failure('FL_RUN_DEADLINE', `the cloud did not list its instances within ${DEADLINE_MS / 1000} s`);
    const deadline = createDeadline(working, clock, DEADLINE_MS, late);
    try {
      judgeAll(all, await find(lookedAfter(all, scheme), deadline.signal));
      metrics.count('fairlead_reconcile_total', { controller: NAME, result: 'ok' });
    } catch (error) {
      if (working.aborted) return;
      metrics.count('fairlead_reconcile_total', { controller: NAME, result: failureOf(error).kind });
      log.warn({ err: error }, 'nodes were not looked after: the cloud did not say which instances there are');
    } finally {
      deadline.end();
    }
  }

  async function find(asked: readonly Node[], signal: AbortSignal): Promise<ReadonlyMap<string, Instance | undefined>> {
    if (asked.length === 0) return new Map();
    return await instances.find(asked.map(refOf), callOf(parts, signal));
  }

  function judgeAll(all: readonly Node[], found: ReadonlyMap<string, Instance | undefined>): void {
    const now = { nowMs: clock.monotonicMs(), wallMs: clock.now() };
    const verdicts = judge(sightings, { nodes: all, found, scheme, ...now });
    ({ sightings } = verdicts);
    tasks.clear();
    for (const node of verdicts.remove) tasks.set(node.metadata.name, { do: 'delete', node });
    for (const node of verdicts.shutDown) tasks.set(node.metadata.name, { do: 'shutDown', node });
    for (const name of tasks.keys()) queue.add(name);
    for (const { node, why, isNew } of verdicts.held) {
      if (!isNew) continue;
      metrics.count('fairlead_removals_held_total', { kind: 'node' });
      log.warn({ node: node.metadata.name, why }, 'node is kept although its instance is missing');
      tell(parts, node, deletionHeld(node.metadata.name, why));
    }
  }

  async function reconcile(name: string, signal: AbortSignal): Promise<Outcome> {
    const task = tasks.get(name);
    tasks.delete(name);
    if (task?.do === 'delete') return await remove(task.node, signal);
    const node = nodes.get(name);
    if (node !== undefined && isBack(node, scheme)) await write(node, removeShutdown, signal);
    else if (task !== undefined) await markShutDown(task.node, signal);
  }

  async function remove(node: Node, signal: AbortSignal): Promise<void> {
    const { name } = node.metadata;
    try {
      await writeNode(parts, NAME, deletion(node), signal);
    } catch (error) {
      // Somebody has changed it meanwhile: it may have come back, so the next look decides anew.
      if (isProviderError(error) && error.code === 'FL_KUBE_CONFLICT') return;
      tell(parts, node, deletingFailed(name, failureOf(error).message));
      throw error;
    }
    log.info({ node: name, providerID: node.spec.providerID }, 'node deleted: its instance does not exist any more');
    tell(parts, node, deleting(name));
  }

  async function markShutDown(node: Node, signal: AbortSignal): Promise<void> {
    const isMarked = await write(node, (now) => (readyOf(now) === 'True' ? undefined : addShutdown(now)), signal);
    if (!isMarked) return;
    log.info({ node: node.metadata.name }, 'node marked: its instance is shut down');
    tell(parts, node, shutDown(node.metadata.name));
  }

  /** Writes what the newest copy still needs. True: something was written. */
  async function write(
    node: Node,
    wanted: (now: Node) => NodeWrite | undefined,
    signal: AbortSignal,
  ): Promise<boolean> {
    let now: Node | undefined = node;
    for (let rereads = 0; ; rereads += 1) {
      const next = now === undefined ? undefined : wanted(now);
      if (next === undefined) return false;
      try {
        return (await writeNode(parts, NAME, next, signal)) !== undefined;
      } catch (error) {
        if (!isProviderError(error) || !OUTDATED.has(error.code) || rereads === REREADS) throw error;
        const live: Node | undefined = await readNode(parts, node.metadata.name, signal);
        now = live?.metadata.uid === node.metadata.uid ? live : undefined;
      }
    }
  }

  /** What the look asked for, the next look asks for again; a taint that should go has nobody else to think of it. */
  async function failed(name: string, error: unknown, { failures }: Failing): Promise<Retry> {
    log.warn({ node: name, failures, err: error }, 'node not looked after');
    const node = nodes.get(name);
    return node !== undefined && isBack(node, scheme) ? 'backoff' : 'onChange';
  }

  function changed(_old: Node | undefined, now: Node | undefined): void {
    if (now !== undefined && isBack(now, scheme)) queue.add(now.metadata.name);
  }

  function stop(): void {
    stopped.abort(new Error('the node lifecycle controller is closing'));
    unsubscribe();
  }

  return {
    start() {
      unsubscribe = nodes.onChange(changed);
      for (const node of nodes.list()) changed(undefined, node);
      looking = watchInstances();
    },
    async drain() {
      stop();
      await Promise.all([queue.drain(), looking]);
    },
    async close() {
      stop();
      await Promise.all([queue.close(), looking]);
    },
  };
}
