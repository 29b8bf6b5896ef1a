import assert from 'node:assert/strict';
import { test } from 'node:test';
import { agentFlags } from '../../src/cli/agent-flags.ts';
import { readKubeProxyConfig } from '../../src/cli/kube-proxy-config.ts';

const HEAD = 'apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n';
const read = (rest: string) => {
  const { texts, ignored, problems } = readKubeProxyConfig(HEAD + rest);
  return { texts: Object.fromEntries(texts), ignored, problems };
};

/** As kubeadm 1.37 writes it into its ConfigMap. */
const KUBEADM = `
bindAddress: 0.0.0.0
bindAddressHardFail: false
clientConnection:
  acceptContentTypes: ""
  burst: 0
  contentType: ""
  kubeconfig: /var/lib/kube-proxy/kubeconfig.conf
  qps: 0
clusterCIDR: 10.244.0.0/16
configSyncPeriod: 0s
conntrack:
  maxPerCore: null
  min: null
  tcpBeLiberal: false
  tcpCloseWaitTimeout: null
  tcpEstablishedTimeout: null
  udpStreamTimeout: 0s
  udpTimeout: 0s
detectLocal:
  bridgeInterface: ""
  interfaceNamePrefix: ""
detectLocalMode: ""
enableProfiling: false
healthzBindAddress: ""
hostnameOverride: ""
iptables:
  localhostNodePorts: null
  masqueradeAll: false
  masqueradeBit: null
  minSyncPeriod: 0s
  syncPeriod: 0s
ipvs:
  excludeCIDRs: null
  minSyncPeriod: 0s
  scheduler: ""
  strictARP: false
  syncPeriod: 0s
  tcpFinTimeout: 0s
  tcpTimeout: 0s
  udpTimeout: 0s
logging:
  flushFrequency: 0
  options:
    json:
      infoBufferSize: "0"
  verbosity: 0
metricsBindAddress: ""
mode: nftables
nftables:
  masqueradeAll: false
  masqueradeBit: null
  minSyncPeriod: 0s
  syncPeriod: 0s
nodePortAddresses: null
oomScoreAdj: null
portRange: ""
showHiddenMetricsForVersion: ""
winkernel:
  enableDSR: false
`;

test("kubeadm's file says what it says, and nothing more", () => {
  const { texts, ignored, problems } = read(KUBEADM);
  assert.deepEqual(problems, []);
  assert.deepEqual(ignored, []);
  assert.deepEqual(texts, {
    'bind-address': '0.0.0.0',
    'bind-address-hard-fail': 'false',
    'cluster-cidr': '10.244.0.0/16',
    'conntrack-tcp-be-liberal': 'false',
    'conntrack-udp-timeout': '0s',
    'conntrack-udp-timeout-stream': '0s',
    kubeconfig: '/var/lib/kube-proxy/kubeconfig.conf',
    'masquerade-all': 'false',
  });
});

test('settings that mean the same become flags', () => {
  const { texts, ignored } = read(`mode: nftables
hostnameOverride: node-1
healthzBindAddress: 127.0.0.1:11256
metricsBindAddress: 0.0.0.0
detectLocalMode: BridgeInterface
detectLocal: { bridgeInterface: cni0 }
nodePortAddresses: [192.0.2.0/24, primary]
oomScoreAdj: -999
clientConnection: { qps: 50, burst: 100 }
conntrack: { maxPerCore: 0, min: 1000, tcpEstablishedTimeout: 2h0m0s, tcpCloseWaitTimeout: 30m0s, udpTimeout: 30s }
nftables: { masqueradeAll: true, syncPeriod: 10s, minSyncPeriod: 2s }
`);
  assert.deepEqual(ignored, []);
  assert.deepEqual(texts, {
    'node-name': 'node-1',
    'healthz-bind-address': '127.0.0.1:11256',
    'metrics-bind-address': '0.0.0.0',
    'detect-local-mode': 'BridgeInterface',
    'pod-bridge-interface': 'cni0',
    'nodeport-addresses': '192.0.2.0/24,primary',
    'oom-score-adj': '-999',
    'kube-api-qps': '50',
    'kube-api-burst': '100',
    'conntrack-max-per-core': '0',
    'conntrack-min': '1000',
    'conntrack-tcp-timeout-established': '2h0m0s',
    'conntrack-tcp-timeout-close-wait': '30m0s',
    'conntrack-udp-timeout': '30s',
    'masquerade-all': 'true',
    'sync-period': '10s',
    'min-sync-period': '2s',
  });
});

test('each mode has its own settings, those of another are named', () => {
  const file = 'iptables: { masqueradeAll: true }\nnftables: { masqueradeAll: true }\nipvs: { scheduler: rr }\n';
  assert.deepEqual(read(`mode: iptables\n${file}`), {
    texts: { 'masquerade-all': 'true' },
    ignored: [
      'mode: "iptables" (the rules are nftables; without nodePortAddresses NodePorts answer on the primary address)',
      'nftables.masqueradeAll: true',
      'ipvs.scheduler: "rr"',
    ],
    problems: [],
  });
  assert.deepEqual(read(`mode: nftables\n${file}`).ignored, ['iptables.masqueradeAll: true', 'ipvs.scheduler: "rr"']);
});

test('what nobody knows is named, what cannot be is a problem, all at once', () => {
  const { ignored, problems } = read(
    'mode: userspace\nnewThing: { a: 1 }\noomScoreAdj: "x"\nnodePortAddresses: 10.0.0.0/8\n',
  );
  assert.deepEqual(ignored, ['newThing.a: 1']);
  assert.deepEqual(problems, [
    'mode: "userspace" is none of iptables, ipvs, nftables',
    'oomScoreAdj: "x" is no number',
    'nodePortAddresses: "10.0.0.0/8" is no list',
  ]);
});

for (const [name, text, says] of [
  ['of another kind', 'apiVersion: v1\nkind: ConfigMap\n', /"v1" "ConfigMap", not KubeProxyConfiguration/],
  ['that is no map', '- a\n', /no YAML map/],
  ['that is no YAML', 'a: [\n', /./],
] as const) {
  test(`a file ${name} is refused`, () => {
    const { problems } = readKubeProxyConfig(text);
    assert.equal(problems.length, 1);
    assert.match(problems[0] ?? '', says);
  });
}

test('every flag that a setting becomes is one of the agent', () => {
  const known = new Set(agentFlags.map(({ name }) => name));
  const everything = read(KUBEADM.replaceAll(/: (null|"")$/gm, ': 1')).texts;
  for (const name of Object.keys(everything)) assert.ok(known.has(name), name);
});
