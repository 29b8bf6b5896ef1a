/** The cloud-node controller in virtual time, on the API server in memory and the memory cloud. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createFakeProvider } from '../fake/provider.ts';
import { addressesOf, createNodeRig, nodeDefaults, taintsOf, uninitialized } from './node/rig.ts';
import { type Replica, SOON_MS } from './rig.ts';

const IP = 'alpha.kubernetes.io/provided-node-ip';
const endless = { times: Number.POSITIVE_INFINITY } as const;
const labels = {
  'beta.kubernetes.io/instance-type': 'small',
  'failure-domain.beta.kubernetes.io/region': 'r1',
  'failure-domain.beta.kubernetes.io/zone': 'z1',
  'node.kubernetes.io/instance-type': 'small',
  'topology.kubernetes.io/region': 'r1',
  'topology.kubernetes.io/zone': 'z1',
};
/** 'PATCH nodes/a/status merge' and the like, of writes to Nodes. */
const writesOf = (replica: Replica) =>
  replica.writes().map(({ method, path }) => `${method} ${path.split('?')[0]?.replace('/api/v1/', '')}`);

test('a new node gets providerID and labels, then addresses, and last it loses the taint; it is told once', async (t) => {
  const rig = createNodeRig(t);
  const replica = await rig.start();
  rig.machine('a', { labels: { 'my.org/rack': '7', 'kubernetes.io/no': 'x' } });
  await rig.join('a', { labels: { mine: 'x' } });
  await rig.clock.advance(SOON_MS);
  const node = rig.get('a');
  assert.equal(node.spec.providerID, 'memory://m-a');
  assert.deepEqual(node.metadata.labels, { ...labels, mine: 'x', 'my.org/rack': '7' });
  assert.deepEqual(addressesOf(node), ['InternalIP 10.0.0.1', 'Hostname a']);
  assert.deepEqual(taintsOf(node), []);
  assert.deepEqual(writesOf(replica), ['PATCH nodes/a', 'PATCH nodes/a/status', 'PATCH nodes/a']);
  assert.deepEqual(rig.events('a'), ['Normal Synced: Node synced successfully']);
  assert.equal(await replica.metric('fairlead_actions_total', { controller: 'cloud-node', outcome: 'ok' }), 3);
  const owners = new Set(node.metadata.managedFields?.map(({ manager }) => manager));
  assert.ok(owners.has('fairlead'));
});

test('every write carries the uid, and no list goes whole but the addresses', async (t) => {
  const rig = createNodeRig(t);
  const replica = await rig.start();
  rig.machine('a');
  await rig.join('a');
  await rig.clock.advance(SOON_MS);
  const { uid } = rig.get('a').metadata;
  const bodies = replica.writes().map(({ body }) => JSON.parse(body ?? '') as unknown);
  assert.deepEqual(bodies, [
    { metadata: { uid, labels }, spec: { providerID: 'memory://m-a' } },
    {
      metadata: { uid },
      status: {
        addresses: [
          { type: 'InternalIP', address: '10.0.0.1' },
          { type: 'Hostname', address: 'a' },
        ],
      },
    },
    [
      { op: 'test', path: '/metadata/uid', value: uid },
      { op: 'test', path: '/spec/taints/0', value: uninitialized },
      { op: 'remove', path: '/spec/taints/0' },
    ],
  ]);
});

test('a hundred nodes that join within a second are a few questions to the cloud', async (t) => {
  const rig = createNodeRig(t);
  await rig.start();
  const before = rig.asked();
  for (let n = 0; n < 100; n += 1) {
    rig.machine(`n${n}`);
    await rig.join(`n${n}`);
  }
  await rig.clock.advance(3000);
  for (let n = 0; n < 100; n += 1) assert.deepEqual(taintsOf(rig.get(`n${n}`)), []);
  assert.ok(rig.asked() - before <= 3, `${rig.asked() - before} questions`);
});

test('settled nodes are compared in one question every five minutes, and nothing is written', async (t) => {
  const rig = createNodeRig(t);
  for (const name of ['a', 'b', 'c']) {
    rig.machine(name);
    await rig.join(name);
  }
  const replica = await rig.start();
  await rig.clock.advance(10_000);
  const [asked, written] = [rig.asked(), replica.writes().length];
  await rig.clock.advance(900_000);
  assert.deepEqual([rig.asked() - asked, replica.writes().length - written], [3, 0]);
  const again = await rig.start({ name: 'two', lease: 'none' });
  await rig.clock.advance(10_000);
  assert.deepEqual(again.writes(), [], 'neither after a restart');
});

