import type { TestContext } from 'node:test';
import { createMemoryCloud, type MemoryCloud, type MemoryCloudOptions } from '../../../providers/memory/cloud.ts';
import { memoryModule } from '../../../providers/memory/index.ts';
import type { Machine } from '../../../providers/memory/machines.ts';
import { blockOf } from '../../../src/core/net/cidr.ts';
import type { Condition, Node, Taint } from '../../../src/core/objects.ts';
import type { Cidr } from '../../../src/core/provider.ts';
import { pathOf, resources } from '../../../src/kube/resource.ts';
import { createRig, type Replica, type Rig, type StartOptions } from '../rig.ts';

/** The rig with instances in the memory cloud, and Nodes as kubelets make them. */
export interface NodeRig extends Omit<Rig, 'cloud' | 'start' | 'get' | 'find'> {
  readonly machines: MemoryCloud;
  /** Cloud requests so far. */
  asked(): number;
  /** An instance of the cloud; again: changes it. */
  machine(name: string, more?: Partial<Machine>): void;
  /** A kubelet with --cloud-provider=external registers. Ready unless told otherwise. */
  join(name: string, more?: JoinOptions): Promise<void>;
  ready(name: string, status: Condition['status']): Promise<void>;
  get(name: string): Node;
  find(name: string): Node | undefined;
  /** Every Node controller but IPAM runs; no other. */
  start(options?: StartOptions): Promise<Replica>;
}

export interface JoinOptions {
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly providerID?: string;
  /** Default: uninitialized. */
  readonly taints?: readonly Taint[];
  readonly ready?: Condition['status'];
  readonly addresses?: readonly object[];
  readonly podCIDRs?: readonly string[];
}

export const uninitialized: Taint = {
  key: 'node.cloudprovider.kubernetes.io/uninitialized',
  value: 'true',
  effect: 'NoSchedule',
};
export const shutdown: Taint = { key: 'node.cloudprovider.kubernetes.io/shutdown', effect: 'NoSchedule' };

export const nodeDefaults = {
  node: { concurrency: 4, statusConcurrency: 0, statusFrequencyMs: 300_000 },
  lifecycle: { monitorPeriodMs: 5000 },
} as const;

export const podRange = (range: string, maskSize: number) => ({ range: blockOf(range as Cidr), maskSize });

export function createNodeRig(
  t: Pick<TestContext, 'after'>,
  manners: Partial<Omit<MemoryCloudOptions, 'clock'>> = {},
): NodeRig {
  const rig = createRig(t);
  let asked = 0;
  const { fault = () => undefined, ...rest } = manners;
  const machines = createMemoryCloud({
    clock: rig.clock,
    ...rest,
    fault(call) {
      if (call.operation === 'listMachines') asked += 1;
      return fault(call);
    },
  });
  const { signal } = new AbortController();
  const patch = (name: string, body: object, subresource?: 'status') =>
    rig.user.call({
      method: 'PATCH',
      path: pathOf(resources.nodes, { name, ...(subresource === undefined ? {} : { subresource }) }),
      contentType: 'application/strategic-merge-patch+json',
      body,
      signal,
    });
  const find = (name: string) => rig.api.store.get('nodes', name)?.object as unknown as Node | undefined;

  return {
    ...rig,
    machines,
    asked: () => asked,
    machine(name, more = {}) {
      machines.putMachine({
        name,
        id: `m-${name}`,
        type: 'small',
        zone: 'z1',
        region: 'r1',
        addresses: [{ type: 'InternalIP', address: '10.0.0.1' }],
        state: 'running',
        ...more,
      });
    },
    async join(
      name,
      { labels = {}, annotations = {}, providerID, taints = [uninitialized], ready = 'True', addresses, podCIDRs } = {},
    ) {
      const spec = {
        taints,
        ...(providerID === undefined ? {} : { providerID }),
        ...(podCIDRs === undefined ? {} : { podCIDRs, podCIDR: podCIDRs[0] }),
      };
      const body = { metadata: { name, labels, annotations }, spec };
      await rig.user.call({ method: 'POST', path: pathOf(resources.nodes), body, signal });
      const status = {
        conditions: [{ type: 'Ready', status: ready }],
        addresses: addresses ?? [{ type: 'Hostname', address: name }],
      };
      await patch(name, { status }, 'status');
    },
    ready: async (name, status) =>
      void (await patch(name, { status: { conditions: [{ type: 'Ready', status }] } }, 'status')),
    find,
    get(name) {
      const node = find(name);
      if (node === undefined) throw new Error(`there is no Node ${name}`);
      return node;
    },
    start: async (options = {}) => await rig.start({ module: memoryModule(machines), ...nodeDefaults, ...options }),
  };
}

/** 'key:Effect', without the one that the API server puts on every new Node. */
export const taintsOf = ({ spec }: Node): readonly string[] =>
  (spec.taints ?? [])
    .map(({ key, effect }) => `${key}:${effect}`)
    .filter((text) => text !== 'node.kubernetes.io/not-ready:NoSchedule');

export const addressesOf = ({ status }: Node): readonly string[] =>
  (status?.addresses ?? []).map(({ type, address }) => `${type} ${address}`);
