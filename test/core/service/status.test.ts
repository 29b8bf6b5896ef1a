import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { ErrorKind } from '../../../src/core/errors.ts';
import type { Condition, ObjectMeta, Service, ServiceIngress } from '../../../src/core/objects.ts';
import type { Shortfall } from '../../../src/core/provider.ts';
import { CONDITION_TYPES } from '../../../src/core/service/conditions.ts';
import { type FailureHistory, verdictOf } from '../../../src/core/service/retry.ts';
import {
  clearPatch,
  finalizerPatch,
  type Outcome,
  type StatusOptions,
  type StatusPatch,
  statusPatch,
} from '../../../src/core/service/status.ts';
import { OWN_FINALIZER, STANDARD_FINALIZER } from '../../../src/core/service/wanted.ts';
import { applyStrategicPatch } from '../../../src/sandbox/api/strategic.ts';
import { freeze, service } from './fixture.ts';

const nowMs = Date.UTC(2026, 2, 1, 12, 0, 0, 789);
const now = '2026-03-01T12:00:00Z';
const before = '2026-03-01T08:00:00Z';
const options: StatusOptions = { nowMs };
const guard = { uid: 'a0000000-0000-4000-8000-000000000001', resourceVersion: '7' };
const at: readonly ServiceIngress[] = [{ ip: '192.0.2.1', ipMode: 'VIP' }];
const ready: Outcome = { state: 'ready', ingress: [{ ip: '192.0.2.1' }] };
const pending: Outcome = { state: 'pending', reason: 'waiting for the address', retryAfterMs: 1000 };
const started: Outcome = { state: 'started' };

const condition = (type: string, said: string, message = ''): Condition => {
  const [status, reason] = said.split('/') as ['True' | 'False', string];
  return { type, status, reason, message, lastTransitionTime: before };
};
/** Shown conditions by 'Status/Reason'; '-' is absent. */
function conditions(provisioning: string, serving: string, degraded = '-', message?: string): readonly Condition[] {
  return [provisioning, serving, degraded].flatMap((said, index) =>
    said === '-' ? [] : [condition(CONDITION_TYPES[index] as string, said, message)],
  );
}
const shows = (
  conds: readonly Condition[],
  ingress: readonly ServiceIngress[] = [],
  metadata: Partial<ObjectMeta> = {},
) => service({}, metadata, { loadBalancer: { ingress }, conditions: conds });
const failed = (
  kind: ErrorKind,
  history: Partial<FailureHistory> = {},
  code = 'X_SOME',
  message = 'it broke',
): Outcome => ({
  state: 'error',
  verdict: verdictOf(
    { kind, code, message, field: 'spec.x' },
    { failures: 1, stuckMs: 0, during: 'ensure', ...history },
  ),
});

function applied(of: Service, patch: StatusPatch | undefined): Service {
  return patch === undefined ? of : freeze(applyStrategicPatch(of, patch, 'Service') as Service);
}
function told(of: Service): string {
  return CONDITION_TYPES.map((type) => {
    const found = of.status?.conditions?.find((each) => each.type === type);
    return found === undefined ? '-' : `${found.status}/${found.reason}`;
  }).join(' ');
}

// The condition tables, every row: shown before, outcome, shown after.
const nothing = shows([]);
const provisioning = shows(conditions('True/Provisioning', 'False/Provisioning'));
const serving = shows(conditions('False/Complete', 'True/Serving'), at);
const reworking = shows(conditions('True/Provisioning', 'True/Serving'), at);
const stale = shows(conditions('False/Complete', 'True/Serving', 'True/StaleSpec'), at);
const lacking = shows(conditions('False/Complete', 'True/Serving', 'True/PortsNotSupported'), at);
const refused = shows(conditions('False/Complete', 'False/Invalid'));
const broken = shows(conditions('True/Provisioning', 'False/Infrastructure'));
const takenOver = shows([], at);
const unhealthy = shows(conditions('False/Complete', 'False/NoHealthyTargets'), at);
const cleared = shows(conditions('False/Complete', 'True/Serving'));
const lack = (reason: string, message = 'm', field?: string): Shortfall => ({
  reason,
  message,
  ...(field === undefined ? {} : { field }),
});
const readyWith = (...shortfalls: Shortfall[]): Outcome => ({ ...ready, shortfalls }) as Outcome;

