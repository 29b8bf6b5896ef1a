import type { Clock } from '../core/provider.ts';
import type { Timers } from '../work/clock.ts';

/** `undefined` when all is well, else why not, in a few words for a person. Quick, and never throws. */
export type Check = () => string | undefined;

/** What each health path asks; /healthz asks all three groups. */
export interface Checks {
  /** A failure here means: restart this process. */
  readonly livez: Readonly<Record<string, Check>>;
  /** A failure here means: not ready to work. A standby is ready. */
  readonly readyz: Readonly<Record<string, Check>>;
  /** Asked by /healthz alone: the leader's lease. */
  readonly healthz?: Readonly<Record<string, Check>>;
}

export interface Answer {
  readonly status: number;
  readonly contentType: string;
  readonly body: string;
  /** Further headers, names in lower case. */
  readonly headers?: Readonly<Record<string, string>>;
}

/**
 * The answer to a health path, `undefined` for any other one. As kube-apiserver's: `/livez`, `/readyz` and `/healthz` say
 * `ok` or fail with 500 and the list of checks; `?verbose` always lists; `?exclude=NAME` leaves checks out;
 * `/livez/NAME` asks one.
 */
export function answerHealth(checks: Checks, url: URL): Answer | undefined {
  const [, group = '', name, ...rest] = url.pathname.split('/');
  const asked = groupOf(checks, group);
  if (asked === undefined || rest.length > 0) return undefined;
  if (name === undefined || name === '') return listOf(group, asked, url.searchParams);
  const check = asked.get(name);
  if (check === undefined) return undefined;
  return listOf(group, new Map([[name, check]]), url.searchParams);
}

function groupOf({ livez, readyz, healthz = {} }: Checks, group: string): Map<string, Check> | undefined {
  const ping = { ping: () => undefined };
  if (group === 'livez') return new Map(Object.entries({ ...ping, ...livez }));
  if (group === 'readyz') return new Map(Object.entries({ ...ping, ...readyz }));
  if (group === 'healthz') return new Map(Object.entries({ ...ping, ...livez, ...readyz, ...healthz }));
  return undefined;
}

function listOf(group: string, checks: Map<string, Check>, query: URLSearchParams): Answer {
  const excluded = new Set(query.getAll('exclude').filter((name) => name !== ''));
  const lines: string[] = [];
  let failed = 0;
  for (const [name, check] of checks) {
    if (excluded.delete(name)) {
      lines.push(`[+]${name} excluded: ok`);
      continue;
    }
    const reason = check();
    if (reason !== undefined) failed += 1;
    lines.push(reason === undefined ? `[+]${name} ok` : `[-]${name} failed: ${reason}`);
  }
  for (const name of excluded) lines.push(`warn: there is no health check ${JSON.stringify(name)} to exclude`);
  lines.push(`${group} check ${failed === 0 ? 'passed' : 'failed'}`);
  const brief = failed === 0 && !query.has('verbose');
  return {
    status: failed === 0 ? 200 : 500,
    contentType: 'text/plain; charset=utf-8',
    body: brief ? 'ok' : `${lines.join('\n')}\n`,
  };
}

const BEAT_MS = 1000;

/**
 * Fails while, and for `limitMs` after, the event loop stood still for more than `limitMs`: a request that waited for
 * the loop meets a loop that turns again, so the stall itself would never be seen. `stop` ends the timer.
 */
export function createLoopCheck(
  clock: Pick<Clock, 'monotonicMs'> & Timers,
  limitMs = 10_000,
): { readonly check: Check; stop(): void } {
  let turnedMs = clock.monotonicMs();
  let stall = { ms: 0, endedMs: 0 };
  let cancel = clock.after(BEAT_MS, beat);

  /** A stall that lasts counts too: the beat that would end it may be late itself. */
  function look(): void {
    const nowMs = clock.monotonicMs();
    const ms = nowMs - turnedMs;
    if (ms > limitMs) stall = { ms, endedMs: nowMs };
  }

  function beat(): void {
    look();
    turnedMs = clock.monotonicMs();
    cancel = clock.after(BEAT_MS, beat);
  }

  return {
    check() {
      look();
      if (stall.ms === 0 || clock.monotonicMs() - stall.endedMs > limitMs) return undefined;
      return `the event loop stood still for ${Math.round(stall.ms / 1000)} s`;
    },
    stop: () => cancel(),
  };
}
