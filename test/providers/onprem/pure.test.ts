import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Changes, isNewer, patchOf, sameEntry, storedOf } from '../../../providers/onprem/blocks.ts';
import { createBook, handOut, perhapsPublished, seePublished } from '../../../providers/onprem/book.ts';
import { lbClassOf, type Pod } from '../../../providers/onprem/detect.ts';
import { diff, type Observed } from '../../../providers/onprem/diff.ts';
import { judge } from '../../../providers/onprem/guard.ts';
import { blockOf } from '../../../providers/onprem/names.ts';
import { progress } from '../../../providers/onprem/progress.ts';
import { createAllocator } from '../../../src/core/ipam/allocator.ts';
import type { Entry } from '../../../src/core/ipam/entry.ts';
import { type IPAddressPool, poolsOf } from '../../../src/core/ipam/pools.ts';
import type { AddressRequest } from '../../../src/core/ipam/request.ts';

const blocks: readonly (readonly [address: string, name: string, cidr: string])[] = [
  ['10.77.0.200', '10.77.0.0-24', '10.77.0.0/24'],
  ['0.0.0.0', '0.0.0.0-24', '0.0.0.0/24'],
  ['255.255.255.255', '255.255.255.0-24', '255.255.255.0/24'],
  ['2001:db8::1', '2001-0db8-0000-0000-0000-0000-0000-0000-120', '2001:db8::/120'],
  ['2001:db8::1ff', '2001-0db8-0000-0000-0000-0000-0000-0100-120', '2001:db8::100/120'],
];
for (const [address, name, cidr] of blocks)
  test(`${address} is in block ${name}`, () => assert.deepEqual(blockOf(address), { name, cidr }));

test('what is no address has no block', () => assert.throws(() => blockOf('10.77.0.300'), TypeError));

const user = { namespace: 'web', name: 'a', uid: 'u', ports: ['TCP/80'], sharingKey: '', backendKey: '' };
const entry: Entry = { pool: 'one', users: [user] };
const stored = storedOf({
  metadata: { name: '10.77.0.0-24', uid: 'block', resourceVersion: '7' },
  spec: { cidr: '10.77.0.0/24', addresses: { '10.77.0.1': entry, '10.77.0.2': entry } },
});
const patches: readonly { name: string; changes: Changes; expected: object }[] = [
  {
    name: 'a change names its addresses only, and is guarded',
    changes: new Map([['10.77.0.3', entry]]),
    expected: {
      metadata: { uid: 'block', resourceVersion: '7' },
      spec: { addresses: { '10.77.0.3': { pool: 'one', users: [user], retained: null } } },
    },
  },
  {
    name: 'an address that nobody has any more goes',
    changes: new Map([['10.77.0.1', undefined]]),
    expected: { metadata: { uid: 'block', resourceVersion: '7' }, spec: { addresses: { '10.77.0.1': null } } },
  },
  {
    name: 'what empties the block closes it',
    changes: new Map([
      ['10.77.0.1', undefined],
      ['10.77.0.2', undefined],
    ]),
    expected: {
      metadata: { uid: 'block', resourceVersion: '7', annotations: { 'fairlead.dev/closed': 'true' } },
      spec: { addresses: { '10.77.0.1': null, '10.77.0.2': null } },
    },
  },
  {
    name: 'what empties it of these but brings another does not',
    changes: new Map([
      ['10.77.0.1', undefined],
      ['10.77.0.2', undefined],
      ['10.77.0.3', entry],
    ]),
    expected: {
      metadata: { uid: 'block', resourceVersion: '7' },
      spec: { addresses: { '10.77.0.1': null, '10.77.0.2': null, '10.77.0.3': { ...entry, retained: null } } },
    },
  },
];
for (const { name, changes, expected } of patches)
  test(`block patch: ${name}`, () => assert.deepEqual(patchOf(stored, changes), expected));

test('a record without users and retained is the same as one with empty lists', () => {
  const read = storedOf({
    metadata: { name: 'x', uid: 'b', resourceVersion: '1' },
    spec: {
      cidr: '10.77.0.0/24',
      addresses: { '10.77.0.1': { pool: 'one' }, '10.77.0.2': { pool: 'one', users: [], retained: [] } },
    },
  });
  assert.ok(sameEntry(read.entries.get('10.77.0.1'), read.entries.get('10.77.0.2')));
});

test('versions compare as numbers, however long they are', () => {
  assert.equal(isNewer('10', '9'), true);
  assert.equal(isNewer('9', '10'), false);
  assert.equal(isNewer('18446744073709551616', '18446744073709551615'), true);
  assert.equal(isNewer('5', '5'), false);
});

