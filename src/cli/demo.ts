import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { createLeader } from '../controllers/leader.ts';
import type { KubeObject, Lease, Service } from '../core/objects.ts';
import { type Client, createClient } from '../kube/request.ts';
import { resources } from '../kube/resource.ts';
import { createLog } from '../obs/log.ts';
import { createMetrics } from '../obs/metrics.ts';
import { createSandboxApi } from '../sandbox/api/server.ts';
import { systemClock } from '../work/clock.ts';
import { crdFiles, exampleFiles } from './assets.ts';
import type { Command, Terminal, Values } from './command.ts';
import { listOf } from './connect.ts';
import { parse } from './flags.ts';
import { readManifests } from './manifest.ts';
import { loadProvider } from './provider.ts';
import { statusOf, statusText } from './status.ts';
import { paint } from './table.ts';
import { putAll } from './world.ts';

/** Between two looks; what is shown changes when a user does something, not faster. */
const LOOK_MS = 500;
/** The examples are served within a second; more means that something is wrong. */
const ONCE_MS = 30_000;
/** A Service without an address may still get one: pools are taken a moment after they are read. */
const QUIET_MS = 2000;

export const command: Command = {
  name: 'demo',
  summary: 'Run Fairlead on an API server in memory, with example Services; nothing is left behind',
  usage: '',
  maxArgs: 0,
  flags: [
    { name: 'once', help: 'Print the result and end, for scripts', parse: parse.boolean, default: 'false' },
    {
      name: 'port',
      value: 'PORT',
      help: 'Of the API server; when it is taken, another',
      parse: parse.integer(0, 65_535),
      default: '6444',
    },
    { name: 'examples', help: 'Create the Services of deploy/examples', parse: parse.boolean, default: 'true' },
  ],
  examples: ['fairlead demo', 'fairlead demo --once', 'fairlead demo --port=7000 --examples=false'],
  async run({ flags }, terminal) {
    const folder = await mkdtemp(join(tmpdir(), 'fairlead-demo-'));
    try {
      return await demonstrate(flags, terminal, folder);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  },
};

async function demonstrate(flags: Values, terminal: Terminal, folder: string): Promise<number> {
  const api = createSandboxApi({ clock: systemClock });
  const server = await api.listen({ port: flags['port'] as number });
  const client = createClient({ transport: api.transport(), clock: systemClock });
  const ended = new AbortController();
  const signal = AbortSignal.any([terminal.signal, ended.signal]);
  const logFile = join(folder, 'controller.log');
  try {
    const kubeconfig = join(folder, 'kubeconfig');
    await writeFile(kubeconfig, server.kubeconfig, { mode: 0o600 });
    await putAll(client, await readManifests(await crdFiles(), terminal), signal);
    // Before the controller: a Service must not be looked at before the pool of its own file is there.
    if (flags['examples'] === true) await putAll(client, await readManifests(await exampleFiles(), terminal), signal);
    const running = startController(client, logFile, signal);
    terminal.stdout.write(greeting(kubeconfig, server.port, flags, terminal));
    const shown = flags['once'] === true ? once(client, terminal, signal) : live(client, terminal, signal);
    const code = await Promise.race([shown, running]);
    ended.abort(new Error('the demo has ended'));
    await running;
    return code;
  } finally {
    ended.abort(new Error('the demo has ended'));
    await server.close();
    await api.close();
  }
}

/** Resolves with the exit code when the controller has ended; a failure to start passes through. */
async function startController(client: Client, logFile: string, signal: AbortSignal): Promise<number> {
  const { openSync, writeSync, closeSync } = await import('node:fs');
  const file = openSync(logFile, 'a');
  const log = createLog({ destination: { write: (line) => void writeSync(file, line) } });
  try {
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
  } finally {
    closeSync(file);
  }
}

function greeting(kubeconfig: string, port: number, flags: Values, { stdout, env }: Terminal): string {
  const lines = [
    `An API server in memory runs on port ${port}${port === flags['port'] || flags['port'] === 0 ? '' : ` (${flags['port']} was taken)`}; Fairlead gives its Services addresses.`,
    '',
    '  In another terminal:',
    '',
    `    export KUBECONFIG=${kubeconfig}`,
    '    kubectl get services --all-namespaces --watch',
    '    kubectl create service loadbalancer mine --tcp=80:8080',
    '    kubectl annotate service mine metallb.io/loadBalancerIPs=192.0.2.77',
    '',
  ];
  if (!hasProgram('kubectl', env)) {
    lines.push(
      paint('yellow', '  kubectl is not installed here; the demo shows the examples all the same.', stdout),
      '',
    );
  }
  return `${lines.join('\n')}\n`;
}

function hasProgram(name: string, env: Terminal['env']): boolean {
  return (env['PATH'] ?? '').split(delimiter).some((folder) => folder !== '' && existsSync(join(folder, name)));
}

/** Prints when every Service is served, or when nothing has changed for a while. 1 when there is no end. */
async function once(client: Client, terminal: Terminal, signal: AbortSignal): Promise<number> {
  const endMs = systemClock.monotonicMs() + ONCE_MS;
  let last = { content: '', sinceMs: systemClock.monotonicMs() };
  while (systemClock.monotonicMs() < endMs) {
    const status = await look(client, signal);
    const content = JSON.stringify(status.services);
    if (content !== last.content) last = { content, sinceMs: systemClock.monotonicMs() };
    const isServed = status.services.every(({ state }) => state === 'Serving');
    const isOver = status.services.every(({ state }) => state !== 'Pending' && state !== 'Provisioning');
    if (status.leader !== undefined && (isServed || (isOver && systemClock.monotonicMs() - last.sinceMs > QUIET_MS))) {
      terminal.stdout.write(statusText(status, Date.now(), terminal));
      return 0;
    }
    await systemClock.sleep(20, signal);
  }
  terminal.stderr.write(`not all Services have an outcome after ${ONCE_MS / 1000} s\n`);
  terminal.stdout.write(statusText(await look(client, signal), Date.now(), terminal));
  return 1;
}

/** The table, again after every change; on a terminal in place. Ends with the signal. */
async function live(client: Client, terminal: Terminal, signal: AbortSignal): Promise<number> {
  const { stdout } = terminal;
  let shown = '';
  while (!signal.aborted) {
    const status = await look(client, signal).catch(() => undefined);
    if (status === undefined) break;
    const text = statusText(status, Date.now(), terminal);
    const content = JSON.stringify([
      status.services,
      status.leader,
      status.pools.map(({ name, assigned }) => [name, `${assigned}`]),
    ]);
    if (stdout.isTTY === true) {
      // Back to where the table began, then everything below it is new.
      if (shown !== '') stdout.write(`\x1b[${shown.split('\n').length - 1}F\x1b[0J`);
      shown = `${text}\n${paint('dim', 'Ctrl-C ends the demo.', stdout)}\n`;
      stdout.write(shown);
    } else if (content !== shown) {
      shown = content;
      stdout.write(`${text}\n`);
    }
    await systemClock.sleep(LOOK_MS, signal).catch(() => {});
  }
  return 0;
}

async function look(client: Client, signal: AbortSignal) {
  const pools = { group: 'metallb.io', version: 'v1beta1', plural: 'ipaddresspools' };
  const [services = [], ranges = [], leases = []] = await Promise.all([
    listOf<Service>(client, resources.services, signal),
    listOf<KubeObject>(client, pools, signal),
    listOf<Lease>(client, resources.leases, signal, 'kube-system'),
  ]);
  return statusOf(
    services,
    ranges,
    leases.find(({ metadata }) => metadata.name === 'fairlead-controller'),
  );
}
