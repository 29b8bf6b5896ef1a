import assert from 'node:assert/strict';
import { test } from 'node:test';
import { exec, execIn, isCommandMissing, run } from '../../src/agent/exec.ts';

const sh = (text: string): readonly [string, readonly string[]] => ['sh', ['-c', text]];

test('a program gets its input, and its output and status are values', async () => {
  const executed = await exec(...sh('cat; echo wrong >&2; exit 3'), { input: 'hello' });
  assert.deepEqual(executed, { code: 3, stdout: 'hello', stderr: 'wrong\n' });
});

test('a program that does not read its input is no error of ours', async () => {
  const executed = await exec(...sh('exec true'), { input: 'x'.repeat(1 << 20) });
  assert.equal(executed.code, 0);
});

test('a program that is not installed is told by its code', async () => {
  const error = await exec('fairlead-no-such-program', []).catch((reason: unknown) => reason);
  assert.ok(isCommandMissing(error));
  assert.match(String(error), /fairlead-no-such-program is not installed/);
});

test('a program that a signal ends has the status that a shell gives it', async () => {
  assert.equal((await exec(...sh('kill -9 $$'))).code, 137);
});

test('a program that takes too long is killed', async () => {
  await assert.rejects(exec(...sh('exec sleep 60'), { timeoutMs: 50 }), {
    code: 'FL_COMMAND_FAILED',
    message: /sh -c exec sleep 60 did not end in 50 ms/,
  });
});

test('an abort kills it, and its reason is what the caller gets', async () => {
  const reason = new Error('enough');
  const stop = new AbortController();
  const running = exec(...sh('exec sleep 60'), { signal: stop.signal });
  stop.abort(reason);
  await assert.rejects(running, reason);
  await assert.rejects(exec(...sh('true'), { signal: stop.signal }), reason);
});

test('the environment is what is given', async () => {
  const { stdout } = await exec('/usr/bin/env', [], { env: { ONLY: 'this' } });
  assert.equal(stdout, 'ONLY=this\n');
});

test('a bad status can be an error, with what the program said', async () => {
  assert.equal(await run(exec, ...sh('echo fine')), 'fine\n');
  await assert.rejects(run(exec, ...sh('echo no such thing >&2; exit 2')), {
    code: 'FL_COMMAND_FAILED',
    message: 'sh -c echo no such thing >&2; exit 2: exit status 2: no such thing',
  });
});

test('in a namespace a missing program and a missing namespace have their own codes', async () => {
  const inside = (code: number, stderr: string) => execIn('/run/netns/x', async () => ({ code, stdout: '', stderr }));
  await assert.rejects(inside(127, 'nsenter: failed to execute nft: No such file or directory')('nft', []), {
    code: 'FL_COMMAND_MISSING',
  });
  await assert.rejects(inside(1, 'nsenter: cannot open /run/netns/x: No such file or directory')('nft', []), {
    code: 'FL_NETNS',
  });
  assert.equal((await inside(1, 'Error: syntax error')('nft', [])).code, 1);
});
