import { access, constants } from 'node:fs/promises';
import { failure, isProviderError } from '../../core/errors.ts';
import type { Log } from '../../core/provider.ts';
import type { Timers } from '../../work/clock.ts';
import { type Exec, execIn, exec as execute } from '../exec.ts';
import type { ChannelKind, Channels } from './channel.ts';
import { createConntrackText } from './conntrack-text.ts';
import { createConntrackWire } from './conntrack-wire.ts';
import { type Helper, startHelper } from './helper.ts';
import { type Libc, loadLibc } from './libc.ts';
import { createNftText } from './nft-text.ts';
import { createNftWire } from './nft-wire.ts';
import { createRouteText } from './route-text.ts';
import { createRouteWire } from './route-wire.ts';
import { openSocketWire } from './socket.ts';
import { NETLINK } from './wire.ts';

export interface ChannelOptions {
  /** `auto`: the first of socket, helper and text that works. */
  readonly kind: ChannelKind | 'auto';
  /** Path of the helper program; undefined: there is none. With `socket` and `text` it serves events only. */
  readonly helper: string | undefined;
  /** Path of the network namespace to work in; this process's when absent. Takes CAP_SYS_ADMIN. */
  readonly netns?: string;
  readonly timers: Timers;
  readonly log: Log;
  /** For tests. */
  readonly exec?: Exec;
  readonly libc?: () => Promise<Libc | undefined>;
}

/** A transaction below this, some 3,000 elements, takes the kernel less than a helper thread is worth. */
const ASIDE_BYTES = 128 * 1024;

/**
 * Opens the ways to the kernel. Throws FL_NETLINK_UNAVAILABLE when the chosen one does not work here, and, whatever was
 * chosen, FL_NET_ADMIN and FL_NETNS, which no other way mends.
 */
export async function openChannels(options: ChannelOptions): Promise<Channels> {
  const { kind, log } = options;
  if (kind !== 'auto') return await open(kind, options);
  for (const candidate of ['socket', 'helper'] as const) {
    try {
      return await open(candidate, options);
    } catch (error) {
      if (!isUnavailable(error)) throw error;
      log.info({ channel: candidate, why: error.message }, 'this way to the kernel does not work here');
    }
  }
  log.warn({}, 'neither koffi nor the netlink helper works: every change spawns a program');
  return await open('text', options);
}

const isUnavailable = (error: unknown): error is Error =>
  isProviderError(error) && error.code === 'FL_NETLINK_UNAVAILABLE';

async function open(kind: ChannelKind, options: ChannelOptions): Promise<Channels> {
  const channels = await openKind(kind, options);
  options.log.info({ channel: kind }, 'way to the kernel');
  return channels;
}

async function openKind(kind: ChannelKind, options: ChannelOptions): Promise<Channels> {
  switch (kind) {
    case 'socket':
      return await openSockets(options);
    case 'helper':
      return await openHelper(options);
    case 'text':
      return await openText(options);
    default:
      return kind satisfies never;
  }
}

async function openSockets(options: ChannelOptions): Promise<Channels> {
  const { netns, libc: load = loadLibc } = options;
  const libc = await load();
  if (libc === undefined) {
    throw failure('FL_NETLINK_UNAVAILABLE', 'the optional package koffi is not installed, or not for this machine');
  }
  const place = netns === undefined ? {} : { netns };
  const nft = openSocketWire({ libc, protocol: NETLINK.NETFILTER, asideBytes: ASIDE_BYTES, ...place });
  // Of its own: a dump of connections must not wait for one of elements.
  const conntrack = openSocketWire({ libc, protocol: NETLINK.NETFILTER, asideBytes: 0, ...place });
  const route = openSocketWire({ libc, protocol: NETLINK.ROUTE, asideBytes: 0, ...place });
  const events = await eventsHelper(options);
  return closing(
    {
      nft: createNftWire({ kind: 'socket', wire: nft }),
      route: createRouteWire({ kind: 'socket', wire: route, ...(events && { source: events.events }) }),
      conntrack: createConntrackWire({ kind: 'socket', wire: conntrack }),
    },
    events,
  );
}

async function openHelper(options: ChannelOptions): Promise<Channels> {
  if (!(await isProgram(options.helper))) {
    throw failure('FL_NETLINK_UNAVAILABLE', `the netlink helper ${options.helper ?? ''} is not there`);
  }
  const helper = await startHelper(helperOptions(options));
  return closing(
    {
      nft: createNftWire({ kind: 'helper', wire: helper.nft }),
      route: createRouteWire({ kind: 'helper', wire: helper.route, source: helper.events }),
      conntrack: createConntrackWire({ kind: 'helper', wire: helper.nft }),
    },
    helper,
  );
}

async function openText(options: ChannelOptions): Promise<Channels> {
  const { netns, timers: _, exec: plain = execute } = options;
  const exec = netns === undefined ? plain : execIn(netns, plain);
  const events = await eventsHelper(options);
  return closing(
    {
      nft: createNftText({ exec, nowMs: () => performance.now() }),
      route: createRouteText({ exec, ...(events && { source: events.events }) }),
      conntrack: createConntrackText({ exec }),
    },
    events,
  );
}

/** Events come from the helper only: Node cannot wait for a netlink descriptor. */
async function eventsHelper(options: ChannelOptions): Promise<Helper | undefined> {
  if (!(await isProgram(options.helper))) {
    options.log.info({ helper: options.helper }, 'without the netlink helper there are no events of links and routes');
    return undefined;
  }
  try {
    return await startHelper(helperOptions(options));
  } catch (error) {
    if (!isUnavailable(error)) throw error;
    options.log.warn({ err: error }, 'no events of links, addresses and routes');
    return undefined;
  }
}

const helperOptions = ({ helper, netns, timers, log }: ChannelOptions): Parameters<typeof startHelper>[0] => ({
  path: helper as string,
  ...(netns !== undefined && { netns }),
  timers,
  log,
});

async function isProgram(path: string | undefined): Promise<boolean> {
  if (path === undefined) return false;
  try {
    await access(path, constants.X_OK);
    return true;
  } catch {
    return false; // not there, or no program: the caller says what that means
  }
}

function closing(channels: Omit<Channels, 'close'>, helper: Helper | undefined): Channels {
  return {
    ...channels,
    async close() {
      await Promise.all([channels.nft.close(), channels.route.close(), channels.conntrack.close()]);
      await helper?.close();
    },
  };
}
