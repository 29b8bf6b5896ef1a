import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createContext } from '../../src/controllers/context.ts';
import { isProviderError } from '../../src/core/errors.ts';
import type { KubeObject } from '../../src/core/objects.ts';
import type { Call, Log, ProviderContext, ResourceName } from '../../src/core/provider.ts';
import { createPatches } from '../../src/kube/patch.ts';
import { createReflector } from '../../src/kube/reflector.ts';
import { type Client, createClient } from '../../src/kube/request.ts';
import { resources } from '../../src/kube/resource.ts';
import { createStore } from '../../src/kube/store.ts';
import { createFaults, type Effect } from '../../src/sandbox/api/faults.ts';
import { createSandboxApi } from '../../src/sandbox/api/server.ts';
import { inProcess } from '../../src/sandbox/api/transport.ts';
import { systemClock } from '../../src/work/clock.ts';
import { createVirtualClock, type VirtualClock } from '../fake/clock.ts';
import { apis } from '../kube/cluster.ts';

const quiet: Log = { debug() {}, info() {}, warn() {}, error() {} };
const callWith = (signal: AbortSignal): Call => ({ signal, log: quiet, limit: (fn) => fn() });
const soon = (): Call => callWith(AbortSignal.timeout(20_000));
const where = { namespace: 'default', name: 'one' };
const configMap = (data: object = {}, name = 'one') => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { namespace: 'default', name },
  data,
});

/** What a write is answered: its code and kind, or the object. */
async function outcome(work: Promise<unknown>): Promise<unknown> {
  try {
    return await work;
  } catch (error) {
    if (!isProviderError(error)) throw error;
    return [error.code, error.kind];
  }
}

// What providers may count on, on both API servers.

for (const { name: server, start } of apis) {
  test(`${server}: writes are guarded, marked as ours, and their refusals have codes`, async (t) => {
    const api = await start(t);
    if (api === undefined) return;
    const { kube } = contextOf(api.client(), systemClock, new AbortController().signal);

    const made = (await kube.create(resources.configmaps, configMap({ a: '1' }), soon())) as KubeObject;
    const { uid, resourceVersion, managedFields } = made.metadata;
    assert.deepEqual(
      managedFields?.map(({ manager }) => manager),
      ['fairlead'],
    );
    assert.deepEqual(await outcome(kube.create(resources.configmaps, configMap(), soon())), [
      'FL_KUBE_EXISTS',
      'conflict',
    ]);

    const body = { metadata: { uid, resourceVersion }, data: { a: null, b: '2' } };
    const now = (await kube.patch(resources.configmaps, where, body, soon())) as KubeObject & { data: unknown };
    assert.deepEqual(now.data, { b: '2' });
    assert.deepEqual(await outcome(kube.patch(resources.configmaps, where, body, soon())), [
      'FL_KUBE_CONFLICT',
      'conflict',
    ]);
    const stranger = { metadata: { uid: '00000000-0000-4000-8000-000000000000' }, data: { b: '3' } };
    const refused = (await outcome(kube.patch(resources.configmaps, where, stranger, soon()))) as unknown[];
    assert.ok(['FL_KUBE_CONFLICT', 'FL_KUBE_INVALID'].includes(refused[0] as string), String(refused));
    assert.deepEqual(((await kube.get(resources.configmaps, where, soon())) as { data: unknown }).data, { b: '2' });

    const missing = { namespace: 'default', name: 'missing' };
    for (const work of [
      () => kube.get(resources.configmaps, missing, soon()),
      () => kube.patch(resources.configmaps, missing, { data: {} }, soon()),
      () => kube.create({ group: 'x.dev', version: 'v1', plural: 'things' }, configMap(), soon()),
    ])
      assert.deepEqual(await outcome(work()), ['FL_KUBE_NOT_FOUND', 'transient']);
    const wrong = { ...configMap(), metadata: { namespace: 'default', name: 'Not A Name' } };
    assert.deepEqual(await outcome(kube.create(resources.configmaps, wrong, soon())), ['FL_KUBE_INVALID', 'invalid']);

    const other = { ...where, uid: '00000000-0000-4000-8000-000000000000' };
    assert.deepEqual(await outcome(kube.remove(resources.configmaps, other, soon())), ['FL_KUBE_CONFLICT', 'conflict']);
    await kube.remove(resources.configmaps, { ...where, uid }, soon());
    await kube.remove(resources.configmaps, { ...where, uid }, soon()); // gone is what was wanted
    assert.deepEqual(await outcome(kube.get(resources.configmaps, where, soon())), ['FL_KUBE_NOT_FOUND', 'transient']);
  });

  test(`${server}: status is written by its subresource alone, metadata of a Service passes there`, async (t) => {
    const api = await start(t);
    if (api === undefined) return;
    const client = api.client();
    const { kube } = contextOf(client, systemClock, new AbortController().signal);
    const service = {
      metadata: { namespace: 'default', name: 'one' },
      spec: { type: 'LoadBalancer', ports: [{ port: 80 }] },
    };
    await kube.create(resources.services, service, soon());
    const status = { loadBalancer: { ingress: [{ ip: '192.0.2.1' }] } };
    const patched = (await kube.patch(
      resources.services,
      { ...where, subresource: 'status' },
      { metadata: { annotations: { 'x.dev/a': 'b' } }, status },
      soon(),
    )) as KubeObject & { status: { loadBalancer: { ingress: { ip: string }[] } } };
    assert.deepEqual(
      patched.status.loadBalancer.ingress.map(({ ip }) => ip),
      ['192.0.2.1'],
    );
    assert.deepEqual(patched.metadata.annotations, { 'x.dev/a': 'b' });
  });
}

