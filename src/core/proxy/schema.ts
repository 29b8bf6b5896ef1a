/** The sets and maps of table `fairlead`: the shape of each, and its elements as text and as registers. */
import type { Element, Registers, TableFamily } from '../net/element.ts';
import {
  ADDRESS_BYTES,
  addressAt,
  addressRegisters,
  classidAt,
  classidRegisters,
  FIELD_BYTES,
  portAt,
  portRegisters,
  protocolAt,
  protocolRegisters,
  sloppyIp,
} from './registers.ts';

/** One table of this name in each family. */
export const TABLE = 'fairlead';

/** A field of a key or of data; its type in nft is `FIELD_TYPES`. */
export type Field = 'address' | 'protocol' | 'port' | 'classid';

/** Sets and maps whose elements travel as netlink batches. `dispatch` has verdicts and is text: see ruleset.ts. */
export type SetName =
  | 'services'
  | 'services-near'
  | 'endpoints'
  | 'cluster-ips'
  | 'masq-vips'
  | 'local-vips'
  | 'no-ep-reject'
  | 'no-ep-drop'
  | 'restricted'
  | 'allowed'
  | 'hairpin'
  | 'aff'
  | 'ep-id'
  | 'ep-by-id'
  | RangeSet;

/** Sets of single-field intervals (node-proxy.md Rulings 6, cni.md masquerade). */
export type RangeSet = 'pod-cidrs' | 'svc-cidrs' | 'local-pods' | 'no-masq';

export interface SetSchema {
  readonly key: readonly Field[];
  /** Of a map. */
  readonly data?: readonly Field[];
  /** Elements are ranges: with one field as start and end, with several as KEY and KEY_END. */
  readonly interval?: true;
  /** Written by the rules, never by us; and only IPv4 has it (nft 1.0.6 aborts on IPv6 map updates). */
  readonly dynamic?: true;
  /** Only IPv4 has it: affinity by remembered id. */
  readonly only?: 'ip';
}

const FRONTEND = ['address', 'protocol', 'port'] as const;
const SLOT = [...FRONTEND, 'classid'] as const;
const TARGET = ['address', 'port'] as const;

/** In the order in which they are declared and dumped. */
export const SETS = {
  services: { key: FRONTEND, data: ['classid'] },
  'services-near': { key: FRONTEND, data: ['classid'] },
  endpoints: { key: SLOT, data: TARGET },
  'cluster-ips': { key: ['address'] },
  'masq-vips': { key: FRONTEND },
  'local-vips': { key: FRONTEND },
  'no-ep-reject': { key: FRONTEND },
  'no-ep-drop': { key: FRONTEND },
  restricted: { key: FRONTEND },
  allowed: { key: [...FRONTEND, 'address'], interval: true },
  hairpin: { key: ['address', 'address'] },
  'pod-cidrs': { key: ['address'], interval: true },
  'svc-cidrs': { key: ['address'], interval: true },
  'local-pods': { key: ['address'], interval: true },
  'no-masq': { key: ['address'], interval: true },
  aff: { key: ['address', ...FRONTEND], data: ['classid'], dynamic: true, only: 'ip' },
  'ep-id': { key: SLOT, data: ['classid'], only: 'ip' },
  'ep-by-id': { key: ['classid'], data: TARGET, only: 'ip' },
} as const satisfies Record<SetName, SetSchema>;

export const RANGE_SETS = ['pod-cidrs', 'svc-cidrs', 'local-pods', 'no-masq'] as const satisfies readonly RangeSet[];

/** The sets of a family that we write, in the order of declaration: all but `aff`. */
export function setsOf(family: TableFamily): readonly SetName[] {
  return (Object.keys(SETS) as SetName[]).filter((name) => {
    const schema: SetSchema = SETS[name];
    return schema.dynamic !== true && (schema.only ?? family) === family;
  });
}

export const isSetName = (name: string): name is SetName => Object.hasOwn(SETS, name);

/** nft's name of a field's type. */
export const fieldType = (field: Field, family: TableFamily): string =>
  field === 'address' ? (family === 'ip' ? 'ipv4_addr' : 'ipv6_addr') : FIELD_TYPES[field];

const FIELD_TYPES = { protocol: 'inet_proto', port: 'inet_service', classid: 'classid' } as const;

/** Bytes of the key or the data of a set in a family. */
export const bytesOf = (fields: readonly Field[], family: TableFamily): number =>
  fields.reduce((sum, field) => sum + (field === 'address' ? ADDRESS_BYTES[family] : FIELD_BYTES), 0);

/** `172.30.0.1 . tcp . 80 . 0:1`, as nft reads and prints it; a classid always as `major:minor` in hex. */
export function fieldsText(fields: readonly Field[], bytes: Registers, family: TableFamily): string {
  let at = 0;
  return fields
    .map((field) => {
      const text = fieldText(field, bytes, at, family);
      at += field === 'address' ? ADDRESS_BYTES[family] : FIELD_BYTES;
      return text;
    })
    .join(' . ');
}

/** The registers of such a text. `undefined` when a field is missing, too many or unreadable, or of the other family. */
export function fieldsRegisters(fields: readonly Field[], text: string, family: TableFamily): Registers | undefined {
  const parts = text.split(' . ');
  if (parts.length !== fields.length) return undefined;
  let bytes = '';
  for (const [index, field] of fields.entries()) {
    const part = fieldRegisters(field, parts[index] as string, family);
    if (part === undefined) return undefined;
    bytes += part;
  }
  return bytes;
}

