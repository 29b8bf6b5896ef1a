import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { guarded } from './guard.ts';

const stubborn = ['-c', 'trap "" TERM INT HUP; sleep 1000 & wait; wait']; // a child of its own, and deaf to requests

test('close kills the whole process group and removes the folder; twice is once', async () => {
  const guard = guarded('fairlead-guard-');
  const program = guard.start('deaf', '/bin/sh', stubborn);
  assert.equal(program.end, undefined);
  assert.equal(lives(program.pid), true);
  await guard.close();
  assert.equal(await program.ended, 'SIGKILL');
  assert.equal(existsSync(guard.folder), false);
  await until(() => !lives(program.pid), 'a member of the group still runs');
  await guard.close();
});

test('the end and the output of a program are known', async (t) => {
  const guard = guarded('fairlead-guard-');
  t.after(() => guard.close());
  const program = guard.start('short', '/bin/sh', ['-c', 'pwd; echo wrong >&2; exit 7']);
  assert.equal(await program.ended, 'exit 7');
  assert.equal(program.log(), `${guard.folder}\nwrong\n`);
  program.signal('SIGKILL'); // must not reach a stranger with the same id
});

for (const how of ['SIGINT', 'SIGTERM', 'SIGKILL', 'a thrown error', 'process.exit'] as const) {
  test(`nothing is left behind by a process that ended by ${how}`, async () => {
    const end =
      how === 'a thrown error' ? 'throw new Error("failed")' : how === 'process.exit' ? 'process.exit(0)' : '';
    const script = `
      import { guarded } from ${JSON.stringify(join(import.meta.dirname, 'guard.ts'))};
      const guard = guarded('fairlead-guard-');
      const program = guard.start('deaf', '/bin/sh', ${JSON.stringify(stubborn)});
      process.stdout.write(JSON.stringify({ pid: program.pid, folder: guard.folder }), () => { ${end} });`;
    const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    const closed = once(child, 'close');
    const [text] = (await once(child.stdout, 'data')) as [Buffer];
    const { pid, folder } = JSON.parse(text.toString()) as { pid: number; folder: string };
    if (end === '') child.kill(how as NodeJS.Signals);
    await closed;
    await until(() => !existsSync(folder) && !lives(pid), `${folder} or process ${pid} is still there`);
  });
}

/** Whether a process of the group still runs; a zombie, which only waits for its parent, does not. */
function lives(group: number): boolean {
  const stats = readdirSync('/proc').map((entry) => statOf(entry));
  return stats.some((stat) => stat?.group === group && stat.state !== 'Z');
}

function statOf(entry: string): { readonly state: string | undefined; readonly group: number } | undefined {
  if (!/^\d+$/.test(entry)) return undefined;
  try {
    const fields = readFileSync(`/proc/${entry}/stat`, 'utf8')
      .replace(/^.*\) /s, '')
      .split(' ');
    return { state: fields[0], group: Number(fields[2]) };
  } catch {
    return undefined; // ended meanwhile
  }
}

async function until(done: () => boolean, complaint: string): Promise<void> {
  for (const deadline = performance.now() + 10_000; !done(); await sleep(10)) {
    assert.ok(performance.now() < deadline, complaint);
  }
}
