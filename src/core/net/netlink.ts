/**
 * Netlink messages as bytes, the part that all families share. Host byte order is little endian: x64 and arm64, the
 * machines that images are built for (native/main.c refuses to compile for others).
 */

/** nlmsghdr.flags. */
export const NLM = {
  REQUEST: 0x1,
  ACK: 0x4,
  /** The dump is not of one moment: ask again. */
  DUMP_INTR: 0x10,
  /** ROOT | MATCH */
  DUMP: 0x300,
  REPLACE: 0x100,
  EXCL: 0x200,
  CREATE: 0x400,
  /** In an error: the request is not repeated (NETLINK_CAP_ACK). */
  CAPPED: 0x100,
  /** In an error: attributes follow (NETLINK_EXT_ACK). */
  ACK_TLVS: 0x200,
} as const;

/** nlmsghdr.type below the families' own. */
export const NLMSG = { NOOP: 1, ERROR: 2, DONE: 3, OVERRUN: 4 } as const;

export const HEADER_BYTES = 16;
/** The high bit says that attributes are inside, the next one network byte order. */
export const NLA_F_NESTED = 0x8000;
const NLA_TYPE_MASK = 0x3fff;

/** The errors that somebody decides by. */
export const ERRNO = {
  EPERM: 1,
  ENOENT: 2,
  EINTR: 4,
  ENXIO: 6,
  EAGAIN: 11,
  ENOMEM: 12,
  EBUSY: 16,
  EEXIST: 17,
  ENODEV: 19,
  EINVAL: 22,
  ENFILE: 23,
  EOPNOTSUPP: 95,
  EADDRNOTAVAIL: 99,
  ENETUNREACH: 101,
  ENOBUFS: 105,
  EHOSTUNREACH: 113,
  ESRCH: 3,
  ECANCELED: 125,
} as const;

/** 'EEXIST' for 17; 'errno 200' for what has no name here. */
export function errnoName(errno: number): string {
  const named = Object.entries(ERRNO).find(([, number]) => number === errno);
  return named === undefined ? `errno ${errno}` : named[0];
}

export const align4 = (length: number): number => (length + 3) & ~3;

/** Bytes of messages in the order of the calls; grows as needed. */
export class Writer {
  #bytes = new Uint8Array(512);
  #length = 0;
  #message = 0; // where the open message starts

  get length(): number {
    return this.#length;
  }

  /** Opens a message. Its length is set by `end`. */
  begin(type: number, flags: number, seq: number): void {
    this.#message = this.#length;
    this.u32(0);
    this.u16(type);
    this.u16(flags);
    this.u32(seq);
    this.u32(0);
  }

  end(): void {
    this.#set32(this.#message, this.#length - this.#message);
    this.#pad();
  }

  u8(value: number): void {
    this.#room(1)[this.#length++] = value;
  }

  u16(value: number): void {
    const bytes = this.#room(2);
    bytes[this.#length++] = value;
    bytes[this.#length++] = value >>> 8;
  }

  u32(value: number): void {
    this.#room(4);
    this.#set32(this.#length, value);
    this.#length += 4;
  }

  raw(bytes: Uint8Array): void {
    this.#room(bytes.length).set(bytes, this.#length);
    this.#length += bytes.length;
  }

  attribute(type: number, payload: Uint8Array): void {
    this.u16(payload.length + 4);
    this.u16(type);
    this.raw(payload);
    this.#pad();
  }

  attribute8(type: number, value: number): void {
    this.attribute(type, Uint8Array.of(value));
  }

  attribute16be(type: number, value: number): void {
    this.attribute(type, Uint8Array.of(value >>> 8, value));
  }

  attribute32(type: number, value: number): void {
    this.u16(8);
    this.u16(type);
    this.u32(value);
  }

  attribute32be(type: number, value: number): void {
    this.attribute(type, Uint8Array.of(value >>> 24, value >>> 16, value >>> 8, value));
  }

  /** UTF-8, with the NUL that the kernel wants. */
  attributeText(type: number, text: string): void {
    this.attribute(type, new TextEncoder().encode(`${text}\0`));
  }

  /** An attribute whose content is what `inside` writes. */
  nest(type: number, inside: () => void): void {
    this.#nest(type | NLA_F_NESTED, inside);
  }

  /** The same without the flag, where the kernel compares the type with it (veth's peer is a struct and attributes). */
  wrap(type: number, inside: () => void): void {
    this.#nest(type, inside);
  }

  bytes(): Uint8Array {
    return this.#bytes.slice(0, this.#length);
  }

  #nest(type: number, inside: () => void): void {
    const start = this.#length;
    this.u16(0);
    this.u16(type);
    inside();
    const length = this.#length - start;
    this.#bytes[start] = length;
    this.#bytes[start + 1] = length >>> 8;
    this.#pad();
  }

  #set32(at: number, value: number): void {
    const bytes = this.#bytes;
    bytes[at] = value;
    bytes[at + 1] = value >>> 8;
    bytes[at + 2] = value >>> 16;
    bytes[at + 3] = value >>> 24;
  }

