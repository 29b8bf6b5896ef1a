/**
 * Machines made of namespaces: network, mounts and processes of their own, nothing else, so that whatever runs in one, ends
 * and goes with its first process, mounts and links included.
 */
import { execFile, execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Ran } from './ask.ts';
import type { Guarded, Running } from './guard.ts';

export interface Machine {
  readonly name: string;
  /** Of its first process, as seen from here: for `ip link ... netns`. */
  readonly pid: number;
  /** Of what is kept over a reboot: `disk/etc`, `disk/var`, `disk/opt` over those of this machine. */
  readonly disk: string;
  /** To its end, within a minute. Any exit code is a result. */
  run(command: string, args: readonly string[], options?: RunOptions): Promise<Ran>;
  /** Runs commands of `ip` in order; throws at the first that fails. */
  ip(...commands: readonly string[]): void;
  /** Sets, in order: 'net.ipv4.ip_forward=1'. */
  sysctl(...settings: readonly string[]): void;
  /** Starts a program; its log is `<machine>-<name>.log`. */
  start(name: string, command: string, args: readonly string[], env?: Readonly<Record<string, string>>): Running;
  /** Pulls the plug: everything in it ends at once, its links vanish, its disk stays. */
  kill(): Promise<void>;
}
export interface RunOptions {
  readonly stdin?: string;
  readonly timeoutMs?: number;
}

/** The mount points of a machine. Sharing below its root is what kubelet and containerd need to see each other's mounts. */
const boot = `set -e
disk=$1; shift
mkdir -p "$disk/containerd" "$disk/kubelet"
for part in etc var opt; do
  mkdir -p "$disk/$part" "$disk/.work/$part"
  mount -t overlay "fairlead-$part" -o "lowerdir=/$part,upperdir=$disk/$part,workdir=$disk/.work/$part" "/$part"
done
mount -t tmpfs run /run
mkdir -p /run/netns /run/lock /etc/cni/net.d /opt/cni/bin /var/lib/containerd /var/lib/kubelet
mount --bind "$disk/containerd" /var/lib/containerd
mount --bind "$disk/kubelet" /var/lib/kubelet
mount --make-rshared /
ip link set lo up
: > "$disk/booted"
exec "$@"`;

