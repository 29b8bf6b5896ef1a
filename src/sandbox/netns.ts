import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { failure } from '../core/errors.ts';
import { claim } from './netns/owner.ts';
import { type Output, type RunOptions, run, withAdministration } from './netns/run.ts';
import { aliasOf, killAllIn, NAMESPACES, raze, type Swept, sweep } from './netns/sweep.ts';

/** One end of a veth pair. */
export interface End {
  /** Short name of the namespace. Absent: that of this process, where the link also gets our mark and a name of its own. */
  readonly ns?: string;
  /** In the namespace of this process only the end of the name: two letters at most. */
  readonly ifname: string;
  /** With prefix length: `10.0.0.1/24`, `2001:db8::1/64`. Usable at once: no duplicate address detection. */
  readonly addresses?: readonly string[];
  readonly mac?: string;
  /** A bridge in the same namespace that the end becomes a port of. */
  readonly bridge?: string;
}

export interface NamespaceOptions {
  /** The namespace routes between its links, for both families. Default false. */
  readonly forwarding?: boolean;
}

/**
 * Network namespaces of one sandbox. All carry its name, which no other sandbox has; processes in them end with this
 * process, however it ends, and what else is left after a SIGKILL goes when the next sandbox starts.
 */
export interface Netns {
  /** `<prefix>-<six hexadecimal digits>`. */
  readonly name: string;
  /** Working files: sockets, state, logs. Removed with the sandbox. */
  readonly folder: string;
  /** What was found of dead sandboxes at the start. */
  readonly swept: Swept;
  /** `/run/netns/...` of a namespace, as CNI_NETNS and nsenter take it; it need not exist. */
  path(ns: string): string;
  /** Makes a namespace with `lo` up. Rejects when it exists. */
  add(ns: string, options?: NamespaceOptions): Promise<void>;
  /** Kills every process in it and deletes it. Nothing happens when it does not exist. */
  remove(ns: string): Promise<void>;
  /** A bridge that is up. */
  bridge(ns: string, ifname: string): Promise<void>;
  /** A veth pair that is up on both ends. Returns the names of both interfaces. */
  connect(a: End, b: End): Promise<readonly [string, string]>;
  /** Runs `ip` commands in one process, in order; rejects at the first that fails and names it. `ns` absent: here. */
  ip(ns: string | undefined, commands: readonly string[]): Promise<void>;
  /** Runs a program in the namespace to its end. A bad exit status is a value. */
  exec(ns: string, argv: readonly string[], options?: RunOptions): Promise<Output>;
  /** Starts a program in the namespace; it gets SIGKILL when this process ends, and by `close`. */
  spawn(ns: string, argv: readonly string[], options?: SpawnOptions): ChildProcess;
  /** Ends every process and removes everything. Idempotent. */
  close(): Promise<void>;
}

export interface NetnsOptions {
  /** Letters and digits, six at most: what the sandbox is for. */
  readonly prefix: string;
}

/** What a sandbox needs of the machine. */
export const NETNS_PROGRAMS = { ip: 'iproute2', nsenter: 'util-linux', setpriv: 'util-linux' } as const;

