import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Log } from '../core/provider.ts';
import type { ConntrackOptions } from './proxy/options.ts';

/** A kernel setting below /proc/sys: `net/ipv4/ip_forward`. */
export interface Setting {
  readonly name: string;
  readonly value: number;
  /** Only ever raised: a higher value was somebody's decision. */
  readonly atLeast?: true;
}

/** same: nothing was written; absent: this kernel or namespace does not have it; refused: it may not be written. */
export type SettingOutcome = 'set' | 'same' | 'absent' | 'refused';

export interface SysctlOptions {
  /** '/proc/sys', or where a pod sees the host's ('/host/proc/sys'). */
  readonly root: string;
  readonly log: Log;
}

export interface Sysctls {
  /** Never rejects: a node whose kernel says no still gets everything else, with a warning that names the setting. */
  write(setting: Setting): Promise<SettingOutcome>;
  /** `undefined` where it does not exist or is no number. */
  read(name: string): Promise<number | undefined>;
}

export function createSysctls({ root, log }: SysctlOptions): Sysctls {
  const read = async (name: string): Promise<number | undefined> => {
    try {
      const text = (await readFile(join(root, name), 'utf8')).trim();
      return /^-?\d+$/.test(text) ? Number(text) : undefined;
    } catch (error) {
      if (codeOf(error) !== 'ENOENT') log.debug({ setting: name, err: error }, 'kernel setting not readable');
      return undefined;
    }
  };

  return {
    read,
    async write({ name, value, atLeast }) {
      const before = await read(name);
      if (before === value || (atLeast === true && before !== undefined && before > value)) return 'same';
      try {
        // Not created where it is missing: below a mounted /proc/sys that fails anyway, below a test's root it must too.
        await writeFile(join(root, name), `${value}`, { flag: 'r+' });
        log.info({ setting: name, before, value }, 'kernel setting changed');
        return 'set';
      } catch (error) {
        const isAbsent = codeOf(error) === 'ENOENT';
        log.warn({ setting: name, before, value, err: error }, 'kernel setting not changed; going on without it');
        return isAbsent ? 'absent' : 'refused';
      }
    },
  };
}

/** Above this the limit of a machine with many cores only costs memory (kube-proxy 1.37). */
const MOST_CONNECTIONS = 1_048_576;

/** What kube-proxy sets of connection tracking, with its rules (pkg/proxy/conntrack/sysctls.go). */
export function conntrackSettings(options: ConntrackOptions, cores: number): readonly Setting[] {
  const name = (last: string): string => `net/netfilter/nf_conntrack_${last}`;
  const seconds = (last: string, value: number): readonly Setting[] => (value > 0 ? [{ name: name(last), value }] : []);
  const most = connectionLimit(options, cores);
  return [
    ...(most === undefined
      ? []
      : [
          { name: name('max'), value: most, atLeast: true as const },
          { name: name('buckets'), value: Math.floor(most / 4), atLeast: true as const },
        ]),
    ...seconds('tcp_timeout_established', options.tcpEstablishedSeconds),
    ...seconds('tcp_timeout_close_wait', options.tcpCloseWaitSeconds),
    ...(options.tcpBeLiberal ? [{ name: name('tcp_be_liberal'), value: 1 }] : []),
    ...seconds('udp_timeout', options.udpSeconds),
    ...seconds('udp_timeout_stream', options.udpStreamSeconds),
  ];
}

function connectionLimit({ maxPerCore, min }: ConntrackOptions, cores: number): number | undefined {
  if (maxPerCore === 0) return undefined;
  const scaled = maxPerCore * cores;
  return scaled > MOST_CONNECTIONS ? MOST_CONNECTIONS : Math.max(min, scaled);
}

/**
 * Lets the kernel pass packets on between interfaces. A host that forwards IPv6 no longer takes router advertisements,
 * and so loses its default route, unless accept_ra is 2 first (Linux, Documentation/networking/ip-sysctl).
 */
export async function enableForwarding(
  sysctls: Sysctls,
  {
    ipv4,
    ipv6,
    interfaces,
  }: { readonly ipv4: boolean; readonly ipv6: boolean; readonly interfaces: readonly string[] },
): Promise<void> {
  if (ipv4) await sysctls.write({ name: 'net/ipv4/ip_forward', value: 1 });
  if (!ipv6) return;
  if ((await sysctls.read('net/ipv6/conf/all/forwarding')) === 1) return;
  // A dot in an interface's name (a VLAN) stays: this is a path, not sysctl's own notation.
  for (const name of ['default', ...interfaces]) {
    const setting = `net/ipv6/conf/${name}/accept_ra`;
    if ((await sysctls.read(setting)) === 1) await sysctls.write({ name: setting, value: 2 });
  }
  await sysctls.write({ name: 'net/ipv6/conf/all/forwarding', value: 1 });
}

const codeOf = (error: unknown): string | undefined =>
  error instanceof Error && 'code' in error ? String(error.code) : undefined;
