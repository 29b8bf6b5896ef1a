/** The proxy part on the API in memory and a kernel in memory: what it does with what it is told. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { createAgent } from '../../../src/agent/agent.ts';
import type { Exec } from '../../../src/agent/exec.ts';
import type { ConntrackChannel } from '../../../src/agent/netlink/channel.ts';
import type { ProxyOptions } from '../../../src/agent/proxy/options.ts';
import type { ConntrackEntry } from '../../../src/core/net/conntrack.ts';
import { createClient } from '../../../src/kube/request.ts';
import { createMetrics } from '../../../src/obs/metrics.ts';
import { createSandboxApi } from '../../../src/sandbox/api/server.ts';
import { systemClock } from '../../../src/work/clock.ts';
import { createFakeNft } from '../../fake/nft.ts';

const { signal } = new AbortController();
const options: ProxyOptions = {
  masqueradeAll: false,
  detectLocal: { by: 'node-cidr' },
  nodePortAddresses: ['primary'],
  conntrack: {
    maxPerCore: 0,
    min: 0,
    tcpEstablishedSeconds: 0,
    tcpCloseWaitSeconds: 0,
    tcpBeLiberal: false,
    udpSeconds: 0,
    udpStreamSeconds: 0,
  },
  minSyncPeriodMs: 100,
  syncPeriodMs: 30_000,
};

/** One flow to a frontend, answered by `by`. */
const flow = (
  destination: string,
  destinationPort: number,
  by: string,
  port: number,
  protocol = 17,
): ConntrackEntry => ({
  family: 'ipv4',
  protocol,
  original: { source: '10.64.1.99', sourcePort: 5353, destination, destinationPort },
  reply: { source: by, sourcePort: port, destination: '10.64.1.99', destinationPort: 5353 },
  id: 1,
  zone: 0,
});

function fakeConntrack() {
  let entries: readonly ConntrackEntry[] = [];
  const channel: ConntrackChannel = {
    kind: 'socket',
    dump: async ({ family, protocol, destination, destinationPort }) =>
      entries.filter(
        (one) =>
          one.family === family &&
          one.protocol === protocol &&
          (destination === undefined || one.original.destination === destination) &&
          (destinationPort === undefined || one.original.destinationPort === destinationPort),
      ),
    async delete(gone) {
      const before = entries.length;
      entries = entries.filter((one) => !gone.includes(one));
      return before - entries.length;
    },
    close: async () => {},
  };
  return {
    channel,
    add: (...more: readonly ConntrackEntry[]) => {
      entries = [...entries, ...more];
    },
    /** 'destination:port by target:port', sorted */
    left: () =>
      entries
        .map(({ original: o, reply: r }) => `${o.destination}:${o.destinationPort} by ${r.source}:${r.sourcePort}`)
        .sort(),
  };
}

