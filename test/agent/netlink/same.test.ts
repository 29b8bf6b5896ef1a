import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Commit, NftChannel } from '../../../src/agent/netlink/channel.ts';
import type { Element } from '../../../src/core/net/element.ts';
import { setsOf } from '../../../src/core/proxy/schema.ts';
import { createFakeNft } from '../../fake/nft.ts';
import { changesOf, histories, rulesText } from './history.ts';
import { KINDS, openLab, type Place } from './lab.ts';

const FAMILIES = ['ip', 'ip6'] as const;

type Listed = Readonly<Record<string, { readonly name: string; readonly elem?: readonly unknown[] }>>;

/** What a person sees of all sets, sorted: the kernel lists the elements of a hash in no order. */
async function listing(place: Place): Promise<readonly string[]> {
  const lines: string[] = [];
  for (const family of FAMILIES) {
    const text = await place.run('nft', '-j', 'list', 'table', family, 'fairlead');
    for (const { set, map } of (JSON.parse(text) as { readonly nftables: readonly Listed[] }).nftables) {
      const { name = '', elem = [] } = set ?? map ?? {};
      // Sets without a name of ours are written into rules, and numbered anew by each load.
      if (!name.startsWith('__')) lines.push(...elem.map((one) => `${family} ${name} ${JSON.stringify(one)}`));
    }
  }
  return lines.sort();
}

async function dumped(nft: NftChannel, sets: ReadonlySet<string>): Promise<readonly string[]> {
  const lines: string[] = [];
  for (const family of FAMILIES) {
    for (const set of setsOf(family)) {
      if (!sets.has(`${family} ${set}`)) continue;
      for (const element of (await nft.dump(family, set)) ?? []) lines.push(`${family} ${JSON.stringify(element)}`);
    }
  }
  return lines.sort();
}

/** What must be the same of an outcome: whether, and which changes are guilty of what. */
const essence = (commit: Commit): readonly string[] => {
  if (commit.ok || commit.lost) return [JSON.stringify(commit)];
  return commit.refused.map(({ errno, element, missing }) => JSON.stringify({ errno, element, missing }));
};

const isDone = (outcome: readonly string[]): boolean => outcome[0] === JSON.stringify({ ok: true });

test('every channel, and the fake, leave the same tables after the same history', { timeout: 300_000 }, async (t) => {
  const lab = await openLab(t);
  if (lab === undefined) return;
  const places: Place[] = [];
  for (const kind of KINDS) places.push(await lab.open(kind, kind));
  const counts = { done: 0, refused: 0, elements: 0 };
  await fc.assert(
    fc.asyncProperty(histories, async (history) => {
      const fake = createFakeNft();
      for (const load of [fake.load, ...places.map((place) => place.load)]) {
        await load(
          FAMILIES.map((family) => `add table ${family} fairlead\ndelete table ${family} fairlead\n`).join(''),
        );
        await load(rulesText);
      }
      const sets = new Set<string>();
      for (const transaction of history) {
        const { family } = transaction;
        const has = ({ set, key }: Element): boolean => fake.elements(family, set).some((other) => other.key === key);
        const changes = changesOf(transaction, has);
        for (const { element } of changes) sets.add(`${family} ${element.set}`);
        const expected = essence(await fake.commit(family, changes));
        counts[isDone(expected) ? 'done' : 'refused'] += 1;
        for (const { nft } of places) {
          const outcome = essence(await nft.commit(family, changes));
          // nft names other guilty ones of a message than the kernel, which stops at its first.
          if (nft.kind === 'text') assert.equal(isDone(outcome), isDone(expected));
          else assert.deepEqual(outcome, expected, nft.kind);
        }
      }
      const expected = await dumped(fake, sets);
      counts.elements += expected.length;
      for (const { nft } of places) assert.deepEqual(await dumped(nft, sets), expected, nft.kind);
      const seen: (readonly string[])[] = [];
      for (const place of places) seen.push(await listing(place));
      for (const lines of seen) assert.deepEqual(lines, seen[0]);
      for (const { nft } of places) assert.equal(nft.commits() > 0, true);
    }),
    { numRuns: 4, endOnFailure: true },
  );
  // Random or not, this is shown something of each.
  assert.ok(counts.done >= 10 && counts.elements >= 40, JSON.stringify(counts));
});