const third = { failures: 3 };
const table: readonly (readonly [
  name: string,
  from: Service,
  outcome: Outcome,
  expected: string,
  options?: Partial<StatusOptions>,
])[] = [
  // Work begins.
  ['a new Service', nothing, started, 'True/Provisioning False/Provisioning -'],
  ['a served one', serving, started, 'True/Provisioning True/Serving -'],
  ['a refused one', refused, started, 'True/Provisioning False/Provisioning -'],
  ['one that another controller served: it goes on serving', takenOver, started, 'True/Provisioning True/Serving -'],
  [
    'a stale one: not known yet whether the new spec is taken',
    stale,
    started,
    'True/Provisioning True/Serving True/StaleSpec',
  ],
  ['one without healthy targets', unhealthy, started, 'True/Provisioning False/NoHealthyTargets -'],
  // It waits for the cloud.
  ['pending, new', nothing, pending, 'True/Provisioning False/Provisioning -'],
  ['pending, in work', provisioning, pending, 'True/Provisioning False/Provisioning -'],
  ['pending, served: the old one serves on', serving, pending, 'True/Provisioning True/Serving -'],
  ['pending after a refusal', refused, pending, 'True/Provisioning False/Provisioning -'],
  ['pending: the spec was taken, so it is not stale', stale, pending, 'True/Provisioning True/Serving -'],
  ['pending: what lacks still lacks', lacking, pending, 'True/Provisioning True/Serving True/PortsNotSupported'],
  ['pending, the published address cleared by hand', cleared, pending, 'True/Provisioning False/Provisioning -'],
  // It serves.
  ['ready, new', nothing, ready, 'False/Complete True/Serving -'],
  ['ready, in work', provisioning, ready, 'False/Complete True/Serving -'],
  ['ready again', serving, ready, 'False/Complete True/Serving -'],
  ['ready after a refusal', refused, ready, 'False/Complete True/Serving -'],
  ['ready after trouble', broken, ready, 'False/Complete True/Serving -'],
  ['ready: stale no more', stale, ready, 'False/Complete True/Serving -'],
  ['ready: nothing lacks any more', lacking, ready, 'False/Complete True/Serving -'],
  ['ready, healthy again', unhealthy, ready, 'False/Complete True/Serving -'],
  ['ready without an address yet', nothing, { state: 'ready', ingress: [] }, 'True/Provisioning False/Provisioning -'],
  ['every target failing', serving, readyWith(lack('NoHealthyTargets')), 'False/Complete False/NoHealthyTargets -'],
  ...[
    'IPFamiliesNotSupported',
    'PortsNotSupported',
    'SessionAffinityNotSupported',
    'ExternalTrafficPolicyNotSupported',
    'LoadBalancerIPNotSupported',
  ].map(
    (reason) =>
      [`ready, but ${reason}`, nothing, readyWith(lack(reason)), `False/Complete True/Serving True/${reason}`] as const,
  ),
  [
    'two things lack',
    nothing,
    readyWith(lack('PortsNotSupported'), lack('LoadBalancerIPNotSupported')),
    'False/Complete True/Serving True/Multiple',
  ],
  [
    'one thing lacks twice',
    nothing,
    readyWith(lack('PortsNotSupported', 'a'), lack('PortsNotSupported', 'b')),
    'False/Complete True/Serving True/PortsNotSupported',
  ],
  [
    'something lacks and no target is healthy',
    nothing,
    readyWith(lack('NoHealthyTargets'), lack('PortsNotSupported')),
    'False/Complete False/NoHealthyTargets True/PortsNotSupported',
  ],
  [
    'the spec itself lacks something',
    nothing,
    ready,
    'False/Complete True/Serving True/PortsNotSupported',
    { shortfalls: [lack('PortsNotSupported')] },
  ],
  [
    'spec and provider lack something',
    nothing,
    readyWith(lack('IPFamiliesNotSupported')),
    'False/Complete True/Serving True/Multiple',
    { shortfalls: [lack('PortsNotSupported')] },
  ],
  // Errors, new load balancer / existing one.
  ['invalid, new', nothing, failed('invalid'), 'False/Complete False/Invalid -'],
  ['invalid, in work', provisioning, failed('invalid'), 'False/Complete False/Invalid -'],
  ['invalid, existing', serving, failed('invalid'), 'False/Complete True/Serving True/StaleSpec'],
  ['invalid, existing and reworked', reworking, failed('invalid'), 'False/Complete True/Serving True/StaleSpec'],
  ['invalid, of another controller', takenOver, failed('invalid'), 'False/Complete True/Serving True/StaleSpec'],
  ['invalid wins over what lacked', lacking, failed('invalid'), 'False/Complete True/Serving True/StaleSpec'],
  ['unsupported, new', nothing, failed('invalid', {}, 'X_UDP_UNSUPPORTED'), 'False/Complete False/Unsupported -'],
  [
    'unsupported, existing',
    serving,
    failed('invalid', {}, 'X_UDP_UNSUPPORTED'),
    'False/Complete True/Serving True/StaleSpec',
  ],
  ...(['denied', 'quota'] as const).flatMap((kind) => [
    [`${kind}, new`, nothing, failed(kind), 'False/Complete False/Infrastructure -'] as const,
    [`${kind}, in work`, provisioning, failed(kind), 'False/Complete False/Infrastructure -'] as const,
    [`${kind}, existing`, serving, failed(kind), 'False/Complete True/Serving True/StaleSpec'] as const,
  ]),
  ...(['throttled', 'conflict', 'transient'] as const).flatMap((kind) => [
    [`${kind}, new`, nothing, failed(kind), 'True/Provisioning False/Provisioning -'] as const,
    [`${kind}, in work`, provisioning, failed(kind), 'True/Provisioning False/Provisioning -'] as const,
    [
      `${kind}, existing and settled: a failed look is no work`,
      serving,
      failed(kind, third),
      'False/Complete True/Serving -',
    ] as const,
    [`${kind}, existing and reworked`, reworking, failed(kind, third), 'True/Provisioning True/Serving -'] as const,
    [
      `${kind}, existing, at a new wish`,
      serving,
      failed(kind),
      'True/Provisioning True/Serving -',
      { specChanged: true },
    ] as const,
    [`${kind}, stale`, stale, failed(kind, third), 'False/Complete True/Serving True/StaleSpec'] as const,
    [`${kind}, after trouble`, broken, failed(kind), 'True/Provisioning False/Infrastructure -'] as const,
  ]),
  [
    'throttled for 5 min, in work',
    provisioning,
    failed('throttled', { stuckMs: 300_000 }),
    'True/Provisioning False/Provisioning -',
  ],
  ['conflict, the 3rd, in work', provisioning, failed('conflict', third), 'True/Provisioning False/Provisioning -'],
  [
    'transient, the 2nd, in work',
    provisioning,
    failed('transient', { failures: 2 }),
    'True/Provisioning False/Provisioning -',
  ],
  ['transient, the 3rd, in work', provisioning, failed('transient', third), 'True/Provisioning False/Infrastructure -'],
  ['transient, the 3rd, new', nothing, failed('transient', third), 'True/Provisioning False/Infrastructure -'],
  [
    'an error, and for certain no load balancer stands',
    serving,
    { ...failed('quota'), exists: false } as Outcome,
    'False/Complete False/Infrastructure -',
  ],
  [
    'an error, and one stands though nothing is published',
    provisioning,
    { ...failed('invalid'), exists: true } as Outcome,
    'False/Complete False/Provisioning True/StaleSpec',
  ],
];
for (const [name, from, outcome, expected, more] of table) {
  test(`conditions: ${name}: ${expected}`, () => {
    assert.equal(told(applied(from, statusPatch(from, outcome, { ...options, ...more }))), expected);
  });
}

