/**
 * One fault at a time, on both API servers: between a controller that serves and its API server something breaks while a
 * user creates, changes and deletes Services. Whatever it was, the result is the same, and whoever starts afterwards
 * finds nothing to do.
 */
import assert from 'node:assert/strict';
import { suite, type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import * as onprem from '../../providers/onprem/index.ts';
import { crdFiles } from '../../src/cli/assets.ts';
import { readManifests } from '../../src/cli/manifest.ts';
import { putAll } from '../../src/cli/world.ts';
import { createLeader, type End } from '../../src/controllers/leader.ts';
import { keyOf, type Service } from '../../src/core/objects.ts';
import type { Clock, Log } from '../../src/core/provider.ts';
import { createReflector } from '../../src/kube/reflector.ts';
import { type Client, createClient, type Transport } from '../../src/kube/request.ts';
import { pathOf, resources } from '../../src/kube/resource.ts';
import { createStore } from '../../src/kube/store.ts';
import { createMetrics, type Metrics } from '../../src/obs/metrics.ts';
import { connectionError, type Effect, type Fault } from '../../src/sandbox/api/faults.ts';
import { sleepOn, systemClock, type Timers } from '../../src/work/clock.ts';
import { fakeTerminal } from '../cli/terminal.ts';
import { type Api, apis } from '../kube/cluster.ts';
import { type FaultProxy, faultProxy } from '../kube/proxy.ts';

/** The controllers' time runs this much faster: their lease of 15 s / 10 s / 2 s is one of 3 s / 2 s / 0.4 s. */
const SPEED = 5;
/** For all that a row waits for, in real time; most need less than a second. */
const WITHIN_MS = 20_000;
/** Virtual time in which a controller that found nothing to do would write what goes behind the addresses. */
const AFTERWARDS_MS = 2500;

interface Row {
  readonly name: string;
  /** Each must hit as often as it says; one without end at least once, and it is taken away after the user's work. */
  readonly faults: readonly Fault[];
  /**
   * running: the fault meets a controller at work; reconnect: its connections break, and the fault meets it when it comes
   * back; restart: the fault meets a controller that starts. The others say themselves what happens.
   */
  readonly how: 'running' | 'reconnect' | 'restart' | 'silence' | 'outage' | 'both lead' | 'takeover';
}

const ENDLESS = Number.POSITIVE_INFINITY;
const hit = (verb: Fault['verb'], path: string, effect: Effect, times = 1): Fault => ({
  ...(verb === undefined ? {} : { verb }),
  ...(path === '' ? {} : { path }),
  times,
  effect,
});
const status = (code: number, more: { readonly retryAfterSeconds?: number; readonly when?: 'after' } = {}): Effect => ({
  kind: 'status',
  status: code,
  ...more,
});
const resetBefore: Effect = { kind: 'reset', when: 'before' };
const resetAfter: Effect = { kind: 'reset', when: 'after' };
const cutAt = (afterBytes: number): Effect => ({ kind: 'reset', when: 'body', afterBytes });
const goneStatus: Effect = { kind: 'gone', how: 'status' };
const goneEvent: Effect = { kind: 'gone', how: 'event' };
const later = { retryAfterSeconds: 2 } as const;
const writes = ['create', 'update', 'patch', 'delete'] as const;

/** Lists come in pages of four here; each kind's first requests after a start are a list and a watch. */
const rows = [
  {
    name: 'lists break in the middle, at the start',
    how: 'restart',
    faults: [hit('list', '/services?', cutAt(300), 2), hit('list', '/ipblocks?', cutAt(300), 2)],
  },
  {
    name: '410 on the second page of a list, at the start',
    how: 'restart',
    faults: [hit('list', 'continue=', goneStatus, 2)],
  },
  { name: '429 on lists, at the start', how: 'restart', faults: [hit('list', '', status(429, later), 6)] },
  { name: '500 on lists, at the start', how: 'restart', faults: [hit('list', '', status(500), 6)] },
  {
    name: 'the new list after a 410 breaks in the middle',
    how: 'reconnect',
    faults: [
      hit('watch', '/services?', goneEvent),
      hit('list', '/services?', cutAt(300)),
      hit('watch', '/ipblocks?', goneStatus),
      hit('list', '/ipblocks?', cutAt(300)),
    ],
  },
  {
    name: '410 on the second page of the new list after a 410',
    how: 'reconnect',
    faults: [hit('watch', '/services?', goneStatus), hit('list', 'continue=', goneStatus, 2)],
  },
  {
    name: 'watches break in the middle of an event',
    how: 'reconnect',
    faults: [hit('watch', '/services?', cutAt(2500), 3), hit('watch', '/ipblocks?', cutAt(200), 3)],
  },
  {
    name: 'watches break between two events',
    how: 'reconnect',
    faults: [hit('watch', '/services?', { kind: 'cut', afterEvents: 1, how: 'reset' }, 4)],
  },
  {
    name: 'watches end after an event',
    how: 'reconnect',
    faults: [hit('watch', '/services?', { kind: 'cut', afterEvents: 1, how: 'end' }, 4)],
  },
  { name: '410 on every watch, as status', how: 'reconnect', faults: [hit('watch', '', goneStatus, 8)] },
  { name: '410 on every watch, as ERROR event', how: 'reconnect', faults: [hit('watch', '', goneEvent, 8)] },
  { name: '429 on every watch', how: 'reconnect', faults: [hit('watch', '', status(429, later), 8)] },
  { name: '500 on every watch', how: 'reconnect', faults: [hit('watch', '', status(500), 8)] },
  {
    name: 'watches go silent',
    how: 'silence',
    faults: [
      hit('watch', '/services?', { kind: 'silent', afterEvents: 1 }),
      hit('watch', '/ipblocks?', { kind: 'silent', afterEvents: 0 }),
    ],
  },
  { name: 'every event comes twice', how: 'reconnect', faults: [hit('watch', '', { kind: 'duplicate' }, ENDLESS)] },
  { name: 'every event comes late', how: 'reconnect', faults: [hit('watch', '', { kind: 'late', ms: 300 }, 5)] },
  { name: 'a status patch is lost', how: 'running', faults: [hit('patch', '/e/status', resetBefore, 2)] },
  { name: "a status patch's answer is lost", how: 'running', faults: [hit('patch', '/e/status', resetAfter)] },
  { name: 'patches of Services are lost', how: 'running', faults: [hit('patch', '/services/', resetBefore, 5)] },
  { name: "patches' answers are lost", how: 'running', faults: [hit('patch', '/services/', resetAfter, 5)] },
  { name: 'block patches are lost', how: 'running', faults: [hit('patch', '/ipblocks/', resetBefore, 4)] },
  { name: "block patches' answers are lost", how: 'running', faults: [hit('patch', '/ipblocks/', resetAfter, 4)] },
  { name: 'creations of blocks are lost', how: 'running', faults: [hit('create', '/ipblocks', resetBefore, 2)] },
  { name: "block creations' answers are lost", how: 'running', faults: [hit('create', '/ipblocks', resetAfter, 2)] },
  { name: 'a block deletion is lost', how: 'running', faults: [hit('delete', '/ipblocks/', resetBefore)] },
  { name: "a block deletion's answer is lost", how: 'running', faults: [hit('delete', '/ipblocks/', resetAfter)] },
  {
    name: 'the release of an old address is lost, and so are the reads that would tell',
    how: 'running',
    faults: [hit('patch', '/ipblocks/10.60.2.0-24', resetBefore), hit('get', '/ipblocks/10.60.2.0-24', resetBefore, 6)],
  },
  { name: '429 on patches', how: 'running', faults: [hit('patch', '', status(429, later), 8)] },
  { name: '500 on patches', how: 'running', faults: [hit('patch', '', status(500), 8)] },
  {
    name: '500 on patches that took effect',
    how: 'running',
    faults: [hit('patch', '', status(500, { when: 'after' }), 8)],
  },
  { name: '500 on creations', how: 'running', faults: [hit('create', '/ipblocks', status(500), 3)] },
  { name: 'conflict on every write', how: 'running', faults: [hit(writes, '', status(409), 40)] },
  {
    name: 'every answer comes byte by byte',
    how: 'reconnect',
    faults: [hit(undefined, '', { kind: 'split' }, ENDLESS)],
  },
  { name: 'the API server is killed and started again', how: 'outage', faults: [] },
  { name: 'two controllers lead at once', how: 'both lead', faults: [] },
  { name: 'a leader is cut off in its work, and a standby takes over', how: 'takeover', faults: [] },
] as const satisfies readonly Row[];

// Each server waits most of the time: the two go side by side.
suite('one fault at a time', { concurrency: true }, () => {
  for (const { name, start } of apis) {
    test(`before ${name}`, { timeout: 600_000 }, async (t) => {
      const api = await start(t);
      if (api === undefined) return;
      const world = await createWorld(t, api);
      try {
        for (const [index, row] of rows.entries()) await t.test(row.name, () => play(world, row, `row${index}`));
      } finally {
        await stopAll(world); // before the server and the proxy go
        await world.ledger.close();
      }
    });
  }
});

interface World {
  readonly api: Api;
  readonly proxy: FaultProxy;
  /** The user's way to the server: no fault is on it. */
  readonly user: Client;
  readonly clock: FastClock;
  readonly ledger: Ledger;
  /** Who leads, from one row to the next: the fresh one of the row before. */
  controllers: Controller[];
}

async function createWorld(t: TestContext, api: Api): Promise<World> {
  const user = api.client();
  const crds = await readManifests(await crdFiles(), fakeTerminal());
  await putAll(user, crds, never);
  const pool = {
    apiVersion: 'metallb.io/v1beta1',
    kind: 'IPAddressPool',
    metadata: { name: 'default', namespace: 'metallb-system' },
    spec: { addresses: ['10.60.0.0/22'] },
  };
  // A kind is served a moment after its definition was taken.
  await until('the pool is taken', async () => {
    const refused = await putAll(user, [pool], never).then(
      () => undefined,
      (error: Error) => error.message,
    );
    return refused;
  });
  const proxy = await faultProxy(t, api);
  return { api, proxy, user, clock: createFastClock(), ledger: createLedger(api), controllers: [] };
}

/** Serves, meets the fault while the user works, converges, is checked, and leaves nothing behind. */
async function play(world: World, { how, faults }: Row, namespace: string): Promise<void> {
  const { proxy, user, ledger } = world;
  const before = proxy.faults.hits.length;
  const hits = () => proxy.faults.hits.length - before;
  const arm = () => {
    for (const fault of faults) proxy.faults.add(fault);
  };
  const worker = userOf(user, namespace);
  ledger.forget(); // a failed row tells for itself
  try {
    await ensureOne(world);
    await worker.prepare();
    await until('all are served at the start', () => problem(world, namespace, atFirst));
    ledger.excused.add((await worker.read('d')).metadata.uid);
    await drives[how](world, worker, arm, hits);
    for (const { times = 1, effect } of faults) {
      if (times === ENDLESS) await until(`${effect.kind} is met`, async () => (hits() > 0 ? undefined : 'no hit'));
    }
    const expected = faults.reduce((sum, { times = 1 }) => sum + (times === ENDLESS ? 0 : times), 0);
    await until('all is well', async () => {
      const missing = hits() < expected ? `${hits()} of ${expected} faults hit` : undefined;
      return missing ?? (await problem(world, namespace, atLast)) ?? (await idle(world.controllers));
    });
    for (const { effect, path = '', verb } of faults) {
      const isHit = proxy.faults.hits.slice(before).some((one) => one.effect === effect && one.path.includes(path));
      assert.ok(isHit, `${verb} ${path} was hit`);
    }
    proxy.faults.clear();
    await checkFresh(world, namespace);
    assert.deepEqual(ledger.twice, [], 'no address is given twice');
    assert.deepEqual(ledger.moved, [], 'no published address changes or goes');
  } finally {
    proxy.faults.clear();
    await proxy.accept();
    await world.api.start();
    await worker.removeAll(); // also after a failure: the next row has nothing to do with it
  }
  await ensureOne(world);
  await until('all is given back', () => problem(world, namespace, []));
}

type Drive = (world: World, user: User, arm: () => void, hits: () => number) => Promise<void>;

const drives: Readonly<Record<Row['how'], Drive>> = {
  async running(_, user, arm) {
    arm();
    await user.work();
    await user.moreWork();
  },
  async reconnect({ proxy }, user, arm) {
    arm();
    await proxy.refuse();
    await user.work();
    await proxy.accept();
    await user.moreWork();
  },
  async restart(world, user, arm) {
    await stopAll(world);
    arm();
    await user.work();
    start(world);
    await user.moreWork();
  },
  async silence({ proxy, clock }, user, arm, hits) {
    arm();
    await proxy.refuse();
    await proxy.accept();
    await until('the watches are silent', async () => (hits() === 2 ? undefined : `${hits()} are`));
    await user.work();
    await user.moreWork();
    clock.endSilence();
  },
  async outage({ api }, user) {
    await user.work();
    await api.kill();
    await api.start();
    // The user's connections broke, too: the first request on each tells, and must not be one that counts.
    await until('the user is connected again', () =>
      user.read('b').then(
        () => undefined,
        (error: Error) => error.message,
      ),
    );
    await user.moreWork();
  },
  async 'both lead'(world, user) {
    await stopAll(world);
    const both = [start(world, { alone: true }), start(world, { alone: true })];
    await until('both lead', async () => (both.every((one) => one.leads()) ? undefined : 'not yet'));
    await user.work();
    await user.moreWork();
  },
  async takeover(world, user) {
    const [first] = world.controllers as [Controller];
    const standby = start(world);
    await user.work();
    first.cut();
    await user.moreWork();
    await until('the standby leads', async () => (standby.leads() ? undefined : 'not yet'));
    world.controllers = [standby];
    await first.stop();
  },
};

// The user.

interface User {
  /** What is served before the fault. */
  prepare(): Promise<void>;
  work(): Promise<void>;
  moreWork(): Promise<void>;
  removeAll(): Promise<void>;
  read(name: string): Promise<Service>;
}

interface Expected {
  readonly name: string;
  /** Absent: any of the pool; 'refused': none, and the condition says why. */
  readonly address?: string;
}
const atFirst: readonly Expected[] = [
  { name: 'a' },
  { name: 'b' },
  { name: 'c' },
  { name: 'd', address: '10.60.2.7' },
  { name: 'h', address: '10.60.0.200' },
];
const atLast: readonly Expected[] = [
  { name: 'b' },
  { name: 'c' },
  { name: 'd', address: '10.60.3.9' },
  { name: 'e' },
  { name: 'f' },
  { name: 'g', address: 'refused' },
  { name: 'h', address: '10.60.0.200' },
  { name: 'i', address: '10.60.0.200' },
  { name: 'j', address: '10.60.1.5' },
  { name: 'k' },
];

const IPS = 'metallb.io/loadBalancerIPs';
const SHARED = 'metallb.io/allow-shared-ip';

function userOf(client: Client, namespace: string): User {
  const path = (name?: string) => pathOf(resources.services, { namespace, ...(name === undefined ? {} : { name }) });
  const create = async (name: string, annotations = {}, port = 80): Promise<void> => {
    const spec = {
      type: 'LoadBalancer',
      allocateLoadBalancerNodePorts: false,
      selector: { app: 'x' },
      ports: [{ port }],
    };
    const body = { metadata: { name, annotations }, spec };
    await client.call({ method: 'POST', path: path(), body, signal: never });
  };
  const remove = async (name: string): Promise<void> => {
    await client.call({ method: 'DELETE', path: path(name), signal: never });
  };
  return {
    async prepare() {
      const body = { metadata: { name: namespace } };
      await client.call({ method: 'POST', path: '/api/v1/namespaces', body, signal: never });
      for (const name of ['a', 'b', 'c']) await create(name);
      await create('d', { [IPS]: '10.60.2.7' });
      await create('h', { [IPS]: '10.60.0.200', [SHARED]: 'k' });
    },
    async work() {
      await create('e');
      await remove('a');
      const body = { metadata: { annotations: { [IPS]: '10.60.3.9' } } };
      const contentType = 'application/merge-patch+json';
      await client.call({ method: 'PATCH', path: path('d'), body, contentType, signal: never });
      await create('f');
      await create('x');
    },
    async moreWork() {
      await create('g', { [IPS]: '203.0.113.9' });
      await create('i', { [IPS]: '10.60.0.200', [SHARED]: 'k' }, 81);
      await create('j', { [IPS]: '10.60.1.5' });
      await remove('x');
      await create('k');
    },
    async removeAll() {
      const { items } = await client.call<{ items: readonly Service[] }>({
        method: 'GET',
        path: path(),
        signal: never,
      });
      for (const { metadata } of items) await remove(metadata.name);
    },
    read: (name) => client.call<Service>({ method: 'GET', path: path(name), signal: never }),
  };
}

// What must hold.

interface Block {
  readonly spec: {
    readonly addresses?: Readonly<Record<string, { readonly users?: readonly { readonly name: string }[] }>>;
  };
}
interface Pool {
  readonly status?: { readonly assignedIPv4?: number };
}

/** Undefined when exactly these Services are there, served as they should be, and blocks and pool say the same. */
async function problem({ user }: World, namespace: string, expected: readonly Expected[]): Promise<string | undefined> {
  const read = async <T>(path: string) => await user.call<T>({ method: 'GET', path, signal: never });
  const { items } = await read<{ items: readonly Service[] }>(pathOf(resources.services, { namespace }));
  const names = items.map(({ metadata }) => metadata.name).sort();
  if (names.join() !== expected.map(({ name }) => name).join()) return `Services: ${names}`;
  const published = new Map<string, string[]>();
  for (const { name, address } of expected) {
    const service = items.find(({ metadata }) => metadata.name === name) as Service;
    const shown = addressesOf(service);
    if (address === 'refused') {
      if (shown.length > 0) return `${name} shows ${shown}`;
      const serving = service.status?.conditions?.find(({ type }) => type === 'LoadBalancerServing');
      if (serving?.status !== 'False' || !serving.message?.includes('203.0.113.9')) return `${name} has no reason`;
      continue;
    }
    if (shown.length !== 1 || (address !== undefined && shown[0] !== address)) return `${name} shows ${shown}`;
    for (const one of shown) published.set(one, [...(published.get(one) ?? []), name].sort());
  }
  const { items: blocks } = await read<{ items: readonly Block[] }>('/apis/fairlead.dev/v1alpha1/ipblocks');
  const reserved = blocks.flatMap(({ spec }) =>
    Object.entries(spec.addresses ?? {}).map(
      ([address, { users = [] }]) => [address, users.map(({ name }) => name).sort()] as const,
    ),
  );
  const [inBlocks, inServices] = [reserved, [...published]].map((all) => JSON.stringify([...all].sort()));
  if (inBlocks !== inServices) return `blocks ${inBlocks}, Services ${inServices}`;
  if (blocks.some(({ spec }) => Object.keys(spec.addresses ?? {}).length === 0)) return 'an empty block is left';
  const pool = await read<Pool>('/apis/metallb.io/v1beta1/namespaces/metallb-system/ipaddresspools/default');
  const { assignedIPv4 = 0 } = pool.status ?? {};
  return assignedIPv4 === published.size ? undefined : `the pool counts ${assignedIPv4} of ${published.size}`;
}

/** Undefined when somebody leads and nobody has work, neither waiting nor under way. */
async function idle(controllers: readonly Controller[]): Promise<string | undefined> {
  const leading = controllers.filter((one) => one.leads());
  if (leading.length === 0) return 'nobody leads';
  for (const one of leading) {
    const busy = await one.busy();
    if (busy !== undefined) return busy;
  }
  return undefined;
}

/** Whoever starts now looks at everything and writes nothing but the Lease. */
async function checkFresh(world: World, namespace: string): Promise<void> {
  await stopAll(world);
  const fresh = start(world);
  await until('the fresh controller is idle', async () => {
    return (await fresh.works()) ? await fresh.busy() : 'it does not work yet';
  });
  await world.clock.sleep(AFTERWARDS_MS, never);
  assert.equal(await fresh.busy(), undefined);
  // Why a Service waits is told once by each process: events are gone after an hour.
  const written = fresh.writes.filter((write) => !isToldRefusal(write));
  assert.deepEqual(written, [], 'a fresh controller on the final objects writes nothing but the Lease');
  assert.equal(await problem(world, namespace, atLast), undefined);
}

const isToldRefusal = (write: string): boolean =>
  write.startsWith('POST ') && write.includes('/events?') && write.includes('LoadBalancerFailed');

interface Ledger {
  /** Uids of Services whose address the user changes. */
  readonly excused: Set<string>;
  readonly twice: readonly string[];
  readonly moved: readonly string[];
  forget(): void;
  close(): Promise<void>;
}

/** Sees every version of every Service, on its own connection. */
function createLedger(api: Api): Ledger {
  const store = createStore<Service>();
  const stop = new AbortController();
  const [twice, moved]: [string[], string[]] = [[], []];
  const excused = new Set<string>();
  store.onChange((old, now) => {
    if (now === undefined) return;
    const [before, shown] = [old?.metadata.uid === now.metadata.uid ? addressesOf(old) : [], addressesOf(now)];
    const isOver = now.metadata.deletionTimestamp !== undefined || excused.has(now.metadata.uid);
    if (before.length > 0 && before.join() !== shown.join() && !isOver)
      moved.push(`${keyOf(now)}: ${before} to ${shown.join() || 'none'}`);
    for (const other of store.values()) {
      const key = now.metadata.annotations?.[SHARED];
      const shares = key !== undefined && key === other.metadata.annotations?.[SHARED];
      // Who is being deleted gave it back, and shows it until its finalizer goes.
      const isGoing = [now, other].some(({ metadata }) => metadata.deletionTimestamp !== undefined);
      if (other.metadata.uid === now.metadata.uid || shares || isGoing) continue;
      for (const address of addressesOf(other)) if (shown.includes(address)) suspect(address, now, other);
    }
  });
  /** A new list brings what is new before it takes away what is gone, all in one turn. */
  function suspect(address: string, now: Service, other: Service): void {
    setImmediate(() => {
      const isThere = store.get(keyOf(other))?.metadata.uid === other.metadata.uid;
      if (isThere) twice.push(`${address}: ${keyOf(now)} and ${keyOf(other)}`);
    });
  }
  const run = createReflector({
    client: api.client(),
    resource: resources.services,
    store,
    clock: systemClock,
    random: Math.random,
    log: quiet,
    backoff: { baseMs: 20, capMs: 500 },
  }).run(stop.signal);
  const close = async (): Promise<void> => {
    stop.abort();
    await run;
  };
  const forget = (): void => {
    twice.length = 0;
    moved.length = 0;
  };
  return { excused, twice, moved, forget, close };
}

const addressesOf = ({ status: { loadBalancer } = {} }: Service): readonly string[] =>
  (loadBalancer?.ingress ?? []).flatMap(({ ip }) => (ip === undefined ? [] : [ip]));

// The controllers.

interface Controller {
  /** What it sent, answered or not, the Lease left out. */
  readonly writes: readonly string[];
  leads(): boolean;
  /** Undefined, or what it is at. */
  busy(): Promise<string | undefined>;
  /** It leads, its provider has started, and it has taken up what a start finds. */
  works(): Promise<boolean>;
  /** Nothing that it sends gets through any more. */
  cut(): void;
  stop(): Promise<void>;
}

async function ensureOne(world: World): Promise<void> {
  if (world.controllers.length > 1) await stopAll(world);
  if (world.controllers.length === 0) start(world);
}

async function stopAll(world: World): Promise<void> {
  const all = world.controllers;
  world.controllers = [];
  await Promise.all(all.map((one) => one.stop()));
}

let started = 0;

/** A controller behind the proxy. When it loses its lease it ends, and another takes its place, as after a real one. */
function start(world: World, { alone = false } = {}): Controller {
  const { proxy, clock } = world;
  const sent: string[] = [];
  const stop = new AbortController();
  let isCut = false;
  let leader: ReturnType<typeof createLeader> | undefined;
  let metrics: Metrics = createMetrics();
  const through = proxy.transport();
  const transport: Transport = {
    async send(request) {
      if (isCut) throw connectionError('ECONNRESET');
      const { method, path } = request;
      if (method !== 'GET' && !path.includes('/leases')) sent.push(`${method} ${path} ${request.body ?? ''}`);
      return await through.send({ ...request, path: path.replace('limit=500', 'limit=4') });
    },
    close: () => through.close(),
  };
  const once = async (): Promise<End> => {
    started += 1;
    const identity = `p${started}_1`;
    metrics = createMetrics({ provider: 'onprem' });
    leader = createLeader({
      client: createClient({ transport, clock }),
      clock,
      random: Math.random,
      log: quiet,
      metrics,
      module: onprem,
      providerConfig: { identity: `p${started}` },
      cluster: 'test',
      identity,
      ...(alone ? {} : { lease }),
      service: { defaultClass: false, driftCheckPeriodMs: 600_000, deleteOrphans: false, takeoverFieldManagers: [] },
    });
    return await leader.run(stop.signal);
  };
  const running = (async () => {
    while ((await once()) === 'lost' && !isCut && !stop.signal.aborted);
  })();
  running.catch(() => stop.abort()); // `stop` tells
  const metricOf = async (name: string): Promise<number> => {
    const lines = (await metrics.text()).split('\n').filter((line) => line.startsWith(`${name}{`));
    return lines.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' '))), 0);
  };
  const controller: Controller = {
    writes: sent,
    leads: () => !isCut && leader?.leads() === true,
    async busy() {
      const [waiting, working] = [
        await metricOf('workqueue_depth'),
        await metricOf('workqueue_unfinished_work_seconds'),
      ];
      return waiting === 0 && working === 0 ? undefined : `${waiting} keys wait, ${working} s of work`;
    },
    // One Service is refused: it is looked at again by whoever starts.
    works: async () =>
      (await metricOf('running_managed_controllers')) > 0 && (await metricOf('workqueue_adds_total')) > 0,
    cut() {
      isCut = true;
    },
    async stop() {
      stop.abort(new Error('SIGTERM'));
      await running;
      through.close();
    },
  };
  world.controllers.push(controller);
  return controller;
}

