import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { isProviderError } from '../../../src/core/errors.ts';
import type { EndpointSlice, Node, ServicePort, ServiceSpec } from '../../../src/core/objects.ts';
import type { HealthCheck, Interpretation, Listener, ServiceView } from '../../../src/core/provider.ts';
import { desiredOf, viewOf, type World } from '../../../src/core/service/desired.ts';
import { nodePass } from '../../../src/core/service/nodes.ts';
import { causeOf, printOf } from '../../../src/core/service/print.ts';
import { createTargetCache } from '../../../src/core/service/targets.ts';
import { OWN_FINALIZER, STANDARD_FINALIZER } from '../../../src/core/service/wanted.ts';
import { node, pod, service, slice } from './fixture.ts';

const members = (...nodes: Node[]) => nodePass(nodes, { nowMs: 0, drainMs: 0 }).members;
const world = (more: Partial<World> = {}): World => ({
  cluster: 'kubernetes',
  members: members(node('node1'), node('node2')),
  slices: () => [],
  ...more,
});
const asks = (interpretation: Interpretation, ...slices: EndpointSlice[]): World =>
  world({ interpret: () => interpretation, slices: () => slices });
const specOf = (spec: Partial<ServiceSpec>, where: World = world()) => desiredOf(service(spec), where).spec;

test('the whole spec of the plain Service', () => {
  const { spec, ...rest } = desiredOf(service(), world());
  assert.deepEqual(spec, {
    key: 'default/basic-service1',
    uid: 'a0000000-0000-4000-8000-000000000001',
    cluster: 'kubernetes',
    families: ['ipv4'],
    addresses: [],
    sources: [],
    listeners: [{ name: '', protocol: 'TCP', port: 80, targetPort: 30080 }],
    targetKind: 'node',
    targets: [
      { id: 'test://node1', node: 'node1', address: '10.0.0.1' },
      { id: 'test://node2', node: 'node2', address: '10.0.0.2' },
    ],
    trafficPolicy: 'cluster',
    health: { protocol: 'HTTP', port: 10256, path: '/healthz' },
    options: {},
    service: {
      namespace: 'default',
      name: 'basic-service1',
      labels: {},
      selector: {},
      ipFamilyPolicy: 'SingleStack',
      clusterIPs: ['10.96.0.7'],
      finalizers: [],
    },
  });
  assert.deepEqual(rest, { interpretation: {}, shortfalls: [], portErrors: [], warnings: [] });
});

for (const { name, ranges, families, sources, namedSources } of [
  { name: 'nothing named', ranges: [], families: ['IPv4'], sources: [], namedSources: undefined },
  { name: 'all of both', ranges: ['0.0.0.0/0', '::/0'], families: ['IPv6'], sources: [], namedSources: undefined },
  {
    name: 'all of IPv6 alone',
    ranges: ['::/0', '2001:db8::/32'],
    families: ['IPv6'],
    sources: [],
    namedSources: ['::/0'],
  },
  {
    name: 'all of IPv6, some of IPv4',
    ranges: ['::/0', '10.0.0.0/8'],
    families: ['IPv6'],
    sources: [],
    namedSources: ['10.0.0.0/8', '::/0'],
  },
  { name: 'some', ranges: ['10.0.0.0/8'], families: ['IPv4'], sources: ['10.0.0.0/8'], namedSources: undefined },
] as const) {
  test(`sources: ${name}`, () => {
    const ipFamilies = [...families];
    const { spec } = desiredOf(service({ loadBalancerSourceRanges: [...ranges], ipFamilies }), world());
    assert.deepEqual([spec.sources, spec.namedSources], [sources, namedSources]);
  });
}

