import type { TestContext } from 'node:test';
import { createMemoryCloud, type MemoryCloud, type MemoryCloudOptions } from '../../../providers/memory/cloud.ts';
import { memoryModule } from '../../../providers/memory/index.ts';
import type { Condition, Node } from '../../../src/core/objects.ts';
import type { Cidr, Provider, Routes } from '../../../src/core/provider.ts';
import { pathOf, resources } from '../../../src/kube/resource.ts';
import { createRig, type Replica, type Rig, type StartOptions } from '../rig.ts';

export const cidr = (text: string): Cidr => text as Cidr;
export const clusterCidrs = [cidr('10.120.0.0/16'), cidr('a00::/8')] as const;
export const PERIOD_MS = 300_000;

export interface RouteRigOptions extends Partial<Omit<MemoryCloudOptions, 'clock'>> {
  /** Changes what the controller sees of the provider. */
  readonly wrap?: (routes: Routes) => Routes;
}

/** An API server in memory, the memory cloud, and a leader that only sets routes, in one virtual time. */
export interface RouteRig extends Rig {
  readonly memory: MemoryCloud;
  /** Calls that reached the cloud: 'createRoute main 10.120.0.0/24'. */
  readonly calls: string[];
  lead(options?: StartOptions & { readonly clusterCidrs?: readonly Cidr[] }): Promise<Replica>;
  /** A Node with these pod CIDRs, initialised as memory://NAME unless `providerID` says otherwise; '' is not initialised. */
  join(name: string, podCIDRs?: readonly string[], more?: Join): Promise<void>;
  /** 'main 10.120.0.0/24 memory://a', sorted. */
  routes(): readonly string[];
  /** 'False/RouteCreated', '' without one. */
  available(name: string): string;
  nodeCondition(name: string): Condition | undefined;
  setCondition(name: string, text: string): Promise<void>;
  wipeConditions(name: string): Promise<void>;
  setAddresses(name: string, addresses: readonly string[]): Promise<void>;
}
export interface Join {
  readonly providerID?: string;
  readonly addresses?: readonly string[];
  readonly condition?: string;
}

export function createRouteRig(
  t: Pick<TestContext, 'after'>,
  { wrap = (routes) => routes, fault = () => undefined, ...manners }: RouteRigOptions = {},
): RouteRig {
  const rig = createRig(t);
  const calls: string[] = [];
  const memory = createMemoryCloud({
    clock: rig.clock,
    ...manners,
    fault(call) {
      calls.push(`${call.operation}${call.name === '' ? '' : ` ${call.name}`}`);
      return fault(call);
    },
  });
  const { signal } = new AbortController();
  const inner = memoryModule(memory);
  const module = {
    apiVersion: 1,
    async create(context: Parameters<typeof inner.create>[0]): Promise<Provider> {
      const provider = await inner.create(context);
      return provider.routes === undefined ? provider : { ...provider, routes: wrap(provider.routes) };
    },
  } as const;

  async function patchStatus(name: string, status: object): Promise<void> {
    const path = pathOf(resources.nodes, { name, subresource: 'status', query: { fieldManager: 'cni' } });
    const contentType = 'application/strategic-merge-patch+json';
    await rig.user.call({ method: 'PATCH', path, contentType, body: { status }, signal });
  }

  const setCondition = async (name: string, text: string) => {
    const [status, reason] = text.split('/');
    await patchStatus(name, { conditions: [{ type: 'NetworkUnavailable', status, reason }] });
  };
  const nodeOf = (name: string) => rig.api.store.get('nodes', name)?.object as unknown as Node | undefined;
  const nodeCondition = (name: string) =>
    nodeOf(name)?.status?.conditions?.find(({ type }) => type === 'NetworkUnavailable');

  return {
    ...rig,
    memory,
    calls,
    lead: ({ clusterCidrs: ranges = clusterCidrs, ...options } = {}) =>
      rig.start({ module, route: { configure: true, clusterCidrs: ranges, periodMs: PERIOD_MS }, ...options }),
    async join(name, podCIDRs = [], { providerID = `memory://${name}`, addresses = [], condition } = {}) {
      const spec = {
        ...(podCIDRs.length === 0 ? {} : { podCIDRs, podCIDR: podCIDRs[0] }),
        ...(providerID === '' ? {} : { providerID }),
      };
      const path = pathOf(resources.nodes);
      await rig.user.call({ method: 'POST', path, body: { metadata: { name }, spec }, signal });
      if (addresses.length > 0)
        await patchStatus(name, { addresses: addresses.map((address) => ({ type: 'InternalIP', address })) });
      if (condition !== undefined) await setCondition(name, condition);
    },
    routes: () => memory.routes.snapshot().map(({ table, destination, target }) => `${table} ${destination} ${target}`),
    available(name) {
      const now = nodeCondition(name);
      return now === undefined ? '' : `${now.status}/${now.reason}`;
    },
    nodeCondition,
    setCondition,
    wipeConditions: (name) => patchStatus(name, { conditions: [{ type: 'NetworkUnavailable', $patch: 'delete' }] }),
    setAddresses: (name, addresses) =>
      patchStatus(name, {
        addresses: [{ $patch: 'replace' }, ...addresses.map((address) => ({ type: 'InternalIP', address }))],
      }),
  };
}
