/**
 * The programs of a real control plane: etcd, kube-apiserver and kubectl, built from Go modules into a cache.
 *
 * `npm run kube` fills the cache; tests ask `kubePrograms` or `ensureKube`. A folder named by KUBEBUILDER_ASSETS (the
 * convention of controller-runtime's envtest) wins over the cache. What only a cluster of real nodes needs, and
 * Kubernetes' own tests, are built when one is asked for (`ensureNodes`, `ensureSuite`).
 */
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/** Absolute paths of programs that can be run. */
export interface KubePrograms {
  readonly etcd: string;
  readonly apiserver: string;
  readonly kubectl: string;
}
/** What a cluster of real nodes needs beside the control plane's three. */
export interface NodePrograms {
  readonly controllerManager: string;
  readonly scheduler: string;
  readonly kubelet: string;
  readonly proxy: string;
  readonly agnhost: string;
  readonly coredns: string;
}
/** Kubernetes' own end-to-end tests and what runs them side by side. */
export interface SuitePrograms {
  readonly e2e: string;
  readonly ginkgo: string;
}
type Environment = Readonly<Record<string, string | undefined>>;

/** For the line that says what was left out. */
export const howToGetKube =
  'run `npm run kube`, which needs Go 1.26 and about 5 minutes once, or set KUBEBUILDER_ASSETS';

const modules = import.meta.dirname; // go.mod pins the versions
const packages = {
  etcd: 'go.etcd.io/etcd/server/v3',
  kubectl: 'k8s.io/kubernetes/cmd/kubectl',
  'kube-apiserver': 'k8s.io/kubernetes/cmd/kube-apiserver',
} as const;
const names = Object.keys(packages);
const nodePackages = {
  kubelet: 'k8s.io/kubernetes/cmd/kubelet',
  'kube-controller-manager': 'k8s.io/kubernetes/cmd/kube-controller-manager',
  'kube-scheduler': 'k8s.io/kubernetes/cmd/kube-scheduler',
  'kube-proxy': 'k8s.io/kubernetes/cmd/kube-proxy',
  agnhost: 'k8s.io/kubernetes/test/images/agnhost',
  coredns: 'github.com/coredns/coredns',
} as const;
const suitePackages = { 'e2e.test': 'k8s.io/kubernetes/test/e2e', ginkgo: 'github.com/onsi/ginkgo/v2/ginkgo' } as const;

/** The version of Kubernetes that go.mod requires: '1.37.2'. */
export function kubeVersion(goMod: string = readFileSync(join(modules, 'go.mod'), 'utf8')): string {
  const version = /^\s*k8s\.io\/kubernetes v(\d+\.\d+\.\d+)\b/m.exec(goMod)?.[1];
  if (version === undefined) throw new Error('test/kube/go.mod: no line "k8s.io/kubernetes v1.X.Y"');
  return version;
}

