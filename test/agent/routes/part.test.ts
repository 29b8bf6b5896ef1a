import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { AgentContext, CleanupContext } from '../../../src/agent/part.ts';
import { cleanup, create } from '../../../src/agent/routes/part.ts';
import { failure } from '../../../src/core/errors.ts';
import type { Node } from '../../../src/core/objects.ts';
import { HOST_ROUTE_PROTOCOL } from '../../../src/core/route/host.ts';
import { createStore } from '../../../src/kube/store.ts';
import { createMetrics } from '../../../src/obs/metrics.ts';
import { node } from '../../core/route/fixture.ts';
import { createVirtualClock } from '../../fake/clock.ts';
import { connected, createRouteKernel, link, record } from '../../fake/routes.ts';

const n1 = node('n1', { podCIDRs: ['10.64.1.0/24'], addresses: ['10.0.0.1'] });
const n2 = node('n2', { podCIDRs: ['10.64.2.0/24'], addresses: ['10.0.0.2'] });
const HOLE = 'blackhole 10.64.1.0/24 proto 103 metric 4294967295';
const WAY = '10.64.2.0/24 via 10.0.0.2 dev eth0 proto 103';
const LAN = '10.0.0.0/24 dev eth0 proto 2';

interface Line {
  readonly level: string;
  readonly message: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

/** The part on a kernel, a store and a clock of the test; it has not been started yet. */
async function world(
  t: TestContext,
  { events = true, nodes = [n1, n2] }: { events?: boolean; nodes?: readonly Node[] } = {},
) {
  const sysctlRoot = await mkdtemp(join(tmpdir(), 'fairlead-routes-'));
  t.after(() => rm(sysctlRoot, { recursive: true }));
  for (const [name, value] of Object.entries({
    'net/ipv4/ip_forward': '0',
    'net/ipv6/conf/all/forwarding': '0',
    'net/ipv6/conf/default/accept_ra': '0',
    'net/ipv6/conf/eth0/accept_ra': '1',
    'net/ipv6/conf/fl1/accept_ra': '1',
  })) {
    await mkdir(join(sysctlRoot, name, '..'), { recursive: true });
    await writeFile(join(sysctlRoot, name), `${value}\n`);
  }
  const clock = createVirtualClock();
  const links = [link(1, 'lo', { loopback: true }), link(2, 'eth0'), link(9, 'fl1', { type: 'veth' })];
  const kernel = createRouteKernel({
    links,
    routes: [connected('10.0.0.0/24', 2), record('::/0', { via: 'fe80::1', link: 2, protocol: 9 })],
    events,
  });
  const store = createStore<Node>();
  store.replace(nodes);
  const lines: Line[] = [];
  const write =
    (level: string) =>
    (fields: object, message: string): void =>
      void lines.push({ level, message, fields: fields as Line['fields'] });
  const log = { debug: write('debug'), info: write('info'), warn: write('warn'), error: write('error') };
  const metrics = createMetrics();
  const context = {
    nodeName: 'n1',
    clock,
    log,
    metrics,
    sysctlRoot,
    nodes: (which: string) => {
      assert.equal(which, 'all');
      return store;
    },
    routes: async () => kernel,
  } as Partial<AgentContext> as AgentContext;
  const part = await create(context);
  const ended = new AbortController();
  /** Runs it until the first look is done; real files are written on the way. */
  async function start(): Promise<void> {
    running = part.run(ended.signal);
    running.catch(() => {});
    const endMs = Date.now() + 5000;
    while (kernel.readings < 2 && Date.now() < endMs) await new Promise((resolve) => setTimeout(resolve, 1));
    await clock.settle();
  }
  let running: Promise<void> = Promise.resolve();
  t.after(async () => {
    ended.abort();
    await running.catch(() => {});
  });
  const ipv4 = (): readonly string[] => kernel.text().filter((line) => !line.includes(':'));
  const warnings = (): readonly string[] => lines.filter(({ level }) => level === 'warn').map(({ message }) => message);
  return {
    kernel,
    store,
    clock,
    part,
    start,
    lines,
    warnings,
    ipv4,
    sysctlRoot,
    metrics,
    log,
    end: () => ended.abort(),
    running: () => running,
  };
}

test('the first look writes all routes, turns forwarding on, and then the part is ready', async (t) => {
  const w = await world(t);
  assert.equal(w.part.ready(), 'the routes have not been written yet');
  await w.start();
  assert.deepEqual(w.ipv4(), [LAN, WAY, HOLE]);
  assert.equal(w.part.ready(), undefined);
  const setting = async (name: string): Promise<string> => (await readFile(join(w.sysctlRoot, name), 'utf8')).trim();
  assert.equal(await setting('net/ipv4/ip_forward'), '1');
  assert.equal(await setting('net/ipv6/conf/all/forwarding'), '1');
  assert.equal(await setting('net/ipv6/conf/eth0/accept_ra'), '2', 'its router is not forgotten');
  assert.equal(await setting('net/ipv6/conf/fl1/accept_ra'), '1', 'a pod does not become a router');
  const text = await w.metrics.text();
  assert.match(text, /^fairlead_host_routes 2$/m);
  assert.match(text, /^fairlead_host_route_changes_total\{kind="addRoute",outcome="ok"\} 2$/m);
});

test('a lost route is back within 100 ms, and the repair causes no further look', async (t) => {
  const w = await world(t);
  await w.start();
  const { readings } = w.kernel;
  w.kernel.drop(({ protocol }) => protocol === HOST_ROUTE_PROTOCOL);
  assert.deepEqual(w.ipv4(), [LAN]);
  await w.clock.advance(99);
  assert.deepEqual(w.ipv4(), [LAN, WAY, HOLE]);
  await w.clock.advance(10_000);
  assert.equal(w.kernel.readings, readings + 1);
});

test('routes that go without a word, as with their link, are back when the link is', async (t) => {
  const w = await world(t);
  await w.start();
  w.kernel.lose(({ link: index }) => index === 2);
  w.kernel.tell({ kind: 'link', gone: false, link: link(2, 'eth0', { up: false }) });
  await w.clock.advance(99);
  assert.deepEqual(w.ipv4(), [HOLE]);
  assert.deepEqual(w.warnings(), ['no host route']);
  w.kernel.add(connected('10.0.0.0/24', 2));
  await w.clock.advance(99);
  assert.deepEqual(w.ipv4(), [LAN, WAY, HOLE]);
});

test('events about pods cost no look, and an audit finds what no event told', async (t) => {
  const w = await world(t);
  await w.start();
  const { readings } = w.kernel;
  for (let pod = 2; pod < 200; pod += 1) w.kernel.add(record(`10.64.1.${pod}/32`, { link: 9 }));
  await w.clock.advance(1000);
  assert.equal(w.kernel.readings, readings);
  w.kernel.lose(({ protocol }) => protocol === HOST_ROUTE_PROTOCOL);
  await w.clock.advance(60_000);
  assert.ok(w.ipv4().includes(WAY));
});

test('without events everything is looked at every second', async (t) => {
  const w = await world(t, { events: false });
  await w.start();
  w.kernel.drop(({ protocol }) => protocol === HOST_ROUTE_PROTOCOL);
  await w.clock.advance(1100);
  assert.deepEqual(w.ipv4(), [LAN, WAY, HOLE]);
});

test('nodes that come, move, change and go are followed; a heartbeat costs nothing', async (t) => {
  const w = await world(t);
  await w.start();
  const put = async (changed: Node, resourceVersion: string): Promise<void> => {
    w.store.set({ ...changed, metadata: { ...changed.metadata, resourceVersion } });
    await w.clock.advance(99);
  };
  const { readings } = w.kernel;
  await put(n2, '2');
  assert.equal(w.kernel.readings, readings);
  await put(node('n2', { podCIDRs: ['10.64.2.0/24'], addresses: ['10.0.0.22'] }), '3');
  assert.deepEqual(w.ipv4(), [LAN, '10.64.2.0/24 via 10.0.0.22 dev eth0 proto 103', HOLE]);
  await put(node('n3', { podCIDRs: ['10.64.3.0/24'], addresses: ['10.0.0.3'] }), '4');
  assert.equal(w.ipv4().length, 4);
  w.store.remove('n2');
  await w.clock.advance(99);
  assert.deepEqual(w.ipv4(), [LAN, '10.64.3.0/24 via 10.0.0.3 dev eth0 proto 103', HOLE]);
  w.store.remove('n1');
  await w.clock.advance(99);
  assert.ok(w.ipv4().includes(HOLE), 'pods may still be there');
  await put(node('n1', { uid: 'new', podCIDRs: ['10.64.9.0/24'], addresses: ['10.0.0.1'] }), '5');
  assert.deepEqual(w.ipv4(), [
    LAN,
    '10.64.3.0/24 via 10.0.0.3 dev eth0 proto 103',
    'blackhole 10.64.9.0/24 proto 103 metric 4294967295',
  ]);
});

test('a route that somebody put in the place of ours is told once and left, and ours is back when it goes', async (t) => {
  const w = await world(t);
  await w.start();
  const foreign = record('10.64.2.0/24', { via: '10.0.0.77', link: 2, protocol: 3 });
  w.kernel.lose(({ destination }) => destination === foreign.destination); // ip route replace is one event
  w.kernel.add(foreign);
  await w.clock.advance(5000);
  assert.deepEqual(w.ipv4(), [LAN, '10.64.2.0/24 via 10.0.0.77 dev eth0 proto 3', HOLE]);
  assert.deepEqual(w.warnings(), ['no host route']);
  assert.match(String(w.lines.at(-1)?.fields['reason']), /leads to 10\.0\.0\.77 over eth0; the node has 10\.0\.0\.2/);
  w.kernel.drop(({ protocol }) => protocol === 3);
  await w.clock.advance(99);
  assert.ok(w.ipv4().includes(WAY));
});

test('what the kernel refuses is told with its errno, shown by ready, and tried again', async (t) => {
  const w = await world(t);
  w.kernel.refuse('10.64.2.0/24', 113);
  await w.start();
  assert.equal(w.part.ready(), '1 host routes could not be written');
  const told = w.lines.find(({ message }) => message === 'host route not changed');
  assert.equal(told?.fields['errno'], 113);
  w.kernel.refuse('10.64.2.0/24', 0);
  await w.clock.advance(1100);
  assert.equal(w.part.ready(), undefined);
  assert.ok(w.ipv4().includes(WAY));
});

test('a channel that fails is asked again; one that may not write ends the part', async (t) => {
  const w = await world(t);
  w.kernel.fail(failure('FL_NETLINK_LOST', 'no answer'));
  await w.start();
  assert.deepEqual(w.warnings(), ['host routes could not be read or written; trying again']);
  await w.clock.advance(1100);
  assert.ok(w.ipv4().includes(WAY));
  w.kernel.fail(failure('FL_NET_ADMIN', 'no CAP_NET_ADMIN'));
  w.kernel.drop(({ protocol }) => protocol === HOST_ROUTE_PROTOCOL);
  await w.clock.advance(99);
  await assert.rejects(w.running(), { code: 'FL_NET_ADMIN' });
});

test('somebody who undoes each repair is told of once and met once a second, not in a race', async (t) => {
  const w = await world(t);
  await w.start();
  const end = w.kernel.events((event) => {
    if (event.kind !== 'route' || event.gone || event.route.protocol !== HOST_ROUTE_PROTOCOL) return;
    setImmediate(() => w.kernel.drop((route) => route === event.route));
  });
  w.kernel.drop(({ protocol }) => protocol === HOST_ROUTE_PROTOCOL);
  await w.clock.advance(5000);
  const { readings } = w.kernel;
  await w.clock.advance(10_000);
  assert.ok(w.kernel.readings - readings <= 11, `${w.kernel.readings - readings} looks in 10 s`);
  assert.equal(w.warnings().length, 1);
  end?.();
  await w.clock.advance(2000);
  assert.deepEqual(w.ipv4(), [LAN, WAY, HOLE]);
});

test('the end of the part leaves the routes; cleanup takes them away, and nothing else', async (t) => {
  const w = await world(t);
  await w.start();
  w.end();
  await w.running();
  assert.deepEqual(w.ipv4(), [LAN, WAY, HOLE]);
  const context = { log: w.log, routes: async () => w.kernel } as Partial<CleanupContext> as CleanupContext;
  await cleanup(context);
  assert.deepEqual(w.ipv4(), [LAN]);
  await cleanup(context);
});
