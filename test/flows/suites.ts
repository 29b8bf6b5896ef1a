/** The tables as tests, the same for both proxies. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { howToGetKube } from '../kube/build.ts';
import { leaveOut } from '../left-out.ts';
import { netnsMissing } from '../sandbox/netns/missing.ts';
import { type Case, changesOf, optionSuite, type Suite, wholeSuite } from './cases.ts';
import { type Cluster, startCluster } from './cluster.ts';
import { masqueradeAll, noPodCidr } from './expected.ts';
import { clean, forgetConnections, type ProxyOptions, type ServiceProxy } from './proxies.ts';
import { caughtUp, changeAll, listenAll, putAll, type Seen, tryAll } from './run.ts';
import { affinityExpires, affinityFailsOver, udpFollows } from './scenarios.ts';
import type { Row } from './tables.ts';
import { createWorld, families, NODE, NODE_SECONDARY, type World } from './world.ts';

export interface Setting {
  readonly world: World;
  readonly cluster: Cluster;
  readonly proxy: ServiceProxy;
}

/** What the flow tests lack here, for leaveOut. */
export const flowsMissing = netnsMissing({ nft: 'nftables', conntrack: 'conntrack', gcc: 'gcc and libc6-dev' });

/** A world, a real API server and a proxy that can be started. Absent: left out. */
export async function setting(
  t: TestContext,
  proxy: ServiceProxy | undefined,
  which: string,
): Promise<Setting | undefined> {
  if (flowsMissing !== undefined) return void leaveOut(t, ...flowsMissing);
  if (proxy === undefined) return void leaveOut(t, `flows of ${which}`, 'run `node test/kube/build.ts --nodes`');
  const world = await createWorld();
  t.after(() => world.close());
  const cluster = await startCluster(t, world.traffic);
  if (cluster === undefined) return void leaveOut(t, 'real kube-apiserver', howToGetKube);
  return { world, cluster, proxy };
}

/** What of the tables this proxy does otherwise, by design. */
export type Adapt = (cases: readonly Case[]) => readonly Case[];

/** All tables, one after the other in one world. */
export function testTables(
  proxy: () => Promise<ServiceProxy | undefined>,
  which: string,
  adapt: Adapt = (cases) => cases,
): void {
  test(`${which} on real packets`, { timeout: 600_000 }, async (t) => {
    const found = await setting(t, await proxy(), which);
    if (found === undefined) return;
    const whole = wholeSuite();
    await listenAll(found.world, whole);
    await putAll(found.cluster, whole.services);

    const running = found.proxy.start(found.world, found.cluster);
    try {
      await caughtUp(found.world, found.cluster, 1);
      await check(t, 'as created', await tryAll(found.world, adapt(whole.cases)));
      const changes = changesOf(whole);
      await changeAll(found.cluster, changes);
      await caughtUp(found.world, found.cluster, 2);
      await forgetConnections(found.world.netns);
      const changed = changes.flatMap(({ cases }) => cases);
      await check(t, 'after a change', await tryAll(found.world, adapt(changed)));
    } catch (error) {
      throw new Error(`${String(error)}\n${running.log()}`, { cause: error });
    } finally {
      await running.kill();
    }
    await found.cluster.removeAll();
    await beforeAndAfter(t, found);
    await withOptions(t, found, {
      suite: optionSuite(masqueradeAll),
      options: { masqueradeAll: true, allNodeAddresses: true },
      nth: 3,
      adapt,
    });
    await withOptions(t, found, { suite: optionSuite(noPodCidr), options: { noPodCidr: true }, nth: 4, adapt });
  });
}

async function beforeAndAfter(t: TestContext, found: Setting): Promise<void> {
  await clean(found.world);
  const running = found.proxy.start(found.world, found.cluster);
  try {
    // IPv6 affinity of ours is a hash: nothing is remembered, so nothing expires.
    await affinityFailsOver(t, found, (family) => found.proxy.name === 'fairlead' && family === 6);
    await affinityExpires(t, found);
    await udpFollows(t, found);
  } catch (error) {
    throw new Error(`${String(error)}\n${running.log()}`, { cause: error });
  } finally {
    await running.kill();
  }
  await found.cluster.removeAll();
}

async function withOptions(
  t: TestContext,
  { world, cluster, proxy }: Setting,
  {
    suite,
    options,
    nth,
    adapt,
  }: { readonly suite: Suite; readonly options: ProxyOptions; readonly nth: number; readonly adapt: Adapt },
): Promise<void> {
  await clean(world);
  await putAll(cluster, suite.services);
  const running = proxy.start(world, cluster, options);
  try {
    await caughtUp(world, cluster, nth);
    const secondary = options.allNodeAddresses === true ? suite.cases.flatMap(atSecondary) : [];
    await check(t, Object.keys(options).join(', '), await tryAll(world, adapt([...suite.cases, ...secondary])));
  } catch (error) {
    throw new Error(`${String(error)}\n${running.log()}`, { cause: error });
  } finally {
    await running.kill();
  }
  await cluster.removeAll();
}

/** The node ports of a case once more, at the node's other address. */
function atSecondary(each: Case): readonly Case[] {
  if (!each.title.startsWith('node port,')) return [];
  const flows = Object.entries(each.flows).map(([source, flow]) => {
    const family = families.find((of) => NODE[of] === flow.address) ?? 4;
    return [source, { ...flow, address: NODE_SECONDARY[family] }] as const;
  });
  return [
    { ...each, title: each.title.replace('node port', 'node port at secondary'), flows: Object.fromEntries(flows) },
  ];
}

/** One test for each Service, which shows all that differs. */
async function check(t: TestContext, when: string, all: readonly Seen[]): Promise<void> {
  for (const [name, cases] of Map.groupBy(all, (each) => each.test)) {
    await t.test(`${name}, ${when}`, () => {
      assert.deepEqual(
        rows(cases, ({ seen }) => seen),
        rows(cases, ({ expected }) => expected),
      );
    });
  }
}

function rows(cases: readonly Seen[], which: (each: Seen) => Row): Readonly<Record<string, Row>> {
  return Object.fromEntries(cases.map((each) => [each.title, which(each)]));
}
