import type { ElementChange, TableFamily } from './element.ts';

/** A transaction of nf_tables elements, ready to be sent as one datagram. */
export interface ElementBatch {
  readonly bytes: Uint8Array;
  /** Sequence number of BEGIN; message i has `firstSeq + 1 + i`, END the one after the last. */
  readonly firstSeq: number;
  /** The element messages in their order: where each starts in `bytes`, and the index of its first change. */
  readonly messages: readonly { readonly offset: number; readonly firstChange: number }[];
}
export type EncodeElementBatch = (
  family: TableFamily,
  changes: readonly ElementChange[],
  firstSeq: number,
) => ElementBatch;
