import assert from 'node:assert/strict';
import { test } from 'node:test';
import { messagesOf } from '../../../src/core/net/netlink.ts';
import type { RouteMessage } from '../../../src/core/net/rtnetlink.ts';
import { decodeRouteMessage } from '../../../src/core/net/rtnetlink-decode.ts';
import { encodeRouteBatch, encodeRouteDump } from '../../../src/core/net/rtnetlink-encode.ts';
import { routeCommand } from '../../../src/core/net/rtnetlink-text.ts';
import type { Cidr } from '../../../src/core/provider.ts';

const cidr = (text: string): Cidr => text as Cidr;

/** Each message as `ip` says it, and as bytes: type and flags, then everything behind the header. */
const cases: readonly {
  readonly name: string;
  readonly message: RouteMessage;
  readonly text: string;
  readonly head: string;
  readonly body: string;
}[] = [
  {
    name: 'a veth pair whose other end is in the namespace of descriptor 9',
    message: {
      kind: 'newLink',
      type: 'veth',
      name: 'flh',
      index: 100_000,
      mac: '02:00:00:00:00:01',
      mtu: 1400,
      up: true,
      group: 77,
      peer: {
        name: 'eth0',
        index: 100_001,
        mac: '0a:58:0a:40:01:02',
        mtu: 1400,
        netns: { fd: 9, path: '/run/netns/p' },
      },
    },
    text:
      'link add flh index 100000 address 02:00:00:00:00:01 mtu 1400 group 77 up type veth ' +
      'peer name eth0 index 100001 address 0a:58:0a:40:01:02 mtu 1400 netns /run/netns/p',
    head: '1000 0506',
    body:
      '00000000 a0860100 01000000 01000000 08000300 666c6800 0a000100 02000000 00010000 08000400 78050000 08001b00 4d000000' +
      '50001280 09000100 76657468 00000000' + // LINKINFO, KIND
      '40000280 3c000100 00000000 a1860100 00000000 00000000' + // DATA, the peer's header
      '09000300 65746830 00000000 0a000100 0a580a40 01020000 08000400 78050000 08001c00 09000000',
  },
  {
    name: 'lo up',
    message: { kind: 'setLink', link: { name: 'lo' }, up: true },
    text: 'link set dev lo up',
    head: '1000 0500',
    body: '00000000 00000000 01000000 01000000 07000300 6c6f0000',
  },
  {
    name: 'a port taken from its bridge and renamed',
    message: { kind: 'setLink', link: { index: 7 }, master: 0, name: 'b', up: false },
    text: 'link set dev if7 down nomaster name b',
    head: '1000 0500',
    body: '00000000 07000000 00000000 01000000 06000300 62000000 08000a00 00000000',
  },
  {
    name: 'a link deleted by its name',
    message: { kind: 'deleteLink', link: { name: 'flh' } },
    text: 'link delete dev flh',
    head: '1100 0500',
    body: '00000000 00000000 00000000 00000000 08000300 666c6800',
  },
  {
    name: 'an IPv4 address',
    message: { kind: 'newAddress', address: '10.64.1.1', prefixLength: 32, link: 7, nodad: true },
    text: 'address add 10.64.1.1/32 dev if7',
    head: '1400 0506',
    body: '02200000 07000000 08000200 0a400101 08000100 0a400101',
  },
  {
    name: 'an IPv6 address that is usable at once',
    message: { kind: 'newAddress', address: 'fd00::1', prefixLength: 128, link: 7, nodad: true },
    text: 'address add fd00::1/128 dev if7 nodad',
    head: '1400 0506',
    body:
      '0a800000 07000000 14000200 fd000000 00000000 00000000 00000001 14000100 fd000000 00000000 00000000 00000001' +
      '08000800 02000000',
  },
  {
    name: 'an address that ends by itself, renewed',
    message: { kind: 'newAddress', address: '192.0.2.1', prefixLength: 32, link: 7, lifetimeSeconds: 3, replace: true },
    text: 'address replace 192.0.2.1/32 dev if7 valid_lft 3 preferred_lft 3',
    head: '1400 0505',
    body: '02200000 07000000 08000200 c0000201 08000100 c0000201 14000600 03000000 03000000 00000000 00000000',
  },
  {
    name: 'an address deleted',
    message: { kind: 'deleteAddress', address: '192.0.2.1', prefixLength: 32, link: 7 },
    text: 'address delete 192.0.2.1/32 dev if7',
    head: '1500 0500',
    body: '02200000 07000000 08000200 c0000201 08000100 c0000201',
  },
  {
    name: 'a pod route',
    message: { kind: 'newRoute', destination: cidr('10.64.1.2/32'), link: 7, scope: 'link' },
    text: 'route add 10.64.1.2/32 table 254 dev if7 scope 253 protocol 4',
    head: '1800 0506',
    body: '02200000 fe04fd01 00000000 08000100 0a400102 08000400 07000000',
  },
  {
    name: 'a default route',
    message: { kind: 'newRoute', destination: cidr('0.0.0.0/0'), via: '10.64.1.1', link: 7 },
    text: 'route add 0.0.0.0/0 table 254 via 10.64.1.1 dev if7 scope 0 protocol 4',
    head: '1800 0506',
    body: '02000000 fe040001 00000000 08000500 0a400101 08000400 07000000',
  },
  {
    name: 'the route to another node, replaced',
    message: {
      kind: 'newRoute',
      destination: cidr('fd00:2::/64'),
      via: 'fd99::2',
      link: 7,
      protocol: 88,
      mtu: 1400,
      source: 'fd99::1',
      replace: true,
    },
    text: 'route replace fd00:2::/64 table 254 via fd99::2 dev if7 scope 0 protocol 88 src fd99::1 mtu 1400',
    head: '1800 0505',
    body:
      '0a400000 fe580001 00000000 14000100 fd000002 00000000 00000000 00000000' +
      '14000500 fd990000 00000000 00000000 00000002 08000400 07000000 14000700 fd990000 00000000 00000000 00000001' +
      '0c000880 08000200 78050000',
  },
  {
    name: 'the last resort for free addresses',
    message: {
      kind: 'newRoute',
      destination: cidr('10.64.1.0/24'),
      type: 'blackhole',
      metric: 4_294_967_295,
      protocol: 88,
    },
    text: 'route add blackhole 10.64.1.0/24 table 254 metric 4294967295 scope 0 protocol 88',
    head: '1800 0506',
    body: '02180000 fe580006 00000000 08000100 0a400100 08000600 ffffffff',
  },
  {
    name: 'a gateway of the other family, in a table beyond 8 bits',
    message: { kind: 'newRoute', destination: cidr('10.9.0.0/16'), via: 'fe80::5', link: 7, table: 1000, onlink: true },
    text: 'route add 10.9.0.0/16 table 1000 via inet6 fe80::5 dev if7 scope 0 protocol 4 onlink',
    head: '1800 0506',
    body:
      '02100000 fc040001 04000000 08000100 0a090000 08000f00 e8030000' +
      '16001200 0a00fe80 00000000 00000000 00000000 00050000 08000400 07000000',
  },
  {
    name: 'a route of ours deleted',
    message: { kind: 'deleteRoute', destination: cidr('10.64.2.0/24'), via: '10.0.0.2', protocol: 88 },
    text: 'route delete 10.64.2.0/24 table 254 via 10.0.0.2 protocol 88',
    head: '1900 0500',
    body: '02180000 fe58ff00 00000000 08000100 0a400200 08000500 0a000002',
  },
];