/** $FAIRLEAD_CACHE, else $XDG_CACHE_HOME/fairlead, else ~/.cache/fairlead; shared by everything that tests build. */
export function cacheFolder(env: Environment = process.env): string {
  if (env['FAIRLEAD_CACHE']) return env['FAIRLEAD_CACHE'];
  return join(env['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'fairlead');
}

/**
 * The programs, if they are there; never builds. Absent: `undefined`. A KUBEBUILDER_ASSETS that lacks a program is a
 * mistake of whoever set it, so it throws and names what is missing.
 */
export function kubePrograms(env: Environment = process.env): KubePrograms | undefined {
  const folder = env['KUBEBUILDER_ASSETS'] || cacheOf(env);
  const missing = names.filter((name) => !existsSync(join(folder, name)));
  if (missing.length === 0) return programsIn(folder);
  if (!env['KUBEBUILDER_ASSETS']) return undefined;
  throw new Error(
    `KUBEBUILDER_ASSETS: "${folder}" has no ${missing.join(', ')}; name a folder with ${names.join(', ')}`,
  );
}

/** For tests: the programs; without them builds when CI=true, and otherwise answers `undefined` ("left out"). */
export async function ensureKube(env: Environment = process.env): Promise<KubePrograms | undefined> {
  const found = kubePrograms(env);
  if (found !== undefined || env['CI'] !== 'true') return found;
  return buildKube(env);
}

/**
 * Builds what the cache lacks and answers when all programs are there. A program appears by a rename, so it is whole or
 * absent; several processes may call this at once, one of them builds. Throws with go's own words when a build fails.
 */
export async function buildKube(
  env: Environment = process.env,
  say: (line: string) => void = toStderr,
): Promise<KubePrograms> {
  return programsIn(await build(packages, env, say));
}

/** Builds what a cluster of real nodes needs beside `buildKube`; the rest as there. KUBEBUILDER_ASSETS has none of it. */
export async function buildNodes(env: Environment = process.env, say = toStderr): Promise<NodePrograms> {
  const folder = await build(nodePackages, env, say);
  return {
    controllerManager: join(folder, 'kube-controller-manager'),
    scheduler: join(folder, 'kube-scheduler'),
    kubelet: join(folder, 'kubelet'),
    proxy: join(folder, 'kube-proxy'),
    agnhost: join(folder, 'agnhost'),
    coredns: join(folder, 'coredns'),
  };
}

/** Builds Kubernetes' own tests; the rest as in `buildKube`. */
export async function buildSuite(env: Environment = process.env, say = toStderr): Promise<SuitePrograms> {
  const folder = await build(suitePackages, env, say);
  return { e2e: join(folder, 'e2e.test'), ginkgo: join(folder, 'ginkgo') };
}

async function build(
  wanted: Readonly<Record<string, string>>,
  env: Environment,
  say: (line: string) => void,
): Promise<string> {
  const folder = cacheOf(env);
  mkdirSync(folder, { recursive: true });
  const unlock = await lock(join(folder, 'building'));
  try {
    for (const [name, path] of Object.entries(wanted)) {
      const program = join(folder, name);
      if (existsSync(program)) continue;
      say(`kube: building ${name} ${kubeVersion()} into ${folder}`);
      const unfinished = `${program}.${process.pid}.tmp`;
      try {
        await go(name, [...commandOf(name), '-ldflags', '-s -w', '-o', unfinished, path], env);
        renameSync(unfinished, program);
      } finally {
        rmSync(unfinished, { force: true });
      }
    }
  } finally {
    unlock();
  }
  return folder;
}

/** A package of tests becomes a program by `go test -c`. */
function commandOf(name: string): readonly string[] {
  return name.endsWith('.test') ? ['test', '-c'] : ['build'];
}

/** CoreDNS requires versions of its own, so it has a go.mod of its own. */
function moduleOf(name: string): string {
  return name === 'coredns' ? join(modules, 'coredns') : modules;
}

function toStderr(line: string): void {
  process.stderr.write(`${line}\n`);
}

function cacheOf(env: Environment): string {
  return join(cacheFolder(env), `kube-${kubeVersion()}`);
}

function programsIn(folder: string): KubePrograms {
  return {
    etcd: join(folder, 'etcd'),
    apiserver: join(folder, 'kube-apiserver'),
    kubectl: join(folder, 'kubectl'),
  };
}

function go(name: string, args: readonly string[], env: Environment): Promise<void> {
  const child = spawn('go', args, {
    cwd: moduleOf(name),
    env: { ...env, CGO_ENABLED: '0', GOFLAGS: '-mod=readonly', GOWORK: 'off' },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr = (stderr + text).slice(-20_000);
  });
  return new Promise((resolve, reject) => {
    child.once('error', (cause: NodeJS.ErrnoException) => {
      const why =
        cause.code === 'ENOENT' ? 'the program "go" is not on the PATH: install Go 1.26 or newer' : cause.message;
      reject(new Error(`kube: ${why}, or set KUBEBUILDER_ASSETS to a folder with ${names.join(', ')}`, { cause }));
    });
    child.once('close', (code, signal) => {
      if (code === 0) resolve();
      else reject(new Error(`kube: go ${args.join(' ')} ended with ${code ?? signal}:\n${stderr}`));
    });
  });
}

/** Waits until no living process holds the lock, then takes it. Two that find it stale together build twice: slow, but whole. */
export async function lock(path: string): Promise<() => void> {
  for (;;) {
    try {
      writeFileSync(path, String(process.pid), { flag: 'wx' });
      return () => rmSync(path, { force: true });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
    if (isStale(path)) rmSync(path, { force: true });
    else await sleep(200);
  }
}

/** Its holder is gone; a file that is still empty gets 5 s, for its holder is about to write into it. */
function isStale(path: string): boolean {
  try {
    const holder = Number(readFileSync(path, 'utf8'));
    if (holder === 0) return Date.now() - statSync(path).mtimeMs > 5_000;
    process.kill(holder, 0);
    return false;
  } catch (error) {
    // ENOENT: unlocked meanwhile. EPERM: alive, somebody else's. ESRCH: gone.
    return (error as NodeJS.ErrnoException).code === 'ESRCH';
  }
}

if (import.meta.main) {
  const given = process.env['KUBEBUILDER_ASSETS'];
  try {
    const programs = given ? kubePrograms() : await buildKube();
    for (const path of Object.values(programs ?? {})) process.stdout.write(`${path}\n`);
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = 1;
  }
}
