/**
 * What src/kube costs, beside client-node in the same run, against a TLS server in a process of its own.
 * Reach (foundations.md 9 and 10): longest stall while listing 10,000 Services under 50 ms and at most a tenth of a typed
 * list's; heap kept 20 MiB; 1,000 status patches with at most 2 handshakes, 0.4 ms each; 10,000 Services and 1,000 Nodes
 * in 180 MB.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { KubeObject, Service } from '../../src/core/objects.ts';
import { createAuthority } from '../fake/certificates.ts';

const SERVICES = 10_000;
const NODES = 1000;
const PATCHES = 1000;
const ROUNDS = 3;

interface Where {
  readonly url: string;
  readonly ca: string;
}
interface Measured {
  readonly totalMs: number;
  readonly stallMs: number;
  /** CPU time of the main thread in its busiest stretch between two timers: the stall of an idle machine. */
  readonly busyMs: number;
  readonly heapMiB: number;
  readonly rssMB: number;
}
interface Written {
  readonly perCallMs: number;
  readonly handshakes: number;
}

const roles: Readonly<Record<string, (where: Where) => Promise<Measured | Written>>> = {
  'list ours': (where) => measured(() => listOurs(where)),
  'list typed': (where) => measured(() => listTyped(where)),
  'store both': (where) => measured(() => storeBoth(where)),
  'patch ours': (where) => patchOurs(where),
  'patch typed': (where) => patchTyped(where),
};

const [, , role, where] = process.argv;
if (role === 'server') serve();
else if (role !== undefined) process.send?.(await (roles[role] as (typeof roles)[string])(JSON.parse(where as string)));
else await report();

async function report(): Promise<void> {
  const server = fork(fileURLToPath(import.meta.url), ['server']);
  try {
    const at = await answerOf<Where>(server);
    const run = async <T>(name: string): Promise<T> =>
      await answerOf<T>(fork(fileURLToPath(import.meta.url), [name, JSON.stringify(at)]));
    const rounds = async (name: string): Promise<Measured> => {
      const all: Measured[] = [];
      for (let round = 0; round < ROUNDS; round += 1) all.push(await run<Measured>(name));
      const median = (field: keyof Measured): number =>
        all.map((one) => one[field]).toSorted((a, b) => a - b)[ROUNDS >> 1] as number;
      return {
        totalMs: median('totalMs'),
        stallMs: median('stallMs'),
        busyMs: median('busyMs'),
        heapMiB: median('heapMiB'),
        rssMB: median('rssMB'),
      };
    };
    const ours = await rounds('list ours');
    const typed = await rounds('list typed');
    const both = await rounds('store both');
    console.log(`kube: ${SERVICES} Services listed and stored, median of ${ROUNDS} processes`);
    console.log(`  ours               ${show(ours)}`);
    console.log(`  client-node, typed ${show(typed)}`);
    const ratio = typed.stallMs / ours.stallMs;
    console.log(
      `  longest stall      ${ours.stallMs.toFixed(1)} ms (limit 50), typed list ${ratio.toFixed(1)} times ours (limit 10)`,
    );
    console.log(
      `  heap kept          ${ours.heapMiB.toFixed(1)} MiB (limit 20), typed list ${(typed.heapMiB / ours.heapMiB).toFixed(1)} times ours`,
    );
    console.log(`  with ${NODES} Nodes    ${show(both)}; RSS from source, not bundled (limit 180)`);
    const [mine, theirs] = [await run<Written>('patch ours'), await run<Written>('patch typed')];
    console.log(`kube: ${PATCHES} status patches over TLS, one after the other`);
    console.log(
      `  ours               ${mine.perCallMs.toFixed(2)} ms each (limit 0.4), ${mine.handshakes} handshakes (limit 2)`,
    );
    console.log(
      `  client-node, typed ${theirs.perCallMs.toFixed(2)} ms each, ${theirs.handshakes} handshakes: ${(theirs.perCallMs / mine.perCallMs).toFixed(1)} times ours`,
    );
  } finally {
    server.kill();
  }
}

