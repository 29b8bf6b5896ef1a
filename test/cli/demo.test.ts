import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { leaveOut } from '../left-out.ts';
import { netnsMissing } from '../sandbox/netns/missing.ts';

const main = fileURLToPath(new URL('../../src/main.ts', import.meta.url));

interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

interface How {
  /** Sees the output as it comes, and may signal the demo. */
  readonly act?: (out: string, signal: (name: NodeJS.Signals) => void) => void;
  /** In place of this process's. */
  readonly path?: string;
  readonly uid?: number;
  readonly limitMs?: number;
}

/** Runs the demo as a person does. */
async function demo(
  args: readonly string[],
  { act = () => {}, path = '/nowhere', uid, limitMs = 60_000 }: How = {},
): Promise<Ended> {
  const child = spawn(process.execPath, [main, 'demo', ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, PATH: path },
    ...(uid === undefined ? {} : { uid }),
  });
  const limit = setTimeout(() => child.kill('SIGKILL'), limitMs);
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
  const { code, out, err } = await demo(['--once', '--port=0', '--nodes=0']);
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
    const act = (text: string, kill: (name: NodeJS.Signals) => void): void => {
      if (sent || !/checkout .*Serving/.test(text)) return;
      sent = true;
      assert.equal(existsSync(folderOf(text)), true);
      kill(signal);
    };
    const { code, out, err } = await demo(['--port=0', '--nodes=0'], { act });
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
  const { code, out } = await demo(['--once', `--port=${port}`, '--nodes=0']);
  assert.equal(code, 0);
  assert.match(out, new RegExp(`\\(${port} was taken\\)`));
});

/** Somebody who is nobody here, or whoever runs the tests. */
const NOBODY = 65_534;

test('without root the demo is as ever, and says in one line what root would add', async () => {
  const isRoot = process.geteuid?.() === 0;
  const { code, out, err } = await demo(['--once', '--port=0'], isRoot ? { uid: NOBODY } : {});
  assert.equal(code, 0, `${out}${err}`);
  assert.equal(err, '');
  assert.deepEqual(
    out.split('\n').filter((line) => line.includes('root')),
    [
      '  Without nodes: as root it adds nodes in network namespaces, pods, and a client that reaches the addresses: sudo npm run demo.',
    ],
  );
  assert.match(out, /checkout .*Serving/);
  assert.doesNotMatch(out, /ANSWERED/);
});

const missing = netnsMissing({ nft: 'nftables' });
const path = process.env['PATH'] ?? '';
const namespacesOf = (out: string): readonly string[] => {
  const name = /\/run\/fairlead-sandbox\/([a-z0-9-]+)\//.exec(out)?.[1];
  assert.ok(name !== undefined, out);
  return [...readdirSync('/run/netns'), ...readdirSync('/run/fairlead-sandbox')].filter((entry) =>
    entry.startsWith(name),
  );
};

test('as root demo --once shows every address answered from outside, and leaves nothing', {
  timeout: 300_000,
}, async (t) => {
  if (missing !== undefined) return leaveOut(t, ...missing);
  const { code, out, err } = await demo(['--once', '--port=0'], { path, limitMs: 280_000 });
  assert.equal(code, 0, `${out}${err}`);
  assert.equal(err, 'starting 3 nodes\n');
  assert.match(out, /Nodes n1, n2, n3 are network namespaces/);
  for (const row of ['both', 'dns-tcp', 'dns-udp', 'requested', 'web', 'checkout'])
    assert.match(
      out,
      new RegExp(`${row} +\\S+ +\\d+/(TCP|UDP) +(\\d+) of \\2 +\\S+-\\w{5} \\(\\d+\\)`),
      `${row}: ${out}`,
    );
  assert.match(out, /both +2001:db8:0:1:: +80\/TCP/);
  assert.deepEqual(namespacesOf(out), []);
});

test('SIGINT ends the demo with nodes and leaves nothing behind', { timeout: 300_000 }, async (t) => {
  if (missing !== undefined) return leaveOut(t, ...missing);
  let sent = false;
  const act = (text: string, kill: (name: NodeJS.Signals) => void): void => {
    if (sent || !/web +\S+ +80\/TCP +\d+ of/.test(text)) return;
    sent = true;
    assert.notDeepEqual(namespacesOf(text), []);
    kill('SIGINT');
  };
  const { code, out, err } = await demo(['--port=0', '--nodes=1'], { path, act, limitMs: 280_000 });
  assert.equal(code, 0, `${out}${err}`);
  assert.ok(sent);
  assert.deepEqual(namespacesOf(out), []);
});

test('a demo that was killed leaves what the next one removes', { timeout: 300_000 }, async (t) => {
  if (missing !== undefined) return leaveOut(t, ...missing);
  let killed = '';
  const act = (text: string, kill: (name: NodeJS.Signals) => void): void => {
    if (killed !== '' || !/KUBECONFIG/.test(text)) return;
    killed = text;
    kill('SIGKILL');
  };
  const { code } = await demo(['--port=0', '--nodes=1'], { path, act, limitMs: 280_000 });
  assert.equal(code, null);
  assert.notDeepEqual(namespacesOf(killed), []);
  const next = await demo(['--port=0', '--nodes=1', '--once', '--examples=false'], { path, limitMs: 280_000 });
  assert.equal(next.code, 0, `${next.out}${next.err}`);
  assert.deepEqual(namespacesOf(killed), []);
});

test('as root on a machine that allows no namespaces the demo is as ever, and says why', async (t) => {
  if (missing !== undefined) return leaveOut(t, ...missing);
  const folder = await mkdtemp(join(tmpdir(), 'fairlead-demo-test-'));
  t.after(() => rm(folder, { recursive: true }));
  await writeFile(join(folder, 'unshare'), '#!/bin/sh\necho "unshare: Operation not permitted" >&2\nexit 1\n', {
    mode: 0o755,
  });
  const { code, out, err } = await demo(['--once', '--port=0'], { path: `${folder}:${path}` });
  assert.equal(code, 0, `${out}${err}`);
  assert.match(
    out,
    /Without nodes: nodes need network namespaces, which this machine does not allow: unshare: Operation not permitted\./,
  );
  assert.match(out, /checkout .*Serving/);
});
