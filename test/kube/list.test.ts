import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import type { KubeObject } from '../../src/core/objects.ts';
import { list } from '../../src/kube/list.ts';
import { createClient, type TransportRequest } from '../../src/kube/request.ts';
import { resources } from '../../src/kube/resource.ts';
import { createVirtualClock } from '../fake/clock.ts';

const { signal } = new AbortController();
const metadata = (name: string) => ({ name, uid: name, resourceVersion: '1', creationTimestamp: '' });

function server(pages: readonly object[]) {
  const clock = createVirtualClock();
  const paths: string[] = [];
  const transport = {
    async send({ path, signal }: TransportRequest) {
      paths.push(path);
      const page = pages[paths.length - 1];
      const body = page === undefined ? new Readable({ read() {} }) : Readable.from([JSON.stringify(page)]);
      signal.addEventListener('abort', () => void body.destroy(signal.reason));
      return { status: 200, headers: {}, body };
    },
    close() {},
  };
  return { client: createClient({ transport, clock }), clock, paths };
}

test('pages are read until the last, whose version counts; items have their kind and are trimmed', async () => {
  const { client, clock, paths } = server([
    {
      kind: 'ServiceList',
      apiVersion: 'v1',
      metadata: { resourceVersion: '100', continue: 'x=' },
      items: [{ metadata: { ...metadata('a'), managedFields: [{}] } }],
    },
    {
      kind: 'ServiceList',
      apiVersion: 'v1',
      metadata: { resourceVersion: '101' },
      items: [{ metadata: metadata('b') }],
    },
  ]);
  const selection = { namespace: 'n', labelSelector: 'a=b', fieldSelector: 'spec.type=LoadBalancer' };
  const listing = await list({
    client,
    resource: resources.services,
    timers: clock,
    signal,
    pageSize: 1,
    ...selection,
  });
  assert.deepEqual(listing, {
    resourceVersion: '101',
    items: [
      { apiVersion: 'v1', kind: 'Service', metadata: metadata('a') },
      { apiVersion: 'v1', kind: 'Service', metadata: metadata('b') },
    ],
  });
  const selectors = 'labelSelector=a%3Db&fieldSelector=spec.type%3DLoadBalancer';
  assert.deepEqual(paths, [
    `/api/v1/namespaces/n/services?limit=1&${selectors}`,
    `/api/v1/namespaces/n/services?limit=1&continue=x%3D&${selectors}`,
  ]);
  assert.equal(clock.timers, 0);
});

test('items: null is an empty list', async () => {
  const { client, clock, paths } = server([
    { kind: 'NodeList', apiVersion: 'v1', metadata: { resourceVersion: '7' }, items: null },
  ]);
  const listing = await list({ client, resource: resources.nodes, timers: clock, signal });
  assert.deepEqual(listing, { items: [], resourceVersion: '7' });
  assert.deepEqual(paths, ['/api/v1/nodes?limit=500']);
});

test('int64 counts of custom resources are exact', async () => {
  const count = '9223372036854775807';
  const pools = { group: 'metallb.io', version: 'v1beta1', plural: 'ipaddresspools' };
  const item = { apiVersion: 'metallb.io/v1beta1', kind: 'IPAddressPool', metadata: metadata('p'), status: { n: 'N' } };
  const clock = createVirtualClock();
  const text = JSON.stringify({ kind: 'IPAddressPoolList', metadata: { resourceVersion: '1' }, items: [item] });
  const transport = {
    send: async () => ({ status: 200, headers: {}, body: Readable.from([text.replace('"N"', count)]) }),
    close() {},
  };
  const client = createClient({ transport, clock });
  const { items } = await list<KubeObject & { status: unknown }>({ client, resource: pools, timers: clock, signal });
  assert.deepEqual(items[0]?.status, { n: 9223372036854775807n });
});

test('a page that never comes to its end is given up after a minute', async () => {
  const { client, clock } = server([]);
  const listing = list({ client, resource: resources.nodes, timers: clock, signal });
  const refused = assert.rejects(listing, /GET \/api\/v1\/nodes\?limit=500: no whole answer within 60000 ms/);
  await clock.advance(60_000);
  await refused;
  assert.equal(clock.timers, 0);
});
