import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type ErrorKind, errorCatalogue, failure, ProviderError } from '../../../src/core/errors.ts';
import {
  type ConditionEffect,
  type Failure,
  type FailureHistory,
  failureOf,
  verdictOf,
} from '../../../src/core/service/retry.ts';

const history: FailureHistory = { failures: 1, stuckMs: 0, during: 'ensure' };
const of = (kind: ErrorKind, more: Partial<Failure> = {}): Failure => ({
  kind,
  code: 'X_SOME',
  message: 'it broke',
  ...more,
});

// One row per cell of the table "Error kind | Event | Condition | Retry".
const rows: readonly {
  readonly name: string;
  readonly failure: Failure;
  readonly history?: Partial<FailureHistory>;
  readonly event: string | undefined;
  readonly effect: ConditionEffect;
  readonly retry: 'onChange' | 'backoff' | number;
}[] = [
  {
    name: 'invalid',
    failure: of('invalid'),
    event: 'SyncLoadBalancerFailed',
    effect: { provisioning: 'complete', serving: 'Invalid', stale: true },
    retry: 'onChange',
  },
  {
    name: 'invalid, a missing feature',
    failure: of('invalid', { code: 'X_UDP_UNSUPPORTED' }),
    event: 'SyncLoadBalancerFailed',
    effect: { provisioning: 'complete', serving: 'Unsupported', stale: true },
    retry: 'onChange',
  },
  {
    name: 'denied',
    failure: of('denied'),
    event: 'SyncLoadBalancerFailed',
    effect: { provisioning: 'complete', serving: 'Infrastructure', stale: true },
    retry: 300_000,
  },
  {
    name: 'quota',
    failure: of('quota'),
    event: 'SyncLoadBalancerFailed',
    effect: { provisioning: 'complete', serving: 'Infrastructure', stale: true },
    retry: 300_000,
  },
  {
    name: 'throttled',
    failure: of('throttled'),
    history: { failures: 100, stuckMs: 299_999 },
    event: undefined,
    effect: { provisioning: 'stays' },
    retry: 'backoff',
  },
  {
    name: 'throttled for 5 min',
    failure: of('throttled'),
    history: { stuckMs: 300_000 },
    event: 'SyncLoadBalancerFailed',
    effect: { provisioning: 'stays' },
    retry: 'backoff',
  },
  {
    name: 'conflict',
    failure: of('conflict'),
    history: { failures: 2, stuckMs: 9e9 },
    event: undefined,
    effect: { provisioning: 'stays' },
    retry: 'backoff',
  },
  {
    name: 'conflict, the 3rd',
    failure: of('conflict'),
    history: { failures: 3 },
    event: 'SyncLoadBalancerFailed',
    effect: { provisioning: 'stays' },
    retry: 'backoff',
  },
  {
    name: 'transient',
    failure: of('transient'),
    history: { failures: 2, stuckMs: 9e9 },
    event: undefined,
    effect: { provisioning: 'stays' },
    retry: 'backoff',
  },
  {
    name: 'transient, the 3rd',
    failure: of('transient'),
    history: { failures: 3 },
    event: 'SyncLoadBalancerFailed',
    effect: { provisioning: 'stays', serving: 'Infrastructure' },
    retry: 'backoff',
  },
];
for (const { name, failure: what, history: how, event, effect, retry } of rows) {
  test(`error kinds: ${name}`, () => {
    const verdict = verdictOf(what, { ...history, ...how });
    assert.equal(verdict.event?.reason, event);
    assert.ok(verdict.event === undefined || verdict.event.type === 'Warning');
    assert.deepEqual(verdict.effect, effect);
    assert.equal(verdict.retry, retry);
  });
}

for (const kind of ['invalid', 'denied', 'quota', 'throttled', 'conflict', 'transient'] as const) {
  for (const during of ['ensure', 'remove', 'hosts'] as const) {
    test(`${kind}: retryAfterMs is obeyed exactly, also during ${during}`, () => {
      assert.equal(verdictOf(of(kind, { retryAfterMs: 1234 }), { ...history, during }).retry, 1234);
    });
  }
}

test('a removal that fails says so in its own words and leaves the conditions alone', () => {
  const verdict = verdictOf(of('denied', { field: 'DeleteLoadBalancer' }), { ...history, during: 'remove' });
  assert.deepEqual(verdict.event, {
    type: 'Warning',
    reason: 'DeleteLoadBalancerFailed',
    message: 'Error deleting load balancer: denied: DeleteLoadBalancer: it broke (X_SOME)',
  });
  assert.deepEqual(verdict.effect, { provisioning: 'stays' });
  assert.equal(verdictOf(of('transient'), { failures: 2, stuckMs: 0, during: 'remove' }).event, undefined);
});

