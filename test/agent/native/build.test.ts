import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { Exec } from '../../../src/agent/exec.ts';
import { buildNative } from '../../../src/agent/native/build.ts';
import { failure } from '../../../src/core/errors.ts';
import { leaveOut } from '../../left-out.ts';

const hasCompiler = spawnSync('cc', ['--version']).status === 0;

function temporary(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'fairlead-native-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

test('one small program is the helper under its name, and the CNI plugin under any other', {
  timeout: 120_000,
}, async (t) => {
  if (!hasCompiler) return leaveOut(t, 'the C program', 'install gcc and libc6-dev');
  const folder = temporary(t);
  const to = join(folder, 'deep', 'fairlead-netlink');
  const { path, isStatic } = await buildNative({ to });
  assert.equal(path, to);
  assert.ok(statSync(to).size < (isStatic ? 1_000_000 : 60_000), `${statSync(to).size} bytes`);
  assert.deepEqual(readdirSync(join(folder, 'deep')), ['fairlead-netlink'], 'nothing is left beside it');
  const plugin = spawnSync(to, [], {
    argv0: 'fairlead',
    env: { CNI_COMMAND: 'VERSION' },
    input: '{"cniVersion":"1.0.0"}',
  });
  assert.match(plugin.stdout.toString(), /supportedVersions/);
  if (process.geteuid?.() !== 0) return;
  const helper = spawnSync(to, [], { argv0: 'fairlead-netlink', input: '' });
  assert.equal(helper.stdout.toString('hex'), '040000000000000006000000' + '01000000');
  assert.equal(helper.status, 0, 'it ends with its input');
});

test('without a C library for static programs it is a dynamic one', async (t) => {
  const folder = temporary(t);
  const calls: string[] = [];
  const exec: Exec = async (command, args) => {
    calls.push(`${command} ${args[0] ?? ''}`);
    if (args[0] === '-static') return { code: 1, stdout: '', stderr: 'cannot find -lc' };
    writeFileSync(args[args.indexOf('-o') + 1] as string, 'program');
    return { code: 0, stdout: '', stderr: '' };
  };
  const { isStatic } = await buildNative({ to: join(folder, 'x'), exec });
  assert.equal(isStatic, false);
  assert.deepEqual(calls, ['cc -static', 'cc -std=c11']);
});

test('the next compiler is tried, and without any the error says what to install', async (t) => {
  const folder = temporary(t);
  const tried: string[] = [];
  const exec: Exec = async (command) => {
    tried.push(command);
    throw failure('FL_COMMAND_MISSING', `${command} is not installed`);
  };
  await assert.rejects(buildNative({ to: join(folder, 'x'), exec }), {
    code: 'FL_COMPILER_MISSING',
    message: /cc, gcc/,
  });
  assert.deepEqual(tried, ['cc', 'gcc']);
});

test('what the compiler says is in the error, and the program that was there stays', async (t) => {
  const folder = temporary(t);
  const to = join(folder, 'x');
  writeFileSync(to, 'old');
  const exec: Exec = async () => ({ code: 1, stdout: '', stderr: 'main.c:1: fatal error: linux/netlink.h' });
  await assert.rejects(buildNative({ to, exec }), { code: 'FL_COMPILER_MISSING', message: /linux\/netlink.h/ });
  assert.equal(readFileSync(to, 'utf8'), 'old');
  assert.ok(!existsSync(`${to}.${process.pid}`));
});
