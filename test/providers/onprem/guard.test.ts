import assert from 'node:assert/strict';
import { test } from 'node:test';
import { resources } from '../../../providers/onprem/index.ts';
import { addressesOf, createWorld, METALLB, type World } from './world.ts';

interface State {
  readonly metadata: { readonly labels: Readonly<Record<string, string>> };
  readonly status: {
    readonly result: string;
    readonly errorSummary: string;
    readonly conditions: readonly {
      readonly type: string;
      readonly status: string;
      readonly reason: string;
      readonly message: string;
    }[];
  };
}
const state = ({ cluster }: World) =>
  cluster.get(resources.configurationstates, `${METALLB}/controller`) as unknown as State;
const events = ({ cluster }: World) =>
  cluster.list(resources.events) as unknown as readonly {
    readonly reason: string;
    readonly type: string;
    readonly message: string;
    readonly involvedObject: { readonly kind: string; readonly name: string; readonly uid: string };
  }[];
const lastGood = ({ cluster }: World) => {
  const map = cluster.get(resources.configmaps, `${METALLB}/fairlead-last-good-pools`) as unknown as {
    data: { 'pools.json': string };
  };
  return JSON.parse(map.data['pools.json']) as { metadata: { name: string }; spec: { addresses: string[] } }[];
};

async function served() {
  const world = createWorld();
  const pool = world.pool('one', ['10.77.0.0/30']);
  for (const key of ['web/a', 'web/b']) world.service(key);
  const controller = await world.controller();
  await controller.settle();
  await world.clock.advance(2000);
  return { world, controller, pool };
}

test('valid pools show on the ConfigurationState and in the ConfigMap of the last good ones', async () => {
  const { world } = await served();
  const { metadata, status } = state(world);
  assert.deepEqual(metadata.labels, { 'metallb.io/component-type': 'controller' });
  assert.deepEqual(status, {
    result: 'Valid',
    errorSummary: '',
    conditions: [
      {
        type: 'poolReconcilerValid',
        status: 'True',
        reason: 'Reconciled',
        message: '',
        lastTransitionTime: '2026-11-20T12:00:00Z',
      },
    ],
  });
  assert.deepEqual(lastGood(world), [
    { metadata: { name: 'one', namespace: METALLB }, spec: { addresses: ['10.77.0.0/30'] } },
  ]);
});

