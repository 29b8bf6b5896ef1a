import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Libc } from '../../../src/agent/netlink/libc.ts';
import { createNftWire } from '../../../src/agent/netlink/nft-wire.ts';
import { createRouteWire } from '../../../src/agent/netlink/route-wire.ts';
import { openSocketWire } from '../../../src/agent/netlink/socket.ts';
import { NETLINK, type Protocol, type Wire } from '../../../src/agent/netlink/wire.ts';
import type { ElementChange } from '../../../src/core/net/element.ts';
import { messagesOf } from '../../../src/core/net/netlink.ts';

/** What the next `receive` gives: a datagram, an errno, or a length that does not fit. */
type Receipt = Uint8Array | { readonly errno: number } | { readonly length: number };

interface FakeLibc extends Libc {
  readonly sent: Uint8Array[];
  readonly aside: number[];
  readonly closed: number[];
  readonly netns: (string | undefined)[];
  /** Answers that nobody has read. */
  unread(): number;
}

/** `answer` is called for each datagram that is sent; what it gives is queued for that descriptor. */
function fakeLibc(
  answer: (request: Uint8Array) => readonly Receipt[],
  faults: { readonly socket?: number; readonly option?: number; readonly send?: number } = {},
  generations: () => number = () => 1,
): FakeLibc {
  const queues = new Map<number, Receipt[]>();
  const sent: Uint8Array[] = [];
  const aside: number[] = [];
  const closed: number[] = [];
  const netns: (string | undefined)[] = [];
  let errno = 0;
  let next = 10;
  const fail = (code: number): number => {
    errno = code;
    return -1;
  };
  const send = (fd: number, bytes: Uint8Array): number => {
    if (messagesOf(bytes)[0]?.type === GETGEN) {
      queues.get(fd)?.push(generationReply(first(bytes), generations()));
      return bytes.length;
    }
    sent.push(bytes);
    if (!queues.has(fd)) return fail(9);
    if (faults.send !== undefined) return fail(faults.send);
    queues.get(fd)?.push(...answer(bytes));
    return bytes.length;
  };
  return {
    sent,
    aside,
    closed,
    netns,
    socket(_protocol, path) {
      netns.push(path);
      if (faults.socket !== undefined) return fail(faults.socket);
      queues.set(next, []);
      next += 1;
      return next - 1;
    },
    setOption: (_fd, level) => (faults.option !== undefined && level === 1 ? fail(faults.option) : 0),
    send,
    async sendAside(fd, bytes) {
      aside.push(bytes.length);
      return send(fd, bytes);
    },
    receive(fd, into) {
      const receipt = queues.get(fd)?.shift();
      if (receipt === undefined) return fail(11);
      if (receipt instanceof Uint8Array) {
        into.set(receipt);
        return receipt.length;
      }
      return 'errno' in receipt ? fail(receipt.errno) : receipt.length;
    },
    close(fd) {
      closed.push(fd);
      queues.delete(fd);
    },
    unread: () => [...queues.values()].reduce((sum, queue) => sum + queue.length, 0),
    errno: () => errno,
  };
}

const GETGEN = 0x0a10;

function generationReply(seq: number, generation: number): Uint8Array {
  const bytes = Buffer.alloc(28);
  bytes.writeUInt32LE(28, 0);
  bytes.writeUInt16LE(0x0a0f, 4);
  bytes.writeUInt32LE(seq, 8);
  bytes.writeUInt16LE(8, 20);
  bytes.writeUInt16LE(1, 22);
  bytes.writeUInt32BE(generation, 24);
  return bytes;
}

/** NLMSG_ERROR for the message with this number, with the offset of the guilty attribute where there is one. */
function reply(seq: number, errno: number, offset?: number): Uint8Array {
  const bytes = Buffer.alloc(offset === undefined ? 36 : 44);
  bytes.writeUInt32LE(bytes.length, 0);
  bytes.writeUInt16LE(2, 4);
  bytes.writeUInt16LE(offset === undefined ? 0x100 : 0x300, 6);
  bytes.writeUInt32LE(seq, 8);
  bytes.writeInt32LE(-errno, 16);
  if (offset !== undefined) {
    bytes.writeUInt16LE(8, 36);
    bytes.writeUInt16LE(2, 38);
    bytes.writeUInt32LE(offset, 40);
  }
  return bytes;
}

/** A message of a dump without content. */
function part(seq: number, { type = 0x0a0c, flags = 2, errno = 0 } = {}): Uint8Array {
  const bytes = Buffer.alloc(20);
  bytes.writeUInt32LE(20, 0);
  bytes.writeUInt16LE(type, 4);
  bytes.writeUInt16LE(flags, 6);
  bytes.writeUInt32LE(seq, 8);
  bytes.writeInt32LE(-errno, 16);
  return bytes;
}
const done = (seq: number, more: { flags?: number; errno?: number } = {}): Uint8Array =>
  part(seq, { type: 3, ...more });

