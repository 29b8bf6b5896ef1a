import { BITS, parseIp } from '../net/ip.ts';
import type { RouteMessage } from '../net/rtnetlink.ts';
import type { Cidr, IpFamily } from '../provider.ts';
import type { Attachment, AttachmentLink } from './attachment.ts';
import type { CniDns, CniResult } from './result.ts';

/** IFLA_GROUP of all links that the CNI part makes, on both ends: with the name it says that a link is ours. ('fl') */
export const LINK_GROUP = 0x666c;

/** RTPROT_* of our routes to pods. Not in /etc/iproute2/rt_protos, so that nobody else's cleaning takes them. */
export const ROUTE_PROTOCOL = 0x66;

/** The namespace of the pod is descriptor 9 of the shim. */
export const SHIM_NETNS_FD = 9;

/** All that is needed to wire one pod. */
export interface Wiring {
  readonly link: AttachmentLink;
  /** Index of the pod's end, in its namespace. */
  readonly peerIndex: number;
  readonly ifname: string;
  readonly netns: string;
  readonly hostMac: string;
  readonly mac: string;
  readonly mtu: number;
  readonly addresses: readonly WiredAddress[];
  /** What `ip link` shows for the host's end. */
  readonly alias: string;
  /** From 127.0.0.1 of the node, ports of the pod are reached: the kernel must let such packets out. */
  readonly routeLocalnet: boolean;
}
export interface WiredAddress {
  readonly family: IpFamily;
  readonly address: string;
  /** The first address of the pod CIDR; the same on the host's end of all links. */
  readonly gateway: string;
}

/** A step of a plan: netlink messages in one of the two namespaces, or a setting of the kernel. */
export type WiringStep =
  | { readonly kind: 'messages'; readonly where: 'host' | 'pod'; readonly messages: readonly RouteMessage[] }
  | { readonly kind: 'sysctl'; readonly where: 'host' | 'pod'; readonly name: string; readonly value: string };

/**
 * The steps that wire a pod, in order. The first message of the first step makes both links at once or fails; nothing
 * may be sent after it failed, since its index may be another's. `netnsFd`: the pod's namespace, in the process that
 * sends.
 */
export function wiringSteps(wiring: Wiring, netnsFd: number): readonly WiringStep[] {
  const { link, peerIndex, ifname, netns, hostMac, mac, mtu, addresses, alias, routeLocalnet } = wiring;
  const peer = { name: ifname, index: peerIndex, mac, mtu, group: LINK_GROUP, netns: { fd: netnsFd, path: netns } };
  const hasIpv6 = addresses.some(({ family }) => family === 'ipv6');
  const host: readonly RouteMessage[] = [
    { kind: 'setLink', link: { index: link.index }, up: true, alias },
    ...addresses.map(({ family, gateway }) => ({
      kind: 'newAddress' as const,
      address: gateway,
      prefixLength: BITS[family],
      link: link.index,
      // Duplicate address detection would take a second or more, and the address is on every link (kubenet #54651).
      nodad: true,
    })),
    ...addresses.map((address) => hostRoute(address, link.index)),
  ];
  const pod: readonly RouteMessage[] = [
    { kind: 'setLink', link: { name: 'lo' }, up: true },
    { kind: 'setLink', link: { index: peerIndex }, up: true },
    ...addresses.flatMap(({ family, address, gateway }): readonly RouteMessage[] => [
      { kind: 'newAddress', address, prefixLength: BITS[family], link: peerIndex, nodad: true },
      { kind: 'newRoute', destination: `${gateway}/${BITS[family]}` as Cidr, link: peerIndex, scope: 'link' },
      { kind: 'newRoute', destination: defaultRoute[family], via: gateway, link: peerIndex },
    ]),
  ];
  return [
    {
      kind: 'messages',
      where: 'host',
      messages: [{ kind: 'newLink', type: 'veth', ...link, mac: hostMac, mtu, group: LINK_GROUP, peer }],
    },
    { kind: 'messages', where: 'host', messages: host },
    ...(routeLocalnet
      ? [
          {
            kind: 'sysctl' as const,
            where: 'host' as const,
            name: `net/ipv4/conf/${link.name}/route_localnet`,
            value: '1',
          },
        ]
      : []),
    // Runtimes switch IPv6 off in the namespaces that they make; without it the address is refused with EACCES.
    ...(hasIpv6
      ? [{ kind: 'sysctl' as const, where: 'pod' as const, name: 'net/ipv6/conf/all/disable_ipv6', value: '0' }]
      : []),
    { kind: 'messages', where: 'pod', messages: pod },
  ];
}

