import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Clock } from '../../src/core/provider.ts';
import {
  ApiError,
  type ClientMetrics,
  createClient,
  isAlreadyExists,
  isApiError,
  isConflict,
  isGone,
  isNotFound,
  linesOf,
  type Sent,
  type Transport,
  type TransportRequest,
  type TransportResponse,
} from '../../src/kube/request.ts';
import { createVirtualClock } from '../fake/clock.ts';
import { status } from '../fake/loopback.ts';

const { signal } = new AbortController();
const get: Sent = { method: 'GET', path: '/api/v1/services?limit=5', signal };

function answering(
  answer: (request: TransportRequest) => Partial<Omit<TransportResponse, 'body'>> & { body?: unknown },
) {
  const requests: TransportRequest[] = [];
  const transport: Transport = {
    host: 'api:6443',
    async send(request) {
      requests.push(request);
      const { status = 200, headers = {}, body = {} } = answer(request);
      const text = typeof body === 'string' ? body : JSON.stringify(body);
      return { status, headers, body: Readable.from([text]) };
    },
    close() {},
  };
  return { requests, transport };
}

const delayed = (transport: Transport, clock: Clock, ms: number): Transport => ({
  ...transport,
  async send(request) {
    await clock.sleep(ms, signal);
    return await transport.send(request);
  },
});

const clientOf = (transport: Transport, more: object = {}) =>
  createClient({ transport, clock: createVirtualClock(), ...more });

test('an object is sent as JSON and the answer parsed, int64 exact in both ways', async () => {
  const { transport, requests } = answering(({ body }) => ({ status: 201, body: body ?? '' }));
  const client = clientOf(transport, { userAgent: 'fairlead/1' });
  const count = 9223372036854775807n;
  const answer = await client.call({ ...get, method: 'POST', body: { count } });
  assert.deepEqual(answer, { count });
  const { headers, body, method, path } = requests[0] as TransportRequest;
  assert.deepEqual(
    { headers, body, method, path },
    {
      headers: { accept: 'application/json', 'user-agent': 'fairlead/1', 'content-type': 'application/json' },
      body: '{"count":9223372036854775807}',
      method: 'POST',
      path: get.path,
    },
  );
});

test('text goes as it is, under the content type that is given', async () => {
  const { transport, requests } = answering(() => ({}));
  await clientOf(transport).call({
    ...get,
    method: 'PATCH',
    body: 'a: 1',
    contentType: 'application/apply-patch+yaml',
  });
  assert.equal(requests[0]?.body, 'a: 1');
  assert.equal(requests[0]?.headers['content-type'], 'application/apply-patch+yaml');
});

test('an empty answer is undefined', async () => {
  const { transport } = answering(() => ({ body: '' }));
  assert.equal(await clientOf(transport).call(get), undefined);
});

const refusals: readonly {
  readonly name: string;
  readonly code: number;
  readonly headers?: Record<string, string>;
  readonly body: unknown;
  readonly expected: Pick<ApiError, 'status' | 'reason' | 'message' | 'retryAfterMs' | 'details'>;
}[] = [
  {
    name: 'a Status object',
    code: 404,
    body: status(404, 'NotFound', 'services "a" not found', { name: 'a', kind: 'services' }),
    expected: {
      status: 404,
      reason: 'NotFound',
      message: 'GET /api/v1/services: services "a" not found',
      retryAfterMs: undefined,
      details: { name: 'a', kind: 'services' },
    },
  },
  {
    name: 'Retry-After in the header, which wins over the body',
    code: 429,
    headers: { 'retry-after': '7' },
    body: status(429, 'TooManyRequests', 'slow down', { retryAfterSeconds: 1 }),
    expected: {
      status: 429,
      reason: 'TooManyRequests',
      message: 'GET /api/v1/services: slow down',
      retryAfterMs: 7000,
      details: { retryAfterSeconds: 1 },
    },
  },
  {
    name: 'Retry-After in the body alone',
    code: 504,
    body: status(504, 'Timeout', 'too large resource version', { retryAfterSeconds: 1 }),
    expected: {
      status: 504,
      reason: 'Timeout',
      message: 'GET /api/v1/services: too large resource version',
      retryAfterMs: 1000,
      details: { retryAfterSeconds: 1 },
    },
  },
  {
    name: "a proxy's page",
    code: 502,
    headers: { 'retry-after': 'Wed, 21 Oct 2026 07:28:00 GMT' },
    body: '<html>bad gateway</html>',
    expected: {
      status: 502,
      reason: '',
      message: 'GET /api/v1/services: 502 <html>bad gateway</html>',
      retryAfterMs: undefined,
      details: undefined,
    },
  },
];
for (const { name, code, headers, body, expected } of refusals) {
  test(`a refusal becomes an ApiError: ${name}`, async () => {
    const { transport } = answering(() => ({ status: code, body, ...(headers === undefined ? {} : { headers }) }));
    const client = clientOf(transport);
    for (const attempt of [client.call(get), client.open(get)]) {
      const error = await attempt.then(
        () => assert.fail('resolved'),
        (reason: unknown) => reason,
      );
      assert.ok(isApiError(error));
      const { status, reason, message, retryAfterMs, details } = error;
      assert.deepEqual({ status, reason, message, retryAfterMs, details }, expected);
    }
  });
}

