/** Pod CIDRs of Nodes: no block twice, nothing that is excluded, none that a Node has is changed. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Block, blockOf, contains, overlaps, parseBlock } from '../../../src/core/net/cidr.ts';
import { podCidrsOf, setPodCidrs } from '../../../src/core/node/pod-cidr-write.ts';
import { createPodCidrs, type PodCidrs } from '../../../src/core/node/pod-cidrs.ts';
import { podRanges } from '../../../src/core/node/pod-ranges.ts';
import type { Cidr } from '../../../src/core/provider.ts';
import { nodeOf } from './fixture.ts';

const block = (text: string): Block => blockOf(text as Cidr);

function podCidrs(ranges: readonly (readonly [string, number])[], excluded: readonly string[] = []): PodCidrs {
  return createPodCidrs({
    ranges: ranges.map(([range, maskSize]) => ({ range: block(range), maskSize })),
    excluded: excluded.map(block),
  });
}
function given(from: PodCidrs, uid: string): readonly string[] {
  const answer = from.allocate(uid);
  assert.ok('cidrs' in answer, `${uid}: exhausted`);
  return answer.cidrs;
}

test('pod CIDRs: one block after another', () => {
  const all = podCidrs([['10.244.0.0/22', 24]]);
  assert.deepEqual(
    ['a', 'b', 'c', 'd'].map((uid) => given(all, uid)),
    [['10.244.0.0/24'], ['10.244.1.0/24'], ['10.244.2.0/24'], ['10.244.3.0/24']],
  );
});

test('pod CIDRs: of a dual-stack cluster, one of each family in the order of the flag', () => {
  const all = podCidrs([
    ['fd00:10:244::/48', 64],
    ['10.244.0.0/16', 24],
  ]);
  assert.deepEqual(given(all, 'a'), ['fd00:10:244::/64', '10.244.0.0/24']);
  assert.deepEqual(given(all, 'b'), ['fd00:10:244:1::/64', '10.244.1.0/24']);
});

test('pod CIDRs: the range of Services is left out, also when it is smaller or larger than a block', () => {
  const all = podCidrs([['10.244.0.0/21', 24]], ['10.244.1.64/26', '10.244.4.0/23']);
  assert.deepEqual(
    ['a', 'b', 'c', 'd', 'e'].map((uid) => given(all, uid)[0]),
    ['10.244.0.0/24', '10.244.2.0/24', '10.244.3.0/24', '10.244.6.0/24', '10.244.7.0/24'],
  );
  assert.ok('exhausted' in all.allocate('f'));
});

test('pod CIDRs: exhausted says which range, and holds nothing of the other one', () => {
  const all = podCidrs([
    ['10.244.0.0/16', 24],
    ['fd00::/63', 64],
  ]);
  given(all, 'a');
  given(all, 'b');
  assert.deepEqual(all.allocate('c'), { exhausted: { range: 'fd00::/63', maskSize: 64, total: 2n, used: 2n } });
  assert.equal(all.heldBy('c'), undefined);
  assert.deepEqual(
    all.usage().map(({ used }) => used),
    [2n, 2n],
  );
  all.release('a');
  assert.deepEqual(given(all, 'c')[1], 'fd00::/64');
});

test('pod CIDRs: a block that a Node gave back is not the next one to be given', () => {
  const all = podCidrs([['10.244.0.0/16', 24]]);
  given(all, 'a');
  given(all, 'b');
  all.release('a');
  assert.deepEqual(given(all, 'c'), ['10.244.2.0/24']);
});

const brought: readonly { name: string; has: readonly string[]; next: string; used: bigint }[] = [
  { name: 'a block of ours', has: ['10.244.0.0/24'], next: '10.244.1.0/24', used: 1n },
  { name: 'a smaller one', has: ['10.244.0.128/25'], next: '10.244.1.0/24', used: 1n },
  { name: 'a larger one', has: ['10.244.0.0/22'], next: '10.244.4.0/24', used: 4n },
  { name: 'one that holds the whole range', has: ['10.0.0.0/8'], next: 'exhausted', used: 8n },
  { name: 'one outside', has: ['10.245.0.0/24'], next: '10.244.0.0/24', used: 0n },
  { name: 'one of another family', has: ['fd00::/64'], next: '10.244.0.0/24', used: 0n },
  { name: 'no CIDR at all', has: ['nonsense'], next: '10.244.0.0/24', used: 0n },
];
for (const { name, has, next, used } of brought) {
  test(`pod CIDRs: a Node brings ${name}: next is ${next}`, () => {
    const all = podCidrs([['10.244.0.0/21', 24]]);
    all.hold('brought', has);
    assert.deepEqual(
      all.usage().map((usage) => usage.used),
      [used],
    );
    const answer = all.allocate('a');
    assert.equal('cidrs' in answer ? answer.cidrs[0] : 'exhausted', next);
    all.release('a');
    all.release('brought');
    assert.deepEqual(
      all.usage().map((usage) => usage.used),
      [0n],
    );
  });
}

test('pod CIDRs: two Nodes with one block: it is free when both are gone', () => {
  const all = podCidrs([['10.244.0.0/23', 24]]);
  all.hold('a', ['10.244.0.0/24']);
  all.hold('b', ['10.244.0.0/24']);
  all.release('a');
  assert.deepEqual(given(all, 'c'), ['10.244.1.0/24']);
  assert.ok('exhausted' in all.allocate('d'));
  all.release('b');
  assert.deepEqual(given(all, 'd'), ['10.244.0.0/24']);
});

test('pod CIDRs: a range of 2^64 blocks with a wide piece taken costs no walk over it', () => {
  const all = podCidrs([['fd00::/8', 64]]);
  all.hold('wide', ['fd00::/9']);
  assert.deepEqual(given(all, 'a'), ['fd80::/64']);
  all.release('wide');
  all.release('wide');
  assert.deepEqual(
    all.usage().map(({ used }) => used),
    [1n],
  );
});

test('pod CIDRs: a cluster of 65,536 Nodes is given out to the last block', () => {
  const all = podCidrs([['10.0.0.0/8', 24]]);
  const seen = new Set<string>();
  for (let n = 0; n < 65_536; n += 1) seen.add(given(all, `${n}`)[0] as string);
  assert.equal(seen.size, 65_536);
  assert.ok('exhausted' in all.allocate('more'));
});

// Histories of Nodes that come, with or without CIDRs of their own, and go.

type Step =
  | { readonly do: 'join'; readonly uid: string }
  | { readonly do: 'bring'; readonly uid: string; readonly cidr: string }
  | { readonly do: 'leave'; readonly uid: string };
const uid = fc.integer({ min: 0, max: 12 }).map((n) => `uid-${n}`);
const cidr = fc
  .tuple(fc.integer({ min: 0, max: 15 }), fc.integer({ min: 22, max: 28 }))
  .map(([third, length]) => `10.244.${third}.0/${length}`);
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ do: fc.constant('join' as const), uid }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('bring' as const), uid, cidr }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('leave' as const), uid }) },
);
const worlds = fc.record({
  steps: fc.array(step, { maxLength: 60 }),
  excluded: fc.array(cidr, { maxLength: 2 }),
  maskSize: fc.integer({ min: 24, max: 26 }),
});
const RANGE = '10.244.0.0/21';

test("pod CIDRs: whatever comes and goes, what is given is inside, aligned, nobody else's, and refused only when nothing is free", () => {
  fc.assert(
    fc.property(worlds, ({ steps, excluded, maskSize }) => {
      const all = podCidrs([[RANGE, maskSize]], excluded);
      const model = new Map<string, readonly string[]>(); // uid -> CIDRs
      for (const each of steps) {
        if (each.do === 'leave') {
          all.release(each.uid);
          model.delete(each.uid);
        } else if (model.has(each.uid))
          continue; // podCIDRs never change once set
        else if (each.do === 'bring') {
          all.hold(each.uid, [each.cidr]);
          model.set(each.uid, [each.cidr]);
        } else {
          const walls = [...[...model.values()].flat(), ...excluded].map(block);
          const answer = all.allocate(each.uid);
          if ('cidrs' in answer) {
            const [mine] = answer.cidrs.map(block);
            assert.ok(mine !== undefined && contains(block(RANGE), mine) && mine.prefixLength === maskSize);
            assert.equal(
              walls.find((wall) => overlaps(wall, mine)),
              undefined,
            );
            model.set(each.uid, answer.cidrs);
          } else assert.deepEqual(freeBlocks(maskSize, walls), []);
        }
      }
      // A process that starts now and reads what the Nodes have knows the same.
      const anew = podCidrs([[RANGE, maskSize]], excluded);
      for (const [holder, cidrs] of model) anew.hold(holder, cidrs);
      assert.deepEqual(anew.usage(), all.usage());
      const walls = [...[...model.values()].flat(), ...excluded].map(block);
      const [{ total, used } = { total: 0n, used: 0n }] = all.usage();
      assert.equal(Number(total - used), freeBlocks(maskSize, walls).length);
    }),
    { numRuns: 500 },
  );
});

/** By brute force. */
function freeBlocks(maskSize: number, walls: readonly Block[]): readonly Block[] {
  const { family, first, prefixLength } = block(RANGE);
  const size = 1n << BigInt(32 - maskSize);
  return Array.from({ length: 2 ** (maskSize - prefixLength) }, (_, n) => ({
    family,
    first: first + BigInt(n) * size,
    last: first + BigInt(n + 1) * size - 1n,
    prefixLength: maskSize,
  })).filter((one) => !walls.some((wall) => overlaps(wall, one)));
}

