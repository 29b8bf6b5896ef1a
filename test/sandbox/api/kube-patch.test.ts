/** The sandbox's patches against those of a real kube-apiserver: the same patch to both, the same object after it. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { applyJsonPatch, PatchError } from '../../../src/sandbox/api/json-patch.ts';
import { applyMergePatch } from '../../../src/sandbox/api/merge-patch.ts';
import { applyStrategicPatch } from '../../../src/sandbox/api/strategic.ts';
import { type Answer, ask } from '../../kube/ask.ts';
import { howToGetKube } from '../../kube/build.ts';
import { findRealApi } from '../../kube/cluster.ts';
import { stored } from './json.ts';

const api = await findRealApi({ after });
const skip = api === undefined ? `no kube-apiserver: ${howToGetKube}` : false;
const base = '/api/v1/namespaces/default';

type Type = 'json' | 'merge' | 'strategic';

async function send(method: string, path: string, body?: object, patch?: Type): Promise<Answer> {
  if (api === undefined) throw new Error('no kube-apiserver');
  return ask(api, method, path, body, patch === undefined ? {} : { patch });
}

async function create(path: string, object: object): Promise<object> {
  const answer = await send('POST', path, object);
  assert.equal(answer.status, 201, answer.text);
  return answer.json as object;
}

function ours(type: Type, document: object, patch: unknown, kind: string): unknown {
  if (type === 'json') return applyJsonPatch(document, patch as readonly unknown[]);
  return type === 'merge' ? applyMergePatch(document, patch) : applyStrategicPatch(document, patch, kind);
}

/** Both refuse with the same status, or both give the same object. */
async function compare(
  type: Type,
  path: string,
  live: object,
  patch: object,
  kind: string,
): Promise<'same' | 'refused'> {
  const answer = await send('PATCH', `${path}?dryRun=All`, patch, type);
  const what = `${type} ${JSON.stringify(patch)} on ${JSON.stringify(stored(live))}: ${answer.text}`;
  let mine: unknown;
  try {
    mine = ours(type, live, patch, kind);
  } catch (error) {
    if (!(error instanceof PatchError)) throw error;
    assert.equal(answer.status, error.status, `${error.message}\n${what}`);
    return 'refused';
  }
  assert.equal(answer.status, 200, what);
  assert.deepEqual(stored(mine), stored(answer.json), what);
  return 'same';
}

const names = fc.constantFrom('a', 'b', 'c', 'd', 'e');
const list = fc.uniqueArray(names);
const qualified = (name: string) => `x.io/${name}`;
const secret = (name: string) => ({ name });

/** A service account has two merged lists, a set of finalizers and maps, and hardly any validation of its own. */
const account = fc
  .record({ finalizers: list, secrets: list, pull: list, owners: list, labels: fc.dictionary(names, names) })
  .map(({ finalizers, secrets, pull, owners, labels }) => ({
    metadata: { finalizers: finalizers.map(qualified), ownerReferences: owners.map((uid) => owner(uid, 'o')), labels },
    secrets: secrets.map(secret),
    imagePullSecrets: pull.map(secret),
  }));

const owner = (uid: string, name: string) => ({ apiVersion: 'v1', kind: 'Node', uid, name });

const objects = fc
  .record({ sent: list, deleted: list, order: fc.option(list, { nil: undefined }), replace: fc.boolean() })
  .map(({ sent, deleted, order, replace }) => ({
    list: [
      ...sent.map(secret),
      ...deleted.map((name) => ({ name, $patch: 'delete' })),
      ...(replace && sent.length > 2 ? [{ $patch: 'replace' }] : []),
    ],
    order: order === undefined ? undefined : [...new Set([...sent, ...order])].map(secret),
  }));

const strategic = fc
  .record({
    objects,
    pull: objects,
    sent: list,
    deleted: list,
    owners: list,
    labels: fc.dictionary(names, fc.option(names)),
  })
  .map(({ objects: secrets, pull, sent, deleted, owners, labels }) => ({
    metadata: {
      labels,
      ownerReferences: owners.map((uid) => ({ ...owner(uid, 'p'), controller: false })),
      ...(sent.length === 0 ? {} : { finalizers: sent.filter((name) => !deleted.includes(name)).map(qualified) }),
      ...(deleted.length === 0 ? {} : { '$deleteFromPrimitiveList/finalizers': deleted.map(qualified) }),
    },
    secrets: secrets.list,
    ...(secrets.order === undefined ? {} : { '$setElementOrder/secrets': secrets.order }),
    imagePullSecrets: pull.list,
  }));

