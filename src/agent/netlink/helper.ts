import { type ChildProcessByStdio, spawn } from 'node:child_process';
import type { Readable, Writable } from 'node:stream';
import { failure } from '../../core/errors.ts';
import { ERRNO, errnoName, messagesOf } from '../../core/net/netlink.ts';
import type { Log } from '../../core/provider.ts';
import type { Timers } from '../../work/clock.ts';
import { ANSWER, createFrameReader, encodeFrame, type Frame, REQUEST, VERSION } from './frames.ts';
import type { EventSource } from './route-wire.ts';
import { type Answers, type DumpEnd, dumpState, type Wire } from './wire.ts';

export interface HelperOptions {
  /** The program of native/build.ts. */
  readonly path: string;
  /** Path of a network namespace; this process's when absent. */
  readonly netns?: string;
  readonly timers: Timers;
  readonly log: Log;
}

/** The netlink sockets of the helper program. When it dies, what was under way is lost, and the next request starts another. */
export interface Helper {
  readonly nft: Wire;
  readonly route: Wire;
  readonly events: EventSource;
  /** Idempotent. Ends the program, what is under way first. */
  close(): Promise<void>;
}

/** Starts it. Throws FL_NETLINK_UNAVAILABLE, FL_NET_ADMIN, FL_NETNS. */
export async function startHelper(options: HelperOptions): Promise<Helper> {
  const helper = new HelperProcess(options);
  await helper.start();
  return {
    nft: helper.wire(REQUEST.NFT_SEND, REQUEST.NFT_DUMP),
    route: helper.wire(REQUEST.ROUTE_SEND, REQUEST.ROUTE_DUMP),
    events: { subscribe: (on) => helper.subscribe(on) },
    close: () => helper.close(),
  };
}

const START_MS = 10_000;
const END_MS = 2_000;
/** Before a helper that died is started again for those who wait for events. */
const RESTART_MS = 1_000;

type Child = ChildProcessByStdio<Writable, Readable, Readable>;
type Listener = (datagram: Uint8Array | undefined) => void;

interface Request {
  on(datagram: Uint8Array): void;
  /** Undefined: answered in full. */
  end(lost: string | undefined): void;
}

class HelperProcess {
  readonly #options: HelperOptions;
  readonly #requests = new Map<number, Request>(); // id -> what waits for its answers
  readonly #listeners = new Set<Listener>();
  #nextId = 1;
  #running: Promise<Child> | undefined;
  #cancelRestart: (() => void) | undefined;
  #closed = false;

  constructor(options: HelperOptions) {
    this.#options = options;
  }

  async start(): Promise<void> {
    await this.#child();
  }

  wire(send: number, dump: number): Wire {
    let seq = 1;
    return {
      sequence(count) {
        const first = seq;
        seq = (first + count) >>> 0;
        return first;
      },
      send: (bytes) => this.#send(send, bytes),
      dump: (bytes, on) => this.#dump(dump, bytes, on),
      close: async () => {}, // the process serves the other wires too; Helper.close ends it
    };
  }

  subscribe(on: Listener): () => void {
    this.#listeners.add(on);
    if (this.#listeners.size === 1) void this.#listen();
    // Who comes later has missed what was before, like the first.
    else queueMicrotask(() => this.#listeners.has(on) && on(undefined));
    return () => void this.#listeners.delete(on);
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#cancelRestart?.();
    this.#listeners.clear();
    const running = this.#running;
    if (running === undefined) return;
    const child = await running.catch(() => undefined);
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise<void>((resolve) => child.once('close', () => resolve()));
    child.stdin.end();
    const cancel = this.#options.timers.after(END_MS, () => child.kill('SIGKILL'));
    await ended;
    cancel();
  }

  #send(code: number, bytes: Uint8Array): Promise<Answers> {
    const datagrams: Uint8Array[] = [];
    return this.#request(code, bytes, (datagram) => datagrams.push(datagram.slice())).then((why) =>
      why === undefined ? { lost: false, datagrams } : { lost: true, why },
    );
  }

