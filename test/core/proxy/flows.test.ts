/** (source, destination, policy) on the simulated rules; expectations are kube-proxy's (node-proxy.md section 2). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TableFamily } from '../../../src/core/net/element.ts';
import type { ServicePort } from '../../../src/core/objects.ts';
import { evaluate, viewOf } from '../../../src/core/proxy/evaluate.ts';
import type { Protocol } from '../../../src/core/proxy/registers.ts';
import { address, type EndpointText, frontend, type ServiceText, slice } from './fixture.ts';
import { outcomeText, type WorldText, world } from './world.ts';

/** Who connects. Addresses by family; A is the local endpoint, B the remote one. */
const SOURCES = {
  pod: ['10.64.1.9', 'fd64:1::9'],
  'endpoint A': ['10.64.1.1', 'fd64:1::1'],
  'remote pod': ['10.64.2.9', 'fd64:2::9'],
  node: ['10.0.0.1', 'fd00::1'],
  loopback: ['127.0.0.1', '::1'],
  'other node': ['10.0.0.2', 'fd00::2'],
  client: ['192.0.2.7', '2001:db8:7::7'],
  stranger: ['198.18.0.1', '2001:db8:8::8'],
  'the LB IP': ['203.0.113.1', '2001:db8:1::1'],
} as const;
type Source = keyof typeof SOURCES;

const DESTINATIONS = {
  ClusterIP: ['172.30.0.1', 'fd30::1'],
  'external IP': ['198.51.100.1', '2001:db8:2::1'],
  'LB IP': ['203.0.113.1', '2001:db8:1::1'],
  'LB IP of mode Proxy': ['203.0.113.2', '2001:db8:1::2'],
  NodePort: ['10.0.0.1', 'fd00::1'],
  'NodePort at the second address': ['192.168.7.1', 'fd07::1'],
  'NodePort at loopback': ['127.0.0.1', '::1'],
  'unallocated address': ['172.30.9.9', 'fd30::99'],
} as const;
type Destination = keyof typeof DESTINATIONS;

const PODS = { A: ['10.64.1.1', 'fd64:1::1'], B: ['10.64.2.1', 'fd64:2::1'] } as const;
type Pods = 'A+B' | 'A' | 'B' | 'A terminates, B ready' | 'both terminate' | 'none' | 'not ready';

interface Row {
  readonly name?: string;
  readonly pods: Pods;
  readonly internal?: 'Local';
  readonly external?: 'Local';
  readonly ranges?: boolean;
  readonly options?: Omit<WorldText, 'services' | 'family'>;
  readonly from: readonly Source[];
  readonly to: readonly Destination[];
  /** Instead of the Service's port. */
  readonly wrong?: 'port' | 'protocol';
  /** 'A, B*': endpoints, * = masqueraded. Or a verdict. */
  readonly expect: string;
}

const EXTERNAL = ['external IP', 'LB IP', 'NodePort'] as const;
const OUTSIDE = ['client', 'stranger', 'other node', 'the LB IP'] as const;
const PODLIKE = ['pod', 'remote pod'] as const;
const EVERYBODY = ['pod', 'endpoint A', 'remote pod', 'node', 'other node', 'client', 'stranger'] as const;

