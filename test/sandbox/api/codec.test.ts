import assert from 'node:assert/strict';
import { test } from 'node:test';
import { canonicalQuantity, roundTrip } from '../../../src/sandbox/api/codec.ts';
import { schemaNameOf } from '../../../src/sandbox/api/kinds.ts';

const read = (groupVersion: string, kind: string, value: object): object =>
  roundTrip(schemaNameOf(groupVersion, kind) ?? '', value as Record<string, unknown>, []);

const shapes: readonly {
  readonly name: string;
  readonly kind: readonly [string, string];
  readonly value: object;
  readonly shape: object;
}[] = [
  {
    name: 'empty maps, lists and zero scalars go, structs stay',
    kind: ['v1', 'Service'],
    value: {
      metadata: { name: 'a', labels: {}, finalizers: [] },
      spec: { ports: [{ port: 80, nodePort: 0, name: '' }], publishNotReadyAddresses: false },
    },
    shape: { metadata: { name: 'a' }, spec: { ports: [{ port: 80, targetPort: 0 }] }, status: { loadBalancer: {} } },
  },
  {
    name: 'a pointer keeps its zero',
    kind: ['v1', 'Service'],
    value: { metadata: {}, spec: { allocateLoadBalancerNodePorts: false, loadBalancerClass: '' } },
    shape: {
      metadata: {},
      spec: { allocateLoadBalancerNodePorts: false, loadBalancerClass: '' },
      status: { loadBalancer: {} },
    },
  },
  {
    name: 'lists that are not omitted are null',
    kind: ['discovery.k8s.io/v1', 'EndpointSlice'],
    value: { metadata: { name: 's' }, addressType: 'IPv4' },
    shape: { metadata: { name: 's' }, addressType: 'IPv4', endpoints: null, ports: null },
  },
  {
    name: 'times of conditions are null until they are known, and lose their fraction',
    kind: ['v1', 'Node'],
    value: {
      metadata: { creationTimestamp: null },
      status: {
        conditions: [{ type: 'Ready', status: 'True', lastHeartbeatTime: '2026-01-02T03:04:05.678+01:00' }],
        capacity: { cpu: '1000m' },
      },
    },
    shape: {
      metadata: {},
      spec: {},
      status: {
        capacity: { cpu: '1' },
        conditions: [
          { type: 'Ready', status: 'True', lastHeartbeatTime: '2026-01-02T02:04:05Z', lastTransitionTime: null },
        ],
        daemonEndpoints: { kubeletEndpoint: { Port: 0 } },
        nodeInfo: {
          machineID: '',
          systemUUID: '',
          bootID: '',
          kernelVersion: '',
          osImage: '',
          containerRuntimeVersion: '',
          kubeletVersion: '',
          kubeProxyVersion: '',
          operatingSystem: '',
          architecture: '',
        },
      },
    },
  },
  {
    name: 'members of an inlined struct are the outer ones',
    kind: ['v1', 'Pod'],
    value: {
      metadata: {},
      spec: {
        containers: [{ name: 'c', livenessProbe: { tcpSocket: { port: 'http' } } }],
        volumes: [{ name: 'v', emptyDir: {} }],
      },
    },
    shape: {
      metadata: {},
      spec: {
        volumes: [{ name: 'v', emptyDir: {} }],
        containers: [{ name: 'c', resources: {}, livenessProbe: { tcpSocket: { port: 'http' } } }],
      },
      status: {},
    },
  },
  {
    name: 'micro times keep six digits, in UTC',
    kind: ['coordination.k8s.io/v1', 'Lease'],
    value: { metadata: {}, spec: { renewTime: '2026-01-02T03:04:05.000010+02:00' } },
    shape: { metadata: {}, spec: { renewTime: '2026-01-02T01:04:05.000010Z' } },
  },
];
for (const { name, kind, value, shape } of shapes) test(name, () => assert.deepEqual(read(...kind, value), shape));

test('reading what was read changes nothing', () => {
  for (const { kind, shape } of shapes) assert.deepEqual(read(...kind, shape), shape);
});

test('unknown fields are named with their place, in the order of the body', () => {
  const unknown: string[] = [];
  roundTrip(
    schemaNameOf('v1', 'Service') ?? '',
    { extra: 1, metadata: { foo: 1 }, spec: { y: 2, ports: [{ port: 1 }, { x: 1 }] } },
    unknown,
  );
  assert.deepEqual(unknown, ['extra', 'metadata.foo', 'spec.y', 'spec.ports[1].x']);
});

const refused: readonly (readonly [object, RegExp])[] = [
  [
    { spec: { ports: [{ port: '80' }] } },
    /cannot unmarshal string into Go struct field ServicePort.spec.ports.port of type int32/,
  ],
  [
    { spec: { ports: [{ port: 1e10 }] } },
    /cannot unmarshal number 10000000000 into Go struct field ServicePort.spec.ports.port of type int32/,
  ],
  [
    { spec: { selector: ['a'] } },
    /cannot unmarshal array into Go struct field ServiceSpec.spec.selector of type map\[string\]string/,
  ],
  [{ metadata: { creationTimestamp: 'now' } }, /parsing time "now" as "2006-01-02T15:04:05Z07:00"/],
];
for (const [value, message] of refused)
  test(`refused: ${JSON.stringify(value)}`, () => assert.throws(() => read('v1', 'Service', value), message));

const quantities: Readonly<Record<string, string>> = {
  1: '1',
  0.1: '100m',
  '100m': '100m',
  '1000m': '1',
  '1024Mi': '1Gi',
  '1.5Gi': '1536Mi',
  '0.5Ki': '512',
  '1000k': '1M',
  '1e3': '1e3',
  '12E': '12E',
  '1500M': '1500M',
  '0Gi': '0',
  '-1': '-1',
};
for (const [given, wanted] of Object.entries(quantities))
  test(`quantity ${given} is ${wanted}`, () => assert.equal(canonicalQuantity(given), wanted));
test('what is no quantity is refused', () => {
  for (const text of ['', 'x', '1 Gi', '1Zi']) assert.throws(() => canonicalQuantity(text), /quantities must match/);
});