test('Degraded is never written False, by no row', () => {
  for (const [name, from, outcome, , more] of table) {
    const patch = statusPatch(from, outcome, { ...options, ...more });
    const entry = patch?.status?.conditions?.find(({ type }) => type === 'LoadBalancerDegraded');
    assert.ok(entry === undefined || '$patch' in entry || entry.status === 'True', name);
  }
});

// The bytes of whole patches.
test('before the first cloud call: finalizer, Provisioning and Serving in one guarded patch', () => {
  assert.deepEqual(statusPatch(nothing, started, { nowMs, finalizer: STANDARD_FINALIZER }), {
    metadata: { ...guard, finalizers: [STANDARD_FINALIZER] },
    status: {
      conditions: [
        {
          type: 'LoadBalancerProvisioning',
          status: 'True',
          reason: 'Provisioning',
          message: 'Ensuring load balancer',
          lastTransitionTime: now,
        },
        {
          type: 'LoadBalancerServing',
          status: 'False',
          reason: 'Provisioning',
          message: 'The load balancer is being provisioned',
          lastTransitionTime: now,
        },
      ],
    },
  });
});

test('a selfCleaning provider that is ready at once: everything in one patch', () => {
  const outcome: Outcome = {
    state: 'ready',
    ingress: [{ ip: '192.0.2.1' }],
    annotations: { 'metallb.io/ip-allocated-from-pool': 'p' },
  };
  const finalizers = { finalizers: ['foo'] };
  const of = service({ loadBalancerClass: 'fairlead.dev/onprem' }, finalizers);
  const patch = statusPatch(of, outcome, { nowMs, finalizer: OWN_FINALIZER });
  assert.deepEqual(patch, {
    metadata: { ...guard, finalizers: [OWN_FINALIZER], annotations: { 'metallb.io/ip-allocated-from-pool': 'p' } },
    status: {
      conditions: [
        {
          type: 'LoadBalancerProvisioning',
          status: 'False',
          reason: 'Complete',
          message: 'Nothing more to do',
          lastTransitionTime: now,
        },
        {
          type: 'LoadBalancerServing',
          status: 'True',
          reason: 'Serving',
          message: 'Accepts connections at 192.0.2.1',
          lastTransitionTime: now,
        },
      ],
      loadBalancer: { ingress: [{ ip: '192.0.2.1', ipMode: 'VIP' }] },
    },
  });
  assert.deepEqual(applied(of, patch).metadata.finalizers?.toSorted(), [OWN_FINALIZER, 'foo']);
});

