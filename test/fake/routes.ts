import type { RouteChannel } from '../../src/agent/netlink/channel.ts';
import { blockOf } from '../../src/core/net/cidr.ts';
import type { Ack, LinkRecord, RouteEvent, RouteMessage, RouteRecord } from '../../src/core/net/rtnetlink.ts';
import type { Cidr } from '../../src/core/provider.ts';

/** The routing table of a kernel: what is asked of it by the agent's channel, and by others at any time. */
export interface RouteKernel extends RouteChannel {
  /** Main table, sorted as text: one line per route, as `ip route` prints them. */
  text(): readonly string[];
  /** Somebody adds a route. */
  add(route: RouteRecord): void;
  /** Somebody removes all routes that match. */
  drop(match: (route: RouteRecord) => boolean): void;
  /** Takes routes away without a word, as the kernel does when a link goes down. */
  lose(match: (route: RouteRecord) => boolean): void;
  tell(event: RouteEvent): void;
  /** The next `count` calls of send reject with this. */
  fail(error: Error, count?: number): void;
  /** Errno for additions to this destination, until it is 0. */
  refuse(destination: string, errno: number): void;
  /** Messages that were sent, in order. */
  readonly sent: RouteMessage[];
  /** Full readings of the table. */
  readonly readings: number;
}

export const link = (index: number, name: string, more: Partial<LinkRecord> = {}): LinkRecord => ({
  index,
  name,
  up: true,
  carrier: true,
  loopback: false,
  mtu: 1500,
  group: 0,
  ...more,
});

export const record = (destination: string, more: Partial<RouteRecord> = {}): RouteRecord => ({
  destination: destination as Cidr,
  type: 'unicast',
  table: 254,
  protocol: 4,
  scope: 0,
  metric: destination.includes(':') ? 1024 : 0,
  flags: 0,
  ...more,
});

/** What the kernel itself adds for an address on a link. */
export const connected = (destination: string, index: number): RouteRecord =>
  record(destination, { protocol: 2, scope: 253, link: index, metric: destination.includes(':') ? 256 : 0 });

const EEXIST = 17;
const ESRCH = 3;
const ENETUNREACH = 101;

export function createRouteKernel({
  links,
  routes: initial,
  events = true,
}: {
  readonly links: readonly LinkRecord[];
  readonly routes: readonly RouteRecord[];
  /** A channel without events. */
  readonly events?: boolean;
}): RouteKernel {
  let routes = [...initial];
  const subscribers = new Set<(event: RouteEvent) => void>();
  const failing: Error[] = [];
  const refused = new Map<string, number>();
  const sent: RouteMessage[] = [];
  let readings = 0;
  const tell = (event: RouteEvent): void => {
    for (const on of subscribers) on(event);
  };
  const add = (route: RouteRecord): void => {
    routes.push(route);
    tell({ kind: 'route', gone: false, route });
  };
  const drop = (match: (route: RouteRecord) => boolean): void => {
    const gone = routes.filter(match);
    routes = routes.filter((route) => !match(route));
    for (const route of gone) tell({ kind: 'route', gone: true, route });
  };

  function apply(message: RouteMessage): number {
    if (message.kind === 'newRoute') {
      const { destination, type = 'unicast', table = 254, protocol = 4, via, link: index } = message;
      const errno = refused.get(destination) ?? 0;
      if (errno !== 0) return errno;
      const isIpv6 = destination.includes(':');
      const metric = message.metric || (isIpv6 ? 1024 : 0);
      if (routes.some((each) => each.table === table && each.destination === destination && each.metric === metric))
        return EEXIST;
      if (
        via !== undefined &&
        !routes.some((each) => each.link === index && each.via === undefined && holds(each, via))
      )
        return ENETUNREACH;
      // The kernel files IPv6 routes that lead nowhere under lo.
      const on = index ?? (isIpv6 && type !== 'unicast' ? 1 : undefined);
      add({
        destination,
        type,
        table,
        protocol,
        metric,
        scope: 0,
        flags: 0,
        ...(via === undefined ? {} : { via }),
        ...(on === undefined ? {} : { link: on }),
      });
      return 0;
    }
    if (message.kind !== 'deleteRoute') throw new Error(`${message.kind} is not for the routes part`);
    const { destination, table = 254, metric = 0, type, via, link: index, protocol } = message;
    const found = routes.find(
      (each) =>
        each.table === table &&
        each.destination === destination &&
        (metric === 0 || each.metric === metric) &&
        (type === undefined || each.type === type) &&
        (via === undefined || each.via === via) &&
        (index === undefined || each.link === index) &&
        (protocol === undefined || each.protocol === protocol),
    );
    if (found === undefined) return ESRCH;
    drop((each) => each === found);
    return 0;
  }

  return {
    kind: events ? 'socket' : 'text',
    async send(messages) {
      const error = failing.shift();
      if (error !== undefined) throw error;
      return messages.map((message): Ack => {
        sent.push(message);
        return { sent: true, errno: apply(message) };
      });
    },
    links: async () => links,
    addresses: async () => [],
    async routes() {
      readings += 1;
      return [...routes];
    },
    events(on) {
      if (!events) return undefined;
      subscribers.add(on);
      return () => subscribers.delete(on);
    },
    close: async () => {},
    text: () =>
      routes
        .filter(({ table }) => table === 254)
        .map((route) => lineOf(route, links))
        .sort(),
    add,
    drop,
    lose(match) {
      routes = routes.filter((route) => !match(route));
    },
    tell,
    fail(error, count = 1) {
      for (let index = 0; index < count; index += 1) failing.push(error);
    },
    refuse: (destination, errno) => void refused.set(destination, errno),
    sent,
    get readings() {
      return readings;
    },
  };
}

function holds({ destination }: RouteRecord, address: string): boolean {
  const { family, first, last } = blockOf(destination);
  const ip = blockOf(`${address}/${family === 'ipv4' ? 32 : 128}` as Cidr);
  return ip.family === family && first <= ip.first && ip.first <= last;
}

function lineOf(
  { destination, type, via, link: index, protocol, metric }: RouteRecord,
  links: readonly LinkRecord[],
): string {
  const dev = links.find((each) => each.index === index)?.name;
  return [
    ...(type === 'unicast' ? [] : [type]),
    destination,
    ...(via === undefined ? [] : ['via', via]),
    ...(dev === undefined || type !== 'unicast' ? [] : ['dev', dev]),
    'proto',
    protocol,
    ...(metric === 0 || metric === 1024 ? [] : ['metric', metric]),
  ].join(' ');
}
