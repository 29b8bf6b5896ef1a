import assert from 'node:assert/strict';
import { test } from 'node:test';
import { viewOf } from '../../../src/core/proxy/evaluate.ts';
import { type Explanation, explain } from '../../../src/core/proxy/explain.ts';
import type { Protocol } from '../../../src/core/proxy/registers.ts';
import { address, type ServiceText, slice } from './fixture.ts';
import { type WorldText, world } from './world.ts';

const NAMES: Readonly<Record<string, string>> = {
  '10.64.1.1': 'pod default/web-1 on this node',
  '10.64.2.1': 'pod default/web-2 on n2',
  '10.0.0.1': 'node n1',
};

interface Question {
  readonly service?: ServiceText;
  readonly world?: Partial<WorldText>;
  readonly pods?: readonly string[];
  readonly from: string;
  readonly to: readonly [address: string, port: number, protocol?: Protocol];
  readonly about?: string;
  readonly without?: string;
}

function ask({
  service = {},
  world: more,
  pods = ['10.64.1.1', '10.64.2.1'],
  from,
  to,
  about,
  without,
}: Question): Explanation {
  const slices = [slice(pods.map((ip) => ({ ip, nodeName: ip.startsWith('10.64.1.') ? 'n1' : 'n2' })))];
  const made = world({ services: [{ service, slices }], ...more });
  const elements = [...made.planner.elements()].filter(({ set }) => set !== without);
  const [destination, port, protocol = 'tcp'] = to;
  return explain(
    { source: address(from), destination: address(destination), protocol, port },
    {
      view: viewOf(elements, 'ip'),
      surroundings: made.surroundings,
      planner: made.planner,
      nameOf: (ip) => NAMES[ip],
      ...(about === undefined ? {} : { service: about }),
    },
  );
}

const loadBalancer: ServiceText = {
  type: 'LoadBalancer',
  clusterIP: '172.30.0.1',
  ingress: [{ ip: '203.0.113.1' }],
  loadBalancerSourceRanges: ['192.0.2.0/24', 'x'],
};

