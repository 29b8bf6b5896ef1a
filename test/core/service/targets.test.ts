import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Node } from '../../../src/core/objects.ts';
import type { Interpretation } from '../../../src/core/provider.ts';
import { backendsOf } from '../../../src/core/service/endpoints.ts';
import { nodePass, SHUTDOWN_TAINT } from '../../../src/core/service/nodes.ts';
import { createTargetCache, nodeTargetsOf, podTargetsOf } from '../../../src/core/service/targets.ts';
import { node, pod, slice } from './fixture.ts';

const ipv4 = { family: 'ipv4' } as const;
const members = (...nodes: Node[]) => nodePass(nodes, { nowMs: 0, drainMs: 0 }).members;
type View = Parameters<NonNullable<Interpretation['acceptsNode']>>[0];

test('nodes become targets: providerID, name, address, zone; sorted by id', () => {
  const zone = { labels: { 'topology.kubernetes.io/zone': 'b' } };
  assert.deepEqual(nodeTargetsOf(members(node('node2', zone), node('node1')), ipv4), [
    { id: 'test://node1', node: 'node1', address: '10.0.0.1' },
    { id: 'test://node2', node: 'node2', address: '10.0.0.2', zone: 'b' },
  ]);
});

for (const count of [1, 2, 4]) {
  test(`a list of ${count} nodes gives exactly those ${count} targets`, () => {
    const names = Array.from({ length: count }, (_, index) => `node${index + 1}`);
    const targets = nodeTargetsOf(members(...names.map((name) => node(name))), ipv4);
    assert.deepEqual(
      targets.map((target) => target.node),
      names,
    );
  });
}

test('{node1, node2} to {node1, node3} is another list, the same providerIDs are an equal one', () => {
  const old = nodeTargetsOf(members(node('node1'), node('node2')), ipv4);
  assert.notDeepEqual(nodeTargetsOf(members(node('node1'), node('node3')), ipv4), old);
  assert.deepEqual(nodeTargetsOf(members(node('node2'), node('node1', { ready: 'False' })), ipv4), old);
});

const addresses: readonly {
  readonly name: string;
  readonly of: readonly (readonly ['InternalIP' | 'ExternalIP' | 'Hostname', string])[];
  readonly ipv4: string;
  readonly ipv6: string;
}[] = [
  {
    name: 'both families',
    of: [
      ['InternalIP', 'fd00::1'],
      ['InternalIP', '10.0.0.1'],
    ],
    ipv4: '10.0.0.1',
    ipv6: 'fd00::1',
  },
  {
    name: 'the inner address before the outer',
    of: [
      ['ExternalIP', '203.0.113.1'],
      ['InternalIP', '10.0.0.1'],
    ],
    ipv4: '10.0.0.1',
    ipv6: '10.0.0.1',
  },
  {
    name: 'an outer address of the family before an inner one of the other',
    of: [
      ['InternalIP', 'fd00::1'],
      ['ExternalIP', '203.0.113.1'],
    ],
    ipv4: '203.0.113.1',
    ipv6: 'fd00::1',
  },
  {
    name: 'the first of several',
    of: [
      ['InternalIP', '10.0.0.2'],
      ['InternalIP', '10.0.0.1'],
    ],
    ipv4: '10.0.0.2',
    ipv6: '10.0.0.2',
  },
  { name: 'a host name that looks like one is none', of: [['Hostname', '10.0.0.9']], ipv4: '', ipv6: '' },
  { name: 'what is none, though it says so', of: [['InternalIP', 'node1']], ipv4: '', ipv6: '' },
  { name: 'a host name alone is no address', of: [['Hostname', 'node1']], ipv4: '', ipv6: '' },
  { name: 'none', of: [], ipv4: '', ipv6: '' },
];
for (const { name, of, ipv4: four, ipv6: six } of addresses) {
  test(`address of a node: ${name}`, () => {
    const only = members(node('node1', { addresses: of.map(([type, address]) => ({ type, address })) }));
    assert.equal(nodeTargetsOf(only, { family: 'ipv4' })[0]?.address, four);
    assert.equal(nodeTargetsOf(only, { family: 'ipv6' })[0]?.address, six);
  });
}

