import { cpus } from 'node:os';
import { parseCidr } from '../../core/net/cidr.ts';
import type { TableFamily } from '../../core/net/element.ts';
import type { EndpointSlice, KubeObject, Service } from '../../core/objects.ts';
import type { Cidr } from '../../core/provider.ts';
import type { Planner, ServiceModel } from '../../core/proxy/model.ts';
import { addressAt } from '../../core/proxy/registers.ts';
import { isSetName, keyText } from '../../core/proxy/schema.ts';
import { PROXY_NAME_LABEL } from '../../core/proxy/snapshot.ts';
import { resources } from '../../kube/resource.ts';
import { createStore } from '../../kube/store.ts';
import type { Answer } from '../../obs/checks.ts';
import type { ConntrackChannel } from '../netlink/channel.ts';
import type { AgentContext, Part } from '../part.ts';
import { conntrackSettings, createSysctls } from '../sysctl.ts';
import { createFlows } from './conntrack.ts';
import type { TableWatcher } from './family-table.ts';
import { createProxyHealth } from './health.ts';
import { createHealthPorts, type HealthPort } from './health-ports.ts';
import { createSliceKeeper, keptService, TRIGGER_ANNOTATION } from './kept.ts';
import type { ProxyOptions } from './options.ts';
import { ownerOf } from './owner.ts';
import { warnOfPolicies } from './policies.ts';
import { createReports } from './reports.ts';
import { networkPolicies, type ServiceCidr, serviceCidrs } from './resources.ts';
import { createServices } from './services.ts';
import type { Tables } from './tables.ts';

export interface ProxyPart extends Part {
  /** kube-proxy's health pages. */
  answer(path: string): Answer | undefined;
  /** What happens to the tables is told here. */
  readonly watcher: TableWatcher;
}

export interface ProxyPartOptions {
  readonly proxy: ProxyOptions;
  readonly tables: Tables;
  readonly conntrack: ConntrackChannel;
}

export const familyNames = { ip: 'IPv4', ip6: 'IPv6' } as const satisfies Record<TableFamily, string>;
const families = ['ip', 'ip6'] as const;

/** A cluster that does not tell its Service ranges is served all the same. */
const RANGES_WAIT_MS = 5000;

