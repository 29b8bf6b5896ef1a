/** The sandbox's server-side apply against that of a real kube-apiserver: objects, owners and conflicts. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import fc from 'fast-check';
import {
  ApplyConflict,
  type FieldSchema,
  fieldSchemaOf,
  type ManagedFields,
  serverSideApply,
  updateManagedFields,
} from '../../../src/sandbox/api/apply.ts';
import { PatchError } from '../../../src/sandbox/api/json-patch.ts';
import { applyDefaults } from '../../../src/sandbox/api/schema.ts';
import { type Answer, ask } from '../../kube/ask.ts';
import { howToGetKube } from '../../kube/build.ts';
import { findRealApi } from '../../kube/cluster.ts';
import { stored, whenServed } from './json.ts';
import { things } from './things.ts';

const api = await findRealApi({ after });
const skip = api === undefined ? `no kube-apiserver: ${howToGetKube}` : false;

interface Stored {
  readonly kind: string;
  readonly metadata: { readonly managedFields?: readonly ManagedFields[] };
}
interface Target {
  readonly path: string;
  readonly schema: FieldSchema;
  readonly apiVersion: string;
  readonly kind: string;
  /** What the server does to an object after the apply. */
  readonly finish?: (object: object) => object;
  readonly resetFields?: readonly (readonly string[])[];
}

async function send(method: string, path: string, body?: object, patch?: 'apply' | 'merge'): Promise<Answer> {
  if (api === undefined) throw new Error('no kube-apiserver');
  return ask(api, method, path, body, patch === undefined ? {} : { patch });
}

/** Who owns what; times only by whether there is one. */
const owners = (entries: readonly ManagedFields[] | undefined) =>
  (entries ?? [])
    .map(({ time, ...entry }) => ({ ...entry, timed: time !== undefined }))
    .sort((a, b) => (idOf(a) < idOf(b) ? -1 : 1));

const idOf = ({ manager, operation, subresource }: Omit<ManagedFields, 'time'>) =>
  `${manager} ${operation} ${subresource}`;

interface Apply {
  readonly manager: string;
  readonly force: boolean;
  readonly config: object;
}

async function applyToBoth(
  target: Target,
  live: Stored | undefined,
  { manager, force, config }: Apply,
): Promise<Stored | undefined> {
  const query = `fieldManager=${manager}${force ? '&force=true' : ''}`;
  const answer = await send('PATCH', `${target.path}?${query}`, config, 'apply');
  const what = `${manager} ${JSON.stringify(config)} on ${JSON.stringify(live)}: ${answer.text}`;
  try {
    const mine = serverSideApply(live, config, { ...target, manager, force, now: '2026-01-01T00:00:00Z' });
    // A map that loses its last key to an applied {} becomes null for both, which a custom resource then may not hold.
    if (answer.status === 422 && hasNull(mine.object)) return live;
    assert.ok(answer.status === 200 || answer.status === 201, what);
    const real = answer.json as Stored;
    assert.deepEqual(comparable(target.finish?.(mine.object) ?? mine.object), comparable(real), what);
    assert.deepEqual(owners(mine.managedFields), owners(real.metadata.managedFields), what);
    return real;
  } catch (error) {
    if (error instanceof PatchError) {
      const { message } = answer.json as { readonly message: string };
      assert.deepEqual([error.status, error.message], [answer.status, message], what);
      return live;
    }
    if (!(error instanceof ApplyConflict)) throw error;
    const { message, details } = answer.json as { message: string; details: { causes: readonly object[] } };
    assert.equal(answer.status, 409, what);
    assert.deepEqual(
      new Set(error.causes.map(({ manager: who, field }) => `${who} ${field}`)),
      new Set(
        (details.causes as { message: string; field: string }[]).map((one) => `${one.message.slice(14)} ${one.field}`),
      ),
      what,
    );
    assert.equal(error.causes.length === 1 ? error.message : '', error.causes.length === 1 ? message : '', what);
    return live;
  }
}

const hasNull = (value: unknown): boolean =>
  value === null || (typeof value === 'object' && Object.values(value).some(hasNull));

/** Without what the server gives an object when it is made. */
function comparable(object: object): unknown {
  const { metadata, ...rest } = stored(object) as { metadata: Record<string, unknown> };
  const { uid: _uid, creationTimestamp: _created, namespace: _namespace, ...meta } = metadata;
  return { ...rest, metadata: meta };
}

const names = fc.constantFrom('a', 'b', 'c');
const some = fc.uniqueArray(names);
const map = fc.dictionary(names, fc.constantFrom('1', '2'), { noNullPrototype: true });
const optional = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: undefined, freq: 3 });

