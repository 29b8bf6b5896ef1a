import { answerOf, messagesOf, NLM, NLMSG } from '../../core/net/netlink.ts';

/**
 * A netlink socket, in this process or in another: where the bytes of core/net go. Calls are carried out one after the
 * other, in their order.
 */
export interface Wire {
  /** Numbers for requests: `count` of them from the returned one on. 32 bits. */
  sequence(count: number): number;
  /** Sends one datagram; resolves to every datagram that answers it. Never waits for one that does not come. */
  send(bytes: Uint8Array): Promise<Answers>;
  /**
   * Sends the request of a dump and calls `on` for each datagram, which is valid only during the call. Yields to the
   * event loop. Not in the way of `send`.
   */
  dump(bytes: Uint8Array, on: (datagram: Uint8Array) => void): Promise<DumpEnd>;
  /** Idempotent. What is under way is carried out first. */
  close(): Promise<void>;
}

/** Lost: what the kernel answered, or whether it did anything, cannot be known. */
export type Answers =
  | { readonly lost: false; readonly datagrams: readonly Uint8Array[] }
  | { readonly lost: true; readonly why: string };

/** `errno` is the kernel's verdict on the request, 0 for a whole dump; interrupted: of no single moment. */
export type DumpEnd =
  | { readonly lost: false; readonly errno: number; readonly interrupted: boolean }
  | { readonly lost: true; readonly why: string };

/** Protocols of AF_NETLINK. */
export const NETLINK = { ROUTE: 0, NETFILTER: 12 } as const;
export type Protocol = (typeof NETLINK)[keyof typeof NETLINK];

export interface DumpState {
  readonly interrupted: boolean;
  /** The dump is at its end, with this result. */
  readonly errno: number | undefined;
}

/** What a datagram of the dump with this number says about the dump itself. */
export function dumpState(datagram: Uint8Array, seq: number): DumpState {
  let interrupted = false;
  let errno: number | undefined;
  for (const message of messagesOf(datagram)) {
    if (message.seq !== seq) continue;
    interrupted ||= (message.flags & NLM.DUMP_INTR) !== 0;
    if (message.type === NLMSG.DONE || message.type === NLMSG.ERROR) ({ errno } = answerOf(datagram, message));
  }
  return { interrupted, errno };
}
