import { failure } from '../../core/errors.ts';
import type { Call } from '../../core/provider.ts';
import { createDeadline } from '../../kube/deadline.ts';
import { turn } from '../../work/turns.ts';
import type { Collaborators } from './parts.ts';

/** A call of the provider with its own end; `end` is to be called on every path. */
export interface Bounded {
  readonly call: Call;
  end(): void;
}

/** What a provider gets for one run: its end, a log that names what it is about, and a place in the limiter. */
export function callWithin(
  { clock, log, limiter }: Pick<Collaborators, 'clock' | 'log' | 'limiter'>,
  { signal, ms, about }: { readonly signal: AbortSignal; readonly ms: number; readonly about: string },
): Bounded {
  const deadline = createDeadline(signal, clock, ms, () => failure('FL_RUN_DEADLINE', `no end after ${ms / 1000} s`));
  const named = (level: keyof typeof log) => (fields: object, message: string) =>
    log[level]({ route: about, ...fields }, message);
  return {
    call: {
      signal: deadline.signal,
      log: { debug: named('debug'), info: named('info'), warn: named('warn'), error: named('error') },
      limit: limiter.for(deadline.signal),
      pause: turn,
    },
    end: () => deadline.end(),
  };
}
