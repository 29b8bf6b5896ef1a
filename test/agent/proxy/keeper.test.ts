import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { FamilyTable, type TableWatcher } from '../../../src/agent/proxy/family-table.ts';
import { createKeeper } from '../../../src/agent/proxy/keeper.ts';
import { createBatchLoader } from '../../../src/agent/proxy/loader.ts';
import { isProviderError } from '../../../src/core/errors.ts';
import type { EndpointSlice, Service } from '../../../src/core/objects.ts';
import type { Cidr } from '../../../src/core/provider.ts';
import { createPlanner } from '../../../src/core/proxy/planner.ts';
import { keyText } from '../../../src/core/proxy/schema.ts';
import { createSnapshot } from '../../../src/core/proxy/snapshot.ts';
import { createVirtualClock, type VirtualClock } from '../../fake/clock.ts';
import { createFakeNft, type FakeNft } from '../../fake/nft.ts';

const snapshot = createSnapshot({
  nodeName: 'n1',
  primaryAddresses: ['192.0.2.1'],
  addresses: ['192.0.2.1'],
  nodePortAddresses: 'primary',
});
const meta = (name: string) => ({
  name,
  namespace: 'web',
  uid: name,
  resourceVersion: '1',
  creationTimestamp: '2026-11-20T00:00:00Z',
});

/** Service `web/sI` at 172.30.0.I:80 with these endpoints. */
function modelOf(index: number, ...endpoints: readonly string[]) {
  const service: Service = {
    metadata: meta(`s${index}`),
    spec: {
      clusterIP: vip(index),
      clusterIPs: [vip(index)],
      ipFamilies: ['IPv4'],
      ports: [{ protocol: 'TCP', port: 80 }],
    },
  };
  const slice: EndpointSlice = {
    metadata: meta(`s${index}-a`),
    addressType: 'IPv4',
    ports: [{ name: '', protocol: 'TCP', port: 8080 }],
    endpoints: endpoints.map((address) => ({ addresses: [address], nodeName: 'n1' })),
  };
  return snapshot.service(service, [slice]);
}
const vip = (index: number): string => `172.30.${index >> 8}.${index & 255}`;

interface Setup {
  readonly nft: FakeNft;
  readonly clock: VirtualClock;
  readonly keeper: ReturnType<typeof createKeeper>;
  readonly told: string[];
  readonly stop: () => Promise<void>;
  readonly ended: Promise<unknown>;
  /** Asks for Services of one endpoint, or none, in one commit. */
  readonly ask: (changes: Readonly<Record<number, readonly string[] | undefined>>) => void;
  readonly advance: (ms: number) => Promise<void>;
}

function setUp(
  t: TestContext,
  {
    nft = createFakeNft(),
    owners = [],
    chunk = 2000,
  }: { nft?: FakeNft; owners?: readonly string[]; chunk?: number } = {},
): Setup {
  const clock = createVirtualClock();
  const log = {
    debug() {},
    info() {},
    warn() {},
    error: (fields: object, message: string) =>
      void told.push(`error ${message}: ${(fields as { err?: Error }).err?.stack}`),
  };
  const told: string[] = [];
  const watcher: TableWatcher = {
    synced: (family, _seconds, full) => void told.push(`${family} synced${full ? ' full' : ''}`),
    transaction: (family, outcome) => void (outcome !== 'ok' && told.push(`${family} ${outcome}`)),
    refused: (family, { element }, { errno }) =>
      void told.push(
        `${family} refused ${element.set} ${keyText(element.set as 'services', element.key, family)} ${errno}`,
      ),
    reloaded: (family, reason) => void told.push(`${family} reloaded ${reason}`),
    repaired: (family, elements) => void told.push(`${family} repaired ${elements}`),
    flows: () => {},
    conflicted: () => {},
  };
  const loader = createBatchLoader(nft.load);
  const tables = (['ip', 'ip6'] as const).map(
    (family) =>
      new FamilyTable({
        planner: createPlanner({ family, firstId: 1000 }),
        channel: nft,
        load: loader.load,
        rules: { masqueradeAll: false, masqueradePods: false, detectLocal: { by: 'cidr' } },
        clock,
        log,
        watcher,
        chunk,
      }),
  );
  const keeper = createKeeper({
    tables,
    channel: nft,
    loads: loader.transactions,
    owners,
    minPeriodMs: 100,
    clock,
    log,
  });
  const life = new AbortController();
  const ended = keeper.run(life.signal).then(
    () => undefined,
    (error: unknown) => error,
  );
  const stop = async (): Promise<void> => {
    life.abort(new Error('the test is over'));
    await ended;
  };
  t.after(stop);
  if (owners.length === 0) for (const table of tables) table.complete();
  return {
    nft,
    clock,
    keeper,
    told,
    stop,
    ended,
    ask(changes) {
      for (const [index, endpoints] of Object.entries(changes))
        keeper.change(`web/s${index}`, endpoints === undefined ? undefined : modelOf(Number(index), ...endpoints));
      keeper.commit();
    },
    advance: (ms) => clock.advance(ms),
  };
}