for (const { name, message, text, head, body } of cases) {
  test(`as text: ${name}`, () => assert.equal(routeCommand(message), text));

  test(`as bytes: ${name}`, () => {
    const bytes = Buffer.from(encodeRouteBatch([message], 5));
    assert.equal(bytes.readUInt32LE(0), bytes.length);
    assert.equal(bytes.subarray(4, 8).toString('hex'), head.replace(' ', ''));
    assert.equal(bytes.readUInt32LE(8), 5);
    assert.equal(bytes.subarray(16).toString('hex'), body.replaceAll(' ', ''));
  });
}

test('a batch is one message after the other, numbered', () => {
  const messages = cases.map(({ message }) => message);
  const numbers = messagesOf(encodeRouteBatch(messages, 0xffff_fffe)).map(({ seq }) => seq);
  assert.deepEqual(numbers.slice(0, 4), [0xffff_fffe, 0xffff_ffff, 0, 1]);
  assert.equal(numbers.length, messages.length);
});

test('a namespace that only a path names cannot be bytes, one that only a descriptor names no text', () => {
  const link = { kind: 'setLink', link: { index: 7 } } as const;
  assert.throws(() => encodeRouteBatch([{ ...link, netns: { path: '/run/netns/p' } }], 1), TypeError);
  assert.throws(() => routeCommand({ ...link, netns: { fd: 9 } }), TypeError);
});

