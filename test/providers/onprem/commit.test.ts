import assert from 'node:assert/strict';
import { test } from 'node:test';
import { resources } from '../../../providers/onprem/index.ts';
import type { ErrorCode } from '../../../src/core/errors.ts';
import type { Fault, Write } from '../../fake/context.ts';
import { addressesOf, type Controller, createWorld, during, type World } from './world.ts';

const BLOCKS = 'ipblocks.fairlead.dev';
const blockWrites = ({ cluster }: World) =>
  cluster.requests.filter(({ resource, verb }) => resource === BLOCKS && verb !== 'get' && verb !== 'list');

/** Runs all at once, each for itself. */
const together = (controller: Controller, keys: readonly string[]) => Promise.allSettled(keys.map(controller.run));

test('requests that come within a few milliseconds share one write, and those that come during it the next', async () => {
  const world = createWorld({ delayMs: () => 5 });
  world.pool('one', ['10.77.0.0/24']);
  const controller = await world.controller();
  const keys = Array.from({ length: 40 }, (_, index) => `web/s${index}`);
  for (const key of keys) world.service(key);
  await world.clock.advance(10);
  const first = together(controller, keys.slice(0, 20));
  await world.clock.advance(4); // the write is on its way
  assert.equal(blockWrites(world).length, 1);
  const ends = await during(world.clock, Promise.all([first, together(controller, keys.slice(20))]));
  assert.ok(ends.flat().every(({ status }) => status === 'fulfilled'));
  assert.deepEqual(
    blockWrites(world).map(({ verb }) => verb),
    ['create', 'patch'],
  );
  assert.equal(Object.keys(world.reserved()).length, 40);
});

test('2,500 Services that wait for a pool cost 10 block writes, and their own runs none', async () => {
  const world = createWorld({ delayMs: () => 2 });
  const controller = await world.controller();
  const keys = Array.from({ length: 2500 }, (_, index) => `web/s${String(index).padStart(5, '0')}`);
  for (const key of keys) world.service(key);
  await world.clock.advance(10);
  const outcomes = await during(world.clock, together(controller, keys));
  assert.ok(outcomes.every(({ status }) => status === 'rejected'));
  assert.equal(controller.provider.waiting(), 2500);
  world.pool('one', ['10.0.0.0/16']);
  await world.clock.advance(1000);
  assert.equal(blockWrites(world).length, 10);
  assert.equal(new Set(controller.context.resyncs.flatMap(({ uids }) => uids ?? [])).size, 2500);
  assert.ok(controller.context.resyncs.length <= 12, `${controller.context.resyncs.length} resyncs`);
  assert.deepEqual(addressesOfHolder(world, 'web/s00000'), ['10.0.0.0']);
  assert.deepEqual(addressesOfHolder(world, 'web/s02499'), ['10.0.9.195']);
  await during(world.clock, together(controller, ['web/s00000', 'web/s01000', 'web/s02499']));
  assert.equal(blockWrites(world).length, 10);
});

function addressesOfHolder(world: World, key: string): readonly string[] {
  return Object.entries(world.reserved()).flatMap(([address, users]) => (users.includes(key) ? [address] : []));
}

test('an address that another controller took meanwhile is decided anew at once, without backoff', async () => {
  const world = createWorld({ delayMs: () => 5 });
  world.pool('one', ['10.77.0.0/24']);
  const one = await world.controller({ identity: 'one' });
  const two = await world.controller({ identity: 'two' });
  world.service('web/a');
  world.service('web/b');
  await world.clock.advance(10);
  const since = world.clock.monotonicMs();
  await during(world.clock, Promise.all([one.run('web/a'), two.run('web/b')]));
  assert.ok(world.clock.monotonicMs() - since < 100);
  assert.deepEqual(world.reserved(), { '10.77.0.0': ['web/a'], '10.77.0.1': ['web/b'] });
});

