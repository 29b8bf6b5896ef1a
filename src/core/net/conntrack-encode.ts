import type { IpFamily } from '../provider.ts';
import type { ConntrackEntry, ConntrackFilter, Tuple } from './conntrack.ts';
import { NLM, Writer } from './netlink.ts';
import { AF, ipBytes } from './netlink-ip.ts';

/** Subsystem 1. */
export const CT_MSG = { NEW: 0x0100, GET: 0x0101, DELETE: 0x0102 } as const;

export const CTA = { TUPLE_ORIG: 1, TUPLE_REPLY: 2, ID: 12, ZONE: 18, FILTER: 25 } as const;
export const CTA_TUPLE = { IP: 1, PROTO: 2 } as const;
export const CTA_IP = {
  ipv4: { source: 1, destination: 2 },
  ipv6: { source: 3, destination: 4 },
} as const satisfies Record<IpFamily, unknown>;
export const CTA_PROTO = { NUM: 1, SRC_PORT: 2, DST_PORT: 3 } as const;
const CTA_FILTER = { ORIG_FLAGS: 1, REPLY_FLAGS: 2 } as const;
/** Which fields of the tuple count (nf_internals.h). */
const FILTER = { IP_DST: 1 << 1, PROTO_NUM: 1 << 3, PROTO_DST_PORT: 1 << 5 } as const;

/**
 * All entries that fit. Kernels before 5.8 do not know the filter and give more of the family: who reads the dump filters
 * again (`isWanted`).
 */
export function encodeConntrackDump(filter: ConntrackFilter, seq: number): Uint8Array {
  const { family, protocol, destinationPort } = filter;
  // The kernel's comparison of IPv6 addresses is the wrong way round (ctnetlink_filter_match_tuple): it leaves out those
  // that fit. So for IPv6 it is asked by protocol and port only.
  const destination = family === 'ipv6' ? undefined : filter.destination;
  const writer = new Writer();
  writer.begin(CT_MSG.GET, NLM.REQUEST | NLM.DUMP, seq);
  writer.u32(AF[family]);
  const flags =
    FILTER.PROTO_NUM |
    (destination === undefined ? 0 : FILTER.IP_DST) |
    (destinationPort === undefined ? 0 : FILTER.PROTO_DST_PORT);
  writer.nest(CTA.TUPLE_ORIG, () => {
    if (destination !== undefined) {
      writer.nest(CTA_TUPLE.IP, () => writer.attribute(CTA_IP[family].destination, ipBytes(destination).bytes));
    }
    writer.nest(CTA_TUPLE.PROTO, () => {
      writer.attribute8(CTA_PROTO.NUM, protocol);
      if (destinationPort !== undefined) writer.attribute16be(CTA_PROTO.DST_PORT, destinationPort);
    });
  });
  writer.nest(CTA.FILTER, () => {
    writer.attribute32(CTA_FILTER.ORIG_FLAGS, flags);
    writer.attribute32(CTA_FILTER.REPLY_FLAGS, 0);
  });
  writer.end();
  return writer.bytes();
}

/**
 * Deletes each entry, if it is still the one with that id; message i has the number `firstSeq + i`, and its answer is
 * ENOENT when the entry is gone.
 */
export function encodeConntrackDelete(entries: readonly ConntrackEntry[], firstSeq: number): Uint8Array {
  const writer = new Writer();
  for (const [index, { family, protocol, original, id, zone }] of entries.entries()) {
    writer.begin(CT_MSG.DELETE, NLM.REQUEST | NLM.ACK, (firstSeq + index) >>> 0);
    writer.u32(AF[family]);
    writer.nest(CTA.TUPLE_ORIG, () => tuple(writer, family, protocol, original));
    writer.attribute32be(CTA.ID, id);
    if (zone !== 0) writer.attribute16be(CTA.ZONE, zone);
    writer.end();
  }
  return writer.bytes();
}

function tuple(writer: Writer, family: IpFamily, protocol: number, ends: Tuple): void {
  writer.nest(CTA_TUPLE.IP, () => {
    writer.attribute(CTA_IP[family].source, ipBytes(ends.source).bytes);
    writer.attribute(CTA_IP[family].destination, ipBytes(ends.destination).bytes);
  });
  writer.nest(CTA_TUPLE.PROTO, () => {
    writer.attribute8(CTA_PROTO.NUM, protocol);
    writer.attribute16be(CTA_PROTO.SRC_PORT, ends.sourcePort);
    writer.attribute16be(CTA_PROTO.DST_PORT, ends.destinationPort);
  });
}
