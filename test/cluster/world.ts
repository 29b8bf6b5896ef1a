/** Pods, Services and questions to them on a cluster of real nodes. */
import type { TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { KubeObject, Service } from '../../src/core/objects.ts';
import { ask } from '../kube/ask.ts';
import { AGNHOST_IMAGE } from '../kube/images.ts';
import type { Machine } from '../kube/machine.ts';
import { type Cluster, type ClusterOptions, startCluster, type Whose } from '../kube/nodes.ts';
import { leaveOut } from '../left-out.ts';
import { installPackages } from '../packages.ts';

/** Whose network the tests run on: CLUSTER_CNI=peer and CLUSTER_PROXY=peer show that they ask nothing that is only ours. */
export const whose = {
  cni: (process.env['CLUSTER_CNI'] ?? 'fairlead') as Whose,
  proxy: (process.env['CLUSTER_PROXY'] ?? 'fairlead') as Whose,
};
/** Pods start within seconds; a machine under load may need longer. */
const PATIENCE_MS = 120_000;

/** A cluster for this test, or `undefined` when the test is left out: without CI=true, or without root. */
export async function clusterFor(t: TestContext, options: ClusterOptions = {}): Promise<Cluster | undefined> {
  if (process.env['CI'] !== 'true' || process.getuid?.() !== 0) {
    leaveOut(
      t,
      'a cluster of real nodes',
      'run `npm run test:cluster` as root, which needs Go and builds Kubernetes once',
    );
    return undefined;
  }
  installPackages();
  return await startCluster(t, { ...whose, ...options });
}

export interface Pod {
  readonly name: string;
  readonly node: string;
  readonly ip: string;
}
export interface PodOptions {
  /** Name of the node. */
  readonly node: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly hostNetwork?: true;
  readonly ports?: readonly object[];
  readonly subdomain?: string;
  /** Of agnhost: `netexec`, which serves /hostname, /clientip, /dial and /shell at port 8080. */
  readonly args?: readonly string[];
}

/** Creates pods in `default` and waits until all are Ready. */
export async function createPods(
  cluster: Cluster,
  wanted: Readonly<Record<string, PodOptions>>,
): Promise<Readonly<Record<string, Pod>>> {
  for (const [name, options] of Object.entries(wanted)) await post(cluster, 'pods', podBody(name, options));
  const pods = await Promise.all(Object.keys(wanted).map((name) => readyPod(cluster, name)));
  return Object.fromEntries(pods.map((pod) => [pod.name, pod]));
}

const listens = {
  httpGet: { path: '/hostname', port: 8080 },
  periodSeconds: 1,
  timeoutSeconds: 5,
  failureThreshold: 30,
};

export function podBody(name: string, { node, labels = {}, hostNetwork, ports, subdomain, args }: PodOptions): object {
  const netexec = ['netexec', '--http-port=8080', '--udp-port=8081'];
  return {
    metadata: { name, labels: { app: name, ...labels } },
    spec: {
      nodeName: node,
      terminationGracePeriodSeconds: 0,
      ...(hostNetwork === undefined ? {} : { hostNetwork }),
      ...(subdomain === undefined ? {} : { subdomain, hostname: name }),
      containers: [
        {
          name: 'agnhost',
          image: AGNHOST_IMAGE,
          imagePullPolicy: 'Never',
          args: args ?? netexec,
          // A container runs before its server listens. Once it does, a busy machine does not take it away.
          ...(args === undefined ? { readinessProbe: listens } : {}),
          ...(ports === undefined ? {} : { ports }),
        },
      ],
    },
  };
}

interface PodObject extends KubeObject {
  readonly spec: { readonly nodeName?: string };
  readonly status?: { readonly podIP?: string; readonly conditions?: readonly { type: string; status: string }[] };
}

export async function readyPod(cluster: Cluster, name: string): Promise<Pod> {
  return await eventually(`pod ${name} is Ready`, async () => {
    const { json, text } = await ask(cluster.api, 'GET', `/api/v1/namespaces/default/pods/${name}`);
    const { spec, status = {} } = json as PodObject;
    const isReady = status.conditions?.some((each) => each.type === 'Ready' && each.status === 'True') === true;
    if (!isReady || status.podIP === undefined) throw new Error(text);
    return { name, node: spec.nodeName ?? '', ip: status.podIP };
  });
}

/** At once, and waits until it is gone. */
export async function removePod(cluster: Cluster, name: string): Promise<void> {
  const path = `/api/v1/namespaces/default/pods/${name}`;
  await ask(cluster.api, 'DELETE', `${path}?gracePeriodSeconds=0`);
  await eventually(`pod ${name} is gone`, async () => {
    const { status } = await ask(cluster.api, 'GET', path);
    if (status !== 404) throw new Error(`GET: ${status}`);
  });
}

/** A Service in `default` from port 80 to 8080 of pods with label app=`name`, unless said otherwise. */
export async function createService(cluster: Cluster, name: string, spec: object = {}): Promise<Service> {
  const ports = [{ name: 'http', port: 80, targetPort: 8080, protocol: 'TCP' }];
  return (await post(cluster, 'services', {
    metadata: { name },
    spec: { selector: { app: name }, ports, ...spec },
  })) as Service;
}

export async function post(cluster: Cluster, kind: string, body: object): Promise<unknown> {
  // The namespace's service account comes a moment after the API server.
  return await eventually(`POST ${kind}`, async () => {
    const { status, text, json } = await ask(cluster.api, 'POST', `/api/v1/namespaces/default/${kind}`, body);
    if (status !== 201) throw new Error(`${status} ${text}`);
    return json;
  });
}

/** What `url` answers on a machine; rejects, naming both, when nothing comes within a few seconds. */
export async function get(from: Machine, url: string): Promise<string> {
  const { code, stdout, stderr } = await from.run('curl', ['-sS', '-g', '--max-time', '5', url]);
  if (code !== 0) throw new Error(`${from.name}: ${url}: ${stderr.trim()}`);
  return stdout.trim();
}

/** What `path` of a Service or pod answers when a pod asks, each try on a connection of its own. Rejects at the first failure. */
export async function dial(
  cluster: Cluster,
  pod: Pod,
  to: { readonly host: string; readonly port: number; readonly path?: string; readonly protocol?: 'http' | 'udp' },
  tries = 1,
): Promise<readonly string[]> {
  const { host, port, path = 'hostname', protocol = 'http' } = to;
  const query = new URLSearchParams({ host, port: String(port), request: path, protocol, tries: String(tries) });
  const { responses = [], errors } = JSON.parse(await get(cluster.control, `http://${pod.ip}:8080/dial?${query}`)) as {
    responses?: readonly string[];
    errors?: readonly string[];
  };
  if (errors !== undefined) throw new Error(`${pod.name}: ${host}:${port}: ${errors.join('; ')}`);
  return responses;
}

/** Runs a shell command in a pod; its output. */
export async function shell(cluster: Cluster, pod: Pod, command: string): Promise<string> {
  const query = new URLSearchParams({ cmd: command });
  const { output, error } = JSON.parse(await get(cluster.control, `http://${pod.ip}:8080/shell?${query}`)) as {
    output?: string;
    error?: string;
  };
  if (error !== undefined && error !== '') throw new Error(`${pod.name}: ${command}: ${error} ${output ?? ''}`);
  return output ?? '';
}

/** Starts agnhost's web server on a machine that is no pod, at port 8080. */
export function serve(cluster: Cluster, machine: Machine): void {
  machine.start('netexec', cluster.programs.agnhost, ['netexec', '--http-port=8080', '--udp-port=-1']);
}

/** Asks again until nothing throws any more; then what it returned. Rejects with the last error when patience is over. */
export async function eventually<T>(what: string, look: () => Promise<T>, patienceMs = PATIENCE_MS): Promise<T> {
  for (const endMs = performance.now() + patienceMs; ; await sleep(50)) {
    try {
      return await look();
    } catch (cause) {
      if (performance.now() > endMs) throw new Error(`not so: ${what}: ${String(cause)}`, { cause });
    }
  }
}

/** Without its port: '10.244.1.2:41234' -> '10.244.1.2'. */
export function host(clientip: string): string {
  return clientip.replace(/:\d+$/, '').replace('[::ffff:', '').replace(']', '');
}

/** Sorted, each once. */
export function distinct(values: readonly string[]): readonly string[] {
  return [...new Set(values)].sort();
}