test('what is no address is refused before anything is sent', () => {
  const route = { kind: 'newRoute', destination: cidr('10.0.0/8') } as const;
  assert.throws(() => encodeRouteBatch([route], 1), /"10.0.0" is no IP address/);
  const link = { kind: 'setLink', link: { index: 7 }, mac: '0a:58' } as const;
  assert.throws(() => encodeRouteBatch([link], 1), /"0a:58" is no MAC address/);
});

test('text has the names that are known', () => {
  assert.equal(
    routeCommand({ kind: 'newRoute', destination: cidr('::/0'), via: 'fe80::1', link: 3 }, (index) => `eth${index}`),
    'route add ::/0 table 254 via fe80::1 dev eth3 scope 0 protocol 4',
  );
});

test('a request for a dump says which, and leaves statistics out', () => {
  const body = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
  assert.equal(body(encodeRouteDump('links', 1)), `28000000120001030100000000000000${'00'.repeat(16)}08001d0008000000`);
  assert.equal(body(encodeRouteDump('addresses', 1)), `18000000160001030100000000000000${'00'.repeat(8)}`);
  assert.equal(body(encodeRouteDump('routes', 1)), `1c0000001a0001030100000000000000${'00'.repeat(12)}`);
});

/** A message of the kernel: type and body. */
function received(type: number, body: string): ReturnType<typeof decodeRouteMessage> {
  const payload = Buffer.from(body.replaceAll(' ', ''), 'hex');
  const header = Buffer.alloc(16);
  header.writeUInt32LE(16 + payload.length, 0);
  header.writeUInt16LE(type, 4);
  const datagram = Buffer.concat([header, payload]);
  const [message] = messagesOf(datagram);
  return message && decodeRouteMessage(datagram, message);
}

test("a cached route and a bridge's view of its port are no news", () => {
  assert.equal(received(24, '02200000 fe04fd01 00020000 08000100 0a400102'), undefined);
  assert.equal(received(16, '07000000 07000000 01000000 00000000 08000300 666c6800'), undefined);
  assert.equal(received(28, '02000000 07000000 00000000'), undefined);
});

test('a route of several hops, one by way of the other family', () => {
  const near = '10000001 03000000 08000500 0a000002';
  const far = '20000000 04000000 16001200 0a00fe80 00000000 00000000 00000000 00050000';
  const event = received(25, `02100000 fe030001 00000000 08000100 0a080000 34000900 ${near} ${far}`);
  assert.deepEqual(event, {
    kind: 'route',
    gone: true,
    route: {
      destination: '10.8.0.0/16',
      type: 'unicast',
      table: 254,
      protocol: 3,
      scope: 0,
      metric: 0,
      flags: 0,
      hops: [
        { via: '10.0.0.2', link: 3, weight: 2 },
        { via: 'fe80::5', link: 4, weight: 1 },
      ],
    },
  });
});

test('an address with another one at its far end is the near one', () => {
  const event = received(20, '02180000 07000000 08000100 0a000002 08000200 0a000001 08000800 80000000');
  assert.deepEqual(event, {
    kind: 'address',
    gone: false,
    address: {
      family: 'ipv4',
      link: 7,
      address: '10.0.0.1',
      prefixLength: 24,
      scope: 0,
      flags: 128,
      preferredSeconds: 4_294_967_295,
      validSeconds: 4_294_967_295,
    },
  });
});