/** The service proxy: Services and EndpointSlices of the API server, in the node's tables. */
export function createProxyPart(context: AgentContext, options: ProxyPartOptions): ProxyPart {
  const { client, clock, log, metrics, nodeName } = context;
  const { proxy, tables } = options;
  const { keeper } = tables;
  const onHandlerError = (err: unknown): void => log.error({ err }, 'a change could not be taken in');
  const services = createStore<Service>({ onHandlerError });
  const slices = createStore<EndpointSlice>({ onHandlerError });
  const ranges = createStore<ServiceCidr>({ onHandlerError });
  const policies = createStore<KubeObject>({ onHandlerError });
  const recorder = context.recorder('fairlead-proxy');
  const reports = createReports({ recorder, log, service: (key) => services.get(key) });
  const nodes = context.nodes('own');
  const health = createProxyHealth({
    clock,
    timeoutMs: 2 * proxy.syncPeriodMs,
    node: () => (nodes.synced ? (nodes.get(nodeName) ?? null) : undefined),
    answered: (path, code) => metrics.count(`fairlead_proxy_proxy_${path}_total`, { code: String(code) }),
  });
  const healthPorts = createHealthPorts({
    isHealthy: () => health.isHealthy(),
    clock,
    log,
    failed(key, port, why) {
      const message = `node ${nodeName} failed to start healthcheck "${key}" on port ${port}: ${why}`;
      reports.tell(key, 'FailedToStartServiceHealthcheck', [message]);
    },
  });
  const flows = createFlows({
    channel: options.conntrack,
    planners: tables.planners,
    clock,
    log,
    cleaned(family, seconds, deleted) {
      const labels = { ip_family: familyNames[family] };
      metrics.observe('fairlead_proxy_conntrack_reconciler_sync_duration_seconds', labels, seconds);
      metrics.count('fairlead_proxy_conntrack_reconciler_deleted_entries_total', labels, deleted);
    },
  });
  const checked = new Map<string, HealthPort>(); // Service -> its health check port
  const noLocal = new Map<string, ServiceModel['noLocal']>(); // Service -> policies that leave this node without endpoints
  const pending = { service: 0, endpoint: 0 };
  const triggers: Record<TableFamily, number[]> = { ip: [], ip6: [] }; // when what is being written changed, wall time
  let portsChanged = false;

  function change(key: string, model: ServiceModel | undefined): void {
    keeper.change(key, model);
    const { health: check, noLocal: sides = [], problems = [] } = model ?? {};
    if (check === undefined) portsChanged = checked.delete(key) || portsChanged;
    else {
      checked.set(key, { key, ...check });
      portsChanged = true;
    }
    if (sides.length === 0) noLocal.delete(key);
    else noLocal.set(key, sides);
    reports.tell(
      key,
      'ServiceProxyInvalid',
      problems.map(({ message }) => message),
    );
    if (services.get(key) === undefined) reports.forget(key);
  }

  function commit(): void {
    const seconds = clock.now() / 1000;
    for (const family of families) {
      health.queued(family);
      const labels = { ip_family: familyNames[family] };
      metrics.set('fairlead_proxy_sync_proxy_rules_last_queued_timestamp_seconds', labels, seconds);
    }
    keeper.commit();
    if (portsChanged) syncPorts();
  }

  function syncPorts(): void {
    portsChanged = false;
    healthPorts.sync([...checked.values()], isEverywhere(proxy) ? [] : answering());
  }

  function answering(): readonly string[] {
    const addresses = model.snapshot?.nodePortAddresses;
    return families.flatMap((family) => (addresses?.[family] ?? []).map((one) => addressAt(one, 0, family)));
  }

  const model = createServices({
    services,
    slices,
    change,
    commit,
    seen(what, slice) {
      pending[what] += 1;
      metrics.count(`fairlead_proxy_sync_proxy_rules_${what}_changes_total`, {});
      const time = Date.parse(slice?.metadata.annotations?.[TRIGGER_ANNOTATION] ?? '');
      if (slice !== undefined && !Number.isNaN(time)) triggers[slice.addressType === 'IPv6' ? 'ip6' : 'ip'].push(time);
    },
  });

  function writeRanges(): void {
    const cidrs = [...ranges.values()].flatMap(({ spec }) => (spec?.cidrs ?? []).map(parseCidr));
    keeper.ranges('svc-cidrs', cidrs.filter((cidr): cidr is Cidr => cidr !== undefined).sort());
    keeper.commit();
  }

  const watcher: TableWatcher = {
    synced(family, seconds, full) {
      const labels = { ip_family: familyNames[family] };
      metrics.observe('fairlead_proxy_sync_proxy_rules_duration_seconds', labels, seconds);
      const how = full ? 'full' : 'partial';
      metrics.observe(`fairlead_proxy_sync_${how}_proxy_rules_duration_seconds`, labels, seconds);
      metrics.set('fairlead_proxy_sync_proxy_rules_last_timestamp_seconds', labels, clock.now() / 1000);
      health.updated(family);
      pending.service = 0;
      pending.endpoint = 0;
      for (const time of triggers[family].splice(0)) {
        const latency = Math.max(0, clock.now() - time) / 1000;
        metrics.observe('fairlead_proxy_network_programming_duration_seconds', labels, latency);
      }
    },
    transaction: () => {},
    reloaded: () => flows.reconcile(),
    repaired: () => {},
    refused(family, { op, element }, { errno, message }) {
      const text = isSetName(element.set) ? keyText(element.set, element.key, family) : '';
      log.error({ family, op, set: element.set, element: text, errno, message }, 'the kernel refuses an element');
      const planner = tables.planners.find((one) => one.family === family) as Planner;
      const key = ownerOf(planner, element);
      if (key === undefined) return;
      const why = message ?? `error ${errno}`;
      reports.tell(key, 'ServiceProxyRefused', [
        `node ${nodeName}: the kernel refuses ${text} of set ${element.set}: ${why}`,
      ]);
    },
    flows: (family, stale) => flows.stale(family, stale),
    conflicted(_family, keys) {
      for (const key of keys) {
        const messages = tables.planners.flatMap((planner) =>
          planner.conflicts(key).map(({ key: frontend, owner }) => {
            const place = keyText('services', frontend, planner.family);
            return `${place} is served for ${owner}, which is older`;
          }),
        );
        reports.tell(key, 'ServiceProxyConflict', messages);
      }
    },
  };

  return {
    name: 'proxy',
    watcher,
    ready: () => (keeper.synced ? undefined : 'Services and EndpointSlices are not in the kernel yet'),
    answer: (path) => health.answer(path),
    async run(signal) {
      const ends = [askMetrics(context, { pending, noLocal }), () => void healthPorts.close()];
      const selector = selectorOf(proxy);
      context.watch(resources.services, services, { labelSelector: selector, reduce: keptService });
      context.watch(resources.endpointslices, slices, { labelSelector: selector, reduce: createSliceKeeper() });
      context.watch(serviceCidrs, ranges, { optional: true });
      context.watch(networkPolicies, policies, { optional: true, reduce: keptPolicy });
      void applySettings(context, proxy);
      try {
        await Promise.all([services.whenSynced(signal), slices.whenSynced(signal)]);
        await Promise.race([ranges.whenSynced(signal), clock.sleep(RANGES_WAIT_MS, signal)]);
        if (ranges.synced) writeRanges();
        else log.warn({}, 'the ranges of ClusterIPs are not known; unused addresses in them are not dropped');
        ends.push(ranges.onChange(() => writeRanges()));
        await new Promise<void>((resolve) => {
          tables.onContext((now) => {
            void model.fill(now).then(() => {
              syncPorts();
              resolve();
            });
          });
        });
        keeper.done('proxy');
        flows.reconcile();
        await warnOfPolicies({ policies, client, clock, random: context.random, log }, signal);
      } catch (error) {
        if (!signal.aborted) throw error;
      } finally {
        for (const end of ends) end();
      }
    },
  };
}

