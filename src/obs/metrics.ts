import Counter from 'prom-client/lib/counter.js';
import Gauge from 'prom-client/lib/gauge.js';
import Histogram from 'prom-client/lib/histogram.js';
import Registry from 'prom-client/lib/registry.js';
import type { EventMetrics } from '../kube/events.ts';
import type { ReflectorMetrics } from '../kube/reflector.ts';
import type { ClientMetrics } from '../kube/request.ts';
import type { QueueLabels, QueueMetrics } from '../work/queue.ts';
import { type Families, type Family, families } from './families.ts';

type NameOf<T extends Family['type']> = {
  [Name in keyof Families]: Families[Name]['type'] extends T ? Name : never;
}[keyof Families];
/** Exactly the family's labels: one that is missing or misspelt does not compile. */
export type LabelsOf<Name extends keyof Families> = { readonly [Label in Families[Name]['labels'][number]]: string };
/** One series of a gauge that is asked for at each scrape. */
export type Sample<Name extends keyof Families> = readonly [LabelsOf<Name>, number];

/** What the process counts. Each instance has a registry of its own. */
export interface Metrics {
  readonly registry: Registry;
  /** Prometheus text format, of all families. */
  text(): Promise<string>;
  readonly contentType: string;

  count<Name extends NameOf<'counter'>>(name: Name, labels: LabelsOf<Name>, by?: number): void;
  set<Name extends NameOf<'gauge'>>(name: Name, labels: LabelsOf<Name>, value: number): void;
  /** Histograms; seconds. */
  observe<Name extends NameOf<'histogram'>>(name: Name, labels: LabelsOf<Name>, seconds: number): void;
  /**
   * A gauge or counter whose series come from `samples` at each scrape; those that it leaves out disappear. Several
   * sources of one family have their series side by side. The returned function ends this one. Not together with `set`
   * or `count` on the same family.
   */
  ask<Name extends NameOf<'gauge' | 'counter'>>(name: Name, samples: () => Iterable<Sample<Name>>): () => void;

  readonly client: ClientMetrics;
  readonly reflector: ReflectorMetrics;
  readonly events: EventMetrics;
  readonly queue: QueueMetrics;
  /** One request of the provider to its backend has ended, with 'ok' or the backend's error code. */
  cloudRequest(of: CloudRequest): void;
  /** leader_election_master_status of `fairlead-controller`, or of the lease's name. */
  leading(leads: boolean, lease?: string): void;
  /** fairlead_time_to_serving_seconds; only a Service's first time counts, not what a restart finds. */
  timeToServing(ms: number, cause: 'first' | 'spec' | 'hosts' | 'none'): void;
  drift(kind: string): void;
  orphans(count: number, kind?: string): void;
  foreignConflict(kind: string): void;
}

export interface CloudRequest {
  readonly operation: string;
  readonly code: string;
  readonly seconds: number;
}

export interface MetricsOptions {
  /** Name of the provider, a label of several families. */
  readonly provider?: string;
  /** Which families the process has; absent: all. What is counted in another one is dropped. */
  readonly only?: (family: string) => boolean;
}

/** Every family exists from the start; one without labels shows 0 before anything has happened. */
export function createMetrics({ provider = 'none', only = () => true }: MetricsOptions = {}): Metrics {
  const registry = new Registry();
  const made = makeFamilies(registry, only);
  const { count, set, observe, ask } = made;

  return {
    registry,
    text: () => registry.metrics(),
    contentType: registry.contentType,
    count,
    set,
    observe,
    ask,
    client: {
      request({ method, host, code, seconds }) {
        count('rest_client_requests_total', { code, method, host });
        observe('rest_client_request_duration_seconds', { verb: method, host }, seconds);
      },
    },
    reflector: {
      watchRestarted: (resource, reason) => count('fairlead_watch_restarts_total', { resource, reason }),
      storeObjects: (resource, objects) => set('fairlead_store_objects', { resource }, objects),
    },
    events: { event: (outcome) => count('fairlead_events_total', { outcome }) },
    queue: (labels) => queueMeter(made, labels),
    cloudRequest(of) {
      const { operation, code, seconds } = of;
      count('fairlead_cloud_requests_total', { provider, operation, code });
      observe('fairlead_cloud_request_duration_seconds', { provider, operation }, seconds);
      if (provider === 'aws') countAwsRequest(made, of);
    },
    leading: (leads, lease = 'fairlead-controller') =>
      set('leader_election_master_status', { name: lease }, leads ? 1 : 0),
    timeToServing(ms, cause) {
      if (cause === 'first') observe('fairlead_time_to_serving_seconds', {}, ms / 1000);
    },
    drift: (kind) => count('fairlead_drift_total', { kind }),
    orphans: (orphans, kind = 'load balancer') => set('fairlead_orphans', { provider, kind }, orphans),
    foreignConflict: (kind) => count('fairlead_foreign_conflicts_total', { kind }),
  };
}

