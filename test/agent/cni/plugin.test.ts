/** The plugin on a real kernel, driven as a runtime drives it. */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { installPlugin } from '../../../src/agent/cni/install.ts';
import { type Answer, createRig, type Json, NETWORK, NOTHING, type Rig, until } from './rig.ts';

const pod = 'IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web';

async function nothingLeft(rig: Rig): Promise<void> {
  let left = await rig.left();
  await until(
    async () => {
      left = await rig.left();
      return JSON.stringify(left) === JSON.stringify(NOTHING);
    },
    () => JSON.stringify(left),
  );
}

/** Packets go there and come back: nobody listens at the port, and the other side's kernel says so. */
async function reaches(rig: Rig, from: string, to: string): Promise<void> {
  const { stderr } = await rig.run(from, 'nc', '-n', '-v', '-z', '-w', '5', to, '9');
  assert.match(stderr, /Connection refused/, to);
}

test('pods of both families reach each other, their gateway and the node', async (t) => {
  const rig = await createRig(t, { podCidrs: ['10.64.1.0/24', 'fd00:1::/64'] });
  if (rig === undefined) return;
  await rig.start();
  const [a, b] = [await rig.pod('a'), await rig.pod('b')];
  // A runtime may have switched IPv6 off in the namespaces that it makes.
  await rig.run(b, 'sh', '-c', 'echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6');
  const first: Answer = await rig.call('ADD', { id: 'a', netns: a });
  const second: Answer = await rig.call('ADD', { id: 'b', netns: b });
  assert.equal(second.code, 0, second.stdout);
  for (const { address, gateway } of second.json.ips as Json[])
    for (const to of [address.split('/')[0], gateway]) await reaches(rig, a, to);
  for (const { address } of first.json.ips as Json[]) await reaches(rig, rig.netns.path('node'), address.split('/')[0]);
});

test('a second ADD fails and leaves the first one as it is', async (t) => {
  const rig = await createRig(t);
  if (rig === undefined) return;
  await rig.start();
  const netns = await rig.pod('p');
  assert.equal((await rig.call('ADD', { netns })).code, 0);
  const before = await rig.left();
  const second: Answer = await rig.call('ADD', { netns, args: pod });
  assert.deepEqual([second.code, second.json.code], [1, 999]);
  assert.match(second.json.msg, /container veth name provided \(eth0\) already exists/);
  assert.deepEqual(await rig.left(), before);
  await reaches(rig, netns, '10.64.1.1');
});

test('an interface that somebody else made in the namespace is refused and stays', async (t) => {
  const rig = await createRig(t);
  if (rig === undefined) return;
  await rig.start();
  const netns = await rig.pod('p');
  rig.ip(netns, 'link', 'add', 'eth0', 'type', 'bridge');
  const answer: Answer = await rig.call('ADD', { netns, args: pod });
  assert.deepEqual([answer.code, answer.json.code], [1, 999]);
  await nothingLeft(rig);
  assert.match(rig.ip(netns, 'link', 'show', 'eth0'), /eth0: <BROADCAST/);
});

test('an interface index that is taken in the pod is passed over', async (t) => {
  const rig = await createRig(t);
  if (rig === undefined) return;
  await rig.start();
  const netns = await rig.pod('p');
  for (const index of [100_002, 100_004])
    rig.ip(netns, 'link', 'add', `d${index}`, 'index', `${index}`, 'type', 'bridge');
  const answer: Answer = await rig.call('ADD', { netns });
  assert.equal(answer.code, 0, answer.stdout);
  assert.equal((await rig.call('CHECK', { netns, config: { prevResult: answer.json } })).code, 0);
});

test('a namespace that vanishes is an error with code 8, and DEL of it works', async (t) => {
  const rig = await createRig(t);
  if (rig === undefined) return;
  await rig.start();
  const netns = await rig.pod('p');
  assert.equal((await rig.call('ADD', { netns })).code, 0);
  await rig.netns.remove('p');
  const added: Answer = await rig.call('ADD', { id: 'other', netns, args: pod });
  assert.deepEqual([added.code, added.json.code], [1, 8]);
  assert.match(added.json.msg, /failed to open netns ".*": ENOENT/);
  assert.equal((await rig.call('DEL', { netns })).code, 0);
  await nothingLeft(rig);
});

