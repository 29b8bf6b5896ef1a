import assert from 'node:assert/strict';
import { test } from 'node:test';
import { families } from '../../src/obs/families.ts';
import { addNodeMetrics, createMetrics } from '../../src/obs/metrics.ts';
import { createQueue } from '../../src/work/queue.ts';
import { createVirtualClock } from '../fake/clock.ts';

/** 'name{labels} value' lines of some families, sorted; buckets left out. */
async function lines(metrics: { text(): Promise<string> }, ...names: string[]): Promise<string[]> {
  const text = await metrics.text();
  return text
    .split('\n')
    .filter((line) => names.some((name) => line.startsWith(name)) && !line.includes('_bucket{'))
    .sort();
}

test('every family is there from the start, and has the type and help of the table', async () => {
  const text = await createMetrics().text();
  for (const [name, { type, help }] of Object.entries(families)) {
    assert.ok(text.includes(`# TYPE ${name} ${type}\n`), name);
    assert.ok(text.includes(`# HELP ${name} ${help}\n`), name);
  }
});

test('a name or label that is misspelt does not compile, and is refused', () => {
  const metrics = createMetrics();
  metrics.count('fairlead_drift_total', { kind: 'status' });
  // @ts-expect-error no such family
  metrics.count('fairlead_drifts_total', { kind: 'status' });
  // @ts-expect-error a gauge is not counted
  metrics.count('fairlead_services', { state: 'serving' });
  // @ts-expect-error a label is missing
  assert.doesNotThrow(() => metrics.count('fairlead_reconcile_total', { controller: 'service' }));
  // @ts-expect-error no such label
  assert.throws(() => metrics.count('fairlead_drift_total', { kid: 'status' }), /label/);
});

test('two instances share nothing', async () => {
  const one = createMetrics();
  const other = createMetrics();
  one.drift('status');
  assert.deepEqual(await lines(one, 'fairlead_drift_total'), ['fairlead_drift_total{kind="status"} 1']);
  assert.deepEqual(await lines(other, 'fairlead_drift_total'), []);
});

test('requests to the API server are counted by status and timed by verb', async () => {
  const metrics = createMetrics();
  metrics.client.request({ method: 'GET', host: '10.0.0.1:6443', code: '200', seconds: 0.02 });
  metrics.client.request({ method: 'GET', host: '10.0.0.1:6443', code: '<error>', seconds: 0.03 });
  assert.deepEqual(await lines(metrics, 'rest_client'), [
    'rest_client_request_duration_seconds_count{verb="GET",host="10.0.0.1:6443"} 2',
    'rest_client_request_duration_seconds_sum{verb="GET",host="10.0.0.1:6443"} 0.05',
    'rest_client_requests_total{code="200",method="GET",host="10.0.0.1:6443"} 1',
    'rest_client_requests_total{code="<error>",method="GET",host="10.0.0.1:6443"} 1',
  ]);
});

test('requests to the backend are counted by operation and code, and timed', async () => {
  const metrics = createMetrics({ provider: 'gcp' });
  metrics.cloudRequest({ operation: 'insertAddress', code: 'ok', seconds: 0.02 });
  metrics.cloudRequest({ operation: 'insertAddress', code: 'Throttling', seconds: 0.03 });
  assert.deepEqual(await lines(metrics, 'fairlead_cloud_request', 'cloudprovider_'), [
    'fairlead_cloud_request_duration_seconds_count{provider="gcp",operation="insertAddress"} 2',
    'fairlead_cloud_request_duration_seconds_sum{provider="gcp",operation="insertAddress"} 0.05',
    'fairlead_cloud_requests_total{provider="gcp",operation="insertAddress",code="Throttling"} 1',
    'fairlead_cloud_requests_total{provider="gcp",operation="insertAddress",code="ok"} 1',
  ]);
});

test('those to AWS also under the names of cloud-provider-aws', async () => {
  const metrics = createMetrics({ provider: 'aws' });
  const operation = 'DescribeTags';
  for (const code of ['ok', 'ok', 'AccessDenied', 'Throttling', 'RequestLimitExceeded', 'TooManyRequestsException'])
    metrics.cloudRequest({ operation, code, seconds: 0.5 });
  assert.deepEqual(await lines(metrics, 'cloudprovider_'), [
    'cloudprovider_aws_api_request_duration_seconds_count{request="DescribeTags"} 2',
    'cloudprovider_aws_api_request_duration_seconds_sum{request="DescribeTags"} 1',
    'cloudprovider_aws_api_request_errors{request="DescribeTags"} 4',
    'cloudprovider_aws_api_throttled_requests_total{operation_name="DescribeTags"} 3',
  ]);
});

