import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createServer } from 'node:net';
import { dirname } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const main = fileURLToPath(new URL('../../src/main.ts', import.meta.url));

interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

/** Runs the demo as a person does; `act` sees its output as it comes, and may signal it. */
async function demo(
  args: readonly string[],
  act: (out: string, signal: (name: NodeJS.Signals) => void) => void = () => {},
): Promise<Ended> {
  const child = spawn(process.execPath, [main, 'demo', ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, PATH: '/nowhere' },
  });
  const limit = setTimeout(() => child.kill('SIGKILL'), 60_000);
  let [out, err] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    out += text;
    act(out, (name) => child.kill(name));
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    err += text;
  });
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
  clearTimeout(limit);
  return { code, out, err };
}

const folderOf = (out: string): string => dirname(/KUBECONFIG=(\S+)/.exec(out)?.[1] ?? '/missing/x');

test('demo --once serves every example, tells that kubectl is missing, exits 0 and leaves nothing', async () => {
  const { code, out, err } = await demo(['--once', '--port=0']);
  assert.equal(code, 0, `${out}${err}`);
  assert.equal(err, '');
  assert.match(out, /kubectl is not installed here/);
  for (const name of ['both', 'dns-tcp', 'dns-udp', 'requested', 'web', 'checkout']) {
    assert.match(out, new RegExp(`${name} +[\\d.]+\\S* .*Serving`), name);
  }
  assert.equal(existsSync(folderOf(out)), false);
});

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  test(`${signal} ends the demo with 0 and leaves nothing behind`, async () => {
    let sent = false;
    const { code, out, err } = await demo(['--port=0'], (text, kill) => {
      if (sent || !/checkout .*Serving/.test(text)) return;
      sent = true;
      assert.equal(existsSync(folderOf(text)), true);
      kill(signal);
    });
    assert.equal(code, 0, err);
    assert.equal(err, '');
    assert.equal(existsSync(folderOf(out)), false);
  });
}

test('a taken port is no failure: another is chosen, and said', async (t) => {
  const holder = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => holder.once('listening', resolve));
  t.after(() => holder.close());
  const { port } = holder.address() as { readonly port: number };
  const { code, out } = await demo(['--once', `--port=${port}`]);
  assert.equal(code, 0);
  assert.match(out, new RegExp(`\\(${port} was taken\\)`));
});
