/**
 * What no injected clock can show: controllers that are processes, signals that the kernel delivers, and an API server
 * that is killed. Each case has a lease of its own and finds no Service; what it leaves is checked and cleared.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { crdFiles } from '../../src/cli/assets.ts';
import { readManifests } from '../../src/cli/manifest.ts';
import { putAll } from '../../src/cli/world.ts';
import type { KubeObject, Lease, Service } from '../../src/core/objects.ts';
import { createReflector } from '../../src/kube/reflector.ts';
import { type Client, isAlreadyExists, isApiError, isNotFound, type Sent } from '../../src/kube/request.ts';
import { resources } from '../../src/kube/resource.ts';
import { createStore } from '../../src/kube/store.ts';
import type { Effect } from '../../src/sandbox/api/faults.ts';
import { systemClock } from '../../src/work/clock.ts';
import { fakeTerminal } from '../cli/terminal.ts';
import { ask } from '../kube/ask.ts';
import { type Api, apis } from '../kube/cluster.ts';
import { guarded } from '../kube/guard.ts';
import { faultProxy } from '../kube/proxy.ts';
import { type ControllerProcess, shortLease, startControllerProcess, until } from './controller-process.ts';

interface World {
  readonly api: Api;
  readonly user: Client;
  readonly witness: Witness;
  readonly leaseName: string;
  /** A controller that competes for the case's lease. */
  start(
    name: string,
    how?: { readonly kubeconfig?: string; readonly lease?: typeof shortLease },
  ): Promise<ControllerProcess>;
}

interface Case {
  readonly name: string;
  /** Also on the sandbox, which is quick: it is killed and started in this process. */
  readonly onSandbox?: true;
  readonly run: (world: World) => Promise<void>;
}

const SERVICES = '/api/v1/namespaces/default/services';
const BLOCKS = '/apis/fairlead.dev/v1alpha1/ipblocks';
const POOLS = '/apis/metallb.io/v1beta1/namespaces/metallb-system/ipaddresspools';
const EVENTS = '/api/v1/namespaces/default/events';

