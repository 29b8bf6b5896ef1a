import assert from 'node:assert/strict';
import { test } from 'node:test';
import { annotationTable, unknownKeys } from '../../../providers/aws/annotation-table.ts';
import { flagOf, listOf, mapOf } from '../../../providers/aws/annotations.ts';
import { createInterpret } from '../../../providers/aws/interpret.ts';
import type { Desired } from '../../../providers/aws/model.ts';
import { plan } from '../../../providers/aws/plan.ts';
import { isProviderError } from '../../../src/core/errors.ts';
import type { Cidr, LoadBalancerSpec } from '../../../src/core/provider.ts';
import { listener, options, pod, spec, X } from './spec.ts';
import { settings } from './world.ts';

/** One annotation: what it gives, what it gives without, and what is refused. `more`: others that it needs. */
interface Row {
  readonly good: Readonly<Record<string, unknown>>;
  readonly byDefault: unknown;
  readonly bad: readonly string[];
  readonly more?: Readonly<Record<string, string>>;
  readonly spec?: Partial<LoadBalancerSpec>;
  readonly get: (desired: Desired) => unknown;
}

const port = ({ ports }: Desired) => {
  const [first] = ports;
  assert.ok(first !== undefined);
  return first;
};
const health = (member: string) => (desired: Desired) =>
  (port(desired).group.health as unknown as Readonly<Record<string, unknown>>)[member];
const groupAttributes = (desired: Desired) => port(desired).group.attributes;
const OFF = { 'proxy_protocol_v2.enabled': 'false' };
const ON = { 'proxy_protocol_v2.enabled': 'true' };
const HTTP = { 'healthcheck-protocol': 'HTTP' };
const DUAL = { 'ip-address-type': 'dualstack' };
const CERT = { 'ssl-cert': 'arn:a' };

