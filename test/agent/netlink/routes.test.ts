import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ChannelKind, RouteChannel } from '../../../src/agent/netlink/channel.ts';
import type { RouteEvent, RouteMessage } from '../../../src/core/net/rtnetlink.ts';
import type { Cidr } from '../../../src/core/provider.ts';
import { KINDS, openLab, type Place } from './lab.ts';

const cidr = (text: string): Cidr => text as Cidr;
const HOST = 100_010;
const POD = 100_011;

/** A pod's wiring, host routes of every form, changes and deletions; and what fails. */
const steps = (netns: string): readonly RouteMessage[] => [
  {
    kind: 'newLink',
    type: 'veth',
    name: 'flhost',
    index: HOST,
    mac: '02:00:00:00:00:01',
    mtu: 1400,
    up: true,
    group: 77,
    peer: { name: 'eth0', index: POD, mac: '0a:58:0a:40:01:02', mtu: 1400, group: 78 },
  },
  { kind: 'setLink', link: { index: POD }, up: true },
  { kind: 'newLink', type: 'bridge', name: 'flhost', index: 100_020 }, // the name is taken: nothing after it is sent
  { kind: 'setLink', link: { name: 'lo' }, mtu: 1234 },
  { kind: 'newLink', type: 'bridge', name: 'br0', index: 100_030, mac: '02:00:00:00:00:08', up: true },
  { kind: 'newLink', type: 'bridge', name: 'other', index: HOST }, // the index is taken
  {
    kind: 'newLink',
    type: 'veth',
    name: 'port0',
    index: 100_040,
    mac: '02:00:00:00:00:09',
    peer: { name: 'end0', index: 100_041, mac: '02:00:00:00:00:0b' },
  },
  { kind: 'setLink', link: { index: 100_040 }, up: true, mtu: 1300, alias: 'fairlead test "1"', name: 'port1' },
  { kind: 'setLink', link: { name: 'port1' }, master: 100_030, mac: '02:00:00:00:00:0a' },
  { kind: 'setLink', link: { index: 99 }, up: true },
  { kind: 'newAddress', address: '10.64.1.1', prefixLength: 32, link: HOST },
  { kind: 'newAddress', address: '10.64.1.1', prefixLength: 32, link: HOST }, // twice
  { kind: 'newAddress', address: 'fd00:64::1', prefixLength: 128, link: HOST, nodad: true },
  { kind: 'newAddress', address: 'fd00:65::1', prefixLength: 64, link: HOST, nodad: true, noPrefixRoute: true },
  { kind: 'newAddress', address: '10.65.0.1', prefixLength: 24, link: HOST, noPrefixRoute: true },
  { kind: 'newAddress', address: '192.0.2.7', prefixLength: 32, link: HOST, lifetimeSeconds: 3000 },
  { kind: 'newAddress', address: '192.0.2.7', prefixLength: 32, link: HOST, lifetimeSeconds: 4000, replace: true },
  { kind: 'newAddress', address: '192.0.2.8', prefixLength: 32, link: HOST },
  { kind: 'deleteAddress', address: '192.0.2.8', prefixLength: 32, link: HOST },
  { kind: 'deleteAddress', address: '192.0.2.9', prefixLength: 32, link: HOST },
  { kind: 'newRoute', destination: cidr('10.64.1.2/32'), link: HOST, scope: 'link', protocol: 88 },
  { kind: 'newRoute', destination: cidr('fd00:64::2/128'), link: HOST, protocol: 88 },
  { kind: 'newRoute', destination: cidr('10.64.1.0/24'), type: 'blackhole', metric: 4_294_967_295, protocol: 88 },
  { kind: 'newRoute', destination: cidr('fd00:64::/64'), type: 'blackhole', metric: 4_294_967_295, protocol: 88 },
  {
    kind: 'newRoute',
    destination: cidr('10.64.2.0/24'),
    via: '10.64.1.2',
    link: HOST,
    protocol: 88,
    source: '10.64.1.1',
  },
  { kind: 'newRoute', destination: cidr('10.64.2.0/24'), via: '10.64.1.2', link: HOST }, // exists
  { kind: 'newRoute', destination: cidr('10.64.2.0/24'), via: '10.64.1.2', mtu: 1380, protocol: 89, replace: true },
  { kind: 'newRoute', destination: cidr('10.64.3.0/24'), via: '10.99.9.9', link: HOST, onlink: true },
  { kind: 'newRoute', destination: cidr('10.64.4.0/24'), via: 'fe80::5', link: HOST },
  { kind: 'newRoute', destination: cidr('10.64.5.0/24'), via: '172.31.0.1' }, // unreachable gateway
  { kind: 'newRoute', destination: cidr('fd00:66::/64'), via: 'fd00:64::2', link: HOST, metric: 50 },
  { kind: 'newRoute', destination: cidr('0.0.0.0/0'), via: '10.64.1.2', link: HOST },
  { kind: 'newRoute', destination: cidr('::/0'), via: 'fd00:64::2', link: HOST },
  { kind: 'newRoute', destination: cidr('10.70.0.0/16'), type: 'unreachable', table: 1000, metric: 5 },
  { kind: 'newRoute', destination: cidr('10.71.0.0/16'), type: 'prohibit' },
  { kind: 'newRoute', destination: cidr('10.72.0.0/16'), type: 'throw', table: 99 },
  { kind: 'newRoute', destination: cidr('192.0.2.99/32'), type: 'local', link: HOST },
  { kind: 'newRoute', destination: cidr('10.73.0.0/16'), link: HOST },
  { kind: 'deleteRoute', destination: cidr('10.73.0.0/16'), protocol: 99 }, // not that one
  { kind: 'deleteRoute', destination: cidr('10.73.0.0/16'), protocol: 4, link: HOST },
  { kind: 'deleteRoute', destination: cidr('10.71.0.0/16'), type: 'prohibit' },
  { kind: 'deleteRoute', destination: cidr('fd00:66::/64'), metric: 50 },
  { kind: 'deleteRoute', destination: cidr('10.74.0.0/16') },
  {
    kind: 'newLink',
    type: 'veth',
    name: 'flaway',
    index: 100_050,
    mac: '02:00:00:00:00:03',
    peer: { name: 'eth0', index: 100_051, mac: '02:00:00:00:00:04', netns: { path: netns } },
  },
  { kind: 'deleteLink', link: { name: 'port1' } },
  { kind: 'deleteLink', link: { index: 4711 } },
];

