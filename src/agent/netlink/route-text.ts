import { failure } from '../../core/errors.ts';
import { ERRNO } from '../../core/net/netlink.ts';
import type { Ack, AddressRecord, LinkRecord, RouteMessage, RouteRecord, RouteType } from '../../core/net/rtnetlink.ts';
import { RTN } from '../../core/net/rtnetlink-encode.ts';
import { routeCommand } from '../../core/net/rtnetlink-text.ts';
import type { Cidr } from '../../core/provider.ts';
import { type Exec, run } from '../exec.ts';
import type { RouteChannel } from './channel.ts';
import { errnoOf } from './errno-text.ts';
import { type EventSource, eventsOf, NET_ADMIN, stepsOf } from './route-wire.ts';

export interface RouteTextOptions {
  readonly exec: Exec;
  /** Events from a helper, where there is one beside; absent: none. */
  readonly source?: EventSource;
}

/** rtnetlink by spawning ip: some 5 ms for a batch. */
export function createRouteText({ exec, source }: RouteTextOptions): RouteChannel {
  return {
    kind: 'text',
    async send(messages) {
      const acks: Ack[] = [];
      for (const step of stepsOf(messages)) {
        const answers = await sendStep(exec, step);
        acks.push(...answers);
        if (step[0]?.kind === 'newLink' && answers.some(({ errno }) => errno !== 0)) break;
      }
      return [...acks, ...messages.slice(acks.length).map((): Ack => ({ sent: false, errno: ERRNO.ECANCELED }))];
    },
    async links() {
      const links = await list<JsonLink>(exec, ['link', 'show']);
      const indexes = indexesOf(links);
      return links.map((link) => linkOf(link, indexes));
    },
    async addresses() {
      return (await list<JsonLink>(exec, ['address', 'show'])).flatMap(addressesOf);
    },
    async routes() {
      const indexes = indexesOf(await list<JsonLink>(exec, ['link', 'show']));
      const routes: RouteRecord[] = [];
      for (const family of ['-4', '-6'] as const) {
        for (const route of await list<JsonRoute>(exec, [family, 'route', 'show', 'table', 'all'])) {
          routes.push(routeOf(route, family, indexes));
        }
      }
      return routes;
    },
    events: (on) => source && eventsOf(source, on),
    async close() {},
  };
}

// ---------------------------------------------------------------------------------------------------------------------
// Changes

async function sendStep(exec: Exec, messages: readonly RouteMessage[]): Promise<readonly Ack[]> {
  const input = messages.map((message) => `${routeCommand(message)}\n`).join('');
  const { stderr } = await exec('ip', ['-force', '-batch', '-'], { input });
  const failed = failuresOf(stderr);
  return messages.map((_, index): Ack => {
    const words = failed.get(index + 1);
    if (words === undefined) return { sent: true, errno: 0 };
    const errno = errnoOf(words) ?? ERRNO.EINVAL;
    if (errno === ERRNO.EPERM) throw failure('FL_NET_ADMIN', `${NET_ADMIN}: ${words}`);
    return { sent: true, errno, message: words };
  });
}

/** line -> what ip wrote before it said that this line failed. */
function failuresOf(stderr: string): ReadonlyMap<number, string> {
  const failed = new Map<number, string>();
  let words: string[] = [];
  for (const line of stderr.split('\n')) {
    const end = /^Command failed -:(\d+)$/.exec(line);
    if (end === null) words.push(line);
    else {
      failed.set(Number(end[1]), words.join(' ').trim());
      words = [];
    }
  }
  return failed;
}

// ---------------------------------------------------------------------------------------------------------------------
// What is there: numbers in place of names (-N), details (-d), as JSON

interface JsonLink {
  readonly ifindex: number;
  readonly ifname: string;
  readonly flags: readonly string[];
  readonly mtu: number;
  readonly group: string;
  readonly link_type: string;
  readonly address?: string;
  readonly linkinfo?: { readonly info_kind?: string };
  readonly master?: string;
  /** The other end's name, or its index where it is in another namespace. */
  readonly link?: string;
  readonly link_index?: number;
  readonly link_netnsid?: number;
  readonly ifalias?: string;
  readonly addr_info?: readonly JsonAddress[];
}

interface JsonAddress {
  readonly family: 'inet' | 'inet6';
  readonly local: string;
  readonly prefixlen: number;
  readonly scope: string;
  readonly label?: string;
  readonly valid_life_time: number;
  readonly preferred_life_time: number;
}

interface JsonHop {
  readonly gateway?: string;
  readonly via?: { readonly host: string };
  readonly dev?: string;
  readonly weight?: number;
  readonly flags: readonly string[];
}

interface JsonRoute extends JsonHop {
  readonly type: string;
  readonly dst: string;
  readonly table?: string;
  readonly protocol: string;
  readonly scope: string;
  readonly metric?: number;
  readonly prefsrc?: string;
  readonly metrics?: readonly { readonly mtu?: number }[];
  readonly nexthops?: readonly JsonHop[];
}

