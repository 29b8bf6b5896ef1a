import type { OnpremProvider } from '../../providers/onprem/index.ts';
import type { Affected } from '../core/ipam/change.ts';
import type { IPAddressPool } from '../core/ipam/pools.ts';
import { resources } from '../kube/resource.ts';
import type { Input, Terminal } from './command.ts';
import type { Manifest } from './manifest.ts';
import { viewing } from './provider-config.ts';
import type { Replica } from './replica.ts';
import { paint } from './table.ts';

/** What an edit of the pools would do. */
export interface PoolPlan {
  /** Why it would not be taken. */
  readonly objections: readonly string[];
  /** Addresses in use that keep their users under another pool's name. */
  readonly moved: readonly Affected[];
  /** Addresses in use that no pool would have any more. */
  readonly stranded: readonly Affected[];
}

const nothing: PoolPlan = { objections: [], moved: [], stranded: [] };
const ipaddresspools = { group: 'metallb.io', version: 'v1beta1', plural: 'ipaddresspools' };

/**
 * Puts all manifests over the replica, and asks the provider as it was before what it thinks of the pools. `shown`: there
 * are pools among the manifests. Without a cluster only the validity counts: nothing is in use.
 */
export async function planPools(
  replica: Replica,
  input: Input,
  manifests: readonly Manifest[],
  terminal: Terminal,
  isLive: boolean,
): Promise<{ readonly plan: PoolPlan; readonly shown: boolean; readonly objections: readonly string[] }> {
  const hasPools = manifests.some(({ kind }) => kind === 'IPAddressPool');
  if (!hasPools || input.flags['provider'] !== 'onprem') {
    await replica.overlay(manifests);
    return { plan: nothing, shown: false, objections: [] };
  }
  const before = (await replica.provider('onprem', await viewing(input, terminal), 'plan')) as OnpremProvider;
  try {
    await replica.overlay(manifests);
    const [pools, namespaces] = await Promise.all([
      replica.list<IPAddressPool>(ipaddresspools),
      replica.list(resources.namespaces),
    ]);
    const { objections, change } = before.previewPools(pools, namespaces);
    const plan = {
      objections: objections.map(({ message }) => message),
      moved: change?.moved ?? [],
      stranded: change?.stranded ?? [],
    };
    return { plan, shown: isLive || plan.objections.length > 0, objections: plan.objections };
  } finally {
    await before.close();
  }
}

export function poolText({ objections, moved, stranded }: PoolPlan, { stdout }: Pick<Terminal, 'stdout'>): string {
  const lines = [
    ...objections.map((message) => `  ${paint('red', 'not taken', stdout)}: ${message}`),
    ...moved.map((one) => `  ${one.address} moves from ${one.from} to ${one.to}, used by ${usersText(one)}`),
    ...stranded.map((one) => `  ${one.address} of ${one.from} is in no pool any more, used by ${usersText(one)}`),
  ];
  if (lines.length === 0) lines.push('  no address in use is touched');
  return `pools:\n${lines.map((line) => `${line}\n`).join('')}`;
}

function usersText({ users }: Affected): string {
  return users.map(({ namespace, name }) => `${namespace}/${name}`).join(', ');
}
