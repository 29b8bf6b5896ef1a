import { failure } from '../../core/errors.ts';
import { isWanted } from '../../core/net/conntrack-decode.ts';
import { conntrackDeleteArgs, conntrackListArgs, parseConntrack } from '../../core/net/conntrack-text.ts';
import type { Exec, Executed } from '../exec.ts';
import type { ConntrackChannel } from './channel.ts';

/** The connection tracking table by spawning `conntrack` (conntrack-tools): 14 ms for an entry. */
export function createConntrackText({ exec }: { readonly exec: Exec }): ConntrackChannel {
  return {
    kind: 'text',
    async dump(filter) {
      const args = conntrackListArgs(filter);
      const { stdout } = checked(args, await exec('conntrack', args));
      return parseConntrack(stdout, filter.family).filter((entry) => isWanted(entry, filter));
    },
    async delete(entries) {
      let deleted = 0;
      for (const entry of entries) {
        const args = conntrackDeleteArgs(entry);
        const { code } = checked(args, await exec('conntrack', args));
        if (code === 0) deleted += 1;
      }
      return deleted;
    },
    async close() {},
  };
}

/** Its exit status 1 stands for "none was there" and for failures; only the text tells. */
function checked(args: readonly string[], executed: Executed): Executed {
  const { code, stderr } = executed;
  if (code === 0 || /0 flow entries have been (deleted|shown)/.test(stderr)) return executed;
  const words = `conntrack ${args.join(' ')}: exit status ${code}: ${stderr.trim()}`;
  throw /Operation (not permitted|failed: you need)|CAP_NET_ADMIN|must be root/.test(stderr)
    ? failure('FL_NET_ADMIN', words)
    : failure('FL_COMMAND_FAILED', words);
}
