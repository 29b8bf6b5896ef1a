import { spawn } from 'node:child_process';
import { failure, isProviderError } from '../core/errors.ts';

export interface ExecOptions {
  /** Standard input; empty when absent. */
  readonly input?: string | Uint8Array;
  /** Then it is killed, and the call rejects. 60,000 when absent. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
  /** In place of this process's environment. */
  readonly env?: Readonly<Record<string, string>>;
}

export interface Executed {
  /** Exit status; 128 and the number of the signal when one ended it. */
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * Runs a program to its end; no shell. Whatever its exit status, that is a value. Rejects with FL_COMMAND_MISSING when it
 * is not installed, FL_COMMAND_FAILED when it cannot be started or takes too long, and the signal's reason.
 */
export type Exec = (command: string, args: readonly string[], options?: ExecOptions) => Promise<Executed>;

export const exec: Exec = (command, args, { input = '', timeoutMs = 60_000, signal, env } = {}) =>
  new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'pipe'], ...(env !== undefined && { env }) });
    let why: unknown;
    const kill = (reason: unknown): void => {
      why ??= reason;
      child.kill('SIGKILL');
    };
    const late = `${commandLine(command, args)} did not end in ${timeoutMs} ms`;
    const timer = setTimeout(() => kill(failure('FL_COMMAND_FAILED', late)), timeoutMs);
    const abort = (): void => kill(signal?.reason);
    signal?.addEventListener('abort', abort, { once: true });
    const end = (settle: () => void): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', abort);
      settle();
    };
    const stdout = gathered(child.stdout);
    const stderr = gathered(child.stderr);
    child.on('error', (error) => end(() => reject(notStarted(command, error))));
    child.on('close', (code, name) =>
      end(() => {
        if (why !== undefined) reject(why);
        else resolve({ code: code ?? 128 + signalNumber(name), stdout: stdout(), stderr: stderr() });
      }),
    );
    // A program that ends before it has read everything has said why by its exit status.
    child.stdin.on('error', () => {});
    child.stdin.end(input);
  });

/** The same, and rejects with FL_COMMAND_FAILED and what it wrote to standard error when the exit status is not 0. */
export async function run(use: Exec, command: string, args: readonly string[], options?: ExecOptions): Promise<string> {
  const { code, stdout, stderr } = await use(command, args, options);
  if (code === 0) return stdout;
  throw failure('FL_COMMAND_FAILED', `${commandLine(command, args)}: exit status ${code}: ${stderr.trim()}`);
}

/** The same programs in another network namespace, by its path (nsenter, util-linux). */
export const execIn =
  (netns: string, use: Exec): Exec =>
  async (command, args, options) => {
    const executed = await use('nsenter', [`--net=${netns}`, '--', command, ...args], options);
    if (executed.code === 127) throw notInstalled(command, executed.stderr);
    if (executed.code === 1 && /^nsenter: (cannot open|reassociate|stat of)/m.test(executed.stderr)) {
      throw failure('FL_NETNS', `network namespace ${netns} cannot be entered: ${executed.stderr.trim()}`);
    }
    return executed;
  };

/** True for the error of a program that is not installed. */
export const isCommandMissing = (error: unknown): boolean =>
  isProviderError(error) && error.code === 'FL_COMMAND_MISSING';

export const commandLine = (command: string, args: readonly string[]): string => [command, ...args].join(' ');

function gathered(stream: NodeJS.ReadableStream): () => string {
  const chunks: Buffer[] = [];
  stream.on('data', (chunk: Buffer) => chunks.push(chunk));
  return () => Buffer.concat(chunks).toString();
}

function notStarted(command: string, error: Error): Error {
  if ('code' in error && error.code === 'ENOENT') return notInstalled(command, error);
  return failure('FL_COMMAND_FAILED', `${command} cannot be started: ${error.message}`, { cause: error });
}

const notInstalled = (command: string, cause: unknown): Error =>
  failure('FL_COMMAND_MISSING', `${command} is not installed, or not in PATH`, { cause });

const SIGNALS: Readonly<Record<string, number>> = { SIGABRT: 6, SIGKILL: 9, SIGSEGV: 11, SIGTERM: 15 };
const signalNumber = (name: string | null): number => (name === null ? 0 : (SIGNALS[name] ?? 0));
