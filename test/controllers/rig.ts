import type { TestContext } from 'node:test';
import { createLeader, type End, type Leader, type LeaderOptions } from '../../src/controllers/leader.ts';
import type { Condition, KubeObject, Node, Service, ServiceSpec, Taint } from '../../src/core/objects.ts';
import type { Log, ProviderModule, ResourceName } from '../../src/core/provider.ts';
import { type Client, createClient, isNotFound } from '../../src/kube/request.ts';
import { pathOf, resources } from '../../src/kube/resource.ts';
import { createMetrics, type Metrics } from '../../src/obs/metrics.ts';
import { createFaults, type Fault, type Faults, type Handle } from '../../src/sandbox/api/faults.ts';
import { seededRandom } from '../../src/sandbox/api/random.ts';
import { createSandboxApi, type SandboxApi } from '../../src/sandbox/api/server.ts';
import { inProcess } from '../../src/sandbox/api/transport.ts';
import { createVirtualClock, type VirtualClock } from '../fake/clock.ts';
import { createFakeProvider, type FakeOptions, type FakeProvider } from '../fake/provider.ts';

/** An API server in memory, a cloud that is a map, and controllers on both, in one virtual time. */
export interface Rig {
  readonly clock: VirtualClock;
  readonly api: SandboxApi;
  readonly cloud: FakeProvider;
  /** A user's client. */
  readonly user: Client;
  /** Status patches that were taken and steps of the cloud, in their one order. */
  readonly steps: string[];
  /** Starts a replica; running when it resolves, leading when no other does. */
  start(options?: StartOptions): Promise<Replica>;

  create(name: string, spec?: Partial<ServiceSpec>, more?: Meta): Promise<Service>;
  /** As the server has it now. */
  get(name: string): Service;
  find(name: string): Service | undefined;
  /** JSON merge patch by the user. */
  edit(name: string, body: object, how?: { readonly subresource?: 'status' }): Promise<Service>;
  remove(name: string): Promise<void>;
  /** Addresses that it shows. */
  shown(name: string): readonly string[];
  /** 'Provisioning True/Provisioning', in the order of the types, without their common prefix. */
  conditions(name: string): readonly string[];
  condition(name: string, type: 'Provisioning' | 'Serving' | 'Degraded'): Condition | undefined;
  /** 'Normal EnsuredLoadBalancer x2: Ensured load balancer' about that Service, oldest first. */
  events(name: string): readonly string[];

  node(name: string, more?: NodeOptions): Promise<Node>;
  editNode(name: string, body: object): Promise<Node>;
  removeNode(name: string): Promise<void>;
}

export interface Meta {
  readonly namespace?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly finalizers?: readonly string[];
  readonly status?: object;
  /** Who writes it: the field manager that the server records. Default kubectl. */
  readonly manager?: string;
}
export interface NodeOptions {
  readonly providerID?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly taints?: readonly Taint[];
  readonly addresses?: NonNullable<NonNullable<Node['status']>['addresses']>;
}

/** One process. */
export interface Replica {
  readonly leader: Leader;
  readonly metrics: Metrics;
  /** Between it and the API server. */
  readonly faults: Faults;
  /** Everything that it sent, in order, with the answer; watches and lists included. */
  readonly requests: Request[];
  /** Writes that the server took, without those of Lease and Events. */
  writes(): readonly Request[];
  /** What it wrote by its log, at warn and above. */
  readonly complaints: { readonly level: string; readonly message: string; readonly fields: object }[];
  readonly end: End | Error | undefined;
  /** SIGTERM. Does not wait: the clock must move. */
  terminate(): void;
  /** The value of a metric, summed over the series whose labels match. */
  metric(name: string, labels?: Readonly<Record<string, string>>): Promise<number>;
}
export interface Request {
  readonly method: string;
  readonly path: string;
  readonly body: string | undefined;
  readonly status: number;
  readonly atMs: number;
}
export interface StartOptions {
  readonly name?: string;
  readonly service?: Partial<LeaderOptions['service']>;
  readonly route?: NonNullable<LeaderOptions['route']>;
  readonly node?: NonNullable<LeaderOptions['node']>;
  readonly lifecycle?: NonNullable<LeaderOptions['lifecycle']>;
  readonly ipam?: NonNullable<LeaderOptions['ipam']>;
  readonly lease?: LeaderOptions['lease'] | 'none';
  readonly module?: ProviderModule;
  readonly webhook?: true;
  readonly providerConfig?: unknown;
  /** Armed before its first request. */
  readonly faults?: readonly Fault[];
  /** Of this process alone. Default: the rig's. */
  readonly clock?: LeaderOptions['clock'];
  /** Returns before the watches are filled and the lease is held. */
  readonly unsettled?: true;
}

export const lease = {
  namespace: 'kube-system',
  name: 'fairlead-controller',
  leaseDurationMs: 15_000,
  renewDeadlineMs: 10_000,
  retryPeriodMs: 2000,
};