test('the whole spec of a rich Service on pods', () => {
  const rich = service(
    {
      loadBalancerClass: 'fairlead.dev/onprem',
      clusterIPs: ['fd00::7', '10.96.0.7'],
      ipFamilies: ['IPv6', 'IPv4'],
      ipFamilyPolicy: 'RequireDualStack',
      loadBalancerIP: ' 2001:DB8:0::10 ',
      loadBalancerSourceRanges: ['::/0', '10.1.0.0/8'],
      externalTrafficPolicy: 'Local',
      healthCheckNodePort: 31234,
      sessionAffinity: 'ClientIP',
      selector: { b: '2', a: '1' },
      trafficDistribution: 'PreferClose',
      ports: [
        { name: 'web', port: 443, protocol: 'TCP', targetPort: 'https', nodePort: 30443, appProtocol: 'https' },
        { name: 'dns', port: 53, protocol: 'UDP', targetPort: 5353, nodePort: 30053 },
      ],
    },
    {
      labels: { z: '1', a: '2' },
      annotations: { 'metallb.io/address-pool': 'p', 'metallb.io/ip-allocated-from-pool': 'p' },
      finalizers: [STANDARD_FINALIZER, OWN_FINALIZER, 'a/b'],
    },
  );
  const ports = [
    { name: 'web', port: 8443 },
    { name: 'dns', port: 5353 },
  ];
  const six = pod('p1', {}, { address: 'fd00:1::1' });
  const { spec } = desiredOf(
    rich,
    asks(
      { targetKind: 'pod', scheme: 'internal', countEndpoints: true },
      slice('four', [pod('p1')]),
      slice('six', [six], ports, 'IPv6'),
    ),
  );
  assert.deepEqual(spec, {
    key: 'default/basic-service1',
    uid: 'a0000000-0000-4000-8000-000000000001',
    cluster: 'kubernetes',
    scheme: 'internal',
    families: ['ipv6', 'ipv4'],
    addresses: ['2001:db8::10'],
    sources: ['10.0.0.0/8', '::/0'],
    listeners: [
      { name: 'dns', protocol: 'UDP', port: 53, targetPort: 5353 },
      { name: 'web', protocol: 'TCP', port: 443, targetPort: 8443, appProtocol: 'https', targetPortName: 'https' },
    ],
    targetKind: 'pod',
    targets: [{ id: 'uid-p1', node: 'node1', address: 'fd00:1::1', zone: 'a' }],
    trafficPolicy: 'local',
    affinitySeconds: 10800,
    health: { protocol: 'TCP', port: 8443 },
    options: { 'metallb.io/address-pool': 'p' },
    service: {
      namespace: 'default',
      name: 'basic-service1',
      labels: { a: '2', z: '1' },
      selector: { a: '1', b: '2' },
      ipFamilyPolicy: 'RequireDualStack',
      clusterIPs: ['fd00::7', '10.96.0.7'],
      loadBalancerClass: 'fairlead.dev/onprem',
      finalizers: ['a/b', STANDARD_FINALIZER],
      trafficDistribution: 'PreferClose',
      endpoints: 1,
    },
  });
});

test('a provider without targets needs neither nodes, node ports nor slices, and none of that is said', () => {
  const { spec, shortfalls, warnings } = desiredOf(
    service({ allocateLoadBalancerNodePorts: false, ports: [{ port: 80, protocol: 'TCP' }] }),
    {
      cluster: 'c',
      interpret: () => ({ targetKind: 'none' }),
      members: [],
      slices: () => assert.fail('slices were read'),
    },
  );
  assert.deepEqual([spec.targets, spec.listeners], [[], [{ name: '', protocol: 'TCP', port: 80, targetPort: 0 }]]);
  assert.deepEqual([shortfalls, warnings], [[], []]);
});

test('the provider is asked with facts, options and policy, before targets are chosen', () => {
  const seen: ServiceView[] = [];
  const of = service({ externalTrafficPolicy: 'Local' }, { annotations: { 'example.com/kind': 'pod' } });
  desiredOf(
    of,
    world({
      interpret: (view) => {
        seen.push(view);
        return {};
      },
    }),
  );
  assert.deepEqual(seen, [viewOf(of)]);
  assert.deepEqual([seen[0]?.options, seen[0]?.trafficPolicy], [{ 'example.com/kind': 'pod' }, 'local']);
});

// Families, addresses, affinity, health: one row per rule.
const families: readonly {
  readonly name: string;
  readonly spec: Partial<ServiceSpec>;
  readonly expected: readonly string[];
}[] = [
  { name: 'IPv4', spec: { ipFamilies: ['IPv4'] }, expected: ['ipv4'] },
  { name: 'both, IPv6 first', spec: { ipFamilies: ['IPv6', 'IPv4'] }, expected: ['ipv6', 'ipv4'] },
  {
    name: 'undeclared: those of the cluster IPs',
    spec: { ipFamilies: [], clusterIPs: ['fd00::1', '10.0.0.1'] },
    expected: ['ipv6', 'ipv4'],
  },
  { name: 'undeclared and headless: IPv4', spec: { ipFamilies: [], clusterIPs: ['None'] }, expected: ['ipv4'] },
];
for (const { name, spec, expected } of families) {
  test(`families: ${name}`, () => assert.deepEqual(specOf(spec).families, expected));
}

