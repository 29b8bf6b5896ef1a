import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { connect, createServer, type Socket } from 'node:net';
import { networkInterfaces, tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { connect as connectTls } from 'node:tls';
import type { Client } from '../../src/kube/request.ts';
import { createHealth, type HealthOptions } from '../../src/obs/health.ts';
import { systemClock } from '../../src/work/clock.ts';
import { createAuthority } from '../fake/certificates.ts';
import { createVirtualClock } from '../fake/clock.ts';
import { leaveOut } from '../left-out.ts';

type Answer = { readonly status: number; readonly body: string; readonly type: string };
const never = new AbortController().signal;

/** The API server's side of reviews: tokens are user names; `ok` may get everything, `weak` nothing. */
function reviewing() {
  const asked: { readonly path: string; readonly spec: Record<string, unknown> }[] = [];
  let broken = false;
  const client = {
    async call({ path, body }: { path: string; body: { spec: Record<string, unknown> } }) {
      asked.push({ path, spec: body.spec });
      if (broken) throw new Error('the API server is away');
      if (path.endsWith('/tokenreviews')) {
        const { token } = body.spec as { token: string };
        if (token !== 'ok' && token !== 'weak') return { status: { authenticated: false } };
        return { status: { authenticated: true, user: { username: token, groups: ['system:authenticated'] } } };
      }
      return { status: { allowed: body.spec['user'] === 'ok' } };
    },
  } as unknown as Client;
  return {
    client,
    asked,
    break(on: boolean): void {
      broken = on;
    },
  };
}

interface Rig {
  readonly port: number;
  readonly metricsPort: number | undefined;
  readonly logged: string[];
  get(
    path: string,
    how?: { method?: string; token?: string; host?: string; port?: number; ca?: string },
  ): Promise<Answer>;
}

async function serving(t: TestContext, options: Partial<HealthOptions> = {}): Promise<Rig> {
  const logged: string[] = [];
  const log = (_: object, message: string): void => void logged.push(message);
  const health = await createHealth({
    readyz: {},
    pages: { '/metrics': { contentType: 'text/plain; version=0.0.4', text: async () => 'up 1\n' } },
    client: reviewing().client,
    clock: systemClock,
    log: { debug: log, info: log, warn: log, error: log },
    port: 0,
    ...options,
  });
  t.after(() => health.close());
  const port = health.port ?? 0;
  return {
    port,
    metricsPort: health.metricsPort,
    logged,
    get: (path, how = {}) => get({ path, port, tls: options.tls !== undefined, ...how }),
  };
}

function get(how: {
  readonly path: string;
  readonly port: number;
  readonly tls: boolean;
  readonly host?: string;
  readonly method?: string;
  readonly token?: string;
  readonly ca?: string;
}): Promise<Answer> {
  const { path, port, tls, host = '127.0.0.1', method = 'GET', token, ca } = how;
  return new Promise((resolve, reject) => {
    const request = (tls ? httpsRequest : httpRequest)({
      host,
      port,
      path,
      method,
      agent: false,
      timeout: 5000,
      ...(ca === undefined ? { rejectUnauthorized: false } : { ca }),
      headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
    });
    request.on('error', reject);
    request.on('response', async (response) => {
      let body = '';
      for await (const chunk of response.setEncoding('utf8')) body += chunk;
      resolve({ status: response.statusCode ?? 0, body, type: response.headers['content-type'] ?? '' });
    });
    request.end();
  });
}

/** An address of this machine that is not loopback: connections over it look like another machine's. */
const outside = Object.values(networkInterfaces())
  .flat()
  .find((address) => address !== undefined && !address.internal && address.family === 'IPv4')?.address;

async function certificateFiles(t: TestContext) {
  const folder = await mkdtemp(join(tmpdir(), 'fairlead-health-'));
  t.after(() => rm(folder, { recursive: true }));
  const authority = createAuthority();
  const files = { certFile: join(folder, 'tls.crt'), keyFile: join(folder, 'tls.key') };
  const put = async ({ cert, key }: { cert: string; key: string }): Promise<void> => {
    await Promise.all([writeFile(files.certFile, cert), writeFile(files.keyFile, key)]);
  };
  await put(authority.issue('first'));
  return { authority, files, put };
}

test('plain HTTP on this machine: health paths and pages, HEAD without a body, nothing else', async (t) => {
  const { get } = await serving(t, { readyz: { stores: () => 'not synced: nodes' } });
  assert.deepEqual(await get('/livez'), { status: 200, body: 'ok', type: 'text/plain; charset=utf-8' });
  assert.equal((await get('/readyz')).status, 500);
  assert.match((await get('/healthz?verbose&exclude=stores')).body, /^\[\+\]ping ok\n\[\+\]event-loop ok\n/);
  assert.deepEqual(await get('/metrics'), { status: 200, body: 'up 1\n', type: 'text/plain; version=0.0.4' });
  assert.deepEqual((await get('/livez', { method: 'HEAD' })).body, '');
  assert.deepEqual(
    await Promise.all(
      [get('/'), get('/toString'), get('/metrics', { method: 'POST' })].map(async (one) => (await one).status),
    ),
    [404, 404, 405],
  );
});

test('plain HTTP from another machine: health paths alone', async (t) => {
  if (outside === undefined) return leaveOut(t, 'requests from another machine', 'an address besides loopback');
  const { get } = await serving(t);
  const how = { host: outside };
  assert.equal((await get('/livez', how)).status, 200);
  assert.equal((await get('/metrics', how)).status, 403);
  assert.equal((await get('/nothing', how)).status, 403);
});

test('a bind address keeps other addresses away', async (t) => {
  const { port } = await serving(t, { bindAddress: '127.0.0.1' });
  const socket: Socket = connect({ host: '127.0.0.2', port });
  const refused = new Promise((resolve) => socket.on('error', (error: NodeJS.ErrnoException) => resolve(error.code)));
  assert.equal(await refused, 'ECONNREFUSED');
});

test('the scrape address serves /metrics and nothing else, from anywhere', async (t) => {
  const { get, metricsPort } = await serving(t, { metrics: { host: outside ?? '127.0.0.1', port: 0 } });
  const how = { host: outside ?? '127.0.0.1', port: metricsPort ?? 0 };
  assert.equal((await get('/metrics', how)).body, 'up 1\n');
  assert.equal((await get('/livez', how)).status, 404);
});

test('a page that fails is 500 without its reason, which is logged', async (t) => {
  const { get, logged } = await serving(t, {
    pages: { '/metrics': { contentType: 'text/plain', text: () => Promise.reject(new Error('secret detail')) } },
  });
  const { status, body } = await get('/metrics');
  assert.deepEqual([status, body.includes('secret'), logged], [500, false, ['request failed']]);
});

test('HTTPS: health paths for everybody, pages for whom the API server knows and allows', async (t) => {
  const { authority, files } = await certificateFiles(t);
  const { client, asked } = reviewing();
  const { get } = await serving(t, { tls: files, client });
  const ca = authority.cert;
  assert.equal((await get('/livez', { ca })).body, 'ok');
  assert.equal(asked.length, 0);
  assert.equal((await get('/metrics', { ca })).status, 401);
  assert.equal(asked.length, 0, 'no token, no question');
  assert.equal((await get('/metrics', { ca, token: 'nobody' })).status, 401);
  assert.equal((await get('/metrics', { ca, token: 'weak' })).status, 403);
  assert.equal((await get('/metrics', { ca, token: 'ok' })).body, 'up 1\n');
  assert.deepEqual(asked.at(-2), { path: '/apis/authentication.k8s.io/v1/tokenreviews', spec: { token: 'ok' } });
  assert.deepEqual(asked.at(-1), {
    path: '/apis/authorization.k8s.io/v1/subjectaccessreviews',
    spec: {
      user: 'ok',
      groups: ['system:authenticated'],
      nonResourceAttributes: { path: '/metrics', verb: 'get' },
      uid: undefined,
      extra: undefined,
    },
  });
});

test('HTTPS: what the API server said holds for 10 s, a failed question for none', async (t) => {
  const { files } = await certificateFiles(t);
  const { client, asked, break: breakServer } = reviewing();
  const clock = createVirtualClock();
  const { get } = await serving(t, { tls: files, client, clock });
  const status = async (token: string): Promise<number> => (await get('/metrics', { token })).status;
  breakServer(true);
  assert.equal(await status('ok'), 500);
  breakServer(false);
  assert.deepEqual(
    [await status('ok'), await status('ok'), await status('nobody'), await status('nobody')],
    [200, 200, 401, 401],
  );
  assert.equal(asked.length, 1 + 2 + 1);
  await clock.advance(9999);
  assert.deepEqual([await status('ok'), asked.length], [200, 4]);
  await clock.advance(1);
  assert.deepEqual([await status('ok'), asked.length], [200, 6]);
});

/** The name in the certificate that a new connection meets. */
function servedName(port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connectTls({ host: '127.0.0.1', port, rejectUnauthorized: false }, () => {
      resolve(String(socket.getPeerCertificate().subject.CN));
      socket.destroy();
    });
    socket.on('error', reject);
  });
}

