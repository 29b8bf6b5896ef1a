import assert from 'node:assert/strict';
import { test } from 'node:test';
import { agentFlags, agentOptions, agentProblems, inertAgentFlags, proxyOptions } from '../../src/cli/agent-flags.ts';
import { InputError } from '../../src/cli/command.ts';
import { parseFlags } from '../../src/cli/flags.ts';

const inputOf = (...argv: readonly string[]) => parseFlags(argv, agentFlags, 0);
const proxyOf = (...argv: readonly string[]) => proxyOptions(inputOf(...argv).flags);
const agentOf = (...argv: readonly string[]) => agentOptions(inputOf(...argv).flags);

test("agent flags: the defaults are kube-proxy's, with a shorter pause between commits", () => {
  assert.deepEqual(proxyOf(), {
    masqueradeAll: false,
    detectLocal: { by: 'node-cidr' },
    nodePortAddresses: ['primary'],
    conntrack: {
      maxPerCore: 32_768,
      min: 131_072,
      tcpEstablishedSeconds: 86_400,
      tcpCloseWaitSeconds: 3600,
      tcpBeLiberal: false,
      udpSeconds: 0,
      udpStreamSeconds: 0,
    },
    minSyncPeriodMs: 100,
    syncPeriodMs: 30_000,
  });
  assert.deepEqual(agentOf(), {
    parts: ['proxy', 'cni', 'routes'],
    channel: 'auto',
    sysctlRoot: '/proc/sys',
    healthz: { port: 10_256 },
    readyz: { host: '127.0.0.1', port: 10_271 },
    metrics: { host: '127.0.0.1', port: 10_249 },
    bindAddressHardFail: false,
    kubeProxyMetrics: false,
  });
});

test('agent flags: beside kube-proxy its ports are left to it', () => {
  const { parts, healthz, metrics } = agentOf('--parts=routes,cni');
  assert.deepEqual(parts, ['cni', 'routes']);
  assert.deepEqual([healthz, metrics], [undefined, { host: '127.0.0.1', port: 10_272 }]);
});

const listens: readonly { text: string; listen: object | undefined }[] = [
  { text: '0.0.0.0:10256', listen: { port: 10_256 } },
  { text: '[::]:10300', listen: { port: 10_300 } },
  { text: '192.0.2.1', listen: { host: '192.0.2.1', port: 10_256 } },
  { text: 'fd00::1', listen: { host: 'fd00::1', port: 10_256 } },
  { text: '[fd00::1]:99', listen: { host: 'fd00::1', port: 99 } },
  { text: ':99', listen: { port: 99 } },
  { text: '', listen: undefined },
];
for (const { text, listen } of listens) {
  test(`agent flags: --healthz-bind-address=${text} as kube-proxy reads it`, () => {
    assert.deepEqual(agentOf(`--healthz-bind-address=${text}`).healthz, listen);
  });
}

test("agent flags: kube-proxy's names reach the same options", () => {
  const { detectLocal, nodePortAddresses, nodeIP, minSyncPeriodMs, syncPeriodMs, conntrack } = proxyOf(
    '--hostname-override=N1',
    '--cluster-cidr=10.244.0.0/16,fd00::/48',
    '--nodeport-addresses=192.0.2.0/24,primary',
    '--bind-address=192.0.2.7',
    '--iptables-min-sync-period=1s',
    '--iptables-sync-period=10s',
    '--conntrack-max-per-core=0',
    '--conntrack-tcp-timeout-established=2h',
    '--conntrack-udp-timeout=90s',
    '--conntrack-tcp-be-liberal',
  );
  assert.deepEqual(detectLocal, { by: 'cluster-cidr', cidrs: ['10.244.0.0/16', 'fd00::/48'] });
  assert.deepEqual(nodePortAddresses, ['192.0.2.0/24', 'primary']);
  assert.deepEqual([nodeIP, minSyncPeriodMs, syncPeriodMs], ['192.0.2.7', 1000, 10_000]);
  assert.deepEqual(
    [conntrack.maxPerCore, conntrack.tcpEstablishedSeconds, conntrack.udpSeconds, conntrack.tcpBeLiberal],
    [0, 7200, 90, true],
  );
  assert.equal(inputOf('--hostname-override=N1').flags['node-name'], 'n1');
  assert.equal(proxyOf('--bind-address=0.0.0.0').nodeIP, undefined, 'the Node object says');
});

test('agent flags: the ways to tell pods from others', () => {
  assert.deepEqual(proxyOf('--detect-local-mode=BridgeInterface', '--pod-bridge-interface=cni0').detectLocal, {
    by: 'interface',
    name: 'cni0',
  });
  assert.deepEqual(proxyOf('--detect-local-mode=InterfaceNamePrefix', '--pod-interface-name-prefix=veth').detectLocal, {
    by: 'interface-prefix',
    prefix: 'veth',
  });
  assert.deepEqual(proxyOf('--detect-local-mode=NodeCIDR', '--cluster-cidr=10.244.0.0/16').detectLocal, {
    by: 'node-cidr',
  });
});

const wrong: readonly { name: string; argv: readonly string[]; says: readonly RegExp[] }[] = [
  { name: 'no part', argv: ['--parts='], says: [/--parts leaves nothing to run/] },
  {
    name: 'modes without what they need, and the other way round',
    argv: ['--detect-local-mode=BridgeInterface', '--pod-interface-name-prefix=veth'],
    says: [/BridgeInterface needs --pod-bridge-interface/, /--pod-interface-name-prefix needs --detect-local-mode/],
  },
  { name: 'ClusterCIDR without a range', argv: ['--detect-local-mode=ClusterCIDR'], says: [/needs --cluster-cidr/] },
  {
    name: 'a pause longer than the period',
    argv: ['--min-sync-period=1m'],
    says: [/--min-sync-period must not be longer than --sync-period/],
  },
];
for (const { name, argv, says } of wrong) {
  test(`agent flags: ${name}`, () => {
    const problems = agentProblems(inputOf(...argv));
    assert.equal(problems.length, says.length, problems.join('\n'));
    for (const [index, pattern] of says.entries()) assert.match(problems[index] ?? '', pattern);
  });
}

test('agent flags: values that cannot be are told all at once', () => {
  const argv = [
    '--parts=proxy,dns',
    '--nodeport-addresses=localhost',
    '--bind-address=x',
    '--cluster-cidr=10.0.0.0/33',
  ];
  assert.throws(
    () => inputOf(...argv),
    (error) => error instanceof InputError && error.problems.length === argv.length,
  );
});

test('agent flags: what means nothing here is taken and named', () => {
  const input = inputOf('--proxy-mode=nftables', '--ipvs-strict-arp', '--v=4', '--masquerade-all');
  assert.deepEqual(inertAgentFlags(input), ['proxy-mode', 'v', 'ipvs-strict-arp']);
});