test('an unchanged world costs no write', () => {
  const settled = applied(nothing, statusPatch(nothing, ready, { nowMs, finalizer: STANDARD_FINALIZER }));
  assert.equal(statusPatch(settled, ready, { nowMs: nowMs + 1e9, finalizer: STANDARD_FINALIZER }), undefined);
});

test('a cleared status is restored with the same address, and nothing else is written but the stamp of Serving', () => {
  const settled = applied(nothing, statusPatch(nothing, ready, options));
  const wiped = freeze({ ...settled, status: { ...settled.status, loadBalancer: {} } });
  const patch = statusPatch(wiped, ready, { nowMs: nowMs + 5000 });
  assert.deepEqual(patch?.status?.loadBalancer, { ingress: at });
  assert.deepEqual(
    patch?.status?.conditions?.map((each) => [each.type, 'lastTransitionTime' in each ? each.lastTransitionTime : '']),
    [['LoadBalancerServing', '2026-03-01T12:00:05Z']],
  );
});

test('an API server that fills in or drops ipMode causes no write', () => {
  for (const ingress of [[{ ip: '192.0.2.1' }], at]) {
    const shown = conditions('False/Complete', 'True/Serving').map((each) => ({
      ...each,
      message: each.status === 'True' ? 'Accepts connections at 192.0.2.1' : 'Nothing more to do',
    }));
    assert.equal(statusPatch(shows(shown, ingress), ready, options), undefined);
  }
});

test('the ingress list is written whole, and a list that became empty is removed', () => {
  const two: Outcome = { state: 'ready', ingress: [{ ip: '192.0.2.1' }, { ip: '2001:db8::1' }] };
  assert.deepEqual(statusPatch(serving, two, options)?.status?.loadBalancer, {
    ingress: [...at, { ip: '2001:db8::1', ipMode: 'VIP' }],
  });
  const none = statusPatch(serving, { state: 'ready', ingress: [] }, options);
  assert.deepEqual(none?.status?.loadBalancer, { ingress: null });
  assert.deepEqual(applied(serving, none).status?.loadBalancer, {});
});

test('only `exists: false` takes a published address away at an error', () => {
  for (const kind of ['invalid', 'denied', 'quota', 'throttled', 'conflict', 'transient'] as const) {
    assert.equal(statusPatch(serving, failed(kind, third), options)?.status?.loadBalancer, undefined, kind);
    const gone = statusPatch(serving, { ...failed(kind), exists: false } as Outcome, options);
    assert.deepEqual(gone?.status?.loadBalancer, { ingress: null }, kind);
  }
});

test('ports that were not built are published with their error', () => {
  const listeners = [{ name: '', protocol: 'TCP', port: 80, targetPort: 1 }] as const;
  const portErrors = [{ port: 53, protocol: 'UDP', error: 'NodePortMissing' }] as const;
  assert.deepEqual(
    statusPatch(nothing, ready, { nowMs, listeners, portErrors })?.status?.loadBalancer?.ingress?.[0]?.ports,
    [
      { port: 80, protocol: 'TCP' },
      { port: 53, protocol: 'UDP', error: 'NodePortMissing' },
    ],
  );
});

