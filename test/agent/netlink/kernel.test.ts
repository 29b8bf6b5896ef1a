/** What only the kernel can show: errors, numbers, other people's changes, connections. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openChannels } from '../../../src/agent/netlink/choose.ts';
import type { ElementChange } from '../../../src/core/net/element.ts';
import { systemClock } from '../../../src/work/clock.ts';
import { rulesText } from './history.ts';
import { KINDS, openLab, type Place } from './lab.ts';

const SET = 'cluster-ips';
const key = (index: number): string => String.fromCharCode(10, (index >> 16) & 255, (index >> 8) & 255, index & 255);
const add = (index: number): ElementChange => ({ op: 'add', element: { set: SET, key: key(index) } });
const remove = (index: number): ElementChange => ({ op: 'delete', element: { set: SET, key: key(index) } });
const frontend = (index: number, data: string): ElementChange => ({
  op: 'add',
  element: { set: 'services', key: `${key(index)}\x06\0\0\0\0\x50\0\0`, data },
});

test('the guilty ones are named, nothing of their transaction is done, and the rest goes without them', {
  timeout: 120_000,
}, async (t) => {
  const lab = await openLab(t);
  if (lab === undefined) return;
  for (const kind of KINDS) {
    const { nft, load } = await lab.open(kind, kind);
    await load(rulesText);
    assert.deepEqual(await nft.commit('ip', [frontend(1, '\x01\0\0\0')]), { ok: true });
    const changes = [add(1), frontend(1, '\x02\0\0\0'), add(2), remove(9), add(3)];
    const commit = await nft.commit('ip', changes);
    assert.ok(!commit.ok && !commit.lost);
    assert.deepEqual(
      commit.refused.map(({ errno, element }) => [errno, element]),
      [
        [17, 1],
        [2, 3],
      ],
      kind,
    );
    assert.deepEqual(await nft.dump('ip', SET), [], kind);
    assert.deepEqual(await nft.commit('ip', [add(1), add(2), add(3)]), { ok: true });
    assert.equal((await nft.dump('ip', SET))?.length, 3);
  }
});

test('a table or a set that is gone is told from an element that is', { timeout: 120_000 }, async (t) => {
  const lab = await openLab(t);
  if (lab === undefined) return;
  for (const kind of KINDS) {
    const { nft, load, run } = await lab.open(kind, kind);
    const missing = async (): Promise<unknown> => {
      const commit = await nft.commit('ip6', [{ op: 'add', element: { set: 'cluster-ips', key: 'x'.repeat(16) } }]);
      return commit.ok || commit.lost ? commit : commit.refused.map((refusal) => refusal.missing);
    };
    assert.deepEqual(await missing(), ['table'], kind);
    assert.equal(await nft.chains('ip6'), undefined);
    assert.equal(await nft.fingerprint('ip6'), undefined);
    assert.equal(await nft.dump('ip6', 'cluster-ips'), undefined);
    await load(rulesText);
    await run('nft', 'flush', 'chain', 'ip6', 'fairlead', 'clus');
    await run('nft', 'delete', 'set', 'ip6', 'fairlead', 'no-ep-drop').catch(() => {}); // in use
    await run('nft', 'flush', 'chain', 'ip6', 'fairlead', 'nat-postrouting');
    await run('nft', 'delete', 'set', 'ip6', 'fairlead', 'cluster-ips');
    assert.deepEqual(await missing(), ['set'], kind);
  }
});

test('a digest of the rules sees what somebody does to them, and not our elements', { timeout: 120_000 }, async (t) => {
  const lab = await openLab(t);
  if (lab === undefined) return;
  for (const kind of KINDS) {
    const { nft, load, run } = await lab.open(kind, kind);
    await load(rulesText);
    const before = await nft.fingerprint('ip');
    assert.ok(before !== undefined && before !== (await nft.fingerprint('ip6')));
    await nft.commit('ip', [add(1), frontend(1, '\x01\0\0\0')]);
    await load('add chain ip fairlead sum-0123456789abcdef\n');
    assert.equal(await nft.fingerprint('ip'), before, `${kind}: elements and the chain of the digest`);
    await run('nft', 'add', 'rule', 'ip', 'fairlead', 'noep', 'drop');
    const edited = await nft.fingerprint('ip');
    assert.notEqual(edited, before, `${kind}: a rule`);
    await run('nft', 'add', 'chain', 'ip', 'fairlead', 'strange');
    assert.notEqual(await nft.fingerprint('ip'), edited, `${kind}: a chain`);
    assert.ok((await nft.chains('ip'))?.includes('strange'));
  }
});

test('the generation tells changes by others from ours', { timeout: 120_000 }, async (t) => {
  const lab = await openLab(t);
  if (lab === undefined) return;
  for (const kind of KINDS) {
    const { nft, load, run } = await lab.open(kind, kind);
    await load(rulesText);
    const foreign = async (): Promise<number> => (await nft.generation()) - nft.commits();
    const before = await foreign();
    await nft.commit('ip', [add(1)]);
    await nft.commit('ip', [add(1), remove(7)]); // refused: no new generation
    assert.equal(await foreign(), before, kind);
    if (kind === 'text') continue; // looks seldom, and is told by a test of its own
    await run('nft', 'add', 'element', 'ip', 'fairlead', SET, '{ 10.1.1.1 }');
    assert.equal(await foreign(), before + 1, kind);
  }
});

test('ten thousand services with two endpoints are written in a few transactions and read back', {
  timeout: 120_000,
}, async (t) => {
  const lab = await openLab(t);
  if (lab === undefined) return;
  for (const kind of ['socket', 'helper'] as const) {
    const { nft, load } = await lab.open(kind, kind);
    await load(rulesText);
    const changes: ElementChange[] = [];
    for (let service = 0; service < 10_000; service += 1) {
      for (const slot of [0, 1]) {
        const slotKey = `${key(service)}\x06\0\0\0\0\x50\0\0${String.fromCharCode(slot)}\0\0\0`;
        const data = `${key(service * 2 + slot)}\x1f\x90\0\0`;
        changes.push({ op: 'add', element: { set: 'endpoints', key: slotKey, data } });
      }
    }
    for (let service = 0; service < 10_000; service += 1) changes.push(frontend(service, '\x02\0\0\0'));
    for (let at = 0; at < changes.length; at += 25_000) {
      assert.deepEqual(await nft.commit('ip', changes.slice(at, at + 25_000)), { ok: true });
    }
    const endpoints = await nft.dump('ip', 'endpoints');
    const expected = changes.map(({ element }) => element).filter(({ set }) => set === 'endpoints');
    assert.deepEqual(
      new Set(endpoints?.map((one) => JSON.stringify(one))),
      new Set(expected.map((one) => JSON.stringify(one))),
    );
    assert.equal((await nft.dump('ip', 'services'))?.length, 10_000);
  }
});

test('connections are found by protocol and destination, and only the entry that was found is deleted', {
  timeout: 120_000,
}, async (t) => {
  const lab = await openLab(t, { conntrack: 'conntrack' });
  if (lab === undefined) return;
  for (const kind of KINDS) {
    const place: Place = await lab.open(kind, kind);
    const { conntrack, load, run } = place;
    // A rule that asks for the state makes the namespace track connections.
    await load('table inet t {\n chain c { type filter hook output priority 0 ; ct state new accept ; }\n}\n');
    const entry = (port: number, protocol: string, family: 'v4' | 'v6' = 'v4'): readonly string[] => [
      ...[
        '-I',
        '-p',
        protocol,
        '-s',
        family === 'v4' ? '10.0.0.1' : 'fd00::1',
        '-d',
        family === 'v4' ? '10.0.0.2' : 'fd00::2',
      ],
      ...['--sport', String(port), '--dport', '53', '-t', '600', '-u', 'SEEN_REPLY'],
      ...(protocol === 'tcp' ? ['--state', 'ESTABLISHED'] : []),
    ];
    for (const port of [1001, 1002]) await run('conntrack', ...entry(port, 'udp'));
    await run('conntrack', ...entry(1003, 'udp', 'v6'));
    await run('conntrack', ...entry(1004, 'tcp'));
    const udp = await conntrack.dump({ family: 'ipv4', protocol: 17 });
    const ports = (all: typeof udp): readonly number[] => all.map(({ original }) => original.sourcePort).sort();
    assert.deepEqual(ports(udp), [1001, 1002], kind);
    const found = udp.find(({ original }) => original.sourcePort === 1001);
    assert.ok(found !== undefined);
    const { id: _, ...one } = found;
    assert.deepEqual(one, {
      family: 'ipv4',
      protocol: 17,
      zone: 0,
      original: { source: '10.0.0.1', destination: '10.0.0.2', sourcePort: 1001, destinationPort: 53 },
      reply: { source: '10.0.0.2', destination: '10.0.0.1', sourcePort: 53, destinationPort: 1001 },
    });
    assert.deepEqual(ports(await conntrack.dump({ family: 'ipv6', protocol: 17 })), [1003]);
    const to = { family: 'ipv4', protocol: 17, destination: '10.0.0.2' } as const;
    assert.equal((await conntrack.dump({ ...to, destinationPort: 53 })).length, 2);
    assert.equal((await conntrack.dump({ ...to, destinationPort: 54 })).length, 0);
    assert.equal((await conntrack.dump({ ...to, destination: '10.0.0.3' })).length, 0);
    const gone = udp.filter(({ original }) => original.sourcePort === 1001);
    assert.equal(await conntrack.delete([...gone, ...gone]), 1, `${kind}: the second time it is gone`);
    assert.deepEqual(ports(await conntrack.dump({ family: 'ipv4', protocol: 17 })), [1002]);
    if (kind !== 'text') {
      const other = udp
        .filter(({ original }) => original.sourcePort === 1002)
        .map((item) => ({ ...item, id: item.id ^ 1 }));
      assert.equal(await conntrack.delete(other), 0, `${kind}: another connection of the same ports`);
    }
    assert.equal((await conntrack.dump({ family: 'ipv4', protocol: 6 })).length, 1);
  }
});

test('the first way that works is taken, and a chosen one that does not is an error', {
  timeout: 60_000,
}, async (t) => {
  const lab = await openLab(t);
  if (lab === undefined) return;
  await lab.netns.add('one');
  const base = { netns: lab.netns.path('one'), timers: systemClock, log: lab.log };
  const noLibc = async (): Promise<undefined> => undefined;
  const kindOf = async (options: Parameters<typeof openChannels>[0]): Promise<string> => {
    const channels = await openChannels(options);
    await channels.close();
    return `${channels.nft.kind} ${channels.route.kind} ${channels.conntrack.kind}`;
  };
  assert.equal(await kindOf({ ...base, kind: 'auto', helper: lab.helper }), 'socket socket socket');
  assert.equal(await kindOf({ ...base, kind: 'auto', helper: lab.helper, libc: noLibc }), 'helper helper helper');
  assert.equal(await kindOf({ ...base, kind: 'auto', helper: undefined, libc: noLibc }), 'text text text');
  assert.ok(lab.logged.some((line) => line.startsWith('neither koffi nor the netlink helper works')));
  const unavailable = { code: 'FL_NETLINK_UNAVAILABLE' };
  await assert.rejects(openChannels({ ...base, kind: 'socket', helper: undefined, libc: noLibc }), unavailable);
  await assert.rejects(openChannels({ ...base, kind: 'helper', helper: '/nonexistent' }), unavailable);
  const gone = { ...base, netns: '/run/netns/never-made', helper: lab.helper };
  for (const kind of ['auto', 'socket', 'helper'] as const) {
    await assert.rejects(openChannels({ ...gone, kind }), { code: 'FL_NETNS' });
  }
});
