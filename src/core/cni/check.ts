import { parseCidr } from '../net/cidr.ts';
import { BITS, canonicalIp } from '../net/ip.ts';
import type { AddressRecord, LinkRecord, RouteRecord } from '../net/rtnetlink.ts';
import type { Attachment } from './attachment.ts';
import { CniFailure, cniCodes } from './failure.ts';
import type { CniResult } from './result.ts';
import { LINK_GROUP } from './wiring.ts';

/** What a namespace has, as dumped. */
export interface Dumped {
  readonly links: readonly LinkRecord[];
  readonly addresses: readonly AddressRecord[];
  readonly routes: readonly RouteRecord[];
}

export interface CheckInput {
  readonly attachment: Attachment;
  readonly prevResult: CniResult;
  readonly ifname: string;
  readonly netns: string;
  readonly host: Pick<Dumped, 'links' | 'routes'>;
  readonly pod: Dumped;
}

/** The interface of prevResult that CHECK is about; 999 when it is of another namespace, as the reference says it. */
export function checkedInterface({ interfaces }: CniResult, ifname: string, netns: string): number {
  const index = interfaces.findIndex(({ name, sandbox }) => name === ifname && sandbox !== undefined);
  const sandbox = interfaces[index]?.sandbox ?? '';
  if (sandbox !== netns)
    throw new CniFailure(cniCodes.logic, `Sandbox in prevResult ${sandbox} doesn't match configured netns: ${netns}`);
  return index;
}

/**
 * What is not as prevResult says. More than it says is no problem: plugins after us may have added it, and what they
 * changed they have put into prevResult.
 */
export function checkProblems(input: CheckInput): readonly string[] {
  return [...hostProblems(input), ...podProblems(input)];
}

function hostProblems({ attachment: { link, addresses }, host }: CheckInput): readonly string[] {
  const found = host.links.find(({ name }) => name === link?.name);
  if (link === undefined || found === undefined) return [`the host has no interface ${link?.name ?? ''}`];
  if (found.index !== link.index || found.group !== LINK_GROUP)
    return [`the interface ${link.name} of the host is not the one that ADD made`];
  return [
    ...(found.up ? [] : [`the interface ${link.name} of the host is down`]),
    ...addresses
      .map((address) => `${address}/${address.includes(':') ? BITS.ipv6 : BITS.ipv4}`)
      .filter(
        (destination) => !host.routes.some((route) => route.destination === destination && route.link === link.index),
      )
      .map((destination) => `the host has no route ${destination} dev ${link.name}`),
  ];
}

function podProblems({ prevResult, ifname, netns, pod }: CheckInput): readonly string[] {
  const index = checkedInterface(prevResult, ifname, netns);
  const stated = prevResult.interfaces[index];
  const found = pod.links.find(({ name }) => name === ifname);
  if (found === undefined) return [`the namespace has no interface ${ifname}`];
  const ownIps = prevResult.ips.filter((ip) => ip.interface === index);
  return [
    ...(found.up ? [] : [`${ifname} is down`]),
    ...(stated?.mac === undefined || found.mac === stated.mac.toLowerCase()
      ? []
      : [`${ifname} has the MAC ${found.mac ?? '(none)'}, not ${stated.mac}`]),
    ...ownIps
      .filter(({ address }) => !hasAddress(pod.addresses, found.index, address))
      .map(({ address }) => `${ifname} has no address ${address}`),
    ...prevResult.routes
      .filter(({ dst, gw }) => !hasRoute(pod.routes, dst, gw))
      .map(({ dst, gw }) => `the namespace has no route ${dst}${gw === undefined ? '' : ` via ${gw}`}`),
  ];
}

function hasAddress(addresses: readonly AddressRecord[], link: number, text: string): boolean {
  const [ip = '', length = ''] = text.split('/');
  return addresses.some(
    (record) => record.link === link && record.address === canonicalIp(ip) && record.prefixLength === Number(length),
  );
}

/** In any table: the sbr plugin moves routes to one of its own. */
function hasRoute(routes: readonly RouteRecord[], dst: string, gw: string | undefined): boolean {
  const cidr = parseCidr(dst);
  return routes.some(
    ({ destination, via }) =>
      destination === cidr && (gw === undefined || via === undefined || via === canonicalIp(gw)),
  );
}
