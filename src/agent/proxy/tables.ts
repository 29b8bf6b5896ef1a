import { networkInterfaces } from 'node:os';
import { isEqual } from '../../core/equal.ts';
import type { TableFamily } from '../../core/net/element.ts';
import type { HostPort } from '../../core/net/host-port.ts';
import type { Node } from '../../core/objects.ts';
import type { Cidr, Clock, Log } from '../../core/provider.ts';
import type { Planner, ProxyContext } from '../../core/proxy/model.ts';
import { createSnapshot, type Snapshot } from '../../core/proxy/snapshot.ts';
import type { Store } from '../../kube/store.ts';
import type { Timers } from '../../work/clock.ts';
import type { NftChannel } from '../netlink/channel.ts';
import type { LoadText } from '../nft/rules.ts';
import type { NodeTable, PartName } from '../part.ts';
import { FamilyTable, type TableWatcher } from './family-table.ts';
import { createKeeper, type Keeper } from './keeper.ts';
import { createBatchLoader } from './loader.ts';
import { contextOf, detectionOf, nodeAddresses, podCidrsOf } from './node-facts.ts';
import type { ProxyOptions } from './options.ts';

export interface TablesOptions {
  readonly nodeName: string;
  readonly parts: readonly PartName[];
  readonly proxy: ProxyOptions;
  /** The own node, watched. */
  readonly nodes: Store<Node>;
  readonly channel: NftChannel;
  readonly load: LoadText;
  readonly planners: readonly Planner[];
  readonly watcher: TableWatcher;
  /** Addresses of this node's interfaces; the machine's unless a test has others. */
  readonly addresses?: () => readonly string[];
  readonly clock: Clock & Timers;
  readonly log: Log;
}

/** The node's tables, and what they have to know of the node. */
export interface Tables {
  readonly keeper: Keeper;
  readonly planners: readonly Planner[];
  /** For parts that put more than Services into the tables. */
  readonly node: NodeTable;
  /** What is known of the node; undefined until the API server has told, or has told that it does not know the node. */
  readonly context: ProxyContext | undefined;
  /** Called with the context when it is known first, and at each change. */
  onContext(handler: (context: ProxyContext) => void): void;
  /** As `Keeper.run`. */
  run(signal: AbortSignal): Promise<void>;
}

/** An address that comes or goes is noticed after this time; node-port ranges and hostPorts depend on it. */
const ADDRESSES_MS = 10_000;

export function createTables(options: TablesOptions): Tables {
  const { nodeName, parts, proxy, nodes, channel, planners, watcher, clock, log } = options;
  const { addresses = interfaceAddresses } = options;
  const masqueradePods = parts.includes('cni');
  const { load, transactions } = createBatchLoader(options.load);
  const rulesOf = (family: TableFamily, podCidrs: readonly Cidr[]) => ({
    masqueradeAll: proxy.masqueradeAll,
    detectLocal: detectionOf(proxy, family, podCidrs),
    masqueradePods,
  });
  const tables = planners.map(
    (planner) => new FamilyTable({ planner, channel, load, rules: rulesOf(planner.family, []), clock, log, watcher }),
  );
  const keeper = createKeeper({
    tables,
    channel,
    loads: transactions,
    owners: parts.filter((part) => part === 'proxy' || part === 'cni'),
    minPeriodMs: proxy.minSyncPeriodMs,
    clock,
    log,
  });
  const handlers: ((context: ProxyContext) => void)[] = [];
  let context: ProxyContext | undefined;
  let podCidrs: readonly Cidr[] | undefined;
  const ports = createHostPorts(keeper, () => context);
  const missing = new Set(['hostPorts', 'localPods', 'noMasq']); // not told by the CNI part yet

  // What its last run left stays until it has said all that it wants now.
  function given(what: 'hostPorts' | 'localPods' | 'noMasq'): void {
    missing.delete(what);
    if (missing.size === 0) keeper.done('cni');
  }

  function learn(): void {
    const node = nodes.get(nodeName);
    const cidrs = podCidrsOf(proxy, node);
    if (podCidrs === undefined || !isEqual(cidrs, podCidrs)) {
      podCidrs = cidrs;
      for (const table of tables) table.setRules(rulesOf(table.family, cidrs));
      keeper.ranges('pod-cidrs', cidrs);
      keeper.commit();
    }
    const now = contextOf({ ...proxy, nodeName }, node, addresses());
    if (context !== undefined && isEqual(now, context)) return;
    context = now;
    ports.refresh();
    for (const handler of handlers) handler(now);
  }

  return {
    keeper,
    planners,
    node: {
      hostPorts(all) {
        ports.set(all);
        given('hostPorts');
      },
      localPods(cidrs) {
        keeper.ranges('local-pods', cidrs);
        keeper.commit();
        given('localPods');
      },
      noMasq(cidrs) {
        keeper.ranges('no-masq', cidrs);
        keeper.commit();
        given('noMasq');
      },
      written: (signal) => keeper.written(signal),
    },
    get context() {
      return context;
    },
    onContext(handler) {
      handlers.push(handler);
      if (context !== undefined) handler(context);
    },
    async run(signal) {
      await nodes.whenSynced(signal);
      if (nodes.get(nodeName) === undefined)
        log.warn({ node: nodeName }, 'there is no Node of this name; NodePorts are served when it comes');
      learn();
      const unsubscribe = nodes.onChange(() => learn());
      let cancel = (): void => {};
      const lookAgain = (): void => {
        cancel = clock.after(ADDRESSES_MS, () => {
          learn();
          lookAgain();
        });
      };
      lookAgain();
      try {
        await keeper.run(signal);
      } finally {
        unsubscribe();
        cancel();
      }
    },
  };
}

/** hostPorts as models, made anew when the node's addresses change. */
function createHostPorts(keeper: Keeper, context: () => ProxyContext | undefined) {
  let wanted: readonly HostPort[] = [];
  let made = new Set<string>(); // keys of models

  function refresh(): void {
    const known = context();
    if (known === undefined) return; // it comes
    const snapshot: Snapshot = createSnapshot(known);
    const now = new Set<string>();
    for (const port of wanted) {
      const key = keyOf(port);
      now.add(key);
      keeper.change(key, snapshot.hostPorts(modelOf(key, port)));
    }
    for (const key of made) if (!now.has(key)) keeper.change(key, undefined);
    made = now;
    keeper.commit();
  }

  return {
    set(all: readonly HostPort[]): void {
      wanted = all;
      refresh();
    },
    refresh(): void {
      if (wanted.length + made.size > 0) refresh();
    },
  };
}

/** No Service's: a namespace has no colon. */
const keyOf = ({ hostIP = '', protocol, hostPort, podIP }: HostPort): string =>
  `hostport:${protocol} ${hostIP} ${hostPort} ${podIP}`;

function modelOf(key: string, { hostIP, protocol, hostPort, podIP, podPort }: HostPort) {
  const port = {
    protocol: protocol.toLowerCase() as 'tcp' | 'udp' | 'sctp',
    hostPort,
    containerPort: podPort,
    ...(hostIP === undefined ? {} : { hostIp: hostIP }),
  };
  return { key, created: '', podIps: [podIP], ports: [port] };
}

const interfaceAddresses = (): readonly string[] =>
  nodeAddresses(Object.values(networkInterfaces()).flatMap((all) => (all ?? []).map(({ address }) => address)));
