/**
 * Images of containers made from programs of this machine, for no registry is asked in a test: `pause`, and `agnhost`,
 * the image that Kubernetes' own tests run, with the shell and the clients that they call in it.
 */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { programPath } from '../packages.ts';
import { cacheFolder, kubeVersion, lock } from './build.ts';

export interface Images {
  /** The program of the pause image: sleeps, reaps orphans, ends at SIGTERM; also the first process of a node. */
  readonly pause: string;
  /** Archives for `ctr images import`. */
  readonly archives: readonly string[];
}

/** Both as e2e.test of this version names them. */
export const PAUSE_IMAGE = 'registry.k8s.io/pause:3.10.2';

export const AGNHOST_IMAGE = 'registry.k8s.io/e2e-test-images/agnhost:2.66.1';
// 2.55 is the one before, which a case about upgrades names.
const agnhostTags = [AGNHOST_IMAGE, 'registry.k8s.io/e2e-test-images/agnhost:2.55'];

const pauseSource = `#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>
static void stop(int s) { _exit(0); }
static void reap(int s) { while (waitpid(-1, 0, WNOHANG) > 0); }
int main() { signal(SIGINT, stop); signal(SIGTERM, stop); signal(SIGCHLD, reap); reap(0); for (;;) pause(); }
`;

/** What the tests run in agnhost. busybox fills in the rest, but its nc, wget (static: crashes) and sh (runs its own nc) do not do. */
const clients = [
  'dash',
  'bash',
  'curl',
  'wget',
  'nc',
  'socat',
  'dig',
  'nslookup',
  'host',
  'ip',
  'ss',
  'iperf',
  'timeout',
];
/** Loaded by name at run time, so no program lists them. */
const resolverLibraries = ['libnss_dns.so.2', 'libnss_files.so.2', 'libresolv.so.2'];

/** The images, made once into the cache. Needs the packages of test/packages.ts. */
export async function ensureImages(agnhost: string): Promise<Images> {
  const cache = join(cacheFolder(), `images-${kubeVersion()}-${recipeHash(agnhost)}`);
  const images = {
    pause: join(cache, 'pause'),
    archives: ['pause.tar', 'agnhost.tar'].map((name) => join(cache, name)),
  };
  mkdirSync(dirname(cache), { recursive: true });
  const unlock = await lock(`${cache}.building`);
  try {
    if (!existsSync(cache)) makeImages(agnhost, cache);
  } finally {
    unlock();
  }
  return images;
}

/** Another recipe or another agnhost makes other images. */
function recipeHash(agnhost: string): string {
  const { size, mtimeMs } = statSync(agnhost);
  const recipe = readFileSync(import.meta.filename, 'utf8');
  return createHash('sha256').update(`${recipe} ${size} ${mtimeMs}`).digest('hex').slice(0, 12);
}

function makeImages(agnhost: string, cache: string): void {
  const work = `${cache}.${process.pid}.tmp`;
  try {
    const pauseRoot = join(work, 'pause-root');
    mkdirSync(pauseRoot, { recursive: true });
    writeFileSync(join(work, 'pause.c'), pauseSource);
    execFileSync('gcc', ['-static', '-O2', '-o', join(pauseRoot, 'pause'), join(work, 'pause.c')]);
    writeImage([PAUSE_IMAGE], ['/pause'], pauseRoot, join(work, 'pause.tar'));
    copyFileSync(join(pauseRoot, 'pause'), join(work, 'pause'));

    const root = join(work, 'agnhost-root');
    fillRoot(root, agnhost);
    writeImage(agnhostTags, ['/agnhost'], root, join(work, 'agnhost.tar'));
    for (const name of [pauseRoot, root, join(work, 'pause.c')]) rmSync(name, { recursive: true });
    renameSync(work, cache);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

function fillRoot(root: string, agnhost: string): void {
  for (const folder of ['bin', 'etc', 'tmp', 'uploads', 'usr/bin', 'usr/sbin', 'var/run']) {
    mkdirSync(join(root, folder), { recursive: true });
  }
  chmodSync(join(root, 'tmp'), 0o1777);
  writeFileSync(join(root, 'etc/passwd'), 'root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n');
  writeFileSync(join(root, 'etc/group'), 'root:x:0:\n');
  writeFileSync(join(root, 'etc/nsswitch.conf'), 'hosts: files dns\n');
  copyFileSync(programOf('busybox'), join(root, 'bin/busybox'));
  const own = new Set([...clients, 'sh', 'busybox']);
  for (const applet of execFileSync(programOf('busybox'), ['--list'], { encoding: 'utf8' }).trim().split('\n')) {
    if (!own.has(applet)) symlinkSync('busybox', join(root, 'bin', applet));
  }
  for (const client of clients) copyProgram(root, client);
  symlinkSync('dash', join(root, 'bin/sh'));
  const libraries = dirname(
    realpathSync(librariesOf(programOf('dash')).find((path) => path.includes('libc.so')) ?? '/'),
  );
  for (const name of resolverLibraries) copyLibrary(root, join(libraries, name));
  copyFileSync(agnhost, join(root, 'agnhost'));
  symlinkSync('agnhost', join(root, 'agnhost-2'));
}

function copyProgram(root: string, name: string): void {
  const program = realpathSync(programOf(name));
  copyFileSync(program, join(root, 'bin', name));
  for (const library of librariesOf(program)) copyLibrary(root, library);
}

function copyLibrary(root: string, library: string): void {
  const target = join(root, library);
  if (existsSync(target) || !existsSync(library)) return;
  mkdirSync(dirname(target), { recursive: true });
  copyFileSync(realpathSync(library), target);
}

/** Absolute paths of the shared libraries that a program asks for; of a static one none. */
function librariesOf(program: string): readonly string[] {
  const listed = execFileSync('ldd', [program], { encoding: 'utf8' });
  return [...listed.matchAll(/\s(\/\S+)/g)].map((match) => match[1] as string);
}

function programOf(name: string): string {
  // Debian's alternatives may have another nc first; the tests want OpenBSD's options.
  const path = programPath(name === 'nc' ? 'nc.openbsd' : name);
  if (path === undefined) throw new Error(`images: no program "${name}" on this machine`);
  return path;
}

/** An archive in docker's format, of one layer. Equal folders give equal bytes. */
function writeImage(tags: readonly string[], entrypoint: readonly string[], root: string, archive: string): void {
  const work = `${archive}.parts`;
  mkdirSync(work);
  const layer = join(work, 'layer.tar');
  pack(root, layer, '.');
  const digest = createHash('sha256').update(readFileSync(layer)).digest('hex');
  const config = JSON.stringify({
    architecture: process.arch === 'x64' ? 'amd64' : process.arch,
    os: 'linux',
    config: {
      Entrypoint: entrypoint,
      Env: ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/'],
    },
    rootfs: { type: 'layers', diff_ids: [`sha256:${digest}`] },
    history: [{}],
  });
  const configName = `${createHash('sha256').update(config).digest('hex')}.json`;
  writeFileSync(join(work, configName), config);
  writeFileSync(
    join(work, 'manifest.json'),
    JSON.stringify([{ Config: configName, RepoTags: tags, Layers: ['layer.tar'] }]),
  );
  pack(work, archive, configName, 'layer.tar', 'manifest.json');
  rmSync(work, { recursive: true });
}

function pack(folder: string, archive: string, ...members: readonly string[]): void {
  const plain = ['--sort=name', '--mtime=@0', '--owner=0', '--group=0', '--numeric-owner'];
  execFileSync('tar', ['-cf', archive, ...plain, '-C', folder, ...members]);
}