// Everything that a server or a network can answer.

const answers: readonly { effect: Effect; code: string; kind: string; retryAfterMs?: number }[] = [
  { effect: { kind: 'status', status: 400 }, code: 'FL_KUBE_INVALID', kind: 'invalid' },
  { effect: { kind: 'status', status: 401 }, code: 'FL_KUBE_DENIED', kind: 'denied' },
  { effect: { kind: 'status', status: 403 }, code: 'FL_KUBE_DENIED', kind: 'denied' },
  { effect: { kind: 'status', status: 404 }, code: 'FL_KUBE_NOT_FOUND', kind: 'transient' },
  { effect: { kind: 'status', status: 409 }, code: 'FL_KUBE_CONFLICT', kind: 'conflict' },
  { effect: { kind: 'status', status: 422 }, code: 'FL_KUBE_INVALID', kind: 'invalid' },
  {
    effect: { kind: 'status', status: 429, retryAfterSeconds: 3 },
    code: 'FL_KUBE_THROTTLED',
    kind: 'throttled',
    retryAfterMs: 3000,
  },
  { effect: { kind: 'status', status: 500 }, code: 'FL_KUBE_REQUEST', kind: 'transient' },
  { effect: { kind: 'status', status: 503 }, code: 'FL_KUBE_REQUEST', kind: 'transient' },
  { effect: { kind: 'status', status: 504, when: 'after' }, code: 'FL_KUBE_REQUEST', kind: 'transient' },
  { effect: { kind: 'reset', when: 'before' }, code: 'FL_KUBE_UNREACHABLE', kind: 'transient' },
  { effect: { kind: 'reset', when: 'after' }, code: 'FL_KUBE_UNREACHABLE', kind: 'transient' },
  { effect: { kind: 'reset', when: 'body', afterBytes: 20 }, code: 'FL_KUBE_UNREACHABLE', kind: 'transient' },
  { effect: { kind: 'refuse' }, code: 'FL_KUBE_UNREACHABLE', kind: 'transient' },
];
for (const { effect, code, kind, retryAfterMs } of answers) {
  test(`${JSON.stringify(effect)} is ${code} for reads and writes, with its cause`, async (t) => {
    const { faults, context } = world(t);
    const { kube } = context();
    const works: readonly (() => Promise<unknown>)[] = [
      () => kube.get(resources.services, { namespace: 'default', name: 'kubernetes' }, soon()),
      () => kube.create(resources.configmaps, configMap(), soon()),
      () => kube.patch(resources.services, { namespace: 'default', name: 'kubernetes' }, { metadata: {} }, soon()),
    ];
    for (const work of works) {
      faults.add({ effect });
      await assert.rejects(work, (error: unknown) => {
        assert.ok(isProviderError(error));
        assert.deepEqual([error.code, error.kind, error.retryAfterMs], [code, kind, retryAfterMs]);
        assert.ok(error.cause instanceof Error);
        return true;
      });
    }
  });
}

