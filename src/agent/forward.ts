import { parseBlock } from '../core/net/cidr.ts';
import type { TableFamily } from '../core/net/element.ts';
import type { Cidr, Log } from '../core/provider.ts';
import type { Exec } from './exec.ts';
import type { LoadText } from './nft/rules.ts';

/** By which we know our rules in a chain that is somebody else's. */
const MARK = 'fairlead: pods';
const families = ['ip', 'ip6'] as const;

export interface ForwardOptions {
  readonly exec: Exec;
  readonly load: LoadText;
  readonly log: Log;
}

/**
 * Docker and ufw set the policy of the iptables chain FORWARD to DROP, and an accept in another table does not override a
 * drop. So in chains `filter FORWARD` that exist, packets from and to these ranges are accepted first; without ranges our
 * rules there are removed. True when something was written. Only rules with our mark are touched; their form is one that
 * iptables-nft can still list.
 */
export async function acceptForwarding({ exec, load, log }: ForwardOptions, cidrs: readonly Cidr[]): Promise<boolean> {
  const { stdout } = await exec('nft', ['list', 'tables']);
  const tables = stdout.split('\n');
  let written = false;
  for (const family of families) {
    if (!tables.includes(`table ${family} filter`)) continue;
    const chain = await exec('nft', ['-a', 'list', 'chain', family, 'filter', 'FORWARD']);
    if (chain.code !== 0) continue; // no such chain
    const text = changeOf(family, chain.stdout, cidrs);
    if (text === '') continue;
    await load(text);
    log.info({ family, cidrs }, 'forwarding of pods accepted in the chain FORWARD of iptables');
    written = true;
  }
  return written;
}

/** From what `nft -a list chain` prints to what should be there; '' when it is. */
function changeOf(family: TableFamily, listed: string, cidrs: readonly Cidr[]): string {
  const wanted = cidrs
    .filter((cidr) => parseBlock(cidr)?.family === (family === 'ip' ? 'ipv4' : 'ipv6'))
    .flatMap((cidr) => ['saddr', 'daddr'].map((side) => `${family} ${side} ${cidr}`));
  const ours = listed
    .split('\n')
    .map((line) => new RegExp(`^\\s*(.*?) counter .*accept comment "${MARK}" # handle (\\d+)$`).exec(line))
    .filter((match) => match !== null)
    .map(([, match = '', handle = '']) => ({ match, handle }));
  const missing = wanted.filter((match) => !ours.some((rule) => isSameMatch(rule.match, match)));
  const obsolete = ours.filter((rule) => !wanted.some((match) => isSameMatch(rule.match, match)));
  return [
    ...obsolete.map(({ handle }) => `delete rule ${family} filter FORWARD handle ${handle}\n`),
    ...missing.map((match) => `insert rule ${family} filter FORWARD ${match} counter accept comment "${MARK}"\n`),
  ].join('');
}

/** nft leaves out the length of a single address. */
const isSameMatch = (listed: string, wanted: string): boolean =>
  listed === wanted || `${listed}/32` === wanted || `${listed}/128` === wanted;
