/** Every fault, for a client in this process and for one over HTTP: the same rows for both. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite, type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { httpTransport, loadKubeConfig } from '../../../src/kube/config.ts';
import { verbOf } from '../../../src/sandbox/api/faults.ts';
import { createSandboxApi, type SandboxApi } from '../../../src/sandbox/api/server.ts';
import { systemClock } from '../../../src/work/clock.ts';
import { configMap, configMaps, createWorld, talkTo, told, type World } from './world.ts';

interface Client extends Pick<World, 'ask' | 'must' | 'watch'> {
  readonly api: SandboxApi;
}

const ways: readonly { readonly name: string; connect(t: TestContext): Promise<Client> }[] = [
  {
    name: 'in process',
    async connect(t) {
      const api = createSandboxApi({ clock: systemClock, plane: false });
      t.after(() => api.close());
      return { api, ...talkTo(api.transport()) };
    },
  },
  {
    name: 'over HTTP',
    async connect(t) {
      const api = createSandboxApi({ clock: systemClock, plane: false });
      const folder = mkdtempSync(join(tmpdir(), 'fairlead-faults-'));
      const path = join(folder, 'kubeconfig');
      writeFileSync(path, (await api.listen()).kubeconfig);
      const transport = httpTransport(loadKubeConfig({ kubeconfig: path, env: {} }));
      t.after(async () => {
        transport.close();
        await api.close();
        rmSync(folder, { recursive: true });
      });
      return { api, ...talkTo(transport) };
    },
  },
];

const broken = { code: /ECONNRESET|ECONNREFUSED/ };

async function until(condition: () => boolean, what: string): Promise<void> {
  const end = performance.now() + 10_000;
  while (!condition()) {
    if (performance.now() > end) assert.fail(`not within 10 s: ${what}`);
    await sleep(2);
  }
}

for (const { name, connect } of ways)
  suite(`faults ${name}`, { timeout: 60_000 }, () => {
    test('reset before: nothing happened; after: it did', async (t) => {
      const { api, ask, must } = await connect(t);
      api.faults.add({ verb: 'create', effect: { kind: 'reset', when: 'before' } });
      await assert.rejects(ask('POST', configMaps, configMap('a')), broken);
      assert.deepEqual((await must('GET', configMaps)).items, []);
      api.faults.add({ verb: 'create', effect: { kind: 'reset', when: 'after' } });
      await assert.rejects(ask('POST', configMaps, configMap('a')), broken);
      assert.equal((await must('GET', configMaps)).items.length, 1);
    });

    test('a status with Retry-After, before or after the write', async (t) => {
      const { api, ask, must } = await connect(t);
      api.faults.add({ path: '/configmaps', effect: { kind: 'status', status: 429, retryAfterSeconds: 7 } });
      const { status, body } = await ask('POST', configMaps, configMap('a'));
      assert.deepEqual([status, body.reason, body.details.retryAfterSeconds], [429, 'TooManyRequests', 7]);
      api.faults.add({ verb: 'create', effect: { kind: 'status', status: 500, when: 'after' } });
      assert.equal((await ask('POST', configMaps, configMap('a'))).status, 500);
      assert.equal((await must('GET', configMaps)).items.length, 1);
    });

    test('a body that breaks in the middle', async (t) => {
      const { api, ask, must } = await connect(t);
      await must('POST', configMaps, configMap('a', { text: 'x'.repeat(5000) }));
      api.faults.add({ verb: 'list', effect: { kind: 'reset', when: 'body', afterBytes: 1000 } });
      await assert.rejects(ask('GET', configMaps));
      assert.equal((await must('GET', configMaps)).items.length, 1);
    });

    test('a body that comes byte by byte is the same body', async (t) => {
      const { api, must } = await connect(t);
      await must('POST', configMaps, configMap('a', { text: 'é世🎉' }));
      api.faults.add({ verb: 'list', effect: { kind: 'split' } });
      assert.equal((await must('GET', configMaps)).items[0].data.text, 'é世🎉');
    });

    test('watches are cut, fall silent, repeat themselves', async (t) => {
      const { api, must, watch } = await connect(t);
      api.faults.add({ verb: 'watch', effect: { kind: 'cut', afterEvents: 1, how: 'end' } });
      api.faults.add({ verb: 'watch', skip: 1, effect: { kind: 'cut', afterEvents: 1, how: 'reset' } });
      api.faults.add({ verb: 'watch', skip: 2, effect: { kind: 'silent', afterEvents: 1 } });
      api.faults.add({ verb: 'watch', skip: 3, effect: { kind: 'duplicate' } });
      const from = `${configMaps}?watch=true&resourceVersion=${api.store.revision}`;
      const [ended, reset, silent, twice] = [
        await watch(from),
        await watch(from),
        await watch(from),
        await watch(from),
      ];
      for (const one of ['a', 'b']) await must('POST', configMaps, configMap(one));
      await until(
        () => twice.events.length === 4 && reset.state() !== 'open' && ended.state() !== 'open',
        'all events',
      );
      assert.deepEqual(told(ended.events), ['ADDED a']);
      assert.equal(ended.state(), 'ended');
      assert.deepEqual(told(reset.events), ['ADDED a']);
      assert.match(reset.state(), /ECONNRESET|aborted|hang up|terminated/);
      assert.deepEqual(told(silent.events), ['ADDED a']);
      assert.equal(silent.state(), 'open');
      assert.deepEqual(told(twice.events), ['ADDED a', 'ADDED a', 'ADDED b', 'ADDED b']);
      silent.close();
      twice.close();
    });

    test('a forced 410, as a status and as an event', async (t) => {
      const { api, ask, watch } = await connect(t);
      api.faults.add({ verb: 'list', effect: { kind: 'gone', how: 'status' } });
      assert.equal((await ask('GET', configMaps)).status, 410);
      api.faults.add({ verb: 'watch', effect: { kind: 'gone', how: 'event' } });
      const gone = await watch(`${configMaps}?watch=true&resourceVersion=3`);
      await until(() => gone.state() === 'ended', 'the end');
      assert.deepEqual([gone.events.length, gone.events[0].type, gone.events[0].object.code], [1, 'ERROR', 410]);
    });

    test('a stale list shows the past under the version of the past', async (t) => {
      const { api, must } = await connect(t);
      await must('POST', configMaps, configMap('a'));
      const { revision } = api.store;
      for (const one of ['b', 'c']) await must('POST', configMaps, configMap(one));
      api.faults.add({ verb: 'list', effect: { kind: 'stale', revisions: 2 } });
      const { metadata, items } = await must('GET', configMaps);
      assert.deepEqual([metadata.resourceVersion, items.length], [String(revision), 1]);
      assert.equal((await must('GET', configMaps)).items.length, 3);
    });

    test('a killed server breaks everything and keeps what it stored', async (t) => {
      const { api, ask, must, watch } = await connect(t);
      await must('POST', configMaps, configMap('a'));
      const open = await watch(`${configMaps}?watch=true`);
      await until(() => open.events.length === 1, 'the first event');
      await api.kill();
      await until(() => open.state() !== 'open', 'the broken watch');
      await assert.rejects(ask('GET', configMaps), broken);
      await api.start();
      assert.equal((await must('GET', configMaps)).items.length, 1);
    });
  });

test('delays and late events wait on the injected clock', async () => {
  const { api, clock, must, ask, watch } = createWorld();
  api.faults.add({ verb: 'get', effect: { kind: 'delay', ms: 5_000 } });
  api.faults.add({ verb: 'watch', effect: { kind: 'late', ms: 3_000 } });
  const { events, close } = await watch(`${configMaps}?watch=true&resourceVersion=${api.store.revision}`);
  await must('POST', configMaps, configMap('a'));
  let answered = false;
  const answer = ask('GET', `${configMaps}/a`).then(() => {
    answered = true;
  });
  await clock.advance(2_999);
  assert.deepEqual([answered, events.length], [false, 0]);
  await clock.advance(1);
  assert.deepEqual([answered, events.length], [false, 1]);
  await clock.advance(2_000);
  await answer;
  close();
});

test('which requests are hit depends on the seed and nothing else', async () => {
  const hits = async (seed: number): Promise<readonly number[]> => {
    const { api, ask } = createWorld({ seed });
    api.faults.add({ chance: 0.3, times: Number.POSITIVE_INFINITY, effect: { kind: 'status', status: 503 } });
    for (let index = 0; index < 50; index += 1) await ask('GET', configMaps);
    return api.faults.hits.map(({ request }) => request);
  };
  const [one, again, other] = [await hits(1), await hits(1), await hits(2)];
  assert.deepEqual(one, again);
  assert.notDeepEqual(one, other);
  assert.ok(one.length > 5 && one.length < 30, `${one.length} of 50`);
});

test('a fault hits the request that it names, as often as it says, until it is taken away', async () => {
  const { api, ask } = createWorld();
  const codes = async (count: number): Promise<readonly number[]> => {
    const all: number[] = [];
    for (let index = 0; index < count; index += 1) all.push((await ask('GET', configMaps)).status);
    return all;
  };
  api.faults.add({ at: 2, effect: { kind: 'status', status: 503 } });
  assert.deepEqual(await codes(3), [200, 503, 200]);
  api.faults.add({ skip: 1, times: 2, effect: { kind: 'status', status: 500 } });
  assert.deepEqual(await codes(4), [200, 500, 500, 200]);
  const take = api.faults.add({ times: 9, effect: { kind: 'status', status: 500 } });
  assert.deepEqual(await codes(1), [500]);
  take();
  assert.deepEqual(await codes(1), [200]);
  api.faults.add({ times: 9, effect: { kind: 'status', status: 500 } });
  api.faults.clear();
  assert.deepEqual(await codes(1), [200]);
  assert.equal(api.faults.requests, 10);
});

const verbs: readonly (readonly [string, string, string])[] = [
  ['GET', '/api/v1/services', 'list'],
  ['GET', '/api/v1/services?watch=true', 'watch'],
  ['GET', '/api/v1/nodes/n1', 'get'],
  ['GET', '/api/v1/namespaces', 'list'],
  ['GET', '/api/v1/namespaces/a', 'get'],
  ['GET', '/api/v1/namespaces/a/services', 'list'],
  ['GET', '/api/v1/namespaces/a/services/b', 'get'],
  ['GET', '/apis/apps/v1/namespaces/a/deployments/b/scale', 'get'],
  ['GET', '/apis/apps/v1/deployments?limit=5', 'list'],
  ['POST', '/api/v1/namespaces/a/services', 'create'],
  ['PUT', '/api/v1/namespaces/a/services/b', 'update'],
  ['PATCH', '/api/v1/namespaces/a/services/b/status', 'patch'],
  ['DELETE', '/api/v1/namespaces/a/services/b', 'delete'],
];
for (const [method, path, verb] of verbs)
  test(`${method} ${path} is a ${verb}`, () => assert.equal(verbOf({ method, path }), verb));