// Leadership and the end of a call.

test('without the lease every write is refused here: no request leaves, and reads go on', async (t) => {
  const { requests, context } = world(t);
  let leads = true;
  const { kube } = context({ leads: () => leads });
  await kube.create(resources.configmaps, configMap(), soon());
  leads = false;
  const sent = requests.length;
  const refused = ['FL_KUBE_NOT_LEADER', 'transient'];
  assert.deepEqual(await outcome(kube.create(resources.configmaps, configMap({}, 'two'), soon())), refused);
  assert.deepEqual(await outcome(kube.patch(resources.configmaps, where, { data: { a: '1' } }, soon())), refused);
  assert.deepEqual(await outcome(kube.remove(resources.configmaps, where, soon())), refused);
  assert.equal(requests.length, sent);
  assert.equal(((await kube.get(resources.configmaps, where, soon())) as KubeObject).metadata.name, 'one');
});

test('a call that has ended sends nothing, and rejects with its own reason', async (t) => {
  const { requests, context } = world(t);
  const { kube } = context();
  const call = callWith(AbortSignal.abort(new Error('the run is over')));
  for (const work of [
    () => kube.create(resources.configmaps, configMap(), call),
    () => kube.patch(resources.configmaps, where, {}, call),
    () => kube.remove(resources.configmaps, where, call),
  ])
    await assert.rejects(work, /the run is over/);
  assert.deepEqual(requests, []);
});

// Shared watches.

test('whoever asks for a kind shares one watch; namespaces and labels are watches of their own', async (t) => {
  const { clock, requests, context } = world(t);
  const given = context();
  const [first, second] = await Promise.all([given.objects(resources.configmaps), given.objects(resources.configmaps)]);
  await given.objects(resources.configmaps, { namespace: 'default' });
  await given.objects(resources.configmaps, { namespace: 'default' });
  await given.objects(resources.configmaps, { labelSelector: 'a=b' });
  await clock.advance(100);
  const lists = requests.filter((request) => request.includes('limit='));
  assert.deepEqual(
    lists.map((request) => request.split('?')[0]),
    ['GET /api/v1/configmaps', 'GET /api/v1/namespaces/default/configmaps', 'GET /api/v1/configmaps'],
  );
  assert.equal(requests.filter((request) => request.includes('watch=')).length, 3);
  await given.kube.create(resources.configmaps, configMap({ a: '1' }), soon());
  await clock.advance(100);
  assert.deepEqual(first.get('default/one'), second.get('default/one'));
  assert.equal((first.get('default/one') as { data: { a: string } }).data.a, '1');
  assert.equal(first.list().length, 1);
});

test('what the controllers watch anyway is not read again', async (t) => {
  const { clock, requests, watched, context } = world(t);
  const given = context({ stores: [watched(resources.services)] });
  const services = await given.objects(resources.services);
  await clock.advance(100);
  assert.deepEqual(
    services.list().map((object) => (object as KubeObject).metadata.name),
    ['kubernetes'],
  );
  assert.equal(requests.filter((request) => request.startsWith('GET /api/v1/services?limit=')).length, 1);
});

test('changes are told with what was and what is', async (t) => {
  const { clock, context } = world(t);
  const given = context();
  const maps = await given.objects(resources.configmaps);
  const seen: unknown[] = [];
  const dataOf = (object: unknown) => (object as { data?: unknown } | undefined)?.data;
  maps.onChange((old, now) => seen.push([dataOf(old), dataOf(now)]));
  await given.kube.create(resources.configmaps, configMap({ a: '1' }), soon());
  await clock.advance(100);
  await given.kube.patch(resources.configmaps, where, { data: { a: '2' } }, soon());
  await clock.advance(100);
  await given.kube.remove(resources.configmaps, where, soon());
  await clock.advance(100);
  assert.deepEqual(seen, [
    [undefined, { a: '1' }],
    [{ a: '1' }, { a: '2' }],
    [{ a: '2' }, undefined],
  ]);
});

