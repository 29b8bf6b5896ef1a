import { existsSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { fileURLToPath } from 'node:url';
import type { Agent } from '../agent/agent.ts';
import type { Channels } from '../agent/netlink/channel.ts';
import type { PartName } from '../agent/part.ts';
import { isProviderError } from '../core/errors.ts';
import type { Log } from '../core/provider.ts';
import { isAgentFamily, withKubeProxyNames } from '../obs/agent-families.ts';
import { answerHealth } from '../obs/checks.ts';
import { createLog, type Level } from '../obs/log.ts';
import { createMetrics, type Metrics } from '../obs/metrics.ts';
import { type Responder, type Serving, serve } from '../obs/serve.ts';
import { systemClock } from '../work/clock.ts';
import {
  type AgentOptions,
  agentFlags,
  agentOptions,
  agentProblems,
  inertAgentFlags,
  type Listen,
  proxyOptions,
} from './agent-flags.ts';
import { type CniPlace, cniOptions } from './cni-flags.ts';
import { type Command, type Input, InputError, type Terminal, type Values } from './command.ts';
import { connect } from './connect.ts';
import { version } from './version.ts';

export const command: Command = {
  name: 'agent',
  summary: 'Work on one node: Services in nftables, interfaces of pods, routes to the pods of other nodes',
  usage: '',
  maxArgs: 0,
  flags: agentFlags,
  examples: [
    'fairlead agent --node-name=$(hostname)',
    'fairlead agent --parts=proxy --config=/var/lib/kube-proxy/config.conf',
    'fairlead agent --cleanup',
  ],
  async run(given, terminal) {
    const log = createLog({ level: given.flags['log-level'] as Level, destination: terminal.stdout });
    const input = await withConfigFile(given, log);
    const problems = agentProblems(input);
    if (problems.length > 0) throw new InputError(problems);
    for (const flag of inertAgentFlags(input)) log.warn({ flag }, 'this flag has no effect');
    return input.flags['cleanup'] === true ? await cleanUp(input, terminal, log) : await work(input, terminal, log);
  },
};

async function work({ flags }: Input, terminal: Terminal, log: Log): Promise<number> {
  const options = agentOptions(flags);
  const nodeName = (flags['node-name'] as string | undefined) ?? ownName(terminal);
  const metrics = createMetrics({ only: isAgentFamily });
  const client = connect(flags, terminal, metrics.client);
  log.info({ version: await version(), node: nodeName, parts: options.parts }, 'starting');
  if (options.oomScoreAdj !== undefined) await adjustOomScore(options.oomScoreAdj, log);
  let channels: Channels | undefined;
  const serving: Serving[] = [];
  try {
    channels = await openChannels(options, log);
    const { createAgent } = await import('../agent/agent.ts');
    const { exec } = await import('../agent/exec.ts');
    const agent = await createAgent({
      nodeName,
      parts: options.parts,
      proxy: proxyOptions(flags),
      create: makers(flags, options, log),
      client,
      channels,
      exec,
      sysctlRoot: options.sysctlRoot,
      clock: systemClock,
      random: Math.random,
      log,
      metrics,
      synced: () => {
        log.info({ seconds: Math.round(process.uptime() * 1000) / 1000 }, 'synced');
        void giveBackMemory(terminal.signal);
      },
    });
    const stop = new AbortController();
    const end = AbortSignal.any([terminal.signal, stop.signal]);
    const served = serveAll({ agent, metrics, options, log, signal: end, serving });
    try {
      await Promise.race([agent.run(end), served]);
    } finally {
      stop.abort(new Error('the agent ends'));
    }
    return 0;
  } catch (error) {
    // A person must act: the message says how, a stack would not.
    if (isProviderError(error)) throw new Error(`${error.message} (${error.code})`, { cause: error });
    throw error;
  } finally {
    await Promise.all(serving.map((server) => server.close()));
    await channels?.close();
    client.close();
  }
}

/** Parts besides the proxy; literal imports, so that one that is off costs nothing. */
function makers(
  flags: Values,
  options: AgentOptions,
  log: Log,
): Parameters<typeof import('../agent/agent.ts').createAgent>[0]['create'] {
  return {
    cni: async (context) =>
      await (await import('../agent/cni/part.ts')).create(context, cniOptions(flags, cniPlace(options, log))),
    routes: async (context) => await (await import('../agent/routes/part.ts')).create(context),
  };
}

/** The C program is the plugin under another name; where it was not built, the shell form takes its place. */
function cniPlace(options: AgentOptions, log: Log): CniPlace {
  return {
    shim: options.helper ?? besideUs('fairlead-netlink') ?? besideUs('shim.sh') ?? sourceOf('../agent/native/shim.sh'),
    async openRoute(netns) {
      const channels = await openChannels({ ...options, netns }, log);
      return { ...channels.route, close: () => channels.close() };
    },
  };
}

const sourceOf = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

async function openChannels(
  { channel, helper, netns }: Pick<AgentOptions, 'channel' | 'helper'> & { readonly netns?: string },
  log: Log,
): Promise<Channels> {
  const { openChannels: open } = await import('../agent/netlink/choose.ts');
  return await open({
    kind: channel,
    helper: helper ?? besideUs('fairlead-netlink'),
    timers: systemClock,
    log,
    ...(netns === undefined ? {} : { netns }),
  });
}

/** Where the image has programs: beside the bundle. */
function besideUs(name: string): string | undefined {
  const path = sourceOf(name);
  return existsSync(path) ? path : undefined;
}

/** kube-proxy's config file, under what the flags say. */
async function withConfigFile(input: Input, log: Log): Promise<Input> {
  const file = input.flags['config'] as string | undefined;
  if (file === undefined) return input;
  const { readKubeProxyConfig } = await import('./kube-proxy-config.ts');
  const text = await readFile(file, 'utf8').catch((error: unknown) => {
    throw new InputError([`--config: ${file} cannot be read: ${(error as Error).message}`]);
  });
  const { texts, ignored, problems } = readKubeProxyConfig(text);
  const flags: Record<string, unknown> = { ...input.flags };
  const wrong = problems.map((problem) => `${file}: ${problem}`);
  for (const [name, said] of texts) {
    if (input.given.has(name)) continue;
    try {
      flags[name] = agentFlags.find((flag) => flag.name === name)?.parse(said);
    } catch (error) {
      wrong.push(`${file}: ${name}: ${JSON.stringify(said)} ${(error as Error).message}`);
    }
  }
  if (wrong.length > 0) throw new InputError(wrong);
  for (const setting of ignored) log.warn({ file, setting }, 'this setting of kube-proxy has no effect');
  return { ...input, flags };
}

/** NODE_NAME is what a DaemonSet gives by fieldRef; else as kubelet and kube-proxy name a node. */
const ownName = ({ env }: Terminal): string => (env['NODE_NAME'] ?? hostname()).trim().toLowerCase();

interface Served {
  readonly agent: Agent;
  readonly metrics: Metrics;
  readonly options: AgentOptions;
  readonly log: Log;
  readonly signal: AbortSignal;
  /** What is open is added here. */
  readonly serving: Serving[];
}

/** Health and metrics. Rejects when an address cannot be had and that is to be fatal; else never ends before the signal. */
async function serveAll(served: Served): Promise<void> {
  const { agent, options } = served;
  const checks = {
    livez: {},
    readyz: Object.fromEntries(agent.parts.map(({ name, ready }) => [name, ready])),
  };
  const health: Responder = async ({ url }) => agent.proxy?.answer(url.pathname);
  const ready: Responder = async ({ url }) => answerHealth(checks, url);
  const scrape: Responder = async ({ url }) => {
    if (url.pathname !== '/metrics') return undefined;
    const text = await served.metrics.text();
    const body = options.kubeProxyMetrics ? withKubeProxyNames(text) : text;
    return { status: 200, contentType: served.metrics.contentType, body };
  };
  await Promise.all([
    keepServing(served, options.healthz, health, '--healthz-bind-address'),
    keepServing(served, options.readyz, ready, '--readyz-bind-address'),
    keepServing(served, options.metrics, scrape, '--metrics-bind-address'),
    aborted(served.signal),
  ]);
}

/** As kube-proxy: an address that is taken is tried again every 5 s, unless that is to be fatal. */
async function keepServing(
  { options, log, signal, serving }: Served,
  where: Listen | undefined,
  respond: Responder,
  flag: string,
): Promise<void> {
  if (where === undefined) return;
  while (!signal.aborted) {
    try {
      serving.push(await serve({ respond, flag, ...where, clock: systemClock, log }));
      return;
    } catch (error) {
      if (options.bindAddressHardFail) throw error;
      log.error({ err: error, flag }, 'an address is not served; trying again');
    }
    await systemClock.sleep(5000, signal).catch(() => {});
  }
}

const aborted = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener('abort', () => resolve(), { once: true });
  });