async function setUp(t: TestContext, proxy: Partial<ProxyOptions> = {}) {
  const sandbox = createSandboxApi({ clock: systemClock, serviceCidrs: ['172.30.0.0/16'] });
  const client = createClient({ transport: sandbox.transport(), clock: systemClock });
  const post = (path: string, body: object) => client.call({ method: 'POST', path, body, signal });
  const patch = (path: string, body: object) =>
    client.call({ method: 'PATCH', path, contentType: 'application/merge-patch+json', body, signal });
  const nft = createFakeNft();
  const conntrack = fakeConntrack();
  const metrics = createMetrics();
  const stop = new AbortController();
  // Nobody else is on this machine: no tables, no programs.
  const exec: Exec = async (_command, args, { input } = {}) => {
    if (args.includes('-c')) return { code: 0, stdout: '', stderr: '' };
    if (args.includes('--version')) return { code: 0, stdout: 'nftables v1.0.6', stderr: '' };
    if (args.includes('list')) return { code: 0, stdout: '', stderr: '' };
    await nft.load(String(input));
    return { code: 0, stdout: '', stderr: '' };
  };
  await post('/api/v1/namespaces', { metadata: { name: 'web' } });
  await post('/api/v1/nodes', { metadata: { name: 'n1', labels: { 'topology.kubernetes.io/zone': 'z1' } } });
  const route = {
    kind: 'socket' as const,
    send: async () => [],
    links: async () => [],
    addresses: async () => [],
    routes: async () => [],
    events: () => undefined,
    close: async () => {},
  };
  let ran: Promise<void> | undefined;
  t.after(async () => {
    stop.abort(new Error('the test is over'));
    await ran;
    await sandbox.close();
  });
  const agent = await createAgent({
    nodeName: 'n1',
    parts: ['proxy'],
    proxy: { ...options, ...proxy },
    create: {},
    client,
    channels: { nft, route, conntrack: conntrack.channel, close: async () => {} },
    exec,
    sysctlRoot: '/nonexistent',
    clock: systemClock,
    random: () => 0,
    log: { debug() {}, info() {}, warn() {}, error() {} },
    metrics,
  });
  const slices = '/apis/discovery.k8s.io/v1/namespaces/web/endpointslices';
  return {
    nft,
    conntrack,
    metrics,
    post,
    patch,
    agent,
    async start() {
      ran = agent.run(stop.signal);
      await agent.tables.keeper.whenSynced(signal);
    },
    written: () => agent.tables.keeper.written(signal),
    async service(
      name: string,
      spec: object,
      endpoints: readonly object[],
      labels: Readonly<Record<string, string>> = {},
    ) {
      await post('/api/v1/namespaces/web/services', { metadata: { name, labels }, spec });
      const { protocol = 'TCP' } = (spec as { ports: [{ protocol?: string }] }).ports[0];
      await post(slices, {
        metadata: { name: `${name}-a`, labels: { ...labels, 'kubernetes.io/service-name': name } },
        addressType: 'IPv4',
        ports: [{ name: '', protocol, port: 53 }],
        endpoints,
      });
    },
    endpoints: (name: string, endpoints: readonly object[]) => patch(`${slices}/${name}-a`, { endpoints }),
  };
}

const ready = (address: string, more: object = {}) => ({
  addresses: [address],
  conditions: { ready: true },
  nodeName: 'n1',
  ...more,
});
const dns = { clusterIP: '172.30.0.10', ports: [{ protocol: 'UDP', port: 53 }] };

