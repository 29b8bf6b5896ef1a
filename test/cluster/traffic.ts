/**
 * A client that never rests: `node traffic.ts URL FILE` asks the URL on a new connection every 5 ms, and all the time on one
 * connection that it keeps, until FILE exists and it has asked 300 times; then it writes what it met into FILE.json.
 */
import { existsSync, renameSync, writeFileSync } from 'node:fs';
import { Agent, get } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';

export interface Met {
  readonly asked: number;
  /** Of new connections and of the one that is kept. */
  readonly failures: readonly string[];
  /** Answers -> how often. */
  readonly answers: Readonly<Record<string, number>>;
  /** How often the kept connection was asked; and connections that this took, 1 unless one broke. */
  readonly keptAsked: number;
  readonly keptConnections: number;
}

const LEAST = 300;

if (import.meta.main) await run(process.argv[2] ?? '', process.argv[3] ?? '');

async function run(url: string, file: string): Promise<void> {
  const fresh = new Agent({ keepAlive: false });
  const kept = new Agent({ keepAlive: true, maxSockets: 1 });
  const failures: string[] = [];
  const answers: Record<string, number> = {};
  const sockets = new Set<object>();
  const pending = new Set<Promise<void>>();
  let asked = 0;
  let keptAsked = 0;
  const isOver = (): boolean => asked >= LEAST && existsSync(file);

  async function keep(): Promise<void> {
    while (!isOver()) {
      keptAsked += 1;
      await ask(url, kept, (socket) => sockets.add(socket)).then(
        () => sleep(20),
        (error) => void failures.push(`kept: ${String(error)}`),
      );
    }
  }
  const keeping = keep();
  while (!isOver()) {
    asked += 1;
    const one = ask(url, fresh, () => {}).then(
      (answer) => {
        answers[answer] = (answers[answer] ?? 0) + 1;
      },
      (error) => void failures.push(String(error)),
    );
    pending.add(one);
    void one.then(() => pending.delete(one));
    await sleep(5);
  }
  await Promise.all([keeping, ...pending]);
  const met: Met = { asked, failures, answers, keptAsked, keptConnections: sockets.size };
  writeFileSync(`${file}.tmp`, JSON.stringify(met));
  renameSync(`${file}.tmp`, `${file}.json`);
  process.exit();
}

/** A connection that hangs is a failure too. */
function ask(url: string, agent: Agent, onSocket: (socket: object) => void): Promise<string> {
  return new Promise((resolve, reject) => {
    const started = performance.now();
    const request = get(url, { agent, timeout: 10_000 }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk;
      });
      response.once('error', reject);
      response.once('end', () => {
        if (response.statusCode === 200) resolve(text);
        else reject(new Error(`${response.statusCode} ${text}`));
      });
    });
    request.once('socket', onSocket);
    request.once('timeout', () => request.destroy(new Error(`no answer for ${performance.now() - started} ms`)));
    request.once('error', reject);
  });
}
