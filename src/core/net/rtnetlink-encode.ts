import type { IpFamily } from '../provider.ts';
import { NLM, Writer } from './netlink.ts';
import { AF, ipBytes, macBytes } from './netlink-ip.ts';
import type {
  DeleteAddress,
  DeleteRoute,
  LinkRef,
  Netns,
  NewAddress,
  NewLink,
  NewRoute,
  Peer,
  RouteMessage,
  RouteScope,
  RouteType,
  SetLink,
} from './rtnetlink.ts';

/** What dumps give. */
export type RouteDump = 'links' | 'addresses' | 'routes';

export const RTM = {
  NEWLINK: 16,
  DELLINK: 17,
  GETLINK: 18,
  NEWADDR: 20,
  DELADDR: 21,
  GETADDR: 22,
  NEWROUTE: 24,
  DELROUTE: 25,
  GETROUTE: 26,
} as const;

export const IFF = { UP: 0x1, LOOPBACK: 0x8, LOWER_UP: 0x10000 } as const;
export const IFLA = {
  ADDRESS: 1,
  IFNAME: 3,
  MTU: 4,
  LINK: 5,
  MASTER: 10,
  LINKINFO: 18,
  IFALIAS: 20,
  GROUP: 27,
  NET_NS_FD: 28,
  EXT_MASK: 29,
  LINK_NETNSID: 37,
} as const;
export const INFO = { KIND: 1, DATA: 2 } as const;
const VETH_PEER = 1;
/** Statistics are half of a dump, and nobody reads them. */
const SKIP_STATS = 8;

export const IFA = { ADDRESS: 1, LOCAL: 2, LABEL: 3, CACHEINFO: 6, FLAGS: 8 } as const;
const IFA_F = { NODAD: 0x2, NOPREFIXROUTE: 0x200 } as const;

export const RTA = {
  DST: 1,
  OIF: 4,
  GATEWAY: 5,
  PRIORITY: 6,
  PREFSRC: 7,
  METRICS: 8,
  MULTIPATH: 9,
  TABLE: 15,
  VIA: 18,
} as const;
export const RTAX_MTU = 2;
const RTNH_F_ONLINK = 4;
export const RTN = {
  unicast: 1,
  local: 2,
  broadcast: 3,
  anycast: 4,
  multicast: 5,
  blackhole: 6,
  unreachable: 7,
  prohibit: 8,
  throw: 9,
} as const satisfies Record<Exclude<RouteType, 'other'>, number>;
export const SCOPE = {
  universe: 0,
  site: 200,
  link: 253,
  host: 254,
  nowhere: 255,
} as const satisfies Record<RouteScope, number>;
/** RT_TABLE_MAIN; the header's field has 8 bits, larger numbers stand in an attribute (RT_TABLE_COMPAT 252). */
export const MAIN_TABLE = 254;
const TABLE_COMPAT = 252;
const RTPROT_STATIC = 4;

/**
 * One message after the other, each asking for an acknowledgement; message i has the number `firstSeq + i`. To be sent
 * as RouteChannel.send says: a newLink alone, and nothing after it unless it was acknowledged with 0.
 * Throws a TypeError for text that is no address, and for a namespace without a descriptor.
 */
export function encodeRouteBatch(messages: readonly RouteMessage[], firstSeq: number): Uint8Array {
  const writer = new Writer();
  for (const [index, message] of messages.entries()) encode(writer, message, (firstSeq + index) >>> 0);
  return writer.bytes();
}

export function encodeRouteDump(what: RouteDump, seq: number): Uint8Array {
  const writer = new Writer();
  const flags = NLM.REQUEST | NLM.DUMP;
  switch (what) {
    case 'links':
      writer.begin(RTM.GETLINK, flags, seq);
      for (let word = 0; word < 4; word += 1) writer.u32(0);
      writer.attribute32(IFLA.EXT_MASK, SKIP_STATS);
      break;
    case 'addresses':
      writer.begin(RTM.GETADDR, flags, seq);
      for (let word = 0; word < 2; word += 1) writer.u32(0);
      break;
    case 'routes':
      writer.begin(RTM.GETROUTE, flags, seq);
      for (let word = 0; word < 3; word += 1) writer.u32(0);
      break;
    default:
      return what satisfies never;
  }
  writer.end();
  return writer.bytes();
}