test('a kind that does not exist is empty, warned of once, and asked for again every half minute', async (t) => {
  const { clock, requests, warnings, user, context } = world(t);
  const thing = { group: 'x.dev', version: 'v1', plural: 'things' };
  const things = await context().objects(thing);
  assert.deepEqual(things.list(), []);
  await clock.advance(100_000);
  assert.equal(requests.filter((request) => request.includes('/things')).length, 4);
  assert.equal(warnings.filter((message) => message.includes('exist')).length, 1, warnings.join());
  const schema = { openAPIV3Schema: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true } };
  await user.call({
    method: 'POST',
    path: '/apis/apiextensions.k8s.io/v1/customresourcedefinitions',
    body: {
      apiVersion: 'apiextensions.k8s.io/v1',
      kind: 'CustomResourceDefinition',
      metadata: { name: 'things.x.dev' },
      spec: {
        group: 'x.dev',
        scope: 'Cluster',
        names: { plural: 'things', singular: 'thing', kind: 'Thing', listKind: 'ThingList' },
        versions: [{ name: 'v1', served: true, storage: true, schema }],
      },
    },
    signal: AbortSignal.timeout(20_000),
  });
  const body = { apiVersion: 'x.dev/v1', kind: 'Thing', metadata: { name: 'one' } };
  await user.call({ method: 'POST', path: '/apis/x.dev/v1/things', body, signal: AbortSignal.timeout(20_000) });
  await clock.advance(31_000);
  assert.deepEqual(
    things.list().map((object) => (object as KubeObject).metadata.name),
    ['one'],
  );
});

test('the watches end with the leadership, and nothing stays behind', async (t) => {
  const { clock, context, end } = world(t);
  await context().objects(resources.configmaps);
  await context().objects({ group: 'x.dev', version: 'v1', plural: 'things' });
  await clock.advance(100);
  assert.ok(clock.timers > 0);
  end();
  await clock.advance(100);
  assert.equal(clock.timers, 0);
});

test('a list that never comes ends with the leadership instead of waiting on', async (t) => {
  const { clock, faults, context, end } = world(t);
  faults.add({ path: '/configmaps', times: Number.POSITIVE_INFINITY, effect: { kind: 'status', status: 500 } });
  const waiting = assert.rejects(context().objects(resources.configmaps), /the end/);
  await clock.advance(10_000);
  end();
  await waiting;
});

/** A sandbox in virtual time with faults before it, and contexts on it. */
function world(t: { after(run: () => unknown): void }) {
  const clock = createVirtualClock();
  const api = createSandboxApi({ clock, plane: false });
  const requests: string[] = [];
  const warnings: string[] = [];
  const faults = createFaults(
    (request) => {
      requests.push(`${request.method} ${request.path}`);
      return api.handle(request);
    },
    { clock, seed: 1 },
  );
  const ended = new AbortController();
  const end = () => ended.abort(new Error('the end'));
  t.after(async () => {
    end();
    await clock.advance(100);
    await api.close();
  });
  const client = createClient({ transport: inProcess(faults.handle), clock });
  const log: Log = { ...quiet, warn: (_fields, message) => void warnings.push(message) };
  return {
    clock,
    requests,
    warnings,
    faults,
    end,
    user: createClient({ transport: api.transport(), clock }),
    context: (how: ContextHow = {}) => contextOf(client, clock, ended.signal, { log, ...how }),
    /** The store of a kind that the controllers watch anyway. */
    watched(resource: ResourceName) {
      const store = createStore<KubeObject>();
      void createReflector({ client, resource, store, clock, random: () => 0, log }).run(ended.signal);
      return { resource, store };
    },
  };
}

interface ContextHow {
  readonly leads?: () => boolean;
  readonly log?: Log;
  readonly stores?: Parameters<typeof createContext>[0]['stores'];
}

function contextOf(
  client: Client,
  clock: VirtualClock | typeof systemClock,
  signal: AbortSignal,
  { leads = () => true, log = quiet, stores = [] }: ContextHow = {},
): ProviderContext {
  return createContext({
    cluster: 'test',
    config: undefined,
    client,
    patches: createPatches(client),
    clock,
    random: () => 0,
    log,
    stores,
    leads,
    signal,
    resync: () => {},
  });
}
