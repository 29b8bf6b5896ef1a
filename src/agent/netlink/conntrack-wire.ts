import { failure } from '../../core/errors.ts';
import type { ConntrackEntry } from '../../core/net/conntrack.ts';
import { decodeConntrackEntry, isWanted } from '../../core/net/conntrack-decode.ts';
import { encodeConntrackDelete, encodeConntrackDump } from '../../core/net/conntrack-encode.ts';
import { answerOf, ERRNO, errnoName, messagesOf, NLMSG } from '../../core/net/netlink.ts';
import type { ChannelKind, ConntrackChannel } from './channel.ts';
import { NET_ADMIN } from './nft-wire.ts';
import type { Wire } from './wire.ts';

/** Messages in one datagram; each is answered, and the answers must fit into the buffer. */
const DELETES_AT_ONCE = 1_000;
const DUMP_TRIES = 20;

/** ctnetlink over a netlink socket of NETLINK_NETFILTER. */
export function createConntrackWire({
  kind,
  wire,
}: {
  readonly kind: ChannelKind;
  readonly wire: Wire;
}): ConntrackChannel {
  return {
    kind,
    async dump(filter) {
      for (let attempt = 0; attempt < DUMP_TRIES; attempt += 1) {
        const entries: ConntrackEntry[] = [];
        const end = await wire.dump(encodeConntrackDump(filter, wire.sequence(1)), (datagram) => {
          for (const message of messagesOf(datagram)) {
            const entry = decodeConntrackEntry(datagram, message);
            if (entry !== undefined && isWanted(entry, filter)) entries.push(entry);
          }
        });
        if (end.lost) continue;
        if (end.errno === ERRNO.EPERM) throw failure('FL_NET_ADMIN', NET_ADMIN);
        if (end.errno !== 0) throw failure('FL_NETLINK_LOST', `connections cannot be read: ${errnoName(end.errno)}`);
        return entries;
      }
      throw failure('FL_NETLINK_LOST', `connections cannot be read, in ${DUMP_TRIES} attempts`);
    },
    async delete(entries) {
      let deleted = 0;
      for (let first = 0; first < entries.length; first += DELETES_AT_ONCE) {
        deleted += await deleteSome(wire, entries.slice(first, first + DELETES_AT_ONCE));
      }
      return deleted;
    },
    close: () => wire.close(),
  };
}

async function deleteSome(wire: Wire, entries: readonly ConntrackEntry[]): Promise<number> {
  const answers = await wire.send(encodeConntrackDelete(entries, wire.sequence(entries.length)));
  if (answers.lost) throw failure('FL_NETLINK_LOST', `connections cannot be deleted: ${answers.why}`);
  let deleted = 0;
  for (const datagram of answers.datagrams) {
    for (const message of messagesOf(datagram)) {
      if (message.type !== NLMSG.ERROR) continue;
      const { errno } = answerOf(datagram, message);
      if (errno === ERRNO.EPERM) throw failure('FL_NET_ADMIN', NET_ADMIN);
      if (errno !== 0 && errno !== ERRNO.ENOENT) {
        throw failure('FL_NETLINK_LOST', `a connection cannot be deleted: ${errnoName(errno)}`);
      }
      if (errno === 0) deleted += 1;
    }
  }
  return deleted;
}