/** The scope that `ip` chooses where none is given. */
export function scopeOf({ scope, type = 'unicast', via }: NewRoute): RouteScope {
  if (scope !== undefined) return scope;
  if (type === 'local') return 'host';
  return type === 'unicast' && via === undefined ? 'link' : 'universe';
}

function encode(writer: Writer, message: RouteMessage, seq: number): void {
  const { kind } = message;
  const ask = NLM.REQUEST | NLM.ACK;
  switch (kind) {
    case 'newLink':
      writer.begin(RTM.NEWLINK, ask | NLM.CREATE | NLM.EXCL, seq);
      newLink(writer, message);
      break;
    case 'setLink':
      writer.begin(RTM.NEWLINK, ask, seq);
      setLink(writer, message);
      break;
    case 'deleteLink':
      writer.begin(RTM.DELLINK, ask, seq);
      linkRef(writer, message.link, undefined);
      break;
    case 'newAddress':
      writer.begin(RTM.NEWADDR, ask | NLM.CREATE | (message.replace === true ? NLM.REPLACE : NLM.EXCL), seq);
      address(writer, message);
      break;
    case 'deleteAddress':
      writer.begin(RTM.DELADDR, ask, seq);
      address(writer, message);
      break;
    case 'newRoute':
      writer.begin(RTM.NEWROUTE, ask | NLM.CREATE | (message.replace === true ? NLM.REPLACE : NLM.EXCL), seq);
      newRoute(writer, message);
      break;
    case 'deleteRoute':
      writer.begin(RTM.DELROUTE, ask, seq);
      deleteRoute(writer, message);
      break;
    default:
      kind satisfies never;
  }
  writer.end();
}

function newLink(writer: Writer, { type, name, index, mac, mtu, up, group, peer }: NewLink): void {
  interfaceHeader(writer, index, up);
  linkAttributes(writer, { name, mac, mtu, group });
  writer.nest(IFLA.LINKINFO, () => {
    writer.attributeText(INFO.KIND, type);
    if (peer === undefined) return;
    writer.nest(INFO.DATA, () => writer.wrap(VETH_PEER, () => otherEnd(writer, peer)));
  });
}

function otherEnd(writer: Writer, { name, index, mac, mtu, group, netns }: Peer): void {
  interfaceHeader(writer, index);
  linkAttributes(writer, { name, mac, mtu, group });
  if (netns !== undefined) writer.attribute32(IFLA.NET_NS_FD, descriptorOf(netns));
}

function setLink(writer: Writer, { link, up, mtu, mac, master, name, alias, netns }: SetLink): void {
  linkRef(writer, link, up);
  linkAttributes(writer, { name, mac, mtu });
  if (master !== undefined) writer.attribute32(IFLA.MASTER, master);
  if (alias !== undefined) writer.attributeText(IFLA.IFALIAS, alias);
  if (netns !== undefined) writer.attribute32(IFLA.NET_NS_FD, descriptorOf(netns));
}

function linkAttributes(
  writer: Writer,
  link: {
    readonly name: string | undefined;
    readonly mac: string | undefined;
    readonly mtu: number | undefined;
    readonly group?: number | undefined;
  },
): void {
  if (link.name !== undefined) writer.attributeText(IFLA.IFNAME, link.name);
  if (link.mac !== undefined) writer.attribute(IFLA.ADDRESS, macBytes(link.mac));
  if (link.mtu !== undefined) writer.attribute32(IFLA.MTU, link.mtu);
  if (link.group !== undefined) writer.attribute32(IFLA.GROUP, link.group);
}

/** A name beside an index would rename, so it is sent only alone. */
function linkRef(writer: Writer, link: LinkRef, up: boolean | undefined): void {
  interfaceHeader(writer, link.index, up);
  if (link.index === undefined) writer.attributeText(IFLA.IFNAME, link.name);
}

