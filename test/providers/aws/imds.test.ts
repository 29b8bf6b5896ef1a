import assert from 'node:assert/strict';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { identify } from '../../../providers/aws/imds.ts';

const MAC = '0e:12:34:56:78:9a';

/** An instance metadata service: tokens first, as version 2 demands. `refuse` gives a status, or nothing to let it through. */
async function imds(
  refuse: (path: string, count: number) => number | 'silence' | undefined = () => undefined,
): Promise<{ readonly env: Record<string, string>; readonly asked: string[]; close(): void }> {
  const asked: string[] = [];
  const answer = ({
    method,
    url = '',
    headers,
  }: IncomingMessage): { readonly status: number; readonly text: string } => {
    if (method === 'PUT' && url === '/latest/api/token') {
      return headers['x-aws-ec2-metadata-token-ttl-seconds'] === undefined
        ? { status: 400, text: '' }
        : { status: 200, text: 'token-1' };
    }
    if (headers['x-aws-ec2-metadata-token'] !== 'token-1') return { status: 401, text: '' };
    const pages: Readonly<Record<string, string>> = {
      '/latest/meta-data/placement/region': 'eu-north-1',
      '/latest/meta-data/mac': MAC,
      [`/latest/meta-data/network/interfaces/macs/${MAC}/vpc-id`]: 'vpc-0c\n',
    };
    const text = pages[url];
    return text === undefined ? { status: 404, text: '' } : { status: 200, text };
  };
  const server = createServer((request, response) => {
    asked.push(`${request.method} ${request.url}`);
    const refused = refuse(request.url ?? '', asked.length);
    if (refused === 'silence') return;
    const { status, text } = refused === undefined ? answer(request) : { status: refused, text: '' };
    response.writeHead(status).end(text);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    env: { AWS_EC2_METADATA_SERVICE_ENDPOINT: `http://127.0.0.1:${(server.address() as AddressInfo).port}` },
    asked,
    close() {
      server.closeAllConnections();
      server.close();
    },
  };
}

const never = new AbortController().signal;

test('region and VPC come from the instance metadata service, with a token', async (t) => {
  const service = await imds();
  t.after(service.close);
  assert.deepEqual(await identify({ env: service.env, signal: never }), { region: 'eu-north-1', vpcId: 'vpc-0c' });
  assert.equal(service.asked[0], 'PUT /latest/api/token');
});

test('an answer of 500 is asked for again, one of 403 is not', async (t) => {
  const flaky = await imds((_, count) => (count <= 2 ? 500 : undefined));
  t.after(flaky.close);
  assert.equal((await identify({ env: flaky.env, signal: never })).vpcId, 'vpc-0c');
  const closed = await imds(() => 403);
  t.after(closed.close);
  await assert.rejects(identify({ env: closed.env, signal: never }), /PUT .*\/latest\/api\/token: HTTP 403/);
  assert.equal(closed.asked.length, 1);
});

test('silence ends by itself, after three tries', async (t) => {
  const service = await imds(() => 'silence');
  t.after(service.close);
  await assert.rejects(identify({ env: service.env, signal: never, timeoutMs: 20 }), /no answer within 20 ms/);
  assert.equal(service.asked.length, 3);
});

test('who turned it off, and who aborts, gets no request sent on', async (t) => {
  const service = await imds();
  t.after(service.close);
  const off = { ...service.env, AWS_EC2_METADATA_DISABLED: 'true' };
  await assert.rejects(identify({ env: off, signal: never }), /AWS_EC2_METADATA_DISABLED/);
  const reason = new Error('stopping');
  await assert.rejects(identify({ env: service.env, signal: AbortSignal.abort(reason) }), reason);
  assert.deepEqual(service.asked, []);
});
