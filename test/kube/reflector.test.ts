import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import type { ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { CoreV1Api, KubeConfig, makeInformer } from '@kubernetes/client-node';
import { type KubeObject, keyOf } from '../../src/core/objects.ts';
import type { Log } from '../../src/core/provider.ts';
import { httpTransport, loadKubeConfig } from '../../src/kube/config.ts';
import { createHttpTransport } from '../../src/kube/http.ts';
import { createReflector, type ReflectorOptions } from '../../src/kube/reflector.ts';
import { createClient, type Transport, type TransportRequest } from '../../src/kube/request.ts';
import { resources } from '../../src/kube/resource.ts';
import { createStore, type Store } from '../../src/kube/store.ts';
import { systemClock } from '../../src/work/clock.ts';
import { createVirtualClock } from '../fake/clock.ts';
import { type Asked, json, type Loopback, startLoopback, status } from '../fake/loopback.ts';

// --- a server: list version 100, pages of 2, watches that say what a test lets them say ---

function service(name: string, version: string | number, uid = `uid-${name}`): KubeObject {
  const metadata = { name, namespace: 'default', uid, resourceVersion: String(version), creationTimestamp: '' };
  return { apiVersion: 'v1', kind: 'Service', metadata };
}

interface Script {
  /** What the list holds; asked at each list. */
  readonly items?: () => readonly KubeObject[];
  readonly listVersion?: () => string;
  /** Number of the list request, from 1. True: the script has answered. */
  readonly onList?: (n: number, asked: Asked, response: ServerResponse) => boolean | undefined;
  /** Number of the watch, from 1. Without it, or when it writes no end, the watch stays open. */
  readonly onWatch?: (n: number, asked: Asked, response: ServerResponse) => void;
}

const abc = (): readonly KubeObject[] => [service('a', 10), service('b', 20), service('c', 30)];

async function startServer(t: TestContext, script: Script = {}) {
  const { items = abc, listVersion = () => '100', onList, onWatch } = script;
  const lists: Asked[] = [];
  const watches: Asked[] = [];
  const server = await startLoopback(t, (asked, response) => {
    if (asked.query.get('watch') === 'true') {
      watches.push(asked);
      response.on('error', () => {});
      const answer = onWatch ?? (() => {});
      if (response.headersSent) return;
      answer(watches.length, asked, response);
      if (!response.headersSent && !asked.socket.destroyed) response.writeHead(200).flushHeaders();
      return;
    }
    lists.push(asked);
    if (onList?.(lists.length, asked, response) === true) return;
    const all = items();
    const from = Number(asked.query.get('continue') ?? 0);
    const size = Number(asked.query.get('limit'));
    const next = from + size < all.length ? { continue: String(from + size) } : {};
    json(response, {
      kind: 'ServiceList',
      apiVersion: 'v1',
      metadata: { resourceVersion: listVersion(), ...next },
      items: all.slice(from, from + size),
    });
  });
  return { server, lists, watches };
}

function line(type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK' | 'ERROR', object: object): string {
  return `${JSON.stringify({ type, object })}\n`;
}
const bookmark = (version: number) => line('BOOKMARK', service('', version));
const versionsOf = (watches: readonly Asked[]) => watches.map(({ query }) => query.get('resourceVersion'));

// --- our side ---

const quiet: Log = { debug() {}, info() {}, warn() {}, error() {} };

function freeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null) for (const part of Object.values(Object.freeze(value))) freeze(part);
  return value;
}

type More = Partial<Omit<ReflectorOptions<KubeObject>, 'store' | 'client'>> & {
  readonly transport?: Transport;
  readonly handler?: () => void;
};

/** A running reflector on `url`, and what its store told. */
function reflect(t: TestContext, url: string, more: More = {}) {
  const { transport = plainTransport(url), handler, ...options } = more;
  const clock = options.clock ?? systemClock;
  const errors: unknown[] = [];
  const store = createStore<KubeObject>({ onHandlerError: (error) => errors.push(error) });
  const events: string[] = [];
  store.onChange((old, now) => {
    freeze(now);
    events.push(`${old === undefined ? '' : old.metadata.name}->${now === undefined ? '' : now.metadata.name}`);
    handler?.();
  });
  const stop = new AbortController();
  void store.whenSynced(stop.signal).then(
    () => events.push('synced'),
    () => {},
  );
  const reflector = createReflector<KubeObject>({
    client: createClient({ transport, clock }),
    resource: resources.services,
    store,
    clock,
    random: () => 0,
    log: quiet,
    pageSize: 2,
    backoff: { baseMs: 50, capMs: 200 },
    ...options,
  });
  let ended = false;
  const running = reflector.run(stop.signal).then(() => {
    ended = true;
  });
  t.after(async () => {
    stop.abort(new Error('end of the test'));
    await running;
    transport.close();
  });
  return { store, events, errors, stop, running, isRunning: () => !ended };
}