export const defaultRoute: Readonly<Record<IpFamily, Cidr>> = { ipv4: '0.0.0.0/0' as Cidr, ipv6: '::/0' as Cidr };

const hostRoute = ({ family, address }: Pick<WiredAddress, 'family' | 'address'>, link: number): RouteMessage => ({
  kind: 'newRoute',
  destination: `${address}/${BITS[family]}` as Cidr,
  link,
  scope: 'link',
  protocol: ROUTE_PROTOCOL,
});

/** What DEL does before it answers: from here on nothing reaches the pod. The link itself takes the kernel 20 ms. */
export function unrouteMessages({ link, addresses }: Pick<Attachment, 'link' | 'addresses'>): readonly RouteMessage[] {
  if (link === undefined) return [];
  return addresses.map((address) => {
    const family = familyOf(address);
    const destination = `${address}/${BITS[family]}` as Cidr;
    return { kind: 'deleteRoute', destination, link: link.index, protocol: ROUTE_PROTOCOL };
  });
}

/** The routes of a pod once more, after somebody deleted one. */
export const rerouteMessages = ({
  link,
  addresses,
}: Pick<Attachment, 'link' | 'addresses'>): readonly RouteMessage[] =>
  link === undefined ? [] : addresses.map((address) => hostRoute({ family: familyOf(address), address }, link.index));

/** The result of ADD: interface 0 is the host's end, 1 the pod's. */
export function wiringResult({ link, ifname, netns, hostMac, mac, mtu, addresses }: Wiring, dns: CniDns): CniResult {
  return {
    interfaces: [
      { name: link.name, mac: hostMac, mtu },
      { name: ifname, mac, mtu, sandbox: netns },
    ],
    ips: addresses.map(({ family, address, gateway }) => ({
      interface: 1,
      address: `${address}/${BITS[family]}`,
      gateway,
    })),
    routes: addresses.map(({ family, gateway }) => ({ dst: defaultRoute[family], gw: gateway })),
    dns,
  };
}

const DIGITS = '0123456789abcdefghijklmnopqrstuv';

/**
 * Name of the host's end: `fl` and 55 bits of a hash. Of both, because a prefix of the container id would collide for two
 * interfaces of one pod.
 */
export function hostLinkName(containerId: string, ifname: string): string {
  const text = `${containerId}/${ifname}`;
  let bits = (BigInt(mixed(text, 0x811c9dc5)) << 32n) | BigInt(mixed(text, 0x2545f491));
  let name = '';
  for (let at = 0; at < 11; at += 1) {
    name = `${DIGITS[Number(bits & 31n)]}${name}`;
    bits >>= 5n;
  }
  return `fl${name}`;
}

export const isHostLinkName = (name: string): boolean => /^fl[0-9a-v]{11}$/.test(name);

/** FNV-1a from a start of one's own, then the finalizer of MurmurHash3: all bits of the text reach all bits of the hash. */
function mixed(text: string, start: number): number {
  let hash = start;
  for (let at = 0; at < text.length; at += 1) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

/**
 * MACs by address, so that what others remember stays right when an address comes back: 0a:58 and the IPv4 address (the
 * last four bytes of an IPv6 one) for the pod's end, 0a:59 for the host's.
 */
export function macsOf(addresses: readonly string[]): { readonly pod: string; readonly host: string } {
  const bytes = lastBytes(addresses[0] ?? '0.0.0.0');
  return { pod: `0a:58:${bytes}`, host: `0a:59:${bytes}` };
}

function lastBytes(address: string): string {
  const value = parseIp(address)?.value ?? 0n;
  const hex = (value & 0xffffffffn).toString(16).padStart(8, '0');
  return [0, 2, 4, 6].map((at) => hex.slice(at, at + 2)).join(':');
}

const familyOf = (address: string): IpFamily => (address.includes(':') ? 'ipv6' : 'ipv4');
