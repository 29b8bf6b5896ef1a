import { type ErrorCode, failure } from '../../src/core/errors.ts';
import { type KubeObject, keyOf } from '../../src/core/objects.ts';
import type { Call, Log, ObjectReader, ObjectScope, ProviderContext, ResourceName } from '../../src/core/provider.ts';
import { parse, print } from '../../src/kube/json.ts';
import { nameOf } from '../../src/kube/resource.ts';
import { applyMergePatch } from '../../src/sandbox/api/merge-patch.ts';
import type { VirtualClock } from './clock.ts';

/**
 * An API server as a provider sees it, without HTTP: objects with uid and resourceVersion from one counter, merge
 * patches guarded by both, status as a subresource of its own, names that are taken, kinds that do not exist, and
 * watches that deliver late. Several contexts (controllers) may stand on one cluster.
 */
export interface FakeCluster {
  /** As a user does: creates, or replaces spec, status, data and metadata of what exists. */
  put(resource: ResourceName, object: object): KubeObject;
  /** As a user does. No error when it is not there. */
  drop(resource: ResourceName, key: string): void;
  get(resource: ResourceName, key: string): KubeObject | undefined;
  list(resource: ResourceName): readonly KubeObject[];
  /** Every write that took effect and was made by a context, no-ops left out. */
  readonly writes: Write[];
  /** Every request that a context sent, those that failed and no-ops included. */
  readonly requests: Write[];
  context(options: FakeContextOptions): FakeContext;
}
export interface FakeClusterOptions {
  readonly clock: VirtualClock;
  /** Kinds that the server does not know, as nameOf prints them: 'configurationstates.metallb.io'. */
  readonly missing?: readonly string[];
  /** ms from sending to effect, from effect to answer, from effect to each watch. Default 0, one turn of the clock. */
  readonly delayMs?: () => number;
  /** Asked for each request before it takes effect. */
  readonly fault?: (request: Write) => Fault | undefined;
}
export interface Write {
  /** Who sent it: the identity of the context. */
  readonly by: string;
  readonly verb: 'list' | 'get' | 'create' | 'patch' | 'remove';
  readonly resource: string;
  readonly key: string;
  readonly subresource?: 'status';
  readonly body?: unknown;
  /** How many requests the cluster had seen before this one. */
  readonly number: number;
}
export interface Fault {
  readonly code: ErrorCode;
  /** The write takes effect all the same: at once, or so many ms after the sender was told. */
  readonly effect?: 'none' | { readonly lateMs: number };
  readonly retryAfterMs?: number;
}
export interface FakeContextOptions {
  readonly config?: unknown;
  readonly identity?: string;
  readonly log?: Log;
}
export interface FakeContext extends ProviderContext {
  readonly resyncs: { readonly reason: string; readonly uids: readonly string[] | undefined }[];
  /** A call as the service controller makes it. */
  call(signal?: AbortSignal): Call;
  /** Whether this process may write. */
  leads: boolean;
  /** As SIGKILL: no further request is sent, no answer or event comes. What was sent takes effect. */
  kill(): void;
  /** As SIGSTOP: answers and events wait; `resume` delivers them in order. */
  pause(): void;
  resume(): void;
  /** What the provider wrote by its log, at warn and above. */
  readonly complaints: { readonly level: string; readonly message: string; readonly fields: object }[];
}

/** Kinds whose status only the subresource writes. */
const WITH_STATUS = new Set(['services', 'ipaddresspools.metallb.io', 'configurationstates.metallb.io']);

export function createFakeCluster(options: FakeClusterOptions): FakeCluster {
  return new Cluster(options);
}

type Stored = KubeObject & Readonly<Record<string, unknown>>;
type Listener = (old: unknown, now: unknown) => void;

class Cluster implements FakeCluster {
  readonly writes: Write[] = [];
  readonly requests: Write[] = [];
  readonly #clock: VirtualClock;
  readonly #missing: ReadonlySet<string>;
  readonly #delayMs: () => number;
  readonly #fault: (request: Write) => Fault | undefined;
  readonly #kinds = new Map<string, Map<string, Stored>>();
  readonly #watches = new Set<(kind: string, old: Stored | undefined, now: Stored | undefined) => void>();
  #revision = 100;
  #uids = 0;

  constructor({ clock, missing = [], delayMs = () => 0, fault = () => undefined }: FakeClusterOptions) {
    this.#clock = clock;
    this.#missing = new Set(missing);
    this.#delayMs = delayMs;
    this.#fault = fault;
  }