const rows: Readonly<Record<string, Row>> = {
  'nlb-target-type': {
    good: { ip: 'ip', instance: 'instance' },
    byDefault: 'instance',
    bad: ['pod', '', 'IP'],
    get: ({ targetType }) => targetType,
  },
  type: {
    good: { 'nlb-ip': 'ip', external: 'instance', nlb: 'instance' },
    byDefault: 'instance',
    bad: [],
    get: ({ targetType }) => targetType,
  },
  scheme: {
    good: { internal: 'internal', 'internet-facing': 'internet-facing' },
    byDefault: 'keep',
    bad: ['public', ''],
    get: ({ scheme }) => scheme,
  },
  internal: {
    good: { true: 'internal', '0': 'internet-facing', f: 'internet-facing' },
    byDefault: 'keep',
    bad: ['yes', ''],
    get: ({ scheme }) => scheme,
  },
  subnets: {
    good: { 'subnet-b, name,,': ['subnet-b', 'name'], ' , ': 'discover' },
    byDefault: 'discover',
    bad: [],
    get: ({ subnets }) => subnets,
  },
  attributes: {
    good: {
      'b=1, a=2': { a: '2', b: '1' },
      'k=a\\,b=c': { k: 'a,b=c' },
      'dns_record.client_routing_policy=availability_zone_affinity': {
        'dns_record.client_routing_policy': 'availability_zone_affinity',
      },
    },
    byDefault: {},
    bad: ['a', 'a=1,b', '=1', 'dns_record.client_routing_policy=near'],
    get: ({ attributes }) => attributes,
  },
  'target-group-attributes': {
    good: { 'a=b': { a: 'b', ...OFF }, 'proxy_protocol_v2.enabled=true': ON },
    byDefault: OFF,
    bad: ['a', 'preserve_client_ip.enabled=maybe'],
    get: groupAttributes,
  },
  'target-group-attributes.80': {
    good: { 'a=c': { a: 'c', ...OFF }, 'a=': { a: 'b', ...OFF } },
    byDefault: { a: 'b', ...OFF },
    more: { 'target-group-attributes': 'a=b' },
    bad: ['a'],
    get: groupAttributes,
  },
  'healthcheck-protocol': {
    good: { http: 'HTTP', HTTPS: 'HTTPS', Tcp: 'TCP' },
    byDefault: 'TCP',
    bad: ['UDP', ''],
    get: health('protocol'),
  },
  'healthcheck-port': {
    good: { 'traffic-port': 'traffic-port', '8080': '8080', p80: '30080' },
    byDefault: 'traffic-port',
    bad: ['0', '65536', 'nobody', ''],
    get: health('port'),
  },
  'healthcheck-path': { good: { '/up': '/up' }, byDefault: '/', bad: ['up'], more: HTTP, get: health('path') },
  'healthcheck-interval': {
    good: { '5': 5, '300': 300 },
    byDefault: 10,
    bad: ['4', '301', '10s', '-1', ''],
    get: health('interval'),
  },
  'healthcheck-timeout': {
    good: { '2': 2, '120': 120 },
    byDefault: 10,
    bad: ['1', '121', '1.5'],
    get: health('timeout'),
  },
  'healthcheck-healthy-threshold': {
    good: { '2': 2, '10': 10 },
    byDefault: 3,
    bad: ['1', '11', 'x'],
    get: health('healthy'),
  },
  'healthcheck-unhealthy-threshold': { good: { '2': 2 }, byDefault: 3, bad: ['1', '11'], get: health('unhealthy') },
  'healthcheck-success-codes': {
    good: { '200': '200', '200-299': '200-299', '200,204': '200,204' },
    byDefault: '200-399',
    more: HTTP,
    bad: ['2xx', '200-', ''],
    get: health('codes'),
  },
  'healthcheck-interval.80': {
    good: { '20': 20 },
    byDefault: 30,
    more: { 'healthcheck-interval': '30' },
    bad: ['x'],
    get: health('interval'),
  },
  'ssl-cert': {
    good: { 'arn:a, arn:b, arn:a': ['arn:a', 'arn:b'] },
    byDefault: [],
    bad: ['a'],
    get: (desired) => port(desired).listener.certificates,
  },
  'ssl-ports': {
    good: { '80': 'TLS', p80: 'TLS' },
    byDefault: 'TLS',
    bad: ['443', '*', 'p81'],
    more: CERT,
    get: (desired) => port(desired).listener.protocol,
  },
  'ssl-negotiation-policy': {
    good: { Modern: 'Modern' },
    byDefault: 'ELBSecurityPolicy-2016-08',
    bad: [''],
    more: CERT,
    get: (desired) => port(desired).listener.sslPolicy,
  },
  'backend-protocol': {
    good: { ssl: 'TLS', SSL: 'TLS', tcp: 'TCP', http: 'TCP' },
    byDefault: 'TCP',
    bad: ['udp'],
    more: CERT,
    get: (desired) => port(desired).group.protocol,
  },
  'security-groups': {
    good: { 'sg-1, name': ['sg-1', 'name'] },
    byDefault: 'managed',
    bad: [],
    get: ({ securityGroups }) => securityGroups,
  },
  'manage-backend-security-group-rules': {
    good: { T: true, false: false },
    byDefault: false,
    bad: ['on'],
    get: ({ manageBackendRules }) => manageBackendRules,
  },
  'proxy-protocol': { good: { '*': ON }, byDefault: OFF, bad: ['80', 'true', ''], get: groupAttributes },
  'proxy-protocol-per-target-group': {
    good: { '80': ON, ' 80 ,': ON },
    byDefault: OFF,
    bad: ['81', '*'],
    get: groupAttributes,
  },
  name: {
    good: { mine: 'mine', 'a-1': 'a-1', ['x'.repeat(32)]: 'x'.repeat(32) },
    byDefault: undefined,
    bad: ['x'.repeat(33), '-a', 'a-', 'internal-a', 'a_b', ''],
    get: ({ loadBalancerName }) => loadBalancerName,
  },
  'ip-address-type': {
    good: { ipv4: 'ipv4', dualstack: 'dualstack' },
    byDefault: 'ipv4',
    bad: ['ipv6', 'dual'],
    get: ({ ipAddressType }) => ipAddressType,
  },
  'eip-allocations': { good: { 'e1, e2': ['e1', 'e2'] }, byDefault: [], bad: [], get: ({ eips }) => eips },
  'private-ipv4-addresses': {
    good: { '10.0.0.1': ['10.0.0.1'] },
    byDefault: [],
    bad: ['10.0.0.300', '::1', '10.0.0.1/32'],
    get: ({ privateIpv4 }) => privateIpv4,
  },
  'ipv6-addresses': {
    good: { '2001:DB8::0:1': ['2001:db8::1'] },
    byDefault: [],
    bad: ['10.0.0.1'],
    more: DUAL,
    get: ({ ipv6 }) => ipv6,
  },
  'additional-resource-tags': {
    good: { 'b=1,a=': { a: '', b: '1' } },
    byDefault: {},
    bad: ['a'],
    get: ({ tags }) => tags,
  },
  'target-node-labels': {
    good: { 'a=b': 'instance' },
    byDefault: 'instance',
    bad: ['a'],
    get: ({ targetType }) => targetType,
  },
  'alpn-policy': {
    good: { HTTP2Only: 'HTTP2Only', None: undefined },
    byDefault: undefined,
    bad: ['h2', 'none'],
    more: CERT,
    get: (desired) => port(desired).listener.alpnPolicy,
  },
  'listener-attributes.TCP-80': {
    good: { 'tcp.idle_timeout.seconds=60': { 'tcp.idle_timeout.seconds': '60' } },
    byDefault: {},
    bad: ['60'],
    get: (desired) => port(desired).listener.attributes,
  },
  'security-group-prefix-lists': {
    good: { 'pl-1, pl-2': ['pl-1', 'pl-2'] },
    byDefault: [],
    bad: [],
    get: ({ prefixLists }) => prefixLists,
  },
  'access-log-enabled': {
    good: { true: 'true', F: 'false' },
    byDefault: 'maybe',
    more: { attributes: 'access_logs.s3.enabled=maybe' },
    bad: ['on'],
    get: ({ attributes }) => attributes['access_logs.s3.enabled'],
  },
  'access-log-s3-bucket-name': {
    good: { mine: 'mine' },
    byDefault: 'other',
    more: { attributes: 'access_logs.s3.bucket=other' },
    bad: [],
    get: ({ attributes }) => attributes['access_logs.s3.bucket'],
  },
  'access-log-s3-bucket-prefix': {
    good: { p: 'p' },
    byDefault: undefined,
    bad: [],
    get: ({ attributes }) => attributes['access_logs.s3.prefix'],
  },
  'cross-zone-load-balancing-enabled': {
    good: { true: 'true' },
    byDefault: undefined,
    bad: ['yes'],
    get: ({ attributes }) => attributes['load_balancing.cross_zone.enabled'],
  },
  'inbound-sg-rules-on-private-link-traffic': {
    good: { on: 'on', off: 'off' },
    byDefault: undefined,
    bad: ['true'],
    get: ({ enforcePrivateLink }) => enforcePrivateLink,
  },
  'minimum-load-balancer-capacity': {
    good: { 'CapacityUnits=100': 100, 'CapacityUnits=0': 0 },
    byDefault: undefined,
    bad: ['100', 'CapacityUnits=x', 'Units=1', 'CapacityUnits=1,a=b'],
    get: ({ capacityUnits }) => capacityUnits,
  },
  'enable-icmp-for-path-mtu-discovery': {
    good: { on: true, off: false },
    byDefault: false,
    bad: ['true'],
    get: ({ icmp }) => icmp,
  },
  'enable-prefix-for-ipv6-source-nat': {
    good: { on: 'on', off: 'off' },
    byDefault: 'off',
    more: DUAL,
    bad: ['yes'],
    get: ({ sourceNat }) => sourceNat,
  },
  'source-nat-ipv6-prefixes': {
    good: { 'auto_assigned, 2001:db8::/80': ['auto_assigned', '2001:db8::/80'] },
    byDefault: [],
    more: { ...DUAL, 'enable-prefix-for-ipv6-source-nat': 'on' },
    bad: ['2001:db8::/64', 'auto'],
    get: ({ sourceNatPrefixes }) => sourceNatPrefixes,
  },
  'quic-enabled-ports': {
    good: { '80': 'QUIC', p80: 'QUIC' },
    byDefault: 'UDP',
    bad: ['81'],
    spec: { listeners: [listener(80, { protocol: 'UDP' })] },
    get: (desired) => port(desired).listener.protocol,
  },
  'multi-cluster-target-group': {
    good: { true: true },
    byDefault: false,
    bad: ['maybe'],
    get: ({ multiCluster }) => multiCluster,
  },
  'disable-nlb-sg': {
    good: { true: 'none', false: 'managed' },
    byDefault: 'managed',
    bad: ['x'],
    get: ({ securityGroups }) => securityGroups,
  },
  'enable-tcp-udp-listener': {
    good: { true: 'TCP_UDP' },
    byDefault: 'TCP_UDP',
    bad: ['x'],
    spec: { listeners: [listener(80), listener(80, { name: 'u', protocol: 'UDP' })] },
    get: (desired) => port(desired).listener.protocol,
  },
};