/** Commits that were tried in a family, as sizes. */
const sizes = ({ nft }: Setup, family = 'ip'): readonly number[] =>
  nft.tried.filter((one) => one.family === family).map(({ changes }) => changes.length);

/** Everything in both tables. */
const all = (nft: FakeNft): readonly string[] => [...nft.text('ip'), ...nft.text('ip6')];

/** What the tables hold after a fresh start with these Services. */
async function fresh(
  t: TestContext,
  services: Readonly<Record<number, readonly string[]>>,
): Promise<readonly string[]> {
  const other = setUp(t);
  other.ask(services);
  await other.advance(2000);
  return all(other.nft);
}

test('the first change is in the kernel before the call returns, the next ones at most every 100 ms', async (t) => {
  const s = setUp(t);
  await s.advance(1000);
  const before = sizes(s).length;
  s.ask({ 1: ['10.0.0.1'] });
  assert.equal(sizes(s).length, before + 1, 'at once');
  await s.advance(1);
  for (let index = 2; index < 60; index += 1) {
    s.ask({ [index]: ['10.0.0.1'] });
    await s.advance(10);
  }
  const paced = sizes(s).length - before - 1;
  assert.ok(paced >= 5 && paced <= 6, `${paced} commits in 580 ms`);
  await s.advance(100);
  assert.equal(s.nft.elements('ip', 'services').length, 59);
});

test('changes that come while one is being written are one commit, and wait for the pace', async (t) => {
  const s = setUp(t);
  await s.advance(1000);
  const before = sizes(s).length;
  // As the lines of a watch do: each in a microtask of its own, between those of the commit.
  for (let index = 1; index <= 20; index += 1) {
    s.ask({ [index]: ['10.0.0.1'] });
    await undefined;
  }
  await s.advance(99);
  assert.equal(sizes(s).length, before + 1);
  await s.advance(1);
  assert.equal(sizes(s).length, before + 2);
  assert.equal(s.nft.elements('ip', 'services').length, 20);
});

test('the order of a start: rules, then slots before counts, then nothing more', async (t) => {
  const s = setUp(t);
  s.ask({ 1: ['10.0.0.1', '10.0.0.2'], 2: ['10.0.0.3'] });
  await s.advance(2000);
  assert.deepEqual(
    s.told.filter((one) => one.includes('reloaded')),
    ['ip reloaded start', 'ip6 reloaded start'],
  );
  assert.equal(s.nft.elements('ip', 'endpoints').length, 3);
  const commits = sizes(s).length;
  await s.advance(60_000);
  assert.equal(sizes(s).length, commits);
});

test('a new count has its chain before the element that uses it, also when that is refused at first', async (t) => {
  const s = setUp(t);
  await s.advance(1000);
  s.ask({ 1: ['10.0.0.1', '10.0.0.2', '10.0.0.3', '10.0.0.4', '10.0.0.5'] });
  await s.advance(10);
  assert.equal(s.nft.rules('ip', 'lb-5')?.length, 1);
  assert.equal(s.nft.elements('ip', 'services').length, 1);
});

