import PQueue from 'p-queue';
import { isEqual } from '../core/equal.ts';
import { failure, isProviderError } from '../core/errors.ts';
import { PROVIDED_NODE_IP } from '../core/node/addresses.ts';
import { invalidNodeIp, metadataFailed, synced } from '../core/node/events.ts';
import { initialise, repairLabels, resync } from '../core/node/initialise.ts';
import { instanceLabelsOf } from '../core/node/labels.ts';
import { isOfCloud } from '../core/node/provider-id.ts';
import { isUninitializedNode } from '../core/node/taints.ts';
import type { NodeWrite, NodeWriteKind } from '../core/node/write.ts';
import type { Node } from '../core/objects.ts';
import type { Instance } from '../core/provider.ts';
import { failureOf, verdictOf } from '../core/service/retry.ts';
import { createDeadline } from '../kube/deadline.ts';
import { exponential } from '../work/backoff.ts';
import { createKeyedLoop } from '../work/keyed-loop.ts';
import type { Failing, Retry } from '../work/loop.ts';
import type { Outcome } from '../work/queue.ts';
import { inTurns } from '../work/turns.ts';
import { createLookup, LOOKUP_SIZE } from './node/lookup.ts';
import { type CloudParts, tell } from './node/parts.ts';
import { readNode, writeNode } from './node/write.ts';
import { createWritten } from './node/written.ts';

/** From the flags; controllers.md, "Flags". */
export interface NodeOptions {
  /** Fresh Nodes that are written at once (--concurrent-node-syncs). */
  readonly concurrency: number;
  /** The same for Nodes that are only compared (--concurrent-node-status-updates); 0: as many. */
  readonly statusConcurrency: number;
  /** How often every Node is compared with its instance (--node-status-update-frequency). */
  readonly statusFrequencyMs: number;
}

export interface NodeController {
  start(): void;
  /** Takes no more work; resolves when what runs has ended by itself. */
  drain(): Promise<void>;
  /** Takes no more work, aborts what runs, resolves when all has ended. */
  close(): Promise<void>;
}

const NAME = 'cloud-node';
/** Of Nodes that work already. */
const LOW_PRIORITY = -100;
const DEADLINE_MS = 120_000;
/** controllers.md, error kinds: transient. */
const BACKOFF = { baseMs: 1000, capMs: 300_000, jitter: 0.2 };
/** Somebody else was faster: so often the Node is read again within one run. */
const REREADS = 3;
/** What the API server answers when a Node is not as the write says. */
const OUTDATED: ReadonlySet<string> = new Set(['FL_KUBE_CONFLICT', 'FL_KUBE_INVALID']);

/**
 * The cloud-node controller: makes fresh Nodes ones of the cloud, and keeps providerID, labels and addresses of the others
 * what their instances say. A key is a Node's name; the cloud is asked in bulk.
 */
