import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Client, isApiError, isConflict, isGone, linesOf, type Sent } from '../../src/kube/request.ts';
import type { Effect, Fault, RequestVerb } from '../../src/sandbox/api/faults.ts';
import { kubectl } from './ask.ts';
import { type Api, apis, serviceAccountToken } from './cluster.ts';
import { type FaultProxy, faultProxy } from './proxy.ts';

const maps = '/api/v1/namespaces/default/configmaps';

for (const { name, start } of apis) {
  test(`faults before ${name}`, async (t) => {
    const api = await start(t);
    if (api === undefined) return;
    const proxy = await faultProxy(t, api);
    const [through, direct] = [proxy.client(), api.client()];
    let count = 0;

    /** A test with faults of its own, and a config map that it may change. */
    const withFaults = (title: string, faults: readonly Fault[], run: (map: string) => Promise<void>) =>
      t.test(title, async () => {
        const map = `m${count}`;
        count += 1;
        await direct.call(post({ metadata: { name: map }, data: { word: 'é世' } }));
        const before = proxy.faults.hits.length;
        for (const fault of faults) proxy.faults.add(fault);
        try {
          await run(map);
          const expected = faults.reduce((sum, { times = 1 }) => sum + times, 0);
          assert.equal(proxy.faults.hits.length - before, expected, 'every fault has hit');
        } finally {
          proxy.faults.clear();
        }
      });
    const word = async (map: string): Promise<string | undefined> =>
      (await direct.call<ConfigMap>(get(map))).data?.['word'];

    await withFaults('without a fault everything passes as it is', [], async (map) => {
      assert.equal((await through.call<ConfigMap>(get(map))).data?.['word'], 'é世');
      await through.call(patch(map, 'b'));
      assert.equal(await word(map), 'b');
      await assert.rejects(through.call(get('nobody')), (error) => isApiError(error) && error.status === 404);
    });

    await withFaults(
      'reset before a patch: it did nothing',
      [hit('patch', { kind: 'reset', when: 'before' })],
      async (map) => {
        await assert.rejects(through.call(patch(map, 'b')), { code: 'ECONNRESET' });
        assert.equal(await word(map), 'é世');
        await through.call(patch(map, 'c'));
        assert.equal(await word(map), 'c');
      },
    );

    await withFaults(
      'reset after a patch: it is done all the same',
      [hit('patch', { kind: 'reset', when: 'after' })],
      async (map) => {
        await assert.rejects(through.call(patch(map, 'b')), { code: 'ECONNRESET' });
        assert.equal(await word(map), 'b');
      },
    );

    await withFaults(
      'a list breaks in its middle',
      [hit('list', { kind: 'reset', when: 'body', afterBytes: 40 })],
      async () => {
        await assert.rejects(through.call(list()), { code: 'ECONNRESET' });
        assert.ok((await through.call<ConfigMapList>(list())).items.length > 0);
      },
    );

    await withFaults('a list comes byte by byte', [hit('list', { kind: 'split' })], async (map) => {
      const { items } = await through.call<ConfigMapList>(list());
      assert.equal(items.find(({ metadata }) => metadata.name === map)?.data?.['word'], 'é世');
    });

    await withFaults(
      '429 with Retry-After, then 500, then again the server',
      [
        hit('get', { kind: 'status', status: 429, retryAfterSeconds: 2 }),
        { ...hit('get', { kind: 'status', status: 500 }), skip: 1 },
      ],
      async (map) => {
        await assert.rejects(
          through.call(get(map)),
          (error) => isApiError(error) && error.status === 429 && error.retryAfterMs === 2_000,
        );
        await assert.rejects(through.call(get(map)), (error) => isApiError(error) && error.status === 500);
        assert.equal((await through.call<ConfigMap>(get(map))).metadata.name, map);
      },
    );

    await withFaults(
      'a conflict on the second and third write',
      [{ verb: ['patch', 'update'], skip: 1, times: 2, effect: { kind: 'status', status: 409 } }],
      async (map) => {
        await through.call(patch(map, 'a'));
        await assert.rejects(through.call(patch(map, 'b')), (error) => isConflict(error as Error));
        await assert.rejects(through.call(patch(map, 'c')), (error) => isConflict(error as Error));
        assert.equal(await word(map), 'a');
        await through.call(patch(map, 'd'));
      },
    );

    await withFaults(
      '410 to a list and to a watch',
      [hit('list', { kind: 'status', status: 410 }), hit('watch', { kind: 'status', status: 410 })],
      async () => {
        await assert.rejects(through.call(list()), (error) => isGone(error as Error));
        await assert.rejects(through.open(watch()), (error) => isGone(error as Error));
      },
    );

    await withFaults(
      'a watch breaks after its first event, which may be lost with it',
      [hit('watch', { kind: 'cut', afterEvents: 1, how: 'reset' })],
      async (map) => {
        const events = await watching(through, direct, map);
        const first = await events.next().catch((error: unknown) => error);
        if (first === `ADDED ${map}`) await assert.rejects(events.next(), { code: 'ECONNRESET' });
        else assert.equal((first as NodeJS.ErrnoException).code, 'ECONNRESET');
      },
    );

    await withFaults(
      'a watch ends in good order after its first event',
      [hit('watch', { kind: 'cut', afterEvents: 1, how: 'end' })],
      async (map) => {
        const events = await watching(through, direct, map);
        assert.deepEqual([await events.next(), await events.next()], [`ADDED ${map}`, undefined]);
      },
    );

    await withFaults(
      'a watch ends with 410 in the stream',
      [hit('watch', { kind: 'gone', how: 'event' })],
      async (map) => {
        const events = await watching(through, direct, map);
        assert.deepEqual(await events.next(), 'ERROR 410');
        assert.equal(await events.next(), undefined);
      },
    );

    await withFaults('every event comes twice', [hit('watch', { kind: 'duplicate' })], async (map) => {
      const events = await watching(through, direct, map);
      await direct.call(patch(map, 'b'));
      const seen = [await events.next(), await events.next(), await events.next(), await events.next()];
      assert.deepEqual(seen, [`ADDED ${map}`, `ADDED ${map}`, `MODIFIED ${map}`, `MODIFIED ${map}`]);
      events.close();
    });

    await withFaults(
      'a watch goes silent, while another sees what it missed',
      [hit('watch', { kind: 'silent', afterEvents: 1 })],
      async (map) => {
        const silent = await watching(through, direct, map);
        const other = await watching(through, direct, map);
        await direct.call(patch(map, 'b'));
        assert.deepEqual([await other.next(), await other.next()], [`ADDED ${map}`, `MODIFIED ${map}`]);
        assert.deepEqual(await silent.next(), `ADDED ${map}`);
        const next = silent.next();
        await direct.call(patch(map, 'c'));
        assert.deepEqual(await other.next(), `MODIFIED ${map}`);
        assert.equal(await Promise.race([next, Promise.resolve('nothing yet')]), 'nothing yet');
        silent.close();
        other.close();
        await assert.rejects(next);
      },
    );

    await withFaults(
      'events come late, in order, after others have them',
      [{ ...hit('watch', { kind: 'late', ms: 500 }), skip: 1 }],
      async (map) => {
        const order: string[] = [];
        const prompt = await watching(through, direct, map);
        const late = await watching(through, direct, map);
        await Promise.all([await prompt.next(), await late.next()]);
        const seen = Promise.all([
          late.next().then((event) => order.push(`late ${event}`)),
          prompt.next().then((event) => order.push(`prompt ${event}`)),
        ]);
        await direct.call(patch(map, 'b'));
        await seen;
        assert.deepEqual(order, [`prompt MODIFIED ${map}`, `late MODIFIED ${map}`]);
        prompt.close();
        late.close();
      },
    );

    await withFaults('an answer is slow', [hit('get', { kind: 'delay', ms: 500 })], async (map) => {
      const order: string[] = [];
      const slow = through.call(get(map)).then(() => order.push('slow'));
      await through.call(list()).then(() => order.push('list'));
      await slow;
      assert.deepEqual(order, ['list', 'slow']);
    });

    await withFaults(
      'only what is meant is hit',
      [{ verb: 'get', path: '/secrets', effect: { kind: 'status', status: 500 } }],
      async (map) => {
        await through.call(get(map));
        await assert.rejects(
          through.call({ ...get(map), path: '/api/v1/namespaces/default/secrets/x' }),
          (error) => isApiError(error) && error.status === 500,
        );
      },
    );

    await t.test('connections are broken and refused for a while', async () => {
      await direct.call(post({ metadata: { name: 'seen' } }));
      const events = await watching(through, direct, 'seen');
      assert.equal(await events.next(), 'ADDED seen');
      await proxy.refuse();
      await assert.rejects(events.next());
      await assert.rejects(through.call(list()), { code: 'ECONNREFUSED' });
      await proxy.accept();
      assert.ok((await through.call<ConfigMapList>(list())).items.length > 0);
    });

    await t.test('a killed server is a reset, and after its start the proxy goes on', async () => {
      await api.kill();
      await assert.rejects(through.call(list()), { code: 'ECONNRESET' });
      await api.start();
      assert.ok((await through.call<ConfigMapList>(list())).items.length > 0);
    });

    await withFaults(
      'a list shows the past, as a server that lags behind does',
      [hit('list', { kind: 'stale', revisions: 1 })],
      async (map) => {
        const has = async () =>
          (await through.call<ConfigMapList>(list())).items.some(({ metadata }) => metadata.name === map);
        assert.equal(await has(), false, 'it was created one revision ago');
        assert.equal(await has(), true);
      },
    );

    await withFaults(
      'a write is done although its answer says 500',
      [hit('patch', { kind: 'status', status: 500, when: 'after' })],
      async (map) => {
        await assert.rejects(through.call(patch(map, 'b')), (error) => isApiError(error) && error.status === 500);
        assert.equal(await word(map), 'b');
      },
    );

    await t.test('what has hit whom is on record', () => {
      const said = proxy.faults.hits.map(({ method, path, effect }) => `${method} ${path}: ${effect.kind}`);
      assert.ok(said.includes(`GET ${maps}: stale`), said.join('\n'));
      assert.equal(said.filter((hit) => hit.startsWith('PATCH ') && hit.endsWith(': reset')).length, 2);
    });

    await t.test('kubectl works through it, as whom it says it is', () => asks(api, proxy));
  });
}