// Finalizer: the trap's bytes, and the reference's with the same effect.
test('the finalizer patch adds and removes only its own entry', () => {
  const foo = service({}, { finalizers: ['foo'], annotations: { a: '1' } });
  const add = finalizerPatch(foo, { add: 'bar' });
  assert.equal(JSON.stringify(add), `{"metadata":{"uid":"${guard.uid}","resourceVersion":"7","finalizers":["bar"]}}`);
  const reference = { metadata: { '$setElementOrder/finalizers': ['foo', 'bar'], finalizers: ['bar'] } };
  // kube-apiserver puts a new entry of a merged list first unless an order is given; finalizers have no order.
  const sorted = ({ metadata }: Service) => ({ ...metadata, finalizers: metadata.finalizers?.toSorted() });
  assert.deepEqual(sorted(applied(foo, add)), sorted(applyStrategicPatch(foo, reference, 'Service') as Service));
  const both = service({}, { finalizers: ['foo', 'bar'] });
  const remove = finalizerPatch(both, { remove: ['bar', 'absent'] });
  assert.equal(
    JSON.stringify(remove),
    `{"metadata":{"uid":"${guard.uid}","resourceVersion":"7","$deleteFromPrimitiveList/finalizers":["bar"]}}`,
  );
  assert.deepEqual(applied(both, remove).metadata.finalizers, ['foo']);
});

test('a concurrent annotation and a concurrent finalizer survive the finalizer patch, and the spec is unchanged', () => {
  const read = service({}, { finalizers: ['foo'] });
  const meanwhile = service({}, { finalizers: ['foo', 'other'], annotations: { new: '1' } });
  const { metadata, spec } = applied(meanwhile, finalizerPatch(read, { add: 'bar' }));
  assert.deepEqual(metadata.finalizers?.toSorted(), ['bar', 'foo', 'other']);
  assert.deepEqual([metadata.annotations, spec], [{ new: '1' }, meanwhile.spec]);
});

const noPatches: readonly (readonly [name: string, patch: StatusPatch | undefined])[] = [
  ['a finalizer that is there', finalizerPatch(service({}, { finalizers: ['bar'] }), { add: 'bar' })],
  ['a finalizer that is not there', finalizerPatch(service(), { remove: ['bar'] })],
  [
    'a new finalizer on a Service that is being deleted: the API server refuses it',
    finalizerPatch(service({}, { deletionTimestamp: now }), { add: 'bar' }),
  ],
  ['clearing a Service that shows nothing', clearPatch(service(), { finalizers: [STANDARD_FINALIZER] })],
  ['clearing with answers that are gone', clearPatch(service(), { finalizers: [], annotations: { a: null } })],
];
for (const [name, patch] of noPatches) test(`no write: ${name}`, () => assert.equal(patch, undefined));

test('a Service that is being deleted gets no new finalizer with its status either', () => {
  const leaving = service({}, { deletionTimestamp: now });
  assert.equal(statusPatch(leaving, started, { nowMs, finalizer: STANDARD_FINALIZER })?.metadata.finalizers, undefined);
});

// Annotations.
test('annotations are written as far as they differ; null removes; the provider’s win', () => {
  const of = service({}, { annotations: { same: '1', other: '1', gone: '1', user: 'x' } });
  const outcome: Outcome = { ...pending, annotations: { z: '1', same: '1', other: '2', gone: null, absent: null } };
  const patch = statusPatch(of, outcome, { nowMs, annotations: { other: '3', mine: 'm' } });
  assert.deepEqual(Object.entries(patch?.metadata.annotations ?? {}), [
    ['gone', null],
    ['mine', 'm'],
    ['other', '2'],
    ['z', '1'],
  ]);
  assert.deepEqual(applied(of, patch).metadata.annotations, { same: '1', other: '2', user: 'x', mine: 'm', z: '1' });
});

