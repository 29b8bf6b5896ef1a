import { createBackground } from '../../../../providers/aws/background.ts';
import { parseConfig } from '../../../../providers/aws/config.ts';
import { PRINT_ANNOTATION } from '../../../../providers/aws/progress.ts';
import { createStacks } from '../../../../providers/aws/stacks.ts';
import { isProviderError } from '../../../../src/core/errors.ts';
import type { Call, Progress } from '../../../../src/core/provider.ts';
import type { FakeAws } from '../../../fake/aws/aws.ts';
import { directClients } from '../../../fake/aws/clients.ts';
import type { VirtualClock } from '../../../fake/clock.ts';
import { CLUSTER, type Cluster } from './cluster.ts';

/**
 * A controller that leads: one run per Service at a time, a retry when a run fails or waits, an audit at the start and every
 * ten minutes, as src/controllers/service does it.
 */
export interface Process {
  readonly name: string;
  /** Ends it wherever it is; nothing of it goes on. */
  kill(): void;
  readonly isAlive: boolean;
  /** It lives, nothing runs, and nothing waits for less than the next audit. */
  readonly isIdle: boolean;
  /** Of each Service that was refused: why. */
  readonly refused: ReadonlyMap<string, string>;
  /** What was thrown that no provider may throw. */
  readonly bugs: readonly unknown[];
}

export interface ProcessOptions {
  readonly name: string;
  readonly clock: VirtualClock;
  readonly aws: FakeAws;
  readonly vpcId: string;
  readonly cluster: Cluster;
  readonly config?: object;
  /** How each run ended; for a person who looks for a cause. */
  readonly told?: (uid: string, end: unknown) => void;
}

const AUDIT_MS = 600_000;
const silent: Call['log'] = { debug() {}, info() {}, warn() {}, error() {} };

export function startProcess({
  name,
  clock,
  aws,
  vpcId,
  cluster,
  config = {},
  told = () => {},
}: ProcessOptions): Process {
  const ended = new AbortController();
  const call: Call = { signal: ended.signal, log: silent, limit: (fn) => fn() };
  const stacks = createStacks({
    clients: directClients(aws),
    clock,
    settings: { ...parseConfig(config).settings, cluster: CLUSTER },
    region: aws.region,
    vpcId,
    services: {
      settledPrintOf: (key) => [...cluster.services.values()].find(({ name }) => key === `default/${name}`)?.print,
      exists: (uid) => cluster.services.has(uid),
    },
    instanceOf: (node) => node.replace(/^node-/, ''),
  });
  const { loadBalancers, mirror, wanted, reads } = stacks;
  const running = new Set<string>();
  const again = new Set<string>(); // asked for while it ran
  const timers = new Map<string, () => void>(); // uid -> cancels its next run
  const failures = new Map<string, number>(); // uid -> in a row
  const refused = new Map<string, string>();
  const bugs: unknown[] = [];
  let isAudited = false;
  const background = createBackground({
    clock,
    mirror,
    wanted,
    reads,
    resync(_, uids) {
      for (const uid of uids) wake(uid);
    },
  });

  function wake(uid: string, afterMs = 0): void {
    if (ended.signal.aborted) return;
    if (running.has(uid)) {
      again.add(uid);
      return;
    }
    timers.get(uid)?.();
    timers.set(
      uid,
      clock.after(afterMs, () => {
        timers.delete(uid);
        void work(uid);
      }),
    );
  }

  async function work(uid: string): Promise<void> {
    if (running.has(uid)) {
      again.add(uid);
      return;
    }
    running.add(uid);
    const afterMs = await step(uid).catch((error: unknown) => afterError(uid, error));
    running.delete(uid);
    if (ended.signal.aborted) return;
    if (again.delete(uid)) wake(uid);
    else if (afterMs !== undefined) wake(uid, afterMs);
  }

  /** Returns when to run again. */
  async function step(uid: string): Promise<number | undefined> {
    const service = cluster.services.get(uid);
    if (service === undefined) return undefined;
    const key = `default/${service.name}`;
    if (service.deleted) {
      const removal = await loadBalancers.remove({ uid, key }, call);
      told(uid, removal);
      ended.signal.throwIfAborted();
      failures.delete(uid);
      if (!removal.done) return removal.retryAfterMs;
      cluster.services.delete(uid);
      return undefined;
    }
    const progress = await loadBalancers.ensure(cluster.specOf(service), call);
    told(uid, progress);
    ended.signal.throwIfAborted();
    failures.delete(uid);
    refused.delete(uid);
    if (progress.state === 'pending') return progress.retryAfterMs;
    publish(uid, progress);
    return undefined;
  }

  function publish(uid: string, { ingress, annotations }: Extract<Progress, { readonly state: 'ready' }>): void {
    if (cluster.services.get(uid)?.deleted !== false) return;
    cluster.publish(uid, { ingress, print: annotations?.[PRINT_ANNOTATION] ?? undefined });
  }

  function afterError(uid: string, error: unknown): number | undefined {
    if (ended.signal.aborted) return undefined;
    if (!isProviderError(error)) {
      if (bugs.length < 3) bugs.push(error);
      return undefined;
    }
    told(uid, error.message);
    const count = (failures.get(uid) ?? 0) + 1;
    failures.set(uid, count);
    if (error.kind === 'invalid') {
      refused.set(uid, error.message);
      return undefined;
    }
    return error.retryAfterMs ?? Math.min(1000 * 2 ** count, 60_000);
  }

  async function audits(): Promise<void> {
    while (!ended.signal.aborted) {
      try {
        const live = [...cluster.services.values()].filter(({ deleted }) => !deleted);
        const { specs } = await loadBalancers.audit(live.map(cluster.specOf), call);
        isAudited = true;
        background.start();
        for (const [uid, verdict] of specs) {
          if ('error' in verdict || verdict.actions.length > 0 || verdict.progress.state === 'pending') wake(uid);
          else publish(uid, verdict.progress);
        }
        for (const { uid, deleted, ingress } of cluster.services.values()) {
          if (deleted || ingress === undefined) wake(uid);
        }
        await clock.sleep(AUDIT_MS, ended.signal);
      } catch (error) {
        if (ended.signal.aborted) return;
        if (!isProviderError(error) && bugs.length < 3) bugs.push(error);
        await clock.sleep(2000, ended.signal).catch(() => {}); // the loop's condition looks
      }
    }
  }

  const unwatch = cluster.watch((uid) => {
    if (isAudited) wake(uid);
  });
  void audits();

  return {
    name,
    kill() {
      ended.abort(new Error(`${name} is killed`));
      background.close();
      unwatch();
      for (const cancel of timers.values()) cancel();
      timers.clear();
    },
    get isAlive() {
      return !ended.signal.aborted;
    },
    get isIdle() {
      return isAudited && !ended.signal.aborted && running.size === 0 && timers.size === 0;
    },
    refused,
    bugs,
  };
}