test('a node that leaves is a draining target', () => {
  const taints = [{ key: SHUTDOWN_TAINT, effect: 'NoSchedule' as const }];
  const previous = nodePass([node('node1')], { nowMs: 0, drainMs: 10 });
  const pass = nodePass([node('node1', { taints })], { previous, nowMs: 1, drainMs: 10 });
  assert.deepEqual(nodeTargetsOf(pass.members, ipv4), [
    { id: 'test://node1', node: 'node1', address: '10.0.0.1', draining: true },
  ]);
});

test('a provider’s filter sees name, labels, taints and readiness, and only members', () => {
  const seen: View[] = [];
  const accepts = (view: View) => {
    seen.push(view);
    return view.labels['pool'] === 'edge';
  };
  const taints = [{ key: 'karpenter.sh/disrupted', effect: 'NoSchedule' as const }];
  const nodes = members(
    node('node1', { labels: { pool: 'edge' }, taints, ready: 'Unknown' }),
    node('node2', { ready: '' }),
    node('node3', { labels: { pool: 'edge' }, deletionTimestamp: 'x' }),
  );
  assert.deepEqual(
    nodeTargetsOf(nodes, { ...ipv4, accepts }).map((target) => target.node),
    ['node1'],
  );
  assert.deepEqual(seen, [
    { name: 'node1', labels: { pool: 'edge' }, taints: ['karpenter.sh/disrupted:NoSchedule'], ready: 'Unknown' },
    { name: 'node2', labels: {}, taints: [], ready: '' },
  ]);
});

test('counts are per node, 0 where no endpoint is', () => {
  const counts = new Map([['node2', 3]]);
  const targets = nodeTargetsOf(members(node('node1'), node('node2')), { ...ipv4, counts });
  assert.deepEqual(
    targets.map(({ endpoints }) => endpoints),
    [0, 3],
  );
});

test('with a cache equal targets are one array: over Services, filters and passes', () => {
  const cache = createTargetCache();
  const accepts = () => true;
  const one = members(node('node1'), node('node2'));
  const two = members(node('node2'), node('node1'));
  const targets = nodeTargetsOf(one, { ...ipv4, cache });
  assert.equal(nodeTargetsOf(one, { ...ipv4, cache }), targets);
  assert.equal(nodeTargetsOf(two, { ...ipv4, cache }), targets);
  assert.equal(nodeTargetsOf(two, { ...ipv4, accepts, cache }), targets);
  assert.notEqual(nodeTargetsOf(members(node('node1')), { ...ipv4, cache }), targets);
});

test('one filter function is asked once per pass, however many Services have it', () => {
  let asked = 0;
  const accepts = () => {
    asked += 1;
    return true;
  };
  const cache = createTargetCache();
  const nodes = members(node('node1'), node('node2'));
  for (let service = 0; service < 100; service += 1) nodeTargetsOf(nodes, { ...ipv4, accepts, cache });
  assert.equal(asked, 2);
});

test('families do not share a cached list', () => {
  const cache = createTargetCache();
  const both = members(
    node('node1', {
      addresses: [
        { type: 'InternalIP', address: '10.0.0.1' },
        { type: 'InternalIP', address: 'fd00::1' },
      ],
    }),
  );
  const of = (family: 'ipv4' | 'ipv6') => nodeTargetsOf(both, { family, cache })[0]?.address;
  assert.deepEqual([of('ipv4'), of('ipv6'), of('ipv4')], ['10.0.0.1', 'fd00::1', '10.0.0.1']);
});

test('a cache forgets the set that was longest unused', () => {
  const cache = createTargetCache(2);
  const of = (name: string) => nodeTargetsOf(members(node(name)), { ...ipv4, cache });
  const [one, two] = [of('node1'), of('node2')];
  assert.equal(of('node1'), one);
  of('node3');
  assert.equal(of('node1'), one);
  assert.notEqual(of('node2'), two);
  assert.deepEqual(of('node2'), two);
});

test('a cache changes nothing but identity', () => {
  const names = fc.uniqueArray(fc.constantFrom<string[]>('node1', 'node2', 'node3', 'node4'));
  const cache = createTargetCache(2);
  fc.assert(
    fc.property(names, names, (present, wanted) => {
      const nodes = members(...present.map((name) => node(name)));
      const accepts = ({ name }: View) => wanted.includes(name);
      assert.deepEqual(nodeTargetsOf(nodes, { ...ipv4, accepts, cache }), nodeTargetsOf(nodes, { ...ipv4, accepts }));
    }),
  );
});