const cases: readonly Case[] = [
  {
    name: 'of two controllers that start together one leads, and every Service is addressed once',
    async run(world) {
      const early = create(world, names('early', 20));
      const both = await Promise.all([world.start('a'), world.start('b')]);
      await early;
      await create(world, ['elsewhere'], { 'metallb.io/loadBalancerIPs': '203.0.113.9' });
      await create(world, names('late', 20));
      await served(world, 40);
      await until('the one in no pool is told why', async () =>
        (await servicesOf(world.api)).some((service) => reasonOf(service) !== ''),
      );
      const [leader, standby] = await leaderOf(both);
      await standby.untilSaid('waiting for the lease');
      assert.equal(standby.said('leading'), false);
      await stopped(leader);
    },
  },
  {
    name: 'SIGKILL of the leader: the standby serves what comes next, and what stands stays as it is',
    async run(world) {
      const [leader, standby] = await pair(world);
      await create(world, names('old', 20));
      await served(world, 20);
      await leader.untilIdle();
      const before = await stateOf(world, SERVICES);
      leader.signal('SIGKILL');
      assert.equal(await leader.end(), 'SIGKILL');
      await create(world, names('new', 10));
      await served(world, 30);
      await standby.untilIdle();
      const after = await stateOf(world, SERVICES);
      assert.deepEqual(
        after.filter((line) => before.includes(line)),
        before,
        'the takeover wrote to no Service that was served',
      );
    },
  },
  {
    name: 'SIGTERM of the leader gives the lease back: the standby need not wait for its end',
    async run(world) {
      const lease = { ...shortLease, durationMs: 600_000 }; // nobody could wait for this one
      const [leader, standby] = await pair(world, { lease });
      const holders = await holdersOf(world);
      try {
        await create(world, names('old', 10));
        await served(world, 10);
        await stopped(leader);
        await create(world, names('new', 10));
        await served(world, 20);
        assert.ok(standby.said('leading'));
        await until('the new holder is seen', () => holders.seen.length === 3);
      } finally {
        await holders.stop();
      }
      const [first, between, second] = holders.seen;
      assert.equal(between, '');
      assert.ok(first !== '' && second !== '' && first !== second, `holders: ${holders.seen.join(', ')}`);
    },
  },
  {
    name: 'SIGSTOP past the lease: what the old leader had begun is refused, it begins nothing more, and exits 1',
    run: deposedWithRequestsUnderWay,
  },
  {
    name: 'SIGSTOP in the middle of 100 creates: the standby serves them all, and SIGCONT changes nothing',
    async run(world) {
      const [leader, standby] = await pair(world);
      const creating = create(world, names('s', 100));
      await until('10 are served', () => world.witness.addressed() >= 10);
      leader.signal('SIGSTOP');
      await creating;
      await served(world, 100);
      await standby.untilIdle();
      const before = await stateOf(world, SERVICES, BLOCKS);
      leader.signal('SIGCONT');
      assert.equal(await leader.end(), 'exit 1');
      assert.ok(leader.said('leadership lost'));
      assert.deepEqual(await stateOf(world, SERVICES, BLOCKS), before);
    },
  },
  {
    name: 'SIGKILL in the middle of 200 creates and 20 deletes: a fresh controller leaves no address twice and none lost',
    async run(world) {
      const crashed = await world.start('crashed');
      await crashed.untilSaid('leading');
      const all = names('s', 200);
      const creating = create(world, all);
      await until('20 are served', () => world.witness.addressed() >= 20);
      const removing = remove(world, all.slice(0, 20));
      await until('60 are served', () => world.witness.addressed() >= 60);
      crashed.signal('SIGKILL');
      await Promise.all([creating, removing]);
      const heir = await world.start('heir');
      await served(world, 180);
      await untilPoolShows(world, 180);
      await heir.untilIdle();
      await stopped(heir);
      await checkFresh(world);
    },
  },
  {
    name: 'an API server killed and started within the renew deadline: the same process goes on',
    onSandbox: true,
    async run(world) {
      const lease = { durationMs: 90_000, renewMs: 60_000, retryMs: 500 }; // a real one takes seconds to start
      const controller = await world.start('steady', { lease });
      await create(world, names('old', 10));
      await served(world, 10);
      await world.api.kill();
      await world.api.start();
      await create(world, names('new', 10));
      await served(world, 20);
      assert.equal(controller.said('leadership lost'), false);
      await stopped(controller);
    },
  },
  {
    name: 'an API server killed for longer than the renew deadline: the process exits 1, the next one goes on',
    onSandbox: true,
    async run(world) {
      const first = await world.start('first');
      await create(world, names('old', 10));
      await served(world, 10);
      await first.untilIdle();
      await untilPoolShows(world, 10);
      const before = await stateOf(world, SERVICES, BLOCKS);
      await world.api.kill();
      assert.equal(await first.end(), 'exit 1');
      assert.ok(first.said('leadership lost'));
      await world.api.start();
      const second = await world.start('second');
      await second.untilIdle();
      assert.deepEqual(await stateOf(world, SERVICES, BLOCKS), before);
      await create(world, names('new', 10));
      await served(world, 20);
    },
  },
  {
    name: 'a restart with 100 served Services writes nothing but the Lease',
    async run(world) {
      const first = await world.start('first');
      await create(world, names('s', 100));
      await served(world, 100);
      await untilPoolShows(world, 100);
      await first.untilIdle();
      await stopped(first);
      await checkFresh(world);
    },
  },
  {
    name: 'SIGTERM in the middle of 100 creates: exit 0 in time, and what was reserved by then is what is shown later',
    async run(world) {
      const first = await world.start('first');
      await first.untilSaid('leading');
      const creating = create(world, names('s', 100));
      await until('20 are served', () => world.witness.addressed() >= 20);
      await stopped(first);
      // Reserved before it is shown: what was cut off between the two is kept for the same Service.
      const kept = await reserved(world.api);
      assert.deepEqual(
        missing(published(await servicesOf(world.api)), kept),
        [],
        'nothing is shown that is not reserved',
      );
      await creating;
      const second = await world.start('second');
      await served(world, 100);
      await untilPoolShows(world, 100);
      assert.deepEqual(missing(kept, published(await servicesOf(world.api))), []);
      await second.untilIdle();
      await stopped(second);
      await checkFresh(world);
    },
  },
];

