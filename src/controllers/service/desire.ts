import { keyOf, type Service } from '../../core/objects.ts';
import { type DesiredLoadBalancer, desiredOf } from '../../core/service/desired.ts';
import type { Parts } from './parts.ts';

/** The spec of a Service of ours in the world as the stores show it. Throws as `desiredOf`. */
export function desire(parts: Parts, service: Service): DesiredLoadBalancer {
  const { cluster, loadBalancers, members, slices, cache } = parts;
  return desiredOf(service, {
    cluster,
    ...(loadBalancers.interpret === undefined ? {} : { interpret: loadBalancers.interpret }),
    members: members(),
    slices: () => slices().by('service', keyOf(service)),
    cache,
  });
}
