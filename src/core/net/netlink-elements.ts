import type { Element, ElementChange, Registers, TableFamily } from './element.ts';
import {
  align4,
  attributesOf,
  eachAttribute,
  HEADER_BYTES,
  type Message,
  NLA_F_NESTED,
  NLM,
  type Span,
  u16,
  u32be,
  Writer,
} from './netlink.ts';
import { NFNL_BATCH, NFPROTO, NFT_MSG, TABLE } from './netlink-nft.ts';

/** A transaction of nf_tables elements, ready to be sent as one datagram. */
export interface ElementBatch {
  readonly bytes: Uint8Array;
  /** Sequence number of BEGIN; message i has `firstSeq + 1 + i`, END the one after the last. 32 bits, 0 is skipped by nobody. */
  readonly firstSeq: number;
  /** The element messages in their order. The last one asks for an acknowledgement. */
  readonly messages: readonly BatchMessage[];
}

export interface BatchMessage {
  /** Of its header in the bytes. */
  readonly offset: number;
  /** Indexes of the changes in it: from `first` on, without gaps, below `end`. */
  readonly first: number;
  readonly end: number;
}

/** An element as a dump shows it; the times of sets with timeouts are left in milliseconds. */
export interface KernelElement extends Element {
  readonly timeoutMs?: number;
  readonly expiresMs?: number;
}

export interface BatchOptions {
  /** Each change in a message of its own, so that an error without an offset still names the change. */
  readonly single?: boolean;
}

const ATTR = { TABLE: 1, SET: 2, ELEMENTS: 3 } as const;
const ELEM = { KEY: 1, DATA: 2, FLAGS: 3, TIMEOUT: 4, EXPIRATION: 5, KEY_END: 10 } as const;
const LIST_ELEM = 1;
const VALUE = 1;
/** NFT_SET_ELEM_*; an element without a key is the catch-all, which only others make. */
const FLAG = { INTERVAL_END: 1, CATCHALL: 2 } as const;

const NFGEN_BYTES = 4;
const BATCH_MESSAGE_BYTES = HEADER_BYTES + NFGEN_BYTES;
const TABLE_ATTRIBUTE_BYTES = 4 + align4(TABLE.length + 1);
/** A list's length has 16 bits; the rest is room for the element that crosses the line. */
const LIST_BYTES = 60_000;

/**
 * Messages in the order of the changes, as many changes in each as go into one list (one operation, one set). Data is
 * left out of deletions: the kernel finds an element by its key.
 */
export function encodeElementBatch(
  family: TableFamily,
  changes: readonly ElementChange[],
  firstSeq: number,
  { single = false }: BatchOptions = {},
): ElementBatch {
  const messages = split(changes, single);
  const bytes = new Uint8Array(sizeOf(messages, changes));
  let at = header(bytes, 0, BATCH_MESSAGE_BYTES, NFNL_BATCH.BEGIN, NLM.REQUEST, firstSeq);
  at = generic(bytes, at, 0, NFNL_BATCH.RES_ID);
  const placed: BatchMessage[] = [];
  for (const [index, { first, end, bytes: size }] of messages.entries()) {
    const { op, element } = changes[first] as ElementChange;
    const offset = at;
    const ack = index === messages.length - 1 ? NLM.ACK : 0;
    const adds = op === 'add';
    const type = adds ? NFT_MSG.NEWSETELEM : NFT_MSG.DELSETELEM;
    const flags = (adds ? NLM.REQUEST | NLM.CREATE : NLM.REQUEST) | ack;
    at = header(bytes, at, size, type, flags, (firstSeq + 1 + index) >>> 0);
    at = generic(bytes, at, NFPROTO[family], 0);
    at = text(bytes, at, ATTR.TABLE, TABLE);
    at = text(bytes, at, ATTR.SET, element.set);
    const list = at;
    at += 4;
    for (let change = first; change < end; change += 1) {
      at = put(bytes, at, (changes[change] as ElementChange).element, adds);
    }
    attribute(bytes, list, at - list, ATTR.ELEMENTS | NLA_F_NESTED);
    placed.push({ offset, first, end });
  }
  at = header(bytes, at, BATCH_MESSAGE_BYTES, NFNL_BATCH.END, NLM.REQUEST, (firstSeq + 1 + messages.length) >>> 0);
  generic(bytes, at, 0, NFNL_BATCH.RES_ID);
  return { bytes, firstSeq, messages: placed };
}