/** A configuration of a service account: maps, a set, lists by one key. */
const account = fc
  .record({
    labels: optional(map),
    annotations: optional(map),
    finalizers: optional(some),
    owners: optional(some),
    secrets: optional(some),
  })
  .map(({ labels, annotations, finalizers, owners: uids, secrets }) => ({
    metadata: withoutUndefined({
      labels,
      annotations,
      finalizers: finalizers?.map((name) => `x.io/${name}`),
      ownerReferences: uids?.map((uid) => ({ apiVersion: 'v1', kind: 'Node', name: uid, uid })),
    }),
    ...withoutUndefined({ secrets: secrets?.map((name) => ({ name })) }),
  }));

/** A configuration of a custom resource: lists of every type, maps granular and atomic, unknown fields. */
const thing = fc
  .record({
    list: optional(fc.array(names, { minLength: 1, maxLength: 2 })),
    uniq: optional(some),
    lmap: optional(
      fc.uniqueArray(fc.record({ name: names, v: fc.option(fc.integer({ min: 0, max: 2 }), { nil: undefined }) }), {
        selector: ({ name }) => name,
      }),
    ),
    lmap2: optional(
      fc.uniqueArray(
        fc.record({ port: fc.integer({ min: 1, max: 2 }), protocol: fc.constantFrom('TCP', 'UDP', undefined) }),
        { selector: ({ port, protocol }) => `${port}${protocol ?? 'TCP'}` },
      ),
    ),
    at: optional(fc.array(fc.integer({ min: 0, max: 2 }), { maxLength: 2 })),
    am: optional(fc.record({ a: names }, { requiredKeys: [] })),
    obj: optional(fc.record({ a: fc.constant(1), b: fc.constantFrom(2, 3) }, { requiredKeys: [] })),
    any2: optional(
      fc.oneof(
        names,
        fc.array(names, { maxLength: 2 }),
        fc.dictionary(names, fc.oneof(names, map), { noNullPrototype: true }),
      ),
    ),
  })
  .map((spec) => ({
    spec: { must: 'a', def: 'x', nested: { d: 7 }, ...withoutUndefined(JSON.parse(JSON.stringify(spec)) as object) },
  }));

function withoutUndefined(object: object): object {
  return Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined));
}

/** Steps of a history: applies by three managers, and updates by another. */
const history = (config: fc.Arbitrary<object>) =>
  fc.array(
    fc.oneof(
      { weight: 3, arbitrary: fc.record({ manager: fc.constantFrom('m1', 'm2', 'm3'), force: fc.boolean(), config }) },
      { weight: 1, arbitrary: fc.record({ update: fc.constantFrom('u1', 'u2'), config }) },
    ),
    { minLength: 2, maxLength: 6 },
  );

async function play(
  target: Omit<Target, 'path'>,
  collection: string,
  name: string,
  steps: readonly object[],
): Promise<void> {
  const at: Target = { ...target, path: `${collection}/${name}` };
  let live: Stored | undefined;
  for (const step of steps as readonly (Apply | { readonly update: string; readonly config: object })[]) {
    const { metadata, ...rest } = step.config as { readonly metadata?: object };
    const config = { apiVersion: target.apiVersion, kind: target.kind, metadata: { ...metadata, name }, ...rest };
    if (!('update' in step)) {
      live = await applyToBoth(at, live, { ...step, config });
    } else if (live !== undefined) {
      const answer = await send('PATCH', `${at.path}?fieldManager=${step.update}`, config, 'merge');
      assert.equal(answer.status, 200, answer.text);
      const next = answer.json as Stored;
      const { managedFields: _new, ...meta } = next.metadata;
      const mine = updateManagedFields(
        live,
        { ...next, metadata: meta },
        { ...at, manager: step.update, now: '2026-01-01T00:00:00Z' },
      );
      assert.deepEqual(
        owners(mine),
        owners(next.metadata.managedFields),
        `${step.update} ${JSON.stringify(config)} on ${JSON.stringify(live)}`,
      );
      live = next;
    }
  }
}

test('histories of a service account end with the same object and owners', { skip }, async () => {
  let number = 0;
  const target = { schema: fieldSchemaOf({ kind: 'ServiceAccount' }), apiVersion: 'v1', kind: 'ServiceAccount' };
  await fc.assert(
    fc.asyncProperty(history(account), (steps) =>
      play(target, '/api/v1/namespaces/default/serviceaccounts', `a${++number}`, steps),
    ),
    { numRuns: 60 },
  );
});

