import type { IpFamily } from '../provider.ts';
import { formatIp, parseIp } from './ip.ts';
import { u32be } from './netlink.ts';

/** AF_INET and AF_INET6; NFPROTO_IPV4 and NFPROTO_IPV6 are the same numbers. */
export const AF = { ipv4: 2, ipv6: 10 } as const satisfies Record<IpFamily, number>;

/** The family of a number of the kernel; undefined for MPLS, bridges and what else there is. */
export function familyOf(af: number): IpFamily | undefined {
  if (af === AF.ipv4) return 'ipv4';
  return af === AF.ipv6 ? 'ipv6' : undefined;
}

/** Four or sixteen bytes in network order. Throws a TypeError for what is no address: planners check before. */
export function ipBytes(text: string): { readonly family: IpFamily; readonly bytes: Uint8Array } {
  const ip = parseIp(text);
  if (ip === undefined) throw new TypeError(`${JSON.stringify(text)} is no IP address`);
  const bytes = new Uint8Array(ip.family === 'ipv4' ? 4 : 16);
  let value = ip.value;
  for (let at = bytes.length - 1; at >= 0; at -= 1) {
    bytes[at] = Number(value & 0xffn);
    value >>= 8n;
  }
  return { family: ip.family, bytes };
}

/** RFC 5952 text of the address that starts at `at`. */
export function ipText(bytes: Uint8Array, at: number, family: IpFamily): string {
  if (family === 'ipv4') return `${bytes[at]}.${bytes[at + 1]}.${bytes[at + 2]}.${bytes[at + 3]}`;
  let value = 0n;
  for (let group = 0; group < 16; group += 4) value = (value << 32n) | BigInt(u32be(bytes, at + group));
  return formatIp({ family, value });
}

/** '0a:58:0a:40:01:02' */
export function macText(bytes: Uint8Array, start: number, end: number): string {
  return Array.from(bytes.subarray(start, end), (byte) => byte.toString(16).padStart(2, '0')).join(':');
}

/** Throws a TypeError for what is not six bytes in hex with colons. */
export function macBytes(text: string): Uint8Array {
  if (!/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i.test(text)) throw new TypeError(`${JSON.stringify(text)} is no MAC address`);
  return Uint8Array.from(text.split(':'), (byte) => Number.parseInt(byte, 16));
}
