import { create, type OnpremProvider, resources } from '../../../providers/onprem/index.ts';
import { interpretation } from '../../../providers/onprem/services.ts';
import { isProviderError } from '../../../src/core/errors.ts';
import { type KubeObject, keyOf, type Service, type ServiceSpec } from '../../../src/core/objects.ts';
import type { LoadBalancerSpec, Progress } from '../../../src/core/provider.ts';
import { desiredOf } from '../../../src/core/service/desired.ts';
import { createVirtualClock, type VirtualClock } from '../../fake/clock.ts';
import { createFakeCluster, type FakeCluster, type FakeClusterOptions, type FakeContext } from '../../fake/context.ts';

/** A cluster with pools and Services, and controllers on it. */
export interface World {
  readonly clock: VirtualClock;
  readonly cluster: FakeCluster;
  pool(name: string, addresses: readonly string[], more?: PoolOptions): KubeObject;
  service(key: string, more?: ServiceOptions): Service;
  /** The Service as the server has it. */
  at(key: string): Service;
  drop(key: string): void;
  /** Addresses in the blocks -> keys of their users, sorted. */
  reserved(): Readonly<Record<string, readonly string[]>>;
  controller(options?: ControllerOptions): Promise<Controller>;
}
export interface PoolOptions {
  readonly annotations?: Readonly<Record<string, string>>;
  readonly spec?: object;
}
export interface ServiceOptions {
  readonly annotations?: Readonly<Record<string, string>>;
  readonly labels?: Readonly<Record<string, string>>;
  readonly spec?: Partial<ServiceSpec>;
  readonly ingress?: readonly string[];
  readonly created?: string;
  readonly uid?: string;
}
export interface ControllerOptions {
  readonly identity?: string;
  readonly config?: Readonly<Record<string, unknown>>;
}

export type Outcome = Progress | { readonly error: string; readonly exists?: boolean };

type Shown = Pick<Extract<Progress, { state: 'ready' }>, 'ingress' | 'annotations'>;

/** A process: the provider, and as much of the service controller as publishes what it says. */
export interface Controller {
  readonly context: FakeContext;
  readonly provider: OnpremProvider;
  spec(key: string): LoadBalancerSpec;
  /** One run for the Service, published when it is ready; does not move the clock. */
  run(key: string): Promise<Progress>;
  /** The same, while time passes. */
  ensure(key: string): Promise<Progress>;
  /** The same; an error is the outcome. */
  outcome(key: string): Promise<Outcome>;
  /** As `kubectl delete`: marked, removed by the provider, then it goes. */
  remove(key: string): Promise<void>;
  /** Runs every Service that is not settled or that was queued, until nothing is left to do. */
  settle(): Promise<void>;
}

export const METALLB = 'metallb-system';

export function createWorld(options: Partial<Omit<FakeClusterOptions, 'clock'>> = {}): World {
  const clock = createVirtualClock();
  const cluster = createFakeCluster({ clock, ...options });
  let age = 0;
  const world: World = {
    clock,
    cluster,
    pool: (name, addresses, { annotations = {}, spec = {} } = {}) =>
      cluster.put(resources.ipaddresspools, {
        apiVersion: 'metallb.io/v1beta1',
        kind: 'IPAddressPool',
        metadata: { namespace: METALLB, name, annotations },
        spec: { addresses, ...spec },
      }),
    service(key, { annotations, labels, spec, ingress, created, uid } = {}) {
      const [namespace = '', name = ''] = key.split('/');
      age += 1;
      const old = cluster.get(resources.services, key) as Service | undefined;
      return cluster.put(resources.services, {
        metadata: {
          namespace,
          name,
          creationTimestamp: created ?? new Date(clock.now() + age * 1000).toISOString().replace(/\.\d+Z$/, 'Z'),
          ...(uid === undefined ? {} : { uid }),
          ...(annotations === undefined ? {} : { annotations }),
          ...(labels === undefined ? {} : { labels }),
        },
        spec: {
          type: 'LoadBalancer',
          clusterIP: '10.96.0.1',
          clusterIPs: ['10.96.0.1'],
          ipFamilies: ['IPv4'],
          ipFamilyPolicy: 'SingleStack',
          ports: [{ name: 'http', protocol: 'TCP', port: 80 }],
          ...spec,
        },
        status:
          ingress === undefined ? (old?.status ?? {}) : { loadBalancer: { ingress: ingress.map((ip) => ({ ip })) } },
      }) as Service;
    },
    at: (key) => cluster.get(resources.services, key) as Service,
    drop: (key) => cluster.drop(resources.services, key),
    reserved() {
      const users: Record<string, readonly string[]> = {};
      for (const block of cluster.list(resources.ipblocks)) {
        const { addresses } = (
          block as unknown as { spec: { addresses: Record<string, { users?: { namespace: string; name: string }[] }> } }
        ).spec;
        for (const [address, entry] of Object.entries(addresses))
          if ((entry.users ?? []).length > 0)
            users[address] = (entry.users ?? []).map(({ namespace, name }) => `${namespace}/${name}`).sort();
      }
      return users;
    },
    controller: async (how) => await createController(world, how),
  };
  return world;
}