/** Lists in an order of their own; times run. */
async function state({ route }: { readonly route: RouteChannel }): Promise<unknown> {
  const text = (item: unknown): string => JSON.stringify(item, Object.keys(item as object).sort());
  const near = (seconds: number): number => (seconds > 4_000_000 ? seconds : Math.round(seconds / 1000));
  const addresses = (await route.addresses()).map((address) => ({
    ...address,
    flags: address.flags & ~0x40, // tentative: for a moment, and only the kernel's own
    validSeconds: near(address.validSeconds),
    preferredSeconds: near(address.preferredSeconds),
  }));
  // Whether a carrier is there yet (RTNH_F_LINKDOWN) is a matter of time.
  const routes = (await route.routes()).map((item) => ({ ...item, flags: item.flags & ~0x10 }));
  // What the kernel adds by itself comes with the carrier.
  const isOurs = (destination: string): boolean => !/^(fe80|ff00):/.test(destination);
  return {
    links: (await route.links()).map(text).sort(),
    addresses: addresses
      .filter(({ address }) => isOurs(address))
      .map(text)
      .sort(),
    routes: routes
      .filter(({ destination }) => isOurs(destination))
      .map(text)
      .sort(),
  };
}

/** One after the other, so that a failed newLink takes nothing with it but itself. */
async function play(place: Place, messages: readonly RouteMessage[]): Promise<readonly number[]> {
  const errnos: number[] = [];
  for (const message of messages) {
    const [ack] = await place.route.send([message]);
    errnos.push(ack?.errno ?? -1);
  }
  return errnos;
}

