import type { Progress } from '../../src/core/provider.ts';
import type { Observed } from './diff.ts';
import type { Desired } from './plan.ts';

const RETRY_MS = 1000;

/** Ready when the cloud says `active`; for `undefined` when nothing of ours is there, also nothing that is being deleted. */
export function progress(desired: Desired | undefined, observed: Observed): Progress {
  const pending = (reason: string): Progress => ({ state: 'pending', reason, retryAfterMs: RETRY_MS });
  if (desired === undefined) {
    const isGone = observed.state === 'absent' || observed.state === 'foreign';
    return isGone ? { state: 'ready', ingress: [] } : pending(`balancer ${observed.name} is ${observed.state}`);
  }
  switch (observed.state) {
    case 'absent':
    case 'foreign':
      return pending('the balancer is not there');
    case 'creating':
    case 'deleting':
      return pending(`balancer ${observed.name} is ${observed.state}`);
    case 'active': {
      const ports = observed.ports.map(({ port, protocol }) => ({ port, protocol }));
      const ingress = [{ ip: observed.address, ipMode: 'VIP' as const, ports }];
      const { shortfalls } = desired;
      return { state: 'ready', ingress, ...(shortfalls.length === 0 ? {} : { shortfalls }) };
    }
    default:
      return observed satisfies never;
  }
}
