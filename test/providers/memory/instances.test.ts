import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createMemoryCloud } from '../../../providers/memory/cloud.ts';
import { parseConfig } from '../../../providers/memory/config.ts';
import { createInstances } from '../../../providers/memory/instances.ts';
import type { Machine } from '../../../providers/memory/machines.ts';
import type { NodeRef } from '../../../src/core/provider.ts';
import { createVirtualClock } from '../../fake/clock.ts';
import { callOf } from './spec.ts';

const machine = (name: string, more: Partial<Machine> = {}): Machine => ({
  name,
  id: `m-${name}`,
  type: 'small',
  zone: 'z1',
  region: 'r',
  addresses: [{ type: 'InternalIP', address: '10.0.0.1' }],
  state: 'running',
  ...more,
});
const node = (name: string, providerId?: string): NodeRef => ({
  name,
  addresses: [],
  ...(providerId === undefined ? {} : { providerId }),
});

test('instances: by name, by providerID, by a bare id; switched off; gone; and nothing about what it never had', async () => {
  const clock = createVirtualClock();
  let calls = 0;
  const count = () => {
    calls += 1;
    return undefined;
  };
  const machines = [
    machine('a'),
    machine('b', { state: 'stopped', labels: { rack: '7' } }),
    machine('c', { state: 'terminated' }),
  ];
  const cloud = createMemoryCloud({ clock, machines, fault: count });
  const asked = [
    node('a'),
    node('renamed', 'memory://m-a'),
    node('bare', 'm-a'),
    node('b'),
    node('c', 'memory://m-c'),
    node('c-by-name'),
    node('x', 'memory://m-x'),
  ];
  const found = await createInstances(cloud).find(asked, callOf());
  assert.equal(calls, 1, 'one bulk read');
  const a = {
    providerId: 'memory://m-a',
    type: 'small',
    zone: 'z1',
    region: 'r',
    addresses: [{ type: 'InternalIP', address: '10.0.0.1' }],
    shutdown: false,
  };
  assert.deepEqual(
    [...found],
    [
      ['a', a],
      ['renamed', a],
      ['bare', a],
      ['b', { ...a, providerId: 'memory://m-b', shutdown: true, labels: { rack: '7' } }],
      ['c', undefined],
    ],
  );
});

test('instances: of two machines with one name the one that is not terminated is meant', async () => {
  const cloud = createMemoryCloud({
    clock: createVirtualClock(),
    machines: [machine('a', { id: 'old', state: 'terminated' }), machine('a', { id: 'new' })],
  });
  const found = await createInstances(cloud).find([node('a'), node('a2', 'memory://old')], callOf());
  assert.deepEqual([found.get('a')?.providerId, found.has('a2'), found.get('a2')], ['memory://new', true, undefined]);
});

test('instances: a list lags as far as the cloud is inconsistent, and a failed one is no absence', async () => {
  const clock = createVirtualClock();
  const cloud = createMemoryCloud({ clock, consistencyMs: 5000 });
  const instances = createInstances(cloud);
  cloud.putMachine(machine('a'));
  assert.equal((await instances.find([node('a')], callOf())).has('a'), false);
  await clock.advance(5000);
  assert.equal((await instances.find([node('a')], callOf())).get('a')?.type, 'small');
  cloud.putMachine(machine('a', { state: 'terminated' }));
  assert.ok((await instances.find([node('a')], callOf())).get('a'), 'still shown');
  cloud.configure({ fault: () => ({ code: 'Denied' }) });
  await assert.rejects(instances.find([node('a')], callOf()), { kind: 'denied', code: 'FL_MEMORY_DENIED' });
});

test('the config lists machines; the id is the name unless it says another', () => {
  const { machines } = parseConfig({
    machines: [
      { name: 'a', zone: 'z' },
      { name: 'b', id: 'x', state: 'stopped' },
    ],
  });
  const common = { type: '', region: '', addresses: [], labels: {} };
  assert.deepEqual(machines, [
    { ...common, name: 'a', id: 'a', zone: 'z', state: 'running' },
    { ...common, name: 'b', id: 'x', zone: '', state: 'stopped' },
  ]);
  assert.throws(() => parseConfig({ machines: [{ name: '' }] }), { code: 'FL_MEMORY_CONFIG' });
});