/** File reads are real: asks again until it holds, within 5 s. */
async function eventually(holds: () => Promise<boolean>): Promise<void> {
  const endMs = performance.now() + 5000;
  while (!(await holds())) {
    if (performance.now() > endMs) throw new Error('did not come true within 5 s');
    await systemClock.sleep(10, never);
  }
}

test('HTTPS: a certificate that is replaced is served to new connections, one that does not fit is not', async (t) => {
  const { authority, files, put } = await certificateFiles(t);
  const clock = createVirtualClock();
  const { port, logged } = await serving(t, { tls: files, clock });
  const look = async (): Promise<void> => {
    await eventually(async () => clock.timers === 2); // the loop's and the one for the files
    await clock.advance(10_000);
  };
  await put({ cert: '', key: '' });
  await look();
  await eventually(async () => logged.length === 1);
  assert.equal(await servedName(port), 'first');
  await put({ cert: authority.issue('half').cert, key: authority.issue('other half').key });
  await look();
  await look();
  assert.equal(await servedName(port), 'first');
  await put(authority.issue('second'));
  await look();
  await eventually(async () => (await servedName(port)) === 'second');
  assert.deepEqual(logged, [
    'the certificate files do not fit, the last certificate stays in use',
    'certificate replaced',
  ]);
});

