/** Addresses, protocols, ports and numbers as the bytes that nf_tables compares (net/element.ts), and back. */
import type { Registers, TableFamily } from '../net/element.ts';
import { formatIp, type Ip, parseIp } from '../net/ip.ts';

/** Transport protocols that a Service can have, in nft's spelling. */
export type Protocol = 'tcp' | 'udp' | 'sctp';

/** IP protocol numbers (IANA). */
const NUMBERS = { tcp: 6, udp: 17, sctp: 132 } as const satisfies Record<Protocol, number>;
const PROTOCOLS: Readonly<Record<number, Protocol>> = { 6: 'tcp', 17: 'udp', 132: 'sctp' };

/** Bytes of an address, protocol, port or classid: each a multiple of 4. */
export const ADDRESS_BYTES = { ip: 4, ip6: 16 } as const satisfies Record<TableFamily, number>;
export const FIELD_BYTES = 4;

const PADDED: Readonly<Record<Protocol, Registers>> = {
  tcp: `${String.fromCharCode(NUMBERS.tcp)}\0\0\0`,
  udp: `${String.fromCharCode(NUMBERS.udp)}\0\0\0`,
  sctp: `${String.fromCharCode(NUMBERS.sctp)}\0\0\0`,
};

/** An address of either family: 4 or 16 bytes. */
export function addressRegisters({ family, value }: Ip): Registers {
  if (family === 'ipv4') {
    const number = Number(value);
    return String.fromCharCode(number >>> 24, (number >>> 16) & 255, (number >>> 8) & 255, number & 255);
  }
  let text = '';
  for (let shift = 120n; shift >= 0n; shift -= 8n) text += String.fromCharCode(Number((value >> shift) & 255n));
  return text;
}

/**
 * The address that the text means, in canonical form: white space around it, and leading zeros of decimal octets, are not
 * refused (kube-proxy's ParseIPSloppy); an IPv4-mapped IPv6 address is the IPv4 one. `undefined` when it is none.
 */
export function sloppyIp(text: string): Ip | undefined {
  const ip = parseIp(text) ?? parseIp(plain(text));
  if (ip === undefined || ip.family === 'ipv4' || ip.value >> 32n !== 0xffffn) return ip;
  return { family: 'ipv4', value: ip.value & 0xffffffffn };
}

/** Bytes of a dotted IPv4 address, or of any other form that `sloppyIp` reads: the one path that 200,000 endpoints take. */
export function parseAddress(text: string): Registers | undefined {
  const fast = dotted(text);
  if (fast !== undefined) return fast;
  const ip = sloppyIp(text);
  return ip === undefined ? undefined : addressRegisters(ip);
}

export const familyOf = (address: Registers): TableFamily => (address.length === ADDRESS_BYTES.ip ? 'ip' : 'ip6');

export const protocolRegisters = (protocol: Protocol): Registers => PADDED[protocol];

/** A port, or any 16-bit number in network order. */
export const portRegisters = (port: number): Registers => String.fromCharCode(port >> 8, port & 255, 0, 0);

/** `major:minor` as one number, `major * 65536 + minor`. Host order, which is little endian wherever Node runs. */
export const classidRegisters = (classid: number): Registers =>
  String.fromCharCode(classid & 255, (classid >>> 8) & 255, (classid >>> 16) & 255, classid >>> 24);

export function ipAt(bytes: Registers, at: number, family: TableFamily): Ip {
  if (family === 'ip') {
    const high = ((bytes.charCodeAt(at) << 8) | bytes.charCodeAt(at + 1)) * 65536;
    return { family: 'ipv4', value: BigInt(high + ((bytes.charCodeAt(at + 2) << 8) | bytes.charCodeAt(at + 3))) };
  }
  let value = 0n;
  for (let index = at; index < at + ADDRESS_BYTES.ip6; index += 1)
    value = (value << 8n) | BigInt(bytes.charCodeAt(index));
  return { family: 'ipv6', value };
}

/** RFC 5952 text of the address that starts at a byte. */
export const addressAt = (bytes: Registers, at: number, family: TableFamily): string =>
  formatIp(ipAt(bytes, at, family));

/** `undefined` for a number that is none of the three. */
export const protocolAt = (bytes: Registers, at: number): Protocol | undefined => PROTOCOLS[bytes.charCodeAt(at)];

export const portAt = (bytes: Registers, at: number): number => (bytes.charCodeAt(at) << 8) | bytes.charCodeAt(at + 1);

export const classidAt = (bytes: Registers, at: number): number =>
  bytes.charCodeAt(at) +
  bytes.charCodeAt(at + 1) * 256 +
  bytes.charCodeAt(at + 2) * 65536 +
  bytes.charCodeAt(at + 3) * 16777216;

/** Four plain octets without a leading zero, white space or anything else; the rest is for the slow parser. */
function dotted(text: string): Registers | undefined {
  let octets = 0;
  let value = -1;
  let first = 0;
  let second = 0;
  let third = 0;
  for (let at = 0; at < text.length; at += 1) {
    const code = text.charCodeAt(at);
    if (code === 46) {
      if (value < 0) return undefined;
      if (octets === 0) first = value;
      else if (octets === 1) second = value;
      else if (octets === 2) third = value;
      else return undefined;
      octets += 1;
      value = -1;
    } else {
      if (code < 48 || code > 57 || value === 0) return undefined;
      value = value < 0 ? code - 48 : value * 10 + code - 48;
      if (value > 255) return undefined;
    }
  }
  return octets === 3 && value >= 0 ? String.fromCharCode(first, second, third, value) : undefined;
}

/** Without white space around, and dotted decimal octets without their leading zeros. */
function plain(text: string): string {
  const trimmed = text.trim();
  return /^\d+(\.\d+){3}$/.test(trimmed) ? trimmed.split('.').map(Number).join('.') : trimmed;
}
