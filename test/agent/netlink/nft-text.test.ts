import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Exec } from '../../../src/agent/exec.ts';
import { errnoOf } from '../../../src/agent/netlink/errno-text.ts';
import { createNftText } from '../../../src/agent/netlink/nft-text.ts';
import type { ElementChange } from '../../../src/core/net/element.ts';

/** An nft whose tables read as told; every run takes `costMs` of a clock that only it moves. */
interface FakeProgram {
  readonly exec: Exec;
  readonly nowMs: () => number;
  readonly written: string[];
  runs: number;
  table: string;
  wait(ms: number): void;
  fail(stderr: string): void;
}

function fakeNft({ costMs = 1 } = {}): FakeProgram {
  let clockMs = 0;
  let error = '';
  const fake: FakeProgram = {
    written: [],
    runs: 0,
    table: 'table ip fairlead {\n}\n',
    nowMs: () => clockMs,
    wait(ms: number) {
      clockMs += ms;
    },
    fail(stderr: string) {
      error = stderr;
    },
    exec: async (_command, args, options) => {
      clockMs += costMs;
      fake.runs += 1;
      if (args[0] === '-f') fake.written.push(String(options?.input));
      const stderr = error;
      error = '';
      return { code: stderr === '' ? 0 : 1, stdout: fake.table, stderr };
    },
  };
  return fake;
}

const service = (last: number, op: ElementChange['op'] = 'add'): ElementChange => ({
  op,
  element: { set: 'services', key: `\x0a\0\0${String.fromCharCode(last)}\x06\0\0\0\0\x50\0\0`, data: '\x02\0\0\0' },
});

test('changes in a row of one operation and set are one command, in their order', async () => {
  const nft = fakeNft();
  const channel = createNftText(nft);
  const key = '\x0a\0\0\x01';
  await channel.commit('ip', [
    service(1, 'delete'),
    service(1),
    service(2),
    { op: 'add', element: { set: 'hairpin', key: key + key } },
  ]);
  assert.deepEqual(nft.written[0]?.split('\n'), [
    'delete element ip fairlead services { 10.0.0.1 . tcp . 80 }',
    'add element ip fairlead services { 10.0.0.1 . tcp . 80 : 0:2, 10.0.0.2 . tcp . 80 : 0:2 }',
    'add element ip fairlead hairpin { 10.0.0.1 . 10.0.0.1 }',
    '',
  ]);
});

test('an error is of the element at its column', async () => {
  const nft = fakeNft();
  const line = 'add element ip fairlead services { 10.0.0.1 . tcp . 80 : 0:2, ';
  nft.fail(`/dev/stdin:1:${line.length + 1}-${line.length + 19}: Error: Could not process rule: File exists\n`);
  const commit = await createNftText(nft).commit('ip', [service(1), service(2), service(3)]);
  assert.deepEqual(commit, {
    ok: false,
    lost: false,
    refused: [{ errno: 17, element: 1, message: 'Could not process rule: File exists' }],
  });
});

test('an nft that ends without saying where may have done it', async () => {
  const nft = fakeNft();
  nft.fail('Segmentation fault');
  const commit = await createNftText(nft).commit('ip', [service(1)]);
  assert.equal(!commit.ok && commit.lost, true);
});

test('without the right the error names the capability', async () => {
  const nft = fakeNft();
  nft.fail('/dev/stdin:1:1-15: Error: Could not process rule: Operation not permitted\n');
  await assert.rejects(createNftText(nft).commit('ip', [service(1)]), {
    code: 'FL_NET_ADMIN',
    message: /CAP_NET_ADMIN/,
  });
});

test('the generation grows with our commits and with what others do between two looks', async () => {
  const nft = fakeNft();
  const channel = createNftText(nft);
  const look = async (): Promise<number> => {
    nft.wait(10_000);
    return (await channel.generation()) - channel.commits();
  };
  assert.equal(await look(), 0);
  await channel.commit('ip', [service(1)]);
  nft.table = 'table ip fairlead {\n # with ours\n}\n';
  assert.equal(await look(), 0);
  nft.table = 'table ip fairlead {\n # and theirs\n}\n';
  assert.equal(await look(), 1);
  assert.equal(await look(), 1);
});

test('what rules remember is no change by others', async () => {
  const nft = fakeNft();
  const channel = createNftText(nft);
  const remembered = (seconds: number): string =>
    `table ip fairlead {\n\tmap aff {\n\t\ttype ipv4_addr : classid\n\t\tflags dynamic,timeout\n\t\telements = { 10.0.0.1 expires ${seconds}s : 0:1 }\n\t}\n}\n`;
  nft.table = remembered(100);
  await channel.generation();
  nft.table = remembered(99);
  nft.wait(10_000);
  assert.equal(await channel.generation(), 0);
});

test('a slow look is seldom', async () => {
  const nft = fakeNft({ costMs: 500 });
  const channel = createNftText(nft);
  for (let second = 0; second < 60; second += 1) {
    await channel.generation();
    nft.wait(1000);
  }
  assert.ok(nft.runs >= 4 && nft.runs <= 6, `${nft.runs} runs, two for a look, in a minute`);
});

for (const [words, errno] of [
  ['Error: Could not process rule: No such file or directory', 2],
  ['RTNETLINK answers: No such device or address', 6],
  ['Cannot find device "if7"', 19],
  ['Error: ipv6: address already assigned.', 17],
  ['RTNETLINK answers: Operation not permitted', 1],
  ['something else', undefined],
] as const) {
  test(`"${words}" is errno ${errno}`, () => assert.equal(errnoOf(words), errno));
}
