import type { DeleteRoute, LinkRef, Netns, NewLink, NewRoute, Peer, RouteMessage, SetLink } from './rtnetlink.ts';
import { MAIN_TABLE, SCOPE, scopeOf } from './rtnetlink-encode.ts';

/**
 * The line of `ip -batch -` that does the same as the message's bytes. `nameOf` gives the names of interfaces by their
 * index; without it `if7`, which ip takes for the index 7 unless something is called so. Throws a TypeError for a
 * namespace without a path.
 */
export function routeCommand(message: RouteMessage, nameOf: (index: number) => string = indexName): string {
  const { kind } = message;
  switch (kind) {
    case 'newLink':
      return newLink(message);
    case 'setLink':
      return setLink(message, nameOf);
    case 'deleteLink':
      return `link delete dev ${refOf(message.link, nameOf)}`;
    case 'newAddress': {
      const { address, prefixLength, link, replace = false, nodad = false, noPrefixRoute = false } = message;
      const { lifetimeSeconds: seconds } = message;
      return words(
        `address ${replace ? 'replace' : 'add'} ${address}/${prefixLength} dev ${nameOf(link)}`,
        seconds !== undefined && `valid_lft ${seconds} preferred_lft ${seconds}`,
        nodad && address.includes(':') && 'nodad',
        noPrefixRoute && 'noprefixroute',
      );
    }
    case 'deleteAddress':
      return `address delete ${message.address}/${message.prefixLength} dev ${nameOf(message.link)}`;
    case 'newRoute':
      return newRoute(message, nameOf);
    case 'deleteRoute':
      return words(`route delete ${target(message)}`, hop(message, nameOf));
    default:
      return kind satisfies never;
  }
}

const indexName = (index: number): string => `if${index}`;

const words = (...parts: readonly (string | false | undefined)[]): string => parts.filter(Boolean).join(' ');

function newLink({ type, name, index, mac, mtu, up, group, peer }: NewLink): string {
  return words(
    `link add ${name}`,
    index !== undefined && `index ${index}`,
    ends({ mac, mtu, up, group }),
    `type ${type}`,
    peer !== undefined && otherEnd(peer),
  );
}

function otherEnd({ name, index, mac, mtu, group, netns }: Peer): string {
  return words(
    `peer name ${name}`,
    index !== undefined && `index ${index}`,
    ends({ mac, mtu, up: undefined, group }),
    netns !== undefined && `netns ${pathOf(netns)}`,
  );
}

function ends(link: {
  readonly mac: string | undefined;
  readonly mtu: number | undefined;
  readonly up: boolean | undefined;
  readonly group: number | undefined;
}): string {
  return words(
    link.mac !== undefined && `address ${link.mac}`,
    link.mtu !== undefined && `mtu ${link.mtu}`,
    link.group !== undefined && `group ${link.group}`,
    link.up !== undefined && (link.up ? 'up' : 'down'),
  );
}

function setLink(message: SetLink, nameOf: (index: number) => string): string {
  const { link, up, mtu, mac, master, name, alias, netns } = message;
  return words(
    `link set dev ${refOf(link, nameOf)}`,
    up !== undefined && (up ? 'up' : 'down'),
    mtu !== undefined && `mtu ${mtu}`,
    mac !== undefined && `address ${mac}`,
    master !== undefined && (master === 0 ? 'nomaster' : `master ${nameOf(master)}`),
    name !== undefined && `name ${name}`,
    alias !== undefined && `alias ${quoted(alias)}`,
    netns !== undefined && `netns ${pathOf(netns)}`,
  );
}

/** ip's batch mode splits at blanks outside of quotes. */
const quoted = (text: string): string => `"${text.replaceAll('"', "'")}"`;

const refOf = ({ index, name }: LinkRef, nameOf: (index: number) => string): string =>
  index === undefined ? (name as string) : nameOf(index);

function pathOf({ path }: Netns): string {
  if (path === undefined) throw new TypeError('a namespace without a path cannot go into a command');
  return path;
}

function newRoute(message: NewRoute, nameOf: (index: number) => string): string {
  const { replace = false, protocol, source, mtu, onlink = false } = message;
  return words(
    `route ${replace ? 'replace' : 'add'} ${target(message)}`,
    hop(message, nameOf),
    `scope ${SCOPE[scopeOf(message)]}`,
    `protocol ${protocol ?? 4}`,
    source !== undefined && `src ${source}`,
    mtu !== undefined && `mtu ${mtu}`,
    onlink && 'onlink',
  );
}

function target({ type, destination, table = MAIN_TABLE, metric }: NewRoute | DeleteRoute): string {
  return words(type !== undefined && type, destination, `table ${table}`, metric !== undefined && `metric ${metric}`);
}

function hop(route: NewRoute | DeleteRoute, nameOf: (index: number) => string): string {
  const { via, link, destination } = route;
  const isV6 = (text: string): boolean => text.includes(':');
  const family = via !== undefined && isV6(via) && !isV6(destination) ? 'inet6 ' : '';
  return words(
    via !== undefined && `via ${family}${via}`,
    link !== undefined && `dev ${nameOf(link)}`,
    route.kind === 'deleteRoute' && route.protocol !== undefined && `protocol ${route.protocol}`,
  );
}
