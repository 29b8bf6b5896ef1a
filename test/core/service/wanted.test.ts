import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ManagedFields, ObjectMeta, ServiceSpec, ServiceStatus } from '../../../src/core/objects.ts';
import {
  type Decision,
  decide,
  defaultClasses,
  finalizerFor,
  finalizerWriters,
  foreignFinalizers,
  needsCleanup,
  OWN_FINALIZER,
  type Settled,
  STANDARD_FINALIZER,
  selectionOf,
  settle,
  type Undecided,
  wantedOf,
} from '../../../src/core/service/wanted.ts';
import { service } from './fixture.ts';

const both = selectionOf(['none', 'fairlead.dev/onprem']);
const onlyClass = selectionOf(['fairlead.dev/onprem']);
const ours = { loadBalancerClass: 'fairlead.dev/onprem' };
const foreign = { loadBalancerClass: 'custom-loadbalancer' };
const gone = { deletionTimestamp: '2026-03-02T00:00:00Z' };
const standard = { finalizers: [STANDARD_FINALIZER] };
const own = { finalizers: [OWN_FINALIZER] };
const published: ServiceStatus = { loadBalancer: { ingress: [{ ip: '8.8.8.8' }] } };

test('`none` in the flag stands for Services without a class', () => {
  assert.deepEqual(both, { classes: new Set(['', 'fairlead.dev/onprem']) });
});

const defaults = [
  {
    name: 'on-prem',
    provider: { classes: ['fairlead.dev/onprem'] },
    defaultClass: false,
    expected: ['none', 'fairlead.dev/onprem'],
  },
  { name: 'a provider without classes', provider: {}, defaultClass: false, expected: ['none'] },
  {
    name: 'AWS',
    provider: { classes: ['a', 'b'], classlessByFlag: true as const },
    defaultClass: false,
    expected: ['a', 'b'],
  },
  {
    name: 'AWS with --default-class',
    provider: { classes: ['a'], classlessByFlag: true as const },
    defaultClass: true,
    expected: ['none', 'a'],
  },
];
for (const { name, provider, defaultClass, expected } of defaults) {
  test(`default classes of ${name}`, () => assert.deepEqual(defaultClasses(provider, { defaultClass }), expected));
}

const verdicts: readonly {
  readonly name: string;
  readonly spec?: Partial<ServiceSpec>;
  readonly metadata?: Partial<ObjectMeta>;
  readonly selection?: typeof both;
  readonly expected: unknown;
}[] = [
  { name: 'classless', expected: { want: true } },
  { name: 'our class', spec: ours, expected: { want: true } },
  { name: 'our class where classless is not served', spec: ours, selection: onlyClass, expected: { want: true } },
  {
    name: 'classless where that is not served',
    selection: onlyClass,
    expected: {
      want: false,
      code: 'classless',
      reason:
        'spec.loadBalancerClass is not set, and Services without a class are not served here (classes: fairlead.dev/onprem)',
    },
  },
  {
    name: 'a foreign class',
    spec: foreign,
    expected: {
      want: false,
      code: 'foreign-class',
      reason: 'spec.loadBalancerClass "custom-loadbalancer" is not served here (classes: none,fairlead.dev/onprem)',
    },
  },
  {
    name: 'ClusterIP',
    spec: { type: 'ClusterIP' },
    expected: { want: false, code: 'not-load-balancer', reason: 'spec.type is ClusterIP, not LoadBalancer' },
  },
  {
    name: 'deleted',
    metadata: gone,
    expected: { want: false, code: 'deleting', reason: 'the Service is being deleted' },
  },
];
for (const { name, spec, metadata, selection = both, expected } of verdicts) {
  test(`wanted: ${name}`, () => assert.deepEqual(wantedOf(service(spec, metadata), selection), expected));
}

test('a Service without a type is ClusterIP', () => {
  const { type: _type, ...spec } = service().spec;
  const verdict = wantedOf({ ...service(), spec }, both);
  assert.equal(verdict.want ? '' : verdict.code, 'not-load-balancer');
});

