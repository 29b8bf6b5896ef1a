import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { LinkRecord, RouteEvent, RouteRecord } from '../../../src/core/net/rtnetlink.ts';
import type { Node } from '../../../src/core/objects.ts';
import {
  createConcern,
  HOST_ROUTE_PROTOCOL,
  type HostObserved,
  hostRouteActions,
  hostRouteRemovals,
  planHostRoutes,
} from '../../../src/core/route/host.ts';
import { changesClaims, hostClaims } from '../../../src/core/route/host-claims.ts';
import { connected, createRouteKernel, link, record } from '../../fake/routes.ts';
import { node } from './fixture.ts';

const links: readonly LinkRecord[] = [link(1, 'lo', { loopback: true }), link(2, 'eth0'), link(3, 'eth1')];
/** n1 with 10.0.0.1/24 and fd00::1/64 on eth0, and a default route. */
const base: readonly RouteRecord[] = [
  record('0.0.0.0/0', { via: '10.0.0.254', link: 2 }),
  connected('10.0.0.0/24', 2),
  connected('fd00::/64', 2),
  record('10.0.0.1/32', { table: 255, type: 'local', protocol: 2, link: 2 }),
];
const ours = (destination: string, via: string, more: Partial<RouteRecord> = {}): RouteRecord =>
  record(destination, { via, link: 2, protocol: HOST_ROUTE_PROTOCOL, ...more });
const hole = (destination: string): RouteRecord =>
  record(destination, { type: 'blackhole', metric: 4_294_967_295, protocol: HOST_ROUTE_PROTOCOL });

const n1 = node('n1', { podCIDRs: ['10.64.1.0/24', 'fd64:1::/64'], addresses: ['10.0.0.1', 'fd00::1'] });
const n2 = node('n2', { podCIDRs: ['10.64.2.0/24', 'fd64:2::/64'], addresses: ['10.0.0.2', 'fd00::2'] });
const n3 = node('n3', { podCIDRs: ['10.64.3.0/24'], addresses: ['10.0.0.3'] });

interface Case {
  readonly name: string;
  readonly nodes?: readonly Node[];
  /** Beside `base`. */
  readonly routes?: readonly RouteRecord[];
  /** Instead of `base`. */
  readonly all?: readonly RouteRecord[];
  /** Actions: kind, destination and reason. */
  readonly actions: readonly string[];
  readonly problems?: readonly string[];
}

const holes = [hole('10.64.1.0/24'), hole('fd64:1::/64')];
const free = 'the free addresses of this node lead nowhere';

