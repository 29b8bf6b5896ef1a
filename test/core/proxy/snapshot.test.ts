import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Service } from '../../../src/core/objects.ts';
import type { PortModel, ServiceModel } from '../../../src/core/proxy/model.ts';
import { keyText } from '../../../src/core/proxy/schema.ts';
import { createSnapshot } from '../../../src/core/proxy/snapshot.ts';
import { context, HTTP, model, type ServiceText, service, slice, targetText } from './fixture.ts';
import { outcomeText, world } from './world.ts';

const frontends = (made: ServiceModel | undefined): readonly string[] =>
  (['ip', 'ip6'] as const).flatMap((family) =>
    (made?.[family] ?? []).flatMap((port: PortModel) =>
      port.frontends.map(({ kind, key }) => `${kind} ${keyText('masq-vips', key, family)}`),
    ),
  );

const messages = ({ problems }: Pick<ServiceModel, 'problems'>): readonly string[] =>
  problems.map(({ message }) => message);

const pod = slice([{ ip: '10.64.1.1' }]);

test('every frontend of a dual-stack Service', () => {
  const made = model(
    {
      type: 'LoadBalancer',
      clusterIPs: ['172.30.0.1', 'fd30::1'],
      ports: [{ ...HTTP, nodePort: 30_080 }],
      externalIPs: ['198.51.100.1', '2001:db8:2::1', '198.51.100.1'],
      ingress: [
        { ip: '203.0.113.1' },
        { hostname: 'lb.example' },
        { ip: '2001:db8:1::1', ipMode: 'VIP' },
        { ip: '203.0.113.2', ipMode: 'Proxy' },
      ],
    },
    [],
  );
  assert.deepEqual(frontends(made), [
    'cluster-ip 172.30.0.1 . tcp . 80',
    'node-port 10.0.0.1 . tcp . 30080',
    'load-balancer-ip 203.0.113.1 . tcp . 80',
    'external-ip 198.51.100.1 . tcp . 80',
    'cluster-ip fd30::1 . tcp . 80',
    'node-port fd00::1 . tcp . 30080',
    'load-balancer-ip 2001:db8:1::1 . tcp . 80',
    'external-ip 2001:db8:2::1 . tcp . 80',
  ]);
  assert.deepEqual(made.problems, []);
});

test('a family without a ClusterIP has no frontends', () => {
  assert.deepEqual(frontends(model({ externalIPs: ['2001:db8:2::1'] }, [])), ['cluster-ip 172.30.0.1 . tcp . 80']);
});

for (const [name, text] of [
  ['headless', { clusterIP: 'None', clusterIPs: ['None'] }],
  ['without a ClusterIP yet', { clusterIP: '' }],
  ['ExternalName', { type: 'ExternalName', clusterIP: '172.30.0.1', externalName: 'example.com' }],
  ["another proxy's", { labels: { 'service.kubernetes.io/service-proxy-name': 'other' } }],
] as const) {
  test(`not proxied: ${name}`, () => {
    assert.equal(createSnapshot(context).service(service(text as ServiceText), [pod]), undefined);
  });
}

test('a proxy with a name serves the Services with its label only', () => {
  const named = createSnapshot({ ...context, serviceProxyName: 'mine' });
  assert.ok(named.service(service({ labels: { 'service.kubernetes.io/service-proxy-name': 'mine' } }), []));
  assert.equal(named.service(service(), []), undefined);
});

test('a name that JavaScript knows is a name like any other', () => {
  for (const name of ['__proto__', 'constructor', 'toString', 'hasOwnProperty']) {
    const made = model({ name, ports: [{ ...HTTP, name }] }, [
      slice([{ ip: '10.64.1.1', nodeName: name, zone: name, hints: { forZones: [{ name }] } }], {
        ports: [{ name, port: 1, protocol: 'TCP' }],
      }),
    ]);
    assert.deepEqual(made.ip[0]?.cluster.map(targetText), ['10.64.1.1:1'], name);
  }
});

test('bad addresses: only those frontends are left out, each with its field and value', () => {
  const made = model(
    {
      type: 'LoadBalancer',
      clusterIP: '172.30.0.1',
      externalIPs: ['nonsense', '198.51.100.1', '127.0.0.1', '0.0.0.0', '224.0.0.1', '198.51.100.010', ' 198.51.100.3'],
      ingress: [{ ip: '203.0.113.1/32' }, { ip: '203.0.113.1' }],
    },
    [pod],
  );
  assert.deepEqual(frontends(made), [
    'cluster-ip 172.30.0.1 . tcp . 80',
    'load-balancer-ip 203.0.113.1 . tcp . 80',
    'external-ip 198.51.100.1 . tcp . 80',
    'external-ip 198.51.100.10 . tcp . 80',
    'external-ip 198.51.100.3 . tcp . 80',
  ]);
  assert.deepEqual(messages(made), [
    'spec.externalIPs[0]: "nonsense" is not an IP address',
    'spec.externalIPs[2]: "127.0.0.1" is a loopback address',
    'spec.externalIPs[3]: "0.0.0.0" is the unspecified address',
    'spec.externalIPs[4]: "224.0.0.1" is not the address of one host',
    'status.loadBalancer.ingress[0].ip: "203.0.113.1/32" is not an IP address',
  ]);
});

