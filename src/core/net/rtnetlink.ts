import type { Cidr } from '../provider.ts';

/**
 * Links, addresses and routes as values, with the words of `ip`. They are encoded for a netlink socket
 * (rtnetlink-encode.ts) or written for `ip -batch` (rtnetlink-text.ts), and read from dumps and events
 * (rtnetlink-decode.ts).
 */
export type RouteMessage = NewLink | SetLink | DeleteLink | NewAddress | DeleteAddress | NewRoute | DeleteRoute;

/** Fails with EEXIST when the name or the index is taken (CREATE | EXCL). */
export interface NewLink {
  readonly kind: 'newLink';
  readonly type: 'veth' | 'bridge' | 'dummy';
  /** At most 15 bytes. */
  readonly name: string;
  /** Chosen by us, so that later messages need not ask for it; the kernel chooses when absent. */
  readonly index?: number;
  /** '0a:58:0a:40:01:02' */
  readonly mac?: string;
  readonly mtu?: number;
  readonly up?: boolean;
  /** IFLA_GROUP: a number of ours that says whose link this is. 0 when absent. */
  readonly group?: number;
  /** Of a veth, and only of one. */
  readonly peer?: Peer;
}

/** Down: the kernel refuses one that is up before its other end is there (ENOTCONN). */
export interface Peer {
  readonly name: string;
  readonly index?: number;
  readonly mac?: string;
  readonly mtu?: number;
  readonly group?: number;
  /** Where the peer is made; our own namespace when absent. A message for another process has a descriptor, 9 for the shim. */
  readonly netns?: Netns;
}

/** `fd` for messages as bytes, `path` for those as text; who gives both serves both. */
export interface Netns {
  readonly fd?: number;
  readonly path?: string;
}

/** By index or by name. Never by an index that was not confirmed to be ours. */
export type LinkRef =
  | { readonly index: number; readonly name?: string }
  | { readonly index?: never; readonly name: string };

export interface SetLink {
  readonly kind: 'setLink';
  readonly link: LinkRef;
  readonly up?: boolean;
  readonly mtu?: number;
  readonly mac?: string;
  /** Index of the bridge; 0: none. */
  readonly master?: number;
  /** Renames it. */
  readonly name?: string;
  /** Free text that `ip link` shows. */
  readonly alias?: string;
  readonly netns?: Netns;
}

export interface DeleteLink {
  readonly kind: 'deleteLink';
  readonly link: LinkRef;
}

interface AddressOn {
  /** RFC 5952 text. */
  readonly address: string;
  readonly prefixLength: number;
  /** Index of the interface. */
  readonly link: number;
}

export interface NewAddress extends AddressOn {
  readonly kind: 'newAddress';
  /** Sets the lifetimes of an address that is there; else that is EEXIST. */
  readonly replace?: boolean;
  /** IPv6 without duplicate address detection. No effect on IPv4. */
  readonly nodad?: boolean;
  /** Both lifetimes; for ever when absent. */
  readonly lifetimeSeconds?: number;
  /** Without the route to the prefix that the kernel adds by itself. */
  readonly noPrefixRoute?: boolean;
}

export interface DeleteAddress extends AddressOn {
  readonly kind: 'deleteAddress';
}

/** RTN_*; `other` only in what is read. */
export type RouteType =
  | 'unicast'
  | 'local'
  | 'broadcast'
  | 'anycast'
  | 'multicast'
  | 'blackhole'
  | 'unreachable'
  | 'prohibit'
  | 'throw'
  | 'other';
export type RouteScope = 'universe' | 'site' | 'link' | 'host' | 'nowhere';

interface RouteKey {
  /** 0.0.0.0/0 and ::/0 are default routes. */
  readonly destination: Cidr;
  /** 254 (main) when absent. */
  readonly table?: number;
  /** 0 when absent; the kernel makes 1024 of that for IPv6. 4294967295 is the last resort. */
  readonly metric?: number;
}

/** Fails with EEXIST when destination, table and metric are taken, unless `replace`. */
export interface NewRoute extends RouteKey {
  readonly kind: 'newRoute';
  readonly replace?: boolean;
  /** `unicast` when absent. */
  readonly type?: 'unicast' | 'local' | 'blackhole' | 'unreachable' | 'prohibit' | 'throw';
  /** Address of the gateway. */
  readonly via?: string;
  /** Index of the interface. */
  readonly link?: number;
  /** `link` for a destination on the interface itself; else what the kernel's default is for it (`universe`). */
  readonly scope?: RouteScope;
  /** RTPROT_*: whose route this is. 4 (static) when absent. */
  readonly protocol?: number;
  /** Preferred source address. */
  readonly source?: string;
  readonly mtu?: number;
  /** The gateway is reachable on `link` although no route says so. */
  readonly onlink?: boolean;
}

/** Whatever is absent matches all; the kernel deletes one route. */
export interface DeleteRoute extends RouteKey {
  readonly kind: 'deleteRoute';
  readonly type?: NewRoute['type'];
  readonly via?: string;
  readonly link?: number;
  readonly protocol?: number;
}

/** The answer to one message. */
export type Ack =
  | { readonly sent: true /** 0: done. Positive: 17 = EEXIST. */; readonly errno: number; readonly message?: string }
  /** Not sent, for a newLink before it failed. */
  | { readonly sent: false; readonly errno: 125 };

/** A link as the kernel knows it. */
export interface LinkRecord {
  readonly index: number;
  readonly name: string;
  /** IFF_UP: as an administrator wants it. */
  readonly up: boolean;
  /** IFF_LOWER_UP: it has a carrier. */
  readonly carrier: boolean;
  readonly loopback: boolean;
  readonly mtu: number;
  readonly group: number;
  /** Absent for links without one (tun). */
  readonly mac?: string;
  /** 'veth', 'bridge', ...; absent for hardware. */
  readonly type?: string;
  readonly master?: number;
  /** Index of the other end of a veth, in its own namespace. */
  readonly peer?: number;
  /** nsid of the peer's namespace, as we number it; absent: our own, or not known. */
  readonly peerNetns?: number;
  readonly alias?: string;
}

export interface AddressRecord {
  readonly family: 'ipv4' | 'ipv6';
  readonly link: number;
  readonly address: string;
  readonly prefixLength: number;
  readonly scope: number;
  /** IFA_F_*, all 32 bits. */
  readonly flags: number;
  /** 4294967295: for ever. */
  readonly validSeconds: number;
  readonly preferredSeconds: number;
  readonly label?: string;
}

export interface RouteRecord {
  readonly destination: Cidr;
  readonly type: RouteType;
  readonly table: number;
  readonly protocol: number;
  readonly scope: number;
  readonly metric: number;
  /** RTM_F_* and RTNH_F_*: 1 dead, 4 onlink, 16 linkdown, ... */
  readonly flags: number;
  readonly via?: string;
  readonly link?: number;
  readonly source?: string;
  readonly mtu?: number;
  /** Of a multipath route: `via` and `link` are absent then. */
  readonly hops?: readonly { readonly via?: string; readonly link: number; readonly weight: number }[];
}

export type RouteEvent =
  | { readonly kind: 'link'; readonly gone: boolean; readonly link: LinkRecord }
  | { readonly kind: 'address'; readonly gone: boolean; readonly address: AddressRecord }
  | { readonly kind: 'route'; readonly gone: boolean; readonly route: RouteRecord }
  | { readonly kind: 'lost' };
