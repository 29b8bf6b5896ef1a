import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type Balancer,
  type CloudCall,
  createMemoryCloud,
  type MemoryCloud,
  type MemoryCloudOptions,
  type NewBalancer,
} from '../../../providers/memory/cloud.ts';
import type { Cidr } from '../../../src/core/provider.ts';
import { createVirtualClock, type VirtualClock } from '../../fake/clock.ts';

const never = new AbortController().signal;
const wanted = (name: string, more: Partial<NewBalancer> = {}): NewBalancer => ({
  name,
  tags: {},
  sources: [],
  targets: [],
  health: { protocol: 'TCP', port: 80 },
  ...more,
});
const port80 = { protocol: 'TCP', port: 80, targetPort: 30_080 } as const;

function rig(options: Partial<MemoryCloudOptions> = {}): { readonly clock: VirtualClock; readonly cloud: MemoryCloud } {
  const clock = createVirtualClock();
  return { clock, cloud: createMemoryCloud({ clock, ...options }) };
}

/** Waits for a call while time passes. */
async function during<T>(clock: VirtualClock, call: Promise<T>): Promise<T> {
  let isDone = false;
  const end = (): void => {
    isDone = true;
  };
  call.then(end, end);
  await clock.run(() => isDone, { maxMs: 60_000 });
  return await call;
}

const names = (balancers: readonly Balancer[]): readonly string[] => balancers.map(({ name }) => name);

test('addresses are the lowest free ones, a freed one is given again', async () => {
  const { cloud } = rig({ range: '192.0.2.0/29' as Cidr });
  for (const name of ['a', 'b', 'c']) await cloud.create(wanted(name), never);
  await cloud.remove('b', never);
  await cloud.create(wanted('d'), never);
  assert.deepEqual(
    cloud.snapshot().map(({ name, address }) => [name, address]),
    [
      ['a', '192.0.2.1'],
      ['c', '192.0.2.3'],
      ['d', '192.0.2.2'],
    ],
  );
});

test('a range that is used up, an address that is taken or outside, and quotas are refused', async () => {
  const { cloud } = rig({ range: '192.0.2.0/30' as Cidr, quotas: { portsPerBalancer: 1 } });
  await cloud.create(wanted('a', { address: '192.0.2.2' }), never);
  await assert.rejects(cloud.create(wanted('b', { address: '192.0.2.2' }), never), { code: 'AddressInUse' });
  await assert.rejects(cloud.create(wanted('b', { address: '192.0.3.1' }), never), { code: 'AddressInUse' });
  await cloud.create(wanted('b'), never);
  await assert.rejects(cloud.create(wanted('c'), never), { code: 'QuotaExceeded', message: /192\.0\.2\.0\/30/ });
  await assert.rejects(cloud.update('a', { address: '192.0.2.1' }, never), { code: 'AddressInUse' });
  await cloud.update('a', { address: '192.0.2.2' }, never); // its own
  await cloud.openPort('a', port80, never);
  await cloud.openPort('a', { ...port80, targetPort: 1 }, never);
  await assert.rejects(cloud.openPort('a', { ...port80, port: 81 }, never), { code: 'QuotaExceeded' });
  cloud.configure({ range: '192.0.2.0/24' as Cidr, quotas: { balancers: 2 } });
  await assert.rejects(cloud.create(wanted('c'), never), { code: 'QuotaExceeded', message: /balancers: 3 of 2/ });
  assert.deepEqual(cloud.snapshot()[0]?.ports, [{ ...port80, targetPort: 1 }]);
});

test('writes are idempotent where a cloud is, and refused where it is not there or taken', async () => {
  const { cloud } = rig();
  await cloud.create(wanted('a'), never);
  await assert.rejects(cloud.create(wanted('a'), never), { code: 'AlreadyExists' });
  await cloud.closePort('a', port80, never);
  await assert.rejects(cloud.openPort('x', port80, never), { code: 'NotFound' });
  await cloud.remove('x', never);
  await cloud.openPort('a', port80, never);
  await assert.rejects(cloud.remove('a', never), { code: 'Busy', retryAfterMs: 1000 });
  await cloud.closePort('a', port80, never);
  await cloud.remove('a', never);
  assert.deepEqual(cloud.snapshot(), []);
});