const cases: readonly Case[] = [
  {
    name: 'a first look gives both families, several pod CIDRs, and a blackhole for each own one',
    nodes: [n1, n2, n3],
    actions: [
      `addRoute 10.64.1.0/24: ${free}`,
      'addRoute 10.64.2.0/24: pod CIDR of node n2, to 10.0.0.2 over eth0',
      'addRoute 10.64.3.0/24: pod CIDR of node n3, to 10.0.0.3 over eth0',
      `addRoute fd64:1::/64: ${free}`,
      'addRoute fd64:2::/64: pod CIDR of node n2, to fd00::2 over eth0',
    ],
  },
  {
    name: 'nothing to do when all is there',
    routes: [...holes, ours('10.64.2.0/24', '10.0.0.2'), ours('fd64:2::/64', 'fd00::2')],
    actions: [],
  },
  {
    name: 'a node with another address: the old way goes first',
    nodes: [n1, node('n2', { podCIDRs: ['10.64.2.0/24'], addresses: ['10.0.0.9'] })],
    routes: [...holes, ours('10.64.2.0/24', '10.0.0.2')],
    actions: [
      'deleteRoute 10.64.2.0/24: it leads to 10.0.0.2 over eth0',
      'addRoute 10.64.2.0/24: pod CIDR of node n2, to 10.0.0.9 over eth0',
    ],
  },
  {
    name: 'the address of a node moves to another interface',
    all: [
      connected('10.0.0.0/24', 3),
      connected('fd00::/64', 2),
      ...holes,
      ours('10.64.2.0/24', '10.0.0.2'),
      ours('fd64:2::/64', 'fd00::2'),
    ],
    actions: [
      'deleteRoute 10.64.2.0/24: it leads to 10.0.0.2 over eth0',
      'addRoute 10.64.2.0/24: pod CIDR of node n2, to 10.0.0.2 over eth1',
    ],
  },
  {
    name: 'a node with another pod CIDR',
    nodes: [n1, node('n2', { podCIDRs: ['10.64.7.0/24'], addresses: ['10.0.0.2'] })],
    routes: [...holes, ours('10.64.2.0/24', '10.0.0.2')],
    actions: [
      'deleteRoute 10.64.2.0/24: no node has this pod CIDR',
      'addRoute 10.64.7.0/24: pod CIDR of node n2, to 10.0.0.2 over eth0',
    ],
  },
  {
    name: 'a node that is gone',
    nodes: [n1],
    routes: [...holes, ours('10.64.2.0/24', '10.0.0.2')],
    actions: ['deleteRoute 10.64.2.0/24: no node has this pod CIDR'],
  },
  {
    name: 'routes of others are not ours to judge, also inside the pod CIDRs',
    nodes: [n1],
    routes: [
      ...holes,
      record('10.64.1.5/32', { link: 3 }),
      record('10.64.9.0/24', { via: '10.0.0.9', link: 2 }),
      record('10.64.1.0/24', { link: 3, protocol: 2 }),
      record('10.64.8.0/24', { table: 100, protocol: HOST_ROUTE_PROTOCOL, link: 2 }),
    ],
    actions: [],
  },
  {
    name: 'a route of somebody else with the destination is left, and ours is not made beside it',
    nodes: [n1, n3],
    routes: [...holes, record('10.64.3.0/24', { via: '10.0.0.77', link: 2, metric: 50 })],
    actions: [],
    problems: [
      'n3 FL_ROUTE_FOREIGN a route to 10.64.3.0/24 that is not ours leads to 10.0.0.77 over eth0; the node has 10.0.0.3',
    ],
  },
  {
    name: 'a route of somebody else that leads to the node serves as well',
    nodes: [n1, n3],
    routes: [...holes, record('10.64.3.0/24', { via: '10.0.0.3', link: 2, protocol: 3 })],
    actions: [],
  },
  {
    name: 'a blackhole of somebody else serves as well',
    nodes: [n1],
    routes: [{ ...hole('10.64.1.0/24'), protocol: 4 }, hole('fd64:1::/64')],
    actions: [],
  },
  {
    name: 'a last resort of somebody else to the own CIDR is told; with another metric it does not matter',
    nodes: [n1],
    routes: [
      record('10.64.1.0/24', { via: '10.0.0.9', link: 2, metric: 4_294_967_295 }),
      record('fd64:1::/64', { via: 'fd00::9', link: 2, metric: 9 }),
    ],
    actions: [`addRoute fd64:1::/64: ${free}`],
    problems: [
      'n1 FL_ROUTE_FOREIGN a route to 10.64.1.0/24 that is not ours leads to 10.0.0.9 over eth0 as the last resort, where its free addresses should lead nowhere',
    ],
  },
  {
    name: 'a node behind a router gets no route: the router does not know its pods',
    nodes: [n1, node('n2', { podCIDRs: ['10.64.2.0/24'], addresses: ['10.9.0.2'] })],
    routes: [...holes, ours('10.64.2.0/24', '10.0.0.2')],
    actions: ['deleteRoute 10.64.2.0/24: no node has this pod CIDR'],
    problems: [
      'n2 FL_ROUTE_OFF_LINK node n2 is not on a segment with this one: the way to 10.9.0.2 leads to 10.0.0.254 over eth0',
    ],
  },
  {
    name: 'of several addresses the first that is on a segment',
    nodes: [n1, node('n2', { podCIDRs: ['10.64.2.0/24'], addresses: ['10.9.0.2', '10.0.0.2', '10.0.0.22'] })],
    routes: holes,
    actions: ['addRoute 10.64.2.0/24: pod CIDR of node n2, to 10.0.0.2 over eth0'],
  },
  {
    name: 'the longest prefix decides, then the lowest metric',
    nodes: [n1, node('n2', { podCIDRs: ['10.64.2.0/24'], addresses: ['10.0.0.2'] }), n3],
    routes: [
      ...holes,
      record('10.0.0.2/32', { via: '10.0.0.254', link: 2 }),
      record('10.0.0.2/31', { link: 3, metric: 9 }),
      record('10.0.0.2/31', { link: 2, metric: 7 }),
    ],
    actions: ['addRoute 10.64.3.0/24: pod CIDR of node n3, to 10.0.0.3 over eth0'],
    problems: [
      'n2 FL_ROUTE_OFF_LINK node n2 is not on a segment with this one: the way to 10.0.0.2 leads to 10.0.0.254 over eth0',
    ],
  },
  {
    name: 'a way that the kernel does not use does not count',
    nodes: [n1, n3],
    all: [...base.slice(0, 1), { ...connected('10.0.0.0/24', 2), flags: 1 }, ...holes],
    actions: [],
    problems: [
      'n3 FL_ROUTE_OFF_LINK node n3 is not on a segment with this one: the way to 10.0.0.3 leads to 10.0.0.254 over eth0',
    ],
  },
  {
    name: 'a route of ours is never the way to a node',
    nodes: [n1, n3, node('n4', { podCIDRs: ['10.64.4.0/24'], addresses: ['10.64.9.9'] })],
    routes: [...holes, ours('10.64.3.0/24', '10.0.0.3'), ours('10.64.9.0/24', '10.0.0.3')],
    actions: ['deleteRoute 10.64.9.0/24: no node has this pod CIDR'],
    problems: [
      'n4 FL_ROUTE_OFF_LINK node n4 is not on a segment with this one: the way to 10.64.9.9 leads to 10.0.0.254 over eth0',
    ],
  },
  {
    name: 'a node with an address of ours, one without any, and one that no way leads to',
    nodes: [
      n1,
      node('n2', { podCIDRs: ['10.64.2.0/24'], addresses: ['10.0.0.1'] }),
      node('n3', { podCIDRs: ['10.64.3.0/24'], addresses: ['fd00::3', 'no address'] }),
      node('n4', { podCIDRs: ['fd64:4::/64'], addresses: ['fd77::4'] }),
    ],
    routes: holes,
    actions: [],
    problems: [
      'n2 FL_ROUTE_OFF_LINK node n2 is not on a segment with this one: 10.0.0.1 is an address of this node itself',
      'n3 FL_ROUTE_OFF_LINK node n3 is not on a segment with this one: its Node has no InternalIP of the family of 10.64.3.0/24',
      'n4 FL_ROUTE_OFF_LINK node n4 is not on a segment with this one: there is no way to fd77::4',
    ],
  },
  {
    name: 'a way that leads nowhere, and one with several gateways',
    nodes: [n1, n2],
    all: [
      record('10.0.0.0/24', { type: 'unreachable' }),
      record('fd00::/64', {
        hops: [
          { via: 'fe80::1', link: 2, weight: 1 },
          { via: 'fe80::2', link: 3, weight: 1 },
        ],
      }),
      ...holes,
    ],
    actions: [],
    problems: [
      'n2 FL_ROUTE_OFF_LINK node n2 is not on a segment with this one: the way to 10.0.0.2 leads nowhere (unreachable)',
      'n2 FL_ROUTE_OFF_LINK node n2 is not on a segment with this one: the way to fd00::2 leads to fe80::1 over eth0 and fe80::2 over eth1',
    ],
  },
  {
    name: 'the own CIDR never gets a via route, whoever claims it or a part of it, and however old he is',
    nodes: [
      n1,
      node('n2', { podCIDRs: ['10.64.1.0/24'], addresses: ['10.0.0.2'], createdAt: '2020-01-01T00:00:00Z' }),
      node('n3', { podCIDRs: ['10.64.1.128/25'], addresses: ['10.0.0.3'], createdAt: '2021-01-01T00:00:00Z' }),
      node('n4', { podCIDRs: ['fd64::/16'], addresses: ['10.0.0.4'] }),
    ],
    routes: holes,
    actions: [],
    problems: [
      'n3 FL_ROUTE_CONFLICT spec.podCIDRs: "10.64.1.128/25" overlaps with 10.64.1.0/24 of node n2, which is older and keeps it',
      'n1 FL_ROUTE_CONFLICT spec.podCIDRs: "10.64.1.0/24" is also that of node n2, which is older and keeps it',
      'n4 FL_ROUTE_CONFLICT spec.podCIDRs: "fd64::/16" overlaps with fd64:1::/64 of node n1, which is older and keeps it',
      'n2 FL_ROUTE_CONFLICT spec.podCIDRs: "10.64.1.0/24" overlaps with 10.64.1.0/24 of this node, n1',
    ],
  },
  {
    name: 'a pod CIDR that takes the way to the nodes away gets no route',
    nodes: [n1, node('n2', { podCIDRs: ['10.0.0.0/28', '0.0.0.0/0'], addresses: ['10.0.0.2'] }), n3],
    routes: holes,
    actions: ['addRoute 10.64.3.0/24: pod CIDR of node n3, to 10.0.0.3 over eth0'],
    problems: [
      'n2 FL_ROUTE_CONFLICT spec.podCIDRs: "0.0.0.0/0" overlaps with 10.64.1.0/24 of node n1, which is older and keeps it',
      'n2 FL_ROUTE_CONFLICT spec.podCIDRs: "10.0.0.0/28" holds 10.0.0.1, the address of node n1',
    ],
  },
  {
    name: 'what is no CIDR is told and the rest is served',
    nodes: [n1, node('n2', { podCIDRs: ['10.64.2.0', 'fd64:2::/64'], addresses: ['10.0.0.2', 'fd00::2'] })],
    routes: holes,
    actions: ['addRoute fd64:2::/64: pod CIDR of node n2, to fd00::2 over eth0'],
    problems: ['n2 FL_ROUTE_CIDR spec.podCIDRs: "10.64.2.0" is not a CIDR such as 10.120.0.0/24 or 2001:db8::/64'],
  },
  {
    name: 'while the API server does not know this node its blackholes stay, and nothing leads into them',
    nodes: [node('n2', { podCIDRs: ['10.64.1.128/25'], addresses: ['10.0.0.2'] }), n3],
    routes: [...holes, ours('10.64.5.0/24', '10.0.0.5')],
    actions: [
      'addRoute 10.64.3.0/24: pod CIDR of node n3, to 10.0.0.3 over eth0',
      'deleteRoute 10.64.5.0/24: no node has this pod CIDR',
    ],
  },
  {
    name: 'a second route of ours to one destination goes',
    nodes: [n1, n3],
    routes: [...holes, ours('10.64.3.0/24', '10.0.0.3'), ours('10.64.3.0/24', '10.0.0.3', { metric: 20 })],
    actions: ['deleteRoute 10.64.3.0/24: it leads to 10.0.0.3 over eth0'],
  },
];