test('a change of hosts that fails names at most 20 of them', () => {
  const nodes = Array.from({ length: 23 }, (_, index) => `n${index}`);
  const message = verdictOf(of('quota'), { ...history, during: 'hosts', nodes }).event?.message;
  const shown = nodes.slice(0, 20).join(' ');
  assert.equal(
    message,
    `Error updating load balancer with new hosts [${shown} <3 more>] [node names limited, total number of nodes: 23], error: quota: X_SOME: it broke`,
  );
  const few = verdictOf(of('quota'), { ...history, during: 'hosts', nodes: ['a', 'b'] }).event?.message;
  assert.match(few ?? '', /new hosts \[a b\] \[node names limited, total number of nodes: 2\]/);
});

test('codes with an event of their own tell it at once, in place of the generic one', () => {
  const exhausted = failureOf(failure('FL_POOL_EXHAUSTED', 'no pool has a free IPv4 address'));
  const { event, retry } = verdictOf(exhausted, history);
  assert.deepEqual([event?.reason, retry], ['AllocationFailed', 300_000]);
  assert.equal(event?.message, 'quota: FL_POOL_EXHAUSTED: no pool has a free IPv4 address');
  assert.equal(verdictOf(exhausted, { ...history, during: 'remove' }).event?.reason, 'DeleteLoadBalancerFailed');
});

test('every event of the catalogue is a reason: CamelCase or as MetalLB spells it', () => {
  for (const [code, entry] of Object.entries(errorCatalogue)) {
    if ('event' in entry) assert.match(entry.event, /^[A-Za-z]+$/, code);
  }
});

const texts: readonly { readonly name: string; readonly failure: Failure; readonly expected: string }[] = [
  { name: 'kind, code, text', failure: of('quota'), expected: 'quota: X_SOME: it broke' },
  {
    name: 'the field in place of the code, which follows',
    failure: of('invalid', { field: 'spec.ports[0]' }),
    expected: 'invalid: spec.ports[0]: it broke (X_SOME)',
  },
  {
    name: 'the field once',
    failure: of('invalid', { field: 'spec.a', message: 'spec.a: "x" is bad' }),
    expected: 'invalid: spec.a: "x" is bad (X_SOME)',
  },
  {
    name: 'a code that is a word of Object',
    failure: of('transient', { code: 'constructor' }),
    expected: 'transient: constructor: it broke',
  },
];
for (const { name, failure: what, expected } of texts) {
  test(`text of an error: ${name}`, () => {
    const verdict = verdictOf(what, { ...history, failures: 3 });
    assert.equal(verdict.text, expected);
    assert.equal(verdict.event?.message, `Error syncing load balancer: ${expected}`);
  });
}

test('an event’s message is cut where the API server would refuse it', () => {
  const head = 'Error syncing load balancer: denied: X_SOME: '.length;
  const messageOf = (length: number) =>
    verdictOf(of('denied', { message: 'x'.repeat(length - head) }), history).event?.message ?? '';
  assert.deepEqual(
    [1023, 1024, 1025, 5000].map((length) => messageOf(length).length),
    [1023, 1024, 1024, 1024],
  );
  assert.ok(messageOf(1024).endsWith('xxx') && messageOf(1025).endsWith('x...'));
});

test('a provider’s error keeps all it says, also from another copy of the class', () => {
  const mine = new ProviderError('throttled', 'FL_KUBE_THROTTLED', 'slow', { retryAfterMs: 7, field: 'f' });
  const theirs = Object.assign(new Error('slow'), {
    name: 'ProviderError',
    kind: 'throttled',
    code: 'FL_KUBE_THROTTLED',
    retryAfterMs: 7,
    field: 'f',
  });
  const expected = { kind: 'throttled', code: 'FL_KUBE_THROTTLED', message: 'slow', retryAfterMs: 7, field: 'f' };
  assert.deepEqual(failureOf(mine), expected);
  assert.deepEqual(failureOf(theirs), expected);
  assert.deepEqual(failureOf(new ProviderError('denied', 'X', 'no')), { kind: 'denied', code: 'X', message: 'no' });
});

for (const [name, thrown, message] of [
  ['an error', new TypeError('x is not a function'), 'x is not a function'],
  ['a string', 'boom', 'boom'],
  ['nothing', undefined, 'undefined'],
] as const) {
  test(`what nobody classified is transient: ${name}`, () => {
    assert.deepEqual(failureOf(thrown), { kind: 'transient', code: 'FL_INTERNAL', message });
  });
}