test('what changes at the instance is seen within the period: zone, type and addresses', async (t) => {
  const rig = createNodeRig(t);
  rig.machine('a');
  await rig.join('a');
  const replica = await rig.start();
  await rig.clock.advance(10_000);
  const written = replica.writes().length;
  rig.machine('a', {
    zone: 'z2',
    type: 'large',
    addresses: [
      { type: 'InternalIP', address: '10.0.0.2' },
      { type: 'InternalIP', address: 'fd00::2' },
    ],
  });
  await rig.clock.advance(300_000);
  const node = rig.get('a');
  assert.deepEqual(
    [node.metadata.labels?.['topology.kubernetes.io/zone'], node.metadata.labels?.['node.kubernetes.io/instance-type']],
    ['z2', 'large'],
  );
  assert.deepEqual(addressesOf(node), ['InternalIP 10.0.0.2', 'InternalIP fd00::2', 'Hostname a']);
  assert.equal(replica.writes().length - written, 2);
  rig.machine('a', {
    zone: 'z2',
    type: 'large',
    addresses: [
      { type: 'InternalIP', address: 'fd00::2' },
      { type: 'InternalIP', address: '10.0.0.2' },
    ],
  });
  await rig.clock.advance(300_000);
  assert.equal(replica.writes().length - written, 2, 'another order is nothing');
});

test('a label that somebody changed is put right at once', async (t) => {
  const rig = createNodeRig(t);
  rig.machine('a');
  await rig.join('a');
  await rig.start();
  await rig.clock.advance(10_000);
  await rig.editNode('a', { metadata: { labels: { 'topology.kubernetes.io/zone': 'wrong' } } });
  await rig.clock.advance(SOON_MS);
  assert.equal(rig.get('a').metadata.labels?.['topology.kubernetes.io/zone'], 'z1');
});

test('a node of another cloud keeps its taint, and the cloud is not asked about it', async (t) => {
  const rig = createNodeRig(t);
  const replica = await rig.start();
  await rig.join('a', { providerID: 'eks-hybrid:///x/mi-1', ready: 'False' });
  await rig.clock.advance(900_000);
  assert.deepEqual(taintsOf(rig.get('a')), [`${uninitialized.key}:NoSchedule`]);
  assert.deepEqual([replica.writes(), rig.events('a'), rig.asked()], [[], [], 0]);
});

test('an instance that is not listed yet: the taint stays, the third miss is told, and then all goes well', async (t) => {
  const rig = createNodeRig(t);
  const replica = await rig.start();
  rig.machine('a', { state: 'terminated' });
  await rig.join('a');
  await rig.clock.advance(2000);
  assert.deepEqual(rig.events('a'), [], 'twice is no news');
  await rig.clock.advance(10_000);
  assert.equal(rig.events('a').length, 1);
  assert.match(
    rig.events('a')[0] ?? '',
    /^Warning InstanceMetadataFailed: The node is not initialised: .*the cloud has no instance for it, by its name/,
  );
  assert.deepEqual([taintsOf(rig.get('a')), replica.writes()], [[`${uninitialized.key}:NoSchedule`], []]);
  rig.machine('a');
  await rig.clock.advance(60_000);
  assert.deepEqual(taintsOf(rig.get('a')), []);
  assert.deepEqual(
    rig.events('a').map((event) => event.split(':')[0]),
    ['Warning InstanceMetadataFailed', 'Normal Synced'],
  );
});

test('a node about which the provider cannot tell keeps its taint and is told', async (t) => {
  const rig = createNodeRig(t);
  await rig.start();
  await rig.join('stranger');
  await rig.clock.advance(20_000);
  assert.deepEqual(taintsOf(rig.get('stranger')), [`${uninitialized.key}:NoSchedule`]);
  assert.match(rig.events('stranger')[0] ?? '', /InstanceMetadataFailed: .*the provider cannot tell/);
});

const faults = [{ code: 'Throttled', retryAfterMs: 3000 }, { code: 'Denied' }, { code: 'Unavailable' }] as const;
for (const fault of faults) {
  test(`the cloud answers ${fault.code}: nothing is written, and once it is over the node is initialised`, async (t) => {
    let failing = true;
    const rig = createNodeRig(t, { fault: () => (failing ? fault : undefined) });
    const replica = await rig.start();
    rig.machine('a');
    await rig.join('a');
    await rig.clock.advance(30_000);
    assert.deepEqual([replica.writes(), taintsOf(rig.get('a'))], [[], [`${uninitialized.key}:NoSchedule`]]);
    failing = false;
    await rig.clock.advance(320_000);
    assert.deepEqual(taintsOf(rig.get('a')), []);
    assert.equal(replica.end, undefined);
  });
}

