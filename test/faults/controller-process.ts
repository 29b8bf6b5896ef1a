import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { freePort } from '../kube/cluster.ts';
import type { Guarded, Running } from '../kube/guard.ts';

const main = fileURLToPath(new URL('../../src/main.ts', import.meta.url));

/** A real controller of on-prem, from source, as a process that gets real signals. */
export interface ControllerProcess extends Pick<Running, 'name' | 'signal' | 'ended'> {
  /** 'exit 1', 'SIGKILL'; fails when it does not end in time. */
  end(withinMs?: number): Promise<string>;
  /** Whether a log line has exactly this message. */
  said(message: string): boolean;
  /** Fails when it does not say it in time, or ends before. */
  untilSaid(message: string, withinMs?: number): Promise<void>;
  /** All that it was given to do is done: after its first audit, with nothing waiting or running. */
  untilIdle(withinMs?: number): Promise<void>;
  /** Requests that it sent to the API server so far, by method, as its own metrics count them. */
  requests(): Promise<Readonly<Record<string, number>>>;
}

/** Short, so that a takeover takes seconds. */
export const shortLease = { durationMs: 3000, renewMs: 2000, retryMs: 500 };

export async function startControllerProcess(
  guard: Guarded,
  name: string,
  kubeconfig: string,
  leaseName: string,
  lease = shortLease,
): Promise<ControllerProcess> {
  const port = await freePort();
  const program = guard.start(name, process.execPath, [
    main,
    'controller',
    '--provider=onprem',
    `--kubeconfig=${kubeconfig}`,
    `--leader-elect-resource-name=${leaseName}`,
    `--leader-elect-lease-duration=${lease.durationMs}ms`,
    `--leader-elect-renew-deadline=${lease.renewMs}ms`,
    `--leader-elect-retry-period=${lease.retryMs}ms`,
    '--secure-port=0',
    `--metrics-bind-address=127.0.0.1:${port}`,
  ]);
  const said = (message: string): boolean =>
    readFileSync(`${guard.folder}/${name}.log`, 'utf8').includes(`"msg":${JSON.stringify(message)}`);
  const alive = (): void => {
    if (program.end !== undefined) throw new Error(`${name} ended (${program.end}):\n${program.log()}`);
  };
  const metrics = async (): Promise<string> => {
    alive();
    return await (await fetch(`http://127.0.0.1:${port}/metrics`, { signal: AbortSignal.timeout(10_000) })).text();
  };
  const untilSaid = (message: string, withinMs = 30_000): Promise<void> =>
    until(
      `${name} says "${message}"`,
      () => {
        if (said(message)) return true;
        alive();
        return false;
      },
      withinMs,
    );
  return {
    name,
    signal: program.signal,
    ended: program.ended,
    async end(withinMs = 25_000) {
      await until(`${name} ends`, () => program.end !== undefined, withinMs);
      return program.end as string;
    },
    said,
    untilSaid,
    async untilIdle(withinMs = 30_000) {
      await untilSaid('audit', withinMs);
      await until(
        `${name} is idle`,
        async () => {
          const text = await metrics();
          // Without a sample as long as nothing was ever to do, but named.
          return ['workqueue_depth', 'workqueue_unfinished_work_seconds'].every((name) => {
            if (!text.includes(`# TYPE ${name} `)) throw new Error(`no such metric: ${name}`);
            return [...text.matchAll(new RegExp(`^${name}(?:\\{[^}]*\\})? (\\S+)$`, 'gm'))].every(
              ([, n]) => Number(n) === 0,
            );
          });
        },
        withinMs,
      );
    },
    async requests() {
      const counts: Record<string, number> = {};
      for (const [, labels = '', value] of (await metrics()).matchAll(
        /^rest_client_requests_total\{([^}]*)\} (\d+)/gm,
      )) {
        const method = /method="(\w+)"/.exec(labels)?.[1] ?? '';
        counts[method] = (counts[method] ?? 0) + Number(value);
      }
      return counts;
    },
  };
}

/** Looks again and again until it holds; an error of `holds` ends it. */
export async function until(what: string, holds: () => boolean | Promise<boolean>, withinMs = 30_000): Promise<void> {
  const endMs = performance.now() + withinMs;
  while (!(await holds())) {
    if (performance.now() > endMs) throw new Error(`not within ${withinMs} ms: ${what}`);
    await sleep(20);
  }
}