test('watches, stores, events, leadership, orphans and drift have their names and labels', async () => {
  const metrics = createMetrics({ provider: 'onprem' });
  metrics.reflector.watchRestarted('services', 'gone');
  metrics.reflector.storeObjects('services', 7);
  metrics.events.event('created');
  metrics.leading(true);
  metrics.leading(false, 'cloud-controller-manager');
  metrics.orphans(2);
  metrics.foreignConflict('finalizer');
  assert.deepEqual(
    await lines(metrics, 'fairlead_watch', 'fairlead_store', 'fairlead_events', 'leader', 'fairlead_o', 'fairlead_f'),
    [
      'fairlead_events_total{outcome="created"} 1',
      'fairlead_foreign_conflicts_total{kind="finalizer"} 1',
      'fairlead_orphans{provider="onprem",kind="load balancer"} 2',
      'fairlead_store_objects{resource="services"} 7',
      'fairlead_watch_restarts_total{resource="services",reason="gone"} 1',
      'leader_election_master_status{name="cloud-controller-manager"} 0',
      'leader_election_master_status{name="fairlead-controller"} 1',
    ],
  );
});

test('only the first serving of a Service is timed', async () => {
  const metrics = createMetrics();
  metrics.timeToServing(3_600_000, 'none');
  metrics.timeToServing(250, 'first');
  assert.deepEqual(await lines(metrics, 'fairlead_time_to_serving'), [
    'fairlead_time_to_serving_seconds_count 1',
    'fairlead_time_to_serving_seconds_sum 0.25',
  ]);
});

test('a gauge that is asked for shows what its sources say at the scrape, and nothing of what is gone', async () => {
  const metrics = createMetrics();
  let pools = ['a', 'b'];
  const end = metrics.ask('metallb_allocator_addresses_total', () => pools.map((pool) => [{ pool }, 10] as const));
  metrics.ask('metallb_allocator_addresses_total', () => [[{ pool: 'other' }, 1]]);
  const shown = (): Promise<string[]> => lines(metrics, 'metallb_allocator_addresses_total{');
  assert.deepEqual(await shown(), [
    'metallb_allocator_addresses_total{pool="a"} 10',
    'metallb_allocator_addresses_total{pool="b"} 10',
    'metallb_allocator_addresses_total{pool="other"} 1',
  ]);
  pools = ['b'];
  assert.deepEqual(await shown(), [
    'metallb_allocator_addresses_total{pool="b"} 10',
    'metallb_allocator_addresses_total{pool="other"} 1',
  ]);
  end();
  assert.deepEqual(await shown(), ['metallb_allocator_addresses_total{pool="other"} 1']);
});

test("a queue reports under client-go's names, and its gauges go with it", async () => {
  const metrics = createMetrics();
  const clock = createVirtualClock();
  const never = new AbortController().signal;
  let fail = true;
  const queue = createQueue({
    name: 'service',
    controller: 'service',
    concurrency: 1,
    clock,
    backoff: () => 100,
    log: { debug() {}, info() {}, warn() {}, error() {} },
    metrics: metrics.queue,
    reconcile: async () => {
      await clock.sleep(2000, never);
      if (fail) throw new Error('once');
    },
  });
  queue.add('a');
  queue.add('b', { priority: -100 });
  queue.add('c', { priority: -100 });
  await clock.advance(1500);
  const labels = 'name="service",controller="service"';
  assert.deepEqual(await lines(metrics, 'workqueue_'), [
    `workqueue_adds_total{${labels}} 3`,
    `workqueue_depth{${labels},priority="-100"} 2`,
    `workqueue_depth{${labels},priority="0"} 0`,
    `workqueue_longest_running_processor_seconds{${labels}} 1.5`,
    `workqueue_queue_duration_seconds_count{${labels}} 1`,
    `workqueue_queue_duration_seconds_sum{${labels}} 0`,
    `workqueue_unfinished_work_seconds{${labels}} 1.5`,
  ]);
  await clock.advance(1000);
  fail = false;
  await clock.advance(100_000);
  assert.deepEqual(await lines(metrics, 'workqueue_retries', 'workqueue_work_duration_seconds_count'), [
    `workqueue_retries_total{${labels}} 1`,
    `workqueue_work_duration_seconds_count{${labels}} 4`,
  ]);
  await queue.close();
  assert.deepEqual(await lines(metrics, 'workqueue_depth', 'workqueue_longest', 'workqueue_unfinished'), []);
});

test("client-go's buckets: 10 ns to 1000 s for queues, powers of two for node updates", async () => {
  const { buckets } = families.workqueue_work_duration_seconds;
  assert.deepEqual([buckets.length, buckets[0], buckets[11]], [12, 1e-8, 1000]);
  assert.deepEqual(families.service_controller_nodesync_latency_seconds.buckets.slice(0, 5), [0.01, 0.1, 1, 2, 4]);
  assert.equal(families.service_controller_nodesync_latency_seconds.buckets.at(-1), 16384);
});

test('the metrics of the process come only when they are asked for', async () => {
  const metrics = createMetrics();
  assert.deepEqual(await lines(metrics, 'process_', 'nodejs_'), []);
  await addNodeMetrics(metrics);
  const shown = await lines(metrics, 'process_cpu_seconds_total ', 'nodejs_eventloop_lag_p99_seconds ');
  assert.equal(shown.length, 2);
});
