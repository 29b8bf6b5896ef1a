/** The golden cases of the provider interface (foundations.md 11), through what the service controller sees. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createMemoryCloud } from '../../../providers/memory/cloud.ts';
import { create, memoryModule } from '../../../providers/memory/index.ts';
import { nameOf } from '../../../providers/memory/names.ts';
import { isProviderError } from '../../../src/core/errors.ts';
import type { LoadBalancers, Provider, ProviderContext } from '../../../src/core/provider.ts';
import { createVirtualClock } from '../../fake/clock.ts';
import { callOf, specOf } from './spec.ts';

async function rig() {
  const clock = createVirtualClock();
  let writes = 0;
  let crashAt = Number.POSITIVE_INFINITY;
  const cloud = createMemoryCloud({
    clock,
    fault(call) {
      if (call.write) writes += 1;
      return call.write && writes > crashAt ? { code: 'Unavailable' } : undefined;
    },
  });
  const context = { cluster: 'contract', config: {}, clock } as unknown as ProviderContext;
  const { loadBalancers } = (await memoryModule(cloud).create(context)) as Provider & { loadBalancers: LoadBalancers };
  return {
    cloud,
    loadBalancers,
    /** Writes since the last time that it was asked. */
    written(): number {
      const count = writes;
      writes = 0;
      return count;
    },
    /** After so many writes every further one fails. */
    crashAfter(count: number): void {
      writes = 0;
      crashAt = count;
    },
    ports: () => cloud.snapshot().map(({ ports }) => ports.map(({ port }) => port)),
  };
}

const a = specOf('a', [80, 443]);

test('a preview of two ports is three actions and no write', async () => {
  const { loadBalancers, written } = await rig();
  const stages = await loadBalancers.preview(a, a, callOf());
  assert.deepEqual(
    stages.map((stage) => stage.map(({ kind, target, reason }) => ({ kind, target, reason }))),
    [
      [{ kind: 'createBalancer', target: nameOf('contract', a.uid), reason: 'Service default/a has none' }],
      [
        { kind: 'openPort', target: nameOf('contract', a.uid), reason: 'TCP/80 is wanted' },
        { kind: 'openPort', target: nameOf('contract', a.uid), reason: 'TCP/443 is wanted' },
      ],
    ],
  );
  assert.equal(written(), 0);
});

test('ensure is ready with 192.0.2.1 as VIP, and a second one writes nothing', async () => {
  const { loadBalancers, written } = await rig();
  const progress = await loadBalancers.ensure(a, callOf());
  assert.deepEqual(progress, {
    state: 'ready',
    ingress: [
      {
        ip: '192.0.2.1',
        ipMode: 'VIP',
        ports: [
          { port: 80, protocol: 'TCP' },
          { port: 443, protocol: 'TCP' },
        ],
      },
    ],
  });
  assert.equal(written(), 3);
  assert.deepEqual(await loadBalancers.ensure(a, callOf()), progress);
  assert.equal(written(), 0);
});

for (let writes = 0; writes <= 7; writes += 1) {
  test(`a crash after ${writes} writes on the way to 443 and 8080, then ensure: exactly those ports`, async () => {
    const { loadBalancers, crashAfter, ports } = await rig();
    await loadBalancers.ensure(a, callOf());
    crashAfter(writes);
    const changed = specOf('a', [443, 8080]);
    const crashed = await loadBalancers.ensure(changed, callOf()).then(
      () => false,
      () => true,
    );
    assert.equal(crashed, writes < 2, 'the change is two writes');
    crashAfter(Number.POSITIVE_INFINITY);
    await loadBalancers.ensure(changed, callOf());
    assert.deepEqual(ports(), [[443, 8080]]);
  });
}

test('remove is done, twice', async () => {
  const { loadBalancers, cloud, written } = await rig();
  await loadBalancers.ensure(a, callOf());
  written();
  assert.deepEqual(await loadBalancers.remove(a, callOf()), { done: true });
  assert.deepEqual([cloud.snapshot(), written()], [[], 3]);
  assert.deepEqual(await loadBalancers.remove(a, callOf()), { done: true });
  assert.equal(written(), 0);
});

test('an audit tells what a lacks, what is wrong with bad, and that nobody wants gone, without a write', async () => {
  const { loadBalancers, written } = await rig();
  const gone = specOf('gone', [80]);
  for (const spec of [specOf('a', [80]), gone]) await loadBalancers.ensure(spec, callOf());
  written();
  const bad = specOf('bad', []);
  const { specs, orphans } = await loadBalancers.audit([a, bad], callOf());
  const verdict = specs.get(a.uid);
  assert.ok(verdict && 'actions' in verdict);
  assert.deepEqual(
    verdict.actions.map(({ kind, reason }) => [kind, reason]),
    [['openPort', 'TCP/443 is wanted']],
  );
  const wrong = specs.get(bad.uid);
  assert.ok(wrong && 'error' in wrong && isProviderError(wrong.error));
  assert.deepEqual([wrong.error.code, wrong.error.field], ['FL_MEMORY_SPEC', 'spec.ports']);
  assert.deepEqual(
    [...orphans].map(([uid, actions]) => [uid, actions.map(({ kind }) => kind)]),
    [[gone.uid, ['closePort', 'deleteBalancer']]],
  );
  assert.equal(written(), 0);
});

test('the module makes a provider of its own cloud, by its section of the config', async () => {
  const context = { cluster: 'contract', config: { range: '198.51.100.0/28' }, clock: createVirtualClock() };
  const provider = await create(context as unknown as ProviderContext);
  assert.deepEqual([provider.name, provider.classes], ['memory', ['fairlead.dev/memory']]);
  const progress = await provider.loadBalancers?.ensure(a, callOf());
  assert.ok(progress?.state === 'ready');
  assert.equal(progress.ingress[0]?.ip, '198.51.100.1');
  await provider.close();
});
