import { setImmediate } from 'node:timers/promises';
import { failure } from '../../core/errors.ts';
import { ERRNO, errnoName, messagesOf } from '../../core/net/netlink.ts';
import type { Libc } from './libc.ts';
import { type Answers, type DumpEnd, dumpState, type Protocol, type Wire } from './wire.ts';

export interface SocketOptions {
  readonly libc: Libc;
  readonly protocol: Protocol;
  /** Path of a network namespace; this process's when absent. */
  readonly netns?: string;
  /**
   * Larger datagrams are sent by another thread, so that the event loop goes on. 0: all, for requests that the kernel
   * takes long for (it tears down a veth in 24 ms).
   */
  readonly asideBytes: number;
}

const SOL_SOCKET = 1;
const SO_SNDBUFFORCE = 32;
const SO_RCVBUFFORCE = 33;
const SOL_NETLINK = 270;
const NETLINK_CAP_ACK = 10;
const NETLINK_EXT_ACK = 11;
/** A limit, not an allocation: what 25,000 replaced IPv6 elements need, with room. The kernel doubles it. */
const BUFFER_BYTES = 16 * 2 ** 20;
/** The kernel makes the datagrams of a dump as large as the buffer, up to 32 KB. */
const RECEIVE_BYTES = 64 * 1024;
/** Between two turns of the event loop during a dump. */
const SLICE_MS = 5;

/** Throws FL_NET_ADMIN, FL_NETLINK_UNAVAILABLE, FL_NETNS. */
export function openSocketWire(options: SocketOptions): Wire {
  return new SocketWire(options);
}

class SocketWire implements Wire {
  readonly #options: SocketOptions;
  readonly #fd: number;
  readonly #buffer = new Uint8Array(RECEIVE_BYTES);
  /** Opened with the first dump: a socket has one dump at a time, and its answers would mix. */
  #dumpFd: number | undefined;
  #seq = 1;
  /** The last of the calls that wait for one another; undefined when none is under way, so that a send runs at once. */
  #sends: Promise<unknown> | undefined;
  #dumps: Promise<unknown> | undefined;
  #closed = false;

  constructor(options: SocketOptions) {
    this.#options = options;
    this.#fd = openOne(options);
  }

  sequence(count: number): number {
    const first = this.#seq;
    this.#seq = (first + count) >>> 0;
    return first;
  }

  async send(bytes: Uint8Array): Promise<Answers> {
    while (this.#sends !== undefined) await this.#sends;
    this.#requireOpen();
    if (bytes.length <= this.#options.asideBytes) return this.#received(this.#options.libc.send(this.#fd, bytes));
    const sent = this.#sendAside(bytes).finally(() => {
      this.#sends = undefined;
    });
    this.#sends = sent.catch(() => {}); // told to the one who sent it
    return await sent;
  }

  async dump(bytes: Uint8Array, on: (datagram: Uint8Array) => void): Promise<DumpEnd> {
    while (this.#dumps !== undefined) await this.#dumps;
    this.#requireOpen();
    const dumped = this.#dump(bytes, on).finally(() => {
      this.#dumps = undefined;
    });
    this.#dumps = dumped.catch(() => {});
    return await dumped;
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    while (this.#sends !== undefined) await this.#sends;
    while (this.#dumps !== undefined) await this.#dumps;
    const { libc } = this.#options;
    libc.close(this.#fd);
    if (this.#dumpFd !== undefined) libc.close(this.#dumpFd);
  }

  async #sendAside(bytes: Uint8Array): Promise<Answers> {
    const { libc } = this.#options;
    const sent = await libc.sendAside(this.#fd, bytes);
    if (sent < 0) return { lost: true, why: 'send failed' }; // its errno stayed in the other thread
    return this.#received(sent);
  }

  #received(sent: number): Answers {
    const { libc } = this.#options;
    if (sent < 0) return { lost: true, why: `send: ${errnoName(libc.errno())}` };
    const datagrams: Uint8Array[] = [];
    let why = '';
    for (;;) {
      const length = libc.receive(this.#fd, this.#buffer);
      if (length < 0) {
        const errno = libc.errno();
        if (errno === ERRNO.EAGAIN) break;
        if (errno !== ERRNO.EINTR) why = `receive: ${errnoName(errno)}`;
        // ENOBUFS is told once; the queue is read dry all the same, for the next request must not meet these answers.
        if (errno !== ERRNO.EINTR && errno !== ERRNO.ENOBUFS) break;
      } else if (length > this.#buffer.length) why = `an answer of ${length} bytes`;
      else datagrams.push(this.#buffer.slice(0, length));
    }
    return why === '' ? { lost: false, datagrams } : { lost: true, why };
  }

  async #dump(request: Uint8Array, on: (datagram: Uint8Array) => void): Promise<DumpEnd> {
    const { libc } = this.#options;
    this.#dumpFd ??= openOne(this.#options);
    const fd = this.#dumpFd;
    const seq = seqOf(request);
    const buffer = new Uint8Array(RECEIVE_BYTES);
    let interrupted = false;
    let startMs = performance.now();
    if (libc.send(fd, request) < 0) return this.#lostDump(`send: ${errnoName(libc.errno())}`);
    for (;;) {
      const length = libc.receive(fd, buffer);
      if (length < 0 && libc.errno() === ERRNO.EINTR) continue;
      if (length < 0) return this.#lostDump(`receive: ${errnoName(libc.errno())}`);
      if (length > buffer.length) return this.#lostDump(`an answer of ${length} bytes`);
      const datagram = buffer.subarray(0, length);
      const end = dumpState(datagram, seq);
      interrupted ||= end.interrupted;
      on(datagram);
      if (end.errno !== undefined) return { lost: false, errno: end.errno, interrupted };
      if (performance.now() - startMs < SLICE_MS) continue;
      await setImmediate();
      startMs = performance.now();
    }
  }

  /** What is left of the dump dies with its socket. */
  #lostDump(why: string): DumpEnd {
    if (this.#dumpFd !== undefined) this.#options.libc.close(this.#dumpFd);
    this.#dumpFd = undefined;
    return { lost: true, why };
  }

  #requireOpen(): void {
    if (this.#closed) throw new Error('the netlink socket is closed');
  }
}

/** Of the first message. */
function seqOf(request: Uint8Array): number {
  return messagesOf(request)[0]?.seq ?? 0;
}

function openOne({ libc, protocol, netns }: SocketOptions): number {
  const fd = libc.socket(protocol, netns);
  if (fd < 0) {
    throw failure('FL_NETLINK_UNAVAILABLE', `no netlink socket of protocol ${protocol}: ${errnoName(libc.errno())}`);
  }
  for (const option of [SO_SNDBUFFORCE, SO_RCVBUFFORCE]) {
    if (libc.setOption(fd, SOL_SOCKET, option, BUFFER_BYTES) >= 0) continue;
    const errno = libc.errno();
    libc.close(fd);
    throw errno === ERRNO.EPERM
      ? failure('FL_NET_ADMIN', 'the buffers of a netlink socket cannot be set without the capability CAP_NET_ADMIN')
      : failure('FL_NETLINK_UNAVAILABLE', `buffers of a netlink socket: ${errnoName(errno)}`);
  }
  // Kernels without them answer all the same, with less: errors are traced in another way then.
  for (const option of [NETLINK_CAP_ACK, NETLINK_EXT_ACK]) libc.setOption(fd, SOL_NETLINK, option, 1);
  return fd;
}
