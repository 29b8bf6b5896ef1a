import { randomUUID } from 'node:crypto';
import { isEqual } from '../../src/core/equal.ts';
import { type Allocator, createAllocator } from '../../src/core/ipam/allocator.ts';
import type { PoolChange } from '../../src/core/ipam/change.ts';
import type { Freed, User } from '../../src/core/ipam/entry.ts';
import type { IPAddressPool } from '../../src/core/ipam/pools.ts';
import type { AddressRequest } from '../../src/core/ipam/request.ts';
import { parseIp } from '../../src/core/net/ip.ts';
import type { KubeObject, Service } from '../../src/core/objects.ts';
import type { Call, LoadBalancerParts, ObjectReader, ProviderContext } from '../../src/core/provider.ts';
import { selectionOf } from '../../src/core/service/wanted.ts';
import { createAdopter } from './adopt.ts';
import { apply, freeing } from './apply.ts';
import { type Book, createBook, seePublished } from './book.ts';
import { type Commit, createCommit } from './commit.ts';
import type { Config } from './config.ts';
import { type ConfigurationState, STATE_NAME, shownErrors, showState } from './config-state.ts';
import { metallbControllers, type Pod, refuseMetallb } from './detect.ts';
import { type Act, diff, type Observed } from './diff.ts';
import { gathering } from './gathering.ts';
import { createGone, type Gone } from './gone.ts';
import { holdChange } from './hold.ts';
import { loadIpam } from './ipam.ts';
import { createLastGood } from './last-good.ts';
import { createLifetime, type Lifetime } from './lifetime.ts';
import { createObserver } from './observe.ts';
import { type Desired, plan } from './plan.ts';
import { createPoolEvents } from './pool-events.ts';
import { createPoolKeeper, type PoolKeeper } from './pool-keeper.ts';
import { createPoolStatus } from './pool-status.ts';
import { progress } from './progress.ts';
import { resources } from './resources.ts';
import { byAge, createServices, interpretation, publishedOf, type Services } from './services.ts';
import { createTask } from './task.ts';
import { createWaiting, type Waiting } from './waiting.ts';

/** Everything that lives between two calls: the allocator, and what keeps it and the cluster together. */
export interface Runtime {
  readonly parts: LoadBalancerParts<Desired, Observed, Act>;
  readonly allocator: Allocator;
  readonly commit: Commit;
  readonly services: Services;
  readonly keeper: PoolKeeper;
  readonly waiting: Waiting;
  readonly gone: Gone;
  readonly book: Book;
  readonly lifetime: Lifetime;
  readonly config: Config;
}

interface Readers {
  readonly blocks: ObjectReader;
  readonly pools: ObjectReader;
  readonly namespaces: ObjectReader;
  readonly services: ObjectReader;
  readonly states: ObjectReader;
  readonly pods: ObjectReader;
}

/**
 * Lists blocks, pools, namespaces and Services; restores the allocator from the blocks; takes over what is published
 * without a reservation, oldest Service first; only then gives new addresses, to all who wait at once.
 * Throws FL_METALLB_RUNNING, FL_IPAM_MODULE, and FL_KUBE_* when the last good pools cannot be read.
 */
