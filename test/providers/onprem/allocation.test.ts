import assert from 'node:assert/strict';
import { test } from 'node:test';
import { resources } from '../../../providers/onprem/index.ts';
import { addressesOf, createWorld } from './world.ts';

test('a Service gets the first free address, recorded in its block before it is published', async () => {
  const world = createWorld();
  world.pool('default', ['10.77.0.200-10.77.0.250']);
  const service = world.service('web/shop');
  const controller = await world.controller();
  const progress = await controller.ensure('web/shop');
  assert.deepEqual(progress, {
    state: 'ready',
    ingress: [{ ip: '10.77.0.200', ipMode: 'VIP' }],
    annotations: {
      'metallb.io/ip-allocated-from-pool': 'default',
      'metallb.universe.tf/ip-allocated-from-pool': null,
    },
    events: [{ type: 'Normal', reason: 'IPAllocated', message: 'Assigned IP ["10.77.0.200"]' }],
  });
  const [block] = world.cluster.list(resources.ipblocks);
  assert.equal(block?.metadata.name, '10.77.0.0-24');
  assert.deepEqual((block as unknown as { spec: unknown }).spec, {
    cidr: '10.77.0.0/24',
    addresses: {
      '10.77.0.200': {
        pool: 'default',
        users: [
          {
            namespace: 'web',
            name: 'shop',
            uid: service.metadata.uid,
            ports: ['TCP/80'],
            sharingKey: '',
            backendKey: '',
          },
        ],
      },
    },
  });
  assert.deepEqual(addressesOf(world.at('web/shop')), ['10.77.0.200']);
});

test('a resync writes nothing and says nothing', async () => {
  const world = createWorld();
  world.pool('default', ['10.77.0.200-10.77.0.250']);
  world.service('web/shop');
  const controller = await world.controller();
  await controller.ensure('web/shop');
  await world.clock.advance(5000);
  const writes = world.cluster.writes.length;
  const progress = await controller.ensure('web/shop');
  assert.equal(progress.state === 'ready' && progress.events, undefined);
  await world.clock.advance(5000);
  assert.equal(world.cluster.writes.length, writes);
});

test('a status wiped by hand gets the same address back, without an event of an assignment', async () => {
  const world = createWorld();
  world.pool('default', ['10.77.0.200-10.77.0.250']);
  world.service('web/other');
  world.service('web/shop');
  const controller = await world.controller();
  await controller.ensure('web/other');
  await controller.ensure('web/shop');
  world.cluster.put(resources.services, { ...world.at('web/shop'), status: {} });
  await world.clock.advance(1);
  const progress = await controller.ensure('web/shop');
  assert.deepEqual(addressesOf(world.at('web/shop')), ['10.77.0.201']);
  assert.equal(progress.state === 'ready' && progress.events, undefined);
});

test('a changed request is reserved and published before the old address is given up, and both are told', async () => {
  const world = createWorld();
  world.pool('one', ['10.77.0.0/24']);
  world.pool('two', ['10.78.0.0/24']);
  world.service('web/shop');
  const controller = await world.controller();
  await controller.ensure('web/shop');
  world.service('web/shop', { annotations: { 'metallb.io/address-pool': 'two' } });
  await world.clock.advance(1);
  const before = world.cluster.writes.length;
  const progress = await controller.ensure('web/shop');
  await world.clock.advance(100);
  assert.deepEqual(Object.keys(world.reserved()), ['10.77.0.0', '10.78.0.0']); // both, until its status was seen
  await controller.settle();
  const blocks = world.cluster.writes.slice(before).filter(({ resource }) => resource.startsWith('ipblocks'));
  assert.deepEqual(
    blocks.map(({ verb, key }) => `${verb} ${key}`),
    ['create 10.78.0.0-24', 'patch 10.77.0.0-24', 'remove 10.77.0.0-24'],
  );
  assert.deepEqual(addressesOf(world.at('web/shop')), ['10.78.0.0']);
  assert.deepEqual(
    progress.events?.map(({ reason }) => reason),
    ['ClearAssignment', 'IPAllocated'],
  );
  assert.match(progress.events?.[0]?.message ?? '', /10\.77\.0\.0 is given up: .*address-pool/);
});

