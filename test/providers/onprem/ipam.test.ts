import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { IpamPlugin, IpamWish } from '../../../providers/onprem/index.ts';
import { resources } from '../../../providers/onprem/index.ts';
import { addressesOf, createWorld, type World } from './world.ts';

/** An address management as it should be: idempotent by uid, and it never gives one address to two. */
function createIpam(range: readonly string[]) {
  const held = new Map<string, string[]>(); // uid -> addresses
  const calls: string[] = [];
  let broken: Error | undefined;
  const plugin: IpamPlugin = {
    async claim({ uid, name, families, count, requested }: IpamWish) {
      calls.push(`claim ${name}`);
      if (broken !== undefined) throw broken;
      const mine = held.get(uid) ?? [];
      const taken = [...held].flatMap(([other, addresses]) => (other === uid ? [] : addresses));
      const wanted = requested.length > 0 ? requested : range;
      for (const address of wanted)
        if (mine.length < families.length * count && !taken.includes(address) && !mine.includes(address))
          mine.push(address);
      held.set(uid, mine);
      return mine;
    },
    async release({ uid, addresses }) {
      calls.push(`release ${addresses.join(',')}`);
      if (broken !== undefined) throw broken;
      const all = held.get(uid) ?? [];
      const left = addresses.length === 0 ? [] : all.filter((address) => !addresses.includes(address));
      if (left.length === 0) held.delete(uid);
      else held.set(uid, left);
    },
  };
  return {
    plugin,
    calls,
    held: () => [...held.values()].flat().sort(),
    breakWith(error: Error | undefined) {
      broken = error;
    },
  };
}

async function withIpam(range = ['10.77.0.50', '10.77.0.40', '10.77.0.30'], world: World = createWorld()) {
  const ipam = createIpam(range);
  world.pool('one', ['10.77.0.0/24']);
  const controller = await world.controller({ config: { ipam: ipam.plugin } });
  return { world, ipam, controller };
}

test('the plug-in chooses: claim before the block, release after it, each once', async () => {
  const { world, ipam, controller } = await withIpam();
  world.service('web/a');
  await world.clock.advance(1);
  await controller.ensure('web/a');
  await controller.ensure('web/a');
  assert.deepEqual(addressesOf(world.at('web/a')), ['10.77.0.50']);
  await controller.remove('web/a');
  assert.deepEqual(ipam.calls, ['claim a', 'release 10.77.0.50']);
  assert.deepEqual(ipam.held(), []);
  assert.deepEqual(world.reserved(), {});
});

test('an address outside of every pool is refused, and given back with its Service', async () => {
  const { world, ipam, controller } = await withIpam(['10.99.0.1']);
  world.service('web/a');
  await world.clock.advance(1);
  await assert.rejects(controller.ensure('web/a'), { code: 'FL_ADDRESS_NOT_IN_POOL', message: /the IPAM plug-in/ });
  await controller.remove('web/a');
  assert.deepEqual(ipam.held(), []);
});

test('a changed request is claimed anew, and what is given up goes back', async () => {
  const { world, ipam, controller } = await withIpam();
  world.service('web/a');
  await world.clock.advance(1);
  await controller.ensure('web/a');
  world.service('web/a', { annotations: { 'fairlead.dev/address-count': '2' } });
  await world.clock.advance(1);
  await controller.ensure('web/a');
  assert.deepEqual(addressesOf(world.at('web/a')), ['10.77.0.40', '10.77.0.50']);
  world.service('web/a', { annotations: {} });
  await world.clock.advance(1);
  await controller.settle();
  assert.equal(addressesOf(world.at('web/a')).length, 1);
  assert.deepEqual(ipam.held(), addressesOf(world.at('web/a')));
});

test('a crash between claim and block, and between block and release, leaves nothing behind', async () => {
  for (let crash = 0; crash < 8; crash += 1) {
    let isDead = false;
    let steps = 0;
    const world = createWorld();
    const ipam = createIpam(['10.77.0.50', '10.77.0.40']);
    const step = () => {
      steps += 1;
      if (steps > crash) isDead = true;
      if (isDead) return new Promise<never>(() => {});
      return undefined;
    };
    const mortal: IpamPlugin = {
      async claim(wish, signal) {
        await step();
        const addresses = await ipam.plugin.claim(wish, signal);
        await step();
        return addresses;
      },
      async release(what, signal) {
        await step();
        await ipam.plugin.release(what, signal);
        await step();
      },
    };
    world.pool('one', ['10.77.0.0/24']);
    world.service('web/a');
    const first = await world.controller({ config: { ipam: mortal } });
    void first.run('web/a').catch(() => {});
    await world.clock.advance(100);
    if (!isDead) {
      const { uid } = world.at('web/a').metadata;
      const dying = { ...world.at('web/a').metadata, deletionTimestamp: '2026-11-20T12:00:01Z' };
      world.cluster.put(resources.services, { ...world.at('web/a'), metadata: dying });
      await world.clock.advance(1);
      void first.provider.loadBalancers.remove({ uid, key: 'web/a' }, first.context.call()).catch(() => {});
      await world.clock.advance(100);
    }
    first.context.kill();
    const second = await world.controller({ identity: 'second', config: { ipam: ipam.plugin } });
    await second.remove('web/a');
    await world.clock.advance(40_000);
    assert.deepEqual(ipam.held(), [], `crash after step ${crash}`);
    assert.deepEqual(world.reserved(), {}, `crash after step ${crash}`);
  }
});

