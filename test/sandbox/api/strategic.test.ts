import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { PatchError } from '../../../src/sandbox/api/json-patch.ts';
import { applyStrategicPatch } from '../../../src/sandbox/api/strategic.ts';
import { frozen } from './json.ts';

const service = {
  metadata: { finalizers: ['foo', 'old'], annotations: { a: '1' }, ownerReferences: [{ uid: '1', name: 'x' }] },
  spec: {
    clusterIPs: ['10.0.0.1'],
    ports: [
      { port: 80, name: 'a', protocol: 'TCP' },
      { port: 81, name: 'b', protocol: 'TCP' },
    ],
  },
  status: {
    conditions: [
      { type: 'A', status: 'True' },
      { type: 'B', status: 'True' },
    ],
    loadBalancer: { ingress: [{ ip: '10.0.0.1' }, { ip: '10.0.0.2' }] },
  },
};

interface Case {
  readonly name: string;
  readonly kind?: string;
  readonly document?: object;
  readonly patch: object;
  /** Expected members of the result; for lists that do not follow from the rest of the document. */
  readonly expected: object;
}

const cases: readonly Case[] = [
  {
    name: 'a finalizer is added beside others',
    patch: { metadata: { finalizers: ['bar'] } },
    expected: { ...service, metadata: { ...service.metadata, finalizers: ['bar', 'foo', 'old'] } },
  },
  {
    name: "the reference's finalizer patch keeps order and what others wrote",
    patch: { metadata: { '$setElementOrder/finalizers': ['foo', 'old', 'bar'], finalizers: ['bar'] } },
    expected: { ...service, metadata: { ...service.metadata, finalizers: ['foo', 'old', 'bar'] } },
  },
  {
    name: 'one finalizer is removed',
    patch: { metadata: { '$deleteFromPrimitiveList/finalizers': ['old', 'absent'] } },
    expected: { ...service, metadata: { ...service.metadata, finalizers: ['foo'] } },
  },
  {
    name: "kubectl's patch that removes, adds and orders",
    patch: {
      metadata: {
        '$deleteFromPrimitiveList/finalizers': ['old'],
        '$setElementOrder/finalizers': ['new', 'foo'],
        finalizers: ['new'],
      },
    },
    expected: { ...service, metadata: { ...service.metadata, finalizers: ['new', 'foo'] } },
  },
  {
    name: 'ports merge by port; a new one stands first',
    patch: { spec: { ports: [{ port: 82 }, { port: 81, name: 'c' }] } },
    expected: {
      ...service,
      spec: {
        ...service.spec,
        ports: [{ port: 82 }, { port: 80, name: 'a', protocol: 'TCP' }, { port: 81, name: 'c', protocol: 'TCP' }],
      },
    },
  },
  {
    name: 'an element goes by $patch: delete',
    patch: {
      spec: {
        ports: [
          { port: 80, $patch: 'delete' },
          { port: 99, $patch: 'delete' },
        ],
      },
    },
    expected: { ...service, spec: { ...service.spec, ports: [{ port: 81, name: 'b', protocol: 'TCP' }] } },
  },
  {
    name: 'a list is replaced by $patch: replace',
    patch: { spec: { ports: [{ $patch: 'replace' }, { port: 90 }] } },
    expected: { ...service, spec: { ...service.spec, ports: [{ port: 90 }] } },
  },
  {
    name: 'order alone',
    patch: { spec: { '$setElementOrder/ports': [{ port: 81 }, { port: 80 }] } },
    expected: { ...service, spec: { ...service.spec, ports: [...service.spec.ports].reverse() } },
  },
  {
    name: 'conditions merge by type, the ingress is replaced',
    patch: {
      status: { conditions: [{ type: 'B', status: 'False' }], loadBalancer: { ingress: [{ ip: '10.0.0.3' }] } },
    },
    expected: {
      ...service,
      status: {
        conditions: [
          { type: 'A', status: 'True' },
          { type: 'B', status: 'False' },
        ],
        loadBalancer: { ingress: [{ ip: '10.0.0.3' }] },
      },
    },
  },
  {
    name: 'owner references merge by uid',
    patch: { metadata: { ownerReferences: [{ uid: '1', name: 'y' }, { uid: '2' }] } },
    expected: {
      ...service,
      metadata: { ...service.metadata, ownerReferences: [{ uid: '1', name: 'y' }, { uid: '2' }] },
    },
  },
  {
    name: 'a list without merge key is replaced',
    patch: { spec: { clusterIPs: ['10.0.0.9'] } },
    expected: { ...service, spec: { ...service.spec, clusterIPs: ['10.0.0.9'] } },
  },
  {
    name: 'null removes, also where nothing is',
    patch: { metadata: { annotations: { a: null, b: null, c: '2' }, labels: null }, spec: { ports: null } },
    expected: {
      ...service,
      metadata: { ...service.metadata, annotations: { c: '2' } },
      spec: { clusterIPs: ['10.0.0.1'] },
    },
  },
  {
    name: 'a map is replaced or emptied',
    patch: { metadata: { annotations: { $patch: 'replace', z: '1' } }, status: { $patch: 'delete' } },
    expected: { ...service, metadata: { ...service.metadata, annotations: { z: '1' } }, status: {} },
  },
  {
    name: 'a directive about a map that is not there leaves nothing',
    patch: { metadata: { labels: { $patch: 'replace', z: '1' } } },
    expected: service,
  },
  {
    name: 'taints are replaced, addresses merge by type',
    kind: 'Node',
    document: {
      spec: { taints: [{ key: 'a', effect: 'NoSchedule' }] },
      status: {
        addresses: [
          { type: 'InternalIP', address: '1' },
          { type: 'Hostname', address: 'n' },
        ],
      },
    },
    patch: {
      spec: { taints: [{ key: 'b', effect: 'NoExecute' }] },
      status: { addresses: [{ type: 'InternalIP', address: '2' }] },
    },
    expected: {
      spec: { taints: [{ key: 'b', effect: 'NoExecute' }] },
      status: {
        addresses: [
          { type: 'InternalIP', address: '2' },
          { type: 'Hostname', address: 'n' },
        ],
      },
    },
  },
  {
    name: 'two addresses of one type survive only as a replaced list',
    kind: 'Node',
    document: { status: { addresses: [{ type: 'InternalIP', address: '1' }] } },
    patch: {
      status: {
        addresses: [
          { $patch: 'replace' },
          { type: 'InternalIP', address: '2' },
          { type: 'InternalIP', address: 'fd00::2' },
        ],
      },
    },
    expected: {
      status: {
        addresses: [
          { type: 'InternalIP', address: '2' },
          { type: 'InternalIP', address: 'fd00::2' },
        ],
      },
    },
  },
  {
    name: 'containers by name, their ports by containerPort, volumes with $retainKeys',
    kind: 'Deployment',
    document: {
      spec: {
        template: {
          spec: {
            containers: [
              { name: 'a', image: '1', ports: [{ containerPort: 80 }] },
              { name: 'b', image: '1' },
            ],
            volumes: [{ name: 'v', emptyDir: {} }],
          },
        },
      },
    },
    patch: {
      spec: {
        template: {
          spec: {
            containers: [{ name: 'a', ports: [{ containerPort: 81 }] }],
            volumes: [{ name: 'v', $retainKeys: ['name', 'hostPath'], hostPath: { path: '/x' } }],
          },
        },
      },
    },
    expected: {
      spec: {
        template: {
          spec: {
            containers: [
              { name: 'a', image: '1', ports: [{ containerPort: 81 }, { containerPort: 80 }] },
              { name: 'b', image: '1' },
            ],
            volumes: [{ name: 'v', hostPath: { path: '/x' } }],
          },
        },
      },
    },
  },
  {
    name: 'secrets of a service account by name',
    kind: 'ServiceAccount',
    document: { secrets: [{ name: 'a' }], imagePullSecrets: [{ name: 'p' }] },
    patch: { secrets: [{ name: 'b' }], imagePullSecrets: [{ name: 'p', $patch: 'delete' }] },
    // The pull secrets have no merge key: their list is replaced, and the directive in it means nothing.
    expected: { secrets: [{ name: 'b' }, { name: 'a' }], imagePullSecrets: [{ name: 'p' }] },
  },
  {
    name: 'directives and nulls in a new value do not reach the document',
    document: {},
    patch: {
      spec: {
        ports: [
          { port: 1, $patch: 'delete' },
          { port: 2, name: null },
        ],
        x: { $patch: 'replace', y: 1 },
      },
    },
    expected: { spec: { ports: [{ port: 2 }] } },
  },
  {
    name: 'a field that the kind does not have: maps merge, lists are replaced',
    document: { spec: { other: { a: 1, l: [1] } } },
    patch: { spec: { other: { b: 2, l: [2] } } },
    expected: { spec: { other: { a: 1, b: 2, l: [2] } } },
  },
];