/** Two writes of the old leader are on their way while it stands still, and arrive after the new one has written. */
async function deposedWithRequestsUnderWay(world: World): Promise<void> {
  const ends: (() => void | Promise<void>)[] = [];
  const proxy = await faultProxy({ after: (end) => void ends.push(end) }, world.api);
  try {
    const writes = ['create', 'update', 'patch', 'delete'] as const;
    const old = await world.start('old', { kubeconfig: proxy.kubeconfig });
    await old.untilSaid('leading');
    const heir = await world.start('heir');
    await heir.untilSaid('waiting for the lease');
    await create(world, names('before', 5));
    await served(world, 5);
    await old.untilIdle();

    const held: Effect = { kind: 'delay', ms: 9000 }; // the lease, and what the heir needs to serve
    const hit = (effect: Effect) => proxy.faults.hits.filter((one) => one.effect === effect).length;
    proxy.faults.add({ verb: 'patch', path: '/services/half/status', effect: held });
    await create(world, ['half']);
    await until('the status is on its way', () => hit(held) === 1);
    proxy.faults.add({ verb: ['patch', 'create'], path: '/ipblocks', effect: held });
    await create(world, ['none']);
    await until('the block is on its way', () => hit(held) === 2);
    const arrivesMs = performance.now() + 9000;
    old.signal('SIGSTOP');

    await create(world, names('after', 20));
    await remove(world, ['before-0']);
    await served(world, 26);
    await heir.untilIdle();
    assert.ok(heir.said('leading'));
    const before = await stateOf(world, SERVICES, BLOCKS);
    // The pause itself, which is longer than the lease: until what was held has come to the API server.
    await until('the held requests have arrived', () => performance.now() > arrivesMs + 500);
    assert.deepEqual(await stateOf(world, SERVICES, BLOCKS), before, 'what was under way was refused');

    const late: Effect = { kind: 'delay', ms: 0 };
    proxy.faults.add({ verb: writes, times: Number.POSITIVE_INFINITY, effect: late });
    old.signal('SIGCONT');
    assert.equal(await old.end(), 'exit 1');
    assert.ok(old.said('leadership lost'));
    const sent = proxy.faults.hits
      .filter(({ effect }) => effect === late)
      .map(({ method, path }) => `${method} ${path}`);
    assert.deepEqual(sent, [], 'after SIGCONT it sent no write');
    assert.deepEqual(await stateOf(world, SERVICES, BLOCKS), before);
  } finally {
    for (const end of ends) await end();
  }
}

for (const { name, start } of apis) {
  test(`processes on ${name}`, { timeout: 600_000 }, async (t) => {
    const api = await start(t);
    if (api === undefined) return;
    const user = api.client();
    await prepare(user);
    for (const [index, one] of cases.entries()) {
      if (name === 'sandbox' && one.onSandbox !== true) continue;
      await t.test(one.name, async () => {
        const guard = guarded('fairlead-faults-');
        const witness = await watchServices(api);
        const leaseName = `case-${index}`;
        try {
          await one.run({
            api,
            user,
            witness,
            leaseName,
            start: (as, { kubeconfig = api.kubeconfig, lease = shortLease } = {}) =>
              startControllerProcess(guard, as, kubeconfig, leaseName, lease),
          });
          await checkInvariants(api, witness);
        } finally {
          await guard.close();
          await witness.stop();
          await api.start();
          await clear(api, user);
        }
      });
    }
  });
}

/** One /24, so that all Services meet in one block: the most conflicts that there can be. */
async function prepare(user: Client): Promise<void> {
  const { signal } = fakeTerminal();
  await putAll(user, await readManifests(await crdFiles(), fakeTerminal()), signal);
  const pool = {
    apiVersion: 'metallb.io/v1beta1',
    kind: 'IPAddressPool',
    metadata: { name: 'default', namespace: 'metallb-system' },
    spec: { addresses: ['10.50.0.0/24'] },
  };
  await until('the kinds are served', () =>
    putAll(user, [pool], signal).then(
      () => true,
      () => false, // 404 until the API server has taken up the CRD
    ),
  );
  await until('blocks are served', () =>
    user.call({ method: 'GET', path: BLOCKS, signal }).then(
      () => true,
      () => false,
    ),
  );
}

async function clear(api: Api, user: Client): Promise<void> {
  const services = (await servicesOf(api)).map(({ metadata }) => metadata.name);
  await inParallel(services, async (name) => {
    const body = { metadata: { finalizers: null } };
    await gone(user, { method: 'PATCH', path: `${SERVICES}/${name}`, body, contentType: MERGE, signal: never });
    await gone(user, { method: 'DELETE', path: `${SERVICES}/${name}`, signal: never });
  });
  for (const { metadata } of await itemsOf(api, BLOCKS))
    await gone(user, { method: 'DELETE', path: `${BLOCKS}/${metadata.name}`, signal: never });
  assert.deepEqual(await servicesOf(api), []);
}

// --- what must always hold ---

