import type { Family } from './family.ts';

/** kube-proxy's buckets of a sync: 1 ms to 16 s (metrics.ExponentialBuckets(0.001, 2, 15)). */
const SYNC = Array.from({ length: 15 }, (_, power) => 0.001 * 2 ** power);
/** kube-proxy's buckets of the network programming latency, which a service level objective counts by. */
const PROGRAMMING = [
  0.25,
  0.5,
  ...Array.from({ length: 59 }, (_, at) => at + 1),
  ...Array.from({ length: 12 }, (_, at) => 60 + 5 * at),
  ...Array.from({ length: 7 }, (_, at) => 120 + 30 * at),
];

const family = ['ip_family'] as const;

/**
 * Families of the node agent. Those of kube-proxy have its names with the prefix `fairlead_proxy_` for `kubeproxy_`
 * (pkg/proxy/metrics); `own` names the rest.
 */
export const agentFamilies = {
  fairlead_proxy_sync_proxy_rules_duration_seconds: {
    type: 'histogram',
    labels: family,
    help: 'From the start of a sync to the last answer of the kernel.',
    buckets: SYNC,
  },
  fairlead_proxy_sync_full_proxy_rules_duration_seconds: {
    type: 'histogram',
    labels: family,
    help: 'The same, of syncs that compare the whole table.',
    buckets: SYNC,
  },
  fairlead_proxy_sync_partial_proxy_rules_duration_seconds: {
    type: 'histogram',
    labels: family,
    help: 'The same, of syncs that write changes only.',
    buckets: SYNC,
  },
  fairlead_proxy_sync_proxy_rules_last_timestamp_seconds: {
    type: 'gauge',
    labels: family,
    help: 'When the last sync succeeded, in seconds since 1970.',
  },
  fairlead_proxy_sync_proxy_rules_last_queued_timestamp_seconds: {
    type: 'gauge',
    labels: family,
    help: 'When the last sync was asked for, in seconds since 1970.',
  },
  fairlead_proxy_network_programming_duration_seconds: {
    type: 'histogram',
    labels: family,
    help: 'From the change of a pod or Service that the EndpointSlice names to its place in the kernel.',
    buckets: PROGRAMMING,
  },
  fairlead_proxy_sync_proxy_rules_endpoint_changes_pending: {
    type: 'gauge',
    labels: [],
    help: 'Changes of EndpointSlices that are not in the kernel yet.',
  },
  fairlead_proxy_sync_proxy_rules_endpoint_changes_total: {
    type: 'counter',
    labels: [],
    help: 'Changes of EndpointSlices.',
  },
  fairlead_proxy_sync_proxy_rules_service_changes_pending: {
    type: 'gauge',
    labels: [],
    help: 'Changes of Services that are not in the kernel yet.',
  },
  fairlead_proxy_sync_proxy_rules_service_changes_total: {
    type: 'counter',
    labels: [],
    help: 'Changes of Services.',
  },
  fairlead_proxy_sync_proxy_rules_nftables_sync_failures_total: {
    type: 'counter',
    labels: family,
    help: 'Transactions that the kernel refused or that got no answer.',
  },
  fairlead_proxy_sync_proxy_rules_nftables_cleanup_failures_total: {
    type: 'counter',
    labels: family,
    help: 'Removals of elements that are not needed any more that the kernel refused.',
  },
  fairlead_proxy_sync_proxy_rules_no_local_endpoints_total: {
    type: 'gauge',
    labels: ['traffic_policy', 'ip_family'],
    help: 'Services with that traffic policy Local that have endpoints, and none on this node.',
  },
  fairlead_proxy_proxy_healthz_total: { type: 'counter', labels: ['code'], help: 'Answers of /healthz.' },
  fairlead_proxy_proxy_livez_total: { type: 'counter', labels: ['code'], help: 'Answers of /livez.' },
  fairlead_proxy_conntrack_reconciler_sync_duration_seconds: {
    type: 'histogram',
    labels: family,
    help: 'How long a look at the tracked UDP flows took.',
    buckets: SYNC,
  },
  fairlead_proxy_conntrack_reconciler_deleted_entries_total: {
    type: 'counter',
    labels: family,
    help: 'Tracked UDP flows that were removed, because their endpoint is gone.',
  },
  fairlead_proxy_commits_total: {
    type: 'counter',
    labels: ['ip_family', 'outcome'],
    help: 'Transactions: ok, refused, lost.',
  },
  fairlead_proxy_elements: {
    type: 'gauge',
    labels: family,
    help: 'Elements of sets and maps in the table.',
  },
  fairlead_proxy_refused_elements_total: {
    type: 'counter',
    labels: family,
    help: 'Elements that the kernel refused; each is left out, and its Service told by an event.',
  },
  fairlead_proxy_reloads_total: {
    type: 'counter',
    labels: ['ip_family', 'reason'],
    help: 'Times that rules and elements were loaded: start, flushed (the table was gone), rules (they were changed).',
  },
  fairlead_proxy_repairs_total: {
    type: 'counter',
    labels: family,
    help: 'Elements that somebody else had changed and that were put right.',
  },
  fairlead_host_routes: {
    type: 'gauge',
    labels: [],
    help: 'Routes of the part routes in the kernel: to the pod CIDRs of other nodes, and one per own pod CIDR.',
  },
  fairlead_host_route_problems: {
    type: 'gauge',
    labels: [],
    help: 'Pod CIDRs of nodes that get no host route here; the log says why.',
  },
  fairlead_host_route_changes_total: {
    type: 'counter',
    labels: ['kind', 'outcome'],
    help: 'Changes of host routes: addRoute, deleteRoute; ok, failed.',
  },
} as const satisfies Record<string, Family>;

/** kube-proxy has no such families: `--kube-proxy-metrics` leaves them out. */
const own: ReadonlySet<string> = new Set([
  'fairlead_proxy_commits_total',
  'fairlead_proxy_elements',
  'fairlead_proxy_refused_elements_total',
  'fairlead_proxy_reloads_total',
  'fairlead_proxy_repairs_total',
] satisfies (keyof typeof agentFamilies)[]);

/** The text of the scrape, and once more under kube-proxy's names what it has, too. */
export function withKubeProxyNames(text: string): string {
  const aliases = text.split('\n').flatMap((line) => {
    const name = /^(?:# (?:HELP|TYPE) )?(fairlead_proxy_\w+?)(?:_bucket|_sum|_count)?[ {]/.exec(line)?.[1];
    return name === undefined || own.has(name) ? [] : [line.replace('fairlead_proxy_', 'kubeproxy_')];
  });
  return aliases.length === 0 ? text : `${text}${aliases.join('\n')}\n`;
}

/** Families that the agent's other code counts in, too: requests, watches, events. */
const shared = /^(rest_client_|fairlead_watch_|fairlead_store_|fairlead_events_)/;

/** Whether a node agent has any use for the family. */
export const isAgentFamily = (name: string): boolean => Object.hasOwn(agentFamilies, name) || shared.test(name);