// needsCleanup, golden; the last three are Fairlead's.
const cleanups = [
  { name: 'no finalizer', expected: false },
  { name: 'finalizer and NodePort', spec: { type: 'NodePort' as const }, metadata: standard, expected: true },
  { name: 'finalizer and LoadBalancer', metadata: standard, expected: false },
  { name: 'finalizer and deletionTimestamp', metadata: { ...standard, ...gone }, expected: true },
  {
    name: 'foreign class, finalizer, deletionTimestamp',
    spec: foreign,
    metadata: { ...standard, ...gone },
    expected: false,
  },
  { name: 'our class and finalizer, deletionTimestamp', spec: ours, metadata: { ...own, ...gone }, expected: true },
  {
    name: 'foreign class with our own finalizer, deletionTimestamp',
    spec: foreign,
    metadata: { ...own, ...gone },
    expected: false,
  },
  { name: 'deletionTimestamp without finalizer', metadata: gone, expected: false },
];
for (const { name, spec, metadata, expected } of cleanups) {
  test(`needs cleanup: ${name}`, () => assert.equal(needsCleanup(service(spec, metadata), both), expected));
}

test('the finalizer is the standard one only without a class', () => {
  assert.equal(finalizerFor(service()), 'service.kubernetes.io/load-balancer-cleanup');
  assert.equal(finalizerFor(service(ours)), 'fairlead.dev/load-balancer');
});

test('foreign finalizers are all but our own, and but the standard one where that is ours', () => {
  const finalizers = ['z/z', STANDARD_FINALIZER, OWN_FINALIZER, 'a/a'];
  assert.deepEqual(foreignFinalizers(service({}, { finalizers })), ['z/z', 'a/a']);
  assert.deepEqual(foreignFinalizers(service(ours, { finalizers })), ['z/z', STANDARD_FINALIZER, 'a/a']);
});

