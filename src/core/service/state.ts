import type { Service } from '../objects.ts';

/** A Service of type LoadBalancer in one word. Pending: no controller has said anything. */
export type ServiceState = 'Serving' | 'Provisioning' | 'Degraded' | 'Failed' | 'Pending';

export interface StateText {
  readonly state: ServiceState;
  /** Why it is not simply serving; empty when it is. */
  readonly reason: string;
  readonly message: string;
}

/** What the conditions say, in a word. */
export function stateOf(status: Service['status']): StateText {
  const conditions = new Map((status?.conditions ?? []).map((condition) => [condition.type, condition]));
  const text = (type: string) => {
    const { reason = '', message = '' } = conditions.get(type) ?? {};
    return { reason, message };
  };
  const is = (type: string) => conditions.get(type)?.status === 'True';
  if (is('LoadBalancerDegraded')) return { state: 'Degraded', ...text('LoadBalancerDegraded') };
  if (is('LoadBalancerProvisioning')) return { state: 'Provisioning', ...text('LoadBalancerProvisioning') };
  if (is('LoadBalancerServing')) return { state: 'Serving', reason: '', message: '' };
  if (conditions.has('LoadBalancerServing')) return { state: 'Failed', ...text('LoadBalancerServing') };
  return (status?.loadBalancer?.ingress ?? []).length > 0
    ? { state: 'Serving', reason: 'no condition', message: 'another controller wrote this ingress' }
    : { state: 'Pending', reason: 'no condition', message: 'no controller has taken this Service' };
}
