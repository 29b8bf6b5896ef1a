/** The cloud-node-lifecycle controller in virtual time. What a look means is in test/core/node/lifecycle.test.ts. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createNodeRig, type NodeRig, shutdown, taintsOf } from './node/rig.ts';
import { type Replica, SOON_MS } from './rig.ts';

const endless = { times: Number.POSITIVE_INFINITY } as const;
const NODES = 12;

/** Initialised nodes, older than a minute, their instances running; the controller has looked at them. */
async function cluster(
  t: Parameters<typeof createNodeRig>[0],
  nodes = NODES,
  manners: Parameters<typeof createNodeRig>[1] = {},
) {
  const rig = createNodeRig(t, manners);
  for (let n = 0; n < nodes; n += 1) {
    rig.machine(`n${n}`);
    await rig.join(`n${n}`, { taints: [], providerID: `memory://m-n${n}` });
  }
  await rig.clock.advance(120_000);
  const replica = await rig.start();
  await rig.clock.advance(10_000);
  return { rig, replica };
}
const lose = async (rig: NodeRig, name: string) => {
  rig.machine(name, { state: 'terminated' });
  await rig.ready(name, 'Unknown');
};
const deletions = (replica: Replica) =>
  replica
    .writes()
    .flatMap(({ method, path }) => (method === 'DELETE' ? [path.split('?')[0]?.replace('/api/v1/nodes/', '')] : []));

test('not ready and gone: deleted at the third look, told, and with its uid and version', async (t) => {
  const { rig, replica } = await cluster(t);
  await lose(rig, 'n3');
  const { uid, resourceVersion } = rig.get('n3').metadata;
  await rig.clock.advance(10_000);
  assert.ok(rig.find('n3'), 'two looks');
  await rig.clock.advance(5000);
  assert.equal(rig.find('n3'), undefined);
  assert.deepEqual(rig.events('n3'), [
    'Normal DeletingNode: Deleting node n3 because it does not exist in the cloud provider',
  ]);
  const sent = replica.writes().find(({ method }) => method === 'DELETE');
  assert.deepEqual(JSON.parse(sent?.body ?? ''), {
    kind: 'DeleteOptions',
    apiVersion: 'v1',
    preconditions: { uid, resourceVersion },
  });
  assert.equal(await replica.metric('fairlead_actions_total', { kind: 'DeleteNode', outcome: 'ok' }), 1);
});

test('while every node is ready the cloud is not asked', async (t) => {
  const { rig } = await cluster(t);
  const asked = rig.asked();
  await rig.clock.advance(60_000);
  assert.equal(rig.asked(), asked);
});

test('a ready node whose instance is said to be gone is kept', async (t) => {
  const { rig, replica } = await cluster(t);
  rig.machine('n3', { state: 'terminated' });
  await rig.clock.advance(600_000);
  assert.deepEqual([deletions(replica), rig.events('n3')], [[], []]);
});

test('a cloud that does not answer deletes nobody, however long', async (t) => {
  let failing = false;
  const { rig, replica } = await cluster(t, NODES, { fault: () => (failing ? { code: 'Unavailable' } : undefined) });
  await lose(rig, 'n3');
  failing = true;
  await rig.clock.advance(600_000);
  assert.deepEqual([deletions(replica), replica.end], [[], undefined]);
  assert.ok(replica.complaints.some(({ message }) => message.startsWith('nodes were not looked after')));
  failing = false;
  await rig.clock.advance(15_000);
  assert.deepEqual(deletions(replica), ['n3']);
});

test('switched off: the taint comes, told once; ready again: it goes at once, without a question', async (t) => {
  const { rig, replica } = await cluster(t);
  const written = replica.writes().length;
  rig.machine('n3', { state: 'stopped' });
  await rig.ready('n3', 'Unknown');
  await rig.clock.advance(5000);
  assert.deepEqual(taintsOf(rig.get('n3')), [`${shutdown.key}:NoSchedule`]);
  await rig.clock.advance(60_000);
  assert.deepEqual(
    rig.events('n3').map((event) => event.split(':')[0]),
    ['Normal NodeShutdown'],
  );
  rig.machine('n3');
  const asked = rig.asked();
  await rig.ready('n3', 'True');
  await rig.clock.settle();
  assert.deepEqual([taintsOf(rig.get('n3')), rig.asked() - asked], [[], 0]);
  assert.equal(replica.writes().length - written, 2);
});

test('a taint left over from before a restart goes when the process starts', async (t) => {
  const rig = createNodeRig(t);
  rig.machine('a');
  await rig.join('a', { taints: [{ key: 'theirs', effect: 'NoExecute' }, shutdown], providerID: 'memory://m-a' });
  await rig.start();
  assert.deepEqual(taintsOf(rig.get('a')), ['theirs:NoExecute']);
});

