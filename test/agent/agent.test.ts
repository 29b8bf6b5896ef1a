import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { leaveOut } from '../left-out.ts';
import { netnsMissing } from '../sandbox/netns/missing.ts';
import { createRig, type Rig, type RunningAgent } from './rig.ts';

const COUNT = 'nft list table ip fairlead';
const missing = netnsMissing({ nft: 'nftables' });

/** A test in a namespace of its own, as root; else it is left out. */
function nodeTest(name: string, run: (rig: Rig, t: TestContext) => Promise<void>): void {
  test(name, { timeout: 240_000 }, async (t) => {
    if (missing !== undefined) return leaveOut(t, ...missing);
    await run(await createRig(t), t);
  });
}

const http = { ports: [{ port: 80, targetPort: 8080 }] };
const synced = async (agent: RunningAgent): Promise<RunningAgent> => {
  await agent.logged('synced');
  return agent;
};

nodeTest('Services reach the kernel, change there, survive a restart unwritten, and go with --cleanup', async (rig) => {
  await rig.service('shop', { ...http, clusterIP: '172.30.0.10' }, ['10.64.1.2', '10.64.1.3']);
  const first = await synced(rig.agent());
  await rig.until(COUNT, /172\.30\.0\.10 \. tcp \. 80 \. none : 10\.64\.1\.2 \. 8080/);
  await rig.endpoints('shop', ['10.64.1.2', '10.64.1.3', '10.64.1.4', '10.64.1.5', '10.64.1.6']);
  await rig.until(COUNT, /172\.30\.0\.10 \. tcp \. 80 : 0:5/);
  // The digest of the rules is in the table once nothing happens for a moment.
  for (const family of ['ip', 'ip6']) await rig.until(`nft list table ${family} fairlead`, /chain sum-/);
  const before = await rig.sh('nft list ruleset');
  assert.equal(await first.stop(), 0);
  assert.equal(await rig.sh('nft list ruleset'), before, 'SIGTERM keeps the rules');

  const monitor = rig.netns.spawn('n1', ['nft', 'monitor'], { stdio: ['ignore', 'pipe', 'ignore'] });
  let written = '';
  monitor.stdout?.on('data', (chunk: Buffer) => {
    written += chunk.toString();
  });
  const second = await synced(rig.agent());
  await rig.endpoints('shop', ['10.64.1.2', '10.64.1.9']);
  await rig.until(COUNT, /10\.64\.1\.9/);
  monitor.kill('SIGKILL');
  assert.equal(/add (table|chain|rule|set|map)/.test(written), false, written);
  assert.equal(await second.stop(), 0);

  const cleanup = rig.agent(['--cleanup']);
  assert.equal(await cleanup.ended, 0, cleanup.stderr());
  assert.equal((await rig.sh('nft list tables')).trim(), '');
  const again = rig.agent(['--cleanup']);
  assert.equal(await again.ended, 0, 'nothing there is no failure');
});

nodeTest('an agent that dies leaves what serves, and the next one goes on from there', async (rig) => {
  await rig.service('shop', { ...http, clusterIP: '172.30.0.10' }, ['10.64.1.2', '10.64.1.3']);
  const first = await synced(rig.agent());
  await first.stop('SIGKILL');
  await rig.endpoints('shop', ['10.64.1.3']);
  await rig.service('new', { ...http, clusterIP: '172.30.0.11' }, ['10.64.1.4']);
  await synced(rig.agent());
  const table = await rig.until(COUNT, (text) => !text.includes('10.64.1.2'));
  assert.match(table, /172\.30\.0\.10 \. tcp \. 80 : 0:1/);
  assert.match(table, /172\.30\.0\.11 \. tcp \. 80 : 0:1/);
});

const rivals: readonly { name: string; make: string; says: RegExp }[] = [
  { name: 'the nftables table', make: 'nft add table ip6 kube-proxy', says: /table "ip6 kube-proxy"/ },
  {
    name: 'the chains of its iptables mode',
    make: 'nft add table ip nat && nft add chain ip nat KUBE-SERVICES',
    says: /KUBE-SERVICES/,
  },
];
for (const { name, make, says } of rivals) {
  nodeTest(`beside ${name} of kube-proxy the agent ends, names it, and writes nothing`, async (rig) => {
    await rig.sh(make);
    const before = await rig.sh('nft list ruleset');
    const agent = rig.agent();
    assert.equal(await agent.ended, 1);
    assert.match(agent.stderr(), says);
    assert.match(agent.stderr(), /FL_KUBE_PROXY_RUNNING/);
    assert.equal(await rig.sh('nft list ruleset'), before);
  });
}