test('every channel makes the same links, addresses and routes, and fails alike', { timeout: 120_000 }, async (t) => {
  const lab = await openLab(t);
  if (lab === undefined) return;
  const results = new Map<ChannelKind, { readonly errnos: readonly number[]; readonly state: unknown }>();
  const places: Place[] = [];
  for (const kind of KINDS) {
    const place = await lab.open(kind, kind);
    places.push(place);
    await lab.netns.add(`${kind}-pod`);
    const path = lab.netns.path(`${kind}-pod`);
    if (kind !== 'text') {
      // A descriptor is of the process that reads it: the shim has one, these two do not.
      const away = steps(path).findIndex((message) => message.kind === 'newLink' && message.name === 'flaway');
      const errnos = [...(await play(place, steps(path).slice(0, away)))];
      await place.run(
        'ip',
        ...'link add flaway index 100050 address 02:00:00:00:00:03 type veth peer name eth0 index 100051'.split(' '),
        ...`address 02:00:00:00:00:04 netns ${path}`.split(' '),
      );
      errnos.push(0, ...(await play(place, steps(path).slice(away + 1))));
      results.set(kind, { errnos, state: await state(place) });
    } else {
      const errnos = await play(place, steps(path));
      results.set(kind, { errnos, state: await state(place) });
    }
  }
  const expected = results.get('socket');
  assert.deepEqual(results.get('helper'), expected);
  assert.deepEqual(results.get('text'), expected);
  const failed = steps('').flatMap((message, index) => {
    const errno = expected?.errnos[index] ?? -1;
    return errno === 0 ? [] : [`${message.kind} ${index}: ${errno}`];
  });
  assert.deepEqual(failed, [
    'newLink 2: 17',
    'newLink 5: 17',
    'setLink 9: 19',
    'newAddress 11: 17',
    'deleteAddress 19: 99',
    'newRoute 25: 17',
    'newRoute 29: 101',
    'deleteRoute 38: 3',
    'deleteRoute 42: 3',
    'deleteLink 45: 19',
  ]);
  // And what one channel wrote, another reads the same.
  assert.deepEqual(await state({ route: (places[0] as Place).route }), expected?.state);
});

test('what was made is what was asked for, in every detail', { timeout: 60_000 }, async (t) => {
  const lab = await openLab(t);
  if (lab === undefined) return;
  const place = await lab.open('one', 'socket');
  const [link, pod] = [HOST, POD];
  const acks = await place.route.send(steps('').slice(0, 2));
  assert.deepEqual(acks, [
    { sent: true, errno: 0 },
    { sent: true, errno: 0 },
  ]);
  const host = (await place.route.links()).find(({ index }) => index === link);
  assert.deepEqual(host, {
    index: link,
    name: 'flhost',
    up: true,
    carrier: true,
    loopback: false,
    mtu: 1400,
    group: 77,
    mac: '02:00:00:00:00:01',
    type: 'veth',
    peer: pod,
  });
  const wanted: readonly RouteMessage[] = [
    { kind: 'newAddress', address: '10.64.1.1', prefixLength: 32, link },
    { kind: 'newRoute', destination: cidr('10.64.1.2/32'), link, scope: 'link', protocol: 88 },
    { kind: 'newRoute', destination: cidr('10.64.1.0/24'), type: 'blackhole', metric: 4_294_967_295, protocol: 88 },
    { kind: 'newRoute', destination: cidr('10.64.2.0/24'), via: '10.64.1.2', link, source: '10.64.1.1', mtu: 1380 },
  ];
  assert.ok((await place.route.send(wanted)).every(({ errno }) => errno === 0));
  const routes = (await place.route.routes()).filter(
    ({ table, destination }) => table === 254 && !destination.includes(':'),
  );
  const common = { table: 254, flags: 0, metric: 0 };
  assert.deepEqual(routes, [
    { ...common, destination: '10.64.1.0/24', type: 'blackhole', protocol: 88, scope: 0, metric: 4_294_967_295 },
    { ...common, destination: '10.64.1.2/32', type: 'unicast', protocol: 88, scope: 253, link },
    {
      ...common,
      destination: '10.64.2.0/24',
      type: 'unicast',
      protocol: 4,
      scope: 0,
      via: '10.64.1.2',
      link,
      source: '10.64.1.1',
      mtu: 1380,
    },
  ]);
});