const wishes: readonly { readonly ip: string; readonly expected: readonly string[] }[] = [
  { ip: '', expected: [] },
  { ip: '  ', expected: [] },
  { ip: '192.0.2.1', expected: ['192.0.2.1'] },
  { ip: '2001:DB8::0:1', expected: ['2001:db8::1'] },
  { ip: 'not an address', expected: ['not an address'] },
];
for (const { ip, expected } of wishes) {
  test(`loadBalancerIP ${JSON.stringify(ip)} asks for ${JSON.stringify(expected)}`, () => {
    assert.deepEqual(specOf({ loadBalancerIP: ip }).addresses, expected);
  });
}

test('affinity is none, the API’s default, or what the Service says', () => {
  assert.equal(
    specOf({ sessionAffinity: 'None', sessionAffinityConfig: { clientIP: { timeoutSeconds: 5 } } }).affinitySeconds,
    undefined,
  );
  assert.equal(specOf({ sessionAffinity: 'ClientIP' }).affinitySeconds, 10_800);
  assert.equal(
    specOf({ sessionAffinity: 'ClientIP', sessionAffinityConfig: { clientIP: { timeoutSeconds: 5 } } }).affinitySeconds,
    5,
  );
});

const proxy: HealthCheck = { protocol: 'HTTP', port: 10256, path: '/healthz' };
const local = { externalTrafficPolicy: 'Local', healthCheckNodePort: 30123 } as const;
const healths: readonly {
  readonly name: string;
  readonly spec: Partial<ServiceSpec>;
  readonly interpretation?: Interpretation;
  readonly expected: HealthCheck;
}[] = [
  { name: 'Cluster', spec: { externalTrafficPolicy: 'Cluster' }, expected: proxy },
  { name: 'Local', spec: local, expected: { protocol: 'HTTP', port: 30123, path: '/healthz' } },
  { name: 'Local without its port', spec: { ...local, healthCheckNodePort: 0 }, expected: proxy },
  {
    name: 'Cluster with a leftover port',
    spec: { externalTrafficPolicy: 'Cluster', healthCheckNodePort: 30123 },
    expected: proxy,
  },
  {
    name: 'the provider’s word',
    spec: local,
    interpretation: { health: { protocol: 'TCP', port: 1 } },
    expected: { protocol: 'TCP', port: 1 },
  },
  {
    name: 'pods: the first TCP port',
    spec: local,
    interpretation: { targetKind: 'pod' },
    expected: { protocol: 'TCP', port: 8080 },
  },
];
for (const { name, spec, interpretation = {}, expected } of healths) {
  test(`health: ${name}`, () => assert.deepEqual(specOf(spec, asks(interpretation)).health, expected));
}

// Node ports (Better 9).
const port = (number: number, more: Partial<ServicePort> = {}): ServicePort => ({
  port: number,
  protocol: 'TCP',
  targetPort: number,
  nodePort: 30000 + number,
  ...more,
});
const listener = (number: number, more: Partial<Listener> = {}): Listener => ({
  name: '',
  protocol: 'TCP',
  port: number,
  targetPort: 30000 + number,
  ...more,
});

test('listeners are sorted by port and protocol, whatever the order in the Service', () => {
  const ports = [port(443, { name: 'b' }), port(53, { name: 'u', protocol: 'UDP' }), port(53, { name: 't' })];
  const expected = [
    listener(53, { name: 't' }),
    listener(53, { name: 'u', protocol: 'UDP' }),
    listener(443, { name: 'b' }),
  ];
  assert.deepEqual(specOf({ ports }).listeners, expected);
  assert.deepEqual(specOf({ ports: ports.toReversed() }).listeners, expected);
});

test('a Service without any node port is refused where node ports are needed, with the field', () => {
  const none = service({
    allocateLoadBalancerNodePorts: false,
    ports: [port(80, { nodePort: 0 }), { port: 81, protocol: 'TCP' }],
  });
  assert.throws(
    () => desiredOf(none, world()),
    (error) =>
      isProviderError(error) &&
      error.kind === 'invalid' &&
      error.code === 'FL_NODE_PORTS_UNSUPPORTED' &&
      error.field === 'spec.allocateLoadBalancerNodePorts' &&
      error.message.startsWith('spec.allocateLoadBalancerNodePorts: no port has a node port'),
  );
  assert.deepEqual(desiredOf(none, asks({ targetKind: 'pod' })).spec.listeners.length, 2);
});