for (const { name, nodes = [n1, n2], routes = [], all = [...base, ...routes], actions, problems = [] } of cases) {
  test(name, () => {
    const observed: HostObserved = { links, routes: all };
    const plan = planHostRoutes(hostClaims(nodes, 'n1'), observed);
    const made = hostRouteActions(plan, observed);
    assert.deepEqual(
      made.map(({ kind, target, reason }) => `${kind} ${target}: ${reason}`),
      actions,
    );
    assert.deepEqual(
      plan.problems.map(({ node: who, code, text }) => `${who} ${code} ${text}`),
      problems,
    );
  });
}

test('messages are marked as ours, and a removal matches nothing else', () => {
  const observed = { links, routes: [...base, ours('10.64.9.0/24', '10.0.0.9'), hole('fd64:9::/64')] };
  const plan = planHostRoutes(hostClaims([n1, n3], 'n1'), observed);
  assert.deepEqual(
    hostRouteActions(plan, observed).map(({ message }) => message),
    [
      { kind: 'newRoute', destination: '10.64.1.0/24', type: 'blackhole', protocol: 103, metric: 4_294_967_295 },
      { kind: 'newRoute', destination: '10.64.3.0/24', type: 'unicast', protocol: 103, via: '10.0.0.3', link: 2 },
      { kind: 'deleteRoute', destination: '10.64.9.0/24', metric: 0, protocol: 103, via: '10.0.0.9', link: 2 },
      { kind: 'newRoute', destination: 'fd64:1::/64', type: 'blackhole', protocol: 103, metric: 4_294_967_295 },
      { kind: 'deleteRoute', destination: 'fd64:9::/64', metric: 4_294_967_295, protocol: 103, type: 'blackhole' },
    ],
  );
});

