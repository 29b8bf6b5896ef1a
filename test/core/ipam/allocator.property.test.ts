import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Allocator, createAllocator } from '../../../src/core/ipam/allocator.ts';
import { clashOf } from '../../../src/core/ipam/entry.ts';
import { parseIp } from '../../../src/core/net/ip.ts';
import { type PoolText, pools } from './fixtures.ts';
import { anyRequest, type Command, commands, namespaces, poolTexts, richRequest } from './histories.ts';
import { Model } from './model.ts';

const overlapping = poolTexts({ disjoint: false });
const disjoint = poolTexts({ disjoint: true });
const poolsFrom = (texts: readonly PoolText[]) =>
  pools(
    texts,
    namespaces.map((name) => ({ name })),
  );

function started(texts: readonly PoolText[]): Allocator {
  const allocator = createAllocator({ seed: 'properties' });
  allocator.setPools(poolsFrom(texts));
  return allocator;
}

function run(allocator: Allocator, command: Command): void {
  switch (command.do) {
    case 'allocate':
      allocator.allocate(command.request);
      break;
    case 'release':
      allocator.release(command.uid, command.retainAtMs === undefined ? {} : { retainAtMs: command.retainAtMs });
      break;
    case 'adopt':
      allocator.adopt(command.request, command.published);
      break;
    case 'purge':
      allocator.purge(command.nowMs);
      break;
    case 'setPools':
      allocator.setPools(poolsFrom(command.pools));
      break;
    default:
      command satisfies never;
  }
}

/** Everything that can be seen of it, but for what only questions show. */
function picture(allocator: Allocator) {
  const entries = [...allocator.entries()].sort(([a], [b]) => (a < b ? -1 : 1));
  return {
    entries,
    holders: allocator.holders().map((uid) => [uid, allocator.holdings(uid)]),
    counts: allocator.pools.map(({ name }) => [name, allocator.counts(name)]),
    nextExpiryMs: allocator.nextExpiryMs(),
  };
}

/** In which pool an address counts is open where pools overlap, so quotas there would compare accidents. */
const withoutQuotas = overlapping.map((texts) => texts.map(({ annotations: _, ...pool }): PoolText => pool));

/** Histories on either kind; of overlapping pools nobody can ask for one address from each. */
const disjointWorld = fc.tuple(disjoint, commands(disjoint, richRequest), richRequest);
const overlappingWorld = fc.tuple(withoutQuotas, commands(withoutQuotas, anyRequest), anyRequest);
const worlds = fc.oneof(disjointWorld, overlappingWorld);

for (const [name, texts] of [
  ['disjoint pools', disjoint],
  ['overlapping pools', withoutQuotas],
] as const)
  test(`new Services get what the naive model gives them from ${name}`, () => {
    const release = fc.constant(undefined);
    const history = fc.array(fc.oneof({ weight: 4, arbitrary: anyRequest }, { weight: 1, arbitrary: release }), {
      maxLength: 14,
    });
    let served = 0;
    let refused = 0;
    fc.assert(
      fc.property(texts, history, (pools, requests) => {
        const [allocator, model] = [started(pools), new Model(pools)];
        const alive: string[] = [];
        for (const [index, one] of requests.entries()) {
          if (one === undefined) {
            const uid = alive.shift() ?? '';
            allocator.release(uid);
            model.release(uid);
            continue;
          }
          const fresh = { ...one, uid: `${one.uid}-${index}`, name: `${one.uid}-${index}` };
          const expected = model.allocate(fresh);
          const { failure, addresses } = allocator.allocate(fresh);
          const got = failure === undefined ? addresses.map(({ address }) => address) : undefined;
          assert.deepEqual(got, expected, failure?.message);
          if (expected === undefined) refused += 1;
          else served += 1;
          alive.push(fresh.uid);
        }
      }),
      { numRuns: 1000 },
    );
    // Without many of both the comparison would say little.
    assert.ok(served > 1000 && refused > 1000, `${served} served, ${refused} refused`);
  });