test('where some ports lack a node port the others are served and the lack is told', () => {
  const some = service({ ports: [port(443), port(80, { nodePort: 0 }), port(53, { protocol: 'UDP', nodePort: 0 })] });
  const { spec, shortfalls, portErrors } = desiredOf(some, world());
  assert.deepEqual(spec.listeners, [listener(443)]);
  assert.deepEqual(shortfalls, [
    {
      reason: 'PortsNotSupported',
      field: 'spec.ports[2].nodePort',
      message: 'port 53/UDP has no node port, to which this provider sends',
    },
    {
      reason: 'PortsNotSupported',
      field: 'spec.ports[1].nodePort',
      message: 'port 80/TCP has no node port, to which this provider sends',
    },
  ]);
  assert.deepEqual(portErrors, [
    { port: 53, protocol: 'UDP', error: 'NodePortMissing' },
    { port: 80, protocol: 'TCP', error: 'NodePortMissing' },
  ]);
});

test('a Service without ports is no error of ours', () => {
  assert.deepEqual(specOf({ ports: [] }).listeners, []);
});

test('an absent protocol is TCP, also in the order', () => {
  const { protocol: _tcp, ...bare } = port(53);
  const ports = [port(53, { name: 'u', protocol: 'UDP' }), { ...bare, name: 't' }];
  for (const order of [ports, ports.toReversed()]) {
    assert.deepEqual(
      specOf({ ports: order }).listeners.map(({ name, protocol }) => [name, protocol]),
      [
        ['t', 'TCP'],
        ['u', 'UDP'],
      ],
    );
  }
});

test('cluster IPs are addresses only, and the old single field counts where the list is absent', () => {
  const of = (spec: Partial<ServiceSpec>) => specOf(spec).service.clusterIPs;
  const { clusterIPs: _list, ...old } = service().spec;
  const single = (clusterIP?: string) =>
    desiredOf({ ...service(), spec: { ...old, ...(clusterIP === undefined ? {} : { clusterIP }) } }, world()).spec
      .service;
  assert.deepEqual([of({ clusterIPs: ['None'] }), of({ clusterIPs: [''] }), of({ clusterIPs: [] })], [[], [], []]);
  assert.deepEqual(
    [single('10.0.0.1').clusterIPs, single('None').clusterIPs, single().clusterIPs],
    [['10.0.0.1'], [], []],
  );
});

test('a bad source range is an error before anything else is built', () => {
  assert.throws(() => specOf({ loadBalancerSourceRanges: ['x'] }), { code: 'FL_SOURCE_RANGE_INVALID' });
});

// Endpoints.
test('endpoints are counted when the provider asks, per node and in all', () => {
  const slices = [
    slice('s', [
      pod('p1'),
      pod('p2', { ready: false }),
      pod('p3', {}, { nodeName: 'node2' }),
      pod('p4', {}, { nodeName: 'gone' }),
    ]),
  ];
  const counted = specOf({}, asks({ countEndpoints: true }, ...slices));
  assert.deepEqual(
    counted.targets.map(({ endpoints }) => endpoints),
    [1, 1],
  );
  assert.equal(counted.service.endpoints, 3);
  const plain = specOf({}, asks({}, ...slices));
  assert.deepEqual(
    plain.targets.map(({ endpoints }) => endpoints),
    [undefined, undefined],
  );
  assert.equal('endpoints' in plain.service, false);
});

test('a provider without targets can have them counted too', () => {
  const { spec } = desiredOf(service(), asks({ targetKind: 'none', countEndpoints: true }, slice('s', [pod('p1')])));
  assert.deepEqual([spec.targets, spec.service.endpoints], [[], 1]);
});

test('pods whose containers are ready count only where the provider asks for it', () => {
  const containersReady = () => new Set(['uid-p1']);
  const slices = () => [slice('s', [pod('p1', { ready: false })])];
  const of = (interpretation: Interpretation) =>
    desiredOf(service(), world({ interpret: () => interpretation, slices, containersReady })).spec.targets.length;
  assert.deepEqual([of({ targetKind: 'pod' }), of({ targetKind: 'pod', containersReady: true })], [0, 1]);
});

// Warnings.
test('no nodes is a warning and no error: the cloud call is still made', () => {
  const { spec, warnings } = desiredOf(service(), world({ members: [] }));
  assert.deepEqual(spec.targets, []);
  assert.deepEqual(warnings, [
    { type: 'Warning', reason: 'UnAvailableLoadBalancer', message: 'There are no available nodes for LoadBalancer' },
  ]);
  assert.deepEqual(desiredOf(service(), asks({ targetKind: 'pod' })).warnings, []);
});