test('histories of a custom resource end with the same object and owners', { skip }, async () => {
  let number = 0;
  await send('POST', '/apis/apiextensions.k8s.io/v1/customresourcedefinitions', things);
  await whenServed((path) => send('GET', path), '/apis/x.io/v1/namespaces/default/things');
  const crd = things.spec.versions[0]?.schema.openAPIV3Schema as object;
  const schema = fieldSchemaOf({ crd });
  const finish = (object: object) => applyDefaults(object, crd) as object;
  await fc.assert(
    fc.asyncProperty(history(thing), (steps) =>
      play(
        { schema, finish, apiVersion: 'x.io/v1', kind: 'Thing' },
        '/apis/x.io/v1/namespaces/default/things',
        `t${++number}`,
        steps,
      ),
    ),
    { numRuns: 60 },
  );
});

const kinds: readonly {
  readonly kind: string;
  readonly apiVersion: string;
  readonly path: string;
  readonly object: object;
  readonly assigned?: readonly string[];
}[] = [
  {
    kind: 'Deployment',
    apiVersion: 'apps/v1',
    path: '/apis/apps/v1/namespaces/default/deployments',
    object: {
      spec: {
        selector: { matchLabels: { a: 'b' } },
        template: {
          metadata: { labels: { a: 'b' } },
          spec: {
            containers: [
              {
                name: 'a',
                image: 'i',
                ports: [{ containerPort: 80 }, { containerPort: 80, protocol: 'UDP', name: 'u' }],
                env: [
                  { name: 'X', value: '1' },
                  { name: 'N', valueFrom: { fieldRef: { fieldPath: 'spec.nodeName' } } },
                ],
                resources: { limits: { cpu: '1' } },
                readinessProbe: { httpGet: { path: '/', port: 80 } },
                volumeMounts: [{ name: 'v', mountPath: '/v' }],
                securityContext: { capabilities: { add: ['NET_ADMIN'] } },
              },
            ],
            volumes: [
              { name: 'v', emptyDir: {} },
              { name: 'c', configMap: { name: 'x' } },
            ],
            tolerations: [{ operator: 'Exists' }],
            hostNetwork: true,
            affinity: { nodeAffinity: {} },
          },
        },
      },
    },
  },
  {
    kind: 'Service',
    apiVersion: 'v1',
    path: '/api/v1/namespaces/default/services',
    object: {
      metadata: { finalizers: ['x.io/a'] },
      spec: {
        type: 'LoadBalancer',
        ports: [
          { name: 'a', port: 80 },
          { name: 'b', port: 80, protocol: 'UDP' },
        ],
        selector: { a: 'b' },
        loadBalancerSourceRanges: ['10.0.0.0/8'],
      },
    },
    // The server fills these in after it has written down who owns what.
    assigned: ['clusterIP', 'clusterIPs', 'ipFamilies', 'ipFamilyPolicy', 'nodePort'],
  },
  {
    kind: 'Node',
    apiVersion: 'v1',
    path: '/api/v1/nodes',
    object: {
      metadata: { labels: { a: 'b' } },
      spec: { taints: [{ key: 'a', effect: 'NoSchedule' }], providerID: 'x://1' },
    },
  },
  {
    kind: 'EndpointSlice',
    apiVersion: 'discovery.k8s.io/v1',
    path: '/apis/discovery.k8s.io/v1/namespaces/default/endpointslices',
    object: {
      addressType: 'IPv4',
      endpoints: [{ addresses: ['10.0.0.1'], conditions: { ready: true }, zone: 'z' }],
      ports: [{ name: 'a', port: 80, protocol: 'TCP' }],
    },
  },
  {
    kind: 'Lease',
    apiVersion: 'coordination.k8s.io/v1',
    path: '/apis/coordination.k8s.io/v1/namespaces/default/leases',
    object: { spec: { holderIdentity: 'a', leaseDurationSeconds: 15 } },
  },
  { kind: 'Secret', apiVersion: 'v1', path: '/api/v1/namespaces/default/secrets', object: { data: { a: 'YQ==' } } },
  {
    kind: 'Namespace',
    apiVersion: 'v1',
    path: '/api/v1/namespaces',
    assigned: ['finalizers'],
    object: { metadata: { annotations: { a: 'b' } } },
  },
  {
    kind: 'DaemonSet',
    apiVersion: 'apps/v1',
    path: '/apis/apps/v1/namespaces/default/daemonsets',
    object: {
      spec: {
        selector: { matchLabels: { a: 'b' } },
        template: { metadata: { labels: { a: 'b' } }, spec: { containers: [{ name: 'a', image: 'i' }] } },
      },
    },
  },
];