test('random strategic merge patches give what kube-apiserver gives', { skip }, async () => {
  let number = 0;
  await fc.assert(
    fc.asyncProperty(account, fc.array(strategic, { minLength: 4, maxLength: 4 }), async (object, patches) => {
      const name = `s${++number}`;
      const { metadata, ...rest } = object;
      const live = await create(`${base}/serviceaccounts`, { metadata: { ...metadata, name }, ...rest });
      for (const patch of patches)
        await compare('strategic', `${base}/serviceaccounts/${name}`, live, patch, 'ServiceAccount');
    }),
    { numRuns: 60 },
  );
});

const value = fc.oneof(names, fc.constant(null));
const pointer = fc.oneof(
  fc.tuple(fc.constantFrom('data', 'metadata/labels'), names).map((parts) => `/${parts.join('/')}`),
  fc
    .tuple(fc.constant('metadata/finalizers'), fc.constantFrom('0', '1', '2', '-', '-1', '9'))
    .map((parts) => `/${parts.join('/')}`),
  fc.constantFrom(
    '/data',
    '/metadata/labels',
    '/metadata/finalizers',
    '/data/a/b',
    '/nope/a',
    '/metadata/finalizers/a',
  ),
);
const operation = fc.oneof(
  fc.record({ op: fc.constantFrom('add', 'replace', 'test'), path: pointer, value }),
  fc.record({ op: fc.constant('remove'), path: pointer }),
  fc.record({ op: fc.constantFrom('move', 'copy'), from: pointer, path: pointer }),
);

test('random JSON patches give what kube-apiserver gives', { skip }, async () => {
  const document = {
    metadata: { name: 'json', labels: { a: '1', b: '2' }, finalizers: ['x.io/a', 'x.io/b', 'x.io/c'] },
    data: { a: '1', b: '2', c: '3' },
  };
  const live = await create(`${base}/configmaps`, document);
  const count = { same: 0, refused: 0, invalid: 0 };
  await fc.assert(
    fc.asyncProperty(fc.array(operation, { minLength: 1, maxLength: 3 }), async (operations) => {
      // Into itself: an error by the RFC, which kube-apiserver does not look for.
      if (operations.some((one) => one.op === 'move' && 'from' in one && one.path.startsWith(`${one.from}/`))) return;
      const answer = await send('PATCH', `${base}/configmaps/json?dryRun=All`, operations, 'json');
      // What the patch did well but the kind refuses (a label with a bad name, a string where a map belongs) is not ours.
      if (answer.status === 400 || (answer.json as { details?: { causes?: unknown } }).details?.causes !== undefined) {
        count.invalid++;
        return;
      }
      count[await compare('json', `${base}/configmaps/json`, live, operations, 'ConfigMap')]++;
    }),
    { numRuns: 400 },
  );
  assert.ok(count.same >= 40 && count.refused >= 40, JSON.stringify(count));
});

test('random merge patches give what kube-apiserver gives', { skip }, async () => {
  const live = await create(`${base}/configmaps`, {
    metadata: { name: 'merge', labels: { a: '1', b: '2' }, finalizers: ['x.io/a'] },
    data: { a: '1', b: '2' },
  });
  const map = fc.option(fc.dictionary(names, value));
  const patch = fc.record({
    metadata: fc.record({
      labels: map,
      annotations: map,
      finalizers: fc.option(list.map((all) => all.map(qualified))),
    }),
    data: map,
  });
  await fc.assert(
    fc.asyncProperty(patch, async (sent) => {
      await compare('merge', `${base}/configmaps/merge`, live, sent, 'ConfigMap');
    }),
    { numRuns: 100 },
  );
});

