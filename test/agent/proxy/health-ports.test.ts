import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type TestContext, test } from 'node:test';
import { createHealthPorts } from '../../../src/agent/proxy/health-ports.ts';
import { createVirtualClock } from '../../fake/clock.ts';
import { freePort } from '../../kube/cluster.ts';

const log = { debug() {}, info() {}, warn() {}, error() {} };

function setUp(t: TestContext) {
  const clock = createVirtualClock();
  const failed: string[] = [];
  const state = { healthy: true };
  const ports = createHealthPorts({
    isHealthy: () => state.healthy,
    clock,
    log,
    failed: (key, port, why) => void failed.push(`${key} ${port} ${why}`),
  });
  t.after(() => ports.close());
  return { clock, failed, state, ports };
}

const ask = async (port: number, host = '127.0.0.1') => {
  const answer = await fetch(`http://${host}:${port}/`, { headers: { connection: 'close' } });
  return { code: answer.status, headers: answer.headers, text: await answer.text() };
};

test('a health check port answers as kube-proxy does, to the byte', async (t) => {
  const { ports, state } = setUp(t);
  const port = await freePort();
  ports.sync([{ key: 'web/shop', port, localEndpoints: 2 }], []);
  await ports.settled();
  const { code, headers, text } = await ask(port);
  assert.equal(code, 200);
  assert.equal(headers.get('content-type'), 'application/json');
  assert.equal(headers.get('x-content-type-options'), 'nosniff');
  assert.equal(headers.get('x-load-balancing-endpoint-weight'), '2');
  assert.equal(
    text,
    '{\n\t"service": {\n\t\t"namespace": "web",\n\t\t"name": "shop"\n\t},\n\t"localEndpoints": 2,\n\t"serviceProxyHealthy": true\n}',
  );
  state.healthy = false;
  const ill = await ask(port);
  assert.deepEqual([ill.code, /"serviceProxyHealthy": false/.test(ill.text)], [503, true]);
});

test('a node without a local endpoint answers 503, and 200 as soon as it has one', async (t) => {
  const { ports } = setUp(t);
  const port = await freePort();
  ports.sync([{ key: 'web/shop', port, localEndpoints: 0 }], []);
  await ports.settled();
  const none = await ask(port);
  assert.deepEqual([none.code, none.headers.get('x-load-balancing-endpoint-weight')], [503, '0']);
  ports.sync([{ key: 'web/shop', port, localEndpoints: 1 }], []);
  assert.equal((await ask(port)).code, 200);
});

test('it listens only on the addresses that NodePorts answer on', async (t) => {
  const { ports } = setUp(t);
  const port = await freePort();
  ports.sync([{ key: 'web/shop', port, localEndpoints: 1 }], ['127.0.0.2']);
  await ports.settled();
  assert.equal((await ask(port, '127.0.0.2')).code, 200);
  await assert.rejects(ask(port, '127.0.0.1'));
});

test('a port passes from one Service to another, and closes with the last', async (t) => {
  const { ports, failed } = setUp(t);
  const port = await freePort();
  ports.sync([{ key: 'web/a', port, localEndpoints: 1 }], []);
  await ports.settled();
  ports.sync([{ key: 'web/b', port, localEndpoints: 1 }], []);
  await ports.settled();
  assert.match((await ask(port)).text, /"name": "b"/);
  ports.sync([], []);
  await ports.settled();
  await assert.rejects(ask(port));
  assert.deepEqual(failed, []);
});

test('a port that is taken is told once, and served when it becomes free', async (t) => {
  const { clock, ports, failed } = setUp(t);
  const other = createServer();
  other.listen(0);
  await once(other, 'listening');
  const { port } = other.address() as AddressInfo;
  const wanted = [{ key: 'web/shop', port, localEndpoints: 1 }];
  ports.sync(wanted, []);
  await ports.settled();
  ports.sync(wanted, []);
  await clock.advance(30_000);
  await ports.settled();
  assert.equal(failed.length, 1);
  assert.match(failed[0] ?? '', /^web\/shop \d+ healthCheckNodePort: cannot listen on port \d+: EADDRINUSE$/);
  other.close();
  await once(other, 'close');
  await clock.advance(30_000);
  await ports.settled();
  assert.equal((await ask(port)).code, 200);
});
