/** A controller of ours on an API server of a test, and a user who looks at both from outside. */

import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { parse as parseYaml } from 'yaml';
import * as onprem from '../../providers/onprem/index.ts';
import { crdFiles } from '../../src/cli/assets.ts';
import { createLeader, type End } from '../../src/controllers/leader.ts';
import type { Condition, KubeObject, Service, ServiceSpec } from '../../src/core/objects.ts';
import type { Log } from '../../src/core/provider.ts';
import { createClient, type Transport } from '../../src/kube/request.ts';
import { createMetrics, type Metrics } from '../../src/obs/metrics.ts';
import { systemClock } from '../../src/work/clock.ts';
import { type Answer, ask } from '../kube/ask.ts';
import type { Api } from '../kube/cluster.ts';

export const METALLB = 'metallb-system';
/** Short, for nobody wants to wait for a second controller. */
const lease = {
  namespace: 'kube-system',
  name: 'fairlead-controller',
  leaseDurationMs: 3000,
  renewDeadlineMs: 2000,
  retryPeriodMs: 500,
};
/** Everything here happens within milliseconds; a machine under load may need longer. */
const PATIENCE_MS = 20_000;
const LOOK_MS = 25;

/** Asks again until nothing throws any more; then what it returns. Rejects with the last error when patience is over. */
export async function eventually<T>(look: () => Promise<T>, patienceMs = PATIENCE_MS): Promise<T> {
  const endMs = performance.now() + patienceMs;
  for (;;) {
    try {
      return await look();
    } catch (error) {
      if (performance.now() > endMs) throw error;
      await sleep(LOOK_MS);
    }
  }
}

export interface ServiceOptions extends Partial<ServiceSpec> {
  readonly annotations?: Readonly<Record<string, string>>;
  readonly labels?: Readonly<Record<string, string>>;
}
export interface PoolOptions {
  readonly annotations?: Readonly<Record<string, string>>;
  readonly autoAssign?: boolean;
  readonly avoidBuggyIPs?: boolean;
  readonly serviceAllocation?: object;
}
export interface Pool extends KubeObject {
  readonly spec: { readonly addresses: readonly string[] };
  readonly status?: Readonly<Record<string, number>>;
}
export interface State extends KubeObject {
  readonly status?: {
    readonly result?: string;
    readonly errorSummary?: string;
    readonly conditions?: readonly Condition[];
  };
}

/** A namespace of a case, and everything in it by short names; 'other/name' is in another namespace. */
export interface World {
  readonly api: Api;
  readonly namespace: string;
  start(options?: ControllerOptions): Promise<Controller>;

  create(name: string, options?: ServiceOptions): Promise<Service>;
  get(name: string): Promise<Service>;
  find(name: string): Promise<Service | undefined>;
  /** Merge patch by the user. */
  edit(name: string, body: object, subresource?: 'status'): Promise<Service>;
  annotate(name: string, annotations: Readonly<Record<string, string | null>>): Promise<Service>;
  remove(name: string): Promise<void>;
  shown(name: string): Promise<readonly string[]>;
  /** 'Serving True/Serving', sorted. */
  conditions(name: string): Promise<readonly string[]>;
  message(name: string, type: 'Provisioning' | 'Serving' | 'Degraded'): Promise<string>;
  /** 'Warning AllocationFailed: ...' about a Service, oldest first; without those of the API server itself. */
  events(name: string): Promise<readonly string[]>;
  /** Waits for these addresses. */
  gets(name: string, addresses: readonly string[]): Promise<void>;

  pool(name: string, addresses: readonly string[], options?: PoolOptions): Promise<Pool>;
  editPool(name: string, body: object): Promise<Pool>;
  getPool(name: string): Promise<Pool>;
  removePool(name: string): Promise<void>;
  poolEvents(name: string): Promise<readonly string[]>;
  state(): Promise<State | undefined>;
  /** The pools in use, as they are kept for a restart: what shows that an edit was taken. */
  lastGood(): Promise<string>;
  /** Addresses in the blocks -> their users as 'namespace/name', sorted. */
  reserved(): Promise<Readonly<Record<string, readonly string[]>>>;
  makeNamespace(name: string, labels?: Readonly<Record<string, string>>): Promise<void>;
  request(method: string, path: string, body?: object): Promise<Answer>;
}

