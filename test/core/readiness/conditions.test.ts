import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Condition, Pod } from '../../../src/core/objects.ts';
import type { TargetHealth } from '../../../src/core/provider.ts';
import {
  closedGates,
  healthConditions,
  isTarget,
  markedGates,
  openingConditions,
} from '../../../src/core/readiness/conditions.ts';
import { GATES_ANNOTATION } from '../../../src/core/readiness/gates.ts';

const A = 'target-health.elbv2.k8s.aws/a';
const B = 'target-health.elbv2.k8s.aws/b';
const nowMs = Date.UTC(2026, 10, 20, 12);
const NOW = '2026-11-20T12:00:00Z';
const BEFORE = '2026-11-20T11:00:00Z';
const condition = (type: string, status: string, more: object = {}) =>
  ({ type, status, lastTransitionTime: BEFORE, ...more }) as Condition;
const pod = (conditions: readonly Condition[] = [], { gates = [A, B], ips = ['10.0.0.1'], metadata = {} } = {}): Pod =>
  ({
    metadata: { name: 'p', namespace: 'shop', uid: 'u', ...metadata },
    spec: { readinessGates: gates.map((conditionType) => ({ conditionType })) },
    status: { conditions, podIP: ips[0], podIPs: ips.map((ip) => ({ ip })) },
  }) as unknown as Pod;
const health = (of: Record<string, Record<string, TargetHealth>>) =>
  new Map(Object.entries(of).map(([gate, targets]) => [gate, new Map(Object.entries(targets))]));
const healthy: TargetHealth = { state: 'healthy' };
const unhealthy: TargetHealth = { state: 'unhealthy', reason: 'Target.Timeout', message: 'Request timed out' };
const waiting: TargetHealth = { state: 'waiting', reason: 'Elb.InitialHealthChecking', message: 'in progress' };
const unregistered = { reason: 'NotRegistered', message: 'not registered with the load balancer yet' };

const table: readonly {
  readonly name: string;
  readonly pod: Pod;
  readonly health: ReturnType<typeof health>;
  readonly expected: readonly object[];
}[] = [
  {
    name: 'a healthy target is True',
    pod: pod([], { gates: [A] }),
    health: health({ [A]: { '10.0.0.1': healthy } }),
    expected: [{ type: A, status: 'True', reason: '', message: '', lastTransitionTime: NOW }],
  },
  {
    name: 'an unhealthy one is False with its reason, one that the backend does not know yet Unknown',
    pod: pod(),
    health: health({ [A]: { '10.0.0.1': unhealthy }, [B]: { '10.0.0.1': waiting } }),
    expected: [
      { type: A, status: 'False', reason: 'Target.Timeout', message: 'Request timed out', lastTransitionTime: NOW },
      {
        type: B,
        status: 'Unknown',
        reason: 'Elb.InitialHealthChecking',
        message: 'in progress',
        lastTransitionTime: NOW,
      },
    ],
  },
  {
    name: 'no such target, and no such target group: Unknown',
    pod: pod(),
    health: health({ [A]: { '10.0.0.2': healthy } }),
    expected: [A, B].map((type) => ({ type, status: 'Unknown', ...unregistered, lastTransitionTime: NOW })),
  },
  {
    name: 'a target is known by any address of the pod',
    pod: pod([], { gates: [A], ips: ['10.0.0.1', 'fd00::1'] }),
    health: health({ [A]: { 'fd00::1': healthy } }),
    expected: [{ type: A, status: 'True', reason: '', message: '', lastTransitionTime: NOW }],
  },
  {
    name: 'what the pod shows already is not written again',
    pod: pod([condition(A, 'True'), condition(B, 'False', { reason: 'Target.Timeout', message: 'Request timed out' })]),
    health: health({ [A]: { '10.0.0.1': healthy }, [B]: { '10.0.0.1': unhealthy } }),
    expected: [],
  },
  {
    name: 'another reason under the same status keeps the stamp',
    pod: pod([condition(A, 'False', { reason: 'Target.FailedHealthChecks' })], { gates: [A] }),
    health: health({ [A]: { '10.0.0.1': unhealthy } }),
    expected: [
      { type: A, status: 'False', reason: 'Target.Timeout', message: 'Request timed out', lastTransitionTime: BEFORE },
    ],
  },
  {
    name: 'a target that is not healthy any more turns False',
    pod: pod([condition(A, 'True')], { gates: [A] }),
    health: health({ [A]: { '10.0.0.1': unhealthy } }),
    expected: [
      { type: A, status: 'False', reason: 'Target.Timeout', message: 'Request timed out', lastTransitionTime: NOW },
    ],
  },
  {
    name: 'a gate that the pod does not have is not its own',
    pod: pod([], { gates: ['example.com/other'] }),
    health: health({ [A]: { '10.0.0.1': healthy } }),
    expected: [],
  },
];
for (const { name, pod: of, health: given, expected } of table) {
  test(`gate conditions: ${name}`, () =>
    assert.deepEqual(healthConditions(of, [A, B], { health: given, nowMs }), expected));
}

test('a pod waits for the gates that it has and that are not True', () => {
  assert.deepEqual(closedGates(pod([condition(A, 'True'), condition(B, 'Unknown')]), [A, B, 'x/c']), [B]);
  assert.deepEqual(closedGates(pod(), [A, B]), [A, B]);
  assert.deepEqual(closedGates(pod([condition(A, 'True'), condition(B, 'True')]), [A, B]), []);
});

test('a gate whose load balancer is gone is opened, and says why', () => {
  const message = 'the load balancer is gone, or is another one now';
  const open = { type: A, status: 'True', reason: 'LoadBalancerGone', message };
  assert.deepEqual(openingConditions(pod([condition(A, 'False')]), [A], nowMs), [{ ...open, lastTransitionTime: NOW }]);
  assert.deepEqual(openingConditions(pod([open as Condition]), [A], nowMs), []);
});

test('targets are pods whose containers are ready and that stay', () => {
  const ready = condition('ContainersReady', 'True');
  const metadata = { deletionTimestamp: NOW };
  assert.deepEqual(
    [[ready], [], [condition('ContainersReady', 'False')]].map((conditions) => isTarget(pod(conditions))),
    [true, false, false],
  );
  assert.equal(isTarget(pod([ready], { metadata })), false);
});

test('the marks are read from the annotation', () => {
  assert.deepEqual(markedGates(pod([], { metadata: { annotations: { [GATES_ANNOTATION]: `${A},${B}` } } })), [A, B]);
  assert.deepEqual(markedGates(pod()), []);
});
