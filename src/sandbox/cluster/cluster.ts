import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { buildNative } from '../../agent/native/build.ts';
import { failure, isProviderError } from '../../core/errors.ts';
import type { Clock, Log } from '../../core/provider.ts';
import { createPatches } from '../../kube/patch.ts';
import { type Client, createClient } from '../../kube/request.ts';
import { pathOf, resources } from '../../kube/resource.ts';
import type { Timers } from '../../work/clock.ts';
import { createSandboxApi, type SandboxApi } from '../api/server.ts';
import { run } from '../netns/run.ts';
import { createNetns, type End, type Netns } from '../netns.ts';
import { type NodeAgent, startAgent } from './agents.ts';
import { createCniRuntime } from './cni-runtime.ts';
import { createKubelet, type Kubelet } from './kubelet.ts';
import { clusterLayout, freeSegment, type Layout, type NodeLayout } from './layout.ts';
import { type Asker, createAsker, type Question, type Reply } from './outside.ts';
import { runRouter } from './router.ts';

export interface ClusterOptions {
  /** How `fairlead` is started on a node: program and first arguments. */
  readonly fairlead: readonly string[];
  /** Runs the controller with its provider until the signal aborts. */
  readonly controller: (client: Client, signal: AbortSignal) => Promise<unknown>;
  /** How many nodes; default 3. */
  readonly nodes?: number;
  /** Of the API server on loopback, for people; default 0: any. */
  readonly port?: number;
  /** Letters and digits, six at most, before the names of all namespaces; default `fl`. */
  readonly prefix?: string;
  readonly clock: Clock & Timers;
  readonly log: Log;
  /** Before nodes and controller: what they are to find. */
  readonly prepare?: (client: Client, signal: AbortSignal) => Promise<void>;
}

/** Somewhere in the cluster: a pod that runs ('namespace/name'), or a namespace: `client`, `router` or a node. */
export type Place = { readonly pod: string } | { readonly ns: string };

/** A cluster in network namespaces, with real packets: `layout.ts` shows what is connected to what. */
export interface Cluster {
  readonly api: SandboxApi;
  readonly client: Client;
  readonly netns: Netns;
  readonly layout: Layout;
  readonly agents: ReadonlyMap<string, NodeAgent>;
  /** For kubectl on this machine. */
  readonly kubeconfig: { readonly path: string; readonly port: number };
  /** Settles when the controller has ended by itself. */
  readonly controller: Promise<unknown>;
  /** Opens a connection from there; undefined: no such place. */
  ask(from: Place, question: Question): Promise<Reply | undefined>;
  /** Ends and removes everything. Idempotent. */
  close(): Promise<void>;
}

const LAN = 'lan';
const BRIDGE = 'br0';

/**
 * Starts an API server in memory, a controller, nodes with `fairlead agent` (proxy, cni, routes) and a kubelet's
 * stand-in each, an outside router and a client; resolves when every node serves pods. Whatever it made is gone when
 * it rejects. Needs root, and what `programs.ts` names.
 */