for (const { kind, apiVersion, path, object, assigned = [] } of kinds) {
  test(`a created ${kind} and its status have the same owners`, { skip }, async () => {
    const { metadata, ...rest } = object as { readonly metadata?: object };
    const created = await send('POST', `${path}?fieldManager=u1`, {
      apiVersion,
      kind,
      metadata: { ...metadata, name: 'o' },
      ...rest,
    });
    assert.equal(created.status, 201, created.text);
    const schema = fieldSchemaOf({ kind });
    const real = created.json as Stored & { readonly spec?: Record<string, unknown> };
    const { managedFields: _new, ...meta } = real.metadata;
    const spec = JSON.parse(JSON.stringify(real.spec ?? {}), (key, value) =>
      assigned.includes(key) ? undefined : value,
    );
    const next = { ...real, metadata: meta, ...(real.spec === undefined ? {} : { spec }) };
    const mine = updateManagedFields(undefined, next, {
      schema,
      apiVersion,
      manager: 'u1',
      now: '2026-01-01T00:00:00Z',
    });
    assert.deepEqual(owners(mine), owners(real.metadata.managedFields), created.text);

    const status = {
      status: {
        conditions: [
          { type: 'A', status: 'True', reason: 'R', message: '', lastTransitionTime: '2026-01-01T00:00:00Z' },
        ],
      },
    };
    if (!['Service', 'Node', 'Deployment'].includes(kind)) return;
    const patched = await send('PATCH', `${path}/o/status?fieldManager=u2`, status, 'merge');
    assert.equal(patched.status, 200, patched.text);
    const after2 = patched.json as Stored;
    const { managedFields: _newer, ...meta2 } = after2.metadata;
    const mine2 = updateManagedFields(
      real,
      { ...after2, metadata: meta2 },
      { schema, apiVersion, manager: 'u2', now: '2026-01-01T00:00:00Z', subresource: 'status' },
    );
    assert.deepEqual(owners(mine2), owners(after2.metadata.managedFields), patched.text);
  });
}

test('configurations that do not fit are refused in the same words', { skip }, async (t) => {
  const path = '/api/v1/namespaces/default/configmaps/bad';
  const target: Target = { path, schema: fieldSchemaOf({ kind: 'ConfigMap' }), apiVersion: 'v1', kind: 'ConfigMap' };
  const base = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'bad' } };
  for (const wrong of [
    { dat: {} },
    { metadata: { name: 'bad', finalizers: ['x.io/a', 'x.io/a'] } },
    { metadata: { name: 'bad', managedFields: [{}] } },
    { metadata: { name: 'bad', ownerReferences: ['x'] } },
  ]) {
    await t.test(JSON.stringify(wrong), async () => {
      await applyToBoth(target, undefined, { manager: 'm1', force: false, config: { ...base, ...wrong } });
    });
  }
});

test('an object that kubectl applied on its side goes over to server-side apply without conflict', {
  skip,
}, async () => {
  const path = '/api/v1/namespaces/default/configmaps/csa';
  const target: Target = { path, schema: fieldSchemaOf({ kind: 'ConfigMap' }), apiVersion: 'v1', kind: 'ConfigMap' };
  const config = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'csa' }, data: { a: '1', b: '2' } };
  const last = { 'kubectl.kubernetes.io/last-applied-configuration': `${JSON.stringify(config)}\n` };
  const created = await send('POST', '/api/v1/namespaces/default/configmaps?fieldManager=kubectl-client-side-apply', {
    ...config,
    metadata: { name: 'csa', annotations: last },
  });
  const changed = { ...config, data: { a: '9', b: '2' } };
  const live = await applyToBoth(target, created.json as Stored, { manager: 'other', force: false, config: changed });
  await applyToBoth(target, live, { manager: 'kubectl', force: false, config: changed });
});

test('more than ten updaters become ancient changes', { skip }, async () => {
  const path = '/api/v1/namespaces/default/configmaps/many';
  const schema = fieldSchemaOf({ kind: 'ConfigMap' });
  await send('POST', '/api/v1/namespaces/default/configmaps?fieldManager=u0', {
    metadata: { name: 'many' },
    data: { a: '0' },
  });
  let live = (await send('GET', path)).json as Stored;
  for (let at = 1; at <= 13; at++) {
    const answer = await send('PATCH', `${path}?fieldManager=u${at}`, { data: { [`k${at}`]: String(at) } }, 'merge');
    const next = answer.json as Stored;
    const { managedFields: _new, ...meta } = next.metadata;
    // Ages count in seconds: all are of the same one, for us as for the server, so that names decide.
    const now = next.metadata.managedFields?.find(({ manager }) => manager === `u${at}`)?.time ?? '';
    const mine = updateManagedFields(
      live,
      { ...next, metadata: meta },
      { schema, apiVersion: 'v1', manager: `u${at}`, now },
    );
    assert.deepEqual(owners(mine), owners(next.metadata.managedFields));
    live = next;
  }
});