test('a balancer is creating, active, deleting and gone, each for its time', async () => {
  const { clock, cloud } = rig({ createMs: 3000, deleteMs: 5000 });
  const state = (): string | undefined => cloud.snapshot()[0]?.state;
  await cloud.create(wanted('a'), never);
  assert.equal(state(), 'creating');
  await clock.advance(3000);
  assert.equal(state(), 'active');
  await cloud.remove('a', never);
  await cloud.remove('a', never);
  await clock.advance(4000);
  assert.equal(state(), 'deleting');
  await assert.rejects(cloud.create(wanted('a'), never), { code: 'Busy', retryAfterMs: 1000 });
  await assert.rejects(cloud.openPort('a', port80, never), { code: 'Busy', retryAfterMs: 1000 });
  await clock.advance(1000);
  assert.equal(state(), undefined);
  await cloud.create(wanted('a'), never);
});

test('a list lags, a find does not', async () => {
  const { clock, cloud } = rig({ consistencyMs: 5000 });
  const listed = async (): Promise<readonly string[]> => names(await cloud.list(never));
  await cloud.create(wanted('a'), never);
  assert.deepEqual([await listed(), (await cloud.find('a', never))?.name], [[], 'a']);
  await clock.advance(5000);
  assert.deepEqual(await listed(), ['a']);
  await cloud.remove('a', never);
  assert.deepEqual([await listed(), await cloud.find('a', never)], [['a'], undefined]);
  await clock.advance(5000);
  assert.deepEqual(await listed(), []);
});

test('how far a list lags is random when it is told so', async () => {
  let random = 0.5;
  const { clock, cloud } = rig({ consistencyMs: 5000, random: () => random });
  await clock.advance(10_000);
  await cloud.create(wanted('a'), never);
  await clock.advance(2400);
  assert.deepEqual(await cloud.list(never), []);
  await clock.advance(100);
  assert.deepEqual(names(await cloud.list(never)), ['a']);
  random = 0.9;
  assert.deepEqual(await cloud.list(never), []);
});

test('a call takes its time, its effect is in the middle, and an aborted one rejects with the reason', async () => {
  const { clock, cloud } = rig({ latencyMs: 100 });
  const made = cloud.create(wanted('a'), never);
  await clock.advance(49);
  assert.deepEqual(cloud.snapshot(), []);
  await clock.advance(1);
  assert.deepEqual(names(cloud.snapshot()), ['a']);
  await during(clock, made);
  assert.equal(clock.monotonicMs(), 100);
  const stop = new AbortController();
  const aborted = cloud.create(wanted('b'), stop.signal);
  const late = cloud.create(wanted('c'), stop.signal);
  await clock.advance(60);
  stop.abort(new Error('deadline'));
  await assert.rejects(aborted, /deadline/);
  await assert.rejects(late, /deadline/);
  assert.deepEqual(names(cloud.snapshot()), ['a', 'b', 'c'], 'aborted too late: it has happened');
  await assert.rejects(cloud.create(wanted('d'), stop.signal), /deadline/);
});

test('faults see every call and say which fails, with or without its effect', async () => {
  const calls: CloudCall[] = [];
  const { cloud } = rig({
    fault(call) {
      calls.push(call);
      if (call.number === 0) return { code: 'Throttled', retryAfterMs: 700 };
      return call.number === 1 ? { code: 'Unavailable', effect: true } : undefined;
    },
  });
  await assert.rejects(cloud.create(wanted('a'), never), { code: 'Throttled', retryAfterMs: 700 });
  assert.deepEqual(cloud.snapshot(), []);
  await assert.rejects(cloud.create(wanted('a'), never), { code: 'Unavailable' });
  assert.deepEqual(names(await cloud.list(never)), ['a']);
  assert.deepEqual(calls, [
    { number: 0, operation: 'create', write: true, name: 'a' },
    { number: 1, operation: 'create', write: true, name: 'a' },
    { number: 2, operation: 'list', write: false, name: '' },
  ]);
});

test('others may put and drop what they like', async () => {
  const { cloud } = rig();
  cloud.put({ ...wanted('theirs'), address: '192.0.2.1', ports: [port80], state: 'active' });
  await cloud.create(wanted('ours'), never);
  assert.deepEqual(
    cloud.snapshot().map(({ name, address }) => [name, address]),
    [
      ['ours', '192.0.2.2'],
      ['theirs', '192.0.2.1'],
    ],
  );
  cloud.drop('theirs');
  assert.deepEqual(names(cloud.snapshot()), ['ours']);
});