test('a refusal keeps its status when its body breaks off', async () => {
  const { transport } = answering(() => ({}));
  const broken: Transport = {
    ...transport,
    send: async () => ({
      status: 410,
      headers: {},
      body: new Readable({ read: (): void => void broken.close(), destroy: (_error, done) => done(null) }).destroy(
        new Error('reset'),
      ),
    }),
  };
  await assert.rejects(clientOf(broken).open(get), { name: 'ApiError', status: 410 });
});

test('predicates go by shape and tell the two kinds of 409 apart', () => {
  const conflict = new ApiError(409, 'Conflict', '');
  const exists = new ApiError(409, 'AlreadyExists', '');
  const foreign = Object.assign(new Error('x'), { name: 'ApiError', status: 404 });
  assert.deepEqual([conflict, exists].map(isConflict), [true, false]);
  assert.deepEqual([conflict, exists].map(isAlreadyExists), [false, true]);
  assert.equal(isNotFound(foreign), true);
  assert.equal(isGone(new ApiError(410, 'Expired', '')), true);
  assert.deepEqual([new Error('x'), undefined, { status: 404 }].map(isApiError), [false, false, false]);
});

test('every exchange is measured, those without an answer as <error>', async () => {
  const seen: Parameters<ClientMetrics['request']>[0][] = [];
  const metrics: ClientMetrics = { request: (exchange) => seen.push(exchange) };
  const clock = createVirtualClock();
  const { transport } = answering(({ method }) => {
    if (method === 'DELETE') throw new Error('reset');
    return { status: method === 'PUT' ? 409 : 200 };
  });
  const slow = delayed(transport, clock, 250);
  const client = createClient({ transport: slow, clock, metrics });
  const all = Promise.allSettled((['GET', 'PUT', 'DELETE'] as const).map((method) => client.call({ ...get, method })));
  await clock.advance(250);
  await all;
  assert.deepEqual(
    seen.map(({ method, host, code, seconds }) => `${method} ${host} ${code} ${seconds}`),
    ['GET api:6443 200 0.25', 'PUT api:6443 409 0.25', 'DELETE api:6443 <error> 0.25'],
  );
});

test('with qps and burst the requests run ahead by the burst, then in an even flow; exempt ones pass', async () => {
  const clock = createVirtualClock();
  const times: number[] = [];
  const { transport } = answering(() => {
    times.push(clock.monotonicMs());
    return {};
  });
  const client = createClient({ transport, clock, qps: 10, burst: 3 });
  const all = Array.from({ length: 6 }, () => client.call(get));
  await clock.settle();
  await client.call({ ...get, exempt: true });
  await client.call({ ...get, method: 'POST', background: true });
  await clock.advance(1000);
  await Promise.all(all);
  assert.deepEqual(times, [0, 0, 0, 0, 0, 100, 200, 300]);
  await clock.advance(10_000); // the bucket is full again, and not fuller
  const more = Array.from({ length: 5 }, () => client.call(get));
  await clock.advance(1000);
  await Promise.all(more);
  assert.deepEqual(times.slice(8), [11_000, 11_000, 11_000, 11_100, 11_200]);
});

test('without qps nothing waits', async () => {
  const clock = createVirtualClock();
  const { transport, requests } = answering(() => ({}));
  const client = createClient({ transport, clock, qps: 0, burst: 0 });
  await Promise.all(Array.from({ length: 100 }, () => client.call(get)));
  assert.equal(requests.length, 100);
});

test('a request whose signal has aborted is not sent', async () => {
  const { transport, requests } = answering(() => ({}));
  await assert.rejects(clientOf(transport).call({ ...get, signal: AbortSignal.abort(new Error('enough')) }), /enough/);
  assert.equal(requests.length, 0);
});

test('quietMs counts from the end of the last ordinary write, and is 0 during one', async () => {
  const clock = createVirtualClock();
  const { transport } = answering(() => ({}));
  const slow = delayed(transport, clock, 10);
  const client = createClient({ transport: slow, clock });
  assert.equal(client.quietMs(), Number.POSITIVE_INFINITY);
  const write = client.call({ ...get, method: 'PATCH' });
  await clock.advance(5);
  assert.equal(client.quietMs(), 0);
  await clock.advance(5);
  await write;
  const others = [
    client.call(get),
    client.call({ ...get, method: 'PUT', exempt: true }),
    client.call({ ...get, method: 'POST', background: true }),
  ];
  await clock.advance(30);
  await Promise.all(others);
  assert.equal(client.quietMs(), 30);
});

test('lines come whole, however the text is cut, and a broken last line does not come', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.string({ unit: 'grapheme' }).map((text) => text.replaceAll('\n', ''))),
      fc.string({ unit: 'grapheme' }).map((text) => text.replaceAll('\n', '')),
      fc.integer({ min: 1, max: 7 }),
      async (lines, rest, size) => {
        const bytes = Buffer.from(lines.map((line) => `${line}\n`).join('') + rest);
        const chunks: Buffer[] = [];
        for (let at = 0; at < bytes.length; at += size) chunks.push(bytes.subarray(at, at + size));
        const body = Readable.from(chunks, { objectMode: false });
        body.setEncoding('utf8');
        const read: string[] = [];
        for await (const line of linesOf(body)) read.push(line);
        assert.deepEqual(read, lines);
      },
    ),
  );
});

test('a reader that stops early destroys the stream', async () => {
  const body = Readable.from(['a\nb\n', 'c\n']);
  for await (const line of linesOf(body)) {
    assert.equal(line, 'a');
    break;
  }
  assert.equal(body.destroyed, true);
});
