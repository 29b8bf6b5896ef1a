import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { execIn, exec as plain } from '../../../src/agent/exec.ts';
import { buildNative } from '../../../src/agent/native/build.ts';
import type { ChannelKind, Channels } from '../../../src/agent/netlink/channel.ts';
import { openChannels } from '../../../src/agent/netlink/choose.ts';
import { createTextLoader, type LoadText } from '../../../src/agent/nft/rules.ts';
import type { Log } from '../../../src/core/provider.ts';
import { createNetns, type Netns } from '../../../src/sandbox/netns.ts';
import { systemClock } from '../../../src/work/clock.ts';
import { leaveOut } from '../../left-out.ts';
import { netnsMissing } from '../../sandbox/netns/missing.ts';

/** A network namespace for each kind of channel, and the channels in it. */
export interface Lab {
  readonly netns: Netns;
  /** The helper program, freshly built. */
  readonly helper: string;
  readonly log: Log;
  /** Messages that were logged. */
  readonly logged: string[];
  /** A new namespace with forwarding, and channels of a kind into it; closed with the lab. */
  open(ns: string, kind: ChannelKind, options?: { readonly events?: boolean }): Promise<Place>;
}

export interface Place extends Channels {
  readonly ns: string;
  /** `nft -f -` there. */
  readonly load: LoadText;
  /** Runs a program there; throws unless it ends with 0. */
  run(command: string, ...args: readonly string[]): Promise<string>;
}

export const KINDS: readonly ChannelKind[] = ['socket', 'helper', 'text'];

/** Programs without which nothing here can be shown. */
const PROGRAMS = { nft: 'nftables', cc: 'gcc and libc6-dev' };

/** Undefined, and the test is left out, where this machine cannot do it. */
export async function openLab(
  t: TestContext,
  programs: Readonly<Record<string, string>> = {},
): Promise<Lab | undefined> {
  const missing = netnsMissing({ ...PROGRAMS, ...programs });
  if (missing !== undefined) {
    leaveOut(t, ...missing);
    return undefined;
  }
  const netns = await createNetns({ prefix: 'tnl' });
  const opened: Channels[] = [];
  t.after(async () => {
    for (const channels of opened) await channels.close();
    await netns.close();
  });
  const helper = join(netns.folder, 'fairlead-netlink');
  await buildNative({ to: helper });
  const logged: string[] = [];
  const note = (fields: object, message: string): void => void logged.push(`${message} ${JSON.stringify(fields)}`);
  const log: Log = { debug: note, info: note, warn: note, error: note };
  return {
    netns,
    helper,
    log,
    logged,
    async open(ns, kind, { events = false } = {}) {
      await netns.add(ns, { forwarding: true });
      const path = netns.path(ns);
      const program = kind === 'helper' || events ? helper : undefined;
      const channels = await openChannels({ kind, helper: program, netns: path, timers: systemClock, log });
      opened.push(channels);
      return {
        ...channels,
        ns: path,
        load: createTextLoader({ exec: execIn(path, plain) }),
        async run(command, ...args) {
          const { status, stdout, stderr } = spawnSync('nsenter', [`--net=${path}`, command, ...args], {
            encoding: 'utf8',
            timeout: 30_000,
            maxBuffer: 2 ** 28,
          });
          if (status !== 0) throw new Error(`${command} ${args.join(' ')}: ${status}: ${stderr}`);
          return stdout;
        },
      };
    },
  };
}
