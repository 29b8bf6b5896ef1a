import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { run, withAdministration } from '../netns/run.ts';
import { NETNS_PROGRAMS } from '../netns.ts';

/** Program -> Debian package. */
type Programs = Readonly<Record<string, string>>;

/** What a sandbox cluster needs of the machine, besides Node. */
const PROGRAMS: Programs = { ...NETNS_PROGRAMS, nft: 'nftables' };
/** The CNI plugin is a C program where there is a compiler, else a shell script that needs one of these. */
const SHELL_SHIM: Programs = { nc: 'netcat-openbsd', socat: 'socat' };
const COMPILERS = ['cc', 'gcc'];

/** Packages that lack, by Debian's names; empty: none. */
export function missingPackages(
  env: Readonly<Record<string, string | undefined>>,
  exists: (file: string) => boolean = existsSync,
): readonly string[] {
  const has = (program: string): boolean => isInstalled(program, env, exists);
  const missing = Object.entries(PROGRAMS).flatMap(([program, source]) => (has(program) ? [] : [source]));
  const hasShim = [...COMPILERS, ...Object.keys(SHELL_SHIM)].some(has);
  return [...new Set([...missing, ...(hasShim ? [] : ['netcat-openbsd'])])].sort();
}

/**
 * Installs packages where the machine is a Debian or one of its descendants; rejects with what apt-get said. False:
 * it is another system, on which a person installs them.
 */
export async function installPackages(
  packages: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): Promise<boolean> {
  if (!isInstalled('apt-get', env, existsSync)) return false;
  const apt = (args: readonly string[]) =>
    run(['apt-get', '-qq', ...args], { env: { ...env, DEBIAN_FRONTEND: 'noninteractive' }, timeoutMs: 300_000 });
  const install = ['install', '--yes', '--no-install-recommends', ...packages];
  if ((await apt(install)).code === 0) return true;
  // A fresh machine has no package lists.
  await apt(['update']);
  const { code, stderr } = await apt(install);
  if (code !== 0) throw new Error(`apt-get ${install.join(' ')}: ${stderr.trim()}`);
  return true;
}

function isInstalled(
  program: string,
  env: Readonly<Record<string, string | undefined>>,
  exists: (file: string) => boolean,
): boolean {
  const folders = (withAdministration(env)['PATH'] ?? '').split(delimiter);
  return folders.some((folder) => exists(join(folder, program)));
}

/** Why this process may not make network namespaces; undefined: it may. */
export async function namespacesForbidden(): Promise<string | undefined> {
  const probe = ['unshare', '--net', 'sh', '-c', 'ip link set lo up && nft add table ip fairlead_probe'];
  const { code, stderr } = await run(probe).catch((error: Error) => ({ code: 1, stderr: error.message }));
  return code === 0 ? undefined : (stderr.trim().split('\n')[0] ?? '');
}
