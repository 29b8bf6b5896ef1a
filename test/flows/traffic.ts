/** The program of traffic.c as functions: servers and clients in any network namespace. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { cacheFolder } from '../kube/build.ts';

export type Protocol = 'tcp' | 'udp' | 'sctp';

/** What one kind of try came to: 'a=', 'a^', 'a~10.0.0.1' (traffic.c), 'refused', 'timeout', 'silent', an error -> how often. */
export type Outcomes = ReadonlyMap<string, number>;

/** Where from and where to. */
export interface Flow {
  readonly ns: string;
  /** Absent: the kernel chooses. */
  readonly source?: string;
  /** Absent: another one for each try. */
  readonly sourcePort?: number;
  readonly protocol: Protocol;
  readonly address: string;
  readonly port: number;
}

export interface TryOptions {
  readonly count: number;
  /** At most this many at once (16). */
  readonly parallel?: number;
  /** Of each (300). */
  readonly timeoutMs?: number;
}

/** Tries that are under way. */
export interface Tries {
  readonly outcomes: Promise<Outcomes>;
  /** Starts no more; `outcomes` then tells of those that were started. */
  stop(): Promise<void>;
}

export interface Server {
  readonly ns: string;
  /** What it answers with. Letters and digits. */
  readonly name: string;
  readonly address: string;
  readonly port: number;
}

/** One TCP connection that stays open. */
export interface Held {
  /** Of the connect: 'a=' and so on. */
  readonly outcome: string;
  /** Asks the server at the other end: 'echo', 'timeout', 'gone', 'refused' or another error. */
  echo(timeoutMs?: number): Promise<string>;
  drop(): Promise<void>;
}

export interface Traffic {
  /** A namespace must be told before it is used. */
  addNamespace(ns: string, path: string): Promise<void>;
  serve(server: Server): Promise<void>;
  leave(server: Server): Promise<void>;
  /** TCP that reaches this address and port in the namespace goes on in ours. */
  forward(ns: string, address: string, port: number, to: { address: string; port: number }): Promise<void>;
  start(flow: Flow, options: TryOptions): Tries;
  try(flow: Flow, options: TryOptions): Promise<Outcomes>;
  hold(flow: Omit<Flow, 'protocol'>, timeoutMs?: number): Promise<Held>;
  /** Nanoseconds of connects one after the other, sorted. Throws when one fails. Nothing else happens meanwhile. */
  latencies(flow: Omit<Flow, 'protocol'>, count: number): Promise<readonly number[]>;
  /** Ends the program and with it every socket. */
  close(): Promise<void>;
}

/** Compiles the program where the cache lacks it, and starts it. */
export function startTraffic(): Traffic {
  const child = spawn(compiled(), [], { stdio: ['pipe', 'pipe', 'inherit'] });
  const waiting = new Map<string, (words: readonly string[]) => void>(); // tag -> who waits for its line
  const refuse = new Set<(cause: Error) => void>();
  let ended: Error | undefined;
  let count = 0;
  createInterface({ input: child.stdout }).on('line', (line) => {
    const [tag = '', ...words] = line.split(' ');
    waiting.get(tag)?.(words);
    waiting.delete(tag);
  });
  child.once('exit', (code, signal) => {
    ended = new Error(`the traffic program ended with ${code ?? signal}`);
    for (const reject of refuse) reject(ended);
  });
  child.stdin.on('error', () => {}); // 'exit' tells

  function send(...words: readonly (string | number)[]): { tag: string; answer: Promise<readonly string[]> } {
    count += 1;
    const tag = `t${count}`;
    const { promise, resolve, reject } = Promise.withResolvers<readonly string[]>();
    if (ended !== undefined) reject(ended);
    refuse.add(reject);
    waiting.set(tag, resolve);
    child.stdin.write(`${[tag, ...words].join(' ')}\n`);
    return { tag, answer: promise.finally(() => refuse.delete(reject)) };
  }
  const ask = (...words: readonly (string | number)[]): Promise<readonly string[]> => send(...words).answer;

  function start(flow: Flow, { count, parallel = 16, timeoutMs = 300 }: TryOptions): Tries {
    const { ns, protocol, source = '-', sourcePort = 0, address, port } = flow;
    const { tag, answer } = send(
      'try',
      ns,
      protocol,
      source,
      sourcePort,
      address,
      port,
      count,
      sourcePort === 0 ? parallel : 1,
      timeoutMs,
    );
    return {
      outcomes: answer.then(counted),
      stop: async () => {
        await ask('stop', tag);
      },
    };
  }

  return {
    async addNamespace(ns, path) {
      await ask('ns', ns, path);
    },
    async serve({ ns, name, address, port }) {
      await ask('serve', ns, name, address, port);
    },
    async leave({ ns, name, address, port }) {
      await ask('leave', ns, name, address, port);
    },
    async forward(ns, address, port, to) {
      await ask('forward', ns, address, port, to.address, to.port);
    },
    start,
    try: (flow, options) => start(flow, options).outcomes,
    async hold({ ns, source = '-', address, port }, timeoutMs = 1000) {
      const { tag, answer } = send('hold', ns, source, address, port, timeoutMs);
      return {
        outcome: only(await answer),
        echo: async (echoMs = 1000) => only(await ask('echo', tag, echoMs)),
        drop: async () => {
          await ask('drop', tag);
        },
      };
    },
    async latencies({ ns, source = '-', address, port }, count) {
      const words = await ask('latency', ns, source, address, port, count);
      const times = words.map(Number);
      if (times.length !== count || times.some(Number.isNaN)) throw new Error(`connect failed: ${words.join(' ')}`);
      return times;
    },
    async close() {
      child.stdin.end();
      await exit(child);
    },
  };
}

function counted(words: readonly string[]): Outcomes {
  return new Map(
    words.map((word) => {
      const at = word.lastIndexOf('*');
      return [word.slice(0, at), Number(word.slice(at + 1))];
    }),
  );
}

function only(words: readonly string[]): string {
  return [...counted(words).keys()].join(' ');
}

function exit(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve();
  return new Promise((resolve) => child.once('exit', () => resolve()));
}

function compiled(): string {
  const source = join(import.meta.dirname, 'traffic.c');
  const hash = createHash('sha256').update(readFileSync(source)).digest('hex').slice(0, 16);
  const folder = join(cacheFolder(), 'flows');
  const program = join(folder, `traffic-${hash}`);
  if (existsSync(program)) return program;
  mkdirSync(folder, { recursive: true });
  const unfinished = `${program}.${process.pid}.tmp`;
  const { status, error, stderr } = spawnSync('gcc', ['-O2', '-Wall', '-Wextra', '-Werror', '-o', unfinished, source], {
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(`test/flows/traffic.c: ${error?.message ?? stderr}`, { cause: error });
  renameSync(unfinished, program);
  return program;
}
