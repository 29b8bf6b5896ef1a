import { formatIp, parseIp } from '../net/ip.ts';

/**
 * The layout of the reference's host-local plugin: below `/var/lib/cni/networks/NETWORK` one file per address in use, named
 * by it, with two lines and no newline at the end; `last_reserved_ip.N` per range; `lock`.
 */
export interface Reservation {
  readonly containerId: string;
  /** Absent in files of host-local before 0.8. */
  readonly ifname?: string;
}

export const reservationText = (containerId: string, ifname: string): string => `${containerId}\r\n${ifname}`;

/** Undefined for an empty file: what a crash of host-local left, nobody's (plugins #498). */
export function parseReservation(text: string): Reservation | undefined {
  const [containerId = '', ifname = ''] = text.split(/\r?\n/).map((line) => line.trim());
  if (containerId === '') return undefined;
  return { containerId, ...(ifname === '' ? {} : { ifname }) };
}

/** The address that a file is about; undefined for `lock`, `last_reserved_ip.0` and what is not ours to know. */
export function reservedAddress(file: string): string | undefined {
  const ip = parseIp(file);
  return ip === undefined ? undefined : formatIp(ip);
}

/** Go writes IPv6 addresses as we do (RFC 5952), so the name of the file is the address. */
export const reservationFile = (address: string): string => address;

export const lastReservedFile = (range: number): string => `last_reserved_ip.${range}`;
