import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  hostLinkName,
  isHostLinkName,
  LINK_GROUP,
  macsOf,
  ROUTE_PROTOCOL,
  rerouteMessages,
  unrouteMessages,
  type Wiring,
  wiringResult,
  wiringSteps,
} from '../../../src/core/cni/wiring.ts';
import { HOST_ROUTE_PROTOCOL } from '../../../src/core/route/host.ts';

const wiring: Wiring = {
  link: { name: 'fl00000000001', index: 100_001 },
  peerIndex: 100_002,
  ifname: 'eth0',
  netns: '/run/netns/x',
  hostMac: '0a:59:0a:40:01:02',
  mac: '0a:58:0a:40:01:02',
  mtu: 1450,
  addresses: [
    { family: 'ipv4', address: '10.64.1.2', gateway: '10.64.1.1' },
    { family: 'ipv6', address: 'fd00::2', gateway: 'fd00::1' },
  ],
  alias: 'shop/web eth0',
  routeLocalnet: true,
};

test('a pod of both families is wired in six steps, the link alone first', () => {
  const link = 100_001;
  const peer = 100_002;
  assert.deepEqual(wiringSteps(wiring, 9), [
    {
      kind: 'messages',
      where: 'host',
      messages: [
        {
          kind: 'newLink',
          type: 'veth',
          name: 'fl00000000001',
          index: link,
          mac: '0a:59:0a:40:01:02',
          mtu: 1450,
          group: LINK_GROUP,
          peer: {
            name: 'eth0',
            index: peer,
            mac: '0a:58:0a:40:01:02',
            mtu: 1450,
            group: LINK_GROUP,
            netns: { fd: 9, path: '/run/netns/x' },
          },
        },
      ],
    },
    {
      kind: 'messages',
      where: 'host',
      messages: [
        { kind: 'setLink', link: { index: link }, up: true, alias: 'shop/web eth0' },
        { kind: 'newAddress', address: '10.64.1.1', prefixLength: 32, link, nodad: true },
        { kind: 'newAddress', address: 'fd00::1', prefixLength: 128, link, nodad: true },
        { kind: 'newRoute', destination: '10.64.1.2/32', link, scope: 'link', protocol: ROUTE_PROTOCOL },
        { kind: 'newRoute', destination: 'fd00::2/128', link, scope: 'link', protocol: ROUTE_PROTOCOL },
      ],
    },
    { kind: 'sysctl', where: 'host', name: 'net/ipv4/conf/fl00000000001/route_localnet', value: '1' },
    { kind: 'sysctl', where: 'pod', name: 'net/ipv6/conf/all/disable_ipv6', value: '0' },
    {
      kind: 'messages',
      where: 'pod',
      messages: [
        { kind: 'setLink', link: { name: 'lo' }, up: true },
        { kind: 'setLink', link: { index: peer }, up: true },
        { kind: 'newAddress', address: '10.64.1.2', prefixLength: 32, link: peer, nodad: true },
        { kind: 'newRoute', destination: '10.64.1.1/32', link: peer, scope: 'link' },
        { kind: 'newRoute', destination: '0.0.0.0/0', via: '10.64.1.1', link: peer },
        { kind: 'newAddress', address: 'fd00::2', prefixLength: 128, link: peer, nodad: true },
        { kind: 'newRoute', destination: 'fd00::1/128', link: peer, scope: 'link' },
        { kind: 'newRoute', destination: '::/0', via: 'fd00::1', link: peer },
      ],
    },
  ]);
});

test('IPv4 alone writes no setting, and no port on 127.0.0.1 opens the loopback', () => {
  const steps = wiringSteps({ ...wiring, addresses: wiring.addresses.slice(0, 1), routeLocalnet: false }, 9);
  assert.deepEqual(
    steps.map(({ kind, where }) => `${kind} ${where}`),
    ['messages host', 'messages host', 'messages pod'],
  );
});

test('the result names both ends, and the address is on the second', () => {
  const { interfaces, ips, routes } = wiringResult(wiring, {});
  assert.deepEqual(interfaces[0], { name: 'fl00000000001', mac: '0a:59:0a:40:01:02', mtu: 1450 });
  assert.equal(interfaces[1]?.sandbox, '/run/netns/x');
  assert.deepEqual(
    ips.map((ip) => [ip.interface, ip.address]),
    [
      [1, '10.64.1.2/32'],
      [1, 'fd00::2/128'],
    ],
  );
  assert.deepEqual(
    routes.map(({ dst }) => dst),
    ['0.0.0.0/0', '::/0'],
  );
});

test('routes go and come back by destination, link and our protocol, which is not that of the routes part', () => {
  const attachment = { link: wiring.link, addresses: ['10.64.1.2', 'fd00::2'] };
  assert.deepEqual(unrouteMessages(attachment), [
    { kind: 'deleteRoute', destination: '10.64.1.2/32', link: 100_001, protocol: ROUTE_PROTOCOL },
    { kind: 'deleteRoute', destination: 'fd00::2/128', link: 100_001, protocol: ROUTE_PROTOCOL },
  ]);
  assert.equal(rerouteMessages(attachment).length, 2);
  assert.deepEqual(unrouteMessages({ addresses: ['10.64.1.2'] }), []);
  assert.notEqual(ROUTE_PROTOCOL, HOST_ROUTE_PROTOCOL);
});

test('names of links: 13 characters, the same for the same pod, others for another interface', () => {
  const names = new Set<string>();
  for (let pod = 0; pod < 20_000; pod += 1)
    for (const ifname of ['eth0', 'eth1']) {
      const name = hostLinkName(`${'0'.repeat(60)}${pod.toString(16).padStart(4, '0')}`, ifname);
      assert.ok(isHostLinkName(name) && name.length === 13, name);
      names.add(name);
    }
  assert.equal(names.size, 40_000);
  // It is on disk and in the kernel: another hash in the next version would orphan every pod.
  assert.equal(hostLinkName('pod1', 'eth0'), 'flqeljobk8nnm');
});

test('MACs come from the first address, are local and of one station, and differ at the two ends', () => {
  assert.deepEqual(macsOf(['10.64.1.2']), { pod: '0a:58:0a:40:01:02', host: '0a:59:0a:40:01:02' });
  assert.deepEqual(macsOf(['fd00::1:2']), { pod: '0a:58:00:01:00:02', host: '0a:59:00:01:00:02' });
});
