import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { KubeObject } from '../../src/core/objects.ts';
import { trim } from '../../src/kube/trim.ts';

const LAST_APPLIED = 'kubectl.kubernetes.io/last-applied-configuration';
const base = { name: 'a', uid: 'u', resourceVersion: '1', creationTimestamp: '' };

const cases: readonly { readonly name: string; readonly metadata: object; readonly expected: object }[] = [
  { name: 'nothing to take', metadata: base, expected: base },
  {
    name: 'managedFields and the manifest of kubectl apply, and nothing else',
    metadata: { ...base, annotations: { [LAST_APPLIED]: '{}', mine: 'x' }, managedFields: [{ manager: 'm' }] },
    expected: { ...base, annotations: { mine: 'x' } },
  },
  {
    name: 'the only annotation',
    metadata: { ...base, annotations: { [LAST_APPLIED]: '{}' }, finalizers: ['f'] },
    expected: { ...base, annotations: {}, finalizers: ['f'] },
  },
];
for (const { name, metadata, expected } of cases) {
  test(`trim: ${name}`, () => {
    const object = { kind: 'Service', metadata, spec: { type: 'LoadBalancer' } } as unknown as KubeObject;
    assert.deepEqual(trim(object), { kind: 'Service', metadata: expected, spec: { type: 'LoadBalancer' } });
  });
}
