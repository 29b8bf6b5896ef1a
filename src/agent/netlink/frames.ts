/** The frames between this process and the helper (native/helper.c): little endian length, id and code, then the payload. */

export const REQUEST = { NFT_SEND: 1, ROUTE_SEND: 2, NFT_DUMP: 3, ROUTE_DUMP: 4, SUBSCRIBE: 5 } as const;
export const ANSWER = { DATAGRAM: 1, END: 2, LOST: 3, EVENT: 4, EVENTS_LOST: 5, HELLO: 6, FATAL: 7 } as const;
/** What HELLO carries: both sides are of one build. */
export const VERSION = 1;

const HEADER_BYTES = 12;
/** The helper's datagrams have at most 64 KiB: more is another program's output. */
const LONGEST = 2 ** 20;

export interface Frame {
  readonly id: number;
  readonly code: number;
  /** Valid during the call only. */
  readonly payload: Uint8Array;
}

export function encodeFrame({ id, code, payload }: Frame): Buffer {
  const bytes = Buffer.allocUnsafe(HEADER_BYTES + payload.length);
  bytes.writeUInt32LE(payload.length, 0);
  bytes.writeUInt32LE(id, 4);
  bytes.writeUInt32LE(code, 8);
  bytes.set(payload, HEADER_BYTES);
  return bytes;
}

/** Takes the bytes of a stream as they come; calls `on` for each frame that is whole. Throws a RangeError for no frame. */
export function createFrameReader(on: (frame: Frame) => void): (chunk: Buffer) => void {
  let rest: Buffer = Buffer.alloc(0);
  return (chunk) => {
    const bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    let at = 0;
    while (bytes.length - at >= HEADER_BYTES) {
      const length = bytes.readUInt32LE(at);
      if (length > LONGEST) throw new RangeError(`the helper answers with a frame of ${length} bytes`);
      const end = at + HEADER_BYTES + length;
      if (end > bytes.length) break;
      on({
        id: bytes.readUInt32LE(at + 4),
        code: bytes[at + 8] as number,
        payload: bytes.subarray(at + HEADER_BYTES, end),
      });
      at = end;
    }
    rest = bytes.subarray(at);
  };
}
