import type { TableFamily } from './element.ts';
import { attributesOf, eachAttribute, type Message, NLM, textOf, u32be, Writer } from './netlink.ts';

/** What nfnetlink and nf_tables have besides elements (netlink-elements.ts): batches, tables, chains, rules, sets, generation. */

/** Our tables are `ip fairlead` and `ip6 fairlead`. */
export const TABLE = 'fairlead';

export const NFPROTO = { ip: 2, ip6: 10 } as const satisfies Record<TableFamily, number>;

/** nfnetlink's own messages; a batch names the subsystem that it is for. */
export const NFNL_BATCH = { BEGIN: 0x10, END: 0x11, RES_ID: 10 } as const;

/** Subsystem 10. */
export const NFT_MSG = {
  NEWCHAIN: 0x0a03,
  GETCHAIN: 0x0a04,
  NEWRULE: 0x0a06,
  GETRULE: 0x0a07,
  NEWSET: 0x0a09,
  GETSET: 0x0a0a,
  NEWSETELEM: 0x0a0c,
  GETSETELEM: 0x0a0d,
  DELSETELEM: 0x0a0e,
  NEWGEN: 0x0a0f,
  GETGEN: 0x0a10,
} as const;

const NFGEN_BYTES = 4;
const CHAIN = { TABLE: 1, NAME: 3, HOOK: 4, POLICY: 5, TYPE: 7, FLAGS: 10 } as const;
const RULE = { TABLE: 1, CHAIN: 2, EXPRESSIONS: 4 } as const;
const SET = { TABLE: 1, NAME: 2, FLAGS: 3, KEY_TYPE: 4, KEY_LEN: 5, DATA_TYPE: 6, DATA_LEN: 7, TIMEOUT: 11 } as const;
const EXPR = { NAME: 1, DATA: 2 } as const;
const GEN_ID = 1;

/** Expressions whose data counts packets. */
const COUNTING: ReadonlySet<string> = new Set(['counter', 'quota', 'last', 'connlimit']);

/** What a table has besides elements, by the message that dumps it. */
export type TablePart = 'chains' | 'rules' | 'sets';

const DUMPS = {
  chains: { type: NFT_MSG.GETCHAIN, table: CHAIN.TABLE },
  rules: { type: NFT_MSG.GETRULE, table: RULE.TABLE },
  sets: { type: NFT_MSG.GETSET, table: SET.TABLE },
} as const satisfies Record<TablePart, unknown>;

export function encodeGenerationRequest(seq: number): Uint8Array {
  const writer = new Writer();
  writer.begin(NFT_MSG.GETGEN, NLM.REQUEST, seq);
  writer.u32(0);
  writer.end();
  return writer.bytes();
}

/** Undefined: another message. */
export function decodeGeneration(datagram: Uint8Array, { type, start, end }: Message): number | undefined {
  if (type !== NFT_MSG.NEWGEN) return undefined;
  const id = attributesOf(datagram, start + NFGEN_BYTES, end).get(GEN_ID);
  return id === undefined ? undefined : u32be(datagram, id.start);
}

/** All chains of the family (the kernel does not filter them), the rules or sets of our table. */
export function encodeTableDump(family: TableFamily, part: TablePart, seq: number): Uint8Array {
  const { type, table } = DUMPS[part];
  const writer = new Writer();
  writer.begin(type, NLM.REQUEST | NLM.DUMP, seq);
  writer.u32(NFPROTO[family]);
  writer.attributeText(table, TABLE);
  writer.end();
  return writer.bytes();
}

/** A chain, rule or set of our table, as far as it is constant: no handles, counters or numbers of users. */
export interface TableItem {
  readonly part: TablePart;
  /** Of the chain or set; of a rule the chain that it is in. */
  readonly name: string;
  /** Equal for equal items; whatever else it says is for nobody. */
  readonly digest: string;
}

/** Undefined: another table's, or another message. */
export function decodeTableItem(datagram: Uint8Array, { type, start, end }: Message): TableItem | undefined {
  const attributes = attributesOf(datagram, start + NFGEN_BYTES, end);
  const text = (at: number): string => {
    const span = attributes.get(at);
    return span === undefined ? '' : textOf(datagram, span);
  };
  const hex = (at: number): string => {
    const span = attributes.get(at);
    return span === undefined ? '-' : hexOf(datagram, span.start, span.end);
  };
  if (text(CHAIN.TABLE) !== TABLE) return undefined; // attribute 1 in all three
  switch (type) {
    case NFT_MSG.NEWCHAIN:
      return {
        part: 'chains',
        name: text(CHAIN.NAME),
        digest: [CHAIN.HOOK, CHAIN.POLICY, CHAIN.TYPE, CHAIN.FLAGS].map(hex).join(' '),
      };
    case NFT_MSG.NEWRULE: {
      const list = attributes.get(RULE.EXPRESSIONS);
      const digest = list === undefined ? '' : expressions(datagram, list.start, list.end);
      return { part: 'rules', name: text(RULE.CHAIN), digest };
    }
    case NFT_MSG.NEWSET:
      return {
        part: 'sets',
        name: text(SET.NAME),
        digest: [SET.FLAGS, SET.KEY_TYPE, SET.KEY_LEN, SET.DATA_TYPE, SET.DATA_LEN, SET.TIMEOUT].map(hex).join(' '),
      };
    default:
      return undefined;
  }
}

function expressions(datagram: Uint8Array, start: number, end: number): string {
  const parts: string[] = [];
  eachAttribute(datagram, start, end, (_type, from, to) => {
    const attributes = attributesOf(datagram, from, to);
    const name = attributes.get(EXPR.NAME);
    const data = attributes.get(EXPR.DATA);
    const word = name === undefined ? '' : textOf(datagram, name);
    parts.push(data === undefined || COUNTING.has(word) ? word : `${word} ${hexOf(datagram, data.start, data.end)}`);
  });
  return parts.join('; ');
}

function hexOf(bytes: Uint8Array, start: number, end: number): string {
  let hex = '';
  for (let at = start; at < end; at += 1) hex += (bytes[at] as number).toString(16).padStart(2, '0');
  return hex;
}
