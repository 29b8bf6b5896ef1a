/** The objects of the flow tests on an API server, and the way to it from the node under test. */
import type { Client } from '../../src/kube/request.ts';
import { type Answer, ask } from '../kube/ask.ts';
import { type Api, findRealApi, type Scope, sandboxApi } from '../kube/cluster.ts';
import {
  type ApiObject,
  endpointSlices,
  NAMESPACE,
  NODES,
  node,
  nodeStatus,
  type ServiceSpec,
  service,
  status,
} from './services.ts';
import type { Traffic } from './traffic.ts';
import { SERVICE_CIDR } from './world.ts';

export interface Cluster {
  readonly kubeconfig: string;
  /** Creates the Service and its slices, or makes them so. */
  put(spec: ServiceSpec): Promise<void>;
  remove(name: string): Promise<void>;
  /** Every Service and every slice. */
  removeAll(): Promise<void>;
  /** Only its slices. */
  putSlices(spec: ServiceSpec): Promise<void>;
  /** One that is there, in one request on a connection that stays. */
  replaceSlice(slice: ApiObject): Promise<void>;
}

const services = `/api/v1/namespaces/${NAMESPACE}/services`;
const slices = `/apis/discovery.k8s.io/v1/namespaces/${NAMESPACE}/endpointslices`;

const range = { serviceClusterIpRange: `${SERVICE_CIDR[4]},${SERVICE_CIDR[6]}` };

/** With two nodes in it, and reachable from n1 by its own kubeconfig. Absent: no programs (`leaveOut`). */
export async function startCluster(scope: Scope, traffic: Traffic): Promise<Cluster | undefined> {
  const api = await findRealApi(scope, range);
  return api === undefined ? undefined : clusterOn(api, traffic);
}

/** The same on the API server in memory, which takes more writes per second. */
export async function sandboxCluster(scope: Scope, traffic: Traffic): Promise<Cluster> {
  return clusterOn(await sandboxApi(scope, range), traffic);
}

async function clusterOn(api: Api, traffic: Traffic): Promise<Cluster> {
  const { port } = new URL(api.url);
  await traffic.forward('n1', '127.0.0.1', Number(port), { address: '127.0.0.1', port: Number(port) });
  const send = async (method: string, path: string, body?: object, patch?: 'merge'): Promise<Answer> => {
    const answer = await ask(api, method, path, body, patch === undefined ? {} : { patch });
    if (answer.status < 300 || (method === 'DELETE' && answer.status === 404)) return answer;
    throw new Error(`${method} ${path}: ${answer.status} ${answer.text}`);
  };
  const there = new Set<string>(); // paths of what was made here: an address that is taken comes before a name that is
  /** By its name: created, or replaced as a whole. */
  const apply = async (collection: string, object: ApiObject): Promise<void> => {
    const path = `${collection}/${object.metadata.name}`;
    if (!there.has(path)) {
      await send('POST', collection, object);
      there.add(path);
      return;
    }
    const { json } = await send('GET', path);
    const { resourceVersion } = (json as { metadata: { resourceVersion: string } }).metadata;
    await send('PUT', path, { ...object, metadata: { ...object.metadata, resourceVersion } });
  };
  const remove = async (path: string): Promise<void> => {
    await send('DELETE', path);
    there.delete(path);
  };
  const slicesOf = new Map<string, readonly string[]>(); // Service -> names of its slices
  const putSlices = async (spec: ServiceSpec): Promise<void> => {
    const wanted = endpointSlices(spec);
    for (const slice of wanted) await apply(slices, slice);
    const names = wanted.map(({ metadata }) => metadata.name);
    for (const name of slicesOf.get(spec.name) ?? []) if (!names.includes(name)) await remove(`${slices}/${name}`);
    slicesOf.set(spec.name, names);
  };

  for (const name of NODES) {
    await apply('/api/v1/nodes', node(name));
    await send('PATCH', `/api/v1/nodes/${name}/status`, { status: nodeStatus(name) });
  }
  let client: Client | undefined;
  return {
    kubeconfig: api.kubeconfig,
    putSlices,
    async replaceSlice(slice) {
      client ??= api.client();
      const path = `${slices}/${slice.metadata.name}`;
      await client.call({ method: 'PUT', path, body: slice, signal: AbortSignal.timeout(30_000) });
    },
    async put(spec) {
      await apply(services, service(spec));
      if (spec.type === undefined || spec.type === 'LoadBalancer')
        await send('PATCH', `${services}/${spec.name}/status`, { status: status(spec) });
      await putSlices(spec);
    },
    async remove(name) {
      await remove(`${services}/${name}`);
      for (const slice of slicesOf.get(name) ?? []) await remove(`${slices}/${slice}`);
      slicesOf.delete(name);
    },
    async removeAll() {
      await send('DELETE', services);
      await send('DELETE', slices);
      slicesOf.clear();
      there.clear();
    },
  };
}