for (const [name, row] of Object.entries(rows)) {
  const desiredOf = (short: Readonly<Record<string, string>>) =>
    plan(spec({ ...row.spec, short: { ...row.more, ...short } }), settings);
  test(`${name}: without it the default holds`, () => assert.deepEqual(row.get(desiredOf({})), row.byDefault));
  for (const [value, expected] of Object.entries(row.good)) {
    test(`${name}: ${JSON.stringify(value)} is taken`, () =>
      assert.deepEqual(row.get(desiredOf({ [name]: value })), expected));
  }
  for (const value of row.bad) {
    test(`${name}: ${JSON.stringify(value)} is refused by name`, () =>
      void refused(() => desiredOf({ [name]: value }), `${X}${name}`));
  }
}

test('every annotation of the table has a row here, or a test of its own below', () => {
  const own = new Set(['load-balancer-source-ranges', 'actions.<PROTO>-<port>']);
  const missing = annotationTable
    .map(({ key }) => key.replace(X, '').replace('service.beta.kubernetes.io/', ''))
    .filter((name) => !own.has(name) && !/^healthcheck-.*\.<port>$/.test(name))
    .filter((name) => !Object.hasOwn(rows, name.replace('<PROTO>-<port>', 'TCP-80').replace('<port>', '80')));
  assert.deepEqual(missing, []);
});

