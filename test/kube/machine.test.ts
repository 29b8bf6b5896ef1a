/** Machines of namespaces: what ends with them, and what the next start removes of a run that was killed. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { leaveOut } from '../left-out.ts';
import { GUARD, guarded } from './guard.ts';
import { cgroupRoots, removeCgroups, startMachine } from './machine.ts';
import { claim, sweep } from './sweep.ts';

function isRoot(t: TestContext): boolean {
  if (process.getuid?.() === 0) return true;
  leaveOut(t, 'machines of namespaces', 'run as root on Linux');
  return false;
}

async function until(what: string, isSo: () => boolean): Promise<void> {
  for (const endMs = performance.now() + 30_000; !isSo(); await sleep(20)) {
    if (performance.now() > endMs) assert.fail(`not within 30 s: ${what}`);
  }
}

/** Processes that carry the folder in their environment. */
function processesOf(folder: string): readonly string[] {
  return readdirSync('/proc').filter((pid) => {
    try {
      return /^\d+$/.test(pid) && readFileSync(`/proc/${pid}/environ`, 'utf8').includes(`${GUARD}=${folder}`);
    } catch {
      return false; // it ended while we looked
    }
  });
}

const cgroupsOf = (name: string): readonly string[] =>
  cgroupRoots().filter((root) => existsSync(join(root, `${name}-n1`)));

test('a machine has its own network, processes and files, and all of it goes with it', async (t) => {
  if (!isRoot(t)) return;
  const guard = guarded('fairlead-machine-', removeCgroups);
  t.after(() => guard.close());
  const machine = await startMachine(guard, 'n1', writeInit(guard.folder));
  const { stdout } = await machine.run('sh', [
    '-c',
    'ls /proc | grep -c "^[0-9]"; ip -o link | wc -l; echo x > /etc/ours',
  ]);
  const [processes, links] = stdout.trim().split('\n').map(Number);
  assert.ok((processes ?? 99) < 8, `${processes} processes`);
  assert.equal(links, 1, 'only lo');
  assert.equal(existsSync('/etc/ours'), false, 'what it writes is its own');
  machine.ip('link add left type veth peer name right');
  const program = machine.start('forever', 'sleep', ['1000']);

  await machine.kill();
  await program.ended;
  await until('everything in it has ended', () => processesOf(guard.folder).length === 0);
  assert.equal(readFileSync('/proc/mounts', 'utf8').includes(guard.folder), false);
  assert.equal(readFileSync(join(machine.disk, 'etc/ours'), 'utf8'), 'x\n', 'its disk stays');
  assert.equal((await machine.run('true', [])).code === 0, false);
});

test('what a run left that was killed with its watchman, the next start ends and removes', async (t) => {
  if (!isRoot(t)) return;
  const prefix = `fairlead-sweep-${process.pid}-`;
  const script = join(mkdtempSync(join(tmpdir(), 'fairlead-script-')), 'run.ts');
  t.after(() => rmSync(join(script, '..'), { recursive: true }));
  const from = (name: string): string => JSON.stringify(join(import.meta.dirname, name));
  writeFileSync(
    script,
    `import { guarded } from ${from('guard.ts')};
import { makeCgroup, startMachine } from ${from('machine.ts')};
import { claim } from ${from('sweep.ts')};
const guard = guarded(${JSON.stringify(prefix)});
claim(guard.folder);
makeCgroup(guard.folder.split('/').at(-1) + '-n1');
const machine = await startMachine(guard, 'n1', ${JSON.stringify(writeInit(join(script, '..')))});
machine.start('forever', 'sleep', ['1000']);
console.log(guard.folder);
setInterval(() => {}, 1000);
`,
  );
  const run = spawn(process.execPath, [script], { stdio: ['ignore', 'pipe', 'inherit'] });
  const folder = await new Promise<string>((resolve, reject) => {
    run.once('exit', () => reject(new Error('it ended by itself')));
    run.stdout.setEncoding('utf8').once('data', (text: string) => resolve(text.trim()));
  });
  const name = folder.split('/').at(-1) as string;
  assert.deepEqual(sweep(prefix), [], 'its owner lives');
  assert.equal(cgroupsOf(name).length, cgroupRoots().length);
  assert.ok(processesOf(folder).length >= 2);

  const watchman = watchmanOf(folder);
  process.kill(watchman, 'SIGKILL');
  run.kill('SIGKILL');
  await new Promise((resolve) => run.once('exit', resolve));
  assert.ok(processesOf(folder).length >= 2, 'nobody ended them');
  assert.deepEqual(sweep(prefix), [folder]);
  await until('its processes have ended', () => processesOf(folder).length === 0);
  assert.equal(existsSync(folder), false);
  assert.deepEqual(cgroupsOf(name), []);
  assert.deepEqual(sweep(prefix), []);
});

test('a folder without an owner is nobody to sweep', () => {
  const folder = mkdtempSync(join(tmpdir(), `fairlead-unowned-${process.pid}-`));
  try {
    assert.deepEqual(sweep(`fairlead-unowned-${process.pid}-`), []);
    claim(folder);
    assert.deepEqual(sweep(`fairlead-unowned-${process.pid}-`), [], 'it is ours, and we live');
    writeFileSync(join(folder, 'owner'), '4194305 1'); // above the kernel's largest process id
    assert.deepEqual(sweep(`fairlead-unowned-${process.pid}-`), [folder]);
    assert.equal(existsSync(folder), false);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

/** A first process that only waits. */
function writeInit(folder: string): string {
  const path = join(folder, 'init');
  writeFileSync(path, `#!/bin/sh\nexec sleep infinity\n`, { mode: 0o755 });
  return path;
}

/** The shell that cleans up after a process: its arguments name the folder. */
function watchmanOf(folder: string): number {
  const found = readdirSync('/proc').find((pid) => {
    try {
      const args = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
      return /^\d+$/.test(pid) && args[0] === '/bin/sh' && args.includes('guard') && args.includes(folder);
    } catch {
      return false; // it ended while we looked
    }
  });
  assert.ok(found !== undefined, 'a watchman');
  return Number(found);
}
