import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Service, ServiceSpec } from '../../../src/core/objects.ts';
import { needsUpdate } from '../../../src/core/service/changes.ts';
import { desiredOf } from '../../../src/core/service/desired.ts';
import { verdictOf } from '../../../src/core/service/retry.ts';
import {
  clearPatch,
  finalizerPatch,
  type Outcome,
  type StatusPatch,
  statusPatch,
} from '../../../src/core/service/status.ts';
import {
  decide,
  finalizerWriters,
  OWN_FINALIZER,
  STANDARD_FINALIZER,
  selectionOf,
} from '../../../src/core/service/wanted.ts';
import { createPatches } from '../../../src/kube/patch.ts';
import { isConflict } from '../../../src/kube/request.ts';
import { pathOf, resources } from '../../../src/kube/resource.ts';
import { apis } from '../../kube/cluster.ts';

const selection = selectionOf(['none', 'fairlead.dev/onprem']);
const nowMs = Date.UTC(2026, 2, 1, 12, 0, 0);
const signal = () => AbortSignal.timeout(20_000);
const pool = 'metallb.io/ip-allocated-from-pool';

for (const { name: server, start } of apis) {
  test(`${server}: what the service decisions write is taken as it is meant`, async (t) => {
    const api = await start(t);
    if (api === undefined) return;
    const client = api.client();
    const patches = createPatches(client);
    const path = (name: string) => pathOf(resources.services, { namespace: 'default', name });
    const read = (name: string) => client.call<Service>({ method: 'GET', path: path(name), signal: signal() });
    const create = (name: string, spec: Partial<ServiceSpec> = {}) =>
      client.call<Service>({
        method: 'POST',
        path: pathOf(resources.services, { namespace: 'default' }),
        body: {
          apiVersion: 'v1',
          kind: 'Service',
          metadata: { name },
          spec: { type: 'LoadBalancer', selector: { app: name }, ports: [{ port: 80, protocol: 'TCP' }], ...spec },
        },
        signal: signal(),
      });
    const send = (of: Service, patch: StatusPatch | undefined) => {
      assert.notEqual(patch, undefined, 'a patch was expected');
      const name = of.metadata.name;
      const target = { resource: resources.services, namespace: 'default', name, subresource: 'status' } as const;
      return patches.strategic<Service>(target, patch as StatusPatch, signal());
    };
    const edit = (name: string, body: object) =>
      client.call<Service>({
        method: 'PATCH',
        path: path(name),
        contentType: 'application/merge-patch+json',
        body,
        signal: signal(),
      });
    const ready: Outcome = { state: 'ready', ingress: [{ ip: '192.0.2.1' }], annotations: { [pool]: 'p' } };

    await t.test('all in one patch, and after it nothing is left to write', async () => {
      const old = await create('one', { loadBalancerClass: 'fairlead.dev/onprem' });
      const now = await send(old, statusPatch(old, ready, { nowMs, finalizer: OWN_FINALIZER }));
      assert.deepEqual(now.status?.loadBalancer?.ingress, [{ ip: '192.0.2.1', ipMode: 'VIP' }]);
      assert.deepEqual([now.metadata.finalizers, now.metadata.annotations], [[OWN_FINALIZER], { [pool]: 'p' }]);
      assert.deepEqual(now.spec, old.spec);
      const again = await read('one');
      assert.equal(statusPatch(again, ready, { nowMs: nowMs + 1e6, finalizer: OWN_FINALIZER }), undefined);
      assert.equal(needsUpdate(old, again, selection, { facts: true }), false, 'our own write comes back as work');
      const world = { cluster: 'c', members: [], slices: () => [] };
      assert.deepEqual(desiredOf(again, world), desiredOf(old, world));
      assert.deepEqual(finalizerWriters(again, OWN_FINALIZER), ['fairlead']);
    });

    await t.test('other finalizers, annotations and conditions of others survive every step', async () => {
      const plain = await create('two');
      const foreign = {
        type: 'example.com/Other',
        status: 'True',
        reason: 'x',
        message: '',
        lastTransitionTime: '2026-03-01T00:00:00Z',
      };
      await edit('two', { metadata: { finalizers: ['example.com/theirs'], annotations: { theirs: '1' } } });
      await client.call({
        method: 'PATCH',
        path: `${path('two')}/status`,
        contentType: 'application/strategic-merge-patch+json',
        body: { status: { conditions: [foreign] } },
        signal: signal(),
      });
      let now = await read('two');
      now = await send(now, statusPatch(now, { state: 'started' }, { nowMs, finalizer: STANDARD_FINALIZER }));
      now = await send(
        now,
        statusPatch(now, { ...ready, shortfalls: [{ reason: 'PortsNotSupported', message: 'm' }] } as Outcome, {
          nowMs,
        }),
      );
      assert.deepEqual(now.status?.conditions?.map(({ type, status }) => `${type}=${status}`).toSorted(), [
        'LoadBalancerDegraded=True',
        'LoadBalancerProvisioning=False',
        'LoadBalancerServing=True',
        'example.com/Other=True',
      ]);
      now = await send(now, statusPatch(now, ready, { nowMs }));
      assert.equal(
        now.status?.conditions?.some(({ type }) => type === 'LoadBalancerDegraded'),
        false,
      );
      now = await send(now, clearPatch(now, { finalizers: [STANDARD_FINALIZER], annotations: { [pool]: null } }));
      assert.deepEqual(now.status, { loadBalancer: {}, conditions: [foreign] });
      assert.deepEqual([now.metadata.finalizers, now.metadata.annotations], [['example.com/theirs'], { theirs: '1' }]);
      assert.deepEqual(now.spec, plain.spec);
      assert.equal(clearPatch(now, { finalizers: [STANDARD_FINALIZER] }), undefined);
    });

    await t.test('a patch for an older version, or for a namesake made since, is a conflict', async () => {
      const old = await create('three');
      await edit('three', { metadata: { labels: { a: 'b' } } });
      await assert.rejects(send(old, statusPatch(old, ready, { nowMs })), isConflict);
      const before = await read('three');
      await client.call({ method: 'DELETE', path: path('three'), signal: signal() });
      await create('three');
      await assert.rejects(send(before, statusPatch(before, ready, { nowMs })), isConflict);
      const now = await read('three');
      assert.deepEqual([now.status?.loadBalancer, now.status?.conditions], [{}, undefined]);
    });

    await t.test('conditions of an error and ports with errors pass the validation', async () => {
      const old = await create('four');
      const verdict = verdictOf(
        { kind: 'invalid', code: 'FL_SOURCE_RANGE_INVALID', message: `"x" ${'y'.repeat(5000)}`, field: 'spec.x' },
        { failures: 1, stuckMs: 0, during: 'ensure' },
      );
      const refused = await send(old, statusPatch(old, { state: 'error', verdict }, { nowMs }));
      assert.equal(refused.status?.conditions?.find(({ type }) => type === 'LoadBalancerServing')?.reason, 'Invalid');
      const portErrors = [{ port: 53, protocol: 'UDP', error: 'NodePortMissing' }] as const;
      const listeners = [{ name: '', protocol: 'TCP', port: 80, targetPort: 1 }] as const;
      const built = await send(refused, statusPatch(refused, ready, { nowMs, portErrors, listeners }));
      assert.deepEqual(built.status?.loadBalancer?.ingress?.[0]?.ports, [{ port: 80, protocol: 'TCP' }, ...portErrors]);
      assert.equal(statusPatch(built, ready, { nowMs, portErrors, listeners }), undefined);
    });

    await t.test('leaving type LoadBalancer, and being deleted, end without a trace', async () => {
      const old = await create('five', { loadBalancerClass: 'fairlead.dev/onprem' });
      const served = await send(old, statusPatch(old, ready, { nowMs, finalizer: OWN_FINALIZER }));
      const left = await edit('five', { spec: { type: 'ClusterIP', loadBalancerClass: null } });
      assert.ok(needsUpdate(served, left, selection));
      const decision = decide(left, selection);
      assert.deepEqual(decision, {
        do: 'remove',
        finalizers: [OWN_FINALIZER],
        reason: 'spec.type is ClusterIP, not LoadBalancer',
      });
      const bare = await send(left, clearPatch(left, { finalizers: [OWN_FINALIZER] }));
      assert.deepEqual([bare.metadata.finalizers ?? [], bare.status], [[], { loadBalancer: {} }]);
      assert.deepEqual(decide(bare, selection).do, 'none');

      const doomed = await create('six');
      const held = await send(doomed, statusPatch(doomed, ready, { nowMs, finalizer: STANDARD_FINALIZER }));
      await client.call({ method: 'DELETE', path: path('six'), signal: signal() });
      const leaving = await read('six');
      assert.ok(needsUpdate(held, leaving, selection));
      await send(leaving, clearPatch(leaving, { finalizers: [STANDARD_FINALIZER] }));
      await assert.rejects(read('six'), { status: 404 });
    });

    await t.test('the finalizer alone', async () => {
      const old = await create('seven');
      const added = await send(old, finalizerPatch(old, { add: STANDARD_FINALIZER }));
      assert.deepEqual(added.metadata.finalizers, [STANDARD_FINALIZER]);
      const removed = await send(added, finalizerPatch(added, { remove: [STANDARD_FINALIZER] }));
      assert.deepEqual(removed.metadata.finalizers ?? [], []);
    });
  });
}