nodeTest('without CAP_NET_ADMIN the agent ends and names the capability', async (rig) => {
  for (const channel of ['auto', 'socket', 'text']) {
    const prefix = ['setpriv', '--bounding-set=-net_admin', '--inh-caps=-net_admin'];
    const agent = rig.agent([`--channel=${channel}`], { prefix });
    assert.equal(await agent.ended, 1, channel);
    assert.match(agent.stderr(), /CAP_NET_ADMIN.*FL_NET_ADMIN/, channel);
  }
});

nodeTest('without nft, or with one that is too old, the agent ends and says so', async (rig) => {
  const empty = join(rig.netns.folder, 'empty');
  mkdirSync(empty);
  const without = rig.agent([], { prefix: ['env', `PATH=${empty}`] });
  assert.equal(await without.ended, 1);
  assert.match(without.stderr(), /nft is not installed.*FL_COMMAND_MISSING/);
  const old = join(rig.netns.folder, 'old');
  mkdirSync(old);
  writeFileSync(join(old, 'nft'), '#!/bin/sh\n[ "$1" = --version ] && echo "nftables v0.9.8 (E.D.S.)"\nexit 0\n');
  chmodSync(join(old, 'nft'), 0o755);
  const outdated = rig.agent([], { prefix: ['env', `PATH=${old}:${process.env['PATH']}`] });
  assert.equal(await outdated.ended, 1);
  assert.match(outdated.stderr(), /v0\.9\.8.*FL_NFT_TOO_OLD/);
});

nodeTest('health pages, health check node ports, metrics and probes', async (rig) => {
  const spec = {
    type: 'LoadBalancer',
    externalTrafficPolicy: 'Local',
    healthCheckNodePort: 31_999,
    clusterIP: '172.30.0.10',
    ports: [{ port: 80, targetPort: 8080, nodePort: 31_080 }],
  };
  await rig.service('shop', spec, ['10.64.1.2', '10.64.1.3']);
  await synced(rig.agent(['--kube-proxy-metrics', '--readyz-bind-address=127.0.0.1:10271']));
  const health = await rig.get('http://127.0.0.1:10256/healthz');
  assert.equal(health.status, 200);
  assert.equal((JSON.parse(health.text) as { nodeEligible: boolean }).nodeEligible, true);
  const port = await rig.get(`http://${rig.nodeIp}:31999/`);
  assert.deepEqual([port.status, port.headers['x-load-balancing-endpoint-weight']], [200, '2']);
  await assert.rejects(rig.get('http://127.0.0.1:31999/'), 'only where NodePorts answer');
  await rig.endpoints('shop', []);
  await rig.until(COUNT, /no-ep-reject \{[^}]*172\.30\.0\.10/s);
  assert.equal((await rig.get(`http://${rig.nodeIp}:31999/`)).status, 503);
  const taint = { key: 'ToBeDeletedByClusterAutoscaler', effect: 'NoSchedule', value: '1' };
  await rig.patch('/api/v1/nodes/n1', { spec: { taints: [taint] } });
  for (let tries = 0; (await rig.get('http://127.0.0.1:10256/healthz')).status !== 503; tries += 1)
    assert.ok(tries < 100);
  assert.equal((await rig.get('http://127.0.0.1:10256/livez')).status, 200);
  assert.equal((await rig.get('http://127.0.0.1:10271/readyz')).text, 'ok');
  const { text } = await rig.get('http://127.0.0.1:10249/metrics');
  assert.match(text, /^kubeproxy_sync_proxy_rules_duration_seconds_count\{ip_family="IPv4"\} [1-9]/m);
  assert.match(text, /^fairlead_proxy_commits_total\{ip_family="IPv4",outcome="ok"\} [1-9]/m);
});

