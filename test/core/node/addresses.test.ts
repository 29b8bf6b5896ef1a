import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hasOtherAddresses, PROVIDED_NODE_IP, wantedAddresses } from '../../../src/core/node/addresses.ts';
import { addressesIn, nodeOf, textOf } from './fixture.ts';

// Kubelet's --node-ip (k/k cloud-provider, node/helpers).
const provided: readonly { name: string; ip: string; cloud: string; want: string | RegExp }[] = [
  { name: 'a single InternalIP', ip: '10.1.1.1', cloud: 'I 10.1.1.1, H n', want: 'I 10.1.1.1, H n' },
  {
    name: 'the node IP is external',
    ip: '55.55.55.55',
    cloud: 'I 10.1.1.1, E 55.55.55.55, H n',
    want: 'E 55.55.55.55, I 10.1.1.1, H n',
  },
  {
    name: 'InternalIP and ExternalIP are the same (k/k#45201)',
    ip: '55.55.55.55',
    cloud: 'I 44.44.44.44, E 44.44.44.44, I 55.55.55.55, E 55.55.55.55, H n',
    want: 'I 55.55.55.55, E 55.55.55.55, H n',
  },
  {
    name: 'DNS names of both kinds stay',
    ip: '10.1.1.1',
    cloud: 'I 10.1.1.1, E 55.55.55.55, D ip-10-1-1-1.internal, X ec2-55.example.com, H n',
    want: 'I 10.1.1.1, E 55.55.55.55, D ip-10-1-1-1.internal, X ec2-55.example.com, H n',
  },
  {
    name: 'several internal IPs: the provided one alone',
    ip: '10.1.1.1',
    cloud: 'I 10.1.1.1, I 10.2.2.2, I 10.3.3.3, E 55.55.55.55, H n',
    want: 'I 10.1.1.1, E 55.55.55.55, H n',
  },
  {
    name: 'the provided one is not the first',
    ip: '10.3.3.3',
    cloud: 'I 10.1.1.1, I 10.2.2.2, I 10.3.3.3, H n',
    want: 'I 10.3.3.3, H n',
  },
  {
    name: 'an InternalIP that the cloud does not have',
    ip: '10.2.2.2',
    cloud: 'I 10.1.1.1, H n',
    want: /10\.2\.2\.2 is not among .* InternalIP 10\.1\.1\.1/,
  },
  {
    name: 'IPv6 in another notation',
    ip: '2600:1f14:1d4:d101::ba3d',
    cloud: 'I 10.1.1.1, I 2600:1f14:1d4:d101:0:0:0:ba3d, H n',
    want: 'I 2600:1f14:1d4:d101:0:0:0:ba3d, H n',
  },
  {
    name: 'a dual-stack request to a cloud of one family',
    ip: '10.1.1.1,fc01:1234::5678',
    cloud: 'I 10.1.1.1, H n',
    want: /fc01:1234::5678 is not among/,
  },
  {
    name: 'dual stack, IPv4 first in the cloud, IPv4 first in the request',
    ip: '10.1.1.1,fc01:1234::5678',
    cloud: 'I 10.1.1.1, I fc01:1234::5678, H n',
    want: 'I 10.1.1.1, I fc01:1234::5678, H n',
  },
  {
    name: 'dual stack, IPv6 first in the cloud, IPv4 first in the request',
    ip: '10.1.1.1,fc01:1234::5678',
    cloud: 'I fc01:1234::5678, I 10.1.1.1, H n',
    want: 'I 10.1.1.1, I fc01:1234::5678, H n',
  },
  {
    name: 'dual stack, further IPs of both families go',
    ip: '10.1.1.1,fc01:1234::5678',
    cloud: 'I 10.1.1.1, I 10.1.1.2, I fc01:1234::1234, I fc01:1234::5678, H n',
    want: 'I 10.1.1.1, I fc01:1234::5678, H n',
  },
  {
    name: 'dual stack, an ExternalIP that was not asked for stays',
    ip: '10.1.1.1,fc01:1234::5678',
    cloud: 'I 10.1.1.1, E 55.55.55.55, I fc01:1234::1234, I fc01:1234::5678, H n',
    want: 'I 10.1.1.1, I fc01:1234::5678, E 55.55.55.55, H n',
  },
  {
    name: 'dual stack, IPv6 first in the request, ExternalIPs of both families stay',
    ip: 'fc01:1234::5678,10.1.1.1',
    cloud: 'I 10.1.1.1, E 55.55.55.55, I fc01:1234::5678, E 2001:db1::1, H n',
    want: 'I fc01:1234::5678, I 10.1.1.1, E 55.55.55.55, E 2001:db1::1, H n',
  },
  {
    name: 'dual stack, an external IPv4 and an internal IPv6: the others of both types go',
    ip: '55.55.55.55,fc01:1234::5678',
    cloud: 'I 10.1.1.1, E 55.55.55.55, I fc01:1234::5678, E 2001:db1::1, H n',
    want: 'E 55.55.55.55, I fc01:1234::5678, H n',
  },
  {
    name: 'blanks around the comma',
    ip: '10.1.1.1 , fc01::1',
    cloud: 'I fc01::1, I 10.1.1.1',
    want: 'I 10.1.1.1, I fc01::1',
  },
  { name: 'no address', ip: 'invalid-ip', cloud: 'I 10.1.1.1', want: /"invalid-ip" is not an IP address/ },
  { name: 'an empty annotation', ip: '', cloud: 'I 10.1.1.1', want: /"" is not an IP address/ },
  {
    name: 'two of one family',
    ip: '10.1.1.1,10.1.1.2',
    cloud: 'I 10.1.1.1, I 10.1.1.2',
    want: /one of each IP family/,
  },
  { name: 'three addresses', ip: '10.1.1.1,fc01::1,10.1.1.2', cloud: 'I 10.1.1.1', want: /one of each IP family/ },
];
for (const { name, ip, cloud, want } of provided) {
  test(`provided node IP: ${name}`, () => {
    const got = wantedAddresses(nodeOf({ annotations: { [PROVIDED_NODE_IP]: ip } }), addressesIn(cloud));
    if (typeof want === 'string') assert.equal('addresses' in got && textOf(got.addresses), want);
    else {
      assert.ok('problem' in got);
      assert.match(got.problem, want);
      assert.equal(got.field, 'metadata.annotations[alpha.kubernetes.io/provided-node-ip]');
    }
  });
}