const rows: readonly Row[] = [
  // ClusterIP
  { pods: 'A+B', from: PODLIKE, to: ['ClusterIP'], expect: 'A, B' },
  { pods: 'A+B', from: ['endpoint A'], to: ['ClusterIP'], expect: 'A*, B' },
  { pods: 'A+B', from: ['node', 'other node', 'client', 'stranger'], to: ['ClusterIP'], expect: 'A*, B*' },
  { pods: 'A+B', internal: 'Local', from: PODLIKE, to: ['ClusterIP'], expect: 'A' },
  { pods: 'A+B', internal: 'Local', from: ['node', 'client'], to: ['ClusterIP'], expect: 'A*' },
  { pods: 'B', internal: 'Local', from: EVERYBODY, to: ['ClusterIP'], expect: 'dropped' },
  {
    name: 'the external policy is not for ClusterIPs',
    pods: 'B',
    external: 'Local',
    from: PODLIKE,
    to: ['ClusterIP'],
    expect: 'B',
  },
  {
    name: 'the internal policy is not for the others',
    pods: 'B',
    internal: 'Local',
    from: ['client'],
    to: EXTERNAL,
    expect: 'B*',
  },
  // External frontends, policy Cluster
  { pods: 'A+B', from: [...OUTSIDE, 'pod', 'remote pod', 'endpoint A', 'node'], to: EXTERNAL, expect: 'A*, B*' },
  // External frontends, policy Local
  { pods: 'A+B', external: 'Local', from: OUTSIDE, to: EXTERNAL, expect: 'A' },
  { pods: 'A+B', external: 'Local', from: PODLIKE, to: EXTERNAL, expect: 'A, B' },
  { pods: 'A+B', external: 'Local', from: ['endpoint A'], to: EXTERNAL, expect: 'A*, B' },
  { pods: 'A+B', external: 'Local', from: ['node'], to: EXTERNAL, expect: 'A*, B*' },
  { pods: 'B', external: 'Local', from: OUTSIDE, to: EXTERNAL, expect: 'dropped' },
  {
    name: 'pods and the node are not black-holed',
    pods: 'B',
    external: 'Local',
    from: PODLIKE,
    to: EXTERNAL,
    expect: 'B',
  },
  { pods: 'B', external: 'Local', from: ['node'], to: EXTERNAL, expect: 'B*' },
  {
    name: 'both policies, each for itself',
    pods: 'B',
    internal: 'Local',
    external: 'Local',
    from: PODLIKE,
    to: EXTERNAL,
    expect: 'B',
  },
  // Terminating
  { pods: 'A terminates, B ready', from: PODLIKE, to: ['ClusterIP'], expect: 'B' },
  { pods: 'A terminates, B ready', external: 'Local', from: ['client'], to: EXTERNAL, expect: 'A' },
  { pods: 'A terminates, B ready', internal: 'Local', from: ['pod'], to: ['ClusterIP'], expect: 'A' },
  { pods: 'both terminate', from: ['pod'], to: ['ClusterIP'], expect: 'A, B' },
  { pods: 'both terminate', external: 'Local', from: ['client'], to: EXTERNAL, expect: 'A' },
  // No endpoint
  { pods: 'none', from: EVERYBODY, to: ['ClusterIP', ...EXTERNAL], expect: 'rejected' },
  { pods: 'not ready', from: EVERYBODY, to: ['ClusterIP', ...EXTERNAL], expect: 'rejected' },
  {
    pods: 'none',
    internal: 'Local',
    external: 'Local',
    from: EVERYBODY,
    to: ['ClusterIP', ...EXTERNAL],
    expect: 'rejected',
  },
  // What is no frontend
  { pods: 'A+B', from: EVERYBODY, to: ['ClusterIP'], wrong: 'port', expect: 'rejected' },
  { pods: 'A+B', from: EVERYBODY, to: ['ClusterIP'], wrong: 'protocol', expect: 'rejected' },
  { pods: 'A+B', from: EVERYBODY, to: EXTERNAL, wrong: 'port', expect: 'untouched' },
  { pods: 'A+B', from: EVERYBODY, to: EXTERNAL, wrong: 'protocol', expect: 'untouched' },
  { pods: 'A+B', from: EVERYBODY, to: ['unallocated address'], expect: 'dropped' },
  {
    pods: 'A+B',
    from: EVERYBODY,
    to: ['LB IP of mode Proxy', 'NodePort at the second address', 'NodePort at loopback'],
    expect: 'untouched',
  },
  {
    name: 'nodeport-addresses of the second',
    pods: 'A+B',
    options: { context: { nodePortAddresses: ['192.168.0.0/16', 'fd07::/16', '127.0.0.0/8', '::1/128'] as never } },
    from: ['client'],
    to: ['NodePort at the second address'],
    expect: 'A*, B*',
  },
  {
    name: 'never at loopback',
    pods: 'A+B',
    options: { context: { nodePortAddresses: ['127.0.0.0/8', '::1/128'] as never } },
    from: ['node', 'loopback'],
    to: ['NodePort at loopback', 'NodePort'],
    expect: 'untouched',
  },
  // Source ranges: LB IPs only
  { pods: 'A+B', ranges: true, from: ['client', 'node', 'the LB IP'], to: ['LB IP'], expect: 'A*, B*' },
  {
    pods: 'A+B',
    ranges: true,
    from: ['stranger', 'pod', 'remote pod', 'other node'],
    to: ['LB IP'],
    expect: 'dropped',
  },
  {
    pods: 'A+B',
    ranges: true,
    from: ['stranger', 'remote pod', 'pod'],
    to: ['NodePort', 'external IP'],
    expect: 'A*, B*',
  },
  { pods: 'A+B', ranges: true, from: ['remote pod', 'pod'], to: ['ClusterIP'], expect: 'A, B' },
  { pods: 'A+B', ranges: true, external: 'Local', from: ['client'], to: ['LB IP'], expect: 'A' },
  { pods: 'B', ranges: true, external: 'Local', from: ['client', 'stranger'], to: ['LB IP'], expect: 'dropped' },
  { pods: 'none', ranges: true, from: ['client'], to: ['LB IP'], expect: 'rejected' },
  { pods: 'none', ranges: true, from: ['stranger'], to: ['LB IP'], expect: 'dropped' },
  // masqueradeAll and no pod CIDR
  {
    pods: 'A+B',
    options: { masqueradeAll: true },
    from: [...PODLIKE, 'node', 'client'],
    to: ['ClusterIP'],
    expect: 'A*, B*',
  },
  { pods: 'A+B', external: 'Local', options: { masqueradeAll: true }, from: ['client'], to: EXTERNAL, expect: 'A' },
  { pods: 'A+B', options: { noPodCidr: true }, from: ['pod', 'node', 'client'], to: ['ClusterIP'], expect: 'A, B' },
  { pods: 'A+B', options: { noPodCidr: true }, from: ['endpoint A'], to: ['ClusterIP'], expect: 'A*, B' },
  {
    pods: 'A+B',
    options: { noPodCidr: true, masqueradeAll: true },
    from: ['pod', 'client'],
    to: ['ClusterIP'],
    expect: 'A*, B*',
  },
  {
    name: 'no short circuit without a pod CIDR',
    pods: 'B',
    external: 'Local',
    options: { noPodCidr: true },
    from: ['pod'],
    to: EXTERNAL,
    expect: 'dropped',
  },
  { pods: 'B', external: 'Local', options: { noPodCidr: true }, from: ['node'], to: EXTERNAL, expect: 'B*' },
];