interface FaultCase {
  readonly name: string;
  readonly fault: Fault;
  /** What the run that met it ends with. */
  readonly run: 'fulfilled' | ErrorCode;
  /** In the block right afterwards. */
  readonly reserved: boolean;
}
const unreachable = 'FL_KUBE_UNREACHABLE' as const;
const cases: readonly FaultCase[] = [
  { name: 'a conflict is settled at once', fault: { code: 'FL_KUBE_CONFLICT' }, run: 'fulfilled', reserved: true },
  { name: 'a lost request is sent again', fault: { code: unreachable }, run: 'fulfilled', reserved: true },
  {
    name: 'a lost answer is found by a read',
    fault: { code: unreachable, effect: { lateMs: 0 } },
    run: 'fulfilled',
    reserved: true,
  },
  {
    name: 'an answer 500 is as good as none',
    fault: { code: 'FL_KUBE_REQUEST', effect: { lateMs: 0 } },
    run: 'fulfilled',
    reserved: true,
  },
  {
    name: 'a refusal gives the address back',
    fault: { code: 'FL_KUBE_DENIED' },
    run: 'FL_KUBE_DENIED',
    reserved: false,
  },
  {
    name: 'an invalid object gives the address back',
    fault: { code: 'FL_KUBE_INVALID' },
    run: 'FL_KUBE_INVALID',
    reserved: false,
  },
  {
    name: 'a throttled write gives the address back',
    fault: { code: 'FL_KUBE_THROTTLED' },
    run: 'FL_KUBE_THROTTLED',
    reserved: false,
  },
];
for (const verb of ['create', 'patch'] as const) {
  for (const { name, fault, run, reserved } of cases) {
    test(`${verb}: ${name}`, async () => {
      let faults = 0;
      const world = createWorld({
        fault: (request) => (isBlock(request, verb) && faults > 0 && faults-- > 0 ? fault : undefined),
      });
      world.pool('one', ['10.77.0.0/24']);
      const controller = await world.controller();
      if (verb === 'patch') {
        world.service('web/earlier');
        await world.clock.advance(1);
        await controller.ensure('web/earlier');
      }
      world.service('web/shop');
      world.service('web/next');
      await world.clock.advance(1);
      faults = 1;
      const end = await controller.outcome('web/shop');
      assert.equal('error' in end ? end.error : 'fulfilled', run);
      assert.equal(addressesOfHolder(world, 'web/shop').length, reserved ? 1 : 0);
      await controller.ensure('web/next');
      await controller.ensure('web/shop');
      const addresses = [...addressesOf(world.at('web/next')), ...addressesOf(world.at('web/shop'))];
      assert.equal(new Set(addresses).size, 2);
      for (const key of ['web/next', 'web/shop'])
        assert.deepEqual(addressesOfHolder(world, key), addressesOf(world.at(key)));
    });
  }
}

const isBlock = ({ resource, verb }: Write, wanted: string): boolean => resource === BLOCKS && verb === wanted;

test('when not even a read gets through, nothing is given back and nothing is lost', async () => {
  let isDown = false;
  const world = createWorld({
    fault: ({ resource }) => (isDown && resource === BLOCKS ? { code: unreachable } : undefined),
  });
  world.pool('one', ['10.77.0.0/31']);
  world.service('web/shop');
  const controller = await world.controller();
  isDown = true;
  await controller.outcome('web/shop');
  world.service('web/next');
  await world.clock.advance(1);
  await controller.outcome('web/next');
  isDown = false;
  await world.clock.advance(60_000);
  await controller.ensure('web/next');
  await controller.ensure('web/shop');
  assert.deepEqual(Object.keys(world.reserved()).sort(), ['10.77.0.0', '10.77.0.1']);
});

test('a write that takes effect long after its sender gave up is refused by its guard, or followed', async () => {
  let lateMs: number | undefined;
  const world = createWorld({
    fault: (request) => {
      if (!isBlock(request, 'patch') || lateMs === undefined) return undefined;
      const fault: Fault = { code: unreachable, effect: { lateMs } };
      lateMs = undefined;
      return fault;
    },
  });
  world.pool('one', ['10.77.0.0/24']);
  world.service('web/a');
  const controller = await world.controller();
  await controller.ensure('web/a');
  world.service('web/b');
  await world.clock.advance(1);
  lateMs = 500;
  await controller.ensure('web/b');
  await world.clock.advance(2000);
  await controller.settle();
  assert.deepEqual(world.reserved(), { '10.77.0.0': ['web/a'], '10.77.0.1': ['web/b'] });
});

