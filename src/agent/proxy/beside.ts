import { access, readFile } from 'node:fs/promises';
import { failure } from '../../core/errors.ts';
import type { Exec } from '../exec.ts';

export interface BesideOptions {
  readonly exec: Exec;
  /** What stands before /proc and /sys (''). */
  readonly root?: string;
}

/**
 * Throws FL_KUBE_PROXY_RUNNING when this node has a kube-proxy's rules, in any of its modes: each Service would be
 * translated by whoever comes first. What cannot be looked at is no reason to stay away.
 */
export async function refuseBesideKubeProxy({ exec, root = '' }: BesideOptions): Promise<void> {
  const found = (await Promise.all([nftables(exec), legacyIptables(exec, root), ipvs(root)])).find(
    (one) => one !== undefined,
  );
  if (found === undefined) return;
  throw failure(
    'FL_KUBE_PROXY_RUNNING',
    `${found} is here: kube-proxy works on this node, or left its rules; stop it and run "kube-proxy --cleanup", or start the agent with --parts=cni,routes`,
  );
}

/** Its own table, or the chains of its iptables mode, which iptables-nft keeps in nftables. */
async function nftables(exec: Exec): Promise<string | undefined> {
  const { code, stdout } = await exec('nft', ['list', 'tables']);
  if (code !== 0) return undefined; // whoever loads the rules tells why nft does not work
  const tables = stdout.split('\n');
  for (const family of ['ip', 'ip6']) {
    if (tables.includes(`table ${family} kube-proxy`)) return `the nftables table "${family} kube-proxy"`;
    if (!tables.includes(`table ${family} nat`)) continue;
    const chain = await exec('nft', ['list', 'chain', family, 'nat', 'KUBE-SERVICES']);
    if (chain.code === 0) return `the chain KUBE-SERVICES of table "${family} nat"`;
  }
  return undefined;
}

async function legacyIptables(exec: Exec, root: string): Promise<string | undefined> {
  for (const [file, program] of [
    ['ip_tables_names', 'iptables-legacy'],
    ['ip6_tables_names', 'ip6tables-legacy'],
  ] as const) {
    const tables = await readFile(`${root}/proc/net/${file}`, 'utf8').catch(() => '');
    if (!tables.split('\n').includes('nat')) continue;
    const { code } = await exec(program, ['-t', 'nat', '-S', 'KUBE-SERVICES']).catch(() => ({ code: 1 }));
    if (code === 0) return `the chain KUBE-SERVICES of ${program}`;
  }
  return undefined;
}

async function ipvs(root: string): Promise<string | undefined> {
  const exists = await access(`${root}/sys/class/net/kube-ipvs0`).then(
    () => true,
    () => false,
  );
  return exists ? 'the interface kube-ipvs0' : undefined;
}
