/** What a killed run left behind, when even its watchman was killed: processes, cgroups, folders. */
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { GUARD } from './guard.ts';
import { removeCgroups } from './machine.ts';

/** Writes down that this process owns the folder. */
export function claim(folder: string): void {
  writeFileSync(join(folder, 'owner'), `${process.pid} ${startOf(process.pid)}`);
}

/**
 * Ends and removes what clusters in the temporary folder have left whose owner is gone; `prefix` starts their folders' names.
 * Returns the folders. Nothing without an owner's record is touched, nor anything of a living owner.
 */
export function sweep(prefix: string): readonly string[] {
  const folders = readdirSync(tmpdir()).filter((name) => name.startsWith(prefix));
  const left = folders.map((name) => join(tmpdir(), name)).filter(isOrphaned);
  for (const folder of left) {
    // Twice: what a process started while we looked is found by the second look.
    for (let look = 0; look < 2; look += 1) for (const pid of processesOf(folder)) kill(pid);
    spawnSync('/bin/sh', ['-c', removeCgroups, 'sweep', folder], { timeout: 60_000 });
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  }
  return left;
}

function isOrphaned(folder: string): boolean {
  const [pid, start] = (read(join(folder, 'owner')) ?? '').split(' ');
  return pid !== undefined && start !== undefined && startOf(Number(pid)) !== start;
}

/** Processes carry the folder in their environment, so a reused process id deceives nobody. */
function processesOf(folder: string): readonly number[] {
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  return pids
    .filter((pid) => read(`/proc/${pid}/environ`)?.split('\0').includes(`${GUARD}=${folder}`) === true)
    .map(Number);
}

/** When a process started, in the kernel's ticks; `undefined`: there is none. */
function startOf(pid: number): string | undefined {
  // The name, in parentheses, may hold spaces; field 22 counts from the start.
  return read(`/proc/${pid}/stat`)
    ?.replace(/^.*\) /s, '')
    .split(' ')[19];
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error; // it has ended meanwhile
  }
}

/** `undefined` when it is not there any more: processes and folders come and go. */
function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}