export interface ControllerOptions {
  readonly name?: string;
  readonly classes?: readonly string[];
  readonly ipam?: unknown;
  /** Another leads: it is not waited for. */
  readonly standby?: true;
}
export interface Controller {
  readonly metrics: Metrics;
  readonly end: End | Error | undefined;
  /** 'PATCH /api/v1/...' that were answered 2xx, without Lease and Events. */
  readonly writes: readonly string[];
  /** Warnings and errors of its log. */
  readonly complaints: readonly string[];
  /** Resolves when it leads or has ended. */
  leading(): Promise<void>;
  /** SIGTERM, and its end. */
  stop(): Promise<void>;
}

/** Our CRDs and MetalLB's, and its namespace. */
export async function installKinds(api: Api): Promise<void> {
  await must(ask(api, 'POST', '/api/v1/namespaces', { metadata: { name: METALLB } }));
  const path = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions';
  const names: string[] = [];
  for (const file of await crdFiles()) {
    const definition = parseYaml(readFileSync(file, 'utf8')) as KubeObject;
    if (definition.kind !== 'CustomResourceDefinition') continue;
    await must(ask(api, 'POST', path, definition));
    names.push(definition.metadata.name);
  }
  for (const name of names) {
    await eventually(async () => {
      const { status } = (await must(ask(api, 'GET', `${path}/${name}`))) as {
        status?: { conditions?: readonly Condition[] };
      };
      if (!status?.conditions?.some((one) => one.type === 'Established' && one.status === 'True'))
        throw new Error(`${name} is not established`);
    });
  }
}

