import type { Call, Log } from '../../core/provider.ts';
import type { Limiter } from '../../work/limit.ts';
import { turn } from '../../work/turns.ts';
import type { Collaborators } from './parts.ts';

/** What a provider gets for one run: its end, a log that names the Service, and a place in the limiter. */
export function callOf(
  { clock, log, metrics }: Collaborators,
  limiter: Limiter,
  signal: AbortSignal,
  key: string,
  trace: Call['trace'],
): Call {
  let phase: { readonly at: string; readonly sinceMs: number } | undefined;
  const enter = (at: string) => {
    const nowMs = clock.monotonicMs();
    if (phase !== undefined) {
      const labels = { controller: 'service', phase: phase.at };
      metrics.observe('fairlead_reconcile_duration_seconds', labels, (nowMs - phase.sinceMs) / 1000);
    }
    phase = at === 'progress' ? undefined : { at, sinceMs: nowMs };
  };
  return {
    signal,
    log: withKey(log, key),
    limit: limiter.for(signal),
    pause: turn,
    trace(step) {
      if (step.at === 'applied') {
        const outcome = step.error === undefined ? 'ok' : 'error';
        metrics.count('fairlead_actions_total', { controller: 'service', kind: step.action.kind, outcome });
      } else if (step.at !== phase?.at) enter(step.at);
      trace?.(step);
    },
  };
}

function withKey(log: Log, key: string): Log {
  const add = (level: keyof Log) => (fields: object, message: string) => log[level]({ key, ...fields }, message);
  return { debug: add('debug'), info: add('info'), warn: add('warn'), error: add('error') };
}
