import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, unlinkSync } from 'node:fs';
import { test } from 'node:test';
import { RECORDS } from '../../../src/sandbox/netns/owner.ts';
import { NAMESPACES, sweep } from '../../../src/sandbox/netns/sweep.ts';
import { createNetns, type Netns } from '../../../src/sandbox/netns.ts';
import { leaveOut } from '../../left-out.ts';
import { netnsMissing } from './missing.ts';

const missing = netnsMissing();

/** A test with a sandbox of its own, which it may also close itself. */
function withNetns(name: string, run: (netns: Netns) => Promise<void>): void {
  test(name, { timeout: 60_000 }, async (t) => {
    if (missing !== undefined) return leaveOut(t, ...missing);
    const netns = await createNetns({ prefix: 'tns' });
    try {
      await run(netns);
    } finally {
      await netns.close();
    }
  });
}

/** What a connection to a port that nobody listens on meets: a refusal means that the address answers. */
async function answerOf(netns: Netns, ns: string, address: string): Promise<string> {
  const script = `require('node:net').connect({ host: '${address}', port: 9, timeout: 3000 })
    .on('error', ({ code }) => console.log(code)).on('timeout', () => process.exit(1))`;
  return (await netns.exec(ns, [process.execPath, '-e', script])).stdout.trim();
}

const namespacesOf = (name: string): readonly string[] =>
  readdirSync(NAMESPACES).filter((entry) => entry.startsWith(name));

withNetns('two namespaces reach each other over a bridge in a third, over both families at once', async (netns) => {
  await netns.add('lan');
  await netns.bridge('lan', 'br0');
  for (const [index, ns] of ['a', 'b'].entries()) {
    await netns.add(ns);
    await netns.connect(
      {
        ns,
        ifname: 'eth0',
        addresses: [`10.0.0.${index + 1}/24`, `fd00::${index + 1}/64`],
        mac: `0a:00:00:00:00:0${index + 1}`,
      },
      { ns: 'lan', ifname: ns, bridge: 'br0' },
    );
  }
  for (const address of ['10.0.0.2', 'fd00::2']) {
    assert.equal(await answerOf(netns, 'a', address), 'ECONNREFUSED');
  }
  const { stdout } = await netns.exec('a', ['ip', '-o', 'link', 'show', 'eth0']);
  assert.match(stdout, /0a:00:00:00:00:01/);
});

withNetns('a namespace routes only when it is told to', async (netns) => {
  await netns.add('router', { forwarding: true });
  await netns.add('host');
  const forwarding = async (ns: string): Promise<string> =>
    (await netns.exec(ns, ['sh', '-c', 'cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv6/conf/all/forwarding']))
      .stdout;
  assert.equal(await forwarding('router'), '1\n1\n');
  assert.equal(await forwarding('host'), '0\n0\n');
});

withNetns('a link to the namespace of this process has our mark as alias and goes at the end', async (netns) => {
  await netns.add('a');
  const [inner, outer] = await netns.connect(
    { ns: 'a', ifname: 'up', addresses: ['198.18.255.1/31'] },
    { ifname: 'h', addresses: ['198.18.255.0/31'] },
  );
  assert.equal(inner, 'up');
  assert.ok(outer.startsWith(netns.name.replace('-', '')) && outer.length <= 15, outer);
  assert.equal(await answerOf(netns, 'a', '198.18.255.0'), 'ECONNREFUSED');
  await netns.close();
  assert.ok(!existsSync(`/sys/class/net/${outer}`));
});

withNetns('a command of ip that fails is named, with what ip said, and those after it do not run', async (netns) => {
  await netns.add('a');
  await assert.rejects(
    netns.ip('a', ['link add d0 type bridge', 'addr add 10.0.0.300/8 dev d0', 'link add d1 type bridge']),
    (error: Error & { code?: string }) =>
      error.code === 'FL_SANDBOX_NETNS' && /addr add 10\.0\.0\.300\/8 dev d0.*10\.0\.0\.300/.test(error.message),
  );
  const { stdout } = await netns.exec('a', ['ip', '-br', 'link']);
  assert.match(stdout, /d0/);
  assert.doesNotMatch(stdout, /d1/);
});

withNetns('removing a namespace kills what runs in it, and only there', async (netns) => {
  await netns.add('a');
  await netns.add('b');
  const [inA, inB] = ['a', 'b'].map((ns) =>
    netns.spawn(ns, ['sh', '-c', 'sleep 600 & sleep 600'], { stdio: 'ignore' }),
  );
  assert.ok(inA !== undefined && inB !== undefined);
  const ended = once(inA, 'exit');
  await Promise.all([once(inA, 'spawn'), once(inB, 'spawn')]);
  await netns.remove('a');
  await ended;
  assert.ok(!existsSync(netns.path('a')));
  assert.equal(inB.exitCode, null);
  assert.equal(inB.signalCode, null);
  await netns.remove('a');
});