test('a request that cannot be met leaves the last good address, and is told once', async () => {
  const world = createWorld();
  world.pool('one', ['10.77.0.0/24']);
  world.service('web/shop');
  const controller = await world.controller();
  await controller.ensure('web/shop');
  world.service('web/shop', { annotations: { 'metallb.io/address-pool': 'nowhere' } });
  await world.clock.advance(1);
  const progress = await controller.ensure('web/shop');
  assert.equal(progress.state, 'ready');
  assert.deepEqual(addressesOf(world.at('web/shop')), ['10.77.0.0']);
  assert.deepEqual(progress.state === 'ready' && progress.shortfalls?.map(({ reason, field }) => [reason, field]), [
    ['StaleSpec', 'metallb.io/address-pool'],
  ]);
  assert.deepEqual(
    progress.events?.map(({ reason }) => reason),
    ['AllocationFailed'],
  );
  const again = await controller.ensure('web/shop');
  assert.equal(again.events, undefined);
});

test('a bad request of a Service without an address is invalid, and names its field', async () => {
  const world = createWorld();
  world.pool('one', ['10.77.0.0/24']);
  world.service('web/shop', { spec: { loadBalancerIP: 'not an address' } });
  const controller = await world.controller();
  await assert.rejects(controller.ensure('web/shop'), {
    kind: 'invalid',
    code: 'FL_ADDRESS_INVALID',
    field: 'spec.loadBalancerIP',
  });
});

test('dual stack: IPv4 first, then IPv6, from one pool, in two blocks', async () => {
  const world = createWorld();
  world.pool('both', ['10.77.0.0/24', '2001:db8::/120']);
  world.service('web/shop', {
    spec: {
      clusterIPs: ['10.96.0.1', 'fd00::1'],
      ipFamilies: ['IPv4', 'IPv6'],
      ipFamilyPolicy: 'RequireDualStack',
    },
  });
  const controller = await world.controller();
  await controller.ensure('web/shop');
  assert.deepEqual(addressesOf(world.at('web/shop')), ['10.77.0.0', '2001:db8::']);
  assert.deepEqual(
    world.cluster.list(resources.ipblocks).map(({ metadata }) => metadata.name),
    ['10.77.0.0-24', '2001-0db8-0000-0000-0000-0000-0000-0000-120'],
  );
});

test('several addresses: a count, and one of each pool that is named', async () => {
  const world = createWorld();
  world.pool('one', ['10.77.0.0/24']);
  world.pool('two', ['10.78.0.0/24']);
  world.service('web/three', { annotations: { 'fairlead.dev/address-count': '3' } });
  world.service('web/each', { annotations: { 'fairlead.dev/address-pools': 'one,two' } });
  const controller = await world.controller();
  await controller.ensure('web/three');
  const progress = await controller.ensure('web/each');
  assert.deepEqual(addressesOf(world.at('web/three')), ['10.77.0.0', '10.77.0.1', '10.77.0.2']);
  assert.deepEqual(addressesOf(world.at('web/each')), ['10.77.0.3', '10.78.0.0']);
  assert.equal(progress.annotations?.['metallb.io/ip-allocated-from-pool'], 'one,two');
});

test('two Services with one sharing key and different ports share an address', async () => {
  const world = createWorld();
  world.pool('one', ['10.77.0.0/24']);
  const annotations = { 'metallb.io/allow-shared-ip': 'key' };
  world.service('web/http', { annotations });
  world.service('web/dns', { annotations, spec: { ports: [{ protocol: 'UDP', port: 53 }] } });
  const controller = await world.controller();
  await controller.ensure('web/http');
  await controller.ensure('web/dns');
  assert.deepEqual(world.reserved(), { '10.77.0.0': ['web/dns', 'web/http'] });
  await controller.remove('web/http');
  assert.deepEqual(world.reserved(), { '10.77.0.0': ['web/dns'] });
});

test('a shared address stays when its Service stops sharing, and the conflict is told', async () => {
  const world = createWorld();
  world.pool('one', ['10.77.0.0/24']);
  const annotations = { 'metallb.io/allow-shared-ip': 'key' };
  world.service('web/http', { annotations });
  world.service('web/dns', { annotations, spec: { ports: [{ protocol: 'UDP', port: 53 }] } });
  const controller = await world.controller();
  await controller.ensure('web/http');
  await controller.ensure('web/dns');
  world.service('web/dns', { annotations: {}, spec: { ports: [{ protocol: 'UDP', port: 53 }] } });
  await world.clock.advance(1);
  const progress = await controller.ensure('web/dns');
  assert.deepEqual(addressesOf(world.at('web/dns')), ['10.77.0.0']);
  assert.equal(progress.state === 'ready' && progress.shortfalls?.[0]?.reason, 'StaleSpec');
  assert.deepEqual(
    progress.events?.map(({ reason }) => reason),
    ['AllocationFailed'],
  );
});