/** Which change an error is about: `offset` as the kernel reports it for the message with this number. */
export function guiltyChange(batch: ElementBatch, seq: number, offset: number | undefined): number | undefined {
  const message = batch.messages[(seq - batch.firstSeq - 1) >>> 0];
  if (message === undefined) return undefined;
  if (message.end - message.first === 1 && (offset === undefined || offset >= listStart(batch, message))) {
    return message.first;
  }
  if (offset === undefined) return undefined;
  const target = message.offset + offset;
  let at = message.offset + listStart(batch, message) + 4;
  for (let change = message.first; change < message.end; change += 1) {
    const next = at + align4(u16(batch.bytes, at));
    if (target >= at && target < next) return change;
    at = next;
  }
  return undefined;
}

/** What an error's offset points to outside the list of elements: the table's or the set's name. */
export function missingPart(batch: ElementBatch, seq: number, offset: number): 'table' | 'set' | undefined {
  const message = batch.messages[(seq - batch.firstSeq - 1) >>> 0];
  if (message === undefined) return undefined;
  if (offset === BATCH_MESSAGE_BYTES) return 'table';
  return offset === BATCH_MESSAGE_BYTES + TABLE_ATTRIBUTE_BYTES ? 'set' : undefined;
}

/** NFT_MSG_GETSETELEM for all elements of a set; ENOENT when there is none of that name. */
export function encodeElementDump(family: TableFamily, set: string, seq: number): Uint8Array {
  const writer = new Writer();
  writer.begin(NFT_MSG.GETSETELEM, NLM.REQUEST | NLM.DUMP, seq);
  writer.u32(NFPROTO[family]);
  writer.attributeText(ATTR.TABLE, TABLE);
  writer.attributeText(ATTR.SET, set);
  writer.end();
  return writer.bytes();
}

/**
 * Appends the elements of one message of a dump to `into`. An end of an interval at the first address is left out: nft
 * writes one to mean that nothing is before the first interval.
 */
export function decodeElements(datagram: Uint8Array, message: Message, set: string, into: KernelElement[]): void {
  if (message.type !== NFT_MSG.NEWSETELEM) return;
  const list = attributesOf(datagram, message.start + NFGEN_BYTES, message.end).get(ATTR.ELEMENTS);
  if (list === undefined) return;
  eachAttribute(datagram, list.start, list.end, (_type, start, end) => {
    const element = decode(datagram, start, end, set);
    if (element.intervalEnd !== true || !isZero(element.key)) into.push(element);
  });
}

interface Part {
  readonly first: number;
  end: number;
  /** The message's length. */
  bytes: number;
}

function split(changes: readonly ElementChange[], single: boolean): readonly Part[] {
  const parts: Part[] = [];
  let part: Part | undefined;
  let op = '';
  let set = '';
  let list = 0;
  for (let index = 0; index < changes.length; index += 1) {
    const change = changes[index] as ElementChange;
    const size = elementBytes(change);
    if (part === undefined || single || change.op !== op || change.element.set !== set || list > LIST_BYTES) {
      ({ op } = change);
      ({ set } = change.element);
      list = 0;
      const names = TABLE_ATTRIBUTE_BYTES + 4 + align4(set.length + 1);
      part = { first: index, end: index, bytes: BATCH_MESSAGE_BYTES + names + 4 };
      parts.push(part);
    }
    part.end = index + 1;
    part.bytes += size;
    list += size;
  }
  return parts;
}

function sizeOf(parts: readonly Part[], changes: readonly ElementChange[]): number {
  if (changes.length === 0) return 2 * BATCH_MESSAGE_BYTES;
  let bytes = 2 * BATCH_MESSAGE_BYTES;
  for (const part of parts) bytes += part.bytes;
  return bytes;
}

function elementBytes({ op, element: { key, keyEnd, data, intervalEnd } }: ElementChange): number {
  return (
    4 +
    (key === '' ? 8 : valueBytes(key)) +
    (keyEnd === undefined ? 0 : valueBytes(keyEnd)) +
    (data === undefined || op === 'delete' ? 0 : valueBytes(data)) +
    (intervalEnd === true ? 8 : 0)
  );
}

const valueBytes = (value: Registers): number => 8 + align4(value.length);

function put(bytes: Uint8Array, at: number, element: Element, adds: boolean): number {
  const { key, keyEnd, data, intervalEnd } = element;
  let end = at + 4;
  if (key !== '') end = value(bytes, end, ELEM.KEY, key);
  if (keyEnd !== undefined) end = value(bytes, end, ELEM.KEY_END, keyEnd);
  if (data !== undefined && adds) end = value(bytes, end, ELEM.DATA, data);
  if (intervalEnd === true) end = flags(bytes, end, FLAG.INTERVAL_END);
  else if (key === '') end = flags(bytes, end, FLAG.CATCHALL);
  attribute(bytes, at, end - at, LIST_ELEM | NLA_F_NESTED);
  return end;
}

