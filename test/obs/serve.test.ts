import assert from 'node:assert/strict';
import { request } from 'node:http';
import { type TestContext, test } from 'node:test';
import { serve } from '../../src/obs/serve.ts';
import { systemClock } from '../../src/work/clock.ts';

const quiet = { debug() {}, info() {}, warn() {}, error() {} };

async function serving(t: TestContext): Promise<(method: string, body?: Buffer) => Promise<readonly [number, string]>> {
  const server = await serve({
    respond: async ({ url, body }) => ({
      status: 200,
      contentType: 'text/plain',
      body: `${url.pathname} ${body.length}`,
    }),
    posts: true,
    host: '127.0.0.1',
    port: 0,
    flag: '--port',
    clock: systemClock,
    log: quiet,
  });
  t.after(() => server.close());
  return (method, body = Buffer.alloc(0)) =>
    new Promise((resolve, reject) => {
      const sent = request({ host: '127.0.0.1', port: server.port, path: '/path', method }, (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (chunk: string) => {
          text += chunk;
        });
        response.on('end', () => resolve([response.statusCode ?? 0, text]));
      });
      sent.on('error', reject).end(body);
    });
}

test('a server of posts gets their bodies whole, and takes nothing else', async (t) => {
  const send = await serving(t);
  assert.deepEqual(await send('POST', Buffer.from('é'.repeat(200_000))), [200, '/path 200000']);
  assert.deepEqual(await send('POST'), [200, '/path 0']);
  for (const method of ['GET', 'PUT', 'DELETE']) assert.equal((await send(method))[0], 405);
});

test('a body of more than eight MiB is refused, and the next one is answered', async (t) => {
  const send = await serving(t);
  assert.equal((await send('POST', Buffer.alloc(8 * 1024 * 1024 + 1)))[0], 413);
  assert.deepEqual(await send('POST', Buffer.alloc(8 * 1024 * 1024)), [200, '/path 8388608']);
});

test('files that hold no certificate are named by the flags that they came by', async () => {
  const flags = ['--webhook-cert-file', '--webhook-key-file'] as const;
  const tls = { certFile: '/nowhere/tls.crt', keyFile: '/nowhere/tls.key', flags };
  const serve404 = { respond: async () => undefined, posts: true as const, port: 0, flag: '--port' };
  await assert.rejects(serve({ ...serve404, tls, clock: systemClock, log: quiet }), {
    code: 'FL_SERVE_CERTIFICATE',
    field: '--webhook-cert-file',
    message: /^--webhook-cert-file \/nowhere\/tls\.crt and --webhook-key-file \/nowhere\/tls\.key: /,
  });
});