nodeTest('what cannot be served is told on the Service, and everything else is served', async (rig) => {
  await rig.service('bad', { ...http, clusterIP: '172.30.0.10', externalIPs: ['192.0.2.7'] }, ['10.64.1.2']);
  const slice = '/apis/discovery.k8s.io/v1/namespaces/web/endpointslices/bad-a';
  await rig.patch(slice, { metadata: { annotations: { 'fairlead.dev/weight': 'heavy' } } });
  await rig.service('good', { ...http, clusterIP: '172.30.0.11' }, ['10.64.1.3']);
  await rig.post('/api/v1/namespaces/web/services', {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: 'rival' },
    spec: { ...http, clusterIP: '172.30.0.12', externalIPs: ['192.0.2.7'] },
  });
  await synced(rig.agent());
  const table = await rig.until(COUNT, /192\.0\.2\.7 \. tcp \. 80/);
  assert.match(table, /172\.30\.0\.11 \. tcp \. 80 : 0:1/);
  assert.match(table, /172\.30\.0\.10 \. tcp \. 80 : 0:1/);
  const events = async (): Promise<string> => {
    const list = await rig.client.call<{ items: { reason: string; involvedObject: { name: string } }[] }>({
      method: 'GET',
      path: '/api/v1/namespaces/web/events',
      signal: new AbortController().signal,
    });
    return list.items
      .map(({ reason, involvedObject }) => `${involvedObject.name} ${reason}`)
      .sort()
      .join('\n');
  };
  const wanted = 'bad ServiceProxyInvalid\nrival ServiceProxyConflict';
  for (let tries = 0; (await events()) !== wanted; tries += 1) {
    assert.ok(tries < 200, await events());
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
});

nodeTest('a chain FORWARD that drops lets pods pass, and only our rules go again', async (rig) => {
  await rig.sh(`nft -f - <<'END'
table ip filter { chain FORWARD { type filter hook forward priority 0; policy drop; ip saddr 203.0.113.0/24 counter accept ; } ; }
END`);
  const agent = await synced(rig.agent());
  const chain = await rig.until('nft list chain ip filter FORWARD', /daddr 10\.64\.1\.0\/24 .*accept/);
  assert.match(chain, /saddr 10\.64\.1\.0\/24 .*accept comment "fairlead: pods"/);
  assert.match(await rig.sh('iptables-nft -S FORWARD'), /-A FORWARD -s 10\.64\.1\.0\/24/, 'iptables can still list it');
  await agent.stop();
  assert.equal(await rig.agent(['--cleanup']).ended, 0);
  const left = await rig.sh('nft list chain ip filter FORWARD');
  assert.equal(left.includes('fairlead'), false);
  assert.match(left, /203\.0\.113\.0\/24/);
});

nodeTest("kube-proxy's config file is read, and flags win over it", async (rig) => {
  const file = join(rig.netns.folder, 'config.conf');
  writeFileSync(
    file,
    'apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\nmode: nftables\n' +
      'clusterCIDR: 10.99.0.0/16\nmetricsBindAddress: 127.0.0.1:11249\nipvs: { scheduler: rr }\n',
  );
  const agent = await synced(rig.agent([`--config=${file}`, '--cluster-cidr=10.98.0.0/16']));
  assert.match(await rig.sh('nft list set ip fairlead pod-cidrs'), /10\.98\.0\.0\/16/);
  assert.equal((await rig.get('http://127.0.0.1:11249/metrics')).status, 200);
  assert.ok(agent.log().some(({ setting }) => setting === 'ipvs.scheduler: "rr"'));
  writeFileSync(file, 'kind: Pod\n');
  const wrong = rig.agent([`--config=${file}`]);
  assert.equal(await wrong.ended, 2);
  assert.match(wrong.stderr(), /not KubeProxyConfiguration/);
});

nodeTest('why: what happens to a connection, from the elements in the kernel', async (rig) => {
  await rig.service('shop', { ...http, clusterIP: '172.30.0.10' }, ['10.64.1.2']);
  await synced(rig.agent());
  const { code, stdout, stderr } = await rig.netns.exec('n1', [
    process.execPath,
    join(import.meta.dirname, '../../src/main.ts'),
    ...['why', 'svc/web/shop', '--from=10.64.1.7', '--to=172.30.0.10:80', '--node-name=n1'],
    `--kubeconfig=${join(rig.netns.folder, 'kubeconfig')}`,
  ]);
  assert.equal(code, 0, stderr);
  assert.match(stdout, /10\.64\.1\.7 \(a pod\) connects to 172\.30\.0\.10:80\/tcp/);
  assert.match(stdout, /services \{ 172\.30\.0\.10 \. tcp \. 80 : 0:1 \}/);
  assert.match(stdout, /reaches 10\.64\.1\.2:8080, which sees the client's address/);
});
