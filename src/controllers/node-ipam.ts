import { failure, isProviderError } from '../core/errors.ts';
import { cidrFailed, cidrUnavailable } from '../core/node/events.ts';
import { podCidrsOf, setPodCidrs } from '../core/node/pod-cidr-write.ts';
import { createPodCidrs, type PodCidrOptions, type PodRangeUsage } from '../core/node/pod-cidrs.ts';
import type { Node } from '../core/objects.ts';
import type { Cidr } from '../core/provider.ts';
import { failureOf, verdictOf } from '../core/service/retry.ts';
import { list } from '../kube/list.ts';
import { resources } from '../kube/resource.ts';
import type { Sample } from '../obs/metrics.ts';
import { exponential } from '../work/backoff.ts';
import { createKeyedLoop } from '../work/keyed-loop.ts';
import type { Failing, Retry } from '../work/loop.ts';
import type { Outcome } from '../work/queue.ts';
import { type NodeParts, tell } from './node/parts.ts';
import { readNode, writeNode } from './node/write.ts';
import type { NodeController } from './node.ts';

export type IpamOptions = PodCidrOptions;

const NAME = 'node-ipam';
/** Nodes written at once. */
const CONCURRENCY = 16;
/** controllers.md, error kinds: transient. */
const BACKOFF = { baseMs: 1000, capMs: 300_000, jitter: 0.2 };
/** No answer, or one of somebody on the way: the Node may have what was written. */
const UNKNOWN: ReadonlySet<string> = new Set(['FL_KUBE_UNREACHABLE', 'FL_KUBE_REQUEST']);
/** Before a Node is refused, everything is read again; not more often than this. */
const REREAD_MS = 60_000;

/**
 * Node IPAM: gives pod CIDRs to Nodes that have none (--allocate-node-cidrs). Two phases: a block is held here before it is
 * written, and let go only when the API server has refused it for certain; and nothing is given before all that Nodes have
 * was read past the watch, which may be behind what a leader before us wrote.
 */