const edits: readonly { readonly name: string; readonly edit: (world: World) => void; readonly message: RegExp }[] = [
  {
    name: 'that is no range',
    edit: (world) => world.pool('one', ['10.77.0.9-10.77.0.1']),
    message: /IPAddressPool one: spec\.addresses\[0\]: "10\.77\.0\.9-10\.77\.0\.1" ends before it begins/,
  },
  {
    name: 'that overlaps another pool',
    edit: (world) => world.pool('two', ['10.77.0.2/31']),
    message: /IPAddressPool two: .*10\.77\.0\.2\/31/,
  },
  {
    name: 'with an annotation of ours that makes no sense',
    edit: (world) => world.pool('one', ['10.77.0.0/30'], { annotations: { 'fairlead.dev/order': 'best' } }),
    message: /IPAddressPool one: metadata\.annotations\["fairlead\.dev\/order"\]/,
  },
  {
    name: 'that takes away addresses in use',
    edit: (world) => world.pool('one', ['10.77.0.1/32']),
    message:
      /IPAddressPool one: spec\.addresses: the edit takes away addresses in use: 10\.77\.0\.0 \(web\/a\).*allow-shrink/,
  },
  {
    name: 'that deletes a pool in use',
    edit: (world) => world.cluster.drop(resources.ipaddresspools, `${METALLB}/one`),
    message:
      /IPAddressPool one: metadata\.name: it was deleted with addresses in use: 10\.77\.0\.0 \(web\/a\), 10\.77\.0\.1 \(web\/b\).*allow-shrink/,
  },
];
for (const { name, edit, message } of edits) {
  test(`an edit ${name} is not taken: the last good pools stay, also over a restart`, async () => {
    const { world, controller } = await served();
    edit(world);
    await world.clock.advance(2000);
    const { status } = state(world);
    assert.equal(status.result, 'Invalid');
    assert.match(status.errorSummary, message);
    assert.deepEqual(
      status.conditions.map(({ type, status: value, reason }) => [type, value, reason]),
      [['poolReconcilerValid', 'False', 'ConfigurationError']],
    );
    const [event, ...more] = events(world);
    assert.equal(more.length, 0);
    assert.equal(event?.type, 'Warning');
    assert.equal(event?.reason, 'PoolNotTaken');
    assert.equal(event?.involvedObject.kind, 'IPAddressPool');
    assert.match(event?.message ?? '', message);
    assert.equal(lastGood(world)[0]?.spec.addresses[0], '10.77.0.0/30');

    world.service('web/c');
    await controller.settle();
    assert.deepEqual(addressesOf(world.at('web/c')), ['10.77.0.2']);
    controller.context.kill();

    const next = await world.controller({ identity: 'next' });
    world.service('web/d');
    await next.settle();
    assert.deepEqual(world.reserved(), {
      '10.77.0.0': ['web/a'],
      '10.77.0.1': ['web/b'],
      '10.77.0.2': ['web/c'],
      '10.77.0.3': ['web/d'],
    });
    assert.match(next.provider.objections()[0]?.message ?? '', message);
    const again = events(world).filter(({ message: text }) => text === event?.message);
    assert.equal(again.length, 1, 'told again by the next process');
  });
}

test('a corrected edit is taken at once, and the state says so', async () => {
  const { world, controller } = await served();
  world.pool('one', ['rubbish']);
  await world.clock.advance(2000);
  world.pool('one', ['10.77.0.0/29']);
  await world.clock.advance(2000);
  assert.equal(state(world).status.result, 'Valid');
  assert.deepEqual(controller.provider.objections(), []);
  assert.equal(lastGood(world)[0]?.spec.addresses[0], '10.77.0.0/29');
});

test('an edit that would strand an address is taken as soon as nobody uses that address any more', async () => {
  const { world, controller } = await served();
  world.pool('one', ['10.77.0.1/32']);
  await world.clock.advance(2000);
  assert.equal(state(world).status.result, 'Invalid');
  await controller.remove('web/a');
  await world.clock.advance(2000);
  assert.equal(state(world).status.result, 'Valid');
  assert.equal(lastGood(world)[0]?.spec.addresses[0], '10.77.0.1/32');
});

test('with allow-shrink an address may lose its pool: its Service gets another one, make before break', async () => {
  const { world, controller } = await served();
  world.pool('one', ['10.77.0.1-10.77.0.3'], { annotations: { 'fairlead.dev/allow-shrink': 'true' } });
  await controller.settle();
  assert.deepEqual(addressesOf(world.at('web/a')), ['10.77.0.2']);
  assert.deepEqual(addressesOf(world.at('web/b')), ['10.77.0.1']);
  assert.deepEqual(world.reserved(), { '10.77.0.1': ['web/b'], '10.77.0.2': ['web/a'] });
});

test('with allow-shrink and nothing left, the published address goes: it is not its own any more', async () => {
  const { world, controller } = await served();
  world.pool('one', ['10.78.0.0/32'], { annotations: { 'fairlead.dev/allow-shrink': 'true' } });
  await controller.settle();
  assert.deepEqual(addressesOf(world.at('web/a')), ['10.78.0.0']);
  assert.deepEqual(addressesOf(world.at('web/b')), []);
  assert.deepEqual(world.reserved(), { '10.78.0.0': ['web/a'] });
  assert.deepEqual(await controller.outcome('web/b'), { error: 'FL_POOL_EXHAUSTED' });
});