function show({ totalMs, stallMs, busyMs, heapMiB, rssMB }: Measured): string {
  return `${totalMs.toFixed(0)} ms in all, longest stall ${stallMs.toFixed(1)} ms (CPU ${busyMs.toFixed(1)}), heap kept ${heapMiB.toFixed(1)} MiB, RSS ${rssMB.toFixed(0)} MB`;
}

async function answerOf<T>(child: ChildProcess): Promise<T> {
  return await new Promise((resolve, reject) => {
    child.once('message', (message) => resolve(message as T));
    child.once('exit', (code) => reject(new Error(`a process of the bench ended with ${code}`)));
  });
}

// --- the measured side ---

async function clientFor({ url, ca }: Where) {
  const { createHttpTransport } = await import('../../src/kube/http.ts');
  const { createClient } = await import('../../src/kube/request.ts');
  const { systemClock } = await import('../../src/work/clock.ts');
  const credentials = async () => ({ headers: { Authorization: 'Bearer bench' }, ca });
  return createClient({ transport: createHttpTransport({ url, credentials, renew() {} }), clock: systemClock });
}

/** Warm-up first: code that runs for the first time is slow on both sides. */
async function measured(run: () => Promise<unknown>): Promise<Measured> {
  await run();
  const before = await heapBytes();
  let stallMs = 0;
  let busyMs = 0;
  let lastMs = performance.now();
  let lastCpuMs = cpuMs();
  const watch = setInterval(() => {
    const nowMs = performance.now();
    stallMs = Math.max(stallMs, nowMs - lastMs - 1);
    busyMs = Math.max(busyMs, cpuMs() - lastCpuMs);
    lastMs = nowMs;
    lastCpuMs = cpuMs();
  }, 1);
  const startMs = performance.now();
  const kept = await run();
  const totalMs = performance.now() - startMs;
  await new Promise((resolve) => setTimeout(resolve, 5)); // the last stall is seen by the next tick
  clearInterval(watch);
  const rssMB = process.memoryUsage.rss() / 1e6;
  const heapMiB = ((await heapBytes()) - before) / 2 ** 20;
  if (kept === undefined) throw new Error('nothing was kept');
  return { totalMs, stallMs, busyMs, heapMiB, rssMB };
}

function cpuMs(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1000;
}

async function heapBytes(): Promise<number> {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  for (let n = 0; n < 3; n += 1) {
    collect();
    await new Promise((resolve) => setImmediate(resolve));
  }
  return process.memoryUsage().heapUsed;
}

async function stored(where: Where, plural: 'services' | 'nodes', count: number) {
  const { createReflector } = await import('../../src/kube/reflector.ts');
  const { resources } = await import('../../src/kube/resource.ts');
  const { createStore } = await import('../../src/kube/store.ts');
  const { systemClock } = await import('../../src/work/clock.ts');
  const store = createStore<KubeObject>();
  const stop = new AbortController();
  const silent = { debug() {}, info() {}, warn() {}, error() {} };
  let changes = 0;
  store.onChange(() => {
    changes += 1;
  });
  const client = await clientFor(where);
  const reflector = createReflector<KubeObject>({
    client,
    resource: resources[plural],
    store,
    clock: systemClock,
    random: Math.random,
    log: silent,
  });
  const running = reflector.run(stop.signal);
  await store.whenSynced(stop.signal);
  stop.abort(new Error('end of the bench'));
  await running;
  client.close();
  if (store.size !== count || changes !== count) throw new Error(`${store.size} objects, ${changes} changes`);
  return store;
}

async function listOurs(where: Where): Promise<unknown> {
  return await stored(where, 'services', SERVICES);
}

async function storeBoth(where: Where): Promise<unknown> {
  return [await stored(where, 'services', SERVICES), await stored(where, 'nodes', NODES)];
}

