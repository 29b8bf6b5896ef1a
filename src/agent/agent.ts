import { existsSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import type { TableFamily } from '../core/net/element.ts';
import type { KubeObject, Node, Pod } from '../core/objects.ts';
import type { Cidr, Clock, Log } from '../core/provider.ts';
import { createPlanner } from '../core/proxy/planner.ts';
import { createRecorder, type Recorder } from '../kube/events.ts';
import { createReflector } from '../kube/reflector.ts';
import type { Client } from '../kube/request.ts';
import { resources } from '../kube/resource.ts';
import { createStore, type Store } from '../kube/store.ts';
import type { Metrics } from '../obs/metrics.ts';
import type { Timers } from '../work/clock.ts';
import type { Exec } from './exec.ts';
import { acceptForwarding } from './forward.ts';
import type { Channels } from './netlink/channel.ts';
import { createTextLoader } from './nft/rules.ts';
import type { AgentContext, Part, PartName, WatchHow } from './part.ts';
import { refuseBesideKubeProxy } from './proxy/beside.ts';
import type { TableWatcher } from './proxy/family-table.ts';
import { podCidrsOf } from './proxy/node-facts.ts';
import type { ProxyOptions } from './proxy/options.ts';
import { createProxyPart, familyNames, type ProxyPart } from './proxy/part.ts';
import { createTables, type Tables } from './proxy/tables.ts';
import { createSysctls, enableForwarding } from './sysctl.ts';

export interface AgentSetup {
  readonly nodeName: string;
  readonly parts: readonly PartName[];
  readonly proxy: ProxyOptions;
  /** How the other parts are made; those of `parts` must be there. */
  readonly create: Readonly<Partial<Record<PartName, (context: AgentContext) => Promise<Part>>>>;
  readonly client: Client;
  readonly channels: Channels;
  readonly exec: Exec;
  readonly sysctlRoot: string;
  readonly clock: Clock & Timers;
  /** 0 <= x < 1 */
  readonly random: () => number;
  readonly log: Log;
  readonly metrics: Metrics;
  /** Everything that the API server says is in the kernel, for the first time. */
  readonly synced?: () => void;
}

export interface Agent {
  readonly parts: readonly Part[];
  /** kube-proxy's health pages; absent without the proxy part. */
  readonly proxy: Pick<ProxyPart, 'answer'> | undefined;
  readonly tables: Tables;
  /** Until the signal aborts; rules, interfaces and routes stay. Rejects when a part cannot go on. */
  run(signal: AbortSignal): Promise<void>;
}

/** A kernel without IPv6 refuses rules for it (ipv6.disable=1). */
const families = (): readonly TableFamily[] => (existsSync('/proc/net/if_inet6') ? ['ip', 'ip6'] : ['ip']);
/** Docker makes its chains anew when it starts. */
const FORWARD_MS = 60_000;

/** The node agent: its parts, and what they share. */
export async function createAgent(setup: AgentSetup): Promise<Agent> {
  const { nodeName, parts: names, channels, exec, clock, log, metrics } = setup;
  const life = new AbortController();
  const load = createTextLoader({ exec });
  const shared = createShared(setup, life.signal);
  let proxy: ProxyPart | undefined;
  const tables = createTables({
    nodeName,
    parts: names,
    proxy: setup.proxy,
    nodes: shared.nodes('own'),
    channel: channels.nft,
    load,
    // Ids of an earlier run are smaller: clients are remembered by id for hours.
    planners: families().map((family) => createPlanner({ family, firstId: Math.floor(clock.now() / 1000) })),
    watcher: watcherOf(metrics, () => proxy?.watcher),
    clock,
    log,
  });
  metrics.ask('fairlead_proxy_elements', () =>
    tables.planners.map(
      (planner) => [{ ip_family: familyNames[planner.family] }, countOf(planner.elements())] as const,
    ),
  );
  const context: AgentContext = { ...shared, table: tables.node };
  const parts: Part[] = [];
  for (const name of names) {
    if (name === 'proxy') {
      proxy = createProxyPart(context, { proxy: setup.proxy, tables, conntrack: channels.conntrack });
      parts.push(proxy);
    } else {
      const create = setup.create[name];
      if (create === undefined) throw new TypeError(`nothing makes the part ${name}`);
      parts.push(await create(context));
    }
  }

  async function run(signal: AbortSignal): Promise<void> {
    const stop = (): void => life.abort(signal.reason);
    signal.addEventListener('abort', stop, { once: true });
    if (signal.aborted) stop();
    try {
      const checked = names.includes('proxy') ? refuseBesideKubeProxy({ exec }) : Promise.resolve();
      // Routes alone need no table.
      const fills = names.includes('proxy') || names.includes('cni');
      const written = checked.then(async () => {
        if (fills) await tables.run(life.signal);
      });
      void announce(tables, life.signal, setup.synced);
      void keepForwarding(setup, context, life.signal);
      await Promise.all([written, ...parts.map((part) => part.run(life.signal))]);
    } catch (error) {
      if (!signal.aborted) throw error;
    } finally {
      life.abort(new Error('the agent ends'));
      signal.removeEventListener('abort', stop);
    }
  }

  return { parts, proxy, tables, run };
}

/** All of the context but the tables, which stand on it. */
function createShared(setup: AgentSetup, signal: AbortSignal): Omit<AgentContext, 'table'> {
  const { client, clock, random, log, metrics, nodeName, channels, sysctlRoot } = setup;
  const recorders = new Map<string, Recorder>(); // component -> its recorder
  const onHandlerError = (err: unknown): void => log.error({ err }, 'a change could not be taken in');
  const nodes = new Map<'own' | 'all', Store<Node>>();
  let pods: Store<Pod> | undefined;

  function watch<T extends KubeObject>(
    resource: Parameters<AgentContext['watch']>[0],
    store: Store<T>,
    how: WatchHow<T> = {},
  ): void {
    // All at once: the API server answers from its cache, and the whole objects never pile up here.
    const watched = { client, resource, store, clock, random, log, metrics: metrics.reflector, pageSize: 0, ...how };
    void createReflector<T>(watched).run(signal);
  }

  return {
    nodeName,
    client,
    clock,
    random,
    log,
    metrics,
    sysctlRoot,
    watch,
    routes: async () => channels.route,
    recorder(component) {
      const known = recorders.get(component);
      if (known !== undefined) return known;
      const recorder = createRecorder({
        client,
        clock,
        log,
        component,
        instance: nodeName,
        capacity: () => 1000,
        metrics: metrics.events,
      });
      recorders.set(component, recorder);
      void recorder.run(signal);
      return recorder;
    },
    nodes(which) {
      const known = nodes.get(which);
      if (known !== undefined) return known;
      const store = createStore<Node>({ onHandlerError });
      nodes.set(which, store);
      watch(resources.nodes, store, which === 'own' ? { fieldSelector: `metadata.name=${nodeName}` } : {});
      return store;
    },
    pods() {
      if (pods !== undefined) return pods;
      pods = createStore<Pod>({ onHandlerError });
      watch(resources.pods, pods, { fieldSelector: `spec.nodeName=${nodeName}` });
      return pods;
    },
  };
}

/** Counts, and tells the proxy part, which is made after the tables. */
function watcherOf(metrics: Metrics, proxy: () => TableWatcher | undefined): TableWatcher {
  const labels = (family: TableFamily) => ({ ip_family: familyNames[family] });
  return {
    synced: (...all) => proxy()?.synced(...all),
    flows: (...all) => proxy()?.flows(...all),
    conflicted: (...all) => proxy()?.conflicted(...all),
    refused(family, change, refusal) {
      metrics.count('fairlead_proxy_refused_elements_total', labels(family));
      if (change.op === 'delete')
        metrics.count('fairlead_proxy_sync_proxy_rules_nftables_cleanup_failures_total', labels(family));
      proxy()?.refused(family, change, refusal);
    },
    transaction(family, outcome) {
      metrics.count('fairlead_proxy_commits_total', { ...labels(family), outcome });
      if (outcome === 'ok') return;
      metrics.count('fairlead_proxy_sync_proxy_rules_nftables_sync_failures_total', labels(family));
    },
    reloaded(family, reason) {
      metrics.count('fairlead_proxy_reloads_total', { ...labels(family), reason });
      proxy()?.reloaded(family, reason);
    },
    repaired: (family, elements) => metrics.count('fairlead_proxy_repairs_total', labels(family), elements),
  };
}

function countOf(items: Iterable<unknown>): number {
  let count = 0;
  for (const _item of items) count += 1;
  return count;
}

async function announce({ keeper }: Tables, signal: AbortSignal, synced: (() => void) | undefined): Promise<void> {
  await keeper.whenSynced(signal).catch(() => {});
  if (!signal.aborted) synced?.();
}

/** Packets of pods pass between interfaces, and through the chain FORWARD of whoever has one. */
async function keepForwarding(setup: AgentSetup, context: AgentContext, signal: AbortSignal): Promise<void> {
  const { proxy, nodeName, exec, sysctlRoot, clock, log, parts } = setup;
  const load = createTextLoader({ exec });
  const own = context.nodes('own');
  // The other nodes' pods are known where another part watches all Nodes anyway.
  const all = parts.includes('routes') || parts.includes('cni') ? context.nodes('all') : own;
  try {
    await own.whenSynced(signal);
    const addresses = own.get(nodeName)?.status?.addresses ?? [];
    const cidrs = (): readonly Cidr[] =>
      proxy.detectLocal.by === 'cluster-cidr'
        ? proxy.detectLocal.cidrs
        : [...all.values()].flatMap((node) => podCidrsOf({ detectLocal: { by: 'node-cidr' } }, node)).sort();
    await enableForwarding(createSysctls({ root: sysctlRoot, log }), {
      ipv4: true,
      ipv6: addresses.some(({ address }) => address.includes(':')) || cidrs().some((cidr) => cidr.includes(':')),
      interfaces: Object.keys(networkInterfaces()),
    });
    while (!signal.aborted) {
      await acceptForwarding({ exec, load, log }, cidrs()).catch((err: unknown) => {
        log.warn({ err }, 'the chain FORWARD of iptables could not be looked at');
      });
      await clock.sleep(FORWARD_MS, signal);
    }
  } catch (error) {
    if (!signal.aborted) log.error({ err: error }, 'forwarding is not looked after any more');
  }
}
