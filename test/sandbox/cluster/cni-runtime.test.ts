import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { type CniAttachment, createCniRuntime, readConflist } from '../../../src/sandbox/cluster/cni-runtime.ts';

const attachment: CniAttachment = {
  containerId: 'c1',
  netns: '/run/netns/a',
  ifname: 'eth0',
  pod: { namespace: 'default', name: 'web', uid: 'u1' },
  portMappings: [{ hostPort: 80, containerPort: 8080, protocol: 'tcp' }],
};
const conflist = {
  cniVersion: '1.0.0',
  name: 'net',
  plugins: [
    { type: 'first', capabilities: { portMappings: true } },
    { type: 'second', rate: 7 },
  ],
};

interface Called {
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly config: Readonly<Record<string, unknown>>;
}

async function world(t: TestContext, answer: (called: Called) => { code: number; stdout: string }) {
  const confDir = await mkdtemp(join(tmpdir(), 'fairlead-cni-'));
  t.after(() => rm(confDir, { recursive: true }));
  const calls: Called[] = [];
  const runtime = createCniRuntime({
    confDir,
    binDir: '/opt/bin',
    async exec(argv, env, input) {
      const called = { argv, env, config: JSON.parse(input) as Called['config'] };
      calls.push(called);
      return { stderr: '', ...answer(called) };
    },
  });
  const put = (name: string, content: object): Promise<void> => writeFile(join(confDir, name), JSON.stringify(content));
  return { runtime, calls, put, confDir };
}

test('ADD goes through the chain with each result, DEL back with the last one', async (t) => {
  const { runtime, calls, put } = await world(t, ({ argv, env }) => ({
    code: 0,
    stdout: env['CNI_COMMAND'] === 'ADD' ? JSON.stringify({ ips: [{ address: '10.0.0.2/32' }], by: argv[0] }) : '',
  }));
  await put('05-a.conflist', conflist);
  await put('10-b.conflist', { ...conflist, name: 'other' });
  const result = await runtime.add(attachment);
  assert.deepEqual(result.ips, [{ address: '10.0.0.2/32' }]);
  await runtime.del(attachment);
  assert.deepEqual(
    calls.map(({ argv, env }) => `${env['CNI_COMMAND']} ${argv.join(' ')}`),
    ['ADD /opt/bin/first', 'ADD /opt/bin/second', 'DEL /opt/bin/second', 'DEL /opt/bin/first'],
  );
  assert.deepEqual(calls[0]?.config, {
    type: 'first',
    name: 'net',
    cniVersion: '1.0.0',
    runtimeConfig: { portMappings: attachment.portMappings },
  });
  assert.deepEqual(calls[1]?.config, {
    type: 'second',
    rate: 7,
    name: 'net',
    cniVersion: '1.0.0',
    prevResult: { ips: [{ address: '10.0.0.2/32' }], by: '/opt/bin/first' },
  });
  assert.deepEqual(calls[3]?.config['prevResult'], { ips: [{ address: '10.0.0.2/32' }], by: '/opt/bin/second' });
  const { PATH: _, ...env } = calls[0]?.env ?? {};
  assert.deepEqual(env, {
    CNI_COMMAND: 'ADD',
    CNI_CONTAINERID: 'c1',
    CNI_NETNS: '/run/netns/a',
    CNI_IFNAME: 'eth0',
    CNI_ARGS: 'IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=web;K8S_POD_INFRA_CONTAINER_ID=c1;K8S_POD_UID=u1',
    CNI_PATH: '/opt/bin',
  });
});

test('an error of a plugin is told in its words', async (t) => {
  const stdout = JSON.stringify({ cniVersion: '1.0.0', code: 11, msg: 'agent not reachable', details: 'try again' });
  const { runtime, put } = await world(t, () => ({ code: 1, stdout }));
  await put('05-a.conflist', conflist);
  await assert.rejects(runtime.add(attachment), {
    message: 'CNI ADD by first: agent not reachable (code 11): try again',
  });
});

test('without a conflist the network is not ready', async (t) => {
  const { runtime, confDir } = await world(t, () => ({ code: 0, stdout: '' }));
  await assert.rejects(runtime.add(attachment), /network is not ready/);
  assert.equal(await readConflist(join(confDir, 'missing')), undefined);
});