export async function createRuntime(context: ProviderContext, config: Config): Promise<Runtime> {
  const { clock, log, kube } = context;
  const { metallbNamespace: namespace, identity, viewer } = config;
  const lifetime = createLifetime(clock);
  const call: Call = { signal: lifetime.signal, log, limit: async (fn) => await fn() };
  const readers = await read(context, namespace);
  const selection = selectionOf(config.classes);
  const services = createServices(readers.services, selection, context.cluster);
  if (!viewer) refuseMetallb({ ...neighbours(readers), identity }, selection.classes, namespace);
  const ipam = config.ipam === undefined ? undefined : await loadIpam(config.ipam);
  const lastGood = createLastGood(kube, namespace, log);
  const good = await lastGood.load(call, { patience: viewer ? 'none' : clock });

  // From here to the end of `start` nothing awaits: nobody sees it half done, and no event is missed.
  const allocator = createAllocator({ seed: config.seed ?? randomUUID() });
  const book = createBook();
  let isStarted = false;
  const resync = (reason: string, uids: readonly string[]): void => {
    if (isStarted && !viewer && uids.length > 0) context.resync(reason, uids);
  };

  const commit = createCommit({
    allocator,
    kube,
    clock,
    log,
    signal: lifetime.signal,
    windowMs: config.batchWindowMs,
    onForeign,
    onWritten(addresses) {
      if (!isStarted || viewer) return;
      poolStatus.touch(new Set(addresses.flatMap((address) => allocator.poolOf(address) ?? [])));
      void waiting.serve(addresses.flatMap((address) => sharedRoom(allocator, address)));
      lookAgain();
    },
  });
  const onlyWake = ipam !== undefined;
  const waiting = createWaiting({ allocator, commit, clock, lifetime, log, resync, onlyWake });
  const adopter = createAdopter({ allocator, services, book, resync, ...(viewer ? {} : { commit }) });
  const poolStatus = createPoolStatus({ allocator, kube, pools: readers.pools, namespace, clock, log, lifetime, call });
  const keeper = createPoolKeeper({
    allocator,
    pools: readers.pools,
    namespaces: readers.namespaces,
    namespace,
    lifetime,
    log,
    onTaken,
    onLooked,
  });
  const poolEvents = createPoolEvents({
    kube,
    pools: readers.pools,
    namespace,
    shown: () => shownErrors(readers.states, namespace),
    identity,
    clock,
    log,
    call,
  });
  const monotonicMs = () => clock.monotonicMs();
  const saving = createTask({
    name: 'last good pools',
    lifetime,
    log,
    monotonicMs,
    run: async () => {
      if (keeper.frozen() === undefined) await lastGood.save(keeper.good, call);
    },
  });
  // Not more often: somebody else may write there too, and say something else.
  const showing = createTask({ name: 'configuration state', lifetime, log, monotonicMs, everyMs: 1000, run: show });
  const purging = createTask({ name: 'retained addresses', lifetime, log, monotonicMs, everyMs: 1000, run: purge });
  const gone = createGone({
    allocator,
    commit,
    services,
    lifetime,
    free: (uid, key) => void free(uid, key).catch(() => {}), // insists until the provider is closed
  });
  const observer = createObserver({
    allocator,
    commit,
    services,
    adopter,
    book,
    clock,
    hasIpam: ipam !== undefined,
    frozen: () => keeper.frozen(),
  });

  const moved = gathering<string>((uids) => resync('addresses moved to another pool', uids));

  /** Since the start there were no pools to go by. */
  let wasFrozen = false;
  let isKindMissing = false;
  async function show(): Promise<void> {
    if (isForeignState(readers, identity)) return; // MetalLB's own, serving another class beside us
    const errors = keeper.objections.map(({ message }) => message);
    const shown = await showState({ kube, reader: readers.states, namespace, nowMs: clock.now() }, errors, call);
    if (!shown && !isKindMissing) log.warn({ namespace }, 'kind configurationstates.metallb.io is missing: not shown');
    isKindMissing = !shown;
  }

  async function purge(): Promise<void> {
    const dueMs = allocator.nextExpiryMs();
    if (dueMs === undefined) return;
    if (dueMs > clock.now()) {
      lifetime.after(dueMs - clock.now(), () => purging.poke());
      return;
    }
    let freed: readonly Freed[] = [];
    const make = () => {
      freed = allocator.purge(clock.now());
      return { changed: freed.flatMap(({ address }) => address ?? []) };
    };
    await commit.commit({ make, insist: true });
    void waiting.serve(freed);
    purging.poke();
  }

  /** The plug-in first: once the block forgets the UID, nobody would know what to give back. */
  async function free(uid: string, key: string): Promise<void> {
    const addresses = [...new Set([...allocator.holdings(uid).map(({ address }) => address), ...commit.recorded(uid)])];
    log.info({ uid, service: key, addresses }, 'freeing the addresses of a Service that is gone');
    if (ipam !== undefined) {
      const task = createTask({
        name: `IPAM release for ${key}`,
        lifetime,
        log,
        monotonicMs,
        run: async () => {
          await ipam.release({ uid, addresses }, lifetime.signal);
          await freed(uid, addresses);
        },
      });
      task.poke();
      return;
    }
    await freed(uid, addresses, clock.now());
  }

  async function freed(uid: string, addresses: readonly string[], retainAtMs?: number): Promise<void> {
    const what = { uid, addresses, ...(retainAtMs === undefined ? {} : { retainAtMs }) };
    await freeing({ allocator, commit, onFreed }, what, { insist: true });
    book.forget(uid);
  }

  function onFreed(room: readonly Freed[]): void {
    void waiting.serve(room);
    if (room.some(({ count }) => count === 0n)) purging.poke(); // some of it may be retained
  }

  /** What they publish stays theirs; then they look at themselves. */
  function onForeign(users: readonly User[], room: readonly Freed[]): void {
    if (!isStarted || viewer) return;
    const found = users.flatMap(({ uid, namespace: space, name }) => services.find(uid, `${space}/${name}`) ?? []);
    for (const service of found.filter(services.isWanted).sort(byAge)) adopter.adopt(service);
    for (const { uid, namespace: space, name } of users) gone.onUser(uid, `${space}/${name}`);
    resync(
      'a block was changed by somebody else',
      users.map(({ uid }) => uid),
    );
    onFreed(room);
    purging.poke();
    lookAgain();
  }

  /** An edit that was refused for addresses in use is taken once they are not. */
  function lookAgain(): void {
    if (keeper.objections.length > 0) keeper.changed();
  }

  function onTaken({ moved: renamed, stranded, judged, freed: room }: PoolChange): void {
    if (!isStarted || viewer) return;
    if (wasFrozen) adoptPublished(); // nobody who waits may get what another publishes
    wasFrozen = false;
    poolStatus.touch(allocator.pools.map(({ name }) => name));
    for (const user of renamed.flatMap(({ users }) => users)) void follow(user);
    resync(
      'addresses left their pool',
      stranded.flatMap(({ users }) => users.map(({ uid }) => uid)),
    );
    resync(
      'the rules of their pool changed',
      judged.flatMap(({ users }) => users.map(({ uid }) => uid)),
    );
    void waiting.serve(room);
  }

  /** The record names the new pool; with all others of its block in one write, before its Service is looked at. */
  async function follow({ uid, namespace: space, name }: Pick<User, 'uid' | 'namespace' | 'name'>): Promise<void> {
    const service = services.find(uid, `${space}/${name}`);
    if (service === undefined) return;
    try {
      if (ipam === undefined) await commit.commit(holdChange(allocator, services.request(service)));
    } catch (error) {
      if (lifetime.signal.aborted) return;
      log.debug({ uid, err: error }, 'the new pool was not recorded'); // its own run does it, and tells
    }
    moved(uid);
  }

  function onLooked(): void {
    if (viewer) return;
    poolEvents.tell(keeper.objections);
    saving.poke();
    showing.poke();
  }

  function subscribe(): void {
    readers.blocks.onChange((old, now) => commit.onBlock(old, now));
    readers.pools.onChange((old, now) => {
      if (!sameContent(old as IPAddressPool | undefined, now as IPAddressPool | undefined)) keeper.changed();
      const made = now as (IPAddressPool & { readonly status?: object }) | undefined;
      // Made anew, be it as it was, or wiped.
      if (!viewer && made !== undefined && made.status === undefined) poolStatus.touch([made.metadata.name]);
    });
    readers.namespaces.onChange((old, now) =>
      keeper.namespaceChanged(old as KubeObject | undefined, now as KubeObject | undefined),
    );
    readers.states.onChange((_old, now) => {
      const state = now as KubeObject | undefined;
      if (!viewer && (state === undefined || state.metadata.name === STATE_NAME)) showing.poke();
    });
    readers.services.onChange((old, now) => {
      const [before, after] = [old as Service | undefined, now as Service | undefined];
      if (!viewer) gone.onService(before, after);
      if (after !== undefined) seePublished(book, after.metadata.uid, publishedOf(after));
      if (after !== undefined && book.leaving.has(after.metadata.uid))
        resync('an address is no longer published', [after.metadata.uid]);
      if (after !== undefined && !services.isWanted(after)) waiting.delete(after.metadata.uid);
      if (before === undefined || before.metadata.uid === after?.metadata.uid) return;
      waiting.delete(before.metadata.uid);
      book.forget(before.metadata.uid);
    });
  }

  function restore(): void {
    keeper.begin(good);
    for (const block of readers.blocks.list()) commit.onBlock(undefined, block);
    keeper.look();
    wasFrozen = keeper.frozen() !== undefined;
    if (!wasFrozen) adoptPublished();
  }

  function adoptPublished(): void {
    for (const service of services.wanted()) if (publishedOf(service).length > 0) adopter.adopt(service);
  }

  restore();
  subscribe();
  isStarted = true;
  if (!viewer) {
    commit.activate();
    gone.start();
    purging.poke();
    poolStatus.touch(allocator.pools.map(({ name }) => name));
    if (ipam === undefined) enlist({ services, allocator, waiting });
    await waiting.serve(roomOf(allocator));
  }

  return {
    allocator,
    commit,
    services,
    keeper,
    waiting,
    gone,
    book,
    lifetime,
    config,
    parts: {
      selfCleaning: true,
      interpret: () => interpretation,
      plan,
      observe: async (ref) => observer.observe(ref),
      observeAll: async () => observer.observeAll(),
      diff,
      apply: async (act, given) =>
        viewer
          ? pretend(allocator, act)
          : await apply(
              { allocator, commit, clock, book, onFreed, ...(ipam === undefined ? {} : { ipam }) },
              act,
              given,
            ),
      progress,
    },
  };
}