for (const { name, kind = 'Service', document = service, patch, expected } of cases) {
  test(`strategic merge: ${name}`, () =>
    assert.deepEqual(applyStrategicPatch(frozen(document), frozen(patch), kind), expected));
}

const refused: readonly { readonly name: string; readonly patch: unknown; readonly status: number }[] = [
  { name: 'not an object', patch: [], status: 400 },
  { name: 'an element without its merge key', patch: { spec: { ports: [{ name: 'x' }] } }, status: 500 },
  { name: 'a deleted element without its merge key', patch: { spec: { ports: [{ $patch: 'delete' }] } }, status: 500 },
  { name: 'mixed types in a list', patch: { metadata: { finalizers: [1] } }, status: 500 },
  { name: 'an unknown directive', patch: { metadata: { $patch: 'foo' } }, status: 500 },
  { name: 'merge in a list', patch: { spec: { ports: [{ port: 80, $patch: 'merge' }] } }, status: 500 },
  { name: 'lists in a merged list', patch: { metadata: { finalizers: [['a']] } }, status: 422 },
  { name: '$retainKeys that is no list', patch: { $retainKeys: 'x' }, status: 400 },
  { name: '$retainKeys without a key of the patch', patch: { $retainKeys: ['metadata'], spec: {} }, status: 400 },
  { name: 'a directive without field', patch: { metadata: { $deleteFromPrimitiveList: ['x'] } }, status: 400 },
  { name: 'an order without field', patch: { metadata: { $setElementOrder: ['x'] } }, status: 400 },
  { name: 'an order of a field that is not there', patch: { spec: { '$setElementOrder/nope': [] } }, status: 500 },
  {
    name: 'an order that misses a sent element',
    patch: { spec: { '$setElementOrder/ports': [{ port: 81 }], ports: [{ port: 80, name: 'q' }] } },
    status: 500,
  },
];

