import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Node } from '../../../src/core/objects.ts';
import { podCidrsOf, refOf, routePlan } from '../../../src/core/route/wanted.ts';
import { cidr, golden, node } from './fixture.ts';

const options = {
  clusterCidrs: golden.clusterCidrs,
  nextHop: ({ providerId }: { readonly providerId?: string }) => providerId,
};
const plan = (...nodes: readonly Node[]) => routePlan(nodes, options);
/** Destinations with the node that gets them, then the problems. */
const summary = (...nodes: readonly Node[]) => {
  const { routes, nodes: asking } = plan(...nodes);
  return {
    routes: [...routes].map(([destination, { node: name }]) => `${destination} ${name}`),
    problems: [...asking.values()].flatMap(({ name, problems }) =>
      problems.map(({ reason, text }) => `${name}: ${reason}: ${text}`),
    ),
  };
};

test('a route carries name and UID of its node, the canonical destination and the next hop', () => {
  const { routes } = plan(node('a', { uid: '7', podCIDRs: ['10.120.3.0/24'], providerID: 'cloud://a' }));
  assert.deepEqual(
    [...routes],
    [['10.120.3.0/24', { node: 'a', nodeUid: '7', destination: '10.120.3.0/24', nextHop: 'cloud://a' }]],
  );
});

test('a node that is not initialised has a route without a next hop', () => {
  const { routes } = plan(node('a', { podCIDRs: ['10.120.3.0/24'] }));
  assert.deepEqual(routes.get(cidr('10.120.3.0/24')), {
    node: 'a',
    nodeUid: 'uid-a',
    destination: '10.120.3.0/24',
  });
});

test('the provider says the next hop, by node and family', () => {
  const seen: unknown[] = [];
  const nextHop = (ref: unknown, family: string) => {
    seen.push([ref, family]);
    return `hop-${family}`;
  };
  const dual = node('a', { podCIDRs: ['10.120.0.0/24', 'a00:1::/64'], providerID: 'x', addresses: ['10.0.0.1'] });
  const { routes } = routePlan([dual], { clusterCidrs: golden.clusterCidrs, nextHop });
  assert.deepEqual(seen, [
    [refOf(dual), 'ipv4'],
    [refOf(dual), 'ipv6'],
  ]);
  assert.deepEqual(
    [...routes.values()].map(({ nextHop: hop }) => hop),
    ['hop-ipv4', 'hop-ipv6'],
  );
});

const cases: readonly {
  readonly name: string;
  readonly nodes: readonly Node[];
  readonly routes: readonly string[];
  readonly problems?: readonly string[];
}[] = [
  { name: 'no nodes', nodes: [], routes: [] },
  { name: 'a node without pod CIDRs asks for nothing', nodes: [node('a')], routes: [] },
  { name: 'an empty list is none', nodes: [node('a', { podCIDRs: [] })], routes: [] },
  { name: 'only the older field', nodes: [node('a', { podCIDR: '10.120.0.0/24' })], routes: ['10.120.0.0/24 a'] },
  {
    name: 'single stack',
    nodes: golden.single,
    routes: ['10.120.0.0/24 node-1', '10.120.1.0/24 node-2'],
  },
  {
    name: 'dual stack',
    nodes: golden.dual,
    routes: ['10.120.0.0/24 node-3', '10.120.1.0/24 node-4', 'a00:100::/24 node-3', 'a00:200::/24 node-4'],
  },
  {
    name: 'pod CIDRs are a set, compared in canonical form',
    nodes: [node('a', { podCIDRs: ['A00:0:0:0::7/64', 'a00::/64', '10.120.0.9/24', '10.120.0.0/24'] })],
    routes: ['10.120.0.0/24 a', 'a00::/64 a'],
  },
  {
    name: 'one pod CIDR on two nodes: the older one keeps it',
    nodes: [
      node('a', { podCIDRs: ['10.120.0.0/24'], createdAt: '2026-03-01T00:00:01Z' }),
      node('b', { podCIDRs: ['10.120.0.0/24'], createdAt: '2026-03-01T00:00:00Z' }),
    ],
    routes: ['10.120.0.0/24 b'],
    problems: ['a: RouteConflict: spec.podCIDRs: "10.120.0.0/24" is also that of node b, which is older and keeps it'],
  },
  {
    name: 'created in the same second: by name',
    nodes: [node('b', { podCIDRs: ['10.120.0.0/24'] }), node('a', { podCIDRs: ['10.120.0.0/24'] })],
    routes: ['10.120.0.0/24 a'],
    problems: ['b: RouteConflict: spec.podCIDRs: "10.120.0.0/24" is also that of node a, which is older and keeps it'],
  },
  {
    name: 'a younger node inside an older one would take a part of its traffic',
    nodes: [node('a', { podCIDRs: ['10.120.0.0/23'] }), node('b', { podCIDRs: ['10.120.1.0/24'] })],
    routes: ['10.120.0.0/23 a'],
    problems: [
      'b: RouteConflict: spec.podCIDRs: "10.120.1.0/24" overlaps with 10.120.0.0/23 of node a, which is older and keeps it',
    ],
  },
  {
    name: 'a younger node around an older one',
    nodes: [node('a', { podCIDRs: ['10.120.1.0/24'] }), node('b', { podCIDRs: ['10.120.0.0/23'] })],
    routes: ['10.120.1.0/24 a'],
    problems: [
      'b: RouteConflict: spec.podCIDRs: "10.120.0.0/23" overlaps with 10.120.1.0/24 of node a, which is older and keeps it',
    ],
  },
  {
    name: 'a node whose own CIDRs overlap gets the first',
    nodes: [node('a', { podCIDRs: ['10.120.0.0/24', '10.120.0.0/25'] })],
    routes: ['10.120.0.0/24 a'],
    problems: ['a: RouteConflict: spec.podCIDRs: "10.120.0.0/25" overlaps with 10.120.0.0/24 of this node itself'],
  },
  {
    name: 'a conflict in one family leaves the other alone',
    nodes: [
      node('a', { podCIDRs: ['10.120.0.0/24', 'a00:1::/64'] }),
      node('b', { podCIDRs: ['10.120.0.0/24', 'a00:2::/64'] }),
    ],
    routes: ['10.120.0.0/24 a', 'a00:1::/64 a', 'a00:2::/64 b'],
    problems: ['b: RouteConflict: spec.podCIDRs: "10.120.0.0/24" is also that of node a, which is older and keeps it'],
  },
  {
    name: 'neighbours do not overlap',
    nodes: [node('a', { podCIDRs: ['10.120.0.0/24'] }), node('b', { podCIDRs: ['10.120.1.0/25'] })],
    routes: ['10.120.0.0/24 a', '10.120.1.0/25 b'],
  },
  {
    name: 'outside the cluster CIDR, wider than it, and in a family that it lacks',
    nodes: [node('a', { podCIDRs: ['10.121.0.0/24'] }), node('b', { podCIDRs: ['10.0.0.0/8', 'fd00::/64'] })],
    routes: [],
    problems: [
      'a: FailedToCreateRoute: spec.podCIDRs: "10.121.0.0/24" is not inside --cluster-cidr=10.120.0.0/16,a00::/8',
      'b: FailedToCreateRoute: spec.podCIDRs: "10.0.0.0/8" is not inside --cluster-cidr=10.120.0.0/16,a00::/8',
      'b: FailedToCreateRoute: spec.podCIDRs: "fd00::/64" is not inside --cluster-cidr=10.120.0.0/16,a00::/8',
    ],
  },
  {
    name: 'the whole cluster CIDR on one node',
    nodes: [node('a', { podCIDRs: ['10.120.0.0/16'] })],
    routes: ['10.120.0.0/16 a'],
  },
  {
    name: 'no CIDR at all',
    nodes: [node('a', { podCIDRs: ['10.120.0.0', '10.120.1.0/24'] })],
    routes: ['10.120.1.0/24 a'],
    problems: [
      'a: FailedToCreateRoute: spec.podCIDRs: "10.120.0.0" is not a CIDR such as 10.120.0.0/24 or 2001:db8::/64',
    ],
  },
];
for (const { name, nodes, routes, problems = [] } of cases) {
  test(`wanted routes: ${name}`, () => assert.deepEqual(summary(...nodes), { routes, problems }));
}

