import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { installPlugin, uninstall, withSocket, writeConflist } from '../../../src/agent/cni/install.ts';

const SHELL = join(import.meta.dirname, '../../../src/agent/native/shim.sh');
const slot = Buffer.concat([
  Buffer.from('ELF'),
  Buffer.from('FAIRLEAD_SOCKET=/run/fairlead/cni.sock'.padEnd(124, '\0')),
  Buffer.from('END'),
]);

function place(t: TestContext) {
  const folder = mkdtempSync(join(tmpdir(), 'fairlead-cni-'));
  t.after(() => rmSync(folder, { recursive: true }));
  return {
    confDir: join(folder, 'net.d'),
    confFile: '05-fairlead.conflist',
    binDir: join(folder, 'bin'),
    plugin: 'fairlead',
    socket: join(folder, 'cni.sock'),
  };
}

test('the socket is written into the C program at its place, and nothing else changes', () => {
  for (const socket of ['/a', `/${'x'.repeat(106)}`]) {
    const program = withSocket(slot, socket);
    assert.equal(program.length, slot.length);
    assert.equal(program.toString('latin1'), `ELF${`FAIRLEAD_SOCKET=${socket}`.padEnd(124, '\0')}END`);
  }
});

test('the socket is written into the shell form, also one with what a replacement would expand', () => {
  const text = withSocket(readFileSync(SHELL), '/run/$&/cni.sock').toString();
  assert.match(text, /^FAIRLEAD_SOCKET='\/run\/\$&\/cni[.]sock'$/m);
});

for (const [name, program, socket] of [
  ['a path that no socket can have', slot, `/${'x'.repeat(107)}`],
  ['a path that ends the quotes', readFileSync(SHELL), "/run/a';reboot;'"],
  ['a program that is not ours', Buffer.from('ELF'), '/run/x'],
  ['a script that is not ours', Buffer.from('#!/bin/sh\n'), '/run/x'],
] as const)
  test(`${name} is refused`, () => assert.throws(() => withSocket(program, socket), { code: 'FL_CNI_CONFLIST' }));

test('plugin and conflist appear whole, are left alone when they are right, and only --cleanup takes them away', (t) => {
  const options = place(t);
  installPlugin(SHELL, options);
  const path = join(options.binDir, options.plugin);
  assert.equal(statSync(path).mode & 0o777, 0o755);
  const before = statSync(path).ino;
  installPlugin(SHELL, options);
  assert.equal(statSync(path).ino, before);
  assert.equal(writeConflist('{}\n', options), true);
  assert.equal(writeConflist('{}\n', options), false);
  assert.equal(writeConflist('{"a":1}\n', options), true);
  writeFileSync(join(options.confDir, '10-other.conflist'), '{}');
  writeFileSync(join(options.binDir, 'loopback'), '');
  uninstall(options);
  assert.deepEqual([readdirSync(options.confDir), readdirSync(options.binDir)], [['10-other.conflist'], ['loopback']]);
  uninstall(options);
});