  put(resource: ResourceName, object: object): Stored {
    const kind = nameOf(resource);
    const old = this.#of(kind).get(keyOf(object as KubeObject));
    const given = structuredClone(object) as Stored;
    return this.#store(kind, { ...given, metadata: this.#metadata(old, given.metadata) });
  }

  drop(resource: ResourceName, key: string): void {
    this.#delete(nameOf(resource), key);
  }

  get(resource: ResourceName, key: string): Stored | undefined {
    return this.#of(nameOf(resource)).get(key);
  }

  list(resource: ResourceName): readonly Stored[] {
    return [...this.#of(nameOf(resource)).values()];
  }

  context(options: FakeContextOptions): FakeContext {
    return createContext(this, this.#clock, options);
  }

  /** For contexts: called after each change. */
  watch(listener: (kind: string, old: Stored | undefined, now: Stored | undefined) => void): void {
    this.#watches.add(listener);
  }

  delayMs(): number {
    return this.#delayMs();
  }

  /** For contexts. Throws what the server or the network answers. */
  async request(sent: Omit<Write, 'number'>, perform: (kind: string) => Stored | undefined): Promise<unknown> {
    const request: Write = { ...sent, number: this.requests.length };
    this.requests.push(request);
    await this.#wait();
    const fault = this.#fault(request);
    if (fault === undefined) return this.#effect(request, perform);
    const details = fault.retryAfterMs === undefined ? {} : { retryAfterMs: fault.retryAfterMs };
    const error = failure(fault.code, `injected at request ${request.number}`, details);
    if (fault.effect !== undefined && fault.effect !== 'none') {
      this.#clock.after(fault.effect.lateMs, () => {
        try {
          this.#effect(request, perform);
        } catch {
          // A late write that the guard refuses is what the guard is for; its sender was told long ago.
        }
      });
      if (fault.effect.lateMs === 0) await this.#clock.sleep(0, new AbortController().signal);
    }
    throw error;
  }

  /** For contexts: a read that goes to the server itself; of a list only whether it works. */
  async read(sent: Omit<Write, 'number'>): Promise<unknown> {
    const request: Write = { ...sent, number: this.requests.length };
    this.requests.push(request);
    await this.#wait();
    const fault = this.#fault(request);
    if (fault !== undefined) throw failure(fault.code, `injected at request ${request.number}`);
    if (sent.verb === 'list') return undefined;
    if (this.#missing.has(request.resource)) throw failure('FL_KUBE_NOT_FOUND', `no kind ${request.resource}`);
    return this.#existing(request.resource, request.key);
  }

  create(kind: string, object: object): Stored {
    const given = structuredClone(object) as Stored;
    const { status, ...rest } = given;
    const name =
      given.metadata.name ?? `${given.metadata.generateName}${(this.#uids + 1).toString(36).padStart(5, 'x')}`;
    const named = { ...rest, metadata: { ...given.metadata, name } } as Stored;
    if (this.#of(kind).has(keyOf(named))) throw failure('FL_KUBE_EXISTS', `${kind} "${name}" already exists`);
    const whole = WITH_STATUS.has(kind) || status === undefined ? named : { ...named, status };
    return this.#store(kind, { ...whole, metadata: this.#metadata(undefined, named.metadata) } as Stored);
  }

  patch(kind: string, key: string, body: object, subresource: 'status' | undefined): Stored {
    const old = this.#existing(kind, key);
    const { uid, resourceVersion } = ((body as { metadata?: Partial<KubeObject['metadata']> }).metadata ??
      {}) as Partial<KubeObject['metadata']>;
    if (uid !== undefined && uid !== old.metadata.uid) throw failure('FL_KUBE_CONFLICT', `${key}: uid ${uid} is gone`);
    if (resourceVersion !== undefined && resourceVersion !== old.metadata.resourceVersion) {
      const { resourceVersion: now } = old.metadata;
      throw failure('FL_KUBE_CONFLICT', `${key}: the object has been modified (${resourceVersion}, now ${now})`);
    }
    const merged = applyMergePatch(old, body) as Stored;
    const isService = kind === 'services';
    const next =
      subresource === 'status'
        ? { ...old, status: merged['status'], ...(isService ? { metadata: merged.metadata } : {}) }
        : { ...merged, ...(WITH_STATUS.has(kind) ? { status: old['status'] } : {}) };
    if (print(next) === print(old)) return old;
    return this.#store(kind, { ...next, metadata: this.#metadata(old, next.metadata) } as Stored);
  }

  remove(kind: string, key: string, uid: string | undefined): undefined {
    const old = this.#of(kind).get(key);
    if (old === undefined) return;
    if (uid !== undefined && uid !== old.metadata.uid) throw failure('FL_KUBE_CONFLICT', `${key}: uid ${uid} is gone`);
    this.#delete(kind, key);
  }

  #effect(request: Write, perform: (kind: string) => Stored | undefined): unknown {
    const before = this.#revision;
    if (this.#missing.has(request.resource)) throw failure('FL_KUBE_NOT_FOUND', `no kind ${request.resource}`);
    const result = perform(request.resource);
    if (this.#revision !== before) this.writes.push(request);
    return result;
  }

  async #wait(): Promise<void> {
    await this.#clock.sleep(this.#delayMs(), new AbortController().signal);
  }

  #of(kind: string): Map<string, Stored> {
    let objects = this.#kinds.get(kind);
    if (objects === undefined) {
      objects = new Map();
      this.#kinds.set(kind, objects);
    }
    return objects;
  }

  #existing(kind: string, key: string): Stored {
    const object = this.#of(kind).get(key);
    if (object === undefined) throw failure('FL_KUBE_NOT_FOUND', `${kind} "${key}" not found`);
    return object;
  }