/** Removes what dead sandboxes left, then starts one; needs root. */
export async function createNetns({ prefix }: NetnsOptions): Promise<Netns> {
  if (process.geteuid?.() !== 0) throw failure('FL_SANDBOX_NETNS', 'network namespaces need root');
  const swept = sweep();
  const name = `${prefix}-${randomBytes(3).toString('hex')}`;
  const folder = claim(name);
  const children = new Map<ChildProcess, string>(); // running, started by spawn -> its namespace
  // Before what is in the namespaces is looked for: a child that has just been started is not in there yet.
  const killChildren = (ns?: string): void => {
    for (const [child, home] of children) if (ns === undefined || ns === home) child.kill('SIGKILL');
  };
  const onExit = (): void => {
    killChildren();
    raze(name);
  };
  process.once('exit', onExit);

  const full = (ns: string): string => `${name}-${ns}`;
  const path = (ns: string): string => join(NAMESPACES, full(ns));
  const enter = (ns: string, argv: readonly string[]): readonly string[] => [
    'nsenter',
    `--net=${path(ns)}`,
    'setpriv',
    '--pdeathsig=KILL',
    ...argv,
  ];
  let hostLinks = 0;

  async function ip(ns: string | undefined, commands: readonly string[]): Promise<void> {
    const where = ns === undefined ? [] : ['-n', full(ns)];
    const { code, stderr } = await run(['ip', ...where, '-batch', '-'], { input: `${commands.join('\n')}\n` });
    if (code === 0) return;
    const line = Number(/Command failed -:([0-9]+)/.exec(stderr)?.[1] ?? 0);
    const reason = stderr.replace(/Command failed.*/s, '').trim();
    // What ip cannot parse ends it without telling the line; then it quotes the word.
    const command = commands[line - 1] ?? commands.join('; ');
    throw failure('FL_SANDBOX_NETNS', `ip ${[...where, command].join(' ')}: ${reason}`);
  }

  async function sysctl(ns: string, values: Readonly<Record<string, string>>): Promise<void> {
    const lines = Object.entries(values)
      .filter(([key]) => existsSync(join('/proc/sys', key)))
      .map(([key, value]) => `echo ${value} > /proc/sys/${key}`);
    const { code, stderr } = await run(enter(ns, ['sh', '-ec', lines.join('\n')]));
    if (code !== 0) throw failure('FL_SANDBOX_NETNS', `sysctls of ${full(ns)}: ${stderr.trim()}`);
  }

  async function settle(end: End, ifname: string): Promise<void> {
    const { ns, addresses = [], bridge } = end;
    await ip(ns, [
      ...(ns === undefined ? [`link set dev ${ifname} alias "${aliasOf(name)}"`] : []),
      ...(bridge === undefined ? [] : [`link set dev ${ifname} master ${bridge}`]),
      ...addresses.map((address) => `addr add ${address} dev ${ifname}${address.includes(':') ? ' nodad' : ''}`),
      `link set dev ${ifname} up`,
    ]);
  }

  const netns: Netns = {
    name,
    folder,
    swept,
    path,
    async add(ns, { forwarding = false } = {}) {
      if (!/^[a-z0-9][a-z0-9-]*$/.test(ns)) throw new Error(`${JSON.stringify(ns)} is no name of a namespace`);
      await ip(undefined, [`netns add ${full(ns)}`]);
      await sysctl(ns, {
        'net/ipv6/conf/all/disable_ipv6': '0',
        'net/ipv6/conf/default/disable_ipv6': '0',
        'net/ipv6/conf/default/accept_ra': '0',
        'net/ipv6/conf/default/accept_dad': '0',
        'net/ipv4/ip_forward': forwarding ? '1' : '0',
        'net/ipv6/conf/all/forwarding': forwarding ? '1' : '0',
      });
      await ip(ns, ['link set lo up']);
    },
    async remove(ns) {
      if (!existsSync(path(ns))) return;
      killChildren(ns);
      killAllIn([full(ns)]);
      await ip(undefined, [`netns del ${full(ns)}`]);
    },
    bridge: (ns, ifname) =>
      ip(ns, [`link add name ${ifname} type bridge stp_state 0 forward_delay 0`, `link set dev ${ifname} up`]),
    async connect(a, b) {
      // The pair is made in namespaces of the sandbox at once: udev renames and readdresses what appears on the machine.
      if (a.ns === undefined && b.ns === undefined) throw new Error('one end must be in a namespace of the sandbox');
      const [inner, outer] = a.ns === undefined ? [b, a] : [a, b];
      const names = [inner, outer].map(({ ns, ifname }) => (ns === undefined ? hostName(ifname) : ifname));
      const [innerName = '', outerName = ''] = names;
      const mac = ({ mac }: End): string => (mac === undefined ? '' : ` address ${mac}`);
      const target = outer.ns === undefined ? String(process.pid) : full(outer.ns);
      await ip(inner.ns, [
        `link add name ${innerName}${mac(inner)} type veth peer name ${outerName}${mac(outer)} netns ${target}`,
      ]);
      await settle(inner, innerName);
      await settle(outer, outerName);
      return inner === a ? [innerName, outerName] : [outerName, innerName];
    },
    ip,
    exec: (ns, argv, options) => run(enter(ns, argv), options),
    spawn(ns, argv, options = {}) {
      const [file = '', ...args] = enter(ns, argv);
      const child = spawn(file, args, { ...options, env: withAdministration(options.env ?? process.env) });
      children.set(child, ns);
      for (const event of ['exit', 'error']) child.once(event, () => children.delete(child));
      return child;
    },
    async close() {
      process.removeListener('exit', onExit);
      onExit();
    },
  };

  function hostName(ifname: string): string {
    if (!/^[a-z]{1,2}$/.test(ifname)) throw new Error(`${JSON.stringify(ifname)}: one or two letters`);
    hostLinks += 1;
    if (hostLinks > 9) throw new Error('nine links out of a sandbox are the limit of what an interface name can hold');
    return `${name.replace('-', '')}${ifname}${hostLinks}`;
  }

  return netns;
}