test('cleanup takes all that is ours, and only that', async () => {
  const kernel = createRouteKernel({ links, routes: [...base, ...holes, ours('10.64.2.0/24', '10.0.0.2')] });
  const before = createRouteKernel({ links, routes: base }).text();
  await kernel.send(hostRouteRemovals({ links, routes: await kernel.routes() }).map(({ message }) => message));
  assert.deepEqual(kernel.text(), before);
});

const event = (route: RouteRecord, gone = false): RouteEvent => ({ kind: 'route', gone, route });
const concernCases: readonly { readonly name: string; readonly event: RouteEvent; readonly expected: boolean }[] = [
  { name: 'a route of ours is gone', event: event(ours('10.64.2.0/24', '10.0.0.2'), true), expected: true },
  { name: 'the echo of our own addition', event: event(ours('10.64.2.0/24', '10.0.0.2')), expected: false },
  { name: 'a route of ours with another gateway', event: event(ours('10.64.2.0/24', '10.0.0.9')), expected: true },
  { name: 'the echo of our own removal', event: event(ours('10.64.9.0/24', '10.0.0.9'), true), expected: false },
  { name: 'our blackhole is gone', event: event(hole('10.64.1.0/24'), true), expected: true },
  { name: 'the echo of our blackhole', event: event({ ...hole('fd64:1::/64'), link: 1 }), expected: false },
  {
    name: 'somebody replaced a route of ours',
    event: event(record('10.64.2.0/24', { via: '10.0.0.9' })),
    expected: true,
  },
  { name: 'the route of a pod', event: event(record('10.64.1.7/32', { link: 9 })), expected: false },
  {
    name: 'a route to the address of a node',
    event: event(record('10.0.0.2/32', { via: '10.0.0.9' })),
    expected: true,
  },
  { name: 'the connected route of the segment', event: event(connected('10.0.0.0/24', 2), true), expected: true },
  { name: 'another table', event: event(record('10.0.0.0/24', { table: 255 })), expected: false },
  {
    name: 'the link of the routes',
    event: { kind: 'link', gone: false, link: link(2, 'eth0', { up: false }) },
    expected: true,
  },
  { name: 'the link of a pod', event: { kind: 'link', gone: true, link: link(9, 'fl1') }, expected: false },
  { name: 'events were lost', event: { kind: 'lost' }, expected: true },
];
for (const { name, event: heard, expected } of concernCases) {
  test(`an event, ${name}: ${expected ? 'the table is looked at' : 'nothing'}`, () => {
    const claims = hostClaims([n1, n2], 'n1');
    assert.equal(createConcern(claims, planHostRoutes(claims, { links, routes: base }))(heard), expected);
  });
}

