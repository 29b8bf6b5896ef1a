import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import fc from 'fast-check';
import { createFrameReader, encodeFrame, type Frame } from '../../../src/agent/netlink/frames.ts';
import { startHelper } from '../../../src/agent/netlink/helper.ts';
import type { Log } from '../../../src/core/provider.ts';
import { systemClock } from '../../../src/work/clock.ts';
import { openLab } from './lab.ts';

const quiet: Log = { debug() {}, info() {}, warn() {}, error() {} };

test('frames come whole, however the stream is cut', () => {
  const frames = fc.array(
    fc.record(
      { id: fc.nat(), code: fc.integer({ min: 1, max: 7 }), payload: fc.uint8Array({ maxLength: 300 }) },
      { noNullPrototype: true },
    ),
    { maxLength: 8 },
  );
  fc.assert(
    fc.property(frames, fc.array(fc.integer({ min: 1, max: 400 }), { minLength: 1 }), (all, cuts) => {
      const bytes = Buffer.concat(all.map(encodeFrame));
      const found: Frame[] = [];
      const read = createFrameReader(({ id, code, payload }) =>
        found.push({ id, code, payload: Uint8Array.from(payload) }),
      );
      for (let at = 0, cut = 0; at < bytes.length; cut += 1) {
        const next = at + (cuts[cut % cuts.length] as number);
        read(bytes.subarray(at, next));
        at = next;
      }
      assert.deepEqual(found, all);
    }),
  );
});

test('what is no frame is an error, not a wait for gigabytes', () => {
  const read = createFrameReader(() => {});
  assert.throws(() => read(Buffer.from('#!/bin/sh: not found')), RangeError);
});

/** A program in place of the helper. */
function script(t: TestContext, text: string): string {
  const folder = mkdtempSync(join(tmpdir(), 'fairlead-helper-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const path = join(folder, 'helper');
  writeFileSync(path, `#!/bin/sh\n${text}\n`);
  chmodSync(path, 0o755);
  return path;
}

for (const [name, text] of [
  ['ends at once', 'exit 3'],
  ['says something else', 'echo hello, I am another program, and I talk a lot; exec sleep 30'],
  ['is of another version', String.raw`printf '\004\0\0\0\0\0\0\0\006\0\0\0\002\0\0\0'; exec sleep 30`],
  ['cannot open a socket', String.raw`printf '\014\0\0\0\0\0\0\0\007\0\0\00093 netfilter'; exec sleep 30`],
] as const) {
  test(`a helper that ${name} is another way's`, { timeout: 20_000 }, async (t) => {
    const path = script(t, text);
    await assert.rejects(startHelper({ path, timers: systemClock, log: quiet }), { code: 'FL_NETLINK_UNAVAILABLE' });
  });
}

test('a helper without the right says so', { timeout: 20_000 }, async (t) => {
  const path = script(t, String.raw`printf '\013\0\0\0\0\0\0\0\007\0\0\0001 netfilter'; exec sleep 30`);
  await assert.rejects(startHelper({ path, timers: systemClock, log: quiet }), {
    code: 'FL_NET_ADMIN',
    message: /CAP_NET_ADMIN/,
  });
});

test("a program that is not there is another way's", async () => {
  await assert.rejects(startHelper({ path: '/nonexistent', timers: systemClock, log: quiet }), {
    code: 'FL_NETLINK_UNAVAILABLE',
  });
});

test('events that were lost are told as such', { timeout: 20_000 }, async (t) => {
  const hello = String.raw`printf '\004\0\0\0\0\0\0\0\006\0\0\0\001\0\0\0'`;
  // The first request is the subscription, number 1: answered, then one event, then the news that some were dropped.
  const answer = String.raw`head -c 12 >/dev/null; printf '\0\0\0\0\001\0\0\0\002\0\0\0'`;
  const events = String.raw`printf '\004\0\0\0\0\0\0\0\004\0\0\0event'; printf '\013\0\0\0\0\0\0\0\005\0\0\000105 receive'`;
  const path = script(t, `${hello}\n${answer}\n${events.replace('event', 'abcd')}\nexec sleep 30`);
  const helper = await startHelper({ path, timers: systemClock, log: quiet });
  t.after(() => helper.close());
  const told: (string | undefined)[] = [];
  await new Promise<void>((resolve) => {
    helper.events.subscribe((datagram) => {
      told.push(datagram && Buffer.from(datagram).toString());
      if (told.length === 3) resolve();
    });
  });
  // The first is the beginning, which comes with the answer; an event may be in the same piece of the stream.
  assert.deepEqual(told.toSorted(), ['abcd', undefined, undefined]);
});

test('a helper that is killed loses what was under way, and the next request starts another', {
  timeout: 60_000,
}, async (t) => {
  const lab = await openLab(t);
  if (lab === undefined) return;
  await lab.netns.add('one');
  const helper = await startHelper({
    path: lab.helper,
    netns: lab.netns.path('one'),
    timers: systemClock,
    log: lab.log,
  });
  t.after(() => helper.close());
  const told: (Uint8Array | undefined)[] = [];
  helper.events.subscribe((datagram) => told.push(datagram));
  const generation = Buffer.from('14000000100a01000100000000000000' + '00000000', 'hex');
  assert.equal((await helper.nft.send(generation)).lost, false);
  const pids = spawnSync('ip', ['netns', 'pids', `${lab.netns.name}-one`], { encoding: 'utf8' })
    .stdout.trim()
    .split('\n');
  assert.equal(pids.length, 1);
  process.kill(Number(pids[0]), 'SIGSTOP');
  const hanging = helper.nft.send(generation);
  process.kill(Number(pids[0]), 'SIGKILL');
  assert.equal((await hanging).lost, true);
  assert.equal((await helper.nft.send(generation)).lost, false);
  assert.ok(lab.logged.some((line) => line.startsWith('the netlink helper ended')));
  // Who listens is told to look again: when it died, and when events come again.
  const deadline = AbortSignal.timeout(10_000);
  while (told.filter((datagram) => datagram === undefined).length < 3 && !deadline.aborted) {
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  assert.ok(told.filter((datagram) => datagram === undefined).length >= 3);
});

test('closing ends the program, also one that does not react', { timeout: 60_000 }, async (t) => {
  const lab = await openLab(t);
  if (lab === undefined) return;
  await lab.netns.add('one');
  const pids = (): string =>
    spawnSync('ip', ['netns', 'pids', `${lab.netns.name}-one`], { encoding: 'utf8' }).stdout.trim();
  for (const stopped of [false, true]) {
    const options = { path: lab.helper, netns: lab.netns.path('one'), timers: systemClock, log: lab.log };
    const helper = await startHelper(options);
    if (stopped) process.kill(Number(pids()), 'SIGSTOP');
    await helper.close();
    await helper.close();
    assert.equal(pids(), '');
    await assert.rejects(helper.nft.send(new Uint8Array(16)), /closed/);
  }
});

test('a namespace that is gone has its own error', { timeout: 60_000 }, async (t) => {
  const lab = await openLab(t);
  if (lab === undefined) return;
  for (const netns of ['/run/netns/never-made', '/etc/hostname']) {
    await assert.rejects(startHelper({ path: lab.helper, netns, timers: systemClock, log: lab.log }), {
      code: 'FL_NETNS',
    });
  }
});
