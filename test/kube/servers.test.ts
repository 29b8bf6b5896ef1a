/** What src/kube needs of an API server, on the sandbox and on the real one: the same file for both. */
import assert from 'node:assert/strict';
import { suite, type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { CoreV1Api, KubeConfig, makeInformer } from '@kubernetes/client-node';
import type { KubeObject, Lease, Service } from '../../src/core/objects.ts';
import type { Log } from '../../src/core/provider.ts';
import { httpTransport, loadKubeConfig } from '../../src/kube/config.ts';
import { createRecorder } from '../../src/kube/events.ts';
import { createLease, type Leadership } from '../../src/kube/lease.ts';
import { list } from '../../src/kube/list.ts';
import { createPatches, type Target } from '../../src/kube/patch.ts';
import { createReflector, type ReflectorOptions } from '../../src/kube/reflector.ts';
import { type ApiError, type Client, createClient, isApiError } from '../../src/kube/request.ts';
import { pathOf, resources } from '../../src/kube/resource.ts';
import { createStore, type Store } from '../../src/kube/store.ts';
import { watch } from '../../src/kube/watch.ts';
import { systemClock } from '../../src/work/clock.ts';
import { startFaultProxy } from '../fake/fault-proxy.ts';
import { type Api, apis } from './cluster.ts';

const { signal } = new AbortController();
const quiet: Log = { debug() {}, info() {}, warn() {}, error() {} };

async function until(condition: () => boolean, what: string): Promise<void> {
  const end = performance.now() + 10_000;
  while (!condition()) {
    if (performance.now() > end) assert.fail(`not within 10 s: ${what}`);
    await sleep(5);
  }
}

/** A namespace of its own for each test. */
async function namespaceFor(client: Client, name: string): Promise<string> {
  await client.call({ method: 'POST', path: '/api/v1/namespaces', body: { metadata: { name } }, signal });
  return name;
}

async function createService(client: Client, namespace: string, name: string): Promise<Service> {
  const body = {
    metadata: { name, labels: { app: name } },
    spec: {
      type: 'LoadBalancer',
      allocateLoadBalancerNodePorts: false,
      ports: [{ port: 80 }],
      selector: { app: name },
    },
  };
  return await client.call({ method: 'POST', path: pathOf(resources.services, { namespace }), body, signal });
}

function reflect(t: TestContext, client: Client, more: Partial<ReflectorOptions<KubeObject>> = {}) {
  const store = createStore<KubeObject>();
  const events: string[] = [];
  store.onChange((old, now) => events.push(`${old?.metadata.name ?? ''}->${now?.metadata.name ?? ''}`));
  const reflector = createReflector<KubeObject>({
    client,
    resource: resources.services,
    store,
    clock: systemClock,
    random: Math.random,
    log: quiet,
    pageSize: 2,
    backoff: { baseMs: 50, capMs: 200 },
    ...more,
  });
  const stop = new AbortController();
  const running = reflector.run(stop.signal);
  t.after(async () => {
    stop.abort(new Error('end of the test'));
    await running;
  });
  return { store, events };
}

const names = (store: Store<KubeObject>) =>
  store
    .list()
    .map(({ metadata }) => metadata.name)
    .sort();

async function refusal(attempt: Promise<unknown>): Promise<ApiError> {
  const error = await attempt.then(
    () => assert.fail('was not refused'),
    (reason: unknown) => reason,
  );
  if (!isApiError(error)) throw error;
  return error;
}

for (const { name: server, start } of apis) {
  suite(`on ${server}`, () => {
    test('the parts of src/kube', { timeout: 120_000 }, async (t) => {
      const api = await start(t);
      if (api === undefined) return;
      for (const [name, run] of Object.entries(cases)) await t.test(name, (part) => run(part, api));
    });
  });
}

const cases: Readonly<Record<string, (t: TestContext, api: Api) => Promise<void>>> = {
  async 'pages make one list, and its watch goes on from there'(_t, api) {
    const client = api.client();
    const namespace = await namespaceFor(client, 'pages');
    for (const name of ['a', 'b', 'c', 'd', 'e']) await createService(client, namespace, name);
    const { items, resourceVersion } = await list<Service>({
      client,
      resource: resources.services,
      timers: systemClock,
      signal,
      namespace,
      pageSize: 2,
    });
    assert.deepEqual(
      items.map(({ metadata }) => metadata.name),
      ['a', 'b', 'c', 'd', 'e'],
    );
    for (const { kind, apiVersion, metadata } of items) {
      assert.deepEqual({ kind, apiVersion }, { kind: 'Service', apiVersion: 'v1' });
      assert.equal(metadata.managedFields, undefined);
    }
    await createService(client, namespace, 'f');
    for await (const { type, object } of watch<Service>({
      client,
      resource: resources.services,
      namespace,
      resourceVersion,
      timeoutSeconds: 5,
      signal,
    })) {
      assert.equal(`${type} ${object.metadata.name} ${object.kind}`, 'ADDED f Service');
      break;
    }
  },

  async 'a reflector follows creates, changes and deletes, and a kill of the server'(t, api) {
    const client = api.client();
    const namespace = await namespaceFor(client, 'follow');
    for (const name of ['a', 'b', 'c']) await createService(client, namespace, name);
    const { store, events } = reflect(t, client, { namespace });
    await store.whenSynced(signal);
    assert.deepEqual(events, ['->a', '->b', '->c']);
    const path = pathOf(resources.services, { namespace, name: 'b' });
    await client.call({ method: 'DELETE', path, signal });
    await createService(client, namespace, 'b');
    await until(() => events.length === 5, 'a deleted and a new b');
    assert.deepEqual(events.slice(3), ['b->', '->b']);

    await api.kill();
    await api.start();
    const after = api.client();
    await createService(after, namespace, 'd');
    await until(() => names(store).includes('d'), 'the news after the restart');
    assert.deepEqual(names(store), ['a', 'b', 'c', 'd']);
    assert.equal(events.length, 6, 'nothing was told twice');
  },

  async 'behind a proxy that breaks connections we go on, where the informer of client-node stops'(t, api) {
    const client = api.client();
    const namespace = await namespaceFor(client, 'broken');
    await createService(client, namespace, 'a');
    const proxy = await startFaultProxy(t, { port: Number(new URL(api.url).port) });
    const url = api.url.replace(/:\d+$/, `:${proxy.port}`);
    const kubeconfig = api.writeKubeconfig({ name: 'proxied', url });
    const transport = httpTransport(loadKubeConfig({ kubeconfig, env: {} }));
    t.after(() => transport.close());
    const { store } = reflect(t, createClient({ transport, clock: systemClock }), { namespace });

    const config = new KubeConfig();
    config.loadFromFile(kubeconfig);
    const core = config.makeApiClient(CoreV1Api);
    const informer = makeInformer(config, `/api/v1/namespaces/${namespace}/services`, () =>
      core.listNamespacedService({ namespace }),
    );
    let informerErrors = 0;
    informer.on('error', () => {
      informerErrors += 1;
    });
    t.after(() => informer.stop());
    await informer.start();
    await store.whenSynced(signal);
    await until(() => informer.list().length === 1, 'the informer has its list');
    await createService(client, namespace, 'b');
    await until(() => names(store).length === 2 && informer.list().length === 2, 'both follow');

    proxy.reset();
    await until(() => informerErrors > 0, 'the informer noticed');
    for (let n = 0; n < 5; n += 1) {
      await createService(client, namespace, `after-${n}`);
      await until(() => names(store).includes(`after-${n}`), `service after-${n} in our store`);
      proxy.reset();
    }
    assert.equal(informer.list().length, 2, 'the informer stopped');
  },

  async 'a kind that does not exist yet is empty, and is there as soon as it is defined'(t, api) {
    const client = api.client();
    const group = 'servers.fairlead.dev';
    const resource = { group, version: 'v1', plural: 'widgets' };
    const clock = { ...systemClock, sleep: (ms: number, end: AbortSignal) => systemClock.sleep(ms / 100, end) };
    const { store } = reflect(t, client, { resource, optional: true, clock });
    await store.whenSynced(signal);
    assert.equal(store.size, 0);
    const schema = { type: 'object', properties: { count: { type: 'integer', format: 'int64' } } };
    const definition = {
      apiVersion: 'apiextensions.k8s.io/v1',
      kind: 'CustomResourceDefinition',
      metadata: { name: `widgets.${group}` },
      spec: {
        group,
        scope: 'Cluster',
        names: { plural: 'widgets', singular: 'widget', kind: 'Widget', listKind: 'WidgetList' },
        versions: [{ name: 'v1', served: true, storage: true, schema: { openAPIV3Schema: schema } }],
      },
    };
    await client.call({ method: 'POST', path: pathOf(resources.customresourcedefinitions), body: definition, signal });
    const body = { apiVersion: `${group}/v1`, kind: 'Widget', metadata: { name: 'w' }, count: 9223372036854775807n };
    for (let tries = 0; ; tries += 1) {
      const made = client.call({ method: 'POST', path: pathOf(resource), body, signal });
      if (
        await made.then(
          () => true,
          (error: unknown) => {
            if (tries > 200) throw error;
            return false;
          },
        )
      )
        break; // served a moment after it is defined
      await sleep(20);
    }
    await until(() => store.size === 1, 'the widget');
    assert.equal((store.get('w') as unknown as { count: unknown }).count, 9223372036854775807n);
  },

  async 'patches change what they name, under our field manager'(_t, api) {
    const client = api.client();
    const namespace = await namespaceFor(client, 'patches');
    const patches = createPatches(client);
    const created = await createService(client, namespace, 'a');
    const target: Target = { resource: resources.services, namespace, name: 'a' };
    const ofStatus: Target = { ...target, subresource: 'status' };

    const ingress = [{ ip: '192.0.2.1', ipMode: 'VIP' }];
    const served = await patches.strategic<Service>(
      ofStatus,
      {
        metadata: { finalizers: ['fairlead.dev/x'], annotations: { 'fairlead.dev/y': '1' } },
        status: { loadBalancer: { ingress } },
      },
      signal,
    );
    assert.deepEqual(served.status?.loadBalancer?.ingress, ingress);
    assert.deepEqual(served.metadata.finalizers, ['fairlead.dev/x']);
    assert.ok(served.metadata.managedFields?.some(({ manager }) => manager === 'fairlead'));

    const { resourceVersion } = created.metadata;
    const stale = await refusal(
      patches.strategic(ofStatus, { metadata: { resourceVersion }, status: { loadBalancer: { ingress: [] } } }, signal),
    );
    assert.deepEqual([stale.status, stale.reason], [409, 'Conflict']);
    // Both guards: another object under the name is a conflict. The uid alone: the server calls it a change of the uid.
    const uid = 'other';
    const foreign = await refusal(patches.strategic(ofStatus, { metadata: { resourceVersion, uid } }, signal));
    assert.deepEqual([foreign.status, foreign.reason], [409, 'Conflict']);
    const renamed = await refusal(patches.strategic(ofStatus, { metadata: { uid } }, signal));
    assert.deepEqual([renamed.status, renamed.reason], [422, 'Invalid']);

    const removed = await patches.strategic<Service>(
      ofStatus,
      { metadata: { '$deleteFromPrimitiveList/finalizers': ['fairlead.dev/x'] } },
      signal,
    );
    assert.equal(removed.metadata.finalizers, undefined);
    const merged = await patches.merge<Service>(
      target,
      { metadata: { annotations: { 'fairlead.dev/y': null } } },
      signal,
    );
    assert.equal(merged.metadata.annotations?.['fairlead.dev/y'], undefined);

    const failed = await refusal(
      patches.json(target, [{ op: 'test', path: '/spec/type', value: 'ClusterIP' }], signal),
    );
    assert.equal(failed.status, 422);
    const labelled = await patches.json<Service>(
      target,
      [
        { op: 'test', path: '/spec/type', value: 'LoadBalancer' },
        { op: 'replace', path: '/metadata/labels/app', value: 'z' },
      ],
      signal,
    );
    assert.equal(labelled.metadata.labels?.['app'], 'z');

    const map = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'm' }, data: { a: '1' } };
    const config: Target = { resource: resources.configmaps, namespace, name: 'm' };
    await patches.apply(config, map, { force: false }, signal);
    await client.call({
      method: 'PATCH',
      path: pathOf(resources.configmaps, { namespace, name: 'm', query: { fieldManager: 'other', force: true } }),
      contentType: 'application/apply-patch+yaml',
      body: { ...map, data: { a: '2' } },
      signal,
    });
    const contested = await refusal(patches.apply(config, { ...map, data: { a: '3' } }, { force: false }, signal));
    assert.equal(contested.status, 409);
    const forced = await patches.apply<{ data: object }>(config, { ...map, data: { a: '3' } }, { force: true }, signal);
    assert.deepEqual(forced.data, { a: '3' });
  },

  async 'refusals are ApiErrors with the reasons of the API conventions'(_t, api) {
    const client = api.client();
    const namespace = await namespaceFor(client, 'refusals');
    await createService(client, namespace, 'a');
    const missing = await refusal(
      client.call({ method: 'GET', path: pathOf(resources.services, { namespace, name: 'x' }), signal }),
    );
    assert.deepEqual(
      [missing.status, missing.reason, missing.details],
      [404, 'NotFound', { name: 'x', kind: 'services' }],
    );
    const twice = await refusal(createService(client, namespace, 'a'));
    assert.deepEqual([twice.status, twice.reason], [409, 'AlreadyExists']);
    const wrong = await refusal(createService(client, namespace, 'A_'));
    assert.deepEqual([wrong.status, wrong.reason], [422, 'Invalid']);
    const preconditions = { kind: 'DeleteOptions', apiVersion: 'v1', preconditions: { uid: 'other' } };
    const path = pathOf(resources.services, { namespace, name: 'a' });
    const other = await refusal(client.call({ method: 'DELETE', path, body: preconditions, signal }));
    assert.deepEqual([other.status, other.reason], [409, 'Conflict']);
  },

  async 'one leads, the other takes over after a release; renewals are accepted and seen'(t, api) {
    const client = api.client();
    const namespace = await namespaceFor(client, 'leases');
    const stop = new AbortController();
    t.after(() => stop.abort(new Error('end of the test')));
    const lockOf = (identity: string) =>
      createLease({
        client: api.client(),
        clock: systemClock,
        random: Math.random,
        log: quiet,
        namespace,
        name: 'fairlead-controller',
        identity,
        leaseDurationMs: 1000,
        renewDeadlineMs: 600,
        retryPeriodMs: 100,
      });
    const path = pathOf(resources.leases, { namespace, name: 'fairlead-controller' });
    const read = async () => (await client.call<Lease>({ method: 'GET', path, signal })).spec ?? {};
    const a = await lockOf('a').lead(stop.signal);
    t.after(() => a.release());
    let b: Leadership | undefined;
    const waiting = lockOf('b')
      .lead(stop.signal)
      .then((leadership) => {
        b = leadership;
        t.after(() => leadership.release());
      });
    await sleep(1500);
    assert.equal(b, undefined);
    assert.equal(a.leads(), true);
    const { holderIdentity, leaseTransitions, renewTime } = await read();
    assert.deepEqual({ holderIdentity, leaseTransitions }, { holderIdentity: 'a', leaseTransitions: 0 });
    assert.match(renewTime ?? '', /\.\d{6}Z$/);
    const releasedMs = performance.now();
    await a.release();
    await waiting;
    // The lease itself would last a second; lease.test.ts has the exact times.
    const tookMs = performance.now() - releasedMs;
    assert.ok(tookMs < 900, `${tookMs} ms`);
    assert.equal((b as Leadership | undefined)?.epoch, 1);
    const spec = await read();
    assert.deepEqual([spec.holderIdentity, spec.leaseTransitions], ['b', 1]);
    await createPatches(client).merge(
      { resource: resources.leases, namespace, name: 'fairlead-controller' },
      { spec: { holderIdentity: 'thief' } },
      signal,
    );
    await until(() => (b as Leadership | undefined)?.signal.aborted === true, 'b lost');
    assert.match(String((b as Leadership | undefined)?.signal.reason), /held by "thief"/);
  },

  async 'a leader whose API server is killed gives up at the deadline'(t, api) {
    const namespace = await namespaceFor(api.client(), 'killed');
    const lease = createLease({
      client: api.client(),
      clock: systemClock,
      random: Math.random,
      log: quiet,
      namespace,
      name: 'l',
      identity: 'a',
      leaseDurationMs: 1000,
      renewDeadlineMs: 600,
      retryPeriodMs: 100,
    });
    const leadership = await lease.lead(signal);
    const killing = api.kill();
    await new Promise<void>((resolve) => leadership.signal.addEventListener('abort', () => resolve(), { once: true }));
    const silentMs = performance.now() - leadership.lastRenewedMs();
    assert.ok(silentMs >= 600 && silentMs < 1000, `${silentMs} ms, and the lease lasts 1000`);
    await killing;
    await api.start();
    await sleep(300);
    assert.equal(leadership.leads(), false);
    t.diagnostic(`given up ${Math.round(silentMs)} ms after the last renewal`);
  },

  async 'events are stored, found by their object, and raised'(_t, api) {
    const client = api.client();
    const namespace = await namespaceFor(client, 'events');
    const object = await createService(client, namespace, 'a');
    const node = await client.call<KubeObject>({
      method: 'POST',
      path: '/api/v1/nodes',
      body: { metadata: { name: 'n1' } },
      signal,
    });
    const recorder = createRecorder({
      client,
      clock: systemClock,
      log: quiet,
      component: 'service-controller',
      instance: 'pod-1',
      capacity: () => 100,
    });
    const stop = new AbortController();
    const running = recorder.run(stop.signal);
    recorder.record({ object, type: 'Normal', reason: 'IPAllocated', message: 'Assigned IP ["192.0.2.1"]' });
    recorder.record({ object: node, type: 'Warning', reason: 'RouteConflict', message: 'no' });
    await recorder.flush(signal);
    recorder.record({ object, type: 'Normal', reason: 'IPAllocated', message: 'Assigned IP ["192.0.2.2"]' });
    await recorder.flush(signal);
    stop.abort(new Error('end'));
    await running;
    const of = async (where: string, uid: string) => {
      const query = { fieldSelector: `involvedObject.uid=${uid}` };
      const path = pathOf(resources.events, { namespace: where, query });
      const { items } = await client.call<{ items: { count: number; message: string; reason: string }[] }>({
        method: 'GET',
        path,
        signal,
      });
      return items.map(({ count, message, reason }) => ({ count, message, reason }));
    };
    assert.deepEqual(await of(namespace, object.metadata.uid), [
      { count: 2, message: 'Assigned IP ["192.0.2.2"]', reason: 'IPAllocated' },
    ]);
    assert.deepEqual(await of('default', node.metadata.uid), [{ count: 1, message: 'no', reason: 'RouteConflict' }]);
  },
};