for (const { name, patch, status } of refused) {
  test(`strategic merge refused with ${status}: ${name}`, () =>
    assert.throws(
      () => applyStrategicPatch(frozen(service), patch, 'Service'),
      (error) => error instanceof PatchError && error.status === status,
    ));
}

test('sending a whole list in its order, with the rest deleted, makes it the list', () => {
  const port = fc.integer({ min: 1, max: 6 });
  const ports = fc.uniqueArray(port).map((list) => list.map((number) => ({ port: number, name: `p${number}` })));
  fc.assert(
    fc.property(ports, ports, (from, to) => {
      fc.pre(from.length + to.length > 0); // refused, as by kube-apiserver
      const gone = from.filter((one) => !to.some((other) => other.port === one.port));
      const patch = {
        spec: {
          '$setElementOrder/ports': to.map(({ port: number }) => ({ port: number })),
          ports: [...to, ...gone.map(({ port: number }) => ({ port: number, $patch: 'delete' }))],
        },
      };
      const result = applyStrategicPatch(frozen({ spec: { ports: from } }), frozen(patch), 'Service');
      assert.deepEqual(result, { spec: { ports: to } });
    }),
  );
});

test('a strategic merge patch applied twice is applied once', () => {
  const names = fc.uniqueArray(fc.constantFrom('a', 'b', 'c', 'd'));
  fc.assert(
    fc.property(names, names, names, (before, added, removed) => {
      const patch = {
        metadata: {
          finalizers: added.filter((name) => !removed.includes(name)),
          '$deleteFromPrimitiveList/finalizers': removed,
        },
      };
      const once = applyStrategicPatch({ metadata: { finalizers: before } }, frozen(patch), 'Service');
      assert.deepEqual(applyStrategicPatch(frozen(once), patch, 'Service'), once);
    }),
  );
});