test('the namespace of the node itself is refused', async (t) => {
  const rig = await createRig(t);
  if (rig === undefined) return;
  await rig.start();
  const answer: Answer = await rig.call('ADD', { netns: rig.netns.path('node') });
  assert.equal(answer.json.code, 8);
  assert.match(answer.json.msg, /should not be the same/);
});

test('MAC and addresses that are asked for are given, or refused by name', async (t) => {
  const rig = await createRig(t);
  if (rig === undefined) return;
  await rig.start();
  const netns = await rig.pod('p');
  const runtimeConfig = { mac: '0A:58:00:00:00:07', ips: ['10.64.1.77/24'] };
  const added: Answer = await rig.call('ADD', { netns, args: pod, config: { runtimeConfig } });
  assert.equal(added.json.interfaces[1].mac, '0a:58:00:00:00:07');
  assert.equal(added.json.ips[0].address, '10.64.1.77/32');
  assert.match(rig.ip(netns, 'link', 'show', 'eth0'), /0a:58:00:00:00:07/);
  const second = await rig.pod('q');
  const taken: Answer = await rig.call('ADD', { id: 'q', netns: second, args: 'IP=10.64.1.77' });
  assert.deepEqual([taken.json.code, taken.json.details], [101, 'pod shop/web (eth0) has it']);
  for (const ip of ['10.64.1.1', '10.64.1.0', '10.64.1.255'])
    assert.match(
      (await rig.call('ADD', { id: 'q', netns: second, args: `IP=${ip}` })).json.details,
      /gateway or broadcast/,
    );
  assert.match(
    (await rig.call('ADD', { id: 'q', netns: second, args: 'IP=10.9.9.9' })).json.msg,
    /not in the node's pod CIDRs/,
  );
  const wrong: Answer = await rig.call('ADD', { id: 'q', netns: second, config: { runtimeConfig: { mac: 'x' } } });
  assert.match(wrong.json.msg, /runtimeConfig[.]mac: "x" is not a MAC address/);
  assert.equal((await rig.left()).links.length, 1);
});

test('what is not supported is refused with code 2 and says what there is instead', async (t) => {
  const rig = await createRig(t);
  if (rig === undefined) return;
  await rig.start();
  const netns = await rig.pod('p');
  for (const config of [
    { runtimeConfig: { bandwidth: { ingressRate: 1000, ingressBurst: 1000 } } },
    { runtimeConfig: { ipRanges: [[{ subnet: '10.0.0.0/8' }]] } },
    { ipam: { type: 'host-local' } },
    { hairpinMode: true, promiscMode: true },
  ]) {
    const answer: Answer = await rig.call('ADD', { netns, config });
    assert.deepEqual([answer.code, answer.json.code], [1, 2], answer.stdout);
    assert.ok(answer.json.details.length > 10);
    // The runtime cleans up with the same configuration, and with the same wrong CNI_ARGS.
    assert.equal((await rig.call('DEL', { netns, config, args: 'A=B' })).code, 0);
  }
  await nothingLeft(rig);
});

test('host ports go to the node table with ADD and leave it with DEL; two pods cannot have one', async (t) => {
  const rig = await createRig(t, { podCidrs: ['10.64.1.0/24', 'fd00:1::/64'] });
  if (rig === undefined) return;
  const running = await rig.start();
  const config = {
    runtimeConfig: {
      portMappings: [
        { hostPort: 8080, containerPort: 80, protocol: 'tcp' },
        { hostPort: 53, containerPort: 5353, protocol: 'UDP', hostIP: '127.0.0.1' },
        { hostPort: 0, containerPort: 81, protocol: 'tcp' },
      ],
    },
  };
  const a = await rig.pod('a');
  assert.equal((await rig.call('ADD', { netns: a, config, args: pod })).code, 0);
  const ports = [
    { hostIP: '127.0.0.1', protocol: 'UDP', hostPort: 53, podIP: '10.64.1.2', podPort: 5353 },
    { protocol: 'TCP', hostPort: 8080, podIP: '10.64.1.2', podPort: 80 },
    { protocol: 'TCP', hostPort: 8080, podIP: 'fd00:1::2', podPort: 80 },
  ];
  assert.deepEqual(rig.table.hostPorts, ports);
  const [link] = (await rig.left()).links;
  const localnet = await rig.run(rig.netns.path('node'), 'cat', `/proc/sys/net/ipv4/conf/${link}/route_localnet`);
  assert.equal(localnet.stdout, '1\n');
  const clash: Answer = await rig.call('ADD', { id: 'b', netns: await rig.pod('b'), config });
  assert.deepEqual([clash.json.code, clash.json.details], [101, 'pod shop/web (eth0) has it']);
  // They outlive the agent.
  await running.stop();
  Object.assign(rig.table, { hostPorts: [] });
  await rig.start();
  assert.deepEqual(rig.table.hostPorts, ports);
  assert.equal((await rig.call('DEL', { netns: a })).code, 0);
  assert.deepEqual(rig.table.hostPorts, []);
  await nothingLeft(rig);
});