test('a renamed pool keeps its addresses; blocks and annotations follow, one write for all', async () => {
  const { world, controller } = await served();
  const before = world.cluster.writes.length;
  world.cluster.put(resources.ipaddresspools, {
    metadata: { namespace: METALLB, name: 'uno' },
    spec: { addresses: ['10.77.0.0/30'] },
  });
  world.cluster.drop(resources.ipaddresspools, `${METALLB}/one`);
  await controller.settle();
  assert.deepEqual(addressesOf(world.at('web/a')), ['10.77.0.0']);
  assert.equal(world.at('web/a').metadata.annotations?.['metallb.io/ip-allocated-from-pool'], 'uno');
  const blocks = world.cluster.writes.slice(before).filter(({ resource }) => resource === 'ipblocks.fairlead.dev');
  assert.equal(blocks.length, 1);
});

test('without valid pools and without last good ones, what is published stays and nothing new is given', async () => {
  const world = createWorld();
  world.pool('one', ['rubbish']);
  world.service('web/a', { ingress: ['10.77.0.0'] });
  world.service('web/b');
  const controller = await world.controller();
  assert.deepEqual(await controller.outcome('web/b'), { error: 'FL_POOL_INVALID' });
  assert.deepEqual(await controller.outcome('web/a'), { error: 'FL_POOL_INVALID' });
  assert.deepEqual(addressesOf(world.at('web/a')), ['10.77.0.0']);
  world.pool('one', ['10.77.0.0/24']);
  await controller.settle();
  assert.deepEqual(world.reserved(), { '10.77.0.0': ['web/a'], '10.77.0.1': ['web/b'] });
});

test('reserved addresses stay while there are no valid pools', async () => {
  const { world, controller } = await served();
  controller.context.kill();
  world.cluster.drop(resources.configmaps, `${METALLB}/fairlead-last-good-pools`);
  world.pool('one', ['rubbish']);
  const next = await world.controller({ identity: 'next' });
  await next.settle();
  const progress = await next.ensure('web/a');
  assert.equal(progress.state, 'ready');
  assert.deepEqual(progress.state === 'ready' && progress.shortfalls?.[0]?.reason, 'StaleSpec');
  assert.deepEqual(world.reserved(), { '10.77.0.0': ['web/a'], '10.77.0.1': ['web/b'] });
  assert.deepEqual(addressesOf(world.at('web/b')), ['10.77.0.1']);
});

test('last good pools that cannot be read are asked for again, never taken for none', async () => {
  const { world, controller } = await served();
  controller.context.kill();
  world.pool('one', ['10.77.0.1/32']); // would strand web/a, if nobody knew what was good before
  let failures = 3;
  const broken = createWorld({
    fault: ({ resource }) =>
      resource === 'configmaps' && failures-- > 0 ? { code: 'FL_KUBE_UNREACHABLE' } : undefined,
  });
  for (const kind of [resources.ipaddresspools, resources.services, resources.ipblocks, resources.configmaps])
    for (const object of world.cluster.list(kind)) broken.cluster.put(kind, object);
  const next = await broken.controller({ identity: 'next' });
  assert.equal(failures, -1);
  assert.match(next.provider.objections()[0]?.message ?? '', /takes away addresses in use/);
});

test('a missing kind ConfigurationState is no failure, and said once', async () => {
  const world = createWorld({ missing: ['configurationstates.metallb.io'] });
  world.pool('one', ['10.77.0.0/24']);
  world.service('web/a');
  const controller = await world.controller();
  await controller.settle();
  world.pool('one', ['10.77.0.0/23']);
  await controller.settle();
  assert.deepEqual(addressesOf(world.at('web/a')), ['10.77.0.0']);
  assert.equal(
    controller.context.complaints.filter(({ message }) => message.includes('configurationstates')).length,
    1,
  );
});