withNetns('close leaves no process, namespace, folder or record, and can be asked for twice', async (netns) => {
  await netns.add('a');
  const child = netns.spawn('a', ['sleep', '600'], { stdio: 'ignore' });
  const ended = once(child, 'exit');
  await netns.close();
  await ended;
  assert.deepEqual(namespacesOf(netns.name), []);
  assert.deepEqual(
    readdirSync(RECORDS).filter((entry) => entry.startsWith(netns.name)),
    [],
  );
  await netns.close();
});

/** A process that makes a sandbox with a process in it, says so, and stays. */
const OWNER = `
  const { createNetns } = await import(${JSON.stringify(new URL('../../../src/sandbox/netns.ts', import.meta.url).href)});
  const netns = await createNetns({ prefix: 'tns' });
  await netns.add('a');
  await netns.connect({ ns: 'a', ifname: 'up' }, { ifname: 'h' });
  // The outer shell gets SIGKILL with this process; what it started in the background does not.
  const child = netns.spawn('a', ['sh', '-c', 'sleep 600 & echo $!; wait'], { stdio: ['ignore', 'pipe', 'ignore'] });
  child.stdout.once('data', (pid) => console.log(netns.name, String(pid).trim(), child.pid));
  if (process.argv[1] === 'exit') child.stdout.once('data', () => setImmediate(() => process.exit(3)));
`;

async function startOwner(
  how: 'stay' | 'exit',
): Promise<{ name: string; pids: readonly number[]; child: ReturnType<typeof spawn> }> {
  const child = spawn(process.execPath, ['--input-type=module', '-e', OWNER, how], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [line] = (await once(child.stdout.setEncoding('utf8'), 'data')) as [string];
  const [name = '', ...pids] = line.trim().split(' ');
  return { name, pids: pids.map(Number), child };
}

/** A zombie that nobody has waited for yet is dead. */
const isAlive = (pid: number): boolean => {
  const file = `/proc/${pid}/stat`;
  return existsSync(file) && !/\) [ZX] /.test(readFileSync(file, 'utf8'));
};

test('the next start removes what a killed sandbox left, and nothing of one that lives', {
  timeout: 60_000,
}, async (t) => {
  if (missing !== undefined) return leaveOut(t, ...missing);
  const [dead, living] = await Promise.all([startOwner('stay'), startOwner('stay')]);
  try {
    const ended = once(dead.child, 'exit');
    dead.child.kill('SIGKILL');
    await ended;
    assert.equal(namespacesOf(dead.name).length, 1);
    assert.ok(dead.pids.some(isAlive), 'a grandchild outlives the killed process');
    // Another test's sandbox may start at this moment and sweep before us.
    sweep();
    assert.deepEqual(namespacesOf(dead.name), []);
    assert.deepEqual(dead.pids.filter(isAlive), []);
    assert.deepEqual(
      readdirSync(RECORDS).filter((entry) => entry.startsWith(dead.name)),
      [],
    );
    assert.deepEqual(
      readdirSync('/sys/class/net').filter((ifname) => ifname.startsWith(dead.name.replace('-', ''))),
      [],
    );
    assert.equal(namespacesOf(living.name).length, 1);
    assert.deepEqual(living.pids.filter(isAlive), living.pids);
  } finally {
    living.child.kill('SIGKILL');
    if (living.child.exitCode === null && living.child.signalCode === null) await once(living.child, 'exit');
    sweep();
  }
  assert.deepEqual(namespacesOf(living.name), []);
});

test('a process that just exits takes its sandbox along', { timeout: 60_000 }, async (t) => {
  if (missing !== undefined) return leaveOut(t, ...missing);
  const { name, pids, child } = await startOwner('exit');
  if (child.exitCode === null) await once(child, 'exit');
  assert.equal(child.exitCode, 3);
  assert.deepEqual(namespacesOf(name), []);
  assert.deepEqual(pids.filter(isAlive), []);
});

test('a folder that somebody made anew after its sandbox was closed goes, too', { timeout: 60_000 }, async (t) => {
  if (missing !== undefined) return leaveOut(t, ...missing);
  const netns = await createNetns({ prefix: 'tns' });
  await netns.close();
  mkdirSync(netns.folder);
  sweep();
  assert.ok(!existsSync(netns.folder));
});

test('a namespace without a record, and a record of another PID namespace, are left alone', {
  timeout: 60_000,
}, async (t) => {
  if (missing !== undefined) return leaveOut(t, ...missing);
  const foreign = ['tns-00beef-a', 'tns-00cafe-a'];
  const record = `${RECORDS}/tns-00cafe.owner`;
  const bootId = spawnSync('cat', ['/proc/sys/kernel/random/boot_id'], { encoding: 'utf8' }).stdout.trim();
  const netns = await createNetns({ prefix: 'tns' }); // makes the folder of records
  try {
    symlinkSync(`999999999 1 ${bootId} pid:[1]`, record);
    for (const name of foreign) spawnSync('ip', ['netns', 'add', name]);
    sweep();
    for (const name of foreign) assert.ok(existsSync(`${NAMESPACES}/${name}`), name);
  } finally {
    for (const name of foreign) spawnSync('ip', ['netns', 'del', name]);
    unlinkSync(record);
    await netns.close();
  }
});