test('a plugin before ours has its result passed on, with ours behind it', async (t) => {
  const rig = await createRig(t);
  if (rig === undefined) return;
  await rig.start();
  const netns = await rig.pod('p');
  const prevResult = {
    cniVersion: '1.0.0',
    interfaces: [{ name: 'lo', mac: '00:00:00:00:00:00', sandbox: netns }],
    ips: [{ address: '127.0.0.1/8', interface: 0 }],
    routes: [{ dst: '192.0.2.0/24', gw: '10.0.0.1' }],
    dns: { nameservers: ['10.96.0.10'] },
  };
  const { json }: Answer = await rig.call('ADD', { netns, config: { cniVersion: '1.0.0', prevResult } });
  assert.deepEqual(
    json.interfaces.map(({ name }: Json) => name),
    ['lo', (await rig.left()).links[0], 'eth0'],
  );
  assert.deepEqual(json.ips, [
    { address: '127.0.0.1/8', interface: 0 },
    { interface: 2, address: '10.64.1.2/32', gateway: '10.64.1.1' },
  ]);
  assert.deepEqual(json.routes, [
    { dst: '192.0.2.0/24', gw: '10.0.0.1' },
    { dst: '0.0.0.0/0', gw: '10.64.1.1' },
  ]);
  assert.deepEqual(json.dns, { nameservers: ['10.96.0.10'] });
});

test('CHECK says what somebody took away, and is content with what was added', async (t) => {
  const rig = await createRig(t);
  if (rig === undefined) return;
  await rig.start();
  const netns = await rig.pod('p');
  const { json: prevResult }: Answer = await rig.call('ADD', { netns, args: pod });
  const check = (): Promise<Answer> => rig.call('CHECK', { netns, args: pod, config: { prevResult } });
  rig.ip(netns, 'addr', 'add', '192.0.2.1/24', 'dev', 'eth0');
  rig.ip(netns, 'route', 'add', '198.51.100.0/24', 'via', '10.64.1.1');
  assert.equal((await check()).code, 0);
  const [link = ''] = (await rig.left()).links;
  const damages: readonly (readonly [string, RegExp, readonly string[], readonly string[]])[] = [
    [
      netns,
      /the namespace has no route 0[.]0[.]0[.]0\/0 via 10[.]64[.]1[.]1/,
      ['route', 'del', 'default'],
      ['route', 'add', 'default', 'via', '10.64.1.1'],
    ],
    [
      netns,
      /eth0 has the MAC 02:00:00:00:00:01, not /,
      ['link', 'set', 'eth0', 'address', '02:00:00:00:00:01'],
      ['link', 'set', 'eth0', 'address', prevResult.interfaces[1].mac],
    ],
    [
      netns,
      /eth0 has no address 10[.]64[.]1[.]2\/32/,
      ['addr', 'del', '10.64.1.2/32', 'dev', 'eth0'],
      ['addr', 'add', '10.64.1.2/32', 'dev', 'eth0'],
    ],
    [
      rig.netns.path('node'),
      /the interface fl\w+ of the host is down/,
      ['link', 'set', link, 'down'],
      ['link', 'set', link, 'up'],
    ],
  ];
  for (const [where, text, damage, repair] of damages) {
    rig.ip(where, ...damage);
    const found: Answer = await check();
    assert.deepEqual([found.code, found.json.code], [1, 103]);
    assert.match(found.json.msg, text);
    assert.match(found.json.msg, /^pod shop\/web \(eth0\): /);
    rig.ip(where, ...repair);
  }
});

