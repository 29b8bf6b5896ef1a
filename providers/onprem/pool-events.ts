import type { IPAddressPool } from '../../src/core/ipam/pools.ts';
import type { Call, Clock, Log, ObjectReader, ProviderContext } from '../../src/core/provider.ts';
import type { Objection } from './guard.ts';
import { resources } from './resources.ts';

/** Tells on the pool why its edit is not taken: once for each new objection, not again after a restart. */
export interface PoolEvents {
  tell(objections: readonly Objection[]): void;
}
export interface PoolEventsOptions {
  readonly kube: ProviderContext['kube'];
  readonly pools: ObjectReader;
  readonly namespace: string;
  /** What the ConfigurationState says already: told by the process before this one. */
  readonly shown: () => readonly string[];
  /** Name of our pod. */
  readonly identity: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly call: Call;
}

const COMPONENT = 'fairlead';
/** Longest message of a core v1 Event. */
const MESSAGE_LIMIT = 1024;

export function createPoolEvents(options: PoolEventsOptions): PoolEvents {
  const { pools, namespace, kube, log, call } = options;
  const known = new Map<string, IPAddressPool>(); // name -> the object when it was last seen: a deleted pool has events too
  let told: ReadonlySet<string> | undefined;
  return {
    tell(objections) {
      told ??= new Set(options.shown());
      for (const pool of pools.list() as readonly IPAddressPool[]) known.set(pool.metadata.name, pool);
      const now = new Set(objections.map(({ message }) => message));
      for (const { pool: name, message } of objections) {
        const pool = (pools.get(`${namespace}/${name}`) as IPAddressPool | undefined) ?? known.get(name);
        if (told.has(message) || pool === undefined) continue;
        kube
          .create(resources.events, eventOf(options, pool, message), call)
          .catch((error: unknown) => log.debug({ pool: name, err: error }, 'event on a pool not written'));
      }
      told = now;
    },
  };
}

function eventOf(
  { clock, identity, namespace }: PoolEventsOptions,
  { metadata }: IPAddressPool,
  message: string,
): object {
  const stamp = new Date(clock.now()).toISOString().replace(/\.\d{3}Z$/, 'Z');
  const { name, uid, resourceVersion } = metadata;
  return {
    apiVersion: 'v1',
    kind: 'Event',
    metadata: { namespace, generateName: `${name}.` },
    involvedObject: { apiVersion: 'metallb.io/v1beta1', kind: 'IPAddressPool', namespace, name, uid, resourceVersion },
    type: 'Warning',
    reason: 'PoolNotTaken',
    message: message.length <= MESSAGE_LIMIT ? message : `${message.slice(0, MESSAGE_LIMIT - 3)}...`,
    source: { component: COMPONENT },
    reportingComponent: COMPONENT,
    reportingInstance: identity,
    firstTimestamp: stamp,
    lastTimestamp: stamp,
    count: 1,
  };
}
