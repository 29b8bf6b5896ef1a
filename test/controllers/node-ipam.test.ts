/** Node IPAM in virtual time: no pod CIDR twice, whatever fails, restarts or lags. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { blockOf, overlaps } from '../../src/core/net/cidr.ts';
import type { Node } from '../../src/core/objects.ts';
import type { Cidr } from '../../src/core/provider.ts';
import type { Fault } from '../../src/sandbox/api/faults.ts';
import { createFakeProvider } from '../fake/provider.ts';
import { createNodeRig, type NodeRig, podRange } from './node/rig.ts';
import type { Replica, StartOptions } from './rig.ts';
import { SOON_MS } from './rig.ts';

const endless = { times: Number.POSITIVE_INFINITY } as const;
const four = { ipam: { ranges: [podRange('10.244.0.0/22', 24)], excluded: [] } };
const dual = { ipam: { ranges: [podRange('10.244.0.0/16', 24), podRange('fd00:10:244::/48', 64)], excluded: [] } };

/** IPAM alone, with a provider that has no instances. */
const start = async (rig: NodeRig, options: StartOptions = four) =>
  await rig.start({ module: createFakeProvider().module, ...options });
const join = async (rig: NodeRig, name: string, podCIDRs?: readonly string[]) =>
  await rig.join(name, { taints: [], ...(podCIDRs === undefined ? {} : { podCIDRs }) });
const cidrsOf = (rig: NodeRig, name: string) => rig.get(name).spec.podCIDRs ?? [];
const patches = (replica: Replica) => replica.writes().filter(({ path }) => path.includes('/nodes/'));

test('nodes get their pod CIDRs in one write each, first of podCIDRs as podCIDR', async (t) => {
  const rig = createNodeRig(t);
  const replica = await start(rig, dual);
  await join(rig, 'a');
  await join(rig, 'b');
  await rig.clock.advance(SOON_MS);
  assert.deepEqual(
    [cidrsOf(rig, 'a'), cidrsOf(rig, 'b')],
    [
      ['10.244.0.0/24', 'fd00:10:244::/64'],
      ['10.244.1.0/24', 'fd00:10:244:1::/64'],
    ],
  );
  assert.equal(rig.get('a').spec.podCIDR, '10.244.0.0/24');
  assert.equal(patches(replica).length, 2);
  assert.equal(
    await replica.metric('node_ipam_controller_cidrset_cidrs_allocations_total', { clusterCIDR: '10.244.0.0/16' }),
    2,
  );
  assert.equal(
    await replica.metric('node_ipam_controller_cidrset_usage_cidrs', { clusterCIDR: '10.244.0.0/16' }),
    2 / 256,
  );
});

test('what nodes have is kept, and never given to another: before us, outside, and of another size', async (t) => {
  const rig = createNodeRig(t);
  await join(rig, 'old', ['10.244.1.0/24']);
  await join(rig, 'small', ['10.244.2.128/25']);
  await join(rig, 'outside', ['172.16.0.0/24']);
  const replica = await start(rig);
  await join(rig, 'a');
  await join(rig, 'later', ['10.244.3.0/26']);
  await join(rig, 'b');
  await rig.clock.advance(SOON_MS);
  assert.deepEqual(
    [cidrsOf(rig, 'a'), cidrsOf(rig, 'b'), cidrsOf(rig, 'later')],
    [['10.244.0.0/24'], [], ['10.244.3.0/26']],
  );
  assert.deepEqual(
    [cidrsOf(rig, 'old'), cidrsOf(rig, 'small'), cidrsOf(rig, 'outside')],
    [['10.244.1.0/24'], ['10.244.2.128/25'], ['172.16.0.0/24']],
  );
  assert.equal(patches(replica).length, 1);
});

