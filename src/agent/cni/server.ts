import { chmodSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { dirname } from 'node:path';
import { failureJson } from '../../core/cni/failure.ts';
import { LATEST } from '../../core/cni/versions.ts';
import { failure } from '../../core/errors.ts';
import type { Log } from '../../core/provider.ts';
import type { Timers } from '../../work/clock.ts';
import { type Caller, receive } from './caller.ts';
import { codeOf } from './disk.ts';

export interface ServerOptions {
  /** Path of the Unix socket; its folder is made when it is missing. */
  readonly path: string;
  readonly log: Log;
  readonly timers: Timers;
  /** Serves one call to its end. Never rejects. */
  readonly serve: (caller: Caller) => Promise<void>;
  /** Silence in the middle of a call that ends it. Default 60 s. */
  readonly timeoutMs?: number;
}

export interface CniServer {
  /** Takes no more calls and ends those under way as a killed process would: the shims take their links away. */
  close(): Promise<void>;
}

/** More calls at once than any node has pods; the kernel queues the next ones. */
const MOST_CALLS = 1024;
/** Of a caller that goes on writing after its answer. */
const DRAIN_MS = 5_000;

/**
 * Listens for calls of the plugin. The socket appears in one step and takes the place of one that a dead agent left;
 * while another agent answers at it, this throws FL_CNI_SOCKET.
 */
export async function listen({ path, log, timers, serve, timeoutMs }: ServerOptions): Promise<CniServer> {
  const sockets = new Set<Socket>();
  const handle = async (socket: Socket): Promise<void> => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
    // Whatever breaks a connection shows as its end; the one who waits for it decides.
    socket.on('error', (err) => log.debug({ err }, 'connection of a CNI call'));
    const received = await receive({ socket, timers, ...(timeoutMs === undefined ? {} : { timeoutMs }) });
    if ('failure' in received) {
      log.warn({ err: received.failure }, 'not a CNI call');
      await received.answer(1, failureJson(LATEST, received.failure));
    } else await serve(received);
    const cancel = timers.after(DRAIN_MS, () => socket.destroy());
    socket.once('close', cancel);
    if (socket.closed) cancel();
  };
  // Half-open: the shell form ends its side before it has the answer.
  const server = createServer({ allowHalfOpen: true }, (socket) => void handle(socket));
  server.maxConnections = MOST_CALLS;
  const fresh = `${path}.${process.pid}`;
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
    if (await isAnswered(path)) throw failure('FL_CNI_SOCKET', `another agent serves ${path}`);
    rmSync(fresh, { force: true });
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(fresh, resolve);
    });
    // Whoever may connect may take a pod's network away.
    chmodSync(fresh, 0o600);
    renameSync(fresh, path);
  } catch (error) {
    server.close();
    if (codeOf(error) === 'FL_CNI_SOCKET') throw error;
    throw failure('FL_CNI_SOCKET', `${path} cannot be listened on: ${(error as Error).message}`, { cause: error });
  }
  return {
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  };
}

function isAnswered(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
