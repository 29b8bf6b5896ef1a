import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { httpTransport, type KubeConfig, loadKubeConfig } from '../../src/kube/config.ts';
import { type Transport, textOf } from '../../src/kube/request.ts';
import { createAuthority } from '../fake/certificates.ts';
import { startLoopback } from '../fake/loopback.ts';

const { signal } = new AbortController();

function folderFor(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'fairlead-config-'));
  t.after(() => rmSync(folder, { recursive: true }));
  return folder;
}

interface Parts {
  readonly server?: string;
  readonly cluster?: object;
  readonly user?: object;
  readonly context?: object;
  readonly name?: string;
  readonly current?: string;
}
function kubeconfig({
  server = 'https://127.0.0.1:1',
  cluster,
  user = {},
  context,
  name = 'a',
  current = name,
}: Parts = {}): string {
  return JSON.stringify({
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name, cluster: { server, ...cluster } }],
    users: [{ name, user }],
    contexts: [{ name, context: { cluster: name, user: name, ...context } }],
    'current-context': current,
  });
}
function write(folder: string, name: string, text: string): string {
  const file = join(folder, name);
  writeFileSync(file, text);
  return file;
}

const serverOf = (config: KubeConfig): string | undefined => config.getCurrentCluster()?.server;

async function ask(transport: Transport): Promise<string> {
  const { status, body } = await transport.send({ method: 'GET', path: '/version', headers: {}, signal });
  return `${status} ${await textOf(body)}`;
}

test('the flag wins over KUBECONFIG, that over the pod, that over the home folder, and --master over all servers', (t) => {
  const folder = folderFor(t);
  const flag = write(folder, 'flag', kubeconfig({ server: 'https://flag:1/' }));
  const variable = write(folder, 'variable', kubeconfig({ server: 'https://variable:1' }));
  const root = join(folder, 'root');
  const account = join(root, 'var/run/secrets/kubernetes.io/serviceaccount');
  mkdirSync(account, { recursive: true });
  write(account, 'token', 'secret');
  mkdirSync(join(folder, '.kube'));
  write(join(folder, '.kube'), 'config', kubeconfig({ server: 'https://home:1' }));

  const home = { HOME: folder };
  const pod = { ...home, KUBERNETES_SERVICE_HOST: 'fd00::1', KUBERNETES_SERVICE_PORT: '443' };
  const all = { ...pod, KUBECONFIG: variable };
  assert.equal(serverOf(loadKubeConfig({ kubeconfig: flag, env: all, root })), 'https://flag:1');
  assert.equal(serverOf(loadKubeConfig({ env: all, root })), 'https://variable:1');
  assert.equal(serverOf(loadKubeConfig({ env: pod, root })), 'https://[fd00::1]:443');
  assert.equal(serverOf(loadKubeConfig({ env: home, root })), 'https://home:1');
  assert.equal(serverOf(loadKubeConfig({ env: all, root, master: 'https://m:2/' })), 'https://m:2');
  assert.equal(serverOf(loadKubeConfig({ env: {}, master: 'http://m:2' })), 'http://m:2');
});

test('of several files in KUBECONFIG the first that names a thing wins, and missing ones do not count', (t) => {
  const folder = folderFor(t);
  const first = write(folder, '1', kubeconfig({ name: 'a', server: 'https://first:1', current: '' }));
  const second = write(folder, '2', kubeconfig({ name: 'a', server: 'https://second:1', current: 'b' }));
  const third = write(folder, '3', kubeconfig({ name: 'b', server: 'https://third:1', current: 'a' }));
  const KUBECONFIG = [join(folder, 'absent'), first, second, third].join(delimiter);
  assert.equal(serverOf(loadKubeConfig({ env: { KUBECONFIG } })), 'https://third:1');
  assert.equal(
    serverOf(loadKubeConfig({ env: { KUBECONFIG: [second, first, third].join(delimiter) } })),
    'https://third:1',
  );
  const KUBECONFIG_A = [first, write(folder, '4', kubeconfig({ current: 'a', server: 'https://4:1' }))].join(delimiter);
  assert.equal(serverOf(loadKubeConfig({ env: { KUBECONFIG: KUBECONFIG_A } })), 'https://first:1');
});