  #pad(): void {
    const end = align4(this.#length);
    this.#room(end - this.#length);
    this.#length = end; // never written before: zero
  }

  #room(more: number): Uint8Array {
    const needed = this.#length + more;
    if (needed > this.#bytes.length) {
      const grown = new Uint8Array(Math.max(needed, this.#bytes.length * 2));
      grown.set(this.#bytes);
      this.#bytes = grown;
    }
    return this.#bytes;
  }
}

/** Little endian. */
export const u16 = (bytes: Uint8Array, at: number): number => (bytes[at] as number) | ((bytes[at + 1] as number) << 8);
export const u32 = (bytes: Uint8Array, at: number): number =>
  ((bytes[at] as number) |
    ((bytes[at + 1] as number) << 8) |
    ((bytes[at + 2] as number) << 16) |
    ((bytes[at + 3] as number) << 24)) >>>
  0;
/** Network order. */
export const u16be = (bytes: Uint8Array, at: number): number =>
  ((bytes[at] as number) << 8) | (bytes[at + 1] as number);
export const u32be = (bytes: Uint8Array, at: number): number =>
  (((bytes[at] as number) << 24) |
    ((bytes[at + 1] as number) << 16) |
    ((bytes[at + 2] as number) << 8) |
    (bytes[at + 3] as number)) >>>
  0;

/** A message inside a datagram; `start` and `end` bound what follows its header. */
export interface Message {
  readonly type: number;
  readonly flags: number;
  readonly seq: number;
  readonly start: number;
  readonly end: number;
}

/** Throws a RangeError when a length does not fit: what follows cannot be found. */
export function messagesOf(datagram: Uint8Array): readonly Message[] {
  const messages: Message[] = [];
  for (let at = 0; at < datagram.length; ) {
    const length = datagram.length - at < HEADER_BYTES ? 0 : u32(datagram, at);
    if (length < HEADER_BYTES || at + length > datagram.length) {
      throw new RangeError(`netlink: a message of ${length} bytes at ${at} of ${datagram.length}`);
    }
    messages.push({
      type: u16(datagram, at + 4),
      flags: u16(datagram, at + 6),
      seq: u32(datagram, at + 8),
      start: at + HEADER_BYTES,
      end: at + length,
    });
    at += align4(length);
  }
  return messages;
}

/** Where an attribute's payload is. */
export interface Span {
  readonly start: number;
  readonly end: number;
}

/** Calls `on` for each attribute; stops without a word at one whose length does not fit, as the kernel does. */
export function eachAttribute(
  bytes: Uint8Array,
  start: number,
  end: number,
  on: (type: number, start: number, end: number) => void,
): void {
  for (let at = start; at + 4 <= end; ) {
    const length = u16(bytes, at);
    if (length < 4 || at + length > end) return;
    on(u16(bytes, at + 2) & NLA_TYPE_MASK, at + 4, at + length);
    at += align4(length);
  }
}

/** type -> payload; of several of one type the last. */
export function attributesOf(bytes: Uint8Array, start: number, end: number): ReadonlyMap<number, Span> {
  const found = new Map<number, Span>();
  eachAttribute(bytes, start, end, (type, from, to) => found.set(type, { start: from, end: to }));
  return found;
}

/** UTF-8 up to the first NUL. */
export function textOf(bytes: Uint8Array, { start, end }: Span): string {
  const nul = bytes.indexOf(0, start);
  return new TextDecoder().decode(bytes.subarray(start, nul < 0 || nul > end ? end : nul));
}

/** What an NLMSG_ERROR, or an NLMSG_DONE with an error, says. */
export interface Answer {
  /** Of the message that it answers. */
  readonly seq: number;
  /** 0: done. Positive: an error. */
  readonly errno: number;
  readonly message?: string;
  /** Of the guilty attribute, counted from the header of the message that it answers. */
  readonly offset?: number;
}

const NLMSGERR_ATTR = { MSG: 1, OFFS: 2 } as const;

export function answerOf(datagram: Uint8Array, { type, flags, seq, start, end }: Message): Answer {
  const errno = end - start < 4 ? 0 : 0 - (u32(datagram, start) | 0); // no negative zero
  if ((flags & NLM.ACK_TLVS) === 0) return { seq, errno };
  const capped = (flags & NLM.CAPPED) !== 0 || errno === 0;
  const header = type === NLMSG.DONE ? 0 : capped ? HEADER_BYTES : align4(u32(datagram, start + 4));
  const attributes = attributesOf(datagram, start + 4 + header, end);
  const message = attributes.get(NLMSGERR_ATTR.MSG);
  const offset = attributes.get(NLMSGERR_ATTR.OFFS);
  return {
    seq,
    errno,
    ...(message !== undefined && { message: textOf(datagram, message) }),
    ...(offset !== undefined && { offset: u32(datagram, offset.start) }),
  };
}
