import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Allocator, createAllocator } from '../../../src/core/ipam/allocator.ts';
import type { AddressRequest } from '../../../src/core/ipam/request.ts';
import { compareWaiters, serve, type Waiter, wake } from '../../../src/core/ipam/waiters.ts';
import { type PoolText, pools, request } from './fixtures.ts';

function full(texts: readonly PoolText[], holders: readonly AddressRequest[]): Allocator {
  const allocator = createAllocator({ seed: 'w' });
  allocator.setPools(pools(texts));
  for (const holder of holders) assert.equal(allocator.allocate(holder).failure, undefined);
  return allocator;
}
/** Later ones are younger. */
const waiting = (...requests: readonly AddressRequest[]): readonly Waiter[] =>
  requests.map((each, index) => ({
    request: each,
    creationTimestamp: `2026-01-01T00:00:${String(index).padStart(2, '0')}Z`,
  }));
const uids = (waiters: readonly Waiter[]) => waiters.map(({ request: { uid } }) => uid);
const a = { name: 'a', addresses: ['10.0.0.0/30'] };
const four = ['h1', 'h2', 'h3', 'h4'].map((uid) => request(uid));

test('waiters are served by age, then namespace, then name, then uid', () => {
  const waiter = (creationTimestamp: string, namespace: string, name: string, uid: string): Waiter => ({
    creationTimestamp,
    request: request(uid, { namespace, name }),
  });
  const order = [
    waiter('2026-01-01T00:00:00Z', 'z', 'z', 'z'),
    waiter('2026-01-01T00:00:01Z', 'a', 'z', 'z'),
    waiter('2026-01-01T00:00:01Z', 'b', 'a', 'z'),
    waiter('2026-01-01T00:00:01Z', 'b', 'b', 'a'),
    waiter('2026-01-01T00:00:01Z', 'b', 'b', 'b'),
  ];
  assert.deepEqual([...order].reverse().sort(compareWaiters), order);
});

test('as many wake as addresses became free, the oldest first', () => {
  const allocator = full([a], four);
  const waiters = waiting(request('w1'), request('w2'), request('w3'));
  assert.deepEqual(wake(waiters, [], allocator), []);
  const freed = ['h2', 'h3'].flatMap((uid) => allocator.release(uid).freed);
  assert.deepEqual(uids(wake([...waiters].reverse(), freed, allocator)), ['w1', 'w2']);
});

test('a waiter that the freed address does not help neither wakes nor keeps a younger one asleep', () => {
  const b = { name: 'b', addresses: ['10.0.1.0/32', 'fd00::/128'] };
  const allocator = full([a, b], [...four, request('h5', { pool: 'b' }), request('h6', { families: ['ipv6'] })]);
  const { freed } = allocator.release('h1');
  const waiters = waiting(
    request('other-pool', { pool: 'b' }),
    request('other-family', { families: ['ipv6'] }),
    request('other-address', { addresses: ['10.0.0.3'] }),
    request('too-many', { count: 2 }),
    request('unknown-pool', { pool: 'z' }),
    request('fits'),
    request('too-late'),
  );
  assert.deepEqual(uids(wake(waiters, freed, allocator)), ['fits']);
});

test('a quota that the release did not touch keeps its waiters asleep', () => {
  const allocator = full(
    [{ ...a, annotations: { 'fairlead.dev/quota': '*=1' } }],
    [request('h1', { namespace: 'one' }), request('h2', { namespace: 'two' })],
  );
  const waiters = waiting(request('w1', { namespace: 'one' }), request('w2', { namespace: 'two' }));
  assert.deepEqual(uids(wake(waiters, allocator.release('h2').freed, allocator)), ['w2']);
});

