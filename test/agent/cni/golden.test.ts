/** The golden cases of the reference: its plugins run beside ours, and exit status, code and shape are compared. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { leaveOut } from '../../left-out.ts';
import { type Answer, type Call, callPlugin, createRig, type Json, type Rig } from './rig.ts';

const GO = '/usr/lib/cni';
const versions = ['0.1.0', '0.2.0', '0.3.0', '0.3.1', '0.4.0', '1.0.0'] as const;

/** Debian's ptp with host-local, called as ours is; undefined where it is not installed, and that is said. */
function reference(
  rig: Rig,
  t: Parameters<typeof leaveOut>[0],
): ((command: string, call: Call) => Promise<Answer>) | undefined {
  if (!existsSync(join(GO, 'ptp'))) {
    leaveOut(t, 'comparison with the CNI plugins in Go', 'apt-get install containernetworking-plugins');
    return undefined;
  }
  const ipam = {
    type: 'host-local',
    dataDir: join(rig.folder, 'go'),
    ranges: [[{ subnet: '10.198.1.0/24' }]],
    routes: [{ dst: '0.0.0.0/0' }],
  };
  return (command, call) => {
    const config =
      typeof call.config === 'string'
        ? call.config
        : { cniVersion: '1.0.0', name: 'gold', type: 'ptp', ipam, ...call.config };
    return callPlugin(rig.netns.path('node'), join(GO, 'ptp'), command, {
      ...call,
      config,
      env: { CNI_PATH: GO, ...call.env },
    });
  };
}

/** Names and types without values; lists by their first member, addresses and MACs by their kind. */
function shapeOf(value: Json): Json {
  if (Array.isArray(value)) return value.map(shapeOf);
  if (typeof value === 'object' && value !== null)
    return Object.fromEntries(
      Object.entries(value)
        .map(([name, member]) => [name, shapeOf(member)] as const)
        .sort(([a], [b]) => (a < b ? -1 : 1)),
    );
  if (typeof value === 'string' && /^([0-9a-f]{2}:){5}[0-9a-f]{2}$/.test(value)) return 'MAC';
  return typeof value;
}

/** Ours says the gateway of the default route, which there is to us; ptp leaves it to the reader. */
function withoutGateways(result: Json): Json {
  for (const route of [...(result.routes ?? []), ...(result.ip4?.routes ?? [])]) delete route.gw;
  return result;
}

test('ADD of each version gives what ptp with host-local gives, name by name', async (t) => {
  const rig = await createRig(t);
  if (rig === undefined) return;
  const go = reference(rig, t);
  if (go === undefined) return;
  await rig.start();
  for (const cniVersion of versions) {
    const netns = await rig.pod(`a${cniVersion.replaceAll('.', '')}`);
    const theirs: Answer = await go('ADD', { netns, config: { cniVersion } });
    assert.equal(theirs.code, 0, theirs.stdout);
    assert.equal((await go('DEL', { netns, config: { cniVersion } })).code, 0);
    const ours: Answer = await rig.call('ADD', { netns, config: { cniVersion } });
    assert.equal(ours.code, 0, ours.stdout);
    assert.deepEqual(shapeOf(withoutGateways(ours.json)), shapeOf(theirs.json), cniVersion);
    assert.equal(ours.json.cniVersion, cniVersion);
    assert.equal((await rig.call('DEL', { netns, config: { cniVersion } })).code, 0);
  }
});

interface Case {
  readonly name: string;
  readonly command: string;
  readonly call: (netns: string) => Call;
  readonly code: number;
  readonly msg?: string;
  /** Ours differs from the reference on purpose, for this reason. */
  readonly differs?: string;
}