export function createNodeController(parts: CloudParts & NodeOptions): NodeController {
  const { nodes, scheme, clock, random, log, metrics, leadership } = parts;
  const lookup = createLookup(parts);
  const written = createWritten();
  const told = new Map<string, string>(); // node name -> the complaint that its last event made
  const stopped = new AbortController();
  const working = AbortSignal.any([stopped.signal, leadership]);
  const backoff = exponential({ ...BACKOFF, random });
  const fresh = new PQueue({ concurrency: parts.concurrency });
  const known = new PQueue({ concurrency: parts.statusConcurrency || parts.concurrency });
  let unsubscribe = () => {};

  const queue = createKeyedLoop({
    name: 'Nodes',
    controller: NAME,
    // As many as one bulk read takes may wait for it; how many are written at once is bounded below.
    concurrency: LOOKUP_SIZE,
    clock,
    backoff,
    metrics: metrics.queue,
    log,
    until: leadership,
    reconcile,
    failed,
    ended: (result) => metrics.count('fairlead_reconcile_total', { controller: NAME, result }),
  });

  async function reconcile(name: string, signal: AbortSignal): Promise<Outcome> {
    const late = () => failure('FL_RUN_DEADLINE', `no end after ${DEADLINE_MS / 1000} s`);
    const deadline = createDeadline(signal, clock, DEADLINE_MS, late);
    try {
      await reconcileWithin(name, deadline.signal);
    } finally {
      deadline.end();
    }
  }

  async function reconcileWithin(name: string, signal: AbortSignal): Promise<void> {
    const asked = current(name);
    if (asked === undefined) return;
    const answer = await lookup.find(asked, signal);
    const pool = isUninitializedNode(asked) ? fresh : known;
    await pool.add(async () => {
      signal.throwIfAborted();
      const node = current(name); // it may have changed while the cloud was asked
      if (node === undefined || node.metadata.uid !== asked.metadata.uid) return;
      if (isUninitializedNode(node)) await bringUp(node, answer, signal);
      else await keepUp(node, answer?.instance, signal);
    });
    told.delete(name);
  }

  /** The Node as far as we know, unless it is none of this cloud's, or on its way out. */
  function current(name: string): Node | undefined {
    const node = nodes.get(name);
    if (node === undefined || node.metadata.deletionTimestamp !== undefined || !isOfCloud(node, scheme))
      return undefined;
    return written.latest(node);
  }

  async function bringUp(
    node: Node,
    answer: { readonly instance: Instance | undefined } | undefined,
    signal: AbortSignal,
  ): Promise<void> {
    const { name, creationTimestamp } = node.metadata;
    if (answer === undefined)
      throw failure('FL_NODE_INSTANCE_MISSING', 'the provider cannot tell which instance it is');
    const { instance } = answer;
    if (instance === undefined)
      throw failure('FL_NODE_INSTANCE_MISSING', `the cloud has no instance for it${idText(node)}`);
    const after = await writeAll(node, (now) => initialise(now, instance), signal);
    if (after === undefined || isUninitializedNode(after)) return;
    const ageSeconds = (clock.now() - Date.parse(creationTimestamp)) / 1000;
    metrics.observe('node_controller_initial_node_sync_delay_seconds', {}, ageSeconds);
    metrics.observe('node_controller_cloud_provider_taint_removal_delay_seconds', {}, ageSeconds);
    log.info({ node: name, providerID: after.spec.providerID }, 'node initialised');
    tell(parts, after, synced);
  }

  async function keepUp(node: Node, instance: Instance | undefined, signal: AbortSignal): Promise<void> {
    if (instance === undefined) {
      // Gone, or not to be told: no business of this controller, but its labels may contradict each other.
      await writeAll(node, repairLabels, signal);
      return;
    }
    await writeAll(node, (now) => resync(now, instance).writes, signal);
    const { problem } = resync(node, instance);
    if (problem !== undefined) throw problem;
  }

  /**
   * Writes what differs, each kind once and in order, always from the newest copy: the API server answers each write with
   * the Node after it. Resolves with the last one, or with undefined when the Node is gone.
   */
  async function writeAll(
    node: Node,
    wanted: (now: Node) => readonly NodeWrite[],
    signal: AbortSignal,
  ): Promise<Node | undefined> {
    const done = new Set<NodeWriteKind>();
    let now: Node | undefined = node;
    for (let rereads = 0; now !== undefined; ) {
      const next = wanted(now).find(({ kind }) => !done.has(kind));
      if (next === undefined) return now;
      try {
        const after: Node | undefined = await writeNode(parts, NAME, next, signal);
        if (after !== undefined) written.note(now, after);
        done.add(next.kind);
        now = after;
      } catch (error) {
        const isOutdated = isProviderError(error) && OUTDATED.has(error.code);
        if (!isOutdated || rereads === REREADS) throw error;
        rereads += 1;
        const live: Node | undefined = await readNode(parts, node.metadata.name, signal);
        if (live?.metadata.uid !== node.metadata.uid) return undefined;
        now = live;
      }
    }
    return undefined;
  }

  /** A Node that waits is told what it waits for; one that works goes on, with what it has. */
  async function failed(name: string, error: unknown, failing: Failing): Promise<Retry> {
    const problem = failureOf(error);
    const node = nodes.get(name);
    const { retry, text, event } = verdictOf(problem, { ...failing, during: 'ensure' });
    const isFresh = node !== undefined && isUninitializedNode(node);
    log[isFresh ? 'warn' : 'debug'](
      { node: name, code: problem.code, failures: failing.failures, err: error },
      'node not synced',
    );
    if (node !== undefined && event !== undefined && told.get(name) !== text) {
      if (problem.code === 'FL_NODE_IP_INVALID') tell(parts, node, invalidNodeIp(text));
      else if (isFresh) tell(parts, node, metadataFailed(text));
      told.set(name, text);
    }
    if (typeof retry === 'number') return { afterMs: retry };
    // Its instance may change as well as the Node: who works is looked at by the next pass, who waits after the same time.
    return retry === 'onChange' && isFresh ? { afterMs: parts.statusFrequencyMs } : retry;
  }

  function changed(old: Node | undefined, now: Node | undefined): void {
    if (now === undefined) {
      if (old !== undefined) forget(old.metadata.name);
      return;
    }
    if (!isOfCloud(now, scheme) || (old !== undefined && written.isEcho(now))) return;
    if (old !== undefined && isEqual(decisive(old), decisive(now))) return;
    queue.add(now.metadata.name, isUninitializedNode(now) ? {} : { priority: LOW_PRIORITY });
  }

  function forget(name: string): void {
    written.forget(name);
    told.delete(name);
  }

  async function compareAll(): Promise<void> {
    for await (const some of inTurns(nodes.list())) {
      for (const node of some) {
        // One that waits has its own retries.
        if (isOfCloud(node, scheme) && !isUninitializedNode(node))
          queue.add(node.metadata.name, { priority: LOW_PRIORITY });
      }
    }
  }

  async function watchInstances(): Promise<void> {
    while (!working.aborted) {
      await compareAll();
      await clock.sleep(parts.statusFrequencyMs, working).catch(() => {});
    }
  }

  function stop(): void {
    stopped.abort(new Error('the node controller is closing'));
    unsubscribe();
  }

  return {
    start() {
      unsubscribe = nodes.onChange(changed);
      for (const node of nodes.list())
        if (isOfCloud(node, scheme) && isUninitializedNode(node)) queue.add(node.metadata.name);
      void watchInstances();
    },
    async drain() {
      stop();
      await queue.drain();
    },
    async close() {
      stop();
      lookup.close();
      await queue.close();
    },
  };
}

/** What of a Node, when it changes, may need a write. Addresses are the cloud's to change. */
function decisive(node: Node): unknown {
  const { metadata, spec } = node;
  return {
    isFresh: isUninitializedNode(node),
    providerID: spec.providerID ?? '',
    nodeIp: metadata.annotations?.[PROVIDED_NODE_IP],
    labels: instanceLabelsOf(node),
  };
}

const idText = ({ spec }: Node): string => (spec.providerID ? ` (${spec.providerID})` : ', by its name');
