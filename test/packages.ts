/**
 * The Debian packages that tests on real packets and real nodes use. `npm run packages` (root) installs what is missing;
 * without root it names it. With CI=true `npm test` does so by itself, before the first test.
 */
import { spawnSync } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';

/** A program (or an absolute path) that shows that a package is there -> the package. */
const packageOf = {
  nft: 'nftables',
  ip: 'iproute2',
  conntrack: 'conntrack',
  containerd: 'containerd',
  runc: 'runc',
  '/usr/lib/cni/bridge': 'containernetworking-plugins',
  gcc: 'gcc',
  '/usr/include/stdio.h': 'libc6-dev',
  iptables: 'iptables', // the portmap plugin runs it
  busybox: 'busybox-static',
  dash: 'dash',
  bash: 'bash',
  curl: 'curl',
  wget: 'wget',
  'nc.openbsd': 'netcat-openbsd',
  socat: 'socat',
  dig: 'dnsutils',
  host: 'bind9-host',
  iperf: 'iperf',
} as const;

/** Those of the packages that this machine lacks, sorted. */
export function missingPackages(env: Readonly<Record<string, string | undefined>> = process.env): readonly string[] {
  const missing = Object.entries(packageOf).filter(([program]) => programPath(program, env) === undefined);
  return missing.map(([, name]) => name).sort();
}

/** Where a program is; looks into the folders for root's programs also where the PATH leaves them out. */
export function programPath(
  program: string,
  env: Readonly<Record<string, string | undefined>> = process.env,
): string | undefined {
  if (program.startsWith('/')) return isReadable(program) ? program : undefined;
  const folders = [...(env['PATH'] ?? '').split(delimiter), '/usr/local/sbin', '/usr/sbin', '/sbin'];
  return folders.map((folder) => join(folder, program)).find(isReadable);
}

/** For a line that says what was left out. */
export const howToGetPackages = `run \`npm run packages\` as root, on Debian or Ubuntu`;

/** Installs what is missing. Throws with what to install where it may not, and with apt-get's own words where it fails. */
export function installPackages(say: (line: string) => void = (line) => process.stderr.write(`${line}\n`)): void {
  const missing = missingPackages();
  if (missing.length === 0) return;
  const command = `apt-get install --no-install-recommends ${missing.join(' ')}`;
  if (process.getuid?.() !== 0) throw new Error(`packages are missing; as root: ${command}`);
  say(`packages: ${command}`);
  apt('update', '-q');
  apt('install', '-q', '-y', '--no-install-recommends', ...missing);
  const still = missingPackages();
  if (still.length > 0) throw new Error(`packages: installed, and not found: ${still.join(' ')}`);
}

function apt(...args: readonly string[]): void {
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  const { status, error, stdout, stderr } = spawnSync('apt-get', args, { env, encoding: 'utf8', timeout: 600_000 });
  if (status !== 0) {
    const said = error?.message ?? `${stdout}${stderr}`.slice(-4_000);
    throw new Error(`packages: apt-get ${args.join(' ')} failed:\n${said}`, { cause: error });
  }
}

function isReadable(path: string): boolean {
  try {
    accessSync(path, constants.R_OK);
    return true;
  } catch {
    return false; // ENOENT or EACCES: of no use either way
  }
}

if (import.meta.main) {
  // `--if-ci` goes before every `npm test`: a laptop is left alone, and the tests themselves say what they miss.
  const isBefore = process.argv.includes('--if-ci');
  try {
    if (!isBefore || process.env['CI'] === 'true') installPackages();
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    if (!isBefore) process.exitCode = 1;
  }
}