function plainTransport(url: string): Transport {
  return createHttpTransport({ url, credentials: async () => ({ headers: {} }), renew: () => {} });
}

/** Waits for a condition of the world outside; fails after 5 s. */
async function until(condition: () => boolean, what: string): Promise<void> {
  const end = performance.now() + 5000;
  while (!condition()) {
    if (performance.now() > end) assert.fail(`not within 5 s: ${what}`);
    await sleep(2);
  }
}

const held = (store: Store<KubeObject>) =>
  store
    .list()
    .map((one) => `${one.metadata.name}@${one.metadata.resourceVersion}`)
    .sort();

// --- golden cases (foundations, section 11) ---

test('1: all pages are in before anything is told; then synced; the watch asks for bookmarks from the list version', async (t) => {
  const { server, lists, watches } = await startServer(t);
  const { events } = reflect(t, server.url, { random: Math.random });
  await until(() => watches.length === 1, 'a watch');
  assert.deepEqual(events, ['->a', '->b', '->c', 'synced']);
  assert.deepEqual(
    lists.map(({ path }) => path),
    ['/api/v1/services?limit=2', '/api/v1/services?limit=2&continue=2'],
  );
  const { query } = watches[0] as Asked;
  const seconds = Number(query.get('timeoutSeconds'));
  assert.ok(Number.isInteger(seconds) && seconds >= 261 && seconds <= 290, String(seconds));
  query.delete('timeoutSeconds');
  assert.equal(query.toString(), 'watch=true&allowWatchBookmarks=true&resourceVersion=100');
});

test('2: after a bookmark and a clean close the next watch goes on from it, without a list', async (t) => {
  const { server, lists, watches } = await startServer(t, {
    onWatch: (n, _asked, response) => n === 1 && response.end(bookmark(900)),
  });
  reflect(t, server.url);
  await until(() => watches.length === 2, 'a second watch');
  assert.deepEqual(versionsOf(watches), ['100', '900']);
  assert.equal(lists.length, 2);
});

test('3: a socket destroyed in the middle of a watch continues from the last version', async (t) => {
  const { server, lists, watches } = await startServer(t, {
    onWatch: (n, { socket }, response) =>
      n === 1 && response.write(`${line('MODIFIED', service('a', 150))}{"type":"MODI`, () => socket.resetAndDestroy()),
  });
  const { store } = reflect(t, server.url);
  await until(() => watches.length === 2, 'a second watch');
  assert.deepEqual(versionsOf(watches), ['100', '150']);
  assert.equal(lists.length, 2);
  assert.deepEqual(held(store), ['a@150', 'b@20', 'c@30']);
});

test('4: Retry-After of a refused watch is waited for', async (t) => {
  const { server, lists, watches } = await startServer(t, {
    onWatch: (n, _asked, response) =>
      n === 1 && json(response, status(429, 'TooManyRequests'), 429, { 'retry-after': '1' }),
  });
  reflect(t, server.url);
  await until(() => watches.length === 2, 'a second watch');
  const [first, second] = watches as [Asked, Asked];
  assert.ok(second.atMs - first.atMs >= 995, `${second.atMs - first.atMs} ms`);
  assert.equal(lists.length, 2);
});

test('4: a list that is refused three times is asked for a fourth time', async (t) => {
  const { server, lists } = await startServer(t, {
    onList: (n, _asked, response) => {
      if (n > 3) return false;
      json(response, status(500, 'InternalError'), 500);
      return true;
    },
  });
  const { store, stop } = reflect(t, server.url, { pageSize: 500 });
  await store.whenSynced(stop.signal);
  assert.equal(lists.length, 4);
});

test('5: 410 at the connect of a watch lists again at once', async (t) => {
  const { server, lists, watches } = await startServer(t, {
    listVersion: () => '100',
    onWatch: (n, _asked, response) => n === 1 && json(response, status(410, 'Expired'), 410),
  });
  reflect(t, server.url, { pageSize: 500, backoff: { baseMs: 60_000, capMs: 60_000 } });
  await until(() => watches.length === 2, 'a second watch');
  assert.equal(lists.length, 2);
});

