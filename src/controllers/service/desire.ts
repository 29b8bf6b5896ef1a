import { isProviderError } from '../../core/errors.ts';
import { keyOf, type Service } from '../../core/objects.ts';
import { type DesiredLoadBalancer, desiredOf } from '../../core/service/desired.ts';
import type { Parts } from './parts.ts';

/** The spec of a Service of ours in the world as the stores show it. Throws as `desiredOf`. */
export function desire(parts: Parts, service: Service): DesiredLoadBalancer {
  const { cluster, loadBalancers, members, slices, pods, cache } = parts;
  return desiredOf(service, {
    cluster,
    ...(loadBalancers.interpret === undefined ? {} : { interpret: loadBalancers.interpret }),
    members: members(),
    slices: () => slices.now().by('service', keyOf(service)),
    containersReady: () => pods.containersReady(),
    cache,
  });
}

/** The same; what it needs and has not been read yet is waited for. */
export async function desireSoon(parts: Parts, service: Service, signal: AbortSignal): Promise<DesiredLoadBalancer> {
  for (;;) {
    try {
      return desire(parts, service);
    } catch (error) {
      if (!isProviderError(error) || error.code !== 'FL_KUBE_UNSYNCED') throw error;
    }
    await parts.slices.whenRead(signal);
    await parts.pods.whenRead(signal);
  }
}