/** A nested attribute that holds one value. */
function value(bytes: Uint8Array, at: number, type: number, registers: Registers): number {
  const { length } = registers;
  attribute(bytes, at, 8 + length, type | NLA_F_NESTED);
  attribute(bytes, at + 4, 4 + length, VALUE);
  for (let index = 0; index < length; index += 1) bytes[at + 8 + index] = registers.charCodeAt(index);
  return at + 8 + align4(length);
}

function flags(bytes: Uint8Array, at: number, flag: number): number {
  attribute(bytes, at, 8, ELEM.FLAGS);
  bytes[at + 7] = flag; // big endian
  return at + 8;
}

function attribute(bytes: Uint8Array, at: number, length: number, type: number): void {
  bytes[at] = length;
  bytes[at + 1] = length >>> 8;
  bytes[at + 2] = type;
  bytes[at + 3] = type >>> 8;
}

function text(bytes: Uint8Array, at: number, type: number, ascii: string): number {
  attribute(bytes, at, 5 + ascii.length, type);
  for (let index = 0; index < ascii.length; index += 1) bytes[at + 4 + index] = ascii.charCodeAt(index);
  return at + 4 + align4(ascii.length + 1);
}

function header(bytes: Uint8Array, at: number, length: number, type: number, flag: number, seq: number): number {
  bytes[at] = length;
  bytes[at + 1] = length >>> 8;
  bytes[at + 2] = length >>> 16;
  bytes[at + 4] = type;
  bytes[at + 5] = type >>> 8;
  bytes[at + 6] = flag;
  bytes[at + 7] = flag >>> 8;
  bytes[at + 8] = seq;
  bytes[at + 9] = seq >>> 8;
  bytes[at + 10] = seq >>> 16;
  bytes[at + 11] = seq >>> 24;
  return at + HEADER_BYTES;
}

/** nfgenmsg: family, version 0, res_id in network order. */
function generic(bytes: Uint8Array, at: number, family: number, resId: number): number {
  bytes[at] = family;
  bytes[at + 2] = resId >>> 8;
  bytes[at + 3] = resId;
  return at + NFGEN_BYTES;
}

function listStart({ bytes }: ElementBatch, { offset }: BatchMessage): number {
  const set = BATCH_MESSAGE_BYTES + TABLE_ATTRIBUTE_BYTES;
  return set + align4(u16(bytes, offset + set));
}

function decode(bytes: Uint8Array, start: number, end: number, set: string): KernelElement {
  let key = '';
  let keyEnd: Registers | undefined;
  let data: Registers | undefined;
  let flagBits = 0;
  let timeoutMs: number | undefined;
  let expiresMs: number | undefined;
  eachAttribute(bytes, start, end, (type, from, to) => {
    switch (type) {
      case ELEM.KEY:
        key = registersOf(bytes, from, to) ?? '';
        break;
      case ELEM.KEY_END:
        keyEnd = registersOf(bytes, from, to);
        break;
      case ELEM.DATA:
        data = registersOf(bytes, from, to);
        break;
      case ELEM.FLAGS:
        flagBits = u32be(bytes, from);
        break;
      case ELEM.TIMEOUT:
        timeoutMs = milliseconds(bytes, from);
        break;
      case ELEM.EXPIRATION:
        expiresMs = milliseconds(bytes, from);
        break;
    }
  });
  return {
    set,
    key,
    ...(keyEnd !== undefined && { keyEnd }),
    ...(data !== undefined && { data }),
    ...((flagBits & FLAG.INTERVAL_END) !== 0 && { intervalEnd: true as const }),
    ...(timeoutMs !== undefined && { timeoutMs }),
    ...(expiresMs !== undefined && { expiresMs }),
  };
}

const milliseconds = (bytes: Uint8Array, at: number): number => u32be(bytes, at) * 2 ** 32 + u32be(bytes, at + 4);

/** Undefined for a verdict. */
function registersOf(bytes: Uint8Array, start: number, end: number): Registers | undefined {
  // Nearly always the first and only attribute inside.
  if (end - start > 4 && (u16(bytes, start + 2) & 0x3fff) === VALUE) {
    return registers(bytes, start + 4, start + u16(bytes, start));
  }
  const span: Span | undefined = attributesOf(bytes, start, end).get(VALUE);
  return span === undefined ? undefined : registers(bytes, span.start, span.end);
}

function registers(bytes: Uint8Array, start: number, end: number): Registers {
  return String.fromCharCode.apply(null, bytes.subarray(start, end) as unknown as number[]);
}

function isZero(key: Registers): boolean {
  for (let index = 0; index < key.length; index += 1) if (key.charCodeAt(index) !== 0) return false;
  return true;
}