test('a removed endpoint keeps its last slot for at least 50 ms, and not for long', async (t) => {
  const s = setUp(t);
  s.ask({ 1: ['10.0.0.1', '10.0.0.2'] });
  await s.advance(2000);
  s.ask({ 1: ['10.0.0.2'] });
  await s.advance(49);
  assert.equal(s.nft.elements('ip', 'endpoints').length, 2);
  await s.advance(600);
  assert.equal(s.nft.elements('ip', 'endpoints').length, 1);
  assert.deepEqual(all(s.nft), await fresh(t, { 1: ['10.0.0.2'] }));
});

test('the removal goes with the next change, which it does not put off', async (t) => {
  const s = setUp(t);
  s.ask({ 1: ['10.0.0.1', '10.0.0.2'] });
  await s.advance(2000);
  s.ask({ 1: ['10.0.0.2'] });
  await s.advance(200);
  const before = sizes(s).length;
  s.ask({ 2: ['10.0.0.9'] });
  assert.equal(sizes(s).length, before + 1);
  await s.advance(1);
  assert.equal(s.nft.elements('ip', 'endpoints').length, 2, 'the old slot is gone, the new one there');
});

test('nobody writes while somebody reads, for one second at most', async (t) => {
  const s = setUp(t);
  await s.advance(1000);
  s.keeper.hold(60_000);
  const before = sizes(s).length;
  s.ask({ 1: ['10.0.0.1'] });
  await s.advance(999);
  assert.equal(sizes(s).length, before);
  await s.advance(2);
  assert.equal(sizes(s).length, before + 1);
});

test('a restart writes nothing when nothing changed, and else the difference', async (t) => {
  const first = setUp(t);
  first.ask({ 1: ['10.0.0.1', '10.0.0.2'], 2: ['10.0.0.3'], 3: ['10.0.0.4'] });
  await first.advance(3000);
  await first.stop();
  const { nft } = first;
  const loads = nft.loads();
  const tried = nft.tried.length;
  const same = setUp(t, { nft });
  same.ask({ 1: ['10.0.0.1', '10.0.0.2'], 2: ['10.0.0.3'], 3: ['10.0.0.4'] });
  await same.advance(3000);
  await same.stop();
  assert.equal(nft.loads(), loads, 'rules');
  assert.equal(nft.tried.slice(tried).flatMap(({ changes }) => changes).length, 0, 'elements');
  const other = setUp(t, { nft });
  other.ask({ 1: ['10.0.0.1', '10.0.0.2'], 2: ['10.0.0.7'] });
  await other.advance(3000);
  assert.ok(nft.tried.slice(tried).flatMap(({ changes }) => changes).length < 12);
  assert.deepEqual(all(nft), await fresh(t, { 1: ['10.0.0.1', '10.0.0.2'], 2: ['10.0.0.7'] }));
});

for (const { name, listing } of [
  { name: 'names a chain twice', listing: (chains: readonly string[]) => [...chains, ...chains] },
  { name: 'names a chain that is gone by now', listing: (chains: readonly string[]) => [...chains, 'gone'] },
]) {
  test(`a listing of chains that ${name}: the rules are loaded, and no element is lost`, async (t) => {
    const first = setUp(t);
    first.ask({ 1: ['10.0.0.1', '10.0.0.2'] });
    await first.advance(2000);
    await first.stop();
    await first.nft.load('add chain ip fairlead foreign\n');
    const before = first.nft.tried.length;
    let isFirst = true;
    const nft: FakeNft = Object.assign(Object.create(first.nft) as FakeNft, {
      async chains(family: 'ip' | 'ip6') {
        const chains = await first.nft.chains(family);
        if (family !== 'ip' || chains === undefined || !isFirst) return chains;
        isFirst = false;
        return listing(chains);
      },
    });
    const second = setUp(t, { nft });
    second.ask({ 1: ['10.0.0.1', '10.0.0.2'] });
    await second.advance(2000);
    assert.ok(second.told.includes('ip reloaded start'));
    assert.deepEqual(first.nft.tried.slice(before), []);
    assert.equal(first.nft.rules('ip', 'foreign'), undefined);
  });
}