test('exhausted: told once, counted, and the next block that comes free is given at once', async (t) => {
  const rig = createNodeRig(t);
  const replica = await start(rig);
  for (const name of ['a', 'b', 'c', 'd', 'e', 'f']) await join(rig, name);
  await rig.clock.advance(SOON_MS);
  const waiting = ['a', 'b', 'c', 'd', 'e', 'f'].filter((name) => cidrsOf(rig, name).length === 0);
  assert.equal(waiting.length, 2);
  const [one = '', two = ''] = waiting;
  assert.match(
    rig.events(one).join(),
    /^Warning CIDRNotAvailable: quota: spec.podCIDRs: none of the 4 blocks of \/24 in 10.244.0.0\/22 is free \(FL_NODE_CIDRS_EXHAUSTED\)$/,
  );
  assert.equal(await replica.metric('fairlead_nodes_without_pod_cidr'), 2);
  assert.equal(await replica.metric('node_ipam_controller_cidrset_usage_cidrs'), 1);
  await rig.clock.advance(1_000_000);
  assert.equal(rig.events(one).length, 1);
  const freed = cidrsOf(rig, 'a');
  await rig.removeNode('a');
  await rig.clock.advance(SOON_MS);
  const got = [one, two].filter((name) => cidrsOf(rig, name).length > 0);
  assert.deepEqual(
    got.map((name) => cidrsOf(rig, name)),
    [freed],
  );
  assert.equal(await replica.metric('fairlead_nodes_without_pod_cidr'), 1);
});

test('a node that goes while it waits is forgotten', async (t) => {
  const rig = createNodeRig(t);
  const replica = await start(rig);
  for (const name of ['a', 'b', 'c', 'd', 'e']) await join(rig, name);
  await rig.clock.advance(SOON_MS);
  await rig.removeNode('e');
  await rig.clock.advance(SOON_MS);
  assert.equal(await replica.metric('fairlead_nodes_without_pod_cidr'), 0);
});

test('somebody else gives a node its CIDR while we write: his stays, ours is free again', async (t) => {
  const rig = createNodeRig(t);
  const replica = await start(rig);
  replica.faults.add({ verb: 'patch', path: '/nodes/a', effect: { kind: 'delay', ms: 1000 } });
  await join(rig, 'a');
  await rig.clock.advance(100);
  await rig.editNode('a', { spec: { podCIDR: '10.244.3.0/24', podCIDRs: ['10.244.3.0/24'] } });
  await rig.clock.advance(5000);
  for (const name of ['b', 'c', 'd', 'e']) await join(rig, name);
  await rig.clock.advance(SOON_MS);
  assert.deepEqual(cidrsOf(rig, 'a'), ['10.244.3.0/24']);
  const given = ['b', 'c', 'd', 'e'].flatMap((name) => cidrsOf(rig, name)).sort();
  assert.deepEqual(given, ['10.244.0.0/24', '10.244.1.0/24', '10.244.2.0/24']);
});

test('an answer that is lost: the block stays held, although no watch shows it, and is not given to another', async (t) => {
  const rig = createNodeRig(t);
  const one = { ipam: { ranges: [podRange('10.244.0.0/24', 24)], excluded: [] } };
  const late: Fault = { verb: 'watch', path: '/nodes', ...endless, effect: { kind: 'late', ms: 20_000 } };
  const lost: Fault = { verb: 'patch', path: '/nodes/', times: 4, effect: { kind: 'reset', when: 'after' } };
  const replica = await start(rig, { ...one, faults: [late, lost] });
  await join(rig, 'a');
  await join(rig, 'b');
  await rig.clock.advance(120_000);
  assert.deepEqual([...cidrsOf(rig, 'a'), ...cidrsOf(rig, 'b')], ['10.244.0.0/24']);
  assert.equal(await replica.metric('fairlead_nodes_without_pod_cidr'), 1);
});