// Flags.

const right: readonly {
  name: string;
  flags: Parameters<typeof podRanges>[0];
  ranges: readonly (readonly [string, number])[];
  excluded?: readonly string[];
}[] = [
  {
    name: 'IPv4, default mask',
    flags: { clusterCidrs: ['10.244.0.0/16'], serviceRanges: [] },
    ranges: [['10.244.0.0/16', 24]],
  },
  {
    name: 'IPv6, default mask',
    flags: { clusterCidrs: ['fd00:10:244::/56'], serviceRanges: [] },
    ranges: [['fd00:10:244::/56', 64]],
  },
  {
    name: 'one family, its mask by the common flag',
    flags: { clusterCidrs: ['10.244.0.0/16'], serviceRanges: [], maskSize: 26 },
    ranges: [['10.244.0.0/16', 26]],
  },
  {
    name: 'dual stack',
    flags: { clusterCidrs: ['10.244.0.0/16', 'fd00::/48'], serviceRanges: [], maskSizeIpv4: 25, maskSizeIpv6: 60 },
    ranges: [
      ['10.244.0.0/16', 25],
      ['fd00::/48', 60],
    ],
  },
  {
    name: 'dual stack, IPv6 first',
    flags: { clusterCidrs: ['fd00::/48', '10.244.0.0/16'], serviceRanges: [] },
    ranges: [
      ['fd00::/48', 64],
      ['10.244.0.0/16', 24],
    ],
  },
  {
    name: 'Services inside the pods, and elsewhere',
    flags: { clusterCidrs: ['10.0.0.0/8'], serviceRanges: ['10.96.0.0/12', 'fd01::/112'], maskSize: 24 },
    ranges: [['10.0.0.0/8', 24]],
    excluded: ['10.96.0.0/12'],
  },
  {
    name: 'one node takes it all',
    flags: { clusterCidrs: ['10.244.0.0/24'], serviceRanges: [] },
    ranges: [['10.244.0.0/24', 24]],
  },
];
for (const { name, flags, ranges, excluded = [] } of right) {
  test(`pod ranges: ${name}`, () => {
    assert.deepEqual(podRanges(flags), {
      ranges: ranges.map(([range, maskSize]) => ({ range: block(range), maskSize })),
      excluded: excluded.map(block),
    });
  });
}