async function read(context: ProviderContext, namespace: string): Promise<Readers> {
  // Blocks first: a Service that is in a block and not in the later list of Services is gone.
  const blocks = await context.objects(resources.ipblocks);
  const [pools, namespaces, services, states, pods] = await Promise.all([
    context.objects(resources.ipaddresspools, { namespace }),
    context.objects(resources.namespaces),
    context.objects(resources.services),
    context.objects(resources.configurationstates, { namespace }),
    context.objects(resources.pods, { namespace }),
  ]);
  return { blocks, pools, namespaces, services, states, pods };
}

function neighbours({ pods, states }: Readers) {
  return { pods: pods.list() as readonly Pod[], states: states.list() as readonly ConfigurationState[] };
}

function isForeignState(readers: Readers, identity: string): boolean {
  const states = neighbours(readers).states.filter(({ metadata }) => metadata.name === STATE_NAME);
  const owners = new Set(states.flatMap(({ metadata }) => metadata.ownerReferences ?? []).map(({ uid }) => uid));
  return metallbControllers({ ...neighbours(readers), identity }).some(({ metadata }) => owners.has(metadata.uid));
}

/** All of ours that have less than they want wait, before anybody has tried. */
function enlist({ services, allocator, waiting }: Pick<Runtime, 'services' | 'allocator' | 'waiting'>): void {
  for (const service of services.wanted()) {
    try {
      const request = services.request(service);
      if (hasAll(allocator, request, service)) continue;
      waiting.add({ request, creationTimestamp: service.metadata.creationTimestamp });
    } catch {
      // A bad request waits for its own change; its run tells what is wrong.
    }
  }
}