/** Starts a machine, or starts it again on the disk that it left. `init`: its first process, which must reap orphans. */
export async function startMachine(guard: Guarded, name: string, init: string): Promise<Machine> {
  const disk = join(guard.folder, name);
  if (/^\/(etc|var|opt|run)\//.test(disk)) {
    throw new Error(
      `TMPDIR: "${guard.folder}" is below /etc, /var, /opt or /run, which each machine has of its own; use /tmp`,
    );
  }
  mkdirSync(disk, { recursive: true });
  const mark = join(disk, 'booted');
  rmSync(mark, { force: true });
  const holder = guard.start(name, 'unshare', [
    ...['--net', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc'],
    ...['/bin/sh', '-c', boot, 'boot', disk, init],
  ]);
  for (const endMs = performance.now() + 30_000; !existsSync(mark); await sleep(5)) {
    if (holder.end !== undefined) throw new Error(`${name} does not boot (${holder.end}):\n${holder.log()}`);
    if (performance.now() > endMs) throw new Error(`${name} does not boot within 30 s:\n${holder.log()}`);
  }
  return machineOf(guard, name, disk, holder, childOf(holder.pid));
}

function machineOf(guard: Guarded, name: string, disk: string, holder: Running, pid: number): Machine {
  const enter = [`--target=${pid}`, '--net', '--mount', '--pid', '--'];
  const inNetwork = [`--target=${pid}`, '--net', '--'];
  return {
    name,
    pid,
    disk,
    run: (command, args, { stdin = '', timeoutMs = 60_000 } = {}) =>
      runToEnd('nsenter', [...enter, command, ...args], stdin, timeoutMs),
    ip(...commands) {
      const input = commands.join('\n');
      execFileSync('nsenter', [...inNetwork, 'ip', '-batch', '-'], { input, stdio: ['pipe', 'ignore', 'pipe'] });
    },
    sysctl(...settings) {
      // Of the caller's network namespace; /proc of any mount namespace shows it.
      execFileSync('nsenter', [...inNetwork, 'sysctl', '-qw', ...settings], { stdio: ['ignore', 'ignore', 'pipe'] });
    },
    start: (label, command, args, env = {}) => {
      const set = Object.entries(env).map(([key, value]) => `${key}=${value}`);
      return guard.start(`${name}-${label}`, 'nsenter', [...enter, 'env', ...set, command, ...args]);
    },
    async kill() {
      holder.signal('SIGKILL');
      await holder.ended;
      // The kernel has ended everything in it when the first process is gone, not when the holder is.
      for (const endMs = performance.now() + 30_000; existsSync(`/proc/${pid}`); await sleep(5)) {
        if (performance.now() > endMs) throw new Error(`${name}: process ${pid} does not end`);
      }
    },
  };
}

function childOf(pid: number): number {
  const child = Number(readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ')[0]);
  if (!(child > 0)) throw new Error(`process ${pid} has no child`);
  return child;
}

function runToEnd(command: string, args: readonly string[], stdin: string, timeoutMs: number): Promise<Ran> {
  return new Promise((resolve) => {
    const child = execFile(
      command,
      [...args],
      { timeout: timeoutMs, killSignal: 'SIGKILL', maxBuffer: 64 * 1024 * 1024 },
      (error, stdout, stderr) => {
        const code = error === null ? 0 : typeof error.code === 'number' ? error.code : -1;
        resolve({ code, stdout, stderr });
      },
    );
    child.stdin?.on('error', () => {}); // it may end without reading what it was given; its exit code tells
    child.stdin?.end(stdin);
  });
}

/** The cgroup that all of a machine's containers are in, with every controller usable in it; both versions of cgroups. */
export function makeCgroup(name: string): void {
  if (existsSync('/sys/fs/cgroup/cgroup.controllers')) {
    mkdirSync(`/sys/fs/cgroup/${name}`, { recursive: true });
    for (const folder of ['/sys/fs/cgroup', `/sys/fs/cgroup/${name}`]) {
      const enable = readFileSync(`${folder}/cgroup.controllers`, 'utf8')
        .trim()
        .split(' ')
        .map((each) => `+${each}`);
      writeFileSync(`${folder}/cgroup.subtree_control`, enable.join(' '));
    }
    return;
  }
  for (const root of cgroupRoots()) mkdirSync(join(root, name), { recursive: true });
  for (const file of ['cpuset.cpus', 'cpuset.mems']) {
    const parent = `/sys/fs/cgroup/cpuset/${file}`;
    if (existsSync(parent)) writeFileSync(`/sys/fs/cgroup/cpuset/${name}/${file}`, readFileSync(parent));
  }
}

/** Mount points of cgroups, those of version 1 and 2. */
export function cgroupRoots(): readonly string[] {
  const mounts = readFileSync('/proc/mounts', 'utf8')
    .split('\n')
    .map((line) => line.split(' '));
  return mounts
    .filter((fields) => fields[2] === 'cgroup' || fields[2] === 'cgroup2')
    .map((fields) => fields[1] as string);
}

/** Shell that removes the cgroups of a cluster, whose name is the last part of `$1`. */
export const removeCgroups = `name="\${1##*/}"
while read -r device root type rest; do
  case $type in cgroup|cgroup2) find "$root" -mindepth 1 -maxdepth 1 -type d -name "$name*" | while read -r top; do
    for try in 1 2 3 4 5 6 7 8 9 10; do find "$top" -depth -type d -exec rmdir {} + 2>/dev/null; [ -d "$top" ] || break; sleep 0.1; done
  done;; esac
done < /proc/mounts`;