function interfaceHeader(writer: Writer, index = 0, up?: boolean): void {
  writer.u32(0); // family, type
  writer.u32(index);
  writer.u32(up === true ? IFF.UP : 0);
  writer.u32(up === undefined ? 0 : IFF.UP);
}

function descriptorOf({ fd }: Netns): number {
  if (fd === undefined) throw new TypeError('a namespace without a descriptor cannot go into a netlink message');
  return fd;
}

function address(writer: Writer, message: NewAddress | DeleteAddress): void {
  const { family, bytes } = ipBytes(message.address);
  writer.u8(AF[family]);
  writer.u8(message.prefixLength);
  writer.u8(0); // flags: the attribute has all 32 bits
  writer.u8(SCOPE.universe);
  writer.u32(message.link);
  writer.attribute(IFA.LOCAL, bytes);
  writer.attribute(IFA.ADDRESS, bytes);
  if (message.kind === 'deleteAddress') return;
  const { nodad = false, noPrefixRoute = false, lifetimeSeconds } = message;
  const flags = (nodad && family === 'ipv6' ? IFA_F.NODAD : 0) | (noPrefixRoute ? IFA_F.NOPREFIXROUTE : 0);
  if (flags !== 0) writer.attribute32(IFA.FLAGS, flags);
  if (lifetimeSeconds === undefined) return;
  writer.wrap(IFA.CACHEINFO, () => {
    writer.u32(lifetimeSeconds); // preferred
    writer.u32(lifetimeSeconds); // valid
    writer.u32(0);
    writer.u32(0);
  });
}

function newRoute(writer: Writer, message: NewRoute): void {
  const { type = 'unicast', protocol = RTPROT_STATIC, onlink = false, source, mtu } = message;
  const family = routeHeader(writer, message, {
    protocol,
    scope: SCOPE[scopeOf(message)],
    type: RTN[type],
    flags: onlink ? RTNH_F_ONLINK : 0,
  });
  nextHop(writer, message, family);
  if (source !== undefined) writer.attribute(RTA.PREFSRC, ipBytes(source).bytes);
  if (mtu !== undefined) writer.nest(RTA.METRICS, () => writer.attribute32(RTAX_MTU, mtu));
}

function deleteRoute(writer: Writer, message: DeleteRoute): void {
  const { type, protocol = 0 } = message;
  const family = routeHeader(writer, message, {
    protocol,
    scope: SCOPE.nowhere,
    type: type === undefined ? 0 : RTN[type],
    flags: 0,
  });
  nextHop(writer, message, family);
}

function routeHeader(
  writer: Writer,
  { destination, table = MAIN_TABLE, metric }: NewRoute | DeleteRoute,
  header: { readonly protocol: number; readonly scope: number; readonly type: number; readonly flags: number },
): IpFamily {
  const [text = '', length] = destination.split('/');
  const { family, bytes } = ipBytes(text);
  writer.u8(AF[family]);
  writer.u8(Number(length));
  writer.u8(0); // no source prefix
  writer.u8(0); // no TOS
  writer.u8(table < 256 ? table : TABLE_COMPAT);
  writer.u8(header.protocol);
  writer.u8(header.scope);
  writer.u8(header.type);
  writer.u32(header.flags);
  if (Number(length) > 0) writer.attribute(RTA.DST, bytes);
  if (table >= 256) writer.attribute32(RTA.TABLE, table);
  if (metric !== undefined) writer.attribute32(RTA.PRIORITY, metric);
  return family;
}

function nextHop(writer: Writer, { via, link }: NewRoute | DeleteRoute, family: IpFamily): void {
  if (via !== undefined) {
    const gateway = ipBytes(via);
    if (gateway.family === family) writer.attribute(RTA.GATEWAY, gateway.bytes);
    else writer.attribute(RTA.VIA, Uint8Array.of(AF[gateway.family], 0, ...gateway.bytes));
  }
  if (link !== undefined) writer.attribute32(RTA.OIF, link);
}
