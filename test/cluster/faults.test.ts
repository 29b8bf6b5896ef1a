/** What may die on a node while others go on: the agent, and the node itself. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Machine } from '../kube/machine.ts';
import type { Cluster, Node } from '../kube/nodes.ts';
import type { Met } from './traffic.ts';
import {
  clusterFor,
  createPods,
  createService,
  dial,
  distinct,
  eventually,
  get,
  type Pod,
  readyPod,
  removePod,
  whose,
} from './world.ts';

const traffic = join(import.meta.dirname, 'traffic.ts');

test('the agent of a node is killed and started again under traffic', async (t) => {
  const cluster = await clusterFor(t);
  if (cluster === undefined) return;
  const [one, two] = cluster.nodes as [Node, Node];
  const labels = { app: 'web' };
  const pods = (await createPods(cluster, {
    client: { node: 'n1' },
    first: { node: 'n1', labels },
    second: { node: 'n2', labels },
  })) as Readonly<Record<'client' | 'first' | 'second', Pod>>;
  const { spec } = await createService(cluster, 'web', { type: 'NodePort' });
  const vip = spec?.clusterIP ?? '';
  const nodePort = spec?.ports?.[0]?.nodePort ?? 0;
  await eventually('both answer', async () => {
    assert.deepEqual(distinct(await dial(cluster, pods.client, { host: vip, port: 80 }, 20)), ['first', 'second']);
    await get(cluster.outside, `http://${one.address}:${nodePort}/hostname`);
  });

  const inPod = await startTraffic(cluster, one.machine, pods.client, `http://${vip}/hostname`);
  const outside = await startTraffic(cluster, cluster.outside, undefined, `http://${one.address}:${nodePort}/hostname`);
  const onNode = await startTraffic(cluster, one.machine, undefined, `http://${vip}/hostname`);
  const clients = { inPod, outside, onNode };

  if (whose.proxy === 'fairlead' || whose.cni === 'fairlead') {
    for (let round = 0; round < 3; round += 1) {
      one.agent?.signal('SIGKILL');
      await one.agent?.ended;
      one.startAgent();
      // Started on a table that is right already: it must take over without a gap.
      await eventually('it serves again', async () => void (await get(one.machine, 'http://127.0.0.1:10256/healthz')));
    }
    one.agent?.signal('SIGKILL');
    await one.agent?.ended;
  }
  // What changes while it is away is made good when it comes back.
  await createPods(cluster, { third: { node: 'n2', labels } });
  if (one.agent !== undefined) one.startAgent();
  await eventually('the new endpoint gets its share', async () => {
    const answers = distinct(await dial(cluster, pods.client, { host: vip, port: 80 }, 40));
    assert.deepEqual(answers, ['first', 'second', 'third']);
  });
  assert.equal(two.agent?.end, undefined, "the other node's agent runs on");

  for (const [name, client] of Object.entries(clients)) {
    const met = await client();
    await t.test(`${name}: no connection was refused, lost or broken`, () => {
      assert.deepEqual(met.failures, []);
      assert.equal(met.keptConnections, 1);
      assert.deepEqual(Object.keys(met.answers).sort(), ['first', 'second', 'third']);
    });
  }

  await t.test('pods start while the agent is away, as soon as it is back', async () => {
    one.agent?.signal('SIGKILL');
    await one.agent?.ended;
    const made = createPods(cluster, { late: { node: 'n1' } });
    if (one.agent !== undefined) one.startAgent();
    const { late } = await made;
    assert.deepEqual(await dial(cluster, late as Pod, { host: pods.second.ip, port: 8080 }), ['second']);
  });
});

test('a node is rebooted: its pods come back, and no address is lost', async (t) => {
  // 14 addresses, one of which is the gateway's: eight pods that kept theirs would leave too few for eight.
  const cluster = await clusterFor(t, { podMask: 28 });
  if (cluster === undefined) return;
  const two = cluster.nodes[1] as Node;
  const names = Array.from({ length: 8 }, (_, i) => `pod-${i}`);
  await createPods(cluster, {
    client: { node: 'n1' },
    ...Object.fromEntries(names.map((name) => [name, { node: 'n2', labels: { app: 'web' } }])),
  });
  const client = await readyPod(cluster, 'client');
  const { spec } = await createService(cluster, 'web');
  for (const round of [1, 2]) {
    await t.test(`reboot ${round}`, async () => {
      await two.reboot();
      // Ready in the API may be from before the reboot: only an answer shows that a pod lives.
      await eventually('every pod answers at an address of its own', async () => {
        const pods = await Promise.all(names.map((name) => readyPod(cluster, name)));
        assert.equal(distinct(pods.map(({ ip }) => ip)).length, names.length);
        for (const { name, ip } of pods) {
          assert.deepEqual(await dial(cluster, client, { host: ip, port: 8080 }), [name]);
        }
      });
      await eventually('the Service finds them', async () => {
        const answers = distinct(await dial(cluster, client, { host: spec?.clusterIP ?? '', port: 80 }, 80));
        assert.deepEqual(answers, names);
      });
    });
  }
  await t.test('addresses of removed pods are free again', async () => {
    for (let round = 0; round < 4; round += 1) {
      const more = Object.fromEntries(Array.from({ length: 4 }, (_, i) => [`more-${round}-${i}`, { node: 'n2' }]));
      await createPods(cluster, more);
      for (const name of Object.keys(more)) await removePod(cluster, name);
    }
  });
});

/** Starts a client on a machine, or in the network of a pod there; the answer ends it and tells what it met. */
async function startTraffic(
  cluster: Cluster,
  machine: Machine,
  pod: Pod | undefined,
  url: string,
): Promise<() => Promise<Met>> {
  const name = `traffic-${pod?.name ?? url.replace(/\W+/g, '-')}`;
  const file = join(cluster.folder, `${machine.name}-${name}`);
  const program = [process.execPath, traffic, url, file];
  const enter = pod === undefined ? [] : ['nsenter', `--net=${await netnsOf(machine, pod)}`];
  const [command = '', ...args] = [...enter, ...program];
  const running = machine.start(name, command, args);
  return async () => {
    writeFileSync(file, '');
    await eventually(`${name} ends`, async () => {
      if (!existsSync(`${file}.json`)) throw new Error(running.log());
    });
    return JSON.parse(readFileSync(`${file}.json`, 'utf8')) as Met;
  };
}

async function netnsOf(machine: Machine, { name, ip }: Pod): Promise<string> {
  const find = 'for ns in /run/netns/*; do nsenter --net="$ns" ip -o -4 addr | grep -qF " $1/" && echo "$ns"; done';
  const { stdout } = await machine.run('sh', ['-c', find, 'find', ip]);
  const [path] = stdout.trim().split('\n');
  if (!path) throw new Error(`${machine.name}: no network namespace of ${name} (${ip})`);
  return path;
}