async function eventually(check: () => void): Promise<void> {
  const endMs = performance.now() + 20_000;
  for (;;) {
    try {
      check();
      return;
    } catch (error) {
      if (performance.now() > endMs) throw error;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }
}

test('UDP flows whose endpoint left are removed, those of others stay', async (t) => {
  const s = await setUp(t);
  await s.service('dns', dns, [ready('10.64.1.2'), ready('10.64.1.3')]);
  const foreign = [flow('198.51.100.1', 53, '198.51.100.1', 53), flow('172.30.0.10', 53, '10.64.1.2', 53, 6)];
  s.conntrack.add(
    flow('172.30.0.10', 53, '10.64.1.2', 53),
    flow('172.30.0.10', 53, '10.64.1.3', 53),
    flow('172.30.0.10', 53, '10.64.9.9', 53), // an endpoint that left while no agent ran
    flow('172.30.0.10', 53, '172.30.0.10', 53), // never translated
    ...foreign,
  );
  await s.start();
  const others = ['172.30.0.10:53 by 10.64.1.2:53', '198.51.100.1:53 by 198.51.100.1:53'];
  await eventually(() =>
    assert.deepEqual(s.conntrack.left(), [
      '172.30.0.10:53 by 10.64.1.2:53',
      '172.30.0.10:53 by 10.64.1.2:53',
      '172.30.0.10:53 by 10.64.1.3:53',
      '198.51.100.1:53 by 198.51.100.1:53',
    ]),
  );
  // One that terminates and still serves keeps its flows.
  const leaving = { conditions: { ready: false, serving: true, terminating: true } };
  await s.endpoints('dns', [ready('10.64.1.2', leaving), ready('10.64.1.3')]);
  await eventually(() => assert.equal(s.nft.elements('ip', 'endpoints').length, 1));
  await s.endpoints('dns', [ready('10.64.1.3')]);
  await eventually(() =>
    assert.deepEqual(s.conntrack.left(), [...others.slice(0, 1), '172.30.0.10:53 by 10.64.1.3:53', ...others.slice(1)]),
  );
  await s.endpoints('dns', []);
  await eventually(() => assert.deepEqual(s.conntrack.left(), others, 'the TCP one and the stranger'));
});

test('nothing is written before Services and EndpointSlices are known', async (t) => {
  const s = await setUp(t);
  await s.service('dns', dns, [ready('10.64.1.2')]);
  await s.start();
  const first = s.nft.tried.find(({ changes }) => changes.some(({ element }) => element.set === 'services'));
  assert.ok(
    first?.changes.some(({ element }) => element.set === 'endpoints'),
    'never a Service without its endpoints',
  );
});

test('headless Services and those of another proxy are left alone; with a name only those of that name are served', async (t) => {
  const label = 'service.kubernetes.io/service-proxy-name';
  for (const [proxy, count] of [
    [{}, 1],
    [{ serviceProxyName: 'mine' }, 1],
    [{ serviceProxyName: 'nobody' }, 0],
  ] as const) {
    const s = await setUp(t, proxy);
    await s.service('dns', dns, [ready('10.64.1.2')]);
    await s.service('other', { ...dns, clusterIP: '172.30.0.11' }, [ready('10.64.1.2')], { [label]: 'mine' });
    await s.service('headless', { ...dns, clusterIP: 'None' }, [ready('10.64.1.2')]);
    await s.start();
    // The API server's own Service `kubernetes` has no endpoints and no label.
    const services = s.nft.elements('ip', 'services').length;
    assert.equal(services, count, JSON.stringify(proxy));
  }
});

test('a zone that the node is given later filters endpoints by the hints of their slices, for every Service', async (t) => {
  const s = await setUp(t);
  const hint = (zone: string) => ({ hints: { forZones: [{ name: zone }] } });
  await s.service('dns', dns, [ready('10.64.1.2', hint('z1')), ready('10.64.2.2', hint('z2'))]);
  await s.start();
  assert.equal(s.nft.elements('ip', 'endpoints').length, 1);
  await s.patch('/api/v1/nodes/n1', { metadata: { labels: { 'topology.kubernetes.io/zone': 'z3' } } });
  await eventually(() => assert.equal(s.nft.elements('ip', 'endpoints').length, 2));
});

test("the time from a pod's change to the kernel is measured by the slice's own time stamp", async (t) => {
  const s = await setUp(t);
  await s.service('dns', dns, [ready('10.64.1.2')]);
  await s.start();
  const trigger = new Date(Date.now() - 3000).toISOString();
  await s.patch('/apis/discovery.k8s.io/v1/namespaces/web/endpointslices/dns-a', {
    metadata: { annotations: { 'endpoints.kubernetes.io/last-change-trigger-time': trigger } },
    endpoints: [ready('10.64.1.7')],
  });
  const seven = '\x0a\x40\x01\x07';
  await eventually(() => assert.ok(s.nft.elements('ip', 'endpoints').some(({ data }) => data?.startsWith(seven))));
  await s.written();
  const text = await s.metrics.text();
  const seconds = Number(/network_programming_duration_seconds_sum\{ip_family="IPv4"\} (\S+)/.exec(text)?.[1]);
  assert.ok(seconds >= 3 && seconds < 10, `${seconds}`);
  assert.match(text, /sync_proxy_rules_endpoint_changes_total [1-9]/);
});

test('Services whose Local policy finds no endpoint here are counted', async (t) => {
  const s = await setUp(t);
  await s.service('dns', { ...dns, internalTrafficPolicy: 'Local' }, [{ ...ready('10.64.2.2'), nodeName: 'n2' }]);
  await s.start();
  const line = /no_local_endpoints_total\{traffic_policy="internal",ip_family="IPv4"\} 1/;
  assert.match(await s.metrics.text(), line);
  await s.endpoints('dns', [ready('10.64.1.2')]);
  await eventually(() => assert.equal(s.nft.elements('ip', 'services').length, 1));
  assert.doesNotMatch(await s.metrics.text(), line);
});

test('every family of the proxy has a series once it has worked', async (t) => {
  const s = await setUp(t);
  await s.service('dns', dns, [ready('10.64.1.2')]);
  await s.start();
  const text = await s.metrics.text();
  assert.match(text, /^fairlead_proxy_elements\{ip_family="IPv4"\} [1-9]/m);
  // Those that count what went wrong have none while nothing did.
  const faults = /(failures|refused_elements|repairs|healthz|livez|network_programming|full_proxy_rules)/;
  const families = [...text.matchAll(/^# TYPE (fairlead_proxy_\w+) /gm)].map(([, name]) => name as string);
  const silent = families.filter((name) => !faults.test(name) && !new RegExp(`^${name}(_count)?[{ ]`, 'm').test(text));
  assert.deepEqual(silent, []);
});