async function list<Item>(exec: Exec, args: readonly string[]): Promise<readonly Item[]> {
  const text = await run(exec, 'ip', ['-N', '-d', '-j', ...args]);
  // Nothing at all where there is nothing to list.
  return text.trim() === '' ? [] : (JSON.parse(text) as readonly Item[]).filter((item) => hasMembers(item));
}

/** `ip address` lists an empty object for each link without addresses of a family. */
const hasMembers = (item: unknown): boolean =>
  typeof item === 'object' && item !== null && Object.keys(item).length > 0;

const indexesOf = (links: readonly JsonLink[]): ReadonlyMap<string, number> =>
  new Map(links.map(({ ifname, ifindex }) => [ifname, ifindex]));

const ETHER = new Set(['[1]', 'ether', '1']);

function linkOf(json: JsonLink, indexes: ReadonlyMap<string, number>): LinkRecord {
  const { flags, linkinfo, master, ifalias } = json;
  const type = linkinfo?.info_kind;
  const peer = type !== 'veth' ? undefined : (json.link_index ?? indexes.get(json.link ?? ''));
  const peerNetns = type === 'veth' ? json.link_netnsid : undefined;
  const masterIndex = master === undefined ? undefined : indexes.get(master);
  const isLoopback = flags.includes('LOOPBACK');
  return {
    index: json.ifindex,
    name: json.ifname,
    up: flags.includes('UP'),
    carrier: flags.includes('LOWER_UP'),
    loopback: isLoopback,
    mtu: json.mtu,
    group: Number(json.group),
    ...(json.address !== undefined && (ETHER.has(json.link_type) || isLoopback) && { mac: json.address }),
    ...(type !== undefined && { type }),
    ...(masterIndex !== undefined && { master: masterIndex }),
    ...(peer !== undefined && { peer }),
    ...(peerNetns !== undefined && peerNetns >= 0 && { peerNetns }),
    ...(ifalias !== undefined && { alias: ifalias }),
  };
}

const FOR_EVER = 0xffffffff;
/** Words of `ip address` -> IFA_F_*. */
const ADDRESS_FLAGS: Readonly<Record<string, number>> = {
  secondary: 0x01,
  temporary: 0x01,
  nodad: 0x02,
  optimistic: 0x04,
  dadfailed: 0x08,
  home: 0x10,
  deprecated: 0x20,
  tentative: 0x40,
  mngtmpaddr: 0x100,
  noprefixroute: 0x200,
  autojoin: 0x400,
  'stable-privacy': 0x800,
};
const PERMANENT = 0x80;

function addressesOf({ ifindex, addr_info = [] }: JsonLink): readonly AddressRecord[] {
  return addr_info.map((json) => {
    const words = Object.entries(ADDRESS_FLAGS).filter(([word]) => word in json);
    return {
      family: json.family === 'inet' ? 'ipv4' : 'ipv6',
      link: ifindex,
      address: json.local,
      prefixLength: json.prefixlen,
      scope: Number(json.scope),
      flags: words.reduce((flags, [, flag]) => flags | flag, 'dynamic' in json ? 0 : PERMANENT),
      validSeconds: json.valid_life_time ?? FOR_EVER,
      preferredSeconds: json.preferred_life_time ?? FOR_EVER,
      ...(json.label !== undefined && { label: json.label }),
    };
  });
}

const TYPES = new Map<string, RouteType>(
  Object.entries(RTN).map(([name, number]) => [String(number), name as RouteType]),
);
/** Words of `ip route` -> RTNH_F_*. */
const ROUTE_FLAGS: Readonly<Record<string, number>> = { dead: 1, pervasive: 2, onlink: 4, offload: 8, linkdown: 16 };
const MAIN = '254';

function routeOf(json: JsonRoute, family: '-4' | '-6', indexes: ReadonlyMap<string, number>): RouteRecord {
  const via = json.gateway ?? json.via?.host;
  const link = json.dev === undefined ? undefined : indexes.get(json.dev);
  const mtu = json.metrics?.find((metric) => metric.mtu !== undefined)?.mtu;
  const { nexthops } = json;
  return {
    destination: destinationOf(json.dst, family),
    type: TYPES.get(json.type) ?? 'other',
    table: Number(json.table ?? MAIN),
    protocol: Number(json.protocol),
    scope: Number(json.scope),
    metric: json.metric ?? 0,
    flags: json.flags.reduce((flags, word) => flags | (ROUTE_FLAGS[word] ?? 0), 0),
    ...(via !== undefined && { via }),
    ...(link !== undefined && { link }),
    ...(json.prefsrc !== undefined && { source: json.prefsrc }),
    ...(mtu !== undefined && { mtu }),
    ...(nexthops !== undefined && {
      hops: nexthops.map((hop) => {
        const hopVia = hop.gateway ?? hop.via?.host;
        return {
          ...(hopVia !== undefined && { via: hopVia }),
          link: indexes.get(hop.dev ?? '') ?? 0,
          weight: hop.weight ?? 1,
        };
      }),
    }),
  };
}

function destinationOf(text: string, family: '-4' | '-6'): Cidr {
  if (text === 'default') return (family === '-4' ? '0.0.0.0/0' : '::/0') as Cidr;
  return (text.includes('/') ? text : `${text}/${family === '-4' ? 32 : 128}`) as Cidr;
}
