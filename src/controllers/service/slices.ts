import { failure } from '../../core/errors.ts';
import type { EndpointSlice, KubeObject, Pod } from '../../core/objects.ts';
import type { ResourceName } from '../../core/provider.ts';
import { resources } from '../../kube/resource.ts';
import { createStore, type Store } from '../../kube/store.ts';

/** The Service that a slice belongs to (EndpointSlice API, kubernetes.io/service-name); none for foreign slices. */
const serviceOf = ({ metadata: { namespace = '', labels } }: EndpointSlice): readonly string[] => {
  const name = labels?.['kubernetes.io/service-name'];
  return name === undefined ? [] : [`${namespace}/${name}`];
};

export interface Slices {
  /** Indexed by 'service'. Throws FL_KUBE_UNSYNCED until they have been read: nothing read yet is not the same as no endpoints. */
  now(): Store<EndpointSlice>;
  /** Resolves when they have been read; at once while nobody has asked for them. */
  whenRead(signal: AbortSignal): Promise<void>;
  /** Keys of the Services that have this pod as an endpoint, ready or not. */
  servicesOf(pod: Pod): readonly string[];
}

/** EndpointSlices. The watch starts when they are first asked for: most providers never do. */
export function createSlices(
  watch: (resource: ResourceName, store: Store<KubeObject>) => void,
  onChange: (serviceKey: string) => void,
): Slices {
  let slices: Store<EndpointSlice> | undefined;

  function start(): Store<EndpointSlice> {
    const store = createStore<EndpointSlice>({ indexes: { service: serviceOf } });
    store.onChange((old, now, initial) => {
      if (initial) return; // nobody has decided anything without them
      const keys = new Set([old, now].flatMap((slice) => (slice === undefined ? [] : serviceOf(slice))));
      for (const key of keys) onChange(key);
    });
    watch(resources.endpointslices, store as unknown as Store<KubeObject>);
    return store;
  }

  return {
    now() {
      slices ??= start();
      if (slices.synced) return slices;
      throw failure('FL_KUBE_UNSYNCED', 'the EndpointSlices have not been read yet', { retryAfterMs: 200 });
    },
    whenRead: async (signal) => await slices?.whenSynced(signal),
    servicesOf({ metadata: { namespace, uid } }) {
      // No index: it would cost each endpoint something, and this is asked when a pod turns ready or unready.
      const theirs = slices?.list().filter((slice) => slice.metadata.namespace === namespace) ?? [];
      const having = theirs.filter(({ endpoints }) => endpoints?.some(({ targetRef }) => targetRef?.uid === uid));
      return [...new Set(having.flatMap(serviceOf))];
    },
  };
}