test('what another owner left stays until all owners have said what they want', async (t) => {
  const first = setUp(t);
  first.ask({ 1: ['10.0.0.1'], 2: ['10.0.0.2'] });
  await first.advance(3000);
  await first.stop();
  const s = setUp(t, { nft: first.nft, owners: ['proxy', 'cni'] });
  s.ask({ 1: ['10.0.0.1'] });
  s.keeper.done('proxy');
  await s.advance(3000);
  assert.equal(s.nft.elements('ip', 'services').length, 2);
  assert.equal(s.keeper.synced, false);
  s.keeper.done('cni');
  await s.advance(1000);
  assert.equal(s.nft.elements('ip', 'services').length, 1);
  assert.equal(s.keeper.synced, true);
});

const damages: readonly { name: string; damage: (nft: FakeNft) => void; says: RegExp }[] = [
  { name: 'flushes the ruleset', damage: (nft) => nft.flush(), says: /reloaded flushed/ },
  {
    name: 'removes elements',
    damage: (nft) =>
      nft.edit(
        'ip',
        nft.elements('ip', 'services').map((element) => ({ op: 'delete', element })),
      ),
    says: /ip repaired 2/,
  },
  {
    name: 'adds an element',
    damage: (nft) => {
      const [known] = nft.elements('ip', 'cluster-ips');
      assert.ok(known !== undefined);
      nft.edit('ip', [{ op: 'add', element: { ...known, key: '\x01\x02\x03\x04' } }]);
    },
    says: /ip repaired 1/,
  },
  {
    name: 'empties a chain',
    damage: (nft) => nft.editText('flush chain ip fairlead lb-1\n'),
    says: /ip reloaded rules/,
  },
  {
    name: 'removes one family',
    damage: (nft) => nft.editText('delete table ip6 fairlead\n'),
    says: /ip6 reloaded flushed/,
  },
];
for (const { name, damage, says } of damages) {
  test(`somebody ${name}: within 2 s it is as it was, and told`, async (t) => {
    const services = { 1: ['10.0.0.1'], 2: ['10.0.0.2', '10.0.0.3'] };
    const s = setUp(t);
    s.ask(services);
    await s.advance(5000);
    const [before, rules] = [all(s.nft), s.nft.rules('ip', 'lb-1')];
    s.told.length = 0;
    damage(s.nft);
    await s.advance(1500);
    assert.deepEqual(all(s.nft), before);
    assert.deepEqual(s.nft.rules('ip', 'lb-1'), rules);
    assert.match(s.told.join('\n'), says);
  });
}

test('our own commits and texts are not taken for somebody else', async (t) => {
  const s = setUp(t);
  await s.advance(3000);
  s.told.length = 0;
  const dumps = s.nft.dumped.length;
  for (let index = 1; index < 20; index += 1) {
    s.ask({ [index]: Array.from({ length: index }, (_, at) => `10.0.${index}.${at + 1}`) });
    await s.advance(700);
  }
  assert.equal(s.nft.dumped.length, dumps);
  assert.equal(
    s.told.some((one) => /repaired|reloaded/.test(one)),
    false,
  );
});

test('a flushed table is noticed by the next change and loaded within a second', async (t) => {
  const s = setUp(t);
  s.ask({ 1: ['10.0.0.1'] });
  await s.advance(1100);
  s.nft.flush();
  s.ask({ 2: ['10.0.0.2'] });
  await s.advance(100);
  assert.deepEqual(all(s.nft), await fresh(t, { 1: ['10.0.0.1'], 2: ['10.0.0.2'] }));
});

