import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { leaveOut } from '../left-out.ts';
import { ask, kubectl } from './ask.ts';
import { ensureKube, howToGetKube } from './build.ts';
import { apis, realApi, serviceAccountToken } from './cluster.ts';

for (const { name, start } of apis) {
  test(`${name}: an API server of our own`, async (t) => {
    const api = await start(t);
    if (api === undefined) return;
    const settings = '/api/v1/namespaces/default/configmaps';

    await t.test('kubectl works with the kubeconfig that was written', async (t) => {
      if (api.kubectl === undefined) return leaveOut(t, 'kubectl', howToGetKube);
      const ran = await kubectl(api, ['get', 'namespaces', '-o', 'name']);
      assert.equal(ran.code, 0, ran.stderr);
      assert.ok(ran.stdout.split('\n').includes('namespace/kube-system'));
    });

    await t.test('our own client speaks to it', async () => {
      const { items } = await api.client().call<{ items: { metadata: { name: string } }[] }>({
        method: 'GET',
        path: '/api/v1/namespaces',
        signal: AbortSignal.timeout(10_000),
      });
      assert.ok(items.some(({ metadata }) => metadata.name === 'default'));
    });

    await t.test('after a kill nobody answers, after a start everything is there again at the same place', async () => {
      assert.equal((await ask(api, 'POST', settings, { metadata: { name: 'kept' }, data: { a: '1' } })).status, 201);
      await api.kill();
      await assert.rejects(ask(api, 'GET', settings), { code: 'ECONNREFUSED' });
      await api.kill();
      await api.start();
      await api.start();
      const kept = await ask(api, 'GET', `${settings}/kept`);
      assert.deepEqual((kept.json as { data: object }).data, { a: '1' });
    });

    await t.test('a kill breaks a watch at once', async () => {
      const body = await api.client().open({
        method: 'GET',
        path: `${settings}?watch=true`,
        stream: true,
        signal: AbortSignal.timeout(30_000),
      });
      const ended = assert.rejects(
        async () => {
          for await (const _ of body);
        },
        { code: 'ECONNRESET' },
      );
      await api.kill();
      await ended;
      await api.start();
    });

    await t.test('stop leaves no folder and no listener; twice is once', async () => {
      await api.stop();
      await api.stop();
      assert.equal(existsSync(api.folder), false);
      await assert.rejects(ask({ ...api, url: api.url.replace('https', 'http') }, 'GET', '/'), {
        code: 'ECONNREFUSED',
      });
    });
  });
}

for (const { name, start } of apis) {
  test(`${name}: Services get addresses from the ranges that were asked for`, async (t) => {
    const api = await start(t, { serviceClusterIpRange: '10.50.0.0/16,fd00:50::/112' });
    if (api === undefined) return;
    const spec = { ports: [{ port: 80 }], ipFamilyPolicy: 'RequireDualStack' };
    const made = await ask(api, 'POST', '/api/v1/namespaces/default/services', { metadata: { name: 'a' }, spec });
    assert.equal(made.status, 201, made.text);
    const { clusterIPs } = (made.json as { spec: { clusterIPs: string[] } }).spec;
    assert.match(clusterIPs.join(), /^10\.50\.\d+\.\d+,fd00:50::/);
  });
}

test('kube-apiserver: certificates and service accounts', async (t) => {
  const api = await realApi(t);
  if (api === undefined) return;
  const settings = '/api/v1/namespaces/default/configmaps';

  await t.test('it is known by its certificate, also after a restart', async () => {
    const trusted = readFileSync(api.caFile, 'utf8');
    const caFile = join(import.meta.dirname, 'go.mod');
    await assert.rejects(ask({ ...api, caFile }, 'GET', '/'), /self-signed|certificate/);
    await api.kill();
    await api.start();
    assert.equal(readFileSync(api.caFile, 'utf8'), trusted);
  });

  await t.test('nobody gets in without a token', async () => {
    assert.equal((await ask({ ...api, token: 'wrong' }, 'GET', settings)).status, 401);
  });

  await t.test('a service account gets a token and only its own rights', async () => {
    await ask(api, 'POST', '/api/v1/namespaces/default/serviceaccounts', { metadata: { name: 'reader' } });
    const token = await serviceAccountToken(api, 'default', 'reader');
    const review = await ask({ ...api, token }, 'POST', '/apis/authentication.k8s.io/v1/selfsubjectreviews', {});
    assert.equal(
      (review.json as { status: { userInfo: { username: string } } }).status.userInfo.username,
      'system:serviceaccount:default:reader',
    );
    assert.equal((await ask({ ...api, token }, 'GET', settings)).status, 403);

    const kubeconfig = api.writeKubeconfig({ name: 'reader', token });
    const ran = await kubectl({ ...api, kubeconfig }, ['get', 'configmaps']);
    assert.equal(ran.code, 1);
    assert.match(ran.stderr, /system:serviceaccount:default:reader/);
  });

  await t.test('a token of an account that does not exist is an error that says so', async () => {
    await assert.rejects(serviceAccountToken(api, 'default', 'nobody'), /no token for default\/nobody: 404/);
  });
});

test('kube-apiserver: a flag that it refuses fails at once with its own words', async (t) => {
  if ((await ensureKube()) === undefined) return leaveOut(t, 'real kube-apiserver', howToGetKube);
  const words = /kube-apiserver ended by itself \(exit 1\):.*no-such-flag/s;
  await assert.rejects(realApi(t, { args: ['--no-such-flag'] }), words);
});

test('kube-apiserver: a start has a limit', async (t) => {
  if ((await ensureKube()) === undefined) return leaveOut(t, 'real kube-apiserver', howToGetKube);
  await assert.rejects(realApi(t, { startMs: 1 }), /\/readyz is not there after 1 ms/);
});