export function createIpamController(parts: NodeParts & IpamOptions): NodeController {
  const { nodes, client, clock, random, log, metrics, leadership } = parts;
  const cidrs = createPodCidrs(parts);
  const waiting = new Set<string>(); // names of Nodes for which nothing was free
  const told = new Map<string, string>(); // node name -> the complaint that its last event made
  const stopped = new AbortController();
  const working = AbortSignal.any([stopped.signal, leadership]);
  const backoff = exponential({ ...BACKOFF, random });
  const ends: (() => void)[] = [];
  const known = new Set<string>(); // uids of Nodes that have, or may have, a block of ours
  let readMs: number | undefined; // monotonic ms of the last full read; absent: nothing may be given yet
  let starting: Promise<void> = Promise.resolve();

  const queue = createKeyedLoop({
    name: 'node-ipam',
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

  /** What all Nodes have, from the API server itself. */
  async function readAll(signal: AbortSignal): Promise<void> {
    const before = [...known]; // who comes while we read is not missing
    const { items } = await list<Node>({ client, resource: resources.nodes, timers: clock, signal });
    const there = new Set(items.map(({ metadata }) => metadata.uid));
    for (const uid of before) if (!there.has(uid)) release(uid);
    for (const node of items) keep(node);
    readMs = clock.monotonicMs();
  }

  async function begin(): Promise<void> {
    for (let failures = 1; !working.aborted; failures += 1) {
      try {
        await readAll(working);
        for (const node of nodes.list()) changed(undefined, node);
        return;
      } catch (error) {
        if (working.aborted) return;
        log.warn({ err: error, failures }, 'no pod CIDR is given before all nodes are read; trying again');
        await clock.sleep(backoff(failures), working).catch(() => {});
      }
    }
  }

  async function reconcile(name: string, signal: AbortSignal): Promise<Outcome> {
    const node = nodes.get(name);
    if (node === undefined || !needsCidrs(node)) return settled(name);
    const { uid } = node.metadata;
    waiting.delete(name); // else what it lets go would wake itself
    // What is held was written already, and its answer or its echo is still to come: the same again changes nothing.
    const held = cidrs.heldBy(uid) as readonly Cidr[] | undefined;
    await assign(node, held ?? (await allocate(node, signal)), signal);
    settled(name);
  }

  /** True: somebody gave it others, or it is gone. */
  async function hasByNow(node: Node, signal: AbortSignal): Promise<boolean> {
    const live = await readNode(parts, node.metadata.name, signal);
    if (live?.metadata.uid !== node.metadata.uid) {
      release(node.metadata.uid);
      return true;
    }
    keep(live);
    return !needsCidrs(live);
  }

  async function allocate(node: Node, signal: AbortSignal): Promise<readonly Cidr[]> {
    const { uid } = node.metadata;
    let answer = cidrs.allocate(uid);
    if ('exhausted' in answer && clock.monotonicMs() - (readMs ?? 0) >= REREAD_MS) {
      await readAll(signal); // a Node whose removal no watch has told may still be held
      answer = cidrs.allocate(uid);
    }
    if ('cidrs' in answer) {
      known.add(uid);
      return answer.cidrs;
    }
    waiting.add(node.metadata.name);
    throw failure('FL_NODE_CIDRS_EXHAUSTED', exhaustedText(answer.exhausted), { field: 'spec.podCIDRs' });
  }

  async function assign(node: Node, wanted: readonly Cidr[], signal: AbortSignal): Promise<void> {
    const { name, uid } = node.metadata;
    try {
      const after = await writeNode(parts, NAME, setPodCidrs(node, wanted), signal);
      if (after === undefined) {
        release(uid); // the Node is gone
        return;
      }
      for (const { range } of cidrs.usage())
        metrics.count('node_ipam_controller_cidrset_cidrs_allocations_total', { clusterCIDR: range });
      log.info({ node: name, podCIDRs: wanted }, 'pod CIDRs given');
    } catch (error) {
      if (signal.aborted || !isProviderError(error) || UNKNOWN.has(error.code)) throw error;
      release(uid);
      // Somebody else may have given it others: then those are what it has.
      if (error.code !== 'FL_KUBE_INVALID' || !(await hasByNow(node, signal))) throw error;
    }
  }

  function settled(name: string): undefined {
    waiting.delete(name);
    told.delete(name);
    return undefined;
  }

  async function failed(name: string, error: unknown, failing: Failing): Promise<Retry> {
    const node = nodes.get(name);
    const { code } = failureOf(error);
    const { retry, text, event } = verdictOf(failureOf(error), { ...failing, during: 'ensure' });
    log.warn({ node: name, code, failures: failing.failures, err: error }, 'pod CIDRs not given');
    if (node !== undefined && event !== undefined && told.get(name) !== text) {
      tell(parts, node, code === 'FL_NODE_CIDRS_EXHAUSTED' ? cidrUnavailable(text) : cidrFailed(text));
      told.set(name, text);
    }
    return typeof retry === 'number' ? { afterMs: retry } : retry;
  }

  function changed(old: Node | undefined, now: Node | undefined): void {
    if (now !== undefined && !needsCidrs(now)) keep(now);
    else if (now !== undefined && old === undefined && readMs !== undefined) queue.add(now.metadata.name);
    else if (now === undefined && old !== undefined) wentAway(old);
  }

  function wentAway({ metadata: { name, uid } }: Node): void {
    settled(name);
    release(uid);
  }

  function keep(node: Node): void {
    const has = podCidrsOf(node);
    if (has.length === 0) return;
    known.add(node.metadata.uid);
    cidrs.hold(node.metadata.uid, has);
  }

  /** Nothing is held for it any more; who waits for a block may have it. */
  function release(uid: string): void {
    known.delete(uid);
    if (cidrs.heldBy(uid) === undefined) return;
    cidrs.release(uid);
    for (const { range } of cidrs.usage())
      metrics.count('node_ipam_controller_cidrset_cidrs_releases_total', { clusterCIDR: range });
    for (const name of waiting) queue.add(name);
  }

  function* usage(): Iterable<Sample<'node_ipam_controller_cidrset_usage_cidrs'>> {
    for (const { range, used, total } of cidrs.usage()) yield [{ clusterCIDR: range }, Number(used) / Number(total)];
  }

  function stop(): void {
    stopped.abort(new Error('node IPAM is closing'));
    for (const end of ends.splice(0)) end();
  }

  return {
    start() {
      ends.push(
        metrics.ask('node_ipam_controller_cidrset_usage_cidrs', usage),
        metrics.ask('fairlead_nodes_without_pod_cidr', () => [[{}, waiting.size]]),
        nodes.onChange(changed),
      );
      starting = begin();
    },
    async drain() {
      stop();
      await Promise.all([queue.drain(), starting]);
    },
    async close() {
      stop();
      await Promise.all([queue.close(), starting]);
    },
  };
}

const needsCidrs = (node: Node): boolean =>
  node.metadata.deletionTimestamp === undefined && podCidrsOf(node).length === 0;

const exhaustedText = ({ range, maskSize, total }: PodRangeUsage): string =>
  `spec.podCIDRs: none of the ${total} blocks of /${maskSize} in ${range} is free`;