test('an address matters on a link in use, and anywhere while a node is off the segment; those of pods never', () => {
  const address = (index: number, prefixLength = 24): RouteEvent => ({
    kind: 'address',
    gone: false,
    address: {
      family: 'ipv4',
      link: index,
      address: '10.9.0.1',
      prefixLength,
      scope: 0,
      flags: 0,
      validSeconds: 0,
      preferredSeconds: 0,
    },
  });
  const asked = (nodes: readonly Node[]): readonly boolean[] => {
    const claims = hostClaims(nodes, 'n1');
    const concerns = createConcern(claims, planHostRoutes(claims, { links, routes: base }));
    return [address(2), address(3), address(3, 32)].map(concerns);
  };
  assert.deepEqual(asked([n1, n2]), [true, false, false]);
  assert.deepEqual(asked([n1, n2, node('n4', { podCIDRs: ['10.64.4.0/24'], addresses: ['10.9.0.4'] })]), [
    true,
    true,
    false,
  ]);
});

test('a heartbeat of a node changes no claim; its CIDRs, addresses and a new Node under the name do', () => {
  const beat = { ...n2, metadata: { ...n2.metadata, resourceVersion: '2' } };
  assert.equal(changesClaims(n2, beat), false);
  assert.equal(changesClaims(undefined, n2), true);
  assert.equal(changesClaims(n2, undefined), true);
  assert.equal(
    changesClaims(n2, node('n2', { ...{ podCIDRs: ['10.64.2.0/24'] }, addresses: ['10.0.0.2', 'fd00::2'] })),
    true,
  );
  assert.equal(changesClaims(n2, { ...n2, status: { addresses: [] } }), true);
  assert.equal(changesClaims(n2, { ...n2, metadata: { ...n2.metadata, uid: 'other' } }), true);
});

