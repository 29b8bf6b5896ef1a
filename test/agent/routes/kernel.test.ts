/** The routes part on the routing table of a real kernel, through each way to it. */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, type TestContext, test } from 'node:test';
import { buildNative } from '../../../src/agent/native/build.ts';
import type { ChannelKind } from '../../../src/agent/netlink/channel.ts';
import { openChannels } from '../../../src/agent/netlink/choose.ts';
import type { AgentContext, CleanupContext } from '../../../src/agent/part.ts';
import { cleanup, create } from '../../../src/agent/routes/part.ts';
import type { Node } from '../../../src/core/objects.ts';
import type { Log } from '../../../src/core/provider.ts';
import { createStore } from '../../../src/kube/store.ts';
import { createMetrics } from '../../../src/obs/metrics.ts';
import { createNetns } from '../../../src/sandbox/netns.ts';
import { systemClock } from '../../../src/work/clock.ts';
import { node } from '../../core/route/fixture.ts';
import { leaveOut } from '../../left-out.ts';
import { netnsMissing } from '../../sandbox/netns/missing.ts';

const missing = netnsMissing({ gcc: 'gcc' });
const ignore = (): void => {};
const log: Log = { debug: ignore, info: ignore, warn: ignore, error: ignore };
const PATIENCE_MS = 30_000;

const folder = await mkdtemp(join(tmpdir(), 'fairlead-routes-'));
after(() => rm(folder, { recursive: true, force: true }));
const helper = join(folder, 'fairlead-netlink');
if (missing === undefined) await buildNative({ to: helper });

const n1 = node('n1', { podCIDRs: ['10.64.1.0/24', 'fd64:1::/64'], addresses: ['10.0.0.1', 'fd00::1'] });
const n2 = node('n2', { podCIDRs: ['10.64.2.0/24', 'fd64:2::/64'], addresses: ['10.0.0.2', 'fd00::2'] });
const behind = node('n3', { podCIDRs: ['10.64.3.0/24'], addresses: ['10.9.0.3'] });

const OURS = [
  '10.64.2.0/24 via 10.0.0.2 dev eth0',
  'blackhole 10.64.1.0/24 metric 4294967295',
  'blackhole fd64:1::/64 dev lo metric 4294967295 pref medium',
  'fd64:2::/64 via fd00::2 dev eth0 metric 1024 pref medium',
];

async function world(t: TestContext, kind: ChannelKind) {
  const netns = await createNetns({ prefix: 'tro' });
  t.after(() => netns.close());
  await netns.add('n1');
  await netns.add('n2');
  await netns.connect(
    { ns: 'n1', ifname: 'eth0', addresses: ['10.0.0.1/24', 'fd00::1/64'] },
    { ns: 'n2', ifname: 'eth0', addresses: ['10.0.0.2/24', 'fd00::2/64'] },
  );
  await netns.ip('n1', [
    'route add default via 10.0.0.2',
    'route add 10.99.0.0/16 via 10.0.0.2 proto static',
    'route add fd99::/64 via fd00::2 proto static',
    'route add blackhole 10.98.0.0/16 proto 102',
  ]);
  const channels = await openChannels({ kind, helper, netns: netns.path('n1'), timers: systemClock, log });
  t.after(() => channels.close());
  const store = createStore<Node>();
  store.replace([n1, n2, behind]);
  const context = {
    nodeName: 'n1',
    clock: systemClock,
    log,
    metrics: createMetrics(),
    sysctlRoot: folder,
    nodes: () => store,
    routes: async () => channels.route,
  } as Partial<AgentContext> as AgentContext;
  const lines = async (filter: string): Promise<readonly string[]> =>
    (await netns.exec('n1', ['sh', '-c', `ip route show ${filter}; ip -6 route show ${filter}`])).stdout
      .split('\n')
      .map((line) => line.trim())
      .filter((line) => line !== '')
      .sort();
  const ended = new AbortController();
  const running = (await create(context)).run(ended.signal);
  t.after(async () => {
    ended.abort();
    await running;
  });
  /** Polls until our routes are these. */
  async function become(expected: readonly string[]): Promise<void> {
    const endMs = Date.now() + PATIENCE_MS;
    let now = await lines('proto 103');
    while (now.join('\n') !== expected.join('\n') && Date.now() < endMs) now = await lines('proto 103');
    assert.deepEqual(now, expected);
  }
  return { netns, store, lines, become, ended, running, context };
}

for (const kind of ['socket', 'helper', 'text'] as const) {
  test(`on a kernel, by ${kind}: written, repaired, followed, and cleaned up`, {
    timeout: 4 * PATIENCE_MS,
  }, async (t) => {
    if (missing !== undefined) return leaveOut(t, ...missing);
    const w = await world(t, kind);
    await w.become(OURS);
    const others = async (): Promise<readonly string[]> => [
      ...(await w.lines('proto static')),
      ...(await w.lines('proto 102')),
    ];
    const before = await others();
    assert.equal(before.length, 3);

    await w.netns.exec('n1', ['sh', '-c', 'ip route flush proto 103; ip -6 route flush proto 103']);
    await w.become(OURS);

    // Somebody takes the place of one of ours, and leaves it.
    await w.netns.ip('n1', ['route replace 10.64.2.0/24 via 10.0.0.77 proto static']);
    await w.become(OURS.slice(1));
    await w.netns.ip('n1', ['route del 10.64.2.0/24 via 10.0.0.77']);
    await w.become(OURS);

    // The node gets other addresses.
    const moved = node('n2', {
      podCIDRs: ['10.64.2.0/24', 'fd64:2::/64'],
      addresses: ['10.0.0.22', 'fd00::22'],
      resourceVersion: '2',
    });
    w.store.set(moved);
    await w.become([
      '10.64.2.0/24 via 10.0.0.22 dev eth0',
      ...OURS.slice(1, 3),
      'fd64:2::/64 via fd00::22 dev eth0 metric 1024 pref medium',
    ]);
    w.store.remove('n2');
    await w.become(OURS.slice(1, 3));
    w.store.set(n2);
    await w.become(OURS);
    assert.deepEqual(await others(), before);

    // The link takes all of its routes along; the connected ones come back with it.
    await w.netns.ip('n1', ['link set dev eth0 down']);
    await w.become(OURS.slice(1, 3));
    await w.netns.ip('n1', ['link set dev eth0 up', 'addr replace fd00::1/64 dev eth0 nodad']);
    await w.become(OURS);

    w.ended.abort();
    await w.running;
    assert.deepEqual(await w.lines('proto 103'), OURS, 'the end of the part leaves the routes');
    await cleanup({ log, routes: w.context.routes } as Partial<CleanupContext> as CleanupContext);
    assert.deepEqual(await w.lines('proto 103'), []);
    assert.equal((await w.lines('proto 102')).length, 1);
  });
}