test('5: after ERROR 410 the removal that was missed is told, and synced stays said once', async (t) => {
  let items = abc();
  const { server, watches } = await startServer(t, {
    items: () => items,
    listVersion: () => (items.length === 3 ? '100' : '300'),
    onWatch: (n, _asked, response) => {
      if (n !== 1) return;
      items = items.slice(1);
      response.end(line('ERROR', status(410, 'Expired', 'too old resource version: 100 (300)')));
    },
  });
  const { events } = reflect(t, server.url);
  await until(() => watches.length === 2, 'a second watch');
  assert.deepEqual(events, ['->a', '->b', '->c', 'synced', 'a->']);
  assert.deepEqual(versionsOf(watches), ['100', '300']);
});

test('6: ERROR 500 in the stream is one retry and no list', async (t) => {
  const { server, lists, watches } = await startServer(t, {
    onWatch: (n, _asked, response) => n === 1 && response.end(line('ERROR', status(500, 'InternalError'))),
  });
  reflect(t, server.url);
  await until(() => watches.length === 2, 'a second watch');
  assert.deepEqual(versionsOf(watches), ['100', '100']);
  assert.equal(lists.length, 2);
});

test('7: a handler that always throws loses nothing', async (t) => {
  const { server, watches } = await startServer(t, {
    onWatch: (n, _asked, response) => n === 1 && response.end(line('MODIFIED', service('a', 200))),
  });
  const { store, errors } = reflect(t, server.url, {
    handler: () => {
      throw new Error('mine');
    },
  });
  await until(() => watches.length === 2, 'a second watch');
  assert.deepEqual(held(store), ['a@200', 'b@20', 'c@30']);
  assert.deepEqual(versionsOf(watches), ['100', '200']);
  assert.equal(errors.length, 4);
});

test('8: another uid under the same name is a removal and an addition', async (t) => {
  let uid = 'u1';
  const { server, watches } = await startServer(t, {
    items: () => [service('a', uid === 'u1' ? 10 : 200, uid)],
    listVersion: () => (uid === 'u1' ? '100' : '300'),
    onWatch: (n, _asked, response) => {
      if (n !== 1) return;
      uid = 'u2';
      json(response, status(410, 'Gone'), 410);
    },
  });
  const { events } = reflect(t, server.url);
  await until(() => watches.length === 2, 'a second watch');
  assert.deepEqual(events, ['->a', 'synced', 'a->', '->a']);
});

test('9: a silent link is dropped when the server is overdue by the grace, and not before', async (t) => {
  const clock = createVirtualClock();
  const requests: TransportRequest[] = [];
  const transport: Transport = {
    async send(request) {
      requests.push(request);
      if (!request.path.includes('watch=true')) {
        const page = { kind: 'ServiceList', metadata: { resourceVersion: '100' }, items: [] };
        return { status: 200, headers: {}, body: Readable.from([JSON.stringify(page)]) };
      }
      const body = new Readable({ read() {} });
      request.signal.addEventListener('abort', () => void body.destroy(request.signal.reason));
      return { status: 200, headers: {}, body };
    },
    close() {},
  };
  const restarts: string[] = [];
  const metrics = { watchRestarted: (_resource: string, reason: string) => restarts.push(reason), storeObjects() {} };
  reflect(t, '', { transport, clock, metrics });
  await clock.advance(304_999);
  assert.equal(requests.length, 2);
  await clock.advance(1);
  assert.deepEqual(restarts, ['silent']);
  await clock.advance(50);
  assert.equal(requests.length, 3);
  assert.equal(clock.timers, 1);
});

test('10: an event that arrives byte by byte, with characters of several bytes, is one event', async (t) => {
  const { server, watches } = await startServer(t, {
    items: () => [],
    onWatch: async (n, _asked, response) => {
      if (n !== 1) return;
      for (const byte of Buffer.from(line('ADDED', service('é世', 150)))) {
        response.write(Buffer.from([byte]));
        await new Promise((resolve) => setImmediate(resolve));
      }
      response.end();
    },
  });
  const { events, store } = reflect(t, server.url);
  await until(() => watches.length === 2, 'a second watch');
  assert.deepEqual(events, ['synced', '->é世']);
  assert.deepEqual(held(store), ['é世@150']);
});