test('nothing is sent after a link that could not be made', { timeout: 60_000 }, async (t) => {
  const lab = await openLab(t);
  if (lab === undefined) return;
  for (const kind of KINDS) {
    const place = await lab.open(kind, kind);
    const [lo] = await place.route.links();
    const acks = await place.route.send([
      { kind: 'setLink', link: { name: 'lo' }, mtu: 60_000 },
      { kind: 'newLink', type: 'bridge', name: 'br0', index: lo?.index ?? 1 },
      { kind: 'newAddress', address: '10.64.1.1', prefixLength: 32, link: lo?.index ?? 1 },
      { kind: 'newLink', type: 'bridge', name: 'br1' },
    ]);
    assert.deepEqual(
      acks.map(({ sent, errno }) => ({ sent, errno })),
      [
        { sent: true, errno: 0 },
        { sent: true, errno: 17 },
        { sent: false, errno: 125 },
        { sent: false, errno: 125 },
      ],
      kind,
    );
    assert.deepEqual(
      (await place.route.addresses()).filter(({ address }) => address === '10.64.1.1'),
      [],
      'an address on an interface that is not ours',
    );
  }
});

test('changes by whomever are events, until nobody listens', {
  timeout: 60_000,
}, async (t) => {
  const lab = await openLab(t);
  if (lab === undefined) return;
  for (const kind of KINDS) {
    const place = await lab.open(kind, kind, { events: true });
    const events: RouteEvent[] = [];
    let wake = (): void => {};
    const until = async (what: string, found: () => boolean): Promise<void> => {
      const deadline = AbortSignal.timeout(10_000);
      while (!found()) {
        if (deadline.aborted) assert.fail(`${kind}: no event of ${what}: ${JSON.stringify(events)}`);
        await new Promise<void>((resolve) => {
          wake = resolve;
          setTimeout(resolve, 100);
        });
      }
    };
    const end = place.route.events((event) => {
      events.push(event);
      wake();
    });
    assert.ok(end !== undefined);
    await until('the beginning', () => events[0]?.kind === 'lost');
    await place.run('ip', 'link', 'add', 'br0', 'type', 'bridge');
    await place.run('ip', 'address', 'add', '10.9.0.1/24', 'dev', 'br0');
    await place.run('ip', 'link', 'set', 'br0', 'up');
    await until('a link', () =>
      events.some((event) => event.kind === 'link' && event.link.name === 'br0' && event.link.up),
    );
    await until('a route', () =>
      events.some((event) => event.kind === 'route' && event.route.destination === '10.9.0.0/24'),
    );
    await until('an address', () =>
      events.some((event) => event.kind === 'address' && event.address.address === '10.9.0.1'),
    );
    await place.run('ip', 'route', 'delete', '10.9.0.0/24');
    const isGone = (event: RouteEvent): boolean =>
      event.kind === 'route' && event.gone && event.route.destination === '10.9.0.0/24';
    await until('a route that goes', () => events.some(isGone));
    await place.run('ip', 'link', 'delete', 'br0');
    await until('a link that goes', () => events.some((event) => event.kind === 'link' && event.gone));
    end();
    const count = events.length;
    await place.run('ip', 'link', 'add', 'br1', 'type', 'bridge');
    await place.route.links();
    assert.equal(events.length, count, 'an event after the end of the subscription');
  }
});

test('without a helper there are no events, and that is said', { timeout: 60_000 }, async (t) => {
  const lab = await openLab(t);
  if (lab === undefined) return;
  const place = await lab.open('one', 'socket');
  assert.equal(
    place.route.events(() => {}),
    undefined,
  );
  assert.ok(lab.logged.some((line) => line.startsWith('without the netlink helper')));
});
