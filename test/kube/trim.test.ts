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

test('trim: the lists of images and volumes of a Node, and no other kind loses a field of these names', () => {
  const status = { addresses: [{ type: 'InternalIP', address: '10.0.0.1' }], images: [{}], volumesInUse: ['a'] };
  const node = trim({ apiVersion: 'v1', kind: 'Node', metadata: { ...base }, status } as unknown as KubeObject);
  assert.deepEqual(node, {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: base,
    status: { addresses: [{ type: 'InternalIP', address: '10.0.0.1' }] },
  });
  const other = { apiVersion: 'example.com/v1', kind: 'Node', metadata: { ...base }, status: { images: [1] } };
  assert.deepEqual(trim(other as unknown as KubeObject), structuredClone(other));
  const plain = { apiVersion: 'v1', kind: 'Node', metadata: { ...base } };
  assert.deepEqual(trim(plain as unknown as KubeObject), structuredClone(plain));
});