// Stamps.
const stampOf = (patch: StatusPatch | undefined, type: string) => {
  const entry = patch?.status?.conditions?.find((each) => each.type === type);
  return entry !== undefined && 'lastTransitionTime' in entry ? entry.lastTransitionTime : undefined;
};
test('a stamp stays while the status stays: another message or reason moves nothing', () => {
  const patch = statusPatch(provisioning, { ...pending, reason: 'something else' }, options);
  assert.equal(stampOf(patch, 'LoadBalancerProvisioning'), before);
  assert.equal(stampOf(statusPatch(provisioning, failed('transient', third), options), 'LoadBalancerServing'), before);
});
test('the stamp of Provisioning moves at each relevant spec change, even if the status stays', () => {
  assert.equal(
    stampOf(statusPatch(provisioning, started, { nowMs, specChanged: true }), 'LoadBalancerProvisioning'),
    now,
  );
  assert.equal(stampOf(statusPatch(serving, ready, { nowMs, specChanged: true }), 'LoadBalancerProvisioning'), now);
  assert.equal(stampOf(statusPatch(serving, ready, { nowMs, specChanged: true }), 'LoadBalancerServing'), before);
});
test('the stamp of Serving moves at each change that is visible outside, even if the status stays', () => {
  const moved: Outcome = { state: 'ready', ingress: [{ ip: '192.0.2.9' }] };
  assert.equal(stampOf(statusPatch(serving, moved, options), 'LoadBalancerServing'), now);
  assert.equal(stampOf(statusPatch(serving, moved, options), 'LoadBalancerProvisioning'), before);
});
test('every written condition has a stamp with the precision of a second', () => {
  for (const [name, from, outcome] of table) {
    for (const entry of statusPatch(from, outcome, options)?.status?.conditions ?? []) {
      if ('$patch' in entry) assert.deepEqual(Object.keys(entry), ['type', '$patch']);
      else assert.match(entry.lastTransitionTime ?? '', /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/, name);
    }
  }
});
test('a condition without a stamp gets one', () => {
  const bare = shows(
    [{ type: 'LoadBalancerProvisioning', status: 'False', reason: 'Complete', message: 'Nothing more to do' }],
    at,
  );
  assert.equal(stampOf(statusPatch(bare, ready, options), 'LoadBalancerProvisioning'), now);
});

// Generation.
for (const [generation, expected] of [
  [undefined, undefined],
  [0, undefined],
  [3, 3],
] as const) {
  test(`observedGeneration at generation ${generation} is ${expected}`, () => {
    const of = shows([], [], generation === undefined ? {} : { generation });
    for (const entry of statusPatch(of, ready, options)?.status?.conditions ?? []) {
      assert.equal('observedGeneration' in entry ? entry.observedGeneration : undefined, expected);
    }
  });
}
test('a newer generation is noted although the conditions say the same', () => {
  const of = service({}, { generation: 2 });
  const settled = applied(of, statusPatch(of, ready, options));
  const newer = freeze({ ...settled, metadata: { ...settled.metadata, generation: 3 } });
  assert.equal(statusPatch(settled, ready, options), undefined);
  assert.equal(statusPatch(newer, ready, options)?.status?.conditions?.length, 2);
});

// Messages.
const messageOf = (patch: StatusPatch | undefined, type: string) => {
  const entry = patch?.status?.conditions?.find((each) => each.type === type);
  return entry !== undefined && 'message' in entry ? entry.message : undefined;
};
test('messages name field, text and code, and what lacks', () => {
  assert.equal(
    messageOf(statusPatch(nothing, failed('invalid'), options), 'LoadBalancerServing'),
    'invalid: spec.x: it broke (X_SOME)',
  );
  assert.equal(
    messageOf(statusPatch(serving, failed('quota'), options), 'LoadBalancerDegraded'),
    'The last good load balancer serves. quota: spec.x: it broke (X_SOME)',
  );
  const lacks = readyWith(
    lack('PortsNotSupported', 'no UDP', 'spec.ports[1]'),
    lack('LoadBalancerIPNotSupported', 'no wish'),
  );
  assert.equal(
    messageOf(statusPatch(nothing, lacks, options), 'LoadBalancerDegraded'),
    'spec.ports[1]: no UDP; no wish',
  );
  assert.equal(
    messageOf(statusPatch(nothing, pending, options), 'LoadBalancerProvisioning'),
    'waiting for the address',
  );
  const named: Outcome = { state: 'ready', ingress: [{ hostname: 'a.example' }, { ip: '192.0.2.1' }] };
  assert.equal(
    messageOf(statusPatch(nothing, named, options), 'LoadBalancerServing'),
    'Accepts connections at a.example, 192.0.2.1',
  );
});
test('a message is cut to a readable length', () => {
  const lengthOf = (length: number) =>
    messageOf(statusPatch(nothing, { ...pending, reason: 'x'.repeat(length) }, options), 'LoadBalancerProvisioning');
  assert.deepEqual(
    [2047, 2048, 2049, 9000].map((length) => lengthOf(length)?.length),
    [2047, 2048, 2048, 2048],
  );
  assert.equal(lengthOf(2048)?.endsWith('xxx'), true);
  assert.equal(lengthOf(2049)?.endsWith('x...'), true);
});
test('a cloud’s error that differs in numbers only is not written again, a user’s error is', () => {
  const say = (kind: ErrorKind, message: string) => failed(kind, third, 'X_SOME', message);
  for (const kind of ['quota', 'transient'] as const) {
    const first = applied(nothing, statusPatch(nothing, say(kind, 'request 8f3a-11 failed, try 3'), options));
    assert.equal(statusPatch(first, say(kind, 'request 99 failed, try 4'), options), undefined, kind);
    assert.notEqual(statusPatch(first, say(kind, 'quite another failure'), options), undefined, kind);
  }
  for (const from of [nothing, serving]) {
    const first = applied(from, statusPatch(from, say('invalid', '10.0.0.1/33'), options));
    assert.notEqual(statusPatch(first, say('invalid', '10.0.0.1/34'), options), undefined);
  }
  const standing = applied(serving, statusPatch(serving, say('quota', 'limit 5'), options));
  assert.equal(statusPatch(standing, say('quota', 'limit 6'), options), undefined);
});

