import { spawn } from 'node:child_process';
import { delimiter } from 'node:path';

export interface Output {
  /** Exit status; a program that a signal ended has 128 + its number, as in a shell. */
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  /** For standard input. Default: nothing. */
  readonly input?: string;
  /** Default: that of this process. PATH also gets the folders of administration programs. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** After this it gets SIGKILL, and the promise rejects. Default 20,000. */
  readonly timeoutMs?: number;
}

const SIGNALS: Readonly<Partial<Record<NodeJS.Signals, number>>> = { SIGINT: 2, SIGKILL: 9, SIGPIPE: 13, SIGTERM: 15 };

/** Where `ip` and `nft` are, also for those whose PATH lacks them. */
const ADMINISTRATION = ['/usr/local/sbin', '/usr/sbin', '/sbin', '/usr/bin', '/bin'];

/** The environment with those folders at the end of its PATH. */
export function withAdministration(env: Readonly<Record<string, string | undefined>>): NodeJS.ProcessEnv {
  const folders = (env['PATH'] ?? '').split(delimiter).filter((folder) => folder !== '');
  return { ...env, PATH: [...new Set([...folders, ...ADMINISTRATION])].join(delimiter) };
}

/** Runs a program to its end. Rejects when it cannot be started or does not end in time; a bad exit status is a value. */
export function run(argv: readonly string[], options: RunOptions = {}): Promise<Output> {
  const { input = '', env = process.env, timeoutMs = 20_000 } = options;
  const [file = '', ...args] = argv;
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, { stdio: 'pipe', env: withAdministration(env) });
    let stdout = '';
    let stderr = '';
    let isLate = false;
    const timer = setTimeout(() => {
      isLate = true;
      child.kill('SIGKILL');
    }, timeoutMs);
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
    });
    child.once('error', (error) => {
      clearTimeout(timer);
      reject(error);
    });
    child.once('close', (code, signal) => {
      clearTimeout(timer);
      if (isLate) reject(new Error(`${argv.join(' ')} did not end within ${timeoutMs} ms: ${stderr.trim()}`));
      else resolve({ code: code ?? 128 + (SIGNALS[signal ?? 'SIGKILL'] ?? 0), stdout, stderr });
    });
    // A program that ends without reading its input breaks the pipe; its exit status says what there is to say.
    child.stdin.on('error', () => {});
    child.stdin.end(input);
  });
}