async function asks(api: Api, proxy: FaultProxy): Promise<void> {
  if (api.kubectl === undefined) return;
  const listed = await kubectl({ ...api, kubeconfig: proxy.kubeconfig }, ['get', 'configmaps', '-o', 'name']);
  assert.equal(listed.code, 0, listed.stderr);
  if (api.name === 'sandbox') return; // everybody is admin there
  const made = await kubectl(api, ['create', 'serviceaccount', 'somebody']);
  assert.equal(made.code, 0, made.stderr);
  const token = await serviceAccountToken(api, 'default', 'somebody');
  const kubeconfig = api.writeKubeconfig({ name: 'somebody', token, url: proxy.url });
  const refused = await kubectl({ ...api, kubeconfig }, ['get', 'configmaps']);
  assert.match(refused.stderr, /User "system:serviceaccount:default:somebody" cannot list/);
}

interface ConfigMap {
  readonly metadata: { readonly name: string };
  readonly data?: Readonly<Record<string, string>>;
}
interface ConfigMapList {
  readonly items: readonly ConfigMap[];
}

const hit = (verb: RequestVerb, effect: Effect): Fault => ({ verb, path: '/configmaps', effect });
const limit = (): AbortSignal => AbortSignal.timeout(20_000);
const get = (map: string): Sent => ({ method: 'GET', path: `${maps}/${map}`, signal: limit() });
const list = (): Sent => ({ method: 'GET', path: maps, signal: limit() });
const watch = (query = ''): Sent => ({
  method: 'GET',
  path: `${maps}?watch=true${query}`,
  stream: true,
  signal: limit(),
});
const post = (body: object): Sent => ({ method: 'POST', path: maps, body, signal: limit() });
const patch = (map: string, word: string): Sent => ({
  method: 'PATCH',
  path: `${maps}/${map}`,
  body: { data: { word } },
  contentType: 'application/merge-patch+json',
  signal: limit(),
});

/** Events of one config map, from the version before its creation; 'ADDED m0', 'ERROR 410', `undefined` at the end. */
async function watching(client: Client, direct: Client, map: string) {
  const { metadata } = await direct.call<{ metadata: { resourceVersion: string } }>(get(map));
  const version = String(Number(metadata.resourceVersion) - 1);
  const body = await client.open(watch(`&resourceVersion=${version}&fieldSelector=metadata.name%3D${map}`));
  const lines = linesOf(body);
  return {
    async next(): Promise<string | undefined> {
      const { value, done } = await lines.next();
      if (done === true) return undefined;
      const { type, object } = JSON.parse(value) as {
        type: string;
        object: { code?: number; metadata: { name?: string } };
      };
      return `${type} ${object.code ?? object.metadata.name}`;
    },
    close: () => void body.destroy(new Error('closed by the test')),
  };
}
