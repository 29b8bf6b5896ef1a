import type { Cidr, IpFamily } from '../provider.ts';
import { attributesOf, type Message, type Span, textOf, u16, u32 } from './netlink.ts';
import { AF, familyOf, ipText, macText } from './netlink-ip.ts';
import type { AddressRecord, LinkRecord, RouteEvent, RouteRecord, RouteType } from './rtnetlink.ts';
import { IFA, IFF, IFLA, INFO, RTA, RTAX_MTU, RTM, RTN } from './rtnetlink-encode.ts';

const IFINFO_BYTES = 16;
const IFADDR_BYTES = 8;
const RTMSG_BYTES = 12;
const NEXTHOP_BYTES = 8;
/** Learnt from redirects and path MTU messages, not configured. */
const RTM_F_CLONED = 0x200;
const FOR_EVER = 0xffffffff;

/** A message of a dump or an event; undefined for what is of another kind or family. */
export function decodeRouteMessage(
  datagram: Uint8Array,
  message: Message,
): Exclude<RouteEvent, { kind: 'lost' }> | undefined {
  switch (message.type) {
    case RTM.NEWLINK:
    case RTM.DELLINK: {
      const link = linkOf(datagram, message);
      return link && { kind: 'link', gone: message.type === RTM.DELLINK, link };
    }
    case RTM.NEWADDR:
    case RTM.DELADDR: {
      const address = addressOf(datagram, message);
      return address && { kind: 'address', gone: message.type === RTM.DELADDR, address };
    }
    case RTM.NEWROUTE:
    case RTM.DELROUTE: {
      const route = routeOf(datagram, message);
      return route && { kind: 'route', gone: message.type === RTM.DELROUTE, route };
    }
    default:
      return undefined;
  }
}

/** Undefined for a bridge's view of its port, which comes as RTM_NEWLINK and RTM_DELLINK too (AF_BRIDGE). */
function linkOf(bytes: Uint8Array, { start, end }: Message): LinkRecord | undefined {
  if (bytes[start] !== 0) return undefined;
  const attributes = attributesOf(bytes, start + IFINFO_BYTES, end);
  const number = (type: number): number | undefined => number32(bytes, attributes.get(type));
  const flags = u32(bytes, start + 8);
  const name = attributes.get(IFLA.IFNAME);
  const mac = attributes.get(IFLA.ADDRESS);
  const alias = attributes.get(IFLA.IFALIAS);
  const info = attributes.get(IFLA.LINKINFO);
  const kind = info === undefined ? undefined : attributesOf(bytes, info.start, info.end).get(INFO.KIND);
  const type = kind === undefined ? undefined : textOf(bytes, kind);
  const master = number(IFLA.MASTER);
  const peer = type === 'veth' ? number(IFLA.LINK) : undefined;
  const peerNetns = type === 'veth' ? number(IFLA.LINK_NETNSID) : undefined;
  return {
    index: u32(bytes, start + 4),
    name: name === undefined ? '' : textOf(bytes, name),
    up: (flags & IFF.UP) !== 0,
    carrier: (flags & IFF.LOWER_UP) !== 0,
    loopback: (flags & IFF.LOOPBACK) !== 0,
    mtu: number(IFLA.MTU) ?? 0,
    group: number(IFLA.GROUP) ?? 0,
    ...(mac !== undefined && mac.end - mac.start === 6 && { mac: macText(bytes, mac.start, mac.end) }),
    ...(type !== undefined && { type }),
    ...(master !== undefined && master !== 0 && { master }),
    ...(peer !== undefined && peer !== 0 && { peer }),
    ...(peerNetns !== undefined && peerNetns !== FOR_EVER && { peerNetns }),
    ...(alias !== undefined && { alias: textOf(bytes, alias) }),
  };
}