const lbClasses: readonly (readonly [args: readonly string[], expected: string | undefined])[] = [
  [[], undefined],
  [['--port=7472'], undefined],
  [['--lb-class=metallb'], 'metallb'],
  [['-lb-class=metallb'], 'metallb'],
  [['--lb-class', 'metallb', '--port=1'], 'metallb'],
  [['--lb-class='], undefined],
  [['--not-lb-class=x'], undefined],
];
for (const [args, expected] of lbClasses)
  test(`--lb-class of ${JSON.stringify(args)} is ${expected ?? 'none'}`, () => {
    const pod = {
      metadata: { name: 'c' },
      spec: { containers: [{ args: ['--x'] }, { command: ['/controller'], args }] },
    };
    assert.equal(lbClassOf(pod as unknown as Pod), expected);
  });

const pool = (name: string, addresses: readonly string[], annotations = {}): IPAddressPool =>
  ({ metadata: { namespace: 'metallb-system', name, annotations }, spec: { addresses } }) as unknown as IPAddressPool;
const request: AddressRequest = {
  uid: 'u',
  namespace: 'web',
  name: 'a',
  labels: {},
  families: ['ipv4'],
  policy: 'SingleStack',
  addresses: [],
  count: 1,
  ports: ['TCP/80'],
  sharingKey: '',
  backendKey: '',
  fields: { addresses: 'spec.loadBalancerIP', pool: 'metallb.io/address-pool' },
  deprecated: [],
};

function observed(pools: readonly IPAddressPool[], more: Partial<Observed> = {}) {
  const allocator = createAllocator({ seed: 'test' });
  allocator.setPools(poolsOf(pools, []));
  const seen: Observed = {
    uid: 'u',
    key: 'web/a',
    view: allocator,
    isDurable: () => true,
    recorded: [],
    published: [],
    visible: new Set(),
    deleted: false,
    notes: [],
    ...more,
  };
  return { allocator, seen };
}
const told = (stages: ReturnType<typeof diff>) =>
  stages.map((stage) => stage.map(({ kind, target, reason }) => `${kind} ${target}: ${reason}`));

test('diff: nothing held', () => {
  const { seen } = observed([pool('one', ['10.77.0.0/24'])]);
  assert.deepEqual(told(diff(request, seen)), [
    ['reserve 10.77.0.0 (one): the first that is free by the order of the pools'],
    [],
  ]);
});

test('diff: a wish is named as the reason', () => {
  const { seen } = observed([pool('one', ['10.77.0.0/24'])]);
  assert.deepEqual(told(diff({ ...request, addresses: ['10.77.0.9'] }, seen))[0], [
    'reserve 10.77.0.9 (one): asked for by spec.loadBalancerIP',
  ]);
  assert.deepEqual(told(diff({ ...request, pool: 'one' }, seen))[0], [
    'reserve 10.77.0.0 (one): from the pool that metallb.io/address-pool asks for',
  ]);
});

test('diff: held and settled, with other ports, and held but not written', () => {
  const { allocator, seen } = observed([pool('one', ['10.77.0.0/24'])]);
  allocator.take(request);
  assert.deepEqual(told(diff(request, seen)), [[], []]);
  assert.deepEqual(told(diff({ ...request, ports: ['TCP/81'] }, seen))[0], [
    'extend 10.77.0.0 (one): its ports, keys or pool changed',
  ]);
  assert.deepEqual(told(diff(request, { ...seen, isDurable: () => false }))[0], [
    'reserve 10.77.0.0 (one): held, and not in its block yet',
  ]);
});

test('diff: a removal gives up what memory and blocks know, and keeps it only for a Service that is gone', () => {
  const { allocator, seen } = observed([pool('one', ['10.77.0.0/24'])]);
  allocator.take(request);
  const [stage] = diff(undefined, { ...seen, recorded: ['10.77.0.7'] });
  assert.deepEqual(
    stage?.map(({ addresses, retain, reason }) => [addresses, retain, reason]),
    [
      [['10.77.0.0'], undefined, 'Service web/a is no load balancer any more'],
      [['10.77.0.7'], undefined, 'Service web/a is no load balancer any more'],
    ],
  );
  assert.equal(diff(undefined, { ...seen, deleted: true })[0]?.[0]?.retain, true);
});

test('diff: with nothing to hold it fails; what is published then is a lie', () => {
  const { seen } = observed([]);
  assert.throws(() => diff(request, seen), { code: 'FL_POOL_MISSING', kind: 'quota', exists: undefined });
  assert.throws(() => diff(request, { ...seen, visible: new Set(['10.77.0.0']) }), {
    code: 'FL_POOL_MISSING',
    exists: false,
  });
});