const lease = {
  namespace: 'kube-system',
  name: 'fairlead-controller',
  leaseDurationMs: 15_000,
  renewDeadlineMs: 10_000,
  retryPeriodMs: 2000,
};
const quiet: Log = { debug() {}, info() {}, warn() {}, error() {} };
const never = new AbortController().signal;

interface FastClock extends Clock, Timers {
  /** The limits of all watches that stand are over now: the five minutes after which one that says nothing is given up. */
  endSilence(): void;
}

function createFastClock(): FastClock {
  const [startMs, startWallMs] = [performance.now(), Date.now()];
  const limits = new Set<() => void>(); // of watches
  const monotonicMs = () => (performance.now() - startMs) * SPEED;
  const clock: FastClock = {
    now: () => startWallMs + monotonicMs(),
    monotonicMs,
    sleep: (ms, signal) => sleepOn(clock, ms, signal),
    after(ms, run) {
      if (!isLimitOfWatch(ms)) return systemClock.after(ms / SPEED, run);
      limits.add(run);
      return () => void limits.delete(run);
    },
    endSilence() {
      const all = [...limits];
      limits.clear();
      for (const run of all) run();
    },
  };
  return clock;
}

/** 290 s, less up to 10 %, and 15 s of grace. */
const isLimitOfWatch = (ms: number): boolean => ms >= 276_000 && ms <= 305_000 && ms !== 300_000;

/** Asks until there is no problem any more. Rejects with the last one. */
async function until(what: string, problemNow: () => Promise<string | undefined>): Promise<void> {
  const end = performance.now() + WITHIN_MS;
  for (;;) {
    const wrong = await problemNow().catch((error: unknown) => String(error));
    if (wrong === undefined) return;
    if (performance.now() > end) assert.fail(`never: ${what}: ${wrong}`);
    await sleep(20);
  }
}