test('no history gives an address to users who may not share it, and after each step there is nothing left to do', () => {
  fc.assert(
    fc.property(worlds, ([texts, history]) => {
      const allocator = started(texts);
      for (const command of history) {
        const before = command.do === 'allocate' ? allocator.holdings(command.request.uid) : [];
        const decision = command.do === 'allocate' ? allocator.decide(command.request) : undefined;
        run(allocator, command);
        for (const [address, { users, retained = [] }] of allocator.entries()) {
          assert.ok(users.length + retained.length > 0, `${address} is held by nobody`);
          for (const [index, user] of users.entries())
            for (const other of users.slice(index + 1)) assert.equal(clashOf(user, other), undefined, address);
        }
        if (command.do !== 'allocate' || decision === undefined) continue;
        const { request } = command;
        const again = allocator.decide(request);
        assert.deepEqual([again.take, again.release, again.update], [[], [], []]);
        assert.deepEqual(again.addresses, decision.addresses);
        assert.deepEqual(allocator.holdings(request.uid), decision.addresses);
        assert.equal(again.failure?.message, decision.failure?.message);
        assert.deepEqual(again.shortfalls, decision.shortfalls);
        if (decision.failure !== undefined) {
          assert.deepEqual(decision.take, []);
          const stayed = before.filter(({ address }) => allocator.poolOf(address) !== undefined);
          assert.deepEqual(
            decision.addresses.map(({ address }) => address),
            stayed.map(({ address }) => address),
          );
        }
        for (const { address, family, pool } of decision.take) {
          assert.equal(parseIp(address)?.family, family);
          assert.equal(allocator.poolOf(address, pool), pool);
          assert.ok(request.families.includes(family));
          if (request.pool !== undefined) assert.equal(pool, request.pool);
          if (request.pools !== undefined) assert.ok(request.pools.includes(pool));
          assert.ok(request.addresses.length === 0 || request.addresses.includes(address));
        }
        if (decision.failure === undefined) {
          const families = new Set(decision.addresses.map(({ family }) => family));
          if (request.policy === 'PreferDualStack') assert.ok(families.size > 0);
          else assert.equal(families.size, request.families.length);
        }
      }
    }),
    { numRuns: 600 },
  );
});

test('taking first and giving up later ends where allocate ends', () => {
  fc.assert(
    fc.property(worlds, ([texts, history, request]) => {
      const [allocator, other] = [started(texts), started(texts)];
      for (const command of history) {
        run(allocator, command);
        run(other, command);
      }
      const expected = allocator.allocate(request);
      const { freed: _, ...decision } = expected;
      assert.deepEqual(other.take(request), decision);
      for (const { address } of decision.release)
        assert.ok(other.holdings(request.uid).some((each) => each.address === address));
      const between = other.decide(request);
      assert.deepEqual([between.take, between.update, between.release], [[], [], decision.release]);
      assert.deepEqual(between.addresses, decision.addresses);
      other.release(request.uid, { addresses: decision.release.map(({ address }) => address) });
      assert.deepEqual(picture(other), picture(allocator));
    }),
    { numRuns: 600 },
  );
});

test('decide and preview change nothing', () => {
  fc.assert(
    fc.property(disjoint, commands(disjoint, richRequest), richRequest, disjoint, (texts, history, request, other) => {
      const allocator = started(texts);
      for (const command of history) run(allocator, command);
      const before = picture(allocator);
      allocator.decide(request);
      allocator.explain(request);
      allocator.preview(poolsFrom(other));
      assert.deepEqual(picture(allocator), before);
    }),
    { numRuns: 200 },
  );
});

test('release undoes allocate', () => {
  fc.assert(
    fc.property(disjoint, commands(disjoint, richRequest), richRequest, (texts, history, request) => {
      const allocator = started(texts);
      for (const command of history) run(allocator, command);
      allocator.release(request.uid);
      // What was retained for the name is fulfilled by the allocation, so it is not there afterwards.
      allocator.purge(Number.MAX_SAFE_INTEGER);
      const before = picture(allocator);
      const { take } = allocator.allocate(request);
      const { released, freed } = allocator.release(request.uid);
      assert.deepEqual(picture(allocator), before);
      assert.deepEqual(released.map(({ address }) => address).sort(), take.map(({ address }) => address).sort());
      assert.equal(freed.length, released.length);
      assert.deepEqual(allocator.release(request.uid), { released: [], freed: [] });
    }),
    { numRuns: 400 },
  );
});