test('everything that is wrong is said at once, the first in the field', () => {
  const message = refused(
    () => plan(spec({ short: { 'healthcheck-interval': 'x', scheme: 'y', attributes: 'z' } }), settings),
    `${X}scheme`,
    { isField: false },
  );
  for (const name of ['healthcheck-interval', 'scheme', 'attributes'])
    assert.match(message, new RegExp(`${X}${name}: `));
});

const refusals: readonly (readonly [string, Partial<LoadBalancerSpec> & { short?: Record<string, string> }, string])[] =
  [
    ['an SCTP port', { listeners: [listener(80, { protocol: 'SCTP' })] }, 'spec.ports'],
    ['no port', { listeners: [] }, 'spec.ports'],
    [
      'TCP and UDP of one number that end apart',
      { listeners: [listener(80), listener(80, { protocol: 'UDP', targetPort: 1 })] },
      'spec.ports',
    ],
    [
      'TCP and UDP of one number where merging is off',
      { listeners: [listener(80), listener(80, { protocol: 'UDP' })], short: { 'enable-tcp-udp-listener': 'false' } },
      'spec.ports',
    ],
    [
      'a pod port of nobody',
      { listeners: [listener(80, { targetPort: 0 })], targetKind: 'pod', short: { type: 'nlb-ip' } },
      'spec.ports',
    ],
    ['IPv6 without dualstack', { families: ['ipv6'] }, `${X}ip-address-type`],
    ['an IPv6 range without dualstack', { sources: ['2001:db8::/32' as Cidr] }, 'spec.loadBalancerSourceRanges'],
    ['IPv6 addresses without dualstack', { short: { 'ipv6-addresses': '2001:db8::1' } }, `${X}ipv6-addresses`],
    [
      'source NAT without dualstack',
      { short: { 'enable-prefix-for-ipv6-source-nat': 'on' } },
      `${X}enable-prefix-for-ipv6-source-nat`,
    ],
    [
      'source NAT prefixes without source NAT',
      { short: { ...DUAL, 'source-nat-ipv6-prefixes': 'auto_assigned' } },
      `${X}source-nat-ipv6-prefixes`,
    ],
    [
      'own groups and none at all',
      { short: { 'disable-nlb-sg': 'true', 'security-groups': 'a' } },
      `${X}disable-nlb-sg`,
    ],
    [
      'attributes of a TLS listener',
      { short: { ...CERT, 'listener-attributes.TLS-80': 'a=b' } },
      `${X}listener-attributes.TLS-80`,
    ],
    ['attributes of no listener', { short: { 'listener-attributes.TCP-81': 'a=b' } }, `${X}listener-attributes.TCP-81`],
    ['attributes of no port', { short: { 'target-group-attributes.81': 'a=b' } }, `${X}target-group-attributes.81`],
    [
      'a health port by name that pods may have differently',
      {
        listeners: [listener(80, { targetPortName: 'web' })],
        targetKind: 'pod',
        short: { type: 'nlb-ip', 'healthcheck-port': 'p80' },
      },
      `${X}healthcheck-port`,
    ],
  ];
for (const [name, more, field] of refusals) {
  test(`refused: ${name}`, () => void refused(() => plan(spec(more), settings), field));
}