test('11: a token file that is absent is waited for, and the process lives', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'fairlead-reflector-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const { server, lists } = await startServer(t);
  const config = {
    clusters: [{ name: 'c', cluster: { server: server.url } }],
    users: [{ name: 'u', user: { tokenFile: 'token' } }],
    contexts: [{ name: 'x', context: { cluster: 'c', user: 'u' } }],
    'current-context': 'x',
  };
  writeFileSync(join(folder, 'config'), JSON.stringify(config));
  const warnings: object[] = [];
  const { store, stop } = reflect(t, server.url, {
    transport: httpTransport(loadKubeConfig({ kubeconfig: join(folder, 'config'), env: {} })),
    log: { ...quiet, warn: (fields) => warnings.push(fields) },
  });
  await until(() => warnings.length === 2, 'two tries that failed');
  assert.equal(lists.length, 0);
  writeFileSync(join(folder, 'token'), 'secret');
  await store.whenSynced(stop.signal);
  assert.equal(lists[0]?.headers['authorization'], 'Bearer secret');
});

test('12: 410 at the second page starts the list again, and nothing of the first is told twice', async (t) => {
  const { server, lists } = await startServer(t, {
    onList: (n, _asked, response) => {
      if (n !== 2) return false;
      json(response, status(410, 'Expired', 'the provided continue parameter is too old'), 410);
      return true;
    },
  });
  const { store, stop, events } = reflect(t, server.url, { backoff: { baseMs: 60_000, capMs: 60_000 } });
  await store.whenSynced(stop.signal);
  assert.deepEqual(events, ['->a', '->b', '->c', 'synced']);
  assert.deepEqual(
    lists.map(({ query }) => query.get('continue')),
    [null, '2', null, '2'],
  );
});

test('13: a server that closes every watch at once is not hammered', async (t) => {
  const { server, lists, watches } = await startServer(t, { onWatch: (_n, _asked, response) => void response.end() });
  reflect(t, server.url, { pageSize: 500 });
  await until(() => watches.length > 0, 'a watch');
  await sleep(600);
  assert.ok(watches.length <= 9, `${watches.length} watches`);
  await until(() => watches.length > 9, 'it goes on');
  assert.equal(lists.length, 1);
});

// --- beyond the golden cases ---

test('events that were seen before, or come late, change nothing; a version never goes back', async (t) => {
  const { server, watches } = await startServer(t, {
    onWatch: (n, _asked, response) => {
      if (n !== 1) return;
      const modified = line('MODIFIED', service('a', 150));
      const removed = line('DELETED', service('b', 160));
      const recreated = line('ADDED', service('b', 170, 'uid-new'));
      response.end(
        [modified, modified, removed, modified, recreated, removed, line('ADDED', service('c', 30))].join(''),
      );
    },
  });
  const { store, events } = reflect(t, server.url);
  await until(() => watches.length === 2, 'a second watch');
  assert.deepEqual(events, ['->a', '->b', '->c', 'synced', 'a->a', 'b->', '->b']);
  assert.deepEqual(held(store), ['a@150', 'b@170', 'c@30']);
  assert.deepEqual(versionsOf(watches), ['100', '170']);
});

test('a server behind our version (restored from a backup) is listed anew', async (t) => {
  let version = '100';
  const { server, lists, watches } = await startServer(t, {
    listVersion: () => version,
    items: () => (version === '100' ? abc() : [service('a', 40)]),
    onWatch: (n, _asked, response) => {
      if (n !== 1) return;
      version = '50';
      const details = { causes: [{ reason: 'ResourceVersionTooLarge', message: 'Too large resource version' }] };
      json(response, status(504, 'Timeout', 'Too large resource version: 100, current: 50', details), 504);
    },
  });
  const { store } = reflect(t, server.url, { pageSize: 500 });
  await until(() => watches.length === 2, 'a second watch');
  assert.equal(lists.length, 2);
  assert.deepEqual(held(store), ['a@40']);
  assert.deepEqual(versionsOf(watches), ['100', '50']);
});

test('an event between two expiries makes the second one a first: no wait', async (t) => {
  const { server, lists, watches } = await startServer(t, {
    onWatch: (n, _asked, response) => {
      if (n > 2) return;
      response.end((n === 2 ? bookmark(200) : '') + line('ERROR', status(410, 'Expired')));
    },
  });
  reflect(t, server.url, { pageSize: 500, backoff: { baseMs: 60_000, capMs: 60_000 } });
  await until(() => watches.length === 3, 'a third watch');
  assert.equal(lists.length, 3);
});

