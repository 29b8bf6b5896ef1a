/**
 * Elements of nf_tables sets and maps as values: what the proxy plans, the netlink encoder writes and a dump reads.
 */

/**
 * The bytes of nf_tables registers, one character (0-255) per byte, every field padded to 4 bytes: addresses and ports in
 * network order, `inet_proto` one byte first, `classid` in host order (little endian). A string, because it is a key of a
 * `Map`, compares by value and costs one byte per byte.
 */
export type Registers = string;

/** The table's family: `ip` has NFPROTO 2, `ip6` 10. Both tables are named `fairlead`. */
export type TableFamily = 'ip' | 'ip6';

export interface Element {
  readonly set: string;
  readonly key: Registers;
  /** Last key of a range, inclusive (concatenated intervals; NFTA_SET_ELEM_KEY_END). */
  readonly keyEnd?: Registers;
  /** Of a map; never a verdict: those are written as text. */
  readonly data?: Registers;
  /** The first address after a single-field interval (NFT_SET_ELEM_INTERVAL_END). */
  readonly intervalEnd?: true;
}

/** One step of a transaction; steps apply in order. A replace is `delete` then `add` of one key. */
export interface ElementChange {
  readonly op: 'add' | 'delete';
  readonly element: Element;
}