const deployment = {
  metadata: { name: 'd' },
  spec: {
    selector: { matchLabels: { a: 'b' } },
    template: {
      metadata: { labels: { a: 'b' } },
      spec: {
        containers: [
          {
            name: 'a',
            image: 'i:1',
            ports: [
              { containerPort: 80, protocol: 'TCP' },
              { containerPort: 81, protocol: 'TCP' },
            ],
            env: [
              { name: 'X', value: '1' },
              { name: 'Y', valueFrom: { fieldRef: { apiVersion: 'v1', fieldPath: 'metadata.name' } } },
            ],
            volumeMounts: [{ name: 'v', mountPath: '/v' }],
          },
          { name: 'b', image: 'i:1', command: ['x', 'y'] },
        ],
        volumes: [
          { name: 'v', emptyDir: {} },
          { name: 'w', configMap: { name: 'c', defaultMode: 420 } },
        ],
        tolerations: [{ key: 'k', operator: 'Exists' }],
        hostAliases: [{ ip: '10.0.0.1', hostnames: ['a'] }],
      },
    },
  },
};
const template = (spec: object) => ({ spec: { template: { spec } } });
const fixed: readonly { readonly name: string; readonly patch: object }[] = [
  { name: 'image of one container', patch: template({ containers: [{ name: 'b', image: 'i:2' }] }) },
  {
    name: 'an added container with an order',
    patch: template({
      '$setElementOrder/containers': [{ name: 'n' }, { name: 'b' }, { name: 'a' }],
      containers: [
        {
          name: 'n',
          image: 'i:1',
          terminationMessagePath: '/t',
          terminationMessagePolicy: 'File',
          imagePullPolicy: 'Always',
          resources: {},
        },
      ],
    }),
  },
  {
    name: 'env by name',
    patch: template({
      containers: [
        {
          name: 'a',
          env: [
            { name: 'X', $patch: 'delete' },
            { name: 'Z', value: '3' },
          ],
        },
      ],
    }),
  },
  {
    name: 'env without its old source',
    patch: template({ containers: [{ name: 'a', env: [{ name: 'Y', value: '2', valueFrom: null }] }] }),
  },
  { name: 'command is atomic', patch: template({ containers: [{ name: 'b', command: ['z'] }] }) },
  {
    name: 'ports by containerPort',
    patch: template({
      containers: [
        {
          name: 'a',
          ports: [
            { containerPort: 80, name: 'web' },
            { containerPort: 82, protocol: 'TCP' },
          ],
        },
      ],
    }),
  },
  {
    name: 'a volume that changes its source',
    patch: template({
      volumes: [{ name: 'v', $retainKeys: ['name', 'hostPath'], hostPath: { path: '/x', type: '' } }],
    }),
  },
  { name: 'tolerations are atomic', patch: template({ tolerations: [{ key: 'l', operator: 'Exists' }] }) },
  { name: 'host aliases by ip', patch: template({ hostAliases: [{ ip: '10.0.0.2', hostnames: ['b'] }] }) },
  { name: 'a strategy that retains keys', patch: { spec: { strategy: { $retainKeys: ['type'], type: 'Recreate' } } } },
  { name: 'a container emptied', patch: template({ containers: [{ name: 'b', $patch: 'delete' }] }) },
  { name: 'a selector replaced', patch: template({ nodeSelector: { $patch: 'replace', a: 'b' } }) },
  {
    name: 'retained keys that miss one of the patch',
    patch: template({ volumes: [{ name: 'v', $retainKeys: ['name'], hostPath: { path: '/x' } }] }),
  },
  { name: 'a container without name', patch: template({ containers: [{ image: 'i:3' }] }) },
];

test('strategic merge patches of a pod template', { skip }, async (t) => {
  const live = await create('/apis/apps/v1/namespaces/default/deployments', deployment);
  for (const { name, patch } of fixed) {
    await t.test(name, async () => {
      await compare('strategic', '/apis/apps/v1/namespaces/default/deployments/d', live, patch, 'Deployment');
    });
  }
});

test('strategic merge patches of a Node: addresses by type, conditions by type, taints at once', {
  skip,
}, async (t) => {
  const condition = (type: string, status: string) => ({ type, status, reason: 'R' });
  await create('/api/v1/nodes', {
    metadata: { name: 'n' },
    spec: { taints: [{ key: 'a', effect: 'NoSchedule' }] },
  });
  const status = {
    addresses: [
      { type: 'InternalIP', address: '10.0.0.1' },
      { type: 'Hostname', address: 'n' },
    ],
    conditions: [condition('Ready', 'True'), condition('NetworkUnavailable', 'True')],
  };
  const live = await send('PUT', '/api/v1/nodes/n/status', {
    ...((await send('GET', '/api/v1/nodes/n')).json as object),
    status,
  });
  const patches: readonly object[] = [
    { status: { addresses: [{ type: 'InternalIP', address: '10.0.0.2' }] } },
    {
      status: {
        addresses: [
          { type: 'InternalIP', address: '10.0.0.2' },
          { type: 'InternalIP', address: '10.0.0.3' },
        ],
      },
    },
    {
      status: {
        addresses: [
          { $patch: 'replace' },
          { type: 'InternalIP', address: '1.1.1.1' },
          { type: 'InternalIP', address: 'fd00::1' },
        ],
      },
    },
    { status: { conditions: [condition('NetworkUnavailable', 'False')] } },
    {
      status: {
        conditions: [condition('New', 'False')],
        '$setElementOrder/conditions': [{ type: 'Ready' }, { type: 'New' }],
      },
    },
    { status: { conditions: [{ type: 'Ready', $patch: 'delete' }] } },
  ];
  for (const patch of patches) {
    await t.test(JSON.stringify(patch), async () => {
      await compare('strategic', '/api/v1/nodes/n/status', live.json as object, patch, 'Node');
    });
  }
  await t.test('taints', async () => {
    const patch = { spec: { taints: [{ key: 'b', effect: 'NoExecute' }] } };
    await compare('strategic', '/api/v1/nodes/n', live.json as object, patch, 'Node');
  });
});