/** A server without sockets, for virtual time: answers by the number of the request. */
function scripted(answer: (path: string, n: number) => object | number) {
  const paths: string[] = [];
  const transport: Transport = {
    async send({ path, signal }) {
      paths.push(path);
      const value = answer(path, paths.length);
      if (value instanceof Error) throw value;
      if (value instanceof Readable) {
        signal.addEventListener('abort', () => void value.destroy(signal.reason));
        return { status: 200, headers: {}, body: value };
      }
      const code = typeof value === 'number' ? value : 200;
      const body = typeof value === 'number' ? status(value, 'x') : value;
      return { status: code, headers: {}, body: Readable.from([JSON.stringify(body)]) };
    },
    close() {},
  };
  return { transport, paths };
}
const emptyList = (version: string) => ({ kind: 'ServiceList', metadata: { resourceVersion: version }, items: [] });
const openWatch = () => new Readable({ read() {} });
const isWatch = (path: string) => path.includes('watch=true');

test('410 again and again is waited for from the second time on', async (t) => {
  const clock = createVirtualClock();
  const times: number[] = [];
  const { transport } = scripted((path) => {
    if (isWatch(path)) return 410;
    times.push(clock.monotonicMs());
    return emptyList('100');
  });
  reflect(t, '', { transport, clock });
  await clock.advance(400);
  assert.deepEqual(times, [0, 0, 50, 150, 350]);
});

test('a kind that does not exist is empty and synced, said once, asked for every 30 s, and watched once it is there', async (t) => {
  const clock = createVirtualClock();
  let exists = false;
  const items = [service('p', 5)];
  const { transport, paths } = scripted((path) => {
    if (!exists) return 404;
    return isWatch(path) ? openWatch() : { ...emptyList('100'), items };
  });
  const warnings: string[] = [];
  const log: Log = { ...quiet, warn: (_fields, message) => warnings.push(message) };
  const { store } = reflect(t, '', { transport, clock, log, optional: true });
  await clock.settle();
  assert.equal(store.synced, true);
  await clock.advance(60_000);
  assert.equal(paths.length, 3);
  assert.deepEqual(warnings, ['kind does not exist; asking again every 30 s']);
  exists = true;
  await clock.advance(30_000);
  assert.deepEqual(held(store), ['p@5']);
  assert.equal(paths.filter(isWatch).length, 1);

  exists = false; // its definition is deleted: the server ends the watch
  await clock.advance(305_000 + 100);
  assert.deepEqual(held(store), []);
  assert.equal(warnings.filter((message) => message.startsWith('kind')).length, 2);
});

test('a kind that must exist is asked for again, and is not taken for empty', async (t) => {
  const clock = createVirtualClock();
  const { transport, paths } = scripted(() => 404);
  const { store } = reflect(t, '', { transport, clock });
  await clock.advance(1000);
  assert.equal(store.synced, false);
  assert.ok(paths.length > 3);
});

test('waits double from the base to the cap, times 1 to 2, and start anew after two healthy minutes or an event', async (t) => {
  const clock = createVirtualClock();
  const times: number[] = [];
  let answer: 'fail' | 'serve' | 'event' = 'fail';
  const { transport } = scripted((path) => {
    if (!isWatch(path)) return emptyList('100');
    times.push(clock.monotonicMs());
    if (answer === 'serve') return openWatch();
    if (answer === 'event') {
      answer = 'fail';
      return Readable.from([bookmark(200)]);
    }
    return new Error('reset');
  });
  reflect(t, '', { transport, clock, random: () => 0.5, backoff: { baseMs: 800, capMs: 30_000 }, watchSeconds: 130 });
  await clock.advance(100_000);
  const gaps = () => times.slice(1).map((time, index) => time - (times[index] as number));
  assert.deepEqual(gaps(), [1200, 2400, 4800, 9600, 19_200, 38_400]);
  // T = 124 s: the next one is healthy for two minutes and then silent.
  answer = 'serve';
  await clock.advance(45_000);
  answer = 'fail';
  times.length = 0;
  await clock.advance(139_000);
  assert.deepEqual(gaps().slice(0, 2), [2400, 4800]);
  // The wait that is under way is long; after one event, and a clean end a moment later, it is short again.
  answer = 'event';
  times.length = 0;
  await clock.advance(40_000);
  assert.deepEqual(gaps().slice(0, 3), [1200, 2400, 4800]);
});