test('a write that is refused for some is no reason to refuse those that came during it', async () => {
  let refused = 0;
  const world = createWorld({
    delayMs: () => 5,
    fault: (request) => (isBlock(request, 'create') && refused++ === 0 ? { code: 'FL_KUBE_INVALID' } : undefined),
  });
  world.pool('one', ['10.77.0.0/24']);
  const controller = await world.controller();
  world.service('web/a');
  world.service('web/b');
  await world.clock.advance(10);
  const first = together(controller, ['web/a']);
  await world.clock.advance(4);
  const [[a], [b]] = await during(world.clock, Promise.all([first, together(controller, ['web/b'])]));
  assert.equal(a?.status, 'rejected');
  assert.equal(b?.status, 'fulfilled');
  assert.equal(addressesOfHolder(world, 'web/b').length, 1);
});

test('a block that loses its last address is closed and deleted, and comes back under another uid', async () => {
  const world = createWorld();
  world.pool('one', ['10.77.0.0/24']);
  world.service('web/a');
  const controller = await world.controller();
  await controller.ensure('web/a');
  const [before] = world.cluster.list(resources.ipblocks);
  await controller.remove('web/a');
  await world.clock.advance(10);
  assert.deepEqual(world.cluster.list(resources.ipblocks), []);
  world.service('web/b');
  await world.clock.advance(1);
  await controller.ensure('web/b');
  const [after] = world.cluster.list(resources.ipblocks);
  assert.equal(after?.metadata.name, before?.metadata.name);
  assert.notEqual(after?.metadata.uid, before?.metadata.uid);
});

test('a delete that comes late cannot take a reservation with it', async () => {
  let lateMs: number | undefined = 50;
  const world = createWorld({
    fault: (request) => {
      if (!isBlock(request, 'remove') || lateMs === undefined) return undefined;
      const fault: Fault = { code: unreachable, effect: { lateMs } };
      lateMs = undefined;
      return fault;
    },
  });
  world.pool('one', ['10.77.0.0/24']);
  world.service('web/a');
  const controller = await world.controller();
  await controller.ensure('web/a');
  await controller.remove('web/a');
  assert.equal(lateMs, undefined);
  world.service('web/b');
  await world.clock.advance(1);
  await controller.ensure('web/b'); // before the delete arrives
  const [before] = world.cluster.list(resources.ipblocks);
  await world.clock.advance(60_000);
  assert.deepEqual(world.cluster.list(resources.ipblocks), [before]);
  await controller.settle();
  assert.deepEqual(Object.values(world.reserved()), [['web/b']]);
});

test('a closed block is never written again: a reservation that comes during its deletion goes into the next one', async () => {
  let lateMs: number | undefined = 200;
  const world = createWorld({
    delayMs: () => 5,
    fault: (request) => {
      if (!isBlock(request, 'remove') || lateMs === undefined) return undefined;
      const fault: Fault = { code: unreachable, effect: { lateMs } };
      lateMs = undefined;
      return fault;
    },
  });
  world.pool('one', ['10.77.0.0/24']);
  world.service('web/a');
  const controller = await world.controller();
  await controller.ensure('web/a');
  world.service('web/b');
  await controller.remove('web/a'); // its delete is on its way
  await controller.ensure('web/b');
  assert.equal(lateMs, undefined);
  const [before] = world.cluster.list(resources.ipblocks);
  await world.clock.advance(60_000);
  assert.deepEqual(world.cluster.list(resources.ipblocks), [before]);
  assert.deepEqual(Object.values(world.reserved()), [['web/b']]);
});

test('a closed block left behind by a crash is deleted by the next process', async () => {
  let isCut = true;
  const world = createWorld({
    fault: (request) => (isCut && isBlock(request, 'remove') ? { code: 'FL_KUBE_DENIED' } : undefined),
  });
  world.pool('one', ['10.77.0.0/24']);
  world.service('web/a');
  const first = await world.controller();
  await first.ensure('web/a');
  await first.remove('web/a');
  first.context.kill();
  assert.equal(world.cluster.list(resources.ipblocks).length, 1);
  isCut = false;
  await world.controller({ identity: 'second' });
  await world.clock.advance(100);
  assert.deepEqual(world.cluster.list(resources.ipblocks), []);
});