const deleted = 'the Service is being deleted';
const notLb = 'spec.type is ClusterIP, not LoadBalancer';
const cluster: Partial<ServiceSpec> = { type: 'ClusterIP' };
const decisions: readonly {
  readonly name: string;
  readonly spec?: Partial<ServiceSpec>;
  readonly metadata?: Partial<ObjectMeta>;
  readonly status?: ServiceStatus;
  readonly selection?: typeof both;
  readonly legacy?: readonly string[];
  readonly expected: Decision;
}[] = [
  {
    name: 'a new classless Service',
    expected: { do: 'ensure', finalizer: STANDARD_FINALIZER, hasFinalizer: false, reason: 'it is ours' },
  },
  {
    name: 'a classless Service with its finalizer',
    metadata: standard,
    expected: { do: 'ensure', finalizer: STANDARD_FINALIZER, hasFinalizer: true, reason: 'it is ours' },
  },
  {
    name: 'our class with the standard finalizer of somebody else',
    spec: ours,
    metadata: standard,
    expected: { do: 'ensure', finalizer: OWN_FINALIZER, hasFinalizer: false, reason: 'it is ours' },
  },
  {
    name: 'a foreign class being deleted, with both finalizers and an ingress',
    spec: foreign,
    metadata: { finalizers: [STANDARD_FINALIZER, OWN_FINALIZER], ...gone },
    status: published,
    expected: {
      do: 'none',
      reason: 'spec.loadBalancerClass "custom-loadbalancer" is not served here (classes: none,fairlead.dev/onprem)',
    },
  },
  {
    name: 'classless and deleted',
    metadata: { finalizers: ['a/b', STANDARD_FINALIZER], ...gone },
    expected: { do: 'remove', finalizers: [STANDARD_FINALIZER], reason: deleted },
  },
  {
    name: 'classless and deleted, with our finalizer of an earlier class',
    metadata: { finalizers: [STANDARD_FINALIZER, OWN_FINALIZER], ...gone },
    expected: { do: 'remove', finalizers: [OWN_FINALIZER, STANDARD_FINALIZER], reason: deleted },
  },
  {
    name: 'deleted, our finalizer taken off by hand: parts may be left',
    metadata: { finalizers: ['a/b'], ...gone },
    expected: { do: 'remove', finalizers: [], reason: deleted },
  },
  {
    name: 'our class, deleted, with both finalizers: ours goes, the other may be its owner’s',
    spec: ours,
    metadata: { finalizers: [STANDARD_FINALIZER, OWN_FINALIZER], ...gone },
    expected: { do: 'remove', finalizers: [OWN_FINALIZER], reason: deleted },
  },
  {
    name: 'our class, deleted, only the standard finalizer left',
    spec: ours,
    metadata: { ...standard, ...gone },
    expected: { do: 'undecided', finalizers: [STANDARD_FINALIZER], classless: true, reason: deleted },
  },
  {
    name: 'a finalizer that the provider takes over',
    spec: ours,
    metadata: { finalizers: ['service.k8s.aws/resources', OWN_FINALIZER], ...gone },
    legacy: ['service.k8s.aws/resources'],
    expected: { do: 'remove', finalizers: [OWN_FINALIZER, 'service.k8s.aws/resources'], reason: deleted },
  },
  { name: 'ClusterIP, plain', spec: cluster, expected: { do: 'none', reason: notLb } },
  {
    name: 'ClusterIP with our own finalizer: the type change cleared the class',
    spec: cluster,
    metadata: own,
    expected: { do: 'remove', finalizers: [OWN_FINALIZER], reason: notLb },
  },
  {
    name: 'ClusterIP with the standard finalizer',
    spec: cluster,
    metadata: standard,
    status: published,
    expected: { do: 'undecided', finalizers: [STANDARD_FINALIZER], classless: true, reason: notLb },
  },
  {
    name: 'ClusterIP with the standard finalizer beside a CCM',
    spec: cluster,
    metadata: standard,
    selection: onlyClass,
    expected: { do: 'undecided', finalizers: [STANDARD_FINALIZER], classless: false, reason: notLb },
  },
  {
    name: 'ClusterIP with an ingress and no finalizer (MetalLB sets none)',
    spec: cluster,
    status: published,
    expected: { do: 'undecided', finalizers: [], classless: true, reason: notLb },
  },
  {
    name: 'ClusterIP with a condition of ours and no finalizer',
    spec: cluster,
    status: { conditions: [{ type: 'LoadBalancerServing', status: 'True' }] },
    expected: { do: 'undecided', finalizers: [], classless: true, reason: notLb },
  },
  {
    name: 'ClusterIP with a foreign condition',
    spec: cluster,
    status: { conditions: [{ type: 'Ready', status: 'True' }] },
    expected: { do: 'none', reason: notLb },
  },
  {
    name: 'classless beside a CCM',
    metadata: standard,
    selection: onlyClass,
    expected: {
      do: 'none',
      reason:
        'spec.loadBalancerClass is not set, and Services without a class are not served here (classes: fairlead.dev/onprem)',
    },
  },
  {
    name: 'classless, deleted, after the flag was taken away',
    metadata: { ...standard, ...gone },
    selection: onlyClass,
    expected: {
      do: 'undecided',
      finalizers: [STANDARD_FINALIZER],
      classless: false,
      reason:
        'spec.loadBalancerClass is not set, and Services without a class are not served here (classes: fairlead.dev/onprem)',
    },
  },
];
for (const { name, spec, metadata, status, selection = both, legacy, expected } of decisions) {
  test(`decides: ${name}`, () => {
    assert.deepEqual(decide(service(spec, metadata, status), selection, legacy), expected);
  });
}

const wroteFinalizer = (manager: string): ManagedFields => ({
  manager,
  operation: 'Update',
  subresource: 'status',
  fieldsV1: { 'f:metadata': { 'f:finalizers': { '.': {}, [`v:"${STANDARD_FINALIZER}"`]: {} } } },
});
const wroteStatus = (manager: string): ManagedFields => ({
  manager,
  fieldsV1: { 'f:status': { 'f:loadBalancer': { 'f:ingress': {} } } },
});
const wroteCondition = (manager: string): ManagedFields => ({
  manager,
  fieldsV1: { 'f:status': { 'f:conditions': { 'k:{"type":"LoadBalancerServing"}': { '.': {} } } } },
});