export async function startCluster(options: ClusterOptions, signal: AbortSignal): Promise<Cluster> {
  const { clock, log, nodes = 3, port = 0, prefix = 'fl', prepare } = options;
  const netns = await createNetns({ prefix });
  for (const { name, reason } of netns.swept.kept) log.warn({ name, reason }, 'an older sandbox cannot be removed');
  const ended = new AbortController();
  const life = AbortSignal.any([signal, ended.signal]);
  const running: Promise<unknown>[] = [];
  const agents = new Map<string, NodeAgent>();
  const askers = new Map<string, Asker>(); // namespace -> who asks from there
  let api: SandboxApi | undefined;
  let closing: Promise<void> | undefined;
  const close = (): Promise<void> => {
    closing ??= (async () => {
      ended.abort(new Error('the sandbox cluster ends'));
      await Promise.allSettled([...agents.values()].map((agent) => agent.close()));
      await Promise.allSettled(running);
      await netns.close();
      await api?.close();
    })();
    return closing;
  };
  try {
    const layout = clusterLayout({
      nodes,
      segment: await segmentFor(netns.name),
      ipv6: existsSync('/proc/sys/net/ipv6'),
    });
    await wire(netns, layout);
    api = createSandboxApi({
      clock,
      // Names of pods and addresses of Services are others in each cluster, as everywhere.
      seed: Number.parseInt(netns.name.slice(-6), 16),
      podCidrs: layout.podCidrs,
      serviceCidrs: layout.serviceCidrs,
      plane: { heartbeats: true, workloads: true },
    });
    const kubeconfig = await serve(api, layout, netns.folder, port);
    const client = createClient({ transport: api.transport(), clock });
    for (const node of layout.nodes) await createNode(client, node, life);
    await prepare?.(client, life);
    const controller = options.controller(client, life);
    // A failure of the controller is the caller's to see; here it must not be an unhandled rejection.
    running.push(controller.catch(() => {}));
    const native = await nativeProgram(join(netns.folder, 'fairlead-netlink'), log);
    const kubelets = new Map<string, Kubelet>();
    for (const { name, addresses } of layout.nodes) {
      const agent = await startAgent({ nodeName: name, netns, kubeconfig: kubeconfig.inside, ...native, ...options });
      agents.set(name, agent);
      const { confDir, binDir } = agent.folders;
      const exec = (argv: readonly string[], env: Readonly<Record<string, string>>, input: string) =>
        netns.exec(name, argv, { env, input, timeoutMs: 90_000 });
      const cni = createCniRuntime({ confDir, binDir, exec });
      kubelets.set(name, createKubelet({ nodeName: name, hostIPs: addresses, client, netns, cni, clock, log }));
    }
    running.push(runRouter({ netns, ns: 'router', client, clock, log }, life));
    await Promise.all([...agents.values()].map((agent) => agent.whenReady(life)));
    for (const kubelet of kubelets.values()) running.push(kubelet.run(life));
    return {
      api,
      client,
      netns,
      layout,
      agents,
      kubeconfig: kubeconfig.outside,
      controller,
      async ask(from, question) {
        const ns =
          'ns' in from
            ? from.ns
            : [...kubelets.values()].map((each) => each.namespaceOf(from.pod)).find((each) => each !== undefined);
        if (ns === undefined || !existsSync(netns.path(ns))) return undefined;
        const asker = askers.get(ns) ?? createAsker(netns, ns);
        askers.set(ns, asker);
        return await asker.ask(question);
      },
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Two sandboxes on one machine have two ranges, chosen by name so that they do not even try the same. */
async function segmentFor(name: string): Promise<number> {
  const { stdout } = await run(['ip', '-4', 'route', 'show', 'table', 'all']);
  const segment = freeSegment(stdout, Number.parseInt(name.slice(-2), 16));
  if (segment === undefined) throw failure('FL_SANDBOX_NETNS', 'all of 198.18.0.0/16 is routed on this machine');
  return segment;
}

async function wire(netns: Netns, layout: Layout): Promise<void> {
  await netns.add(LAN);
  await netns.bridge(LAN, BRIDGE);
  await netns.add('router', { forwarding: true });
  await netns.add('client');
  for (const { name } of layout.nodes) await netns.add(name);
  const port = (ifname: string): End => ({ ns: LAN, ifname, bridge: BRIDGE });
  await netns.connect({ ifname: 'sb', addresses: [layout.api] }, port('api'));
  await netns.connect({ ns: 'router', ifname: 'eth0', addresses: layout.router.segment }, port('router'));
  for (const { name, interfaces } of layout.nodes)
    await netns.connect({ ns: name, ifname: 'eth0', addresses: interfaces }, port(name));
  await netns.connect(
    { ns: 'router', ifname: 'out', addresses: layout.router.outside },
    { ns: 'client', ifname: 'eth0', addresses: layout.client },
  );
  const defaults = (via: readonly string[]): readonly string[] =>
    via.map((address) => `route add ${address.includes(':') ? '::/0' : '0.0.0.0/0'} via ${address}`);
  for (const { name } of layout.nodes) await netns.ip(name, defaults(layout.gateways.nodes));
  await netns.ip('client', defaults(layout.gateways.client));
}

interface Kubeconfigs {
  /** Path of the file that agents take. */
  readonly inside: string;
  readonly outside: { readonly path: string; readonly port: number };
}

/** On loopback for people; on the segment for the nodes, with a token: others of this machine's network may reach that, too. */
async function serve(api: SandboxApi, { api: segment }: Layout, folder: string, port: number): Promise<Kubeconfigs> {
  const outside = await api.listen({ port });
  const inside = await api.listen({ host: segment.slice(0, segment.indexOf('/')), token: randomUUID() });
  const write = async (name: string, text: string): Promise<string> => {
    const path = join(folder, name);
    await writeFile(path, text, { mode: 0o600 });
    return path;
  };
  return {
    inside: await write('node.kubeconfig', inside.kubeconfig),
    outside: { path: await write('kubeconfig', outside.kubeconfig), port: outside.port },
  };
}

async function createNode(client: Client, { name, addresses }: NodeLayout, signal: AbortSignal): Promise<void> {
  const labels = {
    'kubernetes.io/hostname': name,
    'kubernetes.io/os': 'linux',
    'topology.kubernetes.io/zone': `zone-${name}`,
  };
  const body = { apiVersion: 'v1', kind: 'Node', metadata: { name, labels }, spec: {} };
  await client.call({ method: 'POST', path: pathOf(resources.nodes), body, signal });
  const shown = [...addresses.map((address) => ({ type: 'InternalIP', address })), { type: 'Hostname', address: name }];
  const target = { resource: resources.nodes, name, subresource: 'status' as const };
  await createPatches(client).merge(target, { status: { addresses: shown } }, signal);
}

/**
 * The C program for both jobs, the CNI plugin and the netlink helper. Undefined where it cannot be built: the agent then
 * takes what lies beside it, at last the plugin's shell form.
 */
async function nativeProgram(to: string, log: Log): Promise<{ readonly helper?: string }> {
  try {
    await buildNative({ to });
    return { helper: to };
  } catch (error) {
    if (!isProviderError(error) || error.code !== 'FL_COMPILER_MISSING') throw error;
    log.info({ reason: error.message }, 'the C program of the node is not built here');
    return {};
  }
}