test('podCIDR counts only without podCIDRs', () => {
  assert.deepEqual(podCidrsOf(node('a', { podCIDR: '10.0.0.0/24', podCIDRs: ['10.0.1.0/24'] })), ['10.0.1.0/24']);
  assert.deepEqual(podCidrsOf(node('a', { podCIDR: '' })), []);
});

/** Nodes whose CIDRs, out of a few, are often equal or nested. */
const nodesArbitrary = fc
  .array(
    fc.record({
      name: fc.integer({ min: 0, max: 7 }).map((at) => `n${at}`),
      second: fc.integer({ min: 0, max: 3 }),
      cidrs: fc.array(
        fc
          .tuple(fc.integer({ min: 0, max: 7 }), fc.constantFrom(21, 22, 23, 24))
          .map(([third, length]) => `10.120.${third}.0/${length}`),
        { maxLength: 3 },
      ),
    }),
    { maxLength: 8 },
  )
  .map((all) => [...new Map(all.map((one) => [one.name, one])).values()])
  .map((all) =>
    all.map(({ name, second, cidrs }) =>
      node(name, { podCIDRs: cidrs, createdAt: `2026-03-01T00:00:0${second}Z`, providerID: name }),
    ),
  );

test('property: no two wanted routes overlap, the order of the nodes does not matter, every CIDR has a route or a problem', () => {
  fc.assert(
    fc.property(nodesArbitrary, fc.func(fc.integer()), (nodes, weigh) => {
      const one = plan(...nodes);
      const shuffled = [...nodes].sort((a, b) => weigh(a.metadata.name) - weigh(b.metadata.name));
      assert.deepEqual(plan(...shuffled).routes, one.routes);
      assert.deepEqual(new Map([...plan(...shuffled).nodes].sort()), new Map([...one.nodes].sort()));
      const ranges = [...one.routes.keys()].map((destination) => {
        const [address = '', length] = destination.split('/');
        const first = Number(address.split('.')[2]) * 256;
        return { first, last: first + 2 ** (32 - Number(length)) - 1 };
      });
      for (const [at, a] of ranges.entries())
        for (const b of ranges.slice(at + 1)) assert.ok(a.last < b.first || b.last < a.first);
      for (const each of nodes) {
        const { destinations = [], problems = [] } = one.nodes.get(each.metadata.name) ?? {};
        const texts = new Set(problems.map(({ cidr: text }) => text));
        for (const text of podCidrsOf(each)) {
          const isServed = destinations.some((destination) =>
            plan(node('x', { podCIDRs: [text] })).routes.has(destination),
          );
          assert.ok(isServed || texts.has(text), text);
        }
      }
    }),
  );
});