test('a paused leader cannot give an address that the new leader gave: the version refuses its write', async () => {
  const world = createWorld({ delayMs: () => 5 });
  world.pool('one', ['10.77.0.0/24']);
  world.service('web/seed');
  const old = await world.controller({ identity: 'old' });
  await old.ensure('web/seed');
  world.service('web/a');
  await world.clock.advance(10);
  const run = old.provider.loadBalancers.ensure(old.spec('web/a'), old.context.call());
  old.context.pause(); // before its write is sent; it has taken 10.77.0.1 in memory
  await world.clock.advance(20_000);
  world.service('web/b', { created: '2026-01-01T00:00:00Z' }); // older: the new leader serves it first
  await world.clock.advance(10);
  const fresh = await world.controller({ identity: 'new' });
  await fresh.ensure('web/b');
  await fresh.ensure('web/a');
  assert.deepEqual(addressesOf(world.at('web/b')), ['10.77.0.1']);
  old.context.resume(); // its lease check comes too late for this one write
  await during(world.clock, Promise.allSettled([run]));
  await world.clock.advance(1000);
  const late = world.cluster.requests.filter(
    ({ by, verb, resource }) => by === 'old' && verb === 'patch' && resource === BLOCKS,
  );
  assert.equal(late.length, 1);
  assert.equal(world.cluster.writes.includes(late[0] as Write), false);
  const users = Object.values(world.reserved());
  assert.ok(
    users.every((each) => each.length === 1),
    JSON.stringify(world.reserved()),
  );
  assert.deepEqual(addressesOfHolder(world, 'web/a'), addressesOf(world.at('web/a')));
  assert.deepEqual(addressesOfHolder(world, 'web/b'), addressesOf(world.at('web/b')));
});

test('a process that does not lead writes nothing, and says so', async () => {
  const world = createWorld();
  world.pool('one', ['10.77.0.0/24']);
  const controller = await world.controller();
  await world.clock.advance(100);
  world.service('web/a');
  await world.clock.advance(1);
  controller.context.leads = false;
  const writes = world.cluster.writes.length;
  assert.deepEqual(await controller.outcome('web/a'), { error: 'FL_KUBE_NOT_LEADER' });
  assert.equal(world.cluster.writes.length, writes);
});

test('conflicts without end fail as a conflict, and the address is free again', async () => {
  let isBusy = true;
  const world = createWorld({
    fault: (request) => (isBusy && isBlock(request, 'create') ? { code: 'FL_KUBE_EXISTS' } : undefined),
  });
  world.pool('one', ['10.77.0.0/32']);
  world.service('web/a');
  const controller = await world.controller();
  assert.deepEqual(await controller.outcome('web/a'), { error: 'FL_KUBE_EXISTS' });
  world.service('web/b');
  await world.clock.advance(1);
  isBusy = false;
  await controller.ensure('web/b');
  assert.deepEqual(world.reserved(), { '10.77.0.0': ['web/b'] });
});

test('a caller that gives up leaves its write to the others, and finds it done later', async () => {
  const world = createWorld({ delayMs: () => 50 });
  world.pool('one', ['10.77.0.0/24']);
  const controller = await world.controller();
  world.service('web/a');
  await world.clock.advance(100);
  const aborted = new AbortController();
  const run = controller.provider.loadBalancers.ensure(
    controller.spec('web/a'),
    controller.context.call(aborted.signal),
  );
  await world.clock.advance(10);
  aborted.abort(new Error('deadline'));
  await assert.rejects(during(world.clock, run), /deadline/);
  await world.clock.advance(1000);
  const writes = blockWrites(world).length;
  await controller.ensure('web/a');
  assert.equal(blockWrites(world).length, writes);
  assert.deepEqual(addressesOf(world.at('web/a')), ['10.77.0.0']);
});

test('blocks that wait for each other and are refused rest between two tries', async () => {
  let isCut = false;
  let tries = 0;
  const world = createWorld({
    fault({ resource, verb }) {
      if (!isCut || resource !== BLOCKS || verb === 'get') return undefined;
      tries += 1;
      return { code: 'FL_KUBE_DENIED' };
    },
  });
  world.pool('one', ['10.77.0.0/24', 'fd01::/120']);
  world.service('web/a', { spec: { ipFamilyPolicy: 'RequireDualStack', clusterIPs: ['10.96.0.1', 'fd00::1'] } });
  const controller = await world.controller();
  await controller.settle();
  isCut = true;
  world.drop('web/a'); // without its finalizer: both addresses are freed in one change that insists
  await world.clock.advance(90_000);
  assert.ok(tries > 4 && tries < 30, `${tries} tries in a minute`);
  isCut = false;
  await world.clock.advance(60_000);
  assert.deepEqual(world.reserved(), {});
});