test('GC removes what the runtime no longer has, and only of its network', async (t) => {
  const rig = await createRig(t);
  if (rig === undefined) return;
  await rig.start();
  for (const id of ['a', 'b', 'c']) assert.equal((await rig.call('ADD', { id, netns: await rig.pod(id) })).code, 0);
  assert.equal((await rig.call('ADD', { id: 'd', netns: await rig.pod('d'), config: { name: 'other' } })).code, 0);
  const missing: Answer = await rig.call('GC', {});
  assert.deepEqual([missing.code, missing.json.code], [1, 7]);
  assert.equal((await rig.left()).links.length, 4);
  const config = { 'cni.dev/valid-attachments': [{ containerID: 'b', ifname: 'eth0' }] };
  assert.equal((await rig.call('GC', { config })).code, 0);
  await until(async () => (await rig.left()).stateFiles.length === 2, 'two pods');
  const { links, addressFiles } = await rig.left();
  assert.deepEqual([links.length, addressFiles], [2, ['10.64.1.3']]);
  assert.equal((await rig.call('DEL', { id: 'd' })).code, 0);
  const old: Answer = await rig.call('GC', { config: { ...config, cniVersion: '1.0.0' } });
  assert.equal(old.json.code, 1);
});

test('a full pod CIDR is code 100, STATUS says 50, and one DEL mends both', async (t) => {
  const rig = await createRig(t, { podCidrs: ['10.64.1.0/30'] });
  if (rig === undefined) return;
  await rig.start();
  assert.equal((await rig.call('STATUS', {})).code, 0);
  assert.equal((await rig.call('ADD', { id: 'a', netns: await rig.pod('a') })).code, 0);
  const full: Answer = await rig.call('ADD', { id: 'b', netns: await rig.pod('b') });
  assert.deepEqual([full.code, full.json.code], [1, 100]);
  const status: Answer = await rig.call('STATUS', {});
  assert.deepEqual([status.code, status.json.code], [1, 50]);
  assert.equal((await rig.call('DEL', { id: 'a' })).code, 0);
  await nothingLeft(rig);
  assert.equal((await rig.call('STATUS', {})).code, 0);
  assert.equal((await rig.call('ADD', { id: 'b', netns: rig.netns.path('b') })).code, 0);
});

test('without an agent: code 11, and 50 for STATUS', async (t) => {
  const rig = await createRig(t);
  if (rig === undefined) return;
  mkdirSync(rig.options.binDir, { recursive: true });
  const shell = join(import.meta.dirname, '../../../src/agent/native/shim.sh');
  for (const program of [rig.options.shim, shell]) {
    installPlugin(program, rig.options);
    for (const [command, code] of [
      ['ADD', 11],
      ['DEL', 11],
      ['STATUS', 50],
    ] as const) {
      const answer: Answer = await rig.call(command, { netns: await rig.netnsOf('p') });
      assert.deepEqual(
        [answer.code, answer.json?.code, answer.json?.cniVersion],
        [1, code, '1.1.0'],
        `${program} ${command}`,
      );
    }
  }
});

test('the shell form does the same through an agent that wires', async (t) => {
  const shell = join(import.meta.dirname, '../../../src/agent/native/shim.sh');
  for (const kind of ['socket', 'text'] as const) {
    const rig = await createRig(t, { podCidrs: ['10.64.1.0/24', 'fd00:1::/64'], kind });
    if (rig === undefined) return;
    await rig.start({ shim: shell });
    const netns = await rig.pod('p');
    await rig.run(netns, 'sh', '-c', 'echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6');
    const added: Answer = await rig.call('ADD', { netns, args: pod });
    assert.equal(added.code, 0, added.stdout);
    await reaches(rig, netns, '10.64.1.1');
    await reaches(rig, netns, 'fd00:1::1');
    const checked: Answer = await rig.call('CHECK', { netns, config: { prevResult: added.json } });
    assert.equal(checked.code, 0, checked.stdout);
    const again: Answer = await rig.call('ADD', { netns });
    assert.equal(again.json.code, 999);
    const stray: Answer = await rig.call('ADD', { id: 'x', netns: '/etc/passwd' });
    assert.equal(stray.json.code, 8);
    assert.deepEqual((await rig.call('VERSION', { config: { cniVersion: '0.4.0' } })).json.cniVersion, '0.4.0');
    assert.equal((await rig.call('DEL', { netns })).code, 0);
    await nothingLeft(rig);
  }
});

