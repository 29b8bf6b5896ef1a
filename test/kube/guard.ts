/** A temporary folder and the processes that work in it, which end with this process, however it ends. */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** In the environment of every program and of what it starts: the folder whose it is. */
export const GUARD = 'FAIRLEAD_GUARD';

export interface Guarded {
  /** Absolute; removed by `close`. */
  readonly folder: string;
  /** Starts a program in a process group of its own, output to `folder/<name>.log`. */
  start(name: string, command: string, args: readonly string[]): Running;
  /** Kills what still runs and removes the folder. Idempotent. */
  close(): Promise<void>;
}
export interface Running {
  readonly name: string;
  readonly pid: number;
  /** Fulfilled with 'exit 1' or 'SIGKILL' when the program has ended. */
  readonly ended: Promise<string>;
  /** What `ended` was fulfilled with; absent while it runs. */
  readonly end: string | undefined;
  /** To its whole process group; does nothing once it has ended. */
  signal(signal: NodeJS.Signals): void;
  /** The last part of its output. */
  log(): string;
}

// Its standard input ends when this process is gone: by return, by a failed test, by Ctrl-C and by SIGKILL alike.
const watchman = `cat >/dev/null
for pid in "$1"/pids/*; do [ -e "$pid" ] && kill -s KILL -- "-\${pid##*/}"; done
eval "$2"
for try in 1 2 3 4 5; do rm -rf -- "$1" && break; sleep 1; done`;

/**
 * `prefix` starts the folder's name, so that a person knows whose it is. `last`: shell that removes what the processes leave
 * outside the folder, which is its `$1`; it runs at the end of this process, before the folder goes.
 */
export function guarded(prefix: string, last = ''): Guarded {
  const folder = mkdtempSync(join(tmpdir(), prefix));
  mkdirSync(join(folder, 'pids'));
  const guard = spawn('/bin/sh', ['-c', watchman, 'guard', folder, last], {
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  guard.unref();
  (guard.stdin as unknown as { unref(): void }).unref();
  const running = new Set<Running>();

  return {
    folder,
    start(name, command, args) {
      const logFile = join(folder, `${name}.log`);
      const output = openSync(logFile, 'a');
      const env = { ...process.env, [GUARD]: folder };
      const child = spawn(command, args, { cwd: folder, env, detached: true, stdio: ['ignore', output, output] });
      closeSync(output);
      const { pid } = child;
      if (pid === undefined) throw new Error(`${name}: ${command} does not start`);
      const record = join(folder, 'pids', String(pid));
      writeFileSync(record, name);
      const program = follow(name, child, pid, logFile, () => {
        rmSync(record, { force: true });
        running.delete(program);
      });
      running.add(program);
      return program;
    },
    async close() {
      const all = [...running];
      for (const program of all) program.signal('SIGKILL');
      await Promise.all(all.map((program) => program.ended));
      rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
      guard.stdin.end();
    },
  };
}

function follow(name: string, child: ChildProcess, pid: number, logFile: string, onEnd: () => void): Running {
  const { promise: ended, resolve } = Promise.withResolvers<string>();
  let end: string | undefined;
  child.once('exit', (code, signal) => {
    end = signal ?? `exit ${code}`;
    onEnd();
    resolve(end);
  });
  return {
    name,
    pid,
    ended,
    get end() {
      return end;
    },
    signal(signal) {
      if (end === undefined) process.kill(-pid, signal);
    },
    log: () => readFileSync(logFile, 'utf8').slice(-4_000),
  };
}
