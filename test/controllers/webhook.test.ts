import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createWebhook, webhookResponder } from '../../src/controllers/webhook.ts';
import type { KubeObject, Service } from '../../src/core/objects.ts';
import { GATES_ANNOTATION } from '../../src/core/readiness/gates.ts';
import { createStore } from '../../src/kube/store.ts';

const services = createStore<Service>({ indexes: { gated: ({ metadata }) => [metadata.namespace ?? ''] } });
const namespaces = createStore<KubeObject>();
services.set({
  metadata: {
    name: 'web',
    namespace: 'shop',
    uid: 'u1',
    resourceVersion: '1',
    annotations: { [GATES_ANNOTATION]: 'u1:x.dev/web' },
  },
  spec: { type: 'LoadBalancer', selector: { app: 'web' } },
  status: { loadBalancer: { ingress: [{ hostname: 'lb' }] } },
} as unknown as Service);
for (const name of ['shop', 'other']) {
  const labels = { 'elbv2.k8s.aws/pod-readiness-gate-inject': 'enabled' };
  namespaces.set({ metadata: { name, labels, uid: name, resourceVersion: '1' } } as unknown as KubeObject);
}
const webhook = createWebhook({ services, namespaces });

/** A review as kube-apiserver 1.37 posts it; `request` over a pod of the Service. */
const review = (request: object = {}) =>
  JSON.stringify({
    kind: 'AdmissionReview',
    apiVersion: 'admission.k8s.io/v1',
    request: {
      uid: '705ab4f5-6393-11e8-b7cc-42010a800002',
      kind: { group: '', version: 'v1', kind: 'Pod' },
      resource: { group: '', version: 'v1', resource: 'pods' },
      namespace: 'shop',
      operation: 'CREATE',
      userInfo: { username: 'system:serviceaccount:kube-system:replicaset-controller' },
      object: {
        kind: 'Pod',
        apiVersion: 'v1',
        metadata: { generateName: 'web-5d9f-', labels: { app: 'web' } },
        spec: { containers: [{ name: 'c', image: 'c' }] },
      },
      oldObject: null,
      dryRun: false,
      ...request,
    },
  });
const gates = [
  { op: 'add', path: '/spec/readinessGates', value: [{ conditionType: 'x.dev/web' }] },
  { op: 'add', path: '/metadata/annotations', value: { [GATES_ANNOTATION]: 'x.dev/web' } },
];

const table: readonly { readonly name: string; readonly request?: object; readonly patch?: readonly object[] }[] = [
  { name: 'a new pod of a served Service gets its gate', patch: gates },
  { name: 'a pod of another namespace nothing', request: { namespace: 'other' } },
  { name: 'a pod of a namespace that is not known nothing', request: { namespace: 'new' } },
  { name: 'an update nothing', request: { operation: 'UPDATE' } },
  { name: 'a deletion, which has no object, nothing', request: { operation: 'DELETE', object: null } },
  { name: 'an ephemeral container nothing', request: { subResource: 'ephemeralcontainers' } },
  { name: 'another kind nothing', request: { resource: { group: 'apps', version: 'v1', resource: 'deployments' } } },
  { name: 'a pod of another group nothing', request: { resource: { group: 'x', version: 'v1', resource: 'pods' } } },
  { name: 'an object that is hardly one nothing', request: { object: {} } },
];
for (const { name, request, patch } of table) {
  test(`webhook: ${name}, and passes`, () => {
    const { apiVersion, kind, response } = webhook.review(review(request));
    assert.deepEqual([apiVersion, kind], ['admission.k8s.io/v1', 'AdmissionReview']);
    const { patch: encoded, ...rest } = response;
    const plain = { uid: '705ab4f5-6393-11e8-b7cc-42010a800002', allowed: true };
    assert.deepEqual(rest, patch === undefined ? plain : { ...plain, patchType: 'JSONPatch' });
    const decoded = encoded === undefined ? undefined : JSON.parse(Buffer.from(encoded, 'base64').toString());
    assert.deepEqual(decoded, patch);
  });
}

test('over HTTP: what is no review is refused with its reason, another path is not there, too early is said', async () => {
  const respond = webhookResponder((body) => webhook.review(body));
  const ask = async (body: string, path = '/mutate-v1-pod', by = respond) =>
    await by({ url: new URL(path, 'https://host'), body, isLocal: false, authorization: undefined });
  const fine = await ask(review());
  assert.deepEqual([fine?.status, fine?.contentType], [200, 'application/json']);
  assert.equal(JSON.parse(fine?.body ?? '').response.allowed, true);
  const bodies = [
    '',
    '{',
    'null',
    '[]',
    '{"apiVersion":"admission.k8s.io/v1beta1","request":{"uid":"x"}}',
    review({ uid: 7 }),
  ];
  for (const body of bodies) assert.equal((await ask(body))?.status, 400, body);
  assert.equal(await ask(review(), '/'), undefined);
  const early = webhookResponder(() => undefined);
  assert.equal((await ask(review(), '/mutate-v1-pod', early))?.status, 503);
});