test('a new leader whose watch is behind reads all nodes before it gives anything', async (t) => {
  const rig = createNodeRig(t);
  const one = { ipam: { ranges: [podRange('10.244.0.0/24', 24)], excluded: [] } };
  const first = await start(rig, { ...one, name: 'one' });
  first.faults.add({ verb: 'patch', path: '/nodes/b', ...endless, effect: { kind: 'status', status: 403 } });
  // The standby sees both nodes come, each with two events, and nothing after that: not what the first leader gave.
  const silent: Fault = { verb: 'watch', path: '/nodes', effect: { kind: 'silent', afterEvents: 4 } };
  first.faults.add({ verb: 'patch', path: '/nodes/', times: 2, effect: { kind: 'delay', ms: 500 } });
  const second = await start(rig, { ...one, name: 'two', faults: [silent] });
  await join(rig, 'b');
  await join(rig, 'a');
  await rig.clock.advance(2000);
  assert.deepEqual([cidrsOf(rig, 'a'), cidrsOf(rig, 'b')], [['10.244.0.0/24'], []]);
  first.terminate();
  await rig.clock.advance(60_000);
  assert.ok(second.leader.leads());
  assert.deepEqual(cidrsOf(rig, 'b'), [], 'it is not what a has');
  assert.equal(await second.metric('fairlead_nodes_without_pod_cidr'), 1);
});

test('while the nodes cannot be read nothing is given', async (t) => {
  const rig = createNodeRig(t);
  await join(rig, 'old', ['10.244.0.0/24']);
  // The first list fills the store, the second one is ours.
  const replica = await start(rig, {
    ...four,
    faults: [{ verb: 'list', path: '/nodes', skip: 1, times: 3, effect: { kind: 'status', status: 503 } }],
  });
  await join(rig, 'a');
  await rig.clock.advance(500);
  assert.deepEqual(cidrsOf(rig, 'a'), []);
  await rig.clock.advance(20_000);
  assert.deepEqual(cidrsOf(rig, 'a'), ['10.244.1.0/24']);
  assert.equal(replica.end, undefined);
});

test('a block of a node whose removal no watch told is found by reading again, before anybody is refused', async (t) => {
  const rig = createNodeRig(t);
  for (const n of [0, 1, 2, 3]) await join(rig, `n${n}`, [`10.244.${n}.0/24`]);
  // The store is filled and then falls behind: what happens from now on is told 100 s later.
  const late: Fault = { verb: 'watch', path: '/nodes', ...endless, effect: { kind: 'late', ms: 100_000 } };
  const replica = await start(rig, { ...four, faults: [late] });
  await rig.clock.advance(61_000);
  await join(rig, 'x');
  await rig.clock.advance(50_000);
  await rig.removeNode('n0');
  await rig.clock.advance(60_000); // x is seen by now, the removal is not
  assert.deepEqual(cidrsOf(rig, 'x'), ['10.244.0.0/24']);
  assert.equal(await replica.metric('fairlead_nodes_without_pod_cidr'), 0);
});

// Whatever happens to requests, watches and leaders.

const faults: fc.Arbitrary<Fault> = fc.oneof(
  fc.record({
    verb: fc.constant('patch' as const),
    path: fc.constant('/nodes/'),
    skip: fc.nat(6),
    times: fc.integer({ min: 1, max: 3 }),
    effect: fc.constantFrom<Fault['effect']>(
      { kind: 'reset', when: 'after' },
      { kind: 'reset', when: 'before' },
      { kind: 'status', status: 500, when: 'after' },
      { kind: 'status', status: 429 },
      { kind: 'status', status: 409 },
      { kind: 'delay', ms: 3000 },
    ),
  }),
  fc.record({
    verb: fc.constant('watch' as const),
    path: fc.constant('/nodes'),
    effect: fc.constantFrom<Fault['effect']>(
      { kind: 'late', ms: 4000 },
      { kind: 'cut', afterEvents: 2, how: 'reset' },
      { kind: 'duplicate' },
      { kind: 'gone', how: 'event' },
    ),
  }),
  fc.record({
    verb: fc.constantFrom('list' as const, 'get' as const),
    path: fc.constant('/nodes'),
    skip: fc.nat(3),
    effect: fc.constantFrom<Fault['effect']>({ kind: 'status', status: 503 }, { kind: 'reset', when: 'before' }),
  }),
);
const steps = fc.array(
  fc.oneof(
    {
      weight: 5,
      arbitrary: fc.record({
        do: fc.constant('join' as const),
        name: fc.integer({ min: 0, max: 7 }).map((n) => `n${n}`),
      }),
    },
    {
      weight: 2,
      arbitrary: fc.record({
        do: fc.constant('leave' as const),
        name: fc.integer({ min: 0, max: 7 }).map((n) => `n${n}`),
      }),
    },
    { weight: 2, arbitrary: fc.record({ do: fc.constant('wait' as const), ms: fc.integer({ min: 10, max: 4000 }) }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('crash' as const) }) },
  ),
  { maxLength: 14 },
);

