/** The fake is held against the kernel: here by what it makes of rules as text; test/agent/netlink/same.test.ts by elements. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TableFamily } from '../../src/core/net/element.ts';
import { chainsText, hashChain, removalText, rulesetText } from '../../src/core/proxy/ruleset.ts';
import { encodeValue } from '../../src/core/proxy/value.ts';
import { openLab } from '../agent/netlink/lab.ts';
import { createFakeNft } from './nft.ts';

const FAMILIES: readonly TableFamily[] = ['ip', 'ip6'];

const options = (family: TableFamily, masqueradeAll: boolean) =>
  ({ family, masqueradeAll, detectLocal: { by: 'cidr' }, masqueradePods: true, chains: [], timeouts: [] }) as const;

/** Texts in an order that each kind of step comes in: what the agent loads, and what a version or a stranger may. */
const texts: readonly string[] = FAMILIES.flatMap((family) => [
  rulesetText(options(family, false)),
  chainsText(family, [encodeValue({ kind: 'lb', slots: 2 }), encodeValue({ kind: 'loc', slots: 3 })], []),
  chainsText(family, [encodeValue({ kind: 'lb', slots: 2 })], []), // again
  `add chain ${family} fairlead sum-0123456789abcdef\n`,
  `delete chain ${family} fairlead sum-0123456789abcdef\nadd chain ${family} fairlead sum-fedcba9876543210\n`,
  `delete chain ${family} fairlead not-there\n`,
  rulesetText({ ...options(family, true), obsolete: [hashChain(options(family, false))] }),
  `table ${family} fairlead {\n  set cluster-ips { type inet_service ; }\n}\n`, // another shape
  `add chain ${family} fairlead half\nadd rule ${family} fairlead nowhere drop\n`, // nothing of it
  ...(family === 'ip' ? [removalText(family)] : []),
]);

test('the fake takes and refuses the texts that the kernel does, and has the same chains then', {
  timeout: 120_000,
}, async (t) => {
  const lab = await openLab(t);
  if (lab === undefined) return;
  const { nft, load } = await lab.open('one', 'socket');
  const fake = createFakeNft();
  const outcomes: string[] = [];
  for (const [index, text] of texts.entries()) {
    const [real, ours] = (await Promise.allSettled([load(text), fake.load(text)])).map(({ status }) => status);
    assert.equal(ours, real, `text ${index}: ${text}`);
    outcomes.push(real as string);
    for (const family of FAMILIES)
      assert.deepEqual(await fake.chains(family), await nft.chains(family), `text ${index}`);
  }
  assert.equal(outcomes.filter((status) => status === 'rejected').length, 6);
});

test('rules and sets change the digest of the fake, elements do not', async () => {
  const fake = createFakeNft();
  await fake.load(rulesetText(options('ip', false)));
  const before = await fake.fingerprint('ip');
  fake.edit('ip', [{ op: 'add', element: { set: 'cluster-ips', key: '\x0a\0\0\x01' } }]);
  await fake.load('add chain ip fairlead sum-0123456789abcdef\n');
  assert.equal(await fake.fingerprint('ip'), before);
  fake.editText('add rule ip fairlead noep drop\n');
  assert.notEqual(await fake.fingerprint('ip'), before);
  fake.flush();
  assert.equal(await fake.fingerprint('ip'), undefined);
});

test('faults come in their order, one for a commit', async () => {
  const fake = createFakeNft();
  await fake.load(rulesetText(options('ip', false)));
  const add = (last: number) => [
    { op: 'add', element: { set: 'cluster-ips', key: `\x0a\0\0${String.fromCharCode(last)}` } } as const,
  ];
  fake.fault({ kind: 'lost', done: true }, { kind: 'lost', done: false }, { kind: 'refused', errno: 12 });
  const lost = { ok: false, lost: true, why: 'receive: ENOBUFS' };
  assert.deepEqual(await fake.commit('ip', add(1)), lost);
  assert.deepEqual(await fake.commit('ip', add(2)), lost);
  assert.deepEqual(await fake.commit('ip', add(3)), { ok: false, lost: false, refused: [{ errno: 12 }] });
  assert.deepEqual(await fake.commit('ip', add(4)), { ok: true });
  assert.deepEqual(fake.text('ip'), ['cluster-ips 0a000001', 'cluster-ips 0a000004']);
  assert.equal(fake.tried.length, 4);
});
