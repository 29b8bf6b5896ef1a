/** Pods and Services on real nodes: who reaches whom, and who is seen to ask. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createWorld, installKinds } from '../e2e/world.ts';
import { ask } from '../kube/ask.ts';
import { OUTSIDE, POD_CIDR } from '../kube/nodes.ts';
import {
  clusterFor,
  createPods,
  createService,
  dial,
  distinct,
  eventually,
  get,
  host,
  type Pod,
  serve,
  shell,
  whose,
} from './world.ts';

test('pods and Services on real nodes', async (t) => {
  const cluster = await clusterFor(t);
  if (cluster === undefined) return;
  const { control, outside } = cluster;
  const [one, two] = cluster.nodes as [(typeof cluster.nodes)[0], (typeof cluster.nodes)[0]];
  serve(cluster, outside);
  serve(cluster, one.machine);
  serve(cluster, two.machine);
  const web = { app: 'web' };
  const pods = (await createPods(cluster, {
    client: { node: 'n1' },
    near: { node: 'n1', labels: web },
    far: { node: 'n2', labels: web },
    lonely: { node: 'n2' },
    hosted: { node: 'n1', ports: [{ containerPort: 8080, hostPort: 8088 }] },
  })) as Readonly<Record<'client' | 'near' | 'far' | 'lonely' | 'hosted', Pod>>;
  const { client, near, far, lonely, hosted } = pods;
  const both = ['far', 'near'];

  await t.test("pods have addresses of their node's pod CIDR", () => {
    const cidrs = new Map(cluster.nodes.map(({ name, podCidr }) => [name, podCidr]));
    for (const { name, node, ip } of Object.values(pods)) {
      assert.equal(`${ip.split('.').slice(0, 3).join('.')}.0/24`, cidrs.get(node), name);
    }
  });

  await t.test('pods reach pods on their node and on another, with their own address', async () => {
    for (const target of [near, far]) {
      assert.deepEqual(await dial(cluster, client, { host: target.ip, port: 8080 }), [target.name]);
      const [seen = ''] = await dial(cluster, client, { host: target.ip, port: 8080, path: 'clientip' });
      assert.equal(host(seen), client.ip);
      assert.deepEqual(
        await dial(cluster, client, { host: target.ip, port: 8081, protocol: 'udp' }),
        [target.name],
        'UDP',
      );
    }
  });

  await t.test('pods reach nodes, and nodes pods', async () => {
    for (const { address } of cluster.nodes) {
      assert.ok((await dial(cluster, client, { host: address, port: 8080 }))[0]);
    }
    for (const { machine } of cluster.nodes) {
      for (const pod of [near, far]) assert.equal(await get(machine, `http://${pod.ip}:8080/hostname`), pod.name);
    }
  });

  await t.test('pods reach the world outside the cluster', async () => {
    const [seen = ''] = await dial(cluster, client, { host: OUTSIDE, port: 8080, path: 'clientip' });
    // Debian's bridge runs without ipMasq here, as its conflist says.
    assert.equal(host(seen), whose.cni === 'peer' ? client.ip : one.address);
  });

  await t.test('a large answer arrives whole across nodes', async () => {
    const sent = await shell(
      cluster,
      client,
      `curl -sS -F file=@/agnhost http://${far.ip}:8080/upload >/dev/null && wc -c < /agnhost`,
    );
    assert.ok(Number(sent) > 1_000_000, sent);
  });

  await t.test('a ClusterIP reaches every endpoint from pods, nodes and by its name', async () => {
    const { spec } = await createService(cluster, 'web');
    const vip = spec?.clusterIP ?? '';
    await eventually('the ClusterIP spreads over both', async () => {
      assert.deepEqual(distinct(await dial(cluster, client, { host: vip, port: 80 }, 30)), both);
    });
    const [seen = ''] = await dial(cluster, client, { host: vip, port: 80, path: 'clientip' });
    assert.equal(host(seen), client.ip, 'pods keep their address');
    for (const { machine } of cluster.nodes) assert.ok(both.includes(await get(machine, `http://${vip}/hostname`)));
    await eventually('by name', async () => {
      const named = { host: 'web.default.svc.cluster.local', port: 80 };
      assert.deepEqual(distinct(await dial(cluster, client, named, 30)), both);
    });
    await eventually('an endpoint reaches itself', async () => {
      assert.deepEqual(distinct(await dial(cluster, near, { host: vip, port: 80 }, 30)), both);
    });
  });

  await t.test('a NodePort answers at every node, from outside and from pods', async () => {
    const { spec } = await createService(cluster, 'ports', { type: 'NodePort', selector: web });
    const port = spec?.ports?.[0]?.nodePort ?? 0;
    for (const { address } of cluster.nodes) {
      await eventually(`${address}:${port}`, async () => {
        const answers: string[] = [];
        for (let i = 0; i < 20; i += 1) answers.push(await get(outside, `http://${address}:${port}/hostname`));
        assert.deepEqual(distinct(answers), both);
      });
      assert.deepEqual(distinct(await dial(cluster, client, { host: address, port }, 30)), both);
    }
    const seen = host(await get(outside, `http://${two.address}:${port}/clientip`));
    assert.notEqual(seen, OUTSIDE, 'policy Cluster masquerades');
  });

  await t.test('policy Local: only nodes with an endpoint answer, and the client is seen', async () => {
    const selector = { app: 'lonely' };
    const { spec } = await createService(cluster, 'local', {
      type: 'NodePort',
      selector,
      externalTrafficPolicy: 'Local',
    });
    const port = spec?.ports?.[0]?.nodePort ?? 0;
    await eventually('its own node answers', async () => {
      assert.equal(host(await get(outside, `http://${two.address}:${port}/clientip`)), OUTSIDE);
    });
    await assert.rejects(get(outside, `http://${one.address}:${port}/hostname`), /timed out|timeout/i);
    assert.deepEqual(await dial(cluster, client, { host: one.address, port }), [lonely.name], 'a pod is led elsewhere');
  });

  await t.test('an external IP answers where the network sends it', async () => {
    await createService(cluster, 'external', { selector: web, externalIPs: ['203.0.113.7'] });
    control.ip(`route replace 203.0.113.7/32 via ${one.address}`);
    await eventually('from outside', async () => {
      const answers: string[] = [];
      for (let i = 0; i < 20; i += 1) answers.push(await get(outside, 'http://203.0.113.7/hostname'));
      assert.deepEqual(distinct(answers), both);
    });
  });

  await t.test('a LoadBalancer gets its address from our controller and answers at it', async () => {
    await installKinds(cluster.api);
    const world = await createWorld(cluster.api, 'balanced');
    try {
      await world.start();
      await world.pool('pool', ['203.0.113.64/28']);
      const spec = {
        type: 'LoadBalancer',
        selector: web,
        loadBalancerClass: 'fairlead.dev/onprem',
        loadBalancerSourceRanges: [`${OUTSIDE}/32`, POD_CIDR],
      };
      await createService(cluster, 'balanced', spec);
      const address = await eventually('an address', async () => {
        const { json } = await ask(cluster.api, 'GET', '/api/v1/namespaces/default/services/balanced');
        const { status } = json as { status?: { loadBalancer?: { ingress?: readonly { ip?: string }[] } } };
        const ip = status?.loadBalancer?.ingress?.[0]?.ip;
        assert.ok(ip?.startsWith('203.0.113.'), String(ip));
        return ip as string;
      });
      control.ip(`route replace ${address}/32 via ${two.address}`);
      await eventually('from outside', async () => {
        const answers: string[] = [];
        for (let i = 0; i < 20; i += 1) answers.push(await get(outside, `http://${address}/hostname`));
        assert.deepEqual(distinct(answers), both);
      });
      assert.deepEqual(distinct(await dial(cluster, client, { host: address, port: 80 }, 30)), both);
      await assert.rejects(
        get(control, `http://${address}/hostname`),
        /timed out|timeout/i,
        'outside the source ranges',
      );
    } finally {
      await world.clean();
    }
  });

  await t.test('ClientIP affinity keeps a client at one endpoint', async () => {
    const { spec } = await createService(cluster, 'sticky', { selector: web, sessionAffinity: 'ClientIP' });
    await eventually('sticky', async () => {
      const answers = await dial(cluster, client, { host: spec?.clusterIP ?? '', port: 80 }, 30);
      assert.equal(distinct(answers).length, 1, answers.join());
    });
  });

  await t.test('a headless Service is its endpoints in DNS', async () => {
    await createService(cluster, 'headless', { selector: web, clusterIP: 'None' });
    await eventually('both addresses', async () => {
      const answer = await shell(cluster, client, 'dig +short +search headless A');
      assert.deepEqual(distinct(answer.trim().split('\n')), distinct([near.ip, far.ip]));
    });
  });

  await t.test('UDP through a ClusterIP', async () => {
    const ports = [{ port: 90, targetPort: 8081, protocol: 'UDP' }];
    const { spec } = await createService(cluster, 'datagrams', { selector: web, ports });
    await eventually('both', async () => {
      const to = { host: spec?.clusterIP ?? '', port: 90, protocol: 'udp' as const };
      assert.deepEqual(distinct(await dial(cluster, client, to, 30)), both);
    });
  });

  await t.test('a Service without endpoints refuses', async () => {
    const { spec } = await createService(cluster, 'empty');
    await eventually('refused', async () => {
      await assert.rejects(get(one.machine, `http://${spec?.clusterIP}/`), /curl: \(7\)/);
    });
  });

  await t.test('a hostPort answers at its node', async () => {
    assert.equal(await get(outside, `http://${one.address}:8088/hostname`), hosted.name);
  });
});
