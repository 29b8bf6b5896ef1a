import type { Socket } from 'node:net';
import { type Head, parseHead } from '../../core/cni/call.ts';
import { CniFailure, cniCodes } from '../../core/cni/failure.ts';
import {
  decodeFrame,
  decodeReport,
  encodeAnswer,
  encodePlan,
  type Frame,
  type PlanReport,
  type PlanStep,
} from '../../core/cni/frames.ts';
import type { Timers } from '../../work/clock.ts';

/** One call of the plugin, received whole. */
export interface Caller {
  readonly head: Head;
  readonly stdin: string;
  /** Of the C shim only. Undefined: it is gone, or did not say what it should; whatever it did then is not known. */
  exchange(steps: readonly PlanStep[]): Promise<PlanReport | undefined>;
  /** Once. False: it did not get it, as far as can be told; the runtime then counts the call as failed. */
  answer(exitCode: number, output: string): Promise<boolean>;
}

export interface ReceiveOptions {
  readonly socket: Socket;
  readonly timers: Timers;
  /** Silence of the other side that ends the call. Default 60 s, the shim's own. */
  readonly timeoutMs?: number;
}

/** A configuration with its prevResult has a few KB. */
const LONGEST_STDIN = 1 << 20;
const LONGEST_HEAD = 1 << 16;
const TIMEOUT_MS = 60_000;

/** What came is no call: garbage, half of one, one that is too long, or silence in the middle. */
export interface NoCall {
  readonly failure: unknown;
  /** Says why, in the form that fits what came. */
  answer(exitCode: number, output: string): Promise<boolean>;
}

/** Reads one call to its end. */
export async function receive({ socket, timers, timeoutMs = TIMEOUT_MS }: ReceiveOptions): Promise<Caller | NoCall> {
  const input = createInput(socket, timers, timeoutMs);
  let isShim = false;
  try {
    const end = await input.until(headEnd, LONGEST_HEAD, 'the environment');
    const text = input.take(end).toString('utf8');
    isShim = /\nSHIM=1 /.test(text);
    input.take(2);
    const head = parseHead(text);
    return callerOf(socket, input, head, await stdinOf(input, head));
  } catch (failure) {
    input.drop();
    return { failure, answer: isShim ? framed(socket) : plainly(socket) };
  }
}

async function stdinOf(input: Input, { shim }: Head): Promise<string> {
  if (shim === undefined) await input.whole(LONGEST_STDIN, 'stdin');
  else if (shim.length > LONGEST_STDIN) throw tooLong('stdin', LONGEST_STDIN);
  else await input.until(({ length }) => (length >= shim.length ? length : undefined), LONGEST_STDIN, 'stdin');
  return input.take(shim?.length ?? Number.POSITIVE_INFINITY).toString('utf8');
}

function callerOf(socket: Socket, input: Input, head: Head, stdin: string): Caller {
  const tell = head.shim === undefined ? plainly(socket) : framed(socket);
  return {
    head,
    stdin,
    async exchange(steps) {
      if (!(await write(socket, encodePlan(steps)))) return undefined;
      const frame = await nextFrame(input);
      return frame?.kind === 'R' ? reportOf(frame) : undefined;
    },
    async answer(exitCode, output) {
      if (!(await tell(exitCode, output))) return false;
      if (head.shim === undefined) return true;
      return (await nextFrame(input))?.kind === 'K';
    },
  };
}

/** `rc=N` and the output: for the shell form, and for what is no call. Gives false when the other side is gone. */
const plainly =
  (socket: Socket) =>
  async (exitCode: number, output: string): Promise<boolean> => {
    const isWritten = await write(socket, Buffer.from(`rc=${exitCode}\n${output}`));
    socket.end();
    return isWritten;
  };

const framed =
  (socket: Socket) =>
  async (exitCode: number, output: string): Promise<boolean> => {
    const isWritten = await write(socket, encodeAnswer(exitCode, output));
    socket.end();
    return isWritten;
  };

function write(socket: Socket, bytes: Uint8Array): Promise<boolean> {
  if (socket.destroyed || !socket.writable) return Promise.resolve(false);
  return new Promise((resolve) => {
    socket.write(bytes, (error) => resolve(error === null || error === undefined));
    // The callback does not come for a socket that closes first.
    socket.once('close', () => resolve(false));
  });
}

async function nextFrame(input: Input): Promise<Frame | undefined> {
  try {
    let found: ReturnType<typeof decodeFrame>;
    const length = await input.until(
      (bytes) => {
        found = decodeFrame(bytes);
        return found?.length;
      },
      Number.POSITIVE_INFINITY,
      'a frame',
    );
    input.take(length);
    return found?.frame;
  } catch {
    // Gone, silent or no frame: for the caller there is no difference.
    return undefined;
  }
}

function reportOf({ payload }: Frame): PlanReport | undefined {
  try {
    return decodeReport(payload);
  } catch {
    // As good as no report: what was done is not known.
    return undefined;
  }
}

function headEnd(bytes: Buffer): number | undefined {
  const at = bytes.indexOf('\n\n');
  return at < 0 ? undefined : at;
}

/** What came and was not taken yet. */
interface Input {
  /** Waits until `found` finds the end of something, and gives that. Rejects: ended, silent, or longer than `most`. */
  until(found: (bytes: Buffer) => number | undefined, most: number, what: string): Promise<number>;
  /** Waits for the end of the other side's input. */
  whole(most: number, what: string): Promise<void>;
  /** Up to so many bytes, which are here already. */
  take(length: number): Buffer;
  /** Drops what is here and what comes: it has to be read, or the answer would be lost with the connection's reset. */
  drop(): void;
}

function createInput(socket: Socket, timers: Timers, timeoutMs: number): Input {
  let bytes: Buffer = Buffer.alloc(0);
  let ended = false;
  let isDropping = false;
  let wake = (): void => {};
  socket.on('data', (chunk: Buffer) => {
    if (isDropping) return;
    bytes = bytes.length === 0 ? chunk : Buffer.concat([bytes, chunk]);
    wake();
  });
  for (const event of ['end', 'close'] as const)
    socket.on(event, () => {
      ended = true;
      wake();
    });

  async function change(what: string): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    wake = resolve;
    const cancel = timers.after(timeoutMs, () =>
      reject(new CniFailure(cniCodes.io, `nothing came for ${timeoutMs / 1000} s in the middle of ${what}`)),
    );
    await promise.finally(cancel);
  }

  function drop(): void {
    isDropping = true;
    bytes = Buffer.alloc(0);
  }

  return {
    drop,
    async until(found, most, what) {
      for (;;) {
        const end = found(bytes);
        if (end !== undefined) return end;
        if (bytes.length > most) throw tooLong(what, most);
        if (ended) throw new CniFailure(cniCodes.decoding, `the call ends in the middle of ${what}`);
        await change(what);
      }
    },
    async whole(most, what) {
      for (;;) {
        if (bytes.length > most) throw tooLong(what, most);
        if (ended) return;
        await change(what);
      }
    },
    take(length) {
      const taken = bytes.subarray(0, length);
      bytes = bytes.subarray(taken.length);
      return taken;
    },
  };
}

const tooLong = (what: string, most: number): CniFailure =>
  new CniFailure(cniCodes.decoding, `${what} is longer than ${most} bytes`, 'No network configuration is that long.');
