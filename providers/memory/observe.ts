import type { Call, ServiceRef } from '../../src/core/provider.ts';
import type { Balancer, MemoryCloud } from './cloud.ts';
import type { Observed } from './diff.ts';
import { callCloud } from './errors.ts';
import { nameOf } from './names.ts';

/** One Service's balancer. Reads by name see every write that has ended. */
export async function observe(cloud: MemoryCloud, cluster: string, { uid }: ServiceRef, call: Call): Promise<Observed> {
  const found = await callCloud(call, 'read', () => cloud.find(nameOf(cluster, uid), call.signal));
  if (found === undefined) return { state: 'absent' };
  if (found.tags['cluster'] !== cluster || found.tags['uid'] !== uid) return { state: 'foreign', name: found.name };
  return toObserved(found);
}

/** All of this cluster, in one read, which may lag behind. */
export async function observeAll(
  cloud: MemoryCloud,
  cluster: string,
  call: Call,
): Promise<readonly { readonly uid: string; readonly observed: Observed }[]> {
  const all = await callCloud(call, 'read', () => cloud.list(call.signal));
  return all.flatMap((balancer) => {
    const { cluster: owner, uid } = balancer.tags;
    return owner === cluster && uid !== undefined ? [{ uid, observed: toObserved(balancer) }] : [];
  });
}

function toObserved({ state, name, address, ports, sources, targets, health }: Balancer): Observed {
  return { state, name, address, ports, settings: { sources, targets, health } };
}