const first = (request: Uint8Array): number => messagesOf(request)[0]?.seq ?? 0;
/** The number of the last message of elements. */
const last = (request: Uint8Array): number => messagesOf(request).at(-2)?.seq ?? 0;

const open = (libc: Libc, protocol: Protocol = NETLINK.NETFILTER, asideBytes = 1 << 20): Wire =>
  openSocketWire({ libc, protocol, asideBytes });

const change = (key: string, op: 'add' | 'delete' = 'add'): ElementChange => ({ op, element: { set: 's', key } });
const changes = ['aaaa', 'bbbb', 'cccc'].map((key) => change(key));
const nft = (libc: Libc) => createNftWire({ kind: 'socket', wire: open(libc) });

test('a transaction is committed when its last message is acknowledged and nothing else came', async () => {
  const channel = nft(fakeLibc((request) => [reply(last(request), 0)]));
  assert.deepEqual(await channel.commit('ip', changes), { ok: true });
  assert.equal(channel.commits(), 1);
});

test('an acknowledgement beside an error is no commit', async () => {
  const channel = nft(fakeLibc((request) => [reply(first(request), 12), reply(last(request), 0)]));
  const commit = await channel.commit('ip', changes);
  assert.deepEqual(commit, { ok: false, lost: false, refused: [{ errno: 12 }] });
  assert.equal(channel.commits(), 0);
});

test('without an answer nobody knows', async () => {
  const channel = nft(fakeLibc(() => []));
  assert.deepEqual(await channel.commit('ip', changes), { ok: false, lost: true, why: 'no acknowledgement' });
});

test('an acknowledgement of another message than the last is none of the transaction', async () => {
  const channel = nft(fakeLibc((request) => [reply(last(request) - 1, 0)]));
  const commit = await channel.commit('ip', [change('aaaa', 'delete'), change('aaaa')]);
  assert.equal(!commit.ok && commit.lost, true);
});

test('another error than ENOENT at a name does not say that something is missing', async () => {
  const channel = nft(fakeLibc((request) => [reply(last(request), 22, 20)]));
  const commit = await channel.commit('ip', changes);
  assert.deepEqual(commit, { ok: false, lost: false, refused: [{ errno: 22 }] });
});

test('answers to an earlier request are none to this one', async () => {
  const channel = nft(fakeLibc((request) => [reply(first(request) - 1, 17), reply(last(request), 0)]));
  assert.deepEqual(await channel.commit('ip', changes), { ok: true });
});

test('answers that were dropped make it lost, and are read to the end all the same', async () => {
  let requests = 0;
  const libc = fakeLibc((request) => {
    requests += 1;
    return requests === 1 ? [{ errno: 105 }, reply(last(request), 0)] : [reply(last(request), 0)];
  });
  const channel = nft(libc);
  assert.deepEqual(await channel.commit('ip', changes), { ok: false, lost: true, why: 'receive: ENOBUFS' });
  assert.equal(libc.unread(), 0);
  assert.deepEqual(await channel.commit('ip', changes), { ok: true });
});

test('an answer that does not fit makes it lost', async () => {
  const channel = nft(fakeLibc((request) => [{ length: 1 << 20 }, reply(last(request), 0)]));
  const commit = await channel.commit('ip', changes);
  assert.equal(!commit.ok && commit.lost, true);
});

test('an interrupted read is tried again', async () => {
  const channel = nft(fakeLibc((request) => [{ errno: 4 }, reply(last(request), 0)]));
  assert.deepEqual(await channel.commit('ip', changes), { ok: true });
});

test('a send that fails makes it lost', async () => {
  const channel = nft(fakeLibc(() => [], { send: 90 }));
  assert.deepEqual(await channel.commit('ip', changes), { ok: false, lost: true, why: 'send: errno 90' });
});

test('a kernel that gives no offsets is asked again with one change in each message', async () => {
  const libc = fakeLibc((request) => {
    const messages = messagesOf(request).slice(1, -1);
    // The second change is guilty.
    return messages.length === 1 ? [reply(messages[0]?.seq ?? 0, 17)] : [reply(messages[1]?.seq ?? 0, 17)];
  });
  const channel = nft(libc);
  assert.deepEqual(await channel.commit('ip', changes), {
    ok: false,
    lost: false,
    refused: [{ errno: 17, element: 1 }],
  });
  assert.equal(libc.sent.length, 2);
});

test('with offsets it is asked once, also when the first change is guilty', async () => {
  const libc = fakeLibc((request) => [reply(last(request), 17, 20 + 16 + 8 + 4)]);
  const channel = nft(libc);
  assert.deepEqual(await channel.commit('ip', changes), {
    ok: false,
    lost: false,
    refused: [{ errno: 17, element: 0 }],
  });
  assert.equal(libc.sent.length, 1);
});

