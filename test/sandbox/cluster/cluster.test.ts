/**
 * One cluster of namespaces for all tests of this file: starting it is most of the work. The tests run in their order,
 * but none needs what another made.
 */
import assert from 'node:assert/strict';
import { existsSync, readdirSync } from 'node:fs';
import { after, before, type TestContext, test } from 'node:test';
import type { Pod, Service } from '../../../src/core/objects.ts';
import type { Reply } from '../../../src/sandbox/cluster/outside.ts';
import { leaveOut } from '../../left-out.ts';
import { netnsMissing } from '../netns/missing.ts';
import { createWorld, PATIENCE_MS, until, type World } from './world.ts';

const missing = netnsMissing({ nft: 'nftables' });
let world: World;

before(
  async () => {
    if (missing === undefined) world = await createWorld(3);
  },
  { timeout: 3 * PATIENCE_MS },
);
after(async () => {
  if (missing !== undefined) return;
  await world.close();
  const left = [
    ...readdirSync('/run/netns'),
    ...readdirSync('/run/fairlead-sandbox'),
    ...readdirSync('/sys/class/net'),
  ];
  assert.deepEqual(
    left.filter((name) => name.startsWith(world.netns.name) || name.startsWith(world.netns.name.replace('-', ''))),
    [],
  );
});

const onCluster = (name: string, run: (t: TestContext) => Promise<void>): void => {
  test(name, { timeout: 4 * PATIENCE_MS }, async (t) => {
    if (missing !== undefined) return leaveOut(t, ...missing);
    await run(t);
  });
};

const deployments = '/apis/apps/v1/namespaces/default/deployments';
const services = '/api/v1/namespaces/default/services';

/** Pods named by their app, and a LoadBalancer Service of both families in front; both go with the test. */
async function serve(t: TestContext, app: string, replicas: number, spec: object = {}): Promise<Service> {
  const template = {
    metadata: { labels: { app } },
    spec: { containers: [{ name: 'c', image: 'any', ports: [{ containerPort: 8080 }] }] },
  };
  await world.send('POST', deployments, {
    metadata: { name: app },
    spec: { replicas, selector: { matchLabels: { app } }, template },
  });
  await world.send('POST', services, {
    metadata: { name: app },
    spec: {
      type: 'LoadBalancer',
      loadBalancerClass: 'fairlead.dev/onprem',
      ipFamilyPolicy: 'PreferDualStack',
      selector: { app },
      ports: [{ port: 80, targetPort: 8080 }],
      ...spec,
    },
  });
  t.after(async () => {
    await world.send('DELETE', `${deployments}/${app}`);
    await world.send('DELETE', `${services}/${app}`);
  });
  await world.pods(app, replicas);
  return await until(`an address of ${app}`, async () => {
    const service = await world.send<Service>('GET', `${services}/${app}`);
    return service.status?.loadBalancer?.ingress === undefined ? undefined : service;
  });
}

const ingressOf = ({ status }: Service): readonly string[] =>
  (status?.loadBalancer?.ingress ?? []).map(({ ip = '' }) => ip);
const keyOf = ({ metadata }: Pod): string => `default/${metadata.name}`;
const nodeOf = ({ spec }: Pod): string => (spec as { nodeName?: string }).nodeName ?? '';

/** Pods that answer, asked until all that are expected have, with whom they saw. */
async function answers(
  from: Parameters<World['ask']>[0],
  address: string,
  port: number,
  expected: number,
): Promise<ReadonlyMap<string, string>> {
  const seen = new Map<string, string>();
  let last: Reply | undefined;
  await until(`answers of ${address} port ${port}, so far ${[...seen.keys()]}`, async () => {
    last = await world.ask(from, { address, port });
    if (last !== undefined && 'pod' in last) seen.set(last.pod, last.sees);
    return seen.size === expected ? true : undefined;
  }).catch((error: Error) => {
    throw new Error(`${error.message}; last ${JSON.stringify(last)}; seen ${[...seen.keys()]}`);
  });
  return seen;
}

