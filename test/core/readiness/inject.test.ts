import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { KubeObject, Service } from '../../../src/core/objects.ts';
import { GATES_ANNOTATION } from '../../../src/core/readiness/gates.ts';
import { INJECT_LABEL, injection, type NewPod } from '../../../src/core/readiness/inject.ts';

const gate = (name: string) => `target-health.elbv2.k8s.aws/${name}`;
const namespace = (labels: object = { [INJECT_LABEL]: 'enabled' }) =>
  ({ metadata: { name: 'shop', labels } }) as unknown as KubeObject;

interface Options {
  readonly selector?: object;
  readonly gates?: readonly string[];
  readonly ingress?: readonly object[];
  readonly uid?: string;
}
const service = ({
  selector = { app: 'web' },
  gates = [gate('a')],
  ingress = [{ hostname: 'lb' }],
  uid = 'u1',
}: Options) =>
  ({
    metadata: { name: 'web', namespace: 'shop', uid, annotations: { [GATES_ANNOTATION]: `${uid}:${gates.join(',')}` } },
    spec: { type: 'LoadBalancer', selector },
    status: { loadBalancer: { ingress } },
  }) as unknown as Service;
const pod = (more: { readonly metadata?: object; readonly spec?: object } = {}): NewPod =>
  ({ metadata: { labels: { app: 'web', extra: 'x' }, ...more.metadata }, spec: { ...more.spec } }) as NewPod;

const added = [
  { op: 'add', path: '/spec/readinessGates', value: [{ conditionType: gate('a') }] },
  { op: 'add', path: '/metadata/annotations', value: { [GATES_ANNOTATION]: gate('a') } },
];
const table: readonly {
  readonly name: string;
  readonly pod?: NewPod;
  readonly namespace?: KubeObject | undefined;
  readonly services?: readonly Service[];
  readonly expected: readonly object[];
}[] = [
  { name: 'a pod behind a served Service gets its gate, and a mark', expected: added },
  { name: 'not where the namespace does not ask for it', namespace: namespace({}), expected: [] },
  { name: 'not for another value of the label', namespace: namespace({ [INJECT_LABEL]: 'true' }), expected: [] },
  { name: 'not where the namespace is not known', namespace: undefined, expected: [] },
  { name: 'not while the Service is not served', services: [service({ ingress: [] })], expected: [] },
  {
    name: 'not from a Service that selects other pods',
    services: [service({ selector: { app: 'db' } })],
    expected: [],
  },
  {
    name: 'not from a Service of whose labels the pod lacks one',
    services: [service({ selector: { app: 'web', tier: 'front' } })],
    expected: [],
  },
  { name: 'not from a Service without a selector', services: [service({ selector: {} })], expected: [] },
  { name: 'not for a pod without labels', pod: { metadata: {} }, expected: [] },
  {
    name: 'not when it has the gate already',
    pod: pod({ spec: { readinessGates: [{ conditionType: gate('a') }] } }),
    expected: [],
  },
  {
    name: 'those of several Services and ports once each, sorted, after what it has',
    pod: pod({
      metadata: { annotations: { other: 'x' } },
      spec: { readinessGates: [{ conditionType: 'example.com/mine' }, { conditionType: gate('b') }] },
    }),
    services: [service({ gates: [gate('c'), gate('b')] }), service({ uid: 'u2', gates: [gate('c'), gate('a')] })],
    expected: [
      { op: 'add', path: '/spec/readinessGates/-', value: { conditionType: gate('a') } },
      { op: 'add', path: '/spec/readinessGates/-', value: { conditionType: gate('c') } },
      { op: 'add', path: '/metadata/annotations/fairlead.dev~1readiness-gates', value: `${gate('a')},${gate('c')}` },
    ],
  },
];
for (const { name, expected, ...more } of table) {
  test(`injection: ${name}`, () => {
    const around = { namespace: namespace(), services: [service({})], ...more };
    assert.deepEqual(injection(more.pod ?? pod(), around), expected);
  });
}

test('property: after it a pod has every gate once, keeps all that it had, and a second time adds nothing', () => {
  const names = fc.uniqueArray(fc.constantFrom('a', 'b', 'c', 'd').map(gate), { maxLength: 4 });
  fc.assert(
    fc.property(names, names, names, fc.boolean(), (own, first, second, annotated) => {
      const before = pod({
        metadata: annotated ? { annotations: { other: 'x' } } : {},
        ...(own.length === 0 ? {} : { spec: { readinessGates: own.map((conditionType) => ({ conditionType })) } }),
      });
      const services = [service({ gates: first }), service({ uid: 'u2', gates: second })];
      const around = { namespace: namespace(), services };
      const after = applied(before, injection(before, around));
      const gates = (after.spec?.readinessGates ?? []).map(({ conditionType }) => conditionType);
      assert.deepEqual(gates.slice(0, own.length), own);
      assert.deepEqual(gates.toSorted(), [...new Set([...own, ...first, ...second])].sort());
      if (annotated) assert.equal(after.metadata?.annotations?.['other'], 'x');
      assert.deepEqual(injection(after, around), []);
    }),
  );
});

/** RFC 6902 `add`, as far as it is used. */
function applied(before: NewPod, operations: ReturnType<typeof injection>): NewPod {
  const after = structuredClone(before) as Record<string, unknown>;
  for (const { path, value } of operations) {
    const steps = path
      .slice(1)
      .split('/')
      .map((step) => step.replaceAll('~1', '/'));
    const last = steps.pop() as string;
    let at = after as Record<string, unknown> | unknown[];
    for (const step of steps) at = (at as Record<string, unknown>)[step] as typeof at;
    if (Array.isArray(at)) at.push(value);
    else at[last] = value;
  }
  return after as NewPod;
}
