import { setImmediate as nextTurn } from 'node:timers/promises';
import { type EndpointSlice, keyOf, type Service } from '../../core/objects.ts';
import type { ProxyContext, ServiceModel } from '../../core/proxy/model.ts';
import { createSnapshot, type Snapshot } from '../../core/proxy/snapshot.ts';
import type { Store } from '../../kube/store.ts';
import { SERVICE_LABEL } from './kept.ts';

export interface ServicesOptions {
  readonly services: Store<Service>;
  readonly slices: Store<EndpointSlice>;
  /** A Service's model; undefined: it is gone or not proxied. Several may come before `commit`. */
  readonly change: (key: string, model: ServiceModel | undefined) => void;
  /** What was told since the last one belongs together. */
  readonly commit: () => void;
  /** A change from the API server came: for metrics. */
  readonly seen: (what: 'service' | 'endpoint', slice?: EndpointSlice) => void;
}

/** Keeps models of Services current: a change of an object costs what its Service costs. */
export interface Services {
  /** Everything for the first time, or anew after the node changed; changes in between are not lost. */
  fill(context: ProxyContext): Promise<void>;
  readonly snapshot: Snapshot | undefined;
}

/** Models that are made before others may run. */
const STEP = 500;

export function createServices({ services, slices, change, commit, seen }: ServicesOptions): Services {
  let snapshot: Snapshot | undefined;
  const bySlice = createSliceIndex();

  function refresh(key: string): void {
    if (snapshot === undefined) return; // the first fill reads the stores
    const service = services.get(key);
    change(key, service === undefined ? undefined : snapshot.service(service, bySlice.of(key)));
  }

  services.onChange((old, now) => {
    if (snapshot === undefined) return;
    seen('service');
    refresh(keyOf((now ?? old) as Service));
    commit();
  });
  slices.onChange((old, now) => {
    const before = old === undefined ? undefined : serviceKey(old);
    const after = now === undefined ? undefined : serviceKey(now);
    if (old !== undefined && before !== undefined) bySlice.remove(before, old);
    if (now !== undefined && after !== undefined) bySlice.add(after, now);
    if (snapshot === undefined) return;
    seen('endpoint', now);
    if (before !== undefined && before !== after) refresh(before);
    if (after !== undefined) refresh(after);
    commit();
  });

  return {
    async fill(context) {
      snapshot = createSnapshot(context);
      let made = 0;
      for (const service of services.list()) {
        // It may have changed or gone in the turns between.
        refresh(keyOf(service));
        made += 1;
        if (made % STEP === 0) await nextTurn();
      }
      commit();
    },
    get snapshot() {
      return snapshot;
    },
  };
}

/** Key of the Service that a slice is of; undefined: of none. */
function serviceKey({ metadata }: EndpointSlice): string | undefined {
  const name = metadata.labels?.[SERVICE_LABEL];
  return name === undefined || name === '' ? undefined : `${metadata.namespace ?? ''}/${name}`;
}

/** Slices by Service. Nearly every Service has one, for which a list of its own would cost more than the slice's name. */
function createSliceIndex() {
  const filed = new Map<string, EndpointSlice | readonly EndpointSlice[]>(); // key of the Service -> its slices
  const of = (key: string): readonly EndpointSlice[] => {
    const found = filed.get(key);
    return found === undefined ? [] : isList(found) ? found : [found];
  };
  const put = (key: string, slices: readonly EndpointSlice[]): void => {
    const [only] = slices;
    if (only === undefined) filed.delete(key);
    else filed.set(key, slices.length === 1 ? only : slices);
  };
  return {
    of,
    add: (key: string, slice: EndpointSlice): void => put(key, [...of(key), slice]),
    remove: (key: string, slice: EndpointSlice): void =>
      put(
        key,
        of(key).filter((one) => one !== slice),
      ),
  };
}

const isList = (value: EndpointSlice | readonly EndpointSlice[]): value is readonly EndpointSlice[] =>
  Array.isArray(value);
