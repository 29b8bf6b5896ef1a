import { failure } from '../../core/errors.ts';
import { answerOf, ERRNO, errnoName, messagesOf, NLMSG } from '../../core/net/netlink.ts';
import type {
  Ack,
  AddressRecord,
  LinkRecord,
  RouteEvent,
  RouteMessage,
  RouteRecord,
} from '../../core/net/rtnetlink.ts';
import { decodeRouteMessage } from '../../core/net/rtnetlink-decode.ts';
import { encodeRouteBatch, encodeRouteDump, type RouteDump } from '../../core/net/rtnetlink-encode.ts';
import type { ChannelKind, RouteChannel } from './channel.ts';
import type { Wire } from './wire.ts';

export interface RouteWireOptions {
  readonly kind: ChannelKind;
  readonly wire: Wire;
  /** Where datagrams of the multicast groups come from; absent: nowhere. */
  readonly source?: EventSource;
}

/** Datagrams about links, addresses and routes, as they come; `undefined` when some were lost. */
export interface EventSource {
  /** Until the returned function is called. */
  subscribe(on: (datagram: Uint8Array | undefined) => void): () => void;
}

/** A dump that changes under way is read again. */
const DUMP_TRIES = 20;

export const NET_ADMIN =
  'the kernel refuses changes of links, addresses and routes: this process, or the namespace that it runs in, has no CAP_NET_ADMIN';

/** rtnetlink over a netlink socket of NETLINK_ROUTE. */
export function createRouteWire({ kind, wire, source }: RouteWireOptions): RouteChannel {
  return {
    kind,
    async send(messages) {
      const acks: Ack[] = [];
      for (const step of stepsOf(messages)) {
        const answers = await sendStep(wire, step);
        acks.push(...answers);
        const failed = answers.some((ack) => ack.errno !== 0);
        if (failed && step[0]?.kind === 'newLink') break;
      }
      return [...acks, ...messages.slice(acks.length).map((): Ack => ({ sent: false, errno: ERRNO.ECANCELED }))];
    },
    links: () => dump(wire, 'links', (event) => (event.kind === 'link' ? event.link : undefined)),
    addresses: () => dump(wire, 'addresses', (event) => (event.kind === 'address' ? event.address : undefined)),
    routes: () => dump(wire, 'routes', (event) => (event.kind === 'route' ? event.route : undefined)),
    events: (on) => source && eventsOf(source, on),
    close: () => wire.close(),
  };
}

/** What the datagrams of a source say, in values. */
export const eventsOf = (source: EventSource, on: (event: RouteEvent) => void): (() => void) =>
  source.subscribe((datagram) => deliver(datagram, on));

/** A newLink is a step of its own, what stands between two of them is another. */
export function stepsOf(messages: readonly RouteMessage[]): readonly (readonly RouteMessage[])[] {
  const steps: RouteMessage[][] = [];
  let open: RouteMessage[] | undefined;
  for (const message of messages) {
    if (message.kind === 'newLink') {
      steps.push([message]);
      open = undefined;
    } else if (open === undefined) {
      open = [message];
      steps.push(open);
    } else open.push(message);
  }
  return steps;
}

async function sendStep(wire: Wire, messages: readonly RouteMessage[]): Promise<readonly Ack[]> {
  const firstSeq = wire.sequence(messages.length);
  const answers = await wire.send(encodeRouteBatch(messages, firstSeq));
  if (answers.lost) throw failure('FL_NETLINK_LOST', `changes of links, addresses or routes: ${answers.why}`);
  const acks = new Map<number, Ack>();
  for (const datagram of answers.datagrams) {
    for (const message of messagesOf(datagram)) {
      if (message.type !== NLMSG.ERROR) continue;
      const { seq, errno, message: text } = answerOf(datagram, message);
      if (errno === ERRNO.EPERM) throw failure('FL_NET_ADMIN', NET_ADMIN);
      acks.set((seq - firstSeq) >>> 0, { sent: true, errno, ...(text !== undefined && { message: text }) });
    }
  }
  return messages.map((_, index) => {
    const ack = acks.get(index);
    if (ack === undefined) throw failure('FL_NETLINK_LOST', 'a change of links, addresses or routes was not answered');
    return ack;
  });
}

type Known = Exclude<RouteEvent, { kind: 'lost' }>;

async function dump<Item extends LinkRecord | AddressRecord | RouteRecord>(
  wire: Wire,
  what: RouteDump,
  pick: (event: Known) => Item | undefined,
): Promise<readonly Item[]> {
  for (let attempt = 0; attempt < DUMP_TRIES; attempt += 1) {
    const items: Item[] = [];
    const end = await wire.dump(encodeRouteDump(what, wire.sequence(1)), (datagram) => {
      for (const message of messagesOf(datagram)) {
        const event = decodeRouteMessage(datagram, message);
        const item = event && pick(event);
        if (item !== undefined) items.push(item);
      }
    });
    if (end.lost) continue;
    if (end.errno !== 0) throw failure('FL_NETLINK_LOST', `${what} cannot be read: ${errnoName(end.errno)}`);
    if (!end.interrupted) return items;
  }
  throw failure('FL_NETLINK_LOST', `${what} changed during each of ${DUMP_TRIES} readings`);
}

function deliver(datagram: Uint8Array | undefined, on: (event: RouteEvent) => void): void {
  if (datagram === undefined) {
    on({ kind: 'lost' });
    return;
  }
  for (const message of messagesOf(datagram)) {
    const event = decodeRouteMessage(datagram, message);
    if (event !== undefined) on(event);
  }
}
