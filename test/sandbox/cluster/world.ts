import { fileURLToPath } from 'node:url';
import { crdFiles } from '../../../src/cli/assets.ts';
import { readManifests } from '../../../src/cli/manifest.ts';
import { loadProvider } from '../../../src/cli/provider.ts';
import { putAll } from '../../../src/cli/world.ts';
import { createLeader } from '../../../src/controllers/leader.ts';
import type { Pod } from '../../../src/core/objects.ts';
import type { Log } from '../../../src/core/provider.ts';
import type { Client } from '../../../src/kube/request.ts';
import { createMetrics } from '../../../src/obs/metrics.ts';
import { type Cluster, startCluster } from '../../../src/sandbox/cluster/cluster.ts';
import { systemClock } from '../../../src/work/clock.ts';

const main = fileURLToPath(new URL('../../../src/main.ts', import.meta.url));
const never = new AbortController().signal;
/** A machine under load may take long for what takes a second; what hangs is found all the same. */
export const PATIENCE_MS = 90_000;

export interface World extends Cluster {
  /** What the cluster warned of. */
  readonly warnings: readonly string[];
  send<T>(method: 'GET' | 'POST' | 'PATCH' | 'DELETE', path: string, body?: object): Promise<T>;
  /** Pods of `default` whose label app is that, once exactly `count` are ready and none is going. */
  pods(app: string, count: number): Promise<readonly Pod[]>;
}

/** A cluster with MetalLB's kinds and one pool, 192.0.2.0/24 and 2001:db8:1::/64. */
export async function createWorld(nodes: number): Promise<World> {
  const warnings: string[] = [];
  const ignore = (): void => {};
  const warn = (fields: object, message: string): void =>
    void warnings.push(
      `${message} ${JSON.stringify(fields, (_, value) => (value instanceof Error ? value.message : value))}`,
    );
  const log: Log = { debug: ignore, info: ignore, warn, error: warn };
  const cluster = await startCluster(
    {
      fairlead: [process.execPath, main],
      prefix: 'tsc',
      nodes,
      clock: systemClock,
      log,
      async prepare(client, signal) {
        const terminal = { stdin: process.stdin, cwd: process.cwd() };
        await putAll(client, await readManifests(await crdFiles(), terminal), signal);
        const pool = {
          apiVersion: 'metallb.io/v1beta1',
          kind: 'IPAddressPool',
          metadata: { name: 'pool', namespace: 'metallb-system' },
          spec: { addresses: ['192.0.2.0/24', '2001:db8:1::/64'] },
        };
        await putAll(client, [pool], signal);
      },
      controller: (client, signal) => runController(client, log, signal),
    },
    never,
  );
  const send: World['send'] = (method, path, body) =>
    cluster.client.call({
      method,
      path,
      ...(body === undefined ? {} : { body }),
      ...(method === 'PATCH' ? { contentType: 'application/merge-patch+json' } : {}),
      signal: never,
    });
  return {
    ...cluster,
    warnings,
    send,
    pods: (app, count) =>
      until(`${count} pods of ${app}`, async () => {
        const { items } = await send<{ items: readonly Pod[] }>(
          'GET',
          `/api/v1/namespaces/default/pods?labelSelector=app%3D${app}`,
        );
        const ready = items.filter(
          ({ metadata, status }) =>
            metadata.deletionTimestamp === undefined &&
            status?.conditions?.some(({ type, status: is }) => type === 'Ready' && is === 'True'),
        );
        return ready.length === count && items.length === count ? ready : undefined;
      }),
  };
}

/** Asks again until there is an answer; rejects with what was waited for, and the last failure. */
export async function until<T>(what: string, ask: () => Promise<T | undefined> | T | undefined): Promise<T> {
  const endMs = Date.now() + PATIENCE_MS;
  while (Date.now() < endMs) {
    const answer = await ask();
    if (answer !== undefined) return answer;
    await systemClock.sleep(50, never);
  }
  throw new Error(`${what}: not within ${PATIENCE_MS} ms`);
}

async function runController(client: Client, log: Log, signal: AbortSignal): Promise<void> {
  await createLeader({
    client,
    clock: systemClock,
    random: Math.random,
    log,
    metrics: createMetrics({ provider: 'onprem' }),
    module: await loadProvider('onprem', process.cwd()),
    providerConfig: { metallbNamespace: 'metallb-system' },
    cluster: 'test',
    identity: 'test',
    lease: {
      namespace: 'kube-system',
      name: 'fairlead-controller',
      leaseDurationMs: 15_000,
      renewDeadlineMs: 10_000,
      retryPeriodMs: 2000,
    },
    service: { defaultClass: false, driftCheckPeriodMs: 600_000, deleteOrphans: false, takeoverFieldManagers: [] },
  }).run(signal);
}