/** Writes to the socket and gives all that comes back. */
function talk(path: string, bytes: Buffer, end: boolean): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ path, allowHalfOpen: true });
    let answer = '';
    socket.setEncoding('latin1').on('data', (text: string) => {
      answer += text;
    });
    socket.once('error', reject);
    socket.once('end', () => {
      socket.end();
      resolve(answer);
    });
    if (end) socket.end(bytes);
    else socket.write(bytes);
  });
}

const HEAD = 'CNI_COMMAND=ADD\nCNI_CONTAINERID=x\nCNI_NETNS=/x\nCNI_IFNAME=eth0\nCNI_ARGS=\nCNI_PATH=/x\n';

test('garbage, half a call and 10 MB get a clear answer, and the next call works', async (t) => {
  const rig = await createRig(t);
  if (rig === undefined) return;
  await rig.start();
  const { socket } = rig.options;
  const big = Buffer.alloc(10 << 20, 'x');
  const inputs: readonly (readonly [string, Buffer, boolean, RegExp])[] = [
    ['nothing', Buffer.alloc(0), true, /^rc=1\n[\s\S]*"code": 6[\s\S]*ends in the middle of the environment/],
    [
      'garbage',
      Buffer.from('GET / HTTP/1.1\r\n\n\n'),
      true,
      /^rc=1\n[\s\S]*"code": 6[\s\S]*not a call of the Fairlead CNI plugin/,
    ],
    [
      'half an environment',
      Buffer.from(HEAD.slice(0, 40)),
      true,
      /^rc=1\n[\s\S]*ends in the middle of the environment/,
    ],
    ['10 MB without an end', big, false, /^rc=1\n[\s\S]*the environment is longer than 65536 bytes/],
    [
      '10 MB of configuration',
      Buffer.from(`${HEAD}\n${big}`),
      true,
      /^rc=1\n[\s\S]*stdin is longer than 1048576 bytes/,
    ],
    [
      '10 MB announced',
      Buffer.from(`${HEAD}SHIM=1 LEN=10485760 NS=0\n\n${big}`),
      false,
      /^A[\s\S]{5}\{[\s\S]*stdin is longer/,
    ],
    [
      'half of what was announced',
      Buffer.from(`${HEAD}SHIM=1 LEN=100 NS=0\n\n{}`),
      true,
      /^A[\s\S]{5}\{[\s\S]*ends in the middle of stdin/,
    ],
    ['a seventh line that is none', Buffer.from(`${HEAD}WHAT=1\n\n{}`), true, /^rc=1\n[\s\S]*line 7 is/],
    ['no JSON', Buffer.from(`${HEAD}\n{`), true, /^rc=1\n[\s\S]*"code": 6[\s\S]*error unmarshall network config/],
  ];
  for (const [name, bytes, end, text] of inputs) assert.match(await talk(socket, bytes, end), text, name);
  const long: Answer = await rig.call('ADD', {
    netns: await rig.pod('long'),
    config: { comment: 'x'.repeat(10 << 20) },
  });
  assert.deepEqual([long.code, long.json.code], [1, 6]);
  await nothingLeft(rig);
  assert.equal((await rig.call('ADD', { netns: await rig.pod('p') })).code, 0);
});

test('40 pods at once get 40 addresses', async (t) => {
  const rig = await createRig(t);
  if (rig === undefined) return;
  await rig.start();
  const pods = [];
  for (let at = 0; at < 40; at += 1) pods.push({ id: `pod${at}`, netns: await rig.pod(`p${at}`) });
  const added = await Promise.all(pods.map((one) => rig.call('ADD', one)));
  for (const { code, stdout } of added) assert.equal(code, 0, stdout);
  assert.equal(new Set(added.map(({ json }) => json.ips[0].address)).size, 40);
  const deleted = await Promise.all(pods.map((one) => rig.call('DEL', one)));
  assert.ok(deleted.every(({ code }) => code === 0));
  await nothingLeft(rig);
});

test('a reboot frees every address, and pods whose namespace died with the node too', async (t) => {
  const rig = await createRig(t, { podCidrs: ['10.64.1.0/30'] });
  if (rig === undefined) return;
  const first = await rig.start();
  assert.equal((await rig.call('ADD', { id: 'a', netns: await rig.pod('a') })).code, 0);
  await first.stop();
  // Another boot: the files are there, nothing else is.
  await rig.netns.remove('a');
  const second = await rig.start({ bootId: 'boot-2' });
  await nothingLeft(rig);
  assert.equal((await rig.call('ADD', { id: 'b', netns: await rig.pod('b') })).code, 0);
  await second.stop();
  // The same boot, but the namespace went while no agent was there.
  await rig.netns.remove('b');
  // The kernel takes a namespace down in its own time.
  await until(async () => (await rig.left()).links.length === 0, 'the link goes with its namespace');
  await rig.start({ bootId: 'boot-2' });
  await nothingLeft(rig);
  assert.equal((await rig.call('ADD', { id: 'c', netns: await rig.pod('c') })).code, 0);
});

test('corrupt, truncated and lost state files are rebuilt from the node', async (t) => {
  const rig = await createRig(t);
  if (rig === undefined) return;
  let running = await rig.start();
  for (const id of ['a', 'b', 'c', 'd'])
    assert.equal((await rig.call('ADD', { id, netns: await rig.pod(id) })).code, 0);
  await running.stop();
  const { stateDir, networksDir } = rig.options;
  const files = readdirSync(stateDir);
  const pathOf = (at: number): string => join(stateDir, files[at] ?? '');
  writeFileSync(pathOf(0), 'garbage');
  writeFileSync(pathOf(1), readFileSync(pathOf(1), 'utf8').slice(0, 50));
  writeFileSync(pathOf(2), '');
  writeFileSync(pathOf(3), JSON.stringify({ format: 9 }));
  writeFileSync(join(networksDir, NETWORK, '10.64.1.99'), '');
  running = await rig.start();
  assert.ok(rig.logged.some((line) => line.startsWith('warn a state file is corrupt')));
  const left = await rig.left();
  assert.deepEqual([left.links.length, left.addressFiles.length, left.stateFiles.length], [4, 4, 4]);
  const fresh: Answer = await rig.call('ADD', { id: 'e', netns: await rig.pod('e') });
  assert.equal(fresh.json.ips[0].address, '10.64.1.6/32');
  for (const id of ['a', 'b', 'c', 'd', 'e']) assert.equal((await rig.call('DEL', { id })).code, 0);
  await nothingLeft(rig);
});

test('address files of another plugin are taken over, and given back by DEL', async (t) => {
  const rig = await createRig(t, { podCidrs: ['10.64.1.0/29'] });
  if (rig === undefined) return;
  const old = join(rig.options.networksDir, 'cbr0');
  mkdirSync(old, { recursive: true });
  writeFileSync(join(old, '10.64.1.2'), 'old1\r\neth0');
  writeFileSync(join(old, '10.64.1.4'), 'old2');
  writeFileSync(join(old, '10.9.9.9'), 'elsewhere\r\neth0');
  writeFileSync(join(old, 'last_reserved_ip.0'), '10.64.1.4');
  writeFileSync(join(old, 'lock'), '');
  await rig.start();
  const given: string[] = [];
  for (const id of ['a', 'b', 'c'])
    given.push((await rig.call('ADD', { id, netns: await rig.pod(id) })).json.ips[0].address);
  // Round robin goes on where host-local stood.
  assert.deepEqual(given, ['10.64.1.5/32', '10.64.1.6/32', '10.64.1.3/32']);
  assert.equal((await rig.call('ADD', { id: 'd', netns: await rig.pod('d') })).json.code, 100);
  assert.equal((await rig.call('DEL', { id: 'old2' })).code, 0);
  assert.equal((await rig.call('ADD', { id: 'd', netns: rig.netns.path('d') })).json.ips[0].address, '10.64.1.4/32');
  assert.deepEqual(readdirSync(old), ['10.64.1.2', '10.9.9.9', 'last_reserved_ip.0', 'lock']);
});

test('the conflist appears when the part is ready, comes back when it is gone, and stays when the agent ends', async (t) => {
  const rig = await createRig(t);
  if (rig === undefined) return;
  const gate = Promise.withResolvers<void>();
  const path = join(rig.options.confDir, rig.options.confFile);
  const running = await rig.start({}, { waitReady: false, written: () => gate.promise });
  await until(
    () => running.part.ready() === 'the node table is being written',
    () => `${running.part.ready()}`,
  );
  assert.ok(!existsSync(path));
  gate.resolve();
  await until(() => running.part.ready() === undefined, 'ready');
  assert.deepEqual(readdirSync(rig.options.confDir), [rig.options.confFile]);
  const text = readFileSync(path, 'utf8');
  assert.equal(JSON.parse(text).plugins[0].type, 'fairlead');
  await running.stop();
  assert.equal(readFileSync(path, 'utf8'), text);
});

test('folders that cannot be written end the part with the name of the file, and nothing half made', async (t) => {
  const rig = await createRig(t);
  if (rig === undefined) return;
  const file = join(rig.folder, 'file');
  writeFileSync(file, '');
  for (const [more, code] of [
    // A read-only file system, to root as to everybody.
    [{ confDir: '/proc/sys/net' }, 'FL_CNI_CONFLIST'],
    [{ binDir: '/proc/sys/net' }, 'FL_CNI_CONFLIST'],
    [{ confDir: join(file, 'net.d') }, 'FL_CNI_CONFLIST'],
    [{ stateDir: join(file, 'state') }, 'FL_CNI_STATE'],
    [{ socket: join(file, 'cni.sock') }, 'FL_CNI_SOCKET'],
  ] as const) {
    const { ended } = await rig.start(more, { waitReady: false });
    const error = (await ended) as Json;
    assert.equal(error?.code, code, String(error));
    assert.match(error.message, /\/proc\/sys\/net|file\//);
  }
  assert.ok(!existsSync(join(rig.options.confDir, rig.options.confFile)), 'no conflist');
  assert.deepEqual(
    readdirSync(rig.folder).filter((name) => name.includes('.fairlead-')),
    [],
  );
});

test('a second agent on the node is refused while the first one answers', async (t) => {
  const rig = await createRig(t);
  if (rig === undefined) return;
  await rig.start();
  const second = await rig.start({}, { waitReady: false });
  assert.equal(((await second.ended) as Json)?.code, 'FL_CNI_SOCKET');
  assert.equal((await rig.call('STATUS', {})).code, 0);
});

test('a route to a pod that somebody deletes is back at once', async (t) => {
  const rig = await createRig(t, { events: true });
  if (rig === undefined) return;
  await rig.start();
  assert.equal((await rig.call('ADD', { netns: await rig.pod('p') })).code, 0);
  const node = rig.netns.path('node');
  rig.ip(node, 'route', 'del', '10.64.1.2');
  await until(() => rig.ip(node, 'route').includes('10.64.1.2 dev fl'), 'the route is back', 2_000);
});

test('masquerading covers the pods of this node, towards all but the pods of all nodes', async (t) => {
  const rig = await createRig(t);
  if (rig === undefined) return;
  await rig.start({ nonMasqueradeCidrs: ['192.168.0.0/16' as never] });
  assert.deepEqual(rig.table, {
    hostPorts: [],
    localPods: ['10.64.1.0/24'],
    noMasq: ['10.64.1.0/24', '192.168.0.0/16'],
  });
  const other: unknown = {
    metadata: { name: 'n2', uid: 'n2', resourceVersion: '2' },
    spec: { podCIDRs: ['10.64.2.0/24'] },
  };
  rig.nodes.set(other as never);
  assert.deepEqual(rig.table.noMasq, ['10.64.1.0/24', '10.64.2.0/24', '192.168.0.0/16']);
  rig.nodes.remove('n2');
  assert.deepEqual(rig.table.noMasq, ['10.64.1.0/24', '192.168.0.0/16']);
});

test('MTU is that of the default route less the encapsulation, on both ends and in the result', async (t) => {
  const rig = await createRig(t);
  if (rig === undefined) return;
  const node = rig.netns.path('node');
  rig.ip(node, 'link', 'add', 'up0', 'mtu', '1400', 'type', 'bridge');
  rig.ip(node, 'addr', 'add', '192.0.2.1/24', 'dev', 'up0');
  rig.ip(node, 'link', 'set', 'up0', 'up');
  rig.ip(node, 'route', 'add', 'default', 'via', '192.0.2.254');
  await rig.start({ encapsulation: 50 });
  const netns = await rig.pod('p');
  const { json }: Answer = await rig.call('ADD', { netns });
  assert.deepEqual(
    json.interfaces.map(({ mtu }: Json) => mtu),
    [1350, 1350],
  );
  assert.match(rig.ip(netns, 'link', 'show', 'eth0'), /mtu 1350/);
  const own: Answer = await rig.call('ADD', { id: 'own', netns: await rig.pod('q'), config: { mtu: 1300 } });
  assert.equal(own.json.interfaces[1].mtu, 1300);
});