async function checkInvariants(api: Api, witness: Witness): Promise<void> {
  const services = await servicesOf(api);
  const unexplained = services.filter((service) => addressesOf(service).length === 0 && reasonOf(service) === '');
  assert.deepEqual(
    unexplained.map(({ metadata }) => metadata.name),
    [],
    'a Service without an address says why',
  );
  const addresses = services.flatMap(addressesOf);
  assert.deepEqual(addresses.toSorted(), [...new Set(addresses)].toSorted(), 'no address is given twice');
  assert.deepEqual(await reserved(api), published(services), 'blocks equal what is published');
  assert.deepEqual(witness.wrongs, [], 'at no time was an address given twice, changed or taken away');
}

/** A fresh controller finds nothing to write but its Lease. */
async function checkFresh(world: World): Promise<void> {
  const paths = [SERVICES, BLOCKS, POOLS, EVENTS];
  const before = await stateOf(world, ...paths);
  const fresh = await world.start('fresh');
  await fresh.untilIdle();
  const { GET = 0, PUT = 0, ...others } = await fresh.requests();
  assert.ok(GET > 0 && PUT > 0, 'its requests were counted');
  assert.deepEqual(others, {}, 'it wrote nothing but the Lease');
  await stopped(fresh); // with all events told
  assert.deepEqual(await stateOf(world, ...paths), before);
}

const addressesOf = ({ status }: Service): readonly string[] =>
  (status?.loadBalancer?.ingress ?? []).flatMap(({ ip }) => (ip === undefined ? [] : [ip]));

const reasonOf = ({ status }: Service): string =>
  status?.conditions?.find(({ type, status: is }) => type === 'LoadBalancerServing' && is === 'False')?.reason ?? '';

const published = (services: readonly Service[]): readonly string[] =>
  services
    .flatMap((service) => addressesOf(service).map((ip) => `${ip} ${service.metadata.name} ${service.metadata.uid}`))
    .sort();

const missing = (some: readonly string[], all: readonly string[]): readonly string[] =>
  some.filter((one) => !all.includes(one));

async function reserved(api: Api): Promise<readonly string[]> {
  interface User {
    readonly name: string;
    readonly uid: string;
  }
  interface Block extends KubeObject {
    readonly spec: { readonly addresses?: Readonly<Record<string, { readonly users?: readonly User[] }>> };
  }
  const blocks = (await itemsOf(api, BLOCKS)) as readonly Block[];
  return blocks
    .flatMap(({ spec }) => Object.entries(spec.addresses ?? {}))
    .flatMap(([ip, { users = [] }]) => users.map(({ name, uid }) => `${ip} ${name} ${uid}`))
    .sort();
}

interface Witness {
  /** Services with an address now. */
  addressed(): number;
  /** Services of type LoadBalancer now. */
  services(): number;
  /** What must never happen and did. */
  readonly wrongs: readonly string[];
  stop(): Promise<void>;
}

/** Sees every version of every Service, also between two looks of a test. */
async function watchServices(api: Api): Promise<Witness> {
  const shown = new Map<string, string>(); // uid -> address
  const wrongs: string[] = [];
  const { store, stop } = await watched<Service>(api, resources.services, (old, now) => {
    if (now === undefined) {
      if (old !== undefined) shown.delete(old.metadata.uid);
      return;
    }
    const { name, uid, deletionTimestamp } = now.metadata;
    const address = addressesOf(now).join();
    const before = shown.get(uid);
    if (deletionTimestamp !== undefined) {
      shown.delete(uid); // it may give its address back before it goes
      return;
    }
    if (before !== undefined && before !== address) wrongs.push(`${name}: ${before}, then ${address || 'none'}`);
    if (address === '' || before === address) return;
    if ([...shown.values()].includes(address)) wrongs.push(`${name}: ${address} is another's`);
    shown.set(uid, address);
  });
  return {
    addressed: () => store.list().filter((service) => addressesOf(service).length > 0).length,
    services: () => store.list().filter(isOurs).length,
    wrongs,
    stop,
  };
}

async function holdersOf({
  api,
  leaseName,
}: World): Promise<{ readonly seen: readonly string[]; readonly stop: () => Promise<void> }> {
  const seen: string[] = [];
  const { stop } = await watched<Lease>(
    api,
    resources.leases,
    (_, now) => {
      const holder = now?.spec?.holderIdentity ?? '';
      if (seen.at(-1) !== holder) seen.push(holder);
    },
    { namespace: 'kube-system', fieldSelector: `metadata.name=${leaseName}` },
  );
  return { seen, stop };
}

