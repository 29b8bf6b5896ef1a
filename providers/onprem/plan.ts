import { type AddressRequest, requestOf } from '../../src/core/ipam/request.ts';
import type { LoadBalancerSpec } from '../../src/core/provider.ts';

/** What a Service should have on-prem: nothing but addresses. */
export type Desired = AddressRequest;

/** Throws ProviderError 'invalid' with the field: bad requests that no pool could ever fulfil. */
export function plan(spec: LoadBalancerSpec): Desired {
  return requestOf(spec);
}
