/**
 * moto's server: an AWS API in Python, in a venv of its own in the cache folder. It checks the wire format; it has no
 * throttling, no quotas, no draining and no DependencyViolation, which are test/fake/aws's business.
 */
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { cacheFolder, lock } from '../test/kube/build.ts';
import type { Guarded, Running } from '../test/kube/guard.ts';

type Environment = Readonly<Record<string, string | undefined>>;

/** For the line that says what was left out. */
export const howToGetMoto =
  'run `npm run localstack -- --install`, which needs Python 3.10 with venv and half a minute once';

const requirements = join(import.meta.dirname, 'requirements.txt');

/** The version of moto that requirements.txt pins: '5.2.5'. */
export function motoVersion(text: string = readFileSync(requirements, 'utf8')): string {
  const version = /^moto\[server\]==(\d+\.\d+\.\d+)$/m.exec(text)?.[1];
  if (version === undefined) throw new Error('localstack/requirements.txt: no line "moto[server]==X.Y.Z"');
  return version;
}

/** The venv's Python, if moto is installed; never installs. Absent: `undefined`, also when the venv's base Python has gone. */
export function motoPython(env: Environment = process.env): string | undefined {
  const python = join(folderIn(env), 'bin', 'python');
  return existsSync(python) ? python : undefined;
}

/** For tests: the venv's Python; without it installs when CI=true, and otherwise answers `undefined` ("left out"). */
export async function ensureMoto(env: Environment = process.env): Promise<string | undefined> {
  const found = motoPython(env);
  if (found !== undefined || env['CI'] !== 'true') return found;
  return installMoto(env);
}

/**
 * Installs moto unless it is there, and answers the venv's Python. The venv appears by a rename, so it is whole or absent;
 * several processes may call this at once, one of them installs. Throws with Python's own words, and says what to install.
 */
export async function installMoto(
  env: Environment = process.env,
  say: (line: string) => void = (line) => process.stderr.write(`${line}\n`),
): Promise<string> {
  const folder = folderIn(env);
  mkdirSync(cacheFolder(env), { recursive: true });
  const unlock = await lock(join(cacheFolder(env), 'installing-moto'));
  const unfinished = `${folder}.${process.pid}.tmp`;
  try {
    const found = motoPython(env);
    if (found !== undefined) return found;
    say(`localstack: installing moto ${motoVersion()} into ${folder}`);
    await run('python3', ['-m', 'venv', unfinished], env);
    // Not compiled ahead: most of what comes along is never imported, and compiling it is a third of the time.
    const pip = ['-m', 'pip', 'install', '--quiet', '--no-compile', '--disable-pip-version-check'];
    await run(join(unfinished, 'bin', 'python'), [...pip, '-r', requirements], env);
    rmSync(folder, { recursive: true, force: true });
    renameSync(unfinished, folder);
    return join(folder, 'bin', 'python');
  } finally {
    rmSync(unfinished, { recursive: true, force: true });
    unlock();
  }
}

/** A moto server on loopback that ends with the guard; ready when it resolves. Rejects with its own words if it ends, or after 60 s. */
export async function startMoto(
  guard: Guarded,
  { python, port, startMs = 60_000 }: { readonly python: string; readonly port: number; readonly startMs?: number },
): Promise<{ readonly url: string; readonly program: Running }> {
  const program = guard.start('moto', python, ['-m', 'moto.server', '-H', '127.0.0.1', '-p', String(port)]);
  const url = `http://127.0.0.1:${port}`;
  const deadline = performance.now() + startMs;
  while (!(await answers(`${url}/moto-api/data.json`))) {
    if (program.end !== undefined) throw new Error(`moto ended by itself (${program.end}):\n${program.log()}`);
    if (performance.now() > deadline) throw new Error(`moto is not there after ${startMs} ms:\n${program.log()}`);
    await sleep(50);
  }
  return { url, program };
}

/** Whether a GET of this address is answered with success. */
export function answers(url: string): Promise<boolean> {
  return fetch(url, { signal: AbortSignal.timeout(5_000) }).then(
    async (response) => {
      await response.body?.cancel();
      return response.ok;
    },
    () => false, // nobody listens yet; whoever asks has a deadline
  );
}

function folderIn(env: Environment): string {
  return join(cacheFolder(env), `moto-${motoVersion()}`);
}

function run(program: string, args: readonly string[], env: Environment): Promise<void> {
  const child = spawn(program, args, { env, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output = (output + text).slice(-20_000);
    });
  }
  return new Promise((resolve, reject) => {
    child.once('error', (cause: NodeJS.ErrnoException) => {
      const why = cause.code === 'ENOENT' ? `the program "${program}" is not on the PATH` : cause.message;
      reject(new Error(`localstack: ${why}: install Python 3.10 or newer, with venv`, { cause }));
    });
    child.once('close', (code, signal) => {
      if (code === 0) resolve();
      else reject(new Error(`localstack: ${program} ${args.join(' ')} ended with ${code ?? signal}:\n${output}`));
    });
  });
}