// Clearing.
test('leaving type LoadBalancer takes conditions, ingress, answers and finalizer in one patch, and nothing foreign', () => {
  const left = service(
    { type: 'ClusterIP' },
    {
      finalizers: ['foo', OWN_FINALIZER],
      annotations: {
        'fairlead.dev/observed-spec': 'x',
        'metallb.io/ip-allocated-from-pool': 'p',
        'cloud.google.com/neg-status': '{}',
        'service.kubernetes.io/backend-service': 'b',
        'metallb.io/address-pool': 'wish',
      },
    },
    {
      loadBalancer: { ingress: at },
      conditions: [...conditions('False/Complete', 'True/Serving', 'True/StaleSpec'), condition('Foreign', 'True/x')],
    },
  );
  const patch = clearPatch(left, {
    finalizers: [OWN_FINALIZER, STANDARD_FINALIZER],
    annotations: { 'service.kubernetes.io/backend-service': null },
  });
  assert.deepEqual(patch, {
    metadata: {
      ...guard,
      '$deleteFromPrimitiveList/finalizers': [OWN_FINALIZER],
      annotations: {
        'fairlead.dev/observed-spec': null,
        'metallb.io/ip-allocated-from-pool': null,
        'service.kubernetes.io/backend-service': null,
      },
    },
    status: {
      conditions: CONDITION_TYPES.map((type) => ({ type, $patch: 'delete' })),
      loadBalancer: { ingress: null },
    },
  });
  const after = applied(left, patch);
  assert.deepEqual(after.metadata.finalizers, ['foo']);
  assert.deepEqual(after.metadata.annotations, {
    'cloud.google.com/neg-status': '{}',
    'metallb.io/address-pool': 'wish',
  });
  assert.deepEqual(after.status, { loadBalancer: {}, conditions: [condition('Foreign', 'True/x')] });
  assert.equal(clearPatch(after, { finalizers: [OWN_FINALIZER] }), undefined);
});

// Properties.
const kinds = fc.constantFrom<ErrorKind>('invalid', 'denied', 'quota', 'throttled', 'conflict', 'transient');
const shortfalls = fc.array(
  fc.record({ reason: fc.constantFrom('PortsNotSupported', 'NoHealthyTargets', 'X'), message: fc.string() }),
  { maxLength: 3 },
);
const ips = fc.array(fc.record({ ip: fc.constantFrom('192.0.2.1', '192.0.2.2', '2001:db8::1') }), { maxLength: 2 });
const answers = fc.dictionary(fc.constantFrom('a', 'b', 'c'), fc.option(fc.string()));
const outcomes: fc.Arbitrary<Outcome> = fc.oneof(
  fc.constant(started),
  fc.record({
    state: fc.constant('pending' as const),
    reason: fc.string(),
    retryAfterMs: fc.nat(),
    annotations: answers,
  }),
  fc.record({ state: fc.constant('ready' as const), ingress: ips, shortfalls, annotations: answers }),
  fc
    .record({
      kind: kinds,
      failures: fc.integer({ min: 1, max: 5 }),
      stuckMs: fc.nat(600_000),
      code: fc.constantFrom('A', 'A_UNSUPPORTED'),
      message: fc.string(),
      exists: fc.option(fc.boolean()),
    })
    .map(
      ({ kind, failures, stuckMs, code, message, exists }): Outcome => ({
        state: 'error',
        verdict: verdictOf({ kind, code, message }, { failures, stuckMs, during: 'ensure' }),
        ...(exists === null ? {} : { exists }),
      }),
    ),
);
const metadata = fc.record(
  {
    generation: fc.nat(2),
    finalizers: fc.constantFrom([], ['foo'], ['foo', STANDARD_FINALIZER]),
    deletionTimestamp: fc.constant(now),
    annotations: fc.dictionary(fc.constantFrom('a', 'b', 'user'), fc.string()),
  },
  { requiredKeys: [] },
);