test('a pool that selects namespaces by labels follows the labels', async () => {
  const world = createWorld();
  world.pool('one', ['10.77.0.0/24'], {
    spec: { serviceAllocation: { namespaceSelectors: [{ matchLabels: { team: 'a' } }] } },
  });
  world.cluster.put(resources.namespaces, { metadata: { name: 'web' } });
  world.service('web/a');
  const controller = await world.controller();
  assert.deepEqual(await controller.outcome('web/a'), { error: 'FL_POOL_MISSING' });
  world.cluster.put(resources.namespaces, { metadata: { name: 'web', labels: { team: 'a' } } });
  await controller.settle();
  assert.deepEqual(addressesOf(world.at('web/a')), ['10.77.0.0']);
});

test('pool status counts exactly, the greatest int64 too, at most once a second and only when it differs', async () => {
  const world = createWorld();
  world.pool('one', ['10.77.0.0/24', '2001:db8::/64']);
  const controller = await world.controller();
  await world.clock.advance(5000);
  const patches = () =>
    world.cluster.requests.filter(
      ({ subresource, resource }) => subresource === 'status' && resource === 'ipaddresspools.metallb.io',
    );
  assert.equal(patches().length, 1);
  for (let index = 0; index < 10; index += 1) {
    world.service(`web/s${index}`);
    await world.clock.advance(1);
    await controller.ensure(`web/s${index}`);
    await world.clock.advance(200);
  }
  await world.clock.advance(5000);
  assert.ok(patches().length <= 5, `${patches().length} patches in 2 seconds`);
  const { status } = world.cluster.get(resources.ipaddresspools, `${METALLB}/one`) as unknown as { status: unknown };
  assert.deepEqual(status, {
    assignedIPv4: 10,
    assignedIPv6: 0,
    availableIPv4: 246,
    availableIPv6: 9223372036854775807n,
  });
  const count = patches().length;
  controller.context.kill();
  await world.controller({ identity: 'next' });
  await world.clock.advance(5000);
  assert.equal(patches().length, count);
});

test('a pool that is deleted in use and made again as it was shows its counts again', async () => {
  const { world } = await served();
  const status = () => (world.cluster.get(resources.ipaddresspools, `${METALLB}/one`) as { status?: object }).status;
  const shown = status();
  assert.notEqual(shown, undefined);
  world.cluster.drop(resources.ipaddresspools, `${METALLB}/one`);
  await world.clock.advance(1000);
  world.pool('one', ['10.77.0.0/30']);
  assert.equal(status(), undefined);
  await world.clock.advance(2000);
  assert.deepEqual(status(), shown);
});

for (const { what, path } of [
  { what: 'the counts of a pool', path: 'ipaddresspools.metallb.io' },
  { what: 'the last good pools', path: 'configmaps' },
])
  test(`what a deposed leader sends late does not stand over a newer leader's word: ${what}`, async () => {
    let isLate = false;
    const world = createWorld({
      fault: ({ by, resource, verb }) =>
        isLate && by === 'first' && resource === path && verb === 'patch'
          ? { code: 'FL_KUBE_UNREACHABLE', effect: { lateMs: 20_000 } }
          : undefined,
    });
    world.pool('one', ['10.77.0.0/30']);
    world.service('web/a');
    const first = await world.controller({ identity: 'first' });
    await first.settle();
    await world.clock.advance(2000);
    const shown = () => ({
      status: (world.cluster.get(resources.ipaddresspools, `${METALLB}/one`) as { status?: object }).status,
      pools: lastGood(world),
    });
    isLate = true;
    world.pool('one', ['10.77.0.0/29']);
    await world.clock.advance(1500);
    first.context.kill();
    const second = await world.controller({ identity: 'second' });
    world.pool('one', ['10.77.0.0/28']);
    await world.clock.advance(3000);
    await second.settle();
    const before = shown();
    assert.deepEqual(before.pools[0]?.spec.addresses, ['10.77.0.0/28']);
    await world.clock.advance(30_000);
    assert.deepEqual(shown(), before);
  });
