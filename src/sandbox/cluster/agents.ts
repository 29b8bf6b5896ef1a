import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock, Log } from '../../core/provider.ts';
import type { Timers } from '../../work/clock.ts';
import type { Netns } from '../netns.ts';
import { readConflist } from './cni-runtime.ts';

/** `fairlead agent` on one node, kept running as a DaemonSet would. */
export interface NodeAgent {
  readonly folders: AgentFolders;
  /** Resolves when the agent serves pods; rejects with the end of its log when it does not get there. */
  whenReady(signal: AbortSignal): Promise<void>;
  /** Process id; undefined between two lives. */
  readonly pid: number | undefined;
  /** How often it was started. */
  readonly starts: number;
  /** Ends it, SIGTERM by default; it is started again after a moment. */
  kill(signal?: NodeJS.Signals): void;
  /** Ends it for good. */
  close(): Promise<void>;
}

export interface AgentFolders {
  readonly confDir: string;
  readonly binDir: string;
  readonly socket: string;
  readonly log: string;
}

export interface NodeAgentOptions {
  readonly nodeName: string;
  readonly netns: Netns;
  /** How `fairlead` is started: program and first arguments. */
  readonly fairlead: readonly string[];
  readonly kubeconfig: string;
  /** The C program: netlink helper and CNI plugin; absent: none was built. */
  readonly helper?: string;
  readonly clock: Clock & Timers;
  readonly log: Log;
}

const READY_MS = 120_000;
const LOOK_MS = 50;
const RESTART_MS = 500;
const END_MS = 3000;

export async function startAgent(options: NodeAgentOptions): Promise<NodeAgent> {
  const { nodeName, netns, clock, log } = options;
  const folder = join(netns.folder, nodeName);
  const folders = {
    confDir: join(folder, 'net.d'),
    binDir: join(folder, 'bin'),
    socket: join(folder, 'cni.sock'),
    log: join(folder, 'agent.log'),
  };
  for (const made of [folders.confDir, folders.binDir]) await mkdir(made, { recursive: true });
  let child: ChildProcess | undefined;
  let starts = 0;
  let isClosed = false;
  let cancel: (() => void) | undefined;

  function start(): void {
    starts += 1;
    const output = openSync(folders.log, 'a');
    child = netns.spawn(nodeName, [...options.fairlead, ...argumentsOf(options, folder, folders)], {
      stdio: ['ignore', output, output],
    });
    closeSync(output);
    const ended = (how: object): void => {
      child = undefined;
      if (isClosed) return;
      log.warn({ node: nodeName, ...how }, 'agent has ended; starting it again');
      cancel = clock.after(RESTART_MS, start);
    };
    child.once('error', (err) => ended({ err }));
    child.once('exit', (code, signal) => ended({ code, signal }));
  }

  start();
  return {
    folders,
    get pid() {
      return child?.pid;
    },
    get starts() {
      return starts;
    },
    kill: (signal = 'SIGTERM') => void child?.kill(signal),
    async whenReady(signal) {
      const endMs = clock.monotonicMs() + READY_MS;
      while ((await readConflist(folders.confDir)) === undefined) {
        // What one start does not bring a further one will not: a wrong flag, no rights, no free port.
        const isLate = clock.monotonicMs() > endMs || starts > 3;
        if (isLate) throw new Error(`the agent of ${nodeName} does not get ready:\n${await tail(folders.log)}`);
        await clock.sleep(LOOK_MS, signal);
      }
    },
    async close() {
      isClosed = true;
      cancel?.();
      const last = child;
      if (last === undefined) return;
      const ended = once(last, 'exit');
      last.kill('SIGTERM');
      await Promise.race([ended, once(AbortSignal.timeout(END_MS), 'abort')]);
      last.kill('SIGKILL');
    },
  };
}

function argumentsOf(
  { nodeName, kubeconfig, helper }: NodeAgentOptions,
  folder: string,
  { confDir, binDir, socket }: AgentFolders,
): readonly string[] {
  return [
    'agent',
    `--node-name=${nodeName}`,
    `--kubeconfig=${kubeconfig}`,
    '--parts=proxy,cni,routes',
    `--cni-conf-dir=${confDir}`,
    `--cni-bin-dir=${binDir}`,
    `--cni-socket=${socket}`,
    `--cni-state-dir=${join(folder, 'state')}`,
    `--cni-networks-dir=${join(folder, 'networks')}`,
    ...(helper === undefined ? [] : [`--helper=${helper}`]),
  ];
}

async function tail(file: string): Promise<string> {
  const text = await readFile(file, 'utf8').catch(() => '(no log)');
  return text.trimEnd().split('\n').slice(-15).join('\n');
}