const cases: readonly { readonly name: string; readonly question: Question; readonly lines: readonly string[] }[] = [
  {
    name: 'a pod to a ClusterIP',
    question: { from: '10.64.1.9', to: ['172.30.0.1', 80] },
    lines: [
      '10.64.1.9 (a pod) connects to 172.30.0.1:80/tcp',
      'the ClusterIP of default/web port http, internalTrafficPolicy Cluster',
      'endpoints: 2 for policy Cluster, 1 on this node',
      '  svc: services { 172.30.0.1 . tcp . 80 : 0:2 }',
      '  lb-2: endpoints { 172.30.0.1 . tcp . 80 . 0:0 : 10.64.1.1 . 8080 }',
      '  lb-2: endpoints { 172.30.0.1 . tcp . 80 . 0:1 : 10.64.2.1 . 8080 }',
      "reaches 10.64.1.1:8080 (pod default/web-1 on this node), 1 of 2 slots, which sees the client's address",
      "reaches 10.64.2.1:8080 (pod default/web-2 on n2), 1 of 2 slots, which sees the client's address",
    ],
  },
  {
    name: 'an endpoint to itself',
    question: { from: '10.64.1.1', to: ['172.30.0.1', 80], pods: ['10.64.1.1'] },
    lines: [
      '10.64.1.1 (pod default/web-1 on this node; a pod to the rules) connects to 172.30.0.1:80/tcp',
      'the ClusterIP of default/web port http, internalTrafficPolicy Cluster',
      'endpoints: 1 for policy Cluster, 1 on this node',
      '  svc: services { 172.30.0.1 . tcp . 80 : 0:1 }',
      '  lb-1: endpoints { 172.30.0.1 . tcp . 80 . 0:0 : 10.64.1.1 . 8080 }',
      'reaches 10.64.1.1:8080 (pod default/web-1 on this node), masqueraded: the endpoint connects to itself',
    ],
  },
  {
    name: 'outside the source ranges',
    question: { service: loadBalancer, from: '198.18.0.1', to: ['203.0.113.1', 80] },
    lines: [
      '198.18.0.1 (neither a pod nor this node) connects to 203.0.113.1:80/tcp',
      'a load-balancer IP of default/web port http, externalTrafficPolicy Cluster',
      'endpoints: 2 for policy Cluster, 1 on this node',
      '  guard: restricted { 203.0.113.1 . tcp . 80 }',
      "dropped: 198.18.0.1 is in none of the Service's source ranges",
      'problem: spec.loadBalancerSourceRanges[1]: "x" is not a CIDR; write it as 10.0.0.0/8 or 2001:db8::/32',
    ],
  },
  {
    name: 'policy Local without an endpoint here',
    question: {
      service: {
        ...loadBalancer,
        loadBalancerSourceRanges: [],
        externalTrafficPolicy: 'Local',
        sessionAffinity: 'ClientIP',
      },
      pods: ['10.64.2.1'],
      from: '192.0.2.7',
      to: ['203.0.113.1', 80],
    },
    lines: [
      '192.0.2.7 (neither a pod nor this node) connects to 203.0.113.1:80/tcp',
      'a load-balancer IP of default/web port http, externalTrafficPolicy Local, clients keep their endpoint for 10800 s',
      'endpoints: 1 for policy Cluster, 0 on this node',
      '  noep: no-ep-drop { 203.0.113.1 . tcp . 80 }',
      'dropped: policy Local, and no endpoint on this node',
    ],
  },
  {
    name: 'no endpoint',
    question: { pods: [], from: '10.0.0.1', to: ['172.30.0.1', 80] },
    lines: [
      '10.0.0.1 (node n1; an address of this node to the rules) connects to 172.30.0.1:80/tcp',
      'the ClusterIP of default/web port http, internalTrafficPolicy Cluster',
      'endpoints: 0 for policy Cluster, 0 on this node',
      '  noep: no-ep-reject { 172.30.0.1 . tcp . 80 }',
      'refused: no endpoint is ready anywhere, and none serves while it terminates',
    ],
  },
  {
    name: 'a wrong port',
    question: { from: '10.64.1.9', to: ['172.30.0.1', 81] },
    lines: [
      '10.64.1.9 (a pod) connects to 172.30.0.1:81/tcp',
      'no Service and no hostPort has this address, protocol and port',
      '  clus: cluster-ips { 172.30.0.1 }',
      'refused: this ClusterIP has no such port and protocol',
    ],
  },
  {
    name: 'an address that no Service has',
    question: { from: '10.64.1.9', to: ['172.30.0.99', 80, 'udp'] },
    lines: [
      '10.64.1.9 (a pod) connects to 172.30.0.99:80/udp',
      'no Service and no hostPort has this address, protocol and port',
      'dropped: an address of the service CIDRs that no Service has',
    ],
  },
  {
    name: 'not a service at all',
    question: { from: '10.64.1.9', to: ['192.0.2.7', 443], world: { masqueradePods: true } },
    lines: [
      '10.64.1.9 (a pod) connects to 192.0.2.7:443/tcp',
      'no Service and no hostPort has this address, protocol and port',
      'not a service here: the packet leaves with the address of this node (pod to an address outside)',
    ],
  },
  {
    name: 'a table that lacks the slots',
    question: { from: '10.64.1.9', to: ['172.30.0.1', 80], without: 'endpoints' },
    lines: [
      '10.64.1.9 (a pod) connects to 172.30.0.1:80/tcp',
      'the ClusterIP of default/web port http, internalTrafficPolicy Cluster',
      'endpoints: 2 for policy Cluster, 1 on this node',
      '  svc: services { 172.30.0.1 . tcp . 80 : 0:2 }',
      '2 of 2 slots are not in the table: those connections are not translated',
    ],
  },
];

for (const { name, question, lines } of cases) {
  test(`why: ${name}`, () => assert.deepEqual(ask(question).lines, lines));
}

test('why: a Service whose external IP another one keeps', () => {
  const slices = [slice([{ ip: '10.64.2.1' }])];
  const externalIPs = ['198.51.100.1'];
  const { lines, owner } = ask({
    world: {
      services: [
        { service: { name: 'a', clusterIP: '172.30.0.1', externalIPs }, slices },
        { service: { name: 'b', clusterIP: '172.30.0.2', externalIPs }, slices },
      ],
    },
    from: '192.0.2.7',
    to: ['198.51.100.1', 80],
    about: 'default/b',
  });
  assert.equal(owner, 'default/a');
  assert.ok(lines.includes('default/b wants it too, as an external IP, but default/a keeps it'));
});

test('why: of many slots the first few', () => {
  const { lines } = ask({
    pods: Array.from({ length: 40 }, (_, index) => `10.64.1.${index + 1}`),
    from: '10.64.1.99',
    to: ['172.30.0.1', 80],
  });
  assert.ok(lines.includes('  and 25 more'));
});
