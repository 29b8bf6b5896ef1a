import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { type TestContext, test } from 'node:test';
import { createRecorder } from './recorder.ts';

test('a call is passed on with the account, counted, and answered as the API answered', async (t) => {
  const api = await createApi(t);
  const recorder = await createRecorder(t, { target: api.url, account: '123456789012' });
  const answer = await post(recorder.url, 'CreateListener', 'elasticloadbalancing');
  assert.deepEqual([answer.status, await answer.text()], [202, '<done/>']);
  assert.equal(answer.headers.get('content-type'), 'text/xml');
  assert.deepEqual(api.seen, ['123456789012 Action=CreateListener&Port=80']);
  await post(recorder.url, 'CreateListener', 'elasticloadbalancing');
  await post(recorder.url, 'AddTags', 'elasticloadbalancing');
  assert.deepEqual(recorder.counts(), { AddTags: 1, CreateListener: 2 });
  const [first] = recorder.calls;
  assert.deepEqual(
    [first?.service, first?.operation, first?.form.get('Port'), first?.status],
    ['elasticloadbalancing', 'CreateListener', '80', 202],
  );
  assert.ok((first?.endMs ?? 0) >= (first?.startMs ?? Number.POSITIVE_INFINITY));
  recorder.clear();
  assert.deepEqual(recorder.counts(), {});
});

test('an operation of a JSON service is known by its target', async (t) => {
  const api = await createApi(t);
  const recorder = await createRecorder(t, { target: api.url });
  await fetch(recorder.url, {
    method: 'POST',
    headers: { 'X-Amz-Target': 'ResourceGroupsTaggingAPI_20170126.GetResources' },
    body: '{}',
  });
  assert.deepEqual(recorder.counts(), { GetResources: 1 });
});

test('faults: an answer in its place, a cut before the API, a cut after it', async (t) => {
  const api = await createApi(t);
  const recorder = await createRecorder(t, { target: api.url });
  recorder.fault = ({ operation }) => {
    if (operation === 'One') return { status: 503, body: 'garbage' };
    if (operation === 'Two') return 'break';
    return operation === 'Three' ? 'break after' : undefined;
  };
  const answer = await post(recorder.url, 'One', 'ec2');
  assert.deepEqual([answer.status, await answer.text()], [503, 'garbage']);
  await assert.rejects(post(recorder.url, 'Two', 'ec2'));
  assert.deepEqual(api.seen, []);
  await assert.rejects(post(recorder.url, 'Three', 'ec2'));
  assert.equal(api.seen.length, 1);
  assert.deepEqual(
    recorder.calls.map(({ operation, status }) => `${operation} ${status}`),
    ['One 503', 'Two undefined', 'Three undefined'],
  );
});

test('an API that is away is a broken connection', async (t) => {
  const api = await createApi(t);
  await api.close();
  const recorder = await createRecorder(t, { target: api.url });
  await assert.rejects(post(recorder.url, 'One', 'ec2'));
});

function post(url: string, operation: string, service: string): Promise<Response> {
  return fetch(url, {
    method: 'POST',
    headers: {
      'Content-Type': 'application/x-www-form-urlencoded',
      Authorization: `AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/${service}/aws4_request, Signature=0`,
    },
    body: `Action=${operation}&Port=80`,
  });
}

/** Answers 202 with '<done/>', and keeps the account and body of what it saw. */
async function createApi(t: TestContext) {
  const seen: string[] = [];
  const server = createServer((request, response) => {
    void text(request).then((body) => {
      seen.push(`${request.headers['x-moto-account-id'] ?? 'nobody'} ${body}`);
      response.writeHead(202, { 'Content-Type': 'text/xml' }).end('<done/>');
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const close = async (): Promise<void> => {
    if (!server.listening) return;
    const closed = once(server, 'close');
    server.close();
    server.closeAllConnections();
    await closed;
  };
  t.after(close);
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, seen, close };
}