test('what a Service held that is gone is given back at the start of the next process', async () => {
  const { world, ipam, controller } = await withIpam();
  world.service('web/a');
  await world.clock.advance(1);
  await controller.ensure('web/a');
  controller.context.kill();
  world.drop('web/a');
  await world.controller({ identity: 'second', config: { ipam: ipam.plugin } });
  await world.clock.advance(40_000);
  assert.deepEqual(ipam.held(), []);
  assert.deepEqual(world.reserved(), {});
});

test('a plug-in that fails is asked again; its words are in the error', async () => {
  const { world, ipam, controller } = await withIpam();
  world.service('web/a');
  await world.clock.advance(1);
  ipam.breakWith(new Error('netbox is away'));
  await assert.rejects(controller.ensure('web/a'), {
    kind: 'transient',
    code: 'FL_IPAM_FAILED',
    message: /netbox is away/,
  });
  ipam.breakWith(undefined);
  await controller.ensure('web/a');
  assert.deepEqual(addressesOf(world.at('web/a')), ['10.77.0.50']);
});

for (const answer of [[], ['not an address'], 'text', [10], undefined]) {
  test(`an answer ${JSON.stringify(answer) ?? 'undefined'} of claim is an error of the plug-in`, async () => {
    const world = createWorld();
    world.pool('one', ['10.77.0.0/24']);
    world.service('web/a');
    const plugin = { claim: async () => answer, release: async () => {} };
    const controller = await world.controller({ config: { ipam: plugin } });
    await assert.rejects(controller.ensure('web/a'), { code: 'FL_IPAM_FAILED' });
  });
}

test('a plug-in is loaded from a path, and what is wrong with it is said', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'ipam-'));
  try {
    const good = join(folder, 'good.mjs');
    writeFileSync(good, `export const claim = async () => ['10.77.0.7'];\nexport const release = async () => {};\n`);
    const bad = join(folder, 'bad.mjs');
    writeFileSync(bad, 'export const claim = 1;\n');
    const world = createWorld();
    world.pool('one', ['10.77.0.0/24']);
    world.service('web/a');
    for (const [path, message] of [
      [bad, /must export the functions "claim" and "release"/],
      [join(folder, 'none.mjs'), /does not load/],
    ] as const)
      await assert.rejects(createFor(world, path), { code: 'FL_IPAM_MODULE', message });
    const controller = await createFor(world, good);
    await controller.ensure('web/a');
    assert.deepEqual(addressesOf(world.at('web/a')), ['10.77.0.7']);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

/** Importing takes real time, which a virtual clock does not wait for: load it once before. */
async function createFor(world: World, path: string) {
  await import(path).catch(() => {});
  return await world.controller({ config: { ipam: path } });
}

test('an address of the plug-in that is in no pool is refused once, and asked for again when the pools change', async () => {
  const { world, ipam, controller } = await withIpam(['192.0.2.1']);
  world.service('web/a');
  await world.clock.advance(1);
  assert.deepEqual(await controller.outcome('web/a'), { error: 'FL_ADDRESS_NOT_IN_POOL' });
  assert.deepEqual(controller.context.resyncs, [], 'that our pools have room is no reason to ask again at once');
  world.pool('two', ['192.0.2.0/24']);
  await controller.settle();
  assert.deepEqual(addressesOf(world.at('web/a')), ['192.0.2.1']);
  assert.deepEqual(ipam.held(), ['192.0.2.1']);
});

test('with a plug-in too, nothing is owned of a Service that was never ours', async () => {
  const { world, ipam, controller } = await withIpam();
  const standard = ['service.kubernetes.io/load-balancer-cleanup'];
  const put = (key: string, spec: object, metadata: object) => {
    const service = world.service(key, { spec });
    world.cluster.put(resources.services, { ...service, metadata: { ...service.metadata, ...metadata } });
  };
  const deleting = { deletionTimestamp: '2026-11-20T12:00:00Z' };
  put('web/node-port', { type: 'NodePort' }, { finalizers: standard });
  put('web/foreign', { loadBalancerClass: 'other.dev/lb' }, { finalizers: standard, ...deleting });
  put(
    'web/ours',
    { loadBalancerClass: 'fairlead.dev/onprem' },
    { finalizers: ['fairlead.dev/load-balancer'], ...deleting },
  );
  await world.clock.advance(1);
  const owned = async (key: string) => {
    const { uid } = world.at(key).metadata;
    const stages = await controller.provider.loadBalancers.preview(undefined, { uid, key }, controller.context.call());
    return stages.flat().map(({ kind }) => kind);
  };
  assert.deepEqual(await owned('web/node-port'), []);
  assert.deepEqual(await owned('web/foreign'), []);
  assert.deepEqual(await owned('web/ours'), ['unclaim'], 'a claim may have come before a crash');
  assert.deepEqual(ipam.calls, []);
});
