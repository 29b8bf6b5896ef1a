import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createWorld, type Json } from '../api/world.ts';

test('nodes become ready, lose the taint of the new, and renew their leases until the server ends', async () => {
  const { api, must, clock } = createWorld({
    plane: { endpointSlices: false, namespaces: false, owners: false, heartbeats: true },
  });
  await must('POST', '/api/v1/nodes', { metadata: { name: 'n1' } });
  const lease = '/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/n1';
  await clock.advance(10_000);
  const node = await must('GET', '/api/v1/nodes/n1');
  assert.deepEqual(
    node.status.conditions.map(({ type, status }: Json) => `${type}=${status}`),
    ['Ready=True'],
  );
  assert.equal(node.spec.taints, undefined);
  const { renewTime } = (await must('GET', lease)).spec;
  await clock.advance(10_000);
  const later = await must('GET', lease);
  assert.ok(later.spec.renewTime > renewTime);
  const [{ lastTransitionTime, lastHeartbeatTime }] = (await must('GET', '/api/v1/nodes/n1')).status.conditions;
  assert.ok(lastHeartbeatTime > lastTransitionTime);
  await api.close();
  assert.equal(clock.timers, 0);
});