const plain: readonly { name: string; node: string; cloud: string; want: string }[] = [
  {
    name: "the cloud's Hostname wins over kubelet's",
    node: 'H kubelet',
    cloud: 'H cloud, I 10.0.0.1',
    want: 'H cloud, I 10.0.0.1',
  },
  {
    name: "kubelet's Hostname is kept where the cloud has none",
    node: 'I 10.9.9.9, H kubelet',
    cloud: 'I 10.0.0.1',
    want: 'I 10.0.0.1, H kubelet',
  },
  {
    name: 'nothing else of kubelet is kept',
    node: 'I 10.9.9.9, D a.internal',
    cloud: 'I 10.0.0.1',
    want: 'I 10.0.0.1',
  },
  {
    name: 'the same address twice is one',
    node: '',
    cloud: 'I 10.0.0.1, I 10.0.0.1, E 10.0.0.1',
    want: 'I 10.0.0.1, E 10.0.0.1',
  },
  { name: 'the same IPv6 in two notations is one', node: '', cloud: 'I fd00:0::1, I fd00::1', want: 'I fd00::1' },
];
for (const { name, node, cloud, want } of plain) {
  test(`addresses: ${name}`, () => {
    const got = wantedAddresses(nodeOf({ addresses: addressesIn(node) }), addressesIn(cloud));
    assert.equal('addresses' in got && textOf(got.addresses), want);
  });
}

const differences: readonly { name: string; now: string; wanted: string; ip?: string; differs: boolean }[] = [
  { name: 'equal', now: 'I 10.0.0.1, E 132.143.154.163', wanted: 'I 10.0.0.1, E 132.143.154.163', differs: false },
  {
    name: 'another ExternalIP',
    now: 'I 10.0.0.1, E 132.143.154.163',
    wanted: 'I 10.0.0.1, E 132.143.154.164',
    differs: true,
  },
  { name: 'the ExternalIP went', now: 'I 10.0.0.1, E 132.143.154.163', wanted: 'I 10.0.0.1', differs: true },
  { name: 'a Hostname on one side only', now: 'H a, I 10.0.0.1', wanted: 'I 10.0.0.1', differs: true },
  { name: 'a Hostname that came', now: 'I 10.0.0.1', wanted: 'H a, I 10.0.0.1', differs: true },
  {
    name: 'types swapped',
    now: 'I 10.0.0.1, E 132.143.154.163',
    wanted: 'E 10.0.0.1, I 132.143.154.163',
    differs: true,
  },
  {
    name: 'two InternalIPs in another order',
    now: 'I 10.0.0.1, I fd00::1',
    wanted: 'I fd00::1, I 10.0.0.1',
    differs: false,
  },
  {
    name: 'one of two InternalIPs changed',
    now: 'I 10.0.0.1, I fd00::1',
    wanted: 'I 10.0.0.1, I fd00::2',
    differs: true,
  },
  { name: 'one of two InternalIPs went', now: 'I 10.0.0.1, I fd00::1', wanted: 'I fd00::1', differs: true },
  { name: 'IPv6 in another notation', now: 'I fd00:0:0::1', wanted: 'I fd00::1', differs: false },
  { name: 'none before', now: '', wanted: 'I 10.0.0.1', differs: true },
  {
    name: 'the primary one of a provided node IP changed',
    now: 'I 10.0.0.1, I fd00::1',
    wanted: 'I fd00::1, I 10.0.0.1',
    ip: 'fd00::1,10.0.0.1',
    differs: true,
  },
  {
    name: 'behind a provided node IP the order means nothing',
    now: 'I 10.0.0.1, H a, E 1.1.1.1',
    wanted: 'I 10.0.0.1, E 1.1.1.1, H a',
    ip: '10.0.0.1',
    differs: false,
  },
];
for (const { name, now, wanted, ip, differs } of differences) {
  test(`addresses differ: ${name}: ${differs}`, () => {
    const annotations = ip === undefined ? {} : { annotations: { [PROVIDED_NODE_IP]: ip } };
    assert.equal(
      hasOtherAddresses(nodeOf({ addresses: addressesIn(now), ...annotations }), addressesIn(wanted)),
      differs,
    );
  });
}