function addressOf(bytes: Uint8Array, { start, end }: Message): AddressRecord | undefined {
  const family = familyOf(bytes[start] as number);
  if (family === undefined) return undefined;
  const attributes = attributesOf(bytes, start + IFADDR_BYTES, end);
  // With a peer, ADDRESS is the other side's.
  const address = attributes.get(IFA.LOCAL) ?? attributes.get(IFA.ADDRESS);
  if (address === undefined) return undefined;
  const label = attributes.get(IFA.LABEL);
  const times = attributes.get(IFA.CACHEINFO);
  return {
    family,
    link: u32(bytes, start + 4),
    address: ipText(bytes, address.start, family),
    prefixLength: bytes[start + 1] as number,
    scope: bytes[start + 3] as number,
    flags: number32(bytes, attributes.get(IFA.FLAGS)) ?? (bytes[start + 2] as number),
    preferredSeconds: times === undefined ? FOR_EVER : u32(bytes, times.start),
    validSeconds: times === undefined ? FOR_EVER : u32(bytes, times.start + 4),
    ...(label !== undefined && { label: textOf(bytes, label) }),
  };
}

function routeOf(bytes: Uint8Array, { start, end }: Message): RouteRecord | undefined {
  const family = familyOf(bytes[start] as number);
  const flags = u32(bytes, start + 8);
  if (family === undefined || (flags & RTM_F_CLONED) !== 0) return undefined;
  const attributes = attributesOf(bytes, start + RTMSG_BYTES, end);
  const number = (type: number): number | undefined => number32(bytes, attributes.get(type));
  const ip = (type: number): string | undefined => {
    const span = attributes.get(type);
    return span && ipText(bytes, span.start, family);
  };
  const via = gatewayOf(bytes, attributes, family);
  const link = number(RTA.OIF);
  const source = ip(RTA.PREFSRC);
  const metrics = attributes.get(RTA.METRICS);
  const mtu = metrics && number32(bytes, attributesOf(bytes, metrics.start, metrics.end).get(RTAX_MTU));
  const multipath = attributes.get(RTA.MULTIPATH);
  return {
    destination: `${ip(RTA.DST) ?? (family === 'ipv4' ? '0.0.0.0' : '::')}/${bytes[start + 1]}` as Cidr,
    type: typeOf(bytes[start + 7] as number),
    table: number(RTA.TABLE) ?? (bytes[start + 4] as number),
    protocol: bytes[start + 5] as number,
    scope: bytes[start + 6] as number,
    metric: number(RTA.PRIORITY) ?? 0,
    flags,
    ...(via !== undefined && { via }),
    ...(link !== undefined && { link }),
    ...(source !== undefined && { source }),
    ...(mtu !== undefined && { mtu }),
    ...(multipath !== undefined && { hops: hopsOf(bytes, multipath, family) }),
  };
}

function gatewayOf(bytes: Uint8Array, attributes: ReadonlyMap<number, Span>, family: IpFamily): string | undefined {
  const gateway = attributes.get(RTA.GATEWAY);
  if (gateway !== undefined) return ipText(bytes, gateway.start, family);
  const via = attributes.get(RTA.VIA);
  if (via === undefined) return undefined;
  return ipText(bytes, via.start + 2, u16(bytes, via.start) === AF.ipv4 ? 'ipv4' : 'ipv6');
}

function hopsOf(bytes: Uint8Array, { start, end }: Span, family: IpFamily): NonNullable<RouteRecord['hops']> {
  const hops: { via?: string; link: number; weight: number }[] = [];
  for (let at = start; at + NEXTHOP_BYTES <= end; ) {
    const length = u16(bytes, at);
    if (length < NEXTHOP_BYTES) break;
    const via = gatewayOf(bytes, attributesOf(bytes, at + NEXTHOP_BYTES, at + length), family);
    const weight = (bytes[at + 3] as number) + 1;
    hops.push({ ...(via !== undefined && { via }), link: u32(bytes, at + 4), weight });
    at += (length + 3) & ~3;
  }
  return hops;
}

const types = new Map<number, RouteType>(Object.entries(RTN).map(([name, number]) => [number, name as RouteType]));
const typeOf = (number: number): RouteType => types.get(number) ?? 'other';

const number32 = (bytes: Uint8Array, span: Span | undefined): number | undefined => span && u32(bytes, span.start);