const wrong: readonly { readonly name: string; readonly text: string; readonly says: RegExp }[] = [
  { name: 'no YAML', text: 'a: [', says: /FILE: / },
  { name: 'a list', text: '3', says: /FILE: it is no YAML map/ },
  {
    name: 'no server',
    text: kubeconfig({ cluster: { server: '' } }),
    says: /FILE: clusters\[0\]\.cluster\.server is missing/,
  },
  { name: 'no current context', text: kubeconfig({ current: '' }), says: /FILE: current-context is not set/ },
  { name: 'an unknown context', text: kubeconfig({ current: 'x' }), says: /there is no context "x"/ },
  {
    name: 'an unknown cluster',
    text: kubeconfig({ context: { cluster: 'x' } }),
    says: /contexts "a": there is no cluster "x"/,
  },
  { name: 'an unknown user', text: kubeconfig({ context: { user: 'x' } }), says: /contexts "a": there is no user "x"/ },
  {
    name: 'no URL',
    text: kubeconfig({ server: 'api.example:6443' }),
    says: /server "api.example:6443": write it as https:\/\/HOST:PORT/,
  },
  {
    name: 'impersonated groups',
    text: kubeconfig({ user: { as: 'x', 'as-groups': ['g'] } }),
    says: /users "a": as-groups is not supported/,
  },
];
for (const { name, text, says } of wrong) {
  test(`a kubeconfig with ${name} is refused, and the message says where`, (t) => {
    const file = write(folderFor(t), 'FILE', text);
    assert.throws(() => loadKubeConfig({ kubeconfig: file, env: {} }), {
      code: 'FL_KUBE_CONFIG',
      kind: 'invalid',
      message: says,
    });
  });
}

test('without any API server the message names the ways to give one; a file that is not there is named', (t) => {
  const folder = folderFor(t);
  assert.throws(() => loadKubeConfig({ env: { HOME: folder } }), {
    code: 'FL_KUBE_CONFIG',
    message: /--kubeconfig or \$KUBECONFIG/,
  });
  assert.throws(() => loadKubeConfig({ env: { KUBECONFIG: join(folder, 'x') } }), {
    code: 'FL_KUBE_CONFIG',
    message: /none of these files exists: .*x/,
  });
  assert.throws(() => loadKubeConfig({ kubeconfig: join(folder, 'y'), env: {} }), {
    code: 'FL_KUBE_CONFIG',
    message: /y: ENOENT/,
  });
});

test('a plain HTTP server works, also without a user and without insecure-skip-tls-verify', async (t) => {
  const server = await startLoopback(t, (_asked, response) => void response.end('ok'));
  const file = write(folderFor(t), 'c', kubeconfig({ server: server.url, context: { user: undefined } }));
  const transport = httpTransport(loadKubeConfig({ kubeconfig: file, env: {} }));
  assert.equal(await ask(transport), '200 ok');
  assert.equal(await ask(transport), '200 ok');
  assert.equal(server.connections, 1);
});

test('CA and client certificate come from files beside the kubeconfig, and are read again when they change', async (t) => {
  const authority = createAuthority();
  const server = await startLoopback(
    t,
    ({ socket }, response) => {
      const { subject } = (
        socket as unknown as { getPeerCertificate(): { subject: { CN: string } } }
      ).getPeerCertificate();
      response.end(subject.CN);
    },
    { ...authority.issue('server'), ca: authority.cert, requestCert: true, rejectUnauthorized: true },
  );
  const folder = folderFor(t);
  const put = (name: string): void => {
    const { cert, key } = authority.issue(name);
    write(folder, 'tls.crt', cert);
    write(folder, 'tls.key', key);
  };
  put('ann');
  write(folder, 'ca.crt', authority.cert);
  const user = { 'client-certificate': 'tls.crt', 'client-key': 'tls.key' };
  const file = write(
    folder,
    'c',
    kubeconfig({ server: server.url, cluster: { 'certificate-authority': 'ca.crt' }, user }),
  );
  const transport = httpTransport(loadKubeConfig({ kubeconfig: file, env: {} }), { credentialsAgeMs: 0 });
  assert.equal(await ask(transport), '200 ann');
  put('bob');
  assert.equal(await ask(transport), '200 bob');
  assert.equal(server.connections, 2);
});

test('tls-server-name is what the certificate is checked against', async (t) => {
  const authority = createAuthority();
  const server = await startLoopback(t, (_asked, response) => void response.end('ok'), authority.issue('server'));
  const cluster = { 'certificate-authority-data': Buffer.from(authority.cert).toString('base64') };
  const folder = folderFor(t);
  const good = write(
    folder,
    'g',
    kubeconfig({ server: server.url, cluster: { ...cluster, 'tls-server-name': 'localhost' } }),
  );
  const bad = write(
    folder,
    'b',
    kubeconfig({ server: server.url, cluster: { ...cluster, 'tls-server-name': 'other' } }),
  );
  assert.equal(await ask(httpTransport(loadKubeConfig({ kubeconfig: good, env: {} }))), '200 ok');
  await assert.rejects(ask(httpTransport(loadKubeConfig({ kubeconfig: bad, env: {} }))), {
    code: 'ERR_TLS_CERT_ALTNAME_INVALID',
  });
});

