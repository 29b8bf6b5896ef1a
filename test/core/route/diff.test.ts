import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Node } from '../../../src/core/objects.ts';
import type { NodeRef, Route } from '../../../src/core/provider.ts';
import {
  blockers,
  chainsOf,
  isDone,
  prefixLengthOf,
  type RouteAction,
  routeIndex,
  tableOf,
} from '../../../src/core/route/diff.ts';
import { routePlan } from '../../../src/core/route/wanted.ts';
import { cidr, golden, node, route } from './fixture.ts';

interface World {
  readonly nodes: readonly Node[];
  readonly routes: readonly Route[];
  readonly tables?: readonly string[];
  readonly replaces?: boolean;
}

/** By address, as clouds do whose routes lead to a node's address. */
const byAddress = ({ addresses }: NodeRef) => addresses[0]?.address;

function diff({ nodes, routes, tables = [''], replaces = false }: World) {
  const plan = routePlan(nodes, { clusterCidrs: golden.clusterCidrs, nextHop: byAddress });
  const lengths = new Set(Array.from(plan.routes.keys(), prefixLengthOf));
  const index = routeIndex(routes, { clusterCidrs: golden.clusterCidrs, lengths });
  const destinations = [...new Set([...plan.routes.keys(), ...index.destinations])];
  const options = destinations.map((destination) => ({
    wanted: plan.routes.get(destination),
    observed: index.of(destination),
    tables,
  }));
  return {
    chains: options.flatMap((each) => chainsOf({ ...each, replaces })),
    done: options.every(isDone),
    blockers: options.flatMap(blockers),
  };
}

const inWords = (action: RouteAction): string => {
  const { kind, target } = action;
  if (kind === 'replaceRoute') return `replace ${target}: ${action.old.nextHop} by ${action.route.nextHop}`;
  return kind === 'createRoute'
    ? `create ${target}: ${action.route.nextHop}`
    : `remove ${target}: ${action.route.nextHop}`;
};
const words = (world: World) => diff(world).chains.map((chain) => chain.map(inWords));

// controllers.md, "Golden cases", Routes.
const of1 = route('10.120.0.0/24', '10.0.1.1');
const of2 = route('10.120.1.0/24', '10.0.2.1');
const of3 = [route('10.120.0.0/24', '10.0.3.1'), route('a00:100::/24', '10.0.3.1')] as const;
const of4 = [route('10.120.1.0/24', '10.0.4.1'), route('a00:200::/24', '10.0.4.1')] as const;
const withHop = (routes: readonly Route[], hops: readonly string[]) =>
  routes.map((each, at) => ({ ...each, nextHop: hops[at] ?? '' }));