const wrong: readonly { name: string; flags: Parameters<typeof podRanges>[0]; says: readonly RegExp[] }[] = [
  {
    name: 'no cluster CIDR',
    flags: { clusterCidrs: [], serviceRanges: [] },
    says: [/--allocate-node-cidrs needs --cluster-cidr/],
  },
  {
    name: 'no CIDR, twice',
    flags: { clusterCidrs: ['10.244.0.0'], serviceRanges: ['x'] },
    says: [/--cluster-cidr: "10\.244\.0\.0"/, /--service-cluster-ip-range: "x"/],
  },
  {
    name: 'two of one family',
    flags: { clusterCidrs: ['10.244.0.0/16', '10.245.0.0/16'], serviceRanges: [] },
    says: [/--cluster-cidr takes one CIDR, or one of each IP family/],
  },
  {
    name: 'a mask shorter than the range',
    flags: { clusterCidrs: ['10.244.0.0/25'], serviceRanges: [] },
    says: [/--node-cidr-mask-size-ipv4: 24 does not fit .* \/25 it is 25 to 32/],
  },
  {
    name: 'too many blocks',
    flags: { clusterCidrs: ['10.0.0.0/8'], serviceRanges: [], maskSize: 25 },
    says: [/--node-cidr-mask-size: 25 does not fit .* 8 to 24/],
  },
  {
    name: 'the common mask for two families',
    flags: { clusterCidrs: ['10.244.0.0/16', 'fd00::/48'], serviceRanges: [], maskSize: 24 },
    says: [/--node-cidr-mask-size is for one IP family/],
  },
  {
    name: 'the common mask and one of a family',
    flags: { clusterCidrs: ['10.244.0.0/16'], serviceRanges: [], maskSize: 24, maskSizeIpv4: 25 },
    says: [/does not go together/],
  },
  {
    name: 'pods inside Services',
    flags: { clusterCidrs: ['10.96.0.0/16'], serviceRanges: ['10.96.0.0/12'] },
    says: [/lies inside --service-cluster-ip-range/],
  },
];
for (const { name, flags, says } of wrong) {
  test(`pod ranges refused: ${name}`, () => {
    const answer = podRanges(flags);
    assert.ok('problems' in answer);
    assert.equal(answer.problems.length, says.length, answer.problems.join('\n'));
    for (const [index, text] of answer.problems.entries()) assert.match(text, says[index] as RegExp);
  });
}

test('pod CIDRs of a Node: podCIDRs, else podCIDR, else none; and what sets them', () => {
  assert.deepEqual(podCidrsOf(nodeOf({ podCIDRs: ['10.244.0.0/24', 'fd00::/64'] })), ['10.244.0.0/24', 'fd00::/64']);
  assert.deepEqual(podCidrsOf({ ...nodeOf(), spec: { podCIDR: '10.244.0.0/24' } }), ['10.244.0.0/24']);
  assert.deepEqual(podCidrsOf({ ...nodeOf(), spec: { podCIDR: '' } }), []);
  const write = setPodCidrs(nodeOf(), ['10.244.0.0/24', 'fd00::/64'] as unknown as readonly Cidr[]);
  assert.deepEqual('body' in write && write.body, {
    metadata: { uid: 'uid-node0' },
    spec: { podCIDR: '10.244.0.0/24', podCIDRs: ['10.244.0.0/24', 'fd00::/64'] },
  });
  assert.ok(parseBlock('10.244.0.0/24'));
});