test('all with the sharing key of a released address wake, and who asked for that address', () => {
  const share = { sharingKey: 'k' };
  const allocator = full(
    [{ name: 'a', addresses: ['10.0.0.0/32'] }],
    [request('h1', { ...share, ports: ['TCP/80'] }), request('h2', { ...share, ports: ['TCP/81'] })],
  );
  const waiters = waiting(
    request('no-key'),
    request('other-key', { sharingKey: 'l' }),
    request('w1', { ...share, ports: ['TCP/80'] }),
    request('w2', { ...share, ports: ['TCP/80'] }),
  );
  assert.deepEqual(uids(wake(waiters, allocator.release('h1').freed, allocator)), ['w1', 'w2']);
});

test('a holder whose change was refused wakes when another user leaves', () => {
  const share = { sharingKey: 'k' };
  const allocator = full(
    [a],
    [request('h1', { ...share, ports: ['TCP/80'] }), request('h2', { ...share, ports: ['TCP/81'] })],
  );
  const changed = request('h2', { sharingKey: 'mine', ports: ['TCP/81'] });
  assert.equal(allocator.allocate(changed).shortfalls.length, 1);
  const { freed } = allocator.release('h1');
  assert.deepEqual(uids(wake(waiting(changed), freed, allocator)), ['h2']);
  assert.deepEqual(
    serve(waiting(changed), freed, allocator).map(({ decision }) => decision.update.length),
    [1],
  );
});

test('a new pool wakes as many as it has room for', () => {
  const allocator = full([a], four);
  const waiters = waiting(...Array.from({ length: 10 }, (_, index) => request(`w${index}`)));
  const { freed } = allocator.setPools(pools([a, { name: 'b', addresses: ['10.0.1.0/30', 'fd00::/64'] }]));
  assert.deepEqual(uids(wake(waiters, freed, allocator)), ['w0', 'w1', 'w2', 'w3']);
});

test('what a Service still lacks comes from the pool that it has, also when that is closed to new ones', () => {
  const closed = { name: 'c', addresses: ['10.0.2.0/30'], autoAssign: false };
  const both = { families: ['ipv4', 'ipv6'], policy: 'PreferDualStack' } as const;
  const allocator = full([closed], [request('h', { ...both, pool: 'c' })]);
  const { freed } = allocator.setPools(pools([{ ...closed, addresses: ['10.0.2.0/30', 'fd00::/126'] }]));
  assert.deepEqual(uids(wake(waiting(request('h', both)), freed, allocator)), ['h']);
});

test('serve gives in order, each on what the one before left', () => {
  const allocator = full([a], four);
  const freed = ['h1', 'h4'].flatMap((uid) => allocator.release(uid).freed);
  const waiters = waiting(
    request('w1', { addresses: ['10.0.0.3'] }),
    request('w2', { addresses: ['10.0.0.3'] }),
    request('w3'),
    request('w4'),
  );
  // `wake` cannot know that the first two want the same; `serve` gives the second address to the third.
  const served = serve(waiters, freed, allocator);
  assert.deepEqual(
    served.map(({ waiter, decision }) => [waiter.request.uid, decision.take.map(({ address }) => address)]),
    [
      ['w1', ['10.0.0.3']],
      ['w3', ['10.0.0.0']],
    ],
  );
  assert.deepEqual(serve(waiters, [], allocator), []);
});

test('10,000 waiters that cannot be helped cost a release no decision each', () => {
  const allocator = full([a, { name: 'b', addresses: ['10.0.1.0/32'] }], [...four, request('h5', { pool: 'b' })]);
  const waiters = waiting(
    ...Array.from({ length: 10_000 }, (_, index) => request(`w${index}`, { pool: 'b' })),
    request('fits'),
  );
  let decisions = 0;
  const counted = {
    ...allocator,
    decide: (each: AddressRequest) => {
      decisions += 1;
      return allocator.decide(each);
    },
  };
  assert.deepEqual(uids(wake(waiters, allocator.release('h2').freed, counted)), ['fits']);
  assert.equal(decisions, 1);
});