test('a list of ten thousand lets others run while it is stored', async (t) => {
  const items = Array.from({ length: 10_000 }, (_value, n) => service(`s${n}`, n + 1));
  const { transport } = scripted((path) => (isWatch(path) ? openWatch() : { ...emptyList('20000'), items }));
  let turns = 0;
  let counting = false;
  const count = (): void => {
    if (counting) turns += 1;
    if (counting) setImmediate(count);
  };
  const { store, stop, events } = reflect(t, '', {
    transport,
    handler: () => {
      if (counting) return;
      counting = true;
      setImmediate(count);
    },
  });
  await store.whenSynced(stop.signal);
  counting = false;
  assert.equal(events.length, 10_000 + 1);
  assert.ok(turns >= 15, `${turns} turns of the event loop in between`);
});

test('run ends when its signal aborts, in a wait, in a list and in a watch, and leaves no timer', async (t) => {
  for (const answer of [
    () => new Error('reset'),
    () => openWatch(),
    (path: string) => (isWatch(path) ? openWatch() : emptyList('1')),
  ]) {
    const clock = createVirtualClock();
    const { transport } = scripted(answer);
    const { stop, running } = reflect(t, '', { transport, clock });
    await clock.advance(10);
    stop.abort(new Error('enough'));
    await running;
    assert.equal(clock.timers, 0);
  }
});

test('objects of a watch and of a list have the same shape', async (t) => {
  const plain = service('a', 10);
  const {
    apiVersion: _version,
    kind: _kind,
    ...listed
  } = { ...plain, metadata: { ...plain.metadata, managedFields: [] } };
  const { server, watches } = await startServer(t, {
    items: () => [listed],
    onWatch: (n, _asked, response) =>
      n === 1 &&
      response.end(
        line('ADDED', { ...service('b', 110), metadata: { ...service('b', 110).metadata, managedFields: [{}] } }),
      ),
  });
  const { store } = reflect(t, server.url);
  await until(() => watches.length === 2, 'a second watch');
  assert.deepEqual(store.get('default/a'), plain);
  assert.deepEqual(store.get('default/b'), service('b', 110));
  assert.deepEqual(store.list().map(keyOf), ['default/a', 'default/b']);
});

// --- beside client-node's informer (foundations, section 9.1) ---

const faults: readonly { readonly name: string; readonly script: Pick<Script, 'onList' | 'onWatch'> }[] = [
  {
    name: 'a socket destroyed in the middle of a watch',
    script: {
      onWatch: (_n, { socket }, response) =>
        response.write(line('MODIFIED', service('a', 150)), () => socket.resetAndDestroy()),
    },
  },
  {
    name: 'a watch refused with 429',
    script: { onWatch: (_n, _asked, response) => json(response, status(429, 'TooManyRequests'), 429) },
  },
  {
    name: 'a list refused with 500',
    script: {
      onList: (n, _asked, response) => {
        if (n !== 1) return false;
        json(response, status(500, 'InternalError'), 500);
        return true;
      },
    },
  },
];
for (const { name, script } of faults) {
  test(`${name}: we go on, client-node's informer stops for good`, async (t) => {
    // The fault comes once; whoever comes back gets the news.
    const faultyOnce: Script = {
      ...script,
      items: () => [service('a', 10)],
      onWatch: (n, asked, response) => {
        if (n === 1 && script.onWatch !== undefined) script.onWatch(n, asked, response);
        else response.write(line('MODIFIED', service('a', 200)));
      },
    };
    const ours = await startServer(t, faultyOnce);
    const theirs = await startServer(t, faultyOnce);

    const informed = startInformer(t, theirs.server);
    const { store } = reflect(t, ours.server.url, { pageSize: 500 });
    await until(() => held(store).join() === 'a@200', 'the news in our store');
    await until(() => informed.errors.length > 0, 'an error of the informer');
    const asked = theirs.server.asked.length;
    await sleep(400); // several times what we needed
    assert.equal(theirs.server.asked.length, asked, 'the informer asked again');
    assert.notEqual(informed.version(), '200');
  });
}

function startInformer(t: TestContext, server: Loopback) {
  const config = new KubeConfig();
  config.loadFromClusterAndUser({ name: 'c', server: server.url, skipTLSVerify: true }, { name: 'u' });
  const api = config.makeApiClient(CoreV1Api);
  const informer = makeInformer(config, '/api/v1/services', () => api.listServiceForAllNamespaces({ limit: 500 }));
  const errors: unknown[] = [];
  informer.on('error', (error) => void errors.push(error));
  void informer.start().catch((error: unknown) => errors.push(error));
  t.after(() => informer.stop());
  return { errors, version: () => informer.get('a', 'default')?.metadata?.resourceVersion };
}
