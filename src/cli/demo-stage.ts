import { chownSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createLeader } from '../controllers/leader.ts';
import type { Log } from '../core/provider.ts';
import { type Client, createClient } from '../kube/request.ts';
import { createMetrics } from '../obs/metrics.ts';
import { createSandboxApi } from '../sandbox/api/server.ts';
import type { Question, Reply } from '../sandbox/cluster/outside.ts';
import { systemClock } from '../work/clock.ts';
import { crdFiles, exampleFiles, workloadFiles } from './assets.ts';
import type { Terminal, Values } from './command.ts';
import { readManifests } from './manifest.ts';
import { loadProvider } from './provider.ts';
import { putAll } from './world.ts';

/** What the demo plays on. */
export interface Stage {
  readonly client: Client;
  /** For people: path and port. */
  readonly kubeconfig: string;
  readonly port: number;
  /** Resolves with an exit code when the controller has ended; a failure to start passes through. */
  readonly controller: Promise<number>;
  /** Absent: there are no nodes. */
  readonly nodes?: StageNodes;
  close(): Promise<void>;
}

export interface StageNodes {
  readonly names: readonly string[];
  /** Name of the client's namespace, for `ip netns exec`, and its address. */
  readonly client: string;
  readonly clientAddress: string;
  ask(question: Question): Promise<Reply>;
}

interface StageOptions {
  readonly flags: Values;
  readonly terminal: Terminal;
  /** Of temporary files. */
  readonly folder: string;
  readonly log: Log;
  readonly signal: AbortSignal;
}

/** Without nodes: an API server and the controller in this process. */
export async function openPlain({ flags, terminal, folder, log, signal }: StageOptions): Promise<Stage> {
  const api = createSandboxApi({ clock: systemClock });
  const ended = new AbortController();
  const life = AbortSignal.any([signal, ended.signal]);
  const close = async (controller?: Promise<unknown>): Promise<void> => {
    ended.abort(new Error('the demo has ended'));
    await controller?.catch(() => {}); // told to whom `controller` was given
    await api.close();
  };
  try {
    const server = await api.listen({ port: flags['port'] as number });
    const client = createClient({ transport: api.transport(), clock: systemClock });
    const kubeconfig = join(folder, 'kubeconfig');
    await writeFile(kubeconfig, server.kubeconfig, { mode: 0o600 });
    giveToCaller(kubeconfig, terminal.env);
    await putObjects(client, flags, terminal, life);
    const controller = runController(client, log, life);
    return { client, kubeconfig, port: server.port, controller, close: () => close(controller) };
  } catch (error) {
    await close();
    throw error;
  }
}

/** With nodes in network namespaces; needs root. */
export async function openNodes({ flags, terminal, log, signal }: StageOptions): Promise<Stage> {
  const { startCluster } = await import('../sandbox/cluster/cluster.ts');
  const controller = Promise.withResolvers<number>();
  // Awaited in demo.ts; until then its failure is not an unhandled one.
  controller.promise.catch(() => {});
  const cluster = await startCluster(
    {
      fairlead: [process.execPath, ...process.execArgv, process.argv[1] ?? ''],
      nodes: flags['nodes'] as number,
      port: flags['port'] as number,
      clock: systemClock,
      log,
      prepare: (client, life) => putObjects(client, flags, terminal, life),
      controller(client, life) {
        const running = runController(client, log, life);
        running.then(controller.resolve, controller.reject);
        return running;
      },
    },
    signal,
  );
  try {
    const { client, netns, layout, kubeconfig } = cluster;
    giveToCaller(kubeconfig.path, terminal.env);
    if (flags['examples'] === true) await putAll(client, await readManifests(await workloadFiles(), terminal), signal);
    return {
      client,
      kubeconfig: kubeconfig.path,
      port: kubeconfig.port,
      controller: controller.promise,
      nodes: {
        names: layout.nodes.map(({ name }) => name),
        client: `${netns.name}-client`,
        clientAddress: (layout.client[0] ?? '').replace(/\/.*/, ''),
        ask: async (question) => (await cluster.ask({ ns: 'client' }, question)) ?? { error: 'the client is gone' },
      },
      close: () => cluster.close(),
    };
  } catch (error) {
    await cluster.close();
    throw error;
  }
}

/**
 * Why there can be no nodes on this machine, in a few words that end with what helps; undefined: there can. Installs the
 * packages that lack, and says so.
 */
export async function whyNoNodes({ env, stderr }: Terminal): Promise<string | undefined> {
  if (process.platform !== 'linux') return 'nodes, pods and packets need Linux, and root';
  if (process.geteuid?.() !== 0)
    return 'as root it adds nodes in network namespaces, pods, and a client that reaches the addresses: sudo npm run demo';
  const { installPackages, missingPackages, namespacesForbidden } = await import('../sandbox/cluster/programs.ts');
  const missing = missingPackages(env);
  const list = missing.join(' ');
  if (missing.length > 0) {
    stderr.write(`installing ${list}\n`);
    try {
      if (!(await installPackages(missing, env)))
        return `nodes need the packages that Debian calls ${list}: install them`;
    } catch (error) {
      return `nodes need ${list}, which cannot be installed: ${(error as Error).message}`;
    }
  }
  const forbidden = await namespacesForbidden();
  return forbidden === undefined
    ? undefined
    : `nodes need network namespaces, which this machine does not allow: ${forbidden}`;
}

/** Before the controller: a Service must not be looked at before the pool of its own file is there. */
async function putObjects(client: Client, flags: Values, terminal: Terminal, signal: AbortSignal): Promise<void> {
  await putAll(client, await readManifests(await crdFiles(), terminal), signal);
  if (flags['examples'] === true) await putAll(client, await readManifests(await exampleFiles(), terminal), signal);
}

async function runController(client: Client, log: Log, signal: AbortSignal): Promise<number> {
  await createLeader({
    client,
    clock: systemClock,
    random: Math.random,
    log,
    metrics: createMetrics({ provider: 'onprem' }),
    module: await loadProvider('onprem', process.cwd()),
    providerConfig: { metallbNamespace: 'metallb-system' },
    cluster: 'demo',
    identity: 'demo',
    lease: {
      namespace: 'kube-system',
      name: 'fairlead-controller',
      leaseDurationMs: 15_000,
      renewDeadlineMs: 10_000,
      retryPeriodMs: 2000,
    },
    service: { defaultClass: false, driftCheckPeriodMs: 600_000, deleteOrphans: false, takeoverFieldManagers: [] },
  }).run(signal);
  return 0;
}

/** Who called sudo reads the file with kubectl from another terminal. */
function giveToCaller(file: string, { SUDO_UID, SUDO_GID }: Terminal['env']): void {
  if (SUDO_UID === undefined || SUDO_GID === undefined || process.geteuid?.() !== 0) return;
  chownSync(file, Number(SUDO_UID), Number(SUDO_GID));
}