// Pods.
const web = { name: 'web', targetPort: 'http' } as const;
const number = { name: '', targetPort: 8080 } as const;
const going = { ready: false, serving: true, terminating: true };
const backends = (...slices: Parameters<typeof backendsOf>[0]) => backendsOf(slices, ipv4);

test('pods become targets: UID, node, address, zone; sorted by id', () => {
  const { targets, ports } = podTargetsOf(backends(slice('s', [pod('p2'), pod('p1', {}, { nodeName: 'node2' })])), [
    number,
  ]);
  assert.deepEqual(targets, [
    { id: 'uid-p1', node: 'node2', address: '10.244.0.1', zone: 'a' },
    { id: 'uid-p2', node: 'node1', address: '10.244.0.2', zone: 'a' },
  ]);
  assert.deepEqual(ports, new Map([['', 8080]]));
});

test('a terminating pod that still serves drains while another is ready', () => {
  const { targets } = podTargetsOf(backends(slice('s', [pod('p1', going), pod('p2')])), [number]);
  assert.deepEqual(
    targets.map(({ id, draining }) => [id, draining]),
    [
      ['uid-p1', true],
      ['uid-p2', undefined],
    ],
  );
});

test('where only terminating pods serve they go on taking connections (KEP-1669)', () => {
  const { targets } = podTargetsOf(backends(slice('s', [pod('p1', going), pod('p2', going)])), [number]);
  assert.deepEqual(
    targets.map(({ draining }) => draining),
    [undefined, undefined],
  );
});

const podPorts: readonly {
  readonly name: string;
  readonly slices: Parameters<typeof backendsOf>[0];
  readonly port: typeof web | typeof number;
  readonly common: number;
  readonly own: readonly (Record<string, number> | undefined)[];
}[] = [
  {
    name: 'a name that means the same in every pod',
    slices: [slice('a', [pod('p1'), pod('p2')], [{ name: 'web', port: 81 }])],
    port: web,
    common: 81,
    own: [undefined, undefined],
  },
  {
    name: 'a name that means something else in another pod',
    slices: [
      slice('a', [pod('p1')], [{ name: 'web', port: 81 }]),
      slice('b', [pod('p2')], [{ name: 'web', port: 82 }]),
    ],
    port: web,
    common: 0,
    own: [{ web: 81 }, { web: 82 }],
  },
  {
    name: 'a pod that lacks the port',
    slices: [
      slice('a', [pod('p1')], [{ name: 'web', port: 81 }]),
      slice('b', [pod('p2')], [{ name: 'dns', port: 53 }]),
    ],
    port: web,
    common: 0,
    own: [{ web: 81 }, undefined],
  },
  { name: 'no pod yet, a name', slices: [], port: web, common: 0, own: [] },
  { name: 'no pod yet, a number', slices: [], port: number, common: 8080, own: [] },
  {
    name: 'a slice that names no ports',
    slices: [slice('a', [pod('p1')], null)],
    port: number,
    common: 8080,
    own: [undefined],
  },
  {
    name: 'a slice that names no ports, for a name',
    slices: [slice('a', [pod('p1')], null)],
    port: web,
    common: 0,
    own: [undefined],
  },
  {
    name: 'a slice that names no ports beside one that does',
    slices: [slice('a', [pod('p1')], null), slice('b', [pod('p2')], [{ name: '', port: 9090 }])],
    port: number,
    common: 0,
    own: [{ '': 8080 }, { '': 9090 }],
  },
  {
    name: 'the slice’s number wins over the spec’s (no selector)',
    slices: [slice('a', [pod('p1')], [{ name: '', port: 9090 }])],
    port: number,
    common: 9090,
    own: [undefined],
  },
];
for (const { name, slices, port, common, own } of podPorts) {
  test(`port of pods: ${name}`, () => {
    const { targets, ports } = podTargetsOf(backends(...slices), [port]);
    assert.equal(ports.get(port.name), common);
    assert.deepEqual(
      targets.map((target) => target.ports),
      own,
    );
  });
}
