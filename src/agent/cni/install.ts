import { chmodSync, mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { failure, isProviderError } from '../../core/errors.ts';

/** Where the container runtime looks, and what is put there. */
export interface InstallOptions {
  readonly confDir: string;
  /** Name of the conflist: runtimes take the first by name. */
  readonly confFile: string;
  readonly binDir: string;
  /** Name of the plugin, `type` in the conflist. */
  readonly plugin: string;
  readonly socket: string;
}

/** What a Unix socket's address holds, its end included (sun_path). */
const LONGEST_SOCKET = 107;
/** Where the C program has the socket's path; the same in shim.c. */
const SLOT = 'FAIRLEAD_SOCKET=';
const SLOT_BYTES = SLOT.length + 108;
const SHELL_LINE = /^FAIRLEAD_SOCKET='[^']*'$/m;

/** The program, C or shell, with this node's socket written into it. Throws FL_CNI_CONFLIST for one that has no place for it. */
export function withSocket(program: Buffer, socket: string): Buffer {
  if (Buffer.byteLength(socket) > LONGEST_SOCKET || /['\n]/.test(socket))
    throw failure(
      'FL_CNI_CONFLIST',
      `${socket}: the path of a socket has at most ${LONGEST_SOCKET} bytes, without quotes`,
    );
  if (program.subarray(0, 2).toString() === '#!') {
    const text = program.toString('utf8');
    if (!SHELL_LINE.test(text)) throw noPlace();
    return Buffer.from(text.replace(SHELL_LINE, () => `FAIRLEAD_SOCKET='${socket}'`));
  }
  const at = program.indexOf(`${SLOT}/`);
  if (at < 0) throw noPlace();
  const copy = Buffer.from(program);
  copy.fill(0, at + SLOT.length, at + SLOT_BYTES);
  copy.write(socket, at + SLOT.length);
  return copy;
}

const noPlace = (): Error => failure('FL_CNI_CONFLIST', 'the program of --cni-shim is not the CNI plugin of Fairlead');

/** Puts the plugin into the bin directory, in one step; nothing is written when it is there already. */
export function installPlugin(program: string, { binDir, plugin, socket }: InstallOptions): void {
  const path = join(binDir, plugin);
  replaceFile(path, () => withSocket(readFileSync(program), socket), 0o755);
}

/** Writes the conflist in one step. False: it was there already, just so. */
export function writeConflist(text: string, { confDir, confFile }: InstallOptions): boolean {
  return replaceFile(join(confDir, confFile), () => Buffer.from(text), 0o644);
}

function replaceFile(path: string, content: () => Buffer, mode: number): boolean {
  // Runtimes read *.conf, *.conflist and *.json: this name is none of those.
  const fresh = `${path}.fairlead-${process.pid}`;
  try {
    const bytes = content();
    if (isSame(path, bytes, mode)) return false;
    mkdirSync(join(path, '..'), { recursive: true });
    writeFileSync(fresh, bytes, { mode });
    chmodSync(fresh, mode);
    renameSync(fresh, path);
    return true;
  } catch (error) {
    discard(fresh);
    if (isProviderError(error)) throw error;
    throw failure('FL_CNI_CONFLIST', `${path} cannot be written: ${(error as Error).message}`, { cause: error });
  }
}

function discard(path: string): void {
  try {
    rmSync(path, { force: true });
  } catch {
    // What kept it from being written keeps it from being removed; the caller tells that.
  }
}

function isSame(path: string, bytes: Buffer, mode: number): boolean {
  try {
    return (statSync(path).mode & 0o777) === mode && readFileSync(path).equals(bytes);
  } catch {
    // Not there, or not readable: writing it says what is wrong, if anything is.
    return false;
  }
}

/** Takes both away, the conflist first: the runtime must not call a plugin that is gone. For --cleanup only. */
export function uninstall({ confDir, confFile, binDir, plugin, socket }: InstallOptions): void {
  for (const path of [join(confDir, confFile), join(binDir, plugin), socket]) {
    try {
      rmSync(path, { force: true });
    } catch (error) {
      throw failure('FL_CNI_CONFLIST', `${path} cannot be removed: ${(error as Error).message}`, { cause: error });
    }
  }
}