const cases: readonly Case[] = [
  {
    name: 'no container id',
    command: 'ADD',
    call: (netns) => ({ netns, id: '' }),
    code: 4,
    msg: 'required env variables [CNI_CONTAINERID] missing',
  },
  {
    name: 'nothing of what ADD needs',
    command: 'ADD',
    call: () => ({ netns: '', id: '', ifname: '', env: { CNI_PATH: '' } }),
    code: 4,
    msg: 'required env variables [CNI_CONTAINERID,CNI_NETNS,CNI_IFNAME,CNI_PATH] missing',
  },
  {
    name: 'an unknown command',
    command: 'FOO',
    call: (netns) => ({ netns }),
    code: 4,
    msg: 'unknown CNI_COMMAND: FOO',
  },
  {
    name: 'an unknown version',
    command: 'ADD',
    call: (netns) => ({ netns, config: { cniVersion: '9.9.9' } }),
    code: 1,
    msg: 'incompatible CNI versions',
  },
  {
    name: 'no network name',
    command: 'ADD',
    call: (netns) => ({ netns, config: { name: '' } }),
    code: 7,
    msg: 'missing network name',
  },
  {
    name: 'a network name with a slash',
    command: 'ADD',
    call: (netns) => ({ netns, config: { name: 'a/b' } }),
    code: 7,
    msg: 'invalid characters found in network name',
  },
  { name: 'no JSON', command: 'ADD', call: (netns) => ({ netns, config: '{not' }), code: 6 },
  { name: 'an empty configuration', command: 'ADD', call: (netns) => ({ netns, config: '' }), code: 6 },
  {
    name: 'an interface name with a slash',
    command: 'ADD',
    call: (netns) => ({ netns, ifname: 'a/b' }),
    code: 4,
    msg: 'interface name contains / or : or whitespace characters',
  },
  {
    name: 'an interface name that is too long',
    command: 'ADD',
    call: (netns) => ({ netns, ifname: 'a234567890123456' }),
    code: 4,
    msg: 'interface name is too long',
  },
  {
    name: 'an interface name of dots',
    command: 'ADD',
    call: (netns) => ({ netns, ifname: '..' }),
    code: 4,
    msg: 'interface name is . or ..',
  },
  {
    name: 'a container id with bad characters',
    command: 'ADD',
    call: (netns) => ({ netns, id: '-x/y' }),
    code: 4,
    msg: 'invalid characters in containerID',
  },
  {
    name: 'CHECK without prevResult',
    command: 'CHECK',
    call: (netns) => ({ netns }),
    code: 999,
    msg: 'Required prevResult missing',
  },
  {
    name: 'CHECK in a version that has none',
    command: 'CHECK',
    call: (netns) => ({ netns, config: { cniVersion: '0.3.1' } }),
    code: 1,
    msg: 'config version does not allow CHECK',
  },
  {
    name: 'an unknown CNI_ARG',
    command: 'ADD',
    call: (netns) => ({ netns, args: 'A=B' }),
    code: 4,
    differs: 'the environment is at fault, not the logic (999)',
  },
  {
    name: 'a CNI_ARG without a value',
    command: 'ADD',
    call: (netns) => ({ netns, args: 'AB' }),
    code: 4,
    differs: 'the environment is at fault, not the logic (999)',
  },
  {
    name: 'a namespace that does not exist',
    command: 'ADD',
    call: () => ({ netns: '/run/netns/no-such-namespace' }),
    code: 8,
    differs: 'the specification has a code of its own for it',
  },
  {
    name: 'a namespace that is a file',
    command: 'ADD',
    call: () => ({ netns: '/etc/passwd' }),
    code: 8,
    differs: 'the specification has a code of its own for it',
  },
];

test('errors have the exit status, code and text of the reference', async (t) => {
  const rig = await createRig(t);
  if (rig === undefined) return;
  const go = reference(rig, t);
  if (go === undefined) return;
  await rig.start();
  const netns = await rig.pod('p');
  for (const { name, command, call, code, msg, differs } of cases) {
    await t.test(name, async () => {
      const theirs: Answer = await go(command, call(netns));
      const ours: Answer = await rig.call(command, call(netns));
      assert.equal(ours.code, 1, ours.stdout);
      assert.equal(theirs.code, 1, theirs.stdout);
      assert.equal(ours.json.code, code);
      if (differs === undefined) assert.equal(theirs.json.code, code, 'the code of the reference');
      else assert.notEqual(theirs.json.code, code, `no longer differs: ${differs}`);
      if (msg !== undefined) assert.equal(ours.json.msg, msg);
    });
  }
});

test('VERSION lists the versions of the reference and 1.1.0, also with no agent', async (t) => {
  const rig = await createRig(t);
  if (rig === undefined) return;
  const go = reference(rig, t);
  if (go === undefined) return;
  const running = await rig.start();
  for (const when of ['with', 'without']) {
    if (when === 'without') await running.stop();
    const theirs: Answer = await go('VERSION', {});
    const ours: Answer = await rig.call('VERSION', {});
    assert.equal(ours.code, 0, when);
    assert.deepEqual(
      ours.json,
      { cniVersion: '1.1.0', supportedVersions: [...theirs.json.supportedVersions, '1.1.0'] },
      when,
    );
  }
  assert.equal((await rig.call('VERSION', { config: { cniVersion: '0.4.0' } })).json.cniVersion, '0.4.0');
});