test('bad ports and protocols: only those are left out', () => {
  const made = model(
    {
      ports: [
        { name: 'a', port: 0 },
        { name: 'b', port: 80, nodePort: 70_000 },
        { name: 'c', port: 81, protocol: 'ICMP' as never },
        { name: 'd', port: 1.5 },
        { name: 'e', port: 82 },
      ],
    },
    [],
  );
  assert.deepEqual(frontends(made), ['cluster-ip 172.30.0.1 . tcp . 80', 'cluster-ip 172.30.0.1 . tcp . 82']);
  assert.deepEqual(messages(made), [
    'spec.ports[0].port: 0 must be a whole number from 1 to 65535',
    'spec.ports[1].nodePort: 70000 must be a whole number from 1 to 65535',
    'spec.ports[2].protocol: "ICMP" must be TCP, UDP or SCTP',
    'spec.ports[3].port: 1.5 must be a whole number from 1 to 65535',
  ]);
});

test('bad endpoints: only those are left out', () => {
  const made = model({}, [
    slice([{ ip: 'x' }, { ip: '10.64.1.1' }, { ip: '127.0.0.1' }, { ip: 'fd64::1' }, { ip: '010.64.001.002' }], {
      annotations: { 'fairlead.dev/weight': '-1' },
    }),
    slice([{ ip: '10.64.1.9' }], { name: 'web-b', ports: [{ name: 'http', port: 65_536 }] }),
  ]);
  assert.deepEqual(made.ip[0]?.cluster.map(targetText), ['10.64.1.1:8080', '10.64.1.2:8080']);
  assert.deepEqual(messages(made), [
    'EndpointSlice web-b: ports[0].port: 65536 must be a whole number from 1 to 65535',
    'EndpointSlice web-a: metadata.annotations["fairlead.dev/weight"]: "-1" must be a whole number from 1 to 128; its endpoints have weight 1',
    'EndpointSlice web-a: endpoints[0].addresses[0]: "x" is not an IP address',
    'EndpointSlice web-a: endpoints[2].addresses[0]: "127.0.0.1" is a loopback address',
    'EndpointSlice web-a: endpoints[3].addresses[0]: "fd64::1" is not an IPv4 address',
  ]);
});

test('empty lists and endpoints without addresses do no harm', () => {
  const odd = { ...pod, endpoints: null };
  const none = { ...pod, endpoints: [{ addresses: [] }] };
  const names = slice([{ ip: 'host.example' }], { family: 'FQDN' });
  const made = model({}, [odd, none, names]);
  assert.deepEqual(made.ip[0]?.cluster, []);
  assert.equal(made.problems.length, 1);
});

const ranged = (ranges: readonly string[], more: ServiceText = {}): ServiceText => ({
  type: 'LoadBalancer',
  clusterIPs: ['172.30.0.1', 'fd30::1'],
  ingress: [{ ip: '203.0.113.1' }, { ip: '2001:db8:1::1' }],
  loadBalancerSourceRanges: ranges,
  ...more,
});

const sourcesOf = (text: ServiceText) => {
  const made = model(text, [pod]);
  const of = (family: 'ip' | 'ip6') =>
    made[family][0]?.frontends.find(({ kind }) => kind === 'load-balancer-ip')?.sources;
  return { ip: of('ip')?.length, ip6: of('ip6')?.length, messages: messages(made) };
};

test('source ranges: a bad one is left out, the others hold', () => {
  assert.deepEqual(sourcesOf(ranged(['192.0.2.0/33', '192.0.2.0/24', '2001:db8::/32'])), {
    ip: 1,
    ip6: 1,
    messages: [
      'spec.loadBalancerSourceRanges[0]: "192.0.2.0/33" is not a CIDR; write it as 10.0.0.0/8 or 2001:db8::/32',
    ],
  });
});

