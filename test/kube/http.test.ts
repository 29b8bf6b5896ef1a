import assert from 'node:assert/strict';
import { type AddressInfo, connect, createServer as createTcpServer, type Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { type Credentials, createHttpTransport, type HttpOptions } from '../../src/kube/http.ts';
import { type Transport, type TransportRequest, textOf } from '../../src/kube/request.ts';
import { createAuthority } from '../fake/certificates.ts';
import { type Loopback, startLoopback } from '../fake/loopback.ts';

const never = new AbortController().signal;
const get = { method: 'GET', path: '/x', headers: {}, signal: never } as const;

function transportTo(t: TestContext, server: Pick<Loopback, 'url'>, options: Partial<HttpOptions> = {}): Transport {
  const credentials = async (): Promise<Credentials> => ({ headers: {} });
  const transport = createHttpTransport({ url: server.url, credentials, renew: () => {}, ...options });
  t.after(() => transport.close());
  return transport;
}

async function ask(transport: Transport, request: Partial<TransportRequest> = {}): Promise<string> {
  const { status, body } = await transport.send({ ...get, ...request });
  return `${status} ${await textOf(body)}`;
}

test('one hundred requests over TLS make one handshake', async (t) => {
  const authority = createAuthority();
  const server = await startLoopback(t, (_asked, response) => void response.end('é世'), authority.issue('server'));
  const transport = transportTo(t, server, { credentials: async () => ({ headers: {}, ca: authority.cert }) });
  for (let n = 0; n < 100; n += 1) assert.equal(await ask(transport), '200 é世');
  assert.equal(server.connections, 1);
});

test('a server whose certificate another authority signed is refused before anything is sent', async (t) => {
  const server = await startLoopback(t, (_asked, response) => void response.end(), createAuthority().issue('server'));
  const transport = transportTo(t, server, {
    credentials: async () => ({ headers: {}, ca: createAuthority('other').cert }),
  });
  await assert.rejects(ask(transport), { code: 'UNABLE_TO_VERIFY_LEAF_SIGNATURE' });
  assert.equal(server.asked.length, 0);
});

test('client certificates reach the server, and a rotated one makes a new connection', async (t) => {
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
  let own = authority.issue('ann');
  const transport = transportTo(t, server, {
    credentialsAgeMs: 0,
    // As files are read: other buffers with the same bytes each time.
    credentials: async () => ({
      headers: {},
      ca: Buffer.from(authority.cert),
      cert: Buffer.from(own.cert),
      key: Buffer.from(own.key),
    }),
  });
  assert.equal(await ask(transport), '200 ann');
  assert.equal(await ask(transport), '200 ann');
  assert.equal(server.connections, 1);
  own = authority.issue('bob');
  assert.equal(await ask(transport), '200 bob');
  assert.equal(await ask(transport), '200 bob');
  assert.equal(server.connections, 2);
});

test('a burst of requests asks for the credentials once', async (t) => {
  const server = await startLoopback(t, (_asked, response) => void response.end('ok'));
  let asked = 0;
  const credentials = async (): Promise<Credentials> => {
    asked += 1;
    return { headers: {} };
  };
  const kept = transportTo(t, server, { credentials, credentialsAgeMs: 60_000 });
  await Promise.all(Array.from({ length: 5 }, () => ask(kept)));
  await ask(kept);
  assert.equal(asked, 1);
  const fresh = transportTo(t, server, { credentials, credentialsAgeMs: 0 });
  await ask(fresh);
  await ask(fresh);
  assert.equal(asked, 3);
});

test('a stream that is open goes on when the certificate is rotated', async (t) => {
  const authority = createAuthority();
  const streams: { write(text: string): void; end(): void }[] = [];
  const server = await startLoopback(
    t,
    ({ path }, response) => {
      if (path !== '/watch') return void response.end('ok');
      response.write('before ');
      streams.push(response);
    },
    authority.issue('server'),
  );
  let own = authority.issue('ann');
  const transport = transportTo(t, server, {
    credentialsAgeMs: 0,
    credentials: async () => ({ headers: {}, ca: authority.cert, cert: own.cert, key: own.key }),
  });
  const { body } = await transport.send({ ...get, path: '/watch', stream: true });
  own = authority.issue('bob');
  assert.equal(await ask(transport), '200 ok');
  streams[0]?.write('after');
  streams[0]?.end();
  assert.equal(await textOf(body), 'before after');
});

test('a path in the server URL is a prefix, and headers of both sides pass', async (t) => {
  const server = await startLoopback(t, ({ path, headers }, response) => {
    response.writeHead(429, { 'Retry-After': '3' }).end(`${path} ${headers['authorization']} ${headers['accept']}`);
  });
  const transport = transportTo(
    t,
    { url: `${server.url}/k8s/clusters/c-1/` },
    { credentials: async () => ({ headers: { Authorization: 'Bearer abc' } }) },
  );
  const { status, headers, body } = await transport.send({
    ...get,
    path: '/api/v1/nodes?x=1',
    headers: { accept: 'a/b' },
  });
  assert.equal(status, 429);
  assert.equal(headers['retry-after'], '3');
  assert.equal(await textOf(body), '/k8s/clusters/c-1/api/v1/nodes?x=1 Bearer abc a/b');
  assert.equal(transport.host, new URL(server.url).host);
});

for (const method of ['POST', 'PUT', 'PATCH', 'DELETE']) {
  test(`${method} brings its body, in bytes, and the connection stays usable`, async (t) => {
    const server = await startLoopback(t, ({ body }, response) => void response.end(body));
    const transport = transportTo(t, server);
    assert.equal(await ask(transport, { method, body: '{"a":"é世"}' }), '200 {"a":"é世"}');
    assert.equal(await ask(transport, { method, body: '{}' }), '200 {}');
    assert.equal(server.connections, 1);
  });
}

/** A server that answers once per connection and resets the connection when a second request arrives on it. */
async function startForgetful(t: TestContext): Promise<{ url: string; requests: () => number; sockets: Socket[] }> {
  const sockets: Socket[] = [];
  let requests = 0;
  const server = createTcpServer((socket) => {
    sockets.push(socket);
    let answered = false;
    socket.on('error', () => {});
    socket.on('data', () => {
      requests += 1;
      if (answered) return void socket.resetAndDestroy();
      answered = true;
      socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  return { url: `http://127.0.0.1:${port}`, requests: () => requests, sockets };
}

for (const method of ['GET', 'PUT', 'DELETE']) {
  test(`${method} that meets a kept connection's end is sent once more, on a new one`, async (t) => {
    const server = await startForgetful(t);
    const transport = transportTo(t, server);
    assert.equal(await ask(transport), '200 ok');
    assert.equal(await ask(transport, { method }), '200 ok');
    assert.equal(server.requests(), 3);
    assert.equal(server.sockets.length, 2);
  });
}

for (const method of ['POST', 'PATCH']) {
  test(`${method} that meets a kept connection's end fails: it may have taken effect`, async (t) => {
    const server = await startForgetful(t);
    const transport = transportTo(t, server);
    assert.equal(await ask(transport), '200 ok');
    await assert.rejects(ask(transport, { method, body: '{}' }), { code: 'ECONNRESET' });
    assert.equal(server.requests(), 2);
  });
}

test('the second sending takes none of the other kept connections, which the same restart has ended', async (t) => {
  const server = await startForgetful(t);
  const transport = transportTo(t, server);
  await Promise.all([ask(transport), ask(transport), ask(transport)]);
  assert.equal(server.sockets.length, 3);
  assert.equal(await ask(transport), '200 ok');
  assert.equal(server.requests(), 5);
});

test('a first connection that is reset is an error at once, for the caller to decide', async (t) => {
  const server = await startLoopback(t, ({ socket }) => void socket.destroy());
  await assert.rejects(ask(transportTo(t, server)), { code: 'ECONNRESET' });
  assert.equal(server.asked.length, 1);
});

test('an answer that breaks off in the middle rejects', async (t) => {
  const server = await startLoopback(t, ({ socket }, response) => {
    response.writeHead(200, { 'content-length': '100' }).write('half', () => socket.destroy());
  });
  await assert.rejects(ask(transportTo(t, server)), { code: 'ECONNRESET' });
});

test('no headers within the limit: an error that names the request', async (t) => {
  const server = await startLoopback(t, () => {});
  const transport = transportTo(t, server, { timeoutMs: 50 });
  await assert.rejects(ask(transport, { path: '/api/v1/nodes?limit=1' }), {
    code: 'ETIMEDOUT',
    message: 'GET /api/v1/nodes: no answer within 50 ms',
  });
});

test('a body that falls silent is given up, a stream is not', async (t) => {
  const server = await startLoopback(t, ({ path }, response) => {
    response.write('a');
    if (path === '/watch') setTimeout(() => response.end('b'), 150);
  });
  const transport = transportTo(t, server, { timeoutMs: 50 });
  await assert.rejects(ask(transport), { code: 'ETIMEDOUT' });
  assert.equal(await ask(transport, { path: '/watch', stream: true }), '200 ab');
});

test('a connection that was limited is not ended while it is idle', async (t) => {
  const server = await startLoopback(t, (_asked, response) => void response.end('ok'));
  const transport = transportTo(t, server, { timeoutMs: 50 });
  assert.equal(await ask(transport), '200 ok');
  await new Promise((resolve) => setTimeout(resolve, 120));
  assert.equal(await ask(transport), '200 ok');
  assert.equal(server.connections, 1);
});

test('the signal ends a request before its headers, and its body after them, with its reason', async (t) => {
  const server = await startLoopback(t, ({ path }, response) => {
    if (path === '/watch') response.write('a');
  });
  const transport = transportTo(t, server);
  const first = new AbortController();
  const waiting = ask(transport, { signal: first.signal });
  setTimeout(() => first.abort(new Error('enough')), 20);
  await assert.rejects(waiting, /enough/);

  const second = new AbortController();
  const { body } = await transport.send({ ...get, path: '/watch', stream: true, signal: second.signal });
  const reading = textOf(body);
  second.abort(new Error('enough'));
  await assert.rejects(reading, /enough/);
  await assert.rejects(ask(transport, { signal: second.signal }), /enough/);
});

test('credentials that cannot be had reject the request, and the next one asks again', async (t) => {
  const server = await startLoopback(t, (_asked, response) => void response.end('ok'));
  let calls = 0;
  const transport = transportTo(t, server, {
    credentials: async () => {
      calls += 1;
      if (calls === 1) throw new Error('no token yet');
      return { headers: {} };
    },
  });
  await assert.rejects(ask(transport), /no token yet/);
  assert.equal(await ask(transport), '200 ok');
});

test('requests at the same time ask for credentials once, and a question that hangs is asked anew', async (t) => {
  const server = await startLoopback(t, (_asked, response) => void response.end('ok'));
  let calls = 0;
  const transport = transportTo(t, server, {
    timeoutMs: 60,
    credentials: () => {
      calls += 1;
      return calls === 1 ? new Promise(() => {}) : Promise.resolve({ headers: {} });
    },
  });
  const both = await Promise.allSettled([ask(transport), ask(transport)]);
  assert.deepEqual(
    both.map(({ status }) => status),
    ['rejected', 'rejected'],
  );
  assert.equal(calls, 1);
  assert.equal(await ask(transport), '200 ok');
  assert.equal(calls, 2);
});

test('after a 401 the credentials are renewed, and any method is sent again with the new ones', async (t) => {
  const server = await startLoopback(t, ({ headers, body }, response) => {
    response.writeHead(headers['authorization'] === 'Bearer new' ? 200 : 401).end(body);
  });
  let token = 'old';
  const transport = transportTo(t, server, {
    credentials: async () => ({ headers: { Authorization: `Bearer ${token}` } }),
    renew: () => {
      token = 'new';
    },
  });
  assert.equal(await ask(transport, { method: 'POST', body: 'x' }), '200 x');
  assert.equal(server.asked.length, 2);
});

test('a 401 that new credentials do not change is the answer, and is not asked about again at once', async (t) => {
  const server = await startLoopback(t, (_asked, response) => void response.writeHead(401).end('who?'));
  let renewals = 0;
  const transport = transportTo(t, server, {
    renew: () => {
      renewals += 1;
    },
  });
  assert.equal(await ask(transport), '401 who?');
  assert.equal(await ask(transport), '401 who?');
  assert.equal(server.asked.length, 2);
  assert.equal(renewals, 1);
});

test('the proxy of the environment carries the requests, on kept connections, unless NO_PROXY says otherwise', async (t) => {
  const authority = createAuthority();
  const server = await startLoopback(t, (_asked, response) => void response.end('ok'), authority.issue('server'));
  const tunnels: string[] = [];
  const proxy = createTcpServer((client) => {
    client.once('data', (head) => {
      tunnels.push(head.toString().split('\r\n')[0] as string);
      const target = connect(server.port, '127.0.0.1', () => client.write('HTTP/1.1 200 OK\r\n\r\n'));
      client.pipe(target).pipe(client);
      client.on('error', () => target.destroy());
      target.on('error', () => client.destroy());
    });
  });
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
  t.after(() => void proxy.close());
  const proxyUrl = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`;
  const credentials = async (): Promise<Credentials> => ({ headers: {}, ca: authority.cert });
  const through = transportTo(t, server, { credentials, proxyEnv: { HTTPS_PROXY: proxyUrl } });
  assert.equal(await ask(through), '200 ok');
  assert.equal(await ask(through), '200 ok');
  assert.deepEqual(tunnels, [`CONNECT 127.0.0.1:${server.port} HTTP/1.1`]);
  const past = transportTo(t, server, { credentials, proxyEnv: { HTTPS_PROXY: proxyUrl, NO_PROXY: '127.0.0.1' } });
  assert.equal(await ask(past), '200 ok');
  assert.equal(tunnels.length, 1);
});