const cases: readonly (World & { readonly name: string; readonly expected: readonly (readonly string[])[] })[] = [
  {
    name: '1+2, no routes: 2 creates',
    nodes: golden.single,
    routes: [],
    expected: [['create 10.120.0.0/24: 10.0.1.1'], ['create 10.120.1.0/24: 10.0.2.1']],
  },
  {
    name: '3+4, no routes: 4 creates',
    nodes: golden.dual,
    routes: [],
    expected: [
      ['create 10.120.0.0/24: 10.0.3.1'],
      ['create 10.120.1.0/24: 10.0.4.1'],
      ['create a00:100::/24: 10.0.3.1'],
      ['create a00:200::/24: 10.0.4.1'],
    ],
  },
  { name: '1+2, all routes: no write', nodes: golden.single, routes: [of1, of2], expected: [] },
  { name: '3+4, all routes: no write', nodes: golden.dual, routes: [...of3, ...of4], expected: [] },
  {
    name: "1+2, only node-1's route: 1 create",
    nodes: golden.single,
    routes: [of1],
    expected: [['create 10.120.1.0/24: 10.0.2.1']],
  },
  {
    name: "3+4, node-3's IPv4 and node-4's IPv6: 2 creates",
    nodes: golden.dual,
    routes: [of3[0], of4[1]],
    expected: [['create 10.120.1.0/24: 10.0.4.1'], ['create a00:100::/24: 10.0.3.1']],
  },
  {
    name: '1+2 with other addresses: each route deleted, then created with the address of the node',
    nodes: golden.single,
    routes: withHop([of1, of2], ['10.0.1.2', '10.0.2.2']),
    expected: [
      ['remove 10.120.0.0/24: 10.0.1.2', 'create 10.120.0.0/24: 10.0.1.1'],
      ['remove 10.120.1.0/24: 10.0.2.2', 'create 10.120.1.0/24: 10.0.2.1'],
    ],
  },
  {
    name: '3+4 with other addresses: each route deleted, then created with the address of the node',
    nodes: golden.dual,
    routes: withHop([...of3, ...of4], ['10.0.13.1', '10.0.13.1', '10.0.14.1', '10.0.14.1']),
    expected: [
      ['remove 10.120.0.0/24: 10.0.13.1', 'create 10.120.0.0/24: 10.0.3.1'],
      ['remove 10.120.1.0/24: 10.0.14.1', 'create 10.120.1.0/24: 10.0.4.1'],
      ['remove a00:100::/24: 10.0.13.1', 'create a00:100::/24: 10.0.3.1'],
      ['remove a00:200::/24: 10.0.14.1', 'create a00:200::/24: 10.0.4.1'],
    ],
  },
  {
    name: '3+4 without addresses: each route deleted, then created with the address of the node',
    nodes: golden.dual,
    routes: withHop([...of3, ...of4], []),
    expected: [
      ['remove 10.120.0.0/24: ', 'create 10.120.0.0/24: 10.0.3.1'],
      ['remove 10.120.1.0/24: ', 'create 10.120.1.0/24: 10.0.4.1'],
      ['remove a00:100::/24: ', 'create a00:100::/24: 10.0.3.1'],
      ['remove a00:200::/24: ', 'create a00:200::/24: 10.0.4.1'],
    ],
  },
  {
    name: "1 + node-2 without pod CIDR: node-1's only",
    nodes: [golden.single[0], node('node-2', { uid: '02', addresses: ['10.0.2.1'] })],
    routes: [],
    expected: [['create 10.120.0.0/24: 10.0.1.1']],
  },
  {
    name: 'a route of a node that is gone is deleted',
    nodes: [golden.single[0]],
    routes: [of1, of2],
    expected: [['remove 10.120.1.0/24: 10.0.2.1']],
  },
  {
    name: 'a route outside the cluster CIDR is nobody of ours',
    nodes: [],
    routes: [route('10.121.0.0/24', '10.0.9.9'), route('0.0.0.0/0', 'gateway'), route('fd00::/64', 'x')],
    expected: [],
  },
  {
    name: 'a route that only begins in the cluster CIDR is not ours: it is wider',
    nodes: [],
    routes: [route('10.120.0.0/15', '10.0.9.9')],
    expected: [],
  },
  {
    name: 'a CIDR that moved to another node: delete before create',
    nodes: [node('b', { podCIDRs: ['10.120.0.0/24'], addresses: ['10.0.2.1'] })],
    routes: [of1],
    expected: [['remove 10.120.0.0/24: 10.0.1.1', 'create 10.120.0.0/24: 10.0.2.1']],
  },
  {
    name: 'a CIDR that moved to another node, in a cloud that can replace: one call',
    nodes: [node('b', { podCIDRs: ['10.120.0.0/24'], addresses: ['10.0.2.1'] })],
    routes: [of1],
    replaces: true,
    expected: [['replace 10.120.0.0/24: 10.0.1.1 by 10.0.2.1']],
  },
  {
    name: 'pod CIDRs swapped between two nodes',
    nodes: [
      node('a', { podCIDRs: ['10.120.1.0/24'], addresses: ['10.0.1.1'] }),
      node('b', { podCIDRs: ['10.120.0.0/24'], addresses: ['10.0.2.1'] }),
    ],
    routes: [of1, of2],
    expected: [
      ['remove 10.120.1.0/24: 10.0.2.1', 'create 10.120.1.0/24: 10.0.1.1'],
      ['remove 10.120.0.0/24: 10.0.1.1', 'create 10.120.0.0/24: 10.0.2.1'],
    ].reverse(),
  },
  {
    name: 'two routes for one destination: the wrong one goes, the right one stays',
    nodes: [golden.single[0]],
    routes: [route('10.120.0.0/24', 'x', { id: 'r1' }), { ...of1, id: 'r2' }],
    expected: [['remove 10.120.0.0/24: x']],
  },
  {
    name: 'the same route twice: one stays',
    nodes: [golden.single[0]],
    routes: [
      { ...of1, id: 'r1' },
      { ...of1, id: 'r2' },
    ],
    expected: [['remove 10.120.0.0/24: 10.0.1.1']],
  },
  {
    name: 'two wrong ones, in a cloud that can replace',
    nodes: [golden.single[0]],
    routes: [route('10.120.0.0/24', 'x'), route('10.120.0.0/24', 'y')],
    replaces: true,
    expected: [['remove 10.120.0.0/24: y', 'replace 10.120.0.0/24: x by 10.0.1.1']],
  },
  {
    name: 'a blackhole without a target is deleted',
    nodes: [],
    routes: [route('10.120.7.0/24', '', { blackhole: true })],
    expected: [['remove 10.120.7.0/24: ']],
  },
  {
    name: 'a blackhole where a node needs its route makes way',
    nodes: [golden.single[0]],
    routes: [route('10.120.0.0/24', '', { blackhole: true })],
    expected: [['remove 10.120.0.0/24: ', 'create 10.120.0.0/24: 10.0.1.1']],
  },
  {
    name: 'a blackhole that leads to the right node stays: the node is down, a new route would lead nowhere as well',
    nodes: [golden.single[0]],
    routes: [{ ...of1, blackhole: true }],
    expected: [],
  },
  {
    name: 'nothing is done for a node that is not initialised, also not to the route that another left',
    nodes: [node('a', { podCIDRs: ['10.120.0.0/24'] })],
    routes: [of1],
    expected: [],
  },
  {
    name: 'a duplicate pod CIDR deletes no good route (kubernetes PR 62729)',
    nodes: [golden.single[0], node('node-9', { podCIDRs: ['10.120.0.0/24'], addresses: ['10.0.9.1'] })],
    routes: [of1],
    expected: [],
  },
  {
    name: 'several tables: each is brought in order by itself',
    nodes: [golden.single[0]],
    tables: ['rtb-1', 'rtb-2', 'rtb-3'],
    replaces: true,
    routes: [{ ...of1, table: 'rtb-1' }, route('10.120.0.0/24', 'x', { table: 'rtb-3' })],
    expected: [['create 10.120.0.0/24 in rtb-2: 10.0.1.1'], ['replace 10.120.0.0/24 in rtb-3: x by 10.0.1.1']],
  },
  {
    name: 'a table that is none of ours any more is left alone',
    nodes: [golden.single[0]],
    tables: ['rtb-1'],
    routes: [
      { ...of1, table: 'rtb-1' },
      { ...of1, table: 'rtb-2' },
    ],
    expected: [],
  },
  {
    name: 'destinations are compared in canonical form',
    nodes: golden.dual,
    routes: [...of3, ...of4].map((each) => ({
      ...each,
      destination: cidr(each.destination.replace('a00:', '0A00:').replace('.0/24', '.7/24')),
    })),
    expected: [],
  },
  {
    name: 'a destination that is no CIDR is nobody of ours',
    nodes: [],
    routes: [route('pl-1234', 'x'), route('', 'x')],
    expected: [],
  },
  {
    name: 'a foreign route inside the cluster CIDR is left alone',
    nodes: [golden.single[0]],
    routes: [of1, route('10.120.8.0/24', 'i-other', { foreign: true })],
    expected: [],
  },
  {
    name: 'a foreign route with the same destination: nothing is made',
    nodes: [golden.single[0]],
    routes: [route('10.120.0.0/24', 'i-other', { foreign: true })],
    expected: [],
  },
  {
    name: 'a foreign route that is wider is no obstacle: the longer prefix wins',
    nodes: [golden.single[0]],
    routes: [route('10.0.0.0/8', 'tgw', { foreign: true }), route('10.120.0.0/23', 'tgw', { foreign: true })],
    expected: [['create 10.120.0.0/24: 10.0.1.1']],
  },
  {
    name: 'a foreign route that is longer takes a part of the traffic: nothing is made',
    nodes: [golden.single[0]],
    routes: [route('10.120.0.128/25', 'i-other', { foreign: true })],
    expected: [],
  },
  {
    name: 'a foreign route in one table is no obstacle in the other',
    nodes: [golden.single[0]],
    tables: ['rtb-1', 'rtb-2'],
    routes: [route('10.120.0.0/24', 'i-other', { foreign: true, table: 'rtb-1' })],
    expected: [['create 10.120.0.0/24 in rtb-2: 10.0.1.1']],
  },
  {
    name: 'no tables: nothing can be done',
    nodes: [golden.single[0]],
    tables: [],
    routes: [{ ...of1, table: 'rtb-1' }],
    expected: [],
  },
];
for (const { name, expected, ...world } of cases) {
  test(`routes: ${name}`, () => assert.deepEqual(words(world), expected));
}

