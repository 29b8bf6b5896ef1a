import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Progress } from '../../../src/core/provider.ts';
import { drifted, type EventText, eventsOf, removalHeld, type Served } from '../../../src/core/service/events.ts';

const ready: Progress = { state: 'ready', ingress: [{ ip: '192.0.2.1' }] };
const pending: Progress = { state: 'pending', reason: 'wait', retryAfterMs: 1 };
const own: readonly EventText[] = [{ type: 'Normal', reason: 'IPAllocated', message: 'Assigned IP ["192.0.2.1"]' }];

const rows: readonly {
  readonly name: string;
  readonly progress: Progress;
  readonly served: Served;
  readonly expected: readonly string[];
}[] = [
  {
    name: 'served for the first time',
    progress: ready,
    served: { cause: 'first', hosts: 2 },
    expected: ['EnsuredLoadBalancer'],
  },
  {
    name: 'served after a spec change',
    progress: ready,
    served: { cause: 'spec', hosts: 0 },
    expected: ['EnsuredLoadBalancer'],
  },
  { name: 'other hosts', progress: ready, served: { cause: 'hosts', hosts: 2 }, expected: ['UpdatedLoadBalancer'] },
  { name: 'no hosts left', progress: ready, served: { cause: 'hosts', hosts: 0 }, expected: [] },
  { name: 'nothing changed', progress: ready, served: { cause: 'none', hosts: 2 }, expected: [] },
  { name: 'still waiting', progress: pending, served: { cause: 'first', hosts: 2 }, expected: [] },
  {
    name: 'the provider’s own event in place of ours',
    progress: { ...ready, events: own },
    served: { cause: 'first', hosts: 2 },
    expected: ['IPAllocated'],
  },
  {
    name: 'the provider’s own event without a cause',
    progress: { ...ready, events: own },
    served: { cause: 'none', hosts: 2 },
    expected: ['IPAllocated'],
  },
  {
    name: 'the provider’s own event while waiting',
    progress: { ...pending, events: own },
    served: { cause: 'first', hosts: 2 },
    expected: ['IPAllocated'],
  },
  {
    name: 'a provider with nothing to tell',
    progress: { ...ready, events: [] },
    served: { cause: 'first', hosts: 2 },
    expected: ['EnsuredLoadBalancer'],
  },
];
for (const { name, progress, served, expected } of rows) {
  test(`one event per outcome: ${name}`, () => {
    assert.deepEqual(
      eventsOf(progress, served).map(({ reason }) => reason),
      expected,
    );
  });
}

test('messages are the reference’s', () => {
  assert.deepEqual(eventsOf(ready, { cause: 'first', hosts: 1 }), [
    { type: 'Normal', reason: 'EnsuredLoadBalancer', message: 'Ensured load balancer' },
  ]);
  assert.deepEqual(eventsOf(ready, { cause: 'hosts', hosts: 1 }), [
    { type: 'Normal', reason: 'UpdatedLoadBalancer', message: 'Updated load balancer with new hosts' },
  ]);
});

test('drift names the changed fields once, sorted', () => {
  assert.equal(drifted(['b', 'a', 'b']).message, 'Changed from outside and repaired: a, b');
});

test('a held removal says how many of how many', () => {
  assert.match(removalHeld(['a', 'b', 'c'], 4).message, /^3 of 4 targets .* \[a b c\]$/);
});