test('after its actions a plan is fulfilled, nothing of others has changed, and no gateway lies in our own CIDRs', async () => {
  const third = fc.integer({ min: 0, max: 5 });
  const nodeSeed = fc.record({
    cidr: third,
    length: fc.constantFrom(24, 25, 23),
    host: third,
    lan: fc.constantFrom('10.0.0', '10.9.0'),
  });
  const routeSeed = fc.record({
    cidr: third,
    length: fc.constantFrom(24, 25, 23),
    host: third,
    protocol: fc.constantFrom(3, HOST_ROUTE_PROTOCOL),
    type: fc.constantFrom('unicast', 'blackhole'),
    metric: fc.constantFrom(0, 0, 4_294_967_295),
  });
  await fc.assert(
    fc.asyncProperty(
      fc.array(nodeSeed, { maxLength: 6 }),
      fc.array(routeSeed, { maxLength: 8 }),
      async (nodeSeeds, routeSeeds) => {
        const nodes = nodeSeeds.map(({ cidr, length, host, lan }, index) =>
          node(`n${index}`, { podCIDRs: [`10.64.${cidr}.0/${length}`], addresses: [`${lan}.${host + 2}`] }),
        );
        const kernel = createRouteKernel({ links, routes: base });
        for (const { cidr, length, host, protocol, type, metric } of routeSeeds)
          await kernel.send([
            {
              kind: 'newRoute',
              destination: `10.64.${length === 23 ? cidr & ~1 : cidr}.0/${length}` as never,
              type: type as 'unicast' | 'blackhole',
              metric,
              protocol,
              ...(type === 'unicast' ? { via: `10.0.0.${host + 2}`, link: 2 } : {}),
            },
          ]);
        const others = (): readonly string[] => kernel.text().filter((line) => !line.includes('proto 103'));
        const before = others();
        const claims = hostClaims(nodes, 'n0');
        const look = async () => {
          const observed = { links, routes: await kernel.routes() };
          const plan = planHostRoutes(claims, observed);
          const actions = hostRouteActions(plan, observed);
          const acks = await kernel.send(actions.map(({ message }) => message));
          return { plan, failed: acks.filter(({ errno }) => errno !== 0 && errno !== 17).length };
        };
        // A foreign route of the same metric refuses ours once; then it is seen.
        assert.equal((await look()).failed, 0);
        assert.equal((await look()).failed, 0);
        const observed = { links, routes: await kernel.routes() };
        const plan = planHostRoutes(claims, observed);
        assert.deepEqual(hostRouteActions(plan, observed), []);
        assert.deepEqual(others(), before);
        for (const cidr of claims.own ?? [])
          assert.ok(!kernel.text().some((line) => line.includes('proto 103') && line.startsWith(`${cidr} via`)));
      },
    ),
    { numRuns: 300 },
  );
});
