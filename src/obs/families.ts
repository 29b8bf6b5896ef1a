import { agentFamilies } from './agent-families.ts';
import type { Family } from './family.ts';

export type { Family };

/** Seconds that people wait. */
const WAIT = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600];
/** Seconds that a request takes (client-go's rest_client buckets). */
const REQUEST = [0.005, 0.025, 0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60];
/** client-go's workqueue buckets: 10 ns to 1000 s. */
const WORKQUEUE = Array.from({ length: 12 }, (_, power) => Number(`1e${power - 8}`));
/** cloud-provider's service controller: 1 s to 16384 s, with two finer ones of ours. */
const SERVICE = [0.01, 0.1, ...Array.from({ length: 15 }, (_, power) => 2 ** power)];
/** cloud-provider's node controller: 1 s to 1024 s. */
const NODE = Array.from({ length: 6 }, (_, power) => 4 ** power);

const queue = ['name', 'controller'] as const;

/**
 * Every metric family, by name. The names are API: a rename breaks dashboards (controllers.md "Metrics"; MetalLB's names
 * for pools). No label holds a Service's name: a cluster with 10,000 of them would be 10,000 series.
 */
export const families = {
  workqueue_depth: {
    type: 'gauge',
    labels: [...queue, 'priority'],
    help: 'Keys that are ready and wait for a worker.',
  },
  workqueue_adds_total: { type: 'counter', labels: queue, help: 'Keys that became ready.' },
  workqueue_retries_total: { type: 'counter', labels: queue, help: 'Keys put back after a failure.' },
  workqueue_queue_duration_seconds: {
    type: 'histogram',
    labels: queue,
    help: 'From ready to the start of the work.',
    buckets: WORKQUEUE,
  },
  workqueue_work_duration_seconds: {
    type: 'histogram',
    labels: queue,
    help: 'How long the work on one key took.',
    buckets: WORKQUEUE,
  },
  workqueue_unfinished_work_seconds: {
    type: 'gauge',
    labels: queue,
    help: 'Sum of the ages of all work that is under way.',
  },
  workqueue_longest_running_processor_seconds: {
    type: 'gauge',
    labels: queue,
    help: 'Age of the oldest work that is under way.',
  },
  rest_client_requests_total: {
    type: 'counter',
    labels: ['code', 'method', 'host'],
    help: 'Requests to the API server, by status.',
  },
  rest_client_request_duration_seconds: {
    type: 'histogram',
    labels: ['verb', 'host'],
    help: 'Time until the API server answered with headers.',
    buckets: REQUEST,
  },
  leader_election_master_status: {
    type: 'gauge',
    labels: ['name'],
    help: '1 while this process leads, else 0.',
  },
  running_managed_controllers: {
    type: 'gauge',
    labels: ['name', 'manager'],
    help: '1 while the controller runs in this process.',
  },
  service_controller_loadbalancer_sync_total: {
    type: 'counter',
    labels: [],
    help: 'Updates of targets that a change of nodes caused.',
  },
  service_controller_nodesync_error_total: {
    type: 'counter',
    labels: [],
    help: 'Updates of targets after a change of nodes that failed.',
  },
  service_controller_nodesync_latency_seconds: {
    type: 'histogram',
    labels: [],
    help: 'From a change of nodes until all load balancers were looked at.',
    buckets: SERVICE,
  },
  service_controller_update_loadbalancer_host_latency_seconds: {
    type: 'histogram',
    labels: [],
    help: 'Time to update the targets of one load balancer.',
    buckets: SERVICE,
  },
  node_controller_initial_node_sync_delay_seconds: {
    type: 'histogram',
    labels: [],
    help: 'From the creation of a Node until it was initialised.',
    buckets: NODE,
  },
  node_controller_cloud_provider_taint_removal_delay_seconds: {
    type: 'histogram',
    labels: [],
    help: 'From the creation of a Node until its taint "uninitialized" was removed.',
    buckets: NODE,
  },
  node_ipam_controller_cidrset_cidrs_allocations_total: {
    type: 'counter',
    labels: ['clusterCIDR'],
    help: 'Pod CIDRs that were given to Nodes.',
  },
  node_ipam_controller_cidrset_cidrs_releases_total: {
    type: 'counter',
    labels: ['clusterCIDR'],
    help: 'Pod CIDRs that came back, because their Nodes are gone.',
  },
  node_ipam_controller_cidrset_usage_cidrs: {
    type: 'gauge',
    labels: ['clusterCIDR'],
    help: 'Share of the blocks of a cluster CIDR that is taken, 0 to 1.',
  },
  fairlead_nodes_without_pod_cidr: {
    type: 'gauge',
    labels: [],
    help: 'Nodes for which no pod CIDR was free.',
  },
  route_controller_route_sync_total: {
    type: 'counter',
    labels: [],
    help: 'Looks at the routes of all nodes.',
  },
  route_controller_route_corrections_total: {
    type: 'counter',
    labels: [],
    help: 'Routes that a full verify found changed from outside.',
  },
  fairlead_reconcile_total: {
    type: 'counter',
    labels: ['controller', 'result'],
    help: 'Runs, by end: ok, pending, or the kind of the error.',
  },
  fairlead_reconcile_duration_seconds: {
    type: 'histogram',
    labels: ['controller', 'phase'],
    help: 'Time spent in a phase of a run: plan, observe, diff, apply, status.',
    buckets: WAIT,
  },
  fairlead_actions_total: {
    type: 'counter',
    labels: ['controller', 'kind', 'outcome'],
    help: 'Writes to the backend, by their kind: ok or error.',
  },
  fairlead_cloud_requests_total: {
    type: 'counter',
    labels: ['provider', 'operation', 'code'],
    help: 'Requests to the backend.',
  },
  fairlead_cloud_request_duration_seconds: {
    type: 'histogram',
    labels: ['provider', 'operation'],
    help: 'Time that a request to the backend took.',
    buckets: REQUEST,
  },
  cloudprovider_aws_api_request_duration_seconds: {
    type: 'histogram',
    labels: ['request'],
    help: 'Time of requests to AWS that succeeded; the name that cloud-provider-aws has for it.',
    buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
  },
  cloudprovider_aws_api_request_errors: {
    type: 'counter',
    labels: ['request'],
    help: 'Requests to AWS that failed, throttled ones included.',
  },
  cloudprovider_aws_api_throttled_requests_total: {
    type: 'counter',
    labels: ['operation_name'],
    help: 'Requests that AWS throttled.',
  },
  fairlead_cloud_throttle_wait_seconds: {
    type: 'histogram',
    labels: ['provider'],
    help: 'Time that a request waited in our own limiter.',
    buckets: WAIT,
  },
  fairlead_cloud_circuit_opened_total: {
    type: 'counter',
    labels: ['provider', 'class'],
    help: 'Times that a class of requests was left alone after failures in a row.',
  },
  fairlead_cloud_rate_limit: {
    type: 'gauge',
    labels: ['provider', 'class'],
    help: 'Requests per second that our own limiter allows at the moment.',
  },
  fairlead_services: {
    type: 'gauge',
    labels: ['state'],
    help: 'LoadBalancer Services of ours: serving, provisioning, degraded, failed.',
  },
  fairlead_time_to_serving_seconds: {
    type: 'histogram',
    labels: [],
    help: 'From the creation of a Service until it was first served.',
    buckets: WAIT,
  },
  fairlead_routes: {
    type: 'gauge',
    labels: ['state'],
    help: 'Routes of pod CIDRs: ready, pending, failed, refused (no route is made), leftover (no node wants it any more).',
  },
  fairlead_route_quota_remaining: {
    type: 'gauge',
    labels: ['table'],
    help: 'Routes that still fit into the route table, where its limit is known.',
  },
  fairlead_time_to_route_seconds: {
    type: 'histogram',
    labels: [],
    help: 'From a new pod CIDR until its route was there.',
    buckets: WAIT,
  },
  fairlead_target_update_seconds: {
    type: 'histogram',
    labels: [],
    help: 'From a node or endpoint event until the backend accepted the change.',
    buckets: WAIT,
  },
  fairlead_drift_total: {
    type: 'counter',
    labels: ['kind'],
    help: 'Changes from outside that were found and repaired.',
  },
  fairlead_orphans: {
    type: 'gauge',
    labels: ['provider', 'kind'],
    help: 'Objects of ours in the backend that no Service wants.',
  },
  fairlead_foreign_conflicts_total: {
    type: 'counter',
    labels: ['kind'],
    help: 'Objects left alone because somebody else owns them.',
  },
  fairlead_removals_held_total: {
    type: 'counter',
    labels: ['kind'],
    help: 'Removals of targets or nodes that the safety floor held back.',
  },
  fairlead_watch_restarts_total: {
    type: 'counter',
    labels: ['resource', 'reason'],
    help: 'Watches that ended and were opened again.',
  },
  fairlead_store_objects: { type: 'gauge', labels: ['resource'], help: 'Objects in memory.' },
  fairlead_events_total: {
    type: 'counter',
    labels: ['outcome'],
    help: 'Kubernetes Events: created, raised, or why they were dropped.',
  },
  metallb_allocator_addresses_total: { type: 'gauge', labels: ['pool'], help: 'Addresses that the pool holds.' },
  metallb_allocator_ipv4_addresses_total: {
    type: 'gauge',
    labels: ['pool'],
    help: 'IPv4 addresses that the pool holds.',
  },
  metallb_allocator_ipv6_addresses_total: {
    type: 'gauge',
    labels: ['pool'],
    help: 'IPv6 addresses that the pool holds.',
  },
  metallb_allocator_addresses_in_use_total: { type: 'gauge', labels: ['pool'], help: 'Addresses in use.' },
  metallb_allocator_ipv4_addresses_in_use_total: { type: 'gauge', labels: ['pool'], help: 'IPv4 addresses in use.' },
  metallb_allocator_ipv6_addresses_in_use_total: { type: 'gauge', labels: ['pool'], help: 'IPv6 addresses in use.' },
  metallb_allocator_services_allocated_total: {
    type: 'gauge',
    labels: ['pool'],
    help: 'Services that have an address of the pool.',
  },
  metallb_k8s_client_updates_total: {
    type: 'counter',
    labels: [],
    help: 'Changes of the pool configuration that were looked at.',
  },
  metallb_k8s_client_update_errors_total: {
    type: 'counter',
    labels: [],
    help: 'Changes of the pool configuration that were refused.',
  },
  metallb_k8s_client_config_loaded_bool: {
    type: 'gauge',
    labels: [],
    help: '1 when a valid pool configuration was loaded at least once.',
  },
  metallb_k8s_client_config_stale_bool: {
    type: 'gauge',
    labels: [],
    help: '1 while an older pool configuration than the newest is in force, because the newest is invalid.',
  },
  ...agentFamilies,
} as const satisfies Record<string, Family>;

export type Families = typeof families;
