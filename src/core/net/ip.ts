import { isIP } from 'node:net';
import type { IpFamily } from '../provider.ts';

/** An address as a number: IPv4 below 2^32, IPv6 below 2^128. */
export interface Ip {
  readonly family: IpFamily;
  readonly value: bigint;
}

/** Length of an address of the family in bits. */
export const BITS = { ipv4: 32, ipv6: 128 } as const satisfies Record<IpFamily, number>;

/** ::ffff:0:0/96, the addresses that stand for an IPv4 one (RFC 4291 2.5.5.2). */
const MAPPED_PREFIX = 0xffffn;

/**
 * Strict: four decimal octets without leading zeros, or IPv6 (RFC 4291 2.2) without a zone. `undefined` for everything
 * else, also for a length or white space around it. `::ffff:1.2.3.4` is IPv6: see `unmapped`.
 */
export function parseIp(text: string): Ip | undefined {
  switch (isIP(text)) {
    case 4:
      return { family: 'ipv4', value: octetsOf(text) };
    case 6:
      return text.includes('%') ? undefined : { family: 'ipv6', value: hextetsOf(text) };
    default:
      return undefined;
  }
}

/** RFC 5952: lower case, the longest run of zero groups as `::`, the first of equal ones; IPv4-mapped with dots. */
export function formatIp({ family, value }: Ip): string {
  if (family === 'ipv4') return dotted(value);
  if (value >> 32n === MAPPED_PREFIX) return `::ffff:${dotted(value & 0xffffffffn)}`;
  return compressed(groupsOf(value));
}

/** The one text of an address that we compare and store; `undefined` when it is none. */
export function canonicalIp(text: string): string | undefined {
  const ip = parseIp(text);
  return ip === undefined ? undefined : formatIp(ip);
}

/** The IPv4 address that an IPv4-mapped IPv6 one stands for; any other address itself. */
export function unmapped(ip: Ip): Ip {
  if (ip.family === 'ipv4' || ip.value >> 32n !== MAPPED_PREFIX) return ip;
  return { family: 'ipv4', value: ip.value & 0xffffffffn };
}

/** IPv4 before IPv6, then by number. */
export function compareIps(a: Ip, b: Ip): number {
  if (a.family !== b.family) return a.family === 'ipv4' ? -1 : 1;
  if (a.value === b.value) return 0;
  return a.value < b.value ? -1 : 1;
}

/** The eight 16-bit groups of an IPv6 value. */
export function groupsOf(value: bigint): readonly number[] {
  const hex = value.toString(16).padStart(32, '0');
  return [0, 4, 8, 12, 16, 20, 24, 28].map((at) => Number.parseInt(hex.slice(at, at + 4), 16));
}

function octetsOf(text: string): bigint {
  return BigInt(text.split('.').reduce((value, octet) => value * 256 + Number(octet), 0));
}

function hextetsOf(text: string): bigint {
  const dots = text.includes('.') ? text.lastIndexOf(':') + 1 : text.length;
  const tail = dots < text.length ? octetsOf(text.slice(dots)) : undefined;
  const hex =
    tail === undefined ? text : `${text.slice(0, dots)}${(tail >> 16n).toString(16)}:${(tail & 0xffffn).toString(16)}`;
  const [head = '', rest] = hex.split('::');
  const left = head === '' ? [] : head.split(':');
  const right = rest === undefined || rest === '' ? [] : rest.split(':');
  const zeros = new Array<string>(8 - left.length - right.length).fill('0');
  return BigInt(`0x${[...left, ...zeros, ...right].map((group) => group.padStart(4, '0')).join('')}`);
}

function dotted(value: bigint): string {
  const number = Number(value);
  return `${number >>> 24}.${(number >>> 16) & 255}.${(number >>> 8) & 255}.${number & 255}`;
}

function compressed(groups: readonly number[]): string {
  const run = longestZeros(groups);
  const hex = groups.map((group) => group.toString(16));
  if (run.length < 2) return hex.join(':');
  return `${hex.slice(0, run.start).join(':')}::${hex.slice(run.start + run.length).join(':')}`;
}

function longestZeros(groups: readonly number[]): { readonly start: number; readonly length: number } {
  let best = { start: 0, length: 0 };
  let start = 0;
  for (const [index, group] of groups.entries()) {
    if (group !== 0) start = index + 1;
    else if (index + 1 - start > best.length) best = { start, length: index + 1 - start };
  }
  return best;
}