test('source ranges: with no usable one nobody may connect', () => {
  const { ip, ip6, messages: said } = sourcesOf(ranged(['10.0.0.1', '']));
  assert.deepEqual([ip, ip6, said.length], [0, 0, 4]);
  assert.equal(
    said[2],
    'spec.loadBalancerSourceRanges: has no usable IPv4 range, so nobody may connect to the IPv4 load-balancer addresses',
  );
  const made = world({ services: [{ service: ranged(['bad']), slices: [pod] }] });
  assert.equal(outcomeText(made.connect('192.0.2.7', '203.0.113.1', 80)), 'dropped');
  assert.equal(outcomeText(made.connect('10.64.1.9', '172.30.0.1', 80)), '10.64.1.1:8080');
});

test('source ranges of one family close the other', () => {
  const { ip, ip6, messages: said } = sourcesOf(ranged(['192.0.2.0/24']));
  assert.deepEqual([ip, ip6], [1, 0]);
  assert.match(said[0] ?? '', /no usable IPv6 range/);
});

test('source ranges that let in everybody are none', () => {
  assert.deepEqual(sourcesOf(ranged(['0.0.0.0/0'])), { ip: undefined, ip6: undefined, messages: [] });
  assert.deepEqual(sourcesOf(ranged(['0.0.0.0/1', '128.0.0.0/1', '2001:db8::/32'])), {
    ip: undefined,
    ip6: 1,
    messages: [],
  });
});

test('source ranges: odd spellings, overlaps and the old annotation', () => {
  assert.deepEqual(sourcesOf(ranged([' 010.0.0.0/8', '10.1.0.0/16 ', '::ffff:192.0.2.0/120', 'fd00::/8'])), {
    ip: 2 + 1,
    ip6: 2,
    messages: [],
  });
  const annotation = { 'service.beta.kubernetes.io/load-balancer-source-ranges': '192.0.2.0/24,2001:db8::/32, x' };
  const { ip, ip6, messages: said } = sourcesOf(ranged([], { annotations: annotation }));
  assert.deepEqual([ip, ip6], [1, 1]);
  assert.match(
    said[0] ?? '',
    /^metadata.annotations\["service.beta.kubernetes.io\/load-balancer-source-ranges"\]: " x" is not a CIDR/,
  );
});

test('healthCheckNodePort counts ready endpoints of this node, once per pod, not those that terminate', () => {
  const local = { nodeName: 'n1' };
  const endpoints = slice(
    [
      { ip: '10.64.1.1', ...local },
      { ip: '10.64.1.2', ...local, state: 'terminating' },
      { ip: '10.64.2.1', nodeName: 'n2' },
      { ip: '10.64.1.3', ...local },
    ],
    {
      ports: [
        { name: 'http', port: 8080 },
        { name: 'more', port: 8081 },
      ],
    },
  );
  const text: ServiceText = {
    type: 'LoadBalancer',
    externalTrafficPolicy: 'Local',
    healthCheckNodePort: 31_000,
    ports: [HTTP, { name: 'more', port: 81 }],
    clusterIP: '172.30.0.1',
  };
  assert.deepEqual(model(text, [endpoints]).health, { port: 31_000, localEndpoints: 2 });
  assert.deepEqual(model(text, []).health, { port: 31_000, localEndpoints: 0 });
  assert.equal(model({ ...text, externalTrafficPolicy: 'Cluster' }, [endpoints]).health, undefined);
});

test('Services without endpoints on this node are told for the policies that are Local', () => {
  const remote = [slice([{ ip: '10.64.2.1', nodeName: 'n2' }])];
  const both: ServiceText = {
    type: 'NodePort',
    clusterIP: '172.30.0.1',
    internalTrafficPolicy: 'Local',
    externalTrafficPolicy: 'Local',
  };
  assert.deepEqual(model(both, remote).noLocal, ['internal', 'external']);
  assert.deepEqual(model({ ...both, internalTrafficPolicy: 'Cluster' }, remote).noLocal, ['external']);
  assert.deepEqual(model(both, []).noLocal, []);
  assert.deepEqual(
    model({ ...both, type: 'ClusterIP' }, remote).noLocal,
    ['internal'],
    'no external frontend, no external policy',
  );
});

test('two ports of a Service at one address, protocol and port: the first by kind keeps it', () => {
  const made = model(
    {
      type: 'NodePort',
      clusterIP: '172.30.0.1',
      externalIPs: ['10.0.0.1'],
      ports: [
        { name: 'a', port: 30_080 },
        { name: 'b', port: 80, nodePort: 30_080 },
      ],
    },
    [],
  );
  assert.deepEqual(frontends(made), [
    'cluster-ip 172.30.0.1 . tcp . 30080',
    'cluster-ip 172.30.0.1 . tcp . 80',
    'node-port 10.0.0.1 . tcp . 30080',
    'external-ip 10.0.0.1 . tcp . 80',
  ]);
  assert.deepEqual(messages(made), ['spec.ports[0]: 10.0.0.1 . tcp . 30080 is taken by another port of this Service']);
});

