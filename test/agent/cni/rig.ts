import { spawn, spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import type { CniOptions } from '../../../src/agent/cni/options.ts';
import { create } from '../../../src/agent/cni/part.ts';
import { buildNative } from '../../../src/agent/native/build.ts';
import type { ChannelKind, Channels, RouteChannel } from '../../../src/agent/netlink/channel.ts';
import { openChannels } from '../../../src/agent/netlink/choose.ts';
import type { AgentContext, Part } from '../../../src/agent/part.ts';
import type { HostPort } from '../../../src/core/net/host-port.ts';
import type { LinkRecord } from '../../../src/core/net/rtnetlink.ts';
import type { Node } from '../../../src/core/objects.ts';
import type { Cidr } from '../../../src/core/provider.ts';
import { createStore, type Store } from '../../../src/kube/store.ts';
import { createMetrics } from '../../../src/obs/metrics.ts';
import { createNetns, type Netns } from '../../../src/sandbox/netns.ts';
import { systemClock } from '../../../src/work/clock.ts';
import { leaveOut } from '../../left-out.ts';
import { netnsMissing } from '../../sandbox/netns/missing.ts';

/** One node: a namespace, the folders of its runtime, and the CNI part on its kernel. */
export interface Rig {
  readonly netns: Netns;
  readonly folder: string;
  /** The node's links and routes, as the agent sees them. */
  readonly route: RouteChannel;
  readonly channels: Channels;
  readonly options: CniOptions;
  readonly nodes: Store<Node>;
  /** What the part gave to the node's table, last. */
  readonly table: { hostPorts: readonly HostPort[]; localPods: readonly Cidr[]; noMasq: readonly Cidr[] };
  readonly logged: string[];
  /** Starts the part, and waits until it is ready. */
  start(more?: Partial<CniOptions>, how?: StartOptions): Promise<Running>;
  /** A namespace for a pod; its path. */
  pod(name: string): Promise<string>;
  call(command: string, call: Call): Promise<Answer>;
  /** The same, made when it is not there yet. */
  netnsOf(name: string): Promise<string>;
  /** Any program in the namespace at the path; its exit status is a value. */
  run(netns: string, ...argv: readonly string[]): Promise<Answer>;
  /** `ip` in the namespace at the path. */
  ip(netns: string, ...args: readonly string[]): string;
  /** Links of ours, routes to pods, files: what must be gone after the last DEL. */
  left(): Promise<Left>;
}

export interface StartOptions {
  /** In place of the node's own. */
  readonly route?: RouteChannel;
  /** Resolves as soon as it listens or has ended; else a failure to become ready rejects. */
  readonly written?: () => Promise<void>;
  readonly hostPorts?: (all: readonly HostPort[]) => void;
  /** Default true. */
  readonly waitReady?: boolean;
}

export interface Running {
  readonly part: Part;
  /** Settles when the part has ended: with what it ended. */
  readonly ended: Promise<unknown>;
  stop(): Promise<void>;
}

export interface Call {
  readonly id?: string;
  readonly ifname?: string;
  readonly netns?: string;
  readonly args?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Merged into the plain configuration; a string replaces it. */
  readonly config?: object | string;
  /** In place of the installed plugin. */
  readonly program?: string;
}

export interface Answer {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
  /** stdout as JSON; undefined when it is empty. */
  readonly json: Json | undefined;
}
// biome-ignore lint/suspicious/noExplicitAny: results and errors of all versions, looked at by tests
export type Json = any;

export interface Left {
  readonly links: readonly string[];
  readonly routes: readonly string[];
  readonly addressFiles: readonly string[];
  readonly stateFiles: readonly string[];
  readonly hostPorts: readonly HostPort[];
}
export const NOTHING: Left = { links: [], routes: [], addressFiles: [], stateFiles: [], hostPorts: [] };

export const NETWORK = 'net';
export const POD_CIDR = '10.64.1.0/24';

export interface RigOptions {
  readonly podCidrs?: readonly string[];
  readonly kind?: ChannelKind;
  readonly events?: boolean;
  readonly defines?: readonly string[];
}

/** Undefined, and the test is left out, where this machine cannot do it. */
export async function createRig(t: TestContext, rig: RigOptions = {}): Promise<Rig | undefined> {
  const { podCidrs = [POD_CIDR], kind = 'socket', events = false, defines = [] } = rig;
  const missing = netnsMissing({ cc: 'gcc and libc6-dev', nc: 'netcat-openbsd' });
  if (missing !== undefined) {
    leaveOut(t, ...missing);
    return undefined;
  }
  const netns = await createNetns({ prefix: 'tcni' });
  t.after(() => netns.close());
  await netns.add('node', { forwarding: true });
  const { folder } = netns;
  const program = join(folder, 'fairlead-netlink');
  await buildNative({ to: program, defines });
  const logged: string[] = [];
  const note =
    (level: string) =>
    (fields: object, message: string): void =>
      void logged.push(`${level} ${message} ${JSON.stringify(fields, (_, v) => (v instanceof Error ? v.message : v))}`);
  const log = { debug: note('debug'), info: note('info'), warn: note('warn'), error: note('error') };
  const openIn = (path: string, helper?: string): Promise<Channels> =>
    openChannels({ kind, helper, netns: path, timers: systemClock, log });
  const channels = await openIn(netns.path('node'), events || kind === 'helper' ? program : undefined);
  t.after(() => channels.close());
  const nodes = createStore<Node>();
  const node: unknown = {
    metadata: { name: 'n1', uid: 'n1', resourceVersion: '1' },
    spec: { podCIDRs: [...podCidrs] },
  };
  nodes.replace([node as Node]);
  const table: Rig['table'] = { hostPorts: [], localPods: [], noMasq: [] };
  const options: CniOptions = {
    confDir: join(folder, 'net.d'),
    confFile: '05-fairlead.conflist',
    binDir: join(folder, 'bin'),
    plugin: 'fairlead',
    socket: join(folder, 'cni.sock'),
    shim: program,
    network: NETWORK,
    chained: [],
    stateDir: join(folder, 'state'),
    networksDir: join(folder, 'networks'),
    mtu: 0,
    encapsulation: 0,
    masquerade: true,
    nonMasqueradeCidrs: [],
    bootId: 'boot-1',
    openRoute: async (path) => {
      const opened = await openIn(path, kind === 'helper' ? program : undefined);
      return { ...opened.route, close: () => opened.close() };
    },
  };
  const sysctlRoot = join(folder, 'sys');
  mkdirSync(sysctlRoot);

  function contextOf({ route = channels.route, written = async () => {}, hostPorts }: StartOptions): AgentContext {
    return {
      nodeName: 'n1',
      clock: systemClock,
      log,
      metrics: createMetrics(),
      nodes: () => nodes,
      table: {
        hostPorts: hostPorts ?? ((all: readonly HostPort[]) => void Object.assign(table, { hostPorts: all })),
        localPods: (all: readonly Cidr[]) => void Object.assign(table, { localPods: all }),
        noMasq: (all: readonly Cidr[]) => void Object.assign(table, { noMasq: all }),
        written,
      },
      routes: async () => route,
      sysctlRoot,
    } as unknown as AgentContext;
  }

  const names = (path: string): readonly string[] => {
    try {
      return readdirSync(path).sort();
    } catch {
      return [];
    }
  };

  return {
    netns,
    folder,
    route: channels.route,
    channels,
    options,
    nodes,
    table,
    logged,
    async start(more = {}, how = {}) {
      const end = new AbortController();
      const part = await create(contextOf(how), { ...options, ...more });
      const ended = part.run(end.signal).then(
        () => undefined,
        (error: unknown) => error,
      );
      if (how.waitReady !== false) {
        const early = ended.then((error) => ({ error }));
        await until(
          async () => {
            const over = await Promise.race([early, Promise.resolve(undefined)]);
            if (over !== undefined) throw over.error ?? new Error('the part ended before it was ready');
            return part.ready() === undefined;
          },
          `the part is ready: ${part.ready()} (${logged.slice(-3).join('; ')})`,
        );
      }
      const stop = async (): Promise<void> => {
        end.abort();
        await ended;
      };
      t.after(stop);
      return { part, ended, stop };
    },
    async pod(name) {
      await netns.add(name);
      return netns.path(name);
    },
    call: (command, call) => callPlugin(netns.path('node'), join(options.binDir, options.plugin), command, call),
    netnsOf: async (name) => {
      if (!names('/run/netns').includes(netns.path(name).split('/').at(-1) ?? '')) await netns.add(name);
      return netns.path(name);
    },
    run: async (path, ...argv) => {
      const { status, stdout, stderr } = spawnSync('nsenter', [`--net=${path}`, ...argv], {
        encoding: 'utf8',
        timeout: 30_000,
      });
      return { code: status ?? 137, stdout, stderr, json: undefined };
    },
    ip: (path, ...args) => {
      const { status, stdout, stderr } = spawnSync('nsenter', [`--net=${path}`, 'ip', ...args], { encoding: 'utf8' });
      if (status !== 0) throw new Error(`ip ${args.join(' ')}: ${stderr}`);
      return stdout;
    },
    async left() {
      const links: readonly LinkRecord[] = await channels.route.links();
      const routes = await channels.route.routes();
      return {
        links: links.filter(({ name }) => name.startsWith('fl')).map(({ name }) => name),
        routes: routes
          .filter(({ destination }) => /^10[.]64[.]1[.]\d+[/]32$|^fd00:1:.*[/]128$/.test(destination))
          .map(({ destination, type }) => `${type} ${destination}`),
        addressFiles: names(join(options.networksDir, NETWORK)).filter((name) => !name.startsWith('last_')),
        stateFiles: names(options.stateDir),
        hostPorts: table.hostPorts,
      };
    },
  };
}

/** Runs the plugin as a container runtime does: environment, standard input, exit status, standard output. */
export function callPlugin(node: string, program: string, command: string, call: Call): Promise<Answer> {
  const { id = 'pod1', ifname = 'eth0', netns = '', args = '', env = {}, config = {} } = call;
  const stdin =
    typeof config === 'string'
      ? config
      : JSON.stringify({ cniVersion: '1.1.0', name: NETWORK, type: 'fairlead', ...config });
  const child = spawn('nsenter', [`--net=${node}`, call.program ?? program], {
    env: {
      PATH: process.env['PATH'],
      CNI_COMMAND: command,
      CNI_CONTAINERID: id,
      CNI_NETNS: netns,
      CNI_IFNAME: ifname,
      CNI_ARGS: args,
      CNI_PATH: '/opt/cni/bin',
      ...env,
    },
    timeout: 90_000,
    killSignal: 'SIGKILL',
  });
  return new Promise((resolve, reject) => {
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
    });
    child.once('error', reject);
    child.stdin.on('error', () => {});
    child.once('close', (code, signal) =>
      resolve({
        code: code ?? (signal === 'SIGKILL' ? 137 : 128),
        stdout,
        stderr,
        json: stdout === '' ? undefined : parsed(stdout),
      }),
    );
    child.stdin.end(stdin);
  });
}

function parsed(text: string): Json {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

export async function until(
  condition: () => boolean | Promise<boolean>,
  what: string | (() => string),
  ms = 20_000,
): Promise<void> {
  const end = performance.now() + ms;
  while (!(await condition())) {
    if (performance.now() > end) throw new Error(`not within ${ms} ms: ${typeof what === 'string' ? what : what()}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