test('an annotation under our prefixes that means nothing is a warning', () => {
  const odd = service({}, { annotations: { 'metallb.io/addres-pool': 'a', 'fairlead.dev/mine': '1' } });
  const { warnings, spec } = desiredOf(odd, world({ knownAnnotations: new Set(['fairlead.dev/mine']) }));
  assert.deepEqual(warnings, [
    {
      type: 'Warning',
      reason: 'UnknownAnnotation',
      message:
        'annotation metallb.io/addres-pool has no meaning on a Service and is ignored: did you mean metallb.io/address-pool?',
    },
  ]);
  assert.deepEqual(spec.options, { 'fairlead.dev/mine': '1', 'metallb.io/addres-pool': 'a' });
});

// Sharing and stability.
test('Services with equal targets share one array', () => {
  const where = world({ cache: createTargetCache() });
  const other = desiredOf(service({}, { name: 'other', uid: 'b' }), where).spec;
  assert.equal(desiredOf(service(), where).spec.targets, other.targets);
});

test('nothing that Fairlead writes on a Service changes its spec', () => {
  const written = service(
    {},
    {
      resourceVersion: '99',
      finalizers: [STANDARD_FINALIZER],
      annotations: { 'fairlead.dev/observed-spec': 'x', 'metallb.io/ip-allocated-from-pool': 'p' },
    },
    { loadBalancer: { ingress: [{ ip: '1.2.3.4' }] }, conditions: [{ type: 'LoadBalancerServing', status: 'True' }] },
  );
  assert.deepEqual(desiredOf(written, world()), desiredOf(service(), world()));
});

test('equal inputs in another order give a deep-equal spec', () => {
  const shuffled = <T>(items: readonly T[]) => fc.shuffledSubarray([...items], { minLength: items.length });
  const nodes = ['node1', 'node2', 'node3'].map((name) => node(name));
  const slices = [
    slice('a', [pod('p1'), pod('p2', { ready: false, serving: true, terminating: true })], [{ name: 'x', port: 1 }]),
    slice(
      'b',
      [pod('p2'), pod('p3')],
      [
        { name: 'x', port: 2 },
        { name: 'y', port: 3 },
      ],
    ),
    slice('c', [pod('p4', {}, { address: 'fd00::4' })], [], 'IPv6'),
  ];
  const ports = [
    port(80, { name: 'x', targetPort: 'http' }),
    port(81, { name: 'y' }),
    port(81, { name: 'z', protocol: 'UDP' }),
  ];
  const labels = Object.entries({ a: '1', b: '2', c: '3' });
  const ranges = ['10.0.0.0/8', '2001:db8::/32', '192.0.2.0/24'];
  const finalizers = ['x/1', STANDARD_FINALIZER, 'a/2'];
  const inputs = fc.record({
    nodes: shuffled(nodes),
    slices: shuffled(slices),
    ports: shuffled(ports),
    labels: shuffled(labels),
    ranges: shuffled(ranges),
    finalizers: shuffled(finalizers),
    endpoints: fc.boolean(),
  });
  const kind = fc.constantFrom<Interpretation>(
    {},
    { targetKind: 'pod' },
    { countEndpoints: true },
    { targetKind: 'none' },
  );
  const build = (input: typeof inputs extends fc.Arbitrary<infer T> ? T : never, interpretation: Interpretation) => {
    const record = Object.fromEntries(input.labels);
    const of = service(
      { ports: input.ports, selector: record, loadBalancerSourceRanges: input.ranges },
      { labels: record, annotations: record, finalizers: input.finalizers },
    );
    const turned = input.slices.map((each) => ({
      ...each,
      endpoints: input.endpoints ? each.endpoints : (each.endpoints ?? []).toReversed(),
    }));
    return desiredOf(
      of,
      world({ members: members(...input.nodes), slices: () => turned, interpret: () => interpretation }),
    ).spec;
  };
  fc.assert(
    fc.property(inputs, inputs, kind, (one, two, interpretation) => {
      const [a, b] = [build(one, interpretation), build(two, interpretation)];
      assert.deepEqual(a, b);
      assert.equal(JSON.stringify(a), JSON.stringify(b));
      assert.equal(causeOf(printOf(a), printOf(b)), 'none');
    }),
  );
});

test('the cause of a run: first, spec, hosts, or none', () => {
  const spec = specOf({});
  assert.equal(causeOf(undefined, printOf(spec)), 'first');
  assert.equal(causeOf(printOf(spec), printOf(specOf({}))), 'none');
  assert.equal(causeOf(printOf(spec), printOf(specOf({}, world({ members: members(node('node1')) })))), 'hosts');
  assert.equal(causeOf(printOf(spec), printOf(specOf({ loadBalancerIP: '1.2.3.4' }, world({ members: [] })))), 'spec');
});
