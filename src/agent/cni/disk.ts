import {
  closeSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';

/**
 * The files of the CNI part. Synchronous, because a call takes 20 us where a turn through the thread pool takes 100, and so
 * that nothing can come between two steps of one change. Absence is a value, everything else throws.
 */
export interface Disk {
  /** Undefined: no such file. */
  read(path: string): string | undefined;
  /** The whole file or none of it, also after a crash; without fsync (cni.md, Rulings 5). */
  write(path: string, text: string): void;
  /** In one step, in one folder; takes the place of what is at `to`. */
  rename(from: string, to: string): void;
  /** False when there is such a file already, which stays as it is. */
  create(path: string, text: string): boolean;
  /** Nothing to do when it is gone. */
  remove(path: string): void;
  /** Names, sorted; none when there is no such folder. */
  list(folder: string): readonly string[];
  makeFolder(folder: string): void;
}

/** Name of the file that `write` renames; a crash may leave it behind. */
export const draftOf = (path: string): string => join(dirname(path), `.${basename(path)}.draft`);
export const isDraft = (name: string): boolean => name.startsWith('.') && name.endsWith('.draft');

export const disk: Disk = {
  read: (path) => orAbsent(() => readFileSync(path, 'utf8')),
  write(path, text) {
    const draft = draftOf(path);
    put(draft, text, 'w');
    try {
      renameSync(draft, path);
    } catch (error) {
      unlinkSync(draft);
      throw error;
    }
  },
  rename: (from, to) => renameSync(from, to),
  create(path, text) {
    try {
      put(path, text, 'wx');
      return true;
    } catch (error) {
      if (codeOf(error) === 'EEXIST') return false;
      throw error;
    }
  },
  remove: (path) => orAbsent(() => unlinkSync(path)),
  list: (folder) => orAbsent(() => readdirSync(folder).sort()) ?? [],
  makeFolder: (folder) => void mkdirSync(folder, { recursive: true }),
};

function put(path: string, text: string, flag: 'w' | 'wx'): void {
  const file = openSync(path, flag, 0o644);
  try {
    writeFileSync(file, text);
  } catch (error) {
    // A full disk: half a file would be taken for a whole one.
    unlinkSync(path);
    throw error;
  } finally {
    closeSync(file);
  }
}

function orAbsent<T>(work: () => T): T | undefined {
  try {
    return work();
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}

export const codeOf = (error: unknown): string | undefined =>
  error instanceof Error && 'code' in error ? String(error.code) : undefined;