test('without the right nothing is tried twice: an error that names the capability', async () => {
  const channel = nft(fakeLibc((request) => [reply(first(request), 1)]));
  await assert.rejects(channel.commit('ip', changes), { code: 'FL_NET_ADMIN', message: /CAP_NET_ADMIN/ });
  assert.throws(() => open(fakeLibc(() => [], { option: 1 })), { code: 'FL_NET_ADMIN', message: /CAP_NET_ADMIN/ });
});

test("a machine without such sockets is another way's", () => {
  assert.throws(() => open(fakeLibc(() => [], { socket: 93 })), { code: 'FL_NETLINK_UNAVAILABLE' });
});

test('a large transaction is sent by another thread, and the next one waits for it', async () => {
  const libc = fakeLibc((request) => [reply(last(request), 0)]);
  const channel = createNftWire({ kind: 'socket', wire: open(libc, NETLINK.NETFILTER, 200) });
  const many = Array.from({ length: 100 }, (_, index) => change(String(index).padStart(4, '0')));
  const both = [channel.commit('ip', many), channel.commit('ip', [change('zzzz')])];
  assert.deepEqual(await Promise.all(both), [{ ok: true }, { ok: true }]);
  assert.equal(libc.aside.length, 1);
  assert.ok((libc.sent[0]?.length ?? 0) > (libc.sent[1]?.length ?? 0), 'in the order of the calls');
});

test('a dump that is of no single moment is read again', async () => {
  let dumps = 0;
  const libc = fakeLibc((request) => {
    dumps += 1;
    const seq = first(request);
    return dumps < 3 ? [part(seq, { flags: 0x12 }), done(seq)] : [part(seq), done(seq)];
  });
  assert.deepEqual(await nft(libc).dump('ip', 's'), []);
  assert.equal(dumps, 3);
});

test('a dump is known by its number, and one interrupted message is enough', async () => {
  let dumps = 0;
  const libc = fakeLibc((request) => {
    dumps += 1;
    const seq = first(request);
    const both = Buffer.concat([part(seq, { flags: 0x12 }), done(seq)]);
    return dumps === 1 ? [both] : [done(seq - 1, { errno: 4 }), part(seq), done(seq)];
  });
  assert.deepEqual(await nft(libc).dump('ip', 's'), []);
  assert.equal(dumps, 2);
  assert.equal(libc.unread(), 0);
});

test('a dump beside a change is read again, and in the end taken: the change may be in another table', async () => {
  for (const [still, expected] of [
    [3, 2],
    [1000, 20],
  ] as const) {
    let dumps = 0;
    let asked = 0;
    const libc = fakeLibc(
      (request) => {
        dumps += 1;
        return [done(first(request))];
      },
      {},
      () => {
        asked += 1;
        return Math.min(asked, still);
      },
    );
    assert.deepEqual(await nft(libc).dump('ip', 's'), []);
    assert.equal(dumps, expected);
  }
});

test('a dump that is never of one moment ends with an error', async () => {
  const channel = nft(fakeLibc((request) => [done(first(request), { flags: 0x12 })]));
  await assert.rejects(channel.dump('ip', 's'), { code: 'FL_NETLINK_LOST' });
});

test('a dump that breaks off is begun again on another socket', async () => {
  let dumps = 0;
  const libc = fakeLibc((request) => {
    dumps += 1;
    return dumps === 1 ? [part(first(request)), { errno: 105 }] : [done(first(request))];
  });
  assert.deepEqual(await nft(libc).dump('ip', 's'), []);
  assert.equal(libc.closed.length, 1, 'what is left of the first would be read as the second');
});

test('a set that is not there is no empty one', async () => {
  const channel = nft(fakeLibc((request) => [reply(first(request), 2)]));
  assert.equal(await channel.dump('ip', 's'), undefined);
});

test('a change of routes that is not answered, or not allowed, is an error', async () => {
  const route = (answer: Parameters<typeof fakeLibc>[0]) =>
    createRouteWire({ kind: 'socket', wire: open(fakeLibc(answer), NETLINK.ROUTE, 0) });
  const up = [{ kind: 'setLink', link: { name: 'lo' }, up: true }] as const;
  await assert.rejects(route(() => []).send(up), { code: 'FL_NETLINK_LOST' });
  await assert.rejects(route((request) => [reply(first(request), 1)]).send(up), {
    code: 'FL_NET_ADMIN',
    message: /CAP_NET_ADMIN/,
  });
});

test('a socket is opened in the namespace that it is for, and closed once', async () => {
  const libc = fakeLibc((request) => [done(first(request))]);
  const wire = openSocketWire({ libc, protocol: NETLINK.NETFILTER, asideBytes: 0, netns: '/run/netns/x' });
  await createNftWire({ kind: 'socket', wire }).dump('ip', 's');
  await wire.close();
  await wire.close();
  assert.deepEqual(libc.netns, ['/run/netns/x', '/run/netns/x']);
  assert.equal(libc.closed.length, 2);
  await assert.rejects(wire.send(new Uint8Array(16)), /closed/);
});