test('the health check of instances under Local is that of kube-proxy, each part of which an annotation replaces', () => {
  const local = { trafficPolicy: 'local', health: { protocol: 'HTTP', port: 32_000, path: '/healthz' } } as const;
  assert.deepEqual(port(plan(spec(local), settings)).group.health, {
    protocol: 'HTTP',
    port: '32000',
    interval: 10,
    timeout: 6,
    healthy: 2,
    unhealthy: 2,
    path: '/healthz',
    codes: '200-399',
  });
  const tcp = plan(
    spec({ ...local, short: { 'healthcheck-protocol': 'TCP', 'healthcheck-port': 'traffic-port' } }),
    settings,
  );
  assert.deepEqual(port(tcp).group.health, {
    protocol: 'TCP',
    port: 'traffic-port',
    interval: 10,
    timeout: 6,
    healthy: 2,
    unhealthy: 2,
  });
  const pods = plan(spec({ ...local, short: { type: 'nlb-ip' }, targetKind: 'pod', targets: [pod(1)] }), settings);
  assert.equal(port(pods).group.health.protocol, 'TCP');
});

test('under Local without a health port of its own, nothing tells nodes apart: the check is TCP', () => {
  assert.equal(port(plan(spec({ trafficPolicy: 'local' }), settings)).group.health.protocol, 'TCP');
});

test('client ranges: those of the Service, everybody of the families of the load balancer, or prefix lists alone', () => {
  const sources = (more: Parameters<typeof spec>[0]) => plan(spec(more), settings).sources;
  assert.deepEqual(sources({}), ['0.0.0.0/0']);
  assert.deepEqual(sources({ short: DUAL }), ['0.0.0.0/0', '::/0']);
  assert.deepEqual(sources({ sources: ['10.0.0.0/8' as Cidr] }), ['10.0.0.0/8']);
  assert.deepEqual(sources({ short: DUAL, namedSources: ['::/0' as Cidr] }), ['::/0'], 'IPv4 was not asked for');
  assert.deepEqual(sources({ short: { 'security-group-prefix-lists': 'pl-1' } }), []);
  assert.deepEqual(sources({ sources: ['10.0.0.0/8' as Cidr], short: { 'security-group-prefix-lists': 'pl-1' } }), [
    '10.0.0.0/8',
  ]);
});

const KEY = 'service.beta.kubernetes.io/actions.TCP-80';
const ARN = 'arn:aws:elasticloadbalancing:eu-west-1:1:targetgroup/x/1';
const action = (forwardConfig: object): Record<string, string> => ({
  [KEY]: JSON.stringify({ type: 'forward', forwardConfig }),
});

test('an actions annotation splits a listener between the own group and others', () => {
  const [first] = plan(
    spec({ short: action({ baseServiceWeight: 3, targetGroups: [{ targetGroupARN: ARN, weight: 1 }] }) }),
    settings,
  ).ports;
  assert.deepEqual([first?.weight, first?.others], [3, [{ arn: ARN, weight: 1 }]]);
  const [plain] = plan(spec(), settings).ports;
  assert.deepEqual([plain?.weight, plain?.others], [undefined, []]);
  assert.notEqual(first?.group.name.input, plain?.group.name.input, 'the weighted group has a name of its own');
});

const wrongActions: readonly (readonly [string, Record<string, string>])[] = [
  ['no JSON', { [KEY]: '{' }],
  ['no forward', { [KEY]: '{"type":"redirect"}' }],
  ['no base weight', action({ targetGroups: [{ targetGroupARN: ARN, weight: 1 }] })],
  ['no groups', action({ baseServiceWeight: 1 })],
  ['a weight of 1000', action({ baseServiceWeight: 1, targetGroups: [{ targetGroupARN: ARN, weight: 1000 }] })],
  ['no ARN', action({ baseServiceWeight: 1, targetGroups: [{ targetGroupARN: 'x', weight: 1 }] })],
  [
    'another Service',
    action({ baseServiceWeight: 1, targetGroups: [{ serviceName: 'b', servicePort: 80, weight: 1 }] }),
  ],
];
for (const [name, value] of wrongActions) {
  test(`actions: ${name} is refused by name`, () => void refused(() => plan(spec({ short: value }), settings), KEY));
}

test('actions of no listener are refused', () => {
  refused(
    () => plan(spec({ short: { 'service.beta.kubernetes.io/actions.TCP-81': '{}' } }), settings),
    'service.beta.kubernetes.io/actions.TCP-81',
  );
});

