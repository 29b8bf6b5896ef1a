import { mkdir, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { failure } from '../../core/errors.ts';
import { type Exec, exec, isCommandMissing } from '../exec.ts';

export interface NativeBuild {
  /** Path of the program: the agent's helper under the name `fairlead-netlink`, under any other the CNI plugin. */
  readonly to: string;
  /** Macros for tests: 'FAIRLEAD_STEPS'. */
  readonly defines?: readonly string[];
  /** Compilers to try, in their order. `cc`, then `gcc` when absent. */
  readonly compilers?: readonly string[];
  readonly exec?: Exec;
}

export interface NativeProgram {
  readonly path: string;
  /** It runs on hosts with another C library, or none; false where the machine has no libc.a. */
  readonly isStatic: boolean;
}

const SOURCES = ['main.c', 'shim.c', 'helper.c', 'netlink.c'];
const FLAGS = ['-std=c11', '-Os', '-Wall', '-Wextra', '-Werror', '-ffunction-sections', '-fdata-sections'];
const LINK = ['-s', '-Wl,--gc-sections'];

/** Compiles the C program; a file that is there is replaced in one step. Throws FL_COMPILER_MISSING. */
export async function buildNative(build: NativeBuild): Promise<NativeProgram> {
  const { to, defines = [], compilers = ['cc', 'gcc'], exec: use = exec } = build;
  const sources = SOURCES.map((name) => join(import.meta.dirname, name));
  const fresh = `${to}.${process.pid}`;
  const args = [...FLAGS, ...defines.map((name) => `-D${name}`), '-o', fresh, ...sources, ...LINK];
  await mkdir(dirname(to), { recursive: true });
  try {
    const isStatic = await compile(use, compilers, args);
    await rename(fresh, to);
    return { path: to, isStatic };
  } catch (error) {
    await rm(fresh, { force: true });
    throw error;
  }
}

async function compile(use: Exec, compilers: readonly string[], args: readonly string[]): Promise<boolean> {
  for (const compiler of compilers) {
    try {
      if ((await use(compiler, ['-static', ...args])).code === 0) return true;
      const { code, stderr } = await use(compiler, args);
      if (code === 0) return false;
      throw failure('FL_COMPILER_MISSING', `${compiler} cannot build ${SOURCES.join(', ')}:\n${stderr}`);
    } catch (error) {
      if (!isCommandMissing(error)) throw error;
    }
  }
  throw failure('FL_COMPILER_MISSING', `none of ${compilers.join(', ')} is installed`);
}