  #metadata(old: Stored | undefined, given: Partial<KubeObject['metadata']>): KubeObject['metadata'] {
    this.#revision += 1;
    const { uid, creationTimestamp } = old?.metadata ?? given;
    return {
      ...(given as KubeObject['metadata']),
      uid: uid ?? this.#nextUid(),
      resourceVersion: String(this.#revision),
      creationTimestamp: creationTimestamp ?? new Date(this.#clock.now()).toISOString().replace(/\.\d+Z$/, 'Z'),
    };
  }

  #nextUid(): string {
    this.#uids += 1;
    return `00000000-0000-4000-8000-${String(this.#uids).padStart(12, '0')}`;
  }

  #store(kind: string, object: Stored): Stored {
    const stored = deepFreeze(parse(print(object)) as Stored); // as over the wire: undefined members are gone
    const objects = this.#of(kind);
    const old = objects.get(keyOf(stored));
    objects.set(keyOf(stored), stored);
    for (const watch of this.#watches) watch(kind, old, stored);
    return stored;
  }

  #delete(kind: string, key: string): void {
    const old = this.#of(kind).get(key);
    if (old === undefined) return;
    this.#revision += 1;
    this.#of(kind).delete(key);
    for (const watch of this.#watches) watch(kind, old, undefined);
  }
}