  async #dump(code: number, bytes: Uint8Array, on: (datagram: Uint8Array) => void): Promise<DumpEnd> {
    const seq = messagesOf(bytes)[0]?.seq ?? 0;
    let interrupted = false;
    let errno: number | undefined;
    const why = await this.#request(code, bytes, (datagram) => {
      const state = dumpState(datagram, seq);
      interrupted ||= state.interrupted;
      errno ??= state.errno;
      on(datagram);
    });
    if (why !== undefined || errno === undefined) return { lost: true, why: why ?? 'a dump without its end' };
    return { lost: false, errno, interrupted };
  }

  /** Resolves to why the answer is not known; undefined: it is. */
  async #request(code: number, bytes: Uint8Array, on: (datagram: Uint8Array) => void): Promise<string | undefined> {
    if (this.#closed) throw new Error('the helper is closed');
    const child = await this.#child();
    return await new Promise((resolve, reject) => {
      const id = this.#nextId;
      this.#nextId = id === 0xffffffff ? 1 : id + 1;
      let failed: { readonly error: unknown } | undefined;
      this.#requests.set(id, {
        on(datagram) {
          try {
            if (failed === undefined) on(datagram);
          } catch (error) {
            failed = { error };
          }
        },
        end: (lost) => (failed === undefined ? resolve(lost) : reject(failed.error)),
      });
      child.stdin.write(encodeFrame({ id, code, payload: bytes }));
    });
  }

  #child(): Promise<Child> {
    if (this.#running === undefined) {
      const running = this.#spawn();
      this.#running = running;
      running.catch(() => {
        if (this.#running === running) this.#running = undefined;
      });
    }
    return this.#running;
  }

  #spawn(): Promise<Child> {
    const { path, netns, timers, log } = this.#options;
    return new Promise((resolve, reject) => {
      const child = spawn(path, netns === undefined ? [] : [netns], {
        argv0: 'fairlead-netlink',
        stdio: ['pipe', 'pipe', 'pipe'],
      });
      let fatal: Error | undefined;
      const late = unavailable(path, `no greeting in ${START_MS} ms`);
      const cancel = timers.after(START_MS, () => {
        fatal = late;
        child.kill('SIGKILL');
      });
      const read = createFrameReader((frame) => {
        if (frame.code === ANSWER.FATAL) fatal = fatalError(this.#options, frame.payload);
        else if (frame.code !== ANSWER.HELLO) this.#answer(frame);
        else if (Buffer.from(frame.payload).readUInt32LE() !== VERSION) fatal = unavailable(path, 'of another version');
        else {
          cancel();
          resolve(child);
        }
        if (fatal !== undefined) child.kill('SIGKILL');
      });
      child.stdout.on('data', (chunk: Buffer) => {
        try {
          read(chunk);
        } catch (error) {
          fatal = unavailable(path, String(error));
          child.kill('SIGKILL');
        }
      });
      child.stderr.on('data', (chunk: Buffer) => log.warn({ text: chunk.toString().trim() }, 'netlink helper'));
      child.stdin.on('error', () => {}); // its end is told by 'close'
      child.on('error', (error) => {
        cancel();
        reject(unavailable(path, error.message, error));
      });
      child.on('close', (code, signal) => {
        cancel();
        const why = fatal ?? unavailable(path, `it ended by itself (${signal ?? `exit status ${code}`})`);
        reject(why);
        this.#ended(why);
      });
    });
  }

  #answer({ id, code, payload }: Frame): void {
    if (code === ANSWER.EVENT || code === ANSWER.EVENTS_LOST) {
      this.#tell(code === ANSWER.EVENT ? payload : undefined);
      return;
    }
    const request = this.#requests.get(id);
    if (code === ANSWER.DATAGRAM) {
      request?.on(payload);
      return;
    }
    this.#requests.delete(id);
    request?.end(code === ANSWER.END ? undefined : errorText(payload));
  }

  #ended(why: Error): void {
    this.#running = undefined;
    const requests = [...this.#requests.values()];
    this.#requests.clear();
    for (const request of requests) request.end(why.message);
    if (this.#closed) return;
    this.#options.log.warn({ err: why }, 'the netlink helper ended');
    if (this.#listeners.size === 0) return;
    this.#tell(undefined);
    this.#restartLater();
  }

  /** Once events come, or come again, whoever listens is told to look for what was before. */
  async #listen(): Promise<void> {
    try {
      const why = await this.#request(REQUEST.SUBSCRIBE, new Uint8Array(), () => {});
      if (why === undefined) this.#tell(undefined);
      else throw new Error(why);
    } catch (error) {
      if (this.#closed) return;
      this.#options.log.warn({ err: error }, 'no events of links, addresses and routes; trying again');
      this.#restartLater();
    }
  }

  #restartLater(): void {
    this.#cancelRestart?.();
    this.#cancelRestart = this.#options.timers.after(RESTART_MS, () => {
      if (this.#listeners.size > 0) void this.#listen();
    });
  }

  #tell(datagram: Uint8Array | undefined): void {
    for (const on of [...this.#listeners]) on(datagram);
  }
}

/** '105 receive' -> 'receive: ENOBUFS' */
function errorText(payload: Uint8Array): string {
  const [errno = '', what = ''] = Buffer.from(payload).toString().split(' ');
  return `${what}: ${errnoName(Number(errno))}`;
}

function fatalError({ path, netns }: HelperOptions, payload: Uint8Array): Error {
  const text = Buffer.from(payload).toString();
  const [errno = '', what = ''] = text.split(' ');
  if (what === 'netns') {
    return failure('FL_NETNS', `network namespace ${netns} cannot be entered: ${errnoName(Number(errno))}`);
  }
  if (Number(errno) === ERRNO.EPERM) {
    return failure('FL_NET_ADMIN', `${path} may not change the network: it needs the capability CAP_NET_ADMIN`);
  }
  return unavailable(path, errorText(payload));
}

const unavailable = (path: string, why: string, cause?: unknown): Error =>
  failure('FL_NETLINK_UNAVAILABLE', `the netlink helper ${path} does not work: ${why}`, { cause });