test('the writers of a finalizer are found in the field sets, whatever else those hold', () => {
  const managedFields: ManagedFields[] = [
    { manager: 'kubectl', fieldsV1: { 'f:spec': {} } },
    { manager: 'empty' },
    { manager: 'scalar', fieldsV1: { 'f:metadata': 'x' } },
    wroteFinalizer('cloud-controller-manager'),
    { ...wroteFinalizer('x'), fieldsV1: { 'f:metadata': { 'f:finalizers': { 'v:"foo"': {} } } } },
  ];
  assert.deepEqual(finalizerWriters(service({}, { managedFields }), STANDARD_FINALIZER), ['cloud-controller-manager']);
});

const left: Undecided = { do: 'undecided', finalizers: [STANDARD_FINALIZER], classless: true, reason: notLb };
const remove: Settled = { do: 'remove', finalizers: [STANDARD_FINALIZER], reason: notLb };
const foreignTo = (who: string, warn: boolean): Settled => ({
  do: 'foreign',
  warn,
  reason: `finalizer ${STANDARD_FINALIZER} was written by ${who} and no part of ours exists: it is left as it is`,
});
const takeover = ['cloud-controller-manager'];
const settled: readonly {
  readonly name: string;
  readonly undecided?: Partial<Undecided>;
  readonly owned?: boolean;
  readonly fields?: readonly ManagedFields[];
  readonly takeover?: readonly string[];
  readonly expected: Settled;
}[] = [
  { name: 'parts of ours exist', owned: true, fields: [wroteFinalizer('x')], expected: remove },
  { name: 'we wrote it', fields: [wroteFinalizer('fairlead')], expected: remove },
  {
    name: 'a manager that we take over from wrote it',
    fields: [wroteFinalizer('cloud-controller-manager')],
    expected: remove,
  },
  {
    name: 'that manager without the take-over',
    takeover: [],
    fields: [wroteFinalizer('cloud-controller-manager')],
    expected: foreignTo('cloud-controller-manager', true),
  },
  {
    name: 'somebody else wrote it',
    fields: [wroteFinalizer('b'), wroteFinalizer('a'), wroteStatus('fairlead')],
    expected: foreignTo('a, b', true),
  },
  { name: 'nobody knows who wrote it', expected: foreignTo('nobody on record', true) },
  {
    name: 'beside a CCM its own finalizer is its own',
    undecided: { classless: false },
    fields: [wroteFinalizer('cloud-controller-manager')],
    expected: foreignTo('cloud-controller-manager', false),
  },
  {
    name: 'beside another Fairlead too',
    undecided: { classless: false },
    fields: [wroteFinalizer('fairlead')],
    expected: foreignTo('fairlead', false),
  },
  { name: 'beside a CCM parts of ours still prove it', undecided: { classless: false }, owned: true, expected: remove },
  {
    name: 'a status that we wrote',
    undecided: { finalizers: [] },
    fields: [wroteStatus('fairlead')],
    expected: { ...remove, finalizers: [] },
  },
  {
    name: 'a condition that we wrote',
    undecided: { finalizers: [] },
    fields: [wroteCondition('fairlead')],
    expected: { ...remove, finalizers: [] },
  },
  {
    name: 'a status of somebody else is no warning',
    undecided: { finalizers: [] },
    fields: [wroteStatus('other')],
    expected: {
      do: 'foreign',
      warn: false,
      reason: 'the load balancer status was written by other and no part of ours exists: it is left as it is',
    },
  },
];
for (const { name, undecided, owned = false, fields = [], takeover: from = takeover, expected } of settled) {
  test(`settles: ${name}`, () => {
    const live = service(cluster, { managedFields: fields });
    assert.deepEqual(settle({ ...left, ...undecided }, { owned, live, takeover: from }), expected);
  });
}