test('an address that is external IP and load-balancer IP is one frontend, with its source ranges', () => {
  const made = model(ranged(['192.0.2.0/24', 'fd00::/8'], { externalIPs: ['203.0.113.1'] }), []);
  const [port] = made.ip;
  assert.deepEqual(
    port?.frontends.map(({ kind }) => kind),
    ['cluster-ip', 'load-balancer-ip'],
  );
  assert.deepEqual(made.problems, []);
});

test('affinity: absent and odd timeouts, and hashing for IPv6', () => {
  const seconds = (timeoutSeconds?: number) => {
    const config = timeoutSeconds === undefined ? {} : { sessionAffinityConfig: { clientIP: { timeoutSeconds } } };
    const made = model({ clusterIPs: ['172.30.0.1', 'fd30::1'], sessionAffinity: 'ClientIP', ...config }, []);
    assert.deepEqual([made.ip[0]?.hashed, made.ip6[0]?.hashed], [false, true]);
    return made.ip[0]?.affinitySeconds;
  };
  assert.deepEqual([seconds(), seconds(60), seconds(0), seconds(100_000)], [10_800, 60, 10_800, 86_400]);
  assert.equal(model({ sessionAffinity: 'None' }, []).ip[0]?.affinitySeconds, 0);
});

test('a timeout that hashing does not keep is told, the default is not', () => {
  const of = (timeoutSeconds: number, more: ServiceText = {}) =>
    messages(
      model({ sessionAffinity: 'ClientIP', sessionAffinityConfig: { clientIP: { timeoutSeconds } }, ...more }, []),
    );
  const dual = { clusterIPs: ['172.30.0.1', 'fd30::1'] };
  assert.deepEqual(of(60, dual), [
    "spec.sessionAffinityConfig.clientIP.timeoutSeconds: 60 has no effect in IPv6: a hash of the client's address chooses its endpoint, without time limit",
  ]);
  assert.deepEqual([of(60), of(10_800, dual)], [[], []]);
  assert.match(
    of(60, { annotations: { 'fairlead.dev/consistent-hash': 'true' } })[0] ?? '',
    /no effect with fairlead.dev/,
  );
});

test('consistent hashing by annotation, in both families', () => {
  const of = (text: string) =>
    model({ clusterIPs: ['172.30.0.1', 'fd30::1'], annotations: { 'fairlead.dev/consistent-hash': text } }, [pod]);
  const hashed = (made: ServiceModel) => [made.ip[0]?.hashed, made.ip6[0]?.hashed];
  assert.deepEqual(
    [hashed(of('true')), hashed(of('false'))],
    [
      [true, true],
      [false, false],
    ],
  );
  const bad = of('yes');
  assert.deepEqual(hashed(bad), [false, false]);
  assert.deepEqual(messages(bad), [
    'metadata.annotations["fairlead.dev/consistent-hash"]: "yes" must be "true" or "false"; it counts as "false"',
  ]);
  const made = world({
    services: [{ service: { annotations: { 'fairlead.dev/consistent-hash': 'true' } }, slices: [pod] }],
  });
  assert.deepEqual(made.planner.chains(), [0x300fb]);
  assert.equal(outcomeText(made.connect('10.64.1.9', '172.30.0.1', 80)), '10.64.1.1:8080');
});

test('a wrong address of the Node is told, and the rest works', () => {
  const snapshot = createSnapshot({ ...context, primaryAddresses: ['x', '10.0.0.1'] });
  assert.deepEqual(messages(snapshot), ['status.addresses: "x" is not an IP address']);
  assert.deepEqual(snapshot.nodePortAddresses.ip, ['\x0a\0\0\x01']);
});

test('shared objects are not written to', () => {
  const freeze = <T>(value: T): T => {
    if (typeof value === 'object' && value !== null) {
      Object.freeze(value);
      for (const member of Object.values(value)) freeze(member);
    }
    return value;
  };
  const frozen = freeze(
    service({
      type: 'LoadBalancer',
      clusterIP: '172.30.0.1',
      loadBalancerSourceRanges: ['x'],
      ingress: [{ ip: '203.0.113.1' }],
    }),
  );
  assert.ok(
    createSnapshot(freeze({ ...context })).service(
      frozen as Service,
      freeze([slice([{ ip: '10.64.1.2' }, { ip: '10.64.1.1' }]), pod]),
    ),
  );
});
