import type { Cidr, Ingress, Listener, LoadBalancerSpec, Target } from '../../../../src/core/provider.ts';
import type { SeededWorld } from '../../../fake/aws/world.ts';
import { deepFreeze } from '../../contract/specs.ts';
import { options } from '../spec.ts';

export const CLUSTER = 'schedules';

/** What a person wrote into a Service. */
export interface Wish {
  readonly ports: readonly Pick<Listener, 'protocol' | 'port'>[];
  readonly targetKind: 'node' | 'pod';
  readonly trafficPolicy: 'cluster' | 'local';
  readonly sources: readonly Cidr[];
  /** Annotations by their short names. */
  readonly short: Readonly<Record<string, string>>;
}

/** A Service as the API server has it. */
export interface ClusterService {
  readonly uid: string;
  readonly name: string;
  readonly wish: Wish;
  /** Somebody has deleted it, and our finalizer holds it. */
  readonly deleted: boolean;
  /** status.loadBalancer.ingress; undefined until something was published. */
  readonly ingress: readonly Ingress[] | undefined;
  /** Annotation fairlead.dev/observed-spec. */
  readonly print: string | undefined;
  /** Monotonic ms of the last change from outside of the controller's hands: of its wish but the scheme, its targets or its parts in AWS. */
  readonly disturbedMs: number;
}

/** The API server's side: Services, nodes and pods, and who is told of changes. */
export interface Cluster {
  readonly services: Map<string, ClusterService>; // uid -> Service
  /** Instance id -> where it is. */
  readonly nodes: Map<string, { readonly address: string; readonly zone: string }>;
  /** Address of a pod -> instance of its node. */
  readonly pods: Map<string, string>;
  specOf(service: ClusterService): LoadBalancerSpec;
  /** As a person does: whoever watches is told. */
  put(uid: string, change: Partial<ClusterService>): void;
  /** As the controller does. */
  publish(uid: string, status: Pick<ClusterService, 'ingress' | 'print'>): void;
  /** Calls back with the uid of each Service whose spec may be another. */
  watch(changed: (uid: string) => void): () => void;
  /** Nodes or pods are others. */
  targetsChanged(): void;
}

export function createCluster(
  nowMs: () => number,
  { instanceIds }: SeededWorld,
  zoneOf: (id: string) => string,
): Cluster {
  const watchers = new Set<(uid: string) => void>();
  const tell = (uid: string): void => {
    for (const watcher of watchers) watcher(uid);
  };
  const cluster: Cluster = {
    services: new Map(),
    nodes: new Map(instanceIds.map((id, index) => [id, { address: `192.168.${index * 32}.10`, zone: zoneOf(id) }])),
    pods: new Map(),
    specOf: ({ uid, name, wish }) => {
      const { ports, targetKind, trafficPolicy, sources, short } = wish;
      const targetPortOf = (port: number) => (targetKind === 'node' ? 30_000 + (port % 1000) : port + 8000);
      return deepFreeze({
        key: `default/${name}`,
        uid,
        cluster: CLUSTER,
        families: ['ipv4'],
        addresses: [],
        sources,
        listeners: ports.map(({ protocol, port }) => ({
          name: `${protocol}-${port}`.toLowerCase(),
          protocol,
          port,
          targetPort: targetPortOf(port),
        })),
        targetKind,
        targets: targetKind === 'node' ? nodeTargets() : podTargets(),
        trafficPolicy,
        health: { protocol: 'HTTP', port: trafficPolicy === 'local' ? 32_000 : 10_256, path: '/healthz' },
        options: options({ ...short, 'nlb-target-type': targetKind === 'node' ? 'instance' : 'ip' }),
        service: {
          namespace: 'default',
          name,
          labels: {},
          selector: {},
          ipFamilyPolicy: 'SingleStack',
          clusterIPs: ['10.96.0.10'],
          finalizers: [],
        },
      } satisfies LoadBalancerSpec);
    },
    put(uid, change) {
      const old = cluster.services.get(uid);
      const disturbedMs = change.disturbedMs ?? ('wish' in change ? nowMs() : (old?.disturbedMs ?? nowMs()));
      cluster.services.set(uid, { ...(old as ClusterService), ...change, disturbedMs });
      tell(uid);
    },
    publish(uid, status) {
      const old = cluster.services.get(uid);
      if (old !== undefined) cluster.services.set(uid, { ...old, ...status });
    },
    watch(changed) {
      watchers.add(changed);
      return () => void watchers.delete(changed);
    },
    targetsChanged() {
      for (const uid of cluster.services.keys()) cluster.put(uid, { disturbedMs: nowMs() });
    },
  };

  function nodeTargets(): readonly Target[] {
    return [...cluster.nodes]
      .map(([id, { address, zone }]) => ({ id: `aws:///${zone}/${id}`, node: `node-${id}`, address, zone }))
      .sort(byId);
  }

  function podTargets(): readonly Target[] {
    return [...cluster.pods]
      .flatMap(([address, instance]) => {
        const zone = cluster.nodes.get(instance)?.zone;
        return zone === undefined ? [] : [{ id: `pod-${address}`, node: `node-${instance}`, address, zone }];
      })
      .sort(byId);
  }

  return cluster;
}

const byId = (a: Target, b: Target): number => (a.id < b.id ? -1 : 1);