/**
 * Adds prom-client's process and Node families (process_cpu_seconds_total, nodejs_eventloop_lag_seconds, ...). They cost
 * memory and an event-loop monitor, so a process that nobody scrapes goes without.
 */
export async function addNodeMetrics({ registry }: Pick<Metrics, 'registry'>): Promise<void> {
  const { default: collectDefaultMetrics } = await import('prom-client/lib/defaultMetrics.js');
  collectDefaultMetrics({ register: registry });
}

type Basics = Pick<Metrics, 'count' | 'set' | 'observe' | 'ask'>;

function makeFamilies(registry: Registry, only: (family: string) => boolean): Basics {
  const counters = new Map<string, Counter>();
  const gauges = new Map<string, Gauge>();
  const histograms = new Map<string, Histogram>();
  const sources = new Map<string, Set<() => Iterable<readonly [object, number]>>>(); // family -> who is asked for it

  for (const [name, { help, labels, type, ...rest }] of Object.entries<Family>(families)) {
    if (!only(name)) continue;
    const config = { name, help, labelNames: [...labels], registers: [registry] };
    if (type === 'counter') counters.set(name, new Counter({ ...config, collect: () => collect(name) }));
    else if (type === 'histogram')
      histograms.set(name, new Histogram({ ...config, buckets: [...(rest.buckets ?? [])] }));
    else gauges.set(name, new Gauge({ ...config, collect: () => collect(name) }));
  }

  function collect(name: string): void {
    const asked = sources.get(name);
    const family = gauges.get(name) ?? counters.get(name);
    if (asked === undefined || family === undefined) return;
    family.reset();
    for (const samples of asked) for (const [labels, value] of samples()) family.inc({ ...labels }, value);
  }

  return {
    count: (name, labels, by = 1) => counters.get(name)?.inc({ ...labels }, by),
    set: (name, labels, value) => gauges.get(name)?.set({ ...labels }, value),
    observe: (name, labels, seconds) => histograms.get(name)?.observe({ ...labels }, seconds),
    ask(name, samples) {
      const asked = sources.get(name) ?? new Set();
      sources.set(name, asked.add(samples));
      return () => void asked.delete(samples);
    },
  };
}

/** What AWS calls throttling (botocore's list of retryable codes). */
const AWS_THROTTLED = /Throttl|RequestLimitExceeded|TooManyRequests|BandwidthLimitExceeded|SlowDown/;

/** Under the names of cloud-provider-aws, for the dashboards of those who come from there. */
function countAwsRequest({ count, observe }: Basics, { operation, code, seconds }: CloudRequest): void {
  if (code === 'ok') observe('cloudprovider_aws_api_request_duration_seconds', { request: operation }, seconds);
  else count('cloudprovider_aws_api_request_errors', { request: operation });
  if (AWS_THROTTLED.test(code)) {
    count('cloudprovider_aws_api_throttled_requests_total', { operation_name: operation });
  }
}

function queueMeter({ count, observe, ask }: Basics, { name, controller }: QueueLabels): ReturnType<QueueMetrics> {
  const labels = { name, controller };
  return {
    added: () => count('workqueue_adds_total', labels),
    retried: () => count('workqueue_retries_total', labels),
    queued: (seconds) => observe('workqueue_queue_duration_seconds', labels, seconds),
    worked: (seconds) => observe('workqueue_work_duration_seconds', labels, seconds),
    watch({ depths, running }) {
      const ends = [
        ask('workqueue_depth', () => depthSamples(labels, depths())),
        ask('workqueue_unfinished_work_seconds', () => [[labels, sum(running())]]),
        ask('workqueue_longest_running_processor_seconds', () => [[labels, Math.max(0, ...running())]]),
      ];
      return () => {
        for (const end of ends) end();
      };
    },
  };
}

function* depthSamples(
  labels: LabelsOf<'workqueue_adds_total'>,
  depths: Iterable<readonly [number, number]>,
): Iterable<Sample<'workqueue_depth'>> {
  for (const [priority, keys] of depths) yield [{ ...labels, priority: `${priority}` }, keys];
}

function sum(values: Iterable<number>): number {
  let total = 0;
  for (const value of values) total += value;
  return total;
}