test('an address that is taken, or a certificate that is none, ends the start with the flag in the message', async (t) => {
  const taken = createServer();
  await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve));
  t.after(() => taken.close());
  const { port } = taken.address() as { port: number };
  const bindAddress = '127.0.0.1';
  await assert.rejects(serving(t, { bindAddress, port }), {
    code: 'FL_SERVE_ADDRESS',
    field: '--secure-port',
    message: `--secure-port: cannot listen on 127.0.0.1:${port}: EADDRINUSE`,
  });
  await assert.rejects(serving(t, { metrics: { host: bindAddress, port } }), {
    code: 'FL_SERVE_ADDRESS',
    field: '--metrics-bind-address',
  });
  const { files, authority } = await certificateFiles(t);
  await assert.rejects(serving(t, { tls: { ...files, certFile: '/nowhere/tls.crt' } }), {
    code: 'FL_SERVE_CERTIFICATE',
    message: /--tls-cert-file \/nowhere\/tls\.crt .* ENOENT/,
  });
  await writeFile(files.certFile, authority.issue('another').cert);
  await assert.rejects(serving(t, { tls: files }), {
    code: 'FL_SERVE_CERTIFICATE',
    message: /the key is of another one/,
  });
});

test('close ends connections that stay open and leaves no timer', async (t) => {
  const clock = createVirtualClock();
  const log = (): void => {};
  const health = await createHealth({
    readyz: {},
    pages: {},
    client: reviewing().client,
    clock,
    log: { debug: log, info: log, warn: log, error: log },
    port: 0,
    bindAddress: '127.0.0.1',
  });
  const socket = connect({ host: '127.0.0.1', port: health.port ?? 0 });
  t.after(() => socket.destroy());
  await new Promise((resolve) => socket.on('connect', resolve));
  const gone = new Promise((resolve) => socket.on('close', resolve));
  await health.close();
  await gone;
  assert.equal(clock.timers, 0);
});
