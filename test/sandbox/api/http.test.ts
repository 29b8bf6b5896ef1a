import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { request as httpsRequest } from 'node:https';
import type { AddressInfo } from 'node:net';
import { suite, test } from 'node:test';
import { createSandboxApi, type SandboxApi } from '../../../src/sandbox/api/server.ts';
import { systemClock } from '../../../src/work/clock.ts';
import { createAuthority } from '../../fake/certificates.ts';

function sandbox(t: { after(run: () => Promise<void>): void }): SandboxApi {
  const api = createSandboxApi({ clock: systemClock });
  t.after(() => api.close());
  return api;
}

const statusOf = async (url: string, headers: Record<string, string> = {}): Promise<number> => {
  const answer = await fetch(url, { headers });
  await answer.text();
  return answer.status;
};

suite('over HTTP', { timeout: 30_000 }, () => {
  test('a taken port makes it choose another', async (t) => {
    const other = createServer();
    await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
    t.after(() => new Promise<void>((resolve) => other.close(() => resolve())));
    const { port: taken } = other.address() as AddressInfo;
    const { url, port } = await sandbox(t).listen({ port: taken });
    assert.notEqual(port, taken);
    assert.equal(await statusOf(`${url}/readyz`), 200);
  });

  test('a token is asked of every request, and issued ones are as good', async (t) => {
    const { url, kubeconfig } = await sandbox(t).listen({ token: 'secret' });
    assert.equal(await statusOf(`${url}/api/v1/services`), 401);
    assert.equal(await statusOf(`${url}/api/v1/services`, { authorization: 'Bearer wrong' }), 401);
    const admin = { authorization: 'Bearer secret', 'content-type': 'application/json' };
    assert.equal(await statusOf(`${url}/api/v1/services`, admin), 200);
    assert.equal(JSON.parse(kubeconfig).users[0].user.token, 'secret');
    const accounts = `${url}/api/v1/namespaces/default/serviceaccounts`;
    await fetch(accounts, { method: 'POST', headers: admin, body: JSON.stringify({ metadata: { name: 'sa' } }) });
    const answer = await fetch(`${accounts}/sa/token`, { method: 'POST', headers: admin, body: '{}' });
    const { status } = (await answer.json()) as { status: { token: string } };
    assert.equal(await statusOf(`${url}/api/v1/services`, { authorization: `Bearer ${status.token}` }), 200);
  });

  test('TLS with a certificate of the caller', async (t) => {
    const authority = createAuthority();
    const { url } = await sandbox(t).listen({ tls: authority.issue('sandbox') });
    assert.match(url, /^https:/);
    const status = await new Promise((resolve, reject) => {
      httpsRequest(`${url}/version`, { ca: authority.cert }, (answer) => {
        answer.resume();
        resolve(answer.statusCode);
      })
        .on('error', reject)
        .end();
    });
    assert.equal(status, 200);
  });

  test('killed and started again it answers on the same port; closed it does not', async (t) => {
    const api = sandbox(t);
    const { url } = await api.listen();
    await api.kill();
    await assert.rejects(statusOf(`${url}/readyz`));
    await api.start();
    assert.equal(await statusOf(`${url}/readyz`), 200);
    await api.close();
    await assert.rejects(statusOf(`${url}/readyz`));
  });

  test('closing ends open watches at once', async (t) => {
    const api = sandbox(t);
    const { url } = await api.listen();
    const answer = await fetch(`${url}/api/v1/services?watch=true`);
    const ended = assert.rejects(async () => {
      for await (const _chunk of answer.body ?? []);
    });
    await api.close();
    await ended;
  });

  test('a body that no etcd would take is refused', async (t) => {
    const { url } = await sandbox(t).listen();
    const answer = await fetch(`${url}/api/v1/namespaces/default/configmaps`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: 'x'.repeat(4 * 2 ** 20),
    });
    assert.deepEqual(
      [answer.status, ((await answer.json()) as { reason: string }).reason],
      [413, 'RequestEntityTooLarge'],
    );
  });
});