test('a token file that rotates is followed: a 401 is answered with the new token, unseen by the caller', async (t) => {
  const folder = folderFor(t);
  let good = 'one';
  const server = await startLoopback(t, ({ headers }, response) => {
    const isGood = headers['authorization'] === `Bearer ${good}`;
    response.writeHead(isGood ? 200 : 401).end(headers['authorization']);
  });
  write(folder, 'token', 'one');
  // tokenFile wins over token, which client-node would prefer.
  const file = write(folder, 'c', kubeconfig({ server: server.url, user: { tokenFile: 'token', token: 'fixed' } }));
  const transport = httpTransport(loadKubeConfig({ kubeconfig: file, env: {} }));
  assert.equal(await ask(transport), '200 Bearer one');
  good = 'two';
  write(folder, 'token', 'two');
  assert.equal(await ask(transport), '200 Bearer two');
  assert.equal(server.asked.length, 3);
});

test('a missing token file rejects the request and is read as soon as it is there', async (t) => {
  const folder = folderFor(t);
  const server = await startLoopback(t, ({ headers }, response) => void response.end(headers['authorization']));
  const file = write(folder, 'c', kubeconfig({ server: server.url, user: { tokenFile: 'token' } }));
  const transport = httpTransport(loadKubeConfig({ kubeconfig: file, env: {} }));
  await assert.rejects(ask(transport), { code: 'ENOENT' });
  write(folder, 'token', 'now');
  assert.equal(await ask(transport), '200 Bearer now');
});

test('an exec plugin gives the token, is told the version it must print, and runs once per token', async (t) => {
  const folder = folderFor(t);
  const plugin = write(
    folder,
    'plugin.mjs',
    `import { appendFileSync, readFileSync } from 'node:fs';
     appendFileSync(${JSON.stringify(join(folder, 'runs'))}, process.env.KUBERNETES_EXEC_INFO + '\\n');
     const token = readFileSync(${JSON.stringify(join(folder, 'current'))}, 'utf8');
     console.log(JSON.stringify({ kind: 'ExecCredential', status: { token } }));`,
  );
  write(folder, 'current', 'one');
  let good = 'Bearer one';
  const server = await startLoopback(t, ({ headers }, response) => {
    response.writeHead(headers['authorization'] === good ? 200 : 401).end(headers['authorization']);
  });
  const exec = {
    apiVersion: 'client.authentication.k8s.io/v1',
    command: process.execPath,
    args: [plugin],
    provideClusterInfo: true,
  };
  const file = write(folder, 'c', kubeconfig({ server: server.url, user: { exec } }));
  const transport = httpTransport(loadKubeConfig({ kubeconfig: file, env: {} }));
  assert.deepEqual(await Promise.all([ask(transport), ask(transport)]), ['200 Bearer one', '200 Bearer one']);
  const runs = (): string[] => readFileSync(join(folder, 'runs'), 'utf8').trim().split('\n');
  assert.equal(runs().length, 1);
  assert.deepEqual(JSON.parse(runs()[0] as string), {
    apiVersion: 'client.authentication.k8s.io/v1',
    kind: 'ExecCredential',
    spec: { interactive: false, cluster: { server: server.url } },
  });
  good = 'Bearer two';
  write(folder, 'current', 'two');
  assert.equal(await ask(transport), '200 Bearer two');
  assert.equal(runs().length, 2);

  const env = [{ name: 'KUBERNETES_EXEC_INFO', value: 'mine' }];
  const own = write(folder, 'own', kubeconfig({ server: server.url, user: { exec: { ...exec, env } } }));
  assert.equal(await ask(httpTransport(loadKubeConfig({ kubeconfig: own, env: {} }))), '200 Bearer two');
  assert.equal(runs()[2], 'mine');
});

test('an exec plugin that fails or is not there rejects the request, and the process lives', async (t) => {
  const folder = folderFor(t);
  const server = await startLoopback(t, (_asked, response) => void response.end('ok'));
  for (const command of [join(folder, 'absent'), write(folder, 'fails', '#!/bin/sh\necho no login >&2\nexit 3\n')]) {
    if (command.endsWith('fails')) chmodSync(command, 0o755);
    const exec = { apiVersion: 'client.authentication.k8s.io/v1', command };
    const file = write(folder, 'c', kubeconfig({ server: server.url, user: { exec } }));
    const transport = httpTransport(loadKubeConfig({ kubeconfig: file, env: {} }));
    await assert.rejects(ask(transport), command.endsWith('fails') ? /no login/ : { code: 'ENOENT' });
  }
  assert.equal(server.asked.length, 0);
});

test("a pod's service account is used: its token, and its CA", async (t) => {
  const authority = createAuthority();
  const server = await startLoopback(
    t,
    ({ headers }, response) => void response.end(headers['authorization']),
    authority.issue('x'),
  );
  const root = folderFor(t);
  const account = join(root, 'var/run/secrets/kubernetes.io/serviceaccount');
  mkdirSync(account, { recursive: true });
  write(account, 'token', 'pod');
  write(account, 'ca.crt', authority.cert);
  const env = { KUBERNETES_SERVICE_HOST: '127.0.0.1', KUBERNETES_SERVICE_PORT: String(server.port) };
  assert.equal(await ask(httpTransport(loadKubeConfig({ env, root }))), '200 Bearer pod');
});