test('an action carries all that a provider needs, and its reason', () => {
  const world = {
    nodes: [golden.single[0]],
    routes: [route('10.120.0.0/24', 'x', { id: 'r1', table: 't' })],
    tables: ['t'],
  };
  const wanted = { node: 'node-1', nodeUid: '01', destination: '10.120.0.0/24', nextHop: '10.0.1.1', table: 't' };
  const target = '10.120.0.0/24 in t';
  assert.deepEqual(diff({ ...world, replaces: true }).chains, [
    [
      {
        kind: 'replaceRoute',
        target,
        reason: 'pod CIDR of node node-1, leads to x',
        old: { id: 'r1', table: 't', node: '', destination: '10.120.0.0/24', nextHop: 'x' },
        route: wanted,
      },
    ],
  ]);
  assert.deepEqual(diff(world).chains, [
    [
      { kind: 'removeRoute', target, reason: 'leads to x, not to node node-1', route: world.routes[0] },
      { kind: 'createRoute', target, reason: 'pod CIDR of node node-1', route: wanted },
    ],
  ]);
});

test('who is blocked knows by what, and is not done', () => {
  const foreign = route('10.120.0.128/25', 'i-other', { foreign: true });
  const { done, blockers: by } = diff({ nodes: [golden.single[0]], routes: [foreign] });
  assert.deepEqual([done, by], [false, [foreign]]);
});