test('a patch that was applied leaves nothing to patch, whatever came before', () => {
  fc.assert(
    fc.property(
      metadata,
      fc.array(fc.tuple(outcomes, fc.boolean()), { minLength: 1, maxLength: 6 }),
      (meta, history) => {
        let of: Service = service({}, meta);
        for (const [index, [outcome, specChanged]] of history.entries()) {
          const how = { nowMs: nowMs + index * 60_000, finalizer: STANDARD_FINALIZER };
          of = applied(of, statusPatch(of, outcome, { ...how, specChanged }));
          assert.equal(statusPatch(of, outcome, { ...how, nowMs: how.nowMs + 1_000_000 }), undefined);
        }
      },
    ),
    { numRuns: 500 },
  );
});

test('whatever happens: spec, foreign finalizers, foreign annotations and foreign conditions are untouched, and each patch is guarded', () => {
  fc.assert(
    fc.property(metadata, fc.array(outcomes, { minLength: 1, maxLength: 6 }), (meta, history) => {
      const start = service({}, meta, { conditions: [condition('Foreign', 'False/x')] });
      let of: Service = start;
      for (const outcome of history) {
        const patch = statusPatch(of, outcome, { nowMs, finalizer: STANDARD_FINALIZER });
        if (patch !== undefined)
          assert.deepEqual([patch.metadata.uid, patch.metadata.resourceVersion], [guard.uid, '7']);
        of = applied(of, patch);
      }
      const end = applied(
        of,
        clearPatch(of, { finalizers: [STANDARD_FINALIZER], annotations: { a: null, b: null, c: null } }),
      );
      for (const each of [of, end]) {
        assert.deepEqual(each.spec, start.spec);
        assert.equal(each.metadata.annotations?.['user'], start.metadata.annotations?.['user']);
        assert.equal(
          each.metadata.finalizers?.includes('foo') === true,
          start.metadata.finalizers?.includes('foo') === true,
        );
        assert.deepEqual(
          each.status?.conditions?.find(({ type }) => type === 'Foreign'),
          condition('Foreign', 'False/x'),
        );
      }
      assert.equal(told(end), '- - -');
      assert.equal(end.status?.loadBalancer?.ingress, undefined);
    }),
  );
});

test('an address once published goes only by a ready outcome or by certain absence', () => {
  fc.assert(
    fc.property(outcomes, (outcome) => {
      const after = applied(serving, statusPatch(serving, outcome, options)).status?.loadBalancer?.ingress ?? [];
      const mayGo = outcome.state === 'ready' || (outcome.state === 'error' && outcome.exists === false);
      assert.ok(mayGo || after.length === 1);
    }),
  );
});

test('readiness gates are shown with the ready outcome that names them, and go with it or with the load balancer', () => {
  const gatesOn = (of: Service) => of.metadata.annotations?.['fairlead.dev/readiness-gates'];
  const gated: Outcome = { ...ready, gates: ['x.dev/b', 'x.dev/a'] } as Outcome;
  const first = applied(serving, statusPatch(serving, gated, options));
  assert.equal(gatesOn(first), `${guard.uid}:x.dev/a,x.dev/b`);
  assert.equal(statusPatch(first, gated, options), undefined);
  assert.equal(gatesOn(applied(first, statusPatch(first, pending, options))), gatesOn(first));
  const gone = { ...failed('transient'), exists: false } as Outcome;
  for (const after of [statusPatch(first, ready, options), statusPatch(first, gone, options)]) {
    assert.equal(gatesOn(applied(first, after)), undefined);
  }
  assert.equal(gatesOn(applied(first, clearPatch(first, { finalizers: [] }))), undefined);
});