const badIps = [
  { name: 'no address', ip: 'invalid-ip' },
  { name: 'not one of the cloud', ip: '10.9.9.9' },
];
for (const { name, ip } of badIps) {
  test(`a provided node IP that is ${name}: the taint stays, it is told at once, and a correction is taken`, async (t) => {
    const rig = createNodeRig(t);
    const replica = await rig.start();
    rig.machine('a');
    await rig.join('a', { annotations: { [IP]: ip } });
    await rig.clock.advance(SOON_MS);
    assert.deepEqual([replica.writes(), taintsOf(rig.get('a'))], [[], [`${uninitialized.key}:NoSchedule`]]);
    assert.match(
      rig.events('a')[0] ?? '',
      /^Warning InvalidProvidedNodeIP: invalid: metadata.annotations\[alpha.kubernetes.io\/provided-node-ip\]/,
    );
    await rig.clock.advance(310_000);
    assert.equal(rig.events('a').length, 1, 'told once');
    await rig.editNode('a', { metadata: { annotations: { [IP]: '10.0.0.1' } } });
    await rig.clock.advance(SOON_MS);
    assert.deepEqual([addressesOf(rig.get('a')), taintsOf(rig.get('a'))], [['InternalIP 10.0.0.1', 'Hostname a'], []]);
  });
}

test('an instance that gets the provided address later is taken by the next pass', async (t) => {
  const rig = createNodeRig(t);
  await rig.start();
  rig.machine('a');
  await rig.join('a', { annotations: { [IP]: '10.0.0.2' } });
  await rig.clock.advance(SOON_MS);
  rig.machine('a', {
    addresses: [
      { type: 'InternalIP', address: '10.0.0.1' },
      { type: 'InternalIP', address: '10.0.0.2' },
    ],
  });
  await rig.clock.advance(310_000);
  assert.deepEqual([addressesOf(rig.get('a')), taintsOf(rig.get('a'))], [['InternalIP 10.0.0.2', 'Hostname a'], []]);
});

test('a foreign taint that comes while we work survives', async (t) => {
  const rig = createNodeRig(t);
  const replica = await rig.start();
  rig.machine('a');
  await rig.join('a');
  // The write before the last one is held; somebody adds a taint in front meanwhile.
  replica.faults.add({ verb: 'patch', path: '/nodes/a/status', effect: { kind: 'delay', ms: 5000 } });
  await rig.clock.advance(2000);
  await rig.editNode('a', { spec: { taints: [{ key: 'theirs', effect: 'NoExecute' }, uninitialized] } });
  await rig.clock.advance(20_000);
  assert.deepEqual(taintsOf(rig.get('a')), ['theirs:NoExecute']);
});

test('refused because the list of taints moved: the Node is read again and the rest is done', async (t) => {
  const rig = createNodeRig(t);
  const replica = await rig.start();
  rig.machine('a');
  await rig.join('a');
  replica.faults.add({ verb: 'patch', path: '/nodes/a', effect: { kind: 'status', status: 422 } });
  replica.faults.add({ verb: 'patch', path: '/nodes/a', skip: 1, effect: { kind: 'status', status: 409 } });
  await rig.clock.advance(SOON_MS);
  assert.deepEqual([taintsOf(rig.get('a')), rig.get('a').spec.providerID], [[], 'memory://m-a']);
  const reads = replica.requests.filter(({ method, path }) => method === 'GET' && path === '/api/v1/nodes/a');
  assert.equal(reads.length, 2);
});

test('a crash after each write: the next leader does the rest, and the taint goes last', async (t) => {
  for (let writes = 1; writes <= 3; writes += 1) {
    const rig = createNodeRig(t);
    rig.machine('a');
    await rig.join('a');
    let taken = 0;
    const first = await rig.start({ name: 'one', unsettled: true });
    rig.api.store.subscribe('nodes', ({ type }) => {
      if (type !== 'MODIFIED') return;
      taken += 1;
      if (taken === writes) first.faults.add({ ...endless, effect: { kind: 'refuse' } });
    });
    await rig.clock.advance(SOON_MS);
    assert.equal(taken, writes);
    assert.equal(taintsOf(rig.get('a')).length, writes === 3 ? 0 : 1);
    const second = await rig.start({ name: 'two' });
    await rig.clock.advance(20_000);
    assert.ok(second.leader.leads());
    assert.deepEqual(
      [taintsOf(rig.get('a')), rig.get('a').metadata.labels, addressesOf(rig.get('a'))],
      [[], labels, ['InternalIP 10.0.0.1', 'Hostname a']],
    );
    assert.equal(second.writes().length, 3 - writes, `after ${writes}`);
  }
});