for (const hidden of [false, true]) {
  test(`a refused element is left out and told, the rest is served (${hidden ? 'by halves' : 'named by the kernel'})`, async (t) => {
    const s = setUp(t);
    await s.advance(1000);
    s.nft.hideGuilty(hidden);
    s.nft.refuse(({ set, key }) => (set === 'endpoints' && key.startsWith('\xac\x1e\x00\x02') ? 22 : undefined));
    s.ask({ 1: ['10.0.0.1'], 2: ['10.0.0.2'], 3: ['10.0.0.3'] });
    await s.advance(1000);
    assert.deepEqual(
      s.told.filter((one) => one.includes(' refused ')),
      ['ip refused endpoints 172.30.0.2 . tcp . 80 . 0:0 22'],
    );
    assert.equal(s.nft.elements('ip', 'endpoints').length, 2);
    assert.equal(s.nft.elements('ip', 'services').length, 3);
  });
}

for (const done of [true, false]) {
  test(`an answer that is lost ${done ? 'after' : 'before'} the kernel acted: the table is read, and right`, async (t) => {
    const s = setUp(t);
    await s.advance(1000);
    s.nft.fault({ kind: 'lost', done });
    s.ask({ 1: ['10.0.0.1', '10.0.0.2'] });
    await s.advance(1000);

    assert.deepEqual(all(s.nft), await fresh(t, { 1: ['10.0.0.1', '10.0.0.2'] }));
  });
}

test('no memory in the kernel: tried again later, and nothing is left out', async (t) => {
  const s = setUp(t);
  await s.advance(1000);
  s.nft.fault(...Array.from({ length: 5 }, () => ({ kind: 'refused' as const, errno: 12 })));
  s.ask({ 1: ['10.0.0.1'] });
  await s.advance(20_000);
  assert.equal(
    s.told.some((one) => one.includes(' refused ')),
    false,
  );
  assert.deepEqual(all(s.nft), await fresh(t, { 1: ['10.0.0.1'] }));
});

test('elements that the kernel has and we do not know are met once and put right', async (t) => {
  const s = setUp(t);
  s.ask({ 1: ['10.0.0.1'] });
  await s.advance(1100);
  const [element] = s.nft.elements('ip', 'services');
  assert.ok(element !== undefined);
  s.nft.edit('ip', [{ op: 'delete', element }]);
  s.ask({ 1: ['10.0.0.1', '10.0.0.2'] });
  await s.advance(100);
  console.error(s.told);
  assert.deepEqual(all(s.nft), await fresh(t, { 1: ['10.0.0.1', '10.0.0.2'] }));
});

test('without rights the run ends at once, with the capability in the message', async (t) => {
  const s = setUp(t);
  await s.advance(1000);
  s.nft.fault({ kind: 'refused', errno: 1 });
  s.ask({ 1: ['10.0.0.1'] });
  await s.clock.settle();
  const error = await s.ended;
  assert.ok(isProviderError(error));
  assert.equal(error.code, 'FL_NET_ADMIN');
});

test('many Services are written in pieces, with the same result', async (t) => {
  const services = Object.fromEntries(Array.from({ length: 100 }, (_, at) => [at + 1, ['10.0.0.1', '10.0.0.2']]));
  const s = setUp(t, { chunk: 7 });
  s.ask(services);
  s.keeper.ranges('svc-cidrs', ['172.30.0.0/16' as Cidr]);
  s.keeper.commit();
  await s.advance(3000);
  assert.ok(Math.max(...sizes(s)) < 7 * 6);
  assert.equal(s.nft.elements('ip', 'services').length, 100);
  const { nft } = s;
  await s.stop();
  const tried = nft.tried.length;
  const again = setUp(t, { nft, chunk: 7 });
  again.ask(services);
  again.keeper.ranges('svc-cidrs', ['172.30.0.0/16' as Cidr]);
  await again.advance(3000);
  assert.equal(nft.tried.slice(tried).flatMap(({ changes }) => changes).length, 0);
});

test('whoever waits is told when what it asked for is in the kernel', async (t) => {
  const s = setUp(t);
  await s.advance(1000);
  s.keeper.hold(500);
  s.ask({ 1: ['10.0.0.1'] });
  let done = false;
  const waiting = s.keeper.written(new AbortController().signal).then(() => {
    done = true;
  });
  await s.advance(400);
  assert.equal(done, false);
  await s.advance(200);
  await waiting;
  assert.equal(s.nft.elements('ip', 'services').length, 1);
});
