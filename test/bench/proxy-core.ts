/**
 * The proxy's planning alone, without a kernel: models and elements of 1,000 to 100,000 Services with two endpoints, one
 * change at each size, a change in a Service of many endpoints, the comparison after a restart, and memory. Reach
 * (node-proxy.md): planning is a small part of 100 ms at 10,000 and of 1 s at 100,000; one change under 10 us, flat.
 */
import type { Element } from '../../src/core/net/element.ts';
import type { EndpointSlice, Service } from '../../src/core/objects.ts';
import type { Planner, ServiceModel } from '../../src/core/proxy/model.ts';
import { createPlanner } from '../../src/core/proxy/planner.ts';
import { createSnapshot } from '../../src/core/proxy/snapshot.ts';

const SIZES = [1_000, 10_000, 100_000] as const;
/** As the agent plans a cold start. */
const PIECE = 2_000;
const CHANGES = 5_000;

const snapshot = createSnapshot({
  nodeName: 'n1',
  primaryAddresses: ['10.0.0.1'],
  addresses: ['10.0.0.1'],
  nodePortAddresses: 'primary',
});

const metadata = (name: string) => ({
  name,
  namespace: 'default',
  uid: name,
  resourceVersion: '1',
  creationTimestamp: '2026-01-01T00:00:00Z',
});

function serviceAt(index: number): Service {
  const clusterIP = `172.${16 + (index >> 16)}.${(index >> 8) & 255}.${index & 255}`;
  const ports = [{ name: 'http', port: 80, protocol: 'TCP' }] as const;
  return { metadata: metadata(`s-${index}`), spec: { type: 'ClusterIP', clusterIP, clusterIPs: [clusterIP], ports } };
}

/** @param turn another one changes the second endpoint. */
function sliceAt(index: number, turn = 0, count = 2): EndpointSlice {
  const conditions = { ready: true, serving: true, terminating: false };
  return {
    metadata: metadata(`s-${index}-a`),
    addressType: 'IPv4',
    ports: [{ name: 'http', port: 8080, protocol: 'TCP' }],
    endpoints: Array.from({ length: count }, (_, at) => {
      const number = index * 2 + at + (at === 1 ? turn * 300_000 : 0);
      return {
        addresses: [`10.${(number >> 16) & 255}.${(number >> 8) & 255}.${number & 255}`],
        conditions,
        nodeName: at === 0 ? 'n1' : 'n2',
      };
    }),
  };
}

function modelAt(index: number, turn = 0): ServiceModel {
  const model = snapshot.service(serviceAt(index), [sliceAt(index, turn)]);
  if (model === undefined) throw new Error('not proxied');
  return model;
}

function timed<T>(run: () => T): { readonly ms: number; readonly value: T } {
  const start = performance.now();
  const value = run();
  return { ms: performance.now() - start, value };
}

/** In pieces: how many changes were planned, and the longest piece. */
function planAll(
  planner: Planner,
  models: readonly ServiceModel[],
): { readonly changes: number; readonly longestMs: number } {
  let changes = 0;
  let longestMs = 0;
  for (let at = 0; at < models.length; at += PIECE) {
    const piece = models.slice(at, at + PIECE).map((model) => [model.key, model] as const);
    const { ms, value } = timed(() => planner.plan(piece));
    changes += value.now.length;
    longestMs = Math.max(longestMs, ms);
  }
  return { changes, longestMs };
}

const percentile = (sorted: readonly number[], share: number): number =>
  sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] as number;

function collect(): void {
  (globalThis as { gc?: () => void }).gc?.();
}

const print = (what: string, value: number, unit: string): void =>
  console.log(`  ${what.padEnd(60)} ${value.toFixed(value < 10 ? 2 : 1).padStart(9)} ${unit}`);

/** Median planning time of one change, in microseconds. */
function size(count: number): number {
  console.log(`${count.toLocaleString('en')} Services x 2`);
  const services = Array.from({ length: count }, (_, index) => [serviceAt(index), [sliceAt(index)]] as const);
  collect();
  const before = process.memoryUsage().heapUsed;
  const models = timed(() => services.map(([service, slices]) => snapshot.service(service, slices) as ServiceModel));
  const planner = createPlanner({ family: 'ip', firstId: 1 });
  const cold = timed(() => planAll(planner, models.value));
  collect();
  print('models', models.ms, 'ms');
  print(`plan of ${cold.value.changes.toLocaleString('en')} elements`, cold.ms, 'ms');
  print('longest piece', cold.value.longestMs, 'ms');
  print('memory of models and planner, per Service', (process.memoryUsage().heapUsed - before) / count, 'bytes');

  const made: number[] = [];
  const planned: number[] = [];
  for (let change = 0; change < CHANGES; change += 1) {
    const index = (change * 7919) % count;
    const [service] = services[index] as (typeof services)[number];
    const slices = [sliceAt(index, 1 + (change % 3))];
    const start = performance.now();
    const model = snapshot.service(service, slices) as ServiceModel;
    const middle = performance.now();
    const { now } = planner.plan([[model.key, model]]);
    planned.push((performance.now() - middle) * 1000);
    made.push((middle - start) * 1000);
    if (now.length > 2) throw new Error(`${now.length} changes for one endpoint`);
  }
  for (const list of [made, planned]) list.sort((a, b) => a - b);
  print('one endpoint replaced: model, p50', percentile(made, 0.5), 'us');
  print('one endpoint replaced: plan, p50', percentile(planned, 0.5), 'us');
  print('one endpoint replaced: plan, p99', percentile(planned, 0.99), 'us');

  restart(planner);
  return percentile(planned, 0.5);
}

/** The same table read by a new process. */
function restart(planner: Planner): void {
  const found: readonly Element[] = [...planner.elements()];
  const models = [...planner.keys()].map((key) => planner.model(key) as ServiceModel);
  const next = createPlanner({ family: 'ip', firstId: 1 });
  next.loaded(planner.chains(), planner.timeouts());
  const adopted = timed(() => next.adopt(found));
  const diff = timed(() => planAll(next, models));
  const rest = next.sweep();
  if (diff.value.changes + rest.now.length > 0) throw new Error('a restart with nothing to change writes');
  print('restart with nothing to change: reading', adopted.ms, 'ms');
  print('restart with nothing to change: comparing', diff.ms, 'ms');
}

function large(count: number): void {
  const planner = createPlanner({ family: 'ip', firstId: 1 });
  const service = serviceAt(0);
  const modelOf = (turn: number) => snapshot.service(service, [sliceAt(0, turn, count)]) as ServiceModel;
  planner.plan([['default/s-0', modelOf(0)]]);
  const planned: number[] = [];
  for (let change = 1; change <= 200; change += 1) {
    const model = modelOf(change % 7);
    const { ms, value } = timed(() => planner.plan([[model.key, model]]));
    if (value.now.length !== 2) throw new Error(`${value.now.length} changes for one endpoint`);
    planned.push(ms * 1000);
  }
  print(
    `one of ${count.toLocaleString('en')} endpoints replaced: plan, p50`,
    percentile(
      planned.sort((a, b) => a - b),
      0.5,
    ),
    'us',
  );
}

console.log('proxy core (memory is exact with node --expose-gc)');
// Warm code first, as in an agent that has run for a second.
planAll(
  createPlanner({ family: 'ip', firstId: 1 }),
  Array.from({ length: 5_000 }, (_, index) => modelAt(index)),
);
const medians = SIZES.map(size);
print('one change at 100,000 against 1,000', (medians.at(-1) as number) / (medians[0] as number), 'times');
for (const count of [100, 1_000, 5_000]) large(count);