const PROTOCOLS = ['tcp', 'udp', 'sctp'] as const satisfies readonly Protocol[];
const NODE_PORT = 30_080;

function podsOf(pods: Pods, index: 0 | 1): readonly EndpointText[] {
  const a = { ip: PODS.A[index], nodeName: 'n1' };
  const b = { ip: PODS.B[index], nodeName: 'n2' };
  switch (pods) {
    case 'A+B':
      return [a, b];
    case 'A':
      return [a];
    case 'B':
      return [b];
    case 'A terminates, B ready':
      return [{ ...a, state: 'terminating' }, b];
    case 'both terminate':
      return [
        { ...a, state: 'terminating' },
        { ...b, state: 'terminating' },
      ];
    case 'not ready':
      return [
        { ...a, state: 'not-ready' },
        { ...b, state: 'gone' },
      ];
    case 'none':
      return [];
    default:
      return pods satisfies never;
  }
}

function worldOf(row: Row, family: TableFamily, protocol: Protocol, affinity: boolean) {
  const index = family === 'ip' ? 0 : 1;
  const name = protocol.toUpperCase() as NonNullable<ServicePort['protocol']>;
  const text: ServiceText = {
    type: 'LoadBalancer',
    clusterIPs: [DESTINATIONS.ClusterIP[index]],
    ports: [{ name: 'http', port: 80, protocol: name, nodePort: NODE_PORT }],
    externalIPs: [DESTINATIONS['external IP'][index]],
    ingress: [
      { ip: DESTINATIONS['LB IP'][index], ipMode: 'VIP' },
      { ip: DESTINATIONS['LB IP of mode Proxy'][index], ipMode: 'Proxy' },
    ],
    ...(row.internal === undefined ? {} : { internalTrafficPolicy: row.internal }),
    ...(row.external === undefined ? {} : { externalTrafficPolicy: row.external }),
    // The second range holds this node's address.
    ...(row.ranges === true
      ? { loadBalancerSourceRanges: ['192.0.2.0/24', '10.0.0.1/32', '2001:db8:7::/48', 'fd00::1/128'] }
      : {}),
    ...(affinity ? { sessionAffinity: 'ClientIP' } : {}),
  };
  const ports = [{ name: 'http', port: 8080, protocol: name }] as const;
  const slices = [slice(podsOf(row.pods, index), { family: index === 0 ? 'IPv4' : 'IPv6', ports })];
  return world({ family, services: [{ service: text, slices }], ...row.options });
}

