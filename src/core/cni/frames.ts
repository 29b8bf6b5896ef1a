/**
 * What agent and C shim say to each other after the request: frames of one byte kind, four bytes length and a payload, all
 * numbers little endian. The agent sends plans (P) and the answer (A); the shim a report (R) for each plan, and
 * acknowledges (K) the answer when it is on its standard output. src/agent/native/shim.c is the other side.
 */
export type FrameKind = 'P' | 'A' | 'R' | 'K';
export interface Frame {
  readonly kind: FrameKind;
  readonly payload: Uint8Array;
}

/** Longer is a mistake or no shim. A dump of the addresses and routes of a pod is a few KB. */
export const LONGEST_FRAME = 1 << 22;

export function encodeFrame(kind: FrameKind, payload: Uint8Array): Uint8Array {
  const frame = new Uint8Array(5 + payload.length);
  frame[0] = kind.charCodeAt(0);
  new DataView(frame.buffer).setUint32(1, payload.length, true);
  frame.set(payload, 5);
  return frame;
}

/** The first frame of the bytes and how many it takes; undefined: not all there yet. Throws RangeError for no frame. */
export function decodeFrame(bytes: Uint8Array): { readonly frame: Frame; readonly length: number } | undefined {
  if (bytes.length < 5) return undefined;
  const kind = String.fromCharCode(bytes[0] ?? 0);
  const length = new DataView(bytes.buffer, bytes.byteOffset).getUint32(1, true);
  if (!isKind(kind) || length > LONGEST_FRAME)
    throw new RangeError(`no frame: kind ${JSON.stringify(kind)}, ${length} bytes`);
  if (bytes.length < 5 + length) return undefined;
  return { frame: { kind, payload: bytes.slice(5, 5 + length) }, length: 5 + length };
}

const isKind = (kind: string): kind is FrameKind => ['P', 'A', 'R', 'K'].includes(kind);

export const encodeAnswer = (exitCode: number, output: string): Uint8Array =>
  encodeFrame('A', bytesOf(exitCode, new TextEncoder().encode(output)));

/** A step for the shim. */
export type PlanStep =
  /** Messages with an acknowledgement each; the first error ends the plan. `undo`: sent to the host when the agent is lost. */
  | { readonly kind: 'send'; readonly where: 'host' | 'pod'; readonly bytes: Uint8Array }
  | { readonly kind: 'undo'; readonly bytes: Uint8Array }
  /** A dump request; its answer is in the report. */
  | { readonly kind: 'dump'; readonly where: 'host' | 'pod'; readonly bytes: Uint8Array }
  /** Below /proc/sys; one that this kernel does not have is passed over. */
  | { readonly kind: 'sysctl'; readonly where: 'host' | 'pod'; readonly name: string; readonly value: string };

const codes = { send: 'N', undo: 'U', dump: 'D', sysctl: 'S' } as const;

/** Each step: kind, namespace (0 host, 1 pod), two zeros, length, data. Enters the pod's namespace at the first step there. */
export function encodePlan(steps: readonly PlanStep[]): Uint8Array {
  const parts = steps.map((step) => {
    const data = dataOf(step);
    const part = new Uint8Array(8 + data.length);
    part[0] = codes[step.kind].charCodeAt(0);
    part[1] = step.kind !== 'undo' && step.where === 'pod' ? 1 : 0;
    new DataView(part.buffer).setUint32(4, data.length, true);
    part.set(data, 8);
    return part;
  });
  return encodeFrame('P', joined(parts));
}

const dataOf = (step: PlanStep): Uint8Array =>
  step.kind === 'sysctl' ? new TextEncoder().encode(`/proc/sys/${step.name}\0${step.value}\0`) : step.bytes;

/** What became of a plan. */
export interface PlanReport {
  /** Index of the step that failed; undefined: all done. */
  readonly failedStep?: number;
  /** Positive; 0 when all is done. */
  readonly errno: number;
  /** Sequence number of the refused message; 0: the step as a whole failed. */
  readonly seq: number;
  /** Answers to the dumps, in order: messages as the kernel sent them. */
  readonly dumps: readonly Uint8Array[];
}

const ALL_DONE = 0xffffffff;

/** The payload of R; throws RangeError for another. */
export function decodeReport(payload: Uint8Array): PlanReport {
  if (payload.length < 12) throw new RangeError(`a report has at least 12 bytes, not ${payload.length}`);
  const view = new DataView(payload.buffer, payload.byteOffset, payload.length);
  const step = view.getUint32(0, true);
  const dumps: Uint8Array[] = [];
  for (let at = 12; at < payload.length; ) {
    const length = at + 4 <= payload.length ? view.getUint32(at, true) : payload.length;
    if (at + 4 + length > payload.length) throw new RangeError('a dump in the report is cut off');
    dumps.push(payload.slice(at + 4, at + 4 + length));
    at += 4 + length;
  }
  return {
    ...(step === ALL_DONE ? {} : { failedStep: step }),
    errno: view.getInt32(4, true),
    seq: view.getUint32(8, true),
    dumps,
  };
}

function bytesOf(first: number, rest: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(1 + rest.length);
  bytes[0] = first;
  bytes.set(rest, 1);
  return bytes;
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}