onCluster('a client outside reaches the pods on all nodes at the load balancer addresses, v4 and v6', async (t) => {
  const service = await serve(t, 'all', 3);
  const pods = await world.pods('all', 3);
  assert.deepEqual(pods.map(nodeOf).sort(), ['n1', 'n2', 'n3']);
  const addresses = ingressOf(service);
  assert.equal(addresses.length, 2);
  for (const address of addresses) {
    const seen = await answers({ ns: 'client' }, address, 80, 3);
    assert.deepEqual([...seen.keys()].sort(), pods.map(({ metadata }) => metadata.name).sort());
  }
});

onCluster('with policy Local the pod sees the client, and only pods on the announcing node answer', async (t) => {
  const service = await serve(t, 'local', 3, { externalTrafficPolicy: 'Local' });
  const clients = world.layout.client.map((address) => address.slice(0, address.indexOf('/')));
  for (const [index, address] of ingressOf(service).entries()) {
    const seen = await answers({ ns: 'client' }, address, 80, 1);
    for (let more = 0; more < 10; more += 1) {
      const reply = await world.ask({ ns: 'client' }, { address, port: 80 });
      assert.ok(reply !== undefined && 'pod' in reply && seen.has(reply.pod), JSON.stringify(reply));
      assert.equal(reply.sees, clients[index]);
    }
  }
});

onCluster('pods reach pods of every node by their own address, ClusterIPs, and the outside', async (t) => {
  const service = await serve(t, 'peer', 3);
  const pods = await world.pods('peer', 3);
  const [first] = pods;
  assert.ok(first !== undefined);
  for (const pod of pods) {
    for (const [family, { ip }] of (pod.status?.podIPs ?? []).entries()) {
      const reply = await world.ask({ pod: keyOf(first) }, { address: ip, port: 8080 });
      // No masquerade between pods, whatever the node.
      assert.deepEqual(reply, { pod: pod.metadata.name, sees: first.status?.podIPs?.[family]?.ip });
    }
  }
  for (const address of service.spec.clusterIPs ?? []) await answers({ pod: keyOf(first) }, address, 80, 3);
  for (const address of service.spec.clusterIPs ?? []) await answers({ ns: nodeOf(first) }, address, 80, 3);
  const outside = world.layout.client[0]?.replace(/\/.*/, '') ?? '';
  // Nobody listens there: that it is refused shows that packets go both ways.
  assert.deepEqual(await world.ask({ pod: keyOf(first) }, { address: outside, port: 9 }), { error: 'ECONNREFUSED' });
});

onCluster('scaling to nothing refuses at once, and no address or interface of a pod stays', async (t) => {
  const service = await serve(t, 'brief', 2);
  const [address = ''] = ingressOf(service);
  await answers({ ns: 'client' }, address, 80, 2);
  await world.send('PATCH', `${deployments}/brief`, { spec: { replicas: 0 } });
  await world.pods('brief', 0);
  await until('a refusal', async () => {
    const reply = await world.ask({ ns: 'client' }, { address, port: 80 });
    return reply !== undefined && 'error' in reply && reply.error === 'ECONNREFUSED' ? true : undefined;
  });
  await until('pod interfaces are gone', async () => {
    const links = await Promise.all(
      world.layout.nodes.map(async ({ name }) => (await world.netns.exec(name, ['ip', '-br', 'link'])).stdout),
    );
    return /^fl/m.test(links.join('\n')) ? undefined : true;
  });
});

onCluster('a hostPort answers at the address of the pod’s node', async (t) => {
  const path = '/api/v1/namespaces/default/pods';
  const ports = [{ containerPort: 8080, hostPort: 18_080 }];
  await world.send('POST', path, {
    metadata: { name: 'port', labels: { app: 'port' } },
    spec: { nodeName: 'n2', containers: [{ name: 'c', image: 'any', ports }] },
  });
  t.after(() => world.send('DELETE', `${path}/port`));
  await world.pods('port', 1);
  for (const address of world.layout.nodes[1]?.addresses ?? []) await answers({ ns: 'client' }, address, 18_080, 1);
});

onCluster('so far nothing was worth a warning, and kubeconfig and logs are where people look', async () => {
  assert.ok(existsSync(world.kubeconfig.path));
  for (const { folders, pid } of world.agents.values()) {
    assert.ok(existsSync(folders.log));
    assert.ok(pid !== undefined);
  }
  assert.deepEqual(world.warnings, []);
});