async function typedApi({ url, ca }: Where) {
  const { CoreV1Api, KubeConfig } = await import('@kubernetes/client-node');
  const config = new KubeConfig();
  const caData = Buffer.from(ca).toString('base64');
  config.loadFromClusterAndUser(
    { name: 'c', server: url, caData, skipTLSVerify: false },
    { name: 'u', token: 'bench' },
  );
  return config.makeApiClient(CoreV1Api);
}

async function listTyped(where: Where): Promise<unknown> {
  const { items } = await (await typedApi(where)).listServiceForAllNamespaces();
  if (items.length !== SERVICES) throw new Error(`${items.length} objects`);
  return new Map(items.map((one) => [`${one.metadata?.namespace}/${one.metadata?.name}`, one]));
}

async function patchOurs(where: Where): Promise<Written> {
  const { createPatches } = await import('../../src/kube/patch.ts');
  const { resources } = await import('../../src/kube/resource.ts');
  const client = await clientFor(where);
  const patches = createPatches(client);
  const target = { resource: resources.services, namespace: 'default', name: 'svc-0', subresource: 'status' } as const;
  const { signal } = new AbortController();
  const written = await patching(where, (body) => patches.strategic(target, body, signal));
  client.close();
  return written;
}

async function patchTyped(where: Where): Promise<Written> {
  const api = await typedApi(where);
  const { PatchStrategy, setHeaderOptions } = await import('@kubernetes/client-node');
  const how = setHeaderOptions('Content-Type', PatchStrategy.StrategicMergePatch);
  const target = { name: 'svc-0', namespace: 'default' };
  return await patching(where, (body) => api.patchNamespacedServiceStatus({ ...target, body }, how));
}

async function patching(where: Where, patch: (body: object) => Promise<unknown>): Promise<Written> {
  const before = await handshakesOf(where);
  const startMs = performance.now();
  for (let n = 0; n < PATCHES; n += 1) {
    await patch({ status: { loadBalancer: { ingress: [{ ip: `192.0.2.${n % 256}`, ipMode: 'VIP' }] } } });
  }
  const perCallMs = (performance.now() - startMs) / PATCHES;
  // The question itself makes one.
  return { perCallMs, handshakes: (await handshakesOf(where)) - before - 1 };
}

async function handshakesOf(where: Where): Promise<number> {
  const client = await clientFor(where);
  const { signal } = new AbortController();
  const { handshakes } = await client.call<{ handshakes: number }>({ method: 'GET', path: '/handshakes', signal });
  client.close();
  return handshakes;
}

// --- the server ---

function serve(): void {
  const authority = createAuthority();
  const lists = { services: Array.from({ length: SERVICES }, service), nodes: Array.from({ length: NODES }, node) };
  const pages = new Map<string, string>(); // kind, limit, continue -> body: printing must not be measured
  let handshakes = 0;
  const server = createServer(authority.issue('server'), (request, response) => {
    const url = new URL(request.url as string, 'https://x');
    request.resume();
    if (url.pathname === '/handshakes') {
      response.end(JSON.stringify({ handshakes }));
    } else if (request.method === 'PATCH') {
      response.setHeader('content-type', 'application/json').end(JSON.stringify(lists.services[0]));
    } else if (url.searchParams.has('watch')) {
      response.writeHead(200).flushHeaders();
    } else {
      const plural = url.pathname.endsWith('nodes') ? 'nodes' : 'services';
      response.setHeader('content-type', 'application/json').end(page(plural, url.searchParams));
    }
  });
  function page(plural: 'services' | 'nodes', query: URLSearchParams): string {
    const name = `${plural} ${query.get('limit')} ${query.get('continue')}`;
    const made = pages.get(name);
    if (made !== undefined) return made;
    const all = lists[plural];
    const from = Number(query.get('continue') ?? 0);
    const to = from + Number(query.get('limit') ?? all.length);
    const metadata = { resourceVersion: '99999', ...(to < all.length ? { continue: String(to) } : {}) };
    const kind = plural === 'nodes' ? 'NodeList' : 'ServiceList';
    const body = JSON.stringify({ kind, apiVersion: 'v1', metadata, items: all.slice(from, to) });
    pages.set(name, body);
    return body;
  }
  server.on('secureConnection', () => {
    handshakes += 1;
  });
  server.listen(0, '127.0.0.1', () => {
    const { port } = server.address() as AddressInfo;
    process.send?.({ url: `https://127.0.0.1:${port}`, ca: authority.cert });
  });
}

