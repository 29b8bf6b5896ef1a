import type { Allocator } from '../../src/core/ipam/allocator.ts';
import type { IPAddressPool } from '../../src/core/ipam/pools.ts';
import type { Call, Clock, Log, ObjectReader, ProviderContext } from '../../src/core/provider.ts';
import type { Lifetime } from './lifetime.ts';
import { isCode } from './outcome.ts';
import { resources } from './resources.ts';
import { createTask, type Task } from './task.ts';

/** Keeps `status` of the pools: at most one patch per pool and second, after the addresses, only when it differs. */
export interface PoolStatus {
  /** Addresses of these pools changed. */
  touch(pools: Iterable<string>): void;
}
export interface PoolStatusOptions {
  readonly allocator: Allocator;
  readonly kube: ProviderContext['kube'];
  readonly pools: ObjectReader;
  readonly namespace: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly lifetime: Lifetime;
  readonly call: Call;
}

const EVERY_MS = 1000;

export function createPoolStatus(options: PoolStatusOptions): PoolStatus {
  const { clock, log, lifetime } = options;
  const tasks = new Map<string, Task>(); // pool -> task
  return {
    touch(pools) {
      for (const pool of pools) {
        let task = tasks.get(pool);
        if (task === undefined) {
          const run = async () => await show(options, pool);
          const monotonicMs = () => clock.monotonicMs();
          task = createTask({ name: `status of pool ${pool}`, lifetime, log, run, everyMs: EVERY_MS, monotonicMs });
          tasks.set(pool, task);
        }
        task.poke();
      }
    },
  };
}

async function show({ allocator, kube, pools, namespace, call }: PoolStatusOptions, pool: string): Promise<void> {
  const object = pools.get(`${namespace}/${pool}`) as
    | (IPAddressPool & { readonly status?: Record<string, unknown> })
    | undefined;
  const counts = allocator.counts(pool);
  if (object === undefined || counts === undefined) return;
  const wanted = {
    assignedIPv4: counts.ipv4.assigned,
    assignedIPv6: counts.ipv6.assigned,
    availableIPv4: counts.ipv4.available,
    availableIPv6: counts.ipv6.available,
  };
  if (Object.entries(wanted).every(([key, count]) => String(object.status?.[key]) === String(count))) return;
  // int64: no JavaScript number holds the greatest, and what is read back wrong were written again for ever.
  const status = Object.fromEntries(Object.entries(wanted).map(([key, count]) => [key, JSON.rawJSON(String(count))]));
  try {
    // Guarded: what a deposed leader sends late must not stand over what a newer one counted.
    const { uid, resourceVersion } = object.metadata;
    const body = { metadata: { uid, resourceVersion }, status };
    await kube.patch(resources.ipaddresspools, { namespace, name: pool, subresource: 'status' }, body, call);
  } catch (error) {
    if (!isCode(error, 'FL_KUBE_NOT_FOUND')) throw error; // deleted meanwhile
  }
}