/** A second: everything that a test has set going has happened, and no period of anything longer is over. */
export const SOON_MS = 1000;

export function createRig(t: Pick<TestContext, 'after'>, options: FakeOptions = {}): Rig {
  const clock = createVirtualClock();
  const api = createSandboxApi({ clock, plane: false });
  const steps: string[] = [];
  const cloud = createFakeProvider({ ...options, told: (step) => steps.push(step) });
  const { signal } = new AbortController();
  const user = createClient({ transport: api.transport(), clock, userAgent: 'kubectl' });
  const eventKeys: string[] = []; // in the order in which they were created
  api.store.subscribe('events', ({ type, now }) => void (type === 'ADDED' && eventKeys.push(now.key)));
  const replicas: { stop(): void; readonly run: Promise<unknown> }[] = [];

  t.after(async () => {
    for (const replica of replicas) replica.stop();
    // What still waits for something must see its end.
    await clock.advance(15_000);
    await Promise.all(replicas.map(({ run }) => run));
    await api.close();
  });

  const where = (name: string) => ({ namespace: 'default', name });
  const find = (name: string) => {
    const [namespace, plain] = name.includes('/') ? name.split('/') : ['default', name];
    return api.store.get('services', `${namespace}/${plain}`)?.object as unknown as Service | undefined;
  };

  async function start({ name = 'one', unsettled, ...more }: StartOptions = {}): Promise<Replica> {
    const replica = startReplica({ api, steps, timeline: clock, clock, module: cloud.module, name, ...more });
    replicas.push(replica);
    if (unsettled !== true) await clock.advance(SOON_MS);
    return replica;
  }

  async function call<T>(method: 'GET' | 'POST' | 'PATCH' | 'DELETE', path: string, body?: object): Promise<T> {
    const contentType = method === 'PATCH' ? { contentType: 'application/merge-patch+json' } : {};
    return await user.call<T>({ method, path, ...(body === undefined ? {} : { body }), ...contentType, signal });
  }

  return {
    clock,
    api,
    cloud,
    user,
    steps,
    start,
    async create(name, spec = {}, { namespace = 'default', status, manager = 'kubectl', ...meta } = {}) {
      const query = { fieldManager: manager };
      const service = {
        metadata: { name, ...meta },
        spec: { type: 'LoadBalancer', ports: [{ port: 80, protocol: 'TCP' }], selector: { app: name }, ...spec },
      };
      const made = await call<Service>('POST', pathOf(resources.services, { namespace, query }), service);
      if (status === undefined) return made;
      const target = { namespace, name, subresource: 'status' as const, query };
      return await call<Service>('PATCH', pathOf(resources.services, target), { status });
    },
    find,
    get(name) {
      const service = find(name);
      if (service === undefined) throw new Error(`there is no Service ${name}`);
      return service;
    },
    edit: (name, body, how = {}) => call('PATCH', pathOf(resources.services, { ...where(name), ...how }), body),
    remove: async (name) => void (await call('DELETE', pathOf(resources.services, where(name)))),
    shown: (name) => (find(name)?.status?.loadBalancer?.ingress ?? []).flatMap(({ ip }) => ip ?? []),
    conditions: (name) =>
      (find(name)?.status?.conditions ?? [])
        .map(({ type, status, reason }) => `${type.replace('LoadBalancer', '')} ${status}/${reason}`)
        .sort(),
    condition: (name, type) => find(name)?.status?.conditions?.find((one) => one.type === `LoadBalancer${type}`),
    events: (name) =>
      eventKeys
        .flatMap((key) => (api.store.get('events', key)?.object as unknown as Event | undefined) ?? [])
        .filter(({ involvedObject: { namespace, name: of } }) => [of, `${namespace}/${of}`].includes(name))
        .map(({ type, reason, message, count }) => `${type} ${reason}${count > 1 ? ` x${count}` : ''}: ${message}`),
    async node(name, { providerID = `fake://${name}`, labels, taints, addresses } = {}) {
      const object = {
        metadata: { name, ...(labels === undefined ? {} : { labels }) },
        spec: { ...(providerID === '' ? {} : { providerID }), ...(taints === undefined ? {} : { taints }) },
      };
      const node = await call<Node>('POST', pathOf(resources.nodes), object);
      const status = { addresses: addresses ?? [{ type: 'InternalIP', address: '10.0.0.1' }] };
      await call('PATCH', pathOf(resources.nodes, { name, subresource: 'status' }), { status });
      return node;
    },
    editNode: (name, body) => call('PATCH', pathOf(resources.nodes, { name }), body),
    removeNode: async (name) => void (await call('DELETE', pathOf(resources.nodes, { name }))),
  };
}