function metadataOf(name: string, n: number) {
  const fields = {
    'f:metadata': { 'f:annotations': { '.': {}, 'f:a': {} } },
    'f:spec': { 'f:ports': { '.': {} }, 'f:type': {} },
  };
  return {
    name,
    namespace: 'default',
    uid: `11111111-2222-4333-8444-${String(n).padStart(12, '0')}`,
    resourceVersion: String(n + 1),
    creationTimestamp: '2026-11-20T12:00:00Z',
    labels: { app: name, 'app.kubernetes.io/part-of': 'bench' },
    annotations: { 'metallb.io/address-pool': 'first' },
    finalizers: ['service.kubernetes.io/load-balancer-cleanup'],
    managedFields: [
      {
        manager: 'kubectl',
        operation: 'Update',
        apiVersion: 'v1',
        time: '2026-11-20T12:00:00Z',
        fieldsType: 'FieldsV1',
        fieldsV1: fields,
      },
      {
        manager: 'fairlead',
        operation: 'Update',
        apiVersion: 'v1',
        time: '2026-11-20T12:00:00Z',
        fieldsType: 'FieldsV1',
        fieldsV1: fields,
        subresource: 'status',
      },
    ],
  };
}

function service(_value: unknown, n: number): Service {
  const name = `svc-${n}`;
  const clusterIP = `10.96.${n >> 8}.${n & 255}`;
  return {
    metadata: metadataOf(name, n),
    spec: {
      type: 'LoadBalancer',
      clusterIP,
      clusterIPs: [clusterIP],
      ports: [{ name: 'http', protocol: 'TCP', port: 80, targetPort: 8080, nodePort: 30_000 + (n % 2768) }],
      selector: { app: name },
      ipFamilies: ['IPv4'],
      ipFamilyPolicy: 'SingleStack',
      sessionAffinity: 'None',
      externalTrafficPolicy: 'Cluster',
      internalTrafficPolicy: 'Cluster',
      allocateLoadBalancerNodePorts: true,
    },
    status: { loadBalancer: { ingress: [{ ip: `192.0.${n >> 8}.${n & 255}`, ipMode: 'VIP' }] } },
  } as unknown as Service;
}

function node(_value: unknown, n: number): object {
  const types = ['MemoryPressure', 'DiskPressure', 'PIDPressure', 'Ready'];
  const at = '2026-11-20T12:00:00Z';
  const { namespace: _namespace, ...metadata } = metadataOf(`node-${n}`, n);
  return {
    metadata,
    spec: {
      podCIDR: `10.${n >> 8}.${n & 255}.0/24`,
      podCIDRs: [`10.${n >> 8}.${n & 255}.0/24`],
      providerID: `bench:///${n}`,
    },
    status: {
      capacity: { cpu: '8', memory: '32Gi', pods: '110' },
      conditions: types.map((type) => ({
        type,
        status: 'True',
        reason: `Kubelet${type}`,
        message: `kubelet says ${type}`,
        lastHeartbeatTime: at,
        lastTransitionTime: at,
      })),
      addresses: [
        { type: 'InternalIP', address: `172.16.${n >> 8}.${n & 255}` },
        { type: 'Hostname', address: `node-${n}` },
      ],
      images: Array.from({ length: 50 }, (_image, i) => ({
        names: [
          `registry.example/team/image-${i}@sha256:${'ab'.repeat(32)}`,
          `registry.example/team/image-${i}:v1.2.3`,
        ],
        sizeBytes: 123_456_789,
      })),
    },
  };
}