/** By what it shows, since thousands are looked at: a run that left something open said so. */
function hasAll(allocator: Allocator, { uid, families }: AddressRequest, { status }: Service): boolean {
  const held = allocator.holdings(uid);
  const isDegraded = (status?.conditions ?? []).some(({ type }) => type === 'LoadBalancerDegraded');
  return !isDegraded && families.every((each) => held.some(({ family }) => family === each));
}

function roomOf({ pools, counts }: Allocator): readonly Freed[] {
  return pools.flatMap(({ name }) =>
    (['ipv4', 'ipv6'] as const).map((family) => ({
      pool: name,
      family,
      count: counts(name)?.[family].available ?? 0n,
    })),
  );
}

/** An address with a sharing key was taken, or its user changed: whoever has the key may fit in now (rule 10). */
function sharedRoom({ entry, poolOf }: Allocator, address: string): readonly Freed[] {
  const sharingKey = entry(address)?.users[0]?.sharingKey ?? '';
  const [pool, family] = [poolOf(address), parseIp(address)?.family];
  if (sharingKey === '' || pool === undefined || family === undefined) return [];
  return [{ pool, family, count: 0n, address, sharingKey }];
}

/** Of a viewer: the next plan sees what this one would have done. */
function pretend(allocator: Allocator, { kind, uid, addresses, request }: Act): void {
  if (kind === 'reserve' || kind === 'extend') allocator.take(request as Desired);
  if (kind === 'release') allocator.release(uid, { addresses });
}

function sameContent(old: IPAddressPool | undefined, now: IPAddressPool | undefined): boolean {
  return (
    isEqual(old?.spec, now?.spec) &&
    isEqual(old?.metadata.annotations, now?.metadata.annotations) &&
    old?.metadata.uid === now?.metadata.uid
  );
}