function startReplica({
  clock,
  timeline,
  api,
  steps,
  name,
  service,
  lease: election = lease,
  faults: armed = [],
  ...provider
}: StartOptions & {
  readonly clock: LeaderOptions['clock'];
  readonly timeline: VirtualClock;
  readonly api: SandboxApi;
  readonly steps: string[];
  readonly name: string;
  readonly module: ProviderModule;
}): Replica & { stop(): void; readonly run: Promise<unknown> } {
  const requests: Request[] = [];
  const complaints: { level: string; message: string; fields: object }[] = [];
  const complain = (level: string) => (fields: object, message: string) =>
    void complaints.push({ level, message, fields });
  const log: Log = { debug() {}, info() {}, warn: complain('warn'), error: complain('error') };
  const faults = createFaults(recorded(api.handle, requests, steps, timeline), { clock: timeline, seed: 1 });
  for (const fault of armed) faults.add(fault);
  const metrics = createMetrics({ provider: 'fake' });
  const leader = createLeader({
    client: createClient({ transport: inProcess(faults.handle), clock, metrics: metrics.client }),
    clock,
    random: seededRandom(1),
    log,
    metrics,
    providerConfig: undefined,
    cluster: 'test',
    identity: `${name}_uuid`,
    ...(election === 'none' ? {} : { lease: election }),
    ...provider,
    service: {
      defaultClass: false,
      driftCheckPeriodMs: 600_000,
      deleteOrphans: false,
      takeoverFieldManagers: ['cloud-controller-manager'],
      ...service,
    },
  });
  const stopping = new AbortController();
  let end: End | Error | undefined;
  const run = leader.run(stopping.signal).then(
    (how) => {
      end = how;
    },
    (error: Error) => {
      end = error;
    },
  );
  const stop = () => stopping.abort(new Error('SIGTERM'));
  return {
    leader,
    metrics,
    faults,
    requests,
    complaints,
    run,
    stop,
    terminate: stop,
    get end() {
      return end;
    },
    writes: () =>
      requests.filter(
        ({ method, path, status }) => method !== 'GET' && status < 300 && !/\/(leases|events)\b/.test(path),
      ),
    async metric(family, labels = {}) {
      const values = (await metrics.registry.getSingleMetric(family)?.get())?.values ?? [];
      return values
        .filter((sample) => Object.entries(labels).every(([key, value]) => String(sample.labels[key]) === value))
        .reduce((sum, { value }) => sum + value, 0);
    },
  };
}

function recorded(handle: Handle, requests: Request[], steps: string[], clock: VirtualClock): Handle {
  return async (request) => {
    const { method, path, body } = request;
    const response = await handle(request);
    requests.push({ method, path, body, status: response.status, atMs: clock.monotonicMs() });
    const key = /^\/api\/v1\/namespaces\/([^/]+)\/services\/([^/?]+)\/status/.exec(path);
    if (method === 'PATCH' && key !== null && response.status < 300)
      steps.push(`patch ${key[1]}/${key[2]}: ${summary(JSON.parse(body ?? '{}') as Patch)}`);
    return response;
  };
}

interface Patch {
  readonly metadata?: {
    readonly finalizers?: readonly string[];
    readonly '$deleteFromPrimitiveList/finalizers'?: readonly string[];
    readonly annotations?: object;
  };
  readonly status?: {
    readonly conditions?: readonly unknown[];
    readonly loadBalancer?: { readonly ingress: readonly unknown[] | null };
  };
}

/** What a status patch changes, in words: '+finalizer conditions ingress'. */
function summary({ metadata = {}, status = {} }: Patch): string {
  const { loadBalancer } = status;
  const words = [
    metadata.finalizers === undefined ? undefined : '+finalizer',
    metadata['$deleteFromPrimitiveList/finalizers'] === undefined ? undefined : '-finalizer',
    metadata.annotations === undefined ? undefined : 'annotations',
    status.conditions === undefined ? undefined : 'conditions',
    loadBalancer === undefined ? undefined : loadBalancer.ingress === null ? '-ingress' : 'ingress',
  ];
  return words.filter((word) => word !== undefined).join(' ');
}

interface Event extends KubeObject {
  readonly type: string;
  readonly reason: string;
  readonly message: string;
  readonly count: number;
  readonly involvedObject: { readonly namespace?: string; readonly name: string };
}

/** Creates an object of any kind, as an administrator does. */
export async function put(client: Client, resource: ResourceName, object: object, namespace?: string): Promise<void> {
  const { signal } = new AbortController();
  const path = pathOf(resource, namespace === undefined ? {} : { namespace });
  await client.call({ method: 'POST', path, body: object, signal });
}

/** The object, or undefined when the server has none. */
export async function read<T>(client: Client, resource: ResourceName, where: { namespace?: string; name: string }) {
  const { signal } = new AbortController();
  try {
    return await client.call<T>({ method: 'GET', path: pathOf(resource, where), signal });
  } catch (error) {
    if (isNotFound(error)) return undefined;
    throw error;
  }
}
