import type { ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Netns } from '../netns.ts';
import { asker, programOf } from './inside.ts';

export interface Question {
  readonly address: string;
  readonly port: number;
  /** Default TCP: HTTP. */
  readonly protocol?: 'TCP' | 'UDP';
  /** Default 2000. */
  readonly timeoutMs?: number;
}

/** What came back: the name of the pod and whom it saw, or a code such as ECONNREFUSED or ETIMEDOUT. */
export type Reply = { readonly pod: string; readonly sees: string } | { readonly error: string };

/** Somebody in a namespace who opens connections. */
export interface Asker {
  /** Never rejects: a refusal is an answer. */
  ask(question: Question): Promise<Reply>;
  close(): void;
}

/** Starts one; it ends with the sandbox. */
export function createAsker(netns: Netns, ns: string): Asker {
  const child: ChildProcess = netns.spawn(ns, [process.execPath, '-e', programOf(asker)], {
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  const waiting = new Map<number, (reply: Reply) => void>(); // id -> who waits for it
  let last = 0;
  let ended = false;
  const end = (): void => {
    ended = true;
    for (const resolve of waiting.values()) resolve({ error: 'the asker has ended' });
    waiting.clear();
  };
  child.once('error', end);
  child.once('exit', end);
  child.stdin?.on('error', () => {}); // it has ended, which `exit` tells
  if (child.stdout !== null)
    createInterface({ input: child.stdout }).on('line', (line) => {
      const { id, text, error } = JSON.parse(line) as { id: number; text?: string; error?: string };
      const [pod = '', sees = ''] = (text ?? '').split(' ');
      waiting.get(id)?.(error === undefined ? { pod, sees } : { error });
      waiting.delete(id);
    });
  return {
    ask({ address, port, protocol = 'TCP', timeoutMs = 2000 }) {
      if (ended) return Promise.resolve({ error: 'the asker has ended' });
      last += 1;
      const id = last;
      return new Promise((resolve) => {
        waiting.set(id, resolve);
        child.stdin?.write(`${JSON.stringify({ id, address, port, protocol, timeoutMs })}\n`);
      });
    },
    close: () => void child.kill('SIGKILL'),
  };
}
