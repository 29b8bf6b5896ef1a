/** int64 does not fit a double: what a client writes comes back exactly. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createSandboxApi } from '../../../src/sandbox/api/server.ts';
import { createVirtualClock } from '../../fake/clock.ts';

const things = '/apis/example.com/v1/things';
const definition = {
  metadata: { name: 'things.example.com' },
  spec: {
    group: 'example.com',
    scope: 'Cluster',
    names: { plural: 'things', kind: 'Thing' },
    versions: [
      {
        name: 'v1',
        served: true,
        storage: true,
        schema: {
          openAPIV3Schema: { type: 'object', properties: { count: { type: 'integer', format: 'int64', minimum: 5 } } },
        },
      },
    ],
  },
};

test('an integer beyond 2^53 is stored, patched, listed and watched exactly', async () => {
  const api = createSandboxApi({ clock: createVirtualClock(), plane: false });
  const transport = api.transport();
  const { signal } = new AbortController();
  const text = async (method: string, path: string, body?: string, type = 'application/json'): Promise<string> => {
    const { body: answer } = await transport.send({
      method,
      path,
      headers: { 'content-type': type },
      ...(body === undefined ? {} : { body }),
      signal,
    });
    return (await answer.toArray()).join('');
  };
  await text('POST', '/apis/apiextensions.k8s.io/v1/customresourcedefinitions', JSON.stringify(definition));
  const thing = (count: string): string =>
    `{"apiVersion":"example.com/v1","kind":"Thing","metadata":{"name":"a"},"count":${count}}`;
  assert.match(await text('POST', things, thing('9223372036854775807')), /"count":9223372036854775807[,}]/);
  assert.match(await text('GET', things), /"count":9223372036854775807[,}]/);
  assert.match(
    await text('PATCH', `${things}/a`, '{"count":9223372036854775806}', 'application/merge-patch+json'),
    /"count":9223372036854775806[,}]/,
  );
  assert.match(
    await text('PATCH', `${things}/a`, '{"metadata":{"labels":{"a":"b"}}}', 'application/merge-patch+json'),
    /"count":9223372036854775806[,}]/,
  );
  assert.match(
    await text('POST', things, thing('-9223372036854775807').replace('"a"', '"b"')),
    /should be greater than or equal to 5/,
  );
  await api.close();
});