test('random histories: no two nodes have overlapping CIDRs at any time, none changes, and in the end as many as can have one', async () => {
  await fc.assert(
    fc.asyncProperty(steps, fc.array(faults, { maxLength: 4 }), async (history, armed) => {
      const scope: (() => void | Promise<void>)[] = [];
      const rig = createNodeRig({
        after: (run: () => void | Promise<void>) => void scope.push(run),
      } as unknown as Parameters<typeof createNodeRig>[0]);
      try {
        await live(rig, history, armed);
      } finally {
        for (const end of scope) await end();
      }
    }),
    { numRuns: 25, interruptAfterTimeLimit: 60_000, markInterruptAsFailure: true },
  );
});

async function live(
  rig: NodeRig,
  history: readonly { readonly do: string; readonly name?: string; readonly ms?: number }[],
  armed: readonly Fault[],
): Promise<void> {
  const range = { ipam: { ranges: [podRange('10.244.0.0/22', 24)], excluded: [] } };
  const had = new Map<string, string>(); // uid -> its CIDR, for ever
  rig.api.store.subscribe('nodes', ({ now, type }) => {
    if (type === 'DELETED') return;
    const { metadata, spec } = now.object as unknown as Node;
    const [cidr] = spec.podCIDRs ?? [];
    if (cidr === undefined) return;
    assert.equal(had.get(metadata.uid) ?? cidr, cidr, 'it never changes');
    had.set(metadata.uid, cidr);
    const others = ['0', '1', '2', '3', '4', '5', '6', '7']
      .flatMap((n) => rig.find(`n${n}`) ?? [])
      .filter((one) => one.metadata.uid !== metadata.uid);
    for (const other of others)
      for (const theirs of other.spec.podCIDRs ?? [])
        assert.equal(
          overlaps(blockOf(theirs as Cidr), blockOf(cidr as Cidr)),
          false,
          `${metadata.name} and ${other.metadata.name} have ${cidr}`,
        );
  });
  let processes = 1;
  let replica = await start(rig, { ...range, name: 'p1', faults: armed });
  for (const step of history) {
    if (step.do === 'join' && rig.find(step.name as string) === undefined) await join(rig, step.name as string);
    if (step.do === 'leave' && rig.find(step.name as string) !== undefined) await rig.removeNode(step.name as string);
    if (step.do === 'wait') await rig.clock.advance(step.ms as number);
    if (step.do === 'crash') {
      replica.faults.add({ ...endless, effect: { kind: 'refuse' } });
      processes += 1;
      replica = await start(rig, { ...range, name: `p${processes}`, faults: armed });
    }
  }
  replica.faults.clear();
  await rig.clock.advance(320_000);
  const nodes = Array.from({ length: 8 }, (_, n) => rig.find(`n${n}`) ?? []).flat();
  const served = nodes.filter(({ spec }) => spec.podCIDRs !== undefined);
  assert.equal(served.length, Math.min(4, nodes.length), `${served.length} of ${nodes.length} nodes have one`);
}