/** A case's world. Everything that it made is gone when `clean` resolves. */
export async function createWorld(api: Api, namespace: string): Promise<World & { clean(): Promise<void> }> {
  const controllers: Controller[] = [];
  const namespaces: string[] = [];
  const request = (method: string, path: string, body?: object) => ask(api, method, path, body);
  const split = (name: string) => (name.includes('/') ? name.split('/') : [namespace, name]) as [string, string];
  const pathOf = (name: string) => {
    const [space, plain] = split(name);
    return `/api/v1/namespaces/${space}/services/${plain}`;
  };
  const pools = `/apis/metallb.io/v1beta1/namespaces/${METALLB}/ipaddresspools`;
  const states = `/apis/metallb.io/v1beta1/namespaces/${METALLB}/configurationstates`;

  async function find(name: string): Promise<Service | undefined> {
    const answer = await request('GET', pathOf(name));
    return answer.status === 404 ? undefined : ((await must(Promise.resolve(answer))) as Service);
  }
  async function get(name: string): Promise<Service> {
    return (await must(request('GET', pathOf(name)))) as Service;
  }
  async function shown(name: string): Promise<readonly string[]> {
    return ((await get(name)).status?.loadBalancer?.ingress ?? []).flatMap(({ ip }) => ip ?? []);
  }
  async function eventsOf(space: string, kind: string, name: string): Promise<readonly string[]> {
    const { items } = (await must(request('GET', `/api/v1/namespaces/${space}/events`))) as { items: readonly Event[] };
    return items
      .filter(({ involvedObject }) => involvedObject.kind === kind && involvedObject.name === name)
      .filter(({ reportingComponent = '' }) => !APISERVER.test(reportingComponent))
      .sort((a, b) => a.firstTimestamp.localeCompare(b.firstTimestamp))
      .map(({ type, reason, message }) => `${type} ${reason}: ${message}`);
  }

  const world: World = {
    api,
    namespace,
    request,
    async start(options = {}) {
      const controller = startController(api, options);
      controllers.push(controller);
      if (options.standby !== true) await controller.leading();
      return controller;
    },
    async create(name, { annotations, labels, ...spec } = {}) {
      const [space, plain] = split(name);
      const body = {
        metadata: {
          name: plain,
          ...(annotations === undefined ? {} : { annotations }),
          ...(labels === undefined ? {} : { labels }),
        },
        spec: {
          type: 'LoadBalancer',
          allocateLoadBalancerNodePorts: false,
          selector: { app: plain },
          ports: [{ name: 'http', port: 80, protocol: 'TCP' }],
          ...spec,
        },
      };
      return (await must(request('POST', `/api/v1/namespaces/${space}/services`, body))) as Service;
    },
    get,
    find,
    edit: async (name, body, subresource) =>
      (await must(request('PATCH', `${pathOf(name)}${subresource === undefined ? '' : '/status'}`, body))) as Service,
    annotate: async (name, annotations) =>
      (await must(request('PATCH', pathOf(name), { metadata: { annotations } }))) as Service,
    remove: async (name) => void (await must(request('DELETE', pathOf(name)))),
    shown,
    conditions: async (name) =>
      ((await get(name)).status?.conditions ?? [])
        .map(({ type, status, reason }) => `${type.replace('LoadBalancer', '')} ${status}/${reason}`)
        .sort(),
    message: async (name, type) =>
      (await get(name)).status?.conditions?.find((one) => one.type === `LoadBalancer${type}`)?.message ?? '',
    events: async (name) => {
      const [space, plain] = split(name);
      return await eventsOf(space, 'Service', plain);
    },
    async gets(name, addresses) {
      await eventually(async () => {
        const now = await shown(name);
        if (now.join() !== addresses.join()) {
          const { status } = await get(name);
          const why = (status?.conditions ?? []).map(({ type, message }) => `${type}: ${message}`).join('\n');
          throw new Error(`${name} shows [${now}], not [${addresses}]\n${why}`);
        }
      });
    },
    async pool(name, addresses, { annotations, ...spec } = {}) {
      const metadata = { namespace: METALLB, name, ...(annotations === undefined ? {} : { annotations }) };
      const body = { apiVersion: 'metallb.io/v1beta1', kind: 'IPAddressPool', metadata, spec: { addresses, ...spec } };
      return (await must(request('POST', pools, body))) as Pool;
    },
    editPool: async (name, body) => (await must(request('PATCH', `${pools}/${name}`, body))) as Pool,
    getPool: async (name) => (await must(request('GET', `${pools}/${name}`))) as Pool,
    removePool: async (name) => void (await must(request('DELETE', `${pools}/${name}`))),
    poolEvents: async (name) => await eventsOf(METALLB, 'IPAddressPool', name),
    async state() {
      const answer = await request('GET', `${states}/controller`);
      return answer.status === 404 ? undefined : ((await must(Promise.resolve(answer))) as State);
    },
    async lastGood() {
      const answer = await request('GET', `/api/v1/namespaces/${METALLB}/configmaps/fairlead-last-good-pools`);
      return (
        (answer.json as { readonly data?: Readonly<Record<string, string>> } | undefined)?.data?.['pools.json'] ?? ''
      );
    },
    async reserved() {
      const { items } = (await must(request('GET', '/apis/fairlead.dev/v1alpha1/ipblocks'))) as {
        items: readonly Block[];
      };
      const entries = items.flatMap(({ spec }) => Object.entries(spec.addresses ?? {}));
      return Object.fromEntries(
        entries
          .filter(([, { users = [] }]) => users.length > 0)
          .map(([address, { users = [] }]) => [address, users.map((user) => `${user.namespace}/${user.name}`).sort()])
          .sort(([a], [b]) => String(a).localeCompare(String(b))),
      );
    },
    async makeNamespace(name, labels = {}) {
      await must(request('POST', '/api/v1/namespaces', { metadata: { name, labels } }));
      namespaces.push(name);
    },
  };

  async function clean(): Promise<void> {
    for (const controller of controllers) await controller.stop();
    for (const space of namespaces) {
      const { items } = (await must(request('GET', `/api/v1/namespaces/${space}/services`))) as {
        items: readonly Service[];
      };
      for (const { metadata } of items) {
        const path = `/api/v1/namespaces/${space}/services/${metadata.name}`;
        if (metadata.name === 'kubernetes') continue;
        await request('PATCH', path, { metadata: { finalizers: null } });
        await request('DELETE', path);
      }
    }
    const leftovers = [pools, states, '/apis/fairlead.dev/v1alpha1/ipblocks', `/api/v1/namespaces/${METALLB}/events`];
    for (const path of leftovers) {
      const { items } = (await must(request('GET', path))) as { items: readonly KubeObject[] };
      for (const { metadata } of items) await must(request('DELETE', `${path}/${metadata.name}`));
    }
    await request('DELETE', `/api/v1/namespaces/${METALLB}/configmaps/fairlead-last-good-pools`);
    const { items } = (await must(request('GET', `/api/v1/namespaces/${METALLB}/pods`))) as {
      items: readonly KubeObject[];
    };
    for (const { metadata } of items)
      await must(request('DELETE', `/api/v1/namespaces/${METALLB}/pods/${metadata.name}?gracePeriodSeconds=0`));
  }

  await world.makeNamespace(namespace);
  return { ...world, clean };
}