async function createController(
  world: World,
  { identity = 'controller-0', config = {} }: ControllerOptions = {},
): Promise<Controller> {
  const { clock, cluster } = world;
  const context = cluster.context({ identity, config: { identity, seed: 'test', ...config } });
  const provider = await during(clock, create(context));
  const runs = new Map<string, string>(); // uid -> resourceVersion after its last run

  const specOf = (key: string): LoadBalancerSpec =>
    desiredOf(world.at(key), { cluster: 'test', interpret: () => interpretation, members: [], slices: () => [] }).spec;

  /** As a status patch, guarded by the version of the Service that the run was about. */
  function show(service: Service, status: Shown): void {
    if (world.at(keyOf(service))?.metadata.resourceVersion === service.metadata.resourceVersion && context.leads)
      publish(world, keyOf(service), status);
  }

  async function run(key: string): Promise<Progress> {
    const service = world.at(key);
    const progress = await provider.loadBalancers.ensure(specOf(key), context.call());
    if (progress.state === 'ready') show(service, progress);
    return progress;
  }

  async function outcome(key: string): Promise<Outcome> {
    const service = world.at(key);
    try {
      return await run(key);
    } catch (error) {
      if (!isProviderError(error)) throw error;
      if (error.exists === false) show(service, { ingress: [] });
      return { error: error.code, ...(error.exists === undefined ? {} : { exists: error.exists }) };
    }
  }

  return {
    context,
    provider,
    spec: specOf,
    run,
    async ensure(key) {
      const progress = await during(clock, run(key));
      await clock.advance(1);
      return progress;
    },
    async outcome(key) {
      const end = await during(clock, outcome(key));
      await clock.advance(1);
      return end;
    },
    async remove(key) {
      const service = world.at(key);
      const { uid } = service.metadata;
      const deletionTimestamp = new Date(clock.now()).toISOString();
      cluster.put(resources.services, { ...service, metadata: { ...service.metadata, deletionTimestamp } });
      await clock.advance(1);
      for (let round = 0; round < 5; round += 1) {
        const removal = await during(clock, provider.loadBalancers.remove({ uid, key }, context.call()));
        if (removal.done) {
          world.drop(key);
          await clock.advance(1);
          return;
        }
        await clock.advance(removal.retryAfterMs);
      }
      throw new Error(`${key} was not removed`);
    },
    async settle() {
      for (let round = 0; round < 20; round += 1) {
        await clock.advance(100);
        const queued = new Set(context.resyncs.splice(0).flatMap(({ uids }) => uids ?? []));
        const due = (cluster.list(resources.services) as Service[])
          .filter(({ spec }) => spec.type === 'LoadBalancer')
          .filter(({ metadata }) => queued.has(metadata.uid) || runs.get(metadata.uid) !== metadata.resourceVersion)
          .map(keyOf);
        if (due.length === 0) return;
        await during(clock, Promise.all(due.map(outcome)));
        for (const { metadata } of due.map(world.at)) runs.set(metadata.uid, metadata.resourceVersion);
      }
      throw new Error('it does not settle');
    },
  };
}

/** Lets time pass until the promise has settled. */
export async function during<T>(clock: VirtualClock, promise: Promise<T>): Promise<T> {
  let isDone = false;
  const done = () => {
    isDone = true;
  };
  promise.then(done, done);
  await clock.run(() => isDone, { maxMs: 600_000 });
  return await promise;
}

/** As the service controller's status patch. */
function publish({ cluster }: World, key: string, { ingress, annotations = {} }: Shown): void {
  const service = cluster.get(resources.services, key) as Service;
  const merged = { ...service.metadata.annotations, ...annotations };
  const metadata = {
    ...service.metadata,
    annotations: Object.fromEntries(Object.entries(merged).filter(([, value]) => value !== null)),
  };
  const next = { ...service, metadata, status: { ...service.status, loadBalancer: { ingress } } };
  if (JSON.stringify([next.metadata, next.status]) !== JSON.stringify([service.metadata, service.status]))
    cluster.put(resources.services, next);
}

/** Addresses that the Service publishes. */
export const addressesOf = ({ status }: Service): readonly string[] =>
  (status?.loadBalancer?.ingress ?? []).map(({ ip }) => ip ?? '');
