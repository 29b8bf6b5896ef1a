import { removalText } from '../../core/proxy/ruleset.ts';
import { type Exec, exec as execute } from '../exec.ts';
import { acceptForwarding } from '../forward.ts';
import { createTextLoader } from '../nft/rules.ts';
import type { CleanupContext } from '../part.ts';

/** Removes the node's tables and our rules in the chain FORWARD of iptables. Nothing there is no failure. */
export async function cleanup({ log }: Pick<CleanupContext, 'log'>, exec: Exec = execute): Promise<void> {
  const load = createTextLoader({ exec });
  await load(removalText('ip') + removalText('ip6'));
  await acceptForwarding({ exec, load, log }, []);
}