test('a pool that is drained gives nothing new and keeps what it gave', async () => {
  const world = createWorld();
  world.pool('one', ['10.77.0.0/24']);
  world.service('web/old');
  const controller = await world.controller();
  await controller.ensure('web/old');
  world.pool('one', ['10.77.0.0/24'], { annotations: { 'fairlead.dev/disabled': 'true' } });
  await world.clock.advance(100);
  world.service('web/new');
  await world.clock.advance(1);
  assert.deepEqual(await controller.outcome('web/new'), { error: 'FL_POOL_MISSING' });
  await controller.ensure('web/old');
  assert.deepEqual(world.reserved(), { '10.77.0.0': ['web/old'] });
});

test('a quota refuses with namespace, limit and users, and opens again when it is raised', async () => {
  const world = createWorld();
  world.pool('one', ['10.77.0.0/24'], { annotations: { 'fairlead.dev/quota': 'web=1,*=2' } });
  world.service('web/first');
  world.service('web/second');
  const controller = await world.controller();
  await controller.ensure('web/first');
  await assert.rejects(controller.ensure('web/second'), (error: Error & { code?: string; kind?: string }) => {
    assert.equal(error.code, 'FL_QUOTA_NAMESPACE');
    assert.equal(error.kind, 'quota');
    assert.match(error.message, /web/);
    assert.match(error.message, /web\/first/);
    return true;
  });
  controller.context.resyncs.length = 0;
  world.pool('one', ['10.77.0.0/24'], { annotations: { 'fairlead.dev/quota': 'web=2' } });
  await world.clock.advance(200);
  assert.deepEqual(
    controller.context.resyncs.flatMap(({ uids }) => uids),
    [world.at('web/second').metadata.uid],
  );
  await controller.ensure('web/second');
  assert.deepEqual(addressesOf(world.at('web/second')), ['10.77.0.1']);
});

test('an address kept for a deleted Service comes back with its name, and only for so long', async () => {
  const world = createWorld();
  world.pool('one', ['10.77.0.0/24'], { annotations: { 'fairlead.dev/retain': '1h' } });
  world.service('web/shop');
  world.service('web/other');
  const controller = await world.controller();
  await controller.ensure('web/shop');
  await controller.ensure('web/other');
  await controller.remove('web/shop');
  world.service('web/third');
  await world.clock.advance(1);
  await controller.ensure('web/third');
  assert.deepEqual(addressesOf(world.at('web/third')), ['10.77.0.2']);
  world.service('web/shop', { uid: 'again' });
  await world.clock.advance(1);
  await controller.ensure('web/shop');
  assert.deepEqual(addressesOf(world.at('web/shop')), ['10.77.0.0']);

  world.drop('web/other');
  await world.clock.advance(31_000); // no finalizer: missing for long enough
  assert.deepEqual(Object.keys(world.reserved()), ['10.77.0.0', '10.77.0.2']);
  world.service('web/fourth');
  await world.clock.advance(1);
  await controller.ensure('web/fourth');
  assert.deepEqual(addressesOf(world.at('web/fourth')), ['10.77.0.3']);
  await world.clock.advance(3_700_000);
  world.service('web/fifth');
  await world.clock.advance(1);
  await controller.ensure('web/fifth');
  assert.deepEqual(addressesOf(world.at('web/fifth')), ['10.77.0.1']);
});

test('an address that our own patch published is not given up before the watch has shown it', async () => {
  let delayMs = 0;
  const world = createWorld({ delayMs: () => delayMs });
  world.pool('one', ['10.77.0.0/24']);
  world.pool('two', ['10.78.0.0/32']);
  const controller = await world.controller();
  world.service('web/shop', { annotations: { 'metallb.io/address-pool': 'two' } });
  await world.clock.advance(1);
  delayMs = 50; // the watch lags
  await controller.ensure('web/shop');
  world.service('web/shop', { annotations: {} });
  world.service('web/shop', { annotations: { 'metallb.io/address-pool': 'one' } });
  await controller.ensure('web/shop');
  assert.ok(Object.keys(world.reserved()).includes('10.78.0.0'));
  await controller.settle();
  assert.deepEqual(Object.keys(world.reserved()), ['10.77.0.0']);
});
