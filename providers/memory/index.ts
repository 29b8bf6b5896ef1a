import { defineLoadBalancers } from '../../src/core/define.ts';
import type { LoadBalancerParts, Provider, ProviderContext, ProviderModule } from '../../src/core/provider.ts';
import { apply } from './apply.ts';
import { createMemoryCloud, type MemoryCloud } from './cloud.ts';
import { parseConfig } from './config.ts';
import { type Act, diff, type Observed } from './diff.ts';
import { createInstances } from './instances.ts';
import { CLASS } from './names.ts';
import { observe, observeAll } from './observe.ts';
import { type Desired, plan } from './plan.ts';
import { progress } from './progress.ts';
import { memoryRoutes } from './routes.ts';

export const apiVersion = 1;

/**
 * The memory provider: the reference for authors, and a cloud for tests and demos. Its cloud lives as long as the process.
 * Throws FL_MEMORY_CONFIG.
 */
export async function create({ config, clock, cluster }: ProviderContext): Promise<Provider> {
  return toProvider(createMemoryCloud({ clock, ...parseConfig(config) }), cluster);
}

/** The same over a cloud that a test holds and that outlives the provider, as real ones do. */
export function memoryModule(cloud: MemoryCloud): ProviderModule {
  return { apiVersion, create: async ({ cluster }) => toProvider(cloud, cluster) };
}

/** What `defineLoadBalancers` and the contract suite drive. */
export function memoryParts(cloud: MemoryCloud, cluster: string): LoadBalancerParts<Desired, Observed, Act> {
  return {
    plan: (spec) => plan(spec, cloud.range),
    observe: (service, call) => observe(cloud, cluster, service, call),
    observeAll: (call) => observeAll(cloud, cluster, call),
    diff,
    apply: (action, call) => apply(cloud, action, call),
    progress,
  };
}

function toProvider(cloud: MemoryCloud, cluster: string): Provider {
  return {
    name: 'memory',
    classes: [CLASS],
    loadBalancers: defineLoadBalancers(memoryParts(cloud, cluster)),
    routes: memoryRoutes(cloud.routes, cluster),
    instances: createInstances(cloud),
    close: async () => {},
  };
}