test('a foreign route that came after ours takes nothing away from us, and is no reason to write', () => {
  const {
    done,
    blockers: by,
    chains,
  } = diff({
    nodes: [golden.single[0]],
    routes: [of1, route('10.120.0.128/25', 'i-other', { foreign: true })],
  });
  assert.deepEqual([done, by, chains], [true, [], []]);
});

test('a node that is not initialised is not done', () => {
  assert.equal(diff({ nodes: [node('a', { podCIDRs: ['10.120.0.0/24'] })], routes: [] }).done, false);
});

// Convergence.

const hop = fc.constantFrom('10.0.1.1', '10.0.2.1', '10.0.3.1', '');
const worldArbitrary = fc.record({
  owners: fc.array(fc.tuple(fc.integer({ min: 0, max: 5 }), hop), { maxLength: 5 }),
  routes: fc.array(
    fc.record({
      third: fc.integer({ min: 0, max: 5 }),
      length: fc.constantFrom(24, 25),
      nextHop: hop,
      table: fc.constantFrom('t1', 't2', 'old'),
      foreign: fc.boolean(),
      blackhole: fc.boolean(),
    }),
    { maxLength: 12 },
  ),
  replaces: fc.boolean(),
  /** Writes that fail in the first pass, by their place. */
  failing: fc.array(fc.integer({ min: 0, max: 8 }), { maxLength: 4 }),
});

/** A cloud with one route per destination and table, as AWS has: a second one is refused. */
function applied(routes: readonly Route[], action: RouteAction): readonly Route[] {
  const key = (each: Route) => `${tableOf(each)} ${each.destination} ${each.id ?? ''}`;
  if (action.kind === 'removeRoute') return routes.filter((each) => key(each) !== key(action.route));
  if (action.kind === 'replaceRoute') return [...routes.filter((each) => key(each) !== key(action.old)), action.route];
  const rival = routes.find(
    (each) => tableOf(each) === tableOf(action.route) && each.destination === action.route.destination,
  );
  assert.equal(rival, undefined, `create beside ${JSON.stringify(rival)}`);
  return [...routes, action.route];
}

test('property: whatever is there and whatever fails, a second pass finishes, a third has nothing to do, and nothing foreign changes', () => {
  fc.assert(
    fc.property(worldArbitrary, ({ owners: claims, routes: found, replaces, failing }) => {
      const nodes = claims.map(([third, address], at) =>
        node(`n${at}`, { podCIDRs: [`10.120.${third}.0/24`], addresses: address === '' ? [] : [address] }),
      );
      let routes: readonly Route[] = found.map(({ third, length, nextHop, table, foreign, blackhole }, at) => ({
        id: `r${at}`,
        node: '',
        destination: cidr(`10.120.${third}.0/${length}`),
        nextHop,
        table,
        ...(foreign ? { foreign } : {}),
        ...(blackhole ? { blackhole } : {}),
      }));
      const isOthers = ({ foreign, table }: Route) => foreign === true || table === 'old';
      const before = routes.filter(isOthers);
      const tables = ['t1', 't2'];
      let count = 0;
      for (const pass of [1, 2]) {
        for (const chain of diff({ nodes, routes, tables, replaces }).chains) {
          for (const action of chain) {
            count += 1;
            if (pass === 1 && failing.includes(count)) break; // the rest of this chain waits; others go on
            routes = applied(routes, action);
          }
        }
      }
      const end = diff({ nodes, routes, tables, replaces });
      assert.deepEqual(end.chains, []);
      assert.deepEqual(routes.filter(isOthers), before);
      // Of nodes with one pod CIDR the first has it; one without an address cannot have a route.
      const owners = new Map(
        [...nodes].reverse().map((each) => [each.spec.podCIDRs?.[0], each.status?.addresses?.[0]]),
      );
      const isHopless = [...owners.values()].includes(undefined);
      assert.equal(end.done, end.blockers.length === 0 && !isHopless);
      for (const each of routes.filter((one) => !isOthers(one))) {
        assert.ok(owners.has(each.destination), each.destination);
        const address = owners.get(each.destination)?.address;
        if (address !== undefined) assert.equal(each.nextHop, address);
      }
    }),
  );
});
