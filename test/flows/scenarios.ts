/** What a table cannot say, because it has a before and an after; the same for both proxies. */
import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { caughtUp } from './run.ts';
import { clusterIp, externalIp, NAMESPACE, ready, type ServiceSpec } from './services.ts';
import type { Setting } from './suites.ts';
import type { Flow, Outcomes } from './traffic.ts';
import { type Family, families, INSIDE_CLIENTS, inside, must, podAddress } from './world.ts';

/** Polls until it holds; then it says nothing, else what was wrong last. */
export async function eventually(check: () => Promise<void>, withinMs = 15_000): Promise<void> {
  const deadline = performance.now() + withinMs;
  for (;;) {
    try {
      return await check();
    } catch (error) {
      if (performance.now() > deadline) throw error;
    }
    await sleep(20);
  }
}

export const names = (outcomes: Outcomes): string =>
  [...outcomes.keys()]
    .map((text) => text.replace(/[=^~].*/, ''))
    .sort()
    .join('');

/** Which endpoint each client outside gets, of some tries in a row; more than one letter: it moved meanwhile. */
async function chosen({ world }: Setting, spec: ServiceSpec, family: Family): Promise<readonly string[]> {
  const clients = Array.from({ length: INSIDE_CLIENTS }, (_, n) => inside(n)[family]);
  return Promise.all(
    clients.map(async (source) => {
      const flow: Flow = { ns: 'out', source, protocol: 'tcp', address: externalIp(spec.index)[family], port: 80 };
      return names(await world.traffic.try(flow, { count: 6, parallel: 1, timeoutMs: 5000 }));
    }),
  );
}

/**
 * An endpoint that leaves takes only its own clients with it, who stay with the one that they get instead. Where clients
 * are told by a hash and not remembered (`isHashed`), a few others may move too.
 */
export async function affinityFailsOver(
  t: TestContext,
  setting: Setting,
  isHashed: (family: Family) => boolean,
): Promise<void> {
  const { cluster, world } = setting;
  const spec: ServiceSpec = { name: 'sticky', index: 90, slices: [ready('abef')], affinitySeconds: 10_800 };
  await cluster.put(spec);
  await caughtUp(world, cluster, 10);
  for (const family of families) {
    await t.test(`clients of an endpoint that leaves move together, the others stay, IPv${family}`, async () => {
      await cluster.putSlices(spec);
      await caughtUp(world, cluster, 11 + 2 * families.indexOf(family));
      const before = await chosen(setting, spec, family);
      assert.ok(
        before.every((one) => 'abef'.includes(one) && one.length === 1),
        before.join(),
      );
      const used = [...new Set(before)];
      assert.ok(used.length >= 2, `all clients have ${used.join()}`);
      const leaving = used[0] ?? '';
      await cluster.putSlices({ ...spec, slices: [ready([...'abef'].filter((one) => one !== leaving).join(''))] });
      await caughtUp(world, cluster, 12 + 2 * families.indexOf(family));
      const after = await chosen(setting, spec, family);
      assert.ok(
        after.every((one) => one.length === 1 && one !== leaving),
        after.join(),
      );
      const moved = before.filter((one, client) => one !== leaving && one !== after[client]);
      assert.ok(moved.length <= (isHashed(family) ? INSIDE_CLIENTS / 4 : 0), `${before.join('')} ${after.join('')}`);
      assert.deepEqual(await chosen(setting, spec, family), after);
    });
  }
  await cluster.remove(spec.name);
}

/** After its time a client is drawn anew. */
export async function affinityExpires(t: TestContext, setting: Setting): Promise<void> {
  const { cluster, world } = setting;
  const spec: ServiceSpec = { name: 'sticky-2s', index: 91, slices: [ready('abef')], affinitySeconds: 2 };
  await cluster.put(spec);
  await caughtUp(world, cluster, 20);
  await t.test('a client that stays away longer than timeoutSeconds may get another endpoint, IPv4', async () => {
    const before = await chosen(setting, spec, 4);
    await sleep(3000); // nobody connects: that is what is tested
    // 16 clients that all draw the same of 4 again: once in 10^9.
    assert.notDeepEqual(await chosen(setting, spec, 4), before);
  });
  await cluster.remove(spec.name);
}

/** One client's port that stays the same keeps its conntrack entry, and with it the endpoint, for as long as it sends. */
export async function udpFollows(t: TestContext, setting: Setting): Promise<void> {
  const { cluster, world } = setting;
  const spec: ServiceSpec = { name: 'udp', index: 92, slices: [ready('a')] };
  const other: ServiceSpec = { name: 'udp-other', index: 93, slices: [ready('a')] };
  const late: ServiceSpec = { name: 'udp-late', index: 94, slices: [ready('e')] };
  await cluster.put(spec);
  await cluster.put(other);
  await caughtUp(world, cluster, 30);
  const ask = async (family: Family, address: string, sourcePort: number): Promise<string> => {
    const source = podAddress('d')[family];
    const flow: Flow = { ns: 'd', source, sourcePort, protocol: 'udp', address, port: 80 };
    return names(await world.traffic.try(flow, { count: 1, timeoutMs: 1000 }));
  };
  for (const family of families) {
    await t.test(
      `a UDP client that goes on sending gets another endpoint when its own leaves, IPv${family}`,
      async () => {
        await cluster.putSlices(spec);
        const vip = clusterIp(spec.index)[family];
        await eventually(async () => assert.equal(await ask(family, vip, 40_000), 'a'));
        assert.equal(await ask(family, clusterIp(other.index)[family], 40_001), 'a');
        const entryOfOther = await entry(setting, family, 40_001);
        await cluster.putSlices({ ...spec, slices: [ready('e')] });
        await eventually(async () => assert.equal(await ask(family, vip, 40_000), 'e'));
        assert.equal(await entry(setting, family, 40_001), entryOfOther, 'entries of other Services stay');
      },
    );
    await t.test(`a UDP client that sent before there was a Service reaches it afterwards, IPv${family}`, async () => {
      const vip = externalIp(late.index)[family];
      assert.equal(await ask(family, vip, 40_002), 'sink');
      await cluster.put(late);
      await eventually(async () => assert.equal(await ask(family, vip, 40_002), 'e'));
      await cluster.remove(late.name);
      // From another port each time: a flow to a Service that is gone lives on, with both.
      await eventually(async () => assert.equal(await ask(family, vip, 0), 'sink'));
    });
  }
  for (const { name } of [spec, other]) await cluster.remove(name);
}

/** Of the client's port: its number in the kernel. */
async function entry({ world }: Setting, family: Family, sourcePort: number): Promise<string> {
  const text = await must(world.netns, 'n1', [
    ...['conntrack', '-L', '-f', family === 4 ? 'ipv4' : 'ipv6', '-p', 'udp', '--orig-port-src', String(sourcePort)],
    ...['-o', 'id'],
  ]);
  return /\bid=(\d+)/.exec(text)?.[1] ?? `none of port ${sourcePort} in ${NAMESPACE}`;
}