function expected({ expect }: Row, family: TableFamily): string {
  const index = family === 'ip' ? 0 : 1;
  if (!/^[AB]/.test(expect)) return expect;
  return expect
    .split(', ')
    .map((part) => {
      const target = PODS[part[0] as 'A' | 'B'][index];
      return `${target}:8080${part.endsWith('*') ? ' masqueraded' : ''}`;
    })
    .join(', ');
}

for (const row of rows) {
  const options = [
    row.internal && 'internal Local',
    row.external && 'external Local',
    row.ranges && 'source ranges',
    ...Object.keys(row.options ?? {}),
  ];
  const title = [row.name, `${row.pods} pods`, ...options, row.wrong && `wrong ${row.wrong}`]
    .filter(Boolean)
    .join(', ');
  test(`${title}: ${row.from.join('/')} to ${row.to.join('/')}: ${row.expect}`, () => {
    for (const family of ['ip', 'ip6'] as const)
      for (const protocol of PROTOCOLS)
        for (const affinity of [false, true]) {
          const made = worldOf(row, family, protocol, affinity);
          const index = family === 'ip' ? 0 : 1;
          for (const from of row.from)
            for (const to of row.to) {
              const port = (to.startsWith('NodePort') ? NODE_PORT : 80) + (row.wrong === 'port' ? 1 : 0);
              const used =
                row.wrong === 'protocol' ? (PROTOCOLS.find((other) => other !== protocol) as Protocol) : protocol;
              const outcome = made.connect(SOURCES[from][index], DESTINATIONS[to][index], port, used);
              const label = `${family} ${protocol}${affinity ? ' affinity' : ''}: ${from} to ${to}`;
              assert.equal(outcomeText(outcome), expected(row, family), label);
            }
        }
  });
}

test('several protocols on one port number, each with its own endpoints', () => {
  const protocols = ['TCP', 'UDP', 'SCTP'] as const;
  const ports = protocols.map((protocol, index) => ({ name: `p${index}`, port: 53, protocol }));
  const slices = [
    slice([{ ip: '10.64.1.1' }], {
      ports: protocols.map((protocol, index) => ({ name: `p${index}`, port: 5300 + index, protocol })),
    }),
  ];
  const made = world({ services: [{ service: { ports }, slices }] });
  const reached = PROTOCOLS.map((protocol) => outcomeText(made.connect('10.64.1.9', '172.30.0.1', 53, protocol)));
  assert.deepEqual(reached, ['10.64.1.1:5300', '10.64.1.1:5301', '10.64.1.1:5302']);
});

test('pods to addresses outside leave with the address of the node, to the cluster with their own', () => {
  const made = world({ services: [], masqueradePods: true });
  const text = (to: string) => outcomeText(made.connect('10.64.1.9', to, 443));
  assert.deepEqual(['192.0.2.7', '10.64.2.1', '10.0.0.1'].map(text), [
    'untouched masqueraded',
    'untouched',
    'untouched',
  ]);
  assert.equal(outcomeText(made.connect('10.64.2.9', '192.0.2.7', 443)), 'untouched');
});

test('a pod that reaches an endpoint outside the cluster leaves with the address of the node', () => {
  const slices = [slice([{ ip: '192.0.2.80' }])];
  const made = world({ services: [{ service: {}, slices }], masqueradePods: true });
  assert.equal(outcomeText(made.connect('10.64.1.9', '172.30.0.1', 80)), '192.0.2.80:8080 masqueraded');
});

test('a remembered client keeps its endpoint, and is drawn again when its id is gone', () => {
  const made = world({
    services: [
      { service: { sessionAffinity: 'ClientIP' }, slices: [slice([{ ip: '10.64.1.1' }, { ip: '10.64.2.1' }])] },
    ],
  });
  const elements = [...made.planner.elements()];
  const id = elements.find(
    ({ set, data }) => set === 'ep-by-id' && data === `${address('10.64.2.1')}\x1f\x90\0\0`,
  )?.key;
  assert.ok(id);
  const packet = {
    source: address('10.64.1.9'),
    destination: address('172.30.0.1'),
    protocol: 'tcp',
    port: 80,
  } as const;
  const remembers = (data: string) =>
    viewOf([...elements, { set: 'aff', key: `${packet.source}${frontend('172.30.0.1', 80)}`, data }], 'ip');
  assert.equal(outcomeText(evaluate(remembers(id), packet, made.surroundings)), '10.64.2.1:8080');
  assert.equal(outcomeText(evaluate(remembers('gone'), packet, made.surroundings)), '10.64.1.1:8080, 10.64.2.1:8080');
});
