import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Exec, Executed } from '../../../src/agent/exec.ts';
import { createTextLoader } from '../../../src/agent/nft/rules.ts';
import { failure } from '../../../src/core/errors.ts';
import { openLab } from '../netlink/lab.ts';

/** An nft that answers as told, and remembers how it was run. */
function fakeNft(
  answers: { readonly version?: string; readonly check?: Partial<Executed>; readonly load?: Partial<Executed> } = {},
): {
  readonly exec: Exec;
  readonly calls: string[];
} {
  const { version = 'nftables v1.0.6 (Lester Gooch #5)\n', check = {}, load = {} } = answers;
  const calls: string[] = [];
  const fine = { code: 0, stdout: '', stderr: '' };
  return {
    calls,
    async exec(command, args, options) {
      const line = [command, ...args].join(' ');
      calls.push(options?.input === undefined ? line : `${line} < ${options.input}`);
      if (args[0] === '--version') return { ...fine, stdout: version };
      return { ...fine, ...(args[0] === '-c' ? check : load) };
    },
  };
}

test('text is checked, then loaded; the version is asked for once', async () => {
  const { exec, calls } = fakeNft();
  const load = createTextLoader({ exec });
  await load('one');
  await load('two');
  assert.deepEqual(calls, [
    'nft --version',
    'nft -c -f - < one',
    'nft -f - < one',
    'nft -c -f - < two',
    'nft -f - < two',
  ]);
});

test('text that does not pass the check is not loaded', async () => {
  const { exec, calls } = fakeNft({ check: { code: 1, stderr: '/dev/stdin:1:1-3: Error: syntax error\n' } });
  await assert.rejects(createTextLoader({ exec })('bad'), {
    code: 'FL_NFT_REFUSED',
    message: 'nft -c -f -: exit status 1: /dev/stdin:1:1-3: Error: syntax error',
  });
  assert.equal(calls.includes('nft -f - < bad'), false);
});

test('without the right the error names the capability', async () => {
  for (const words of [
    'Error: Could not process rule: Operation not permitted',
    'Operation not permitted (you must be root)',
  ]) {
    const { exec } = fakeNft({ load: { code: 1, stderr: words } });
    await assert.rejects(createTextLoader({ exec })('x'), { code: 'FL_NET_ADMIN', message: /CAP_NET_ADMIN/ });
  }
});

for (const [version, isNew] of [
  ['nftables v0.9.8 (E.D.S.)', false],
  ['nftables v1.0.0 (Fearless Fosdick #2)', false],
  ['nftables v1.0.1 (Fearless Fosdick #3)', true],
  ['nftables v1.0.10 (Old Doc Yak)', true],
  ['nftables v1.1 (Commodore Bullmoose)', true],
  ['nftables v2.0.0', true],
  ['nftables', false],
] as const) {
  test(`${version} is ${isNew ? 'new enough' : 'refused'}`, async () => {
    const { exec } = fakeNft({ version });
    const loaded = createTextLoader({ exec })('x');
    if (isNew) await loaded;
    else await assert.rejects(loaded, { code: 'FL_NFT_TOO_OLD' });
  });
}

test('an nft that is installed later is found then', async () => {
  const { exec } = fakeNft();
  let isInstalled = false;
  const load = createTextLoader({
    exec: async (...call) => {
      if (!isInstalled) throw failure('FL_COMMAND_MISSING', 'nft is not installed');
      return await exec(...call);
    },
  });
  await assert.rejects(load('x'), { code: 'FL_COMMAND_MISSING' });
  isInstalled = true;
  await load('x');
});

test('a refused text changes nothing in the kernel', { timeout: 60_000 }, async (t) => {
  const lab = await openLab(t);
  if (lab === undefined) return;
  const { load, run } = await lab.open('one', 'socket');
  await load('table ip fairlead {\n chain a {\n  drop\n }\n}\n');
  const before = await run('nft', 'list', 'ruleset');
  const generation = 'add chain ip fairlead b\nadd rule ip fairlead nowhere drop\n';
  await assert.rejects(load(generation), { code: 'FL_NFT_REFUSED', message: /nowhere/ });
  assert.equal(await run('nft', 'list', 'ruleset'), before);
});