onCluster('an agent that is killed comes back under traffic, and no connection fails meanwhile', async (t) => {
  const service = await serve(t, 'steady', 3);
  const [address = ''] = ingressOf(service);
  await answers({ ns: 'client' }, address, 80, 3);
  const failures: Reply[] = [];
  let isOver = false;
  let asked = 0;
  const traffic = (async () => {
    while (!isOver) {
      const reply = await world.ask({ ns: 'client' }, { address, port: 80, timeoutMs: 20_000 });
      asked += 1;
      if (reply === undefined || 'error' in reply) failures.push(reply ?? { error: 'no client' });
    }
  })();
  for (const [name, agent] of world.agents) {
    const { starts, pid } = agent;
    agent.kill('SIGKILL');
    await until(`the agent of ${name} again`, () => (agent.starts > starts && agent.pid !== pid ? true : undefined));
  }
  // It works again when a new pod gets its network and joins the Service.
  await world.send('PATCH', `${deployments}/steady`, { spec: { replicas: 6 } });
  await world.pods('steady', 6);
  await answers({ ns: 'client' }, address, 80, 6);
  isOver = true;
  await traffic;
  assert.deepEqual(failures, []);
  assert.ok(asked > 20, `${asked} connections`);
});

onCluster('host routes that somebody deletes or adds: ours come back, others stay', async () => {
  const [n1, n2] = world.layout.nodes;
  assert.ok(n1 !== undefined && n2 !== undefined);
  const ours = async (): Promise<readonly string[]> =>
    (await world.netns.exec('n1', ['sh', '-c', 'ip route show proto 103; ip -6 route show proto 103'])).stdout
      .split('\n')
      .map((line) => line.trim())
      .filter((line) => line !== '')
      .sort();
  const all = await until('all host routes', async () => {
    const now = await ours();
    return now.length === 6 ? now : undefined;
  });
  const gateway = world.layout.gateways.nodes[0] ?? '';
  await world.netns.ip('n1', [`route add 10.99.0.0/16 via ${gateway} proto static`]);
  await world.netns.exec('n1', ['sh', '-c', 'ip route flush proto 103; ip -6 route flush proto 103']);
  await until('the routes are back', async () => ((await ours()).join('\n') === all.join('\n') ? true : undefined));
  const others = async (): Promise<string> =>
    (await world.netns.exec('n1', ['ip', 'route', 'show', '10.99.0.0/16'])).stdout;
  assert.match(await others(), /proto static/);
  // The link of the node goes down and comes back: the kernel drops what leads over it, IPv4 without telling.
  await world.netns.ip('n1', ['link set dev eth0 down', 'link set dev eth0 up']);
  await world.netns.ip('n1', [
    ...n1.interfaces
      .filter((address) => address.includes(':'))
      .map((address) => `addr replace ${address} dev eth0 nodad`),
    `route replace 0.0.0.0/0 via ${gateway}`,
    ...world.layout.gateways.nodes.filter((via) => via.includes(':')).map((via) => `route replace ::/0 via ${via}`),
  ]);
  await until('the routes are back after the link', async () =>
    (await ours()).join('\n') === all.join('\n') ? true : undefined,
  );
  assert.equal(await others(), '', 'the kernel took it with the link; it is not ours to make again');
});

onCluster('a node that is deleted loses its routes on the others', async () => {
  const leads = async (): Promise<string> =>
    (await world.netns.exec('n1', ['ip', 'route', 'show', 'proto', '103'])).stdout;
  await until('the route to n3', async () => (/ via \S+\.13 /.test(await leads()) ? true : undefined));
  const node = await world.send<{ metadata: { labels: object }; status: { addresses: object }; spec: object }>(
    'GET',
    '/api/v1/nodes/n3',
  );
  await world.send('DELETE', '/api/v1/nodes/n3');
  await until('no route to n3', async () => (/ via \S+\.13 /.test(await leads()) ? undefined : true));
  const { labels } = node.metadata;
  await world.send('POST', '/api/v1/nodes', { metadata: { name: 'n3', labels }, spec: node.spec });
  await world.send('PATCH', '/api/v1/nodes/n3/status', { status: { addresses: node.status.addresses } });
  await until('the route to n3 again', async () => (/ via \S+\.13 /.test(await leads()) ? true : undefined));
});
