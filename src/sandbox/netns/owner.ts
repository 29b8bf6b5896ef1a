import { lstatSync, mkdirSync, readdirSync, readFileSync, readlinkSync, rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';

/** Holds one record and one working folder per living sandbox. On tmpfs: a reboot takes namespaces and records alike. */
export const RECORDS = '/run/fairlead-sandbox';

const OWNER = '.owner';

/** Who owns a sandbox. A process id alone is reused; together with its start it is not. */
interface Owner {
  readonly pid: number;
  readonly startTicks: string;
  readonly bootId: string;
  readonly pidNamespace: string;
}

/** prefix, a dash, six hexadecimal digits; what belongs to it continues with a dash. No prefix has a dash. */
const NAME = /^[a-z][a-z0-9]{0,5}-[0-9a-f]{6}$/;

/**
 * Claims `name` for this process, before anything of it exists. The record is a symlink, because that is made whole or
 * not at all: a SIGKILL at any moment leaves either no record and nothing made, or a record that tells who is dead.
 */
export function claim(name: string): string {
  if (!NAME.test(name)) throw new Error(`${JSON.stringify(name)} is no name of a sandbox`);
  mkdirSync(RECORDS, { recursive: true, mode: 0o755 });
  const owner = ownerOf('self');
  if (owner === undefined) throw new Error('cannot read /proc/self/stat');
  symlinkSync([owner.pid, owner.startTicks, owner.bootId, owner.pidNamespace].join(' '), recordOf(name));
  const folder = folderOf(name);
  mkdirSync(folder, { mode: 0o755 });
  return folder;
}

export function folderOf(name: string): string {
  return join(RECORDS, name);
}

/** Forgets the sandbox; last of all, after everything that it owned is gone. */
export function disclaim(name: string): void {
  rmSync(folderOf(name), { recursive: true, force: true });
  rmSync(recordOf(name), { force: true });
}

/**
 * Names of sandboxes whose owner is certainly dead. In doubt, as with a record of another PID namespace, it lives. A
 * folder without a record is of no owner: the record comes before it and goes after it.
 */
export function abandoned(): readonly string[] {
  let entries: readonly string[];
  try {
    entries = readdirSync(RECORDS);
  } catch {
    return []; // no sandbox has ever been here
  }
  const records = new Set(
    entries.filter((entry) => entry.endsWith(OWNER)).map((entry) => entry.slice(0, -OWNER.length)),
  );
  const dead = [...records].filter((name) => NAME.test(name) && isDead(name));
  // Read again: a sandbox may have begun between its record and this.
  const lost = entries.filter((name) => NAME.test(name) && !records.has(name) && !hasRecord(name));
  return [...dead, ...lost].sort();
}

function isDead(name: string): boolean {
  let text: string;
  try {
    text = readlinkSync(recordOf(name));
  } catch {
    return false; // closed at this moment, or no record of ours
  }
  const [pid = '', startTicks, bootId, pidNamespace] = text.split(' ');
  if (pidNamespace === undefined || !/^[0-9]+$/.test(pid)) return false;
  const self = ownerOf('self');
  if (self === undefined) return false;
  if (bootId !== self.bootId) return true;
  if (pidNamespace !== self.pidNamespace) return false;
  return ownerOf(pid)?.startTicks !== startTicks;
}

function ownerOf(pid: string): Owner | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The second field is the program's name in parentheses and may contain anything; the third is the state.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    if (fields[0] === 'Z' || fields[0] === 'X') return undefined;
    return {
      pid: Number(stat.slice(0, stat.indexOf(' '))),
      startTicks: fields[19] ?? '',
      bootId: readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim(),
      pidNamespace: readlinkSync('/proc/self/ns/pid'),
    };
  } catch {
    return undefined; // no such process
  }
}

const hasRecord = (name: string): boolean => lstatSync(recordOf(name), { throwIfNoEntry: false }) !== undefined;

function recordOf(name: string): string {
  return `${folderOf(name)}${OWNER}`;
}