/** kube-proxy's: headless Services have nothing to proxy, and those of another proxy are not ours. */
function selectorOf({ serviceProxyName }: ProxyOptions): string {
  const name = serviceProxyName === undefined ? `!${PROXY_NAME_LABEL}` : `${PROXY_NAME_LABEL}=${serviceProxyName}`;
  return `!service.kubernetes.io/headless,${name}`;
}

function keptPolicy({ apiVersion, kind, metadata }: KubeObject): KubeObject {
  const { name, namespace, uid, resourceVersion, creationTimestamp } = metadata;
  return {
    ...(apiVersion === undefined ? {} : { apiVersion }),
    ...(kind === undefined ? {} : { kind }),
    metadata: { name, ...(namespace === undefined ? {} : { namespace }), uid, resourceVersion, creationTimestamp },
  };
}

const isEverywhere = ({ nodePortAddresses }: ProxyOptions): boolean =>
  nodePortAddresses.some((word) => word === 'all' || word === '0.0.0.0/0' || word === '::/0');

async function applySettings({ sysctlRoot, log }: AgentContext, { conntrack }: ProxyOptions): Promise<void> {
  const sysctls = createSysctls({ root: sysctlRoot, log });
  // All cores of the node: availableParallelism counts those of our own cgroup.
  for (const setting of conntrackSettings(conntrack, cpus().length)) await sysctls.write(setting);
}

interface Counted {
  readonly pending: { readonly service: number; readonly endpoint: number };
  readonly noLocal: ReadonlyMap<string, ServiceModel['noLocal']>;
}

function askMetrics({ metrics }: AgentContext, { pending, noLocal }: Counted): () => void {
  const count = (side: 'internal' | 'external'): number =>
    [...noLocal.values()].filter((sides) => sides.includes(side)).length;
  const ends = [
    metrics.ask('fairlead_proxy_sync_proxy_rules_endpoint_changes_pending', () => [[{}, pending.endpoint]]),
    metrics.ask('fairlead_proxy_sync_proxy_rules_service_changes_pending', () => [[{}, pending.service]]),
    metrics.ask('fairlead_proxy_sync_proxy_rules_no_local_endpoints_total', () =>
      families.flatMap((family) =>
        (['internal', 'external'] as const).map(
          (side) => [{ traffic_policy: side, ip_family: familyNames[family] }, count(side)] as const,
        ),
      ),
    ),
  ];
  return () => {
    for (const end of ends) end();
  };
}
