import { failure } from '../core/errors.ts';
import type { KubeObject, Pod } from '../core/objects.ts';
import type { ResourceName } from '../core/provider.ts';
import { gatesIn, isTarget } from '../core/readiness/conditions.ts';
import { GATES_ANNOTATION } from '../core/readiness/gates.ts';
import { resources } from '../kube/resource.ts';
import { type ChangeHandler, createStore, type Store } from '../kube/store.ts';

/** Pods. The watch starts when they are first asked for: most clusters need it never, and have very many. */
export interface Pods {
  /** Throws FL_KUBE_UNSYNCED until they have been read. UIDs of those whose containers are ready and that stay; shared. */
  containersReady(): ReadonlySet<string>;
  /** Those of a namespace that have this readiness gate. Throws as above. */
  gated(namespace: string, gate: string): readonly Pod[];
  get(key: string): Pod | undefined;
  list(): readonly Pod[];
  readonly synced: boolean;
  /** Asks for them, and resolves when they have been read. */
  read(signal: AbortSignal): Promise<void>;
  /** Resolves when they have been read; at once while nobody has asked for them. */
  whenRead(signal: AbortSignal): Promise<void>;
  /** As the store's; asks for nothing. */
  onChange(handler: ChangeHandler<Pod>): () => void;
}

export function createPods(watch: (resource: ResourceName, store: Store<KubeObject>) => void): Pods {
  const ready = new Set<string>(); // UIDs: containers ready, not terminating
  const handlers = new Set<ChangeHandler<Pod>>();
  let store: Store<Pod> | undefined;

  function start(): Store<Pod> {
    const pods = createStore<Pod>({ keep: kept, indexes: { gate: gateKeys } });
    pods.onChange((old, now, initial) => {
      if (old !== undefined) ready.delete(old.metadata.uid);
      if (now !== undefined && isTarget(now)) ready.add(now.metadata.uid);
      for (const handler of handlers) handler(old, now, initial);
    });
    watch(resources.pods, pods as unknown as Store<KubeObject>);
    return pods;
  }

  function now(): Store<Pod> {
    store ??= start();
    if (store.synced) return store;
    throw failure('FL_KUBE_UNSYNCED', 'the Pods have not been read yet', { retryAfterMs: 200 });
  }

  return {
    containersReady() {
      now();
      return ready;
    },
    gated: (namespace, gate) => now().by('gate', `${namespace}/${gate}`),
    get: (key) => store?.get(key),
    list: () => store?.list() ?? [],
    get synced() {
      return store?.synced === true;
    },
    async read(signal) {
      store ??= start();
      await store.whenSynced(signal);
    },
    whenRead: async (signal) => await store?.whenSynced(signal),
    onChange(handler) {
      handlers.add(handler);
      return () => void handlers.delete(handler);
    },
  };
}

const gateKeys = (pod: Pod): readonly string[] => gatesIn(pod).map((gate) => `${pod.metadata.namespace}/${gate}`);

/** A twentieth of a pod: what is asked of it here. */
function kept({ metadata, spec, status }: Pod): Pod {
  const { name, namespace, uid, resourceVersion, creationTimestamp, deletionTimestamp, annotations } = metadata;
  const mark = annotations?.[GATES_ANNOTATION];
  const { readinessGates } = spec ?? {};
  const asked = new Set(['ContainersReady', ...(readinessGates ?? []).map(({ conditionType }) => conditionType)]);
  const conditions = (status?.conditions ?? []).filter(({ type }) => asked.has(type));
  return {
    metadata: {
      name,
      uid,
      resourceVersion,
      creationTimestamp,
      ...(namespace === undefined ? {} : { namespace }),
      ...(deletionTimestamp === undefined ? {} : { deletionTimestamp }),
      ...(mark === undefined ? {} : { annotations: { [GATES_ANNOTATION]: mark } }),
    },
    ...(readinessGates === undefined ? {} : { spec: { readinessGates } }),
    status: {
      conditions,
      ...(status?.podIP === undefined ? {} : { podIP: status.podIP }),
      ...(status?.podIPs === undefined ? {} : { podIPs: status.podIPs }),
    },
  };
}
