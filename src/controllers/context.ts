import { failure, isProviderError } from '../core/errors.ts';
import type { KubeObject } from '../core/objects.ts';
import type {
  Call,
  Clock,
  Log,
  ObjectReader,
  ObjectScope,
  ProviderContext,
  RequestMetrics,
  ResourceName,
} from '../core/provider.ts';
import { classify } from '../kube/classify.ts';
import type { Patches } from '../kube/patch.ts';
import { createReflector, type ReflectorMetrics } from '../kube/reflector.ts';
import type { Client, Sent } from '../kube/request.ts';
import { pathOf } from '../kube/resource.ts';
import { createStore, type Store } from '../kube/store.ts';
import type { Timers } from '../work/clock.ts';

export interface ContextOptions {
  readonly cluster: string;
  /** The provider's section of the config, unvalidated. */
  readonly config: unknown;
  readonly client: Client;
  readonly patches: Patches;
  readonly clock: Clock & Timers;
  readonly random: () => number;
  readonly log: Log;
  readonly metrics?: ReflectorMetrics;
  /** Counts the provider's requests to its backend. */
  readonly counted?: (request: { readonly operation: string; readonly code: string; readonly seconds: number }) => void;
  /** Stores that the controllers keep anyway; a provider that asks for the same kind gets the same store. */
  readonly stores: readonly { readonly resource: ResourceName; readonly store: Store<KubeObject> }[];
  /** Asked before each write. */
  readonly leads: () => boolean;
  /** Ends every watch that was started for the provider. */
  readonly signal: AbortSignal;
  readonly resync: (reason: string, uids?: readonly string[]) => void;
}

/** What a provider may use of the cluster: shared watches and guarded writes. */
export function createContext(options: ContextOptions): ProviderContext {
  const { cluster, config, clock, log, resync, counted } = options;
  return {
    cluster,
    config,
    clock,
    log,
    resync,
    objects: sharedObjects(options),
    kube: guardedWrites(options),
    ...(counted === undefined ? {} : { metrics: requestMetrics(clock, counted) }),
  };
}

function sharedObjects(options: ContextOptions): ProviderContext['objects'] {
  const { client, clock, random, log, signal, metrics } = options;
  const stores = new Map<string, Store<KubeObject>>(); // resource and scope -> store
  for (const { resource, store } of options.stores) stores.set(scopeKey(resource), store);
  return async (resource, scope) => {
    const key = scopeKey(resource, scope);
    let store = stores.get(key);
    if (store === undefined) {
      store = createStore<KubeObject>({
        onHandlerError: (error) => log.error({ resource: resource.plural, err: error }, 'store handler failed'),
      });
      stores.set(key, store);
      const watched = { client, resource, store, clock, random, log, optional: true as const, ...scope };
      void createReflector({ ...watched, ...(metrics === undefined ? {} : { metrics }) }).run(signal);
    }
    await store.whenSynced(signal);
    return readerOf(store);
  };
}

function scopeKey({ group, version, plural }: ResourceName, scope: ObjectScope = {}): string {
  return [group, version, plural, scope.namespace ?? '', scope.labelSelector ?? ''].join('|');
}

function readerOf(store: Store<KubeObject>): ObjectReader {
  return {
    list: () => store.list(),
    get: (key) => store.get(key),
    onChange: (listener) => void store.onChange((old, now) => listener(old, now)),
  };
}

function requestMetrics(clock: Clock, counted: NonNullable<ContextOptions['counted']>): RequestMetrics {
  return {
    begun(operation) {
      const startMs = clock.monotonicMs();
      return (code) => counted({ operation, code, seconds: (clock.monotonicMs() - startMs) / 1000 });
    },
  };
}

function guardedWrites({ client, patches, leads }: ContextOptions): ProviderContext['kube'] {
  const write = async <T>(call: Call, send: () => Promise<T>): Promise<T> => {
    call.signal.throwIfAborted();
    if (!leads())
      throw failure('FL_KUBE_NOT_LEADER', 'this process does not hold the lease any more; nothing was written');
    try {
      return await send();
    } catch (error) {
      throw classify(error);
    }
  };
  return {
    get: async (resource, where, call) => {
      try {
        return await client.call<unknown>({ method: 'GET', path: pathOf(resource, where), signal: call.signal });
      } catch (error) {
        throw classify(error);
      }
    },
    create: async (resource, object, call) => {
      const { namespace } = (object as KubeObject).metadata;
      const path = pathOf(resource, {
        ...(namespace === undefined ? {} : { namespace }),
        query: { fieldManager: 'fairlead' },
      });
      return await write(call, () => client.call<unknown>({ method: 'POST', path, body: object, signal: call.signal }));
    },
    patch: async (resource, name, body, call) =>
      await write(call, () => patches.merge<unknown>({ resource, ...name }, body, call.signal)),
    remove: async (resource, { uid, ...where }, call) => {
      const sent: Sent = { method: 'DELETE', path: pathOf(resource, where), signal: call.signal };
      const body = { kind: 'DeleteOptions', apiVersion: 'v1', preconditions: { uid } };
      try {
        await write(call, () => client.call<unknown>(uid === undefined ? sent : { ...sent, body }));
      } catch (error) {
        if (!isProviderError(error) || error.code !== 'FL_KUBE_NOT_FOUND') throw error; // gone is what was wanted
      }
    },
  };
}