async function watched<T extends KubeObject>(
  api: Api,
  resource: (typeof resources)[keyof typeof resources],
  onChange: (old: T | undefined, now: T | undefined) => void,
  selection: { readonly namespace?: string; readonly fieldSelector?: string } = {},
) {
  const stop = new AbortController();
  const store = createStore<T>(); // an error of onChange is a warning of this process
  store.onChange(onChange);
  const running = createReflector({
    client: api.client(),
    resource,
    store,
    clock: systemClock,
    random: Math.random,
    log: { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} },
    backoff: { baseMs: 100, capMs: 400 },
    ...selection,
  }).run(stop.signal);
  await store.whenSynced(AbortSignal.timeout(30_000));
  return {
    store,
    async stop() {
      stop.abort(new Error('seen enough'));
      await running;
    },
  };
}

// --- what a case does ---

/** Leader and standby, in that order, both started. */
async function pair(
  world: World,
  how?: Parameters<World['start']>[1],
): Promise<readonly [ControllerProcess, ControllerProcess]> {
  const [leader, standby] = await leaderOf(await Promise.all([world.start('a', how), world.start('b', how)]));
  await standby.untilSaid('waiting for the lease');
  return [leader, standby];
}

async function leaderOf(
  both: readonly [ControllerProcess, ControllerProcess],
): Promise<readonly [ControllerProcess, ControllerProcess]> {
  await until('one leads', () => both.some((one) => one.said('leading')));
  const [a, b] = both;
  return a.said('leading') ? [a, b] : [b, a];
}

/** SIGTERM, and it ends as it should: 10 s for work under way, 4 s for the rest, and a busy machine. */
async function stopped(controller: ControllerProcess): Promise<void> {
  controller.signal('SIGTERM');
  assert.equal(await controller.end(20_000), 'exit 0');
}

async function served({ witness }: World, count: number): Promise<void> {
  await until(
    `${count} Services are served`,
    () => witness.addressed() === count && witness.services() <= count + 1, // one may be there that cannot be
    60_000,
  );
}

/** What the pool says of itself comes after the addresses. */
async function untilPoolShows({ api }: World, count: number): Promise<void> {
  await until(`the pool shows ${count} assigned addresses`, async () => {
    const [pool] = (await itemsOf(api, POOLS)) as readonly { readonly status?: { readonly assignedIPv4?: number } }[];
    return pool?.status?.assignedIPv4 === count;
  });
}

const names = (prefix: string, count: number): readonly string[] =>
  Array.from({ length: count }, (_, index) => `${prefix}-${index}`);

async function create(
  { user }: World,
  list: readonly string[],
  annotations: Readonly<Record<string, string>> = {},
): Promise<void> {
  await inParallel(list, async (name) => {
    const body = {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name, annotations },
      spec: { type: 'LoadBalancer', allocateLoadBalancerNodePorts: false, ports: [{ port: 80 }] },
    };
    // After a kill the connections are stale, and a server that starts refuses at first.
    await until(`${name} is created`, () =>
      user.call({ method: 'POST', path: SERVICES, body, signal: never }).then(
        () => true,
        (error: unknown) => {
          if (isAlreadyExists(error)) return true;
          if (isApiError(error) && error.status < 500) throw error;
          return false;
        },
      ),
    );
  });
}

async function remove({ user }: World, list: readonly string[]): Promise<void> {
  await inParallel(list, (name) => gone(user, { method: 'DELETE', path: `${SERVICES}/${name}`, signal: never }));
}

async function inParallel(list: readonly string[], run: (name: string) => Promise<void>): Promise<void> {
  const left = list.values();
  await Promise.all(
    Array.from({ length: 8 }, async () => {
      for (const name of left) await run(name);
    }),
  );
}

const MERGE = 'application/merge-patch+json';
const never = new AbortController().signal;

/** It may be gone already. */
async function gone(user: Client, sent: Sent): Promise<void> {
  try {
    await user.call(sent);
  } catch (error) {
    if (!isNotFound(error)) throw error;
  }
}

/** Every object as the API server has it now: a write that changed anything shows. */
async function stateOf({ api }: World, ...paths: readonly string[]): Promise<readonly string[]> {
  const all: string[] = [];
  for (const path of paths) {
    for (const { metadata } of await itemsOf(api, path))
      all.push(`${path}/${metadata.name} ${metadata.uid} ${metadata.resourceVersion}`);
  }
  return all.sort();
}

async function servicesOf(api: Api): Promise<readonly Service[]> {
  return ((await itemsOf(api, SERVICES)) as readonly Service[]).filter(isOurs);
}

const isOurs = ({ spec }: Service): boolean => spec.type === 'LoadBalancer';

async function itemsOf(api: Api, path: string): Promise<readonly KubeObject[]> {
  const { status, json, text } = await ask(api, 'GET', path);
  assert.equal(status, 200, text);
  return (json as { readonly items: readonly KubeObject[] }).items;
}
