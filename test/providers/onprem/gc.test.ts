import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { IPBlock } from '../../../providers/onprem/blocks.ts';
import {
  clean,
  freeOrphans,
  type World as GcWorld,
  orphansOf,
  releaseAll,
  resources,
} from '../../../providers/onprem/index.ts';
import type { Service } from '../../../src/core/objects.ts';
import { addressesOf, createWorld, during, type World } from './world.ts';

const STANDARD = 'service.kubernetes.io/load-balancer-cleanup';
const OWN = 'fairlead.dev/load-balancer';

async function used() {
  const world = createWorld();
  world.pool('one', ['10.77.0.0/24', '10.78.0.0/24']);
  const annotations = { 'metallb.io/allow-shared-ip': 'k' };
  world.service('web/a', { annotations });
  world.service('web/b', { annotations, spec: { ports: [{ protocol: 'UDP', port: 53 }] } });
  world.service('web/c', { annotations: { 'metallb.io/loadBalancerIPs': '10.78.0.9' } });
  const controller = await world.controller();
  await controller.settle();
  for (const key of ['web/a', 'web/b', 'web/c']) {
    const service = world.at(key);
    const finalizers = ['example.com/theirs', STANDARD];
    world.cluster.put(resources.services, { ...service, metadata: { ...service.metadata, finalizers } });
  }
  controller.context.kill();
  return { world, caller: world.cluster.context({ identity: 'gc' }) };
}
const seen = ({ cluster }: World): GcWorld => ({
  blocks: cluster.list(resources.ipblocks) as unknown as IPBlock[],
  services: cluster.list(resources.services) as Service[],
});

test('without orphans there is nothing to free', async () => {
  const { world } = await used();
  assert.deepEqual(orphansOf(seen(world)), []);
  assert.deepEqual(freeOrphans(seen(world)), []);
});

test('orphans are found by uid; what others use of an address stays', async () => {
  const { world, caller } = await used();
  const { uid } = world.at('web/a').metadata;
  world.drop('web/a');
  world.drop('web/c');
  world.service('web/a', { uid: 'another' });
  const orphans = orphansOf(seen(world));
  assert.deepEqual(
    orphans.map(({ key, addresses }) => [key, addresses]),
    [
      ['web/a', ['10.77.0.0']],
      ['web/c', ['10.78.0.9']],
    ],
  );
  assert.equal(orphans[0]?.uid, uid);
  const cleanups = freeOrphans(seen(world));
  assert.deepEqual(
    cleanups.map(({ kind, target, reason }) => [kind, target, reason]),
    [
      ['free', '10.77.0.0-24', 'no such Service any more: web/a'],
      ['free', '10.78.0.0-24', 'no such Service any more: web/c'],
    ],
  );
  for (const cleanup of cleanups) await during(world.clock, clean(cleanup, caller.kube, caller.call()));
  assert.deepEqual(world.reserved(), { '10.77.0.0': ['web/b'] });
  assert.deepEqual(orphansOf(seen(world)), []);
});

test('a block that changed since it was looked at is not touched', async () => {
  const { world, caller } = await used();
  world.drop('web/c');
  const [cleanup] = freeOrphans(seen(world));
  const next = await world.controller({ identity: 'next' });
  world.service('web/d', { annotations: { 'metallb.io/loadBalancerIPs': '10.78.0.8' } });
  await next.settle();
  assert.ok(cleanup !== undefined);
  await assert.rejects(during(world.clock, clean(cleanup, caller.kube, caller.call())), { code: 'FL_KUBE_CONFLICT' });
});

test('release-all takes finalizers and blocks away, leaves foreign finalizers and what is published', async () => {
  const { world, caller } = await used();
  const theirs = world.service('web/theirs', { spec: { loadBalancerClass: 'example.com/lb' } });
  world.cluster.put(resources.services, { ...theirs, metadata: { ...theirs.metadata, finalizers: [STANDARD] } });
  const typed = world.service('web/typed', { spec: { type: 'ClusterIP' } });
  world.cluster.put(resources.services, { ...typed, metadata: { ...typed.metadata, finalizers: [OWN] } });
  const before = ['web/a', 'web/b', 'web/c'].map((key) => addressesOf(world.at(key)));
  const cleanups = releaseAll(seen(world), ['none', 'fairlead.dev/onprem']);
  assert.deepEqual(
    cleanups.map(({ kind, target }) => `${kind} ${target}`),
    [
      'remove-finalizer web/a',
      'remove-finalizer web/b',
      'remove-finalizer web/c',
      'remove-finalizer web/typed',
      'delete-block 10.77.0.0-24',
      'delete-block 10.78.0.0-24',
    ],
  );
  for (const cleanup of cleanups) await during(world.clock, clean(cleanup, caller.kube, caller.call()));
  for (const cleanup of cleanups.slice(4)) await during(world.clock, clean(cleanup, caller.kube, caller.call())); // safe to repeat
  assert.deepEqual(
    ['web/a', 'web/b', 'web/c'].map((key) => addressesOf(world.at(key))),
    before,
  );
  assert.deepEqual(world.at('web/a').metadata.finalizers, ['example.com/theirs']);
  assert.deepEqual(world.at('web/theirs').metadata.finalizers, [STANDARD]);
  assert.deepEqual(world.cluster.list(resources.ipblocks), []);
  assert.deepEqual(releaseAll(seen(world), ['none']), []);
});