/** The repair loops of kube-apiserver, which find a cluster IP not allocated when they look in the middle of a creation. */
const APISERVER = /^(ip|port)allocator-repair-controller$/;

interface Event extends KubeObject {
  readonly reportingComponent?: string;
  readonly type: string;
  readonly reason: string;
  readonly message: string;
  readonly firstTimestamp: string;
  readonly involvedObject: { readonly kind: string; readonly name: string };
}
interface Block extends KubeObject {
  readonly spec: {
    readonly addresses?: Readonly<
      Record<string, { readonly users?: readonly { readonly namespace: string; readonly name: string }[] }>
    >;
  };
}

function startController(api: Api, { name = 'one', classes, ipam }: ControllerOptions): Controller {
  const writes: string[] = [];
  const complaints: string[] = [];
  const complain = (_fields: object, message: string) => void complaints.push(message);
  const log: Log = { debug() {}, info() {}, warn: complain, error: complain };
  const metrics = createMetrics({ provider: 'onprem' });
  const transport = counted(api.transport(), writes);
  const client = createClient({ transport, clock: systemClock, metrics: metrics.client });
  const selection = classes === undefined ? {} : { classes };
  const leader = createLeader({
    client,
    clock: systemClock,
    random: Math.random,
    log,
    metrics,
    module: onprem as Parameters<typeof createLeader>[0]['module'],
    providerConfig: { identity: name, ...selection, ...(ipam === undefined ? {} : { ipam }) },
    cluster: 'e2e',
    identity: `${name}_uuid`,
    lease,
    service: {
      ...selection,
      defaultClass: false,
      driftCheckPeriodMs: 600_000,
      deleteOrphans: false,
      takeoverFieldManagers: ['cloud-controller-manager'],
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
  return {
    metrics,
    writes,
    complaints,
    leading: () =>
      eventually(async () => {
        if (end === undefined && !leader.leads()) throw new Error(`${name} does not lead`);
      }),
    get end() {
      return end;
    },
    async stop() {
      stopping.abort(new Error('SIGTERM'));
      await run;
      client.close();
    },
  };
}

function counted(inner: Transport, writes: string[]): Transport {
  return {
    ...(inner.host === undefined ? {} : { host: inner.host }),
    async send(request) {
      const response = await inner.send(request);
      const { method, path } = request;
      if (method !== 'GET' && response.status < 300 && !/\/(leases|events)\b/.test(path))
        writes.push(`${method} ${path.split('?')[0]}`);
      return response;
    },
    close: () => inner.close(),
  };
}

/** The body of a 2xx answer. Rejects for any other. */
export async function must(work: Promise<Answer>): Promise<unknown> {
  const { status, text, json } = await work;
  if (status < 200 || status > 299) throw new Error(`${status}: ${text}`);
  return json;
}
