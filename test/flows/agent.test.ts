/** What our agent must keep while things happen to it: kills, a flushed table, foreign edits, marks of others, churn. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { churn, notServed, sliceWith } from './churn.ts';
import { fairlead, forgetConnections, type RunningProxy } from './proxies.ts';
import { caughtUp } from './run.ts';
import { eventually, names } from './scenarios.ts';
import { clusterIp, ready, type ServiceSpec } from './services.ts';
import { type Setting, setting } from './suites.ts';
import type { Flow } from './traffic.ts';
import { type Family, families, must, podAddress } from './world.ts';

const vip: ServiceSpec = { name: 'vip', index: 1, slices: [ready('abef')] };
const empty: ServiceSpec = { name: 'empty', index: 2, slices: [] };

const flowTo = (spec: ServiceSpec, family: Family): Flow => ({
  ns: 'd',
  source: podAddress('d')[family],
  protocol: 'tcp',
  address: clusterIp(spec.index)[family],
  port: 80,
});

test('fairlead agent, whatever happens', { timeout: 600_000 }, async (t) => {
  const found = await setting(t, fairlead, 'fairlead agent');
  if (found === undefined) return;
  const { world, cluster } = found;
  await cluster.put(vip);
  await cluster.put(empty);
  const agent = { running: fairlead.start(world, cluster) };
  const step: Step = (name, check) =>
    t.test(name, async (t) => {
      try {
        await check(t);
      } catch (error) {
        t.diagnostic(agent.running.log());
        throw error;
      }
    });
  try {
    await caughtUp(world, cluster, 1);
    await killed(step, found, agent);
    await repaired(step, found);
    await marksOfOthers(step, found);
    await refusedAtAnyRate(step, found);
    await noneRefused(step, found);
  } catch (error) {
    throw new Error(`${String(error)}\n${agent.running.log()}`, { cause: error });
  } finally {
    await agent.running.kill();
  }
});

/** A subtest that shows what the agent said when it fails. */
type Step = (name: string, check: (t: TestContext) => Promise<void>) => Promise<void>;

async function killed(step: Step, { world, cluster }: Setting, agent: { running: RunningProxy }): Promise<void> {
  await step('killed under traffic: no connection is lost or refused, and the restart rewrites no rule', async () => {
    const before = await notedRules(world);
    const held = await Promise.all(families.map((family) => world.traffic.hold(flowTo(vip, family), 5000)));
    const tries = families.map((family) =>
      world.traffic.start(flowTo(vip, family), { count: 1_000_000, parallel: 2, timeoutMs: 5000 }),
    );
    await agent.running.kill();
    // While nobody is there, the rules serve.
    for (const family of families)
      assert.equal(names(await world.traffic.try(flowTo(vip, family), { count: 80, timeoutMs: 5000 })), 'abef');
    agent.running = fairlead.start(world, cluster);
    await caughtUp(world, cluster, 2);
    for (const one of tries) await one.stop();
    for (const one of tries) assert.deepEqual(notServed(await one.outcomes), {});
    for (const one of held) assert.equal(await one.echo(5000), 'echo');
    assert.deepEqual(await rulesOf(world), before);
  });
}

/** Once the agent has noted in each table which rules it has: that is done a moment later, and a start relies on it. */
async function notedRules(world: Setting['world']): Promise<readonly string[]> {
  let rules: readonly string[] = [];
  await eventually(async () => {
    rules = await rulesOf(world);
    assert.equal(rules.filter((line) => line.includes('chain sum-')).length, families.length);
  });
  return rules;
}

/** Rules of both tables with their handles, which are others when a rule was written again. */
async function rulesOf({ netns }: Setting['world']): Promise<readonly string[]> {
  const texts = [];
  for (const family of ['ip', 'ip6']) {
    const text = await must(netns, 'n1', ['nft', '-a', '-t', 'list', 'table', family, 'fairlead']);
    texts.push(...text.split('\n').filter((line) => line.includes('# handle')));
  }
  return texts;
}

const damages: readonly { readonly name: string; readonly commands: string }[] = [
  { name: 'everything flushed', commands: 'flush ruleset' },
  { name: 'the IPv4 table deleted', commands: 'delete table ip fairlead' },
  { name: 'the IPv6 table deleted', commands: 'delete table ip6 fairlead' },
  { name: 'all Services deleted', commands: 'flush map ip fairlead services\nflush map ip6 fairlead services' },
  { name: 'all endpoints deleted', commands: 'flush map ip fairlead endpoints\nflush map ip6 fairlead endpoints' },
  { name: 'the rules of a chain deleted', commands: 'flush chain ip fairlead svc\nflush chain ip6 fairlead svc' },
  {
    name: 'a foreign rule in our chain',
    commands: 'insert rule ip fairlead svc return\ninsert rule ip6 fairlead svc return',
  },
  {
    name: 'a foreign element',
    commands: `add element ip fairlead no-ep-drop { ${clusterIp(vip.index)[4]} . tcp . 80 }
delete element ip fairlead services { ${clusterIp(vip.index)[4]} . tcp . 80 }`,
  },
];

