import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createPatches, type Patches, type Target } from '../../src/kube/patch.ts';
import type { Client, Sent } from '../../src/kube/request.ts';
import { resources } from '../../src/kube/resource.ts';

const { signal } = new AbortController();
const target: Target = { resource: resources.services, namespace: 'default', name: 'a', subresource: 'status' };
const root = '/api/v1/namespaces/default/services/a/status?fieldManager=fairlead';

const cases: readonly {
  readonly name: string;
  readonly send: (patches: Patches) => Promise<unknown>;
  readonly path: string;
  readonly contentType: string;
  readonly body: object;
}[] = [
  {
    name: 'strategic',
    send: (patches) => patches.strategic(target, { metadata: { finalizers: ['f'] } }, signal),
    path: root,
    contentType: 'application/strategic-merge-patch+json',
    body: { metadata: { finalizers: ['f'] } },
  },
  {
    name: 'merge',
    send: (patches) => patches.merge({ resource: resources.nodes, name: 'n' }, { spec: { providerID: 'x' } }, signal),
    path: '/api/v1/nodes/n?fieldManager=fairlead',
    contentType: 'application/merge-patch+json',
    body: { spec: { providerID: 'x' } },
  },
  {
    name: 'json',
    send: (patches) => patches.json(target, [{ op: 'remove', path: '/spec/taints/0' }], signal),
    path: root,
    contentType: 'application/json-patch+json',
    body: [{ op: 'remove', path: '/spec/taints/0' }],
  },
  {
    name: 'apply by force',
    send: (patches) => patches.apply(target, { kind: 'Service' }, { force: true }, signal),
    path: `${root}&force=true`,
    contentType: 'application/apply-patch+yaml',
    body: { kind: 'Service' },
  },
  {
    name: 'apply',
    send: (patches) => patches.apply(target, { kind: 'Service' }, { force: false }, signal),
    path: `${root}&force=false`,
    contentType: 'application/apply-patch+yaml',
    body: { kind: 'Service' },
  },
];
for (const { name, send, path, contentType, body } of cases) {
  test(`patch request: ${name}`, async () => {
    const sent: Sent[] = [];
    const client = { call: async (one: Sent) => void sent.push(one) } as unknown as Client;
    await send(createPatches(client));
    assert.deepEqual(sent, [{ method: 'PATCH', path, contentType, body, signal }]);
  });
}
