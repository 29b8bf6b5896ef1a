import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { abandoned, disclaim } from './owner.ts';
import { withAdministration } from './run.ts';

/** Where `ip netns` keeps its names. */
export const NAMESPACES = '/run/netns';
/** How long a killed process may take to be gone. */
const DEATH_MS = 5000;

export interface Swept {
  readonly removed: readonly string[];
  /** What could not be removed; the next sweep tries again. */
  readonly kept: readonly { readonly name: string; readonly reason: string }[];
}

/** Removes what sandboxes left whose owner is dead, and nothing else. */
export function sweep(): Swept {
  const removed: string[] = [];
  const kept: { name: string; reason: string }[] = [];
  for (const name of abandoned()) {
    try {
      raze(name);
      removed.push(name);
    } catch (error) {
      // One process that cannot be killed must not keep every later sandbox from starting.
      kept.push({ name, reason: error instanceof Error ? error.message : String(error) });
    }
  }
  return { removed, kept };
}

/**
 * Removes everything of one sandbox: processes in its namespaces, its links in the namespace of this process, its
 * namespaces, its folder, its record. Synchronous, so that it also works while the process exits; what is already gone
 * is fine. Throws when something cannot be removed: then the record stays, and the next start tries again.
 */
export function raze(name: string): void {
  const namespaces = namespacesOf(name);
  killAllIn(namespaces);
  for (const ifname of hostLinksOf(name)) ip(['link', 'del', ifname]);
  for (const namespace of namespaces) ip(['netns', 'del', namespace]);
  const left = namespacesOf(name);
  if (left.length > 0) throw new Error(`namespaces cannot be removed: ${left.join(', ')}`);
  disclaim(name);
}

/** What the links of a sandbox outside its namespaces carry as alias. */
export function aliasOf(name: string): string {
  return `fairlead sandbox ${name}`;
}

/** Process ids that are in the network namespace of this path, which is not ours. */
export function processesIn(path: string): readonly number[] {
  const inode = inodeOf(path);
  if (inode === undefined || inode === inodeOf('/proc/self/ns/net')) return [];
  const wanted = `net:[${inode}]`;
  return readdirSync('/proc')
    .filter((entry) => /^[0-9]+$/.test(entry))
    .filter((pid) => {
      try {
        return readlinkSync(`/proc/${pid}/ns/net`) === wanted;
      } catch {
        return false; // has ended
      }
    })
    .map(Number);
}

/** SIGKILL to every process in these namespaces until none is left: one that dies may have just started another. */
export function killAllIn(namespaces: readonly string[]): void {
  const endMs = Date.now() + DEATH_MS;
  for (;;) {
    const pids = namespaces.flatMap((namespace) => processesIn(join(NAMESPACES, namespace))).filter(isRunning);
    if (pids.length === 0) return;
    if (Date.now() > endMs) throw new Error(`processes do not end: ${pids.join(', ')}`);
    for (const pid of pids) kill(pid);
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10);
  }
}

function namespacesOf(name: string): readonly string[] {
  try {
    return readdirSync(NAMESPACES)
      .filter((entry) => entry.startsWith(`${name}-`))
      .sort();
  } catch {
    return []; // made with the first namespace of this machine
  }
}

function hostLinksOf(name: string): readonly string[] {
  return readdirSync('/sys/class/net').filter((ifname) => {
    try {
      return readFileSync(`/sys/class/net/${ifname}/ifalias`, 'utf8').trim() === aliasOf(name);
    } catch {
      return false; // gone, or a file such as bonding_masters
    }
  });
}

function inodeOf(path: string): number | undefined {
  return statSync(path, { throwIfNoEntry: false })?.ino;
}

// A zombie keeps its namespace's link readable no longer, but one that dies right now may still be listed.
function isRunning(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return !/^[ZX]/.test(stat.slice(stat.lastIndexOf(')') + 2));
  } catch {
    return false;
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It has ended by itself.
  }
}

/** Another sweep may have been quicker; whether something is left is looked at afterwards. */
function ip(args: readonly string[]): void {
  try {
    execFileSync('ip', args, { stdio: 'ignore', timeout: 10_000, env: withAdministration(process.env) });
  } catch {
    // See above.
  }
}