async function repaired(step: Step, { world }: Setting): Promise<void> {
  for (const { name, commands } of damages) {
    await step(`repaired: ${name}`, async (t) => {
      await must(world.netns, 'n1', ['nft', '-f', '-'], `${commands}\n`);
      const startMs = performance.now();
      for (const family of families)
        await eventually(async () =>
          assert.equal(names(await world.traffic.try(flowTo(vip, family), { count: 60, timeoutMs: 500 })), 'abef'),
        );
      t.diagnostic(`after ${Math.round(performance.now() - startMs)} ms`);
    });
  }
}

/** Set before our rules, read behind them. */
const marker = `
table inet marker {
  chain before {
    type filter hook prerouting priority mangle ; policy accept
    ct state new meta mark set 0x00c0ffee
  }
  chain before-local {
    type filter hook output priority mangle ; policy accept
    ct state new meta mark set 0x00c0ffee meta priority set none
  }
  chain behind {
    type filter hook postrouting priority 300 ; policy accept
    ct state new ct status dnat meta mark 0x00c0ffee counter comment "kept"
    ct state new ct status dnat meta mark != 0x00c0ffee counter comment "lost"
    ct state new ct status dnat meta priority != none counter comment "left"
  }
}
`;

async function marksOfOthers(step: Step, { world }: Setting): Promise<void> {
  await step('a mark that was set before keeps, and nothing of ours is left behind us', async () => {
    await forgetConnections(world.netns);
    await must(world.netns, 'n1', ['nft', '-f', '-'], marker);
    try {
      for (const family of families)
        for (const ns of ['d', 'n1'])
          for (const protocol of ['tcp', 'udp'] as const) {
            const { address, port } = flowTo(vip, family);
            const outcomes = await world.traffic.try({ ns, protocol, address, port }, { count: 30, timeoutMs: 5000 });
            assert.deepEqual(notServed(outcomes), {});
          }
      const text = await must(world.netns, 'n1', ['nft', 'list', 'table', 'inet', 'marker']);
      const count = (what: string): number =>
        Number(new RegExp(`packets (\\d+) bytes \\d+ comment "${what}"`).exec(text)?.[1]);
      assert.deepEqual([count('lost'), count('left')], [0, 0], text);
      // A port that is used again within a tracked connection's last seconds makes no new one.
      assert.ok(count('kept') >= 2 * 2 * 2 * 25, text);
    } finally {
      await must(world.netns, 'n1', ['nft', 'delete', 'table', 'inet', 'marker']);
    }
  });
}

async function refusedAtAnyRate(step: Step, { world }: Setting): Promise<void> {
  await step('TCP clients of a Service without endpoints are refused at once, at any rate', async () => {
    // As it is where nobody raised the kernel's limit of ICMP messages.
    const limit = (ratelimit: string, mask: string): Promise<string> =>
      must(world.netns, 'n1', [
        'sh',
        '-ec',
        `echo ${ratelimit} > /proc/sys/net/ipv4/icmp_ratelimit; echo ${mask} > /proc/sys/net/ipv4/icmp_ratemask
         echo ${ratelimit} > /proc/sys/net/ipv6/icmp/ratelimit`,
      ]);
    await limit('1000', '6168');
    try {
      for (const family of families) {
        const outcomes = await world.traffic.try(flowTo(empty, family), { count: 500, parallel: 16, timeoutMs: 900 });
        assert.deepEqual([...outcomes], [['refused', 500]]);
      }
    } finally {
      await limit('0', '0');
    }
  });
}

async function noneRefused(step: Step, { world, cluster }: Setting): Promise<void> {
  await step('endpoints that come and go: of 12,000 connections none is refused', async (t) => {
    const { outcomes, changes, seconds } = await churn(world, {
      spec: vip,
      family: 4,
      connections: 12_000,
      parallel: 8,
      writers: 4,
      write: (endpoints) => cluster.replaceSlice(sliceWith(vip, 4, endpoints)),
    });
    t.diagnostic(`${Math.round(changes / seconds)} changes/s`);
    assert.ok(changes > 50, `${changes} changes`);
    assert.deepEqual(notServed(outcomes), {});
    await forgetConnections(world.netns);
  });
}