test('an answer that is lost: the write is not made twice in vain, and the node ends initialised', async (t) => {
  const rig = createNodeRig(t);
  const replica = await rig.start();
  rig.machine('a');
  await rig.join('a');
  replica.faults.add({ verb: 'patch', path: '/nodes/a', times: 2, effect: { kind: 'reset', when: 'after' } });
  await rig.clock.advance(60_000);
  assert.deepEqual([taintsOf(rig.get('a')), rig.get('a').spec.providerID], [[], 'memory://m-a']);
});

test('leadership lost while the cloud is asked: nothing is written', async (t) => {
  const rig = createNodeRig(t, { latencyMs: 30_000 });
  const replica = await rig.start();
  rig.machine('a');
  await rig.join('a');
  await rig.clock.advance(SOON_MS);
  replica.faults.add({ path: '/leases', ...endless, effect: { kind: 'status', status: 500 } });
  await rig.clock.advance(120_000);
  assert.deepEqual([replica.end, replica.writes()], ['lost', []]);
});

test('a node deleted and made anew while the cloud is asked is another one', async (t) => {
  const rig = createNodeRig(t, { latencyMs: 2000 });
  await rig.start();
  rig.machine('a');
  await rig.join('a');
  await rig.clock.advance(1200);
  await rig.removeNode('a');
  rig.machine('a', { state: 'terminated' });
  rig.machine('a', { id: 'm-new', zone: 'z9' });
  await rig.join('a');
  await rig.clock.advance(30_000);
  assert.deepEqual(
    [rig.get('a').spec.providerID, rig.get('a').metadata.labels?.['topology.kubernetes.io/zone']],
    ['memory://m-new', 'z9'],
  );
});

for (const workers of [1, 5, 10, 30]) {
  test(`nodes that wait are left out by the periodic pass (${workers} at once)`, async (t) => {
    const rig = createNodeRig(t);
    const replica = await rig.start({
      node: { ...nodeDefaults.node, concurrency: workers, statusConcurrency: workers },
    });
    for (let n = 0; n < 5; n += 1) {
      // Their instances have addresses, but what kubelet was told cannot be met: only the pass could write them.
      rig.machine(`n${n}`);
      await rig.join(`n${n}`, { annotations: { [IP]: '10.9.9.9' } });
    }
    await rig.clock.advance(310_000);
    assert.deepEqual(replica.writes(), []);
  });

  test(`no more than ${workers} nodes are written at once`, async (t) => {
    const rig = createNodeRig(t);
    const replica = await rig.start({ node: { ...nodeDefaults.node, concurrency: workers } });
    replica.faults.add({ verb: 'patch', path: '/nodes/', ...endless, effect: { kind: 'delay', ms: 1000 } });
    for (let n = 0; n < 40; n += 1) {
      rig.machine(`n${n}`);
      await rig.join(`n${n}`);
    }
    // The question goes out after 0.1 s, the first writes end a second later.
    await rig.clock.advance(1500);
    assert.equal(replica.writes().length, workers);
    await rig.clock.advance(200_000);
    for (let n = 0; n < 40; n += 1) assert.deepEqual(taintsOf(rig.get(`n${n}`)), []);
  });
}

test('a provider without instances: the controllers stay off and the process lives', async (t) => {
  const rig = createNodeRig(t);
  const replica = await rig.start({ module: createFakeProvider().module });
  await rig.join('a', { ready: 'False' });
  await rig.clock.advance(60_000);
  assert.deepEqual(
    [
      replica.end,
      taintsOf(rig.get('a')).length,
      await replica.metric('running_managed_controllers', { name: 'cloud-node-controller' }),
    ],
    [undefined, 1, 0],
  );
});

test('SIGTERM: nodes that were asked about are finished within the time that there is, and the lease is given back', async (t) => {
  const rig = createNodeRig(t);
  const replica = await rig.start({ node: { ...nodeDefaults.node, concurrency: 1 } });
  replica.faults.add({ verb: 'patch', path: '/nodes/', ...endless, effect: { kind: 'delay', ms: 1000 } });
  for (const name of ['a', 'b']) {
    rig.machine(name);
    await rig.join(name);
  }
  await rig.clock.advance(1500);
  replica.terminate();
  await rig.clock.advance(10_000);
  assert.equal(replica.end, 'stopped');
  const left = ['a', 'b'].map((name) => taintsOf(rig.get(name)).length);
  assert.deepEqual(left, [0, 0]);
});
