import { setImmediate as nextTurn } from 'node:timers/promises';
import { type EndpointSlice, keyOf, type Service } from '../../core/objects.ts';
import type { ProxyContext, ServiceModel } from '../../core/proxy/model.ts';
import { createSnapshot, type Snapshot } from '../../core/proxy/snapshot.ts';
import type { Store } from '../../kube/store.ts';
import { SERVICE_LABEL } from './kept.ts';

export interface ServicesOptions {
  readonly services: Store<Service>;
  /** Indexed by 'service': the key of the Service that a slice is of. */
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

/** Slices of one Service, for the store's index. */
export function serviceKeys({ metadata }: EndpointSlice): readonly string[] {
  const name = metadata.labels?.[SERVICE_LABEL];
  return name === undefined || name === '' ? [] : [`${metadata.namespace ?? ''}/${name}`];
}

export function createServices({ services, slices, change, commit, seen }: ServicesOptions): Services {
  let snapshot: Snapshot | undefined;

  function refresh(key: string): void {
    if (snapshot === undefined) return; // the first fill reads the stores
    const service = services.get(key);
    change(key, service === undefined ? undefined : snapshot.service(service, slices.by('service', key)));
  }

  services.onChange((old, now) => {
    if (snapshot === undefined) return;
    seen('service');
    refresh(keyOf((now ?? old) as Service));
    commit();
  });
  slices.onChange((old, now) => {
    if (snapshot === undefined) return;
    seen('endpoint', now);
    const before = old === undefined ? [] : serviceKeys(old);
    const after = now === undefined ? [] : serviceKeys(now);
    for (const key of before) if (!after.includes(key)) refresh(key);
    for (const key of after) refresh(key);
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
