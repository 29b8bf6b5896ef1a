import type { Clock, Limits, Provider } from '../core/provider.ts';
import type { Metrics } from '../obs/metrics.ts';
import type { Timers } from '../work/clock.ts';
import { createLimiter, type Limiter } from '../work/limit.ts';

/** Of a provider that declares no limits: nobody knows a rate, and nobody knows which of its errors are the backend's. */
const UNDECLARED: Limits = { default: { concurrency: 64 } };

/** The one limiter of a provider, for all controllers that call it. It ends what it counts when it is closed. */
export function limiterOf(
  { name: provider, limits }: Provider,
  { clock, metrics }: { readonly clock: Clock & Timers; readonly metrics: Metrics },
): Limiter {
  const limiter = createLimiter({
    clock,
    classes: limits ?? UNDECLARED,
    ...(limits === undefined ? {} : { circuits: true as const }),
    waited: (seconds) => metrics.observe('fairlead_cloud_throttle_wait_seconds', { provider }, seconds),
    opened: (apiClass) => metrics.count('fairlead_cloud_circuit_opened_total', { provider, class: apiClass }),
  });
  const unasked = metrics.ask('fairlead_cloud_rate_limit', () =>
    limiter.rates().map(([apiClass, perSecond]) => [{ provider, class: apiClass }, perSecond] as const),
  );
  return {
    ...limiter,
    async close() {
      unasked();
      await limiter.close();
    },
  };
}
