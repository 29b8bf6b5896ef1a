import type { IpFamily } from '../provider.ts';
import type { ConntrackEntry, ConntrackFilter, Tuple } from './conntrack.ts';
import { CT_MSG, CTA, CTA_IP, CTA_PROTO, CTA_TUPLE } from './conntrack-encode.ts';
import { attributesOf, type Message, type Span, u16be, u32be } from './netlink.ts';
import { familyOf, ipText } from './netlink-ip.ts';

const NFGEN_BYTES = 4;

/** An entry of a dump; undefined for other messages, and for entries without addresses. */
export function decodeConntrackEntry(bytes: Uint8Array, { type, start, end }: Message): ConntrackEntry | undefined {
  const family = familyOf(bytes[start] as number);
  if (type !== CT_MSG.NEW || family === undefined) return undefined;
  const attributes = attributesOf(bytes, start + NFGEN_BYTES, end);
  const original = tupleOf(bytes, attributes.get(CTA.TUPLE_ORIG), family);
  const reply = tupleOf(bytes, attributes.get(CTA.TUPLE_REPLY), family);
  const id = attributes.get(CTA.ID);
  const zone = attributes.get(CTA.ZONE);
  if (original === undefined || reply === undefined || id === undefined) return undefined;
  return {
    family,
    protocol: original.protocol,
    original: original.ends,
    reply: reply.ends,
    id: u32be(bytes, id.start),
    zone: zone === undefined ? 0 : u16be(bytes, zone.start),
  };
}

export const isWanted = (
  { family, protocol, original }: ConntrackEntry,
  { family: wanted, protocol: number, destination, destinationPort }: ConntrackFilter,
): boolean =>
  family === wanted &&
  protocol === number &&
  (destination === undefined || destination === original.destination) &&
  (destinationPort === undefined || destinationPort === original.destinationPort);

function tupleOf(
  bytes: Uint8Array,
  span: Span | undefined,
  family: IpFamily,
): { readonly protocol: number; readonly ends: Tuple } | undefined {
  if (span === undefined) return undefined;
  const parts = attributesOf(bytes, span.start, span.end);
  const ip = parts.get(CTA_TUPLE.IP);
  const proto = parts.get(CTA_TUPLE.PROTO);
  if (ip === undefined || proto === undefined) return undefined;
  const addresses = attributesOf(bytes, ip.start, ip.end);
  const ports = attributesOf(bytes, proto.start, proto.end);
  const source = addresses.get(CTA_IP[family].source);
  const destination = addresses.get(CTA_IP[family].destination);
  const number = ports.get(CTA_PROTO.NUM);
  if (source === undefined || destination === undefined || number === undefined) return undefined;
  return {
    protocol: bytes[number.start] as number,
    ends: {
      source: ipText(bytes, source.start, family),
      destination: ipText(bytes, destination.start, family),
      sourcePort: port(bytes, ports.get(CTA_PROTO.SRC_PORT)),
      destinationPort: port(bytes, ports.get(CTA_PROTO.DST_PORT)),
    },
  };
}

const port = (bytes: Uint8Array, span: Span | undefined): number => (span === undefined ? 0 : u16be(bytes, span.start));
