import { createContext } from '../controllers/context.ts';
import { type EndpointSlice, type KubeObject, keyOf, type Node, type Service } from '../core/objects.ts';
import type { Call, Log, Provider, ProviderContext, ResourceName } from '../core/provider.ts';
import { type DesiredLoadBalancer, desiredOf } from '../core/service/desired.ts';
import { nodePass } from '../core/service/nodes.ts';
import { createPatches } from '../kube/patch.ts';
import { type Client, createClient } from '../kube/request.ts';
import { resources } from '../kube/resource.ts';
import { createSandboxApi } from '../sandbox/api/server.ts';
import { systemClock } from '../work/clock.ts';
import { crdFiles } from './assets.ts';
import type { Terminal } from './command.ts';
import { listOf } from './connect.ts';
import { type Manifest, readManifests } from './manifest.ts';
import { loadProvider } from './provider.ts';
import { putAll } from './world.ts';

const fairlead = (plural: string): ResourceName => ({ group: 'fairlead.dev', version: 'v1alpha1', plural });
const metallb = (plural: string, version = 'v1beta1'): ResourceName => ({ group: 'metallb.io', version, plural });

/** What a decision may look at. Pods are left out: nothing that only looks minds who else runs. */
const copied: readonly ResourceName[] = [
  resources.namespaces,
  resources.nodes,
  resources.services,
  resources.configmaps,
  resources.endpointslices,
  fairlead('ipblocks'),
  metallb('ipaddresspools'),
  metallb('l2advertisements'),
  metallb('bgpadvertisements'),
  metallb('bfdprofiles'),
  metallb('communities'),
  metallb('bgppeers', 'v1beta2'),
];

/** A copy of the world in memory: what the cluster holds, if there is one, and manifests over it. Nothing leaves it. */
export interface Replica {
  readonly client: Client;
  /** Puts manifests over what is there. Throws an InputError with every refusal. */
  overlay(manifests: readonly Manifest[]): Promise<readonly KubeObject[]>;
  list<T extends KubeObject>(resource: ResourceName): Promise<readonly T[]>;
  /** A provider that sees this world; what it writes stays in memory. */
  provider(name: string, config: object, cluster: string): Promise<Provider>;
  close(): Promise<void>;
}

export interface ReplicaOptions {
  /** The cluster to copy; absent: an empty world. */
  readonly live?: Client;
  /** Whose ConfigMaps are copied: those of the others are nobody's business here. */
  readonly namespace: string;
  readonly terminal: Terminal;
}

export async function createReplica({ live, namespace, terminal }: ReplicaOptions): Promise<Replica> {
  const { signal } = terminal;
  const api = createSandboxApi({ clock: systemClock });
  const client = createClient({ transport: api.transport(), clock: systemClock });
  const ended = new AbortController();
  const overlay = async (manifests: readonly Manifest[]) => await putAll(client, manifests, signal);
  await overlay(await readManifests(await crdFiles(), terminal));
  if (live !== undefined) {
    for (const resource of copied) {
      const scope = resource.plural === 'configmaps' ? namespace : undefined;
      api.seed(resource, (await listOf(live, resource, signal, scope)) ?? []);
    }
  }
  return {
    client,
    overlay,
    list: async <T extends KubeObject>(resource: ResourceName) => (await listOf<T>(client, resource, signal)) ?? [],
    async provider(name, config, cluster) {
      const module = await loadProvider(name, terminal.cwd);
      return await module.create(contextFor({ client, cluster, config, signal: ended.signal }));
    },
    async close() {
      ended.abort(new Error('the command has ended'));
      await api.close();
    },
  };
}

/** Names the Service of an EndpointSlice. */
const SERVICE_LABEL = 'kubernetes.io/service-name';

/** Specs of Services in a replica. Nodes are looked at once: nothing drains in a plan. */
export async function specsIn(
  replica: Replica,
  { loadBalancers }: Provider,
  cluster: string,
): Promise<(service: Service) => DesiredLoadBalancer> {
  const nodes = await replica.list<Node>(resources.nodes);
  const { members } = nodePass(nodes, { nowMs: 0, drainMs: 0 });
  const slices = Map.groupBy(
    await replica.list<EndpointSlice>(resources.endpointslices),
    ({ metadata: { namespace, labels } }) => `${namespace}/${labels?.[SERVICE_LABEL] ?? ''}`,
  );
  return (service) =>
    desiredOf(service, {
      cluster,
      members,
      slices: () => slices.get(keyOf(service)) ?? [],
      ...(loadBalancers?.interpret === undefined ? {} : { interpret: loadBalancers.interpret }),
    });
}

/** What a command gives to a provider: nobody leads, nobody counts, nothing is run again. */
export function contextFor(options: {
  readonly client: Client;
  readonly cluster: string;
  readonly config: object;
  readonly signal: AbortSignal;
}): ProviderContext {
  const { client } = options;
  return createContext({
    ...options,
    patches: createPatches(client),
    clock: systemClock,
    random: Math.random,
    log: quiet,
    stores: [],
    leads: () => true,
    resync: () => {},
  });
}

/** A call that only this command's end aborts. */
export function callFor(signal: AbortSignal, trace?: Call['trace']): Call {
  return { signal, log: quiet, limit: (fn) => fn(), ...(trace === undefined ? {} : { trace }) };
}

/** Commands that only look say what they find themselves. */
const quiet: Log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