test('any history leaves the state of a fresh start from its blocks', () => {
  fc.assert(
    fc.property(
      disjoint,
      commands(disjoint, richRequest),
      fc.array(richRequest, { maxLength: 8 }),
      (texts, history, questions) => {
        const allocator = started(texts);
        let last = texts;
        for (const command of history) {
          run(allocator, command);
          if (command.do === 'setPools') last = command.pools;
        }
        const fresh = createAllocator({ seed: 'properties' });
        const blocks = [...allocator.entries()].reverse();
        // Half of the blocks arrive before the pools do.
        for (const [address, entry] of blocks.slice(0, blocks.length >> 1)) fresh.restore(address, entry);
        fresh.setPools(poolsFrom(last));
        for (const [address, entry] of blocks.slice(blocks.length >> 1)) fresh.restore(address, entry);
        assert.deepEqual(picture(fresh), picture(allocator));
        for (const question of questions) assert.deepEqual(answer(fresh, question), answer(allocator, question));
        for (const question of questions) {
          allocator.allocate(question);
          fresh.allocate(question);
        }
        assert.deepEqual(picture(fresh), picture(allocator));
      },
    ),
    { numRuns: 400 },
  );
});

test('restoring what is there changes nothing, and restoring nothing frees', () => {
  fc.assert(
    fc.property(disjoint, commands(disjoint, richRequest), (texts, history) => {
      const allocator = started(texts);
      for (const command of history) run(allocator, command);
      const before = picture(allocator);
      for (const [address, entry] of before.entries) assert.deepEqual(allocator.restore(address, entry), []);
      assert.deepEqual(picture(allocator), before);
      for (const [address] of before.entries)
        assert.ok(allocator.restore(address, undefined).some(({ count }) => count === 1n));
      assert.deepEqual(picture(allocator), picture(started(lastPools(texts, history))));
    }),
    { numRuns: 200 },
  );
});

test('counts are those of the entries', () => {
  fc.assert(
    fc.property(disjoint, commands(disjoint, richRequest), (texts, history) => {
      const allocator = started(texts);
      for (const command of history) run(allocator, command);
      const entries = [...allocator.entries()];
      for (const { name } of allocator.pools) {
        const here = entries.filter(([address]) => allocator.poolOf(address) === name);
        const counts = allocator.counts(name);
        assert.equal(counts?.ipv4.assigned, BigInt(here.filter(([address]) => address.includes('.')).length));
        assert.equal(counts?.ipv6.assigned, BigInt(here.filter(([address]) => address.includes(':')).length));
        assert.equal(counts?.services, new Set(here.flatMap(([, { users }]) => users.map(({ uid }) => uid))).size);
      }
    }),
    { numRuns: 200 },
  );
});

test('a change of pools does what its preview says, and keeps every address that a pool still has', () => {
  fc.assert(
    fc.property(disjoint, commands(disjoint, richRequest), disjoint, (texts, history, other) => {
      const allocator = started(texts);
      for (const command of history) run(allocator, command);
      const used = [...allocator.entries()].filter(([, { users }]) => users.length > 0);
      const before = new Map(used.map(([address]) => [address, allocator.poolOf(address)]));
      const preview = allocator.preview(poolsFrom(other));
      assert.deepEqual(allocator.setPools(poolsFrom(other)), preview);
      const stranded = new Set(preview.stranded.map(({ address }) => address));
      const moved = new Map(preview.moved.map(({ address, to }) => [address, to]));
      for (const [address, from] of before) {
        const now = allocator.poolOf(address);
        assert.equal(stranded.has(address), from !== undefined && now === undefined, address);
        if (now !== from && now !== undefined) assert.equal(moved.get(address), now);
        else assert.ok(!moved.has(address));
        assert.ok(allocator.entry(address)?.users.length !== 0);
      }
    }),
    { numRuns: 300 },
  );
});

function answer(allocator: Allocator, request: Parameters<Allocator['decide']>[0]) {
  // A record may await its new pool's name in one of two allocators whose addresses are the same.
  const { failure, update: _, ...decision } = allocator.decide(request);
  return { ...decision, failure: failure?.message, candidates: allocator.candidates(request) };
}

function lastPools(texts: readonly PoolText[], history: readonly Command[]): readonly PoolText[] {
  return history.reduce<readonly PoolText[]>(
    (last, command) => (command.do === 'setPools' ? command.pools : last),
    texts,
  );
}
