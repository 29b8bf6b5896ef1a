import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type CniFailure, isCniFailure } from '../../../src/core/cni/failure.ts';
import { type NetConf, parseJson, parseNetConf } from '../../../src/core/cni/netconf.ts';

const ADD = { command: 'ADD', args: {} } as const;
const conf = (more: object, call: Parameters<typeof parseNetConf>[1] = ADD): NetConf =>
  parseNetConf(parseJson(JSON.stringify({ cniVersion: '1.0.0', name: 'net', type: 'fairlead', ...more })), call);

test('a plain configuration asks for nothing', () => {
  assert.deepEqual(conf({}), { version: '1.0.0', name: 'net', addresses: [], portMappings: [], dns: {} });
});

test('no cniVersion is the first one', () => assert.equal(conf({ cniVersion: undefined }).version, '0.1.0'));

test('capabilities, args and CNI_ARGS become one wish; the capability wins for the MAC', () => {
  const { addresses, mac, portMappings, dns, mtu } = conf(
    {
      mtu: 1400,
      dns: { nameservers: ['10.0.0.10'] },
      args: { cni: { ips: ['fd00::5/64'], mac: '0a:00:00:00:00:02' } },
      runtimeConfig: {
        mac: '0A-00-00-00-00-03',
        ips: ['10.0.0.5/24'],
        portMappings: [
          { hostPort: 80, containerPort: 8080 },
          { hostPort: 53, containerPort: 53, protocol: 'udp', hostIP: '::' },
          { hostPort: 0, containerPort: 1 },
        ],
      },
    },
    { command: 'ADD', args: { ip: '10.0.0.5', mac: '0a:00:00:00:00:01' } },
  );
  assert.deepEqual(
    { addresses, mac, portMappings, dns, mtu },
    {
      addresses: ['10.0.0.5', 'fd00::5'],
      mac: '0a:00:00:00:00:03',
      portMappings: [
        { hostPort: 80, containerPort: 8080, protocol: 'TCP' },
        { hostPort: 53, containerPort: 53, protocol: 'UDP', hostIP: '::' },
      ],
      dns: { nameservers: ['10.0.0.10'] },
      mtu: 1400,
    },
  );
});

test('GC has the attachments that are valid; an empty list is a list', () => {
  const gc = { command: 'GC', args: {} } as const;
  const of = (list: unknown) => conf({ cniVersion: '1.1.0', 'cni.dev/valid-attachments': list }, gc).validAttachments;
  assert.deepEqual(of([{ containerID: 'a', ifname: 'eth0' }]), [{ containerId: 'a', ifname: 'eth0' }]);
  assert.deepEqual(of([]), []);
  assert.equal(conf({ cniVersion: '1.1.0' }, gc).validAttachments, undefined);
});

const wrongs: readonly (readonly [string, object, number, RegExp])[] = [
  ['a version that is none', { cniVersion: '2.0.0' }, 1, /incompatible CNI versions/],
  ['a version that is a number', { cniVersion: 1 }, 6, /cniVersion: 1 is not a string/],
  ['no name', { name: '' }, 7, /missing network name/],
  ['a name that leaves its folder', { name: '..' }, 7, /invalid characters found in network name/],
  [
    'an address that is none',
    { runtimeConfig: { ips: ['10.0.0.300'] } },
    6,
    /runtimeConfig[.]ips\[0\]: "10[.]0[.]0[.]300" is not an IP address/,
  ],
  ['two addresses of one family', { runtimeConfig: { ips: ['10.0.0.1', '10.0.0.2'] } }, 7, /two ipv4 addresses/],
  ['a multicast MAC', { runtimeConfig: { mac: '01:00:00:00:00:01' } }, 6, /runtimeConfig[.]mac/],
  [
    'a port that is none',
    { runtimeConfig: { portMappings: [{ hostPort: 70000, containerPort: 1 }] } },
    6,
    /hostPort: 70000 is not a port/,
  ],
  [
    'a container port of 0',
    { runtimeConfig: { portMappings: [{ hostPort: 1 }] } },
    6,
    /containerPort: 0 is not a port/,
  ],
  [
    'a protocol that is none',
    { runtimeConfig: { portMappings: [{ hostPort: 1, containerPort: 1, protocol: 'x' }] } },
    6,
    /"x" is not tcp, udp or sctp/,
  ],
  [
    'port mappings that are no list',
    { runtimeConfig: { portMappings: {} } },
    6,
    /runtimeConfig[.]portMappings: \{\} is not a list/,
  ],
  ['an MTU that no link has', { mtu: 20 }, 7, /mtu: 20 is not possible/],
  ['bandwidth', { runtimeConfig: { bandwidth: { ingressRate: 1 } } }, 2, /unsupported field runtimeConfig[.]bandwidth/],
  ['an IPAM plugin', { ipam: { type: 'dhcp' } }, 2, /unsupported field ipam/],
  ['a prevResult that is no object', { prevResult: [] }, 6, /prevResult: \[\] is not an object/],
  ['a prevResult of an unknown version', { prevResult: { cniVersion: '7' } }, 1, /incompatible/],
  [
    'a prevResult whose index leads nowhere',
    { prevResult: { ips: [{ address: '10.0.0.1/24', interface: 0 }] } },
    6,
    /prevResult[.]ips\[0\][.]interface/,
  ],
  [
    'a prevResult without a length',
    { prevResult: { ips: [{ address: '10.0.0.1' }] } },
    6,
    /prevResult[.]ips\[0\][.]address/,
  ],
];
for (const [name, more, code, text] of wrongs)
  test(`${name} is refused with code ${code}, and the field is named`, () => {
    assert.throws(
      () => conf(more),
      (error: CniFailure) => {
        assert.ok(isCniFailure(error), String(error));
        assert.equal(error.code, code);
        assert.match(error.message, text);
        return true;
      },
    );
  });

test('DEL takes whatever ADD refuses, but for version, name and JSON', () => {
  const del = { command: 'DEL', args: {} } as const;
  for (const [, more, code] of wrongs)
    if (code !== 1 && code !== 7 && !('cniVersion' in more)) assert.equal(conf(more, del).name, 'net');
  assert.throws(() => conf({ name: '' }, del), /missing network name/);
});

test('what asks for nothing is no unsupported field', () => {
  const off = { ipam: {}, hairpinMode: false, vlan: 0, bridge: '', runtimeConfig: { bandwidth: {}, aliases: [] } };
  assert.equal(conf(off).name, 'net');
});
