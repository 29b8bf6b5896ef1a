import type { Log } from '../../src/core/provider.ts';
import type { Lifetime } from './lifetime.ts';
import { isCode } from './outcome.ts';

/** Something that is brought up to date in the background, behind everything that a person waits for. */
export interface Task {
  /** Runs soon, once for any number of calls; again after the present run when that is under way. */
  poke(): void;
}
export interface TaskOptions {
  readonly name: string;
  readonly lifetime: Lifetime;
  readonly log: Log;
  /** Idempotent; a failure is logged and tried again. */
  readonly run: () => Promise<void>;
  /** Shortest time between two beginnings, in ms. Default 0. */
  readonly everyMs?: number;
  readonly monotonicMs: () => number;
}

const RETRY_BASE_MS = 1000;
const RETRY_CAP_MS = 60_000;

export function createTask({ name, lifetime, log, run, everyMs = 0, monotonicMs }: TaskOptions): Task {
  let state: 'idle' | 'waiting' | 'running' | 'again' = 'idle';
  let begunMs = Number.NEGATIVE_INFINITY;
  let failures = 0;

  function schedule(ms: number): void {
    state = 'waiting';
    lifetime.after(Math.max(0, ms), () => void begin());
  }

  async function begin(): Promise<void> {
    state = 'running';
    begunMs = monotonicMs();
    try {
      await run();
      failures = 0;
      const isPoked = (state as string) === 'again';
      state = 'idle';
      if (isPoked) schedule(begunMs + everyMs - monotonicMs());
    } catch (error) {
      if (lifetime.signal.aborted) return;
      failures += 1;
      const isNormal = isCode(error, 'FL_KUBE_NOT_LEADER') || isCode(error, 'FL_KUBE_CONFLICT');
      const level = isNormal ? 'debug' : 'warn';
      log[level]({ task: name, failures, err: error }, 'background write failed');
      schedule(Math.min(RETRY_CAP_MS, RETRY_BASE_MS * 2 ** (failures - 1)));
    }
  }

  return {
    poke() {
      if (state === 'running') state = 'again';
      else if (state === 'idle') schedule(begunMs + everyMs - monotonicMs());
    },
  };
}
