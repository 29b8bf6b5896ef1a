/** The agent in a namespace against kube-apiserver: what the sandbox's API does not have, and an API server that goes away. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { createNetns, type Netns } from '../../src/sandbox/netns.ts';
import { type Api, realApi } from '../kube/cluster.ts';
import { leaveOut } from '../left-out.ts';
import { netnsMissing } from '../sandbox/netns/missing.ts';
import { runningAgent } from './rig.ts';

const RELAY = `require('node:net').createServer((a) => {
  const b = require('node:net').connect(process.argv[2]);
  a.pipe(b).pipe(a); a.on('error', () => b.destroy()); b.on('error', () => a.destroy());
}).listen(Number(process.argv[1]), '127.0.0.1', () => console.log('ready'))`;

/** The port of the API server, on the loopback of a namespace: its certificate and the kubeconfig hold there too. */
async function reach(netns: Netns, ns: string, api: Api): Promise<() => void> {
  const port = Number(new URL(api.url).port);
  const path = join(netns.folder, 'api.sock');
  const server = createServer((socket) => {
    const upstream = connect(port, '127.0.0.1');
    socket.pipe(upstream).pipe(socket);
    socket.on('error', () => upstream.destroy());
    upstream.on('error', () => socket.destroy());
  });
  server.listen(path);
  await once(server, 'listening');
  const relay = netns.spawn(ns, [process.execPath, '-e', RELAY, String(port), path], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  if (relay.stdout !== null) await once(relay.stdout, 'data');
  return () => void server.close();
}

test('the agent on a real API server', { timeout: 300_000 }, async (t) => {
  const missing = netnsMissing({ nft: 'nftables' });
  if (missing !== undefined) return leaveOut(t, ...missing);
  const api = await realApi(t, { serviceClusterIpRange: '10.96.0.0/16,fd00:96::/112' });
  if (api === undefined) return;
  const netns = await createNetns({ prefix: 'flar' });
  t.after(() => netns.close());
  await netns.add('n1');
  t.after(await reach(netns, 'n1', api));
  const client = api.client();
  const { signal } = new AbortController();
  const post = (path: string, body: object) =>
    client.call<{ metadata: { uid: string } }>({ method: 'POST', path, body, signal });
  const patch = (path: string, body: object) =>
    client.call({ method: 'PATCH', path, contentType: 'application/merge-patch+json', body, signal });
  const sh = async (command: string) => (await netns.exec('n1', ['sh', '-c', command])).stdout;
  const until = async (what: () => Promise<string>, wanted: RegExp): Promise<string> => {
    const endMs = performance.now() + 60_000;
    for (;;) {
      const text = await what();
      if (wanted.test(text)) return text;
      if (performance.now() > endMs) throw new Error(`never ${wanted}: ${text}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  };
  const services = '/api/v1/namespaces/default/services';
  const slices = '/apis/discovery.k8s.io/v1/namespaces/default/endpointslices';
  const endpoint = (address: string) => ({ addresses: [address], conditions: { ready: true }, nodeName: 'n1' });
  const slice = (name: string, address: string, addressType = 'IPv4') => ({
    metadata: { name: `${name}-${addressType.toLowerCase()}`, labels: { 'kubernetes.io/service-name': name } },
    addressType,
    ports: [{ name: '', protocol: 'TCP', port: 8080 }],
    endpoints: [endpoint(address)],
  });
  await post('/api/v1/nodes', {
    metadata: { name: 'n1' },
    spec: { podCIDR: '10.64.1.0/24', podCIDRs: ['10.64.1.0/24'] },
  });
  await post(services, {
    metadata: { name: 'dual' },
    spec: {
      clusterIP: '10.96.0.20',
      clusterIPs: ['10.96.0.20', 'fd00:96::20'],
      ipFamilyPolicy: 'RequireDualStack',
      ports: [{ port: 80, targetPort: 8080 }],
    },
  });
  await post(slices, slice('dual', '10.64.1.2'));
  await post(slices, slice('dual', 'fd00:64::2', 'IPv6'));
  const agent = runningAgent(
    netns,
    [
      process.execPath,
      join(import.meta.dirname, '../../src/main.ts'),
      'agent',
      '--node-name=n1',
      '--parts=proxy',
      `--kubeconfig=${api.kubeconfig}`,
    ],
    [],
  );
  await agent.logged('synced');

  await t.test('both families, and the ranges of ClusterIPs from ServiceCIDRs', async () => {
    const ip = await sh('nft list table ip fairlead');
    assert.match(ip, /10\.96\.0\.20 \. tcp \. 80 : 0:1/);
    assert.match(ip, /set svc-cidrs \{[^}]*10\.96\.0\.0\/16/s);
    const ip6 = await sh('nft list table ip6 fairlead');
    assert.match(ip6, /fd00:96::20 \. tcp \. 80 : 0:1/);
    assert.match(ip6, /set svc-cidrs \{[^}]*fd00:96::\/112/s);
  });

  await t.test('a Service that is given to another proxy leaves the tables, and comes back', async () => {
    const label = 'service.kubernetes.io/service-proxy-name';
    const proxied = () => sh('nft list map ip fairlead services');
    await patch(`${services}/dual`, { metadata: { labels: { [label]: 'other' } } });
    await until(proxied, /^(?!.*10\.96\.0\.20)/s);
    await patch(`${services}/dual`, { metadata: { labels: { [label]: null } } });
    await until(proxied, /10\.96\.0\.20 \. tcp \. 80 : 0:1/);
  });

  await t.test('one Warning per NetworkPolicy, whoever is first', async () => {
    await post('/apis/networking.k8s.io/v1/namespaces/default/networkpolicies', {
      metadata: { name: 'deny' },
      spec: { podSelector: {}, policyTypes: ['Ingress'] },
    });
    const events = async () =>
      JSON.stringify(
        await client.call({
          method: 'GET',
          path: '/api/v1/namespaces/default/events?fieldSelector=reason%3DNetworkPolicyNotEnforced',
          signal,
        }),
      );
    const text = await until(events, /"reason":"NetworkPolicyNotEnforced"/);
    assert.equal(text.match(/"reason":"NetworkPolicyNotEnforced"/g)?.length, 1);
    assert.match(text, /"kind":"NetworkPolicy","name":"deny"|"name":"deny"/);
  });

  await t.test('while the API server is away everything stays, and what changed meanwhile follows', async () => {
    const before = await sh('nft list table ip fairlead');
    await api.kill();
    await new Promise((resolve) => setTimeout(resolve, 1500));
    assert.equal(await sh('nft list table ip fairlead'), before);
    await api.start();
    await patch(`${slices}/dual-ipv4`, { endpoints: [endpoint('10.64.1.9')] });
    await until(() => sh('nft list map ip fairlead endpoints'), /10\.64\.1\.9 \. 8080/);
  });

  await t.test('a pod CIDR that comes or goes at run time changes the rules, and no element', async () => {
    const rules = () => sh('nft list chain ip fairlead svc');
    await until(rules, /ip saddr @pod-cidrs/);
    const elements = await sh('nft list map ip fairlead endpoints');
    await client.call({ method: 'DELETE', path: '/api/v1/nodes/n1', signal });
    await until(rules, /^(?!.*pod-cidrs)/s);
    await post('/api/v1/nodes', {
      metadata: { name: 'n1' },
      spec: { podCIDR: '10.64.2.0/24', podCIDRs: ['10.64.2.0/24'] },
    });
    await until(rules, /ip saddr @pod-cidrs/);
    assert.match(await sh('nft list set ip fairlead pod-cidrs'), /10\.64\.2\.0\/24/);
    assert.equal(await sh('nft list map ip fairlead endpoints'), elements);
  });

  assert.equal(await agent.stop(), 0);
});