function createContext(cluster: Cluster, clock: VirtualClock, options: FakeContextOptions): FakeContext {
  const { config, identity = 'controller-0' } = options;
  const state = { dead: false, paused: false, leads: true };
  const held: (() => void)[] = []; // what came while paused
  const readers = new Map<string, { view: Map<string, Stored>; listeners: Set<Listener>; tail: number }>();
  const resyncs: FakeContext['resyncs'] = [];
  const complaints: FakeContext['complaints'] = [];
  const log = options.log ?? complainingLog(complaints);

  const deliver = (run: () => void): void => {
    if (state.dead) return;
    if (state.paused) held.push(run);
    else run();
  };
  /** Settles with `promise`, in the life of this process: never once it is dead, later while it is paused. */
  const inLife = async <T>(promise: Promise<T>): Promise<T> =>
    await new Promise<T>((resolve, reject) => {
      promise.then(
        (value) => deliver(() => resolve(value)),
        (error: unknown) => deliver(() => reject(error)),
      );
    });

  cluster.watch((kind, _old, now) => {
    const key = keyOf((now ?? _old) as Stored);
    for (const [scope, reader] of readers) {
      if (scope.split('|')[0] !== kind || !inScope(scope, (now ?? _old) as Stored)) continue;
      // One watch delivers in order, however late each event is.
      const dueMs = Math.max(clock.monotonicMs() + cluster.delayMs(), reader.tail);
      reader.tail = dueMs;
      clock.after(dueMs - clock.monotonicMs(), () => deliver(() => change(reader, key, now)));
    }
  });

  const request = async (
    sent: Omit<Write, 'by' | 'number'>,
    call: Call,
    perform: (kind: string) => Stored | undefined,
  ): Promise<unknown> => {
    call.signal.throwIfAborted();
    if (!state.leads) throw failure('FL_KUBE_NOT_LEADER', `${identity} does not hold the lease`);
    if (state.dead) return await new Promise(() => {});
    const answer = cluster.request({ ...sent, by: identity }, perform);
    return await inLife(
      answer.then(async (value) => {
        await clock.sleep(cluster.delayMs(), new AbortController().signal);
        return value;
      }),
    );
  };

  const context: FakeContext = {
    cluster: 'test',
    config,
    log,
    clock: {
      now: clock.now,
      monotonicMs: clock.monotonicMs,
      sleep: async (ms, signal) => await inLife(clock.sleep(ms, signal)),
    },
    resyncs,
    complaints,
    get leads() {
      return state.leads;
    },
    set leads(leads: boolean) {
      state.leads = leads;
    },
    resync(reason, uids) {
      resyncs.push({ reason, uids });
    },
    call: (signal = new AbortController().signal) => ({
      signal,
      log,
      limit: async (fn) => await fn(),
    }),
    kill() {
      state.dead = true;
      held.length = 0;
    },
    pause() {
      state.paused = true;
    },
    resume() {
      state.paused = false;
      // Each in a turn of its own, as an event loop does: timers that are due run before what the sockets hold.
      for (const run of held.splice(0)) clock.after(0, () => deliver(run));
    },
    async objects(resource: ResourceName, scope: ObjectScope = {}): Promise<ObjectReader> {
      await inLife(
        cluster.read({ by: identity, verb: 'list', resource: nameOf(resource), key: scope.namespace ?? '' }),
      );
      const name = [nameOf(resource), scope.namespace ?? ''].join('|');
      let reader = readers.get(name);
      if (reader === undefined) {
        const all = cluster.list(resource).filter((object) => inScope(name, object));
        reader = { view: new Map(all.map((object) => [keyOf(object), object])), listeners: new Set(), tail: 0 };
        readers.set(name, reader);
      }
      const { view, listeners } = reader;
      return {
        list: () => [...view.values()],
        get: (key) => view.get(key),
        onChange: (listener) => void listeners.add(listener),
      };
    },
    kube: {
      async get(resource, { namespace, name }, call) {
        call.signal.throwIfAborted();
        const key = namespace === undefined ? name : `${namespace}/${name}`;
        return await inLife(cluster.read({ by: identity, verb: 'get', resource: nameOf(resource), key }));
      },
      create: async (resource, object, call) =>
        await request(
          { verb: 'create', resource: nameOf(resource), key: nameIn(object), body: wire(object) },
          call,
          (kind) => cluster.create(kind, wire(object)),
        ),
      patch: async (resource, { namespace, name, subresource }, body, call) => {
        const key = namespace === undefined ? name : `${namespace}/${name}`;
        const sent = { verb: 'patch' as const, resource: nameOf(resource), key, body: wire(body) };
        return await request(subresource === undefined ? sent : { ...sent, subresource }, call, (kind) =>
          cluster.patch(kind, key, wire(body), subresource),
        );
      },
      remove: async (resource, { namespace, name, uid }, call) => {
        const key = namespace === undefined ? name : `${namespace}/${name}`;
        await request({ verb: 'remove', resource: nameOf(resource), key }, call, (kind) =>
          cluster.remove(kind, key, uid),
        );
      },
    },
  };
  return context;
}

function change(
  { view, listeners }: { readonly view: Map<string, Stored>; readonly listeners: ReadonlySet<Listener> },
  key: string,
  now: Stored | undefined,
): void {
  const old = view.get(key);
  if (now === undefined) view.delete(key);
  else view.set(key, now);
  const replaced = old !== undefined && now !== undefined && old.metadata.uid !== now.metadata.uid;
  for (const listener of listeners) {
    if (replaced) {
      listener(old, undefined);
      listener(undefined, now);
    } else listener(old, now);
  }
}

const inScope = (scope: string, object: KubeObject): boolean => {
  const namespace = scope.split('|')[1];
  return namespace === '' || namespace === object.metadata.namespace;
};

function nameIn(object: object): string {
  const { metadata } = object as KubeObject;
  return metadata.name === undefined ? `${metadata.namespace}/${metadata.generateName}*` : keyOf(object as KubeObject);
}

/** As JSON carries it. */
const wire = (object: object): object => parse(print(object)) as object;

function complainingLog(complaints: FakeContext['complaints']): Log {
  const at = (level: string) => (fields: object, message: string) => void complaints.push({ level, message, fields });
  return { debug: () => {}, info: () => {}, warn: at('warn'), error: at('error') };
}

function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    for (const item of Object.values(value)) deepFreeze(item);
  }
  return value;
}
