import type { Clock } from '../../src/core/provider.ts';

/** What lives as long as the provider. */
export interface Lifetime {
  /** Aborts when the provider is closed. */
  readonly signal: AbortSignal;
  /** Runs `run` once after `ms`, unless the returned function or the end of the provider comes first. */
  after(ms: number, run: () => void): () => void;
  end(): void;
}

export function createLifetime(clock: Clock): Lifetime {
  const life = new AbortController();
  return {
    signal: life.signal,
    after(ms, run) {
      const timer = new AbortController();
      clock.sleep(ms, AbortSignal.any([timer.signal, life.signal])).then(run, () => {}); // cancelled
      return () => timer.abort();
    },
    end: () => life.abort(new Error('the on-prem provider was closed')),
  };
}