async function adjustOomScore(score: number, log: Log): Promise<void> {
  await writeFile('/proc/self/oom_score_adj', String(score)).catch((err: unknown) => {
    log.warn({ err, score }, 'oom_score_adj not changed');
  });
}

/**
 * Once, a moment after the first sync: what the lists left behind is a third of the heap, and a process that then idles
 * would keep it. A pause of some 30 ms with 10,000 Services.
 */
async function giveBackMemory(signal: AbortSignal): Promise<void> {
  await systemClock.sleep(1000, signal).catch(() => {});
  if (signal.aborted) return;
  const { setFlagsFromString } = await import('node:v8');
  const { runInNewContext } = await import('node:vm');
  setFlagsFromString('--expose-gc');
  (runInNewContext('gc') as () => void)();
}

/** Removes what the parts made on the node; needs no API server. */
async function cleanUp({ flags }: Input, terminal: Terminal, log: Log): Promise<number> {
  const options = agentOptions(flags);
  let channels: Channels | undefined;
  const context = {
    log,
    clock: systemClock,
    sysctlRoot: options.sysctlRoot,
    signal: terminal.signal,
    async routes() {
      channels ??= await openChannels(options, log);
      return channels.route;
    },
  };
  const failed: string[] = [];
  const attempt = async (part: PartName | 'tables', act: () => Promise<void>): Promise<void> => {
    try {
      await act();
      log.info({ part }, 'removed');
    } catch (error) {
      failed.push(`${part}: ${error instanceof Error ? error.message : String(error)}`);
    }
  };
  const has = (part: PartName): boolean => options.parts.includes(part);
  try {
    // First: the runtime must not call a plugin whose tables are gone.
    if (has('cni'))
      await attempt('cni', async () => {
        await (await import('../agent/cni/part.ts')).cleanup(context, cniOptions(flags, cniPlace(options, log)));
      });
    if (has('routes'))
      await attempt('routes', async () => await (await import('../agent/routes/part.ts')).cleanup(context));
    if (has('proxy') || has('cni'))
      await attempt('tables', async () => await (await import('../agent/proxy/cleanup.ts')).cleanup(context));
  } finally {
    await channels?.close();
  }
  for (const problem of failed) terminal.stderr.write(`error: ${problem}\n`);
  return failed.length === 0 ? 0 : 1;
}