test('progress: pending until every address is in its block', () => {
  const { allocator, seen } = observed([pool('one', ['10.77.0.0/24'])]);
  allocator.take(request);
  assert.equal(progress(request, { ...seen, isDurable: () => false }).state, 'pending');
  assert.equal(progress(request, seen).state, 'ready');
});

test('progress: a removal is pending while a block still names the Service', () => {
  const { seen } = observed([]);
  assert.equal(progress(undefined, { ...seen, recorded: ['10.77.0.0'] }).state, 'pending');
  assert.deepEqual(progress(undefined, seen), {
    state: 'ready',
    ingress: [],
    annotations: { 'metallb.io/ip-allocated-from-pool': null, 'metallb.universe.tf/ip-allocated-from-pool': null },
  });
});

const dual: AddressRequest = { ...request, families: ['ipv4', 'ipv6'], policy: 'PreferDualStack' };
test('progress: an added family is told as additional, one that cannot be added as such, each once', () => {
  const { allocator, seen } = observed([pool('one', ['10.77.0.0/24', '2001:db8::/128'])]);
  allocator.take({ ...dual, uid: 'other', name: 'b' });
  allocator.take(dual);
  const first = progress(dual, seen);
  assert.deepEqual(
    first.events?.map(({ type, reason }) => [type, reason]),
    [
      ['Normal', 'IPAllocated'],
      ['Normal', 'AdditionalAssignFailed'],
    ],
  );
  const after = { ...seen, published: ['10.77.0.1'], told: new Set(first.events?.map(({ message }) => message)) };
  assert.equal(progress(dual, after).events, undefined);
  assert.equal(progress(dual, { ...seen, published: ['10.77.0.1'] }).events, undefined); // a restart
  allocator.release('other');
  allocator.take(dual);
  assert.deepEqual(progress(dual, after).events, [
    { type: 'Normal', reason: 'IPAllocated', message: 'Assigned additional IP ["2001:db8::"]' },
  ]);
});

test('progress: the old annotation prefix is told when something is written, and only then', () => {
  const { allocator, seen } = observed([pool('one', ['10.77.0.0/24'])]);
  const old = { ...request, deprecated: ['metallb.universe.tf/address-pool'] };
  allocator.take(old);
  assert.deepEqual(progress(old, seen).events?.at(-1), {
    type: 'Warning',
    reason: 'deprecatedAnnotation',
    message: 'annotation metallb.universe.tf/address-pool is deprecated: write metallb.io/address-pool',
  });
  assert.equal(progress(old, { ...seen, published: ['10.77.0.0'] }).events, undefined);
});

test('judge: warnings and what only is not there yet refuse nothing', () => {
  const allocator = createAllocator({ seed: 'test' });
  const how = { namespaces: [], namespace: 'metallb-system' };
  const unknown = pool('one', ['10.77.0.0/24'], { 'fairlead.dev/unknown': 'x' });
  assert.equal(judge({ ...how, objects: [unknown] }, allocator).taken, true);
  assert.equal(judge({ ...how, objects: [] }, allocator).taken, true);
  const wrong = judge({ ...how, objects: [pool('one', ['x', 'y']), pool('two', ['10.0.0.1'])] }, allocator);
  assert.deepEqual(!wrong.taken && wrong.objections.map(({ pool: name }) => name), ['one', 'one', 'two']);
});

test('what was handed out counts as published until the watch shows it or what came after it', () => {
  const book = createBook();
  const seen = (nowMs = 0) => perhapsPublished(book, 'u', nowMs);
  handOut(book, 'u', ['a'], { shown: ['a'], nowMs: 0 });
  assert.deepEqual(seen(), []); // the world sees it already
  handOut(book, 'u', ['b'], { shown: ['a'], nowMs: 0 });
  handOut(book, 'u', ['b'], { shown: ['a'], nowMs: 0 });
  handOut(book, 'u', ['c'], { shown: ['a'], nowMs: 10 });
  assert.deepEqual(seen(), ['b', 'c']);
  seePublished(book, 'u', ['a']);
  assert.deepEqual(seen(), ['b', 'c']);
  seePublished(book, 'u', ['b']);
  assert.deepEqual(seen(), ['c']);
  assert.deepEqual(seen(70_000), []); // a patch that was never made
  handOut(book, 'u', ['d'], { shown: ['a'], nowMs: 0 });
  seePublished(book, 'u', ['d']);
  assert.equal(book.handed.size, 0);
});
