import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Condition } from '../../../src/core/objects.ts';
import {
  type ConditionDecision,
  type ConditionMemory,
  isSettled,
  networkUnavailable,
  type RouteState,
} from '../../../src/core/route/condition.ts';

/** 'True/NoRouteCreated' as a condition; '' is none. */
function condition(text: string): Condition | undefined {
  const [status, reason] = text.split('/');
  if (text === '') return undefined;
  return {
    type: 'NetworkUnavailable',
    status: status as Condition['status'],
    ...(reason === undefined ? {} : { reason }),
  };
}
const written = ({ condition: now }: ConditionDecision) => (now === undefined ? '' : `${now.status}/${now.reason}`);

// controllers.md, "Golden cases", NetworkUnavailable; then what follows from it.
const cases: readonly (readonly [now: string, state: RouteState, expected: string])[] = [
  ['', 'done', 'False/RouteCreated'],
  ['', 'failed', 'True/NoRouteCreated'],
  ['', 'pending', 'True/NoRouteCreated'],
  ['False/RouteCreated', 'done', ''],
  ['False/RouteCreated', 'failed', 'True/NoRouteCreated'],
  ['False/RouteCreated', 'pending', ''],
  ['False/CalicoIsUp', 'done', ''],
  ['False/ExternalCNI', 'done', ''],
  ['False/CalicoIsUp', 'failed', ''],
  ['False/CalicoIsUp', 'pending', ''],
  ['True/NoRouteCreated', 'failed', ''],
  ['True/NoRouteCreated', 'pending', ''],
  ['True/NoRouteCreated', 'done', 'False/RouteCreated'],
  ['True/SomeOtherReason', 'failed', ''],
  ['True/SomeOtherReason', 'pending', ''],
  ['True/SomeOtherReason', 'done', 'False/RouteCreated'],
  ['Unknown/NodeStatusUnknown', 'done', 'False/RouteCreated'],
  ['Unknown/NodeStatusUnknown', 'failed', ''],
  ['True/RouteCreated', 'done', 'False/RouteCreated'],
  ['False/NoRouteCreated', 'failed', 'True/NoRouteCreated'],
  ['True', 'done', 'False/RouteCreated'],
];
for (const [now, state, expected] of cases) {
  test(`NetworkUnavailable ${now || 'absent'}, routes ${state}: ${expected || 'nothing is written'}`, () => {
    assert.equal(written(networkUnavailable(condition(now), state, { nowMs: 0 })), expected);
  });
}

test('the messages are the reference’s where it has one', () => {
  const messageOf = (state: RouteState) => networkUnavailable(undefined, state, { nowMs: 0 }).condition?.message;
  assert.equal(messageOf('done'), 'RouteController created a route');
  assert.equal(messageOf('failed'), 'RouteController failed to create a route');
  assert.equal(messageOf('pending'), 'RouteController has not created a route yet');
});

const other = condition('True/SomeOtherReason');
const decide = (memory: ConditionMemory, nowMs: number) => networkUnavailable(other, 'done', { memory, nowMs });

test('another’s True is overruled once; set again within ten minutes it is contested and left alone', () => {
  const first = decide({}, 5000);
  assert.deepEqual([written(first), first.overrules, first.contested], ['False/RouteCreated', true, undefined]);
  assert.deepEqual(decide({ overruledMs: 5000 }, 604_999), { contested: true });
  assert.deepEqual(decide({ overruledMs: 5000, contested: true }, 605_000), {}, 'told once, left alone for good');
});

test('set again after ten minutes it is overruled once more', () => {
  assert.equal(written(decide({ overruledMs: 5000 }, 605_000)), 'False/RouteCreated');
});

test('the contest ends when its writer takes the condition back', () => {
  assert.deepEqual(
    ['', 'False/CalicoIsUp', 'False/RouteCreated', 'True/X', 'Unknown/X'].map((text) => isSettled(condition(text))),
    [true, true, true, false, false],
  );
});