export const keyText = (set: SetName, key: Registers, family: TableFamily): string =>
  fieldsText(SETS[set].key, key, family);

export function dataText(set: SetName, data: Registers, family: TableFamily): string {
  const { data: fields = [] }: SetSchema = SETS[set];
  return fieldsText(fields, data, family);
}

/**
 * An element as nft's text has it: `key`, `key : data`, and of `allowed` the last field as `first-last`. Elements of a
 * range set are ends of intervals and have no text alone: see `rangeTexts`.
 */
export function elementText({ set, key, keyEnd, data }: Element, family: TableFamily): string {
  if (!isSetName(set)) throw new TypeError(`${set} is no set of table ${TABLE}`);
  const text = keyText(set, key, family);
  if (keyEnd !== undefined && keyEnd !== key)
    return `${text}-${addressAt(keyEnd, lastAddress(keyEnd, family), family)}`;
  return data === undefined ? text : `${text} : ${dataText(set, data, family)}`;
}

/** The intervals of one range set as `first-last` or one address, from its elements in any order. */
export function rangeTexts(elements: readonly Element[], family: TableFamily): readonly string[] {
  return intervalsOf(elements, family).map(({ first, last }) => {
    const [from, to] = [first, last].map((bytes) => addressAt(bytes, 0, family)) as [string, string];
    return from === to ? from : `${from}-${to}`;
  });
}

/** Starts and ends of one range set joined: first and last address of each, ascending. */
export function intervalsOf(
  elements: readonly Element[],
  family: TableFamily,
): readonly { readonly first: Registers; readonly last: Registers }[] {
  const bounds = [...elements].sort((a, b) => (a.key === b.key ? ends(b) - ends(a) : a.key < b.key ? -1 : 1));
  const intervals: { first: Registers; last: Registers }[] = [];
  let open: Registers | undefined;
  for (const { key, intervalEnd } of bounds) {
    if (open !== undefined) intervals.push({ first: open, last: before(key) });
    open = intervalEnd === true ? undefined : key;
  }
  if (open !== undefined) intervals.push({ first: open, last: '\xff'.repeat(ADDRESS_BYTES[family]) });
  return intervals;
}

/** Reads `elementText` back; `undefined` when the text does not fit the set. */
export function parseElement(set: SetName, text: string, family: TableFamily): Element | undefined {
  const schema: SetSchema = SETS[set];
  const [keyPart = '', dataPart] = text.split(' : ');
  const range = schema.interval === true ? /^(.*?)([^ ]+)-([^ -]+)$/.exec(keyPart) : null;
  const key = fieldsRegisters(schema.key, range === null ? keyPart : `${range[1]}${range[2]}`, family);
  if (key === undefined || (dataPart === undefined) !== (schema.data === undefined)) return undefined;
  if (schema.interval === true) {
    const end = range === null ? key : fieldsRegisters(schema.key, `${range[1]}${range[3]}`, family);
    return end === undefined ? undefined : { set, key, keyEnd: end };
  }
  if (schema.data === undefined || dataPart === undefined) return { set, key };
  const data = fieldsRegisters(schema.data, dataPart, family);
  return data === undefined ? undefined : { set, key, data };
}

/** `0:2`, major and minor in hex. */
export const classidText = (classid: number): string =>
  `${(classid >>> 16).toString(16)}:${(classid & 0xffff).toString(16)}`;

/** `undefined` for anything but `none` (which nft prints for 0:0) and two hex numbers of at most four digits. */
export function parseClassid(text: string): number | undefined {
  if (text === 'none') return 0;
  const match = /^([0-9a-f]{0,4}):([0-9a-f]{0,4})$/i.exec(text);
  if (match === null || text === ':') return undefined;
  return Number.parseInt(match[1] || '0', 16) * 65536 + Number.parseInt(match[2] || '0', 16);
}

function fieldText(field: Field, bytes: Registers, at: number, family: TableFamily): string {
  switch (field) {
    case 'address':
      return addressAt(bytes, at, family);
    case 'protocol':
      return protocolAt(bytes, at) ?? String(bytes.charCodeAt(at));
    case 'port':
      return String(portAt(bytes, at));
    case 'classid':
      return classidText(classidAt(bytes, at));
    default:
      return field satisfies never;
  }
}

function fieldRegisters(field: Field, text: string, family: TableFamily): Registers | undefined {
  switch (field) {
    case 'address': {
      const ip = sloppyIp(text);
      return ip === undefined || (ip.family === 'ipv4') !== (family === 'ip') ? undefined : addressRegisters(ip);
    }
    case 'protocol':
      return text === 'tcp' || text === 'udp' || text === 'sctp' ? protocolRegisters(text) : undefined;
    case 'port':
      return /^\d{1,5}$/.test(text) && Number(text) < 65536 ? portRegisters(Number(text)) : undefined;
    case 'classid': {
      const classid = parseClassid(text);
      return classid === undefined ? undefined : classidRegisters(classid);
    }
    default:
      return field satisfies never;
  }
}

const lastAddress = (bytes: Registers, family: TableFamily): number => bytes.length - ADDRESS_BYTES[family];

const ends = ({ intervalEnd }: Element): number => (intervalEnd === true ? 1 : 0);

/** The address before: the bytes as one big number, less one. */
function before(address: Registers): Registers {
  const bytes = [...address].map((char) => char.charCodeAt(0));
  for (let at = bytes.length - 1; at >= 0; at -= 1) {
    const byte = bytes[at] as number;
    bytes[at] = (byte + 255) & 255;
    if (byte !== 0) break;
  }
  return String.fromCharCode(...bytes);
}