test('CHECK with the result of ADD is silent; with a result of another sandbox it fails as the reference does', async (t) => {
  const rig = await createRig(t);
  if (rig === undefined) return;
  const go = reference(rig, t);
  if (go === undefined) return;
  await rig.start();
  for (const [who, call] of [
    ['ours', rig.call],
    ['theirs', go],
  ] as const) {
    const netns: string = await rig.pod(who);
    const added: Answer = await call('ADD', { netns, config: { cniVersion: '1.0.0' } });
    assert.equal(added.code, 0, added.stdout);
    const good = await call('CHECK', { netns, config: { cniVersion: '1.0.0', prevResult: added.json } });
    assert.deepEqual([good.code, good.stdout], [0, ''], who);
    const interfaces = added.json.interfaces.map(({ name, mac }: Json) => ({ name, mac }));
    const bad = await call('CHECK', {
      netns,
      config: { cniVersion: '1.0.0', prevResult: { ...added.json, interfaces } },
    });
    assert.equal(bad.code, 1, who);
    assert.equal(bad.json.code, 999, who);
    assert.match(bad.json.msg, /Sandbox in prevResult {2}doesn't match configured netns: /, who);
    assert.equal((await call('DEL', { netns, config: { cniVersion: '1.0.0' } })).code, 0, who);
    // Once more, without a namespace, without anything: DEL has nothing to say.
    const again = await call('DEL', { netns: '', config: { cniVersion: '1.0.0' } });
    assert.deepEqual([again.code, again.stdout], [0, ''], who);
  }
});

test('without CNI_COMMAND both say what they are, on standard error', async (t) => {
  const rig = await createRig(t);
  if (rig === undefined) return;
  const go = reference(rig, t);
  if (go === undefined) return;
  await rig.start();
  for (const call of [rig.call, go]) {
    const { code, stdout, stderr } = await call('', {});
    assert.deepEqual([code, stdout], [0, '']);
    assert.match(stderr, /CNI .*plugin.*\nCNI protocol versions supported: 0[.]1[.]0, /);
  }
});

test('address files are those of host-local: it respects ours and we respect its', async (t) => {
  const rig = await createRig(t, { podCidrs: ['10.64.1.0/29'] });
  if (rig === undefined) return;
  if (reference(rig, t) === undefined) return;
  await rig.start();
  const hostLocal = (command: string, id: string): Json => {
    const ipam = { type: 'host-local', dataDir: rig.options.networksDir, ranges: [[{ subnet: '10.64.1.0/29' }]] };
    const { stdout } = spawnSync(join(GO, 'host-local'), {
      input: JSON.stringify({ cniVersion: '1.0.0', name: rig.options.network, ipam }),
      env: { CNI_COMMAND: command, CNI_CONTAINERID: id, CNI_NETNS: '/x', CNI_IFNAME: 'eth0', CNI_PATH: GO },
      encoding: 'utf8',
    });
    return stdout === '' ? undefined : JSON.parse(stdout);
  };
  const seen = new Set<string>();
  for (let at = 0; at < 4; at += 1) {
    const ours = at % 2 === 0;
    const netns = await rig.pod(`h${at}`);
    const result = ours ? (await rig.call('ADD', { id: `ours${at}`, netns })).json : hostLocal('ADD', `theirs${at}`);
    const [address] = result.ips[0].address.split('/');
    assert.ok(!seen.has(address), `${address} twice`);
    seen.add(address);
  }
  assert.deepEqual([...seen].sort(), ['10.64.1.2', '10.64.1.3', '10.64.1.4', '10.64.1.5']);
  assert.equal((await rig.call('ADD', { id: 'last', netns: await rig.pod('h4') })).code, 0);
  const full = await rig.call('ADD', { id: 'none', netns: await rig.pod('h5') });
  assert.deepEqual([full.code, full.json.code], [1, 100]);
  assert.match(full.json.details, /5 of 5 are in use; lower maxPods/);
  // And what host-local holds is released by a DEL that comes to us.
  assert.equal((await rig.call('DEL', { id: 'theirs1' })).code, 0);
  assert.equal((await rig.call('ADD', { id: 'none', netns: await rig.pod('h6') })).code, 0);
});