test('a node that changes between the look and its deletion is kept, and judged anew', async (t) => {
  const { rig, replica } = await cluster(t);
  await lose(rig, 'n3');
  await rig.clock.advance(13_000);
  replica.faults.add({ verb: 'delete', path: '/nodes/n3', effect: { kind: 'delay', ms: 2000 } });
  await rig.clock.advance(2000);
  assert.equal(replica.faults.hits.length, 1, 'the deletion is under way');
  rig.machine('n3');
  await rig.ready('n3', 'True'); // it came back while the deletion was under way
  await rig.clock.advance(60_000);
  assert.ok(rig.find('n3'));
  assert.deepEqual(rig.events('n3'), [], 'nothing was done, nothing is told');
});

test('a deletion that is refused is told, and tried again at the next look', async (t) => {
  const { rig, replica } = await cluster(t);
  replica.faults.add({ verb: 'delete', path: '/nodes/n3', times: 2, effect: { kind: 'status', status: 403 } });
  await lose(rig, 'n3');
  await rig.clock.advance(30_000);
  assert.equal(rig.find('n3'), undefined);
  const told = rig.events('n3').map((event) => event.split(':').slice(0, 2).join(':'));
  assert.deepEqual(told, [
    'Warning DeletingNodeFailed x2: Failed deleting node n3',
    'Normal DeletingNode: Deleting node n3 because it does not exist in the cloud provider',
  ]);
});

test('a shutdown taint that meets another change of the list is written on what is there by then', async (t) => {
  const { rig, replica } = await cluster(t);
  rig.machine('n3', { state: 'stopped' });
  await rig.ready('n3', 'Unknown');
  replica.faults.add({ verb: 'patch', path: '/nodes/n3', effect: { kind: 'delay', ms: 1000 } });
  await rig.clock.advance(4500);
  assert.equal(replica.faults.hits.length, 1, 'the patch is under way');
  await rig.editNode('n3', { spec: { taints: [{ key: 'theirs', effect: 'NoExecute' }] } });
  await rig.clock.advance(600);
  assert.deepEqual(taintsOf(rig.get('n3')), ['theirs:NoExecute', `${shutdown.key}:NoSchedule`]);
});

test('an outage of the question: over a third missing at once, nobody goes, each is told once and counted', async (t) => {
  const { rig, replica } = await cluster(t);
  for (let n = 0; n < 5; n += 1) await lose(rig, `n${n}`);
  await rig.clock.advance(600_000);
  assert.deepEqual(deletions(replica), []);
  assert.match(
    rig.events('n0').join(),
    /^Warning NodeDeletionHeld: Node n0 .* kept all the same: 5 of 12 nodes are missing at once/,
  );
  assert.equal(rig.events('n0').length, 1);
  assert.equal(await replica.metric('fairlead_removals_held_total', { kind: 'node' }), 5);
  // Two of them come back: three of twelve are a quarter.
  for (const name of ['n0', 'n1']) {
    rig.machine(name);
    await rig.ready(name, 'True');
  }
  await rig.clock.advance(5000);
  assert.deepEqual(deletions(replica).sort(), ['n2', 'n3', 'n4']);
});

test('ten a minute', async (t) => {
  const { rig, replica } = await cluster(t, 60);
  for (let n = 0; n < 15; n += 1) await lose(rig, `n${n}`);
  await rig.clock.advance(16_000);
  assert.equal(deletions(replica).length, 10);
  await rig.clock.advance(50_000);
  assert.equal(deletions(replica).length, 10);
  await rig.clock.advance(15_000);
  assert.equal(deletions(replica).length, 15);
});

test('after a restart the looks are counted anew', async (t) => {
  const { rig, replica } = await cluster(t);
  await lose(rig, 'n3');
  await rig.clock.advance(10_000);
  replica.terminate();
  await rig.clock.advance(SOON_MS);
  const second = await rig.start({ name: 'two' });
  await rig.clock.advance(9500);
  assert.ok(second.leader.leads() && rig.find('n3'));
  await rig.clock.advance(10_000);
  assert.deepEqual(deletions(second), ['n3']);
});

test('leadership lost: no look and no deletion any more', async (t) => {
  const { rig, replica } = await cluster(t);
  replica.faults.add({ path: '/leases', ...endless, effect: { kind: 'status', status: 500 } });
  await rig.clock.advance(9000);
  await lose(rig, 'n3');
  await rig.clock.advance(120_000);
  assert.deepEqual([replica.end, deletions(replica)], ['lost', []]);
});

test("another cloud's nodes are neither asked about nor deleted, and do not count", async (t) => {
  const { rig, replica } = await cluster(t);
  await rig.join('theirs', { taints: [], providerID: 'gce://p/z/n', ready: 'False' });
  const asked = rig.asked();
  await rig.clock.advance(300_000);
  assert.deepEqual([deletions(replica), rig.asked() - asked <= 1], [[], true]);
});
