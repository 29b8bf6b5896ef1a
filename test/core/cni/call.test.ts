import assert from 'node:assert/strict';
import { test } from 'node:test';
import { callOf, parseHead } from '../../../src/core/cni/call.ts';
import { type CniFailure, failureJson, isCniFailure } from '../../../src/core/cni/failure.ts';
import { versionOf } from '../../../src/core/cni/netconf.ts';

const HEAD =
  'CNI_COMMAND=ADD\nCNI_CONTAINERID=abc\nCNI_NETNS=/run/netns/x\nCNI_IFNAME=eth0\nCNI_ARGS=\nCNI_PATH=/opt/cni/bin';

function failureOf(run: () => unknown): CniFailure {
  try {
    run();
  } catch (error) {
    if (isCniFailure(error)) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
}

test('six lines are a call of the shell form, seven one of the C shim', () => {
  const env = {
    CNI_COMMAND: 'ADD',
    CNI_CONTAINERID: 'abc',
    CNI_NETNS: '/run/netns/x',
    CNI_IFNAME: 'eth0',
    CNI_ARGS: '',
    CNI_PATH: '/opt/cni/bin',
  };
  assert.deepEqual(parseHead(HEAD), { env });
  assert.deepEqual(parseHead(`${HEAD}\nSHIM=1 LEN=17 NS=-2`), { env, shim: { length: 17, netns: -2 } });
});

for (const [name, text] of [
  ['five lines', HEAD.split('\n').slice(0, 5).join('\n')],
  ['eight lines', `${HEAD}\nSHIM=1 LEN=1 NS=0\nX=1`],
  ['another order', HEAD.split('\n').reverse().join('\n')],
  ['a seventh line of something else', `${HEAD}\nLEN=1`],
  ['a length that is none', `${HEAD}\nSHIM=1 LEN=-1 NS=0`],
  ['nothing', ''],
] as const)
  test(`${name} is no call (code 6)`, () => assert.equal(failureOf(() => parseHead(text)).code, 6));

test('CNI_ARGS: address, MAC and pod are taken, the rest only with IgnoreUnknown', () => {
  const args = (text: string) => callOf({ ...parseHead(HEAD).env, CNI_ARGS: text }).args;
  assert.deepEqual(args(''), {});
  assert.deepEqual(
    args('IgnoreUnknown=true;X=1;IP=10.0.0.1;MAC=0a:00:00:00:00:01;K8S_POD_NAMESPACE=a;K8S_POD_NAME=b;K8S_POD_UID=c'),
    {
      ip: '10.0.0.1',
      mac: '0a:00:00:00:00:01',
      pod: { namespace: 'a', name: 'b', uid: 'c' },
    },
  );
  assert.deepEqual(args('K8S_POD_NAME=b'), {});
  assert.match(failureOf(() => args('X=1')).message, /unknown args \["X=1"\]/);
  assert.match(failureOf(() => args('=1')).message, /invalid pair "=1"/);
});

test('each command names all that is missing, and nothing else', () => {
  const missing = (command: string): string =>
    failureOf(() =>
      callOf({ CNI_COMMAND: command, CNI_CONTAINERID: '', CNI_NETNS: '', CNI_IFNAME: '', CNI_ARGS: '', CNI_PATH: '' }),
    ).message;
  const all = 'required env variables [CNI_CONTAINERID,CNI_NETNS,CNI_IFNAME,CNI_PATH] missing';
  assert.deepEqual(['ADD', 'CHECK', 'DEL', 'GC', 'STATUS'].map(missing), [
    all,
    all,
    'required env variables [CNI_CONTAINERID,CNI_IFNAME,CNI_PATH] missing',
    'required env variables [CNI_PATH] missing',
    'required env variables [CNI_PATH] missing',
  ]);
  const empty = { CNI_CONTAINERID: '', CNI_NETNS: '', CNI_IFNAME: '', CNI_ARGS: '', CNI_PATH: '' };
  assert.equal(callOf({ ...empty, CNI_COMMAND: 'VERSION' }).command, 'VERSION');
});

test('errors are printed in the version of the call, also of a broken one', () => {
  assert.deepEqual(JSON.parse(failureJson('0.4.0', new Error('boom'))), {
    cniVersion: '0.4.0',
    code: 999,
    msg: 'boom',
  });
  assert.equal(versionOf('{"cniVersion":"0.3.1"}'), '0.3.1');
  assert.equal(versionOf('{"cniVersion":"9.9.9"}'), '1.1.0');
  assert.equal(versionOf('{'), '1.1.0');
});