test('keys of classic load balancers and typing mistakes are warned of, everything in the table is not', () => {
  const known = annotationTable.map(({ key }) => key.replace('<PROTO>', 'TCP').replace('<port>', '80'));
  assert.deepEqual(unknownKeys(Object.fromEntries(known.map((key) => [key, '']))), []);
  const strange = options({
    'connection-idle-timeout': '1',
    'access-log-emit-interval': '5',
    shceme: 'internal',
    'target-group-attributes.x': '',
  });
  assert.deepEqual(unknownKeys({ ...strange, 'example.com/a': '' }), Object.keys(strange));
  const { warnings } = plan(spec({ short: { 'extra-security-groups': 'sg' } }), settings);
  assert.deepEqual(
    warnings.map(({ reason }) => reason),
    ['UnknownAnnotation'],
  );
  assert.match(warnings[0]?.message ?? '', /extra-security-groups/);
});

test('what a Network Load Balancer does not have is a shortfall', () => {
  const reasons = (more: Parameters<typeof spec>[0]) =>
    plan(spec(more), settings).shortfalls.map(({ reason }) => reason);
  assert.deepEqual(reasons({ affinitySeconds: 10 }), ['SessionAffinityNotSupported']);
  assert.deepEqual(
    reasons({ affinitySeconds: 10, short: { 'target-group-attributes': 'stickiness.enabled=true' } }),
    [],
  );
  assert.deepEqual(reasons({ addresses: ['1.2.3.4'] }), ['LoadBalancerIPNotSupported']);
});

test('lists, maps and booleans are read as the reference reads them', () => {
  assert.deepEqual(listOf(' a ,b,, c '), ['a', 'b', 'c']);
  assert.deepEqual(mapOf('a=b=c, d = e ,'), { a: 'b=c', d: 'e' });
  assert.deepEqual(mapOf('a\\=b=c\\,d'), { 'a=b': 'c,d' });
  assert.equal(mapOf('a=b,c'), undefined);
  for (const text of ['1', 't', 'T', 'TRUE', 'true', 'True']) assert.equal(flagOf(text), true);
  for (const text of ['0', 'f', 'F', 'FALSE', 'false', 'False']) assert.equal(flagOf(text), false);
  for (const text of ['', 'yes', 'tRUE', ' true']) assert.equal(flagOf(text), undefined);
});

test('interpret: target kind, scheme and node filter, never an error', () => {
  const interpret = createInterpret(settings);
  const view = (short: Record<string, string>) =>
    interpret({ facts: spec().service, options: options(short), trafficPolicy: 'cluster' });
  assert.deepEqual(view({ type: 'nlb-ip', scheme: 'internet-facing' }), {
    targetKind: 'pod',
    containersReady: true,
    scheme: 'internet',
  });
  assert.equal(view({ internal: 'true' }).scheme, 'internal');
  assert.equal(view({ scheme: 'nonsense' }).scheme, undefined);
  const accepts = view({ 'target-node-labels': 'a=b' }).acceptsNode;
  const of = (labels: Record<string, string>, more: { name?: string; taints?: string[] } = {}) =>
    accepts?.({ name: 'n', labels, taints: [], ready: 'False', ...more });
  assert.equal(of({ a: 'b' }), true);
  assert.equal(of({ a: 'c' }), false);
  assert.equal(of({ a: 'b', 'node-role.kubernetes.io/master': '' }), false);
  assert.equal(of({ a: 'b' }, { taints: ['karpenter.sh/disrupted:NoSchedule'] }), false);
  assert.equal(of({ a: 'b' }, { name: 'fargate-ip-10-0-0-1' }), false);
  assert.equal(of({ a: 'b', 'eks.amazonaws.com/compute-type': 'fargate' }), false);
  assert.equal(view({ 'target-node-labels': 'a=b' }).acceptsNode, accepts, 'equal filters are one function');
  assert.notEqual(view({}).acceptsNode, accepts);
});

/** Asserts kind, code and field; returns the message, which names the field. */
function refused(run: () => unknown, field: string, { isField = true } = {}): string {
  let message = '';
  assert.throws(run, (error: unknown) => {
    assert.ok(isProviderError(error), String(error));
    assert.deepEqual([error.kind, error.code], ['invalid', 'FL_AWS_ANNOTATION']);
    if (isField) assert.equal(error.field, field);
    assert.ok(error.message.includes(`${field}: `), error.message);
    message = error.message;
    return true;
  });
  return message;
}
